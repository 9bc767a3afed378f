/* A broker that ends as if by kill -9 and starts again from its disk, with as many workers as before or not: what had been
 * acknowledged is there, belongs to whom it belonged to, and goes on where it was. */
#include "harness_disk.h"

#include "crypto/hash.h"
#include "shard/stats.h"
#include "support/failing_memory.h"
#include "token/token.h"

#include <stdio.h>
#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]],[\"w/#\",[\"pub\",\"sub\"]]]"

/* Every story is told with these numbers of workers, before and after. */
static const unsigned ways[][2] = { { 1, 1 }, { 1, 3 }, { 3, 1 }, { 3, 2 } };

struct story {
    struct bench *b;
    unsigned after;
};

static void tell(void (*story)(struct story *s))
{
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct story s = { bench_new(ways[i][0]), ways[i][1] };

        bench_disk(s.b);
        story(&s);
        bench_free(s.b);
    }
}

static void crash(struct story *s)
{
    bench_crash(s->b, s->after);
}

static struct conn_io *come(struct story *s, const char *id, bool resume)
{
    struct connect_wish wish = { .id = id, .scope = ALL, .resume = resume, .expiry_s = 3600 };

    return client_connected_with(s->b, &wish);
}

/* Comes back, and finds its session. */
static struct conn_io *come_back(struct story *s, const char *id)
{
    struct conn_io *c = client_new(s->b);
    struct connect_wish wish = { .id = id, .scope = ALL, .resume = true, .expiry_s = 3600 };

    client_connect(c, &wish);
    assert_true(expect_connack(c, MQTT_SUCCESS).session_present);
    return c;
}

/* Publishes it, and sees it acknowledged. */
static void publish(struct conn_io *c, const char *topic, const char *payload, uint8_t qos, uint16_t id)
{
    client_publish(c, topic, payload, qos, id);
    if (qos == 1)
        expect_ack(c, MQTT_PUBACK, id, MQTT_SUCCESS);
    if (qos < 2)
        return;
    expect_ack(c, MQTT_PUBREC, id, MQTT_SUCCESS);
    client_ack(c, MQTT_PUBREL, id, MQTT_SUCCESS);
    expect_ack(c, MQTT_PUBCOMP, id, MQTT_SUCCESS);
}

static uint16_t take(struct conn_io *c, const char *topic, const char *payload, uint8_t qos)
{
    return expect_publish(c, topic, payload, qos).packet_id;
}

static void retain(struct conn_io *c, const char *topic, const char *payload, uint32_t expiry_s)
{
    client_publish_with(c, &(struct publish_wish){ .topic = topic,
                                                   .payload = payload,
                                                   .qos = 1,
                                                   .packet_id = 77,
                                                   .retain = true,
                                                   .expiry_s = expiry_s });
    expect_ack(c, MQTT_PUBACK, 77, MQTT_SUCCESS);
}

/* ---- what waits ---- */

static void queue_story(struct story *s)
{
    static const char *const names[] = { "one", "two", "three", "four" };
    struct conn_io *pub = come(s, "pub", false), *sub[4];
    uint16_t ids[21];
    char payload[16];

    for (size_t i = 0; i < 4; i++) {
        sub[i] = come(s, names[i], false);
        client_subscribe(sub[i], "a/#", 2, 2);
        client_drop(sub[i]);
    }
    for (uint16_t n = 1; n <= 20; n++) {
        (void)snprintf(payload, sizeof payload, "%u", n);
        publish(pub, n % 3 == 0 ? "a/x" : "a/y", payload, n % 2 == 0 ? 1 : 2, n);
    }
    publish(pub, "a/x", "only while the broker runs", 0, 0);
    assert_int_equal(disk_records(s->b, 'q'), 80);
    assert_true(disk_records(s->b, 'm') <= 20 * (size_t)s->b->count); /* once for all of a worker */
    crash(s);
    assert_int_equal(STAT(s->b, queued_messages), 80);
    for (size_t i = 0; i < 4; i++) {
        sub[i] = come_back(s, names[i]);
        for (uint16_t n = 1; n <= 20; n++) {
            (void)snprintf(payload, sizeof payload, "%u", n);
            ids[n] = take(sub[i], n % 3 == 0 ? "a/x" : "a/y", payload, n % 2 == 0 ? 1 : 2);
        }
        for (uint16_t n = 1; n <= 20; n++) {
            if (n % 2 == 0) {
                client_ack(sub[i], MQTT_PUBACK, ids[n], MQTT_SUCCESS);
                continue;
            }
            client_ack(sub[i], MQTT_PUBREC, ids[n], MQTT_SUCCESS);
            expect_ack(sub[i], MQTT_PUBREL, ids[n], MQTT_SUCCESS);
            client_ack(sub[i], MQTT_PUBCOMP, ids[n], MQTT_SUCCESS);
        }
        expect_nothing(sub[i]);
    }
    assert_int_equal(disk_records(s->b, 'q'), 0);
    assert_int_equal(disk_records(s->b, 'm'), 0);
}

static void what_waits_for_sessions_comes_to_each_once_and_in_order(void **state UNUSED)
{ /* MQTT5 [MQTT-4.6.0-6], 4.1 */
    tell(queue_story);
}

/* ---- what was under way ---- */

