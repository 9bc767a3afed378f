/* Shared subscriptions (MQTT5 4.8.2) on one to three shards, with the group at home on each of them in turn: who gets a
 * message, who does not, and what becomes of it when that one goes. The random lives are in share_model_test.c. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#define ALL     "[[\"a/#\",[\"pub\",\"sub\"]]]"
#define MEMBERS 3

/* One broker, and the group that a test is about. */
struct place {
    struct bench *b;
    char group[32]; /* $share/N/a/# */
    struct conn_io *pub;
    unsigned next_id; /* for client identifiers */
    uint16_t packet_id;
};

static unsigned home_of(const struct bench *b, const char *text)
{
    return shard_home(&b->settings, b->count, span_of_str(text));
}

static void place_open(struct place *p, unsigned shards, unsigned home)
{
    *p = (struct place){ .b = bench_new(shards) };
    for (int i = 0;; i++) {
        snprintf(p->group, sizeof p->group, "$share/g%d/a/#", i);
        if (home_of(p->b, p->group) == home)
            break;
    }
    p->pub = client_connected(p->b, "publisher", ALL);
}

/* All a test needs to be run on every number of shards and with every home. */
static void everywhere(void (*story)(struct place *p))
{
    for (unsigned shards = 1; shards <= BENCH_MAX_SHARDS; shards++)
        for (unsigned home = 0; home < shards; home++) {
            struct place p;

            place_open(&p, shards, home);
            story(&p);
            bench_free(p.b);
        }
}

/* A client identifier for that shard. */
static void name_at(struct place *p, unsigned shard, char id[32])
{
    do
        snprintf(id, 32, "member-%u", p->next_id++);
    while (shard_home(&p->b->settings, p->b->count, span_of_str(id)) != shard % p->b->count);
}

static struct conn_io *connected_with(struct place *p, unsigned shard, struct connect_wish wish)
{
    static char id[32];

    if (wish.id == NULL) {
        name_at(p, shard, id);
        wish.id = id;
    }
    if (wish.scope == NULL)
        wish.scope = ALL;
    return client_connected_with(p->b, &wish);
}

static struct conn_io *member_with(struct place *p, unsigned shard, uint8_t qos, struct connect_wish wish)
{
    struct conn_io *c = connected_with(p, shard, wish);

    client_subscribe(c, p->group, qos, qos);
    return c;
}

static struct conn_io *member(struct place *p, unsigned shard, uint8_t qos)
{
    return member_with(p, shard, qos, (struct connect_wish){ 0 });
}

static void unsubscribe(const struct place *p, struct conn_io *c, uint8_t reason)
{
    struct mqtt_frame frame;
    struct mqtt_suback ack;

    client_unsubscribe(c, p->group);
    assert_true(client_next(c, &frame));
    assert_int_equal(frame.type, MQTT_UNSUBACK);
    assert_int_equal(mqtt_read_suback(&frame, c->version, &ack, NULL), ST_OK);
    assert_int_equal(ack.reasons.p[0], reason);
}

/* Publishes, and does what the publisher has to do. */
static void publish_as(struct place *p, struct publish_wish wish)
{
    if (wish.qos > 0)
        wish.packet_id = ++p->packet_id;
    client_publish_with(p->pub, &wish);
    if (wish.qos == 1)
        (void)expect_ack(p->pub, MQTT_PUBACK, wish.packet_id, MQTT_SUCCESS);
    if (wish.qos == 2) {
        (void)expect_ack(p->pub, MQTT_PUBREC, wish.packet_id, MQTT_SUCCESS);
        client_ack(p->pub, MQTT_PUBREL, wish.packet_id, MQTT_SUCCESS);
        (void)expect_ack(p->pub, MQTT_PUBCOMP, wish.packet_id, MQTT_SUCCESS);
    }
}

static void publish(struct place *p, const char *payload, uint8_t qos)
{
    publish_as(p, (struct publish_wish){ .topic = "a/x", .payload = payload, .qos = qos });
}

static void publish_many(struct place *p, unsigned from, unsigned count, uint8_t qos)
{
    for (unsigned i = from; i < from + count; i++) {
        char text[16];

        snprintf(text, sizeof text, "%u", i);
        publish(p, text, qos);
    }
}

/* Takes what came and acknowledges it; how many messages it was. */
static unsigned take_all(struct conn_io *c)
{
    struct mqtt_frame frame;
    struct mqtt_publish m;
    struct mqtt_ack ack;
    unsigned count = 0;

    while (client_next(c, &frame)) {
        if (frame.type == MQTT_PUBREL) {
            assert_int_equal(mqtt_read_ack(&frame, c->version, &ack, NULL), ST_OK);
            client_ack(c, MQTT_PUBCOMP, ack.packet_id, MQTT_SUCCESS);
            continue;
        }
        assert_int_equal(frame.type, MQTT_PUBLISH);
        assert_int_equal(mqtt_read_publish(&frame, c->version, &m, NULL), ST_OK);
        count++;
        if (m.qos > 0)
            client_ack(c, m.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, m.packet_id, MQTT_SUCCESS);
    }
    return count;
}

/* ---- whose turn ---- */

static void in_turn(struct place *p)
{
    struct conn_io *c[MEMBERS];
    unsigned got[MEMBERS] = { 0 };

    for (unsigned i = 0; i < MEMBERS; i++)
        c[i] = member(p, i, 2);
    for (unsigned n = 0; n < 300; n++) {
        publish_many(p, n, 1, (uint8_t)(n % 3));
        for (unsigned i = 0; i < MEMBERS; i++)
            got[i] += take_all(c[i]);
    }
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_int_equal(got[i], 100);
    assert_int_equal(STAT(p->b, messages_out), 300);
    assert_int_equal(STAT(p->b, shared_subscriptions), MEMBERS);
    assert_int_equal(STAT(p->b, queued_messages), 0);
}

