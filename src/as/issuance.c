/* The token endpoint: RFC 6749 4.4 and 6, RFC 9200 5.8, RFC 9201, RFC 9431 2.1. Checks run in the order a client would
 * mend them: who, which grant, for whom, which profile, what, with which key. */
#include "as/grant.h"
#include "as/params.h"
#include "as/policy.h"
#include "codec/base64.h"
#include "jose/jwk.h"
#include "token/claims.h"

#define CNONCE_MAX        64
#define TOKEN_MAX         (64 * 1024)
#define REFRESH_TOKEN_MAX 256

/* Absent: AF-21. A number that names no grant type came in CBOR. */
static enum status check_grant_type(struct call *call, const struct js *params, struct grant *g)
{
    const struct js *value = js_get(params, "grant_type");
    struct span grant_type = SPAN_NONE;
    enum status st = js_is(value, JS_INTEGER) && call->media == MEDIA_ACE_CBOR
                         ? ST_BAD_GRANT_TYPE
                         : params_text(params, "grant_type", &grant_type, &call->why);

    if (st == ST_MALFORMED)
        return st;
    g->refreshing = span_eq_str(grant_type, "refresh_token");
    if (st != ST_OK || (grant_type.len > 0 && !g->refreshing && !span_eq_str(grant_type, "client_credentials")))
        return reject(&call->why, ST_BAD_GRANT_TYPE, "AF-21",
                      "the grant types here are client_credentials and refresh_token", 0);
    if (g->auth.principal.kind != PRINCIPAL_CLIENT)
        return reject(&call->why, ST_UNAUTHORIZED_CLIENT, "RFC 6749 5.2", "a resource server gets no tokens",
                      0);
    return ST_OK;
}

static bool is_decimal(struct span text, int64_t *ret)
{
    *ret = 0;
    if (text.len == 0 || text.len > 3)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        *ret = *ret * 10 + (text.p[i] - '0');
    }
    return true;
}

/* The profiles a request would have: all, if it does not say (absent) or asks (empty or null: AF-24); else the one it
 * names, by its name or by its number as an integer or as text (D-7). */
static unsigned wanted_profiles(const struct js *value)
{
    struct span text;
    int64_t number = -1;

    if (value == NULL || js_is(value, JS_NULL) || (js_as_str(value, &text) && text.len == 0))
        return UINT32_MAX;
    if (!js_as_i64(value, &number) && js_as_str(value, &text) && !is_decimal(text, &number))
        number = ace_profile_number(text);
    return number >= 0 && number < 32 ? IN(number) : 0;
}

/* One that resource server, client and request have in common: ours if it is among them, else the first. */
static enum status find_profile(struct call *call, const struct js *params, struct grant *g)
{
    unsigned client = g->auth.principal.profiles != 0 ? g->auth.principal.profiles : UINT32_MAX;
    unsigned common = g->rs.profiles & client & wanted_profiles(js_get(params, "ace_profile"));

    if (common == 0)
        return reject(&call->why, ST_BAD_PROFILE, "AF-53",
                      "no profile that the resource server, the client and the request have in common", 0);
    for (g->profile = ACE_PROFILE_MQTT_TLS_CBOR; (common & IN(g->profile)) == 0;)
        g->profile = (g->profile + 1) % 32;
    return ST_OK;
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

static enum status read_scope(struct call *call, const struct js *params, struct grant *g,
                              struct scope **ret_requested)
{
    const struct js *value = js_get(params, "scope");
    struct span text = SPAN_NONE;
    enum status st = ST_OK;

    if (js_is(value, JS_ARRAY))
        g->carriage = CARRIED_ARRAY;
    else if (js_as_str(value, &text) && text.len > 0 && text.p[0] == '[')
        g->carriage = CARRIED_TEXT;
    bool given = value != NULL && !js_is(value, JS_NULL) && !(js_is(value, JS_STRING) && text.len == 0);
    if (given)
        st = scope_from_claim(value, ret_requested, &call->why);
    if (st != ST_OK) /* keeps the reason; invalid_scope on the wire */
        return st == ST_NO_MEMORY ? st : ST_BAD_SCOPE;
    if (*ret_requested != NULL && g->ceiling != NULL && !scope_covers(g->ceiling, *ret_requested))
        return reject(&call->why, ST_BAD_SCOPE, "RFC 6749 6", "more than the refresh token was given for", 0);
    if (*ret_requested == NULL && g->ceiling != NULL)
        *ret_requested = scope_ref(g->ceiling);
    return ST_OK;
}

static enum status find_scope(struct call *call, const struct js *params, struct grant *g)
{
    CLEANUP(scope_unrefp)
    struct scope *requested = NULL;
    enum status st = read_scope(call, params, g, &requested);

