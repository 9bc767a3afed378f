/* What the simulator (tests/sim) found, told as stories. */
#include "raw.h"

#include "harness_disk.h"

static struct bench *with_disk(unsigned shards)
{
    struct bench *b = bench_new(shards);

    bench_public(b, "[[\"#\",[\"pub\",\"sub\"]]]");
    b->settings.max_guest_expiry_s = 1000;
    b->settings.keep_retained = true;
    bench_disk(b);
    bench_crash(b, shards); /* it says on its disk how many they are */
    return b;
}

/* The start begins with what was due while nobody was there, also when the client is back in the same moment, and when the
 * broker died twice: MQTT5 [MQTT-3.1.2-8]. */
static void a_will_without_a_delay_is_said_before_its_client_is_back(void **state)
{
    (void)state;
    for (int crashes = 1; crashes <= 2; crashes++) {
        struct bench *b = with_disk(1);
        struct conn_io *sub = back(b, "sub", false), *c;

        subscribe(sub, "w", 1);
        (void)guest_with(
            b, (struct connect_wish){
                   .id = "c", .expiry_s = 100, .will_topic = "w", .will_payload = "gone", .will_qos = 1 });
        b->manual = true;
        b->now.mono.ms += 3; /* in the middle of a tick of the timers */
        for (int i = 0; i < crashes; i++)
            bench_crash(b, 1);
        c = client_new(b);
        client_connect(c,
                       &(struct connect_wish){ .id = "c", .no_method = true, .resume = true, .expiry_s = 100 });
        b->manual = false;
        bench_run(b);
        assert_true(expect_connack(c, MQTT_SUCCESS).session_present);
        sub = back(b, "sub", true);
        (void)expect_publish(sub, "w", "gone", 1);
        bench_free(b);
    }
}

/* The packet id is on disk, the other shard has not heard of the message: the client's second PUBLISH is no new one, and
 * what it retains is there all the same (MQTT5 [MQTT-3.3.1-5], [MQTT-4.3.3-10]). */
static void a_retained_message_of_qos_2_reaches_its_shard_over_a_crash(void **state)
{
    struct publish_wish wish = { .payload = "new", .qos = 2, .packet_id = 7, .retain = true };

    (void)state;
    for (unsigned after = 1; after <= 3; after++) {
        struct bench *b = with_disk(2);
        char id[32], topic[32];
        struct conn_io *pub, *sub;

        name_of_shard(b, 0, "pub", id);
        name_of_shard(b, 1, "topic", topic);
        wish.topic = topic;
        pub = back(b, id, false);
        publish_whole(pub, topic, "old", 1, true);
        b->disk->manual = true;
        client_publish_with(pub, &wish);
        expect_nothing(pub);
        disk_commit_unheard(b, 0);
        b->disk->manual = false;
        bench_crash(b, after);
        pub = back(b, id, true);
        wish.dup = true;
        client_publish_with(pub, &wish);
        (void)expect_ack(pub, MQTT_PUBREC, 7, MQTT_SUCCESS);
        sub = guest(b, "sub");
        client_subscribe(sub, topic, 0, 0);
        (void)expect_publish(sub, topic, "new", 0);
        bench_free(b);
        wish.dup = false;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_will_without_a_delay_is_said_before_its_client_is_back),
        cmocka_unit_test(a_retained_message_of_qos_2_reaches_its_shard_over_a_crash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
