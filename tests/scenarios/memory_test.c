/* Every allocation the broker makes is made to fail once, in turn, while a small story is played on two shards. The
 * story may then end differently; the broker may not crash, may not lose memory (the sanitizers look), must still
 * serve somebody new, and must not hand anybody what is not theirs. */
#include "harness.h"

#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

void *__real_malloc(size_t len);
void *__real_calloc(size_t n, size_t len);
void *__real_realloc(void *p, size_t len);
void *__real_reallocarray(void *p, size_t n, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t n, size_t len);
void *__wrap_realloc(void *p, size_t len);
void *__wrap_reallocarray(void *p, size_t n, size_t len);

static bool broker_runs;
static long fail_at; /* 0: none */
static long made;

static bool fails(void)
{
    return broker_runs && ++made == fail_at;
}

void *__wrap_malloc(size_t len)
{
    return fails() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t n, size_t len)
{
    return fails() ? NULL : __real_calloc(n, len);
}

void *__wrap_realloc(void *p, size_t len)
{
    return fails() ? NULL : __real_realloc(p, len);
}

void *__wrap_reallocarray(void *p, size_t n, size_t len)
{
    return fails() ? NULL : __real_reallocarray(p, n, len);
}

static void on_inside(bool yes)
{
    broker_runs = yes;
}

/* Looks at nothing but the scope: whatever comes to `stranger` is wrong. */
static void assert_only_answers(struct conn_io *stranger)
{
    struct mqtt_frame frame;

    while (client_next(stranger, &frame))
        assert_int_not_equal(frame.type, MQTT_PUBLISH);
}

static struct conn_io *try_connect(struct bench *b, const struct connect_wish *wish)
{
    struct conn_io *c = client_new(b);
    struct buf packet;

    buf_init(&packet, 1 << 17);
    connect_packet(c, wish, &packet);
    client_send(c, buf_span(&packet));
    buf_done(&packet);
    return c;
}

static void play(struct bench *b)
{
    struct publish_wish retained = {
        .topic = "a/r", .payload = "kept", .qos = 2, .packet_id = 3, .retain = true, .alias = 1, .expiry_s = 100
    };
    struct connect_wish wish = { .id = "sub",
                                 .scope = ALL,
                                 .expiry_s = 100,
                                 .resume = true,
                                 .will_topic = "a/gone",
                                 .will_qos = 1,
                                 .will_retain = true };
    struct conn_io *stranger = try_connect(b, &(struct connect_wish){ .id = "x", .scope = "[]" });
    struct conn_io *sub = try_connect(b, &wish), *pub;

    pub = try_connect(b, &(struct connect_wish){ .id = "pub", .scope = ALL });
    client_subscribe_with(stranger, wish_filter("a/#", 1), 0, 1);
    client_subscribe_with(sub, wish_filter("a/#", 2), 5, 1);
    client_subscribe_with(sub, wish_filter("a/b", 1), 0, 2);
    client_publish(pub, "a/b", "m", 1, 1);
    client_publish_with(pub, &retained);
    client_ack(pub, MQTT_PUBREL, 3, MQTT_SUCCESS);
    client_drop(sub);
    client_publish(pub, "a/b", "while away", 1, 4);
    sub = try_connect(b, &wish);
    client_unsubscribe(sub, "a/b");
    client_subscribe_with(pub, wish_filter("a/+", 1), 0, 9);
    client_drop(sub);
    wish.v3 = true; /* goes on in MQTT 3.1.1 */
    sub = try_connect(b, &wish);
    client_subscribe_with(sub, wish_filter("a/+", 2), 0, 3);
    client_publish(sub, "a/b", "of 3.1.1", 1, 1);
    client_publish(sub, "b", "not allowed", 1, 2);
    client_drop(pub);
    assert_only_answers(stranger);
}

static void no_failed_allocation_brings_the_broker_down(void **state)
{
    long most = 1;

    (void)state;
    for (long n = 1; n <= most; n++) {
        struct bench *b = bench_new(2);
        struct conn_io *c;

        b->inside = on_inside;
        made = 0;
        fail_at = n;
        play(b);
        if (made + 20 > most)
            most = made + 20;
        fail_at = 0;
        c = client_connected(b, "new", ALL);
        client_subscribe(c, "a/new", 0, 0);
        client_publish(c, "a/new", "served", 0, 0);
        (void)expect_publish(c, "a/new", "served", 0);
        b->inside = NULL;
        bench_free(b);
    }
    print_message("%ld allocations failed in turn\n", most);
    assert_true(most > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_failed_allocation_brings_the_broker_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
