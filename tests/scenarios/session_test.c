/* What is remembered, resent, taken over and given up (MQTT5 3.1.2, 4.1 to 4.6; mqtt-tls-profile.md section 6). */
#include "harness.h"

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

static struct conn_io *resuming(struct bench *b, const char *id, const char *scope, bool expect_present)
{
    struct conn_io *c = client_new(b);
    struct mqtt_connack ack;

    client_connect(c, &(struct connect_wish){ .id = id, .scope = scope, .resume = true, .expiry_s = 100 });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_int_equal(ack.session_present, expect_present);
    return c;
}

/* ---- takeover and continuation ---- */

static void a_newer_connection_takes_over(void **state)
{ /* MT-76, D-36, MQTT5 [MQTT-3.1.4-3] */
    struct bench *b = *state;
    struct conn_io *old = client_connected(b, "c", ALL);

    (void)client_connected(b, "c", ALL);
    expect_thrown_out(old, MQTT_SESSION_TAKEN_OVER, "MT-76");
    assert_int_equal(STAT(b, sessions), 1);
    assert_int_equal(STAT(b, connections), 1);
    assert_int_equal(log_count(b, "session_taken_over"), 1);
}

static void a_stranger_can_not_take_over(void **state)
{ /* MT-60: the client identifier is anybody's to claim */
    struct bench *b = *state;
    struct conn_io *old = client_connected(b, "c", ALL), *thief = client_new(b);

    client_connect(thief, &(struct connect_wish){ .id = "c", .scope = ALL, .sub = "somebody else" });
    expect_refused(thief, MQTT_CLIENT_ID_NOT_VALID, "ace.check_client_id_owner");
    expect_nothing(old);
}

static void a_stranger_does_not_get_the_messages_of_an_absent_client(void **state)
{ /* MT-60 */
    struct bench *b = *state;
    struct conn_io *thief = client_new(b);

    client_drop(resuming(b, "c", ALL, false));
    client_connect(thief, &(struct connect_wish){ .id = "c", .scope = ALL, .sub = "somebody else" });
    expect_refused(thief, MQTT_CLIENT_ID_NOT_VALID, "ace.check_client_id_owner");
    (void)resuming(b, "c", ALL, true);
}

static void who_has_a_token_gets_the_identifier_of_who_has_none(void **state)
{
    struct bench *b = *state;
    struct conn_io *guest, *guest2;

    bench_public(b, "[[\"pub\",[\"sub\"]]]");
    guest = client_connected_with(b, &(struct connect_wish){ .id = "c", .no_method = true, .expiry_s = 50 });
    (void)resuming(b, "c", ALL, false);
    expect_thrown_out(guest, MQTT_SESSION_TAKEN_OVER, "MT-76");
    guest2 = client_new(b);
    client_connect(guest2, &(struct connect_wish){ .id = "c", .no_method = true });
    expect_refused(guest2, MQTT_CLIENT_ID_NOT_VALID, "ace.check_client_id_owner");
}

static void a_session_is_continued_until_it_expires(void **state)
{ /* MT-71, MT-72, MT-75, MQTT5 [MQTT-3.1.2-5] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c = resuming(b, "c", ALL, false);

    client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
    client_drop(c);
    bench_advance(b, 90000);
    c = resuming(b, "c", ALL, true);
    client_publish(pub, "a/b", "x", 0, 0);
    (void)expect_publish(c, "a/b", "x", 0);
    client_drop(c);
    bench_advance(b, 101000);
    assert_int_equal(STAT(b, sessions), 1);
    assert_int_equal(STAT(b, subscriptions), 0);
    (void)resuming(b, "c", ALL, false);
}

static void a_clean_start_forgets(void **state)
{ /* MQTT5 [MQTT-3.1.2-4] */
    struct bench *b = *state;
    struct conn_io *c = resuming(b, "c", ALL, false);

    client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
    client_drop(c);
    (void)client_connected(b, "c", ALL);
    assert_int_equal(STAT(b, subscriptions), 0);
}

