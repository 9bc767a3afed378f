/* MQTT 5.0, statement by statement: PUBLISH and what it carries (sections 1.5, 2.2 and 3.3), its topic (4.7). */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>

/* A packet with this first byte and rest ends the connection with that code, and nobody gets anything of it. */
static void thrown_out(struct bench *b, uint8_t first, const char *rest, uint8_t code, const char *name)
{
    struct conn_io *watch = guest(b, "watch"), *c = guest(b, "bad");

    subscribe(watch, "#", 0);
    raw_packet(c, first, rest);
    raw_thrown_out(c, code, name);
    expect_nothing(watch);
    client_drop(watch);
}

/* ---- what is refused ---- */

static void what_publish_may_not_hold_ends_the_connection(void **state)
{
    static const struct {
        const char *clause;
        uint8_t first;
        const char *rest;
        uint8_t code;
    } rows[] = {
        { "MQTT5 [MQTT-1.5.4-1] a surrogate", 0x30, "0003 eda080 00 'x'", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-1.5.4-2] U+0000", 0x30, "0003 'a' 00 'b' 00 'x'", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-1.5.5-1] a length in two bytes that fits in one", 0x30, "0001 't' 8000 'x'",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-1.5.7-1] a name that is not UTF-8", 0x30, "0001 't' 07 26 0001 ff 0001 'v' 'x'",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-1.5.7-1] a value that is not UTF-8", 0x30, "0001 't' 07 26 0001 'n' 0001 ff 'x'",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-1.5.7-1] a value with U+0000", 0x30, "0001 't' 07 26 0001 'n' 0001 00 'x'",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-2.2.2-1] no Property Length", 0x30, "0001 't'", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.1-2] DUP with QoS 0", 0x38, "0001 't' 00 'x'", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.1-4] QoS 3", 0x36, "0001 't' 0001 00 'x'", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.2-1] no Topic Name", 0x30, "00", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.2-1] a Topic Name that is not UTF-8", 0x30, "0002 c328 00 'x'",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.2-2], [MQTT-4.7.0-1] + in a Topic Name", 0x30, "0003 'a/+' 00 'x'",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.2-2], [MQTT-4.7.0-1] # in a Topic Name", 0x30, "0003 'a/#' 00 'x'",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.2-8] Topic Alias 0", 0x30, "0001 't' 03 23 0000 'x'", MQTT_TOPIC_ALIAS_INVALID },
        { "MQTT5 [MQTT-3.3.2-13] a Response Topic that is not UTF-8", 0x30, "0001 't' 05 08 0002 c328 'x'",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.2-14] a wildcard in a Response Topic", 0x30, "0001 't' 04 08 0001 '#' 'x'",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.2-19] a Content Type that is not UTF-8", 0x30, "0001 't' 05 03 0002 c328 'x'",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.4-6] a Subscription Identifier", 0x30, "0001 't' 02 0b01 'x'", MQTT_PROTOCOL_ERROR },
        { "MQTT5 [MQTT-4.7.3-1] an empty Topic Name", 0x30, "0000 00 'x'", MQTT_PROTOCOL_ERROR },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        thrown_out(*state, rows[i].first, rows[i].rest, rows[i].code, rows[i].clause);
}

static void a_topic_name_has_65535_bytes_at_most(void **state)
{ /* MQTT5 [MQTT-4.7.3-3]: and so many are taken */
    struct bench *b = *state;
    struct conn_io *watch = guest(b, "watch"), *pub = guest(b, "p");
    char *topic = malloc(65536);

    assert_non_null(topic);
    memset(topic, 't', 65535);
    topic[65535] = '\0';
    subscribe(watch, "#", 0);
    client_publish(pub, topic, "x", 0, 0);
    (void)expect_publish(watch, topic, "x", 0);
    free(topic);
}

/* ---- topics go through as they are ---- */

