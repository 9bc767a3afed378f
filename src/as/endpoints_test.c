/* Who is asking (client authentication), and the endpoints beside /token: introspection, revocation, enrolment,
 * metadata, and what HTTP itself wants. */
#include "as/world_test.h"
#include "codec/base64.h"
#include "token/assertion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define JWT_BEARER "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

struct site {
    struct world *w;
    const char *c1, *c2, *rs1, *rs2; /* secrets */
};

static void open_site(struct site *s)
{
    struct world *w = s->w = world_new();

    s->rs1 = world_str(w, world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"rs1\",\"key\":\"generate\"}"),
                       "rs_secret");
    s->rs2 = world_str(w,
                       world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"mqtts://two\",\"rs_id\":\"rs2\","
                                      "\"token_format\":\"reference\"}"),
                       "rs_secret");
    s->c1 = world_str(w, world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"c1\"}"), "client_secret");
    s->c2 =
        world_str(w, world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"aa:bb:cc\"}"), "client_secret");
    world_admin(w, "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"rs1\",\"filter\":\"a\","
                   "\"permissions\":[\"pub\"]}");
    world_admin(w,
                "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"mqtts://two\",\"filter\":\"b\","
                "\"permissions\":[\"sub\"]}");
}

static void close_site(struct site *s)
{
    world_free(s->w);
}

#define SITE(s)            \
    CLEANUP(close_site)    \
    struct site s = { 0 }; \
    open_site(&s)

static void basic(struct site *s, const char *user, const char *password)
{
    const char *plain = world_text(s->w, "%s:%s", user, password);
    struct buf b;

    buf_init(&b, 1024);
    base64_encode(span_of_str(plain), &b);
    s->w->authorization = span_of_str(world_text(s->w, "Basic %.*s", SPAN_FMT(buf_span(&b))));
    buf_done(&b);
}

static void no_basic(struct site *s)
{
    s->w->authorization = SPAN_NONE;
}

static void refused(struct site *s, int code, const char *error)
{
    assert_int_equal(s->w->code, code);
    assert_string_equal(world_str(s->w, s->w->answer, "error"), error);
    assert_int_equal(s->w->challenge, code == 401); /* RFC 6749 5.2, RFC 9110 15.5.2 */
}

static const char *token_of(struct site *s, const char *audience)
{
    basic(s, "c1", s->c1);
    world_post(s->w, "/token", world_text(s->w, "audience=%s", audience));
    assert_int_equal(s->w->code, 200);
    const char *token = world_str(s->w, s->w->answer, "access_token");
    no_basic(s);
    return token;
}

static bool active(struct site *s, const char *rs, const char *secret, const char *token)
{
    bool is = false;

    basic(s, rs, secret);
    world_post(s->w, "/introspect", world_text(s->w, "token=%s", token));
    no_basic(s);
    assert_int_equal(s->w->code, 200);
    assert_true(js_get_bool(s->w->answer, "active", &is));
    assert_true(is || js_size(s->w->answer) == 1); /* AF-83 */
    return is;
}

static void a_secret_by_basic_form_and_json(void **state UNUSED)
{
    /* AF-20, AF-28; RFC 6749 2.3.1 */
    SITE(s);
    basic(&s, "c1", s.c1);
    world_post(s.w, "/token", "audience=rs1&grant_type=client_credentials&scope=");
    assert_int_equal(s.w->code, 200);
    basic(&s, "aa:bb:cc", s.c2); /* as clients that forget to encode send it */
    world_post(s.w, "/token", "audience=rs1");
    assert_int_equal(s.w->code, 200);
    basic(&s, "aa%3Abb%3Acc", s.c2);
    world_post(s.w, "/token", "audience=rs1");
    assert_int_equal(s.w->code, 200);
    no_basic(&s);
    world_post(s.w, "/token", world_text(s.w, "client_id=c1&client_secret=%s&audience=rs1", s.c1));
    assert_int_equal(s.w->code, 200);
    world_post(s.w, "/token",
               world_text(s.w, "{\"client_id\":\"c1\",\"client_secret\":\"%s\",\"audience\":\"rs1\"}", s.c1));
    assert_int_equal(s.w->code, 200);
}

