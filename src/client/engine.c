#include "client/engine_priv.h"

#include <stdlib.h>

#define OUT_MAX       (MQTT_PACKET_SIZE_MAX + 65536u)
#define PING_GRACE_MS 20000 /* a PINGRESP later than this means that nobody is there */
#define CONNACK_MAX   262144
#define QUOTA_MAX     60000 /* leaves packet identifiers for SUBSCRIBE and UNSUBSCRIBE */

void engine_init(struct engine *e, const struct engine_settings *settings, const struct engine_events *events,
                 void *ctx)
{
    *e = (struct engine){ .settings = *settings, .events = events, .ctx = ctx };
    if (e->settings.version != MQTT_3_1_1)
        e->settings.version = MQTT_5;
    buf_init(&e->out, OUT_MAX);
    e->last_packet_id = settings->first_packet_id == 0 ? 0 : (uint16_t)(settings->first_packet_id - 1);
    struct list *lists[] = { &e->queued, &e->again, &e->in_flight, &e->released, &e->requests, &e->kept };
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        list_init(lists[i]);
    for (size_t q = 0; q < COUNT_OF(e->incoming); q++)
        list_init(&e->incoming[q]);
}

void engine_done(struct engine *e)
{
    publish_done(e);
    requests_done(e);
    receive_forget(e);
    alias_forget(e);
    packet_ids_clear(&e->used);
    free(e->assigned_client_id);
    buf_wipe(&e->out);
}

const char *engine_client_id(const struct engine *e)
{
    return e->assigned_client_id != NULL ? e->assigned_client_id : e->settings.client_id;
}

size_t engine_pending(const struct engine *e)
{
    return e->queued_count + e->in_flight_count + e->request_count +
           (e->flush_after > 0 || e->flush_wanted ? 1 : 0);
}

/* ---- the store ---- */

void engine_note(struct engine *e, enum store_change what, uint64_t id, uint16_t packet_id)
{
    const struct engine_settings *s = &e->settings;

    if (s->store != NULL && !e->store_broken && s->store->note(s->store_ctx, what, id, packet_id) != ST_OK)
        e->store_broken = true;
}

enum symbolon_status engine_store_error(struct symbolon_error *error)
{
    return error_set(error, SYMBOLON_IO, "store_dir",
                     "the message store cannot be written: nothing is sent that could not be remembered");
}

static bool written_down(struct engine *e)
{
    const struct engine_settings *s = &e->settings;

    if (s->store != NULL && !e->store_broken && s->store->commit(s->store_ctx) != ST_OK)
        e->store_broken = true;
    return !e->store_broken;
}

void engine_restore_session(struct engine *e)
{
    e->had_session = true;
}

/* ---- output ---- */

void engine_out_of_memory(struct engine *e)
{
    struct symbolon_error error;

    error_set(&error, SYMBOLON_NO_MEMORY, "", "out of memory");
    engine_fail(e, MQTT_UNSPECIFIED_ERROR, &error);
}

void engine_send(struct engine *e)
{
    if (!written_down(e)) {
        struct symbolon_error error;
        engine_store_error(&error);
        engine_fail(e, MQTT_UNSPECIFIED_ERROR, &error);
        return;
    }
    if (!buf_ok(&e->out)) {
        struct symbolon_error error;
        buf_reset(&e->out);
        error_set(&error, SYMBOLON_NO_MEMORY, "", "out of memory for an outgoing packet");
        engine_fail(e, MQTT_UNSPECIFIED_ERROR, &error);
        return;
    }
    if (e->out.len == 0)
        return;
    e->last_sent = e->now.mono;
    e->events->send(e->ctx, buf_span(&e->out));
    if (e->out.cap > 65536) /* one large message is no reason to keep its room */
        buf_wipe(&e->out);
    else
        buf_reset(&e->out);
}

static void end_flush(struct engine *e, const struct symbolon_error *result)
{
    if (e->flush_after == 0 && !e->flush_wanted)
        return;
    e->flush_after = 0;
    e->flush_wanted = false;
    e->events->flushed(e->ctx, result);
}

static bool is_v3(const struct engine *e)
{
    return e->settings.version == MQTT_3_1_1;
}

