#include "broker/level_trie.h"

#include <stdlib.h>

#define FIRST_BUCKETS 64u

enum status trie_init(struct level_trie *t, struct hash_key key, size_t node_size)
{
    *t = (struct level_trie){ .key = key, .node_size = node_size, .mask = FIRST_BUCKETS - 1 };
    t->root = calloc(1, node_size);
    t->buckets = calloc(FIRST_BUCKETS, sizeof(struct trie_node *));
    if (t->root == NULL || t->buckets == NULL) {
        trie_done(t);
        return ST_NO_MEMORY;
    }
    t->plus_hash = trie_level_hash(t, SPAN("+"));
    t->hash_hash = trie_level_hash(t, SPAN("#"));
    t->bytes = node_size + FIRST_BUCKETS * sizeof(struct trie_node *);
    return ST_OK;
}

void trie_done(struct level_trie *t)
{
    for (size_t i = 0; t->buckets != NULL && i <= t->mask; i++) {
        for (struct trie_node *n = t->buckets[i], *next; n != NULL; n = next) {
            next = n->next;
            free(n);
        }
    }
    free(t->buckets);
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

struct trie_node *trie_child(const struct level_trie *t, const struct trie_node *parent, struct span level,
                             uint64_t level_hash)
{
    if (parent->children == 0)
        return NULL;
    uint32_t hash = mix(level_hash, parent);
    for (struct trie_node *n = t->buckets[hash & t->mask]; n != NULL; n = n->next)
        if (n->hash == hash && n->parent == parent && span_eq(trie_level(n, t->node_size), level))
            return n;
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

/* Longer chains are the worst that comes of it when there is no memory for this. */
static void resize(struct level_trie *t, size_t mask)
{
    struct trie_node **buckets = calloc(mask + 1, sizeof(struct trie_node *));

    if (buckets == NULL)
        return;
    for (size_t i = 0; i <= t->mask; i++) {
        for (struct trie_node *n = t->buckets[i], *next; n != NULL; n = next) {
            next = n->next;
            n->next = buckets[n->hash & mask];
            buckets[n->hash & mask] = n;
        }
    }
    free(t->buckets);
    t->bytes = t->bytes - (t->mask + 1) * sizeof *buckets + (mask + 1) * sizeof *buckets;
    t->buckets = buckets;
    t->mask = mask;
}

static uint8_t wildcard_bit(struct span level)
{
    if (span_eq_str(level, "+"))
        return TRIE_HAS_PLUS;
    return span_eq_str(level, "#") ? TRIE_HAS_HASH : 0;
}

struct trie_node *trie_add_child(struct level_trie *t, struct trie_node *parent, struct span level,
                                 uint64_t level_hash)
{
    ASSERT(level.len <= UINT16_MAX);
    struct trie_node *node = calloc(1, t->node_size + level.len);

    if (node == NULL)
        return NULL;
    if (t->count > t->mask)
        resize(t, t->mask * 2 + 1);
    if (level.len > 0)
        memcpy((char *)node + t->node_size, level.p, level.len);
    node->level_len = (uint16_t)level.len;
    node->parent = parent;
    node->hash = mix(level_hash, parent);
    node->next = t->buckets[node->hash & t->mask];
    t->buckets[node->hash & t->mask] = node;
    parent->children++;
    parent->has |= wildcard_bit(level);
    t->count++;
    t->bytes += t->node_size + level.len;
    return node;
}

void trie_drop(struct level_trie *t, struct trie_node *node)
{
    struct trie_node **link = &t->buckets[node->hash & t->mask];
    struct span level = trie_level(node, t->node_size);

    ASSERT(node->children == 0 && node->parent != NULL);
    while (*link != NULL && *link != node)
        link = &(*link)->next;
    ASSERT(*link == node);
    *link = node->next;
    node->parent->children--;
    node->parent->has &= (uint8_t)~wildcard_bit(level);
    t->count--;
    t->bytes -= t->node_size + level.len;
    free(node);
    if (t->mask >= FIRST_BUCKETS && t->count < t->mask / 8) /* the memory of a crowd goes with it */
        resize(t, t->mask / 2);
}

struct trie_node *trie_next(const struct level_trie *t, const struct trie_node *node)
{
    if (node != NULL && node->next != NULL)
        return node->next;
    for (size_t i = node == NULL ? 0 : (node->hash & t->mask) + 1; i <= t->mask; i++)
        if (t->buckets[i] != NULL)
            return t->buckets[i];
    return NULL;
}
