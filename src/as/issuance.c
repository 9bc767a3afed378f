/* The token endpoint: RFC 6749 4.4, RFC 9200 5.8, RFC 9201, RFC 9431 2.1. Checks run in the order a client would
 * mend them: who, which grant, which profile, for whom, what, with which key. */
#include "as/client_auth.h"
#include "as/params.h"
#include "as/policy.h"
#include "as/req_cnf.h"
#include "as/token_row.h"
#include "codec/base64.h"
#include "jose/jwk.h"
#include "token/claims.h"
#include "token/token.h"

#define CNONCE_MAX 64
#define JTI_BYTES  16
#define TOKEN_MAX  (64 * 1024)
/* Rows a client may have for each live token allowed to it: whoever revokes at once what it just got must not fill
 * everybody's table. */
#define KEPT_PER_LIVE 4

/* How the scope came is how it goes back (D-20). */
enum carriage { CARRIED_BASE64URL, CARRIED_ARRAY, CARRIED_TEXT };

struct grant {
    struct auth auth;
    struct resource_server rs;
    struct scope *scope;
    enum carriage carriage;
    struct pop pop;
    struct span cnonce; /* as sent, base64url */
    struct buf cnonce_bytes;
    struct buf jti;
    struct buf token;
    struct key *shared; /* AS-RS key, if the token has to be encrypted */
};

static void grant_done(struct grant *g)
{
    auth_done(&g->auth);
    scope_unref(g->scope);
    pop_done(&g->pop);
    buf_done(&g->cnonce_bytes);
    buf_done(&g->jti);
    buf_wipe(&g->token);
    key_unref(g->shared);
}

static enum status check_grant_type(struct call *call, const struct js *params, const struct auth *auth)
{
    struct span grant_type;
    enum status st = params_text(params, "grant_type", &grant_type, &call->why);

    if (st != ST_OK)
        return st;
    if (grant_type.len > 0 && !span_eq_str(grant_type, "client_credentials")) /* absent: AF-21 */
        return reject(&call->why, ST_BAD_GRANT_TYPE, "AF-21", "the only grant type here is client_credentials",
                      0);
    if (auth->principal.kind != PRINCIPAL_CLIENT)
        return reject(&call->why, ST_UNAUTHORIZED_CLIENT, "RFC 6749 5.2", "a resource server gets no tokens",
                      0);
    return ST_OK;
}

/* Absent, empty or null (a question: AF-24), "mqtt_tls", or its number as text or integer (D-7). */
static enum status check_profile(struct call *call, const struct js *params)
{
    const struct js *value = js_get(params, "ace_profile");
    struct span text;
    int64_t number;

    if (value == NULL || js_is(value, JS_NULL))
        return ST_OK;
    if (js_as_i64(value, &number) && number == ACE_PROFILE_MQTT_TLS_CBOR)
        return ST_OK;
    if (js_as_str(value, &text) &&
        (text.len == 0 || span_eq_str(text, ACE_PROFILE_MQTT_TLS) || span_eq_str(text, "3")))
        return ST_OK;
    return reject(&call->why, ST_BAD_PROFILE, "AF-53", "the only profile here is mqtt_tls", 0);
}

static enum status find_rs(struct call *call, const struct js *params, struct grant *g)
{
    const struct js *value = js_get(params, "audience");
    struct span audience = SPAN_NONE;
    enum status st;

    if (js_is(value, JS_ARRAY) && js_size(value) == 1)
        value = js_at(value, 0);
    if (value != NULL && !js_is(value, JS_NULL) && !js_as_str(value, &audience))
        return reject(&call->why, ST_MALFORMED, "AF-22", "audience must name one resource server", 0);
    if (audience.len == 0)
        audience = g->auth.principal.default_audience;
    if (audience.len == 0) {
        st = registry_rs_only(call->as->sql, &call->arena, &g->rs, &call->why);
        if (st == ST_NOT_FOUND)
            return reject(&call->why, ST_MALFORMED, "AF-22", "audience is missing", 0);
        return st;
    }
    st = registry_rs_by_audience(call->as->sql, audience, &call->arena, &g->rs, &call->why);
    if (st == ST_NOT_FOUND)
        return reject(&call->why, ST_MALFORMED, "AF-22", "no resource server has this audience", 0);
    return st;
}

