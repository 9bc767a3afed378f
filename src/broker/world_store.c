#include "broker/world_store.h"

#include "broker/store_start.h"
#include "broker/store_watch.h"
#include "broker/token_journal.h"
#include "broker/world_tokens.h"
#include "record/record.h"
#include "store/committer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SAY_MS          1000       /* between two words about a long start */
#define MORE_TIME       "30000000" /* microseconds that the service manager gives us with each of them */
#define STOP_MS         10000
#define BATCH_MAX_BYTES ((size_t)1 << 31)

struct world_store {
    const struct broker_config *config;
    struct worker_common *common;
    struct world_tokens *tokens;
    world_notify *notify;
    struct kv *kv;
    struct committer *committer;
    struct loop *control;
    struct store_watch *watch;
    uint64_t token_seq;
    struct mono_time said;
};

static unsigned token_owner(const struct world_store *s)
{
    return s->common->count; /* after the workers */
}

/* -- while the broker runs ------------------------------------------------------------------------------- */

/* On a worker's thread. */
static void store_shard(void *ctx, unsigned worker, uint64_t seq, struct kv_batch *batch)
{
    struct world_store *s = ctx;

    committer_post(s->committer, worker, seq, kv_batch_take(batch));
}

/* On the control loop's. */
static void store_tokens(void *ctx, struct kv_batch *batch)
{
    struct world_store *s = ctx;

    committer_post(s->committer, token_owner(s), ++s->token_seq, kv_batch_take(batch));
}

/* This and the next on the committer's. */
static void on_stored(void *ctx, unsigned owner, uint64_t seq)
{
    struct world_store *s = ctx;

    if (owner == token_owner(s))
        world_tokens_stored(s->tokens);
    else
        worker_stored(s->common->workers[owner], seq);
}

static void on_state(void *ctx, enum status st, const struct why *why)
{
    struct world_store *s = ctx;

    atomic_store(&s->common->store_failing, st != ST_OK);
    if (st != ST_OK)
        log_event(NULL, LOG_ERROR, "store_failing", F_WHY(st, *why));
    else
        log_event(NULL, LOG_NOTICE, "store_recovered");
    if (s->notify != NULL)
        s->notify(st != ST_OK ? STORE_STATE_FAILING : STORE_STATE_SERVING);
    for (unsigned i = 0; i < s->common->count; i++)
        worker_store_state(s->common->workers[i], st, why);
}

/* -- the start ------------------------------------------------------------------------------------------- */

/* Nothing for a store that is there at once. */
static void on_progress(void *ctx, const char *stage, uint64_t done, uint64_t of)
{
    struct world_store *s = ctx;
    struct mono_time now = now_read().mono;
    char words[160];

    if (now.ms - s->said.ms < SAY_MS)
        return;
    s->said = now;
    log_event(NULL, LOG_NOTICE, "store_opening", F_STR("stage", stage), F_I64("done", done), F_I64("of", of));
    (void)snprintf(words, sizeof words, "EXTEND_TIMEOUT_USEC=" MORE_TIME "\nSTATUS=Store: %s, %llu of %llu",
                   stage, (unsigned long long)done, (unsigned long long)of);
    if (s->notify != NULL)
        s->notify(words);
}

struct reading {
    struct token_journal *journal;
    struct now now;
};

static enum status read_token(void *ctx, struct span key, struct span value)
{
    struct reading *reading = ctx;

    return token_journal_read(reading->journal, key, value, reading->now);
}

static enum status read_tokens(struct world_store *s, struct now now, struct why *why)
{
    struct reading reading = { .now = now };
    enum status st = world_tokens_keep(s->tokens, &reading.journal, why);

    for (unsigned i = 0; st == ST_OK && i < TOKEN_JOURNAL_KINDS; i++)
        st = kv_scan(s->kv, token_journal_prefix(i), read_token, &reading, why);
    if (st == ST_OK)
        log_event(NULL, LOG_INFO, "token_state_read", F_I64("rows", token_journal_rows(reading.journal)));
    return st;
}

static enum status restore(struct world_store *s, const struct store_start *start, struct now now,
                           struct why *why)
{
    struct shard *shards[TOPIC_TREE_MAX_SHARDS];
    struct restore_report report;

    for (unsigned i = 0; i < s->common->count; i++)
        shards[i] = worker_shard(s->common->workers[i]);
    return store_start_restore(start, s->kv, shards, s->common->count, now, &report, why);
}

static enum status found_one(void *ctx, struct span key, struct span value)
{
    (void)ctx;
    (void)key;
    (void)value;
    return ST_EXISTS;
}

