/* MQTT 5.0, statement by statement: SUBSCRIBE, UNSUBSCRIBE, PINGREQ, and the sizes and codes of every answer (sections 3.4 to
 * 3.15). */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what is refused ---- */

static void what_a_request_may_not_hold_ends_the_connection(void **state)
{
    static const struct {
        const char *clause;
        uint8_t first;
        const char *rest;
        uint8_t code;
    } rows[] = {
        { "MQTT5 [MQTT-2.1.3-1] flags of PINGREQ", 0xc1, "", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-2.1.3-1] flags of PUBACK", 0x42, "0001", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.6.1-1] flags of PUBREL", 0x60, "0001", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.8.1-1] flags of SUBSCRIBE", 0x80, "0001 00 0001 't' 00", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.8.3-1] a filter that is not UTF-8", 0x82, "0001 00 0002 c328 00",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.8.3-2] no filter", 0x82, "0001 00", MQTT_PROTOCOL_ERROR },
        { "MQTT5 [MQTT-3.8.3-2] a filter without its options", 0x82, "0001 00 0001 't'",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.8.3-4] No Local on a shared subscription", 0x82, "0001 00 000a '$share/g/t' 04",
          MQTT_PROTOCOL_ERROR },
        { "MQTT5 [MQTT-3.8.3-5] a reserved option bit", 0x82, "0001 00 0001 't' 40", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.8.3-5] the other one", 0x82, "0001 00 0001 't' 80", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-4.7.1-1] # in the middle", 0x82, "0001 00 0005 'a/#/b' 00", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-4.7.1-1] # behind a letter", 0x82, "0001 00 0004 'a/b#' 00", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-4.7.1-2] + beside a letter", 0x82, "0001 00 0004 'a/b+' 00", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-4.7.3-1] an empty filter", 0x82, "0001 00 0000 00", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-4.7.3-2] U+0000 in a filter", 0x82, "0001 00 0003 'a' 00 'b' 00",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-4.8.2-1] an empty ShareName", 0x82, "0001 00 0009 '$share//t' 00",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-4.8.2-2] a wildcard in a ShareName", 0x82, "0001 00 000b '$share/+g/t' 00",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-4.8.2-2] no filter behind a ShareName", 0x82, "0001 00 0008 '$share/g' 00",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.10.1-1] flags of UNSUBSCRIBE", 0xa0, "0001 00 0001 't'", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.10.3-1] a filter that is not UTF-8", 0xa2, "0001 00 0002 c328",
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.10.3-2] no filter", 0xa2, "0001 00", MQTT_PROTOCOL_ERROR },
        { "MQTT5 [MQTT-3.14.1-1] flags of DISCONNECT", 0xe1, "00", MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.15.1-1] flags of AUTH", 0xf1, "18 06 15 0003 'ace'", MQTT_MALFORMED_PACKET },
    };
    struct bench *b = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) { /* MQTT5 [MQTT-4.13.1-1]: and every time it is the end */
        struct conn_io *c = guest(b, "bad");

        raw_packet(c, rows[i].first, rows[i].rest);
        raw_thrown_out(c, rows[i].code, rows[i].clause);
        assert_int_equal(STAT(b, subscriptions), 0);
    }
}

/* ---- SUBSCRIBE ---- */

static void each_filter_gets_its_code_in_its_place(void **state)
{ /* MQTT5 [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-5] to [MQTT-3.8.4-7], [MQTT-3.9.3-1], [MQTT-3.9.3-2] */
    struct bench *b = *state;
    struct conn_io *c;

    bench_public(b, "[[\"t/#\",[\"pub\",\"sub\"]]]");
    c = guest(b, "c");
    raw_packet(c, 0x82,
               "beef 00 0003 't/2' 02 0001 'u' 01 0003 't/0' 00 0003 't/1' 01 0001 '#' 02 0003 't/2' 01");
    assert_int_equal(c->in.p[c->in_at], 0x90);
    {
        struct mqtt_suback ack = expect_suback(c, 0xbeef, 2);

        assert_int_equal(ack.reasons.len, 6);
        assert_memory_equal(ack.reasons.p, "\x02\x87\x00\x01\x87\x01", 6);
    }
    assert_int_equal(STAT(b, subscriptions), 3); /* t/2 twice, as two packets would have had it */
    publish_whole(guest(b, "p"), "t/2", "x", 2, false);
    (void)expect_publish(c, "t/2", "x", 1);
}

