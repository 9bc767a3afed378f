/* The n-th system call fails, ours or LMDB's, for every n, in everything a store is asked for: an answer that says so or one that is
 * right, no crash, no leak, and the store is afterwards what it was. (kv_failing_test.c has the commits in more ways.) */
#include "store/kv_priv.h"
#include "store/kv_world_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

static struct {
    bool counting;
    bool for_good; /* not only that one, but all after it */
    int error;
    unsigned at, seen;
} script;

static bool fails(void)
{
    if (!script.counting || ++script.seen < script.at || (script.seen > script.at && !script.for_good))
        return false;
    errno = script.error;
    return true;
}

/* The linker lets calls of a name end in __wrap_NAME. */
#define WRAP(ret, name, params, args) \
    ret __real_##name params;         \
    ret __wrap_##name params;         \
    ret __wrap_##name params          \
    {                                 \
        if (fails())                  \
            return (ret)-1;           \
        return __real_##name args;    \
    }

/* clang-format off */
WRAP(int,     faccessat,    (int fd, const char *path, int mode, int flags),   (fd, path, mode, flags))
WRAP(int,     fdatasync,    (int fd),                                          (fd))
WRAP(int,     flock,        (int fd, int what),                                (fd, what))
WRAP(int,     fstat64,      (int fd, struct stat *st),                         (fd, st))
WRAP(int,     fsync,        (int fd),                                          (fd))
WRAP(int,     ftruncate,    (int fd, off_t len),                               (fd, len))
WRAP(int,     ftruncate64,  (int fd, off_t len),                               (fd, len))
WRAP(int,     mkdir,        (const char *path, mode_t mode),                   (path, mode))
WRAP(int,     __openat64_2, (int fd, const char *path, int flags),             (fd, path, flags))
WRAP(ssize_t, pread,        (int fd, void *p, size_t len, off_t at),           (fd, p, len, at))
WRAP(ssize_t, pread64,      (int fd, void *p, size_t len, off_t at),           (fd, p, len, at))
WRAP(ssize_t, pwrite,       (int fd, const void *p, size_t len, off_t at),     (fd, p, len, at))
WRAP(ssize_t, pwrite64,     (int fd, const void *p, size_t len, off_t at),     (fd, p, len, at))
WRAP(ssize_t, writev,       (int fd, const struct iovec *v, int count),        (fd, v, count))
WRAP(off_t,   lseek,        (int fd, off_t at, int whence),                    (fd, at, whence))
WRAP(void *,  mmap,         (void *p, size_t len, int prot, int flags, int fd, off_t at), (p, len, prot, flags, fd, at))
/* clang-format on */

/* With one argument more than is always there, which the calling convention allows. */
#define WRAP_OPEN(name, params, ...)             \
    int __real_##name params;                    \
    int __wrap_##name params;                    \
    int __wrap_##name params                     \
    {                                            \
        va_list rest;                            \
        if (fails())                             \
            return -1;                           \
        va_start(rest, flags);                   \
        mode_t mode = va_arg(rest, mode_t);      \
        va_end(rest);                            \
        return __real_##name(__VA_ARGS__, mode); \
    }
WRAP_OPEN(open, (const char *path, int flags, ...), path, flags)
WRAP_OPEN(open64, (const char *path, int flags, ...), path, flags)
WRAP_OPEN(openat64, (int fd, const char *path, int flags, ...), fd, path, flags)

#define WRAP_FCNTL(name)                           \
    int __real_##name(int fd, int flags, ...);     \
    int __wrap_##name(int fd, int flags, ...);     \
    int __wrap_##name(int fd, int flags, ...)      \
    {                                              \
        va_list rest;                              \
        if (fails())                               \
            return -1;                             \
        va_start(rest, flags);                     \
        void *argument = va_arg(rest, void *);     \
        va_end(rest);                              \
        return __real_##name(fd, flags, argument); \
    }
WRAP_FCNTL(fcntl)
WRAP_FCNTL(fcntl64)

static bool no_room;

