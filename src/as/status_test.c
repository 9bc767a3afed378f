/* The status of tokens: the revocation list of RFC 9770, what makes entries in it, and requests that wait for them. */
#include "as/as_priv.h"
#include "as/status.h"
#include "as/status_work.h"
#include "as/world_test.h"
#include "codec/base64.h"
#include "codec/cbor.h"
#include "crypto/random.h"
#include "token/assertion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define HASH_TEXT_MAX 64

/* c1 (of group "g") and c2, with secrets; "one" and "two" take references. Everybody may do d/ID/# and shared/#. */
struct site {
    struct world *w;
    const char *secrets[4]; /* c1, c2, one, two */
    int64_t rule_shared;
};

static const char *const names[] = { "c1", "c2", "one", "two" };

static void allow(struct site *s, const char *subject, const char *filter, int64_t *ret_id)
{
    const struct js *answer = NULL;

    for (size_t i = 2; i < 4; i++) {
        answer =
            world_admin(s->w, world_text(s->w,
                                         "{\"cmd\":\"policy.allow\",\"subject\":\"%s\",\"audience\":\"%s\","
                                         "\"filter\":\"%s\",\"permissions\":[\"pub\",\"sub\"]}",
                                         subject, names[i], filter));
        if (i == 2 && ret_id != NULL)
            assert_true(js_get_i64(js_get(answer, "policy"), "id", ret_id));
    }
}

static void open_site(struct site *s)
{
    struct world *w = s->w = world_new();

    w->settings.token_max = w->settings.token_max_per_client = 100000;
    for (size_t i = 0; i < 2; i++)
        s->secrets[i] = world_str(w,
                                  world_admin(w, world_text(w,
                                                            "{\"cmd\":\"client.add\",\"client_id\":\"%s\","
                                                            "\"groups\":[%s]}",
                                                            names[i], i == 0 ? "\"g\"" : "")),
                                  "client_secret");
    for (size_t i = 2; i < 4; i++)
        s->secrets[i] = world_str(w,
                                  world_admin(w, world_text(w,
                                                            "{\"cmd\":\"rs.add\",\"audience\":\"%s\","
                                                            "\"token_format\":\"reference\"}",
                                                            names[i])),
                                  "rs_secret");
    allow(s, "any", "d/${client_id}/#", NULL);
    allow(s, "any", "shared/#", &s->rule_shared);
}

static void close_site(struct site *s)
{
    world_free(s->w);
}

#define SITE(s)            \
    CLEANUP(close_site)    \
    struct site s = { 0 }; \
    open_site(&s)

static void act_as(struct site *s, int who)
{
    struct buf b;

    buf_init(&b, 512);
    put_str(&b, "Basic ");
    base64_encode(span_of_str(world_text(s->w, "%s:%s", names[who], s->secrets[who])), &b);
    s->w->authorization = span_of_str(world_text(s->w, "%.*s", SPAN_FMT(buf_span(&b))));
    buf_done(&b);
}

enum { C1, C2, ONE, TWO };

static const char *token(struct site *s, int client, int rs)
{
    s->w->authorization = SPAN_NONE;
    const struct js *answer =
        world_post(s->w, "/token",
                   world_text(s->w, "{\"client_id\":\"%s\",\"client_secret\":\"%s\",\"audience\":\"%s\"}",
                              names[client], s->secrets[client], names[rs]));
    assert_int_equal(s->w->code, 200);
    return world_str(s->w, answer, "access_token");
}

/* Its entry in JSON: RFC 9770 4, RFC 6920 6. */
static const char *hash_of(struct site *s, const char *text)
{
    uint8_t entry[STATUS_HASH_LEN] = { 1 };
    struct buf b;

    assert_int_equal(sha256(span_of_str(text), entry + 1), ST_OK);
    buf_init(&b, HASH_TEXT_MAX);
    base64url_encode(span_of(entry, sizeof entry), &b);
    const char *kept = world_text(s->w, "%.*s", SPAN_FMT(buf_span(&b)));
    buf_done(&b);
    return kept;
}

static const struct js *trl(struct site *s, int who, const char *query)
{
    act_as(s, who);
    const struct js *answer = world_get(s->w, world_text(s->w, "/trl%s", query));
    s->w->authorization = SPAN_NONE;
    return answer;
}

static bool among(const struct js *array, const char *text)
{
    struct span one;

    for (size_t i = 0; i < js_size(array); i++)
        if (js_as_str(js_at(array, i), &one) && span_eq_str(one, text))
            return true;
    return false;
}

