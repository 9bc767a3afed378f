#include "broker/store_watch.h"

#include "base/log.h"
#include "net/loop.h"
#include "store/committer.h"

#include <stdlib.h>

#define LOOK_MS   1000 /* and four times within the time that is allowed, if that is less */
#define LOOKS     4
#define US_PER_MS 1000

struct store_watch {
    struct loop *loop;
    struct committer *committer;
    int64_t stall_ms, look_ms;
    const atomic_bool *failing;
    atomic_bool *stalled;
    world_notify *notify;
    struct timer timer;
    struct mono_time since; /* it stalls */
};

static void tell(struct store_watch *w, const char *state)
{
    if (w->notify != NULL)
        w->notify(state);
}

static void see(struct store_watch *w, int64_t under_way_ms, struct now now)
{
    bool stalls = under_way_ms >= w->stall_ms;

    if (stalls == atomic_load(w->stalled))
        return;
    atomic_store(w->stalled, stalls);
    if (stalls) {
        w->since = mono_plus_ms(now.mono, -under_way_ms);
        log_event(NULL, LOG_ERROR, "store_stalled", F_I64("ms", under_way_ms), F_STR("clause", "store.stall"),
                  F_STR("why", "the disk does not answer: acknowledgements wait for it"));
        tell(w, "STATUS=The disk does not answer: what must be durable waits");
    } else {
        log_event(NULL, LOG_NOTICE, "store_goes_on", F_I64("ms", now.mono.ms - w->since.ms));
        tell(w, atomic_load(w->failing) ? STORE_STATE_FAILING : STORE_STATE_SERVING);
    }
}

static void on_look(struct timer *timer, struct now now)
{
    struct store_watch *w = CONTAINER_OF(timer, struct store_watch, timer);
    struct committer_stats stats;

    committer_stats(w->committer, &stats);
    see(w, (int64_t)(stats.under_way_us / US_PER_MS), now);
    timer_start(loop_timers(w->loop), timer, mono_plus_ms(now.mono, w->look_ms));
}

enum status store_watch_new(struct loop *loop, struct committer *committer, int64_t stall_ms,
                            const atomic_bool *failing, atomic_bool *stalled, world_notify *notify,
                            struct store_watch **ret_watch)
{
    struct store_watch *w = calloc(1, sizeof *w);

    if (w == NULL)
        return ST_NO_MEMORY;
    *w = (struct store_watch){ .loop = loop,
                               .committer = committer,
                               .stall_ms = stall_ms,
                               .look_ms = stall_ms / LOOKS < LOOK_MS ? stall_ms / LOOKS : LOOK_MS,
                               .failing = failing,
                               .stalled = stalled,
                               .notify = notify };
    timer_init(&w->timer, on_look);
    timer_start(loop_timers(loop), &w->timer, mono_plus_ms(loop_now(loop).mono, w->look_ms));
    *ret_watch = w;
    return ST_OK;
}

void store_watch_free(struct store_watch *w)
{
    if (w == NULL)
        return;
    timer_stop(loop_timers(w->loop), &w->timer);
    free(w);
}
