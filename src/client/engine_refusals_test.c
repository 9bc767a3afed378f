/* What the client neither sends nor takes, because MQTT forbids it: statements that bind both ends, on the client. */
#include "client/engine_world.h"
#include "client/error_priv.h"

#include "symbolon/client.h"

#include <stdlib.h>

static struct world *opened(enum mqtt_version version)
{
    struct engine_settings s = plain;

    s.version = version;
    s.keep_session = version == MQTT_3_1_1;
    struct world *w = world_new(&s);
    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    if (version == MQTT_5)
        give_bytes(w, "\x20\x03\x00\x00\x00", 5);
    else
        give_bytes(w, "\x20\x02\x00\x00", 4);
    assert_int_equal(w->connected, 1);
    return w;
}

/* ---- not taken ---- */

static void packets_that_break_the_rules_end_the_connection(void **state UNUSED)
{
    static const struct {
        const char *clause;
        struct span bytes;
        uint8_t code;
    } rows[] = {
        { "MQTT5 [MQTT-1.5.4-1], [MQTT-3.3.2-1] a topic of ill-formed UTF-8",
          SPAN("\x30\x06\x00\x02\xc3\x28\x00x"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-1.5.4-2], [MQTT-4.7.3-2] U+0000 in a topic", SPAN("\x30\x05\x00\x01\x00\x00x"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-1.5.5-1] a length longer than needed", SPAN("\x30\x86\x00\x00\x01t\x80\x00x"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-1.5.7-1] a name that is not UTF-8",
          SPAN("\x30\x0c\x00\x01t\x07\x26\x00\x01\xff\x00\x01vx"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-2.1.3-1] flags of SUBACK", SPAN("\x91\x04\x00\x01\x00\x00"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-2.2.2-1] no Property Length", SPAN("\x30\x03\x00\x01t"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.1-2] DUP with QoS 0", SPAN("\x38\x05\x00\x01t\x00x"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.1-4] QoS 3", SPAN("\x36\x07\x00\x01t\x00\x01\x00x"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.2-2], [MQTT-4.7.0-1] a wildcard in a topic", SPAN("\x30\x05\x00\x01#\x00x"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.2-13] a Response Topic that is not UTF-8",
          SPAN("\x30\x09\x00\x01t\x04\x08\x00\x01\xffx"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.2-14] a wildcard in a Response Topic", SPAN("\x30\x09\x00\x01t\x04\x08\x00\x01+x"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.2-19] a Content Type that is not UTF-8",
          SPAN("\x30\x09\x00\x01t\x04\x03\x00\x01\xffx"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.4.2-1] PUBACK with a code of PUBREL", SPAN("\x40\x03\x00\x01\x92"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.5.2-1] PUBREC with 0x01", SPAN("\x50\x03\x00\x01\x01"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.6.1-1] flags of PUBREL", SPAN("\x60\x02\x00\x01"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.6.2-1] PUBREL with 0x87", SPAN("\x62\x03\x00\x01\x87"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.7.2-1] PUBCOMP with 0x10", SPAN("\x70\x03\x00\x01\x10"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.14.2-1] DISCONNECT with a client's code", SPAN("\xe0\x01\x04"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.15.1-1] flags of AUTH", SPAN("\xf1\x00"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.15.2-1] AUTH with a client's code",
          SPAN("\xf0\x08\x19\x06\x15\x00\x03"
               "ace"),
          MQTT_MALFORMED_PACKET },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world *w = opened(MQTT_5);

        give_bytes(w, rows[i].bytes.p, rows[i].bytes.len);
        if (w->ended != 1)
            fail_msg("%s: taken", rows[i].clause);
        assert_int_equal(w->messages, 0);
        assert_disconnect(w, rows[i].code);
        assert_silent(w);
        world_free(w);
    }
}

