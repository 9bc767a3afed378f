/* Strict CBOR: the examples of RFC 8949, what is refused and by which rule, look-ups that answer "no", writing. */
#include "codec/cbor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static struct cb *parse(struct span bytes)
{
    struct cb *cb = NULL;
    struct why why = { 0 };
    if (cb_parse(bytes, 65536, &cb, &why) != ST_OK)
        fail_msg("%s at %zu", why.text, why.at);
    return cb;
}

static void every_kind_of_rfc_8949_appendix_a_is_told(void **state UNUSED)
{
    static const struct {
        struct span bytes;
        enum cb_kind kind;
    } rows[] = {
        { SPAN("\x00"), CB_INTEGER },
        { SPAN("\x1b\xff\xff\xff\xff\xff\xff\xff\xff"), CB_INTEGER },
        { SPAN("\x20"), CB_INTEGER },
        { SPAN("\x40"), CB_BYTES },
        { SPAN("\x44\x01\x02\x03\x04"), CB_BYTES },
        { SPAN("\x60"), CB_TEXT },
        { SPAN("\x62\xc3\xbc"), CB_TEXT },
        { SPAN("\x80"), CB_ARRAY },
        { SPAN("\xa0"), CB_MAP },
        { SPAN("\xc1\x1a\x51\x4b\x67\xb0"), CB_TAG },
        { SPAN("\xf9\x3c\x00"), CB_FLOAT },
        { SPAN("\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a"), CB_FLOAT },
        { SPAN("\xf4"), CB_FALSE },
        { SPAN("\xf5"), CB_TRUE },
        { SPAN("\xf6"), CB_NULL },
        { SPAN("\xf7"), CB_UNDEFINED },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(cb_unrefp)
        struct cb *cb = parse(rows[i].bytes);
        assert_int_equal(cb_kind(cb), rows[i].kind);
    }
}

