/* Requests to the authorization server for tokens, or about them: HTTP/1.1, kept alive, one request at a time per
 * connection. In the body @CLIENT@ and @SECRET@ become the next account's (a file of "client_id secret" lines, taken
 * round), @ASSERTION@ a fresh private_key_jwt assertion (RFC 7523) of that client. The tokens that come back can be kept
 * as a file for the scenarios that log in with them, and to be asked about: there @TOKEN@ is the first word of a line. */
#include "base/clock.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "crypto/random.h"
#include "token/assertion.h"
#include "token_bench.h"

#include <stdio.h>
#include <stdlib.h>

#define RESPONSE_MAX   (1u << 20)
#define HEAD_END       "\r\n\r\n"
#define DRAIN_LIMIT_NS (5 * SECOND_NS)

struct grants;

struct asker {
    struct link link;
    struct grants *grants;
    int64_t asked_ns;
};

struct account {
    char *client_id, *secret; /* or a token and the kind of its key */
};

struct grants {
    struct bench *bench;
    struct account *accounts;
    size_t accounts_count, next_account;
    struct key *key; /* of the client, for assertions; or NULL */
    FILE *out;
    const char *expected; /* in each answer, or it counts for nothing */
    uint64_t granted;
    bool stopping, measuring;
    struct histogram latency;
};

static void put_assertion(struct grants *grants, const char *client_id, struct buf *body)
{
    const struct options *o = grants->bench->options;
    CLEANUP(buf_done)
    struct buf jti;
    uint8_t random[16];
    struct assertion_claims claims = { .typ = ASSERTION_TYP_CLIENT,
                                       .iss = span_of_str(client_id),
                                       .sub = span_of_str(client_id),
                                       .aud = span_of_str(o->issuer),
                                       .iat = now_read().wall,
                                       .lifetime_s = 60 };

    buf_init(&jti, 64);
    if (random_bytes(random, sizeof random) != ST_OK)
        die("no random bytes");
    base64url_encode(span_of(random, sizeof random), &jti);
    claims.jti = buf_span(&jti);
    if (assertion_sign(&claims, grants->key, SPAN_NONE, body) != ST_OK)
        die("no assertion could be signed");
}

static void put_body(struct grants *grants, struct buf *body)
{
    const struct account *account = &grants->accounts[grants->next_account++ % grants->accounts_count];
    const char *at = grants->bench->options->body;

    for (const char *mark = strchr(at, '@'); mark != NULL; mark = strchr(at, '@')) {
        put_bytes(body, span_of(at, (size_t)(mark - at)));
        at = strchr(mark + 1, '@');
        if (at == NULL)
            die("an @ without a partner in the body");
        struct span name = span_of(mark + 1, (size_t)(at++ - mark - 1));
        if (span_eq_str(name, "CLIENT") || span_eq_str(name, "TOKEN"))
            put_str(body, account->client_id);
        else if (span_eq_str(name, "SECRET"))
            put_str(body, account->secret);
        else if (span_eq_str(name, "ASSERTION") && grants->key != NULL)
            put_assertion(grants, account->client_id, body);
        else
            die("@%.*s@ cannot be filled in", SPAN_FMT(name));
    }
    put_str(body, at);
}

static void ask(struct asker *asker)
{
    struct buf *out = link_plain(&asker->link);
    CLEANUP(buf_done)
    struct buf body;

    buf_init(&body, 65536);
    put_body(asker->grants, &body);
    put_fmt(out,
            "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: %zu\r\n\r\n",
            asker->grants->bench->options->path, body.len);
    put_bytes(out, buf_span(&body));
    link_packet_done(&asker->link);
    asker->asked_ns = link_now();
}

/* Content-Length of a complete head, which the caller cuts off; the AS never answers without one. */
static size_t content_length(struct span head)
{
    char text[4096];
    snprintf(text, sizeof text, "%.*s", SPAN_FMT(head));
    const char *line = strcasestr(text, "\r\ncontent-length:");
    if (strncmp(text, "HTTP/1.1 ", 9) != 0 || line == NULL)
        die("not the HTTP expected: %.60s", text);
    return strtoul(line + strlen("\r\ncontent-length:"), NULL, 10);
}

/* One line per token: the token, the kind of its proof key, the key in hex. */
static void keep_token(struct grants *grants, struct span json)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(buf_wipe)
    struct buf secret;
    struct span token, k;
    const char *kind = "oct";

    if (js_parse(json, RESPONSE_MAX, &js, NULL) != ST_OK || !js_get_str(js, "access_token", &token))
        die("an answer without access_token");
    buf_init(&secret, KEY_SECRET_MAX);
    if (js_get_str(js_get(js_get(js, "cnf"), "jwk"), "k", &k)) {
        if (base64url_decode(k, &secret, NULL) != ST_OK)
            die("a key that is not base64url");
    } else if (grants->key != NULL) {
        kind = key_kind_name(key_kind(grants->key));
        put_bytes(&secret, key_d(grants->key));
    } else {
        die("a token whose key nobody here has");
    }
    fprintf(grants->out, "%.*s %s ", SPAN_FMT(token), kind);
    for (size_t i = 0; i < secret.len; i++)
        fprintf(grants->out, "%02x", secret.p[i]);
    fputc('\n', grants->out);
}

