/* Client assertions (RFC 7523) and req_cnf proofs (AF-42): what is signed is believed by the one it was meant for,
 * while it lasts, and by nobody else. */
#include "jose/jws.h"
#include "support/vectors.h"
#include "token/assertion.h"

#define NOW  1000000
#define ROOM 16384

static const struct span auds[] = { { (const uint8_t *)"https://as.example/token", 24 },
                                    { (const uint8_t *)"https://as.example", 18 } };

static struct assertion_claims good_claims(void)
{
    return (struct assertion_claims){ .typ = ASSERTION_TYP_REQ_CNF,
                                      .iss = SPAN("sensor-1"),
                                      .sub = SPAN("sensor-1"),
                                      .client_id = SPAN("sensor-1"),
                                      .aud = auds[1],
                                      .iat = { NOW },
                                      .lifetime_s = 60,
                                      .jti = SPAN("n-1") };
}

static struct assertion_expected good_expected(void)
{
    return (struct assertion_expected){ .typ = ASSERTION_TYP_REQ_CNF,
                                        .iss = SPAN("sensor-1"),
                                        .sub = SPAN("sensor-1"),
                                        .client_id = SPAN("sensor-1"),
                                        .auds = auds,
                                        .n_auds = COUNT_OF(auds),
                                        .max_age_s = 300,
                                        .skew_s = 10 };
}

static enum status check_at(struct span text, const struct key *key, const struct assertion_expected *expected,
                            int64_t now, struct assertion *out)
{
    struct why why;
    enum status st = assertion_check(text, key, expected, (struct wall_time){ now }, out, &why);

    if (st != ST_OK)
        assert_non_null(why.clause);
    return st;
}

static enum status sign_and_check(const struct assertion_claims *claims,
                                  const struct assertion_expected *expected)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct assertion out;

    buf_init(&text, ROOM);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    assert_int_equal(assertion_sign(claims, key, SPAN("k1"), &text), ST_OK);
    return check_at(buf_span(&text), key, expected, NOW, &out);
}

static void af42_a_proof_is_accepted_under_every_kind_of_key(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_ED25519, KEY_P256, KEY_SECRET };

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        CLEANUP(key_unrefp)
        struct key *other = NULL;
        CLEANUP(buf_done)
        struct buf text;
        struct assertion_claims claims = good_claims();
        struct assertion_expected expected = good_expected();
        struct assertion out;
        buf_init(&text, ROOM);
        assert_int_equal(key_generate(kinds[i], &key), ST_OK);
        assert_int_equal(key_generate(kinds[i], &other), ST_OK);
        assert_int_equal(assertion_sign(&claims, key, SPAN("k1"), &text), ST_OK);
        assert_int_equal(check_at(buf_span(&text), key, &expected, NOW, &out), ST_OK);
        assert_string_equal(out.jti, "n-1");
        assert_int_equal(out.exp.s, NOW + 70);
        assert_int_equal(check_at(buf_span(&text), other, &expected, NOW, &out), ST_BAD_CREDENTIAL);
    }
}

/* RFC 8725 3.11: a client assertion is no proof for req_cnf, and the reverse. */
static void one_kind_of_assertion_is_not_the_other(void **state UNUSED)
{
    struct assertion_claims claims = good_claims();
    struct assertion_expected expected = good_expected();

    claims.typ = ASSERTION_TYP_CLIENT;
    assert_int_equal(sign_and_check(&claims, &expected), ST_BAD_CREDENTIAL);
    expected.typ = ASSERTION_TYP_CLIENT;
    assert_int_equal(sign_and_check(&claims, &expected), ST_OK);
    claims.typ = ASSERTION_TYP_REQ_CNF;
    assert_int_equal(sign_and_check(&claims, &expected), ST_BAD_CREDENTIAL);
    claims.typ = "at+jwt";
    assert_int_equal(sign_and_check(&claims, &expected), ST_BAD_CREDENTIAL);
}

