/* B-6xx: what a token lets its holder do (RFC 9431 2.3, 3). */
#include "kit/say_priv.h"

#include "mqtt/reason.h"

static void expect_ack(struct peer *p, enum mqtt_packet_type type, bool allowed)
{
    const struct received *r = expect(p, type);

    if (r == NULL)
        return;
    struct kit *k = kit_of(p);
    saw(k, "%s", describe(k, r));
    if (allowed)
        (void)check(k, r->reason < 0x80, "the PUBLISH should have been accepted");
    else /* RFC 9431 3.1 lets a broker hide what exists behind 0x80 */
        (void)check(k, r->reason == MQTT_NOT_AUTHORIZED || r->reason == MQTT_UNSPECIFIED_ERROR,
                    "0x87 expected");
}

static const char *aif(struct kit *k, const char *filter, const char *rights)
{
    return text(k, "[[\"%s\",[%s]]]", under_root(k, filter), rights);
}

static void publish_allowed(struct kit *k)
{
    struct peer *p = open_scoped(k, aif(k, "in/#", "\"pub\""));

    say_publish(p, under_root(k, "in/a"), "x", 1, 1);
    expect_ack(p, MQTT_PUBACK, true);
    say_publish(p, under_root(k, "in"), "x", 1, 2);
    expect_ack(p, MQTT_PUBACK, true);
    say_publish(p, under_root(k, "in/a/b"), "x", 2, 3);
    expect_ack(p, MQTT_PUBREC, true);
}

static void publish_refused_1(struct kit *k)
{
    struct peer *p = open_scoped(k, aif(k, "in/#", "\"pub\""));

    say_publish(p, under_root(k, "out"), "x", 1, 1);
    expect_ack(p, MQTT_PUBACK, false);
    (void)expect_alive(p);
}

static void publish_refused_2(struct kit *k)
{
    struct peer *p = open_scoped(k, aif(k, "in/#", "\"pub\""));

    say_publish(p, under_root(k, "out"), "x", 2, 1);
    expect_ack(p, MQTT_PUBREC, false);
    (void)expect_alive(p);
}

static void publish_refused_0(struct kit *k)
{
    static const uint8_t also[] = { MQTT_UNSPECIFIED_ERROR, 0 };
    struct peer *p = open_scoped(k, aif(k, "in/#", "\"pub\""));

    say_publish(p, under_root(k, "out"), "x", 0, 0);
    (void)expect_cut(p, also);
}

static void sub_is_not_pub(struct kit *k)
{
    struct peer *p = open_scoped(k, aif(k, "in/#", "\"sub\""));

    say_publish(p, under_root(k, "in/a"), "x", 1, 1);
    expect_ack(p, MQTT_PUBACK, false);
}

static void pub_is_not_sub(struct kit *k)
{
    struct peer *p = open_scoped(k, aif(k, "in/#", "\"pub\""));

    say_subscribe(p, under_root(k, "in/a"), 0);
    expect_suback(p, MQTT_NOT_AUTHORIZED);
}

static void one_level(struct kit *k)
{
    struct peer *p = open_scoped(k, aif(k, "+/t", "\"pub\""));

    say_publish(p, under_root(k, "a/t"), "x", 1, 1);
    expect_ack(p, MQTT_PUBACK, true);
    say_publish(p, under_root(k, "a/b/t"), "x", 1, 2);
    expect_ack(p, MQTT_PUBACK, false);
}

static void codes_per_filter(struct kit *k)
{
    struct peer *p = open_scoped(k, aif(k, "in/#", "\"sub\""));
    struct buf b;

    buf_init(&b, 4096);
    const char *filters[] = { under_root(k, "in/a"), under_root(k, "out"), under_root(k, "in/+") };
    put_u16(&b, 77);
    put_u8(&b, 0);
    for (size_t i = 0; i < COUNT_OF(filters); i++) {
        put_prefixed16(&b, span_of_str(filters[i]));
        put_u8(&b, (uint8_t)(i % 3));
    }
    say_packet(p, MQTT_SUBSCRIBE << 4 | 2, bytes(k, &b));
    const struct received *r = expect(p, MQTT_SUBACK);
    if (r == NULL)
        return;
    const struct span codes = r->suback.reasons;
    if (check(k, codes.len == 3, "one code per filter expected") &&
        check(k, codes.p[0] == 0 && codes.p[2] <= 2, "the filters inside the scope should have been granted"))
        (void)check(k, codes.p[1] == MQTT_NOT_AUTHORIZED || codes.p[1] == MQTT_UNSPECIFIED_ERROR,
                    "0x87 expected");
    if (going(k))
        saw(k, "SUBACK 0x%02x 0x%02x 0x%02x", codes.p[0], codes.p[1], codes.p[2]);
}