static void a_byte_order_mark_is_a_character(void **state)
{ /* MQTT5 [MQTT-1.5.4-3] */
    struct bench *b = *state;
    struct conn_io *with = guest(b, "with"), *without = guest(b, "without"), *pub = guest(b, "p");

    subscribe(with,
              "\xef\xbb\xbf"
              "t",
              0);
    subscribe(without, "t", 0);
    raw_packet(pub, 0x30, "0004 efbbbf 't' 09 03 0006 efbbbf efbbbf 'x'");
    raw_expect(with, "30 11 0004 efbbbf 't' 09 03 0006 efbbbf efbbbf 'x'");
    expect_nothing(without);
    client_publish(pub, "t", "y", 0, 0);
    (void)expect_publish(without, "t", "y", 0);
    expect_nothing(with);
}

static void matching_changes_nothing(void **state)
{ /* MQTT5 [MQTT-4.7.3-4]: case, composed and decomposed characters, empty levels, spaces, percent signs */
    static const char *const topics[] = {
        "T",  "t",        "t/",        "/t",  "t//u",  "t/u", " t",
        "t ", "\xc3\xa4", "a\xcc\x88", "%2f", "t/./u", "..",  "\xef\xbf\xbd"
    };
    struct bench *b = *state;
    struct conn_io *pub = guest(b, "p"), *c[COUNT_OF(topics)];

    for (size_t i = 0; i < COUNT_OF(topics); i++) {
        char id[8];

        snprintf(id, sizeof id, "c%zu", i);
        c[i] = guest(b, id);
        subscribe(c[i], topics[i], 0);
    }
    for (size_t i = 0; i < COUNT_OF(topics); i++)
        client_publish(pub, topics[i], "x", 0, 0);
    for (size_t i = 0; i < COUNT_OF(topics); i++) {
        (void)expect_publish(c[i], topics[i], "x", 0);
        expect_nothing(c[i]);
    }
}

static void what_is_sent_matches_the_filter_it_is_sent_for(void **state)
{ /* MQTT5 [MQTT-3.3.2-3], [MQTT-4.7.1-1], [MQTT-4.7.1-2] */
    static const char *const filters[] = { "#", "+", "+/+", "a/#", "a/+", "/+", "+/b/#", "a" };
    static const char *const topics[] = { "a", "a/b", "a/b/c", "/b", "b", "a/", "/", "//" };
    struct bench *b = *state;
    struct conn_io *pub = guest(b, "p");

    for (size_t f = 0; f < COUNT_OF(filters); f++) {
        struct conn_io *c = guest(b, "c");

        subscribe(c, filters[f], 0);
        for (size_t t = 0; t < COUNT_OF(topics); t++) {
            bool matches = topic_matches(
                (struct topic_filter){ span_of_str(filters[f]) },
                (struct topic_name){ span_of_str(topics[t]) }); /* topic_test.c has the examples */

            client_publish(pub, topics[t], "x", 0, 0);
            if (matches)
                (void)expect_publish(c, topics[t], "x", 0);
            expect_nothing(c);
        }
        client_bye(c);
    }
}

/* ---- the bytes ---- */

static void a_packet_identifier_goes_with_qos_above_0_only(void **state)
{ /* MQTT5 [MQTT-2.2.1-2], [MQTT-2.2.2-1], [MQTT-4.3.1-1]; 2.2.1: not 0 */
    struct bench *b = *state;
    struct conn_io *c = guest(b, "c"), *pub = guest(b, "p");
    struct mqtt_publish p;

    subscribe(c, "t", 2);
    raw_packet(pub, 0x30, "0001 't' 00 'x'"); /* received without one */
    raw_expect(c, "30 05 0001 't' 00 'x'");   /* QoS 0, DUP 0; no identifier, Property Length 0 */
    publish_whole(pub, "t", "y", 1, false);
    assert_int_equal(c->in.p[c->in_at + 1], 7);
    p = expect_publish(c, "t", "y", 1);
    assert_int_not_equal(p.packet_id, 0);
}

