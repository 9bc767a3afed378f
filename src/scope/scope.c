#include "scope/scope_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

/* ---- making ---- */

static int compare_spans(struct span a, struct span b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.p, b.p, common);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_indexes(const void *a, const void *b, void *ctx)
{
    const struct scope_entry *entries = ctx;
    struct topic_filter x = entries[*(const uint16_t *)a].filter, y = entries[*(const uint16_t *)b].filter;
    bool x_wild = topic_filter_has_wildcard(x), y_wild = topic_filter_has_wildcard(y);

    return x_wild != y_wild ? x_wild - y_wild : compare_spans(x.s, y.s);
}

static enum status check_entry(const struct scope_entry *entry, size_t i, struct why *why)
{
    struct topic_filter filter;
    struct why inner = { 0 };

    if (topic_filter_parse(entry->filter.s, &filter, &inner) != ST_OK)
        return reject(why, ST_BAD_SCOPE, "MT-87", inner.text, i);
    if (topic_filter_is_shared(filter)) /* $share belongs to a SUBSCRIBE, not to a set of topics */
        return reject(why, ST_BAD_SCOPE, "MT-87", "a shared subscription is no topic filter of a scope", i);
    if (entry->permissions == 0 || (entry->permissions & ~(SCOPE_PUB | SCOPE_SUB)) != 0)
        return reject(why, ST_BAD_SCOPE, "MT-87", "an entry without permissions or with unknown ones", i);
    return ST_OK;
}

static enum status check_entries(const struct scope_entry *entries, size_t count, size_t *ret_text,
                                 struct why *why)
{
    size_t text = 0;

    if (count > SCOPE_MAX_PAIRS)
        return reject(why, ST_TOO_LARGE, "SCOPE_MAX_PAIRS", "too many entries in a scope", SCOPE_MAX_PAIRS);
    for (size_t i = 0; i < count; i++) {
        enum status st = check_entry(&entries[i], i, why);
        if (st != ST_OK)
            return st;
        text += entries[i].filter.s.len;
    }
    if (text > SCOPE_MAX_BYTES)
        return reject(why, ST_TOO_LARGE, "SCOPE_MAX_BYTES", "too much text in a scope", 0);
    *ret_text = text;
    return ST_OK;
}

static struct scope *scope_alloc(size_t count, size_t text_len, uint8_t **ret_text)
{
    size_t head = sizeof(struct scope) + count * sizeof(struct scope_entry);
    struct scope *scope = calloc(1, head + count * sizeof(uint16_t) + text_len);

    if (scope == NULL)
        return NULL;
    atomic_init(&scope->refs, 1);
    scope->count = (uint16_t)count;
    scope->sorted = (uint16_t *)(void *)((char *)scope + head);
    *ret_text = (uint8_t *)(scope->sorted + count);
    return scope;
}

enum status scope_build(const struct scope_entry *entries, size_t count, struct scope **ret_scope,
                        struct why *why)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    size_t text_len = 0;
    uint8_t *text;

    enum status st = check_entries(entries, count, &text_len, why);
    if (st != ST_OK)
        return st;
    scope = scope_alloc(count, text_len, &text);
    if (scope == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    for (size_t i = 0; i < count; i++) {
        struct span filter = entries[i].filter.s;
        memcpy(text, filter.p, filter.len);
        scope->entries[i] = (struct scope_entry){ { span_of(text, filter.len) }, entries[i].permissions };
        text += filter.len;
        scope->sorted[i] = (uint16_t)i;
        if (!topic_filter_has_wildcard(scope->entries[i].filter))
            scope->plain_count++;
    }
    qsort_r(scope->sorted, count, sizeof scope->sorted[0], compare_indexes, scope->entries);
    for (size_t i = 1; i < count; i++)
        if (span_eq(scope->entries[scope->sorted[i - 1]].filter.s, scope->entries[scope->sorted[i]].filter.s))
            return reject(why, ST_BAD_SCOPE, "MT-87", "the same filter in two entries", scope->sorted[i]);
    *ret_scope = TAKE(scope);
    return ST_OK;
}

struct scope *scope_ref(struct scope *scope)
{
    if (scope != NULL)
        atomic_fetch_add_explicit(&scope->refs, 1, memory_order_relaxed);
    return scope;
}

void scope_unref(struct scope *scope)
{
    if (scope != NULL && atomic_fetch_sub_explicit(&scope->refs, 1, memory_order_acq_rel) == 1)
        free(scope);
}

void scope_unrefp(struct scope **scope)
{
    scope_unref(*scope);
}

/* ---- looking ---- */

size_t scope_size(const struct scope *scope)
{
    return scope->count;
}

struct scope_entry scope_at(const struct scope *scope, size_t i)
{
    ASSERT(i < scope->count);
    return scope->entries[i];
}

bool scope_is_empty(const struct scope *scope)
{
    return scope->count == 0;
}

bool scope_same(const struct scope *a, const struct scope *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct scope_entry *x = &a->entries[a->sorted[i]], *y = &b->entries[b->sorted[i]];
        if (x->permissions != y->permissions || !span_eq(x->filter.s, y->filter.s))
            return false;
    }
    return true;
}

/* ---- deciding ---- */

/* Among the plain topics, by bisection; NULL if it is not there. */
static const struct scope_entry *find_plain(const struct scope *scope, struct span topic)
{
    size_t low = 0, high = scope->plain_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct scope_entry *entry = &scope->entries[scope->sorted[middle]];
        int order = compare_spans(entry->filter.s, topic);
        if (order == 0)
            return entry;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool allows_topic(const struct scope *scope, struct topic_name topic, enum scope_permission wanted)
{
    const struct scope_entry *plain = find_plain(scope, topic.s);

    if (plain != NULL && (plain->permissions & wanted) != 0)
        return true;
    for (size_t i = scope->plain_count; i < scope->count; i++) {
        const struct scope_entry *entry = &scope->entries[scope->sorted[i]];
        if ((entry->permissions & wanted) != 0 && topic_matches(entry->filter, topic))
            return true;
    }
    return false;
}

bool scope_may_publish(const struct scope *scope, struct topic_name topic)
{
    return allows_topic(scope, topic, SCOPE_PUB);
}

bool scope_may_receive(const struct scope *scope, struct topic_name topic)
{
    return allows_topic(scope, topic, SCOPE_SUB);
}

/* The filter is compared with each entry's filter as it stands, never with the topics it happens to match today:
 * "a/+" must be refused to a holder of "a/b" even while "a/b" is the only topic under "a" (RFC 9431 3.3). And with
 * one entry at a time: "a/+" is refused to a holder of two entries that together name all of today's topics. */
static bool allows_filter(const struct scope *scope, struct topic_filter filter, enum scope_permission wanted)
{
    for (size_t i = 0; i < scope->count; i++)
        if ((scope->entries[i].permissions & wanted) != 0 &&
            topic_filter_covers(scope->entries[i].filter, filter))
            return true;
    return false;
}

bool scope_may_subscribe(const struct scope *scope, struct topic_filter filter)
{
    return allows_filter(scope, filter, SCOPE_SUB);
}

bool scope_covers(const struct scope *outer, const struct scope *inner)
{
    for (size_t i = 0; i < inner->count; i++) {
        const struct scope_entry *entry = &inner->entries[i];
        if ((entry->permissions & SCOPE_PUB) != 0 && !allows_filter(outer, entry->filter, SCOPE_PUB))
            return false;
        if ((entry->permissions & SCOPE_SUB) != 0 && !allows_filter(outer, entry->filter, SCOPE_SUB))
            return false;
    }
    return true;
}