/* ---- the subset rule ---- */

/* clang-format off */
static const struct { const char *granted, *asked; bool inside; } subset_rows[] = {
    { "a",       "a",       true  }, { "a/+",   "a/b",   true  }, { "a/#",   "a/b",   true  }, { "a/#", "a/+", true },
    { "a/#",     "a",       true  }, { "a/#",   "a/#",   true  }, { "a/#",   "a/b/#", true  }, { "+/b", "a/b", true },
    { "+/+",     "a/+",     true  }, { "a/+/c", "a/+/c", true  }, { "a//c",  "a//c",  true  },
    { "a",       "a/#",     false }, { "a/+",   "a/#",   false }, { "a/b",   "a/+",   false }, { "a/+", "a",   false },
    { "a/+",     "a/b/c",   false }, { "a/+",   "+/b",   false }, { "+/b",   "+/+",   false }, { "a/b/#", "a/#", false },
    { "a/+/c",   "a/b/+",   false }, { "a",     "A",     false }, { "a/",    "a",     false }, { "a",   "a/",  false },
};
/* clang-format on */

static void subset(struct kit *k)
{
    for (size_t i = 0; i < COUNT_OF(subset_rows) && going(k); i++) {
        struct peer *p = open_scoped(k, aif(k, subset_rows[i].granted, "\"sub\""));
        say_subscribe(p, under_root(k, subset_rows[i].asked), 0);
        const struct received *r = expect(p, MQTT_SUBACK);
        if (r == NULL)
            return;
        bool granted = r->suback.reasons.len == 1 && r->suback.reasons.p[0] < 0x80;
        if (granted != subset_rows[i].inside)
            fail(k, "a holder of \"%s\" asked for \"%s\" and was %s", subset_rows[i].granted,
                 subset_rows[i].asked, granted ? "let" : "refused");
        peer_close(p);
        buf_reset(&k->seen);
    }
    if (going(k))
        saw(k, "%zu pairs of filters", COUNT_OF(subset_rows));
}

static void no_union(struct kit *k)
{
    const char *both =
        text(k, "[[\"%s\",[\"sub\"]],[\"%s\",[\"sub\"]]]", under_root(k, "u/a/#"), under_root(k, "u/+"));
    struct peer *p = open_scoped(k, both);

    say_subscribe(p, under_root(k, "u/#"), 0);
    expect_suback(p, MQTT_NOT_AUTHORIZED);
}

/* ---- carriage ---- */

static void works(struct kit *k, const char *claim_json)
{
    struct claims c = claims_good(k, k->pop[POP_ED25519]);

    claims_set(&c, "scope", claim_json);
    struct peer *p = open_with(k, sign_claims(&c), k->pop[POP_ED25519]);
    say_publish(p, under_root(k, "c"), "x", 1, 1);
    expect_ack(p, MQTT_PUBACK, true);
}

static void carried_base64url(struct kit *k)
{
    works(k, text(k, "\"%s\"", b64(k, span_of_str(aif(k, "c", "\"pub\"")))));
}

static void carried_array(struct kit *k)
{
    works(k, aif(k, "c", "\"pub\""));
    if (k->decided && k->verdict == KIT_FAIL && !k->s->draft06) {
        k->decided = false;
        not_applicable(k, "the bare array of draft-06 is not taken");
    }
}

