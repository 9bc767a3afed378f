#include "as/admin_priv.h"
#include "as/policy.h"

static enum status put_permissions(struct js *obj, const char *name, unsigned permissions)
{
    struct js *list = js_new_array();
    enum status st = list == NULL ? ST_NO_MEMORY : ST_OK;

    if (st == ST_OK && (permissions & SCOPE_PUB) != 0)
        st = js_append_str(list, SPAN("pub"));
    if (st == ST_OK && (permissions & SCOPE_SUB) != 0)
        st = js_append_str(list, SPAN("sub"));
    if (st != ST_OK) {
        js_unref(list);
        return st;
    }
    return js_set_take(obj, name, list);
}

static enum status put_rule(const struct policy_rule *rule, struct js *obj)
{
    enum status st = js_set_i64(obj, "id", rule->id);

    if (st == ST_OK)
        st = js_set_str(obj, "effect", rule->allow ? SPAN("allow") : SPAN("deny"));
    if (st == ST_OK)
        st = js_set_str(obj, "subject", rule->subject);
    if (st == ST_OK)
        st = js_set_str(obj, "audience", rule->audience);
    if (st == ST_OK)
        st = js_set_str(obj, "filter", rule->filter);
    if (st == ST_OK)
        st = put_permissions(obj, "permissions", rule->permissions);
    if (st == ST_OK)
        st = js_set_i64(obj, "created_at", rule->created_at);
    return st;
}

static enum status read_permissions(struct admin *a, unsigned *ret)
{
    const struct js *list = js_get(a->in, "permissions");
    struct span name;

    *ret = 0;
    if (!js_is(list, JS_ARRAY))
        return reject(&a->why, ST_MALFORMED, "permissions", "must be an array of pub and sub", 0);
    for (size_t i = 0; i < js_size(list); i++) {
        if (!js_as_str(js_at(list, i), &name))
            name = SPAN_NONE;
        if (span_eq_str(name, "pub"))
            *ret |= SCOPE_PUB;
        else if (span_eq_str(name, "sub"))
            *ret |= SCOPE_SUB;
        else
            return reject(&a->why, ST_MALFORMED, "permissions", "must be an array of pub and sub", i);
    }
    return ST_OK;
}

/* A rule about something unknown would sit there unnoticed: the names have to exist. */
static enum status check_names(struct admin *a, const struct policy_rule *rule)
{
    struct resource_server rs;
    struct principal p;
    enum status st = registry_rs_by_audience(a->as->sql, rule->audience, &a->arena, &rs, &a->why);

    if (st == ST_OK && span_starts_with(rule->subject, SPAN("client:")))
        st = registry_client(a->as->sql, span_cut(rule->subject, 7, rule->subject.len), &a->arena, &p, &a->why);
    return st;
}

/* A rule that allows less than before: tokens of those it is about. */
static enum status review(struct admin *a, const char *cause, struct span subject, struct span audience)
{
    struct status_job job = { .cause = cause };
    struct resource_server rs;
    enum status st = registry_rs_by_audience(a->as->sql, audience, &a->arena, &rs, &a->why);

    if (st == ST_NOT_FOUND) /* so there are no tokens for it */
        return ST_OK;
    job.rs_id = rs.id;
    if (span_starts_with(subject, SPAN("client:")))
        job.client_id = span_cut(subject, 7, subject.len);
    else if (span_starts_with(subject, SPAN("group:")))
        job.group = span_cut(subject, 6, subject.len);
    if (st == ST_OK)
        st = admin_review(a, &job);
    return st == ST_OK ? admin_put_done(a, a->out, false) : st;
}

static enum status add_rule(struct admin *a, bool allow)
{
    struct policy_rule rule = { .allow = allow, .created_at = a->now.wall.s };
    struct js *obj;
    enum status st = admin_text(a, "subject", &rule.subject);

    a->subject = rule.subject;
    if (st == ST_OK)
        st = admin_text(a, "audience", &rule.audience);
    if (st == ST_OK)
        st = admin_text(a, "filter", &rule.filter);
    if (st == ST_OK)
        st = read_permissions(a, &rule.permissions);
    if (st == ST_OK)
        st = check_names(a, &rule);
    if (st == ST_OK)
        st = policy_add(a->as->sql, &rule, &rule.id, &a->why);
    if (st != ST_OK)
        return st;
    obj = js_new_object();
    st = put_rule(&rule, obj);
    if (st != ST_OK) {
        js_unref(obj);
        return reject(&a->why, st, "as admin", "the rule cannot be printed", 0);
    }
    st = js_set_take(a->out, "policy", obj);
    return st == ST_OK && !allow ? review(a, "policy.deny", rule.subject, rule.audience) : st;
}

