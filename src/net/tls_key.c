/* Our own key in TLS. A P-256 key signs through src/crypto, in half the time GnuTLS takes for it (docs/decisions/0029); any
 * other key is GnuTLS's own. */
#include "crypto/sign.h"
#include "net/tls_priv.h"

#include <gnutls/crypto.h>

static int sign_digest(gnutls_privkey_t object, gnutls_sign_algorithm_t alg, void *userdata, unsigned flags,
                       const gnutls_datum_t *digest, gnutls_datum_t *ret_sig)
{
    const struct key *key = userdata;
    uint8_t sig[SIG_MAX];
    (void)object, (void)alg, (void)flags;

    /* Of a longer digest ECDSA takes the first bits: FIPS 186-4 6.4. A shorter one no algorithm here has. */
    if (digest->size < SHA256_LEN || sig_make_of_digest(key, digest->data, sig) != ST_OK)
        return GNUTLS_E_PK_SIGN_FAILED;
    gnutls_datum_t r = { sig, SIG_MAX / 2 }, s = { sig + SIG_MAX / 2, SIG_MAX / 2 };
    return gnutls_encode_rs_value(ret_sig, &r, &s);
}

static int describe(gnutls_privkey_t object, unsigned flags, void *userdata)
{
    (void)object, (void)userdata;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
        return GNUTLS_PK_ECDSA;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
        return 8 * KEY_PART_LEN;
    if (flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO)
        switch (GNUTLS_FLAGS_TO_SIGN_ALGO(flags)) {
        case GNUTLS_SIGN_ECDSA_SECP256R1_SHA256:
        case GNUTLS_SIGN_ECDSA_SHA256:
        case GNUTLS_SIGN_ECDSA_SHA384:
        case GNUTLS_SIGN_ECDSA_SHA512:
            return 1;
        default:
            return 0;
        }
    return -1;
}

static void forget(gnutls_privkey_t object, void *userdata)
{
    (void)object;
    key_unref(userdata);
}

int tls_key_pem(const struct tls_settings *settings, gnutls_datum_t *ret_pem)
{
    const char *file = settings->key_file != NULL ? settings->key_file : settings->cert_file;
    if (settings->key_pem.len == 0)
        return gnutls_load_file(file, ret_pem);
    ret_pem->data = gnutls_malloc(settings->key_pem.len);
    if (ret_pem->data == NULL)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(ret_pem->data, settings->key_pem.p, settings->key_pem.len);
    ret_pem->size = (unsigned)settings->key_pem.len;
    return 0;
}

/* A key of this object's that src/crypto signs with, or no such key: GnuTLS says what it is. */
static int import(gnutls_privkey_t object, const gnutls_datum_t *pem)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    if (key_read_pem(span_of(pem->data, pem->size), &key, NULL) != ST_OK || key_kind(key) != KEY_P256 ||
        !key_is_private(key))
        return gnutls_privkey_import_x509_raw(object, pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    int rc = gnutls_privkey_import_ext4(object, key, NULL, sign_digest, NULL, forget, describe, 0);
    if (rc == 0)
        (void)TAKE(key); /* the object's, until it calls forget() */
    return rc;
}

int tls_key_read(const struct tls_settings *settings, gnutls_privkey_t *ret_key)
{
    gnutls_datum_t pem = { NULL, 0 };
    int rc = tls_key_pem(settings, &pem);
    if (rc < 0)
        return rc;
    rc = gnutls_privkey_init(ret_key);
    if (rc == 0) {
        rc = import(*ret_key, &pem);
        if (rc < 0)
            gnutls_privkey_deinit(*ret_key);
    }
    gnutls_memset(pem.data, 0, pem.size);
    gnutls_free(pem.data);
    return rc;
}
