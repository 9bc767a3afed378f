#include "broker/world_status.h"

#include "base/log.h"
#include "broker/status_feed.h"
#include "broker/worker_tokens.h"
#include "shard/token_store.h"
#include "token/token.h"
#include "token/verifier.h"

#include <stdlib.h>

#define RETRY_MS      1000
#define BATCH         4096         /* hashes in one message to a worker */
#define LISTED_S      (30 * 86400) /* the list is read whole every day: what stands on it is renewed, ... */
#define RENEWED_S     (10 * 86400) /* ... though not every day, for each is written down */
#define REMOVED_S     3600         /* more than any difference of clocks that is tolerated */
#define ASK_TRIES     4            /* introspections of one changed token: over 7 seconds */
#define ASK_AT_ONCE   32
#define LOOK_LEAST_MS 100

struct followed {
    struct world_status *status;
    const struct as_config *as;
    struct status_feed *feed;
    bool suspended;
};

/* A changed token on its way to what is left of it. */
struct change {
    struct list link; /* status->queued, ->under_way or ->resting */
    struct world_status *status;
    uint8_t hash[TOKEN_HASH_LEN];
    unsigned waiting; /* for workers to say whether they know it */
    unsigned tries;
    bool again; /* it changed once more while being asked about: the answer on its way may be the older one */
    uint64_t news;       /* token_store_news() when its AS was asked */
    struct token *token; /* what sessions rest on now */
    struct timer timer;
};

struct world_status {
    struct loop *control;
    const struct broker_config *config;
    struct resolver *resolver;
    struct token_store *tokens;
    struct worker_common *workers;
    bool over;
    struct timer look;     /* at silent issuers */
    struct list queued;    /* struct change, not looked at yet */
    struct list under_way; /* asked about */
    struct list resting;   /* to be asked about again */
    size_t under_way_count;
    size_t followed_count;
    struct followed followed[];
};

/* -- telling the workers --------------------------------------------------------------------------------- */

static void out_of_memory(const char *doing)
{
    log_event(NULL, LOG_ERROR, "out_of_memory", F_STR("doing", doing));
}

static void cut_all(struct world_status *s, struct span hashes, const struct why *why)
{
    for (size_t at = 0; at < hashes.len; at += (size_t)BATCH * TOKEN_HASH_LEN)
        for (unsigned i = 0; i < s->workers->count; i++)
            if (!worker_tokens_revoked(s->workers->workers[i],
                                       span_cut(hashes, at, (size_t)BATCH * TOKEN_HASH_LEN), why))
                out_of_memory("revoked tokens");
}

static void tell_all(struct world_status *s, const uint8_t *hash, struct token *token, const struct why *why)
{
    for (unsigned i = 0; i < s->workers->count; i++)
        if (!worker_token_changed(s->workers->workers[i], hash, token, why))
            out_of_memory("changed tokens");
}

/* -- changed tokens -------------------------------------------------------------------------------------- */

static void ask_about(struct change *c);
static void next_changes(struct world_status *s);

static void on_rested(struct timer *timer, struct now now)
{
    struct change *c = CONTAINER_OF(timer, struct change, timer);
    (void)now;
    list_remove(&c->link);
    list_append(&c->status->under_way, &c->link);
    c->status->under_way_count++;
    ask_about(c);
}

static void change_free(struct change *c)
{
    timer_stop(loop_timers(c->status->control), &c->timer);
    list_remove(&c->link);
    token_unref(c->token);
    free(c);
}

static void change_over(struct change *c)
{
    struct world_status *s = c->status;
    s->under_way_count--;
    change_free(c);
    next_changes(s);
}

static void ask_again_later(struct change *c)
{
    struct world_status *s = c->status;
    int64_t wait_ms = (int64_t)RETRY_MS << (c->tries - 1);
    list_remove(&c->link);
    list_append(&s->resting, &c->link);
    s->under_way_count--;
    timer_start(loop_timers(s->control), &c->timer, mono_plus_ms(loop_now(s->control).mono, wait_ms));
    next_changes(s);
}

