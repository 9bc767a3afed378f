/* B-3xx: challenge and response (RFC 9431 2.2.4.2.2). */
#include "kit/say_priv.h"

#include "mqtt/reason.h"

/* A connection whose challenge is not answered yet. */
struct asked {
    struct peer *p;
    const struct key *key;
    struct span token, rs_nonce, nonce;
};

static struct asked ask_for(struct kit *k, struct span token, const struct key *key)
{
    struct asked a = { .key = key, .token = token };
    struct mqtt_connect c = connect_ace(k, layout_b(k, token));

    a.p = peer_new(k, NULL);
    say_connect(a.p, &c);
    a.rs_nonce = expect_challenge(a.p);
    a.nonce = fill_random(k, ACE_NONCE_LEN);
    return a;
}

static struct asked ask(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);

    return ask_for(k, token, key);
}

static struct asked ask_kind(struct kit *k, enum pop_kind kind)
{
    return ask_for(k, token_for(k, k->pop[kind], NULL), k->pop[kind]);
}

static void answer(struct asked *a, struct span data)
{
    say_auth(a->p, MQTT_CONTINUE_AUTHENTICATION, data);
}

static struct span right(struct kit *k, const struct asked *a)
{
    return proof(k, a->key, joined(k, a->rs_nonce, a->nonce));
}

static void must_end(struct kit *k, struct asked *a)
{
    static const uint8_t also[] = { MQTT_PROTOCOL_ERROR, MQTT_MALFORMED_PACKET, MQTT_BAD_AUTHENTICATION_METHOD,
                                    0 };

    if (going(k))
        (void)expect_cut(a->p, also);
}

static void accepted(struct kit *k, enum pop_kind kind)
{
    struct asked a = ask_kind(k, kind);

    answer(&a, answer_d9(k, a.nonce, right(k, &a)));
    (void)expect_reason(a.p, MQTT_CONNACK, MQTT_SUCCESS);
}

static void ed25519(struct kit *k)
{
    struct asked a = ask(k);

    answer(&a, answer_d9(k, a.nonce, right(k, &a)));
    (void)expect_reason(a.p, MQTT_CONNACK, MQTT_SUCCESS);
}

static void hs256(struct kit *k)
{
    accepted(k, POP_SECRET);
}

static void es256(struct kit *k)
{
    accepted(k, POP_P256);
    if (k->decided && k->verdict == KIT_FAIL) {
        k->decided = false;
        not_applicable(k, "ES256 is not taken; RFC 9431 2.2.5 asks for HS256 and Ed25519 only");
    }
}

static void draft_answer(struct kit *k, size_t nonce_len)
{
    struct asked a = ask(k);

    a.nonce = fill_random(k, nonce_len);
    answer(&a, answer_d6(k, a.nonce, right(k, &a)));
    if (!going(k))
        return;
    const struct received *r = peer_receive(a.p, 0);
    if (r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->reason == 0)
        saw(k, "accepted");
    else if (k->s->draft06)
        fail(k, "CONNACK 0x00 expected, got %s", describe(k, r));
    else
        not_applicable(k, "the answer of draft-06 is not taken, nor is it in RFC 9431");
}

static void draft_8(struct kit *k)
{
    draft_answer(k, 8);
}

static void draft_64(struct kit *k)
{
    draft_answer(k, 64);
}

static void nonces_differ(struct kit *k)
{
    struct asked a = ask(k), b = ask(k), c = ask(k);

    if (going(k) && check(k,
                          !span_eq(a.rs_nonce, b.rs_nonce) && !span_eq(b.rs_nonce, c.rs_nonce) &&
                              !span_eq(a.rs_nonce, c.rs_nonce),
                          "the same challenge came twice"))
        saw(k, "three different challenges");
}

/* ---- answers that prove nothing ---- */

static void swapped(struct kit *k)
{
    struct asked a = ask(k);

    answer(&a, answer_d9(k, a.nonce, proof(k, a.key, joined(k, a.nonce, a.rs_nonce))));
    must_end(k, &a);
}

