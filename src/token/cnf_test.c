/* Confirmation keys: the attacks of tokens.md section 7 on cnf, in the clear and encrypted. */
#include "jose/jwe.h"
#include "token/fixture_priv.h"

/* TK-1, TK-2: exactly one key that we can use; anything else named beside it is ignored. */
static void tk2_a_token_without_usable_key_is_refused(void **state)
{
    static const char *const none[] = { "{}", "{\"jku\":\"https://attacker.example/\"}", "{\"jwe\":7}",
                                        "{\"osc\":{}}",
                                        "{\"jkt\":\"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k\"}" };
    static const char *const no_object[] = { "7", "null", "\"x\"", "[]" };

    for (size_t i = 0; i < COUNT_OF(none); i++)
        assert_refused(*state, CHANGES({ "cnf", none[i] }), ST_BAD_TOKEN, "TK-2");
    for (size_t i = 0; i < COUNT_OF(no_object); i++)
        assert_refused(*state, CHANGES({ "cnf", no_object[i] }), ST_BAD_TOKEN, "TK-1");
    assert_refused(*state, CHANGES({ "cnf", NULL }), ST_BAD_TOKEN, "TK-1");
    assert_accepted(*state, CHANGES({ "cnf", "{\"jwk\":" FIXTURE_CNF_JWK
                                             ",\"kid\":\"k\",\"jku\":\"https://x\",\"new\":1}" }));
}

static struct token *accept(const struct fixture *f, const char *cnf)
{
    CLEANUP(buf_done)
    struct buf text;
    struct token *token = NULL;

    buf_init(&text, ROOM);
    fixture_token(f, CHANGES({ "cnf", cnf }), &text);
    assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
    return token;
}

/* TK-6, TK-20 (RFC 7800 3.4): whoever knows the key can complete the token. */
static void tk6_a_kid_alone_names_a_key_known_elsewhere(void **state)
{
    const struct fixture *f = *state;
    static const uint8_t zeros[TOKEN_HASH_LEN];
    CLEANUP(token_unrefp)
    struct token *token = accept(f, "{\"kid\":\"k-1\"}");
    CLEANUP(token_unrefp)
    struct token *bound = NULL;
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    uint8_t thumbprint[JWK_THUMBPRINT_LEN];

    assert_int_equal(token->cnf_how, TOKEN_CNF_KID);
    assert_null(token->cnf);
    assert_span_equal(token->cnf_kid, SPAN("k-1"));
    assert_memory_equal(token->cnf_thumbprint, zeros, sizeof zeros);

    assert_int_equal(key_generate(KEY_SECRET, &key), ST_OK);
    assert_int_equal(token_bind_key(token, key, &bound), ST_OK);
    assert_int_equal(bound->cnf_how, TOKEN_CNF_KEY);
    assert_true(key_same(bound->cnf, key));
    assert_span_equal(bound->cnf_kid, SPAN("k-1"));
    assert_span_equal(bound->sub, SPAN("sensor-1"));
    assert_memory_equal(bound->hash, token->hash, sizeof token->hash);
    assert_int_equal(jwk_thumbprint(key, thumbprint), ST_OK);
    assert_memory_equal(bound->cnf_thumbprint, thumbprint, sizeof thumbprint);
    assert_int_equal(token->cnf_how, TOKEN_CNF_KID); /* the former is as it was */
}

static void a_kid_in_json_may_stand_for_bytes(void **state)
{
    CLEANUP(token_unrefp)
    struct token *token = accept(*state, "{\"kid\":\"base64url:AP8\"}");

    assert_span_equal(token->cnf_kid, SPAN("\x00\xff"));
}

/* RFC 8705 3.1 */
static void a_certificate_can_be_what_the_holder_proves(void **state)
{
    CLEANUP(token_unrefp)
    struct token *token = accept(*state, "{\"x5t#S256\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}");

    assert_int_equal(token->cnf_how, TOKEN_CNF_X5T);
    assert_null(token->cnf);
    for (size_t i = 0; i < TOKEN_HASH_LEN; i++)
        assert_int_equal(token->cnf_thumbprint[i], i);
    assert_refused(*state, CHANGES({ "cnf", "{\"x5t#S256\":\"AAAA\"}" }), ST_BAD_TOKEN, "RFC 8705 3.1");
    assert_refused(*state, CHANGES({ "cnf", "{\"x5t#S256\":7}" }), ST_BAD_TOKEN, "RFC 8705 3.1");
}

static void the_kid_beside_a_key_must_be_its_own(void **state)
{
    CLEANUP(token_unrefp)
    struct token *named = accept(*state, "{\"jwk\":" FIXTURE_CNF_JWK ",\"kid\":\"k\"}");
    CLEANUP(token_unrefp)
    struct token *twice =
        accept(*state, "{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\","
                       "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},\"kid\":\"k\"}");

    assert_span_equal(named->cnf_kid, SPAN("k"));
    assert_span_equal(twice->cnf_kid, SPAN("k"));
    assert_int_equal(twice->cnf_how, TOKEN_CNF_KEY);
    assert_refused(*state,
                   CHANGES({ "cnf", "{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\","
                                    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},\"kid\":\"l\"}" }),
                   ST_BAD_TOKEN, "TK-2");
    assert_refused(*state, CHANGES({ "cnf", "{\"kid\":7}" }), ST_BAD_TOKEN, "TK-6");
    assert_refused(*state, CHANGES({ "cnf", "{\"kid\":\"\"}" }), ST_BAD_TOKEN, "TK-6");
}

