#include "shard/token_store_priv.h"

#include <stdlib.h>

void token_store_limits_init(struct token_store_limits *limits)
{
    *limits = (struct token_store_limits){
        .max_kept = 10000,
        .max_kept_bytes = (size_t)32 * 1024 * 1024,
        .kept_per_source = 100,
        .unused_s = 24 * 3600,
        .rate_per_minute = 60,
        .max_cached = 100000,
        .max_cached_bytes = (size_t)128 * 1024 * 1024,
        .introspection_s = 0,
        .max_receipts = 100000,
        .max_revoked = 400000, /* what an AS of ours lists at most */
        .max_nonces = 100000,
        .nonce_life_s = 120,
    };
}

/* ---- life ---- */

static enum status make_tables(struct token_store *store, const uint8_t *secret)
{
    struct table *const tables[] = { &store->kept,     &store->kids,      &store->sources,
                                     &store->cached,   &store->revoked,   &store->changed,
                                     &store->receipts, &store->sequences, &store->nonces };
    struct hash_key key;
    enum status st = ST_OK;

    memcpy(&key, secret, sizeof key);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(tables); i++)
        st = table_init(tables[i], key);
    return st;
}

enum status token_store_new(const struct token_store_limits *limits,
                            const uint8_t secret[TOKEN_STORE_SECRET_LEN], struct token_store **ret_store)
{
    struct token_store *store = calloc(1, sizeof *store);
    enum status st;

    if (store == NULL)
        return ST_NO_MEMORY;
    if (pthread_mutex_init(&store->lock, NULL) != 0) {
        free(store);
        return ST_NO_MEMORY;
    }
    store->limits = *limits;
    list_init(&store->unclaimed);
    list_init(&store->claimed);
    list_init(&store->cache_order);
    store->end_change = &store->first_change;
    memcpy(store->nonce_key, secret + sizeof(struct hash_key), sizeof store->nonce_key);
    st = make_tables(store, secret);
    if (st != ST_OK) {
        token_store_free(store);
        return st;
    }
    *ret_store = store;
    return ST_OK;
}

void token_store_free(struct token_store *store)
{
    struct token_change *change;

    if (store == NULL)
        return;
    store->journal = false; /* nobody is told of what goes now */
    kept_done(store);
    cache_done(store);
    life_done(store);
    while ((change = store->first_change) != NULL) {
        store->first_change = change->next;
        token_change_free(change);
    }
    table_done(&store->kept);
    table_done(&store->kids);
    table_done(&store->sources);
    table_done(&store->cached);
    table_done(&store->revoked);
    table_done(&store->changed);
    table_done(&store->receipts);
    table_done(&store->sequences);
    table_done(&store->nonces);
    pthread_mutex_destroy(&store->lock);
    explicit_bzero(store->nonce_key, sizeof store->nonce_key);
    free(store);
}

void store_lock(struct token_store *store)
{
    pthread_mutex_lock(&store->lock);
}

void store_unlock(struct token_store *store)
{
    bool wake = store->wake_wanted;

    store->wake_wanted = false;
    pthread_mutex_unlock(&store->lock);
    if (wake)
        store->wake(store->wake_ctx);
}

struct table_node *store_find(const struct table *t, const uint8_t key[TOKEN_HASH_LEN],
                              bool (*eq)(const struct table_node *node, const void *key))
{
    return table_find(t, table_hash(t, span_of(key, TOKEN_HASH_LEN)), eq, key);
}

size_t token_store_bytes(struct token_store *store)
{
    size_t sum;

    store_lock(store);
    sum = store->kept_bytes + store->cached_bytes + store->receipts.count * 2 * sizeof(struct receipt) +
          (store->revoked.count + store->changed.count) * 2 * sizeof(struct revoked) +
          store->nonces.count * 2 * sizeof(struct nonce);
    store_unlock(store);
    return sum;
}

void token_store_purge(struct token_store *store, struct now now)
{
    store_lock(store);
    kept_purge(store, now);
    cache_purge(store, now);
    revoked_purge(store, now);
    life_purge(store, now);
    store_unlock(store);
}

