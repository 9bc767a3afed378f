/* The engine against a broker played by hand, in memory: handshakes, sessions, and a broker that misbehaves. */
#include "client/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the first two above */
#include <cmocka.h>

#define SENT_MAX 1048576

struct world {
    struct engine engine;
    struct buf sent;
    size_t read; /* of `sent` */
    struct now now;
    int connected, ended, messages, published, subscribed, flushed, challenged, reauthenticated;
    struct symbolon_error error, result;
    struct span last_codes;
    char topic[64];
    uint64_t last_id;
    bool refused_connack;
    bool congested;
};

static void on_send(void *ctx, struct span bytes)
{
    struct world *w = ctx;

    put_bytes(&w->sent, bytes);
}

static bool on_congested(void *ctx)
{
    return ((struct world *)ctx)->congested;
}

static void on_connected(void *ctx, const struct mqtt_connack *connack UNUSED)
{
    ((struct world *)ctx)->connected++;
}

static void on_ended(void *ctx, const struct symbolon_error *why, const struct mqtt_connack *connack)
{
    struct world *w = ctx;

    w->ended++;
    w->error = *why;
    w->refused_connack = connack != NULL;
}

static void on_challenge(void *ctx, struct span data)
{
    struct world *w = ctx;

    w->challenged++;
    assert_int_equal(data.len, 8);
    engine_auth(&w->engine, MQTT_CONTINUE_AUTHENTICATION, SPAN("answer"), w->now);
}

static void on_reauthenticated(void *ctx)
{
    ((struct world *)ctx)->reauthenticated++;
}

static void on_message(void *ctx, const struct mqtt_publish *publish)
{
    struct world *w = ctx;

    w->messages++;
    snprintf(w->topic, sizeof w->topic, "%.*s", SPAN_FMT(publish->topic.s));
}

static void on_published(void *ctx, uint64_t id, const struct symbolon_error *result)
{
    struct world *w = ctx;

    w->published++;
    w->last_id = id;
    w->result = *result;
}

static void on_subscribed(void *ctx, uint64_t id UNUSED, struct span codes, const struct symbolon_error *result)
{
    struct world *w = ctx;

    w->subscribed++;
    w->last_codes = codes;
    w->result = *result;
}

static void on_flushed(void *ctx, const struct symbolon_error *result)
{
    struct world *w = ctx;

    w->flushed++;
    w->result = *result;
}

static const struct engine_events events = {
    .send = on_send,
    .congested = on_congested,
    .connected = on_connected,
    .ended = on_ended,
    .challenge = on_challenge,
    .reauthenticated = on_reauthenticated,
    .message = on_message,
    .published = on_published,
    .subscribed = on_subscribed,
    .unsubscribed = on_subscribed,
    .flushed = on_flushed,
};

static const struct engine_settings plain = {
    .client_id = "c",
    .session_expiry_s = 100,
    .keep_alive_s = 10,
    .receive_maximum = 2,
    .max_packet_size = 4096,
    .max_inflight = 2,
    .max_queue = 4,
};

static struct world *world_new(const struct engine_settings *settings)
{
    struct world *w = calloc(1, sizeof *w);

    w->now = (struct now){ { 1000000 }, { 1800000000 } };
    buf_init(&w->sent, SENT_MAX);
    engine_init(&w->engine, settings, &events, w);
    return w;
}

static void world_free(struct world *w)
{
    engine_done(&w->engine);
    buf_done(&w->sent);
    free(w);
}

/* The next packet the client sent; false if there is none. */
static bool next_sent(struct world *w, struct mqtt_frame *frame)
{
    enum status st = ST_OK;

    if (mqtt_frame_next(span_cut(buf_span(&w->sent), w->read, SENT_MAX), MQTT_FROM_CLIENT, MQTT_PACKET_SIZE_MAX,
                        frame, &st, NULL) != MQTT_FRAME_READY)
        return false;
    w->read += frame->total_len;
    return true;
}

static void assert_sent(struct world *w, enum mqtt_packet_type type)
{
    struct mqtt_frame frame;

    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, type);
}

