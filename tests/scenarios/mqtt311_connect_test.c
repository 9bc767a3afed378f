/* MQTT 3.1.1, statement by statement: CONNECT, CONNACK and the session they begin (sections 1.5, 2.2, 3.1, 3.2, 4.1), and how
 * connections end (3.14, 4.8). */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what is refused ---- */

static void a_connect_that_breaks_the_rules_is_closed_without_a_word(void **state)
{
    static const struct {
        const char *clause, *rest;
    } rows[] = {
        { "MQTT311 [MQTT-1.5.3-1] ill-formed UTF-8", CONNECT311 "02 0000 0002 c328" },
        { "MQTT311 [MQTT-1.5.3-1] a surrogate", CONNECT311 "02 0000 0003 eda080" },
        { "MQTT311 [MQTT-1.5.3-2] U+0000", CONNECT311 "02 0000 0003 'a' 00 'b'" },
        { "MQTT311 [MQTT-3.1.2-3] the reserved flag", CONNECT311 "03 0000 0001 'c'" },
        { "MQTT311 [MQTT-3.1.2-9] no Will topic", CONNECT311 "06 0000 0001 'c'" },
        { "MQTT311 [MQTT-3.1.2-9] no Will message", CONNECT311 "06 0000 0001 'c' 0001 'w'" },
        { "MQTT311 [MQTT-3.1.2-11] a Will without its flag", CONNECT311 "02 0000 0001 'c' 0001 'w' 0001 'x'" },
        { "MQTT311 [MQTT-3.1.2-11], [MQTT-3.1.2-13] Will QoS without Will", CONNECT311 "0a 0000 0001 'c'" },
        { "MQTT311 [MQTT-3.1.2-14] Will QoS 3", CONNECT311 "1e 0000 0001 'c' 0001 'w' 0001 'x'" },
        { "MQTT311 [MQTT-3.1.2-11], [MQTT-3.1.2-15] Will Retain without Will", CONNECT311 "22 0000 0001 'c'" },
        { "MQTT311 [MQTT-3.1.2-18] a user name without its flag", CONNECT311 "02 0000 0001 'c' 0001 'u'" },
        { "MQTT311 [MQTT-3.1.2-19] the flag without a user name", CONNECT311 "82 0000 0001 'c'" },
        { "MQTT311 [MQTT-3.1.2-20] a password without its flag",
          CONNECT311 "82 0000 0001 'c' 0001 'u' 0001 'p'" },
        { "MQTT311 [MQTT-3.1.2-21] the flag without a password", CONNECT311 "c2 0000 0001 'c' 0001 'u'" },
        { "MQTT311 [MQTT-3.1.2-22] a password without a user name", CONNECT311 "42 0000 0001 'c' 0001 'p'" },
        { "MQTT311 [MQTT-3.1.3-3] no client identifier", CONNECT311 "02 0000" },
        { "MQTT311 [MQTT-3.1.3-4] a client identifier that is not UTF-8", CONNECT311 "02 0000 0001 ff" },
        { "MQTT311 [MQTT-3.1.3-10] a Will topic that is not UTF-8",
          CONNECT311 "06 0000 0001 'c' 0001 ff 0000" },
        { "MQTT311 [MQTT-3.1.3-11] a user name that is not UTF-8", CONNECT311 "82 0000 0001 'c' 0001 ff" },
    };
    struct bench *b = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) { /* MQTT311 [MQTT-3.1.4-1], [MQTT-4.8.0-1] */
        struct conn_io *c = raw_client(b, MQTT_3_1_1);

        raw_packet(c, 0x10, rows[i].rest);
        if (!c->closed || c->in.len > 0)
            fail_msg("%s: %zu bytes, %s", rows[i].clause, c->in.len, c->closed ? "closed" : "open");
    }
    assert_int_equal(STAT(b, sessions), 0);
}

