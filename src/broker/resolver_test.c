/* The resolver against an authorization server of the test's own, over HTTPS, on one loop. */
#include "broker/resolver.h"

#include "broker/issuers.h"
#include "codec/json.h"
#include "jose/jwk.h"
#include "net/file.h"
#include "net/http_server.h"
#include "net/test_certs.h"
#include "token/token.h"
#include "token/verifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "net/test_wait.h"

#define ISSUER   "https://as.example"
#define AUDIENCE "broker.example"

static struct test_cert_files files;
static char secret_file[128], jwks_file[128];
static int log_keys;                 /* of the last event jwks_fetched */
static int log_failed, log_left_out; /* lines of introspection_failed; those that log_suppressed counts */

struct world {
    struct loop *loop;
    struct http_server *server;
    struct resolver *resolver;
    struct verifier *first;
    struct as_config as;
    struct broker_config config;
    char *audiences[1];
    char jwks_uri[64], introspection_uri[64];

    /* the server */
    char jwks[1024];
    char introspection[2048];
    char introspection_body[256], authorization[256];
    int code;
    const char *etag, *cache_control; /* of the key set; NULL: none */
    char if_none_match[64];
    bool huge, silent; /* introspection */
    int jwks_asked, introspections;

    /* what came of it */
    int published, keys;
    int answers;
    int refused; /* of them, with ST_QUOTA */
    enum status st;
    struct why why;
    struct token *token;
};

static void on_gone(void *ctx)
{
    (void)ctx;
}

static void serve(void *ctx, const struct http_request *request, struct http_reply *reply)
{
    struct world *w = ctx;
    reply->code = w->code;
    if (span_eq_str(request->path, "/jwks.json")) {
        struct span known = http_request_header(request, "If-None-Match");
        w->jwks_asked++;
        (void)snprintf(w->if_none_match, sizeof w->if_none_match, "%.*s", SPAN_FMT(known));
        if (w->etag != NULL)
            http_reply_header(reply, "ETag", w->etag);
        if (w->cache_control != NULL)
            http_reply_header(reply, "Cache-Control", w->cache_control);
        if (w->etag != NULL && span_eq_str(known, w->etag))
            reply->code = 304;
        else
            put_str(&reply->body, w->jwks);
    } else {
        w->introspections++;
        if (w->silent) {
            (void)http_later_new(request, on_gone, w);
            return;
        }
        for (int i = 0; w->huge && i < 8192; i++)
            put_str(&reply->body, "          ");
        struct span authorization = http_request_header(request, "Authorization");
        (void)snprintf(w->introspection_body, sizeof w->introspection_body, "%.*s", SPAN_FMT(request->body));
        (void)snprintf(w->authorization, sizeof w->authorization, "%.*s", SPAN_FMT(authorization));
        put_str(&reply->body, w->introspection);
    }
}

static void on_publish(void *ctx, struct verifier *verifier)
{
    struct world *w = ctx;
    assert_non_null(verifier);
    w->published++;
    w->keys = log_keys;
}

static void on_answer(void *ctx, enum status st, struct token *token, const struct why *why)
{
    struct world *w = ctx;
    w->answers++;
    w->refused += st == ST_QUOTA ? 1 : 0;
    w->st = st;
    w->why = *why;
    token_unref(w->token);
    w->token = token;
}

/* A public key as JWK text; the key set and the cnf of the introspection answer use it. */
static void make_jwk(char *out, size_t cap, const char *kid)
{
    struct key *key = NULL;
    struct js *js = NULL;
    struct buf text;
    buf_init(&text, cap);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    assert_int_equal(jwk_print(key, span_of_str(kid), "EdDSA", false, &js), ST_OK);
    assert_int_equal(js_print(js, &text), ST_OK);
    (void)snprintf(out, cap, "%.*s", SPAN_FMT(buf_span(&text)));
    buf_done(&text);
    js_unref(js);
    key_unref(key);
}

