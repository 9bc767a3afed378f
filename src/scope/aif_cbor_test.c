/* Scopes in CBOR: the worked vector of the MQTT-TLS profile's digest (section 13) both ways, and what is refused. */
#include "codec/base64.h"
#include "codec/cbor.h"
#include "codec/json.h"
#include "scope/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

/* MT-80, MT-86 */
#define AS_JSON "[[\"topic1\",[\"pub\",\"sub\"]],[\"topic2/#\",[\"pub\"]],[\"+/topic3\",[\"sub\"]]]"
#define AS_CBOR                     \
    "\x83\x82\x66topic1\x82\x63pub" \
    "\x63sub\x82\x68topic2/#\x81"   \
    "\x63pub\x82\x68+/topic3\x81\x63sub"
#define AS_CBOR_LEN 48

static enum status read(struct span bytes, struct scope **ret_scope, struct why *why)
{
    CLEANUP(cb_unrefp)
    struct cb *cb = NULL;

    enum status st = cb_parse(bytes, SCOPE_MAX_BYTES, &cb, why);
    return st == ST_OK ? scope_from_cbor(cb, ret_scope, why) : st;
}

static struct scope *scope_of(struct span bytes)
{
    struct scope *scope = NULL;
    struct why why = { 0 };

    if (read(bytes, &scope, &why) != ST_OK)
        fail_msg("%s %s", why.clause, why.text);
    return scope;
}

static struct scope *scope_of_json(const char *text)
{
    struct scope *scope = NULL;

    assert_int_equal(scope_from_text(span_of_str(text), &scope, NULL), ST_OK);
    return scope;
}

static void mt86_the_example_is_written_as_exactly_these_48_bytes(void **state UNUSED)
{
    static const uint8_t expected[AS_CBOR_LEN] = {
        0x83, 0x82, 0x66, 0x74, 0x6f, 0x70, 0x69, 0x63, 0x31, 0x82, 0x63, 0x70, 0x75, 0x62, 0x63, 0x73,
        0x75, 0x62, 0x82, 0x68, 0x74, 0x6f, 0x70, 0x69, 0x63, 0x32, 0x2f, 0x23, 0x81, 0x63, 0x70, 0x75,
        0x62, 0x82, 0x68, 0x2b, 0x2f, 0x74, 0x6f, 0x70, 0x69, 0x63, 0x33, 0x81, 0x63, 0x73, 0x75, 0x62,
    };
    CLEANUP(scope_unrefp)
    struct scope *scope = scope_of_json(AS_JSON);
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&out, AS_CBOR_LEN);
    assert_int_equal(scope_to_cbor(scope, &out), ST_OK);
    assert_int_equal(out.len, AS_CBOR_LEN);
    assert_memory_equal(out.p, expected, AS_CBOR_LEN);
    assert_true(span_eq(SPAN(AS_CBOR), span_of(expected, AS_CBOR_LEN))); /* the other tests' spelling of it */
    assert_int_equal(scope_to_cbor(scope, &out), ST_TOO_LARGE);
}

static void mt86_cbor_and_json_are_the_same_scope(void **state UNUSED)
{
    CLEANUP(scope_unrefp)
    struct scope *json = scope_of_json(AS_JSON);
    CLEANUP(scope_unrefp)
    struct scope *cbor = scope_of(SPAN(AS_CBOR));

    assert_true(scope_same(json, cbor));
    assert_true(span_eq_str(scope_at(cbor, 1).filter.s, "topic2/#"));
    assert_int_equal(scope_at(cbor, 1).permissions, SCOPE_PUB);
}

/* AF-106 */
static void af106_a_byte_string_around_it_changes_nothing(void **state UNUSED)
{
    CLEANUP(scope_unrefp)
    struct scope *bare = scope_of(SPAN(AS_CBOR));
    CLEANUP(scope_unrefp)
    struct scope *wrapped = scope_of(SPAN("\x58\x30" AS_CBOR));
    struct scope *none = NULL;
    struct why why = { 0 };

    assert_true(scope_same(bare, wrapped));
    assert_int_equal(read(SPAN("\x58\x32\x58\x30" AS_CBOR), &none, &why), ST_BAD_SCOPE); /* twice */
    assert_int_equal(read(SPAN("\x58\x31" AS_CBOR "\x00"), &none, &why),
                     ST_BAD_SCOPE); /* trailing byte inside */
    assert_string_equal(why.clause, "MT-86");
    assert_int_equal(read(SPAN("\x40"), &none, &why), ST_BAD_SCOPE);
    assert_null(none);
}

static void mt83_an_empty_array_permits_nothing(void **state UNUSED)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = scope_of(SPAN("\x80"));
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&out, 8);
    assert_true(scope_is_empty(scope));
    assert_int_equal(scope_to_cbor(scope, &out), ST_OK);
    assert_true(span_eq(buf_span(&out), SPAN("\x80")));
}