static void assert_silent(struct world *w)
{
    struct mqtt_frame frame;

    assert_false(next_sent(w, &frame));
}

static void assert_disconnect(struct world *w, uint8_t code)
{
    struct mqtt_frame frame;
    struct mqtt_disconnect d;

    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, MQTT_DISCONNECT);
    assert_int_equal(mqtt_read_disconnect(&frame, MQTT_5, &d, NULL), ST_OK);
    assert_int_equal(d.reason, code);
}

static void give(struct world *w, struct buf *b)
{
    assert_true(buf_ok(b));
    engine_input(&w->engine, buf_span(b), w->now);
    buf_done(b);
}

static void give_bytes(struct world *w, const void *p, size_t len)
{
    engine_input(&w->engine, span_of(p, len), w->now);
}

static void give_connack(struct world *w, bool session_present, uint8_t reason,
                         const struct mqtt_properties *properties)
{
    struct buf b = { .max = 4096 };
    struct mqtt_connack connack = { .session_present = session_present, .reason = reason };

    if (properties != NULL)
        connack.properties = *properties;
    mqtt_write_connack(&b, MQTT_5, &connack);
    give(w, &b);
}

static void give_ack(struct world *w, enum mqtt_packet_type type, uint16_t id, uint8_t reason)
{
    struct buf b = { .max = 4096 };

    mqtt_write_ack(&b, MQTT_5, &(struct mqtt_ack){ .type = type, .packet_id = id, .reason = reason });
    give(w, &b);
}

static void give_publish(struct world *w, uint8_t qos, uint16_t id, uint16_t alias)
{
    struct buf b = { .max = 8192 };

    mqtt_write_publish(
        &b, MQTT_5,
        &(struct mqtt_publish_out){
            .qos = qos, .packet_id = id, .topic = SPAN("a/b"), .payload = SPAN("x"), .topic_alias = alias });
    give(w, &b);
}

static void connect(struct world *w, bool session_present)
{
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, session_present, MQTT_SUCCESS, NULL);
    assert_int_equal(w->engine.state, ENGINE_OPEN);
}

static struct world *world_open(void)
{
    struct world *w = world_new(&plain);

    connect(w, false);
    return w;
}

static uint16_t publish(struct world *w, uint8_t qos, enum symbolon_status want)
{
    struct symbolon_message m = { .topic = { "t", 1 }, .payload = { "p", 1 }, .qos = qos };
    uint64_t id = 0;

    assert_int_equal(engine_publish(&w->engine, &m, w->now, &id, NULL), want);
    return (uint16_t)id;
}

/* The PUBLISH the client sent: its packet identifier. */
static uint16_t assert_publish(struct world *w, bool dup)
{
    struct mqtt_frame frame;
    struct mqtt_publish p;

    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, MQTT_PUBLISH);
    assert_int_equal(mqtt_read_publish(&frame, MQTT_5, &p, NULL), ST_OK);
    assert_int_equal(p.dup, dup);
    return p.packet_id;
}

static void assert_ended(struct world *w, uint8_t disconnect_code)
{
    assert_int_equal(w->ended, 1);
    assert_true(w->error.status != SYMBOLON_OK && w->error.text[0] != '\0');
    assert_disconnect(w, disconnect_code);
    assert_int_equal(w->engine.state, ENGINE_ENDED);
}

/* ---- as it should be ---- */

static void qos_1_and_2_are_reported_when_the_broker_has_taken_them(void **state UNUSED)
{
    struct world *w = world_open();

    publish(w, 1, SYMBOLON_OK);
    uint16_t one = assert_publish(w, false);
    publish(w, 2, SYMBOLON_OK);
    uint16_t two = assert_publish(w, false);
    assert_int_not_equal(one, two);
    assert_int_equal(w->published, 0);
    give_ack(w, MQTT_PUBREC, two, 0);
    assert_sent(w, MQTT_PUBREL);
    give_ack(w, MQTT_PUBACK, one, 0);
    assert_int_equal(w->published, 1);
    give_ack(w, MQTT_PUBCOMP, two, 0);
    assert_int_equal(w->published, 2);
    assert_int_equal(engine_pending(&w->engine), 0);
    world_free(w);
}

