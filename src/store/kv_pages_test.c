/* Each thing that can be wrong with a page, one at a time, in a store of nine small pages (tests/corpus/kv_pages/small_pages):
 *   0, 1 heads   2 leaf: a, b   3 leaf: c, d (d's value on 5 and 6)   4 branch to 2 and 3   7 leaf of the free tree: 8   8 free */
#include "store/kv_pages_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define PAGE   512u
#define PAGES  9u
#define MAIN   88u  /* the second tree in a head */
#define LAST   136u /* the number of the last page */
#define FIRST  16u  /* the offset of the first node of a page */
#define SECOND 18u

static uint8_t image[PAGE * PAGES];

static int load_image(void **state UNUSED)
{
    int fd = open(SMALL_PAGES, O_RDONLY);
    ssize_t n = read(fd, image, sizeof image);

    close(fd);
    return n == (ssize_t)sizeof image ? 0 : -1;
}

struct change {
    unsigned page, at, width; /* little-endian */
    uint64_t value;
};

static int file_with(const struct change *changes, size_t count, size_t len)
{
    uint8_t bytes[sizeof image];
    int fd = memfd_create("store", MFD_CLOEXEC);

    memcpy(bytes, image, sizeof bytes);
    for (size_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < changes[i].width; k++)
            bytes[changes[i].page * PAGE + changes[i].at + k] = (uint8_t)(changes[i].value >> (8 * k));
    }
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    return fd;
}

static enum status write_down(void *ctx, struct span key, struct span value)
{
    put_bytes(ctx, key);
    put_fmt(ctx, "%zu ", value.len);
    return ST_OK;
}

static void a_whole_file_is_read_whole(void **state UNUSED)
{
    struct pages_head heads[PAGES_HEADS], found_head;
    struct kv_findings found;
    struct buf seen;
    int fd = file_with(NULL, 0, sizeof image);

    buf_init(&seen, 1000);
    assert_int_equal(pages_read_heads(fd, heads, NULL), ST_OK);
    assert_int_equal(pages_find_head(fd, &found_head, NULL), ST_OK);
    assert_true(pages_same_head(pages_newest(heads), &found_head));
    assert_false(pages_same_head(&heads[0], &heads[1]));
    assert_int_equal(found_head.commit, 4);
    assert_int_equal(pages_walk(fd, &found_head, write_down, &seen, &found, NULL), ST_OK);
    assert_null(found.first.clause);
    assert_true(span_eq_str(buf_span(&seen), "a1 b2 c1 d700 "));
    assert_int_equal(found.entries, 4);
    assert_int_equal(found.pages, 6);
    assert_int_equal(pages_settle(fd), 0);
    buf_done(&seen);
    close(fd);
}

static void a_head_that_is_none_is_refused(void **state UNUSED)
{
    static const struct change rows[] = {
        { 0, 10, 2, 2 },                    /* no head's flag */
        { 0, 16, 4, 0xC0DEBEEF },           /* another magic number: other byte order */
        { 0, 20, 4, 2 },                    /* another format */
        { 0, 40, 4, 0 },                    /* page sizes */
        { 0, 40, 4, 256 },                  /* too small */
        { 0, 40, 4, 1 << 17 },              /* too large */
        { 0, 40, 4, 513 },                  /* no power of two */
        { 0, MAIN + 6, 2, 33 },             /* deeper than LMDB goes */
        { 0, MAIN + 6, 2, 0 },              /* a root without depth */
        { 0, MAIN + 40, 8, PAGES_NO_ROOT }, /* depth without a root */
        { 0, 46, 2, 0 },                    /* the same of the free tree */
        { 0, LAST, 8, 0 },                  /* fewer pages than heads */
        { 0, LAST, 8, UINT64_MAX },         /* more than a file can have */
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct pages_head heads[PAGES_HEADS], head;
        struct why why = { 0 };
        int fd = file_with(&rows[i], 1, sizeof image);
        assert_int_equal(pages_read_heads(fd, heads, &why), ST_DAMAGED);
        assert_string_equal(why.text, "not the head of a store");
        assert_int_equal(pages_settle(fd), EIO);
        assert_int_equal(pages_find_head(fd, &head, &why), ST_OK); /* the other one, which is older */
        assert_int_equal(head.commit, 1);
        close(fd);
    }
}

