/* crypto/curve_priv.h - the two curves of this project: Ed25519 on libsodium, P-256 on libcrypto, each the faster one of
 * what Debian has (docs/decisions/0029), and nowhere else. What is secret is computed in constant time by both.
 * Threads: no state; what p256.c makes once and then only reads, it makes for all. */
#ifndef SYMBOLON_CRYPTO_CURVE_PRIV_H
#define SYMBOLON_CRYPTO_CURVE_PRIV_H

#include "crypto/key.h"

#define CURVE_SIG_LEN 64

/* -- ed25519.c -- */

enum status ed25519_public_of(const uint8_t seed[KEY_PART_LEN], uint8_t x[KEY_PART_LEN]) MUST_CHECK;

/* y < p and none of the points of order 1, 2, 4, 8 (TK-60, RFC 8032 5.1.3). */
bool ed25519_acceptable(const uint8_t x[KEY_PART_LEN]);

void ed25519_sign(const uint8_t seed[KEY_PART_LEN], const uint8_t x[KEY_PART_LEN], struct span data,
                  uint8_t out[CURVE_SIG_LEN]);
/* RFC 8032 5.1.7 without cofactors: S < L (TK-60), R as the equation gives it, byte for byte, and of no small order. */
bool ed25519_check(const uint8_t x[KEY_PART_LEN], struct span data, const uint8_t sig[CURVE_SIG_LEN]);

/* -- p256.c -- */

/* A private key ready to sign. Of public keys only the bytes are kept: a broker holds one for each session and asks it
 * once or twice, and the library's object is ten times their size. */
struct evp_pkey_st;

/* Computes x and y. ST_MALFORMED unless 1 <= d < n. */
enum status p256_private_new(const uint8_t d[KEY_PART_LEN], uint8_t x[KEY_PART_LEN], uint8_t y[KEY_PART_LEN],
                             struct evp_pkey_st **ret_key) MUST_CHECK;
void p256_private_free(struct evp_pkey_st *key); /* wipes; NULL-safe */

/* ECDSA of a SHA-256 digest, as r || s. ST_BAD_CREDENTIAL when it does not match. */
enum status p256_sign(struct evp_pkey_st *key, const uint8_t digest[KEY_PART_LEN],
                      uint8_t out[CURVE_SIG_LEN]) MUST_CHECK;
enum status p256_check(const uint8_t x[KEY_PART_LEN], const uint8_t y[KEY_PART_LEN],
                       const uint8_t digest[KEY_PART_LEN], const uint8_t sig[CURVE_SIG_LEN]) MUST_CHECK;

/* The x-coordinate of d times a point. ST_MALFORMED unless 1 <= d < n and the point is on the curve. */
enum status p256_multiply(const uint8_t d[KEY_PART_LEN], const uint8_t x[KEY_PART_LEN],
                          const uint8_t y[KEY_PART_LEN], uint8_t out[KEY_PART_LEN]) MUST_CHECK;

/* ST_MALFORMED unless x, y < p and on the curve (TK-61). */
enum status p256_on_curve(const uint8_t x[KEY_PART_LEN], const uint8_t y[KEY_PART_LEN]) MUST_CHECK;

/* 1 <= v < n: what r and s of a signature must be (TK-59), and a private key. Constant time. */
bool p256_in_order(const uint8_t v[KEY_PART_LEN]);
/* n - v, for such a v. */
void p256_negate(const uint8_t v[KEY_PART_LEN], uint8_t out[KEY_PART_LEN]);

#endif