static void a_session_that_goes_on_still_wants_a_token_and_a_proof(void **state)
{ /* MT-73, MT-94 */
    struct bench *b = *state;
    struct conn_io *c = client_new(b);

    client_drop(resuming(b, "c", ALL, false));
    client_connect(c, &(struct connect_wish){ .id = "c", .resume = true, .expiry_s = 100, .no_data = true });
    expect_refused(c, MQTT_NOT_AUTHORIZED, "MT-92");
    (void)resuming(b, "c", ALL, true);
}

static void a_goodbye_ends_the_session_and_leaves_what_is_retained(void **state)
{ /* MT-110, MQTT5 [MQTT-4.1.0-2] */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
    client_publish_with(c, &(struct publish_wish){ .topic = "a/r", .payload = "kept", .retain = true });
    client_bye(c);
    assert_int_equal(STAT(b, sessions), 0);
    assert_int_equal(STAT(b, subscriptions), 0);
    assert_int_equal(STAT(b, retained_messages), 1);
}

static void continuation_can_be_switched_off(void **state)
{ /* MT-70, D-25 */
    struct bench *b = *state;
    struct conn_io *c = client_new(b);
    struct mqtt_connack ack;

    b->settings.session_continuation = false;
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .resume = true, .expiry_s = 100 });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_true(mqtt_has(&ack.properties, PROP_SESSION_EXPIRY));
    assert_int_equal(ack.properties.session_expiry_s, 0);
    client_drop(c);
    assert_int_equal(STAT(b, sessions), 0);
}

static void without_a_token_a_session_lives_as_long_as_guests_may(void **state)
{ /* MT-77: anybody may be a guest, so guests must not be able to fill the session table for days */
    struct bench *b = *state;
    struct conn_io *c = client_new(b);
    struct mqtt_connack ack;

    bench_public(b, "[[\"pub\",[\"sub\"]]]");
    client_connect(c,
                   &(struct connect_wish){ .id = "guest", .no_method = true, .resume = true, .expiry_s = 100 });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_true(mqtt_has(&ack.properties, PROP_SESSION_EXPIRY));
    assert_int_equal(ack.properties.session_expiry_s, 0);
    client_drop(c);
    assert_int_equal(STAT(b, sessions), 0);
    b->settings.max_guest_expiry_s = 50;
    c = client_new(b);
    client_connect(c,
                   &(struct connect_wish){ .id = "guest", .no_method = true, .resume = true, .expiry_s = 100 });
    ack = expect_connack(c, MQTT_SUCCESS);
    assert_int_equal(ack.properties.session_expiry_s, 50);
    client_drop(c);
    assert_int_equal(STAT(b, sessions), 1);
    bench_advance(b, 51000);
    assert_int_equal(STAT(b, sessions), 0);
}

static void a_goodbye_may_change_when_the_session_ends(void **state)
{ /* MQTT5 3.14.2.2.2 */
    struct bench *b = *state;
    struct conn_io *c = resuming(b, "c", ALL, false);

    client_send(c, SPAN("\xe0\x07\x00\x05\x11\x00\x00\x00\x00"));
    expect_closed(c);
    assert_int_equal(STAT(b, sessions), 0);
}

static void a_goodbye_may_not_prolong_a_session_that_had_no_life(void **state)
{ /* MQTT5 3.14.2.2.2 */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    client_send(c, SPAN("\xe0\x07\x00\x05\x11\x00\x00\x00\x05"));
    (void)expect_disconnect(c, MQTT_PROTOCOL_ERROR);
}

