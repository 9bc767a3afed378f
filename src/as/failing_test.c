/* Every statement of every admin command and endpoint fails, once alone and once with all that follow; and the database is
 * full. What is refused has not happened, not even a part of it: every row is as it was. The next try works. */
#include "as/schema.h"
#include "as/signer.h"
#include "as/site_test.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "support/failing_memory.h"
#include "token/assertion.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define ROWS_MAX ((size_t)16 * 1024 * 1024)

static enum status put_row(void *ctx, const struct sql_row *row)
{
    for (size_t i = 0; i < row->count; i++) {
        put_u8(ctx, (uint8_t)row->columns[i].kind);
        put_u64(ctx, (uint64_t)row->columns[i].number);
        put_u32(ctx, (uint32_t)row->columns[i].bytes.len);
        put_bytes(ctx, row->columns[i].bytes);
    }
    return buf_status(ctx);
}

/* All there is. Assertions that were seen stay seen, whatever became of the request: nobody uses one twice. */
static void rows_but_replay(struct world *w, uint8_t *ret_hash)
{
    static const char *const texts[] = {
        "SELECT * FROM principal ORDER BY 1",       "SELECT * FROM client_group ORDER BY 1, 2",
        "SELECT * FROM resource_server ORDER BY 1", "SELECT * FROM policy ORDER BY 1",
        "SELECT * FROM token ORDER BY 1",           "SELECT * FROM signing_key ORDER BY 1",
        "SELECT * FROM enrollment ORDER BY 1",      "SELECT * FROM audit ORDER BY 1",
        "SELECT * FROM refresh ORDER BY 1",         "SELECT * FROM status_update",
        "SELECT * FROM status_reader ORDER BY 1",   "SELECT * FROM status_change ORDER BY 1, 2, 3, 4",
        "SELECT * FROM status_work ORDER BY 1",
    };
    struct buf all;

    buf_init(&all, ROWS_MAX);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        assert_int_equal(sql_query(w->sql, texts[i], put_row, &all, NULL), ST_OK);
    assert_int_equal(sha256(buf_span(&all), ret_hash), ST_OK);
    buf_done(&all);
}

/* All there is. */
static void rows_of(struct world *w, uint8_t *ret_hash)
{
    struct buf all;

    buf_init(&all, ROWS_MAX);
    assert_int_equal(sql_query(w->sql, "SELECT * FROM replay ORDER BY 1, 2", put_row, &all, NULL), ST_OK);
    rows_but_replay(w, ret_hash);
    put_bytes(&all, span_of(ret_hash, SHA256_LEN));
    assert_int_equal(sha256(buf_span(&all), ret_hash), ST_OK);
    buf_done(&all);
}

/* What a try may be made of. */
struct place {
    struct site site;
    const char *token, *refresh, *family, *code;
    struct key *key; /* of the client c3, and what is enrolled */
    int assertions;
    int64_t rule;
};

static void open_place(struct place *p)
{
    struct world *w;

    *p = (struct place){ 0 };
    site_open(&p->site);
    w = p->site.w;
    world_admin(w, "{\"cmd\":\"client.set\",\"client_id\":\"c1\",\"refresh\":true}");
    world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"encrypted\",\"key\":\"generate\"}");
    p->token = site_token(&p->site, C1, ONE);
    p->refresh = world_str(w, w->answer, "refresh_token");
    const struct js *list = js_get(world_admin(w, "{\"cmd\":\"refresh.list\"}"), "families");
    p->family = world_str(w, js_at(list, 0), "family");
    p->code = world_str(w, world_admin(w, "{\"cmd\":\"enroll.create\",\"client_id\":\"new\"}"), "code");
    assert_int_equal(key_generate(KEY_ED25519, &p->key), ST_OK);
    world_admin(
        w, world_text(w, "{\"cmd\":\"client.add\",\"client_id\":\"c3\",\"jwk\":%s}", world_jwk(w, p->key)));
    p->rule = p->site.rule_shared;
    site_token(&p->site, C2, TWO);
    site_revoke(&p->site, site_token(&p->site, C2, ONE), C2);
}

