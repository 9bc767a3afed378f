/* What tokens look like for each resource server (format, protection, kinds of keys, profiles), requests and answers in
 * CBOR, and databases of older programs. Tokens are verified as a resource server would (token/verifier.h). */
#include "as/registry.h"
#include "as/schema.h"
#include "as/token_row.h"
#include "as/world_test.h"
#include "codec/base64.h"
#include "codec/cbor.h"
#include "crypto/x509.h"
#include "jose/jwk.h"
#include "token/ace_cbor.h"
#include "token/verifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

/* "b": a resource server with a key shared with us; c: a client with a secret, k: one with a registered key. */
struct site {
    struct world *w;
    const char *secret, *rs_secret;
    struct key *registered, *shared;
    const char *shared_kid;
    bool cbor; /* requests go out in CBOR, and answers are expected in it */
};

static void open_site(struct site *s, const char *rs_members)
{
    struct world *w = s->w = world_new();
    struct jwk jwk = { 0 };

    assert_int_equal(key_generate(KEY_ED25519, &s->registered), ST_OK);
    const struct js *answer = world_admin(
        w, world_text(w, "{\"cmd\":\"rs.add\",\"audience\":\"b\",\"key\":\"generate\"%s}", rs_members));
    assert_int_equal(jwk_parse(js_get(answer, "key"), JWK_SECRET, &jwk, NULL), ST_OK);
    s->shared = key_ref(jwk.key);
    jwk_done(&jwk);
    s->shared_kid = world_str(w, js_get(answer, "key"), "kid");
    s->rs_secret = world_str(w, answer, "rs_secret");
    s->secret = world_str(w, world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"c\"}"), "client_secret");
    world_admin(w, world_text(w, "{\"cmd\":\"client.add\",\"client_id\":\"k\",\"jwk\":%s}",
                              world_jwk(w, s->registered)));
    world_admin(w, "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"b\",\"filter\":\"d/#\","
                   "\"permissions\":[\"pub\",\"sub\"]}");
}

static void close_site(struct site *s)
{
    key_unref(s->registered);
    key_unref(s->shared);
    world_free(s->w);
}

#define SITE(s, rs_members) \
    CLEANUP(close_site)     \
    struct site s = { 0 };  \
    open_site(&s, rs_members)

/* One POST of these bytes; the answer in `out`, to be given back. */
static void post_bytes(struct site *s, const char *path, const char *content_type, struct span body,
                       struct as_response *out)
{
    const struct as_request request = {
        .method = SPAN("POST"),
        .path = span_of_str(path),
        .content_type = span_of_str(content_type),
        .authorization = s->w->authorization,
        .body = body,
        .peer = SPAN("192.0.2.1"),
        .cert_der = s->w->cert_der,
    };

    as_answer(s->w->as, &request, s->w->now, out);
    s->w->code = out->code;
}

static const struct js *keep(struct site *s, struct js *answer)
{
    js_unref(s->w->answer);
    s->w->answer = answer;
    return answer;
}

static const struct js *post_cbor(struct site *s, const char *path, enum ace_document ask, const char *json)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct js *answer = NULL;
    struct as_response out;
    struct buf cbor;

    buf_init(&cbor, AS_BODY_MAX);
    assert_int_equal(js_parse(span_of_str(json), AS_BODY_MAX, &js, NULL), ST_OK);
    assert_int_equal(ace_to_cbor(ask, js, &cbor, NULL), ST_OK);
    post_bytes(s, path, "application/ace+cbor", buf_span(&cbor), &out);
    assert_string_equal(out.content_type, "application/ace+cbor"); /* AF-5, AF-51 */
    enum ace_document what = ask == ACE_TOKEN_REQUEST ? ACE_TOKEN_RESPONSE : ACE_INTROSPECTION_RESPONSE;
    assert_int_equal(ace_from_cbor(what, buf_span(&out.body), AS_RESPONSE_MAX, &answer, NULL), ST_OK);
    as_response_done(&out);
    buf_done(&cbor);
    return keep(s, answer);
}

