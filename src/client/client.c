#include "client/client_priv.h"
#include "client/key_priv.h"
#include "client/outgoing.h"
#include "crypto/random.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define STRINGS_MAX      1048576
#define WILL_MAX         262144
#define CONNECT_MS       10000
#define KEEP_ALIVE_S     60
#define RECEIVE_MAXIMUM  64
#define MAX_PACKET_SIZE  1048576
#define MAX_INFLIGHT     64
#define MAX_QUEUE        1000
#define RECONNECT_MIN_MS 500
#define RECONNECT_MAX_MS 60000
#define PORT_TLS         8883
#define PORT_PLAIN       1883
#define PORT_WSS         443
#define PORT_WS          80
#define SPKI_MAX         1024

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

/* ---- options ---- */

static bool keep(struct symbolon_client *c, const char **text)
{
    if (*text != NULL)
        *text = arena_str(&c->strings, span_of_str(*text));
    return true;
}

static bool keep_bytes(struct symbolon_client *c, struct symbolon_bytes *bytes)
{
    struct span copy;

    if (bytes->p == NULL)
        return true;
    copy = arena_copy(&c->strings, span_of_bytes(*bytes));
    bytes->p = copy.p;
    return copy.p != NULL || bytes->len == 0;
}

static bool keep_list(struct symbolon_client *c, const char *const **list)
{
    size_t n = 0;
    const char **copy;

    if (*list == NULL)
        return true;
    while ((*list)[n] != NULL)
        n++;
    copy = arena_alloc(&c->strings, (n + 1) * sizeof *copy);
    if (copy == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        copy[i] = arena_str(&c->strings, span_of_str((*list)[i]));
        if (copy[i] == NULL)
            return false;
    }
    *list = copy;
    return true;
}

static bool keep_all(struct symbolon_client *c)
{
    const char **texts[] = { &c->o.host,      &c->o.ca_file,    &c->o.client_id,        &c->o.user_name,
                             &c->o.token,     &c->o.as_url,     &c->o.as_ca_file,       &c->o.as_client_id,
                             &c->o.audience,  &c->o.scope_json, &c->o.as_client_secret, &c->o.token_cache_dir,
                             &c->o.cert_file, &c->o.key_file,   &c->o.ws_path,          &c->o.server_name };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        bool wanted = *texts[i] != NULL;
        keep(c, texts[i]);
        if (wanted && *texts[i] == NULL)
            return false;
    }
    return keep_list(c, &c->o.trusted_as) && keep_bytes(c, &c->o.password) && keep_bytes(c, &c->o.pin);
}

#define DEFAULT(member, value) \
    if (o->member == 0)        \
    o->member = (value)

static uint16_t default_port(const struct symbolon_client_options *o)
{
    if (o->ws_path != NULL)
        return o->no_tls ? PORT_WS : PORT_WSS;
    return o->no_tls ? PORT_PLAIN : PORT_TLS;
}

static void fill_defaults(struct symbolon_client_options *o)
{
    DEFAULT(port, default_port(o));
    DEFAULT(connect_timeout_ms, CONNECT_MS);
    DEFAULT(keep_alive_s, KEEP_ALIVE_S);
    DEFAULT(receive_maximum, RECEIVE_MAXIMUM);
    DEFAULT(max_packet_size, MAX_PACKET_SIZE);
    DEFAULT(max_inflight, MAX_INFLIGHT);
    DEFAULT(max_queue, MAX_QUEUE);
    DEFAULT(reconnect_min_ms, RECONNECT_MIN_MS);
    DEFAULT(reconnect_max_ms, RECONNECT_MAX_MS);
}

static enum symbolon_status invalid(struct symbolon_error *error, const char *clause, const char *text)
{
    return error_set(error, SYMBOLON_INVALID, clause, "%s", text);
}

