/* shard/share.h - shared subscriptions, $share/NAME/FILTER (MQTT5 4.8.2): each message to one member of the group.
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
 * A group with a member of QoS 1 or 2 whose session outlives its connection is durable: it has a record g, and each of its
 * messages of QoS 1 and 2 that does not go straight into the outbox of such a session here is a struct share_item with a
 * record x, which moves from shard to shard with it and never before it is stored (docs/decisions/0024). share_item.c.
 *
 * Bounded: the queue of a group by what its members' sessions may queue, each divided among the groups that session
 * is in. Ownership: a `struct share` is counted (by subscriptions, members, deliveries). Threads: the shard's. */
#ifndef SYMBOLON_SHARD_SHARE_H
#define SYMBOLON_SHARD_SHARE_H

#include "shard/interest.h"
#include "shard/journal.h"
#include "shard/session.h"
#include "shard/shard_msg.h"

#define SHARE_NAME_MAX 256 /* bytes of a ShareName */
#define SHARE_FIRM \
    8 /* handed out so often in vain, a message goes to a connected member though it has no room */

struct subscribe_op;
struct share_restore;

/* A message that waits: in a queue, or for the disk; or a record that goes with one, in a shard_msg or a delivery. */
struct share_item {
    struct durable durable; /* x, if `kept` */
    struct list link;       /* in group->queue, shard->share_leaving or shard->share_arriving; or nowhere */
    struct message *message;
    struct share *share; /* on the latter two: counted */
    uint64_t group;      /* its number, while kept */
    uint64_t seq;
    uint64_t epoch; /* of the journal here: as it is now it was stored with it; 0: before it came here */
    struct share_note note; /* leaving, arriving */
    unsigned to;            /* leaving: to this shard */
    uint8_t hops;
    bool kept;    /* there is a record, or will be */
    bool removed; /* rather, the record is to be removed, or has been */
};

/* A group, as far as this shard has to do with it. */
struct share {
    struct durable durable;    /* g, at home */
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
    uint32_t durable_count;      /* of QoS 1 or 2, in sessions that outlive their connections */
    struct list queue;           /* struct share_item, the oldest first */
    struct share_item *returned; /* the last one put back among them: the next one's place is near; or NULL */
    uint64_t queued, queued_bytes;
    uint64_t max_queued, max_queued_bytes;
    uint64_t first_seq; /* what came before is no business of this group: it was another one of the same text */
    bool handing_out;
    bool lost;       /* something, for want of memory: share_publish() */
    bool open;       /* in the tree */
    bool kept;       /* home: it is durable, and has a record or will have one */
    uint32_t missed; /* as in struct session_match */
    uint64_t
        number; /* in its records. Home: 0 before it ever was durable. Elsewhere: of a durable group, as heard last */
    size_t text_len;
    uint8_t text[];
};

/* A shared subscription of a session of this shard. */
struct share_subscription {
    struct subscription sub;
    struct subscription_record record; /* if sub.on_disk */
    struct share *share;
    uint64_t number;               /* of the member, unique over all shards */
    struct table_node number_node; /* in shard->share_subscriptions */
    struct shard_msg *leave;       /* for home, when this ends: that needs no memory. NULL: home is here */
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
    bool durable;      /* the session outlives its connection, as told to the homes */
    bool shut;         /* some home was told that the client does not read */
    size_t stuffed_at; /* bytes in the outbox when one more did not fit; 0: that has not happened */
};

/* ---- subscriptions (subscription.c calls these) ---- */

/* The part of a shared subscription that is not in the tree. ST_NO_MEMORY, ST_BAD_FILTER for a name too long. */
enum status share_subscription_new(struct session *s, struct topic_filter filter, struct subscription **ret_sub,
                                   struct why *why) MUST_CHECK;
void share_subscription_free(struct subscription *sub); /* tells home */
struct share *share_of(const struct subscription *sub);
struct subscription_record *share_subscription_record(struct subscription *sub);

/* Tells home of a new member, or of new options. ST_OK: the group is known everywhere. ST_PENDING: that is heard
 * later, through `waiter` if home is here, else as SHARE_JOINED with `op` and `at`. */
