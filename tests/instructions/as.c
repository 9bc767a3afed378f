/* The authorization server's core, without HTTPS, its database in memory. */
#include "as/as.h"
#include "as/schema.h"
#include "base/log.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "jose/jwk.h"
#include "lean.h"
#include "scenario.h"
#include "token/assertion.h"

#include <stdio.h>
#include <stdlib.h>

#define START  1800000000
#define ISSUER "https://as.example"

/* One key, always the same. */
struct one_key {
    struct signer base;
    struct key *key;
};

struct server {
    struct as *as;
    struct sql *sql;
    struct one_key signer;
    struct as_settings settings;
    struct now now;
    uint64_t seed;
    struct buf authorization, body; /* of the request that is repeated */
    struct buf *bodies;             /* where each is another */
    const char *path;
};

static enum status issue(struct signer *signer, const struct token_claims *claims,
                         const struct signer_wrap *wrap, struct buf *out, struct why *why)
{
    return signer_issue_with(CONTAINER_OF(signer, struct one_key, base)->key, SPAN("k"), claims, wrap, out,
                             why);
}

static bool owns(struct signer *signer, const struct key *key)
{
    return key_same(CONTAINER_OF(signer, struct one_key, base)->key, key);
}

static enum status nothing(struct signer *signer UNUSED, struct wall_time now UNUSED, struct why *why UNUSED)
{
    return ST_OK;
}

static const struct signer_ops ops = { .issue = issue, .owns = owns, .reload = nothing, .purge = nothing };

static enum status not_random(void *ctx, void *out, size_t len)
{
    struct server *s = ctx;
    uint8_t *p = out;

    for (size_t i = 0; i < len; i++) {
        s->seed = s->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        p[i] = (uint8_t)(s->seed >> 56);
    }
    return ST_OK;
}

static void quiet(void *ctx UNUSED, enum log_level level UNUSED, struct span line UNUSED)
{
}

static struct js *admin(struct server *s, const char *line)
{
    struct js *answer = NULL;
    struct buf out;
    bool ok = false;

    buf_init(&out, AS_ADMIN_REPLY_MAX);
    as_admin(s->as, span_of_str(line), SPAN("uid:0"), s->now, &out);
    lean_must(js_parse(buf_span(&out), AS_ADMIN_REPLY_MAX, &answer, NULL) == ST_OK &&
                  js_get_bool(answer, "ok", &ok) && ok,
              line);
    buf_done(&out);
    return answer;
}

static struct server *server_new(void)
{
    static const uint8_t seed[KEY_PART_LEN] = { 1 }, master[32] = { 2 };
    struct server *s = calloc(1, sizeof *s);
    struct as_parts parts = { .issuer = ISSUER };

    lean_must(s != NULL, "memory");
    log_set_sink(quiet, NULL);
    s->now = (struct now){ { 1000 }, { START } };
    buf_init(&s->authorization, 1024);
    buf_init(&s->body, AS_BODY_MAX);
    s->settings = (struct as_settings){ .token_lifetime_s = 3600,
                                        .token_max = 1000000,
                                        .token_max_per_client = 1000000,
                                        .auth_failures_per_minute = 10,
                                        .auth_proof_max_age_s = 300,
                                        .auth_replay_max = 100000 };
    lean_must(sql_open(":memory:", SQL_GROUPED, &s->sql, NULL) == ST_OK && as_schema(s->sql, NULL) == ST_OK,
              "database");
    lean_must(key_new_ed25519_private(span_of(seed, sizeof seed), &s->signer.key, NULL) == ST_OK, "key");
    lean_must(key_new_secret(span_of(master, sizeof master), &parts.pop_master, NULL) == ST_OK, "master");
    s->signer.base.ops = &ops;
    parts.sql = s->sql;
    parts.signer = &s->signer.base;
    parts.settings = &s->settings;
    parts.env = (struct env){ .random = not_random, .ctx = s };
    lean_must(as_new(&parts, s->now, &s->as, NULL) == ST_OK, "authorization server");
    return s;
}

static void set_basic(struct server *s, const char *id, const struct js *answer, const char *secret_name)
{
    struct buf pair;
    struct span secret;

    lean_must(js_get_str(answer, secret_name, &secret), secret_name);
    buf_init(&pair, 1024);
    put_fmt(&pair, "%s:%.*s", id, SPAN_FMT(secret));
    buf_reset(&s->authorization);
    put_str(&s->authorization, "Basic ");
    base64_encode(buf_span(&pair), &s->authorization);
    buf_done(&pair);
}

/* The answer's body goes to `keep`, if that is not NULL. */
static void post(struct server *s, struct span body, struct buf *keep)
{
    struct as_request request = { .method = SPAN("POST"),
                                  .path = span_of_str(s->path),
                                  .content_type = SPAN("application/x-www-form-urlencoded"),
                                  .authorization = buf_span(&s->authorization),
                                  .body = body,
                                  .peer = SPAN("192.0.2.1") };
    struct as_response out;

    as_answer(s->as, &request, s->now, &out);
    if (out.unsettled)
        as_response_settled(s->as, as_settle(s->as), &out);
    if (out.code != 200)
        fprintf(stderr, "%d %.*s\n", out.code, SPAN_FMT(buf_span(&out.body)));
    lean_must(out.code == 200, "an answer");
    if (keep != NULL)
        put_bytes(keep, buf_span(&out.body));
    as_response_done(&out);
}

