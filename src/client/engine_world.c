#include "client/engine_world.h"

#include <stdio.h>

#define SENT_MAX 1048576

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

const struct engine_settings plain = {
    .client_id = "c",
    .session_expiry_s = 100,
    .keep_alive_s = 10,
    .receive_maximum = 2,
    .max_packet_size = 4096,
    .max_inflight = 2,
    .max_queue = 4,
};

struct world *world_new(const struct engine_settings *settings)
{
    struct world *w = calloc(1, sizeof *w);

    w->now = (struct now){ { 1000000 }, { 1800000000 } };
    buf_init(&w->sent, SENT_MAX);
    engine_init(&w->engine, settings, &events, w);
    return w;
}

void world_free(struct world *w)
{
    engine_done(&w->engine);
    buf_done(&w->sent);
    free(w);
}

/* The next packet the client sent; false if there is none. */
bool next_sent(struct world *w, struct mqtt_frame *frame)
{
    enum status st = ST_OK;

    if (mqtt_frame_next(span_cut(buf_span(&w->sent), w->read, SENT_MAX), MQTT_FROM_CLIENT, MQTT_PACKET_SIZE_MAX,
                        frame, &st, NULL) != MQTT_FRAME_READY)
        return false;
    w->read += frame->total_len;
    return true;
}

void assert_sent(struct world *w, enum mqtt_packet_type type)
{
    struct mqtt_frame frame;

    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, type);
}

void assert_silent(struct world *w)
{
    struct mqtt_frame frame;

    assert_false(next_sent(w, &frame));
}

void assert_disconnect(struct world *w, uint8_t code)
{
    struct mqtt_frame frame;
    struct mqtt_disconnect d;

    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, MQTT_DISCONNECT);
    assert_int_equal(mqtt_read_disconnect(&frame, MQTT_5, &d, NULL), ST_OK);
    assert_int_equal(d.reason, code);
}

void give(struct world *w, struct buf *b)
{
    assert_true(buf_ok(b));
    engine_input(&w->engine, buf_span(b), w->now);
    buf_done(b);
}

void give_bytes(struct world *w, const void *p, size_t len)
{
    engine_input(&w->engine, span_of(p, len), w->now);
}

void give_connack(struct world *w, bool session_present, uint8_t reason,
                  const struct mqtt_properties *properties)
{
    struct buf b = { .max = 4096 };
    struct mqtt_connack connack = { .session_present = session_present, .reason = reason };

    if (properties != NULL)
        connack.properties = *properties;
    mqtt_write_connack(&b, MQTT_5, &connack);
    give(w, &b);
}

void give_ack(struct world *w, enum mqtt_packet_type type, uint16_t id, uint8_t reason)
{
    struct buf b = { .max = 4096 };

    mqtt_write_ack(&b, MQTT_5, &(struct mqtt_ack){ .type = type, .packet_id = id, .reason = reason });
    give(w, &b);
}

void give_publish(struct world *w, uint8_t qos, uint16_t id, uint16_t alias)
{
    struct buf b = { .max = 8192 };

    mqtt_write_publish(
        &b, MQTT_5,
        &(struct mqtt_publish_out){
            .qos = qos, .packet_id = id, .topic = SPAN("a/b"), .payload = SPAN("x"), .topic_alias = alias });
    give(w, &b);
}

void world_connect(struct world *w, bool session_present)
{
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, session_present, MQTT_SUCCESS, NULL);
    assert_int_equal(w->engine.state, ENGINE_OPEN);
}

struct world *world_open(void)
{
    struct world *w = world_new(&plain);

    world_connect(w, false);
    return w;
}

uint16_t world_publish(struct world *w, uint8_t qos, enum symbolon_status want)
{
    struct symbolon_message m = { .topic = { "t", 1 }, .payload = { "p", 1 }, .qos = qos };
    uint64_t id = 0;

    assert_int_equal(engine_publish(&w->engine, &m, w->now, &id, NULL), want);
    return (uint16_t)id;
}

/* The PUBLISH the client sent: its packet identifier. */
uint16_t assert_publish(struct world *w, bool dup)
{
    struct mqtt_frame frame;
    struct mqtt_publish p;

    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, MQTT_PUBLISH);
    assert_int_equal(mqtt_read_publish(&frame, MQTT_5, &p, NULL), ST_OK);
    assert_int_equal(p.dup, dup);
    return p.packet_id;
}

void assert_ended(struct world *w, uint8_t disconnect_code)
{
    assert_int_equal(w->ended, 1);
    assert_true(w->error.status != SYMBOLON_OK && w->error.text[0] != '\0');
    assert_disconnect(w, disconnect_code);
    assert_int_equal(w->engine.state, ENGINE_ENDED);
}
