/* What is acknowledged is on disk: who waits for which batch, and what is there after a crash (shard/journal.h, gate.h). */
#include "harness_disk.h"

#include "support/failing_memory.h"

#define ALL "[[\"#\",[\"pub\",\"sub\"]]]"

static void on_inside(bool yes)
{
    failing_memory_pause(!yes);
}

static int one_shard(void **state)
{
    struct bench *b = bench_new(1);

    *state = b;
    bench_disk(b);
    return 0;
}

static struct bench *shards_with_disk(unsigned count)
{
    struct bench *b = bench_new(count);

    bench_disk(b);
    return b;
}

/* A session that outlives its connection. */
static struct conn_io *durable(struct bench *b, const char *id, bool resume)
{
    return client_connected_with(
        b, &(struct connect_wish){ .id = id, .scope = ALL, .expiry_s = 1000, .resume = resume });
}

static struct conn_io *present(struct bench *b, const char *id)
{
    struct conn_io *c = client_new(b);

    client_connect(c, &(struct connect_wish){ .id = id, .scope = ALL, .expiry_s = 1000, .resume = true });
    assert_true(expect_connack(c, MQTT_SUCCESS).session_present);
    return c;
}

/* The same in MQTT 3.1.1. */
static struct conn_io *durable3(struct bench *b, const char *id)
{
    return client_connected_with(b,
                                 &(struct connect_wish){ .id = id, .scope = ALL, .v3 = true, .resume = true });
}

/* A durable subscriber of x and a publisher whose session ends with its connection; from now on the disk waits. */
static void pair_up(struct bench *b, uint8_t qos, struct conn_io **sub, struct conn_io **pub)
{
    *sub = durable(b, "sub", false);
    client_subscribe(*sub, "x", qos, qos);
    *pub = client_connected(b, "pub", ALL);
    b->disk->manual = true;
}

/* ---- who waits ---- */

static void puback_leaves_when_the_batch_is_durable_and_right_then(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub;

    pair_up(b, 1, &sub, &pub);
    client_publish(pub, "x", "1", 1, 5);
    expect_nothing(pub);
    (void)expect_publish(sub, "x", "1", 1); /* QoS 1 may be said twice, so it need not wait */
    assert_true(disk_commit(b));
    (void)expect_ack(pub, MQTT_PUBACK, 5, MQTT_SUCCESS);
    expect_nothing(pub);
}

static void what_no_session_on_disk_is_to_get_waits_for_nothing(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub = client_connected(b, "sub", ALL), *pub = client_connected(b, "pub", ALL);

    b->disk->manual = true;
    client_subscribe(sub, "x", 2, 2);
    for (uint8_t qos = 0; qos < 3; qos++)
        client_publish(pub, "x", "1", qos, qos);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBREC, 2, MQTT_SUCCESS);
    client_ack(pub, MQTT_PUBREL, 2, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBCOMP, 2, MQTT_SUCCESS);
    for (uint8_t qos = 0; qos < 3; qos++)
        (void)expect_publish(sub, "x", "1", qos);
    assert_false(disk_waits(b->disk, 0));
    assert_int_equal(disk_records(b, 0), 1); /* who writes here */
}

static void qos_0_to_a_session_on_disk_is_not_written(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub;

    pair_up(b, 1, &sub, &pub);
    client_publish(pub, "x", "1", 0, 0);
    (void)expect_publish(sub, "x", "1", 0);
    assert_false(disk_waits(b->disk, 0));
}

static void acknowledgements_keep_their_order(void **state)
{ /* MQTT5 [MQTT-4.6.0-2], [MQTT-4.6.0-3] */
    struct bench *b = *state;
    struct conn_io *sub, *pub;

    pair_up(b, 1, &sub, &pub);
    client_publish(pub, "x", "1", 1, 1);
    client_publish(pub, "nobody", "2", 1, 2);
    client_publish(pub, "nobody", "3", 2, 3);
    client_ping(pub);
    client_publish(pub, "x", "4", 2, 4);
    {
        struct mqtt_frame frame; /* which passes */

        assert_true(client_next(pub, &frame));
        assert_int_equal(frame.type, MQTT_PINGRESP);
    }
    expect_nothing(pub);
    disk_commit(b);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBACK, 2, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBREC, 3, MQTT_SUCCESS);
    expect_nothing(pub); /* 4 came when that batch was on its way */
    disk_commit(b);
    (void)expect_ack(pub, MQTT_PUBREC, 4, MQTT_SUCCESS);
}

static void one_batch_serves_all_who_wait(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub, *pub2 = client_connected(b, "pub2", ALL);
    uint64_t commits;

    pair_up(b, 1, &sub, &pub);
    client_publish(pub, "x", "0", 1, 1);
    commits = b->disk->commits;
    for (uint16_t i = 1; i < 50; i++) {
        client_publish(pub, "x", "a", 1, (uint16_t)(i + 1));
        client_publish(pub2, "x", "b", 1, i);
    }
    disk_commit(b); /* the first */
    disk_commit(b); /* all that came meanwhile */
    assert_int_equal(b->disk->commits - commits, 2);
    for (uint16_t i = 1; i < 50; i++) {
        (void)expect_ack(pub, MQTT_PUBACK, i, MQTT_SUCCESS);
        (void)expect_ack(pub2, MQTT_PUBACK, i, MQTT_SUCCESS);
    }
    (void)expect_ack(pub, MQTT_PUBACK, 50, MQTT_SUCCESS);
}

