/* Tokens that were verified already, and hashes of those that must not be used. */
#include "shard/token_store_priv.h"

#include "base/reader.h"

#include <stdlib.h>

static bool cached_has(const struct table_node *node, const void *hash)
{
    return memcmp(CONTAINER_OF(node, struct cached, node)->token->hash, hash, TOKEN_HASH_LEN) == 0;
}

static bool revoked_is(const struct table_node *node, const void *hash)
{
    return memcmp(CONTAINER_OF(node, struct revoked, node)->hash, hash, TOKEN_HASH_LEN) == 0;
}

/* ---- verified ---- */

static void cached_drop(struct token_store *store, struct cached *c)
{
    table_remove(&store->cached, &c->node);
    list_remove(&c->link);
    store->cached_bytes -= c->bytes;
    token_unref(c->token);
    free(c);
}

static struct cached *find(const struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN])
{
    struct table_node *node = store_find(&store->cached, hash, cached_has);

    return node == NULL ? NULL : CONTAINER_OF(node, struct cached, node);
}

struct token *token_store_lookup(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN], struct now now)
{
    struct token *token = NULL;
    struct cached *c;

    store_lock(store);
    c = find(store, hash);
    if (c != NULL && term_over(c->until_s, c->until_ms, now)) {
        cached_drop(store, c);
    } else if (c != NULL) {
        list_remove(&c->link);
        list_append(&store->cache_order, &c->link);
        token = token_ref(c->token);
    }
    store_unlock(store);
    return token;
}

/* What a token takes, near enough: its texts, scope and key are of the order of its own size. */
static size_t weigh(const struct token *t)
{
    return sizeof(struct cached) + sizeof *t + 512 + t->iss.len + t->sub.len + t->client_id.len + t->aud.len +
           t->jti.len + t->cnonce.len + t->cnf_kid.len + scope_size(t->scope) * 128;
}

/* Its own end; a token without a clock of ours ends by its receipt, which is asked each time. */
static void set_end(const struct token_store *store, struct cached *c, struct now now)
{
    const struct token *t = c->token;
    struct wall_time end;

    c->until_s = c->until_ms = TIME_NEVER;
    if (!t->no_clock && token_end(t, now.wall, &end))
        c->until_s = end.s;
    if (t->by_introspection)
        c->until_ms = now.mono.ms + (int64_t)store->limits.introspection_s * MS_PER_S;
}

static void cache_forget(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN])
{
    struct cached *c = find(store, hash);

    if (c != NULL)
        cached_drop(store, c);
}

void token_store_remember(struct token_store *store, const struct token *token, struct now now)
{
    size_t bytes = weigh(token);
    struct cached *c;

    if (store->limits.max_cached == 0 || bytes > store->limits.max_cached_bytes ||
        (token->by_introspection && store->limits.introspection_s == 0))
        return;
    store_lock(store);
    if (token_is_stale(store, token)) {
        store_unlock(store);
        return;
    }
    cache_forget(store, token->hash);
    while (store->cached.count >= store->limits.max_cached ||
           store->cached_bytes + bytes > store->limits.max_cached_bytes)
        cached_drop(store, CONTAINER_OF(store->cache_order.next, struct cached, link));
    c = calloc(1, sizeof *c);
    if (c != NULL) {
        c->token = token_ref(token);
        c->bytes = bytes;
        set_end(store, c, now);
        table_insert(&store->cached, &c->node,
                     table_hash(&store->cached, span_of(token->hash, TOKEN_HASH_LEN)));
        list_append(&store->cache_order, &c->link);
        store->cached_bytes += bytes;
    }
    store_unlock(store);
}

static void forget_all(struct token_store *store)
{
    LIST_EACH_SAFE (it, &store->cache_order)
        cached_drop(store, CONTAINER_OF(it, struct cached, link));
}

void token_store_forget_all(struct token_store *store)
{
    store_lock(store);
    forget_all(store);
    store_unlock(store);
}

void cache_purge(struct token_store *store, struct now now)
{
    LIST_EACH_SAFE (it, &store->cache_order) {
        struct cached *c = CONTAINER_OF(it, struct cached, link);

        if (term_over(c->until_s, c->until_ms, now))
            cached_drop(store, c);
    }
}

void cache_done(struct token_store *store)
{
    struct table_node *node;

    for (size_t i = 0; i < TOKEN_STORE_ISSUERS; i++)
        free(store->suspended[i]);

    forget_all(store);
    while ((node = table_take_any(&store->revoked)) != NULL || (node = table_take_any(&store->changed)) != NULL)
        free(CONTAINER_OF(node, struct revoked, node));
}

/* ---- revoked ---- */

static struct revoked *revoked_find(const struct table *table, const uint8_t hash[TOKEN_HASH_LEN])
{
    struct table_node *node = store_find(table, hash, revoked_is);

    return node == NULL ? NULL : CONTAINER_OF(node, struct revoked, node);
}

/* Its issuer calls it by one of its two names. */
static const struct revoked *news_of(const struct table *table, const struct token *token)
{
    const struct revoked *r = revoked_find(table, token->hash);

    return r == NULL && token->has_twin ? revoked_find(table, token->twin) : r;
}

bool token_is_revoked(const struct token_store *store, const struct token *token)
{
    return news_of(&store->revoked, token) != NULL;
}

/* By its number, not by time: the threads' clocks are not the same to the millisecond. */
bool token_is_stale(const struct token_store *store, const struct token *token)
{
    const struct revoked *r = news_of(&store->changed, token);

    return r != NULL && token->news < r->number;
}

