/* What a signature costs, by library: crypto_bench [ROUNDS]. Ours (src/crypto as it is built) beside GnuTLS and nettle,
 * libsodium and libcrypto of the system, one thread, processor time of that thread, rounds interleaved. One table:
 * medians in microseconds. Decision 0029 is made of it. */
#include "crypto/hash.h"
#include "crypto/key.h"
#include "crypto/random.h"
#include "crypto/sign.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <nettle/curve25519.h>
#include <nettle/eddsa.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS     5
#define ROUNDS_MAX 99
#define SLICE_S    0.05 /* of one operation, in one round */
#define DATA_LEN   400  /* header and claims of a token of ours, about */
#define SIG_ROOM   80   /* a DER ECDSA signature at most */

struct ready {
    uint8_t data[DATA_LEN];
    uint8_t seed[32], ed_public[32], d[32], point[65], mac_key[32];
    uint8_t ed_sig[64], es_sig[64], es_der[SIG_ROOM];
    size_t es_der_len;
    struct key *ed, *es, *secret;
    gnutls_privkey_t tls_ed, tls_es;
    gnutls_pubkey_t tls_ed_public, tls_es_public;
    uint8_t sodium_ed[64];
    EVP_PKEY *evp_ed, *evp_es;
    EVP_MD_CTX *evp;
    EVP_MAC_CTX *mac;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "crypto_bench: %s failed\n", what);
    exit(1);
}

static gnutls_datum_t datum(const void *p, size_t len)
{
    return (gnutls_datum_t){ (unsigned char *)(uintptr_t)p, (unsigned)len };
}

static struct span data_of(const struct ready *r)
{
    return span_of(r->data, sizeof r->data);
}

/* --- ours ----------------------------------------------------------------------------------------------------- */

static bool ours_ed_check(struct ready *r)
{
    return sig_check(r->ed, SIG_EDDSA, data_of(r), span_of(r->ed_sig, 64), NULL) == ST_OK;
}

static bool ours_ed_check_new(struct ready *r)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    return key_new_ed25519_public(span_of(r->ed_public, 32), &key, NULL) == ST_OK &&
           sig_check(key, SIG_EDDSA, data_of(r), span_of(r->ed_sig, 64), NULL) == ST_OK;
}

static bool ours_ed_make(struct ready *r)
{
    uint8_t out[SIG_MAX];
    return sig_make(r->ed, SIG_EDDSA, data_of(r), out) == ST_OK;
}

static bool ours_ed_private(struct ready *r)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    return key_new_ed25519_private(span_of(r->seed, 32), &key, NULL) == ST_OK;
}

static bool ours_es_check(struct ready *r)
{
    return sig_check(r->es, SIG_ES256, data_of(r), span_of(r->es_sig, 64), NULL) == ST_OK;
}

static bool ours_es_check_new(struct ready *r)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    return key_new_p256_public(span_of(r->point + 1, 32), span_of(r->point + 33, 32), &key, NULL) == ST_OK &&
           sig_check(key, SIG_ES256, data_of(r), span_of(r->es_sig, 64), NULL) == ST_OK;
}

static bool ours_es_make(struct ready *r)
{
    uint8_t out[SIG_MAX];
    return sig_make(r->es, SIG_ES256, data_of(r), out) == ST_OK;
}

static bool ours_hmac(struct ready *r)
{
    uint8_t out[SIG_MAX];
    return sig_make(r->secret, SIG_HS256, data_of(r), out) == ST_OK;
}

static bool ours_sha256(struct ready *r)
{
    uint8_t out[SHA256_LEN];
    return sha256(data_of(r), out) == ST_OK;
}

/* --- GnuTLS, nettle -------------------------------------------------------------------------------------------- */

static bool tls_check(gnutls_pubkey_t key, gnutls_sign_algorithm_t alg, struct ready *r, const void *sig,
                      size_t sig_len)
{
    gnutls_datum_t data = datum(r->data, sizeof r->data), s = datum(sig, sig_len);
    return gnutls_pubkey_verify_data2(key, alg, 0, &data, &s) >= 0;
}

static bool tls_make(gnutls_privkey_t key, gnutls_sign_algorithm_t alg, struct ready *r)
{
    gnutls_datum_t data = datum(r->data, sizeof r->data), s = { 0 };
    bool ok = gnutls_privkey_sign_data2(key, alg, 0, &data, &s) == 0;
    gnutls_free(s.data);
    return ok;
}

static bool tls_ed_check(struct ready *r)
{
    return tls_check(r->tls_ed_public, GNUTLS_SIGN_EDDSA_ED25519, r, r->ed_sig, 64);
}