static void what_is_no_scope_is_refused_as_a_whole(void **state UNUSED)
{
    static const struct {
        struct span bytes;
        enum status st;
        const char *clause;
    } rows[] = {
        { SPAN("\x9f\x82\x61\x61\x81\x63pub\xff"), ST_MALFORMED, "TK-50" }, /* indefinite length */
        { SPAN("\x81\x82\x61\x61\x9f\x63pub\xff"), ST_MALFORMED, "TK-50" },
        { SPAN("\x80\x80"), ST_MALFORMED, "TK-50" }, /* trailing */
        { SPAN("\x81\x82\x78\x01\x61\x81\x63pub"), ST_MALFORMED, "TK-50" },
        { SPAN("\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), ST_MALFORMED, "TK-49" },
        { SPAN("\xa0"), ST_BAD_SCOPE, "MT-80" }, /* other types */
        { SPAN("\x60"), ST_BAD_SCOPE, "MT-80" },
        { SPAN("\x01"), ST_BAD_SCOPE, "MT-80" },
        { SPAN("\xf6"), ST_BAD_SCOPE, "MT-80" },
        { SPAN("\xd9\x01\x00\x80"), ST_BAD_SCOPE, "MT-80" }, /* a tag nobody registered for this */
        { SPAN("\x81\x61\x61"), ST_BAD_SCOPE, "MT-80" },
        { SPAN("\x81\x81\x61\x61"), ST_BAD_SCOPE, "MT-80" },
        { SPAN("\x81\x83\x61\x61\x81\x63pub\x81\x63sub"), ST_BAD_SCOPE, "MT-80" },
        { SPAN("\x81\x82\x61\x61\x63pub"), ST_BAD_SCOPE, "MT-80" },
        { SPAN("\x81\x82\x61\x61\x80"), ST_BAD_SCOPE, "MT-80" },
        { SPAN("\x81\x82\x41\x61\x81\x63pub"), ST_BAD_SCOPE, "MT-87" }, /* the filter is bytes */
        { SPAN("\x81\x82\x61\x61\x81\x43pub"), ST_BAD_SCOPE, "MT-87" }, /* the permission is bytes */
        { SPAN("\x81\x82\x61\x61\x81\x01"), ST_BAD_SCOPE, "MT-87" },    /* RFC 9237 bits are not MQTT's */
        { SPAN("\x81\x82\x61\x61\x81\x63PUB"), ST_BAD_SCOPE, "MT-87" },
        { SPAN("\x81\x82\x61\x61\x82\x63pub\x63pub"), ST_BAD_SCOPE, "MT-87" }, /* duplicates */
        { SPAN("\x82\x82\x61\x61\x81\x63pub\x82\x61\x61\x81\x63sub"), ST_BAD_SCOPE, "MT-87" },
        { SPAN("\x81\x82\x62\x61#\x81\x63pub"), ST_BAD_SCOPE, "MT-87" },
        { SPAN("\x81\x82\x62\x61\x00\x81\x63pub"), ST_BAD_SCOPE, "MT-87" }, /* CBOR text may hold U+0000 */
        { SPAN("\x81\x82\x60\x81\x63pub"), ST_BAD_SCOPE, "MT-87" },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct scope *scope = NULL;
        struct why why = { 0 };
        enum status st = read(rows[i].bytes, &scope, &why);
        if (st != rows[i].st || strcmp(why.clause, rows[i].clause) != 0)
            fail_msg("row %zu: %s %s", i, status_name(st), why.clause == NULL ? "" : why.clause);
        assert_null(scope);
    }
}

static void scopes_in_cbor_have_the_same_limits(void **state UNUSED)
{
    CLEANUP(buf_done)
    struct buf out;
    struct scope *scope = NULL;
    struct why why = { 0 };
    char name[8];

    buf_init(&out, SCOPE_MAX_BYTES);
    cb_put_array(&out, SCOPE_MAX_PAIRS + 1);
    for (size_t i = 0; i <= SCOPE_MAX_PAIRS; i++) {
        snprintf(name, sizeof name, "%zu", i);
        cb_put_array(&out, 2);
        cb_put_text(&out, span_of_str(name));
        cb_put_array(&out, 1);
        cb_put_text(&out, SPAN("sub"));
    }
    assert_int_equal(read(buf_span(&out), &scope, &why), ST_TOO_LARGE);
    assert_string_equal(why.clause, "SCOPE_MAX_PAIRS");
    assert_null(scope);
}

/* D-20: a scope claim inside JSON, given as base64url of the CBOR form. */
static void mt86_a_json_claim_may_hold_cbor_in_base64url(void **state UNUSED)
{
    CLEANUP(scope_unrefp)
    struct scope *json = scope_of_json(AS_JSON);
    CLEANUP(scope_unrefp)
    struct scope *cbor = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct js *claim;
    struct scope *none = NULL;
    struct why why = { 0 };

    buf_init(&text, 256);
    base64url_encode(SPAN(AS_CBOR), &text);
    claim = js_new_str(buf_span(&text));
    assert_int_equal(scope_from_claim(claim, &cbor, &why), ST_OK);
    assert_true(scope_same(json, cbor));
    js_unref(claim);
    buf_reset(&text);
    base64url_encode(SPAN("\x9f\xff"), &text);
    assert_int_equal(scope_from_text(buf_span(&text), &none, &why), ST_BAD_SCOPE);
    assert_string_equal(why.clause, "MT-86");
    buf_reset(&text);
    base64url_encode(SPAN("\x58\x30" AS_CBOR), &text); /* 'X': taken for JSON text, which it is not */
    assert_int_equal(scope_from_text(buf_span(&text), &none, &why), ST_BAD_SCOPE);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt86_the_example_is_written_as_exactly_these_48_bytes),
        cmocka_unit_test(mt86_cbor_and_json_are_the_same_scope),
        cmocka_unit_test(af106_a_byte_string_around_it_changes_nothing),
        cmocka_unit_test(mt83_an_empty_array_permits_nothing),
        cmocka_unit_test(what_is_no_scope_is_refused_as_a_whole),
        cmocka_unit_test(scopes_in_cbor_have_the_same_limits),
        cmocka_unit_test(mt86_a_json_claim_may_hold_cbor_in_base64url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
