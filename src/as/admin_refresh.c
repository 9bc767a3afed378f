/* Refresh tokens: their families, and the end of them. */
#include "as/admin_priv.h"
#include "as/refresh.h"
#include "as/token_row.h"

static enum status family_object(const struct refresh *r, struct js *obj)
{
    enum status st = js_set_str(obj, "family", r->family);

    if (st == ST_OK)
        st = js_set_str(obj, "client_id", r->client_id);
    if (st == ST_OK)
        st = js_set_str(obj, "rs_id", r->rs_id);
    if (st == ST_OK)
        st = js_set_str(obj, "ace_profile", r->profile);
    if (st == ST_OK)
        st = admin_set_json(obj, "scope", r->scope);
    if (st == ST_OK)
        st = js_set_str(obj, "bound_to",
                        r->pop_kid.len > 0   ? SPAN("symmetric")
                        : r->cnf_x5t.len > 0 ? SPAN("x5t")
                                             : SPAN("jwk"));
    if (st == ST_OK)
        st = js_set_i64(obj, "created_at", r->created_at);
    if (st == ST_OK)
        st = js_set_i64(obj, "used_at", r->used_at);
    if (st == ST_OK)
        st = js_set_i64(obj, "uses", r->uses);
    return st == ST_OK ? js_set_i64(obj, "expires_at", r->expires_at) : st;
}

static enum status take_family(void *ctx, const struct refresh *r)
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    enum status st = family_object(r, obj);

    return st == ST_OK ? admin_list_take(ctx, TAKE(obj), r->family) : st;
}

enum status admin_refresh_list(struct admin *a)
{
    struct admin_list list;
    struct span client_id, after;
    enum status st = admin_list_begin(a, &list);

    if (st == ST_OK)
        st = admin_text(a, "client_id", &client_id);
    if (st == ST_OK)
        st = admin_text(a, "after", &after);
    if (st == ST_OK)
        st = refresh_each(a->as->sql, client_id, after, a->now.wall, list.limit + 1, take_family, &list,
                          &a->why);
    return admin_list_end(&list, "families", st);
}

enum status admin_refresh_revoke(struct admin *a)
{
    int64_t tokens = 0;
    enum status st = admin_text(a, "family", &a->subject);

    if (st == ST_OK)
        st = refresh_revoke(a->as->sql, a->subject, a->now.wall, &tokens, &a->why);
    return st == ST_OK ? js_set_i64(a->out, "tokens_revoked", tokens) : st;
}
