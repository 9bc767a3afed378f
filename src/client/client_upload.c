/* authz-info (RFC 9431 2.2.2): a connection of its own, without authentication, publishes the token and ends. The broker
 * then knows the key when it comes in a TLS handshake (MT-23, MT-27, MT-32). */
#include "client/client_priv.h"
#include "net/stream.h"

#define TOPIC   "authz-info"
#define KEEP_S  60
#define PACKETS 65536

static void failed(struct symbolon_client *c, const struct symbolon_error *why)
{
    struct symbolon_error error = *why;

    if (c->state == CLIENT_UPLOADING)
        client_failed(c, &error);
}

static void uploaded(struct symbolon_client *c)
{
    bool only = c->upload_only;

    engine_disconnect(&c->upload, MQTT_SUCCESS, client_now(c));
    client_drop_stream(c, true);
    c->token_uploaded = true;
    client_say(c, 4, "the broker has taken the token");
    if (only) {
        c->upload_only = false;
        client_enter(c, CLIENT_IDLE);
        if (c->events.uploaded != NULL)
            c->events.uploaded(c->o.arg);
        return;
    }
    client_go(c);
}

/* ---- the engine's events ---- */

static void on_send(void *ctx, struct span bytes)
{
    struct symbolon_client *c = ctx;

    if (c->stream != NULL)
        stream_send(c->stream, bytes);
}

static bool on_congested(void *ctx UNUSED)
{
    return false;
}

static void on_connected(void *ctx, const struct mqtt_connack *connack UNUSED)
{
    struct symbolon_client *c = ctx;
    CLEANUP(buf_wipe)
    struct buf token = { .max = TOKEN_BYTES_MAX };
    struct symbolon_message message = { .topic = { TOPIC, sizeof TOPIC - 1 }, .qos = 1 };
    struct symbolon_error error;
    enum symbolon_status st = client_token_bytes(c, &token, &error);

    message.payload = bytes_of_span(buf_span(&token));
    if (st == SYMBOLON_OK)
        st = engine_publish(&c->upload, &message, client_now(c), NULL, &error);
    if (st != SYMBOLON_OK)
        failed(c, &error);
}

static void refused(struct symbolon_client *c, const struct symbolon_error *why, const char *what)
{
    struct symbolon_error error;

    error_set(&error, why->status, why->clause, "%s: %s", what, why->text);
    error.reason_code = why->reason_code;
    failed(c, &error);
}

static void on_ended(void *ctx, const struct symbolon_error *why, const struct mqtt_connack *connack)
{
    if (connack == NULL)
        failed(ctx, why);
    else
        refused(ctx, why, "the broker lets nobody in to publish a token to " TOPIC);
}

static void on_published(void *ctx, uint64_t id UNUSED, const struct symbolon_error *result)
{
    struct symbolon_client *c = ctx;

    if (c->state != CLIENT_UPLOADING)
        return;
    if (result->status == SYMBOLON_OK)
        uploaded(c);
    else
        refused(c, result, "the broker does not take the token");
}

static void on_nothing(void *ctx UNUSED)
{
}

static void on_challenge(void *ctx UNUSED, struct span auth_data UNUSED)
{
}

static void on_message(void *ctx UNUSED, const struct mqtt_publish *publish UNUSED)
{
}

static void on_answer(void *ctx UNUSED, uint64_t id UNUSED, struct span codes UNUSED,
                      const struct symbolon_error *result UNUSED)
{
}

static void on_flushed(void *ctx UNUSED, const struct symbolon_error *result UNUSED)
{
}

static const struct engine_events engine_events = {
    .send = on_send,
    .congested = on_congested,
    .connected = on_connected,
    .ended = on_ended,
    .challenge = on_challenge,
    .reauthenticated = on_nothing,
    .message = on_message,
    .published = on_published,
    .subscribed = on_answer,
    .unsubscribed = on_answer,
    .flushed = on_flushed,
};

/* ---- the stream's events ---- */

static void on_ready(void *ctx)
{
    struct symbolon_client *c = ctx;

    if (c->state == CLIENT_UPLOADING)
        engine_connect(&c->upload, SPAN_NONE, client_now(c));
}

static size_t on_data(void *ctx, struct span data)
{
    struct symbolon_client *c = ctx;

    return c->state == CLIENT_UPLOADING ? engine_input(&c->upload, data, client_now(c)) : data.len;
}

static void on_closed(void *ctx, enum status st, const struct why *why)
{
    struct symbolon_client *c = ctx;
    struct symbolon_error error;

    c->stream = NULL;
    client_stream_error(c, st, why, &error);
    failed(c, &error);
}

static const struct stream_events stream_events = {
    .on_ready = on_ready,
    .on_data = on_data,
    .on_closed = on_closed,
};

/* ---- doing it ---- */

static void new_engine(struct symbolon_client *c)
{
    const struct engine_settings settings = {
        .version = c->o.mqtt_version == SYMBOLON_MQTT_3_1_1 ? MQTT_3_1_1 : MQTT_5,
        .client_id = "", /* nobody in particular */
        .keep_alive_s = KEEP_S,
        .receive_maximum = 1,
        .max_packet_size = PACKETS,
        .max_inflight = 1,
        .max_queue = 1,
    };

    engine_init(&c->upload, &settings, &engine_events, c);
}

void client_upload_init(struct symbolon_client *c)
{
    new_engine(c);
}

void client_upload(struct symbolon_client *c)
{
    engine_done(&c->upload); /* what an earlier attempt left */
    new_engine(c);
    client_enter(c, CLIENT_UPLOADING);
    if (client_open_stream(c, false, &stream_events))
        client_say(c, 4, "publishing the token to " TOPIC);
}
