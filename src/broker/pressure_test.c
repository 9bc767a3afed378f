/* The marks, their slack, and the counts that several threads share. */
#include "broker/memory_watch.h"

#include "base/buf.h"

#include <pthread.h>
#include <stdlib.h>

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#define LIMIT ((uint64_t)1000000)

struct fixture {
    struct pressure *p;
    struct buf log;
};

static void take_line(void *ctx, enum log_level level, struct span line)
{
    struct fixture *f = ctx;

    (void)level;
    put_bytes(&f->log, line);
    put_u8(&f->log, '\n');
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(
        pressure_new(
            (struct pressure_limits){ .memory = LIMIT, .low_percent = 70, .high_percent = 90, .output = 1000 },
            &f->p),
        ST_OK);
    buf_init(&f->log, 1 << 16);
    log_set_sink(take_line, f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    log_set_sink(NULL, NULL);
    pressure_free(f->p);
    buf_done(&f->log);
    free(f);
    return 0;
}

static size_t times(const struct fixture *f, const char *event)
{
    struct span text = buf_span(&f->log);
    size_t n = 0, len = strlen(event);

    for (size_t i = 0; i + len <= text.len; i++)
        n += memcmp(text.p + i, event, len) == 0;
    return n;
}

static void at(struct fixture *f, unsigned thousandths, enum pressure_level expected)
{
    pressure_report(f->p, 3, PART_CORE, LIMIT / 1000 * thousandths, NULL);
    assert_int_equal(pressure_level(f->p), expected);
}

static void each_mark_is_left_a_twentieth_of_the_limit_below_it(void **state)
{
    struct fixture *f = *state;

    at(f, 699, PRESSURE_NORMAL);
    at(f, 700, PRESSURE_LOW);
    at(f, 660, PRESSURE_LOW);
    at(f, 700, PRESSURE_LOW);
    at(f, 649, PRESSURE_NORMAL);
    at(f, 690, PRESSURE_NORMAL);
    at(f, 900, PRESSURE_HIGH);
    at(f, 851, PRESSURE_HIGH);
    at(f, 849, PRESSURE_LOW);
    at(f, 899, PRESSURE_LOW);
    at(f, 950, PRESSURE_HIGH);
    at(f, 100, PRESSURE_NORMAL);
}

static void each_change_is_one_event(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 10; i++)
        at(f, 710 + (unsigned)i, PRESSURE_LOW);
    for (int i = 0; i < 10; i++)
        at(f, 910 + (unsigned)i, PRESSURE_HIGH);
    at(f, 10, PRESSURE_NORMAL);
    assert_int_equal(times(f, "memory_low"), 1);
    assert_int_equal(times(f, "memory_high"), 1);
    assert_int_equal(times(f, "memory_normal"), 1);
    assert_int_equal(times(f, "accounted=710000"), 1);
    assert_int_equal(times(f, "limit=1000000"), 3);
}

static void slowness_rises_from_mark_to_mark(void **state)
{
    struct fixture *f = *state;

    at(f, 600, PRESSURE_NORMAL);
    assert_int_equal(pressure_slow(f->p), 0);
    at(f, 700, PRESSURE_LOW);
    assert_int_equal(pressure_slow(f->p), 1);
    at(f, 800, PRESSURE_LOW);
    assert_in_range(pressure_slow(f->p), 45, 55);
    at(f, 1500, PRESSURE_HIGH);
    assert_int_equal(pressure_slow(f->p), 100);
    assert_true(pressure_is_full(f->p));
    at(f, 660, PRESSURE_LOW); /* on its way down */
    assert_int_equal(pressure_slow(f->p), 1);
    assert_false(pressure_is_full(f->p));
}

static void all_shards_and_parts_add_up_and_what_is_resident_counts_if_it_is_more(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < PRESSURE_SHARDS; i++)
        for (unsigned k = 0; k < PARTS; k++)
            pressure_report(f->p, i, (enum pressure_part)k, 1000, NULL);
    atomic_store(&f->p->bodies[5].bytes, 20);
    atomic_store(&f->p->retained[6].bytes, 3);
    assert_int_equal(pressure_accounted(f->p), 128023);
    pressure_resident(f->p, LIMIT / 100 * 95, NULL);
    assert_true(pressure_is_high(f->p));
    pressure_resident(f->p, 1000, NULL); /* less than is accounted for: that counts */
    assert_int_equal(pressure_level(f->p), PRESSURE_NORMAL);
}

static void output_of_all_shards_has_a_limit(void **state)
{
    struct fixture *f = *state;

    pressure_output(f->p, 0, 600);
    assert_false(pressure_output_over(f->p));
    pressure_output(f->p, 1, 600);
    assert_true(pressure_output_over(f->p));
    pressure_output(f->p, 0, 0);
    assert_false(pressure_output_over(f->p));
}

enum { ROUNDS = 100000, MOST = 7 };

static void *take_and_give(void *arg)
{
    struct pressure *p = arg;
    uintptr_t most = 0;

    for (int i = 0; i < ROUNDS; i++) {
        if (!pressure_take(p, COUNT_SESSIONS, 2, MOST))
            continue;
        uint64_t now = pressure_count(p, COUNT_SESSIONS);
        most = now > most ? now : most;
        pressure_give(p, COUNT_SESSIONS, 2);
    }
    return (void *)most;
}

static void a_count_is_never_beyond_its_limit_whoever_counts(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[4];

    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, f->p), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *most;

        assert_int_equal(pthread_join(threads[i], &most), 0);
        assert_true((uintptr_t)most <= MOST);
    }
    assert_int_equal(pressure_count(f->p, COUNT_SESSIONS), 0);
    assert_true(pressure_take(f->p, COUNT_SESSIONS, MOST, MOST));
    assert_false(pressure_take(f->p, COUNT_SESSIONS, 1, MOST));
    assert_false(pressure_take(f->p, COUNT_SESSIONS, UINT64_MAX, MOST));
    pressure_add(f->p, COUNT_SESSIONS, 1); /* whatever the limit says */
    assert_false(pressure_take(f->p, COUNT_SESSIONS, 0, MOST));
}

static void what_this_process_has_and_may_have_is_known(void **state)
{
    uint64_t before = memory_resident(), machine = memory_machine();
    size_t more = 32u * 1024 * 1024;
    uint8_t *p = malloc(more);

    (void)state;
    assert_non_null(p);
    memset(p, 1, more);
    assert_true(memory_resident() > before + more / 2);
    free(p);
    assert_true(machine > more);
    assert_int_equal(memory_limit(5, 60), 5);
    assert_int_equal(memory_limit(0, 0), 0);
    assert_int_equal(memory_limit(0, 50), machine / 100 * 50);
}

int main(void)
{
#define TEST_OF(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST_OF(each_mark_is_left_a_twentieth_of_the_limit_below_it),
        TEST_OF(each_change_is_one_event),
        TEST_OF(slowness_rises_from_mark_to_mark),
        TEST_OF(all_shards_and_parts_add_up_and_what_is_resident_counts_if_it_is_more),
        TEST_OF(output_of_all_shards_has_a_limit),
        TEST_OF(a_count_is_never_beyond_its_limit_whoever_counts),
        cmocka_unit_test(what_this_process_has_and_may_have_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