static enum status find_scope(struct call *call, const struct js *params, struct grant *g)
{
    const struct js *value = js_get(params, "scope");
    CLEANUP(scope_unrefp)
    struct scope *requested = NULL;
    struct span text = SPAN_NONE;
    enum status st = ST_OK;

    if (js_is(value, JS_ARRAY))
        g->carriage = CARRIED_ARRAY;
    else if (js_as_str(value, &text) && text.len > 0 && text.p[0] == '[')
        g->carriage = CARRIED_TEXT;
    bool given = value != NULL && !js_is(value, JS_NULL) && !(js_is(value, JS_STRING) && text.len == 0);
    if (given)
        st = scope_from_claim(value, &requested, &call->why);
    if (st != ST_OK) /* keeps the reason; invalid_scope on the wire */
        return st == ST_NO_MEMORY ? st : ST_BAD_SCOPE;
    st = policy_grant(call->as->sql, g->auth.principal.id, g->rs.audience, requested, &call->arena, &g->scope,
                      NULL, NULL, &call->why);
    if (st != ST_OK)
        return st == ST_NO_MEMORY || st == ST_IO ? st : ST_BAD_SCOPE;
    /* Asking for [] is asking to be let in with public topics only (MT-83); anything else must give something. */
    if (scope_is_empty(g->scope) && (requested == NULL || !scope_is_empty(requested)))
        return reject(&call->why, ST_BAD_SCOPE, "as policy", "no part of the scope is allowed to this client",
                      0);
    return ST_OK;
}

static enum status find_cnonce(struct call *call, const struct js *params, struct grant *g)
{
    enum status st = params_text(params, "cnonce", &g->cnonce, &call->why);

    if (st != ST_OK || g->cnonce.len == 0)
        return st;
    if (base64url_decode(g->cnonce, &g->cnonce_bytes, NULL) != ST_OK)
        return reject(&call->why, ST_MALFORMED, "AF-19", "cnonce is not base64url of at most 64 bytes", 0);
    return ST_OK;
}

static enum status check_room(struct call *call, const struct grant *g)
{
    const struct as *as = call->as;
    int64_t live = 0, kept = 0, live_max = as->settings->token_max_per_client;

    if (as->tokens >= as->settings->token_max)
        return reject(&call->why, ST_QUOTA, "token.max", "too many live tokens", 0);
    enum status st =
        token_row_count_client(as->sql, g->auth.principal.id, call->now.wall, live_max, &live, &call->why);
    if (st == ST_OK && live >= live_max)
        return reject(&call->why, ST_QUOTA, "token.max_per_client", "this client has too many live tokens", 0);
    if (st == ST_OK && as->tokens >= as->settings->token_max / 2) /* before that it hurts nobody */
        st = token_row_count_kept(as->sql, g->auth.principal.id, live_max * KEPT_PER_LIVE, &kept, &call->why);
    if (st == ST_OK && kept >= live_max * KEPT_PER_LIVE)
        return reject(&call->why, ST_QUOTA, "token.max_per_client", "this client revoked too many tokens", 0);
    return st;
}

static enum status make_jti(struct call *call, struct grant *g)
{
    uint64_t sequence = 0;

    if (!g->rs.exi)
        return as_random_text(call->as, JTI_BYTES, &g->jti, &call->why);
    enum status st = registry_next_exi(call->as->sql, g->rs.id, &sequence, &call->why);
    if (st == ST_OK)
        st = token_exi_jti_write(g->rs.id, sequence, &g->jti); /* AF-76 */
    return st == ST_OK ? st : reject(&call->why, st, "AF-76", "no sequence number for an exi token", 0);
}

static enum status make_token(struct call *call, struct grant *g)
{
    struct as *as = call->as;
    struct wall_time now = call->now.wall;
    const struct token_claims claims = {
        .iss = span_of_str(as->issuer),
        .sub = g->auth.principal.id,
        .client_id = g->auth.principal.id,
        .aud = g->rs.audience,
        .jti = buf_span(&g->jti),
        .has_exp = !g->rs.exi,
        .exp = { now.s + g->rs.lifetime_s },
        .has_exi = g->rs.exi,
        .exi_s = g->rs.lifetime_s,
        .has_iat = !g->rs.exi, /* whoever needs exi has no calendar to check it with */
        .iat = now,
        .scope = g->scope,
        .cnf = g->pop.key,
        .cnf_kid = g->pop.kid,
        .cnonce = buf_span(&g->cnonce_bytes),
    };
    enum status st;

