#include "token/psk_identity.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

/* The 17 bytes of MT-27. */
static const uint8_t example[] = { 0xa1, 0x08, 0xa1, 0x01, 0xa2, 0x01, 0x04, 0x02, 0x48,
                                   0x3d, 0x02, 0x78, 0x33, 0xfc, 0x62, 0x67, 0xce };

static void the_cbor_form_is_the_17_bytes_of_mt_27(void **state)
{
    CLEANUP(buf_done)
    struct buf out;
    struct psk_identity id;
    struct why why;

    (void)state;
    buf_init(&out, 64);
    assert_int_equal(psk_identity_write_cbor(span_of(example + 9, 8), &out), ST_OK);
    assert_int_equal(out.len, 17);
    assert_memory_equal(out.p, example, 17);
    assert_int_equal(psk_identity_parse(span_of(example, 17), &id, &why), ST_OK);
    assert_null(id.token.p);
    assert_true(span_eq(id.kid, span_of(example + 9, 8)));
}

static void the_json_form_may_have_any_order_and_whitespace(void **state)
{
    static const char *const same[] = { "{\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"kid\":\"k-1\"}}}",
                                        "{ \"cnf\" : {\"jwk\":\n{\"kid\":\"k-1\",\t\"kty\":\"oct\"}} }" };
    CLEANUP(buf_done)
    struct buf out;
    struct psk_identity id;
    struct why why;

    (void)state;
    buf_init(&out, 256);
    assert_int_equal(psk_identity_write_json(SPAN("k-1"), &out), ST_OK);
    assert_true(span_eq_str(buf_span(&out), same[0]));
    for (size_t i = 0; i < COUNT_OF(same); i++) { /* MT-27 */
        assert_int_equal(psk_identity_parse(span_of_str(same[i]), &id, &why), ST_OK);
        assert_true(span_eq_str(id.kid, "k-1"));
    }
}

static void anything_else_is_taken_for_the_token(void **state)
{
    static const uint8_t cwt[] = { 0xd0, 0x83, 0x43, 0x00, 0x01, 0x0a };
    const struct span tokens[] = { SPAN("eyJhbGciOiJIUzI1NiJ9.e30.c2ln"), span_of(cwt, sizeof cwt),
                                   SPAN("opaque") };
    struct psk_identity id;
    struct why why;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(tokens); i++) { /* MT-28, D-30 */
        assert_int_equal(psk_identity_parse(tokens[i], &id, &why), ST_OK);
        assert_true(span_eq(id.token, tokens[i]));
        assert_null(id.kid.p);
    }
}

static void other_structures_are_refused(void **state)
{
    static const char *const json[] = {
        "{}",
        "{\"cnf\":{\"jwk\":{\"kty\":\"oct\"}}}",
        "{\"cnf\":{\"jwk\":{\"kty\":\"OKP\",\"kid\":\"a\"}}}",
        "{\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"kid\":\"\"}}}",
        "{\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"kid\":1}}}",
        "{\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AAAA\"}}}",
        "{\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"kid\":\"a\"},\"kid\":\"a\"}}",
        "{\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"kid\":\"a\"}},\"x\":1}",
        "{\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"kid\":\"a\",\"kid\":\"b\"}}}",
        "{\"cnf\":[",
    };
    static const char *const cbor[] = {
        "\xa1\x08\xa1\x01\xa2\x01\x04\x02\x40",                 /* empty kid */
        "\xa1\x08\xa1\x01\xa2\x01\x02\x02\x41\x61",             /* kty EC2 */
        "\xa1\x08\xa1\x01\xa1\x02\x41\x61",                     /* no kty */
        "\xa1\x08\xa1\x01\xa2\x01\x04\x02\x61\x61",             /* kid is text */
        "\xa1\x08\xa1\x01\xa3\x01\x04\x02\x41\x61\x20\x41\x6b", /* with the key */
        "\xa1\x08\xa1\x03\x41\x61",                             /* cnf with kid alone */
        "\xa1\x08\xa1\x01\xa2\x01\x04\x02\x41\x61\x61",         /* something behind it */
        "\xa1\x08\xbf\x01\xff",                                 /* indefinite length */
        "\xa1\x08",
    };
    CLEANUP(buf_done)
    struct buf out;
    struct psk_identity id;
    struct why why;
    uint8_t kid[256] = { 1 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(json); i++) /* MT-27 */
        assert_int_equal(psk_identity_parse(span_of_str(json[i]), &id, &why), ST_MALFORMED);
    for (size_t i = 0; i < COUNT_OF(cbor); i++)
        assert_int_equal(psk_identity_parse(span_of_str(cbor[i]), &id, &why), ST_MALFORMED);
    assert_int_equal(psk_identity_parse(SPAN_NONE, &id, &why), ST_MALFORMED);
    buf_init(&out, 512);
    assert_int_equal(psk_identity_write_cbor(span_of(kid, 256), &out), ST_MALFORMED);
    assert_int_equal(psk_identity_write_cbor(SPAN_NONE, &out), ST_MALFORMED);
    assert_int_equal(psk_identity_write_json(span_of(kid, 256), &out), ST_MALFORMED);
    assert_int_equal(psk_identity_write_json(SPAN("\xff"), &out), ST_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cbor_form_is_the_17_bytes_of_mt_27),
        cmocka_unit_test(the_json_form_may_have_any_order_and_whitespace),
        cmocka_unit_test(anything_else_is_taken_for_the_token),
        cmocka_unit_test(other_structures_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