    if (st != ST_OK)
        return st;
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
    st = base64url_decode(g->cnonce, &g->cnonce_bytes, NULL);
    if (st == ST_NO_MEMORY)
        return reject(&call->why, st, "AF-19", "out of memory", 0);
    if (st != ST_OK)
        return reject(&call->why, ST_MALFORMED, "AF-19", "cnonce is not base64url of at most 64 bytes", 0);
    return ST_OK;
}

/* ---- refreshing ---- */

/* AF-29: the audience cannot change; it may be said again. */
static enum status check_same_audience(struct call *call, const struct js *params, const struct grant *g)
{
    const struct js *value = js_get(params, "audience");
    struct span audience;

    if (js_is(value, JS_ARRAY) && js_size(value) == 1)
        value = js_at(value, 0);
    if (value == NULL || js_is(value, JS_NULL) ||
        (js_as_str(value, &audience) && span_eq(audience, g->rs.audience)))
        return ST_OK;
    return reject(&call->why, ST_MALFORMED, "AF-29", "a refresh token is for the audience it was given for", 0);
}

static enum status open_family(struct call *call, const struct js *params, struct grant *g)
{
    struct span token;
    int64_t profile;
    enum status st = params_text(params, "refresh_token", &token, &call->why);

    if (st == ST_OK && token.len == 0)
        st = reject(&call->why, ST_MALFORMED, "RFC 6749 6", "refresh_token is missing", 0);
    if (st == ST_OK)
        st = refresh_open(call, token, g->auth.principal.id, &g->refresh);
    if (st == ST_OK)
        st = registry_rs(call->as->sql, g->refresh.rs_id, &call->arena, &g->rs, &call->why);
    if (st == ST_OK)
        st = scope_from_text(g->refresh.scope, &g->ceiling, &call->why);
    if (st != ST_OK)
        return st;
    if (!g->auth.principal.refresh && !g->rs.refresh)
        return reject(&call->why, ST_BAD_GRANT, "RFC 6749 5.2", "refresh tokens are no longer allowed here", 0);
    profile = ace_profile_number(g->refresh.profile);
    if (profile < 0 || (wanted_profiles(js_get(params, "ace_profile")) & g->rs.profiles & IN(profile)) == 0)
        return reject(&call->why, ST_BAD_PROFILE, "AF-53", "not the profile the refresh token was given for",
                      0);
    g->profile = (unsigned)profile;
    return check_same_audience(call, params, g);
}

static enum status find_target(struct call *call, const struct js *params, struct grant *g)
{
    if (g->refreshing)
        return open_family(call, params, g);
    enum status st = find_rs(call, params, g);
    return st == ST_OK ? find_profile(call, params, g) : st;
}

static enum status find_key(struct call *call, const struct js *params, struct grant *g)
{
    return g->refreshing ? req_cnf_refresh(call, params, &g->auth, &g->rs, &g->refresh, &g->pop)
                         : req_cnf(call, params, &g->auth, &g->rs, &g->pop);
}

/* ---- the answer ---- */

static enum status set_token(struct js *body, const struct grant *g)
{
    struct buf text;

    buf_init(&text, 2 * TOKEN_MAX);
    enum status st = ace_token_text(buf_span(&g->token), &text);
    if (st == ST_OK)
        st = js_set_str(body, "access_token", buf_span(&text));
    buf_wipe(&text);
    return st;
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

/* AF-43: the key, if the client does not have it already. With a refresh token it has it, and is told which: a secret
 * is never shown to whoever found a refresh token. */
static enum status set_cnf(struct js *body, const struct js *params, const struct grant *g)
{
    CLEANUP(js_unrefp)
    struct js *cnf = NULL;
    struct js *jwk = NULL;
    enum status st;