static void what_is_acknowledged_before_its_batch_is_never_written(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub;
    uint16_t id;

    pair_up(b, 1, &sub, &pub);
    client_publish(pub, "x", "1", 1, 1); /* its batch is on its way */
    (void)expect_publish(sub, "x", "1", 1);
    client_publish(pub, "x", "2", 1, 2);
    id = expect_publish(sub, "x", "2", 1).packet_id;
    client_ack(sub, MQTT_PUBACK, id, MQTT_SUCCESS);
    disk_commit(b);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBACK, 2, MQTT_SUCCESS); /* there is nothing to wait for */
    assert_false(disk_waits(b->disk, 0));
    assert_int_equal(disk_records(b, 'q'), 1);
    assert_int_equal(disk_records(b, 'm'), 1);
}

static void a_message_for_many_is_written_once(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL);

    for (int i = 0; i < 20; i++) {
        char id[8] = { 's', (char)('a' + i) };
        struct conn_io *c = durable(b, id, false);

        client_subscribe(c, "x", 1, 1);
        client_drop(c);
    }
    client_publish(pub, "x", "to all of you", 1, 1);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    assert_int_equal(disk_records(b, 'q'), 20);
    assert_int_equal(disk_records(b, 'm'), 1);
}

static void connack_waits_and_everything_behind_it(void **state)
{
    struct bench *b = *state;
    struct conn_io *c;

    client_publish_with(client_connected(b, "pub", ALL),
                        &(struct publish_wish){ .topic = "x", .payload = "kept", .retain = true });
    b->disk->manual = true;
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .expiry_s = 100 });
    client_subscribe_with(c, wish_filter("x", 0), 0, 9);
    client_ping(c);
    expect_nothing(c);
    disk_commit(b); /* of the retained message */
    while (disk_commit(b))
        continue;
    (void)expect_connack(c, MQTT_SUCCESS);
    (void)expect_suback(c, 9, 0);
    (void)expect_publish(c, "x", "kept", 0);
}

static void a_session_that_ends_with_its_connection_is_welcomed_at_once(void **state)
{
    struct bench *b = *state;

    b->disk->manual = true;
    client_subscribe(client_connected(b, "c", ALL), "x", 2, 2);
    assert_int_equal(disk_records(b, 0), 1); /* who writes here */
    assert_false(disk_waits(b->disk, 0));
}

static void suback_and_unsuback_wait(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = durable(b, "c", false);
    struct mqtt_frame frame;

    b->disk->manual = true;
    client_subscribe_with(c, wish_filter("x", 1), 3, 7);
    expect_nothing(c);
    disk_commit(b);
    (void)expect_suback(c, 7, 1);
    assert_int_equal(disk_records(b, 'b'), 1);
    client_unsubscribe(c, "x");
    expect_nothing(c);
    disk_commit(b);
    assert_true(client_next(c, &frame));
    assert_int_equal(frame.type, MQTT_UNSUBACK);
    assert_int_equal(disk_records(b, 'b'), 0);
}

static void a_retained_message_is_durable_when_it_is_acknowledged(void **state)
{
    struct bench *b = *state;
    struct conn_io *pub = client_connected(b, "pub", ALL), *c;

    b->disk->manual = true;
    client_publish_with(
        pub, &(struct publish_wish){ .topic = "x", .payload = "v1", .qos = 1, .packet_id = 1, .retain = true });
    expect_nothing(pub);
    disk_commit(b);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    client_publish_with(
        pub, &(struct publish_wish){ .topic = "x", .payload = "v2", .qos = 1, .packet_id = 2, .retain = true });
    expect_nothing(pub); /* and not stored */
    b->disk->manual = false;
    bench_crash(b, 1);
    c = client_connected(b, "c", ALL);
    client_subscribe(c, "x", 0, 0);
    (void)expect_publish(c, "x", "v1", 0);
    client_publish_with(
        client_connected(b, "pub", ALL),
        &(struct publish_wish){ .topic = "x", .payload = "", .qos = 1, .packet_id = 3, .retain = true });
    assert_int_equal(disk_records(b, 'r'), 0);
}

static void what_the_broker_says_of_itself_is_not_written(void **state)
{
    struct bench *b = *state;

    bench_advance(b, 30000);
    assert_int_equal(disk_records(b, 'r'), 0);
}

/* ---- QoS 2, each step and a crash there ---- */

static void a_qos_2_publication_that_was_not_acknowledged_is_new_after_a_crash(void **state)
{ /* MQTT5 4.3.3 */
    struct bench *b = *state;
    struct conn_io *sub = durable(b, "sub", false), *pub = durable(b, "pub", false);

    client_subscribe(sub, "x", 1, 1);
    client_drop(sub);
    b->disk->manual = true;
    client_publish(pub, "x", "1", 2, 1);
    expect_nothing(pub);
    b->disk->manual = false;
    bench_crash(b, 1); /* its batch never was */
    pub = present(b, "pub");
    client_publish_with(
        pub, &(struct publish_wish){ .topic = "x", .payload = "1", .qos = 2, .packet_id = 1, .dup = true });
    (void)expect_ack(pub, MQTT_PUBREC, 1, MQTT_SUCCESS);
    sub = present(b, "sub");
    (void)expect_publish(sub, "x", "1", 1);
    expect_nothing(sub);
}

