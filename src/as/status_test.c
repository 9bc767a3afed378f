/* The status of tokens: the revocation list of RFC 9770, and requests that wait for news of it. */
#include "as/as_priv.h"
#include "as/site_test.h"
#include "as/status.h"
#include "codec/cbor.h"
#include "token/assertion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants those above first */
#include <cmocka.h>

static void each_sees_its_own_revoked_tokens_and_no_others(void **state UNUSED)
{
    /* RFC 9770 7, 5: AF-85, AF-97 */
    SITE(s);
    const char *a = site_token(&s, C1, ONE), *b = site_token(&s, C1, TWO), *c = site_token(&s, C2, ONE);

    assert_int_equal(js_size(js_get(site_trl(&s, ONE, ""), "full_set")), 0);
    assert_int_equal(s.w->code, 200);
    assert_string_equal(s.w->content_type, "application/ace-trl+json");
    assert_int_equal(site_cursor_of(s.w->answer), -1);
    site_revoke(&s, a, C1);
    site_revoke(&s, a, C1); /* RFC 7009 2.2: and nothing happens twice */
    const struct js *set = js_get(site_trl(&s, ONE, ""), "full_set");
    assert_int_equal(js_size(set), 1);
    assert_true(site_among(set, site_hash_of(&s, a)));
    assert_int_equal(site_cursor_of(s.w->answer), 0); /* 5.2.1: the first one is 0 */
    assert_true(site_among(js_get(site_trl(&s, C1, ""), "full_set"), site_hash_of(&s, a)));
    assert_int_equal(js_size(js_get(site_trl(&s, TWO, ""), "full_set")), 0);
    assert_int_equal(js_size(js_get(site_trl(&s, C2, ""), "full_set")), 0);
    site_revoke(&s, b, C1);
    site_revoke(&s, c, C2);
    assert_int_equal(js_size(js_get(site_trl(&s, ONE, ""), "full_set")), 2);
    assert_int_equal(js_size(js_get(site_trl(&s, TWO, ""), "full_set")), 1);
    assert_int_equal(js_size(js_get(site_trl(&s, C1, ""), "full_set")), 2);
    assert_null(js_get(s.w->answer, "changed"));
}

static void nobody_sees_it_without_proving_who_asks(void **state UNUSED)
{
    /* RFC 9770 5: registered devices only. RFC 6749 2.3.1: no secret in a URL */
    SITE(s);

    world_get(s.w, "/trl");
    assert_int_equal(s.w->code, 401);
    world_get(s.w, world_text(s.w, "/trl?client_id=one&client_secret=%s", s.secrets[ONE]));
    assert_int_equal(s.w->code, 401);
    s.secrets[ONE] = "wrong";
    site_trl(&s, ONE, "");
    assert_int_equal(s.w->code, 401);
    assert_true(s.w->challenge);
    site_act_as(&s, TWO);
    world_post(s.w, "/trl", "{}");
    assert_int_equal(s.w->code, 405);
}

static void a_key_or_a_certificate_also_says_who_asks(void **state UNUSED)
{
    SITE(s);
    CLEANUP(key_unrefp)
    struct key *key = NULL;

    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    world_admin(
        s.w, world_text(s.w, "{\"cmd\":\"client.add\",\"client_id\":\"c3\",\"jwk\":%s}", world_jwk(s.w, key)));
    const char *assertion = world_assertion(s.w, key, ASSERTION_TYP_CLIENT, "c3", WORLD_ISSUER, "1");
    const char *path = world_text(s.w,
                                  "/trl?client_assertion_type=urn:ietf:params:oauth:client-assertion-type:"
                                  "jwt-bearer&client_assertion=%s",
                                  assertion);
    world_get(s.w, path);
    assert_int_equal(s.w->code, 200);
    world_get(s.w, path);
    assert_int_equal(s.w->code, 401); /* once */
}