static void an_answer_has_the_identifier_of_what_it_answers(void **state)
{ /* MQTT5 [MQTT-2.2.1-5], [MQTT-2.2.1-6], [MQTT-3.3.4-1], [MQTT-4.3.2-4], [MQTT-4.3.3-8], [MQTT-4.3.3-11] */
    struct bench *b = *state;
    struct conn_io *c = guest(b, "c");
    struct mqtt_publish p;

    raw_packet(c, 0x30, "0001 't' 00 'x'"); /* QoS 0: nothing */
    expect_nothing(c);
    raw_packet(c, 0x32, "0001 't' ffff 00 'x'");
    raw_expect(c, "40 02 ffff");
    raw_packet(c, 0x34, "0001 't' abcd 00 'x'");
    raw_expect(c, "50 02 abcd");
    raw_send(c, "62 02 abcd");
    raw_expect(c, "70 02 abcd");
    raw_send(c, "82 07 1234 00 0001 't' 02");
    raw_expect(c, "90 04 1234 00 02");
    raw_send(c, "a2 06 1235 00 0001 'u'");
    raw_expect(c, "b0 04 1235 00 11");
    publish_whole(guest(b, "p"), "t", "x", 2, false); /* and its PUBREL */
    p = expect_publish(c, "t", "x", 2);
    client_ack(c, MQTT_PUBREC, p.packet_id, MQTT_SUCCESS);
    (void)expect_ack(c, MQTT_PUBREL, p.packet_id, MQTT_SUCCESS);
    expect_nothing(c);
}

static void dup_is_said_of_what_is_sent_again_and_not_passed_on(void **state)
{ /* MQTT5 [MQTT-3.3.1-1], [MQTT-3.3.1-3], [MQTT-4.3.2-2], [MQTT-4.3.3-2] */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false), *pub = guest(b, "p");

    subscribe(c, "t", 2);
    for (uint8_t qos = 1; qos <= 2; qos++) {
        client_publish_with(pub, &(struct publish_wish){
                                     .topic = "t", .payload = "x", .qos = qos, .packet_id = qos, .dup = true });
        assert_false(expect_publish(c, "t", "x", qos).dup); /* came with DUP, goes out the first time */
        client_publish_with(
            pub, &(struct publish_wish){ .topic = "t", .payload = "y", .qos = qos, .packet_id = qos + 10 });
        assert_false(expect_publish(c, "t", "y", qos).dup);
    }
    client_drop(c);
    c = back(b, "c", true);
    for (uint8_t qos = 1; qos <= 2; qos++) { /* now both are sent again */
        assert_true(expect_publish(c, "t", "x", qos).dup);
        assert_true(expect_publish(c, "t", "y", qos).dup);
    }
}

static void properties_arrive_as_they_were_sent(void **state)
{ /* MQTT5 [MQTT-3.3.2-4], [MQTT-3.3.2-15] to [MQTT-3.3.2-18], [MQTT-3.3.2-20] */
    static const char all[] =
        "01 01 03 0002 'ct' 08 0003 'r/t' 09 0004 00ff00c3 26 0001 'b' 0001 '1' 26 0001 'a' 0001 '2'"
        "26 0001 'b' 0001 '1' 26 0000 0000";
    struct bench *b = *state;
    struct conn_io *pub = guest(b, "p"), *one = guest(b, "one"), *two = guest(b, "two");
    CLEANUP(buf_done)
    struct buf want;
    struct conn_io *to[] = { one, two };
    char packet[256];

    buf_init(&want, 1024);
    raw_bytes(all, &want);
    subscribe(one, "t", 0);
    subscribe(two, "#", 1);
    snprintf(packet, sizeof packet, "0001 't' %02zx %s 'x'", want.len, all);
    raw_packet(pub, 0x30, packet);
    for (size_t i = 0; i < COUNT_OF(to);
         i++) { /* the order of properties is free, that of User Properties is not */
        struct mqtt_publish p = expect_publish(to[i], "t", "x", 0);
        struct span name, value;
        size_t at = 0;
        int n = 0;

        assert_int_equal(p.properties.payload_format, 1);
        assert_true(span_eq_str(p.properties.content_type, "ct"));
        assert_true(span_eq_str(p.properties.response_topic, "r/t"));
        assert_true(span_eq(p.properties.correlation_data, SPAN("\x00\xff\x00\xc3")));
        for (; mqtt_next_user_property(&p.properties, &at, &name, &value); n++) {
            assert_true(span_eq_str(name, (const char *[]){ "b", "a", "b", "" }[n]));
            assert_true(span_eq_str(value, (const char *[]){ "1", "2", "1", "" }[n]));
        }
        assert_int_equal(n, 4);
        expect_nothing(to[i]);
    }
}

