/* record/record.h - what the broker keeps on disk, byte by byte: keys and values of the store (docs/operate/store.md).
 *
 *   key                     value                                                 written by
 *   v                       record_meta: format version, workers, ...             restore.c
 *   s u64 session           record_session: who, when it left, whose it is        session
 *   w u64 session           record_will                                           session
 *   i u64 session           record_received: QoS 2 ids not released               session
 *   b u64 session u32 n     record_subscription                                   subscription
 *   q u64 session u64 n     record_delivery: what it is owed, in the order of n   outbox
 *   m u64 body              record_message: once for all its deliveries           message
 *   r u64 n                 record_message: a retained one                        retained
 *   g u64 group             record_group: a $share group                          share
 *   x u64 group u64 seq     record_item: waits for a member, in the order of seq  share
 *   o u32 from u32 to u64 n record_out: on its way to another shard               durable_post
 *   x and o have their message in them: such a record is removed by the shard that the message has moved to, in the batch
 *   of what became of it there (docs/decisions/0024), and a body belongs to one shard
 *   t ...                   tokens, receipts, revocations                         the token journal
 *   z key                   what could not be read under `key`, as it was          restore.c
 *
 * Numbers in keys are big-endian, so that the order of keys is the order of numbers. Every value ends in 4 bytes of a
 * sum over key and value (record_sum()): LMDB has none, and a payload that the disk has changed must not be delivered.
 * A record may be damaged or come from a hostile hand: reading goes through the bounded reader, and every field is
 * checked for what the core relies on. Spans of a record that was read point into the value.
 * Any change of these bytes needs another RECORD_FORMAT and a step in store_migrate.c; record_test.c pins them.
 * Failure:  put: ST_NO_MEMORY and the batch is as before. read: ST_MALFORMED with a precise why.
 * Times are wall-clock milliseconds, as are all on disk; RECORD_NEVER: no end. Pure; threads: any. */
#ifndef SYMBOLON_RECORD_RECORD_H
#define SYMBOLON_RECORD_RECORD_H

#include "base/clock.h"
#include "base/span.h"
#include "base/status.h"
#include "base/table.h"

struct kv_batch;

#define RECORD_FORMAT 1 /* the version of all that is described here */
#define RECORD_NEVER  INT64_MAX

/* ---- keys ---- */

enum record_kind {
    RECORD_META = 'v',
    RECORD_SESSION = 's',
    RECORD_WILL = 'w',
    RECORD_RECEIVED = 'i',
    RECORD_SUBSCRIPTION = 'b',
    RECORD_DELIVERY = 'q',
    RECORD_MESSAGE = 'm',
    RECORD_RETAINED = 'r',
    RECORD_GROUP = 'g',
    RECORD_ITEM = 'x',
    RECORD_OUT = 'o',
    RECORD_TOKEN = 't',
    RECORD_ASIDE = 'z', /* then the whole key of a record that could not be read */
};

struct record_key {
    uint8_t len;
    uint8_t bytes[17];
};

/* So that a tombstone needs nothing but the numbers of the object. */
struct record_key record_key_meta(void);
struct record_key record_key_session(uint64_t session);
struct record_key record_key_will(uint64_t session);
struct record_key record_key_received(uint64_t session);
struct record_key record_key_subscription(uint64_t session, uint32_t n);
struct record_key record_key_delivery(uint64_t session, uint64_t n);
struct record_key record_key_message(uint64_t body);
struct record_key record_key_retained(uint64_t n);
struct record_key record_key_group(uint64_t group);
struct record_key record_key_item(uint64_t group, uint64_t seq);
struct record_key record_key_out(uint32_t from, uint32_t to, uint64_t n);

static inline struct span record_key_span(const struct record_key *key)
{
    return span_of(key->bytes, key->len);
}

enum status record_delete(struct kv_batch *b, struct record_key key) MUST_CHECK;

/* The last four bytes of every value: of the key and all that stands before. Guards against the disk, not against an
 * adversary: who can write there can write anything. */
#define RECORD_SUM_LEN 4
uint32_t record_sum(struct span key, struct span value);
/* Takes the sum off the end of `value`, in this and in all former and later formats. ST_MALFORMED: it is wrong. */
enum status record_unsum(struct span key, struct span *value, struct why *why) MUST_CHECK;

/* ---- values ---- */

struct record_meta {
    uint32_t format;          /* first in every format; if it is not RECORD_FORMAT, nothing else was read */
    uint32_t workers;         /* shards there were: where sessions and groups were at home, and OUT speaks of */
    struct hash_key home_key; /* which of them a client identifier was at home on */
    int64_t started_ms;       /* the broker that wrote this */
};

/* Whose the session is: what grant_same_owner(), compare_tokens() and retained_bound() ask of its last grant. Without a
 * token all is empty. */
struct record_owner {
    bool has_token;
    struct span iss;
    struct span sub;       /* .p == NULL: absent */
    struct span client_id; /* the same; of the token, not of MQTT */
    uint8_t cnf_thumbprint[32];
    uint8_t token_hash[32];
    bool has_twin;
    uint8_t token_twin[32];
    int64_t until_ms; /* end of the grant */
};

struct record_session {
    uint64_t session;
    struct span client_id;
    uint32_t expiry_s; /* never 0: such sessions are not written; UINT32_MAX: no end */
    int64_t left_ms;   /* when its connection ended; 0: it had one */
    uint8_t version;   /* of the protocol its client spoke last: 4 (3.1.1) or 5 */
    struct record_owner owner;
};

