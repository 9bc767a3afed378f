/* One byte string has one spelling: RFC 4648 10 both ways, and every other spelling refused (TK-51). */
#include "codec/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static const char *const rfc4648[][3] = {
    /* bytes, standard (RFC 4648 10), base64url without padding */
    { "", "", "" },
    { "f", "Zg==", "Zg" },
    { "fo", "Zm8=", "Zm8" },
    { "foo", "Zm9v", "Zm9v" },
    { "foob", "Zm9vYg==", "Zm9vYg" },
    { "fooba", "Zm9vYmE=", "Zm9vYmE" },
    { "foobar", "Zm9vYmFy", "Zm9vYmFy" },
    { "\xfb\xff\xbf", "+/+/", "-_-_" },
    { "\x03\xec\xff\xe0\xc1", "A+z/4ME=", "A-z_4ME" }, /* RFC 7515 C */
};

static void published_examples_go_both_ways(void **state UNUSED)
{
    for (size_t i = 0; i < COUNT_OF(rfc4648); i++) {
        CLEANUP(buf_done)
        struct buf out;
        buf_init(&out, 64);
        base64_encode(span_of_str(rfc4648[i][0]), &out);
        assert_true(span_eq_str(buf_span(&out), rfc4648[i][1]));
        buf_reset(&out);
        base64url_encode(span_of_str(rfc4648[i][0]), &out);
        assert_true(span_eq_str(buf_span(&out), rfc4648[i][2]));
        assert_int_equal(out.len, base64url_len(strlen(rfc4648[i][0])));
        buf_reset(&out);
        assert_int_equal(base64_decode(span_of_str(rfc4648[i][1]), &out, NULL), ST_OK);
        assert_true(span_eq_str(buf_span(&out), rfc4648[i][0]));
        buf_reset(&out);
        assert_int_equal(base64url_decode(span_of_str(rfc4648[i][2]), &out, NULL), ST_OK);
        assert_true(span_eq_str(buf_span(&out), rfc4648[i][0]));
    }
}

static void every_other_spelling_of_base64url_is_refused(void **state UNUSED)
{
    static const struct {
        struct span text;
        size_t at;
    } rows[] = {
        { SPAN("Zg=="), 2 },  { SPAN("Zg="), 2 },    { SPAN("Zm8="), 3 },         { SPAN("+_-_"), 0 },
        { SPAN("-/-_"), 1 },  { SPAN("Zm9v "), 5 },  { SPAN(" Zm9v"), 5 },        { SPAN("Zm\n9v"), 5 },
        { SPAN("Zm9\n"), 3 }, { SPAN("Zm9v\0"), 5 }, { SPAN("Zm9\0"), 3 },        { SPAN("Z"), 1 },
        { SPAN("Zm9vY"), 5 }, { SPAN("Zh"), 1 },     { SPAN("Zv"), 1 },           { SPAN("Zm9"), 2 },
        { SPAN("Zm5"), 2 },   { SPAN("Zm7"), 2 },    { SPAN("Zm9v\xc3\xa9"), 4 }, { SPAN("===="), 0 },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf out;
        struct why why;
        buf_init(&out, 64);
        put_u8(&out, 'x');
        assert_int_equal(base64url_decode(rows[i].text, &out, &why), ST_MALFORMED);
        assert_string_equal(why.clause, "TK-51");
        assert_int_equal(why.at, rows[i].at);
        assert_int_equal(out.len, 1);
    }
}

static void standard_base64_wants_exactly_its_padding(void **state UNUSED)
{
    static const struct span rows[] = { SPAN("Zg"),       SPAN("Zg="),  SPAN("Zg==="), SPAN("Zm8"),
                                        SPAN("Zm9v===="), SPAN("-_-_"), SPAN("===="),  SPAN("Z==="),
                                        SPAN("Zg=A"),     SPAN("Zh=="), SPAN("Zm9=") };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf out;
        buf_init(&out, 64);
        assert_int_equal(base64_decode(rows[i], &out, NULL), ST_MALFORMED);
    }
}

static void a_full_buffer_takes_nothing(void **state UNUSED)
{
    CLEANUP(buf_done)
    struct buf out;
    buf_init(&out, 2);
    assert_int_equal(base64url_decode(SPAN("Zm9v"), &out, NULL), ST_TOO_LARGE);
    assert_int_equal(out.len, 0);
    buf_reset(&out);
    base64url_encode(SPAN("foo"), &out);
    assert_false(buf_ok(&out));
}

static void all_bytes_survive(void **state UNUSED)
{
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        CLEANUP(buf_done)
        struct buf text, back;
        buf_init(&text, 512);
        buf_init(&back, 512);
        base64url_encode(span_of(bytes, len), &text);
        assert_int_equal(base64url_decode(buf_span(&text), &back, NULL), ST_OK);
        assert_true(span_eq(buf_span(&back), span_of(bytes, len)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples_go_both_ways),
        cmocka_unit_test(every_other_spelling_of_base64url_is_refused),
        cmocka_unit_test(standard_base64_wants_exactly_its_padding),
        cmocka_unit_test(a_full_buffer_takes_nothing),
        cmocka_unit_test(all_bytes_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