static enum symbolon_status check_options(const struct symbolon_client_options *o, struct symbolon_error *error)
{
    if (o->mqtt_version != SYMBOLON_MQTT_5 && o->mqtt_version != SYMBOLON_MQTT_3_1_1)
        return invalid(error, "mqtt_version", "no such version");
    if (o->mqtt_version == SYMBOLON_MQTT_3_1_1 && o->keep_session &&
        (o->client_id == NULL || o->client_id[0] == '\0'))
        return invalid(error, "MQTT3 [MQTT-3.1.3-7]", "a session to continue needs a Client Identifier");
    if (o->host == NULL || o->host[0] == '\0')
        return invalid(error, "host", "no broker named");
    if ((o->cert_file == NULL) != (o->key_file == NULL))
        return invalid(error, "cert_file", "a certificate needs its key, and a key its certificate");
    if (o->pin.p != NULL && o->pin.len != TLS_PIN_LEN)
        return invalid(error, "pin", "a pin is the 32 bytes of a SHA-256");
    if (o->open_socket != NULL && (!o->no_tls || o->ws_path != NULL))
        return invalid(error, "open_socket", "a socket given is used as it is");
    if (o->ace == SYMBOLON_ACE_OFF)
        return SYMBOLON_OK;
    if (o->no_tls)
        return invalid(error, "RFC 9431 1 (MT-2)", "a token never goes over a connection without TLS");
    if (o->user_name != NULL || o->password.p != NULL)
        return invalid(error, "RFC 9431 2.2.4.1 (MT-50)", "a token takes the place of user name and password");
    if (o->ace > SYMBOLON_ACE_PSK_KID)
        return invalid(error, "ace", "no such mode");
    if (o->mqtt_version == SYMBOLON_MQTT_3_1_1 && o->ace == SYMBOLON_ACE_CHALLENGE)
        return invalid(error, "RFC 9431 6.1 (MT-123)", "MQTT 3.1.1 has no packet for challenge and response");
    if (o->ace == SYMBOLON_ACE_RPK && (o->key == NULL || symbolon_key_type(o->key) == SYMBOLON_KEY_SECRET))
        return invalid(error, "RFC 9431 2.2.3 (MT-23)", "a raw public key needs the private key it belongs to");
    if (o->ace == SYMBOLON_ACE_PSK && o->token != NULL && o->key != NULL &&
        symbolon_key_type(o->key) != SYMBOLON_KEY_SECRET)
        return invalid(error, "RFC 9431 2.2.3 (MT-23)", "a pre-shared key is a secret, and this key is none");
    if (o->ace == SYMBOLON_ACE_PSK_KID && o->token != NULL)
        return invalid(error, "RFC 9431 2.2.3.2 (MT-27)",
                       "the kid comes with the token from the authorization server: give no token");
    if (o->token != NULL && o->key == NULL)
        return invalid(error, "token", "a token given needs the key it is bound to");
    if (o->key != NULL && symbolon_key_type(o->key) == SYMBOLON_KEY_SECRET && o->token == NULL)
        return invalid(error, "key", "a shared secret is made by the authorization server: give no key");
    return SYMBOLON_OK;
}

static enum symbolon_status make_will(struct symbolon_client *c, const struct symbolon_message *will,
                                      struct engine_settings *s, struct symbolon_error *error)
{
    struct symbolon_message copy;
    struct mqtt_properties *p = &s->will.properties;
    struct why why = { 0 };

    if (will == NULL)
        return SYMBOLON_OK;
    copy = *will;
    if (copy.qos > 2)
        return invalid(error, "MQTT5 [MQTT-3.1.2-12]", "the Will's QoS is 0, 1 or 2");
    if (copy.payload.len > UINT16_MAX)
        return error_set(error, SYMBOLON_TOO_LARGE, "MQTT5 3.1.3.4", "a Will carries at most 65535 bytes");
    if (!keep_bytes(c, &copy.topic) || !keep_bytes(c, &copy.payload) || !keep_bytes(c, &copy.content_type) ||
        !keep_bytes(c, &copy.response_topic) || !keep_bytes(c, &copy.correlation_data))
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    if (topic_name_parse(span_of_bytes(copy.topic), &s->will.topic, &why) != ST_OK)
        return error_set(error, SYMBOLON_INVALID, why.clause, "Will topic: %s", why.text);
    enum symbolon_status st = message_properties(&copy, p, &c->will_properties, error);
    if (st != SYMBOLON_OK)
        return st;
    s->has_will = true;
    s->will.payload = span_of_bytes(copy.payload);
    s->will.qos = copy.qos;
    s->will.retain = copy.retain;
    if (copy.has_expiry) {
        p->message_expiry_s = copy.expiry_s;
        mqtt_set(p, PROP_MESSAGE_EXPIRY);
    }
    if (c->o.will_delay_s > 0) {
        p->will_delay_s = c->o.will_delay_s;
        mqtt_set(p, PROP_WILL_DELAY);
    }
    return SYMBOLON_OK;
}