static void a_qos_2_publication_on_disk_is_not_new_after_a_crash(void **state)
{ /* MQTT5 [MQTT-4.3.3-10], [MQTT-4.3.3-12] */
    struct bench *b = *state;
    struct conn_io *sub = durable(b, "sub", false), *pub = durable(b, "pub", false);

    client_subscribe(sub, "x", 1, 1);
    client_drop(sub);
    b->disk->manual = true;
    client_publish(pub, "x", "1", 2, 1);
    disk_commit(b); /* of the drop, perhaps */
    while (disk_waits(b->disk, 0))
        disk_commit_unheard(b, 0);
    b->disk->manual = false;
    bench_crash(b, 1);
    pub = present(b, "pub");
    client_publish_with(
        pub, &(struct publish_wish){ .topic = "x", .payload = "1", .qos = 2, .packet_id = 1, .dup = true });
    (void)expect_ack(pub, MQTT_PUBREC, 1, MQTT_SUCCESS);
    client_ack(pub, MQTT_PUBREL, 1, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBCOMP, 1, MQTT_SUCCESS);
    sub = present(b, "sub");
    (void)expect_publish(sub, "x", "1", 1);
    expect_nothing(sub);
}

static void pubcomp_waits_until_the_identifier_is_free_on_disk(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub = durable(b, "sub", false), *pub = durable(b, "pub", false);

    client_subscribe(sub, "x", 1, 1);
    client_publish(pub, "x", "1", 2, 1);
    (void)expect_ack(pub, MQTT_PUBREC, 1, MQTT_SUCCESS);
    (void)expect_publish(sub, "x", "1", 1);
    b->disk->manual = true;
    client_ack(pub, MQTT_PUBREL, 1, MQTT_SUCCESS);
    expect_nothing(pub);
    disk_commit(b);
    (void)expect_ack(pub, MQTT_PUBCOMP, 1, MQTT_SUCCESS);
    b->disk->manual = false;
    bench_crash(b, 1);
    pub = present(b, "pub"); /* the same identifier is another message now */
    client_publish(pub, "x", "2", 2, 1);
    (void)expect_ack(pub, MQTT_PUBREC, 1, MQTT_SUCCESS);
    sub = present(b, "sub");
    (void)expect_publish(sub, "x", "1", 1); /* never acknowledged */
    (void)expect_publish(sub, "x", "2", 1);
    expect_nothing(sub);
}

static void a_qos_2_message_leaves_when_its_identifier_is_on_disk(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub;
    uint16_t id;

    pair_up(b, 2, &sub, &pub);
    client_publish(pub, "x", "1", 2, 1);
    expect_nothing(sub);
    disk_commit(b);
    id = expect_publish(sub, "x", "1", 2).packet_id;
    b->disk->manual = false;
    bench_crash(b, 1);
    sub = present(b, "sub");
    {
        struct mqtt_publish p = expect_publish(sub, "x", "1", 2);

        assert_int_equal(p.packet_id, id); /* MQTT5 [MQTT-4.4.0-1] */
        assert_true(p.dup);
    }
    expect_nothing(sub);
}

static void pubrel_leaves_when_the_answer_to_it_is_on_disk(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub;
    uint16_t id;

    pair_up(b, 2, &sub, &pub);
    client_publish(pub, "x", "1", 2, 1);
    disk_commit(b);
    id = expect_publish(sub, "x", "1", 2).packet_id;
    client_ack(sub, MQTT_PUBREC, id, MQTT_SUCCESS);
    expect_nothing(sub);
    disk_commit(b);
    (void)expect_ack(sub, MQTT_PUBREL, id, MQTT_SUCCESS);
    client_ack(sub, MQTT_PUBCOMP, id, MQTT_SUCCESS); /* not on disk when the broker dies */
    b->disk->manual = false;
    bench_crash(b, 1);
    sub = present(b, "sub");
    (void)expect_ack(sub, MQTT_PUBREL, id, MQTT_SUCCESS); /* said again, and no message */
    client_ack(sub, MQTT_PUBCOMP, id, MQTT_PACKET_ID_NOT_FOUND);
    expect_nothing(sub);
    assert_int_equal(disk_records(b, 'q'), 0);
    assert_int_equal(disk_records(b, 'm'), 0);
}

static void qos_0_and_1_keep_their_place_behind_qos_2(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub;

    pair_up(b, 2, &sub, &pub);
    client_publish(pub, "x", "2", 2, 1);
    client_publish(pub, "x", "0", 0, 0);
    expect_nothing(sub);
    disk_commit(b);
    (void)expect_publish(sub, "x", "2", 2);
    (void)expect_publish(sub, "x", "0", 0);
}

static void what_never_left_the_gate_was_not_sent(void **state)
{ /* MQTT5 [MQTT-3.3.1-1] */
    struct bench *b = *state;
    struct conn_io *sub, *pub;

    pair_up(b, 2, &sub, &pub);
    client_publish(pub, "x", "1", 2, 1);
    client_publish(pub, "x", "2", 2, 2);
    client_drop(sub);
    b->disk->manual = false;
    bench_run(b);
    sub = present(b, "sub");
    assert_false(expect_publish(sub, "x", "1", 2).dup);
    assert_false(expect_publish(sub, "x", "2", 2).dup);
}