static bool tls_ed_check_new(struct ready *r)
{
    gnutls_pubkey_t key;
    gnutls_datum_t x = datum(r->ed_public, 32);
    must(gnutls_pubkey_init(&key) == 0, "gnutls_pubkey_init");
    bool ok = gnutls_pubkey_import_ecc_raw(key, GNUTLS_ECC_CURVE_ED25519, &x, NULL) == 0 &&
              tls_check(key, GNUTLS_SIGN_EDDSA_ED25519, r, r->ed_sig, 64);
    gnutls_pubkey_deinit(key);
    return ok;
}

static bool tls_ed_make(struct ready *r)
{
    return tls_make(r->tls_ed, GNUTLS_SIGN_EDDSA_ED25519, r);
}

static bool tls_es_check(struct ready *r)
{
    return tls_check(r->tls_es_public, GNUTLS_SIGN_ECDSA_SHA256, r, r->es_der, r->es_der_len);
}

static bool tls_es_check_new(struct ready *r)
{
    gnutls_pubkey_t key;
    gnutls_datum_t x = datum(r->point + 1, 32), y = datum(r->point + 33, 32);
    must(gnutls_pubkey_init(&key) == 0, "gnutls_pubkey_init");
    bool ok = gnutls_pubkey_import_ecc_raw(key, GNUTLS_ECC_CURVE_SECP256R1, &x, &y) == 0 &&
              tls_check(key, GNUTLS_SIGN_ECDSA_SHA256, r, r->es_der, r->es_der_len);
    gnutls_pubkey_deinit(key);
    return ok;
}

static bool tls_es_make(struct ready *r)
{
    return tls_make(r->tls_es, GNUTLS_SIGN_ECDSA_SHA256, r);
}

static bool tls_hmac(struct ready *r)
{
    uint8_t out[32];
    return gnutls_hmac_fast(GNUTLS_MAC_SHA256, r->mac_key, 32, r->data, sizeof r->data, out) == 0;
}

static bool tls_sha256(struct ready *r)
{
    uint8_t out[32];
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, r->data, sizeof r->data, out) == 0;
}

static bool nettle_ed_private(struct ready *r)
{
    uint8_t out[32];
    ed25519_sha512_public_key(out, r->seed);
    return true;
}

static bool nettle_x25519(struct ready *r)
{
    uint8_t mine[32], shared[32];
    curve25519_mul_g(mine, r->seed);
    curve25519_mul(shared, r->seed, mine);
    return true;
}

/* --- libsodium ------------------------------------------------------------------------------------------------- */

static bool sodium_ed_check(struct ready *r)
{
    return crypto_sign_ed25519_verify_detached(r->ed_sig, r->data, sizeof r->data, r->ed_public) == 0;
}

static bool sodium_ed_make(struct ready *r)
{
    uint8_t out[64];
    return crypto_sign_ed25519_detached(out, NULL, r->data, sizeof r->data, r->sodium_ed) == 0;
}

static bool sodium_ed_private(struct ready *r)
{
    uint8_t secret[64], out[32];
    return crypto_sign_ed25519_seed_keypair(out, secret, r->seed) == 0;
}

static bool sodium_x25519(struct ready *r)
{
    uint8_t mine[32], shared[32];
    return crypto_scalarmult_base(mine, r->seed) == 0 && crypto_scalarmult(shared, r->seed, mine) == 0;
}

static bool sodium_hmac(struct ready *r)
{
    uint8_t out[32];
    return crypto_auth_hmacsha256(out, r->data, sizeof r->data, r->mac_key) == 0;
}

static bool sodium_sha256(struct ready *r)
{
    uint8_t out[32];
    return crypto_hash_sha256(out, r->data, sizeof r->data) == 0;
}

/* --- libcrypto ------------------------------------------------------------------------------------------------- */

static bool evp_check(EVP_PKEY *key, const EVP_MD *md, struct ready *r, const uint8_t *sig, size_t sig_len)
{
    EVP_MD_CTX_reset(r->evp);
    return EVP_DigestVerifyInit(r->evp, NULL, md, NULL, key) == 1 &&
           EVP_DigestVerify(r->evp, sig, sig_len, r->data, sizeof r->data) == 1;
}

static bool evp_make(EVP_PKEY *key, const EVP_MD *md, struct ready *r)
{
    uint8_t out[SIG_ROOM];
    size_t len = sizeof out;
    EVP_MD_CTX_reset(r->evp);
    return EVP_DigestSignInit(r->evp, NULL, md, NULL, key) == 1 &&
           EVP_DigestSign(r->evp, out, &len, r->data, sizeof r->data) == 1;
}

