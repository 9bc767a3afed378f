/* What the broker offers of MQTT, says so in CONNACK (MQTT5 3.2.2.3), and refuses beyond it. */
#include "harness.h"

#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

static struct mqtt_properties accepted(struct bench *b, struct conn_io **ret_c, const struct connect_wish *wish)
{
    *ret_c = client_new(b);
    client_connect(*ret_c, wish);
    return expect_connack(*ret_c, MQTT_SUCCESS).properties;
}

/* ---- Maximum QoS ---- */

static void a_maximum_qos_below_2_is_announced(void **state)
{ /* MQTT5 [MQTT-3.2.2-9] */
    struct bench *b = *state;

    for (uint8_t qos = 0; qos <= 2; qos++) {
        struct conn_io *c;
        struct mqtt_properties p;

        b->settings.maximum_qos = qos;
        p = accepted(b, &c, &(struct connect_wish){ .id = "c", .scope = ALL });
        assert_int_equal(mqtt_has(&p, PROP_MAXIMUM_QOS), qos < 2);
        assert_int_equal(mqtt_maximum_qos(&p), qos);
        client_bye(c);
    }
}

static void subscriptions_get_no_more_than_the_maximum_qos(void **state)
{ /* MQTT5 [MQTT-3.2.2-10], [MQTT-3.9.3-1]; the same in 3.1.1 */
    struct bench *b = *state;
    struct conn_io *c, *old, *pub;

    b->settings.maximum_qos = 1;
    c = client_connected(b, "c", ALL);
    old = client_connected_with(b, &(struct connect_wish){ .id = "old", .scope = ALL, .v3 = true });
    pub = client_connected(b, "pub", ALL);
    client_subscribe(c, "a/b", 2, MQTT_GRANTED_QOS_1);
    client_subscribe(c, "a/c", 1, MQTT_GRANTED_QOS_1);
    client_subscribe(c, "a/d", 0, 0);
    client_subscribe(old, "a/b", 2, MQTT_GRANTED_QOS_1);
    client_publish(pub, "a/b", "x", 1, 1);
    (void)expect_publish(c, "a/b", "x", 1);
    (void)expect_publish(old, "a/b", "x", 1);
    b->settings.maximum_qos = 0;
    client_subscribe(c, "a/b", 2, 0);
}

static void a_publication_beyond_the_maximum_qos_ends_the_connection(void **state)
{ /* MQTT5 [MQTT-3.2.2-11], 3.2.2.3.4: 0x9B; 3.1.1 has no word for it */
    struct bench *b = *state;
    struct conn_io *sub = client_connected(b, "sub", ALL), *c, *old;

    client_subscribe(sub, "a/#", 0, 0);
    b->settings.maximum_qos = 1;
    c = client_connected(b, "c", ALL);
    client_publish(c, "a/b", "fine", 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    client_publish(c, "a/b", "too much", 2, 2);
    expect_thrown_out(c, MQTT_QOS_NOT_SUPPORTED, "MQTT5 [MQTT-3.2.2-11]");
    old = client_connected_with(b, &(struct connect_wish){ .id = "old", .scope = ALL, .v3 = true });
    client_publish(old, "a/b", "too much", 2, 2);
    expect_closed(old);
    (void)expect_publish(sub, "a/b", "fine", 0);
    expect_nothing(sub);
}

static void a_will_beyond_the_maximum_qos_keeps_its_client_out(void **state)
{ /* MQTT5 [MQTT-3.2.2-12] */
    struct bench *b = *state;
    struct conn_io *c = client_new(b);

    b->settings.maximum_qos = 1;
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .will_topic = "a/w", .will_qos = 2 });
    expect_refused(c, MQTT_QOS_NOT_SUPPORTED, "MQTT5 [MQTT-3.2.2-12]");
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .will_topic = "a/w", .will_qos = 1 });
    (void)expect_connack(c, MQTT_SUCCESS);
    c = client_new(b); /* 3.1.1 has no return code for it: MQTT311 [MQTT-3.2.2-6] */
    client_connect(
        c, &(struct connect_wish){ .id = "d", .scope = ALL, .v3 = true, .will_topic = "a/w", .will_qos = 2 });
    expect_closed(c);
}