static size_t asker_data(struct link *link, struct span in)
{
    struct asker *asker = CONTAINER_OF(link, struct asker, link);
    struct grants *grants = asker->grants;
    const uint8_t *end = memmem(in.p, in.len, HEAD_END, strlen(HEAD_END));

    if (end == NULL)
        return 0;
    size_t head_len = (size_t)(end - in.p) + strlen(HEAD_END);
    size_t body_len = content_length(span_cut(in, 0, head_len));
    if (in.len < head_len + body_len)
        return 0;
    struct span body = span_cut(in, head_len, body_len);
    if (memcmp(in.p + strlen("HTTP/1.1 "), "20", 2) != 0)
        die("the server says %.*s %.*s", 3, in.p + strlen("HTTP/1.1 "), SPAN_FMT(body));
    if (memmem(body.p, body.len, grants->expected, strlen(grants->expected)) == NULL)
        die("without %s: %.*s", grants->expected, SPAN_FMT(body));
    grants->granted++;
    if (grants->measuring)
        histogram_add(&grants->latency, link_now() - asker->asked_ns);
    if (grants->out != NULL)
        keep_token(grants, body);
    if (grants->stopping)
        link_close(link, NULL);
    else
        ask(asker);
    return head_len + body_len;
}

static void asker_opened(struct link *link)
{
    ask(CONTAINER_OF(link, struct asker, link));
}

static void asker_closed(struct link *link UNUSED, const char *reason)
{
    if (reason != NULL)
        die("connection to the server lost: %s", reason);
}

static const struct link_events asker_events = { asker_opened, asker_data, asker_closed };

static void turn_until(struct link_loop *loop, int64_t until)
{
    while (link_now() < until)
        link_loop_turn(loop, SECOND_NS / 20);
}

static void read_accounts(struct grants *grants, const char *file)
{
    FILE *f = fopen(file, "r");
    char *line = NULL;
    size_t line_size = 0;

    if (f == NULL)
        die("cannot read %s", file);
    while (getline(&line, &line_size, f) > 0) {
        size_t n = grants->accounts_count;
        char *space = strchr(line, ' ');
        if (space == NULL)
            die("%s: lines of client and secret are wanted", file);
        if ((n & (n - 1)) == 0) { /* full: 0, 1, 2, 4, ... */
            grants->accounts = realloc(grants->accounts, (n == 0 ? 1 : 2 * n) * sizeof *grants->accounts);
            if (grants->accounts == NULL)
                die("out of memory");
        }
        struct account *account = &grants->accounts[grants->accounts_count++];
        account->client_id = strndup(line, (size_t)(space - line));
        account->secret = strndup(space + 1, strcspn(space + 1, "\n"));
        if (account->client_id == NULL || account->secret == NULL)
            die("out of memory");
    }
    free(line);
    fclose(f);
    if (grants->accounts_count == 0)
        die("%s is empty", file);
}

static void grants_open(struct grants *grants, struct bench *bench)
{
    const struct options *o = bench->options;
    CLEANUP(buf_wipe)
    struct buf pem;
    char chunk[4096];
    size_t n;

    buf_init(&pem, KEY_PEM_MAX);
    grants->bench = bench;
    read_accounts(grants, o->accounts_file);
    if (o->out_file != NULL && (grants->out = fopen(o->out_file, "w")) == NULL)
        die("cannot write %s", o->out_file);
    if (o->key_file == NULL)
        return;
    FILE *f = fopen(o->key_file, "r");
    while (f != NULL && (n = fread(chunk, 1, sizeof chunk, f)) > 0)
        put_bytes(&pem, span_of(chunk, n));
    if (f == NULL || key_read_pem(buf_span(&pem), &grants->key, NULL) != ST_OK)
        die("no key in %s", o->key_file);
    fclose(f);
}

/* `unit` is what one good answer is called, `expected` what tells it. */
static void run_requests(struct bench *bench, const char *scenario, const char *unit, const char *expected)
{
    const struct options *o = bench->options;
    struct asker *askers = calloc(o->clients, sizeof *askers);
    struct grants *grants = calloc(1, sizeof *grants);

    if (askers == NULL || grants == NULL || o->body == NULL || o->accounts_file == NULL)
        die("%s needs a body and accounts", scenario);
    grants_open(grants, bench);
    grants->expected = expected;
    for (size_t i = 0; i < o->clients; i++) {
        askers[i].grants = grants;
        link_init(&askers[i].link, &bench->loop, &asker_events, 1);
        link_open(&askers[i].link);
    }
    turn_until(&bench->loop, link_now() + (int64_t)(o->warmup_s * 1e9));
    grants->measuring = true;
    uint64_t before = grants->granted;
    struct reading from = take_reading(bench);
    turn_until(&bench->loop, from.at_ns + (int64_t)(o->seconds * 1e9));
    struct reading to = take_reading(bench);
    uint64_t granted = grants->granted - before;
    grants->measuring = false;
    grants->stopping = true;
    for (int64_t until = link_now() + DRAIN_LIMIT_NS; bench->loop.open > 0 && link_now() < until;)
        link_loop_turn(&bench->loop, SECOND_NS / 20);
    print_head(scenario, bench, from, to);
    printf(",\"%ss\":%llu,\"per_s\":%.0f,\"us_per_%s\":%.1f", unit, (unsigned long long)granted,
           (double)granted * 1e9 / (double)(to.at_ns - from.at_ns), unit,
           granted == 0 ? 0.0 : (to.process.cpu_s - from.process.cpu_s) * 1e6 / (double)granted);
    print_latency(&grants->latency);
    printf("}\n");
    if (grants->out != NULL && fclose(grants->out) != 0)
        die("cannot write %s", o->out_file);
    key_unref(grants->key);
    for (size_t i = 0; i < grants->accounts_count; i++) {
        free(grants->accounts[i].client_id);
        free(grants->accounts[i].secret);
    }
    free(grants->accounts);
    free(grants);
    free(askers);
}

void scenario_grants(struct bench *bench)
{
    run_requests(bench, "grants", "grant", "\"access_token\"");
}

void scenario_introspect(struct bench *bench)
{
    run_requests(bench, "introspect", "introspection", "\"active\":true");
}