static const struct js *ask(struct site *s, const char *members)
{
    const char *body = world_text(s->w, "{\"client_id\":\"c\",\"client_secret\":\"%s\"%s}", s->secret, members);

    return s->cbor ? post_cbor(s, "/token", ACE_TOKEN_REQUEST, body) : world_post(s->w, "/token", body);
}

static const struct js *granted(struct site *s, const struct js *answer)
{
    if (s->w->code != 200)
        fail_msg("%d %s", s->w->code, world_str(s->w, answer, "error_description"));
    assert_string_equal(world_str(s->w, answer, "token_type"), "PoP");
    return answer;
}

static void refused(struct site *s, const struct js *answer, int code, const char *error)
{
    assert_int_equal(s->w->code, code);
    assert_string_equal(world_str(s->w, answer, "error"), error);
    assert_non_null(js_get(answer, "error_description"));
}

static const char *public_key_members(struct site *s, const char *jti)
{
    return world_text(s->w, ",\"req_cnf\":{\"jwk\":%s},\"req_cnf_proof\":\"%s\"",
                      world_jwk(s->w, s->registered),
                      world_assertion(s->w, s->registered, "req-cnf+jwt", "c", WORLD_ISSUER, jti));
}

static struct token *verified(struct site *s, const struct js *answer)
{
    const struct jwk signing = { .key = s->w->signing_key, .kid = SPAN("test"), .ops = UINT32_MAX };
    CLEANUP(verifier_unrefp)
    struct verifier *verifier = NULL;
    struct jwks *jwks = NULL;
    const struct span auds[] = { SPAN("b") };
    struct token *token = NULL;
    struct buf bytes;
    struct why why = { 0 };

    assert_int_equal(jwks_make(&signing, 1, &jwks), ST_OK);
    const struct verifier_issuer issuer = { .iss = SPAN(WORLD_ISSUER), .jwks = jwks };
    const struct verifier_shared_key shared = { SPAN(WORLD_ISSUER), span_of_str(s->shared_kid), s->shared };
    const struct verifier_config config = { .issuers = &issuer,
                                            .n_issuers = 1,
                                            .audiences = auds,
                                            .n_audiences = 1,
                                            .shared_keys = &shared,
                                            .n_shared_keys = 1 };
    assert_int_equal(verifier_new(&config, &verifier, NULL), ST_OK);
    jwks_unref(jwks);
    buf_init(&bytes, AS_BODY_MAX);
    assert_int_equal(ace_token_bytes(span_of_str(world_str(s->w, answer, "access_token")), &bytes), ST_OK);
    if (token_verify(buf_span(&bytes), verifier, s->w->now.wall, &token, &why) != ST_OK)
        fail_msg("%s: %s", why.clause, why.text);
    buf_done(&bytes);
    return token;
}

static const struct js *introspected(struct site *s, const char *token)
{
    const char *body = world_text(s->w, "{\"token\":\"%s\"}", token);
    char userinfo[256];
    struct buf text;

    buf_init(&text, 512);
    snprintf(userinfo, sizeof userinfo, "b:%s", s->rs_secret);
    put_str(&text, "Basic ");
    base64_encode(span_of_str(userinfo), &text);
    s->w->authorization = span_of_str(world_text(s->w, "%.*s", SPAN_FMT(buf_span(&text))));
    buf_done(&text);
    const struct js *answer = s->cbor ? post_cbor(s, "/introspect", ACE_INTROSPECTION_REQUEST, body)
                                      : world_post(s->w, "/introspect", body);
    s->w->authorization = SPAN_NONE;
    return answer;
}

static bool is_active(const struct js *answer)
{
    bool active = false;
    assert_true(js_get_bool(answer, "active", &active));
    return active;
}

/* ---- formats ---- */

