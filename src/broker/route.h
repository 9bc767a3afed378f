/* broker/route.h - a message on its way to everybody who wants it: the local sessions, one copy each, and the
 * other shards that have subscribers, one shard_msg each. */
#ifndef SYMBOLON_BROKER_ROUTE_H
#define SYMBOLON_BROKER_ROUTE_H

#include "broker/shard_priv.h"

/* Published on this shard: stored if retained, delivered here, passed on. */
void route_publish(struct shard *shard, const struct message *m);
/* QUEUE_REFUSE: whether every queue of this shard that the message belongs to has room for it. */
bool route_has_room(struct shard *shard, const struct message *m);
/* Came from another shard: for our own sessions only. */
void route_deliver(struct shard *shard, const struct message *m);

/* How long a retained copy of what is published for this session may live, and on which token (MT-111): the grant in
 * force now, not one that takes its place later (docs/decisions/0011). */
void retained_bound(const struct session *s, struct message_parts *parts);
/* Where the retained message of a topic lives. */
unsigned retained_owner(const struct shard *shard, struct span topic);
void retained_store(struct shard *shard, const struct message *m);

#endif
