/* Live tokens when policy, groups, clients, keys or resource servers change: narrowed or revoked, a piece at a time. */
#include "as/as_priv.h"
#include "as/site_test.h"
#include "as/status_work.h"
#include "crypto/random.h"
#include "token/assertion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka wants those above first */
#include <cmocka.h>

static void a_rule_that_denies_narrows_tokens_and_says_so(void **state UNUSED)
{
    SITE(s);
    const char *t = site_token(&s, C1, ONE), *untouched = site_token(&s, C2, ONE);

    assert_non_null(strstr(site_introspect(&s, t, ONE), "shared/#"));
    const struct js *answer =
        world_admin(s.w, "{\"cmd\":\"policy.deny\",\"subject\":\"client:c1\",\"audience\":\"one\",\"filter\":"
                         "\"shared/secret\",\"permissions\":[\"pub\",\"sub\"]}");
    assert_int_equal(site_number(answer, "tokens_changed"), 1);
    assert_int_equal(site_number(answer, "tokens_revoked"), 0);
    assert_null(strstr(site_introspect(&s, t, ONE), "shared/"));
    assert_non_null(strstr(site_introspect(&s, t, ONE), "d/c1/#"));
    assert_non_null(strstr(site_introspect(&s, untouched, ONE), "shared/#"));
    for (int full = 0; full < 2; full++) {
        answer = site_trl(&s, ONE, full ? "" : "?diff=0");
        assert_int_equal(js_size(js_get(answer, "changed")), 1);
        assert_true(site_among(js_get(answer, "changed"), site_hash_of(&s, t)));
        assert_int_equal(site_cursor_of(answer), 0);
    }
    assert_int_equal(js_size(js_get(s.w->answer, "full_set")), 0);
    assert_true(site_among(js_get(site_trl(&s, C1, ""), "changed"), site_hash_of(&s, t)));
    /* The same again changes nothing, and to be told is to be told once. */
    world_admin(s.w, "{\"cmd\":\"policy.deny\",\"subject\":\"any\",\"audience\":\"one\",\"filter\":"
                     "\"elsewhere\",\"permissions\":[\"pub\",\"sub\"]}");
    answer = site_trl(&s, ONE, "?diff=0&cursor=0");
    assert_int_equal(js_size(js_get(answer, "diff_set")), 0);
    assert_null(js_get(answer, "changed"));
    const struct js *list = js_get(world_admin(s.w, "{\"cmd\":\"token.list\",\"client_id\":\"c1\"}"), "tokens");
    assert_string_equal(world_str(s.w, js_at(list, 0), "status"), "changed");
}

static void a_rule_removed_takes_what_it_gave_and_widening_gives_nothing(void **state UNUSED)
{
    SITE(s);
    int64_t extra = 0;

    site_allow(&s, "group:g", "extra/#", &extra);
    const char *t = site_token(&s, C1, ONE), *other = site_token(&s, C2, ONE);
    const struct js *answer =
        world_admin(s.w, world_text(s.w, "{\"cmd\":\"policy.remove\",\"id\":%lld}", (long long)extra));
    assert_int_equal(site_number(answer, "tokens_changed"), 1);
    assert_null(strstr(site_introspect(&s, t, ONE), "extra"));
    assert_non_null(site_introspect(&s, other, ONE));
    site_allow(&s, "any", "wide/#", NULL);
    assert_null(strstr(site_introspect(&s, t, ONE), "wide")); /* a new token is needed */
    assert_int_equal(site_cursor_of(site_trl(&s, ONE, "")), 0);
    /* All that is left goes: then it is revoked. */
    answer =
        world_admin(s.w, "{\"cmd\":\"policy.deny\",\"subject\":\"group:g\",\"audience\":\"one\",\"filter\":"
                         "\"#\",\"permissions\":[\"pub\",\"sub\"]}");
    assert_int_equal(site_number(answer, "tokens_revoked"), 1);
    assert_null(site_introspect(&s, t, ONE));
    assert_non_null(site_introspect(&s, other, ONE));
    answer = site_trl(&s, ONE, "");
    assert_true(site_among(js_get(answer, "full_set"), site_hash_of(&s, t)));
    assert_null(js_get(answer, "changed"));
}