static void pending_messages_are_checked_against_the_new_token(void **state)
{ /* MT-73, MT-74, MT-78 */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c = resuming(b, "c", ALL, false);
    struct mqtt_publish p;

    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    client_publish(pub, "a/1", "unacknowledged", 1, 1);
    (void)expect_publish(c, "a/1", "unacknowledged", 1);
    client_publish(pub, "a/2", "sent, not acknowledged", 1, 2);
    p = expect_publish(c, "a/2", "sent, not acknowledged", 1);
    client_drop(c);
    client_publish(pub, "a/1", "queued", 1, 3);
    client_publish(pub, "a/2", "queued too", 1, 4);

    c = resuming(b, "c", "[[\"a/2\",[\"sub\"]]]", true);
    assert_int_equal(STAT(b, subscriptions_lost), 1); /* a/# */
    assert_int_equal(expect_publish(c, "a/2", "sent, not acknowledged", 1).packet_id, p.packet_id);
    (void)expect_publish(c, "a/2", "queued too", 1);
    expect_nothing(c);
    assert_int_equal(STAT(b, dropped_not_authorized), 2);
}

/* ---- QoS 1 and 2 ---- */

static void each_qos_is_the_lower_of_two(void **state)
{ /* MQTT5 [MQTT-3.8.4-8] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL);

    for (uint8_t granted = 0; granted <= 2; granted++) {
        struct conn_io *c = client_connected(b, "c", ALL);

        client_subscribe(c, "a/b", granted, granted);
        for (uint8_t qos = 0; qos <= 2; qos++) {
            client_publish(pub, "a/b", "x", qos, qos == 0 ? 0 : (uint16_t)(10 + granted * 3 + qos));
            (void)expect_publish(c, "a/b", "x", qos < granted ? qos : granted);
        }
        client_bye(c);
        pub->in_at = pub->in.len;
    }
}

static void qos_1_is_sent_again_after_a_reconnect_until_acknowledged(void **state)
{ /* MQTT5 [MQTT-4.4.0-1], 4.3.2 */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c = resuming(b, "c", ALL, false);
    struct mqtt_publish first, again;

    client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
    client_publish(pub, "a/b", "x", 1, 1);
    first = expect_publish(c, "a/b", "x", 1);
    assert_false(first.dup);
    client_drop(c);
    c = resuming(b, "c", ALL, true);
    again = expect_publish(c, "a/b", "x", 1);
    assert_true(again.dup);
    assert_int_equal(again.packet_id, first.packet_id);
    client_ack(c, MQTT_PUBACK, again.packet_id, MQTT_SUCCESS);
    client_drop(c);
    c = resuming(b, "c", ALL, true);
    expect_nothing(c);
    assert_int_equal(STAT(b, queued_messages), 0);
}

static void qos_2_comes_exactly_once_whatever_is_resent(void **state)
{ /* MQTT5 4.3.3, [MQTT-4.3.3-10] */
    struct bench *b = *state;
    struct conn_io *pub = resuming(b, "p", ALL, false), *c = resuming(b, "c", ALL, false);
    struct publish_wish wish = { .topic = "a/b", .payload = "x", .qos = 2, .packet_id = 7 };
    struct mqtt_publish p;

    client_subscribe(c, "a/b", 2, MQTT_GRANTED_QOS_2);
    client_publish_with(pub, &wish);
    (void)expect_ack(pub, MQTT_PUBREC, 7, MQTT_SUCCESS);
    client_drop(pub); /* the PUBREC was lost */
    pub = resuming(b, "p", ALL, true);
    wish.dup = true;
    client_publish_with(pub, &wish);
    (void)expect_ack(pub, MQTT_PUBREC, 7, MQTT_SUCCESS);
    client_ack(pub, MQTT_PUBREL, 7, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBCOMP, 7, MQTT_SUCCESS);
    client_ack(pub, MQTT_PUBREL, 7, MQTT_SUCCESS); /* the PUBCOMP was lost */
    (void)expect_ack(pub, MQTT_PUBCOMP, 7, MQTT_PACKET_ID_NOT_FOUND);

    p = expect_publish(c, "a/b", "x", 2);
    client_drop(c);
    c = resuming(b, "c", ALL, true);
    assert_true(expect_publish(c, "a/b", "x", 2).dup);
    client_ack(c, MQTT_PUBREC, p.packet_id, MQTT_SUCCESS);
    (void)expect_ack(c, MQTT_PUBREL, p.packet_id, MQTT_SUCCESS);
    client_drop(c); /* the PUBREL was lost */
    c = resuming(b, "c", ALL, true);
    (void)expect_ack(c, MQTT_PUBREL, p.packet_id, MQTT_SUCCESS);
    client_ack(c, MQTT_PUBCOMP, p.packet_id, MQTT_SUCCESS);
    client_drop(c);
    c = resuming(b, "c", ALL, true);
    expect_nothing(c);
    assert_int_equal(STAT(b, messages_in), 1);
    assert_int_equal(STAT(b, queued_messages), 0);
}

