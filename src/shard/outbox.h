/* shard/outbox.h - what one session still owes its client: messages waiting, then messages in flight.
 *
 *   waiting --sent--> in flight: AWAIT_PUBACK --PUBACK--> gone                              (QoS 1)
 *                                AWAIT_PUBREC --PUBREC--> AWAIT_PUBCOMP --PUBCOMP--> gone   (QoS 2)
 *
 * Packet identifiers are slots: an id is chosen so that its slot (id modulo the table) is free, which makes both
 * choosing one and finding the message of an acknowledgement one step. On a new connection what was in flight
 * goes back to the head of the waiting line and keeps its id (MQTT5 [MQTT-4.4.0-1], 4.6).
 * Bounded: messages and bytes; what does not fit is refused, nothing already accepted is thrown out.
 * What a session on disk owes with QoS 1 or 2 is a struct durable_delivery, and the journal hears of each change.
 * Ownership: inside a session, and only there; holds a reference to each message. Threads: one. */
#ifndef SYMBOLON_SHARD_OUTBOX_H
#define SYMBOLON_SHARD_OUTBOX_H

#include "base/list.h"
#include "shard/journal.h"
#include "shard/message.h"
#include "shard/stats.h"

#define DELIVERY_MAX_IDS 4 /* subscription identifiers in one copy; more make a further copy (MQTT5 3.3.4) */

struct record_delivery;
struct share;
struct share_item;

/* How one message reaches one client. */
struct delivery_options {
    uint8_t qos;
    bool retain;
    uint8_t n_ids;
    uint32_t ids[DELIVERY_MAX_IDS];
    struct share *share; /* NULL: of an ordinary subscription; else the group that can have it back */
    uint64_t share_seq;
    struct share_item
        *item; /* of such a group: the record it still has there, gone with the delivery; mostly NULL */
};

struct delivery {
    struct list link;
    struct message *message; /* NULL in AWAIT_PUBCOMP */
    struct delivery_options how;
    uint32_t grant_serial; /* the grant of the session when it was queued: another one asks again (MT-74) */
    enum delivery_state state;
    uint16_t packet_id; /* 0 before the first sending */
    bool dup;
    bool backlog; /* a retained message after SUBSCRIBE: counted apart */
    bool on_disk; /* it is the beginning of a struct durable_delivery */
};

/* One of QoS 1 or 2 to a session on disk. */
struct durable_delivery {
    struct delivery d;
    struct durable durable;
    struct body *body; /* of d.message, a reference; NULL in AWAIT_PUBCOMP */
    uint64_t session;  /* numbers of its key */
    uint64_t n;
};

struct outbox_limits {
    uint32_t max_messages;
    size_t max_bytes;
    uint32_t max_backlog;
    uint16_t max_inflight;
};

/* Which line a new delivery joins. */
enum outbox_line {
    OUTBOX_WAITING,
    OUTBOX_HELD,    /* behind an unanswered SUBSCRIBE: joins the waiting ones with outbox_unhold() */
    OUTBOX_BACKLOG, /* a retained message for such a SUBSCRIBE: waiting, in front of what is held */
};

struct outbox {
    struct list waiting;
    struct list held;
    struct list in_flight;
    struct delivery **slots; /* made with the first QoS 1 or 2 message */
    uint32_t slot_mask;
    uint16_t next_id;
    uint32_t in_flight_count; /* what the client's Receive Maximum counts: sent and not finished */
    uint32_t count;           /* all but the backlog */
    uint32_t backlog_count;
    uint32_t qos0_count; /* of both: later QoS 0 messages queue up behind these */
    size_t bytes;        /* all but the backlog */
    uint64_t next_n;     /* of the last one that has a record: their order */
    uint64_t backlog_n;  /* the same of the backlog: see outbox_hold() */
    struct stats *stats; /* of the shard: queued_messages and queued_bytes follow what is in here */
};

void outbox_init(struct outbox *o, struct stats *stats);
void outbox_done(struct outbox *o);

/* Appends; references the message. ST_QUOTA at a limit, ST_NO_MEMORY. */
enum status outbox_add(struct outbox *o, const struct outbox_limits *limits, const struct message *message,
                       const struct delivery_options *how, uint32_t grant_serial,
                       enum outbox_line line) MUST_CHECK;
/* Whether outbox_add() would take it. */
bool outbox_has_room(const struct outbox *o, const struct outbox_limits *limits, const struct message *message);
/* The oldest that waits, has never been sent and is nobody else's: no group's, nor from the retained store. NULL: there is
 * none among the first few. */
struct delivery *outbox_oldest(const struct outbox *o);
/* Deliveries will be held from now on. The numbers of the backlog are kept free: it is in front of them on disk, too. */
void outbox_hold(struct outbox *o, uint32_t max_backlog);
void outbox_unhold(struct outbox *o);

struct delivery *outbox_first(const struct outbox *o); /* waiting; NULL if none */
/* The first waiting one goes into flight, with a packet id. ST_NO_MEMORY when there is no table for ids. */
enum status outbox_start(struct outbox *o, const struct outbox_limits *limits, struct delivery *d) MUST_CHECK;
/* It could not be sent after all: waits again in front of `before` (outbox_head() as it was before the first such), and
 * without an id if it had none before. */
void outbox_unstart(struct outbox *o, struct delivery *d, struct list *before);
static inline struct list *outbox_head(const struct outbox *o)
{
    return o->waiting.next;
}
struct delivery *outbox_find(const struct outbox *o, uint16_t packet_id); /* in flight; NULL if none */
void outbox_release_message(struct outbox *o, struct delivery *d);        /* PUBREC came */
void outbox_drop(struct outbox *o, struct delivery *d);                   /* finished or given up */

/* What has to be durable for this one to be on disk as it is. */
struct barrier outbox_barrier(const struct outbox *o, struct delivery *d);
/* See session_restore_delivery(). */
enum status outbox_restore(struct outbox *o, uint16_t max_inflight, const struct record_delivery *record,
                           struct body *body, struct share *share) MUST_CHECK;

/* The calendar did: until when messages are wanted is written anew. */
void outbox_clock_moved(struct outbox *o);

/* A new connection: what was sent and not acknowledged waits again, first and in order. */
void outbox_rewind(struct outbox *o);

#endif