static void two_heads_must_agree_on_the_page_size(void **state UNUSED)
{
    struct pages_head heads[PAGES_HEADS];
    struct why why = { 0 };
    int fd = file_with(&(struct change){ 1, 40, 4, 1024 }, 1, sizeof image);

    assert_int_equal(pages_read_heads(fd, heads, &why), ST_DAMAGED);
    assert_string_equal(why.text, "two heads that contradict each other");
    close(fd);
    fd = file_with(NULL, 0, PAGE + 100);
    assert_int_equal(pages_read_heads(fd, heads, &why), ST_DAMAGED);
    assert_string_equal(why.text, "the file is too short");
    close(fd);
    assert_int_equal(pages_read_heads(-1, heads, &why), ST_IO);
    assert_int_equal(
        pages_walk(-1, &(struct pages_head){ .page_size = PAGE }, NULL, NULL, &(struct kv_findings){ 0 }, &why),
        ST_IO);
}

static void each_damage_is_found_where_it_is(void **state UNUSED)
{
    static const struct {
        struct change change;
        const char *text;
        unsigned page;
        unsigned entries; /* that are still found */
    } rows[] = {
        /* frames of pages */
        { { 4, 0, 8, 5 }, "a page that makes no sense", 4, 0 },
        { { 4, 10, 2, 2 }, "a page that makes no sense", 4, 0 },
        { { 2, 10, 2, 1 }, "a page that makes no sense", 2, 2 },
        { { 2, 10, 2, 0x12 }, "a page that makes no sense", 2, 2 },
        { { 2, 12, 2, 16 }, "a page that makes no sense", 2, 2 }, /* empty */
        { { 2, 12, 2, 19 }, "a page that makes no sense", 2, 2 }, /* half an offset */
        { { 2, 14, 2, 18 }, "a page that makes no sense", 2, 2 }, /* nodes among the offsets */
        { { 2, 14, 2, 513 }, "a page that makes no sense", 2, 2 },
        /* branches */
        { { 4, 504, 2, 1 }, "a page that is not there, or is used twice", 1, 2 },
        { { 4, 504, 2, 9 }, "a page that is not there, or is used twice", 9, 2 },
        { { 4, 508, 2, 1 }, "a page that is not there, or is used twice", 0, 2 }, /* 2^32 + 2 */
        { { 4, 504, 2, 3 }, "an entry on the wrong page", 3, 0 },
        { { 4, 494, 2, 2 }, "a page that is not there, or is used twice", 2, 2 },
        { { 4, FIRST, 2, 300 }, "a reference to a page that makes no sense", 4, 2 },
        { { 4, SECOND, 2, 510 }, "a reference to a page that makes no sense", 4, 0 },
        { { 4, SECOND, 2, 493 }, "a reference to a page that makes no sense", 4, 0 },
        { { 4, 494 + 6, 2, 400 }, "a reference to a page that makes no sense", 4, 0 },
        /* entries */
        { { 2, FIRST, 2, 100 }, "an entry outside its page", 2, 3 },
        { { 2, SECOND, 2, 509 }, "an entry outside its page", 2, 3 },
        { { 2, 502 + 6, 2, 3 }, "an entry outside its page", 2, 3 },
        { { 2, 502 + 6, 2, 0 }, "an entry that makes no sense", 2, 3 },
        { { 2, 502 + 4, 2, 2 }, "an entry that makes no sense", 2, 3 },
        { { 2, 502, 4, 2 }, "an entry that makes no sense", 2, 3 },
        { { 2, 502 + 4, 2, 1 }, "an entry that makes no sense", 2, 3 }, /* no room for a page number */
        { { 2, 498, 1, 'a' }, "an entry out of order", 2, 3 },
        { { 2, 498, 1, 'z' }, "an entry on the wrong page", 2, 3 },
        { { 3, 510, 1, 'a' }, "an entry on the wrong page", 3, 3 },
        /* the value of d */
        { { 3, 493, 8, 1 }, "the pages of a long value are damaged", 3, 3 },
        { { 3, 493, 8, 9 }, "the pages of a long value are damaged", 3, 3 },
        { { 3, 493, 8, 8 }, "the pages of a long value are damaged", 3, 3 },
        { { 3, 484, 4, 100000 }, "the pages of a long value are damaged", 3, 3 },
        { { 5, 0, 8, 6 }, "the pages of a long value are damaged", 3, 3 },
        { { 5, 10, 2, 2 }, "the pages of a long value are damaged", 3, 3 },
        { { 5, 12, 4, 1 }, "the pages of a long value are damaged", 3, 3 },
        { { 5, 12, 4, 5 }, "the pages of a long value are damaged", 3, 3 },
        { { 5, 12, 4, 3 },
          "a page that is not there, or is used twice",
          7,
          4 }, /* reaches into the free tree */
        { { 5, 12, 4, 4 }, "a page that is not there, or is used twice", 7, 4 },
        /* the free tree */
        { { 7, 480 + 16, 8, 2 }, "a list of free pages that makes no sense", 7, 4 },
        { { 7, 480, 4, 12 }, "a list of free pages that makes no sense", 7, 4 },
        { { 7, 480, 4, 0 }, "a list of free pages that makes no sense", 7, 4 },
        { { 7, 480 + 24, 8, 2 }, "a page is free and in use", 2, 4 },
        { { 7, 480 + 24, 8, 0 }, "a page is free and in use", 0, 4 },
        { { 7, 480 + 24, 8, 9 }, "a page is free and in use", 9, 4 },
        { { 0, 40 + 40, 8, 8 }, "a page that makes no sense", 8, 4 },
        /* the head's counts */
        { { 0, MAIN + 32, 8, 5 }, "another number of entries than the head says", 0, 4 },
        { { 0, MAIN + 32, 8, 3 }, "another number of entries than the head says", 0, 4 },
        { { 0, 40 + 32, 8, 2 }, "another number of entries than the head says", 0, 4 },
        { { 0, LAST, 8, 3 }, "a page that is not there, or is used twice", 4, 0 },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct pages_head head;
        struct kv_findings found;
        int fd = file_with(&rows[i].change, 1, sizeof image);
        assert_int_equal(pages_find_head(fd, &head, NULL), ST_OK);
        assert_int_equal(pages_walk(fd, &head, NULL, NULL, &found, NULL), ST_OK);
        if (found.first.text == NULL)
            fail_msg("row %zu: nothing found", i);
        if (strcmp(found.first.text, rows[i].text) != 0 || found.entries != rows[i].entries)
            fail_msg("row %zu: %s, %u entries", i, found.first.text, (unsigned)found.entries);
        if (rows[i].page > 0)
            assert_int_equal(found.first.at, rows[i].page * PAGE);
        close(fd);
    }
}

