/* Token requests, responses and the cache. */
#include "base/buf.h"
#include "client/key_priv.h"
#include "client/private_file.h"
#include "client/token_cache.h"
#include "client/url.h"
#include "codec/json.h"
#include "jose/jwk.h"
#include "symbolon/ace.h"
#include "token/assertion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the first two above */
#include <cmocka.h>

#define NOW      1800000000
#define ENDPOINT "https://as.example/token"
#define SECRET32 "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE" /* "0123...01" */
#define X5T      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static struct symbolon_bytes text(const char *s)
{
    return (struct symbolon_bytes){ s, strlen(s) };
}

static struct symbolon_key *new_key(enum symbolon_key_type type)
{
    struct symbolon_key *key = NULL;

    assert_int_equal(symbolon_key_generate(type, &key, NULL), SYMBOLON_OK);
    return key;
}

static struct js *parse(char *json)
{
    struct js *js = NULL;

    assert_int_equal(js_parse(span_of_str(json), 65536, &js, NULL), ST_OK);
    symbolon_free(json);
    return js;
}

static void assert_member(const struct js *js, const char *name, const char *value)
{
    struct span s;

    assert_true(js_get_str(js, name, &s));
    assert_true(span_eq_str(s, value));
}

static struct span member(const struct js *js, const char *name)
{
    struct span s = SPAN_NONE;

    assert_true(js_get_str(js, name, &s));
    return s;
}

/* ---- requests ---- */

static void af24_a_request_asks_for_the_profile_and_carries_what_was_said(void **state UNUSED)
{
    const struct symbolon_token_request request = { .token_endpoint = ENDPOINT,
                                                    .client_id = "sensor-1",
                                                    .audience = "broker",
                                                    .scope_json = "[[\"a/#\",[\"sub\"]]]",
                                                    .cnonce = "4KFWuz8",
                                                    .client_secret = "s3cret",
                                                    .now_s = NOW };
    char *json = NULL;

    assert_int_equal(symbolon_token_request(&request, &json, NULL), SYMBOLON_OK);
    CLEANUP(js_unrefp)
    struct js *js = parse(json);
    assert_member(js, "grant_type", "client_credentials");
    assert_member(js, "client_id", "sensor-1");
    assert_member(js, "client_secret", "s3cret");
    assert_member(js, "audience", "broker");
    assert_member(js, "scope", "W1siYS8jIixbInN1YiJdXV0"); /* MT-86: base64url of the AIF text */
    assert_member(js, "cnonce", "4KFWuz8");
    assert_member(js, "ace_profile", "");
    assert_null(js_get(js, "req_cnf")); /* AF-26: the AS makes a secret */
    assert_null(js_get(js, "client_assertion"));
}

static void check_statement(struct span jws, const struct key *key, const char *typ, bool names_issuer)
{
    const struct span aud = SPAN(ENDPOINT);
    const struct assertion_expected expected = {
        .typ = typ,
        .iss = names_issuer ? SPAN("sensor-1") : SPAN_NONE,
        .sub = names_issuer ? SPAN("sensor-1") : SPAN_NONE,
        .client_id = SPAN("sensor-1"),
        .auds = &aud,
        .n_auds = 1,
        .max_age_s = 300,
    };
    struct assertion assertion;
    struct why why = { 0 };

    assert_int_equal(assertion_check(jws, key, &expected, (struct wall_time){ NOW + 1 }, &assertion, &why),
                     ST_OK);
    assert_int_equal(assertion_check(jws, key, &expected, (struct wall_time){ NOW + 1000 }, &assertion, &why),
                     ST_BAD_CREDENTIAL);
}

