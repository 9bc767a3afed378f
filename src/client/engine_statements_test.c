/* What MQTT 5.0 and 3.1.1 ask of a client, statement by statement, of the engine with a broker played by hand. Where both
 * versions say the same the test runs in both. */
#include "client/engine_world.h"

#include <stdio.h>

static const struct symbolon_error network_gone = { .status = SYMBOLON_CLOSED };

static struct engine_settings settings_of(enum mqtt_version version)
{
    struct engine_settings s = plain;

    s.version = version;
    s.keep_session = version == MQTT_3_1_1;
    s.max_inflight = s.receive_maximum = 20;
    s.max_queue = 100;
    return s;
}

#define FOR_BOTH(v) for (enum mqtt_version v = MQTT_3_1_1; v <= MQTT_5; v++)

/* Of either version; v5 properties of the CONNACK as bytes, "" for none. */
static void let_in(struct world *w, bool session_present, struct span properties)
{
    struct buf b = { .max = 256 };

    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    put_u8(&b, 0x20);
    put_u8(&b, (uint8_t)(w->engine.settings.version == MQTT_5 ? 3 + properties.len : 2));
    put_u8(&b, session_present);
    put_u8(&b, 0);
    if (w->engine.settings.version == MQTT_5) {
        put_u8(&b, (uint8_t)properties.len);
        put_bytes(&b, properties);
    }
    give(w, &b);
    assert_int_equal(w->engine.state, ENGINE_OPEN);
}

static struct world *opened(enum mqtt_version version)
{
    struct engine_settings s = settings_of(version);
    struct world *w = world_new(&s);

    let_in(w, false, SPAN_NONE);
    return w;
}

static void ack(struct world *w, enum mqtt_packet_type type, uint16_t id)
{
    uint8_t bytes[] = { (uint8_t)(type << 4 | (type == MQTT_PUBREL ? 2 : 0)), 2, (uint8_t)(id >> 8),
                        (uint8_t)id };

    give_bytes(w, bytes, sizeof bytes);
}

static void publish_in(struct world *w, uint8_t qos, uint16_t id)
{
    struct buf b = { .max = 256 };

    mqtt_write_publish(
        &b, w->engine.settings.version,
        &(struct mqtt_publish_out){ .qos = qos, .packet_id = id, .topic = SPAN("a/b"), .payload = SPAN("x") });
    give(w, &b);
}

static struct mqtt_publish sent_publish(struct world *w, uint8_t qos, bool dup)
{
    struct mqtt_frame frame;
    struct mqtt_publish p;

    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, MQTT_PUBLISH);
    assert_int_equal(mqtt_read_publish(&frame, w->engine.settings.version, &p, NULL), ST_OK);
    assert_int_equal(p.qos, qos);
    assert_int_equal(p.dup, dup);
    return p;
}

static void sent_ack(struct world *w, enum mqtt_packet_type type, uint16_t id)
{
    struct mqtt_frame frame;
    struct mqtt_ack a;

    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, type);
    assert_int_equal(mqtt_read_ack(&frame, w->engine.settings.version, &a, NULL), ST_OK);
    assert_int_equal(a.packet_id, id);
    assert_int_equal(a.reason, MQTT_SUCCESS);
}

/* ---- CONNECT ---- */

static void connect_is_the_first_packet_and_its_fields_are_in_order(void **state UNUSED)
{ /* MQTT5 [MQTT-3.1.0-1], [MQTT-3.1.2-9], [MQTT-3.1.2-17], [MQTT-3.1.2-19], [MQTT-3.1.3-1], [MQTT-3.1.3-3];
   * MQTT311 [MQTT-3.1.0-1], [MQTT-3.1.2-9], [MQTT-3.1.2-19], [MQTT-3.1.2-21], [MQTT-3.1.3-1], [MQTT-3.1.3-3] */
    FOR_BOTH(version)
    {
        struct engine_settings s = settings_of(version);
        const struct span wanted = version == MQTT_5 ? SPAN("\x10\x28\x00\x04MQTT\x05\xee\x00\x0a\x0d\x11\x00"
                                                            "\x00\x00\x64\x21\x00\x14\x27\x00\x00\x10\x00"
                                                            "\x00\x01"
                                                            "c\x00\x00\x01w\x00\x01x\x00\x01u\x00\x01p")
                                                     : SPAN("\x10\x19\x00\x04MQTT\x04\xec\x00\x0a\x00\x01"
                                                            "c\x00\x01w\x00\x01x\x00\x01u\x00\x01p");
        s.has_will = true;
        s.will = (struct mqtt_will){ .topic = { SPAN("w") }, .payload = SPAN("x"), .qos = 1, .retain = true };
        s.user_name = "u";
        s.password = SPAN("p");
        struct world *w = world_new(&s);

        world_publish(w, 1, SYMBOLON_OK); /* nothing in front of it, though there is something to say */
        assert_silent(w);
        engine_connect(&w->engine, SPAN_NONE, w->now);
        assert_true(span_eq(buf_span(&w->sent), wanted));
        world_free(w);
    }
}

