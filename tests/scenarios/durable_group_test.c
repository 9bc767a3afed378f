/* What a durable group of a shared subscription writes to disk, when, and what it costs (shard/share.h, docs/decisions/0024). */
#include "harness.h"
#include "harness_disk.h"

#include "support/failing_memory.h"

#include <stdio.h>
#include <stdlib.h>

#define ALL "[[\"a/#\",[\"pub\",\"sub\"]]]"

struct place {
    struct bench *b;
    char group[32]; /* at home on shard 0 */
    struct conn_io *pub;
    uint16_t packet_id;
};

static struct conn_io *client_at(struct bench *b, unsigned shard, const char *prefix, bool lasting)
{
    char id[32];

    name_of_shard(b, shard, prefix, id);
    return client_connected_with(
        b, &(struct connect_wish){ .id = id, .scope = ALL, .expiry_s = lasting ? 100 : 0, .resume = true });
}

static struct conn_io *member_at(const struct place *p, unsigned shard, const char *prefix, bool lasting,
                                 uint8_t qos)
{
    struct conn_io *c = client_at(p->b, shard, prefix, lasting);

    client_subscribe(c, p->group, qos, qos);
    return c;
}

/* The publisher is at home with the group. */
static void place_open(struct place *p, unsigned shards, enum durability durability)
{
    *p = (struct place){ .b = bench_new(shards) };
    p->b->settings.durability = durability;
    bench_disk(p->b);
    name_of_shard(p->b, 0, "$share/g/a/", p->group);
    p->pub = client_at(p->b, 0, "publisher", true);
}

static void publish(struct place *p, uint8_t qos)
{
    client_publish(p->pub, p->group + 9, "m", qos, ++p->packet_id); /* without $share/g/ */
    if (qos == 1 && !p->b->disk->manual)
        (void)expect_ack(p->pub, MQTT_PUBACK, p->packet_id, MQTT_SUCCESS);
}

static struct mqtt_publish expect_m(const struct place *p, struct conn_io *c, uint8_t qos)
{
    return expect_publish(c, p->group + 9, "m", qos);
}

static void a_group_is_on_disk_while_it_has_a_durable_member(void **state UNUSED)
{
    for (unsigned shards = 1; shards <= 2; shards++) {
        struct place p;
        struct conn_io *lasting, *passing;

        place_open(&p, shards, DURABILITY_COMMIT);
        passing = member_at(&p, 0, "passing", false, 1);
        client_publish(p.pub, p.group + 9, "m", 1, 100);
        (void)expect_m(&p, passing, 1);
        assert_int_equal(disk_records(p.b, 'g') + disk_records(p.b, 'x') + disk_records(p.b, 'b'), 0);
        (void)expect_ack(p.pub, MQTT_PUBACK, 100, MQTT_SUCCESS);
        (void)member_at(&p, 0, "qos0-", true, 0); /* for it nothing waits */
        assert_int_equal(disk_records(p.b, 'g'), 0);
        lasting = member_at(&p, shards - 1, "lasting", true, 1);
        assert_int_equal(disk_records(p.b, 'g'), 1);
        client_unsubscribe(lasting, p.group);
        bench_run(p.b);
        assert_int_equal(disk_records(p.b, 'g'), 0);
        bench_free(p.b);
    }
}

static void what_waits_is_written_when_the_group_becomes_durable_and_removed_when_it_is_not_any_more(
    void **state UNUSED)
{
    struct place p;
    struct conn_io *passing, *lasting;

    place_open(&p, 1, DURABILITY_COMMIT);
    passing =
        client_connected_with(p.b, &(struct connect_wish){ .id = "p", .scope = ALL, .receive_maximum = 1 });
    client_subscribe(passing, p.group, 1, 1);
    for (int i = 0; i < 4; i++)
        publish(&p, 1);
    (void)expect_m(&p, passing, 1);
    assert_int_equal(disk_records(p.b, 'x'), 0);
    lasting = client_connected_with(
        p.b, &(struct connect_wish){ .id = "l", .scope = ALL, .receive_maximum = 1, .expiry_s = 100 });
    client_subscribe(lasting, p.group, 1, 1);
    assert_int_equal(disk_records(p.b, 'x'), 2); /* it got one */
    assert_int_equal(disk_records(p.b, 'q'), 1);
    client_unsubscribe(lasting, p.group);
    assert_int_equal(disk_records(p.b, 'x'), 0);
    assert_int_equal(disk_records(p.b, 'g'), 0);
    bench_free(p.b);
}

static void what_comes_for_a_member_elsewhere_goes_there_when_it_is_stored_and_what_waited_goes_at_once(
    void **state UNUSED)
{
    struct place p;
    struct conn_io *m;

    place_open(&p, 2, DURABILITY_COMMIT);
    m = member_at(&p, 1, "member", true, 1);
    p.b->disk->manual = true;
    publish(&p, 1);
    assert_int_equal(disk_waiting(p.b, 0, 'x'), 1);
    expect_nothing(m);
    assert_true(disk_commit_of(p.b, 0));
    (void)expect_ack(p.pub, MQTT_PUBACK, p.packet_id, MQTT_SUCCESS);
    bench_run(p.b);
    (void)expect_m(&p, m, 1);
    assert_int_equal(disk_waiting(p.b, 1, 'x'), 1); /* removed together with what became of it */
    assert_int_equal(disk_waiting(p.b, 1, 'q'), 1);
    p.b->disk->manual = false;
    client_drop(m);
    publish(&p, 1);
    assert_int_equal(disk_records(p.b, 'x'), 1);
    p.b->disk->manual = true;
    m = client_new(p.b);
    {
        char id[32];

        name_of_shard(p.b, 1, "member", id);
        client_connect(m, &(struct connect_wish){ .id = id, .scope = ALL, .expiry_s = 100, .resume = true });
    }
    (void)disk_commit_of(p.b, 1); /* that it is back */
    bench_run(p.b);
    assert_false(disk_waits(p.b->disk, 0)); /* home has nothing to write */
    assert_int_equal(disk_waiting(p.b, 1, 'x'), 1);
    bench_free(p.b);
}