static void in_flight_story(struct story *s)
{
    struct conn_io *pub = come(s, "pub", false), *sub = come(s, "sub", false);
    uint16_t first, second, third;
    struct mqtt_publish again;

    client_subscribe(sub, "a/#", 2, 2);
    publish(pub, "a/1", "one", 1, 1);
    publish(pub, "a/2", "two", 2, 2);
    publish(pub, "a/3", "three", 2, 3);
    first = take(sub, "a/1", "one", 1);
    second = take(sub, "a/2", "two", 2);
    third = take(sub, "a/3", "three", 2);
    client_ack(sub, MQTT_PUBREC, third, MQTT_SUCCESS);
    expect_ack(sub, MQTT_PUBREL, third, MQTT_SUCCESS);
    crash(s);
    sub = come_back(s, "sub");
    expect_ack(sub, MQTT_PUBREL, third, MQTT_SUCCESS);
    again = expect_publish(sub, "a/1", "one",
                           1); /* with an id or without: QoS 1 need not have been on disk with it */
    client_ack(sub, MQTT_PUBACK, again.packet_id, MQTT_SUCCESS);
    again = expect_publish(sub, "a/2", "two", 2);
    assert_int_equal(again.packet_id, second); /* else it would be there twice */
    assert_true(again.dup);
    client_ack(sub, MQTT_PUBREC, second, MQTT_SUCCESS);
    expect_ack(sub, MQTT_PUBREL, second, MQTT_SUCCESS);
    client_ack(sub, MQTT_PUBCOMP, third, MQTT_SUCCESS);
    client_ack(sub, MQTT_PUBCOMP, second, MQTT_SUCCESS);
    expect_nothing(sub);
    pub = come_back(s, "pub");
    publish(pub, "a/4", "four", 2, 4); /* and no id is given twice */
    assert_true(take(sub, "a/4", "four", 2) > 0);
    (void)first;
}

static void what_was_in_flight_goes_on_where_it_was(void **state UNUSED)
{ /* MQTT5 [MQTT-4.4.0-1], 4.3.3 */
    tell(in_flight_story);
}

static void received_story(struct story *s)
{
    struct conn_io *pub = come(s, "pub", false), *sub = come(s, "sub", false);
    uint16_t id;

    client_subscribe(sub, "a/#", 2, 2);
    client_publish(pub, "a/1", "once", 2, 9);
    expect_ack(pub, MQTT_PUBREC, 9, MQTT_SUCCESS);
    client_drop(sub);
    crash(s);
    pub = come_back(s, "pub");
    client_publish_with(pub, &(struct publish_wish){
                                 .topic = "a/1", .payload = "once", .qos = 2, .packet_id = 9, .dup = true });
    expect_ack(pub, MQTT_PUBREC, 9, MQTT_SUCCESS);
    client_ack(pub, MQTT_PUBREL, 9, MQTT_SUCCESS);
    expect_ack(pub, MQTT_PUBCOMP, 9, MQTT_SUCCESS);
    sub = come_back(s, "sub");
    id = take(sub, "a/1", "once", 2);
    client_ack(sub, MQTT_PUBREC, id, MQTT_SUCCESS);
    expect_ack(sub, MQTT_PUBREL, id, MQTT_SUCCESS);
    expect_nothing(sub);
}

static void a_publication_of_qos_2_sent_again_over_a_crash_is_taken_once(void **state UNUSED)
{ /* MQTT5 4.3.3 */
    tell(received_story);
}

/* ---- whose it is ---- */

static void owner_story(struct story *s)
{
    struct conn_io *sub = come(s, "sub", false), *pub = come(s, "pub", false), *thief;
    struct connect_wish wish = { .id = "sub", .scope = ALL, .sub = "somebody else", .resume = true };

    client_subscribe(sub, "a/#", 1, 1);
    client_drop(sub);
    publish(pub, "a/1", "secret", 1, 1);
    crash(s);
    thief = client_new(s->b);
    client_connect(thief, &wish);
    expect_refused(thief, MQTT_CLIENT_ID_NOT_VALID, "ace.check_client_id_owner");
    sub = come_back(s, "sub"); /* the same subject; another key and another token */
    (void)take(sub, "a/1", "secret", 1);
    assert_true(log_has(s->b, "client_connected", "token=replaced"));
}

static void only_its_owner_continues_a_session_over_a_crash(void **state UNUSED)
{ /* MT-60 */
    tell(owner_story);
}

static void fresh_grant_story(struct story *s)
{
    struct conn_io *sub = come(s, "sub", false), *pub = come(s, "pub", false);
    struct connect_wish less = {
        .id = "sub", .scope = "[[\"a/1\",[\"sub\"]]]", .resume = true, .expiry_s = 3600
    };

    client_subscribe(sub, "a/1", 1, 1);
    client_subscribe(sub, "w/1", 1, 1);
    client_drop(sub);
    publish(pub, "a/1", "covered", 1, 1);
    publish(pub, "w/1", "not covered any more", 1, 2);
    crash(s);
    sub = client_new(s->b);
    client_connect(sub, &less);
    assert_true(expect_connack(sub, MQTT_SUCCESS).session_present);
    (void)take(sub, "a/1", "covered", 1);
    expect_nothing(sub);
    assert_int_equal(STAT(s->b, subscriptions), 1);
}

