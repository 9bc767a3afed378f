#include "topic/level_trie.h"

#include <stdlib.h>

#define FIRST_BUCKETS 64u

static struct trie_node *node_in(struct bucket_node *node)
{
    return node == NULL ? NULL : CONTAINER_OF(node, struct trie_node, in_bucket);
}

static uint64_t hash_of(const struct bucket_node *node)
{
    return CONTAINER_OF(node, struct trie_node, in_bucket)->hash;
}

static void count_buckets(struct level_trie *t, size_t before)
{
    t->bytes += (t->buckets.room - before) * sizeof(struct bucket_node *);
}

enum status trie_init(struct level_trie *t, struct hash_key key, size_t node_size)
{
    *t = (struct level_trie){ .key = key, .node_size = node_size };
    t->root = calloc(1, node_size);
    if (t->root == NULL || buckets_init(&t->buckets, FIRST_BUCKETS) != ST_OK) {
        trie_done(t);
        return ST_NO_MEMORY;
    }
    t->plus_hash = trie_level_hash(t, SPAN("+"));
    t->hash_hash = trie_level_hash(t, SPAN("#"));
    t->bytes = node_size;
    count_buckets(t, 0);
    return ST_OK;
}

void trie_done(struct level_trie *t)
{
    for (size_t i = 0; t->buckets.heads != NULL && i < buckets_count(&t->buckets); i++) {
        for (struct bucket_node *n = t->buckets.heads[i], *next; n != NULL; n = next) {
            next = n->next;
            free(node_in(n));
        }
    }
    buckets_done(&t->buckets);
    free(t->root);
    *t = (struct level_trie){ 0 };
}

uint64_t trie_level_hash(const struct level_trie *t, struct span level)
{
    return siphash(t->key, level);
}

static uint32_t mix(uint64_t level_hash, const struct trie_node *parent)
{
    uint64_t h = level_hash ^ (uint64_t)(uintptr_t)parent * UINT64_C(0x9e3779b97f4a7c15);

    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(h >> 32);
}

static bool begins_with_level(struct span label, struct span level)
{
    return span_starts_with(label, level) && (label.len == level.len || label.p[level.len] == '/');
}

struct trie_node *trie_child(const struct level_trie *t, const struct trie_node *parent, struct span level,
                             uint64_t level_hash)
{
    if (parent->children == 0)
        return NULL;
    uint32_t hash = mix(level_hash, parent);
    for (struct bucket_node *b = *bucket_of(&t->buckets, hash); b != NULL; b = b->next) {
        struct trie_node *n = node_in(b);
        if (n->hash == hash && n->parent == parent && begins_with_level(trie_label(n, t->node_size), level))
            return n;
    }
    return NULL;
}

struct trie_node *trie_plus(const struct level_trie *t, const struct trie_node *parent)
{
    return (parent->has & TRIE_HAS_PLUS) == 0 ? NULL : trie_child(t, parent, SPAN("+"), t->plus_hash);
}

struct trie_node *trie_hash(const struct level_trie *t, const struct trie_node *parent)
{
    return (parent->has & TRIE_HAS_HASH) == 0 ? NULL : trie_child(t, parent, SPAN("#"), t->hash_hash);
}

static uint8_t wildcard_bit(struct span label)
{
    if (begins_with_level(label, SPAN("+")))
        return TRIE_HAS_PLUS;
    return span_eq_str(label, "#") ? TRIE_HAS_HASH : 0;
}

static void link_node(struct level_trie *t, struct trie_node *node)
{
    struct bucket_node **bucket = bucket_of(&t->buckets, node->hash);

    node->in_bucket.next = *bucket;
    *bucket = &node->in_bucket;
}

static struct trie_node *node_new(struct level_trie *t, struct span label)
{
    ASSERT(label.len <= UINT16_MAX);
    struct trie_node *node = calloc(1, t->node_size + label.len);

    if (node == NULL)
        return NULL;
    size_t room = t->buckets.room;
    buckets_grow(&t->buckets, t->count, hash_of);
    count_buckets(t, room);
    if (label.len > 0)
        memcpy((char *)node + t->node_size, label.p, label.len);
    node->label_len = (uint16_t)label.len;
    t->count++;
    t->bytes += t->node_size + label.len;
    return node;
}

struct trie_node *trie_add_child(struct level_trie *t, struct trie_node *parent, struct span label,
                                 uint64_t level_hash)
{
    struct trie_node *node = node_new(t, label);

    if (node == NULL)
        return NULL;
    node->parent = parent;
    node->hash = mix(level_hash, parent);
    link_node(t, node);
    parent->children++;
    parent->has |= wildcard_bit(label);
    return node;
}

struct trie_node *trie_split(struct level_trie *t, struct trie_node *node, size_t keep)
{
    struct span label = trie_label(node, t->node_size);

    ASSERT(keep < label.len && label.p[keep] == '/');
    struct trie_node *above = node_new(t, span_cut(label, 0, keep));
    if (above == NULL)
        return NULL;
    bucket_remove(&t->buckets, &node->in_bucket, node->hash);
    above->parent = node->parent; /* where it has the first level that `node` had */
    above->hash = node->hash;
    link_node(t, above);

    struct span rest = span_cut(label, keep + 1, SIZE_MAX);
    memmove((char *)node + t->node_size, rest.p, rest.len); /* the block keeps its size until it is dropped */
    node->label_len = (uint16_t)rest.len;
    t->bytes -= keep + 1;
    rest = trie_label(node, t->node_size);
    node->parent = above;
    node->hash = mix(trie_level_hash(t, span_cut(rest, 0, span_find(rest, '/', 0))), above);
    link_node(t, node);
    above->children = 1;
    above->has = wildcard_bit(rest);
    return above;
}

void trie_drop(struct level_trie *t, struct trie_node *node)
{
    struct span label = trie_label(node, t->node_size);

    ASSERT(node->children == 0 && node->parent != NULL);
    bucket_remove(&t->buckets, &node->in_bucket, node->hash);
    node->parent->children--;
    node->parent->has &= (uint8_t)~wildcard_bit(label);
    t->count--;
    t->bytes -= t->node_size + label.len;
    free(node);
    size_t room = t->buckets.room;
    buckets_shrink(&t->buckets, t->count, FIRST_BUCKETS); /* the memory of a crowd goes with it */
    count_buckets(t, room);
}

struct trie_node *trie_next(const struct level_trie *t, const struct trie_node *node)
{
    return node == NULL ? node_in(bucket_next(&t->buckets, NULL, 0))
                        : node_in(bucket_next(&t->buckets, &node->in_bucket, node->hash));
}
