#include "topic/match_cache.h"

#include <endian.h>
#include <stdlib.h>

#define WAYS        2u
#define WINDOW      256u /* looks after which it is asked whether they pay */
#define FOUND_LEAST 4u   /* one in so many: a miss costs about a sixth of what a hit saves */
#define IS_HASH     UINT32_C(0x80000000)

_Static_assert(sizeof(struct match_entry) == 128, "two lines of the processor's cache");

void match_cache_init(struct match_cache *c, struct hash_key key, uint32_t most)
{
    ASSERT(most == 0 || (most >= MATCH_CACHE_FIRST && (most & (most - 1)) == 0));
    *c = (struct match_cache){ .most = most, .generation = 1 };
    c->key.k[0] = siphash(key, SPAN("match_cache")); /* a weaker hash than the one `key` is for */
    c->key.k[1] = siphash(key, SPAN("match_cache, odd")) | 1;
}

void match_cache_done(struct match_cache *c)
{
    free(c->entries);
    *c = (struct match_cache){ .key = c->key, .most = c->most, .generation = 1 };
}

/* Multiplications under a random key: nobody outside sees a hash, and who hit on a collision would have pushed out a place. */
static uint32_t hash_of(const struct match_cache *c, struct span s)
{
    uint64_t h = c->key.k[0] + s.len, odd = c->key.k[1], word;
    size_t at = 0;

    for (; at + 8 <= s.len; at += 8) {
        memcpy(&word, s.p + at, 8);
        h = (h ^ le64toh(word)) * odd;
        h ^= h >> 32;
    }
    if (s.len >= 8) {
        memcpy(&word, s.p + s.len - 8, 8); /* some of it once more */
    } else {
        for (word = 0; at < s.len; at++)
            word = word << 8 | s.p[at];
    }
    h = (h ^ le64toh(word)) * odd;
    h ^= h >> 32;
    h *= odd;
    return (uint32_t)(h >> 32) | IS_HASH;
}

static struct match_entry *set_of(const struct match_cache *c, uint32_t hash)
{
    return &c->entries[hash & (c->places - 1) & ~(WAYS - 1)];
}

static bool is_of(const struct match_cache *c, const struct match_entry *e, struct span topic, uint32_t hash)
{
    return e->hash == hash && e->generation == c->generation && e->topic_len == topic.len &&
           memcmp(&e->node[e->count], topic.p, topic.len) == 0;
}

static struct match_entry *entry_of(const struct match_cache *c, struct span topic, uint32_t hash)
{
    struct match_entry *set;

    if (c->entries == NULL)
        return NULL;
    set = set_of(c, hash);
    for (unsigned way = 0; way < WAYS; way++)
        if (is_of(c, &set[way], topic, hash))
            return &set[way];
    return NULL;
}

/* Every WINDOW looks; while few are made, sooner. */
static void ask_whether_it_pays(struct match_cache *c)
{
    c->seldom = c->found < c->looked / FOUND_LEAST;
    c->looked = c->found = 0;
}

const struct match_entry *match_cache_find(struct match_cache *c, struct topic_name topic, uint32_t *ret_hash)
{
    const struct match_entry *e;

    *ret_hash = 0;
    if (c->most == 0 || topic.s.len > MATCH_CACHE_TOPIC ||
        (c->seldom && ++c->skipped % MATCH_CACHE_SAMPLE != 0))
        return NULL;
    *ret_hash = hash_of(c, topic.s);
    e = entry_of(c, topic.s, *ret_hash);
    if (e != NULL)
        c->found++;
    if (++c->looked == (c->seldom ? WINDOW / 4 : WINDOW))
        ask_whether_it_pays(c);
    return e;
}

/* What was there is found again by being looked for. */
static void grow(struct match_cache *c)
{
    uint32_t places = c->places == 0 ? MATCH_CACHE_FIRST : c->places * 2;
    struct match_entry *entries = aligned_alloc(64, places * sizeof *entries);

    c->pushed_out = 0;
    if (entries == NULL)
        return;
    memset(entries, 0, places * sizeof *entries);
    free(c->entries);
    c->entries = entries;
    c->places = places;
}

/* One that is forgotten, else the two take turns. */
static struct match_entry *place_for(struct match_cache *c, uint32_t hash)
{
    struct match_entry *set = set_of(c, hash);

    for (unsigned way = 0; way < WAYS; way++)
        if (set[way].generation != c->generation)
            return &set[way];
    return &set[c->pushed_out++ % WAYS];
}

void match_cache_add(struct match_cache *c, struct topic_name topic, uint32_t hash,
                     struct topic_node *const *nodes, size_t count)
{
    struct match_entry *e;

    if (count > MATCH_CACHE_NODES || count * sizeof *nodes + topic.s.len > MATCH_CACHE_SPACE)
        return;
    if (c->places == 0 || (c->pushed_out >= c->places && c->places < c->most))
        grow(c);
    if (c->places == 0)
        return;
    e = place_for(c, hash);
    e->generation = c->generation;
    e->hash = hash;
    e->topic_len = (uint16_t)topic.s.len;
    e->count = (uint16_t)count;
    for (size_t i = 0; i < count; i++)
        e->node[i] = nodes[i];
    memcpy(&e->node[count], topic.s.p, topic.s.len);
}

void match_cache_forget_all(struct match_cache *c)
{
    if (++c->generation != 0)
        return;
    c->generation = 1; /* once round: what bears this number is of long ago */
    for (uint32_t i = 0; i < c->places; i++)
        c->entries[i].generation = 0;
}

void match_cache_forget(struct match_cache *c, struct topic_filter filter)
{
    struct match_entry *e;

    if (topic_filter_has_wildcard(filter)) {
        match_cache_forget_all(c);
        return;
    }
    e = filter.s.len > MATCH_CACHE_TOPIC ? NULL : entry_of(c, filter.s, hash_of(c, filter.s));
    if (e != NULL)
        e->generation = 0;
}

size_t match_cache_bytes(const struct match_cache *c)
{
    return c->places * sizeof *c->entries;
}
