#include "broker/resolver.h"

#include "broker/issuers.h"
#include "codec/base64.h"
#include "jose/jwks.h"
#include "net/file.h"
#include "net/http_client.h"
#include "token/verifier.h"

#include <stdio.h>
#include <stdlib.h>

#define SECRET_FILE_MAX 1024

/* One configured authorization server. */
struct server {
    struct resolver *resolver;
    const struct as_config *config;
    char *client_secret; /* wiped when freed */
    struct http_pending *fetch;
    struct mono_time last_asked;  /* when an unknown key last made us fetch */
    struct jwks *jwks;            /* as last fetched, or NULL */
    char etag[HTTP_ETAG_MAX + 1]; /* of that answer; "": none */
    struct mono_time due;         /* the next fetch without a reason */
    int64_t fresh_s;              /* how long it may be used, as the server says; -1: it does not say */
};

struct question {
    struct list link; /* resolver->answered, ->key_waiters, ->waiting or ->asking */
    struct resolver *resolver;
    resolver_done_fn *done;
    void *ctx;
    enum status st; /* the answer */
    struct why why;
    struct token *answer;
    size_t server; /* being asked */
    struct http_pending *http;
    size_t token_len;
    uint8_t token[];
};

struct resolver {
    struct loop *loop;
    const struct broker_config *config;
    struct http_client *http;
    struct verifier *verifier;
    void (*publish)(void *ctx, struct verifier *verifier);
    void *ctx;
    struct timer timer;   /* the next fetch without a reason */
    struct list answered; /* to be reported at the end of this turn */
    struct list key_waiters;
    struct list waiting; /* introspections behind those under way */
    struct list asking;
    size_t waiting_count, asking_count;
    struct timer answer_timer;
    size_t server_count;
    struct server *servers;
    struct log log;
    struct log_limit limit; /* clients choose how many tokens are looked up */
    struct timer limit_timer;
};

static void use_verifier(struct resolver *r, struct verifier *verifier_take)
{
    verifier_unref(r->verifier);
    r->verifier = verifier_take;
    r->publish(r->ctx, r->verifier);
}

/* -- logging what clients may cause at will -------------------------------------------------------------- */

static void tell_suppressed(struct timer *timer, struct now now)
{
    struct resolver *r = CONTAINER_OF(timer, struct resolver, limit_timer);
    (void)now;
    log_tell_suppressed(&r->log);
}

static void log_failure(struct resolver *r, const char *issuer, const struct http_result *result,
                        enum status st, const struct why *why)
{
    log_event(&r->log, LOG_WARNING, "introspection_failed", F_STR("issuer", issuer),
              F_I64("http_status", result->code), F_WHY(st, *why), F_STR("cause", result->why.text));
    if (r->limit.suppressed && !timer_running(&r->limit_timer))
        timer_start(loop_timers(r->loop), &r->limit_timer, mono_plus_ms(loop_now(r->loop).mono, MS_PER_S));
}

/* -- answering ------------------------------------------------------------------------------------------- */

static void question_free(struct question *q)
{
    list_remove(&q->link);
    if (q->http != NULL)
        http_cancel(q->http);
    explicit_bzero(q->token, q->token_len);
    free(q);
}

static void report(struct question *q)
{
    list_remove(&q->link);
    q->done(q->ctx, q->st, TAKE(q->answer), &q->why);
    question_free(q);
}

static void on_answer_timer(struct timer *timer, struct now now)
{
    struct resolver *r = CONTAINER_OF(timer, struct resolver, answer_timer);
    struct list *link;
    (void)now;
    while ((link = list_shift(&r->answered)) != NULL)
        report(CONTAINER_OF(link, struct question, link));
}

/* The answer is known; it is told from the loop, not from inside the asker's call. */
static void answer(struct question *q, enum status st, const struct why *why)
{
    struct resolver *r = q->resolver;
    q->st = st;
    q->why = *why;
    list_remove(&q->link);
    list_append(&r->answered, &q->link);
    timer_start(loop_timers(r->loop), &r->answer_timer, loop_now(r->loop).mono);
}

/* -- signing keys ---------------------------------------------------------------------------------------- */

