/* Tokens encrypted to the resource server's own public key: anybody can do that, so only a signature inside counts
 * (TK-22). */
#include "crypto/hash.h"
#include "jose/jwe.h"
#include "token/fixture_priv.h"

#define OWN_KID "rs-own"

struct own {
    struct fixture *f;
    struct key *key, *public;
    struct fixture_config config;
    struct verifier_shared_key keys[3];
    struct verifier *verifier;
};

static void own_init(struct own *o, struct fixture *f)
{
    *o = (struct own){ .f = f };
    assert_int_equal(key_generate(KEY_P256, &o->key), ST_OK);
    assert_int_equal(key_public(o->key, &o->public), ST_OK);
    fixture_config(f, &o->config);
    memcpy(o->keys, o->config.shared, sizeof o->config.shared);
    o->keys[2] = (struct verifier_shared_key){ o->config.issuers[0].iss, SPAN(OWN_KID), o->key };
    o->config.config.shared_keys = o->keys;
    o->config.config.n_shared_keys = 3;
    assert_int_equal(verifier_new(&o->config.config, &o->verifier, NULL), ST_OK);
}

static void own_done(struct own *o)
{
    verifier_unref(o->verifier);
    fixture_config_done(&o->config);
    key_unref(o->public);
    key_unref(o->key);
}

static enum status verify_encrypted(const struct own *o, enum jwe_alg alg, struct span inside, struct span cty,
                                    struct token **ret, struct why *why)
{
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, 1 << 20);
    assert_int_equal(jwe_encrypt(alg, JWE_A256GCM, o->public, SPAN(OWN_KID), SPAN_NONE, cty, inside, &text),
                     ST_OK);
    return token_verify(buf_span(&text), o->verifier, (struct wall_time){ FIXTURE_NOW }, ret, why);
}

static void a_signed_token_inside_is_accepted_and_counts_as_encrypted(void **state)
{
    static const enum jwe_alg algs[] = { JWE_ECDH_ES, JWE_ECDH_ES_A128KW, JWE_ECDH_ES_A256KW };
    struct own o;

    own_init(&o, *state);
    for (size_t i = 0; i < COUNT_OF(algs); i++) {
        CLEANUP(buf_done)
        struct buf text;
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        uint8_t hash[TOKEN_HASH_LEN];
        buf_init(&text, 1 << 20);
        fixture_token(o.f, NO_CHANGE, &text);
        assert_int_equal(sha256(buf_span(&text), hash), ST_OK);
        assert_int_equal(verify_encrypted(&o, algs[i], buf_span(&text), SPAN("JWT"), &token, NULL), ST_OK);
        assert_true(token->encrypted);
        /* MT-73: its holder can put this layer on; revoked, it stays revoked */
        assert_memory_equal(token->hash, hash, sizeof hash);
    }
    own_done(&o);
}

static void tk22_encrypted_but_not_signed_is_refused(void **state)
{
    CLEANUP(buf_done)
    struct buf claims;
    struct token *token = NULL;
    struct why why = { 0 };
    struct own o;

    own_init(&o, *state);
    buf_init(&claims, 1 << 20);
    fixture_claims(NO_CHANGE, &claims);
    assert_int_equal(verify_encrypted(&o, JWE_ECDH_ES, buf_span(&claims), SPAN_NONE, &token, &why),
                     ST_BAD_TOKEN);
    assert_string_equal(why.clause, "TK-22");
    assert_null(token);
    own_done(&o);
}

/* The key was given for one issuer: another's token inside is not vouched for. */
static void another_issuers_token_inside_is_refused(void **state)
{
    CLEANUP(buf_done)
    struct buf text;
    struct token *token = NULL;
    struct own o;

    own_init(&o, *state);
    buf_init(&text, 1 << 20);
    fixture_sign_claims("{\"alg\":\"EdDSA\",\"kid\":\"as-2\"}", CHANGES({ "iss", "\"https://as2.example\"" }),
                        o.f->as_two, &text);
    assert_int_equal(verify_encrypted(&o, JWE_ECDH_ES, buf_span(&text), SPAN("JWT"), &token, NULL),
                     ST_BAD_TOKEN);
    assert_null(token);
    own_done(&o);
}

static void a_public_key_opens_nothing_and_is_refused_as_setting(void **state)
{
    struct verifier *verifier = NULL;
    struct why why = { 0 };
    struct own o;

    own_init(&o, *state);
    o.keys[2].key = o.public;
    assert_int_equal(verifier_new(&o.config.config, &verifier, &why), ST_BAD_POP_KEY);
    assert_null(verifier);
    own_done(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signed_token_inside_is_accepted_and_counts_as_encrypted),
        cmocka_unit_test(tk22_encrypted_but_not_signed_is_refused),
        cmocka_unit_test(another_issuers_token_inside_is_refused),
        cmocka_unit_test(a_public_key_opens_nothing_and_is_refused_as_setting),
    };
    return cmocka_run_group_tests_name("own_key", tests, fixture_setup, fixture_teardown);
}
