/* base/timer.h - hierarchical timer wheel: start, stop and fire in O(1), a million timers without a heap.
 * Intrusive: the timer lives inside what it times (a connection, a session, a grant) and is stopped before that
 * is freed. Resolution TIMER_TICK_MS; a timer never fires early. One thread. */
#ifndef SYMBOLON_BASE_TIMER_H
#define SYMBOLON_BASE_TIMER_H

#include "base/clock.h"
#include "base/list.h"

#define TIMER_TICK_MS 8
#define TIMER_LEVELS  5
#define TIMER_SLOTS   64 /* as many as `soon` has bits; 64^5 ticks of 8 ms: 99 days before a re-cascade */

struct timer;
typedef void timer_fn(struct timer *timer, struct now now);

struct timer {
    struct list link;
    int64_t due_tick;
    int level; /* of the wheel, while running */
    timer_fn *fire;
};

struct timer_wheel {
    int64_t tick; /* everything due before or at this tick has fired */
    size_t count;
    size_t count_at[TIMER_LEVELS];
    uint64_t soon; /* bit i: slots[0][i] holds a timer */
    struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void timer_wheel_init(struct timer_wheel *w, struct mono_time now);

void timer_init(struct timer *t, timer_fn *fire);
void timer_start(struct timer_wheel *w, struct timer *t, struct mono_time due); /* restarts a running one */
void timer_stop(struct timer_wheel *w, struct timer *t);
bool timer_running(const struct timer *t);

/* Fires everything due. A callback may start and stop any timer, its own included. */
void timer_wheel_advance(struct timer_wheel *w, struct now now);

/* Milliseconds until timer_wheel_advance() is worth calling again (it may find nothing to fire then, only to
 * re-sort); -1 when no timer runs. */
int64_t timer_wheel_wait_ms(const struct timer_wheel *w, struct mono_time now);

#endif
