/* A retained message of QoS 1 or 2 whose topic is another shard's: its publisher is told whether it is kept, whatever the
 * durability is, and nobody else is told anything. */
#include "harness.h"
#include "harness_disk.h"

#include "support/failing_memory.h"

#define ALL "[[\"#\",[\"pub\",\"sub\"]]]"

struct kept {
    struct bench *b;
    struct conn_io *pub; /* at home on shard 0 */
    char there[32];      /* a topic of shard 1 */
    char here[32];       /* of shard 0 */
};

static void on_inside(bool yes)
{
    failing_memory_pause(!yes);
}

static struct kept kept_new(enum durability durability, bool v3)
{
    struct kept k = { .b = bench_new(2) };
    char id[32];

    k.b->settings.durability = durability;
    if (durability != DURABILITY_NONE)
        bench_disk(k.b);
    name_of_shard(k.b, 0, "pub", id);
    name_of_shard(k.b, 1, "there", k.there);
    name_of_shard(k.b, 0, "here", k.here);
    k.pub = client_connected_with(k.b, &(struct connect_wish){ .id = id, .scope = ALL, .v3 = v3 });
    return k;
}

static void keep(const struct kept *k, const char *topic, uint8_t qos, uint16_t packet_id)
{
    client_publish_with(
        k->pub, &(struct publish_wish){
                    .topic = topic, .payload = "x", .qos = qos, .packet_id = packet_id, .retain = true });
}

static const enum durability each[] = { DURABILITY_NONE, DURABILITY_INTERVAL, DURABILITY_COMMIT };

static void what_another_shard_does_not_keep_is_refused(void **state) /* MQTT5 3.4.2.1, 3.5.2.1 */
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(each); i++) {
        struct kept k = kept_new(each[i], false);
        struct mqtt_ack ack;

        keep(&k, k.there, 1, 1);
        (void)expect_ack(k.pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
        keep(&k, k.there, 2, 2);
        (void)expect_ack(k.pub, MQTT_PUBREC, 2, MQTT_SUCCESS);
        client_ack(k.pub, MQTT_PUBREL, 2, MQTT_SUCCESS);
        (void)expect_ack(k.pub, MQTT_PUBCOMP, 2, MQTT_SUCCESS);
        k.b->settings.max_retained_messages = 0;
        client_publish_with(k.pub,
                            &(struct publish_wish){
                                .topic = k.there, .payload = "", .qos = 1, .packet_id = 4, .retain = true });
        (void)expect_ack(k.pub, MQTT_PUBACK, 4, MQTT_SUCCESS);
        keep(&k, k.there, 1, 5);
        ack = expect_ack(k.pub, MQTT_PUBACK, 5, MQTT_QUOTA_EXCEEDED);
        assert_reason(&ack.properties, "retained");
        keep(&k, k.there, 2, 6);
        (void)expect_ack(k.pub, MQTT_PUBREC, 6, MQTT_QUOTA_EXCEEDED);
        client_publish(k.pub, "x", "the identifier is free", 2, 6); /* MQTT5 [MQTT-4.3.3-9] */
        (void)expect_ack(k.pub, MQTT_PUBREC, 6, MQTT_SUCCESS);
        assert_int_equal(STAT(k.b, messages_in), 6);
        bench_free(k.b);
    }
}

static void in_3_1_1_the_connection_ends(void **state) /* MQTT311 [MQTT-3.3.5-2] */
{
    struct kept k = kept_new(DURABILITY_NONE, true);

    (void)state;
    k.b->settings.max_retained_messages = 0;
    keep(&k, k.there, 1, 1);
    expect_closed(k.pub);
    assert_true(log_has(k.b, "publish_refused", "retained"));
    bench_free(k.b);
}

static void acknowledgements_keep_their_order(void **state) /* MQTT5 [MQTT-4.6.0-2] */
{
    struct kept k = kept_new(DURABILITY_NONE, false);

    (void)state;
    k.b->settings.max_retained_messages = 1;
    k.b->manual = true;
    keep(&k, k.there, 1, 1);
    (void)bench_turn(k.b, 0);
    client_publish(k.pub, "x", "waits for nothing, but behind", 1, 2);
    (void)bench_turn(k.b, 0);
    keep(&k, k.here, 1, 3);
    (void)bench_turn(k.b, 0);
    expect_nothing(k.pub);
    k.b->settings.max_retained_messages = 0;
    bench_run(k.b);
    (void)expect_ack(k.pub, MQTT_PUBACK, 1, MQTT_QUOTA_EXCEEDED);
    (void)expect_ack(k.pub, MQTT_PUBACK, 2, MQTT_SUCCESS);
    (void)expect_ack(k.pub, MQTT_PUBACK, 3, MQTT_SUCCESS);
    bench_free(k.b);
}