static void close_place(struct place *p)
{
    key_unref(p->key);
    site_close(&p->site);
}

typedef bool try_fn(struct place *p, const char *what);

static bool try_admin(struct place *p, const char *line)
{
    struct world *w = p->site.w;
    struct buf out;
    struct js *answer = NULL;
    bool ok = false;

    buf_init(&out, AS_ADMIN_REPLY_MAX);
    as_admin(w->as, span_of_str(line), SPAN("uid:0"), w->now, &out);
    assert_int_equal(js_parse(span_cut(buf_span(&out), 0, out.len - 1), AS_ADMIN_REPLY_MAX, &answer, NULL),
                     ST_OK);
    assert_true(js_get_bool(answer, "ok", &ok));
    if (!ok && !span_eq_str(span_of_str(world_str(w, answer, "error")), "IO"))
        fail_msg("%s: %s", line, world_str(w, answer, "message"));
    js_unref(answer);
    buf_done(&out);
    return ok;
}

static bool judge(struct world *w, const struct js *answer)
{
    if (w->code == 200 || w->code == 201)
        return true;
    assert_int_equal(w->code, 503);
    assert_true(w->retry_after_s > 0);
    assert_string_equal(world_str(w, answer, "error"), "temporarily_unavailable");
    assert_null(js_get(answer, "access_token"));
    return false;
}

static bool try_post(struct place *p, const char *path, const char *body)
{
    return judge(p->site.w, world_post(p->site.w, path, body));
}

static const char *credentials(struct place *p)
{
    return world_text(p->site.w, "\"client_id\":\"c1\",\"client_secret\":\"%s\"", p->site.secrets[C1]);
}

static bool try_token(struct place *p, const char *audience)
{
    return try_post(p, "/token", world_text(p->site.w, "{%s,\"audience\":\"%s\"}", credentials(p), audience));
}

static bool try_refresh(struct place *p, const char *what UNUSED)
{
    return try_post(p, "/token",
                    world_text(p->site.w, "{%s,\"grant_type\":\"refresh_token\",\"refresh_token\":\"%s\"}",
                               credentials(p), p->refresh));
}

static const char *assertion_of(struct place *p, const char *typ, const char *client_id, const char *aud)
{
    struct world *w = p->site.w;

    return world_assertion(w, p->key, typ, client_id, aud, world_text(w, "j%d", p->assertions++));
}

/* private_key_jwt (RFC 7523), and a proof of the key asked for beside it. */
static bool try_assertion(struct place *p, const char *audience)
{
    return try_post(
        p, "/token",
        world_text(p->site.w,
                   "{\"client_assertion_type\":\"urn:ietf:params:oauth:client-assertion-type:jwt-bearer\","
                   "\"client_assertion\":\"%s\",\"audience\":\"%s\"}",
                   assertion_of(p, ASSERTION_TYP_CLIENT, "c3", WORLD_ISSUER), audience));
}

static bool try_enroll(struct place *p, const char *client_id)
{
    return try_post(p, "/enroll",
                    world_text(p->site.w, "{\"code\":\"%s\",\"client_id\":\"%s\",\"jwk\":%s,\"proof\":\"%s\"}",
                               p->code, client_id, world_jwk(p->site.w, p->key),
                               assertion_of(p, ASSERTION_TYP_REQ_CNF, client_id, WORLD_ISSUER "/enroll")));
}

static bool try_revoke(struct place *p, const char *what)
{
    return try_post(p, "/revoke",
                    world_text(p->site.w, "{%s,\"token\":\"%s\"}", credentials(p),
                               span_eq_str(span_of_str(what), "refresh") ? p->refresh : p->token));
}

static bool try_introspect(struct place *p, const char *what UNUSED)
{
    site_act_as(&p->site, ONE);
    bool ok = try_post(p, "/introspect", world_text(p->site.w, "token=%s", p->token));
    p->site.w->authorization = SPAN_NONE;
    return ok;
}