static void many_filters_work_like_many_packets(void **state)
{ /* MQTT5 [MQTT-3.8.4-5], [MQTT-3.10.4-6], [MQTT-3.11.3-1], [MQTT-3.11.3-2], [MQTT-3.10.4-4], [MQTT-3.10.4-5] */
    struct bench *b = *state;
    struct conn_io *c = guest(b, "c"), *pub = guest(b, "p");

    raw_send(c, "82 11 0001 02 0b07 0001 'a' 00 0001 'b' 01 0001 'c' 02");
    raw_expect(c, "90 06 0001 00 00 01 02");
    for (const char *topic = "abc"; *topic != '\0'; topic++) {
        char name[2] = { *topic, '\0' };
        struct mqtt_publish p;

        publish_whole(pub, name, "x", 2, false);
        p = expect_publish(c, name, "x", (uint8_t)(*topic - 'a'));
        assert_int_equal(p.properties.subscription_id, 7);
        finish(c, &p);
    }
    raw_send(c, "a2 0f 0002 00 0001 'c' 0001 'x' 0001 'a' 0001 'c'"); /* c is gone when it comes again */
    raw_expect(c, "b0 07 0002 00 00 11 00 11");
    publish_whole(pub, "a", "x", 1, false);
    publish_whole(pub, "c", "x", 1, false);
    publish_whole(pub, "b", "x", 1, false);
    (void)expect_publish(c, "b", "x", 1);
    expect_nothing(c);
    raw_send(c, "a2 06 ffff 00 0001 'x'"); /* nothing is deleted, and yet there is an answer */
    raw_expect(c, "b0 04 ffff 00 11");
}

static void the_same_filter_again_replaces_the_subscription_without_a_gap(void **state)
{ /* MQTT5 [MQTT-3.8.4-3], [MQTT-3.8.4-4], [MQTT-3.8.4-8] */
    struct bench *b = *state;
    struct conn_io *c = guest(b, "c"), *pub = guest(b, "p");
    struct mqtt_publish p;

    publish_whole(pub, "t", "kept", 2, true);
    client_subscribe_with(c, wish_filter("t", 0), 5, 1);
    (void)expect_suback(c, 1, 0);
    assert_true(expect_publish(c, "t", "kept", 0).retain);
    client_publish(pub, "t", "before", 1, 1);
    client_subscribe_with(c, wish_filter("t", 2), 6, 2); /* handling 0: the retained message comes again */
    client_publish(pub, "t", "after", 2, 2);
    p = expect_publish(c, "t", "before", 0);
    assert_int_equal(p.properties.subscription_id, 5);
    (void)expect_suback(c, 2, 2);
    p = expect_publish(c, "t", "kept", 2);
    assert_true(p.retain);
    assert_int_equal(p.properties.subscription_id, 6);
    p = expect_publish(c, "t", "after", 2);
    assert_int_equal(p.properties.subscription_id, 6); /* one copy, by the new one */
    expect_nothing(c);
    assert_int_equal(STAT(b, subscriptions), 1);
}

static void no_local_is_for_who_published_it_alone(void **state)
{ /* MQTT5 [MQTT-3.8.3-3]: by client identifier, so on the next connection too, and with other subscriptions not */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false), *pub = guest(b, "p");
    struct mqtt_subscription want = wish_filter("t", 1);

    want.no_local = true;
    client_subscribe_with(c, want, 0, 1);
    (void)expect_suback(c, 1, 1);
    publish_whole(c, "t", "mine", 1, false);
    expect_nothing(c);
    client_drop(c);
    c = back(b, "c", true);
    publish_whole(c, "t", "mine", 1, false);
    expect_nothing(c);
    publish_whole(pub, "t", "theirs", 1, false);
    (void)expect_publish(c, "t", "theirs", 1);
}

/* ---- UNSUBSCRIBE ---- */

static void unsubscribing_compares_characters(void **state)
{ /* MQTT5 [MQTT-3.10.4-1]: not what a filter matches */
    struct bench *b = *state;
    struct conn_io *c = guest(b, "c"), *pub = guest(b, "p");

    subscribe(c, "t/+", 0);
    subscribe(c, "t/#", 0);
    raw_send(c, "a2 1a 0001 00 0003 't/1' 0001 '#' 0003 'T/+' 0003 't/*' 0003 't/+'");
    raw_expect(c, "b0 08 0001 00 11 11 11 11 00");
    client_publish(pub, "t/1", "x", 0, 0);
    (void)expect_publish(c, "t/1", "x", 0);
    raw_send(c, "a2 08 0002 00 0003 't/#'");
    raw_expect(c, "b0 04 0002 00 00");
    client_publish(pub, "t/1", "x", 0, 0);
    expect_nothing(c);
}

