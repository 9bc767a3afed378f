/* store/committer.h - the thread that puts batches on disk: group commit.
 * Several owners (workers) post their batches; the thread takes whatever waits, makes it one transaction with one sync, and
 * says so. What arrives meanwhile makes the next one: the busier, the more changes share a sync.
 * Order:     an owner has at most one batch here: the next may be posted from inside `stored` or later. That bounds the
 *            memory, and an owner's changes are never reordered or left out.
 * Failure:   nothing is ever dropped. A transaction that failed is tried again after 100 ms, then twice as long each time, at most
 *            5 s; with everything that waits by then. A full store (kv_full()) is a state too, although commits go on.
 * Threads:   committer_post() from any; the calls of `committer_calls` come on the committer's thread and must not block.
 * Ownership: a posted batch belongs to the committer; it is freed there when stored. */
#ifndef SYMBOLON_STORE_COMMITTER_H
#define SYMBOLON_STORE_COMMITTER_H

#include "store/kv.h"

struct committer;

struct committer_calls {
    /* The batch is on disk. */
    void (*stored)(void *ctx, unsigned owner, uint64_t seq);
    /* Once per change. ST_OK: commits succeed (again). ST_TOO_LARGE: they do, but nothing more should be added. ST_QUOTA, ST_IO,
     * ST_NO_MEMORY, ST_DAMAGED: they fail; `why` says what the system said. Comes before the `stored` calls of the same commit. */
    void (*state)(void *ctx, enum status st, const struct why *why);
    void *ctx;
};

struct committer_stats {
    uint64_t commits, batches, changes, bytes; /* since the start; bytes of the batches */
    uint64_t failures;
    uint64_t waiting, waiting_bytes; /* batches posted and not stored, and the memory they take */
    uint64_t last_us, longest_us;    /* one commit, with its sync */
    uint64_t under_way_us;           /* the attempt that is under way has taken so long; 0: none is */
};

/* Starts the thread for owners 0 .. owners-1. `kv` is used by it until committer_stop(). */
enum status committer_new(struct kv *kv, unsigned owners, const struct committer_calls *calls,
                          struct committer **ret_committer) MUST_CHECK;

/* Never fails and takes no memory. The owner has no other batch here. An empty batch is stored as soon as its turn comes. */
void committer_post(struct committer *c, unsigned owner, uint64_t seq, struct kv_batch batch_take);

void committer_stats(struct committer *c, struct committer_stats *out); /* any thread */

/* Commits what is posted, for at most `deadline_ms`, then ends the thread and frees everything; nobody may post any more.
 * ST_TIMEOUT: what is left was not stored; *ret_lost batches. When the disk does not even answer, the thread is left behind:
 * then *ret_stuck is true, no call comes any more, `kv` must not be touched, not even closed, and the process should end. */
enum status committer_stop(struct committer *c, unsigned deadline_ms, unsigned *ret_lost,
                           bool *ret_stuck) MUST_CHECK;

#endif