static void mt96_a_refused_message_is_reported_with_its_reason(void **state UNUSED)
{
    struct world *w = world_open();
    struct buf b = { .max = 4096 };
    struct mqtt_ack ack = { .type = MQTT_PUBACK, .reason = MQTT_NOT_AUTHORIZED };

    publish(w, 1, SYMBOLON_OK);
    ack.packet_id = assert_publish(w, false);
    ack.properties.reason_string = SPAN("no\033[31mpub");
    mqtt_set(&ack.properties, PROP_REASON_STRING);
    mqtt_write_ack(&b, MQTT_5, &ack);
    give(w, &b);
    assert_int_equal(w->result.status, SYMBOLON_NOT_AUTHORIZED);
    assert_int_equal(w->result.reason_code, 0x87);
    assert_non_null(strstr(w->result.text, "no?[31mpub"));
    publish(w, 2, SYMBOLON_OK);
    give_ack(w, MQTT_PUBREC, assert_publish(w, false), MQTT_NOT_AUTHORIZED);
    assert_int_equal(w->published, 2);
    assert_int_equal(w->result.status, SYMBOLON_NOT_AUTHORIZED);
    assert_silent(w); /* no PUBREL: MQTT5 4.3.3 */
    world_free(w);
}

static void mt97_a_flush_tells_whether_qos_0_was_accepted(void **state UNUSED)
{
    struct world *w = world_open();
    struct buf b = { .max = 4096 };

    publish(w, 0, SYMBOLON_OK);
    assert_int_equal(engine_flush(&w->engine, w->now, NULL), SYMBOLON_OK);
    assert_publish(w, false);
    assert_sent(w, MQTT_PINGREQ);
    mqtt_write_ping(&b, MQTT_PINGRESP);
    give(w, &b);
    assert_int_equal(w->flushed, 1);
    assert_int_equal(w->result.status, SYMBOLON_OK);

    publish(w, 0, SYMBOLON_OK);
    assert_int_equal(engine_flush(&w->engine, w->now, NULL), SYMBOLON_OK);
    mqtt_write_disconnect(&b, MQTT_5, &(struct mqtt_disconnect){ .reason = MQTT_NOT_AUTHORIZED });
    give(w, &b);
    assert_int_equal(w->ended, 1);
    assert_int_equal(w->error.status, SYMBOLON_NOT_AUTHORIZED);
    engine_lost(&w->engine, &w->error, w->now);
    assert_int_equal(w->flushed, 2);
    assert_int_equal(w->result.status, SYMBOLON_NOT_AUTHORIZED);
    world_free(w);
}

static void mqtt_3_3_4_9_no_more_in_flight_than_the_broker_takes(void **state UNUSED)
{
    struct world *w = world_new(&plain);
    struct mqtt_properties p = { .receive_maximum = 1 };

    mqtt_set(&p, PROP_RECEIVE_MAXIMUM);
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, false, 0, &p);
    publish(w, 1, SYMBOLON_OK);
    publish(w, 1, SYMBOLON_OK);
    publish(w, 0, SYMBOLON_OK);
    uint16_t id = assert_publish(w, false);
    assert_silent(w);
    give_ack(w, MQTT_PUBACK, id, 0);
    assert_publish(w, false);
    assert_int_equal(assert_publish(w, false), 0); /* QoS 0 kept its place behind the second one */
    assert_silent(w);
    world_free(w);
}

static void messages_wait_while_the_transport_is_behind(void **state UNUSED)
{
    struct world *w = world_open();

    w->congested = true;
    for (uint8_t qos = 0; qos < 3; qos++)
        publish(w, qos, SYMBOLON_OK);
    assert_silent(w);
    assert_int_equal(w->published, 0);
    assert_int_equal(engine_flush(&w->engine, w->now, NULL), SYMBOLON_OK);
    assert_silent(w); /* a flush waits behind what was handed over before it */
    w->congested = false;
    engine_drained(&w->engine, w->now);
    for (int i = 0; i < 3; i++)
        assert_publish(w, false);
    assert_sent(w, MQTT_PINGREQ);
    assert_int_equal(w->published, 1);
    world_free(w);
}

