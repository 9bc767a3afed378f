/* What two scopes both permit, as few entries as possible. */
#include "scope/scope_priv.h"

/* Entries as they are collected; filters by offset, because the text may move while it grows. */
struct collection {
    struct buf text;
    size_t count;
    struct collected {
        size_t at, len;
        unsigned permissions;
    } entries[SCOPE_MAX_PAIRS];
};

#define COLLECTION_MAX_BYTES (4u * SCOPE_MAX_BYTES) /* dropped entries leave their text behind */

static void collection_done(struct collection *c)
{
    buf_done(&c->text);
}

static struct topic_filter filter_of(const struct collection *c, const struct collected *e)
{
    return (struct topic_filter){ span_cut(buf_span(&c->text), e->at, e->len) };
}

/* Takes `permissions` away from every entry but `keep` that lies inside it, and drops those left with none. */
static void thin_out(struct collection *c, size_t keep, unsigned permissions)
{
    struct topic_filter outer = filter_of(c, &c->entries[keep]);
    size_t kept = 0;

    for (size_t i = 0; i < c->count; i++) {
        if (i != keep && topic_filter_covers(outer, filter_of(c, &c->entries[i])))
            c->entries[i].permissions &= ~permissions;
        if (c->entries[i].permissions != 0)
            c->entries[kept++] = c->entries[i];
    }
    c->count = kept;
}

/* Adds what the text at its end says, unless it is there already. */
static enum status collect(struct collection *c, size_t at, unsigned permissions, struct why *why)
{
    struct collected fresh = { .at = at, .len = c->text.len - at };
    size_t same = c->count;

    for (size_t i = 0; i < c->count; i++) {
        struct topic_filter filter = filter_of(c, &c->entries[i]);
        if (topic_filter_covers(filter, filter_of(c, &fresh)))
            permissions &= ~c->entries[i].permissions;
        if (span_eq(filter.s, filter_of(c, &fresh).s))
            same = i;
    }
    if (permissions == 0 || same < c->count)
        buf_truncate(&c->text, at);
    if (permissions == 0)
        return ST_OK;
    if (same == SCOPE_MAX_PAIRS)
        return reject(why, ST_TOO_LARGE, "SCOPE_MAX_PAIRS", "too many entries in an intersection", 0);
    if (same == c->count)
        c->entries[c->count++] = fresh;
    c->entries[same].permissions |= permissions;
    thin_out(c, same, permissions);
    return ST_OK;
}

static enum status collect_pair(struct collection *c, struct scope_entry a, struct scope_entry b,
                                struct why *why)
{
    size_t at = c->text.len;

    if ((a.permissions & b.permissions) == 0 || !topic_filter_intersect(a.filter, b.filter, &c->text))
        return ST_OK;
    if (!buf_ok(&c->text))
        return reject(why, ST_TOO_LARGE, "SCOPE_MAX_BYTES", "too much text in an intersection", 0);
    return collect(c, at, a.permissions & b.permissions, why);
}

enum status scope_intersect(const struct scope *a, const struct scope *b, struct scope **ret_scope,
                            struct why *why)
{
    CLEANUP(collection_done)
    struct collection c = { 0 };
    struct scope_entry entries[SCOPE_MAX_PAIRS];

    buf_init(&c.text, COLLECTION_MAX_BYTES);
    for (size_t i = 0; i < a->count; i++) {
        for (size_t j = 0; j < b->count; j++) {
            enum status st = collect_pair(&c, a->entries[i], b->entries[j], why);
            if (st != ST_OK)
                return st;
        }
    }
    for (size_t i = 0; i < c.count; i++)
        entries[i] = (struct scope_entry){ filter_of(&c, &c.entries[i]), c.entries[i].permissions };
    return scope_build(entries, c.count, ret_scope, why);
}
