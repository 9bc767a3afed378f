#include "base/table.h"

#include <endian.h>
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
    *t = (struct table){ .key = key };
    return buckets_init(&t->buckets, TABLE_FIRST_BUCKETS);
}

void table_done(struct table *t)
{
    buckets_done(&t->buckets);
    *t = (struct table){ .key = t->key };
}

static struct table_node *node_in(struct bucket_node *node)
{
    return node == NULL ? NULL : CONTAINER_OF(node, struct table_node, in_bucket);
}

static uint64_t hash_of(const struct bucket_node *node)
{
    return CONTAINER_OF(node, struct table_node, in_bucket)->hash;
}

uint64_t table_hash(const struct table *t, struct span key)
{
    return siphash(t->key, key);
}

struct table_node *table_find(const struct table *t, uint64_t hash,
                              bool (*eq)(const struct table_node *node, const void *key), const void *key)
{
    if (t->buckets.heads == NULL)
        return NULL;
    for (struct bucket_node *n = *bucket_of(&t->buckets, hash); n != NULL; n = n->next)
        if (hash_of(n) == hash && eq(node_in(n), key))
            return node_in(n);
    return NULL;
}

void table_insert(struct table *t, struct table_node *node, uint64_t hash)
{
    buckets_grow(&t->buckets, t->count, hash_of);
    struct bucket_node **bucket = bucket_of(&t->buckets, hash);

    node->hash = hash;
    node->in_bucket.next = *bucket;
    *bucket = &node->in_bucket;
    t->count++;
}

void table_remove(struct table *t, struct table_node *node)
{
    bucket_remove(&t->buckets, &node->in_bucket, node->hash);
    t->count--;
}

struct table_node *table_next(const struct table *t, const struct table_node *node)
{
    return node == NULL ? node_in(bucket_next(&t->buckets, NULL, 0))
                        : node_in(bucket_next(&t->buckets, &node->in_bucket, node->hash));
}

struct table_node *table_take_any(struct table *t)
{
    struct table_node *node = table_next(t, NULL);
    if (node != NULL)
        table_remove(t, node);
    return node;
}