static void a_full_queue_says_so(void **state UNUSED)
{
    struct world *w = world_new(&plain);

    for (int i = 0; i < 4; i++)
        publish(w, 1, SYMBOLON_OK);
    publish(w, 1, SYMBOLON_QUEUE_FULL);
    world_free(w);
}

static void what_the_broker_does_not_take_is_not_sent(void **state UNUSED)
{
    struct world *w = world_new(&plain);
    struct mqtt_properties p = { .maximum_qos = 0, .retain_available = 0, .maximum_packet_size = 20 };
    struct symbolon_message big = { .topic = { "t", 1 }, .payload = { "0123456789012345678901234567890", 31 } };
    struct symbolon_message retained = { .topic = { "t", 1 }, .retain = true };

    mqtt_set(&p, PROP_MAXIMUM_QOS);
    mqtt_set(&p, PROP_RETAIN_AVAILABLE);
    mqtt_set(&p, PROP_MAXIMUM_PACKET_SIZE);
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, false, 0, &p);
    publish(w, 1, SYMBOLON_OK);
    assert_int_equal(w->result.status, SYMBOLON_REFUSED); /* MQTT5 [MQTT-3.2.2-11] */
    assert_int_equal(engine_publish(&w->engine, &big, w->now, NULL, NULL), SYMBOLON_OK);
    assert_int_equal(w->result.status, SYMBOLON_TOO_LARGE); /* MQTT5 [MQTT-3.2.2-15] */
    assert_int_equal(engine_publish(&w->engine, &retained, w->now, NULL, NULL), SYMBOLON_OK);
    assert_int_equal(w->result.status, SYMBOLON_REFUSED); /* MQTT5 [MQTT-3.2.2-14] */
    assert_int_equal(w->published, 3);
    assert_silent(w);
    world_free(w);
}

static void mqtt5_4_4_a_continued_session_sends_again(void **state UNUSED)
{
    struct world *w = world_open();
    struct symbolon_error lost = { .status = SYMBOLON_CLOSED };

    publish(w, 1, SYMBOLON_OK);
    uint16_t one = assert_publish(w, false);
    publish(w, 2, SYMBOLON_OK);
    uint16_t two = assert_publish(w, false);
    give_ack(w, MQTT_PUBREC, two, 0);
    assert_sent(w, MQTT_PUBREL);
    engine_lost(&w->engine, &lost, w->now);
    connect(w, true);
    assert_int_equal(assert_publish(w, true), one);
    assert_sent(w, MQTT_PUBREL);
    give_ack(w, MQTT_PUBCOMP, two, 0);
    give_ack(w, MQTT_PUBACK, one, 0);
    assert_int_equal(w->published, 2);
    world_free(w);
}

static void a_lost_session_repeats_qos_1_and_owns_up_about_qos_2(void **state UNUSED)
{
    struct world *w = world_open();
    struct symbolon_error lost = { .status = SYMBOLON_CLOSED };

    publish(w, 2, SYMBOLON_OK);
    assert_publish(w, false);
    publish(w, 1, SYMBOLON_OK);
    assert_publish(w, false);
    publish(w, 1, SYMBOLON_OK); /* queued: quota 2 */
    engine_lost(&w->engine, &lost, w->now);
    connect(w, false);
    assert_int_equal(w->published, 1);
    assert_int_equal(w->result.status, SYMBOLON_CLOSED);
    assert_int_equal(w->last_id, 1);
    uint16_t first = assert_publish(w, false); /* message 2 in front of message 3 */
    assert_publish(w, false);
    give_ack(w, MQTT_PUBACK, first, 0);
    assert_int_equal(w->last_id, 2);
    world_free(w);
}

