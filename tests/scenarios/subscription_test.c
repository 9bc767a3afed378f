/* Who gets what: subscriptions and their options, limits, and the retained messages that greet them (MQTT5 3.3.1.3, 3.8,
 * 3.10). */
#include "harness.h"

#include <stdio.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

/* ---- subscriptions ---- */

static void overlapping_subscriptions_make_one_copy_with_all_identifiers(void **state)
{ /* MQTT5 [MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4] */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);
    struct mqtt_publish p;
    uint32_t id, sum = 0;
    size_t at = 0;

    client_subscribe_with(c, wish_filter("a/#", 0), 100, 1);
    (void)expect_suback(c, 1, 0);
    client_subscribe_with(c, wish_filter("a/+", 2), 20000, 2);
    (void)expect_suback(c, 2, 2);
    client_subscribe_with(c, wish_filter("a/b", 1), 0, 3);
    (void)expect_suback(c, 3, 1);
    client_publish(c, "a/b", "x", 2, 9);
    p = expect_publish(c, "a/b", "x", 2);
    while (mqtt_next_subscription_id(&p.properties, &at, &id))
        sum += id;
    assert_int_equal(sum, 20100);
    (void)expect_ack(c, MQTT_PUBREC, 9, MQTT_SUCCESS);
    expect_nothing(c);
}

static void more_identifiers_than_fit_make_a_further_copy(void **state)
{ /* MQTT5 [MQTT-3.3.4-5] */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);
    static const char *const filters[] = { "a/#", "a/+/#", "a/+/c", "a/b/#", "a/b/+", "a/b/c" };
    unsigned ids = 0, copies = 0;
    struct mqtt_frame frame;

    for (uint32_t i = 0; i < COUNT_OF(filters); i++) {
        client_subscribe_with(c, wish_filter(filters[i], 0), i + 1, 1);
        (void)expect_suback(c, 1, 0);
    }
    client_publish(c, "a/b/c", "x", 0, 0);
    while (client_next(c, &frame)) {
        struct mqtt_publish p;
        size_t at = 0;
        uint32_t id;

        assert_int_equal(mqtt_read_publish(&frame, MQTT_5, &p, NULL), ST_OK);
        while (mqtt_next_subscription_id(&p.properties, &at, &id))
            ids += id;
        copies++;
    }
    assert_int_equal(ids, 21);
    assert_int_equal(copies, 2);
}

static void no_local_keeps_our_own_messages_away(void **state)
{ /* MQTT5 [MQTT-3.8.3-3] */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL), *pub = client_connected(b, "p", ALL);
    struct mqtt_subscription want = wish_filter("a/#", 0);

    want.no_local = true;
    client_subscribe_with(c, want, 0, 1);
    (void)expect_suback(c, 1, 0);
    client_publish(c, "a/b", "mine", 0, 0);
    client_publish(pub, "a/b", "theirs", 0, 0);
    (void)expect_publish(c, "a/b", "theirs", 0);
}

static void subscribing_again_changes_the_options(void **state)
{ /* MQTT5 [MQTT-3.8.4-3] */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    client_subscribe(c, "a/b", 0, 0);
    client_subscribe(c, "a/b", 1, 1);
    assert_int_equal(STAT(b, subscriptions), 1);
    client_publish(c, "a/b", "x", 1, 1);
    (void)expect_publish(c, "a/b", "x", 1);
}

static void unsubscribing_says_what_was_there(void **state)
{ /* MQTT5 [MQTT-3.10.4-1], [MQTT-3.10.4-4] */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);
    struct mqtt_frame frame;
    struct mqtt_suback ack;

    client_subscribe(c, "a/b", 0, 0);
    for (int i = 0; i < 2; i++) {
        client_unsubscribe(c, "a/b");
        assert_true(client_next(c, &frame));
        assert_int_equal(mqtt_read_suback(&frame, MQTT_5, &ack, NULL), ST_OK);
        assert_int_equal(ack.type, MQTT_UNSUBACK);
        assert_int_equal(ack.reasons.p[0], i == 0 ? MQTT_SUCCESS : MQTT_NO_SUBSCRIPTION_EXISTED);
    }
    client_publish(c, "a/b", "x", 0, 0);
    expect_nothing(c);
}

