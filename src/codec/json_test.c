/* Strict JSON: what is refused and by which rule, look-ups that answer "no", and building. */
#include "codec/json.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static struct js *parse(const char *text)
{
    struct js *js = NULL;
    struct why why = { 0 };
    if (js_parse(span_of_str(text), 65536, &js, &why) != ST_OK)
        fail_msg("%s: %s", text, why.text);
    return js;
}

static void any_value_may_stand_at_the_top(void **state UNUSED)
{
    static const struct {
        const char *text;
        enum js_kind kind;
    } rows[] = {
        { "{}", JS_OBJECT },   { "[]", JS_ARRAY },  { "\"a\"", JS_STRING },      { "1", JS_INTEGER },
        { "-0", JS_INTEGER },  { "1.5", JS_REAL },  { "1e3", JS_REAL },          { "true", JS_TRUE },
        { "false", JS_FALSE }, { "null", JS_NULL }, { " \t\r\n1 ", JS_INTEGER },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(js_unrefp)
        struct js *js = parse(rows[i].text);
        assert_int_equal(js_kind(js), rows[i].kind);
    }
}

static void broken_text_is_refused_with_its_rule(void **state UNUSED)
{
    static const struct {
        struct span text;
        const char *clause;
    } rows[] = {
        { SPAN(""), "RFC 8259 2" },
        { SPAN("{"), "RFC 8259 2" },
        { SPAN("{\"a\":1,}"), "RFC 8259 2" },
        { SPAN("[1,]"), "RFC 8259 2" },
        { SPAN("{a:1}"), "RFC 8259 2" },
        { SPAN("'a'"), "RFC 8259 2" },
        { SPAN("NaN"), "RFC 8259 2" },      /* TK-52 */
        { SPAN("Infinity"), "RFC 8259 2" }, /* TK-52 */
        { SPAN("01"), "RFC 8259 2" },
        { SPAN("+1"), "RFC 8259 2" },
        { SPAN("\"\t\""), "RFC 8259 2" },
        { SPAN("\"\\x\""), "RFC 8259 2" },
        { SPAN("\"\\ud800\""), "RFC 8259 2" }, /* a lone surrogate is no text */
        { SPAN("//c\n1"), "RFC 8259 2" },
        { SPAN("\xef\xbb\xbf{}"), "RFC 8259 2" }, /* byte order mark */
        { SPAN("{} {}"), "TK-50" },
        { SPAN("1 x"), "TK-50" },
        { SPAN("{}\0"), "TK-50" },
        { SPAN("\"\xff\""), "TK-50" },
        { SPAN("\"\xc0\x80\""), "TK-50" },
        { SPAN("\"\xed\xa0\x80\""), "TK-50" },
        { SPAN("{\"a\":1,\"a\":2}"), "TK-48" },
        { SPAN("{\"a\":1,\"\\u0061\":2}"), "TK-48" }, /* the same name spelled otherwise */
        { SPAN("[{\"b\":{\"a\":1,\"a\":1}}]"), "TK-48" },
        { SPAN("9223372036854775808"), "TK-52" },
        { SPAN("1e999"), "TK-52" },
        { SPAN("\"a\\u0000b\""), "RFC 8259 7" },
        { SPAN("{\"a\\u0000b\":1}"), "RFC 8259 7" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct js *js = NULL;
        struct why why = { 0 };
        assert_int_equal(js_parse(rows[i].text, 65536, &js, &why), ST_MALFORMED);
        assert_null(js);
        if (strcmp(why.clause, rows[i].clause) != 0)
            fail_msg("%.*s: %s, not %s", SPAN_FMT(rows[i].text), why.clause, rows[i].clause);
    }
}

static void nesting_is_bounded_before_anything_recurses(void **state UNUSED)
{
    size_t deep = 1000000;
    char *text = malloc(deep);
    struct js *js = NULL;
    struct why why;

    assert_non_null(text);
    memset(text, '[', deep);
    assert_int_equal(js_parse(span_of(text, deep), deep, &js, &why), ST_MALFORMED); /* TK-49 */
    assert_string_equal(why.clause, "TK-49");
    assert_int_equal(why.at, JS_DEPTH_MAX);
    memset(text + JS_DEPTH_MAX, ']', JS_DEPTH_MAX);
    assert_int_equal(js_parse(span_of(text, 2 * JS_DEPTH_MAX), deep, &js, &why), ST_OK);
    js_unref(js);
    free(text);
}

static void brackets_in_strings_are_not_nesting(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = parse("[\"[[[[[[[[[[[[[[[[[[[[\",\"\\\"[[[[[[[[[[[[[[[[[[[\\\\\"]");
    assert_int_equal(js_size(js), 2);
}

static void the_size_limit_is_exact(void **state UNUSED)
{
    struct js *js = NULL;
    assert_int_equal(js_parse(SPAN("[1]"), 2, &js, NULL), ST_TOO_LARGE);
    assert_int_equal(js_parse(SPAN("[1]"), 3, &js, NULL), ST_OK);
    js_unref(js);
}

static void look_ups_answer_no_for_absent_and_for_another_kind(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = parse("{\"s\":\"x\",\"i\":7,\"r\":7.0,\"t\":true,\"n\":null,\"o\":{\"k\":\"v\"}}");
    struct span s = SPAN("untouched");
    int64_t i = -1;
    bool b = false;

    assert_true(js_get_str(js, "s", &s));
    assert_true(span_eq_str(s, "x"));
    assert_true(js_get_i64(js, "i", &i));
    assert_int_equal(i, 7);
    assert_false(js_get_i64(js, "r", &i)); /* TK-52: a float is no integer */
    assert_false(js_get_i64(js, "s", &i));
    assert_true(js_get_bool(js, "t", &b) && b);
    assert_false(js_get_bool(js, "n", &b));
    assert_false(js_get_str(js, "i", &s));
    assert_false(js_get_str(js, "absent", &s));
    assert_true(span_eq_str(s, "x"));
    assert_null(js_get(js, "absent"));
    assert_true(js_is(js_get(js, "n"), JS_NULL));
    assert_true(js_get_str(js_get(js, "o"), "k", &s));
    assert_false(js_get_str(js_get(js, "absent"), "k", &s)); /* nested look-ups need no check between */
    assert_false(js_get_str(js_get(js, "i"), "k", &s));
    assert_false(js_is(NULL, JS_NULL));
    assert_int_equal(js_size(NULL), 0);
    assert_null(js_at(js, 0));
}

static void integers_keep_all_64_bits(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = parse("[9223372036854775807,-9223372036854775808]");
    int64_t v;
    assert_true(js_as_i64(js_at(js, 0), &v) && v == INT64_MAX);
    assert_true(js_as_i64(js_at(js, 1), &v) && v == INT64_MIN);
    assert_null(js_at(js, 2));
}

struct seen {
    char names[16];
    size_t count, stop_at;
};

static bool note_name(void *ctx, struct span name, const struct js *value UNUSED)
{
    struct seen *seen = ctx;
    seen->names[seen->count++] = (char)name.p[0];
    return seen->count != seen->stop_at;
}

static void members_come_in_their_order(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = parse("{\"z\":1,\"a\":2,\"m\":3}");
    struct seen all = { 0 }, two = { .stop_at = 2 };

    assert_true(js_object_each(js, note_name, &all));
    assert_string_equal(all.names, "zam");
    assert_false(js_object_each(js, note_name, &two));
    assert_string_equal(two.names, "za");
    assert_true(js_object_each(NULL, note_name, &all));
}

static void what_is_built_prints_in_order_and_compact(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    struct js *arr = js_new_array();
    CLEANUP(buf_done)
    struct buf out;

    assert_int_equal(js_set_str(js, "iss", SPAN("a \"b\"\n/\xc3\xa9")), ST_OK);
    assert_int_equal(js_set_i64(js, "exp", INT64_MIN), ST_OK);
    assert_int_equal(js_append_str(arr, SPAN_NONE), ST_OK);
    assert_int_equal(js_append_take(arr, js_new_i64(3)), ST_OK);
    assert_int_equal(js_set_take(js, "aud", arr), ST_OK);
    assert_int_equal(js_set_bool(js, "active", true), ST_OK);
    assert_int_equal(js_set_null(js, "nil"), ST_OK);
    assert_int_equal(js_set_i64(js, "exp", 5), ST_OK);
    buf_init(&out, 1024);
    assert_int_equal(js_print(js, &out), ST_OK);
    assert_true(span_eq_str(buf_span(&out), "{\"iss\":\"a \\\"b\\\"\\n/\xc3\xa9\",\"exp\":5,\"aud\":[\"\",3],"
                                            "\"active\":true,\"nil\":null}"));
    CLEANUP(js_unrefp)
    struct js *back = NULL;
    assert_int_equal(js_parse(buf_span(&out), 1024, &back, NULL), ST_OK);
    assert_true(js_same(js, back));
}

static void building_passes_missing_memory_on(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&out, 4);
    assert_int_equal(js_set_take(js, "a", NULL), ST_NO_MEMORY);
    assert_int_equal(js_set_take(NULL, "a", js_new_array()), ST_NO_MEMORY);
    assert_int_equal(js_set_i64(NULL, "a", 1), ST_NO_MEMORY);
    assert_int_equal(js_append_take(NULL, js_new_i64(1)), ST_NO_MEMORY);
    assert_int_equal(js_print(NULL, &out), ST_NO_MEMORY);
}

