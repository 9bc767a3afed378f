/* B-2xx: proof of possession over the TLS exporter value (RFC 9431 2.2.4.2.1). */
#include "kit/say_priv.h"

#include "mqtt/reason.h"

static void with_kind(struct kit *k, enum pop_kind kind, bool tls12)
{
    const struct key *key = NULL;
    struct span token = good_token(k, kind, &key);
    struct peer *p = peer_new(k, &(struct peer_how){ .tls12 = tls12 });
    struct mqtt_connect c = connect_ace(k, SPAN(""));

    if (p == NULL)
        return;
    c.properties.auth_data = layout_a(k, token, proof(k, key, exporter_of(p)));
    say_connect(p, &c);
    if (expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS) != NULL)
        saw(k, "%s", tls_version(peer_tls(p)));
}

static void ed25519(struct kit *k)
{
    with_kind(k, POP_ED25519, false);
}

static void hs256(struct kit *k)
{
    with_kind(k, POP_SECRET, false);
}

static void es256(struct kit *k)
{
    with_kind(k, POP_P256, false);
    if (k->decided && k->verdict == KIT_FAIL) { /* a broker need not know it */
        k->decided = false;
        not_applicable(k, "ES256 is not taken; RFC 9431 2.2.5 asks for HS256 and Ed25519 only");
    }
}

static void ed25519_tls12(struct kit *k)
{
    with_kind(k, POP_ED25519, true);
}

static void hs256_tls12(struct kit *k)
{
    with_kind(k, POP_SECRET, true);
}

static void connack_repeats_the_method(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_ace(k, SPAN(""));

    if (p == NULL)
        return;
    c.properties.auth_data = layout_a(k, token, proof(k, key, exporter_of(p)));
    say_connect(p, &c);
    const struct received *r = expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS);
    if (r != NULL)
        (void)check(k,
                    mqtt_has(&r->connack.properties, PROP_AUTH_METHOD) &&
                        span_eq_str(r->connack.properties.auth_method, ACE_METHOD),
                    "CONNACK does not repeat the method (MQTT5 [MQTT-4.12.0-5])");
}

/* ---- proofs that prove nothing ---- */

/* Opens a connection and offers what `make` makes of it; must be refused. */
static void refused_proof(struct kit *k, const struct peer_how *how, const struct key *key,
                          struct span (*make)(struct kit *k, struct peer *p, const struct key *key))
{
    struct span token = token_for(k, key, NULL);
    struct peer *p = peer_new(k, how);
    struct mqtt_connect c = connect_ace(k, SPAN(""));

    if (p == NULL)
        return;
    c.properties.auth_data = layout_a(k, token, make(k, p, key));
    say_connect(p, &c);
    (void)expect_refused(p);
}

static struct span over(struct kit *k, struct peer *p, const struct key *key, struct span label,
                        const struct span *context)
{
    uint8_t e[ACE_EXPORTER_LEN];
    struct why why;

    if (tls_exporter_with(peer_tls(p), label, context, e, sizeof e, &why) != ST_OK)
        trouble(k, "no exporter value: %s", why.text);
    return proof(k, key, span_of(e, sizeof e));
}

static struct span over_a_context(struct kit *k, struct peer *p, const struct key *key)
{
    struct span context = SPAN("mqtt");

    return over(k, p, key, SPAN(ACE_EXPORTER_LABEL), &context);
}

static struct span over_no_context(struct kit *k, struct peer *p, const struct key *key)
{
    return over(k, p, key, SPAN(ACE_EXPORTER_LABEL), NULL);
}

static struct span over_another_label(struct kit *k, struct peer *p, const struct key *key)
{
    struct span empty = SPAN("");

    return over(k, p, key, SPAN("EXPERIMENTAL-ACE-MQTT-Sign-Challenge"), &empty);
}

static struct span one_byte_short(struct kit *k, struct peer *p, const struct key *key)
{
    struct span pop = proof(k, key, exporter_of(p));

    return span_cut(pop, 0, pop.len > 0 ? pop.len - 1 : 0);
}

static struct span sixteen_bytes(struct kit *k, struct peer *p, const struct key *key)
{
    return span_cut(proof(k, key, exporter_of(p)), 0, 16);
}

static struct span one_byte_more(struct kit *k, struct peer *p, const struct key *key)
{
    return joined(k, proof(k, key, exporter_of(p)), SPAN("\x00"));
}

static struct span zeros(struct kit *k, struct peer *p, const struct key *key)
{
    static const uint8_t zero[SIG_MAX];

