/* Durability where several things come together: a store that is full or fails while something is under way, a calendar that
 * went back, an order that must hold over a crash, memory that is short at the start. */
#include "harness_disk.h"

#include "crypto/hash.h"
#include "support/failing_memory.h"

#include <stdio.h>

#define ALL "[[\"#\",[\"pub\",\"sub\"]]]"

static void on_inside(bool yes)
{
    failing_memory_pause(!yes);
}

static struct bench *with_disk(unsigned shards)
{
    struct bench *b = bench_new(shards);

    bench_disk(b);
    return b;
}

static struct conn_io *durable(struct bench *b, const char *id)
{
    return client_connected_with(b, &(struct connect_wish){ .id = id, .scope = ALL, .expiry_s = 1000 });
}

static struct conn_io *come_back(struct bench *b, const char *id)
{
    struct conn_io *c = client_new(b);

    client_connect(c, &(struct connect_wish){ .id = id, .scope = ALL, .expiry_s = 1000, .resume = true });
    assert_true(expect_connack(c, MQTT_SUCCESS).session_present);
    return c;
}

/* ---- full, or failing ---- */

/* It commits what is on its way, and refuses what is new. */
static void be_full(struct bench *b)
{
    struct why why;

    (void)reject(&why, ST_TOO_LARGE, "store", "full", 0);
    for (unsigned i = 0; i < b->count; i++)
        shard_store_state(b->shard[i], ST_TOO_LARGE, why, b->now);
    bench_run(b);
}

static void nothing_overtakes_when_the_store_becomes_full(void **state)
{ /* MQTT5 [MQTT-4.6.0-6] */
    struct bench *b = with_disk(1);
    struct conn_io *sub = durable(b, "sub"), *pub = client_connected(b, "pub", ALL);

    (void)state;
    client_subscribe(sub, "x", 2, 2);
    b->disk->manual = true;
    client_publish(pub, "x", "first", 2, 1);
    client_publish(pub, "x", "second", 0, 0);
    be_full(b);
    client_publish(pub, "x", "third", 0, 0);
    expect_nothing(sub);
    disk_commit(b);
    (void)expect_publish(sub, "x", "first", 2);
    (void)expect_publish(sub, "x", "second", 0);
    (void)expect_publish(sub, "x", "third", 0);
    bench_free(b);
}

static void answers_to_publications_keep_their_order_when_the_store_fails(void **state)
{ /* MQTT5 [MQTT-4.6.0-2] */
    struct bench *b = with_disk(1);
    struct conn_io *sub = durable(b, "sub"), *pub = client_connected(b, "pub", ALL);

    (void)state;
    client_subscribe(sub, "x", 2, 2);
    b->disk->manual = true;
    client_publish(pub, "x", "1", 1, 1);
    client_publish(pub, "nobody", "2", 1, 2); /* waits for nothing but the one before */
    client_publish(pub, "x", "3", 1, 3);
    expect_nothing(pub);
    disk_fail(b, ST_IO);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_QUOTA_EXCEEDED);
    (void)expect_ack(pub, MQTT_PUBACK, 2, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBACK, 3, MQTT_QUOTA_EXCEEDED);
    bench_free(b);
}

static void who_is_refused_for_want_of_a_disk_leaves_no_will(void **state)
{ /* MQTT5 [MQTT-3.1.2-8]: of a connection that was made */
    struct bench *b = with_disk(1);
    struct conn_io *watcher = client_connected(b, "watcher", ALL), *c = client_new(b);

    (void)state;
    client_subscribe(watcher, "will", 0, 0);
    b->disk->manual = true;
    client_connect(
        c, &(struct connect_wish){
               .id = "c", .scope = ALL, .expiry_s = 1000, .will_topic = "will", .will_payload = "died" });
    expect_nothing(c);
    disk_fail(b, ST_IO);
    expect_refused(c, MQTT_QUOTA_EXCEEDED, "durability");
    expect_nothing(watcher);
    disk_recover(b);
    b->disk->manual = false;
    bench_run(b);
    bench_free(b);
}

/* Something on its way to shard 1 waits for the disk of shard 0; and somebody at home on shard 1. */
static struct conn_io *on_the_way(struct bench *b)
{
    char pub_id[32], sub_id[32];
    struct conn_io *sub, *pub;

