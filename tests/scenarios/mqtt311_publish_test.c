/* MQTT 3.1.1, statement by statement: PUBLISH, SUBSCRIBE, UNSUBSCRIBE, delivery and order (sections 2.3, 3.3 to 3.12, 4.3 to 4.7). */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the bytes ---- */

static void packet_identifiers_come_back_in_the_answers(void **state)
{ /* MQTT311 [MQTT-2.3.1-6], [MQTT-2.3.1-7], [MQTT-3.3.4-1], [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.10.4-4], [MQTT-3.10.4-5],
   * [MQTT-3.12.4-1] */
    struct bench *b = *state;
    struct conn_io *c = guest3(b, "c"), *pub = guest3(b, "p");
    struct mqtt_publish p;

    raw_send(pub, "30 04 0001 't' 'x'");
    expect_nothing(pub);
    raw_send(pub, "32 06 0001 't' ffff 'x'");
    raw_expect(pub, "40 02 ffff");
    raw_send(pub, "34 06 0001 't' abcd 'x'");
    raw_expect(pub, "50 02 abcd");
    raw_send(pub, "62 02 abcd");
    raw_expect(pub, "70 02 abcd");
    raw_send(c, "82 06 1234 0001 't' 02");
    raw_expect(c, "90 03 1234 02");
    raw_send(c, "a2 05 1235 0001 'u'"); /* nothing to delete, and yet an answer */
    raw_expect(c, "b0 02 1235");
    publish_whole(pub, "t", "x", 2, false);
    p = expect_publish(c, "t", "x", 2);
    client_ack(c, MQTT_PUBREC, p.packet_id, 0);
    (void)expect_ack(c, MQTT_PUBREL, p.packet_id, 0);
    raw_send(c, "c000 c000");
    raw_expect(c, "d000 d000");
    expect_nothing(c);
}

static void qos_0_has_no_identifier(void **state)
{ /* MQTT311 [MQTT-2.3.1-5], [MQTT-3.3.1-2], [MQTT-4.3.1-1], [MQTT-3.3.2-1] */
    struct bench *b = *state;
    struct conn_io *c = back3(b, "c", false);

    subscribe(c, "t", 1);
    raw_send(guest3(b, "p"), "30 05 0001 't' 0000"); /* these are payload */
    raw_expect(c, "30 05 0001 't' 0000");
    client_drop(c);
    c = back3(b, "c", true);
    expect_nothing(c); /* and is not sent again */
}

static void a_byte_order_mark_is_a_character(void **state)
{ /* MQTT311 [MQTT-1.5.3-3] */
    struct bench *b = *state;
    struct conn_io *with = guest3(b, "with"), *without = guest3(b, "without");

    subscribe(with,
              "\xef\xbb\xbf"
              "t",
              0);
    subscribe(without, "t", 0);
    raw_send(guest3(b, "p"), "30 07 0004 efbbbf 't' 'x'");
    raw_expect(with, "30 07 0004 efbbbf 't' 'x'");
    expect_nothing(without);
}

static void identifiers_of_ours_are_free_and_never_0(void **state)
{ /* MQTT311 [MQTT-2.3.1-1], [MQTT-2.3.1-4]: once round all of them, past one that is in use */
    struct bench *b = *state;
    struct conn_io *c = guest3(b, "c"), *pub = guest3(b, "p");
    uint16_t held;

    subscribe(c, "t", 1);
    client_publish(pub, "t", "held", 1, 1);
    held = expect_publish(c, "t", "held", 1).packet_id;
    for (unsigned i = 0; i < 66000; i++) {
        uint16_t id;

        client_publish(pub, "t", "x", 1, 1);
        id = expect_publish(c, "t", "x", 1).packet_id;
        assert_true(id != held && id != 0);
        client_ack(c, MQTT_PUBACK, id, 0);
        pub->in_at = c->in_at = 0;
        buf_reset(&pub->in);
        buf_reset(&c->in);
    }
}