    if (g->rs.format == RS_REFERENCE)
        return as_random_text(as, SECRET_BYTES, &g->token, &call->why);
    if (!g->pop.symmetric)
        return as->signer->ops->issue(as->signer, &claims, &g->token, &call->why);
    /* MT-14. The key AS and RS share authenticates the issuer too (TK-22). */
    st = key_new_secret(g->rs.secret_key, &g->shared, &call->why);
    if (st != ST_OK)
        return st;
    return token_issue_jwe(&claims, NULL, SPAN_NONE, g->shared, g->rs.secret_kid, &g->token, &call->why);
}

static enum status keep_row(struct call *call, struct grant *g)
{
    CLEANUP(js_unrefp)
    struct js *jwk = NULL;
    uint8_t hash[SHA256_LEN];
    struct buf scope, cnf;
    enum status st = sha256(buf_span(&g->token), hash);

    buf_init(&scope, SCOPE_MAX_BYTES * 2);
    buf_init(&cnf, AS_BODY_MAX);
    if (st == ST_OK)
        st = scope_to_text(g->scope, &scope);
    if (st == ST_OK && !g->pop.symmetric)
        st = jwk_print(g->pop.key, SPAN_NONE, NULL, false, &jwk);
    if (st == ST_OK && jwk != NULL)
        st = js_print(jwk, &cnf);
    if (st != ST_OK) {
        st = reject(&call->why, st, "as issuance", "the token cannot be recorded", 0);
    } else {
        struct token_row row = {
            .jti = buf_span(&g->jti),
            .hash = span_of(hash, sizeof hash),
            .client_id = g->auth.principal.id,
            .rs_id = g->rs.id,
            .audience = g->rs.audience,
            .format = span_of_str(rs_format_name(g->rs.format)),
            .scope = buf_span(&scope),
            .cnf = buf_span(&cnf),
            .pop_kid = g->pop.kid,
            .cnonce = g->cnonce,
            .profile = SPAN(ACE_PROFILE_MQTT_TLS),
            .exi_s = g->rs.exi ? g->rs.lifetime_s : 0,
            .issued_at = call->now.wall.s,
            .expires_at = call->now.wall.s + g->rs.lifetime_s + (g->rs.exi ? TOKEN_EXI_KEEP_S : 0),
        };
        st = token_row_add(call->as->sql, &row, &call->why);
    }
    buf_done(&scope);
    buf_done(&cnf);
    return st;
}

/* A token that was answered is a row that was committed. */
static enum status issue(struct call *call, struct grant *g)
{
    struct sql *sql = call->as->sql;
    enum status st = check_room(call, g);

    if (st == ST_OK)
        st = sql_begin(sql, &call->why);
    if (st != ST_OK)
        return st;
    st = make_jti(call, g);
    if (st == ST_OK)
        st = make_token(call, g);
    if (st == ST_OK)
        st = keep_row(call, g);
    if (st == ST_OK)
        st = sql_commit(sql, &call->why);
    if (st != ST_OK) {
        sql_rollback(sql);
        return st;
    }
    call->as->tokens++;
    return ST_OK;
}

static enum status set_scope(struct js *body, const struct grant *g)
{
    struct buf text;
    enum status st;

    if (g->carriage == CARRIED_ARRAY)
        return js_set_take(body, "scope", scope_to_json(g->scope));
    buf_init(&text, SCOPE_MAX_BYTES * 2);
    st = g->carriage == CARRIED_TEXT ? scope_to_text(g->scope, &text) : scope_to_claim(g->scope, &text);
    if (st == ST_OK)
        st = js_set_str(body, "scope", buf_span(&text));
    buf_done(&text);
    return st;
}

/* AF-43: the key, if the client does not have it already. */
static enum status set_cnf(struct js *body, const struct grant *g)
{
    struct js *cnf, *jwk = NULL;