static void a_diff_tells_the_newest_first_and_goes_on_from_a_cursor(void **state UNUSED)
{
    /* RFC 9770 8, 9.2 */
    SITE(s);
    const char *t[3];

    assert_int_equal(js_size(js_get(site_trl(&s, ONE, "?diff=0"), "diff_set")), 0); /* 9.2.1 */
    assert_int_equal(site_cursor_of(s.w->answer), -1);
    assert_false(site_more_of(s.w->answer));
    assert_int_equal(site_cursor_of(site_trl(&s, ONE, "?diff=0&cursor=77")), -1); /* whatever the cursor */
    for (int i = 0; i < 3; i++)
        t[i] = site_token(&s, C1, ONE);
    for (int i = 0; i < 3; i++)
        site_revoke(&s, t[i], C1);
    const struct js *set = js_get(site_trl(&s, ONE, "?diff=0"), "diff_set");
    assert_int_equal(js_size(set), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(js_size(js_at(js_at(set, i), 0)), 0);
        assert_true(site_among(js_at(js_at(set, i), 1), site_hash_of(&s, t[2 - i])));
    }
    assert_int_equal(site_cursor_of(s.w->answer), 2);
    set = js_get(site_trl(&s, ONE, "?diff=1"), "diff_set"); /* 8: the U most recent */
    assert_int_equal(js_size(set), 1);
    assert_true(site_among(js_at(js_at(set, 0), 1), site_hash_of(&s, t[2])));
    set = js_get(site_trl(&s, ONE, "?diff=0&cursor=0"), "diff_set"); /* 9.2.3 case B */
    assert_int_equal(js_size(set), 2);
    assert_true(site_among(js_at(js_at(set, 1), 1), site_hash_of(&s, t[1])));
    assert_int_equal(site_cursor_of(s.w->answer), 2);
    assert_int_equal(js_size(js_get(site_trl(&s, ONE, "?diff=0&cursor=2"), "diff_set")), 0);
    assert_int_equal(site_cursor_of(s.w->answer), 2);
    assert_false(site_more_of(s.w->answer));
    assert_int_equal(site_cursor_of(site_trl(&s, C1, "?diff=5")),
                     2); /* the client has its own, which happens to be the same */
}

static void wrong_queries_are_answered_with_the_problem(void **state UNUSED)
{
    /* RFC 9770 5.1, 5.3, 11 */
    static const struct {
        const char *query;
        int error;
        bool cursor;
    } rows[] = {
        { "?diff=", 0, false },
        { "?diff=-1", 0, false },
        { "?diff=x", 0, false },
        { "?diff=1.5", 0, false },
        { "?diff=x&cursor=0", 0, false },
        { "?cursor=0", 1, false },
        { "?cursor=x", 1, false },
        { "?diff=0&cursor=-53", 0, true },
        { "?diff=0&cursor=", 0, true },
        { "?diff=0&cursor=9007199254740992", 0, true },
        { "?diff=0&cursor=1", 2, false },
        { "?diff=0&cursor=9007199254740991", 2, false },
        { "?diff=99999999999999999999", 0, false },
    };
    SITE(s);

    assert_true(
        js_is(js_get(js_get(site_trl(&s, ONE, "?diff=0&cursor=x"), "ace-trl-error"), "cursor"), JS_NULL));
    site_revoke(&s, site_token(&s, C1, ONE), C1);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct js *error = js_get(site_trl(&s, ONE, rows[i].query), "ace-trl-error");
        int64_t id = -1, cursor = -1;
        assert_int_equal(s.w->code, 400);
        assert_string_equal(s.w->content_type, "application/problem+json");
        assert_true(js_get_i64(error, "error-id", &id));
        assert_int_equal(id, rows[i].error);
        assert_int_equal(js_get_i64(error, "cursor", &cursor), rows[i].cursor);
        assert_int_equal(cursor, rows[i].cursor ? 0 : -1);
    }
    site_trl(&s, ONE, "?unknown=1"); /* 5.3: ignored */
    assert_int_equal(s.w->code, 200);
}

static struct cb *parsed(struct site *s)
{
    struct cb *cb = NULL;

    assert_int_equal(cb_parse(span_of(s->w->raw, s->w->raw_len), sizeof s->w->raw, &cb, NULL), ST_OK);
    return cb;
}

