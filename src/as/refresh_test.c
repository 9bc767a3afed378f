/* Refresh tokens: who gets them, what they are bound to, and what happens to one that is used twice. */
#include "as/world_test.h"
#include "codec/base64.h"
#include "crypto/x509.h"
#include "jose/jwk.h"
#include "scope/scope.h"
#include "token/assertion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

/* Two resource servers "b" and "o"; clients c (allowed to refresh), d (not), k (a registered key, allowed). */
struct site {
    struct world *w;
    const char *c, *d, *k; /* members that authenticate */
    struct key *key, *other;
};

static const char *client(struct site *s, const char *id, const char *members)
{
    const struct js *answer = world_admin(
        s->w, world_text(s->w, "{\"cmd\":\"client.add\",\"client_id\":\"%s\",\"secret\":true%s}", id, members));
    return world_text(s->w, "\"client_id\":\"%s\",\"client_secret\":\"%s\"", id,
                      world_str(s->w, answer, "client_secret"));
}

static void open_site(struct site *s)
{
    struct world *w = s->w = world_new();

    assert_int_equal(key_generate(KEY_ED25519, &s->key), ST_OK);
    assert_int_equal(key_generate(KEY_P256, &s->other), ST_OK);
    for (size_t i = 0; i < 2; i++) {
        const char *name = i == 0 ? "b" : "o";
        world_admin(w, world_text(w, "{\"cmd\":\"rs.add\",\"audience\":\"%s\",\"key\":\"generate\"}", name));
        world_admin(w, world_text(w,
                                  "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"%s\","
                                  "\"filter\":\"d/#\",\"permissions\":[\"pub\",\"sub\"]}",
                                  name));
    }
    s->c = client(s, "c", ",\"refresh\":true");
    s->d = client(s, "d", "");
    s->k = client(s, "k", world_text(w, ",\"refresh\":true,\"jwk\":%s", world_jwk(w, s->key)));
}

static void close_site(struct site *s)
{
    key_unref(s->key);
    key_unref(s->other);
    world_free(s->w);
}

#define SITE(s)            \
    CLEANUP(close_site)    \
    struct site s = { 0 }; \
    open_site(&s)

static const struct js *ask(struct site *s, const char *who, const char *members)
{
    return world_post(s->w, "/token", world_text(s->w, "{%s%s}", who, members));
}

static const struct js *granted(struct site *s, const struct js *answer)
{
    if (s->w->code != 200)
        fail_msg("%d %s", s->w->code, world_str(s->w, answer, "error_description"));
    return answer;
}

static void refused(struct site *s, const struct js *answer, const char *error)
{
    assert_int_equal(s->w->code, 400);
    assert_string_equal(world_str(s->w, answer, "error"), error);
    assert_null(js_get(answer, "refresh_token"));
}

static const struct js *refresh(struct site *s, const char *who, const char *token, const char *members)
{
    return ask(
        s, who,
        world_text(s->w, ",\"grant_type\":\"refresh_token\",\"refresh_token\":\"%s\"%s", token, members));
}

static const char *first(struct site *s, const char *who, const char *members)
{
    const char *all = world_text(s->w, ",\"audience\":\"b\"%s", members);
    return world_str(s->w, granted(s, ask(s, who, all)), "refresh_token");
}

static size_t live_tokens(struct site *s, const char *client_id)
{
    const struct js *tokens =
        js_get(world_admin(s->w, world_text(s->w, "{\"cmd\":\"token.list\",\"client_id\":\"%s\"}", client_id)),
               "tokens");
    size_t live = 0;

    for (size_t i = 0; i < js_size(tokens); i++)
        live += js_get(js_at(tokens, i), "revoked_at") == NULL;
    return live;
}

static size_t families(struct site *s)
{
    return js_size(js_get(world_admin(s->w, "{\"cmd\":\"refresh.list\"}"), "families"));
}

static void only_where_it_is_allowed(void **state UNUSED)
{
    SITE(s);
    assert_null(js_get(granted(&s, ask(&s, s.d, ",\"audience\":\"b\"")), "refresh_token"));
    assert_int_equal(strlen(first(&s, s.c, "")), 64); /* 128 bits of name and 256 of secret */
    world_admin(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"o\",\"refresh\":true}");
    assert_non_null(js_get(granted(&s, ask(&s, s.d, ",\"audience\":\"o\"")), "refresh_token"));
}