static enum symbolon_status make_engine(struct symbolon_client *c, struct symbolon_error *error)
{
    const struct symbolon_client_options *o = &c->o;
    struct engine_settings s = {
        .version = o->mqtt_version == SYMBOLON_MQTT_3_1_1 ? MQTT_3_1_1 : MQTT_5,
        .client_id = o->client_id == NULL ? "" : o->client_id,
        .keep_session = o->keep_session,
        .session_expiry_s = o->session_expiry_s,
        .keep_alive_s = o->keep_alive_s,
        .receive_maximum = o->receive_maximum,
        .max_packet_size = o->max_packet_size,
        .max_inflight = o->max_inflight,
        .max_queue = o->max_queue,
        .manual_ack = o->manual_ack,
        .relay = o->relay,
        .bridge = o->bridge,
    };
    enum symbolon_status st = make_will(c, o->will, &s, error);

    c->o.will = NULL; /* borrowed by the caller's options only */
    engine_init(&c->engine, &s, &client_engine_events, c);
    return st;
}

static enum symbolon_status make_tls(struct symbolon_client *c, struct symbolon_error *error)
{
    static const char *const mqtt[] = { "mqtt", NULL }; /* MT-6 */
    static const char *const http[] = { "http/1.1", NULL };
    struct tls_settings settings = { .ca_file = c->o.ca_file,
                                     .cert_file = c->o.cert_file,
                                     .key_file = c->o.key_file,
                                     .alpn = c->o.ws_path != NULL ? http : mqtt };
    CLEANUP(buf_wipe)
    struct buf pem = { .max = KEY_PEM_MAX };
    struct why why = { 0 };

    if (c->o.no_tls)
        return SYMBOLON_OK;
    enum status st = tls_config_new_client(&settings, &c->tls, &why);
    if (st == ST_OK && c->o.ace == SYMBOLON_ACE_RPK) {
        st = key_write_pem(key_inside(c->o.key), true, &pem);
        settings.raw_keys = true;
        settings.cert_file = settings.key_file = NULL;
        settings.key_pem = buf_span(&pem);
        if (st == ST_OK)
            st = tls_config_new_client(&settings, &c->tls_raw, &why);
    }
    if (st == ST_OK)
        return SYMBOLON_OK;
    return c->o.ca_file == NULL ? error_from(error, st, &why) : error_about(error, st, &why, c->o.ca_file);
}

static enum symbolon_status make_token(struct symbolon_client *c, struct symbolon_error *error)
{
    if (c->o.key != NULL) {
        enum symbolon_status st = symbolon_key_thumbprint(c->o.key, c->thumbprint, error);
        if (st != SYMBOLON_OK)
            return st;
    }
    if (c->o.token != NULL) {
        c->token_fixed = true;
        c->token.access_token = strdup(c->o.token);
        if (c->token.access_token == NULL)
            return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    }
    client_token_init(c);
    return SYMBOLON_OK;
}

/* ---- making and freeing ---- */

static void deadline_over(struct timer *timer, struct now now);
static void pause_over(struct timer *timer, struct now now);
static void keep_alive_due(struct timer *timer, struct now now);

static enum symbolon_status fill(struct symbolon_client *c, struct symbolon_error *error)
{
    enum symbolon_status st;

    if (!keep_all(c))
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory, or options of more than a megabyte");
    st = make_engine(c, error);
    if (st == SYMBOLON_OK)
        st = make_tls(c, error);
    if (st == SYMBOLON_OK)
        st = make_token(c, error);
    return st;
}

