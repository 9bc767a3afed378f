#include "as/site_test.h"

#include "as/status.h"
#include "codec/base64.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define HASH_TEXT_MAX 64

static const char *const names[] = { "c1", "c2", "one", "two" };

void site_allow(struct site *s, const char *subject, const char *filter, int64_t *ret_id)
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

void site_open(struct site *s)
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
    site_allow(s, "any", "d/${client_id}/#", NULL);
    site_allow(s, "any", "shared/#", &s->rule_shared);
}

void site_close(struct site *s)
{
    world_free(s->w);
}

void site_act_as(struct site *s, int who)
{
    struct buf b;

    buf_init(&b, 512);
    put_str(&b, "Basic ");
    base64_encode(span_of_str(world_text(s->w, "%s:%s", names[who], s->secrets[who])), &b);
    s->w->authorization = span_of_str(world_text(s->w, "%.*s", SPAN_FMT(buf_span(&b))));
    buf_done(&b);
}

const char *site_token(struct site *s, int client, int rs)
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
const char *site_hash_of(struct site *s, const char *text)
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

const struct js *site_trl(struct site *s, int who, const char *query)
{
    site_act_as(s, who);
    const struct js *answer = world_get(s->w, world_text(s->w, "/trl%s", query));
    s->w->authorization = SPAN_NONE;
    return answer;
}

bool site_among(const struct js *array, const char *text)
{
    struct span one;

    for (size_t i = 0; i < js_size(array); i++)
        if (js_as_str(js_at(array, i), &one) && span_eq_str(one, text))
            return true;
    return false;
}

int64_t site_cursor_of(const struct js *answer)
{
    int64_t cursor = -1;

    if (!js_get_i64(answer, "cursor", &cursor))
        assert_true(js_is(js_get(answer, "cursor"), JS_NULL));
    return cursor;
}

bool site_more_of(const struct js *answer)
{
    bool more = false;

    assert_true(js_get_bool(answer, "more", &more));
    return more;
}

/* The last token of `client`. */
const char *site_jti(struct site *s, int client)
{
    const struct js *list =
        world_admin(s->w, world_text(s->w, "{\"cmd\":\"token.list\",\"client_id\":\"%s\"}", names[client]));
    const struct js *tokens = js_get(list, "tokens");

    assert_true(js_size(tokens) > 0);
    return world_str(s->w, js_at(tokens, 0), "jti");
}

void site_revoke(struct site *s, const char *token_text, int client)
{
    world_post(s->w, "/revoke",
               world_text(s->w, "{\"client_id\":\"%s\",\"client_secret\":\"%s\",\"token\":\"%s\"}",
                          names[client], s->secrets[client], token_text));
    assert_int_equal(s->w->code, 200);
}

int64_t site_number(const struct js *answer, const char *name)
{
    int64_t n = 0;

    js_get_i64(answer, name, &n);
    return n;
}

/* `active`, and its scope as text if it is. */
const char *site_introspect(struct site *s, const char *text, int rs)
{
    bool active = false;
    struct span scope;

    site_act_as(s, rs);
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
