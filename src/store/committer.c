#include "store/committer.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS  5000
#define GRACE_MS       2000 /* beyond the deadline of committer_stop(), for an attempt that is under way */

/* What an owner has here: nothing, a batch that waits, or one that is being committed. */
enum place { PLACE_EMPTY, PLACE_WAITING, PLACE_COMMITTING };

struct slot {
    enum place place;
    bool stored; /* by the transaction just made; of the committer's thread alone */
    uint64_t seq;
    struct kv_batch batch;
};

struct committer {
    struct kv *kv;
    struct committer_calls calls;
    unsigned owners;
    pthread_t thread;
    pthread_mutex_t lock; /* over everything below but what a slot holds while it is being committed */
    pthread_cond_t work;  /* something waits, or the end has come */
    pthread_cond_t ended;
    bool stopping, has_ended;
    bool left_behind; /* nobody is there any more to be told anything */
    int64_t stop_by_ms;
    struct committer_stats stats;
    uint64_t began_us; /* of the attempt under way; 0: none is */
    enum status state; /* last told; of the committer's thread alone, as the rest */
    const char *state_text;
    unsigned retry_ms; /* 0: the last attempt succeeded */
    const struct kv_batch **group;
    struct slot *slots;
};

/* ---- time ---- */

static struct timespec timespec_of_ms(int64_t ms)
{
    return (struct timespec){ .tv_sec = ms / MS_PER_S, .tv_nsec = ms % MS_PER_S * 1000000 };
}

static int64_t mono_ms(void)
{
    return now_read().mono.ms;
}

static uint64_t mono_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- one commit ---- */

static void tell_state(struct committer *c, enum status st, const struct why *why)
{
    /* `why` are static strings: another reason of the same kind is a change too. */
    if (st == c->state && (st == ST_OK || why->text == c->state_text))
        return;
    c->state = st;
    c->state_text = why->text;
    c->calls.state(c->calls.ctx, st, why);
}

/* Takes what waits; how many batches. */
static unsigned gather(struct committer *c)
{
    unsigned count = 0;

    for (unsigned i = 0; i < c->owners; i++) {
        if (c->slots[i].place == PLACE_WAITING) {
            c->slots[i].place = PLACE_COMMITTING;
            c->slots[i].stored = false;
            c->group[count++] = &c->slots[i].batch;
        }
    }
    return count;
}

static void count_begin(struct committer *c)
{
    pthread_mutex_lock(&c->lock);
    c->began_us = mono_us();
    pthread_mutex_unlock(&c->lock);
}

static void count_commit(struct committer *c, enum status st)
{
    pthread_mutex_lock(&c->lock);
    uint64_t took = mono_us() - c->began_us;
    c->began_us = 0;
    if (st == ST_OK) {
        c->stats.commits++;
        c->stats.last_us = took;
        if (took > c->stats.longest_us)
            c->stats.longest_us = took;
    } else {
        c->stats.failures++;
    }
    pthread_mutex_unlock(&c->lock);
}

static enum status apply(struct committer *c, const struct kv_batch *const *batches, unsigned count,
                         struct why *why)
{
    count_begin(c);
    enum status st = kv_apply(c->kv, batches, count, why);

    count_commit(c, st);
    return st;
}

static struct slot *slot_of(const struct kv_batch *batch)
{
    return CONTAINER_OF(batch, struct slot, batch);
}

/* All together; what does not fit is tried alone, so that one owner's batch does not hold up the others. Says why something
 * could not be stored, or ST_OK. */
static enum status commit_group(struct committer *c, unsigned count, struct why *why)
{
    enum status st = apply(c, c->group, count, why);

    if (st == ST_OK) {
        for (unsigned i = 0; i < count; i++)
            slot_of(c->group[i])->stored = true;
        return ST_OK;
    }
    if (count == 1 || (st != ST_QUOTA && st != ST_NO_MEMORY && st != ST_TOO_LARGE))
        return st;
    for (unsigned i = 0; i < count; i++)
        slot_of(c->group[i])->stored = apply(c, &c->group[i], 1, why) == ST_OK;
    return st;
}

/* What was stored leaves; the rest waits again. */
static void give_back(struct committer *c, unsigned owner)
{
    struct slot *slot = &c->slots[owner];

    if (slot->place != PLACE_COMMITTING)
        return;
    if (!slot->stored) {
        slot->place = PLACE_WAITING;
        return;
    }
    struct kv_batch done = kv_batch_take(&slot->batch);
    uint64_t seq = slot->seq;
    slot->place = PLACE_EMPTY;
    c->stats.batches++;
    c->stats.changes += done.count;
    c->stats.bytes += kv_batch_bytes(&done);
    c->stats.waiting--;
    c->stats.waiting_bytes -= done.ops.cap;
    pthread_mutex_unlock(&c->lock);
    kv_batch_done(&done);
    c->calls.stored(c->calls.ctx, owner, seq); /* which may post the next one */
    pthread_mutex_lock(&c->lock);
}

