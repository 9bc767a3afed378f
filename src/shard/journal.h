/* shard/journal.h - which objects of a shard must be on disk and are not yet, and when they are.
 *
 *   changed --journal_change()--> dirty --shard_seal(): its state of that moment goes into the batch--> stored
 *                                   ^ again and again, still one record                                   |
 *                                   `---------------------------- changed ---------------------------------'
 *   gone before it was ever sealed: nothing is written.   gone, and stored: a tombstone, made of its own memory.
 *
 * The memory of the shard is the truth; the store follows it, one batch at a time: shard_seal() writes every dirty object
 * as it is then into one kv_batch, so a batch is one consistent state of the shard, and is committed whole or not at all.
 * Nothing here allocates but the batch: when memory is short all stays dirty, and acknowledgements go on waiting.
 *
 * Whoever acknowledges asks for a barrier (struct barrier) and puts the packet into its connection's gate (gate.h). The
 * shard's time is cut into epochs, one to each batch: a barrier is an epoch, and is passed when the batch that closed the
 * epoch is durable and, if messages were posted in it that other shards have to store, those have confirmed them.
 *
 * Between shards: a message whose effects must be durable before its sender may speak of it carries its number
 * (shard_msg.durable, journal_number()), and the receiver answers MSG_DURABLE with the highest number up to which all
 * effects are on its disk: one answer to many.
 *
 * Ownership: inside the shard. Threads: the shard's. With world.store == NULL the journal is off: nothing is ever dirty,
 * and every barrier is passed. */
#ifndef SYMBOLON_SHARD_JOURNAL_H
#define SYMBOLON_SHARD_JOURNAL_H

#include "base/list.h"
#include "base/table.h"
#include "record/record.h"
#include "shard/retained_ask.h"
#include "store/kv_batch.h"

struct message;
struct shard;
struct shard_msg;

/* One row of journal_kinds[] (journal_records.c) each: how its record is written. */
enum durable_kind {
    DURABLE_TOMB,         /* struct tomb */
    DURABLE_SESSION,      /* struct session_journal: session, Will, received ids */
    DURABLE_SUBSCRIPTION, /* struct subscription_record */
    DURABLE_DELIVERY,     /* struct durable_delivery */
    DURABLE_BODY,         /* struct body */
    DURABLE_RETAINED,     /* struct stored_retained */
    DURABLE_GROUP,        /* share.c */
    DURABLE_ITEM,
    DURABLE_OUT, /* durable_post.c */
    DURABLE_KINDS
};

/* Inside each object that has a record. */
struct durable {
    struct list link; /* in journal->dirty; unlinked: the disk has it as it is, or the batch on its way there */
    uint8_t kind;
    uint8_t letter; /* of a tomb: enum record_kind */
    bool stored;    /* a batch was sealed with a record of it */
};

/* What remains of an object whose record is still on disk: the beginning of its own memory. */
struct tomb {
    struct durable durable;
    uint64_t a, b; /* the numbers of the key, in order; OUT: a = from << 32 | to */
};

/* A message as this shard has it on disk: once for all deliveries here. Counted. */
struct body {
    struct durable durable;
    uint64_t number; /* unique over all shards */
    struct message *message;
    uint32_t refs;
};

/* What must have happened before a packet may leave; { 0 }: nothing. */
struct barrier {
    uint64_t epoch;
    bool remote;      /* other shards, too */
    uint64_t receipt; /* change of the token store (token_store.h) that must have been written down; 0: none */
    struct retained_ask *ask; /* its answer must be there; NULL: none */
};

/* As seen from this shard. */
struct journal_peer {
    uint64_t sent;      /* number of the last message posted to it that must be confirmed */
    uint64_t confirmed; /* by it */
    uint64_t got;       /* number of the last one from it */
    uint64_t told;      /* confirmed to it */
    uint64_t sealed;    /* `got` when the batch that is on its way was sealed */
    bool lost;          /* there was no memory for something it sent: not told yet */
    uint64_t got_epoch; /* in which messages from it last made something dirty */
};

/* Closed epochs whose messages are not confirmed yet: the one waited for, and the newest, which stands for all since. */
struct journal_wait {
    uint64_t epoch; /* 0: none */
    uint64_t *sent; /* by shard, as it was when the epoch closed */
};

