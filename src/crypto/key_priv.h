/* crypto/key_priv.h - inside of a key, for sign.c, key_pem.c and x509.c. */
#ifndef SYMBOLON_CRYPTO_KEY_PRIV_H
#define SYMBOLON_CRYPTO_KEY_PRIV_H

#include "crypto/key.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdatomic.h>

/* Everything but `refs` is written before the first reference is handed out; signing and verifying only read it. A curve
 * key is its bytes; what a library needs beyond them is made once for the keys that work all day, which are the private
 * ones of P-256, and for RSA. */
struct key {
    atomic_uint refs;
    enum key_kind kind;
    bool is_private;
    uint8_t x[KEY_PART_LEN];
    uint8_t y[KEY_PART_LEN];
    uint8_t d[KEY_PART_LEN];
    union {
        struct evp_pkey_st *p256; /* KEY_P256, if is_private */
        gnutls_pubkey_t rsa;      /* KEY_RSA */
    } object;
    size_t secret_len;   /* of all of secret[] */
    size_t exponent_len; /* KEY_RSA: of its end */
    uint8_t secret[];    /* KEY_SECRET; KEY_RSA: modulus, then exponent */
};

static inline gnutls_datum_t key_datum(struct span s)
{
    /* The library's datum has no const; it does not write through these. */
    return (gnutls_datum_t){ (unsigned char *)(uintptr_t)s.p, (unsigned)s.len };
}

/* A private key of either curve as GnuTLS has them, for certificates and files. The caller frees it. */
int key_to_x509(const struct key *key, gnutls_x509_privkey_t *ret_object);

#endif
