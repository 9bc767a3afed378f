/* Which values $SYS has, and when they are said. */
#include "shard/sys_tree.h"

#include "base/buf.h"
#include "shard/pressure.h"

#include <stdlib.h>

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

struct fixture {
    struct sys_tree *tree;
    struct now now;
    struct stats stats;
    uint64_t heap_bytes;
    struct pressure pressure;
    bool deaf;
    struct buf said; /* "topic value\n" */
};

static int set_up(void **state)
{
    struct fixture *f = aligned_alloc(_Alignof(struct fixture), sizeof *f);

    assert_non_null(f);
    *f = (struct fixture){ .now = { { 1000000 }, { 1800000000 } } };
    buf_init(&f->said, 1 << 16);
    assert_int_equal(sys_tree_new("some version 1", f->now, &f->tree), ST_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    sys_tree_free(f->tree);
    buf_done(&f->said);
    free(f);
    return 0;
}

static bool hear(void *ctx, struct span topic, struct span value)
{
    struct fixture *f = ctx;

    if (!f->deaf)
        put_fmt(&f->said, "%.*s = %.*s\n", SPAN_FMT(topic), SPAN_FMT(value));
    return !f->deaf;
}

static void look_after(struct fixture *f, int64_t ms, bool all)
{
    f->now.mono.ms += ms;
    buf_reset(&f->said);
    sys_tree_look(f->tree, &f->stats, f->heap_bytes, &f->pressure, f->now, all, hear, f);
    put_u8(&f->said, 0);
    assert_true(buf_ok(&f->said));
}

#define SET(f, name, value) atomic_store(&(f)->stats.name, value)

static bool was_said(const struct fixture *f, const char *line)
{
    return strstr((const char *)f->said.p, line) != NULL;
}

static void assert_said(const struct fixture *f, const char *line)
{
    if (!was_said(f, line))
        fail_msg("\"%s\" is not among:\n%s", line, (const char *)f->said.p);
}

static size_t lines(const struct fixture *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->said.len; i++)
        n += f->said.p[i] == '\n';
    return n;
}

static void the_first_look_says_everything(void **state)
{
    static const char *const expected[] = {
        "version = some version 1\n",
        "uptime = 0 seconds\n",
        "clients/total = 5\n",
        "clients/connected = 3\n",
        "clients/active = 3\n",
        "clients/disconnected = 2\n",
        "clients/inactive = 2\n",
        "clients/maximum = 5\n",
        "clients/expired = 0\n",
        "messages/stored = 9\n",
        "store/messages/count = 9\n",
        "store/messages/bytes = 900\n",
        "workers/awake = 0\n",
        "store/failing = 0\n",
        "retained messages/count = 4\n",
        "publish/messages/dropped = 3\n",
        "heap/current = 4096\n",
        "heap/maximum = 4096\n",
        "load/messages/received/1min = 0.00\n",
        "load/connections/15min = 0.00\n",
        "ace/tokens/accepted = 7\n",
        "ace/tokens/refused = 6\n",
        "ace/tokens/expired = 1\n",
        "memory/accounted = 500\n",
        "memory/queued = 300\n",
        "memory/retained = 200\n",
        "memory/limit = 1000\n",
        "memory/level = 0\n",
    };
    struct fixture *f = *state;

    SET(f, sessions, 5);
    SET(f, connections_authorized, 3);
    SET(f, retained_messages, 4);
    SET(f, queued_messages, 5);
    SET(f, retained_bytes, 400);
    SET(f, queued_bytes, 500);
    SET(f, dropped_expired, 1);
    SET(f, dropped_queue_full, 2);
    SET(f, tokens_accepted, 7);
    SET(f, tokens_expired, 1);
    SET(f, tokens_refused, 6);
    SET(f, memory_queued, 300);
    SET(f, memory_retained, 200);
    f->pressure.limits.memory = 1000;
    f->heap_bytes = 4096;
    look_after(f, 0, false);
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        assert_said(f, expected[i]);
    assert_int_equal(lines(f), 2 + 55 + 27);
}

static void then_only_what_has_changed_is_said(void **state)
{
    struct fixture *f = *state;

    f->heap_bytes = 4096;
    look_after(f, 0, false);
    look_after(f, 0, false);
    assert_int_equal(lines(f), 0);
    SET(f, subscriptions, 1);
    look_after(f, 400, false);
    assert_said(f, "subscriptions/count = 1\n");
    assert_int_equal(lines(f), 1);
    look_after(f, 600, false);
    assert_said(f, "uptime = 1 seconds\n");
    assert_int_equal(lines(f), 1);
    look_after(f, 0, true); /* for who keeps nothing */
    assert_int_equal(lines(f), 2 + 55 + 27);
}

static void what_was_not_heard_is_said_again(void **state)
{
    struct fixture *f = *state;

    f->heap_bytes = 4096;
    f->deaf = true;
    look_after(f, 0, false);
    f->deaf = false;
    look_after(f, 0, false);
    assert_int_equal(lines(f), 2 + 55 + 27);
}

static void the_maximum_stays(void **state)
{
    struct fixture *f = *state;

    SET(f, sessions, 8);
    f->heap_bytes = 5000;
    look_after(f, 0, false);
    SET(f, sessions, 2);
    f->heap_bytes = 100;
    look_after(f, 10, false);
    assert_said(f, "clients/total = 2\n");
    assert_false(was_said(f, "clients/maximum"));
    assert_said(f, "heap/current = 100\n");
    assert_false(was_said(f, "heap/maximum"));
    SET(f, sessions, 9);
    look_after(f, 10, false);
    assert_said(f, "clients/maximum = 9\n");
}

static void memory_that_is_not_known_is_not_said(void **state)
{
    struct fixture *f = *state;

    look_after(f, 0, false);
    assert_false(was_said(f, "heap/"));
}

static void loads_are_averages_a_minute(void **state)
{ /* 10 messages a second: 600 a minute, reached by the shortest average first */
    struct fixture *f = *state;

    look_after(f, 0, false);
    SET(f, packets_in, 100);
    look_after(f, 10000, false);
    assert_said(f, "load/messages/received/1min = 92.11\n"); /* 600 * (1 - e^(-10/60)) */
    assert_said(f, "load/messages/received/5min = 19.67\n");
    assert_said(f, "load/messages/received/15min = 6.63\n");
    for (uint64_t i = 2; i <= 100; i++) {
        SET(f, packets_in, i * 100);
        look_after(f, 10000, false);
    }
    look_after(f, 0, true);
    assert_said(f, "load/messages/received/1min = 600.00\n");
    for (int i = 0; i < 600; i++)
        look_after(f, 10000, false);
    assert_int_equal(lines(f), 1); /* quiet again: only the uptime moves */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(the_first_look_says_everything),       T(then_only_what_has_changed_is_said),
        T(what_was_not_heard_is_said_again),     T(the_maximum_stays),
        T(memory_that_is_not_known_is_not_said), T(loads_are_averages_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