static void empty_scope(struct kit *k)
{
    struct peer *p = open_scoped(k, "[]");

    say_subscribe(p, under_root(k, "a"), 0);
    expect_suback(p, MQTT_NOT_AUTHORIZED);
    say_publish(p, under_root(k, "a"), "x", 1, 1);
    expect_ack(p, MQTT_PUBACK, false);
}

static void no_scope(struct kit *k)
{
    struct claims c = claims_good(k, k->pop[POP_ED25519]);

    claims_drop(&c, "scope");
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect connect = connect_ace(k, layout_b(k, sign_claims(&c)));
    say_connect(p, &connect);
    const struct received *r = peer_receive(p, 0);
    if (!going(k) || (r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->reason >= 0x80))
        return; /* also right: the connection *may* succeed */
    peer_close(p);
    p = open_by_challenge(k, sign_claims(&c), k->pop[POP_ED25519]);
    say_publish(p, under_root(k, "a"), "x", 1, 1);
    expect_ack(p, MQTT_PUBACK, false);
}

/* ---- forwarding ---- */

static void not_delivered(struct kit *k)
{
    struct peer *reader = open_scoped(k, aif(k, "mine", "\"sub\"")), *writer = open_good(k);

    if (!subscribed(reader, under_root(k, "mine"), 0))
        return;
    say_publish(writer, under_root(k, "theirs"), "secret", 1, 1);
    expect_ack(writer, MQTT_PUBACK, true);
    say_publish(writer, under_root(k, "mine"), "fine", 1, 2);
    expect_ack(writer, MQTT_PUBACK, true);
    (void)expect_message(reader, under_root(k, "mine"), "fine");
}

static void wildcard_available(struct kit *k)
{
    const struct key *key = NULL;
    struct span token = good_token(k, POP_ED25519, &key);
    struct peer *p = peer_new(k, NULL);
    struct mqtt_connect c = connect_ace(k, layout_b(k, token));

    say_connect(p, &c);
    answer_challenge(p, key);
    const struct received *r = expect_reason(p, MQTT_CONNACK, MQTT_SUCCESS);
    if (r == NULL)
        return;
    bool has = mqtt_has(&r->connack.properties, PROP_WILDCARD_AVAILABLE);
    saw(k, "Wildcard Subscription Available %s",
        !has                                            ? "absent, which means yes"
        : r->connack.properties.wildcard_available != 0 ? "yes"
                                                        : "no");
}

/* ---- filters of a scope that are wide, odd, or none ---- */

#define LONGEST_FILTER 36000 /* base64url twice, and still a token of less than 64 KiB */

/* clang-format off */
/* "~/" stands for the root of the run. Who takes the token opens by it what it says and nothing else. */
static const struct { const char *id, *filter; size_t times; const char *open, *closed[3]; } odd_rows[] = {
    { "B-621", "#",             1,   "~/a",  { "$SYS/#", "$SYS/broker", "$share/g/$SYS/#" } },
    { "B-622", "+/#",           1,   "~/a",  { "$SYS/#", "$SYS/broker", "$share/g/$SYS/#" } },
    { "B-623", "$SYS/#",        1,   NULL,   { "#", "+/#", "~/a" } },
    { "B-624", "$share/g/~/#",  1,   NULL,   { "#", "~/#", "~/a" } },
    { "B-625", "~//a",          1,   "~//a", { "~/a", "~/+/a", "~/#" } },
    { "B-626", "/",             1,   NULL,   { "+/+", "#", "~/a" } },
    { "B-627", "a/",            199, NULL,   { "a/#", "#", "~/a" } },
    { "B-628", "+/",            199, NULL,   { "+/#", "#", "~/a" } },
    { "B-629", "x",             LONGEST_FILTER, NULL, { "x", "#", "~/a" } },
};

static const struct { const char *id, *filter; } no_filters[] = {
    { "B-631", "" },         { "B-632", "~/\xff" },   { "B-633", "~/\xed\xa0\x80" }, { "B-634", "~/\\u0000" },
    { "B-635", "~/\\ud800" }, { "B-636", "$share/g" }, { "B-637", "~/a#" },
};
/* clang-format on */

static const char *with_root(struct kit *k, const char *filter)
{
    const char *at = strchr(filter, '~');

    return at == NULL ? filter : text(k, "%.*s%s", (int)(at - filter), filter, under_root(k, at + 2));
}

