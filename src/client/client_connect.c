/* One connection: dial, CONNECT with a proof of possession, packets both ways, the end. */
#include "client/client_priv.h"
#include "client/key_priv.h"
#include "codec/json.h"
#include "jose/jwk.h"
#include "net/dial.h"
#include "token/ace_cbor.h"
#include "token/psk_identity.h"

#include <stdlib.h>

#define USER_PROPERTIES_MAX  64 /* on the stack */
#define SUBSCRIPTION_IDS_MAX 64
#define BACKLOG_MAX          (MQTT_PACKET_SIZE_MAX + ANSWERS_MAX) /* one message of any size, behind others */
#define ANSWERS_MAX          16777216u                            /* to a broker that sends and does not read */
#define PIN_CLAUSE           "RFC 9431 2.2.1 (MT-26)"

void client_rearm(struct symbolon_client *c)
{
    int64_t due = engine_due(&c->engine);

    if (due < 0)
        timer_stop(loop_timers(c->loop->loop), &c->keep_alive);
    else
        timer_start(loop_timers(c->loop->loop), &c->keep_alive, (struct mono_time){ due });
}

/* ---- a stream nobody listens to any more ---- */

static size_t orphan_data(void *ctx UNUSED, struct span data)
{
    return data.len;
}

static void orphan_closed(void *ctx UNUSED, enum status st UNUSED, const struct why *why UNUSED)
{
}

static const struct stream_events orphan = { .on_data = orphan_data, .on_closed = orphan_closed };

void client_drop_stream(struct symbolon_client *c, bool in_order)
{
    struct stream *stream = TAKE(c->stream);

    timer_stop(loop_timers(c->loop->loop), &c->deadline);
    if (stream == NULL)
        return;
    stream_set_ctx(stream, &orphan, NULL);
    if (in_order)
        stream_close(stream);
    else
        stream_abort(stream, ST_OK, (struct why){ .clause = "client", .text = "not needed any more" });
}

/* ---- the broker is who it should be (MT-26), and so are we ---- */

/* rs_cnf with a key (RFC 9201 3.2): the broker shows that one, raw or in a certificate. */
static enum symbolon_status expect_key(struct symbolon_client *c, struct tls_expect *expect,
                                       struct symbolon_error *error)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct jwk jwk;
    struct why why = { 0 };

    buf_reset(&c->spki);
    if (c->token.rs_jwk == NULL)
        return SYMBOLON_OK;
    enum status st = js_parse(span_of_str(c->token.rs_jwk), strlen(c->token.rs_jwk), &js, &why);
    if (st == ST_OK)
        st = jwk_parse(js, JWK_PUBLIC, &jwk, &why);
    if (st != ST_OK)
        return error_from(error, st, &why);
    st = key_write_spki(jwk.key, &c->spki);
    jwk_done(&jwk);
    if (st != ST_OK)
        return error_from(error, st, &(struct why){ .clause = PIN_CLAUSE });
    expect->spki = buf_span(&c->spki);
    return SYMBOLON_OK;
}

/* MT-27, MT-28: the identity is the token, or the kid of a key whose token the broker has. */
static enum symbolon_status expect_psk(struct symbolon_client *c, struct tls_expect *expect,
                                       struct symbolon_error *error)
{
    const struct symbolon_key *key = client_pop_key(c);
    enum symbolon_status st = SYMBOLON_OK;

    buf_reset(&c->psk_identity);
    if (key == NULL || symbolon_key_type(key) != SYMBOLON_KEY_SECRET)
        return error_set(error, SYMBOLON_UNSUPPORTED, "RFC 9431 2.2.3 (MT-23)",
                         "a pre-shared key is a secret, and the token is bound to a public key");
    if (c->o.ace == SYMBOLON_ACE_PSK) {
        st = client_token_bytes(c, &c->psk_identity, error);
    } else if (c->token.kid == NULL) {
        st = error_set(error, SYMBOLON_UNSUPPORTED, "RFC 9431 2.2.3.2 (MT-27)",
                       "the authorization server gave the key no kid, by which the broker could be told of it");
    } else {
        CLEANUP(buf_done)
        struct buf kid = { .max = TOKEN_BYTES_MAX };
        enum status made = ace_kid_bytes(span_of_str(c->token.kid), &kid);
        if (made == ST_OK)
            made = psk_identity_write_cbor(buf_span(&kid), &c->psk_identity);
        if (made != ST_OK)
            st = error_from(error, made, &(struct why){ .clause = "RFC 9431 2.2.3.2 (MT-27)" });
    }
    expect->psk_identity = buf_span(&c->psk_identity);
    expect->psk_key = key_secret(key_inside(key));
    return st;
}

