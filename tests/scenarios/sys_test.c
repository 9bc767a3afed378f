/* What the broker publishes of itself under $SYS, and who may read it (MQTT5 4.7.2). */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#define SYS  "[[\"$SYS/#\",[\"pub\",\"sub\"]],[\"a/#\",[\"pub\",\"sub\"]]]"
#define ALL  "[[\"#\",[\"pub\",\"sub\"]]]"
#define MUCH 40 /* topics at least; 76 with memory */

static int set_up(void **state)
{
    *state = bench_new(1);
    bench_advance(*state, 100); /* the first tick */
    return 0;
}

static int set_up_3(void **state)
{
    *state = bench_new(3);
    bench_advance(*state, 100);
    return 0;
}

/* Takes everything that came; the value of one topic among it, or NULL; how many there were. */
static const char *take_all(struct conn_io *c, const char *topic, bool retain, size_t *ret_count)
{
    static char value[64];
    struct mqtt_frame frame;
    bool found = false;

    *ret_count = 0;
    while (client_next(c, &frame)) {
        struct mqtt_publish p;

        assert_int_equal(frame.type, MQTT_PUBLISH);
        assert_int_equal(mqtt_read_publish(&frame, c->version, &p, NULL), ST_OK);
        assert_int_equal(p.qos, 0);
        assert_int_equal(p.retain, retain);
        assert_true(span_starts_with(p.topic.s, SPAN("$SYS/broker/")));
        (*ret_count)++;
        if (!span_eq_str(p.topic.s, topic))
            continue;
        snprintf(value, sizeof value, "%.*s", SPAN_FMT(p.payload));
        found = true;
    }
    return found ? value : NULL;
}

static void who_is_named_by_its_token_reads_it(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", SYS);
    size_t count;

    client_subscribe(c, "$SYS/#", 0, 0);
    assert_string_equal(take_all(c, "$SYS/broker/uptime", true, &count), "0 seconds");
    assert_true(count > MUCH);
    client_subscribe(c, "$SYS/broker/clients/+", 1, MQTT_GRANTED_QOS_1);
    assert_string_equal(take_all(c, "$SYS/broker/clients/total", true, &count), "0"); /* before it came */
    assert_int_equal(count, 7);
    client_subscribe(c, "$SYS/broker/uptime", 0, 0);
    assert_non_null(take_all(c, "$SYS/broker/uptime", true, &count));
    assert_int_equal(count, 1);
}

static void what_changes_comes_each_interval(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", SYS), *old;
    size_t count;

    client_subscribe(c, "$SYS/broker/clients/total", 0, 0);
    assert_string_equal(take_all(c, "$SYS/broker/clients/total", true, &count), "0");
    bench_advance(b, 10100);
    assert_string_equal(take_all(c, "$SYS/broker/clients/total", false, &count), "1");
    bench_advance(b, 10000);
    expect_nothing(c);
    old = client_connected_with(b, &(struct connect_wish){ .id = "old", .scope = SYS, .v3 = true });
    client_subscribe(old, "$SYS/broker/clients/#", 0, 0);
    assert_string_equal(take_all(old, "$SYS/broker/clients/total", true, &count), "1");
    bench_advance(b, 10000);
    assert_string_equal(take_all(c, "$SYS/broker/clients/total", false, &count), "2");
    assert_string_equal(take_all(old, "$SYS/broker/clients/connected", false, &count), "2");
}