static void rs_nonce_only(struct kit *k)
{
    struct asked a = ask(k);

    answer(&a, answer_d9(k, a.nonce, proof(k, a.key, a.rs_nonce)));
    must_end(k, &a);
}

static void lengths_inside(struct kit *k)
{
    struct asked a = ask(k);
    struct span framed = joined(k, layout_b(k, a.rs_nonce), layout_b(k, a.nonce));

    answer(&a, answer_d9(k, a.nonce, proof(k, a.key, framed)));
    must_end(k, &a);
}

static void short_mac(struct kit *k)
{
    struct asked a = ask_kind(k, POP_SECRET);

    answer(&a, answer_d9(k, a.nonce, span_cut(right(k, &a), 0, 31)));
    must_end(k, &a);
}

static void half_mac(struct kit *k)
{
    struct asked a = ask_kind(k, POP_SECRET);

    answer(&a, answer_d9(k, a.nonce, span_cut(right(k, &a), 0, 16)));
    must_end(k, &a);
}

static void der(struct kit *k)
{
    struct asked a = ask_kind(k, POP_P256);

    answer(&a, answer_d9(k, a.nonce, der_of(k, right(k, &a))));
    must_end(k, &a);
}

static void stranger(struct kit *k)
{
    struct asked a = ask_kind(k, POP_ED25519);

    answer(&a, answer_d9(k, a.nonce, proof(k, k->stranger[POP_ED25519], joined(k, a.rs_nonce, a.nonce))));
    must_end(k, &a);
}

static void exporter_instead(struct kit *k)
{
    struct asked a = ask(k);

    if (!going(k))
        return;
    answer(&a, answer_d9(k, a.nonce, proof(k, a.key, exporter_of(a.p))));
    must_end(k, &a);
}

static void replayed(struct kit *k)
{
    struct asked a = ask(k), b = ask_for(k, a.token, a.key);
    struct span data = answer_d9(k, a.nonce, right(k, &a));

    answer(&a, data);
    (void)expect_reason(a.p, MQTT_CONNACK, MQTT_SUCCESS);
    answer(&b, data);
    must_end(k, &b);
}

static void no_data(struct kit *k)
{
    struct asked a = ask(k);

    answer(&a, SPAN_NONE);
    must_end(k, &a);
}

static void empty_data(struct kit *k)
{
    struct asked a = ask(k);

    answer(&a, SPAN(""));
    must_end(k, &a);
}

static void nonce_only(struct kit *k)
{
    struct asked a = ask(k);

    answer(&a, a.nonce);
    must_end(k, &a);
}

static void with_nonce(struct kit *k, size_t len, bool draft)
{
    struct asked a = ask(k);

    a.nonce = fill_random(k, len);
    struct span pop = right(k, &a);
    answer(&a, draft ? answer_d6(k, a.nonce, pop) : answer_d9(k, a.nonce, pop));
    must_end(k, &a);
}

static void nonce_of_4(struct kit *k)
{
    with_nonce(k, 4, false);
}

static void nonce_of_9(struct kit *k)
{
    with_nonce(k, 9, false);
}

static void draft_nonce_of_7(struct kit *k)
{
    with_nonce(k, 7, true);
}

static void draft_nonce_of_65(struct kit *k)
{
    with_nonce(k, 65, true);
}

static void draft_length_lies(struct kit *k)
{
    struct asked a = ask(k);
    struct span pop = right(k, &a);

    answer(&a, joined(k, SPAN("\x00\x09"), joined(k, a.nonce, pop)));
    must_end(k, &a);
}

static void large_answer(struct kit *k)
{
    struct asked a = ask(k);

    answer(&a, fill_random(k, 65535));
    must_end(k, &a);
}

/* ---- out of turn ---- */

static void answered_twice(struct kit *k)
{
    struct asked a = ask(k);
    struct span data = answer_d9(k, a.nonce, right(k, &a));

    answer(&a, data);
    (void)expect_reason(a.p, MQTT_CONNACK, MQTT_SUCCESS);
    answer(&a, data);
    must_end(k, &a);
}