/* ---- sessions ---- */

static void a_session_comes_back_with_all_it_had(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = durable(b, "c", false), *pub = client_connected(b, "pub", ALL);

    client_subscribe(c, "x", 1, 1);
    client_subscribe_with(c, wish_filter("y/+", 2), 5, 8);
    (void)expect_suback(c, 8, 2);
    client_drop(c);
    client_publish(pub, "x", "1", 1, 1);
    client_publish(pub, "y/1", "2", 2, 2);
    bench_crash(b, 1);
    c = present(b, "c");
    (void)expect_publish(c, "x", "1", 1);
    (void)expect_publish(c, "y/1", "2", 2);
    client_publish(client_connected(b, "pub", ALL), "y/2", "3", 0, 0);
    {
        struct mqtt_publish p = expect_publish(c, "y/2", "3", 0);
        uint32_t id;
        size_t at = 0;

        assert_true(mqtt_next_subscription_id(&p.properties, &at, &id));
        assert_int_equal(id, 5);
    }
}

static void nobody_else_gets_a_session_from_the_disk(void **state)
{ /* MT-60 */
    struct bench *b = *state;
    struct conn_io *thief;

    client_subscribe(durable(b, "c", false), "x", 1, 1);
    bench_crash(b, 1);
    thief = client_new(b);
    client_connect(thief, &(struct connect_wish){ .id = "c", .scope = ALL, .sub = "somebody else" });
    expect_refused(thief, MQTT_CLIENT_ID_NOT_VALID, "ace.check_client_id_owner");
    (void)present(b, "c");
}

static void a_session_that_ended_is_gone_from_the_disk(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = durable(b, "c", false), *pub = client_connected(b, "pub", ALL);

    client_subscribe(c, "x", 1, 1);
    client_drop(c);
    client_publish(pub, "x", "1", 1, 1);
    assert_int_equal(disk_records(b, 'q'), 1);
    bench_advance(b, 1001 * 1000);
    assert_int_equal(disk_records(b, 's'), 0);
    assert_int_equal(disk_records(b, 'b'), 0);
    assert_int_equal(disk_records(b, 'q'), 0);
    assert_int_equal(disk_records(b, 'm'), 0);
}

static void clean_start_is_answered_when_the_old_session_is_gone_from_the_disk(void **state)
{ /* MQTT5 [MQTT-3.1.2-4] */
    struct bench *b = *state;
    struct conn_io *c = durable(b, "c", false), *pub = client_connected(b, "pub", ALL);

    client_subscribe(c, "x", 1, 1);
    client_drop(c);
    client_publish(pub, "x", "1", 1, 1);
    b->disk->manual = true;
    c = client_new(b);
    client_connect(
        c, &(struct connect_wish){ .id = "c", .scope = ALL }); /* and this one ends with its connection */
    expect_nothing(c);
    disk_commit(b);
    assert_false(expect_connack(c, MQTT_SUCCESS).session_present);
    b->disk->manual = false;
    bench_crash(b, 1);
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .resume = true });
    assert_false(expect_connack(c, MQTT_SUCCESS).session_present);
}

static void a_long_queue_goes_from_the_disk_in_parts(void **state)
{
    struct bench *b = *state;
    struct conn_io *c = durable(b, "c", false), *pub;

    b->settings.max_queue_messages = 10000;
    b->settings.receive_maximum = 65535;
    pub = client_connected(b, "pub", ALL);
    client_subscribe(c, "x", 1, 1);
    client_drop(c);
    b->manual = true;
    for (unsigned i = 0; i < 9000; i++)
        client_publish(pub, "x", "1", 1, (uint16_t)(i + 1));
    b->manual = false;
    bench_run(b);
    assert_int_equal(disk_records(b, 'q'), 9000);
    b->disk->manual = true;
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .expiry_s = 1000 });
    assert_in_range(disk_waiting(b, 0, 0), 16384, 16500);
    disk_commit(b);
    (void)expect_connack(c, MQTT_SUCCESS); /* for that nobody waits for the rest */
    b->disk->manual = false;
    bench_run(b);
    assert_int_equal(disk_records(b, 'q'), 0);
    assert_int_equal(disk_records(b, 'm'), 0);
}

static void an_expiry_changed_to_0_ends_the_session_after_a_crash_too(void **state)
{ /* MQTT5 3.1.2.11.2 */
    struct bench *b = *state;
    struct conn_io *c = durable(b, "c", false);

    client_subscribe(c, "x", 1, 1);
    c = client_connected_with(b, &(struct connect_wish){ .id = "c", .scope = ALL, .resume = true });
    assert_int_equal(disk_records(b, 's'), 0);
    bench_crash(b, 1);
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .resume = true });
    assert_false(expect_connack(c, MQTT_SUCCESS).session_present);
    assert_int_equal(disk_records(b, 'b'), 0); /* removed at the start */
}

static void time_goes_on_while_nobody_is_there(void **state)
{ /* MT-75 */
    struct bench *b = *state;
    struct conn_io *c = durable(b, "c", false);

    client_subscribe(c, "x", 1, 1);
    client_drop(c);
    bench_die(b);
    b->now.wall.s += 2000;
    b->now.mono.ms += 1000; /* another boot */
    assert_int_equal(bench_start(b, 1, NULL), ST_OK);
    bench_advance(b, 1000);
    assert_int_equal(STAT(b, sessions), 0);
    assert_int_equal(disk_records(b, 's'), 0);
}

