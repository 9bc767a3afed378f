/* What was applied is there, also for the next process; what was refused is not; one process writes; a store that is full can
 * be emptied; damaged ones are refused before LMDB sees them. */
#include "store/kv_world_test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void what_was_applied_is_there_for_the_next_one(void **state UNUSED)
{
    struct scratch s;
    struct kv_batch a, b;

    scratch_make(&s);
    struct kv *kv = open_store(s.store);
    kv_batch_init(&a, 4096);
    kv_batch_init(&b, 4096);
    assert_int_equal(kv_batch_put(&a, SPAN("q1"), SPAN("first")), ST_OK);
    assert_int_equal(kv_batch_put(&a, SPAN("q2"), SPAN("second")), ST_OK);
    assert_int_equal(kv_batch_put(&b, SPAN("s\0x"), SPAN("binary\0value")), ST_OK);
    assert_int_equal(kv_batch_del(&b, SPAN("q1")), ST_OK);
    assert_int_equal(kv_batch_del(&b, SPAN("never there")), ST_OK);
    assert_int_equal(kv_batch_put(&b, SPAN("e"), SPAN_NONE), ST_OK);
    assert_int_equal(kv_apply(kv, (const struct kv_batch *const[]){ &a, &b }, 2, NULL), ST_OK);
    kv_close(kv);
    kv = open_store(s.store);
    expect(kv, "q1", NULL);
    expect(kv, "q2", "second");
    expect_contents(kv, "q", "q2=second;");
    expect_contents(kv, "zz", "");
    struct buf all = contents(kv, "");
    assert_true(span_eq(buf_span(&all), SPAN("e=;q2=second;s\0x=binary\0value;")));
    buf_done(&all);
    kv_batch_done(&a);
    kv_batch_done(&b);
    kv_close(kv);
    scratch_remove(&s);
}

