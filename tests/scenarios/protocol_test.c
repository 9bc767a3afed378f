/* Clients that do not keep to MQTT 5: the right reason code, the end, one event, and nobody else touched. */
#include "harness.h"

#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

struct fixture {
    struct bench *b;
    struct conn_io *c, *bystander;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->b = bench_new(1);
    f->bystander = client_connected(f->b, "bystander", ALL);
    client_subscribe(f->bystander, "a/#", 0, 0);
    f->c = client_connected(f->b, "c", ALL);
    log_forget(f->b);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    client_ping(f->bystander); /* whatever happened, the others are served */
    struct mqtt_frame frame;
    do {
        assert_true(client_next(f->bystander, &frame));
    } while (frame.type != MQTT_PINGRESP);
    bench_free(f->b);
    free(f);
    return 0;
}

static void client_send_parts(struct conn_io *c, struct span a, struct span b)
{
    CLEANUP(buf_done)
    struct buf both;

    buf_init(&both, 256);
    put_bytes(&both, a);
    put_bytes(&both, b);
    client_send(c, buf_span(&both));
}

static void assert_one_event(const struct fixture *f, const char *event)
{
    assert_int_equal(log_count(f->b, event), 1);
    assert_int_equal(log_count(f->b, "client_disconnected"), 0);
}