/* ---- retained messages ---- */

static void a_retained_will_where_nothing_is_retained_keeps_its_client_out(void **state)
{ /* MQTT5 [MQTT-3.2.2-13]: 0x9A */
    struct bench *b = *state;
    struct conn_io *c = client_new(b);

    b->settings.retain_available = false;
    client_connect(c,
                   &(struct connect_wish){ .id = "c", .scope = ALL, .will_topic = "a/w", .will_retain = true });
    expect_refused(c, MQTT_RETAIN_NOT_SUPPORTED, "MQTT5 [MQTT-3.2.2-13]");
}

static void retained_messages_of_3_1_1_can_be_switched_off_too(void **state)
{ /* MQTT5 [MQTT-3.2.2-14] for a version that can not be told */
    struct bench *b = *state;
    struct conn_io *c;

    b->settings.retain_available = false;
    c = client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = ALL, .v3 = true });
    client_publish_with(c, &(struct publish_wish){ .topic = "a/b", .payload = "x", .retain = true });
    expect_closed(c);
    assert_int_equal(STAT(b, retained_messages), 0);
}

/* ---- subscriptions ---- */

static void wildcards_can_be_switched_off(void **state)
{ /* MQTT5 3.2.2.3.11: announced, 0xA2; 0x80 in 3.1.1 */
    struct bench *b = *state;
    struct conn_io *c, *old;
    struct mqtt_properties p;

    b->settings.wildcard_subscriptions = false;
    p = accepted(b, &c, &(struct connect_wish){ .id = "c", .scope = ALL });
    assert_true(mqtt_has(&p, PROP_WILDCARD_AVAILABLE));
    assert_int_equal(p.wildcard_available, 0);
    client_subscribe(c, "a/#", 0, MQTT_WILDCARDS_NOT_SUPPORTED);
    client_subscribe(c, "a/+", 1, MQTT_WILDCARDS_NOT_SUPPORTED);
    client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
    old = client_connected_with(b, &(struct connect_wish){ .id = "old", .scope = ALL, .v3 = true });
    client_subscribe(old, "a/#", 0, 0x80);
    assert_int_equal(STAT(b, subscriptions), 1);
}

static void subscription_identifiers_can_be_switched_off(void **state)
{ /* MQTT5 3.2.2.3.12: announced, 0xA1 */
    struct bench *b = *state;
    struct conn_io *c;
    struct mqtt_properties p;

    p = accepted(b, &c, &(struct connect_wish){ .id = "c", .scope = ALL });
    assert_false(mqtt_has(&p, PROP_SUBSCRIPTION_ID_AVAILABLE)); /* absent: they are */
    b->settings.subscription_identifiers = false;
    p = accepted(b, &c, &(struct connect_wish){ .id = "d", .scope = ALL });
    assert_true(mqtt_has(&p, PROP_SUBSCRIPTION_ID_AVAILABLE));
    assert_int_equal(p.subscription_id_available, 0);
    client_subscribe_with(c, wish_filter("a/b", 1), 7, 9);
    (void)expect_suback(c, 9, MQTT_SUBSCRIPTION_IDS_NOT_SUPPORTED);
    client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
}

/* ---- Response Information ---- */

