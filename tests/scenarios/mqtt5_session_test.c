/* MQTT 5.0, statement by statement: sessions, the delivery protocols, order and flow control (sections 4.1 to 4.6 and 4.9). */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- how long a session lives ---- */

static void no_session_ends_while_its_connection_is_open(void **state)
{ /* MQTT5 [MQTT-4.1.0-1]: its expiry begins with the end of the connection */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false);

    subscribe(c, "t", 1);
    bench_advance(b, 250000); /* twice and a half its expiry */
    publish_whole(guest(b, "p"), "t", "x", 1, false);
    (void)expect_publish(c, "t", "x", 1);
    client_drop(c);
    bench_advance(b, 99000);
    (void)back(b, "c", true);
}

static void a_session_is_forgotten_when_its_time_is_over(void **state)
{ /* MQTT5 [MQTT-4.1.0-2]: subscriptions, messages and all */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false), *pub = guest(b, "p");

    subscribe(c, "t", 1);
    client_drop(c);
    publish_whole(pub, "t", "x", 1, false);
    assert_int_equal(STAT(b, queued_messages), 1);
    bench_advance(b, 101000);
    assert_int_equal(STAT(b, queued_messages), 0);
    assert_int_equal(STAT(b, subscriptions), 0);
    assert_int_equal(STAT(b, sessions), 1);
    c = back(b, "c", false);
    expect_nothing(c);
}

/* ---- QoS 0 ---- */

static void qos_0_is_sent_once_and_wants_no_answer(void **state)
{ /* MQTT5 [MQTT-4.3.1-1] */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false);

    subscribe(c, "t", 1);
    client_publish(guest(b, "p"), "t", "x", 0, 0);
    raw_expect(c, "30 05 0001 't' 00 'x'");
    client_drop(c);
    c = back(b, "c", true);
    expect_nothing(c); /* not again */
}

/* ---- QoS 1 ---- */

static void qos_1_is_unacknowledged_until_its_puback(void **state)
{ /* MQTT5 [MQTT-4.3.2-1] to [MQTT-4.3.2-3], [MQTT-4.4.0-1] */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false), *pub = guest(b, "p");
    struct mqtt_publish one, two;

    subscribe(c, "t", 1);
    publish_whole(pub, "t", "one", 1, false);
    publish_whole(pub, "t", "two", 1, false);
    one = expect_publish(c, "t", "one", 1);
    two = expect_publish(c, "t", "two", 1);
    assert_false(one.dup || two.dup);
    assert_int_not_equal(one.packet_id, two.packet_id);
    bench_advance(b, 3600000); /* while the connection lives nothing is sent again, ever */
    expect_nothing(c);
    client_ack(c, MQTT_PUBACK, one.packet_id, MQTT_SUCCESS);
    client_drop(c);
    c = back(b, "c", true);
    assert_int_equal(expect_publish(c, "t", "two", 1).packet_id, two.packet_id);
    expect_nothing(c);
    client_drop(c);
    c = back(b, "c", true); /* and again, until it is acknowledged */
    assert_int_equal(expect_publish(c, "t", "two", 1).packet_id, two.packet_id);
    client_ack(c, MQTT_PUBACK, two.packet_id, MQTT_SUCCESS);
    client_drop(c);
    c = back(b, "c", true);
    expect_nothing(c);
}

static void an_acknowledged_identifier_means_a_new_message(void **state)
{ /* MQTT5 [MQTT-4.3.2-4], [MQTT-4.3.2-5]: whatever DUP says */
    struct bench *b = *state;
    struct conn_io *c = guest(b, "c"), *pub = guest(b, "p");

    subscribe(c, "t", 1);
    for (int i = 0; i < 3; i++) {
        client_publish_with(pub, &(struct publish_wish){
                                     .topic = "t", .payload = "x", .qos = 1, .packet_id = 5, .dup = i == 2 });
        (void)expect_ack(pub, MQTT_PUBACK, 5, MQTT_SUCCESS);
        (void)expect_publish(c, "t", "x", 1);
    }
    expect_nothing(c);
}

/* ---- QoS 2 ---- */

