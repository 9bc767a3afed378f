/* Claims: the attacks of tokens.md section 7 that live there, what an issuer writes and a verifier reads, and
 * introspection answers. Those on the confirmation key are in cnf_test.c. */
#include "token/claims.h"
#include "token/fixture_priv.h"

static const struct wall_time now = { FIXTURE_NOW };

static void tk48_a_claim_twice_is_refused(void **state)
{
    assert_refused(*state, CHANGES({ "x", "1" }, { "x", "1" }), ST_MALFORMED, "TK-48");
    assert_refused(*state, CHANGES({ "\\u0065xp", "2000000" }), ST_MALFORMED, "TK-48");
    assert_refused(*state, CHANGES({ "cnf", "{\"jwk\":" FIXTURE_CNF_JWK ",\"jwk\":" FIXTURE_CNF_JWK "}" }),
                   ST_MALFORMED, "TK-48");
}

static void tk52_times_that_are_no_whole_numbers_are_refused(void **state)
{
    static const char *const bad[] = {
        "\"1000600\"", "-1", "1000600.0", "1000600.5",        "1e9",          "1e300",  "true",
        "null",        "[]", "{}",        "9007199254740993", "\"Infinity\"", "\"NaN\""
    };
    static const char *const names[] = { "exp", "nbf", "iat", "exi" };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        for (size_t n = 0; n < COUNT_OF(names); n++)
            assert_refused(*state, CHANGES({ names[n], bad[i] }), ST_BAD_TOKEN, "TK-52");
    }
    assert_refused(*state, CHANGES({ "exp", "NaN" }), ST_MALFORMED, "RFC 8259 2");
    assert_refused(*state, CHANGES({ "exp", "99999999999999999999" }), ST_MALFORMED, "TK-52");
    assert_accepted(*state, CHANGES({ "exp", "9007199254740992" }));
}

static void tk52_a_token_without_end_is_refused_unless_configured(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct wall_time end;

    buf_init(&text, ROOM);
    assert_refused(f, CHANGES({ "exp", NULL }), ST_BAD_TOKEN, "TK-52");
    fixture_config(f, &c);
    c.config.allow_no_lifetime = true;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    fixture_token(f, CHANGES({ "exp", NULL }), &text);
    assert_int_equal(token_verify(buf_span(&text), v, now, &token, NULL), ST_OK);
    assert_false(token_end(token, now, &end));
}

/* AF-63 step 4 with 10 seconds of skew; RFC 7519 4.1.4: "on or after". */
static void exp_ends_a_token_to_the_second(void **state)
{
    assert_accepted(*state, CHANGES({ "exp", "1000001" }));
    assert_accepted(*state, CHANGES({ "exp", "999991" }));
    assert_refused(*state, CHANGES({ "exp", "999990" }), ST_TOKEN_EXPIRED, "AF-63 exp");
    assert_refused(*state, CHANGES({ "exp", "0" }), ST_TOKEN_EXPIRED, "AF-63 exp");
}

static void tk53_times_in_the_future_are_refused(void **state)
{
    assert_accepted(*state, CHANGES({ "nbf", "1000010" }));
    assert_refused(*state, CHANGES({ "nbf", "1000011" }), ST_BAD_TOKEN, "TK-53");
    assert_accepted(*state, CHANGES({ "iat", "1000010" }));
    assert_refused(*state, CHANGES({ "iat", "1000011" }), ST_BAD_TOKEN, "TK-53");
    assert_refused(*state, CHANGES({ "nbf", "9007199254740992" }), ST_BAD_TOKEN, "TK-53");
}

static void a_longest_lifetime_can_be_configured(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    /* clang-format off */
    static const struct { const char *exp, *exi; enum status expected; } rows[] = {
        { "1000600", NULL,  ST_OK        },
        { "1000601", NULL,  ST_BAD_TOKEN },
        { NULL,      "600", ST_OK        },
        { NULL,      "601", ST_BAD_TOKEN },
        { "1000600", "601", ST_BAD_TOKEN },
    };
    /* clang-format on */

    fixture_config(f, &c);
    c.config.max_lifetime_s = 600;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        CLEANUP(buf_done)
        struct buf text;
        buf_init(&text, ROOM);
        fixture_token(f, CHANGES({ "exp", rows[i].exp }, { "exi", rows[i].exi }), &text);
        assert_int_equal(token_verify(buf_span(&text), v, now, &token, NULL), rows[i].expected);
    }
}