static void af42_one_key_for_both_is_proved_by_the_assertion_alone(void **state UNUSED)
{
    struct symbolon_key *key = new_key(SYMBOLON_KEY_ED25519);
    const struct symbolon_token_request request = {
        .token_endpoint = ENDPOINT, .client_id = "sensor-1", .client_key = key, .pop_key = key, .now_s = NOW
    };
    struct jwk jwk;
    char *json = NULL;

    assert_int_equal(symbolon_token_request(&request, &json, NULL), SYMBOLON_OK);
    CLEANUP(js_unrefp)
    struct js *js = parse(json);
    assert_member(js, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    check_statement(member(js, "client_assertion"), key_inside(key), ASSERTION_TYP_CLIENT, true);
    assert_null(js_get(js, "req_cnf_proof"));
    assert_int_equal(jwk_parse(js_get(js_get(js, "req_cnf"), "jwk"), JWK_PUBLIC, &jwk, NULL), ST_OK);
    assert_true(key_same(jwk.key, key_inside(key)));
    jwk_done(&jwk);
    symbolon_key_unref(key);
}

static void af42_another_key_is_proved_by_its_own_statement(void **state UNUSED)
{
    struct symbolon_key *client = new_key(SYMBOLON_KEY_ED25519), *pop = new_key(SYMBOLON_KEY_P256);
    struct symbolon_token_request request = {
        .token_endpoint = ENDPOINT, .client_id = "sensor-1", .client_key = client, .pop_key = pop, .now_s = NOW
    };
    char *json = NULL;

    assert_int_equal(symbolon_token_request(&request, &json, NULL), SYMBOLON_OK);
    CLEANUP(js_unrefp)
    struct js *js = parse(json);
    check_statement(member(js, "req_cnf_proof"), key_inside(pop), ASSERTION_TYP_REQ_CNF, false);
    check_statement(member(js, "client_assertion"), key_inside(client), ASSERTION_TYP_CLIENT, true);

    request.client_key = NULL;
    request.client_secret = "s3cret";
    assert_int_equal(symbolon_token_request(&request, &json, NULL), SYMBOLON_OK);
    CLEANUP(js_unrefp)
    struct js *by_secret = parse(json);
    check_statement(member(by_secret, "req_cnf_proof"), key_inside(pop), ASSERTION_TYP_REQ_CNF, false);
    symbolon_key_unref(client);
    symbolon_key_unref(pop);
}

static void rfc6749_6_a_refresh_names_neither_key_nor_scope_again(void **state UNUSED)
{
    struct symbolon_key *key = new_key(SYMBOLON_KEY_ED25519);
    const struct symbolon_token_request request = { .token_endpoint = ENDPOINT,
                                                    .client_id = "sensor-1",
                                                    .audience = "broker",
                                                    .scope_json = "[[\"a/#\",[\"sub\"]]]",
                                                    .cnonce = "4KFWuz8",
                                                    .client_key = key,
                                                    .pop_key = key,
                                                    .refresh_token = "r3fresh",
                                                    .now_s = NOW };
    char *json = NULL;

    assert_int_equal(symbolon_token_request(&request, &json, NULL), SYMBOLON_OK);
    CLEANUP(js_unrefp)
    struct js *js = parse(json);
    assert_member(js, "grant_type", "refresh_token");
    assert_member(js, "refresh_token", "r3fresh");
    assert_member(js, "cnonce", "4KFWuz8");
    assert_non_null(js_get(js, "client_assertion"));
    assert_null(js_get(js, "audience"));
    assert_null(js_get(js, "scope"));
    assert_null(js_get(js, "req_cnf"));
    symbolon_key_unref(key);
}

static void a_refresh_with_a_client_secret_proves_the_key_again(void **state UNUSED)
{
    /* The server gives no token for a public key whose possession is not shown (decision 0001). */
    struct symbolon_key *key = new_key(SYMBOLON_KEY_P256);
    const struct symbolon_token_request request = { .token_endpoint = ENDPOINT,
                                                    .client_id = "sensor-1",
                                                    .client_secret = "s",
                                                    .pop_key = key,
                                                    .refresh_token = "r3fresh",
                                                    .now_s = NOW };
    char *json = NULL;

    assert_int_equal(symbolon_token_request(&request, &json, NULL), SYMBOLON_OK);
    CLEANUP(js_unrefp)
    struct js *js = parse(json);
    check_statement(member(js, "req_cnf_proof"), key_inside(key), ASSERTION_TYP_REQ_CNF, false);
    assert_null(js_get(js, "req_cnf"));
    symbolon_key_unref(key);
}

static void af41_a_secret_never_goes_into_a_request(void **state UNUSED)
{
    struct symbolon_key *secret = new_key(SYMBOLON_KEY_SECRET);
    const struct symbolon_token_request request = { .token_endpoint = ENDPOINT,
                                                    .client_id = "sensor-1",
                                                    .client_secret = "s",
                                                    .pop_key = secret,
                                                    .now_s = NOW };
    struct symbolon_error error;
    char *json = NULL;

    assert_int_equal(symbolon_token_request(&request, &json, &error), SYMBOLON_INVALID);
    assert_non_null(strstr(error.clause, "AF-41"));
    assert_null(json);
    symbolon_key_unref(secret);
}

static void af20_a_request_without_credentials_or_with_a_broken_scope_is_refused(void **state UNUSED)
{
    struct symbolon_token_request request = { .token_endpoint = ENDPOINT, .client_id = "c", .now_s = NOW };
    char *json = NULL;

    assert_int_equal(symbolon_token_request(&request, &json, NULL), SYMBOLON_INVALID);
    request.client_secret = "s";
    request.scope_json = "[[\"a#\",[\"pub\"]]]"; /* MT-87 */
    assert_int_equal(symbolon_token_request(&request, &json, NULL), SYMBOLON_NOT_AUTHORIZED);
    request.scope_json = "[[\"a\",[\"fly\"]]]";
    assert_int_equal(symbolon_token_request(&request, &json, NULL), SYMBOLON_NOT_AUTHORIZED);
    request.client_id = NULL;
    assert_int_equal(symbolon_token_request(&request, &json, NULL), SYMBOLON_INVALID);
    assert_null(json);
}

static void an_enrolment_proves_the_key_it_registers(void **state UNUSED)
{
    struct symbolon_key *key = new_key(SYMBOLON_KEY_ED25519);
    char *json = NULL;

    assert_int_equal(symbolon_enroll_request(ENDPOINT, "code", "sensor-1", key, NOW, &json, NULL), SYMBOLON_OK);
    CLEANUP(js_unrefp)
    struct js *js = parse(json);
    assert_member(js, "code", "code");
    check_statement(member(js, "proof"), key_inside(key), ASSERTION_TYP_REQ_CNF, false);
    assert_null(js_get(js_get(js, "jwk"), "d"));
    symbolon_key_unref(key);
}

/* ---- responses ---- */

static enum symbolon_status respond(int http, const char *body, const struct symbolon_key *pop,
                                    struct symbolon_token *token, struct symbolon_error *error)
{
    return symbolon_token_response(http, text(body), pop, NOW, token, error);
}

static void af35_a_response_gives_token_life_scope_and_pin(void **state UNUSED)
{
    struct symbolon_key *key = new_key(SYMBOLON_KEY_ED25519);
    struct symbolon_token token;

    /* AF-37: the type in any case. D-20: the scope in any form comes out as AIF. 201 as A46 says, 200 as RFC 6749. */
    assert_int_equal(
        respond(200,
                "{\"access_token\":\"abc\",\"token_type\":\"pop\",\"expires_in\":60,\"ace_profile\":"
                "\"mqtt_tls\",\"scope\":\"W1siYS8jIixbInN1YiJdXV0\",\"rs_cnf\":{\"x5t#S256\":\"" X5T "\"}}",
                key, &token, NULL),
        SYMBOLON_OK);
    assert_string_equal(token.access_token, "abc");
    assert_int_equal(token.expires_at_s, NOW + 60);
    assert_string_equal(token.scope, "[[\"a/#\",[\"sub\"]]]");
    assert_true(token.has_rs_x5t);
    assert_int_equal(token.rs_x5t[31], 31);
    assert_null(token.key);
    symbolon_token_done(&token);
    assert_int_equal(respond(201, "{\"access_token\":\"abc\",\"expires_in\":60}", key, &token, NULL),
                     SYMBOLON_OK);
    symbolon_token_done(&token);
    symbolon_key_unref(key);
}

static void af43_the_secret_of_the_server_is_taken_over(void **state UNUSED)
{
    struct symbolon_token token;

    assert_int_equal(
        respond(
            200,
            "{\"access_token\":\"abc\",\"expires_in\":60,\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"k\":\"" SECRET32
            "\"}}}",
            NULL, &token, NULL),
        SYMBOLON_OK);
    assert_int_equal(symbolon_key_type(token.key), SYMBOLON_KEY_SECRET);
    symbolon_token_done(&token);
}

static void a_refreshed_token_may_repeat_the_secret_but_not_change_it(void **state UNUSED)
{
    static const char body[] = "{\"access_token\":\"abc\",\"expires_in\":60,\"refresh_token\":\"r2\",\"cnf\":{"
                               "\"jwk\":{\"kty\":\"oct\",\"kid\":\"k-1\",\"k\":\"" SECRET32 "\"}}}";
    struct symbolon_key *same = NULL, *other = new_key(SYMBOLON_KEY_SECRET);
    struct symbolon_token token;

    assert_int_equal(symbolon_key_from_secret(text("01234567890123456789012345678901"), &same, NULL),
                     SYMBOLON_OK);
    assert_int_equal(respond(200, body, same, &token, NULL), SYMBOLON_OK);
    assert_string_equal(token.refresh_token, "r2");
    assert_string_equal(token.kid, "k-1"); /* MT-29: the name of the key in a PSK identity */
    assert_true(key_same(key_inside(token.key), key_inside(same)));
    symbolon_token_done(&token);
    assert_int_equal(respond(200, body, other, &token, NULL), SYMBOLON_PROTOCOL);
    symbolon_key_unref(same);
    symbolon_key_unref(other);
}

static void mt28_a_broker_is_shown_the_bytes_of_a_cwt_and_the_text_of_others(void **state UNUSED)
{
    uint8_t out[64];
    size_t len;

    assert_int_equal(symbolon_token_bytes("a.b.c", out, sizeof out, &len, NULL), SYMBOLON_OK);
    assert_true(span_eq_str(span_of(out, len), "a.b.c"));
    assert_int_equal(symbolon_token_bytes("0oRDoQEmoEEAQQA", out, sizeof out, &len, NULL), SYMBOLON_OK);
    assert_true(span_eq(span_of(out, len), SPAN("\xd2\x84\x43\xa1\x01\x26\xa0\x41\x00\x41\x00")));
    assert_int_equal(symbolon_token_bytes("0oRDoQEmoEEAQQA", out, 10, &len, NULL), SYMBOLON_TOO_LARGE);
}

static void refused_responses_say_why_and_leave_nothing(void **state UNUSED)
{
    static const struct {
        const char *body;
        bool own_key;
    } rows[] = {
        { "", true },
        { "[]", true },
        { "{\"expires_in\":60}", true },
        { "{\"access_token\":7,\"expires_in\":60}", true },
        { "{\"access_token\":\"\",\"expires_in\":60}", true },
        { "{\"access_token\":\"a\"}", true }, /* AF-38 */
        { "{\"access_token\":\"a\",\"expires_in\":0}", true },
        { "{\"access_token\":\"a\",\"expires_in\":-5}", true },
        { "{\"access_token\":\"a\",\"expires_in\":\"60\"}", true },
        { "{\"access_token\":\"a\",\"expires_in\":60,\"token_type\":\"Bearer\"}", true },     /* AF-37 */
        { "{\"access_token\":\"a\",\"expires_in\":60,\"ace_profile\":\"coap_dtls\"}", true }, /* MT-11 */
        { "{\"access_token\":\"a\",\"expires_in\":60,\"ace_profile\":3}", true },
        { "{\"access_token\":\"a\",\"expires_in\":60,\"scope\":[[\"a#\",[\"pub\"]]]}", true }, /* MT-87 */
        { "{\"access_token\":\"a\",\"expires_in\":60,\"rs_cnf\":{\"x5t#S256\":\"AAEC\"}}", true },
        { "{\"access_token\":\"a\",\"expires_in\":60,\"rs_cnf\":{\"kid\":\"k\"}}", true },
        { "{\"access_token\":\"a\",\"expires_in\":60,\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"k\":\"" SECRET32
          "\"}}}",
          true },
        { "{\"access_token\":\"a\",\"expires_in\":60}", false }, /* AF-43 */
        { "{\"access_token\":\"a\",\"expires_in\":60,\"cnf\":{\"jwk\":{\"kty\":\"oct\",\"k\":\"" SECRET32
          "\"}},\"rs_cnf\":{\"x5t#S256\":\"" X5T "\"}}",
          false }, /* AF-44 */
        { "{\"access_token\":\"a\",\"access_token\":\"b\",\"expires_in\":60}", true },
    };
    struct symbolon_key *key = new_key(SYMBOLON_KEY_ED25519);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct symbolon_token token = { 0 };
        struct symbolon_error error = { 0 };
        assert_int_not_equal(respond(200, rows[i].body, rows[i].own_key ? key : NULL, &token, &error),
                             SYMBOLON_OK);
        assert_true(error.text[0] != '\0');
        assert_null(token.access_token);
    }
    symbolon_key_unref(key);
}