/* Options and events of callers that were compiled for an earlier version end where theirs did. */
static enum symbolon_status take_options(struct symbolon_client *c,
                                         const struct symbolon_client_options *options,
                                         struct symbolon_error *error)
{
    const size_t first = offsetof(struct symbolon_client_options, mqtt_version);
    const size_t second = offsetof(struct symbolon_client_options, ws_path);
    const bool old = options->struct_size == first;

    if (!old && options->struct_size != sizeof *options && options->struct_size != second)
        return invalid(error, "struct_size", "made for another version of the library");
    memcpy(&c->o, options, options->struct_size);
    c->o.key = NULL;
    if (options->events != NULL)
        memcpy(&c->events, options->events,
               old ? offsetof(struct symbolon_events, uploaded) : sizeof c->events);
    return SYMBOLON_OK;
}

/* What symbolon_client_free() must find, whatever else fails. */
static void init(struct symbolon_client *c, struct symbolon_loop *loop)
{
    c->loop = loop;
    arena_init(&c->strings, STRINGS_MAX);
    buf_init(&c->will_properties, WILL_MAX);
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
    enum symbolon_status st = take_options(c, options, error);
    if (st == SYMBOLON_OK) {
        c->o.key = symbolon_key_ref(options->key);
        st = check_options(&c->o, error);
    }
    if (st == SYMBOLON_OK) {
        fill_defaults(&c->o);
        st = fill(c, error);
    }
    if (st != SYMBOLON_OK) {
        symbolon_client_free(c);
        return st;
    }
    *ret_client = c;
    return SYMBOLON_OK;
}

static void stop_timers(struct symbolon_client *c)
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
    stop_timers(c);
    client_drop_stream(c, false);
    client_token_done(c);
    engine_done(&c->engine);
    engine_done(&c->upload);
    tls_config_unref(c->tls);
    tls_config_unref(c->tls_raw);
    buf_wipe(&c->login);
    buf_wipe(&c->psk_identity);
    buf_done(&c->spki);
    symbolon_key_unref(c->o.key);
    buf_done(&c->will_properties);
    free(c->other_host);
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
static bool final(const struct symbolon_error *error)
{
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
    bool again =
        c->o.reconnect && c->state != CLIENT_CLOSING && !c->fetch_only && !c->upload_only && !final(error);

    stop_timers(c);
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
    uint32_t pause_ms = next_pause(c);
    timer_start(loop_timers(c->loop->loop), &c->pause, mono_plus_ms(client_now(c).mono, pause_ms));
    tell_disconnected(c, &copy, pause_ms);
}

