/* The n-th allocation fails, LMDB's own among them, for every n: a clear refusal, nothing changed, nothing leaked, and the same succeeds
 * with memory. */
#include "store/committer.h"
#include "store/kv_world_test.h"

#include "support/failing_memory.h"

struct tried {
    struct scratch s;
    struct kv *kv;
    struct kv_batch batch;
    struct buf before;
};

static void begin_tried(struct tried *t)
{
    char key[16];
    static uint8_t value[9000];

    scratch_make(&t->s);
    kv_batch_init(&t->batch, 8 << 20);
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof key, "k%03u", i);
        assert_int_equal(
            kv_batch_put(&t->batch, span_of_str(key), span_of(value, i % 50 == 0 ? sizeof value : 100)), ST_OK);
    }
    t->kv = open_store(t->s.store);
    assert_int_equal(set(t->kv, "a", "1"), ST_OK);
    t->before = contents(t->kv, "");
}

static void end_tried(struct tried *t)
{
    kv_close(t->kv);
    kv_batch_done(&t->batch);
    buf_done(&t->before);
    scratch_remove(&t->s);
}

static void expect_before(struct tried *t)
{
    struct buf now = contents(t->kv, "");

    assert_true(span_eq(buf_span(&now), buf_span(&t->before)));
    buf_done(&now);
}

static void try_apply(void *ctx, long n)
{
    struct tried *t = ctx;
    struct why why = { 0 };

    failing_memory_begin(n);
    enum status st = apply_one(t->kv, &t->batch, &why);
    bool met = failing_memory_end() >= n;
    if (!met) {
        assert_int_equal(st, ST_OK);
        return;
    }
    if (st == ST_OK) { /* what failed was one that LMDB can do without */
        assert_int_equal(kv_apply(t->kv, NULL, 0, NULL), ST_OK);
        kv_close(t->kv);
        scratch_remove(&t->s);
        scratch_make(&t->s);
        t->kv = open_store(t->s.store);
        assert_int_equal(set(t->kv, "a", "1"), ST_OK);
        return;
    }
    assert_int_equal(st, ST_NO_MEMORY);
    expect_before(t);
}

static void a_commit_without_memory_changes_nothing(void **state UNUSED)
{
    struct tried t;

    begin_tried(&t);
    assert_true(failing_memory_each(try_apply, &t) >= 5);
    end_tried(&t);
}

static void try_open(void *ctx, long n)
{
    struct tried *t = ctx;
    struct kv_settings settings = { .check = true };
    struct kv *kv = NULL;

    failing_memory_begin(n);
    enum status st = kv_open(t->s.store, &settings, &kv, NULL);
    bool met = failing_memory_end() >= n;
    if (st == ST_OK)
        expect(kv, "a", "1");
    assert_int_equal(st, met ? ST_NO_MEMORY : ST_OK);
    kv_close(kv);
}

static void opening_without_memory_is_refused(void **state UNUSED)
{
    struct tried t;

    begin_tried(&t);
    assert_int_equal(apply_one(t.kv, &t.batch, NULL), ST_OK);
    kv_close(t.kv);
    assert_true(failing_memory_each(try_open, &t) > 8);
    t.kv = NULL;
    end_tried(&t);
}

static void try_look(void *ctx, long n)
{
    struct tried *t = ctx;
    struct buf out;
    struct kv_stats stats;
    struct kv_findings found;
    unsigned refused = 0;

    buf_init(&out, 100);
    failing_memory_begin(n);
    refused += kv_get(t->kv, SPAN("a"), &out, NULL) == ST_NO_MEMORY;
    refused += kv_stats(t->kv, &stats, NULL) == ST_NO_MEMORY;
    refused += kv_check(t->kv, &found, NULL) == ST_NO_MEMORY;
    refused += kv_salvage(t->s.copy, NULL, NULL, &found, NULL) == ST_NO_MEMORY;
    assert_int_equal(refused, failing_memory_end() >= n);
    buf_done(&out);
}

static void looking_without_memory_is_refused(void **state UNUSED)
{
    struct tried t;

    begin_tried(&t);
    assert_int_equal(apply_one(t.kv, &t.batch, NULL), ST_OK);
    assert_int_equal(kv_copy(t.kv, t.s.copy, NULL), ST_OK);
    assert_true(failing_memory_each(try_look, &t) > 8);
    end_tried(&t);
}

static void try_copy(void *ctx, long n)
{
    struct tried *t = ctx;

    failing_memory_begin(n);
    enum status st = kv_copy(t->kv, t->s.copy, NULL);
    bool met = failing_memory_end() >= n;
    assert_int_equal(st, met ? ST_NO_MEMORY : ST_OK);
    assert_int_equal(access(t->s.copy, F_OK), met ? -1 : 0);
}

static void copying_without_memory_leaves_nothing(void **state UNUSED)
{
    struct tried t;

    begin_tried(&t);
    assert_true(failing_memory_each(try_copy, &t) > 1);
    end_tried(&t);
}

static void stored(void *ctx UNUSED, unsigned owner UNUSED, uint64_t seq UNUSED)
{
}

static void state_told(void *ctx UNUSED, enum status st UNUSED, const struct why *why UNUSED)
{
}

static void try_committer(void *ctx, long n)
{
    struct tried *t = ctx;
    struct committer *c = NULL;
    struct committer_calls calls = { stored, state_told, NULL };
    unsigned lost;
    bool stuck;

    failing_memory_begin(n);
    enum status st = committer_new(t->kv, 3, &calls, &c);
    bool met = failing_memory_end() >= n;
    assert_int_equal(st, met ? ST_NO_MEMORY : ST_OK);
    if (st == ST_OK)
        assert_int_equal(committer_stop(c, 1000, &lost, &stuck), ST_OK);
}

static void a_committer_without_memory_is_not_made(void **state UNUSED)
{
    struct tried t;

    begin_tried(&t);
    assert_int_equal(failing_memory_each(try_committer, &t), 3);
    end_tried(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_without_memory_changes_nothing),
        cmocka_unit_test(opening_without_memory_is_refused),
        cmocka_unit_test(looking_without_memory_is_refused),
        cmocka_unit_test(copying_without_memory_leaves_nothing),
        cmocka_unit_test(a_committer_without_memory_is_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