struct record_will {
    uint64_t session;
    uint32_t delay_s;
    uint32_t expiry_s;
    bool has_expiry;
    bool retain;
    uint8_t qos;
    struct span topic;
    struct span properties;
    struct span payload;
};

/* `ids`: 2 bytes each, ascending. Written from an array as id_set has it. */
struct record_received {
    uint64_t session;
    struct span ids;
};

struct record_subscription {
    uint64_t session;
    uint32_t n;         /* of the session's; a subscription keeps its own while it lives */
    uint32_t id;        /* Subscription Identifier; 0: none */
    struct span filter; /* as subscribed, with $share/NAME/ if it is shared */
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
};

/* How far a delivery has come. */
enum delivery_state { DELIVERY_WAITING, DELIVERY_AWAIT_PUBACK, DELIVERY_AWAIT_PUBREC, DELIVERY_AWAIT_PUBCOMP };

#define RECORD_MAX_IDS 4 /* DELIVERY_MAX_IDS */

struct record_delivery {
    uint64_t session;
    uint64_t n;         /* the order in the outbox */
    uint64_t body;      /* record_message; 0 in AWAIT_PUBCOMP, where none is needed */
    uint8_t qos;        /* 1 or 2 */
    uint8_t state;      /* enum delivery_state */
    uint16_t packet_id; /* 0: never sent */
    bool retain;
    bool dup;
    bool backlog; /* a retained message after SUBSCRIBE */
    uint8_t n_ids;
    uint32_t ids[RECORD_MAX_IDS];
    struct span group; /* the $share group that can have it back, its whole text; empty: none */
    uint64_t share_seq;
};

struct record_message {
    uint64_t number; /* body, or n of a retained one */
    uint8_t qos;
    bool retain;
    uint64_t publisher;
    int64_t expires_ms;
    int64_t token_until_s; /* seconds, as in struct message; RECORD_NEVER */
    uint64_t token_tag;
    struct span topic;
    struct span properties;
    struct span payload;
};

struct record_group {
    uint64_t group;
    struct span text;
};

struct record_item {
    uint64_t group;
    uint64_t seq;
    struct record_message message; /* without a number */
};

/* A publication that another shard gets exactly once. */
struct record_out {
    uint32_t from, to;
    uint64_t n;
    struct record_message message; /* without a number */
    bool retained; /* the retained message of its topic is to be set, or removed; else it is to be delivered */
};

/* clang-format off */
enum status record_put_meta        (struct kv_batch *b, const struct record_meta *r) MUST_CHECK;
enum status record_put_session     (struct kv_batch *b, const struct record_session *r) MUST_CHECK;
enum status record_put_will        (struct kv_batch *b, const struct record_will *r) MUST_CHECK;
enum status record_put_received    (struct kv_batch *b, uint64_t session, const uint16_t *ids, uint16_t count) MUST_CHECK;
enum status record_put_subscription(struct kv_batch *b, const struct record_subscription *r) MUST_CHECK;
enum status record_put_delivery    (struct kv_batch *b, const struct record_delivery *r) MUST_CHECK;
enum status record_put_message     (struct kv_batch *b, const struct record_message *r) MUST_CHECK;
enum status record_put_retained    (struct kv_batch *b, const struct record_message *r) MUST_CHECK;
enum status record_put_group       (struct kv_batch *b, const struct record_group *r) MUST_CHECK;
enum status record_put_item        (struct kv_batch *b, const struct record_item *r) MUST_CHECK;
enum status record_put_out         (struct kv_batch *b, const struct record_out *r) MUST_CHECK;

enum status record_read_meta        (struct span key, struct span value, struct record_meta *out, struct why *why) MUST_CHECK;
enum status record_read_session     (struct span key, struct span value, struct record_session *out, struct why *why) MUST_CHECK;
enum status record_read_will        (struct span key, struct span value, struct record_will *out, struct why *why) MUST_CHECK;
enum status record_read_received    (struct span key, struct span value, struct record_received *out, struct why *why) MUST_CHECK;
enum status record_read_subscription(struct span key, struct span value, struct record_subscription *out, struct why *why) MUST_CHECK;
enum status record_read_delivery    (struct span key, struct span value, struct record_delivery *out, struct why *why) MUST_CHECK;
enum status record_read_message     (struct span key, struct span value, struct record_message *out, struct why *why) MUST_CHECK;
enum status record_read_retained    (struct span key, struct span value, struct record_message *out, struct why *why) MUST_CHECK;
enum status record_read_group       (struct span key, struct span value, struct record_group *out, struct why *why) MUST_CHECK;
enum status record_read_item        (struct span key, struct span value, struct record_item *out, struct why *why) MUST_CHECK;
enum status record_read_out         (struct span key, struct span value, struct record_out *out, struct why *why) MUST_CHECK;
/* clang-format on */

/* The id at `at`, below ids.len / 2. */
uint16_t record_received_id(const struct record_received *r, size_t at);

/* ---- times ---- */

/* A moment of the clock that runs while we do, as one for the disk, and back; TIME_NEVER stays RECORD_NEVER. */
int64_t record_time(struct now now, int64_t mono_ms);
int64_t record_time_back(struct now now, int64_t wall_ms);

#endif
