/* Messages on their way: expiry, flow control, order, Wills and ends of sessions, over connections that come and go. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

static int set_up_3(void **state)
{
    *state = bench_new(3);
    return 0;
}

static struct conn_io *lasting(struct bench *b, const char *id, uint16_t receive_maximum)
{
    return client_connected_with(
        b, &(struct connect_wish){
               .id = id, .scope = ALL, .resume = true, .expiry_s = 1000, .receive_maximum = receive_maximum });
}

/* ---- expiry ---- */

static void publish_for(struct conn_io *c, const char *topic, const char *payload, uint8_t qos, uint16_t id,
                        uint32_t expiry_s, bool retain)
{
    client_publish_with(c, &(struct publish_wish){ .topic = topic,
                                                   .payload = payload,
                                                   .qos = qos,
                                                   .packet_id = id,
                                                   .expiry_s = expiry_s,
                                                   .retain = retain });
    if (qos == 1)
        (void)expect_ack(c, MQTT_PUBACK, id, MQTT_SUCCESS);
}

static void a_retained_message_says_how_long_it_still_lives(void **state)
{ /* MQTT5 [MQTT-3.3.2-5], [MQTT-3.3.2-6]; on whichever worker it lives */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c = client_connected(b, "c", ALL);
    struct mqtt_publish p;

    publish_for(pub, "a/b", "x", 0, 0, 60, true);
    bench_advance(b, 20000);
    client_subscribe(c, "a/#", 0, 0);
    p = expect_publish(c, "a/b", "x", 0);
    assert_true(mqtt_has(&p.properties, PROP_MESSAGE_EXPIRY));
    assert_int_equal(p.properties.message_expiry_s, 40);
    bench_advance(b, 41000);
    client_subscribe(c, "a/#", 0, 0);
    expect_nothing(c);
    assert_int_equal(STAT(b, retained_messages), 0);
}

static void what_waits_longer_than_it_lives_is_dropped_and_makes_room(void **state)
{ /* MQTT5 [MQTT-3.3.2-5] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c = lasting(b, "c", 1);
    struct mqtt_publish first, p;

    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    publish_for(pub, "a/b", "in flight", 1, 1, 5, false);
    publish_for(pub, "a/b", "short", 1, 1, 5, false);
    publish_for(pub, "a/b", "long", 1, 1, 100, false);
    publish_for(pub, "a/b", "for ever", 1, 1, 0, false);
    first = expect_publish(c, "a/b", "in flight", 1);
    bench_advance(b, 10000);
    client_ack(c, MQTT_PUBACK, first.packet_id, MQTT_SUCCESS);
    p = expect_publish(c, "a/b", "long", 1);
    assert_int_equal(p.properties.message_expiry_s, 90);
    client_ack(c, MQTT_PUBACK, p.packet_id, MQTT_SUCCESS);
    p = expect_publish(c, "a/b", "for ever", 1);
    assert_false(mqtt_has(&p.properties, PROP_MESSAGE_EXPIRY));
    assert_int_equal(STAT(b, dropped_expired), 1);
}

static void the_expiry_of_a_will_counts_from_its_publication(void **state)
{ /* MQTT5 3.1.3.2.4, [MQTT-3.3.2-6] */
    struct bench *b = *state;
    struct conn_io *sub = lasting(b, "sub", 0);
    struct mqtt_publish p;

    client_subscribe(sub, "a/#", 1, MQTT_GRANTED_QOS_1);
    client_drop(client_connected_with(b, &(struct connect_wish){ .id = "c",
                                                                 .scope = ALL,
                                                                 .expiry_s = 100,
                                                                 .will_topic = "a/w",
                                                                 .will_qos = 1,
                                                                 .will_delay_s = 10,
                                                                 .will_expiry_s = 30 }));
    client_drop(sub);
    bench_advance(b, 20000); /* published after 10 */
    sub = lasting(b, "sub", 0);
    p = expect_publish(sub, "a/w", "gone", 1);
    assert_in_range(p.properties.message_expiry_s, 20, 21);
    client_drop(sub);
}