static void a_will_is_left_by_who_was_connected_when_the_broker_died(void **state)
{ /* MT-112, MQTT5 [MQTT-3.1.2-8] */
    struct bench *b = *state;
    struct conn_io *watcher = durable(b, "watcher", false);

    client_subscribe(watcher, "will", 1, 1);
    (void)client_connected_with(b, &(struct connect_wish){ .id = "c",
                                                           .scope = ALL,
                                                           .expiry_s = 1000,
                                                           .will_topic = "will",
                                                           .will_payload = "died",
                                                           .will_qos = 1,
                                                           .will_delay_s = 60 });
    assert_int_equal(disk_records(b, 'w'), 1);
    bench_crash(b, 1);
    watcher = present(b, "watcher");
    bench_advance(b, 59000);
    expect_nothing(watcher);
    bench_advance(b, 2000);
    (void)expect_publish(watcher, "will", "died", 1);
    assert_int_equal(disk_records(b, 'w'), 0);
}

static void a_newer_connection_is_welcomed_and_the_older_is_told_before_it_was(void **state)
{ /* MT-76, MQTT5 [MQTT-3.14.0-1]: no DISCONNECT before CONNACK */
    struct bench *b = *state;
    struct conn_io *old, *c;

    b->disk->manual = true;
    old = client_new(b);
    client_connect(old, &(struct connect_wish){ .id = "c", .scope = ALL, .expiry_s = 100 });
    expect_nothing(old);
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .expiry_s = 100, .resume = true });
    expect_refused(old, MQTT_SERVER_UNAVAILABLE, "MT-76");
    while (disk_commit(b))
        continue;
    assert_true(expect_connack(c, MQTT_SUCCESS).session_present);
}

static void who_leaves_while_acknowledgements_wait_takes_nothing_along(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub;

    pair_up(b, 1, &sub, &pub);
    client_publish(pub, "x", "1", 1, 1);
    client_publish(pub, "x", "2", 1, 2);
    client_drop(pub);
    while (disk_commit(b))
        continue;
    (void)expect_publish(sub, "x", "1", 1);
    (void)expect_publish(sub, "x", "2", 1);
}

static void receive_maximum_counts_what_waits_for_the_disk(void **state)
{ /* MQTT5 [MQTT-3.3.4-7] */
    struct bench *b = *state;
    struct conn_io *sub, *pub;

    b->settings.receive_maximum = 3;
    pair_up(b, 1, &sub, &pub);
    for (uint16_t i = 1; i <= 3; i++)
        client_publish(pub, "x", "1", 1, i);
    expect_nothing(pub);
    client_publish(pub, "x", "1", 1, 4);
    (void)expect_disconnect(pub, MQTT_RECEIVE_MAXIMUM_EXCEEDED);
}

static void who_sends_on_while_the_disk_is_slow_is_not_read(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub = durable(b, "sub", false), *pub = durable3(b, "pub");
    uint16_t sent = 0, got = 0;
    struct mqtt_frame frame;

    b->settings.max_output_bytes = 1000;
    b->settings.max_queue_messages = 5;
    client_subscribe(sub, "x", 1, 1);
    client_drop(sub);
    b->disk->manual = true;
    while (!pub->paused && sent < 1000)
        client_publish(pub, "x", "1", 1, ++sent);
    assert_in_range(sent, 10, 100);
    client_publish(pub, "x", "1", 1, ++sent);
    assert_int_not_equal(pub->out.len, 0); /* not taken */
    b->disk->manual = false;
    bench_run(b);
    assert_false(pub->paused);
    while (client_next(pub, &frame))
        got++;
    assert_int_equal(got, sent);
}

/* ---- several shards ---- */

/* A durable subscriber of x at home on shard 1, away, and a publisher on shard 0. */
static struct conn_io *across(struct bench *b, uint8_t qos, bool publisher_durable, char sub_id[32])
{
    struct conn_io *c;
    char id[32];

    name_of_shard(b, 1, "sub", sub_id);
    c = durable(b, sub_id, false);
    client_subscribe(c, "x", qos, qos);
    client_drop(c);
    name_of_shard(b, 0, "pub", id);
    return client_connected_with(
        b, &(struct connect_wish){ .id = id, .scope = ALL, .expiry_s = publisher_durable ? 1000 : 0 });
}

static void puback_waits_for_the_disk_of_another_shard(void **state)
{
    struct bench *b = shards_with_disk(2);
    char sub[32];
    struct conn_io *pub = across(b, 1, false, sub);

    (void)state;
    b->disk->manual = true;
    client_publish(pub, "x", "1", 1, 1);
    expect_nothing(pub);
    assert_false(disk_waits(b->disk, 0));
    assert_true(disk_commit_of(b, 1));
    bench_run(b);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    b->disk->manual = false;
    bench_crash(b, 2);
    (void)expect_publish(present(b, sub), "x", "1", 1);
    bench_free(b);
}

