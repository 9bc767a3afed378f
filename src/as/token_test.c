/* The token endpoint: what comes out for each kind of key, and every way of proving or not proving it. Tokens are
 * verified as a resource server would (token/verifier.h). */
#include "as/world_test.h"
#include "codec/base64.h"
#include "crypto/x509.h"
#include "jose/jwk.h"
#include "token/assertion.h"
#include "token/verifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define TOKEN_ENDPOINT_URI WORLD_ISSUER "/token"

/* c1: secret; c2: registered key; "broker": shares a key with us; "plain": does not; "opaque": references. */
struct site {
    struct world *w;
    const char *secret;
    struct key *registered; /* c2's */
    struct key *other;      /* nobody's */
    struct key *shared;     /* broker's */
    const char *shared_kid;
    const char *opaque_secret;
};

static const char *rs_secret(struct site *s, const char *line)
{
    return world_str(s->w, world_admin(s->w, line), "rs_secret");
}

static void open_site(struct site *s)
{
    struct world *w = s->w = world_new();
    struct jwk jwk = { 0 };

    assert_int_equal(key_generate(KEY_ED25519, &s->registered), ST_OK);
    assert_int_equal(key_generate(KEY_P256, &s->other), ST_OK);
    const struct js *answer =
        world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"broker\",\"key\":\"generate\"}");
    assert_int_equal(jwk_parse(js_get(answer, "key"), JWK_SECRET, &jwk, NULL), ST_OK);
    s->shared = key_ref(jwk.key);
    jwk_done(&jwk);
    s->shared_kid = world_str(w, js_get(answer, "key"), "kid");
    world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"plain\",\"lifetime_s\":60}");
    s->opaque_secret =
        rs_secret(s, "{\"cmd\":\"rs.add\",\"audience\":\"opaque\",\"token_format\":\"reference\"}");
    s->secret = world_str(w, world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"c1\"}"), "client_secret");
    world_admin(w, world_text(w, "{\"cmd\":\"client.add\",\"client_id\":\"c2\",\"jwk\":%s}",
                              world_jwk(w, s->registered)));
    for (size_t i = 0; i < 3; i++)
        world_admin(w, world_text(w,
                                  "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"%s\","
                                  "\"filter\":\"d/${client_id}/#\",\"permissions\":[\"pub\",\"sub\"]}",
                                  ((const char *[]){ "broker", "plain", "opaque" })[i]));
}

static void close_site(struct site *s)
{
    key_unref(s->registered);
    key_unref(s->other);
    key_unref(s->shared);
    world_free(s->w);
}

#define SITE(s)            \
    CLEANUP(close_site)    \
    struct site s = { 0 }; \
    open_site(&s)

/* c1's request with these members (without braces). */
static const struct js *ask(struct site *s, const char *members)
{
    return world_post(s->w, "/token",
                      world_text(s->w, "{\"client_id\":\"c1\",\"client_secret\":\"%s\"%s%s}", s->secret,
                                 members[0] != '\0' ? "," : "", members));
}

/* AF-51, MT-15: errors are the JSON of RFC 6749 5.2. */
static void refused(struct site *s, const struct js *answer, int code, const char *error)
{
    assert_non_null(answer);
    assert_string_equal(world_str(s->w, answer, "error"), error);
    assert_true(world_str(s->w, answer, "error_description")[0] != '\0');
    assert_int_equal(s->w->code, code);
    assert_null(js_get(answer, "access_token"));
}

static const struct js *granted(struct site *s, const struct js *answer)
{
    if (s->w->code != 200)
        fail_msg("%d %s", s->w->code, world_str(s->w, answer, "error_description"));
    assert_string_equal(world_str(s->w, answer, "token_type"), "PoP");       /* AF-37 */
    assert_string_equal(world_str(s->w, answer, "ace_profile"), "mqtt_tls"); /* AF-24, AF-36, MT-11 */
    return answer;
}

/* As the resource server `audience` sees it. */
static enum status verify(struct site *s, const char *token, const char *audience, struct token **ret)
{
    const struct jwk signing = { .key = s->w->signing_key, .kid = SPAN("test"), .ops = UINT32_MAX };
    CLEANUP(verifier_unrefp)
    struct verifier *verifier = NULL;
    struct jwks *jwks = NULL;
    const struct span auds[] = { span_of_str(audience) };

