/* shard/sys.h - $SYS of this broker: shard 0 publishes what sys_tree.h says, every settings->sys_interval_s, and keeps it
 * (and the state of bridges) as retained messages of its own, apart from the clients': no limit of theirs counts them, no
 * token ends them.
 * Topics that begin with $ are no client's (authz.h), so the first byte says which of the two stores is meant. */
#ifndef SYMBOLON_SHARD_SYS_H
#define SYMBOLON_SHARD_SYS_H

#include "shard/shard_priv.h"

/* Nothing on other shards; with interval 0 only the store. */
enum status sys_start(struct shard *shard) MUST_CHECK;
void sys_done(struct shard *shard);

#endif