static void what_changes_nothing_on_another_shard_is_confirmed_at_once(void **state)
{
    struct bench *b = shards_with_disk(2);
    struct conn_io *sub, *pub;
    char id[32];

    (void)state;
    name_of_shard(b, 1, "sub", id);
    sub = client_connected(b, id, ALL);
    client_subscribe(sub, "x", 1, 1);
    name_of_shard(b, 0, "pub", id);
    pub = client_connected(b, id, ALL);
    b->disk->manual = true;
    client_publish(pub, "x", "1", 1, 1);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    (void)expect_publish(sub, "x", "1", 1);
    assert_false(disk_waits(b->disk, 1));
    bench_free(b);
}

/* It has no memory for the delivery: nothing is promised. */
static void what_another_shard_had_no_memory_for_is_refused(void **state)
{
    (void)state;
    for (long n = 1; n <= 3; n++) { /* the message to it, the delivery there, the body there */
        struct bench *b = shards_with_disk(2);
        char sub[32];
        struct conn_io *pub = across(b, 1, false, sub);
        struct mqtt_ack ack;
        struct mqtt_frame frame;

        client_publish(pub, "x", "0", 0, 0); /* to nobody; what remembers matches has its memory from now on */
        b->manual = true;
        client_publish(pub, "x", "1", 1, 1);
        (void)bench_turn(b, 0);
        b->inside = on_inside;
        failing_memory_begin(n);
        failing_memory_pause(true);
        bench_run(b);
        (void)failing_memory_end();
        b->inside = NULL;
        b->manual = false;
        bench_run(b);
        assert_true(client_next(pub, &frame));
        assert_int_equal(frame.type, MQTT_PUBACK);
        assert_int_equal(mqtt_read_ack(&frame, MQTT_5, &ack, NULL), ST_OK);
        pub = present(b, sub);
        if (ack.reason == MQTT_SUCCESS)
            (void)expect_publish(pub, "x", "1", 1);
        else
            assert_int_equal(ack.reason, MQTT_QUOTA_EXCEEDED);
        assert_true(n > 2 || ack.reason == MQTT_QUOTA_EXCEEDED);
        bench_free(b);
    }
}

static void many_messages_are_confirmed_by_one_word(void **state)
{
    struct bench *b = shards_with_disk(3);
    char sub[32];
    struct conn_io *pub = across(b, 1, false, sub);

    (void)state;
    b->disk->manual = true;
    for (uint16_t i = 1; i <= 100; i++)
        client_publish(pub, "x", "1", 1, i);
    expect_nothing(pub);
    while (disk_commit(b))
        bench_run(b);
    for (uint16_t i = 1; i <= 100; i++)
        (void)expect_ack(pub, MQTT_PUBACK, i, MQTT_SUCCESS);
    bench_free(b);
}

static void a_retained_message_of_another_shard_is_durable_there_first(void **state)
{
    struct bench *b = shards_with_disk(2);
    struct conn_io *pub;
    char id[32], topic[32];

    (void)state;
    name_of_shard(b, 0, "pub", id);
    name_of_shard(b, 1, "topic", topic);
    pub = client_connected(b, id, ALL);
    b->disk->manual = true;
    client_publish_with(pub, &(struct publish_wish){
                                 .topic = topic, .payload = "v", .qos = 1, .packet_id = 1, .retain = true });
    expect_nothing(pub);
    assert_int_equal(disk_waiting(b, 1, 'r'), 1);
    disk_commit_of(b, 1);
    bench_run(b);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    bench_free(b);
}

/* Whichever batches of two shards were stored when the broker died: the message arrives, and once. */
static void qos_2_between_shards_comes_once_wherever_the_broker_dies(void **state)
{
    (void)state;
    for (unsigned stored = 0; stored < 8; stored++) {
        struct bench *b = shards_with_disk(2);
        char sub_id[32], pub_id[32];
        struct conn_io *pub = across(b, 2, true, sub_id), *sub;
        struct mqtt_frame frame;
        bool acknowledged;

        name_of_shard(b, 0, "pub", pub_id);
        b->disk->manual = true;
        client_publish(pub, "x", "1", 2, 1);
        for (unsigned i = 0; i < 3; i++) { /* three steps, each with the disk's help or without */
            if ((stored >> i & 1) != 0)
                (void)disk_commit(b);
            bench_run(b);
        }
        acknowledged = client_next(pub, &frame);
        b->disk->manual = false;
        bench_crash(b, 2);
        pub = client_new(b);
        client_connect(pub,
                       &(struct connect_wish){ .id = pub_id, .scope = ALL, .expiry_s = 1000, .resume = true });
        assert_true(expect_connack(pub, MQTT_SUCCESS).session_present);
        if (!acknowledged) {
            client_publish_with(pub, &(struct publish_wish){
                                         .topic = "x", .payload = "1", .qos = 2, .packet_id = 1, .dup = true });
            (void)expect_ack(pub, MQTT_PUBREC, 1, MQTT_SUCCESS);
        }
        client_ack(pub, MQTT_PUBREL, 1, MQTT_SUCCESS);
        (void)expect_ack(pub, MQTT_PUBCOMP, 1, MQTT_SUCCESS);
        sub = present(b, sub_id);
        (void)expect_publish(sub, "x", "1", 2);
        expect_nothing(sub);
        bench_free(b);
    }
}

