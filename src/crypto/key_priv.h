/* crypto/key_priv.h - inside of a key, for sign.c, key_pem.c and x509.c. */
#ifndef SYMBOLON_CRYPTO_KEY_PRIV_H
#define SYMBOLON_CRYPTO_KEY_PRIV_H

#include "crypto/key.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdatomic.h>

/* Everything but `refs` is written before the first reference is handed out. The two library objects are made
 * once, here, so that a signature on a hot path imports nothing; signing and verifying only read them. */
struct key {
    atomic_uint refs;
    enum key_kind kind;
    bool is_private;
    uint8_t x[KEY_PART_LEN];
    uint8_t y[KEY_PART_LEN];
    uint8_t d[KEY_PART_LEN];
    gnutls_pubkey_t public_object;   /* not for KEY_SECRET */
    gnutls_privkey_t private_object; /* if is_private and not KEY_SECRET */
    size_t secret_len;               /* of all of secret[] */
    size_t exponent_len;             /* KEY_RSA: of its end */
    uint8_t secret[];                /* KEY_SECRET; KEY_RSA: modulus, then exponent */
};

static inline gnutls_datum_t key_datum(struct span s)
{
    /* The library's datum has no const; it does not write through these. */
    return (gnutls_datum_t){ (unsigned char *)(uintptr_t)s.p, (unsigned)s.len };
}

#endif
