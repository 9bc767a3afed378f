/* A damaged file is refused or works, but never ends the process; what is whole in it can be got out. */
#include "store/kv_world_test.h"

#include <fcntl.h>
#include <sys/stat.h>

#define PAGE 4096

struct image {
    struct scratch s;
    char file[128];
    uint8_t *bytes;
    size_t len;
    unsigned entries;
};

static void write_image(const struct image *m, size_t len)
{
    int fd = open(m->file, O_RDWR | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, m->bytes, len), (ssize_t)len);
    close(fd);
}

/* A store with three levels, long values, and pages that are free. */
static void make_image(struct image *m)
{
    struct kv_batch b;
    struct stat st;
    static uint8_t value[9000];
    char key[64];

    scratch_make(&m->s);
    (void)snprintf(m->file, sizeof m->file, "%s/data.mdb", m->s.store);
    struct kv *kv = open_store(m->s.store);
    kv_batch_init(&b, 8 << 20);
    for (unsigned i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof key, "session/of/a/client/with/a/long/name/%06u", i);
        size_t len = i % 300 == 0 ? sizeof value : 40;
        assert_int_equal(kv_batch_put(&b, span_of_str(key), span_of(value, len)), ST_OK);
    }
    assert_int_equal(apply_one(kv, &b, NULL), ST_OK);
    kv_batch_reset(&b);
    for (unsigned i = 1000; i < 1400; i++) {
        (void)snprintf(key, sizeof key, "session/of/a/client/with/a/long/name/%06u", i);
        assert_int_equal(kv_batch_del(&b, span_of_str(key)), ST_OK);
    }
    assert_int_equal(apply_one(kv, &b, NULL), ST_OK);
    assert_int_equal(set(kv, "a", "1"), ST_OK);
    m->entries = 2601;
    kv_batch_done(&b);
    kv_close(kv);
    int fd = open(m->file, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    m->len = (size_t)st.st_size;
    m->bytes = malloc(m->len);
    assert_non_null(m->bytes);
    assert_int_equal(read(fd, m->bytes, m->len), (ssize_t)m->len);
    close(fd);
}

static void drop_image(struct image *m)
{
    free(m->bytes);
    scratch_remove(&m->s);
}

static enum status count(void *ctx, struct span key UNUSED, struct span value UNUSED)
{
    ++*(unsigned *)ctx;
    return ST_OK;
}

/* Opens what lies there and, if that is allowed, uses it as hard as it can be used. */
static enum status try_store(const struct image *m)
{
    struct kv_settings settings = { .max_bytes = 64 << 20, .check = true };
    struct kv *kv = NULL;
    struct why why = { 0 };
    unsigned seen = 0;
    char key[16];

    enum status st = kv_open(m->s.store, &settings, &kv, &why);
    if (st != ST_OK) {
        assert_non_null(why.clause);
        return st;
    }
    assert_int_equal(kv_scan(kv, SPAN_NONE, count, &seen, NULL), ST_OK);
    for (unsigned i = 0; i < 2; i++) {
        (void)snprintf(key, sizeof key, "new%u", i);
        assert_int_equal(set(kv, key, "value"), ST_OK);
    }
    kv_close(kv);
    kv = open_store(m->s.store); /* still whole */
    expect(kv, "new1", "value");
    kv_close(kv);
    return ST_OK;
}

static void a_damaged_byte_is_found_or_harms_nothing(void **state UNUSED)
{
    struct image m;
    uint64_t seed = 7;
    unsigned refused = 0;

    make_image(&m);
    for (unsigned round = 0; round < 200; round++) {
        struct image damaged = m;
        size_t page = dice(&seed) % (m.len / PAGE);
        /* Mostly where the structure is: heads of pages and offsets. */
        size_t at = page * PAGE + dice(&seed) % (dice(&seed) % 3 == 0 ? PAGE : 160);
        uint8_t before = damaged.bytes[at];
        damaged.bytes[at] = (uint8_t)(dice(&seed) % 4 == 0 ? 0xff : before ^ (1u << dice(&seed) % 8));
        write_image(&damaged, damaged.len);
        damaged.bytes[at] = before;
        enum status st = try_store(&damaged);
        assert_true(st == ST_OK || st == ST_DAMAGED || st == ST_BAD_VERSION);
        refused += st != ST_OK;
    }
    assert_true(refused > 50);
    drop_image(&m);
}

