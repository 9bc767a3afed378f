/* jose/jwks.h - an immutable set of keys: JWK Set (RFC 7517 §5).
 * Ownership: reference counted; entries live as long as the set.
 * Failure:   members that are no keys we speak are skipped (RFC 7517 §5); a set whose bytes are no JWK Set is
 *            ST_MALFORMED. An entry that is of a kind we speak but broken is skipped too and counted, so that
 * one bad key cannot take the good ones down: see jwks_skipped(). Threads:   immutable after making; the count
 * is atomic. Limits:    JWKS_MAX_KEYS keys, each kid at most JOSE_MAX_KID bytes (TK-45). */
#ifndef SYMBOLON_JOSE_JWKS_H
#define SYMBOLON_JOSE_JWKS_H

#include "crypto/sign.h"
#include "jose/jwk.h"

#define JWKS_MAX_KEYS  64
#define JWKS_MAX_BYTES 65536

struct jwks;

/* `kid` and `alg` here are owned by the set. */
size_t jwks_size(const struct jwks *jwks);
const struct jwk *jwks_at(const struct jwks *jwks, size_t i);
size_t jwks_skipped(const struct jwks *jwks);

enum status jwks_parse(struct span text, enum jwk_want want, struct jwks **ret_jwks,
                       struct why *why) MUST_CHECK;
/* A set of keys already at hand; keys are referenced, kid and alg copied. ST_QUOTA beyond JWKS_MAX_KEYS. */
enum status jwks_make(const struct jwk *keys, size_t n, struct jwks **ret_jwks) MUST_CHECK;

struct jwks *jwks_ref(struct jwks *jwks);
void jwks_unref(struct jwks *jwks);
void jwks_unrefp(struct jwks **jwks);

#endif