static void qos_2_from_the_broker_is_delivered_once(void **state UNUSED)
{
    struct world *w = world_open();

    give_publish(w, 2, 7, 0);
    assert_sent(w, MQTT_PUBREC);
    give_publish(w, 2, 7, 0);
    assert_sent(w, MQTT_PUBREC);
    assert_int_equal(w->messages, 1);
    give_ack(w, MQTT_PUBREL, 7, 0);
    assert_sent(w, MQTT_PUBCOMP);
    give_publish(w, 2, 7, 0);
    assert_int_equal(w->messages, 2);
    give_publish(w, 1, 8, 0);
    assert_sent(w, MQTT_PUBREC);
    assert_sent(w, MQTT_PUBACK);
    give_publish(w, 0, 0, 0);
    assert_int_equal(w->messages, 4);
    assert_string_equal(w->topic, "a/b");
    assert_silent(w);
    world_free(w);
}

static void mqtt5_3_1_2_10_silence_makes_a_ping_and_no_answer_ends_it(void **state UNUSED)
{
    struct world *w = world_open();
    struct buf b = { .max = 64 };

    assert_int_equal(engine_due(&w->engine), w->now.mono.ms + 10000);
    w->now.mono.ms += 10000;
    engine_tick(&w->engine, w->now);
    assert_sent(w, MQTT_PINGREQ);
    mqtt_write_ping(&b, MQTT_PINGRESP);
    give(w, &b);
    w->now.mono.ms = engine_due(&w->engine);
    engine_tick(&w->engine, w->now);
    assert_sent(w, MQTT_PINGREQ);
    w->now.mono.ms = engine_due(&w->engine) - 1;
    engine_tick(&w->engine, w->now);
    assert_int_equal(w->ended, 0);
    w->now.mono.ms += 1;
    engine_tick(&w->engine, w->now);
    assert_int_equal(w->error.status, SYMBOLON_TIMEOUT);
    world_free(w);
}

static void mt99_each_filter_has_its_own_answer(void **state UNUSED)
{
    struct world *w = world_open();
    const struct symbolon_subscription subs[] = { { .filter = "a/#" }, { .filter = "b", .qos = 2 } };
    struct buf b = { .max = 64 };
    struct mqtt_frame frame;

    assert_int_equal(engine_subscribe(&w->engine, subs, 2, w->now, NULL, NULL), SYMBOLON_OK);
    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, MQTT_SUBSCRIBE);
    mqtt_write_suback(
        &b, MQTT_5, &(struct mqtt_suback){ .type = MQTT_SUBACK, .packet_id = 1, .reasons = SPAN("\x87\x02") });
    give(w, &b);
    assert_int_equal(w->subscribed, 1);
    assert_int_equal(w->result.status, SYMBOLON_NOT_AUTHORIZED);
    assert_int_equal(engine_pending(&w->engine), 0);
    world_free(w);
}

static void a_request_dies_with_the_connection(void **state UNUSED)
{
    struct world *w = world_open();
    const struct symbolon_subscription sub = { .filter = "a" };
    const struct symbolon_error lost = { .status = SYMBOLON_CLOSED };

    assert_int_equal(engine_subscribe(&w->engine, &sub, 1, w->now, NULL, NULL), SYMBOLON_OK);
    engine_lost(&w->engine, &lost, w->now);
    assert_int_equal(w->subscribed, 1);
    assert_int_equal(w->last_codes.len, 0);
    assert_int_equal(w->result.status, SYMBOLON_CLOSED);
    assert_int_equal(engine_subscribe(&w->engine, &sub, 1, w->now, NULL, NULL), SYMBOLON_CLOSED);
    world_free(w);
}

static struct buf auth_packet(uint8_t reason, const char *method, struct span data)
{
    struct buf b = { .max = 4096 };
    struct mqtt_auth auth = { .reason = reason,
                              .properties = { .auth_method = span_of_str(method), .auth_data = data } };

    mqtt_set(&auth.properties, PROP_AUTH_METHOD);
    mqtt_set(&auth.properties, PROP_AUTH_DATA);
    mqtt_write_auth(&b, &auth);
    return b;
}