static void an_expiry_of_0_is_for_who_takes_it_at_once(void **state)
{ /* MQTT5 3.3.2.3.3, [MQTT-3.3.2-5], [MQTT-3.3.2-6] */
    static const struct span expires_at_once = { (const uint8_t *)"\x02\x00\x00\x00\x00", 5 };
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c = lasting(b, "c", 1),
                   *away = lasting(b, "away", 0);
    struct mqtt_publish p;

    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    client_subscribe(away, "a/#", 1, MQTT_GRANTED_QOS_1);
    client_drop(away);
    for (uint16_t id = 1; id <= 2; id++) {
        client_publish_with(pub, &(struct publish_wish){ .topic = "a/b",
                                                         .payload = id == 1 ? "1" : "2",
                                                         .qos = 1,
                                                         .packet_id = id,
                                                         .retain = true,
                                                         .properties = expires_at_once });
        (void)expect_ack(pub, MQTT_PUBACK, id, MQTT_SUCCESS);
    }
    p = expect_publish(c, "a/b", "1", 1);
    assert_true(mqtt_has(&p.properties, PROP_MESSAGE_EXPIRY));
    assert_int_equal(p.properties.message_expiry_s, 0);
    bench_advance(b, 100);
    client_ack(c, MQTT_PUBACK, p.packet_id, MQTT_SUCCESS);
    expect_nothing(c); /* the second had to wait */
    expect_nothing(lasting(b, "away", 0));
    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    expect_nothing(c); /* nor is it kept */
}

/* ---- flow control ---- */

static void qos_0_passes_a_full_window_and_every_end_frees_a_place(void **state)
{ /* MQTT5 [MQTT-3.3.4-9], [MQTT-4.9.0-1], [MQTT-4.9.0-2] */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c = lasting(b, "c", 2);
    struct mqtt_publish one, two, p;

    client_subscribe(c, "a/#", 2, MQTT_GRANTED_QOS_2);
    for (uint16_t id = 1; id <= 5; id++) {
        char payload[4];

        snprintf(payload, sizeof payload, "%u", id);
        client_publish(pub, "a/b", payload, id == 1 ? 1 : 2, id);
    }
    one = expect_publish(c, "a/b", "1", 1);
    two = expect_publish(c, "a/b", "2", 2);
    expect_nothing(c);
    client_publish(pub, "a/c", "free", 0, 0);
    (void)expect_publish(c, "a/c", "free", 0);
    client_ack(c, MQTT_PUBREC, two.packet_id, MQTT_SUCCESS); /* half way is no end */
    (void)expect_ack(c, MQTT_PUBREL, two.packet_id, MQTT_SUCCESS);
    expect_nothing(c);
    client_ack(c, MQTT_PUBCOMP, two.packet_id, MQTT_SUCCESS);
    p = expect_publish(c, "a/b", "3", 2);
    client_ack(c, MQTT_PUBREC, p.packet_id, MQTT_QUOTA_EXCEEDED); /* nor wanted: an end */
    (void)expect_publish(c, "a/b", "4", 2);
    client_ack(c, MQTT_PUBACK, one.packet_id, MQTT_UNSPECIFIED_ERROR);
    (void)expect_publish(c, "a/b", "5", 2);
    expect_nothing(c);
}

static void each_connection_has_a_window_of_its_own_size(void **state)
{ /* MQTT5 4.9: not preserved across Network Connections */
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c = lasting(b, "c", 1);

    client_subscribe(c, "a/#", 1, MQTT_GRANTED_QOS_1);
    for (uint16_t id = 1; id <= 4; id++)
        client_publish(pub, "a/b", "x", 1, id);
    (void)expect_publish(c, "a/b", "x", 1);
    expect_nothing(c);
    client_drop(c);
    c = lasting(b, "c", 3);
    assert_true(expect_publish(c, "a/b", "x", 1).dup);
    for (int i = 0; i < 2; i++)
        assert_false(expect_publish(c, "a/b", "x", 1).dup);
    expect_nothing(c);
}