static void each_message_goes_to_one_member_in_turn(void **state UNUSED)
{ /* MQTT5 4.8.2 */
    everywhere(in_turn);
}

static void in_a_burst(struct place *p)
{
    struct conn_io *c[MEMBERS];
    unsigned got[MEMBERS] = { 0 };

    for (unsigned i = 0; i < MEMBERS; i++)
        c[i] = member(p, i, (uint8_t)(i == 2 ? 0 : 1));
    p->b->manual = true; /* nobody runs before all are there */
    for (unsigned n = 0; n < 300; n++)
        client_publish(p->pub, "a/x", "m", 0, 0);
    p->b->manual = false;
    bench_run(p->b);
    for (unsigned i = 0; i < MEMBERS; i++) {
        got[i] = take_all(c[i]);
        assert_int_equal(got[i], 100);
    }
}

static void a_burst_is_divided_as_evenly(void **state UNUSED)
{
    everywhere(in_a_burst);
}

static void full_is_skipped(struct place *p)
{
    struct conn_io *slow = member_with(p, 0, 2, (struct connect_wish){ .receive_maximum = 2 });
    struct conn_io *fast = member(p, 1, 2);
    struct mqtt_publish m;

    publish_many(p, 0, 10, 1);
    assert_int_equal(take_all(fast), 8);
    (void)expect_publish(slow, "a/x", "0", 1);
    m = expect_publish(slow, "a/x", "2", 1);
    expect_nothing(slow);
    client_ack(slow, MQTT_PUBACK, m.packet_id, MQTT_SUCCESS); /* room again: its turn comes again */
    publish_many(p, 10, 4, 2);
    assert_int_equal(take_all(slow), 1);
    assert_int_equal(take_all(fast), 3);
}

static void a_member_with_a_full_window_is_skipped(void **state UNUSED)
{
    everywhere(full_is_skipped);
}

static void unread_is_skipped(struct place *p)
{
    struct conn_io *deaf = member(p, 0, 1), *other = member(p, 1, 1);

    p->b->settings.max_output_bytes = 5;
    deaf->stuck = true;
    publish_many(p, 0, 10, 0);
    assert_int_equal(take_all(other), 9);
    publish_many(p, 10, 2, 1);
    assert_int_equal(take_all(other), 2);
    client_unstick(deaf);
    bench_run(p->b);
    assert_int_equal(take_all(deaf), 1);
    publish_many(p, 12, 4, 1);
    assert_int_equal(take_all(deaf), 2);
    assert_int_equal(take_all(other), 2);
}

static void a_member_who_does_not_read_is_skipped(void **state UNUSED)
{
    everywhere(unread_is_skipped);
}

static void sleeping_is_skipped(struct place *p)
{
    struct conn_io *c[MEMBERS];

    for (unsigned i = 0; i < MEMBERS; i++)
        c[i] = member_with(p, i, 1, (struct connect_wish){ .expiry_s = 1000 });
    client_drop(c[1]);
    publish_many(p, 0, 10, 1);
    assert_int_equal(take_all(c[0]), 5);
    assert_int_equal(take_all(c[2]), 5);
}

static void a_member_who_is_not_connected_is_skipped(void **state UNUSED)
{
    everywhere(sleeping_is_skipped);
}

static void one_publisher_in_order(struct place *p)
{
    struct conn_io *c[MEMBERS];
    char last[MEMBERS][3] = { 0 };
    struct mqtt_frame frame;
    struct mqtt_publish m;
    unsigned seen = 0;

    for (unsigned i = 0; i < MEMBERS; i++)
        c[i] = member_with(p, i, 1, (struct connect_wish){ .receive_maximum = (uint16_t)(1 + 3 * i) });
    publish_many(p, 100, 60, 1);
    while (seen < 60) {
        unsigned i = pick(p->b, MEMBERS);

        if (!client_next(c[i], &frame))
            continue;
        assert_int_equal(mqtt_read_publish(&frame, MQTT_5, &m, NULL), ST_OK);
        assert_int_equal(m.payload.len, 3);
        assert_true(memcmp(m.payload.p, last[i], 3) > 0);
        memcpy(last[i], m.payload.p, 3);
        seen++;
        client_ack(c[i], MQTT_PUBACK, m.packet_id, MQTT_SUCCESS);
    }
}

static void each_member_gets_them_in_order(void **state UNUSED)
{ /* MQTT5 4.6 asks it of subscriptions that are not shared; we keep it all the same */
    everywhere(one_publisher_in_order);
}

/* ---- nobody there ---- */

static void waits_for_anybody(struct place *p)
{
    struct connect_wish wish = { .expiry_s = 1000, .resume = true };
    struct conn_io *c[2];
    char id[2][32];

    for (unsigned i = 0; i < 2; i++) {
        name_at(p, i, id[i]);
        wish.id = id[i];
        c[i] = member_with(p, i, 1, wish);
    }
    client_drop(c[0]);
    client_drop(c[1]);
    publish_many(p, 0, 5, 1);
    publish_many(p, 5, 2, 0); /* does not wait */
    publish_many(p, 7, 3, 2);
    assert_int_equal(STAT(p->b, queued_messages), 8);
    wish.id = id[1];
    c[1] = connected_with(p, 1, wish); /* whoever comes first has it */
    assert_int_equal(take_all(c[1]), 8);
    assert_int_equal(STAT(p->b, queued_messages), 0);
    wish.id = id[0];
    c[0] = connected_with(p, 0, wish);
    expect_nothing(c[0]);
    assert_int_equal(STAT(p->b, queued_bytes), 0);
}