static void mt59_mt102_challenges_are_answered_before_and_inside_a_session(void **state UNUSED)
{
    struct engine_settings ace = plain;
    struct buf b;

    ace.ace = true;
    struct world *w = world_new(&ace);
    engine_connect(&w->engine, SPAN("data"), w->now);
    assert_sent(w, MQTT_CONNECT);
    b = auth_packet(MQTT_CONTINUE_AUTHENTICATION, "ace", SPAN("12345678"));
    give(w, &b);
    assert_int_equal(w->challenged, 1);
    assert_sent(w, MQTT_AUTH);
    give_connack(w, false, 0, NULL);
    assert_int_equal(w->connected, 1);
    engine_auth(&w->engine, MQTT_REAUTHENTICATE, SPAN("new"), w->now);
    assert_sent(w, MQTT_AUTH);
    b = auth_packet(MQTT_CONTINUE_AUTHENTICATION, "ace", SPAN("12345678"));
    give(w, &b);
    assert_sent(w, MQTT_AUTH);
    b = auth_packet(MQTT_SUCCESS, "ace", SPAN_NONE);
    give(w, &b);
    assert_int_equal(w->reauthenticated, 1);
    b = auth_packet(MQTT_CONTINUE_AUTHENTICATION, "ace", SPAN("12345678")); /* nobody asked */
    give(w, &b);
    assert_ended(w, MQTT_PROTOCOL_ERROR);
    world_free(w);
}

/* ---- a rude broker ---- */

static void packets_may_arrive_byte_by_byte(void **state UNUSED)
{
    struct world *w = world_new(&plain);
    static const uint8_t bytes[] = { 0x20, 0x03, 0x00, 0x00, 0x00, 0x30, 0x05, 0x00, 0x01, 't', 0x00, 'x' };

    engine_connect(&w->engine, SPAN_NONE, w->now);
    size_t start = 0;
    for (size_t i = 1; i <= sizeof bytes; i++)
        start += engine_input(&w->engine, span_of(bytes + start, i - start), w->now);
    assert_int_equal(start, sizeof bytes);
    assert_int_equal(w->connected, 1);
    assert_int_equal(w->messages, 1);
    world_free(w);
}

static void mt54_only_auth_connack_or_disconnect_come_before_the_session(void **state UNUSED)
{
    static const uint8_t publish_bytes[] = { 0x30, 0x05, 0x00, 0x01, 't', 0x00, 'x' };
    static const uint8_t pingresp[] = { 0xd0, 0x00 };
    static const uint8_t auth[] = { 0xf0, 0x00 };
    const struct span rude[] = { span_of(publish_bytes, sizeof publish_bytes),
                                 span_of(pingresp, sizeof pingresp), span_of(auth, sizeof auth) };

    for (size_t i = 0; i < COUNT_OF(rude); i++) {
        struct world *w = world_new(&plain);
        engine_connect(&w->engine, SPAN_NONE, w->now);
        assert_sent(w, MQTT_CONNECT);
        give_bytes(w, rude[i].p, rude[i].len);
        assert_ended(w, MQTT_PROTOCOL_ERROR);
        assert_int_equal(w->messages, 0);
        world_free(w);
    }
}

