/* Bounds: what each limit refuses, and to whom it says so; full queues; memory by cause. The marks of memory are in
 * pressure_test.c. */
#include "harness.h"

#include "shard/memory.h"
#include "shard/throttle.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

static int set_up_3(void **state)
{
    struct bench *b = bench_new(3);

    bench_bounds(b, (struct pressure_limits){ 0 });
    *state = b;
    return 0;
}

static int set_up_1(void **state)
{
    struct bench *b = bench_new(1);

    bench_bounds(b, (struct pressure_limits){ 0 });
    *state = b;
    return 0;
}

static struct conn_io *try_connect(struct bench *b, const char *id, bool v3)
{
    struct conn_io *c = client_new(b);

    client_connect(c, &(struct connect_wish){ .id = id, .scope = ALL, .v3 = v3 });
    return c;
}

static struct conn_io *lasting(struct bench *b, const char *id, bool v3)
{
    return client_connected_with(
        b, &(struct connect_wish){ .id = id, .scope = ALL, .resume = true, .expiry_s = 1000, .v3 = v3 });
}

/* With QoS 1 and this answer. */
static void publish_and(struct conn_io *c, const char *payload, uint16_t id, uint8_t reason)
{
    client_publish(c, "a/b", payload, 1, id);
    (void)expect_ack(c, MQTT_PUBACK, id, reason);
}

static void publish(struct conn_io *c, const char *payload, uint16_t id)
{
    publish_and(c, payload, id, MQTT_SUCCESS);
}

static void take(struct conn_io *c, const char *payload)
{
    struct mqtt_publish p = expect_publish(c, "a/b", payload, 1);

    client_ack(c, MQTT_PUBACK, p.packet_id, MQTT_SUCCESS);
}

/* ---- counts, exact over all shards ---- */

static void sessions_are_counted_over_all_shards(void **state)
{ /* MQTT5 3.2.2.2: Quota exceeded; MQTT311 3.2.2.3 */
    struct bench *b = *state;
    char id[32];

    b->settings.max_sessions = 7;
    for (unsigned i = 0; i < 7; i++) {
        snprintf(id, sizeof id, "c%u", i);
        (void)client_connected(b, id, ALL);
    }
    for (unsigned i = 0; i < b->count; i++) { /* wherever it would be at home */
        name_of_shard(b, i, "late", id);
        expect_refused(try_connect(b, id, false), MQTT_QUOTA_EXCEEDED, "limits.sessions");
        expect_refused3(try_connect(b, id, true), MQTT3_SERVER_UNAVAILABLE);
    }
    assert_int_equal(STAT(b, sessions), 7);
    (void)client_connected(b, "c3", ALL); /* in place of its former self */
    assert_int_equal(STAT(b, sessions), 7);
}

static void a_session_that_ended_has_left_room(void **state)
{
    struct bench *b = *state;
    struct conn_io *first;

    b->settings.max_sessions = 1;
    for (int i = 0; i < 5; i++) {
        first = client_connected(b, i % 2 == 0 ? "x" : "yy", ALL);
        client_bye(first);
    }
    assert_int_equal(pressure_count(b->pressure, COUNT_SESSIONS), 0);
    assert_int_equal(pressure_count(b->pressure, COUNT_CONNECTIONS), 0);
}

static void connections_beyond_the_limit_are_told_that_the_broker_is_busy(void **state)
{ /* MQTT5 3.2.2.2: 0x89 Server busy; MQTT311 3.2.2.3 */
    struct bench *b = *state;
    uint32_t most = throttle_connections_most(3);
    char id[32];

    b->settings.max_connections = 3;
    for (unsigned i = 0; i < 3; i++) {
        snprintf(id, sizeof id, "c%u", i);
        (void)client_connected(b, id, ALL);
    }
    expect_refused(try_connect(b, "busy", false), MQTT_SERVER_BUSY, "limits.connections");
    expect_refused3(try_connect(b, "busy", true), MQTT3_SERVER_UNAVAILABLE);
    for (uint32_t i = 3; i < most; i++) /* they say nothing, and hold the places of those who would be told */
        client_send(client_new(b), SPAN("\x10"));
    assert_null(shard_accept(b->shard[1], NULL, SPAN("192.0.2.9"), false, b->now));
    assert_true(log_has(b, "connection_refused", "limits.connections"));
    assert_int_equal(STAT(b, connections), most);
}

