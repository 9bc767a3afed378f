#include "as/world_test.h"

#include "as/schema.h"
#include "base/log.h"
#include "crypto/random.h"
#include "jose/jwk.h"
#include "token/assertion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define TEXTS_MAX 20000

/* One key, no files; rotation is signer_local's to test. */
struct fake_signer {
    struct signer base;
    struct key *key;
};

struct whole_world {
    struct world w;
    struct fake_signer signer;
    char *texts[TEXTS_MAX];
    size_t texts_count;
};

static const struct key *key_of(struct signer *signer)
{
    return CONTAINER_OF(signer, struct fake_signer, base)->key;
}

static enum status fake_issue(struct signer *signer, const struct token_claims *claims,
                              const struct signer_wrap *wrap, struct buf *out, struct why *why)
{
    return signer_issue_with(key_of(signer), SPAN("test"), claims, wrap, out, why);
}

static enum status fake_jwks(struct signer *signer, struct js **ret_jwks, struct why *why UNUSED)
{
    struct js *set = js_new_object(), *keys = js_new_array(), *one = NULL;

    assert_int_equal(jwk_print(key_of(signer), SPAN("test"), "EdDSA", false, &one), ST_OK);
    assert_int_equal(js_append_take(keys, one), ST_OK);
    assert_int_equal(js_set_take(set, "keys", keys), ST_OK);
    *ret_jwks = set;
    return ST_OK;
}

static bool fake_owns(struct signer *signer, const struct key *key)
{
    return key_same(key_of(signer), key);
}

static enum status fake_each(struct signer *signer UNUSED,
                             enum status (*fn)(void *ctx, const struct signer_key *key), void *ctx)
{
    const struct signer_key key = { .kid = "test", .created_at = WORLD_START, .current = true };
    return fn(ctx, &key);
}

static enum status fake_rotate(struct signer *signer UNUSED, struct wall_time now UNUSED,
                               struct wall_time keep_until UNUSED, struct signer_key *ret_key UNUSED,
                               struct why *why)
{
    return reject(why, ST_UNSUPPORTED, "test", "this signer has one key", 0);
}

static enum status fake_nothing(struct signer *signer UNUSED, struct wall_time now UNUSED,
                                struct why *why UNUSED)
{
    return ST_OK;
}

static void fake_free(struct signer *signer)
{
    key_unref(CONTAINER_OF(signer, struct fake_signer, base)->key);
}

static const struct signer_ops fake_ops = { fake_issue,  fake_jwks,    fake_owns,    fake_each,
                                            fake_rotate, fake_nothing, fake_nothing, fake_free };

static void quiet(void *ctx UNUSED, enum log_level level UNUSED, struct span line UNUSED)
{
}

struct world *world_new(void)
{
    struct whole_world *all = calloc(1, sizeof *all);
    struct world *w = &all->w;
    struct sql *inner = NULL;

    assert_non_null(all);
    log_set_sink(quiet, NULL);
    w->now = (struct now){ { 1000 }, { WORLD_START } };
    w->peer = SPAN("192.0.2.1");
    w->settings = (struct as_settings){
        .token_lifetime_s = 3600,
        .token_max = 1000,
        .token_max_per_client = 100,
        .auth_failures_per_minute = 5,
        .auth_proof_max_age_s = 300,
        .auth_replay_max = 1000,
        .refresh_lifetime_s = 86400,
        .refresh_idle_s = 7200,
        .refresh_max_per_client = 3,
    };
    assert_int_equal(sql_open(":memory:", SQL_GROUPED, &inner, NULL), ST_OK);
    assert_int_equal(sql_failing_new(inner, &w->sql), ST_OK);
    assert_int_equal(as_schema(w->sql, NULL), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &all->signer.key), ST_OK);
    assert_int_equal(key_generate(KEY_SECRET, &w->pop_master), ST_OK);
    all->signer.base.ops = &fake_ops;
    w->signer = &all->signer.base;
    w->signing_key = all->signer.key;
    const struct as_parts parts = {
        .sql = w->sql,
        .signer = w->signer,
        .settings = &w->settings,
        .issuer = WORLD_ISSUER,
        .pop_master = w->pop_master,
        .env = { .random = random_for_env },
    };
    assert_int_equal(as_new(&parts, w->now, &w->as, NULL), ST_OK);
    return w;
}

void world_free(struct world *w)
{
    struct whole_world *all = CONTAINER_OF(w, struct whole_world, w);

    as_free(w->as);
    signer_free(w->signer);
    key_unref(w->pop_master);
    sql_close(w->sql);
    js_unref(w->answer);
    for (size_t i = 0; i < all->texts_count; i++)
        free(all->texts[i]);
    free(all);
}

void world_freep(struct world **w)
{
    world_free(*w);
}

void world_pass(struct world *w, int64_t seconds)
{
    w->now.wall.s += seconds;
    w->now.mono.ms += seconds * MS_PER_S;
}

static const char *keep(struct world *w, char *text)
{
    struct whole_world *all = CONTAINER_OF(w, struct whole_world, w);

    assert_non_null(text);
    assert_true(all->texts_count < TEXTS_MAX);
    all->texts[all->texts_count++] = text;
    return text;
}

const char *world_text(struct world *w, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    assert_true(vasprintf(&text, fmt, args) >= 0);
    va_end(args);
    return keep(w, text);
}

const char *world_str(struct world *w, const struct js *obj, const char *name)
{
    struct span s;

    assert_true(js_get_str(obj, name, &s));
    return keep(w, span_dup_str(s));
}

static void take_answer(struct world *w, struct span text)
{
    js_unref(TAKE(w->answer));
    if (text.len > 0)
        assert_int_equal(js_parse(text, AS_ADMIN_REPLY_MAX, &w->answer, NULL), ST_OK);
}

