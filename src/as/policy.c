#include "as/policy.h"

#include "as/as_priv.h"

#define CLIENT_ID_MARK "${client_id}"

/* The filter with the client's identifier in place. ST_BAD_FILTER for any other ${...}. */
static enum status expand(struct span pattern, struct span client_id, struct buf *out, struct why *why)
{
    const struct span mark = SPAN(CLIENT_ID_MARK);

    for (size_t i = 0; i < pattern.len;) {
        struct span rest = span_cut(pattern, i, pattern.len);
        if (span_starts_with(rest, mark)) {
            put_bytes(out, client_id);
            i += mark.len;
        } else if (span_starts_with(rest, SPAN("${"))) {
            return reject(why, ST_BAD_FILTER, "as policy", "only ${client_id} can stand in a filter", i);
        } else {
            put_u8(out, pattern.p[i++]);
        }
    }
    if (buf_status(out) == ST_NO_MEMORY)
        return reject(why, ST_NO_MEMORY, "as policy", "out of memory", 0);
    return buf_ok(out) ? ST_OK : reject(why, ST_BAD_FILTER, "as policy", "the filter is too long", 0);
}

static enum status expand_filter(struct span pattern, struct span client_id, struct arena *arena,
                                 struct topic_filter *ret, struct why *why)
{
    struct buf b;

    buf_init(&b, TOPIC_LEN_MAX);
    enum status st = expand(pattern, client_id, &b, why);
    struct span text = SPAN_NONE;
    if (st == ST_OK) {
        text = arena_copy(arena, buf_span(&b));
        if (text.p == NULL)
            st = reject(why, ST_NO_MEMORY, "as policy", "out of memory", 0);
    }
    buf_done(&b);
    if (st == ST_OK && topic_filter_parse(text, ret, why) != ST_OK)
        st = reject(why, ST_BAD_FILTER, "MQTT5 4.7.1", "not a topic filter", 0);
    if (st == ST_OK && topic_filter_is_shared(*ret))
        st = reject(why, ST_BAD_FILTER, "as policy", "a shared filter cannot be a rule: name the filter inside",
                    0);
    return st;
}

static enum status check_subject(struct span subject, struct why *why)
{
    if (span_eq_str(subject, "any"))
        return ST_OK;
    if (span_starts_with(subject, SPAN("client:")) && id_valid(span_cut(subject, 7, subject.len)))
        return ST_OK;
    if (span_starts_with(subject, SPAN("group:")) && id_valid(span_cut(subject, 6, subject.len)))
        return ST_OK;
    return reject(why, ST_MALFORMED, "as policy", "a subject is client:ID, group:NAME or any", 0);
}

static enum status take_id(void *ctx, const struct sql_row *row)
{
    *(int64_t *)ctx = sql_i64(row, 0);
    return ST_OK;
}

enum status policy_add(struct sql *sql, const struct policy_rule *rule, int64_t *ret_id, struct why *why)
{
    CLEANUP(arena_done)
    struct arena arena;
    struct topic_filter filter;
    enum status st = check_subject(rule->subject, why);

    arena_init(&arena, CALL_ARENA_MAX);
    if (st == ST_OK)
        st = expand_filter(rule->filter, SPAN("x"), &arena, &filter, why);
    if (st == ST_OK && (rule->permissions == 0 || (rule->permissions & ~(SCOPE_PUB | SCOPE_SUB)) != 0))
        st = reject(why, ST_MALFORMED, "as policy", "permissions are pub, sub or both", 0);
    if (st != ST_OK)
        return st;
    st = sql_run(sql,
                 "INSERT INTO policy (effect, subject, audience, filter, permissions, created_at)"
                 " VALUES ($1, $2, $3, $4, $5, $6)",
                 NULL, why, SQL_TEXT(rule->allow ? SPAN("allow") : SPAN("deny")), SQL_TEXT(rule->subject),
                 SQL_TEXT(rule->audience), SQL_TEXT(rule->filter), SQL_I64(rule->permissions),
                 SQL_I64(rule->created_at));
    if (st == ST_EXISTS)
        return reject(why, st, "as policy", "the same rule is already there", 0);
    if (st == ST_OK)
        st = sql_query(sql, "SELECT MAX(id) FROM policy", take_id, ret_id, why);
    return st;
}

enum status policy_remove(struct sql *sql, int64_t id, struct why *why)
{
    int64_t changed = 0;
    enum status st = sql_run(sql, "DELETE FROM policy WHERE id = $1", &changed, why, SQL_I64(id));