    name_of_shard(b, 0, "pub", pub_id);
    name_of_shard(b, 1, "sub", sub_id);
    sub = client_connected(b, sub_id, ALL);
    client_subscribe(sub, "x", 2, 2);
    pub = durable(b, pub_id);
    b->disk->manual = true;
    client_publish(pub, "x", "1", 2, 1);
    expect_nothing(sub);
    return sub;
}

static void who_ends_with_his_connection_subscribes_while_the_store_fails(void **state)
{
    (void)state;
    for (int before = 0; before < 2; before++) {
        struct bench *b = with_disk(2);
        struct conn_io *sub = on_the_way(b);

        if (!before)
            disk_fail(b, ST_IO);
        client_subscribe_with(sub, wish_filter("#", 0), 0, 9);
        if (before) {
            expect_nothing(sub); /* behind the retained message that may be under way */
            disk_fail(b, ST_IO);
            bench_run(b);
        }
        (void)expect_suback(sub, 9, 0);
        bench_free(b);
    }
}

/* ---- the calendar ---- */

static void who_left_in_a_future_that_was_none_has_left_now(void **state)
{ /* MT-75 */
    struct bench *b = with_disk(1);
    struct conn_io *c = durable(b, "c"), *watcher = durable(b, "watcher");

    (void)state;
    client_subscribe(watcher, "will", 1, 1);
    client_subscribe(c, "x", 1, 1);
    client_bye(c);
    c = client_connected_with(b, &(struct connect_wish){ .id = "d",
                                                         .scope = ALL,
                                                         .expiry_s = 1000,
                                                         .will_topic = "will",
                                                         .will_payload = "died",
                                                         .will_qos = 1,
                                                         .will_delay_s = 100 });
    client_drop(c);
    bench_die(b);
    b->now.wall.s -= 1000000; /* a machine without a clock of its own */
    assert_int_equal(bench_start(b, 1, NULL), ST_OK);
    watcher = come_back(b, "watcher");
    bench_advance(b, 101 * 1000);
    (void)expect_publish(watcher, "will", "died", 1);
    bench_advance(b, 901 * 1000);
    assert_int_equal(STAT(b, sessions), 1);
    bench_free(b);
}

/* A machine whose calendar is set when the broker runs already. */
static void who_waits_since_before_the_calendar_was_set_has_not_waited_longer(void **state)
{ /* MT-75, MQTT5 [MQTT-3.3.2-5] */
    struct bench *b = with_disk(1);
    struct conn_io *c = durable(b, "c"), *pub = client_connected(b, "pub", ALL);

    (void)state;
    b->settings.keep_retained = true; /* whatever becomes of the publisher's token */
    client_subscribe(c, "x", 1, 1);
    client_drop(c);
    c = durable(b, "member");
    client_subscribe(c, "$share/g/x", 1, 1);
    client_drop(c);
    client_publish_with(
        pub, &(struct publish_wish){
                 .topic = "x", .payload = "1", .qos = 1, .packet_id = 1, .expiry_s = 500, .retain = true });
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    bench_jump(b, 50 * 365 * 86400);
    bench_advance(b, 1000);
    bench_crash(b, 1);
    bench_advance(b, 1000);
    (void)expect_publish(come_back(b, "c"), "x", "1", 1);
    (void)expect_publish(come_back(b, "member"), "x", "1", 1);
    pub = client_connected(b, "pub", ALL);
    client_subscribe(pub, "x", 0, 0);
    (void)expect_publish(pub, "x", "1", 0);
    bench_free(b);
}

/* ---- order ---- */

