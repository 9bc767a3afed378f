/* token/assertion.h - short-lived statements a client signs for the AS:
 * the client assertion of private_key_jwt (RFC 7523 §3), and `req_cnf_proof`, which shows that the client holds
 * the key it names in req_cnf (AF-42). Both are compact JWS over {iss, sub, client_id, aud, iat, exp, jti}.
 * Replay is the AS's table: (iss, jti) must be remembered until `exp`.
 * Failure: ST_MALFORMED, ST_TOO_LARGE, ST_BAD_CREDENTIAL (algorithm, signature, names, audience, times). */
#ifndef SYMBOLON_TOKEN_ASSERTION_H
#define SYMBOLON_TOKEN_ASSERTION_H

#include "base/buf.h"
#include "base/clock.h"
#include "crypto/key.h"

#define ASSERTION_TYP_CLIENT  "JWT"
#define ASSERTION_TYP_REQ_CNF "req-cnf+jwt"
#define ASSERTION_MAX_BYTES   8192
#define ASSERTION_MAX_JTI     128

struct assertion_claims {
    const char *typ; /* ASSERTION_TYP_... */
    struct span iss; /* SPAN_NONE: left out, as the next two */
    struct span sub;
    struct span client_id;
    struct span aud;
    struct wall_time iat;
    uint32_t lifetime_s;
    struct span jti; /* text, unique: at least 128 random bits, base64url */
};
enum status assertion_sign(const struct assertion_claims *claims, const struct key *key, struct span kid,
                           struct buf *out) MUST_CHECK;

/* Who it says it is from, before anything is believed: to find the client's key by. The spans are owned by the
 * struct. */
struct assertion_claimant {
    struct span sub; /* .p == NULL: absent; as the next two */
    struct span client_id;
    struct span kid;
    uint8_t *owned;
};
enum status assertion_peek(struct span jws, struct assertion_claimant *out, struct why *why) MUST_CHECK;
void assertion_claimant_done(struct assertion_claimant *claimant);

struct assertion_expected {
    const char *typ; /* ASSERTION_TYP_CLIENT also takes a header without typ (RFC 7523 asks for none) */
    struct span iss; /* SPAN_NONE: not checked, as the next two; else must be there and equal */
    struct span sub;
    struct span client_id;
    const struct span *auds; /* the claim must name at least one of these, exactly */
    size_t n_auds;
    uint32_t max_age_s; /* longest exp - now, and longest now - iat, that is believed */
    uint32_t skew_s;
};
struct assertion {
    char jti[ASSERTION_MAX_JTI + 1]; /* NUL-terminated; printable ASCII */
    struct wall_time exp;            /* remember the jti until here (skew included) */
};
enum status assertion_check(struct span jws, const struct key *key, const struct assertion_expected *expected,
                            struct wall_time now, struct assertion *out, struct why *why) MUST_CHECK;

#endif
