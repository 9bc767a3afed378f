/* crypto/sign.h - signatures and MACs as JOSE and the MQTT profile use them (RFC 7518 3.2, 3.4, RFC 8037 3.1).
 * One algorithm fits one kind of key: HS256 a secret, EdDSA an Ed25519 key, ES256 a P-256 key; everything else
 * is refused before any computing (TK-40, TK-41).
 * Threads: any number on one key. */
#ifndef SYMBOLON_CRYPTO_SIGN_H
#define SYMBOLON_CRYPTO_SIGN_H

#include "crypto/key.h"

enum sig_alg { SIG_HS256, SIG_EDDSA, SIG_ES256 };

#define SIG_ALGS 3
#define SIG_MAX  64

size_t sig_len(enum sig_alg alg);       /* 32, 64, 64: no other length is ever accepted (TK-63) */
const char *sig_name(enum sig_alg alg); /* "HS256", "EdDSA", "ES256" */
bool sig_from_name(struct span name, enum sig_alg *ret_alg); /* exact; "none" is not a name (TK-40) */
bool sig_fits(enum sig_alg alg, const struct key *key);
enum sig_alg sig_for_key(const struct key *key); /* the one that fits */

/* Writes sig_len(alg) bytes; ES256 as raw r || s. ST_UNSUPPORTED when alg does not fit or the key is public. */
enum status sig_make(const struct key *key, enum sig_alg alg, struct span data,
                     uint8_t out[SIG_MAX]) MUST_CHECK;

/* ST_OK or ST_BAD_CREDENTIAL (the caller may translate); ST_UNSUPPORTED when alg does not fit the key.
 * ES256: r and s in [1, n-1] (TK-59). Ed25519: S < L (TK-60). MACs are compared in constant time (TK-68). */
enum status sig_check(const struct key *key, enum sig_alg alg, struct span data, struct span sig,
                      struct why *why) MUST_CHECK;

#endif