static void tk45_a_long_kid_is_refused(void **state)
{
    char cnf[700];
    int len = snprintf(cnf, sizeof cnf, "{\"kid\":\"%0513d\"}", 1);

    assert_true(len > 0 && (size_t)len < sizeof cnf);
    assert_refused(*state, CHANGES({ "cnf", cnf }), ST_BAD_TOKEN, "TK-45");
}

/* MT-13, D-31: draft-06 lets a token hold rs_cnf; RFC 9201 knows it in responses only. Not looked at. */
static void mt13_rs_cnf_in_a_token_is_ignored(void **state)
{
    assert_accepted(*state, CHANGES({ "rs_cnf", "{\"jwk\":" FIXTURE_OCT_JWK "}" }));
    assert_accepted(*state, CHANGES({ "rs_cnf", "7" }));
}

static void tk55_a_symmetric_key_in_a_signed_token_is_refused(void **state)
{
    assert_refused(*state, CHANGES({ "cnf", "{\"jwk\":" FIXTURE_OCT_JWK "}" }), ST_BAD_TOKEN, "TK-55");
}

static void tk56_two_keys_or_a_private_one_are_refused(void **state)
{
    assert_refused(*state, CHANGES({ "cnf", "{\"jwk\":" FIXTURE_CNF_JWK ",\"jwe\":\"a.b.c.d.e\"}" }),
                   ST_BAD_TOKEN, "TK-56");
    assert_refused(*state,
                   CHANGES({ "cnf", "{\"jwk\":" FIXTURE_CNF_JWK
                                    ",\"x5t#S256\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}" }),
                   ST_BAD_TOKEN, "TK-56");
    assert_refused(
        *state,
        CHANGES({ "cnf", "{\"kid\":\"k\",\"x5t#S256\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}" }),
        ST_BAD_TOKEN, "TK-56");
    assert_refused(*state,
                   CHANGES({ "cnf", "{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                                    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\","
                                    "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"}}" }),
                   ST_BAD_TOKEN, "TK-56");
}

#define ED_MEMBERS "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""

/* TK-57, AF-46 */
static void tk57_a_key_whose_members_forbid_proving_is_refused(void **state)
{
    static const char *const bad[] = {
        "\"use\":\"enc\"", "\"key_ops\":[\"sign\"]", "\"key_ops\":[\"deriveKey\"]",
        "\"key_ops\":[]",  "\"alg\":\"ES256\"",      "\"alg\":\"HS256\"",
        "\"alg\":\"none\""
    };
    static const char *const good[] = { "\"use\":\"sig\"", "\"key_ops\":[\"verify\"]",
                                        "\"key_ops\":[\"sign\",\"verify\"]", "\"alg\":\"EdDSA\"",
                                        "\"kid\":\"x\"" };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char cnf[256];
        (void)snprintf(cnf, sizeof(cnf), "{\"jwk\":{" ED_MEMBERS ",%s}}", bad[i]);
        assert_refused(*state, CHANGES({ "cnf", cnf }), ST_BAD_TOKEN, "TK-57");
    }
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        char cnf[256];
        (void)snprintf(cnf, sizeof(cnf), "{\"jwk\":{" ED_MEMBERS ",%s}}", good[i]);
        assert_accepted(*state, CHANGES({ "cnf", cnf }));
    }
}

static void a_key_of_a_kind_not_spoken_is_refused(void **state)
{
    assert_refused(*state, CHANGES({ "cnf", "{\"jwk\":{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}}" }),
                   ST_BAD_TOKEN, "MT-64");
    assert_refused(*state, CHANGES({ "cnf", "{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}}" }),
                   ST_BAD_TOKEN, "tokens.md 4");
    assert_refused(*state, CHANGES({ "cnf", "{\"jwk\":{}}" }), ST_BAD_TOKEN, "RFC 7517 4.1");
    assert_refused(*state, CHANGES({ "cnf", "{\"jwk\":\"x\"}" }), ST_BAD_TOKEN, "RFC 7517 4.1");
}

