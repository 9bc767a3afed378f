/* topic/match_cache.h - what a topic matched the last time, until the filters change: those nodes of a topic tree that
 * somebody wants. It never says anything the tree would not say, and without it all goes on.
 *
 *      hash of the whole topic --> a set of two places    | generation | hash | nodes ... topic ... |
 *
 * No chains: topics that fall into one set push each other out. Who chooses topics so that they do, or ever new ones, has
 * them looked up as without this: a cheap keyed hash is enough, and the topic itself is compared. The table doubles while
 * topics that are still right push each other out, up to `most` places; where few are found again, only one in
 * MATCH_CACHE_SAMPLE is looked for until that changes, so that misses cost next to nothing.
 * A filter without wildcards concerns one topic, and only that one is forgotten when its node is first or last wanted; of a
 * filter with wildcards all are. Threads: one. Failure: without memory it remembers nothing, or fewer. */
#ifndef SYMBOLON_TOPIC_MATCH_CACHE_H
#define SYMBOLON_TOPIC_MATCH_CACHE_H

#include "base/table.h"
#include "mqtt/topic.h"

#define MATCH_CACHE_NODES  6   /* of a topic; what matches more is not remembered */
#define MATCH_CACHE_SPACE  112 /* bytes for nodes and topic in a place */
#define MATCH_CACHE_TOPIC  (MATCH_CACHE_SPACE - sizeof(void *)) /* longest topic, in bytes */
#define MATCH_CACHE_FIRST  64                                   /* places it begins with */
#define MATCH_CACHE_SAMPLE 16

struct topic_node;

struct match_entry {
    uint32_t generation; /* 0: nothing is here */
    uint32_t hash;
    uint16_t topic_len;
    uint16_t count; /* of nodes */
    union {
        struct topic_node *node[MATCH_CACHE_SPACE / sizeof(struct topic_node *)];
        uint8_t bytes[MATCH_CACHE_SPACE]; /* the topic stands behind the nodes */
    };
};

struct match_cache {
    struct match_entry *entries; /* NULL: nothing was remembered yet */
    uint32_t places, most;
    uint32_t generation;    /* entries of another one are forgotten */
    uint32_t pushed_out;    /* that were still right, since the table has this size */
    uint32_t looked, found; /* lately */
    uint32_t skipped;
    bool seldom; /* few were found */
    struct hash_key key;
};

/* `most`: a power of two of at least MATCH_CACHE_FIRST, or 0: nothing is ever remembered. */
void match_cache_init(struct match_cache *c, struct hash_key key, uint32_t most);
void match_cache_done(struct match_cache *c); /* gives its memory back, and works on */

/* NULL: not known. *ret_hash is what match_cache_add() wants then, or 0: it is not to be remembered. What is returned
 * may be overwritten by the next call. */
const struct match_entry *match_cache_find(struct match_cache *c, struct topic_name topic, uint32_t *ret_hash);
/* All the nodes the topic matches that have somebody. */
void match_cache_add(struct match_cache *c, struct topic_name topic, uint32_t hash,
                     struct topic_node *const *nodes, size_t count);
/* Somebody wants a filter that nobody wanted before, or nobody wants it any more. */
void match_cache_forget(struct match_cache *c, struct topic_filter filter);
void match_cache_forget_all(struct match_cache *c);

size_t match_cache_bytes(const struct match_cache *c);

#endif