static void sessions_find_home_with_another_number_of_shards(void **state)
{
    struct bench *b = shards_with_disk(3);

    (void)state;
    for (int i = 0; i < 12; i++) {
        char id[8] = { 's', (char)('a' + i) };
        struct conn_io *c = durable(b, id, false);

        client_subscribe(c, "x", 1, 1);
        client_drop(c);
    }
    client_publish(client_connected(b, "pub", ALL), "x", "1", 1, 1);
    for (unsigned count = 1; count <= 3; count++) {
        bench_crash(b, count);
        for (int i = 0; i < 12; i++) {
            char id[8] = { 's', (char)('a' + i) };

            (void)expect_publish(present(b, id), "x", "1", 1);
        }
    }
    bench_free(b);
}

/* ---- the store fails ---- */

static void what_waits_is_refused_when_the_store_fails(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub, *pub3 = durable3(b, "pub3"), *c;
    struct mqtt_ack ack;

    pair_up(b, 1, &sub, &pub);
    client_publish(pub, "x", "1", 1, 1);
    client_publish(pub, "x", "2", 2, 2);
    client_publish(pub3, "x", "3", 1, 1);
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .expiry_s = 100 });
    client_subscribe_with(sub, wish_filter("y", 1), 0, 9);
    disk_fail(b, ST_QUOTA);
    ack = expect_ack(pub, MQTT_PUBACK, 1, MQTT_QUOTA_EXCEEDED);
    assert_reason(&ack.properties, "durability");
    (void)expect_ack(pub, MQTT_PUBREC, 2, MQTT_QUOTA_EXCEEDED);
    expect_closed(pub3); /* 3.1.1 has no word for it */
    expect_refused(c, MQTT_QUOTA_EXCEEDED, "durability");
    (void)expect_publish(sub, "x", "1", 1);
    (void)expect_publish(sub, "x", "2", 1);
    (void)expect_publish(sub, "x", "3", 1);
    expect_thrown_out(sub, MQTT_QUOTA_EXCEEDED, "durability");
}

/* Its batch is tried again, and then has the identifier: another message must not have it before (MQTT5 [MQTT-4.3.3-9]). */
static void an_identifier_on_its_way_to_a_failing_store_stays_taken(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub;

    sub = durable(b, "sub", false);
    client_subscribe(sub, "x", 2, 2);
    pub = durable(b, "pub", false);
    b->disk->manual = true;
    client_publish(pub, "x", "1", 2, 2);
    disk_fail(b, ST_QUOTA);
    expect_thrown_out(pub, MQTT_QUOTA_EXCEEDED, "durability");
    disk_recover(b);
    b->disk->manual = false;
    bench_run(b);
    (void)expect_publish(sub, "x", "1", 2);
    pub = present(b, "pub");
    client_publish_with(
        pub, &(struct publish_wish){ .topic = "x", .payload = "1", .qos = 2, .packet_id = 2, .dup = true });
    (void)expect_ack(pub, MQTT_PUBREC, 2, MQTT_SUCCESS);
    expect_nothing(sub);
}

static void what_would_have_to_be_stored_is_refused_while_the_store_fails(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub, *c, *guest = client_connected(b, "guest", ALL);

    client_subscribe(guest, "y", 1, 1);
    pair_up(b, 1, &sub, &pub);
    disk_fail(b, ST_IO);
    client_publish(pub, "x", "1", 1, 1);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_QUOTA_EXCEEDED);
    client_publish(pub, "x", "1", 2, 2);
    (void)expect_ack(pub, MQTT_PUBREC, 2, MQTT_QUOTA_EXCEEDED);
    client_publish_with(
        pub, &(struct publish_wish){ .topic = "z", .payload = "1", .qos = 1, .packet_id = 3, .retain = true });
    (void)expect_ack(pub, MQTT_PUBACK, 3, MQTT_QUOTA_EXCEEDED);
    client_subscribe(sub, "z", 1, MQTT_QUOTA_EXCEEDED);
    c = client_new(b);
    client_connect(c, &(struct connect_wish){ .id = "c", .scope = ALL, .expiry_s = 100 });
    expect_refused(c, MQTT_QUOTA_EXCEEDED, "durability");
    assert_int_equal(STAT(b, sessions), 3);
    /* the others go on */
    client_publish(pub, "x", "0", 0, 0);
    (void)expect_publish(sub, "x", "0", 0);
    client_publish(pub, "y", "1", 1, 4);
    (void)expect_ack(pub, MQTT_PUBACK, 4, MQTT_SUCCESS);
    (void)expect_publish(guest, "y", "1", 1);
    client_subscribe(client_connected(b, "c", ALL), "x", 1, 1);
    expect_nothing(sub);
}

static void everything_works_again_when_the_store_has_recovered(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub;

    pair_up(b, 1, &sub, &pub);
    client_publish(pub, "x", "1", 1, 1);
    disk_fail(b, ST_QUOTA);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_QUOTA_EXCEEDED);
    b->disk->manual = false;
    disk_recover(b);
    client_publish(pub, "x", "2", 1, 1);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    bench_crash(b, 1);
    sub = present(b, "sub");
    (void)expect_publish(sub, "x", "1", 1); /* refused, and yet it came: QoS 1 */
    (void)expect_publish(sub, "x", "2", 1);
}