static void a_retained_message_is_older_than_what_came_meanwhile_after_a_crash_too(void **state)
{ /* MQTT5 [MQTT-4.6.0-6], [MQTT-4.4.0-1] */
    (void)state;
    for (int sent = 0; sent < 2; sent++) {
        struct bench *b = with_disk(2);
        char topic[32], sub_id[32], pub_id[32];
        struct conn_io *sub, *pub;

        name_of_shard(b, 1, "x", topic);
        name_of_shard(b, 0, "sub", sub_id);
        name_of_shard(b, 0, "pub", pub_id);
        pub = client_connected(b, pub_id, ALL);
        client_publish_with(pub,
                            &(struct publish_wish){
                                .topic = topic, .payload = "old", .qos = 1, .packet_id = 1, .retain = true });
        (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
        sub = durable(b, sub_id);
        b->manual = true;
        client_subscribe_with(sub, wish_filter(topic, 1), 0, 9);
        (void)bench_turn(b, 0); /* shard 1 is asked */
        client_publish(pub, topic, "new", 1, 2);
        (void)bench_turn(b, 0);
        b->manual = false;
        bench_run(b);
        (void)expect_suback(sub, 9, 1);
        (void)expect_publish(sub, topic, "old", 1);
        (void)expect_publish(sub, topic, "new", 1);
        if (!sent)
            client_drop(sub);
        bench_crash(b, sent ? 2 : 1);
        sub = come_back(b, sub_id);
        (void)expect_publish(sub, topic, "old", 1);
        (void)expect_publish(sub, topic, "new", 1);
        bench_free(b);
    }
}

/* ---- what nobody waits for ---- */

static void what_goes_with_much_else_does_not_pile_up(void **state)
{
    const unsigned many = 20000;
    struct bench *b = with_disk(1);
    struct conn_io *c = durable(b, "c"), *pub;

    (void)state;
    b->settings.max_queue_messages = many;
    b->settings.receive_maximum = 65535;
    pub = client_connected(b, "pub", ALL);
    client_subscribe(c, "x", 1, 1);
    client_drop(c);
    b->manual = true;
    for (unsigned i = 0; i < many; i++)
        client_publish_with(
            pub, &(struct publish_wish){
                     .topic = "x", .payload = "1", .qos = 1, .packet_id = (uint16_t)(i + 1), .expiry_s = 10 });
    b->manual = false;
    bench_run(b);
    assert_int_equal(disk_records(b, 'm'), many);
    bench_advance(b, 20 * 1000);
    b->disk->manual = true;
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .expiry_s = 1000, .resume = true });
    disk_commit(b); /* all have expired: each takes its message along */
    assert_true(expect_connack(c, MQTT_SUCCESS).session_present);
    expect_nothing(c);
    assert_int_equal(disk_records(b, 'q'), 0);
    assert_int_equal(disk_records(b, 'm'), 0);
    bench_free(b);
}

/* ---- memory that is short at the start ---- */

static void what_was_between_shards_is_not_lost_by_a_start_without_memory(void **state)
{
    long n = 1;
    bool found = false;

    (void)state;
    while (!found) {
        struct bench *b = with_disk(2);
        char pub_id[32], sub_id[32];
        struct conn_io *pub, *sub;
        enum status st;

        name_of_shard(b, 0, "pub", pub_id);
        name_of_shard(b, 1, "sub", sub_id);
        sub = durable(b, sub_id);
        client_subscribe(sub, "x", 2, 2);
        client_drop(sub);
        pub = durable(b, pub_id);
        b->disk->manual = true;
        client_publish(pub, "x", "1", 2, 1);
        disk_commit_unheard(b, 0);
        bench_die(b);
        assert_int_equal(disk_records(b, 'o'), 1);
        b->disk->manual = false;
        b->inside = on_inside;
        failing_memory_begin(n);
        failing_memory_pause(true);
        st = bench_start(b, 2, NULL);
        found = failing_memory_end() < n;
        b->inside = NULL;
        if (st != ST_OK) {
            assert_int_equal(st, ST_NO_MEMORY);
            assert_int_equal(disk_records(b, 'o'), 1);
            bench_die(b);
            assert_int_equal(bench_start(b, 2, NULL), ST_OK);
        }
        bench_run(b);
        (void)expect_publish(come_back(b, sub_id), "x", "1", 2);
        bench_free(b);
        n++;
    }
    assert_true(n > 10);
}

/* ---- memory that is short where something arrives once ---- */

#define READERS 3

struct arrival {
    bool lasting; /* no memory at all from the n-th allocation on */
    bool crash;   /* before there is any again */
    bool retained;
};

/* The PUBREC of "1" and "2" says that they will be delivered; while they come to the other shard there is no memory. Returns how many
 * allocations there were; *ret_waited: and the log says so. */
