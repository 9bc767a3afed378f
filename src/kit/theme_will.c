/* B-8xx: Wills and retained messages (RFC 9431 2.2.4.1, 5). */
#include "kit/say_priv.h"

#include "mqtt/reason.h"

static struct mqtt_connect with_will(struct kit *k, const char *topic)
{
    struct mqtt_connect c = connect_ace(k, SPAN(""));

    c.has_will = true;
    c.will.topic.s = span_of_str(topic);
    c.will.payload = SPAN("the end");
    return c;
}

static struct peer *reader_of(struct kit *k, const char *topic)
{
    struct peer *p = open_good(k);

    return subscribed(p, topic, 0) ? p : NULL;
}

static struct peer *open_with_will(struct kit *k, struct mqtt_connect *c)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);

    return open_connect(k, c, token, key);
}

static void published_on_loss(struct kit *k)
{
    const char *topic = under_root(k, "will/loss");
    struct peer *reader = reader_of(k, topic);
    struct mqtt_connect c = with_will(k, topic);

    peer_close(open_with_will(k, &c));
    (void)expect_message(reader, topic, "the end");
}

static void not_published_on_disconnect(struct kit *k)
{
    const char *topic = under_root(k, "will/none");
    struct peer *reader = reader_of(k, topic);
    struct mqtt_connect c = with_will(k, topic);
    struct peer *p = open_with_will(k, &c);

    say_disconnect(p, 0);
    (void)expect_end(p);
    (void)expect_alive(reader);
}

static void refused_with(struct kit *k, const char *topic, const char *rights)
{
    struct mqtt_connect c = with_will(k, under_root(k, topic));
    struct span token =
        token_for(k, k->pop[POP_ED25519], text(k, "[[\"%s\",[\"%s\"]]]", under_root(k, "in/#"), rights));
    struct peer *p = peer_new(k, NULL);

    if (p == NULL)
        return;
    c.properties.auth_data = layout_a(k, token, proof(k, k->pop[POP_ED25519], exporter_of(p)));
    say_connect(p, &c);
    (void)expect_refused(p);
}

static void outside_the_scope(struct kit *k)
{
    refused_with(k, "elsewhere", "pub");
}

static void sub_is_not_enough(struct kit *k)
{
    refused_with(k, "in/a", "sub");
}

static void published_after_an_offence(struct kit *k)
{
    static const uint8_t also[] = { MQTT_UNSPECIFIED_ERROR, 0 };
    const char *topic = under_root(k, "will/offence");
    struct peer *reader = reader_of(k, topic);
    struct mqtt_connect c = with_will(k, topic);
    struct span token = token_for(k, k->pop[POP_ED25519], text(k, "[[\"%s\",[\"pub\"]]]", topic));
    struct peer *p = open_connect(k, &c, token, k->pop[POP_ED25519]);

    say_publish(p, under_root(k, "forbidden"), "x", 0, 0);
    (void)expect_cut(p, also);
    (void)expect_message(reader, topic, "the end");
}

static void published_after_expiry(struct kit *k)
{
    const char *topic = under_root(k, "will/expiry");
    struct peer *reader = reader_of(k, topic);
    struct mqtt_connect c = with_will(k, topic);
    struct span token = short_token(k, k->pop[POP_ED25519], NULL);
    struct peer *p = open_connect(k, &c, token, k->pop[POP_ED25519]);

    wait_expiry(k, p);
    (void)expect_message(reader, topic, "the end");
}

static void delayed(struct kit *k)
{
    const char *topic = under_root(k, "will/delay");
    struct peer *reader = reader_of(k, topic);
    struct mqtt_connect c = with_will(k, topic);

    c.properties.session_expiry_s = 60;
    mqtt_set(&c.properties, PROP_SESSION_EXPIRY);
    c.will.properties.will_delay_s = 1;
    mqtt_set(&c.will.properties, PROP_WILL_DELAY);
    struct peer *p = open_with_will(k, &c);
    int64_t begin = mono_ms();
    peer_close(p);
    if (expect_message(reader, topic, "the end") == NULL)
        return;
    if (mono_ms() - begin < 900)
        not_applicable(k, "the Will came at once, as where sessions end with their connection");
    else
        saw(k, "after %lld ms", (long long)(mono_ms() - begin));
}

/* ---- retained messages ---- */

