/* What a bridge asks of the engine: settings.relay and settings.bridge (symbolon_client_options). */
#include "client/engine_world.h"

static struct world *open_relay(const struct mqtt_properties *connack)
{
    struct engine_settings s = plain;
    struct world *w;

    s.relay = true;
    w = world_new(&s);
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_connack(w, false, MQTT_SUCCESS, connack);
    assert_int_equal(w->connected, 1);
    return w;
}

static struct mqtt_publish next_publish(struct world *w)
{
    struct mqtt_frame frame;
    struct mqtt_publish p;

    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, MQTT_PUBLISH);
    assert_int_equal(mqtt_read_publish(&frame, MQTT_5, &p, NULL), ST_OK);
    return p;
}

/* Where others are told that their message does not fit, it is made to. */
static void qos_and_retain_are_lowered_to_what_the_broker_takes(void **state UNUSED)
{
    struct mqtt_properties p = { .maximum_qos = 1, .retain_available = 0 };
    struct symbolon_message m = { .topic = { "t", 1 }, .qos = 2, .retain = true };

    mqtt_set(&p, PROP_MAXIMUM_QOS);
    mqtt_set(&p, PROP_RETAIN_AVAILABLE);
    struct world *w = open_relay(&p);
    assert_int_equal(engine_publish(&w->engine, &m, w->now, NULL, NULL), SYMBOLON_OK);
    struct mqtt_publish sent = next_publish(w);
    assert_int_equal(sent.qos, 1);
    assert_false(sent.retain);
    give_ack(w, MQTT_PUBACK, sent.packet_id, 0);
    assert_int_equal(w->published, 1);
    assert_int_equal(w->result.status, SYMBOLON_OK);
    world_free(w);
}

static void an_unconfirmed_qos_2_message_is_sent_again_when_the_session_is_lost(void **state UNUSED)
{
    struct world *w = open_relay(NULL);
    struct symbolon_error why = { .status = SYMBOLON_CLOSED };

    world_publish(w, 2, SYMBOLON_OK); /* no PUBREC: sent again */
    world_publish(w, 2, SYMBOLON_OK); /* PUBREC: the broker had it, and answers for it */
    (void)next_publish(w);
    give_ack(w, MQTT_PUBREC, next_publish(w).packet_id, 0);
    assert_sent(w, MQTT_PUBREL);
    engine_lost(&w->engine, &why, w->now);
    world_connect(w, false);
    struct mqtt_publish again = next_publish(w);
    assert_int_equal(again.qos, 2);
    assert_false(again.dup); /* to this session it is a new one */
    assert_silent(w);
    assert_int_equal(w->published, 1);
    assert_int_equal(w->result.status, SYMBOLON_OK);
    world_free(w);
}

static void a_broker_that_exceeds_receive_maximum_is_borne(void **state UNUSED)
{
    struct engine_settings s = plain; /* Receive Maximum 2 */
    struct world *w;

    s.relay = s.manual_ack = true;
    w = world_new(&s);
    world_connect(w, false);
    for (uint16_t id = 1; id <= 5; id++)
        give_publish(w, 2, id, 0);
    assert_int_equal(w->messages, 5);
    assert_int_equal(w->ended, 0);
    world_free(w);
}

static void the_bridge_bit_is_in_the_protocol_level(void **state UNUSED)
{
    struct engine_settings s = plain;
    struct world *w;

    s.version = MQTT_3_1_1;
    s.bridge = true;
    w = world_new(&s);
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_true(span_starts_with(span_cut(buf_span(&w->sent), 2, 7), SPAN("\x00\x04MQTT\x84")));
    world_free(w);
    s.version = MQTT_5; /* where it says nothing */
    w = world_new(&s);
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_true(span_starts_with(span_cut(buf_span(&w->sent), 2, 7), SPAN("\x00\x04MQTT\x05")));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qos_and_retain_are_lowered_to_what_the_broker_takes),
        cmocka_unit_test(an_unconfirmed_qos_2_message_is_sent_again_when_the_session_is_lost),
        cmocka_unit_test(a_broker_that_exceeds_receive_maximum_is_borne),
        cmocka_unit_test(the_bridge_bit_is_in_the_protocol_level),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