static int64_t cursor_of(const struct js *answer)
{
    int64_t cursor = -1;

    if (!js_get_i64(answer, "cursor", &cursor))
        assert_true(js_is(js_get(answer, "cursor"), JS_NULL));
    return cursor;
}

static bool more_of(const struct js *answer)
{
    bool more = false;

    assert_true(js_get_bool(answer, "more", &more));
    return more;
}

/* The last token of `client`. */
static const char *jti(struct site *s, int client)
{
    const struct js *list =
        world_admin(s->w, world_text(s->w, "{\"cmd\":\"token.list\",\"client_id\":\"%s\"}", names[client]));
    const struct js *tokens = js_get(list, "tokens");

    assert_true(js_size(tokens) > 0);
    return world_str(s->w, js_at(tokens, 0), "jti");
}

static void revoke(struct site *s, const char *token_text, int client)
{
    world_post(s->w, "/revoke",
               world_text(s->w, "{\"client_id\":\"%s\",\"client_secret\":\"%s\",\"token\":\"%s\"}",
                          names[client], s->secrets[client], token_text));
    assert_int_equal(s->w->code, 200);
}

static int64_t number(const struct js *answer, const char *name)
{
    int64_t n = 0;

    js_get_i64(answer, name, &n);
    return n;
}

/* `active`, and its scope as text if it is. */
static const char *introspect(struct site *s, const char *text, int rs)
{
    bool active = false;
    struct span scope;

    act_as(s, rs);
    const struct js *answer = world_post(s->w, "/introspect", world_text(s->w, "token=%s", text));
    s->w->authorization = SPAN_NONE;
    assert_int_equal(s->w->code, 200);
    assert_true(js_get_bool(answer, "active", &active));
    if (!active)
        return NULL;
    if (js_get_str(answer, "scope", &scope)) {
        struct buf b;
        buf_init(&b, 4096);
        assert_int_equal(base64url_decode(scope, &b, NULL), ST_OK);
        const char *kept = world_text(s->w, "%.*s", SPAN_FMT(buf_span(&b)));
        buf_done(&b);
        return kept;
    }
    return "";
}