static void messages_wait_for_whoever_comes_back_first(void **state UNUSED)
{
    everywhere(waits_for_anybody);
}

static void waits_for_room(struct place *p)
{
    struct conn_io *a = member_with(p, 0, 1, (struct connect_wish){ .receive_maximum = 1 });
    struct conn_io *b = member_with(p, 1, 1, (struct connect_wish){ .receive_maximum = 1 });
    struct mqtt_publish m;

    publish_many(p, 0, 6, 1);
    m = expect_publish(a, "a/x", "0", 1);
    for (unsigned i = 2; i < 6; i++) { /* only a has room now and then */
        char text[4];

        expect_nothing(a);
        client_ack(a, MQTT_PUBACK, m.packet_id, MQTT_SUCCESS);
        snprintf(text, sizeof text, "%u", i);
        m = expect_publish(a, "a/x", text, 1);
    }
    (void)expect_publish(b, "a/x", "1", 1);
    expect_nothing(b);
}

static void messages_wait_for_whoever_has_room_first(void **state UNUSED)
{
    everywhere(waits_for_room);
}

static void waiting_is_bounded(struct place *p)
{
    struct connect_wish wish = { .id = "bounded", .expiry_s = 1000, .resume = true };
    struct conn_io *c;

    p->b->settings.max_queue_messages = 8;
    c = member_with(p, 0, 1, wish);
    client_drop(c);
    publish_many(p, 0, 20, 1);
    assert_int_equal(STAT(p->b, dropped_queue_full), 12);
    c = connected_with(p, 0, wish);
    assert_int_equal(take_all(c), 8);
    client_subscribe(c, "$share/second/a/#", 1, 1); /* in three groups: each may hold a quarter for it */
    client_subscribe(c, "$share/third/a/#", 1, 1);
    client_drop(c);
    publish_many(p, 0, 20, 1);
    assert_int_equal(STAT(p->b, dropped_queue_full), 12 + 3 * 18);
    c = connected_with(p, 0, wish);
    assert_int_equal(take_all(c), 6);
    assert_int_equal(STAT(p->b, queued_messages), 0);
}

static void what_a_group_holds_is_bounded_by_its_members(void **state UNUSED)
{
    everywhere(waiting_is_bounded);
}

static void a_smaller_group_holds_less(void **state UNUSED)
{
    struct place p;
    struct conn_io *a, *b;

    place_open(&p, 2, 1);
    p.b->settings.max_queue_messages = 8;
    a = member_with(&p, 0, 1, (struct connect_wish){ .expiry_s = 10 });
    b = member_with(&p, 1, 1, (struct connect_wish){ .expiry_s = 1000 });
    client_drop(a);
    client_drop(b);
    publish_many(&p, 0, 20, 1);
    assert_int_equal(STAT(p.b, queued_messages), 16);
    bench_advance(p.b, 11000); /* a's session has ended */
    assert_int_equal(STAT(p.b, queued_messages), 8);
    assert_int_equal(STAT(p.b, dropped_queue_full), 12);
    bench_free(p.b);
}

static void old_ones_expire(struct place *p)
{
    struct connect_wish wish = { .id = "late", .expiry_s = 1000, .resume = true };
    struct conn_io *c = member_with(p, 0, 1, wish);

    client_drop(c);
    publish_as(p, (struct publish_wish){ .topic = "a/x", .payload = "short", .qos = 1, .expiry_s = 5 });
    publish_as(p, (struct publish_wish){ .topic = "a/x", .payload = "long", .qos = 1, .expiry_s = 50 });
    bench_advance(p->b, 6000);
    c = connected_with(p, 0, wish);
    assert_int_equal(expect_publish(c, "a/x", "long", 1).properties.message_expiry_s, 44);
    expect_nothing(c);
    assert_int_equal(STAT(p->b, dropped_expired), 1);
}

static void a_message_may_expire_while_it_waits(void **state UNUSED)
{ /* MQTT5 [MQTT-3.3.2-5], [MQTT-3.3.2-6] */
    everywhere(old_ones_expire);
}

static void nothing_is_kept_for_qos_0(struct place *p)
{
    struct connect_wish wish = { .id = "zero", .expiry_s = 1000, .resume = true };
    struct conn_io *c = member_with(p, 0, 0, wish);

    client_drop(c);
    publish_many(p, 0, 5, 2);
    assert_int_equal(STAT(p->b, queued_messages), 0);
    c = connected_with(p, 0, wish);
    expect_nothing(c);
    publish(p, "there again", 2);
    (void)expect_publish(c, "a/x", "there again", 0);
}

static void a_group_of_qos_0_keeps_nothing(void **state UNUSED)
{ /* MQTT5 [MQTT-4.8.2-3] */
    everywhere(nothing_is_kept_for_qos_0);
}

/* ---- who goes ---- */

enum leaving { BY_DROP, BY_DISCONNECT, BY_CLEAN_START, BY_EXPIRY, LEAVINGS };

static void leave_by(struct place *p, struct conn_io *c, const struct connect_wish *wish, enum leaving how)
{
    struct connect_wish again = *wish;

    if (how == BY_DISCONNECT)
        client_bye(c);
    else
        client_drop(c);
    if (how == BY_CLEAN_START) {
        again.resume = false;
        again.expiry_s = 0;
        (void)client_connected_with(p->b, &again);
    }
    if (how == BY_EXPIRY)
        bench_advance(p->b, 20000);
}

