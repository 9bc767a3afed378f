/* Asking an authorization server: where its token endpoint is (RFC 8414), the request, the answer. */
#include "client/client_priv.h"
#include "client/key_priv.h"
#include "client/url.h"
#include "codec/json.h"
#include "token/ace_cbor.h"

#include <stdlib.h>

#define METADATA_PATH "/.well-known/oauth-authorization-server" /* RFC 8414 3 */
#define DOCUMENT_MAX  131072

static const char *as_url(const struct symbolon_client *c)
{
    return c->o.as_url != NULL ? c->o.as_url : c->as_url;
}

bool client_can_fetch(const struct symbolon_client *c)
{
    return as_url(c) != NULL && !c->token_fixed;
}

void client_stop_fetching(struct symbolon_client *c)
{
    if (c->fetch != NULL)
        http_cancel(TAKE(c->fetch));
}

/* Another server, or none any more: where its endpoint is, is open again. */
void client_forget_endpoint(struct symbolon_client *c)
{
    free(TAKE(c->token_endpoint));
}

static const char *ca_file(const struct symbolon_client *c)
{
    return c->o.as_ca_file != NULL ? c->o.as_ca_file : c->o.ca_file;
}

static bool loopback(struct span host)
{
    return span_eq_str(host, "localhost") || span_eq_str(host, "127.0.0.1") || span_eq_str(host, "::1");
}

/* Secrets and assertions go over https only; http at most within this machine. */
static enum symbolon_status parse_safe(const char *text, struct url *out, struct symbolon_error *error)
{
    struct why why = { 0 };
    enum status st = url_parse(span_of_str(text), out, &why);

    if (st != ST_OK)
        return error_about(error, st, &why, text);
    if (!out->https && !loopback(out->host))
        return error_set(error, SYMBOLON_UNTRUSTED, "RFC 9200 5 (AF-6)",
                         "%s: tokens are fetched over https only (http only from this machine)", text);
    return SYMBOLON_OK;
}

static bool names_server(const struct url *url)
{
    return url->path.len == 0 || span_eq(url->path, SPAN("/"));
}

/* ---- the answer ---- */

/* JSON as the rest of the library reads it. */
static enum status json_of(const struct http_result *result, struct buf *out, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;

    if (!span_starts_with(result->content_type, SPAN(ACE_CBOR_MEDIA_TYPE))) {
        put_bytes(out, result->body);
        return buf_ok(out) ? ST_OK : reject(why, ST_TOO_LARGE, "", "an answer too large", 0);
    }
    enum status st = ace_from_cbor(ACE_TOKEN_RESPONSE, result->body, DOCUMENT_MAX, &js, why);
    return st == ST_OK ? js_print(js, out) : st;
}

static enum symbolon_status read_answer(struct symbolon_client *c, const struct http_result *result,
                                        struct symbolon_token *out, struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf json = { .max = 2 * DOCUMENT_MAX };
    const struct symbolon_key *key = c->refreshing ? client_pop_key(c) : client_own_key(c);
    struct why why = { 0 };
    enum status st = result->st;

    if (st != ST_OK)
        return error_about(error, st, &result->why, as_url(c));
    st = json_of(result, &json, &why);
    if (st != ST_OK)
        return error_about(error, st, &why, as_url(c));
    return symbolon_token_response(result->code, bytes_of_span(buf_span(&json)), key, client_now(c).wall.s, out,
                                   error);
}

/* The broker that was named, if the answer names none: to go on without would be less than was asked for. */
static void inherit_broker(struct symbolon_token *token, struct symbolon_token *former)
{
    if (token->has_rs_x5t || token->rs_jwk != NULL)
        return;
    token->has_rs_x5t = former->has_rs_x5t;
    memcpy(token->rs_x5t, former->rs_x5t, sizeof token->rs_x5t);
    token->rs_jwk = TAKE(former->rs_jwk);
}

/* A refreshed token is bound to the key of the one before; the server need not say it again. */
static void inherit(struct symbolon_token *token, struct symbolon_token *former)
{
    inherit_broker(token, former);
    if (token->key == NULL) {
        token->key = TAKE(former->key);
        token->kid = TAKE(former->kid);
    }
    if (token->refresh_token == NULL)
        token->refresh_token = TAKE(former->refresh_token);
}

static void fetched(void *ctx, const struct http_result *result)
{
    struct symbolon_client *c = ctx;
    struct symbolon_token token = { 0 };
    struct symbolon_error error;

    c->fetch = NULL;
    enum symbolon_status st = read_answer(c, result, &token, &error);
    bool refreshed = c->refreshing;
    c->refreshing = false;
    if (st != SYMBOLON_OK && refreshed && result->st == ST_OK) {
        client_say(c, 3, "the refresh token is of no use (%s): asking anew", error.text);
        symbolon_free(TAKE(c->token.refresh_token));
        client_fetch(c);
        return;
    }
    free(TAKE(c->cnonce)); /* for one request */
    if (st != SYMBOLON_OK) {
        client_fetch_failed(c, &error);
        return;
    }
    if (refreshed)
        inherit(&token, &c->token);
    client_new_token(c, &token);
}

/* ---- the request ---- */

static enum symbolon_status make_request(struct symbolon_client *c, char **ret_json,
                                         struct symbolon_error *error)
{
    const struct symbolon_token_request request = {
        .token_endpoint = c->token_endpoint,
        .client_id = c->o.as_client_id,
        .audience = c->o.audience != NULL ? c->o.audience : c->audience,
        .scope_json = c->o.scope_json != NULL ? c->o.scope_json : c->scope,
        .cnonce = c->cnonce,
        .client_secret = c->o.as_client_secret,
        .client_key = c->o.as_client_secret == NULL ? c->o.key : NULL,
        .pop_key = client_own_key(c),
        .now_s = client_now(c).wall.s,
        .refresh_token = c->token.refresh_token,
    };