static void each_sees_its_own_revoked_tokens_and_no_others(void **state UNUSED)
{
    /* RFC 9770 7, 5: AF-85, AF-97 */
    SITE(s);
    const char *a = token(&s, C1, ONE), *b = token(&s, C1, TWO), *c = token(&s, C2, ONE);

    assert_int_equal(js_size(js_get(trl(&s, ONE, ""), "full_set")), 0);
    assert_int_equal(s.w->code, 200);
    assert_string_equal(s.w->content_type, "application/ace-trl+json");
    assert_int_equal(cursor_of(s.w->answer), -1);
    revoke(&s, a, C1);
    revoke(&s, a, C1); /* RFC 7009 2.2: and nothing happens twice */
    const struct js *set = js_get(trl(&s, ONE, ""), "full_set");
    assert_int_equal(js_size(set), 1);
    assert_true(among(set, hash_of(&s, a)));
    assert_int_equal(cursor_of(s.w->answer), 0); /* 5.2.1: the first one is 0 */
    assert_true(among(js_get(trl(&s, C1, ""), "full_set"), hash_of(&s, a)));
    assert_int_equal(js_size(js_get(trl(&s, TWO, ""), "full_set")), 0);
    assert_int_equal(js_size(js_get(trl(&s, C2, ""), "full_set")), 0);
    revoke(&s, b, C1);
    revoke(&s, c, C2);
    assert_int_equal(js_size(js_get(trl(&s, ONE, ""), "full_set")), 2);
    assert_int_equal(js_size(js_get(trl(&s, TWO, ""), "full_set")), 1);
    assert_int_equal(js_size(js_get(trl(&s, C1, ""), "full_set")), 2);
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
    trl(&s, ONE, "");
    assert_int_equal(s.w->code, 401);
    assert_true(s.w->challenge);
    act_as(&s, TWO);
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

    assert_int_equal(js_size(js_get(trl(&s, ONE, "?diff=0"), "diff_set")), 0); /* 9.2.1 */
    assert_int_equal(cursor_of(s.w->answer), -1);
    assert_false(more_of(s.w->answer));
    assert_int_equal(cursor_of(trl(&s, ONE, "?diff=0&cursor=77")), -1); /* whatever the cursor */
    for (int i = 0; i < 3; i++)
        t[i] = token(&s, C1, ONE);
    for (int i = 0; i < 3; i++)
        revoke(&s, t[i], C1);
    const struct js *set = js_get(trl(&s, ONE, "?diff=0"), "diff_set");
    assert_int_equal(js_size(set), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(js_size(js_at(js_at(set, i), 0)), 0);
        assert_true(among(js_at(js_at(set, i), 1), hash_of(&s, t[2 - i])));
    }
    assert_int_equal(cursor_of(s.w->answer), 2);
    set = js_get(trl(&s, ONE, "?diff=1"), "diff_set"); /* 8: the U most recent */
    assert_int_equal(js_size(set), 1);
    assert_true(among(js_at(js_at(set, 0), 1), hash_of(&s, t[2])));
    set = js_get(trl(&s, ONE, "?diff=0&cursor=0"), "diff_set"); /* 9.2.3 case B */
    assert_int_equal(js_size(set), 2);
    assert_true(among(js_at(js_at(set, 1), 1), hash_of(&s, t[1])));
    assert_int_equal(cursor_of(s.w->answer), 2);
    assert_int_equal(js_size(js_get(trl(&s, ONE, "?diff=0&cursor=2"), "diff_set")), 0);
    assert_int_equal(cursor_of(s.w->answer), 2);
    assert_false(more_of(s.w->answer));
    assert_int_equal(cursor_of(trl(&s, C1, "?diff=5")),
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

    assert_true(js_is(js_get(js_get(trl(&s, ONE, "?diff=0&cursor=x"), "ace-trl-error"), "cursor"), JS_NULL));
    revoke(&s, token(&s, C1, ONE), C1);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct js *error = js_get(trl(&s, ONE, rows[i].query), "ace-trl-error");
        int64_t id = -1, cursor = -1;
        assert_int_equal(s.w->code, 400);
        assert_string_equal(s.w->content_type, "application/problem+json");
        assert_true(js_get_i64(error, "error-id", &id));
        assert_int_equal(id, rows[i].error);
        assert_int_equal(js_get_i64(error, "cursor", &cursor), rows[i].cursor);
        assert_int_equal(cursor, rows[i].cursor ? 0 : -1);
    }
    trl(&s, ONE, "?unknown=1"); /* 5.3: ignored */
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
    const char *t = token(&s, C1, ONE);
    uint8_t entry[STATUS_HASH_LEN] = { 1 };

    assert_int_equal(sha256(span_of_str(t), entry + 1), ST_OK);
    s.w->accept = "application/ace-trl+cbor";
    trl(&s, ONE, "");
    struct cb *cb = parsed(&s);
    assert_string_equal(s.w->content_type, "application/ace-trl+cbor");
    assert_int_equal(cb_size(cb_get(cb, 0)), 0);
    assert_true(cb_is(cb_get(cb, 2), CB_NULL));
    assert_int_equal(cb_size(cb), 2);
    cb_unref(cb);
    revoke(&s, t, C1);
    trl(&s, ONE, "?diff=0");
    cb = parsed(&s);
    const struct cb *one = cb_at(cb_get(cb, 1), 0);
    assert_int_equal(cb_size(cb_at(one, 0)), 0);
    assert_true(cb_as_bytes(cb_at(cb_at(one, 1), 0), &hash));
    assert_true(span_eq(hash, span_of(entry, sizeof entry)));
    assert_true(cb_as_i64(cb_get(cb, 2), &n) && n == 0);
    assert_true(cb_is(cb_get(cb, 3), CB_FALSE));
    cb_unref(cb);
    trl(&s, ONE, "?diff=0&cursor=5");
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
    const char *t = token(&s, C1, ONE);

    revoke(&s, t, C1);
    world_pass(s.w, 3601);
    assert_int_equal(js_size(js_get(trl(&s, ONE, ""), "full_set")), 0);
    const struct js *set = js_get(trl(&s, ONE, "?diff=0&cursor=0"), "diff_set");
    assert_int_equal(js_size(set), 1);
    assert_true(among(js_at(js_at(set, 0), 0), hash_of(&s, t)));
    assert_int_equal(js_size(js_at(js_at(set, 0), 1)), 0);
    assert_int_equal(cursor_of(s.w->answer), 1);
    world_pass(s.w, STATUS_OVER_KEEP_S + 60); /* and that is forgotten too, but not where it was */
    assert_int_equal(cursor_of(trl(&s, ONE, "?diff=0&cursor=1")), 1);
    assert_false(more_of(s.w->answer));
    assert_int_equal(cursor_of(trl(&s, ONE, "?diff=0&cursor=0")), -1); /* 9.2.3 case A */
    assert_true(more_of(s.w->answer));
    assert_int_equal(cursor_of(trl(&s, ONE, "")), 1);
}

