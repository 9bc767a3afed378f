/* The engine with a broker that behaves: handshakes, sessions, limits, keep alive. */
#include "client/engine_world.h"

static void qos_1_and_2_are_reported_when_the_broker_has_taken_them(void **state UNUSED)
{
    struct world *w = world_open();

    world_publish(w, 1, SYMBOLON_OK);
    uint16_t one = assert_publish(w, false);
    world_publish(w, 2, SYMBOLON_OK);
    uint16_t two = assert_publish(w, false);
    assert_int_not_equal(one, two);
    assert_int_equal(w->published, 0);
    give_ack(w, MQTT_PUBREC, two, 0);
    assert_sent(w, MQTT_PUBREL);
    give_ack(w, MQTT_PUBACK, one, 0);
    assert_int_equal(w->published, 1);
    give_ack(w, MQTT_PUBCOMP, two, 0);
    assert_int_equal(w->published, 2);
    assert_int_equal(engine_pending(&w->engine), 0);
    world_free(w);
}

static void mt96_a_refused_message_is_reported_with_its_reason(void **state UNUSED)
{
    struct world *w = world_open();
    struct buf b = { .max = 4096 };
    struct mqtt_ack ack = { .type = MQTT_PUBACK, .reason = MQTT_NOT_AUTHORIZED };

    world_publish(w, 1, SYMBOLON_OK);
    ack.packet_id = assert_publish(w, false);
    ack.properties.reason_string = SPAN("no\033[31m\xc2\x9bpub");
    mqtt_set(&ack.properties, PROP_REASON_STRING);
    mqtt_write_ack(&b, MQTT_5, &ack);
    give(w, &b);
    assert_int_equal(w->result.status, SYMBOLON_NOT_AUTHORIZED);
    assert_int_equal(w->result.reason_code, 0x87);
    assert_non_null(strstr(w->result.text, "no?[31m??pub"));
    world_publish(w, 2, SYMBOLON_OK);
    give_ack(w, MQTT_PUBREC, assert_publish(w, false), MQTT_NOT_AUTHORIZED);
    assert_int_equal(w->published, 2);
    assert_int_equal(w->result.status, SYMBOLON_NOT_AUTHORIZED);
    assert_silent(w); /* no PUBREL: MQTT5 4.3.3 */
    world_free(w);
}

static void mt97_a_flush_tells_whether_qos_0_was_accepted(void **state UNUSED)
{
    struct world *w = world_open();
    struct buf b = { .max = 4096 };

    world_publish(w, 0, SYMBOLON_OK);
    assert_int_equal(engine_flush(&w->engine, w->now, NULL), SYMBOLON_OK);
    assert_publish(w, false);
    assert_sent(w, MQTT_PINGREQ);
    mqtt_write_ping(&b, MQTT_PINGRESP);
    give(w, &b);
    assert_int_equal(w->flushed, 1);
    assert_int_equal(w->result.status, SYMBOLON_OK);

    world_publish(w, 0, SYMBOLON_OK);
    assert_int_equal(engine_flush(&w->engine, w->now, NULL), SYMBOLON_OK);
    mqtt_write_disconnect(&b, MQTT_5, &(struct mqtt_disconnect){ .reason = MQTT_NOT_AUTHORIZED });
    give(w, &b);
    assert_int_equal(w->ended, 1);
    assert_int_equal(w->error.status, SYMBOLON_NOT_AUTHORIZED);
    engine_lost(&w->engine, &w->error, w->now);
    assert_int_equal(w->flushed, 2);
    assert_int_equal(w->result.status, SYMBOLON_NOT_AUTHORIZED);
    world_free(w);
}

static void mqtt_3_3_4_9_no_more_in_flight_than_the_broker_takes(void **state UNUSED)
{
    struct world *w = world_new(&plain);
    struct mqtt_properties p = { .receive_maximum = 1 };

    mqtt_set(&p, PROP_RECEIVE_MAXIMUM);
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, false, 0, &p);
    world_publish(w, 1, SYMBOLON_OK);
    world_publish(w, 1, SYMBOLON_OK);
    world_publish(w, 0, SYMBOLON_OK);
    uint16_t id = assert_publish(w, false);
    assert_silent(w);
    give_ack(w, MQTT_PUBACK, id, 0);
    assert_publish(w, false);
    assert_int_equal(assert_publish(w, false), 0); /* QoS 0 kept its place behind the second one */
    assert_silent(w);
    world_free(w);
}