static void dup_is_said_of_what_is_sent_again_and_not_passed_on(void **state)
{ /* MQTT311 [MQTT-3.3.1-1], [MQTT-3.3.1-3], [MQTT-4.4.0-1], [MQTT-2.3.1-4], [MQTT-4.6.0-1] */
    struct bench *b = *state;
    struct conn_io *c = back3(b, "c", false), *pub = guest3(b, "p");
    uint16_t id[4];

    subscribe(c, "t", 2);
    for (int i = 0; i < 4; i++) {
        struct mqtt_publish p;

        client_publish_with(pub, &(struct publish_wish){ .topic = "t",
                                                         .payload = "x",
                                                         .qos = (uint8_t)(1 + i % 2),
                                                         .packet_id = (uint16_t)(i + 1),
                                                         .dup = i < 2 });
        p = expect_publish(c, "t", "x", (uint8_t)(1 + i % 2));
        assert_false(p.dup);
        id[i] = p.packet_id;
    }
    client_drop(c);
    c = back3(b, "c", true);
    for (int i = 0; i < 4; i++) { /* under the same identifiers, in the same order */
        struct mqtt_publish p = expect_publish(c, "t", "x", (uint8_t)(1 + i % 2));

        assert_true(p.dup);
        assert_int_equal(p.packet_id, id[i]);
    }
    bench_advance(b, 100000);
    expect_nothing(c);
}

/* ---- the delivery protocols ---- */

static void the_sender_of_qos_1_waits_for_the_puback(void **state)
{ /* MQTT311 [MQTT-4.3.2-1] */
    struct bench *b = *state;
    struct conn_io *c = back3(b, "c", false), *pub = guest3(b, "p");
    struct mqtt_publish one, two;

    subscribe(c, "t", 1);
    publish_whole(pub, "t", "one", 1, false);
    publish_whole(pub, "t", "two", 1, false);
    one = expect_publish(c, "t", "one", 1);
    two = expect_publish(c, "t", "two", 1);
    assert_true(!one.dup && !two.dup && one.packet_id != two.packet_id);
    client_ack(c, MQTT_PUBACK, one.packet_id, 0);
    client_drop(c);
    c = back3(b, "c", true);
    assert_int_equal(expect_publish(c, "t", "two", 1).packet_id, two.packet_id);
    client_ack(c, MQTT_PUBACK, two.packet_id, 0);
    client_drop(c);
    c = back3(b, "c", true);
    expect_nothing(c);
}

static void the_receiver_of_qos_1_takes_every_packet_for_a_new_one(void **state)
{ /* MQTT311 [MQTT-4.3.2-2]: once it has acknowledged, whatever DUP says */
    struct bench *b = *state;
    struct conn_io *c = guest3(b, "c"), *pub = guest3(b, "p");

    subscribe(c, "t", 0);
    for (int i = 0; i < 3; i++) {
        raw_send(pub, i == 2 ? "3a 06 0001 't' 0005 'x'" : "32 06 0001 't' 0005 'x'");
        raw_expect(pub, "40 02 0005");
        (void)expect_publish(c, "t", "x", 0);
    }
}

static void the_sender_of_qos_2_goes_four_steps_and_not_back(void **state)
{ /* MQTT311 [MQTT-4.3.3-1], [MQTT-4.4.0-1] */
    struct bench *b = *state;
    struct conn_io *c = back3(b, "c", false), *pub = guest3(b, "p");
    struct mqtt_publish one, two;

    subscribe(c, "t", 2);
    publish_whole(pub, "t", "one", 2, false);
    publish_whole(pub, "t", "two", 2, false);
    one = expect_publish(c, "t", "one", 2);
    two = expect_publish(c, "t", "two", 2);
    assert_true(!one.dup && !two.dup && one.packet_id != two.packet_id);
    client_ack(c, MQTT_PUBREC, one.packet_id, 0);
    (void)expect_ack(c, MQTT_PUBREL, one.packet_id, 0);
    for (int i = 0; i < 2; i++) { /* unacknowledged: PUBREL of the one, PUBLISH of the other */
        client_drop(c);
        c = back3(b, "c", true);
        (void)expect_ack(c, MQTT_PUBREL, one.packet_id, 0);
        assert_int_equal(expect_publish(c, "t", "two", 2).packet_id, two.packet_id);
        expect_nothing(c);
    }
    client_ack(c, MQTT_PUBCOMP, one.packet_id, 0);
    finish(c, &two);
    client_drop(c);
    c = back3(b, "c", true);
    expect_nothing(c);
}

static void the_receiver_of_qos_2_passes_it_on_once(void **state)
{ /* MQTT311 [MQTT-4.3.3-2] */
    struct bench *b = *state;
    struct conn_io *c = guest3(b, "c"), *pub = back3(b, "p", false);

    subscribe(c, "t", 0);
    for (int i = 0; i < 3; i++) {
        raw_send(pub, i == 0 ? "34 06 0001 't' 0005 'x'" : "3c 06 0001 't' 0005 'x'");
        raw_expect(pub, "50 02 0005");
        client_drop(pub);
        pub = back3(b, "p", true);
    }
    (void)expect_publish(c, "t", "x", 0);
    expect_nothing(c);
    raw_send(pub, "62 02 0005");
    raw_expect(pub, "70 02 0005");
    raw_send(pub, "3c 06 0001 't' 0005 'y'"); /* a new one */
    raw_expect(pub, "50 02 0005");
    (void)expect_publish(c, "t", "y", 0);
}