static void what_is_no_answer_to_a_publication_waits_for_the_store_to_recover(void **state)
{
    struct bench *b = *state;
    struct conn_io *sub, *pub;
    uint16_t id;

    pair_up(b, 2, &sub, &pub);
    client_publish(pub, "x", "1", 2, 1);
    disk_commit(b);
    id = expect_publish(sub, "x", "1", 2).packet_id;
    client_ack(sub, MQTT_PUBREC, id, MQTT_SUCCESS);
    disk_fail(b, ST_IO);
    expect_nothing(sub);
    b->disk->manual = false;
    disk_recover(b);
    (void)expect_ack(sub, MQTT_PUBREL, id, MQTT_SUCCESS);
}

/* ---- other promises ---- */

static void with_an_interval_nothing_waits_and_all_is_written(void **state)
{
    struct bench *b = bench_new(2);
    struct conn_io *pub, *sub;
    char id[32];

    (void)state;
    b->settings.durability = DURABILITY_INTERVAL;
    bench_disk(b);
    b->disk->manual = true;
    pub = across(b, 2, true, id);
    for (uint8_t qos = 1; qos <= 2; qos++)
        client_publish(pub, "x", "1", qos, qos);
    (void)expect_ack(pub, MQTT_PUBACK, 1, MQTT_SUCCESS);
    (void)expect_ack(pub, MQTT_PUBREC, 2, MQTT_SUCCESS);
    b->disk->manual = false;
    bench_run(b);
    bench_crash(b, 2);
    sub = present(b, id);
    (void)expect_publish(sub, "x", "1", 1);
    (void)expect_publish(sub, "x", "1", 2);
    bench_free(b);
}

int main(void)
{
#define ON_ONE(test) cmocka_unit_test_setup_teardown(test, one_shard, bench_tear_down)
    const struct CMUnitTest tests[] = {
        ON_ONE(puback_leaves_when_the_batch_is_durable_and_right_then),
        ON_ONE(what_no_session_on_disk_is_to_get_waits_for_nothing),
        ON_ONE(qos_0_to_a_session_on_disk_is_not_written),
        ON_ONE(acknowledgements_keep_their_order),
        ON_ONE(one_batch_serves_all_who_wait),
        ON_ONE(what_is_acknowledged_before_its_batch_is_never_written),
        ON_ONE(a_message_for_many_is_written_once),
        ON_ONE(connack_waits_and_everything_behind_it),
        ON_ONE(a_session_that_ends_with_its_connection_is_welcomed_at_once),
        ON_ONE(suback_and_unsuback_wait),
        ON_ONE(a_retained_message_is_durable_when_it_is_acknowledged),
        ON_ONE(what_the_broker_says_of_itself_is_not_written),
        ON_ONE(a_qos_2_publication_that_was_not_acknowledged_is_new_after_a_crash),
        ON_ONE(a_qos_2_publication_on_disk_is_not_new_after_a_crash),
        ON_ONE(pubcomp_waits_until_the_identifier_is_free_on_disk),
        ON_ONE(a_qos_2_message_leaves_when_its_identifier_is_on_disk),
        ON_ONE(pubrel_leaves_when_the_answer_to_it_is_on_disk),
        ON_ONE(qos_0_and_1_keep_their_place_behind_qos_2),
        ON_ONE(what_never_left_the_gate_was_not_sent),
        ON_ONE(a_session_comes_back_with_all_it_had),
        ON_ONE(nobody_else_gets_a_session_from_the_disk),
        ON_ONE(a_session_that_ended_is_gone_from_the_disk),
        ON_ONE(clean_start_is_answered_when_the_old_session_is_gone_from_the_disk),
        ON_ONE(a_long_queue_goes_from_the_disk_in_parts),
        ON_ONE(an_expiry_changed_to_0_ends_the_session_after_a_crash_too),
        ON_ONE(time_goes_on_while_nobody_is_there),
        ON_ONE(a_will_is_left_by_who_was_connected_when_the_broker_died),
        ON_ONE(a_newer_connection_is_welcomed_and_the_older_is_told_before_it_was),
        ON_ONE(who_leaves_while_acknowledgements_wait_takes_nothing_along),
        ON_ONE(receive_maximum_counts_what_waits_for_the_disk),
        ON_ONE(who_sends_on_while_the_disk_is_slow_is_not_read),
        cmocka_unit_test(puback_waits_for_the_disk_of_another_shard),
        cmocka_unit_test(what_changes_nothing_on_another_shard_is_confirmed_at_once),
        cmocka_unit_test(what_another_shard_had_no_memory_for_is_refused),
        cmocka_unit_test(many_messages_are_confirmed_by_one_word),
        cmocka_unit_test(a_retained_message_of_another_shard_is_durable_there_first),
        cmocka_unit_test(qos_2_between_shards_comes_once_wherever_the_broker_dies),
        cmocka_unit_test(sessions_find_home_with_another_number_of_shards),
        ON_ONE(what_waits_is_refused_when_the_store_fails),
        ON_ONE(an_identifier_on_its_way_to_a_failing_store_stays_taken),
        ON_ONE(what_would_have_to_be_stored_is_refused_while_the_store_fails),
        ON_ONE(everything_works_again_when_the_store_has_recovered),
        ON_ONE(what_is_no_answer_to_a_publication_waits_for_the_store_to_recover),
        cmocka_unit_test(with_an_interval_nothing_waits_and_all_is_written),
    };
#undef ON_ONE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