static bool evp_ed_check(struct ready *r)
{
    return evp_check(r->evp_ed, NULL, r, r->ed_sig, 64);
}

static bool evp_ed_check_new(struct ready *r)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, r->ed_public, 32);
    bool ok = key != NULL && evp_check(key, NULL, r, r->ed_sig, 64);
    EVP_PKEY_free(key);
    return ok;
}

static bool evp_ed_make(struct ready *r)
{
    return evp_make(r->evp_ed, NULL, r);
}

static bool evp_ed_private(struct ready *r)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, r->seed, 32);
    EVP_PKEY_free(key);
    return key != NULL;
}

static EVP_PKEY *evp_p256(const uint8_t point[65], const uint8_t *d)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *number = d != NULL ? BN_bin2bn(d, 32, NULL) : NULL;
    EVP_PKEY *key = NULL;

    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 65);
    if (d != NULL)
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, number);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    must(EVP_PKEY_fromdata_init(ctx) == 1 &&
             EVP_PKEY_fromdata(ctx, &key, d != NULL ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) == 1,
         "EVP_PKEY_fromdata");
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(number);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static bool evp_es_check(struct ready *r)
{
    return evp_check(r->evp_es, EVP_sha256(), r, r->es_der, r->es_der_len);
}

static bool evp_es_check_new(struct ready *r)
{
    EVP_PKEY *key = evp_p256(r->point, NULL);
    bool ok = evp_check(key, EVP_sha256(), r, r->es_der, r->es_der_len);
    EVP_PKEY_free(key);
    return ok;
}

static bool evp_es_make(struct ready *r)
{
    return evp_make(r->evp_es, EVP_sha256(), r);
}

static bool evp_x25519(struct ready *r)
{
    uint8_t shared[32];
    size_t len = sizeof shared;
    EVP_PKEY *mine = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, r->seed, 32);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(mine, NULL);
    bool ok = EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, mine) == 1 &&
              EVP_PKEY_derive(ctx, shared, &len) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(mine);
    return ok;
}

static bool evp_hmac(struct ready *r)
{
    uint8_t out[32];
    size_t len = 0;
    return EVP_MAC_init(r->mac, r->mac_key, 32, NULL) == 1 &&
           EVP_MAC_update(r->mac, r->data, sizeof r->data) == 1 &&
           EVP_MAC_final(r->mac, out, &len, sizeof out) == 1;
}

static bool evp_sha256(struct ready *r)
{
    uint8_t out[32];
    return SHA256(r->data, sizeof r->data, out) != NULL;
}

/* --- the table ------------------------------------------------------------------------------------------------- */

/* clang-format off */
enum { OURS, GNUTLS, SODIUM, LIBCRYPTO, LIBRARIES };
static const struct row {
    const char *operation;
    bool (*run[LIBRARIES])(struct ready *r);
} rows[] = {
    /* operation                             ours               GnuTLS, nettle     libsodium          libcrypto       */
    { "Ed25519 verify, key ready",         { ours_ed_check,     tls_ed_check,      sodium_ed_check,   evp_ed_check     } },
    { "Ed25519 verify, key from its bytes", { ours_ed_check_new, tls_ed_check_new, NULL,              evp_ed_check_new } },
    { "Ed25519 sign, key ready",           { ours_ed_make,      tls_ed_make,       sodium_ed_make,    evp_ed_make      } },
    { "Ed25519 private key from its seed", { ours_ed_private,   nettle_ed_private, sodium_ed_private, evp_ed_private   } },
    { "ES256 verify, key ready",           { ours_es_check,     tls_es_check,      NULL,              evp_es_check     } },
    { "ES256 verify, key from x and y",    { ours_es_check_new, tls_es_check_new,  NULL,              evp_es_check_new } },
    { "ES256 sign, key ready",             { ours_es_make,      tls_es_make,       NULL,              evp_es_make      } },
    { "X25519, both halves",               { NULL,              nettle_x25519,     sodium_x25519,     evp_x25519       } },
    { "HMAC-SHA-256",                      { ours_hmac,         tls_hmac,          sodium_hmac,       evp_hmac         } },
    { "SHA-256",                           { ours_sha256,       tls_sha256,        sodium_sha256,     evp_sha256       } },
};
/* clang-format on */

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double measure(bool (*run)(struct ready *r), struct ready *r, const char *what)
{
    double start = cpu_seconds(), now = start;
    long done = 0;

    while (now - start < SLICE_S) {
        for (int i = 0; i < 20; i++)
            must(run(r), what);
        done += 20;
        now = cpu_seconds();
    }
    return (now - start) * 1e6 / (double)done;
}