static struct span odd_token(struct kit *k, const char *filter)
{
    return token_for(k, k->pop[POP_ED25519], text(k, "[[\"%s\",[\"sub\"]]]", filter));
}

/* NULL if the token was refused, which is right for any scope that somebody does not want to understand. */
static struct peer *open_if_taken(struct kit *k, struct span token)
{
    struct peer *p = peer_new(k, NULL);

    if (p == NULL)
        return NULL;
    struct mqtt_connect c = connect_ace(k, layout_b(k, token));
    say_connect(p, &c);
    const struct received *r = peer_receive(p, 0);
    if (going(k) && r->got == GOT_PACKET && r->frame.type == MQTT_CONNACK && r->reason == MQTT_NOT_AUTHORIZED) {
        saw(k, "%s", describe(k, r));
        (void)expect_end(p);
        return NULL;
    }
    peer_close(p);
    return open_by_challenge(k, token, k->pop[POP_ED25519]);
}

static void asks(struct peer *p, const char *filter, bool allowed)
{
    struct kit *k = kit_of(p);

    say_subscribe(p, with_root(k, filter), 0);
    const struct received *r = expect(p, MQTT_SUBACK);
    if (r == NULL)
        return;
    bool granted = r->suback.reasons.len == 1 && r->suback.reasons.p[0] < 0x80;
    if (granted != allowed)
        fail(k, "the holder asked for \"%s\" and was %s", with_root(k, filter), granted ? "let" : "refused");
}

static void odd_filter(struct kit *k)
{
    size_t i = 0;

    while (i < COUNT_OF(odd_rows) && strcmp(odd_rows[i].id, k->current->id) != 0)
        i++;
    ASSERT(i < COUNT_OF(odd_rows));
    struct span filter = repeated(k, with_root(k, odd_rows[i].filter), odd_rows[i].times);
    const char *last = odd_rows[i].times == 199 ? (odd_rows[i].filter[0] == '+' ? "+" : "a") : "";
    struct peer *p = open_if_taken(k, odd_token(k, text(k, "%.*s%s", SPAN_FMT(filter), last)));
    if (p == NULL)
        return;
    if (odd_rows[i].open != NULL)
        asks(p, odd_rows[i].open, true);
    for (size_t n = 0; n < COUNT_OF(odd_rows[i].closed) && going(k); n++)
        asks(p, odd_rows[i].closed[n], false);
    if (going(k) && expect_alive(p))
        saw(k, "taken, and opens nothing else");
}

static void no_filter(struct kit *k)
{
    for (size_t i = 0; i < COUNT_OF(no_filters); i++)
        if (strcmp(no_filters[i].id, k->current->id) == 0)
            must_refuse_token(k, odd_token(k, with_root(k, no_filters[i].filter)), k->pop[POP_ED25519]);
}