static void wrong_and_unknown_get_one_answer(void **state UNUSED)
{
    SITE(s);
    basic(&s, "c1", s.c2);
    world_post(s.w, "/token", "audience=rs1");
    refused(&s, 401, "invalid_client");
    const char *wrong = world_str(s.w, s.w->answer, "error_description");
    basic(&s, "nobody", s.c2);
    world_post(s.w, "/token", "audience=rs1");
    refused(&s, 401, "invalid_client");
    assert_string_equal(world_str(s.w, s.w->answer, "error_description"), wrong);
    basic(&s, "c1", "");
    world_post(s.w, "/token", "audience=rs1");
    refused(&s, 401, "invalid_client");
    no_basic(&s);
    world_post(s.w, "/token", "audience=rs1&client_id=c1");
    refused(&s, 401, "invalid_client");
    s.w->authorization = SPAN("Bearer abc");
    world_post(s.w, "/token", "audience=rs1");
    refused(&s, 401, "invalid_client");
    s.w->authorization = SPAN("Basic !!!");
    world_post(s.w, "/token", "audience=rs1");
    refused(&s, 401, "invalid_client");
}

static void two_ways_at_once_are_an_invalid_request(void **state UNUSED)
{
    /* RFC 6749 2.3 */
    SITE(s);
    basic(&s, "c1", s.c1);
    world_post(s.w, "/token", world_text(s.w, "client_id=c1&client_secret=%s&audience=rs1", s.c1));
    refused(&s, 400, "invalid_request");
    world_post(s.w, "/token", "client_id=c2&audience=rs1");
    refused(&s, 400, "invalid_request");
}

static void a_rotated_secret_and_a_removed_client_are_out_at_once(void **state UNUSED)
{
    SITE(s);
    const char *token = token_of(&s, "rs1");
    const char *fresh = world_str(
        s.w, world_admin(s.w, "{\"cmd\":\"client.rotate-secret\",\"client_id\":\"c1\"}"), "client_secret");

    basic(&s, "c1", s.c1);
    world_post(s.w, "/token", "audience=rs1");
    refused(&s, 401, "invalid_client");
    basic(&s, "c1", fresh);
    world_post(s.w, "/token", "audience=rs1");
    assert_int_equal(s.w->code, 200);
    assert_true(active(&s, "rs1", s.rs1, token));
    int64_t revoked = 0;
    assert_true(js_get_i64(world_admin(s.w, "{\"cmd\":\"client.remove\",\"client_id\":\"c1\"}"),
                           "tokens_revoked", &revoked));
    assert_int_equal(revoked, 2);
    assert_false(active(&s, "rs1", s.rs1, token));
    basic(&s, "c1", fresh);
    world_post(s.w, "/token", "audience=rs1");
    refused(&s, 401, "invalid_client");
}

static void guessing_has_to_wait(void **state UNUSED)
{
    SITE(s);
    for (int i = 0; i < 5; i++) {
        basic(&s, "c1", "wrong");
        world_post(s.w, "/token", "audience=rs1");
        refused(&s, 401, "invalid_client");
    }
    basic(&s, "c1", s.c1); /* even the right one: nobody can tell from the answer that it was right */
    world_post(s.w, "/token", "audience=rs1");
    refused(&s, 429, "temporarily_unavailable");
    assert_int_equal(s.w->retry_after_s, 60);
    basic(&s, "aa:bb:cc", s.c2); /* another client behind the same address */
    world_post(s.w, "/token", "audience=rs1");
    assert_int_equal(s.w->code, 200);
    s.w->peer = SPAN("198.51.100.7"); /* the same client elsewhere */
    basic(&s, "c1", s.c1);
    world_post(s.w, "/token", "audience=rs1");
    assert_int_equal(s.w->code, 200);
    s.w->peer = SPAN("192.0.2.1");
    world_pass(s.w, 60);
    world_post(s.w, "/token", "audience=rs1");
    assert_int_equal(s.w->code, 200);
}