/* AF-75, AF-76: exi counts from first receipt and needs the sequence number in jti. */
static void af76_exi_needs_a_jti(void **state)
{
    assert_accepted(*state, CHANGES({ "exi", "60" }, { "exp", NULL }));
    assert_refused(*state, CHANGES({ "exi", "60" }, { "jti", NULL }), ST_BAD_TOKEN, "AF-76");
    assert_refused(*state, CHANGES({ "exi", "0" }), ST_TOKEN_EXPIRED, "AF-75");
}

/* AF-77: base64url(rs id | 8 bytes), the same length for every token of one RS. */
static void af77_the_sequence_number_survives_in_jti(void **state UNUSED)
{
    static const uint64_t numbers[] = { 0, 1, 255, 256, UINT32_MAX, UINT64_MAX };

    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        CLEANUP(buf_done)
        struct buf jti;
        uint64_t n = 42;
        buf_init(&jti, 256);
        assert_int_equal(token_exi_jti_write(SPAN("broker"), numbers[i], &jti), ST_OK);
        assert_int_equal(jti.len, 19);
        assert_int_equal(token_exi_jti_read(buf_span(&jti), SPAN("broker"), &n), ST_OK);
        assert_int_equal(n, numbers[i]);
        assert_int_equal(token_exi_jti_read(buf_span(&jti), SPAN("broke"), &n), ST_MALFORMED);
        assert_int_equal(token_exi_jti_read(buf_span(&jti), SPAN("Broker"), &n), ST_MALFORMED);
        assert_int_equal(token_exi_jti_read(span_cut(buf_span(&jti), 0, 18), SPAN("broker"), &n), ST_MALFORMED);
    }
    assert_int_equal(token_exi_jti_read(SPAN("token-1"), SPAN("broker"), &(uint64_t){ 0 }), ST_MALFORMED);
}

/* TK-8, TK-54: any element, the whole of it. */
static void tk54_the_audience_is_matched_exactly(void **state)
{
    static const char *const good[] = { "\"broker.example\"", "\"broker\"", "[\"broker\"]",
                                        "[\"x\",\"broker.example\"]" };
    static const char *const bad[] = { "\"other\"",
                                       "\"Broker.example\"",
                                       "\"broker.exampl\"",
                                       "\"broker.example \"",
                                       "\"broker.example/\"",
                                       "\"\"",
                                       "[]",
                                       "[\"other\"]",
                                       "[[\"broker\"]]",
                                       "[7,\"broker\"]",
                                       "7",
                                       "null",
                                       "{}",
                                       "{\"aud\":\"broker\"}" };

    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_accepted(*state, CHANGES({ "aud", good[i] }));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_refused(*state, CHANGES({ "aud", bad[i] }), ST_BAD_TOKEN, "AF-63 aud");
    assert_refused(*state, CHANGES({ "aud", NULL }), ST_BAD_TOKEN, "AF-63 aud");
}

/* D-20, MT-86: as the RFC writes it, as draft-06 did, and as text. */
static void d20_every_carriage_of_the_scope_is_read(void **state)
{
    const struct fixture *f = *state;
    static const char *const forms[] = { "[[\"topic1\",[\"pub\"]]]", "\"W1sidG9waWMxIixbInB1YiJdXV0\"",
                                         "\"[[\\\"topic1\\\",[\\\"pub\\\"]]]\"" };

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        CLEANUP(buf_done)
        struct buf text;
        buf_init(&text, ROOM);
        fixture_token(f, CHANGES({ "scope", forms[i] }), &text);
        assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
        assert_int_equal(scope_size(token->scope), 1);
        assert_true(scope_may_publish(token->scope, (struct topic_name){ SPAN("topic1") }));
    }
}

/* MT-83: no permissions, but a token. */
static void mt83_an_empty_or_absent_scope_permits_nothing(void **state)
{
    const struct fixture *f = *state;
    static const char *const forms[] = { "[]", "\"W10\"", "\"[]\"", NULL };

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        CLEANUP(buf_done)
        struct buf text;
        buf_init(&text, ROOM);
        fixture_token(f, CHANGES({ "scope", forms[i] }), &text);
        assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
        assert_true(scope_is_empty(token->scope));
    }
}