static void subscriptions_are_counted_over_all_clients(void **state)
{ /* MQTT5 3.9.3: Quota exceeded; MQTT311 [MQTT-3.9.3-2] */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL), *d = client_connected(b, "d", ALL);
    struct conn_io *old =
        client_connected_with(b, &(struct connect_wish){ .id = "o", .scope = ALL, .v3 = true });
    struct mqtt_frame unsuback;

    b->settings.max_all_subscriptions = 3;
    client_subscribe(c, "a/1", 0, 0);
    client_subscribe(d, "a/1", 0, 0);
    client_subscribe(old, "$share/g/a/2", 0, 0);
    client_subscribe(c, "a/3", 0, MQTT_QUOTA_EXCEEDED);
    client_subscribe(old, "a/3", 0, MQTT_UNSPECIFIED_ERROR);
    client_subscribe(c, "a/1", 1, MQTT_GRANTED_QOS_1); /* the same one, with another option */
    client_unsubscribe(d, "a/1");
    assert_true(client_next(d, &unsuback));
    client_subscribe(c, "a/3", 0, 0);
    b->settings.max_all_subscriptions = 100;
    b->settings.max_all_subscription_bytes = 29;
    client_subscribe(d, "a/0123456789", 0, MQTT_QUOTA_EXCEEDED);
    client_subscribe(d, "a/0123", 0, 0);
    client_bye(c);
    client_bye(d);
    client_bye(old);
    assert_int_equal(pressure_count(b->pressure, COUNT_SUBSCRIPTIONS), 0);
    assert_int_equal(pressure_count(b->pressure, COUNT_FILTER_BYTES), 0);
}

static void retained_messages_are_counted_over_all_shards(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);
    char topic[32];

    b->settings.max_retained_messages = 6;
    for (unsigned i = 0; i < 20; i++) {
        snprintf(topic, sizeof topic, "a/%u", i);
        client_publish_with(c, &(struct publish_wish){ .topic = topic, .payload = "x", .retain = true });
    }
    assert_int_equal(STAT(b, retained_messages), 6);
    assert_int_equal(STAT(b, dropped_retained), 14);
    assert_true(log_has(b, "retained_not_stored", "retained.*"));
    client_publish_with(c, &(struct publish_wish){ .topic = "a/0", .payload = "", .retain = true });
    client_publish_with(c, &(struct publish_wish){ .topic = "a/19", .payload = "x", .retain = true });
    client_publish_with(c, &(struct publish_wish){ .topic = "a/18", .payload = "x", .retain = true });
    assert_int_equal(STAT(b, retained_messages), 6);
    b->settings.max_retained_messages = 100;
    b->settings.max_retained_bytes = STAT(b, retained_bytes) + 1000;
    for (unsigned i = 0; i < 20; i++) {
        snprintf(topic, sizeof topic, "a/more/%u", i);
        client_publish_with(c, &(struct publish_wish){ .topic = topic, .payload = "x", .retain = true });
    }
    assert_in_range(STAT(b, retained_messages), 7, 12);
    assert_true(STAT(b, retained_bytes) <= b->settings.max_retained_bytes);
}

static void a_retained_message_that_is_not_kept_is_not_acknowledged_as_kept(void **state) /* MQTT5 3.4.2.1 */
{
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    b->settings.max_retained_messages = 1;
    for (uint16_t i = 1; i <= 3; i++) {
        char topic[16];

        snprintf(topic, sizeof topic, "a/%u", i);
        client_publish_with(
            c,
            &(struct publish_wish){
                .topic = topic, .payload = "x", .qos = (uint8_t)(1 + i % 2), .packet_id = i, .retain = true });
        (void)expect_ack(c, i % 2 == 0 ? MQTT_PUBACK : MQTT_PUBREC, i,
                         i == 1 ? MQTT_SUCCESS : MQTT_QUOTA_EXCEEDED);
    }
    assert_int_equal(STAT(b, retained_messages), 1);
    client_publish_with(c,
                        &(struct publish_wish){ .topic = "a/4", .payload = "x", .retain = true }); /* QoS 0 */
    client_publish(c, "a/5", "not to be kept", 1, 5);
    (void)expect_ack(c, MQTT_PUBACK, 5, MQTT_SUCCESS);
}

/* ---- full queues ---- */

struct absent {
    struct bench *b;
    struct conn_io *pub;
    char sub[32], name[32];
};

