/* Every write and every sync of a commit fails once, in every way it can: the store then holds exactly what was committed
 * before, it opens, and the same commit succeeds when tried again. The same when the process dies there.
 * The calls that LMDB makes are caught by functions of the same names: a program's own come before the C library's. */
#include "store/kv_world_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum way { WAY_NONE, WAY_ERROR, WAY_SHORT, WAY_AFTER, WAY_DIE, WAYS };

static struct {
    enum way way;
    int error;
    unsigned at;   /* 1: the next one */
    unsigned seen; /* calls since fail_at() */
} script;

static void fail_at(enum way way, int error, unsigned at)
{
    script.way = way;
    script.error = error;
    script.at = at;
    script.seen = 0;
}

/* True for the one call that is to fail. */
static bool hits(void)
{
    script.seen++;
    if (script.way == WAY_NONE || script.seen != script.at)
        return false;
    if (script.way == WAY_DIE)
        _exit(7);
    return true;
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t at);
ssize_t plain_pwrite(int fd, const void *p, size_t len,
                     off_t at) __asm__("pwrite"); /* the above is pwrite64: ours */
ssize_t writev(int fd, const struct iovec *v, int count);
ssize_t write(int fd, const void *p, size_t len);
int fdatasync(int fd);
int fsync(int fd);

/* Half of it is written with WAY_SHORT, all of it with WAY_AFTER, which then fails all the same: what an O_DSYNC write whose
 * sync fails leaves in the page cache. */
static ssize_t fail_write(ssize_t done)
{
    if (script.way == WAY_SHORT)
        return done;
    errno = script.error;
    return -1;
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t at)
{
    if (!hits())
        return syscall(SYS_pwrite64, fd, p, len, at);
    size_t part = script.way == WAY_SHORT ? len / 2 : script.way == WAY_AFTER ? len : 0;
    return fail_write(part == 0 ? 0 : syscall(SYS_pwrite64, fd, p, part, at));
}

ssize_t plain_pwrite(int fd, const void *p, size_t len, off_t at)
{
    return pwrite(fd, p, len, at);
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
    if (fd <= STDERR_FILENO || !hits())
        return syscall(SYS_writev, fd, v, count);
    int part = script.way == WAY_SHORT ? count / 2 : script.way == WAY_AFTER ? count : 0;
    return fail_write(part == 0 ? 0 : syscall(SYS_writev, fd, v, part));
}

ssize_t write(int fd, const void *p, size_t len)
{
    if (fd <= STDERR_FILENO || !hits())
        return syscall(SYS_write, fd, p, len);
    return fail_write(0);
}

static int fail_sync(long number, int fd)
{
    if (!hits())
        return (int)syscall(number, fd);
    if (script.way == WAY_AFTER)
        syscall(number, fd);
    errno = script.error;
    return -1;
}

int fdatasync(int fd)
{
    return fail_sync(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return fail_sync(SYS_fsync, fd);
}

/* A commit that touches several leaves, values on pages of their own, and removes. */
static void change_much(struct kv_batch *b, char mark)
{
    static uint8_t value[10000];
    char key[16];

    memset(value, mark, sizeof value);
    for (unsigned i = 0; i < 60; i++) {
        (void)snprintf(key, sizeof key, "k%03u", i);
        if ((i + (unsigned)mark) % 7 == 0)
            assert_int_equal(kv_batch_del(b, span_of_str(key)), ST_OK);
        else
            assert_int_equal(
                kv_batch_put(b, span_of_str(key), span_of(value, i % 5 == 0 ? sizeof value : 100 + i)), ST_OK);
    }
}

static void expect_same(struct kv *kv, const struct buf *expected)
{
    struct buf now = contents(kv, "");
    struct kv_findings found;

    assert_true(span_eq(buf_span(&now), buf_span(expected)));
    assert_int_equal(kv_check(kv, &found, NULL), ST_OK);
    assert_null(found.first.clause);
    buf_done(&now);
}

struct story {
    struct scratch s;
    struct kv *kv;
    struct kv_batch first, second;
    struct buf before, after; /* the contents around `second` */
};

static void begin_story(struct story *t)
{
    scratch_make(&t->s);
    kv_batch_init(&t->first, 1 << 20);
    kv_batch_init(&t->second, 1 << 20);
    change_much(&t->first, 'a');
    change_much(&t->second, 'b');
    t->kv = open_store(t->s.store);
    assert_int_equal(apply_one(t->kv, &t->first, NULL), ST_OK);
    assert_int_equal(apply_one(t->kv, &t->second, NULL), ST_OK);
    t->after = contents(t->kv, "");
    assert_int_equal(apply_one(t->kv, &t->first, NULL), ST_OK);
    t->before = contents(t->kv, "");
}

static void end_story(struct story *t)
{
    kv_close(t->kv);
    kv_batch_done(&t->first);
    kv_batch_done(&t->second);
    buf_done(&t->before);
    buf_done(&t->after);
    scratch_remove(&t->s);
}

static void back_to_before(struct story *t)
{
    assert_int_equal(apply_one(t->kv, &t->first, NULL), ST_OK);
    expect_same(t->kv, &t->before);
}

/* For every n: the n-th call of a commit fails. Returns how many there were. */
static unsigned each_call_fails(struct story *t, enum way way, int error, enum status expected, bool reopen)
{
    for (unsigned n = 1;; n++) {
        struct why why = { 0 };
        fail_at(way, error, n);
        enum status st = apply_one(t->kv, &t->second, &why);
        bool reached = script.seen >= n;
        fail_at(WAY_NONE, 0, 0);
        if (!reached) {
            assert_int_equal(st, ST_OK);
            expect_same(t->kv, &t->after);
            back_to_before(t);
            return n - 1;
        }
        assert_int_equal(st, expected);
        if (reopen) {
            kv_close(t->kv);
            t->kv = open_store(t->s.store);
        }
        if (!reopen ||
            way != WAY_AFTER) /* a head that was written may be found by the next process: allowed, see below */
            expect_same(t->kv, &t->before);
        assert_int_equal(apply_one(t->kv, &t->second, &why), ST_OK);
        expect_same(t->kv, &t->after);
        back_to_before(t);
    }
}

static void every_call_of_a_commit_may_fail_once(void **state UNUSED)
{
    static const struct {
        enum way way;
        int error;
        enum status expected;
    } rows[] = {
        { WAY_ERROR, EIO, ST_IO },       { WAY_ERROR, ENOSPC, ST_QUOTA }, { WAY_ERROR, EDQUOT, ST_QUOTA },
        { WAY_ERROR, EROFS, ST_IO },     { WAY_SHORT, EIO, ST_IO },       { WAY_AFTER, EIO, ST_IO },
        { WAY_AFTER, ENOSPC, ST_QUOTA },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int reopen = 0; reopen < 2; reopen++) {
            struct story t;
            begin_story(&t);
            unsigned calls = each_call_fails(&t, rows[i].way, rows[i].error, rows[i].expected, reopen);
            assert_true(calls >= 4); /* writes of pages, their sync, and the head */
            end_story(&t);
        }
    }
}