    assert_int_equal(jwks_make(&signing, 1, &jwks), ST_OK);
    const struct verifier_issuer issuer = { SPAN(WORLD_ISSUER), jwks };
    const struct verifier_shared_key shared = { SPAN(WORLD_ISSUER), span_of_str(s->shared_kid), s->shared };
    const struct verifier_config config = { .issuers = &issuer,
                                            .n_issuers = 1,
                                            .audiences = auds,
                                            .n_audiences = 1,
                                            .shared_keys = &shared,
                                            .n_shared_keys = 1 };
    assert_int_equal(verifier_new(&config, &verifier, NULL), ST_OK);
    jwks_unref(jwks);
    return token_verify(span_of_str(token), verifier, s->w->now.wall, ret, NULL);
}

static void without_req_cnf_a_secret_is_made_and_the_token_encrypted(void **state UNUSED)
{
    /* AF-26, AF-43, MT-12, MT-14 */
    SITE(s);
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    struct jwk jwk = { 0 };
    int64_t expires_in = 0;
    const struct js *answer = granted(&s, ask(&s, "\"audience\":\"broker\",\"ace_profile\":\"\""));

    assert_true(js_get_i64(answer, "expires_in", &expires_in) && expires_in == 3600); /* AF-38 */
    assert_null(js_get(answer, "rs_cnf"));
    assert_int_equal(verify(&s, world_str(s.w, answer, "access_token"), "broker", &token), ST_OK);
    assert_true(token->encrypted);
    assert_true(span_eq_str(token->client_id, "c1"));
    assert_int_equal(token->exp.s, WORLD_START + 3600);
    assert_int_equal(jwk_parse(js_get(js_get(answer, "cnf"), "jwk"), JWK_SECRET, &jwk, NULL), ST_OK);
    assert_int_equal(key_secret(jwk.key).len, 32);
    assert_true(key_same(jwk.key, token->cnf));
    jwk_done(&jwk);
}

static void every_token_has_its_own_secret(void **state UNUSED)
{
    /* AF-30 */
    SITE(s);
    const char *one =
        world_str(s.w, js_get(js_get(granted(&s, ask(&s, "\"audience\":\"broker\"")), "cnf"), "jwk"), "k");
    const char *two =
        world_str(s.w, js_get(js_get(granted(&s, ask(&s, "\"audience\":\"opaque\"")), "cnf"), "jwk"), "k");

    assert_string_not_equal(one, two);
}

static void a_resource_server_without_a_key_gets_no_secrets(void **state UNUSED)
{
    /* TK-55, AF-90 */
    SITE(s);
    refused(&s, ask(&s, "\"audience\":\"plain\""), 400, "unsupported_pop_key");
}

static void a_public_key_with_a_proof_is_bound(void **state UNUSED)
{
    /* AF-25, AF-40, AF-42 (c): Ed25519 and P-256 */
    for (enum key_kind kind = KEY_ED25519; kind <= KEY_P256; kind++) {
        SITE(s);
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        CLEANUP(key_unrefp)
        struct key *key = NULL;

        assert_int_equal(key_generate(kind, &key), ST_OK);
        const char *proof = world_assertion(s.w, key, ASSERTION_TYP_REQ_CNF, "c1", TOKEN_ENDPOINT_URI, "j1");
        const char *members =
            world_text(s.w, "\"audience\":\"plain\",\"req_cnf\":{\"jwk\":%s},\"req_cnf_proof\":\"%s\"",
                       world_jwk(s.w, key), proof);
        const struct js *answer = granted(&s, ask(&s, members));
        assert_null(js_get(answer, "cnf")); /* the client named it: AF-43 */
        assert_int_equal(verify(&s, world_str(s.w, answer, "access_token"), "plain", &token), ST_OK);
        assert_true(key_same(token->cnf, key));
        assert_false(token->encrypted);
        refused(&s, ask(&s, members), 400, "invalid_request"); /* the same proof again */
    }
}

static void a_public_key_without_or_with_a_wrong_proof_is_refused(void **state UNUSED)
{
    SITE(s);
    struct world *w = s.w;
    const char *jwk = world_jwk(w, s.other);
    const char *const proofs[] = {
        world_assertion(w, s.registered, ASSERTION_TYP_REQ_CNF, "c1", WORLD_ISSUER, "j1"), /* another key */
        world_assertion(w, s.other, ASSERTION_TYP_REQ_CNF, "c2", WORLD_ISSUER, "j2"), /* for another client */
        world_assertion(w, s.other, ASSERTION_TYP_REQ_CNF, "c1", "https://evil.test", "j3"),
        world_assertion(w, s.other, ASSERTION_TYP_CLIENT, "c1", WORLD_ISSUER,
                        "j4"), /* made for something else */
        "x.y.z",
    };

    refused(&s, ask(&s, world_text(w, "\"audience\":\"plain\",\"req_cnf\":{\"jwk\":%s}", jwk)), 400,
            "invalid_request"); /* AF-42 */
    for (size_t i = 0; i < COUNT_OF(proofs); i++)
        refused(
            &s,
            ask(&s, world_text(w, "\"audience\":\"plain\",\"req_cnf\":{\"jwk\":%s},\"req_cnf_proof\":\"%s\"",
                               jwk, proofs[i])),
            400, "invalid_request");
    const char *late = world_assertion(w, s.other, ASSERTION_TYP_REQ_CNF, "c1", WORLD_ISSUER, "j5");
    world_pass(w, 200);
    refused(&s,
            ask(&s, world_text(w, "\"audience\":\"plain\",\"req_cnf\":{\"jwk\":%s},\"req_cnf_proof\":\"%s\"",
                               jwk, late)),
            400, "invalid_request");
}