static enum status open_or_dial(struct symbolon_client *c, const struct dial_settings *settings,
                                const struct stream_events *events, struct why *why)
{
    if (c->o.open_socket == NULL)
        return dial(c->loop->loop, settings, events, c, &c->stream, why);
    int fd = c->o.open_socket(c->o.arg);
    if (fd < 0)
        return reject(why, ST_UNREACHABLE, "open_socket", "no connection to be had now", 0);
    return stream_new(c->loop->loop, fd, &settings->stream, events, c, &c->stream, why);
}

bool client_open_stream(struct symbolon_client *c, bool known, const struct stream_events *events)
{
    struct dial_settings settings = {
        .host = c->o.host,
        .port = c->o.port,
        .tls = known && c->tls_raw != NULL ? c->tls_raw : c->tls,
        .expect = { .host = c->o.server_name,
                    .any_name = c->o.insecure,
                    .pin = c->token.has_rs_x5t ? c->token.rs_x5t : c->o.pin.p },
        .ws_path = c->o.ws_path,
        .bind_address = c->o.bind_address,
        .connect_ms = c->o.connect_timeout_ms,
        .stream = { .handshake_ms = c->o.connect_timeout_ms,
                    .unread_max = (size_t)c->o.max_packet_size + 65536,
                    /* what a relay sends, it has received from one like itself */
                    .backlog_max = c->o.relay ? c->o.max_packet_size + ANSWERS_MAX : BACKLOG_MAX },
    };
    struct symbolon_error error;
    struct why why = { 0 };
    bool psk = known && (c->o.ace == SYMBOLON_ACE_PSK || c->o.ace == SYMBOLON_ACE_PSK_KID);
    enum symbolon_status ready =
        psk ? expect_psk(c, &settings.expect, &error) : expect_key(c, &settings.expect, &error);

    client_say(c, 4, "connecting to %s port %u%s%s%s", c->o.host, c->o.port,
               c->o.ws_path != NULL ? " by WebSocket" : "", c->tls == NULL ? " without TLS" : "",
               psk                           ? ", with a pre-shared key"
               : known && c->tls_raw != NULL ? ", with a raw public key"
                                             : "");
    if (ready == SYMBOLON_OK) {
        enum status st = open_or_dial(c, &settings, events, &why);
        if (st != ST_OK) {
            c->stream = NULL;
            ready = error_from(&error, st, &why);
        }
    }
    if (ready != SYMBOLON_OK) {
        client_failed(c, &error);
        return false;
    }
    timer_start(loop_timers(c->loop->loop), &c->deadline,
                mono_plus_ms(client_now(c).mono, c->o.connect_timeout_ms));
    return true;
}

/* ---- CONNECT ---- */

static enum symbolon_status exporter_value(struct symbolon_client *c, uint8_t out[SYMBOLON_ACE_EXPORTER_LEN],
                                           struct symbolon_error *error)
{
    struct why why = { 0 };
    enum status st = tls_exporter(stream_tls(c->stream), SPAN(SYMBOLON_ACE_EXPORTER_LABEL), out,
                                  SYMBOLON_ACE_EXPORTER_LEN, &why);

    return st == ST_OK ? SYMBOLON_OK : error_from(error, st, &why);
}