/* MT-87, AF-63 step 6. */
static void mt87_a_scope_not_understood_refuses_the_token(void **state)
{
    const struct fixture *f = *state;
    static const char *const forms[] = { "7",
                                         "null",
                                         "{}",
                                         "\"publish_topic\"",
                                         "[[\"a\",[\"admin\"]]]",
                                         "[[\"a#\",[\"pub\"]]]",
                                         "[[\"a\"]]",
                                         "[[7,[\"pub\"]]]",
                                         "[[\"a\",[]]]",
                                         "[[\"\",[\"pub\"]]]",
                                         "\"\"" };

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        CLEANUP(buf_done)
        struct buf text;
        struct token *token = NULL;
        buf_init(&text, ROOM);
        fixture_token(f, CHANGES({ "scope", forms[i] }), &text);
        assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_BAD_SCOPE);
        assert_null(token);
    }
}

/* AF-17, AF-19 */
static void af19_cnonce_is_base64url(void **state)
{
    static const char *const bad[] = { "7", "\"\"", "\"AQ==\"", "\"A+\"", "\"AB\"", "null", "[1]" };

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_refused(*state, CHANGES({ "cnonce", bad[i] }), ST_BAD_TOKEN, "AF-19");
}

static void af18_a_required_cnonce_must_be_there(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct why why;

    buf_init(&text, ROOM);
    fixture_config(f, &c);
    c.config.require_cnonce = true;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    fixture_token(f, NO_CHANGE, &text);
    assert_int_equal(token_verify(buf_span(&text), v, now, &token, &why), ST_BAD_TOKEN);
    assert_string_equal(why.clause, "AF-18");
    buf_reset(&text);
    fixture_token(f, CHANGES({ "cnonce", "\"AQID\"" }), &text);
    assert_int_equal(token_verify(buf_span(&text), v, now, &token, &why), ST_OK);
}

/* AF-94, TK-65: a token made for another profile. */
static void af94_only_the_mqtt_profile_is_taken(void **state)
{
    static const char *const good[] = { "\"mqtt_tls\"", "3", "\"3\"", NULL };
    static const char *const bad[] = {
        "\"coap_dtls\"", "\"coap_oscore\"", "1", "2", "\"MQTT_TLS\"", "\"\"", "null", "[3]", "3.0"
    };

    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_accepted(*state, CHANGES({ "ace_profile", good[i] }));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_refused(*state, CHANGES({ "ace_profile", bad[i] }), ST_BAD_TOKEN, "AF-94");
}

static void text_claims_of_another_kind_are_refused(void **state)
{
    assert_refused(*state, CHANGES({ "sub", "7" }), ST_MALFORMED, "AF-63 claims");
    assert_refused(*state, CHANGES({ "client_id", "[]" }), ST_MALFORMED, "AF-63 claims");
    assert_refused(*state, CHANGES({ "jti", "{}" }), ST_MALFORMED, "AF-63 claims");
    assert_refused(*state, CHANGES({ "iss", "7" }), ST_BAD_TOKEN, "AF-63 iss");
    assert_accepted(*state, CHANGES({ "sub", NULL }, { "client_id", NULL }, { "jti", NULL }, { "iat", NULL },
                                    { "iss", NULL }));
}

/* An issuer's whole side of a token. */
static struct token_claims issue_claims(const struct scope *scope, const struct key *cnf)
{
    return (struct token_claims){ .iss = SPAN(FIXTURE_ISS),
                                  .sub = SPAN("sensor-1"),
                                  .client_id = SPAN("sensor-1"),
                                  .aud = SPAN(FIXTURE_AUD),
                                  .jti = SPAN("j1"),
                                  .has_exp = true,
                                  .exp = { FIXTURE_NOW + 60 },
                                  .has_iat = true,
                                  .iat = now,
                                  .scope = scope,
                                  .cnf = cnf,
                                  .cnonce = SPAN("\x01\x02"),
                                  .ace_profile = true };
}