static const char *jwt_members(struct site *s, const struct key *key, const char *client, const char *jti)
{
    return world_text(s->w,
                      "\"client_assertion_type\":\"urn:ietf:params:oauth:client-assertion-type:jwt-bearer\","
                      "\"client_assertion\":\"%s\"",
                      world_assertion(s->w, key, ASSERTION_TYP_CLIENT, client, TOKEN_ENDPOINT_URI, jti));
}

static void the_key_of_the_assertion_is_proved_by_it(void **state UNUSED)
{
    /* AF-42 (a), RFC 7523 */
    SITE(s);
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    const char *body = world_text(s.w, "{%s,\"audience\":\"plain\",\"req_cnf\":{\"jwk\":%s}}",
                                  jwt_members(&s, s.registered, "c2", "j1"), world_jwk(s.w, s.registered));
    const struct js *answer = granted(&s, world_post(s.w, "/token", body));

    assert_int_equal(verify(&s, world_str(s.w, answer, "access_token"), "plain", &token), ST_OK);
    assert_true(key_same(token->cnf, s.registered));
    refused(&s, world_post(s.w, "/token", body), 401, "invalid_client"); /* RFC 7523 3: the jti again */
}

static void the_registered_key_counts_by_value_and_by_kid(void **state UNUSED)
{
    /* AF-42 (d), AF-40 */
    SITE(s);
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    char kid[JWK_THUMBPRINT_TEXT];
    const char *secret = world_str(
        s.w, world_admin(s.w, "{\"cmd\":\"client.rotate-secret\",\"client_id\":\"c2\"}"), "client_secret");

    assert_int_equal(jwk_thumbprint_text(s.registered, kid), ST_OK);
    const char *cnfs[] = { world_text(s.w, "{\"jwk\":%s}", world_jwk(s.w, s.registered)),
                           world_text(s.w, "{\"kid\":\"%s\"}", kid) };
    for (size_t i = 0; i < COUNT_OF(cnfs); i++)
        granted(&s,
                world_post(s.w, "/token",
                           world_text(s.w,
                                      "{\"client_id\":\"c2\",\"client_secret\":\"%s\",\"audience\":\"plain\","
                                      "\"req_cnf\":%s}",
                                      secret, cnfs[i])));
    assert_int_equal(verify(&s, world_str(s.w, s.w->answer, "access_token"), "plain", &token), ST_OK);
    assert_true(key_same(token->cnf, s.registered));
    refused(&s, ask(&s, world_text(s.w, "\"audience\":\"plain\",\"req_cnf\":%s", cnfs[1])), 400,
            "unsupported_pop_key"); /* AF-54, as the DTLS profile has it: another client's kid is unknown */
    refused(&s, ask(&s, world_text(s.w, "\"audience\":\"plain\",\"req_cnf\":%s", cnfs[0])), 400,
            "invalid_request");
}

