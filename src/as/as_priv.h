/* as/as_priv.h - what the parts of the authorization server share: the heart itself and one call into it. */
#ifndef SYMBOLON_AS_AS_PRIV_H
#define SYMBOLON_AS_AS_PRIV_H

#include "as/as.h"
#include "as/client_room.h"
#include "as/params.h"
#include "as/throttle.h"
#include "base/arena.h"
#include "base/log.h"
#include "codec/json.h"
#include "token/ace_cbor.h"

#define CALL_ARENA_MAX  (1024 * 1024)
#define PURGE_EVERY_MS  30000
#define STORE_RETRY_S   5  /* Retry-After */
#define SECRET_BYTES    32 /* client secrets, references, codes: 256 bits */
#define ID_MAX          128
#define TOKEN_ENDPOINT  "/token"
#define ENROLL_ENDPOINT "/enroll"
#define TRL_ENDPOINT    "/trl"

struct as {
    struct sql *sql;
    struct signer *signer;
    const struct as_settings *settings;
    struct env env;
    struct key *pop_master;
    char *issuer;
    char *token_endpoint; /* absolute */
    char *enroll_endpoint;
    struct span base_path; /* of the issuer: "" or "/tenant"; within `issuer` */
    int64_t tokens;        /* rows in the token table, revoked ones too */
    int64_t replays;
    bool work;      /* status_work.h: there may be some */
    size_t trl_max; /* bytes of an answer of /trl: AS_TRL_MAX */
    struct wall_time started;
    bool store_failing;
    uint64_t failed_groups; /* of requests whose commit failed: none of their answers may go */
    int64_t next_purge_ms;  /* monotonic: a clock that jumps must not put it off */
    struct throttle throttle;
    struct throttle remembered; /* assertions by client: nobody fills the memory for all */
    struct client_room rooms;
};

/* One HTTP request on its way through the core; everything in the arena goes with it. */
struct call {
    struct as *as;
    const struct as_request *request;
    struct now now;
    struct arena arena;
    struct as_response *out;
    struct why why;
    enum media media;         /* how the request came, and so the answer goes */
    enum ace_document answer; /* which it is, in CBOR */
    struct span client_id;    /* for the log, once somebody has claimed to be it (a valid identifier) */
};

/* A handler of one route. On anything but ST_OK http.c writes the error and logs call->why. */
typedef enum status call_fn(struct call *call);

/* The parameters of the request in any form of params.h, CBOR as document `request`; the answer will be `answer`. */
enum status call_params(struct call *call, enum ace_document request, enum ace_document answer,
                        struct js **ret_params) MUST_CHECK;
/* The answer with this code: JSON, or CBOR if the request was. */
enum status call_reply(struct call *call, int code, const struct js *body) MUST_CHECK;

call_fn token_call;                                                                  /* issuance.c */
call_fn introspect_call;                                                             /* introspection.c */
call_fn revoke_call;                                                                 /* revocation.c */
call_fn enroll_call;                                                                 /* enrollment.c */
call_fn trl_call;                                                                    /* status_http.c */
enum status trl_wait_over(struct call *call, const struct as_wait *wait) MUST_CHECK; /* status_http.c */
call_fn jwks_call;                                                                   /* metadata.c */
call_fn metadata_call;                                                               /* metadata.c */

/* What became of something the database was asked for: says so when it begins to fail, and when it works again. ST_OK
 * means that it was written. */
void as_store_was(struct as *as, enum status st, const struct why *why);

/* `bytes` random bytes as base64url text. */
enum status as_random_text(struct as *as, size_t bytes, struct buf *out, struct why *why) MUST_CHECK;

/* Clients, resource servers, groups: 1 to 128 of A-Z a-z 0-9 . _ : @ ~ = , - (docs/as-admin-protocol.md). */
bool id_valid(struct span id);

/* Remembers a jti until `expires`: ST_BAD_CREDENTIAL when it was there, ST_QUOTA when the memory is full or the client
 * (call->client_id) takes more than its share of it. `who` keeps the name spaces of different signers apart. */
enum status replay_check(struct call *call, struct span who, struct span jti,
                         struct wall_time expires) MUST_CHECK;

#endif