/* A publisher, and a subscriber who has gone: on the publisher's shard, or on another. */
static void absent_begin(struct bench *b, struct absent *a, enum queue_full policy, unsigned at, bool v3)
{
    struct conn_io *c;

    b->settings.queue_full = policy;
    b->settings.max_queue_messages = 3;
    a->b = b;
    name_of_shard(b, 0, "pub", a->name);
    name_of_shard(b, at, "sub", a->sub);
    a->pub = client_connected_with(b, &(struct connect_wish){ .id = a->name, .scope = ALL, .v3 = v3 });
    c = lasting(b, a->sub, v3);
    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    client_drop(c);
}

static struct conn_io *absent_back(struct absent *a)
{
    return lasting(a->b, a->sub, false);
}

static void the_newest_is_dropped_by_default(void **state)
{
    struct absent a;
    struct conn_io *c;

    absent_begin(*state, &a, QUEUE_DROP_NEWEST, 0, false);
    for (uint16_t i = 1; i <= 5; i++)
        publish(a.pub, (const char *[]){ "1", "2", "3", "4", "5" }[i - 1], i);
    assert_int_equal(STAT(a.b, dropped_queue_full), 2);
    c = absent_back(&a);
    take(c, "1");
    take(c, "2");
    take(c, "3");
    expect_nothing(c);
}

static void or_the_oldest_makes_room(void **state)
{
    for (int v3 = 0; v3 <= 1; v3++) {
        struct absent a;
        struct conn_io *c;

        absent_begin(*state, &a, QUEUE_DROP_OLDEST, (unsigned)v3 % 3, v3 != 0);
        for (uint16_t i = 1; i <= 5; i++)
            publish(a.pub, (const char *[]){ "1", "2", "3", "4", "5" }[i - 1], i);
        c = absent_back(&a);
        take(c, "3");
        take(c, "4");
        take(c, "5");
        expect_nothing(c);
        client_drop(c);
    }
    assert_int_equal(STAT((struct bench *)*state, dropped_oldest), 6); /* the first session is absent again */
    assert_int_equal(STAT((struct bench *)*state, dropped_queue_full), 0);
}

/* So many of the letter. */
static void letters(char *text, char letter, size_t n)
{
    memset(text, letter, n);
    text[n] = '\0';
}

static void the_oldest_make_room_by_their_bytes_as_well(void **state)
{
    char one[1001], two[1001], three[2001], huge[5001];
    struct absent a;
    struct conn_io *c;

    letters(one, '1', 1000);
    letters(two, '2', 1000);
    letters(three, '3', 2000);
    letters(huge, 'h', 5000);
    absent_begin(*state, &a, QUEUE_DROP_OLDEST, 0, false);
    a.b->settings.max_queue_bytes = 4000;
    publish(a.pub, one, 1);
    publish(a.pub, two, 1);
    publish(a.pub, three, 1);
    assert_int_equal(STAT(a.b, dropped_oldest), 1);
    publish(a.pub, huge, 1); /* will never fit: nobody goes for it */
    assert_int_equal(STAT(a.b, dropped_oldest), 1);
    assert_int_equal(STAT(a.b, dropped_queue_full), 1);
    c = absent_back(&a);
    take(c, two);
    take(c, three);
}

static void what_is_in_flight_does_not_make_room(void **state)
{ /* MQTT5 [MQTT-4.4.0-1]: it is sent again */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c;
    struct mqtt_publish p;

    b->settings.queue_full = QUEUE_DROP_OLDEST;
    b->settings.max_queue_messages = 2;
    b->settings.max_inflight = 1;
    c = lasting(b, "c", false);
    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    for (uint16_t i = 1; i <= 4; i++)
        publish(pub, (const char *[]){ "1", "2", "3", "4" }[i - 1], i);
    p = expect_publish(c, "a/b", "1", 1);
    client_drop(c);
    publish(pub, "5", 1);
    c = lasting(b, "c", false);
    p = expect_publish(c, "a/b", "1", 1);
    assert_true(p.dup);
    client_ack(c, MQTT_PUBACK, p.packet_id, MQTT_SUCCESS);
    take(c, "5");
    expect_nothing(c);
}

