/* P-256: ECDSA, Diffie-Hellman and what a key must be, on libcrypto.
 *
 * In a context of the library of our own: no openssl.cnf of this machine changes what is computed here, and nothing here
 * changes what else in the process uses the library. */
#include "crypto/curve_priv.h"
#include "crypto/secret.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#define CURVE     "prime256v1"
#define POINT_LEN (1 + 2 * KEY_PART_LEN) /* uncompressed: SEC 1 2.3.3 */
#define DER_MAX   80                     /* ECDSA-Sig-Value of two such numbers: 72 */

/* n, the order of the base point, big-endian (FIPS 186-4 D.1.2.3). */
static const uint8_t p256_n[KEY_PART_LEN] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};

/* The curve as the library wants to be told of it. Made by whoever needs it first, and only read from then on: making it
 * takes a third as long as a verification. Made once or never: a process without the memory for it at its first key does
 * without P-256. */
static struct {
    CRYPTO_ONCE once;
    OSSL_LIB_CTX *lib;
    EC_GROUP *group;
    EVP_PKEY *empty; /* a key of this curve with neither half, to be copied */
} curve = { .once = CRYPTO_ONCE_STATIC_INIT };

static void pkey_ctx_freep(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

static void pkey_freep(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void point_freep(EC_POINT **point)
{
    EC_POINT_clear_free(*point);
}

static void bn_freep(BIGNUM **bn)
{
    BN_clear_free(*bn);
}

static void bn_ctx_freep(BN_CTX **ctx)
{
    BN_CTX_free(*ctx);
}

static void sig_freep(ECDSA_SIG **sig)
{
    ECDSA_SIG_free(*sig);
}

/* What the library remembers of a failure would be told by the next caller that looks. */
static enum status failed(enum status st)
{
    ERR_clear_error();
    return st;
}

/* What the library says no to: a peer's bytes, for which it has errors like any other, or want of memory. */
static enum status refused(enum status st)
{
    bool poor = false;

    for (unsigned long e = ERR_get_error(); e != 0; e = ERR_get_error())
        poor = poor || ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE;
    return poor ? ST_NO_MEMORY : st;
}

static EVP_PKEY *key_from(OSSL_LIB_CTX *lib, int selection, OSSL_PARAM *params)
{
    CLEANUP(pkey_ctx_freep)
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(lib, "EC", NULL);
    EVP_PKEY *key = NULL;

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, selection, params) != 1)
        return NULL;
    return key;
}

static void make_curve(void)
{
    char name[] = CURVE;
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
                            OSSL_PARAM_construct_end() };

    curve.lib = OSSL_LIB_CTX_new();
    if (curve.lib == NULL)
        return;
    curve.group = EC_GROUP_new_by_curve_name_ex(curve.lib, NULL, NID_X9_62_prime256v1);
    curve.empty = key_from(curve.lib, EVP_PKEY_KEY_PARAMETERS, params);
}

static bool have_curve(void)
{
    return CRYPTO_THREAD_run_once(&curve.once, make_curve) == 1 && curve.group != NULL && curve.empty != NULL;
}

static void spell_point(const uint8_t x[KEY_PART_LEN], const uint8_t y[KEY_PART_LEN], uint8_t out[POINT_LEN])
{
    out[0] = POINT_CONVERSION_UNCOMPRESSED;
    memcpy(out + 1, x, KEY_PART_LEN);
    memcpy(out + 1 + KEY_PART_LEN, y, KEY_PART_LEN);
}

/* A secret scalar: the library takes its slow and even path for it. */
static BIGNUM *read_scalar(const uint8_t d[KEY_PART_LEN])
{
    BIGNUM *scalar = BN_bin2bn(d, KEY_PART_LEN, NULL);

    if (scalar != NULL)
        BN_set_flags(scalar, BN_FLG_CONSTTIME);
    return scalar;
}

/* -- keys -------------------------------------------------------------------------------------------------------- */

