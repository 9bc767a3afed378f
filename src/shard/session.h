/* shard/session.h - what the broker remembers of a client under its Client Identifier: subscriptions, messages
 * owed, QoS 2 identifiers, Will, and when all that ends (MQTT5 4.1, MT-75).
 *
 *     new --> connected --session_detach--> waiting for its client --expiry--> ended
 *                 ^------ session_attach ------------'
 *
 * A session with Session Expiry Interval 0 ends when its connection does. The grant belongs to the connection
 * that is there; while none is, the last one stays for grant_same_owner() and as the mark of what was checked.
 * Ownership: the shard's table owns sessions; session_end() frees. Threads: the shard's. */
#ifndef SYMBOLON_SHARD_SESSION_H
#define SYMBOLON_SHARD_SESSION_H

#include "base/list.h"
#include "base/table.h"
#include "base/timer.h"
#include "shard/grant.h"
#include "shard/id_set.h"
#include "shard/journal.h"
#include "shard/outbox.h"
#include "shard/will.h"
#include "topic/topic_tree.h"

struct conn;
struct shard;
struct share_ties;

struct subscription {
    struct topic_subscription in_tree; /* first: the tree hands back this pointer */
    struct table_node node;            /* in shard->subscriptions */
    struct list link;                  /* in session->subscriptions */
    struct session *session;
    uint32_t id; /* Subscription Identifier; 0: none */
    uint8_t qos;
    bool no_local : 1;
    bool retain_as_published : 1;
    bool shared : 1;  /* it is the beginning of a struct share_subscription, and in no tree */
    bool on_disk : 1; /* it has a subscription_record() */
    uint16_t filter_len;
};

/* What a subscription has besides, whose session is on disk. */
struct subscription_record {
    struct durable durable;
    uint32_t n; /* in its key */
    struct subscription *sub;
};

struct durable_subscription {
    struct subscription sub;
    struct subscription_record record;
};

/* The records of a session itself, by what is in them. */
enum session_part {
    SESSION_RECORD = 1,   /* s: who, whose, how long */
    SESSION_WILL = 2,     /* w */
    SESSION_RECEIVED = 4, /* i: QoS 2 identifiers */
};

/* What a session on disk has besides. */
struct session_journal {
    struct durable durable;
    struct session *session; /* NULL: has ended; this is what is left until its records are gone */
    uint64_t number;
    uint8_t changed, stored;    /* enum session_part */
    uint32_t next_subscription; /* the last one given */
    uint8_t version;            /* of the protocol it spoke last: 4 or 5 */
    int64_t left_ms;            /* wall: when its connection ended; 0: it has one */
    struct record_owner
        *owner; /* of one that came from the store and has no grant yet: one heap block; else NULL */
};

/* One message on its way to this session, while the matching subscriptions are gathered (route.c). */
struct session_match {
    struct list link; /* in shard->matched */
    bool active;
    bool copied;     /* a copy for more of its subscription identifiers has gone before */
    uint32_t missed; /* number of the late message it has not got yet: late.h */
    struct delivery_options how;
};

struct session {
    struct table_node node;
    struct shard *shard;
    uint64_t number;   /* unique over all shards and sessions */
    struct conn *conn; /* NULL: not connected */
    struct grant *grant;
    uint32_t grant_serial;
    uint32_t weighed; /* what of its memory is in memory_sessions */
    bool in_tokens, in_twins;
    struct table_node token_node; /* of the first with its token: in shard->tokens, by the hash of that */
    struct table_node twin_node;  /* the same: in shard->twins, by the other name of one that has two */
    struct list token_link;       /* a ring of those with the same token, or in a struct status_job */
    uint32_t expiry_s;            /* UINT32_MAX: never (MQTT5 3.1.2.11.2) */
    struct timer end_timer;       /* connected: of its grant; else of itself */
    struct timer will_timer;      /* runs while not connected */
    struct will *will;
    struct list subscriptions;
    uint32_t subscription_count;
    size_t subscription_bytes; /* of their filters */
    struct share_ties *ties;   /* of shared subscriptions; NULL: it never had any */
    struct list operations;    /* SUBSCRIBEs not answered yet (subscribe.c) */
    uint32_t held;             /* so many of them: nothing is sent meanwhile */
    struct outbox outbox;
    struct id_set received;          /* QoS 2, not released */
    bool ending;                     /* session_end() runs */
    struct session_journal *journal; /* NULL: it ends with its connection, and the disk knows nothing of it */
    struct session_match match;
    size_t client_id_len;
    char client_id[];
};

