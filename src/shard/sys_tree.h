/* shard/sys_tree.h - what the broker says of itself under $SYS/broker: mosquitto's topics, computed as mosquitto does,
 * and ours of tokens under $SYS/broker/ace (docs/operate/sys.md has the list). Sums of counters in, topics and values out,
 * those that have changed since the last time.
 * Ownership: sys_tree_new()/sys_tree_free(). Threads: one. */
#ifndef SYMBOLON_SHARD_SYS_TREE_H
#define SYMBOLON_SHARD_SYS_TREE_H

#include "base/clock.h"
#include "base/span.h"
#include "shard/stats.h"

#define SYS_ROOT "$SYS/broker/"

struct pressure;
struct sys_tree;

/* `version` may be NULL and must outlive it; uptime counts from `now`. */
enum status sys_tree_new(const char *version, struct now now, struct sys_tree **ret_tree) MUST_CHECK;
void sys_tree_free(struct sys_tree *tree);

/* Topic below SYS_ROOT and value, both text; valid during the call. False: not said, and so said again the next time. */
typedef bool sys_tree_say(void *ctx, struct span topic, struct span value);

/* `stats` is the sum of all shards; `heap_bytes` 0: not known. `all`: not only what has changed. */
void sys_tree_look(struct sys_tree *tree, const struct stats *stats, uint64_t heap_bytes,
                   const struct pressure *pressure, struct now now, bool all, sys_tree_say *say, void *ctx);

#endif
