/* broker/share.h - shared subscriptions, $share/NAME/FILTER (MQTT5 4.8.2): each message to one member of the group.
 *
 *   publisher's shard --DELIVER--> home of the group: matched like a subscriber of FILTER
 *                                       |  whose turn is it? the next member that is connected and has room
 *                                       |  nobody: the message waits in the group's queue (QoS 0: dropped)
 *                                       `--SHARE_TAKE--> the member's shard: into the session's outbox, and sent
 *                                                             |  gone or full meanwhile
 *                                       home <--SHARE_RETURN--'  or its session ended before it was acknowledged
 *
 * A group is its whole text; its home is hash(text) mod shards, and only home chooses. Members join and leave by
 * message, and tell how much room they have; between two tellings home counts what it hands out (`room`), the member
 * what it gets (`belief`), so that the two agree without a message for each. A message is at one place at any time: in the
 * queue, in one SHARE_TAKE or SHARE_RETURN, or in one outbox. So it is never delivered twice but where QoS 1 may be.
 * docs/decisions/0017 has the reasons. share.c is home's side, share_member.c the member's.
 *
 * Bounded: the queue of a group by what its members' sessions may queue, each divided among the groups that session
 * is in. Ownership: a `struct share` is counted (by subscriptions, members, deliveries). Threads: the shard's. */
#ifndef SYMBOLON_BROKER_SHARE_H
#define SYMBOLON_BROKER_SHARE_H

#include "broker/interest.h"
#include "broker/session.h"
#include "broker/shard_msg.h"

#define SHARE_NAME_MAX 256 /* bytes of a ShareName */
#define SHARE_FIRM \
    8 /* handed out so often in vain, a message goes to a connected member though it has no room */

struct subscribe_op;

/* A group, as far as this shard has to do with it. */
struct share {
    struct subscription group; /* home: in the tree while there are members; its session is NULL */
    struct table_node node;    /* in shard->shares, by text */
    struct shard *shard;
    uint32_t refs;

    /* home's; shut while there is no member */
    struct list ready; /* struct share_member: connected, with room; whose turn it is stands first */
    struct list busy;  /* connected, no room: for QoS 0 alone */
    struct list away;  /* not connected, or not reading */
    uint32_t member_count;
    uint32_t keeper_count;       /* of QoS 1 or 2: for these messages wait */
    uint32_t deaf_count;         /* connected, but not reading */
    struct list queue;           /* struct share_item, the oldest first */
    struct share_item *returned; /* the last one put back among them: the next one's place is near; or NULL */
    uint64_t queued, queued_bytes;
    uint64_t max_queued, max_queued_bytes;
    uint64_t first_seq; /* what came before is no business of this group: it was another one of the same text */
    bool handing_out;
    size_t text_len;
    uint8_t text[];
};

/* A shared subscription of a session of this shard. */
struct share_subscription {
    struct subscription sub;
    struct share *share;
    uint64_t number;               /* of the member, unique over all shards */
    struct table_node number_node; /* in shard->share_subscriptions */
    struct list tie;               /* in session->ties */
    struct list starving;          /* in ties->starving: home believes that there is no room */
    int32_t belief;                /* the room home believes in once it hears what we heard */
    uint32_t seen;                 /* SHARE_TAKEs of QoS 1 and 2 so far */
    uint8_t part;                  /* told last: see share_note */
};

/* What a session with shared subscriptions has besides. */
struct share_ties {
    struct session *session;
    struct list subscriptions; /* every struct share_subscription */
    struct list starving;
    struct list dirty; /* in shard->share_dirty: look again at the end of the call */
    uint32_t count;
    bool part_changed; /* the homes have not been told */
    bool open;         /* connected, as told to the homes */
    bool shut;         /* some home was told that the client does not read */
    size_t stuffed_at; /* bytes in the outbox when one more did not fit; 0: that has not happened */
};

/* ---- subscriptions (subscription.c calls these) ---- */

/* The part of a shared subscription that is not in the tree. ST_NO_MEMORY, ST_BAD_FILTER for a name too long. */
enum status share_subscription_new(struct session *s, struct topic_filter filter, struct subscription **ret_sub,
                                   struct why *why) MUST_CHECK;
void share_subscription_free(struct subscription *sub); /* tells home */
struct share *share_of(const struct subscription *sub);

/* Tells home of a new member, or of new options. ST_OK: the group is known everywhere. ST_PENDING: that is heard
 * later, through `waiter` if home is here, else as SHARE_JOINED with `op` and `at`. */
enum status share_join(struct subscription *sub, struct subscribe_op *op, uint32_t at,
                       struct interest_waiter *waiter) MUST_CHECK;

/* ---- messages ---- */

/* Published, and matched by the group; we are home. */
void share_publish(struct share *group, const struct message *m);
/* Whether a message of QoS 1 or 2 would be handed out, or find room to wait. */
bool share_has_room(const struct share *group, const struct message *m);
/* The sessions of this shard whose outbox changed tell their homes; may close connections. At the end of each call. */
void share_settle(struct shard *shard);

/* The session's outbox, output or connection changed. */
void share_touch_ties(struct session *s);
static inline void share_touch(struct session *s)
{
    if (s->ties != NULL)
        share_touch_ties(s);
}
/* The client is gone and the session waits for it: what was not sent yet goes to others (MQTT5 4.8.2). */
void share_detached(struct session *s);
/* The session ends, its subscriptions have: what was not acknowledged goes to others, but not what was sent with
 * QoS 2 (MQTT5 [MQTT-4.8.2-5]). Its outbox may be dropped then. */
void share_ending(struct session *s);
/* This one will not be sent to this session: the same rule. True: others have it. */
bool share_give_up(struct session *s, const struct delivery *d);

void share_ref(struct share *group);
void share_unref(struct share *group);

/* ---- between shards; each takes `msg` ---- */
void share_on_join(struct shard *shard, struct shard_msg *msg);
void share_on_leave(struct shard *shard, struct shard_msg *msg);
void share_on_state(struct shard *shard, struct shard_msg *msg);
void share_on_take(struct shard *shard, struct shard_msg *msg);
void share_on_return(struct shard *shard, struct shard_msg *msg);

void share_done(struct shard *shard); /* frees what is left when the shard goes */

/* ---- between share.c and share_member.c ---- */

unsigned share_home(const struct shard *shard, struct span text);
/* The group of this text, one reference; made if need be, NULL when out of memory. */
struct share *share_get(struct shard *shard, struct span text);
struct share *share_find(const struct shard *shard, struct span text); /* no reference; NULL */
struct span share_text(const struct share *group);
struct topic_filter share_filter(const struct share *group); /* without $share/NAME/ */

/* What home does, asked by messages or from the same shard. */
enum status share_home_join(struct share *group, const struct share_note *note, unsigned from,
                            struct why *why) MUST_CHECK;
void share_home_state(struct shard *shard, const struct share_note *note);
void share_home_leave(struct shard *shard, uint64_t number);
void share_home_return(struct share *group, const struct message *m, uint64_t seq, uint8_t hops);

/* What a member's shard does: false if this member cannot have it; home has been told by then why. */
bool share_take(struct shard *shard, const struct share_note *note, const struct message *m);

#endif