static void expiry_counts_down_while_a_message_waits(void **state)
{ /* MQTT5 [MQTT-3.3.2-5], [MQTT-3.3.2-6] */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false), *pub = guest(b, "p");
    struct publish_wish wish = { .topic = "t", .payload = "long", .qos = 1, .packet_id = 1, .expiry_s = 60 };

    subscribe(c, "t", 1);
    client_publish_with(pub, &wish); /* at once: nothing is taken off */
    assert_int_equal(expect_publish(c, "t", "long", 1).properties.message_expiry_s, 60);
    client_drop(c);
    client_publish_with(pub, &wish);
    client_publish_with(pub, &(struct publish_wish){
                                 .topic = "t", .payload = "short", .qos = 1, .packet_id = 2, .expiry_s = 9 });
    bench_advance(b, 10000);
    c = back(b, "c", true);
    (void)expect_publish(c, "t", "long", 1); /* what was sent once, again */
    assert_int_equal(expect_publish(c, "t", "long", 1).properties.message_expiry_s, 50);
    expect_nothing(c); /* the short one is gone */
    wish.retain = true;
    wish.topic = "r";
    client_publish_with(pub, &wish);
    bench_advance(b, 20000);
    client_subscribe(c, "r", 1, 1);
    assert_int_equal(expect_publish(c, "r", "long", 1).properties.message_expiry_s, 40);
    client_unsubscribe(c, "r");
    c->in_at = c->in.len;
    bench_advance(b, 41000);
    client_subscribe(c, "r", 1, 1);
    expect_nothing(c);
}

static void every_topic_alias_up_to_the_maximum_is_taken(void **state)
{ /* MQTT5 [MQTT-3.3.2-12], [MQTT-3.3.2-9] */
    struct bench *b = *state;
    struct conn_io *watch = guest(b, "watch"), *c = client_new(b);
    struct mqtt_connack ack;
    uint16_t max;

    subscribe(watch, "#", 0);
    client_connect(c, &(struct connect_wish){ .id = "c", .no_method = true });
    ack = expect_connack(c, MQTT_SUCCESS);
    max = ack.properties.topic_alias_maximum;
    assert_true(max > 1);
    for (uint16_t alias = 1; alias <= max; alias++) {
        char topic[16];

        snprintf(topic, sizeof topic, "t/%u", alias);
        client_publish_with(c, &(struct publish_wish){ .topic = topic, .payload = "named", .alias = alias });
        (void)expect_publish(watch, topic, "named", 0);
    }
    for (uint16_t alias = max; alias >= 1; alias--) {
        char topic[16];

        snprintf(topic, sizeof topic, "t/%u", alias);
        client_publish_with(c, &(struct publish_wish){ .topic = "", .payload = "by alias", .alias = alias });
        (void)expect_publish(watch, topic, "by alias", 0);
    }
    client_publish_with(c,
                        &(struct publish_wish){ .topic = "t", .payload = "x", .alias = (uint16_t)(max + 1) });
    (void)expect_disconnect(c, MQTT_TOPIC_ALIAS_INVALID);
    expect_nothing(watch);
}