static void what_is_not_there_has_no_flag(void **state UNUSED)
{ /* MQTT5 [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT-3.1.2-16], [MQTT-3.1.2-18];
   * MQTT311 [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT-3.1.2-15], [MQTT-3.1.2-18], [MQTT-3.1.2-20], [MQTT-3.1.2-22] */
    FOR_BOTH(version)
    {
        struct engine_settings s = settings_of(version);
        struct world *w = world_new(&s);

        s.will = (struct mqtt_will){ .qos = 2, .retain = true }; /* without has_will it counts for nothing */
        engine_connect(&w->engine, SPAN_NONE, w->now);
        assert_int_equal(w->sent.p[9], version == MQTT_5 ? 0x02 : 0x00); /* Connect Flags: Clean Start or not */
        assert_int_equal(w->sent.p[w->sent.len - 1], 'c');
        world_free(w);
    }
}

static void with_a_method_nothing_else_is_sent_before_the_connack(void **state UNUSED)
{ /* MQTT5 [MQTT-3.1.2-30], [MQTT-4.12.0-3], [MQTT-4.12.0-5]: messages wait, requests are refused, challenges are answered */
    struct engine_settings s = settings_of(MQTT_5);
    const struct symbolon_subscription sub = { .filter = "a" };
    struct mqtt_frame frame;
    struct mqtt_auth auth;

    s.ace = true;
    struct world *w = world_new(&s);
    engine_connect(&w->engine, SPAN("data"), w->now);
    assert_sent(w, MQTT_CONNECT);
    for (uint8_t qos = 0; qos <= 2; qos++)
        world_publish(w, qos, SYMBOLON_OK);
    assert_int_equal(engine_subscribe(&w->engine, &sub, 1, NULL, w->now, NULL, NULL), SYMBOLON_CLOSED);
    w->now.mono.ms += 20000;
    engine_tick(&w->engine, w->now);
    assert_silent(w);
    give_bytes(w,
               "\xf0\x13\x18\x11\x15\x00\x03"
               "ace\x16\x00\x08"
               "12345678",
               21);
    assert_true(next_sent(w, &frame));
    assert_int_equal(frame.type, MQTT_AUTH);
    assert_int_equal(mqtt_read_auth(&frame, &auth, NULL), ST_OK);
    assert_int_equal(auth.reason, MQTT_CONTINUE_AUTHENTICATION);
    assert_true(span_eq_str(auth.properties.auth_method, "ace"));
    assert_silent(w);
    give_bytes(w, "\x20\x03\x00\x00\x00", 5);
    for (uint8_t qos = 0; qos <= 2; qos++)
        (void)sent_publish(w, qos, false);
    world_free(w);
}

static void reauthentication_keeps_the_method(void **state UNUSED)
{ /* MQTT5 [MQTT-4.12.1-1]; without a method there is no AUTH at all: [MQTT-4.12.0-7] */
    struct engine_settings s = settings_of(MQTT_5);
    struct mqtt_frame frame;
    struct mqtt_auth auth;

    s.ace = true;
    struct world *w = world_new(&s);
    let_in(w, false, SPAN_NONE);
    engine_auth(&w->engine, MQTT_REAUTHENTICATE, SPAN("new token"), w->now);
    assert_true(next_sent(w, &frame));
    assert_int_equal(mqtt_read_auth(&frame, &auth, NULL), ST_OK);
    assert_int_equal(auth.reason, MQTT_REAUTHENTICATE);
    assert_true(span_eq_str(auth.properties.auth_method, "ace"));
    world_free(w);

    w = opened(MQTT_5); /* a challenge nobody asked for is not answered by AUTH */
    give_bytes(w,
               "\xf0\x08\x18\x06\x15\x00\x03"
               "ace",
               10);
    assert_int_equal(w->challenged, 0);
    assert_ended(w, MQTT_PROTOCOL_ERROR);
    world_free(w);
}