static bool try_trl(struct place *p, const char *query)
{
    site_act_as(&p->site, ONE);
    bool ok = judge(p->site.w, world_get(p->site.w, world_text(p->site.w, "/trl%s", query)));
    p->site.w->authorization = SPAN_NONE;
    return ok;
}

#define RULE "\"subject\":\"client:c1\",\"audience\":\"one\",\"filter\":\"n/#\",\"permissions\":[\"pub\"]}"

static const struct {
    try_fn *run;
    const char *what;
} tries[] = {
    { try_admin, "{\"cmd\":\"status\"}" },
    { try_admin, "{\"cmd\":\"client.add\",\"client_id\":\"x\",\"groups\":[\"g\",\"h\"],\"refresh\":true}" },
    { try_admin, "{\"cmd\":\"client.list\"}" },
    { try_admin, "{\"cmd\":\"client.show\",\"client_id\":\"c1\"}" },
    { try_admin, "{\"cmd\":\"client.set\",\"client_id\":\"c1\",\"groups\":[\"z\"],\"name\":\"n\"}" },
    { try_admin, "{\"cmd\":\"client.set\",\"client_id\":\"c1\",\"jwk\":null}" },
    { try_admin, "{\"cmd\":\"client.rotate-secret\",\"client_id\":\"c2\"}" },
    { try_admin, "{\"cmd\":\"client.remove\",\"client_id\":\"c1\"}" },
    { try_admin, "{\"cmd\":\"rs.add\",\"audience\":\"x\",\"key\":\"generate\"}" },
    { try_admin, "{\"cmd\":\"rs.list\"}" },
    { try_admin, "{\"cmd\":\"rs.show\",\"rs_id\":\"one\"}" },
    { try_admin, "{\"cmd\":\"rs.set\",\"rs_id\":\"one\",\"lifetime_s\":60}" },
    { try_admin, "{\"cmd\":\"rs.rotate-secret\",\"rs_id\":\"two\"}" },
    { try_admin, "{\"cmd\":\"rs.rotate-key\",\"rs_id\":\"encrypted\"}" },
    { try_admin, "{\"cmd\":\"rs.remove\",\"rs_id\":\"one\"}" },
    { try_admin, "{\"cmd\":\"policy.allow\"," RULE },
    { try_admin, "{\"cmd\":\"policy.deny\",\"subject\":\"any\",\"audience\":\"one\",\"filter\":\"shared/#\","
                 "\"permissions\":[\"pub\"]}" },
    { try_admin, "{\"cmd\":\"policy.list\"}" },
    { try_admin, "{\"cmd\":\"policy.remove\",\"id\":1}" },
    { try_admin, "{\"cmd\":\"policy.test\",\"client_id\":\"c1\",\"audience\":\"one\"}" },
    { try_admin, "{\"cmd\":\"token.list\"}" },
    { try_admin, "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\"}" },
    { try_admin, "{\"cmd\":\"refresh.list\"}" },
    { try_admin, "{\"cmd\":\"keys.list\"}" },
    { try_admin, "{\"cmd\":\"enroll.create\",\"client_id\":\"y\",\"groups\":[\"g\"]}" },
    { try_admin, "{\"cmd\":\"enroll.list\"}" },
    { try_admin, "{\"cmd\":\"audit.list\"}" },
    { try_admin, "{\"cmd\":\"audit.verify\"}" },
    { try_token, "one" },
    { try_token, "encrypted" },
    { try_refresh, "" },
    { try_assertion, "one" },
    { try_enroll, "new" },
    { try_revoke, "token" },
    { try_revoke, "refresh" },
    { try_introspect, "" },
    { try_trl, "" },
    { try_trl, "?diff=0" },
};