static struct scope *example_scope(void)
{
    struct scope *scope = NULL;
    assert_int_equal(scope_from_text(SPAN("[[\"a/#\",[\"pub\",\"sub\"]]]"), &scope, NULL), ST_OK);
    return scope;
}

static void assert_issued(const struct fixture *f, struct span text, const struct token_claims *claims)
{
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    struct why why = { 0 };

    if (fixture_verify(f, text, &token, &why) != ST_OK)
        fail_msg("refused: %s, %s", why.clause, why.text);
    assert_span_equal(token->iss, claims->iss);
    assert_span_equal(token->sub, claims->sub);
    assert_span_equal(token->client_id, claims->client_id);
    assert_span_equal(token->aud, claims->aud);
    assert_span_equal(token->jti, claims->jti);
    assert_span_equal(token->cnonce, claims->cnonce);
    assert_int_equal(token->exp.s, claims->exp.s);
    assert_int_equal(token->iat.s, claims->iat.s);
    assert_true(scope_same(token->scope, claims->scope));
    assert_true(key_same(token->cnf, claims->cnf));
    assert_true(key_kind(token->cnf) == KEY_SECRET || !key_is_private(token->cnf));
}

static void what_the_issuer_signs_the_verifier_reads(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(scope_unrefp)
    struct scope *scope = example_scope();
    static const enum key_kind kinds[] = { KEY_ED25519, KEY_P256 };

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        CLEANUP(key_unrefp)
        struct key *pop = NULL;
        CLEANUP(buf_done)
        struct buf text;
        buf_init(&text, ROOM);
        assert_int_equal(key_generate(kinds[i], &pop), ST_OK);
        struct token_claims claims = issue_claims(scope, pop);
        assert_int_equal(token_issue_jws(&claims, f->as, SPAN("as-1"), &text, NULL), ST_OK);
        assert_issued(f, buf_span(&text), &claims);
    }
}

static void what_the_issuer_encrypts_the_verifier_reads(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(scope_unrefp)
    struct scope *scope = example_scope();

    for (int nested = 0; nested <= 1; nested++) {
        CLEANUP(key_unrefp)
        struct key *pop = NULL;
        CLEANUP(buf_done)
        struct buf text;
        buf_init(&text, ROOM);
        assert_int_equal(key_generate(KEY_SECRET, &pop), ST_OK);
        struct token_claims claims = issue_claims(scope, pop);
        assert_int_equal(
            token_issue_jwe(&claims, nested ? f->as : NULL, SPAN("as-1"), f->shared, SPAN("rs-1"), &text, NULL),
            ST_OK);
        assert_issued(f, buf_span(&text), &claims);
    }
}

/* The issuer's own duties: MT-14, TK-1, TK-52, TK-58, AF-76. */
static void what_an_issuer_must_not_do_is_refused(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(scope_unrefp)
    struct scope *scope = example_scope();
    CLEANUP(key_unrefp)
    struct key *secret = NULL;
    CLEANUP(key_unrefp)
    struct key *pair = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct token_claims claims;
    struct why why;

    buf_init(&text, ROOM);
    assert_int_equal(key_generate(KEY_SECRET, &secret), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &pair), ST_OK);
    claims = issue_claims(scope, secret);
    assert_int_equal(token_issue_jws(&claims, f->as, SPAN("as-1"), &text, &why), ST_BAD_POP_KEY);
    assert_string_equal(why.clause, "MT-14");
    claims = issue_claims(scope, NULL);
    assert_int_equal(token_issue_jws(&claims, f->as, SPAN("as-1"), &text, &why), ST_BAD_POP_KEY);
    claims = issue_claims(scope, f->as);
    assert_int_equal(token_issue_jws(&claims, f->as, SPAN("as-1"), &text, &why), ST_BAD_POP_KEY);
    assert_string_equal(why.clause, "TK-58");
    claims = issue_claims(scope, f->shared);
    assert_int_equal(token_issue_jwe(&claims, NULL, SPAN_NONE, f->shared, SPAN("rs-1"), &text, &why),
                     ST_BAD_POP_KEY);
    assert_string_equal(why.clause, "TK-58");
    claims = issue_claims(scope, secret);
    assert_int_equal(token_issue_jwe(&claims, NULL, SPAN_NONE, f->as, SPAN("rs-1"), &text, &why),
                     ST_BAD_POP_KEY);
    claims = issue_claims(scope, pair);
    claims.has_exp = false;
    assert_int_equal(token_issue_jws(&claims, f->as, SPAN("as-1"), &text, &why), ST_INTERNAL);
    claims.has_exi = true;
    claims.jti = SPAN_NONE;
    assert_int_equal(token_issue_jws(&claims, f->as, SPAN("as-1"), &text, &why), ST_INTERNAL);
    assert_string_equal(why.clause, "AF-76");
    assert_int_equal(text.len, 0);
}

