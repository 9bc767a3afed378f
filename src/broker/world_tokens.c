#include "broker/world_tokens.h"

#include "broker/token_journal.h"
#include "crypto/random.h"
#include "store/kv_batch.h"

#include <stdatomic.h>
#include <stdlib.h>

#define PURGE_MS        10000
#define RETRY_MS        1000 /* memory that was short is asked for again */
#define BATCH_MAX_BYTES ((size_t)1 << 31)

struct world_tokens {
    const struct broker_config *config;
    struct loop *loop;
    struct token_store *store;
    struct token_journal *journal;
    struct loop_task changed_task, stored_task;
    atomic_bool posted; /* changed_task is on its way */
    struct timer purge, retry;
    void (*keep)(void *ctx, struct kv_batch *batch);
    void *keep_ctx;
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
    struct kv_batch batch;

    if (t->keep == NULL)
        return;
    kv_batch_init(&batch, BATCH_MAX_BYTES);
    enum status st = token_journal_seal(t->journal, &batch);
    if (st != ST_OK)
        timer_start(loop_timers(t->loop), &t->retry, mono_plus_ms(loop_now(t->loop).mono, RETRY_MS));
    else if (!kv_batch_empty(&batch))
        t->keep(t->keep_ctx, &batch);
    kv_batch_done(&batch);
}

static void on_changes(struct loop_task *task)
{
    struct world_tokens *t = CONTAINER_OF(task, struct world_tokens, changed_task);

    atomic_store(&t->posted, false); /* before looking: what comes now posts it again */
    write_down(t);
}

/* Any thread. */
static void wake(void *ctx)
{
    struct world_tokens *t = ctx;

    if (!atomic_exchange(&t->posted, true))
        loop_post(t->loop, &t->changed_task);
}

static void on_stored(struct loop_task *task)
{
    struct world_tokens *t = CONTAINER_OF(task, struct world_tokens, stored_task);

    token_journal_stored(t->journal);
    if (t->keep == NULL)
        return; /* stopped */
    t->stored(t->ctx);
    write_down(t);
}

void world_tokens_stored(struct world_tokens *t)
{
    loop_post(t->loop, &t->stored_task);
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
    t->changed_task.run = on_changes;
    t->stored_task.run = on_stored;
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

enum status world_tokens_keep(struct world_tokens *t, struct token_journal **ret_journal, struct why *why)
{
    enum status st = token_journal_new(t->store, wake, t, &t->journal);

    if (st != ST_OK)
        return reject(why, st, "memory", "out of memory", 0);
    *ret_journal = t->journal;
    return ST_OK;
}

void world_tokens_start(struct world_tokens *t, void (*store)(void *ctx, struct kv_batch *batch), void *ctx)
{
    t->keep = store;
    t->keep_ctx = ctx;
    if (store == NULL && t->config->authz_info)
        log_event(NULL, LOG_WARNING, "tokens_in_memory_only",
                  F_STR("why", "without state_dir, tokens published to authz-info end with the process"));
    token_store_keep_only(t->store, still_believed, t);
    on_purge(&t->purge, loop_now(t->loop));
    write_down(t); /* rows that are of no use any more */
}

void world_tokens_stop(struct world_tokens *t)
{
    if (t == NULL)
        return;
    t->keep = NULL;
    timer_stop(loop_timers(t->loop), &t->purge);
    timer_stop(loop_timers(t->loop), &t->retry);
}

enum status world_tokens_rest(struct world_tokens *t, struct kv_batch *batch)
{
    enum status st = ST_OK;

    if (t->journal == NULL)
        return ST_OK;
    token_journal_stored(t->journal); /* whatever was on its way is there, or will never be */
    for (uint32_t before = UINT32_MAX; st == ST_OK && batch->count != before;) {
        before = batch->count;
        st = token_journal_seal(t->journal, batch); /* at first what it had taken, then the rest */
        token_journal_stored(t->journal);
    }
    return st;
}

void world_tokens_free(struct world_tokens *t)
{
    if (t == NULL)
        return;
    token_journal_free(t->journal);
    token_store_free(t->store);
    free(t);
}