static long arrive_without_memory(const struct arrival *how, long n, bool *ret_waited)
{
    static const char *const subs[READERS] = { "sub-a-", "sub-b-", "sub-c-" };
    struct bench *b = with_disk(2);
    struct conn_io *pub, *sub[READERS];
    char pub_id[32], sub_id[READERS][32], topic[32];
    bool waits;
    long made;

    name_of_shard(b, 0, "pub", pub_id);
    name_of_shard(b, 1, "topic", topic); /* the retained one lives there as well */
    for (int i = 0; i < READERS; i++) {
        name_of_shard(b, 1, subs[i], sub_id[i]);
        sub[i] = durable(b, sub_id[i]);
        client_subscribe(sub[i], topic, 2, 2);
    }
    pub = durable(b, pub_id);
    b->disk->manual = b->manual = true;
    for (uint16_t id = 1; id <= 2; id++)
        client_publish_with(pub, &(struct publish_wish){ .topic = topic,
                                                         .payload = id == 1 ? "1" : "2",
                                                         .qos = 2,
                                                         .packet_id = id,
                                                         .retain = how->retained });
    bench_run(b); /* one turn, one batch */
    b->manual = false;
    (void)(how->lasting ? failing_memory_begin_lasting : failing_memory_begin)(n);
    failing_memory_pause(true);
    b->inside = on_inside;
    assert_true(disk_commit_of(b, 0));
    bench_run(b);
    b->inside = NULL;
    made = failing_memory_end();
    waits = STAT(b, memory_awaited) == 1;
    *ret_waited = *ret_waited || waits;
    assert_int_equal(log_count(b, "memory_awaited"), waits ? 1 : log_count(b, "memory_came"));
    (void)expect_ack(pub, MQTT_PUBREC, 1, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBREC, 2, MQTT_SUCCESS);
    if (how->crash)
        bench_crash(b, 2);
    b->disk->manual = false;
    while (disk_commit(b)) /* what was sealed before */
        bench_run(b);
    bench_advance(b, 200);
    assert_int_equal(STAT(b, memory_awaited), 0);
    assert_int_equal(log_count(b, "memory_came") + (how->crash && waits), log_count(b, "memory_awaited"));
    for (int i = 0; i < READERS; i++) {
        if (how->crash || sub[i]->closed) /* or there was no memory for its connection */
            sub[i] = come_back(b, sub_id[i]);
        (void)expect_publish(sub[i], topic, "1", 2);
        (void)expect_publish(sub[i], topic, "2", 2);
        expect_nothing(sub[i]);
    }
    assert_int_equal(disk_records(b, 'o'), 0);
    if (how->retained) {
        client_subscribe(durable(b, "late"), topic, 2, 2);
        assert_int_equal(disk_records(b, 'r'), 1);
    }
    bench_free(b);
    return made;
}

static void what_arrives_once_waits_for_memory(void **state) /* MQTT5 [MQTT-4.3.3-2], docs/decisions/0024 */
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        const struct arrival how = { .lasting = (i & 1) != 0, .crash = (i & 2) != 0, .retained = (i & 4) != 0 };
        bool waited = false;
        long n = 1;

        while (arrive_without_memory(&how, n, &waited) >= n)
            n++;
        assert_true(waited);
        assert_true(n > READERS);
    }
}

/* ---- tokens ---- */

static void wake(void *ctx)
{
    (void)ctx;
}

static void write_down(struct bench *b)
{
    struct token_change *change = token_store_take_changes(b->tokens), *next;
    uint64_t last = 0;

    for (; change != NULL; change = next) {
        next = change->next;
        last = change->number;
        token_change_free(change);
    }
    token_store_committed(b->tokens, last);
    shard_tokens_stored(b->shard[0], b->now);
    bench_run(b);
}