static void in_cbor_it_is_the_map_of_the_rfc(void **state UNUSED)
{
    /* AF-98; RFC 9770 7, 8, 10, 5.1 */
    SITE(s);
    int64_t n = -1;
    struct span hash;
    const char *t = site_token(&s, C1, ONE);
    uint8_t entry[STATUS_HASH_LEN] = { 1 };

    assert_int_equal(sha256(span_of_str(t), entry + 1), ST_OK);
    s.w->accept = "application/ace-trl+cbor";
    site_trl(&s, ONE, "");
    struct cb *cb = parsed(&s);
    assert_string_equal(s.w->content_type, "application/ace-trl+cbor");
    assert_int_equal(cb_size(cb_get(cb, 0)), 0);
    assert_true(cb_is(cb_get(cb, 2), CB_NULL));
    assert_int_equal(cb_size(cb), 2);
    cb_unref(cb);
    site_revoke(&s, t, C1);
    site_trl(&s, ONE, "?diff=0");
    cb = parsed(&s);
    const struct cb *one = cb_at(cb_get(cb, 1), 0);
    assert_int_equal(cb_size(cb_at(one, 0)), 0);
    assert_true(cb_as_bytes(cb_at(cb_at(one, 1), 0), &hash));
    assert_true(span_eq(hash, span_of(entry, sizeof entry)));
    assert_true(cb_as_i64(cb_get(cb, 2), &n) && n == 0);
    assert_true(cb_is(cb_get(cb, 3), CB_FALSE));
    cb_unref(cb);
    site_trl(&s, ONE, "?diff=0&cursor=5");
    cb = parsed(&s);
    assert_string_equal(s.w->content_type, "application/concise-problem-details+cbor");
    assert_true(cb_is(cb_get(cb, -1), CB_TEXT));
    assert_true(cb_as_i64(cb_get(cb_get(cb, 1), 0), &n) && n == 2);
    cb_unref(cb);
    s.w->accept = NULL;
}

static void a_revoked_token_that_is_over_is_taken_from_the_list(void **state UNUSED)
{
    /* RFC 9770 4.1 */
    SITE(s);
    const char *t = site_token(&s, C1, ONE);

    site_revoke(&s, t, C1);
    world_pass(s.w, 3601);
    assert_int_equal(js_size(js_get(site_trl(&s, ONE, ""), "full_set")), 0);
    const struct js *set = js_get(site_trl(&s, ONE, "?diff=0&cursor=0"), "diff_set");
    assert_int_equal(js_size(set), 1);
    assert_true(site_among(js_at(js_at(set, 0), 0), site_hash_of(&s, t)));
    assert_int_equal(js_size(js_at(js_at(set, 0), 1)), 0);
    assert_int_equal(site_cursor_of(s.w->answer), 1);
    world_pass(s.w, STATUS_OVER_KEEP_S + 60); /* and that is forgotten too, but not where it was */
    assert_int_equal(site_cursor_of(site_trl(&s, ONE, "?diff=0&cursor=1")), 1);
    assert_false(site_more_of(s.w->answer));
    assert_int_equal(site_cursor_of(site_trl(&s, ONE, "?diff=0&cursor=0")), -1); /* 9.2.3 case A */
    assert_true(site_more_of(s.w->answer));
    assert_int_equal(site_cursor_of(site_trl(&s, ONE, "")), 1);
}

static void many_that_are_over_go_a_piece_at_a_time(void **state UNUSED)
{
    enum { TOKENS = 600 };
    SITE(s);
    size_t removed = 0, rounds = 0;

    for (int i = 0; i < TOKENS; i++)
        site_token(&s, C1, ONE);
    world_admin(s.w, "{\"cmd\":\"token.revoke\",\"rs_id\":\"one\"}");
    while (as_work(s.w->as, s.w->now))
        ;
    int64_t cursor = site_cursor_of(site_trl(&s, ONE, ""));
    assert_int_equal(js_size(js_get(s.w->answer, "full_set")), TOKENS);
    world_pass(s.w, 3601);
    for (; as_purge(s.w->as, s.w->now); rounds++)
        s.w->now.mono.ms += AS_PURGE_MORE_MS;
    assert_in_range(rounds, 1, 10);
    const struct js *set =
        js_get(site_trl(&s, ONE, world_text(s.w, "?diff=0&cursor=%lld", (long long)cursor)), "diff_set");
    for (size_t i = 0; i < js_size(set); i++)
        removed += js_size(js_at(js_at(set, i), 0));
    assert_int_equal(removed, TOKENS);
    assert_int_equal(site_number(world_admin(s.w, "{\"cmd\":\"status\"}"), "tokens"), 0);
}

