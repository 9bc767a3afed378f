/* The engine keeps to what CONNACK says, uses topic aliases, and subscribes again; MQTT5 statements that bind clients. */
#include "client/engine_world.h"

#include <stdio.h>

static void connect_with(struct world *w, bool session_present, const struct mqtt_properties *p)
{
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, session_present, MQTT_SUCCESS, p);
    assert_int_equal(w->engine.state, ENGINE_OPEN);
}

static struct world *open_with(const struct engine_settings *s, const struct mqtt_properties *p)
{
    struct world *w = world_new(s);

    connect_with(w, false, p);
    return w;
}

static void lose(struct world *w)
{
    const struct symbolon_error lost = { .status = SYMBOLON_CLOSED };

    engine_lost(&w->engine, &lost, w->now);
}

static void sent_publish(struct world *w, struct mqtt_publish *p)
{
    struct mqtt_frame frame;

    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, MQTT_PUBLISH);
    assert_int_equal(mqtt_read_publish(&frame, MQTT_5, p, NULL), ST_OK);
}

static void publish_to(struct world *w, const char *topic, uint8_t qos)
{
    struct symbolon_message m = { .topic = { topic, strlen(topic) }, .payload = { "p", 1 }, .qos = qos };

    assert_int_equal(engine_publish(&w->engine, &m, w->now, NULL, NULL), SYMBOLON_OK);
}

/* ---- topic aliases out ---- */

static void assert_alias(struct world *w, uint16_t alias, const char *topic)
{
    struct mqtt_publish p;

    sent_publish(w, &p);
    assert_int_equal(mqtt_has(&p.properties, PROP_TOPIC_ALIAS) ? p.properties.topic_alias : 0, alias);
    assert_true(span_eq_str(p.topic.s, topic));
}

static void mqtt_3_2_2_17_aliases_stay_within_the_brokers_maximum(void **state UNUSED)
{
    struct engine_settings s = plain;
    struct mqtt_properties p = { .topic_alias_maximum = 2 };

    s.topic_aliases = 10;
    mqtt_set(&p, PROP_TOPIC_ALIAS_MAXIMUM);
    struct world *w = open_with(&s, &p);
    publish_to(w, "one", 0);
    assert_alias(w, 1, "one");
    publish_to(w, "two", 0);
    assert_alias(w, 2, "two");
    publish_to(w, "one", 0);
    assert_alias(w, 1, "");
    publish_to(w, "three", 0); /* takes the place of what was not used for the longest time */
    assert_alias(w, 2, "three");
    publish_to(w, "two", 0);
    assert_alias(w, 1, "two");
    world_free(w);
}

static void mqtt_3_2_2_18_no_maximum_means_no_aliases(void **state UNUSED)
{
    struct engine_settings s = plain;

    s.topic_aliases = 10;
    struct world *w = open_with(&s, NULL);
    publish_to(w, "one", 0);
    assert_alias(w, 0, "one");
    publish_to(w, "one", 0);
    assert_alias(w, 0, "one");
    world_free(w);
}

static void mqtt_3_3_2_7_aliases_end_with_the_connection(void **state UNUSED)
{
    struct engine_settings s = plain;
    struct mqtt_properties p = { .topic_alias_maximum = 5 };

    s.topic_aliases = 5;
    mqtt_set(&p, PROP_TOPIC_ALIAS_MAXIMUM);
    struct world *w = open_with(&s, &p);
    publish_to(w, "one", 1);
    assert_alias(w, 1, "one");
    lose(w);
    connect_with(w, true, &p);
    assert_alias(w, 1, "one"); /* sent again, with its topic */
    publish_to(w, "one", 0);
    assert_alias(w, 1, "");
    world_free(w);
}

/* ---- topic aliases in ---- */

static void give_alias(struct world *w, const char *topic, uint16_t alias)
{
    struct buf b = { .max = 4096 };

    mqtt_write_publish(&b, MQTT_5,
                       &(struct mqtt_publish_out){ .topic = span_of_str(topic), .topic_alias = alias });
    give(w, &b);
}