int __real_fstatvfs64(int fd, struct statvfs *st);
int __wrap_fstatvfs64(int fd, struct statvfs *st);
int __wrap_fstatvfs64(int fd, struct statvfs *st)
{
    int rc = fails() ? -1 : __real_fstatvfs64(fd, st);

    if (rc == 0 && no_room)
        st->f_bavail = 0;
    return rc;
}

int __real_posix_fallocate64(int fd, off_t at, off_t len);
int __wrap_posix_fallocate64(int fd, off_t at, off_t len);
int __wrap_posix_fallocate64(int fd, off_t at, off_t len)
{
    return fails() ? script.error : __real_posix_fallocate64(fd, at, len);
}

/* ---- the store that is asked ---- */

struct tried {
    struct scratch s;
    struct kv *kv;
    struct kv_batch batch;
    struct buf before, after; /* the contents without and with `batch` */
};

static void begin_tried(struct tried *t)
{
    static uint8_t value[9000];
    char key[16];

    scratch_make(&t->s);
    t->kv = open_store(t->s.store);
    assert_int_equal(set(t->kv, "a", "1"), ST_OK);
    assert_int_equal(set(t->kv, "long", "2"), ST_OK);
    t->before = contents(t->kv, "");
    kv_batch_init(&t->batch, 8 << 20);
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof key, "k%03u", i);
        assert_int_equal(
            kv_batch_put(&t->batch, span_of_str(key), span_of(value, i == 50 ? sizeof value : 100)), ST_OK);
    }
    assert_int_equal(apply_one(t->kv, &t->batch, NULL), ST_OK);
    t->after = contents(t->kv, "");
}

static void end_tried(struct tried *t)
{
    kv_close(t->kv);
    kv_batch_done(&t->batch);
    buf_done(&t->before);
    buf_done(&t->after);
    scratch_remove(&t->s);
}

static void expect_after(struct tried *t, struct kv *kv)
{
    struct buf now = contents(kv, "");

    assert_true(span_eq(buf_span(&now), buf_span(&t->after)));
    buf_done(&now);
}

/* Asks with the n-th call failing until none is left to fail; returns how many there were. */
static unsigned each_call(struct tried *t, int error, void (*ask)(struct tried *t, bool *ret_failed))
{
    for (unsigned n = 1;; n++) {
        bool failed = false;
        script.error = error;
        script.at = n;
        script.seen = 0;
        ask(t, &failed);
        assert_false(script.counting);
        if (script.seen < n) {
            assert_false(failed);
            return n - 1;
        }
    }
}

#define FAILING(st, call)        \
    do {                         \
        script.counting = true;  \
        (st) = (call);           \
        script.counting = false; \
    } while (0)

static void expect_plain(enum status st, const struct why *why)
{
    assert_true(st == ST_OK || st == ST_IO || st == ST_QUOTA || st == ST_NO_MEMORY || st == ST_NOT_FOUND ||
                st == ST_DAMAGED || st == ST_EXISTS);
    assert_true(st == ST_OK || (why->clause != NULL && why->text != NULL));
}

static void ask_open(struct tried *t, bool *ret_failed)
{
    struct kv_settings settings = { .check = true };
    struct kv *kv = NULL;
    struct why why = { 0 };
    enum status st;

    kv_close(t->kv);
    FAILING(st, kv_open(t->s.store, &settings, &kv, &why));
    expect_plain(st, &why);
    if (st == ST_OK)
        expect_after(t, kv);
    kv_close(kv);
    t->kv = open_store(t->s.store);
    expect_after(t, t->kv);
    *ret_failed = st != ST_OK;
}

static void ask_make(struct tried *t, bool *ret_failed)
{
    struct kv *kv = NULL;
    struct why why = { 0 };
    enum status st;

    FAILING(st, kv_open(t->s.copy, &(struct kv_settings){ 0 }, &kv, &why));
    expect_plain(st, &why);
    kv_close(kv);
    kv = open_store(t->s.copy); /* what is left of it does not count as damage */
    expect_contents(kv, "", "");
    kv_close(kv);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/data.mdb", t->s.copy);
    unlink(path);
    (void)snprintf(path, sizeof path, "%s/lock.mdb", t->s.copy);
    unlink(path);
    rmdir(t->s.copy);
    *ret_failed = st != ST_OK;
}