/* clang-format off */
static const struct kit_case cases[] = {
    { "B-601", "RFC 9431 3.1; MT-80 MT-81", "a PUBLISH inside the scope is accepted, also the parent level of #", NEED_MINT, POLITE, publish_allowed },
    { "B-602", "RFC 9431 3.1; MT-96", "a PUBLISH outside, QoS 1: PUBACK 0x87, and the connection goes on", NEED_MINT, POLITE, publish_refused_1 },
    { "B-603", "RFC 9431 3.1; MT-96", "a PUBLISH outside, QoS 2: PUBREC 0x87, and the connection goes on", NEED_MINT, POLITE, publish_refused_2 },
    { "B-604", "RFC 9431 3.1; MT-97", "a PUBLISH outside, QoS 0: DISCONNECT 0x87", NEED_MINT, RUDE, publish_refused_0 },
    { "B-605", "RFC 9431 2.3, 3.1; MT-81", "the right to subscribe is none to publish", NEED_MINT, POLITE, sub_is_not_pub },
    { "B-606", "RFC 9431 2.3, 3.3; MT-82 MT-99", "the right to publish is none to subscribe", NEED_MINT, POLITE, pub_is_not_sub },
    { "B-607", "RFC 9431 3.1; MT-81", "+ stands for one level", NEED_MINT, POLITE, one_level },
    { "B-608", "RFC 9431 3.3; MT-99", "SUBACK has one code per filter; the others are granted", NEED_MINT, POLITE, codes_per_filter },
    { "B-609", "RFC 9431 3.3; MT-82", "a filter must lie inside one entry: 23 pairs", NEED_MINT, POLITE, subset },
    { "B-610", "RFC 9431 3.3; MT-82", "entries do not add up", NEED_MINT, POLITE, no_union },
    { "B-611", "RFC 9431 2.3; MT-86 AF-106", "scope as base64url of AIF", NEED_MINT, POLITE, carried_base64url },
    { "B-612", "draft-06 3; MT-86", "scope as an array (D-20)", NEED_MINT, POLITE, carried_array },
    { "B-613", "RFC 9431 2.3; MT-83", "an empty scope grants nothing; the connection succeeds", NEED_MINT, POLITE, empty_scope },
    { "B-614", "RFC 9431 2.3; MT-83", "a token without scope grants nothing", NEED_MINT, POLITE, no_scope },
    { "B-615", "RFC 9431 3.2; MT-98", "nothing outside the scope is forwarded", NEED_MINT, POLITE, not_delivered },
    { "B-616", "RFC 9431 2.3; MT-85", "CONNACK says whether there are wildcards", NEED_TOKEN, POLITE, wildcard_available },
    { "B-621", "RFC 9431 2.3, 3.3; MT-82", "a token for # opens no topic that begins with $", NEED_MINT, RUDE, odd_filter },
    { "B-622", "RFC 9431 2.3, 3.3; MT-82", "a token for +/# opens no topic that begins with $", NEED_MINT, RUDE, odd_filter },
    { "B-623", "RFC 9431 2.3, 3.3; MT-82", "a token for $SYS/# opens nothing else", NEED_MINT, RUDE, odd_filter },
    { "B-624", "RFC 9431 2.3, 3.3; MT-82 MT-87", "a token for a shared filter opens nothing else", NEED_MINT, RUDE, odd_filter },
    { "B-625", "RFC 9431 2.3, 3.3; MT-82", "a token for a filter with an empty level opens nothing else", NEED_MINT, RUDE, odd_filter },
    { "B-626", "RFC 9431 2.3, 3.3; MT-82", "a token for two empty levels opens nothing else", NEED_MINT, RUDE, odd_filter },
    { "B-627", "RFC 9431 2.3, 3.3; MT-82", "a token for 200 levels opens nothing else", NEED_MINT, RUDE, odd_filter },
    { "B-628", "RFC 9431 2.3, 3.3; MT-82", "a token for 200 times + opens nothing else", NEED_MINT, RUDE, odd_filter },
    { "B-629", "RFC 9431 2.3, 3.3; MT-82", "a token for a filter as long as a token can hold opens nothing else", NEED_MINT, RUDE, odd_filter },
    { "B-631", "RFC 9431 2.3; MT-87", "a token for an empty filter", NEED_MINT, RUDE, no_filter },
    { "B-632", "RFC 9431 2.3; MT-87 TK-50", "a token for a filter that is no UTF-8", NEED_MINT, RUDE, no_filter },
    { "B-633", "RFC 9431 2.3; MT-87 TK-50", "a token for a filter with a surrogate", NEED_MINT, RUDE, no_filter },
    { "B-634", "RFC 9431 2.3; MT-87", "a token for a filter with U+0000", NEED_MINT, RUDE, no_filter },
    { "B-635", "RFC 9431 2.3; MT-87 TK-50", "a token for a filter with half of an escaped pair", NEED_MINT, RUDE, no_filter },
    { "B-636", "RFC 9431 2.3; MT-87", "a token for a shared filter without a filter", NEED_MINT, RUDE, no_filter },
    { "B-637", "RFC 9431 2.3; MT-87", "a token for a filter with # inside a level", NEED_MINT, RUDE, no_filter },
};
/* clang-format on */

const struct kit_theme theme_scope = { "scope", KIT_BROKER, cases, COUNT_OF(cases) };