/* In 3.1.1 it says one thing only: all is well, forget the Will. Everything else is said by closing. */
static void put_disconnect(struct engine *e, uint8_t code)
{
    if (is_v3(e) && code != MQTT_SUCCESS)
        return;
    mqtt_write_disconnect(&e->out, e->settings.version, &(struct mqtt_disconnect){ .reason = code });
}

static void end(struct engine *e, const struct symbolon_error *error, const struct mqtt_connack *connack)
{
    e->state = ENGINE_ENDED;
    e->events->ended(e->ctx, error, connack);
}

void engine_fail(struct engine *e, uint8_t disconnect_code, const struct symbolon_error *error)
{
    if (e->state != ENGINE_OPEN && e->state != ENGINE_AWAIT_CONNACK)
        return;
    if (!written_down(e))
        buf_reset(&e->out);
    /* Before CONNACK a client may send nothing but DISCONNECT or an answering AUTH (MT-54): this is one. */
    put_disconnect(e, disconnect_code);
    if (buf_ok(&e->out) && e->out.len > 0)
        e->events->send(e->ctx, buf_span(&e->out));
    buf_reset(&e->out);
    end(e, error, NULL);
}

void engine_fail_why(struct engine *e, enum status st, const struct why *why)
{
    struct symbolon_error error;

    error_about(&error, st, why, "the broker sent what it must not");
    engine_fail(e, status_mqtt5_code(st), &error);
}

static void fail_protocol(struct engine *e, const char *clause, const char *text)
{
    engine_fail_why(e, ST_PROTOCOL, &(struct why){ .clause = clause, .text = text });
}

uint16_t engine_take_packet_id(struct engine *e)
{
    for (int i = 0; i < UINT16_MAX; i++) {
        e->last_packet_id = e->last_packet_id == UINT16_MAX ? 1 : (uint16_t)(e->last_packet_id + 1);
        if (!packet_ids_has(&e->used, e->last_packet_id)) {
            return packet_ids_add(&e->used, e->last_packet_id) ? e->last_packet_id : 0;
        }
    }
    return 0;
}

void engine_give_packet_id(struct engine *e, uint16_t packet_id)
{
    packet_ids_remove(&e->used, packet_id);
}

/* ---- CONNECT and CONNACK ---- */

static void connect_properties(const struct engine *e, struct span auth_data, struct mqtt_properties *p)
{
    const struct engine_settings *s = &e->settings;

    if (is_v3(e)) {
        *p = (struct mqtt_properties){ 0 };
        return;
    }
    *p = (struct mqtt_properties){
        .session_expiry_s = s->session_expiry_s,
        .receive_maximum = s->receive_maximum,
        .maximum_packet_size = s->max_packet_size,
        .topic_alias_maximum = s->topic_alias_maximum,
        .request_response_info = 1,
        .raw = s->connect_properties,
    };
    mqtt_set(p, PROP_RECEIVE_MAXIMUM);
    mqtt_set(p, PROP_MAXIMUM_PACKET_SIZE);
    if (s->session_expiry_s > 0)
        mqtt_set(p, PROP_SESSION_EXPIRY);
    if (s->topic_alias_maximum > 0)
        mqtt_set(p, PROP_TOPIC_ALIAS_MAXIMUM);
    if (s->request_response_info)
        mqtt_set(p, PROP_REQUEST_RESPONSE_INFO);
    if (s->no_problem_info)
        mqtt_set(p, PROP_REQUEST_PROBLEM_INFO); /* 0 */
    if (s->connect_properties.len > 0)
        mqtt_set(p, PROP_USER);
    if (s->ace) {
        p->auth_method = SPAN(SYMBOLON_ACE_METHOD);
        mqtt_set(p, PROP_AUTH_METHOD);
    }
    if (auth_data.len > 0) {
        p->auth_data = auth_data;
        mqtt_set(p, PROP_AUTH_DATA);
    }
}

/* In 3.1.1 it is Clean Session, and says what becomes of the session afterwards as well. */
static bool clean_start(const struct engine *e)
{
    const struct engine_settings *s = &e->settings;

    return !s->keep_session && (is_v3(e) || !(e->had_session && s->session_expiry_s > 0));
}