static void ask_read_only(struct tried *t, bool *ret_failed)
{
    struct kv_settings settings = { .check = true, .read_only = true };
    struct kv *kv = NULL;
    struct why why = { 0 };
    enum status st;

    kv_close(t->kv);
    FAILING(st, kv_open(t->s.store, &settings, &kv, &why));
    expect_plain(st, &why);
    if (st == ST_OK)
        expect_after(t, kv);
    kv_close(kv);
    t->kv = open_store(t->s.store);
    *ret_failed = st != ST_OK;
}

static void ask_look(struct tried *t, bool *ret_failed)
{
    struct kv_findings found = { 0 };
    struct kv_stats stats;
    struct why why = { 0 };
    enum status st;

    FAILING(st, kv_check(t->kv, &found, &why));
    expect_plain(st, &why);
    *ret_failed = st != ST_OK || found.first.clause != NULL;
    FAILING(st, kv_stats(t->kv, &stats, &why));
    expect_plain(st, &why);
    *ret_failed |= st != ST_OK;
    expect_after(t, t->kv);
}

static void ask_copy(struct tried *t, bool *ret_failed)
{
    struct why why = { 0 };
    enum status st;

    FAILING(st, kv_copy(t->kv, t->s.copy, &why));
    expect_plain(st, &why);
    *ret_failed = st != ST_OK;
    assert_int_equal(access(t->s.copy, F_OK), st == ST_OK ? 0 : -1);
    if (st == ST_OK) {
        struct kv *copy = open_store(t->s.copy);
        expect_after(t, copy);
        kv_close(copy);
    }
}

static void ask_salvage(struct tried *t, bool *ret_failed)
{
    struct kv_findings found = { 0 };
    struct why why = { 0 };
    enum status st;

    kv_close(t->kv);
    FAILING(st, kv_salvage(t->s.store, NULL, NULL, &found, &why));
    expect_plain(st, &why);
    *ret_failed = st != ST_OK || found.first.clause != NULL;
    t->kv = open_store(t->s.store);
}

/* A commit fails at its sync; then the repair and the next attempt fail at every call of theirs. */
static void ask_repair(struct tried *t, bool *ret_failed)
{
    unsigned at = script.at;
    struct why why = { 0 };
    enum status st;

    script.at = 3;
    FAILING(st, apply_one(t->kv, &t->batch, &why));
    assert_int_not_equal(st, ST_OK);
    script.at = at;
    script.seen = 0;
    FAILING(st, apply_one(t->kv, &t->batch, &why));
    expect_plain(st, &why);
    *ret_failed = st != ST_OK;
    assert_int_equal(apply_one(t->kv, &t->batch, &why), ST_OK);
    expect_after(t, t->kv);
}

static void try_all(void (*ask)(struct tried *t, bool *ret_failed), unsigned least)
{
    static const int errors[] = { EIO, ENOSPC, EACCES, ENOMEM };

    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct tried t;
        begin_tried(&t);
        assert_true(each_call(&t, errors[i], ask) >= least);
        end_tried(&t);
    }
}

/* From the n-th call on nothing works: everything says so, nothing hangs, and when the disk is back all is as before. */
static void a_disk_that_dies_and_comes_back(void **state UNUSED)
{
    struct tried t;
    struct kv_stats stats;
    struct kv_findings found;
    struct buf out;
    unsigned without = 0; /* times when not even reading was possible */

    begin_tried(&t);
    buf_init(&out, 100);
    for (unsigned n = 1; n < 12; n++) {
        enum status again;
        script.error = EIO;
        script.at = n;
        script.seen = 0;
        script.for_good = true;
        FAILING(again, apply_one(t.kv, &t.batch, NULL));
        assert_int_equal(again, script.seen < n ? ST_OK : ST_IO);
        FAILING(again, apply_one(t.kv, &t.batch, NULL));
        assert_int_equal(again, ST_IO);
        FAILING(again, kv_get(t.kv, SPAN("a"), &out, NULL));
        assert_true(again == ST_OK || again == ST_IO);
        if (again == ST_IO) {
            without++;
            assert_int_equal(kv_scan(t.kv, SPAN_NONE, NULL, NULL, NULL), ST_IO);
            assert_int_equal(kv_stats(t.kv, &stats, NULL), ST_IO);
            assert_int_equal(kv_check(t.kv, &found, NULL), ST_IO);
            assert_int_equal(kv_copy(t.kv, t.s.copy, NULL), ST_IO);
        }
        script.for_good = false;
        assert_int_equal(apply_one(t.kv, &t.batch, NULL), ST_OK);
        expect_after(&t, t.kv);
    }
    assert_true(without > 0);
    script.for_good = true;
    script.at = 1;
    script.seen = 0;
    enum status st;
    FAILING(st, apply_one(t.kv, &t.batch, NULL));
    assert_int_equal(st, ST_IO); /* and so it is closed */
    script.for_good = false;
    buf_done(&out);
    end_tried(&t);
}

