/* Introspection for resource servers: RFC 7662, RFC 9200 5.9 (AF-80 to AF-85), RFC 9201 4 (AF-45). */
#include "as/client_auth.h"
#include "as/params.h"
#include "as/pop_key.h"
#include "as/token_row.h"
#include "codec/base64.h"
#include "token/claims.h"

#define CNONCE_MAX 64

/* Whatever is not a live token of the asker's own is "not active", and nothing more is said (AF-83, AF-85). */
static enum status answer_inactive(struct call *call)
{
    CLEANUP(js_unrefp)
    struct js *body = js_new_object();

    if (js_set_bool(body, "active", false) != ST_OK)
        return reject(&call->why, ST_NO_MEMORY, "as introspection", "out of memory", 0);
    return call_reply(call, 200, body);
}

static enum status pop_key_of(struct call *call, const struct token_row *row, struct key **ret_key)
{
    if (row->cnf_x5t.len > 0)
        return ST_OK;
    if (row->pop_kid.len > 0)
        return pop_key_derive(call->as->pop_master, row->pop_kid, ret_key, &call->why);
    return registry_key(row->cnf, &call->arena, ret_key, NULL, &call->why);
}

static enum status answer_active(struct call *call, const struct token_row *row)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    CLEANUP(key_unrefp)
    struct key *cnf = NULL;
    CLEANUP(js_unrefp)
    struct js *body = NULL;
    struct buf cnonce;
    enum status st = scope_from_text(row->scope, &scope, &call->why);

    if (st == ST_OK)
        st = pop_key_of(call, row, &cnf);
    if (st != ST_OK)
        return reject(&call->why, ST_INTERNAL, "as introspection", "the token's row cannot be read", 0);
    buf_init(&cnonce, CNONCE_MAX);
    if (row->cnonce.len > 0)
        st = base64url_decode(row->cnonce, &cnonce, &call->why);
    const struct token_claims claims = {
        .iss = span_of_str(call->as->issuer),
        .sub = row->client_id,
        .client_id = row->client_id,
        .aud = row->audience,
        .jti = row->jti,
        .has_exp = row->exi_s == 0,
        .exp = { row->expires_at },
        .has_exi = row->exi_s > 0,
        .exi_s = row->exi_s,
        .has_iat = row->exi_s == 0,
        .iat = { row->issued_at },
        .scope = scope,
        .cnf = cnf,
        .cnf_kid = row->pop_kid,
        .cnf_x5t = row->cnf_x5t,
        .cnonce = buf_span(&cnonce),
    };
    if (st == ST_OK)
        st = token_introspection_js(&claims, &body);
    if (st == ST_OK)
        st = js_set_str(body, "ace_profile", row->profile);
    buf_done(&cnonce);
    if (st != ST_OK)
        return reject(&call->why, st, "as introspection", "the answer cannot be printed", 0);
    return call_reply(call, 200, body);
}

static enum status answer_token(struct call *call, struct span token, const struct principal *asker)
{
    struct token_row row;
    enum status st = token_row_of(call->as->sql, token, call->now.wall, &call->arena, &row, &call->why);

    if (st == ST_NOT_FOUND || (st == ST_OK && !span_eq(row.rs_id, asker->id)))
        return answer_inactive(call);
    return st == ST_OK ? answer_active(call, &row) : st;
}

enum status introspect_call(struct call *call)
{
    CLEANUP(js_unrefp)
    struct js *params = NULL;
    struct auth auth = { 0 };
    struct span token;
    enum status st = call_params(call, ACE_INTROSPECTION_REQUEST, ACE_INTROSPECTION_RESPONSE, &params);

    if (st != ST_OK)
        return st;
    st = client_auth(call, params, &auth);
    if (st == ST_OK && auth.principal.kind != PRINCIPAL_RS)
        st = reject(&call->why, ST_DENIED, "AF-82", "only resource servers may introspect", 0);
    if (st == ST_OK)
        st = params_text(params, "token", &token, &call->why);
    if (st == ST_OK && token.len == 0)
        st = reject(&call->why, ST_MALFORMED, "RFC 7662 2.1", "token is missing", 0);
    if (st == ST_OK)
        st = answer_token(call, token, &auth.principal);
    auth_done(&auth);
    return st;
}
