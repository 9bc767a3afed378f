/* Whole tokens of servers that do not know ACE, verified under the rules configured for them. What Keycloak, Hydra and
 * EMQX users put into tokens is taken from their documentation; the signature is the fixture's. */
#include "codec/base64.h"
#include "token/claim_rules.h"
#include "token/fixture_priv.h"

#define X5T "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define KEYCLOAK(more)                                                                                  \
    "{\"exp\":1000600,\"iat\":999990,\"jti\":\"d58f5dc8-fd8f-462b-8a19-716f8f83985b\","                 \
    "\"iss\":\"" FIXTURE_ISS "\",\"sub\":\"36fa0f91-f94d-4a0c-afed-6b7d952e47da\",\"azp\":\"press-7\"," \
    "\"acr\":\"1\",\"realm_access\":{\"roles\":[\"offline_access\"]},\"scope\":\"email profile\","      \
    "\"preferred_username\":\"service-account-press-7\",\"mqtt\":[[\"plant/press-7/#\",[\"pub\"]]]" more "}"
#define BEARER ",\"typ\":\"Bearer\",\"aud\":[\"account\",\"" FIXTURE_AUD "\"]"
#define MTLS   ",\"cnf\":{\"x5t#S256\":\"" X5T "\"}"
#define HYDRA(more)                                                                                         \
    "{\"client_id\":\"press-7\",\"exp\":1000600,\"iat\":999990,\"nbf\":999990,\"iss\":\"" FIXTURE_ISS "\"," \
    "\"jti\":\"a\",\"scp\":[\"mqtt\"],\"sub\":\"press-7\",\"ext\":{\"cnf\":{\"jwk\":" FIXTURE_CNF_JWK "},"  \
    "\"mqtt\":\"W1siYSIsWyJwdWIiXV1d\"}" more "}"
#define TYP(typ) "{\"alg\":\"EdDSA\",\"kid\":\"as-1\",\"typ\":\"" typ "\"}"

static const struct claim_rules keycloak = { .scope = (char[]){ "mqtt" }, .client_id = (char[]){ "azp" } };
static const struct claim_rules hydra = { .scope = (char[]){ "/ext/mqtt" }, .cnf = (char[]){ "/ext/cnf" } };

static enum status verify(const struct fixture *f, const struct claim_rules *rules, const char *header,
                          const char *claims, struct token **ret, struct why *why)
{
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, ROOM);
    fixture_config(f, &c);
    c.issuers[0].rules = rules;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    fixture_sign(header, span_of_str(claims), f->as, &text);
    return token_verify(buf_span(&text), v, (struct wall_time){ FIXTURE_NOW }, ret, why);
}

static void refused(const struct fixture *f, const struct claim_rules *rules, const char *header,
                    const char *claims, enum status expected, const char *clause)
{
    struct token *token = NULL;
    struct why why = { "", "", 0 };
    enum status st = verify(f, rules, header, claims, &token, &why);

    assert_int_equal(st, expected);
    assert_string_equal(why.clause, clause);
    assert_null(token);
}

static struct token *accepted(const struct fixture *f, const struct claim_rules *rules, const char *header,
                              const char *claims)
{
    struct token *token = NULL;
    struct why why = { "", "", 0 };

    if (verify(f, rules, header, claims, &token, &why) != ST_OK)
        fail_msg("%s: refused: %s (%s)", claims, why.text, why.clause);
    return token;
}

static void a_token_of_keycloak_is_taken_as_configured(void **state)
{
    CLEANUP(token_unrefp)
    struct token *token = accepted(*state, &keycloak, TYP("JWT"), KEYCLOAK(BEARER MTLS));

    assert_true(span_eq_str(token->client_id, "press-7"));
    assert_true(span_eq_str(token->sub, "36fa0f91-f94d-4a0c-afed-6b7d952e47da"));
    assert_true(scope_may_publish(token->scope, (struct topic_name){ SPAN("plant/press-7/x") }));
    assert_false(scope_may_publish(token->scope, (struct topic_name){ SPAN("plant/press-8/x") }));
    assert_int_equal(token->cnf_how, TOKEN_CNF_X5T);
    for (unsigned i = 0; i < TOKEN_HASH_LEN; i++)
        assert_int_equal(token->cnf_thumbprint[i], i);
    refused(*state, NULL, TYP("JWT"), KEYCLOAK(BEARER MTLS), ST_BAD_SCOPE, "MT-86");
}