static void shared_subscriptions_are_refused_where_they_are_switched_off(void **state)
{ /* MQTT5 3.2.2.3.13, 3.9.3 */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    b->settings.shared_subscriptions = false;
    client_subscribe(c, "$share/g/a/b", 0, MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
}

static void subscriptions_are_limited(void **state)
{
    struct bench *b = *state;
    struct conn_io *c;
    struct mqtt_subscription wants[4] = { wish_filter("a/1", 0), wish_filter("a/2", 0), wish_filter("a/3", 0),
                                          wish_filter("a/4", 0) };
    struct mqtt_suback ack;
    struct buf packet;

    b->settings.max_subscriptions = 3;
    b->settings.max_subscribe_filters = 2;
    b->settings.max_topic_levels = 5;
    c = client_connected(b, "c", ALL);
    buf_init(&packet, 1 << 16);
    mqtt_write_subscribe(&packet, MQTT_5, 9, NULL, wants, 4);
    client_send(c, buf_span(&packet));
    ack = expect_suback(c, 9, 0);
    assert_memory_equal(ack.reasons.p, "\x00\x00\x97\x97", 4);
    client_subscribe(c, "a/3", 0, 0);
    client_subscribe(c, "a/4", 0, MQTT_QUOTA_EXCEEDED);
    client_subscribe(c, "a/b/c/d/e/f", 0, MQTT_TOPIC_FILTER_INVALID);
    client_publish(c, "a/b/c/d/e/f", "x", 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_TOPIC_NAME_INVALID);
    buf_done(&packet);
}

/* ---- retained messages ---- */

static void retained_messages_greet_new_subscriptions(void **state)
{ /* MQTT5 3.3.1.3, 3.8.3.1 */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c = client_connected(b, "c", ALL);
    struct publish_wish wish = { .topic = "a/r", .payload = "kept", .qos = 1, .packet_id = 1, .retain = true };
    struct mqtt_subscription want = wish_filter("a/#", 1);

    client_publish_with(pub, &wish);
    client_subscribe(c, "a/#", 1, 1);
    assert_true(expect_publish(c, "a/r", "kept", 1).retain);
    want.retain_handling = 1; /* only if new */
    client_subscribe_with(c, want, 5, 2);
    (void)expect_suback(c, 2, 1);
    expect_nothing(c);
    want.retain_handling = 2; /* never */
    client_unsubscribe(c, "a/#");
    c->in_at = c->in.len;
    client_subscribe_with(c, want, 5, 3);
    (void)expect_suback(c, 3, 1);
    expect_nothing(c);
    want.retain_handling = 0; /* always, with its identifier */
    client_subscribe_with(c, want, 5, 4);
    (void)expect_suback(c, 4, 1);
    assert_int_equal(expect_publish(c, "a/r", "kept", 1).properties.subscription_id, 5);

    client_publish_with(pub, &wish); /* live: without the flag, unless asked for as published */
    assert_false(expect_publish(c, "a/r", "kept", 1).retain);
    want.retain_as_published = true;
    want.retain_handling = 2;
    client_subscribe_with(c, want, 0, 5);
    (void)expect_suback(c, 5, 1);
    client_publish_with(pub, &wish);
    assert_true(expect_publish(c, "a/r", "kept", 1).retain);
}

static void qos_0_does_not_wait_for_the_acknowledgement_of_a_retained_message(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL);
    struct connect_wish narrow = { .id = "c", .scope = ALL, .receive_maximum = 1 };
    struct conn_io *c = client_connected_with(b, &narrow);

    client_publish_with(pub, &(struct publish_wish){
                                 .topic = "a/r", .payload = "kept", .qos = 1, .packet_id = 1, .retain = true });
    client_subscribe(c, "a/#", 1, 1);
    (void)expect_publish(c, "a/r", "kept", 1); /* not acknowledged: the window is full */
    client_publish_with(pub, &(struct publish_wish){ .topic = "a/x", .payload = "live" });
    (void)expect_publish(c, "a/x", "live", 0);
}

static void an_empty_retained_message_clears(void **state)
{ /* MQTT5 [MQTT-3.3.1-6], [MQTT-3.3.1-7] */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    client_publish_with(c, &(struct publish_wish){ .topic = "a/r", .payload = "kept", .retain = true });
    assert_int_equal(STAT(b, retained_messages), 1);
    client_publish_with(c, &(struct publish_wish){ .topic = "a/r", .payload = "", .retain = true });
    assert_int_equal(STAT(b, retained_messages), 0);
    client_subscribe(c, "a/#", 0, 0);
    expect_nothing(c);
}

static void a_retained_will_is_kept(void **state)
{ /* MQTT5 [MQTT-3.1.2-15] */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    client_drop(client_connected_with(
        b, &(struct connect_wish){ .id = "w", .scope = ALL, .will_topic = "a/w", .will_retain = true }));
    client_subscribe(c, "a/w", 0, 0);
    assert_true(expect_publish(c, "a/w", "gone", 0).retain);
}

static void many_retained_messages_wait_for_a_slow_reader(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c;
    struct mqtt_frame frame;
    unsigned n = 0;

    b->settings.max_output_bytes = 1000;
    b->settings.max_queue_messages = 10;
    for (int i = 0; i < 200; i++) {
        char topic[32];

        snprintf(topic, sizeof topic, "a/%d", i);
        client_publish_with(pub, &(struct publish_wish){ .topic = topic, .payload = "kept", .retain = true });
    }
    c = client_connected(b, "c", ALL);
    c->stuck = true;
    client_subscribe(c, "a/#", 0, 0);
    while (c->stuck) {
        while (client_next(c, &frame))
            n++;
        if (n == 200)
            break;
        c->pending = 0;
        shard_output_drained(b->shard[0], c->conn, b->now);
    }
    assert_int_equal(n, 200);
    assert_int_equal(STAT(b, dropped_retained), 0);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(overlapping_subscriptions_make_one_copy_with_all_identifiers),
        T(more_identifiers_than_fit_make_a_further_copy),
        T(no_local_keeps_our_own_messages_away),
        T(subscribing_again_changes_the_options),
        T(unsubscribing_says_what_was_there),
        T(shared_subscriptions_are_refused_where_they_are_switched_off),
        T(subscriptions_are_limited),
        T(retained_messages_greet_new_subscriptions),
        T(qos_0_does_not_wait_for_the_acknowledgement_of_a_retained_message),
        T(an_empty_retained_message_clears),
        T(a_retained_will_is_kept),
        T(many_retained_messages_wait_for_a_slow_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