    (void)k;
    (void)p;
    return span_of(zero, pop_len_for(key));
}

static struct span by_a_stranger(struct kit *k, struct peer *p, const struct key *key)
{
    return proof(k, key_kind(key) == KEY_SECRET ? k->stranger[POP_SECRET] : k->stranger[POP_ED25519],
                 exporter_of(p));
}

static struct span length_prefixed(struct kit *k, struct peer *p, const struct key *key)
{
    return layout_a(k, proof(k, key, exporter_of(p)), SPAN_NONE);
}

static struct span over_random_bytes(struct kit *k, struct peer *p, const struct key *key)
{
    (void)p;
    return proof(k, key, fill_random(k, ACE_EXPORTER_LEN));
}

static void context(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_ED25519], over_a_context);
}

/* In TLS 1.3 both are the same value, in 1.2 they are not (RFC 5705 4). */
static void no_context_tls12(struct kit *k)
{
    refused_proof(k, &(struct peer_how){ .tls12 = true }, k->pop[POP_ED25519], over_no_context);
}

static void label(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_ED25519], over_another_label);
}

static void short_mac(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_SECRET], one_byte_short);
}

static void half_mac(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_SECRET], sixteen_bytes);
}

static void short_signature(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_ED25519], one_byte_short);
}

static void long_signature(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_ED25519], one_byte_more);
}

static void der(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_P256], der_proof);
}

static void zero_signature(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_ED25519], zeros);
}

static void stolen_token(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_ED25519], by_a_stranger);
}

static void stolen_token_mac(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_SECRET], by_a_stranger);
}

static void prefixed(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_ED25519], length_prefixed);
}

static void other_bytes(struct kit *k)
{
    refused_proof(k, NULL, k->pop[POP_ED25519], over_random_bytes);
}

/* ---- replays ---- */

static void replayed(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    struct peer *first = peer_new(k, NULL), *second = peer_new(k, NULL);
    struct mqtt_connect c = connect_ace(k, SPAN(""));

    if (second == NULL)
        return;
    c.properties.auth_data = layout_a(k, token, proof(k, key, exporter_of(first)));
    say_connect(first, &c);
    (void)expect_reason(first, MQTT_CONNACK, MQTT_SUCCESS);
    c.client_id = span_of_str(new_client_id(k));
    say_connect(second, &c);
    (void)expect_refused(second);
}

/* A session with a ticket in hand, and a second one resumed from it. */
static struct peer *resumed(struct kit *k, struct span token, const struct key *key, struct span *ret_data)
{
    struct buf ticket;
    struct peer *first = peer_new(k, NULL);
    struct mqtt_connect c = connect_ace(k, SPAN(""));

    if (first == NULL)
        return NULL;
    *ret_data = c.properties.auth_data = layout_a(k, token, proof(k, key, exporter_of(first)));
    say_connect(first, &c);
    if (expect_reason(first, MQTT_CONNACK, MQTT_SUCCESS) == NULL || !expect_alive(first))
        return NULL;
    buf_init(&ticket, 65536);
    bool has = tls_resumption_data(peer_tls(first), &ticket);
    struct span data = has ? bytes(k, &ticket) : SPAN_NONE;
    if (!has) {
        buf_done(&ticket);
        not_applicable(k, "the broker gives no session tickets");
        return NULL;
    }
    struct peer *second = peer_new(k, &(struct peer_how){ .resume = data });
    if (second != NULL && !tls_resumed(peer_tls(second)))
        not_applicable(k, "the broker did not resume the session");
    return going(k) ? second : NULL;
}

static void replayed_on_resumption(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key), data;
    struct peer *p = resumed(k, token, key, &data);
    struct mqtt_connect c = connect_ace(k, SPAN(""));

    if (p == NULL)
        return;
    c.properties.auth_data = data;
    say_connect(p, &c);
    (void)expect_refused(p);
}

static void exporter_on_resumption(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key), data;
    struct peer *p = resumed(k, token, key, &data);
    struct mqtt_connect c = connect_ace(k, SPAN(""));

    if (p == NULL)
        return;
    c.properties.auth_data = layout_a(k, token, proof(k, key, exporter_of(p)));
    say_connect(p, &c);
    (void)expect_refused(p);
}

static void challenge_on_resumption(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key), data;
    struct peer *p = resumed(k, token, key, &data);
    struct mqtt_connect c = connect_ace(k, layout_b(k, token));

    if (p == NULL)
        return;
    say_connect(p, &c);
    answer_challenge(p, key);
    (void)expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS);
}

