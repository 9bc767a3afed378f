#include "kit/say_priv.h"

#include "mqtt/reason.h"

static struct span reason_string(const struct received *r)
{
    const struct mqtt_properties *props = NULL;

    switch (r->frame.type) {
    case MQTT_CONNACK:
        props = &r->connack.properties;
        break;
    case MQTT_DISCONNECT:
        props = &r->disconnect.properties;
        break;
    case MQTT_AUTH:
        props = &r->auth.properties;
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
        props = &r->ack.properties;
        break;
    default:
        return SPAN_NONE;
    }
    return mqtt_has(props, PROP_REASON_STRING) ? props->reason_string : SPAN_NONE;
}

const char *describe(struct kit *k, const struct received *r)
{
    switch (r->got) {
    case GOT_END:
        return "the end of the connection";
    case GOT_NOTHING:
        return "nothing in time";
    case GOT_GARBAGE:
        return text(k, "a packet that breaks %s: %s", r->why.clause, r->why.text);
    case GOT_PACKET:
        break;
    }
    const char *name = mqtt_packet_name(r->frame.type);
    struct span reason = reason_string(r);
    if (r->frame.type == MQTT_PUBLISH)
        return text(k, "%s to \"%.*s\"", name, SPAN_FMT(r->publish.topic.s));
    if (r->frame.type == MQTT_SUBACK || r->frame.type == MQTT_UNSUBACK)
        return text(k, "%s 0x%02x", name, r->suback.reasons.len > 0 ? r->suback.reasons.p[0] : 0);
    if (reason.len > 0)
        return text(k, "%s 0x%02x \"%.*s\"", name, r->reason, SPAN_FMT(reason));
    return text(k, "%s 0x%02x", name, r->reason);
}

const struct received *expect(struct peer *p, enum mqtt_packet_type type)
{
    if (p == NULL || !going(kit_of(p)))
        return NULL;
    const struct received *r = peer_receive(p, 0);
    if (r->got == GOT_PACKET && r->frame.type == type)
        return r;
    fail(kit_of(p), "%s expected, got %s", mqtt_packet_name(type), describe(kit_of(p), r));
    return NULL;
}

const struct received *expect_reason(struct peer *p, enum mqtt_packet_type type, uint8_t reason)
{
    const struct received *r = expect(p, type);

    if (r == NULL)
        return NULL;
    if (r->reason == reason) {
        saw(kit_of(p), "%s", describe(kit_of(p), r));
        return r;
    }
    fail(kit_of(p), "%s 0x%02x expected, got %s", mqtt_packet_name(type), reason, describe(kit_of(p), r));
    return NULL;
}

bool expect_end(struct peer *p)
{
    if (p == NULL || !going(kit_of(p)))
        return false;
    const struct received *r = peer_receive(p, 0);
    if (r->got == GOT_END)
        return true;
    fail(kit_of(p), "the end of the connection expected, got %s", describe(kit_of(p), r));
    return false;
}

bool expect_refused(struct peer *p)
{
    const struct received *r = expect(p, MQTT_CONNACK);

    if (r == NULL)
        return false;
    if (r->reason < 0x80 || r->reason == MQTT_BAD_AUTHENTICATION_METHOD) {
        fail(kit_of(p), "CONNACK 0x87 expected, got %s", describe(kit_of(p), r));
        return false;
    }
    saw(kit_of(p), "%s", describe(kit_of(p), r));
    return expect_end(p);
}

bool expect_cut(struct peer *p, const uint8_t *also)
{
    if (p == NULL || !going(kit_of(p)))
        return false;
    const struct received *r = peer_receive(p, 0);
    bool right = r->got == GOT_PACKET && (r->frame.type == MQTT_DISCONNECT || r->frame.type == MQTT_CONNACK);
    bool code = right && r->reason == MQTT_NOT_AUTHORIZED;

    for (size_t i = 0; right && also != NULL && also[i] != 0; i++)
        code = code || r->reason == also[i];
    if (!code) {
        fail(kit_of(p), "DISCONNECT 0x87 expected, got %s", describe(kit_of(p), r));
        return false;
    }
    saw(kit_of(p), "%s", describe(kit_of(p), r));
    return expect_end(p);
}

bool expect_alive(struct peer *p)
{
    say_ping(p);
    return expect(p, MQTT_PINGRESP) != NULL;
}

/* ---- longer exchanges ---- */

struct span expect_challenge(struct peer *p)
{
    const struct received *r = expect_reason(p, MQTT_AUTH, MQTT_CONTINUE_AUTHENTICATION);
    struct span nonce = SPAN_NONE;

