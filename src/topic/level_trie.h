/* topic/level_trie.h - topics level by level. A node stands for one or more levels, its label ("vehicle/17/+"), so
 * that a filter of its own costs one node and not one per level; children are found by (parent, first level of
 * their label) through one hash table for the whole trie, so that a node needs no table of its own:
 *
 *      root -- "fleet" -- "7/vehicle" -- "17/+/state"       added: fleet/7/vehicle/17/+/state,
 *                      |              `- "18/#"                    fleet/7/vehicle/18/#,
 *                      `- "8/+"                                    fleet/8/+
 *
 * What a node is for is the embedding struct's business, `struct x { struct trie_node trie; ... };`; the label stands
 * right behind it. Levels are hashed with SipHash under a random key, then mixed with the parent: peers who choose
 * the levels cannot choose the collisions. Ownership: the trie frees its nodes. Threads: one. */
#ifndef SYMBOLON_TOPIC_LEVEL_TRIE_H
#define SYMBOLON_TOPIC_LEVEL_TRIE_H

#include "base/buckets.h"
#include "base/table.h"

enum trie_has { TRIE_HAS_PLUS = 1, TRIE_HAS_HASH = 2 };

struct trie_node {
    struct bucket_node in_bucket;
    struct trie_node *parent; /* NULL: the root */
    uint32_t hash;
    uint32_t children;
    uint16_t label_len;
    uint8_t has; /* which wildcards begin a label among the children */
};

struct level_trie {
    struct trie_node *root;
    struct buckets buckets;
    size_t count; /* nodes without the root */
    size_t bytes; /* of nodes and buckets, without what malloc adds */
    size_t node_size;
    struct hash_key key;
    uint64_t plus_hash, hash_hash;
};

enum status trie_init(struct level_trie *t, struct hash_key key, size_t node_size) MUST_CHECK;
void trie_done(struct level_trie *t);

static inline struct span trie_label(const struct trie_node *node, size_t node_size)
{
    return span_of((const char *)node + node_size, node->label_len);
}

uint64_t trie_level_hash(const struct level_trie *t, struct span level);
/* The child whose label begins with this level; NULL if there is none. */
struct trie_node *trie_child(const struct level_trie *t, const struct trie_node *parent, struct span level,
                             uint64_t level_hash);
struct trie_node *trie_plus(const struct level_trie *t, const struct trie_node *parent); /* beginning with + */
struct trie_node *trie_hash(const struct level_trie *t, const struct trie_node *parent); /* the child # */
/* A new one, zeroed behind the head; there must be none with that first level, whose hash is given. NULL when out of
 * memory. */
struct trie_node *trie_add_child(struct level_trie *t, struct trie_node *parent, struct span label,
                                 uint64_t level_hash);
/* Puts a new node above this one that takes the first `keep` bytes of its label; label[keep] is a '/'. `node` stays
 * where it is, so what points at it stays right. NULL when out of memory: nothing has changed. */
struct trie_node *trie_split(struct level_trie *t, struct trie_node *node, size_t keep);
/* Frees a node without children. */
void trie_drop(struct level_trie *t, struct trie_node *node);

/* For emptying: any node, in no order; NULL at the end. Children of the node returned must not matter any more. */
struct trie_node *trie_next(const struct level_trie *t, const struct trie_node *node);

#endif