/* RFC 7523 3: other clients sign without typ. */
static void a_client_assertion_needs_no_typ(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct assertion_expected expected = good_expected();
    struct assertion out;

    buf_init(&text, ROOM);
    assert_int_equal(key_generate(KEY_P256, &key), ST_OK);
    expected.client_id = SPAN_NONE;
    assert_int_equal(
        jws_sign(key, SPAN_NONE, SPAN_NONE, SPAN_NONE,
                 SPAN("{\"iss\":\"sensor-1\",\"sub\":\"sensor-1\",\"aud\":[\"x\",\"https://as.example/token\"],"
                      "\"exp\":1000060,\"jti\":\"a\"}"),
                 &text),
        ST_OK);
    assert_int_equal(check_at(buf_span(&text), key, &expected, NOW, &out), ST_BAD_CREDENTIAL);
    expected.typ = ASSERTION_TYP_CLIENT;
    assert_int_equal(check_at(buf_span(&text), key, &expected, NOW, &out), ST_OK);
}

static void names_must_be_those_expected(void **state UNUSED)
{
    struct assertion_expected expected = good_expected();
    struct assertion_claims claims;

    claims = good_claims();
    claims.iss = SPAN("sensor-2");
    assert_int_equal(sign_and_check(&claims, &expected), ST_BAD_CREDENTIAL);
    claims = good_claims();
    claims.sub = SPAN_NONE;
    assert_int_equal(sign_and_check(&claims, &expected), ST_BAD_CREDENTIAL);
    claims = good_claims();
    claims.client_id = SPAN("sensor-1 ");
    assert_int_equal(sign_and_check(&claims, &expected), ST_BAD_CREDENTIAL);
    claims = good_claims();
    claims.aud = SPAN("https://as.example/");
    assert_int_equal(sign_and_check(&claims, &expected), ST_BAD_CREDENTIAL);
    expected.n_auds = 0;
    claims = good_claims();
    assert_int_equal(sign_and_check(&claims, &expected), ST_BAD_CREDENTIAL);
}

static void an_assertion_is_short_lived(void **state UNUSED)
{
    struct assertion_expected expected = good_expected();
    struct assertion_claims claims = good_claims();
    /* clang-format off */
    static const struct { int64_t iat; uint32_t lifetime_s; enum status expected; } rows[] = {
        { NOW,        300,        ST_OK             },
        { NOW,        310,        ST_OK             }, /* skew */
        { NOW,        311,        ST_BAD_CREDENTIAL },
        { NOW,        UINT32_MAX, ST_BAD_CREDENTIAL },
        { NOW + 10,   60,         ST_OK             },
        { NOW + 11,   60,         ST_BAD_CREDENTIAL },
        { NOW - 60,   51,         ST_OK             },
        { NOW - 60,   50,         ST_BAD_CREDENTIAL },
        { NOW - 310,  320,        ST_OK             },
        { NOW - 311,  320,        ST_BAD_CREDENTIAL },
        { -1,         NOW + 60,   ST_BAD_CREDENTIAL },
    };
    /* clang-format on */

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        claims.iat.s = rows[i].iat;
        claims.lifetime_s = rows[i].lifetime_s;
        assert_int_equal(sign_and_check(&claims, &expected), rows[i].expected);
    }
}

static void assert_payload_refused(const char *payload, enum status expected)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct assertion_expected e = { .typ = ASSERTION_TYP_REQ_CNF, .auds = auds, .n_auds = 2, .max_age_s = 300 };
    struct assertion out;

    buf_init(&text, ROOM);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    assert_int_equal(
        jws_sign(key, SPAN_NONE, SPAN(ASSERTION_TYP_REQ_CNF), SPAN_NONE, span_of_str(payload), &text), ST_OK);
    assert_int_equal(check_at(buf_span(&text), key, &e, NOW, &out), expected);
}

#define AUD "\"aud\":\"https://as.example\","

static void malformed_claims_are_refused(void **state UNUSED)
{
    assert_payload_refused("{" AUD "\"exp\":1000060,\"jti\":\"a\"}", ST_OK);
    assert_payload_refused("{\"exp\":1000060,\"jti\":\"a\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{\"aud\":7,\"exp\":1000060,\"jti\":\"a\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"jti\":\"a\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":\"1000060\",\"jti\":\"a\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060.0,\"jti\":\"a\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":9223372036854775807,\"jti\":\"a\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"iat\":-9223372036854775808,\"jti\":\"a\"}",
                           ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"nbf\":1000001,\"jti\":\"a\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"nbf\":\"x\",\"jti\":\"a\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"jti\":\"\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"jti\":7}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"jti\":\"a\\nb\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused(
        "{" AUD "\"exp\":1000060,\"jti\":\"0123456789012345678901234567890123456789012345678901234567890123"
        "45678901234567890123456789012345678901234567890123456789012345678\"}",
        ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"iat\":\"1000000\",\"jti\":\"a\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"iat\":9223372036854775807,\"jti\":\"a\"}",
                           ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"nbf\":-9223372036854775808,\"jti\":\"a\"}",
                           ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"nbf\":1000000,\"jti\":\"a\"}", ST_OK);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"jti\":\"a b\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"jti\":\"a\\u007f\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"jti\":\"\\u00e9\"}", ST_BAD_CREDENTIAL);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"jti\":\"!~\"}", ST_OK);
    assert_payload_refused("[]", ST_MALFORMED);
    assert_payload_refused("{" AUD "\"exp\":1000060,\"exp\":1000060,\"jti\":\"a\"}", ST_MALFORMED);
}