static void aliases_of_the_broker_become_topics_again(void **state UNUSED)
{
    struct engine_settings s = plain;

    s.topic_alias_maximum = 2;
    struct world *w = open_with(&s, NULL);
    give_alias(w, "a/b", 2);
    assert_string_equal(w->topic, "a/b");
    give_alias(w, "", 2);
    assert_string_equal(w->topic, "a/b");
    give_alias(w, "c", 2);
    give_alias(w, "", 2);
    assert_string_equal(w->topic, "c");
    assert_int_equal(w->messages, 4);
    lose(w);
    connect_with(w, true, NULL);
    give_alias(w, "", 2); /* nothing is known on a new connection */
    assert_ended(w, MQTT_PROTOCOL_ERROR);
    world_free(w);
}

static void lose_inside(void *ctx, const struct mqtt_publish *publish)
{
    struct world *w = ctx;

    w->messages++;
    lose(w); /* as when the store fails at something the application publishes here */
    snprintf(w->topic, sizeof w->topic, "%.*s", SPAN_FMT(publish->topic.s));
}

static void a_topic_behind_an_alias_outlives_the_connection_it_came_by(void **state UNUSED)
{
    struct engine_settings s = plain;
    struct engine_events events;

    s.topic_alias_maximum = 1;
    struct world *w = open_with(&s, NULL);
    give_alias(w, "a/b", 1);
    events = *w->engine.events;
    events.message = lose_inside;
    w->engine.events = &events;
    w->topic[0] = '\0';
    give_alias(w, "", 1);
    assert_string_equal(w->topic, "a/b");
    connect_with(w, true, NULL);
    give_alias(w, "", 1);
    assert_ended(w, MQTT_PROTOCOL_ERROR);
    world_free(w);
}

static void mqtt_3_1_2_26_an_alias_beyond_our_maximum_ends_it(void **state UNUSED)
{
    struct engine_settings s = plain;

    s.topic_alias_maximum = 2;
    struct world *w = open_with(&s, NULL);
    give_alias(w, "a", 3);
    assert_ended(w, MQTT_TOPIC_ALIAS_INVALID);
    assert_int_equal(w->messages, 0);
    world_free(w);
}

/* ---- flow ---- */

static void mqtt_4_9_0_1_sending_again_keeps_to_the_new_receive_maximum(void **state UNUSED)
{
    struct engine_settings s = plain;
    struct mqtt_properties one = { .receive_maximum = 1 };
    struct mqtt_publish p;

    s.max_inflight = 3;
    mqtt_set(&one, PROP_RECEIVE_MAXIMUM);
    struct world *w = open_with(&s, NULL);
    for (int i = 0; i < 3; i++) {
        publish_to(w, "t", 1);
        assert_publish(w, false);
    }
    lose(w);
    connect_with(w, true, &one);
    for (uint16_t id = 1; id <= 3; id++) { /* [MQTT-4.6.0-1]: in the order of the first time */
        sent_publish(w, &p);
        assert_true(p.dup); /* [MQTT-3.3.1-1] */
        assert_int_equal(p.packet_id, id);
        assert_silent(w);
        give_ack(w, MQTT_PUBACK, id, 0);
    }
    assert_int_equal(engine_pending(&w->engine), 0);
    world_free(w);
}

static void mqtt_4_9_0_2_a_pubcomp_of_the_former_connection_gives_no_room(void **state UNUSED)
{
    struct engine_settings s = plain;
    struct mqtt_properties one = { .receive_maximum = 1 };

    s.max_inflight = 3;
    mqtt_set(&one, PROP_RECEIVE_MAXIMUM);
    struct world *w = open_with(&s, NULL);
    publish_to(w, "t", 2);
    uint16_t id = assert_publish(w, false);
    give_ack(w, MQTT_PUBREC, id, 0);
    assert_sent(w, MQTT_PUBREL);
    lose(w);
    publish_to(w, "t", 1);
    publish_to(w, "t", 1);
    connect_with(w, true, &one);
    assert_sent(w, MQTT_PUBREL);
    assert_publish(w, false);
    give_ack(w, MQTT_PUBCOMP, id, 0);
    assert_silent(w);
    world_free(w);
}