static void introspection_shows_the_token_to_its_audience_only(void **state UNUSED)
{
    /* AF-2, AF-80, AF-81, AF-83, AF-85 */
    SITE(s);
    const char *token = token_of(&s, "rs1");
    int64_t exp = 0;

    assert_true(active(&s, "rs1", s.rs1, token));
    assert_string_equal(world_str(s.w, s.w->answer, "client_id"), "c1");
    assert_string_equal(world_str(s.w, s.w->answer, "aud"), "rs1");
    assert_string_equal(world_str(s.w, s.w->answer, "iss"), WORLD_ISSUER);
    assert_true(js_get_i64(s.w->answer, "exp", &exp) && exp == WORLD_START + 3600);
    assert_non_null(js_get(js_get(s.w->answer, "cnf"), "jwk")); /* AF-45 */
    assert_false(active(&s, "rs2", s.rs2, token));
    assert_false(active(&s, "rs1", s.rs1, "unknown"));
    assert_false(active(&s, "rs1", s.rs1, world_text(s.w, "%s.", token)));
    world_pass(s.w, 3600);
    assert_false(active(&s, "rs1", s.rs1, token));
}

static void a_reference_is_opened_by_introspection(void **state UNUSED)
{
    /* AF-45, AF-84: the key is the one the client got */
    SITE(s);
    basic(&s, "c1", s.c1);
    world_post(s.w, "/token", "audience=mqtts%3A%2F%2Ftwo&cnonce=AAECAwQFBgc");
    assert_int_equal(s.w->code, 200);
    const char *token = world_str(s.w, s.w->answer, "access_token");
    const char *k = world_str(s.w, js_get(js_get(s.w->answer, "cnf"), "jwk"), "k");

    assert_int_equal(strlen(token), 43);
    assert_true(active(&s, "rs2", s.rs2, token));
    assert_string_equal(world_str(s.w, js_get(js_get(s.w->answer, "cnf"), "jwk"), "k"), k);
    assert_string_equal(world_str(s.w, s.w->answer, "cnonce"), "AAECAwQFBgc");
    assert_false(active(&s, "rs1", s.rs1, token));
}

static void introspection_is_for_resource_servers(void **state UNUSED)
{
    /* AF-82 */
    SITE(s);
    const char *token = token_of(&s, "rs1");
    const char *form = world_text(s.w, "token=%s", token);

    basic(&s, "rs1", s.rs2);
    world_post(s.w, "/introspect", form);
    refused(&s, 401, "invalid_client");
    basic(&s, "c1", s.c1);
    world_post(s.w, "/introspect", form);
    assert_int_equal(s.w->code, 403);
    assert_null(s.w->answer);
    basic(&s, "rs1", s.rs1);
    world_post(s.w, "/introspect", "x=y");
    refused(&s, 400, "invalid_request");
    world_post(s.w, "/token", "audience=rs1"); /* and tokens are for clients */
    refused(&s, 400, "unauthorized_client");
}

static void a_client_revokes_its_own_tokens(void **state UNUSED)
{
    /* RFC 7009 2.1, 2.2 */
    SITE(s);
    const char *token = token_of(&s, "rs1");
    const char *form = world_text(s.w, "token=%s&token_type_hint=access_token", token);

    basic(&s, "aa:bb:cc", s.c2);
    world_post(s.w, "/revoke", form);
    refused(&s, 400, "unauthorized_client");
    assert_true(active(&s, "rs1", s.rs1, token));
    basic(&s, "c1", s.c1);
    for (int i = 0; i < 2; i++) {
        world_post(s.w, "/revoke", form);
        assert_int_equal(s.w->code, 200);
        assert_null(s.w->answer);
    }
    assert_false(active(&s, "rs1", s.rs1, token));
    basic(&s, "c1", s.c1);
    world_post(s.w, "/revoke", "token=unknown");
    assert_int_equal(s.w->code, 200);
    world_post(s.w, "/revoke", "x=y");
    refused(&s, 400, "invalid_request");
    no_basic(&s);
    world_post(s.w, "/revoke", form);
    refused(&s, 401, "invalid_client");
}

static const char *enroll_body(struct site *s, const char *code, const char *client_id, const struct key *key,
                               const struct key *prover, const char *jti)
{
    return world_text(
        s->w, "{\"code\":\"%s\",\"client_id\":\"%s\",\"jwk\":%s,\"proof\":\"%s\"}", code, client_id,
        world_jwk(s->w, key),
        world_assertion(s->w, prover, ASSERTION_TYP_REQ_CNF, client_id, WORLD_ISSUER "/enroll", jti));
}

