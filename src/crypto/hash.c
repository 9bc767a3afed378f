#include "crypto/hash.h"

#include "crypto/secret.h"

#include <gnutls/crypto.h>

enum status sha256(struct span data, uint8_t out[SHA256_LEN])
{
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, data.p, data.len, out) == 0 ? ST_OK : ST_INTERNAL;
}

enum status sha1(struct span data, uint8_t out[SHA1_LEN])
{
    return gnutls_hash_fast(GNUTLS_DIG_SHA1, data.p, data.len, out) == 0 ? ST_OK : ST_INTERNAL;
}

enum status hmac_sha256(struct span key, struct span data, uint8_t out[SHA256_LEN])
{
    int rc = gnutls_hmac_fast(GNUTLS_MAC_SHA256, key.p, key.len, data.p, data.len, out);
    return rc == 0 ? ST_OK : ST_INTERNAL;
}

static gnutls_datum_t datum(struct span s)
{
    /* The library's datum has no const; it does not write through these. */
    return (gnutls_datum_t){ (unsigned char *)(uintptr_t)s.p, (unsigned)s.len };
}

enum status hkdf_sha256(struct span secret, struct span salt, struct span info, uint8_t *out, size_t out_len)
{
    static const uint8_t no_salt[SHA256_LEN];
    uint8_t prk[SHA256_LEN];

    ASSERT(out_len <= 255 * SHA256_LEN);
    if (salt.len == 0)
        salt = span_of(no_salt, sizeof no_salt);
    gnutls_datum_t secret_d = datum(secret), salt_d = datum(salt), info_d = datum(info);
    int rc = gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &secret_d, &salt_d, prk);
    if (rc == 0) {
        gnutls_datum_t prk_d = { prk, sizeof prk };
        rc = gnutls_hkdf_expand(GNUTLS_MAC_SHA256, &prk_d, &info_d, out, out_len);
    }
    secret_wipe(prk, sizeof prk);
    return rc == 0 ? ST_OK : ST_INTERNAL;
}