static void what_breaks_the_rules_later_is_closed_without_a_word(void **state)
{
    static const struct {
        const char *clause;
        uint8_t first;
        const char *rest;
    } rows[] = {
        { "MQTT311 [MQTT-2.2.2-1], [MQTT-2.2.2-2] flags of PINGREQ", 0xc1, "" },
        { "MQTT311 [MQTT-2.2.2-1], [MQTT-2.2.2-2] flags of PUBACK", 0x42, "0001" },
        { "MQTT311 [MQTT-3.6.1-1] flags of PUBREL", 0x60, "0001" },
        { "MQTT311 [MQTT-3.8.1-1] flags of SUBSCRIBE", 0x80, "0001 0001 't' 00" },
        { "MQTT311 [MQTT-3.10.1-1] flags of UNSUBSCRIBE", 0xa0, "0001 0001 't'" },
        { "MQTT311 [MQTT-3.14.1-1] flags of DISCONNECT", 0xe1, "" },
        { "MQTT311 [MQTT-3.1.0-2] a second CONNECT", 0x10, CONNECT311 "02 0000 0001 'c'" },
        { "MQTT311 [MQTT-2.3.1-1] PUBLISH with identifier 0", 0x32, "0001 't' 0000 'x'" },
        { "MQTT311 [MQTT-2.3.1-1] SUBSCRIBE with identifier 0", 0x82, "0000 0001 't' 00" },
        { "MQTT311 [MQTT-2.3.1-1] UNSUBSCRIBE with identifier 0", 0xa2, "0000 0001 't'" },
        { "MQTT311 [MQTT-1.5.3-1] a topic name of ill-formed UTF-8", 0x30, "0002 c328 'x'" },
        { "MQTT311 [MQTT-1.5.3-2], [MQTT-4.7.3-2] a topic name with U+0000", 0x30, "0003 'a' 00 'b' 'x'" },
        { "MQTT311 [MQTT-3.3.1-2] DUP with QoS 0", 0x38, "0001 't' 'x'" },
        { "MQTT311 [MQTT-3.3.1-4] both QoS bits", 0x36, "0001 't' 0001 'x'" },
        { "MQTT311 [MQTT-3.3.2-1] no topic name", 0x30, "00" },
        { "MQTT311 [MQTT-3.3.2-2], [MQTT-4.7.1-1] # in a topic name", 0x30, "0003 'a/#' 'x'" },
        { "MQTT311 [MQTT-3.3.2-2], [MQTT-4.7.1-1] + in a topic name", 0x30, "0003 'a/+' 'x'" },
        { "MQTT311 [MQTT-4.7.3-1] an empty topic name", 0x30, "0000 'x'" },
        { "MQTT311 [MQTT-3.8.3-1] a filter that is not UTF-8", 0x82, "0001 0001 ff 00" },
        { "MQTT311 [MQTT-3.8.3-3] no filter", 0x82, "0001" },
        { "MQTT311 [MQTT-3.8.3-4] QoS 3", 0x82, "0001 0001 't' 03" },
        { "MQTT311 [MQTT-3.8.3-4] a reserved bit", 0x82, "0001 0001 't' 04" },
        { "MQTT311 [MQTT-3.8.3-4] another reserved bit", 0x82, "0001 0001 't' 80" },
        { "MQTT311 [MQTT-3.10.3-1] a filter that is not UTF-8", 0xa2, "0001 0001 ff" },
        { "MQTT311 [MQTT-3.10.3-1] a filter cut off", 0xa2, "0001 0001 't' 0003 't'" },
        { "MQTT311 [MQTT-3.10.3-2] no filter", 0xa2, "0001" },
        { "MQTT311 [MQTT-4.7.1-2] # in the middle", 0x82, "0001 0005 'a/#/b' 00" },
        { "MQTT311 [MQTT-4.7.1-2] # beside a letter", 0x82, "0001 0002 'a#' 00" },
        { "MQTT311 [MQTT-4.7.1-3] + beside a letter", 0x82, "0001 0002 'a+' 00" },
        { "MQTT311 [MQTT-4.7.3-1] an empty filter", 0x82, "0001 0000 00" },
        { "MQTT311 [MQTT-4.7.3-2] U+0000 in a filter", 0x82, "0001 0001 00 00" },
    };
    struct bench *b = *state;
    struct conn_io *watch = guest3(b, "watch");

    subscribe(watch, "#", 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) { /* MQTT311 [MQTT-4.8.0-1] */
        struct conn_io *c = guest3(b, "bad");

        raw_packet(c, rows[i].first, rows[i].rest);
        if (!c->closed || c->in.len > c->in_at)
            fail_msg("%s: %zu bytes, %s", rows[i].clause, c->in.len - c->in_at, c->closed ? "closed" : "open");
        expect_nothing(watch);
    }
    assert_int_equal(STAT(b, subscriptions), 1);
}

static void connect_comes_first(void **state)
{ /* MQTT311 [MQTT-3.1.0-1] */
    static const char *const first[] = { "c000", "30 04 0001 't' 'x'", "82 06 0001 0001 't' 00", "e000" };
    struct bench *b = *state;

    for (size_t i = 0; i < COUNT_OF(first); i++) {
        struct conn_io *c = raw_client(b, MQTT_3_1_1);

        raw_send(c, first[i]);
        expect_closed(c);
    }
    assert_int_equal(STAT(b, messages_in), 0);
}