static void many_that_are_over_go_a_piece_at_a_time(void **state UNUSED)
{
    enum { TOKENS = 600 };
    SITE(s);
    size_t removed = 0, rounds = 0;

    for (int i = 0; i < TOKENS; i++)
        token(&s, C1, ONE);
    world_admin(s.w, "{\"cmd\":\"token.revoke\",\"rs_id\":\"one\"}");
    while (as_work(s.w->as, s.w->now))
        ;
    int64_t cursor = cursor_of(trl(&s, ONE, ""));
    assert_int_equal(js_size(js_get(s.w->answer, "full_set")), TOKENS);
    world_pass(s.w, 3601);
    for (; as_purge(s.w->as, s.w->now); rounds++)
        s.w->now.mono.ms += AS_PURGE_MORE_MS;
    assert_in_range(rounds, 1, 10);
    const struct js *set =
        js_get(trl(&s, ONE, world_text(s.w, "?diff=0&cursor=%lld", (long long)cursor)), "diff_set");
    for (size_t i = 0; i < js_size(set); i++)
        removed += js_size(js_at(js_at(set, i), 0));
    assert_int_equal(removed, TOKENS);
    assert_int_equal(number(world_admin(s.w, "{\"cmd\":\"status\"}"), "tokens"), 0);
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
    assert_int_equal(cursor_of(trl(&s, ONE, "?diff=0&cursor=48")), -1);
    assert_true(more_of(s.w->answer));
    assert_int_equal(js_size(js_get(s.w->answer, "diff_set")), 0);
    int64_t cursor = 49, told = 0; /* the last one that is not kept: nothing is missing behind it */
    for (bool more = true; more;) {
        const struct js *answer = trl(&s, ONE, world_text(s.w, "?diff=0&cursor=%lld", (long long)cursor));
        more = more_of(answer);
        assert_int_equal(cursor_of(answer) - cursor, js_size(js_get(answer, "diff_set")));
        assert_true(js_size(js_get(answer, "diff_set")) <= STATUS_BATCH_MAX);
        told += (int64_t)js_size(js_get(answer, "diff_set"));
        cursor = cursor_of(answer);
    }
    assert_int_equal(told, STATUS_CHANGES_MAX);
    assert_int_equal(cursor, STATUS_CHANGES_MAX + 49);
    assert_int_equal(cursor_of(trl(&s, ONE, "?diff=250")),
                     STATUS_CHANGES_MAX + 49 - 150); /* the eldest of them */
    assert_true(more_of(s.w->answer));
}

static void a_rule_that_denies_narrows_tokens_and_says_so(void **state UNUSED)
{
    SITE(s);
    const char *t = token(&s, C1, ONE), *untouched = token(&s, C2, ONE);

    assert_non_null(strstr(introspect(&s, t, ONE), "shared/#"));
    const struct js *answer =
        world_admin(s.w, "{\"cmd\":\"policy.deny\",\"subject\":\"client:c1\",\"audience\":\"one\",\"filter\":"
                         "\"shared/secret\",\"permissions\":[\"pub\",\"sub\"]}");
    assert_int_equal(number(answer, "tokens_changed"), 1);
    assert_int_equal(number(answer, "tokens_revoked"), 0);
    assert_null(strstr(introspect(&s, t, ONE), "shared/"));
    assert_non_null(strstr(introspect(&s, t, ONE), "d/c1/#"));
    assert_non_null(strstr(introspect(&s, untouched, ONE), "shared/#"));
    for (int full = 0; full < 2; full++) {
        answer = trl(&s, ONE, full ? "" : "?diff=0");
        assert_int_equal(js_size(js_get(answer, "changed")), 1);
        assert_true(among(js_get(answer, "changed"), hash_of(&s, t)));
        assert_int_equal(cursor_of(answer), 0);
    }
    assert_int_equal(js_size(js_get(s.w->answer, "full_set")), 0);
    assert_true(among(js_get(trl(&s, C1, ""), "changed"), hash_of(&s, t)));
    /* The same again changes nothing, and to be told is to be told once. */
    world_admin(s.w, "{\"cmd\":\"policy.deny\",\"subject\":\"any\",\"audience\":\"one\",\"filter\":"
                     "\"elsewhere\",\"permissions\":[\"pub\",\"sub\"]}");
    answer = trl(&s, ONE, "?diff=0&cursor=0");
    assert_int_equal(js_size(js_get(answer, "diff_set")), 0);
    assert_null(js_get(answer, "changed"));
    const struct js *list = js_get(world_admin(s.w, "{\"cmd\":\"token.list\",\"client_id\":\"c1\"}"), "tokens");
    assert_string_equal(world_str(s.w, js_at(list, 0), "status"), "changed");
}

