/* Tokens: from the options, the cache, or an authorization server that was configured or learned from hints and is
 * trusted; and their renewal inside the session. */
#include "client/client_priv.h"
#include "client/token_cache.h"
#include "client/url.h"

#include <stdio.h>
#include <stdlib.h>

#define CONTENT_TYPE   "application/ace+json" /* RFC 9431 2.1 */
#define USABLE_S       5                      /* a token that ends sooner is not worth connecting with */
#define MARGIN_MIN_S   2 /* renewal starts so long before the end: a fifth of the life, within these */
#define MARGIN_MAX_S   300
#define RENEW_AGAIN_MS 5000    /* after a failed renewal */
#define STEP_MAX_MS    3600000 /* look at the calendar again at least every hour: it may have been set */

const struct symbolon_key *client_pop_key(const struct symbolon_client *c)
{
    return c->token.key != NULL ? c->token.key : c->o.key;
}

static const char *as_url(const struct symbolon_client *c)
{
    return c->o.as_url != NULL ? c->o.as_url : c->as_url;
}

bool client_can_fetch(const struct symbolon_client *c)
{
    return as_url(c) != NULL && !c->token_fixed;
}

/* ---- the cache ---- */

static void purpose_of(const struct symbolon_client *c, char broker[320], struct token_purpose *out)
{
    snprintf(broker, 320, "%s:%u", c->o.host, c->o.port);
    *out = (struct token_purpose){
        .broker = broker,
        .as_url = c->o.as_url,
        .client_id = c->o.as_client_id,
        .audience = c->o.audience,
        .scope = c->o.scope_json,
        .key = c->o.key == NULL ? NULL : c->thumbprint,
    };
}

void client_token_init(struct symbolon_client *c)
{
    struct token_purpose purpose;
    char broker[320];

    purpose_of(c, broker, &purpose);
    if (c->o.token_cache_dir != NULL && !c->token_fixed)
        c->cache_path = token_cache_path(c->o.token_cache_dir, &purpose);
}

void client_token_done(struct symbolon_client *c)
{
    client_stop_fetching(c);
    symbolon_token_done(&c->token);
    free(c->as_url);
    free(c->audience);
    free(c->cnonce);
    free(c->cache_path);
}

static void store(struct symbolon_client *c)
{
    struct token_purpose purpose;
    struct why why = { 0 };
    char broker[320];

    if (c->cache_path == NULL)
        return;
    purpose_of(c, broker, &purpose);
    if (token_cache_store(c->o.token_cache_dir, c->cache_path, &purpose, &c->token, &why) != ST_OK)
        client_say(c, 1, "the token is not cached: %s: %s", c->cache_path, why.text);
}

void client_drop_token(struct symbolon_client *c)
{
    if (c->token_fixed)
        return;
    symbolon_token_done(&c->token);
    if (c->cache_path != NULL)
        token_cache_drop(c->cache_path);
}

bool client_token_usable(struct symbolon_client *c)
{
    int64_t now_s = client_now(c).wall.s;

    if (c->token_fixed)
        return true;
    if (c->token.access_token == NULL && c->cache_path != NULL &&
        token_cache_load(c->cache_path, now_s, &c->token, NULL) == ST_OK)
        client_say(c, 4, "token from the cache, good for %lld s more",
                   (long long)(c->token.expires_at_s - now_s));
    if (c->token.access_token == NULL)
        return false;
    if (c->token.expires_at_s - now_s > USABLE_S)
        return true;
    symbolon_token_done(&c->token);
    return false;
}

/* ---- fetching ---- */

void client_stop_fetching(struct symbolon_client *c)
{
    if (c->fetch != NULL)
        http_cancel(TAKE(c->fetch));
}

/* Answers that a session with a token still valid survives: it is asked again until the token's end. */
static void fetch_failed(struct symbolon_client *c, const struct symbolon_error *error)
{
    if (c->state != CLIENT_OPEN) {
        client_failed(c, error);
        return;
    }
    client_say(c, 1, "no new token: %s", error->text);
    timer_start(loop_timers(c->loop->loop), &c->renew, mono_plus_ms(client_now(c).mono, RENEW_AGAIN_MS));
}