static void keys_of_the_free_tree_are_numbers_in_order(void **state UNUSED)
{
    /* A second entry: key 3 again, at the same node. */
    const struct change twice[] = { { 7, 12, 2, 20 }, { 7, SECOND, 2, 480 }, { 7, 14, 2, 480 } };
    /* Or a key of another length. */
    const struct change odd[] = {
        { 7, 12, 2, 20 }, { 7, SECOND, 2, 460 }, { 7, 14, 2, 460 }, { 7, 460, 4, 8 },
        { 7, 464, 2, 0 }, { 7, 466, 2, 4 },      { 7, 468, 4, 9 },  { 7, 472, 8, 0 }
    };
    struct pages_head head;
    struct kv_findings found;

    int fd = file_with(twice, COUNT_OF(twice), sizeof image);
    assert_int_equal(pages_find_head(fd, &head, NULL), ST_OK);
    assert_int_equal(pages_walk(fd, &head, NULL, NULL, &found, NULL), ST_OK);
    assert_string_equal(found.first.text, "an entry out of order");
    close(fd);
    fd = file_with(odd, COUNT_OF(odd), sizeof image);
    assert_int_equal(pages_walk(fd, &head, NULL, NULL, &found, NULL), ST_OK);
    assert_string_equal(found.first.text, "an entry out of order");
    close(fd);
}

/* LMDB does not write pages that were used and freed in one transaction: the free ones at the end may be missing. */
static void free_pages_behind_the_end_are_none_that_miss(void **state UNUSED)
{
    struct pages_head head;
    struct kv_findings found;

    for (size_t pages = 8; pages >= 2; pages--) {
        int fd = file_with(NULL, 0, pages * PAGE);
        assert_int_equal(pages_find_head(fd, &head, NULL), ST_OK);
        assert_int_equal(pages_walk(fd, &head, NULL, NULL, &found, NULL), ST_OK);
        assert_int_equal(found.first.clause == NULL, pages == 8);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_is_read_whole),
        cmocka_unit_test(a_head_that_is_none_is_refused),
        cmocka_unit_test(two_heads_must_agree_on_the_page_size),
        cmocka_unit_test(each_damage_is_found_where_it_is),
        cmocka_unit_test(keys_of_the_free_tree_are_numbers_in_order),
        cmocka_unit_test(free_pages_behind_the_end_are_none_that_miss),
    };
    return cmocka_run_group_tests(tests, load_image, NULL);
}