static void another_name_or_level_is_not_taken_for_3_1_1(void **state)
{ /* MQTT311 [MQTT-3.1.2-1], [MQTT-3.1.2-2] */
    struct bench *b = *state;
    struct conn_io *c = raw_client(b, MQTT_3_1_1);

    raw_packet(c, 0x10, "0006 'MQIsdp' 03 02 0000 0001 'c'");
    raw_expect_last(c, "20 02 00 01");
    c = raw_client(b, MQTT_3_1_1);
    b->settings.accept_v3 = false; /* a server of MQTT 5 alone */
    raw_packet(c, 0x10, CONNECT311 "02 0000 0001 'c'");
    raw_expect_last(c, "20 02 00 01");
    c = raw_client(b, MQTT_3_1_1);
    raw_packet(c, 0x10, "0004 'MQTX' 04 02 0000 0001 'c'");
    assert_true(c->closed);
    assert_int_equal(STAT(b, sessions), 0);
}

/* ---- CONNACK ---- */

static void connack_says_zero_or_why_not(void **state)
{ /* MQTT311 [MQTT-3.1.4-4], [MQTT-3.2.0-1], [MQTT-3.2.2-1] to [MQTT-3.2.2-5], [MQTT-3.1.3-8], [MQTT-3.1.3-9]: byte for byte */
    struct bench *b = *state;
    struct conn_io *c = raw_client(b, MQTT_3_1_1);

    raw_packet(c, 0x10, CONNECT311 "00 0000 0001 'c'");
    raw_expect(c, "20 02 00 00"); /* Clean Session 0, no session yet */
    client_drop(c);
    c = raw_client(b, MQTT_3_1_1);
    raw_packet(c, 0x10, CONNECT311 "00 0000 0001 'c'");
    raw_expect(c, "20 02 01 00"); /* there it is */
    client_drop(c);
    c = raw_client(b, MQTT_3_1_1);
    raw_packet(c, 0x10, CONNECT311 "02 0000 0001 'c'");
    raw_expect(c, "20 02 00 00"); /* Clean Session 1 */
    client_drop(c);
    c = raw_client(b, MQTT_3_1_1);
    raw_packet(c, 0x10, CONNECT311 "00 0000 0000");
    raw_expect_last(c, "20 02 00 02"); /* no name, and yet to be remembered */
    client_drop(client_connected_with(
        b,
        &(struct connect_wish){ .id = "d", .scope = "[[\"t\",[\"sub\"]]]", .expiry_s = 100, .resume = true }));
    c = raw_client(b, MQTT_3_1_1);
    raw_packet(c, 0x10, CONNECT311 "00 0000 0001 'd'");
    raw_expect_last(c, "20 02 00 02"); /* that name is another's; Session Present 0 though there is one */
    bench_public(b, NULL);
    c = raw_client(b, MQTT_3_1_1);
    raw_packet(c, 0x10, CONNECT311 "02 0000 0001 'c'");
    raw_expect_last(c, "20 02 00 05");
}

static void connack_comes_in_front_of_everything_else(void **state)
{ /* MQTT311 [MQTT-3.2.0-1]: what waits, what is retained, what is answered */
    struct bench *b = *state;
    struct conn_io *c = back3(b, "c", false);

    subscribe(c, "t", 1);
    client_drop(c);
    publish_whole(guest3(b, "p"), "t", "waits", 1, true);
    c = raw_client(b, MQTT_3_1_1);
    raw_send(c, "10 0d" CONNECT311 "00 0000 0001 'c' c000 82 06 0001 0001 't' 00");
    raw_expect(c, "20 02 01 00");
    (void)expect_publish(c, "t", "waits", 1);
    raw_expect(c, "d000 90 03 0001 00");
    assert_true(expect_publish(c, "t", "waits", 0).retain);
}

static void behind_a_refused_connect_nothing_is_read(void **state)
{ /* MQTT311 [MQTT-3.1.4-5] */
    struct bench *b = *state;
    struct conn_io *watch = guest3(b, "watch"), *c = raw_client(b, MQTT_3_1_1);

    subscribe(watch, "#", 0);
    raw_send(c, "10 0c" CONNECT311 "00 0000 0000 30 04 0001 't' 'x' c000");
    raw_expect_last(c, "20 02 00 02");
    expect_nothing(watch);
    assert_int_equal(STAT(b, messages_in), 0);
}

/* ---- the client identifier ---- */

