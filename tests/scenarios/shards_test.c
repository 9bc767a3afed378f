/* Several workers: what one of them does holds on all of them (shard/shard.h, subscribe.c). The order in which
 * shards take their turns is scripted, so that the races are the same each time. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

static struct conn_io *connected_at(struct bench *b, unsigned shard, const char *prefix)
{
    char id[32];

    name_of_shard(b, shard, prefix, id);
    b->next_shard = shard;
    return client_connected(b, id, ALL);
}

static void a_connection_moves_once_to_its_home(void **state)
{ /* design 3.1 */
    struct bench *b = bench_new(3);
    char id[32];

    name_of_shard(b, 2, "c", id);
    for (unsigned at = 0; at < 3; at++) {
        struct conn_io *c;

        b->next_shard = at;
        c = client_connected(b, id, ALL);
        assert_int_equal(c->at, 2);
        assert_int_equal(c->moves, at == 2 ? 0 : 1);
        client_subscribe(c, "a/b", 0, 0);
    }
    assert_int_equal(STAT(b, sessions), 1);
    assert_int_equal(STAT(b, connections), 1);
    assert_int_equal(STAT(b, connections_moved), 2);
    assert_int_equal(STAT(b, connections_accepted), 3);
    assert_int_equal(STAT(b, sessions_taken_over), 2);
    bench_free(b);
    (void)state;
}

static void an_assigned_identifier_is_at_home_where_it_was_assigned(void **state)
{ /* MQTT5 [MQTT-3.1.3-6] */
    struct bench *b = bench_new(3);

    for (unsigned at = 0; at < 3; at++) {
        struct conn_io *c;
        struct mqtt_connack ack;

        b->next_shard = at;
        c = client_new(b);
        client_connect(c, &(struct connect_wish){ .id = "", .scope = ALL, .sub = "s" });
        ack = expect_connack(c, MQTT_SUCCESS);
        assert_int_equal(c->moves, 0);
        assert_int_equal(shard_home(&b->settings, 3, ack.properties.assigned_client_id), at);
    }
    bench_free(b);
    (void)state;
}

static void messages_cross_shards_and_come_once(void **state)
{
    struct bench *b = bench_new(3);
    struct conn_io *subs[3][2], *pub;

    for (unsigned i = 0; i < 3; i++) {
        subs[i][0] = connected_at(b, i, "plain");
        subs[i][1] = connected_at(b, i, "wild");
        client_subscribe(subs[i][0], "a/x", 1, 1);
        client_subscribe(subs[i][1], "a/+", 2, 2);
    }
    for (unsigned i = 0; i < 3; i++) {
        pub = connected_at(b, i, "pub");
        client_publish(pub, "a/x", "m", 2, 1);
        for (unsigned k = 0; k < 3; k++) {
            (void)expect_publish(subs[k][0], "a/x", "m", 1);
            expect_nothing(subs[k][0]);
            (void)expect_publish(subs[k][1], "a/x", "m", 2);
            expect_nothing(subs[k][1]);
        }
    }
    bench_free(b);
    (void)state;
}

static void shards_without_subscribers_are_left_alone(void **state)
{
    struct bench *b = bench_new(3);
    struct conn_io *pub = connected_at(b, 0, "pub"), *sub = connected_at(b, 1, "sub");

    client_subscribe(sub, "a/x", 0, 0);
    b->manual = true;
    client_publish(pub, "a/x", "m", 0, 0);
    (void)bench_turn(b, 0);
    assert_null(b->inbox[2]);
    assert_non_null(b->inbox[1]);
    b->manual = false;
    bench_run(b);
    client_unsubscribe(sub, "a/x");
    b->manual = true;
    client_publish(pub, "a/x", "m", 0, 0);
    (void)bench_turn(b, 0);
    assert_null(b->inbox[1]);
    bench_free(b);
    (void)state;
}

