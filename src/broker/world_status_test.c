/* What authorization servers say of tokens, between a server of the test's own, the token store and real workers on real
 * threads. Sessions are not here: tests/scenarios/revocation_test.c has them. */
#include "broker/world_status.h"

#include "base/log.h"
#include "broker/issuers.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "jose/jwk.h"
#include "net/file.h"
#include "net/http_server.h"
#include "net/test_certs.h"
#include "shard/token_store.h"
#include "token/token.h"
#include "token/verifier.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#include "net/test_wait.h"

#define WORKERS  3
#define ISSUER   "https://as.example"
#define AUDIENCE "broker.example"

static struct test_cert_files files;
static char secret_file[128];

struct world {
    struct loop *loop;
    struct http_server *server;
    uint16_t port;
    char uri[64], introspection_uri[64];
    char *audiences[1];
    struct as_config as;
    struct broker_config config;
    struct verifier *verifier;
    struct resolver *resolver;
    struct token_store *store;
    struct shard_settings shard;
    struct worker_common common;
    struct world_status *status;

    struct buf full; /* what the list says */
    struct http_later *later;
    int introspections;
};

static void on_gone(void *ctx)
{
    struct world *w = ctx;
    w->later = NULL;
}

static void serve(void *ctx, const struct http_request *request, struct http_reply *reply)
{
    struct world *w = ctx;
    if (!span_eq_str(request->path, "/trl")) {
        w->introspections++;
        put_str(&reply->body, "{\"active\":false}");
    } else if (http_request_header(request, "Prefer").len > 0) {
        w->later = http_later_new(request, on_gone, w);
    } else if (http_request_query(request, "cursor").p != NULL) {
        put_fmt(&reply->body, "{\"diff_set\":[],\"cursor\":%.*s,\"more\":false}",
                SPAN_FMT(http_request_query(request, "cursor")));
    } else {
        put_bytes(&reply->body, buf_span(&w->full));
    }
}

static void serve_again(struct world *w)
{
    struct http_server_settings settings = {
        .address = "127.0.0.1", .port = w->port, .cert_file = files.cert, .key_file = files.key
    };
    assert_int_equal(http_server_new(w->loop, &settings, serve, w, &w->server, NULL), ST_OK);
    w->port = http_server_port(w->server);
}

static void no_verifier(void *ctx, struct verifier *verifier)
{
    (void)ctx;
    (void)verifier;
}

static void start_broker(struct world *w)
{
    static const uint8_t secret[TOKEN_STORE_SECRET_LEN] = { 7 };
    struct token_store_limits limits;
    token_store_limits_init(&limits);
    assert_int_equal(token_store_new(&limits, secret, &w->store), ST_OK);
    shard_settings_init(&w->shard);
    w->shard.tokens = w->store;
    w->common = (struct worker_common){ .count = WORKERS, .settings = &w->shard, .handshake_ms = 300000 };
    assert_int_equal(issuers_verifier(&w->config, &w->verifier, NULL), ST_OK);
    assert_int_equal(resolver_new(w->loop, &w->config, w->verifier, no_verifier, w, &w->resolver, NULL), ST_OK);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(worker_new(&w->common, i, w->verifier, NULL), ST_OK);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(worker_start(w->common.workers[i], NULL), ST_OK);
    assert_int_equal(world_status_new(w->loop, &w->config, w->resolver, w->store, &w->common, &w->status, NULL),
                     ST_OK);
    assert_non_null(w->status);
    assert_int_equal(world_status_start(w->status, NULL), ST_OK);
}

static void world_init(struct world *w)
{
    static char audience[] = AUDIENCE, issuer[] = ISSUER, client_id[] = "broker";
    *w = (struct world){ .audiences = { audience } };
    assert_int_equal(loop_new(&w->loop, NULL), ST_OK);
    serve_again(w);
    buf_init(&w->full, 1 << 20);
    put_str(&w->full, "{\"full_set\":[],\"cursor\":1}");
    (void)snprintf(w->uri, sizeof w->uri, "https://localhost:%u/trl", w->port);
    (void)snprintf(w->introspection_uri, sizeof w->introspection_uri, "https://localhost:%u/introspect",
                   w->port);
    w->as = (struct as_config){ .issuer = issuer,
                                .ca = files.ca,
                                .introspection_uri = w->introspection_uri,
                                .revocation_uri = w->uri,
                                .client_id = client_id,
                                .client_secret_file = secret_file };
    w->config = (struct broker_config){ .authorization_servers = { &w->as, 1 },
                                        .audiences = { w->audiences, 1 },
                                        .jwks_interval_s = 600,
                                        .as_timeout_ms = 60000,
                                        .as_max_concurrent = 2,
                                        .as_max_waiting = 3,
                                        .revocation_wait_s = 30,
                                        .revocation_poll_ms = 100 };
}