static void hand_on(struct place *p, enum leaving how, uint8_t qos, bool persistent)
{
    char id[32];
    struct connect_wish wish = { .id = id, .scope = ALL, .expiry_s = persistent ? 10 : 0 };
    struct conn_io *goes, *stays;
    struct mqtt_publish m;

    name_at(p, 0, id);
    goes = member_with(p, 0, qos, wish);
    publish(p, "acknowledged", qos);
    assert_int_equal(take_all(goes), 1);
    publish(p, "in flight", qos);
    m = expect_publish(goes, "a/x", "in flight", qos);
    assert_false(m.dup);
    stays = member(p, 1, qos);
    if (persistent) {
        client_drop(goes);
        expect_nothing(stays); /* MQTT5 4.8.2: it may wait for the client, and does */
    }
    leave_by(p, goes, &wish, how);
    if (qos == 1) {
        m = expect_publish(stays, "a/x", "in flight", 1);
        assert_false(m.dup); /* the first time that this client gets it */
    }
    expect_nothing(stays);
    client_drop(stays);
}

static void who_leaves_hands_on(struct place *p)
{
    for (uint8_t qos = 1; qos <= 2; qos++)
        for (unsigned how = 0; how < LEAVINGS; how++)
            hand_on(p, how, qos, how == BY_CLEAN_START || how == BY_EXPIRY);
    assert_int_equal(STAT(p->b, queued_messages), 0);
}

static void qos_1_of_a_session_that_ends_goes_to_another_member_and_qos_2_does_not(void **state UNUSED)
{ /* MQTT5 [MQTT-4.8.2-5] */
    everywhere(who_leaves_hands_on);
}

static void completes(struct place *p)
{
    struct connect_wish wish = { .id = "returns", .scope = ALL, .expiry_s = 100, .resume = true };

    for (uint8_t qos = 1; qos <= 2; qos++) {
        struct conn_io *c = member_with(p, 0, qos, wish), *other;
        struct mqtt_publish m;
        uint16_t id;

        publish(p, "once", qos);
        id = expect_publish(c, "a/x", "once", qos).packet_id;
        other = member(p, 1, qos);
        client_drop(c);
        expect_nothing(other);
        c = connected_with(p, 0, wish);
        m = expect_publish(c, "a/x", "once", qos);
        assert_true(m.dup);
        assert_int_equal(m.packet_id, id);
        if (qos == 2) { /* and once more, half way */
            client_ack(c, MQTT_PUBREC, id, MQTT_SUCCESS);
            (void)expect_ack(c, MQTT_PUBREL, id, MQTT_SUCCESS);
            client_drop(c);
            c = connected_with(p, 0, wish);
            (void)expect_ack(c, MQTT_PUBREL, id, MQTT_SUCCESS);
            client_ack(c, MQTT_PUBCOMP, id, MQTT_SUCCESS);
        } else {
            client_ack(c, MQTT_PUBACK, id, MQTT_SUCCESS);
        }
        expect_nothing(c);
        expect_nothing(other);
        client_drop(other);
        client_drop(c);
    }
}

static void delivery_is_completed_to_the_chosen_member_when_it_returns(void **state UNUSED)
{ /* MQTT5 [MQTT-4.8.2-4], 4.8.2 for QoS 1 */
    everywhere(completes);
}

static void unsent_moves(struct place *p)
{
    struct conn_io *goes = member_with(p, 0, 2, (struct connect_wish){ .receive_maximum = 1, .expiry_s = 100 });
    struct conn_io *stays;

    publish_many(p, 0, 4, 2);
    (void)expect_publish(goes, "a/x", "0", 2);
    stays = member(p, 1, 2); /* there is room now */
    for (unsigned i = 1; i < 4; i++) {
        char text[4];

        snprintf(text, sizeof text, "%u", i);
        (void)expect_publish(stays, "a/x", text, 2);
    }
    client_drop(goes);
    expect_nothing(stays);
}

static void what_was_not_sent_yet_goes_to_whoever_can_take_it(void **state UNUSED)
{ /* MQTT5 4.8.2; QoS 2 too: [MQTT-4.8.2-5] is about what was sent */
    everywhere(unsent_moves);
}

static void refused_is_done(struct place *p)
{
    struct conn_io *rude = member(p, 0, 2), *other;

    publish(p, "no", 1);
    client_ack(rude, MQTT_PUBACK, expect_publish(rude, "a/x", "no", 1).packet_id, MQTT_IMPLEMENTATION_ERROR);
    publish(p, "neither", 2);
    client_ack(rude, MQTT_PUBREC, expect_publish(rude, "a/x", "neither", 2).packet_id, MQTT_QUOTA_EXCEEDED);
    other = member(p, 1, 2);
    client_drop(rude);
    expect_nothing(other);
    assert_int_equal(STAT(p->b, queued_messages), 0);
}

static void what_a_member_refuses_goes_to_nobody(void **state UNUSED)
{ /* MQTT5 [MQTT-4.8.2-6] */
    everywhere(refused_is_done);
}