static void files_are_for_their_owner_only(void **state UNUSED)
{
    struct scratch s;
    struct stat st;
    char path[128];

    scratch_make(&s);
    mode_t before = umask(0);
    struct kv *kv = open_store(s.store);
    umask(before);
    assert_int_equal(stat(s.store, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    const char *const files[] = { "data.mdb", "lock.mdb" };
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", s.store, files[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    kv_close(kv);
    scratch_remove(&s);
}

static enum status stop_at_second(void *ctx, struct span key UNUSED, struct span value UNUSED)
{
    return ++*(int *)ctx == 2 ? ST_QUOTA : ST_OK;
}

static void a_visitor_may_end_the_walk(void **state UNUSED)
{
    struct scratch s;
    int seen = 0;

    scratch_make(&s);
    struct kv *kv = open_store(s.store);
    assert_int_equal(set(kv, "a", "1"), ST_OK);
    assert_int_equal(set(kv, "b", "2"), ST_OK);
    assert_int_equal(set(kv, "c", "3"), ST_OK);
    assert_int_equal(kv_scan(kv, SPAN_NONE, stop_at_second, &seen, NULL), ST_QUOTA);
    assert_int_equal(seen, 2);
    kv_close(kv);
    scratch_remove(&s);
}

/* In a process of its own: LMDB keeps locks per process. The status is the exit code. */
static int in_child(int (*what)(const struct scratch *), const struct scratch *s)
{
    int status = 0;

    (void)fflush(NULL);
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        exit(what(s)); /* not _exit(): what it covered counts */
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int open_to_write(const struct scratch *s)
{
    struct kv *kv = NULL;
    enum status st = kv_open(s->store, &(struct kv_settings){ 0 }, &kv, NULL);

    kv_close(kv);
    return (int)st;
}

static int read_along(const struct scratch *s)
{
    struct kv *kv = NULL;
    struct kv_settings settings = { .read_only = true, .check = true };
    struct buf out;
    enum status st = kv_open(s->store, &settings, &kv, NULL);

    buf_init(&out, 100);
    if (st == ST_OK)
        st = kv_get(kv, SPAN("a"), &out, NULL);
    if (st == ST_OK && !span_eq_str(buf_span(&out), "1"))
        st = ST_MALFORMED;
    kv_close(kv);
    buf_done(&out);
    return (int)st;
}

static int read_nothing(const struct scratch *s)
{
    struct kv *kv = NULL;
    struct kv_findings found;
    struct kv_settings settings = { .read_only = true };
    char path[128];

    (void)snprintf(path, sizeof path, "%s/data.mdb", s->copy);
    if (kv_salvage(s->copy, NULL, NULL, &found, NULL) != ST_NOT_FOUND || /* no folder */
        kv_open(s->copy, &settings, &kv, NULL) != ST_NOT_FOUND || mkdir(s->copy, 0700) != 0 ||
        kv_salvage(s->copy, NULL, NULL, &found, NULL) != ST_NOT_FOUND || /* no file */
        kv_open(s->copy, &settings, &kv, NULL) != ST_NOT_FOUND)
        return 1;
    int fd = open(path, O_RDWR | O_CREAT, 0600); /* nothing in it */
    enum status st = kv_open(s->copy, &settings, &kv, NULL);
    close(fd);
    return st == ST_NOT_FOUND ? 0 : 2;
}

static void what_is_not_there_is_not_found(void **state UNUSED)
{
    struct scratch s;

    scratch_make(&s);
    assert_int_equal(in_child(read_nothing, &s), 0);
    scratch_remove(&s);
}

static int salvage_along(const struct scratch *s)
{
    struct kv_findings found;
    return (int)kv_salvage(s->store, NULL, NULL, &found, NULL);
}

static void one_process_writes_and_others_may_read(void **state UNUSED)
{
    struct scratch s;

    scratch_make(&s);
    assert_int_equal(in_child(read_along, &s), ST_NOT_FOUND); /* makes nothing */
    struct kv *kv = open_store(s.store);
    assert_int_equal(set(kv, "a", "1"), ST_OK);
    assert_int_equal(in_child(open_to_write, &s), ST_EXISTS);
    assert_int_equal(in_child(salvage_along, &s), ST_EXISTS);
    assert_int_equal(in_child(read_along, &s), ST_OK); /* beside the writer */
    kv_close(kv);
    assert_int_equal(in_child(read_along, &s), ST_OK); /* alone */
    assert_int_equal(in_child(salvage_along, &s), ST_OK);
    assert_int_equal(in_child(open_to_write, &s), ST_OK);
    scratch_remove(&s);
}

static void who_reads_keeps_no_writer_out(void **state UNUSED)
{
    struct scratch s;
    struct kv_settings settings = { .read_only = true, .check = true };
    struct kv *kv = open_store((scratch_make(&s), s.store)), *reader = NULL;
    struct buf out;

    assert_int_equal(set(kv, "a", "1"), ST_OK);
    kv_close(kv);
    assert_int_equal(kv_open(s.store, &settings, &reader, NULL), ST_OK);
    assert_int_equal(in_child(open_to_write, &s), ST_OK);
    buf_init(&out, 100);
    assert_int_equal(kv_get(reader, SPAN("a"), &out, NULL), ST_OK);
    buf_done(&out);
    kv_close(reader);
    scratch_remove(&s);
}

static void a_copy_is_compact_and_whole(void **state UNUSED)
{
    struct scratch s;
    struct kv_stats before, after;
    struct kv_batch b;
    char key[32], value[500];

    scratch_make(&s);
    memset(value, 'v', sizeof value);
    struct kv *kv = open_store(s.store);
    kv_batch_init(&b, 1 << 22);
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "k%05d", i);
        assert_int_equal(kv_batch_put(&b, span_of_str(key), span_of(value, sizeof value)), ST_OK);
    }
    assert_int_equal(apply_one(kv, &b, NULL), ST_OK);
    kv_batch_reset(&b);
    for (int i = 0; i < 1990; i++) {
        (void)snprintf(key, sizeof key, "k%05d", i);
        assert_int_equal(kv_batch_del(&b, span_of_str(key)), ST_OK);
    }
    assert_int_equal(apply_one(kv, &b, NULL), ST_OK);
    assert_int_equal(set(kv, "last", "one"), ST_OK);
    assert_int_equal(kv_stats(kv, &before, NULL), ST_OK);
    assert_int_equal(before.entries, 11);
    assert_true(before.free_bytes > before.file_bytes / 2);
    assert_int_equal(before.commits, 3);
    assert_int_equal(kv_copy(kv, s.copy, NULL), ST_OK);
    assert_int_equal(kv_copy(kv, s.copy, NULL), ST_EXISTS);
    struct kv *copy = open_store(s.copy);
    assert_int_equal(kv_stats(copy, &after, NULL), ST_OK);
    assert_int_equal(after.entries, 11);
    assert_true(after.file_bytes < before.file_bytes / 10);
    expect(copy, "last", "one");
    kv_close(copy);
    kv_batch_done(&b);
    kv_close(kv);
    scratch_remove(&s);
}

static void a_full_store_says_so_and_can_be_emptied(void **state UNUSED)
{
    struct scratch s;
    struct kv_settings settings = { .max_bytes = 1 << 20, .check = true };
    struct kv_batch b;
    struct kv *kv = NULL;
    struct why why = { 0 };
    char key[32];
    static char value[20000];
    enum status st = ST_OK;
    int written = 0, full_at = 0;

    scratch_make(&s);
    memset(value, 'v', sizeof value);
    assert_int_equal(kv_open(s.store, &settings, &kv, NULL), ST_OK);
    kv_batch_init(&b, 1 << 22);
    while (st == ST_OK && written < 10000) {
        kv_batch_reset(&b);
        (void)snprintf(key, sizeof key, "k%05d", written);
        assert_int_equal(kv_batch_put(&b, span_of_str(key), span_of(value, sizeof value)), ST_OK);
        st = apply_one(kv, &b, &why);
        written += st == ST_OK;
        if (full_at == 0 && kv_full(kv))
            full_at = written;
    }
    assert_int_equal(st, ST_QUOTA); /* twice the limit, by somebody who did not ask kv_full() */
    assert_string_equal(why.text, "the store is far beyond its largest size");
    assert_true(full_at > 25 && full_at < written);
    kv_close(kv);
    assert_int_equal(kv_open(s.store, &settings, &kv, NULL), ST_OK);
    assert_true(kv_full(kv));
    for (int i = 0; i < written; i++) {
        kv_batch_reset(&b);
        (void)snprintf(key, sizeof key, "k%05d", i);
        assert_int_equal(kv_batch_del(&b, span_of_str(key)), ST_OK);
        assert_int_equal(apply_one(kv, &b, NULL), ST_OK);
    }
    assert_false(kv_full(kv));
    assert_int_equal(set(kv, "again", "room"), ST_OK);
    kv_batch_done(&b);
    kv_close(kv);
    scratch_remove(&s);
}

static void a_limit_lowered_later_still_leaves_room_to_remove(void **state UNUSED)
{
    struct scratch s;
    struct kv_batch b;
    struct kv *kv = open_store((scratch_make(&s), s.store));
    char key[32], value[1000];

    memset(value, 'v', sizeof value);
    kv_batch_init(&b, 8 << 20);
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "k%05d", i);
        assert_int_equal(kv_batch_put(&b, span_of_str(key), span_of(value, sizeof value)), ST_OK);
    }
    assert_int_equal(apply_one(kv, &b, NULL), ST_OK);
    assert_false(kv_full(kv));
    kv_close(kv);
    assert_int_equal(kv_open(s.store, &(struct kv_settings){ .max_bytes = 1 << 20 }, &kv, NULL), ST_OK);
    assert_true(kv_full(kv));
    kv_batch_reset(&b);
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "k%05d", i);
        assert_int_equal(kv_batch_del(&b, span_of_str(key)), ST_OK);
        if (i % 100 == 99) {
            assert_int_equal(apply_one(kv, &b, NULL), ST_OK);
            kv_batch_reset(&b);
        }
    }
    assert_false(kv_full(kv));
    kv_batch_done(&b);
    kv_close(kv);
    scratch_remove(&s);
}