static void who_asks_hears_where_answers_can_go(void **state)
{ /* MQTT5 [MQTT-3.1.2-28], 3.2.2.3.15 */
    static const struct {
        const char *id, *scope;
        bool asks;
        const char *expected;
    } rows[] = {
        { "c", "[[\"replies/c/#\",[\"sub\"]]]", true, "replies/c/" },
        { "c", "[[\"replies/c/#\",[\"sub\"]]]", false, NULL }, /* MQTT5 [MQTT-3.1.2-28] */
        { "c", "[[\"replies/d/#\",[\"sub\"]]]", true, NULL },  /* of no use to it */
        { "c", "[[\"replies/c/#\",[\"pub\"]]]", true, NULL },
        { "c", "[[\"replies/#\",[\"sub\"]]]", true, "replies/c/" },
        { "x/y", "[[\"#\",[\"sub\"]]]", true, NULL }, /* would lie inside the answers of "x" */
        { "+", "[[\"#\",[\"sub\"]]]", true, NULL },
        { "", "[[\"replies/#\",[\"sub\"]]]", true, "replies/sy-" },
    };
    struct bench *b = *state;

    b->settings.response_prefix = SPAN("replies/${client_id}/");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct conn_io *c;
        struct mqtt_properties p = accepted(
            b, &c,
            &(struct connect_wish){
                .id = rows[i].id, .sub = "s", .scope = rows[i].scope, .wants_response_info = rows[i].asks });

        assert_int_equal(mqtt_has(&p, PROP_RESPONSE_INFO), rows[i].expected != NULL);
        if (rows[i].expected != NULL)
            assert_true(span_starts_with(p.response_info, span_of_str(rows[i].expected)));
        client_bye(c);
    }
    b->settings.response_prefix = SPAN_NONE;
    struct conn_io *c;
    struct mqtt_properties p =
        accepted(b, &c, &(struct connect_wish){ .id = "c", .scope = ALL, .wants_response_info = true });
    assert_false(mqtt_has(&p, PROP_RESPONSE_INFO));
}

static void a_request_and_its_response_pass_through(void **state)
{ /* MQTT5 [MQTT-3.3.2-15], [MQTT-3.3.2-16], 4.10 */
    static const char properties[] = "\x08\x00\x0b"
                                     "a/replies/c\x09\x00\x03\x00\xff\x7f";
    struct bench *b = *state;
    struct conn_io *asks = client_connected(b, "c", ALL), *answers = client_connected(b, "server", ALL);
    struct mqtt_publish p;

    client_subscribe(asks, "a/replies/c", 1, MQTT_GRANTED_QOS_1);
    client_subscribe(answers, "a/requests", 2, MQTT_GRANTED_QOS_2);
    client_publish_with(asks,
                        &(struct publish_wish){ .topic = "a/requests",
                                                .payload = "?",
                                                .qos = 1,
                                                .packet_id = 1,
                                                .properties = span_of(properties, sizeof properties - 1) });
    (void)expect_ack(asks, MQTT_PUBACK, 1, MQTT_SUCCESS);
    p = expect_publish(answers, "a/requests", "?", 1);
    assert_true(span_eq_str(p.properties.response_topic, "a/replies/c"));
    assert_true(span_eq(p.properties.correlation_data, span_of("\x00\xff\x7f", 3)));
    client_publish_with(answers, &(struct publish_wish){ .topic = "a/replies/c",
                                                         .payload = "!",
                                                         .properties = SPAN("\x09\x00\x02\x80\x00") });
    p = expect_publish(asks, "a/replies/c", "!", 0);
    assert_false(mqtt_has(&p.properties, PROP_RESPONSE_TOPIC));
    assert_true(span_eq(p.properties.correlation_data, span_of("\x80\x00", 2)));
}

static void a_will_may_be_a_request(void **state)
{ /* MQTT5 3.1.3.2.6, 3.1.3.2.7 */
    struct bench *b = *state;
    struct conn_io *sub = client_connected(b, "sub", ALL);
    struct mqtt_publish p;

    client_subscribe(sub, "a/#", 0, 0);
    client_drop(client_connected_with(
        b,
        &(struct connect_wish){ .id = "c", .scope = ALL, .will_topic = "a/w", .will_response_topic = "a/r" }));
    p = expect_publish(sub, "a/w", "gone", 0);
    assert_true(span_eq_str(p.properties.response_topic, "a/r"));
    assert_true(span_eq(p.properties.correlation_data, span_of("\x00\xff", 2)));
}

