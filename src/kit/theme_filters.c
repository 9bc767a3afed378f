/* B-7xx: SUBSCRIBE and PUBLISH with filters and topics that are too wide, too long or broken. */
#include "kit/say_priv.h"

#include "mqtt/reason.h"

/* Constant, unlike SPAN(). */
#define SPAN_C(literal)                                 \
    {                                                   \
        (const uint8_t *)(literal), sizeof(literal) - 1 \
    }

/* Refused as a filter in SUBACK, or as a packet by DISCONNECT or by hanging up (MQTT5 4.13.1); never granted. */
static void not_granted(struct kit *k, struct span filter)
{
    struct peer *p = open_scoped(
        k, text(k, "[[\"%s\",[\"sub\"]],[\"%s\",[\"sub\"]]]", under_root(k, "+/+"), under_root(k, "deep/x")));

    say_subscribe_span(p, filter, 0);
    if (!going(k))
        return;
    const struct received *r = peer_receive(p, 0);
    if (r->got == GOT_END) {
        saw(k, "closed");
        return;
    }
    bool suback = r->got == GOT_PACKET && r->frame.type == MQTT_SUBACK && r->suback.reasons.len == 1;
    bool refused = suback ? r->suback.reasons.p[0] >= 0x80
                          : r->got == GOT_PACKET && r->frame.type == MQTT_DISCONNECT && r->reason >= 0x80;
    if (refused)
        saw(k, "%s", describe(k, r));
    else
        fail(k, "a refusal expected, got %s", describe(k, r));
}

/* clang-format off */
static const struct { const char *id; struct span filter; } rows[] = {
    { "B-701", SPAN_C("#") },            { "B-702", SPAN_C("+/#") },            { "B-703", SPAN_C("$SYS/#") },
    { "B-704", SPAN_C("+/+/#") },        { "B-705", SPAN_C("$share/g/#") },     { "B-706", SPAN_C("$share/g") },
    { "B-707", SPAN_C("$share//kit/a") },{ "B-708", SPAN_C("$share/+/kit/a") }, { "B-709", SPAN_C("//#") },
    { "B-710", SPAN_C("/") },            { "B-711", SPAN_C("") },               { "B-712", SPAN_C("kit/a#") },
    { "B-713", SPAN_C("kit/#/a") },      { "B-714", SPAN_C("kit/a+") },         { "B-715", SPAN_C("kit/\xff\xfe") },
    { "B-716", SPAN_C("kit/\xed\xa0\x80") }, { "B-717", SPAN_C("kit/\x00/a") }, { "B-718", SPAN_C("kit/\xc0\x80/a") },
};
/* clang-format on */

static void filter(struct kit *k)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcmp(rows[i].id, k->current->id) == 0) {
            not_granted(k, rows[i].filter);
            return;
        }
    trouble(k, "no row");
}

static void longest(struct kit *k)
{
    not_granted(k, repeated(k, "x", 65535));
}

static void many_levels(struct kit *k)
{
    not_granted(k, repeated(k, "x/", 200));
}

static void many_plus(struct kit *k)
{
    struct span s = repeated(k, "+/", 200);

    not_granted(k, span_cut(s, 0, s.len - 1));
}

static void empty_levels(struct kit *k)
{
    not_granted(k, repeated(k, "/", 200));
}

/* A broker without shared subscriptions says so (0x9E); with them the filter inside counts. */
static void shared_inside(struct kit *k)
{
    struct peer *p = open_scoped(k, text(k, "[[\"%s\",[\"sub\"]]]", under_root(k, "in/#")));

    say_subscribe_span(p, span_of_str(text(k, "$share/group/%s", under_root(k, "out"))), 0);
    if (!going(k))
        return;
    const struct received *r = peer_receive(p, 0);
    bool refused =
        r->got == GOT_PACKET &&
        ((r->frame.type == MQTT_SUBACK && r->suback.reasons.len == 1 && r->suback.reasons.p[0] >= 0x80) ||
         (r->frame.type == MQTT_DISCONNECT && r->reason >= 0x80));
    if (check(k, refused, "a shared subscription outside the scope was granted"))
        saw(k, "%s", describe(k, r));
}