/* Any mix of sizes, overwriting and removing, in commits of any size, agrees with a plain table, and every state passes the walk. */
static void random_changes_agree_with_a_model(void **state UNUSED)
{
    enum { KEYS = 120 };
    struct scratch s;
    struct kv_batch b;
    struct buf expected;
    uint32_t lengths[KEYS] = { 0 }; /* of the value, plus 1; 0: not there */
    uint64_t seed = 1;
    char key[16];
    static uint8_t value[20000];

    scratch_make(&s);
    memset(value, 'x', sizeof value);
    struct kv *kv = open_store(s.store);
    kv_batch_init(&b, 8 << 20);
    buf_init(&expected, 8 << 20);
    for (int commit = 0; commit < 80; commit++) {
        kv_batch_reset(&b);
        for (uint32_t n = dice(&seed) % 40; n > 0; n--) {
            uint32_t k = dice(&seed) % KEYS;
            uint32_t len = dice(&seed) % 8 == 0 ? dice(&seed) % sizeof value : dice(&seed) % 300;
            bool del = dice(&seed) % 3 == 0;
            (void)snprintf(key, sizeof key, "%03u", k);
            lengths[k] = del ? 0 : len + 1;
            assert_int_equal(del ? kv_batch_del(&b, span_of_str(key))
                                 : kv_batch_put(&b, span_of_str(key), span_of(value, len)),
                             ST_OK);
        }
        assert_int_equal(apply_one(kv, &b, NULL), ST_OK);
        if (commit % 10 == 0) {
            kv_close(kv);
            kv = open_store(s.store); /* walks every page first */
        }
        struct kv_findings found;
        assert_int_equal(kv_check(kv, &found, NULL), ST_OK);
        assert_null(found.first.clause);
    }
    for (uint32_t k = 0; k < KEYS; k++) {
        if (lengths[k] > 0)
            put_fmt(&expected, "%03u=%.*s;", k, (int)lengths[k] - 1, (const char *)value);
    }
    struct buf all = contents(kv, "");
    assert_true(span_eq(buf_span(&all), buf_span(&expected)));
    buf_done(&all);
    assert_int_equal(kv_copy(kv, s.copy, NULL), ST_OK); /* fails if a page is neither used nor free */
    struct kv *copy = open_store(s.copy);
    all = contents(copy, "");
    assert_true(span_eq(buf_span(&all), buf_span(&expected)));
    kv_close(copy);
    buf_done(&all);
    buf_done(&expected);
    kv_batch_done(&b);
    kv_close(kv);
    scratch_remove(&s);
}

