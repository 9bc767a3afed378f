/* Tokens published to authz-info, until a connection proves their key by TLS. Those nobody has claimed yet are what a
 * flood could leave here: they are counted per source, and make room for one another, oldest first. */
#include "shard/token_store_priv.h"

#include "base/reader.h"
#include "shard/peer.h"
#include "token/token_record.h"

#include <stdlib.h>

/* ---- where tokens come from ---- */

static bool source_is(const struct table_node *node, const void *key)
{
    const struct source *s = CONTAINER_OF(node, struct source, node);

    return span_eq(span_of(s->text, s->len), *(const struct span *)key);
}

static struct source *find_source(const struct token_store *store, struct span text)
{
    struct table_node *node = table_find(&store->sources, table_hash(&store->sources, text), source_is, &text);

    return node == NULL ? NULL : CONTAINER_OF(node, struct source, node);
}

static struct source *need_source(struct token_store *store, struct span text)
{
    struct source *s = find_source(store, text);

    if (s != NULL)
        return s;
    s = calloc(1, sizeof *s + text.len);
    if (s == NULL)
        return NULL;
    s->len = text.len;
    if (text.len > 0)
        memcpy(s->text, text.p, text.len);
    table_insert(&store->sources, &s->node, table_hash(&store->sources, text));
    return s;
}

static void leave_source(struct token_store *store, struct kept *k)
{
    struct source *s = TAKE(k->source);

    if (s == NULL || --s->count > 0)
        return;
    table_remove(&store->sources, &s->node);
    free(s);
}

/* A leaky bucket each, many sources sharing one now and then: nothing a flood of addresses could fill. */
enum status token_store_rate(struct token_store *store, struct span source, struct now now, struct why *why)
{
    uint32_t rate = store->limits.rate_per_minute;
    int64_t cost_ms, *empty_ms;
    enum status st = ST_OK;

    if (rate == 0)
        return ST_OK;
    cost_ms = 60 * MS_PER_S / rate > 0 ? 60 * MS_PER_S / rate : 1;
    store_lock(store);
    empty_ms = &store->rate[table_hash(&store->sources, peer_source(source)) % RATE_BUCKETS];
    if (*empty_ms < now.mono.ms)
        *empty_ms = now.mono.ms;
    if (*empty_ms + cost_ms > now.mono.ms + 60 * MS_PER_S)
        st = reject(why, ST_QUOTA, "AF-65", "too many tokens from this address in a minute", 0);
    else
        *empty_ms += cost_ms;
    store_unlock(store);
    return st;
}

/* ---- by kid ---- */

static bool group_is(const struct table_node *node, const void *key)
{
    const struct kid_group *g = CONTAINER_OF(node, struct kid_group, node);

    return span_eq(span_of(g->kid, g->len), *(const struct span *)key);
}

static struct kid_group *find_group(const struct token_store *store, struct span kid)
{
    struct table_node *node = table_find(&store->kids, table_hash(&store->kids, kid), group_is, &kid);

    return node == NULL ? NULL : CONTAINER_OF(node, struct kid_group, node);
}

static bool join_group(struct token_store *store, struct kept *k)
{
    struct span kid = k->token->cnf_kid;
    struct kid_group *g;

    if (kid.len == 0)
        return true;
    g = find_group(store, kid);
    if (g == NULL) {
        g = calloc(1, sizeof *g + kid.len);
        if (g == NULL)
            return false;
        list_init(&g->members);
        g->len = kid.len;
        memcpy(g->kid, kid.p, kid.len);
        table_insert(&store->kids, &g->node, table_hash(&store->kids, kid));
    }
    k->group = g;
    list_append(&g->members, &k->in_group);
    return true;
}

static void leave_group(struct token_store *store, struct kept *k)
{
    struct kid_group *g = TAKE(k->group);

    if (g == NULL)
        return;
    list_remove(&k->in_group);
    if (!list_empty(&g->members))
        return;
    table_remove(&store->kids, &g->node);
    free(g);
}

/* ---- keeping ---- */

static bool kept_is(const struct table_node *node, const void *thumbprint)
{
    return memcmp(CONTAINER_OF(node, struct kept, node)->token->cnf_thumbprint, thumbprint, TOKEN_HASH_LEN) ==
           0;
}

