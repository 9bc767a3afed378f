/* B-4xx: a new token inside the connection (RFC 9431 4). */
#include "kit/say_priv.h"

#include "mqtt/reason.h"

static void renew(struct peer *p, struct span token, const struct key *key)
{
    if (p == NULL)
        return;
    say_auth(p, MQTT_REAUTHENTICATE, layout_b(kit_of(p), token));
    answer_challenge(p, key);
    (void)expect_reason(p, MQTT_AUTH, MQTT_SUCCESS);
}

static const char *only(struct kit *k, const char *rest, const char *rights)
{
    return text(k, "[[\"%s\",[%s]]]", under_root(k, rest), rights);
}

static void expect_puback(struct peer *p, bool allowed)
{
    const struct received *r = expect(p, MQTT_PUBACK);

    if (r == NULL)
        return;
    saw(kit_of(p), "%s", describe(kit_of(p), r));
    if (allowed)
        (void)check(kit_of(p), r->reason < 0x80, "the PUBLISH should have been accepted");
    else
        (void)check(kit_of(p), r->reason == MQTT_NOT_AUTHORIZED || r->reason == MQTT_UNSPECIFIED_ERROR,
                    "PUBACK 0x87 expected");
}

static void renewed(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    struct peer *p = open_by_challenge(k, token, key);

    token = good_token(k, POP_ED25519, &key);
    renew(p, token, key);
    (void)expect_alive(p);
}

static void renewed_after_exporter(struct kit *k)
{
    struct peer *p = open_good(k);
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);

    if (p == NULL)
        return;
    say_auth(p, MQTT_REAUTHENTICATE, layout_b(k, token));
    if (!k->s->draft06) {
        answer_challenge(p, key);
        (void)expect_reason(p, MQTT_AUTH, MQTT_SUCCESS);
        return;
    }
    const struct received *r = peer_receive(p, 0); /* draft-06: only who proved by challenge may (D-15) */
    if (r->got == GOT_PACKET && r->frame.type == MQTT_DISCONNECT && r->reason == MQTT_NOT_AUTHORIZED)
        saw(k, "%s", describe(k, r));
    else if (r->got != GOT_PACKET || r->frame.type != MQTT_AUTH)
        fail(k, "DISCONNECT 0x87 or a challenge expected, got %s", describe(k, r));
}

static void another_key(struct kit *k)
{
    struct peer *p = open_good(k);
    struct span token = token_for(k, k->stranger[POP_ED25519], NULL);

    renew(p, token, k->stranger[POP_ED25519]);
}

static void rights_change(struct kit *k)
{
    const struct key *key = k->pop[POP_ED25519];
    struct peer *p = open_scoped(k, only(k, "old", "\"pub\""));

    say_publish(p, under_root(k, "old"), "1", 1, 1);
    expect_puback(p, true);
    say_publish(p, under_root(k, "new"), "2", 1, 2);
    expect_puback(p, false);
    renew(p, token_for(k, key, only(k, "new", "\"pub\"")), key);
    say_publish(p, under_root(k, "new"), "3", 1, 3);
    expect_puback(p, true);
    say_publish(p, under_root(k, "old"), "4", 1, 4);
    expect_puback(p, false);
}

static void subscriptions_are_checked_again(struct kit *k)
{
    const struct key *key = k->pop[POP_ED25519];
    struct peer *p = open_scoped(k, only(k, "#", "\"pub\",\"sub\""));

    if (!subscribed(p, under_root(k, "lost"), 0) || !subscribed(p, under_root(k, "kept"), 0))
        return;
    say_auth(p, MQTT_REAUTHENTICATE, layout_b(k, token_for(k, key, only(k, "kept", "\"pub\",\"sub\""))));
    answer_challenge(p, key);
    const struct received *r = peer_receive(p, 0);
    if (going(k) && r->got == GOT_PACKET && r->frame.type == MQTT_DISCONNECT) {
        (void)check(k, r->reason == MQTT_NOT_AUTHORIZED, "DISCONNECT 0x87 expected"); /* also right (MT-107) */
        return;
    }
    if (going(k) && (r->got != GOT_PACKET || r->frame.type != MQTT_AUTH || r->reason != MQTT_SUCCESS)) {
        fail(k, "AUTH 0x00 expected, got %s", describe(k, r));
        return;
    }
    struct peer *other = open_good(k);
    say_publish(other, under_root(k, "lost"), "secret", 1, 1);
    expect_puback(other, true);
    say_publish(other, under_root(k, "kept"), "fine", 1, 2);
    expect_puback(other, true);
    (void)expect_message(p, under_root(k, "kept"), "fine");
}

static void work_goes_on_meanwhile(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    struct peer *p = open_by_challenge(k, token, key);

    token = good_token(k, POP_ED25519, &key);
    say_auth(p, MQTT_REAUTHENTICATE, layout_b(k, token));
    struct span challenge = expect_challenge(p);
    say_publish(p, under_root(k, "meanwhile"), "x", 1, 5);
    expect_puback(p, true);
    if (!going(k))
        return;
    struct span nonce = fill_random(k, ACE_NONCE_LEN);
    say_auth(p, MQTT_CONTINUE_AUTHENTICATION, answer_d9(k, nonce, proof(k, key, joined(k, challenge, nonce))));
    (void)expect_reason(p, MQTT_AUTH, MQTT_SUCCESS);
}

/* ---- refused ---- */

static void must_cut(struct peer *p)
{
    static const uint8_t also[] = { MQTT_PROTOCOL_ERROR, MQTT_MALFORMED_PACKET, MQTT_BAD_AUTHENTICATION_METHOD,
                                    0 };

    (void)expect_cut(p, also);
}