static void each_use_gives_a_new_one_for_the_same_key(void **state UNUSED)
{
    /* AF-29, RFC 6749 6, RFC 9700 4.14 */
    SITE(s);
    const struct js *answer = granted(&s, ask(&s, s.c, ",\"audience\":\"b\""));
    const char *token = world_str(s.w, answer, "refresh_token");
    const char *kid = world_str(s.w, js_get(js_get(answer, "cnf"), "jwk"), "kid");

    for (int i = 0; i < 5; i++) {
        world_pass(s.w, 3000);
        answer = granted(&s, refresh(&s, s.c, token, i == 2 ? ",\"audience\":\"b\"" : ""));
        /* AF-43: the client has the secret; it is told which, not what */
        assert_string_equal(world_str(s.w, js_get(answer, "cnf"), "kid"), kid);
        assert_int_equal(js_size(js_get(answer, "cnf")), 1);
        const char *next = world_str(s.w, answer, "refresh_token");
        assert_string_not_equal(next, token);
        token = next;
    }
    const struct js *list =
        js_get(world_admin(s.w, "{\"cmd\":\"refresh.list\",\"client_id\":\"c\"}"), "families");
    int64_t uses = 0;
    assert_int_equal(js_size(list), 1);
    assert_true(js_get_i64(js_at(list, 0), "uses", &uses) && uses == 5);
    const char *family = world_str(s.w, js_at(list, 0), "family");
    list = js_get(world_admin(s.w, "{\"cmd\":\"token.list\",\"client_id\":\"c\"}"), "tokens");
    for (size_t i = 0; i < js_size(list); i++)
        assert_string_equal(world_str(s.w, js_at(list, i), "family"), family);
}

static void one_used_twice_ends_the_family_and_its_tokens(void **state UNUSED)
{
    /* RFC 9700 4.14.2 */
    SITE(s);
    const char *old = first(&s, s.c, "");
    const char *unconcerned = first(&s, s.c, "");
    const char *new = world_str(s.w, granted(&s, refresh(&s, s.c, old, "")), "refresh_token");

    assert_int_equal(live_tokens(&s, "c"), 3);
    refused(&s, refresh(&s, s.c, old, ""), "invalid_grant");
    assert_int_equal(live_tokens(&s, "c"), 1);
    refused(&s, refresh(&s, s.c, new, ""), "invalid_grant");
    granted(&s, refresh(&s, s.c, unconcerned, ""));
    assert_int_equal(families(&s), 1);
}

static void nobody_else_can_use_one_or_end_it(void **state UNUSED)
{
    /* RFC 6749 5.2: issued to another client */
    SITE(s);
    const char *token = first(&s, s.c, "");
    refused(&s, refresh(&s, s.d, token, ""), "invalid_grant");
    refused(&s, refresh(&s, s.d, token, ""), "invalid_grant");
    refused(&s, refresh(&s, s.k, token, ""), "invalid_grant");
    granted(&s, refresh(&s, s.c, token, ""));
    world_post(s.w, "/token",
               world_text(s.w, "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"%s\"}", token));
    assert_int_equal(s.w->code, 401); /* the client authenticates as ever (RFC 6749 6) */
    assert_int_equal(families(&s), 1);
}