static void nothing_is_delivered_but_under_a_fresh_grant(void **state UNUSED)
{ /* MT-74, MT-78 */
    tell(fresh_grant_story);
}

/* ---- subscriptions ---- */

static void subscription_story(struct story *s)
{
    struct conn_io *sub = come(s, "sub", false), *pub;
    struct mqtt_subscription want = wish_filter("w/+", 1);
    struct mqtt_publish got;

    want.no_local = true;
    want.retain_as_published = true;
    client_subscribe_with(sub, want, 42, 5);
    expect_suback(sub, 5, 1);
    client_subscribe(sub, "a/1", 2, 2);
    client_subscribe(sub, "a/2", 2, 2);
    client_unsubscribe(sub, "a/2");
    crash(s);
    sub = come_back(s, "sub");
    pub = come(s, "pub", false);
    publish(pub, "a/2", "no", 1, 1);
    publish(pub, "a/1", "yes", 2, 2); /* whichever worker either of them is at home on now */
    (void)take(sub, "a/1", "yes", 2);
    client_publish_with(pub, &(struct publish_wish){
                                 .topic = "w/1", .payload = "p", .qos = 1, .packet_id = 3, .retain = true });
    got = expect_publish(sub, "w/1", "p", 1);
    assert_true(got.retain);
    assert_int_equal(got.properties.subscription_id, 42);
    client_publish(sub, "w/1", "mine", 1, 4);
    expect_ack(sub, MQTT_PUBACK, 4, MQTT_SUCCESS);
    expect_nothing(sub);
    assert_int_equal(STAT(s->b, subscriptions), 2);
}

static void subscriptions_are_as_they_were(void **state UNUSED)
{
    tell(subscription_story);
}

/* ---- what is retained ---- */

static void retained_story(struct story *s)
{
    struct conn_io *pub = come(s, "pub", false), *sub;
    char topic[16];

    for (int i = 0; i < 12; i++) {
        (void)snprintf(topic, sizeof topic, "a/%d", i);
        retain(pub, topic, "former", 0);
        retain(pub, topic, "latest", i < 6 ? 0 : 100);
    }
    retain(pub, "a/0", "", 0);
    assert_int_equal(disk_records(s->b, 'r'), 11);
    bench_die(s->b);
    s->b->now.mono.ms += 101 * 1000;
    s->b->now.wall.s += 101;
    assert_int_equal(bench_start(s->b, s->after, NULL), ST_OK);
    bench_run(s->b);
    assert_int_equal(disk_records(s->b, 'r'), 5); /* the others' time had come */
    sub = come(s, "sub", false);
    for (int i = 1; i < 6; i++) {
        (void)snprintf(topic, sizeof topic, "a/%d", i);
        client_subscribe(sub, topic, 1, 1);
        (void)take(sub, topic, "latest", 1);
    }
    client_subscribe(sub, "a/#", 0, 0);
    for (int i = 1; i < 6; i++) {
        struct mqtt_frame frame;

        assert_true(client_next(sub, &frame));
    }
    expect_nothing(sub);
}

static void retained_messages_are_there_as_long_as_they_are_good_for(void **state UNUSED)
{ /* MQTT5 3.3.1.3, 3.3.2.3.3 */
    tell(retained_story);
}

static void a_retained_message_ends_with_its_token_also_while_nobody_runs(void **state UNUSED)
{ /* MT-111 */
    struct story s = { bench_new(1), 2 };
    struct connect_wish brief = { .id = "brief", .scope = ALL, .life_s = 60 };
    struct conn_io *pub;

    bench_disk(s.b);
    pub = client_connected_with(s.b, &brief);
    retain(pub, "a/1", "for a minute", 0);
    bench_die(s.b);
    s.b->now.mono.ms += 61 * 1000;
    s.b->now.wall.s += 61;
    assert_int_equal(bench_start(s.b, s.after, NULL), ST_OK);
    bench_run(s.b);
    assert_int_equal(disk_records(s.b, 'r'), 0);
    bench_free(s.b);
}

static void what_a_revoked_token_left_does_not_come_back(void **state UNUSED)
{ /* MT-111, AF-98 */
    struct story s = { bench_new(1), 3 };
    struct restore_report report;
    struct conn_io *pub;
    struct buf token;
    uint8_t hash[TOKEN_HASH_LEN];
    struct key *key;
    struct connect_wish wish = { .id = "p", .has_data = true };
    struct buf pop, data;

    bench_tokens(s.b, NULL);
    bench_disk(s.b);
    buf_init(&token, 65535);
    buf_init(&pop, ACE_POP_MAX);
    buf_init(&data, 65535);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    token_make(s.b, &(struct token_wish){ .scope = ALL, .sub = "p", .key = key }, &token);
    assert_int_equal(sha256(buf_span(&token), hash), ST_OK);
    pub = client_new(s.b);
    assert_int_equal(pop_make_exporter(key, span_of(pub->exporter_value, ACE_EXPORTER_LEN), &pop), ST_OK);
    assert_int_equal(auth_data_write_connect(buf_span(&token), buf_span(&pop), &data), ST_OK);
    wish.data = buf_span(&data);
    client_connect(pub, &wish);
    expect_connack(pub, MQTT_SUCCESS);
    retain(pub, "a/1", "bad", 0);
    retain(come(&s, "q", false), "a/2", "good", 0);
    bench_die(s.b);
    /* the news was written down, and then the broker ended */
    assert_int_equal(token_store_revoke(s.b->tokens, hash, (struct wall_time){ .s = s.b->now.wall.s + 9999 }),
                     ST_OK);
    assert_int_equal(bench_start(s.b, s.after, &report), ST_OK);
    bench_run(s.b);
    assert_int_equal(report.kinds[RESTORE_RETAINED].restored, 1);
    assert_int_equal(report.kinds[RESTORE_RETAINED].over, 1);
    assert_int_equal(disk_records(s.b, 'r'), 1);
    key_unref(key);
    buf_done(&token);
    buf_done(&pop);
    buf_done(&data);
    bench_free(s.b);
}

