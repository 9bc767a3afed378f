/* Every allocation is made to fail in turn, alone and with all behind it, while JSON is read, built and printed and CBOR is read: each
 * step says so, nothing is left behind (the sanitizers look), and what is read is all of the text or nothing. */
#include "codec/base64.h"
#include "codec/cbor.h"
#include "codec/json.h"
#include "support/failing_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define ROOM   65536
#define T31    "\"1234567890123456789012345678901\"" /* what jansson keeps of it is a power of two */
#define LONG   "0123456789012345678901234567890123456789012345678901234567890123456789"
#define ESCAPE "\\u00e9\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t"

static const char *const texts[] = {
    "{\"a\":1,\"b\":[true,false,null,-2.5e3],\"c\":{\"d\":\"e\"}}",
    "\"" ESCAPE LONG ESCAPE LONG LONG LONG "\"",
    "[" T31 "," T31 "," T31 "," T31 "," T31 "," T31 "," T31 "," T31 "," T31 ",\"" LONG LONG LONG ESCAPE "\"]",
    "{" T31 ":" T31 ",\"" LONG LONG "\":{" T31 ":[" T31 "," T31 ",\"" ESCAPE LONG LONG LONG LONG LONG "\"]}}",
    "[[[[{},{}],[]],{}],{\"a\":{\"b\":{\"c\":[\"" LONG "\"]}}},12345678901234567]",
};

struct story {
    const char *text;
    void (*begin)(long n);
    struct js *whole;
    enum status bad; /* ST_OK: it is not */
    unsigned done;
};

static void try_json(void *ctx, long n)
{
    struct story *story = ctx;
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct why why = { 0 };
    enum status printed = ST_NO_MEMORY;

    buf_init(&text, ROOM);
    story->begin(n);
    enum status st = js_parse(span_of_str(story->text), ROOM, &js, &why);
    if (st == ST_OK)
        printed = n % 2 == 0 ? js_print(js, &text) : js_print_pretty(js, &text);
    (void)failing_memory_end();
    if (st == ST_NO_MEMORY) {
        assert_string_equal(why.clause, "memory");
        return;
    }
    assert_int_equal(st, story->bad);
    story->done++;
    if (st != ST_OK)
        return;
    assert_true(js_same(js, story->whole)); /* all of it */
    assert_true(printed == ST_OK || printed == ST_NO_MEMORY);
    if (printed == ST_OK) {
        js_unref(TAKE(js));
        assert_int_equal(js_parse(buf_span(&text), ROOM, &js, NULL), ST_OK);
        assert_true(js_same(js, story->whole));
    }
}

static void text_is_read_whole_or_memory_is_short(void **state UNUSED) /* RFC 8259 */
{
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct story story = { .text = texts[i], .begin = failing_memory_begin };

        assert_int_equal(js_parse(span_of_str(texts[i]), ROOM, &story.whole, NULL), ST_OK);
        assert_true(failing_memory_each(try_json, &story) > 3);
        story.begin = failing_memory_begin_lasting;
        assert_true(failing_memory_each(try_json, &story) > 3);
        assert_true(story.done >= 2); /* the last of each */
        js_unref(story.whole);
    }
}

static void what_is_bad_stays_bad_or_memory_is_short(void **state UNUSED) /* TK-48, TK-50 */
{
    static const char *const bad[] = {
        "{\"a\":1,\"a\":2}",   "[1] 2", "[\"" LONG LONG "\\ud800\"]", "[" T31 "," T31 ",\"" LONG LONG,
        "{\"a\":\"\\u0000\"}",
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct story story = { .text = bad[i], .begin = failing_memory_begin, .bad = ST_MALFORMED };

        assert_true(failing_memory_each(try_json, &story) > 1);
        story.begin = failing_memory_begin_lasting;
        assert_true(failing_memory_each(try_json, &story) > 1);
        assert_true(story.done >= 2);
    }
}

static enum status build(struct js *obj)
{
    struct js *arr = js_new_array();
    enum status st = js_append_str(arr, SPAN("one"));

    for (int i = 0; st == ST_OK && i < 9; i++)
        st = js_append_take(arr, js_new_i64(i));
    if (st == ST_OK)
        st = js_set_take(obj, "list", TAKE(arr));
    js_unref(arr);
    if (st == ST_OK)
        st = js_set_str(obj, "text", SPAN(LONG));
    if (st == ST_OK)
        st = js_set_i64(obj, "number", 7);
    if (st == ST_OK)
        st = js_set_bool(obj, "flag", true);
    return st == ST_OK ? js_set_null(obj, "none") : st;
}