static void on_introspected(void *ctx, enum status st, struct token *token, const struct why *why)
{
    struct change *c = ctx;
    bool known = st == ST_OK || st == ST_BAD_TOKEN || st == ST_TOKEN_EXPIRED || st == ST_BAD_SCOPE;
    if (c->status->over) {
        token_unref(token);
        change_free(c);
        return;
    }
    if (!known && c->tries < ASK_TRIES) {
        ask_again_later(c);
        return;
    }
    if (st == ST_OK)
        token->news = c->news;
    tell_all(c->status, c->hash, st == ST_OK ? token : NULL, why);
    token_unref(token);
    if (c->again) {
        c->again = false;
        c->tries = 0;
        ask_about(c);
    } else {
        change_over(c);
    }
}

static void ask_about(struct change *c)
{
    struct why why;
    c->tries++;
    if (c->token->text.p != NULL) {
        c->news = c->status->tokens == NULL ? 0 : token_store_news(c->status->tokens);
        resolver_ask(c->status->resolver, RESOLVE_INTROSPECT, c->token->text, on_introspected, c);
        return;
    }
    (void)reject(&why, ST_BAD_TOKEN, "RFC 9770", "the issuer permits less now, and cannot be asked what", 0);
    tell_all(c->status, c->hash, NULL, &why);
    change_over(c);
}

/* What one worker knows of a changed token, on its way back. */
struct find {
    struct loop_task task;
    struct change *change;
    struct token *token;
};

static void on_found(struct loop_task *task)
{
    struct find *find = CONTAINER_OF(task, struct find, task);
    struct change *c = find->change;
    if (c->token == NULL)
        c->token = TAKE(find->token);
    token_unref(find->token);
    free(find);
    if (--c->waiting > 0)
        return;
    if (c->status->over)
        change_free(c);
    else if (c->token == NULL)
        change_over(c); /* nobody uses it */
    else
        ask_about(c);
}

static void found(void *ctx, struct token *token) /* on the worker's thread */
{
    struct find *find = ctx;
    find->token = token;
    find->task.run = on_found;
    loop_post(find->change->status->control, &find->task);
}

static void look_for(struct change *c)
{
    struct world_status *s = c->status;
    c->waiting = 1; /* this function */
    for (unsigned i = 0; i < s->workers->count; i++) {
        struct find *find = calloc(1, sizeof *find);
        if (find != NULL)
            find->change = c;
        if (find != NULL && worker_find_token(s->workers->workers[i], c->hash, found, find)) {
            c->waiting++;
        } else {
            free(find);
            out_of_memory("changed tokens");
        }
    }
    if (--c->waiting == 0)
        change_over(c);
}

static bool ask_once_more(struct list *changes, const uint8_t *hash)
{
    LIST_EACH (it, changes) {
        struct change *c = CONTAINER_OF(it, struct change, link);
        if (memcmp(c->hash, hash, TOKEN_HASH_LEN) == 0) {
            c->again = true;
            return true;
        }
    }
    return false;
}

/* One question at a time about one token, so that the last answer is about its last state. */
static void next_changes(struct world_status *s)
{
    while (s->under_way_count < ASK_AT_ONCE && !list_empty(&s->queued)) {
        struct change *c = CONTAINER_OF(list_shift(&s->queued), struct change, link);
        if (ask_once_more(&s->under_way, c->hash) || ask_once_more(&s->resting, c->hash)) {
            change_free(c);
            continue;
        }
        list_append(&s->under_way, &c->link);
        s->under_way_count++;
        look_for(c);
    }
}

static void queue_change(struct world_status *s, const uint8_t *hash)
{
    struct change *c = calloc(1, sizeof *c);
    if (c == NULL) {
        out_of_memory("changed tokens");
        return;
    }
    c->status = s;
    memcpy(c->hash, hash, TOKEN_HASH_LEN);
    timer_init(&c->timer, on_rested);
    list_append(&s->queued, &c->link);
}

/* -- what the lists say ---------------------------------------------------------------------------------- */