/* ---- the session ---- */

static void a_session_out_of_nowhere_ends_the_connection(void **state UNUSED)
{ /* MQTT5 [MQTT-3.2.2-4]: who asked for a clean start has none. (settings.keep_session says that the caller has.) */
    struct engine_settings s = settings_of(MQTT_5);
    struct world *w = world_new(&s);

    engine_connect(&w->engine, SPAN_NONE, w->now);
    assert_sent(w, MQTT_CONNECT);
    give_bytes(w, "\x20\x03\x01\x00\x00", 5);
    assert_int_equal(w->connected, 0);
    assert_ended(w, MQTT_PROTOCOL_ERROR);
    world_free(w);
}

static void a_lost_session_is_forgotten(void **state UNUSED)
{ /* MQTT5 [MQTT-3.2.2-5]: identifiers received, unreleased and unacknowledged all start afresh */
    struct world *w = opened(MQTT_5);

    publish_in(w, 2, 7);
    sent_ack(w, MQTT_PUBREC, 7);
    world_publish(w, 2, SYMBOLON_OK);
    ack(w, MQTT_PUBREC, sent_publish(w, 2, false).packet_id);
    assert_sent(w, MQTT_PUBREL);
    engine_lost(&w->engine, &network_gone, w->now);
    let_in(w, false, SPAN_NONE);
    assert_silent(w); /* no PUBREL of the old session */
    publish_in(w, 2, 7);
    assert_int_equal(w->messages, 2); /* a new message under the old identifier */
    world_free(w);
}

/* ---- keep alive ---- */

static void silence_is_broken_by_pingreq_in_time(void **state UNUSED)
{ /* MQTT5 [MQTT-3.1.2-20]; MQTT311 [MQTT-3.1.2-23] */
    FOR_BOTH(version)
    {
        struct world *w = opened(version);

        for (int i = 0; i < 3; i++) {
            int64_t due = engine_due(&w->engine);

            assert_true(due > w->now.mono.ms && due <= w->now.mono.ms + 10000);
            w->now.mono.ms = due;
            engine_tick(&w->engine, w->now);
            assert_sent(w, MQTT_PINGREQ);
            give_bytes(w, "\xd0\x00", 2);
        }
        w->now.mono.ms += 5000; /* what is sent otherwise moves it on */
        world_publish(w, 0, SYMBOLON_OK);
        (void)sent_publish(w, 0, false);
        w->now.mono.ms += 9000;
        engine_tick(&w->engine, w->now);
        assert_silent(w);
        world_free(w);
    }
}

static void the_brokers_keep_alive_takes_the_place_of_ours(void **state UNUSED)
{ /* MQTT5 [MQTT-3.1.2-21], [MQTT-3.2.2-21] */
    struct engine_settings s = settings_of(MQTT_5);
    struct world *w = world_new(&s);

    let_in(w, false, SPAN("\x13\x00\x03"));
    assert_int_equal(engine_due(&w->engine), w->now.mono.ms + 3000);
    w->now.mono.ms += 3000;
    engine_tick(&w->engine, w->now);
    assert_sent(w, MQTT_PINGREQ);
    world_free(w);
}

/* ---- packet identifiers ---- */

