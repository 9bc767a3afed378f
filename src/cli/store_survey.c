#include "cli/store_survey.h"

#include "base/array.h"

#include <stdio.h>
#include <stdlib.h>

static const uint8_t letters[] = {
#define STORE_LETTER(name, letter, text) letter,
    STORE_KINDS(STORE_LETTER)
#undef STORE_LETTER
};

const char *store_kind_name(enum store_kind kind)
{
    static const char *const names[] = {
#define STORE_NAME(name, letter, text) text,
        STORE_KINDS(STORE_NAME)
#undef STORE_NAME
            "unknown",
    };

    return names[kind];
}

enum store_kind store_kind_of(struct span key)
{
    for (size_t i = 0; i < COUNT_OF(letters); i++)
        if (key.len > 0 && key.p[0] == letters[i])
            return (enum store_kind)i;
    return STORE_UNKNOWN;
}

/* ---- where they come from ---- */

struct filter {
    struct span prefix;
    kv_visit_fn *visit;
    void *ctx;
};

static enum status pass_on(void *ctx, struct span key, struct span value)
{
    const struct filter *f = ctx;

    return span_starts_with(key, f->prefix) ? f->visit(f->ctx, key, value) : ST_OK;
}

enum status store_walk(const struct store_source *from, struct span prefix, kv_visit_fn *visit, void *ctx,
                       struct why *why)
{
    struct filter f = { prefix, visit, ctx };
    struct kv_findings found;
    enum status st;

    if (from->kv != NULL)
        return kv_scan(from->kv, prefix, visit, ctx, why);
    st = kv_salvage(from->path, pass_on, &f, &found, why);
    return st == ST_DAMAGED ? ST_OK : st; /* there is nothing to be walked */
}

/* ---- arrays in the order of numbers ---- */

static struct store_body *body_of(struct store_body *bodies, size_t count, uint64_t number)
{
    size_t at = array_find(bodies, sizeof *bodies, count, number);

    return at < count ? &bodies[at] : NULL;
}

static struct store_session *session_of(const struct store_survey *s, uint64_t number)
{
    size_t at = array_find(s->sessions, sizeof *s->sessions, s->session_count, number);

    return at < s->session_count ? &s->sessions[at] : NULL;
}

const struct store_session *store_session_find(const struct store_survey *s, uint64_t number)
{
    return session_of(s, number);
}

/* ---- the two walks ---- */

struct surveying {
    struct store_survey *s;
    int64_t now_ms;
};

static enum status unreadable(struct store_survey *s, struct span key, const struct why *why)
{
    s->unreadable[store_kind_of(key)]++;
    if (s->first.clause != NULL)
        return ST_OK;
    s->first = *why;
    for (size_t i = 0; i < key.len && i < KV_KEY_MAX; i++)
        (void)snprintf(s->first_key + 2 * i, 3, "%02x", key.p[i]);
    return ST_OK;
}

static void count(struct store_survey *s, struct span key, struct span value)
{
    enum store_kind kind = store_kind_of(key);

    s->count[kind]++;
    s->bytes[kind] += key.len + value.len;
}

static enum status add_body(struct store_body **bodies, size_t *body_count, size_t *cap, uint64_t number,
                            size_t bytes)
{
    if (!array_grow(bodies, sizeof **bodies, *body_count, cap))
        return ST_NO_MEMORY;
    (*bodies)[(*body_count)++] = (struct store_body){ .number = number, .bytes = bytes };
    return ST_OK;
}

static enum status add_session(struct store_survey *s, const struct record_session *r)
{
    char *id = span_dup_str(r->client_id);

    if (id == NULL || !array_grow(&s->sessions, sizeof *s->sessions, s->session_count, &s->session_cap)) {
        free(id);
        return ST_NO_MEMORY;
    }
    s->sessions[s->session_count++] = (struct store_session){ .number = r->session, .client_id = id };
    return ST_OK;
}

/* Sessions, messages, groups: what others speak of. */
static enum status visit_first(void *ctx, struct span key, struct span value)
{
    struct store_survey *s = ((struct surveying *)ctx)->s;
    struct record_session session;
    struct record_message message;
    struct record_group group;
    struct why why = { 0 };
    enum status st;

    count(s, key, value);
    switch (store_kind_of(key)) {
    case STORE_SESSION:
        st = record_read_session(key, value, &session, &why);
        return st == ST_OK ? add_session(s, &session) : unreadable(s, key, &why);
    case STORE_MESSAGE:
        st = record_read_message(key, value, &message, &why);
        return st == ST_OK ? add_body(&s->bodies, &s->body_count, &s->body_cap, message.number, value.len)
                           : unreadable(s, key, &why);
    default:
        st = record_read_group(key, value, &group, &why);
        return st == ST_OK ? add_body(&s->groups, &s->group_count, &s->group_cap, group.group, value.len)
                           : unreadable(s, key, &why);
    }
}