static void check_token(struct site *s, const struct js *answer, enum token_format format, bool encrypted,
                        const struct key *cnf)
{
    CLEANUP(token_unrefp)
    struct token *token = verified(s, answer);
    CLEANUP(buf_done)
    struct buf jti;
    struct span shown;

    assert_int_equal(token->format, format);
    assert_int_equal(token->encrypted, encrypted);
    assert_true(token->has_exp && scope_size(token->scope) == 1);
    if (cnf != NULL)
        assert_true(key_same(token->cnf, cnf));
    else
        assert_int_equal(key_kind(token->cnf), KEY_SECRET);
    /* AF-83, AF-84: found by what the client was given, and named alike */
    buf_init(&jti, 512);
    if (format == TOKEN_CWT)
        base64url_encode(token->jti, &jti);
    else
        put_bytes(&jti, token->jti);
    const struct js *about = introspected(s, world_str(s->w, answer, "access_token"));
    assert_true(is_active(about));
    assert_true(js_get_str(about, "jti", &shown) && span_eq(shown, buf_span(&jti)));
    assert_non_null(js_get(about, "cnf"));
}

static void every_format_and_protection_verifies_and_introspects(void **state UNUSED)
{
    /* MT-2, MT-14, AF-90, TK-11 */
    static const struct {
        const char *format, *protection;
        enum token_format is;
        bool public_encrypted, secret_refused;
    } rows[] = {
        { "jwt", "auto", TOKEN_JWT, false, false },     { "cwt", "auto", TOKEN_CWT, false, false },
        { "jwt", "signed", TOKEN_JWT, false, true },    { "cwt", "signed", TOKEN_CWT, false, true },
        { "jwt", "encrypted", TOKEN_JWT, true, false }, { "cwt", "encrypted", TOKEN_CWT, true, false },
        { "jwt", "nested", TOKEN_JWT, true, false },    { "cwt", "nested", TOKEN_CWT, true, false },
    };

    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        const size_t r = i / 2;
        char members[128];
        snprintf(members, sizeof members, ",\"token_format\":\"%s\",\"protection\":\"%s\"", rows[r].format,
                 rows[r].protection);
        SITE(s, members);
        s.cbor = i % 2 == 1;
        const struct js *answer = granted(&s, ask(&s, public_key_members(&s, "j1")));
        check_token(&s, answer, rows[r].is, rows[r].public_encrypted, s.registered);
        answer = ask(&s, "");
        if (rows[r].secret_refused)
            refused(&s, answer, 400, "unsupported_pop_key"); /* AF-52 */
        else
            check_token(&s, granted(&s, answer), rows[r].is, true, NULL);
    }
}

static void a_reference_is_never_taken_for_a_cwt(void **state UNUSED)
{
    SITE(s, ",\"token_format\":\"reference\"");

    for (int i = 0; i < 50; i++) {
        CLEANUP(buf_done)
        struct buf bytes;
        const char *token = world_str(s.w, granted(&s, ask(&s, "")), "access_token");
        buf_init(&bytes, 256);
        assert_int_equal(base64url_decode(span_of_str(token), &bytes, NULL), ST_OK);
        assert_int_equal(bytes.len, 32);
        assert_true(bytes.p[0] < 0x80);
        assert_true(is_active(introspected(&s, token)));
    }
}

static void exi_and_cnonce_in_a_cwt(void **state UNUSED)
{
    /* AF-17, AF-75, AF-76: cti is rs id | sequence number, as bytes */
    SITE(s, ",\"token_format\":\"cwt\",\"exi\":true");
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    s.cbor = true;
    token = verified(&s, granted(&s, ask(&s, ",\"cnonce\":\"AAECAwQFBgc\"")));

    assert_true(token->has_exi && !token->has_exp);
    assert_int_equal(token->exi_s, 3600);
    assert_true(span_eq(token->cnonce, SPAN("\0\1\2\3\4\5\6\7")));
    assert_int_equal(token->jti.len, 1 + 8);
    assert_int_equal(token->jti.p[0], 'b');
}