static void a_message_waits_in_every_matching_session(void **state)
{ /* MQTT311 [MQTT-4.5.0-1], [MQTT-3.1.2-5] */
    struct bench *b = *state;
    struct conn_io *c[6], *pub = guest3(b, "p");
    char id[8];

    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof id, "c%d", i);
        c[i] = back3(b, id, false);
        subscribe(c[i], i % 2 == 0 ? "t/#" : "+/1", 2);
        if (i >= 3)
            client_drop(c[i]);
    }
    for (uint8_t qos = 1; qos <= 2; qos++)
        publish_whole(pub, "t/1", "x", qos, false);
    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof id, "c%d", i);
        if (i >= 3)
            c[i] = back3(b, id, true);
        for (uint8_t qos = 1; qos <= 2; qos++)
            (void)expect_publish(c[i], "t/1", "x", qos);
        expect_nothing(c[i]);
    }
}

static void messages_of_one_publisher_stay_in_order(void **state)
{ /* MQTT311 [MQTT-4.6.0-5], [MQTT-4.6.0-6]: of each topic and QoS, live and from the queue */
    struct bench *b = *state;
    struct conn_io *c = back3(b, "c", false), *away = back3(b, "away", false), *pub = guest3(b, "p");
    char payload[8];

    subscribe(c, "#", 2);
    subscribe(away, "#", 2);
    client_drop(away);
    for (int i = 0; i < 30; i++) {
        snprintf(payload, sizeof payload, "%d", i);
        publish_whole(pub, i % 2 == 0 ? "t" : "u", payload, (uint8_t)(1 + i % 3 % 2), false);
    }
    away = back3(b, "away", true);
    for (int i = 0; i < 30; i++) {
        snprintf(payload, sizeof payload, "%d", i);
        (void)expect_publish(c, i % 2 == 0 ? "t" : "u", payload, (uint8_t)(1 + i % 3 % 2));
        (void)expect_publish(away, i % 2 == 0 ? "t" : "u", payload, (uint8_t)(1 + i % 3 % 2));
    }
}

/* ---- topics ---- */

static void what_is_sent_matches_the_filter_and_nothing_is_normalized(void **state)
{ /* MQTT311 [MQTT-3.3.2-3], [MQTT-4.7.3-4], [MQTT-3.8.3-2]: filters with wildcards are supported */
    static const struct {
        const char *filter, *matches[6];
    } rows[] = {
        { "#", { "T", "t", "t/", "/t", "t//u" } },
        { "+", { "T", "t" } },
        { "+/+", { "t/", "/t" } },
        { "t/#", { "t", "t/", "t//u" } },
        { "t/+", { "t/" } },
        { "t/+/u", { "t//u" } },
        { "/+", { "/t" } },
        { "T", { "T" } },
        { "t", { "t" } },
    };
    static const char *const topics[] = { "T", "t", "t/", "/t", "t//u" };
    struct bench *b = *state;
    struct conn_io *pub = guest3(b, "p");

    for (size_t r = 0; r < COUNT_OF(rows); r++) {
        struct conn_io *c = guest3(b, "c");

        subscribe(c, rows[r].filter, 0);
        for (size_t t = 0; t < COUNT_OF(topics); t++)
            client_publish(pub, topics[t], "x", 0, 0);
        for (size_t m = 0; rows[r].matches[m] != NULL; m++)
            (void)expect_publish(c, rows[r].matches[m], "x", 0);
        expect_nothing(c);
    }
}

static void a_wildcard_in_front_does_not_match_a_dollar(void **state)
{ /* MQTT311 [MQTT-4.7.2-1]: shown on what the broker publishes under $SYS, live and retained */
    struct bench *b = *state;
    struct conn_io *all, *level, *named;

    bench_public(b, "[[\"#\",[\"pub\",\"sub\"]],[\"$SYS/#\",[\"sub\"]]]");
    all = guest3(b, "all");
    level = guest3(b, "level");
    named = guest3(b, "named");
    for (int i = 0; i < 2; i++) {
        struct mqtt_frame frame;

        subscribe(all, "#", 0);
        subscribe(level, "+/broker/clients/connected", 0);
        client_subscribe(named, "$SYS/broker/clients/connected", 0, 0);
        bench_advance(b, (int64_t)b->settings.sys_interval_s * 1000 + 1000);
        expect_nothing(all);
        expect_nothing(level);
        assert_true(client_next(named, &frame)); /* it was there to be had */
        assert_int_equal(frame.type, MQTT_PUBLISH);
        while (client_next(named, &frame))
            ;
    }
}

