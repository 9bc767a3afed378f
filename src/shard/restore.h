/* shard/restore.h - what the disk remembers, back into shards that have not run yet.
 *
 * The disk is anything that can be scanned by prefix and changed in one transaction: the LMDB store (store_start.h), or the
 * simulator's memory. The number of shards may differ from the one that wrote it: sessions, groups and retained
 * messages go to where they are at home now, and keep their numbers, above which new ones go on.
 *
 *   meta, groups, sessions, Wills, received ids, subscriptions, messages, deliveries, waiting items, retained
 *       --> messages on their way between the former shards arrive
 *       --> one transaction: what all that changed, and what belonged to nothing is removed
 *       --> the first shard_advance(): sessions and Wills whose time passed while nobody was there end and are published;
 *           clients that were connected have lost their connection at the start
 *
 * Nothing is delivered by this, to nobody: a session has no grant but a shadow of its last one, already over, which tells
 * whose it is and which token its Will and retained messages were bound to. The next CONNECT brings another.
 * A record that belongs to nothing is skipped, counted and removed; one that cannot be read is counted and set aside under
 * RECORD_ASIDE, for somebody to look at. Neither ever stops the start.
 * Failure:  ST_NO_MEMORY; ST_BAD_VERSION for a format other than RECORD_FORMAT; what the disk says. The shards are then half
 *           filled, nothing has been written, and the caller frees them. Pure. Threads: one, before the shards run. */
#ifndef SYMBOLON_SHARD_RESTORE_H
#define SYMBOLON_SHARD_RESTORE_H

#include "base/clock.h"
#include "base/log.h"
#include "store/kv.h"

struct shard;

struct restore_disk {
    /* As kv_scan() and kv_apply(). */
    enum status (*scan)(void *ctx, struct span prefix, kv_visit_fn *visit, void *visit_ctx, struct why *why);
    enum status (*apply)(void *ctx, const struct kv_batch *const *batches, size_t count, struct why *why);
    void *ctx;
    uint64_t entries; /* about so many records there are: for `progress`; 0: not known */
};

/* In the order they are read. */
/* clang-format off */
#define RESTORE_LIST(X)                     \
    X( GROUP,        "groups"            )  \
    X( SESSION,      "sessions"          )  \
    X( WILL,         "wills"             )  \
    X( RECEIVED,     "received_ids"      )  \
    X( SUBSCRIPTION, "subscriptions"     )  \
    X( MESSAGE,      "messages"          )  \
    X( DELIVERY,     "deliveries"        )  \
    X( ITEM,         "waiting_in_groups" )  \
    X( RETAINED,     "retained"          )  \
    X( OUT,          "between_workers"   )
/* clang-format on */

enum restore_kind {
#define RESTORE_ENUM(name, text) RESTORE_##name,
    RESTORE_LIST(RESTORE_ENUM)
#undef RESTORE_ENUM
        RESTORE_KINDS
};
const char *restore_kind_name(enum restore_kind kind); /* "sessions" */

struct restore_count {
    uint64_t restored;
    uint64_t unreadable; /* damaged, or nothing we could have written */
    uint64_t orphans;    /* of a session, message or group that is not there (any more) */
    uint64_t over;       /* their time has passed, or their token was revoked */
    uint64_t refused;    /* beyond a limit of today's settings */
};

struct restore_report {
    bool empty; /* a new store: nothing was there */
    struct restore_count kinds[RESTORE_KINDS];
    uint64_t records;      /* read */
    uint64_t connected;    /* sessions whose clients were there when the broker ended */
    uint64_t moved;        /* messages that wait on more than one shard now, and were written once more */
    uint32_t workers;      /* there were so many then */
    struct why unreadable; /* of the first; clause NULL: none was */
    struct why refused;    /* the same */
};

typedef void restore_progress_fn(void *ctx, uint64_t records, uint64_t of);

/* `shards` are all there are, new, of one broker. `progress` is called now and then; may be NULL. */
enum status restore_shards(struct shard *const *shards, unsigned count, const struct restore_disk *disk,
                           struct now now, restore_progress_fn *progress, void *progress_ctx,
                           struct restore_report *out, struct why *why) MUST_CHECK;

/* The one line of it: `store_restored`, and `store_records_lost` if some were unreadable. */
void restore_log(const struct restore_report *report, int64_t took_ms, const struct log *log);

#endif