    if (st == ST_OK && changed == 0)
        return reject(why, ST_NOT_FOUND, "as policy", "no such rule", 0);
    return st;
}

enum status policy_count(struct sql *sql, int64_t *ret, struct why *why)
{
    return sql_query(sql, "SELECT COUNT(*) FROM policy", take_id, ret, why);
}

#define RULE_COLUMNS "id, effect, subject, audience, filter, permissions, created_at FROM policy"

struct walk {
    policy_fn *fn;
    void *ctx;
};

static enum status give_rule(void *ctx, const struct sql_row *row)
{
    struct walk *walk = ctx;
    struct policy_rule rule = {
        .id = sql_i64(row, 0),
        .allow = span_eq_str(sql_bytes(row, 1), "allow"),
        .subject = sql_bytes(row, 2),
        .audience = sql_bytes(row, 3),
        .filter = sql_bytes(row, 4),
        .permissions = (unsigned)sql_i64(row, 5),
        .created_at = sql_i64(row, 6),
    };
    return walk->fn(walk->ctx, &rule);
}

enum status policy_each(struct sql *sql, struct span subject, struct span audience, int64_t after,
                        int64_t limit, policy_fn *fn, void *ctx, struct why *why)
{
    struct walk walk = { fn, ctx };

    return sql_query(
        sql,
        "SELECT " RULE_COLUMNS " WHERE id > $1 AND ($2 = '' OR subject = $2) AND ($3 = '' OR audience = $3)"
        " ORDER BY id LIMIT $4",
        give_rule, &walk, why, SQL_I64(after), SQL_TEXT(subject), SQL_TEXT(audience), SQL_I64(limit));
}

enum status policy_each_for(struct sql *sql, struct span client_id, struct span audience, policy_fn *fn,
                            void *ctx, struct why *why)
{
    struct walk walk = { fn, ctx };

    return sql_query(
        sql,
        "SELECT " RULE_COLUMNS
        " WHERE ($2 = '' OR audience = $2) AND (subject = 'any' OR subject = 'client:' || $1"
        " OR subject IN (SELECT 'group:' || name FROM client_group WHERE client_id = $1)) ORDER BY id",
        give_rule, &walk, why, SQL_TEXT(client_id), SQL_TEXT(audience));
}

/* A rule or a granted entry with its filter ready to compare. */
struct entry {
    int64_t rule;
    struct topic_filter filter;
    unsigned permissions;
};

/* In an arena; few for most, so they grow. */
struct entries {
    struct entry *at;
    size_t count, room;
};

#define ENTRIES_LEAST 8

struct grant {
    struct span client_id;
    struct arena *arena;
    struct entries allow, deny, result;
    struct why *why;
};

static enum status add_entry(struct grant *g, struct entries *to, struct entry e)
{
    if (to->count == to->room) {
        size_t room = to->room == 0 ? ENTRIES_LEAST : 2 * to->room;
        struct entry *at = arena_alloc(g->arena, room * sizeof *at);
        if (at == NULL)
            return reject(g->why, ST_NO_MEMORY, "as policy", "out of memory", 0);
        if (to->count > 0)
            memcpy(at, to->at, to->count * sizeof *at);
        to->at = at;
        to->room = room;
    }
    to->at[to->count++] = e;
    return ST_OK;
}

static enum status take_rule(void *ctx, const struct policy_rule *rule)
{
    struct grant *g = ctx;
    struct entry e = { .rule = rule->id, .permissions = rule->permissions };
    enum status st = expand_filter(rule->filter, g->client_id, g->arena, &e.filter, g->why);

    if (st != ST_OK)
        return st;
    if (g->allow.count + g->deny.count >= POLICY_RULES_MAX)
        return reject(g->why, ST_QUOTA, "as policy", "too many rules for one client", 0);
    return add_entry(g, rule->allow ? &g->allow : &g->deny, e);
}

/* The rule that forbids some topic of `filter`, or 0. */
static int64_t denied_by(const struct grant *g, struct topic_filter filter, unsigned permission)
{
    for (size_t i = 0; i < g->deny.count; i++) {
        struct buf both;
        if ((g->deny.at[i].permissions & permission) == 0)
            continue;
        buf_init(&both, TOPIC_LEN_MAX);
        bool touches = topic_filter_intersect(filter, g->deny.at[i].filter, &both) || !buf_ok(&both);
        buf_done(&both);
        if (touches)
            return g->deny.at[i].rule;
    }
    return 0;
}

