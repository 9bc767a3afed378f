/* Topic aliases from the broker to its clients (MQTT5 3.3.2.3.4). */
#include "harness.h"

#include <stdio.h>

#define ALL "[[\"plant/#\",[\"pub\",\"sub\"]]]"

static struct conn_io *with_aliases(struct bench *b, const char *id, uint16_t maximum)
{
    return client_connected_with(
        b, &(struct connect_wish){ .id = id, .scope = ALL, .topic_alias_maximum = maximum });
}

/* The alias beside the topic, or in place of it; 0: none. */
static uint16_t expect_aliased(struct conn_io *c, const char *topic, const char *payload, uint8_t qos)
{
    struct mqtt_publish p = expect_publish(c, topic, payload, qos);

    return mqtt_has(&p.properties, PROP_TOPIC_ALIAS) ? p.properties.topic_alias : 0;
}

static void a_topic_is_sent_once_and_then_its_alias(void **state)
{ /* MQTT5 3.3.2.3.4, [MQTT-3.1.2-26] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c = with_aliases(b, "c", 5);
    uint16_t temperature, pressure;

    client_subscribe(c, "plant/#", 2, MQTT_GRANTED_QOS_2);
    client_publish(pub, "plant/temperature", "1", 0, 0);
    temperature = expect_aliased(c, "plant/temperature", "1", 0);
    assert_in_range(temperature, 1, 5);
    client_publish(pub, "plant/pressure", "2", 0, 0);
    pressure = expect_aliased(c, "plant/pressure", "2", 0);
    assert_in_range(pressure, 1, 5);
    assert_int_not_equal(pressure, temperature);
    client_publish(pub, "plant/temperature", "3", 0, 0);
    assert_int_equal(expect_aliased(c, "", "3", 0), temperature);
    client_publish(pub, "plant/pressure", "4", 2, 1); /* whatever the QoS */
    assert_int_equal(expect_aliased(c, "", "4", 2), pressure);
    assert_int_equal(STAT(b, aliases_told), 2);
    assert_int_equal(STAT(b, aliases_used), 2);
}

static void nobody_gets_an_alias_it_has_not_asked_for(void **state)
{ /* MQTT5 [MQTT-3.1.2-27]; the administrator may forbid them; 3.1.1 knows none */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c = client_connected(b, "c", ALL), *d, *old;

    b->settings.topic_aliases_out = 0;
    d = with_aliases(b, "d", 5);
    old = client_connected_with(b, &(struct connect_wish){ .id = "old", .scope = ALL, .v3 = true });
    client_subscribe(c, "plant/#", 0, 0);
    client_subscribe(d, "plant/#", 0, 0);
    client_subscribe(old, "plant/#", 0, 0);
    for (int i = 0; i < 3; i++) {
        client_publish(pub, "plant/temperature", "1", 0, 0);
        assert_int_equal(expect_aliased(c, "plant/temperature", "1", 0), 0);
        assert_int_equal(expect_aliased(d, "plant/temperature", "1", 0), 0);
        assert_int_equal(expect_aliased(old, "plant/temperature", "1", 0), 0);
    }
}

/* Publishes at random, and reads it as a client would that keeps the aliases it is told. */
static unsigned count_used(struct bench *b, struct conn_io *pub, struct conn_io *c, uint16_t maximum)
{
    char known[9][32] = { "" };
    unsigned used = 0;

    for (int i = 0; i < 500; i++) {
        char topic[32];
        struct mqtt_frame frame;
        struct mqtt_publish p;

        snprintf(topic, sizeof topic, "plant/line-%u", pick(b, 12));
        client_publish(pub, topic, "x", 0, 0);
        assert_true(client_next(c, &frame));
        assert_int_equal(mqtt_read_publish(&frame, MQTT_5, &p, NULL), ST_OK);
        if (mqtt_has(&p.properties, PROP_TOPIC_ALIAS))
            assert_in_range(p.properties.topic_alias, 1, maximum);
        if (p.topic.s.len == 0) {
            assert_string_equal(known[p.properties.topic_alias], topic);
            used++;
            continue;
        }
        assert_true(span_eq_str(p.topic.s, topic));
        if (mqtt_has(&p.properties, PROP_TOPIC_ALIAS))
            snprintf(known[p.properties.topic_alias], sizeof known[0], "%s", topic);
    }
    return used;
}

