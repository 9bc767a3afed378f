/* Tokens: from the options, the cache, or an authorization server that was configured or learned from hints and is
 * trusted; and their renewal inside the session. */
#include "client/client_priv.h"
#include "client/key_priv.h"
#include "client/token_cache.h"

#include <stdio.h>
#include <stdlib.h>

#define USABLE_S       5 /* a token that ends sooner is not worth connecting with */
#define MARGIN_MIN_S   2 /* renewal starts so long before the end: a fifth of the life, within these */
#define MARGIN_MAX_S   300
#define RENEW_AGAIN_MS 5000    /* after a failed renewal */
#define STEP_MAX_MS    3600000 /* look at the calendar again at least every hour: it may have been set */

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
        .key = client_own_key(c) == NULL ? NULL : c->thumbprint,
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
    free(c->scope);
    free(c->cnonce);
    client_forget_endpoint(c);
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
    c->token_uploaded = false;
    if (c->cache_path != NULL)
        token_cache_drop(c->cache_path);
}

bool client_token_usable(struct symbolon_client *c)
{
    int64_t now_s = client_now(c).wall.s;

    if (c->token_fixed)
        return true;
    if (c->token.access_token == NULL && c->token.refresh_token == NULL && c->cache_path != NULL &&
        token_cache_load(c->cache_path, now_s, &c->token, NULL) == ST_OK && c->token.access_token != NULL)
        client_say(c, 4, "token from the cache, good for %lld s more",
                   (long long)(c->token.expires_at_s - now_s));
    if (c->token.access_token == NULL)
        return false;
    if (c->token.expires_at_s - now_s > (c->token_is_new ? 0 : USABLE_S)) /* a new one will not be any better */
        return true;
    symbolon_free(TAKE(c->token.access_token)); /* what may refresh it stays */
    return false;
}

/* ---- a new token, or none ---- */

/* Answers that a session with a token still valid survives: it is asked again until the token's end. */
void client_fetch_failed(struct symbolon_client *c, const struct symbolon_error *error)
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
    CLEANUP(buf_wipe)
    struct buf token = { .max = TOKEN_BYTES_MAX };
    uint8_t *room = buf_room(&data, SYMBOLON_ACE_AUTH_DATA_MAX);
    struct symbolon_error error;
    size_t len;
    enum symbolon_status st = client_token_bytes(c, &token, &error);

    if (st == SYMBOLON_OK && room == NULL)
        st = error_set(&error, SYMBOLON_NO_MEMORY, "", "out of memory");
    if (st == SYMBOLON_OK)
        st = symbolon_ace_connect_challenge(bytes_of_span(buf_span(&token)), room, SYMBOLON_ACE_AUTH_DATA_MAX,
                                            &len, &error);
    if (st != SYMBOLON_OK) {
        client_fetch_failed(c, &error);
        return;
    }
    engine_auth(&c->engine, MQTT_REAUTHENTICATE, span_of(room, len), client_now(c));
    client_rearm(c);
}

void client_new_token(struct symbolon_client *c, const struct symbolon_token *token)
{
    symbolon_token_done(&c->token);
    c->token = *token;
    c->token_is_new = true;
    c->token_uploaded = false;
    store(c);
    client_say(c, 4, "new token, good for %lld s", (long long)(token->expires_at_s - token->obtained_at_s));
    if (c->state == CLIENT_OPEN && client_renews_in_session(c)) {
        reauthenticate(c);
        return;
    }
    if (c->events.token != NULL)
        c->events.token(c->o.arg, c->token.expires_at_s, false);
    if (c->state == CLIENT_OPEN)
        client_come_again(c);
    else if (c->state == CLIENT_FETCHING) /* the application may have called disconnect */
        client_go(c);
}

enum symbolon_status client_token_bytes(const struct symbolon_client *c, struct buf *out,
                                        struct symbolon_error *error)
{
    uint8_t *room = buf_room(out, TOKEN_BYTES_MAX);
    size_t len = 0;

    if (room == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    enum symbolon_status st = symbolon_token_bytes(c->token.access_token, room, TOKEN_BYTES_MAX, &len, error);
    if (st == SYMBOLON_OK)
        buf_added(out, len);
    return st;
}

const struct symbolon_key *client_pop_key(const struct symbolon_client *c)
{
    return c->token.key != NULL ? c->token.key : client_own_key(c);
}

/* ---- renewal ---- */

void client_schedule_renewal(struct symbolon_client *c)
{
    struct now now = client_now(c);
    int64_t life = c->token.expires_at_s - c->token.obtained_at_s, margin = life / 5;

    timer_stop(loop_timers(c->loop->loop), &c->renew);
    if (c->o.ace == SYMBOLON_ACE_OFF || c->token.access_token == NULL || !client_can_fetch(c))
        return;
    if (!client_renews_in_session(c) && !c->o.reconnect)
        return; /* a new token would need a new connection, which nobody asked for */
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
        client_forget_endpoint(c);
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
    free(c->scope);
    c->scope = TAKE(hints->scope);
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

/* A token just made is refused again when made again, unless it lacked the nonce that only a refusal brings (AF-17). */
static bool worth_another(struct symbolon_client *c)
{
    if (!c->hints_used && !c->token_is_new)
        return true;
    if (c->cnonce == NULL || c->cnonce_used)
        return false;
    c->cnonce_used = true;
    return true;
}

bool client_try_hints(struct symbolon_client *c, const struct mqtt_connack *connack,
                      struct symbolon_error *error)
{
    int reason_code = error->reason_code;

    if (c->token_fixed || c->cnonce_used)
        return false;
    bool ok = take_hints(c, connack, error);
    if (!ok)
        error->reason_code = reason_code;
    if (!ok || !worth_another(c))
        return false;
    c->hints_used = true;
    client_drop_stream(c, true);
    engine_lost(&c->engine, error, client_now(c));
    client_drop_token(c);
    client_say(c, 4, "the broker wants a token (%s)", error->text);
    client_go(c);
    return true;
}