static void a_response_topic_with_a_wildcard_is_refused(void **state)
{ /* MQTT5 [MQTT-3.3.2-14] */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    client_publish_with(
        c, &(struct publish_wish){ .topic = "a/b", .payload = "x", .properties = SPAN("\x08\x00\x03\x61/+") });
    (void)expect_disconnect(c, MQTT_MALFORMED_PACKET);
}

/* ---- Server Reference ---- */

static void assert_reference(const struct mqtt_properties *p)
{
    assert_true(mqtt_has(p, PROP_SERVER_REFERENCE));
    assert_true(span_eq_str(p->server_reference, "other.example:8883"));
}

static void a_broker_that_stops_names_the_other_one(void **state)
{ /* MQTT5 3.14.2.2.5, 4.11: 0x9C */
    struct bench *b = *state;
    struct conn_io *c, *old, *waits = client_new(b), *silent = client_new(b);
    struct mqtt_disconnect d;
    struct mqtt_connack ack;

    b->settings.server_reference = SPAN("other.example:8883");
    c = client_connected(b, "c", ALL);
    old = client_connected_with(b, &(struct connect_wish){ .id = "old", .scope = ALL, .v3 = true });
    waits->exporter = EXPORTER_NONE;
    client_connect(waits, &(struct connect_wish){
                              .id = "w", .method = "ace", .has_data = true, .data = SPAN("\x00\x03ref") });
    shard_stop(b->shard[0], b->now);
    d = expect_disconnect(c, MQTT_USE_ANOTHER_SERVER);
    assert_reference(&d.properties);
    expect_closed(old);
    expect_closed(silent);
    ack = expect_connack(waits, MQTT_USE_ANOTHER_SERVER);
    assert_reference(&ack.properties);
}

static void who_is_still_connecting_when_the_broker_stops_is_told_so(void **state)
{ /* MQTT5 3.2.2.2: 0x8B is none of the codes of CONNACK */
    struct bench *b = *state;
    struct conn_io *waits = client_new(b);

    client_connect(waits, &(struct connect_wish){
                              .id = "w", .method = "ace", .has_data = true, .data = SPAN("\x00\x03ref") });
    shard_stop(b->shard[0], b->now);
    expect_refused(waits, MQTT_SERVER_UNAVAILABLE, "MQTT5 3.14.2.1");
}

static void a_full_broker_sends_clients_elsewhere(void **state)
{ /* MQTT5 3.2.2.3.16, 4.11 */
    struct bench *b = *state;
    struct conn_io *c = client_new(b);
    struct mqtt_connack ack;

    b->settings.max_sessions = 0;
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL });
    ack = expect_connack(c, MQTT_QUOTA_EXCEEDED);
    assert_false(mqtt_has(&ack.properties, PROP_SERVER_REFERENCE));
    b->settings.server_reference = SPAN("other.example:8883");
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL });
    ack = expect_connack(c, MQTT_USE_ANOTHER_SERVER);
    assert_reference(&ack.properties);
    expect_closed(c);
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .v3 = true });
    expect_refused3(c, MQTT3_SERVER_UNAVAILABLE);
}

/* ---- Keep Alive ---- */

static void a_client_of_3_1_1_keeps_its_keep_alive_or_is_refused(void **state)
{ /* MQTT311 [MQTT-3.1.2-24] has no way to tell it of another */
    struct bench *b = *state;
    struct conn_io *c;

    b->settings.max_keep_alive_s = 60;
    c = client_connected_with(
        b, &(struct connect_wish){ .id = "c", .scope = ALL, .v3 = true, .keep_alive_s = 100 });
    bench_advance(b, 149000);
    expect_nothing(c);
    bench_advance(b, 1500);
    expect_closed(c);
    b->settings.refuse_v3_keep_alive = true;
    for (uint16_t asked_s = 0; asked_s <= 120; asked_s += 60) {
        const struct connect_wish wish = { .id = "c", .scope = ALL, .v3 = true, .keep_alive_s = asked_s };

        c = client_new(b);
        client_connect(c, &wish);
        if (asked_s == 60)
            (void)expect_connack(c, 0);
        else
            expect_refused3(c, MQTT3_IDENTIFIER_REJECTED);
    }
    (void)client_connected_with(b, &(struct connect_wish){ .id = "d", .scope = ALL, .keep_alive_s = 100 });
}

