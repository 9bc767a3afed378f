/* MQTT 5.0, statement by statement: CONNECT and CONNACK (sections 3.1 and 3.2). */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>

/* A CONNECT whose rest is this gets that CONNACK and the end. */
static void refused(struct bench *b, const char *rest, uint8_t code)
{
    struct conn_io *c = raw_client(b, MQTT_5);

    raw_packet(c, 0x10, rest);
    (void)expect_connack(c, code);
    expect_closed(c);
}

/* ---- fields and flags of CONNECT ---- */

static void a_flag_promises_its_fields_and_no_flag_forbids_them(void **state)
{
    static const struct {
        const char *clause, *rest;
    } rows[] = {
        { "MQTT5 [MQTT-3.1.2-9] no Will properties", CONNECT5 "06 0000 00 0001 'c'" },
        { "MQTT5 [MQTT-3.1.2-9] no Will Topic", CONNECT5 "06 0000 00 0001 'c' 00" },
        { "MQTT5 [MQTT-3.1.2-9] no Will Payload", CONNECT5 "06 0000 00 0001 'c' 00 0001 'w'" },
        { "MQTT5 [MQTT-3.1.2-11] Will QoS without Will", CONNECT5 "0a 0000 00 0001 'c'" },
        { "MQTT5 [MQTT-3.1.2-12] Will QoS 3", CONNECT5 "1e 0000 00 0001 'c' 00 0001 'w' 0000" },
        { "MQTT5 [MQTT-3.1.2-13] Will Retain without Will", CONNECT5 "22 0000 00 0001 'c'" },
        { "MQTT5 [MQTT-3.1.2-16] a User Name without its flag", CONNECT5 "02 0000 00 0001 'c' 0001 'u'" },
        { "MQTT5 [MQTT-3.1.2-17] the flag without a User Name", CONNECT5 "82 0000 00 0001 'c'" },
        { "MQTT5 [MQTT-3.1.2-18] a Password without its flag",
          CONNECT5 "82 0000 00 0001 'c' 0001 'u' 0001 'p'" },
        { "MQTT5 [MQTT-3.1.2-19] the flag without a Password", CONNECT5 "c2 0000 00 0001 'c' 0001 'u'" },
        { "MQTT5 [MQTT-3.1.3-3] no Client Identifier", CONNECT5 "02 0000 00" },
        { "MQTT5 [MQTT-3.1.3-4] a Client Identifier that is not UTF-8", CONNECT5 "02 0000 00 0002 c328" },
        { "MQTT5 [MQTT-3.1.3-11] a Will Topic that is not UTF-8",
          CONNECT5 "06 0000 00 0001 'c' 00 0001 ff 0000" },
        { "MQTT5 [MQTT-3.1.3-12] a User Name that is not UTF-8", CONNECT5 "82 0000 00 0001 'c' 0003 eda080" },
        { "MQTT5 [MQTT-3.1.4-1] an unknown property", CONNECT5 "02 0000 02 7f00 0001 'c'" },
    };
    struct bench *b = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct conn_io *c = raw_client(b, MQTT_5);

        raw_packet(c, 0x10, rows[i].rest);
        if (c->in.len < 4 || c->in.p[3] != MQTT_MALFORMED_PACKET)
            fail_msg("%s: no CONNACK 0x81", rows[i].clause);
        (void)expect_connack(c, MQTT_MALFORMED_PACKET);
        expect_closed(c);
    }
    assert_int_equal(STAT(b, sessions), 0);
}

static void what_is_not_mqtt_is_closed(void **state)
{ /* MQTT5 [MQTT-3.1.2-1], [MQTT-3.1.2-2], [MQTT-3.2.2-7] */
    struct bench *b = *state;
    struct conn_io *c = raw_client(b, MQTT_5);

    refused(b, "0004 'MQTX' 05 02 0000 00 0001 'c'", MQTT_UNSUPPORTED_VERSION);
    refused(b, "0004 'mqtt' 05 02 0000 00 0001 'c'", MQTT_UNSUPPORTED_VERSION);
    refused(b, "0004 'MQTT' 06 02 0000 00 0001 'c'", MQTT_UNSUPPORTED_VERSION);
    raw_packet(c, 0x10, "0004 'HTTP' 2f");
    assert_true(c->closed);
    assert_int_equal(STAT(b, sessions), 0);
}

