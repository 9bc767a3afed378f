/* jose/jwe_priv.h - encryption with the content key and IV chosen by the caller: for published vectors only.
 * Anything else uses jwe_encrypt(), which draws both. */
#ifndef SYMBOLON_JOSE_JWE_PRIV_H
#define SYMBOLON_JOSE_JWE_PRIV_H

#include "jose/jwe.h"

struct jwe_plan {
    enum jwe_alg alg;
    enum jwe_enc enc;
    struct span kid, typ, cty;
    struct span cek;             /* empty for "dir" and ECDH-ES, where it follows from the keys */
    const struct key *ephemeral; /* ECDH-ES: our private key, for this text only */
    struct span iv;
};
enum status jwe_encrypt_with(const struct jwe_plan *plan, const struct key *key, struct span plaintext,
                             struct buf *out) MUST_CHECK;

#endif
