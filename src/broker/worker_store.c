/* A worker and the store: what its shard wants kept goes to the committer at the end of a turn, or every interval, and what
 * became of it comes back as a task of the loop. One task for all news, and no memory for any. */
#include "broker/worker_priv.h"

/* -- to the disk ----------------------------------------------------------------------------------------- */

void worker_store(void *worker, uint64_t seq, struct kv_batch *batch)
{
    struct worker *w = worker;

    w->common->store(w->common->store_ctx, w->index, seq, batch);
}

static void on_seal_timer(struct timer *timer, struct now now)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, store.seal_timer);

    shard_seal(w->shard, now);
}

/* The last words are not left for an interval. */
void worker_seal(struct worker *w, struct now now)
{
    if (w->common->store == NULL)
        return;
    if (w->common->seal_ms == 0 || w->stopping)
        shard_seal(w->shard, now);
    else if (!timer_running(&w->store.seal_timer) && shard_unstored(w->shard))
        timer_start(loop_timers(w->loop), &w->store.seal_timer, mono_plus_ms(now.mono, w->common->seal_ms));
}

/* -- and back -------------------------------------------------------------------------------------------- */

/* What is on disk first: it stays there whatever became of the disk since. */
static void take_news(struct loop_task *task)
{
    struct worker_store *s = CONTAINER_OF(task, struct worker_store, task);
    struct worker *w = CONTAINER_OF(s, struct worker, store);
    struct now now = loop_now(w->loop);

    pthread_mutex_lock(&s->lock);
    struct store_news news = s->news;
    s->news = (struct store_news){ 0 };
    s->posted = false;
    pthread_mutex_unlock(&s->lock);
    if (news.stored)
        shard_stored(w->shard, news.seq, now);
    if (news.changed)
        shard_store_state(w->shard, news.st, news.why, now);
}

/* Under the lock, which it gives back. */
static void tell(struct worker *w)
{
    bool post = !w->store.posted;

    w->store.posted = true;
    pthread_mutex_unlock(&w->store.lock);
    if (post)
        loop_post(w->loop, &w->store.task);
}

void worker_stored(struct worker *w, uint64_t seq)
{
    pthread_mutex_lock(&w->store.lock);
    w->store.news.stored = true;
    w->store.news.seq = seq;
    tell(w);
}

void worker_store_state(struct worker *w, enum status st, const struct why *why)
{
    pthread_mutex_lock(&w->store.lock);
    w->store.news.changed = true;
    w->store.news.st = st;
    w->store.news.why = *why;
    tell(w);
}

/* -- life ------------------------------------------------------------------------------------------------ */

void worker_store_init(struct worker *w)
{
    pthread_mutex_init(&w->store.lock, NULL); /* of this kind it cannot fail */
    timer_init(&w->store.seal_timer, on_seal_timer);
    w->store.task.run = take_news;
}

void worker_store_done(struct worker *w)
{
    pthread_mutex_destroy(&w->store.lock);
}