static void a_tls_certificate_authenticates_and_proves_its_key(void **state UNUSED)
{
    /* AF-42 (b), RFC 8705 2.2; MT-10 */
    SITE(s);
    CLEANUP(x509_pair_done)
    struct x509_pair cert = { 0 }, foreign = { 0 };
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    uint8_t x5t[SHA256_LEN];
    struct buf text;

    assert_int_equal(x509_make_ca(SPAN("c3"), 1, s.w->now.wall, &cert, NULL), ST_OK);
    assert_int_equal(x509_make_ca(SPAN("c3"), 1, s.w->now.wall, &foreign, NULL), ST_OK);
    assert_int_equal(x509_public_key(buf_span(&cert.cert_pem), &key, NULL), ST_OK);
    assert_int_equal(x509_thumbprint(buf_span(&cert.cert_pem), x5t, NULL), ST_OK);
    buf_init(&text, 64);
    base64url_encode(span_of(x5t, sizeof x5t), &text);
    world_admin(s.w, world_text(s.w, "{\"cmd\":\"client.add\",\"client_id\":\"c3\",\"x5t#S256\":\"%.*s\"}",
                                SPAN_FMT(buf_span(&text))));
    buf_done(&text);
    const char *body = world_text(s.w, "{\"client_id\":\"c3\",\"audience\":\"plain\",\"req_cnf\":{\"jwk\":%s}}",
                                  world_jwk(s.w, key));
    refused(&s, world_post(s.w, "/token", body), 401, "invalid_client");
    s.w->cert_der = buf_span(&foreign.cert_pem);
    refused(&s, world_post(s.w, "/token", body), 401, "invalid_client");
    s.w->cert_der = buf_span(&cert.cert_pem);
    granted(&s, world_post(s.w, "/token", body));
    assert_int_equal(verify(&s, world_str(s.w, s.w->answer, "access_token"), "plain", &token), ST_OK);
    assert_true(key_same(token->cnf, key));
    /* beside another way of authenticating it proves just as well */
    granted(&s,
            ask(&s, world_text(s.w, "\"audience\":\"plain\",\"req_cnf\":{\"jwk\":%s}", world_jwk(s.w, key))));
}

static void keys_that_cannot_be_pop_keys_are_refused(void **state UNUSED)
{
    SITE(s);
    const char *own = world_text(s.w, "{\"jwk\":%s}", world_jwk(s.w, s.w->signing_key));
    const struct {
        const char *cnf, *error;
    } rows[] = {
        { "{\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAA\"}}", "invalid_request" },  /* AF-41 */
        { "{\"jwk\":{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}}", "unsupported_pop_key" }, /* AF-52 */
        { "{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08\"}"
          "}",
          "unsupported_pop_key" },
        { "{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"
          "}",
          NULL }, /* TK-60: small order */
        { "{\"jwk\":{}}", NULL },
        { "{\"jwe\":\"x\"}", "unsupported_pop_key" },
        { "{\"jku\":\"https://evil.test/k\"}", "unsupported_pop_key" },
        { "{\"jwk\":{},\"kid\":\"a\"}", "invalid_request" }, /* TK-1, TK-56 */
        { "{}", "invalid_request" },
        { "\"text\"", "invalid_request" },                   /* AF-48 */
        { "{\"kid\":\"nobody's\"}", "unsupported_pop_key" }, /* AF-54 */
        { own, "unsupported_pop_key" },                      /* TK-58 */
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct js *answer =
            ask(&s, world_text(s.w, "\"audience\":\"plain\",\"req_cnf\":%s", rows[i].cnf));
        refused(&s, answer, 400, rows[i].error != NULL ? rows[i].error : world_str(s.w, answer, "error"));
    }
}

static void private_parts_and_forbidding_members_are_refused(void **state UNUSED)
{
    /* TK-56, TK-57, AF-46 */
    SITE(s);
    CLEANUP(js_unrefp)
    struct js *with_d = NULL;
    struct buf text;

    assert_int_equal(jwk_print(s.other, SPAN_NONE, NULL, true, &with_d), ST_OK);
    buf_init(&text, 1024);
    assert_int_equal(js_print(with_d, &text), ST_OK);
    refused(&s,
            ask(&s, world_text(s.w, "\"audience\":\"plain\",\"req_cnf\":{\"jwk\":%.*s}",
                               SPAN_FMT(buf_span(&text)))),
            400, "unsupported_pop_key");
    buf_done(&text);
    const char *jwk = world_jwk(s.w, s.other);
    const char *for_encryption = world_text(s.w, "%.*s,\"use\":\"enc\"}", (int)strlen(jwk) - 1, jwk);
    refused(&s, ask(&s, world_text(s.w, "\"audience\":\"plain\",\"req_cnf\":{\"jwk\":%s}", for_encryption)),
            400, "unsupported_pop_key");
}