static struct kept *find_kept(const struct token_store *store, const uint8_t thumbprint[TOKEN_HASH_LEN])
{
    struct table_node *node = store_find(&store->kept, thumbprint, kept_is);

    return node == NULL ? NULL : CONTAINER_OF(node, struct kept, node);
}

static void kept_free(struct token_store *store, struct kept *k)
{
    if (k == NULL)
        return;
    leave_group(store, k);
    leave_source(store, k);
    token_unref(k->token);
    free(k);
}

static void take_out(struct token_store *store, struct kept *k)
{
    table_remove(&store->kept, &k->node);
    list_remove(&k->link);
    store->kept_bytes -= k->bytes;
}

static void kept_drop(struct token_store *store, struct kept *k)
{
    take_out(store, k);
    store_change_gone(store, TOKEN_KEPT, k->token->cnf_thumbprint);
    kept_free(store, k);
}

static void put_in(struct token_store *store, struct kept *k, struct list *where)
{
    table_insert(&store->kept, &k->node,
                 table_hash(&store->kept, span_of(k->token->cnf_thumbprint, TOKEN_HASH_LEN)));
    list_append(where, &k->link);
    store->kept_bytes += k->bytes;
}

/* Its time has passed, or its issuer's news are against it; it is not used any more, and goes with the next purge. */
static bool kept_over(const struct token_store *store, const struct kept *k, struct now now)
{
    int64_t unused_ms = (int64_t)store->limits.unused_s * MS_PER_S;

    return token_is_revoked(store, k->token) || token_is_stale(store, k->token) ||
           term_over(k->term.until_s, k->term.until_ms, now) ||
           (unused_ms != 0 && now.mono.ms - k->used_ms >= unused_ms);
}

static void purge_list(struct token_store *store, struct list *list, struct now now)
{
    LIST_EACH_SAFE (it, list) {
        struct kept *k = CONTAINER_OF(it, struct kept, link);

        if (kept_over(store, k, now))
            kept_drop(store, k);
    }
}

void kept_purge(struct token_store *store, struct now now)
{
    purge_list(store, &store->unclaimed, now);
    purge_list(store, &store->claimed, now);
}

static bool is_full(const struct token_store *store, size_t bytes)
{
    return store->kept.count >= store->limits.max_kept ||
           store->kept_bytes + bytes > store->limits.max_kept_bytes;
}

/* MT-40: who has proved his key keeps his place; among those who have not, the oldest goes. */
static enum status make_room(struct token_store *store, size_t bytes, struct now now, struct why *why)
{
    if (is_full(store, bytes))
        kept_purge(store, now);
    while (is_full(store, bytes) && !list_empty(&store->unclaimed))
        kept_drop(store, CONTAINER_OF(store->unclaimed.next, struct kept, link));
    if (is_full(store, bytes) || !store_may_change(store))
        return reject(why, ST_QUOTA, "MT-40", "this broker keeps no more tokens", 0);
    return ST_OK;
}

static struct key *key_of(struct token_store *store, struct span iss, struct span kid, struct now now)
{
    struct kid_group *g = kid.len == 0 ? NULL : find_group(store, kid);
    struct key *key = NULL;

    if (g == NULL)
        return NULL;
    LIST_EACH (it, &g->members) {
        struct kept *k = CONTAINER_OF(it, struct kept, in_group);

        if (k->token->cnf == NULL || !span_eq(k->token->iss, iss) || kept_over(store, k, now))
            continue;
        if (key != NULL) /* an issuer that gave one kid to two keys: nobody knows which is meant (TK-7) */
            return NULL;
        key = k->token->cnf;
    }
    return key;
}

/* Records are secret where keys are: the store and its journal are the only ones to see them. */
static void put_kept_record(struct buf *out, const struct kept *k)
{
    put_u64(out, (uint64_t)k->term.until_s);
    if (token_record_write(k->token, out) != ST_OK)
        out->failed = true;
}

static enum status new_kept(struct token_store *store, struct token *token, struct span source, struct now now,
                            struct kept **ret, struct why *why)
{
    struct kept *k = calloc(1, sizeof *k);