static void a_token_without_permissions_stays(void **state UNUSED)
{
    /* MT-83 */
    SITE(s);
    const struct js *answer = world_post(
        s.w, "/token",
        world_text(s.w, "{\"client_id\":\"c1\",\"client_secret\":\"%s\",\"audience\":\"one\",\"scope\":[]}",
                   s.secrets[C1]));
    const char *t = world_str(s.w, answer, "access_token");

    world_admin(s.w, "{\"cmd\":\"policy.deny\",\"subject\":\"any\",\"audience\":\"one\",\"filter\":\"#\","
                     "\"permissions\":[\"pub\",\"sub\"]}");
    assert_non_null(site_introspect(&s, t, ONE));
    assert_int_equal(site_cursor_of(site_trl(&s, ONE, "")), -1);
}

static void who_leaves_a_group_keeps_no_token_of_it(void **state UNUSED)
{
    SITE(s);

    site_allow(&s, "group:g", "extra/#", NULL);
    const char *t = site_token(&s, C1, ONE);
    assert_non_null(strstr(site_introspect(&s, t, ONE), "extra"));
    const struct js *answer = world_admin(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c1\",\"groups\":[]}");
    assert_int_equal(site_number(answer, "tokens_changed"), 1);
    assert_null(strstr(site_introspect(&s, t, ONE), "extra"));
    assert_true(site_among(js_get(site_trl(&s, ONE, ""), "changed"), site_hash_of(&s, t)));
}

static void clients_and_resource_servers_take_their_tokens_with_them(void **state UNUSED)
{
    SITE(s);
    const char *t = site_token(&s, C1, ONE), *u = site_token(&s, C1, TWO), *v = site_token(&s, C2, ONE);

    assert_int_equal(
        site_number(world_admin(s.w, "{\"cmd\":\"client.remove\",\"client_id\":\"c1\"}"), "tokens_revoked"), 2);
    assert_true(site_among(js_get(site_trl(&s, ONE, ""), "full_set"), site_hash_of(&s, t)));
    assert_true(site_among(js_get(site_trl(&s, TWO, ""), "full_set"), site_hash_of(&s, u)));
    assert_int_equal(
        site_number(world_admin(s.w, "{\"cmd\":\"rs.remove\",\"rs_id\":\"one\"}"), "tokens_revoked"), 1);
    assert_true(site_among(js_get(site_trl(&s, C2, ""), "full_set"), site_hash_of(&s, v)));
    site_trl(&s, ONE, "");
    assert_int_equal(s.w->code, 401);
}

static void tokens_are_revoked_by_id_by_client_and_by_resource_server(void **state UNUSED)
{
    SITE(s);

    for (int i = 0; i < 3; i++) {
        site_token(&s, C1, ONE);
        site_token(&s, C1, TWO);
        site_token(&s, C2, TWO);
    }
    world_admin(s.w, world_text(s.w, "{\"cmd\":\"token.revoke\",\"jti\":\"%s\"}", site_jti(&s, C1)));
    assert_int_equal(site_number(s.w->answer, "tokens_revoked"), 1);
    world_admin(s.w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\",\"rs_id\":\"one\"}");
    int64_t first = site_number(s.w->answer, "tokens_revoked");
    world_admin(s.w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\"}");
    assert_int_equal(first + site_number(s.w->answer, "tokens_revoked"), 5);
    world_admin(s.w, "{\"cmd\":\"token.revoke\",\"rs_id\":\"two\"}");
    assert_int_equal(site_number(s.w->answer, "tokens_revoked"), 3);
    world_admin_refused(s.w, "{\"cmd\":\"token.revoke\",\"rs_id\":\"three\"}", "NOT_FOUND");
    assert_int_equal(js_size(js_get(site_trl(&s, C1, ""), "full_set")), 6);
    assert_int_equal(js_size(js_get(site_trl(&s, TWO, ""), "full_set")), 6);
}