static void world_init(struct world *w)
{
    struct http_server_settings settings = { .address = "127.0.0.1",
                                             .cert_file = files.cert,
                                             .key_file = files.key };
    char jwk[512];
    static char audience[] = AUDIENCE, issuer[] = ISSUER, client_id[] = "broker 1";
    *w = (struct world){ .code = 200, .audiences = { audience } };
    assert_int_equal(loop_new(&w->loop, NULL), ST_OK);
    assert_int_equal(http_server_new(w->loop, &settings, serve, w, &w->server, NULL), ST_OK);
    (void)snprintf(w->jwks_uri, sizeof w->jwks_uri, "https://localhost:%u/jwks.json",
                   http_server_port(w->server));
    (void)snprintf(w->introspection_uri, sizeof w->introspection_uri, "https://localhost:%u/introspect",
                   http_server_port(w->server));
    make_jwk(jwk, sizeof jwk, "k1");
    (void)snprintf(w->jwks, sizeof w->jwks, "{\"keys\":[%s]}", jwk);
    (void)snprintf(w->introspection, sizeof w->introspection,
                   "{\"active\":true,\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
                   "\",\"exp\":%lld,\"scope\":[[\"a/b\",[\"pub\"]]],\"sub\":\"s\",\"cnf\":{\"jwk\":%s}}",
                   (long long)now_read().wall.s + 600, jwk);
    w->as = (struct as_config){ .issuer = issuer,
                                .ca = files.ca,
                                .jwks_uri = w->jwks_uri,
                                .introspection_uri = w->introspection_uri,
                                .client_id = client_id,
                                .client_secret_file = secret_file };
    w->config = (struct broker_config){ .authorization_servers = { &w->as, 1 },
                                        .audiences = { w->audiences, 1 },
                                        .jwks_interval_s = 600,
                                        .jwks_min_interval_ms = 60000,
                                        .as_timeout_ms = 60000,
                                        .as_max_concurrent = 2,
                                        .as_max_waiting = 3 };
}

static void world_start(struct world *w)
{
    assert_int_equal(issuers_verifier(&w->config, &w->first, NULL), ST_OK);
    assert_int_equal(resolver_new(w->loop, &w->config, w->first, on_publish, w, &w->resolver, NULL), ST_OK);
}

static void world_done(struct world *w)
{
    resolver_free(w->resolver);
    http_server_free(w->server);
    loop_free(w->loop);
    verifier_unref(w->first);
    token_unref(w->token);
}

/* -- signing keys --- */

static void keys_are_fetched_at_the_start_and_published(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    resolver_start(w.resolver);
    WAIT_FOR(w.loop, w.published == 1);
    assert_int_equal(w.jwks_asked, 1);
    world_done(&w);
}

static void all_who_miss_a_key_share_one_fetch_and_the_next_has_to_wait(void **state) /* TK-44 */
{
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    for (int i = 0; i < 5; i++)
        resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("a.b.c"), on_answer, &w);
    assert_int_equal(w.answers, 0);
    WAIT_FOR(w.loop, w.answers == 5);
    assert_int_equal(w.st, ST_OK);
    assert_int_equal(w.jwks_asked, 1);
    assert_int_equal(w.published, 1);
    resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("a.b.c"), on_answer, &w); /* within jwks_min_interval */
    assert_int_equal(w.answers, 5);
    WAIT_FOR(w.loop, w.answers == 6);
    assert_int_equal(w.st, ST_OK);
    assert_int_equal(w.jwks_asked, 1);
    world_done(&w);
}

/* An authorization server that changes its key just after the broker started must not lock its clients out. */
static void a_key_made_after_the_fetch_at_the_start_is_asked_for_at_once(void **state) /* TK-44 */
{
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    resolver_start(w.resolver);
    WAIT_FOR(w.loop, w.published == 1);
    resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("a.b.c"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 1);
    assert_int_equal(w.st, ST_OK);
    assert_int_equal(w.jwks_asked, 2);
    world_done(&w);
}

static void keys_that_cannot_be_fetched_leave_the_door_closed(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.code = 500;
    world_start(&w);
    resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("a.b.c"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 1);
    assert_int_equal(w.st, ST_UNREACHABLE);
    assert_int_equal(w.published, 0);
    world_done(&w);
}

static void keys_from_somebody_else_are_not_taken(void **state) /* MT-3 */
{
    struct world w;
    (void)state;
    world_init(&w);
    w.as.ca = files.stranger_ca;
    world_start(&w);
    resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("a.b.c"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 1);
    assert_int_equal(w.st, ST_UNREACHABLE);
    assert_int_equal(w.jwks_asked, 0);
    world_done(&w);
}

static void what_is_no_key_set_is_not_taken(void **state) /* RFC 7517 5 */
{
    struct world w;
    (void)state;
    world_init(&w);
    (void)snprintf(w.jwks, sizeof w.jwks, "{\"keys\":\"none\"}");
    world_start(&w);
    resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("a.b.c"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 1);
    assert_int_equal(w.st, ST_UNREACHABLE);
    assert_int_equal(w.published, 0);
    world_done(&w);
}

