/* crypto/aead.h - what JWE and COSE need: AES-GCM (NIST SP 800-38D), AES-CCM (SP 800-38C; RFC 9053 4.2), AES-CBC with
 * HMAC-SHA-256 (RFC 7518 5.2.3) and AES key wrap (RFC 3394). Keys are raw bytes here: content keys live for one token.
 * A wrong key length is our bug (ASSERT) except for unwrapping keys, whose lengths callers check; nonces and
 * tags of the wrong length are the peer's (refused).
 * Failure: ST_BAD_CREDENTIAL when authentication fails; then nothing has been added to `out`.
 * Threads: no state. */
#ifndef SYMBOLON_CRYPTO_AEAD_H
#define SYMBOLON_CRYPTO_AEAD_H

#include "base/buf.h"

enum aead_alg { AEAD_AES128_GCM, AEAD_AES256_GCM, AEAD_AES128_CBC_HS256, AEAD_AES128_CCM, AEAD_AES128_CCM_8 };

#define AEAD_TAG_LEN   16 /* the longest, and of all but CCM_8 */
#define AEAD_NONCE_MAX 16
#define AEAD_KEY_MAX   32

size_t aead_key_len(enum aead_alg alg);   /* 16, 32, 32 (MAC key, then cipher key), 16, 16 */
size_t aead_nonce_len(enum aead_alg alg); /* 12, 12, 16, 13, 13 */

/* Appends the ciphertext to `out` and writes the tag: 8 bytes with AEAD_AES128_CCM_8, else all 16. The nonce must never
 * repeat under one key (TK-67). */
enum status aead_seal(enum aead_alg alg, struct span key, struct span nonce, struct span aad, struct span plain,
                      struct buf *out, uint8_t tag[AEAD_TAG_LEN]) MUST_CHECK;

/* Appends the plaintext to `out`. Wrong nonce or tag length: ST_MALFORMED (TK-62). */
enum status aead_open(enum aead_alg alg, struct span key, struct span nonce, struct span aad,
                      struct span sealed, struct span tag, struct buf *out, struct why *why) MUST_CHECK;

#define KEYWRAP_GROWTH 8
#define KEYWRAP_MAX    64 /* bytes of a key that is wrapped */

/* RFC 3394 2.2: kek of 16 or 32 bytes, a key of 16 to KEYWRAP_MAX bytes in steps of 8; appends key.len + 8. */
enum status keywrap_wrap(struct span kek, struct span key, struct buf *out) MUST_CHECK;
/* Appends wrapped.len - 8 bytes. Lengths no wrapping can have: ST_MALFORMED. */
enum status keywrap_unwrap(struct span kek, struct span wrapped, struct buf *out, struct why *why) MUST_CHECK;

#endif
