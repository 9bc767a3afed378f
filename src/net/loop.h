/* net/loop.h - one event loop, one thread (libuv behind it).
 * A turn: wait for events, handle them, then at its end: tasks posted by other threads, timers, turn hooks, and
 * one flush of everything the streams gathered. The clocks are read once per turn.
 * Threads: everything belongs to the loop's thread except loop_post(), loop_stop() and loop_wake(). */
#ifndef SYMBOLON_NET_LOOP_H
#define SYMBOLON_NET_LOOP_H

#include "base/clock.h"
#include "base/list.h"
#include "base/status.h"
#include "base/timer.h"

struct loop;

enum status loop_new(struct loop **ret_loop, struct why *why) MUST_CHECK;
/* Aborts what still lives on it (streams hear on_closed), then frees it. Not while loop_run() is active. */
void loop_free(struct loop *loop);

void loop_run(struct loop *loop);       /* until loop_stop() */
void loop_turn(struct loop *loop);      /* one turn that does not wait; for tests */
void loop_turn_wait(struct loop *loop); /* one turn that waits for an event or a timer */
void loop_stop(struct loop *loop);      /* any thread */

struct now loop_now(const struct loop *loop);
/* Memory that output takes which no peer has taken yet, of all streams here, as of their last flush. */
size_t loop_output_bytes(const struct loop *loop);
/* Timers of base/timer.h, started with timer_start(loop_timers(l), …); they fire on this loop. */
struct timer_wheel *loop_timers(struct loop *loop);

/* Work handed over from any thread, in order per posting thread. Intrusive and owned by the poster until run()
 * is called on the loop's thread; a task may be posted again only after that. Wakes the loop only if it sleeps.
 */
struct loop_task {
    struct loop_task *next;
    void (*run)(struct loop_task *task);
};
void loop_post(struct loop *loop, struct loop_task *task);
/* Makes a sleeping loop run its turn hooks; for inboxes that live elsewhere. Any thread, cheap when awake. */
void loop_wake(struct loop *loop);
/* How often it was woken out of its sleep by another thread. Any thread. */
uint64_t loop_wakes(const struct loop *loop);

/* turn_begin (may be NULL): first thing in a turn, the clocks just read, before any event is handled.
 * turn_end: after posted tasks and timers, before the flush; true if it wants another turn at once. */
struct loop_hook {
    struct list link;
    void (*turn_begin)(struct loop_hook *hook, struct now now);
    bool (*turn_end)(struct loop_hook *hook, struct now now);
};
void loop_hook_add(struct loop *loop, struct loop_hook *hook);
void loop_hook_remove(struct loop_hook *hook);

/* Signals: the loop's thread gets fn(ctx, signum); several may be watched. Freed with the loop. */
enum status loop_on_signal(struct loop *loop, int signum, void (*fn)(void *ctx, int signum), void *ctx,
                           struct why *why) MUST_CHECK;

#endif