/* Sessions that somebody relies on would grow stale beside a broker that serves without them, and come back one day. */
static enum status check_left_alone(struct world_store *s, struct why *why)
{
    static const char kinds[] = { RECORD_SESSION, RECORD_RETAINED };
    enum status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < sizeof kinds; i++)
        st = kv_scan(s->kv, span_of(&kinds[i], 1), found_one, NULL, why);
    if (st != ST_EXISTS)
        return st;
    return reject(
        why, ST_EXISTS, "durability",
        "`none`, but the store in state_dir holds sessions or retained messages: name another folder, or "
        "move `store` out of this one",
        0);
}

static enum status start_committer(struct world_store *s, struct why *why)
{
    const struct committer_calls calls = { on_stored, on_state, s };
    enum status st = committer_new(s->kv, s->common->count + 1, &calls, &s->committer);

    if (st == ST_OK)
        st = store_watch_new(s->control, s->committer, s->config->store_stall_ms, &s->common->store_failing,
                             &s->common->store_stalled, s->notify, &s->watch);
    return st == ST_OK ? ST_OK : reject(why, st, "store", "the thread that writes could not be started", 0);
}

enum status world_store_start(struct world_store *s, struct now now, struct why *why)
{
    const struct store_start start = { .state_dir = s->config->state_dir,
                                       .max_bytes = s->config->store_max_bytes,
                                       .progress = on_progress,
                                       .progress_ctx = s };

    s->said = now_read().mono;
    if (mkdir(start.state_dir, 0700) != 0 && errno != EEXIST)
        return reject(why, ST_IO, "state_dir", "the folder is not there and cannot be made", 0);
    enum status st = store_start_open(&start, now, &s->kv, why);
    if (st == ST_OK)
        st = read_tokens(s, now, why);
    if (st == ST_OK)
        st = s->config->durability == DURABILITY_NONE ? check_left_alone(s, why) : restore(s, &start, now, why);
    if (st == ST_OK)
        st = start_committer(s, why);
    if (st == ST_OK)
        world_tokens_start(s->tokens, store_tokens, s);
    return st;
}

/* -- the end --------------------------------------------------------------------------------------------- */

/* What was published to authz-info after the last batch: the control loop has no turn any more. */
static enum status store_rest(struct world_store *s, struct why *why)
{
    struct kv_batch batch;
    const struct kv_batch *const batches[] = { &batch };

    kv_batch_init(&batch, BATCH_MAX_BYTES);
    enum status st = world_tokens_rest(s->tokens, &batch);
    if (st != ST_OK)
        st = reject(why, st, "memory", "out of memory", 0);
    else if (!kv_batch_empty(&batch))
        st = kv_apply(s->kv, batches, COUNT_OF(batches), why);
    kv_batch_done(&batch);
    return st;
}

static unsigned unstored_workers(const struct world_store *s)
{
    unsigned count = 0;

    for (unsigned i = 0; i < s->common->count; i++)
        count += worker_is_stored(s->common->workers[i]) ? 0 : 1;
    return count;
}

void world_store_stop(struct world_store *s)
{
    struct why why = { "store", "not everything could be written before the end", 0 };
    bool stuck = false;
    unsigned lost = 0;

    if (s == NULL || s->committer == NULL)
        return;
    store_watch_free(TAKE(s->watch));
    world_tokens_stop(s->tokens);
    enum status st = committer_stop(TAKE(s->committer), STOP_MS, &lost, &stuck);
    if (st == ST_OK)
        st = store_rest(s, &why);
    if (stuck)
        s->kv = NULL; /* in the hands of a thread that hangs in the disk */
    if (st != ST_OK || unstored_workers(s) > 0)
        log_event(NULL, LOG_ERROR, "store_not_written", F_I64("workers", unstored_workers(s)), F_WHY(st, why));
}

/* -- life ------------------------------------------------------------------------------------------------ */

enum status world_store_new(const struct broker_config *config, struct loop *control,
                            struct worker_common *common, struct world_tokens *tokens, world_notify *notify,
                            struct world_store **ret_store, struct why *why)
{
    struct world_store *s;

    *ret_store = NULL;
    if (config->durability == DURABILITY_NONE)
        log_event(NULL, LOG_WARNING, "nothing_is_durable",
                  F_STR("why", "durability: none; sessions and retained messages end with the process"));
    if (config->state_dir == NULL)
        return ST_OK;
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    s->config = config;
    s->control = control;
    s->common = common;
    s->tokens = tokens;
    s->notify = notify;
    if (config->durability != DURABILITY_NONE) {
        common->store = store_shard;
        common->store_ctx = s;
        common->seal_ms = config->durability == DURABILITY_INTERVAL ? config->store_interval_ms : 0;
    }
    *ret_store = s;
    return ST_OK;
}

void world_store_free(struct world_store *s)
{
    if (s == NULL)
        return;
    store_watch_free(s->watch);
    kv_close(s->kv);
    free(s);
}