static void a_receiver_may_refuse_a_qos_2_message(void **state)
{ /* MQTT5 [MQTT-4.3.3-4] */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);
    struct mqtt_publish p;

    client_subscribe(c, "a/b", 2, MQTT_GRANTED_QOS_2);
    client_publish(c, "a/b", "x", 1, 1);
    (void)expect_publish(c, "a/b", "x", 1);
    (void)expect_ack(c, MQTT_PUBACK, 1, MQTT_SUCCESS);
    client_publish(c, "a/b", "y", 2, 2);
    p = expect_publish(c, "a/b", "y", 2);
    (void)expect_ack(c, MQTT_PUBREC, 2, MQTT_SUCCESS);
    client_ack(c, MQTT_PUBREC, p.packet_id, MQTT_QUOTA_EXCEEDED);
    expect_nothing(c);
    assert_int_equal(STAT(b, queued_messages), 1);
}

static void acknowledgements_of_nothing_hurt_nobody(void **state)
{ /* MQTT5 4.3, 3.5.2.1, 3.6.2.1 */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);

    client_ack(c, MQTT_PUBACK, 9, MQTT_SUCCESS);
    client_ack(c, MQTT_PUBCOMP, 9, MQTT_SUCCESS);
    expect_nothing(c);
    client_ack(c, MQTT_PUBREC, 9, MQTT_SUCCESS);
    (void)expect_ack(c, MQTT_PUBREL, 9, MQTT_PACKET_ID_NOT_FOUND);
    client_ack(c, MQTT_PUBREL, 9, MQTT_SUCCESS);
    (void)expect_ack(c, MQTT_PUBCOMP, 9, MQTT_PACKET_ID_NOT_FOUND);
}

static void an_acknowledgement_of_the_wrong_kind_is_a_protocol_error(void **state)
{ /* MQTT5 4.3 */
    struct bench *b = *state;
    struct conn_io *c = client_connected(b, "c", ALL);
    struct mqtt_publish p;

    client_subscribe(c, "a/b", 2, MQTT_GRANTED_QOS_2);
    client_publish(c, "a/b", "y", 2, 2);
    p = expect_publish(c, "a/b", "y", 2);
    (void)expect_ack(c, MQTT_PUBREC, 2, MQTT_SUCCESS);
    client_ack(c, MQTT_PUBACK, p.packet_id, MQTT_SUCCESS);
    (void)expect_disconnect(c, MQTT_PROTOCOL_ERROR);
}

/* ---- windows and limits ---- */

static void no_more_is_in_flight_than_the_client_takes(void **state)
{ /* MQTT5 [MQTT-3.3.4-9] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL);
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = ALL, .receive_maximum = 2 });
    struct mqtt_publish p, q;

    client_subscribe(c, "a/b", 2, MQTT_GRANTED_QOS_2);
    client_publish(pub, "a/b", "1", 1, 1);
    client_publish(pub, "a/b", "2", 2, 2);
    client_publish(pub, "a/b", "3", 1, 3);
    client_publish(pub, "a/b", "zero", 0, 0); /* not counted */
    p = expect_publish(c, "a/b", "1", 1);
    q = expect_publish(c, "a/b", "2", 2);
    (void)expect_publish(c, "a/b", "zero", 0);
    expect_nothing(c);
    client_ack(c, MQTT_PUBREC, q.packet_id, MQTT_SUCCESS);
    (void)expect_ack(c, MQTT_PUBREL, q.packet_id, MQTT_SUCCESS);
    expect_nothing(c); /* until PUBCOMP it counts */
    client_ack(c, MQTT_PUBACK, p.packet_id, MQTT_SUCCESS);
    (void)expect_publish(c, "a/b", "3", 1);
}

