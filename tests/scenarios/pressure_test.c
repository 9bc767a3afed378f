/* Memory in all: at the low mark publishers are slowed, at the high one new work is refused, below them all is as before.
 * What was acknowledged meanwhile is there. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#define ALL   "[[\"a/#\",[\"pub\",\"sub\"]]]"
#define LIMIT ((uint64_t)8 * 1024 * 1024)

static struct bench *bench_of(unsigned shards)
{
    struct bench *b = bench_new(shards);

    bench_bounds(b, (struct pressure_limits){ .memory = LIMIT, .low_percent = 50, .high_percent = 75 });
    b->settings.max_queue_bytes = SIZE_MAX / 2;
    return b;
}

static int set_up_1(void **state)
{
    *state = bench_of(1);
    return 0;
}

static int set_up_3(void **state)
{
    *state = bench_of(3);
    return 0;
}

static struct conn_io *lasting(struct bench *b, const char *id, bool v3)
{
    return client_connected_with(
        b, &(struct connect_wish){ .id = id, .scope = ALL, .resume = true, .expiry_s = 1000, .v3 = v3 });
}

static void absent(struct bench *b, const char *id)
{
    struct conn_io *c = lasting(b, id, false);

    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    client_drop(c);
}

static char big[10001];

/* Publishes ten thousand bytes, numbered, and takes the answer; while the broker does not listen, time passes. */
static uint8_t publish(struct conn_io *c, unsigned number)
{
    struct mqtt_frame frame;
    struct mqtt_ack ack;

    memset(big, 'x', sizeof big - 1);
    snprintf(big, sizeof big, "%u", number);
    big[strlen(big)] = ' ';
    client_publish(c, "a/b", big, 1, 1);
    for (int i = 0; i < 100 && c->paused; i++)
        bench_advance(c->b, 10);
    assert_true(client_next(c, &frame));
    assert_int_equal(frame.type, MQTT_PUBACK);
    assert_int_equal(mqtt_read_ack(&frame, c->version, &ack, NULL), ST_OK);
    return ack.reason;
}

/* Until that state is reached; how many were acknowledged. */
static unsigned fill(struct bench *b, struct conn_io *c, enum pressure_level to)
{
    unsigned n = 0;

    while (pressure_level(b->pressure) < to) {
        assert_int_equal(publish(c, n), MQTT_SUCCESS);
        n++;
        assert_true(n < 2000);
    }
    return n;
}

/* All of them, in their order; returns how many. */
static unsigned drain(struct conn_io *c)
{
    struct mqtt_frame frame;
    unsigned n = 0;

    while (client_next(c, &frame)) {
        struct mqtt_publish p;

        assert_int_equal(frame.type, MQTT_PUBLISH);
        assert_int_equal(mqtt_read_publish(&frame, c->version, &p, NULL), ST_OK);
        assert_int_equal(strtoul((const char *)p.payload.p, NULL, 10), n);
        n++;
        client_ack(c, MQTT_PUBACK, p.packet_id, MQTT_SUCCESS);
    }
    return n;
}

/* ---- the low mark ---- */

static void publishers_are_read_more_slowly(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *small = client_connected(b, "small", ALL);

    absent(b, "away");
    (void)fill(b, pub, PRESSURE_LOW);
    assert_int_equal(log_count(b, "memory_low"), 1);
    for (unsigned i = 0; i < 4 && !pub->paused; i++) /* more than a little in a second */
        client_publish(pub, "a/b", big, 0, 0);
    assert_true(pub->paused);
    assert_true(STAT(b, publishers_slowed) > 0);
    client_publish(small, "a/b", "little", 1, 1);
    assert_false(small->paused);
    (void)expect_ack(small, MQTT_PUBACK, 1, MQTT_SUCCESS);
    client_ping(small);
    bench_advance(b, 600);
    assert_false(pub->paused); /* for a time only */
    client_publish(pub, "a/b", "little", 1, 2);
    (void)expect_ack(pub, MQTT_PUBACK, 2, MQTT_SUCCESS);
}

static void the_more_the_nearer_the_high_mark_is(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL);
    unsigned first, last;

    absent(b, "away");
    (void)fill(b, pub, PRESSURE_LOW);
    first = pressure_slow(b->pressure);
    for (unsigned i = 0; i < 150; i++)
        (void)publish(pub, i);
    last = pressure_slow(b->pressure);
    assert_int_equal(pressure_level(b->pressure), PRESSURE_LOW);
    assert_true(first < 10 && last > 60);
}