static void world_done(struct world *w)
{
    for (unsigned i = 0; i < WORKERS; i++)
        worker_stop(w->common.workers[i]);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_join(w->common.workers[i]);
    world_status_stop(w->status);
    resolver_free(w->resolver);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_free(w->common.workers[i]);
    http_server_free(w->server);
    loop_free(w->loop);
    world_status_free(w->status);
    verifier_unref(w->verifier);
    token_store_free(w->store);
    buf_done(&w->full);
}

/* Hash number n: n in every byte. */
static const uint8_t *hash_of(uint8_t n)
{
    static uint8_t hash[TOKEN_HASH_LEN];
    memset(hash, n, sizeof hash);
    return hash;
}

static bool is_changed(const struct world *w, const uint8_t *hash)
{
    struct token seen_before = { 0 };
    memcpy(seen_before.hash, hash, sizeof seen_before.hash);
    return token_store_is_stale(w->store, &seen_before);
}

static void put_hash(struct buf *out, uint8_t n)
{
    uint8_t entry[1 + TOKEN_HASH_LEN];
    entry[0] = 1;
    memcpy(entry + 1, hash_of(n), TOKEN_HASH_LEN);
    put_u8(out, '"');
    base64url_encode(span_of(entry, sizeof entry), out);
    put_u8(out, '"');
}

/* A change: %: one of the numbers, as a hash. */
static void push(struct world *w, const char *format, const uint8_t *numbers)
{
    struct http_reply *reply = http_later_reply(w->later);
    for (; *format != '\0'; format++) {
        if (*format == '%')
            put_hash(&reply->body, *numbers++);
        else
            put_u8(&reply->body, (uint8_t)*format);
    }
    struct http_later *later = w->later;
    w->later = NULL;
    http_later_send(later);
}

static void what_the_list_says_is_in_the_store_at_once(void **state) /* RFC 9770 10, AF-98 */
{
    struct world w;
    (void)state;
    world_init(&w);
    buf_reset(&w.full);
    put_str(&w.full, "{\"cursor\":1,\"full_set\":[");
    put_hash(&w.full, 1);
    put_str(&w.full, "],\"changed\":[");
    put_hash(&w.full, 2);
    put_str(&w.full, "]}");
    start_broker(&w);
    WAIT_FOR(w.loop, w.later != NULL);
    assert_true(token_store_is_revoked(w.store, hash_of(1)));
    assert_false(token_store_is_revoked(w.store, hash_of(2)));
    assert_true(is_changed(&w, hash_of(2)));
    push(&w, "{\"diff_set\":[[[],[%]]],\"cursor\":2,\"more\":false,\"changed\":[%,%]}",
         (const uint8_t[]){ 3, 4, 5 });
    WAIT_FOR(w.loop, token_store_is_revoked(w.store, hash_of(3)));
    WAIT_FOR(w.loop, is_changed(&w, hash_of(5)));
    WAIT_FOR(w.loop, w.later != NULL);
    assert_int_equal(w.introspections, 0); /* no session rests on any of them */
    world_done(&w);
}

/* It leaves the list when it is over by the issuer's clock; ours may be behind. */
static void what_left_the_list_stays_revoked_for_a_while(void **state) /* RFC 9770 10 */
{
    struct world w;
    struct now now;
    (void)state;
    world_init(&w);
    start_broker(&w);
    WAIT_FOR(w.loop, w.later != NULL);
    push(&w, "{\"diff_set\":[[[],[%,%]]],\"cursor\":2,\"more\":false}", (const uint8_t[]){ 1, 2 });
    WAIT_FOR(w.loop, w.later != NULL);
    push(&w, "{\"diff_set\":[[[%,%],[]]],\"cursor\":3,\"more\":false}", (const uint8_t[]){ 1, 9 });
    WAIT_FOR(w.loop, w.later != NULL);
    now = loop_now(w.loop);
    now.wall.s += 1800;
    token_store_purge(w.store, now);
    assert_true(token_store_is_revoked(w.store, hash_of(1)));
    now.wall.s += 3600;
    token_store_purge(w.store, now);
    assert_false(token_store_is_revoked(w.store, hash_of(1)));
    assert_true(token_store_is_revoked(w.store, hash_of(2)));
    assert_false(token_store_is_revoked(w.store, hash_of(9)));
    world_done(&w);
}

