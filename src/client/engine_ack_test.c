/* Acknowledging by hand: engine_settings.manual_ack. */
#include "client/engine_world.h"

static struct world *open_manual(void)
{
    struct engine_settings s = plain;

    s.manual_ack = true;
    s.receive_maximum = 4;
    struct world *w = world_new(&s);
    world_connect(w, false);
    return w;
}

static void assert_acked(struct world *w, enum mqtt_packet_type type, uint16_t id, uint8_t reason)
{
    struct mqtt_frame frame;
    struct mqtt_ack ack;

    assert_true(next_sent(w, &frame));
    assert_int_equal(mqtt_read_ack(&frame, MQTT_5, &ack, NULL), ST_OK);
    assert_int_equal(ack.type, type);
    assert_int_equal(ack.packet_id, id);
    assert_int_equal(ack.reason, reason);
}

static void lose(struct world *w)
{
    const struct symbolon_error lost = { .status = SYMBOLON_CLOSED };

    engine_lost(&w->engine, &lost, w->now);
}

static void give_again(struct world *w, uint8_t qos, uint16_t id)
{
    struct buf b = { .max = 4096 };

    mqtt_write_publish(
        &b, MQTT_5,
        &(struct mqtt_publish_out){ .qos = qos, .dup = true, .packet_id = id, .topic = SPAN("a/b") });
    give(w, &b);
}

static enum symbolon_status acknowledge(struct world *w, uint64_t handle, uint8_t reason)
{
    return engine_ack(&w->engine, handle, reason, w->now, NULL);
}

/* Handles count up from 1. */
static void mqtt_4_6_0_2_acknowledgements_leave_in_the_order_of_arrival(void **state UNUSED)
{
    struct world *w = open_manual();

    give_publish(w, 1, 10, 0);
    give_publish(w, 1, 11, 0);
    give_publish(w, 2, 12, 0);
    give_publish(w, 2, 13, 0);
    assert_silent(w);
    assert_int_equal(acknowledge(w, 2, 0), SYMBOLON_OK);
    assert_int_equal(acknowledge(w, 4, 0), SYMBOLON_OK);
    assert_silent(w);
    assert_int_equal(acknowledge(w, 2, 0), SYMBOLON_INVALID);
    assert_int_equal(acknowledge(w, 1, 0), SYMBOLON_OK);
    assert_acked(w, MQTT_PUBACK, 10, 0);
    assert_acked(w, MQTT_PUBACK, 11, 0);
    assert_int_equal(acknowledge(w, 3, 0), SYMBOLON_OK);
    assert_acked(w, MQTT_PUBREC, 12, 0); /* [MQTT-4.6.0-3] */
    assert_acked(w, MQTT_PUBREC, 13, 0);
    assert_int_equal(acknowledge(w, 3, 0), SYMBOLON_NOT_FOUND);
    give_ack(w, MQTT_PUBREL, 12, 0);
    assert_acked(w, MQTT_PUBCOMP, 12, 0);
    world_free(w);
}

static void what_waits_counts_towards_our_receive_maximum(void **state UNUSED)
{
    struct world *w = open_manual();

    for (uint16_t id = 1; id <= 4; id++)
        give_publish(w, 1, id, 0);
    give_publish(w, 1, 5, 0);
    assert_ended(w, MQTT_RECEIVE_MAXIMUM_EXCEEDED); /* MQTT5 3.3.4 */
    assert_int_equal(w->messages, 4);
    world_free(w);
}

static void a_continued_session_does_not_deliver_again_what_waits(void **state UNUSED)
{
    struct world *w = open_manual();

    give_publish(w, 1, 1, 0);
    give_publish(w, 2, 2, 0);
    give_publish(w, 2, 3, 0);
    lose(w);
    assert_int_equal(acknowledge(w, 1, 0), SYMBOLON_OK); /* while disconnected */
    assert_int_equal(acknowledge(w, 2, 0), SYMBOLON_OK);
    world_connect(w, true);
    assert_silent(w); /* the broker has not sent them on this connection */
    give_again(w, 1, 1);
    assert_acked(w, MQTT_PUBACK, 1, 0);
    give_again(w, 2, 2);
    assert_acked(w, MQTT_PUBREC, 2, 0);
    give_again(w, 2, 3);
    assert_silent(w);
    assert_int_equal(w->messages, 3);
    assert_int_equal(acknowledge(w, 3, 0), SYMBOLON_OK);
    assert_acked(w, MQTT_PUBREC, 3, 0);
    world_free(w);
}

static void an_identifier_used_anew_is_a_new_message(void **state UNUSED)
{
    struct world *w = open_manual();

    give_publish(w, 1, 1, 0);
    lose(w);
    world_connect(w, true);
    give_publish(w, 1, 1, 0); /* not DUP: the broker dropped the first one, as expired, say */
    assert_int_equal(w->messages, 2);
    assert_int_equal(acknowledge(w, 1, 0), SYMBOLON_NOT_FOUND);
    assert_int_equal(acknowledge(w, 2, 0), SYMBOLON_OK);
    assert_acked(w, MQTT_PUBACK, 1, 0);
    world_free(w);
}

static void mqtt_2_2_1_4_an_identifier_in_use_is_no_new_message(void **state UNUSED)
{
    struct world *w = open_manual();

    give_publish(w, 1, 1, 0);
    give_publish(w, 1, 1, 0);
    assert_ended(w, MQTT_PROTOCOL_ERROR);
    assert_int_equal(w->messages, 1);
    world_free(w);
}

static void a_lost_session_takes_its_messages_along(void **state UNUSED)
{
    struct world *w = open_manual();

    give_publish(w, 2, 1, 0);
    lose(w);
    world_connect(w, false);
    assert_int_equal(acknowledge(w, 1, 0), SYMBOLON_NOT_FOUND);
    give_publish(w, 2, 1, 0);
    assert_int_equal(w->messages, 2);
    world_free(w);
}

static void the_application_may_refuse(void **state UNUSED)
{
    struct world *w = open_manual();

    give_publish(w, 2, 1, 0);
    assert_int_equal(acknowledge(w, 1, MQTT_QUOTA_EXCEEDED), SYMBOLON_OK);
    assert_acked(w, MQTT_PUBREC, 1, MQTT_QUOTA_EXCEEDED); /* the handshake ends here */
    give_publish(w, 2, 1, 0);
    assert_int_equal(w->messages, 2);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mqtt_4_6_0_2_acknowledgements_leave_in_the_order_of_arrival),
        cmocka_unit_test(what_waits_counts_towards_our_receive_maximum),
        cmocka_unit_test(a_continued_session_does_not_deliver_again_what_waits),
        cmocka_unit_test(an_identifier_used_anew_is_a_new_message),
        cmocka_unit_test(mqtt_2_2_1_4_an_identifier_in_use_is_no_new_message),
        cmocka_unit_test(a_lost_session_takes_its_messages_along),
        cmocka_unit_test(the_application_may_refuse),
    };
    return cmocka_run_group_tests_name("client_engine_ack", tests, NULL, NULL);
}
