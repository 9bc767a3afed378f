/* The engine speaking MQTT 3.1.1 with a broker that behaves, and with one that does not: bytes by hand. */
#include "client/engine_world.h"

static struct engine_settings v3(void)
{
    struct engine_settings s = plain;

    s.version = MQTT_3_1_1;
    return s;
}

static struct world *open_v3(void)
{
    struct engine_settings s = v3();
    struct world *w = world_new(&s);

    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_bytes(w, "\x20\x02\x00\x00", 4);
    assert_int_equal(w->connected, 1);
    return w;
}

static void mt121_user_name_and_password_carry_token_and_proof(void **state UNUSED)
{
    struct engine_settings s = v3();
    struct world *w = world_new(&s);
    static const char wanted[] = "\x10\x1b\x00\x04MQTT\x04\xc2\x00\x0a\x00\x01"
                                 "c\x00\x07"
                                 "aceZm9v\x00\x03\x01\x00\xff";

    engine_set_login(&w->engine, false, "aceZm9v", SPAN("\x01\x00\xff"));
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_true(span_eq(buf_span(&w->sent), SPAN(wanted)));
    world_free(w);
}

static void return_codes_say_what_reason_codes_say(void **state UNUSED)
{
    static const struct {
        char code;
        enum symbolon_status status;
        int reason;
    } rows[] = {
        { 1, SYMBOLON_UNSUPPORTED, 0x84 },    { 2, SYMBOLON_REFUSED, 0x85 },
        { 3, SYMBOLON_REFUSED, 0x88 },        { 4, SYMBOLON_NOT_AUTHORIZED, 0x86 },
        { 5, SYMBOLON_NOT_AUTHORIZED, 0x87 },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct engine_settings s = v3();
        struct world *w = world_new(&s);
        char connack[] = { 0x20, 2, 0, rows[i].code };
        engine_connect(&w->engine, SPAN_NONE, w->now);
        give_bytes(w, connack, sizeof connack);
        assert_int_equal(w->ended, 1);
        assert_true(w->refused_connack);
        assert_int_equal(w->error.reason_code, rows[i].reason);
        world_free(w);
    }
}

static void messages_go_both_ways_in_every_qos(void **state UNUSED)
{
    struct world *w = open_v3();
    const struct symbolon_message message = { .topic = { "t", 1 }, .payload = { "hi", 2 }, .qos = 2 };
    struct mqtt_frame frame;

    w->sent.len = w->read = 0;
    assert_int_equal(engine_publish(&w->engine, &message, w->now, NULL, NULL), SYMBOLON_OK);
    assert_true(span_eq(buf_span(&w->sent), SPAN("\x34\x07\x00\x01t\x00\x01hi")));
    assert_true(next_sent(w, &frame));
    give_bytes(w, "\x50\x02\x00\x01", 4);
    assert_sent(w, MQTT_PUBREL);
    give_bytes(w, "\x70\x02\x00\x01", 4);
    assert_int_equal(w->published, 1);
    assert_int_equal(w->result.status, SYMBOLON_OK);
    give_bytes(w, "\x32\x07\x00\x01x\x00\x09yo", 9);
    assert_int_equal(w->messages, 1);
    assert_string_equal(w->topic, "x");
    assert_sent(w, MQTT_PUBACK);
    world_free(w);
}

static void mt127_a_refused_filter_is_0x80(void **state UNUSED)
{
    struct world *w = open_v3();
    const struct symbolon_subscription sub = { .filter = "a", .qos = 1 };
    const char *filter = "a";

    assert_int_equal(engine_subscribe(&w->engine, &sub, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    assert_sent(w, MQTT_SUBSCRIBE);
    give_bytes(w, "\x90\x03\x00\x01\x80", 5);
    assert_int_equal(w->subscribed, 1);
    assert_int_equal(w->result.reason_code, 0x80);
    assert_int_equal(engine_unsubscribe(&w->engine, &filter, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    assert_sent(w, MQTT_UNSUBSCRIBE);
    give_bytes(w, "\xb0\x02\x00\x02", 4); /* no codes: MQTT3 3.11 */
    assert_int_equal(w->subscribed, 2);
    assert_int_equal(w->result.status, SYMBOLON_OK);
    world_free(w);
}

static void what_3_1_1_cannot_say_is_refused(void **state UNUSED)
{
    struct world *w = open_v3();
    const struct symbolon_message message = { .topic = { "t", 1 }, .content_type = { "text/plain", 10 } };
    const struct symbolon_subscription sub = { .filter = "a", .no_local = true };

    assert_int_equal(engine_publish(&w->engine, &message, w->now, NULL, NULL), SYMBOLON_UNSUPPORTED);
    assert_int_equal(engine_subscribe(&w->engine, &sub, 1, NULL, w->now, NULL, NULL), SYMBOLON_UNSUPPORTED);
    assert_int_equal(engine_pending(&w->engine), 0);
    world_free(w);
}

static void a_broker_that_sends_auth_or_disconnect_is_left_without_a_word(void **state UNUSED)
{
    static const char *const packets[] = { "\xf0\x00", "\xe0\x00" };

    for (size_t i = 0; i < COUNT_OF(packets); i++) {
        struct world *w = open_v3();
        give_bytes(w, packets[i], 2);
        assert_int_equal(w->ended, 1);
        assert_int_equal(w->error.status, SYMBOLON_PROTOCOL);
        assert_silent(w); /* a DISCONNECT would suppress the Will: MQTT311 3.14.4 */
        world_free(w);
    }
}

static void only_a_normal_goodbye_is_said(void **state UNUSED)
{
    struct world *w = open_v3();

    engine_disconnect(&w->engine, MQTT_DISCONNECT_WITH_WILL, w->now);
    assert_silent(w);
    world_free(w);
    w = open_v3();
    engine_disconnect(&w->engine, MQTT_SUCCESS, w->now);
    assert_sent(w, MQTT_DISCONNECT);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt121_user_name_and_password_carry_token_and_proof),
        cmocka_unit_test(return_codes_say_what_reason_codes_say),
        cmocka_unit_test(messages_go_both_ways_in_every_qos),
        cmocka_unit_test(mt127_a_refused_filter_is_0x80),
        cmocka_unit_test(what_3_1_1_cannot_say_is_refused),
        cmocka_unit_test(a_broker_that_sends_auth_or_disconnect_is_left_without_a_word),
        cmocka_unit_test(only_a_normal_goodbye_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