static void unsubscribed(struct place *p)
{
    struct conn_io *goes = member(p, 0, 1), *stays = member(p, 1, 1);
    struct mqtt_publish m;

    publish_many(p, 0, 2, 1);
    m = expect_publish(goes, "a/x", "0", 1);
    unsubscribe(p, goes, MQTT_SUCCESS);
    assert_int_equal(take_all(stays), 1);
    publish_many(p, 2, 4, 1);
    assert_int_equal(take_all(stays), 4);
    expect_nothing(goes); /* what it was sent is still its own: MQTT5 [MQTT-3.10.4-3] */
    client_ack(goes, MQTT_PUBACK, m.packet_id, MQTT_SUCCESS);
    unsubscribe(p, goes, MQTT_NO_SUBSCRIPTION_EXISTED);
    unsubscribe(p, stays, MQTT_SUCCESS);
    publish_many(p, 6, 2, 1);
    expect_nothing(stays);
    assert_int_equal(STAT(p->b, subscriptions), 0);
    assert_int_equal(STAT(p->b, shared_subscriptions), 0);
}

static void who_unsubscribes_leaves_the_group(void **state UNUSED)
{ /* MQTT5 [MQTT-3.10.4-1], [MQTT-3.10.4-2] */
    everywhere(unsubscribed);
}

static void dissolved(struct place *p)
{
    struct conn_io *first = member_with(p, 0, 1, (struct connect_wish){ .receive_maximum = 1 }), *next;

    publish_many(p, 0, 3, 1);
    (void)expect_publish(first, "a/x", "0", 1);
    unsubscribe(p, first, MQTT_SUCCESS); /* "0" stays in flight, the others go with the group */
    assert_int_equal(STAT(p->b, queued_messages), 1);
    next = member(p, 1, 1);
    client_drop(first);
    expect_nothing(next); /* published before this group began */
    publish(p, "new", 1);
    (void)expect_publish(next, "a/x", "new", 1);
}

static void a_new_group_of_the_same_name_begins_empty(void **state UNUSED)
{
    everywhere(dissolved);
}

static void taken_over(struct place *p)
{
    struct connect_wish wish = { .id = "twice", .scope = ALL, .expiry_s = 100, .resume = true };
    struct conn_io *old = member_with(p, 0, 1, wish), *other = member(p, 1, 1), *now;

    publish(p, "0", 1);
    (void)expect_publish(old, "a/x", "0", 1);
    now = connected_with(p, 0, wish);
    (void)expect_disconnect(old, MQTT_SESSION_TAKEN_OVER);
    assert_true(expect_publish(now, "a/x", "0", 1).dup);
    publish_many(p, 1, 4, 1);
    assert_int_equal(take_all(other), 2);
    assert_int_equal(take_all(now), 2);
}

static void a_member_may_be_taken_over(void **state UNUSED)
{
    everywhere(taken_over);
}

static void too_late(struct place *p)
{
    struct conn_io *other = member(p, 1, 1);
    struct conn_io *mortal = member_with(p, 0, 1, (struct connect_wish){ .life_s = 30, .expiry_s = 1000 });

    bench_advance(p->b, 31000);
    (void)expect_disconnect(mortal, MQTT_NOT_AUTHORIZED);
    publish_many(p, 0, 6, 1);
    assert_int_equal(take_all(other), 6);
}

static void a_member_whose_token_has_ended_gets_nothing(void **state UNUSED)
{ /* MT-98, MT-100 */
    everywhere(too_late);
}

static void narrowed(struct place *p)
{
    struct connect_wish wish = { .id = "narrow", .sub = "s", .scope = ALL, .expiry_s = 1000, .resume = true };
    struct conn_io *other = member(p, 1, 1), *c;

    c = member_with(p, 0, 1, wish);
    publish_many(p, 0, 2, 1);
    assert_int_equal(take_all(other), 1);
    (void)expect_publish(c, "a/x", "1", 1);
    client_drop(c);
    wish.scope = "[[\"a/x/y\",[\"sub\"]]]"; /* not all of a/# */
    c = connected_with(p, 0, wish);
    expect_nothing(c);
    (void)expect_publish(other, "a/x", "1", 1); /* it may not have it again: somebody else */
    publish_many(p, 2, 3, 1);
    assert_int_equal(take_all(other), 3);
    assert_int_equal(STAT(p->b, subscriptions_lost), 1);
    assert_int_equal(STAT(p->b, shared_subscriptions), 1);
}

static void a_narrower_token_takes_the_membership(void **state UNUSED)
{ /* MT-107, MT-74 */
    everywhere(narrowed);
}

/* ---- what a member gets ---- */

static void granted_qos(struct place *p)
{
    struct conn_io *c[3];

    for (uint8_t qos = 0; qos <= 2; qos++)
        c[qos] = member(p, qos, qos);
    for (uint8_t sent = 0; sent <= 2; sent++) {
        publish_many(p, 0, 3, sent);
        for (uint8_t qos = 0; qos <= 2; qos++) {
            char text[4];

            snprintf(text, sizeof text, "%u", qos);
            (void)expect_publish(c[qos], "a/x", text, sent < qos ? sent : qos);
        }
    }
}

static void the_granted_qos_is_respected(void **state UNUSED)
{ /* MQTT5 [MQTT-4.8.2-3] */
    everywhere(granted_qos);
}

static void with_options(struct place *p)
{
    struct conn_io *c = connected_with(p, 0, (struct connect_wish){ 0 });
    struct mqtt_subscription want = wish_filter(p->group, 1);
    struct mqtt_publish m;

    publish_as(p, (struct publish_wish){ .topic = "a/r", .payload = "kept", .qos = 1, .retain = true });
    want.retain_as_published = true;
    client_subscribe_with(c, want, 7, 5);
    (void)expect_suback(c, 5, 1);
    expect_nothing(c); /* MQTT5 4.8.2: retained messages are not sent to a new member */
    publish_as(p, (struct publish_wish){ .topic = "a/r", .payload = "kept", .qos = 1, .retain = true });
    m = expect_publish(c, "a/r", "kept", 1);
    assert_true(m.retain);
    assert_int_equal(m.properties.subscription_id, 7);
    want.retain_as_published = false; /* again, with other options: MQTT5 [MQTT-3.8.4-3] */
    want.qos = 0;
    client_subscribe_with(c, want, 0, 6);
    (void)expect_suback(c, 6, 0);
    publish_as(p, (struct publish_wish){ .topic = "a/r", .payload = "kept", .qos = 1, .retain = true });
    m = expect_publish(c, "a/r", "kept", 0);
    assert_false(m.retain);
    assert_false(mqtt_has(&m.properties, PROP_SUBSCRIPTION_ID));
    assert_int_equal(STAT(p->b, subscriptions), 1);
}