static void a_topic_alias_ends_with_its_connection(void **state)
{ /* MQTT5 [MQTT-3.3.2-7]: even where the session goes on */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false);

    client_publish_with(c, &(struct publish_wish){ .topic = "t", .payload = "x", .alias = 1 });
    client_drop(c);
    c = back(b, "c", true);
    client_publish_with(c, &(struct publish_wish){ .topic = "", .payload = "x", .alias = 1 });
    (void)expect_disconnect(c, MQTT_PROTOCOL_ERROR);
}

static void a_client_without_an_alias_maximum_gets_no_alias(void **state)
{ /* MQTT5 [MQTT-3.1.2-27]: absent, and 0 */
    struct bench *b = *state;
    static const char *const rests[] = { CONNECT5 "02 0000 00 0001 'c'",
                                         CONNECT5 "02 0000 03 22 0000 0001 'c'" };

    b->settings.topic_aliases_out = 10;
    for (size_t i = 0; i < COUNT_OF(rests); i++) {
        struct conn_io *c = raw_client(b, MQTT_5);
        struct mqtt_publish p;

        raw_packet(c, 0x10, rests[i]);
        (void)expect_connack(c, MQTT_SUCCESS);
        subscribe(c, "a/long/topic/to/be/shortened", 1);
        for (int n = 0; n < 5; n++) {
            publish_whole(guest(b, "p"), "a/long/topic/to/be/shortened", "x", (uint8_t)(n % 2), false);
            p = expect_publish(c, "a/long/topic/to/be/shortened", "x", (uint8_t)(n % 2));
            assert_false(mqtt_has(&p.properties, PROP_TOPIC_ALIAS));
        }
    }
}

/* ---- retained messages ---- */

static void the_last_retained_message_of_a_topic_is_kept(void **state)
{ /* MQTT5 [MQTT-3.3.1-5] to [MQTT-3.3.1-8] */
    struct bench *b = *state;
    struct conn_io *pub = guest(b, "p"), *watch = guest(b, "watch"), *late;

    subscribe(watch, "t", 0);
    publish_whole(pub, "t", "first", 2, true);
    publish_whole(pub, "t", "second", 1, true);   /* replaces it, QoS and all */
    publish_whole(pub, "t", "passing", 2, false); /* neither stored nor removing */
    publish_whole(pub, "other", "", 1, false);
    late = guest(b, "late");
    client_subscribe(late, "t", 2, 2);
    assert_true(expect_publish(late, "t", "second", 1).retain);
    expect_nothing(late);
    publish_whole(pub, "t", "", 1, true); /* goes through, clears, and is not kept itself */
    (void)expect_publish(watch, "t", "first", 0);
    (void)expect_publish(watch, "t", "second", 0);
    (void)expect_publish(watch, "t", "passing", 0);
    (void)expect_publish(watch, "t", "", 0);
    late = guest(b, "late");
    client_subscribe(late, "t", 2, 2);
    expect_nothing(late);
    assert_int_equal(STAT(b, retained_messages), 0);
}

static struct conn_io *subscribed(struct bench *b, uint8_t handling, bool as_published)
{
    struct conn_io *c = guest(b, "c");
    struct mqtt_subscription want = wish_filter("t/#", 1);

    want.retain_handling = handling;
    want.retain_as_published = as_published;
    client_subscribe_with(c, want, 0, 1);
    (void)expect_suback(c, 1, 1);
    return c;
}

