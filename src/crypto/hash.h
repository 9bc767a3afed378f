/* crypto/hash.h - SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104), HKDF-SHA-256 (RFC 5869).
 * Failure: ST_INTERNAL from the library; in practice never. Threads: no state. */
#ifndef SYMBOLON_CRYPTO_HASH_H
#define SYMBOLON_CRYPTO_HASH_H

#include "base/span.h"
#include "base/status.h"

#define SHA256_LEN 32
#define SHA1_LEN   20

enum status sha256(struct span data, uint8_t out[SHA256_LEN]) MUST_CHECK;
/* For Sec-WebSocket-Accept (RFC 6455 4.2.2), which protects nothing, and for nothing else. */
enum status sha1(struct span data, uint8_t out[SHA1_LEN]) MUST_CHECK;
enum status hmac_sha256(struct span key, struct span data, uint8_t out[SHA256_LEN]) MUST_CHECK;

/* Extract, then expand. out_len at most 255 * 32. An empty salt stands for 32 zero bytes (RFC 5869 2.2). */
enum status hkdf_sha256(struct span secret, struct span salt, struct span info, uint8_t *out,
                        size_t out_len) MUST_CHECK;

#endif