static const char *bound_token(struct site *s, const struct key *key, const char *more)
{
    static int count;
    const char *assertion =
        world_assertion(s->w, key, ASSERTION_TYP_CLIENT, "c3", WORLD_ISSUER, world_text(s->w, "a%d", count++));
    const struct js *answer =
        world_post(s->w, "/token",
                   world_text(s->w,
                              "{\"client_assertion_type\":\"urn:ietf:params:oauth:client-assertion-type:"
                              "jwt-bearer\",\"client_assertion\":\"%s\",\"audience\":\"one\"%s}",
                              assertion, more));
    if (s->w->code != 200)
        fail_msg("%s", world_str(s->w, answer, "error_description"));
    return world_str(s->w, answer, "access_token");
}

static void tokens_of_a_replaced_key_are_revoked(void **state UNUSED)
{
    SITE(s);
    CLEANUP(key_unrefp)
    struct key *old = NULL, *new = NULL;

    assert_int_equal(key_generate(KEY_ED25519, &old), ST_OK);
    assert_int_equal(key_generate(KEY_P256, &new), ST_OK);
    world_admin(
        s.w, world_text(s.w, "{\"cmd\":\"client.add\",\"client_id\":\"c3\",\"jwk\":%s}", world_jwk(s.w, old)));
    const char *bound = bound_token(&s, old, world_text(s.w, ",\"req_cnf\":{\"jwk\":%s}", world_jwk(s.w, old)));
    const char *secret = bound_token(&s, old, "");
    world_admin(s.w, world_text(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c3\",\"name\":\"x\",\"jwk\":%s}",
                                world_jwk(s.w, old)));
    assert_non_null(site_introspect(&s, bound, ONE));
    world_admin(
        s.w, world_text(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c3\",\"jwk\":%s}", world_jwk(s.w, new)));
    assert_int_equal(site_number(s.w->answer, "tokens_revoked"), 1);
    assert_null(site_introspect(&s, bound, ONE));
    assert_non_null(site_introspect(&s, secret, ONE)); /* bound to a key of its own */
    assert_true(site_among(js_get(site_trl(&s, ONE, ""), "full_set"), site_hash_of(&s, bound)));
    bound = bound_token(&s, new, world_text(s.w, ",\"req_cnf\":{\"jwk\":%s}", world_jwk(s.w, new)));
    world_admin(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c3\",\"jwk\":null}");
    assert_null(site_introspect(&s, bound, ONE));
}

static void work_for_many_tokens_is_done_in_slices_and_by_the_next_process(void **state UNUSED)
{
    enum { TOKENS = 3 * STATUS_SLICE + 10 };
    SITE(s);
    const struct as_parts parts = {
        .sql = s.w->sql,
        .signer = s.w->signer,
        .settings = &s.w->settings,
        .issuer = WORLD_ISSUER,
        .pop_master = s.w->pop_master,
        .env = { .random = random_for_env },
    };
    int64_t entries = 0;

    for (int i = 0; i < TOKENS; i++)
        site_token(&s, C1, ONE);
    const char *other = site_token(&s, C2, ONE);
    const struct js *answer = world_admin(s.w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\"}");
    assert_int_equal(site_number(answer, "tokens_revoked"), STATUS_SLICE);
    assert_int_equal(site_number(answer, "tokens_queued"), TOKENS - STATUS_SLICE);
    world_pass(s.w, 1);
    const char *later = site_token(&s, C1, TWO); /* not among those the command was about */
    assert_true(as_work(s.w->as, s.w->now));
    const size_t done = js_size(js_get(site_trl(&s, ONE, ""), "full_set"));
    assert_in_range(done, 2 * STATUS_SLICE - 1, 2 * STATUS_SLICE); /* the later one was perhaps looked at */
    sql_fail_at(s.w->sql, 40);                                     /* in the middle of a slice: nothing of it */
    assert_false(as_work(s.w->as, s.w->now));
    sql_fail_at(s.w->sql, 0);
    assert_int_equal(js_size(js_get(site_trl(&s, ONE, ""), "full_set")), done);
    world_pass(s.w, 31);
    site_trl(&s, ONE, ""); /* cleans up, and that tries again */
    assert_true(as_work(s.w->as, s.w->now));
    as_free(s.w->as); /* and the process dies */
    assert_int_equal(as_new(&parts, s.w->now, &s.w->as, NULL), ST_OK);
    for (int i = 0; i < 10 && as_work(s.w->as, s.w->now); i++)
        ;
    assert_false(as_work(s.w->as, s.w->now));
    assert_int_equal(js_size(js_get(site_trl(&s, ONE, ""), "full_set")), TOKENS);
    assert_non_null(site_introspect(&s, other, ONE));
    assert_non_null(site_introspect(&s, later, TWO));
    assert_true(js_get_i64(world_admin(s.w, "{\"cmd\":\"audit.verify\"}"), "entries", &entries));
    answer = js_get(world_admin(s.w, "{\"cmd\":\"audit.list\",\"limit\":1000}"), "entries");
    answer = js_at(answer, js_size(answer) - 1);
    assert_string_equal(world_str(s.w, answer, "event"), "tokens.reviewed");
    assert_string_equal(world_str(s.w, answer, "subject"), "c1");
    assert_non_null(strstr(world_str(s.w, answer, "detail"), world_text(s.w, "%d", TOKENS - STATUS_SLICE)));
}

