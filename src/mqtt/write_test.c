/* Writers: they fail rather than put a malformed packet on the wire, and PUBLISH comes in two parts. */
#include "mqtt/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define BIT(id) (UINT64_C(1) << (id))

static void writers_fail_rather_than_lie(void **state UNUSED)
{
    struct mqtt_disconnect disconnect = { .reason = MQTT_NOT_AUTHORIZED };
    struct mqtt_publish_out publish = { .topic = SPAN("a"), .payload = span_of("", MQTT_REMAINING_LENGTH_MAX) };
    struct buf out;

    buf_init(&out, 1000);
    mqtt_set(&disconnect.properties, PROP_TOPIC_ALIAS); /* does not belong there */
    mqtt_write_disconnect(&out, MQTT_5, &disconnect);
    assert_false(buf_ok(&out));
    buf_reset(&out);
    disconnect.properties = (struct mqtt_properties){ .reason_string = SPAN("\xff") };
    mqtt_set(&disconnect.properties, PROP_REASON_STRING);
    mqtt_write_disconnect(&out, MQTT_5, &disconnect);
    assert_false(buf_ok(&out));
    buf_reset(&out);
    assert_int_equal(mqtt_publish_size(&publish, MQTT_5), 0);
    mqtt_write_publish(&out, MQTT_5, &publish);
    assert_false(buf_ok(&out));
    buf_reset(&out);
    mqtt_put_user_property(&out, SPAN("a\0b"), SPAN(""));
    assert_false(buf_ok(&out));
    buf_done(&out);
}

static void the_head_of_a_publish_is_all_but_the_shared_part(void **state UNUSED)
{
    static const uint8_t want[] = { 0x3d, 21, 0, 3, 'a', '/', 'b', 0x12, 0x34, 9, 0x02, 0, 0, 0, 60, 0x0b, 7 };
    struct mqtt_publish_out p = { .qos = 2,
                                  .retain = true,
                                  .dup = true,
                                  .packet_id = 0x1234,
                                  .topic = SPAN("a/b"),
                                  .has_message_expiry = true,
                                  .message_expiry_s = 60,
                                  .subscription_ids = SPAN("\x0b\x07"),
                                  .properties = SPAN("\x01\x01"),
                                  .payload = SPAN("1234") };
    uint8_t head[64];

    assert_int_equal(mqtt_publish_size(&p, MQTT_5), 23);
    assert_int_equal(mqtt_publish_head(&p, MQTT_5, head), sizeof want);
    assert_memory_equal(head, want, sizeof want);
    assert_int_equal(mqtt_publish_size(&p, MQTT_3_1_1), 2 + 5 + 2 + 4); /* no properties before 5.0 */
    assert_int_equal(mqtt_publish_head(&p, MQTT_3_1_1, head), 2 + 5 + 2);
}

static void absent_properties_have_their_defaults(void **state UNUSED)
{
    struct mqtt_properties p = { 0 };

    assert_int_equal(mqtt_receive_maximum(&p), 65535);                    /* MQTT5 3.1.2.11.3 */
    assert_int_equal(mqtt_maximum_packet_size(&p), MQTT_PACKET_SIZE_MAX); /* MQTT5 3.1.2.11.4 */
    assert_int_equal(mqtt_maximum_qos(&p), 2);                            /* MQTT5 3.2.2.3.4 */
    assert_true(mqtt_request_problem_info(&p));                           /* MQTT5 3.1.2.11.7 */
    mqtt_set(&p, PROP_REQUEST_PROBLEM_INFO);
    assert_false(mqtt_request_problem_info(&p));
}

static void message_properties_travel_and_the_others_stay(void **state UNUSED)
{
    struct mqtt_properties p = { .payload_format = 1, .topic_alias = 3, .content_type = SPAN("text/plain") },
                           again;
    struct buf raw, travel, block;
    struct span value;

    buf_init(&raw, 100);
    buf_init(&travel, 100);
    buf_init(&block, 101);
    mqtt_put_user_property(&raw, SPAN("ace_as_hint"), SPAN("{}"));
    mqtt_put_subscription_id(&raw, 5);
    p.raw = buf_span(&raw);
    mqtt_set(&p, PROP_PAYLOAD_FORMAT);
    mqtt_set(&p, PROP_TOPIC_ALIAS);
    mqtt_set(&p, PROP_CONTENT_TYPE);
    mqtt_set(&p, PROP_SUBSCRIPTION_ID);
    mqtt_set(&p, PROP_USER);
    mqtt_put_message_properties(&travel, &p); /* [MQTT-3.3.2-4], [MQTT-3.3.2-17], [MQTT-3.3.2-20] */
    put_u8(&block, (uint8_t)travel.len);      /* Property Length */
    put_bytes(&block, buf_span(&travel));
    struct reader r = reader_make(buf_span(&block), "MQTT5 2.2.2");
    assert_int_equal(mqtt_read_properties(&r, MQTT_PUBLISH, MQTT_FROM_SERVER, &again, NULL), ST_OK);
    assert_int_equal(again.has, BIT(PROP_PAYLOAD_FORMAT) | BIT(PROP_CONTENT_TYPE) | BIT(PROP_USER));
    assert_true(span_eq_str(again.content_type, "text/plain"));
    assert_true(mqtt_find_user_property(&again, SPAN("ace_as_hint"), &value));
    assert_true(span_eq_str(value, "{}"));
    assert_false(mqtt_find_user_property(&again, SPAN("other"), &value));
    buf_done(&raw);
    buf_done(&travel);
    buf_done(&block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_fail_rather_than_lie),
        cmocka_unit_test(the_head_of_a_publish_is_all_but_the_shared_part),
        cmocka_unit_test(absent_properties_have_their_defaults),
        cmocka_unit_test(message_properties_travel_and_the_others_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