static void try_build(void *ctx, long n)
{
    struct story *story = ctx;

    story->begin(n);
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    enum status st = build(obj);
    (void)failing_memory_end();
    assert_true(st == ST_OK || st == ST_NO_MEMORY);
    if (st == ST_OK)
        assert_true(js_same(obj, story->whole));
    story->done += st == ST_OK;
}

static void what_is_built_is_whole_or_memory_is_short(void **state UNUSED)
{
    struct story story = { .begin = failing_memory_begin };

    assert_int_equal(js_parse(SPAN("{\"list\":[\"one\",0,1,2,3,4,5,6,7,8],\"text\":\"" LONG
                                   "\",\"number\":7,\"flag\":true,\"none\":null}"),
                              ROOM, &story.whole, NULL),
                     ST_OK);
    assert_true(failing_memory_each(try_build, &story) > 10);
    assert_int_equal(story.done, 1);
    story.begin = failing_memory_begin_lasting;
    assert_true(failing_memory_each(try_build, &story) > 10);
    js_unref(story.whole);
}

static void text_that_is_none_is_not_taken_for_lack_of_memory(void **state UNUSED) /* RFC 8259 8.1 */
{
    CLEANUP(js_unrefp)
    struct js *obj = js_new_object();
    CLEANUP(js_unrefp)
    struct js *arr = js_new_array();

    assert_null(js_new_str(SPAN("\xff")));
    assert_int_equal(js_set_str(obj, "a", SPAN("\xff")), ST_MALFORMED);
    assert_int_equal(js_append_str(arr, SPAN("a\xc0")), ST_MALFORMED);
    assert_int_equal(js_append_take(NULL, js_new_i64(1)), ST_NO_MEMORY); /* the array could not be made */
    assert_int_equal(js_append_take(arr, NULL), ST_NO_MEMORY);
    assert_int_equal(js_size(arr), 0);
}

/* ---- CBOR: libcbor has memory of its own ---- */

static void try_cbor(void *ctx, long n)
{
    unsigned *done = ctx;
    /* a map of tags that libcbor is shown under other numbers */
    static const uint8_t bytes[] = { 0xa2, 0x01, 0xd0, 0x41, 0x02, 0x03, 0xd1, 0x61, 'a' };
    struct cb *cb = NULL;
    uint64_t number = 0;
    struct why why = { 0 };

    failing_memory_begin(n);
    enum status st = cb_parse(span_of(bytes, sizeof bytes), ROOM, &cb, &why);
    (void)failing_memory_end();
    assert_true(st == ST_OK || st == ST_NO_MEMORY);
    if (st == ST_OK) {
        assert_non_null(cb_tagged(cb_get(cb, 1), &number));
        assert_int_equal(number, 16);
    }
    cb_unref(cb);
    *done += st == ST_OK;
}

static void cbor_is_read_or_memory_is_short(void **state UNUSED)
{
    unsigned done = 0;

    assert_true(failing_memory_each(try_cbor, &done) > 0);
    assert_true(done > 0);
}

static void nothing_is_found_beyond_the_end_of_a_map(void **state UNUSED)
{
    static const uint8_t bytes[] = { 0xa1, 0x01, 0x82, 0x02, 0x03 };
    struct cb *cb = NULL;

    assert_int_equal(cb_parse(span_of(bytes, sizeof bytes), ROOM, &cb, NULL), ST_OK);
    assert_non_null(cb_key_at(cb, 0));
    assert_null(cb_key_at(cb, 1));
    assert_null(cb_value_at(cb, 1));
    assert_null(cb_key_at(cb_get(cb, 1), 0)); /* an array has no keys */
    assert_null(cb_value_at(cb_get(cb, 1), 0));
    assert_null(cb_at(cb_get(cb, 1), 2));
    assert_null(cb_at(cb, 0));
    cb_unref(cb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_read_whole_or_memory_is_short),
        cmocka_unit_test(what_is_bad_stays_bad_or_memory_is_short),
        cmocka_unit_test(what_is_built_is_whole_or_memory_is_short),
        cmocka_unit_test(text_that_is_none_is_not_taken_for_lack_of_memory),
        cmocka_unit_test(cbor_is_read_or_memory_is_short),
        cmocka_unit_test(nothing_is_found_beyond_the_end_of_a_map),
    };

    return cmocka_run_group_tests_name("codec_memory", tests, NULL, NULL);
}