static void or_the_publisher_is_told_and_nobody_gets_it(void **state)
{ /* MQTT5 3.4.2.1, 3.5.2.1: Quota exceeded */
    struct bench *b = *state;
    struct absent a;
    struct conn_io *other, *c;

    absent_begin(b, &a, QUEUE_REFUSE, 0, false);
    other = client_connected(b, "other", ALL);
    for (uint16_t i = 1; i <= 3; i++)
        publish(a.pub, "m", i);
    client_subscribe(other, "a/#", 1, MQTT_GRANTED_QOS_1);
    publish_and(a.pub, "full", 4, MQTT_QUOTA_EXCEEDED);
    assert_true(log_has(b, "publish_refused", "session.queue_full"));
    client_publish(a.pub, "a/b", "full", 2, 5);
    (void)expect_ack(a.pub, MQTT_PUBREC, 5, MQTT_QUOTA_EXCEEDED);
    expect_nothing(other);
    assert_int_equal(STAT(b, refused_queue_full), 2);
    assert_int_equal(STAT(b, dropped_queue_full), 0);
    client_publish(a.pub, "a/b", "of QoS 0", 0, 0); /* waits for nobody */
    (void)expect_publish(other, "a/b", "of QoS 0", 0);
    c = absent_back(&a);
    for (int i = 0; i < 3; i++)
        take(c, "m");
    client_drop(c);
    publish(a.pub, "there is room", 4);
    client_publish(a.pub, "a/b", "again", 2, 5); /* the identifier was never taken */
    (void)expect_ack(a.pub, MQTT_PUBREC, 5, MQTT_SUCCESS);
}

static void who_cannot_be_told_is_disconnected(void **state)
{ /* MQTT311 [MQTT-3.3.5-2], MT-126 */
    struct absent a;

    absent_begin(*state, &a, QUEUE_REFUSE, 0, true);
    for (uint16_t i = 1; i <= 3; i++)
        publish(a.pub, "m", i);
    client_publish(a.pub, "a/b", "full", 1, 4);
    expect_closed(a.pub);
}

static void on_another_shard_what_comes_is_dropped(void **state)
{
    struct absent a;

    absent_begin(*state, &a, QUEUE_REFUSE, 1, false);
    for (uint16_t i = 1; i <= 5; i++)
        publish(a.pub, "m", i);
    assert_int_equal(STAT(a.b, dropped_queue_full), 2);
}

static void the_queue_of_a_group_does_the_same(void **state)
{ /* MQTT5 4.8.2 */
    for (int policy = QUEUE_DROP_NEWEST; policy <= QUEUE_REFUSE; policy++) {
        struct bench *b = bench_new(1);
        struct conn_io *c, *pub;

        bench_bounds(b, (struct pressure_limits){ 0 });
        b->settings.queue_full = (enum queue_full)policy;
        b->settings.max_queue_messages = 2;
        pub = client_connected(b, "pub", ALL);
        c = lasting(b, "c", false);
        client_subscribe(c, "$share/g/a/#", 1, MQTT_GRANTED_QOS_1);
        client_drop(c);
        publish(pub, "1", 1);
        publish(pub, "2", 1);
        publish_and(pub, "3", 1, policy == QUEUE_REFUSE ? MQTT_QUOTA_EXCEEDED : MQTT_SUCCESS);
        c = lasting(b, "c", false);
        take(c, policy == QUEUE_DROP_OLDEST ? "2" : "1");
        take(c, policy == QUEUE_DROP_OLDEST ? "3" : "2");
        expect_nothing(c);
        bench_free(b);
    }
    (void)state;
}

/* ---- unfinished packets ---- */

/* PUBLISH of 100,000 bytes, of which all but the last come. */
static void send_half(struct conn_io *c, struct buf *packet)
{
    static uint8_t payload[100000];

    buf_init(packet, 1 << 20);
    put_bytes(packet, span_of("\x30\xa6\x8d\x06\x00\x03"
                              "a/b\x00",
                              10));
    put_bytes(packet, span_of(payload, sizeof payload - 1));
    client_send(c, buf_span(packet));
}

static void the_oldest_unfinished_packet_makes_room(void **state)
{
    struct bench *b = *state;
    struct conn_io *rude[5], *honest = client_connected(b, "honest", ALL), *sub = client_connected(b, "s", ALL);
    struct mqtt_frame frame;
    struct buf packet;
    char id[32];

    client_subscribe(sub, "a/#", 0, 0);
    b->settings.max_unfinished_bytes = 350000;
    for (unsigned i = 0; i < COUNT_OF(rude); i++) {
        snprintf(id, sizeof id, "rude%u", i);
        rude[i] = client_connected(b, id, ALL);
    }
    for (unsigned i = 0; i < COUNT_OF(rude); i++) {
        send_half(rude[i], &packet);
        buf_done(&packet);
        bench_advance(b, 500);
    }
    assert_true(pressure_count(b->pressure, COUNT_UNFINISHED_BYTES) <= 350000);
    assert_int_equal(STAT(b, unfinished_ended), 2);
    expect_thrown_out(rude[0], MQTT_QUOTA_EXCEEDED, "limits.unfinished");
    expect_nothing(rude[COUNT_OF(rude) - 1]); /* the latest is as good as anybody */
    send_half(honest, &packet);
    buf_done(&packet);
    client_send(honest, SPAN("\0"));
    assert_true(client_next(sub, &frame));
    assert_int_equal(frame.type, MQTT_PUBLISH);
    expect_nothing(honest);
    for (unsigned i = 0; i < COUNT_OF(rude); i++)
        client_drop(rude[i]);
    assert_int_equal(pressure_count(b->pressure, COUNT_UNFINISHED_BYTES), 0);
    assert_int_equal(STAT(b, memory_reading), 0);
}