static void after_unsubscribing_only_what_was_begun_is_finished(void **state)
{ /* MQTT5 [MQTT-3.10.4-2], [MQTT-3.10.4-3] */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false), *pub = guest(b, "p");
    struct mqtt_publish one, two;

    subscribe(c, "t", 2);
    publish_whole(pub, "t", "one", 1, false);
    publish_whole(pub, "t", "two", 2, false);
    one = expect_publish(c, "t", "one", 1);
    two = expect_publish(c, "t", "two", 2);
    raw_send(c, "a2 06 0001 00 0001 't'");
    raw_expect(c, "b0 04 0001 00 00");
    publish_whole(pub, "t", "no more", 2, false);
    expect_nothing(c);
    client_drop(c);
    c = back(b, "c", true);
    assert_true(expect_publish(c, "t", "one", 1).dup); /* even over a reconnect */
    assert_true(expect_publish(c, "t", "two", 2).dup);
    finish(c, &one);
    finish(c, &two);
    expect_nothing(c);
    assert_int_equal(STAT(b, queued_messages), 0);
}

/* ---- PINGREQ ---- */

static void a_ping_is_answered(void **state)
{ /* MQTT5 [MQTT-3.12.4-1]: each one */
    struct conn_io *c = guest(*state, "c");

    raw_send(c, "c000 c000 c000");
    raw_expect(c, "d000 d000 d000");
    expect_nothing(c);
}

/* ---- no answer is larger than the client takes, and it says why only where there is room ---- */

/* A client that takes packets of 40 bytes, which is just enough for its CONNACK. */
static struct conn_io *small(struct bench *b)
{
    struct conn_io *c = raw_client(b, MQTT_5);

    raw_packet(c, 0x10, CONNECT5 "02 0000 05 27 00000028 0001 'c'");
    (void)expect_connack(c, MQTT_SUCCESS);
    return c;
}

static void answers_leave_out_reasons_that_would_make_them_too_large(void **state)
{ /* MQTT5 [MQTT-3.4.2-2], [MQTT-3.5.2-2], [MQTT-3.9.2-1], [MQTT-3.14.2-3], [MQTT-3.1.2-24] */
    struct bench *b = *state;
    struct conn_io *c;
    static const struct {
        uint8_t first;
        const char *rest, *bare;
    } rows[] = {
        { 0x32, "0001 'x' 0007 00", "40 03 0007 87" },
        { 0x34, "0001 'x' 0008 00", "50 03 0008 87" },
        { 0x82, "0009 00 0001 'x' 00", "90 04 0009 00 87" },
        { 0x30, "0001 'x' 00", "e0 01 87" }, /* the last: it ends the connection */
    };

    bench_public(b, "[[\"mine\",[\"pub\",\"sub\"]]]");
    for (int room = 0; room < 2; room++) {
        c = room ? guest(b, "c") : small(b);
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            struct mqtt_frame frame;

            raw_packet(c, rows[i].first, rows[i].rest);
            if (!room) {
                raw_expect(c, rows[i].bare);
                continue;
            }
            assert_true(client_next(c, &frame)); /* with room there is a reason: what is left out above */
            assert_true(frame.total_len > 40);
        }
        expect_closed(c);
    }
}

static void answers_hold_no_more_than_they_need(void **state)
{ /* MQTT5 [MQTT-3.4.2-3], [MQTT-3.5.2-3], [MQTT-3.6.2-2], [MQTT-3.6.2-3], [MQTT-3.7.2-2], [MQTT-3.7.2-3], [MQTT-3.9.2-2],
   * [MQTT-3.11.2-1], [MQTT-3.11.2-2], [MQTT-3.14.2-4]: no user properties at all, and here no reasons; so none of them is too large */
    struct bench *b = *state;
    struct conn_io *c;

    bench_public(b, "[[\"mine\",[\"pub\",\"sub\"]]]");
    c = small(b);
    raw_send(c, "50 02 0001"); /* of nothing: 0x92, without words */
    raw_expect(c, "62 03 0001 92");
    raw_send(c, "62 02 0002");
    raw_expect(c, "70 03 0002 92");
    raw_send(c, "a2 09 0003 00 0004 'mine'");
    raw_expect(c, "b0 04 0003 00 11");
    raw_send(c, "82 0a 0004 00 0004 'mine' 02");
    raw_expect(c, "90 04 0004 00 02");
    raw_send(c, "32 08 0001 'x' 0005 02 7f00"); /* a malformed property */
    raw_expect(c, "e0 01 81");
    expect_closed(c);
}