static void protection_needs_a_key(void **state UNUSED)
{
    SITE(s, "");
    world_admin_refused(s.w, "{\"cmd\":\"rs.add\",\"audience\":\"x\",\"protection\":\"encrypted\"}",
                        "MALFORMED");
    world_admin_refused(s.w, "{\"cmd\":\"rs.add\",\"audience\":\"x\",\"protection\":\"wrapped\"}", "MALFORMED");
    world_admin(s.w, "{\"cmd\":\"rs.add\",\"audience\":\"x\"}");
    world_admin_refused(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"x\",\"protection\":\"nested\"}", "MALFORMED");
    world_admin_refused(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"x\",\"pop_keys\":[]}", "MALFORMED");
    world_admin_refused(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"x\",\"pop_keys\":[\"RS256\"]}", "MALFORMED");
    world_admin_refused(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"x\",\"profiles\":[\"mqtt_tls\",\"mqtt_tls\"]}",
                        "MALFORMED");
    const struct js *rs =
        js_get(world_admin(
                   s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"x\",\"token_format\":\"cwt\",\"pop_keys\":[\"ES256\"],"
                        "\"profiles\":[\"coap_dtls\"],\"refresh\":true}"),
               "rs");
    assert_string_equal(world_str(s.w, rs, "token_format"), "cwt");
    assert_int_equal(js_size(js_get(rs, "pop_keys")), 1);
    assert_int_equal(js_size(js_get(rs, "profiles")), 1);
}

/* ---- keys ---- */

static void a_resource_server_says_which_keys_it_takes(void **state UNUSED)
{
    /* AF-52 */
    SITE(s, ",\"pop_keys\":[\"ES256\"]");
    refused(&s, ask(&s, public_key_members(&s, "j1")), 400, "unsupported_pop_key");
    refused(&s, ask(&s, ""), 400, "unsupported_pop_key");
    world_admin(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"b\",\"pop_keys\":[\"EdDSA\"]}");
    granted(&s, ask(&s, public_key_members(&s, "j2")));
    refused(&s, ask(&s, ""), 400, "unsupported_pop_key");
    world_admin(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"b\",\"pop_keys\":[\"symmetric\"]}");
    granted(&s, ask(&s, ""));
    refused(&s, ask(&s, public_key_members(&s, "j3")), 400, "unsupported_pop_key");
}

static void the_key_of_an_earlier_token_is_known_by_its_kid(void **state UNUSED)
{
    /* AF-40, AF-54: also at another resource server; not for another client, not when the token is over */
    SITE(s, "");
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    char kid[JWK_THUMBPRINT_TEXT];

    assert_int_equal(jwk_thumbprint_text(s.registered, kid), ST_OK);
    const char *members = world_text(s.w, ",\"req_cnf\":{\"kid\":\"%s\"}", kid);
    refused(&s, ask(&s, members), 400, "unsupported_pop_key");
    granted(&s, ask(&s, public_key_members(&s, "j1")));
    token = verified(&s, granted(&s, ask(&s, members)));
    assert_true(key_same(token->cnf, s.registered));
    world_pass(s.w, 4000);
    refused(&s, ask(&s, members), 400, "unsupported_pop_key");
}

