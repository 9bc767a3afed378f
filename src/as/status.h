/* as/status.h - what happened to issued tokens, remembered for those it concerns: the resource server a token is for and
 * the client that got it, the "readers" (RFC 9770).
 * Each reader has changes of its own, numbered 0, 1, 2, ... without gaps: its cursor. One change is one update of the list
 * as that reader sees it and may name many tokens (RFC 9770 5.2). Kept are the newest STATUS_CHANGES_MAX, and none whose
 * tokens are over: whatever is not there any more lies before `floor`, so that a cursor that is too old is known for it.
 * Numbers are never used again while the reader is registered. They end at 2^53, which is never reached.
 * Failure: ST_IO, ST_NO_MEMORY. Threads: one. */
#ifndef SYMBOLON_AS_STATUS_H
#define SYMBOLON_AS_STATUS_H

#include "as/token_row.h"
#include "crypto/hash.h"

#define STATUS_CHANGES_MAX 1000                     /* MAX_N of RFC 9770 */
#define STATUS_BATCH_MAX   100                      /* MAX_DIFF_BATCH */
#define STATUS_INDEX_MAX   ((INT64_C(1) << 53) - 1) /* MAX_INDEX */
#define STATUS_OVER_KEEP_S 3600                     /* that a revoked token is over is told so long */
#define STATUS_HASH_LEN    (1 + SHA256_LEN)         /* RFC 6920 6, with the byte that names SHA-256 */
#define STATUS_HASH_SHA256 1

enum status_what { STATUS_OVER, STATUS_REVOKED, STATUS_CHANGED };

/* What becomes known with one commit. Zeroed; the first status_tell() begins it. */
struct status_update {
    int64_t no; /* grows from one to the next, for all readers together */
};

/* Inside the caller's transaction. Of `row`: client_id, rs_id, hash, trl_hash. Who is not registered is told nothing.
 * Forgotten after `until`. */
enum status status_tell(struct sql *sql, struct status_update *update, const struct token_row *row,
                        enum status_what what, int64_t until, struct why *why) MUST_CHECK;

/* Where a reader stands. */
struct status_place {
    bool any;          /* something was told to it; else the rest is 0 */
    int64_t last;      /* its newest change */
    int64_t floor;     /* its oldest one that is kept */
    int64_t update_no; /* when it was told last */
};
enum status status_place(struct sql *sql, struct span reader, struct status_place *ret,
                         struct why *why) MUST_CHECK;
/* The newest update of all. */
enum status status_newest(struct sql *sql, int64_t *ret_no, struct why *why) MUST_CHECK;

/* A reader's changes from `first` to `last`, the newest first; `hash` has STATUS_HASH_LEN bytes. */
typedef enum status status_fn(void *ctx, int64_t index, enum status_what what, struct span hash);
enum status status_each(struct sql *sql, struct span reader, int64_t first, int64_t last, status_fn *fn,
                        void *ctx, struct why *why) MUST_CHECK;
/* What holds now, whatever the changes say: STATUS_REVOKED and STATUS_CHANGED of tokens that are not over. Index 0. */
enum status status_each_now(struct sql *sql, struct span reader, bool is_rs, struct wall_time now,
                            status_fn *fn, void *ctx, struct why *why) MUST_CHECK;

/* Forgets what is over; at most so much at a time, *ret_more tells. In a transaction of its own. */
enum status status_purge(struct sql *sql, struct wall_time now, bool *ret_more, struct why *why) MUST_CHECK;

#endif