    if (!g->pop.made_here)
        return ST_OK;
    enum status st = jwk_print(g->pop.key, g->pop.kid, "HS256", false, &jwk);
    if (st != ST_OK)
        return st;
    cnf = js_new_object();
    st = js_set_take(cnf, "jwk", jwk);
    if (st != ST_OK) {
        js_unref(cnf);
        return st;
    }
    return js_set_take(body, "cnf", cnf);
}

/* AF-44: only with asymmetric keys. A thumbprint, if there is a certificate, else the key (MT-26). */
static enum status set_rs_cnf(struct js *body, const struct grant *g)
{
    CLEANUP(js_unrefp)
    struct js *cnf = NULL;
    struct js *jwk = NULL;
    struct buf x5t;
    enum status st;

    if (g->pop.symmetric || (g->rs.rs_x5t.len == 0 && g->rs.rs_jwk.len == 0))
        return ST_OK;
    cnf = js_new_object();
    if (g->rs.rs_x5t.len > 0) {
        buf_init(&x5t, 64);
        base64url_encode(g->rs.rs_x5t, &x5t);
        st = js_set_str(cnf, "x5t#S256", buf_span(&x5t));
        buf_done(&x5t);
    } else {
        st = js_parse(g->rs.rs_jwk, AS_BODY_MAX, &jwk, NULL);
        if (st == ST_OK)
            st = js_set_take(cnf, "jwk", jwk);
    }
    return st == ST_OK ? js_set_take(body, "rs_cnf", TAKE(cnf)) : st;
}

static enum status answer(struct call *call, const struct grant *g)
{
    CLEANUP(js_unrefp)
    struct js *body = js_new_object();
    enum status st = js_set_str(body, "access_token", buf_span(&g->token));

    if (st == ST_OK)
        st = js_set_str(body, "token_type", SPAN("PoP")); /* AF-37 */
    if (st == ST_OK)
        st = js_set_i64(body, "expires_in", g->rs.lifetime_s);
    if (st == ST_OK)
        st = set_scope(body, g);
    if (st == ST_OK)
        st = set_cnf(body, g);
    if (st == ST_OK)
        st = set_rs_cnf(body, g);
    if (st == ST_OK)
        st = js_set_str(body, "ace_profile", SPAN(ACE_PROFILE_MQTT_TLS)); /* AF-24, MT-11 */
    if (st != ST_OK)
        return reject(&call->why, st, "as issuance", "the answer cannot be printed", 0);
    return call_reply(call, 200, body);
}

static enum status run(struct call *call, const struct js *params, struct grant *g)
{
    enum status st = client_auth(call, params, &g->auth);

    if (st == ST_OK)
        st = check_grant_type(call, params, &g->auth);
    if (st == ST_OK)
        st = check_profile(call, params);
    if (st == ST_OK)
        st = find_rs(call, params, g);
    if (st == ST_OK)
        st = find_scope(call, params, g);
    if (st == ST_OK)
        st = find_cnonce(call, params, g);
    if (st == ST_OK)
        st = req_cnf(call, params, &g->auth, &g->rs, &g->pop);
    if (st == ST_OK)
        st = issue(call, g);
    if (st == ST_OK)
        st = answer(call, g);
    return st;
}

enum status token_call(struct call *call)
{
    CLEANUP(js_unrefp)
    struct js *params = NULL;
    struct grant g = { 0 };
    enum status st = params_parse(call->request->content_type, call->request->body, &params, &call->why);

    if (st != ST_OK)
        return st;
    buf_init(&g.cnonce_bytes, CNONCE_MAX);
    buf_init(&g.jti, 512);
    buf_init(&g.token, TOKEN_MAX);
    st = run(call, params, &g);
    if (st == ST_OK)
        log_event(NULL, LOG_INFO, "token_issued", F_SPAN("client_id", g.auth.principal.id),
                  F_SPAN("audience", g.rs.audience), F_SPAN("jti", buf_span(&g.jti)),
                  F_STR("auth", auth_method_name(g.auth.method)),
                  F_STR("cnf", key_kind_name(key_kind(g.pop.key))), F_I64("lifetime_s", g.rs.lifetime_s));
    grant_done(&g);
    return st;
}