/* ---- codes ---- */

static void answers_have_codes_of_their_own_tables(void **state)
{ /* MQTT5 [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.9.3-2], [MQTT-3.11.3-2]: mqtt_read_…() in
   * expect_…() refuses any other; here are the ones a broker can be made to say */
    struct bench *b = *state;
    struct conn_io *c;

    bench_public(b, "[[\"t/#\",[\"pub\",\"sub\"]]]");
    b->settings.max_topic_levels = 3;
    c = guest(b, "c");
    client_publish(c, "t", "x", 1, 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    client_publish(c, "u", "x", 1, 2);
    (void)expect_ack(c, MQTT_PUBACK, 2, MQTT_NOT_AUTHORIZED);
    client_publish(c, "t/1/2/3", "x", 1, 3);
    (void)expect_ack(c, MQTT_PUBACK, 3, MQTT_TOPIC_NAME_INVALID);
    client_publish(c, "t/1/2/3", "x", 2, 4);
    (void)expect_ack(c, MQTT_PUBREC, 4, MQTT_TOPIC_NAME_INVALID);
    client_ack(c, MQTT_PUBREC, 5, MQTT_SUCCESS);
    (void)expect_ack(c, MQTT_PUBREL, 5, MQTT_PACKET_ID_NOT_FOUND);
    client_ack(c, MQTT_PUBREL, 6, MQTT_SUCCESS);
    (void)expect_ack(c, MQTT_PUBCOMP, 6, MQTT_PACKET_ID_NOT_FOUND);
    client_subscribe(c, "t/1/2/3", 0, MQTT_TOPIC_FILTER_INVALID);
    client_subscribe(c, "u", 0, MQTT_NOT_AUTHORIZED);
}

static void a_disconnect_of_ours_says_no_session_expiry(void **state)
{ /* MQTT5 [MQTT-3.14.2-1], [MQTT-3.14.2-2], [MQTT-3.14.4-1], [MQTT-3.14.4-2] */
    struct bench *b = *state;
    struct conn_io *c = back(b, "c", false);
    struct mqtt_disconnect d;

    subscribe(c, "t", 1);
    raw_send(c, "30 05 0001 '#' 00 'x' c000 c000"); /* what comes behind the error is not answered */
    d = expect_disconnect(c, MQTT_MALFORMED_PACKET);
    assert_false(mqtt_has(&d.properties, PROP_SESSION_EXPIRY));
    publish_whole(guest(b, "p"), "t", "x", 1, false); /* nor is anything sent that comes now */
    expect_closed(c);
    c = back(b, "c", true);
    (void)expect_publish(c, "t", "x", 1);
    (void)back(b, "c", true); /* taken over */
    d = expect_disconnect(c, MQTT_SESSION_TAKEN_OVER);
    assert_false(mqtt_has(&d.properties, PROP_SESSION_EXPIRY));
    expect_closed(c);
}

static void behind_a_clients_goodbye_nothing_is_read(void **state)
{ /* MQTT5 3.14.4, [MQTT-3.14.4-3] */
    struct bench *b = *state;
    struct conn_io *watch = guest(b, "watch"), *c;

    subscribe(watch, "#", 0);
    c = guest_with(b, (struct connect_wish){ .id = "c", .will_topic = "w" });
    raw_send(c, "e000 30 05 0001 't' 00 'x' c000");
    expect_closed(c); /* and not a byte is said */
    expect_nothing(watch);
    bench_advance(b, 10000);
    expect_nothing(watch);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, raw_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(what_a_request_may_not_hold_ends_the_connection),
        T(each_filter_gets_its_code_in_its_place),
        T(many_filters_work_like_many_packets),
        T(the_same_filter_again_replaces_the_subscription_without_a_gap),
        T(no_local_is_for_who_published_it_alone),
        T(unsubscribing_compares_characters),
        T(after_unsubscribing_only_what_was_begun_is_finished),
        T(a_ping_is_answered),
        T(answers_leave_out_reasons_that_would_make_them_too_large),
        T(answers_hold_no_more_than_they_need),
        T(answers_have_codes_of_their_own_tables),
        T(a_disconnect_of_ours_says_no_session_expiry),
        T(behind_a_clients_goodbye_nothing_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