static void identifier_retain_and_qos_follow_the_members_own_options(void **state UNUSED)
{
    everywhere(with_options);
}

static void shared_and_not(struct place *p)
{
    struct conn_io *c = member(p, 0, 1), *other = member(p, 1, 1);

    client_subscribe(c, "a/#", 1, 1);                /* a copy of its own */
    client_subscribe(c, "$share/another/a/x", 1, 1); /* and one for each group */
    publish(p, "m", 1);
    publish(p, "m", 1);
    assert_int_equal(take_all(c), 2 + 2 + 1);
    assert_int_equal(take_all(other), 1);
}

static void every_group_and_every_other_subscription_gets_a_copy(void **state UNUSED)
{
    everywhere(shared_and_not);
}

static void own_messages(struct place *p)
{
    client_subscribe(p->pub, p->group, 0, 0);
    client_publish(p->pub, "a/x", "to myself", 0, 0);
    (void)expect_publish(p->pub, "a/x", "to myself", 0);
}

static void a_publisher_may_be_a_member(void **state UNUSED)
{
    everywhere(own_messages);
}

static void wildcards(struct place *p)
{
    static const char *const filters[] = { "$share/w/a/+/c", "$share/w/a/#", "$share/w/a/b/c",
                                           "$share/v/a/+/+" };
    struct conn_io *c[COUNT_OF(filters)];

    for (unsigned i = 0; i < COUNT_OF(filters); i++) {
        c[i] = connected_with(p, i, (struct connect_wish){ 0 });
        client_subscribe(c[i], filters[i], 0, 0);
    }
    publish_as(p, (struct publish_wish){ .topic = "a/b/c", .payload = "m" });
    publish_as(p, (struct publish_wish){ .topic = "a/b", .payload = "m" });
    for (unsigned i = 0; i < COUNT_OF(filters); i++) /* NAME and filter make the group, not NAME alone */
        assert_int_equal(take_all(c[i]), i == 1 ? 2 : 1);
}

static void name_and_filter_together_are_the_group(void **state UNUSED)
{ /* MQTT5 4.8.2 */
    everywhere(wildcards);
}

static void of_version_3(struct place *p)
{
    struct conn_io *c[2];

    c[0] = member_with(p, 0, 1, (struct connect_wish){ .v3 = true });
    c[1] = member(p, 1, 1);
    publish_many(p, 0, 10, 1);
    assert_int_equal(take_all(c[0]), 5);
    assert_int_equal(take_all(c[1]), 5);
    publish(p, "in flight", 1);
    (void)expect_publish(c[0], "a/x", "in flight", 1);
    client_drop(c[0]);
    (void)expect_publish(c[1], "a/x", "in flight", 1);
}

static void clients_of_3_1_1_may_be_members(void **state UNUSED)
{ /* as with other brokers; 3.1.1 itself knows nothing of groups */
    everywhere(of_version_3);
}

static void too_large(struct place *p)
{
    struct conn_io *small = member_with(p, 0, 1, (struct connect_wish){ .max_packet_bytes = 60 });

    publish(p, "........................................................................", 1);
    publish(p, "fits", 1);
    (void)expect_publish(small, "a/x", "fits", 1);
    assert_int_equal(STAT(p->b, dropped_too_large), 1);
    assert_int_equal(STAT(p->b, queued_messages), 1);
}

static void too_large_for_the_chosen_member_is_too_large(void **state UNUSED)
{ /* MQTT5 [MQTT-3.1.2-25]; 3.1.2.11.4 leaves it to the server whether another one gets it */
    everywhere(too_large);
}

static void heavy(struct place *p)
{
    struct conn_io *a, *b;
    char large[700];

    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    p->b->settings.max_queue_bytes = 1500;
    a = member(p, 0, 1);
    publish(p, large, 1);
    publish(p, large, 1); /* fits no more: it waits for the acknowledgement, not for the window */
    (void)expect_publish(a, "a/x", large, 1);
    expect_nothing(a);
    assert_int_equal(STAT(p->b, queued_messages), 2);
    b = member(p, 1, 1);
    (void)expect_publish(b, "a/x", large, 1);
    publish(p, "small", 1);
    assert_int_equal(take_all(a) + take_all(b), 1);
    assert_int_equal(STAT(p->b, dropped_queue_full), 0);
}

static void bytes_count_as_the_window_does(void **state UNUSED)
{
    everywhere(heavy);
}

/* ---- refusals ---- */

static void refusals(struct place *p)
{
    static const struct {
        const char *filter;
        const char *clause;
    } rows[] = {
        { "$share/", "MQTT5 [MQTT-4.8.2-1]" },    { "$share//a", "MQTT5 [MQTT-4.8.2-1]" },
        { "$share/g", "MQTT5 [MQTT-4.8.2-2]" },   { "$share/g/", "MQTT5 [MQTT-4.8.2-2]" },
        { "$share/+/a", "MQTT5 [MQTT-4.8.2-2]" }, { "$share/g#/a", "MQTT5 [MQTT-4.8.2-2]" },
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct conn_io *c = connected_with(p, i, (struct connect_wish){ 0 });

        client_subscribe_with(c, wish_filter(rows[i].filter, 1), 0, 3);
        expect_thrown_out(c, MQTT_MALFORMED_PACKET, rows[i].clause);
    }
    assert_int_equal(STAT(p->b, subscriptions), 0);
}

