/* jose/agree_priv.h - the key two parties agree on for one JWE (RFC 7518 4.6): Diffie-Hellman on P-256, then the
 * Concat KDF (SP 800-56A 5.8.1) with SHA-256. */
#ifndef SYMBOLON_JOSE_AGREE_PRIV_H
#define SYMBOLON_JOSE_AGREE_PRIV_H

#include "crypto/key.h"

#define AGREED_MAX 32 /* one round of the KDF */

struct agreement {
    const char *purpose;  /* AlgorithmID: `enc` for ECDH-ES alone, else `alg` */
    struct span apu, apv; /* decoded */
    size_t len;           /* bytes wanted, at most AGREED_MAX */
};

enum status jose_agree(const struct key *mine, const struct key *theirs, const struct agreement *about,
                       uint8_t out[AGREED_MAX]) MUST_CHECK;

#endif
