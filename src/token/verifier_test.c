/* Encrypted tokens (MT-14, TK-20 to TK-22, TK-62), and what a verifier is made of. */
#include "token/fixture_priv.h"

/* MT-14, TK-20, TK-21, TK-22: a symmetric key inside, encrypted under the key AS and RS share. */
static void mt14_an_encrypted_token_may_hold_a_symmetric_key(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf claims;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(token_unrefp)
    struct token *token = NULL;

    buf_init(&claims, ROOM);
    buf_init(&text, ROOM);
    fixture_claims(CHANGES({ "cnf", "{\"jwk\":" FIXTURE_OCT_JWK "}" }, { "iss", NULL }), &claims);
    fixture_encrypt(f->shared, "rs-1", NULL, buf_span(&claims), &text);
    assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
    assert_int_equal(key_kind(token->cnf), KEY_SECRET);
    assert_true(token->encrypted);
    assert_span_equal(token->iss, SPAN(FIXTURE_ISS));
}

static void a_signed_token_may_be_encrypted(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf inner;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(token_unrefp)
    struct token *token = NULL;

    buf_init(&inner, ROOM);
    buf_init(&text, ROOM);
    fixture_token(f, CHANGES({ "cnf", "{\"jwk\":" FIXTURE_OCT_JWK "}" }), &inner);
    fixture_encrypt(f->shared, "rs-1", "JWT", buf_span(&inner), &text);
    assert_int_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
    assert_true(token->encrypted);
}

/* AF-63 step 1: what as2.example encrypts is not thereby as.example's, and the reverse. */
static void layers_of_two_issuers_are_refused(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf inner;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&inner, ROOM);
    buf_init(&text, ROOM);
    fixture_token(f, NO_CHANGE, &inner);
    fixture_encrypt(f->shared_two, "rs-2", "JWT", buf_span(&inner), &text);
    assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "AF-63 wrapper");
}

static void what_is_inside_must_be_what_cty_says(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf inner;
    CLEANUP(buf_done)
    struct buf claims;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&inner, ROOM);
    buf_init(&claims, ROOM);
    buf_init(&text, ROOM);
    fixture_token(f, NO_CHANGE, &inner);
    fixture_encrypt(f->shared, "rs-1", "example", buf_span(&inner), &text);
    assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "RFC 7519 5.2");
    buf_reset(&text);
    fixture_claims(NO_CHANGE, &claims);
    fixture_encrypt(f->shared, "rs-1", "JWT", buf_span(&claims), &text);
    assert_text_refused(f, buf_span(&text), ST_MALFORMED, "RFC 7519 7.2");
    buf_reset(&text);
    fixture_encrypt(f->shared, "rs-1", NULL, buf_span(&inner), &text); /* a JWT, but not announced: no JSON */
    assert_int_equal(fixture_verify(f, buf_span(&text), &(struct token *){ NULL }, NULL), ST_MALFORMED);
}

static void tk62_an_encrypted_token_under_other_keys_or_headers_is_refused(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(key_unrefp)
    struct key *other = NULL;
    CLEANUP(buf_done)
    struct buf claims;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&claims, ROOM);
    buf_init(&text, ROOM);
    fixture_claims(NO_CHANGE, &claims);
    assert_int_equal(key_generate(KEY_SECRET, &other), ST_OK);
    fixture_encrypt(other, "rs-1", NULL, buf_span(&claims), &text);
    assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "RFC 7516 5.2");
    buf_reset(&text);
    fixture_encrypt(f->shared, "rs-9", NULL, buf_span(&claims), &text);
    assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "TK-44 shared key");
    buf_reset(&text);
    fixture_encrypt(f->shared_two, "rs-1", NULL, buf_span(&claims), &text);
    assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "TK-41");
    buf_reset(&text);
    base64url_encode(
        SPAN("{\"alg\":\"PBES2-HS256+A128KW\",\"enc\":\"A128GCM\",\"p2s\":\"AAAA\",\"p2c\":4294967295}"),
        &text);
    put_str(&text, ".AAAA.AAAA.AAAA.AAAA");
    assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "TK-62");
    buf_reset(&text);
    base64url_encode(SPAN("{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"kid\":\"rs-1\",\"zip\":\"DEF\"}"), &text);
    put_str(&text, "..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA");
    assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, "TK-62");
}

/* TK-62: every way to cut the tag or the IV of a real token. */
static void tk62_cut_ciphertexts_are_refused(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf claims;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&claims, ROOM);
    buf_init(&text, ROOM);
    fixture_claims(NO_CHANGE, &claims);
    fixture_encrypt(f->shared, "rs-1", NULL, buf_span(&claims), &text);
    for (size_t len = 0; len < text.len; len++) {
        struct token *token = NULL;
        assert_int_not_equal(fixture_verify(f, span_cut(buf_span(&text), 0, len), &token, NULL), ST_OK);
    }
    for (size_t byte = 0; byte < text.len; byte++) {
        struct token *token = NULL;
        text.p[byte] ^= 1;
        assert_int_not_equal(fixture_verify(f, buf_span(&text), &token, NULL), ST_OK);
        text.p[byte] ^= 1;
    }
}