static void a_client_that_exceeds_our_receive_maximum_is_thrown_out(void **state)
{ /* MQTT5 [MQTT-3.3.4-7] */
    struct bench *b = *state;
    struct conn_io *c;

    b->settings.receive_maximum = 3;
    c = client_connected(b, "c", ALL);
    for (uint16_t id = 1; id <= 3; id++) {
        client_publish(c, "a/b", "x", 2, id);
        (void)expect_ack(c, MQTT_PUBREC, id, MQTT_SUCCESS);
    }
    client_publish(c, "a/b", "x", 2, 3); /* again is not more */
    (void)expect_ack(c, MQTT_PUBREC, 3, MQTT_SUCCESS);
    client_publish(c, "a/b", "x", 2, 4);
    expect_thrown_out(c, MQTT_RECEIVE_MAXIMUM_EXCEEDED, "MQTT5 [MQTT-3.3.4-7]");
}

static void packet_ids_are_not_used_twice(void **state)
{ /* MQTT5 [MQTT-2.2.1-4] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c;
    uint16_t held;

    b->settings.max_inflight = 4;
    c = client_connected(b, "c", ALL);
    client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
    client_publish(pub, "a/b", "held", 1, 1);
    held = expect_publish(c, "a/b", "held", 1).packet_id;
    for (unsigned i = 0; i < 70000; i++) { /* once round all ids */
        uint16_t id;

        client_publish(pub, "a/b", "x", 1, 1);
        id = expect_publish(c, "a/b", "x", 1).packet_id;
        assert_int_not_equal(id, held);
        assert_int_not_equal(id, 0);
        client_ack(c, MQTT_PUBACK, id, MQTT_SUCCESS);
        pub->in_at = c->in_at = 0;
        buf_reset(&pub->in);
        buf_reset(&c->in);
    }
}

static void a_full_queue_drops_the_newest_and_counts(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c;

    b->settings.max_queue_messages = 3;
    c = resuming(b, "c", ALL, false);
    client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
    client_drop(c);
    client_publish(pub, "a/b", "1", 1, 1);
    client_publish(pub, "a/b", "2", 1, 2);
    client_publish(pub, "a/b", "3", 1, 3);
    client_publish(pub, "a/b", "4", 1, 4);
    client_publish(pub, "a/b", "zero", 0, 0); /* not kept for who is absent */
    assert_int_equal(STAT(b, dropped_queue_full), 1);
    assert_int_equal(STAT(b, queued_messages), 3);
    c = resuming(b, "c", ALL, true);
    (void)expect_publish(c, "a/b", "1", 1);
    (void)expect_publish(c, "a/b", "2", 1);
    (void)expect_publish(c, "a/b", "3", 1);
    expect_nothing(c);
}

static void a_queue_is_bounded_in_bytes_too(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c;

    b->settings.max_queue_bytes = 600;
    c = resuming(b, "c", ALL, false);
    client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
    client_drop(c);
    for (uint16_t i = 1; i <= 10; i++)
        client_publish(pub, "a/b", "0123456789012345678901234567890123456789", 1, i);
    assert_true(STAT(b, dropped_queue_full) >= 6);
}

static void who_does_not_read_loses_qos_0_and_keeps_qos_1(void **state)
{ /* design 3.1: a slow peer costs only itself */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c;
    char payload[1001];

    memset(payload, 'x', 1000);
    payload[1000] = '\0';
    b->settings.max_output_bytes = 5000;
    c = client_connected(b, "c", ALL);
    client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
    c->stuck = true;
    for (uint16_t i = 1; i <= 20; i++) {
        client_publish(pub, "a/b", payload, 0, 0);
        client_publish(pub, "a/b", "one", 1, i);
    }
    assert_true(c->pending < 5000 + 1100);
    assert_true(STAT(b, dropped_output_full) >= 14);
    assert_int_equal(STAT(b, dropped_queue_full), 0);
    client_unstick(c);
    unsigned ones = 0;
    struct mqtt_frame frame;
    while (client_next(c, &frame))
        ones += frame.flags >> 1 & 1;
    assert_int_equal(ones, 20);
}

