/* Our reader and jansson's over many texts: written at random, then broken at random, always the same ones. Texts in which each of
 * the two has its own way (a NUL, more than 16 levels) are json_oracle.h's to name. */
#include "codec/json.h"
#include "codec/json_oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define TEXTS    100000
#define TEXT_MAX 4096

struct dice {
    uint64_t state;
};

/* xorshift64* */
static uint32_t roll(struct dice *d, uint32_t sides)
{
    d->state ^= d->state >> 12;
    d->state ^= d->state << 25;
    d->state ^= d->state >> 27;
    return (uint32_t)((d->state * 0x2545f4914f6cdd1d) >> 32) % sides;
}

/* What a text is broken with, and made of: each piece is right somewhere and wrong elsewhere. */
static const struct span pieces[] = {
    SPAN("{"),
    SPAN("}"),
    SPAN("["),
    SPAN("]"),
    SPAN(","),
    SPAN(":"),
    SPAN("\""),
    SPAN("\\"),
    SPAN(" "),
    SPAN("\t"),
    SPAN("\n"),
    SPAN("\r"),
    SPAN("\f"),
    SPAN("\v"),
    SPAN("\0"),
    SPAN("\x1f"),
    SPAN("\x7f"),
    SPAN("\xc2\xa0"),
    SPAN("\xef\xbb\xbf"),
    SPAN("\xe2\x80\xa8"),
    SPAN("true"),
    SPAN("false"),
    SPAN("null"),
    SPAN("True"),
    SPAN("nul"),
    SPAN("NaN"),
    SPAN("Infinity"),
    SPAN("truefalse"),
    SPAN("/**/"),
    SPAN("0"),
    SPAN("-0"),
    SPAN("00"),
    SPAN("01"),
    SPAN("-"),
    SPAN("+1"),
    SPAN("1."),
    SPAN(".5"),
    SPAN("1.5"),
    SPAN("-0.0"),
    SPAN("1e"),
    SPAN("1e+"),
    SPAN("1E5"),
    SPAN("1e-5"),
    SPAN("1e308"),
    SPAN("1e309"),
    SPAN("-1e309"),
    SPAN("1e-400"),
    SPAN("4.9e-324"),
    SPAN("0x10"),
    SPAN("1e99999999999999999999"),
    SPAN("0e99999999999999999999"),
    SPAN("1,5"),
    SPAN("9223372036854775807"),
    SPAN("9223372036854775808"),
    SPAN("-9223372036854775808"),
    SPAN("-9223372036854775809"),
    SPAN("18446744073709551616"),
    SPAN("99999999999999999999999999"),
    SPAN("0.1000000000000000055511151231257827"),
    SPAN("\"\""),
    SPAN("\"a\""),
    SPAN("\"a\":"),
    SPAN("\"\\u0061\":"),
    SPAN("\"\\u0000\""),
    SPAN("\"\\u0000\":"),
    SPAN("\"\\ud83d\\ude00\""),
    SPAN("\"\\ud83d\""),
    SPAN("\"\\ude00\""),
    SPAN("\"\\ude00\\ud83d\""),
    SPAN("\"\\ud83d\\u0041\""),
    SPAN("\\uD800"),
    SPAN("\\udfff"),
    SPAN("\\uffff"),
    SPAN("\\u00e9"),
    SPAN("\\u12"),
    SPAN("\\u 123"),
    SPAN("\\u+123"),
    SPAN("\\x41"),
    SPAN("\\U0041"),
    SPAN("\\/"),
    SPAN("\\b\\f\\n\\r\\t"),
    SPAN("\\'"),
    SPAN("\xc3\xa9"),
    SPAN("\xf0\x9f\x98\x80"),
    SPAN("\xf4\x8f\xbf\xbf"),
    SPAN("\xf4\x90\x80\x80"),
    SPAN("\xc0\x80"),
    SPAN("\xc1\xbf"),
    SPAN("\xe0\x80\x80"),
    SPAN("\xf0\x80\x80\x80"),
    SPAN("\xed\xa0\x80"),
    SPAN("\xed\xbf\xbf"),
    SPAN("\x80"),
    SPAN("\xc3"),
    SPAN("\xe2\x82"),
    SPAN("\xf8\x88\x80\x80\x80"),
    SPAN("\xfe"),
    SPAN("\xff"),
    SPAN("{\"a\":1,\"b\":2}"),
    SPAN("{\"a\":1,\"a\":1}"),
    SPAN("[1,]"),
    SPAN("[,1]"),
    SPAN("{,}"),
    SPAN("[[[[[[[[[[[[[[[["),
    SPAN("]]]]]]]]]]]]]]]]"),
};

static struct span any_piece(struct dice *d)
{
    return pieces[roll(d, COUNT_OF(pieces))];
}

static void write_text(struct dice *d, struct buf *to)
{
    static const char *const inner[] = {
        "a", "b", "\\\"", "\\\\", "\\u00e9", "\\ud83d\\ude00", "\xc3\xa9", "\xf0\x9f\x98\x80", "exp", " "
    };

    put_u8(to, '"');
    for (uint32_t n = roll(d, 6); n > 0; n--)
        put_str(to, inner[roll(d, COUNT_OF(inner))]);
    put_u8(to, '"');
}

static void write_space(struct dice *d, struct buf *to)
{
    static const char *const spaces[] = { "", "", "", " ", "\n", "\t", "\r\n " };

    put_str(to, spaces[roll(d, COUNT_OF(spaces))]);
}

static void write_value(struct dice *d, unsigned depth, struct buf *to);

