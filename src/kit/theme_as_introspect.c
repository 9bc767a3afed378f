/* A-3xx: introspection (RFC 7662, RFC 9200 5.9, RFC 9201). */
#include "kit/as_talk_priv.h"
#include "kit/say_priv.h"

static struct as_answer introspect(struct kit *k, struct span token, const char *user, const char *password)
{
    const char *body = text(k, "token=%.*s", SPAN_FMT(token));
    struct as_request request = { .url = as_introspection_endpoint(k),
                                  .type = "application/x-www-form-urlencoded",
                                  .body = span_of_str(body),
                                  .user = user,
                                  .password = password };

    return as_send(k, &request);
}

static struct span new_token(struct kit *k)
{
    struct as_answer a = as_ask_token(k, "");
    struct span token = SPAN_NONE;

    if (going(k) && !js_get_str(a.js, "access_token", &token))
        trouble(k, "no token to look up: HTTP %d", a.code);
    token = arena_copy(&k->arena, token);
    as_answer_done(&a);
    return token;
}

static void active(struct kit *k)
{
    struct span token = new_token(k);
    struct as_answer a = introspect(k, token, k->s->rs_id, k->s->rs_secret);
    bool is = false;

    if (going(k) && check(k, a.code == 200, "HTTP 200 expected") &&
        check(k, js_get_bool(a.js, "active", &is) && is, "active is not true") &&
        check(k, js_is(js_get(a.js, "cnf"), JS_OBJECT), "a PoP token without cnf"))
        (void)check(k, js_get(a.js, "exp") != NULL || js_get(a.js, "exi") != NULL, "no end");
    as_answer_done(&a);
}

static void unknown(struct kit *k)
{
    struct as_answer a = introspect(k, SPAN("nobody-has-ever-seen-this"), k->s->rs_id, k->s->rs_secret);
    bool is = true;

    if (going(k) && check(k, a.code == 200, "HTTP 200 expected") &&
        check(k, js_get_bool(a.js, "active", &is) && !is, "active is not false"))
        (void)check(k, js_size(a.js) == 1, "active false and something else");
    as_answer_done(&a);
}

static void wrong_secret(struct kit *k)
{
    struct as_answer a = introspect(k, SPAN("x"), k->s->rs_id, "wrong");

    if (going(k))
        (void)check(k, a.code == 401, "HTTP 401 expected");
    as_answer_done(&a);
}

static void nobody(struct kit *k)
{
    struct as_answer a = introspect(k, SPAN("x"), NULL, NULL);

    if (going(k))
        (void)check(k, a.code == 401, "HTTP 401 expected");
    as_answer_done(&a);
}

static void without_a_token(struct kit *k)
{
    struct as_request request = { .url = as_introspection_endpoint(k),
                                  .type = "application/x-www-form-urlencoded",
                                  .body = SPAN("x=y"),
                                  .user = k->s->rs_id,
                                  .password = k->s->rs_secret };
    struct as_answer a = as_send(k, &request);

    if (going(k))
        (void)check(k, a.code == 400, "HTTP 400 expected");
    as_answer_done(&a);
}

static void large(struct kit *k)
{
    struct as_answer a = introspect(k, repeated(k, "x", 60000), k->s->rs_id, k->s->rs_secret);
    bool is = false;

    if (going(k))
        (void)check(k, a.code >= 400 || (js_get_bool(a.js, "active", &is) && !is),
                    "60000 bytes are an active token");
    as_answer_done(&a);
}

#define N (NEED_AS | NEED_RS)
/* clang-format off */
static const struct kit_case cases[] = {
    { "A-301", "RFC 9200 5.9.2; RFC 9201 4; AF-2 AF-45 AF-81", "a live token: active, its key and its end", N | NEED_CLIENT, POLITE, active },
    { "A-302", "RFC 9200 5.9.3; AF-83", "a token nobody knows: active false, and nothing else", N, POLITE, unknown },
    { "A-311", "RFC 9200 5.9.3; AF-82", "a wrong secret: 401", N, RUDE, wrong_secret },
    { "A-312", "RFC 9200 5.9.3; AF-82", "nobody asks: 401", NEED_AS, RUDE, nobody },
    { "A-313", "RFC 7662 2.1; AF-80", "no token: 400", N, RUDE, without_a_token },
    { "A-314", "RFC 7662 2.1; AF-83", "60000 bytes", N, RUDE, large },
};
/* clang-format on */

const struct kit_theme theme_as_introspect = { "as_introspect", KIT_AS, cases, COUNT_OF(cases) };
