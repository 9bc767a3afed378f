/* The token in an MQTT 3.1.1 user name, in both encodings and where they touch: MT-122, D-18, and the worked vectors of
 * the MQTT-TLS profile's digest, section 13. */
#include "token/user_name.h"

#include "codec/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define JWT "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"

static void assert_token(struct span user_name, struct span expected)
{
    struct why why = { 0 };
    struct buf out;

    buf_init(&out, 65535);
    assert_true(user_name_is_ace(user_name));
    assert_int_equal(user_name_token(user_name, &out, &why), ST_OK);
    assert_int_equal(out.len, expected.len);
    assert_memory_equal(out.p, expected.p, expected.len);
    buf_done(&out);
}

static void mt122_rfc9431_the_token_is_base64url(void **state UNUSED)
{
    assert_token(SPAN("aceZXlKaGJHY2lPaUpJVXpJMU5pSjkuZTMwLmMybG4"), SPAN(JWT));
    assert_token(SPAN("acecmVmZXJlbmNlLTE"), SPAN("reference-1"));
    assert_token(SPAN("ace0oRA"), SPAN("\xd2\x84\x40")); /* the beginning of a COSE_Sign1 */
}

static void mt122_draft_06_the_token_is_as_it_is_or_base64(void **state UNUSED)
{
    assert_token(SPAN("ace" JWT), SPAN(JWT));
    assert_token(SPAN("ace0oRA/+8="), SPAN("\xd2\x84\x40\xff\xef"));
    assert_token(SPAN("ace0oRA+w=="), SPAN("\xd2\x84\x40\xfb"));
    assert_token(SPAN("ace\xc3\xbc ber"), SPAN("\xc3\xbc ber")); /* text in no alphabet of these */
    assert_token(SPAN("acea=b"), SPAN("a=b"));                   /* "=" but not Base64 */
}

/* D-18: ambiguous only for opaque references, and then it is the token inside that decides. */
static void what_is_base64url_of_no_token_is_a_reference_as_it_is(void **state UNUSED)
{
    assert_token(SPAN("aceref-1"), SPAN("ref-1"));                       /* 5 characters are no base64url */
    assert_token(SPAN("ace0123456789abcdef"), SPAN("0123456789abcdef")); /* binary, and no COSE */
    assert_token(SPAN("aceZm9v"), SPAN("foo")); /* this one could be either; RFC 9431 wins */
}

static void mt125_no_token_is_no_token(void **state UNUSED)
{
    struct why why = { 0 };
    struct buf out;

    buf_init(&out, 65535);
    assert_int_equal(user_name_token(SPAN("ace"), &out, &why), ST_DENIED);
    assert_string_equal(why.clause, "MT-125");
    assert_int_equal(out.len, 0);
    assert_false(user_name_is_ace(SPAN("")));
    assert_false(user_name_is_ace(SPAN("ac")));
    assert_false(user_name_is_ace(SPAN("alice")));
    assert_false(user_name_is_ace(SPAN("ACEZm9v"))); /* the method's name is case-sensitive (D-8) */
    buf_done(&out);
}

static void every_token_comes_back_from_both_alphabets(void **state UNUSED)
{
    struct buf token, name;

    buf_init(&token, 400);
    buf_init(&name, 1000);
    put_u8(&token, 0xd2); /* looks like a CWT, and then anything */
    for (unsigned i = 0; i < 300; i++) {
        put_u8(&token, (uint8_t)(i * 151 + 7));
        buf_reset(&name);
        put_str(&name, "ace");
        base64url_encode(buf_span(&token), &name);
        assert_token(buf_span(&name), buf_span(&token));
        buf_reset(&name);
        put_str(&name, "ace");
        base64_encode(buf_span(&token), &name);
        assert_token(buf_span(&name), buf_span(&token)); /* without + / = the two are the same text */
    }
    buf_done(&token);
    buf_done(&name);
}

static void a_token_beyond_the_limit_is_refused(void **state UNUSED)
{
    struct why why = { 0 };
    struct buf out;

    buf_init(&out, 4);
    assert_int_not_equal(user_name_token(SPAN("acecmVmZXJlbmNlLTE"), &out, &why), ST_OK);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt122_rfc9431_the_token_is_base64url),
        cmocka_unit_test(mt122_draft_06_the_token_is_as_it_is_or_base64),
        cmocka_unit_test(what_is_base64url_of_no_token_is_a_reference_as_it_is),
        cmocka_unit_test(mt125_no_token_is_no_token),
        cmocka_unit_test(every_token_comes_back_from_both_alphabets),
        cmocka_unit_test(a_token_beyond_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