static void a_rule_removed_takes_what_it_gave_and_widening_gives_nothing(void **state UNUSED)
{
    SITE(s);
    int64_t extra = 0;

    allow(&s, "group:g", "extra/#", &extra);
    const char *t = token(&s, C1, ONE), *other = token(&s, C2, ONE);
    const struct js *answer =
        world_admin(s.w, world_text(s.w, "{\"cmd\":\"policy.remove\",\"id\":%lld}", (long long)extra));
    assert_int_equal(number(answer, "tokens_changed"), 1);
    assert_null(strstr(introspect(&s, t, ONE), "extra"));
    assert_non_null(introspect(&s, other, ONE));
    allow(&s, "any", "wide/#", NULL);
    assert_null(strstr(introspect(&s, t, ONE), "wide")); /* a new token is needed */
    assert_int_equal(cursor_of(trl(&s, ONE, "")), 0);
    /* All that is left goes: then it is revoked. */
    answer =
        world_admin(s.w, "{\"cmd\":\"policy.deny\",\"subject\":\"group:g\",\"audience\":\"one\",\"filter\":"
                         "\"#\",\"permissions\":[\"pub\",\"sub\"]}");
    assert_int_equal(number(answer, "tokens_revoked"), 1);
    assert_null(introspect(&s, t, ONE));
    assert_non_null(introspect(&s, other, ONE));
    answer = trl(&s, ONE, "");
    assert_true(among(js_get(answer, "full_set"), hash_of(&s, t)));
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
    assert_non_null(introspect(&s, t, ONE));
    assert_int_equal(cursor_of(trl(&s, ONE, "")), -1);
}

static void who_leaves_a_group_keeps_no_token_of_it(void **state UNUSED)
{
    SITE(s);

    allow(&s, "group:g", "extra/#", NULL);
    const char *t = token(&s, C1, ONE);
    assert_non_null(strstr(introspect(&s, t, ONE), "extra"));
    const struct js *answer = world_admin(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c1\",\"groups\":[]}");
    assert_int_equal(number(answer, "tokens_changed"), 1);
    assert_null(strstr(introspect(&s, t, ONE), "extra"));
    assert_true(among(js_get(trl(&s, ONE, ""), "changed"), hash_of(&s, t)));
}

static void clients_and_resource_servers_take_their_tokens_with_them(void **state UNUSED)
{
    SITE(s);
    const char *t = token(&s, C1, ONE), *u = token(&s, C1, TWO), *v = token(&s, C2, ONE);

    assert_int_equal(
        number(world_admin(s.w, "{\"cmd\":\"client.remove\",\"client_id\":\"c1\"}"), "tokens_revoked"), 2);
    assert_true(among(js_get(trl(&s, ONE, ""), "full_set"), hash_of(&s, t)));
    assert_true(among(js_get(trl(&s, TWO, ""), "full_set"), hash_of(&s, u)));
    assert_int_equal(number(world_admin(s.w, "{\"cmd\":\"rs.remove\",\"rs_id\":\"one\"}"), "tokens_revoked"),
                     1);
    assert_true(among(js_get(trl(&s, C2, ""), "full_set"), hash_of(&s, v)));
    trl(&s, ONE, "");
    assert_int_equal(s.w->code, 401);
}