enum status token_store_accept(struct token_store *store, const struct token *token, struct now now,
                               struct token_term *ret_term, struct why *why)
{
    enum status st;

    store_lock(store);
    st = life_accept(store, token, now, ret_term, why);
    store_unlock(store);
    return st;
}

void token_store_count(struct token_store *store, struct token_store_counts *out)
{
    store_lock(store);
    *out = (struct token_store_counts){ .kept = (uint32_t)store->kept.count,
                                        .cached = (uint32_t)store->cached.count,
                                        .receipts = (uint32_t)store->receipts.count,
                                        .nonces = (uint32_t)store->nonces.count,
                                        .revoked = (uint32_t)store->revoked.count,
                                        .changed = (uint32_t)store->changed.count,
                                        .kept_bytes = store->kept_bytes,
                                        .cached_bytes = store->cached_bytes };
    store_unlock(store);
}

/* ---- changes ---- */

bool store_may_change(const struct token_store *store)
{
    return !store->journal || store->change_count < CHANGES_MAX;
}

enum status store_change(struct token_store *store, enum token_change_kind kind,
                         const uint8_t id[TOKEN_HASH_LEN], struct span record, uint64_t *ret_number)
{
    struct token_change *change;

    *ret_number = 0;
    if (!store->journal)
        return ST_OK;
    change = calloc(1, sizeof *change + record.len);
    if (change == NULL)
        return ST_NO_MEMORY;
    change->kind = kind;
    change->gone = record.p == NULL;
    memcpy(change->id, id, TOKEN_HASH_LEN);
    change->record_len = record.len;
    if (record.len > 0)
        memcpy(change->record, record.p, record.len);
    change->number = *ret_number = ++store->last_change;
    *store->end_change = change;
    store->end_change = &change->next;
    if (!change->gone && kind != TOKEN_REVOKED) /* those are as many as the limits of their tables allow */
        store->change_count++;
    store->wake_wanted = true;
    return ST_OK;
}

void store_change_gone(struct token_store *store, enum token_change_kind kind, const uint8_t id[TOKEN_HASH_LEN])
{
    uint64_t number;
    enum status st = store_change(store, kind, id, SPAN_NONE, &number);

    (void)st;
}

void token_change_free(struct token_change *change)
{
    if (change == NULL)
        return;
    explicit_bzero(change->record, change->record_len); /* it may hold a key */
    free(change);
}

void token_store_set_journal(struct token_store *store, void (*wake)(void *ctx), void *ctx)
{
    store_lock(store);
    store->journal = true;
    store->wake = wake;
    store->wake_ctx = ctx;
    store_unlock(store);
}

struct token_change *token_store_take_changes(struct token_store *store)
{
    struct token_change *changes;

    store_lock(store);
    changes = TAKE(store->first_change);
    store->end_change = &store->first_change;
    store->change_count = 0;
    store_unlock(store);
    return changes;
}

void token_store_committed(struct token_store *store, uint64_t number)
{
    atomic_store_explicit(&store->committed, number, memory_order_release);
}

uint64_t token_store_written(struct token_store *store)
{
    return atomic_load_explicit(&store->committed, memory_order_acquire);
}

bool token_store_is_committed(struct token_store *store, uint64_t number)
{
    return number <= token_store_written(store);
}

enum status token_store_restore(struct token_store *store, enum token_change_kind kind,
                                const uint8_t id[TOKEN_HASH_LEN], struct span record, struct now now)
{
    enum status st = ST_NOT_FOUND;

    store_lock(store);
    switch (kind) {
    case TOKEN_KEPT:
        st = kept_restore(store, id, record, now);
        break;
    case TOKEN_RECEIPT:
        st = receipt_restore(store, id, record, now);
        break;
    case TOKEN_SEQUENCE:
        st = sequence_restore(store, id, record);
        break;
    case TOKEN_REVOKED:
        st = revoked_restore(store, id, record, now);
        break;
    case TOKEN_CHANGE_KINDS:
        break;
    }
    store_unlock(store);
    return st;
}