static void packets_that_break_the_rules_of_3_1_1_end_the_connection(void **state UNUSED)
{
    static const struct {
        const char *clause;
        struct span bytes;
    } rows[] = {
        { "MQTT311 [MQTT-1.5.3-1], [MQTT-3.3.2-1] a topic of ill-formed UTF-8",
          SPAN("\x30\x05\x00\x02\xc3\x28x") },
        { "MQTT311 [MQTT-1.5.3-2], [MQTT-4.7.3-2] U+0000 in a topic", SPAN("\x30\x04\x00\x01\x00x") },
        { "MQTT311 [MQTT-2.2.2-1], [MQTT-2.2.2-2] flags of SUBACK", SPAN("\x91\x03\x00\x01\x00") },
        { "MQTT311 [MQTT-3.3.1-2] DUP with QoS 0", SPAN("\x38\x04\x00\x01tx") },
        { "MQTT311 [MQTT-3.3.1-4] QoS 3", SPAN("\x36\x06\x00\x01t\x00\x01x") },
        { "MQTT311 [MQTT-3.3.2-2], [MQTT-4.7.1-1] a wildcard in a topic", SPAN("\x30\x04\x00\x01#x") },
        { "MQTT311 [MQTT-3.6.1-1] flags of PUBREL", SPAN("\x60\x02\x00\x01") },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world *w = opened(MQTT_3_1_1);

        give_bytes(w, rows[i].bytes.p, rows[i].bytes.len);
        if (w->ended != 1)
            fail_msg("%s: taken", rows[i].clause);
        assert_int_equal(w->messages, 0);
        assert_silent(w);
        world_free(w);
    }
}

/* ---- not sent ---- */

static void messages_that_break_the_rules_are_not_sent(void **state UNUSED)
{ /* MQTT5 [MQTT-1.5.4-1], [MQTT-1.5.4-2], [MQTT-1.5.7-1], [MQTT-3.3.1-4], [MQTT-3.3.2-1], [MQTT-3.3.2-2], [MQTT-3.3.2-13],
   * [MQTT-3.3.2-14], [MQTT-3.3.2-19], [MQTT-4.7.0-1], [MQTT-4.7.3-1] to [MQTT-4.7.3-3]; MQTT311 [MQTT-1.5.3-1], [MQTT-1.5.3-2],
   * [MQTT-3.3.1-4], [MQTT-3.3.2-1], [MQTT-3.3.2-2], [MQTT-4.7.1-1], [MQTT-4.7.3-1] to [MQTT-4.7.3-3] */
    char *longest = calloc(1, 65536);
    const struct symbolon_user_property bad_name = { { "\xff", 1 }, { "v", 1 } },
                                        bad_value = { { "n", 1 }, { "\0", 1 } };

    assert_non_null(longest);
    memset(longest, 't', 65536);
    const struct symbolon_message rows[] = {
        { .topic = { "\xc3\x28", 2 } },
        { .topic = { "\xed\xa0\x80", 3 } },
        { .topic = { "a\0b", 3 } },
        { .topic = { "", 0 } },
        { .topic = { "a/+", 3 } },
        { .topic = { "#", 1 } },
        { .topic = { longest, 65536 } },
        { .topic = { "t", 1 }, .qos = 3 },
        { .topic = { "t", 1 }, .response_topic = { "a/#", 3 } },
        { .topic = { "t", 1 }, .response_topic = { "\xff", 1 } },
        { .topic = { "t", 1 }, .content_type = { "\xff", 1 } },
        { .topic = { "t", 1 }, .user_properties = &bad_name, .user_property_count = 1 },
        { .topic = { "t", 1 }, .user_properties = &bad_value, .user_property_count = 1 },
    };

    for (enum mqtt_version version = MQTT_3_1_1; version <= MQTT_5; version++) {
        struct world *w = opened(version);

        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            struct symbolon_error error = { .status = SYMBOLON_OK };

            if (engine_publish(&w->engine, &rows[i], w->now, NULL, &error) == SYMBOLON_OK)
                fail_msg("row %zu was taken", i);
            assert_true(error.text[0] != '\0');
        }
        assert_silent(w);
        world_free(w);
    }
    free(longest);
}