static void qos_2_is_sent_in_four_steps_and_each_is_repeated_until_the_next(void **state)
{ /* MQTT5 [MQTT-4.3.3-1] to [MQTT-4.3.3-6], [MQTT-4.4.0-1] */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false), *pub = guest(b, "p");
    struct mqtt_publish one, two, three;

    subscribe(c, "t", 2);
    publish_whole(pub, "t", "one", 2, false);
    publish_whole(pub, "t", "two", 2, false);
    one = expect_publish(c, "t", "one", 2);
    two = expect_publish(c, "t", "two", 2);
    assert_false(one.dup || two.dup);
    assert_int_not_equal(one.packet_id, two.packet_id);
    bench_advance(b, 3600000);
    expect_nothing(c);
    client_drop(c);
    c = back(b, "c", true); /* both without PUBREC */
    assert_int_equal(expect_publish(c, "t", "one", 2).packet_id, one.packet_id);
    assert_int_equal(expect_publish(c, "t", "two", 2).packet_id, two.packet_id);
    client_ack(c, MQTT_PUBREC, one.packet_id, MQTT_SUCCESS);
    (void)expect_ack(c, MQTT_PUBREL, one.packet_id, MQTT_SUCCESS);
    publish_whole(pub, "t", "three", 2, false); /* neither identifier is free yet */
    three = expect_publish(c, "t", "three", 2);
    assert_true(three.packet_id != one.packet_id && three.packet_id != two.packet_id);
    bench_advance(b, 3600000);
    expect_nothing(c);
    for (int i = 0; i < 2; i++) { /* one: PUBREL instead of PUBLISH from now on, until PUBCOMP */
        client_drop(c);
        c = back(b, "c", true);
        (void)expect_ack(c, MQTT_PUBREL, one.packet_id, MQTT_SUCCESS);
        assert_true(expect_publish(c, "t", "two", 2).dup);
        assert_true(expect_publish(c, "t", "three", 2).dup);
        expect_nothing(c);
    }
    client_ack(c, MQTT_PUBCOMP, one.packet_id, MQTT_SUCCESS);
    finish(c, &two);
    finish(c, &three);
    client_drop(c);
    c = back(b, "c", true);
    expect_nothing(c);
}

static void a_message_of_qos_2_is_taken_once(void **state)
{ /* MQTT5 [MQTT-4.3.3-8], [MQTT-4.3.3-10] to [MQTT-4.3.3-12] */
    struct bench *b = *state;
    struct conn_io *c = guest(b, "c"), *pub = back(b, "p", false);
    struct publish_wish wish = { .topic = "t", .payload = "x", .qos = 2, .packet_id = 5 };

    subscribe(c, "t", 0);
    for (int i = 0; i < 4; i++) { /* again and again, over a reconnect too */
        client_publish_with(pub, &wish);
        (void)expect_ack(pub, MQTT_PUBREC, 5, MQTT_SUCCESS);
        wish.dup = i % 2 == 0;
        if (i == 1) {
            client_drop(pub);
            pub = back(b, "p", true);
        }
    }
    (void)expect_publish(c, "t", "x", 0);
    expect_nothing(c);
    client_ack(pub, MQTT_PUBREL, 5, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBCOMP, 5, MQTT_SUCCESS);
    client_publish_with(pub, &wish); /* now it is a new one, even with DUP */
    (void)expect_ack(pub, MQTT_PUBREC, 5, MQTT_SUCCESS);
    (void)expect_publish(c, "t", "x", 0);
    expect_nothing(c);
}

static void a_refused_message_of_qos_2_leaves_its_identifier_free(void **state)
{ /* MQTT5 [MQTT-4.3.3-9] */
    struct bench *b = *state;
    struct conn_io *c, *pub;

    bench_public(b, "[[\"t\",[\"pub\",\"sub\"]]]");
    c = guest(b, "c");
    pub = guest(b, "p");
    subscribe(c, "t", 0);
    client_publish(pub, "u", "x", 2, 5);
    (void)expect_ack(pub, MQTT_PUBREC, 5, MQTT_NOT_AUTHORIZED);
    client_publish(pub, "t", "x", 2, 5);
    (void)expect_ack(pub, MQTT_PUBREC, 5, MQTT_SUCCESS);
    (void)expect_publish(c, "t", "x", 0);
}

static void what_was_sent_once_expires_no_more(void **state)
{ /* MQTT5 [MQTT-4.3.3-7], [MQTT-4.3.3-13] */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false), *pub = back(b, "p", false);
    struct publish_wish wish = { .topic = "t", .payload = "x", .qos = 2, .packet_id = 5, .expiry_s = 5 };
    struct mqtt_publish p;

    subscribe(c, "t", 2);
    client_publish_with(pub, &wish);
    (void)expect_ack(pub, MQTT_PUBREC, 5, MQTT_SUCCESS);
    p = expect_publish(c, "t", "x", 2);
    client_drop(c);
    bench_advance(b, 60000);
    c = back(b, "c", true); /* long expired, but begun */
    assert_int_equal(expect_publish(c, "t", "x", 2).packet_id, p.packet_id);
    finish(c, &p);
    client_ack(pub, MQTT_PUBREL, 5, MQTT_SUCCESS); /* and the publisher's side goes on as well */
    (void)expect_ack(pub, MQTT_PUBCOMP, 5, MQTT_SUCCESS);
}

