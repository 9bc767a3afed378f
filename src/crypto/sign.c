#include "crypto/sign.h"

#include "crypto/curve_priv.h"
#include "crypto/hash.h"
#include "crypto/key_priv.h"
#include "crypto/secret.h"

/* clang-format off */
/* alg             JOSE name   key          bytes  GnuTLS: only of RSA */
static const struct sig_rule {
    const char *name;
    enum key_kind kind;
    size_t len;
    gnutls_sign_algorithm_t gnutls;
} sig_rules[SIG_ALGS] = {
    [SIG_HS256] = { "HS256",   KEY_SECRET,  32,    GNUTLS_SIGN_UNKNOWN       }, /* RFC 7518 3.2 */
    [SIG_EDDSA] = { "EdDSA",   KEY_ED25519, 64,    GNUTLS_SIGN_UNKNOWN       }, /* RFC 8037 3.1 */
    [SIG_ES256] = { "ES256",   KEY_P256,    64,    GNUTLS_SIGN_UNKNOWN       }, /* RFC 7518 3.4 */
    [SIG_RS256] = { "RS256",   KEY_RSA,     0,     GNUTLS_SIGN_RSA_SHA256    }, /* RFC 7518 3.3 */
    [SIG_PS256] = { "PS256",   KEY_RSA,     0,     GNUTLS_SIGN_RSA_PSS_RSAE_SHA256 }, /* RFC 7518 3.5; salt of 32 */
};
/* clang-format on */

size_t sig_len(const struct key *key)
{
    return key->kind == KEY_RSA ? key_n(key).len : sig_rules[sig_for_key(key)].len;
}

const char *sig_name(enum sig_alg alg)
{
    return sig_rules[alg].name;
}

bool sig_from_name(struct span name, enum sig_alg *ret_alg)
{
    for (size_t i = 0; i < SIG_ALGS; i++) {
        if (span_eq_str(name, sig_rules[i].name)) {
            *ret_alg = (enum sig_alg)i;
            return true;
        }
    }
    return false;
}

bool sig_fits(enum sig_alg alg, const struct key *key)
{
    return sig_rules[alg].kind == key->kind;
}

enum sig_alg sig_for_key(const struct key *key)
{
    for (size_t i = 0; i < SIG_ALGS; i++)
        if (sig_fits((enum sig_alg)i, key))
            return (enum sig_alg)i;
    ASSERT(false); /* a kind of key without an algorithm */
    return SIG_HS256;
}

static enum status make_es256(const struct key *key, struct span data, uint8_t out[SIG_MAX])
{
    uint8_t digest[SHA256_LEN];
    enum status st = sha256(data, digest);

    return st == ST_OK ? p256_sign(key->object.p256, digest, out) : st;
}

enum status sig_make(const struct key *key, enum sig_alg alg, struct span data, uint8_t out[SIG_MAX])
{
    if (!sig_fits(alg, key) || !key->is_private)
        return ST_UNSUPPORTED;
    memset(out, 0, SIG_MAX);
    if (alg == SIG_HS256)
        return hmac_sha256(key_secret(key), data, out);
    if (alg == SIG_ES256)
        return make_es256(key, data, out);
    ed25519_sign(key->d, key->x, data, out);
    return ST_OK;
}

enum status sig_make_of_digest(const struct key *key, const uint8_t digest[SHA256_LEN], uint8_t out[SIG_MAX])
{
    return key->kind == KEY_P256 && key->is_private ? p256_sign(key->object.p256, digest, out) : ST_UNSUPPORTED;
}

static enum status check_hs256(const struct key *key, struct span data, struct span sig, struct why *why)
{
    uint8_t mac[SHA256_LEN];
    enum status st = hmac_sha256(key_secret(key), data, mac);

    if (st == ST_OK && !secret_eq(span_of(mac, sizeof mac), sig))
        st = reject(why, ST_BAD_CREDENTIAL, "RFC 7515 5.2", "MAC does not match", 0);
    secret_wipe(mac, sizeof mac); /* the right MAC for bytes an attacker chose */
    return st;
}

static enum status check_es256(const struct key *key, struct span data, struct span sig, struct why *why)
{
    uint8_t digest[SHA256_LEN];

    if (!p256_in_order(sig.p) || !p256_in_order(sig.p + KEY_PART_LEN))
        return reject(why, ST_BAD_CREDENTIAL, "TK-59", "r or s out of range", 0);
    enum status st = sha256(data, digest);
    if (st == ST_OK)
        st = p256_check(key->x, key->y, digest, sig.p);
    if (st == ST_NO_MEMORY)
        return reject(why, st, "memory", "out of memory", 0);
    return st == ST_OK ? ST_OK : reject(why, st, "RFC 7515 5.2", "signature does not match", 0);
}

static enum status check_rsa(const struct key *key, enum sig_alg alg, struct span data, struct span sig,
                             struct why *why)
{
    gnutls_datum_t in = key_datum(data), raw = key_datum(sig);

    if (gnutls_pubkey_verify_data2(key->object.rsa, sig_rules[alg].gnutls, 0, &in, &raw) < 0)
        return reject(why, ST_BAD_CREDENTIAL, "RFC 7515 5.2", "signature does not match", 0);
    return ST_OK;
}

enum status sig_check(const struct key *key, enum sig_alg alg, struct span data, struct span sig,
                      struct why *why)
{
    if (!sig_fits(alg, key))
        return reject(why, ST_UNSUPPORTED, "TK-41", "the key is not one for this algorithm", 0);
    if (sig.len != sig_len(key))
        return reject(why, ST_BAD_CREDENTIAL, "TK-63", "signature or MAC of the wrong length", 0);
    switch (alg) {
    case SIG_HS256:
        return check_hs256(key, data, sig, why);
    case SIG_ES256:
        return check_es256(key, data, sig, why);
    case SIG_RS256:
    case SIG_PS256:
        return check_rsa(key, alg, data, sig, why);
    case SIG_EDDSA:
        break;
    }
    return ed25519_check(key->x, data, sig.p)
               ? ST_OK
               : reject(why, ST_BAD_CREDENTIAL, "RFC 7515 5.2", "signature does not match", 0);
}

bool sig_es256_twin(const uint8_t sig[SIG_ES256_LEN], uint8_t twin[SIG_ES256_LEN])
{
    memcpy(twin, sig, KEY_PART_LEN);
    p256_negate(sig + KEY_PART_LEN, twin + KEY_PART_LEN);
    return memcmp(twin + KEY_PART_LEN, sig + KEY_PART_LEN, KEY_PART_LEN) < 0;
}