enum status share_join(struct subscription *sub, struct subscribe_op *op, uint32_t at,
                       struct interest_waiter *waiter) MUST_CHECK;

/* ---- messages ---- */

/* Published, and matched by the group; we are home. ST_NO_MEMORY: a durable group has lost it. */
enum status share_publish(struct share *group, const struct message *m) MUST_CHECK;
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
bool share_give_up(struct session *s, struct delivery *d);

void share_ref(struct share *group);
void share_unref(struct share *group);

/* ---- the disk ---- */

/* A batch of this shard is durable: what waited for it goes its way. From shard_stored(), before the gates open. */
void share_stored(struct shard *shard);
/* Rows of journal_kinds[]. */
enum status share_group_put(struct shard *shard, struct durable *d, struct kv_batch *batch) MUST_CHECK;
enum status share_item_put(struct shard *shard, struct durable *d, struct kv_batch *batch) MUST_CHECK;

/* A delivery with delivery_options.item has come into an outbox; it is over, before its reference to the group goes. */
void share_hold(const struct delivery_options *how);
void share_over(const struct delivery_options *how);
/* Of a shard_msg nobody got. NULL does nothing; the disk still has the record. */
void share_item_free(struct share_item *item);

/* At start-up, in this order: new; every g, every x, in the order of keys; every delivery of a group; when all sessions and
 * subscriptions (subscription_new(), no share_join()) are there: end. It makes the members, and the filters of the groups known
 * to all `shards`, which are all there are; drops what waits for nobody; and frees `r`. Nothing is said to anybody. */
enum status share_restore_new(struct shard *const *shards, unsigned count,
                              struct share_restore **ret_r) MUST_CHECK;
enum status share_restore_group(struct share_restore *r, const struct record_group *record) MUST_CHECK;
/* ST_NOT_FOUND: its group is not there; the record goes with the first batch. */
enum status share_restore_item(struct share_restore *r, const struct record_item *record,
                               const struct message *m) MUST_CHECK;
/* For delivery_options.share of a session of that shard: one reference. NULL: no memory. */
struct share *share_restore_delivery(struct share_restore *r, struct shard *shard, struct span text,
                                     uint64_t seq);
enum status share_restore_end(struct share_restore *r, struct why *why) MUST_CHECK;

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
/* What a member's shard does: false if this member cannot have it; home has been told by then why. `item`: its record, or
 * NULL; taken unless false. */
bool share_take(struct shard *shard, const struct share_note *note, const struct message *m,
                struct share_item *item);

/* Home's filter goes into its tree; *ret_first: the other shards do not know of it yet. */
enum status share_open(struct share *group, bool *ret_first, struct why *why) MUST_CHECK;
void share_put_back(struct share *group, struct share_item *item); /* into the queue, where it belongs */
/* The calendar did: until when what waits is wanted is written anew. */
void share_clock_moved(struct share *group);
/* Members and messages are as they were stored: whether it is durable still, and how much may wait. */
void share_look_over(struct share *group);
/* What home is to hear of this member, as if it had been told. */
struct share_note share_remember(struct share_subscription *ss);

/* ---- share_item.c ---- */

/* NULL: no memory. One reference to `m` more. */
struct share_item *share_item_new(const struct message *m, uint64_t seq, uint8_t hops);
bool share_item_has_record(const struct share_item *item); /* or will have */
/* Frees it, and its record goes. */
void share_item_over(struct shard *shard, struct share_item *item);
/* It gets a record of that group; it loses it, but goes on. */
void share_item_keep(struct shard *shard, struct share_item *item, uint64_t group);
void share_item_unkeep(struct shard *shard, struct share_item *item);
/* To `to` as TAKE (note.number: a member there) or RETURN (0: to home), now or when its record is stored; takes it. */
void share_send(struct share *group, unsigned to, const struct share_note *note, struct share_item *item);
/* A member of this shard gets it when no record will bring it to anybody else after a crash: of QoS 2 to a session that ends with
 * its connection (MQTT5 [MQTT-4.8.2-5]). */
void share_arrive(struct share *group, const struct share_note *note, struct share_item *item);
/* That is so now: share_member.c. */
void share_arrived(struct shard *shard, struct share *group, struct share_item *item);

#endif