/* Authentication Data of CONNECT. */
static enum symbolon_status make_auth_data(struct symbolon_client *c, struct buf *out,
                                           struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf token = { .max = TOKEN_BYTES_MAX };
    uint8_t exporter[SYMBOLON_ACE_EXPORTER_LEN];
    uint8_t *room;
    size_t len = 0;
    enum symbolon_status st;

    room = buf_room(out, SYMBOLON_ACE_AUTH_DATA_MAX);
    if (room == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    st = client_token_bytes(c, &token, error);
    if (st != SYMBOLON_OK)
        return st;
    struct symbolon_bytes bytes = bytes_of_span(buf_span(&token));
    c->proved = c->o.ace != SYMBOLON_ACE_CHALLENGE && !tls_resumed(stream_tls(c->stream)); /* MT-61 */
    if (!c->proved) {
        st = symbolon_ace_connect_challenge(bytes, room, SYMBOLON_ACE_AUTH_DATA_MAX, &len, error);
    } else {
        st = exporter_value(c, exporter, error);
        if (st == SYMBOLON_OK)
            st = symbolon_ace_connect_exporter(bytes, client_pop_key(c), exporter, room,
                                               SYMBOLON_ACE_AUTH_DATA_MAX, &len, error);
    }
    if (st == SYMBOLON_OK)
        buf_added(out, len);
    return st;
}

/* User name and password of 3.1.1 (MT-121 to MT-123). */
static enum symbolon_status make_login(struct symbolon_client *c, struct buf *password,
                                       struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf token = { .max = TOKEN_BYTES_MAX };
    uint8_t exporter[SYMBOLON_ACE_EXPORTER_LEN];
    uint8_t *proof = buf_room(password, SYMBOLON_ACE_PROOF_MAX), *name;
    size_t len;
    enum symbolon_status st = client_token_bytes(c, &token, error);

    buf_reset(&c->login);
    name = buf_room(&c->login, UINT16_MAX + 1);
    if (st == SYMBOLON_OK && (proof == NULL || name == NULL))
        st = error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    if (st == SYMBOLON_OK)
        st = symbolon_ace_v3_user_name(bytes_of_span(buf_span(&token)), c->o.answer_layout, name, UINT16_MAX,
                                       &len, error);
    if (st != SYMBOLON_OK)
        return st;
    buf_added(&c->login, len);
    put_u8(&c->login, 0);
    st = exporter_value(c, exporter, error);
    if (st == SYMBOLON_OK)
        st = symbolon_ace_v3_password(client_pop_key(c), exporter, proof, SYMBOLON_ACE_PROOF_MAX, &len, error);
    if (st == SYMBOLON_OK)
        buf_added(password, len);
    return st;
}

/* Who we are goes into CONNECT, unless the TLS handshake has said so. Without a token CONNECT asks for hints (MT-92). */
static enum symbolon_status authenticate(struct symbolon_client *c, struct buf *auth_data, struct buf *password,
                                         struct symbolon_error *error)
{
    bool token = c->token.access_token != NULL;
    enum symbolon_status st = SYMBOLON_OK;

    if (c->o.ace == SYMBOLON_ACE_OFF) {
        engine_set_login(&c->engine, false, c->o.user_name, span_of_bytes(c->o.password));
    } else if (token && !client_proves_in_mqtt(c)) {
        engine_set_login(&c->engine, false, NULL, SPAN_NONE);
    } else if (c->o.mqtt_version == SYMBOLON_MQTT_3_1_1) {
        st = make_login(c, password, error);
        engine_set_login(&c->engine, false, (const char *)c->login.p, buf_span(password));
    } else {
        st = token ? make_auth_data(c, auth_data, error) : SYMBOLON_OK;
        engine_set_login(&c->engine, true, NULL, SPAN_NONE);
    }
    return st;
}

static void on_ready(void *ctx)
{
    struct symbolon_client *c = ctx;
    CLEANUP(buf_wipe)
    struct buf auth_data = { .max = SYMBOLON_ACE_AUTH_DATA_MAX };
    CLEANUP(buf_wipe)
    struct buf password = { .max = SYMBOLON_ACE_PROOF_MAX };
    struct symbolon_error error;

    if (c->state != CLIENT_DIALING)
        return;
    if (authenticate(c, &auth_data, &password, &error) != SYMBOLON_OK) {
        client_failed(c, &error);
        return;
    }
    client_enter(c, CLIENT_CONNECTING);
    engine_connect(&c->engine, buf_span(&auth_data), client_now(c));
    engine_set_login(&c->engine, c->engine.settings.ace, NULL, SPAN_NONE); /* both were borrowed */
    buf_wipe(&c->login);
    client_rearm(c);
}

static size_t on_data(void *ctx, struct span data)
{
    struct symbolon_client *c = ctx;

    if (c->state != CLIENT_CONNECTING && c->state != CLIENT_OPEN)
        return data.len;
    size_t used = engine_input(&c->engine, data, client_now(c));
    client_rearm(c);
    return used;
}

static void on_drained(void *ctx)
{
    struct symbolon_client *c = ctx;

    if (c->state != CLIENT_OPEN)
        return;
    engine_drained(&c->engine, client_now(c));
    client_rearm(c);
}

void client_stream_error(const struct symbolon_client *c, enum status st, const struct why *why,
                         struct symbolon_error *out)
{
    if (st == ST_IO) /* a reset, or TLS cut off: the broker is gone, politely or not */
        error_set(out, SYMBOLON_CLOSED, why->clause, "the broker ended the connection: %s", why->text);
    else if (st == ST_OK && c->state == CLIENT_OPEN && c->o.mqtt_version == SYMBOLON_MQTT_3_1_1)
        error_set(
            out, SYMBOLON_CLOSED, "MQTT3 3.3.5",
            "the broker closed the connection; in MQTT 3.1.1 that is also how it refuses a message or ends a "
            "session whose token has");
    else if (st == ST_OK && c->state == CLIENT_OPEN)
        error_set(out, SYMBOLON_CLOSED, "", "the broker closed the connection without a DISCONNECT");
    else if (st == ST_OK)
        error_set(out, SYMBOLON_CLOSED, "", "the broker closed the connection before its CONNACK");
    else
        error_from(out, st, why);
}

static void on_closed(void *ctx, enum status st, const struct why *why)
{
    struct symbolon_client *c = ctx;
    struct symbolon_error error;

    c->stream = NULL;
    if (c->state == CLIENT_CLOSING)
        error_none(&error);
    else
        client_stream_error(c, st, why, &error);
    client_failed(c, &error);
}

static const struct stream_events stream_events = {
    .on_ready = on_ready,
    .on_data = on_data,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

void client_dial(struct symbolon_client *c)
{
    bool known = c->o.ace != SYMBOLON_ACE_OFF && !client_proves_in_mqtt(c) && c->token.access_token != NULL;

    client_enter(c, CLIENT_DIALING);
    (void)client_open_stream(c, known, &stream_events);
}

/* ---- what the engine says ---- */

static void engine_sends(void *ctx, struct span bytes)
{
    struct symbolon_client *c = ctx;

    if (c->stream != NULL)
        stream_send(c->stream, bytes);
}

static bool engine_congested(void *ctx)
{
    struct symbolon_client *c = ctx;

    return c->stream != NULL && stream_congested(c->stream);
}

static void engine_connected(void *ctx, const struct mqtt_connack *connack)
{
    struct symbolon_client *c = ctx;
    const struct mqtt_properties *p = &connack->properties;
    struct symbolon_user_property user[USER_PROPERTIES_MAX];
    struct symbolon_connected connected = {
        .session_present = connack->session_present,
        .receive_maximum = mqtt_receive_maximum(p),
        .maximum_qos = c->engine.broker_max_qos,
        .retain_available = c->engine.broker_retain,
        .wildcard_available = c->engine.broker_wildcard,
        .subscription_id_available = c->engine.broker_subscription_id,
        .shared_available = c->engine.broker_shared,
        .maximum_packet_size = c->engine.broker_max_packet,
        .topic_alias_maximum = mqtt_has(p, PROP_TOPIC_ALIAS_MAXIMUM) ? p->topic_alias_maximum : 0,
        .response_information = bytes_of_span(p->response_info),
        .server_reference = bytes_of_span(p->server_reference),
        .reason_string = bytes_of_span(p->reason_string),
        .user_properties = user,
        .client_id = engine_client_id(&c->engine),
        .session_expiry_s = mqtt_has(p, PROP_SESSION_EXPIRY) ? p->session_expiry_s : c->o.session_expiry_s,
        .keep_alive_s = c->engine.keep_alive_s,
        .tls = c->tls == NULL ? NULL : tls_version(stream_tls(c->stream)),
        .token_expires_at_s = c->o.ace == SYMBOLON_ACE_OFF ? 0 : c->token.expires_at_s,
    };

    connected.user_property_count = message_user_properties(p, user, USER_PROPERTIES_MAX);
    if (connected.user_property_count > USER_PROPERTIES_MAX)
        connected.user_property_count = USER_PROPERTIES_MAX;
    timer_stop(loop_timers(c->loop->loop), &c->deadline);
    client_enter(c, CLIENT_OPEN);
    client_arrived(c);
    if (c->paused)
        stream_pause(c->stream);
    client_schedule_renewal(c);
    if (c->store != NULL && connected.session_expiry_s == 0 && c->o.mqtt_version == SYMBOLON_MQTT_5 &&
        !c->told_expiry) {
        c->told_expiry = true;
        client_say(c, 1, "the broker ends the session with each connection: QoS 2 is not exactly once here");
    }
    if (c->events.connected != NULL)
        c->events.connected(c->o.arg, &connected);
}

static void engine_ended(void *ctx, const struct symbolon_error *why, const struct mqtt_connack *connack)
{
    struct symbolon_client *c = ctx;
    struct symbolon_error error = *why;

    if (c->o.ace != SYMBOLON_ACE_OFF && connack != NULL && connack->reason == MQTT_NOT_AUTHORIZED &&
        client_try_hints(c, connack, &error))
        return;
    if (client_follow(c, &error, c->engine.server_reference))
        return;
    client_failed(c, &error);
}

static void engine_challenge(void *ctx, struct span challenge)
{
    struct symbolon_client *c = ctx;
    CLEANUP(buf_wipe)
    struct buf answer = { .max = SYMBOLON_ACE_AUTH_DATA_MAX };
    struct symbolon_error error;
    uint8_t *room = buf_room(&answer, 256);
    size_t len = 0;
    enum symbolon_status st;

    if (room == NULL)
        st = error_set(&error, SYMBOLON_NO_MEMORY, "", "out of memory");
    else if (c->token.access_token == NULL)
        st = error_set(&error, SYMBOLON_PROTOCOL, "RFC 9431 2.2.4.2.2", "a challenge, though we sent no token");
    else if (c->state == CLIENT_CONNECTING && c->proved) /* it could be another broker's, passed on */
        st = error_set(&error, SYMBOLON_PROTOCOL, "RFC 9431 2.2.4.2.2 (MT-59)",
                       "a challenge, though we sent the proof that is bound to this connection");
    else
        st = symbolon_ace_answer(bytes_of_span(challenge), client_pop_key(c), NULL, c->o.answer_layout, room,
                                 256, &len, &error);
    if (st != SYMBOLON_OK) {
        engine_disconnect(&c->engine, MQTT_PROTOCOL_ERROR, client_now(c));
        client_failed(c, &error);
        return;
    }
    engine_auth(&c->engine, MQTT_CONTINUE_AUTHENTICATION, span_of(room, len), client_now(c));
}

static void engine_reauthenticated(void *ctx)
{
    struct symbolon_client *c = ctx;

    client_say(c, 3, "re-authenticated with a new token");
    client_schedule_renewal(c);
    if (c->events.token != NULL)
        c->events.token(c->o.arg, c->token.expires_at_s, true);
}

static void engine_message(void *ctx, const struct mqtt_publish *publish)
{
    struct symbolon_client *c = ctx;
    struct symbolon_user_property few[USER_PROPERTIES_MAX], *user = few;
    uint32_t ids[SUBSCRIPTION_IDS_MAX];
    struct symbolon_message message;
    size_t count = message_user_properties(&publish->properties, few, USER_PROPERTIES_MAX);

    if (c->events.message == NULL)
        return;
    if (count > USER_PROPERTIES_MAX) /* rare; max_packet_size bounds it */
        user = calloc(count, sizeof *user);
    if (user == NULL) {
        user = few;
        count = USER_PROPERTIES_MAX;
    }
    message_of_publish(publish, user, count, ids, SUBSCRIPTION_IDS_MAX, &message);
    message.handle = engine_handle(&c->engine);
    c->events.message(c->o.arg, &message);
    if (user != few)
        free(user);
}

static void engine_published(void *ctx, uint64_t id, const struct symbolon_error *result)
{
    struct symbolon_client *c = ctx;

    if (c->events.published != NULL)
        c->events.published(c->o.arg, id, result);
}

static void engine_subscribed(void *ctx, uint64_t id, struct span codes, const struct symbolon_error *result)
{
    struct symbolon_client *c = ctx;

    if (c->events.subscribed != NULL)
        c->events.subscribed(c->o.arg, id, codes.p, codes.len, result);
}

static void engine_unsubscribed(void *ctx, uint64_t id, struct span codes, const struct symbolon_error *result)
{
    struct symbolon_client *c = ctx;

    if (c->events.unsubscribed != NULL)
        c->events.unsubscribed(c->o.arg, id, codes.p, codes.len, result);
}

static void engine_flushed(void *ctx, const struct symbolon_error *result)
{
    struct symbolon_client *c = ctx;

    if (c->events.flushed != NULL)
        c->events.flushed(c->o.arg, result);
}

const struct engine_events client_engine_events = {
    .send = engine_sends,
    .congested = engine_congested,
    .connected = engine_connected,
    .ended = engine_ended,
    .challenge = engine_challenge,
    .reauthenticated = engine_reauthenticated,
    .message = engine_message,
    .published = engine_published,
    .subscribed = engine_subscribed,
    .unsubscribed = engine_unsubscribed,
    .flushed = engine_flushed,
};
