#include "client/client_priv.h"
#include "crypto/random.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define STRINGS_MAX 1048576
#define WILL_MAX    262144
#define SPKI_MAX    1024

struct now client_now(const struct symbolon_client *c)
{
    return loop_now(c->loop->loop);
}

void client_enter(struct symbolon_client *c, enum client_state state)
{
    c->state = state;
}

void client_say(struct symbolon_client *c, int level, const char *fmt, ...)
{
    char line[512];
    va_list args;

    if (c->events.log == NULL)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    c->events.log(c->o.arg, level, line);
}

/* ---- making and freeing ---- */

static void deadline_over(struct timer *timer, struct now now);
static void pause_over(struct timer *timer, struct now now);
static void keep_alive_due(struct timer *timer, struct now now);

/* What symbolon_client_free() must find, whatever else fails. */
static void init(struct symbolon_client *c, struct symbolon_loop *loop)
{
    c->loop = loop;
    arena_init(&c->strings, STRINGS_MAX);
    buf_init(&c->will_properties, WILL_MAX);
    buf_init(&c->connect_properties, USER_PROPERTIES_BYTES);
    buf_init(&c->login, UINT16_MAX + 1);
    buf_init(&c->spki, SPKI_MAX);
    buf_init(&c->psk_identity, TOKEN_BYTES_MAX);
    timer_init(&c->deadline, deadline_over);
    timer_init(&c->pause, pause_over);
    timer_init(&c->keep_alive, keep_alive_due);
    timer_init(&c->renew, client_renewal_due);
    engine_init(&c->engine, &(struct engine_settings){ 0 }, &client_engine_events, c);
    client_upload_init(c);
}

enum symbolon_status symbolon_client_new(struct symbolon_loop *loop,
                                         const struct symbolon_client_options *options,
                                         struct symbolon_client **ret_client, struct symbolon_error *error)
{
    struct symbolon_client *c = calloc(1, sizeof *c);