static void our_receive_maximum_counts_what_this_connection_sent(void **state)
{ /* MQTT5 4.9: the quota begins anew with the connection, [MQTT-3.3.4-7] */
    struct bench *b = *state;
    struct conn_io *c;

    b->settings.receive_maximum = 2;
    c = lasting(b, "c", 0);
    for (uint16_t id = 1; id <= 2; id++) {
        client_publish(c, "a/b", "x", 2, id);
        (void)expect_ack(c, MQTT_PUBREC, id, MQTT_SUCCESS);
    }
    client_drop(c);
    c = lasting(b, "c", 0);
    for (uint16_t id = 3; id <= 4; id++) { /* PUBREL of the others may come later: they are no PUBLISH */
        client_publish(c, "a/b", "x", 2, id);
        (void)expect_ack(c, MQTT_PUBREC, id, MQTT_SUCCESS);
    }
    for (uint16_t id = 1; id <= 4; id++) {
        client_ack(c, MQTT_PUBREL, id, MQTT_SUCCESS);
        (void)expect_ack(c, MQTT_PUBCOMP, id, MQTT_SUCCESS);
    }
    client_drop(c);
    c = lasting(b, "c", 0);
    for (uint16_t id = 1; id <= 2; id++) {
        client_publish(c, "a/b", "x", 2, id);
        (void)expect_ack(c, MQTT_PUBREC, id, MQTT_SUCCESS);
    }
    client_publish(c, "a/b", "x", 2, 3);
    (void)expect_disconnect(c, MQTT_RECEIVE_MAXIMUM_EXCEEDED);
}

/* ---- CONNACK ---- */

static void a_client_that_has_no_room_for_connack_is_refused(void **state)
{ /* MQTT5 [MQTT-3.1.2-24], [MQTT-3.2.0-1]: no session without a word, and no other packet first */
    struct bench *b = *state;
    struct conn_io *c = client_new(b), *sub = client_connected(b, "sub", ALL);

    client_subscribe(sub, "a/#", 0, 0);
    client_connect(c,
                   &(struct connect_wish){
                       .id = "c", .scope = ALL, .expiry_s = 100, .max_packet_bytes = 12, .will_topic = "a/w" });
    (void)expect_connack(c, MQTT_PACKET_TOO_LARGE);
    expect_closed(c);
    expect_nothing(sub); /* it was never in, so it did not go */
    assert_int_equal(STAT(b, sessions), 1);
}

static void who_wants_no_reasons_gets_them_in_no_acknowledgement(void **state)
{ /* MQTT5 [MQTT-3.1.2-29] */
    struct bench *b = *state;
    struct conn_io *c =
        client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = ALL, .no_problem_info = true });
    struct mqtt_publish p;

    client_publish(c, "elsewhere", "x", 1, 1);
    assert_int_equal(expect_ack(c, MQTT_PUBACK, 1, MQTT_NOT_AUTHORIZED).properties.has, 0);
    client_publish(c, "elsewhere", "x", 2, 2);
    assert_int_equal(expect_ack(c, MQTT_PUBREC, 2, MQTT_NOT_AUTHORIZED).properties.has, 0);
    client_ack(c, MQTT_PUBREL, 9, MQTT_SUCCESS);
    assert_int_equal(expect_ack(c, MQTT_PUBCOMP, 9, MQTT_PACKET_ID_NOT_FOUND).properties.has, 0);
    client_subscribe_with(c, wish_filter("elsewhere", 0), 0, 3);
    assert_int_equal(expect_suback(c, 3, MQTT_NOT_AUTHORIZED).properties.has, 0);
    client_subscribe(c, "a/b", 0, 0);
    client_publish_with(c, &(struct publish_wish){
                               .topic = "a/b", .payload = "x", .properties = SPAN("\x26\x00\x01k\x00\x01v") });
    p = expect_publish(c, "a/b", "x", 0); /* those of a PUBLISH are the publisher's */
    assert_true(mqtt_has(&p.properties, PROP_USER));
}

/* ---- order ---- */

/* One subscriber that drops its connection, answers late and reads everything; two publishers. Of each publisher, topic and
 * QoS what comes for the first time comes in the order it was published. */
struct stream {
    unsigned published, last;
};

struct course {
    struct bench *b;
    struct conn_io *pub[2], *sub;
    struct stream streams[2][2][3]; /* by publisher, topic, QoS */
    uint16_t unanswered[64];        /* packet identifiers */
    uint8_t qos[64];
    unsigned unanswered_count;
};