void engine_set_login(struct engine *e, bool ace, const char *user_name, struct span password)
{
    e->settings.ace = ace;
    e->settings.user_name = user_name;
    e->settings.password = password;
}

void engine_connect(struct engine *e, struct span auth_data, struct now now)
{
    const struct engine_settings *s = &e->settings;
    struct mqtt_connect connect = {
        .version = s->version,
        .bridge = s->bridge,
        .clean_start = clean_start(e),
        .has_will = s->has_will,
        .has_user_name = !s->ace && s->user_name != NULL,
        .has_password = !s->ace && s->password.p != NULL,
        .keep_alive_s = s->keep_alive_s,
        .client_id = span_of_str(engine_client_id(e)),
        .will = s->will,
        .user_name = span_of_str(s->user_name),
        .password = s->password,
    };

    ASSERT(e->state == ENGINE_IDLE);
    e->now = now;
    e->keep_alive_s = s->keep_alive_s;
    e->reauthenticating = false;
    e->pings_out = e->flush_after = 0;
    receive_begin(e);
    alias_forget(e); /* not in engine_lost(): that can run inside `message`, whose topic may lie there */
    connect_properties(e, auth_data, &connect.properties);
    mqtt_write_connect(&e->out, &connect);
    e->state = ENGINE_AWAIT_CONNACK;
    engine_send(e);
}

static void take_limits(struct engine *e, const struct mqtt_properties *p)
{
    uint16_t quota = mqtt_receive_maximum(p);

    if (quota > e->settings.max_inflight)
        quota = e->settings.max_inflight;
    e->send_quota_max = quota < QUOTA_MAX ? quota : QUOTA_MAX;
    e->broker_max_packet = mqtt_maximum_packet_size(p);
    e->broker_max_qos = mqtt_maximum_qos(p);
    e->broker_retain = !mqtt_has(p, PROP_RETAIN_AVAILABLE) || p->retain_available != 0;
    e->broker_wildcard = !mqtt_has(p, PROP_WILDCARD_AVAILABLE) || p->wildcard_available != 0;
    e->broker_subscription_id =
        !is_v3(e) && (!mqtt_has(p, PROP_SUBSCRIPTION_ID_AVAILABLE) || p->subscription_id_available != 0);
    e->broker_shared = !mqtt_has(p, PROP_SHARED_AVAILABLE) || p->shared_available != 0;
    alias_take_maximum(e, mqtt_has(p, PROP_TOPIC_ALIAS_MAXIMUM) ? p->topic_alias_maximum : 0);
    if (mqtt_has(p, PROP_SERVER_KEEP_ALIVE)) /* [MQTT-3.1.2-21], [MQTT-3.2.2-21] */
        e->keep_alive_s = p->server_keep_alive_s;
}

static void accepted(struct engine *e, const struct mqtt_connack *connack)
{
    const struct mqtt_properties *p = &connack->properties;

    if (connack->session_present && clean_start(e)) {
        fail_protocol(e, "MQTT5 [MQTT-3.2.2-2]", "Session Present although a clean start was asked for");
        return;
    }
    if (mqtt_has(p, PROP_ASSIGNED_CLIENT_ID) && engine_client_id(e)[0] == '\0') {
        e->assigned_client_id = span_dup_str(p->assigned_client_id);
        if (e->assigned_client_id == NULL) {
            engine_out_of_memory(e);
            return;
        }
    }
    take_limits(e, p);
    e->state = ENGINE_OPEN;
    if (!e->had_session)
        engine_note(e, STORE_SESSION_NEW, 0, 0);
    e->had_session = true;
    publish_resume(e, connack->session_present);
    e->events->connected(e->ctx, connack);
    requests_resume(e, connack->session_present);
    publish_pump(e);
}