/* Returns at which statement it worked. */
static unsigned fail_each(size_t i, bool once)
{
    uint8_t before[SHA256_LEN], after[SHA256_LEN];
    struct place p;
    unsigned n = 1;

    open_place(&p);
    struct world *w = p.site.w;
    const bool asserts = tries[i].run == try_assertion || tries[i].run == try_enroll;
    void (*rows)(struct world * w, uint8_t * ret_hash) = asserts ? rows_but_replay : rows_of;
    if (tries[i].run == try_token && span_eq_str(span_of_str(tries[i].what), "encrypted"))
        world_admin(w,
                    "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"encrypted\",\"filter\":\"a\","
                    "\"permissions\":[\"pub\"]}");
    for (;; n++) {
        rows(w, before);
        (once ? sql_fail_once : sql_fail_at)(w->sql, n);
        bool ok = tries[i].run(&p, tries[i].what);
        sql_fail_at(w->sql, 0);
        if (ok)
            break;
        rows(w, after);
        assert_memory_equal(before, after, sizeof before);
        assert_true(as_store_failing(w->as));
        w->now.mono.ms += AS_TRY_MS;
        as_purge(w->as, w->now);
        assert_false(as_store_failing(w->as));
        assert_true(n < 200);
    }
    world_admin(w, "{\"cmd\":\"audit.verify\"}");
    close_place(&p);
    return n;
}

static void whatever_statement_fails_nothing_of_it_has_happened(void **state UNUSED)
{
    unsigned failed = 0;

    for (size_t i = 0; i < COUNT_OF(tries); i++)
        failed += fail_each(i, false) + fail_each(i, true) - 2;
    print_message("%u statements of %zu requests failed\n", failed, COUNT_OF(tries));
    assert_true(failed > 300);
}

/* ---- a rotation, with keys in files ---- */

struct rotation {
    char folder[32];
    struct world *w;
    struct signer *signer;
    struct as *as;
};

static enum status take_kid(void *ctx, const struct signer_key *key)
{
    struct buf *kids = ctx;

    put_fmt(kids, "%s%s ", key->kid, key->current ? "*" : "");
    return ST_OK;
}

/* As the signer has them, or the database. */
static void kids_of(struct rotation *r, struct buf *out)
{
    buf_init(out, 4096);
    assert_int_equal(r->signer->ops->each(r->signer, take_kid, out), ST_OK);
    put_u8(out, 0);
}

static enum status take_kid_row(void *ctx, const struct sql_row *row)
{
    put_bytes(ctx, sql_bytes(row, 0));
    put_str(ctx, sql_is_null(row, 1) ? "* " : " ");
    return ST_OK;
}

static void assert_signer_is_as_written(struct rotation *r)
{
    struct buf here, there;

    kids_of(r, &here);
    buf_init(&there, 4096);
    assert_int_equal(
        sql_query(r->w->sql,
                  "SELECT kid, keep_until FROM signing_key ORDER BY CASE WHEN keep_until IS NULL THEN 0"
                  " ELSE 1 END, created_at DESC",
                  take_kid_row, &there, NULL),
        ST_OK);
    put_u8(&there, 0);
    assert_string_equal((char *)here.p, (char *)there.p);
    buf_done(&here);
    buf_done(&there);
}

static void open_rotation(struct rotation *r, struct site *s)
{
    *r = (struct rotation){ .folder = "/tmp/symbolon-keys-XXXXXX", .w = s->w };
    assert_non_null(mkdtemp(r->folder));
    assert_int_equal(signer_local_new(r->folder, s->w->sql, s->w->now.wall, &r->signer, NULL), ST_OK);
    const struct as_parts parts = { .sql = s->w->sql,
                                    .signer = r->signer,
                                    .settings = &s->w->settings,
                                    .issuer = WORLD_ISSUER,
                                    .pop_master = s->w->pop_master,
                                    .env = { .random = random_for_env } };
    assert_int_equal(as_new(&parts, s->w->now, &r->as, NULL), ST_OK);
    as_purge(r->as, s->w->now); /* that it begins with */
    assert_int_equal(as_settle(r->as), ST_OK);
}