static bool admin(struct world *w, const char *line)
{
    struct buf out;
    bool ok = false;

    buf_init(&out, AS_ADMIN_REPLY_MAX);
    as_admin(w->as, span_of_str(line), SPAN("uid:0"), w->now, &out);
    assert_true(out.len > 0 && out.p[out.len - 1] == '\n');
    assert_int_equal(span_find(buf_span(&out), '\n', 0), out.len - 1);
    take_answer(w, span_cut(buf_span(&out), 0, out.len - 1));
    buf_done(&out);
    assert_true(js_get_bool(w->answer, "ok", &ok));
    return ok;
}

const struct js *world_admin(struct world *w, const char *line)
{
    if (!admin(w, line))
        fail_msg("%s: %s", line, world_str(w, w->answer, "message"));
    return w->answer;
}

void world_admin_refused(struct world *w, const char *line, const char *error)
{
    assert_false(admin(w, line));
    assert_string_equal(world_str(w, w->answer, "error"), error);
    assert_true(world_str(w, w->answer, "clause")[0] != '\0');
    assert_true(world_str(w, w->answer, "message")[0] != '\0');
}

static struct span query_of(void *ctx, const char *name)
{
    struct span rest = span_of_str(ctx);

    while (rest.len > 0) {
        size_t end = span_find(rest, '&', 0);
        struct span pair = span_cut(rest, 0, end);
        size_t equals = span_find(pair, '=', 0);
        if (span_eq_str(span_cut(pair, 0, equals), name))
            return equals < pair.len ? span_of(pair.p + equals + 1, pair.len - equals - 1) : SPAN("");
        rest = span_cut(rest, end + 1 < rest.len ? end + 1 : rest.len, rest.len);
    }
    return SPAN_NONE;
}

static void take_response(struct world *w, struct as_response *out)
{
    struct span body = out->content_type != NULL ? buf_span(&out->body) : SPAN_NONE;
    bool json = out->content_type != NULL && strstr(out->content_type, "cbor") == NULL;

    w->code = out->code;
    w->challenge = out->challenge;
    w->retry_after_s = out->retry_after_s;
    w->wait = out->wait;
    w->waited_s = out->waited_s;
    memcpy(w->etag, out->etag, sizeof w->etag);
    snprintf(w->content_type, sizeof w->content_type, "%s", out->content_type != NULL ? out->content_type : "");
    w->raw_len = body.len < sizeof w->raw ? body.len : sizeof w->raw;
    if (w->raw_len > 0)
        memcpy(w->raw, body.p, w->raw_len);
    take_answer(w, json ? body : SPAN_NONE);
    as_response_done(out);
}

static const struct js *ask(struct world *w, const char *method, const char *path, const char *body)
{
    struct as_response out;
    const char *query = strchr(path, '?');
    const struct as_request request = {
        .method = span_of_str(method),
        .path = query != NULL ? span_of(path, (size_t)(query - path)) : span_of_str(path),
        .accept = span_of_str(w->accept),
        .prefer = span_of_str(w->prefer),
        .if_none_match = span_of_str(w->if_none_match),
        .query = query != NULL ? query_of : NULL,
        .query_ctx = query != NULL ? (void *)(query + 1) : NULL,
        .content_type = body[0] == '{' || body[0] == '[' ? SPAN("application/ace+json")
                                                         : SPAN("application/x-www-form-urlencoded"),
        .authorization = w->authorization,
        .body = span_of_str(body),
        .peer = w->peer,
        .cert_der = w->cert_der,
    };

    as_answer(w->as, &request, w->now, &out);
    if (out.unsettled)
        as_response_settled(w->as, as_settle(w->as), &out);
    take_response(w, &out);
    return w->answer;
}

const struct js *world_wait_answer(struct world *w)
{
    struct as_response out;

    as_wait_answer(w->as, &w->wait, w->now, &out);
    take_response(w, &out);
    return w->answer;
}

const struct js *world_post(struct world *w, const char *path, const char *body)
{
    return ask(w, "POST", path, body);
}

const struct js *world_get(struct world *w, const char *path)
{
    return ask(w, "GET", path, "");
}

const char *world_jwk(struct world *w, const struct key *key)
{
    struct js *js = NULL;
    struct buf text;

    buf_init(&text, AS_BODY_MAX);
    assert_int_equal(jwk_print(key, SPAN_NONE, NULL, false, &js), ST_OK);
    assert_int_equal(js_print(js, &text), ST_OK);
    js_unref(js);
    const char *kept = keep(w, span_dup_str(buf_span(&text)));
    buf_done(&text);
    return kept;
}

const char *world_assertion(struct world *w, const struct key *key, const char *typ, const char *client_id,
                            const char *aud, const char *jti)
{
    const bool client = strcmp(typ, ASSERTION_TYP_CLIENT) == 0;
    const struct assertion_claims claims = {
        .typ = typ,
        .iss = client ? span_of_str(client_id) : SPAN_NONE,
        .sub = client ? span_of_str(client_id) : SPAN_NONE,
        .client_id = client ? SPAN_NONE : span_of_str(client_id),
        .aud = span_of_str(aud),
        .iat = w->now.wall,
        .lifetime_s = 120,
        .jti = span_of_str(jti),
    };
    struct buf text;

    buf_init(&text, ASSERTION_MAX_BYTES);
    assert_int_equal(assertion_sign(&claims, key, SPAN_NONE, &text), ST_OK);
    const char *kept = keep(w, span_dup_str(buf_span(&text)));
    buf_done(&text);
    return kept;
}