/* Leaves out what lies inside an entry that is there, and takes out what lies inside the new one. */
static enum status add_result(struct grant *g, struct topic_filter filter, unsigned permission)
{
    for (size_t i = 0; i < g->result.count; i++)
        if ((g->result.at[i].permissions & permission) != 0 &&
            topic_filter_covers(g->result.at[i].filter, filter))
            return ST_OK;
    for (size_t i = 0; i < g->result.count; i++)
        if (topic_filter_covers(filter, g->result.at[i].filter))
            g->result.at[i].permissions &= ~permission;
    struct entry *place = NULL;
    for (size_t i = 0; i < g->result.count && place == NULL; i++)
        if (span_eq(g->result.at[i].filter.s, filter.s))
            place = &g->result.at[i];
    for (size_t i = 0; i < g->result.count && place == NULL; i++)
        if (g->result.at[i].permissions == 0)
            place = &g->result.at[i];
    if (place == NULL && g->result.count >= SCOPE_MAX_PAIRS)
        return reject(g->why, ST_QUOTA, "as policy", "the granted scope has too many entries", 0);
    if (place == NULL)
        return add_entry(g, &g->result, (struct entry){ .filter = filter, .permissions = permission });
    place->filter = filter;
    place->permissions |= permission;
    return ST_OK;
}

/* What of one requested filter and permission is allowed. *ret_any tells whether anything was granted. */
static enum status grant_filter(struct grant *g, struct topic_filter wanted, unsigned permission, bool *ret_any,
                                int64_t *ret_deny)
{
    for (size_t i = 0; i < g->allow.count; i++) {
        struct topic_filter both;
        struct buf b;
        enum status st = ST_OK;

        if ((g->allow.at[i].permissions & permission) == 0)
            continue;
        buf_init(&b, TOPIC_LEN_MAX);
        bool overlaps = topic_filter_intersect(wanted, g->allow.at[i].filter, &b);
        both.s = overlaps && buf_ok(&b) ? arena_copy(g->arena, buf_span(&b)) : SPAN_NONE;
        if (!buf_ok(&b) || (overlaps && both.s.p == NULL))
            st = reject(g->why, ST_NO_MEMORY, "as policy", "out of memory", 0);
        buf_done(&b);
        if (st == ST_OK && overlaps) {
            int64_t deny = denied_by(g, both, permission);
            if (deny != 0) {
                *ret_deny = deny;
            } else {
                *ret_any = true;
                st = add_result(g, both, permission);
            }
        }
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status grant_entry(struct grant *g, struct topic_filter wanted, unsigned permissions,
                               policy_refused_fn *refused, void *ctx)
{
    for (unsigned permission = SCOPE_PUB; permission <= SCOPE_SUB; permission <<= 1) {
        bool any = false;
        int64_t deny = 0;
        if ((permissions & permission) == 0)
            continue;
        enum status st = grant_filter(g, wanted, permission, &any, &deny);
        if (st == ST_OK && refused != NULL && (!any || deny != 0))
            st = refused(ctx, wanted, permission, deny);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status build(struct grant *g, struct scope **ret_granted)
{
    struct scope_entry entries[SCOPE_MAX_PAIRS];
    size_t count = 0;

    for (size_t i = 0; i < g->result.count; i++)
        if (g->result.at[i].permissions != 0)
            entries[count++] = (struct scope_entry){ g->result.at[i].filter, g->result.at[i].permissions };
    return scope_build(entries, count, ret_granted, g->why);
}

enum status policy_grant(struct sql *sql, struct span client_id, struct span audience,
                         const struct scope *requested, struct arena *arena, struct scope **ret_granted,
                         policy_refused_fn *refused, void *ctx, struct why *why)
{
    struct grant g = { .client_id = client_id, .arena = arena, .why = why };
    enum status st = policy_each_for(sql, client_id, audience, take_rule, &g, why);
    size_t wanted = requested == NULL ? g.allow.count : scope_size(requested);
    for (size_t i = 0; st == ST_OK && i < wanted; i++) {
        if (requested == NULL) {
            st = grant_entry(&g, g.allow.at[i].filter, g.allow.at[i].permissions, refused, ctx);
        } else {
            struct scope_entry e = scope_at(requested, i);
            st = grant_entry(&g, e.filter, e.permissions, refused, ctx);
        }
    }
    return st == ST_OK ? build(&g, ret_granted) : st;
}