/* ---- ends ---- */

static void expiry_story(struct story *s)
{
    struct connect_wish brief = { .id = "brief",
                                  .scope = ALL,
                                  .expiry_s = 100,
                                  .will_topic = "w/brief",
                                  .will_payload = "gone",
                                  .will_delay_s = 1000,
                                  .will_qos = 1 };
    struct conn_io *sub = come(s, "sub", false);
    struct restore_report report;

    client_subscribe(sub, "w/#", 1, 1);
    client_drop(sub);
    client_drop(client_connected_with(s->b, &brief));
    bench_advance(s->b, 50 * 1000);
    bench_die(s->b);
    s->b->now.mono.ms = 12345; /* another boot */
    s->b->now.wall.s += 51;
    assert_int_equal(bench_start(s->b, s->after, &report), ST_OK);
    assert_int_equal(report.kinds[RESTORE_SESSION].over, 1);
    assert_int_equal(report.kinds[RESTORE_SESSION].restored, 1);
    bench_run(s->b);
    bench_advance(s->b, 10);
    assert_int_equal(disk_records(s->b, 's'), 1);
    assert_int_equal(disk_records(s->b, 'w'), 0);
    sub = come_back(s, "sub");
    (void)take(sub, "w/brief", "gone", 1); /* with the end of the session: MQTT5 [MQTT-3.1.3-9] */
    expect_nothing(sub);
}

static void sessions_end_by_the_calendar_while_nobody_runs(void **state UNUSED)
{ /* MQTT5 3.1.2.11.2, [MQTT-3.1.2-8] */
    tell(expiry_story);
}

static void will_story(struct story *s)
{
    struct connect_wish at_once = { .id = "now",
                                    .scope = ALL,
                                    .expiry_s = 3600,
                                    .will_topic = "w/now",
                                    .will_payload = "now",
                                    .will_qos = 2,
                                    .will_retain = true };
    struct connect_wish later = { .id = "later",
                                  .scope = ALL,
                                  .expiry_s = 3600,
                                  .will_topic = "w/later",
                                  .will_payload = "later",
                                  .will_qos = 1,
                                  .will_delay_s = 30 };
    struct connect_wish in_time = { .id = "back",
                                    .scope = ALL,
                                    .expiry_s = 3600,
                                    .will_topic = "w/back",
                                    .will_payload = "never",
                                    .will_qos = 1,
                                    .will_delay_s = 30 };
    struct conn_io *sub = come(s, "sub", false);

    client_subscribe(sub, "w/#", 1, 1);
    client_connected_with(s->b, &at_once);
    client_connected_with(s->b, &later);
    client_connected_with(s->b, &in_time);
    bench_advance(s->b, 60 * 1000);
    bench_die(s->b);
    s->b->now.wall.s += 1000; /* while nobody runs nobody can come back: the delay counts from the start */
    assert_int_equal(bench_start(s->b, s->after, NULL), ST_OK);
    bench_run(s->b);
    sub = come_back(s, "sub");
    bench_advance(s->b, 10);
    (void)take(sub, "w/now", "now", 1);
    expect_nothing(sub);
    in_time.resume = true;
    in_time.will_topic = NULL;
    in_time.will_payload = NULL;
    in_time.will_delay_s = 0;
    in_time.will_qos = 0;
    client_connect(client_new(s->b), &in_time);
    bench_advance(s->b, 29 * 1000);
    expect_nothing(sub);
    bench_advance(s->b, 2 * 1000);
    (void)take(sub, "w/later", "later", 1);
    expect_nothing(sub);
    assert_int_equal(disk_records(s->b, 'w'), 0);
    assert_int_equal(disk_records(s->b, 'r'), 1); /* w/now was to be retained */
}

static void wills_of_those_who_were_connected_count_from_the_start(void **state UNUSED)
{ /* MQTT5 3.1.3.2.2, MT-112 */
    tell(will_story);
}

/* ---- again and again ---- */

static void a_broker_that_dies_again_and_again_loses_nothing(void **state UNUSED)
{
    struct story s = { bench_new(2), 0 };
    struct conn_io *sub, *pub;
    uint16_t n = 0;
    char payload[16];

    bench_disk(s.b);
    sub = come(&s, "sub", false);
    client_subscribe(sub, "a/#", 1, 1);
    client_drop(sub);
    for (unsigned round = 0; round < 12; round++) {
        pub = come(&s, "pub", round > 0);
        for (int i = 0; i < 5; i++) {
            (void)snprintf(payload, sizeof payload, "%u", ++n);
            publish(pub, "a/x", payload, 1 + n % 2, n);
        }
        s.after = 1 + round % 3;
        crash(&s);
        assert_int_equal(STAT(s.b, queued_messages), n);
        assert_int_equal(disk_records(s.b, 's'), 2);
    }
    sub = come_back(&s, "sub");
    for (uint16_t k = 1; k <= n; k++) {
        uint16_t id;

        (void)snprintf(payload, sizeof payload, "%u", k);
        id = take(sub, "a/x", payload, 1);
        client_ack(sub, MQTT_PUBACK, id, MQTT_SUCCESS);
    }
    expect_nothing(sub);
    assert_int_equal(disk_records(s.b, 'm'), 0);
    bench_free(s.b);
}