static void allow(struct server *s)
{
    js_unref(admin(s, "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"broker\","
                      "\"filter\":\"d/${client_id}/#\",\"permissions\":[\"pub\",\"sub\"]}"));
}

/* A secret of the client in, a new secret out, in a token encrypted to the broker. */
static void *by_secret(unsigned calls)
{
    struct server *s = server_new();
    struct js *client;

    (void)calls;
    js_unref(admin(s, "{\"cmd\":\"rs.add\",\"audience\":\"broker\",\"key\":\"generate\"}"));
    client = admin(s, "{\"cmd\":\"client.add\",\"client_id\":\"device\"}");
    allow(s);
    set_basic(s, "device", client, "client_secret");
    js_unref(client);
    put_str(&s->body, "grant_type=client_credentials&audience=broker");
    s->path = "/token";
    return s;
}

static void ask(void *state, unsigned i)
{
    struct server *s = state;

    (void)i;
    post(s, buf_span(&s->body), NULL);
}

static void put_escaped(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        put_fmt(out, "%%%02X", text.p[i]);
}

/* An assertion signed with the client's registered key in, a signed token for that key out. */
static void write_assertion(struct server *s, const struct key *key, struct span jwk, unsigned n,
                            struct buf *out)
{
    char jti[64];
    struct assertion_claims claims = { .typ = ASSERTION_TYP_CLIENT,
                                       .iss = SPAN("device"),
                                       .sub = SPAN("device"),
                                       .aud = SPAN(ISSUER),
                                       .iat = s->now.wall,
                                       .lifetime_s = 120 };

    snprintf(jti, sizeof jti, "an-assertion-of-its-own-%05u", n);
    claims.jti = span_of_str(jti);
    buf_init(out, AS_BODY_MAX);
    put_str(out, "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&"
                 "grant_type=client_credentials&audience=broker&client_assertion=");
    lean_must(assertion_sign(&claims, key, SPAN_NONE, out) == ST_OK, "an assertion");
    put_str(out, "&req_cnf=");
    put_escaped(out, SPAN("{\"jwk\":"));
    put_escaped(out, jwk);
    put_escaped(out, SPAN("}"));
    lean_must(buf_ok(out), "a request");
}

static void *by_key(unsigned calls)
{
    static const uint8_t seed[KEY_PART_LEN] = { 3 };
    struct server *s = server_new();
    struct key *own, *shown;
    struct js *jwk;
    struct buf line, text;

    lean_must(key_new_ed25519_private(span_of(seed, sizeof seed), &own, NULL) == ST_OK, "key");
    lean_must(key_public(own, &shown) == ST_OK && jwk_print(shown, SPAN_NONE, NULL, false, &jwk) == ST_OK,
              "JWK");
    js_unref(admin(s, "{\"cmd\":\"rs.add\",\"audience\":\"broker\"}"));
    buf_init(&text, 4096);
    buf_init(&line, 4096);
    lean_must(js_print(jwk, &text) == ST_OK, "JWK");
    put_fmt(&line, "{\"cmd\":\"client.add\",\"client_id\":\"device\",\"jwk\":%.*s}", SPAN_FMT(buf_span(&text)));
    put_u8(&line, 0);
    js_unref(admin(s, (const char *)line.p));
    allow(s);
    s->bodies = calloc(calls, sizeof *s->bodies);
    lean_must(s->bodies != NULL, "memory");
    for (unsigned i = 0; i < calls; i++)
        write_assertion(s, own, buf_span(&text), i, &s->bodies[i]);
    s->path = "/token";
    return s;
}

static void ask_with_assertion(void *state, unsigned i)
{
    struct server *s = state;

    post(s, buf_span(&s->bodies[i]), NULL);
}

static void *introspecting(unsigned calls)
{
    struct server *s = by_secret(calls);
    struct js *rs, *answer;
    struct span token;
    struct buf body;

    rs = admin(s, "{\"cmd\":\"rs.add\",\"audience\":\"opaque\",\"rs_id\":\"rs2\",\"key\":\"generate\",\"token_"
                  "format\":\"reference\"}");
    js_unref(admin(s, "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"opaque\","
                      "\"filter\":\"d/${client_id}/#\",\"permissions\":[\"pub\",\"sub\"]}"));
    buf_init(&body, AS_RESPONSE_MAX);
    post(s, SPAN("grant_type=client_credentials&audience=opaque"), &body);
    lean_must(js_parse(buf_span(&body), AS_RESPONSE_MAX, &answer, NULL) == ST_OK &&
                  js_get_str(answer, "access_token", &token),
              "a token");
    buf_reset(&s->body);
    put_fmt(&s->body, "token=%.*s", SPAN_FMT(token));
    js_unref(answer);
    buf_done(&body);
    set_basic(s, "rs2", rs, "rs_secret");
    js_unref(rs);
    s->path = "/introspect";
    return s;
}

const struct scenario as_scenarios[] = {
    { "as_token_secret", "token for a client's secret: encrypted, with a new secret", 20, 1, by_secret, ask },
    { "as_token_key", "token for private_key_jwt: signed with EdDSA, bound to the client's key", 20, 1, by_key,
      ask_with_assertion },
    { "as_introspect", "introspection of a token by reference", 20, 1, introspecting, ask },
    { 0 },
};