static void close_rotation(struct rotation *r)
{
    DIR *folder = opendir(r->folder);
    char path[512];

    as_free(r->as);
    signer_free(r->signer);
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        (void)snprintf(path, sizeof path, "%s/%s", r->folder, entry->d_name);
        unlink(path); /* of "." and ".." nothing comes */
    }
    closedir(folder);
    assert_int_equal(rmdir(r->folder), 0);
}

static bool rotate(struct rotation *r)
{
    struct buf out;

    buf_init(&out, AS_ADMIN_REPLY_MAX);
    as_admin(r->as, SPAN("{\"cmd\":\"keys.rotate\"}"), SPAN("uid:0"), r->w->now, &out);
    bool ok = span_starts_with(buf_span(&out), SPAN("{\"ok\":true"));
    buf_done(&out);
    r->w->now.wall.s++;
    return ok;
}

static void a_rotation_that_fails_leaves_the_key_there_was(void **state UNUSED)
{
    for (int once = 0; once < 2; once++) {
        SITE(s);
        struct rotation r;
        struct buf before, after;
        unsigned n = 1;

        open_rotation(&r, &s);
        for (bool ok = false; !ok; n++) {
            kids_of(&r, &before);
            (once ? sql_fail_once : sql_fail_at)(s.w->sql, n);
            ok = rotate(&r);
            sql_fail_at(s.w->sql, 0);
            s.w->now.mono.ms += AS_TRY_MS;
            as_purge(r.as, s.w->now);
            kids_of(&r, &after);
            assert_int_equal(strcmp((char *)before.p, (char *)after.p) == 0, !ok);
            assert_signer_is_as_written(&r);
            buf_done(&before);
            buf_done(&after);
        }
        assert_true(n > 5);
        sql_fail_sync(s.w->sql, true); /* nobody knows; but what signs is what the database names */
        assert_false(rotate(&r));
        sql_fail_sync(s.w->sql, false);
        assert_signer_is_as_written(&r);
        close_rotation(&r);
    }
}

/* ---- no room ---- */

static enum status take_i64(void *ctx, const struct sql_row *row)
{
    *(int64_t *)ctx = sql_i64(row, 0);
    return ST_OK;
}

static void limit_pages(struct world *w, bool full)
{
    int64_t pages = 0;

    assert_int_equal(sql_query(w->sql, "PRAGMA page_count", take_i64, &pages, NULL), ST_OK);
    if (full) {
        const char *text = world_text(w, "PRAGMA max_page_count = %lld", (long long)pages);
        assert_int_equal(sql_run(w->sql, text, NULL, NULL), ST_OK);
    } else {
        assert_int_equal(sql_run(w->sql, "PRAGMA max_page_count = 1000000", NULL, NULL), ST_OK);
    }
}

/* SQLite's own rollback runs here, in the middle of whatever transaction. */
static void a_full_database_refuses_and_goes_on_when_there_is_room(void **state UNUSED)
{
    static const char *const adds[] = { "{\"cmd\":\"client.add\",\"groups\":[\"g\"],\"client_id\":\"x",
                                        "{\"cmd\":\"rs.add\",\"audience\":\"x",
                                        "{\"cmd\":\"enroll.create\",\"client_id\":\"x", NULL };
    uint8_t before[SHA256_LEN], after[SHA256_LEN];

    for (size_t i = 0; i < COUNT_OF(adds); i++) {
        struct place p;
        open_place(&p);
        struct world *w = p.site.w;
        for (int round = 0, n = 0; round < 3; round++) {
            bool ok = true;
            for (limit_pages(w, true); ok; n++) {
                rows_of(w, before);
                ok = adds[i] != NULL ? try_admin(&p, world_text(w, "%s%d\"}", adds[i], n))
                                     : try_token(&p, "one");
                assert_true(n < 2000);
            }
            rows_of(w, after);
            assert_memory_equal(before, after, sizeof before);
            assert_true(as_store_failing(w->as));
            assert_non_null(site_introspect(&p.site, p.token, ONE)); /* reading goes on */
            limit_pages(w, false);
            w->now.mono.ms += AS_TRY_MS;
            as_purge(w->as, w->now);
            assert_false(as_store_failing(w->as));
            assert_true(try_token(&p, "one"));
        }
        world_admin(w, "{\"cmd\":\"audit.verify\"}");
        close_place(&p);
    }
}