static void mqtt_4_6_0_4_pubrels_follow_the_order_of_pubrecs(void **state UNUSED)
{
    struct world *w = world_open();
    struct mqtt_frame frame;
    struct mqtt_ack ack;

    publish_to(w, "t", 2);
    publish_to(w, "t", 2);
    uint16_t first = assert_publish(w, false), second = assert_publish(w, false);
    give_ack(w, MQTT_PUBREC, second, 0);
    give_ack(w, MQTT_PUBREC, first, 0);
    for (int connection = 0; connection < 2; connection++) {
        assert_true(next_sent(w, &frame));
        assert_int_equal(mqtt_read_ack(&frame, MQTT_5, &ack, NULL), ST_OK);
        assert_int_equal(ack.packet_id, second);
        assert_true(next_sent(w, &frame));
        assert_int_equal(mqtt_read_ack(&frame, MQTT_5, &ack, NULL), ST_OK);
        assert_int_equal(ack.packet_id, first);
        if (connection == 0) {
            lose(w);
            connect_with(w, true, NULL);
        }
    }
    world_free(w);
}

static void mqtt_4_3_3_6_a_released_message_is_not_published_again(void **state UNUSED)
{
    struct world *w = world_open();

    publish_to(w, "t", 2);
    give_ack(w, MQTT_PUBREC, assert_publish(w, false), 0);
    assert_sent(w, MQTT_PUBREL);
    lose(w);
    connect_with(w, true, NULL);
    assert_sent(w, MQTT_PUBREL);
    assert_silent(w);
    world_free(w);
}

/* ---- keep alive ---- */

static void mqtt_3_1_2_21_the_keep_alive_of_the_server_counts(void **state UNUSED)
{
    struct mqtt_properties p = { .server_keep_alive_s = 3 };

    mqtt_set(&p, PROP_SERVER_KEEP_ALIVE); /* and [MQTT-3.2.2-21] */
    struct world *w = open_with(&plain, &p);
    assert_int_equal(engine_due(&w->engine), w->now.mono.ms + 3000);
    w->now.mono.ms += 3000;
    engine_tick(&w->engine, w->now);
    assert_sent(w, MQTT_PINGREQ); /* [MQTT-3.1.2-20] */
    world_free(w);
    p.server_keep_alive_s = 0;
    w = open_with(&plain, &p);
    assert_int_equal(engine_due(&w->engine), -1);
    world_free(w);
}

/* ---- subscriptions ---- */

