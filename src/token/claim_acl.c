#include "token/claim_acl_priv.h"

#include "base/arena.h"

#define CLAUSE "MT-87"

static const struct {
    const char *name;
    unsigned permissions;
} actions[] = {
    { "pub", SCOPE_PUB },       { "publish", SCOPE_PUB },         { "sub", SCOPE_SUB },
    { "subscribe", SCOPE_SUB }, { "all", SCOPE_PUB | SCOPE_SUB },
};

/* Filters with what is allowed or denied on them; each filter once. */
struct entries {
    struct scope_entry at[SCOPE_MAX_PAIRS];
    size_t count;
};

struct acl {
    const struct claim_rules *rules;
    const struct js *claims;
    struct arena text; /* filters */
    struct entries allowed, denied;
    struct why *why;
};

/* One rule that applies, before it is entered. */
struct rule {
    bool deny;
    bool narrowed; /* by QoS or retain: it does not hold for every message */
    unsigned permissions;
};

static enum status refuse(struct acl *a, const char *text)
{
    return reject(a->why, ST_BAD_SCOPE, CLAUSE, text, 0);
}

static bool permissions_of(struct span action, bool short_only, unsigned *ret)
{
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        if (short_only && strlen(actions[i].name) > 3)
            continue;
        if (span_eq_str(action, actions[i].name)) {
            *ret = actions[i].permissions;
            return true;
        }
    }
    return false;
}

/* -- topics ---------------------------------------------------------------------------------------------- */

/* What a placeholder stands for must be a part of one level: "#" as a user's name must not open everything. */
static bool is_plain(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '/' || s.p[i] == '+' || s.p[i] == '#' || s.p[i] == '\0')
            return false;
    return s.len > 0;
}

static enum status value_of(struct acl *a, struct span name, struct span *ret)
{
    const struct js *js = NULL;

    if (span_eq_str(name, "clientid"))
        js = claim_rules_find(a->claims, a->rules->client_id, "client_id");
    else if (span_eq_str(name, "username") && a->rules->username != NULL)
        js = claim_rules_find(a->claims, a->rules->username, NULL);
    if (!js_as_str(js, ret))
        return refuse(a, "a placeholder in the ACL for which the token has no value");
    if (!is_plain(*ret))
        return refuse(a, "the value of a placeholder holds a topic separator or wildcard");
    return ST_OK;
}

static enum status substitute(struct acl *a, struct span topic, struct span *ret)
{
    CLEANUP(buf_done)
    struct buf out;
    enum status st = ST_OK;

    buf_init(&out, UINT16_MAX);
    for (size_t at = 0; st == ST_OK && at < topic.len;) {
        struct span rest = span_cut(topic, at, SIZE_MAX), value;
        if (!span_starts_with(rest, SPAN("${"))) {
            put_u8(&out, rest.p[0]);
            at++;
            continue;
        }
        size_t end = span_find(rest, '}', 2);
        st = end == rest.len ? refuse(a, "a placeholder without an end in the ACL")
                             : value_of(a, span_cut(rest, 2, end - 2), &value);
        if (st == ST_OK)
            put_bytes(&out, value);
        at += end + 1;
    }
    if (st != ST_OK)
        return st;
    if (buf_status(&out) == ST_NO_MEMORY)
        return buf_refuse(&out, "", a->why);
    if (!buf_ok(&out))
        return refuse(a, "a topic filter of the ACL is too long");
    *ret = arena_copy(&a->text, buf_span(&out));
    return ret->p == NULL ? reject(a->why, ST_TOO_LARGE, CLAUSE, "the ACL is too large", 0) : ST_OK;
}

/* The placeholders of EMQX 4, whole levels: read as text they would name a topic nobody meant. */
static bool has_old_placeholder(struct span topic)
{
    for (size_t from = 0; from <= topic.len;) {
        size_t end = span_find(topic, '/', from);
        struct span level = span_cut(topic, from, end - from);
        if (span_eq_str(level, "%c") || span_eq_str(level, "%u"))
            return true;
        from = end + 1;
    }
    return false;
}

static bool has_wildcard(struct span filter)
{
    return span_find(filter, '+', 0) < filter.len || span_find(filter, '#', 0) < filter.len;
}

/* -- entries --------------------------------------------------------------------------------------------- */

static enum status enter(struct acl *a, struct entries *to, struct span filter, unsigned permissions)
{
    for (size_t i = 0; i < to->count; i++)
        if (span_eq(to->at[i].filter.s, filter)) {
            to->at[i].permissions |= permissions;
            return ST_OK;
        }
    if (to->count == SCOPE_MAX_PAIRS)
        return reject(a->why, ST_TOO_LARGE, CLAUSE, "the ACL has more entries than a scope may have", 0);
    to->at[to->count++] = (struct scope_entry){ { filter }, permissions };
    return ST_OK;
}

/* Whether a denial before it takes anything from this permission. */
static enum status check_denials(struct acl *a, struct span filter, unsigned permissions)
{
    CLEANUP(scope_unrefp)
    struct scope *denied = NULL;
    CLEANUP(scope_unrefp)
    struct scope *wanted = NULL;
    CLEANUP(scope_unrefp)
    struct scope *both = NULL;
    const struct scope_entry entry = { { filter }, permissions };
    enum status st = scope_build(&entry, 1, &wanted, a->why); /* also says what is wrong with the filter */