static void packets_of_the_wrong_kind_or_shape_end_the_session(void **state UNUSED)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint8_t code;
    } rude[] = {
        { "\x10\x00", 2, 0x82 },                      /* CONNECT from a broker */
        { "\x20\x03\x00\x00\x00", 5, 0x82 },          /* a second CONNACK */
        { "\x00\x00", 2, 0x81 },                      /* type 0 */
        { "\x31\x03\x00\x01#", 5, 0x81 },             /* too short for its property length */
        { "\x30\x04\x00\x01#\x00", 6, 0x81 },         /* a wildcard in a topic name */
        { "\x36\x06\x00\x01t\x00\x01\x00", 8, 0x81 }, /* QoS 3 */
        { "\x32\x06\x00\x01t\x00\x00\x00", 8, 0x82 }, /* packet identifier 0 */
        { "\xff\xff\xff\xff\xff", 5, 0x81 },          /* a length of five bytes */
        { "\x30\xff\xff\xff\x7f", 5, 0x95 },          /* 256 MiB announced: more than we said we take */
        { "\xd0\x00", 2, 0x82 },                      /* PINGRESP nobody asked for */
        { "\x90\x04\x00\x01\x00\x00", 6, 0x82 },      /* SUBACK nobody asked for */
        { "\xe0\x01\x19", 3, 0x82 },                  /* DISCONNECT with a code it does not have */
    };

    for (size_t i = 0; i < COUNT_OF(rude); i++) {
        struct world *w = world_open();
        give_bytes(w, rude[i].bytes, rude[i].len);
        assert_int_equal(w->ended, 1);
        assert_true(w->error.status == SYMBOLON_MALFORMED || w->error.status == SYMBOLON_PROTOCOL ||
                    w->error.status == SYMBOLON_TOO_LARGE);
        struct mqtt_frame frame;
        assert_true(next_sent(w, &frame));
        assert_int_equal(frame.type, MQTT_DISCONNECT);
        assert_int_equal(frame.body.p[0] & 0x80, 0x80);
        world_free(w);
    }
}

static void mqtt_3_2_2_2_a_session_out_of_nowhere_is_refused(void **state UNUSED)
{
    struct world *w = world_new(&plain);

    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, true, 0, NULL);
    assert_ended(w, MQTT_PROTOCOL_ERROR);
    assert_int_equal(w->connected, 0);
    world_free(w);
}

static void mqtt_3_1_2_26_topic_aliases_we_did_not_allow_are_refused(void **state UNUSED)
{
    struct world *w = world_open();

    give_publish(w, 0, 0, 1);
    assert_int_equal(w->ended, 1);
    assert_int_equal(w->messages, 0);
    world_free(w);
}

static void mqtt_3_3_4_9_more_than_our_receive_maximum_is_refused(void **state UNUSED)
{
    struct world *w = world_open();

    for (uint16_t id = 1; id <= 3; id++)
        give_publish(w, 2, id, 0);
    assert_int_equal(w->messages, 2);
    assert_sent(w, MQTT_PUBREC);
    assert_sent(w, MQTT_PUBREC);
    assert_ended(w, MQTT_RECEIVE_MAXIMUM_EXCEEDED);
    world_free(w);
}

static void acknowledgements_of_the_wrong_kind_end_the_session(void **state UNUSED)
{
    static const enum mqtt_packet_type wrong[][2] = {
        { MQTT_PUBREC, 1 }, { MQTT_PUBCOMP, 1 }, { MQTT_PUBACK, 2 }, { MQTT_PUBCOMP, 2 }
    };

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct world *w = world_open();
        publish(w, (uint8_t)wrong[i][1], SYMBOLON_OK);
        uint16_t id = assert_publish(w, false);
        give_ack(w, wrong[i][0], id, 0);
        assert_int_equal(w->ended, 1);
        assert_int_equal(w->published, 0);
        world_free(w);
    }
}

static void a_suback_with_too_few_codes_is_refused(void **state UNUSED)
{
    struct world *w = world_open();
    const struct symbolon_subscription subs[] = { { .filter = "a" }, { .filter = "b" } };
    struct buf b = { .max = 64 };

    assert_int_equal(engine_subscribe(&w->engine, subs, 2, w->now, NULL, NULL), SYMBOLON_OK);
    mqtt_write_suback(&b, MQTT_5,
                      &(struct mqtt_suback){ .type = MQTT_SUBACK, .packet_id = 1, .reasons = SPAN("\x00") });
    give(w, &b);
    assert_int_equal(w->ended, 1);
    assert_int_equal(w->subscribed, 0);
    world_free(w);
}

static void mt90_a_refusal_hands_over_the_connack(void **state UNUSED)
{
    struct world *w = world_new(&plain);

    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, false, MQTT_NOT_AUTHORIZED, NULL);
    assert_true(w->refused_connack);
    assert_int_equal(w->error.reason_code, 0x87);
    assert_silent(w); /* a refused client says nothing more */
    world_free(w);
}