static void what_is_no_refresh_token_is_refused(void **state UNUSED)
{
    static const char *const tokens[] = { "x", "AAAA", "!",
                                          "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
    SITE(s);

    for (size_t i = 0; i < COUNT_OF(tokens); i++)
        refused(&s, refresh(&s, s.c, tokens[i], ""), "invalid_grant");
    refused(&s, ask(&s, s.c, ",\"grant_type\":\"refresh_token\""), "invalid_request");
    refused(&s, ask(&s, s.c, ",\"grant_type\":\"refresh_token\",\"refresh_token\":7"), "invalid_request");
    const char *access = world_str(s.w, granted(&s, ask(&s, s.c, ",\"audience\":\"b\"")), "access_token");
    refused(&s, refresh(&s, s.c, access, ""), "invalid_grant");
}

static void key_and_audience_cannot_change(void **state UNUSED)
{
    /* AF-29 */
    SITE(s);
    const char *other =
        world_text(s.w, ",\"req_cnf\":{\"jwk\":%s},\"req_cnf_proof\":\"%s\"", world_jwk(s.w, s.other),
                   world_assertion(s.w, s.other, ASSERTION_TYP_REQ_CNF, "k", WORLD_ISSUER, "j1"));
    const char *own = world_text(s.w, ",\"req_cnf\":{\"jwk\":%s}", world_jwk(s.w, s.key));
    const char *token = first(&s, s.k, own);

    refused(&s, refresh(&s, s.k, token, ",\"audience\":\"o\""), "invalid_request");
    refused(&s, refresh(&s, s.k, token, ",\"audience\":7"), "invalid_request");
    refused(&s, refresh(&s, s.k, token, other), "invalid_request");
    refused(&s, refresh(&s, s.k, token, ",\"ace_profile\":\"coap_dtls\""), "incompatible_ace_profiles");
    token = world_str(s.w, granted(&s, refresh(&s, s.k, token, own)), "refresh_token"); /* said again */
    const struct js *answer = granted(&s, refresh(&s, s.k, token, ",\"ace_profile\":\"\""));
    assert_null(js_get(answer, "cnf"));
}

static void the_key_may_be_named_when_no_token_for_it_lives_any_more(void **state UNUSED)
{
    /* AF-29, RFC 6749 6: a refresh token is for the time after the access token */
    SITE(s);
    const struct js *answer = granted(&s, ask(&s, s.c, ",\"audience\":\"b\""));
    const char *secret_kid = world_str(s.w, js_get(js_get(answer, "cnf"), "jwk"), "kid");
    const char *secret = world_str(s.w, answer, "refresh_token");
    const char *own = first(&s, s.k, world_text(s.w, ",\"req_cnf\":{\"jwk\":%s}", world_jwk(s.w, s.key)));
    char kid[JWK_THUMBPRINT_TEXT];

    assert_int_equal(jwk_thumbprint_text(s.key, kid), ST_OK);
    world_pass(s.w, 3700);
    assert_int_equal(live_tokens(&s, "c") + live_tokens(&s, "k"), 0);
    refused(&s, refresh(&s, s.c, secret, world_text(s.w, ",\"req_cnf\":{\"kid\":\"%s\"}", kid)),
            "unsupported_pop_key");
    granted(&s, refresh(&s, s.c, secret, world_text(s.w, ",\"req_cnf\":{\"kid\":\"%s\"}", secret_kid)));
    granted(&s, refresh(&s, s.k, own, world_text(s.w, ",\"req_cnf\":{\"kid\":\"%s\"}", kid)));
}

static void possession_of_a_public_key_is_proved_again(void **state UNUSED)
{
    /* AF-42, decision 0001 */
    SITE(s);
    const char *jwk = world_jwk(s.w, s.other);
    const char *proof = world_assertion(s.w, s.other, ASSERTION_TYP_REQ_CNF, "c", WORLD_ISSUER, "j1");
    const char *token =
        first(&s, s.c, world_text(s.w, ",\"req_cnf\":{\"jwk\":%s},\"req_cnf_proof\":\"%s\"", jwk, proof));

    refused(&s, refresh(&s, s.c, token, ""), "invalid_request");
    refused(&s, refresh(&s, s.c, token, world_text(s.w, ",\"req_cnf_proof\":\"%s\"", proof)),
            "invalid_request");
    proof = world_assertion(s.w, s.key, ASSERTION_TYP_REQ_CNF, "c", WORLD_ISSUER, "j2");
    refused(&s, refresh(&s, s.c, token, world_text(s.w, ",\"req_cnf_proof\":\"%s\"", proof)),
            "invalid_request");
    char kid[JWK_THUMBPRINT_TEXT];
    assert_int_equal(jwk_thumbprint_text(s.other, kid), ST_OK);
    refused(&s, refresh(&s, s.c, token, world_text(s.w, ",\"req_cnf\":{\"kid\":\"%s\"}", kid)),
            "invalid_request");
    proof = world_assertion(s.w, s.other, ASSERTION_TYP_REQ_CNF, "c", WORLD_ISSUER, "j3");
    granted(&s, refresh(&s, s.c, token, world_text(s.w, ",\"req_cnf_proof\":\"%s\"", proof)));
}

static void a_certificate_has_to_be_there_again(void **state UNUSED)
{
    SITE(s);
    CLEANUP(x509_pair_done)
    struct x509_pair cert = { 0 };
    uint8_t x5t[32];
    struct buf text;

    assert_int_equal(x509_make_ca(SPAN("c"), 1, s.w->now.wall, &cert, NULL), ST_OK);
    assert_int_equal(x509_thumbprint(buf_span(&cert.cert_pem), x5t, NULL), ST_OK);
    buf_init(&text, 64);
    base64url_encode(span_of(x5t, sizeof x5t), &text);
    s.w->cert_der = buf_span(&cert.cert_pem);
    const char *token =
        first(&s, s.c, world_text(s.w, ",\"req_cnf\":{\"x5t#S256\":\"%.*s\"}", SPAN_FMT(buf_span(&text))));
    buf_done(&text);
    s.w->cert_der = SPAN_NONE;
    refused(&s, refresh(&s, s.c, token, ""), "invalid_request");
    s.w->cert_der = buf_span(&cert.cert_pem);
    granted(&s, refresh(&s, s.c, token, ""));
}

static void the_scope_can_only_narrow(void **state UNUSED)
{
    /* RFC 6749 6 */
    SITE(s);
    const char *token = first(&s, s.c, ",\"scope\":[[\"d/x/#\",[\"pub\",\"sub\"]]]");
    const struct js *answer;

    refused(&s, refresh(&s, s.c, token, ",\"scope\":[[\"d/#\",[\"pub\"]]]"), "invalid_scope");
    refused(&s, refresh(&s, s.c, token, ",\"scope\":[[\"d/y\",[\"pub\"]]]"), "invalid_scope");
    answer = granted(&s, refresh(&s, s.c, token, ",\"scope\":[[\"d/x/1\",[\"pub\"]]]"));
    token = world_str(s.w, answer, "refresh_token");
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    answer = granted(&s, refresh(&s, s.c, token, "")); /* as first granted, not as last narrowed */
    assert_int_equal(scope_from_claim(js_get(answer, "scope"), &scope, NULL), ST_OK);
    assert_true(scope_may_subscribe(scope, (struct topic_filter){ SPAN("d/x/#") }));
    assert_false(scope_may_subscribe(scope, (struct topic_filter){ SPAN("d/#") }));
}

static void what_the_resource_server_takes_today_decides(void **state UNUSED)
{
    /* AF-52, MT-14 */
    SITE(s);
    const char *token = first(&s, s.c, "");

    world_admin(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"b\",\"protection\":\"signed\"}");
    refused(&s, refresh(&s, s.c, token, ""), "unsupported_pop_key");
    world_admin(s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"b\",\"protection\":\"auto\",\"pop_keys\":[\"EdDSA\"]}");
    refused(&s, refresh(&s, s.c, token, ""), "unsupported_pop_key");
    world_admin(
        s.w, "{\"cmd\":\"rs.set\",\"rs_id\":\"b\",\"pop_keys\":[\"symmetric\"],\"profiles\":[\"coap_dtls\"]}");
    refused(&s, refresh(&s, s.c, token, ""), "incompatible_ace_profiles");
    world_admin(s.w,
                "{\"cmd\":\"rs.set\",\"rs_id\":\"b\",\"profiles\":[\"mqtt_tls\"],\"token_format\":\"cwt\"}");
    granted(&s, refresh(&s, s.c, token, "")); /* a format is no part of the bargain */
}

static void policy_of_today_decides(void **state UNUSED)
{
    SITE(s);
    const char *token = first(&s, s.c, "");

    world_admin(s.w, "{\"cmd\":\"policy.deny\",\"subject\":\"client:c\",\"audience\":\"b\",\"filter\":\"d/#\","
                     "\"permissions\":[\"pub\",\"sub\"]}");
    refused(&s, refresh(&s, s.c, token, ""), "invalid_scope");
}

static void it_ends_unused_and_it_ends_at_last(void **state UNUSED)
{
    /* world_new(): two hours unused, a day altogether */
    SITE(s);
    const char *idle = first(&s, s.c, ""), *used = first(&s, s.c, "");
    int64_t passed = 0;

    for (; passed < 86400; passed += 7199) {
        world_pass(s.w, 7199);
        const struct js *answer = refresh(&s, s.c, used, "");
        if (passed + 7199 >= 86400) {
            refused(&s, answer, "invalid_grant");
            break;
        }
        used = world_str(s.w, granted(&s, answer), "refresh_token");
    }
    assert_true(passed < 86400);
    refused(&s, refresh(&s, s.c, idle, ""), "invalid_grant");
    world_pass(s.w, 60);
    assert_int_equal(families(&s), 0);
}

static void the_one_unused_the_longest_makes_room(void **state UNUSED)
{
    SITE(s); /* three at a time */
    const char *tokens[4];

    for (size_t i = 0; i < 4; i++) {
        tokens[i] = first(&s, s.c, "");
        world_pass(s.w, 1);
        if (i == 2)
            tokens[0] = world_str(s.w, granted(&s, refresh(&s, s.c, tokens[0], "")), "refresh_token");
    }
    assert_int_equal(families(&s), 3);
    refused(&s, refresh(&s, s.c, tokens[1], ""), "invalid_grant");
    granted(&s, refresh(&s, s.c, tokens[0], ""));
}

static void what_ends_the_client_ends_them(void **state UNUSED)
{
    SITE(s);
    const char *token = first(&s, s.c, "");

    world_admin(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c\",\"refresh\":false}");
    refused(&s, refresh(&s, s.c, token, ""), "invalid_grant");
    world_admin(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c\",\"refresh\":true}");
    token = world_str(s.w, granted(&s, refresh(&s, s.c, token, "")), "refresh_token");
    const struct js *list = js_get(world_admin(s.w, "{\"cmd\":\"refresh.list\"}"), "families");
    world_admin(s.w, world_text(s.w, "{\"cmd\":\"refresh.revoke\",\"family\":\"%s\"}",
                                world_str(s.w, js_at(list, 0), "family")));
    assert_int_equal(live_tokens(&s, "c"), 0);
    refused(&s, refresh(&s, s.c, token, ""), "invalid_grant");
    world_admin_refused(s.w, "{\"cmd\":\"refresh.revoke\",\"family\":\"nobody\"}", "NOT_FOUND");

    first(&s, s.c, "");
    first(&s, s.k, "");
    world_admin(s.w, world_text(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"k\",\"jwk\":%s}",
                                world_jwk(s.w, s.other)));
    assert_int_equal(families(&s), 1); /* a new key: the old one must not go on */
    world_admin(s.w, "{\"cmd\":\"client.remove\",\"client_id\":\"c\"}");
    assert_int_equal(families(&s), 0);
}

static void a_client_can_give_one_up(void **state UNUSED)
{
    /* RFC 7009 2.1 */
    SITE(s);
    const char *token = first(&s, s.c, "");
    world_post(s.w, "/revoke", world_text(s.w, "{%s,\"token\":\"%s\"}", s.d, token));
    assert_int_equal(s.w->code, 400);
    world_post(s.w, "/revoke",
               world_text(s.w, "{%s,\"token\":\"%s\",\"token_type_hint\":\"refresh_token\"}", s.c, token));
    assert_int_equal(s.w->code, 200);
    assert_int_equal(live_tokens(&s, "c"), 0);
    refused(&s, refresh(&s, s.c, token, ""), "invalid_grant");
    world_post(s.w, "/revoke", world_text(s.w, "{%s,\"token\":\"%s\"}", s.c, token));
    assert_int_equal(s.w->code, 200);
}

static void whichever_statement_fails_the_old_one_stays_good_or_the_new_one_is_answered(void **state UNUSED)
{
    SITE(s);
    const char *token = first(&s, s.c, "");
    unsigned n = 1;

    for (;; n++) {
        sql_fail_at(s.w->sql, n);
        const struct js *answer = refresh(&s, s.c, token, "");
        sql_fail_at(s.w->sql, 0);
        if (s.w->code == 200)
            break;
        assert_int_equal(s.w->code, 503);
        assert_null(js_get(answer, "refresh_token"));
        assert_int_equal(live_tokens(&s, "c"), 1);
        assert_true(n < 100);
    }
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_where_it_is_allowed),
        cmocka_unit_test(each_use_gives_a_new_one_for_the_same_key),
        cmocka_unit_test(one_used_twice_ends_the_family_and_its_tokens),
        cmocka_unit_test(nobody_else_can_use_one_or_end_it),
        cmocka_unit_test(what_is_no_refresh_token_is_refused),
        cmocka_unit_test(key_and_audience_cannot_change),
        cmocka_unit_test(the_key_may_be_named_when_no_token_for_it_lives_any_more),
        cmocka_unit_test(possession_of_a_public_key_is_proved_again),
        cmocka_unit_test(a_certificate_has_to_be_there_again),
        cmocka_unit_test(the_scope_can_only_narrow),
        cmocka_unit_test(what_the_resource_server_takes_today_decides),
        cmocka_unit_test(policy_of_today_decides),
        cmocka_unit_test(it_ends_unused_and_it_ends_at_last),
        cmocka_unit_test(the_one_unused_the_longest_makes_room),
        cmocka_unit_test(what_ends_the_client_ends_them),
        cmocka_unit_test(a_client_can_give_one_up),
        cmocka_unit_test(whichever_statement_fails_the_old_one_stays_good_or_the_new_one_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
