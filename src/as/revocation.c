/* Revocation by the client that got the token: RFC 7009. What the resource server sees of it: introspection answers
 * "not active" from now on, and the token is on its list (status_http.c); where nobody asks for either, self-contained
 * tokens live to their end. */
#include "as/client_auth.h"
#include "as/params.h"
#include "as/refresh.h"
#include "as/token_row.h"

/* With what is told of it, or not at all. */
static enum status revoke_row(struct call *call, const struct token_row *row)
{
    struct sql *sql = call->as->sql;
    int64_t revoked = 0;
    enum status st = sql_begin(sql, &call->why);

    if (st == ST_OK)
        st = token_row_revoke(sql, row->jti, call->now.wall, &revoked, &call->why);
    if (st == ST_OK)
        st = sql_commit(sql, &call->why);
    if (st != ST_OK)
        sql_rollback(sql);
    return st;
}

static enum status revoke(struct call *call, struct span token, const struct principal *client)
{
    struct token_row row;
    enum status st = token_row_of(call->as->sql, token, call->now.wall, &call->arena, &row, &call->why);

    if (st == ST_NOT_FOUND) /* a refresh token, or nothing; also when it was revoked before: RFC 7009 2.2 */
        return refresh_give_up(call, token, client->id);
    if (st == ST_OK && !span_eq(row.client_id, client->id))
        return reject(&call->why, ST_UNAUTHORIZED_CLIENT, "RFC 7009 2.1",
                      "the token was issued to another client", 0);
    if (st == ST_OK)
        st = revoke_row(call, &row);
    if (st == ST_OK)
        log_event(NULL, LOG_NOTICE, "token_revoked", F_SPAN("client_id", client->id), F_SPAN("jti", row.jti),
                  F_SPAN("audience", row.audience));
    return st;
}

enum status revoke_call(struct call *call)
{
    CLEANUP(js_unrefp)
    struct js *params = NULL;
    struct auth auth = { 0 };
    struct span token;
    enum status st = call_params(call, ACE_INTROSPECTION_REQUEST, ACE_TOKEN_RESPONSE, &params);

    if (st != ST_OK)
        return st;
    st = client_auth(call, params, &auth);
    if (st == ST_OK)
        st = params_text(params, "token", &token, &call->why);
    if (st == ST_OK && token.len == 0)
        st = reject(&call->why, ST_MALFORMED, "RFC 7009 2.1", "token is missing", 0);
    if (st == ST_OK)
        st = revoke(call, token, &auth.principal);
    if (st == ST_OK)
        call->out->code = 200; /* empty body */
    auth_done(&auth);
    return st;
}