static void authz_info(struct kit *k)
{
    struct peer *p = open_scoped(k, "[[\"#\",[\"pub\",\"sub\"]]]");

    say_subscribe(p, "authz-info", 0);
    expect_suback(p, MQTT_NOT_AUTHORIZED);
}

static void publish_with_wildcard(struct kit *k)
{
    static const uint8_t also[] = { MQTT_TOPIC_NAME_INVALID, MQTT_MALFORMED_PACKET, MQTT_PROTOCOL_ERROR, 0 };
    struct peer *p = open_good(k);
    struct buf b;

    buf_init(&b, 256);
    put_prefixed16(&b, span_of_str(under_root(k, "#")));
    put_u8(&b, 0);
    say_packet(p, MQTT_PUBLISH << 4, bytes(k, &b));
    (void)expect_cut(p, also);
}

#define SUB "RFC 9431 3.3; MQTT5 4.7; MT-82 MT-87"
/* clang-format off */
static const struct kit_case cases[] = {
    { "B-701", SUB, "SUBSCRIBE #", NEED_MINT, RUDE, filter },
    { "B-702", SUB, "SUBSCRIBE +/#", NEED_MINT, RUDE, filter },
    { "B-703", SUB, "SUBSCRIBE $SYS/#", NEED_MINT, RUDE, filter },
    { "B-704", SUB, "SUBSCRIBE +/+/#", NEED_MINT, RUDE, filter },
    { "B-705", SUB, "SUBSCRIBE $share/g/#", NEED_MINT, RUDE, filter },
    { "B-706", SUB, "SUBSCRIBE $share/g", NEED_MINT, RUDE, filter },
    { "B-707", SUB, "SUBSCRIBE $share//kit/a", NEED_MINT, RUDE, filter },
    { "B-708", SUB, "SUBSCRIBE $share/+/kit/a", NEED_MINT, RUDE, filter },
    { "B-709", SUB, "SUBSCRIBE //#", NEED_MINT, RUDE, filter },
    { "B-710", SUB, "SUBSCRIBE / (two empty levels)", NEED_MINT, RUDE, filter },
    { "B-711", SUB, "SUBSCRIBE with an empty filter", NEED_MINT, RUDE, filter },
    { "B-712", SUB, "SUBSCRIBE kit/a#", NEED_MINT, RUDE, filter },
    { "B-713", SUB, "SUBSCRIBE kit/#/a", NEED_MINT, RUDE, filter },
    { "B-714", SUB, "SUBSCRIBE kit/a+", NEED_MINT, RUDE, filter },
    { "B-715", SUB, "SUBSCRIBE with bytes that are no UTF-8", NEED_MINT, RUDE, filter },
    { "B-716", SUB, "SUBSCRIBE with a surrogate", NEED_MINT, RUDE, filter },
    { "B-717", SUB, "SUBSCRIBE with U+0000", NEED_MINT, RUDE, filter },
    { "B-718", SUB, "SUBSCRIBE with an overlong NUL", NEED_MINT, RUDE, filter },
    { "B-719", SUB, "SUBSCRIBE with a filter of 65535 bytes", NEED_MINT, RUDE, longest },
    { "B-720", SUB, "SUBSCRIBE with 200 levels", NEED_MINT, RUDE, many_levels },
    { "B-721", SUB, "SUBSCRIBE with 200 times +", NEED_MINT, RUDE, many_plus },
    { "B-722", SUB, "SUBSCRIBE with 200 empty levels", NEED_MINT, RUDE, empty_levels },
    { "B-723", SUB, "SUBSCRIBE to a shared filter outside the scope", NEED_MINT, RUDE, shared_inside },
    { "B-724", "RFC 9431 2.2.2; MT-31", "nobody may subscribe to authz-info", NEED_MINT, RUDE, authz_info },
    { "B-725", "MQTT5 [MQTT-3.3.2-2]; MT-81", "PUBLISH to a wildcard", NEED_TOKEN, RUDE, publish_with_wildcard },
};
/* clang-format on */

const struct kit_theme theme_filters = { "filters", KIT_BROKER, cases, COUNT_OF(cases) };