static void the_fields_come_in_one_order(void **state)
{ /* MQTT5 [MQTT-3.1.3-1]: identifier, Will Topic, Will Payload, and none of them is another */
    struct bench *b = *state;
    struct conn_io *watch = guest(b, "watch"), *c = raw_client(b, MQTT_5);

    subscribe(watch, "#", 0);
    raw_packet(c, 0x10, CONNECT5 "06 0000 05 11 00000064 0002 'id' 00 0002 'wt' 0002 'wp'");
    (void)expect_connack(c, MQTT_SUCCESS);
    client_drop(c);
    (void)expect_publish(watch, "wt", "wp", 0);
    (void)back(b, "id", true);
}

static void every_identifier_of_1_to_23_letters_and_digits_is_taken(void **state)
{ /* MQTT5 [MQTT-3.1.3-5] */
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof letters - 1; i++) {
        char id[2] = { letters[i], '\0' };

        (void)guest(b, id);
    }
    for (size_t len = 1; len <= 23; len++) {
        char id[24] = { 0 };

        for (size_t i = 0; i < len; i++)
            id[i] = letters[(i * 7 + len) % (sizeof letters - 1)];
        client_bye(guest(b, id));
    }
    assert_true(STAT(b, sessions) >= 60);
}

static void a_session_is_found_by_its_client_identifier_alone(void **state)
{ /* MQTT5 [MQTT-3.1.3-2]: byte for byte */
    struct bench *b = *state;
    struct conn_io *one = back(b, "one", false);

    subscribe(one, "t", 1);
    client_drop(one);
    (void)back(b, "One", false);
    (void)back(b, "one ", false);
    one = back(b, "one", true);
    publish_whole(guest(b, "p"), "t", "for one", 1, false);
    (void)expect_publish(one, "t", "for one", 1);
}

static void an_empty_identifier_is_replaced_and_the_new_one_works(void **state)
{ /* MQTT5 [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16] */
    struct bench *b = *state;
    struct conn_io *c[2];
    char id[2][64];

    for (int i = 0; i < 2; i++) {
        struct mqtt_connack ack;

        c[i] = client_new(b);
        client_connect(c[i],
                       &(struct connect_wish){ .id = "", .no_method = true, .resume = true, .expiry_s = 50 });
        ack = expect_connack(c[i], MQTT_SUCCESS);
        assert_true(mqtt_has(&ack.properties, PROP_ASSIGNED_CLIENT_ID));
        snprintf(id[i], sizeof id[i], "%.*s", SPAN_FMT(ack.properties.assigned_client_id));
        assert_true(strlen(id[i]) > 0);
        assert_false(ack.session_present);
    }
    assert_string_not_equal(id[0], id[1]);
    subscribe(c[0], "t", 1);
    client_drop(c[0]);
    c[0] = back(b, id[0], true); /* as if it had been sent: it can come back under it */
    publish_whole(c[1], "t", "x", 1, false);
    (void)expect_publish(c[0], "t", "x", 1);
}

static void an_identifier_that_is_given_is_not_told_again(void **state)
{ /* MQTT5 [MQTT-3.1.3-7]: only who sent none has one assigned */
    struct conn_io *c = client_new(*state);
    struct mqtt_connack ack;

    client_connect(c, &(struct connect_wish){ .id = "mine", .no_method = true });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_false(mqtt_has(&ack.properties, PROP_ASSIGNED_CLIENT_ID));
}

/* ---- Clean Start and the session ---- */

static void clean_start_decides_what_is_left_of_a_session(void **state)
{ /* MQTT5 [MQTT-3.1.2-4] to [MQTT-3.1.2-6], [MQTT-3.1.2-23], [MQTT-3.1.4-4], [MQTT-3.2.2-2], [MQTT-3.2.2-3] */
    struct bench *b = *state;
    struct conn_io *pub = guest(b, "p"), *c = back(b, "c", false); /* none: a new one is made */

    subscribe(c, "t", 1);
    client_drop(c);
    publish_whole(pub, "t", "while away", 1, false);
    c = back(b, "c", true); /* there is one: it goes on */
    (void)expect_publish(c, "t", "while away", 1);
    client_drop(c);
    c = raw_client(b, MQTT_5); /* Clean Start 1, the same expiry */
    raw_packet(c, 0x10, CONNECT5 "02 0000 05 11 00000064 0001 'c'");
    assert_false(expect_connack(c, MQTT_SUCCESS).session_present);
    publish_whole(pub, "t", "nobody subscribed", 1, false);
    expect_nothing(c);
    client_drop(c);
    (void)back(b, "c", true); /* of the new one */
}

