/* as/token_row.h - what is remembered of an issued token until it is over: enough to answer introspection, to
 * revoke, to list. Tokens themselves are not kept, only their SHA-256.
 * Ownership: what is read lives in the caller's arena. Threads: one. */
#ifndef SYMBOLON_AS_TOKEN_ROW_H
#define SYMBOLON_AS_TOKEN_ROW_H

#include "base/arena.h"
#include "base/clock.h"
#include "store/sql.h"

/* An exi token has no end on the calendar: its life starts when the resource server first sees it. Its row is kept
 * this long beyond its life; presented later than that it is unknown here. */
#define TOKEN_EXI_KEEP_S 86400

struct token_row {
    struct span jti;
    struct span hash;     /* SHA-256 of what a resource server is shown: the text, or the bytes of a CWT */
    struct span trl_hash; /* RFC 9770's, where it differs; or empty */
    struct span client_id;
    struct span rs_id;
    struct span audience;
    struct span format;  /* "jwt", "cwt", "reference" */
    struct span scope;   /* AIF as JSON text */
    struct span cnf;     /* JWK text of an asymmetric PoP key, or empty */
    struct span cnf_kid; /* its kid, or else its thumbprint */
    struct span cnf_x5t; /* SHA-256 of the certificate it is bound to, or empty */
    struct span pop_kid; /* of a symmetric one (pop_key.h), or empty */
    struct span profile; /* "mqtt_tls" */
    struct span family;  /* of the refresh token it came with (refresh.h), or empty */
    struct span cnonce;  /* base64url, or empty */
    int64_t exi_s;       /* 0: none */
    int64_t issued_at;
    int64_t expires_at; /* of the row; also the token's, unless exi */
    int64_t revoked_at; /* 0: not */
    int64_t changed_at; /* its scope was narrowed; 0: as issued */
    bool in_cbor;       /* the client got it in CBOR */
};

enum status token_row_add(struct sql *sql, const struct token_row *row, struct why *why) MUST_CHECK;

/* By the token as text (ace_token_bytes() says what stands behind it), of which we keep the hash. ST_NOT_FOUND for
 * unknown, over, or revoked. */
enum status token_row_of(struct sql *sql, struct span token, struct wall_time now, struct arena *arena,
                         struct token_row *ret, struct why *why) MUST_CHECK;
/* A live token of this client at this resource server with this symmetric key: true in *ret. */
enum status token_row_has_pop_kid(struct sql *sql, struct span kid, struct span client_id, struct span rs_id,
                                  struct wall_time now, bool *ret, struct why *why) MUST_CHECK;

/* The JWK text of the asymmetric key that a live token of this client, for whatever resource server, is bound to under
 * this kid; SPAN_NONE if there is none. */
enum status token_row_cnf_of_kid(struct sql *sql, struct span kid, struct span client_id, struct wall_time now,
                                 struct arena *arena, struct span *ret_jwk, struct why *why) MUST_CHECK;

/* When the newest was issued, by the clock of then; 0: there is none. Of a client, or for a resource server. */
enum status token_row_last_issued(struct sql *sql, struct span client_id, struct span rs_id,
                                  struct wall_time *ret, struct why *why) MUST_CHECK;

/* Revoked and told to whom it concerns (status.h), in the caller's transaction. One token, all that came with one refresh
 * token, or a row that was read and is live. More than that is work for status_work.h. */
struct status_update;
enum status token_row_revoke(struct sql *sql, struct span jti, struct wall_time now, int64_t *ret_count,
                             struct why *why) MUST_CHECK;
enum status token_row_revoke_family(struct sql *sql, struct span family, struct wall_time now,
                                    int64_t *ret_count, struct why *why) MUST_CHECK;
enum status token_row_revoke_read(struct sql *sql, struct status_update *update, const struct token_row *row,
                                  struct wall_time now, struct why *why) MUST_CHECK;
/* The same for a scope that permits less than before. */
enum status token_row_narrow(struct sql *sql, struct status_update *update, const struct token_row *row,
                             struct span scope, struct wall_time now, struct why *why) MUST_CHECK;
/* RFC 9770's hash of what `access_token` held, where it is not the one of `bytes`: SHA256_LEN bytes, or false. */
bool token_row_trl_hash(struct span bytes, bool cwt, bool in_cbor, uint8_t *hash);

/* The next rows behind a place, live or not: of a client by jti, or (client_id empty) of a resource server by the time of
 * issue, then jti. *place moves on; its jti is in the arena. */
struct token_place {
    int64_t issued_at; /* 0 for a client's */
    struct span jti;
};
enum status token_row_slice(struct sql *sql, struct span client_id, struct span rs_id, int64_t limit,
                            struct arena *arena, struct token_place *place, struct token_row *ret_rows,
                            size_t *ret_count, struct why *why) MUST_CHECK;
/* How many token_row_slice() would go through, counting no further than `limit`. */
enum status token_row_count_slice(struct sql *sql, struct span client_id, struct span rs_id,
                                  const struct token_place *place, int64_t limit, int64_t *ret,
                                  struct why *why) MUST_CHECK;

enum status token_row_count(struct sql *sql, int64_t *ret, struct why *why) MUST_CHECK;
/* Revoked and not over. */
enum status token_row_count_revoked(struct sql *sql, struct wall_time now, int64_t *ret,
                                    struct why *why) MUST_CHECK;
/* Live ones of a client, counting at most `limit`. */
enum status token_row_count_client(struct sql *sql, struct span client_id, struct wall_time now, int64_t limit,
                                   int64_t *ret, struct why *why) MUST_CHECK;
/* The last moment any row ends, or `now`. */
/* All rows of a client, revoked ones too; counts no further than `limit`. */
enum status token_row_count_kept(struct sql *sql, struct span client_id, int64_t limit, int64_t *ret,
                                 struct why *why) MUST_CHECK;
enum status token_row_last_end(struct sql *sql, struct wall_time now, struct wall_time *ret,
                               struct why *why) MUST_CHECK;
/* Those that are over; at most so many revoked ones at a time (that they are over is told), *ret_more tells. In
 * transactions of its own. */
enum status token_row_purge(struct sql *sql, struct wall_time now, int64_t *ret_count, bool *ret_more,
                            struct why *why) MUST_CHECK;

/* By jti after `after`; live and revoked ones that are not over. Empty client_id or audience: all. */
typedef enum status token_row_fn(void *ctx, const struct token_row *row);
enum status token_row_each(struct sql *sql, struct span client_id, struct span audience, struct span after,
                           struct wall_time now, int64_t limit, token_row_fn *fn, void *ctx,
                           struct why *why) MUST_CHECK;

#endif