/* AUTH 0x19 with the new token, then challenge and answer: never the exporter again (MT-102, MT-103). */
static void reauthenticate(struct symbolon_client *c)
{
    CLEANUP(buf_wipe)
    struct buf data = { .max = SYMBOLON_ACE_AUTH_DATA_MAX };
    struct symbolon_bytes token = { c->token.access_token, strlen(c->token.access_token) };
    uint8_t *room = buf_room(&data, SYMBOLON_ACE_AUTH_DATA_MAX);
    struct symbolon_error error;
    size_t len;

    if (room == NULL) {
        error_set(&error, SYMBOLON_NO_MEMORY, "", "out of memory");
        fetch_failed(c, &error);
    } else if (symbolon_ace_connect_challenge(token, room, SYMBOLON_ACE_AUTH_DATA_MAX, &len, &error) !=
               SYMBOLON_OK) {
        fetch_failed(c, &error);
    } else {
        engine_auth(&c->engine, MQTT_REAUTHENTICATE, span_of(room, len), client_now(c));
        client_rearm(c);
    }
}

static void fetched(void *ctx, const struct http_result *result)
{
    struct symbolon_client *c = ctx;
    struct symbolon_token token = { 0 };
    struct symbolon_error error;
    enum symbolon_status st;

    c->fetch = NULL;
    if (result->st != ST_OK)
        st = error_about(&error, result->st, &result->why, as_url(c));
    else
        st = symbolon_token_response(result->code, bytes_of_span(result->body), c->o.key, client_now(c).wall.s,
                                     &token, &error);
    if (st != SYMBOLON_OK) {
        fetch_failed(c, &error);
        return;
    }
    symbolon_token_done(&c->token);
    c->token = token;
    c->token_is_new = true;
    free(TAKE(c->cnonce)); /* for one request */
    store(c);
    client_say(c, 4, "new token, good for %lld s", (long long)(token.expires_at_s - token.obtained_at_s));
    if (c->state == CLIENT_OPEN) {
        reauthenticate(c);
        return;
    }
    if (c->events.token != NULL)
        c->events.token(c->o.arg, c->token.expires_at_s, false);
    if (c->state == CLIENT_FETCHING) /* the application may have called disconnect */
        client_go(c);
}

static bool loopback(struct span host)
{
    return span_eq_str(host, "localhost") || span_eq_str(host, "127.0.0.1") || span_eq_str(host, "::1");
}

/* Checks the address and appends that of the token endpoint, with its NUL. */
static enum symbolon_status token_endpoint(const char *as, bool *ret_http, struct buf *out,
                                           struct symbolon_error *error)
{
    struct url url;
    struct why why = { 0 };
    enum status st = url_parse(span_of_str(as), &url, &why);

    if (st != ST_OK)
        return error_about(error, st, &why, as);
    if (!url.https && !loopback(url.host))
        return error_set(error, SYMBOLON_UNTRUSTED, "RFC 9200 5 (AF-6)",
                         "%s: tokens are fetched over https only (http only from this machine)", as);
    *ret_http = !url.https;
    url_endpoint(&url, "token", out);
    put_u8(out, 0);
    return buf_ok(out) ? SYMBOLON_OK : error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
}

static enum symbolon_status start_fetch(struct symbolon_client *c, struct symbolon_error *error)
{
    CLEANUP(buf_done)
    struct buf endpoint = { .max = URL_MAX + 16 };
    char *body = NULL;
    bool http = false;
    struct why why = { 0 };
    enum symbolon_status st = token_endpoint(as_url(c), &http, &endpoint, error);

    if (st != SYMBOLON_OK)
        return st;
    const struct symbolon_token_request request = {
        .token_endpoint = (const char *)endpoint.p,
        .client_id = c->o.as_client_id,
        .audience = c->o.audience != NULL ? c->o.audience : c->audience,
        .scope_json = c->o.scope_json,
        .cnonce = c->cnonce,
        .client_secret = c->o.as_client_secret,
        .client_key = c->o.as_client_secret == NULL ? c->o.key : NULL,
        .pop_key = c->o.key,
        .now_s = client_now(c).wall.s,
    };
    st = symbolon_token_request(&request, &body, error);
    if (st != SYMBOLON_OK)
        return st;
    const struct http_call call = {
        .url = (const char *)endpoint.p,
        .body = span_of_str(body),
        .content_type = CONTENT_TYPE,
        .accept = CONTENT_TYPE ", application/json",
        .ca_file = c->o.as_ca_file != NULL ? c->o.as_ca_file : c->o.ca_file,
        .allow_http = http,
    };
    enum status started = http_start(c->loop->http, &call, fetched, c, &c->fetch, &why);
    symbolon_free(body);
    if (started != ST_OK)
        return error_about(error, started, &why, (const char *)endpoint.p);
    client_say(c, 4, "asking %s for a token", (const char *)endpoint.p);
    return SYMBOLON_OK;
}