/* TK-40, TK-63: unsigned, or changed after signing. */
static void an_assertion_must_be_signed(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct assertion_claims claims = good_claims();
    struct assertion_expected expected = good_expected();
    struct assertion out;

    buf_init(&text, ROOM);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    assert_int_equal(assertion_sign(&claims, key, SPAN("k1"), &text), ST_OK);
    for (size_t len = 0; len < text.len; len++)
        assert_int_not_equal(check_at(span_cut(buf_span(&text), 0, len), key, &expected, NOW, &out), ST_OK);
    for (size_t byte = 0; byte < text.len; byte++) {
        text.p[byte] ^= 4;
        assert_int_not_equal(check_at(buf_span(&text), key, &expected, NOW, &out), ST_OK);
        text.p[byte] ^= 4;
    }
    buf_reset(&text);
    put_str(&text, "eyJhbGciOiJub25lIiwidHlwIjoicmVxLWNuZitqd3QifQ.e30.");
    assert_int_equal(check_at(buf_span(&text), key, &expected, NOW, &out), ST_BAD_CREDENTIAL);
    for (int i = 0; i < 10; i++)
        put_str(&text, "AAAAAAAAAAAA"); /* longer than any signature */
    assert_int_equal(check_at(buf_span(&text), key, &expected, NOW, &out), ST_BAD_CREDENTIAL);
    buf_reset(&text);
    put_str(&text, "eyJhbGciOiJFZERTQSIsInR5cCI6InJlcS1jbmYrand0In0.e30.");
    for (int i = 0; i < 10; i++)
        put_str(&text, "AAAAAAAAAAAA");
    assert_int_equal(check_at(buf_span(&text), key, &expected, NOW, &out), ST_BAD_CREDENTIAL);
}

static void the_claimant_can_be_read_before_it_is_believed(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct assertion_claims claims = good_claims();
    struct assertion_claimant who;

    buf_init(&text, ROOM);
    assert_int_equal(key_generate(KEY_P256, &key), ST_OK);
    claims.client_id = SPAN_NONE;
    assert_int_equal(assertion_sign(&claims, key, SPAN("k1"), &text), ST_OK);
    assert_int_equal(assertion_peek(buf_span(&text), &who, NULL), ST_OK);
    assert_span_equal(who.sub, SPAN("sensor-1"));
    assert_null(who.client_id.p);
    assert_span_equal(who.kid, SPAN("k1"));
    assertion_claimant_done(&who);
    assert_int_equal(assertion_peek(SPAN("x.y.z"), &who, NULL), ST_MALFORMED);
    assertion_claimant_done(&who);
}

static void an_assertion_too_large_is_not_read(void **state UNUSED)
{
    static uint8_t big[ASSERTION_MAX_BYTES + 1];
    struct assertion_claimant who;

    memset(big, 'a', sizeof(big));
    assert_int_equal(assertion_peek(span_of(big, sizeof(big)), &who, NULL), ST_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(af42_a_proof_is_accepted_under_every_kind_of_key),
        cmocka_unit_test(one_kind_of_assertion_is_not_the_other),
        cmocka_unit_test(a_client_assertion_needs_no_typ),
        cmocka_unit_test(names_must_be_those_expected),
        cmocka_unit_test(an_assertion_is_short_lived),
        cmocka_unit_test(malformed_claims_are_refused),
        cmocka_unit_test(an_assertion_must_be_signed),
        cmocka_unit_test(the_claimant_can_be_read_before_it_is_believed),
        cmocka_unit_test(an_assertion_too_large_is_not_read),
    };
    return cmocka_run_group_tests_name("assertion", tests, NULL, NULL);
}