static void tokens_are_revoked_by_id_by_client_and_by_resource_server(void **state UNUSED)
{
    SITE(s);

    for (int i = 0; i < 3; i++) {
        token(&s, C1, ONE);
        token(&s, C1, TWO);
        token(&s, C2, TWO);
    }
    world_admin(s.w, world_text(s.w, "{\"cmd\":\"token.revoke\",\"jti\":\"%s\"}", jti(&s, C1)));
    assert_int_equal(number(s.w->answer, "tokens_revoked"), 1);
    world_admin(s.w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\",\"rs_id\":\"one\"}");
    int64_t first = number(s.w->answer, "tokens_revoked");
    world_admin(s.w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\"}");
    assert_int_equal(first + number(s.w->answer, "tokens_revoked"), 5);
    world_admin(s.w, "{\"cmd\":\"token.revoke\",\"rs_id\":\"two\"}");
    assert_int_equal(number(s.w->answer, "tokens_revoked"), 3);
    world_admin_refused(s.w, "{\"cmd\":\"token.revoke\",\"rs_id\":\"three\"}", "NOT_FOUND");
    assert_int_equal(js_size(js_get(trl(&s, C1, ""), "full_set")), 6);
    assert_int_equal(js_size(js_get(trl(&s, TWO, ""), "full_set")), 6);
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
    assert_non_null(introspect(&s, bound, ONE));
    world_admin(
        s.w, world_text(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c3\",\"jwk\":%s}", world_jwk(s.w, new)));
    assert_int_equal(number(s.w->answer, "tokens_revoked"), 1);
    assert_null(introspect(&s, bound, ONE));
    assert_non_null(introspect(&s, secret, ONE)); /* bound to a key of its own */
    assert_true(among(js_get(trl(&s, ONE, ""), "full_set"), hash_of(&s, bound)));
    bound = bound_token(&s, new, world_text(s.w, ",\"req_cnf\":{\"jwk\":%s}", world_jwk(s.w, new)));
    world_admin(s.w, "{\"cmd\":\"client.set\",\"client_id\":\"c3\",\"jwk\":null}");
    assert_null(introspect(&s, bound, ONE));
}

static void a_request_may_wait_for_news_of_its_own(void **state UNUSED)
{
    /* RFC 7240 4.3, RFC 9110 13.1.2 */
    SITE(s);
    const char *t = token(&s, C1, ONE), *other = token(&s, C1, TWO);

    s.w->prefer = "wait=20";
    trl(&s, ONE, ""); /* a full query without a condition is answered at once */
    assert_int_equal(s.w->wait.wait_s, 0);
    assert_int_equal(s.w->code, 200);
    const char *etag = world_text(s.w, "%s", s.w->etag);
    assert_true(etag[0] != '\0');
    trl(&s, ONE, "?diff=0"); /* there is nothing yet */
    assert_int_equal(s.w->wait.wait_s, 20);
    const struct as_wait diff = s.w->wait;
    s.w->if_none_match = etag;
    trl(&s, ONE, "");
    assert_int_equal(s.w->wait.wait_s, 20);
    const struct as_wait full = s.w->wait;
    int64_t version = as_status_version(s.w->as);
    revoke(&s, other, C1);
    assert_true(as_status_version(s.w->as) > version);
    assert_false(as_wait_due(s.w->as, &diff) || as_wait_due(s.w->as, &full));
    s.w->wait = full; /* time is up: nothing new */
    world_wait_answer(s.w);
    assert_int_equal(s.w->code, 304);
    s.w->wait = diff;
    assert_int_equal(js_size(js_get(world_wait_answer(s.w), "diff_set")), 0);
    assert_int_equal(s.w->waited_s, 20);
    revoke(&s, t, C1);
    assert_true(as_wait_due(s.w->as, &diff) && as_wait_due(s.w->as, &full));
    s.w->wait = full;
    assert_true(among(js_get(world_wait_answer(s.w), "full_set"), hash_of(&s, t)));
    assert_string_not_equal(s.w->etag, etag);
    s.w->wait = diff;
    assert_int_equal(js_size(js_get(world_wait_answer(s.w), "diff_set")), 1);
    s.w->if_none_match = world_text(s.w, "W/\"x\", %s", s.w->etag);
    trl(&s, ONE, ""); /* the condition names another state */
    assert_int_equal(s.w->code, 200);
    s.w->prefer = NULL;
    s.w->if_none_match = world_text(s.w, "%s", s.w->etag);
    trl(&s, ONE, ""); /* without waiting: at once */
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
        trl(&s, ONE, "?diff=0");
        assert_int_equal(s.w->wait.wait_s, rows[i].wait_s);
    }
}

