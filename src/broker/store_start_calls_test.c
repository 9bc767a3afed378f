/* Every call that changes names or syncs a folder, and every allocation, is made to fail in turn while a store is opened, salvaged or
 * migrated: the start then fails and says why, or has done its work; nothing is lost, and the next start finds all of it. An intact
 * store is never taken for a damaged one. */
#include "broker/store_start.h"
#include "record/record.h"
#include "support/failing_memory.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define RETAINED 300

/* ---- calls that fail ---- */

static long fail_at, made; /* 0: none */

static bool fails(void)
{
    if (fail_at == 0 || ++made != fail_at)
        return false;
    errno = EIO;
    return true;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_rmdir(const char *path);
int __wrap_rmdir(const char *path);
struct tm *__real_gmtime_r(const time_t *at, struct tm *out);
struct tm *__wrap_gmtime_r(const time_t *at, struct tm *out);

int __wrap_fsync(int fd)
{
    return fails() ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    return fails() ? -1 : __real_rename(from, to);
}

int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    return fails() ? -1 : __real_renameat2(a, from, b, to, flags);
}

int __wrap_unlink(const char *path)
{
    return fails() ? -1 : __real_unlink(path);
}

int __wrap_rmdir(const char *path)
{
    return fails() ? -1 : __real_rmdir(path);
}

struct tm *__wrap_gmtime_r(const time_t *at, struct tm *out)
{
    return fails() ? NULL : __real_gmtime_r(at, out);
}

/* ---- a state folder ---- */

static const struct now today = { { 1000 }, { 1800000000, 0 } };

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);

    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        char inner[512];

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        remove_tree(inner);
    }
    if (dir != NULL)
        closedir(dir);
    (void)remove(path);
}

static bool is_there(const char *dir, const char *prefix)
{
    DIR *open_dir = opendir(dir);
    bool found = false;

    assert_non_null(open_dir);
    for (struct dirent *e = readdir(open_dir); e != NULL; e = readdir(open_dir))
        found = found || strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    closedir(open_dir);
    return found;
}

/* The record of meta as format 0 had it (store_migrate.c). */
static void put_meta_0(struct kv_batch *b)
{
    struct kv_batch now;
    struct kv_op op;
    size_t at = 0, from;
    struct span value;
    struct buf *v;

    kv_batch_init(&now, SIZE_MAX);
    assert_int_equal(record_put_meta(&now, &(struct record_meta){ .format = RECORD_FORMAT, .workers = 2 }),
                     ST_OK);
    assert_true(kv_batch_next(&now, &at, &op));
    value = op.value;
    assert_int_equal(record_unsum(op.key, &value, NULL), ST_OK);
    v = kv_batch_put_begin(b, op.key);
    from = v->len;
    put_u32(v, 0);
    put_bytes(v, span_cut(value, 4, value.len - 12));
    put_u32(v, record_sum(op.key, span_of(v->p + from, v->len - from)));
    assert_int_equal(kv_batch_put_end(b), ST_OK);
    kv_batch_done(&now);
}

enum shape { INTACT, OLDER, DAMAGED };

struct place {
    char dir[64], store[128];
    struct store_start start;
    enum shape shape;
    unsigned started, refused;
};

static void fill(struct place *p)
{
    static uint8_t payload[300];
    const struct kv_batch *batches[1];
    struct kv_batch b;
    struct kv *kv;
    char topic[32];

    kv_batch_init(&b, SIZE_MAX);
    batches[0] = &b;
    if (p->shape == OLDER)
        put_meta_0(&b);
    else
        assert_int_equal(record_put_meta(&b, &(struct record_meta){ .format = RECORD_FORMAT, .workers = 2 }),
                         ST_OK);
    for (uint64_t i = 1; i <= RETAINED; i++) {
        (void)snprintf(topic, sizeof topic, "a/%u", (unsigned)i);
        assert_int_equal(record_put_retained(&b, &(struct record_message){ .number = i,
                                                                           .qos = 1,
                                                                           .retain = true,
                                                                           .expires_ms = RECORD_NEVER,
                                                                           .token_until_s = RECORD_NEVER,
                                                                           .topic = span_of_str(topic),
                                                                           .payload = span_of(payload, 300) }),
                         ST_OK);
    }
    assert_int_equal(kv_open(p->store, &(struct kv_settings){ .max_bytes = 64 << 20 }, &kv, NULL), ST_OK);
    assert_int_equal(kv_apply(kv, batches, 1, NULL), ST_OK);
    kv_close(kv);
    kv_batch_done(&b);
}

static void lay_out(struct place *p)
{
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/store_calls_XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->store, sizeof p->store, "%s/store", p->dir);
    p->start = (struct store_start){ .state_dir = p->dir, .max_bytes = 64 << 20 };
    fill(p);
    if (p->shape == DAMAGED) {
        char file[160];

        (void)snprintf(file, sizeof file, "%s/data.mdb", p->store);
        assert_int_equal(truncate(file, 4096 * 8), 0);
    }
    if (p->shape != INTACT) { /* a start before this one was interrupted */
        char copy[160];
        struct kv *kv;

        (void)snprintf(copy, sizeof copy, "%s/store.%s", p->dir, p->shape == OLDER ? "migrating" : "salvaging");
        assert_int_equal(kv_open(copy, &(struct kv_settings){ .max_bytes = 1 << 20 }, &kv, NULL), ST_OK);
        kv_close(kv);
    }
}