static void topics_have_65535_bytes_at_most(void **state)
{ /* MQTT311 [MQTT-4.7.3-3]: and so many are taken, in a filter too */
    struct bench *b = *state;
    struct conn_io *c = guest3(b, "c"), *pub = guest3(b, "p");
    char *topic = malloc(65536);

    assert_non_null(topic);
    memset(topic, 't', 65535);
    topic[65535] = '\0';
    subscribe(c, topic, 0);
    client_publish(pub, topic, "x", 0, 0);
    (void)expect_publish(c, topic, "x", 0);
    free(topic);
}

/* ---- retained messages ---- */

static void the_last_retained_message_of_a_topic_is_kept_with_its_qos(void **state)
{ /* MQTT311 [MQTT-3.3.1-5] to [MQTT-3.3.1-9], [MQTT-3.3.1-12] */
    struct bench *b = *state;
    struct conn_io *pub = guest3(b, "p"), *watch = guest3(b, "watch"), *c;

    subscribe(watch, "t/#", 0);
    publish_whole(pub, "t/1", "first", 1, true);
    publish_whole(pub, "t/1", "second", 2, true);
    publish_whole(pub, "t/1", "passing", 2, false);
    publish_whole(pub, "t/2", "zero", 2, true);
    publish_whole(pub, "t/2", "zero again", 0, true); /* QoS 0 takes its place as well */
    for (int i = 0; i < 5; i++) {                     /* RETAIN 0 for who had subscribed before */
        struct mqtt_frame frame;
        struct mqtt_publish p;

        assert_true(client_next(watch, &frame));
        assert_int_equal(mqtt_read_publish(&frame, MQTT_3_1_1, &p, NULL), ST_OK);
        assert_false(p.retain);
    }
    c = guest3(b, "c");
    client_subscribe(c, "t/1", 2, 2);
    assert_true(expect_publish(c, "t/1", "second", 2).retain);
    client_subscribe(c, "t/2", 2, 2);
    assert_true(expect_publish(c, "t/2", "zero again", 0).retain);
    expect_nothing(c);
}

static void an_empty_retained_message_clears_and_is_not_kept(void **state)
{ /* MQTT311 [MQTT-3.3.1-10], [MQTT-3.3.1-11] */
    struct bench *b = *state;
    struct conn_io *pub = guest3(b, "p"), *watch = guest3(b, "watch"), *c;

    publish_whole(pub, "t", "kept", 1, true);
    subscribe(watch, "t", 1);
    assert_true(expect_publish(watch, "t", "kept", 1).retain);
    publish_whole(pub, "t", "", 1, true);
    assert_false(expect_publish(watch, "t", "", 1).retain);
    c = guest3(b, "c");
    client_subscribe(c, "t", 1, 1);
    expect_nothing(c);
    assert_int_equal(STAT(b, retained_messages), 0);
}

/* ---- SUBSCRIBE and UNSUBSCRIBE ---- */

static void each_filter_gets_its_code_in_its_place(void **state)
{ /* MQTT311 [MQTT-3.8.4-4], [MQTT-3.8.4-5], [MQTT-3.9.3-1], [MQTT-3.9.3-2] */
    struct bench *b = *state;
    struct conn_io *c, *pub;

    bench_public(b, "[[\"t/#\",[\"pub\",\"sub\"]]]");
    c = guest3(b, "c");
    pub = guest3(b, "p");
    raw_send(c, "82 1c beef 0003 't/2' 02 0001 'u' 01 0003 't/0' 00 0003 't/1' 01 0001 '#' 02");
    raw_expect(c, "90 07 beef 02 80 00 01 80");
    for (char n = '0'; n <= '2'; n++) { /* as if three packets had come */
        char topic[] = { 't', '/', n, '\0' };

        publish_whole(pub, topic, "x", 2, false);
        (void)expect_publish(c, topic, "x", (uint8_t)(n - '0'));
    }
}