/* Called and left with the lock held. */
static void commit_once(struct committer *c)
{
    struct why why = { 0 };
    unsigned count = gather(c);

    pthread_mutex_unlock(&c->lock);
    enum status st = commit_group(c, count, &why);
    pthread_mutex_lock(&c->lock);
    bool left_behind = c->left_behind;
    pthread_mutex_unlock(&c->lock);
    if (left_behind)
        pthread_exit(NULL);
    bool failed = st != ST_OK;
    if (!failed && kv_full(c->kv))
        st = reject(&why, ST_TOO_LARGE, "store", "the store has reached its largest size", 0);
    tell_state(c, st, &why);
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < c->owners; i++)
        give_back(c, i);
    if (!failed)
        c->retry_ms = 0;
    else if (c->retry_ms == 0)
        c->retry_ms = RETRY_FIRST_MS;
    else
        c->retry_ms = c->retry_ms * 2 > RETRY_LAST_MS ? RETRY_LAST_MS : c->retry_ms * 2;
}

/* After a failure: until it is time again, or the end is asked for, which is a reason to try at once. */
static void pause_before_retry(struct committer *c)
{
    bool was_stopping = c->stopping;
    int64_t until_ms = mono_ms() + (was_stopping ? RETRY_FIRST_MS : (int64_t)c->retry_ms);
    struct timespec until = timespec_of_ms(until_ms);

    while (c->stopping == was_stopping && pthread_cond_timedwait(&c->work, &c->lock, &until) != ETIMEDOUT)
        ;
}

static bool anything_waits(const struct committer *c)
{
    return c->stats.waiting > 0;
}

static void *run(void *arg)
{
    struct committer *c = arg;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!anything_waits(c) && !c->stopping)
            pthread_cond_wait(&c->work, &c->lock);
        if (!anything_waits(c) || (c->stopping && mono_ms() >= c->stop_by_ms))
            break;
        commit_once(c);
        if (c->retry_ms > 0)
            pause_before_retry(c);
    }
    c->has_ended = true;
    pthread_cond_signal(&c->ended);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- from outside ---- */

static void free_committer(struct committer *c)
{
    for (unsigned i = 0; c->slots != NULL && i < c->owners; i++)
        kv_batch_done(&c->slots[i].batch);
    pthread_cond_destroy(&c->work);
    pthread_cond_destroy(&c->ended);
    pthread_mutex_destroy(&c->lock);
    free(c->slots);
    free(c->group);
    free(c);
}

/* The daemon's signals are for its own threads. */
static int start_thread(struct committer *c)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&c->thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        (void)pthread_setname_np(c->thread, "commit");
    return rc;
}

enum status committer_new(struct kv *kv, unsigned owners, const struct committer_calls *calls,
                          struct committer **ret_committer)
{
    pthread_condattr_t attr;

    struct committer *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ST_NO_MEMORY;
    *c = (struct committer){ .kv = kv, .calls = *calls, .owners = owners, .state = ST_OK };
    (void)pthread_mutex_init(&c->lock, NULL); /* none of these can fail on Linux */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->work, &attr);
    (void)pthread_cond_init(&c->ended, &attr);
    (void)pthread_condattr_destroy(&attr);
    c->slots = calloc(owners, sizeof *c->slots);
    c->group = calloc(owners, sizeof *c->group);
    if (c->slots == NULL || c->group == NULL || start_thread(c) != 0) {
        free_committer(c);
        return ST_NO_MEMORY;
    }
    *ret_committer = c;
    return ST_OK;
}

void committer_post(struct committer *c, unsigned owner, uint64_t seq, struct kv_batch batch_take)
{
    ASSERT(owner < c->owners);
    pthread_mutex_lock(&c->lock);
    struct slot *slot = &c->slots[owner];
    ASSERT(slot->place == PLACE_EMPTY);
    slot->batch = batch_take;
    slot->seq = seq;
    slot->place = PLACE_WAITING;
    c->stats.waiting++;
    c->stats.waiting_bytes += slot->batch.ops.cap;
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
}

void committer_stats(struct committer *c, struct committer_stats *out)
{
    pthread_mutex_lock(&c->lock);
    *out = c->stats;
    out->under_way_us = c->began_us == 0 ? 0 : mono_us() - c->began_us;
    pthread_mutex_unlock(&c->lock);
}

enum status committer_stop(struct committer *c, unsigned deadline_ms, unsigned *ret_lost, bool *ret_stuck)
{
    *ret_lost = 0;
    *ret_stuck = false;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    c->stop_by_ms = mono_ms() + deadline_ms;
    pthread_cond_signal(&c->work);
    struct timespec until = timespec_of_ms(c->stop_by_ms + GRACE_MS);
    while (!c->has_ended && pthread_cond_timedwait(&c->ended, &c->lock, &until) != ETIMEDOUT)
        ;
    *ret_lost = (unsigned)c->stats.waiting;
    *ret_stuck = c->left_behind = !c->has_ended;
    pthread_mutex_unlock(&c->lock);
    if (*ret_stuck) {
        pthread_detach(c->thread);
        return ST_TIMEOUT;
    }
    pthread_join(c->thread, NULL);
    free_committer(c);
    return *ret_lost == 0 ? ST_OK : ST_TIMEOUT;
}