static void a_connect_that_breaks_the_rules_is_not_sent(void **state UNUSED)
{ /* MQTT5 [MQTT-3.1.2-12], [MQTT-3.1.3-4], [MQTT-3.1.3-11], [MQTT-3.1.3-12]; MQTT311 [MQTT-3.1.2-14], [MQTT-3.1.2-22],
   * [MQTT-3.1.3-4], [MQTT-3.1.3-10], [MQTT-3.1.3-11]: such options make no client */
    const struct symbolon_message wills[] = { { .topic = { "w", 1 }, .qos = 3 },
                                              { .topic = { "\xff", 1 } },
                                              { .topic = { "w/+", 3 } },
                                              { .topic = { "", 0 } } };
    struct symbolon_client_options rows[3 + COUNT_OF(wills)];
    struct symbolon_client *client = NULL;
    struct symbolon_loop *loop = NULL;

    assert_int_equal(symbolon_loop_new(&loop, NULL), SYMBOLON_OK);
    for (enum symbolon_mqtt_version version = SYMBOLON_MQTT_5;; version = SYMBOLON_MQTT_3_1_1) {
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            rows[i] = (struct symbolon_client_options)SYMBOLON_CLIENT_OPTIONS_INIT;
            rows[i].host = "h";
            rows[i].mqtt_version = version;
        }
        rows[0].client_id = "c\xc3\x28";
        rows[1].user_name = "\xed\xa0\x80";
        rows[2].password = (struct symbolon_bytes){ "p", 1 };
        for (size_t i = 0; i < COUNT_OF(wills); i++)
            rows[3 + i].will = &wills[i];
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            struct symbolon_error error;
            bool good = i == 2 && version == SYMBOLON_MQTT_5; /* MQTT 5 has passwords without user names */

            if ((symbolon_client_new(loop, &rows[i], &client, &error) == SYMBOLON_OK) != good)
                fail_msg("row %zu", i);
            symbolon_client_free(client);
            client = NULL;
        }
        if (version == SYMBOLON_MQTT_3_1_1)
            break;
    }
    symbolon_loop_free(loop);
}

/* ---- sessions and exchanges ---- */

static void a_clean_start_throws_our_side_of_the_session_away_too(void **state UNUSED)
{ /* MQTT5 [MQTT-3.1.2-4]; MQTT311 [MQTT-3.1.2-6] */
    const struct symbolon_error network_gone = { .status = SYMBOLON_CLOSED };

    for (enum mqtt_version version = MQTT_3_1_1; version <= MQTT_5; version++) {
        struct engine_settings s = plain;

        s.version = version;
        s.session_expiry_s = 0;
        struct world *w = world_new(&s);
        for (int i = 0; i < 2; i++) {
            size_t at = w->read;

            engine_connect(&w->engine, SPAN_NONE, w->now);
            assert_int_equal(w->sent.p[at + 9], 0x02); /* Connect Flags */
            assert_sent(w, MQTT_CONNECT);
            if (version == MQTT_5)
                give_bytes(w, "\x20\x03\x00\x00\x00", 5);
            else
                give_bytes(w, "\x20\x02\x00\x00", 4);
            if (i == 1)
                break;
            give_bytes(w, version == MQTT_5 ? "\x34\x06\x00\x01t\x00\x07\x00" : "\x34\x05\x00\x01t\x00\x07",
                       version == MQTT_5 ? 8 : 7);
            assert_sent(w, MQTT_PUBREC);
            engine_lost(&w->engine, &network_gone, w->now);
        }
        give_bytes(w, version == MQTT_5 ? "\x34\x06\x00\x01t\x00\x07\x00" : "\x34\x05\x00\x01t\x00\x07",
                   version == MQTT_5 ? 8 : 7);
        assert_int_equal(w->messages, 2); /* the identifier means another message now */
        world_free(w);
    }
}

