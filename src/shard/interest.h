/* shard/interest.h - telling the other shards which filters have subscribers here, so that they pass on what is
 * published there. A SUBSCRIBE is answered only when all of them know (the guarantee: what is published after the
 * SUBACK arrives). Nothing here is used with one shard.
 *
 * Interest is not counted: first local subscriber says ADD, last one says REMOVE, and the order of messages between
 * two shards makes the last word right. An `interest` exists while acknowledgements are out. */
#ifndef SYMBOLON_SHARD_INTEREST_H
#define SYMBOLON_SHARD_INTEREST_H

#include "base/list.h"
#include "base/table.h"

struct shard;
struct shard_msg;

struct interest {
    struct table_node node; /* in shard->interests, by filter */
    struct list waiters;    /* struct interest_waiter */
    unsigned awaiting;      /* acknowledgements */
    bool failed;            /* some shard could not take it */
    size_t filter_len;
    uint8_t filter[];
};

struct interest_waiter {
    struct list link;
    void (*known)(struct shard *shard, struct interest_waiter *waiter, bool ok);
};

/* First local subscriber. ST_NO_MEMORY: nobody was told. */
enum status interest_add(struct shard *shard, struct span filter) MUST_CHECK;
void interest_remove(struct shard *shard, struct span filter);
/* True, and known() is called later, if somebody still has to acknowledge this filter. */
bool interest_wait(struct shard *shard, struct span filter, struct interest_waiter *waiter);

/* Messages; each takes `msg`. */
void interest_on_add(struct shard *shard, struct shard_msg *msg);
void interest_on_added(struct shard *shard, struct shard_msg *msg);
void interest_on_remove(struct shard *shard, struct shard_msg *msg);

void interest_done(struct shard *shard); /* frees what is out when the shard goes */

#endif
