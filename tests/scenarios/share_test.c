/* Shared subscriptions (MQTT5 4.8.2) on one to three shards, with the group at home on each of them in turn: who gets a
 * message, what it looks like, what waits, and what is refused. What becomes of a message when a member goes is in
 * share_leaving_test.c, random lives in share_model_test.c. */
#include "share_place.h"

#include <stdio.h>
#include <stdlib.h>

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
    client_drop(other);
    publish_many(p, 10, 3, 0); /* nobody else: dropped, and counted */
    assert_int_equal(STAT(p->b, dropped_output_full), 3);
    other = member(p, 1, 1);
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