/* Whatever the order of turns: what is published after the SUBACK was seen is delivered. */
static void what_is_published_after_the_suback_arrives(void **state)
{
    for (unsigned first = 0; first < 6; first++) {
        struct bench *b = bench_new(3);
        struct conn_io *sub = connected_at(b, 0, "sub"), *pub = connected_at(b, 1, "pub");
        struct mqtt_frame frame;
        bool acked = false;

        b->manual = true;
        client_subscribe_with(sub, wish_filter("a/x", 1), 0, 1);
        for (unsigned turn = first; !acked; turn++) {
            (void)bench_turn(b, (turn * 7 + turn / 3) % 3);
            acked = client_next(sub, &frame);
        }
        assert_int_equal(frame.type, MQTT_SUBACK);
        client_publish(pub, "a/x", "m", 1, 1);
        b->manual = false;
        bench_run(b);
        (void)expect_publish(sub, "a/x", "m", 1);
        (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
        bench_free(b);
    }
    (void)state;
}

static void the_suback_waits_for_every_shard(void **state)
{
    struct bench *b = bench_new(3);
    struct conn_io *sub = connected_at(b, 0, "sub");

    b->manual = true;
    client_subscribe_with(sub, wish_filter("a/x", 1), 0, 1);
    for (int i = 0; i < 5; i++) {
        (void)bench_turn(b, 0);
        (void)bench_turn(b, 1);
        expect_nothing(sub); /* shard 2 has not spoken */
    }
    assert_true(sub->paused);
    client_ping(sub);
    (void)bench_turn(b, 0);
    expect_nothing(sub);
    b->manual = false;
    bench_run(b);
    (void)expect_suback(sub, 1, 1);
    assert_false(sub->paused);
    bench_free(b);
    (void)state;
}

/* The second subscriber of a filter may not overtake the first, whose news is still under way. */
static void a_second_subscriber_waits_as_well(void **state)
{
    struct bench *b = bench_new(2);
    struct conn_io *one = connected_at(b, 0, "one"), *two = connected_at(b, 0, "two");

    b->manual = true;
    client_subscribe_with(one, wish_filter("a/x", 0), 0, 1);
    (void)bench_turn(b, 0);
    client_subscribe_with(two, wish_filter("a/x", 0), 0, 1);
    (void)bench_turn(b, 0);
    expect_nothing(one);
    expect_nothing(two);
    b->manual = false;
    bench_run(b);
    (void)expect_suback(one, 1, 0);
    (void)expect_suback(two, 1, 0);
    bench_free(b);
    (void)state;
}

static void retained_messages_are_found_wherever_they_live(void **state)
{ /* MQTT5 3.3.1.3 */
    struct bench *b = bench_new(3);
    struct conn_io *pub = connected_at(b, 0, "pub");
    char topics[3][32];

    for (unsigned i = 0; i < 3; i++) {
        name_of_shard(b, i, "a/", topics[i]);
        client_publish_with(pub, &(struct publish_wish){ .topic = topics[i], .payload = "r", .retain = true });
    }
    assert_int_equal(STAT(b, retained_messages), 3);
    for (unsigned i = 0; i < 3; i++) {
        struct conn_io *c = connected_at(b, i, "c");
        struct mqtt_frame frame;
        unsigned n = 0;

        for (unsigned k = 0; k < 3; k++) {
            client_subscribe(c, topics[k], 0, 0);
            assert_true(expect_publish(c, topics[k], "r", 0).retain);
        }
        client_subscribe(c, "a/#", 0, 0);
        while (client_next(c, &frame))
            n++;
        assert_int_equal(n, 3);
    }
    bench_free(b);
    (void)state;
}

/* A SUBSCRIBE of twenty filters for the same six messages: not more than max_retained_backlog of them altogether; and the
 * PINGREQ behind it is answered behind it (MQTT5 4.6). */
static void many_filters_find_retained_messages_within_one_limit_and_in_order(void **state)
{
    static const char *const topics[] = { "a/0", "a/1", "a/2", "a/3", "a/4", "a/5" };
    struct mqtt_subscription want[20];
    struct bench *b = bench_new(3);
    struct conn_io *pub = client_connected(b, "pub", ALL), *c = client_connected(b, "c", ALL);
    struct mqtt_frame frame;
    struct buf bytes;
    unsigned count = 0;

    (void)state;
    b->settings.max_retained_backlog = 30;
    for (size_t i = 0; i < COUNT_OF(topics); i++)
        client_publish_with(pub, &(struct publish_wish){ .topic = topics[i], .payload = "r", .retain = true });
    for (size_t i = 0; i < COUNT_OF(want); i++)
        want[i] = (struct mqtt_subscription){ .filter = { SPAN("a/#") } };
    buf_init(&bytes, 1024);
    mqtt_write_subscribe(&bytes, MQTT_5, 7, NULL, want, COUNT_OF(want));
    mqtt_write_ping(&bytes, MQTT_PINGREQ);
    client_send(c, buf_span(&bytes));
    bench_run(b);
    assert_true(client_next(c, &frame));
    assert_int_equal(frame.type, MQTT_SUBACK);
    while (client_next(c, &frame) && frame.type == MQTT_PUBLISH)
        count++;
    assert_int_equal(frame.type, MQTT_PINGRESP);
    assert_int_equal(count, 30);
    buf_done(&bytes);
    bench_free(b);
}

/* The last thing a subscriber hears of a topic is the newest, although the retained message came from one shard
 * and the live one from another while the SUBSCRIBE was under way. */
static void a_retained_message_never_comes_after_a_newer_one(void **state)
{
    for (unsigned cut = 0; cut < 8; cut++) {
        struct bench *b = bench_new(3);
        struct conn_io *pub = connected_at(b, 1, "pub"), *sub = connected_at(b, 0, "sub");
        struct mqtt_frame frame;
        struct mqtt_publish p;
        char topic[32], last[8] = "";

        name_of_shard(b, 2, "a/", topic);
        client_publish_with(pub, &(struct publish_wish){ .topic = topic, .payload = "old", .retain = true });
        b->manual = true;
        client_subscribe_with(sub, wish_filter("a/#", 0), 0, 1);
        for (unsigned turn = 0; turn < cut; turn++)
            (void)bench_turn(b, turn % 3);
        client_publish_with(pub, &(struct publish_wish){ .topic = topic, .payload = "new", .retain = true });
        b->manual = false;
        bench_run(b);
        (void)expect_suback(sub, 1, 0);
        while (client_next(sub, &frame)) {
            assert_int_equal(mqtt_read_publish(&frame, MQTT_5, &p, NULL), ST_OK);
            snprintf(last, sizeof last, "%.*s", SPAN_FMT(p.payload));
        }
        assert_string_equal(last, "new");
        bench_free(b);
    }
    (void)state;
}

static void a_client_may_go_in_the_middle_of_a_subscribe(void **state)
{
    for (unsigned cut = 0; cut < 8; cut++) {
        for (unsigned keep = 0; keep < 2; keep++) {
            struct bench *b = bench_new(3);
            char id[32];
            struct conn_io *sub, *pub = connected_at(b, 1, "pub");

            name_of_shard(b, 0, "sub", id);
            sub = client_connected_with(
                b, &(struct connect_wish){ .id = id, .scope = ALL, .expiry_s = keep == 0 ? 0 : 100 });
            b->manual = true;
            client_subscribe_with(sub, wish_filter("a/#", 1), 0, 1);
            for (unsigned turn = 0; turn < cut; turn++)
                (void)bench_turn(b, turn % 3);
            client_drop(sub);
            b->manual = false;
            bench_run(b);
            client_publish(pub, "a/x", "m", 1, 1);
            (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
            if (keep == 1) {
                sub = client_new(b);
                client_connect(
                    sub, &(struct connect_wish){ .id = id, .scope = ALL, .resume = true, .expiry_s = 100 });
                assert_true(expect_connack(sub, MQTT_SUCCESS).session_present);
                if (STAT(b, subscriptions) == 1)
                    (void)expect_publish(sub, "a/x", "m", 1);
            }
            assert_true(STAT(b, subscriptions) <= keep);
            bench_free(b);
        }
    }
    (void)state;
}

static void a_broker_may_stop_in_the_middle_of_everything(void **state)
{
    for (unsigned cut = 0; cut < 8; cut++) {
        struct bench *b = bench_new(3);
        struct conn_io *sub = connected_at(b, 0, "sub"), *pub = connected_at(b, 1, "pub");

        b->manual = true;
        client_subscribe_with(sub, wish_filter("a/#", 1), 0, 1);
        client_publish_with(pub, &(struct publish_wish){ .topic = "a/x", .payload = "m", .retain = true });
        for (unsigned turn = 0; turn < cut; turn++)
            (void)bench_turn(b, turn % 3);
        bench_free(b); /* the sanitizers look for what was left behind */
    }
    (void)state;
}

static void wills_cross_shards(void **state)
{ /* MT-112 */
    struct bench *b = bench_new(2);
    struct conn_io *watcher = connected_at(b, 0, "w");
    char id[32];

    name_of_shard(b, 1, "c", id);
    client_subscribe(watcher, "a/gone", 1, 1);
    client_drop(client_connected_with(
        b, &(struct connect_wish){ .id = id, .scope = ALL, .will_topic = "a/gone", .will_qos = 1 }));
    (void)expect_publish(watcher, "a/gone", "gone", 1);
    bench_free(b);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_moves_once_to_its_home),
        cmocka_unit_test(an_assigned_identifier_is_at_home_where_it_was_assigned),
        cmocka_unit_test(messages_cross_shards_and_come_once),
        cmocka_unit_test(shards_without_subscribers_are_left_alone),
        cmocka_unit_test(what_is_published_after_the_suback_arrives),
        cmocka_unit_test(the_suback_waits_for_every_shard),
        cmocka_unit_test(a_second_subscriber_waits_as_well),
        cmocka_unit_test(retained_messages_are_found_wherever_they_live),
        cmocka_unit_test(a_retained_message_never_comes_after_a_newer_one),
        cmocka_unit_test(many_filters_find_retained_messages_within_one_limit_and_in_order),
        cmocka_unit_test(a_client_may_go_in_the_middle_of_a_subscribe),
        cmocka_unit_test(a_broker_may_stop_in_the_middle_of_everything),
        cmocka_unit_test(wills_cross_shards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