static void who_is_not_read_from_is_not_taken_for_silent(void **state)
{ /* MQTT5 [MQTT-3.1.2-22] */
    struct bench *b = *state;
    struct conn_io *pub =
        client_connected_with(b, &(struct connect_wish){ .id = "pub", .scope = ALL, .keep_alive_s = 1 });

    absent(b, "away");
    (void)fill(b, pub, PRESSURE_LOW);
    for (int round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 5; i++)
            client_publish(pub, "a/b", big, 0, 0);
        bench_advance(b, 500);
    }
    assert_false(pub->closed);
    assert_true(STAT(b, publishers_slowed) > 5);
}

static void a_new_connection_is_told_a_smaller_receive_maximum(void **state)
{ /* MQTT5 3.2.2.3.3, [MQTT-3.3.4-7] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c;
    struct mqtt_connack ack;

    b->settings.receive_maximum = 16;
    absent(b, "away");
    (void)fill(b, pub, PRESSURE_LOW);
    for (unsigned i = 0; i < 150; i++)
        (void)publish(pub, i);
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "new", .scope = ALL });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_in_range(ack.properties.receive_maximum, 2, 10);
    for (uint16_t i = 1; i <= ack.properties.receive_maximum; i++) {
        client_publish(c, "a/b", "x", 2, i);
        (void)expect_ack(c, MQTT_PUBREC, i, MQTT_SUCCESS);
    }
    client_publish(c, "a/b", "x", 2, 100); /* who was told less is held to it */
    (void)expect_disconnect(c, MQTT_RECEIVE_MAXIMUM_EXCEEDED);
}

/* ---- the high mark ---- */

static void new_work_is_refused_precisely(void **state)
{ /* MQTT5 3.2.2.2, 3.4.2.1, 3.5.2.1, 3.9.3: Quota exceeded */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c, *sub = client_connected(b, "sub", ALL);

    absent(b, "away");
    client_publish_with(pub, &(struct publish_wish){
                                 .topic = "a/kept", .payload = "x", .qos = 1, .packet_id = 9, .retain = true });
    (void)expect_ack(pub, MQTT_PUBACK, 9, MQTT_SUCCESS);
    (void)fill(b, pub, PRESSURE_HIGH);
    assert_int_equal(log_count(b, "memory_high"), 1);
    assert_int_equal(publish(pub, 0), MQTT_QUOTA_EXCEEDED);
    assert_true(log_has(b, "publish_refused", "limits.memory"));
    client_publish(sub, "a/b", "x", 2, 7);
    (void)expect_ack(sub, MQTT_PUBREC, 7, MQTT_QUOTA_EXCEEDED);
    client_publish_with(sub, &(struct publish_wish){
                                 .topic = "a/r", .payload = "x", .qos = 1, .packet_id = 8, .retain = true });
    (void)expect_ack(sub, MQTT_PUBACK, 8, MQTT_QUOTA_EXCEEDED);
    client_subscribe(sub, "a/#", 1, MQTT_QUOTA_EXCEEDED);
    client_publish(sub, "a/b", "x", 0, 0);
    assert_int_equal(STAT(b, dropped_pressure), 1);
    assert_false(sub->closed);
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "new", .scope = ALL });
    expect_refused(c, MQTT_QUOTA_EXCEEDED, "limits.memory");
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "", .scope = ALL });
    expect_refused(c, MQTT_QUOTA_EXCEEDED, "limits.memory");
    client_publish_with(sub, &(struct publish_wish){
                                 .topic = "a/kept", .payload = "", .qos = 1, .packet_id = 8, .retain = true });
    (void)expect_ack(sub, MQTT_PUBACK, 8, MQTT_SUCCESS); /* that makes room */
    assert_int_equal(STAT(b, retained_messages), 0);
    client_ping(sub);
}

static void in_3_1_1_with_what_there_is_to_say_it(void **state)
{ /* MQTT311 3.2.2.3, [MQTT-3.9.3-2], [MQTT-3.3.5-2] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c;
    struct conn_io *old =
        client_connected_with(b, &(struct connect_wish){ .id = "o", .scope = ALL, .v3 = true });

    absent(b, "away");
    (void)fill(b, pub, PRESSURE_HIGH);
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "new", .scope = ALL, .v3 = true });
    expect_refused3(c, MQTT3_SERVER_UNAVAILABLE);
    client_subscribe(old, "a/#", 1, MQTT_UNSPECIFIED_ERROR);
    client_publish(old, "a/b", "x", 0, 0);
    assert_false(old->closed);
    client_publish(old, "a/b", "x", 1, 1);
    expect_closed(old);
}

static void who_has_a_session_comes_back_and_takes_what_waits(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub, *c;
    unsigned sent;

    for (unsigned at = 0; at < b->count; at++) { /* wherever it is at home */
        char id[32];

        log_forget(b);
        name_of_shard(b, at, "away", id);
        pub = client_connected(b, "pub", ALL);
        absent(b, id);
        sent = fill(b, pub, PRESSURE_HIGH);
        assert_int_equal(publish(pub, sent), MQTT_QUOTA_EXCEEDED);
        c = lasting(b, id, false);
        assert_int_equal(drain(c), sent); /* no less than was acknowledged, and no more */
        assert_int_equal(pressure_level(b->pressure), PRESSURE_NORMAL);
        assert_int_equal(log_count(b, "memory_high"), 1);
        assert_int_equal(log_count(b, "memory_normal"), 1);
        assert_int_equal(publish(pub, 0), MQTT_SUCCESS);
        client_subscribe(pub, "a/#", 1, MQTT_GRANTED_QOS_1);
        (void)client_connected(b, "new", ALL);
        client_bye(pub);
        assert_int_equal(drain(c), 1);
        client_unsubscribe(c, "a/#");
    }
}