static void messages_go_out_with_the_lower_qos(void **state)
{ /* MQTT311 [MQTT-3.8.4-6], [MQTT-3.3.5-1]: of overlapping subscriptions with the highest, once */
    struct bench *b = *state;
    struct conn_io *pub = guest3(b, "p");

    for (uint8_t granted = 0; granted <= 2; granted++) {
        for (uint8_t qos = 0; qos <= 2; qos++) {
            struct conn_io *c = guest3(b, "c");

            subscribe(c, "t/#", 0);
            subscribe(c, "t/1", granted);
            subscribe(c, "+/1", 0);
            publish_whole(pub, "t/1", "x", qos, false);
            (void)expect_publish(c, "t/1", "x", qos < granted ? qos : granted);
            expect_nothing(c);
        }
    }
}

static void the_same_filter_again_replaces_the_subscription(void **state)
{ /* MQTT311 [MQTT-3.8.4-3] */
    struct bench *b = *state;
    struct conn_io *c = guest3(b, "c"), *pub = guest3(b, "p");

    publish_whole(pub, "t", "kept", 1, true);
    client_subscribe(c, "t", 0, 0);
    assert_true(expect_publish(c, "t", "kept", 0).retain);
    client_publish(pub, "t", "before", 1, 1);
    client_subscribe_with(c, wish_filter("t", 1), 0, 2);
    client_publish(pub, "t", "after", 1, 2);
    (void)expect_publish(c, "t", "before", 0);
    (void)expect_suback(c, 2, 1);
    assert_true(expect_publish(c, "t", "kept", 1).retain);
    (void)expect_publish(c, "t", "after", 1);
    expect_nothing(c);
    assert_int_equal(STAT(b, subscriptions), 1);
}

static void unsubscribing_compares_bytes_and_ends_new_deliveries_only(void **state)
{ /* MQTT311 [MQTT-3.10.4-1] to [MQTT-3.10.4-3], [MQTT-3.10.4-6] */
    struct bench *b = *state;
    struct conn_io *c = back3(b, "c", false), *pub = guest3(b, "p");
    struct mqtt_publish one, two;

    subscribe(c, "t/+", 2);
    subscribe(c, "u", 2);
    publish_whole(pub, "t/1", "one", 1, false);
    publish_whole(pub, "t/1", "two", 2, false);
    one = expect_publish(c, "t/1", "one", 1);
    two = expect_publish(c, "t/1", "two", 2);
    raw_send(c, "a2 0a 0001 0003 't/1' 0001 '#'"); /* what it matches, what matches it: neither is meant */
    raw_expect(c, "b0 02 0001");
    publish_whole(pub, "t/1", "three", 1, false);
    (void)expect_publish(c, "t/1", "three", 1);
    raw_send(c, "a2 0d 0002 0001 'x' 0003 't/+' 0001 'u'"); /* several at once, one answer */
    raw_expect(c, "b0 02 0002");
    publish_whole(pub, "t/1", "four", 1, false);
    publish_whole(pub, "u", "five", 1, false);
    expect_nothing(c);
    client_drop(c);
    c = back3(b, "c", true); /* what had begun is finished */
    (void)expect_publish(c, "t/1", "one", 1);
    (void)expect_publish(c, "t/1", "two", 2);
    (void)expect_publish(c, "t/1", "three", 1);
    finish(c, &one);
    finish(c, &two);
    expect_nothing(c);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, raw_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(packet_identifiers_come_back_in_the_answers),
        T(qos_0_has_no_identifier),
        T(a_byte_order_mark_is_a_character),
        T(identifiers_of_ours_are_free_and_never_0),
        T(dup_is_said_of_what_is_sent_again_and_not_passed_on),
        T(the_sender_of_qos_1_waits_for_the_puback),
        T(the_receiver_of_qos_1_takes_every_packet_for_a_new_one),
        T(the_sender_of_qos_2_goes_four_steps_and_not_back),
        T(the_receiver_of_qos_2_passes_it_on_once),
        T(a_message_waits_in_every_matching_session),
        T(messages_of_one_publisher_stay_in_order),
        T(what_is_sent_matches_the_filter_and_nothing_is_normalized),
        T(a_wildcard_in_front_does_not_match_a_dollar),
        T(topics_have_65535_bytes_at_most),
        T(the_last_retained_message_of_a_topic_is_kept_with_its_qos),
        T(an_empty_retained_message_clears_and_is_not_kept),
        T(each_filter_gets_its_code_in_its_place),
        T(messages_go_out_with_the_lower_qos),
        T(the_same_filter_again_replaces_the_subscription),
        T(unsubscribing_compares_bytes_and_ends_new_deliveries_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