static bool fetching(const struct resolver *r)
{
    for (size_t i = 0; i < r->server_count; i++)
        if (r->servers[i].fetch != NULL)
            return true;
    return false;
}

/* One fetch that failed does not hide the keys another one brought: the asker simply tries its token again. But
 * where nothing could be fetched at all, "unreachable" is the truth, not "key unknown". */
static void answer_key_waiters(struct resolver *r, enum status st, const struct why *why)
{
    struct list *link;
    while ((link = list_shift(&r->key_waiters)) != NULL)
        answer(CONTAINER_OF(link, struct question, link), st, why);
}

static enum status take_keys(struct server *s, const struct http_result *result, struct why *why)
{
    CLEANUP(jwks_unrefp)
    struct jwks *jwks = NULL;
    struct verifier *verifier = NULL;
    if (result->st != ST_OK) {
        *why = result->why;
        return result->st;
    }
    if (result->code == 304 && s->jwks != NULL) { /* only ever the answer to our ETag */
        s->fresh_s = result->max_age_s;
        return ST_OK;
    }
    if (result->code != 200)
        return reject(why, ST_UNREACHABLE, "RFC 8414 2", "the authorization server does not give its keys", 0);
    enum status st = jwks_parse(result->body, JWK_ISSUER, &jwks, why);
    if (st == ST_OK)
        st = issuers_take_pinned(s->config, TAKE(jwks), &jwks, why);
    if (st != ST_OK)
        return st;
    st = verifier_with_jwks(s->resolver->verifier, span_of_str(s->config->issuer), jwks, &verifier);
    if (st != ST_OK)
        return reject(why, st, "RFC 7517 5", "the keys cannot be used", 0);
    s->fresh_s = result->max_age_s;
    (void)snprintf(s->etag, sizeof s->etag, "%.*s", SPAN_FMT(result->etag));
    log_event(NULL, LOG_INFO, "jwks_fetched", F_STR("issuer", s->config->issuer),
              F_I64("keys", jwks_size(jwks)), F_I64("skipped", jwks_skipped(jwks)));
    use_verifier(s->resolver, verifier);
    jwks_unref(s->jwks);
    s->jwks = TAKE(jwks);
    return ST_OK;
}

/* When its keys are fetched without a reason: every jwks_interval, or sooner if it said so (RFC 9111 5.2.2.1). A server
 * that never answered yet is tried again soon: the broker may simply have started first. */
static int64_t next_fetch_ms(const struct server *s)
{
    const struct broker_config *c = s->resolver->config;
    int64_t longest_ms = c->jwks_interval_s * MS_PER_S, ms = longest_ms;
    if (s->jwks == NULL)
        ms = c->jwks_min_interval_ms;
    else if (s->fresh_s >= 0 && s->fresh_s < c->jwks_interval_s)
        ms = s->fresh_s * MS_PER_S;
    if (ms < c->jwks_min_interval_ms)
        ms = c->jwks_min_interval_ms;
    return ms > MS_PER_S ? ms : MS_PER_S;
}

static void start_fetch_timer(struct resolver *r)
{
    const struct server *first = NULL;
    for (size_t i = 0; i < r->server_count; i++) {
        const struct server *s = &r->servers[i];
        if (s->config->jwks_uri != NULL && (first == NULL || s->due.ms < first->due.ms))
            first = s;
    }
    if (first != NULL)
        timer_start(loop_timers(r->loop), &r->timer, first->due);
}

static void on_keys(void *ctx, const struct http_result *result)
{
    struct server *s = ctx;
    struct why why = { "", "", 0 };
    s->fetch = NULL;
    enum status st = take_keys(s, result, &why);
    if (st != ST_OK)
        log_event(NULL, LOG_WARNING, "jwks_not_fetched", F_STR("issuer", s->config->issuer), F_WHY(st, why));
    s->due = mono_plus_ms(loop_now(s->resolver->loop).mono, next_fetch_ms(s));
    start_fetch_timer(s->resolver);
    if (!fetching(s->resolver))
        answer_key_waiters(s->resolver, st == ST_OK ? ST_OK : ST_UNREACHABLE, &why);
}