static void small_beginnings_do_not_count(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL), *d = client_connected(b, "d", ALL);
    struct buf packet;

    b->settings.max_unfinished_bytes = 1;
    client_send(c, SPAN("\x30\xa6\x8d\x06\x00\x03"
                        "a/b"));
    expect_nothing(c);
    assert_int_equal(STAT(b, unfinished_ended), 0);
    bench_advance(b, 500);
    send_half(d, &packet);
    buf_done(&packet);
    expect_thrown_out(d, MQTT_QUOTA_EXCEEDED, "limits.unfinished");
    expect_nothing(c);
}

/* ---- output of all ---- */

static void output_has_a_limit_in_all(void **state)
{
    struct bench *b = bench_new(1);
    struct conn_io *pub, *slow[4];
    char payload[10001], id[32];
    uint64_t sent;

    (void)state;
    letters(payload, 'x', 10000);
    bench_bounds(b, (struct pressure_limits){ .output = 100000 });
    pub = client_connected(b, "pub", ALL);
    for (unsigned i = 0; i < COUNT_OF(slow); i++) {
        snprintf(id, sizeof id, "slow%u", i);
        slow[i] = client_connected(b, id, ALL);
        client_subscribe(slow[i], "a/#", 1, MQTT_GRANTED_QOS_1);
        slow[i]->stuck = true;
    }
    for (int i = 0; i < 10; i++)
        client_publish(pub, "a/b", payload, 0, 0);
    assert_true(STAT(b, dropped_output_full) > 0); /* though no connection has reached limits.output */
    for (unsigned i = 0; i < COUNT_OF(slow); i++)
        assert_true(slow[i]->pending < 60000);
    sent = STAT(b, messages_out);
    for (uint16_t i = 1; i <= 3; i++)
        publish(pub, payload, i); /* QoS 1 waits */
    assert_int_equal(STAT(b, messages_out), sent);
    for (unsigned i = 0; i < COUNT_OF(slow); i++) { /* taken, and nobody says so: none was congested */
        slow[i]->stuck = false;
        slow[i]->pending = 0;
    }
    bench_run(b);
    bench_run(b);
    assert_int_equal(STAT(b, messages_out), sent + 12);
    bench_free(b);
}

/* ---- memory by cause ---- */

static uint64_t sum_of(struct bench *b)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < b->count; i++) {
        struct stats stats;

        shard_stats(b->shard[i], &stats);
        sum += memory_sum(&stats);
    }
    return sum;
}

struct balance {
    struct bench *b;
    uint64_t allocated, accounted;
};

static struct balance balance_begin(struct bench *b)
{
    return (struct balance){ b, mallinfo2().uordblks, sum_of(b) };
}

/* What was allocated meanwhile and what was accounted for differ by no more than so many percent. */
static void balance_end(const struct balance *start, const char *what, unsigned percent)
{
    uint64_t allocated = mallinfo2().uordblks - start->allocated,
             accounted = sum_of(start->b) - start->accounted;

    if (start->allocated == 0)
        return; /* another allocator: a sanitizer's */
    print_message("%s: allocated %llu, accounted for %llu\n", what, (unsigned long long)allocated,
                  (unsigned long long)accounted);
    assert_true(accounted * 100 <= allocated * (100 + percent));
    assert_true(accounted * 100 >= allocated * (100 - percent));
}

static void forget_input(struct conn_io *c)
{
    buf_done(&c->in);
    c->in_at = 0;
    buf_done(&c->out);
}