static void a_share_without_name_or_filter_is_malformed(void **state UNUSED)
{ /* MQTT5 [MQTT-4.8.2-1], [MQTT-4.8.2-2] */
    everywhere(refusals);
}

static void no_local_on_a_shared_subscription_is_a_protocol_error(void **state UNUSED)
{ /* MQTT5 [MQTT-3.8.3-4] */
    struct place p;
    struct conn_io *c;
    struct mqtt_subscription want;

    place_open(&p, 2, 1);
    c = connected_with(&p, 0, (struct connect_wish){ 0 });
    want = wish_filter(p.group, 1);
    want.no_local = true;
    client_subscribe_with(c, want, 0, 3);
    expect_thrown_out(c, MQTT_PROTOCOL_ERROR, "MQTT5 [MQTT-3.8.3-4]");
    assert_int_equal(STAT(p.b, subscriptions), 0);
    bench_free(p.b);
}

static void the_filter_inside_has_to_be_allowed(void **state UNUSED)
{ /* MT-82, MT-31 */
    struct place p;
    struct conn_io *c;
    char text[400];

    place_open(&p, 2, 0);
    bench_tokens(p.b, NULL);
    c = connected_with(&p, 0, (struct connect_wish){ .scope = "[[\"#\",[\"sub\"]]]" });
    client_subscribe(c, "$share/g/#", 1, 1);
    client_subscribe(c, "$share/g/authz-info", 1, MQTT_NOT_AUTHORIZED);
    client_subscribe(c, "$share/g/$SYS/#", 1, MQTT_NOT_AUTHORIZED);
    c = connected_with(&p, 1, (struct connect_wish){ .scope = "[[\"a/b\",[\"sub\"]]]" });
    client_subscribe(c, "$share/g/a/#", 1, MQTT_NOT_AUTHORIZED);
    client_subscribe(c, "$share/a/b", 1, MQTT_NOT_AUTHORIZED);
    client_subscribe(c, "$share/g/a/b", 1, 1);
    snprintf(text, sizeof text, "$share/%0*d/a/b", 256, 0);
    client_subscribe(c, text, 1, 1);
    snprintf(text, sizeof text, "$share/%0*d/a/b", 257, 0); /* SHARE_NAME_MAX */
    client_subscribe(c, text, 1, MQTT_TOPIC_FILTER_INVALID);
    assert_int_equal(STAT(p.b, shared_subscriptions), 3);
    bench_free(p.b);
}

static void as_deep_as_others_and_no_deeper(void **state UNUSED)
{
    struct place p;
    struct conn_io *c;

    place_open(&p, 1, 0);
    p.b->settings.max_topic_levels = 3;
    c = connected_with(&p, 0, (struct connect_wish){ 0 });
    client_subscribe(c, "$share/g/a/b/c", 1, 1);
    client_subscribe(c, "$share/g/a/b/c/d", 1, MQTT_TOPIC_FILTER_INVALID);
    bench_free(p.b);
}