static void without_a_cap_a_keep_alive_of_0_means_none(void **state)
{ /* MQTT5 3.1.2.10 */
    struct bench *b = *state;
    struct conn_io *c;
    struct mqtt_properties p;

    b->settings.max_keep_alive_s = 0;
    p = accepted(b, &c, &(struct connect_wish){ .id = "c", .scope = "[[\"a\",[\"sub\"]]]", .life_s = 1000000 });
    assert_false(mqtt_has(&p, PROP_SERVER_KEEP_ALIVE));
    for (int hour = 0; hour < 30; hour++) {
        b->now.mono.ms += 3600 * 1000;
        b->now.wall.s += 3600;
        bench_run(b);
    }
    expect_nothing(c);
}

static void the_server_keep_alive_is_told_and_used(void **state)
{ /* MQTT5 [MQTT-3.2.2-21], [MQTT-3.2.2-22] */
    struct bench *b = *state;
    struct conn_io *c;
    struct mqtt_properties p;

    b->settings.max_keep_alive_s = 10;
    p = accepted(b, &c, &(struct connect_wish){ .id = "c", .scope = ALL, .keep_alive_s = 5 });
    assert_false(mqtt_has(&p, PROP_SERVER_KEEP_ALIVE)); /* its own is used */
    bench_advance(b, 8000);
    (void)expect_disconnect(c, MQTT_KEEP_ALIVE_TIMEOUT);
    p = accepted(b, &c, &(struct connect_wish){ .id = "c", .scope = ALL, .keep_alive_s = 1000 });
    assert_int_equal(p.server_keep_alive_s, 10);
    bench_advance(b, 14000);
    expect_nothing(c);
    bench_advance(b, 1500);
    (void)expect_disconnect(c, MQTT_KEEP_ALIVE_TIMEOUT);
}

/* ---- topics of the broker's own ---- */

#define DOLLAR "[[\"$x/#\",[\"pub\",\"sub\"]],[\"$SYS/#\",[\"pub\",\"sub\"]],[\"#\",[\"pub\",\"sub\"]]]"

static void nobody_publishes_to_topics_that_begin_with_a_dollar_sign(void **state)
{ /* MQTT5 4.7.2: whatever the token says */
    static const char *const topics[] = { "$SYS/broker/uptime", "$x/y", "$", "$share/g/a" };
    struct bench *b = *state;
    struct conn_io *sub = client_connected(b, "sub", DOLLAR), *c = client_connected(b, "c", DOLLAR), *old;

    client_subscribe(sub, "#", 0, 0);
    client_subscribe(sub, "$x/#", 0, 0);
    for (size_t i = 0; i < COUNT_OF(topics); i++) {
        client_publish(c, topics[i], "x", 1, 1);
        (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_TOPIC_NAME_INVALID);
        client_publish(c, topics[i], "x", 2, 2);
        (void)expect_ack(c, MQTT_PUBREC, 2, MQTT_TOPIC_NAME_INVALID);
    }
    client_publish_with(c,
                        &(struct publish_wish){ .topic = "$x/y", .payload = "x", .retain = true, .alias = 1 });
    expect_thrown_out(c, MQTT_TOPIC_NAME_INVALID, "MQTT5 4.7.2");
    old = client_connected_with(b, &(struct connect_wish){ .id = "old", .scope = DOLLAR, .v3 = true });
    client_publish(old, "$x/y", "x", 1, 1);
    expect_closed(old);
    client_publish(sub, "x$/y", "x", 0, 0); /* in front only */
    (void)expect_publish(sub, "x$/y", "x", 0);
    expect_nothing(sub);
}

