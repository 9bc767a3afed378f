#include "base/table.h"

#include <endian.h>
#include <stdlib.h>

#define TABLE_FIRST_BUCKETS 16u

static inline uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash-2-4 (Aumasson, Bernstein 2012). Not cryptography for the wire, so it lives here and not in crypto/.
 */
uint64_t siphash(struct hash_key key, struct span data)
{
    uint64_t v[4] = { key.k[0] ^ UINT64_C(0x736f6d6570736575), key.k[1] ^ UINT64_C(0x646f72616e646f6d),
                      key.k[0] ^ UINT64_C(0x6c7967656e657261), key.k[1] ^ UINT64_C(0x7465646279746573) };
    size_t whole = data.len / 8 * 8;
    uint64_t word;

    for (size_t i = 0; i < whole; i += 8) {
        memcpy(&word, data.p + i, 8);
        word = le64toh(word);
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)data.len << 56;
    for (size_t i = whole; i < data.len; i++)
        word |= (uint64_t)data.p[i] << (8 * (i - whole));
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

enum status table_init(struct table *t, struct hash_key key)
{
    *t = (struct table){ .key = key, .mask = TABLE_FIRST_BUCKETS - 1 };
    t->buckets = calloc(TABLE_FIRST_BUCKETS, sizeof(struct table_node *));
    return t->buckets == NULL ? ST_NO_MEMORY : ST_OK;
}

void table_done(struct table *t)
{
    free(t->buckets);
    *t = (struct table){ .key = t->key };
}

uint64_t table_hash(const struct table *t, struct span key)
{
    return siphash(t->key, key);
}

struct table_node *table_find(const struct table *t, uint64_t hash,
                              bool (*eq)(const struct table_node *node, const void *key), const void *key)
{
    if (t->buckets == NULL)
        return NULL;
    for (struct table_node *n = t->buckets[hash & t->mask]; n != NULL; n = n->next)
        if (n->hash == hash && eq(n, key))
            return n;
    return NULL;
}

static void table_grow(struct table *t)
{
    size_t mask = t->mask * 2 + 1;
    struct table_node **buckets = calloc(mask + 1, sizeof(struct table_node *));

    if (buckets == NULL)
        return;
    for (size_t i = 0; i <= t->mask; i++) {
        for (struct table_node *n = t->buckets[i], *next; n != NULL; n = next) {
            next = n->next;
            n->next = buckets[n->hash & mask];
            buckets[n->hash & mask] = n;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->mask = mask;
}

void table_insert(struct table *t, struct table_node *node, uint64_t hash)
{
    if (t->count > t->mask)
        table_grow(t);
    node->hash = hash;
    node->next = t->buckets[hash & t->mask];
    t->buckets[hash & t->mask] = node;
    t->count++;
}

void table_remove(struct table *t, struct table_node *node)
{
    struct table_node **link = &t->buckets[node->hash & t->mask];

    while (*link != NULL && *link != node)
        link = &(*link)->next;
    ASSERT(*link == node);
    *link = node->next;
    node->next = NULL;
    t->count--;
}

struct table_node *table_next(const struct table *t, const struct table_node *node)
{
    size_t bucket = 0;

    if (t->buckets == NULL)
        return NULL;
    if (node != NULL) {
        if (node->next != NULL)
            return node->next;
        bucket = (node->hash & t->mask) + 1;
    }
    for (; bucket <= t->mask; bucket++)
        if (t->buckets[bucket] != NULL)
            return t->buckets[bucket];
    return NULL;
}

struct table_node *table_take_any(struct table *t)
{
    struct table_node *node = table_next(t, NULL);
    if (node != NULL)
        table_remove(t, node);
    return node;
}
