/* A broker that sends whatever it likes to a client that publishes, subscribes and re-authenticates meanwhile; once with
 * topic aliases, acknowledgements by hand (some of them in the next connection) and subscriptions made again. */
#include "client/engine.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define HANDLES 8

struct player {
    struct engine engine;
    uint64_t handles[HANDLES];
    size_t count;
};

static const struct now now = { { 1000 }, { 1800000000 } };

static void on_send(void *ctx UNUSED, struct span bytes UNUSED)
{
}

static bool on_congested(void *ctx UNUSED)
{
    return false;
}

static void on_connected(void *ctx, const struct mqtt_connack *connack UNUSED)
{
    struct engine *e = &((struct player *)ctx)->engine;
    const struct symbolon_subscription sub = { .filter = "a/#", .qos = 2 };
    struct symbolon_message message = { .topic = { "t", 1 }, .payload = { "p", 1 } };

    for (uint8_t qos = 0; qos < 3; qos++) {
        message.qos = qos;
        (void)engine_publish(e, &message, now, NULL, NULL);
    }
    (void)engine_subscribe(e, &sub, 1, NULL, now, NULL, NULL);
    (void)engine_flush(e, now, NULL);
    if (e->settings.ace)
        engine_auth(e, MQTT_REAUTHENTICATE, SPAN("token"), now);
}

static void on_ended(void *ctx UNUSED, const struct symbolon_error *why UNUSED,
                     const struct mqtt_connack *connack UNUSED)
{
}

static void on_challenge(void *ctx, struct span data UNUSED)
{
    engine_auth(&((struct player *)ctx)->engine, MQTT_CONTINUE_AUTHENTICATION, SPAN("answer"), now);
}

static void on_reauthenticated(void *ctx UNUSED)
{
}

static void acknowledge(struct player *p)
{
    while (p->count > 0)
        (void)engine_ack(&p->engine, p->handles[--p->count], 0, now, NULL);
}

static void on_message(void *ctx, const struct mqtt_publish *publish)
{
    struct player *p = ctx;
    struct symbolon_user_property user[4];
    struct symbolon_message message;
    uint32_t ids[2];

    message_of_publish(publish, user, 4, ids, 2, &message);
    if (engine_handle(&p->engine) == 0)
        return;
    p->handles[p->count++] = engine_handle(&p->engine);
    if (p->count == HANDLES)
        acknowledge(p); /* the last one first */
}

static void on_published(void *ctx UNUSED, uint64_t id UNUSED, const struct symbolon_error *result UNUSED)
{
}

static void on_answered(void *ctx UNUSED, uint64_t id UNUSED, struct span codes UNUSED,
                        const struct symbolon_error *result UNUSED)
{
}

static void on_flushed(void *ctx UNUSED, const struct symbolon_error *result UNUSED)
{
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
    .subscribed = on_answered,
    .unsubscribed = on_answered,
    .flushed = on_flushed,
};

static void talk(enum mqtt_version version, bool everything, struct span input)
{
    const struct engine_settings settings = { .version = version,
                                              .client_id = "",
                                              .session_expiry_s = 10,
                                              .keep_alive_s = 10,
                                              .receive_maximum = 4,
                                              .max_packet_size = 4096,
                                              .max_inflight = 4,
                                              .max_queue = 8,
                                              .manual_ack = everything,
                                              .resubscribe = everything,
                                              .resend_qos2 = everything,
                                              .topic_alias_maximum = everything ? 3 : 0,
                                              .topic_aliases = everything ? 2 : 0,
                                              .ace = version == MQTT_5 && !everything };
    const struct symbolon_error lost = { .status = SYMBOLON_CLOSED };
    struct player *p = calloc(1, sizeof *p);

    if (p == NULL)
        return;
    engine_init(&p->engine, &settings, &events, p);
    for (int connection = 0; connection < 3; connection++) { /* the later ones have a session to resume */
        engine_connect(&p->engine, settings.ace ? SPAN("token") : SPAN_NONE, now);
        engine_input(&p->engine, input, now);
        if (connection == 1)
            acknowledge(p);
        engine_lost(&p->engine, &lost, now);
    }
    engine_done(&p->engine);
    free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    talk(MQTT_5, false, span_of(data, len));
    talk(MQTT_5, true, span_of(data, len));
    talk(MQTT_3_1_1, true, span_of(data, len));
    return 0;
}
