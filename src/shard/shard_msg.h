/* shard/shard_msg.h - what one shard tells another. The world only carries it: `next` is free for its queues,
 * `class` says which goes first at the end of a turn (see shard.h), shard_msg_free() drops what is undelivered.
 * Threads: belongs to whoever holds it; the messages inside are immutable and counted. */
#ifndef SYMBOLON_SHARD_SHARD_MSG_H
#define SYMBOLON_SHARD_SHARD_MSG_H

#include "base/span.h"

struct message;
struct interest;
struct out_post;
struct retained_ask;
struct share_item;
struct subscribe_op;

enum shard_msg_class { SHARD_DATA, SHARD_ACK };

enum shard_msg_kind {
    MSG_DELIVER,         /* message: for the receiver's own subscribers */
    MSG_RETAIN_SET,      /* message: the receiver owns this topic's retained message */
    MSG_RETAIN_KEPT,     /* ask: of a RETAIN_SET that had one: `failed`, if not (ack) */
    MSG_INTEREST_ADD,    /* filter, interest: the sender has subscribers; answer INTEREST_ADDED */
    MSG_INTEREST_ADDED,  /* interest: done (ack) */
    MSG_INTEREST_REMOVE, /* filter: the sender has none any more */
    MSG_RETAIN_QUERY,    /* filter, op, at: answer RETAIN_FOUND */
    MSG_RETAIN_FOUND,    /* op, at, found[] (ack) */
    /* shared subscriptions (share.h); filter: the whole text of the group, the receiver's part of it in `share` */
    MSG_SHARE_JOIN,   /* filter, op, at, share: to home; answer SHARE_JOINED */
    MSG_SHARE_JOINED, /* op, at: the group is known everywhere (ack) */
    MSG_SHARE_LEAVE,  /* share.number: to home */
    MSG_SHARE_STATE,  /* share: to home */
    MSG_SHARE_TAKE,   /* filter, message, share: from home; answer nothing, or SHARE_RETURN */
    MSG_SHARE_RETURN, /* filter, message, share: to home, for somebody else; failed: there is no such member */
    MSG_DURABLE, /* durable: all effects of the receiver's messages up to that number are on the sender's disk (ack) */
};

/* What home and member of a shared subscription tell each other. */
struct share_note {
    uint64_t number; /* of the member */
    uint64_t seq;    /* of a message, in the order its home got it */
    uint64_t group;  /* number of a durable group in its records; 0: it is not durable */
    int32_t room;    /* messages of QoS 1 and 2 the member can send at once */
    uint32_t seen;   /* of those handed to it, as of `room` */
    uint8_t qos;     /* the member's Maximum QoS */
    uint8_t part;    /* it adds what a session may queue to what the group may, divided by 1 << part */
    uint8_t hops;    /* handed out so often in vain */
    bool connected;
    bool open;    /* and reading */
    bool counted; /* of a SHARE_TAKE: it needs room */
    bool durable; /* the member's session outlives its connection */
};

struct shard_msg {
    struct shard_msg *next; /* the world's */
    enum shard_msg_class class;
    enum shard_msg_kind kind;
    unsigned from;
    struct message *message;
    struct interest *interest; /* cookie: only its owner looks inside */
    struct subscribe_op *op;   /* cookie as well */
    struct retained_ask *ask;  /* of RETAIN_SET: an answer is wanted; a reference of its sender's */
    uint32_t at;               /* which filter of the op */
    bool failed;               /* of an ack: it could not be done */
    bool partly;               /* it has arrived, but not for everybody: late.h */
    uint64_t
        durable; /* number among those the sender waits for (journal.h); such a message must not be dropped; 0: none */
    struct share_note share;
    struct share_item
        *item;            /* of SHARE_TAKE and SHARE_RETURN: the record of the message goes with it; or NULL */
    struct out_post *out; /* of DELIVER: the same (durable_post.h) */
    uint32_t found_count;
    struct message **found; /* references, heap array */
    size_t filter_len;
    uint8_t filter[];
};

struct shard_msg *shard_msg_new(enum shard_msg_kind kind, unsigned from, struct span filter);
void shard_msg_free(struct shard_msg *msg);

/* Messages without a filter that have done their work and are about to be used for what goes the other way: a block that one
 * thread allocates and another frees costs both of them the allocator's lock. Threads: one. */
#define SHARD_MSG_SPARES 64
struct shard_msg_spares {
    struct shard_msg *first;
    unsigned count;
};

/* shard_msg_new() and shard_msg_free() with them; one that is freed here has no filter. */
struct shard_msg *shard_msg_reuse(struct shard_msg_spares *spares, enum shard_msg_kind kind, unsigned from);
void shard_msg_spare(struct shard_msg_spares *spares, struct shard_msg *msg);
void shard_msg_spares_done(struct shard_msg_spares *spares);

static inline struct span shard_msg_filter(const struct shard_msg *msg)
{
    return span_of(msg->filter, msg->filter_len);
}

#endif