static void a_head_that_tells_of_too_much_is_damaged(void **state UNUSED)
{
    struct image m;

    make_image(&m);
    for (unsigned i = 0; i < 2; i++)
        memset(m.bytes + i * PAGE + 136 + 5, 0x11, 1); /* the number of the last page */
    write_image(&m, m.len);
    assert_int_equal(try_store(&m), ST_DAMAGED);
    drop_image(&m);
}

static void a_file_cut_short_is_found(void **state UNUSED)
{
    struct image m;
    uint64_t seed = 9;

    make_image(&m);
    for (unsigned round = 0; round < 60; round++) {
        size_t len = dice(&seed) % m.len;
        if (len == 0)
            continue;
        write_image(&m, len);
        assert_int_equal(try_store(&m), ST_DAMAGED);
    }
    drop_image(&m);
}

static void something_else_is_no_store(void **state UNUSED)
{
    struct image m;
    struct kv_findings found;
    uint64_t seed = 3;

    make_image(&m);
    for (size_t i = 0; i < m.len; i++)
        m.bytes[i] = (uint8_t)dice(&seed);
    write_image(&m, m.len);
    assert_int_equal(try_store(&m), ST_DAMAGED);
    assert_int_equal(kv_salvage(m.s.store, NULL, NULL, &found, NULL), ST_DAMAGED);
    drop_image(&m);
}

static bool is_leaf(const struct image *m, size_t page)
{
    const uint8_t *p = m->bytes + page * PAGE;
    return p[10] == 2 && p[11] == 0 && memcmp(p, &(uint64_t){ page }, 8) == 0;
}

static void what_is_whole_is_saved(void **state UNUSED)
{
    struct image m;
    struct kv_findings found;
    unsigned lost = 0;

    make_image(&m);
    assert_int_equal(kv_salvage(m.s.store, NULL, NULL, &found, NULL), ST_OK);
    assert_null(found.first.clause);
    assert_int_equal(found.entries, m.entries);
    for (size_t page = 2; page < m.len / PAGE; page++) {
        unsigned saved = 0;
        if (!is_leaf(&m, page))
            continue;
        uint8_t kept[16];
        memcpy(kept, m.bytes + page * PAGE, sizeof kept);
        memset(m.bytes + page * PAGE, 0, sizeof kept);
        write_image(&m, m.len);
        memcpy(m.bytes + page * PAGE, kept, sizeof kept);
        assert_int_equal(kv_salvage(m.s.store, count, &saved, &found, NULL), ST_OK);
        assert_int_equal(saved, found.entries);
        if (found.first.clause == NULL) {
            assert_int_equal(saved, m.entries); /* a page that is free */
            continue;
        }
        assert_int_equal(found.bad_pages, 1);
        assert_int_equal(found.first.at, page * PAGE);
        if (saved == m.entries)
            continue; /* a leaf of the list of free pages */
        assert_int_equal(found.entries + found.missed, m.entries);
        assert_true(found.missed <= 45); /* what one page holds */
        lost++;
    }
    assert_true(lost > 50);
    drop_image(&m);
}

static void a_head_that_is_gone_leaves_the_other(void **state UNUSED)
{
    struct image m;

    make_image(&m);
    for (unsigned head = 0; head < 2; head++) {
        struct kv_findings found;
        uint8_t kept[64];
        memcpy(kept, m.bytes + head * PAGE, sizeof kept);
        memset(m.bytes + head * PAGE, 0x55, sizeof kept);
        write_image(&m, m.len);
        memcpy(m.bytes + head * PAGE, kept, sizeof kept);
        assert_int_equal(try_store(&m), ST_DAMAGED); /* LMDB opens none of those */
        assert_int_equal(kv_salvage(m.s.store, NULL, NULL, &found, NULL), ST_OK);
        assert_true(found.entries >= m.entries - 1); /* the older state lacks the last commit */
    }
    drop_image(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_byte_is_found_or_harms_nothing),
        cmocka_unit_test(a_head_that_tells_of_too_much_is_damaged),
        cmocka_unit_test(a_file_cut_short_is_found),
        cmocka_unit_test(something_else_is_no_store),
        cmocka_unit_test(what_is_whole_is_saved),
        cmocka_unit_test(a_head_that_is_gone_leaves_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
