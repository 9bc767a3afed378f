/* The engine with a broker that misbehaves, and with an application that does. */
#include "client/engine_world.h"

static void packets_may_arrive_byte_by_byte(void **state UNUSED)
{
    struct world *w = world_new(&plain);
    static const uint8_t bytes[] = { 0x20, 0x03, 0x00, 0x00, 0x00, 0x30, 0x05, 0x00, 0x01, 't', 0x00, 'x' };

    engine_connect(&w->engine, SPAN_NONE, w->now);
    size_t start = 0;
    for (size_t i = 1; i <= sizeof bytes; i++)
        start += engine_input(&w->engine, span_of(bytes + start, i - start), w->now);
    assert_int_equal(start, sizeof bytes);
    assert_int_equal(w->connected, 1);
    assert_int_equal(w->messages, 1);
    world_free(w);
}

static void mt54_only_auth_connack_or_disconnect_come_before_the_session(void **state UNUSED)
{
    static const uint8_t publish_bytes[] = { 0x30, 0x05, 0x00, 0x01, 't', 0x00, 'x' };
    static const uint8_t pingresp[] = { 0xd0, 0x00 };
    static const uint8_t auth[] = { 0xf0, 0x00 };
    const struct span rude[] = { span_of(publish_bytes, sizeof publish_bytes),
                                 span_of(pingresp, sizeof pingresp), span_of(auth, sizeof auth) };

    for (size_t i = 0; i < COUNT_OF(rude); i++) {
        struct world *w = world_new(&plain);
        engine_connect(&w->engine, SPAN_NONE, w->now);
        assert_sent(w, MQTT_CONNECT);
        give_bytes(w, rude[i].p, rude[i].len);
        assert_ended(w, MQTT_PROTOCOL_ERROR);
        assert_int_equal(w->messages, 0);
        world_free(w);
    }
}

static void packets_of_the_wrong_kind_or_shape_end_the_session(void **state UNUSED)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint8_t code;
    } rude[] = {
        { "\x10\x00", 2, 0x82 },                      /* CONNECT from a broker */
        { "\x20\x03\x00\x00\x00", 5, 0x82 },          /* a second CONNACK */
        { "\x00\x00", 2, 0x81 },                      /* type 0 */
        { "\x31\x03\x00\x01#", 5, 0x81 },             /* too short for its property length */
        { "\x30\x04\x00\x01#\x00", 6, 0x81 },         /* a wildcard in a topic name */
        { "\x36\x06\x00\x01t\x00\x01\x00", 8, 0x81 }, /* QoS 3 */
        { "\x32\x06\x00\x01t\x00\x00\x00", 8, 0x82 }, /* packet identifier 0 */
        { "\xff\xff\xff\xff\xff", 5, 0x81 },          /* a length of five bytes */
        { "\x30\xff\xff\xff\x7f", 5, 0x95 },          /* 256 MiB announced: more than we said we take */
        { "\xd0\x00", 2, 0x82 },                      /* PINGRESP nobody asked for */
        { "\x90\x04\x00\x01\x00\x00", 6, 0x82 },      /* SUBACK nobody asked for */
        { "\xe0\x01\x19", 3, 0x82 },                  /* DISCONNECT with a code it does not have */
    };

    for (size_t i = 0; i < COUNT_OF(rude); i++) {
        struct world *w = world_open();
        give_bytes(w, rude[i].bytes, rude[i].len);
        assert_int_equal(w->ended, 1);
        assert_true(w->error.status == SYMBOLON_MALFORMED || w->error.status == SYMBOLON_PROTOCOL ||
                    w->error.status == SYMBOLON_TOO_LARGE);
        struct mqtt_frame frame;
        assert_true(next_sent(w, &frame));
        assert_int_equal(frame.type, MQTT_DISCONNECT);
        assert_int_equal(frame.body.p[0] & 0x80, 0x80);
        world_free(w);
    }
}

static void mqtt_3_2_2_2_a_session_out_of_nowhere_is_refused(void **state UNUSED)
{
    struct world *w = world_new(&plain);

    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, true, 0, NULL);
    assert_ended(w, MQTT_PROTOCOL_ERROR);
    assert_int_equal(w->connected, 0);
    world_free(w);
}

static void mqtt_3_1_2_26_topic_aliases_we_did_not_allow_are_refused(void **state UNUSED)
{
    struct world *w = world_open();

    give_publish(w, 0, 0, 1);
    assert_int_equal(w->ended, 1);
    assert_int_equal(w->messages, 0);
    world_free(w);
}

static void mqtt_3_3_4_9_more_than_our_receive_maximum_is_refused(void **state UNUSED)
{
    struct world *w = world_open();

    for (uint16_t id = 1; id <= 3; id++)
        give_publish(w, 2, id, 0);
    assert_int_equal(w->messages, 2);
    assert_sent(w, MQTT_PUBREC);
    assert_sent(w, MQTT_PUBREC);
    assert_ended(w, MQTT_RECEIVE_MAXIMUM_EXCEEDED);
    world_free(w);
}