static void who_is_removed_while_it_waits_is_told_no_more(void **state UNUSED)
{
    SITE(s);

    s.w->prefer = "wait=20";
    trl(&s, ONE, "?diff=0");
    const struct as_wait wait = s.w->wait;
    assert_int_equal(wait.wait_s, 20);
    world_admin(s.w, "{\"cmd\":\"rs.remove\",\"rs_id\":\"one\"}");
    s.w->wait = wait;
    world_wait_answer(s.w);
    assert_int_equal(s.w->code, 401);
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
        token(&s, C1, ONE);
    const char *other = token(&s, C2, ONE);
    const struct js *answer = world_admin(s.w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\"}");
    assert_int_equal(number(answer, "tokens_revoked"), STATUS_SLICE);
    assert_int_equal(number(answer, "tokens_queued"), TOKENS - STATUS_SLICE);
    world_pass(s.w, 1);
    const char *later = token(&s, C1, TWO); /* not among those the command was about */
    assert_true(as_work(s.w->as, s.w->now));
    const size_t done = js_size(js_get(trl(&s, ONE, ""), "full_set"));
    assert_in_range(done, 2 * STATUS_SLICE - 1, 2 * STATUS_SLICE); /* the later one was perhaps looked at */
    sql_fail_at(s.w->sql, 40);                                     /* in the middle of a slice: nothing of it */
    assert_false(as_work(s.w->as, s.w->now));
    sql_fail_at(s.w->sql, 0);
    assert_int_equal(js_size(js_get(trl(&s, ONE, ""), "full_set")), done);
    world_pass(s.w, 31);
    trl(&s, ONE, ""); /* cleans up, and that tries again */
    assert_true(as_work(s.w->as, s.w->now));
    as_free(s.w->as); /* and the process dies */
    assert_int_equal(as_new(&parts, s.w->now, &s.w->as, NULL), ST_OK);
    for (int i = 0; i < 10 && as_work(s.w->as, s.w->now); i++)
        ;
    assert_false(as_work(s.w->as, s.w->now));
    assert_int_equal(js_size(js_get(trl(&s, ONE, ""), "full_set")), TOKENS);
    assert_non_null(introspect(&s, other, ONE));
    assert_non_null(introspect(&s, later, TWO));
    assert_true(js_get_i64(world_admin(s.w, "{\"cmd\":\"audit.verify\"}"), "entries", &entries));
    answer = js_get(world_admin(s.w, "{\"cmd\":\"audit.list\",\"limit\":1000}"), "entries");
    answer = js_at(answer, js_size(answer) - 1);
    assert_string_equal(world_str(s.w, answer, "event"), "tokens.reviewed");
    assert_string_equal(world_str(s.w, answer, "subject"), "c1");
    assert_non_null(strstr(world_str(s.w, answer, "detail"), world_text(s.w, "%d", TOKENS - STATUS_SLICE)));
}

static void a_list_too_long_to_answer_is_refused_whole_and_changes_go_on(void **state UNUSED)
{
    /* RFC 9770 13.2 */
    SITE(s);

    for (int i = 0; i < 30; i++)
        revoke(&s, token(&s, C1, ONE), C1);
    s.w->as->trl_max = 1000;
    s.w->accept = "application/ace-trl+json";
    const struct js *answer = trl(&s, ONE, "");
    assert_int_equal(s.w->code, 503);
    assert_string_equal(s.w->content_type, "application/problem+json");
    assert_true(s.w->retry_after_s > 0);
    assert_null(js_get(answer, "full_set"));
    assert_string_equal(s.w->etag, "");
    s.w->accept = "application/ace-trl+cbor";
    trl(&s, ONE, "");
    assert_int_equal(s.w->code, 503);
    assert_string_equal(s.w->content_type, "application/concise-problem-details+cbor");
    s.w->accept = NULL;
    assert_int_equal(js_size(js_get(trl(&s, ONE, "?diff=0&cursor=27"), "diff_set")), 2);
    assert_int_equal(s.w->code, 200);
}

static void tokens_of_a_clock_that_was_set_back_are_revoked_like_others(void **state UNUSED)
{
    enum { TOKENS = STATUS_SLICE + 10 };
    SITE(s);

    for (int i = 0; i < TOKENS; i++)
        token(&s, C1, ONE);
    s.w->now.wall.s -= 1800;
    world_admin(s.w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\"}");
    while (as_work(s.w->as, s.w->now))
        ;
    assert_int_equal(js_size(js_get(trl(&s, ONE, ""), "full_set")), TOKENS);
}

