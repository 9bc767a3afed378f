#include "kit/say_priv.h"

#include "crypto/sign.h"

/* ---- proofs ---- */

struct span exporter_of(struct peer *p)
{
    uint8_t value[ACE_EXPORTER_LEN];
    struct why why;

    if (p == NULL)
        return SPAN_NONE;
    if (tls_exporter(peer_tls(p), SPAN(ACE_EXPORTER_LABEL), value, sizeof value, &why) != ST_OK)
        trouble(kit_of(p), "no exporter value: %s", why.text);
    return arena_copy(&kit_of(p)->arena, span_of(value, sizeof value));
}

struct span proof(struct kit *k, const struct key *key, struct span data)
{
    uint8_t sig[SIG_MAX];

    if (!going(k) || key == NULL)
        return SPAN_NONE;
    if (sig_make(key, pop_alg_for(key), data, sig) != ST_OK) {
        trouble(k, "the proof could not be made");
        return SPAN_NONE;
    }
    return arena_copy(&k->arena, span_of(sig, pop_len_for(key)));
}

static void der_integer(struct buf *b, struct span n)
{
    while (n.len > 1 && n.p[0] == 0)
        n = span_cut(n, 1, n.len);
    bool high = n.len > 0 && n.p[0] >= 0x80;
    put_u8(b, 2);
    put_u8(b, (uint8_t)(n.len + high));
    if (high)
        put_u8(b, 0);
    put_bytes(b, n);
}

struct span der_of(struct kit *k, struct span raw)
{
    CLEANUP(buf_done)
    struct buf inner;
    struct buf out;

    buf_init(&inner, 256);
    buf_init(&out, 256);
    der_integer(&inner, span_cut(raw, 0, raw.len / 2));
    der_integer(&inner, span_cut(raw, raw.len / 2, raw.len));
    put_u8(&out, 0x30);
    put_u8(&out, (uint8_t)inner.len);
    put_bytes(&out, buf_span(&inner));
    return bytes(k, &out);
}

struct span der_proof(struct kit *k, struct peer *p, const struct key *key)
{
    return der_of(k, proof(k, key, exporter_of(p)));
}

struct span joined(struct kit *k, struct span a, struct span b)
{
    struct buf out;

    buf_init(&out, 1u << 20);
    put_bytes(&out, a);
    put_bytes(&out, b);
    return bytes(k, &out);
}

struct span layout_a(struct kit *k, struct span token, struct span pop)
{
    struct buf out;

    buf_init(&out, 1u << 20);
    put_prefixed16(&out, token);
    put_bytes(&out, pop);
    return bytes(k, &out);
}

struct span layout_b(struct kit *k, struct span token)
{
    return layout_a(k, token, SPAN_NONE);
}

struct span answer_d9(struct kit *k, struct span nonce, struct span pop)
{
    return joined(k, nonce, pop);
}

struct span answer_d6(struct kit *k, struct span nonce, struct span pop)
{
    return layout_a(k, nonce, pop);
}

/* ---- packets ---- */

struct mqtt_connect connect_plain(struct kit *k)
{
    return (struct mqtt_connect){
        .version = MQTT_5, .clean_start = true, .keep_alive_s = 60, .client_id = span_of_str(new_client_id(k))
    };
}

struct mqtt_connect connect_ace(struct kit *k, struct span auth_data)
{
    struct mqtt_connect c = connect_plain(k);

    c.properties.auth_method = SPAN(ACE_METHOD);
    mqtt_set(&c.properties, PROP_AUTH_METHOD);
    if (auth_data.p != NULL) {
        c.properties.auth_data = auth_data;
        mqtt_set(&c.properties, PROP_AUTH_DATA);
    }
    return c;
}

static struct buf packet_buf(void)
{
    struct buf b;

    buf_init(&b, 1u << 20);
    return b;
}

/* Sends what was built; a packet that could not be built is the case's own fault. */
static void send_built(struct peer *p, struct buf *b)
{
    if (p != NULL && !buf_ok(b))
        trouble(kit_of(p), "a packet could not be built");
    else
        peer_send(p, buf_span(b));
    buf_done(b);
}

void say_connect(struct peer *p, const struct mqtt_connect *c)
{
    struct buf b = packet_buf();

    mqtt_write_connect(&b, c);
    send_built(p, &b);
}

void say_auth_as(struct peer *p, uint8_t reason, const char *method, struct span data)
{
    CLEANUP(buf_done)
    struct buf props = packet_buf(), body = packet_buf();

    if (p == NULL)
        return;
    /* Built by hand: the method may be missing or wrong here. */
    if (method != NULL) {
        put_u8(&props, PROP_AUTH_METHOD);
        put_prefixed16(&props, span_of_str(method));
    }
    if (data.p != NULL) {
        put_u8(&props, PROP_AUTH_DATA);
        put_prefixed16(&props, data);
    }
    put_u8(&body, reason);
    put_varint(&body, (uint32_t)props.len);
    put_bytes(&body, buf_span(&props));
    if (!buf_ok(&props) || !buf_ok(&body))
        trouble(kit_of(p), "a packet could not be built");
    else
        say_packet(p, MQTT_AUTH << 4, buf_span(&body));
}

void say_auth(struct peer *p, uint8_t reason, struct span data)
{
    say_auth_as(p, reason, ACE_METHOD, data);
}

void say_publish_bytes(struct peer *p, const char *topic, struct span payload, uint8_t qos, bool retain,
                       uint16_t packet_id)
{
    struct buf b = packet_buf();
    struct mqtt_publish_out out = {
        .qos = qos, .retain = retain, .packet_id = packet_id, .topic = span_of_str(topic), .payload = payload
    };

    mqtt_write_publish(&b, peer_version(p), &out);
    send_built(p, &b);
}

void say_publish(struct peer *p, const char *topic, const char *payload, uint8_t qos, uint16_t packet_id)
{
    say_publish_bytes(p, topic, span_of_str(payload), qos, false, packet_id);
}

void say_subscribe_span(struct peer *p, struct span filter, uint8_t qos)
{
    CLEANUP(buf_done)
    struct buf body = packet_buf();

    if (p == NULL)
        return;
    put_u16(&body, (uint16_t)(++kit_of(p)->serial % 65535 + 1));
    if (peer_version(p) == MQTT_5)
        put_u8(&body, 0); /* no properties */
    put_prefixed16(&body, filter);
    put_u8(&body, qos);
    say_packet(p, MQTT_SUBSCRIBE << 4 | 2, buf_span(&body));
}

void say_subscribe(struct peer *p, const char *filter, uint8_t qos)
{
    say_subscribe_span(p, span_of_str(filter), qos);
}

void say_disconnect(struct peer *p, uint8_t reason)
{
    struct buf b = packet_buf();
    struct mqtt_disconnect d = { .reason = reason };

    mqtt_write_disconnect(&b, peer_version(p), &d);
    send_built(p, &b);
}

void say_ping(struct peer *p)
{
    struct buf b = packet_buf();

    mqtt_write_ping(&b, MQTT_PINGREQ);
    send_built(p, &b);
}

void say_packet(struct peer *p, uint8_t first_byte, struct span body)
{
    struct buf b = packet_buf();

    put_u8(&b, first_byte);
    put_varint(&b, (uint32_t)body.len);
    put_bytes(&b, body);
    send_built(p, &b);
}