static void what_is_counted_is_what_happened(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", SYS), *stranger = client_new(b);
    size_t count;

    client_subscribe(c, "a/b", 0, 0);
    client_publish(c, "a/b", "12345", 0, 0);
    (void)expect_publish(c, "a/b", "12345", 0);
    client_connect(stranger, &(struct connect_wish){ .id = "s",
                                                     .scope = SYS,
                                                     .has_data = true,
                                                     .data = SPAN("\x00\x08"
                                                                  "e30.e30.") });
    (void)expect_connack(stranger, MQTT_NOT_AUTHORIZED);
    bench_advance(b, 10100);
#define COMES(topic, value)                          \
    client_subscribe(c, "$SYS/broker/" topic, 0, 0); \
    assert_string_equal(take_all(c, "$SYS/broker/" topic, true, &count), value)
    COMES("publish/messages/received", "1");
    COMES("publish/messages/sent", "1");
    COMES("publish/bytes/received", "5");
    COMES("publish/bytes/sent", "5");
    COMES("messages/received", "4"); /* CONNECT twice, SUBSCRIBE, PUBLISH */
    COMES("messages/sent", "4");     /* CONNACK twice, SUBACK, PUBLISH */
    COMES("subscriptions/count", "1");
    COMES("ace/tokens/accepted", "1");
    COMES("ace/tokens/refused", "1");
    COMES("heap/current", "12345678");
    COMES("load/connections/1min", "1.84"); /* 2 in 10 s: 12 * (1 - e^(-10/60)) */
#undef COMES
}

static void no_wildcard_in_front_matches_it(void **state)
{ /* MQTT5 [MQTT-4.7.2-1], MT-82 */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    client_subscribe(c, "#", 0, 0);
    client_subscribe(c, "+/broker/uptime", 0, 0);
    client_subscribe(c, "+/+/#", 0, 0);
    expect_nothing(c);
    bench_advance(b, 30000);
    expect_nothing(c);
    client_subscribe(c, "$SYS/#", 0, MQTT_NOT_AUTHORIZED); /* nor in a scope */
    client_subscribe(c, "$SYS/broker/uptime", 0, MQTT_NOT_AUTHORIZED);
    expect_nothing(c);
}

static void a_public_topic_may_open_it(void **state)
{ /* MT-21 */
    struct bench *b = *state;
    struct conn_io *c;
    size_t count;

    bench_public(b, "[[\"$SYS/broker/uptime\",[\"sub\"]]]");
    c = client_connected_with(b, &(struct connect_wish){ .id = "c", .no_method = true });
    client_subscribe(c, "$SYS/broker/uptime", 0, 0);
    assert_non_null(take_all(c, "$SYS/broker/uptime", true, &count));
    client_subscribe(c, "$SYS/#", 0, MQTT_NOT_AUTHORIZED);
}

static void nobody_else_writes_it(void **state)
{ /* MQTT5 4.7.2 */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", SYS);
    size_t count;

    client_publish_with(
        c, &(struct publish_wish){
               .topic = "$SYS/broker/version", .payload = "mine", .qos = 1, .packet_id = 1, .retain = true });
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_TOPIC_NAME_INVALID);
    client_publish_with(
        c, &(struct publish_wish){
               .topic = "$SYS/broker/uptime", .payload = "", .qos = 1, .packet_id = 1, .retain = true });
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_TOPIC_NAME_INVALID);
    client_subscribe(c, "$SYS/#", 0, 0);
    assert_string_equal(take_all(c, "$SYS/broker/uptime", true, &count), "0 seconds");
}

static void the_limits_of_retained_messages_are_for_clients(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", SYS);
    size_t count;

    assert_int_equal(STAT(b, retained_messages), 0);
    client_publish_with(c, &(struct publish_wish){ .topic = "a/b", .payload = "x", .retain = true });
    assert_int_equal(STAT(b, retained_messages), 1);
    bench_advance(b, 10100);
    client_subscribe(c, "$SYS/broker/retained messages/count", 0, 0);
    assert_string_equal(take_all(c, "$SYS/broker/retained messages/count", true, &count), "1");
}

static void no_token_ends_it(void **state)
{ /* MT-111 is about what clients publish */
    struct bench *b = *state;
    struct conn_io *c;
    size_t count;

    for (int hour = 0; hour < 30; hour++) {
        b->now.mono.ms += 3600 * 1000;
        b->now.wall.s += 3600;
        bench_run(b);
    }
    c = client_connected(b, "c", SYS);
    client_subscribe(c, "$SYS/#", 0, 0);
    (void)take_all(c, "$SYS/broker/uptime", true, &count);
    assert_true(count > MUCH);
}