static void an_empty_or_zeroed_file_is_a_new_store(void **state UNUSED)
{
    for (off_t size = 0; size <= 8192; size += 4096) { /* a machine that died while the store was made */
        struct scratch s;
        char path[128];

        scratch_make(&s);
        assert_int_equal(mkdir(s.store, 0700), 0);
        (void)snprintf(path, sizeof path, "%s/data.mdb", s.store);
        int fd = open(path, O_RDWR | O_CREAT, 0600);
        assert_int_equal(ftruncate(fd, size), 0);
        close(fd);
        struct kv *kv = open_store(s.store);
        assert_int_equal(set(kv, "a", "1"), ST_OK);
        kv_close(kv);
        scratch_remove(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_applied_is_there_for_the_next_one),
        cmocka_unit_test(files_are_for_their_owner_only),
        cmocka_unit_test(a_visitor_may_end_the_walk),
        cmocka_unit_test(one_process_writes_and_others_may_read),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(who_reads_keeps_no_writer_out),
        cmocka_unit_test(a_copy_is_compact_and_whole),
        cmocka_unit_test(a_full_store_says_so_and_can_be_emptied),
        cmocka_unit_test(a_limit_lowered_later_still_leaves_room_to_remove),
        cmocka_unit_test(random_changes_agree_with_a_model),
        cmocka_unit_test(an_empty_or_zeroed_file_is_a_new_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