static void a_session_without_expiry_ends_with_its_connection(void **state)
{ /* MQTT5 [MQTT-3.1.2-23], [MQTT-4.1.0-2] */
    struct bench *b = *state;
    struct conn_io *c = raw_client(b, MQTT_5);

    raw_packet(c, 0x10, CONNECT5 "00 0000 00 0001 'c'");
    (void)expect_connack(c, MQTT_SUCCESS);
    client_drop(c);
    assert_int_equal(STAT(b, sessions), 0);
    (void)back(b, "c", false);
}

/* ---- the Will ---- */

static void a_will_is_published_once_and_is_gone(void **state)
{ /* MQTT5 [MQTT-3.1.2-7], [MQTT-3.1.2-8], [MQTT-3.1.2-10] */
    struct bench *b = *state;
    struct conn_io *watch = guest(b, "watch");

    subscribe(watch, "w", 2);
    client_drop(
        guest_with(b, (struct connect_wish){ .id = "c", .will_topic = "w", .will_qos = 2, .expiry_s = 50 }));
    (void)expect_publish(watch, "w", "gone", 2);
    client_drop(back(b, "c", true)); /* the session is the same, the Will was published */
    bench_advance(b, 200000);
    expect_nothing(watch);
    client_bye(guest_with(b, (struct connect_wish){ .id = "d", .will_topic = "w", .expiry_s = 50 }));
    client_drop(back(b, "d", true)); /* the Will was taken back */
    bench_advance(b, 200000);
    expect_nothing(watch);
}

static void a_goodbye_with_will_publishes_it(void **state)
{ /* MQTT5 [MQTT-3.1.2-8], 3.14.2.1: reason code 0x04 does not take it back */
    struct bench *b = *state;
    struct conn_io *watch = guest(b, "watch"), *c;

    subscribe(watch, "w", 0);
    c = guest_with(b, (struct connect_wish){ .id = "c", .will_topic = "w" });
    raw_send(c, "e0 02 04 00");
    expect_closed(c);
    (void)expect_publish(watch, "w", "gone", 0);
}

static void a_will_waits_for_its_delay_or_for_the_end_of_the_session(void **state)
{ /* MQTT5 [MQTT-3.1.2-8], [MQTT-3.1.3-9] */
    struct bench *b = *state;
    struct conn_io *watch = guest(b, "watch"), *c;

    subscribe(watch, "w", 0);
    client_drop(guest_with(
        b, (struct connect_wish){ .id = "c", .will_topic = "w", .will_delay_s = 30, .expiry_s = 90 }));
    bench_advance(b, 29000);
    expect_nothing(watch);
    bench_advance(b, 2000);
    (void)expect_publish(watch, "w", "gone", 0);
    client_drop(guest_with(
        b, (struct connect_wish){ .id = "d", .will_topic = "w", .will_delay_s = 30, .expiry_s = 10 }));
    bench_advance(b, 9000);
    expect_nothing(watch);
    bench_advance(b, 2000); /* the session ends before the delay */
    (void)expect_publish(watch, "w", "gone", 0);
    client_drop(guest_with(
        b, (struct connect_wish){ .id = "e", .will_topic = "w", .will_delay_s = 30, .expiry_s = 90 }));
    bench_advance(b, 20000);
    c = back(b, "e", true); /* in time */
    bench_advance(b, 60000);
    expect_nothing(watch);
    expect_nothing(c);
}

static void a_will_is_retained_if_it_says_so_and_else_not(void **state)
{ /* MQTT5 [MQTT-3.1.2-14], [MQTT-3.1.2-15] */
    struct bench *b = *state;
    struct conn_io *watch = guest(b, "watch"), *late = guest(b, "late");
    struct mqtt_subscription want = wish_filter("#", 1);

    want.retain_as_published = true;
    client_subscribe_with(watch, want, 0, 1);
    (void)expect_suback(watch, 1, 1);
    client_drop(guest_with(b, (struct connect_wish){ .id = "c", .will_topic = "plain" }));
    assert_false(expect_publish(watch, "plain", "gone", 0).retain);
    client_drop(guest_with(b, (struct connect_wish){ .id = "c", .will_topic = "kept", .will_retain = true }));
    assert_true(expect_publish(watch, "kept", "gone", 0).retain);
    client_subscribe(late, "#", 1, 1);
    assert_true(expect_publish(late, "kept", "gone", 0).retain);
    expect_nothing(late);
}