static void what_is_not_strict_cbor_is_refused_with_its_rule(void **state UNUSED)
{
    static const struct {
        struct span bytes;
        const char *clause;
        size_t at;
    } rows[] = {
        { SPAN(""), "TK-50", 0 },
        { SPAN("\x18"), "TK-50", 0 },
        { SPAN("\x19\x01"), "TK-50", 0 },
        { SPAN("\x82\x01"), "TK-49", 0 },
        { SPAN("\x82\x01\x19\x01"), "TK-50", 2 },
        { SPAN("\xc1"), "TK-50", 1 },
        { SPAN("\xa1\x01"), "TK-49", 0 },
        { SPAN("\x01\x01"), "TK-50", 1 }, /* trailing bytes */
        { SPAN("\x80\x00"), "TK-50", 1 },
        { SPAN("\x18\x17"), "TK-50", 0 }, /* 23 in two bytes, and so on: not preferred */
        { SPAN("\x19\x00\xff"), "TK-50", 0 },
        { SPAN("\x1a\x00\x00\xff\xff"), "TK-50", 0 },
        { SPAN("\x1b\x00\x00\x00\x00\xff\xff\xff\xff"), "TK-50", 0 },
        { SPAN("\x38\x01"), "TK-50", 0 },
        { SPAN("\x58\x01\x61"), "TK-50", 0 },
        { SPAN("\x78\x01\x61"), "TK-50", 0 },
        { SPAN("\x98\x01\x61"), "TK-50", 0 },
        { SPAN("\xb8\x01\x01\x01"), "TK-50", 0 },
        { SPAN("\xd8\x01\x61"), "TK-50", 0 },
        { SPAN("\x9f\xff"), "TK-50", 0 }, /* indefinite lengths, and the break alone */
        { SPAN("\xbf\xff"), "TK-50", 0 },
        { SPAN("\x5f\x41\x61\xff"), "TK-50", 0 },
        { SPAN("\x7f\x61\x61\xff"), "TK-50", 0 },
        { SPAN("\xff"), "TK-50", 0 },
        { SPAN("\x81\xff"), "TK-50", 1 },
        { SPAN("\x1c"), "TK-50", 0 }, /* reserved additional information */
        { SPAN("\x9e"), "TK-50", 0 },
        { SPAN("\xe0"), "TK-50", 0 }, /* simple values nobody has given a meaning */
        { SPAN("\xf8\x18"), "TK-50", 0 },
        { SPAN("\xf8\xff"), "TK-50", 0 },
        { SPAN("\x61\xff"), "TK-50", 0 }, /* no UTF-8 */
        { SPAN("\x63\xed\xa0\x80"), "TK-50", 0 },
        { SPAN("\x62\xc0\x80"), "TK-50", 0 },
        { SPAN("\x42\x61"), "TK-49", 0 }, /* longer than the input */
        { SPAN("\x7b\xff\xff\xff\xff\xff\xff\xff\xff"), "TK-49", 0 },
        { SPAN("\x9a\xff\xff\xff\xff"), "TK-49", 0 },
        { SPAN("\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), "TK-49", 0 },
        { SPAN("\xbb\x80\x00\x00\x00\x00\x00\x00\x00"), "TK-49", 0 },
        { SPAN("\xa2\x01\x02\x01\x03"), "TK-48", 3 },
        { SPAN("\xa2\x61\x61\x02\x61\x61\x03"), "TK-48", 4 },
        { SPAN("\xa2\x01\x02\x18\x01\x03"), "TK-50", 3 }, /* TK-48: key 1 again as 1801 */
        { SPAN("\x81\xa2\x20\xa1\x01\x01\x20\x01"), "TK-48", 6 },
        { SPAN("\xa1\x41\x61\x01"), "RFC 8949 3.1", 1 },
        { SPAN("\xa1\x80\x01"), "RFC 8949 3.1", 1 },
        { SPAN("\xa1\xf6\x01"), "RFC 8949 3.1", 1 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cb *cb = NULL;
        struct why why = { 0 };
        enum status st = cb_parse(rows[i].bytes, 65536, &cb, &why);
        if (st != ST_MALFORMED || strcmp(why.clause, rows[i].clause) != 0 || why.at != rows[i].at)
            fail_msg("row %zu: %s %s at %zu", i, status_name(st), why.clause, why.at);
        assert_null(cb);
    }
}

static void every_tag_is_read_as_what_it_is(void **state UNUSED)
{
    for (uint8_t n = 0; n < 24;
         n++) { /* RFC 8949 3.4; libcbor 0.8 does not take 6 to 20, and 18 is COSE_Sign1 */
        const uint8_t bytes[] = { 0x83, (uint8_t)(0xc0 | n), 0x41, 0xd2, (uint8_t)(0xc0 | n), 0x05, 0x06 };
        CLEANUP(cb_unrefp)
        struct cb *cb = parse(span_of(bytes, sizeof bytes));
        struct span s;
        int64_t v;
        uint64_t number;
        assert_true(cb_as_bytes(cb_tagged(cb_at(cb, 0), &number), &s) && span_eq(s, SPAN("\xd2")));
        assert_int_equal(number, n);
        assert_true(cb_as_i64(cb_tagged(cb_at(cb, 1), &number), &v) && v == 5);
        assert_int_equal(number, n);
        assert_true(cb_as_i64(cb_at(cb, 2), &v) && v == 6);
    }
}

static void nobody_passes_a_tag_off_as_another(void **state UNUSED)
{
    struct cb *cb = NULL;
    struct why why = { 0 };
    uint8_t many[CB_LOW_TAGS_MAX * 2 + 3];
    size_t len = 0;

    /* the number under which libcbor sees a COSE_Sign1 */
    assert_int_equal(cb_parse(SPAN("\xda\xff\xff\xf0\x12\x05"), 64, &cb, &why), ST_UNSUPPORTED);
    assert_int_equal(cb_parse(SPAN("\xda\xff\xff\xf0\x15\x05"), 64, &cb, &why), ST_OK); /* the next is free */
    cb_unref(cb);
    cb = NULL;
    many[len++] = 0x80 | (CB_LOW_TAGS_MAX + 1);
    ASSERT(CB_LOW_TAGS_MAX + 1 < 24);
    for (size_t i = 0; i <= CB_LOW_TAGS_MAX; i++) {
        many[len++] = 0xd2;
        many[len++] = 0x00;
    }
    assert_int_equal(cb_parse(span_of(many, len), 64, &cb, &why), ST_TOO_LARGE);
    assert_string_equal(why.clause, "CB_LOW_TAGS_MAX");
}

static void nesting_ends_at_the_limit_in_every_container(void **state UNUSED)
{
    /* TK-49; for maps, each level is a key and a map. A bomb of 64 KiB must not recurse either. */
    static const struct {
        uint8_t step[2];
        size_t step_len;
    } rows[] = { { { 0x81 }, 1 }, { { 0xc1 }, 1 }, { { 0xa1, 0x01 }, 2 } };
    static uint8_t bomb[65536];

    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        struct cb *cb = NULL;
        struct why why = { 0 };
        size_t n = rows[row].step_len;
        for (size_t i = 0; i + n <= sizeof bomb; i += n)
            memcpy(bomb + i, rows[row].step, n);
        assert_int_equal(cb_parse(span_of(bomb, sizeof bomb), sizeof bomb, &cb, &why), ST_MALFORMED);
        assert_string_equal(why.clause, "TK-49");
        assert_int_equal(why.at, n * CB_DEPTH_MAX);
        bomb[n * CB_DEPTH_MAX] = 0x00;
        assert_int_equal(cb_parse(span_of(bomb, n * CB_DEPTH_MAX + 1), sizeof bomb, &cb, &why), ST_OK);
        cb_unref(cb);
    }
}

static void sizes_have_limits(void **state UNUSED)
{
    uint8_t map[3 + 5 * (CB_KEYS_MAX + 1)] = { 0xb9, 0x01,
                                               0x01 }; /* 257 entries: 1000+i: 0, keys of three bytes */
    size_t len = 3;
    struct cb *cb = NULL;
    struct why why = { 0 };

    assert_int_equal(cb_parse(SPAN("\x82\x01\x02"), 2, &cb, &why), ST_TOO_LARGE);
    assert_string_equal(why.clause, "max_bytes");
    for (unsigned i = 0; i <= CB_KEYS_MAX; i++) {
        const uint8_t entry[] = { 0x19, (uint8_t)((1000 + i) >> 8), (uint8_t)(1000 + i), 0x00 };
        memcpy(map + len, entry, sizeof entry);
        len += sizeof entry;
    }
    assert_int_equal(cb_parse(span_of(map, len), sizeof map, &cb, &why), ST_TOO_LARGE);
    assert_string_equal(why.clause, "CB_KEYS_MAX");
    map[2] = 0x00; /* 256 entries */
    assert_int_equal(cb_parse(span_of(map, len - 4), sizeof map, &cb, &why), ST_OK);
    assert_int_equal(cb_size(cb), CB_KEYS_MAX);
    cb_unref(cb);
}

static void the_same_key_may_stand_in_two_maps(void **state UNUSED)
{
    /* TK-48 is about one map: {1: {1: 0}, 2: {1: 0}}, and 1 beside "1" beside -2 */
    CLEANUP(cb_unrefp)
    struct cb *nested = parse(SPAN("\xa2\x01\xa1\x01\x00\x02\xa1\x01\x00"));
    CLEANUP(cb_unrefp)
    struct cb *kinds = parse(SPAN("\xa3\x01\x00\x61\x31\x01\x21\x02"));
    struct span s;
    int64_t v;

    assert_true(cb_as_i64(cb_get(cb_get(nested, 2), 1), &v) && v == 0);
    assert_true(cb_as_i64(cb_get(kinds, 1), &v) && v == 0);
    assert_true(cb_as_text(cb_key_at(kinds, 1), &s) && span_eq_str(s, "1"));
    assert_true(cb_as_i64(cb_value_at(kinds, 1), &v) && v == 1);
    assert_true(cb_as_i64(cb_get(kinds, -2), &v) && v == 2);
}

static void lookups_answer_no_to_another_kind(void **state UNUSED)
{
    /* [1, "a", h'01ff', true, {1: 2}, 4([])] */
    CLEANUP(cb_unrefp)
    struct cb *arr = parse(SPAN("\x86\x01\x61\x61\x42\x01\xff\xf5\xa1\x01\x02\xc4\x80"));
    struct span s;
    int64_t i;
    bool b;
    uint64_t tag = 0;

    assert_int_equal(cb_size(arr), 6);
    assert_true(cb_as_i64(cb_at(arr, 0), &i) && i == 1);
    assert_true(cb_as_text(cb_at(arr, 1), &s) && span_eq_str(s, "a"));
    assert_true(cb_as_bytes(cb_at(arr, 2), &s) && span_eq(s, SPAN("\x01\xff")));
    assert_true(cb_as_bool(cb_at(arr, 3), &b) && b);
    assert_int_equal(cb_size(cb_at(arr, 4)), 1);
    assert_true(cb_is(cb_tagged(cb_at(arr, 5), &tag), CB_ARRAY));
    assert_int_equal(tag, 4);
    assert_null(cb_at(arr, 6));
    assert_null(cb_at(cb_at(arr, 4), 0)); /* a map has keys, no places */
    assert_null(cb_at(NULL, 0));
    assert_null(cb_get(arr, 1));
    assert_null(cb_get(cb_at(arr, 4), 2));
    assert_null(cb_tagged(arr, &tag));
    assert_false(cb_as_text(cb_at(arr, 2), &s) || cb_as_bytes(cb_at(arr, 1), &s) || cb_as_text(NULL, &s));
    assert_false(cb_as_i64(cb_at(arr, 3), &i) || cb_as_i64(NULL, &i) || cb_as_bool(cb_at(arr, 0), &b));
    assert_int_equal(cb_size(cb_at(arr, 0)), 0);
    assert_int_equal(cb_size(NULL), 0);
}

static void integers_keep_their_value_or_are_refused(void **state UNUSED)
{
    static const struct {
        struct span bytes;
        bool fits;
        int64_t value;
    } rows[] = {
        { SPAN("\x17"), true, 23 },
        { SPAN("\x18\x18"), true, 24 },
        { SPAN("\x19\x03\xe8"), true, 1000 },
        { SPAN("\x1a\x00\x0f\x42\x40"), true, 1000000 },
        { SPAN("\x1b\x7f\xff\xff\xff\xff\xff\xff\xff"), true, INT64_MAX },
        { SPAN("\x1b\x80\x00\x00\x00\x00\x00\x00\x00"), false, 0 },
        { SPAN("\x20"), true, -1 },
        { SPAN("\x38\x63"), true, -100 },
        { SPAN("\x3b\x7f\xff\xff\xff\xff\xff\xff\xff"), true, INT64_MIN },
        { SPAN("\x3b\x80\x00\x00\x00\x00\x00\x00\x00"), false, 0 },
        { SPAN("\xf9\x3c\x00"), false, 0 }, /* TK-52: 1.0 is no integer */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(cb_unrefp)
        struct cb *cb = parse(rows[i].bytes);
        int64_t v = 0;
        assert_int_equal(cb_as_i64(cb, &v), rows[i].fits);
        assert_true(v == rows[i].value);
    }
}

static void writing_takes_the_shortest_form(void **state UNUSED)
{
    static char text[300];
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&out, 400);
    cb_put_array(&out, 2); /* RFC 8949 4.2.1 */
    cb_put_text(&out, SPAN("a"));
    cb_put_array(&out, 0);
    assert_true(span_eq(buf_span(&out), SPAN("\x82\x61\x61\x80")));
    buf_reset(&out);
    cb_put_array(&out, 24);
    cb_put_array(&out, 256);
    assert_true(span_eq(buf_span(&out), SPAN("\x98\x18\x99\x01\x00")));
    buf_reset(&out);
    memset(text, 'x', sizeof text);
    cb_put_text(&out, span_of(text, sizeof text));
    assert_true(buf_ok(&out) && span_starts_with(buf_span(&out), SPAN("\x79\x01\x2cxx")));
    cb_put_text(&out, span_of(text, sizeof text));
    assert_false(buf_ok(&out)); /* full */
    buf_reset(&out);
    cb_put_text(&out, SPAN("\xff"));
    assert_false(buf_ok(&out)); /* no UTF-8 */
}

/* RFC 8949 appendix A, and back. */
static void every_kind_is_written(void **state UNUSED)
{
    static const int64_t numbers[] = { 0, 23, 24, 1000, INT64_MAX, -1, -24, -25, -1000, INT64_MIN };
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&out, 400);
    cb_put_tag(&out, 61);
    cb_put_tag(&out, 18);
    cb_put_map(&out, 3);
    cb_put_int(&out, 1);
    cb_put_bool(&out, true);
    cb_put_int(&out, -25);
    cb_put_null(&out);
    cb_put_text(&out, SPAN("k"));
    cb_put_bytes(&out, SPAN("\x00\xff"));
    assert_true(span_eq(buf_span(&out), SPAN("\xd8\x3d\xd2\xa3\x01\xf5\x38\x18\xf6\x61k\x42\x00\xff")));
    buf_reset(&out);
    cb_put_bool(&out, false);
    cb_put_raw(&out, SPAN("\x82\x01\x02"));
    assert_true(span_eq(buf_span(&out), SPAN("\xf4\x82\x01\x02")));
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        int64_t v = 0;
        buf_reset(&out);
        cb_put_int(&out, numbers[i]);
        CLEANUP(cb_unrefp)
        struct cb *cb = parse(buf_span(&out));
        assert_true(cb_as_i64(cb, &v) && v == numbers[i]);
    }
}