static void rights_can_change_on_a_secret_the_client_holds(void **state UNUSED)
{
    SITE(s);
    CLEANUP(token_unrefp)
    struct token *one = NULL, *two = NULL;
    const struct js *answer = granted(&s, ask(&s, "\"audience\":\"broker\""));
    const char *kid = world_str(s.w, js_get(js_get(answer, "cnf"), "jwk"), "kid");

    assert_int_equal(verify(&s, world_str(s.w, answer, "access_token"), "broker", &one), ST_OK);
    const char *again = world_text(s.w,
                                   "\"audience\":\"broker\",\"scope\":[[\"d/c1/x\",[\"pub\"]]],"
                                   "\"req_cnf\":{\"kid\":\"%s\"}",
                                   kid);
    answer = granted(&s, ask(&s, again));
    assert_null(js_get(answer, "cnf"));
    assert_int_equal(verify(&s, world_str(s.w, answer, "access_token"), "broker", &two), ST_OK);
    assert_true(key_same(one->cnf, two->cnf));
    /* not at another resource server (AF-30), not for another client (AF-92), not when the token is over
     * (AF-39) */
    refused(&s, ask(&s, world_text(s.w, "\"audience\":\"opaque\",\"req_cnf\":{\"kid\":\"%s\"}", kid)), 400,
            "unsupported_pop_key");
    refused(&s,
            world_post(s.w, "/token",
                       world_text(s.w, "{%s,\"audience\":\"broker\",\"req_cnf\":{\"kid\":\"%s\"}}",
                                  jwt_members(&s, s.registered, "c2", "j1"), kid)),
            400, "unsupported_pop_key");
    world_pass(s.w, 3600);
    refused(&s, ask(&s, again), 400, "unsupported_pop_key");
}

static void profiles_and_grant_types(void **state UNUSED)
{
    /* AF-21, AF-24, AF-53, MT-11 */
    static const struct {
        const char *members, *error;
    } rows[] = {
        { "\"ace_profile\":null", NULL },
        { "\"ace_profile\":\"\"", NULL },
        { "\"ace_profile\":\"mqtt_tls\"", NULL },
        { "\"ace_profile\":3", NULL },
        { "\"ace_profile\":\"coap_dtls\"", "incompatible_ace_profiles" },
        { "\"ace_profile\":1", "incompatible_ace_profiles" },
        { "\"ace_profile\":{}", "incompatible_ace_profiles" },
        { "\"grant_type\":\"client_credentials\"", NULL },
        { "\"grant_type\":\"password\"", "unsupported_grant_type" },
        { "\"grant_type\":\"refresh_token\",\"refresh_token\":\"x\"", "invalid_grant" },
        { "\"grant_type\":2", "invalid_request" },
    };
    SITE(s);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct js *answer = ask(&s, world_text(s.w, "\"audience\":\"broker\",%s", rows[i].members));
        if (rows[i].error == NULL)
            granted(&s, answer);
        else
            refused(&s, answer, 400, rows[i].error);
    }
}

static void the_audience_is_found_or_asked_for(void **state UNUSED)
{
    /* AF-22 */
    SITE(s);
    refused(&s, ask(&s, ""), 400, "invalid_request");
    refused(&s, ask(&s, "\"audience\":\"nowhere\""), 400, "invalid_request");
    refused(&s, ask(&s, "\"audience\":[\"broker\",\"opaque\"]"), 400, "invalid_request"); /* AF-91 */
    refused(&s, ask(&s, "\"audience\":7"), 400, "invalid_request");
    granted(&s, ask(&s, "\"audience\":[\"broker\"]"));
    world_admin(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c1\",\"default_audience\":\"opaque\"}");
    granted(&s, ask(&s, ""));
    world_admin(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c1\",\"default_audience\":null}");
    world_admin(s.w, "{\"cmd\":\"rs.remove\",\"rs_id\":\"plain\"}");
    world_admin(s.w, "{\"cmd\":\"rs.remove\",\"rs_id\":\"opaque\"}");
    granted(&s, ask(&s, "")); /* only one is left */
}

static void the_scope_comes_back_in_the_form_it_came(void **state UNUSED)
{
    /* D-20, MT-80, MT-86, AF-105 */
    SITE(s);
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    const struct js *answer = granted(&s, ask(&s, "\"audience\":\"broker\",\"scope\":[[\"#\",[\"pub\"]]]"));

    assert_true(js_is(js_get(answer, "scope"), JS_ARRAY));
    answer = granted(&s, ask(&s, "\"audience\":\"broker\",\"scope\":\"[[\\\"#\\\",[\\\"pub\\\"]]]\""));
    assert_string_equal(world_str(s.w, answer, "scope"), "[[\"d/c1/#\",[\"pub\"]]]");
    answer = granted(&s, ask(&s, "\"audience\":\"broker\""));
    assert_int_equal(scope_from_text(span_of_str(world_str(s.w, answer, "scope")), &scope, NULL), ST_OK);
    assert_int_equal(scope_size(scope), 1);
    granted(&s, ask(&s, "\"audience\":\"broker\",\"scope\":[]")); /* MT-83 */
    refused(&s, ask(&s, "\"audience\":\"broker\",\"scope\":[[\"x\",[\"pub\"]]]"), 400, "invalid_scope");
    refused(&s, ask(&s, "\"audience\":\"broker\",\"scope\":[[\"a#\",[\"pub\"]]]"), 400,
            "invalid_scope"); /* MT-87 */
    refused(&s, ask(&s, "\"audience\":\"broker\",\"scope\":[[\"a\",[\"own\"]]]"), 400, "invalid_scope");
    refused(&s, ask(&s, "\"audience\":\"broker\",\"scope\":\"read write\""), 400, "invalid_scope");
    refused(&s, ask(&s, "\"audience\":\"broker\",\"scope\":12"), 400, "invalid_scope");
}