static void wrong_then_right(struct kit *k)
{
    struct asked a = ask(k);

    answer(&a, answer_d9(k, a.nonce, proof(k, a.key, a.nonce)));
    answer(&a, answer_d9(k, a.nonce, right(k, &a)));
    must_end(k, &a);
}

static void too_late(struct kit *k)
{
    struct asked late = ask(k), a = ask(k);

    if (!going(k))
        return;
    const struct received *r = peer_receive(a.p, k->s->auth_timeout_ms + k->wait_ms);
    if (r->got == GOT_PACKET && r->reason >= 0x80 && expect_end(a.p))
        saw(k, "given up in time");
    else if (going(k) && r->got != GOT_END)
        fail(k, "the connection was not given up: %s", describe(k, r));
    /* The other one was asked before, so its time is over as well. */
    answer(&late, answer_d9(k, late.nonce, right(k, &late)));
    r = peer_receive(late.p, 0);
    if (going(k))
        (void)check(k, r->got != GOT_PACKET || r->frame.type != MQTT_CONNACK || r->reason >= 0x80,
                    "the right answer came after the time limit and was taken");
}

static void another_method(struct kit *k)
{
    struct asked a = ask(k);

    say_auth_as(a.p, MQTT_CONTINUE_AUTHENTICATION, "SCRAM-SHA-256", answer_d9(k, a.nonce, right(k, &a)));
    must_end(k, &a);
}

static void no_method(struct kit *k)
{
    struct asked a = ask(k);

    say_auth_as(a.p, MQTT_CONTINUE_AUTHENTICATION, NULL, answer_d9(k, a.nonce, right(k, &a)));
    must_end(k, &a);
}

static void reauthentication_instead(struct kit *k)
{
    struct asked a = ask(k);

    say_auth(a.p, MQTT_REAUTHENTICATE, layout_b(k, a.token));
    must_end(k, &a);
}

static void success_from_a_client(struct kit *k)
{
    struct asked a = ask(k);

    say_auth(a.p, MQTT_SUCCESS, answer_d9(k, a.nonce, right(k, &a)));
    must_end(k, &a);
}