    if (c == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    init(c, loop);
    enum symbolon_status st = client_take_options(c, options, error);
    if (st != SYMBOLON_OK) {
        symbolon_client_free(c);
        return st;
    }
    *ret_client = c;
    return SYMBOLON_OK;
}

void client_stop_timers(struct symbolon_client *c)
{
    struct timer_wheel *wheel = loop_timers(c->loop->loop);

    timer_stop(wheel, &c->deadline);
    timer_stop(wheel, &c->pause);
    timer_stop(wheel, &c->keep_alive);
    timer_stop(wheel, &c->renew);
}

void symbolon_client_free(struct symbolon_client *c)
{
    if (c == NULL)
        return;
    client_stop_timers(c);
    client_drop_stream(c, false);
    client_token_done(c);
    engine_done(&c->engine);
    engine_done(&c->upload);
    store_dir_close(c->store);
    tls_config_unref(c->tls);
    tls_config_unref(c->tls_raw);
    buf_wipe(&c->login);
    buf_wipe(&c->psk_identity);
    buf_done(&c->spki);
    symbolon_key_unref(c->o.key);
    buf_done(&c->will_properties);
    buf_done(&c->connect_properties);
    free(c->other_host);
    free(c->home_host);
    arena_done(&c->strings);
    free(c);
}

/* ---- attempts ---- */

/* A raw key, or a kid, says nothing to a broker that has not seen the token (MT-23, MT-27). */
static bool must_upload(const struct symbolon_client *c)
{
    bool wanted = c->o.ace == SYMBOLON_ACE_RPK || c->o.ace == SYMBOLON_ACE_PSK_KID || c->upload_only;

    return wanted && !c->token_uploaded;
}

static void end_fetch(struct symbolon_client *c)
{
    c->fetch_only = false;
    client_enter(c, CLIENT_IDLE);
    if (c->events.token != NULL && !c->token_is_new)
        c->events.token(c->o.arg, c->token.expires_at_s, false);
}

void client_go(struct symbolon_client *c)
{
    struct symbolon_error error;

    if (c->o.ace == SYMBOLON_ACE_OFF) {
        client_dial(c);
        return;
    }
    bool usable = client_token_usable(c);
    if (usable && c->fetch_only) {
        end_fetch(c);
    } else if (usable && must_upload(c)) {
        client_upload(c);
    } else if (!usable && client_can_fetch(c)) {
        client_fetch(c);
    } else if (!usable && c->hints_used) {
        error_set(&error, SYMBOLON_NO_TOKEN, "RFC 9431 2.4.1", "the broker's hints did not lead to a token");
        client_failed(c, &error);
    } else if (!usable && c->o.mqtt_version == SYMBOLON_MQTT_3_1_1) {
        error_set(&error, SYMBOLON_NO_TOKEN, "RFC 9431 6.1 (MT-125)",
                  "an MQTT 3.1.1 broker cannot name its authorization server: say which it is (--as)");
        client_failed(c, &error);
    } else {
        client_dial(c); /* with a token; or without, to learn from hints where to get one (MT-92) */
    }
}

static void begin(struct symbolon_client *c)
{
    c->token_is_new = c->hints_used = c->cnonce_used = false;
    client_go(c);
}

/* Trying again will not help, or would do harm. */
static bool final(const struct symbolon_client *c, const struct symbolon_error *error)
{
    if (c->engine.store_broken)
        return true; /* what is accepted could not be kept */
    switch (error->status) {
    case SYMBOLON_INVALID:
    case SYMBOLON_UNTRUSTED:
    case SYMBOLON_NO_TOKEN:
    case SYMBOLON_UNSUPPORTED:
    case SYMBOLON_INTERNAL:
        return true;
    default:
        return error->reason_code ==
               MQTT_SESSION_TAKEN_OVER; /* two clients would take it from each other forever */
    }
}

/* Doubling, with up to half of it at random, so that a fleet does not come back in step. */
static uint32_t next_pause(struct symbolon_client *c)
{
    uint32_t random = 0;

    if (c->pause_ms == 0)
        c->pause_ms = c->o.reconnect_min_ms;
    else
        c->pause_ms = c->pause_ms > c->o.reconnect_max_ms / 2 ? c->o.reconnect_max_ms : c->pause_ms * 2;
    if (random_bytes(&random, sizeof random) != ST_OK)
        random = 0;
    return c->pause_ms - random % (c->pause_ms / 2 + 1);
}

static void tell_disconnected(struct symbolon_client *c, const struct symbolon_error *error, int64_t retry_ms)
{
    if (c->events.disconnected != NULL)
        c->events.disconnected(c->o.arg, error, retry_ms);
}

void client_failed(struct symbolon_client *c, const struct symbolon_error *error)
{
    struct symbolon_error copy = *error; /* it may lie in what is dropped now */
    bool in_order =
        c->state == CLIENT_CONNECTING || c->state == CLIENT_OPEN; /* a last packet may have to leave */
    bool again = c->o.reconnect && c->state != CLIENT_CLOSING && !c->fetch_only && !c->upload_only &&
                 !final(c, error) &&
                 (c->o.reconnect_attempts == 0 || c->failed_attempts < c->o.reconnect_attempts);

    client_stop_timers(c);
    client_stop_fetching(c);
    client_drop_stream(c, in_order);
    c->fetch_only = c->upload_only = false;
    c->token_uploaded =
        false; /* the broker may have been started anew: without its token our key is nobody's */
    client_enter(c, again ? CLIENT_PAUSED : CLIENT_IDLE);
    engine_lost(&c->engine, &copy, client_now(c));
    if (!again) {
        tell_disconnected(c, &copy, -1);
        return;
    }
    c->failed_attempts++;
    client_go_home(c);
    uint32_t pause_ms = next_pause(c);
    timer_start(loop_timers(c->loop->loop), &c->pause, mono_plus_ms(client_now(c).mono, pause_ms));
    tell_disconnected(c, &copy, pause_ms);
}

void client_connect_anew(struct symbolon_client *c, const struct symbolon_error *why)
{
    struct symbolon_error copy = *why;

    engine_disconnect(&c->engine, MQTT_SUCCESS, client_now(c));
    client_stop_timers(c);
    client_stop_fetching(c);
    client_drop_stream(c, true);
    client_enter(c, CLIENT_PAUSED);
    engine_lost(&c->engine, &copy, client_now(c));
    timer_start(loop_timers(c->loop->loop), &c->pause, client_now(c).mono);
    tell_disconnected(c, &copy, 0);
}

/* Where there is no AUTH to renew it with, a new token means a new connection. */
void client_come_again(struct symbolon_client *c)
{
    struct symbolon_error error;

    error_set(&error, SYMBOLON_CLOSED, "", "connecting again, with a new token");
    client_connect_anew(c, &error);
}

static void deadline_over(struct timer *timer, struct now now UNUSED)
{
    struct symbolon_client *c = CONTAINER_OF(timer, struct symbolon_client, deadline);
    struct symbolon_error error;

    error_set(&error, SYMBOLON_TIMEOUT, "connect_timeout", "no CONNACK within the time allowed");
    client_failed(c, &error);
}

static void pause_over(struct timer *timer, struct now now UNUSED)
{
    struct symbolon_client *c = CONTAINER_OF(timer, struct symbolon_client, pause);
    struct symbolon_error ok;

    if (c->state == CLIENT_PAUSED) {
        begin(c);
    } else if (c->state == CLIENT_CLOSING) {
        error_none(&ok);
        client_failed(c, &ok);
    }
}

static void keep_alive_due(struct timer *timer, struct now now)
{
    struct symbolon_client *c = CONTAINER_OF(timer, struct symbolon_client, keep_alive);

    engine_tick(&c->engine, now);
    client_rearm(c);
}