static void cnonce_is_copied_into_the_token(void **state UNUSED)
{
    /* AF-17, AF-19 */
    SITE(s);
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    const struct js *answer = granted(&s, ask(&s, "\"audience\":\"broker\",\"cnonce\":\"AAECAwQFBgc\""));

    assert_int_equal(verify(&s, world_str(s.w, answer, "access_token"), "broker", &token), ST_OK);
    assert_true(span_eq(token->cnonce, SPAN("\0\1\2\3\4\5\6\7")));
    refused(&s, ask(&s, "\"audience\":\"broker\",\"cnonce\":\"not base64url!\""), 400, "invalid_request");
    refused(&s, ask(&s, "\"audience\":\"broker\",\"cnonce\":5"), 400, "invalid_request");
}

static void exi_tokens_count_up(void **state UNUSED)
{
    /* AF-75, AF-76 */
    SITE(s);
    uint64_t before = 0;

    world_admin(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"broker\",\"exi\":true}");
    for (int i = 0; i < 3; i++) {
        CLEANUP(token_unrefp)
        struct token *token = NULL;
        uint64_t sequence = 0;
        const struct js *answer = granted(&s, ask(&s, "\"audience\":\"broker\""));
        assert_int_equal(verify(&s, world_str(s.w, answer, "access_token"), "broker", &token), ST_OK);
        assert_true(token->has_exi && !token->has_exp && !token->has_iat);
        assert_int_equal(token->exi_s, 3600);
        assert_int_equal(token_exi_jti_read(token->jti, SPAN("broker"), &sequence), ST_OK);
        assert_true(sequence == before + 1 || (i == 0 && sequence > 0));
        before = sequence;
    }
    world_admin_refused(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"opaque\",\"exi\":true}", "MALFORMED");
}

static void exi_numbers_are_new_when_the_resource_server_comes_again(void **state UNUSED)
{
    /* AF-76, AF-77: a number lower than one it has seen would be over for the resource server */
    SITE(s);
    uint64_t before = 0, after = 0;

    for (int i = 0; i < 2; i++) {
        world_admin(s.w, "{\"cmd\":\"rs.add\",\"audience\":\"sleepy\",\"key\":\"generate\",\"exi\":true}");
        world_admin(s.w, "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"sleepy\","
                         "\"filter\":\"a\",\"permissions\":[\"pub\"]}");
        granted(&s, ask(&s, "\"audience\":\"sleepy\""));
        if (i == 0)
            world_admin(s.w, "{\"cmd\":\"rs.remove\",\"rs_id\":\"sleepy\"}");
    }
    const struct js *tokens =
        js_get(world_admin(s.w, "{\"cmd\":\"token.list\",\"audience\":\"sleepy\"}"), "tokens");
    assert_int_equal(js_size(tokens), 2);
    for (size_t i = 0; i < 2; i++) {
        const struct js *row = js_at(tokens, i);
        const char *jti = world_str(s.w, row, "jti");
        assert_int_equal(token_exi_jti_read(span_of_str(jti), SPAN("sleepy"),
                                            js_get(row, "revoked_at") != NULL ? &before : &after),
                         ST_OK);
    }
    assert_true(after > before && before > 0);
}