static void wrong_configurations_are_refused(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(key_unrefp)
    struct key *odd = NULL;
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    struct verifier_config wrong;
    struct verifier *v = NULL;

    fixture_config(f, &c);
    assert_int_equal(key_new_secret(SPAN("seventeen bytes.."), &odd, NULL), ST_OK);
    wrong = c.config;
    wrong.n_issuers = 0;
    assert_int_equal(verifier_new(&wrong, &v, NULL), ST_QUOTA);
    wrong.n_issuers = VERIFIER_MAX_ISSUERS + 1;
    assert_int_equal(verifier_new(&wrong, &v, NULL), ST_QUOTA);
    wrong = c.config;
    wrong.n_audiences = 0;
    assert_int_equal(verifier_new(&wrong, &v, NULL), ST_QUOTA);
    wrong.n_audiences = VERIFIER_MAX_AUDIENCES + 1;
    assert_int_equal(verifier_new(&wrong, &v, NULL), ST_QUOTA);
    wrong = c.config;
    wrong.n_shared_keys = VERIFIER_MAX_KEYS + 1;
    assert_int_equal(verifier_new(&wrong, &v, NULL), ST_QUOTA);
    const struct span none[] = { SPAN("broker"), SPAN("") };
    wrong = c.config;
    wrong.audiences = none;
    wrong.n_audiences = COUNT_OF(none);
    assert_int_equal(verifier_new(&wrong, &v, NULL), ST_MALFORMED);
    const struct verifier_issuer nameless = { .iss = SPAN("") };
    wrong = c.config;
    wrong.issuers = &nameless;
    wrong.n_issuers = 1;
    assert_int_equal(verifier_new(&wrong, &v, NULL), ST_MALFORMED);
    c.shared[1].key = odd;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_BAD_POP_KEY);
    c.shared[1].key = f->as;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_BAD_POP_KEY);
    c.shared[1] = (struct verifier_shared_key){ SPAN("https://as3.example"), SPAN("x"), f->shared };
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_NOT_FOUND);
    c.shared[1] = (struct verifier_shared_key){ SPAN("https://as2.example"), SPAN("rs-1"), f->mac };
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_EXISTS); /* 32 bytes and "rs-1" twice: TK-44 */
    c.issuers[1].iss = SPAN(FIXTURE_ISS);
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_EXISTS);
    assert_null(v);
}

static enum status verify_aud(const struct fixture *f, const struct verifier *v, bool second, const char *aud)
{
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(token_unrefp)
    struct token *token = NULL;

    buf_init(&text, ROOM);
    fixture_sign_claims(
        second ? "{\"alg\":\"EdDSA\",\"kid\":\"as-2\"}" : FIXTURE_HEADER,
        CHANGES({ "aud", aud }, { "iss", second ? "\"https://as2.example\"" : "\"" FIXTURE_ISS "\"" }),
        second ? f->as_two : f->as, &text);
    return token_verify(buf_span(&text), v, (struct wall_time){ FIXTURE_NOW }, &token, NULL);
}

/* AF-63 step 5, TK-54: what one authorization server calls us, another does not. */
static void an_issuer_may_have_audiences_of_its_own(void **state)
{
    const struct fixture *f = *state;
    const struct span own[] = { SPAN("urn:second"), SPAN("urn:third") };
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    CLEANUP(verifier_unrefp)
    struct verifier *refreshed = NULL;

    fixture_config(f, &c);
    c.issuers[1].audiences = own;
    c.issuers[1].n_audiences = 2;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    assert_int_equal(verify_aud(f, v, false, "\"broker\""), ST_OK);
    assert_int_equal(verify_aud(f, v, false, "\"urn:second\""), ST_BAD_TOKEN);
    assert_int_equal(verify_aud(f, v, true, "\"urn:second\""), ST_OK);
    assert_int_equal(verify_aud(f, v, true, "[\"x\",\"urn:third\"]"), ST_OK);
    assert_int_equal(verify_aud(f, v, true, "\"broker\""), ST_BAD_TOKEN);
    /* they outlive the former verifier */
    assert_int_equal(verifier_with_jwks(v, SPAN(FIXTURE_ISS), c.issuers[0].jwks, &refreshed), ST_OK);
    verifier_unrefp(&v);
    assert_int_equal(verify_aud(f, refreshed, true, "\"urn:third\""), ST_OK);

    c.config.n_audiences = 0;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_QUOTA); /* the first has none then */
    c.issuers[0].audiences = own;
    c.issuers[0].n_audiences = 1;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    c.issuers[0].n_audiences = VERIFIER_MAX_AUDIENCES + 1;
    verifier_unrefp(&v);
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_QUOTA);
}