static void a_failure_acknowledges_too(void **state)
{ /* MQTT5 [MQTT-4.4.0-2], [MQTT-4.3.3-4]: not sent again, and no PUBREL */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false), *pub = guest(b, "p");

    subscribe(c, "t", 2);
    publish_whole(pub, "t", "one", 1, false);
    publish_whole(pub, "t", "two", 2, false);
    client_ack(c, MQTT_PUBACK, expect_publish(c, "t", "one", 1).packet_id, MQTT_QUOTA_EXCEEDED);
    client_ack(c, MQTT_PUBREC, expect_publish(c, "t", "two", 2).packet_id, MQTT_IMPLEMENTATION_ERROR);
    expect_nothing(c);
    client_drop(c);
    c = back(b, "c", true);
    expect_nothing(c);
    assert_int_equal(STAT(b, queued_messages), 0);
}

/* ---- who gets it, and in which order ---- */

static void every_matching_session_gets_the_message(void **state)
{ /* MQTT5 [MQTT-4.5.0-1]: of either shard, connected or not */
    struct bench *b = *state;
    struct conn_io *c[8], *pub = guest(b, "p");
    char id[8];

    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "c%d", i);
        c[i] = back(b, id, false);
        subscribe(c[i], i % 2 == 0 ? "t/#" : "t/+", 1);
        if (i % 4 >= 2)
            client_drop(c[i]);
    }
    publish_whole(pub, "t/1", "x", 1, false);
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "c%d", i);
        if (i % 4 >= 2)
            c[i] = back(b, id, true);
        (void)expect_publish(c[i], "t/1", "x", 1);
        expect_nothing(c[i]);
    }
}

static void messages_of_one_publisher_stay_in_order(void **state)
{ /* MQTT5 [MQTT-4.6.0-5], [MQTT-4.6.0-6], [MQTT-4.4.0-1]: each topic and QoS, live, from the queue, and again */
    struct bench *b = *state;
    struct conn_io *pub = guest(b, "p"), *c = client_new(b);
    char payload[8];

    client_connect(c,
                   &(struct connect_wish){
                       .id = "c", .no_method = true, .resume = true, .expiry_s = 100, .receive_maximum = 6 });
    (void)expect_connack(c, MQTT_SUCCESS);
    subscribe(c, "t", 2);
    for (int i = 0; i < 10; i++) {
        snprintf(payload, sizeof payload, "%d", i);
        publish_whole(pub, "t", payload, (uint8_t)(1 + i % 2), false);
    }
    for (int i = 0; i < 6; i++) { /* as many as fit, in order */
        snprintf(payload, sizeof payload, "%d", i);
        (void)expect_publish(c, "t", payload, (uint8_t)(1 + i % 2));
    }
    expect_nothing(c);
    client_drop(c);
    c = back(b, "c", true); /* all of them, the old ones first */
    for (int i = 0; i < 10; i++) {
        struct mqtt_publish p;

        snprintf(payload, sizeof payload, "%d", i);
        p = expect_publish(c, "t", payload, (uint8_t)(1 + i % 2));
        assert_int_equal(p.dup, i < 6);
    }
    expect_nothing(c);
}

/* ---- flow control ---- */

static struct conn_io *with_quota(struct bench *b, uint16_t receive_maximum)
{
    struct conn_io *c = guest_with(b, (struct connect_wish){ .id = "c", .receive_maximum = receive_maximum });

    subscribe(c, "t", 2);
    return c;
}

static void no_more_is_sent_than_the_quota_allows(void **state)
{ /* MQTT5 [MQTT-3.3.4-9], [MQTT-4.9.0-1], [MQTT-4.9.0-2] */
    struct bench *b = *state;

    for (uint16_t quota = 1; quota <= 5; quota++) {
        struct conn_io *pub = guest(b, "p"), *c = with_quota(b, quota);
        struct mqtt_publish p[12];

        for (int i = 0; i < 12; i++)
            publish_whole(pub, "t", "x", (uint8_t)(1 + i % 2), false);
        for (int i = 0; i < 12; i++) {
            p[i] = expect_publish(c, "t", "x", (uint8_t)(1 + i % 2));
            if (i + 1 < quota)
                continue;
            expect_nothing(c);
            if (p[i + 1 - quota].qos == 2) { /* PUBREC does not count yet, PUBCOMP does */
                client_ack(c, MQTT_PUBREC, p[i + 1 - quota].packet_id, MQTT_SUCCESS);
                (void)expect_ack(c, MQTT_PUBREL, p[i + 1 - quota].packet_id, MQTT_SUCCESS);
                expect_nothing(c);
                client_ack(c, MQTT_PUBCOMP, p[i + 1 - quota].packet_id, MQTT_SUCCESS);
            } else {
                client_ack(c, MQTT_PUBACK, p[i + 1 - quota].packet_id, MQTT_SUCCESS);
            }
        }
        expect_nothing(c);
        client_bye(c);
    }
}