static enum status make_private(const BIGNUM *scalar, uint8_t point[POINT_LEN], EVP_PKEY **ret_key)
{
    char name[] = CURVE;
    uint8_t number[KEY_PART_LEN]; /* the parameters of the library have the machine's order of bytes */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, POINT_LEN),
        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, number, sizeof number),
        OSSL_PARAM_construct_end(),
    };

    if (BN_bn2nativepad(scalar, number, sizeof number) < 0)
        return failed(ST_INTERNAL);
    *ret_key = key_from(curve.lib, EVP_PKEY_KEYPAIR, params);
    secret_wipe(number, sizeof number);
    return *ret_key != NULL ? ST_OK : failed(ST_NO_MEMORY);
}

enum status p256_private_new(const uint8_t d[KEY_PART_LEN], uint8_t x[KEY_PART_LEN], uint8_t y[KEY_PART_LEN],
                             struct evp_pkey_st **ret_key)
{
    uint8_t bytes[POINT_LEN];

    if (!p256_in_order(d))
        return ST_MALFORMED;
    if (!have_curve())
        return failed(ST_NO_MEMORY);
    CLEANUP(bn_ctx_freep)
    BN_CTX *room = BN_CTX_new_ex(curve.lib);
    CLEANUP(bn_freep)
    BIGNUM *scalar = read_scalar(d);
    CLEANUP(point_freep)
    EC_POINT *point = EC_POINT_new(curve.group);
    if (room == NULL || scalar == NULL || point == NULL ||
        EC_POINT_mul(curve.group, point, scalar, NULL, NULL, room) != 1 ||
        EC_POINT_point2oct(curve.group, point, POINT_CONVERSION_UNCOMPRESSED, bytes, POINT_LEN, room) !=
            POINT_LEN)
        return failed(ST_NO_MEMORY);
    memcpy(x, bytes + 1, KEY_PART_LEN);
    memcpy(y, bytes + 1 + KEY_PART_LEN, KEY_PART_LEN);
    return make_private(scalar, bytes, ret_key);
}

void p256_private_free(struct evp_pkey_st *key)
{
    EVP_PKEY_free(key); /* clears the number */
}

/* The library refuses coordinates from p on, and what is not on the curve. */
static enum status read_point(const uint8_t x[KEY_PART_LEN], const uint8_t y[KEY_PART_LEN], BN_CTX *room,
                              EC_POINT *point)
{
    uint8_t bytes[POINT_LEN];

    spell_point(x, y, bytes);
    return EC_POINT_oct2point(curve.group, point, bytes, sizeof bytes, room) == 1 ? ST_OK
                                                                                  : refused(ST_MALFORMED);
}

enum status p256_on_curve(const uint8_t x[KEY_PART_LEN], const uint8_t y[KEY_PART_LEN])
{
    if (!have_curve())
        return failed(ST_NO_MEMORY);
    CLEANUP(bn_ctx_freep)
    BN_CTX *room = BN_CTX_new_ex(curve.lib);
    CLEANUP(point_freep)
    EC_POINT *point = EC_POINT_new(curve.group);
    return room != NULL && point != NULL ? read_point(x, y, room, point) : failed(ST_NO_MEMORY);
}

enum status p256_multiply(const uint8_t d[KEY_PART_LEN], const uint8_t x[KEY_PART_LEN],
                          const uint8_t y[KEY_PART_LEN], uint8_t out[KEY_PART_LEN])
{
    uint8_t bytes[POINT_LEN];

    if (!p256_in_order(d))
        return ST_MALFORMED;
    if (!have_curve())
        return failed(ST_NO_MEMORY);
    CLEANUP(bn_ctx_freep)
    BN_CTX *room = BN_CTX_new_ex(curve.lib);
    CLEANUP(bn_freep)
    BIGNUM *scalar = read_scalar(d);
    CLEANUP(point_freep)
    EC_POINT *point = EC_POINT_new(curve.group), *product = EC_POINT_new(curve.group);
    if (room == NULL || scalar == NULL || point == NULL || product == NULL)
        return failed(ST_NO_MEMORY);
    enum status st = read_point(x, y, room, point);
    if (st != ST_OK)
        return st;
    if (EC_POINT_mul(curve.group, product, NULL, point, scalar, room) != 1 ||
        EC_POINT_point2oct(curve.group, product, POINT_CONVERSION_UNCOMPRESSED, bytes, POINT_LEN, room) !=
            POINT_LEN)
        return failed(ST_INTERNAL);
    memcpy(out, bytes + 1, KEY_PART_LEN);
    secret_wipe(bytes, sizeof bytes);
    return ST_OK;
}