    if (!g->pop.symmetric || js_get(params, "req_cnf") != NULL)
        return ST_OK;
    cnf = js_new_object();
    if (!g->pop.made_here) {
        st = js_set_str(cnf, "kid", g->pop.kid);
    } else {
        st = jwk_print(g->pop.key, g->pop.kid, "HS256", false, &jwk);
        if (st == ST_OK)
            st = js_set_take(cnf, "jwk", jwk);
    }
    return st == ST_OK ? js_set_take(body, "cnf", TAKE(cnf)) : st;
}

/* AF-44: only with asymmetric keys. The certificate's thumbprint for who meets it in the handshake, the key for who meets
 * that alone (MT-26); both name one key. */
static enum status set_rs_cnf(struct js *body, const struct grant *g)
{
    CLEANUP(js_unrefp)
    struct js *cnf = NULL;
    struct js *jwk = NULL;
    struct buf x5t;
    enum status st = ST_OK;

    if (g->pop.symmetric || (g->rs.rs_x5t.len == 0 && g->rs.rs_jwk.len == 0))
        return ST_OK;
    cnf = js_new_object();
    if (g->rs.rs_x5t.len > 0) {
        buf_init(&x5t, 64);
        base64url_encode(g->rs.rs_x5t, &x5t);
        st = js_set_str(cnf, "x5t#S256", buf_span(&x5t));
        buf_done(&x5t);
    }
    if (st == ST_OK && g->rs.rs_jwk.len > 0) {
        st = js_parse(g->rs.rs_jwk, AS_BODY_MAX, &jwk, NULL);
        if (st == ST_OK)
            st = js_set_take(cnf, "jwk", jwk);
    }
    return st == ST_OK ? js_set_take(body, "rs_cnf", TAKE(cnf)) : st;
}

static enum status answer(struct call *call, const struct js *params, const struct grant *g)
{
    CLEANUP(js_unrefp)
    struct js *body = js_new_object();
    enum status st = set_token(body, g);

    if (st == ST_OK)
        st = js_set_str(body, "token_type", SPAN("PoP")); /* AF-37 */
    if (st == ST_OK)
        st = js_set_i64(body, "expires_in", g->rs.lifetime_s);
    if (st == ST_OK)
        st = set_scope(body, g);
    if (st == ST_OK)
        st = set_cnf(body, params, g);
    if (st == ST_OK)
        st = set_rs_cnf(body, g);
    if (st == ST_OK && g->refresh_token.len > 0)
        st = js_set_str(body, "refresh_token", buf_span(&g->refresh_token));
    if (st == ST_OK) /* AF-24, MT-11 */
        st = js_set_str(body, "ace_profile", span_of_str(ace_profile_name(g->profile)));
    if (st != ST_OK)
        return reject(&call->why, st, "as issuance", "the answer cannot be printed", 0);
    return call_reply(call, 200, body);
}

static enum status run(struct call *call, const struct js *params, struct grant *g)
{
    enum status st = client_auth(call, params, &g->auth);

    if (st == ST_OK)
        st = check_grant_type(call, params, g);
    if (st == ST_OK)
        st = find_target(call, params, g);
    if (st == ST_OK)
        st = find_scope(call, params, g);
    if (st == ST_OK)
        st = find_cnonce(call, params, g);
    if (st == ST_OK)
        st = find_key(call, params, g);
    if (st == ST_OK)
        st = grant_issue(call, g);
    if (st == ST_OK)
        st = answer(call, params, g);
    return st;
}

enum status token_call(struct call *call)
{
    CLEANUP(js_unrefp)
    struct js *params = NULL;
    struct grant g = { 0 };
    enum status st = call_params(call, ACE_TOKEN_REQUEST, ACE_TOKEN_RESPONSE, &params);

    if (st != ST_OK)
        return st;
    buf_init(&g.cnonce_bytes, CNONCE_MAX);
    buf_init(&g.jti, 512);
    buf_init(&g.token, TOKEN_MAX);
    buf_init(&g.refresh_token, REFRESH_TOKEN_MAX);
    st = run(call, params, &g);
    if (st == ST_OK)
        log_event(NULL, LOG_INFO, "token_issued", F_SPAN("client_id", g.auth.principal.id),
                  F_SPAN("audience", g.rs.audience), F_SPAN("jti", buf_span(&g.jti)),
                  F_STR("auth", auth_method_name(g.auth.method)), F_STR("format", rs_format_name(g.rs.format)),
                  F_STR("cnf", g.pop.key != NULL ? key_kind_name(key_kind(g.pop.key)) : "x5t"),
                  F_I64("lifetime_s", g.rs.lifetime_s), F_SPAN("family", g.refresh.family));
    grant_done(&g);
    return st;
}
