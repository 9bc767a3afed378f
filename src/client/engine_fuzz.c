/* A broker that sends whatever it likes to a client that publishes, subscribes and re-authenticates meanwhile. */
#include "client/engine.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

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
    struct engine *e = ctx;
    const struct symbolon_subscription sub = { .filter = "a/#", .qos = 2 };
    struct symbolon_message message = { .topic = { "t", 1 }, .payload = { "p", 1 } };

    for (uint8_t qos = 0; qos < 3; qos++) {
        message.qos = qos;
        (void)engine_publish(e, &message, now, NULL, NULL);
    }
    (void)engine_subscribe(e, &sub, 1, NULL, now, NULL, NULL);
    (void)engine_flush(e, now, NULL);
    if (e->settings.version == MQTT_5)
        engine_auth(e, MQTT_REAUTHENTICATE, SPAN("token"), now);
}

static void on_ended(void *ctx UNUSED, const struct symbolon_error *why UNUSED,
                     const struct mqtt_connack *connack UNUSED)
{
}

static void on_challenge(void *ctx, struct span data UNUSED)
{
    engine_auth(ctx, MQTT_CONTINUE_AUTHENTICATION, SPAN("answer"), now);
}

static void on_reauthenticated(void *ctx UNUSED)
{
}

static void on_message(void *ctx UNUSED, const struct mqtt_publish *publish)
{
    struct symbolon_user_property user[4];
    struct symbolon_message message;
    uint32_t ids[2];

    message_of_publish(publish, user, 4, ids, 2, &message);
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

static void talk(enum mqtt_version version, struct span input)
{
    const struct engine_settings settings = { .version = version,
                                              .client_id = "",
                                              .session_expiry_s = 10,
                                              .keep_alive_s = 10,
                                              .receive_maximum = 4,
                                              .max_packet_size = 4096,
                                              .max_inflight = 4,
                                              .max_queue = 8,
                                              .ace = version == MQTT_5 };
    const struct symbolon_error lost = { .status = SYMBOLON_CLOSED };
    struct engine *e = malloc(sizeof *e);

    if (e == NULL)
        return;
    engine_init(e, &settings, &events, e);
    for (int connection = 0; connection < 2; connection++) { /* the second one has a session to resume */
        engine_connect(e, version == MQTT_5 ? SPAN("token") : SPAN_NONE, now);
        engine_input(e, input, now);
        engine_lost(e, &lost, now);
    }
    engine_done(e);
    free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    talk(MQTT_5, span_of(data, len));
    talk(MQTT_3_1_1, span_of(data, len));
    return 0;
}