    if (k == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    k->token = token_ref(token);
    k->used_ms = now.mono.ms;
    list_init(&k->in_group);
    k->source = need_source(store, source);
    if (k->source != NULL)
        k->source->count++;
    if (k->source == NULL || !join_group(store, k)) {
        kept_free(store, k);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    if (k->source->count > store->limits.kept_per_source) {
        kept_free(store, k);
        return reject(why, ST_QUOTA, "MT-40", "too many tokens from this address that nobody has used", 0);
    }
    *ret = k;
    return ST_OK;
}

/* MT-33, TK-66. The former, if its place may be taken, else refused. */
static enum status former_of(struct token_store *store, const struct token *token, struct now now,
                             struct kept **ret_former, struct why *why)
{
    struct kept *former = find_kept(store, token->cnf_thumbprint);

    *ret_former = former;
    if (former == NULL)
        return ST_OK;
    if (kept_over(store, former, now)) {
        kept_drop(store, former);
        *ret_former = NULL;
        return ST_OK;
    }
    if (!span_eq(former->token->iss, token->iss))
        return reject(why, ST_BAD_TOKEN, "TK-66", "another issuer's token for this key is here", 0);
    return ST_OK;
}

static enum status keep_record(struct token_store *store, struct kept *k, struct kept *former, struct now now,
                               struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf record;
    enum status st;

    buf_init(&record, TOKEN_RECORD_MAX);
    put_kept_record(&record, k);
    if (!buf_ok(&record))
        return reject(why, ST_NO_MEMORY, "memory", "out of memory, or a token too large to keep", 0);
    k->bytes = sizeof *k + sizeof *k->token + 2 * record.len;
    if (former != NULL) /* its room is ours; and it must not go to make some */
        store->kept_bytes -= former->bytes;
    if (former != NULL)
        list_remove(&former->link);
    st = former != NULL && store->kept_bytes + k->bytes <= store->limits.max_kept_bytes
             ? (store_may_change(store) ? ST_OK : reject(why, ST_QUOTA, "MT-40", "the disk is behind", 0))
             : make_room(store, k->bytes, now, why);
    if (st == ST_OK)
        st = store_change(store, TOKEN_KEPT, k->token->cnf_thumbprint, buf_span(&record), &k->change);
    if (former != NULL) {
        store->kept_bytes += former->bytes;
        list_append(former->source == NULL ? &store->claimed : &store->unclaimed, &former->link);
    }
    return st == ST_NO_MEMORY ? reject(why, st, "memory", "out of memory", 0) : st;
}

static enum status keep(struct token_store *store, struct token *token, struct span source, struct now now,
                        struct token_kept *out, struct why *why)
{
    struct kept *k = NULL, *former;
    enum status st = former_of(store, token, now, &former, why);

    if (st == ST_OK && former != NULL && !token->by_introspection &&
        memcmp(former->token->hash, token->hash, TOKEN_HASH_LEN) == 0) {
        former->used_ms = now.mono.ms; /* the very same again */
        out->change = former->change;
        return ST_OK;
    }
    if (st == ST_OK)
        st = new_kept(store, token, peer_source(source), now, &k, why);
    if (st == ST_OK)
        st = life_accept(store, token, now, &k->term, why);
    if (st == ST_OK)
        st = keep_record(store, k, former, now, why);
    if (st != ST_OK) {
        kept_free(store, k);
        return st;
    }
    out->change = k->change;
    if (former != NULL) {
        out->replaced = true;
        memcpy(out->former, former->token->hash, sizeof out->former);
        if (former->source == NULL) /* the key has been proved before */
            leave_source(store, k);
        take_out(store, former);
        kept_free(store, former);
    }
    put_in(store, k, k->source == NULL ? &store->claimed : &store->unclaimed);
    return ST_OK;
}

enum status token_store_keep(struct token_store *store, struct token *token, struct span source, struct now now,
                             struct token_kept *out, struct why *why)
{
    enum status st;

    ASSERT(token->cnf_how != TOKEN_CNF_KID);
    *out = (struct token_kept){ 0 };
    store_lock(store);
    st = keep(store, token, source, now, out, why);
    store_unlock(store);
    return st;
}

/* ---- finding ---- */

static struct token *by_thumbprint(struct token_store *store, const uint8_t *thumbprint, enum token_cnf how,
                                   struct now now)
{
    struct token *token = NULL;
    struct kept *k;

    store_lock(store);
    k = find_kept(store, thumbprint);
    if (k != NULL && k->token->cnf_how == how && !kept_over(store, k, now))
        token = token_ref(k->token);
    store_unlock(store);
    return token;
}

struct token *token_store_by_key(struct token_store *store, const uint8_t thumbprint[TOKEN_HASH_LEN],
                                 struct now now)
{
    return by_thumbprint(store, thumbprint, TOKEN_CNF_KEY, now);
}

struct token *token_store_by_certificate(struct token_store *store, const uint8_t thumbprint[TOKEN_HASH_LEN],
                                         struct now now)
{
    return by_thumbprint(store, thumbprint, TOKEN_CNF_X5T, now);
}

struct token *token_store_by_kid(struct token_store *store, struct span kid, struct now now)
{
    struct token *token = NULL;
    struct kid_group *g;
    bool several = false;

    store_lock(store);
    g = kid.len == 0 ? NULL : find_group(store, kid);
    if (g != NULL)
        LIST_EACH (it, &g->members) {
            struct kept *k = CONTAINER_OF(it, struct kept, in_group);

            if (k->token->cnf == NULL || key_kind(k->token->cnf) != KEY_SECRET || kept_over(store, k, now))
                continue;
            several = token != NULL;
            token = k->token;
            if (several)
                break;
        }
    token = token == NULL || several ? NULL : token_ref(token);
    store_unlock(store);
    return token;
}

struct key *token_store_key(struct token_store *store, struct span iss, struct span kid, struct now now)
{
    struct key *key;

    store_lock(store);
    key = key_of(store, iss, kid, now);
    if (key != NULL)
        key = key_ref(key);
    store_unlock(store);
    return key;
}

void token_store_used(struct token_store *store, const struct token *token, struct now now)
{
    struct kept *k;

    store_lock(store);
    k = find_kept(store, token->cnf_thumbprint);
    if (k != NULL && memcmp(k->token->hash, token->hash, TOKEN_HASH_LEN) == 0) {
        leave_source(store, k);
        k->used_ms = now.mono.ms;
        list_remove(&k->link);
        list_append(&store->claimed, &k->link);
    }
    store_unlock(store);
}

void token_store_keep_only(struct token_store *store, bool (*believed)(void *ctx, const struct token *token),
                           void *ctx)
{
    struct list *const lists[] = { &store->unclaimed, &store->claimed };

    store_lock(store);
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        LIST_EACH_SAFE (it, lists[i]) {
            struct kept *k = CONTAINER_OF(it, struct kept, link);

            if (!believed(ctx, k->token))
                kept_drop(store, k);
        }
    store_unlock(store);
}

/* ---- the end ---- */

void kept_done(struct token_store *store)
{
    struct table_node *node;

    while ((node = table_next(&store->kept, NULL)) != NULL) {
        struct kept *k = CONTAINER_OF(node, struct kept, node);

        take_out(store, k);
        kept_free(store, k);
    }
}

enum status kept_restore(struct token_store *store, const uint8_t id[TOKEN_HASH_LEN], struct span record,
                         struct now now)
{
    struct reader r = reader_make(record, "token journal");
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    struct kept *k;
    int64_t until_s = (int64_t)read_u64(&r), left_s = until_s - now.wall.s;

    enum status st = reader_ok(&r) ? token_record_read(read_rest(&r), &token, NULL) : ST_MALFORMED;

    if (st == ST_NO_MEMORY)
        return st;
    if (st != ST_OK || memcmp(token->cnf_thumbprint, id, TOKEN_HASH_LEN) != 0 || token->no_clock ||
        now.wall.s >= until_s || find_kept(store, id) != NULL || is_full(store, record.len) ||
        token_is_revoked(store, token))
        return ST_NOT_FOUND;
    k = calloc(1, sizeof *k);
    if (k == NULL)
        return ST_NO_MEMORY;
    k->token = TAKE(token);
    k->used_ms = now.mono.ms;
    k->bytes = sizeof *k + sizeof *k->token + 2 * record.len;
    k->term.until_s = until_s;
    k->term.until_ms =
        until_s == TIME_NEVER || left_s >= INT64_C(1) << 40 ? TIME_NEVER : now.mono.ms + left_s * MS_PER_S;
    list_init(&k->in_group);
    if (!join_group(store, k)) {
        kept_free(store, k);
        return ST_NO_MEMORY;
    }
    put_in(store, k, &store->claimed);
    return ST_OK;
}
