/* What the status of tokens costs an authorization server with many of them: status_bench [TOKENS [REVOKED]], in a
 * scratch database on disk. One line per figure. */
#include "as/as_priv.h"
#include "as/schema.h"
#include "as/status.h"
#include "base/log.h"
#include "codec/base64.h"
#include "crypto/random.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS  1000
#define SERVERS  10
#define BATCH    10000 /* rows per transaction while the table is filled */
#define START    1800000000
#define AUDIENCE "broker.example/%d"

struct bench {
    struct as *as;
    struct sql *sql;
    struct signer *signer;
    struct key *pop_master;
    struct as_settings settings;
    struct now now;
    char secret[128]; /* of the resource server "rs0" */
    char dir[64];
};

static void must(enum status st, const char *doing)
{
    if (st == ST_OK)
        return;
    fprintf(stderr, "%s: %s\n", doing, status_name(st));
    exit(1);
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void quiet(void *ctx UNUSED, enum log_level level UNUSED, struct span line UNUSED)
{
}

static void say(const char *what, double s, const char *more)
{
    printf("%-58s %10.3f ms%s%s\n", what, s * 1e3, more[0] != '\0' ? "  " : "", more);
    fflush(stdout);
}

static struct js *admin(struct bench *b, const char *line)
{
    struct js *answer = NULL;
    struct buf out;
    bool ok = false;

    buf_init(&out, AS_ADMIN_REPLY_MAX);
    as_admin(b->as, span_of_str(line), SPAN("bench"), b->now, &out);
    must(js_parse(buf_span(&out), AS_ADMIN_REPLY_MAX, &answer, NULL), line);
    buf_done(&out);
    if (!js_get_bool(answer, "ok", &ok) || !ok)
        must(ST_INTERNAL, line);
    return answer;
}

static void begin(struct bench *b)
{
    char path[128], line[512];
    struct span secret;

    snprintf(b->dir, sizeof b->dir, "/tmp/status_bench.XXXXXX");
    if (mkdtemp(b->dir) == NULL)
        must(ST_IO, "mkdtemp");
    b->now = (struct now){ { 1000 }, { START } };
    b->settings = (struct as_settings){ .token_lifetime_s = 3600,
                                        .token_max = 100000000,
                                        .token_max_per_client = 1000000,
                                        .auth_failures_per_minute = 10,
                                        .auth_proof_max_age_s = 300,
                                        .auth_replay_max = 1000 };
    snprintf(path, sizeof path, "%s/as.db", b->dir);
    must(sql_open(path, 0, &b->sql, NULL), "open");
    must(as_schema(b->sql, NULL), "schema");
    snprintf(path, sizeof path, "%s/keys", b->dir);
    must(signer_local_new(path, b->sql, b->now.wall, &b->signer, NULL), "keys");
    must(key_generate(KEY_SECRET, &b->pop_master), "key");
    const struct as_parts parts = { .sql = b->sql,
                                    .signer = b->signer,
                                    .settings = &b->settings,
                                    .issuer = "https://as.example",
                                    .pop_master = b->pop_master,
                                    .env = { .random = random_for_env } };
    must(as_new(&parts, b->now, &b->as, NULL), "as");
    for (int i = 0; i < SERVERS; i++) {
        snprintf(line, sizeof line, "{\"cmd\":\"rs.add\",\"audience\":\"" AUDIENCE "\",\"rs_id\":\"rs%d\"}", i,
                 i);
        struct js *answer = admin(b, line);
        if (i == 0 && js_get_str(answer, "rs_secret", &secret))
            snprintf(b->secret, sizeof b->secret, "%.*s", SPAN_FMT(secret));
        js_unref(answer);
        for (int rule = 0; rule < 2; rule++) {
            snprintf(line, sizeof line,
                     "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"" AUDIENCE
                     "\",\"filter\":\"%s\",\"permissions\":[\"pub\",\"sub\"]}",
                     i, rule == 0 ? "devices/${client_id}/#" : "shared/#");
            js_unref(admin(b, line));
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(line, sizeof line, "{\"cmd\":\"client.add\",\"client_id\":\"client-%d\"}", i);
        js_unref(admin(b, line));
    }
}

static void jti_of(int64_t i, char jti[32])
{
    uint8_t hash[SHA256_LEN];
    struct buf text;

    must(sha256(span_of(&i, sizeof i), hash), "hash");
    buf_init(&text, 32);
    base64url_encode(span_of(hash, 16), &text);
    memcpy(jti, text.p, text.len);
    jti[text.len] = '\0';
    buf_done(&text);
}

static void fill(struct bench *b, int64_t tokens)
{
    char jti[32], client[32], rs[16], audience[64], scope[256];
    uint8_t hash[SHA256_LEN];
    double from = seconds();

    for (int64_t i = 0; i < tokens; i++) {
        if (i % BATCH == 0)
            must(sql_begin(b->sql, NULL), "begin");
        jti_of(i, jti);
        must(sha256(span_of_str(jti), hash), "hash");
        snprintf(client, sizeof client, "client-%d", (int)(i % CLIENTS));
        snprintf(rs, sizeof rs, "rs%d", (int)(i / CLIENTS % SERVERS));
        snprintf(audience, sizeof audience, AUDIENCE, (int)(i / CLIENTS % SERVERS));
        snprintf(scope, sizeof scope, "[[\"devices/%s/#\",[\"pub\",\"sub\"]],[\"shared/#\",[\"pub\",\"sub\"]]]",
                 client);
        const struct token_row row = { .jti = span_of_str(jti),
                                       .hash = span_of(hash, sizeof hash),
                                       .client_id = span_of_str(client),
                                       .rs_id = span_of_str(rs),
                                       .audience = span_of_str(audience),
                                       .format = SPAN("jwt"),
                                       .scope = span_of_str(scope),
                                       .pop_kid = SPAN("kid"),
                                       .profile = SPAN("mqtt_tls"),
                                       .issued_at = START,
                                       .expires_at = START + 3600 };
        must(token_row_add(b->sql, &row, NULL), "token");
        if (i % BATCH == BATCH - 1 || i == tokens - 1)
            must(sql_commit(b->sql, NULL), "commit");
    }
    say("(filling the table, per 1,000 tokens)", (seconds() - from) * 1000 / (double)tokens, "");
}

static struct span query_of(void *ctx, const char *name)
{
    const char *const *query = ctx;

    return query[0] != NULL && strcmp(name, "diff") == 0     ? span_of_str(query[0])
           : query[1] != NULL && strcmp(name, "cursor") == 0 ? span_of_str(query[1])
                                                             : SPAN_NONE;
}

static void ask(struct bench *b, const char *what, const char *diff, const char *cursor, const char *accept)
{
    const char *query[] = { diff, cursor };
    char pair[256], more[64];
    struct as_response out;
    struct buf basic;
    const int times = 20;

    snprintf(pair, sizeof pair, "rs0:%s", b->secret);
    buf_init(&basic, 512);
    put_str(&basic, "Basic ");
    base64_encode(span_of_str(pair), &basic);
    const struct as_request request = { .method = SPAN("GET"),
                                        .path = SPAN("/trl"),
                                        .authorization = buf_span(&basic),
                                        .peer = SPAN("192.0.2.1"),
                                        .accept = span_of_str(accept),
                                        .query = query_of,
                                        .query_ctx = query };
    double from = seconds();
    for (int i = 0; i < times; i++) {
        as_answer(b->as, &request, b->now, &out);
        if (out.code != 200)
            must(ST_INTERNAL, what);
        snprintf(more, sizeof more, "%zu bytes", out.body.len);
        as_response_done(&out);
    }
    say(what, (seconds() - from) / times, more);
    buf_done(&basic);
}

static void revoke_some(struct bench *b, int64_t count)
{
    char jti[32], line[128];
    double from = seconds();

    for (int64_t i = 0; i < count; i++) { /* all of rs0: the i-th group of CLIENTS goes to rs (i % SERVERS) */
        jti_of(i / CLIENTS * CLIENTS * SERVERS + i % CLIENTS, jti);
        snprintf(line, sizeof line, "{\"cmd\":\"token.revoke\",\"jti\":\"%s\"}", jti);
        js_unref(admin(b, line));
    }
    say("token.revoke of one token, with its audit entry", (seconds() - from) / (double)count, "");
}

static void review(struct bench *b, const char *what, const char *line)
{
    double from = seconds(), longest = 0, one;
    char more[96];
    int64_t looked = 0;
    int slices = 0;
    struct js *answer = admin(b, line);

    one = seconds() - from;
    js_get_i64(answer, "tokens_queued", &looked);
    js_unref(answer);
    say(what, one, "until it is answered");
    for (bool more_work = true; more_work; slices++) {
        double begun = seconds();
        more_work = as_work(b->as, b->now);
        longest = seconds() - begun > longest ? seconds() - begun : longest;
    }
    double all = seconds() - from;
    snprintf(more, sizeof more, "%lld tokens looked at, %.0f a second, longest slice %.1f ms",
             (long long)looked, (double)looked / all, longest * 1e3);
    say("  ... and until the last token", all, more);
}

static int remove_one(const char *path, const struct stat *about UNUSED, int type UNUSED, struct FTW *at UNUSED)
{
    return remove(path);
}

int main(int argc, char **argv)
{
    const int64_t tokens = argc > 1 ? strtoll(argv[1], NULL, 10) : 1000000;
    const int64_t revoked = argc > 2 ? strtoll(argv[2], NULL, 10) : 10000;
    struct bench b = { 0 };

    log_set_sink(quiet, NULL);
    begin(&b);
    fill(&b, tokens);
    revoke_some(&b, revoked);
    ask(&b, "full query, JSON", NULL, NULL, NULL);
    ask(&b, "full query, CBOR", NULL, NULL, "application/ace-trl+cbor");
    char last[32];
    snprintf(last, sizeof last, "%lld", (long long)revoked - 1);
    ask(&b, "diff query, nothing new", "0", last, NULL);
    snprintf(last, sizeof last, "%lld", (long long)revoked - 2);
    ask(&b, "diff query, one change", "0", last, NULL);
    snprintf(last, sizeof last, "%lld", (long long)revoked - 101);
    if (revoked > 100)
        ask(&b, "diff query, 100 changes", "0", last, NULL);
    review(
        &b, "policy.deny that narrows the tokens of one client",
        "{\"cmd\":\"policy.deny\",\"subject\":\"client:client-1\",\"audience\":\"broker.example/1\",\"filter\":"
        "\"shared/a\",\"permissions\":[\"sub\"]}");
    review(&b, "policy.deny that touches no token of a resource server",
           "{\"cmd\":\"policy.deny\",\"subject\":\"any\",\"audience\":\"broker.example/2\",\"filter\":"
           "\"elsewhere\",\"permissions\":[\"sub\"]}");
    review(&b, "policy.deny that narrows all tokens of a resource server",
           "{\"cmd\":\"policy.deny\",\"subject\":\"any\",\"audience\":\"broker.example/3\",\"filter\":"
           "\"shared/b\",\"permissions\":[\"sub\"]}");
    review(&b, "token.revoke of all tokens of a resource server",
           "{\"cmd\":\"token.revoke\",\"rs_id\":\"rs4\"}");
    as_free(b.as);
    signer_free(b.signer);
    key_unref(b.pop_master);
    sql_close(b.sql);
    return nftw(b.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : 1;
}