static void what_was_sent_once_expires_no_more(void **state UNUSED)
{ /* MQTT5 [MQTT-4.3.3-7]: and what was not, does */
    const struct symbolon_error network_gone = { .status = SYMBOLON_CLOSED };
    struct symbolon_message m = { .topic = { "t", 1 }, .qos = 2, .has_expiry = true, .expiry_s = 5 };
    struct world *w = opened(MQTT_5);
    uint16_t id;

    assert_int_equal(engine_publish(&w->engine, &m, w->now, NULL, NULL), SYMBOLON_OK);
    id = assert_publish(w, false);
    engine_lost(&w->engine, &network_gone, w->now);
    assert_int_equal(engine_publish(&w->engine, &m, w->now, NULL, NULL), SYMBOLON_OK);
    w->now.mono.ms += 60000;
    world_connect(w, true);
    assert_int_equal(assert_publish(w, true), id);
    give_ack(w, MQTT_PUBREC, id, 0);
    assert_sent(w, MQTT_PUBREL);
    give_ack(w, MQTT_PUBCOMP, id, 0);
    assert_silent(w);
    assert_int_equal(w->published, 2);
    world_free(w);
}

static void a_refused_message_leaves_its_identifier_free(void **state UNUSED)
{ /* MQTT5 [MQTT-4.3.3-9] */
    struct engine_settings s = plain;

    s.manual_ack = true;
    struct world *w = world_new(&s);
    world_connect(w, false);
    for (int i = 1; i <= 2; i++) {
        give_publish(w, 2, 7, 0);
        assert_int_equal(w->messages, i);
        assert_silent(w);
        assert_int_equal(engine_ack(&w->engine, w->engine.last_handle, MQTT_QUOTA_EXCEEDED, w->now, NULL),
                         SYMBOLON_OK);
        assert_memory_equal(w->sent.p + w->read, "\x50\x03\x00\x07\x97", 5);
        assert_sent(w, MQTT_PUBREC);
    }
    world_free(w);
}

/* ---- the bytes of what is sent ---- */

static void expect_bytes(struct world *w, struct span wanted)
{
    assert_true(w->sent.len - w->read >= wanted.len);
    assert_memory_equal(w->sent.p + w->read, wanted.p, wanted.len);
    w->read += wanted.len;
}