/* MQTT3 3.2.2.3, as the reason code of 5.0 that says the same. */
static uint8_t reason_of_return_code(uint8_t code)
{
    static const uint8_t reasons[] = {
        [MQTT3_ACCEPTED] = MQTT_SUCCESS,
        [MQTT3_UNACCEPTABLE_VERSION] = MQTT_UNSUPPORTED_VERSION,
        [MQTT3_IDENTIFIER_REJECTED] = MQTT_CLIENT_ID_NOT_VALID,
        [MQTT3_SERVER_UNAVAILABLE] = MQTT_SERVER_UNAVAILABLE,
        [MQTT3_BAD_USER_NAME_OR_PASSWORD] = MQTT_BAD_USER_NAME_OR_PASSWORD,
        [MQTT3_NOT_AUTHORIZED] = MQTT_NOT_AUTHORIZED,
    };

    return code < COUNT_OF(reasons) ? reasons[code] : MQTT_UNSPECIFIED_ERROR;
}

static void got_connack(struct engine *e, const struct mqtt_frame *frame)
{
    struct mqtt_connack connack;
    struct symbolon_error error;
    struct why why = { 0 };
    enum status st = mqtt_read_connack(frame, e->settings.version, &connack, &why);

    if (st != ST_OK) {
        engine_fail_why(e, st, &why);
        return;
    }
    if (is_v3(e))
        connack.reason = reason_of_return_code(connack.reason);
    if (connack.reason >= MQTT_UNSPECIFIED_ERROR) {
        error_from_reason(&error, "CONNACK", connack.reason, connack.properties.reason_string);
        e->server_reference = connack.properties.server_reference;
        end(e, &error, &connack);
        e->server_reference = SPAN_NONE;
        return;
    }
    if (connack.reason != MQTT_SUCCESS) {
        fail_protocol(e, "MQTT5 3.2.2.2", "a reason code that CONNACK does not have");
        return;
    }
    accepted(e, &connack);
}

/* ---- AUTH, DISCONNECT, PINGRESP ---- */

static void got_auth(struct engine *e, const struct mqtt_frame *frame)
{
    struct mqtt_auth auth;
    struct why why = { 0 };
    enum status st = mqtt_read_auth(frame, &auth, &why);

    if (st != ST_OK) {
        engine_fail_why(e, st, &why);
        return;
    }
    bool expected = e->settings.ace && (e->state == ENGINE_AWAIT_CONNACK || e->reauthenticating);
    if (!expected) {
        fail_protocol(e, "MQTT5 4.12", "AUTH without an authentication going on");
        return;
    }
    if (mqtt_has(&auth.properties, PROP_AUTH_METHOD) &&
        !span_eq_str(auth.properties.auth_method, SYMBOLON_ACE_METHOD)) {
        fail_protocol(e, "MQTT5 [MQTT-4.12.0-5]", "AUTH with another authentication method than ours");
        return;
    }
    if (auth.reason == MQTT_CONTINUE_AUTHENTICATION) {
        e->events->challenge(e->ctx, auth.properties.auth_data);
    } else if (auth.reason == MQTT_SUCCESS && e->state == ENGINE_OPEN) {
        e->reauthenticating = false;
        e->events->reauthenticated(e->ctx);
    } else {
        fail_protocol(e, "MQTT5 3.15.2.1", "AUTH with a reason code that does not belong here");
    }
}

static void got_disconnect(struct engine *e, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect disconnect;
    struct symbolon_error error;
    struct why why = { 0 };
    enum status st = mqtt_read_disconnect(frame, e->settings.version, &disconnect, &why);

    if (st != ST_OK) {
        engine_fail_why(e, st, &why);
        return;
    }
    if (error_from_reason(&error, "DISCONNECT", disconnect.reason, disconnect.properties.reason_string) ==
        SYMBOLON_OK)
        error.status = SYMBOLON_CLOSED; /* a polite goodbye is not what we asked for either */
    e->server_reference = disconnect.properties.server_reference;
    end(e, &error, NULL);
    e->server_reference = SPAN_NONE;
}

static void got_pingresp(struct engine *e, const struct mqtt_frame *frame)
{
    struct symbolon_error ok;
    struct why why = { 0 };
    enum status st = mqtt_read_ping(frame, &why);

    if (st != ST_OK) {
        engine_fail_why(e, st, &why);
        return;
    }
    if (e->pings_out == 0) {
        fail_protocol(e, "MQTT5 3.13", "PINGRESP without PINGREQ");
        return;
    }
    e->pings_out--;
    e->ping_sent = e->now.mono;
    if (e->flush_after > 0 && --e->flush_after == 0) {
        error_none(&ok);
        e->events->flushed(e->ctx, &ok);
    }
}