static void a_map_can_be_walked(void **state UNUSED)
{
    CLEANUP(cb_unrefp)
    struct cb *map = parse(SPAN("\xa2\x01\xf9\x3e\x00\x61\x61\x02"));
    struct span s;
    int64_t v;
    double d = 0;

    assert_true(cb_as_i64(cb_key_at(map, 0), &v) && v == 1);
    assert_true(cb_as_double(cb_value_at(map, 0), &d) && d == 1.5);
    assert_true(cb_as_text(cb_key_at(map, 1), &s) && span_eq_str(s, "a"));
    assert_true(cb_as_i64(cb_value_at(map, 1), &v) && v == 2);
    assert_false(cb_as_double(cb_value_at(map, 1), &d));
    assert_null(cb_key_at(map, 2));
    assert_null(cb_value_at(map, 2));
    assert_null(cb_value_at(cb_value_at(map, 1), 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_rfc_8949_appendix_a_is_told),
        cmocka_unit_test(what_is_not_strict_cbor_is_refused_with_its_rule),
        cmocka_unit_test(every_tag_is_read_as_what_it_is),
        cmocka_unit_test(nobody_passes_a_tag_off_as_another),
        cmocka_unit_test(nesting_ends_at_the_limit_in_every_container),
        cmocka_unit_test(sizes_have_limits),
        cmocka_unit_test(the_same_key_may_stand_in_two_maps),
        cmocka_unit_test(lookups_answer_no_to_another_kind),
        cmocka_unit_test(integers_keep_their_value_or_are_refused),
        cmocka_unit_test(writing_takes_the_shortest_form),
        cmocka_unit_test(every_kind_is_written),
        cmocka_unit_test(a_map_can_be_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