static void a_cursor_that_is_too_old_leads_to_the_full_set(void **state UNUSED)
{
    /* RFC 9770 5.2 step 5, 9.2.3 case A; batches: 9.2.2, 9.2.3 */
    SITE(s);
    struct status_update update;
    uint8_t hash[SHA256_LEN] = { 0 };

    for (int i = 0; i < STATUS_CHANGES_MAX + 50; i++) {
        const struct token_row row = { .client_id = SPAN("nobody"),
                                       .rs_id = SPAN("one"),
                                       .hash = span_of(hash, sizeof hash) };
        update = (struct status_update){ 0 };
        hash[0] = (uint8_t)i;
        hash[1] = (uint8_t)(i >> 8);
        assert_int_equal(status_tell(s.w->sql, &update, &row, STATUS_REVOKED, WORLD_START + 9999, NULL), ST_OK);
    }
    assert_int_equal(site_cursor_of(site_trl(&s, ONE, "?diff=0&cursor=48")), -1);
    assert_true(site_more_of(s.w->answer));
    assert_int_equal(js_size(js_get(s.w->answer, "diff_set")), 0);
    int64_t cursor = 49, told = 0; /* the last one that is not kept: nothing is missing behind it */
    for (bool more = true; more;) {
        const struct js *answer = site_trl(&s, ONE, world_text(s.w, "?diff=0&cursor=%lld", (long long)cursor));
        more = site_more_of(answer);
        assert_int_equal(site_cursor_of(answer) - cursor, js_size(js_get(answer, "diff_set")));
        assert_true(js_size(js_get(answer, "diff_set")) <= STATUS_BATCH_MAX);
        told += (int64_t)js_size(js_get(answer, "diff_set"));
        cursor = site_cursor_of(answer);
    }
    assert_int_equal(told, STATUS_CHANGES_MAX);
    assert_int_equal(cursor, STATUS_CHANGES_MAX + 49);
    assert_int_equal(site_cursor_of(site_trl(&s, ONE, "?diff=250")),
                     STATUS_CHANGES_MAX + 49 - 150); /* the eldest of them */
    assert_true(site_more_of(s.w->answer));
}

static void a_request_may_wait_for_news_of_its_own(void **state UNUSED)
{
    /* RFC 7240 4.3, RFC 9110 13.1.2 */
    SITE(s);
    const char *t = site_token(&s, C1, ONE), *other = site_token(&s, C1, TWO);

    s.w->prefer = "wait=20";
    site_trl(&s, ONE, ""); /* a full query without a condition is answered at once */
    assert_int_equal(s.w->wait.wait_s, 0);
    assert_int_equal(s.w->code, 200);
    const char *etag = world_text(s.w, "%s", s.w->etag);
    assert_true(etag[0] != '\0');
    site_trl(&s, ONE, "?diff=0"); /* there is nothing yet */
    assert_int_equal(s.w->wait.wait_s, 20);
    const struct as_wait diff = s.w->wait;
    s.w->if_none_match = etag;
    site_trl(&s, ONE, "");
    assert_int_equal(s.w->wait.wait_s, 20);
    const struct as_wait full = s.w->wait;
    int64_t version = as_status_version(s.w->as);
    site_revoke(&s, other, C1);
    assert_true(as_status_version(s.w->as) > version);
    assert_false(as_wait_due(s.w->as, &diff) || as_wait_due(s.w->as, &full));
    s.w->wait = full; /* time is up: nothing new */
    world_wait_answer(s.w);
    assert_int_equal(s.w->code, 304);
    s.w->wait = diff;
    assert_int_equal(js_size(js_get(world_wait_answer(s.w), "diff_set")), 0);
    assert_int_equal(s.w->waited_s, 20);
    site_revoke(&s, t, C1);
    assert_true(as_wait_due(s.w->as, &diff) && as_wait_due(s.w->as, &full));
    s.w->wait = full;
    assert_true(site_among(js_get(world_wait_answer(s.w), "full_set"), site_hash_of(&s, t)));
    assert_string_not_equal(s.w->etag, etag);
    s.w->wait = diff;
    assert_int_equal(js_size(js_get(world_wait_answer(s.w), "diff_set")), 1);
    s.w->if_none_match = world_text(s.w, "W/\"x\", %s", s.w->etag);
    site_trl(&s, ONE, ""); /* the condition names another state */
    assert_int_equal(s.w->code, 200);
    s.w->prefer = NULL;
    s.w->if_none_match = world_text(s.w, "%s", s.w->etag);
    site_trl(&s, ONE, ""); /* without waiting: at once */
    assert_int_equal(s.w->code, 304);
    assert_int_equal(s.w->raw_len, 0);
}