static const char *code_of(struct site *s, const char *members)
{
    return world_str(s->w, world_admin(s->w, world_text(s->w, "{\"cmd\":\"enroll.create\"%s}", members)),
                     "code");
}

static void a_code_registers_one_key_once(void **state UNUSED)
{
    SITE(s);
    CLEANUP(key_unrefp)
    struct key *key = NULL, *other = NULL;
    const char *code = code_of(&s, ",\"groups\":[\"sensors\"],\"client_id\":\"dev-7\"");

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &other), ST_OK);
    world_post(s.w, "/enroll", enroll_body(&s, code, "dev-7", key, other, "j1")); /* not his key */
    refused(&s, 400, "invalid_grant");
    world_post(s.w, "/enroll", enroll_body(&s, code, "dev-8", key, key, "j2"));
    refused(&s, 400, "invalid_grant");
    world_post(s.w, "/enroll", enroll_body(&s, code, "dev-7", key, key, "j3"));
    assert_int_equal(s.w->code, 201);
    assert_string_equal(world_str(s.w, s.w->answer, "client_id"), "dev-7");
    world_post(s.w, "/enroll", enroll_body(&s, code, "dev-7", key, key, "j4")); /* used */
    refused(&s, 400, "invalid_grant");

    const char *assertion = world_assertion(s.w, key, ASSERTION_TYP_CLIENT, "dev-7", WORLD_ISSUER, "j5");
    world_post(
        s.w, "/token",
        world_text(s.w, "client_assertion_type=" JWT_BEARER "&client_assertion=%s&audience=rs1", assertion));
    assert_int_equal(s.w->code, 200);
    const struct js *show = world_admin(s.w, "{\"cmd\":\"client.show\",\"client_id\":\"dev-7\"}");
    assert_int_equal(js_size(js_get(js_get(show, "client"), "groups")), 1);
}

static void a_code_ends_at_its_time(void **state UNUSED)
{
    SITE(s);
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    const char *code = code_of(&s, ",\"ttl_s\":60");

    assert_int_equal(key_generate(KEY_P256, &key), ST_OK);
    world_pass(s.w, 60);
    world_post(s.w, "/enroll", enroll_body(&s, code, "x", key, key, "j1"));
    refused(&s, 400, "invalid_grant");
    code = code_of(&s, "");
    const char *id = world_str(s.w, s.w->answer, "id");
    assert_int_equal(js_size(js_get(world_admin(s.w, "{\"cmd\":\"enroll.list\"}"), "codes")), 1);
    world_admin(s.w, world_text(s.w, "{\"cmd\":\"enroll.remove\",\"id\":\"%s\"}", id));
    world_post(s.w, "/enroll", enroll_body(&s, code, "x", key, key, "j2"));
    refused(&s, 400, "invalid_grant");
}

static void enrolment_cannot_take_over_a_name_or_a_group_of_its_choice(void **state UNUSED)
{
    SITE(s);
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    const char *code = code_of(&s, "");

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    world_post(s.w, "/enroll", enroll_body(&s, code, "c1", key, key, "j1"));
    refused(&s, 400, "invalid_request"); /* EXISTS */
    world_post(s.w, "/enroll", enroll_body(&s, code, "a/#", key, key, "j2"));
    refused(&s, 400, "invalid_request");
    world_admin_refused(s.w, "{\"cmd\":\"enroll.create\",\"client_id\":\"c1\"}", "EXISTS");
    /* the failed attempts did not use up the code; without a wish a name is made */
    world_post(s.w, "/enroll",
               world_text(s.w, "{\"code\":\"%s\",\"jwk\":%s,\"proof\":\"%s\",\"groups\":[\"admins\"]}", code,
                          world_jwk(s.w, key),
                          world_assertion(s.w, key, ASSERTION_TYP_REQ_CNF, "any", WORLD_ISSUER, "j3")));
    assert_int_equal(s.w->code, 201);
    const char *name = world_str(s.w, s.w->answer, "client_id");
    const struct js *show =
        world_admin(s.w, world_text(s.w, "{\"cmd\":\"client.show\",\"client_id\":\"%s\"}", name));
    assert_int_equal(js_size(js_get(js_get(show, "client"), "groups")), 0);
}

