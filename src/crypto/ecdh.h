/* crypto/ecdh.h - Diffie-Hellman on P-256 (SP 800-56A 5.7.1.2), for encryption to a receiver's public key.
 * Threads: no state. */
#ifndef SYMBOLON_CRYPTO_ECDH_H
#define SYMBOLON_CRYPTO_ECDH_H

#include "crypto/key.h"

#define ECDH_LEN 32

/* The x-coordinate both sides arrive at; wipe it after use. `theirs` is on the curve, or key_new_p256_public() would
 * not have made it (TK-61). ST_UNSUPPORTED unless `mine` is a private P-256 key and `theirs` a P-256 key. */
enum status ecdh_p256(const struct key *mine, const struct key *theirs, uint8_t out[ECDH_LEN]) MUST_CHECK;

#endif