static void a_refusing_pubrec_gives_the_quota_back(void **state)
{ /* MQTT5 [MQTT-3.3.4-9], 4.9 */
    struct bench *b = *state;
    struct conn_io *pub = guest(b, "p"), *c = with_quota(b, 1);

    publish_whole(pub, "t", "one", 2, false);
    publish_whole(pub, "t", "two", 2, false);
    client_ack(c, MQTT_PUBREC, expect_publish(c, "t", "one", 2).packet_id, MQTT_UNSPECIFIED_ERROR);
    (void)expect_publish(c, "t", "two", 2);
}

static void without_quota_everything_else_goes_on(void **state)
{ /* MQTT5 [MQTT-3.3.4-10], [MQTT-4.9.0-3] */
    struct bench *b = *state;
    struct conn_io *pub = guest(b, "p"), *c = with_quota(b, 1);

    publish_whole(pub, "t", "one", 1, false);
    publish_whole(pub, "t", "waits", 1, false);
    (void)expect_publish(c, "t", "one", 1);
    client_publish(pub, "t", "zero", 0, 0); /* QoS 0 has no quota */
    (void)expect_publish(c, "t", "zero", 0);
    client_ping(c);
    raw_expect(c, "d000");
    raw_send(c, "82 07 0001 00 0001 'u' 00 a2 06 0002 00 0001 'u'");
    raw_expect(c, "90 04 0001 00 00 b0 04 0002 00 00");
    client_publish(c, "v", "x", 1, 9);
    (void)expect_ack(c, MQTT_PUBACK, 9, MQTT_SUCCESS);
    client_publish(c, "v", "x", 2, 10);
    (void)expect_ack(c, MQTT_PUBREC, 10, MQTT_SUCCESS);
    client_ack(c, MQTT_PUBREL, 10, MQTT_SUCCESS);
    (void)expect_ack(c, MQTT_PUBCOMP, 10, MQTT_SUCCESS);
    expect_nothing(c);
}

static void what_is_too_large_counts_as_sent(void **state)
{ /* MQTT5 [MQTT-3.1.2-24], [MQTT-3.1.2-25]: it takes neither quota nor identifier for good, and does not hold up the others */
    struct bench *b = *state;
    struct conn_io *pub = guest(b, "p"), *c;

    c = guest_with(b, (struct connect_wish){ .id = "c", .max_packet_bytes = 60, .receive_maximum = 1 });
    subscribe(c, "t", 2);
    for (uint8_t qos = 0; qos <= 2; qos++) {
        publish_whole(pub, "t", "this message is longer than all that its receiver takes as one packet", qos,
                      false);
        publish_whole(pub, "t", "short", qos, false);
        {
            struct mqtt_publish p = expect_publish(c, "t", "short", qos);

            finish(c, &p);
        }
        expect_nothing(c);
    }
    publish_whole(pub, "t", "12345678901234567890123456789012345678901234567890123", 1,
                  false); /* 61 bytes in all */
    publish_whole(pub, "t", "1234567890123456789012345678901234567890123456789012", 1, false); /* 60 */
    (void)expect_publish(c, "t", "1234567890123456789012345678901234567890123456789012", 1);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, raw_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(no_session_ends_while_its_connection_is_open),
        T(a_session_is_forgotten_when_its_time_is_over),
        T(qos_0_is_sent_once_and_wants_no_answer),
        T(qos_1_is_unacknowledged_until_its_puback),
        T(an_acknowledged_identifier_means_a_new_message),
        T(qos_2_is_sent_in_four_steps_and_each_is_repeated_until_the_next),
        T(a_message_of_qos_2_is_taken_once),
        T(a_refused_message_of_qos_2_leaves_its_identifier_free),
        T(what_was_sent_once_expires_no_more),
        T(a_failure_acknowledges_too),
        T(every_matching_session_gets_the_message),
        T(messages_of_one_publisher_stay_in_order),
        T(no_more_is_sent_than_the_quota_allows),
        T(a_refusing_pubrec_gives_the_quota_back),
        T(without_quota_everything_else_goes_on),
        T(what_is_too_large_counts_as_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