static void a_token_for_the_certificate_of_this_connection(void **state UNUSED)
{
    /* RFC 8705 3.1, AF-42 (b) */
    static const char *const formats[] = { "jwt", "cwt", "reference" };
    SITE(s, "");
    CLEANUP(x509_pair_done)
    struct x509_pair cert = { 0 }, other = { 0 };
    uint8_t x5t[SHA256_LEN];
    struct buf text;

    assert_int_equal(x509_make_ca(SPAN("c"), 1, s.w->now.wall, &cert, NULL), ST_OK);
    assert_int_equal(x509_make_ca(SPAN("o"), 1, s.w->now.wall, &other, NULL), ST_OK);
    assert_int_equal(x509_thumbprint(buf_span(&cert.cert_pem), x5t, NULL), ST_OK);
    buf_init(&text, 64);
    base64url_encode(span_of(x5t, sizeof x5t), &text);
    const char *thumbprint = world_text(s.w, "%.*s", SPAN_FMT(buf_span(&text)));
    buf_done(&text);
    const char *members = world_text(s.w, ",\"req_cnf\":{\"x5t#S256\":\"%s\"}", thumbprint);

    refused(&s, ask(&s, members), 400, "invalid_request"); /* no certificate here */
    s.w->cert_der = buf_span(&other.cert_pem);
    refused(&s, ask(&s, members), 400, "invalid_request"); /* another one */
    s.w->cert_der = buf_span(&cert.cert_pem);
    refused(&s, ask(&s, ",\"req_cnf\":{\"x5t#S256\":\"AAAA\"}"), 400, "invalid_request");
    for (size_t i = 0; i < 2 * COUNT_OF(formats); i++) {
        s.cbor = i % 2 == 1;
        world_admin(s.w, world_text(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"b\",\"token_format\":\"%s\"}",
                                    formats[i / 2]));
        const struct js *answer = granted(&s, ask(&s, members));
        if (i / 2 < 2) {
            CLEANUP(token_unrefp)
            struct token *token = verified(&s, answer);
            assert_int_equal(token->cnf_how, TOKEN_CNF_X5T);
            assert_memory_equal(token->cnf_thumbprint, x5t, sizeof x5t);
        }
        const struct js *about = introspected(&s, world_str(s.w, answer, "access_token"));
        assert_string_equal(world_str(s.w, js_get(about, "cnf"), "x5t#S256"), thumbprint);
    }
    world_admin(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"b\",\"pop_keys\":[\"EdDSA\",\"symmetric\"]}");
    refused(&s, ask(&s, members), 400, "unsupported_pop_key");
}

/* ---- profiles ---- */

static void a_profile_in_common_is_found_or_refused(void **state UNUSED)
{
    /* AF-24, AF-36, AF-53, MT-11, D-7 */
    static const struct {
        const char *rs, *client, *asked, *profile; /* NULL: incompatible */
    } rows[] = {
        { "[\"mqtt_tls\"]", "null", "", "mqtt_tls" },
        { "[\"mqtt_tls\"]", "null", ",\"ace_profile\":\"\"", "mqtt_tls" },
        { "[\"mqtt_tls\"]", "null", ",\"ace_profile\":\"coap_dtls\"", NULL },
        { "[\"mqtt_tls\"]", "[\"coap_dtls\"]", "", NULL },
        { "[\"mqtt_tls\"]", "[\"coap_dtls\"]", ",\"ace_profile\":\"mqtt_tls\"", NULL },
        { "[\"mqtt_tls\",\"coap_dtls\"]", "[\"coap_dtls\"]", "", "coap_dtls" },
        { "[\"mqtt_tls\",\"coap_dtls\"]", "null", "", "mqtt_tls" },
        { "[\"mqtt_tls\",\"coap_dtls\"]", "null", ",\"ace_profile\":1", "coap_dtls" },
        { "[\"coap_oscore\",\"coap_dtls\"]", "null", "", "coap_dtls" },
        { "[\"mqtt_tls\"]", "null", ",\"ace_profile\":\"nobody's\"", NULL },
        { "[\"mqtt_tls\"]", "null", ",\"ace_profile\":99", NULL },
    };
    SITE(s, "");

    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        const size_t r = i / 2;
        s.cbor = i % 2 == 1;
        if (s.cbor && strstr(rows[r].asked, "nobody") != NULL)
            continue; /* no integer */
        world_admin(s.w, world_text(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"b\",\"profiles\":%s}", rows[r].rs));
        world_admin(s.w, world_text(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c\",\"profiles\":%s}",
                                    rows[r].client));
        const struct js *answer = ask(&s, rows[r].asked);
        if (rows[r].profile == NULL) {
            refused(&s, answer, 400, "incompatible_ace_profiles");
            continue;
        }
        assert_string_equal(world_str(s.w, granted(&s, answer), "ace_profile"), rows[r].profile);
        const struct js *about = introspected(&s, world_str(s.w, answer, "access_token"));
        assert_string_equal(world_str(s.w, about, "ace_profile"), rows[r].profile);
    }
}