    if (st != ST_OK || a->denied.count == 0)
        return st;
    st = scope_build(a->denied.at, a->denied.count, &denied, a->why);
    if (st == ST_OK)
        st = scope_intersect(denied, wanted, &both, a->why);
    if (st == ST_OK && !scope_is_empty(both))
        return refuse(a, "a rule denies part of what a later one allows; a scope cannot say that");
    return st;
}

/* `eq F` allows to subscribe to F itself and not to filters inside it. Whoever receives all of F receives nothing
 * more through a part of it, so F is entered; but no topic is called F if it has a wildcard. */
static enum status take_topic(struct acl *a, const struct rule *rule, struct span topic)
{
    unsigned permissions = rule->permissions;
    bool exact = span_starts_with(topic, SPAN("eq "));
    struct span filter = exact ? span_cut(topic, 3, SIZE_MAX) : topic;
    enum status st;

    if (has_old_placeholder(filter))
        return refuse(a, "%c and %u are placeholders of EMQX 4: write ${clientid}, ${username}");
    st = substitute(a, filter, &filter);
    if (st != ST_OK)
        return st;
    if (rule->deny)
        return enter(a, &a->denied, filter, permissions);
    if (rule->narrowed)
        return refuse(a, "a permission for some QoS or retain flags only; a scope cannot say that");
    if (exact && has_wildcard(filter))
        permissions &= (unsigned)SCOPE_SUB;
    if (permissions == 0)
        return ST_OK;
    st = check_denials(a, filter, permissions);
    return st == ST_OK ? enter(a, &a->allowed, filter, permissions) : st;
}

static enum status take_topics(struct acl *a, const struct rule *rule, const struct js *topics)
{
    enum status st = ST_OK;
    struct span topic;

    if (!js_is(topics, JS_ARRAY))
        return refuse(a, "the topics of an ACL are no list");
    for (size_t i = 0; st == ST_OK && i < js_size(topics); i++) {
        if (!js_as_str(js_at(topics, i), &topic))
            return refuse(a, "a topic of an ACL is no text");
        st = take_topic(a, rule, topic);
    }
    return st;
}

/* -- the two forms --------------------------------------------------------------------------------------- */

struct visit {
    struct acl *acl;
    enum status st;
};

static bool take_list(void *ctx, struct span name, const struct js *value)
{
    struct visit *v = ctx;
    struct rule rule = { .deny = false };

    if (!permissions_of(name, true, &rule.permissions))
        v->st = refuse(v->acl, "a member of the ACL other than pub, sub and all");
    else
        v->st = take_topics(v->acl, &rule, value);
    return v->st == ST_OK;
}

static bool all_qos(const struct js *qos)
{
    unsigned seen = 0;
    int64_t n;

    for (size_t i = 0; i < js_size(qos); i++)
        if (js_as_i64(js_at(qos, i), &n) && n >= 0 && n <= 2)
            seen |= 1u << n;
    return js_is(qos, JS_ARRAY) && seen == 7;
}

/* A member of a rule that is not among these narrows it in a way we do not know: an address, a pattern. */
static bool is_known_member(void *ctx, struct span name, const struct js *value)
{
    static const char *const known[] = { "permission", "action", "topic", "topics", "qos", "retain" };

    (void)ctx;
    (void)value;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (span_eq_str(name, known[i]))
            return true;
    return false;
}

static enum status take_rule(struct acl *a, const struct js *js)
{
    const struct js *topic = js_get(js, "topic"), *topics = js_get(js, "topics"), *qos = js_get(js, "qos");
    struct rule rule = { .narrowed = (qos != NULL && !all_qos(qos)) || js_get(js, "retain") != NULL };
    struct span permission, action, text;

    if (!js_is(js, JS_OBJECT) || !js_get_str(js, "permission", &permission) ||
        !js_get_str(js, "action", &action))
        return refuse(a, "a rule of the ACL without permission and action");
    if (!js_object_each(js, is_known_member, NULL))
        return refuse(a, "a rule of the ACL with a condition that is not understood");
    rule.deny = span_eq_str(permission, "deny");
    if (!rule.deny && !span_eq_str(permission, "allow"))
        return refuse(a, "a rule of the ACL neither allows nor denies");
    if (!permissions_of(action, false, &rule.permissions))
        return refuse(a, "a rule of the ACL with an unknown action");
    if ((topic == NULL) == (topics == NULL))
        return refuse(a, "a rule of the ACL names its topics in no way or in two");
    if (topics != NULL)
        return take_topics(a, &rule, topics);
    if (!js_as_str(topic, &text))
        return refuse(a, "a topic of an ACL is no text");
    return take_topic(a, &rule, text);
}

static enum status take_acl(struct acl *a, const struct js *acl)
{
    struct visit visit = { a, ST_OK };
    enum status st = ST_OK;

    if (js_is(acl, JS_OBJECT)) {
        (void)js_object_each(acl, take_list, &visit);
        return visit.st;
    }
    if (!js_is(acl, JS_ARRAY))
        return refuse(a, "the ACL is neither an object nor a list");
    for (size_t i = 0; st == ST_OK && i < js_size(acl); i++)
        st = take_rule(a, js_at(acl, i));
    return st;
}

enum status claim_acl_scope(const struct claim_rules *rules, const struct js *claims, const struct js *acl,
                            struct scope **ret_scope, struct why *why)
{
    struct acl a = { .rules = rules, .claims = claims, .why = why };
    enum status st;

    arena_init(&a.text, SCOPE_MAX_BYTES);
    st = take_acl(&a, acl);
    if (st == ST_OK)
        st = scope_build(a.allowed.at, a.allowed.count, ret_scope, why);
    arena_done(&a.text);
    return st;
}
