/* What the daemons free holds nothing any more: with their malloc(), free() and realloc() linked in. */
#include "base/record_blocks.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "base/defs.h"

/* What glibc writes into a free block of its own. */
#define LINKS 32

static bool is_zero(const uint8_t *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (p[i] != 0)
            return false;
    return true;
}

/* Called so that the compiler does not know them: it would not write what is never read. */
static void (*volatile give_back)(void *) = free;
static void *(*volatile resize)(void *, size_t) = realloc;

static uint8_t *filled(size_t len)
{
    uint8_t *p = malloc(len);

    assert_non_null(p);
    memset(p, 's', len);
    return p;
}

static void freed_memory_is_wiped(void **state UNUSED)
{
    static const size_t sizes[] = { 40, 1000, 4096 };

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        uint8_t *p = filled(sizes[i]);
        uintptr_t at = (uintptr_t)p;

        give_back(p);
        assert_true(is_zero((const uint8_t *)at, LINKS, sizes[i]));
    }
}

static void memory_that_moves_is_wiped_where_it_was(void **state UNUSED)
{
    uint8_t *p = filled(600), *fence = filled(600), *moved;
    uintptr_t at = (uintptr_t)p;

    moved = resize(p, 3000);
    assert_non_null(moved);
    assert_int_equal(moved[599], 's');
    assert_true(is_zero((const uint8_t *)at, LINKS, 600));
    give_back(moved);
    give_back(fence);
}

static void a_thread_that_keeps_record_blocks_gets_the_last_one_back_wiped(void **state UNUSED)
{
    uint8_t *first, *again;

    record_blocks_keep();
    first = filled(RECORD_BLOCK_MIN);
    give_back(first);
    assert_int_equal(record_blocks.count, 1);
    again = malloc(RECORD_BLOCK_BYTES);
    assert_ptr_equal(again, first);
    assert_true(is_zero(again, 0, 4096));
    give_back(again);
    record_blocks_give_back();
    assert_int_equal(record_blocks.count, 0);
}

static void only_a_few_blocks_are_kept_and_none_of_another_size(void **state UNUSED)
{
    uint8_t *blocks[RECORD_BLOCKS_KEPT + 2], *other = filled(30000), *small = filled(RECORD_BLOCK_MIN - 1);

    record_blocks_keep();
    give_back(other);
    give_back(small);
    assert_int_equal(record_blocks.count, 0);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        blocks[i] = filled(RECORD_BLOCK_MIN + i);
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        give_back(blocks[i]);
    assert_int_equal(record_blocks.count, RECORD_BLOCKS_KEPT);
    record_blocks_give_back();
}

static void what_is_known_to_be_used_is_wiped_and_no_more(void **state UNUSED)
{
    const uint8_t *kept;
    uint8_t *p;

    record_blocks_keep();
    p = filled(RECORD_BLOCK_BYTES);
    record_blocks.used = 700;
    give_back(p);
    record_blocks.used = 0;
    assert_int_equal(record_blocks.count, 1);
    kept = record_blocks.kept[0];
    assert_true(is_zero(kept, 0, 700));
    assert_int_equal(kept[700], 's');
    record_blocks_give_back(); /* wipes as usual */
}

static void *elsewhere(void *p)
{
    give_back(p); /* this thread keeps nothing */
    return record_blocks.count == 0 ? p : NULL;
}

static void a_thread_keeps_only_when_it_said_so(void **state UNUSED)
{
    uint8_t *p = filled(RECORD_BLOCK_BYTES);
    pthread_t thread;
    void *result;

    give_back(p);
    assert_int_equal(record_blocks.count, 0);
    record_blocks_keep();
    p = filled(RECORD_BLOCK_BYTES);
    assert_int_equal(pthread_create(&thread, NULL, elsewhere, p), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, p);
    assert_int_equal(record_blocks.count, 0);
    record_blocks_give_back();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freed_memory_is_wiped),
        cmocka_unit_test(memory_that_moves_is_wiped_where_it_was),
        cmocka_unit_test(a_thread_that_keeps_record_blocks_gets_the_last_one_back_wiped),
        cmocka_unit_test(only_a_few_blocks_are_kept_and_none_of_another_size),
        cmocka_unit_test(what_is_known_to_be_used_is_wiped_and_no_more),
        cmocka_unit_test(a_thread_keeps_only_when_it_said_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