/* A request is answered, and before its answer may go, something else in the same turn finds that nothing of the turn can
 * be kept: the answer must not go as if it had. */
static void an_answer_does_not_go_when_another_call_failed_to_keep_it(void **state UNUSED)
{
    struct place p;
    struct as_response out;

    open_place(&p);
    struct world *w = p.site.w;
    const char *body = world_text(w, "{%s,\"token\":\"%s\"}", credentials(&p), p.token);
    const struct as_request request = { .method = SPAN("POST"),
                                        .path = SPAN("/revoke"),
                                        .content_type = SPAN("application/ace+json"),
                                        .body = span_of_str(body),
                                        .peer = SPAN("192.0.2.1") };
    as_answer(w->as, &request, w->now, &out);
    assert_int_equal(out.code, 200);
    assert_true(out.unsettled);
    sql_fail_sync(w->sql, true);
    assert_false(try_admin(&p, "{\"cmd\":\"client.list\"}"));
    sql_fail_sync(w->sql, false);
    as_response_settled(w->as, as_settle(w->as), &out);
    assert_int_equal(out.code, 503);
    as_response_done(&out);
    as_answer(w->as, &request, w->now, &out); /* again, and alone */
    as_response_settled(w->as, as_settle(w->as), &out);
    assert_int_equal(out.code, 200);
    as_response_done(&out);
    close_place(&p);
}

/* One request of a turn, not settled. */
static int answer_code(struct place *p, const char *path, const char *body)
{
    struct as_response out;
    const struct as_request request = { .method = SPAN("POST"),
                                        .path = span_of_str(path),
                                        .content_type = SPAN("application/ace+json"),
                                        .body = span_of_str(body),
                                        .peer = SPAN("192.0.2.1") };

    as_answer(p->site.w->as, &request, p->site.w->now, &out);
    const int code = out.code;
    as_response_done(&out);
    return code;
}

/* Tokens are revoked and a place is taken in one turn, of which nothing can be kept: the places are not free then. */
static void room_made_in_a_turn_that_fails_is_no_room(void **state UNUSED)
{
    struct place p;

    open_place(&p);
    struct world *w = p.site.w;
    const char *ask_one = world_text(w, "{%s,\"audience\":\"one\"}", credentials(&p));
    const char *tokens[] = { p.token, site_token(&p.site, C1, ONE) };
    w->settings.token_max_per_client = 2;
    assert_int_equal(answer_code(&p, "/token", ask_one), 429);

    for (size_t i = 0; i < COUNT_OF(tokens); i++)
        assert_int_equal(
            answer_code(&p, "/revoke", world_text(w, "{%s,\"token\":\"%s\"}", credentials(&p), tokens[i])),
            200);
    assert_int_equal(answer_code(&p, "/token", ask_one), 200); /* counted: there is one more */
    sql_fail_sync(w->sql, true);
    assert_int_not_equal(as_settle(w->as), ST_OK);
    sql_fail_sync(w->sql, false);
    w->now.mono.ms += AS_TRY_MS;
    as_purge(w->as, w->now);
    assert_false(as_store_failing(w->as));

    assert_int_equal(answer_code(&p, "/token", ask_one), 429);
    close_place(&p);
}

/* ---- memory ---- */