static void rfc9201_3_2_a_token_for_another_key_is_refused(void **state UNUSED)
{
    struct symbolon_key *ours = new_key(SYMBOLON_KEY_ED25519), *other = new_key(SYMBOLON_KEY_ED25519);
    struct symbolon_token token;
    char *jwk = NULL, body[512];

    assert_int_equal(symbolon_key_public_jwk(other, &jwk, NULL), SYMBOLON_OK);
    snprintf(body, sizeof body, "{\"access_token\":\"a\",\"expires_in\":60,\"cnf\":{\"jwk\":%s}}", jwk);
    assert_int_equal(respond(200, body, ours, &token, NULL), SYMBOLON_PROTOCOL);
    assert_int_equal(respond(200, body, other, &token, NULL), SYMBOLON_OK);
    symbolon_token_done(&token);
    symbolon_free(jwk);
    symbolon_key_unref(ours);
    symbolon_key_unref(other);
}

static void af50_error_answers_keep_their_name_and_description(void **state UNUSED)
{
    struct symbolon_token token;
    struct symbolon_error error;

    assert_int_equal(respond(400, "{\"error\":\"invalid_scope\",\"error_description\":\"no\\u0007allow\"}",
                             NULL, &token, &error),
                     SYMBOLON_NOT_AUTHORIZED);
    assert_non_null(strstr(error.text, "invalid_scope: no?allow")); /* nothing steers a terminal */
    assert_int_equal(respond(401, "{\"error\":\"invalid_client\"}", NULL, &token, &error),
                     SYMBOLON_NOT_AUTHORIZED);
    assert_int_equal(respond(400, "{\"error\":\"unsupported_pop_key\"}", NULL, &token, &error),
                     SYMBOLON_UNSUPPORTED);
    assert_int_equal(respond(503, "<html>", NULL, &token, &error), SYMBOLON_UNREACHABLE);
    assert_non_null(strstr(error.text, "503"));
    assert_int_equal(respond(302, "", NULL, &token, &error), SYMBOLON_REFUSED);
}

