/* base/buckets.h - the buckets of a hash table that grows and shrinks by one bucket at a time (linear hashing, Litwin 1980), so that
 * no insertion among a million has to move all of them: bucket `split` is the next to be divided, those before it are, and
 * the upper halves stand behind the lower ones.
 *
 *      0 .. split - 1     split .. mask        mask + 1 .. mask + split
 *      divided            not yet              the other halves of the first
 *
 * For table.h and level_trie.h; nodes begin with a struct bucket_node and belong to the caller. Threads: one. */
#ifndef SYMBOLON_BASE_BUCKETS_H
#define SYMBOLON_BASE_BUCKETS_H

#include "base/defs.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct bucket_node {
    struct bucket_node *next;
};

struct buckets {
    struct bucket_node **heads; /* NULL: none, as of all zero */
    size_t mask;                /* 2^n - 1 */
    size_t split;               /* <= mask */
    size_t room;                /* for so many there is memory */
};

enum status buckets_init(struct buckets *b,
                         size_t first) MUST_CHECK; /* so many, a power of two, and never fewer */
void buckets_done(struct buckets *b);

static inline size_t buckets_count(const struct buckets *b)
{
    return b->mask + 1 + b->split;
}

static inline size_t bucket_index(const struct buckets *b, uint64_t hash)
{
    size_t i = (size_t)hash & b->mask;

    return i < b->split ? (size_t)hash & (b->mask * 2 + 1) : i;
}

static inline struct bucket_node **bucket_of(const struct buckets *b, uint64_t hash)
{
    return &b->heads[bucket_index(b, hash)];
}

/* Before one more is put in beside `nodes`, and after one of them was taken out: at most four steps. Longer chains are the
 * worst that comes of it when there is no memory. hash_of() says what bucket_of() was given. */
void buckets_grow(struct buckets *b, size_t nodes, uint64_t (*hash_of)(const struct bucket_node *node));
void buckets_shrink(struct buckets *b, size_t nodes, size_t first);

void bucket_remove(struct buckets *b, struct bucket_node *node, uint64_t hash);
/* Walk: start with NULL, `hash` is that of the node. The next in its chain, or the first of a bucket behind it; NULL at the end. */
struct bucket_node *bucket_next(const struct buckets *b, const struct bucket_node *node, uint64_t hash);

#endif