static void tokens_of_a_clock_that_was_set_back_are_revoked_like_others(void **state UNUSED)
{
    enum { TOKENS = STATUS_SLICE + 10 };
    SITE(s);

    for (int i = 0; i < TOKENS; i++)
        site_token(&s, C1, ONE);
    s.w->now.wall.s -= 1800;
    world_admin(s.w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\"}");
    while (as_work(s.w->as, s.w->now))
        ;
    assert_int_equal(js_size(js_get(site_trl(&s, ONE, ""), "full_set")), TOKENS);
}

static void a_change_whose_tokens_cannot_be_told_is_not_made(void **state UNUSED)
{
    SITE(s);
    const char *t = site_token(&s, C1, ONE);
    static const char deny[] = "{\"cmd\":\"policy.deny\",\"subject\":\"any\",\"audience\":\"one\",\"filter\":"
                               "\"shared/x\",\"permissions\":[\"pub\"]}";
    unsigned n = 1;

    for (;; n++) { /* every statement in turn */
        int64_t changed = -1;
        sql_fail_at(s.w->sql, n);
        site_act_as(&s, ONE);
        struct buf out;
        buf_init(&out, AS_ADMIN_REPLY_MAX);
        as_admin(s.w->as, SPAN(deny), SPAN("uid:0"), s.w->now, &out);
        sql_fail_at(s.w->sql, 0);
        bool ok = span_starts_with(buf_span(&out), SPAN("{\"ok\":true"));
        buf_done(&out);
        changed = site_cursor_of(site_trl(&s, ONE, ""));
        assert_int_equal(changed, ok ? 0 : -1);
        assert_int_equal(strstr(site_introspect(&s, t, ONE), "[\"shared/#\",[\"pub\",\"sub\"]]") != NULL, !ok);
        if (ok)
            break;
    }
    assert_in_range(n, 10, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_that_denies_narrows_tokens_and_says_so),
        cmocka_unit_test(a_rule_removed_takes_what_it_gave_and_widening_gives_nothing),
        cmocka_unit_test(a_token_without_permissions_stays),
        cmocka_unit_test(who_leaves_a_group_keeps_no_token_of_it),
        cmocka_unit_test(clients_and_resource_servers_take_their_tokens_with_them),
        cmocka_unit_test(tokens_are_revoked_by_id_by_client_and_by_resource_server),
        cmocka_unit_test(tokens_of_a_replaced_key_are_revoked),
        cmocka_unit_test(work_for_many_tokens_is_done_in_slices_and_by_the_next_process),
        cmocka_unit_test(tokens_of_a_clock_that_was_set_back_are_revoked_like_others),
        cmocka_unit_test(a_change_whose_tokens_cannot_be_told_is_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
