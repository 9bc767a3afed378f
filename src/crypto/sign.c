#include "crypto/sign.h"

#include "crypto/curve_priv.h"
#include "crypto/hash.h"
#include "crypto/key_priv.h"
#include "crypto/secret.h"

#include <gnutls/crypto.h>

/* clang-format off */
/* alg             JOSE name   key          bytes  GnuTLS */
static const struct sig_rule {
    const char *name;
    enum key_kind kind;
    size_t len;
    gnutls_sign_algorithm_t gnutls;
} sig_rules[SIG_ALGS] = {
    [SIG_HS256] = { "HS256",   KEY_SECRET,  32,    GNUTLS_SIGN_UNKNOWN       }, /* RFC 7518 3.2 */
    [SIG_EDDSA] = { "EdDSA",   KEY_ED25519, 64,    GNUTLS_SIGN_EDDSA_ED25519 }, /* RFC 8037 3.1 */
    [SIG_ES256] = { "ES256",   KEY_P256,    64,    GNUTLS_SIGN_ECDSA_SHA256  }, /* RFC 7518 3.4 */
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

/* DER ECDSA-Sig-Value to raw r || s: RFC 7518 3.4 wants both at full width. */
static bool rs_from_der(const gnutls_datum_t *der, uint8_t out[SIG_MAX])
{
    gnutls_datum_t part[2] = { { 0 }, { 0 } };
    bool ok = gnutls_decode_rs_value(der, &part[0], &part[1]) == 0;

    for (size_t i = 0; i < 2 && ok; i++) {
        const uint8_t *p = part[i].data;
        size_t len = part[i].size;
        while (len > 0 && *p == 0)
            p++, len--;
        ok = len <= KEY_PART_LEN;
        if (ok)
            memcpy(out + i * KEY_PART_LEN + KEY_PART_LEN - len, p, len);
    }
    gnutls_free(part[0].data);
    gnutls_free(part[1].data);
    return ok;
}

static gnutls_datum_t without_leading_zeros(struct span s)
{
    while (s.len > 1 && s.p[0] == 0)
        s = span_cut(s, 1, s.len);
    return key_datum(s);
}

enum status sig_make(const struct key *key, enum sig_alg alg, struct span data, uint8_t out[SIG_MAX])
{
    gnutls_datum_t in = key_datum(data), sig = { 0 };
    bool ok;

    if (!sig_fits(alg, key) || !key->is_private)
        return ST_UNSUPPORTED;
    memset(out, 0, SIG_MAX);
    if (alg == SIG_HS256)
        return hmac_sha256(key_secret(key), data, out);
    if (gnutls_privkey_sign_data2(key->private_object, sig_rules[alg].gnutls, 0, &in, &sig) != 0)
        return ST_INTERNAL;
    if (alg == SIG_ES256) {
        ok = rs_from_der(&sig, out);
    } else {
        ok = sig.size == sig_rules[alg].len;
        if (ok)
            memcpy(out, sig.data, sig.size);
    }
    gnutls_free(sig.data);
    return ok ? ST_OK : ST_INTERNAL;
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

static enum status check_es256(const struct key *key, gnutls_datum_t data, struct span sig, struct why *why)
{
    gnutls_datum_t der = { 0 };

    if (!p256_in_order(sig.p) || !p256_in_order(sig.p + KEY_PART_LEN))
        return reject(why, ST_BAD_CREDENTIAL, "TK-59", "r or s out of range", 0);
    gnutls_datum_t r = without_leading_zeros(span_cut(sig, 0, KEY_PART_LEN));
    gnutls_datum_t s = without_leading_zeros(span_cut(sig, KEY_PART_LEN, KEY_PART_LEN));
    if (gnutls_encode_rs_value(&der, &r, &s) != 0)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    int rc = gnutls_pubkey_verify_data2(key->public_object, sig_rules[SIG_ES256].gnutls, 0, &data, &der);
    gnutls_free(der.data);
    return rc >= 0 ? ST_OK : reject(why, ST_BAD_CREDENTIAL, "RFC 7515 5.2", "signature does not match", 0);
}

enum status sig_check(const struct key *key, enum sig_alg alg, struct span data, struct span sig,
                      struct why *why)
{
    gnutls_datum_t in = key_datum(data), raw = key_datum(sig);

    if (!sig_fits(alg, key))
        return reject(why, ST_UNSUPPORTED, "TK-41", "the key is not one for this algorithm", 0);
    if (sig.len != sig_len(key))
        return reject(why, ST_BAD_CREDENTIAL, "TK-63", "signature or MAC of the wrong length", 0);
    if (alg == SIG_HS256)
        return check_hs256(key, data, sig, why);
    if (alg == SIG_ES256)
        return check_es256(key, in, sig, why);
    /* RFC 8032 5.1.7: the library refuses S >= L (TK-60), as a test here makes sure of. */
    if (gnutls_pubkey_verify_data2(key->public_object, sig_rules[alg].gnutls, 0, &in, &raw) < 0)
        return reject(why, ST_BAD_CREDENTIAL, "RFC 7515 5.2", "signature does not match", 0);
    return ST_OK;
}

bool sig_es256_twin(const uint8_t sig[SIG_ES256_LEN], uint8_t twin[SIG_ES256_LEN])
{
    memcpy(twin, sig, KEY_PART_LEN);
    p256_negate(sig + KEY_PART_LEN, twin + KEY_PART_LEN);
    return memcmp(twin + KEY_PART_LEN, sig + KEY_PART_LEN, KEY_PART_LEN) < 0;
}