static void read_all(struct course *t)
{
    struct mqtt_frame frame;

    while (client_next(t->sub, &frame)) {
        struct mqtt_publish p;
        unsigned who, topic, number;

        if (frame.type != MQTT_PUBLISH)
            continue; /* PUBREL: see answer_one() */
        assert_int_equal(mqtt_read_publish(&frame, MQTT_5, &p, NULL), ST_OK);
        who = (unsigned)p.payload.p[0] - '0';
        topic = (unsigned)p.topic.s.p[2] - '0';
        number = (unsigned)strtoul((const char *)p.payload.p + 2, NULL, 16);
        if (!p.dup) {
            assert_true(number > t->streams[who][topic][p.qos].last);
            t->streams[who][topic][p.qos].last = number;
        }
        if (p.qos > 0) {
            assert_true(t->unanswered_count < 64);
            t->qos[t->unanswered_count] = p.qos;
            t->unanswered[t->unanswered_count++] = p.packet_id;
        }
    }
}

static void answer_one(struct course *t)
{
    uint16_t id;

    if (t->unanswered_count == 0)
        return;
    id = t->unanswered[0];
    if (t->qos[0] == 1) {
        client_ack(t->sub, MQTT_PUBACK, id, MQTT_SUCCESS);
    } else {
        client_ack(t->sub, MQTT_PUBREC, id, MQTT_SUCCESS);
        client_ack(t->sub, MQTT_PUBCOMP, id, MQTT_SUCCESS);
    }
    t->unanswered_count--;
    memmove(t->unanswered, t->unanswered + 1, sizeof t->unanswered - sizeof t->unanswered[0]);
    memmove(t->qos, t->qos + 1, sizeof t->qos - 1);
}

static void publish_one(struct course *t)
{
    unsigned who = pick(t->b, 2), topic = pick(t->b, 2), qos = pick(t->b, 3);
    char name[8], payload[16];
    struct mqtt_frame frame;

    snprintf(name, sizeof name, "a/%u", topic);
    snprintf(payload, sizeof payload, "%u %x.", who, ++t->streams[who][topic][qos].published);
    client_publish(t->pub[who], name, payload, (uint8_t)qos, 1);
    if (qos == 2) {
        client_ack(t->pub[who], MQTT_PUBREL, 1, MQTT_SUCCESS);
    }
    while (client_next(t->pub[who], &frame))
        assert_int_not_equal(frame.type, MQTT_DISCONNECT);
}

static void play(struct bench *b, uint64_t seed)
{
    struct course t = { .b = b };

    b->seed = seed;
    t.pub[0] = client_connected(b, "p0", ALL);
    t.pub[1] = client_connected(b, "p1", ALL);
    t.sub = lasting(b, "sub", 5);
    client_subscribe(t.sub, "a/#", 2, MQTT_GRANTED_QOS_2);
    for (int i = 0; i < 400; i++) {
        uint32_t what = pick(b, 20);

        if (what < 10)
            publish_one(&t);
        else if (what < 19)
            answer_one(&t);
        else {
            client_drop(t.sub);
            t.unanswered_count = 0; /* it forgets what came and was not answered, and gets it again */
            t.sub = lasting(b, "sub", 5);
        }
        read_all(&t);
    }
    for (int i = 0; i < 500 && t.unanswered_count > 0; i++) {
        answer_one(&t);
        read_all(&t);
    }
    for (int who = 0; who < 2; who++)
        for (int topic = 0; topic < 2; topic++)
            for (int qos = 1; qos < 3; qos++)
                assert_int_equal(t.streams[who][topic][qos].last, t.streams[who][topic][qos].published);
    client_bye(t.sub);
    client_bye(t.pub[0]);
    client_bye(t.pub[1]);
}

static void messages_come_in_the_order_they_were_published_in(void **state)
{ /* MQTT5 [MQTT-4.6.0-1], [MQTT-4.6.0-5], [MQTT-4.6.0-6] */
    for (uint64_t seed = 1; seed <= 30; seed++)
        play(*state, seed);
}

/* ---- QoS 2 over several connections ---- */

