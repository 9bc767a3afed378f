/* shard/subscribe.h - the messages between shards that a SUBSCRIBE causes (see subscribe.c). */
#ifndef SYMBOLON_SHARD_SUBSCRIBE_H
#define SYMBOLON_SHARD_SUBSCRIBE_H

struct shard;
struct shard_msg;

void subscribe_on_query(struct shard *shard, struct shard_msg *msg); /* takes msg, as does the next */
void subscribe_on_found(struct shard *shard, struct shard_msg *msg);
void subscribe_on_joined(struct shard *shard, struct shard_msg *msg);
void subscribe_done(struct shard *shard); /* frees what is under way when the shard goes */

#endif