/* ---- input ---- */

/* What the broker may send, by state. Before CONNACK: only AUTH, CONNACK, and DISCONNECT when it fails an
 * authentication exchange (MQTT5 4.12, 4.13.1). */
static const uint32_t accepts[] = {
    [ENGINE_IDLE] = 0,
    [ENGINE_AWAIT_CONNACK] = IN(MQTT_CONNACK) | IN(MQTT_AUTH) | IN(MQTT_DISCONNECT),
    [ENGINE_OPEN] = IN(MQTT_PUBLISH) | IN(MQTT_PUBACK) | IN(MQTT_PUBREC) | IN(MQTT_PUBREL) | IN(MQTT_PUBCOMP) |
                    IN(MQTT_SUBACK) | IN(MQTT_UNSUBACK) | IN(MQTT_PINGRESP) | IN(MQTT_DISCONNECT) |
                    IN(MQTT_AUTH),
    [ENGINE_ENDED] = 0,
};

static void dispatch(struct engine *e, const struct mqtt_frame *frame)
{
    uint32_t unknown = is_v3(e) ? IN(MQTT_AUTH) | IN(MQTT_DISCONNECT) : 0;

    if ((accepts[e->state] & ~unknown & IN(frame->type)) == 0) {
        fail_protocol(e, "MQTT5 3.1.4", "a packet that does not belong here");
        return;
    }
    switch (frame->type) {
    case MQTT_CONNACK:
        got_connack(e, frame);
        break;
    case MQTT_PUBLISH:
        publish_received(e, frame);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        publish_acked(e, frame);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        request_answered(e, frame);
        break;
    case MQTT_PINGRESP:
        got_pingresp(e, frame);
        break;
    case MQTT_DISCONNECT:
        got_disconnect(e, frame);
        break;
    case MQTT_AUTH:
        got_auth(e, frame);
        break;
    default:
        ASSERT(false); /* not in accepts[] */
    }
}

static bool connected_or_trying(const struct engine *e)
{
    return e->state == ENGINE_OPEN || e->state == ENGINE_AWAIT_CONNACK;
}

/* Who is not a broker yet has nothing large to say, whatever size of messages we shall accept later. */
static uint32_t packet_limit(const struct engine *e)
{
    uint32_t max = e->settings.max_packet_size;

    return e->state == ENGINE_AWAIT_CONNACK && max > CONNACK_MAX ? CONNACK_MAX : max;
}

size_t engine_input(struct engine *e, struct span in, struct now now)
{
    size_t used = 0;

    e->now = now;
    while (connected_or_trying(e)) {
        struct mqtt_frame frame;
        struct why why = { 0 };
        enum status st = ST_OK;
        enum mqtt_frame_result r =
            mqtt_frame_next(span_cut(in, used, in.len), MQTT_FROM_SERVER, packet_limit(e), &frame, &st, &why);
        if (r == MQTT_FRAME_NEED_MORE)
            break;
        if (r == MQTT_FRAME_BAD) {
            engine_fail_why(e, st, &why);
            break;
        }
        dispatch(e, &frame);
        used += frame.total_len;
    }
    engine_send(e);
    return connected_or_trying(e) ? used : in.len;
}

void engine_lost(struct engine *e, const struct symbolon_error *why, struct now now)
{
    e->now = now;
    if (e->state == ENGINE_IDLE)
        return;
    e->state = ENGINE_IDLE;
    buf_reset(&e->out);
    e->pings_out = 0;
    requests_fail(e, why);
    end_flush(e, why);
}

/* ---- keep alive (MQTT5 3.1.2.10), flush ---- */

static void put_ping(struct engine *e)
{
    if (e->pings_out == 0)
        e->ping_sent = e->now.mono;
    e->pings_out++;
    mqtt_write_ping(&e->out, MQTT_PINGREQ);
}