static void new_packets_take_identifiers_that_are_free_and_not_0(void **state UNUSED)
{ /* MQTT5 [MQTT-2.2.1-3], [MQTT-4.3.2-1], [MQTT-4.3.3-1]; MQTT311 [MQTT-2.3.1-1], [MQTT-2.3.1-2]: once round, past three
   * that are in use, one of each kind */
    const struct symbolon_subscription sub = { .filter = "a" };

    FOR_BOTH(version)
    {
        struct world *w = opened(version);
        struct mqtt_frame frame;
        uint16_t one, two, request;

        world_publish(w, 1, SYMBOLON_OK);
        one = sent_publish(w, 1, false).packet_id;
        world_publish(w, 2, SYMBOLON_OK);
        two = sent_publish(w, 2, false).packet_id;
        assert_int_equal(engine_subscribe(&w->engine, &sub, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
        assert_true(next_sent(w, &frame));
        request = (uint16_t)(frame.body.p[0] << 8 | frame.body.p[1]);
        assert_true(one != two && two != request && one != request && one != 0 && two != 0 && request != 0);
        for (unsigned i = 0; i < 66000; i++) {
            uint16_t id;

            world_publish(w, 1, SYMBOLON_OK);
            id = sent_publish(w, 1, false).packet_id;
            assert_true(id != 0 && id != one && id != two && id != request);
            ack(w, MQTT_PUBACK, id);
            w->read = 0;
            buf_reset(&w->sent);
        }
        world_free(w);
    }
}

/* ---- publishing ---- */

static void sending_goes_in_steps_that_are_repeated_after_a_reconnect_only(void **state UNUSED)
{ /* MQTT5 [MQTT-3.3.1-1], [MQTT-4.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.2-3], [MQTT-4.3.3-2] to [MQTT-4.3.3-6], [MQTT-4.4.0-1],
   * [MQTT-4.6.0-1], [MQTT-3.1.2-23]; MQTT311 [MQTT-2.3.1-3], [MQTT-3.1.2-4], [MQTT-4.1.0-1], [MQTT-3.3.1-1], [MQTT-4.3.1-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1], [MQTT-4.4.0-1],
   * [MQTT-4.6.0-1] */
    FOR_BOTH(version)
    {
        struct world *w = opened(version);
        uint16_t id[7];

        for (int i = 0; i < 7; i++) {
            world_publish(w, (uint8_t)(i % 3), SYMBOLON_OK);
            id[i] = sent_publish(w, (uint8_t)(i % 3), false).packet_id;
        }
        w->now.mono.ms += 5000; /* 0 1 2 0 1 2 0 */
        engine_tick(&w->engine, w->now);
        assert_silent(w);
        ack(w, MQTT_PUBREC, id[2]);
        sent_ack(w, MQTT_PUBREL, id[2]);
        for (int i = 0; i < 2;
             i++) { /* in the first order; QoS 0 not at all, a PUBREL instead of its PUBLISH */
            uint16_t seen[3];
            bool released = false;

            engine_lost(&w->engine, &network_gone, w->now);
            let_in(w, true, SPAN_NONE);
            for (int n = 0; n < 4; n++) {
                struct mqtt_frame frame;
                struct mqtt_publish p;

                assert_true(next_sent(w, &frame));
                if (frame.type == MQTT_PUBREL) {
                    released = true;
                    continue;
                }
                assert_int_equal(mqtt_read_publish(&frame, version, &p, NULL), ST_OK);
                assert_true(p.dup);
                seen[n - released] = p.packet_id;
            }
            assert_true(released);
            assert_true(seen[0] == id[1] && seen[1] == id[4] && seen[2] == id[5]);
            assert_silent(w);
        }
        ack(w, MQTT_PUBCOMP, id[2]);
        ack(w, MQTT_PUBACK, id[1]);
        ack(w, MQTT_PUBACK, id[4]);
        ack(w, MQTT_PUBREC, id[5]);
        sent_ack(w, MQTT_PUBREL, id[5]);
        ack(w, MQTT_PUBCOMP, id[5]);
        engine_lost(&w->engine, &network_gone, w->now);
        let_in(w, true, SPAN_NONE);
        assert_silent(w);
        assert_int_equal(engine_pending(&w->engine), 0);
        world_free(w);
    }
}

static void pubrel_goes_in_the_order_of_the_pubrecs(void **state UNUSED)
{ /* MQTT5 [MQTT-4.6.0-4], [MQTT-4.3.3-4]; MQTT311 [MQTT-4.6.0-4]: at once, and after a reconnect */
    FOR_BOTH(version)
    {
        struct world *w = opened(version);
        uint16_t id[3];

        for (int i = 0; i < 3; i++) {
            world_publish(w, 2, SYMBOLON_OK);
            id[i] = sent_publish(w, 2, false).packet_id;
        }
        for (int i = 2; i >= 0; i--) { /* the broker is free to answer in any order */
            ack(w, MQTT_PUBREC, id[i]);
            sent_ack(w, MQTT_PUBREL, id[i]);
        }
        engine_lost(&w->engine, &network_gone, w->now);
        let_in(w, true, SPAN_NONE);
        for (int i = 2; i >= 0; i--)
            sent_ack(w, MQTT_PUBREL, id[i]);
        world_free(w);
    }
}

static void a_refusal_acknowledges(void **state UNUSED)
{ /* MQTT5 [MQTT-4.4.0-2]: no PUBREL, nothing sent again */
    struct world *w = opened(MQTT_5);

    world_publish(w, 1, SYMBOLON_OK);
    give_ack(w, MQTT_PUBACK, sent_publish(w, 1, false).packet_id, MQTT_QUOTA_EXCEEDED);
    world_publish(w, 2, SYMBOLON_OK);
    give_ack(w, MQTT_PUBREC, sent_publish(w, 2, false).packet_id, MQTT_QUOTA_EXCEEDED);
    assert_silent(w);
    assert_int_equal(w->published, 2);
    engine_lost(&w->engine, &network_gone, w->now);
    let_in(w, true, SPAN_NONE);
    assert_silent(w);
    world_free(w);
}

static void the_quota_holds_back_publish_and_nothing_else(void **state UNUSED)
{ /* MQTT5 [MQTT-3.3.4-7], [MQTT-3.3.4-8], [MQTT-4.9.0-1] to [MQTT-4.9.0-3] */
    struct engine_settings s = settings_of(MQTT_5);
    const struct symbolon_subscription sub = { .filter = "a" };
    struct world *w = world_new(&s);
    const char *filter = "a";
    uint16_t id[2];

    let_in(w, false, SPAN("\x21\x00\x02")); /* Receive Maximum 2 */
    for (uint8_t i = 0; i < 4; i++)
        world_publish(w, (uint8_t)(1 + i % 2), SYMBOLON_OK);
    id[0] = sent_publish(w, 1, false).packet_id;
    id[1] = sent_publish(w, 2, false).packet_id;
    assert_silent(w);
    assert_int_equal(engine_subscribe(&w->engine, &sub, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    assert_sent(w, MQTT_SUBSCRIBE);
    assert_int_equal(engine_unsubscribe(&w->engine, &filter, 1, NULL, w->now, NULL, NULL), SYMBOLON_OK);
    assert_sent(w, MQTT_UNSUBSCRIBE);
    publish_in(w, 1, 5);
    sent_ack(w, MQTT_PUBACK, 5);
    publish_in(w, 2, 6);
    sent_ack(w, MQTT_PUBREC, 6);
    ack(w, MQTT_PUBREL, 6);
    sent_ack(w, MQTT_PUBCOMP, 6);
    ack(w, MQTT_PUBREC, id[1]);
    sent_ack(w, MQTT_PUBREL, id[1]);
    assert_silent(w); /* PUBREC gives nothing back */
    w->now.mono.ms = engine_due(&w->engine);
    engine_tick(&w->engine, w->now);
    assert_sent(w, MQTT_PINGREQ);
    ack(w, MQTT_PUBCOMP, id[1]);
    (void)sent_publish(w, 1, false);
    assert_silent(w);
    ack(w, MQTT_PUBACK, id[0]);
    (void)sent_publish(w, 2, false);
    assert_silent(w);
    world_free(w);
}

static void topic_aliases_stay_within_what_the_broker_takes(void **state UNUSED)
{ /* MQTT5 [MQTT-3.2.2-17], [MQTT-3.2.2-18], [MQTT-3.3.2-7] to [MQTT-3.3.2-9]: none without a maximum, 1 to 2 with 2, and
   * afresh on a new connection */
    struct engine_settings s = settings_of(MQTT_5);
    unsigned used = 0;

    s.topic_aliases = 100;
    struct world *w = world_new(&s);
    let_in(w, false, SPAN_NONE);
    for (int maximum = 0; maximum <= 2; maximum += 2) {
        bool known[3] = { false };

        for (int i = 0; i < 12; i++) {
            struct symbolon_message m = { .topic = { "a/long/topic/0", 14 } };
            char topic[16];
            struct mqtt_publish p;

            snprintf(topic, sizeof topic, "a/long/topic/%d", i % 4);
            m.topic.p = (const void *)topic;
            assert_int_equal(engine_publish(&w->engine, &m, w->now, NULL, NULL), SYMBOLON_OK);
            p = sent_publish(w, 0, false);
            if (maximum == 0)
                assert_false(mqtt_has(&p.properties, PROP_TOPIC_ALIAS));
            if (!mqtt_has(&p.properties, PROP_TOPIC_ALIAS))
                continue;
            used++;
            assert_true(p.properties.topic_alias >= 1 && p.properties.topic_alias <= maximum);
            assert_true(p.topic.s.len > 0 || known[p.properties.topic_alias]);
            known[p.properties.topic_alias] = true;
        }
        engine_lost(&w->engine, &network_gone, w->now);
        let_in(w, true, SPAN("\x22\x00\x02"));
    }
    assert_true(used > 0);
    world_free(w);
}

static void every_alias_up_to_our_maximum_is_understood(void **state UNUSED)
{ /* MQTT5 [MQTT-3.3.2-10], [MQTT-3.3.2-7]: none beyond it, and none of the last connection */
    struct engine_settings s = settings_of(MQTT_5);

    s.topic_alias_maximum = 3;
    struct world *w = world_new(&s);
    let_in(w, false, SPAN_NONE);
    for (char alias = 1; alias <= 3; alias++) {
        char bytes[] = { 0x30, 7, 0, 1, (char)('a' + alias), 3, 0x23, 0, alias };

        give_bytes(w, bytes, sizeof bytes);
    }
    for (char alias = 3; alias >= 1; alias--) {
        char bytes[] = { 0x30, 6, 0, 0, 3, 0x23, 0, alias };
        const char topic[] = { (char)('a' + alias), '\0' };

        give_bytes(w, bytes, sizeof bytes);
        assert_string_equal(w->topic, topic);
    }
    assert_int_equal(w->messages, 6);
    engine_lost(&w->engine, &network_gone, w->now);
    let_in(w, true, SPAN_NONE);
    give_bytes(w, "\x30\x06\x00\x00\x03\x23\x00\x01", 8);
    assert_int_equal(w->messages, 6);
    assert_ended(w, MQTT_PROTOCOL_ERROR);
    world_free(w);

    w = world_new(&s);
    let_in(w, false, SPAN_NONE);
    give_bytes(w, "\x30\x07\x00\x01t\x03\x23\x00\x04", 9);
    assert_int_equal(w->messages, 0);
    assert_ended(w, MQTT_TOPIC_ALIAS_INVALID);
    world_free(w);
}

static void our_publish_says_nothing_that_is_the_brokers_to_say(void **state UNUSED)
{ /* MQTT5 [MQTT-3.3.4-6], [MQTT-2.2.2-1]: no Subscription Identifier, and a Property Length even of nothing */
    struct world *w = opened(MQTT_5);

    world_publish(w, 0, SYMBOLON_OK);
    assert_memory_equal(w->sent.p + w->read, "\x30\x05\x00\x01t\x00p", 7);
    assert_int_equal(w->sent.len, w->read + 7);
    world_free(w);
}

/* ---- receiving ---- */

static void every_message_is_acknowledged_in_the_order_it_came(void **state UNUSED)
{ /* MQTT5 [MQTT-4.5.0-2], [MQTT-4.6.0-2], [MQTT-4.6.0-3], [MQTT-3.3.4-1], [MQTT-4.3.2-4], [MQTT-4.3.3-8], [MQTT-4.3.3-11];
   * MQTT311 [MQTT-4.5.0-2], [MQTT-4.6.0-2], [MQTT-4.6.0-3], [MQTT-3.3.4-1], [MQTT-2.3.1-6]: also of topics nobody subscribed to */
    static const uint16_t ids[] = { 9, 3, 0x8001, 7 };

    FOR_BOTH(version)
    {
        struct world *w = opened(version);

        publish_in(w, 0, 0);
        assert_silent(w);
        for (uint8_t qos = 1; qos <= 2; qos++) {
            for (size_t i = 0; i < COUNT_OF(ids); i++)
                publish_in(w, qos, (uint16_t)(ids[i] + 100 * qos));
            for (size_t i = 0; i < COUNT_OF(ids); i++)
                sent_ack(w, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, (uint16_t)(ids[i] + 100 * qos));
        }
        ack(w, MQTT_PUBREL, 9 + 200);
        sent_ack(w, MQTT_PUBCOMP, 9 + 200);
        assert_silent(w);
        assert_int_equal(w->messages, 9);
        world_free(w);
    }
}

static void a_message_of_qos_2_is_delivered_once(void **state UNUSED)
{ /* MQTT5 [MQTT-4.3.3-10] to [MQTT-4.3.3-12], [MQTT-4.3.2-5]; MQTT311 [MQTT-4.3.3-2], [MQTT-4.3.2-2]: over a reconnect too */
    FOR_BOTH(version)
    {
        struct world *w = opened(version);

        publish_in(w, 2, 7);
        sent_ack(w, MQTT_PUBREC, 7);
        engine_lost(&w->engine, &network_gone, w->now);
        let_in(w, true, SPAN_NONE);
        publish_in(w, 2, 7);
        sent_ack(w, MQTT_PUBREC, 7);
        assert_int_equal(w->messages, 1);
        ack(w, MQTT_PUBREL, 7);
        sent_ack(w, MQTT_PUBCOMP, 7);
        publish_in(w, 2, 7); /* now it is another */
        sent_ack(w, MQTT_PUBREC, 7);
        assert_int_equal(w->messages, 2);
        for (int i = 0; i < 2; i++) { /* of QoS 1 each one is */
            publish_in(w, 1, 8);
            sent_ack(w, MQTT_PUBACK, 8);
        }
        assert_int_equal(w->messages, 4);
        world_free(w);
    }
}

/* ---- subscribing ---- */

static void filters_that_break_the_rules_are_not_sent(void **state UNUSED)
{ /* MQTT5 [MQTT-3.8.3-1], [MQTT-3.8.3-2], [MQTT-3.8.3-4], [MQTT-3.10.3-1], [MQTT-3.10.3-2], [MQTT-4.7.1-1], [MQTT-4.7.1-2],
   * [MQTT-4.7.3-1], [MQTT-4.8.2-1], [MQTT-4.8.2-2]; MQTT311 [MQTT-3.8.3-1], [MQTT-3.8.3-3], [MQTT-3.10.3-1], [MQTT-3.10.3-2],
   * [MQTT-4.7.1-2], [MQTT-4.7.1-3], [MQTT-4.7.3-1] */
    static const struct symbolon_subscription bad[] = { { .filter = "\xc3\x28" }, { .filter = "a#" },
                                                        { .filter = "#/a" },      { .filter = "a+" },
                                                        { .filter = "" },         { .filter = "$share//a" },
                                                        { .filter = "$share/g" }, { .filter = "$share/+/a" } };
    const struct symbolon_subscription own = { .filter = "$share/g/a", .no_local = true };
    struct symbolon_error error;

    FOR_BOTH(version)
    {
        struct world *w = opened(version);

        for (size_t i = 0; i < COUNT_OF(bad); i++) {
            assert_int_not_equal(engine_subscribe(&w->engine, &bad[i], 1, NULL, w->now, NULL, &error),
                                 SYMBOLON_OK);
            assert_int_not_equal(engine_unsubscribe(&w->engine, &bad[i].filter, 1, NULL, w->now, NULL, &error),
                                 SYMBOLON_OK);
        }
        assert_int_not_equal(engine_subscribe(&w->engine, &own, 1, NULL, w->now, NULL, &error), SYMBOLON_OK);
        assert_int_not_equal(engine_subscribe(&w->engine, NULL, 0, NULL, w->now, NULL, &error), SYMBOLON_OK);
        assert_int_not_equal(engine_unsubscribe(&w->engine, NULL, 0, NULL, w->now, NULL, &error), SYMBOLON_OK);
        assert_silent(w);
        world_free(w);
    }
}

/* ---- the end ---- */

static void after_disconnect_nothing_is_sent(void **state UNUSED)
{ /* MQTT5 [MQTT-3.14.4-1]; MQTT311 [MQTT-3.14.4-2] */
    FOR_BOTH(version)
    {
        struct world *w = opened(version);

        engine_disconnect(&w->engine, MQTT_SUCCESS, w->now);
        assert_sent(w, MQTT_DISCONNECT);
        world_publish(w, 1, SYMBOLON_OK);
        publish_in(w, 1, 5);
        w->now.mono.ms += 60000;
        engine_tick(&w->engine, w->now);
        engine_drained(&w->engine, w->now);
        assert_silent(w);
        world_free(w);
    }
}

static void what_the_broker_says_last_is_the_end(void **state UNUSED)
{ /* MQTT5 [MQTT-4.13.2-1], [MQTT-4.12.1-2], [MQTT-3.14.1-1], [MQTT-3.15.1-1]; MQTT311 [MQTT-4.8.0-1]: `ended` closes */
    static const struct {
        struct span bytes;
        int answer; /* reason code of our DISCONNECT; -1: none */
    } rows[] = {
        { SPAN("\xe0\x01\x8b"), -1 },                        /* shutting down */
        { SPAN("\xe0\x01\x87"), -1 },                        /* not authorized any more */
        { SPAN("\xe1\x00"), MQTT_MALFORMED_PACKET },         /* reserved bits */
        { SPAN("\xf1\x02\x18\x00"), MQTT_MALFORMED_PACKET }, /* reserved bits */
        { SPAN("\x36\x07\x00\x01t\x00\x01\x00x"), MQTT_MALFORMED_PACKET },
        { SPAN("\x20\x03\x00\x00\x00"), MQTT_PROTOCOL_ERROR }, /* a second CONNACK */
        { SPAN("\xc0\x00"), MQTT_PROTOCOL_ERROR },             /* a client's packet */
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct world *w = opened(MQTT_5);

        give_bytes(w, rows[i].bytes.p, rows[i].bytes.len);
        assert_int_equal(w->ended, 1);
        assert_int_equal(w->engine.state, ENGINE_ENDED);
        if (rows[i].answer >= 0)
            assert_disconnect(w, (uint8_t)rows[i].answer);
        assert_silent(w);
        world_free(w);
    }
    struct world *w = opened(MQTT_3_1_1);

    give_bytes(w, "\x36\x06\x00\x01t\x00\x01x", 8);
    assert_int_equal(w->ended, 1);
    assert_int_equal(w->engine.state, ENGINE_ENDED);
    assert_silent(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_is_the_first_packet_and_its_fields_are_in_order),
        cmocka_unit_test(what_is_not_there_has_no_flag),
        cmocka_unit_test(with_a_method_nothing_else_is_sent_before_the_connack),
        cmocka_unit_test(reauthentication_keeps_the_method),
        cmocka_unit_test(a_session_out_of_nowhere_ends_the_connection),
        cmocka_unit_test(a_lost_session_is_forgotten),
        cmocka_unit_test(silence_is_broken_by_pingreq_in_time),
        cmocka_unit_test(the_brokers_keep_alive_takes_the_place_of_ours),
        cmocka_unit_test(new_packets_take_identifiers_that_are_free_and_not_0),
        cmocka_unit_test(sending_goes_in_steps_that_are_repeated_after_a_reconnect_only),
        cmocka_unit_test(pubrel_goes_in_the_order_of_the_pubrecs),
        cmocka_unit_test(a_refusal_acknowledges),
        cmocka_unit_test(the_quota_holds_back_publish_and_nothing_else),
        cmocka_unit_test(topic_aliases_stay_within_what_the_broker_takes),
        cmocka_unit_test(every_alias_up_to_our_maximum_is_understood),
        cmocka_unit_test(our_publish_says_nothing_that_is_the_brokers_to_say),
        cmocka_unit_test(every_message_is_acknowledged_in_the_order_it_came),
        cmocka_unit_test(a_message_of_qos_2_is_delivered_once),
        cmocka_unit_test(filters_that_break_the_rules_are_not_sent),
        cmocka_unit_test(after_disconnect_nothing_is_sent),
        cmocka_unit_test(what_the_broker_says_last_is_the_end),
    };
    return cmocka_run_group_tests_name("client_engine_statements", tests, NULL, NULL);
}