static void retain_handling_says_when_retained_messages_come(void **state)
{ /* MQTT5 [MQTT-3.3.1-9] to [MQTT-3.3.1-11] */
    struct bench *b = *state;
    struct conn_io *pub = guest(b, "p"), *c;
    struct mqtt_subscription want = wish_filter("t/#", 1);
    struct mqtt_frame again;
    bool seen[2] = { false };

    publish_whole(pub, "t/1", "x", 1, true);
    publish_whole(pub, "t/2", "x", 1, true);
    publish_whole(pub, "u/1", "x", 1, true);
    for (uint8_t handling = 0; handling <= 2; handling++) {
        c = subscribed(b, handling, false);
        for (int n = 0; n < 2 && handling < 2; n++) { /* all that match, in any order */
            struct mqtt_frame frame;
            struct mqtt_publish p;

            assert_true(client_next(c, &frame));
            assert_int_equal(mqtt_read_publish(&frame, MQTT_5, &p, NULL), ST_OK);
            assert_true(p.retain);
            seen[p.topic.s.p[2] - '1'] = true;
        }
        assert_true(seen[0] && seen[1]);
        expect_nothing(c);
        want.retain_handling = handling; /* again: the subscription exists */
        client_subscribe_with(c, want, 0, 2);
        (void)expect_suback(c, 2, 1);
        for (int n = 0; n < 2 && handling == 0; n++)
            assert_true(client_next(c, &again));
        expect_nothing(c);
    }
}

static void retain_as_published_keeps_the_flag_and_else_it_is_0(void **state)
{ /* MQTT5 [MQTT-3.3.1-12], [MQTT-3.3.1-13] */
    struct bench *b = *state;
    struct conn_io *pub = guest(b, "p");

    for (int as_published = 0; as_published <= 1; as_published++) {
        struct conn_io *c = subscribed(b, 2, as_published == 1);

        for (uint8_t qos = 0; qos <= 1; qos++) {
            publish_whole(pub, "t/1", "kept", qos, true);
            assert_int_equal(expect_publish(c, "t/1", "kept", qos).retain, as_published);
            publish_whole(pub, "t/1", "passing", qos, false);
            assert_false(expect_publish(c, "t/1", "passing", qos).retain);
        }
    }
}

/* ---- subscriptions that overlap ---- */

static void overlapping_subscriptions_give_the_highest_qos_and_every_identifier(void **state)
{ /* MQTT5 [MQTT-3.3.4-2] to [MQTT-3.3.4-4] */
    struct bench *b = *state;
    struct conn_io *c = guest(b, "c");
    struct mqtt_publish p;
    uint32_t id, product = 1;
    size_t at = 0;

    client_subscribe_with(c, wish_filter("t/+", 0), 2, 1);
    (void)expect_suback(c, 1, 0);
    client_subscribe_with(c, wish_filter("t/#", 2), 0, 2);
    (void)expect_suback(c, 2, 2);
    client_subscribe_with(c, wish_filter("t/1", 1), 268435455, 3);
    (void)expect_suback(c, 3, 1);
    client_subscribe_with(c, wish_filter("u", 1), 3, 4);
    (void)expect_suback(c, 4, 1);
    publish_whole(guest(b, "p"), "t/1", "x", 2, false);
    p = expect_publish(c, "t/1", "x", 2);
    while (mqtt_next_subscription_id(&p.properties, &at, &id))
        product = product % 1000003 * (id % 1000003);
    assert_int_equal(product, 2 * (268435455 % 1000003));
    finish(c, &p);
    expect_nothing(c);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, raw_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(what_publish_may_not_hold_ends_the_connection),
        T(a_topic_name_has_65535_bytes_at_most),
        T(a_byte_order_mark_is_a_character),
        T(matching_changes_nothing),
        T(what_is_sent_matches_the_filter_it_is_sent_for),
        T(a_packet_identifier_goes_with_qos_above_0_only),
        T(an_answer_has_the_identifier_of_what_it_answers),
        T(dup_is_said_of_what_is_sent_again_and_not_passed_on),
        T(properties_arrive_as_they_were_sent),
        T(expiry_counts_down_while_a_message_waits),
        T(every_topic_alias_up_to_the_maximum_is_taken),
        T(a_topic_alias_ends_with_its_connection),
        T(a_client_without_an_alias_maximum_gets_no_alias),
        T(the_last_retained_message_of_a_topic_is_kept),
        T(retain_handling_says_when_retained_messages_come),
        T(retain_as_published_keeps_the_flag_and_else_it_is_0),
        T(overlapping_subscriptions_give_the_highest_qos_and_every_identifier),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