static void a_reload_keeps_fetched_keys_and_reads_files_again(void **state)
{
    struct world w;
    struct why why;
    (void)state;
    world_init(&w);
    world_start(&w);
    resolver_start(w.resolver);
    WAIT_FOR(w.loop, w.published == 1);
    assert_int_equal(resolver_reload(w.resolver, &why), ST_OK);
    assert_int_equal(w.published, 2);
    WAIT_FOR(w.loop, w.published == 3); /* and are fetched again */
    assert_int_equal(w.jwks_asked, 2);
    w.as.jwks_uri = NULL;
    w.as.jwks_file = jwks_file; /* which does not exist */
    assert_int_equal(resolver_reload(w.resolver, &why), ST_NOT_FOUND);
    assert_int_equal(w.published, 3);
    world_done(&w);
}

static void keys_are_fetched_again_only_if_they_changed(void **state) /* RFC 9110 13.1.2 */
{
    struct world w;
    (void)state;
    world_init(&w);
    w.config.jwks_min_interval_ms = 0;
    w.etag = "\"v1\"";
    world_start(&w);
    resolver_start(w.resolver);
    WAIT_FOR(w.loop, w.published == 1);
    assert_string_equal(w.if_none_match, "");
    resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("a.b.c"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 1);
    assert_int_equal(w.st, ST_OK); /* as fresh as can be */
    assert_string_equal(w.if_none_match, "\"v1\"");
    assert_int_equal(w.jwks_asked, 2);
    assert_int_equal(w.published, 1);
    w.etag = "\"v2\"";
    resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("a.b.c"), on_answer, &w);
    WAIT_FOR(w.loop, w.published == 2);
    WAIT_FOR(w.loop, w.answers == 2);
    world_done(&w);
}

/* jwks_interval is the longest, jwks_min_interval the shortest, whatever the server says. */
static void a_server_may_ask_for_its_keys_to_be_fetched_sooner(void **state) /* RFC 9111 5.2.2.1 */
{
    static const char *const soon[] = { "max-age=1", "public, Max-Age=0", "no-store", "no-cache, max-age=600" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(soon); i++) {
        struct world w;
        world_init(&w);
        w.config.jwks_min_interval_ms = 100;
        w.cache_control = soon[i];
        world_start(&w);
        struct mono_time before = now_read().mono;
        resolver_start(w.resolver);
        WAIT_FOR(w.loop, w.published == 2);
        assert_true(now_read().mono.ms - before.ms > 800);
        world_done(&w);
    }
}

static void only_pinned_keys_are_taken(void **state) /* RFC 7638, TK-44 */
{
    char one[512], two[512], thumbprint[JWK_THUMBPRINT_TEXT];
    char *pins[] = { thumbprint };
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct jwk jwk;
    struct world w;
    (void)state;
    world_init(&w);
    make_jwk(one, sizeof one, "k1");
    make_jwk(two, sizeof two, "k2");
    assert_int_equal(js_parse(span_of_str(two), sizeof two, &js, NULL), ST_OK);
    assert_int_equal(jwk_parse(js, JWK_PUBLIC, &jwk, NULL), ST_OK);
    assert_int_equal(jwk_thumbprint_text(jwk.key, thumbprint), ST_OK);
    jwk_done(&jwk);
    w.as.jwks_pins = (struct config_strings){ pins, 1 };
    (void)snprintf(w.jwks, sizeof w.jwks, "{\"keys\":[%s]}", one);
    world_start(&w);
    resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("a.b.c"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 1);
    assert_int_equal(w.st, ST_UNREACHABLE);
    assert_string_equal(w.why.clause, "jwks_pins");
    assert_int_equal(w.published, 0);
    w.config.jwks_min_interval_ms = 0;
    (void)snprintf(w.jwks, sizeof w.jwks, "{\"keys\":[%s,%s]}", one, two);
    resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("a.b.c"), on_answer, &w);
    WAIT_FOR(w.loop, w.published == 1);
    assert_int_equal(w.keys, 1);
    world_done(&w);
}

static void a_server_with_another_key_than_the_pinned_one_is_not_asked(void **state) /* RFC 7469 2.4, MT-3 */
{
    static char pin[] = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    struct world w;
    (void)state;
    world_init(&w);
    w.as.pinned_pubkey = pin;
    world_start(&w);
    resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("a.b.c"), on_answer, &w);
    resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 2);
    assert_int_equal(w.st, ST_UNREACHABLE);
    assert_int_equal(w.jwks_asked + w.introspections, 0);
    world_done(&w);
}

/* -- introspection --- */

