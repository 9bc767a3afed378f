/* shard/token_store_priv.h - the inside of the token store, for its files only:
 *   token_store.c  life, lock, changes for the journal, restoring
 *   token_kept.c   tokens from authz-info        token_life.c   receipts, sequence numbers, cnonces
 *   token_cache.c  verified and revoked tokens
 * Functions declared here expect the lock to be held. */
#ifndef SYMBOLON_SHARD_TOKEN_STORE_PRIV_H
#define SYMBOLON_SHARD_TOKEN_STORE_PRIV_H

#include "base/list.h"
#include "base/table.h"
#include "shard/token_store.h"

#include <pthread.h>
#include <stdatomic.h>

#define RATE_BUCKETS  4096
#define SEQUENCES_MAX 256   /* pairs of issuer and name of ours */
#define CHANGES_MAX   65536 /* tokens and receipts not taken by the journal yet: the disk is stuck */

struct source {
    struct table_node node; /* in store->sources */
    uint32_t count;         /* unclaimed tokens from there */
    size_t len;
    uint8_t text[];
};

struct kid_group {
    struct table_node node; /* in store->kids */
    struct list members;    /* struct kept, by `in_group` */
    size_t len;
    uint8_t kid[];
};

struct kept {
    struct table_node node; /* in store->kept, by thumbprint */
    struct list link;       /* in store->unclaimed or store->claimed, oldest first */
    struct list in_group;
    struct kid_group *group; /* NULL: the key has no kid */
    struct source *source;   /* NULL once claimed */
    struct token *token;
    struct token_term term;
    int64_t used_ms;
    size_t bytes;
    uint64_t change;
};

struct cached {
    struct table_node node; /* in store->cached, by hash */
    struct list link;       /* least used first */
    struct token *token;
    int64_t until_s, until_ms;
    size_t bytes;
};

struct revoked {
    struct table_node node; /* in store->revoked or store->changed, by hash */
    uint8_t hash[TOKEN_HASH_LEN];
    int64_t until_s;
    uint64_t number; /* store->changed: of the news */
};

/* A token whose life counts from its first receipt. */
struct receipt {
    struct table_node node;
    uint8_t hash[TOKEN_HASH_LEN];
    bool has_sequence;
    uint8_t id[TOKEN_HASH_LEN]; /* of the sequence */
    uint64_t sequence;
    int64_t first_s;
    int64_t until_s, until_ms;
    uint64_t change; /* that wrote it down */
};

struct sequence {
    struct table_node node;
    uint8_t id[TOKEN_HASH_LEN];
    uint64_t least; /* one above the highest of an expired token (AF-77); 0: none expired yet */
};

struct nonce {
    struct table_node node;
    uint8_t nonce[TOKEN_CNONCE_LEN];
    uint8_t hash[TOKEN_HASH_LEN]; /* of the token that brought it back */
    int64_t until_ms;             /* that token's end */
};

struct token_store {
    pthread_mutex_t lock;
    struct token_store_limits limits;
    uint8_t nonce_key[32];
    uint32_t next_nonce;

    struct table kept, kids, sources, cached, revoked, changed, receipts, sequences, nonces;
    char *suspended[TOKEN_STORE_ISSUERS]; /* issuers; NULL: unused */
    struct list unclaimed, claimed, cache_order;
    size_t kept_bytes, cached_bytes;
    uint64_t news;              /* of changed tokens, so far */
    int64_t rate[RATE_BUCKETS]; /* when the bucket is empty again, ms */

    bool journal;
    void (*wake)(void *ctx);
    void *wake_ctx;
    bool wake_wanted; /* told when the lock is released */
    struct token_change *first_change, **end_change;
    size_t change_count;
    uint64_t last_change;
    _Atomic uint64_t committed;
};

void store_lock(struct token_store *store);
void store_unlock(struct token_store *store); /* and wakes the journal if there is something for it */

/* The node under these bytes in a table whose nodes begin with struct table_node, found by `eq`. */
struct table_node *store_find(const struct table *t, const uint8_t key[TOKEN_HASH_LEN],
                              bool (*eq)(const struct table_node *node, const void *key));

/* False: too many wait for the disk already. */
bool store_may_change(const struct token_store *store);
/* Numbers a change; 0 without a journal. ST_NO_MEMORY. `record` SPAN_NONE: the row goes. */
enum status store_change(struct token_store *store, enum token_change_kind kind,
                         const uint8_t id[TOKEN_HASH_LEN], struct span record, uint64_t *ret_number) MUST_CHECK;
/* The same where nothing can be done about failure: a row left behind is dropped when it is read back. */
void store_change_gone(struct token_store *store, enum token_change_kind kind,
                       const uint8_t id[TOKEN_HASH_LEN]);

static inline bool term_over(int64_t until_s, int64_t until_ms, struct now now)
{
    return now.wall.s >= until_s || now.mono.ms >= until_ms;
}

/* token_kept.c */
void kept_purge(struct token_store *store, struct now now);
void kept_done(struct token_store *store);
enum status kept_restore(struct token_store *store, const uint8_t id[TOKEN_HASH_LEN], struct span record,
                         struct now now);

/* token_cache.c */
void cache_purge(struct token_store *store, struct now now);
void cache_done(struct token_store *store);
bool token_is_revoked(const struct token_store *store, const struct token *token);
bool token_is_stale(const struct token_store *store, const struct token *token);
bool issuer_is_suspended(const struct token_store *store, struct span iss);
void revoked_purge(struct token_store *store, struct now now);
enum status revoked_restore(struct token_store *store, const uint8_t id[TOKEN_HASH_LEN], struct span record,
                            struct now now);

/* token_life.c */
enum status life_accept(struct token_store *store, const struct token *token, struct now now,
                        struct token_term *ret_term, struct why *why) MUST_CHECK;
void life_purge(struct token_store *store, struct now now);
void life_done(struct token_store *store);
enum status receipt_restore(struct token_store *store, const uint8_t id[TOKEN_HASH_LEN], struct span record,
                            struct now now);
enum status sequence_restore(struct token_store *store, const uint8_t id[TOKEN_HASH_LEN], struct span record);

#endif