/* Where there is no AUTH to renew it with, a new token means a new connection. */
void client_come_again(struct symbolon_client *c)
{
    struct symbolon_error error;

    error_set(&error, SYMBOLON_CLOSED, "", "connecting again, with a new token");
    engine_disconnect(&c->engine, MQTT_SUCCESS, client_now(c));
    stop_timers(c);
    client_drop_stream(c, true);
    client_enter(c, CLIENT_PAUSED);
    engine_lost(&c->engine, &error, client_now(c));
    timer_start(loop_timers(c->loop->loop), &c->pause, client_now(c).mono);
    tell_disconnected(c, &error, 0);
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

/* ---- public calls ---- */

enum symbolon_status symbolon_client_start(struct symbolon_client *c, struct symbolon_error *error)
{
    if (c->state != CLIENT_IDLE)
        return invalid(error, "", "the client is running already");
    c->pause_ms = 0;
    client_enter(c, CLIENT_PAUSED); /* so that even the first failure comes from the loop */
    timer_start(loop_timers(c->loop->loop), &c->pause, client_now(c).mono);
    return SYMBOLON_OK;
}

enum symbolon_status symbolon_client_fetch_token(struct symbolon_client *c, bool force,
                                                 struct symbolon_error *error)
{
    if (c->o.ace == SYMBOLON_ACE_OFF || c->token_fixed)
        return invalid(error, "", "this client does not fetch tokens");
    if (c->state != CLIENT_IDLE)
        return invalid(error, "", "the client is running already");
    if (force)
        client_drop_token(c);
    c->fetch_only = true;
    return symbolon_client_start(c, error);
}

enum symbolon_status symbolon_client_upload_token(struct symbolon_client *c, struct symbolon_error *error)
{
    if (c->o.ace == SYMBOLON_ACE_OFF)
        return invalid(error, "", "this client has no token");
    if (c->state != CLIENT_IDLE)
        return invalid(error, "", "the client is running already");
    c->upload_only = true;
    c->token_uploaded = false;
    return symbolon_client_start(c, error);
}

const struct symbolon_token *symbolon_client_token(struct symbolon_client *c)
{
    return client_token_usable(c) ? &c->token : NULL;
}

void symbolon_client_disconnect(struct symbolon_client *c, uint8_t reason_code)
{
    if (c->state == CLIENT_IDLE || c->state == CLIENT_CLOSING)
        return;
    bool has_session = c->state == CLIENT_OPEN || c->state == CLIENT_CONNECTING;
    stop_timers(c);
    client_stop_fetching(c);
    if (has_session && c->stream != NULL) {
        engine_disconnect(&c->engine, reason_code, client_now(c));
        client_enter(c, CLIENT_CLOSING);
        stream_close(c->stream); /* goes on in on_closed() */
        return;
    }
    client_drop_stream(c, false);
    client_enter(c, CLIENT_CLOSING);
    timer_start(loop_timers(c->loop->loop), &c->pause, client_now(c).mono);
}

enum symbolon_status symbolon_client_publish(struct symbolon_client *c, const struct symbolon_message *message,
                                             uint64_t *ret_id, struct symbolon_error *error)
{
    enum symbolon_status st = engine_publish(&c->engine, message, client_now(c), ret_id, error);

    client_rearm(c);
    return st;
}

enum symbolon_status symbolon_client_set_address(struct symbolon_client *c, const char *host, uint16_t port,
                                                 struct symbolon_error *error)
{
    char *copy = strdup(host);

    if (copy == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    free(c->other_host);
    c->o.host = c->other_host = copy;
    c->o.port = port != 0 ? port : default_port(&c->o);
    return SYMBOLON_OK;
}

enum symbolon_status symbolon_client_subscribe_with(struct symbolon_client *c,
                                                    const struct symbolon_subscription *subscriptions,
                                                    size_t count, const struct symbolon_request *request,
                                                    uint64_t *ret_id, struct symbolon_error *error)
{
    enum symbolon_status st =
        engine_subscribe(&c->engine, subscriptions, count, request, client_now(c), ret_id, error);

    client_rearm(c);
    return st;
}

enum symbolon_status symbolon_client_subscribe(struct symbolon_client *c,
                                               const struct symbolon_subscription *subscriptions, size_t count,
                                               uint64_t *ret_id, struct symbolon_error *error)
{
    return symbolon_client_subscribe_with(c, subscriptions, count, NULL, ret_id, error);
}

enum symbolon_status symbolon_client_unsubscribe_with(struct symbolon_client *c, const char *const *filters,
                                                      size_t count, const struct symbolon_request *request,
                                                      uint64_t *ret_id, struct symbolon_error *error)
{
    enum symbolon_status st =
        engine_unsubscribe(&c->engine, filters, count, request, client_now(c), ret_id, error);

    client_rearm(c);
    return st;
}

enum symbolon_status symbolon_client_unsubscribe(struct symbolon_client *c, const char *const *filters,
                                                 size_t count, uint64_t *ret_id, struct symbolon_error *error)
{
    return symbolon_client_unsubscribe_with(c, filters, count, NULL, ret_id, error);
}

enum symbolon_status symbolon_client_ack(struct symbolon_client *c, uint64_t handle, uint8_t reason_code,
                                         struct symbolon_error *error)
{
    enum symbolon_status st = engine_ack(&c->engine, handle, reason_code, client_now(c), error);

    client_rearm(c);
    return st;
}

enum symbolon_status symbolon_client_flush(struct symbolon_client *c, struct symbolon_error *error)
{
    enum symbolon_status st = engine_flush(&c->engine, client_now(c), error);

    client_rearm(c);
    return st;
}

size_t symbolon_client_pending(const struct symbolon_client *c)
{
    return engine_pending(&c->engine);
}