struct journal {
    bool on;    /* there is a store */
    bool waits; /* DURABILITY_COMMIT: barriers mean something */
    bool failing;
    enum status status; /* of that */
    struct why why;
    struct list dirty;
    struct list tombs_later;    /* of what nobody waits for: a bounded number goes into each batch */
    uint64_t changes;           /* counted by journal_change() and tombs: has anything happened since? */
    uint64_t epoch;             /* the one that is open; the first is 1 */
    uint64_t stored;            /* all epochs up to this one are on our disk */
    uint64_t confirmed;         /* all up to this one are on the disks of the others */
    uint64_t out;               /* epoch of the batch on its way; 0: none */
    uint64_t receipts;          /* changes of the token store are on disk up to this one */
    uint64_t posted;            /* epoch in which something was posted last that must be confirmed */
    bool owing;                 /* others may be waiting for our confirmation */
    bool starved;               /* there was no memory for a batch or a confirmation: again soon */
    int64_t starved_ms;         /* mono: since then, as was logged; TIME_NEVER: it is not */
    struct journal_peer *peers; /* by shard; NULL with one */
    struct journal_wait wait, next;
    struct kv_batch batch; /* memory kept between seals */
    uint64_t ended;        /* epoch in which a session last ended whose records are to go */
    size_t subscriptions;  /* that have a record, for the account of memory */
    uint64_t next_body;
    uint64_t next_retained;
    struct body *recent; /* of the message routed now, so that all its deliveries here find it; not counted */
    struct list gates;   /* struct gate: connections with packets that wait */
};

enum status journal_init(struct shard *shard) MUST_CHECK;
void journal_done(struct shard *shard);

static inline void durable_init(struct durable *d, enum durable_kind kind)
{
    list_init(&d->link);
    d->kind = (uint8_t)kind;
    d->stored = false;
}

/* It is not on disk as it is now. */
static inline void journal_change(struct journal *j, struct durable *d)
{
    j->changes++;
    if (!list_linked(&d->link))
        list_append(&j->dirty, &d->link);
}

/* The object is gone: `block` is the heap memory it lies in, at least a struct tomb, which the journal now owns; all else
 * in it must have been let go of. Frees it at once if the disk never heard of it. */
void journal_bury(struct journal *j, void *block, struct durable *d, enum record_kind letter, uint64_t a,
                  uint64_t b);
/* The same for one of many, of which the disk may say more than is true for a while: what belongs to a session that has
 * ended is dropped at start-up anyway. */
void journal_bury_later(struct journal *j, void *block, struct durable *d, enum record_kind letter, uint64_t a,
                        uint64_t b);

/* ---- barriers ---- */

/* Everything here up to now: for who cannot tell what exactly it waits for. */
struct barrier journal_barrier_all(const struct journal *j);
/* This object as it is. */
struct barrier journal_barrier_of(const struct journal *j, const struct durable *d);
/* What happened since `changes` was so much, and nothing else; `remote`: messages were posted that others confirm. */
struct barrier journal_barrier_since(const struct journal *j, uint64_t changes, bool remote);

static inline bool journal_passed(const struct journal *j, struct barrier b)
{
    return b.epoch <= j->stored && (!b.remote || b.epoch <= j->confirmed) && b.receipt <= j->receipts &&
           (b.ask == NULL || b.ask->answered);
}

/* ---- the disk: see shard.h ---- */

void journal_seal(struct shard *shard);
void journal_stored(struct shard *shard, uint64_t seq);
void journal_state(struct shard *shard, enum status st, struct why why);
bool journal_unstored(const struct journal *j);

/* It fails, and is not only full: what waits for it may wait for hours. */
static inline bool journal_is_broken(const struct journal *j)
{
    return j->failing && j->status != ST_TOO_LARGE;
}

/* For what cannot be done while it fails: ST_QUOTA and why. */
enum status journal_refuse(const struct journal *j, struct why *why);

/* ---- bodies ---- */

/* The body of this message here, a reference; made if it is not the one routed right now. NULL: no memory. */
struct body *journal_body(struct shard *shard, const struct message *m);
struct body *body_ref(struct body *body);
void body_unref(struct shard *shard, struct body *body); /* NULL does nothing */
/* From the store: not dirty. One reference. */
enum status body_restore(struct shard *shard, uint64_t number, const struct message *m,
                         struct body **ret_body) MUST_CHECK;

/* ---- between shards ---- */

/* The number for the next message to that shard that it has to confirm; the caller posts it now. 0: nothing is to be
 * confirmed here (one shard, or no acknowledgement waits). */
uint64_t journal_number(struct shard *shard, unsigned to);
/* A message with that number has come, and has had its effects, which began when `changes` was so much; all but some, if there
 * was no memory for them: `lost`. */
void journal_got(struct shard *shard, unsigned from, uint64_t number, uint64_t changes, bool lost);
/* MSG_DURABLE came: takes `msg`. */
void journal_on_durable(struct shard *shard, struct shard_msg *msg);

#endif