/* A disk with room that says EIO is one that fails; without room it is full, whatever it says. */
static void what_the_system_says_is_told_in_our_words(void **state UNUSED)
{
    static const struct {
        int rc;
        enum status st;
        const char *clause;
    } rows[] = {
        { MDB_MAP_FULL, ST_QUOTA, "store" },
        { MDB_READERS_FULL, ST_QUOTA, "store" },
        { MDB_TXN_FULL, ST_QUOTA, "store" }, /* nothing was committed: not the ST_TOO_LARGE of committer.h */
        { MDB_NOTFOUND, ST_NOT_FOUND, "store" },
        { MDB_VERSION_MISMATCH, ST_BAD_VERSION, "store" },
        { MDB_INVALID, ST_DAMAGED, "store" },
        { MDB_CORRUPTED, ST_DAMAGED, "store" },
        { MDB_PAGE_NOTFOUND, ST_DAMAGED, "store" },
        { MDB_INCOMPATIBLE, ST_DAMAGED, "store" },
        { MDB_PANIC, ST_IO, "store" },
        { MDB_BAD_DBI, ST_INTERNAL, "store" },
        { ENOMEM, ST_NO_MEMORY, "ENOMEM" },
        { ENOSPC, ST_QUOTA, "ENOSPC" },
        { EDQUOT, ST_QUOTA, "EDQUOT" },
        { EIO, ST_IO, "EIO" },
        { EACCES, ST_IO, "EACCES" },
        { EPERM, ST_IO, "EPERM" },
        { EROFS, ST_IO, "EROFS" },
        { ENODEV, ST_IO, "ENODEV" },
        { 4000, ST_IO, "store" },
    };
    struct tried t;

    begin_tried(&t);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct why why = { 0 };
        assert_int_equal(kv_failed(t.kv, rows[i].rc, &why), rows[i].st);
        assert_string_equal(why.clause, rows[i].clause);
        assert_true(strlen(why.text) > 0);
    }
    assert_int_equal(kv_failed(&(struct kv){ .file = -1 }, EIO, NULL), ST_IO);
    no_room = true;
    struct why why = { 0 };
    assert_int_equal(kv_failed(t.kv, EIO, &why), ST_QUOTA);
    assert_string_equal(why.clause, "ENOSPC");
    no_room = false;
    end_tried(&t);
}

static void opening(void **state UNUSED)
{
    try_all(ask_open, 30);
}

static void making(void **state UNUSED)
{
    try_all(ask_make, 25);
}

static void opening_to_read(void **state UNUSED)
{
    try_all(ask_read_only, 30);
}

static void looking(void **state UNUSED)
{
    try_all(ask_look, 10);
}

static void copying(void **state UNUSED)
{
    try_all(ask_copy, 6);
}

static void salvaging(void **state UNUSED)
{
    try_all(ask_salvage, 20);
}

static void repairing(void **state UNUSED)
{
    try_all(ask_repair, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening),
        cmocka_unit_test(making),
        cmocka_unit_test(opening_to_read),
        cmocka_unit_test(looking),
        cmocka_unit_test(copying),
        cmocka_unit_test(salvaging),
        cmocka_unit_test(repairing),
        cmocka_unit_test(a_disk_that_dies_and_comes_back),
        cmocka_unit_test(what_the_system_says_is_told_in_our_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
