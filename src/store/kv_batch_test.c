/* A batch gives back what was put in, in order, and a change that does not fit leaves it as it was. */
#include "store/kv_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants those above first */
#include <cmocka.h>

static void expect_next(const struct kv_batch *b, size_t *at, bool del, const char *key, const char *value)
{
    struct kv_op op = { 0 };

    assert_true(kv_batch_next(b, at, &op));
    assert_int_equal(op.del, del);
    assert_true(span_eq_str(op.key, key));
    assert_true(span_eq_str(op.value, value));
}

static void expect_end(const struct kv_batch *b, size_t at)
{
    struct kv_op op;

    assert_false(kv_batch_next(b, &at, &op));
}

static void changes_come_back_in_order(void **state UNUSED)
{
    struct kv_batch b;
    size_t at = 0;

    kv_batch_init(&b, 4096);
    assert_true(kv_batch_empty(&b));
    expect_end(&b, 0);
    assert_int_equal(kv_batch_put(&b, SPAN("a"), SPAN("one")), ST_OK);
    assert_int_equal(kv_batch_del(&b, SPAN("bb")), ST_OK);
    assert_int_equal(kv_batch_put(&b, SPAN("ccc"), SPAN_NONE), ST_OK);
    struct buf *value = kv_batch_put_begin(&b, SPAN("d"));
    put_str(value, "in ");
    put_str(value, "pieces");
    assert_int_equal(kv_batch_put_end(&b), ST_OK);
    assert_int_equal(b.count, 4);
    expect_next(&b, &at, false, "a", "one");
    expect_next(&b, &at, true, "bb", "");
    expect_next(&b, &at, false, "ccc", "");
    expect_next(&b, &at, false, "d", "in pieces");
    expect_end(&b, at);
    kv_batch_reset(&b);
    assert_true(kv_batch_empty(&b));
    expect_end(&b, 0);
    kv_batch_done(&b);
}

static void what_does_not_fit_leaves_the_batch_as_it_was(void **state UNUSED)
{
    for (size_t max = 0; max < 64; max++) {
        struct kv_batch b;
        size_t at = 0;

        kv_batch_init(&b, max);
        bool first = kv_batch_put(&b, SPAN("k1"), SPAN("v1")) == ST_OK;
        assert_int_equal(first, max >= 11);
        size_t before = kv_batch_bytes(&b);
        struct buf *value = kv_batch_put_begin(&b, SPAN("k2"));
        for (int i = 0; i < 10; i++)
            put_u32(value, 0);
        enum status st = kv_batch_put_end(&b);
        assert_int_equal(st, max >= 60 ? ST_OK : ST_NO_MEMORY);
        if (st != ST_OK) {
            assert_int_equal(kv_batch_bytes(&b), before);
            assert_int_equal(kv_batch_put(&b, SPAN("x"), SPAN_NONE), max >= before + 8 ? ST_OK : ST_NO_MEMORY);
            assert_int_equal(kv_batch_del(&b, SPAN("y")), max >= before + 16 ? ST_OK : ST_NO_MEMORY);
        }
        if (first)
            expect_next(&b, &at, false, "k1", "v1");
        kv_batch_done(&b);
    }
}

static void a_mark_takes_back_what_came_after_it(void **state UNUSED)
{
    struct kv_batch b;
    size_t at = 0;

    kv_batch_init(&b, 32);
    assert_int_equal(kv_batch_put(&b, SPAN("a"), SPAN("1")), ST_OK);
    struct kv_mark mark = kv_batch_mark(&b);
    assert_int_equal(kv_batch_put(&b, SPAN("b"), SPAN("2")), ST_OK);
    assert_int_equal(kv_batch_put(&b, SPAN("c"), SPAN("a value too long")), ST_NO_MEMORY);
    kv_batch_rewind(&b, mark);
    assert_int_equal(b.count, 1);
    assert_int_equal(kv_batch_put(&b, SPAN("d"), SPAN("3")), ST_OK);
    expect_next(&b, &at, false, "a", "1");
    expect_next(&b, &at, false, "d", "3");
    expect_end(&b, at);
    kv_batch_done(&b);
}

static void a_batch_moves_whole(void **state UNUSED)
{
    struct kv_batch b;
    size_t at = 0;

    kv_batch_init(&b, 64);
    assert_int_equal(kv_batch_put(&b, SPAN("a"), SPAN("1")), ST_OK);
    struct kv_batch taken = kv_batch_take(&b);
    assert_true(kv_batch_empty(&b));
    assert_int_equal(kv_batch_put(&b, SPAN("b"), SPAN("2")), ST_OK);
    expect_next(&taken, &at, false, "a", "1");
    expect_end(&taken, at);
    kv_batch_done(&taken);
    kv_batch_done(&b);
}

static void keys_may_have_511_bytes(void **state UNUSED)
{
    struct kv_batch b;
    struct kv_op op;
    uint8_t key[KV_KEY_MAX];
    size_t at = 0;

    memset(key, 0xff, sizeof key);
    kv_batch_init(&b, 4096);
    assert_int_equal(kv_batch_put(&b, span_of(key, sizeof key), SPAN("v")), ST_OK);
    assert_true(kv_batch_next(&b, &at, &op));
    assert_true(span_eq(op.key, span_of(key, sizeof key)));
    kv_batch_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_come_back_in_order),
        cmocka_unit_test(what_does_not_fit_leaves_the_batch_as_it_was),
        cmocka_unit_test(a_mark_takes_back_what_came_after_it),
        cmocka_unit_test(a_batch_moves_whole),
        cmocka_unit_test(keys_may_have_511_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