static void the_metadata_names_the_profiles_there_are(void **state UNUSED)
{
    /* RFC 8414 2 */
    SITE(s, "");
    const char *path = "/.well-known/oauth-authorization-server";
    const struct js *profiles = js_get(world_get(s.w, path), "ace_profiles_supported");
    struct span name;

    assert_true(js_size(profiles) == 1 && js_as_str(js_at(profiles, 0), &name) &&
                span_eq_str(name, "mqtt_tls"));
    world_admin(s.w, "{\"cmd\":\"rs.add\",\"audience\":\"x\",\"profiles\":[\"coap_dtls\",\"mqtt_tls\"]}");
    profiles = js_get(world_get(s.w, path), "ace_profiles_supported");
    assert_true(js_size(profiles) == 2 && js_as_str(js_at(profiles, 0), &name) &&
                span_eq_str(name, "coap_dtls"));
}

/* ---- CBOR ---- */

static void errors_come_in_cbor_too(void **state UNUSED)
{
    /* AF-50, AF-51, MT-15 */
    SITE(s, "");
    s.cbor = true;
    refused(&s, ask(&s, ",\"grant_type\":\"password\""), 400, "unsupported_grant_type");
    refused(&s, ask(&s, ",\"grant_type\":77"), 400, "unsupported_grant_type");
    refused(&s, ask(&s, ",\"audience\":\"nowhere\""), 400, "invalid_request");
    refused(&s, ask(&s, ",\"scope\":\"no aif\""), 400, "invalid_scope");
    refused(&s, ask(&s, ",\"req_cnf\":{\"kid\":\"x\"}"), 400, "unsupported_pop_key");
    refused(&s, ask(&s, ",\"req_cnf\":{\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAA\"}}"), 400,
            "invalid_request"); /* AF-41 */
    s.secret = "wrong";
    refused(&s, ask(&s, ""), 401, "invalid_client");
    s.w->settings.auth_failures_per_minute = 1;
    refused(&s, ask(&s, ""), 429,
            "invalid_request"); /* no number for temporarily_unavailable: the code says it */
}

static void the_scope_is_aif_in_bytes(void **state UNUSED)
{
    /* MT-86, AF-106, D-20 */
    SITE(s, "");
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    s.cbor = true;
    const struct js *answer = granted(&s, ask(&s, ",\"scope\":[[\"d/x\",[\"pub\"]],[\"e\",[\"sub\"]]]"));
    assert_int_equal(scope_from_claim(js_get(answer, "scope"), &scope, NULL), ST_OK);
    assert_int_equal(scope_size(scope), 1);
    assert_true(scope_may_publish(scope, (struct topic_name){ SPAN("d/x") }));
}

static void hostile_cbor_is_refused_in_cbor(void **state UNUSED)
{
    /* TK-48, TK-49, TK-50 */
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        { "", 0 },
        { "\xa2\x18\x21\x02\x18\x21\x02", 7 },
        { "\xbf\x18\x21\x02\xff", 5 },
        { "\xa1\x19\x00\x21\x02", 5 },
        { "\xa1\x18\x21\x02\x00", 5 },
        { "\x80", 1 },
        { "\xa1\x05\x62\xc3\x28", 5 },
        { "\x9b\xff\xff\xff\xff\xff\xff\xff\xff", 9 },
        { "\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x80", 19 },
    };
    SITE(s, "");

    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        struct as_response out;
        CLEANUP(cb_unrefp)
        struct cb *cb = NULL;
        int64_t error = 0;
        post_bytes(&s, i % 2 == 0 ? "/token" : "/introspect", "application/ace+cbor",
                   span_of(rows[i / 2].bytes, rows[i / 2].len), &out);
        assert_int_equal(out.code, 400);
        assert_string_equal(out.content_type, "application/ace+cbor");
        assert_int_equal(cb_parse(buf_span(&out.body), AS_RESPONSE_MAX, &cb, NULL), ST_OK);
        assert_true(cb_as_i64(cb_get(cb, 30), &error) && error == 1);
        as_response_done(&out);
    }
}