static void a_token_of_hydra_is_taken_as_configured(void **state)
{
    struct claim_rules anywhere = hydra;
    CLEANUP(token_unrefp)
    struct token *token = accepted(*state, &hydra, TYP("JWT"), HYDRA(",\"aud\":[\"" FIXTURE_AUD "\"]"));

    assert_int_equal(token->cnf_how, TOKEN_CNF_KEY);
    assert_true(span_eq_str(token->client_id, "press-7"));
    /* Without an audience asked for, Hydra writes an empty list. */
    refused(*state, &hydra, TYP("JWT"), HYDRA(",\"aud\":[]"), ST_BAD_TOKEN, "AF-63 aud");
    refused(*state, &hydra, TYP("JWT"), HYDRA(""), ST_BAD_TOKEN, "AF-63 aud");
    anywhere.audience_optional = true;
    token_unref(token);
    token = accepted(*state, &anywhere, TYP("JWT"), HYDRA(",\"aud\":[]"));
    assert_null(token->aud.p);
    token_unref(token);
    token = accepted(*state, &anywhere, TYP("JWT"), HYDRA(""));
    token_unref(token);
    token = accepted(*state, &anywhere, TYP("JWT"), HYDRA(",\"aud\":\"" FIXTURE_AUD "\""));
    refused(*state, &anywhere, TYP("JWT"), HYDRA(",\"aud\":[\"other\"]"), ST_BAD_TOKEN, "AF-63 aud");
    refused(*state, &anywhere, TYP("JWT"), HYDRA(",\"aud\":\"\""), ST_BAD_TOKEN, "AF-63 aud");
    refused(*state, &anywhere, TYP("JWT"), HYDRA(",\"aud\":null"), ST_BAD_TOKEN, "AF-63 aud");
    refused(*state, &anywhere, TYP("JWT"), HYDRA(",\"aud\":{}"), ST_BAD_TOKEN, "AF-63 aud");
}

/* Whatever the rules: no token without a key to be proved. */
static void a_bearer_token_is_never_taken(void **state) /* TK-1, TK-2 */
{
    struct claim_rules elsewhere = keycloak;

    refused(*state, &keycloak, TYP("JWT"), KEYCLOAK(BEARER), ST_BAD_TOKEN, "TK-1");
    refused(*state, &keycloak, TYP("JWT"), KEYCLOAK(BEARER ",\"cnf\":{}"), ST_BAD_TOKEN, "TK-2");
    /* DPoP: the thumbprint of a key that only a DPoP header would show */
    refused(*state, &keycloak, TYP("JWT"), KEYCLOAK(BEARER ",\"cnf\":{\"jkt\":\"" X5T "\"}"), ST_BAD_TOKEN,
            "TK-2");
    elsewhere.cnf = (char[]){ "/ext/cnf" };
    refused(*state, &elsewhere, TYP("JWT"), KEYCLOAK(BEARER MTLS), ST_BAD_TOKEN, "TK-1");
}

static void other_tokens_of_the_same_server_are_refused(void **state) /* TK-24 */
{
    refused(*state, &keycloak, TYP("JWT"), KEYCLOAK(MTLS ",\"typ\":\"ID\",\"aud\":\"" FIXTURE_AUD "\""),
            ST_BAD_TOKEN, "TK-24");
    refused(*state, &keycloak, TYP("JWT"), KEYCLOAK(MTLS ",\"typ\":\"Refresh\",\"aud\":\"" FIXTURE_AUD "\""),
            ST_BAD_TOKEN, "TK-24");
    refused(*state, &keycloak, TYP("logout+jwt"), KEYCLOAK(BEARER MTLS), ST_BAD_TOKEN, "TK-24");
}

static void a_typ_is_taken_from_the_issuer_it_is_configured_for(void **state) /* TK-24 */
{
    char *types[] = { (char[]){ "plant+jwt" } };
    struct claim_rules typed = keycloak;
    const struct fixture *f = *state;
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct token *token = NULL;
    struct why why = { "", "", 0 };

    typed.types = (struct config_strings){ types, 1 };
    token = accepted(f, &typed, TYP("plant+jwt"), KEYCLOAK(BEARER MTLS));
    token_unref(token);
    token = NULL;
    refused(f, &keycloak, TYP("plant+jwt"), KEYCLOAK(BEARER MTLS), ST_BAD_TOKEN, "TK-24");
    buf_init(&text, ROOM);
    fixture_config(f, &c);
    c.issuers[1].rules = &typed; /* of the other issuer */
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    fixture_sign(TYP("plant+jwt"), SPAN(KEYCLOAK(BEARER MTLS)), f->as, &text);
    assert_int_equal(token_verify(buf_span(&text), v, (struct wall_time){ FIXTURE_NOW }, &token, &why),
                     ST_BAD_TOKEN);
    assert_string_equal(why.clause, "TK-24");
    assert_null(token);
}

/* What an introspection answer of such a server says is read by the same rules (RFC 7662). */
static void introspection_is_read_by_the_same_rules(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    CLEANUP(token_unrefp)
    struct token *token = NULL;

    fixture_config(f, &c);
    c.issuers[0].rules = &keycloak;
    c.issuers[0].keep_text = true;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    assert_int_equal(
        token_from_introspection(SPAN(KEYCLOAK(BEARER MTLS ",\"active\":true,\"token_type\":\"PoP\"")),
                                 SPAN("reference"), SPAN(FIXTURE_ISS), v, (struct wall_time){ FIXTURE_NOW },
                                 &token, NULL),
        ST_OK);
    assert_true(span_eq_str(token->client_id, "press-7"));
    assert_true(span_eq_str(token->text, "reference")); /* to be asked about again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_of_keycloak_is_taken_as_configured),
        cmocka_unit_test(a_token_of_hydra_is_taken_as_configured),
        cmocka_unit_test(a_bearer_token_is_never_taken),
        cmocka_unit_test(other_tokens_of_the_same_server_are_refused),
        cmocka_unit_test(a_typ_is_taken_from_the_issuer_it_is_configured_for),
        cmocka_unit_test(introspection_is_read_by_the_same_rules),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