static void a_life_of_centuries_does_not_overflow(void **state UNUSED)
{
    struct symbolon_key *key = new_key(SYMBOLON_KEY_ED25519);
    struct symbolon_token token;

    assert_int_equal(
        respond(200, "{\"access_token\":\"a\",\"expires_in\":9223372036854775807}", key, &token, NULL),
        SYMBOLON_OK);
    assert_true(token.expires_at_s > NOW && token.expires_at_s < NOW + INT64_C(400000000));
    symbolon_token_done(&token);
    symbolon_key_unref(key);
}

/* ---- addresses ---- */

static void endpoints_follow_from_what_names_the_server(void **state UNUSED)
{
    static const struct {
        const char *as, *endpoint, *want;
    } rows[] = {
        { "https://as", "token", "https://as/token" },
        { "https://as/", "token", "https://as/token" },
        { "https://as/", "enroll", "https://as/enroll" },
        { "https://as:8443/token", "token", "https://as:8443/token" },
        { "https://as:8443/token", "enroll", "https://as:8443/enroll" },
        { "https://as/t/oauth?x=/", "enroll", "https://as/t/enroll" },
        { "https://as/oauth", "token", "https://as/oauth" },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf out = { .max = 1000 };
        struct url url;
        assert_int_equal(url_parse(span_of_str(rows[i].as), &url, NULL), ST_OK);
        url_endpoint(&url, rows[i].endpoint, &out);
        assert_true(span_eq_str(buf_span(&out), rows[i].want));
    }
}