static void the_answer_is_of_the_kind_that_was_asked(void **state UNUSED)
{
    /* AF-28, RFC 9431 2.1 */
    static const struct {
        const char *ask, *answer;
    } rows[] = {
        { "application/json", "application/json" },
        { "application/ace+json", "application/ace+json" },
        { "application/ace+json; charset=utf-8", "application/ace+json" },
        { "Application/ACE+CBOR", "application/ace+cbor" },
        { "application/x-www-form-urlencoded", "application/json" },
        { "text/plain", "application/json" },
    };
    SITE(s, "");

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct as_response out;
        post_bytes(&s, "/token", rows[i].ask, SPAN("x"), &out);
        assert_string_equal(out.content_type, rows[i].answer);
        assert_int_equal(out.code, i == 5 ? 415 : i == 4 ? 401 : 400);
        as_response_done(&out);
    }
}

static void an_inactive_token_is_not_an_error_in_cbor(void **state UNUSED)
{
    /* AF-81, AF-83 */
    SITE(s, "");
    s.cbor = true;
    assert_false(is_active(introspected(&s, "no-such-token")));
    assert_int_equal(js_size(s.w->answer), 1);
    assert_int_equal(s.w->code, 200);
}

/* ---- databases of older programs ---- */

static void an_old_database_is_brought_up_to_date(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = NULL;
    CLEANUP(arena_done)
    struct arena arena;
    struct resource_server rs = { 0 };
    struct principal p = { 0 };

    arena_init(&arena, 65536);
    assert_int_equal(sql_open(":memory:", 0, &sql, NULL), ST_OK);
    assert_int_equal(as_schema_of_old(sql, 1, NULL), ST_OK);
    assert_int_equal(sql_run(sql,
                             "INSERT INTO principal (id, kind, name, created_at) VALUES ('r', 'rs', '', 7)",
                             NULL, NULL),
                     ST_OK);
    assert_int_equal(
        sql_run(sql, "INSERT INTO principal (id, kind, name, created_at) VALUES ('c', 'client', 'n', 8)", NULL,
                NULL),
        ST_OK);
    assert_int_equal(
        sql_run(sql,
                "INSERT INTO resource_server (id, audience, token_format, lifetime_s, exi,"
                " exi_sequence, secret_key, secret_kid) VALUES ('r', 'aud', 'reference', 60, 0, 41, $1, 'kid')",
                NULL, NULL, SQL_BLOB(SPAN("0123456789abcdef"))),
        ST_OK);
    assert_int_equal(
        sql_run(sql,
                "INSERT INTO token (jti, hash, client_id, rs_id, audience, format, scope, issued_at,"
                " expires_at) VALUES ('j', $1, 'c', 'r', 'aud', 'jwt', '[]', 1, 9000000000)",
                NULL, NULL, SQL_BLOB(SPAN("h"))),
        ST_OK);
    assert_int_equal(as_schema(sql, NULL), ST_OK);

    assert_int_equal(registry_rs(sql, SPAN("r"), &arena, &rs, NULL), ST_OK);
    assert_int_equal(rs.format, RS_REFERENCE);
    assert_int_equal(rs.protection, RS_AUTO);
    assert_int_equal(rs.pop_keys, POP_KINDS_ALL);
    assert_int_equal(rs.profiles, IN(3));
    assert_true(span_eq_str(rs.secret_key, "0123456789abcdef") && rs.lifetime_s == 60 && !rs.refresh);
    assert_int_equal(registry_client(sql, SPAN("c"), &arena, &p, NULL), ST_OK);
    assert_true(p.profiles == 0 && !p.refresh && p.created_at == 8);
    rs.format = RS_CWT; /* the CHECK of old would not have it */
    assert_int_equal(registry_set_rs(sql, &rs, NULL), ST_OK);
    uint64_t sequence = 0;
    assert_int_equal(registry_next_exi(sql, SPAN("r"), &sequence, NULL), ST_OK);
    assert_int_equal(sequence, 42);
    assert_int_equal(registry_remove_rs(sql, &rs, NULL), ST_OK); /* the cascade still holds */
    assert_int_equal(registry_rs(sql, SPAN("r"), &arena, &rs, NULL), ST_NOT_FOUND);
}