static void user_properties_of_a_will_keep_their_order(void **state)
{ /* MQTT5 [MQTT-3.1.3-10] */
    static const char *const pairs[][2] = { { "b", "1" }, { "a", "2" }, { "b", "0" }, { "", "" } };
    struct bench *b = *state;
    struct conn_io *watch = guest(b, "watch"), *c = raw_client(b, MQTT_5);
    struct mqtt_publish p;
    size_t at = 0;

    subscribe(watch, "w", 0);
    raw_packet(c, 0x10,
               CONNECT5 "06 0000 00 0001 'c' 1a 26 0001 'b' 0001 '1' 26 0001 'a' 0001 '2'"
                        "26 0001 'b' 0001 '0' 26 0000 0000 0001 'w' 0001 'x'");
    (void)expect_connack(c, MQTT_SUCCESS);
    client_drop(c);
    p = expect_publish(watch, "w", "x", 0);
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct span name, value;

        assert_true(mqtt_next_user_property(&p.properties, &at, &name, &value));
        assert_true(span_eq_str(name, pairs[i][0]) && span_eq_str(value, pairs[i][1]));
    }
}

/* ---- CONNACK ---- */

static void a_good_connect_gets_its_connack_and_only_one(void **state)
{ /* MQTT5 [MQTT-3.1.4-5], [MQTT-3.2.0-2], [MQTT-3.2.2-1], [MQTT-3.2.2-8] */
    struct bench *b = *state;
    struct conn_io *c = raw_client(b, MQTT_5);
    struct mqtt_frame frame;

    raw_packet(c, 0x10, CONNECT5 "02 0000 00 0001 'c'");
    assert_int_equal(c->in.p[0], 0x20);
    assert_int_equal(c->in.p[2], 0x00); /* flags */
    assert_int_equal(c->in.p[3], 0x00); /* Success */
    (void)expect_connack(c, MQTT_SUCCESS);
    raw_send(c, "c000 c000");
    raw_expect(c, "d000 d000");
    raw_packet(c, 0x10, CONNECT5 "02 0000 00 0001 'c'"); /* MQTT5 [MQTT-3.1.0-2]: no second one */
    assert_true(client_next(c, &frame));
    assert_int_equal(frame.type, MQTT_DISCONNECT);
    expect_closed(c);
}

static void connack_is_the_first_packet_whatever_waits(void **state)
{ /* MQTT5 [MQTT-3.2.0-1]: messages of the session, retained ones and answers come behind it */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false);
    struct mqtt_frame frame;

    subscribe(c, "t", 1);
    client_drop(c);
    publish_whole(guest(b, "p"), "t", "waits", 1, false);
    c = raw_client(b, MQTT_5);
    raw_send(c, "10 13" CONNECT5 "00 0000 05 11 00000064 0001 'c'"
                "c000 82 07 0001 00 0001 't' 00");
    assert_true(client_next(c, &frame));
    assert_int_equal(frame.type, MQTT_CONNACK);
    (void)expect_publish(c, "t", "waits", 1);
    raw_expect(c, "d000 90 04 0001 00 00");
}

static void a_refusal_has_session_present_0_and_is_the_end(void **state)
{ /* MQTT5 [MQTT-3.2.2-6], [MQTT-3.2.2-7], [MQTT-3.1.4-2], [MQTT-4.13.2-1] */
    struct bench *b = *state;
    struct conn_io *c;

    client_drop(client_connected_with(
        b,
        &(struct connect_wish){ .id = "c", .scope = "[[\"t\",[\"sub\"]]]", .expiry_s = 100, .resume = true }));
    assert_int_equal(STAT(b, sessions), 1); /* there is a session, yet not for who has no right to it */
    c = raw_client(b, MQTT_5);
    raw_packet(c, 0x10, CONNECT5 "00 0000 00 0001 'c'");
    assert_int_equal(c->in.p[2], 0x00);
    (void)expect_connack(c, MQTT_CLIENT_ID_NOT_VALID); /* MQTT5 [MQTT-3.1.3-8] */
    expect_closed(c);
    c = client_new(b);
    client_connect(
        c, &(struct connect_wish){ .id = "c", .has_data = true, .data = SPAN("nonsense"), .resume = true });
    assert_int_equal(c->in.p[2], 0x00);
    assert_true(c->in.p[3] >= 0x80);
    (void)expect_connack(c, c->in.p[3]);
    expect_closed(c);
}