static void write_container(struct dice *d, unsigned depth, bool object, struct buf *to)
{
    put_u8(to, object ? '{' : '[');
    write_space(d, to);
    for (uint32_t n = roll(d, 5), i = 0; i < n; i++) {
        if (i > 0)
            put_u8(to, ',');
        write_space(d, to);
        if (object) {
            write_text(d, to); /* at times one it has already */
            write_space(d, to);
            put_u8(to, ':');
        }
        write_value(d, depth + 1, to);
        write_space(d, to);
    }
    put_u8(to, object ? '}' : ']');
}

static void write_value(struct dice *d, unsigned depth, struct buf *to)
{
    static const char *const plain[] = { "0",   "-1",      "1700000000", "-0",    "1.25",
                                         "1e3", "-2.5E-3", "true",       "false", "null" };
    uint32_t what = roll(d, depth == 0 ? 2 : depth > 4 ? 2 : 5);

    write_space(d, to);
    if (depth == 0 || what > 2)
        write_container(d, depth, what % 2 == 0, to);
    else if (what == 0)
        write_text(d, to);
    else
        put_str(to, plain[roll(d, COUNT_OF(plain))]);
    write_space(d, to);
}

/* One byte gone, one byte changed, a piece put in, the end gone, or a part of it twice. */
static void break_text(struct dice *d, struct span from, struct buf *to)
{
    uint32_t at = roll(d, (uint32_t)from.len + 1), how = roll(d, 6), len = roll(d, 8);
    struct span rest = span_cut(from, at, from.len);

    put_bytes(to, span_cut(from, 0, at));
    if (how == 0 && rest.len > 0) {
        put_u8(to, (uint8_t)roll(d, 256));
        put_bytes(to, span_cut(rest, 1, rest.len));
    } else if (how == 1) {
        put_bytes(to, span_cut(rest, 1, rest.len));
    } else if (how == 2) {
        put_bytes(to, span_cut(rest, 0, len));
        put_bytes(to, rest);
    } else if (how == 3 && len == 0) {
        return;
    } else {
        put_bytes(to, any_piece(d));
        put_bytes(to, span_cut(rest, how == 4 ? len : 0, rest.len));
    }
}

static void agree(struct span text)
{
    if (oracle_agrees(text, TEXT_MAX))
        return;
    for (size_t i = 0; i < text.len; i++)
        print_error("%02x", text.p[i]);
    fail_msg(" is read one way by us and another by jansson");
}

static void what_is_written_and_broken_at_random_is_read_as_jansson_reads_it(
    void **state UNUSED) /* RFC 8259 2 */
{
    struct dice d = { .state = 0x41 };
    struct buf text, broken;
    size_t taken = 0;

    buf_init(&text, TEXT_MAX);
    buf_init(&broken, TEXT_MAX);
    for (size_t i = 0; i < TEXTS; i++) {
        buf_reset(&text);
        write_value(&d, 0, &text);
        for (uint32_t n = roll(&d, 4); n > 0; n--) {
            struct buf former = text;

            buf_reset(&broken);
            break_text(&d, buf_span(&text), &broken);
            text = broken;
            broken = former;
        }
        assert_true(buf_ok(&text));
        agree(buf_span(&text));
        json_t *theirs = oracle_read(buf_span(&text));
        taken += theirs != NULL;
        json_decref(theirs);
    }
    /* Neither is a page of refusals a comparison, nor one of what everybody takes. */
    assert_in_range(taken, TEXTS / 5, TEXTS / 5 * 4);
    buf_done(&text);
    buf_done(&broken);
}

/* Each piece alone, in text, in an array, as a name and behind a value: with each other piece behind it. */
static void each_piece_is_read_as_jansson_reads_it(void **state UNUSED) /* RFC 8259 2 */
{
    static const char *const places[][2] = {
        { "", "" }, { "\"", "\"" }, { "[", "]" }, { "{\"a\":", "}" }, { "{\"a\":1,\"", "\":2}" }, { "[1", "]" }
    };
    struct buf text;

    buf_init(&text, TEXT_MAX);
    for (size_t place = 0; place < COUNT_OF(places); place++)
        for (size_t i = 0; i < COUNT_OF(pieces) * (COUNT_OF(pieces) + 1); i++) {
            size_t second = i / COUNT_OF(pieces);

            buf_reset(&text);
            put_str(&text, places[place][0]);
            put_bytes(&text, pieces[i % COUNT_OF(pieces)]);
            if (second < COUNT_OF(pieces))
                put_bytes(&text, pieces[second]);
            put_str(&text, places[place][1]);
            agree(buf_span(&text));
        }
    buf_done(&text);
}

/* The named difference: jansson takes "[1\0]" for "[1]". */
static void a_nul_behind_a_number_is_no_json(void **state UNUSED) /* RFC 8259 2 */
{
    static const struct span texts[] = { SPAN("[1\0]"), SPAN("1\0"), SPAN("[1.5\0,2]"), SPAN("{\"exp\":1\0}"),
                                         SPAN("{\"exp\":1\0001}") };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct js *js = NULL;
        struct why why = { 0 };

        assert_int_equal(js_parse(texts[i], TEXT_MAX, &js, &why), ST_MALFORMED);
        assert_null(js);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_and_broken_at_random_is_read_as_jansson_reads_it),
        cmocka_unit_test(each_piece_is_read_as_jansson_reads_it),
        cmocka_unit_test(a_nul_behind_a_number_is_no_json),
    };
    return cmocka_run_group_tests_name("json_random", tests, NULL, NULL);
}
