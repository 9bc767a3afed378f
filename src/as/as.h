/* as/as.h - the heart of the authorization server: requests in, answers out.
 * It opens no socket, reads no clock and starts no thread: server.c gives it whole requests and the time, tests do
 * the same. What it keeps is in the database; what it signs goes through a signer.
 * Ownership: as_free(NULL) does nothing. The database, settings and signer are lent and outlive it.
 * Threads:   one. */
#ifndef SYMBOLON_AS_AS_H
#define SYMBOLON_AS_AS_H

#include "as/settings.h"
#include "as/signer.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/span.h"
#include "base/status.h"
#include "crypto/key.h"
#include "store/sql.h"

#define AS_BODY_MAX        (64 * 1024)
#define AS_RESPONSE_MAX    (256 * 1024)
#define AS_ADMIN_LINE_MAX  (64 * 1024)
#define AS_ADMIN_REPLY_MAX (4 * 1024 * 1024)
#define AS_TRL_MAX         (16 * 1024 * 1024) /* the answer of /trl: about 300,000 tokens revoked and not over */
#define AS_ID_MAX          128
#define AS_PURGE_MORE_MS   20
#define AS_TRY_MS          1000 /* as_purge(), while as_store_failing() */
#define AS_ETAG_MAX        32

struct as;

/* What the heart is built from; all lent except what is noted. */
struct as_parts {
    struct sql *sql; /* open; as_new() brings its tables up to date */
    struct signer *signer;
    const struct as_settings *settings;
    const char *issuer;     /* the real one: settings->issuer with ${port} filled in */
    struct key *pop_master; /* KEY_SECRET of 32 bytes; a reference is taken. See pop_key.h */
    struct env env;         /* randomness; time comes with each call */
};

enum status as_new(const struct as_parts *parts, struct now now, struct as **ret_as,
                   struct why *why) MUST_CHECK;
void as_free(struct as *as);
void as_freep(struct as **as);

/* One HTTP request as the core sees it. */
struct as_request {
    struct span method;       /* "POST" */
    struct span path;         /* "/token", without a query */
    struct span content_type; /* header values, or empty */
    struct span authorization;
    struct span body;
    struct span peer;     /* address without port: for limits and the log */
    struct span cert_der; /* the client's certificate, or empty. TLS has proved that it holds the key */
    struct span accept;
    struct span prefer;
    struct span if_none_match;
    struct span (*query)(void *ctx,
                         const char *name); /* of the query, decoded; `.p` NULL: absent. NULL: none */
    void *query_ctx;
};

/* A request for the status of tokens that is held until there is news (status_http.c): who asked, after proving it,
 * and from where on. It outlives the request. */
struct as_wait {
    int64_t wait_s; /* 0: the request is answered, there is nothing to wait for */
    char reader[AS_ID_MAX + 1];
    int64_t known; /* the asker's place in its own sequence of changes; -1: none */
    int64_t diff;  /* as asked; -1: a full query */
    int64_t cursor;
    bool has_cursor;
    bool cbor;
    bool is_rs; /* the reader */
};

struct as_response {
    int code;
    const char *content_type; /* NULL: no body */
    const char *allow;        /* with 405, else NULL */
    const char *cache_control;
    bool challenge;         /* send WWW-Authenticate: Basic (RFC 6749 5.2, RFC 9110 15.5.2) */
    int64_t retry_after_s;  /* 0: none */
    char etag[AS_ETAG_MAX]; /* "": none */
    int64_t waited_s;       /* Preference-Applied: wait=N (RFC 7240); 0: none */
    struct as_wait wait; /* wait.wait_s > 0: not answered yet; the caller may keep it, or answer it at once */
    bool unsettled;      /* not to be sent before as_settle(): it tells of what is not on disk yet */
    uint64_t failed_groups; /* ... of as_answer()'s time */
    struct buf body;
};

/* Always answers. `out` is initialised here and given back with as_response_done(). */
void as_answer(struct as *as, const struct as_request *request, struct now now, struct as_response *out);
void as_response_done(struct as_response *out);

/* What was answered is on disk, or nothing is said to be: one sync for the answers of many requests. Then
 * as_response_settled() with what it returned, and they may go: on failure as 503 and temporarily_unavailable, and nobody
 * knows whether what they asked for will have happened; also when it was somebody else's call that failed meanwhile. Cheap when nothing changed. */
enum status as_settle(struct as *as) MUST_CHECK;
void as_response_settled(struct as *as, enum status st, struct as_response *out);

/* The other half of a request that waits: whether there is something to tell, and telling it (or that there is
 * nothing). as_status_version() grows whenever the status of some token changed: as long as it stays, nothing is due. */
int64_t as_status_version(struct as *as);
bool as_wait_due(struct as *as, const struct as_wait *wait);
void as_wait_answer(struct as *as, const struct as_wait *wait, struct now now, struct as_response *out);

/* A slice of the work that changes of policy, clients and resource servers leave behind: tokens to revoke or to narrow
 * (status_work.c). True if there is more. What is left when the process dies is done by the next one. */
bool as_work(struct as *as, struct now now);

/* One line of the admin socket (docs/as-admin-protocol.md), without its line end; appends one line with it.
 * `actor` is for the audit: "uid:0". The caller has checked that the peer is entitled. */
void as_admin(struct as *as, struct span line, struct span actor, struct now now, struct buf *out);

/* True while the disk takes nothing. as_purge() then tries it each second, and says when it does again. */
bool as_store_failing(const struct as *as);

/* Drops what is over: tokens, replay memory, codes, retired keys. Called now and then; cheap when nothing is due.
 * True if not all was dropped: it wants to be called again in AS_PURGE_MORE_MS. */
bool as_purge(struct as *as, struct now now);

#endif
