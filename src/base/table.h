/* base/table.h - intrusive hash table keyed by SipHash under a random key, so that peers who choose the keys
 * (client identifiers, topic levels) cannot choose the collisions. Grows by itself, a bucket at a time (buckets.h); nodes
 * belong to the caller.
 */
#ifndef SYMBOLON_BASE_TABLE_H
#define SYMBOLON_BASE_TABLE_H

#include "base/buckets.h"
#include "base/span.h"
#include "base/status.h"

struct hash_key {
    uint64_t k[2];
};

uint64_t siphash(struct hash_key key, struct span data); /* SipHash-2-4 */

struct table_node {
    struct bucket_node in_bucket;
    uint64_t hash;
};

struct table {
    struct buckets buckets;
    size_t count;
    struct hash_key key;
};

enum status table_init(struct table *t, struct hash_key key) MUST_CHECK;
void table_done(struct table *t); /* the buckets only: empty it first, or own the nodes elsewhere */

uint64_t table_hash(const struct table *t, struct span key);

/* First node with this hash for which eq() says yes; NULL if none. */
struct table_node *table_find(const struct table *t, uint64_t hash,
                              bool (*eq)(const struct table_node *node, const void *key), const void *key);
/* Puts it in without looking for an equal one. Never fails: when growing fails the chains get longer. */
void table_insert(struct table *t, struct table_node *node, uint64_t hash);
void table_remove(struct table *t, struct table_node *node);

/* Walk: start with NULL; the node returned may be removed before asking for the next only through
 * table_take_any(). */
struct table_node *table_next(const struct table *t, const struct table_node *node);
struct table_node *table_take_any(struct table *t); /* for emptying */

#define TABLE_EACH(it, t) \
    for (struct table_node *it = table_next((t), NULL); it != NULL; it = table_next((t), it))

#endif