enum status admin_policy_allow(struct admin *a)
{
    return add_rule(a, true);
}

enum status admin_policy_deny(struct admin *a)
{
    return add_rule(a, false);
}

struct removed {
    struct admin *a;
    int64_t id;
    bool allowed;
    struct span subject, audience; /* in the arena */
};

static enum status take_removed(void *ctx, const struct policy_rule *rule)
{
    struct removed *r = ctx;

    if (rule->id != r->id)
        return ST_OK;
    r->allowed = rule->allow;
    enum status st = admin_copy(r->a, rule->subject, &r->subject);
    return st == ST_OK ? admin_copy(r->a, rule->audience, &r->audience) : st;
}

enum status admin_policy_remove(struct admin *a)
{
    struct removed r = { .a = a };
    enum status st = admin_int(a, "id", 0, 1, INT64_MAX, &r.id);

    if (st == ST_OK)
        st = policy_each(a->as->sql, SPAN_NONE, SPAN_NONE, r.id - 1, 1, take_removed, &r, &a->why);
    if (st == ST_OK)
        st = policy_remove(a->as->sql, r.id, &a->why);
    return st == ST_OK && r.allowed ? review(a, "policy.remove", r.subject, r.audience) : st;
}

static enum status take_rule(void *ctx, const struct policy_rule *rule)
{
    struct admin_list *list = ctx;
    struct js *obj = js_new_object();
    enum status st = put_rule(rule, obj);
    struct buf id;

    if (st != ST_OK) {
        js_unref(obj);
        return st;
    }
    buf_init(&id, 32);
    put_fmt(&id, "%lld", (long long)rule->id);
    st = admin_list_take(list, obj, buf_span(&id));
    buf_done(&id);
    return st;
}

enum status admin_policy_list(struct admin *a)
{
    struct admin_list list;
    struct span subject, audience;
    int64_t after = 0;
    enum status st = admin_list_begin(a, &list);

    if (st == ST_OK)
        st = admin_text(a, "subject", &subject);
    if (st == ST_OK)
        st = admin_text(a, "audience", &audience);
    if (st == ST_OK)
        st = admin_after_number(a, &after);
    if (st == ST_OK)
        st = policy_each(a->as->sql, subject, audience, after, list.limit + 1, take_rule, &list, &a->why);
    return admin_list_end(&list, "policies", st);
}

enum status admin_put_policies_for(struct admin *a, struct span client_id)
{
    struct admin_list list = { .a = a, .rows = js_new_array(), .limit = INT64_MAX };
    enum status st = policy_each_for(a->as->sql, client_id, SPAN_NONE, take_rule, &list, &a->why);

    return admin_list_end(&list, "policies", st);
}

static enum status take_refused(void *ctx, struct topic_filter filter, unsigned permission, int64_t rule)
{
    struct js *obj = js_new_object();
    enum status st = js_set_str(obj, "filter", filter.s);

    if (st == ST_OK)
        st = js_set_str(obj, "permission", permission == SCOPE_PUB ? SPAN("pub") : SPAN("sub"));
    if (st == ST_OK)
        st = js_set_str(obj, "reason", rule == 0 ? SPAN("no allow") : SPAN("denied"));
    if (st == ST_OK && rule != 0)
        st = js_set_i64(obj, "policy", rule);
    if (st != ST_OK) {
        js_unref(obj);
        return st;
    }
    return js_append_take(ctx, obj);
}

enum status admin_policy_test(struct admin *a)
{
    CLEANUP(scope_unrefp)
    struct scope *requested = NULL, *granted = NULL;
    CLEANUP(js_unrefp)
    struct js *refused = js_new_array();
    struct policy_rule names = { 0 };
    struct span client_id;
    struct principal p;
    enum status st = admin_text(a, "client_id", &client_id);

    if (st == ST_OK)
        st = admin_text(a, "audience", &names.audience);
    if (st == ST_OK)
        st = registry_client(a->as->sql, client_id, &a->arena, &p, &a->why);
    if (st == ST_OK)
        st = check_names(a, &names);
    if (st == ST_OK && admin_has(a, "scope"))
        st = scope_from_claim(js_get(a->in, "scope"), &requested, &a->why);
    if (st == ST_OK)
        st = policy_grant(a->as->sql, client_id, names.audience, requested, &a->arena, &granted, take_refused,
                          refused, &a->why);
    if (st == ST_OK)
        st = js_set_take(a->out, "granted", scope_to_json(granted));
    return st == ST_OK ? js_set_take(a->out, "refused", TAKE(refused)) : st;
}
