/* B-10xx: the end of a token ends what it allowed (RFC 9431 4). */
#include "kit/say_priv.h"

#include "mqtt/reason.h"

#define SHORT_S 3 /* whole seconds: it lives for two at least */

struct span short_token(struct kit *k, const struct key *key, const char *aif_json)
{
    /* exp counts as passed `skew_s` later at the broker. */
    return token_for_life(k, key, aif_json, SHORT_S - k->s->skew_s);
}

void wait_expiry(struct kit *k, struct peer *p)
{
    if (p == NULL || !going(k))
        return;
    const struct received *r = peer_receive(p, SHORT_S * 1000 + k->wait_ms);
    if (r->got == GOT_PACKET && r->frame.type == MQTT_DISCONNECT && r->reason == MQTT_NOT_AUTHORIZED) {
        saw(k, "%s", describe(k, r));
        (void)expect_end(p);
    } else if (r->got == GOT_PACKET || r->got == GOT_GARBAGE) {
        fail(k, "DISCONNECT 0x87 expected, got %s", describe(k, r));
    } else if (r->got == GOT_NOTHING) {
        /* A broker need not look at the clock by itself (MAY): but it must when asked (SHOULD). */
        say_ping(p);
        r = peer_receive(p, 0);
        if (going(k) && r->got == GOT_PACKET && r->frame.type == MQTT_PINGRESP)
            fail(k, "the connection goes on after the token's end, and PINGREQ is answered");
    }
}

static void cut(struct kit *k)
{
    int64_t begin = mono_ms();
    struct peer *p = open_with(k, short_token(k, k->pop[POP_ED25519], NULL), k->pop[POP_ED25519]);

    wait_expiry(k, p);
    if (going(k))
        saw(k, "after %lld ms", (long long)(mono_ms() - begin));
}

static void nothing_forwarded(struct kit *k)
{
    const char *topic = under_root(k, "expiry/a");
    struct peer *reader = open_with(k, short_token(k, k->pop[POP_ED25519], NULL), k->pop[POP_ED25519]);

    if (!subscribed(reader, topic, 0))
        return;
    const struct received *r = peer_receive(reader, SHORT_S * 1000 + 1100);
    if (going(k) && r->got == GOT_NOTHING) {
        struct peer *writer = open_good(k);
        say_publish(writer, topic, "too late", 1, 1);
        (void)expect(writer, MQTT_PUBACK);
        r = peer_receive(reader, 0);
    }
    if (!going(k) || r->got == GOT_END)
        return;
    if (r->got == GOT_PACKET && r->frame.type == MQTT_DISCONNECT)
        (void)check(k, r->reason == MQTT_NOT_AUTHORIZED, "DISCONNECT 0x87 expected");
    else
        fail(k, "the end of the connection expected, got %s", describe(k, r));
}

static void publish_refused(struct kit *k)
{
    struct peer *p = open_with(k, short_token(k, k->pop[POP_ED25519], NULL), k->pop[POP_ED25519]);
    const struct received *r = peer_receive(p, SHORT_S * 1000 + 1100);

    if (!going(k) || r->got != GOT_NOTHING)
        return; /* cut already: nothing can be published */
    say_publish(p, under_root(k, "expiry/b"), "x", 1, 1);
    r = peer_receive(p, 0);
    if (r->got == GOT_PACKET && r->frame.type == MQTT_PUBACK && r->reason < 0x80)
        fail(k, "PUBACK 0x00 after the token's end");
}

static void renewed_in_time(struct kit *k)
{
    const struct key *key = k->pop[POP_ED25519];
    struct peer *p = open_by_challenge(k, short_token(k, key, NULL), key);

    if (p == NULL)
        return;
    say_auth(p, MQTT_REAUTHENTICATE, layout_b(k, token_for(k, key, NULL)));
    answer_challenge(p, key);
    (void)expect_reason(p, MQTT_AUTH, MQTT_SUCCESS);
    const struct received *r = peer_receive(p, SHORT_S * 1000 + 1500);
    if (going(k) && r->got != GOT_NOTHING)
        fail(k, "the connection should go on, got %s", describe(k, r));
    (void)expect_alive(p);
}

static void no_return(struct kit *k)
{
    struct span token = short_token(k, k->pop[POP_ED25519], NULL);

    wait_expiry(k, open_with(k, token, k->pop[POP_ED25519]));
    must_refuse_token(k, token, k->pop[POP_ED25519]);
}

/* clang-format off */
static const struct kit_case cases[] = {
    { "B-1001", "RFC 9431 4; MT-100 MT-101", "when the token ends, so does the connection: DISCONNECT 0x87", NEED_MINT, POLITE, cut },
    { "B-1002", "RFC 9431 3.2, 4; MT-98 MT-100", "nothing is forwarded after the token's end", NEED_MINT, POLITE, nothing_forwarded },
    { "B-1003", "RFC 9431 4; MT-100", "nothing is accepted after the token's end", NEED_MINT, POLITE, publish_refused },
    { "B-1004", "RFC 9431 4; MT-102 MT-106", "a token renewed in time carries the connection on", NEED_MINT, POLITE, renewed_in_time },
    { "B-1005", "RFC 9431 2.2.5, 4; MT-67 MT-100", "an ended token opens nothing any more", NEED_MINT, POLITE, no_return },
};
/* clang-format on */

const struct kit_theme theme_expiry = { "expiry", KIT_BROKER, cases, COUNT_OF(cases) };
