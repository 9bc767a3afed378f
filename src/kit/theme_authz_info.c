/* B-12xx: tokens put on the topic authz-info (RFC 9431 2.2.2). */
#include "kit/say_priv.h"

#include "mqtt/reason.h"

#define TOPIC "authz-info"
#define IT    k->pop[POP_ED25519]

struct peer *open_guest(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_plain(k);

    say_connect(p, &c);
    return expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS) == NULL ? NULL : p;
}

static void upload(struct peer *p, struct span payload, uint8_t qos)
{
    say_publish_bytes(p, TOPIC, payload, qos, false, 21);
}

bool put_token(struct kit *k, struct span token)
{
    struct peer *p = open_guest(k);

    upload(p, token, 1);
    (void)expect_reason(p, MQTT_PUBACK, MQTT_SUCCESS);
    say_disconnect(p, 0);
    return going(k);
}

static void good_0(struct kit *k)
{
    struct peer *p = open_guest(k);

    upload(p, token_for(k, IT, NULL), 0);
    (void)expect_alive(p);
}

static void good_1(struct kit *k)
{
    (void)put_token(k, token_for(k, IT, NULL));
}

static void good_2(struct kit *k)
{
    struct peer *p = open_guest(k);

    upload(p, token_for(k, IT, NULL), 2);
    (void)expect_reason(p, MQTT_PUBREC, MQTT_SUCCESS);
    say_packet(p, MQTT_PUBREL << 4 | 2, SPAN("\x00\x15"));
    (void)expect_reason(p, MQTT_PUBCOMP, MQTT_SUCCESS);
}

static void answered(struct kit *k, struct span payload, uint8_t qos, uint8_t code)
{
    struct peer *p = open_guest(k);

    upload(p, payload, qos);
    if (qos == 0) {
        if (expect_reason(p, MQTT_DISCONNECT, code) != NULL)
            (void)expect_end(p);
    } else {
        (void)expect_reason(p, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, code);
    }
}

static struct span expired(struct kit *k)
{
    return token_for_life(k, IT, NULL, -7200);
}

static void invalid_0(struct kit *k)
{
    answered(k, expired(k), 0, MQTT_NOT_AUTHORIZED);
}

static void invalid_1(struct kit *k)
{
    answered(k, expired(k), 1, MQTT_NOT_AUTHORIZED);
}

static void invalid_2(struct kit *k)
{
    answered(k, expired(k), 2, MQTT_NOT_AUTHORIZED);
}

static const struct span no_token = { (const uint8_t *)"\x01 these bytes are no token", 26 };

static void none_0(struct kit *k)
{
    answered(k, no_token, 0, MQTT_PAYLOAD_FORMAT_INVALID);
}

static void none_1(struct kit *k)
{
    answered(k, no_token, 1, MQTT_PAYLOAD_FORMAT_INVALID);
}

static void none_2(struct kit *k)
{
    answered(k, no_token, 2, MQTT_PAYLOAD_FORMAT_INVALID);
}

static void other_audience(struct kit *k)
{
    struct claims c = claims_good(k, IT);

    claims_set(&c, "aud", "\"another.broker\"");
    answered(k, sign_claims(&c), 1, MQTT_NOT_AUTHORIZED);
}

static void guest_subscribes(struct kit *k)
{
    struct peer *p = open_guest(k);

    say_subscribe(p, TOPIC, 0);
    expect_suback(p, MQTT_NOT_AUTHORIZED);
}

static void never_delivered(struct kit *k)
{
    struct peer *p = open_scoped(k, "[[\"#\",[\"pub\",\"sub\"]]]");

    if (!subscribed(p, "#", 0))
        return;
    if (put_token(k, token_for(k, IT, NULL)) && expect_alive(p))
        saw(k, "a subscriber to # saw nothing of it");
}