static void nobody_leaves_a_will_for_a_topic_that_begins_with_a_dollar_sign(void **state)
{ /* MQTT5 4.7.2, 3.2.2.2: 0x90 */
    struct bench *b = *state;
    struct conn_io *c = client_new(b);

    client_connect(c, &(struct connect_wish){ .id = "c", .scope = DOLLAR, .will_topic = "$SYS/broker/uptime" });
    expect_refused(c, MQTT_TOPIC_NAME_INVALID, "MQTT5 4.7.2");
}

/* ---- what belongs to the broker itself ---- */

static void what_is_not_offered_to_clients_is_not_kept_from_a_bridge(void **state)
{
    struct bench *b = *state;
    struct conn_io *c, *sub = client_connected(b, "sub", ALL);
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    struct mqtt_connack ack;

    client_subscribe(sub, "a/b", 2, MQTT_GRANTED_QOS_2);
    b->settings.maximum_qos = 0;
    b->settings.retain_available = b->settings.wildcard_subscriptions = false;
    b->settings.subscription_identifiers = b->settings.shared_subscriptions = false;
    assert_int_equal(scope_from_text(SPAN("[[\"#\",[\"pub\",\"sub\"]]]"), &scope, NULL), ST_OK);
    assert_int_equal(token_built_in(SPAN("$bridge/x"), scope, &token), ST_OK);
    c = client_new(b);
    c->identity = (struct conn_identity){ .kind = IDENTITY_BUILT_IN, .built_in = token };
    client_connect(
        c, &(struct connect_wish){
               .id = "$bridge/x", .no_method = true, .will_topic = "a/b", .will_qos = 1, .will_retain = true });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_false(mqtt_has(&ack.properties, PROP_MAXIMUM_QOS));
    assert_false(mqtt_has(&ack.properties, PROP_RETAIN_AVAILABLE));
    assert_false(mqtt_has(&ack.properties, PROP_WILDCARD_AVAILABLE));
    client_subscribe_with(c, wish_filter("a/#", 2), 5, 9);
    (void)expect_suback(c, 9, MQTT_GRANTED_QOS_2);
    client_publish_with(
        c, &(struct publish_wish){ .topic = "a/b", .payload = "x", .qos = 1, .packet_id = 1, .retain = true });
    (void)expect_publish(sub, "a/b", "x", 1);
    client_drop(c);
    (void)expect_publish(sub, "a/b", "gone", 1);
    assert_int_equal(STAT(b, retained_messages), 0); /* what is kept for nobody is not kept */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(a_maximum_qos_below_2_is_announced),
        T(subscriptions_get_no_more_than_the_maximum_qos),
        T(a_publication_beyond_the_maximum_qos_ends_the_connection),
        T(a_will_beyond_the_maximum_qos_keeps_its_client_out),
        T(a_retained_will_where_nothing_is_retained_keeps_its_client_out),
        T(retained_messages_of_3_1_1_can_be_switched_off_too),
        T(wildcards_can_be_switched_off),
        T(subscription_identifiers_can_be_switched_off),
        T(who_asks_hears_where_answers_can_go),
        T(a_request_and_its_response_pass_through),
        T(a_will_may_be_a_request),
        T(a_response_topic_with_a_wildcard_is_refused),
        T(a_broker_that_stops_names_the_other_one),
        T(who_is_still_connecting_when_the_broker_stops_is_told_so),
        T(a_full_broker_sends_clients_elsewhere),
        T(a_client_of_3_1_1_keeps_its_keep_alive_or_is_refused),
        T(without_a_cap_a_keep_alive_of_0_means_none),
        T(the_server_keep_alive_is_told_and_used),
        T(nobody_publishes_to_topics_that_begin_with_a_dollar_sign),
        T(nobody_leaves_a_will_for_a_topic_that_begins_with_a_dollar_sign),
        T(what_is_not_offered_to_clients_is_not_kept_from_a_bridge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