static void fetch_keys(struct server *s)
{
    struct resolver *r = s->resolver;
    struct http_call call = { .url = s->config->jwks_uri,
                              .accept = "application/jwk-set+json, application/json",
                              .ca_file = s->config->ca,
                              .pinned_pubkey = s->config->pinned_pubkey,
                              .if_none_match = s->jwks != NULL && s->etag[0] != '\0' ? s->etag : NULL,
                              .timeout_ms = r->config->as_timeout_ms,
                              .max_response = JWKS_MAX_BYTES };
    struct why why;
    if (s->config->jwks_uri == NULL || s->fetch != NULL)
        return;
    enum status st = http_start(r->http, &call, on_keys, s, &s->fetch, &why);
    if (st != ST_OK)
        log_event(NULL, LOG_WARNING, "jwks_not_fetched", F_STR("issuer", s->config->issuer), F_WHY(st, why));
}

/* Fetches without a reason do not count: a key that was made right after one must not have to wait. */
static bool may_ask(const struct server *s)
{
    int64_t age_ms = loop_now(s->resolver->loop).mono.ms - s->last_asked.ms;
    return s->config->jwks_uri != NULL && s->fetch == NULL &&
           (s->last_asked.ms == 0 || age_ms >= s->resolver->config->jwks_min_interval_ms);
}

static void on_fetch_timer(struct timer *timer, struct now now)
{
    struct resolver *r = CONTAINER_OF(timer, struct resolver, timer);
    for (size_t i = 0; i < r->server_count; i++) {
        struct server *s = &r->servers[i];
        if (s->due.ms > now.mono.ms)
            continue;
        s->due = mono_plus_ms(now.mono, next_fetch_ms(s)); /* should there be no answer */
        fetch_keys(s);
    }
    start_fetch_timer(r);
}

static void ask_keys(struct question *q)
{
    struct resolver *r = q->resolver;
    for (size_t i = 0; i < r->server_count; i++)
        if (may_ask(&r->servers[i])) {
            r->servers[i].last_asked = loop_now(r->loop).mono;
            fetch_keys(&r->servers[i]);
        }
    if (fetching(r))
        list_append(&r->key_waiters, &q->link);
    else
        answer(q, ST_OK, &(struct why){ "token.jwks_min_interval", "the keys have just been fetched", 0 });
}

/* -- introspection --------------------------------------------------------------------------------------- */

static void ask_server(struct question *q);

static void next_question(struct resolver *r)
{
    struct list *link;
    while (r->asking_count < (size_t)r->config->as_max_concurrent && (link = list_shift(&r->waiting)) != NULL) {
        struct question *q = CONTAINER_OF(link, struct question, link);
        r->waiting_count--;
        r->asking_count++;
        list_append(&r->asking, &q->link);
        ask_server(q);
    }
}

static void asked(struct question *q, enum status st, const struct why *why)
{
    struct resolver *r = q->resolver;
    r->asking_count--;
    answer(q, st, why);
    next_question(r);
}

static enum status take_introspection(struct question *q, const struct http_result *result, struct why *why)
{
    struct resolver *r = q->resolver;
    const struct as_config *as = r->servers[q->server].config;
    if (result->st != ST_OK)
        return reject(why, ST_UNREACHABLE, "RFC 7662", "the authorization server does not answer", 0);
    if (result->code == 401 || result->code == 403)
        return reject(why, ST_UNREACHABLE, "RFC 7662 2.3", "the authorization server refuses this broker", 0);
    if (result->code != 200)
        return reject(why, ST_UNREACHABLE, "RFC 7662 2.3", "the authorization server could not look it up", 0);
    return token_from_introspection(result->body, span_of(q->token, q->token_len), span_of_str(as->issuer),
                                    r->verifier, loop_now(r->loop).wall, &q->answer, why);
}

static void on_introspected(void *ctx, const struct http_result *result)
{
    struct question *q = ctx;
    struct why why = { "", "", 0 };
    const char *issuer = q->resolver->servers[q->server].config->issuer;
    q->http = NULL;
    enum status st = take_introspection(q, result, &why);
    if (st == ST_UNREACHABLE)
        log_failure(q->resolver, issuer, result, st, &why);
    if (st == ST_BAD_TOKEN) { /* not known there: the next one may know it */
        q->st = st;
        q->why = why;
        q->server++;
        ask_server(q);
    } else {
        asked(q, st, &why);
    }
}