int64_t engine_due(const struct engine *e)
{
    if (e->state != ENGINE_OPEN)
        return -1;
    if (e->pings_out > 0)
        return e->ping_sent.ms + PING_GRACE_MS;
    return e->keep_alive_s == 0 ? -1 : e->last_sent.ms + (int64_t)e->keep_alive_s * MS_PER_S;
}

void engine_tick(struct engine *e, struct now now)
{
    struct symbolon_error error;
    int64_t due = engine_due(e);

    e->now = now;
    if (due < 0 || now.mono.ms < due)
        return;
    if (e->pings_out > 0) {
        error_set(&error, SYMBOLON_TIMEOUT, "MQTT5 3.1.2.10", "the broker did not answer a PINGREQ");
        engine_fail(e, MQTT_UNSPECIFIED_ERROR, &error);
        return;
    }
    put_ping(e);
    engine_send(e);
}

void engine_flush_now(struct engine *e)
{
    e->flush_wanted = false;
    put_ping(e);
    e->flush_after = e->pings_out;
}

enum symbolon_status engine_flush(struct engine *e, struct now now, struct symbolon_error *error)
{
    if (e->state != ENGINE_OPEN)
        return error_set(error, SYMBOLON_CLOSED, "", "not connected");
    e->now = now;
    e->flush_wanted = true;
    publish_pump(e);
    engine_send(e);
    return SYMBOLON_OK;
}

void engine_auth(struct engine *e, uint8_t reason, struct span auth_data, struct now now)
{
    struct mqtt_auth auth = {
        .reason = reason,
        .properties = { .auth_method = SPAN(SYMBOLON_ACE_METHOD), .auth_data = auth_data },
    };

    e->now = now;
    if (!connected_or_trying(e))
        return;
    ASSERT(reason == MQTT_CONTINUE_AUTHENTICATION || e->state == ENGINE_OPEN);
    mqtt_set(&auth.properties, PROP_AUTH_METHOD);
    mqtt_set(&auth.properties, PROP_AUTH_DATA);
    if (reason == MQTT_REAUTHENTICATE)
        e->reauthenticating = true;
    mqtt_write_auth(&e->out, &auth);
    engine_send(e);
}

void engine_disconnect(struct engine *e, uint8_t reason, struct now now)
{
    e->now = now;
    if (!connected_or_trying(e))
        return;
    put_disconnect(e, reason);
    engine_send(e);
    e->state = ENGINE_ENDED;
}

enum symbolon_status engine_disconnect_with(struct engine *e, const struct symbolon_goodbye *goodbye,
                                            struct now now, struct symbolon_error *error)
{
    CLEANUP(buf_done)
    struct buf user = { .max = USER_PROPERTIES_BYTES };
    struct mqtt_disconnect d = { .reason = goodbye->reason_code };

    if (goodbye->has_session_expiry && goodbye->session_expiry_s > 0 && e->settings.session_expiry_s == 0)
        return error_set(error, SYMBOLON_INVALID, "MQTT5 3.14.2.2.2",
                         "a session that was to end with the connection cannot be made to live longer");
    enum symbolon_status st =
        user_properties_encode(goodbye->user_properties, goodbye->user_property_count, &user, error);
    if (st != SYMBOLON_OK)
        return st;
    if (goodbye->reason_code != MQTT_SUCCESS && goodbye->reason_code != MQTT_DISCONNECT_WITH_WILL &&
        goodbye->reason_code < MQTT_UNSPECIFIED_ERROR)
        return error_set(error, SYMBOLON_INVALID, "MQTT5 3.14.2.1", "no reason code of DISCONNECT");
    e->now = now;
    if (is_v3(e) || !connected_or_trying(e)) {
        engine_disconnect(e, goodbye->reason_code, now);
        return SYMBOLON_OK;
    }
    if (goodbye->has_session_expiry) {
        d.properties.session_expiry_s = goodbye->session_expiry_s;
        mqtt_set(&d.properties, PROP_SESSION_EXPIRY);
    }
    d.properties.raw = buf_span(&user);
    if (user.len > 0)
        mqtt_set(&d.properties, PROP_USER);
    mqtt_write_disconnect(&e->out, MQTT_5, &d);
    engine_send(e);
    e->state = ENGINE_ENDED;
    return SYMBOLON_OK;
}