static void a_token_that_begins_to_live_by_re_authentication_does_so_once(void **state)
{ /* AF-75, MT-107 */
    struct bench *b = bench_new(1);
    struct key *key;
    struct conn_io *c;
    struct mqtt_auth auth;
    struct buf token, data, pop;

    (void)state;
    bench_tokens(b, NULL);
    bench_disk(b);
    token_store_set_journal(b->tokens, wake, NULL);
    buf_init(&token, 65535);
    buf_init(&data, 65535);
    buf_init(&pop, ACE_POP_MAX);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    c = client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = ALL, .key = key });
    token_make(b,
               &(struct token_wish){
                   .scope = ALL, .sub = "c", .key = key, .exi_s = 60, .sequence = 1, .has_iat = true },
               &token);
    assert_int_equal(auth_data_write_connect(buf_span(&token), SPAN_NONE, &data), ST_OK);
    client_auth(c, MQTT_REAUTHENTICATE, ACE_METHOD, buf_span(&data));
    auth = expect_auth(c, MQTT_CONTINUE_AUTHENTICATION);
    assert_int_equal(pop_make_nonces(key, auth.properties.auth_data, SPAN("12345678"), &pop), ST_OK);
    buf_reset(&data);
    assert_int_equal(auth_data_write_answer(SPAN("12345678"), buf_span(&pop), false, &data), ST_OK);
    client_auth(c, MQTT_CONTINUE_AUTHENTICATION, ACE_METHOD, buf_span(&data));
    expect_nothing(c); /* said when it is on disk that its life has begun */
    write_down(b);
    (void)expect_auth(c, MQTT_SUCCESS);
    buf_done(&token);
    buf_done(&data);
    buf_done(&pop);
    key_unref(key);
    bench_free(b);
}

/* Its last connection let it end with itself; that is on its way to the disk, and no more, when it has ended. */
static void a_session_that_ended_is_not_denied_before_the_disk_knows(void **state UNUSED)
{
    struct bench *b = with_disk(1);
    struct conn_io *c = durable(b, "c");
    struct connect_wish wish = { .id = "c", .scope = ALL, .resume = true };

    client_drop(c);
    b->disk->manual = true;
    c = client_new(b);
    client_connect(c, &wish);
    expect_nothing(c);
    client_drop(c);
    c = client_new(b);
    client_connect(c, &wish);
    expect_nothing(c); /* were it told now that there is no session, one could come back after a crash */
    disk_commit(b);
    bench_run(b);
    disk_commit(b);
    assert_false(expect_connack(c, MQTT_SUCCESS).session_present);
    bench_crash(b, 1);
    c = client_new(b);
    client_connect(c, &wish);
    assert_false(expect_connack(c, MQTT_SUCCESS).session_present);
    bench_free(b);
}

static void a_retained_message_beyond_the_limit_is_not_acknowledged_as_kept(void **state UNUSED)
{
    for (unsigned shards = 1; shards <= 3; shards++) {
        struct bench *b = with_disk(shards);
        struct conn_io *pub;

        b->settings.max_retained_messages = 0;
        pub = client_connected(b, "pub", ALL);
        for (uint16_t i = 1; i <= 6; i++) { /* at home on each shard */
            char topic[16];
            snprintf(topic, sizeof topic, "t/%u", i);
            client_publish_with(pub, &(struct publish_wish){ .topic = topic,
                                                             .payload = "kept?",
                                                             .qos = (uint8_t)(1 + i % 2),
                                                             .packet_id = i,
                                                             .retain = true });
            (void)expect_ack(pub, i % 2 == 0 ? MQTT_PUBACK : MQTT_PUBREC, i, MQTT_QUOTA_EXCEEDED);
        }
        client_publish(pub, "t/7", "not to be kept", 1, 7);
        (void)expect_ack(pub, MQTT_PUBACK, 7, MQTT_SUCCESS);
        bench_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_overtakes_when_the_store_becomes_full),
        cmocka_unit_test(answers_to_publications_keep_their_order_when_the_store_fails),
        cmocka_unit_test(who_is_refused_for_want_of_a_disk_leaves_no_will),
        cmocka_unit_test(who_ends_with_his_connection_subscribes_while_the_store_fails),
        cmocka_unit_test(who_left_in_a_future_that_was_none_has_left_now),
        cmocka_unit_test(who_waits_since_before_the_calendar_was_set_has_not_waited_longer),
        cmocka_unit_test(a_retained_message_is_older_than_what_came_meanwhile_after_a_crash_too),
        cmocka_unit_test(what_goes_with_much_else_does_not_pile_up),
        cmocka_unit_test(what_was_between_shards_is_not_lost_by_a_start_without_memory),
        cmocka_unit_test(what_arrives_once_waits_for_memory),
        cmocka_unit_test(a_session_that_ended_is_not_denied_before_the_disk_knows),
        cmocka_unit_test(a_retained_message_beyond_the_limit_is_not_acknowledged_as_kept),
        cmocka_unit_test(a_token_that_begins_to_live_by_re_authentication_does_so_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