/* ---- the cache ---- */

static struct symbolon_token sample(void)
{
    struct symbolon_token token = { .access_token = strdup("abc"),
                                    .obtained_at_s = NOW,
                                    .expires_at_s = NOW + 60,
                                    .scope = strdup("[[\"a\",[\"pub\"]]]"),
                                    .has_rs_x5t = true,
                                    .kid = strdup("k-1"),
                                    .refresh_token = strdup("r1"),
                                    .key = new_key(SYMBOLON_KEY_SECRET) };

    memset(token.rs_x5t, 7, sizeof token.rs_x5t);
    return token;
}

static void a_cached_token_comes_back_as_it_was(void **state UNUSED)
{
    char dir[] = "/tmp/symbolon-test-XXXXXX", folder[64];
    const struct token_purpose purpose = { .broker = "b:8883", .client_id = "c" };
    struct symbolon_token token = sample(), back;
    struct stat st;

    assert_non_null(mkdtemp(dir));
    snprintf(folder, sizeof folder, "%s/deep/tokens", dir);
    char *path = token_cache_path(folder, &purpose);
    assert_int_equal(token_cache_load(path, NOW, &back, NULL), ST_NOT_FOUND);
    assert_int_equal(token_cache_store(folder, path, &purpose, &token, NULL), ST_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(token_cache_load(path, NOW + 59, &back, NULL), ST_OK);
    assert_string_equal(back.access_token, "abc");
    assert_string_equal(back.scope, token.scope);
    assert_string_equal(back.kid, "k-1");
    assert_string_equal(back.refresh_token, "r1");
    assert_int_equal(back.expires_at_s, token.expires_at_s);
    assert_memory_equal(back.rs_x5t, token.rs_x5t, sizeof token.rs_x5t);
    assert_true(key_same(key_inside(back.key), key_inside(token.key)));
    symbolon_token_done(&back);
    assert_int_equal(token_cache_load(path, NOW + 60, &back, NULL), ST_OK); /* for what refreshes it */
    assert_null(back.access_token);
    assert_string_equal(back.refresh_token, "r1");
    assert_true(key_same(key_inside(back.key), key_inside(token.key)));
    symbolon_token_done(&back);
    symbolon_free(TAKE(token.refresh_token));
    assert_int_equal(token_cache_store(folder, path, &purpose, &token, NULL), ST_OK);
    assert_int_equal(token_cache_load(path, NOW + 60, &back, NULL), ST_TOKEN_EXPIRED);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(token_cache_load(path, NOW, &back, NULL), ST_DENIED);
    token_cache_drop(path);
    assert_int_equal(token_cache_load(path, NOW, &back, NULL), ST_NOT_FOUND);
    rmdir(folder);
    snprintf(folder, sizeof folder, "%s/deep", dir);
    rmdir(folder);
    rmdir(dir);
    free(path);
    symbolon_token_done(&token);
}

static void each_purpose_has_a_file_of_its_own(void **state UNUSED)
{
    const struct token_purpose rows[] = {
        { .broker = "ab" },
        { .broker = "a", .as_url = "b" },
        { .broker = "a", .client_id = "b" },
        { .broker = "a", .key = "" },
        { .broker = "a" },
        { .broker = "a", .audience = "b" },
        { .broker = "a", .scope = "b" },
    };
    char *paths[COUNT_OF(rows)];

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        paths[i] = token_cache_path("/x", &rows[i]);
        assert_non_null(paths[i]);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(paths[i], paths[j]);
    }
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        free(paths[i]);
}