static void ready_gnutls(struct ready *r)
{
    gnutls_datum_t x = datum(r->ed_public, 32), seed = datum(r->seed, 32), d = datum(r->d, 32);
    gnutls_datum_t px = datum(r->point + 1, 32), py = datum(r->point + 33, 32);

    must(gnutls_privkey_init(&r->tls_ed) == 0 && gnutls_privkey_init(&r->tls_es) == 0 &&
             gnutls_pubkey_init(&r->tls_ed_public) == 0 && gnutls_pubkey_init(&r->tls_es_public) == 0 &&
             gnutls_privkey_import_ecc_raw(r->tls_ed, GNUTLS_ECC_CURVE_ED25519, &x, NULL, &seed) == 0 &&
             gnutls_privkey_import_ecc_raw(r->tls_es, GNUTLS_ECC_CURVE_SECP256R1, &px, &py, &d) == 0 &&
             gnutls_pubkey_import_ecc_raw(r->tls_ed_public, GNUTLS_ECC_CURVE_ED25519, &x, NULL) == 0 &&
             gnutls_pubkey_import_ecc_raw(r->tls_es_public, GNUTLS_ECC_CURVE_SECP256R1, &px, &py) == 0,
         "keys of GnuTLS");
}

static void ready_libcrypto(struct ready *r)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                            OSSL_PARAM_construct_end() };
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);

    r->evp = EVP_MD_CTX_new();
    r->evp_ed = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, r->seed, 32);
    r->evp_es = evp_p256(r->point, r->d);
    r->mac = EVP_MAC_CTX_new(hmac);
    must(EVP_MAC_CTX_set_params(r->mac, params) == 1, "EVP_MAC");
    EVP_MAC_free(hmac);
    r->es_der_len = sizeof r->es_der;
    must(EVP_DigestSignInit(r->evp, NULL, EVP_sha256(), NULL, r->evp_es) == 1 &&
             EVP_DigestSign(r->evp, r->es_der, &r->es_der_len, r->data, sizeof r->data) == 1,
         "a signature to check");
}

static void ready_all(struct ready *r)
{
    must(random_bytes(r->data, sizeof r->data) == ST_OK && random_bytes(r->mac_key, 32) == ST_OK,
         "random bytes");
    must(key_generate(KEY_ED25519, &r->ed) == ST_OK && key_generate(KEY_P256, &r->es) == ST_OK &&
             key_new_secret(span_of(r->mac_key, 32), &r->secret, NULL) == ST_OK,
         "keys");
    memcpy(r->seed, key_d(r->ed).p, 32);
    memcpy(r->ed_public, key_x(r->ed).p, 32);
    memcpy(r->d, key_d(r->es).p, 32);
    r->point[0] = 4;
    memcpy(r->point + 1, key_x(r->es).p, 32);
    memcpy(r->point + 33, key_y(r->es).p, 32);
    memcpy(r->sodium_ed, r->seed, 32);
    memcpy(r->sodium_ed + 32, r->ed_public, 32);
    must(sig_make(r->ed, SIG_EDDSA, data_of(r), r->ed_sig) == ST_OK &&
             sig_make(r->es, SIG_ES256, data_of(r), r->es_sig) == ST_OK,
         "signatures");
    must(sodium_init() >= 0, "sodium_init");
    ready_gnutls(r);
    ready_libcrypto(r);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double spent[COUNT_OF(rows)][LIBRARIES][ROUNDS_MAX];
    struct ready *r = calloc(1, sizeof *r);
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : ROUNDS;

    must(r != NULL && rounds > 0 && rounds <= ROUNDS_MAX, "crypto_bench [ROUNDS]");
    ready_all(r);
    for (long round = 0; round < rounds; round++)
        for (size_t i = 0; i < COUNT_OF(rows); i++)
            for (size_t k = 0; k < LIBRARIES; k++)
                if (rows[i].run[k] != NULL)
                    spent[i][k][round] = measure(rows[i].run[k], r, rows[i].operation);

    printf("| µs | src/crypto | GnuTLS %s, nettle | libsodium %s | libcrypto %s |\n|---|---|---|---|---|\n",
           gnutls_check_version(NULL), sodium_version_string(), OpenSSL_version(OPENSSL_VERSION_STRING));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        printf("| %s |", rows[i].operation);
        for (size_t k = 0; k < LIBRARIES; k++) {
            qsort(spent[i][k], (size_t)rounds, sizeof(double), by_size);
            if (rows[i].run[k] == NULL)
                printf(" – |");
            else
                printf(" %.2f |", spent[i][k][rounds / 2]);
        }
        putchar('\n');
    }
    return 0; /* the process ends, and with it what it held */
}
