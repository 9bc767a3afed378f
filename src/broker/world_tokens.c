#include "broker/world_tokens.h"

#include "broker/token_journal.h"
#include "crypto/random.h"

#include <stdatomic.h>
#include <stdlib.h>

#define PURGE_MS 10000
#define RETRY_MS 1000 /* a disk that failed is tried again */

struct world_tokens {
    const struct broker_config *config;
    struct loop *loop;
    struct token_store *store;
    struct token_journal *journal;
    struct loop_task task;
    atomic_bool posted; /* the task is on its way */
    struct timer purge, retry;
    bool failing;
    void (*stored)(void *ctx);
    void *ctx;
};

struct token_store *world_tokens_store(const struct world_tokens *tokens)
{
    return tokens->store;
}

/* -- the journal ----------------------------------------------------------------------------------------- */

static void write_down(struct world_tokens *t)
{
    struct why why;
    enum status st;

    if (t->journal == NULL)
        return;
    st = token_journal_write(t->journal, &why);
    if (st != ST_OK) {
        if (!t->failing)
            log_event(NULL, LOG_ERROR, "token_state_not_written", F_WHY(st, why));
        t->failing = true;
        timer_start(loop_timers(t->loop), &t->retry, mono_plus_ms(loop_now(t->loop).mono, RETRY_MS));
        return;
    }
    if (t->failing)
        log_event(NULL, LOG_NOTICE, "token_state_written_again");
    t->failing = false;
    t->stored(t->ctx);
}

static void on_changes(struct loop_task *task)
{
    struct world_tokens *t = CONTAINER_OF(task, struct world_tokens, task);

    atomic_store(&t->posted, false); /* before looking: what comes now posts it again */
    write_down(t);
}

/* Any thread. */
static void wake(void *ctx)
{
    struct world_tokens *t = ctx;

    if (!atomic_exchange(&t->posted, true))
        loop_post(t->loop, &t->task);
}

static void on_retry(struct timer *timer, struct now now)
{
    (void)now;
    write_down(CONTAINER_OF(timer, struct world_tokens, retry));
}

static void on_purge(struct timer *timer, struct now now)
{
    struct world_tokens *t = CONTAINER_OF(timer, struct world_tokens, purge);

    token_store_purge(t->store, now);
    timer_start(loop_timers(t->loop), timer, mono_plus_ms(now.mono, PURGE_MS));
}

/* -- life ------------------------------------------------------------------------------------------------ */

static enum status make_store(struct world_tokens *t, struct why *why)
{
    struct token_store_limits limits;
    uint8_t secret[TOKEN_STORE_SECRET_LEN];
    enum status st = random_bytes(secret, sizeof secret);

    broker_config_token_limits(t->config, &limits);
    if (st == ST_OK)
        st = token_store_new(&limits, secret, &t->store);
    explicit_bzero(secret, sizeof secret);
    return st == ST_OK ? ST_OK : reject(why, st, "memory", "the token store could not be made", 0);
}

enum status world_tokens_new(const struct broker_config *config, struct loop *loop, void (*stored)(void *ctx),
                             void *ctx, struct world_tokens **ret_tokens, struct why *why)
{
    struct world_tokens *t = calloc(1, sizeof *t);
    enum status st;

    if (t == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    t->config = config;
    t->loop = loop;
    t->stored = stored;
    t->ctx = ctx;
    t->task.run = on_changes;
    timer_init(&t->purge, on_purge);
    timer_init(&t->retry, on_retry);
    st = make_store(t, why);
    if (st != ST_OK) {
        world_tokens_free(t);
        return st;
    }
    *ret_tokens = t;
    return ST_OK;
}

/* What was believed when it was written down may not be any more. */
static bool still_believed(void *ctx, const struct token *token)
{
    const struct world_tokens *t = ctx;

    return broker_config_believes(t->config, token->iss, token->aud);
}

enum status world_tokens_start(struct world_tokens *t, struct why *why)
{
    struct now now = loop_now(t->loop);
    enum status st = ST_OK;

    if (t->config->state_dir != NULL)
        st = token_journal_new(t->config->state_dir, t->store, wake, t, now, &t->journal, why);
    else if (t->config->authz_info)
        log_event(NULL, LOG_WARNING, "tokens_in_memory_only",
                  F_STR("why", "without state_dir, tokens published to authz-info end with the process"));
    if (st == ST_OK) {
        token_store_keep_only(t->store, still_believed, t);
        on_purge(&t->purge, now);
    }
    return st;
}

void world_tokens_free(struct world_tokens *t)
{
    if (t == NULL)
        return;
    timer_stop(loop_timers(t->loop), &t->purge);
    timer_stop(loop_timers(t->loop), &t->retry);
    token_journal_free(t->journal);
    token_store_free(t->store);
    free(t);
}
