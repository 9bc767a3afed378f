/* MQTT 5.0, statement by statement: enhanced authentication and errors (sections 3.15, 4.12, 4.13). The method is "ace". */
#include "raw.h"

#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

static void an_unknown_method_is_refused(void **state)
{ /* MQTT5 [MQTT-4.12.0-1] */
    struct bench *b = *state;
    struct conn_io *c = client_new(b);
    struct mqtt_connack ack;

    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .method = "SCRAM-SHA-1" });
    ack = expect_connack(c, MQTT_BAD_AUTHENTICATION_METHOD);
    assert_false(mqtt_has(&ack.properties, PROP_AUTH_METHOD));
    expect_closed(c);
    assert_int_equal(STAT(b, sessions), 0);
}

/* As far as the challenge; a new key each time. */
static struct conn_io *challenged(struct bench *b, struct mqtt_auth *ret_auth, uint32_t max_packet_bytes)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf packet;
    struct conn_io *c = client_new(b);

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    buf_init(&packet, 65535);
    connect_packet(
        c,
        &(struct connect_wish){
            .id = "c", .scope = ALL, .key = key, .challenge = true, .max_packet_bytes = max_packet_bytes },
        &packet);
    client_send(c, buf_span(&packet));
    *ret_auth = expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    return c;
}

static void a_challenge_is_an_auth_with_0x18_and_the_method(void **state)
{ /* MQTT5 [MQTT-4.12.0-2], [MQTT-4.12.0-5], [MQTT-3.15.2-1], [MQTT-3.2.0-1]: and with nothing else, so it always fits:
   * [MQTT-3.15.2-2], [MQTT-3.15.2-3] */
    struct mqtt_auth auth;
    struct conn_io *c = challenged(*state, &auth, 25);

    c->in_at = 0; /* its bytes: */
    raw_expect(c, "f0 13 18 11 15 0003 'ace' 16 0008");
    assert_int_equal(
        auth.properties.has & ~((UINT64_C(1) << PROP_AUTH_METHOD) | (UINT64_C(1) << PROP_AUTH_DATA)), 0);
    assert_int_equal(c->in.len, 21);
}

static void nothing_but_auth_and_disconnect_comes_before_the_connack(void **state)
{ /* MQTT5 [MQTT-3.1.2-30]: what a client does otherwise is refused by CONNACK, and not acted upon */
    static const char *const packets[] = { "c000", "30 06 0003 'a/b' 00", "82 09 0001 00 0003 'a/b' 00",
                                           "40 02 0001" };
    struct bench *b = *state;

    for (size_t i = 0; i < COUNT_OF(packets); i++) {
        struct mqtt_auth auth;
        struct conn_io *c = challenged(b, &auth, 0);

        raw_send(c, packets[i]);
        (void)expect_connack(c, MQTT_PROTOCOL_ERROR);
        expect_closed(c);
    }
    assert_int_equal(STAT(b, messages_in), 0);
    assert_int_equal(STAT(b, subscriptions), 0);
}

static void authentication_can_fail_at_any_step(void **state)
{ /* MQTT5 [MQTT-4.12.0-4], [MQTT-4.12.0-3], [MQTT-3.1.4-2], [MQTT-3.14.0-1]: by CONNACK, never by DISCONNECT */
    static const struct {
        const char *answer;
        uint8_t code;
    } rows[] = {
        { "f0 10 18 0e 15 0003 'ace' 16 0005 'wrong'", MQTT_NOT_AUTHORIZED },
        { "f0 10 18 0e 15 0003 'ecb' 16 0005 'wrong'", MQTT_BAD_AUTHENTICATION_METHOD },
        { "f0 10 19 0e 15 0003 'ace' 16 0005 'wrong'", MQTT_PROTOCOL_ERROR }, /* not 0x18 */
        { "f0 08 18 06 15 0003 'ace'", 0 },
    };
    struct bench *b = *state;
    struct conn_io *c = client_new(b);

    client_connect(c, &(struct connect_wish){ .id = "c", .has_data = true, .data = SPAN("nonsense") });
    assert_true(c->in.p[0] == 0x20 && c->in.p[3] >= 0x80); /* at once */
    assert_true(c->closed);
    for (size_t i = 0; i < COUNT_OF(rows); i++) { /* or after the challenge */
        struct mqtt_auth auth;
        struct mqtt_frame frame;
        struct mqtt_connack ack;

        c = challenged(b, &auth, 0);
        raw_send(c, rows[i].answer);
        assert_true(client_next(c, &frame));
        assert_int_equal(frame.type, MQTT_CONNACK);
        assert_int_equal(mqtt_read_connack(&frame, MQTT_5, &ack, NULL), ST_OK);
        assert_true(ack.reason >= 0x80);
        assert_true(rows[i].code == 0 || ack.reason == rows[i].code);
        expect_closed(c);
    }
    assert_int_equal(STAT(b, sessions), 0);
}