static const uint8_t *hash_at(const struct buf *hashes, size_t i)
{
    return hashes->p + i * TOKEN_HASH_LEN;
}

static struct wall_time later(const struct world_status *s, int64_t by_s)
{
    return (struct wall_time){ loop_now(s->control).wall.s + by_s };
}

static void not_stored(const struct followed *f, enum status st)
{
    if (st != ST_OK)
        log_event(NULL, LOG_ERROR, "revocation_not_stored", F_STR("issuer", f->as->issuer),
                  F_STR("status", status_name(st)));
}

/* Only what was not known yet goes to the workers: a list read again may be long. */
static void take_revoked(struct followed *f, const struct buf *hashes)
{
    struct world_status *s = f->status;
    const struct why why = { "RFC 9770", "the token was revoked", 0 };
    enum status worst = ST_OK;
    CLEANUP(buf_done)
    struct buf news;
    buf_init(&news, hashes->len);
    for (size_t i = 0; s->tokens != NULL && i < status_answer_count(hashes); i++) {
        struct wall_time known_until = token_store_revoked_until(s->tokens, hash_at(hashes, i));
        enum status st = known_until.s >= later(s, LISTED_S - RENEWED_S).s
                             ? ST_OK
                             : token_store_revoke(s->tokens, hash_at(hashes, i), later(s, LISTED_S));
        worst = st == ST_OK ? worst : st;
        if (known_until.s == 0)
            put_bytes(&news, span_of(hash_at(hashes, i), TOKEN_HASH_LEN));
    }
    not_stored(f, worst);
    cut_all(s, s->tokens != NULL && buf_ok(&news) ? buf_span(&news) : buf_span(hashes), &why);
}

static void take_removed(struct followed *f, const struct buf *hashes)
{
    struct world_status *s = f->status;
    for (size_t i = 0; s->tokens != NULL && i < status_answer_count(hashes); i++)
        if (token_store_is_revoked(s->tokens, hash_at(hashes, i)))
            not_stored(f, token_store_revoke(s->tokens, hash_at(hashes, i), later(s, REMOVED_S)));
}

static void take_changed(struct followed *f, const struct buf *hashes)
{
    struct world_status *s = f->status;
    for (size_t i = 0; i < status_answer_count(hashes); i++) {
        if (s->tokens != NULL)
            not_stored(f, token_store_change(s->tokens, hash_at(hashes, i), later(s, LISTED_S)));
        queue_change(s, hash_at(hashes, i));
    }
    next_changes(s);
}

static void on_news(void *ctx, const struct status_answer *answer)
{
    struct followed *f = ctx;
    log_event(NULL, answer->full ? LOG_INFO : LOG_NOTICE, "token_status_news", F_STR("issuer", f->as->issuer),
              F_STR("list", answer->full ? "whole" : "changes"),
              F_I64("revoked", status_answer_count(&answer->revoked)),
              F_I64("removed", status_answer_count(&answer->removed)),
              F_I64("changed", status_answer_count(&answer->changed)));
    take_revoked(f, &answer->revoked);
    take_removed(f, &answer->removed);
    take_changed(f, &answer->changed);
}

/* -- silence --------------------------------------------------------------------------------------------- */

static void suspend(struct followed *f)
{
    struct world_status *s = f->status;
    const struct why why = { "revocation.max_stale", "its issuer has not said for too long what it has revoked",
                             0 };
    if (s->tokens != NULL && token_store_suspend(s->tokens, span_of_str(f->as->issuer), true) != ST_OK)
        return; /* tried again at the next look */
    f->suspended = true;
    log_event(NULL, LOG_ERROR, "issuer_suspended", F_STR("issuer", f->as->issuer), F_STR("clause", why.clause),
              F_STR("why", why.text));
    for (unsigned i = 0; i < s->workers->count; i++)
        if (!worker_issuer_silent(s->workers->workers[i], f->as->issuer, &why))
            out_of_memory("a silent issuer");
}