static void acknowledgements_of_the_wrong_kind_end_the_session(void **state UNUSED)
{
    static const enum mqtt_packet_type wrong[][2] = {
        { MQTT_PUBREC, 1 }, { MQTT_PUBCOMP, 1 }, { MQTT_PUBACK, 2 }, { MQTT_PUBCOMP, 2 }
    };

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct world *w = world_open();
        world_publish(w, (uint8_t)wrong[i][1], SYMBOLON_OK);
        uint16_t id = assert_publish(w, false);
        give_ack(w, wrong[i][0], id, 0);
        assert_int_equal(w->ended, 1);
        assert_int_equal(w->published, 0);
        world_free(w);
    }
}

static void a_suback_with_too_few_codes_is_refused(void **state UNUSED)
{
    struct world *w = world_open();
    const struct symbolon_subscription subs[] = { { .filter = "a" }, { .filter = "b" } };
    struct buf b = { .max = 64 };

    assert_int_equal(engine_subscribe(&w->engine, subs, 2, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    mqtt_write_suback(&b, MQTT_5,
                      &(struct mqtt_suback){ .type = MQTT_SUBACK, .packet_id = 1, .reasons = SPAN("\x00") });
    give(w, &b);
    assert_int_equal(w->ended, 1);
    assert_int_equal(w->subscribed, 0);
    world_free(w);
}

static void mt90_a_refusal_hands_over_the_connack(void **state UNUSED)
{
    struct world *w = world_new(&plain);

    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, false, MQTT_NOT_AUTHORIZED, NULL);
    assert_true(w->refused_connack);
    assert_int_equal(w->error.reason_code, 0x87);
    assert_silent(w); /* a refused client says nothing more */
    world_free(w);
}

static void nothing_is_sent_behind_a_disconnect(void **state UNUSED)
{
    struct world *w = world_open();

    engine_disconnect(&w->engine, 0, w->now);
    assert_disconnect(w, 0);
    give_publish(w, 1, 5, 0);
    world_publish(w, 0, SYMBOLON_OK);
    assert_silent(w);
    assert_int_equal(w->messages, 0);
    assert_int_equal(w->ended, 0);
    world_free(w);
}

static void arguments_no_packet_can_carry_are_refused(void **state UNUSED)
{
    struct world *w = world_open();
    const struct symbolon_message bad[] = {
        { .topic = { "", 0 } },
        { .topic = { "a/#", 3 } },
        { .topic = { "\xff", 1 } },
        { .topic = { "a", 1 }, .qos = 3 },
        { .topic = { "a", 1 }, .payload = { "\xff", 1 }, .payload_is_utf8 = true },
        { .topic = { "a", 1 }, .response_topic = { "+", 1 } },
        { .topic = { "a", 1 }, .content_type = { "\xc0", 1 } },
    };
    const struct symbolon_subscription filters[] = { { .filter = "a#" },
                                                     { .filter = "" },
                                                     { .filter = "a", .qos = 3 },
                                                     { .filter = "$share/g/a", .no_local = true } };

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(engine_publish(&w->engine, &bad[i], w->now, NULL, NULL), SYMBOLON_INVALID);
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        assert_int_equal(engine_subscribe(&w->engine, &filters[i], 1, NULL, w->now, NULL, NULL),
                         SYMBOLON_INVALID);
    assert_int_equal(engine_subscribe(&w->engine, filters, 0, NULL, w->now, NULL, NULL), SYMBOLON_INVALID);
    assert_silent(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_may_arrive_byte_by_byte),
        cmocka_unit_test(mt54_only_auth_connack_or_disconnect_come_before_the_session),
        cmocka_unit_test(packets_of_the_wrong_kind_or_shape_end_the_session),
        cmocka_unit_test(mqtt_3_2_2_2_a_session_out_of_nowhere_is_refused),
        cmocka_unit_test(mqtt_3_1_2_26_topic_aliases_we_did_not_allow_are_refused),
        cmocka_unit_test(mqtt_3_3_4_9_more_than_our_receive_maximum_is_refused),
        cmocka_unit_test(acknowledgements_of_the_wrong_kind_end_the_session),
        cmocka_unit_test(a_suback_with_too_few_codes_is_refused),
        cmocka_unit_test(mt90_a_refusal_hands_over_the_connack),
        cmocka_unit_test(nothing_is_sent_behind_a_disconnect),
        cmocka_unit_test(arguments_no_packet_can_carry_are_refused),
    };
    return cmocka_run_group_tests_name("client_engine_rude", tests, NULL, NULL);
}