static void messages_wait_while_the_transport_is_behind(void **state UNUSED)
{
    struct world *w = world_open();

    w->congested = true;
    for (uint8_t qos = 0; qos < 3; qos++)
        world_publish(w, qos, SYMBOLON_OK);
    assert_silent(w);
    assert_int_equal(w->published, 0);
    assert_int_equal(engine_flush(&w->engine, w->now, NULL), SYMBOLON_OK);
    assert_silent(w); /* a flush waits behind what was handed over before it */
    w->congested = false;
    engine_drained(&w->engine, w->now);
    for (int i = 0; i < 3; i++)
        assert_publish(w, false);
    assert_sent(w, MQTT_PINGREQ);
    assert_int_equal(w->published, 1);
    world_free(w);
}

static void a_full_queue_says_so(void **state UNUSED)
{
    struct world *w = world_new(&plain);

    for (int i = 0; i < 4; i++)
        world_publish(w, 1, SYMBOLON_OK);
    world_publish(w, 1, SYMBOLON_QUEUE_FULL);
    world_free(w);
}

static void what_the_broker_does_not_take_is_not_sent(void **state UNUSED)
{
    struct world *w = world_new(&plain);
    struct mqtt_properties p = { .maximum_qos = 0, .retain_available = 0, .maximum_packet_size = 20 };
    struct symbolon_message big = { .topic = { "t", 1 }, .payload = { "0123456789012345678901234567890", 31 } };
    struct symbolon_message retained = { .topic = { "t", 1 }, .retain = true };

    mqtt_set(&p, PROP_MAXIMUM_QOS);
    mqtt_set(&p, PROP_RETAIN_AVAILABLE);
    mqtt_set(&p, PROP_MAXIMUM_PACKET_SIZE);
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, false, 0, &p);
    world_publish(w, 1, SYMBOLON_OK);
    assert_int_equal(w->result.status, SYMBOLON_REFUSED); /* MQTT5 [MQTT-3.2.2-11] */
    assert_int_equal(engine_publish(&w->engine, &big, w->now, NULL, NULL), SYMBOLON_OK);
    assert_int_equal(w->result.status, SYMBOLON_TOO_LARGE); /* MQTT5 [MQTT-3.2.2-15] */
    assert_int_equal(engine_publish(&w->engine, &retained, w->now, NULL, NULL), SYMBOLON_OK);
    assert_int_equal(w->result.status, SYMBOLON_REFUSED); /* MQTT5 [MQTT-3.2.2-14] */
    assert_int_equal(w->published, 3);
    assert_silent(w);
    world_free(w);
}

static void mqtt5_4_4_a_continued_session_sends_again(void **state UNUSED)
{
    struct world *w = world_open();
    struct symbolon_error lost = { .status = SYMBOLON_CLOSED };

    world_publish(w, 1, SYMBOLON_OK);
    uint16_t one = assert_publish(w, false);
    world_publish(w, 2, SYMBOLON_OK);
    uint16_t two = assert_publish(w, false);
    give_ack(w, MQTT_PUBREC, two, 0);
    assert_sent(w, MQTT_PUBREL);
    engine_lost(&w->engine, &lost, w->now);
    world_connect(w, true);
    assert_sent(w, MQTT_PUBREL);
    assert_int_equal(assert_publish(w, true), one);
    give_ack(w, MQTT_PUBCOMP, two, 0);
    give_ack(w, MQTT_PUBACK, one, 0);
    assert_int_equal(w->published, 2);
    world_free(w);
}