/* TK-58: no key that protects tokens, of whichever issuer. */
static void tk58_a_key_that_protects_tokens_is_no_pop_key(void **state)
{
    const struct fixture *f = *state;
    const struct key *keys[] = { f->as, f->as_two, f->as_p256, f->mac, f->shared, f->shared_two };

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        CLEANUP(js_unrefp)
        struct js *jwk = NULL;
        CLEANUP(buf_done)
        struct buf cnf;
        CLEANUP(buf_done)
        struct buf claims;
        CLEANUP(buf_done)
        struct buf text;
        buf_init(&cnf, 1024);
        buf_init(&claims, ROOM);
        buf_init(&text, ROOM);
        assert_int_equal(jwk_print(keys[i], SPAN_NONE, NULL, false, &jwk), ST_OK);
        put_str(&cnf, "{\"jwk\":");
        assert_int_equal(js_print(jwk, &cnf), ST_OK);
        put_bytes(&cnf, SPAN("}\0"));
        fixture_claims(CHANGES({ "cnf", (const char *)cnf.p }), &claims);
        fixture_encrypt(f->shared, "rs-1", NULL, buf_span(&claims), &text);
        assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "TK-58");
    }
}

/* cnf of a signed token with the key as a JWE to us (TK-20, RFC 7800 3.3). */
static enum status verify_cnf_jwe(const struct fixture *f, const struct key *key, const char *kid,
                                  const char *jwk, struct token **ret, struct why *why)
{
    CLEANUP(buf_done)
    struct buf cnf;
    CLEANUP(buf_done)
    struct buf text;
    bool small = key_secret(key).len == 16;

    buf_init(&cnf, 4096);
    buf_init(&text, ROOM);
    put_str(&cnf, "{\"jwe\":\"");
    assert_int_equal(jwe_encrypt(small ? JWE_A128KW : JWE_A256KW, JWE_A256GCM, key, span_of_str(kid), SPAN_NONE,
                                 SPAN_NONE, span_of_str(jwk), &cnf),
                     ST_OK);
    put_bytes(&cnf, SPAN("\"}\0"));
    fixture_token(f, CHANGES({ "cnf", (const char *)cnf.p }), &text);
    return fixture_verify(f, buf_span(&text), ret, why);
}

static void tk20_an_encrypted_key_in_a_signed_token_is_taken(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(token_unrefp)
    struct token *token = NULL;

    assert_int_equal(verify_cnf_jwe(f, f->shared, "rs-1", FIXTURE_OCT_JWK, &token, NULL), ST_OK);
    assert_int_equal(key_kind(token->cnf), KEY_SECRET);
    assert_false(token->encrypted);
}

static void tk20_an_encrypted_key_of_another_issuer_or_none_is_refused(void **state)
{
    const struct fixture *f = *state;
    struct token *token = NULL;
    struct why why;

    assert_int_equal(verify_cnf_jwe(f, f->shared_two, "rs-2", FIXTURE_OCT_JWK, &token, &why), ST_BAD_TOKEN);
    assert_string_equal(why.clause, "TK-44 shared key");
    assert_int_equal(verify_cnf_jwe(f, f->shared, "rs-1", "[]", &token, &why), ST_BAD_TOKEN);
    assert_int_equal(verify_cnf_jwe(f, f->shared, "rs-1", "not json", &token, &why), ST_BAD_TOKEN);
    assert_refused(f, CHANGES({ "cnf", "{\"jwe\":\"a.b.c\"}" }), ST_BAD_TOKEN, "RFC 7516 7.1");
}

static void short_pop_secrets_are_refused(void **state)
{
    const struct fixture *f = *state;
    struct token *token = NULL;
    struct why why;

    assert_int_equal(
        verify_cnf_jwe(f, f->shared, "rs-1", "{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0O\"}", &token, &why),
        ST_BAD_TOKEN);
    assert_string_equal(why.clause, "tokens.md 4");
    assert_int_equal(verify_cnf_jwe(f, f->shared, "rs-1", "{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODw\"}",
                                    &token, &why),
                     ST_OK);
    token_unref(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tk2_a_token_without_usable_key_is_refused),
        cmocka_unit_test(tk6_a_kid_alone_names_a_key_known_elsewhere),
        cmocka_unit_test(a_kid_in_json_may_stand_for_bytes),
        cmocka_unit_test(a_certificate_can_be_what_the_holder_proves),
        cmocka_unit_test(the_kid_beside_a_key_must_be_its_own),
        cmocka_unit_test(tk45_a_long_kid_is_refused),
        cmocka_unit_test(mt13_rs_cnf_in_a_token_is_ignored),
        cmocka_unit_test(tk55_a_symmetric_key_in_a_signed_token_is_refused),
        cmocka_unit_test(tk56_two_keys_or_a_private_one_are_refused),
        cmocka_unit_test(tk57_a_key_whose_members_forbid_proving_is_refused),
        cmocka_unit_test(a_key_of_a_kind_not_spoken_is_refused),
        cmocka_unit_test(tk58_a_key_that_protects_tokens_is_no_pop_key),
        cmocka_unit_test(tk20_an_encrypted_key_in_a_signed_token_is_taken),
        cmocka_unit_test(tk20_an_encrypted_key_of_another_issuer_or_none_is_refused),
        cmocka_unit_test(short_pop_secrets_are_refused),
    };
    return cmocka_run_group_tests_name("token_cnf", tests, fixture_setup, fixture_teardown);
}