static void switched_off_it_is_said_so(void **state UNUSED)
{ /* MQTT5 3.2.2.3.13, 3.9.3 */
    struct place p;

    place_open(&p, 2, 0);
    for (unsigned on = 0; on < 2; on++) {
        struct conn_io *c = client_new(p.b);
        struct mqtt_connack ack;

        p.b->settings.shared_subscriptions = on;
        client_connect(c, &(struct connect_wish){ .id = "asks", .scope = ALL });
        ack = expect_connack(c, MQTT_SUCCESS);
        assert_int_equal(ack.properties.shared_available, on);
        client_subscribe(c, p.group, 1, on ? 1 : MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
    }
    bench_free(p.b);
}

/* ---- races ---- */

/* All shards but those named do nothing. */
static void let(struct place *p, unsigned shard)
{
    while (bench_turn(p->b, shard))
        ;
}

static void the_suback_waits_until_every_shard_knows(void **state UNUSED)
{
    struct place p;
    struct conn_io *c;

    place_open(&p, 3, 1);
    c = connected_with(&p, 0, (struct connect_wish){ 0 });
    p.b->manual = true;
    client_subscribe_with(c, wish_filter(p.group, 1), 0, 9);
    let(&p, 0);
    let(&p, 1); /* home: opens the group and tells the others */
    let(&p, 0);
    let(&p, 1);
    expect_nothing(c); /* shard 2 has said nothing yet */
    let(&p, 2);
    let(&p, 1);
    let(&p, 0);
    (void)expect_suback(c, 9, 1);
    bench_free(p.b);
}

static void a_message_on_its_way_to_a_member_who_goes_comes_to_another(void **state UNUSED)
{
    for (unsigned stays_at = 0; stays_at < 3; stays_at++) {
        struct place p;
        struct conn_io *goes, *stays;

        place_open(&p, 3, 1);
        goes = member(&p, 2, 1);
        p.b->manual = true;
        for (uint8_t qos = 0; qos <= 2; qos++)
            client_publish(p.pub, "a/x", "m", qos, 1 + qos);
        let(&p, p.pub->at);
        let(&p, 1); /* chosen: three are in the inbox of shard 2 */
        client_drop(goes);
        p.b->manual = false;
        stays = member(&p, stays_at, 1);
        assert_int_equal(take_all(stays), 0); /* the group was gone before it came */
        bench_free(p.b);

        place_open(&p, 3, 1);
        goes = member(&p, 2, 1);
        stays = member_with(&p, stays_at, 1, (struct connect_wish){ .expiry_s = 10 });
        p.b->manual = true;
        for (unsigned i = 0; i < 6; i++)
            client_publish(p.pub, "a/x", "m", (uint8_t)(i % 3), (uint16_t)(1 + i));
        let(&p, p.pub->at);
        let(&p, 1);
        client_drop(goes);
        p.b->manual = false;
        bench_run(p.b);
        assert_int_equal(take_all(stays), 6);
        bench_free(p.b);
    }
}

static void more_than_there_is_room_for_comes_back(void **state UNUSED)
{
    struct place p;
    struct conn_io *c, *other;

    place_open(&p, 3, 1);
    c = member_with(&p, 2, 1, (struct connect_wish){ .receive_maximum = 4 });
    other = member(&p, 0, 1);
    client_subscribe(c, "a/own", 1, 1); /* fills the window behind home's back */
    p.b->manual = true;
    for (unsigned i = 0; i < 4; i++)
        client_publish(p.pub, "a/own", "own", 1, (uint16_t)(1 + i));
    for (unsigned i = 0; i < 4; i++)
        client_publish(p.pub, "a/x", "m", 1, (uint16_t)(5 + i));
    p.b->manual = false;
    bench_run(p.b);
    assert_int_equal(take_all(other) + take_all(c), 4 + 8);
    assert_int_equal(take_all(other) + take_all(c), 0);
    assert_int_equal(STAT(p.b, queued_messages), 0);
    assert_int_equal(STAT(p.b, messages_out), 12);
    bench_free(p.b);
}

static void a_broker_may_stop_with_everything_under_way(void **state UNUSED)
{
    for (unsigned shard = 0; shard < 3; shard++) {
        struct place p;
        struct conn_io *c;

        place_open(&p, 3, 1);
        c = member_with(&p, 2, 1, (struct connect_wish){ .receive_maximum = 1, .expiry_s = 100 });
        (void)member_with(&p, 0, 2, (struct connect_wish){ .receive_maximum = 1 });
        publish_many(&p, 0, 6, 1);
        p.b->manual = true;
        client_publish(p.pub, "a/x", "m", 1, 60);
        client_subscribe_with(p.pub, wish_filter("$share/new/a/#", 1), 0, 9);
        let(&p, p.pub->at);
        let(&p, shard);
        client_drop(c);
        shard_stop(p.b->shard[shard], p.b->now);
        bench_free(p.b); /* the sanitizers look */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_message_goes_to_one_member_in_turn),
        cmocka_unit_test(a_burst_is_divided_as_evenly),
        cmocka_unit_test(a_member_with_a_full_window_is_skipped),
        cmocka_unit_test(a_member_who_does_not_read_is_skipped),
        cmocka_unit_test(a_member_who_is_not_connected_is_skipped),
        cmocka_unit_test(each_member_gets_them_in_order),
        cmocka_unit_test(messages_wait_for_whoever_comes_back_first),
        cmocka_unit_test(messages_wait_for_whoever_has_room_first),
        cmocka_unit_test(what_a_group_holds_is_bounded_by_its_members),
        cmocka_unit_test(a_smaller_group_holds_less),
        cmocka_unit_test(a_message_may_expire_while_it_waits),
        cmocka_unit_test(a_group_of_qos_0_keeps_nothing),
        cmocka_unit_test(qos_1_of_a_session_that_ends_goes_to_another_member_and_qos_2_does_not),
        cmocka_unit_test(delivery_is_completed_to_the_chosen_member_when_it_returns),
        cmocka_unit_test(what_was_not_sent_yet_goes_to_whoever_can_take_it),
        cmocka_unit_test(what_a_member_refuses_goes_to_nobody),
        cmocka_unit_test(who_unsubscribes_leaves_the_group),
        cmocka_unit_test(a_new_group_of_the_same_name_begins_empty),
        cmocka_unit_test(a_member_may_be_taken_over),
        cmocka_unit_test(a_member_whose_token_has_ended_gets_nothing),
        cmocka_unit_test(a_narrower_token_takes_the_membership),
        cmocka_unit_test(the_granted_qos_is_respected),
        cmocka_unit_test(identifier_retain_and_qos_follow_the_members_own_options),
        cmocka_unit_test(every_group_and_every_other_subscription_gets_a_copy),
        cmocka_unit_test(a_publisher_may_be_a_member),
        cmocka_unit_test(name_and_filter_together_are_the_group),
        cmocka_unit_test(clients_of_3_1_1_may_be_members),
        cmocka_unit_test(too_large_for_the_chosen_member_is_too_large),
        cmocka_unit_test(bytes_count_as_the_window_does),
        cmocka_unit_test(a_share_without_name_or_filter_is_malformed),
        cmocka_unit_test(no_local_on_a_shared_subscription_is_a_protocol_error),
        cmocka_unit_test(the_filter_inside_has_to_be_allowed),
        cmocka_unit_test(as_deep_as_others_and_no_deeper),
        cmocka_unit_test(switched_off_it_is_said_so),
        cmocka_unit_test(the_suback_waits_until_every_shard_knows),
        cmocka_unit_test(a_message_on_its_way_to_a_member_who_goes_comes_to_another),
        cmocka_unit_test(more_than_there_is_room_for_comes_back),
        cmocka_unit_test(a_broker_may_stop_with_everything_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