static void rs_cnf_comes_with_public_keys_only(void **state UNUSED)
{
    /* AF-44, MT-26, MT-13 */
    SITE(s);
    CLEANUP(x509_pair_done)
    struct x509_pair cert = { 0 };
    const char *jwk = world_jwk(s.w, s.registered);

    world_admin(s.w, world_text(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"broker\",\"rs_jwk\":%s}",
                                world_jwk(s.w, s.other)));
    assert_null(js_get(granted(&s, ask(&s, "\"audience\":\"broker\"")), "rs_cnf"));
    const struct js *answer =
        granted(&s, world_post(s.w, "/token",
                               world_text(s.w, "{%s,\"audience\":\"broker\",\"req_cnf\":{\"jwk\":%s}}",
                                          jwt_members(&s, s.registered, "c2", "j1"), jwk)));
    assert_non_null(js_get(js_get(answer, "rs_cnf"), "jwk"));

    assert_int_equal(x509_make_ca(SPAN("broker"), 1, s.w->now.wall, &cert, NULL), ST_OK);
    CLEANUP(js_unrefp)
    struct js *set = js_new_object();
    struct buf line;
    buf_init(&line, 65536);
    assert_int_equal(js_set_str(set, "cmd", SPAN("rs.set")), ST_OK);
    assert_int_equal(js_set_str(set, "rs_id", SPAN("broker")), ST_OK);
    assert_int_equal(js_set_str(set, "certificate", buf_span(&cert.cert_pem)), ST_OK);
    assert_int_equal(js_print(set, &line), ST_OK);
    world_admin(s.w, world_text(s.w, "%.*s", SPAN_FMT(buf_span(&line))));
    buf_done(&line);
    answer = granted(&s, world_post(s.w, "/token",
                                    world_text(s.w, "{%s,\"audience\":\"broker\",\"req_cnf\":{\"jwk\":%s}}",
                                               jwt_members(&s, s.registered, "c2", "j2"), jwk)));
    assert_int_equal(strlen(world_str(s.w, js_get(answer, "rs_cnf"), "x5t#S256")), 43);
    assert_non_null(
        js_get(js_get(answer, "rs_cnf"), "jwk")); /* the same key, for who meets it without a certificate */
}

static void limits_of_live_tokens_hold_and_expiry_makes_room(void **state UNUSED)
{
    SITE(s);
    s.w->settings.token_max_per_client = 2;
    granted(&s, ask(&s, "\"audience\":\"broker\""));
    granted(&s, ask(&s, "\"audience\":\"broker\""));
    refused(&s, ask(&s, "\"audience\":\"broker\""), 429, "temporarily_unavailable");
    assert_true(s.w->retry_after_s > 0);
    world_pass(s.w, 3600);
    granted(&s, ask(&s, "\"audience\":\"broker\""));
    s.w->settings.token_max = 1;
    refused(&s, ask(&s, "\"audience\":\"broker\""), 429, "temporarily_unavailable");
    world_pass(s.w, 3600);
    granted(&s, ask(&s, "\"audience\":\"broker\""));
}

static void revoking_makes_room_and_what_ends_is_counted_once_more(void **state UNUSED)
{
    /* The room that a count has found is used up by each token; then there is another count. */
    SITE(s);
    s.w->settings.token_max_per_client = 3;
    for (int i = 0; i < 3; i++)
        granted(&s, ask(&s, "\"audience\":\"broker\""));
    refused(&s, ask(&s, "\"audience\":\"broker\""), 429, "temporarily_unavailable");
    world_admin(s.w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\"}");
    for (int i = 0; i < 3; i++)
        granted(&s, ask(&s, "\"audience\":\"broker\""));
    refused(&s, ask(&s, "\"audience\":\"broker\""), 429, "temporarily_unavailable");
    world_pass(s.w, 3600);
    granted(&s, ask(&s, "\"audience\":\"broker\"")); /* counted, if others have tokens: room for two more */
    granted(&s, ask(&s, "\"audience\":\"broker\""));
    granted(&s, ask(&s, "\"audience\":\"broker\""));
    refused(&s, ask(&s, "\"audience\":\"broker\""), 429, "temporarily_unavailable");
}

static void revoking_at_once_does_not_fill_the_table_for_others(void **state UNUSED)
{
    /* RFC 7009 makes rows that are no longer live but are kept until their end */
    SITE(s);
    const struct js *answer = NULL;
    int granted_count = 0;

    s.w->settings.token_max = 20;
    s.w->settings.token_max_per_client = 2;
    for (;; granted_count++) {
        answer = ask(&s, "\"audience\":\"broker\"");
        if (s.w->code != 200)
            break;
        world_admin(s.w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\"}");
        assert_true(granted_count < 20);
    }
    refused(&s, answer, 429, "temporarily_unavailable");
    assert_int_equal(granted_count, 10);
    world_pass(s.w, 3600);
    granted(&s, ask(&s, "\"audience\":\"broker\""));
}