static void with_an_interval_it_goes_at_once(void **state UNUSED)
{
    struct place p;
    struct conn_io *m;

    place_open(&p, 2, DURABILITY_INTERVAL);
    m = member_at(&p, 1, "member", true, 2);
    p.b->disk->manual = true;
    publish(&p, 1);
    (void)expect_ack(p.pub, MQTT_PUBACK, p.packet_id, MQTT_SUCCESS);
    client_ack(m, MQTT_PUBACK, expect_m(&p, m, 1).packet_id, MQTT_SUCCESS);
    publish(&p, 2);
    (void)expect_ack(p.pub, MQTT_PUBREC, p.packet_id, MQTT_SUCCESS);
    (void)expect_m(&p, m, 2);
    p.b->disk->manual = false;
    bench_run(p.b);
    assert_int_equal(disk_records(p.b, 'x'), 0);
    assert_int_equal(disk_records(p.b, 'q'), 1);
    bench_free(p.b);
}

static void what_a_full_disk_holds_up_is_handed_out_when_there_is_room_again(void **state UNUSED)
{
    struct place p;
    struct conn_io *m;

    place_open(&p, 2, DURABILITY_COMMIT);
    m = member_at(&p, 1, "member", true, 1);
    p.b->disk->manual = true;
    publish(&p, 1);
    disk_fail(p.b, ST_QUOTA);
    (void)expect_ack(p.pub, MQTT_PUBACK, 1, MQTT_QUOTA_EXCEEDED); /* nothing is promised */
    publish(&p, 1);
    (void)expect_ack(p.pub, MQTT_PUBACK, 2, MQTT_QUOTA_EXCEEDED);
    expect_nothing(m);
    disk_recover(p.b);
    p.b->disk->manual = false;
    bench_run(p.b);
    client_ack(m, MQTT_PUBACK, expect_m(&p, m, 1).packet_id, MQTT_SUCCESS); /* the first: it was taken */
    publish(&p, 1);
    client_ack(m, MQTT_PUBACK, expect_m(&p, m, 1).packet_id, MQTT_SUCCESS);
    expect_nothing(m);
    assert_int_equal(disk_records(p.b, 'x') + disk_records(p.b, 'q'), 0);
    bench_free(p.b);
}

static void on_inside(bool yes)
{
    failing_memory_pause(!yes);
}

/* A publication of QoS 1 for a member at home on `shard`, up to its PUBACK. */
static void cost(enum durability durability, bool lasting, unsigned shard, bool slow, unsigned puts,
                 unsigned dels, long allocations)
{
    struct place p;
    struct conn_io *m;
    uint64_t before_puts, before_dels;
    long made;

    place_open(&p, 2, durability);
    m = member_at(&p, shard, "member", lasting, 1);
    for (unsigned i = 0; i < 3; i++) { /* the third is as all that follow */
        before_puts = p.b->disk->puts;
        before_dels = p.b->disk->dels;
        failing_memory_begin(0);
        failing_memory_pause(true);
        p.b->inside = on_inside;
        publish(&p, 1);
        if (slow)
            bench_run(p.b);
        client_ack(m, MQTT_PUBACK, expect_m(&p, m, 1).packet_id, MQTT_SUCCESS);
        p.b->inside = NULL;
        made = failing_memory_end();
    }
    print_message("%s member, %s: %u records written, %u removed, %ld allocations\n",
                  lasting ? "durable" : "transient", shard == 0 ? "at home" : "elsewhere",
                  (unsigned)(p.b->disk->puts - before_puts), (unsigned)(p.b->disk->dels - before_dels), made);
    assert_int_equal(p.b->disk->puts - before_puts, puts);
    assert_int_equal(p.b->disk->dels - before_dels, dels);
    assert_true(made <= allocations);
    bench_free(p.b);
}

static void what_a_message_to_a_group_costs(void **state UNUSED)
{
    cost(DURABILITY_COMMIT, false, 0, false, 0, 0, 20);
    cost(DURABILITY_COMMIT, false, 1, false, 0, 0, 20);
    cost(DURABILITY_COMMIT, true, 0, true, 2, 2, 20);
    cost(DURABILITY_COMMIT, true, 1, true, 3, 3, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_is_on_disk_while_it_has_a_durable_member),
        cmocka_unit_test(
            what_waits_is_written_when_the_group_becomes_durable_and_removed_when_it_is_not_any_more),
        cmocka_unit_test(
            what_comes_for_a_member_elsewhere_goes_there_when_it_is_stored_and_what_waited_goes_at_once),
        cmocka_unit_test(with_an_interval_it_goes_at_once),
        cmocka_unit_test(what_a_full_disk_holds_up_is_handed_out_when_there_is_room_again),
        cmocka_unit_test(what_a_message_to_a_group_costs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