static void too_large(struct kit *k)
{
    struct peer *p = open_guest(k);

    upload(p, repeated(k, "x", 65000), 1);
    const struct received *r = peer_receive(p, 0);
    if (!going(k) || r->got == GOT_END)
        return;
    if (check(k, r->got == GOT_PACKET && r->reason >= 0x80, "64 KiB were accepted as a token"))
        saw(k, "%s", describe(k, r));
}

/* A broker may say that it is too much (MT-40); it must not fall over, nor grow (see --pid). */
static void a_thousand(struct kit *k)
{
    unsigned kept = 0;

    for (int i = 0; i < 1000 && going(k); i += 50) {
        struct peer *p = open_guest(k);
        for (int n = 0; n < 50 && p != NULL && going(k); n++) {
            upload(p, token_for(k, IT, NULL), 1);
            const struct received *r = peer_receive(p, 0);
            bool quota = r->got == GOT_END || (r->got == GOT_PACKET && r->reason >= 0x95);
            kept += r->got == GOT_PACKET && r->reason < 0x80;
            if (!going(k) ||
                !check(k, quota || (r->got == GOT_PACKET && r->frame.type == MQTT_PUBACK && r->reason == 0),
                       "PUBACK 0x00 or a limit expected"))
                return;
            if (r->got == GOT_END || r->frame.type == MQTT_DISCONNECT)
                break;
        }
        peer_close(p);
        buf_reset(&k->seen);
    }
    if (going(k))
        saw(k, "%u of 1000 accepted", kept);
}

#define N (NEED_MINT | NEED_AUTHZ_INFO)
/* clang-format off */
static const struct kit_case cases[] = {
    { "B-1201", "RFC 9431 2.2.2; MT-30 MT-32 MT-34", "a token at QoS 0 is taken in silence", N, POLITE, good_0 },
    { "B-1202", "RFC 9431 2.2.2; MT-30 MT-34 AF-61", "a token at QoS 1: PUBACK 0x00", N, POLITE, good_1 },
    { "B-1203", "RFC 9431 2.2.2; MT-37 AF-61", "a token at QoS 2: PUBREC 0x00, PUBCOMP", N, POLITE, good_2 },
    { "B-1211", "RFC 9431 2.2.2; MT-34 MT-35", "an invalid token at QoS 0: DISCONNECT 0x87", N, RUDE, invalid_0 },
    { "B-1212", "RFC 9431 2.2.2; MT-34 MT-37 AF-61", "an invalid token at QoS 1: PUBACK 0x87", N, RUDE, invalid_1 },
    { "B-1213", "RFC 9431 2.2.2; MT-34 MT-37", "an invalid token at QoS 2: PUBREC 0x87", N, RUDE, invalid_2 },
    { "B-1214", "RFC 9431 2.2.2; MT-36", "no token at QoS 0: DISCONNECT 0x99", N, RUDE, none_0 },
    { "B-1215", "RFC 9431 2.2.2; MT-37 AF-61", "no token at QoS 1: PUBACK 0x99", N, RUDE, none_1 },
    { "B-1216", "RFC 9431 2.2.2; MT-37", "no token at QoS 2: PUBREC 0x99", N, RUDE, none_2 },
    { "B-1217", "RFC 9431 2.2.2; MT-34 MT-67", "a token for another audience: PUBACK 0x87", N, RUDE, other_audience },
    { "B-1218", "RFC 9431 2.2.2; MT-31", "a client without a token may not subscribe there", N, RUDE, guest_subscribes },
    { "B-1219", "RFC 9431 2.2.2; MT-31", "tokens are delivered to nobody, not to # either", N, POLITE, never_delivered },
    { "B-1220", "RFC 9431 8; MT-40", "64 KiB that are no token", N, RUDE, too_large },
    { "B-1229", "RFC 9431 2.2.2, 8; MT-33 MT-40 AF-65", "a thousand tokens for one key", N, RUDE, a_thousand },
};
/* clang-format on */

const struct kit_theme theme_authz_info = { "authz_info", KIT_BROKER, cases, COUNT_OF(cases) };