static enum status take_remembered(void *ctx, const struct sql_row *row)
{
    assert_int_equal(sql_i64(row, 0), 77);
    assert_true(span_eq_str(sql_bytes(row, 1), "an-id"));
    ++*(int *)ctx;
    return ST_OK;
}

static void what_was_remembered_in_another_order_is_still_remembered(void **state UNUSED)
{
    CLEANUP(sql_closep)
    struct sql *sql = NULL;
    int64_t live = 0, kept = 0;
    int remembered = 0;

    assert_int_equal(sql_open(":memory:", 0, &sql, NULL), ST_OK);
    assert_int_equal(as_schema_of_old(sql, 3, NULL), ST_OK);
    assert_int_equal(sql_run(sql, "INSERT INTO replay (id, expires_at) VALUES ($1, 77)", NULL, NULL,
                             SQL_BLOB(SPAN("an-id"))),
                     ST_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            sql_run(sql,
                    "INSERT INTO token (jti, hash, client_id, rs_id, audience, format, scope,"
                    " issued_at, expires_at, revoked_at) VALUES ($1, $1, 'c', 'r', 'a', 'jwt', '[]',"
                    " 1, $2, $3)",
                    NULL, NULL, SQL_I64(i), SQL_I64(i == 0 ? 5 : 50), i == 1 ? SQL_I64(2) : SQL_NULL),
            ST_OK);
    assert_int_equal(as_schema(sql, NULL), ST_OK);
    assert_int_equal(sql_query(sql, "SELECT expires_at, id FROM replay", take_remembered, &remembered, NULL),
                     ST_OK);
    assert_int_equal(remembered, 1);
    assert_int_equal(sql_run(sql, "INSERT INTO replay (expires_at, id) VALUES (77, $1)", NULL, NULL,
                             SQL_BLOB(SPAN("an-id"))),
                     ST_EXISTS);
    assert_int_equal(token_row_count_client(sql, SPAN("c"), (struct wall_time){ 10 }, 9, &live, NULL), ST_OK);
    assert_int_equal(live, 1); /* one is over, one revoked */
    assert_int_equal(token_row_count_kept(sql, SPAN("c"), 9, &kept, NULL), ST_OK);
    assert_int_equal(kept, 3);
    assert_int_equal(as_schema_of_old(sql, 3, NULL), ST_BAD_VERSION); /* a program of then leaves it alone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_and_protection_verifies_and_introspects),
        cmocka_unit_test(a_reference_is_never_taken_for_a_cwt),
        cmocka_unit_test(exi_and_cnonce_in_a_cwt),
        cmocka_unit_test(protection_needs_a_key),
        cmocka_unit_test(a_resource_server_says_which_keys_it_takes),
        cmocka_unit_test(the_key_of_an_earlier_token_is_known_by_its_kid),
        cmocka_unit_test(a_token_for_the_certificate_of_this_connection),
        cmocka_unit_test(a_profile_in_common_is_found_or_refused),
        cmocka_unit_test(the_metadata_names_the_profiles_there_are),
        cmocka_unit_test(errors_come_in_cbor_too),
        cmocka_unit_test(the_scope_is_aif_in_bytes),
        cmocka_unit_test(hostile_cbor_is_refused_in_cbor),
        cmocka_unit_test(the_answer_is_of_the_kind_that_was_asked),
        cmocka_unit_test(an_inactive_token_is_not_an_error_in_cbor),
        cmocka_unit_test(an_old_database_is_brought_up_to_date),
        cmocka_unit_test(what_was_remembered_in_another_order_is_still_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