/* While the disk goes on failing, each attempt fails at its next call, and nothing moves; then all is well. */
static void a_disk_that_goes_on_failing_loses_nothing(void **state UNUSED)
{
    struct story t;
    struct why why = { 0 };

    begin_story(&t);
    for (unsigned n = 1; n < 12; n++) {
        fail_at(WAY_ERROR, EIO, n);
        enum status st = apply_one(t.kv, &t.second, &why);
        bool reached = script.seen >= n;
        fail_at(WAY_NONE, 0, 0);
        if (!reached) {
            assert_int_equal(st, ST_OK);
            back_to_before(&t);
            fail_at(WAY_ERROR, EIO, 2); /* broken again, so that opening again is walked too */
            st = apply_one(t.kv, &t.second, &why);
            fail_at(WAY_NONE, 0, 0);
        }
        assert_int_equal(st, ST_IO);
        assert_string_equal(why.clause, "EIO");
    }
    assert_int_equal(apply_one(t.kv, &t.second, &why), ST_OK);
    expect_same(t.kv, &t.after);
    end_story(&t);
}

/* Dead at the n-th call: the next process finds the state before or the one after, whole; after only from the last call on. */
static void a_process_may_die_at_every_call(void **state UNUSED)
{
    struct story t;

    begin_story(&t);
    for (unsigned n = 1;; n++) {
        int status = 0;
        kv_close(t.kv);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct kv *kv = open_store(t.s.store);
            fail_at(WAY_DIE, 0, n);
            _exit(apply_one(kv, &t.second, NULL) == ST_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        t.kv = open_store(t.s.store);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 0) {
            assert_true(n > 4);
            expect_same(t.kv, &t.after);
            break;
        }
        assert_int_equal(WEXITSTATUS(status), 7);
        expect_same(t.kv, &t.before);
    }
    end_story(&t);
}

/* What fails while a store is opened leaves it as it is, and no half of a new one. */
static void opening_may_fail_at_every_call(void **state UNUSED)
{
    for (int made = 0; made < 2; made++) {
        struct story t;
        begin_story(&t);
        for (unsigned n = 1;; n++) {
            struct kv *kv = NULL;
            const char *path = made ? t.s.copy : t.s.store;
            kv_close(t.kv);
            t.kv = NULL;
            fail_at(WAY_ERROR, EIO, n);
            enum status st = kv_open(path, &(struct kv_settings){ .check = true }, &kv, NULL);
            bool reached = script.seen >= n;
            fail_at(WAY_NONE, 0, 0);
            kv_close(kv);
            assert_int_equal(st, reached ? ST_IO : ST_OK);
            t.kv = open_store(t.s.store);
            expect_same(t.kv, &t.before);
            if (!reached)
                break;
        }
        end_story(&t);
    }
}

static void a_copy_that_fails_leaves_nothing_behind(void **state UNUSED)
{
    struct story t;

    begin_story(&t);
    for (unsigned n = 1;; n++) {
        fail_at(WAY_ERROR, ENOSPC, n);
        enum status st = kv_copy(t.kv, t.s.copy, NULL);
        bool reached = script.seen >= n;
        fail_at(WAY_NONE, 0, 0);
        if (!reached) {
            assert_int_equal(st, ST_OK);
            break;
        }
        assert_int_equal(st, ST_QUOTA);
        assert_int_equal(access(t.s.copy, F_OK), -1);
        expect_same(t.kv, &t.before);
    }
    struct kv *copy = open_store(t.s.copy);
    expect_same(copy, &t.before);
    kv_close(copy);
    end_story(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_of_a_commit_may_fail_once),
        cmocka_unit_test(a_disk_that_goes_on_failing_loses_nothing),
        cmocka_unit_test(a_process_may_die_at_every_call),
        cmocka_unit_test(opening_may_fail_at_every_call),
        cmocka_unit_test(a_copy_that_fails_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