static void retain(struct kit *k, struct peer *p, const char *topic, const char *payload)
{
    say_publish_bytes(p, topic, span_of_str(payload), 1, true, 11);
    const struct received *r = expect(p, MQTT_PUBACK);
    if (r != NULL)
        (void)check(k, r->reason < 0x80, "the retained message was not accepted");
}

static void retained_served(struct kit *k)
{
    const char *topic = under_root(k, "retained/a");
    struct peer *p = open_good(k);

    retain(k, p, topic, "kept");
    say_disconnect(p, 0);
    (void)expect_end(p);
    struct peer *reader = reader_of(k, topic);
    const struct received *r = expect_message(reader, topic, "kept");
    if (r != NULL && check(k, r->publish.retain, "the RETAIN flag is missing"))
        saw(k, "kept after DISCONNECT");
    retain(k, open_good(k), topic, "");
}

static void retained_ends_with_the_token(struct kit *k)
{
    const char *topic = under_root(k, "retained/token");
    struct peer *p = open_with(k, short_token(k, k->pop[POP_ED25519], NULL), k->pop[POP_ED25519]);

    retain(k, p, topic, "for a while");
    peer_close(reader_of(k, topic));
    struct peer *early = reader_of(k, topic);
    (void)expect_message(early, topic, "for a while");
    wait_expiry(k, p);
    struct peer *late = reader_of(k, topic);
    if (going(k) && expect_alive(late))
        saw(k, "gone with its publisher's token");
}

static void retained_expires(struct kit *k)
{
    const char *topic = under_root(k, "retained/expiry");
    struct peer *p = open_good(k);
    struct buf b;

    buf_init(&b, 1024);
    put_prefixed16(&b, span_of_str(topic));
    put_u16(&b, 12);
    put_u8(&b, 5);
    put_u8(&b, PROP_MESSAGE_EXPIRY);
    put_u32(&b, 2);
    put_str(&b, "brief");
    say_packet(p, MQTT_PUBLISH << 4 | 3, bytes(k, &b));
    (void)expect(p, MQTT_PUBACK);
    struct peer *early = reader_of(k, topic);
    (void)expect_message(early, topic, "brief");
    (void)peer_receive(p, 3100); /* time passes */
    struct peer *late = reader_of(k, topic);
    if (going(k) && expect_alive(late))
        saw(k, "gone after its message expiry interval");
}

/* clang-format off */
static const struct kit_case cases[] = {
    { "B-801", "RFC 9431 2.2.4.1, 5; MT-84 MT-112", "a Will inside the scope is published when the connection is lost", NEED_TOKEN, POLITE, published_on_loss },
    { "B-802", "MQTT5 3.14.4; MT-112", "not after DISCONNECT", NEED_TOKEN, POLITE, not_published_on_disconnect },
    { "B-803", "RFC 9431 2.2.4.1, 2.4.1; MT-84 MT-90", "a Will outside the scope: the connection is refused", NEED_MINT, RUDE, outside_the_scope },
    { "B-804", "RFC 9431 2.2.4.1; MT-84", "the right to subscribe is not enough for a Will", NEED_MINT, RUDE, sub_is_not_enough },
    { "B-805", "RFC 9431 5; MT-97 MT-112", "a Will is published when the broker closes for an authorization error", NEED_MINT, POLITE, published_after_an_offence },
    { "B-806", "RFC 9431 5; MT-100 MT-112", "a Will is published although the token has expired", NEED_MINT, POLITE, published_after_expiry },
    { "B-807", "RFC 9431 2.2.4.1; MQTT5 3.1.3.2.2; MT-113", "the Will Delay Interval is kept", NEED_TOKEN, POLITE, delayed },
    { "B-811", "RFC 9431 5; MT-110 MT-111", "a retained message is served after its publisher's DISCONNECT", NEED_TOKEN, POLITE, retained_served },
    { "B-812", "RFC 9431 5; MT-111", "a retained message ends with its publisher's token", NEED_MINT, POLITE, retained_ends_with_the_token },
    { "B-813", "RFC 9431 5; MT-111", "a retained message ends with its own expiry, if that is earlier", NEED_TOKEN, POLITE, retained_expires },
};
/* clang-format on */

const struct kit_theme theme_will = { "will_retained", KIT_BROKER, cases, COUNT_OF(cases) };
