#include "as/admin_priv.h"
#include "as/name_set.h"
#include "as/refresh.h"
#include "as/token_row.h"
#include "token/ace_cbor.h"

#define TOKENS_COUNTED_MAX 1000000

static enum status put_client(struct admin *a, const struct principal *p, struct js *obj)
{
    struct js *groups = NULL;
    enum status st = js_set_str(obj, "client_id", p->id);

    if (st == ST_OK)
        st = js_set_str(obj, "name", p->name);
    if (st == ST_OK)
        st = registry_groups(a->as->sql, p->id, &groups, &a->why);
    if (st == ST_OK)
        st = js_set_take(obj, "groups", groups);
    if (st == ST_OK)
        st = admin_set_auth(obj, p);
    if (st == ST_OK && p->jwk.len > 0)
        st = admin_set_json(obj, "jwk", p->jwk);
    if (st == ST_OK && p->x5t.len > 0)
        st = admin_set_base64url(obj, "x5t#S256", p->x5t);
    if (st == ST_OK && p->default_audience.len > 0)
        st = js_set_str(obj, "default_audience", p->default_audience);
    if (st == ST_OK && p->profiles != 0)
        st = js_set_take(obj, "profiles", name_set_to_js(ace_profile_name, p->profiles));
    if (st == ST_OK)
        st = js_set_bool(obj, "refresh", p->refresh);
    if (st == ST_OK)
        st = js_set_i64(obj, "created_at", p->created_at);
    return st;
}

static enum status client_object(struct admin *a, struct span id, struct js **ret_obj)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    struct principal p;
    enum status st = registry_client(a->as->sql, id, &a->arena, &p, &a->why);

    if (st == ST_OK)
        st = put_client(a, &p, obj);
    if (st == ST_OK)
        *ret_obj = TAKE(obj);
    return st;
}

static enum status answer_client(struct admin *a, struct span id)
{
    struct js *obj;
    enum status st = client_object(a, id, &obj);

    return st == ST_OK ? js_set_take(a->out, "client", obj) : st;
}

/* The client a command names; sets the audit's subject. */
static enum status named_client(struct admin *a, struct principal *ret)
{
    enum status st = admin_text(a, "client_id", &a->subject);

    return st == ST_OK ? registry_client(a->as->sql, a->subject, &a->arena, ret, &a->why) : st;
}

/* What its tokens may be like; absent members stay as they are. */
static enum status take_kinds(struct admin *a, struct principal *p)
{
    const struct js *profiles = js_get(a->in, "profiles");
    enum status st = admin_bool(a, "refresh", p->refresh, &p->refresh);

    if (st != ST_OK || profiles == NULL)
        return st;
    p->profiles = 0; /* null: any */
    return js_is(profiles, JS_NULL)
               ? ST_OK
               : name_set_from_js(ace_profile_name, profiles, "profiles", &p->profiles, &a->why);
}

enum status admin_client_add(struct admin *a)
{
    struct principal p = { .kind = PRINCIPAL_CLIENT, .created_at = a->now.wall.s };
    bool secret = false;
    enum status st = admin_text(a, "client_id", &p.id);

    a->subject = p.id;
    if (st == ST_OK)
        st = admin_text(a, "name", &p.name);
    if (st == ST_OK)
        st = admin_text(a, "default_audience", &p.default_audience);
    if (st == ST_OK)
        st = admin_jwk(a, "jwk", &p.jwk);
    if (st == ST_OK)
        st = admin_x5t(a, &p.x5t);
    if (st == ST_OK)
        st = take_kinds(a, &p);
    if (st == ST_OK)
        st = admin_bool(a, "secret", p.jwk.len == 0 && p.x5t.len == 0, &secret);
    if (st == ST_OK && secret)
        st = admin_new_secret(a, "client_secret", &p.secret_hash);
    if (st == ST_OK)
        st = registry_add_principal(a->as->sql, &p, &a->why);
    if (st == ST_OK)
        st = registry_set_groups(a->as->sql, p.id, js_get(a->in, "groups"), &a->why);
    return st == ST_OK ? answer_client(a, p.id) : st;
}

enum status admin_client_show(struct admin *a)
{
    struct principal p;
    int64_t tokens = 0;
    enum status st = named_client(a, &p);

    if (st == ST_OK)
        st = answer_client(a, p.id);
    if (st == ST_OK)
        st = token_row_count_client(a->as->sql, p.id, a->now.wall, TOKENS_COUNTED_MAX, &tokens, &a->why);
    if (st == ST_OK)
        st = js_set_i64(a->out, "tokens", tokens);
    return st == ST_OK ? admin_put_policies_for(a, p.id) : st;
}

