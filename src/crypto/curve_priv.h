/* crypto/curve_priv.h - the sums GnuTLS has no call for: public part from private part, and whether a public part
 * is one to accept. On nettle's (hogweed's) side-channel silent arithmetic. */
#ifndef SYMBOLON_CRYPTO_CURVE_PRIV_H
#define SYMBOLON_CRYPTO_CURVE_PRIV_H

#include "crypto/key.h"

void ed25519_public_of(const uint8_t seed[KEY_PART_LEN], uint8_t x[KEY_PART_LEN]);

/* y < p and none of the points of order 1, 2, 4, 8 (TK-60, RFC 8032 5.1.3). */
bool ed25519_acceptable(const uint8_t x[KEY_PART_LEN]);

/* False unless 1 <= d < n. */
bool p256_public_of(const uint8_t d[KEY_PART_LEN], uint8_t x[KEY_PART_LEN], uint8_t y[KEY_PART_LEN]);

/* The x-coordinate of d times a point that is on the curve. False unless 1 <= d < n. */
bool p256_multiply(const uint8_t d[KEY_PART_LEN], const uint8_t x[KEY_PART_LEN], const uint8_t y[KEY_PART_LEN],
                   uint8_t out[KEY_PART_LEN]);

/* x, y < p and on the curve (TK-61). */
bool p256_on_curve(const uint8_t x[KEY_PART_LEN], const uint8_t y[KEY_PART_LEN]);

/* 1 <= v < n: what r and s of a signature must be (TK-59). */
bool p256_in_order(const uint8_t v[KEY_PART_LEN]);
/* n - v, for such a v. */
void p256_negate(const uint8_t v[KEY_PART_LEN], uint8_t out[KEY_PART_LEN]);

#endif