/* What bytes look like before anything is believed (D-30). */
static void d30_forms_are_told_by_their_first_bytes(void **state UNUSED)
{
    static const struct {
        struct span bytes;
        enum token_form form;
    } rows[] = {
        { SPAN("eyJ.a.b"), TOKEN_FORM_JWS },
        { SPAN("eyJ.a.b.c.d"), TOKEN_FORM_JWE },
        { SPAN("eyJ.a.b.c"), TOKEN_FORM_REFERENCE },
        { SPAN("a-reference"), TOKEN_FORM_REFERENCE },
        { SPAN("\xd8\x3d\xd2\x84"), TOKEN_FORM_COSE },
        { SPAN("\xd2\x84"), TOKEN_FORM_COSE },
        { SPAN("\xd1\x84"), TOKEN_FORM_COSE },
        { SPAN("\xd0\x83"), TOKEN_FORM_COSE },
        { SPAN("\x83"), TOKEN_FORM_COSE },
        { SPAN("\x84"), TOKEN_FORM_COSE },
        { SPAN("\xa1\x08\xa1"), TOKEN_FORM_OTHER }, /* a cnf map: a PSK identity, but no token */
        { SPAN(""), TOKEN_FORM_OTHER },
        { SPAN("a\0b"), TOKEN_FORM_OTHER },
        { SPAN("\xff"), TOKEN_FORM_OTHER },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(token_form(rows[i].bytes), rows[i].form);
}

/* A JWKS refresh: the new verifier knows the new key, the old one stays as it was. */
static void a_refreshed_key_set_makes_another_verifier(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(key_unrefp)
    struct key *next = NULL;
    CLEANUP(jwks_unrefp)
    struct jwks *jwks = NULL;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct wall_time now = { FIXTURE_NOW };

    buf_init(&text, ROOM);
    assert_int_equal(key_generate(KEY_ED25519, &next), ST_OK);
    assert_int_equal(jwks_make(&(struct jwk){ next, SPAN("as-next"), SPAN_NONE, UINT32_MAX }, 1, &jwks), ST_OK);
    assert_int_equal(verifier_with_jwks(f->verifier, SPAN("https://nobody"), jwks, &v), ST_NOT_FOUND);
    assert_int_equal(verifier_with_jwks(f->verifier, SPAN(FIXTURE_ISS), jwks, &v), ST_OK);
    fixture_sign_claims("{\"alg\":\"EdDSA\",\"kid\":\"as-next\"}", NO_CHANGE, next, &text);
    assert_text_refused(f, buf_span(&text), ST_BAD_TOKEN, TOKEN_CLAUSE_KEY_UNKNOWN);
    assert_int_equal(token_verify(buf_span(&text), v, now, &token, NULL), ST_OK);
    buf_reset(&text);
    token_unrefp(&token);
    fixture_token(f, NO_CHANGE, &text);
    assert_int_equal(token_verify(buf_span(&text), v, now, &token, NULL), ST_BAD_TOKEN); /* rotated away */
}

/* TK-44: as2.example signs with a kid that as.example uses too, and its key set has not been fetched yet. That is a
 * reason to fetch it, not a forged token. */
static void tk44_a_key_not_fetched_yet_is_unknown_whatever_its_kid(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct token *token = NULL;
    struct why why;

    buf_init(&text, ROOM);
    fixture_config(f, &c);
    jwks_unref(c.issuers[1].jwks);
    c.issuers[1].jwks = NULL;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    fixture_sign_claims(FIXTURE_HEADER, CHANGES({ "iss", "\"https://as2.example\"" }), f->as_two, &text);
    assert_int_equal(token_verify(buf_span(&text), v, (struct wall_time){ FIXTURE_NOW }, &token, &why),
                     ST_BAD_TOKEN);
    assert_true(verifier_key_unknown(&why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt14_an_encrypted_token_may_hold_a_symmetric_key),
        cmocka_unit_test(a_signed_token_may_be_encrypted),
        cmocka_unit_test(layers_of_two_issuers_are_refused),
        cmocka_unit_test(what_is_inside_must_be_what_cty_says),
        cmocka_unit_test(tk62_an_encrypted_token_under_other_keys_or_headers_is_refused),
        cmocka_unit_test(tk62_cut_ciphertexts_are_refused),
        cmocka_unit_test(tk44_a_key_not_fetched_yet_is_unknown_whatever_its_kid),
        cmocka_unit_test(wrong_configurations_are_refused),
        cmocka_unit_test(an_issuer_may_have_audiences_of_its_own),
        cmocka_unit_test(d30_forms_are_told_by_their_first_bytes),
        cmocka_unit_test(a_refreshed_key_set_makes_another_verifier),
    };
    return cmocka_run_group_tests_name("token_verifier", tests, fixture_setup, fixture_teardown);
}