static enum status take_client(void *ctx, struct span id)
{
    struct admin_list *list = ctx;
    struct js *obj;
    enum status st = client_object(list->a, id, &obj);

    return st == ST_OK ? admin_list_take(list, obj, id) : st;
}

enum status admin_client_list(struct admin *a)
{
    struct admin_list list;
    struct span group, after;
    enum status st = admin_list_begin(a, &list);

    if (st == ST_OK)
        st = admin_text(a, "group", &group);
    if (st == ST_OK)
        st = admin_text(a, "after", &after);
    if (st == ST_OK)
        st = registry_each(a->as->sql, PRINCIPAL_CLIENT, group, after, list.limit + 1, take_client, &list,
                           &a->why);
    return admin_list_end(&list, "clients", st);
}

static bool same_key(struct admin *a, struct span one, struct span other)
{
    CLEANUP(key_unrefp)
    struct key *x = NULL, *y = NULL;

    return registry_key(one, &a->arena, &x, NULL, NULL) == ST_OK &&
           registry_key(other, &a->arena, &y, NULL, NULL) == ST_OK && key_same(x, y);
}

/* What the old credential vouched for ends with it; what was said of groups is looked at again. */
static enum status review(struct admin *a, const struct principal *old, const struct principal *now)
{
    const struct status_job key = {
        .cause = "client.set", .revoke = true, .client_id = now->id, .bound = STATUS_BOUND_KEY, .jwk = old->jwk
    };
    const struct status_job certificate = { .cause = "client.set",
                                            .revoke = true,
                                            .client_id = now->id,
                                            .bound = STATUS_BOUND_OTHER,
                                            .jwk = now->jwk };
    const struct status_job groups = { .cause = "client.set", .client_id = now->id };
    enum status st = ST_OK;

    if (old->jwk.len > 0 && (now->jwk.len == 0 || !same_key(a, old->jwk, now->jwk)))
        st = admin_review(a, &key);
    /* Of a certificate only the thumbprint is known, so tokens for its key are those not for the other key. */
    if (st == ST_OK && old->x5t.len > 0 && !span_eq(old->x5t, now->x5t))
        st = admin_review(a, &certificate);
    if (st == ST_OK && admin_has(a, "groups"))
        st = admin_review(a, &groups);
    return st == ST_OK ? admin_put_done(a, a->out, false) : st;
}

enum status admin_client_set(struct admin *a)
{
    struct principal p = { 0 }, old;
    enum status st = named_client(a, &p);

    old = p;
    if (st == ST_OK && admin_has(a, "name"))
        st = admin_text(a, "name", &p.name);
    if (st == ST_OK && admin_has(a, "default_audience"))
        st = admin_text(a, "default_audience", &p.default_audience);
    if (st == ST_OK && admin_has(a, "jwk"))
        st = admin_jwk(a, "jwk", &p.jwk);
    if (st == ST_OK && (admin_has(a, "certificate") || admin_has(a, "x5t#S256")))
        st = admin_x5t(a, &p.x5t);
    if (st == ST_OK)
        st = take_kinds(a, &p);
    if (st == ST_OK)
        st = registry_set_principal(a->as->sql, &p, &a->why);
    if (st == ST_OK && (admin_has(a, "jwk") || admin_has(a, "certificate") || admin_has(a, "x5t#S256")))
        st = refresh_forget(a->as->sql, p.id, SPAN_NONE, &a->why); /* the old key must not go on */
    if (st == ST_OK && admin_has(a, "groups"))
        st = registry_set_groups(a->as->sql, p.id, js_get(a->in, "groups"), &a->why);
    if (st == ST_OK)
        st = review(a, &old, &p);
    return st == ST_OK ? answer_client(a, p.id) : st;
}

enum status admin_client_rotate_secret(struct admin *a)
{
    struct principal p;
    enum status st = named_client(a, &p);

    if (st == ST_OK)
        st = admin_new_secret(a, "client_secret", &p.secret_hash);
    if (st == ST_OK)
        st = registry_set_principal(a->as->sql, &p, &a->why);
    return st == ST_OK ? answer_client(a, p.id) : st;
}

enum status admin_client_remove(struct admin *a)
{
    struct principal p;
    enum status st = named_client(a, &p);
    const struct status_job all = { .cause = "client.remove", .revoke = true, .client_id = a->subject };

    if (st == ST_OK)
        st = registry_remove_client(a->as->sql, p.id, &a->why);
    if (st == ST_OK)
        st = admin_review(a, &all);
    return st == ST_OK ? admin_put_done(a, a->out, true) : st;
}