static enum status revoked_put(const struct token_store *store, struct table *table,
                               const uint8_t hash[TOKEN_HASH_LEN], int64_t until_s, uint32_t most)
{
    struct revoked *r = revoked_find(table, hash);

    if (r == NULL && table->count >= most)
        return ST_QUOTA;
    if (r == NULL) {
        r = calloc(1, sizeof *r);
        if (r == NULL)
            return ST_NO_MEMORY;
        memcpy(r->hash, hash, sizeof r->hash);
        table_insert(table, &r->node, table_hash(table, span_of(hash, TOKEN_HASH_LEN)));
    }
    r->until_s = until_s;
    r->number = store->news;
    return ST_OK;
}

static enum status write_down(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN], int64_t until_s)
{
    uint8_t bytes[8];
    uint64_t number;

    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)until_s >> (56 - 8 * i));
    return store_change(store, TOKEN_REVOKED, hash, span_of(bytes, sizeof bytes), &number);
}

enum status token_store_revoke(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN],
                               struct wall_time until)
{
    enum status st;

    store_lock(store);
    cache_forget(store, hash);
    st = revoked_put(store, &store->revoked, hash, until.s, store->limits.max_revoked);
    if (st == ST_OK)
        st = write_down(store, hash, until.s);
    store_unlock(store);
    return st;
}

enum status token_store_change(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN],
                               struct wall_time until)
{
    enum status st;

    store_lock(store);
    cache_forget(store, hash);
    store->news++;
    st = revoked_put(store, &store->changed, hash, until.s, store->limits.max_revoked);
    store_unlock(store);
    return st;
}

uint64_t token_store_news(struct token_store *store)
{
    uint64_t news;

    store_lock(store);
    news = store->news;
    store_unlock(store);
    return news;
}

bool token_store_is_stale(struct token_store *store, const struct token *token)
{
    bool is;

    store_lock(store);
    is = token_is_stale(store, token);
    store_unlock(store);
    return is;
}

static void revoked_drop(struct token_store *store, struct table_node *node)
{
    struct revoked *r = CONTAINER_OF(node, struct revoked, node);

    table_remove(&store->revoked, node);
    store_change_gone(store, TOKEN_REVOKED, r->hash);
    free(r);
}

struct wall_time token_store_revoked_until(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN])
{
    const struct revoked *r;
    struct wall_time until = { 0 };

    store_lock(store);
    r = revoked_find(&store->revoked, hash);
    if (r != NULL)
        until.s = r->until_s;
    store_unlock(store);
    return until;
}

bool token_store_is_revoked(struct token_store *store, const uint8_t hash[TOKEN_HASH_LEN])
{
    return token_store_revoked_until(store, hash).s != 0;
}

enum status token_store_revoked(struct token_store *store, struct buf *out)
{
    store_lock(store);
    TABLE_EACH (node, &store->revoked)
        put_bytes(out, span_of(CONTAINER_OF(node, struct revoked, node)->hash, TOKEN_HASH_LEN));
    store_unlock(store);
    return buf_ok(out) ? ST_OK : ST_NO_MEMORY;
}

void revoked_purge(struct token_store *store, struct now now)
{
    struct table_node *node = table_next(&store->revoked, NULL);

    while (node != NULL) {
        struct table_node *next = table_next(&store->revoked, node);

        if (now.wall.s >= CONTAINER_OF(node, struct revoked, node)->until_s)
            revoked_drop(store, node);
        node = next;
    }
    node = table_next(&store->changed, NULL);
    while (node != NULL) {
        struct table_node *next = table_next(&store->changed, node);
        struct revoked *r = CONTAINER_OF(node, struct revoked, node);

        if (now.wall.s >= r->until_s) {
            table_remove(&store->changed, node);
            free(r);
        }
        node = next;
    }
}

bool issuer_is_suspended(const struct token_store *store, struct span iss)
{
    for (size_t i = 0; i < TOKEN_STORE_ISSUERS; i++)
        if (store->suspended[i] != NULL && span_eq_str(iss, store->suspended[i]))
            return true;
    return false;
}

enum status token_store_suspend(struct token_store *store, struct span iss, bool yes)
{
    enum status st = yes ? ST_QUOTA : ST_OK;

    store_lock(store);
    for (size_t i = 0; i < TOKEN_STORE_ISSUERS; i++)
        if (store->suspended[i] != NULL && span_eq_str(iss, store->suspended[i])) {
            free(store->suspended[i]);
            store->suspended[i] = NULL;
        }
    for (size_t i = 0; yes && i < TOKEN_STORE_ISSUERS; i++)
        if (store->suspended[i] == NULL) {
            store->suspended[i] = span_dup_str(iss);
            st = store->suspended[i] == NULL ? ST_NO_MEMORY : ST_OK;
            break;
        }
    store_unlock(store);
    return st;
}

/* Whatever max_revoked is now: what was revoked stays so. */
enum status revoked_restore(struct token_store *store, const uint8_t id[TOKEN_HASH_LEN], struct span record,
                            struct now now)
{
    struct reader r = reader_make(record, "token journal");
    int64_t until_s = (int64_t)read_u64(&r);

    if (reader_finish(&r, NULL) != ST_OK || now.wall.s >= until_s)
        return ST_NOT_FOUND;
    return revoked_put(store, &store->revoked, id, until_s, UINT32_MAX);
}