static void an_issuer_may_call_us_by_a_name_of_its_own(void **state) /* AF-63 */
{
    static char name[] = "mqtt-of-as-two"; /* as long as the other */
    char *names[] = { name };
    struct world w;
    (void)state;
    world_init(&w);
    w.as.audiences = (struct config_strings){ names, 1 };
    world_start(&w);
    resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 1);
    assert_int_equal(w.st, ST_BAD_TOKEN); /* the common name is not that one's */
    char *at = strstr(w.introspection, AUDIENCE);
    memcpy(at, name, strlen(AUDIENCE));
    resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 2);
    assert_int_equal(w.st, ST_OK);
    world_done(&w);
}

/* TK-65: nothing but a whole, true answer about this token is one. */
static void answers_that_are_wrong_in_any_way_are_no_token(void **state) /* TK-65, MT-95 */
{
    static const char *const bad[] = {
        "{\"active\":\"true\"}",
        "{\"active\":1}",
        "{\"active\":null}",
        "{}",
        "[]",
        "true",
        "",
        "{\"active\":true}",
        "{\"active\":true,\"active\":true}",
        "{\"active\":true,\"iss\":\"https://other.example\",\"aud\":\"broker.example\",\"exp\":99999999999}",
        "{\"active\":true,\"aud\":\"other\",\"exp\":99999999999}",
        "{\"active\":true,\"aud\":\"broker.example\",\"exp\":1}",
        "{\"active\":true,\"aud\":\"broker.example\",\"exp\":99999999999,\"token_type\":\"Bearer\"}",
        "{\"active\":true,\"aud\":\"broker.example\",\"exp\":99999999999}",
    };
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int before = w.answers;
        (void)snprintf(w.introspection, sizeof w.introspection, "%s", bad[i]);
        resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
        WAIT_FOR(w.loop, w.answers == before + 1);
        assert_int_not_equal(w.st, ST_OK);
        assert_null(w.token);
    }
    world_done(&w);
}

static void an_answer_without_end_is_cut_off(void **state) /* TK-65 */
{
    struct world w;
    (void)state;
    world_init(&w);
    w.huge = true;
    world_start(&w);
    resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 1);
    assert_int_equal(w.st, ST_UNREACHABLE);
    world_done(&w);
}

static void an_answer_that_does_not_come_is_waited_for_only_so_long(void **state) /* MT-66 */
{
    struct world w;
    (void)state;
    world_init(&w);
    w.config.as_timeout_ms = 100;
    w.silent = true;
    world_start(&w);
    resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 1);
    assert_int_equal(w.st, ST_UNREACHABLE);
    world_done(&w);
}

static void a_reference_is_looked_up_with_our_credentials(void **state) /* RFC 7662 2.1, AF-80 */
{
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("ref+token/1="), on_answer, &w);
    assert_int_equal(w.answers, 0); /* never inside the call */
    WAIT_FOR(w.loop, w.answers == 1);
    assert_int_equal(w.st, ST_OK);
    assert_non_null(w.token);
    assert_true(w.token->by_introspection);
    assert_true(span_eq_str(w.token->sub, "s"));
    assert_string_equal(w.introspection_body, "token=ref%2Btoken%2F1%3D");
    assert_string_equal(w.authorization, "Basic YnJva2VyIDE6c2VjcmV0"); /* "broker 1:secret", newline cut off */
    world_done(&w);
}

/* Bytes are no text: RFC 7662 2.1 has a form, and there a CWT is base64url. */
static void a_cwt_is_asked_about_as_text(void **state) /* AF-80 */
{
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    resolver_ask(w.resolver, RESOLVE_INTROSPECT, span_of("\xd8\x3d\xd2\x84\x43\xa1", 6), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 1);
    assert_string_equal(w.introspection_body, "token=2D3ShEOh");
    world_done(&w);
}

static void an_inactive_token_is_refused(void **state) /* AF-83 */
{
    struct world w;
    (void)state;
    world_init(&w);
    (void)snprintf(w.introspection, sizeof w.introspection, "{\"active\":false}");
    world_start(&w);
    resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("gone"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 1);
    assert_int_equal(w.st, ST_BAD_TOKEN);
    assert_null(w.token);
    world_done(&w);
}

static void no_usable_answer_is_no_token(void **state) /* MT-66 */
{
    static const int codes[] = { 401, 403, 404, 500 };
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        int before = w.answers;
        w.code = codes[i];
        resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
        WAIT_FOR(w.loop, w.answers == before + 1);
        assert_int_equal(w.st, ST_UNREACHABLE);
        assert_null(w.token);
    }
    w.code = 200;
    (void)snprintf(w.introspection, sizeof w.introspection, "<html>");
    resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == (int)COUNT_OF(codes) + 1);
    assert_int_not_equal(w.st, ST_OK);
    http_server_free(TAKE(w.server)); /* nobody there at all */
    resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == (int)COUNT_OF(codes) + 2);
    assert_int_equal(w.st, ST_UNREACHABLE);
    world_done(&w);
}