static void behind_a_refused_connect_nothing_is_read(void **state)
{ /* MQTT5 [MQTT-3.1.4-6] */
    struct bench *b = *state;
    struct conn_io *watch = guest(b, "watch"), *c = raw_client(b, MQTT_5);

    subscribe(watch, "#", 0);
    raw_send(c, "10 0e" CONNECT5 "03 0000 00 0001 'c'" /* the reserved flag: refused */
                "30 05 0001 't' 00 'x' 82 07 0001 00 0001 't' 00 c000");
    (void)expect_connack(c, MQTT_MALFORMED_PACKET);
    expect_closed(c);
    expect_nothing(watch);
    assert_int_equal(STAT(b, messages_in), 0);
}

static void before_a_connack_nobody_is_sent_a_disconnect(void **state)
{ /* MQTT5 [MQTT-3.14.0-1]: whatever goes wrong */
    static const char *const first[] = {
        "c000", /* no CONNECT */
        "e000",
        "00 00",                                        /* no type */
        "10 0e" CONNECT5 "03 0000 00 0001 'c'",         /* malformed */
        "10 11" CONNECT5 "02 0000 03 21 0000 0001 'c'", /* Receive Maximum 0 */
        "10 ffffff7f",                                  /* too large */
        "f0 02 18 00",
    };
    struct bench *b = *state;

    for (size_t i = 0; i < COUNT_OF(first); i++) {
        struct conn_io *c = raw_client(b, MQTT_5);
        struct mqtt_frame frame;

        raw_send(c, first[i]);
        while (client_next(c, &frame))
            assert_int_not_equal(frame.type, MQTT_DISCONNECT);
        assert_true(c->closed);
    }
    struct conn_io *slow = raw_client(b, MQTT_5); /* and who says nothing is closed without a word */
    bench_advance(b, 20000);
    expect_closed(slow);
}

static void a_connack_leaves_out_what_would_make_it_too_large(void **state)
{ /* MQTT5 [MQTT-3.2.2-19], [MQTT-3.2.2-20]: Reason String first, then User Properties */
    struct bench *b = *state;
    uint32_t max = 1000;

    bench_public(b, NULL);
    for (int i = 0; i < 3; i++) {
        struct conn_io *c = client_new(b);
        struct mqtt_connack ack;

        client_connect(c, &(struct connect_wish){ .id = "c", .no_data = true, .max_packet_bytes = max });
        assert_true(c->in.len <= max);
        max = (uint32_t)c->in.len - 1; /* one byte less than that took */
        ack = expect_connack(c, MQTT_NOT_AUTHORIZED);
        expect_closed(c);
        assert_int_equal(mqtt_has(&ack.properties, PROP_REASON_STRING), i < 1);
        assert_int_equal(mqtt_has(&ack.properties, PROP_USER), i < 2);
    }
}

static void without_server_keep_alive_the_clients_value_counts(void **state)
{ /* MQTT5 [MQTT-3.2.2-22], [MQTT-3.1.2-22] */
    struct bench *b = *state;
    struct conn_io *c = client_new(b), *never = raw_client(b, MQTT_5);
    struct mqtt_connack ack;

    b->settings.max_keep_alive_s = 0;
    client_connect(c, &(struct connect_wish){ .id = "c", .no_method = true, .keep_alive_s = 20 });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_false(mqtt_has(&ack.properties, PROP_SERVER_KEEP_ALIVE));
    raw_packet(never, 0x10, CONNECT5 "02 0000 00 0001 'n'"); /* 0: no end to the silence */
    (void)expect_connack(never, MQTT_SUCCESS);
    bench_advance(b, 29000);
    expect_nothing(c);
    bench_advance(b, 2000);
    (void)expect_disconnect(c, MQTT_KEEP_ALIVE_TIMEOUT);
    bench_advance(b, 100000);
    expect_nothing(never);
}

