/* as/refresh.h - refresh tokens (RFC 6749 6, RFC 9700 4.14; decision 0008): for clients, or clients of resource servers,
 * that the operator allows them.
 * A family is what one token request began: its client, resource server, key and profile, and the most its tokens may
 * ever permit. It has one good refresh token at a time: each use gives a new one, and whoever presents an older one ends
 * the family and the access tokens that came of it, since two parties hold what one should. The row keeps the hash of the
 * newest only: the family's name stands in front of the secret, so every older one is recognised without being kept.
 * A token is base64url of family (16 bytes) | secret (32 bytes).
 * Ownership: what is read lives in the caller's arena. Threads: one. */
#ifndef SYMBOLON_AS_REFRESH_H
#define SYMBOLON_AS_REFRESH_H

#include "as/as_priv.h"

struct refresh {
    struct span family; /* base64url; empty: there is none */
    struct span hash;   /* SHA-256 of the newest token's text */
    struct span client_id;
    struct span rs_id;
    struct span scope; /* the most it may permit: AIF as JSON text */
    struct span cnf;   /* as in token_row.h, down to `profile` */
    struct span cnf_kid;
    struct span cnf_x5t;
    struct span pop_kid;
    struct span profile;
    int64_t created_at;
    int64_t used_at;
    int64_t uses;
    int64_t expires_at;
};

/* The family of a refresh token that `client_id` presents. ST_BAD_GRANT: unknown, over, another client's, or used before -
 * then the family is gone, and that is committed. */
enum status refresh_open(struct call *call, struct span token, struct span client_id,
                         struct refresh *ret) MUST_CHECK;

/* Inside the caller's transaction. The first token of a family: sets family, hash and times of `r`; appends the token. */
enum status refresh_begin(struct call *call, struct refresh *r, struct buf *out) MUST_CHECK;
/* The next one; the one opened is worth nothing from now on. */
enum status refresh_turn(struct call *call, struct refresh *r, struct buf *out) MUST_CHECK;

/* With the live access tokens that came of it. ST_NOT_FOUND. */
enum status refresh_revoke(struct sql *sql, struct span family, struct wall_time now, int64_t *ret_tokens,
                           struct why *why) MUST_CHECK;
/* The families only: the caller revokes access tokens itself. Of a client, for a resource server, or both; one of the
 * two may be empty. And the one that an access token came of, if there is one. */
enum status refresh_forget(struct sql *sql, struct span client_id, struct span rs_id,
                           struct why *why) MUST_CHECK;
enum status refresh_forget_of_token(struct sql *sql, struct span jti, struct why *why) MUST_CHECK;
/* RFC 7009: the client that has it gives it up. ST_OK for unknown ones; ST_UNAUTHORIZED_CLIENT for another client's. */
enum status refresh_give_up(struct call *call, struct span token, struct span client_id) MUST_CHECK;
enum status refresh_purge(struct sql *sql, struct wall_time now, struct why *why) MUST_CHECK;

/* By family after `after`. Empty client_id: all. */
typedef enum status refresh_fn(void *ctx, const struct refresh *r);
enum status refresh_each(struct sql *sql, struct span client_id, struct span after, struct wall_time now,
                         int64_t limit, refresh_fn *fn, void *ctx, struct why *why) MUST_CHECK;

#endif