static void a_publisher_may_lose_its_connection_at_every_step(void **state)
{ /* MQTT5 [MQTT-4.3.3-8] to [MQTT-4.3.3-12], [MQTT-4.4.0-1]: passed on once */
    struct bench *b = *state;
    struct conn_io *sub = client_connected(b, "sub", ALL);

    client_subscribe(sub, "a/#", 0, 0);
    for (int lost = 0; lost < 5; lost++) {
        struct conn_io *c = lasting(b, "c", 0);
        struct publish_wish wish = { .topic = "a/b", .payload = "once", .qos = 2, .packet_id = 7 };

        client_publish_with(c, &wish);
        (void)expect_publish(sub, "a/b", "once", 0);
        if (lost == 0 || lost == 1) { /* PUBREC did not arrive: PUBLISH again */
            client_drop(c);
            c = lasting(b, "c", 0);
            wish.dup = true;
            client_publish_with(c, &wish);
        }
        (void)expect_ack(c, MQTT_PUBREC, 7, MQTT_SUCCESS);
        if (lost == 1 || lost == 2) {
            client_drop(c);
            c = lasting(b, "c", 0);
        }
        client_ack(c, MQTT_PUBREL, 7, MQTT_SUCCESS);
        if (lost == 3) { /* PUBCOMP did not arrive: PUBREL again */
            client_drop(c);
            c = lasting(b, "c", 0);
            client_ack(c, MQTT_PUBREL, 7, MQTT_SUCCESS);
            (void)expect_ack(c, MQTT_PUBCOMP, 7, MQTT_PACKET_ID_NOT_FOUND);
        } else {
            (void)expect_ack(c, MQTT_PUBCOMP, 7, MQTT_SUCCESS);
        }
        expect_nothing(sub);
        client_drop(c);
    }
}

/* ---- Wills, takeover, ends ---- */

static void a_takeover_publishes_the_will_unless_the_client_goes_on_in_time(void **state)
{ /* MQTT5 3.1.3.2.2, [MQTT-3.1.3-9], [MQTT-3.1.4-3], [MQTT-3.1.2-8] */
    static const struct {
        uint32_t delay_s, expiry_s;
        bool resume, published;
    } rows[] = {
        { 0, 100, true, true },   { 0, 100, false, true },  { 0, 0, true, true },
        { 10, 100, true, false }, { 10, 100, false, true }, { 10, 0, true, true },
    };
    struct bench *b = *state;
    struct conn_io *sub = client_connected(b, "sub", ALL);

    client_subscribe(sub, "a/#", 0, 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct conn_io *old, *new;

        old = client_connected_with(b, &(struct connect_wish){ .id = "c",
                                                               .scope = ALL,
                                                               .expiry_s = rows[i].expiry_s,
                                                               .will_topic = "a/w",
                                                               .will_delay_s = rows[i].delay_s });
        new = client_connected_with(
            b, &(struct connect_wish){ .id = "c", .scope = ALL, .resume = rows[i].resume });
        (void)expect_disconnect(old, MQTT_SESSION_TAKEN_OVER);
        if (rows[i].published)
            (void)expect_publish(sub, "a/w", "gone", 0);
        bench_advance(b, 20000);
        expect_nothing(sub); /* not later either, and not twice */
        client_bye(new);
    }
}

static void bye(struct conn_io *c, uint8_t reason, uint32_t expiry_s)
{
    struct mqtt_disconnect d = { .reason = reason };
    struct buf packet;

    d.properties.session_expiry_s = expiry_s;
    mqtt_set(&d.properties, PROP_SESSION_EXPIRY);
    buf_init(&packet, 64);
    mqtt_write_disconnect(&packet, MQTT_5, &d);
    client_send(c, buf_span(&packet));
    buf_done(&packet);
}

static void the_last_word_on_the_end_of_a_session_is_in_disconnect(void **state)
{ /* MQTT5 3.14.2.2.2; MT-77: never beyond what the administrator allows */
    static const struct {
        uint32_t said_s, lives_s;
    } rows[] = { { 50, 50 }, { 5, 5 }, { 400, 300 }, { UINT32_MAX, 300 } };
    struct bench *b = *state;

    b->settings.max_session_expiry_s = 300;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bye(client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = ALL, .expiry_s = 100 }), 0,
            rows[i].said_s);
        bench_advance(b, (int64_t)rows[i].lives_s * 1000 - 500);
        assert_int_equal(STAT(b, sessions), 1);
        bench_advance(b, 1000);
        assert_int_equal(STAT(b, sessions), 0);
    }
    assert_int_equal(STAT(b, sessions_expired), COUNT_OF(rows));
}

