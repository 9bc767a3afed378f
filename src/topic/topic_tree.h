/* topic/topic_tree.h - which subscriptions a topic reaches: filters as a tree over their levels.
 *
 *      root -- "a" -- "+/c"    a/+/c       A topic walks down: at every node the child that begins with the topic's
 *           |     `-- "#"      a/#         next level, the child that begins with +, and a child # that takes all
 *           `- "+/b"           +/b         the rest. Nodes off that path are never looked at, so the cost follows
 *                                          the matches and not the number of subscriptions.
 * A node carries the local subscriptions that end there and a set of other shards that have some (one bit each).
 * Levels nobody branches at share a node (level_trie.h), so a filter of its own costs about a hundred bytes and its
 * text. No recursion: a walk keeps at most one pending branch per level. What a topic matched is remembered
 * (match_cache.h), so that most topics are not looked up level by level.
 * Ownership: `struct topic_subscription` is the caller's (embed it in the session's own record) and must be removed
 * before it is freed. Filters are copied. Threads: one. The tree must not change while a visitor runs. */
#ifndef SYMBOLON_TOPIC_TOPIC_TREE_H
#define SYMBOLON_TOPIC_TOPIC_TREE_H

#include "base/table.h"
#include "mqtt/topic.h"

#define TOPIC_TREE_MAX_LEVELS 256 /* what max_topic_levels may be set to */
#define TOPIC_TREE_MAX_SHARDS 64

struct topic_tree;
struct topic_node;

struct topic_subscription {
    struct topic_node *node; /* NULL: in no tree */
    struct topic_subscription *next;
    struct topic_subscription **link; /* what points at this one */
};

/* `remembered`: of so many topics at most what they matched: a power of two from 64, or 0. */
enum status topic_tree_new(struct hash_key key, unsigned max_levels, uint32_t remembered,
                           struct topic_tree **ret_tree) MUST_CHECK;
void topic_tree_free(struct topic_tree *tree); /* subscriptions still in it are unhooked */

/* `filter` must not be shared. *ret_first: no other local subscription had this filter, so the other shards have to
 * hear of it. ST_BAD_FILTER beyond max_levels, ST_NO_MEMORY; nothing changes then. */
enum status topic_tree_add(struct topic_tree *tree, struct topic_filter filter, struct topic_subscription *sub,
                           bool *ret_first, struct why *why) MUST_CHECK;
/* True if that was the last local subscription of its filter. The filter is gone from the tree then, so read
 * topic_tree_filter() before if it is needed. Harmless for one that is in no tree. */
bool topic_tree_remove(struct topic_tree *tree, struct topic_subscription *sub);

/* Local subscriptions of exactly this filter (walk ->next); NULL if none. */
struct topic_subscription *topic_tree_find(const struct topic_tree *tree, struct topic_filter filter);
/* Appends the text of a subscription's filter. */
void topic_tree_filter(const struct topic_subscription *sub, struct buf *out);

/* Another shard has (has no longer) subscriptions of this filter. Both may be said twice. */
enum status topic_tree_interest_add(struct topic_tree *tree, struct topic_filter filter, unsigned shard,
                                    struct why *why) MUST_CHECK;
void topic_tree_interest_remove(struct topic_tree *tree, struct topic_filter filter, unsigned shard);

/* Calls visit() once for every local subscription whose filter matches (NULL: only the shards are wanted), and
 * returns the set of other shards that have one. Never fails: what is remembered may need memory, the answer does not. */
typedef void topic_tree_visit(void *ctx, struct topic_subscription *sub);
uint64_t topic_tree_match(struct topic_tree *tree, struct topic_name topic, topic_tree_visit *visit, void *ctx);

size_t topic_tree_nodes(const struct topic_tree *tree);
size_t topic_tree_bytes(
    const struct topic_tree *tree); /* nodes, tables, what is remembered; without what malloc adds */

#endif