/* application/x-www-form-urlencoded; reference tokens are opaque, so every byte that needs it is escaped. */
static void put_form(struct buf *out, const char *name, struct span value)
{
    put_str(out, name);
    put_u8(out, '=');
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
                     c == '.' || c == '_';
        if (plain)
            put_u8(out, c);
        else
            put_fmt(out, "%%%02X", c);
    }
}

/* Where text is wanted a CWT travels as base64url (docs/as-http.md). */
static void put_token(struct buf *body, struct span token)
{
    CLEANUP(buf_wipe)
    struct buf text;
    buf_init(&text, base64url_len(token.len));
    if (token_form(token) == TOKEN_FORM_COSE) {
        base64url_encode(token, &text);
        token = buf_span(&text);
    }
    put_form(body, "token", token);
}

/* Asks servers[q->server] or the next one that does introspection. */
static void ask_server(struct question *q)
{
    struct resolver *r = q->resolver;
    struct why why = q->why;
    enum status st = q->st;
    while (q->server < r->server_count && r->servers[q->server].config->introspection_uri == NULL)
        q->server++;
    if (q->server == r->server_count) {
        asked(q, st, &why);
        return;
    }
    const struct server *s = &r->servers[q->server];
    struct buf body;
    buf_init(&body, 3 * q->token_len + 64);
    put_token(&body, span_of(q->token, q->token_len));
    struct http_call call = { .url = s->config->introspection_uri,
                              .body = buf_span(&body),
                              .content_type = "application/x-www-form-urlencoded",
                              .accept = "application/json",
                              .user = s->config->client_id,
                              .password = s->client_secret,
                              .ca_file = s->config->ca,
                              .pinned_pubkey = s->config->pinned_pubkey,
                              .timeout_ms = r->config->as_timeout_ms,
                              .max_response = INTROSPECTION_MAX_BYTES };
    st = buf_ok(&body) ? http_start(r->http, &call, on_introspected, q, &q->http, &why)
                       : reject(&why, ST_NO_MEMORY, "memory", "out of memory", 0);
    buf_wipe(&body);
    if (st != ST_OK)
        asked(q, st, &why);
}

static void ask_introspection(struct question *q)
{
    struct resolver *r = q->resolver;
    struct why why;
    q->st = reject(&q->why, ST_UNREACHABLE, "MT-66", "no authorization server does introspection", 0);
    if (r->waiting_count >= (size_t)r->config->as_max_waiting) {
        answer(q, reject(&why, ST_QUOTA, "token.as_max_waiting", "too many tokens wait to be looked up", 0),
               &why);
        return;
    }
    r->waiting_count++;
    list_append(&r->waiting, &q->link);
    next_question(r);
}

void resolver_ask(struct resolver *r, enum resolve_kind kind, struct span token, resolver_done_fn *done,
                  void *ctx)
{
    struct why why;
    struct question *q = calloc(1, sizeof *q + token.len);
    if (q == NULL) {
        enum status st = reject(&why, ST_NO_MEMORY, "memory", "out of memory", 0);
        done(ctx, st, NULL, &why); /* the one exception: nothing is left to remember it with */
        return;
    }
    list_init(&q->link);
    q->resolver = r;
    q->done = done;
    q->ctx = ctx;
    q->token_len = token.len;
    if (token.len > 0)
        memcpy(q->token, token.p, token.len);
    if (kind == RESOLVE_KEYS)
        ask_keys(q);
    else
        ask_introspection(q);
}

/* -- life ------------------------------------------------------------------------------------------------ */