static enum status count_one(void *ctx, struct span key UNUSED, struct span value UNUSED)
{
    ++*(unsigned *)ctx;
    return ST_OK;
}

static unsigned retained_in(struct kv *kv)
{
    unsigned count = 0;

    assert_int_equal(kv_scan(kv, SPAN("r"), count_one, &count, NULL), ST_OK);
    return count;
}

/* Whatever the start before has left: this one works, and has it all. */
static void expect_next_start(struct place *p)
{
    struct why why = { 0 };
    struct kv *kv = NULL;

    if (store_start_open(&p->start, today, &kv, &why) != ST_OK)
        fail_msg("the next start: %s", why.text);
    if (p->shape != DAMAGED)
        assert_int_equal(retained_in(kv), RETAINED);
    assert_int_equal(is_there(p->dir, "store.damaged-"), p->shape == DAMAGED);
    kv_close(kv);
}

static void try_start(struct place *p, enum status expected)
{
    struct why why = { 0 };
    struct kv *kv = NULL;
    enum status st = store_start_open(&p->start, today, &kv, &why);

    (void)failing_memory_end();
    fail_at = 0;
    if (st == ST_OK) {
        p->started++;
        kv_close(kv);
    } else {
        if (st != expected && st != ST_INTERNAL)
            fail_msg("%s: %s", status_name(st), why.text);
        assert_non_null(why.text);
        p->refused++;
    }
    expect_next_start(p);
    remove_tree(p->dir);
}

static void each_call_fails_once(enum shape shape, unsigned least)
{
    struct place p = { .shape = shape };
    long n = 0;

    do {
        lay_out(&p);
        made = 0;
        fail_at = ++n;
        try_start(&p, ST_IO);
    } while (made >= n);
    assert_true(p.started > 0 && p.refused >= least);
}

static void a_store_is_started_whatever_call_fails(void **state UNUSED)
{
    each_call_fails_once(INTACT, 0);
    each_call_fails_once(OLDER, 3);
    each_call_fails_once(DAMAGED, 3);
}

static void try_memory(void *ctx, long n)
{
    struct place *p = ctx;

    lay_out(p);
    failing_memory_begin(n);
    try_start(p, ST_NO_MEMORY);
}

static void a_store_is_not_damaged_because_memory_is_short(void **state UNUSED)
{
    for (enum shape shape = INTACT; shape <= DAMAGED; shape++) {
        struct place p = { .shape = shape };

        assert_true(failing_memory_each(try_memory, &p) > 0);
        assert_true(p.started > 0);
    }
}

static void a_folder_whose_name_is_too_long_is_told_so(void **state UNUSED)
{
    char *name = calloc(1, 5000);
    struct store_start start = { .state_dir = name, .max_bytes = 1 << 20 };
    struct why why = { 0 };
    struct kv *kv;

    assert_non_null(name);
    memset(name, 'x', 4999);
    assert_int_equal(store_start_open(&start, today, &kv, &why), ST_IO);
    assert_string_equal(why.clause, "state_dir");
    free(name);
}

static void what_is_in_the_way_of_a_copy_stays(void **state UNUSED)
{
    struct place p = { .shape = OLDER };
    struct why why = { 0 };
    struct kv *kv = NULL;
    char path[200];
    FILE *f;

    lay_out(&p);
    (void)snprintf(path, sizeof path, "%s/store.migrating/of_somebody", p.dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(store_start_open(&p.start, today, &kv, &why), ST_IO);
    assert_non_null(strstr(why.text, "is there a file in it?"));
    assert_int_equal(access(path, F_OK), 0);
    (void)unlink(path);
    expect_next_start(&p);
    remove_tree(p.dir);
}

static void a_store_that_is_kept_gets_a_name_of_its_own(void **state UNUSED)
{
    struct place p = { .shape = DAMAGED };
    char path[200];

    lay_out(&p);
    (void)snprintf(path, sizeof path, "%s/store.damaged-20270115T080000Z", p.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_next_start(&p);
    assert_true(is_there(p.dir, "store.damaged-20270115T080000Z.1"));
    remove_tree(p.dir);
}

static void unheard(void *ctx UNUSED, enum log_level level UNUSED, struct span line UNUSED)
{
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_is_started_whatever_call_fails),
        cmocka_unit_test(a_store_is_not_damaged_because_memory_is_short),
        cmocka_unit_test(a_folder_whose_name_is_too_long_is_told_so),
        cmocka_unit_test(what_is_in_the_way_of_a_copy_stays),
        cmocka_unit_test(a_store_that_is_kept_gets_a_name_of_its_own),
    };

    log_set_sink(unheard, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