static void it_can_be_switched_off(void **state)
{
    struct bench *b = *state;
    struct conn_io *c;
    size_t count;

    b->settings.sys_interval_s = 0;
    bench_tokens(b, NULL); /* begins anew */
    c = client_connected(b, "c", SYS);
    client_subscribe(c, "$SYS/#", 0, 0);
    bench_advance(b, 30000);
    (void)take_all(c, "", true, &count);
    assert_int_equal(count, 0);
}

static void the_state_of_a_bridge_is_kept_even_then(void **state)
{
    struct bench *b = *state;
    struct conn_io *bridge, *c;
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    size_t count;

    b->settings.sys_interval_s = 0;
    bench_tokens(b, NULL);
    assert_int_equal(scope_from_text(SPAN("[[\"$SYS/broker/connection/x/state\",[\"pub\"]]]"), &scope, NULL),
                     ST_OK);
    assert_int_equal(token_built_in(SPAN("$bridge/x"), scope, &token), ST_OK);
    bridge = client_new(b);
    bridge->identity = (struct conn_identity){ .kind = IDENTITY_BUILT_IN, .built_in = token };
    client_connect(bridge, &(struct connect_wish){ .id = "$bridge/x", .no_method = true });
    (void)expect_connack(bridge, MQTT_SUCCESS);
    client_publish_with(bridge, &(struct publish_wish){ .topic = "$SYS/broker/connection/x/state",
                                                        .payload = "1",
                                                        .qos = 1,
                                                        .packet_id = 1,
                                                        .retain = true });
    (void)expect_ack(bridge, MQTT_PUBACK, 1, MQTT_SUCCESS);
    c = client_connected(b, "c", SYS);
    client_subscribe(c, "$SYS/#", 0, 0);
    assert_string_equal(take_all(c, "$SYS/broker/connection/x/state", true, &count), "1");
    assert_int_equal(STAT(b, retained_messages), 0);
}

static void where_nothing_is_retained_all_of_it_comes_each_interval(void **state)
{ /* MQTT5 3.2.2.3.5 */
    struct bench *b = *state;
    struct conn_io *c;
    size_t count;

    b->settings.retain_available = false;
    bench_tokens(b, NULL);
    c = client_connected(b, "c", SYS);
    client_subscribe(c, "$SYS/#", 0, 0);
    expect_nothing(c);
    for (int i = 0; i < 2; i++) {
        bench_advance(b, 10100);
        assert_non_null(take_all(c, "$SYS/broker/clients/maximum", false, &count));
        assert_true(count > MUCH);
    }
}

static void clients_of_every_shard_read_the_same(void **state)
{
    struct bench *b = *state;
    struct conn_io *c[6];
    size_t count;

    for (int i = 0; i < 6; i++) {
        char id[8];

        snprintf(id, sizeof id, "c%d", i);
        c[i] = client_connected_with(
            b, &(struct connect_wish){ .id = i == 5 ? "" : id, .sub = "s", .scope = SYS });
        client_subscribe(c[i], i % 2 == 0 ? "$SYS/broker/clients/total" : "$SYS/broker/clients/#", 0, 0);
        assert_string_equal(take_all(c[i], "$SYS/broker/clients/total", true, &count), "0");
        assert_int_equal(count, i % 2 == 0 ? 1 : 7);
    }
    bench_advance(b, 10100);
    for (int i = 0; i < 6; i++)
        assert_string_equal(take_all(c[i], "$SYS/broker/clients/total", false, &count), "6");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(who_is_named_by_its_token_reads_it),
        T(what_changes_comes_each_interval),
        T(what_is_counted_is_what_happened),
        T(no_wildcard_in_front_matches_it),
        T(a_public_topic_may_open_it),
        T(nobody_else_writes_it),
        T(the_limits_of_retained_messages_are_for_clients),
        T(no_token_ends_it),
        T(it_can_be_switched_off),
        T(the_state_of_a_bridge_is_kept_even_then),
        T(where_nothing_is_retained_all_of_it_comes_each_interval),
        cmocka_unit_test_setup_teardown(clients_of_every_shard_read_the_same, set_up_3, bench_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