static void limits_that_were_lowered_take_nothing_away(void **state UNUSED)
{
    struct story s = { bench_new(1), 2 };
    struct restore_report report;
    struct conn_io *sub, *pub;
    char topic[16];

    bench_disk(s.b);
    sub = come(&s, "sub", false);
    pub = come(&s, "pub", false);
    for (uint16_t i = 1; i <= 10; i++) {
        (void)snprintf(topic, sizeof topic, "a/%u", i);
        client_subscribe(sub, topic, 1, 1);
    }
    client_drop(sub);
    for (uint16_t i = 1; i <= 10; i++) {
        (void)snprintf(topic, sizeof topic, "a/%u", i);
        retain(pub, topic, "p", 0);
    }
    bench_die(s.b);
    s.b->settings.max_sessions = 1;
    s.b->settings.max_subscriptions = 3;
    s.b->settings.max_all_subscriptions = 3;
    s.b->settings.max_queue_messages = 2;
    s.b->settings.max_retained_messages = 4;
    s.b->settings.max_inflight = 1;
    assert_int_equal(bench_start(s.b, s.after, &report), ST_OK);
    bench_run(s.b);
    assert_null(report.refused.clause);
    assert_int_equal(report.kinds[RESTORE_SESSION].restored, 2);
    assert_int_equal(report.kinds[RESTORE_SUBSCRIPTION].restored, 10);
    assert_int_equal(report.kinds[RESTORE_DELIVERY].restored, 10);
    assert_int_equal(report.kinds[RESTORE_RETAINED].restored, 10);
    sub = come_back(&s, "sub");
    for (uint16_t i = 1; i <= 10; i++) {
        (void)snprintf(topic, sizeof topic, "a/%u", i);
        client_ack(sub, MQTT_PUBACK, take(sub, topic, "p", 1), MQTT_SUCCESS);
    }
    expect_nothing(sub);
    bench_free(s.b);
}

/* ---- what does not belong, and what is damaged ---- */

static void what_belongs_to_nothing_is_removed_and_counted(void **state UNUSED)
{
    struct story s = { bench_new(1), 1 };
    struct restore_report report;
    struct kv_batch b;

    bench_disk(s.b);
    client_subscribe(come(&s, "sub", false), "a/#", 1, 1);
    bench_die(s.b);
    kv_batch_init(&b, SIZE_MAX);
    assert_int_equal(record_put_message(&b, &(struct record_message){ .number = 500, .topic = SPAN("a") }),
                     ST_OK);
    assert_int_equal(
        record_put_delivery(&b, &(struct record_delivery){ .session = 99, .n = 1, .body = 500, .qos = 1 }),
        ST_OK);
    assert_int_equal(
        record_put_delivery(&b, &(struct record_delivery){ .session = 1, .n = 1, .body = 501, .qos = 1 }),
        ST_OK);
    assert_int_equal(record_put_subscription(
                         &b, &(struct record_subscription){ .session = 99, .n = 1, .filter = SPAN("a") }),
                     ST_OK);
    assert_int_equal(record_put_received(&b, 99, (const uint16_t[]){ 1 }, 1), ST_OK);
    assert_int_equal(record_put_will(&b, &(struct record_will){ .session = 99, .topic = SPAN("a") }), ST_OK);
    assert_int_equal(record_put_item(&b, &(struct record_item){ 9, 1, { .topic = SPAN("a"), .qos = 1 } }),
                     ST_OK);
    disk_apply(s.b->disk, &b);
    kv_batch_done(&b);
    log_forget(s.b);
    assert_int_equal(bench_start(s.b, 1, &report), ST_OK);
    bench_run(s.b);
    assert_int_equal(report.kinds[RESTORE_MESSAGE].orphans, 1);
    assert_int_equal(report.kinds[RESTORE_DELIVERY].orphans, 2);
    assert_int_equal(report.kinds[RESTORE_SUBSCRIPTION].orphans, 1);
    assert_int_equal(report.kinds[RESTORE_RECEIVED].orphans, 1);
    assert_int_equal(report.kinds[RESTORE_WILL].orphans, 1);
    assert_int_equal(report.kinds[RESTORE_ITEM].orphans, 1);
    assert_null(report.unreadable.clause);
    assert_int_equal(disk_records(s.b, 0), 3); /* v, s, b */
    restore_log(&report, 1, NULL);
    assert_true(log_has(s.b, "store_restored", "orphans_removed=7"));
    bench_free(s.b);
}