static void on_contact(void *ctx, bool reached)
{
    struct followed *f = ctx;
    if (!reached || !f->suspended)
        return;
    f->suspended = false;
    if (f->status->tokens != NULL &&
        token_store_suspend(f->status->tokens, span_of_str(f->as->issuer), false) != ST_OK)
        out_of_memory("an issuer that is heard again");
    log_event(NULL, LOG_NOTICE, "issuer_resumed", F_STR("issuer", f->as->issuer));
}

static void on_look(struct timer *timer, struct now now)
{
    struct world_status *s = CONTAINER_OF(timer, struct world_status, look);
    int64_t stale_ms = s->config->revocation_max_stale_s * MS_PER_S, next_ms = stale_ms / 8;
    for (size_t i = 0; i < s->followed_count; i++) {
        struct followed *f = &s->followed[i];
        if (!f->suspended && now.mono.ms - status_feed_last_contact(f->feed).ms > stale_ms)
            suspend(f);
    }
    timer_start(loop_timers(s->control), timer,
                mono_plus_ms(now.mono, next_ms > LOOK_LEAST_MS ? next_ms : LOOK_LEAST_MS));
}

/* -- life ------------------------------------------------------------------------------------------------ */

enum status world_status_new(struct loop *control, const struct broker_config *config,
                             struct resolver *resolver, struct token_store *tokens,
                             struct worker_common *workers, struct world_status **ret_status, struct why *why)
{
    size_t n = config->authorization_servers.count;
    *ret_status = NULL;
    struct world_status *s = calloc(1, sizeof *s + n * sizeof s->followed[0]);
    if (s == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    s->control = control;
    s->config = config;
    s->resolver = resolver;
    s->tokens = tokens;
    s->workers = workers;
    list_init(&s->queued);
    list_init(&s->under_way);
    list_init(&s->resting);
    timer_init(&s->look, on_look);
    for (size_t i = 0; i < n; i++)
        if (as_config_at(config, i)->revocation_uri != NULL)
            s->followed[s->followed_count++] = (struct followed){ .status = s, .as = as_config_at(config, i) };
    if (s->followed_count == 0)
        free(s);
    else
        *ret_status = s;
    return ST_OK;
}

static enum status follow(struct followed *f, size_t server, struct why *why)
{
    static const struct status_feed_events events = { on_news, on_contact };
    const struct world_status *s = f->status;
    const struct status_feed_settings settings = { .issuer = f->as->issuer,
                                                   .uri = f->as->revocation_uri,
                                                   .ca_file = f->as->ca,
                                                   .pinned_pubkey = f->as->pinned_pubkey,
                                                   .user = f->as->client_id,
                                                   .password = resolver_client_secret(s->resolver, server),
                                                   .wait_s = s->config->revocation_wait_s,
                                                   .timeout_ms = s->config->as_timeout_ms,
                                                   .poll_ms = s->config->revocation_poll_ms,
                                                   .retry_ms = RETRY_MS };
    return status_feed_new(s->control, &settings, &events, f, &f->feed, why);
}

enum status world_status_start(struct world_status *s, struct why *why)
{
    enum status st = ST_OK;
    size_t k = 0;
    if (s == NULL)
        return ST_OK;
    for (size_t i = 0; st == ST_OK && i < s->config->authorization_servers.count; i++)
        if (as_config_at(s->config, i)->revocation_uri != NULL)
            st = follow(&s->followed[k++], i, why);
    if (st == ST_OK && s->config->revocation_max_stale_s > 0)
        timer_start(loop_timers(s->control), &s->look, loop_now(s->control).mono);
    return st;
}

static void free_changes(struct list *changes)
{
    while (!list_empty(changes))
        change_free(CONTAINER_OF(changes->next, struct change, link));
}

/* What is under way ends with the answer it waits for: of a worker, or of the resolver. */
void world_status_stop(struct world_status *s)
{
    if (s == NULL)
        return;
    s->over = true;
    timer_stop(loop_timers(s->control), &s->look);
    for (size_t i = 0; i < s->followed_count; i++)
        status_feed_free(TAKE(s->followed[i].feed));
    free_changes(&s->queued);
    free_changes(&s->resting);
}

void world_status_free(struct world_status *s)
{
    free(s);
}
