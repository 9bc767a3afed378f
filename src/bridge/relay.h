/* bridge/relay.h - the heart of a bridge: a message of one broker becomes a message of the other, and is acknowledged to
 * the one only when the other has acknowledged it. So QoS 1 and 2 hold from end to end, and whoever sends is slowed
 * down by its own window. Bytes, clocks and connections are the sides' (struct relay_side).
 *
 *   from ──message──▶ map topic, look at the path ──publish──▶ to
 *   from ◀───ack──── by what `to` said ◀──relay_published()─── to
 *
 * What is refused, by the other broker or on the way, is acknowledged as refused, reported once (`dropped`) and gone: it
 * must not hold up what is behind it. QoS 0 goes over only while the other side is connected and not behind.
 * Ownership: the caller embeds the struct; rules and sides are lent. Threads: one. */
#ifndef SYMBOLON_BRIDGE_RELAY_H
#define SYMBOLON_BRIDGE_RELAY_H

#include "base/list.h"
#include "bridge/rules.h"
#include "symbolon/client.h"

#define RELAY_QOS0_MAX  1000               /* more than this waiting on the other side: it is behind */
#define RELAY_BYTES_MAX ((size_t)16 << 20) /* or more than so many bytes of one side under way */

struct relay_side {
    /* As symbolon_client_publish(); what becomes of it is told by relay_published(), perhaps before this returns. */
    enum symbolon_status (*publish)(void *ctx, const struct symbolon_message *message, uint64_t *ret_id,
                                    struct symbolon_error *error);
    /* As symbolon_client_ack(); what is not known any more is ignored. */
    void (*ack)(void *ctx, uint64_t handle, uint8_t reason);
    bool (*connected)(void *ctx);
    size_t (*waiting)(void *ctx); /* unfinished messages */
    /* NULL, or: no more messages from this side (true) while what came from it and the other side has not finished is
     * RELAY_BYTES_MAX or more; again (false) when half of that is gone. Those that were read already may still come. */
    void (*hold)(void *ctx, bool on);
    void *ctx;
    bool v3; /* MQTT 3.1.1: a topic and a payload, nothing else */
};

/* `topic` is of the side it came from; `from` says which. */
typedef void relay_dropped(void *ctx, enum rule_side from, struct span topic, const struct symbolon_error *why);

struct relay_counters {
    uint64_t passed;  /* handed to the other side */
    uint64_t refused; /* by it, or on the way */
    uint64_t ended;   /* had come this way before */
    uint64_t missed;  /* QoS 0 while the other side was away or behind */
};

struct relay {
    const struct rules *rules;
    struct span node;       /* path.h */
    struct buf remote_node; /* of the other broker, if it told; set by relay_set_remote_node() */
    struct relay_side side[2];
    relay_dropped *dropped;
    void *ctx;
    struct list pending[2]; /* by the side they came from: struct relayed */
    size_t bytes[2];        /* likewise: of those */
    bool held[2];
    struct relay_counters counters[2]; /* likewise */
    struct buf topic, response, path;
};

void relay_init(struct relay *r, const struct rules *rules, struct span node, relay_dropped *dropped,
                void *ctx);
void relay_done(struct relay *r);

/* At each connection; empty: it did not say. */
void relay_set_remote_node(struct relay *r, struct span node);

/* A message from that side. */
void relay_message(struct relay *r, enum rule_side from, const struct symbolon_message *message);
/* What the side made of what was published to it; an unknown id is of a QoS 0 message, or the caller's own. */
void relay_published(struct relay *r, enum rule_side to, uint64_t id, const struct symbolon_error *result);

#endif