/* -- signatures: the library's are DER (ECDSA-Sig-Value), ours both numbers at full width (RFC 7518 3.4) --------- */

enum status p256_sign(struct evp_pkey_st *key, const uint8_t digest[KEY_PART_LEN], uint8_t out[CURVE_SIG_LEN])
{
    uint8_t der[DER_MAX];
    const uint8_t *p = der;
    size_t len = sizeof der;

    CLEANUP(pkey_ctx_freep)
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(curve.lib, key, NULL);
    if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1 || EVP_PKEY_sign(ctx, der, &len, digest, KEY_PART_LEN) != 1)
        return failed(ST_INTERNAL);
    CLEANUP(sig_freep)
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)len);
    if (sig == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, KEY_PART_LEN) < 0 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + KEY_PART_LEN, KEY_PART_LEN) < 0)
        return failed(ST_INTERNAL);
    return ST_OK;
}

static int spell_der(const uint8_t raw[CURVE_SIG_LEN], uint8_t der[DER_MAX])
{
    CLEANUP(sig_freep)
    ECDSA_SIG *sig = ECDSA_SIG_new();
    CLEANUP(bn_freep)
    BIGNUM *r = BN_bin2bn(raw, KEY_PART_LEN, NULL), *s = BN_bin2bn(raw + KEY_PART_LEN, KEY_PART_LEN, NULL);

    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1)
        return -1;
    r = s = NULL; /* now the signature's */
    return i2d_ECDSA_SIG(sig, &der);
}

enum status p256_check(const uint8_t x[KEY_PART_LEN], const uint8_t y[KEY_PART_LEN],
                       const uint8_t digest[KEY_PART_LEN], const uint8_t sig[CURVE_SIG_LEN])
{
    uint8_t point[POINT_LEN], der[DER_MAX];

    if (!have_curve())
        return failed(ST_NO_MEMORY);
    int len = spell_der(sig, der);
    spell_point(x, y, point);
    CLEANUP(pkey_freep)
    EVP_PKEY *key = EVP_PKEY_dup(curve.empty);
    if (len < 0 || key == NULL || EVP_PKEY_set1_encoded_public_key(key, point, sizeof point) != 1)
        return failed(ST_NO_MEMORY);
    CLEANUP(pkey_ctx_freep)
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(curve.lib, key, NULL);
    if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1)
        return failed(ST_NO_MEMORY);
    if (EVP_PKEY_verify(ctx, der, (size_t)len, digest, KEY_PART_LEN) == 1)
        return ST_OK;
    return refused(ST_BAD_CREDENTIAL);
}

/* -- numbers ------------------------------------------------------------------------------------------------------- */

bool p256_in_order(const uint8_t v[KEY_PART_LEN])
{
    unsigned any = 0, borrow = 0;

    for (size_t i = KEY_PART_LEN; i-- > 0;) {
        any |= v[i];
        borrow = ((unsigned)v[i] - p256_n[i] - borrow) >> 31;
    }
    return (any != 0) & (borrow != 0); /* v - n is negative */
}

void p256_negate(const uint8_t v[KEY_PART_LEN], uint8_t out[KEY_PART_LEN])
{
    int borrow = 0;

    for (size_t i = KEY_PART_LEN; i-- > 0;) {
        int d = p256_n[i] - v[i] - borrow;

        borrow = d < 0;
        out[i] = (uint8_t)(d & 0xff);
    }
}