static void preferences_are_read_as_they_are_written(void **state UNUSED)
{
    static const struct {
        const char *prefer;
        int64_t wait_s;
    } rows[] = {
        { "wait=5", 5 },       { "WAIT = 5", 5 }, { "respond-async, wait=7; foo=bar", 7 },
        { "wait=100000", 60 }, { "wait=0", 0 },   { "wait", 0 },
        { "wait=", 0 },        { "wait=-1", 0 },  { "wait=9999999999999999999999", 0 },
        { "awaits=5", 0 },     { "wait=5x", 0 },  { ",,;=,wait=1", 1 },
    };
    SITE(s);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        s.w->prefer = rows[i].prefer;
        site_trl(&s, ONE, "?diff=0");
        assert_int_equal(s.w->wait.wait_s, rows[i].wait_s);
    }
}

static void who_is_removed_while_it_waits_is_told_no_more(void **state UNUSED)
{
    SITE(s);

    s.w->prefer = "wait=20";
    site_trl(&s, ONE, "?diff=0");
    const struct as_wait wait = s.w->wait;
    assert_int_equal(wait.wait_s, 20);
    world_admin(s.w, "{\"cmd\":\"rs.remove\",\"rs_id\":\"one\"}");
    s.w->wait = wait;
    world_wait_answer(s.w);
    assert_int_equal(s.w->code, 401);
}

static void a_list_too_long_to_answer_is_refused_whole_and_changes_go_on(void **state UNUSED)
{
    /* RFC 9770 13.2 */
    SITE(s);

    for (int i = 0; i < 30; i++)
        site_revoke(&s, site_token(&s, C1, ONE), C1);
    s.w->as->trl_max = 1000;
    s.w->accept = "application/ace-trl+json";
    const struct js *answer = site_trl(&s, ONE, "");
    assert_int_equal(s.w->code, 503);
    assert_string_equal(s.w->content_type, "application/problem+json");
    assert_true(s.w->retry_after_s > 0);
    assert_null(js_get(answer, "full_set"));
    assert_string_equal(s.w->etag, "");
    s.w->accept = "application/ace-trl+cbor";
    site_trl(&s, ONE, "");
    assert_int_equal(s.w->code, 503);
    assert_string_equal(s.w->content_type, "application/concise-problem-details+cbor");
    s.w->accept = NULL;
    assert_int_equal(js_size(js_get(site_trl(&s, ONE, "?diff=0&cursor=27"), "diff_set")), 2);
    assert_int_equal(s.w->code, 200);
}