static void without_a_first_token(struct kit *k)
{
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_plain(k);

    say_connect(p, &c);
    const struct received *r = expect(p, MQTT_CONNACK);
    if (r == NULL)
        return;
    if (r->reason != 0) {
        not_applicable(k, "nobody connects without a token here");
        return;
    }
    say_auth(p, MQTT_REAUTHENTICATE, layout_b(k, token_for(k, k->pop[POP_ED25519], NULL)));
    must_cut(p);
}

static void by_the_exporter(struct kit *k)
{
    struct peer *p = open_good(k);
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);

    if (p == NULL)
        return;
    say_auth(p, MQTT_REAUTHENTICATE, layout_a(k, token, proof(k, key, exporter_of(p))));
    must_cut(p);
}

static void cut_after(struct kit *k, struct span token, const struct key *key)
{
    struct peer *p = open_good(k);

    say_auth(p, MQTT_REAUTHENTICATE, layout_b(k, token));
    if (!going(k))
        return;
    const struct received *r = receive_behind_challenge(p, key);
    if (r->got == GOT_PACKET && r->frame.type == MQTT_DISCONNECT && r->reason == MQTT_NOT_AUTHORIZED) {
        saw(k, "%s", describe(k, r));
        (void)expect_end(p);
    } else {
        fail(k, "DISCONNECT 0x87 expected, got %s", describe(k, r));
    }
}

static void no_token(struct kit *k)
{
    cut_after(k, SPAN("no token"), k->pop[POP_ED25519]);
}

static void expired_token(struct kit *k)
{
    cut_after(k, token_for_life(k, k->pop[POP_ED25519], NULL, -7200), k->pop[POP_ED25519]);
}

static void other_audience(struct kit *k)
{
    struct claims c = claims_good(k, k->pop[POP_ED25519]);

    claims_set(&c, "aud", "\"another.broker\"");
    cut_after(k, sign_claims(&c), k->pop[POP_ED25519]);
}

static void wrong_proof(struct kit *k)
{
    cut_after(k, token_for(k, k->pop[POP_ED25519], NULL), k->stranger[POP_ED25519]);
}

static void another_method(struct kit *k)
{
    struct peer *p = open_good(k);

    say_auth_as(p, MQTT_REAUTHENTICATE, "SCRAM-SHA-256", SPAN("\x00\x01x"));
    must_cut(p);
}

static void no_data(struct kit *k)
{
    struct peer *p = open_good(k);

    say_auth(p, MQTT_REAUTHENTICATE, SPAN_NONE);
    must_cut(p);
}

static void twice_at_once(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    struct peer *p = open_with(k, token, key);

    say_auth(p, MQTT_REAUTHENTICATE, layout_b(k, token));
    (void)expect_challenge(p);
    say_auth(p, MQTT_REAUTHENTICATE, layout_b(k, token));
    must_cut(p);
}

/* clang-format off */
static const struct kit_case cases[] = {
    { "B-401", "RFC 9431 4; MQTT5 4.12.1; MT-102 MT-103 MT-105 MT-106", "a new token by challenge and response is accepted: AUTH 0x00", NEED_TOKEN, POLITE, renewed },
    { "B-402", "RFC 9431 4; MT-104", "also when the first proof was over the exporter (D-15)", NEED_TOKEN, POLITE, renewed_after_exporter },
    { "B-403", "RFC 9431 4; MT-102", "the new token may be bound to another key", NEED_MINT, POLITE, another_key },
    { "B-404", "RFC 9431 4; MT-107", "the rights are those of the new token, both ways", NEED_MINT, POLITE, rights_change },
    { "B-405", "RFC 9431 4, 3.2; MT-98 MT-107", "a subscription the new token does not cover gets nothing any more", NEED_MINT, POLITE, subscriptions_are_checked_again },
    { "B-406", "MQTT5 4.12.1; MT-102", "packets go on while it is under way", NEED_TOKEN, POLITE, work_goes_on_meanwhile },
    { "B-411", "RFC 9431 4; MT-104", "without a first token it is denied", NEED_MINT, RUDE, without_a_first_token },
    { "B-412", "RFC 9431 4; MT-61 MT-103", "the exporter does not serve for it", NEED_TOKEN, RUDE, by_the_exporter },
    { "B-413", "RFC 9431 4; MT-105", "what is no token ends the connection with 0x87", NEED_MINT, RUDE, no_token },
    { "B-414", "RFC 9431 4; MT-105", "an expired token ends the connection with 0x87", NEED_MINT, RUDE, expired_token },
    { "B-415", "RFC 9431 4; MT-105 TK-54", "a token for another audience ends the connection with 0x87", NEED_MINT, RUDE, other_audience },
    { "B-416", "RFC 9431 4; MT-105", "a wrong proof ends the connection with 0x87", NEED_MINT, RUDE, wrong_proof },
    { "B-417", "MQTT5 [MQTT-4.12.1-1]; MT-102", "another method ends the connection", NEED_TOKEN, RUDE, another_method },
    { "B-418", "RFC 9431 4; MT-102", "AUTH 0x19 without data ends the connection", NEED_TOKEN, RUDE, no_data },
    { "B-419", "RFC 9431 4; MT-62", "a second AUTH 0x19 instead of an answer ends the connection", NEED_TOKEN, RUDE, twice_at_once },
};
/* clang-format on */

const struct kit_theme theme_reauth = { "reauth", KIT_BROKER, cases, COUNT_OF(cases) };