static enum status read_secret(struct server *s, struct why *why)
{
    struct buf text;
    if (s->config->client_secret_file == NULL)
        return ST_OK;
    buf_init(&text, SECRET_FILE_MAX);
    enum status st = file_read(s->config->client_secret_file, &text, why);
    while (text.len > 0 && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
        text.len--;
    if (st == ST_OK) {
        s->client_secret = span_dup_str(buf_span(&text));
        if (s->client_secret == NULL)
            st = reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    buf_wipe(&text);
    if (st != ST_OK)
        issuers_bad_file(s->config->client_secret_file, st, why);
    return st;
}

enum status resolver_new(struct loop *loop, const struct broker_config *config, struct verifier *verifier,
                         void (*publish)(void *ctx, struct verifier *verifier), void *ctx,
                         struct resolver **ret_resolver, struct why *why)
{
    struct resolver *r = calloc(1, sizeof *r);
    if (r == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    r->loop = loop;
    r->config = config;
    r->verifier = verifier_ref(verifier);
    r->publish = publish;
    r->ctx = ctx;
    list_init(&r->answered);
    list_init(&r->key_waiters);
    list_init(&r->waiting);
    list_init(&r->asking);
    timer_init(&r->timer, on_fetch_timer);
    timer_init(&r->answer_timer, on_answer_timer);
    timer_init(&r->limit_timer, tell_suppressed);
    r->limit.per_s = (uint32_t)config->log_rate;
    r->log.limit = &r->limit;
    enum status st = http_client_new(loop, &r->http, why);
    r->servers = calloc(config->authorization_servers.count, sizeof *r->servers);
    if (st == ST_OK && r->servers == NULL)
        st = reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    for (size_t i = 0; st == ST_OK && i < config->authorization_servers.count; i++) {
        r->servers[i].resolver = r;
        r->servers[i].config = as_config_at(config, i);
        r->servers[i].fresh_s = -1;
        r->server_count++;
        st = read_secret(&r->servers[i], why);
    }
    if (st != ST_OK) {
        resolver_free(r);
        return st;
    }
    *ret_resolver = r;
    return ST_OK;
}

const char *resolver_client_secret(const struct resolver *r, size_t server)
{
    return r->servers[server].client_secret;
}

static void refuse_all(struct list *questions)
{
    struct list *link;
    while ((link = list_shift(questions)) != NULL) {
        struct question *q = CONTAINER_OF(link, struct question, link);
        if (q->st == ST_OK && q->answer == NULL)
            q->st = reject(&q->why, ST_UNREACHABLE, "shutdown", "the broker is shutting down", 0);
        report(q);
    }
}

void resolver_free(struct resolver *r)
{
    if (r == NULL)
        return;
    timer_stop(loop_timers(r->loop), &r->timer);
    timer_stop(loop_timers(r->loop), &r->answer_timer);
    timer_stop(loop_timers(r->loop), &r->limit_timer);
    log_tell_suppressed(&r->log);
    refuse_all(&r->answered);
    refuse_all(&r->key_waiters);
    refuse_all(&r->waiting);
    refuse_all(&r->asking);
    http_client_free(r->http);
    for (size_t i = 0; i < r->server_count; i++) {
        if (r->servers[i].client_secret != NULL)
            explicit_bzero(r->servers[i].client_secret, strlen(r->servers[i].client_secret));
        free(r->servers[i].client_secret);
        jwks_unref(r->servers[i].jwks);
    }
    free(r->servers);
    verifier_unref(r->verifier);
    free(r);
}

void resolver_start(struct resolver *r)
{
    for (size_t i = 0; i < r->server_count; i++)
        r->servers[i].due = loop_now(r->loop).mono;
    start_fetch_timer(r);
}

/* The keys fetched before go into the new verifier too, so that nobody is refused until they are fetched again. */
static enum status add_fetched(const struct resolver *r, struct verifier **verifier)
{
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < r->server_count; i++) {
        const struct server *s = &r->servers[i];
        struct verifier *with = NULL;
        if (s->jwks == NULL)
            continue;
        st = verifier_with_jwks(*verifier, span_of_str(s->config->issuer), s->jwks, &with);
        if (st == ST_OK) {
            verifier_unref(*verifier);
            *verifier = with;
        }
    }
    return st;
}

enum status resolver_reload(struct resolver *r, struct why *why)
{
    struct verifier *verifier = NULL;
    enum status st = issuers_verifier(r->config, &verifier, why);
    if (st == ST_OK) {
        st = add_fetched(r, &verifier);
        if (st != ST_OK)
            st = reject(why, st, "RFC 7517 5", "the keys cannot be used", 0);
    }
    if (st != ST_OK) {
        verifier_unref(verifier);
        return st;
    }
    use_verifier(r, verifier);
    resolver_start(r);
    return ST_OK;
}