void client_fetch(struct symbolon_client *c)
{
    struct symbolon_error error;

    if (c->fetch != NULL)
        return;
    if (c->state != CLIENT_OPEN)
        client_enter(c, CLIENT_FETCHING);
    if (start_fetch(c, &error) != SYMBOLON_OK)
        fetch_failed(c, &error);
}

/* ---- renewal ---- */

void client_schedule_renewal(struct symbolon_client *c)
{
    struct now now = client_now(c);
    int64_t life = c->token.expires_at_s - c->token.obtained_at_s, margin = life / 5;

    timer_stop(loop_timers(c->loop->loop), &c->renew);
    if (c->o.ace == SYMBOLON_ACE_OFF || c->token.access_token == NULL || !client_can_fetch(c))
        return;
    if (margin < MARGIN_MIN_S)
        margin = MARGIN_MIN_S;
    if (margin > MARGIN_MAX_S)
        margin = MARGIN_MAX_S;
    int64_t wait_ms = (c->token.expires_at_s - margin - now.wall.s) * MS_PER_S;
    if (wait_ms < 0)
        wait_ms = 0;
    timer_start(loop_timers(c->loop->loop), &c->renew,
                mono_plus_ms(now.mono, wait_ms > STEP_MAX_MS ? STEP_MAX_MS : wait_ms));
}

void client_renewal_due(struct timer *timer, struct now now)
{
    struct symbolon_client *c = CONTAINER_OF(timer, struct symbolon_client, renew);
    int64_t left = c->token.expires_at_s - now.wall.s, life = c->token.expires_at_s - c->token.obtained_at_s;

    if (c->state != CLIENT_OPEN)
        return;
    if (left > MARGIN_MAX_S && left > life / 5 + 1) { /* woken by STEP_MAX_MS */
        client_schedule_renewal(c);
        return;
    }
    client_fetch(c);
}

/* ---- hints ---- */

/* A server may be asked only if whoever configured us said so: hints come from nobody in particular (AF-13). */
static bool trusted(const struct symbolon_client *c, const char *url)
{
    if (c->o.as_url != NULL && symbolon_url_same_origin(c->o.as_url, url))
        return true;
    for (const char *const *t = c->o.trusted_as; t != NULL && *t != NULL; t++)
        if (symbolon_url_same_origin(*t, url))
            return true;
    return false;
}

static bool adopt(struct symbolon_client *c, struct symbolon_hints *hints, struct symbolon_error *error)
{
    if (trusted(c, hints->as_url)) {
        free(c->as_url);
        c->as_url = TAKE(hints->as_url);
    } else if (c->o.as_url == NULL) {
        error_set(
            error, SYMBOLON_UNTRUSTED, "RFC 9200 5.1 (AF-13)",
            "the broker names the authorization server %s, which is not among the trusted ones; if it is the "
            "right one, say so with --trust-as %s",
            hints->as_url, hints->as_url);
        return false;
    }
    free(c->audience);
    c->audience = TAKE(hints->audience);
    free(c->cnonce);
    c->cnonce = TAKE(hints->cnonce);
    return true;
}

/* The CONNACK's hints, if it has any, taken over; false if there is no way on. */
static bool take_hints(struct symbolon_client *c, const struct mqtt_connack *connack,
                       struct symbolon_error *error)
{
    struct symbolon_hints hints = { 0 };
    struct symbolon_error problem;
    struct span json;

    if (!mqtt_find_user_property(&connack->properties, SPAN(SYMBOLON_ACE_HINT_PROPERTY), &json)) {
        if (c->o.as_url != NULL || c->as_url != NULL)
            return true;
        if (c->token.access_token == NULL)
            error_set(error, SYMBOLON_NO_TOKEN, "RFC 9431 2.4.1",
                      "a token is needed, but no authorization server is configured (--as) and the broker "
                      "names none");
        return false;
    }
    if (symbolon_hints_parse(bytes_of_span(json), &hints, &problem) != SYMBOLON_OK) {
        if (c->o.as_url != NULL)
            return true; /* not needed */
        *error = problem;
        return false;
    }
    bool ok = adopt(c, &hints, error);
    symbolon_hints_done(&hints);
    return ok;
}

bool client_try_hints(struct symbolon_client *c, const struct mqtt_connack *connack,
                      struct symbolon_error *error)
{
    int reason_code = error->reason_code;

    if (c->hints_used || c->token_is_new || c->token_fixed)
        return false;
    c->hints_used = true;
    if (!take_hints(c, connack, error)) {
        error->reason_code = reason_code;
        return false;
    }
    client_drop_stream(c, true);
    engine_lost(&c->engine, error, client_now(c));
    client_drop_token(c);
    client_say(c, 4, "the broker wants a token (%s)", error->text);
    client_go(c);
    return true;
}