static inline struct span session_client_id(const struct session *s)
{
    return span_of(s->client_id, s->client_id_len);
}

struct session *session_find(const struct shard *shard, struct span client_id);
/* ST_QUOTA at max_sessions, ST_NO_MEMORY. Has no grant yet. */
enum status session_new(struct shard *shard, struct span client_id, struct session **ret_session,
                        struct why *why) MUST_CHECK;
void session_set_will(struct session *s, struct will *will); /* takes it; NULL: none any more */
/* Its Will and its end come in time, counted from when its connection was lost. */
void session_start_waiting(struct session *s, struct mono_time since);
/* Another grant has come, or none: it takes other memory. */
void session_weigh(struct session *s);
/* Ends it now: subscriptions and messages go, a Will still waiting is published (MQTT5 [MQTT-3.1.2-8]). */
void session_end(struct session *s);

/* Whether this grant would leave every subscription where it is. */
bool session_is_covered(const struct session *s, const struct grant *grant);
/* Another grant for this session, from a CONNECT or a re-authentication: takes the reference, restarts the timer,
 * checks every subscription again and drops what is no longer covered (MT-107); returns how many. The Will goes
 * as well if its topic is not covered any more. */
uint32_t session_set_grant(struct session *s, struct grant *grant);
/* The same for the session of an open connection, or of none: the connection sees the new grant at once. ST_NOT_IN_SCOPE
 * when a subscription was lost and the settings want the connection to end for that; *ret_lost says how many. */
enum status session_renew_grant(struct session *s, struct grant *grant, uint32_t *ret_lost,
                                struct why *why) MUST_CHECK;
void session_start_grant_timer(struct session *s);

/* The connection is gone. `with_will`: not by a DISCONNECT that takes the Will back. May end the session. */
void session_detach(struct session *s, bool with_will);
/* A connection is there again: expiry and delayed Will are called off. */
void session_attach(struct session *s, struct conn *conn);

/* ---- on disk (session_journal.c) ---- */

/* Whether what it gets from now on is to be on disk. */
static inline bool session_is_kept(const struct session *s)
{
    return s->journal != NULL && s->expiry_s > 0;
}

/* From now on it is to be on disk: a new one, before it has anything. Does nothing without a store. ST_NO_MEMORY. */
enum status session_keep(struct session *s) MUST_CHECK;
/* These parts (enum session_part) are not as the disk has them; does nothing for one that is not on disk. */
void session_change(struct session *s, unsigned parts);
/* It has lost its connection, or has one again. */
void session_left(struct session *s);
/* The calendar did, by so much: when it left, and when what waits for it ends, are written anew. */
void session_clock_moved(struct session *s, int64_t ms);
void session_returned(struct session *s);
/* The journal's part of session_end(). */
void session_bury(struct session *s);
/* What has to be durable for its QoS 2 identifiers to be so. */
struct barrier session_barrier(const struct session *s);

/* ---- from the store (session_restore.c): before the shard runs ---- */

/* As it is there (lent), not connected, in no hurry: session_restored() starts its timers when everything that belongs to it
 * is there. `shadow` (taken, also on failure; may be NULL) is over already, and only tells whose it is. ST_EXISTS, ST_NO_MEMORY. */
enum status session_restore(struct shard *shard, const struct record_session *record, struct grant *shadow,
                            struct session **ret_session, struct why *why) MUST_CHECK;