static enum status introspect(const struct fixture *f, const char *body, struct token **ret, struct why *why)
{
    return token_from_introspection(span_of_str(body), SPAN("reference-1"), SPAN(FIXTURE_ISS), f->verifier, now,
                                    ret, why);
}

static void assert_answer_refused(const struct fixture *f, const char *body, enum status expected,
                                  const char *clause)
{
    struct token *token = NULL;
    struct why why = { 0 };

    assert_int_equal(introspect(f, body, &token, &why), expected);
    assert_null(token);
    assert_string_equal(why.clause, clause);
}

/* AF-45, AF-84: what the AS answers, the RS reads; a secret is fine, the channel protects it. */
static void an_introspection_answer_becomes_a_token(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(scope_unrefp)
    struct scope *scope = example_scope();
    static const enum key_kind kinds[] = { KEY_SECRET, KEY_ED25519, KEY_P256 };

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        CLEANUP(key_unrefp)
        struct key *pop = NULL;
        CLEANUP(js_unrefp)
        struct js *js = NULL;
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        CLEANUP(buf_done)
        struct buf body;
        buf_init(&body, ROOM);
        assert_int_equal(key_generate(kinds[i], &pop), ST_OK);
        struct token_claims claims = issue_claims(scope, pop);
        assert_int_equal(token_introspection_js(&claims, &js), ST_OK);
        assert_int_equal(js_print(js, &body), ST_OK);
        put_u8(&body, 0);
        assert_int_equal(introspect(f, (const char *)body.p, &token, NULL), ST_OK);
        assert_true(token->by_introspection);
        assert_true(key_same(token->cnf, pop));
        assert_true(scope_same(token->scope, scope));
        assert_span_equal(token->cnonce, claims.cnonce);
    }
}

#define ANSWER "\"aud\":\"broker\",\"exp\":1000600,\"cnf\":{\"jwk\":" FIXTURE_CNF_JWK "}"

static void tk65_introspection_answers_that_do_not_vouch_are_refused(void **state)
{
    const struct fixture *f = *state;
    struct token *token = NULL;
    struct why why;

    assert_answer_refused(f, "{\"active\":false}", ST_BAD_TOKEN, "AF-83");
    assert_answer_refused(f, "{\"active\":false," ANSWER "}", ST_BAD_TOKEN, "AF-83");
    assert_answer_refused(f, "{\"active\":\"true\"," ANSWER "}", ST_MALFORMED, "RFC 7662 2.2");
    assert_answer_refused(f, "{\"active\":1," ANSWER "}", ST_MALFORMED, "RFC 7662 2.2");
    assert_answer_refused(f, "{" ANSWER "}", ST_MALFORMED, "RFC 7662 2.2");
    assert_answer_refused(f, "[true]", ST_MALFORMED, "RFC 7662 2.2");
    assert_answer_refused(f, "{\"active\":true,\"active\":true," ANSWER "}", ST_MALFORMED, "TK-48");
    assert_answer_refused(f, "{\"active\":true,\"token_type\":\"Bearer\"," ANSWER "}", ST_BAD_TOKEN, "AF-37");
    assert_answer_refused(f, "{\"active\":true,\"token_type\":7," ANSWER "}", ST_BAD_TOKEN, "AF-37");
    assert_answer_refused(f, "{\"active\":true,\"token_type\":\"\"," ANSWER "}", ST_BAD_TOKEN, "AF-37");
    assert_answer_refused(f, "{\"active\":true,\"token_type\":\"pot\"," ANSWER "}", ST_BAD_TOKEN, "AF-37");
    assert_answer_refused(f, "{\"active\":true,\"iss\":\"https://as2.example\"," ANSWER "}", ST_BAD_TOKEN,
                          "AF-63 iss");
    assert_answer_refused(f, "{\"active\":true,\"exp\":1000600,\"aud\":\"broker\"}", ST_BAD_TOKEN, "TK-1");
    assert_answer_refused(f, "{\"active\":true,\"exp\":1000600,\"cnf\":{\"jwk\":" FIXTURE_CNF_JWK "}}",
                          ST_BAD_TOKEN, "AF-63 aud");
    assert_answer_refused(f, "{\"active\":true,\"ace_profile\":\"coap_dtls\"," ANSWER "}", ST_BAD_TOKEN,
                          "AF-94");
    assert_int_equal(token_from_introspection(SPAN("{\"active\":true," ANSWER "}"), SPAN("r"),
                                              SPAN("https://as3.example"), f->verifier, now, &token, &why),
                     ST_BAD_TOKEN);
    assert_string_equal(why.clause, "TK-65");
    assert_int_equal(introspect(f, "{\"active\":true,\"token_type\":\"pop\"," ANSWER "}", &token, NULL), ST_OK);
    token_unref(token);
}

