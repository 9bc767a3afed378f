/* The simplest stories first: connect, subscribe, publish, go. */
#include "harness.h"

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

static void a_message_reaches_its_subscriber(void **state)
{
    for (unsigned shards = 1; shards <= 3; shards++) {
        struct bench *b = bench_new(shards);
        struct conn_io *sub = client_connected(b, "sub", ALL);
        struct conn_io *pub = client_connected(b, "pub", ALL);

        client_subscribe(sub, "a/+", 0, MQTT_SUCCESS);
        client_publish(pub, "a/b", "hello", 0, 0);
        (void)expect_publish(sub, "a/b", "hello", 0);
        expect_nothing(sub);
        expect_nothing(pub);
        client_ping(pub);
        struct mqtt_frame frame;
        assert_true(client_next(pub, &frame));
        assert_int_equal(frame.type, MQTT_PINGRESP);
        client_bye(pub);
        expect_closed(pub);
        bench_free(b);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_reaches_its_subscriber),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
