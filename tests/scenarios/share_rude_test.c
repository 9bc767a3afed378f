/* Members of shared subscriptions that make the worst of it: full in ways home does not expect, with tokens that shrink
 * while messages are on their way, several of them at once. */
#include "share_place.h"

#include "shard/shard_msg.h"

#include <stdio.h>

#define ABC   "[[\"a/#\",[\"pub\",\"sub\"]],[\"b/#\",[\"pub\",\"sub\"]],[\"c/#\",[\"pub\",\"sub\"]]]"
#define LIMIT 4096 /* bytes of output; two fifths of it are neither full nor drained */

static void open_place(struct place *p)
{
    place_open(p, 1, 0);
    p->b->settings.max_output_bytes = LIMIT;
    p->pub = connected_with(p, 0, (struct connect_wish){ .scope = ABC });
}

static void publish_to(struct place *p, const char *topic, const char *payload, uint8_t qos)
{
    publish_as(p, (struct publish_wish){ .topic = topic, .payload = payload, .qos = qos });
}

/* Stops reading; so much of its output is still there. */
static void stick(struct conn_io *c, size_t fifths)
{
    c->stuck = true;
    c->pending = LIMIT * fifths / 5;
}

static void renew(struct conn_io *c, struct key *key, const char *scope, size_t fifths)
{
    struct token_wish wish = { .scope = scope, .key = key };
    struct buf token, data, pop;
    struct mqtt_auth auth;

    buf_init(&token, 65535);
    buf_init(&data, 65535);
    buf_init(&pop, ACE_POP_MAX);
    token_make(c->b, &wish, &token);
    assert_int_equal(auth_data_write_connect(buf_span(&token), SPAN_NONE, &data), ST_OK);
    client_auth(c, MQTT_REAUTHENTICATE, ACE_METHOD, buf_span(&data));
    auth = expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    assert_int_equal(pop_make_nonces(key, auth.properties.auth_data, SPAN("12345678"), &pop), ST_OK);
    buf_reset(&data);
    assert_int_equal(auth_data_write_answer(SPAN("12345678"), buf_span(&pop), false, &data), ST_OK);
    c->pending = LIMIT * fifths / 5;
    client_auth(c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, buf_span(&data));
    (void)expect_auth(c, MQTT_SUCCESS);
    buf_done(&token);
    buf_done(&data);
    buf_done(&pop);
}

/* Its outbox is full of other things, and what has QoS 0 cannot pass them because retained messages wait as well. */
static void a_member_of_qos_0_that_is_full_does_not_stop_the_broker(void **state UNUSED)
{
    struct place p;
    struct conn_io *c, *keeper;

    open_place(&p);
    p.b->settings.max_queue_messages = 4;
    publish_as(&p, (struct publish_wish){ .topic = "b/r", .payload = "kept", .retain = true });
    keeper = member_with(&p, 0, 1, (struct connect_wish){ .expiry_s = 100 });
    client_drop(keeper); /* for it the group keeps messages */
    c = member_with(&p, 0, 0, (struct connect_wish){ .scope = ABC });
    stick(c, 5);
    client_subscribe(c, "b/#", 1, 1);
    for (int i = 0; i < 4; i++)
        publish_to(&p, "b/own", "own", 1);
    stick(c, 2);
    publish_many(&p, 0, 3, 1); /* wait: nobody can take them, though somebody reads */
    expect_nothing(c);
    client_unstick(c);
    assert_int_equal(take_all(c), 1 + 4 + 3); /* those three as soon as one of its own is acknowledged */
    assert_int_equal(STAT(p.b, dropped_queue_full), 0);
    bench_free(p.b);
}

/* Gets this message into its outbox behind one that fills the output. */
static void hold(struct place *p, struct conn_io *c, const char *big_topic, const char *topic)
{
    char big[LIMIT] = { 0 };

    memset(big, 'x', sizeof big - 1);
    stick(c, 5);
    publish_to(p, big_topic, big, 1); /* waits */
    stick(c, 2);
    publish_to(p, topic, "not for it", 1);
    (void)expect_publish(c, big_topic, big, 1);
    expect_nothing(c);
}

/* Each has a message of a group it has to leave, for a group the other one has to leave as well. */
static void members_that_may_not_have_what_they_hold_pass_it_on_once(void **state UNUSED)
{ /* MT-74, MT-107; MQTT5 [MQTT-4.8.2-4] */
    struct place p;
    struct key *key;
    struct conn_io *one, *two;

    open_place(&p);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    one = connected_with(&p, 0, (struct connect_wish){ .scope = ABC, .key = key });
    two = connected_with(&p, 0, (struct connect_wish){ .scope = ABC, .key = key });
    client_subscribe(one, "$share/A/a/#", 1, 1);
    client_subscribe(two, "$share/B/b/#", 1, 1);
    client_subscribe(two, "$share/A/a/#", 1, 1);
    client_subscribe(one, "$share/B/b/#", 1, 1);
    for (int i = 0; i < 2; i++) { /* three are left in the end: homes are not told of another part */
        client_subscribe(i == 0 ? one : two, "$share/D/c/d/#", 1, 1);
        client_subscribe(i == 0 ? one : two, "$share/E/c/d/#", 1, 1);
    }
    client_subscribe(one, "c/1", 1, 1);
    client_subscribe(two, "c/2", 1, 1);
    hold(&p, one, "c/1", "a/x");
    hold(&p, two, "c/2", "b/x");
    renew(one, key, "[[\"b/#\",[\"sub\"]],[\"c/#\",[\"sub\"]]]", 5);
    renew(two, key, "[[\"a/#\",[\"sub\"]],[\"c/#\",[\"sub\"]]]", 5);
    stick(two, 2);
    client_unstick(one);
    client_unstick(two);
    bench_run(p.b);
    (void)expect_publish(one, "b/x", "not for it", 1);
    expect_nothing(one);
    (void)expect_publish(two, "a/x", "not for it", 1);
    expect_nothing(two);
    assert_int_equal(STAT(p.b, queued_messages), 4); /* in flight, with what filled the output */
    key_unref(key);
    bench_free(p.b);
}