static void the_fields_come_in_one_order(void **state)
{ /* MQTT311 [MQTT-3.1.3-1]: identifier, Will topic, Will message, and none of them is another */
    struct bench *b = *state;
    struct conn_io *watch = guest3(b, "watch"), *c = raw_client(b, MQTT_3_1_1);

    subscribe(watch, "#", 0);
    raw_packet(c, 0x10, CONNECT311 "04 0000 0002 'id' 0002 'wt' 0002 'wm'");
    raw_expect(c, "20 02 00 00");
    client_drop(c);
    (void)expect_publish(watch, "wt", "wm", 0);
    (void)back3(b, "id", true);
}

static void every_identifier_of_1_to_23_letters_and_digits_is_taken(void **state)
{ /* MQTT311 [MQTT-3.1.3-5] */
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof letters - 1; i++) {
        char id[2] = { letters[i], '\0' };

        client_bye(guest3(b, id));
    }
    for (size_t len = 1; len <= 23; len++) {
        char id[24] = { 0 };

        for (size_t i = 0; i < len; i++)
            id[i] = letters[(i * 11 + len) % (sizeof letters - 1)];
        client_bye(guest3(b, id));
    }
}

static void the_session_is_found_by_its_identifier(void **state)
{ /* MQTT311 [MQTT-3.1.3-2]: by nothing else, byte for byte */
    struct bench *b = *state;
    struct conn_io *c = back3(b, "one", false);

    subscribe(c, "t", 1);
    client_drop(c);
    (void)back3(b, "ONE", false);
    (void)back3(b, "one\xcc\x88", false);
    c = back3(b, "one", true);
    publish_whole(guest3(b, "p"), "t", "x", 1, false);
    (void)expect_publish(c, "t", "x", 1);
}

static void clients_without_an_identifier_do_not_meet(void **state)
{ /* MQTT311 [MQTT-3.1.3-6] */
    struct bench *b = *state;
    struct conn_io *one = guest3(b, ""), *two = guest3(b, "");

    subscribe(one, "t", 0);
    expect_nothing(one); /* not taken over */
    client_publish(two, "t", "x", 0, 0);
    (void)expect_publish(one, "t", "x", 0);
    expect_nothing(two);
}

static void the_older_connection_is_closed(void **state)
{ /* MQTT311 [MQTT-3.1.4-2]: without a word, there is none in 3.1.1 */
    struct bench *b = *state;
    struct conn_io *old = guest3(b, "c"), *new = guest3(b, "c");

    expect_closed(old);
    client_ping(new);
    raw_expect(new, "d000");
}

/* ---- Clean Session ---- */

static void clean_session_decides_what_is_left(void **state)
{ /* MQTT311 [MQTT-3.1.2-4] to [MQTT-3.1.2-6], [MQTT-3.1.4-3], [MQTT-3.2.2-1] to [MQTT-3.2.2-3], [MQTT-4.1.0-1] */
    struct bench *b = *state;
    struct conn_io *pub = guest3(b, "p"), *c = back3(b, "c", false);

    subscribe(c, "t", 2);
    client_drop(c);
    publish_whole(pub, "t", "one", 1, false);
    publish_whole(pub, "t", "two", 2, false);
    c = back3(b, "c", true); /* goes on, with what came meanwhile */
    (void)expect_publish(c, "t", "one", 1);
    (void)expect_publish(c, "t", "two", 2);
    client_drop(c);
    c = guest3(b, "c"); /* Clean Session 1: nothing is left */
    publish_whole(pub, "t", "three", 1, false);
    expect_nothing(c);
    subscribe(c, "t", 1);
    client_drop(c);
    publish_whole(pub, "t", "four", 1, false);
    c = back3(b, "c", false); /* nor of the clean one */
    publish_whole(pub, "t", "five", 1, false);
    expect_nothing(c);
}

static void no_session_ends_while_its_connection_is_open(void **state)
{ /* MQTT311 [MQTT-4.1.0-2] */
    struct bench *b = *state;
    struct conn_io *c = back3(b, "c", false), *clean = guest3(b, "clean");

    b->settings.max_v3_expiry_s = 10;
    subscribe(c, "t", 1);
    subscribe(clean, "t", 1);
    bench_advance(b, 5000000);
    publish_whole(guest3(b, "p"), "t", "x", 1, false);
    (void)expect_publish(c, "t", "x", 1);
    (void)expect_publish(clean, "t", "x", 1);
}

static void retained_messages_outlive_the_session(void **state)
{ /* MQTT311 [MQTT-3.1.2-7] */
    struct bench *b = *state;
    struct conn_io *pub = guest3(b, "p"), *c;

    publish_whole(pub, "t", "kept", 1, true);
    client_bye(pub);
    assert_int_equal(STAT(b, sessions), 0);
    c = guest3(b, "c");
    client_subscribe(c, "t", 1, 1);
    assert_true(expect_publish(c, "t", "kept", 1).retain);
}