    if (r == NULL)
        return nonce;
    const struct mqtt_properties *props = &r->auth.properties;
    if (!check(kit_of(p), mqtt_has(props, PROP_AUTH_METHOD) && span_eq_str(props->auth_method, ACE_METHOD),
               "AUTH does not repeat the method \"ace\"") ||
        !check(kit_of(p), mqtt_has(props, PROP_AUTH_DATA) && props->auth_data.len == ACE_NONCE_LEN,
               "the challenge is not 8 bytes"))
        return nonce;
    return arena_copy(&kit_of(p)->arena, props->auth_data);
}

void answer_challenge(struct peer *p, const struct key *key)
{
    struct span challenge = expect_challenge(p);

    if (challenge.len == 0)
        return;
    struct kit *k = kit_of(p);
    struct span nonce = fill_random(k, ACE_NONCE_LEN);
    say_auth(p, MQTT_CONTINUE_AUTHENTICATION, answer_d9(k, nonce, proof(k, key, joined(k, challenge, nonce))));
}

static struct peer *accepted(struct peer *p)
{
    return expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS) != NULL ? p : NULL;
}

struct peer *open_connect(struct kit *k, struct mqtt_connect *c, struct span token, const struct key *key)
{
    struct peer *p = peer_new(k, NULL);

    if (p == NULL)
        return NULL;
    c->properties.auth_data = layout_a(k, token, proof(k, key, exporter_of(p)));
    say_connect(p, c);
    return accepted(p);
}

struct peer *open_with(struct kit *k, struct span token, const struct key *key)
{
    struct mqtt_connect c = connect_ace(k, SPAN(""));

    return open_connect(k, &c, token, key);
}

struct peer *open_by_challenge(struct kit *k, struct span token, const struct key *key)
{
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_ace(k, layout_b(k, token));

    say_connect(p, &c);
    answer_challenge(p, key);
    return accepted(p);
}

struct peer *open_scoped(struct kit *k, const char *aif_json)
{
    return open_with(k, token_for(k, k->pop[POP_ED25519], aif_json), k->pop[POP_ED25519]);
}

struct peer *open_good(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);

    return open_with(k, token, key);
}

void expect_suback(struct peer *p, uint8_t code)
{
    const struct received *r = expect(p, MQTT_SUBACK);

    if (r == NULL)
        return;
    uint8_t got = r->suback.reasons.len == 1 ? r->suback.reasons.p[0] : 0xFF;
    /* RFC 9431 3.3 lets a broker hide what exists behind 0x80. */
    if (got == code || (code == MQTT_NOT_AUTHORIZED && got == MQTT_UNSPECIFIED_ERROR))
        saw(kit_of(p), "SUBACK 0x%02x", got);
    else
        fail(kit_of(p), "SUBACK 0x%02x expected, got 0x%02x", code, got);
}

bool subscribed(struct peer *p, const char *filter, uint8_t qos)
{
    say_subscribe(p, filter, qos);
    expect_suback(p, qos);
    return p != NULL && going(kit_of(p));
}

const struct received *expect_message(struct peer *p, const char *topic, const char *payload)
{
    const struct received *r = expect(p, MQTT_PUBLISH);

    if (r == NULL)
        return NULL;
    if (span_eq_str(r->publish.topic.s, topic) && span_eq_str(r->publish.payload, payload))
        return r;
    fail(kit_of(p), "the message to %s expected, got %s", topic, describe(kit_of(p), r));
    return NULL;
}

const struct received *receive_behind_challenge(struct peer *p, const struct key *key)
{
    struct kit *k = kit_of(p);
    const struct received *r = peer_receive(p, 0);

    if (r->got == GOT_PACKET && r->frame.type == MQTT_AUTH &&
        r->auth.properties.auth_data.len == ACE_NONCE_LEN) {
        struct span nonce = fill_random(k, ACE_NONCE_LEN);
        struct span pop = proof(k, key, joined(k, r->auth.properties.auth_data, nonce));
        say_auth(p, MQTT_CONTINUE_AUTHENTICATION, answer_d9(k, nonce, pop));
        r = peer_receive(p, 0);
    }
    return r;
}

void must_refuse_token(struct kit *k, struct span token, const struct key *key)
{
    struct peer *p = peer_new(k, NULL);

    if (p == NULL)
        return;
    struct mqtt_connect c = connect_ace(k, layout_b(k, token));
    say_connect(p, &c);
    const struct received *r = receive_behind_challenge(p, key);
    bool refused = r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->reason >= 0x80;
    if (refused && r->reason != MQTT_BAD_AUTHENTICATION_METHOD) {
        saw(k, "%s", describe(k, r));
        (void)expect_end(p);
        return;
    }
    fail(k, "CONNACK 0x87 expected, got %s", describe(k, r));
}

void must_accept_token(struct kit *k, struct span token, const struct key *key)
{
    peer_close(open_by_challenge(k, token, key));
}
