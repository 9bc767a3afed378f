/* shard/message.h - an application message: encoded once, shared by every queue and every shard that wants it.
 * `wire` is the whole PUBLISH packet a QoS 0 subscriber without subscription identifiers gets (flags zero, no
 * packet identifier, only the forwarded properties); the other forms are put together from its parts.
 * Ownership: message_new() hands over one reference; message_unref(NULL) does nothing.
 * Threads:   immutable after message_new(), so readable from any; the count is atomic, and so is the hash, for which
 *            every thread that needs it finds the same.
 * Failure:   ST_NO_MEMORY, or ST_TOO_LARGE when topic, properties and payload do not fit one MQTT packet. */
#ifndef SYMBOLON_SHARD_MESSAGE_H
#define SYMBOLON_SHARD_MESSAGE_H

#include "base/clock.h"
#include "base/span.h"
#include "base/status.h"
#include "base/table.h"

#include <stdatomic.h>

struct memory_cell;

struct message {
    _Atomic uint32_t refs;
    uint8_t qos;        /* as published */
    bool retain;        /* RETAIN flag as published */
    uint8_t topic_at;   /* offset into wire, as are those below */
    uint64_t publisher; /* session number of the publisher, for No Local; unique over all shards */
    int64_t expires_ms; /* mono: Message Expiry Interval; TIME_NEVER without one */
    int64_t
        token_until_s;  /* wall: end of the publisher's token, bounds a retained copy (MT-111); or TIME_NEVER */
    uint64_t token_tag; /* of a retained one: stands for that token, see grant_tag(); 0: none */
    _Atomic(struct memory_cell *) cell; /* where its bytes are counted once it waits; NULL: it does not yet */
    _Atomic uint32_t topic_hash;        /* 0: nobody has asked yet: message_topic_hash() */
    uint32_t wire_len;
    uint32_t properties_at;
    uint32_t payload_at;
    uint16_t topic_len;
    uint8_t wire[];
};

/* What a message is made from; spans are copied. `properties` is the encoded run of properties that are
 * forwarded unaltered, in the publisher's order: payload format, content type, response topic, correlation
 * data, user properties (MQTT5 3.3.2.3). */
struct message_parts {
    struct span topic;
    struct span properties;
    struct span payload;
    uint8_t qos;
    bool retain;
    uint64_t publisher;
    int64_t expires_ms;
    int64_t token_until_s;
    uint64_t token_tag;
};

struct record_message;

/* As it goes to disk, under that number, and back; the record's spans point into the message. */
struct record_message message_record(const struct message *m, uint64_t number, struct now now);
struct message_parts message_parts_of(const struct record_message *record, struct now now);

enum status message_new(const struct message_parts *parts, struct message **ret_message) MUST_CHECK;
struct message *message_ref(const struct message *m);
void message_unref(const struct message *m);
void message_unrefp(struct message **m);
/* It waits for somebody: from now to its end its bytes count there, whoever else it waits for. NULL: not counted. */
void message_keep(const struct message *m, struct memory_cell *cell);

/* Of the topic, never 0; computed once. `key` is the same at each call. */
uint32_t message_topic_hash(const struct message *m, struct hash_key key);

static inline struct span message_topic(const struct message *m)
{
    return span_of(m->wire + m->topic_at, m->topic_len);
}

static inline struct span message_payload(const struct message *m)
{
    return span_of(m->wire + m->payload_at, m->wire_len - m->payload_at);
}

static inline struct span message_properties(const struct message *m)
{
    return span_of(m->wire + m->properties_at, m->payload_at - m->properties_at);
}

/* Bytes to account for one stored message: the block itself. */
static inline size_t message_size(const struct message *m)
{
    return sizeof *m + m->wire_len;
}

/* Message Expiry Interval, from now on. One of 0 seconds is for who can take the message at once: that long it has for
 * its way through the workers. */
#define MESSAGE_AT_ONCE_MS 50

static inline int64_t message_expires_ms(struct now now, uint32_t interval_s)
{
    return now.mono.ms + (interval_s == 0 ? MESSAGE_AT_ONCE_MS : (int64_t)interval_s * MS_PER_S);
}

static inline bool message_expired(const struct message *m, struct now now)
{
    return now.mono.ms >= m->expires_ms;
}

/* True when a retained copy must not be served any more: MT-111, min(token expiry, message expiry). */
static inline bool message_retained_expired(const struct message *m, struct now now)
{
    return message_expired(m, now) || now.wall.s >= m->token_until_s;
}

#endif