static void too_many_waiting_are_refused_and_the_others_served(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    for (int i = 0; i < 8; i++) /* two asked, three waiting */
        resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
    WAIT_FOR(w.loop, w.answers == 8);
    assert_int_equal(w.refused, 3);
    assert_int_equal(w.introspections, 5);
    world_done(&w);
}

static void whoever_waits_at_the_end_is_answered(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    world_start(&w);
    for (int i = 0; i < 4; i++)
        resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
    resolver_ask(w.resolver, RESOLVE_KEYS, SPAN("t"), on_answer, &w);
    loop_turn(w.loop);
    resolver_free(TAKE(w.resolver));
    assert_int_equal(w.answers, 5);
    assert_int_equal(w.st, ST_UNREACHABLE);
    world_done(&w);
}

/* Clients bring as many tokens as they like while the authorization server is away. */
static void a_server_that_is_away_does_not_fill_the_log(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.config.log_rate = 1;
    w.code = 500;
    world_start(&w);
    log_failed = log_left_out = 0;
    for (int i = 0; i < 30; i++) {
        int before = w.answers;
        resolver_ask(w.resolver, RESOLVE_INTROSPECT, SPAN("t"), on_answer, &w);
        WAIT_FOR(w.loop, w.answers == before + 1);
    }
    WAIT_FOR(w.loop, log_failed + log_left_out == 30);
    assert_true(log_failed < 10);
    world_done(&w);
}

static void look_for_keys(void *ctx, enum log_level level, struct span line)
{
    char text[512];
    (void)ctx;
    (void)level;
    (void)snprintf(text, sizeof text, "%.*s", SPAN_FMT(line));
    const char *at = strstr(text, " keys=");
    if (strstr(text, "jwks_fetched") != NULL && at != NULL)
        log_keys = at[6] - '0';
    log_failed += strstr(text, " introspection_failed ") != NULL;
    at = strstr(text, " event=introspection_failed count=");
    if (at != NULL)
        log_left_out += (int)strtol(at + strlen(" event=introspection_failed count="), NULL, 10);
}

static int set_up(void **state)
{
    (void)state;
    test_cert_files_make(&files);
    (void)snprintf(secret_file, sizeof secret_file, "%s/secret", files.folder);
    (void)snprintf(jwks_file, sizeof jwks_file, "%s/none.json", files.folder);
    log_set_sink(look_for_keys, NULL);
    log_set_level(LOG_INFO);
    return file_create(secret_file, SPAN("secret\n"), 0600, NULL) == ST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(secret_file);
    test_cert_files_remove(&files);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_fetched_at_the_start_and_published),
        cmocka_unit_test(all_who_miss_a_key_share_one_fetch_and_the_next_has_to_wait),
        cmocka_unit_test(a_key_made_after_the_fetch_at_the_start_is_asked_for_at_once),
        cmocka_unit_test(keys_that_cannot_be_fetched_leave_the_door_closed),
        cmocka_unit_test(keys_from_somebody_else_are_not_taken),
        cmocka_unit_test(what_is_no_key_set_is_not_taken),
        cmocka_unit_test(a_reload_keeps_fetched_keys_and_reads_files_again),
        cmocka_unit_test(keys_are_fetched_again_only_if_they_changed),
        cmocka_unit_test(a_server_may_ask_for_its_keys_to_be_fetched_sooner),
        cmocka_unit_test(only_pinned_keys_are_taken),
        cmocka_unit_test(a_server_with_another_key_than_the_pinned_one_is_not_asked),
        cmocka_unit_test(a_reference_is_looked_up_with_our_credentials),
        cmocka_unit_test(an_issuer_may_call_us_by_a_name_of_its_own),
        cmocka_unit_test(answers_that_are_wrong_in_any_way_are_no_token),
        cmocka_unit_test(an_answer_without_end_is_cut_off),
        cmocka_unit_test(an_answer_that_does_not_come_is_waited_for_only_so_long),
        cmocka_unit_test(a_cwt_is_asked_about_as_text),
        cmocka_unit_test(an_inactive_token_is_refused),
        cmocka_unit_test(no_usable_answer_is_no_token),
        cmocka_unit_test(too_many_waiting_are_refused_and_the_others_served),
        cmocka_unit_test(whoever_waits_at_the_end_is_answered),
        cmocka_unit_test(a_server_that_is_away_does_not_fill_the_log),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