/* Records in order, with a right sum, and still of nobody: whoever wrote them was no broker. */
static void numbers_that_nobody_has_counted_to_are_set_aside(void **state UNUSED)
{
    const uint64_t high = UINT64_C(1) << 62;
    const struct record_message message = { .topic = SPAN("a/1"), .qos = 1 };
    struct record_message retained = { .number = high, .topic = SPAN("a/1") },
                          body = { .number = high, .topic = SPAN("a") };
    struct story s = { bench_new(1), 2 };
    struct restore_report report;
    struct kv_batch b;

    bench_disk(s.b);
    client_subscribe(come(&s, "sub", false), "a/#", 1, 1);
    bench_die(s.b);
    kv_batch_init(&b, SIZE_MAX);
    assert_int_equal(record_put_group(&b, &(struct record_group){ high, SPAN("$share/g/a") }), ST_OK);
    assert_int_equal(record_put_group(&b, &(struct record_group){ 7, SPAN("$share/h/a/#") }), ST_OK);
    assert_int_equal(record_put_item(&b, &(struct record_item){ 7, high, message }), ST_OK);
    assert_int_equal(
        record_put_session(
            &b,
            &(struct record_session){ .session = high, .client_id = SPAN("x"), .expiry_s = 9, .version = 5 }),
        ST_OK);
    assert_int_equal(record_put_message(&b, &body), ST_OK);
    assert_int_equal(
        record_put_delivery(&b, &(struct record_delivery){ .session = 1, .n = high, .body = 1, .qos = 1 }),
        ST_OK);
    assert_int_equal(record_put_retained(&b, &retained), ST_OK);
    retained = (struct record_message){ .number = 1, .topic = SPAN("$SYS/broker/uptime") };
    assert_int_equal(record_put_retained(&b, &retained), ST_OK);
    assert_int_equal(record_put_out(&b, &(struct record_out){ 0, 0, high, message, false }), ST_OK);
    assert_int_equal(record_put_out(&b, &(struct record_out){ 1, 0, 1, message, false }), ST_OK);
    assert_int_equal(record_put_out(&b, &(struct record_out){ 0, 1, 1, message, false }), ST_OK);
    disk_apply(s.b->disk, &b);
    kv_batch_done(&b);
    assert_int_equal(bench_start(s.b, s.after, &report), ST_OK);
    bench_run(s.b);
    assert_int_equal(report.kinds[RESTORE_GROUP].unreadable, 1);
    assert_int_equal(report.kinds[RESTORE_ITEM].unreadable, 1);
    assert_int_equal(report.kinds[RESTORE_SESSION].unreadable, 1);
    assert_int_equal(report.kinds[RESTORE_MESSAGE].unreadable, 1);
    assert_int_equal(report.kinds[RESTORE_DELIVERY].unreadable, 1);
    assert_int_equal(report.kinds[RESTORE_RETAINED].unreadable, 2);
    assert_int_equal(report.kinds[RESTORE_OUT].unreadable, 3);
    assert_int_equal(disk_records(s.b, RECORD_ASIDE), 10);
    (void)come_back(&s, "sub"); /* and who was there is there */
    bench_free(s.b);
}

/* Without the record that says how many workers there were, all but what went between them is there. */
static void a_store_whose_first_record_is_damaged_is_read_all_the_same(void **state UNUSED)
{
    static const uint8_t long_key[KV_KEY_MAX] = { RECORD_SESSION };
    struct story s = { bench_new(2), 2 };
    struct conn_io *sub, *pub;
    struct restore_report report;
    struct kv_batch b;
    struct buf *v;

    bench_disk(s.b);
    sub = come(&s, "sub", false);
    pub = come(&s, "pub", false);
    client_subscribe(sub, "a/#", 1, 1);
    client_drop(sub);
    publish(pub, "a/1", "one", 1, 1);
    bench_die(s.b);
    kv_batch_init(&b, SIZE_MAX);
    v = kv_batch_put_begin(&b, SPAN("v"));
    put_bytes(v, SPAN("what is this"));
    assert_int_equal(kv_batch_put_end(&b), ST_OK);
    v = kv_batch_put_begin(&b, span_of(long_key, sizeof long_key)); /* too long to be kept under another name */
    put_bytes(v, SPAN("and this"));
    assert_int_equal(kv_batch_put_end(&b), ST_OK);
    assert_int_equal(
        record_put_out(&b, &(struct record_out){ 0, 1, 5, { .topic = SPAN("a/2"), .qos = 1 }, false }), ST_OK);
    disk_apply(s.b->disk, &b);
    kv_batch_done(&b);
    log_forget(s.b);
    assert_int_equal(bench_start(s.b, s.after, &report), ST_OK);
    bench_run(s.b);
    assert_true(log_has(s.b, "store_meta_lost", ""));
    assert_int_equal(report.workers, 0);
    assert_int_equal(report.kinds[RESTORE_SESSION].unreadable, 1);
    assert_int_equal(report.kinds[RESTORE_OUT].unreadable, 1);
    assert_non_null(disk_get(s.b->disk, span_of(long_key, sizeof long_key)).p);
    sub = come_back(&s, "sub");
    (void)take(sub, "a/1", "one", 1);
    expect_nothing(sub);
    bench_free(s.b);
}