static void no_alias_is_beyond_the_maximum_of_either_side(void **state)
{ /* MQTT5 [MQTT-3.1.2-26], [MQTT-3.3.2-11] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL);

    b->settings.topic_aliases_out = 8;
    for (uint16_t maximum = 1; maximum <= 20; maximum += 4) {
        struct conn_io *c = with_aliases(b, "c", maximum);

        client_subscribe(c, "plant/#", 0, 0);
        assert_true(count_used(b, pub, c, maximum < 8 ? maximum : 8) > (maximum == 1 ? 0 : 50));
        client_bye(c);
    }
}

static void a_new_connection_begins_without_aliases(void **state)
{ /* MQTT5 3.3.2.3.4: they end with the connection; what is sent again carries its topic, [MQTT-4.4.0-1] */
    struct bench *b = *state;
    struct connect_wish wish = {
        .id = "c", .scope = ALL, .resume = true, .expiry_s = 100, .topic_alias_maximum = 5
    };
    struct conn_io *pub = client_connected(b, "p", ALL), *c = client_connected_with(b, &wish);
    struct mqtt_publish p;

    client_subscribe(c, "plant/#", 1, MQTT_GRANTED_QOS_1);
    for (uint16_t i = 1; i <= 2; i++)
        client_publish(pub, "plant/temperature", "x", 1, i);
    assert_int_not_equal(expect_aliased(c, "plant/temperature", "x", 1), 0);
    assert_int_not_equal(expect_aliased(c, "", "x", 1), 0);
    client_drop(c);
    c = client_connected_with(b, &wish);
    p = expect_publish(c, "plant/temperature", "x", 1);
    assert_true(p.dup);
    assert_int_not_equal(p.properties.topic_alias, 0); /* told again */
    p = expect_publish(c, "", "x", 1);
    assert_true(p.dup);
    client_drop(c);
    wish.topic_alias_maximum = 0;
    c = client_connected_with(b, &wish);
    for (int i = 0; i < 2; i++)
        assert_int_equal(expect_aliased(c, "plant/temperature", "x", 1), 0);
}

static void a_message_that_is_not_sent_tells_no_alias(void **state)
{ /* MQTT5 [MQTT-3.1.2-24], [MQTT-3.1.2-25] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c = client_new(b);
    char large[64];

    snprintf(large, sizeof large, "%060d", 0);
    /* "plant/temperature": 2 + 2 + 17 + 1 bytes in front of the payload, 3 more with an alias. The CONNACK needs
     * more room than that, so the limit is 62. */
    client_connect(
        c, &(struct connect_wish){ .id = "c", .scope = ALL, .topic_alias_maximum = 5, .max_packet_bytes = 62 });
    (void)expect_connack(c, MQTT_SUCCESS);
    client_subscribe(c, "plant/#", 0, 0);
    client_publish(pub, "plant/temperature", large, 0, 0); /* too large in any case */
    expect_nothing(c);
    assert_int_equal(STAT(b, dropped_too_large), 1);
    large[40] = '\0';
    client_publish(pub, "plant/temperature", large, 0, 0); /* fits without alias only */
    assert_int_equal(expect_aliased(c, "plant/temperature", large, 0), 0);
    assert_int_equal(STAT(b, aliases_told), 0);
    client_publish(pub, "plant/temperature", "1", 0, 0);
    assert_int_not_equal(expect_aliased(c, "plant/temperature", "1", 0), 0);
    large[40] = '0';
    large[45] = '\0';
    client_publish(pub, "plant/temperature", large, 0, 0); /* fits with it only */
    assert_int_not_equal(expect_aliased(c, "", large, 0), 0);
}

static void an_alias_travels_with_everything_else(void **state)
{ /* MQTT5 [MQTT-3.3.4-3], [MQTT-3.3.2-6], [MQTT-3.3.2-20] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c = with_aliases(b, "c", 5),
                   *plain = client_connected(b, "plain", ALL);
    struct mqtt_publish p = { 0 };
    size_t at = 0;
    uint32_t id;

    client_subscribe_with(c, wish_filter("plant/#", 1), 9, 1);
    (void)expect_suback(c, 1, MQTT_GRANTED_QOS_1);
    client_subscribe(plain, "plant/#", 0, 0);
    for (uint16_t i = 1; i <= 2; i++) {
        client_publish_with(pub, &(struct publish_wish){ .topic = "plant/temperature",
                                                         .payload = "x",
                                                         .qos = 1,
                                                         .packet_id = i,
                                                         .expiry_s = 60,
                                                         .properties = SPAN("\x03\x00\x04text") });
        p = expect_publish(c, i == 1 ? "plant/temperature" : "", "x", 1);
        (void)expect_publish(plain, "plant/temperature", "x", 0); /* the message itself is as it was */
    }
    assert_true(mqtt_has(&p.properties, PROP_TOPIC_ALIAS));
    assert_int_equal(p.properties.message_expiry_s, 60);
    assert_true(span_eq_str(p.properties.content_type, "text"));
    assert_true(mqtt_next_subscription_id(&p.properties, &at, &id));
    assert_int_equal(id, 9);
}

static void aliases_of_an_idle_connection_are_forgotten(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c = with_aliases(b, "c", 5);
    struct mqtt_frame frame;

    client_subscribe(c, "plant/#", 0, 0);
    client_publish(pub, "plant/temperature", "1", 0, 0);
    assert_int_not_equal(expect_aliased(c, "plant/temperature", "1", 0), 0);
    client_ping(c);
    assert_true(client_next(c, &frame));
    client_publish(pub, "plant/temperature", "2", 0, 0);
    assert_int_not_equal(expect_aliased(c, "", "2", 0), 0);
    for (int i = 0; i < 2; i++) { /* nothing came between the two */
        client_ping(c);
        assert_true(client_next(c, &frame));
    }
    client_publish(pub, "plant/temperature", "3", 0, 0);
    assert_int_not_equal(expect_aliased(c, "plant/temperature", "3", 0), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(a_topic_is_sent_once_and_then_its_alias),       T(nobody_gets_an_alias_it_has_not_asked_for),
        T(no_alias_is_beyond_the_maximum_of_either_side), T(a_new_connection_begins_without_aliases),
        T(a_message_that_is_not_sent_tells_no_alias),     T(an_alias_travels_with_everything_else),
        T(aliases_of_an_idle_connection_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
