/* Publications of QoS 2 between shards, step by step (shard/durable_post.h, docs/decisions/0024); durable_share_test.c crashes
 * after each of these steps. */
#include "harness.h"
#include "harness_disk.h"

#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

/* A client at home on that shard. */
static struct conn_io *client_at(struct bench *b, unsigned shard, const char *prefix, uint32_t expiry_s)
{
    char id[32];

    name_of_shard(b, shard, prefix, id);
    return client_connected_with(b, &(struct connect_wish){ .id = id, .scope = ALL, .expiry_s = expiry_s });
}

static void everything_is_stored(struct bench *b)
{
    do
        bench_run(b);
    while (disk_commit(b));
}

static void it_leaves_when_its_record_is_stored_and_the_receiver_removes_that(void **state UNUSED)
{ /* MQTT5 4.3.3 */
    struct bench *b = bench_new(2);
    struct conn_io *sub, *pub;

    bench_disk(b);
    sub = client_at(b, 0, "sub", 100);
    pub = client_at(b, 1, "pub", 100);
    client_subscribe(sub, "a/#", 2, 2);
    b->disk->manual = true;
    client_publish(pub, "a/x", "once", 2, 1);
    assert_true(disk_waits(b->disk, 1) && !disk_waits(b->disk, 0));
    assert_int_equal(disk_waiting(b, 1, 'o'), 1);
    expect_nothing(pub);
    assert_true(disk_commit_of(b, 1));
    (void)expect_ack(pub, MQTT_PUBREC, 1, MQTT_SUCCESS); /* the other shard has nothing to say to that */
    bench_run(b);
    assert_int_equal(disk_waiting(b, 0, 'o'), 1); /* removed with what became of it */
    assert_int_equal(disk_waiting(b, 0, 'q'), 1);
    expect_nothing(sub);
    assert_true(disk_commit_of(b, 0));
    (void)expect_publish(sub, "a/x", "once", 2);
    assert_int_equal(disk_records(b, 'o'), 0);
    assert_int_equal(disk_records(b, 'q'), 1);
    bench_free(b);
}

static void qos_1_goes_at_once_and_is_acknowledged_when_the_other_shard_has_it(void **state UNUSED)
{
    struct bench *b = bench_new(2);
    struct conn_io *sub, *pub;

    bench_disk(b);
    sub = client_at(b, 0, "sub", 100);
    pub = client_at(b, 1, "pub", 100);
    client_subscribe(sub, "a/#", 1, 1);
    b->disk->manual = true;
    client_publish(pub, "a/x", "soon", 1, 1);
    (void)expect_publish(sub, "a/x", "soon", 1);
    expect_nothing(pub);
    assert_false(disk_waits(b->disk, 1));
    assert_true(disk_commit_of(b, 0));
    bench_run(b);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    assert_int_equal(disk_records(b, 'o'), 0);
    bench_free(b);
}

static void where_nobody_waits_for_the_disk_it_goes_at_once(void **state UNUSED)
{
    struct bench *b = bench_new(2);
    struct conn_io *sub, *pub;

    b->settings.durability = DURABILITY_INTERVAL;
    bench_disk(b);
    sub = client_at(b, 0, "sub", 100);
    pub = client_at(b, 1, "pub", 100);
    client_subscribe(sub, "a/#", 2, 2);
    b->disk->manual = true;
    client_publish(pub, "a/x", "once", 2, 1);
    (void)expect_publish(sub, "a/x", "once", 2);
    (void)expect_ack(pub, MQTT_PUBREC, 1, MQTT_SUCCESS);
    everything_is_stored(b);
    assert_int_equal(disk_records(b, 'o'), 0);
    bench_free(b);
}

/* The retained message lives on shard `owner`, is published on `at` and wanted on `wanted_at`, where somebody else may have the filter
 * already. */
static void wants_it_meanwhile(unsigned owner, unsigned at, unsigned wanted_at, bool known)
{
    struct bench *b = bench_new(3);
    struct conn_io *pub, *other, *sub;
    struct mqtt_frame frame;
    struct mqtt_publish m;
    unsigned came = 0;
    char topic[32];

    bench_disk(b);
    name_of_shard(b, owner, "a/", topic);
    pub = client_at(b, at, "pub", 100);
    other = client_at(b, wanted_at, "other", 0);
    sub = client_at(b, wanted_at, "sub", 0);
    if (known)
        client_subscribe(other, topic, 0, 0);
    b->disk->manual = true;
    client_publish_with(pub, &(struct publish_wish){
                                 .topic = topic, .payload = "new", .qos = 2, .packet_id = 1, .retain = true });
    client_subscribe_with(sub, wish_filter(topic, 0), 0, 1);
    everything_is_stored(b);
    assert_true(client_next(sub, &frame));
    if (frame.type == MQTT_SUBACK)
        assert_true(client_next(sub, &frame));
    do {
        if (frame.type != MQTT_PUBLISH)
            continue;
        assert_int_equal(mqtt_read_publish(&frame, sub->version, &m, NULL), ST_OK);
        came += span_eq_str(m.payload, "new");
    } while (client_next(sub, &frame));
    assert_true(came > 0); /* the message, the retained message, or both */
    bench_free(b);
}

static void who_subscribes_while_a_retained_message_waits_for_the_disk_gets_it(void **state UNUSED)
{ /* MQTT5 3.3.1.3 */
    for (unsigned i = 0; i < 54; i++)
        wants_it_meanwhile(i % 3, i / 3 % 3, i / 9 % 3, i >= 27);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_leaves_when_its_record_is_stored_and_the_receiver_removes_that),
        cmocka_unit_test(qos_1_goes_at_once_and_is_acknowledged_when_the_other_shard_has_it),
        cmocka_unit_test(where_nobody_waits_for_the_disk_it_goes_at_once),
        cmocka_unit_test(who_subscribes_while_a_retained_message_waits_for_the_disk_gets_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