static void a_change_whose_tokens_cannot_be_told_is_not_made(void **state UNUSED)
{
    SITE(s);
    const char *t = token(&s, C1, ONE);
    static const char deny[] = "{\"cmd\":\"policy.deny\",\"subject\":\"any\",\"audience\":\"one\",\"filter\":"
                               "\"shared/x\",\"permissions\":[\"pub\"]}";
    unsigned n = 1;

    for (;; n++) { /* every statement in turn */
        int64_t changed = -1;
        sql_fail_at(s.w->sql, n);
        act_as(&s, ONE);
        struct buf out;
        buf_init(&out, AS_ADMIN_REPLY_MAX);
        as_admin(s.w->as, SPAN(deny), SPAN("uid:0"), s.w->now, &out);
        sql_fail_at(s.w->sql, 0);
        bool ok = span_starts_with(buf_span(&out), SPAN("{\"ok\":true"));
        buf_done(&out);
        changed = cursor_of(trl(&s, ONE, ""));
        assert_int_equal(changed, ok ? 0 : -1);
        assert_int_equal(strstr(introspect(&s, t, ONE), "[\"shared/#\",[\"pub\",\"sub\"]]") != NULL, !ok);
        if (ok)
            break;
    }
    assert_in_range(n, 10, 40);
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
            known[count].text = token(&s, (seed >> 20) % 2 ? C1 : C2, ONE);
            known[count].hash = hash_of(&s, known[count].text);
            count++;
        } else if (what < 7 && count > 0) {
            const char *text = known[(seed >> 20) % count].text;
            act_as(&s, C1);
            world_post(s.w, "/revoke", world_text(s.w, "token=%s", text)); /* refused if it is another's */
            s.w->authorization = SPAN_NONE;
        } else if (what == 7) {
            world_pass(s.w, (seed >> 20) % 700);
        } else if (what == 8) {
            const struct js *answer =
                cursor < 0 ? trl(&s, ONE, "")
                           : trl(&s, ONE, world_text(s.w, "?diff=0&cursor=%lld", (long long)cursor));
            if (cursor >= 0 && cursor_of(answer) < 0) { /* too old */
                assert_true(more_of(answer));
                cursor = -1;
                answer = trl(&s, ONE, "");
            }
            const struct js *set = js_get(answer, "full_set"), *diff = js_get(answer, "diff_set");
            for (size_t k = 0; set != NULL && k < count; k++)
                known[k].listed = among(set, known[k].hash);
            for (size_t i = js_size(diff); i-- > 0;)
                for (size_t k = 0; k < count; k++)
                    known[k].listed = (known[k].listed || among(js_at(js_at(diff, i), 1), known[k].hash)) &&
                                      !among(js_at(js_at(diff, i), 0), known[k].hash);
            cursor = cursor_of(answer);
            set = js_get(trl(&s, ONE, ""), "full_set");
            for (size_t k = 0; k < count; k++)
                assert_int_equal(known[k].listed, among(set, known[k].hash));
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
        cmocka_unit_test(a_rule_that_denies_narrows_tokens_and_says_so),
        cmocka_unit_test(a_rule_removed_takes_what_it_gave_and_widening_gives_nothing),
        cmocka_unit_test(a_token_without_permissions_stays),
        cmocka_unit_test(who_leaves_a_group_keeps_no_token_of_it),
        cmocka_unit_test(clients_and_resource_servers_take_their_tokens_with_them),
        cmocka_unit_test(tokens_are_revoked_by_id_by_client_and_by_resource_server),
        cmocka_unit_test(tokens_of_a_replaced_key_are_revoked),
        cmocka_unit_test(a_request_may_wait_for_news_of_its_own),
        cmocka_unit_test(preferences_are_read_as_they_are_written),
        cmocka_unit_test(who_is_removed_while_it_waits_is_told_no_more),
        cmocka_unit_test(work_for_many_tokens_is_done_in_slices_and_by_the_next_process),
        cmocka_unit_test(a_list_too_long_to_answer_is_refused_whole_and_changes_go_on),
        cmocka_unit_test(tokens_of_a_clock_that_was_set_back_are_revoked_like_others),
        cmocka_unit_test(a_change_whose_tokens_cannot_be_told_is_not_made),
        cmocka_unit_test(diffs_add_up_to_the_full_set),
        cmocka_unit_test(a_token_answered_in_another_form_is_listed_under_both_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