static void a_pubrel_sent_again_may_be_for_a_message_already_completed(void **state UNUSED)
{ /* MQTT5 3.7.2.1: 0x92 is not an error during recovery; the PUBCOMP was lost with the connection */
    struct world *w = world_open();
    struct symbolon_error lost = { .status = SYMBOLON_CLOSED };

    world_publish(w, 2, SYMBOLON_OK);
    uint16_t id = assert_publish(w, false);
    give_ack(w, MQTT_PUBREC, id, 0);
    assert_sent(w, MQTT_PUBREL);
    engine_lost(&w->engine, &lost, w->now);
    world_connect(w, true);
    assert_sent(w, MQTT_PUBREL);
    give_ack(w, MQTT_PUBCOMP, id, MQTT_PACKET_ID_NOT_FOUND);
    assert_int_equal(w->published, 1);
    assert_int_equal(w->result.status, SYMBOLON_OK);

    world_publish(w, 2, SYMBOLON_OK); /* on the same connection it is one */
    id = assert_publish(w, false);
    give_ack(w, MQTT_PUBREC, id, 0);
    assert_sent(w, MQTT_PUBREL);
    give_ack(w, MQTT_PUBCOMP, id, MQTT_PACKET_ID_NOT_FOUND);
    assert_int_equal(w->published, 2);
    assert_int_equal(w->result.status, SYMBOLON_REFUSED);
    world_free(w);
}

static void a_lost_session_repeats_qos_1_and_owns_up_about_qos_2(void **state UNUSED)
{
    struct world *w = world_open();
    struct symbolon_error lost = { .status = SYMBOLON_CLOSED };

    world_publish(w, 2, SYMBOLON_OK);
    assert_publish(w, false);
    world_publish(w, 1, SYMBOLON_OK);
    assert_publish(w, false);
    world_publish(w, 1, SYMBOLON_OK); /* queued: quota 2 */
    engine_lost(&w->engine, &lost, w->now);
    world_connect(w, false);
    assert_int_equal(w->published, 1);
    assert_int_equal(w->result.status, SYMBOLON_CLOSED);
    assert_int_equal(w->last_id, 1);
    uint16_t first = assert_publish(w, false); /* message 2 in front of message 3 */
    assert_publish(w, false);
    give_ack(w, MQTT_PUBACK, first, 0);
    assert_int_equal(w->last_id, 2);
    world_free(w);
}

static void qos_2_from_the_broker_is_delivered_once(void **state UNUSED)
{
    struct world *w = world_open();

    give_publish(w, 2, 7, 0);
    assert_sent(w, MQTT_PUBREC);
    give_publish(w, 2, 7, 0);
    assert_sent(w, MQTT_PUBREC);
    assert_int_equal(w->messages, 1);
    give_ack(w, MQTT_PUBREL, 7, 0);
    assert_sent(w, MQTT_PUBCOMP);
    give_publish(w, 2, 7, 0);
    assert_int_equal(w->messages, 2);
    give_publish(w, 1, 8, 0);
    assert_sent(w, MQTT_PUBREC);
    assert_sent(w, MQTT_PUBACK);
    give_publish(w, 0, 0, 0);
    assert_int_equal(w->messages, 4);
    assert_string_equal(w->topic, "a/b");
    assert_silent(w);
    world_free(w);
}

static void mqtt5_3_1_2_10_silence_makes_a_ping_and_no_answer_ends_it(void **state UNUSED)
{
    struct world *w = world_open();
    struct buf b = { .max = 64 };

    assert_int_equal(engine_due(&w->engine), w->now.mono.ms + 10000);
    w->now.mono.ms += 10000;
    engine_tick(&w->engine, w->now);
    assert_sent(w, MQTT_PINGREQ);
    mqtt_write_ping(&b, MQTT_PINGRESP);
    give(w, &b);
    w->now.mono.ms = engine_due(&w->engine);
    engine_tick(&w->engine, w->now);
    assert_sent(w, MQTT_PINGREQ);
    w->now.mono.ms = engine_due(&w->engine) - 1;
    engine_tick(&w->engine, w->now);
    assert_int_equal(w->ended, 0);
    w->now.mono.ms += 1;
    engine_tick(&w->engine, w->now);
    assert_int_equal(w->error.status, SYMBOLON_TIMEOUT);
    world_free(w);
}

