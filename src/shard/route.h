/* shard/route.h - a message on its way to everybody who wants it: the local sessions, one copy each, and the
 * other shards that have subscribers, one shard_msg each. */
#ifndef SYMBOLON_SHARD_ROUTE_H
#define SYMBOLON_SHARD_ROUTE_H

#include "shard/shard_priv.h"

/* What the sender of a message does when it knows that all of it has happened. */
enum route_care {
    ROUTE_UNKNOWN, /* nobody asks */
    ROUTE_CONFIRM, /* the others say so: it is acknowledged then */
    ROUTE_ONCE,    /* it is forgotten here, so the others must get it, and once: durable_post.h */
};

/* What is to come back from others before a publication is acknowledged. */
struct route_wait {
    bool remote; /* ROUTE_CONFIRM: that it is on their disks */
    struct retained_ask
        *ask; /* whether it is kept, where another shard owns the topic; the caller's reference, or NULL */
};

/* Published on this shard: stored if retained, delivered here, passed on. `ret_wait` NULL: nobody waits. ST_NO_MEMORY: somebody
 * whose session is on disk did not get it; ST_QUOTA: delivered, but not kept. */
enum status route_publish(struct shard *shard, const struct message *m, enum route_care care,
                          struct route_wait *ret_wait);
/* Whether something of it would have to be on disk: it is retained, or goes to a session or group that is, or to another
 * shard, where nobody knows. */
bool route_needs_disk(struct shard *shard, const struct message *m);
/* QUEUE_REFUSE: whether every queue of this shard that the message belongs to has room for it. */
bool route_has_room(struct shard *shard, const struct message *m);
/* MSG_DELIVER and MSG_RETAIN_SET came from another shard: for our own sessions only; take `msg`. */
void route_on_deliver(struct shard *shard, struct shard_msg *msg);
void route_on_retain(struct shard *shard, struct shard_msg *msg);

/* At start-up: for those sessions and groups here that were at home on shard `to` of before->workers. ST_NO_MEMORY. */
enum status route_restore(struct shard *shard, const struct message *m, const struct record_meta *before,
                          unsigned to) MUST_CHECK;

/* How long a retained copy of what is published for this session may live, and on which token (MT-111): the grant in
 * force now, not one that takes its place later (docs/decisions/0011). */
void retained_bound(const struct session *s, struct message_parts *parts);
/* Where the retained message of a topic lives. */
unsigned retained_owner(const struct shard *shard, struct span topic);
/* ST_NO_MEMORY: it is not there; ST_OK also beyond a limit, which is counted and logged. */
enum status retained_store(struct shard *shard, const struct message *m);

#endif