static struct token *some_token(struct world *w)
{
    struct token *token = NULL;
    struct key *key = NULL;
    struct js *jwk = NULL;
    struct buf body;
    buf_init(&body, 4096);
    assert_int_equal(key_generate(KEY_ED25519, &key), ST_OK);
    assert_int_equal(jwk_print(key, SPAN_NONE, NULL, false, &jwk), ST_OK);
    put_fmt(&body, "{\"active\":true,\"aud\":\"" AUDIENCE "\",\"exp\":%lld,\"cnf\":{\"jwk\":",
            (long long)now_read().wall.s + 600);
    assert_int_equal(js_print(jwk, &body), ST_OK);
    put_str(&body, "}}");
    assert_int_equal(token_from_introspection(buf_span(&body), SPAN("t"), SPAN(ISSUER), w->verifier,
                                              now_read().wall, &token, NULL),
                     ST_OK);
    buf_done(&body);
    js_unref(jwk);
    key_unref(key);
    return token;
}

static bool is_accepted(struct world *w, const struct token *token)
{
    struct token_term term;
    struct why why;
    return token_store_accept(w->store, token, loop_now(w->loop), &term, &why) == ST_OK;
}

static void an_issuer_that_is_not_heard_is_suspended_until_it_is(void **state) /* revocation.max_stale */
{
    struct world w;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    (void)state;
    world_init(&w);
    w.config.revocation_max_stale_s = 1;
    w.config.revocation_wait_s = 1; /* asked again, and so heard, in time */
    start_broker(&w);
    token = some_token(&w);
    WAIT_FOR(w.loop, w.later != NULL);
    assert_true(is_accepted(&w, token));
    http_server_free(w.server);
    w.server = NULL;
    WAIT_FOR(w.loop, !is_accepted(&w, token));
    serve_again(&w);
    WAIT_FOR(w.loop, is_accepted(&w, token));
    world_done(&w);
}

static void a_broker_may_stop_in_the_middle_of_it(void **state)
{
    for (int turns = 0; turns < 6; turns++) {
        struct world w;
        uint8_t numbers[40];
        world_init(&w);
        start_broker(&w);
        WAIT_FOR(w.loop, w.later != NULL);
        for (unsigned i = 0; i < sizeof numbers; i++)
            numbers[i] = (uint8_t)(i + 1);
        push(&w,
             "{\"diff_set\":[],\"cursor\":2,\"more\":false,\"changed\":[%,%,%,%,%,%,%,%,%,%,%,%,%,%,%,%,%,%,%,%"
             ",%,%,%,%,%,"
             "%,%,%,%,%,%,%,%,%,%,%,%,%,%,%]}",
             numbers);
        WAIT_FOR(w.loop, is_changed(&w, hash_of(40)));
        for (int i = 0; i < turns; i++)
            loop_turn(w.loop);
        world_done(&w);
    }
    (void)state;
}

static void where_no_list_is_configured_there_is_nothing_to_do(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    w.as.revocation_uri = NULL;
    assert_int_equal(world_status_new(w.loop, &w.config, NULL, NULL, &w.common, &w.status, NULL), ST_OK);
    assert_null(w.status);
    assert_int_equal(world_status_start(w.status, NULL), ST_OK);
    world_status_stop(w.status);
    http_server_free(w.server);
    loop_free(w.loop);
    buf_done(&w.full);
}

static void nothing(void *ctx, enum log_level level, struct span line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

static int set_up(void **state)
{
    (void)state;
    test_cert_files_make(&files);
    (void)snprintf(secret_file, sizeof secret_file, "%s/secret", files.folder);
    log_set_sink(nothing, NULL);
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
        cmocka_unit_test(what_the_list_says_is_in_the_store_at_once),
        cmocka_unit_test(what_left_the_list_stays_revoked_for_a_while),
        cmocka_unit_test(an_issuer_that_is_not_heard_is_suspended_until_it_is),
        cmocka_unit_test(a_broker_may_stop_in_the_middle_of_it),
        cmocka_unit_test(where_no_list_is_configured_there_is_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