static void a_server_keep_alive_is_told_and_used(void **state)
{ /* MQTT5 3.2.2.3.14: what the client is then bound to by [MQTT-3.2.2-21] */
    struct bench *b = *state;
    struct conn_io *c = client_new(b);
    struct mqtt_connack ack;

    b->settings.max_keep_alive_s = 10;
    client_connect(c, &(struct connect_wish){ .id = "c", .no_method = true, .keep_alive_s = 60 });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_int_equal(ack.properties.server_keep_alive_s, 10);
    bench_advance(b, 16000);
    (void)expect_disconnect(c, MQTT_KEEP_ALIVE_TIMEOUT);
}

static void response_information_is_for_who_asks(void **state)
{ /* MQTT5 [MQTT-3.1.2-28]: no property, and Request Response Information 0 */
    struct bench *b = *state;
    struct conn_io *c;
    static const char *const rests[] = { CONNECT5 "02 0000 00 0001 'c'", CONNECT5 "02 0000 02 1900 0001 'c'" };

    b->settings.response_prefix = SPAN("answers/${client_id}");
    for (size_t i = 0; i < COUNT_OF(rests); i++) {
        struct mqtt_connack ack;

        c = raw_client(b, MQTT_5);
        raw_packet(c, 0x10, rests[i]);
        ack = expect_connack(c, MQTT_SUCCESS);
        assert_false(mqtt_has(&ack.properties, PROP_RESPONSE_INFO));
    }
}

static void reasons_are_for_who_wants_them(void **state)
{ /* MQTT5 [MQTT-3.1.2-29]: with Request Problem Information 0 none but in CONNACK, DISCONNECT and PUBLISH */
    struct bench *b = *state;
    struct conn_io *c = raw_client(b, MQTT_5);

    bench_public(b, "[[\"mine/#\",[\"pub\",\"sub\"]]]");
    raw_packet(c, 0x10, CONNECT5 "02 0000 02 1700 0001 'c'");
    (void)expect_connack(c, MQTT_SUCCESS);
    raw_packet(c, 0x32, "0001 'x' 0007 00");
    raw_expect(c, "40 03 0007 87");
    raw_packet(c, 0x34, "0001 'x' 0008 00");
    raw_expect(c, "50 03 0008 87");
    raw_send(c, "82 07 0009 00 0001 'x' 00");
    raw_expect(c, "90 04 0009 00 87");
    raw_send(c, "a2 06 000a 00 0001 'x'");
    raw_expect(c, "b0 04 000a 00 11");
    raw_send(c, "62 02 000b"); /* of nothing */
    raw_expect(c, "70 03 000b 92");
    expect_nothing(c);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, raw_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(a_flag_promises_its_fields_and_no_flag_forbids_them),
        T(what_is_not_mqtt_is_closed),
        T(the_fields_come_in_one_order),
        T(every_identifier_of_1_to_23_letters_and_digits_is_taken),
        T(a_session_is_found_by_its_client_identifier_alone),
        T(an_empty_identifier_is_replaced_and_the_new_one_works),
        T(an_identifier_that_is_given_is_not_told_again),
        T(clean_start_decides_what_is_left_of_a_session),
        T(a_session_without_expiry_ends_with_its_connection),
        T(a_will_is_published_once_and_is_gone),
        T(a_goodbye_with_will_publishes_it),
        T(a_will_waits_for_its_delay_or_for_the_end_of_the_session),
        T(a_will_is_retained_if_it_says_so_and_else_not),
        T(user_properties_of_a_will_keep_their_order),
        T(a_good_connect_gets_its_connack_and_only_one),
        T(connack_is_the_first_packet_whatever_waits),
        T(a_refusal_has_session_present_0_and_is_the_end),
        T(behind_a_refused_connect_nothing_is_read),
        T(before_a_connack_nobody_is_sent_a_disconnect),
        T(a_connack_leaves_out_what_would_make_it_too_large),
        T(without_server_keep_alive_the_clients_value_counts),
        T(a_server_keep_alive_is_told_and_used),
        T(response_information_is_for_who_asks),
        T(reasons_are_for_who_wants_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
