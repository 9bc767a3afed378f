/* What a message allocates once everybody is connected: one block for what was published, however many get it, and one for each
 * delivery that waits for an acknowledgement. Counted at link time; docs/performance.md has the model. */
#include "lean.h"
#include "shard/shard_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define READERS  50
#define MESSAGES 100

static size_t allocations, releases;

void *__real_malloc(size_t len);
void *__wrap_malloc(size_t len);
void *__real_calloc(size_t n, size_t len);
void *__wrap_calloc(size_t n, size_t len);
void *__real_realloc(void *p, size_t len);
void *__wrap_realloc(void *p, size_t len);
void __real_free(void *p);
void __wrap_free(void *p);

void *__wrap_malloc(size_t len)
{
    allocations++;
    return __real_malloc(len);
}

void *__wrap_calloc(size_t n, size_t len)
{
    allocations++;
    return __real_calloc(n, len);
}

void *__wrap_realloc(void *p, size_t len)
{
    allocations++;
    return __real_realloc(p, len);
}

void __wrap_free(void *p)
{
    releases += p != NULL;
    __real_free(p);
}

struct readers {
    struct lean *l;
    struct lean_conn *pub, *sub[READERS];
    struct buf packet;
};

static void readers_init(struct readers *r, uint8_t qos)
{
    char id[24];

    r->l = lean_new(1, false);
    lean_begin(r->l);
    r->pub = lean_client(r->l, &(struct lean_client){ .id = "pub", .scope = LEAN_ALL });
    for (int i = 0; i < READERS; i++) {
        (void)snprintf(id, sizeof id, "sub-%d", i);
        r->sub[i] = lean_client(r->l, &(struct lean_client){ .id = id, .scope = LEAN_ALL });
        lean_subscribe(r->sub[i], "a/+", qos);
    }
    buf_init(&r->packet, 1000);
    lean_publish_packet(&r->packet, "a/b", qos, 1, false, 64);
    assert_true(buf_ok(&r->packet));
}

static void readers_done(struct readers *r)
{
    lean_drop(r->pub);
    lean_conn_free(r->pub);
    for (int i = 0; i < READERS; i++) {
        lean_drop(r->sub[i]);
        lean_conn_free(r->sub[i]);
    }
    buf_done(&r->packet);
    lean_free(r->l);
}

/* Each reader acknowledges what it got last; for what is measured twice the packet is made here. */
static void acknowledge(struct readers *r)
{
    for (int i = 0; i < READERS; i++) {
        struct span got = r->sub[i]->last;
        size_t id_at = 2 + 2 + strlen("a/b"); /* fixed header, topic */
        uint8_t ack[] = { 0x40, 2, got.p[id_at], got.p[id_at + 1] };

        lean_input(r->sub[i], span_of(ack, sizeof ack));
    }
    lean_turn(r->l);
}

static void publish(struct readers *r, uint8_t qos)
{
    uint64_t before = r->l->packets;

    lean_input(r->pub, buf_span(&r->packet));
    lean_turn(r->l);
    assert_int_equal(r->l->packets - before, READERS + (qos > 0));
    if (qos > 0)
        acknowledge(r);
}

static void run(uint8_t qos, size_t allowed)
{
    struct readers r;

    readers_init(&r, qos);
    publish(&r, qos); /* tables that are made with the first */
    allocations = releases = 0;
    for (int i = 0; i < MESSAGES; i++)
        publish(&r, qos);
    assert_int_equal(allocations, MESSAGES * allowed);
    assert_int_equal(releases, allocations);
    readers_done(&r);
}

static void a_delivery_of_qos_0_allocates_nothing_and_a_publish_one_block(void **state UNUSED)
{
    run(0, 1);
}

static void a_delivery_of_qos_1_allocates_what_waits_for_its_acknowledgement(void **state UNUSED)
{
    run(1, 1 + READERS);
}

/* ---- between two shards ---- */

static struct lean_conn *at_home(struct lean *l, unsigned home, const char *what)
{
    char id[24];

    for (int i = 0; i < 1000; i++) {
        (void)snprintf(id, sizeof id, "%s-%d", what, i);
        if (shard_home(&l->settings, l->count, span_of_str(id)) == home)
            return lean_client(l, &(struct lean_client){ .id = id, .scope = LEAN_ALL });
    }
    fail_msg("no client of shard %u", home);
    return NULL;
}

/* `count` messages from each side to the other; what carries one to there carries another back. */
static void what_goes_both_ways_between_two_shards_allocates_no_more_than_what_stays(void **state UNUSED)
{
    static const char *const topics[] = { "to/0", "to/1" };
    struct lean *l = lean_new(2, false);
    struct lean_conn *pub[2], *sub[2];
    struct buf packets[2]; /* `most`, all of one length */
    unsigned most = 2 * SHARD_MSG_SPARES;

    lean_begin(l);
    for (unsigned i = 0; i < 2; i++) {
        sub[i] = at_home(l, i, "sub");
        pub[i] = at_home(l, 1 - i, "pub");
        lean_subscribe(sub[i], topics[i], 0);
        buf_init(&packets[i], 100000);
        for (unsigned k = 0; k < most; k++)
            lean_publish_packet(&packets[i], topics[i], 0, 0, false, 64);
    }
    for (unsigned round = 0; round < 2 * MESSAGES; round++) {
        uint64_t before = l->packets;
        unsigned n = round < MESSAGES ? 4 : most; /* more than are kept */

        if (round == 4 || round == MESSAGES + 4)
            allocations = releases = 0;
        if (round == MESSAGES)
            assert_int_equal(allocations, (MESSAGES - 4) * 2 * 4);
        for (unsigned i = 0; i < 2; i++) {
            lean_input(pub[i], span_cut(buf_span(&packets[i]), 0, n * (buf_span(&packets[i]).len / most)));
            lean_turn(l);
        }
        assert_int_equal(l->packets - before, 2 * n);
    }
    assert_true(allocations >= (MESSAGES - 4) * 2 * (most + SHARD_MSG_SPARES));
    assert_int_equal(allocations, releases);
    for (unsigned i = 0; i < 2; i++) {
        lean_drop(pub[i]);
        lean_conn_free(pub[i]);
        lean_drop(sub[i]);
        lean_conn_free(sub[i]);
        buf_done(&packets[i]);
    }
    lean_turn(l); /* what they leave is told */
    lean_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delivery_of_qos_0_allocates_nothing_and_a_publish_one_block),
        cmocka_unit_test(a_delivery_of_qos_1_allocates_what_waits_for_its_acknowledgement),
        cmocka_unit_test(what_goes_both_ways_between_two_shards_allocates_no_more_than_what_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