static void what_the_broker_cannot_subscribe_to_is_not_asked(void **state UNUSED)
{
    struct mqtt_properties p = { 0 };
    const struct symbolon_subscription wild = { .filter = "a/#" }, shared = { .filter = "$share/g/a" },
                                       simple = { .filter = "a" };
    const struct symbolon_request id = { .subscription_id = 7 };

    mqtt_set(&p, PROP_WILDCARD_AVAILABLE); /* MQTT5 3.2.2.3.11 to 3.2.2.3.13, all 0 */
    mqtt_set(&p, PROP_SHARED_AVAILABLE);
    mqtt_set(&p, PROP_SUBSCRIPTION_ID_AVAILABLE);
    struct world *w = open_with(&plain, &p);
    struct engine *e = &w->engine;
    assert_int_equal(engine_subscribe(e, &wild, 1, NULL, w->now, NULL, NULL), SYMBOLON_UNSUPPORTED);
    assert_int_equal(engine_subscribe(e, &shared, 1, NULL, w->now, NULL, NULL), SYMBOLON_UNSUPPORTED);
    assert_int_equal(engine_subscribe(e, &simple, 1, &id, w->now, NULL, NULL), SYMBOLON_UNSUPPORTED);
    assert_silent(w);
    assert_int_equal(engine_subscribe(e, &simple, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    assert_sent(w, MQTT_SUBSCRIBE);
    world_free(w);
}

static void give_suback(struct world *w, uint16_t id, enum mqtt_packet_type type, struct span codes)
{
    struct buf b = { .max = 4096 };

    mqtt_write_suback(&b, MQTT_5, &(struct mqtt_suback){ .type = type, .packet_id = id, .reasons = codes });
    give(w, &b);
}

static uint16_t sent_subscribe(struct world *w, struct mqtt_subscribe *s)
{
    struct mqtt_frame frame;

    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, MQTT_SUBSCRIBE);
    assert_int_equal(mqtt_read_subscribe(&frame, MQTT_5, s, NULL), ST_OK);
    return s->packet_id;
}

static void what_was_granted_is_subscribed_to_again_in_a_new_session(void **state UNUSED)
{
    struct engine_settings s = plain;
    const struct symbolon_subscription subs[] = { { .filter = "a/#", .qos = 1 },
                                                  { .filter = "refused" },
                                                  { .filter = "b", .qos = 2, .no_local = true } };
    const struct symbolon_request with_id = { .subscription_id = 9 };
    const char *gone = "a/#";
    struct mqtt_subscribe sub;
    struct mqtt_subscription one;
    size_t at = 0;

    s.resubscribe = true;
    struct world *w = open_with(&s, NULL);
    assert_int_equal(engine_subscribe(&w->engine, subs, 3, &with_id, w->now, NULL, NULL), SYMBOLON_OK);
    give_suback(w, sent_subscribe(w, &sub), MQTT_SUBACK, SPAN("\x01\x87\x02"));
    lose(w);
    connect_with(w, true, NULL); /* the broker knows them still */
    assert_silent(w);
    lose(w);
    connect_with(w, false, NULL);
    uint16_t id = sent_subscribe(w, &sub);
    assert_int_equal(sub.count, 2);
    assert_int_equal(sub.properties.subscription_id, 9);
    assert_true(mqtt_next_subscription(&sub, &at, &one) && span_eq_str(one.filter.s, "a/#") && one.qos == 1);
    assert_true(mqtt_next_subscription(&sub, &at, &one) && span_eq_str(one.filter.s, "b") && one.no_local);
    give_suback(w, id, MQTT_SUBACK, SPAN("\x01\x02"));
    assert_int_equal(w->subscribed, 2);
    assert_int_equal(engine_unsubscribe(&w->engine, &gone, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    assert_sent(w, MQTT_UNSUBSCRIBE);
    give_suback(w, w->engine.last_packet_id, MQTT_UNSUBACK, SPAN("\x00"));
    lose(w);
    connect_with(w, false, NULL);
    sent_subscribe(w, &sub);
    assert_int_equal(sub.count, 1);
    assert_silent(w);
    world_free(w);
}

static void many_subscriptions_are_made_again_in_pieces_the_broker_takes(void **state UNUSED)
{
    struct engine_settings s = plain;
    struct mqtt_properties small = { .maximum_packet_size = 60 };
    struct symbolon_subscription subs[100];
    static char names[100][16];
    static uint8_t codes[100];
    struct mqtt_subscribe sub;
    size_t seen = 0;

    s.resubscribe = true;
    mqtt_set(&small, PROP_MAXIMUM_PACKET_SIZE);
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "topic/%d", i);
        subs[i] = (struct symbolon_subscription){ .filter = names[i] };
    }
    struct world *w = open_with(&s, NULL);
    assert_int_equal(engine_subscribe(&w->engine, subs, 100, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    give_suback(w, sent_subscribe(w, &sub), MQTT_SUBACK, span_of(codes, 100));
    lose(w);
    connect_with(w, false, &small);
    while (seen < 100) {
        sent_subscribe(w, &sub);
        seen += sub.count;
    }
    assert_int_equal(seen, 100);
    assert_silent(w);
    world_free(w);
}

/* ---- CONNECT and DISCONNECT ---- */

static void connect_says_what_the_settings_say(void **state UNUSED)
{
    struct engine_settings s = plain;
    struct buf user = { .max = 100 };
    struct mqtt_frame frame;
    struct mqtt_connect c;
    struct span value;

    mqtt_put_user_property(&user, SPAN("k"), SPAN("v"));
    s.connect_properties = buf_span(&user);
    s.topic_alias_maximum = 4;
    s.request_response_info = s.no_problem_info = true;
    struct world *w = world_new(&s);
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_true(next_sent(w, &frame));
    assert_int_equal(mqtt_read_connect(&frame, &c, NULL), ST_OK);
    assert_int_equal(c.properties.topic_alias_maximum, 4);
    assert_int_equal(c.properties.request_response_info, 1);
    assert_true(!mqtt_request_problem_info(&c.properties));
    assert_true(mqtt_find_user_property(&c.properties, SPAN("k"), &value) && span_eq_str(value, "v"));
    world_free(w);
    buf_done(&user);
}

static void mqtt_3_14_4_1_nothing_follows_disconnect(void **state UNUSED)
{
    struct world *w = world_open();
    const struct symbolon_user_property user = { { "k", 1 }, { "v", 1 } };
    struct symbolon_goodbye g = { .reason_code = 0x04,
                                  .has_session_expiry = true,
                                  .session_expiry_s = 5,
                                  .user_properties = &user,
                                  .user_property_count = 1 };
    struct mqtt_frame frame;
    struct mqtt_disconnect d;

    g.reason_code = 0x18;
    assert_int_equal(engine_disconnect_with(&w->engine, &g, w->now, NULL), SYMBOLON_INVALID);
    g.reason_code = 0x04;
    assert_int_equal(engine_disconnect_with(&w->engine, &g, w->now, NULL), SYMBOLON_OK);
    assert_true(next_sent(w, &frame));
    assert_int_equal(mqtt_read_disconnect(&frame, MQTT_5, &d, NULL), ST_OK);
    assert_int_equal(d.reason, 0x04);
    assert_int_equal(d.properties.session_expiry_s, 5);
    publish_to(w, "t", 1);
    assert_silent(w);
    world_free(w);
}

static void a_session_that_ends_with_the_connection_cannot_be_prolonged(void **state UNUSED)
{
    struct engine_settings s = plain;
    const struct symbolon_goodbye g = { .has_session_expiry = true, .session_expiry_s = 5 };

    s.session_expiry_s = 0;
    struct world *w = open_with(&s, NULL);
    assert_int_equal(engine_disconnect_with(&w->engine, &g, w->now, NULL), SYMBOLON_INVALID); /* 3.14.2.2.2 */
    assert_silent(w);
    assert_int_equal(w->engine.state, ENGINE_OPEN);
    world_free(w);
}

/* ---- packet identifiers ---- */

static void mqtt_2_2_1_3_identifiers_are_never_0_and_never_in_use(void **state UNUSED)
{
    struct engine_settings s = plain;

    s.first_packet_id = 65535;
    struct world *w = open_with(&s, NULL);
    publish_to(w, "t", 1);
    assert_int_equal(assert_publish(w, false), 65535);
    publish_to(w, "t", 1);
    assert_int_equal(assert_publish(w, false), 1);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mqtt_3_2_2_17_aliases_stay_within_the_brokers_maximum),
        cmocka_unit_test(mqtt_3_2_2_18_no_maximum_means_no_aliases),
        cmocka_unit_test(mqtt_3_3_2_7_aliases_end_with_the_connection),
        cmocka_unit_test(aliases_of_the_broker_become_topics_again),
        cmocka_unit_test(a_topic_behind_an_alias_outlives_the_connection_it_came_by),
        cmocka_unit_test(mqtt_3_1_2_26_an_alias_beyond_our_maximum_ends_it),
        cmocka_unit_test(mqtt_4_9_0_1_sending_again_keeps_to_the_new_receive_maximum),
        cmocka_unit_test(mqtt_4_9_0_2_a_pubcomp_of_the_former_connection_gives_no_room),
        cmocka_unit_test(mqtt_4_6_0_4_pubrels_follow_the_order_of_pubrecs),
        cmocka_unit_test(mqtt_4_3_3_6_a_released_message_is_not_published_again),
        cmocka_unit_test(mqtt_3_1_2_21_the_keep_alive_of_the_server_counts),
        cmocka_unit_test(what_the_broker_cannot_subscribe_to_is_not_asked),
        cmocka_unit_test(what_was_granted_is_subscribed_to_again_in_a_new_session),
        cmocka_unit_test(many_subscriptions_are_made_again_in_pieces_the_broker_takes),
        cmocka_unit_test(connect_says_what_the_settings_say),
        cmocka_unit_test(mqtt_3_14_4_1_nothing_follows_disconnect),
        cmocka_unit_test(a_session_that_ends_with_the_connection_cannot_be_prolonged),
        cmocka_unit_test(mqtt_2_2_1_3_identifiers_are_never_0_and_never_in_use),
    };
    return cmocka_run_group_tests_name("client_engine_limits", tests, NULL, NULL);
}