static void a_will_comes_at_the_end_that_disconnect_named(void **state)
{ /* MQTT5 [MQTT-3.1.3-9], 3.14.2.1: 0x04 */
    struct bench *b = *state;
    struct conn_io *sub = client_connected(b, "sub", ALL), *c;

    client_subscribe(sub, "a/#", 0, 0);
    c = client_connected_with(
        b, &(struct connect_wish){
               .id = "c", .scope = ALL, .expiry_s = 100, .will_topic = "a/w", .will_delay_s = 50 });
    bye(c, MQTT_DISCONNECT_WITH_WILL, 20);
    bench_advance(b, 19000);
    expect_nothing(sub);
    bench_advance(b, 1500);
    (void)expect_publish(sub, "a/w", "gone", 0);
    bench_advance(b, 60000);
    expect_nothing(sub);
}

/* ---- one client's work ---- */

/* All filters of eight levels that match a/a/a/a/a/a/a/a, but those that begin with +. */
static void subscribe_to_all_shapes(struct conn_io *c)
{
    for (unsigned shape = 0; shape < 128; shape++) {
        char filter[16] = "a/a/a/a/a/a/a/a";

        for (unsigned level = 0; level < 7; level++)
            if ((shape >> level & 1) != 0)
                filter[2 + 2 * level] = '+';
        client_subscribe(c, filter, 0, 0);
    }
}

static void work_for_one_client_waits_while_others_have_their_turn(void **state)
{
    enum { MESSAGES = 1000 };
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *sub = client_connected(b, "sub", ALL);
    struct conn_io *other = client_connected(b, "other", ALL);
    struct mqtt_frame frame;
    unsigned seen = 0;

    subscribe_to_all_shapes(sub);
    b->manual = true;
    for (unsigned i = 0; i < MESSAGES; i++)
        client_publish(pub, "a/a/a/a/a/a/a/a", "x", 0, 0);
    client_ping(other);
    (void)bench_turn(b, 0);
    assert_true(client_next(other, &frame));
    assert_int_equal(frame.type, MQTT_PINGRESP);
    while (client_next(sub, &frame))
        seen++;
    assert_true(seen > 0 && seen < MESSAGES);
    bench_run(b);
    while (client_next(sub, &frame))
        seen++;
    assert_int_equal(seen, MESSAGES);
    assert_int_equal(STAT(b, dropped_output_full), 0);
}

static void who_waits_for_its_turn_may_leave(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *sub = client_connected(b, "sub", ALL);

    subscribe_to_all_shapes(sub);
    b->manual = true;
    for (unsigned i = 0; i < 1000; i++)
        client_publish(pub, "a/a/a/a/a/a/a/a", "x", 0, 0);
    (void)bench_turn(b, 0);
    client_drop(pub);
    bench_run(b);
    assert_int_equal(STAT(b, connections), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(a_retained_message_says_how_long_it_still_lives),
        cmocka_unit_test_setup_teardown(a_retained_message_says_how_long_it_still_lives, set_up_3,
                                        bench_tear_down),
        T(what_waits_longer_than_it_lives_is_dropped_and_makes_room),
        T(the_expiry_of_a_will_counts_from_its_publication),
        T(an_expiry_of_0_is_for_who_takes_it_at_once),
        cmocka_unit_test_setup_teardown(an_expiry_of_0_is_for_who_takes_it_at_once, set_up_3, bench_tear_down),
        T(qos_0_passes_a_full_window_and_every_end_frees_a_place),
        T(each_connection_has_a_window_of_its_own_size),
        T(our_receive_maximum_counts_what_this_connection_sent),
        T(a_client_that_has_no_room_for_connack_is_refused),
        T(who_wants_no_reasons_gets_them_in_no_acknowledgement),
        T(messages_come_in_the_order_they_were_published_in),
        cmocka_unit_test_setup_teardown(messages_come_in_the_order_they_were_published_in, set_up_3,
                                        bench_tear_down),
        T(a_publisher_may_lose_its_connection_at_every_step),
        T(a_takeover_publishes_the_will_unless_the_client_goes_on_in_time),
        T(the_last_word_on_the_end_of_a_session_is_in_disconnect),
        T(a_will_comes_at_the_end_that_disconnect_named),
        T(work_for_one_client_waits_while_others_have_their_turn),
        T(who_waits_for_its_turn_may_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