/* Most clients subscribe whenever they connect, whether their session has it already or not. */
static void and_may_subscribe_to_what_it_had(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *sub = client_connected(b, "sub", ALL);

    absent(b, "away");
    client_subscribe(sub, "a/c", 1, MQTT_GRANTED_QOS_1);
    (void)fill(b, pub, PRESSURE_HIGH);
    client_subscribe(sub, "a/c", 0, MQTT_SUCCESS);
    client_subscribe(sub, "a/d", 0, MQTT_QUOTA_EXCEEDED);
}

static void one_without_end_never_gets_beyond_the_limit(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub[6];
    unsigned refused = 0;
    char id[32];

    for (unsigned i = 0; i < 30; i++) {
        snprintf(id, sizeof id, "away%u", i);
        absent(b, id);
    }
    for (unsigned i = 0; i < COUNT_OF(pub); i++) {
        snprintf(id, sizeof id, "pub%u", i);
        pub[i] = client_connected(b, id, ALL);
    }
    for (unsigned i = 0; i < 3000; i++) {
        refused += publish(pub[i % COUNT_OF(pub)], i) != MQTT_SUCCESS;
        assert_true(pressure_accounted(b->pressure) < LIMIT);
    }
    assert_true(refused > 0);
}

/* ---- what the system sees ---- */

static void what_is_resident_counts_if_it_is_more(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    pressure_resident(b->pressure, LIMIT / 100 * 80, NULL); /* a leak, or fragments */
    client_subscribe(c, "a/#", 1, MQTT_QUOTA_EXCEEDED);
    assert_int_equal(log_count(b, "memory_high"), 1);
    pressure_resident(b->pressure, LIMIT / 100 * 60, NULL);
    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    assert_int_equal(log_count(b, "memory_low"), 1);
    pressure_resident(b->pressure, LIMIT / 100 * 48, NULL); /* not yet far enough */
    assert_int_equal(log_count(b, "memory_normal"), 0);
    pressure_resident(b->pressure, LIMIT / 100 * 40, NULL);
    assert_int_equal(log_count(b, "memory_normal"), 1);
}

static void without_a_limit_nothing_of_it_happens(void **state)
{
    struct bench *b = bench_new(1);
    struct conn_io *pub;

    (void)state;
    bench_bounds(b, (struct pressure_limits){ 0 });
    pub = client_connected(b, "pub", ALL);
    absent(b, "away");
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(publish(pub, i), MQTT_SUCCESS);
    pressure_resident(b->pressure, UINT64_MAX / 2, NULL);
    assert_int_equal(publish(pub, 0), MQTT_SUCCESS);
    bench_free(b);
}

int main(void)
{
#define TEST_OF(shards, name) cmocka_unit_test_setup_teardown(name, set_up_##shards, bench_tear_down)
    const struct CMUnitTest tests[] = {
        TEST_OF(3, publishers_are_read_more_slowly),
        TEST_OF(1, the_more_the_nearer_the_high_mark_is),
        TEST_OF(1, who_is_not_read_from_is_not_taken_for_silent),
        TEST_OF(1, a_new_connection_is_told_a_smaller_receive_maximum),
        TEST_OF(3, new_work_is_refused_precisely),
        TEST_OF(1, in_3_1_1_with_what_there_is_to_say_it),
        TEST_OF(1, who_has_a_session_comes_back_and_takes_what_waits),
        TEST_OF(3, who_has_a_session_comes_back_and_takes_what_waits),
        TEST_OF(3, and_may_subscribe_to_what_it_had),
        TEST_OF(3, one_without_end_never_gets_beyond_the_limit),
        TEST_OF(1, what_is_resident_counts_if_it_is_more),
        cmocka_unit_test(without_a_limit_nothing_of_it_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
