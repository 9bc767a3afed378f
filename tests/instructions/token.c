/* Packets and tokens by themselves: what the parsers take. */
#include "lean.h"
#include "scenario.h"

#include <stdlib.h>

#define SCOPE "[[\"bench/#\",[\"pub\",\"sub\"]],[\"other/+/state\",[\"sub\"]]]"

/* ---- packets ---- */

struct packets {
    struct buf all;
    unsigned count;
};

static void write_publish(struct buf *out)
{
    struct mqtt_properties properties = { 0 };
    CLEANUP(buf_done)
    struct buf encoded;
    struct mqtt_publish_out p = { .qos = 1,
                                  .packet_id = 7,
                                  .topic = SPAN("site1/device7/temperature"),
                                  .payload = SPAN("{\"t\":21.5,\"at\":1800000000}") };

    buf_init(&encoded, 1024);
    properties.content_type = SPAN("application/json");
    mqtt_set(&properties, PROP_CONTENT_TYPE);
    properties.response_topic = SPAN("site1/device7/answers");
    mqtt_set(&properties, PROP_RESPONSE_TOPIC);
    mqtt_put_message_properties(&encoded, &properties);
    p.properties = buf_span(&encoded);
    mqtt_write_publish(out, MQTT_5, &p);
}

/* One of each that clients send after CONNECT, and CONNECT. */
static void *packets(unsigned calls)
{
    struct packets *k = calloc(1, sizeof *k);
    struct lean *l = lean_new(1, false);
    struct lean_client client = {
        .id = "client-with-a-name", .scope = SCOPE, .expiry_s = 60, .key = l->client_key
    };
    struct mqtt_subscription wants[] = { { .filter = { SPAN("site1/+/temperature") }, .qos = 1 },
                                         { .filter = { SPAN("site1/device7/#") }, .qos = 2 } };
    struct mqtt_ack ack = { .type = MQTT_PUBACK, .packet_id = 7 };
    struct mqtt_disconnect disconnect = { .reason = MQTT_SUCCESS };
    CLEANUP(buf_done)
    struct buf token;

    (void)calls;
    lean_must(k != NULL, "memory");
    buf_init(&token, 65535);
    buf_init(&k->all, 1 << 20);
    lean_token(l, &client, 1, &token);
    lean_connect_packet(l, &client, buf_span(&token), &k->all);
    write_publish(&k->all);
    mqtt_write_subscribe(&k->all, MQTT_5, 8, NULL, wants, COUNT_OF(wants));
    mqtt_write_unsubscribe(&k->all, MQTT_5, 9, NULL, &wants[0].filter, 1);
    mqtt_write_ack(&k->all, MQTT_5, &ack);
    mqtt_write_ping(&k->all, MQTT_PINGREQ);
    mqtt_write_disconnect(&k->all, MQTT_5, &disconnect);
    lean_must(buf_ok(&k->all), "packets");
    return k;
}

static enum status read_one(const struct mqtt_frame *frame)
{
    static struct mqtt_connect connect;
    struct mqtt_publish publish;
    struct mqtt_subscribe subscribe;
    struct mqtt_unsubscribe unsubscribe;
    struct mqtt_ack ack;
    struct mqtt_disconnect disconnect;

    switch (frame->type) {
    case MQTT_CONNECT:
        return mqtt_read_connect(frame, &connect, NULL);
    case MQTT_PUBLISH:
        return mqtt_read_publish(frame, MQTT_5, &publish, NULL);
    case MQTT_SUBSCRIBE:
        return mqtt_read_subscribe(frame, MQTT_5, &subscribe, NULL);
    case MQTT_UNSUBSCRIBE:
        return mqtt_read_unsubscribe(frame, MQTT_5, &unsubscribe, NULL);
    case MQTT_PUBACK:
        return mqtt_read_ack(frame, MQTT_5, &ack, NULL);
    case MQTT_PINGREQ:
        return mqtt_read_ping(frame, NULL);
    case MQTT_DISCONNECT:
        return mqtt_read_disconnect(frame, MQTT_5, &disconnect, NULL);
    default:
        return ST_INTERNAL;
    }
}

static void read_packets(void *state, unsigned i)
{
    struct packets *k = state;
    struct span rest = buf_span(&k->all);
    struct why why;
    enum status st;

    (void)i;
    while (rest.len > 0) {
        struct mqtt_frame frame;

        lean_must(mqtt_frame_next(rest, MQTT_FROM_CLIENT, 65536, &frame, &st, &why) == MQTT_FRAME_READY,
                  "a frame");
        lean_must(read_one(&frame) == ST_OK, "a packet");
        rest = span_cut(rest, frame.total_len, SIZE_MAX);
    }
}

/* ---- tokens ---- */

struct texts {
    struct lean *l;
    struct buf text;
};

static void *text_of(bool secret)
{
    struct texts *t = calloc(1, sizeof *t);
    struct lean_client client = { .scope = SCOPE };

    lean_must(t != NULL, "memory");
    t->l = lean_new(1, false);
    client.key = secret ? t->l->secret : t->l->client_key;
    buf_init(&t->text, 65535);
    lean_token(t->l, &client, 1, &t->text);
    return t;
}

static void *signed_token(unsigned calls)
{
    (void)calls;
    return text_of(false);
}

static void *encrypted_token(unsigned calls)
{
    (void)calls;
    return text_of(true);
}

static void verify(void *state, unsigned i)
{
    struct texts *t = state;
    struct token *token;

    (void)i;
    lean_must(token_verify(buf_span(&t->text), t->l->verifier, t->l->now.wall, &token, NULL) == ST_OK, "valid");
    token_unref(token);
}

const struct scenario token_scenarios[] = {
    { "read_packets", "CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PUBACK, PINGREQ, DISCONNECT, read", 100, 1,
      packets, read_packets },
    { "jwt_verify", "JWT signed with EdDSA, verified", 20, 1, signed_token, verify },
    { "jwe_verify", "JWT encrypted with A256KW and A256GCM, verified", 20, 1, encrypted_token, verify },
    { 0 },
};