static void success_names_the_method(void **state)
{ /* MQTT5 [MQTT-4.12.0-5]: in the CONNACK after a challenge, and without one */
    struct bench *b = *state;

    for (int challenge = 0; challenge < 2; challenge++) {
        struct conn_io *c = client_new(b);
        struct mqtt_connack ack;

        client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .challenge = challenge == 1 });
        ack = expect_connack(c, MQTT_SUCCESS);
        assert_true(span_eq_str(ack.properties.auth_method, "ace"));
        client_bye(c);
    }
}

static void without_a_method_neither_auth_nor_a_method_is_sent(void **state)
{ /* MQTT5 [MQTT-4.12.0-6], [MQTT-4.12.0-7]: and an AUTH of the client is an error */
    struct bench *b = *state;
    struct conn_io *c = raw_client(b, MQTT_5);
    struct mqtt_connack ack;

    bench_public(b, "[[\"a/#\",[\"pub\",\"sub\"]]]");
    raw_packet(c, 0x10, CONNECT5 "02 0000 00 0001 'c'");
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_false(mqtt_has(&ack.properties, PROP_AUTH_METHOD));
    assert_false(mqtt_has(&ack.properties, PROP_AUTH_DATA));
    raw_send(c, "f0 10 19 0e 15 0003 'ace' 16 0005 'token'");
    (void)expect_disconnect(c, MQTT_PROTOCOL_ERROR);
    expect_closed(c);
    c = raw_client(b, MQTT_5); /* refused without a method: no method either */
    bench_public(b, NULL);
    raw_packet(c, 0x10, CONNECT5 "02 0000 00 0001 'c'");
    ack = expect_connack(c, MQTT_NOT_AUTHORIZED);
    assert_false(mqtt_has(&ack.properties, PROP_AUTH_METHOD));
}

static void a_failed_reauthentication_ends_the_connection(void **state)
{ /* MQTT5 [MQTT-4.12.1-2], [MQTT-4.12.1-1], [MQTT-4.13.2-1]: and the Will is published, since nobody said goodbye */
    struct bench *b = *state;
    struct conn_io *watch = client_connected(b, "watch", ALL);
    static const struct {
        const char *auth;
        uint8_t code;
    } rows[] = {
        { "f0 10 19 0e 15 0003 'ace' 16 0005 'wrong'", MQTT_NOT_AUTHORIZED },
        { "f0 10 19 0e 15 0003 'ecb' 16 0005 'wrong'", MQTT_BAD_AUTHENTICATION_METHOD },
        { "f0 10 18 0e 15 0003 'ace' 16 0005 'wrong'", MQTT_PROTOCOL_ERROR }, /* nothing to continue */
    };

    client_subscribe(watch, "a/w", 0, 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct conn_io *c =
            client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = ALL, .will_topic = "a/w" });
        struct mqtt_frame frame;
        struct mqtt_disconnect d;

        raw_send(c, rows[i].auth);
        assert_true(client_next(c, &frame));
        assert_int_equal(frame.type, MQTT_DISCONNECT);
        assert_int_equal(mqtt_read_disconnect(&frame, MQTT_5, &d, NULL), ST_OK);
        assert_int_equal(d.reason, rows[i].code);
        expect_closed(c);
        (void)expect_publish(watch, "a/w", "gone", 0);
    }
    expect_nothing(watch);
}

static void a_code_of_0x80_or_more_ends_the_connection_even_unsent(void **state)
{ /* MQTT5 [MQTT-4.13.2-1], [MQTT-4.13.1-1]: where a CONNACK has no room; a DISCONNECT always has */
    struct bench *b = *state;
    struct conn_io *c = raw_client(b, MQTT_5);

    raw_packet(c, 0x10,
               CONNECT5 "02 0000 05 27 00000002 0001 'c'"); /* nobody without a token, and no room to say so */
    expect_closed(c);
    bench_public(b, "[[\"a/#\",[\"pub\",\"sub\"]]]");
    c = raw_client(b, MQTT_5); /* here it is our own trouble: there is no room to let it in either */
    raw_packet(c, 0x10, CONNECT5 "02 0000 05 27 00000002 0001 'c'");
    expect_closed(c);
    assert_int_equal(STAT(b, sessions), 0);
    c = guest(b, "c");
    raw_send(c, "00 00");
    (void)expect_disconnect(c, MQTT_MALFORMED_PACKET);
    expect_closed(c);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(an_unknown_method_is_refused),
        T(a_challenge_is_an_auth_with_0x18_and_the_method),
        T(nothing_but_auth_and_disconnect_comes_before_the_connack),
        T(authentication_can_fail_at_any_step),
        T(success_names_the_method),
        T(without_a_method_neither_auth_nor_a_method_is_sent),
        T(a_failed_reauthentication_ends_the_connection),
        T(a_code_of_0x80_or_more_ends_the_connection_even_unsent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
