/* broker/shard_msg.h - what one shard tells another. The world only carries it: `next` is free for its queues,
 * `class` says which goes first at the end of a turn (see shard.h), shard_msg_free() drops what is undelivered.
 * Threads: belongs to whoever holds it; the messages inside are immutable and counted. */
#ifndef SYMBOLON_BROKER_SHARD_MSG_H
#define SYMBOLON_BROKER_SHARD_MSG_H

#include "base/span.h"

struct message;
struct interest;
struct subscribe_op;

enum shard_msg_class { SHARD_DATA, SHARD_ACK };

enum shard_msg_kind {
    MSG_DELIVER,         /* message: for the receiver's own subscribers */
    MSG_RETAIN_SET,      /* message: the receiver owns this topic's retained message */
    MSG_INTEREST_ADD,    /* filter, interest: the sender has subscribers; answer INTEREST_ADDED */
    MSG_INTEREST_ADDED,  /* interest: done (ack) */
    MSG_INTEREST_REMOVE, /* filter: the sender has none any more */
    MSG_RETAIN_QUERY,    /* filter, op, at: answer RETAIN_FOUND */
    MSG_RETAIN_FOUND,    /* op, at, found[] (ack) */
};

struct shard_msg {
    struct shard_msg *next; /* the world's */
    enum shard_msg_class class;
    enum shard_msg_kind kind;
    unsigned from;
    struct message *message;
    struct interest *interest; /* cookie: only its owner looks inside */
    struct subscribe_op *op;   /* cookie as well */
    uint32_t at;               /* which filter of the op */
    bool failed;               /* of an ack: it could not be done */
    uint32_t found_count;
    struct message **found; /* references, heap array */
    size_t filter_len;
    uint8_t filter[];
};

struct shard_msg *shard_msg_new(enum shard_msg_kind kind, unsigned from, struct span filter);
void shard_msg_free(struct shard_msg *msg);

static inline struct span shard_msg_filter(const struct shard_msg *msg)
{
    return span_of(msg->filter, msg->filter_len);
}

#endif