/* clang-format off */
static const struct kit_case cases[] = {
    { "B-201", "RFC 9431 2.2.4.2.1, 2.2.5; MT-53 MT-56 MT-57 MT-63 MT-64 MT-93", "the exporter proof by Ed25519 is accepted", NEED_MINT, POLITE, ed25519 },
    { "B-202", "RFC 9431 2.2.4.2.1, 2.2.5; MT-14 MT-53 MT-56 MT-57 MT-63 MT-64", "the exporter proof by HS256 is accepted", NEED_SHARED, POLITE, hs256 },
    { "B-203", "RFC 9431 2.2.4.2.1; MT-56 MT-63", "the exporter proof by ES256 (raw r|s) is accepted", NEED_MINT, POLITE, es256 },
    { "B-204", "RFC 9431 2.2.4.2.1; RFC 5705; MT-5 MT-56", "the exporter proof works over TLS 1.2: empty context", NEED_TOKEN, POLITE, ed25519_tls12 },
    { "B-205", "RFC 9431 2.2.4.2.1; RFC 5705; MT-5 MT-56", "the same by HS256", NEED_SHARED, POLITE, hs256_tls12 },
    { "B-206", "MQTT5 [MQTT-4.12.0-5]; MT-51", "CONNACK repeats the Authentication Method", NEED_TOKEN, POLITE, connack_repeats_the_method },
    { "B-211", "RFC 9431 2.2.4.2.1; MT-56 MT-65", "a proof over the exporter with another context is refused", NEED_MINT, RUDE, context },
    { "B-212", "RFC 9431 2.2.4.2.1; RFC 5705 4; MT-56 MT-65", "a proof over the exporter without a context (TLS 1.2) is refused", NEED_MINT, RUDE, no_context_tls12 },
    { "B-213", "RFC 9431 2.2.4.2.1; MT-56 MT-65", "a proof over the exporter with another label is refused", NEED_MINT, RUDE, label },
    { "B-214", "RFC 9431 2.2.5; MT-63 MT-65 TK-63", "a MAC of 31 bytes is refused", NEED_SHARED, RUDE, short_mac },
    { "B-215", "RFC 9431 2.2.5; MT-63 MT-65 TK-63", "a MAC of 16 bytes is refused", NEED_SHARED, RUDE, half_mac },
    { "B-216", "RFC 9431 2.2.5; MT-63 MT-65", "a signature of 63 bytes is refused", NEED_MINT, RUDE, short_signature },
    { "B-217", "RFC 9431 2.2.5; MT-63 MT-65", "a signature with a byte behind it is refused", NEED_MINT, RUDE, long_signature },
    { "B-218", "RFC 9431 2.2.5; MT-63 TK-59", "a DER-encoded signature is refused", NEED_MINT, RUDE, der },
    { "B-219", "RFC 9431 2.2.5; MT-65 TK-60", "a signature of zeros is refused", NEED_MINT, RUDE, zero_signature },
    { "B-220", "RFC 9431 2.2.5; MT-65", "a stolen token opens nothing (Ed25519)", NEED_MINT, RUDE, stolen_token },
    { "B-221", "RFC 9431 2.2.5; MT-65", "a stolen token opens nothing (HS256)", NEED_SHARED, RUDE, stolen_token_mac },
    { "B-222", "RFC 9431 2.2.4.2.1; MT-57", "a proof with a length in front is refused", NEED_MINT, RUDE, prefixed },
    { "B-223", "RFC 9431 2.2.4.2.1; MT-57 MT-65", "a proof over other bytes is refused", NEED_MINT, RUDE, other_bytes },
    { "B-224", "RFC 9431 2.2.4.2.1; MT-56", "Authentication Data replayed from another connection is refused", NEED_TOKEN, RUDE, replayed },
    { "B-225", "RFC 9431 2.2.4.2.1; MT-61", "Authentication Data replayed on a resumed TLS session is refused", NEED_TOKEN, RUDE, replayed_on_resumption },
    { "B-226", "RFC 9431 2.2.4.2.1; MT-61", "a fresh exporter proof on a resumed TLS session is refused", NEED_TOKEN, RUDE, exporter_on_resumption },
    { "B-227", "RFC 9431 2.2.4.2.2; MT-61", "challenge and response work on a resumed TLS session", NEED_TOKEN, POLITE, challenge_on_resumption },
};
/* clang-format on */

const struct kit_theme theme_exporter = { "exporter", KIT_BROKER, cases, COUNT_OF(cases) };