/* Whoever applies what it is told has what the full set says, however the changes come and however seldom it asks. */
static void diffs_add_up_to_the_full_set(void **state UNUSED)
{
    SITE(s);
    struct {
        const char *text, *hash;
        bool listed;
    } known[200] = { 0 };
    size_t count = 0;
    int64_t cursor = -1;
    uint32_t seed = 12345;

    for (int step = 0; step < 400; step++) {
        seed = seed * 1103515245 + 12345;
        uint32_t what = (seed >> 16) % 10;
        if (what < 4 && count < COUNT_OF(known)) {
            known[count].text = site_token(&s, (seed >> 20) % 2 ? C1 : C2, ONE);
            known[count].hash = site_hash_of(&s, known[count].text);
            count++;
        } else if (what < 7 && count > 0) {
            const char *text = known[(seed >> 20) % count].text;
            site_act_as(&s, C1);
            world_post(s.w, "/revoke", world_text(s.w, "token=%s", text)); /* refused if it is another's */
            s.w->authorization = SPAN_NONE;
        } else if (what == 7) {
            world_pass(s.w, (seed >> 20) % 700);
        } else if (what == 8) {
            const struct js *answer =
                cursor < 0 ? site_trl(&s, ONE, "")
                           : site_trl(&s, ONE, world_text(s.w, "?diff=0&cursor=%lld", (long long)cursor));
            if (cursor >= 0 && site_cursor_of(answer) < 0) { /* too old */
                assert_true(site_more_of(answer));
                cursor = -1;
                answer = site_trl(&s, ONE, "");
            }
            const struct js *set = js_get(answer, "full_set"), *diff = js_get(answer, "diff_set");
            for (size_t k = 0; set != NULL && k < count; k++)
                known[k].listed = site_among(set, known[k].hash);
            for (size_t i = js_size(diff); i-- > 0;)
                for (size_t k = 0; k < count; k++)
                    known[k].listed =
                        (known[k].listed || site_among(js_at(js_at(diff, i), 1), known[k].hash)) &&
                        !site_among(js_at(js_at(diff, i), 0), known[k].hash);
            cursor = site_cursor_of(answer);
            set = js_get(site_trl(&s, ONE, ""), "full_set");
            for (size_t k = 0; k < count; k++)
                assert_int_equal(known[k].listed, site_among(set, known[k].hash));
        }
    }
    assert_true(count > 50 && cursor > 10);
}

static void a_token_answered_in_another_form_is_listed_under_both_hashes(void **state UNUSED)
{
    /* AF-99; RFC 9770 4.2, 4.3; decision 0007 */
    uint8_t hash[SHA256_LEN], expected[SHA256_LEN];

    assert_false(token_row_trl_hash(SPAN("2YotnFZFEjr1zCsicMWpAA"), false, false, hash));
    assert_true(token_row_trl_hash(SPAN("\xd0\x83\x43"), true, false, hash));
    assert_int_equal(sha256(SPAN("0IND"), expected), ST_OK);
    assert_memory_equal(hash, expected, sizeof hash);
    assert_true(token_row_trl_hash(SPAN("abc"), false, true, hash));
    assert_int_equal(sha256(SPAN("YWJj"), expected), ST_OK);
    assert_memory_equal(hash, expected, sizeof hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sees_its_own_revoked_tokens_and_no_others),
        cmocka_unit_test(nobody_sees_it_without_proving_who_asks),
        cmocka_unit_test(a_key_or_a_certificate_also_says_who_asks),
        cmocka_unit_test(a_diff_tells_the_newest_first_and_goes_on_from_a_cursor),
        cmocka_unit_test(wrong_queries_are_answered_with_the_problem),
        cmocka_unit_test(in_cbor_it_is_the_map_of_the_rfc),
        cmocka_unit_test(a_revoked_token_that_is_over_is_taken_from_the_list),
        cmocka_unit_test(many_that_are_over_go_a_piece_at_a_time),
        cmocka_unit_test(a_cursor_that_is_too_old_leads_to_the_full_set),
        cmocka_unit_test(a_request_may_wait_for_news_of_its_own),
        cmocka_unit_test(preferences_are_read_as_they_are_written),
        cmocka_unit_test(who_is_removed_while_it_waits_is_told_no_more),
        cmocka_unit_test(a_list_too_long_to_answer_is_refused_whole_and_changes_go_on),
        cmocka_unit_test(diffs_add_up_to_the_full_set),
        cmocka_unit_test(a_token_answered_in_another_form_is_listed_under_both_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