static void an_open_code_cannot_take_the_name_another_code_is_for(void **state UNUSED)
{
    SITE(s);
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    const char *open = code_of(&s, "");
    const char *fixed = code_of(&s, ",\"client_id\":\"boiler\",\"ttl_s\":60");

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    world_post(s.w, "/enroll", enroll_body(&s, open, "boiler", key, key, "j1"));
    refused(&s, 400, "invalid_grant");
    world_post(s.w, "/enroll", enroll_body(&s, fixed, "boiler", key, key, "j2"));
    assert_int_equal(s.w->code, 201);
    code_of(&s, ",\"client_id\":\"kettle\",\"ttl_s\":60");
    world_pass(s.w, 60); /* the other code is over: its name is free */
    world_post(s.w, "/enroll", enroll_body(&s, open, "kettle", key, key, "j3"));
    assert_int_equal(s.w->code, 201);
}

static void wrong_codes_have_to_wait(void **state UNUSED)
{
    SITE(s);
    for (int i = 0; i < 10; i++) {
        world_post(s.w, "/enroll", "{\"code\":\"guess\"}");
        refused(&s, 400, "invalid_grant");
    }
    world_post(s.w, "/enroll", "{\"code\":\"guess\"}");
    refused(&s, 429, "temporarily_unavailable");
    world_pass(s.w, 60);
    world_post(s.w, "/enroll", "{\"code\":\"guess\"}");
    refused(&s, 400, "invalid_grant");
}

static void an_assertion_is_remembered_until_it_is_over(void **state UNUSED)
{
    /* RFC 7523 3: jti; bounded memory */
    SITE(s);
    CLEANUP(key_unrefp)
    struct key *key = NULL;

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    world_admin(
        s.w, world_text(s.w, "{\"cmd\":\"client.add\",\"client_id\":\"k\",\"jwk\":%s}", world_jwk(s.w, key)));
    s.w->settings.auth_replay_max = 2;
    for (int i = 0; i < 3; i++) {
        const char *jti = world_text(s.w, "j%d", i);
        const char *form =
            world_text(s.w, "client_assertion_type=" JWT_BEARER "&client_assertion=%s&audience=rs1",
                       world_assertion(s.w, key, ASSERTION_TYP_CLIENT, "k", WORLD_ISSUER, jti));
        world_post(s.w, "/token", form);
        if (i == 2) {
            refused(&s, 429, "temporarily_unavailable");
            break;
        }
        assert_int_equal(s.w->code, 200);
    }
    world_pass(s.w, 600);
    world_post(s.w, "/token",
               world_text(s.w, "client_assertion_type=" JWT_BEARER "&client_assertion=%s&audience=rs1",
                          world_assertion(s.w, key, ASSERTION_TYP_CLIENT, "k", WORLD_ISSUER, "j0")));
    assert_int_equal(s.w->code, 200);
}

static const char *assertion_form(struct site *s, const struct key *key, const char *client, int n)
{
    return world_text(
        s->w, "client_assertion_type=" JWT_BEARER "&client_assertion=%s&audience=rs1",
        world_assertion(s->w, key, ASSERTION_TYP_CLIENT, client, WORLD_ISSUER, world_text(s->w, "j%d", n)));
}

static void one_client_cannot_fill_the_memory_of_assertions(void **state UNUSED)
{
    SITE(s);
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    int n = 0;

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    for (int i = 0; i < 2; i++)
        world_admin(s.w, world_text(s.w, "{\"cmd\":\"client.add\",\"client_id\":\"%s\",\"jwk\":%s}",
                                    i == 0 ? "k" : "m", world_jwk(s.w, key)));
    s.w->settings.auth_replay_max = 100;
    do
        world_post(s.w, "/token", assertion_form(&s, key, "k", n));
    while (s.w->code == 200 && ++n < 50);
    assert_int_equal(n, 11); /* a hundredth and ten, each minute */
    refused(&s, 429, "temporarily_unavailable");
    assert_true(s.w->retry_after_s > 0);
    world_post(s.w, "/token", assertion_form(&s, key, "m", 0));
    assert_int_equal(s.w->code, 200);
    world_pass(s.w, 60);
    world_post(s.w, "/token", assertion_form(&s, key, "k", n));
    assert_int_equal(s.w->code, 200);
}