static void a_damaged_cache_file_counts_as_none(void **state UNUSED)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"version\":2}",
        "{\"version\":1,\"expires_at\":1900000000,\"obtained_at\":1}",
        "{\"version\":1,\"access_token\":\"a\",\"expires_at\":\"x\",\"obtained_at\":1}",
        "{\"version\":1,\"access_token\":\"a\",\"expires_at\":1900000000,\"obtained_at\":1,"
        "\"key\":{\"kty\":\"oct\"}}",
        "{\"version\":1,\"access_token\":\"a\",\"expires_at\":1900000000,\"obtained_at\":1,"
        "\"rs_x5t#S256\":\"AA\"}"
    };
    struct symbolon_token token;

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_not_equal(token_cache_parse(span_of_str(bad[i]), NOW, &token, NULL), ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(af24_a_request_asks_for_the_profile_and_carries_what_was_said),
        cmocka_unit_test(af42_one_key_for_both_is_proved_by_the_assertion_alone),
        cmocka_unit_test(af42_another_key_is_proved_by_its_own_statement),
        cmocka_unit_test(rfc6749_6_a_refresh_names_neither_key_nor_scope_again),
        cmocka_unit_test(a_refresh_with_a_client_secret_proves_the_key_again),
        cmocka_unit_test(af41_a_secret_never_goes_into_a_request),
        cmocka_unit_test(af20_a_request_without_credentials_or_with_a_broken_scope_is_refused),
        cmocka_unit_test(an_enrolment_proves_the_key_it_registers),
        cmocka_unit_test(af35_a_response_gives_token_life_scope_and_pin),
        cmocka_unit_test(af43_the_secret_of_the_server_is_taken_over),
        cmocka_unit_test(a_refreshed_token_may_repeat_the_secret_but_not_change_it),
        cmocka_unit_test(mt28_a_broker_is_shown_the_bytes_of_a_cwt_and_the_text_of_others),
        cmocka_unit_test(refused_responses_say_why_and_leave_nothing),
        cmocka_unit_test(rfc9201_3_2_a_token_for_another_key_is_refused),
        cmocka_unit_test(af50_error_answers_keep_their_name_and_description),
        cmocka_unit_test(a_life_of_centuries_does_not_overflow),
        cmocka_unit_test(endpoints_follow_from_what_names_the_server),
        cmocka_unit_test(a_cached_token_comes_back_as_it_was),
        cmocka_unit_test(each_purpose_has_a_file_of_its_own),
        cmocka_unit_test(a_damaged_cache_file_counts_as_none),
    };
    return cmocka_run_group_tests_name("client_token", tests, NULL, NULL);
}