static void the_sum_of_the_causes_follows_the_truth(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c;
    struct balance start;
    char text[601], id[32];

    letters(text, 'x', 600);
    start = balance_begin(b);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(id, sizeof id, "session-%u", i);
        c = lasting(b, id, false);
        client_drop(c);
        forget_input(c);
    }
    balance_end(&start, "500 sessions", 25);

    c = client_connected(b, "many", ALL);
    start = balance_begin(b);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "a/%u/level/%u/#", i % 100, i);
        client_subscribe(c, text, 1, MQTT_GRANTED_QOS_1);
        if (i % 1000 == 0)
            forget_input(c);
    }
    forget_input(c);
    balance_end(&start, "20,000 subscriptions", 25);
    client_bye(c);

    letters(text, 'x', 600);
    start = balance_begin(b);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(id, sizeof id, "a/r/%u", i);
        client_publish_with(pub, &(struct publish_wish){ .topic = id, .payload = text, .retain = true });
    }
    forget_input(pub);
    balance_end(&start, "5,000 retained messages", 15);

    for (unsigned i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "session-%u", i);
        c = lasting(b, id, false);
        client_subscribe_with(
            c, (struct mqtt_subscription){ .filter = { SPAN("a/b") }, .qos = 1, .retain_handling = 2 }, 0, 1);
        client_drop(c);
        forget_input(c);
    }
    start = balance_begin(b);
    for (unsigned i = 0; i < 3000; i++) {
        publish(pub, text, 1);
        forget_input(pub);
    }
    balance_end(&start, "3,000 messages for 20 sessions each", 15);
    assert_int_equal(STAT(b, queued_messages), 60000);
    assert_true(STAT(b, queued_bytes) > 60000 * 600);               /* what limits each queue */
    assert_true(STAT(b, memory_queued) < 60000 * 200 + 3000 * 900); /* each payload once */
}

static void what_is_over_is_accounted_for_no_more(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c = lasting(b, "c", false);
    uint64_t before;

    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    client_publish_with(pub, &(struct publish_wish){ .topic = "a/b", .payload = "", .retain = true });
    (void)expect_publish(c, "a/b", "", 0);
    before = sum_of(b);
    client_drop(c);
    for (int round = 0; round < 3; round++) {
        for (uint16_t i = 1; i <= 10; i++)
            client_publish_with(
                pub, &(struct publish_wish){
                         .topic = "a/b", .payload = "kept", .qos = 1, .packet_id = i, .retain = true });
        c = lasting(b, "c", false);
        for (int i = 0; i < 10; i++)
            take(c, "kept");
        client_drop(c);
    }
    assert_true(STAT(b, memory_retained) > 0);
    client_publish_with(pub, &(struct publish_wish){ .topic = "a/b", .payload = "", .retain = true });
    c = lasting(b, "c", false);
    assert_int_equal(sum_of(b), before);
    assert_int_equal(STAT(b, memory_queued), 0);
    client_bye(c);
    client_bye(pub);
}

int main(void)
{
#define TEST_OF(shards, name) cmocka_unit_test_setup_teardown(name, set_up_##shards, bench_tear_down)
    const struct CMUnitTest tests[] = {
        TEST_OF(3, sessions_are_counted_over_all_shards),
        TEST_OF(3, a_session_that_ended_has_left_room),
        TEST_OF(3, connections_beyond_the_limit_are_told_that_the_broker_is_busy),
        TEST_OF(3, subscriptions_are_counted_over_all_clients),
        TEST_OF(3, retained_messages_are_counted_over_all_shards),
        TEST_OF(1, a_retained_message_that_is_not_kept_is_not_acknowledged_as_kept),
        TEST_OF(3, a_retained_message_that_is_not_kept_is_not_acknowledged_as_kept),
        TEST_OF(3, the_newest_is_dropped_by_default),
        TEST_OF(3, or_the_oldest_makes_room),
        TEST_OF(1, the_oldest_make_room_by_their_bytes_as_well),
        TEST_OF(1, what_is_in_flight_does_not_make_room),
        TEST_OF(1, or_the_publisher_is_told_and_nobody_gets_it),
        TEST_OF(1, who_cannot_be_told_is_disconnected),
        TEST_OF(3, on_another_shard_what_comes_is_dropped),
        cmocka_unit_test(the_queue_of_a_group_does_the_same),
        TEST_OF(1, the_oldest_unfinished_packet_makes_room),
        TEST_OF(1, small_beginnings_do_not_count),
        cmocka_unit_test(output_has_a_limit_in_all),
        TEST_OF(1, the_sum_of_the_causes_follows_the_truth),
        TEST_OF(1, what_is_over_is_accounted_for_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