/* clang-format off */
static const struct kit_case cases[] = {
    { "B-301", "RFC 9431 2.2.4.2.2; MT-53 MT-57 MT-58 MT-59 MT-64", "challenge (8 bytes) and response by Ed25519 are accepted", NEED_TOKEN, POLITE, ed25519 },
    { "B-302", "RFC 9431 2.2.4.2.2; MT-14 MT-53 MT-57 MT-58 MT-59 MT-64", "the same by HS256", NEED_SHARED, POLITE, hs256 },
    { "B-303", "RFC 9431 2.2.4.2.2; MT-63", "the same by ES256 (raw r|s)", NEED_MINT, POLITE, es256 },
    { "B-304", "draft-06 2.2.4.2; MT-58", "the answer of draft-06, with the length of the nonce (D-1)", NEED_TOKEN, POLITE, draft_8 },
    { "B-305", "draft-06 2.2.4.2; MT-58", "the same with a nonce of 64 bytes (D-1)", NEED_TOKEN, POLITE, draft_64 },
    { "B-306", "RFC 9431 2.2.4.2.2; MT-58 MT-62", "every challenge is another one", NEED_TOKEN, POLITE, nonces_differ },
    { "B-311", "RFC 9431 2.2.4.2.2; MT-57 MT-65", "a proof over swapped nonces is refused", NEED_TOKEN, RUDE, swapped },
    { "B-312", "RFC 9431 2.2.4.2.2; MT-57 MT-65", "a proof over the broker's nonce alone is refused", NEED_TOKEN, RUDE, rs_nonce_only },
    { "B-313", "RFC 9431 2.2.4.2.2; MT-57 MT-65", "a proof over nonces with lengths in front is refused", NEED_TOKEN, RUDE, lengths_inside },
    { "B-314", "RFC 9431 2.2.5; MT-63 TK-63", "a MAC of 31 bytes is refused", NEED_SHARED, RUDE, short_mac },
    { "B-315", "RFC 9431 2.2.5; MT-63 TK-63", "a MAC of 16 bytes is refused", NEED_SHARED, RUDE, half_mac },
    { "B-316", "RFC 9431 2.2.5; MT-63 TK-59", "a DER-encoded signature is refused", NEED_MINT, RUDE, der },
    { "B-317", "RFC 9431 2.2.5; MT-65", "a stolen token opens nothing", NEED_MINT, RUDE, stranger },
    { "B-318", "RFC 9431 2.2.4.2.2; MT-57", "a proof over the exporter value does not answer a challenge", NEED_TOKEN, RUDE, exporter_instead },
    { "B-319", "RFC 9431 2.2.4.2.2; MT-62", "an answer replayed from another connection is refused", NEED_TOKEN, RUDE, replayed },
    { "B-320", "RFC 9431 2.2.4.2.2; MT-58", "AUTH without data is refused", NEED_TOKEN, RUDE, no_data },
    { "B-321", "RFC 9431 2.2.4.2.2; MT-58", "AUTH with empty data is refused", NEED_TOKEN, RUDE, empty_data },
    { "B-322", "RFC 9431 2.2.4.2.2; MT-63", "a nonce without a proof is refused", NEED_TOKEN, RUDE, nonce_only },
    { "B-323", "RFC 9431 2.2.4.2.2; MT-58", "a client nonce of 4 bytes is refused", NEED_TOKEN, RUDE, nonce_of_4 },
    { "B-324", "RFC 9431 2.2.4.2.2; MT-58", "a client nonce of 9 bytes is refused", NEED_TOKEN, RUDE, nonce_of_9 },
    { "B-325", "draft-06 2.2.4.2; MT-58", "a draft-06 answer with a nonce of 7 bytes is refused", NEED_TOKEN, RUDE, draft_nonce_of_7 },
    { "B-326", "draft-06 2.2.4.2; MT-58", "a draft-06 answer with a nonce of 65 bytes is refused", NEED_TOKEN, RUDE, draft_nonce_of_65 },
    { "B-327", "draft-06 2.2.4.2; MT-58", "a draft-06 answer whose length lies is refused", NEED_TOKEN, RUDE, draft_length_lies },
    { "B-328", "RFC 9431 2.2.4.2.2; MT-58", "an answer of 65535 bytes is refused", NEED_TOKEN, RUDE, large_answer },
    { "B-331", "RFC 9431 2.2.4.2.2; MT-62", "a challenge answered twice ends the connection", NEED_TOKEN, RUDE, answered_twice },
    { "B-332", "RFC 9431 2.2.4.2.2; MT-62", "after a wrong answer the right one comes too late", NEED_TOKEN, RUDE, wrong_then_right },
    { "B-333", "RFC 9431 2.2.4.2.2; MT-62", "a challenge nobody answers is given up, and an answer after that is not taken", NEED_TOKEN | NEED_AUTH_TIMEOUT, RUDE, too_late },
    { "B-334", "RFC 9431 2.2.4.2; MQTT5 [MQTT-4.12.0-4]; MT-58", "AUTH with another method is refused", NEED_TOKEN, RUDE, another_method },
    { "B-335", "RFC 9431 2.2.4.2; MQTT5 3.15.2.2.2; MT-58", "AUTH without a method is refused", NEED_TOKEN, RUDE, no_method },
    { "B-336", "RFC 9431 4; MT-102", "AUTH 0x19 does not answer a challenge", NEED_TOKEN, RUDE, reauthentication_instead },
    { "B-337", "MQTT5 3.15.2.1", "AUTH 0x00 from a client is refused", NEED_TOKEN, RUDE, success_from_a_client },
};
/* clang-format on */

const struct kit_theme theme_challenge = { "challenge", KIT_BROKER, cases, COUNT_OF(cases) };
