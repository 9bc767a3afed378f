/* crypto/sign.h - signatures and MACs as JOSE and the MQTT profile use them (RFC 7518 3.2 to 3.5, RFC 8037 3.1).
 * An algorithm fits one kind of key: HS256 a secret, EdDSA an Ed25519 key, ES256 a P-256 key, RS256 and PS256 an
 * RSA key (checked only, never made); everything else is refused before any computing (TK-40, TK-41).
 * Threads: any number on one key. */
#ifndef SYMBOLON_CRYPTO_SIGN_H
#define SYMBOLON_CRYPTO_SIGN_H

#include "crypto/hash.h"
#include "crypto/key.h"

enum sig_alg { SIG_HS256, SIG_EDDSA, SIG_ES256, SIG_RS256, SIG_PS256 };

#define SIG_ALGS      5
#define SIG_MAX       64          /* bytes we make */
#define SIG_CHECK_MAX KEY_RSA_MAX /* bytes we check */

/* 32, 64, 64, and the bytes of the modulus: no other length is ever accepted (TK-63). */
size_t sig_len(const struct key *key);
const char *sig_name(enum sig_alg alg);                      /* "HS256", "EdDSA", "ES256", "RS256", "PS256" */
bool sig_from_name(struct span name, enum sig_alg *ret_alg); /* exact; "none" is not a name (TK-40) */
bool sig_fits(enum sig_alg alg, const struct key *key);
enum sig_alg sig_for_key(const struct key *key); /* the one that fits; of two, the first */

/* Writes sig_len(alg) bytes; ES256 as raw r || s. ST_UNSUPPORTED when alg does not fit or the key is public. */
enum status sig_make(const struct key *key, enum sig_alg alg, struct span data,
                     uint8_t out[SIG_MAX]) MUST_CHECK;

/* ES256 when somebody else hashed the data: TLS does. */
enum status sig_make_of_digest(const struct key *key, const uint8_t digest[SHA256_LEN],
                               uint8_t out[SIG_MAX]) MUST_CHECK;

/* ST_OK or ST_BAD_CREDENTIAL (the caller may translate); ST_UNSUPPORTED when alg does not fit the key.
 * ES256: r and s in [1, n-1] (TK-59). Ed25519: S < L (TK-60). MACs are compared in constant time (TK-68). */
enum status sig_check(const struct key *key, enum sig_alg alg, struct span data, struct span sig,
                      struct why *why) MUST_CHECK;

/* An ES256 signature r || s has a twin, r || n - s: whoever has one can make the other, and both verify. True if the
 * twin is the one with the lesser s. For signatures that sig_check() took. */
#define SIG_ES256_LEN 64
bool sig_es256_twin(const uint8_t sig[SIG_ES256_LEN], uint8_t twin[SIG_ES256_LEN]);

#endif
