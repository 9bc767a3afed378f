/* Members of shared subscriptions that go (MQTT5 4.8.2): for a while, for ever, in the middle of a delivery, while a message
 * is on its way between shards; on one to three shards, with the group at home on each of them in turn. */
#include "share_place.h"

#include <stdio.h>
#include <stdlib.h>

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

static void in_order_again(struct place *p)
{
    struct conn_io *goes = member_with(p, 0, 1, (struct connect_wish){ .receive_maximum = 4 }), *stays;
    char text[16];

    publish_many(p, 0, 8, 1); /* four in flight, four waiting */
    for (unsigned i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "%u", i);
        (void)expect_publish(goes, "a/x", text, 1);
    }
    stays = member_with(p, 1, 1, (struct connect_wish){ .receive_maximum = 1 });
    client_drop(goes);
    client_ack(stays, MQTT_PUBACK, expect_publish(stays, "a/x", "4", 1).packet_id, MQTT_SUCCESS);
    for (unsigned i = 0; i < 8; i++) {
        if (i == 4)
            continue;
        snprintf(text, sizeof text, "%u", i);
        client_ack(stays, MQTT_PUBACK, expect_publish(stays, "a/x", text, 1).packet_id, MQTT_SUCCESS);
    }
    expect_nothing(stays);
}

static void what_comes_back_goes_before_what_came_later(void **state UNUSED)
{
    everywhere(in_order_again);
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

/* The window fills with other things each time, after home has chosen and before the message comes. */
static void turned_away_again_and_again_it_gets_in_line(void **state UNUSED)
{
    struct place p;
    struct conn_io *c;
    struct mqtt_publish own;

    place_open(&p, 3, 1);
    c = member_with(&p, 2, 1, (struct connect_wish){ .receive_maximum = 1 });
    client_subscribe(c, "a/own", 1, 1);
    client_unsubscribe(c, p.group);
    assert_true(client_next(c, &(struct mqtt_frame){ 0 }));
    snprintf(p.group, sizeof p.group, "$share/g/a/x");
    for (int i = 0; shard_home(&p.b->settings, 3, span_of_str(p.group)) != 1; i++)
        snprintf(p.group, sizeof p.group, "$share/g%d/a/x", i);
    client_subscribe(c, p.group, 1, 1);
    p.pub = connected_with(&p, 0, (struct connect_wish){ 0 });
    p.b->manual = true;
    client_publish(p.pub, "a/x", "m", 1, 1);
    let(&p, 0);
    for (uint16_t round = 0; round < 8; round++) {
        client_publish(p.pub, "a/own", "own", 1, (uint16_t)(2 + round));
        let(&p, p.pub->at);
        let(&p, 1);
        let(&p, 2);
        own = expect_publish(c, "a/own", "own", 1);
        expect_nothing(c);
        let(&p, 1); /* it is back */
        client_ack(c, MQTT_PUBACK, own.packet_id, MQTT_SUCCESS);
        let(&p, 2);
    }
    client_publish(p.pub, "a/own", "last", 1, 60);
    let(&p, p.pub->at);
    let(&p, 1);
    let(&p, 2);
    own = expect_publish(c, "a/own", "last", 1);
    assert_int_equal(STAT(p.b, queued_messages), 2); /* SHARE_FIRM: this time it stays */
    client_publish(p.pub, "a/own", "behind it", 1, 61);
    let(&p, p.pub->at);
    client_ack(c, MQTT_PUBACK, own.packet_id, MQTT_SUCCESS);
    let(&p, 2);
    (void)expect_publish(c, "a/x", "m", 1);
    bench_free(p.b);
}

static void what_a_subscribe_holds_back_is_not_sent_and_moves(void **state UNUSED)
{
    struct place p;
    struct conn_io *goes, *stays;

    place_open(&p, 3, 1);
    goes = member_with(&p, 2, 2, (struct connect_wish){ .expiry_s = 100 });
    p.b->manual = true;
    client_subscribe_with(goes, wish_filter("a/other", 1), 0, 9);
    let(&p, 2); /* it waits for the others, and all that comes waits for it */
    client_publish(p.pub, "a/x", "m", 2, 1);
    let(&p, p.pub->at);
    let(&p, 1);
    (void)bench_turn(p.b, 2);
    expect_nothing(goes);
    client_drop(goes);
    p.b->manual = false;
    stays = member(&p, 0, 2);
    (void)expect_publish(stays, "a/x", "m", 2);
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
        cmocka_unit_test(qos_1_of_a_session_that_ends_goes_to_another_member_and_qos_2_does_not),
        cmocka_unit_test(delivery_is_completed_to_the_chosen_member_when_it_returns),
        cmocka_unit_test(what_was_not_sent_yet_goes_to_whoever_can_take_it),
        cmocka_unit_test(what_comes_back_goes_before_what_came_later),
        cmocka_unit_test(what_a_member_refuses_goes_to_nobody),
        cmocka_unit_test(who_unsubscribes_leaves_the_group),
        cmocka_unit_test(a_new_group_of_the_same_name_begins_empty),
        cmocka_unit_test(a_member_may_be_taken_over),
        cmocka_unit_test(a_member_whose_token_has_ended_gets_nothing),
        cmocka_unit_test(a_narrower_token_takes_the_membership),
        cmocka_unit_test(the_suback_waits_until_every_shard_knows),
        cmocka_unit_test(a_message_on_its_way_to_a_member_who_goes_comes_to_another),
        cmocka_unit_test(more_than_there_is_room_for_comes_back),
        cmocka_unit_test(turned_away_again_and_again_it_gets_in_line),
        cmocka_unit_test(what_a_subscribe_holds_back_is_not_sent_and_moves),
        cmocka_unit_test(a_broker_may_stop_with_everything_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