static void a_record_that_changed_on_the_disk_is_set_aside_and_the_rest_is_there(void **state UNUSED)
{
    struct story s = { bench_new(1), 2 };
    struct record_key key;
    struct restore_report report;
    struct conn_io *pub, *sub;
    uint8_t *byte;
    struct span value;

    bench_disk(s.b);
    sub = come(&s, "sub", false);
    pub = come(&s, "pub", false);
    client_subscribe(sub, "a/#", 1, 1);
    client_drop(sub);
    publish(pub, "a/1", "one", 1, 1);
    publish(pub, "a/2", "two", 1, 2);
    publish(pub, "a/3", "three", 1, 3);
    bench_die(s.b);
    key = record_key_message(2);
    value = disk_get(s.b->disk, record_key_span(&key));
    assert_non_null(value.p);
    byte = (uint8_t *)(uintptr_t)value.p;
    byte[value.len - 6] ^= 1; /* in the payload */
    assert_int_equal(bench_start(s.b, s.after, &report), ST_OK);
    bench_run(s.b);
    assert_int_equal(report.kinds[RESTORE_MESSAGE].unreadable, 1);
    assert_int_equal(report.kinds[RESTORE_DELIVERY].orphans, 1);
    assert_string_equal(report.unreadable.text, "the sum is wrong: the disk has changed it");
    assert_int_equal(disk_records(s.b, RECORD_ASIDE), 1);
    sub = come_back(&s, "sub");
    (void)take(sub, "a/1", "one", 1);
    (void)take(sub, "a/3", "three", 1);
    expect_nothing(sub);
    bench_die(s.b);
    assert_int_equal(bench_start(s.b, s.after, &report), ST_OK);
    assert_null(report.unreadable.clause); /* it is said once */
    assert_int_equal(report.kinds[RESTORE_DELIVERY].orphans, 0);
    assert_int_equal(disk_records(s.b, RECORD_ASIDE), 1);
    bench_free(s.b);
}

static void a_disk_that_refuses_the_first_transaction_refuses_the_start_and_loses_nothing(void **state UNUSED)
{
    struct story s = { bench_new(2), 3 };
    struct conn_io *pub, *sub;

    bench_disk(s.b);
    sub = come(&s, "sub", false);
    pub = come(&s, "pub", false);
    client_subscribe(sub, "a/#", 2, 2);
    client_drop(sub);
    publish(pub, "a/1", "one", 2, 1);
    bench_die(s.b);
    s.b->disk->failing = ST_QUOTA;
    assert_int_equal(bench_start(s.b, 3, NULL), ST_QUOTA);
    bench_die(s.b);
    s.b->disk->failing = ST_OK;
    assert_int_equal(bench_start(s.b, 3, NULL), ST_OK);
    bench_run(s.b);
    sub = come_back(&s, "sub");
    (void)take(sub, "a/1", "one", 2);
    bench_free(s.b);
}

static void a_store_of_another_format_is_not_touched(void **state UNUSED)
{
    struct story s = { bench_new(1), 1 };
    struct record_meta meta = { .format = RECORD_FORMAT + 1, .workers = 1 };
    struct kv_batch b;

    bench_disk(s.b);
    client_drop(come(&s, "c", false));
    bench_die(s.b);
    kv_batch_init(&b, SIZE_MAX);
    assert_int_equal(record_put_meta(&b, &meta), ST_OK);
    disk_apply(s.b->disk, &b);
    kv_batch_done(&b);
    assert_int_equal(bench_start(s.b, 1, NULL), ST_BAD_VERSION);
    assert_int_equal(disk_records(s.b, 's'), 1);
    bench_free(s.b);
}

/* ---- from a hostile hand ---- */

/* Any bytes of any record, with the right sum. */
static void spoil(struct story *s, unsigned changes)
{
    struct disk *disk = s->b->disk;
    struct kv_batch b;

    for (unsigned i = 0; i < changes; i++) {
        struct disk_entry *e = disk->entries[pick(s->b, (uint32_t)disk->count)];
        struct span value = buf_span(&e->value);

        kv_batch_init(&b, SIZE_MAX);
        if (value.len > RECORD_SUM_LEN && pick(s->b, 20) > 0) {
            struct buf *v = kv_batch_put_begin(&b, buf_span(&e->key));
            size_t at = v->len;

            put_bytes(v, span_of(value.p, value.len - RECORD_SUM_LEN));
            v->p[at + pick(s->b, (uint32_t)(v->len - at))] = (uint8_t)pick(s->b, 256);
            put_u32(v, record_sum(buf_span(&e->key), span_of(v->p + at, v->len - at)));
            assert_int_equal(kv_batch_put_end(&b), ST_OK);
        } else { /* under another number */
            uint8_t key[17];
            struct span of = span_of(key, e->key.len);
            struct buf *v;
            size_t at;

            assert_true(e->key.len <= sizeof key);
            memcpy(key, e->key.p, e->key.len);
            key[pick(s->b, (uint32_t)of.len)] = (uint8_t)pick(s->b, 256);
            v = kv_batch_put_begin(&b, of);
            at = v->len;
            put_bytes(v, span_of(value.p, value.len < RECORD_SUM_LEN ? 0 : value.len - RECORD_SUM_LEN));
            put_u32(v, record_sum(of, span_of(v->p + at, v->len - at)));
            assert_int_equal(kv_batch_put_end(&b), ST_OK);
        }
        disk_apply(disk, &b);
        kv_batch_done(&b);
    }
}