static void text_that_is_not_utf8_is_not_built(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    assert_int_equal(js_set_str(js, "a", SPAN("\xff")), ST_MALFORMED);
    assert_int_equal(js_set_str(js, "a", SPAN("a\0b")), ST_MALFORMED);
    assert_int_equal(js_size(js), 0);
}

/* Our printer against jansson's. */
static void what_is_printed_is_what_the_library_would_print(void **state UNUSED)
{
    static const char *const rows[] = {
        "{}",
        "[]",
        "[[],{},[{}]]",
        "\"\"",
        "[0,-1,9223372036854775807,-9223372036854775808,1.5,-0.0,1e300,1]",
        "[true,false,null]",
        "{\"a\":{\"b\":[1,{\"c\":\"d\"}]},\"\\\"\\n\":\"x\"}",
        "\"\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f \\\" \\\\ / \\u007f \\u00e9 \\ud83d\\ude00\"",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(js_unrefp)
        struct js *js = parse(rows[i]);
        struct buf out;
        buf_init(&out, 4096);
        assert_int_equal(js_print(js, &out), ST_OK);
        char *theirs = json_dumps((json_t *)js, JSON_COMPACT | JSON_ENCODE_ANY);
        put_u8(&out, 0);
        assert_string_equal((char *)out.p, theirs);
        free(theirs);
        buf_done(&out);
    }
}

static void printing_stops_at_the_limit(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *js = parse("[1,2,3,4,5]");
    CLEANUP(buf_done)
    struct buf out;
    buf_init(&out, 4);
    assert_int_equal(js_print(js, &out), ST_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_value_may_stand_at_the_top),
        cmocka_unit_test(broken_text_is_refused_with_its_rule),
        cmocka_unit_test(nesting_is_bounded_before_anything_recurses),
        cmocka_unit_test(brackets_in_strings_are_not_nesting),
        cmocka_unit_test(the_size_limit_is_exact),
        cmocka_unit_test(look_ups_answer_no_for_absent_and_for_another_kind),
        cmocka_unit_test(integers_keep_all_64_bits),
        cmocka_unit_test(members_come_in_their_order),
        cmocka_unit_test(what_is_built_prints_in_order_and_compact),
        cmocka_unit_test(building_passes_missing_memory_on),
        cmocka_unit_test(text_that_is_not_utf8_is_not_built),
        cmocka_unit_test(what_is_printed_is_what_the_library_would_print),
        cmocka_unit_test(printing_stops_at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