static void a_clock_that_jumped_does_not_put_off_the_purge(void **state UNUSED)
{
    SITE(s);
    int64_t tokens = 0;

    s.w->now.wall.s += 315360000; /* ten years, and back */
    s.w->now.mono.ms += 60000;
    world_admin(s.w, "{\"cmd\":\"status\"}");
    s.w->now.wall.s -= 315360000;
    granted(&s, ask(&s, "\"audience\":\"broker\""));
    world_pass(s.w, 7200);
    assert_true(js_get_i64(world_admin(s.w, "{\"cmd\":\"status\"}"), "tokens", &tokens));
    assert_int_equal(tokens, 0);
}

static void a_token_that_cannot_be_kept_is_not_answered(void **state UNUSED)
{
    /* A token answered is a row committed: whichever statement fails, no token comes out and none is left behind. */
    SITE(s);
    unsigned n = 1;
    int64_t tokens = 0;

    for (;; n++) {
        sql_fail_at(s.w->sql, n);
        const struct js *answer = ask(&s, "\"audience\":\"broker\"");
        sql_fail_at(s.w->sql, 0);
        if (s.w->code == 200)
            break;
        refused(&s, answer, 503, "temporarily_unavailable");
        assert_int_equal(s.w->retry_after_s, 5);
        assert_true(js_get_i64(world_admin(s.w, "{\"cmd\":\"status\"}"), "tokens", &tokens));
        assert_int_equal(tokens, 0);
        assert_int_equal(js_size(js_get(world_admin(s.w, "{\"cmd\":\"token.list\"}"), "tokens")), 0);
        world_pass(s.w, 60); /* so that the purge runs under failure too */
        assert_true(n < 100);
    }
    assert_true(n > 5);
}

static void what_is_not_on_disk_is_not_answered(void **state UNUSED)
{
    SITE(s);
    bool failing = false;

    sql_fail_sync(s.w->sql, true);
    for (int i = 0; i < 2; i++) {
        const struct js *answer = ask(&s, "\"audience\":\"broker\"");
        refused(&s, answer, 503, "temporarily_unavailable");
        assert_null(js_get(answer, "access_token"));
        assert_int_equal(s.w->retry_after_s, 5);
    }
    world_admin_refused(s.w, "{\"cmd\":\"client.add\",\"client_id\":\"x\"}", "IO");
    world_admin_refused(s.w, "{\"cmd\":\"status\"}", "IO"); /* it would tell of what may be gone */
    assert_true(as_store_failing(s.w->as));
    sql_fail_sync(s.w->sql, false);
    s.w->now.mono.ms += AS_TRY_MS; /* by itself */
    as_purge(s.w->as, s.w->now);
    assert_false(as_store_failing(s.w->as));
    assert_true(js_get_bool(world_admin(s.w, "{\"cmd\":\"status\"}"), "store_failing", &failing));
    assert_false(failing);
    granted(&s, ask(&s, "\"audience\":\"broker\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_on_disk_is_not_answered),
        cmocka_unit_test(without_req_cnf_a_secret_is_made_and_the_token_encrypted),
        cmocka_unit_test(every_token_has_its_own_secret),
        cmocka_unit_test(a_resource_server_without_a_key_gets_no_secrets),
        cmocka_unit_test(a_public_key_with_a_proof_is_bound),
        cmocka_unit_test(a_public_key_without_or_with_a_wrong_proof_is_refused),
        cmocka_unit_test(the_key_of_the_assertion_is_proved_by_it),
        cmocka_unit_test(the_registered_key_counts_by_value_and_by_kid),
        cmocka_unit_test(a_tls_certificate_authenticates_and_proves_its_key),
        cmocka_unit_test(keys_that_cannot_be_pop_keys_are_refused),
        cmocka_unit_test(private_parts_and_forbidding_members_are_refused),
        cmocka_unit_test(rights_can_change_on_a_secret_the_client_holds),
        cmocka_unit_test(profiles_and_grant_types),
        cmocka_unit_test(the_audience_is_found_or_asked_for),
        cmocka_unit_test(the_scope_comes_back_in_the_form_it_came),
        cmocka_unit_test(cnonce_is_copied_into_the_token),
        cmocka_unit_test(exi_tokens_count_up),
        cmocka_unit_test(exi_numbers_are_new_when_the_resource_server_comes_again),
        cmocka_unit_test(rs_cnf_comes_with_public_keys_only),
        cmocka_unit_test(limits_of_live_tokens_hold_and_expiry_makes_room),
        cmocka_unit_test(revoking_makes_room_and_what_ends_is_counted_once_more),
        cmocka_unit_test(revoking_at_once_does_not_fill_the_table_for_others),
        cmocka_unit_test(a_clock_that_jumped_does_not_put_off_the_purge),
        cmocka_unit_test(a_token_that_cannot_be_kept_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