static void our_packets_have_their_flags_and_nothing_too_much(void **state UNUSED)
{ /* MQTT5 [MQTT-2.1.3-1], [MQTT-2.2.1-2], [MQTT-2.2.1-5], [MQTT-3.1.2-1], [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1],
   * [MQTT-3.14.1-1]; no reasons and no user properties, so nothing is too large: [MQTT-3.4.2-2], [MQTT-3.4.2-3],
   * [MQTT-3.5.2-2], [MQTT-3.5.2-3], [MQTT-3.6.2-2], [MQTT-3.6.2-3], [MQTT-3.7.2-2], [MQTT-3.7.2-3], [MQTT-3.14.2-3],
   * [MQTT-3.14.2-4] */
    struct world *w = opened(MQTT_5);
    const struct symbolon_subscription sub = { .filter = "a", .qos = 1, .no_local = true };
    const char *filter = "a";

    assert_memory_equal(w->sent.p + 2, "\x00\x04MQTT\x05", 7);
    world_publish(w, 0, SYMBOLON_OK);
    expect_bytes(w, SPAN("\x30\x05\x00\x01t\x00p"));
    world_publish(w, 2, SYMBOLON_OK);
    expect_bytes(w, SPAN("\x34\x07\x00\x01t\x00\x01\x00p"));
    give_ack(w, MQTT_PUBREC, 1, 0);
    expect_bytes(w, SPAN("\x62\x02\x00\x01"));
    give_ack(w, MQTT_PUBREC, 99, 0); /* of nothing */
    expect_bytes(w, SPAN("\x62\x03\x00\x63\x92"));
    give_publish(w, 1, 7, 0);
    expect_bytes(w, SPAN("\x40\x02\x00\x07"));
    give_publish(w, 2, 8, 0);
    expect_bytes(w, SPAN("\x50\x02\x00\x08"));
    give_ack(w, MQTT_PUBREL, 8, 0);
    expect_bytes(w, SPAN("\x70\x02\x00\x08"));
    assert_int_equal(engine_subscribe(&w->engine, &sub, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    expect_bytes(w, SPAN("\x82\x07\x00\x02\x00\x00\x01\x61\x05"));
    assert_int_equal(engine_unsubscribe(&w->engine, &filter, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    expect_bytes(w, SPAN("\xa2\x06\x00\x03\x00\x00\x01\x61"));
    engine_disconnect(&w->engine, MQTT_SUCCESS, w->now);
    expect_bytes(w, SPAN("\xe0\x00"));
    assert_silent(w);
    world_free(w);
}

static void our_packets_of_3_1_1_have_their_flags_and_nothing_too_much(void **state UNUSED)
{ /* MQTT311 [MQTT-2.2.2-1], [MQTT-2.3.1-5], [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1] */
    struct world *w = opened(MQTT_3_1_1);
    const struct symbolon_subscription sub = { .filter = "a", .qos = 1 };
    const char *filter = "a";

    world_publish(w, 0, SYMBOLON_OK);
    expect_bytes(w, SPAN("\x30\x04\x00\x01tp"));
    world_publish(w, 2, SYMBOLON_OK);
    expect_bytes(w, SPAN("\x34\x06\x00\x01t\x00\x01p"));
    give_bytes(w, "\x50\x02\x00\x01", 4);
    expect_bytes(w, SPAN("\x62\x02\x00\x01"));
    assert_int_equal(engine_subscribe(&w->engine, &sub, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    expect_bytes(w, SPAN("\x82\x06\x00\x02\x00\x01\x61\x01"));
    assert_int_equal(engine_unsubscribe(&w->engine, &filter, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    expect_bytes(w, SPAN("\xa2\x05\x00\x03\x00\x01\x61"));
    engine_disconnect(&w->engine, MQTT_SUCCESS, w->now);
    expect_bytes(w, SPAN("\xe0\x00"));
    assert_silent(w);
    world_free(w);
}

static void a_byte_order_mark_goes_through(void **state UNUSED)
{ /* MQTT5 [MQTT-1.5.4-3]; MQTT311 [MQTT-1.5.3-3]: out and in */
    for (enum mqtt_version version = MQTT_3_1_1; version <= MQTT_5; version++) {
        struct world *w = opened(version);
        const struct symbolon_message m = { .topic = { "\xef\xbb\xbft", 4 } };

        assert_int_equal(engine_publish(&w->engine, &m, w->now, NULL, NULL), SYMBOLON_OK);
        assert_memory_equal(w->sent.p + w->read + 2, "\x00\x04\xef\xbb\xbft", 6);
        if (version == MQTT_5)
            give_bytes(w, "\x30\x07\x00\x04\xef\xbb\xbft\x00", 9);
        else
            give_bytes(w, "\x30\x06\x00\x04\xef\xbb\xbft", 8);
        assert_string_equal(w->topic, "\xef\xbb\xbft");
        world_free(w);
    }
}

static void every_trouble_is_an_error_to_the_application(void **state UNUSED)
{
    for (int st = ST_OK + 1; st < STATUSES; st++) {
        struct symbolon_error error;

        error_about(&error, (enum status)st, &(struct why){ .clause = "x", .text = "y" }, "z");
        if (error.status == SYMBOLON_OK)
            fail_msg("%s is no error", status_name((enum status)st));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_that_break_the_rules_end_the_connection),
        cmocka_unit_test(packets_that_break_the_rules_of_3_1_1_end_the_connection),
        cmocka_unit_test(messages_that_break_the_rules_are_not_sent),
        cmocka_unit_test(a_connect_that_breaks_the_rules_is_not_sent),
        cmocka_unit_test(a_clean_start_throws_our_side_of_the_session_away_too),
        cmocka_unit_test(what_was_sent_once_expires_no_more),
        cmocka_unit_test(a_refused_message_leaves_its_identifier_free),
        cmocka_unit_test(our_packets_have_their_flags_and_nothing_too_much),
        cmocka_unit_test(our_packets_of_3_1_1_have_their_flags_and_nothing_too_much),
        cmocka_unit_test(a_byte_order_mark_goes_through),
        cmocka_unit_test(every_trouble_is_an_error_to_the_application),
    };
    return cmocka_run_group_tests_name("client_engine_refusals", tests, NULL, NULL);
}