enum status session_restore_will(struct session *s, const struct record_will *record) MUST_CHECK;
enum status session_restore_received(struct session *s, const struct record_received *record) MUST_CHECK;
/* *ret_first: as of subscription_new(); the other shards have not been told. */
enum status session_restore_subscription(struct session *s, const struct record_subscription *record,
                                         bool *ret_first, struct why *why) MUST_CHECK;
/* `body` as body_restore() made it, a reference more is taken; NULL in AWAIT_PUBCOMP. `share`: its group, a reference taken over,
 * also on failure; or NULL. In the order of n. ST_EXISTS: its packet id is another one's. */
enum status session_restore_delivery(struct session *s, const struct record_delivery *record, struct body *body,
                                     struct share *share) MUST_CHECK;
/* All of it is there. Its timers run; what is due already happens at the next shard_advance(). */
void session_restored(struct session *s);

/* Rows of journal_kinds[]. */
enum status session_put(struct shard *shard, struct durable *d, struct kv_batch *batch) MUST_CHECK;
void session_sealed(struct durable *d);
void session_forget(struct durable *d);
enum status subscription_put(struct shard *shard, struct durable *d, struct kv_batch *batch) MUST_CHECK;
enum status delivery_put(struct shard *shard, struct durable *d, struct kv_batch *batch) MUST_CHECK;

/* ---- subscriptions (subscription.c) ---- */

/* NULL: it is not on disk. */
struct subscription_record *subscription_record(struct subscription *sub);
void subscription_change(struct subscription *sub); /* its options are others */
/* The memory of a subscription that is in no table, list or tree any more. */
void subscription_dispose(struct subscription *sub);

struct subscription *subscription_find(const struct session *s, struct topic_filter filter);
/* A new one, in the tree. *ret_first: the other shards do not know of this filter yet. */
enum status subscription_new(struct session *s, struct topic_filter filter, struct subscription **ret_sub,
                             bool *ret_first, struct why *why) MUST_CHECK;
void subscription_free(struct subscription *sub); /* tells the other shards if it was the last of its filter */
void subscription_filter(const struct subscription *sub, struct buf *out); /* appends its text, as subscribed */

/* ---- SUBSCRIBEs on their way through the other shards (subscribe.c) ---- */

void subscribe_forget_conn(struct session *s);    /* nobody is there to be answered */
void subscribe_forget_session(struct session *s); /* nothing is left to subscribe */

/* ---- sending (deliver.c) ---- */

/* A message matching the session's subscriptions: sent, queued or dropped and counted. ST_NO_MEMORY, ST_QUOTA: dropped. */
enum status session_deliver(struct session *s, const struct message *m, const struct delivery_options *how);
/* Whether a message of QoS 1 or 2 would find room in its queue. */
bool session_has_room(const struct session *s, const struct message *m);
/* A retained message, on behalf of a new subscription; sent by the next session_pump(). */
void session_deliver_retained(struct session *s, const struct message *m, const struct delivery_options *how);
/* The same for a message handed to this session by a group (how->share), which may have it back: ST_QUOTA when it does not
 * fit now, and nothing has happened. Else it is in hand, or dropped and counted. */
enum status session_deliver_shared(struct session *s, const struct message *m,
                                   const struct delivery_options *how) MUST_CHECK;
/* Messages of QoS 1 and 2 that would be sent at once, were they delivered now. */
int32_t session_room(const struct session *s);
/* Connected, authorized still, and reading as fast as we write. May close the connection. */
bool session_is_reading(struct session *s);
/* Takes one out of the outbox, finished or given up. */
void session_drop(struct session *s, struct delivery *d);
/* Sends what waits, as far as the window and the output allow. */
void session_pump(struct session *s);
/* First thing on a new connection: PUBRELs again, publications again with DUP (MQTT5 4.4). */
void session_resend(struct session *s);

#endif