static void mt99_each_filter_has_its_own_answer(void **state UNUSED)
{
    struct world *w = world_open();
    const struct symbolon_subscription subs[] = { { .filter = "a/#" }, { .filter = "b", .qos = 2 } };
    struct buf b = { .max = 64 };
    struct mqtt_frame frame;

    assert_int_equal(engine_subscribe(&w->engine, subs, 2, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, MQTT_SUBSCRIBE);
    mqtt_write_suback(
        &b, MQTT_5, &(struct mqtt_suback){ .type = MQTT_SUBACK, .packet_id = 1, .reasons = SPAN("\x87\x02") });
    give(w, &b);
    assert_int_equal(w->subscribed, 1);
    assert_int_equal(w->result.status, SYMBOLON_NOT_AUTHORIZED);
    assert_int_equal(engine_pending(&w->engine), 0);
    world_free(w);
}

static void a_request_dies_with_the_connection(void **state UNUSED)
{
    struct world *w = world_open();
    const struct symbolon_subscription sub = { .filter = "a" };
    const struct symbolon_error lost = { .status = SYMBOLON_CLOSED };

    assert_int_equal(engine_subscribe(&w->engine, &sub, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    engine_lost(&w->engine, &lost, w->now);
    assert_int_equal(w->subscribed, 1);
    assert_int_equal(w->last_codes.len, 0);
    assert_int_equal(w->result.status, SYMBOLON_CLOSED);
    assert_int_equal(engine_subscribe(&w->engine, &sub, 1, NULL, w->now, NULL, NULL), SYMBOLON_CLOSED);
    world_free(w);
}

static struct buf auth_packet(uint8_t reason, const char *method, struct span data)
{
    struct buf b = { .max = 4096 };
    struct mqtt_auth auth = { .reason = reason,
                              .properties = { .auth_method = span_of_str(method), .auth_data = data } };

    mqtt_set(&auth.properties, PROP_AUTH_METHOD);
    mqtt_set(&auth.properties, PROP_AUTH_DATA);
    mqtt_write_auth(&b, &auth);
    return b;
}

static void mt59_mt102_challenges_are_answered_before_and_inside_a_session(void **state UNUSED)
{
    struct engine_settings ace = plain;
    struct buf b;

    ace.ace = true;
    struct world *w = world_new(&ace);
    engine_connect(&w->engine, SPAN("data"), w->now);
    assert_sent(w, MQTT_CONNECT);
    b = auth_packet(MQTT_CONTINUE_AUTHENTICATION, "ace", SPAN("12345678"));
    give(w, &b);
    assert_int_equal(w->challenged, 1);
    assert_sent(w, MQTT_AUTH);
    give_connack(w, false, 0, NULL);
    assert_int_equal(w->connected, 1);
    engine_auth(&w->engine, MQTT_REAUTHENTICATE, SPAN("new"), w->now);
    assert_sent(w, MQTT_AUTH);
    b = auth_packet(MQTT_CONTINUE_AUTHENTICATION, "ace", SPAN("12345678"));
    give(w, &b);
    assert_sent(w, MQTT_AUTH);
    b = auth_packet(MQTT_SUCCESS, "ace", SPAN_NONE);
    give(w, &b);
    assert_int_equal(w->reauthenticated, 1);
    b = auth_packet(MQTT_CONTINUE_AUTHENTICATION, "ace", SPAN("12345678")); /* nobody asked */
    give(w, &b);
    assert_ended(w, MQTT_PROTOCOL_ERROR);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qos_1_and_2_are_reported_when_the_broker_has_taken_them),
        cmocka_unit_test(mt96_a_refused_message_is_reported_with_its_reason),
        cmocka_unit_test(mt97_a_flush_tells_whether_qos_0_was_accepted),
        cmocka_unit_test(mqtt_3_3_4_9_no_more_in_flight_than_the_broker_takes),
        cmocka_unit_test(messages_wait_while_the_transport_is_behind),
        cmocka_unit_test(a_full_queue_says_so),
        cmocka_unit_test(what_the_broker_does_not_take_is_not_sent),
        cmocka_unit_test(mqtt5_4_4_a_continued_session_sends_again),
        cmocka_unit_test(a_pubrel_sent_again_may_be_for_a_message_already_completed),
        cmocka_unit_test(a_lost_session_repeats_qos_1_and_owns_up_about_qos_2),
        cmocka_unit_test(qos_2_from_the_broker_is_delivered_once),
        cmocka_unit_test(mqtt5_3_1_2_10_silence_makes_a_ping_and_no_answer_ends_it),
        cmocka_unit_test(mt99_each_filter_has_its_own_answer),
        cmocka_unit_test(a_request_dies_with_the_connection),
        cmocka_unit_test(mt59_mt102_challenges_are_answered_before_and_inside_a_session),
    };
    return cmocka_run_group_tests_name("client_engine", tests, NULL, NULL);
}