static void metadata_and_keys_are_for_everybody(void **state UNUSED)
{
    /* RFC 8414 2, 3.3; RFC 7517 5 */
    SITE(s);
    const struct js *answer = world_get(s.w, "/.well-known/oauth-authorization-server");

    assert_string_equal(world_str(s.w, answer, "issuer"), WORLD_ISSUER);
    assert_string_equal(world_str(s.w, answer, "token_endpoint"), WORLD_ISSUER "/token");
    assert_string_equal(world_str(s.w, answer, "jwks_uri"), WORLD_ISSUER "/jwks.json");
    assert_int_equal(js_size(js_get(answer, "token_endpoint_auth_methods_supported")), 3); /* no client_ca */
    answer = world_get(s.w, "/jwks.json");
    assert_int_equal(js_size(js_get(answer, "keys")), 1);
    assert_null(js_get(js_at(js_get(answer, "keys"), 0), "d"));
}

static void wrong_paths_methods_and_media_types(void **state UNUSED)
{
    /* AF-1 */
    SITE(s);
    world_get(s.w, "/token");
    refused(&s, 405, "invalid_request");
    world_post(s.w, "/jwks.json", "");
    refused(&s, 405, "invalid_request");
    world_get(s.w, "/");
    refused(&s, 404, "invalid_request");
    world_get(s.w, "/token/");
    refused(&s, 404, "invalid_request");

    struct as_response out;
    const struct as_request request = { .method = SPAN("POST"),
                                        .path = SPAN("/token"),
                                        .content_type = SPAN("text/plain"),
                                        .body = SPAN("audience=rs1"),
                                        .peer = SPAN("::1") };
    as_answer(s.w->as, &request, s.w->now, &out);
    assert_int_equal(out.code, 415);
    as_response_done(&out);
}

static void malformed_bodies_are_invalid_requests(void **state UNUSED)
{
    static const char *const bodies[] = {
        "{",
        "[]",
        "{\"client_id\":\"c1\",\"client_id\":\"c1\"}",       /* TK-48 */
        "{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}", /* TK-49 */
        "client_id=c1&client_id=c1",                         /* RFC 6749 3.2 */
        "a=%zz",
        "a=%0",
        "a=%00",
        "a=%ff",
        "=x",
        "req_cnf={",
        "{\"client_id\":7}",
        "{\"client_id\":\"c1\",\"client_secret\":[]}",
    };
    SITE(s);

    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        world_post(s.w, "/token", bodies[i]);
        refused(&s, 400, "invalid_request");
    }
    struct buf many;
    buf_init(&many, 65536);
    for (int i = 0; i < 100; i++)
        put_fmt(&many, "p%d=1&", i);
    put_u8(&many, 0);
    world_post(s.w, "/token", (const char *)many.p);
    refused(&s, 413, "invalid_request");
    buf_done(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_by_basic_form_and_json),
        cmocka_unit_test(wrong_and_unknown_get_one_answer),
        cmocka_unit_test(two_ways_at_once_are_an_invalid_request),
        cmocka_unit_test(a_rotated_secret_and_a_removed_client_are_out_at_once),
        cmocka_unit_test(guessing_has_to_wait),
        cmocka_unit_test(introspection_shows_the_token_to_its_audience_only),
        cmocka_unit_test(a_reference_is_opened_by_introspection),
        cmocka_unit_test(introspection_is_for_resource_servers),
        cmocka_unit_test(a_client_revokes_its_own_tokens),
        cmocka_unit_test(a_code_registers_one_key_once),
        cmocka_unit_test(a_code_ends_at_its_time),
        cmocka_unit_test(enrolment_cannot_take_over_a_name_or_a_group_of_its_choice),
        cmocka_unit_test(an_open_code_cannot_take_the_name_another_code_is_for),
        cmocka_unit_test(wrong_codes_have_to_wait),
        cmocka_unit_test(an_assertion_is_remembered_until_it_is_over),
        cmocka_unit_test(one_client_cannot_fill_the_memory_of_assertions),
        cmocka_unit_test(metadata_and_keys_are_for_everybody),
        cmocka_unit_test(wrong_paths_methods_and_media_types),
        cmocka_unit_test(malformed_bodies_are_invalid_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