/* As the loop would give it; only what the server allocates counts. True if it was done. */
static bool ask(struct world *w, const char *path, const char *text, long n, long *ret_made)
{
    bool ok = false;

    if (path == NULL) {
        struct buf out;
        buf_init(&out, AS_ADMIN_REPLY_MAX);
        failing_memory_begin(n);
        as_admin(w->as, span_of_str(text), SPAN("uid:0"), w->now, &out);
        *ret_made = failing_memory_end();
        ok = span_starts_with(buf_span(&out), SPAN("{\"ok\":true"));
        buf_wipe(&out);
        return ok;
    }
    struct as_response out;
    const struct as_request request = { .method = SPAN("POST"),
                                        .path = span_of_str(path),
                                        .content_type = SPAN("application/ace+json"),
                                        .authorization = w->authorization,
                                        .body = span_of_str(text),
                                        .peer = w->peer };
    failing_memory_begin(n);
    as_answer(w->as, &request, w->now, &out);
    if (out.unsettled)
        as_response_settled(w->as, as_settle(w->as), &out);
    *ret_made = failing_memory_end();
    ok = out.code == 200;
    if (!ok && out.code != 503 && out.code != 500)
        fail_msg("%s: %d when allocation %ld fails: %.*s", path, out.code, n, SPAN_FMT(buf_span(&out.body)));
    as_response_done(&out);
    return ok;
}

/* What it asks for, again and again with another allocation failing. */
static long starve(const char *path, const char *(*text)(struct place *p))
{
    uint8_t before[SHA256_LEN], after[SHA256_LEN];
    struct place p;
    long n = 1, made = 0;

    open_place(&p);
    for (bool ok = false;; n++) {
        if (ok) { /* it did without: from the beginning */
            close_place(&p);
            open_place(&p);
        }
        if (path != NULL && strcmp(path, "/introspect") == 0)
            site_act_as(&p.site, ONE);
        const char *body = text(&p);
        rows_of(p.site.w, before);
        ok = ask(p.site.w, path, body, n, &made);
        if (made < n)
            break;
        rows_of(p.site.w, after);
        /* Committed, and then no room for the answer: as if the connection had been lost. Whole, and audited. */
        if (!ok && memcmp(before, after, sizeof before) != 0) {
            world_admin(p.site.w, "{\"cmd\":\"audit.verify\"}");
            ok = true;
        }
    }
    close_place(&p);
    return n - 1;
}

static const char *token_text(struct place *p)
{
    return world_text(p->site.w, "{%s,\"audience\":\"one\"}", credentials(p));
}

static const char *refresh_text(struct place *p)
{
    return world_text(p->site.w, "{%s,\"grant_type\":\"refresh_token\",\"refresh_token\":\"%s\"}",
                      credentials(p), p->refresh);
}

static const char *revoke_text(struct place *p)
{
    return world_text(p->site.w, "{%s,\"token\":\"%s\"}", credentials(p), p->token);
}

static const char *introspect_text(struct place *p)
{
    return world_text(p->site.w, "{\"token\":\"%s\"}", p->token);
}

static const char *client_text(struct place *p UNUSED)
{
    return "{\"cmd\":\"client.add\",\"client_id\":\"x\",\"groups\":[\"g\"]}";
}

static const char *policy_text(struct place *p UNUSED)
{
    return "{\"cmd\":\"policy.remove\",\"id\":1}";
}

static const char *end_text(struct place *p UNUSED)
{
    return "{\"cmd\":\"token.revoke\",\"client_id\":\"c1\"}";
}

static void whatever_allocation_fails_it_is_our_fault_and_nothing_is_half_done(void **state UNUSED)
{
    long met = starve("/token", token_text) + starve("/token", refresh_text) + starve("/revoke", revoke_text) +
               starve("/introspect", introspect_text) + starve(NULL, client_text) + starve(NULL, policy_text) +
               starve(NULL, end_text);

    print_message("%ld allocations failed\n", met);
    assert_true(met > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_statement_fails_nothing_of_it_has_happened),
        cmocka_unit_test(a_rotation_that_fails_leaves_the_key_there_was),
        cmocka_unit_test(an_answer_does_not_go_when_another_call_failed_to_keep_it),
        cmocka_unit_test(room_made_in_a_turn_that_fails_is_no_room),
        cmocka_unit_test(whatever_allocation_fails_it_is_our_fault_and_nothing_is_half_done),
        cmocka_unit_test(a_full_database_refuses_and_goes_on_when_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