    c->refreshing = request.refresh_token != NULL;
    return symbolon_token_request(&request, ret_json, error);
}

static enum status to_cbor(const char *json, struct buf *out, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    enum status st = js_parse(span_of_str(json), DOCUMENT_MAX, &js, why);

    return st == ST_OK ? ace_to_cbor(ACE_TOKEN_REQUEST, js, out, why) : st;
}

static enum symbolon_status start_request(struct symbolon_client *c, struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf cbor = { .max = DOCUMENT_MAX };
    char *json = NULL;
    struct url url;
    struct why why = { 0 };
    enum symbolon_status st = parse_safe(c->token_endpoint, &url, error);

    if (st == SYMBOLON_OK)
        st = make_request(c, &json, error);
    if (st != SYMBOLON_OK)
        return st;
    enum status made = c->o.as_cbor ? to_cbor(json, &cbor, &why) : ST_OK;
    const struct http_call call = {
        .url = c->token_endpoint,
        .body = c->o.as_cbor ? buf_span(&cbor) : span_of_str(json),
        .content_type = c->o.as_cbor ? ACE_CBOR_MEDIA_TYPE : ACE_JSON_MEDIA_TYPE,
        .accept = c->o.as_cbor ? ACE_CBOR_MEDIA_TYPE : ACE_JSON_MEDIA_TYPE ", application/json",
        .ca_file = ca_file(c),
        .allow_http = !url.https,
    };
    if (made == ST_OK)
        made = http_start(c->loop->http, &call, fetched, c, &c->fetch, &why);
    symbolon_free(json);
    if (made != ST_OK)
        return error_about(error, made, &why, c->token_endpoint);
    client_say(c, 4, "asking %s for a token%s", c->token_endpoint, c->refreshing ? " (refresh)" : "");
    return SYMBOLON_OK;
}

/* ---- the endpoint ---- */

static char *text_of(struct buf *b)
{
    size_t len;

    return (char *)buf_take(b, &len);
}

/* Of a server that publishes no metadata. */
static char *usual_endpoint(const struct url *url)
{
    struct buf text;

    buf_init(&text, URL_MAX + 16);
    url_endpoint(url, "token", &text);
    return text_of(&text);
}

/* RFC 8414 3.3: metadata of another issuer than the one asked must not be used. */
static char *endpoint_of_metadata(const char *asked, struct span body)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct span issuer, endpoint, base = span_of_str(asked);
    struct url url;

    while (base.len > 0 && base.p[base.len - 1] == '/')
        base.len--;
    if (js_parse(body, DOCUMENT_MAX, &js, NULL) != ST_OK || !js_get_str(js, "issuer", &issuer) ||
        !js_get_str(js, "token_endpoint", &endpoint))
        return NULL;
    while (issuer.len > 0 && issuer.p[issuer.len - 1] == '/')
        issuer.len--;
    if (!span_eq(issuer, base) || url_parse(endpoint, &url, NULL) != ST_OK)
        return NULL;
    return span_dup_str(endpoint);
}

static void metadata_came(void *ctx, const struct http_result *result)
{
    struct symbolon_client *c = ctx;
    struct symbolon_error error;
    struct url url;

    c->fetch = NULL;
    if (result->st != ST_OK) {
        error_about(&error, result->st, &result->why, as_url(c));
        client_fetch_failed(c, &error);
        return;
    }
    if (result->code == 200)
        c->token_endpoint = endpoint_of_metadata(as_url(c), result->body);
    if (c->token_endpoint == NULL && url_parse(span_of_str(as_url(c)), &url, NULL) == ST_OK)
        c->token_endpoint = usual_endpoint(&url);
    client_fetch(c);
}

static enum symbolon_status ask_metadata(struct symbolon_client *c, const struct url *url,
                                         struct symbolon_error *error)
{
    CLEANUP(buf_done)
    struct buf text = { .max = URL_MAX + 64 };
    struct why why = { 0 };

    put_bytes(&text, span_cut(url->whole, 0, url->whole.len - url->path.len));
    put_str(&text, METADATA_PATH);
    put_u8(&text, 0);
    if (!buf_ok(&text))
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    const struct http_call call = {
        .url = (const char *)text.p,
        .accept = "application/json",
        .ca_file = ca_file(c),
        .allow_http = !url->https,
    };
    enum status st = http_start(c->loop->http, &call, metadata_came, c, &c->fetch, &why);
    return st == ST_OK ? SYMBOLON_OK : error_about(error, st, &why, call.url);
}

/* A URL without a path names the server: its metadata are asked first. One with a path is the endpoint, as hints give
 * it (RFC 9200 5.3). */
static enum symbolon_status start(struct symbolon_client *c, struct symbolon_error *error)
{
    struct url url;
    enum symbolon_status st;

    if (c->token_endpoint != NULL)
        return start_request(c, error);
    st = parse_safe(as_url(c), &url, error);
    if (st != SYMBOLON_OK)
        return st;
    if (names_server(&url))
        return ask_metadata(c, &url, error);
    c->token_endpoint = usual_endpoint(&url);
    if (c->token_endpoint == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    return start_request(c, error);
}

void client_fetch(struct symbolon_client *c)
{
    struct symbolon_error error;

    if (c->fetch != NULL)
        return;
    if (c->state != CLIENT_OPEN)
        client_enter(c, CLIENT_FETCHING);
    if (start(c, &error) != SYMBOLON_OK)
        client_fetch_failed(c, &error);
}