static void messages_too_large_for_the_client_are_dropped(void **state)
{ /* MQTT5 [MQTT-3.1.2-24], [MQTT-3.1.2-25] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL);
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = ALL, .max_packet_bytes = 30 });
    struct mqtt_ack ack;

    client_subscribe(c, "a/b", 2, MQTT_GRANTED_QOS_2);
    for (uint8_t qos = 0; qos <= 2; qos++) {
        client_publish(pub, "a/b", "this does not fit into thirty bytes", qos, qos);
        expect_nothing(c);
    }
    client_publish(pub, "a/b", "this does", 1, 9);
    (void)expect_publish(c, "a/b", "this does", 1);
    assert_int_equal(STAT(b, dropped_too_large), 3);
    assert_int_equal(STAT(b, queued_messages), 1);
    client_publish(c, "not/mine", "x", 1, 1); /* the reason string does not fit: left out */
    ack = expect_ack(c, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED);
    assert_false(mqtt_has(&ack.properties, PROP_REASON_STRING));
}

static void an_expired_message_is_not_delivered_and_a_live_one_says_what_is_left(void **state)
{ /* MQTT5 [MQTT-3.3.2-5], [MQTT-3.3.2-6] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "p", ALL), *c = resuming(b, "c", ALL, false);
    struct mqtt_publish p;

    client_subscribe(c, "a/b", 1, MQTT_GRANTED_QOS_1);
    client_drop(c);
    client_publish_with(pub, &(struct publish_wish){
                                 .topic = "a/b", .payload = "short", .qos = 1, .packet_id = 1, .expiry_s = 5 });
    client_publish_with(pub, &(struct publish_wish){
                                 .topic = "a/b", .payload = "long", .qos = 1, .packet_id = 2, .expiry_s = 50 });
    bench_advance(b, 10000);
    c = resuming(b, "c", ALL, true);
    p = expect_publish(c, "a/b", "long", 1);
    assert_int_equal(p.properties.message_expiry_s, 40);
    expect_nothing(c);
    assert_int_equal(STAT(b, dropped_expired), 1);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(a_newer_connection_takes_over),
        T(a_stranger_can_not_take_over),
        T(a_stranger_does_not_get_the_messages_of_an_absent_client),
        T(who_has_a_token_gets_the_identifier_of_who_has_none),
        T(a_session_is_continued_until_it_expires),
        T(a_clean_start_forgets),
        T(a_session_that_goes_on_still_wants_a_token_and_a_proof),
        T(a_goodbye_ends_the_session_and_leaves_what_is_retained),
        T(continuation_can_be_switched_off),
        T(without_a_token_a_session_lives_as_long_as_guests_may),
        T(a_goodbye_may_change_when_the_session_ends),
        T(a_goodbye_may_not_prolong_a_session_that_had_no_life),
        T(pending_messages_are_checked_against_the_new_token),
        T(each_qos_is_the_lower_of_two),
        T(qos_1_is_sent_again_after_a_reconnect_until_acknowledged),
        T(qos_2_comes_exactly_once_whatever_is_resent),
        T(a_receiver_may_refuse_a_qos_2_message),
        T(acknowledgements_of_nothing_hurt_nobody),
        T(an_acknowledgement_of_the_wrong_kind_is_a_protocol_error),
        T(no_more_is_in_flight_than_the_client_takes),
        T(a_client_that_exceeds_our_receive_maximum_is_thrown_out),
        T(packet_ids_are_not_used_twice),
        T(a_full_queue_drops_the_newest_and_counts),
        T(a_queue_is_bounded_in_bytes_too),
        T(who_does_not_read_loses_qos_0_and_keeps_qos_1),
        T(messages_too_large_for_the_client_are_dropped),
        T(an_expired_message_is_not_delivered_and_a_live_one_says_what_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