static void nothing_is_sent_behind_a_disconnect(void **state UNUSED)
{
    struct world *w = world_open();

    engine_disconnect(&w->engine, 0, w->now);
    assert_disconnect(w, 0);
    give_publish(w, 1, 5, 0);
    publish(w, 0, SYMBOLON_OK);
    assert_silent(w);
    assert_int_equal(w->messages, 0);
    assert_int_equal(w->ended, 0);
    world_free(w);
}

static void arguments_no_packet_can_carry_are_refused(void **state UNUSED)
{
    struct world *w = world_open();
    const struct symbolon_message bad[] = {
        { .topic = { "", 0 } },
        { .topic = { "a/#", 3 } },
        { .topic = { "\xff", 1 } },
        { .topic = { "a", 1 }, .qos = 3 },
        { .topic = { "a", 1 }, .payload = { "\xff", 1 }, .payload_is_utf8 = true },
        { .topic = { "a", 1 }, .response_topic = { "+", 1 } },
        { .topic = { "a", 1 }, .content_type = { "\xc0", 1 } },
    };
    const struct symbolon_subscription filters[] = { { .filter = "a#" },
                                                     { .filter = "" },
                                                     { .filter = "a", .qos = 3 },
                                                     { .filter = "$share/g/a", .no_local = true } };

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(engine_publish(&w->engine, &bad[i], w->now, NULL, NULL), SYMBOLON_INVALID);
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        assert_int_equal(engine_subscribe(&w->engine, &filters[i], 1, w->now, NULL, NULL), SYMBOLON_INVALID);
    assert_int_equal(engine_subscribe(&w->engine, filters, 0, w->now, NULL, NULL), SYMBOLON_INVALID);
    assert_silent(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qos_1_and_2_are_reported_when_the_broker_has_taken_them),
        cmocka_unit_test(mt96_a_refused_message_is_reported_with_its_reason),
        cmocka_unit_test(mt97_a_flush_tells_whether_qos_0_was_accepted),
        cmocka_unit_test(mqtt_3_3_4_9_no_more_in_flight_than_the_broker_takes),
        cmocka_unit_test(messages_wait_while_the_transport_is_behind),
        cmocka_unit_test(a_full_queue_says_so),
        cmocka_unit_test(what_the_broker_does_not_take_is_not_sent),
        cmocka_unit_test(mqtt5_4_4_a_continued_session_sends_again),
        cmocka_unit_test(a_lost_session_repeats_qos_1_and_owns_up_about_qos_2),
        cmocka_unit_test(qos_2_from_the_broker_is_delivered_once),
        cmocka_unit_test(mqtt5_3_1_2_10_silence_makes_a_ping_and_no_answer_ends_it),
        cmocka_unit_test(mt99_each_filter_has_its_own_answer),
        cmocka_unit_test(a_request_dies_with_the_connection),
        cmocka_unit_test(mt59_mt102_challenges_are_answered_before_and_inside_a_session),
        cmocka_unit_test(packets_may_arrive_byte_by_byte),
        cmocka_unit_test(mt54_only_auth_connack_or_disconnect_come_before_the_session),
        cmocka_unit_test(packets_of_the_wrong_kind_or_shape_end_the_session),
        cmocka_unit_test(mqtt_3_2_2_2_a_session_out_of_nowhere_is_refused),
        cmocka_unit_test(mqtt_3_1_2_26_topic_aliases_we_did_not_allow_are_refused),
        cmocka_unit_test(mqtt_3_3_4_9_more_than_our_receive_maximum_is_refused),
        cmocka_unit_test(acknowledgements_of_the_wrong_kind_end_the_session),
        cmocka_unit_test(a_suback_with_too_few_codes_is_refused),
        cmocka_unit_test(mt90_a_refusal_hands_over_the_connack),
        cmocka_unit_test(nothing_is_sent_behind_a_disconnect),
        cmocka_unit_test(arguments_no_packet_can_carry_are_refused),
    };
    return cmocka_run_group_tests_name("client_engine", tests, NULL, NULL);
}