static void bad_packets_end_the_connection_with_their_code(void **state)
{
    static const struct {
        const char *clause;
        struct span bytes;
        uint8_t code;
    } rows[] = {
        { "MQTT5 2.1.2 reserved type", SPAN("\x00\x00"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.8.1-1] flags",
          SPAN("\x80\x06\x00\x01\x00\x00\x01"
               "a"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 1.5.5 five length bytes", SPAN("\x30\xff\xff\xff\xff\x01"), MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.1-4] QoS 3",
          SPAN("\x36\x07\x00\x01"
               "a\x00\x01\x00x"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.1-2] DUP with QoS 0",
          SPAN("\x38\x05\x00\x01"
               "a\x00x"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-2.2.1-3] packet id 0",
          SPAN("\x32\x07\x00\x01"
               "a\x00\x00\x00x"),
          MQTT_PROTOCOL_ERROR },
        { "MQTT5 [MQTT-3.3.2-2] wildcard in a topic name",
          SPAN("\x30\x05\x00\x01"
               "#\x00x"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.1.0-2] second CONNECT", SPAN("\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01z"),
          MQTT_PROTOCOL_ERROR },
        { "MQTT5 2.1.2 only servers send SUBACK", SPAN("\x90\x04\x00\x01\x00\x00"), MQTT_PROTOCOL_ERROR },
        { "MQTT5 [MQTT-3.8.3-2] no filter", SPAN("\x82\x03\x00\x01\x00"), MQTT_PROTOCOL_ERROR },
        { "MQTT5 [MQTT-3.8.3-5] reserved option bits",
          SPAN("\x82\x07\x00\x01\x00\x00\x01"
               "a\xc0"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 [MQTT-3.3.4-6] subscription identifier from a client",
          SPAN("\x30\x07\x00\x01"
               "a\x02\x0b\x05x"),
          MQTT_PROTOCOL_ERROR },
        { "MQTT5 [MQTT-3.3.2-8] topic alias 0",
          SPAN("\x30\x08\x00\x01"
               "a\x03\x23\x00\x00x"),
          MQTT_TOPIC_ALIAS_INVALID },
        { "MQTT5 [MQTT-3.3.2-9] topic alias too high",
          SPAN("\x30\x08\x00\x01"
               "a\x03\x23\x7f\xffx"),
          MQTT_TOPIC_ALIAS_INVALID },
        { "MQTT5 3.3.2.3.4 alias of nothing", SPAN("\x30\x07\x00\x00\x03\x23\x00\x01x"), MQTT_PROTOCOL_ERROR },
        { "MQTT5 [MQTT-1.5.4-1] not UTF-8",
          SPAN("\x30\x06\x00\x02"
               "\xc3\x28\x00x"),
          MQTT_MALFORMED_PACKET },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct conn_io *c = client_connected(f->b, "bad", ALL);
        struct mqtt_frame frame;
        struct mqtt_disconnect d;

        log_forget(f->b);
        client_send(c, rows[i].bytes);
        if (!client_next(c, &frame) || frame.type != MQTT_DISCONNECT)
            fail_msg("%s: no DISCONNECT", rows[i].clause);
        assert_int_equal(mqtt_read_disconnect(&frame, MQTT_5, &d, NULL), ST_OK);
        if (d.reason != rows[i].code)
            fail_msg("%s: 0x%02x instead of 0x%02x (%.*s)", rows[i].clause, d.reason, rows[i].code,
                     SPAN_FMT(d.properties.reason_string));
        expect_closed(c);
        assert_one_event(f, "packet_refused");
    }
    expect_nothing(f->bystander);
}

static void bad_connects_are_answered_by_connack(void **state)
{
    static const struct {
        const char *clause;
        struct span bytes;
        int code; /* -1: closed without a word */
    } rows[] = {
        { "MQTT5 [MQTT-3.1.0-1] not a CONNECT first", SPAN("\xc0\x00"), -1 },
        { "MQTT5 2.1.3 flags of CONNECT", SPAN("\x11\x00"), -1 },
        { "MQTT5 [MQTT-3.1.2-3] reserved flag", SPAN("\x10\x0e\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x01z"),
          MQTT_MALFORMED_PACKET },
        { "MQTT5 3.1.2.11.9 data without method",
          SPAN("\x10\x12\x00\x04MQTT\x05\x02\x00\x00\x04\x16\x00\x01x\x00\x01z"), MQTT_PROTOCOL_ERROR },
        { "MQTT5 3.1.2.11.3 receive maximum 0",
          SPAN("\x10\x11\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x00\x00\x01z"), MQTT_PROTOCOL_ERROR },
        { "trailing bytes", SPAN("\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01zz"), MQTT_MALFORMED_PACKET },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct conn_io *c = client_new(f->b);

        log_forget(f->b);
        client_send(c, rows[i].bytes);
        if (rows[i].code >= 0)
            (void)expect_connack(c, (uint8_t)rows[i].code);
        expect_closed(c);
        assert_one_event(f, "connect_refused");
    }
}

static void a_connect_too_large_is_refused_before_it_has_come(void **state)
{ /* MQTT5 4.13: the size is in the first bytes */
    struct fixture *f = *state;
    struct conn_io *c = client_new(f->b);

    client_send(c, SPAN("\x10\xff\xff\xff\x7f"));
    expect_closed(c);
    assert_one_event(f, "connect_refused");
}

static void a_packet_beyond_the_announced_size_ends_the_connection(void **state)
{ /* MQTT5 3.2.2.3.6 */
    struct fixture *f = *state;

    f->b->settings.max_packet_bytes = 100;
    client_send(f->c, SPAN("\x30\x80\x01"));
    (void)expect_disconnect(f->c, MQTT_PACKET_TOO_LARGE);
    assert_one_event(f, "packet_refused");
}

static void packets_may_come_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    struct span packet = SPAN("\x30\x06\x00\x03"
                              "a/b\x00");

    for (size_t i = 0; i < packet.len; i++)
        client_send(f->c, span_cut(packet, i, 1));
    (void)expect_publish(f->bystander, "a/b", "", 0);
}

static void many_packets_may_come_at_once(void **state)
{
    struct fixture *f = *state;
    struct buf many;

    buf_init(&many, 1 << 20);
    for (int i = 0; i < 1000; i++)
        put_bytes(&many, SPAN("\x30\x06\x00\x03"
                              "a/b\x00"));
    client_send(f->c, buf_span(&many));
    for (int i = 0; i < 1000; i++)
        (void)expect_publish(f->bystander, "a/b", "", 0);
    buf_done(&many);
}

static void a_topic_alias_stands_for_its_topic_on_this_connection_only(void **state)
{ /* MQTT5 3.3.2.3.4, [MQTT-3.3.2-7], [MQTT-3.1.2-27] */
    struct fixture *f = *state;
    struct conn_io *other = client_connected(f->b, "other", ALL);
    struct mqtt_publish p;

    client_publish_with(f->c, &(struct publish_wish){ .topic = "a/long", .payload = "1", .alias = 2 });
    client_publish_with(f->c, &(struct publish_wish){ .topic = "", .payload = "2", .alias = 2 });
    client_publish_with(f->c, &(struct publish_wish){ .topic = "a/new", .payload = "3", .alias = 2 });
    client_publish_with(f->c, &(struct publish_wish){ .topic = "", .payload = "4", .alias = 2 });
    (void)expect_publish(f->bystander, "a/long", "1", 0);
    p = expect_publish(f->bystander, "a/long", "2", 0);
    assert_false(mqtt_has(&p.properties, PROP_TOPIC_ALIAS));
    (void)expect_publish(f->bystander, "a/new", "3", 0);
    (void)expect_publish(f->bystander, "a/new", "4", 0);
    client_publish_with(other, &(struct publish_wish){ .topic = "", .payload = "5", .alias = 2 });
    (void)expect_disconnect(other, MQTT_PROTOCOL_ERROR);
}

static void an_alias_does_not_get_round_the_scope(void **state)
{ /* MT-81 */
    struct fixture *f = *state;

    client_publish_with(f->c, &(struct publish_wish){
                                  .topic = "b/secret", .payload = "1", .qos = 1, .packet_id = 1, .alias = 1 });
    (void)expect_ack(f->c, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    client_publish_with(
        f->c, &(struct publish_wish){ .topic = "", .payload = "1", .qos = 1, .packet_id = 2, .alias = 1 });
    (void)expect_ack(f->c, MQTT_PUBACK, 2, MQTT_NOT_AUTHORIZED);
}

static void properties_travel_with_the_message(void **state)
{ /* MQTT5 [MQTT-3.3.2-4], [MQTT-3.3.2-15] to [MQTT-3.3.2-20] */
    struct fixture *f = *state;
    struct mqtt_properties in = { .payload_format = 1,
                                  .content_type = SPAN("text/plain"),
                                  .response_topic = SPAN("a/answer"),
                                  .correlation_data = SPAN("\x00\x01\x02") };
    struct buf users, block;
    struct mqtt_publish p;
    struct span name, value;
    size_t at = 0;

    mqtt_set(&in, PROP_PAYLOAD_FORMAT);
    mqtt_set(&in, PROP_CONTENT_TYPE);
    mqtt_set(&in, PROP_RESPONSE_TOPIC);
    mqtt_set(&in, PROP_CORRELATION_DATA);
    buf_init(&users, 1024);
    buf_init(&block, 1024);
    mqtt_put_user_property(&users, SPAN("k"), SPAN("1"));
    mqtt_put_user_property(&users, SPAN("k"), SPAN("2"));
    in.raw = buf_span(&users);
    mqtt_set(&in, PROP_USER);
    mqtt_put_message_properties(&block, &in);
    client_publish_with(
        f->c, &(struct publish_wish){ .topic = "a/b", .payload = "x", .properties = buf_span(&block) });
    p = expect_publish(f->bystander, "a/b", "x", 0);
    assert_int_equal(p.properties.payload_format, 1);
    assert_true(span_eq_str(p.properties.content_type, "text/plain"));
    assert_true(span_eq_str(p.properties.response_topic, "a/answer"));
    assert_true(span_eq(p.properties.correlation_data, in.correlation_data));
    assert_true(mqtt_next_user_property(&p.properties, &at, &name, &value));
    assert_true(span_eq_str(value, "1"));
    assert_true(mqtt_next_user_property(&p.properties, &at, &name, &value));
    assert_true(span_eq_str(value, "2"));
    buf_done(&users);
    buf_done(&block);
}

static void silence_ends_the_connection_after_one_and_a_half_keep_alives(void **state)
{ /* MQTT5 [MQTT-3.1.2-22] */
    struct fixture *f = *state;
    struct conn_io *c = client_connected_with(
        f->b, &(struct connect_wish){ .id = "k", .scope = ALL, .keep_alive_s = 10, .will_topic = "a/gone" });
    struct mqtt_frame frame;

    f->bystander->in_at = f->bystander->in.len;
    bench_advance(f->b, 14000);
    client_ping(c);
    bench_advance(f->b, 14000);
    assert_true(client_next(c, &frame));
    expect_nothing(c);
    bench_advance(f->b, 1500);
    expect_thrown_out(c, MQTT_KEEP_ALIVE_TIMEOUT, "MQTT5 [MQTT-3.1.2-22]");
    (void)expect_publish(f->bystander, "a/gone", "gone", 0);
    assert_one_event(f, "keep_alive_timeout");
}

static void who_floods_pings_is_answered_and_named_once(void **state)
{ /* MQTT5 [MQTT-3.12.4-1] */
    struct fixture *f = *state;
    struct mqtt_frame frame;

    for (int i = 0; i < 3 * 999; i++) { /* not too many in any second */
        if (i % 999 == 0)
            bench_advance(f->b, 1000);
        client_ping(f->c);
        assert_true(client_next(f->c, &frame));
    }
    assert_int_equal(log_count(f->b, "ping_flood"), 0);
    bench_advance(f->b, 1000);
    for (int i = 0; i < 3000; i++) {
        client_ping(f->c);
        assert_true(client_next(f->c, &frame));
        assert_int_equal(frame.type, MQTT_PINGRESP);
    }
    assert_one_event(f, "ping_flood");
    bench_advance(f->b, 5000);
    for (int i = 0; i < 3000; i++)
        client_ping(f->c);
    assert_one_event(f, "ping_flood");
}

static void half_a_packet_is_silence(void **state)
{ /* MQTT5 [MQTT-3.1.2-22] speaks of control packets */
    struct fixture *f = *state;
    struct conn_io *c =
        client_connected_with(f->b, &(struct connect_wish){ .id = "k", .scope = ALL, .keep_alive_s = 10 });

    for (int i = 0; i < 8; i++) {
        client_send(c, i == 0 ? SPAN("\x30\x50") : SPAN("a"));
        bench_advance(f->b, 2000);
    }
    (void)expect_disconnect(c, MQTT_KEEP_ALIVE_TIMEOUT);
}

/* MQTT5 4.13.1, 3.1.4: even where nothing but the fixed header was looked at, if MQTT 5 can be seen behind it. */
static void a_connect_with_a_wrong_fixed_header_is_told(void **state)
{
    static const char connect5[] = "\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01"
                                   "c";
    static const char connect3[] = "\x00\x04MQTT\x04\x02\x00\x3c\x00\x01"
                                   "c";
    struct fixture *f = *state;
    struct conn_io *c = client_new(f->b);

    client_send(c, SPAN("\x14\x0e"));
    expect_closed(c); /* nothing is known of it yet */
    c = client_new(f->b);
    client_send_parts(c, SPAN("\x14\x0e"), SPAN(connect5));
    expect_refused(c, MQTT_MALFORMED_PACKET, "MQTT5 [MQTT-2.1.3-1]");
    c = client_new(f->b);
    client_send_parts(c, SPAN("\x10\xff\xff\xff\x7f"), SPAN(connect5));
    expect_refused(c, MQTT_PACKET_TOO_LARGE, "MQTT5 [MQTT-3.2.2-15]");
    c = client_new(f->b);
    client_send_parts(c, SPAN("\x10\xff\xff\xff\x7f"), SPAN(connect3));
    expect_closed(c);
    c = client_new(f->b);
    client_send_parts(c, SPAN("\x30\x0e"), SPAN(connect5)); /* no CONNECT: [MQTT-3.1.0-1] */
    expect_closed(c);
    assert_int_equal(log_count(f->b, "connect_refused"), 5);
}

/* limits.packet_timeout, counted from the first byte of the packet: what came before and what comes meanwhile is no matter. */
static void a_packet_must_be_whole_in_time_without_a_keep_alive_too(void **state)
{
    struct fixture *f = *state;
    struct conn_io *c;

    f->b->settings.max_keep_alive_s = 0;
    f->b->settings.packet_timeout_ms = 60000;
    c = client_connected_with(f->b, &(struct connect_wish){ .id = "k", .scope = ALL, .keep_alive_s = 0 });
    bench_advance(f->b, 100000);  /* silence between packets is its right */
    for (int i = 0; i < 3; i++) { /* and so is a packet that takes its time */
        client_send(c, SPAN("\x30\x08\x00\x03"));
        bench_advance(f->b, 59000);
        client_send(c, SPAN("a/b\x00xx"));
        (void)expect_publish(f->bystander, "a/b", "xx", 0);
    }
    bench_advance(f->b, 70000);
    client_send(c, SPAN("\x30\x50"));
    for (int i = 0; i < 59; i++) {
        bench_advance(f->b, 1000);
        client_send(c, SPAN("a"));
    }
    expect_nothing(c);
    bench_advance(f->b, 1500);
    expect_thrown_out(c, MQTT_UNSPECIFIED_ERROR, "limits.packet_timeout");
    assert_one_event(f, "packet_refused");
    f->b->settings.max_keep_alive_s = 3600;
}

static void the_servers_keep_alive_counts(void **state)
{ /* MQTT5 3.2.2.3.14 */
    struct fixture *f = *state;
    struct conn_io *c;

    f->b->settings.max_keep_alive_s = 10;
    c = client_connected_with(f->b, &(struct connect_wish){ .id = "k", .scope = ALL, .keep_alive_s = 0 });
    bench_advance(f->b, 15500);
    (void)expect_disconnect(c, MQTT_KEEP_ALIVE_TIMEOUT);
    f->b->settings.max_keep_alive_s = 0;
}

static void retained_messages_can_be_switched_off(void **state)
{ /* MQTT5 3.2.2.3.5: what a client is then bound to by [MQTT-3.2.2-14] */
    struct fixture *f = *state;
    struct conn_io *c = client_new(f->b);
    struct mqtt_connack ack;

    f->b->settings.retain_available = false;
    client_connect(c, &(struct connect_wish){ .id = "r", .scope = ALL });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_true(mqtt_has(&ack.properties, PROP_RETAIN_AVAILABLE));
    assert_int_equal(ack.properties.retain_available, 0);
    client_publish_with(c, &(struct publish_wish){ .topic = "a/b", .payload = "x", .retain = true });
    (void)expect_disconnect(c, MQTT_RETAIN_NOT_SUPPORTED);
}

static void connections_and_sessions_are_limited(void **state)
{
    struct fixture *f = *state;
    struct conn_io *c = client_new(f->b);

    f->b->settings.max_sessions = 2;
    client_connect(c, &(struct connect_wish){ .id = "third", .scope = ALL });
    expect_refused(c, MQTT_QUOTA_EXCEEDED, "limits.sessions");
    f->b->settings.max_connections = 2;
    c = client_new(f->b); /* some more than may stay are let in to be told so */
    client_connect(c, &(struct connect_wish){ .id = "busy", .scope = ALL });
    expect_refused(c, MQTT_SERVER_BUSY, "limits.connections");
}

static void stopping_says_goodbye(void **state)
{ /* MQTT5 3.14.2.1: 0x8B */
    struct fixture *f = *state;
    struct conn_io *c = client_connected(f->b, "x", ALL);

    shard_stop(f->b->shard[0], f->b->now);
    (void)expect_disconnect(c, MQTT_SERVER_SHUTTING_DOWN);
    assert_int_equal(STAT(f->b, connections), 0);
    f->bystander = client_connected(f->b, "bystander", ALL);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(bad_packets_end_the_connection_with_their_code),
        T(bad_connects_are_answered_by_connack),
        T(a_connect_too_large_is_refused_before_it_has_come),
        T(a_packet_beyond_the_announced_size_ends_the_connection),
        T(packets_may_come_byte_by_byte),
        T(many_packets_may_come_at_once),
        T(a_topic_alias_stands_for_its_topic_on_this_connection_only),
        T(an_alias_does_not_get_round_the_scope),
        T(properties_travel_with_the_message),
        T(silence_ends_the_connection_after_one_and_a_half_keep_alives),
        T(who_floods_pings_is_answered_and_named_once),
        T(half_a_packet_is_silence),
        T(a_packet_must_be_whole_in_time_without_a_keep_alive_too),
        T(a_connect_with_a_wrong_fixed_header_is_told),
        T(the_servers_keep_alive_counts),
        T(retained_messages_can_be_switched_off),
        T(connections_and_sessions_are_limited),
        T(stopping_says_goodbye),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