static void who_is_gone_is_told_nothing(void **state)
{
    (void)state;
    for (int turns = 1; turns <= 2; turns++) {
        struct kept k = kept_new(DURABILITY_NONE, false);

        k.b->manual = true;
        keep(&k, k.there, 1, 1);
        keep(&k, k.there, 1, 2);
        (void)bench_turn(k.b, 0);
        if (turns == 2)
            (void)bench_turn(k.b, 1);
        client_drop(k.pub);
        bench_run(k.b);
        assert_int_equal(STAT(k.b, retained_messages), 1);
        bench_free(k.b);
    }
}

/* Before, every acknowledgement that waited for another shard was refused with it. */
static void only_its_publisher_is_refused(void **state)
{
    struct kept k = kept_new(DURABILITY_COMMIT, false);
    struct conn_io *other;
    char id[32];

    (void)state;
    name_of_shard(k.b, 0, "other", id);
    other = client_connected(k.b, id, ALL);
    k.b->manual = true;
    keep(&k, k.there, 1, 1);
    client_publish_with(other, &(struct publish_wish){
                                   .topic = k.there, .payload = "", .qos = 1, .packet_id = 1, .retain = true });
    k.b->settings.max_retained_messages = 0;
    bench_run(k.b);
    (void)expect_ack(k.pub, MQTT_PUBACK, 1, MQTT_QUOTA_EXCEEDED);
    (void)expect_ack(other, MQTT_PUBACK, 1, MQTT_SUCCESS);
    bench_free(k.b);
}

/* Behind what waits for the disk it goes as that does, and is answered all the same. */
static void what_goes_behind_others_is_answered_too(void **state)
{
    struct kept k = kept_new(DURABILITY_COMMIT, false);
    struct conn_io *lasting;
    char id[32];

    (void)state;
    name_of_shard(k.b, 0, "lasting", id);
    lasting = client_connected_with(
        k.b, &(struct connect_wish){ .id = id, .scope = ALL, .resume = true, .expiry_s = 1000 });
    k.b->disk->manual = true;
    k.b->settings.max_retained_messages = 1;
    client_publish_with(lasting,
                        &(struct publish_wish){
                            .topic = k.there, .payload = "once", .qos = 2, .packet_id = 1, .retain = true });
    name_of_shard(k.b, 1, "second", k.there);
    keep(&k, k.there, 1, 1);
    expect_nothing(k.pub);
    while (disk_commit(k.b))
        bench_run(k.b);
    (void)expect_ack(lasting, MQTT_PUBREC, 1, MQTT_SUCCESS);
    (void)expect_ack(k.pub, MQTT_PUBACK, 1, MQTT_QUOTA_EXCEEDED);
    assert_int_equal(STAT(k.b, retained_messages), 1);
    assert_int_equal(disk_records(k.b, 'o'), 0);
    bench_free(k.b);
}

static void a_store_that_fails_refuses_what_waits_for_an_answer(void **state)
{
    struct kept k = kept_new(DURABILITY_INTERVAL, false);

    (void)state;
    k.b->manual = true;
    keep(&k, k.there, 1, 1);
    (void)bench_turn(k.b, 0);
    disk_fail(k.b, ST_IO);
    bench_run(k.b);
    (void)expect_ack(k.pub, MQTT_PUBACK, 1, MQTT_QUOTA_EXCEEDED);
    bench_free(k.b);
}

/* Each allocation on the way fails once: what is acknowledged is there. */
static void memory_runs_out(void **state)
{
    long made = 1;

    (void)state;
    for (long n = 1; n <= made; n++) {
        struct kept k = kept_new(DURABILITY_NONE, false);
        struct mqtt_frame frame;
        struct mqtt_ack ack;

        k.b->inside = on_inside;
        failing_memory_begin(n);
        failing_memory_pause(true);
        keep(&k, k.there, 1, 1);
        made = failing_memory_end();
        k.b->inside = NULL;
        if (k.pub->closed) {
            bench_free(k.b);
            continue;
        }
        assert_true(client_next(k.pub, &frame) && frame.type == MQTT_PUBACK);
        assert_int_equal(mqtt_read_ack(&frame, MQTT_5, &ack, NULL), ST_OK);
        assert_int_equal(STAT(k.b, retained_messages), ack.reason == MQTT_SUCCESS ? 1 : 0);
        bench_free(k.b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_another_shard_does_not_keep_is_refused),
        cmocka_unit_test(in_3_1_1_the_connection_ends),
        cmocka_unit_test(acknowledgements_keep_their_order),
        cmocka_unit_test(who_is_gone_is_told_nothing),
        cmocka_unit_test(only_its_publisher_is_refused),
        cmocka_unit_test(what_goes_behind_others_is_answered_too),
        cmocka_unit_test(a_store_that_fails_refuses_what_waits_for_an_answer),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