static void fill(struct story *s)
{
    struct connect_wish willing = { .id = "w",
                                    .scope = ALL,
                                    .expiry_s = 1000,
                                    .will_topic = "w/w",
                                    .will_payload = "w",
                                    .will_qos = 2,
                                    .will_delay_s = 5 };
    struct conn_io *pub = come(s, "pub", false), *sub;
    char id[8];

    for (int i = 0; i < 4; i++) {
        (void)snprintf(id, sizeof id, "s%d", i);
        sub = come(s, id, false);
        client_subscribe(sub, "a/#", 2, 2);
        client_subscribe(sub, i < 2 ? "$share/g/a/#" : "$share/h/w/#", 1, 1);
        if (i % 2 == 0)
            client_drop(sub);
    }
    client_connected_with(s->b, &willing);
    for (uint16_t n = 1; n < 8; n++)
        publish(pub, n % 2 == 0 ? "a/1" : "w/1", "payload", 1 + n % 2, n);
    client_publish(pub, "a/3", "p", 2, 99);
    expect_ack(pub, MQTT_PUBREC, 99, MQTT_SUCCESS);
    retain(pub, "a/r", "r", 100);
}

static void no_disk_whatever_it_holds_brings_the_broker_down(void **state UNUSED)
{
    struct seeds seeds = seeds_of(0, NULL, 150);

    for (uint64_t seed = seeds.first; seed <= seeds.last; seed++) {
        struct story s = { bench_new(1 + (unsigned)(seed % 3)), 1 + (unsigned)(seed / 3 % 3) };
        enum status st;

        bench_disk(s.b);
        s.b->seed = seed;
        fill(&s);
        bench_die(s.b);
        spoil(&s, 1 + pick(s.b, 8));
        st = bench_start(s.b, s.after, NULL);
        assert_true(st == ST_OK || st == ST_BAD_VERSION);
        if (st == ST_OK) {
            bench_run(s.b);
            client_connect(client_new(s.b), &(struct connect_wish){ .id = "s0", .scope = ALL, .resume = true });
            bench_advance(s.b, 20 * 1000);
            bench_crash(s.b, 1 + pick(s.b, 3)); /* what it wrote can be read */
        }
        bench_free(s.b);
    }
}

/* ---- without memory ---- */

static void on_inside(bool yes)
{
    failing_memory_pause(!yes);
}

static void a_start_that_lacks_memory_is_refused_and_loses_nothing(void **state UNUSED)
{
    struct story s = { bench_new(2), 3 };
    struct restore_report whole, report;
    long failed = 0, made = 1;

    bench_disk(s.b);
    fill(&s);
    bench_die(s.b);
    for (long n = 1; n <= made; n++) {
        enum status st;

        s.b->inside = on_inside;
        failing_memory_begin(n);
        failing_memory_pause(true);
        st = bench_start(s.b, 1 + (unsigned)n % 3, &report);
        made = failing_memory_end();
        s.b->inside = NULL;
        failed += st == ST_NO_MEMORY;
        assert_true(st == ST_OK || st == ST_NO_MEMORY);
        bench_die(s.b);
        made = n < 20 && made < 20 ? 20 : made; /* the first may have ended it at once */
        if (st == ST_NO_MEMORY)
            made = n + 1;
    }
    assert_true(failed > 100);
    assert_int_equal(bench_start(s.b, 3, &whole), ST_OK);
    assert_null(whole.unreadable.clause);
    assert_int_equal(whole.kinds[RESTORE_SESSION].restored, 6);
    (void)come_back(&s, "s0");
    bench_free(s.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_for_sessions_comes_to_each_once_and_in_order),
        cmocka_unit_test(what_was_in_flight_goes_on_where_it_was),
        cmocka_unit_test(a_publication_of_qos_2_sent_again_over_a_crash_is_taken_once),
        cmocka_unit_test(only_its_owner_continues_a_session_over_a_crash),
        cmocka_unit_test(nothing_is_delivered_but_under_a_fresh_grant),
        cmocka_unit_test(subscriptions_are_as_they_were),
        cmocka_unit_test(retained_messages_are_there_as_long_as_they_are_good_for),
        cmocka_unit_test(a_retained_message_ends_with_its_token_also_while_nobody_runs),
        cmocka_unit_test(what_a_revoked_token_left_does_not_come_back),
        cmocka_unit_test(sessions_end_by_the_calendar_while_nobody_runs),
        cmocka_unit_test(wills_of_those_who_were_connected_count_from_the_start),
        cmocka_unit_test(a_broker_that_dies_again_and_again_loses_nothing),
        cmocka_unit_test(limits_that_were_lowered_take_nothing_away),
        cmocka_unit_test(what_belongs_to_nothing_is_removed_and_counted),
        cmocka_unit_test(numbers_that_nobody_has_counted_to_are_set_aside),
        cmocka_unit_test(a_store_whose_first_record_is_damaged_is_read_all_the_same),
        cmocka_unit_test(a_record_that_changed_on_the_disk_is_set_aside_and_the_rest_is_there),
        cmocka_unit_test(a_disk_that_refuses_the_first_transaction_refuses_the_start_and_loses_nothing),
        cmocka_unit_test(a_store_of_another_format_is_not_touched),
        cmocka_unit_test(no_disk_whatever_it_holds_brings_the_broker_down),
        cmocka_unit_test(a_start_that_lacks_memory_is_refused_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
