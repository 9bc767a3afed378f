/* broker/session.h - what the broker remembers of a client under its Client Identifier: subscriptions, messages
 * owed, QoS 2 identifiers, Will, and when all that ends (MQTT5 4.1, MT-75).
 *
 *     new --> connected --session_detach--> waiting for its client --expiry--> ended
 *                 ^------ session_attach ------------'
 *
 * A session with Session Expiry Interval 0 ends when its connection does. The grant belongs to the connection
 * that is there; while none is, the last one stays for grant_same_owner() and as the mark of what was checked.
 * Ownership: the shard's table owns sessions; session_end() frees. Threads: the shard's. */
#ifndef SYMBOLON_BROKER_SESSION_H
#define SYMBOLON_BROKER_SESSION_H

#include "base/list.h"
#include "base/table.h"
#include "base/timer.h"
#include "broker/grant.h"
#include "broker/id_set.h"
#include "broker/journal.h"
#include "broker/outbox.h"
#include "broker/topic_tree.h"
#include "broker/will.h"

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
    bool on_disk : 1; /* it has a struct durable: subscription_durable() */
    uint16_t filter_len;
};

/* One of a session that outlives its connection. */
struct durable_subscription {
    struct subscription sub;
    struct durable durable;
    uint32_t n; /* in its key */
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
    uint8_t changed, stored; /* enum session_part */
    uint32_t next_subscription;
    uint8_t version; /* of the protocol it spoke last: 4 or 5 */
    int64_t left_ms; /* wall: when its connection ended; 0: it has one */
    struct record_owner
        *owner; /* of one that came from the store and has no grant yet: one heap block; else NULL */
};

/* One message on its way to this session, while the matching subscriptions are gathered (route.c). */
struct session_match {
    struct list link; /* in shard->matched */
    bool active;
    struct delivery_options how;
};

struct session {
    struct table_node node;
    struct shard *shard;
    uint64_t number;   /* unique over all shards and sessions */
    struct conn *conn; /* NULL: not connected */
    struct grant *grant;
    uint32_t grant_serial;
    bool in_tokens, in_twins;
    struct table_node token_node; /* in shard->tokens, by the hash of the grant's token */
    struct table_node twin_node;  /* in shard->twins, by the other name of one that has two */
    struct list status_link;      /* while news of that token is acted on (token_status.c) */
    uint32_t expiry_s;            /* UINT32_MAX: never (MQTT5 3.1.2.11.2) */
    struct timer expiry_timer;
    struct timer grant_timer; /* runs while connected */
    struct timer will_timer;  /* runs while not */
    struct will *will;
    struct list subscriptions;
    uint32_t subscription_count;
    size_t subscription_bytes; /* of their filters */
    struct share_ties *ties;   /* of shared subscriptions; NULL: it never had any */
    struct list operations;    /* SUBSCRIBEs not answered yet (subscribe.c) */
    uint32_t held;             /* so many of them: nothing is sent meanwhile */
    struct outbox outbox;
    struct id_set received;          /* QoS 2, not released */
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

/* From now on it is to be on disk: before it has anything that would be, too. ST_NO_MEMORY. */
enum status session_keep(struct session *s) MUST_CHECK;
/* These parts (enum session_part) are not as the disk has them. */
void session_change(struct session *s, unsigned parts);
/* Whether the same party owns it as holds this grant; for who came from the store, too. */
bool session_owned_by(const struct session *s, const struct grant *grant);
bool session_owner_has_token(const struct session *s);
/* The last use of a session whose records are to go. */
void session_bury(struct session *s);

/* From the store, as it is there (lent); not connected, with no grant, and in no hurry: session_restored() starts its
 * timers when everything that belongs to it is there. ST_EXISTS, ST_NO_MEMORY. */
enum status session_restore(struct shard *shard, const struct record_session *record,
                            struct session **ret_session, struct why *why) MUST_CHECK;
enum status session_restore_will(struct session *s, const struct record_will *record) MUST_CHECK;
enum status session_restore_received(struct session *s, const struct record_received *record) MUST_CHECK;
enum status session_restore_subscription(struct session *s, const struct record_subscription *record,
                                         struct why *why) MUST_CHECK;
/* `body` as body_restore() made it, a reference more is taken; NULL in AWAIT_PUBCOMP. In the order of n. */
enum status session_restore_delivery(struct session *s, const struct record_delivery *record,
                                     struct body *body) MUST_CHECK;
/* All of it is there. May end it, if its time was over while the broker was not running: its Will is published then. */
void session_restored(struct session *s);

/* Rows of journal_kinds[]. */
enum status session_put(struct shard *shard, struct durable *d, struct kv_batch *batch) MUST_CHECK;
void session_sealed(struct durable *d);
void session_forget(struct durable *d);
enum status subscription_put(struct shard *shard, struct durable *d, struct kv_batch *batch) MUST_CHECK;
enum status delivery_put(struct shard *shard, struct durable *d, struct kv_batch *batch) MUST_CHECK;

/* ---- subscriptions (subscription.c) ---- */

/* NULL: it is not on disk. */
struct durable_subscription *subscription_durable(struct subscription *sub);

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

/* A message matching the session's subscriptions: sent, queued or dropped and counted. */
void session_deliver(struct session *s, const struct message *m, const struct delivery_options *how);
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
