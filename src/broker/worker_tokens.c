#include "broker/worker_tokens.h"

#include "broker/worker_priv.h"
#include "token/token.h"

#include <stdlib.h>

/* On the heap until delivered. */
struct token_news {
    struct loop_task task;
    struct worker *worker;
    struct token *token;
    const char *issuer;
    struct why why;
    void (*found)(void *ctx, struct token *token);
    void *ctx;
    size_t len;
    uint8_t hashes[];
};

static bool tell(struct worker *w, const struct token_news *news, struct span hashes,
                 void (*run)(struct loop_task *task))
{
    struct token_news *copy = malloc(sizeof *copy + hashes.len);
    if (copy == NULL)
        return false;
    *copy = *news;
    copy->worker = w;
    copy->task.run = run;
    copy->len = hashes.len;
    if (hashes.len > 0)
        memcpy(copy->hashes, hashes.p, hashes.len);
    loop_post(w->loop, &copy->task);
    return true;
}

static void take_revoked(struct loop_task *task)
{
    struct token_news *news = CONTAINER_OF(task, struct token_news, task);
    struct worker *w = news->worker;
    for (size_t at = 0; at + TOKEN_HASH_LEN <= news->len; at += TOKEN_HASH_LEN)
        shard_token_status(w->shard, news->hashes + at, NULL, news->why, loop_now(w->loop));
    free(news);
}

bool worker_tokens_revoked(struct worker *w, struct span hashes, const struct why *why)
{
    return tell(w, &(struct token_news){ .why = *why }, hashes, take_revoked);
}

static void take_changed(struct loop_task *task)
{
    struct token_news *news = CONTAINER_OF(task, struct token_news, task);
    struct worker *w = news->worker;
    shard_token_status(w->shard, news->hashes, news->token, news->why, loop_now(w->loop));
    token_unref(news->token);
    free(news);
}

bool worker_token_changed(struct worker *w, const uint8_t *hash, struct token *token, const struct why *why)
{
    struct token_news news = { .token = token == NULL ? NULL : token_ref(token), .why = *why };
    if (tell(w, &news, span_of(hash, TOKEN_HASH_LEN), take_changed))
        return true;
    token_unref(news.token);
    return false;
}

static void take_silence(struct loop_task *task)
{
    struct token_news *news = CONTAINER_OF(task, struct token_news, task);
    struct worker *w = news->worker;
    shard_issuer_silent(w->shard, span_of_str(news->issuer), news->why, loop_now(w->loop));
    free(news);
}

bool worker_issuer_silent(struct worker *w, const char *issuer, const struct why *why)
{
    return tell(w, &(struct token_news){ .issuer = issuer, .why = *why }, SPAN_NONE, take_silence);
}

static void find(struct loop_task *task)
{
    struct token_news *news = CONTAINER_OF(task, struct token_news, task);
    news->found(news->ctx, shard_find_token(news->worker->shard, news->hashes));
    free(news);
}

bool worker_find_token(struct worker *w, const uint8_t *hash, void (*found)(void *ctx, struct token *token),
                       void *ctx)
{
    return tell(w, &(struct token_news){ .found = found, .ctx = ctx }, span_of(hash, TOKEN_HASH_LEN), find);
}