static void a_narrower_token_gets_nothing_of_the_groups_it_loses(void **state UNUSED)
{ /* MT-98, MT-107 */
    struct place p;
    struct key *key;
    struct conn_io *c;

    open_place(&p);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    c = connected_with(&p, 0, (struct connect_wish){ .scope = ABC, .key = key });
    client_subscribe(c, "$share/A/a/#", 1, 1);
    client_subscribe(c, "$share/B/b/#", 1, 1);
    stick(c, 5);
    publish_to(&p, "b/x", "secret", 1); /* waits in the group: it does not read */
    renew(c, key, "[[\"c/#\",[\"sub\"]]]", 2);
    client_unstick(c);
    expect_nothing(c);
    assert_int_equal(STAT(p.b, subscriptions_lost), 2);
    key_unref(key);
    bench_free(p.b);
}

/* The peer has ended the connection, and what cannot be written any more has not been sent to it. */
static void what_an_ending_connection_could_not_take_goes_to_another_member(void **state UNUSED)
{ /* MQTT5 4.8.2; QoS 2 too: it has not been sent to this client */
    for (uint8_t qos = 1; qos <= 2; qos++) {
        struct place p;
        struct conn_io *goes, *stays;

        place_open(&p, 1, 0);
        goes = member(&p, 0, 2);
        stays = member(&p, 0, 2);
        goes->ending = true;
        publish_many(&p, 0, 4, qos);
        client_drop(goes);
        bench_run(p.b);
        assert_int_equal(take_all(stays), 4);
        assert_int_equal(STAT(p.b, queued_messages), 0);
        bench_free(p.b);
    }
}

/* And if its session goes on, the next connection gets it as something new. */
static void what_an_ending_connection_could_not_take_is_no_duplicate(void **state UNUSED)
{ /* MQTT5 [MQTT-3.3.1-1] */
    struct connect_wish wish = { .id = "returns", .sub = "s", .scope = ALL, .expiry_s = 100, .resume = true };
    struct place p;
    struct conn_io *c;

    place_open(&p, 1, 0);
    c = connected_with(&p, 0, wish);
    client_subscribe(c, "a/#", 2, 2);
    c->ending = true;
    publish_many(&p, 0, 3, 2);
    client_drop(c);
    c = connected_with(&p, 0, wish);
    for (unsigned i = 0; i < 3; i++) {
        const char text[] = { (char)('0' + i), '\0' };

        assert_false(expect_publish(c, "a/x", text, 2).dup);
    }
    bench_free(p.b);
}

/* All shards but this one do nothing. */
static void let(struct place *p, unsigned shard)
{
    while (bench_turn(p->b, shard))
        ;
}

/* Each group would hand out as much as there is room for altogether, and a message between shards takes memory. */
static void a_member_of_many_groups_is_handed_no_more_than_it_has_room_for(void **state UNUSED)
{
    enum { GROUPS = 64, ROOM = 64 };
    struct place p;
    struct conn_io *c;
    unsigned groups = 0, on_their_way = 0;

    place_open(&p, 3, 1);
    c = connected_with(&p, 2, (struct connect_wish){ .scope = ALL, .receive_maximum = ROOM });
    for (unsigned i = 0; groups < GROUPS; i++) {
        char group[32];

        snprintf(group, sizeof group, "$share/n%u/a/#", i);
        if (shard_home(&p.b->settings, 3, span_of_str(group)) != 1)
            continue;
        client_subscribe(c, group, 1, 1);
        groups++;
    }
    p.b->manual = true;
    for (uint16_t i = 0; i < ROOM; i++)
        client_publish(p.pub, "a/x", "m", 1, (uint16_t)(1 + i));
    let(&p, p.pub->at);
    let(&p, 1);
    for (const struct shard_msg *msg = p.b->inbox[2]; msg != NULL; msg = msg->next)
        on_their_way += msg->kind == MSG_SHARE_TAKE;
    assert_in_range(on_their_way, 1, 2 * ROOM);
    p.b->manual = false;
    bench_run(p.b);
    assert_int_equal(take_all(c), GROUPS * ROOM); /* and all of it comes */
    assert_int_equal(STAT(p.b, queued_messages), 0);
    bench_free(p.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_of_qos_0_that_is_full_does_not_stop_the_broker),
        cmocka_unit_test(members_that_may_not_have_what_they_hold_pass_it_on_once),
        cmocka_unit_test(a_narrower_token_gets_nothing_of_the_groups_it_loses),
        cmocka_unit_test(what_an_ending_connection_could_not_take_goes_to_another_member),
        cmocka_unit_test(what_an_ending_connection_could_not_take_is_no_duplicate),
        cmocka_unit_test(a_member_of_many_groups_is_handed_no_more_than_it_has_room_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