/* MT-73: the same token is recognised by its hash, another has another. */
static void mt73_the_hash_tells_tokens_apart(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(token_unrefp)
    struct token *a = NULL;
    CLEANUP(token_unrefp)
    struct token *b = NULL;
    CLEANUP(token_unrefp)
    struct token *c = NULL;
    CLEANUP(buf_done)
    struct buf one;
    CLEANUP(buf_done)
    struct buf two;

    buf_init(&one, ROOM);
    buf_init(&two, ROOM);
    fixture_token(f, NO_CHANGE, &one);
    fixture_token(f, CHANGES({ "jti", "\"token-2\"" }), &two);
    assert_int_equal(fixture_verify(f, buf_span(&one), &a, NULL), ST_OK);
    assert_int_equal(fixture_verify(f, buf_span(&one), &b, NULL), ST_OK);
    assert_int_equal(fixture_verify(f, buf_span(&two), &c, NULL), ST_OK);
    assert_memory_equal(a->hash, b->hash, TOKEN_HASH_LEN);
    assert_memory_not_equal(a->hash, c->hash, TOKEN_HASH_LEN);
    struct token *again = token_ref(a);
    token_unref(again);
    token_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tk48_a_claim_twice_is_refused),
        cmocka_unit_test(tk52_times_that_are_no_whole_numbers_are_refused),
        cmocka_unit_test(tk52_a_token_without_end_is_refused_unless_configured),
        cmocka_unit_test(exp_ends_a_token_to_the_second),
        cmocka_unit_test(tk53_times_in_the_future_are_refused),
        cmocka_unit_test(a_longest_lifetime_can_be_configured),
        cmocka_unit_test(af76_exi_needs_a_jti),
        cmocka_unit_test(af77_the_sequence_number_survives_in_jti),
        cmocka_unit_test(tk54_the_audience_is_matched_exactly),
        cmocka_unit_test(d20_every_carriage_of_the_scope_is_read),
        cmocka_unit_test(mt83_an_empty_or_absent_scope_permits_nothing),
        cmocka_unit_test(mt87_a_scope_not_understood_refuses_the_token),
        cmocka_unit_test(af19_cnonce_is_base64url),
        cmocka_unit_test(af18_a_required_cnonce_must_be_there),
        cmocka_unit_test(af94_only_the_mqtt_profile_is_taken),
        cmocka_unit_test(text_claims_of_another_kind_are_refused),
        cmocka_unit_test(what_the_issuer_signs_the_verifier_reads),
        cmocka_unit_test(what_the_issuer_encrypts_the_verifier_reads),
        cmocka_unit_test(what_an_issuer_must_not_do_is_refused),
        cmocka_unit_test(an_introspection_answer_becomes_a_token),
        cmocka_unit_test(tk65_introspection_answers_that_do_not_vouch_are_refused),
        cmocka_unit_test(mt73_the_hash_tells_tokens_apart),
    };
    return cmocka_run_group_tests_name("token_claims", tests, fixture_setup, fixture_teardown);
}