static enum status see_delivery(struct store_survey *s, const struct record_delivery *r)
{
    struct store_session *session = session_of(s, r->session);
    struct store_body *body = body_of(s->bodies, s->body_count, r->body);

    if (session == NULL || (body == NULL && r->body != 0)) {
        s->orphans++;
        return ST_OK;
    }
    session->queued++;
    if (body != NULL) {
        session->queued_bytes += body->bytes;
        body->uses++;
    }
    return ST_OK;
}

static void see_owner(struct store_survey *s, uint64_t session)
{
    if (session_of(s, session) == NULL)
        s->orphans++;
}

static void see_retained(const struct surveying *w, const struct record_message *m)
{
    if (m->expires_ms <= w->now_ms ||
        (m->token_until_s != RECORD_NEVER && m->token_until_s <= w->now_ms / MS_PER_S))
        w->s->expired++;
}

/* Those of a session that hold no message. */
static enum status see_part(struct store_survey *s, struct span key, struct span value, struct why *why)
{
    struct record_subscription subscription;
    struct record_received received;
    struct record_will will;
    struct store_session *session;
    enum status st;

    switch (store_kind_of(key)) {
    case STORE_WILL:
        st = record_read_will(key, value, &will, why);
        if (st == ST_OK)
            see_owner(s, will.session);
        return st;
    case STORE_RECEIVED:
        st = record_read_received(key, value, &received, why);
        if (st == ST_OK)
            see_owner(s, received.session);
        return st;
    default:
        st = record_read_subscription(key, value, &subscription, why);
        session = st == ST_OK ? session_of(s, subscription.session) : NULL;
        if (session != NULL)
            session->subscriptions++;
        else if (st == ST_OK)
            s->orphans++;
        return st;
    }
}

static enum status see(struct surveying *w, struct span key, struct span value, struct why *why)
{
    struct store_survey *s = w->s;
    struct record_delivery delivery;
    struct record_message message;
    struct record_item item;
    struct record_out out;
    enum status st;

    switch (store_kind_of(key)) {
    case STORE_META:
        st = record_read_meta(key, value, &s->meta, why);
        s->has_meta = st == ST_OK;
        return st;
    case STORE_WILL:
    case STORE_RECEIVED:
    case STORE_SUBSCRIPTION:
        return see_part(s, key, value, why);
    case STORE_DELIVERY:
        st = record_read_delivery(key, value, &delivery, why);
        return st == ST_OK ? see_delivery(s, &delivery) : st;
    case STORE_RETAINED:
        st = record_read_retained(key, value, &message, why);
        if (st == ST_OK)
            see_retained(w, &message);
        return st;
    case STORE_ITEM:
        st = record_read_item(key, value, &item, why);
        if (st == ST_OK && body_of(s->groups, s->group_count, item.group) == NULL)
            s->orphans++;
        return st;
    case STORE_OUT:
        return record_read_out(key, value, &out, why);
    case STORE_UNKNOWN:
        return reject(why, ST_MALFORMED, "store record", "of no kind that is known", 0);
    default:
        return ST_OK; /* tokens have their own form; what was set aside, none */
    }
}

static enum status visit_second(void *ctx, struct span key, struct span value)
{
    struct surveying *w = ctx;
    enum store_kind kind = store_kind_of(key);
    struct why why = { 0 };

    if (kind == STORE_SESSION || kind == STORE_MESSAGE || kind == STORE_GROUP)
        return ST_OK;
    count(w->s, key, value);
    return see(w, key, value, &why) == ST_OK ? ST_OK : unreadable(w->s, key, &why);
}

enum status store_survey(struct store_survey *s, const struct store_source *from, struct wall_time now,
                         struct why *why)
{
    struct surveying w = { s, now.s * MS_PER_S + now.ms };
    enum status st;

    *s = (struct store_survey){ 0 };
    st = store_walk(from, SPAN("s"), visit_first, &w, why);
    if (st == ST_OK)
        st = store_walk(from, SPAN("m"), visit_first, &w, why);
    if (st == ST_OK)
        st = store_walk(from, SPAN("g"), visit_first, &w, why);
    if (st == ST_OK)
        st = store_walk(from, SPAN_NONE, visit_second, &w, why);
    for (size_t i = 0; i < s->body_count; i++)
        s->orphans += s->bodies[i].uses == 0;
    return st == ST_NO_MEMORY ? reject(why, st, "memory", "out of memory", 0) : st;
}

void store_survey_done(struct store_survey *s)
{
    for (size_t i = 0; i < s->session_count; i++)
        free(s->sessions[i].client_id);
    free(s->sessions);
    free(s->bodies);
    free(s->groups);
    *s = (struct store_survey){ 0 };
}