/* ---- the Will ---- */

static void a_will_goes_out_once_unless_taken_back(void **state)
{ /* MQTT311 [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.1.2-12], [MQTT-3.14.4-3] */
    struct bench *b = *state;
    struct conn_io *watch = guest3(b, "watch"), *c;
    struct connect_wish wish = { .id = "c", .v3 = true, .resume = true, .will_topic = "w", .will_qos = 2 };

    subscribe(watch, "#", 2);
    client_drop(guest_with(b, wish));
    (void)expect_publish(watch, "w", "gone", 2);
    client_drop(back3(b, "c", true)); /* no Will this time */
    expect_nothing(watch);
    client_bye(guest_with(b, wish));
    expect_nothing(watch);
    client_drop(back3(b, "c", true)); /* the one taken back is gone for good */
    expect_nothing(watch);
    c = guest_with(b, wish);
    raw_send(c, "c100"); /* closed by the server: 3.1.2.5 */
    expect_closed(c);
    (void)expect_publish(watch, "w", "gone", 2);
}

static void a_will_is_retained_if_it_says_so_and_else_not(void **state)
{ /* MQTT311 [MQTT-3.1.2-16], [MQTT-3.1.2-17] */
    struct bench *b = *state;
    struct conn_io *late;
    struct connect_wish wish = { .id = "c", .v3 = true, .will_topic = "plain" };

    client_drop(guest_with(b, wish));
    wish.will_topic = "kept";
    wish.will_retain = true;
    client_drop(guest_with(b, wish));
    late = guest3(b, "late");
    client_subscribe(late, "#", 0, 0);
    assert_true(expect_publish(late, "kept", "gone", 0).retain);
    expect_nothing(late);
}

/* ---- the end ---- */

static void silence_is_a_broken_network(void **state)
{ /* MQTT311 [MQTT-3.1.2-24]: one and a half keep alives, then closed and the Will published; 0 is for ever */
    struct bench *b = *state;
    struct conn_io *watch = guest3(b, "watch"), *c;

    subscribe(watch, "w", 0);
    c = guest_with(b, (struct connect_wish){ .id = "c", .v3 = true, .keep_alive_s = 10, .will_topic = "w" });
    for (int i = 0; i < 5; i++) {
        bench_advance(b, 14000);
        client_publish(c, "t", "x", 0, 0); /* any packet will do */
    }
    bench_advance(b, 14500);
    expect_nothing(c);
    bench_advance(b, 1000);
    expect_closed(c);
    (void)expect_publish(watch, "w", "gone", 0);
    bench_advance(b, 1000000);
    expect_nothing(watch);
}

static void trouble_of_ours_closes_the_connection(void **state)
{ /* MQTT311 [MQTT-4.8.0-2], [MQTT-3.2.2-6]: here no room for another session; and what 3.1.1 has no code for is only closed */
    struct bench *b = *state;
    struct conn_io *c = raw_client(b, MQTT_3_1_1);

    b->settings.max_sessions = 0;
    raw_packet(c, 0x10, CONNECT311 "02 0000 0001 'c'");
    raw_expect_last(c, "20 02 00 03");
    b->settings.max_sessions = 10;
    b->settings.max_connect_bytes = 20;
    c = raw_client(b, MQTT_3_1_1);
    raw_packet(c, 0x10, CONNECT311 "02 0000 0010 '0123456789012345'");
    expect_closed(c);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, raw_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(a_connect_that_breaks_the_rules_is_closed_without_a_word),
        T(what_breaks_the_rules_later_is_closed_without_a_word),
        T(connect_comes_first),
        T(another_name_or_level_is_not_taken_for_3_1_1),
        T(connack_says_zero_or_why_not),
        T(connack_comes_in_front_of_everything_else),
        T(behind_a_refused_connect_nothing_is_read),
        T(the_fields_come_in_one_order),
        T(every_identifier_of_1_to_23_letters_and_digits_is_taken),
        T(the_session_is_found_by_its_identifier),
        T(clients_without_an_identifier_do_not_meet),
        T(the_older_connection_is_closed),
        T(clean_session_decides_what_is_left),
        T(no_session_ends_while_its_connection_is_open),
        T(retained_messages_outlive_the_session),
        T(a_will_goes_out_once_unless_taken_back),
        T(a_will_is_retained_if_it_says_so_and_else_not),
        T(silence_is_a_broken_network),
        T(trouble_of_ours_closes_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
