/* net/loop.h - one event loop, one thread (epoll, and libuv for what is rare).
 * A turn: wait for events, handle them, then at its end: tasks posted by other threads, timers, turn hooks, and
 * one flush of everything the streams gathered. The clocks are read once per turn.
 * Threads: everything belongs to the loop's thread except loop_post(), loop_stop(), loop_wake() and what says so. While it
 * is lent that is its host's thread. */
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

/* Lending (docs/decisions/0037): a loop that has little to do may be served by the thread of `host`, which has little to do
 * as well; its own thread, inside loop_run(), waits until the host has given it back. Nobody who uses either notices. Both
 * loops must live until both loop_run() have returned. */
struct lend_rules {
    int64_t look_ms;       /* a thread looks this often how much of the time it does not sleep */
    unsigned rest_percent; /* both together take less: the loop rests */
    int64_t calm_ms; /* but not sooner after it began or got its thread back; longer after each short rest */
    unsigned most_watches; /* one with more descriptors does not rest: lending looks at each; 0: no limit */
    unsigned
        wake_percent; /* the host takes that or more: its busiest guest gets its thread back, one at each look */
    int64_t
        turn_us; /* a turn of the host takes longer, half of it again, and does not only wait: all get theirs back */
};
#define LEND_RULES                               \
    ((struct lend_rules){ .look_ms = 100,        \
                          .rest_percent = 95,    \
                          .calm_ms = 200,        \
                          .most_watches = 10000, \
                          .wake_percent = 90,    \
                          .turn_us = 2000 })
/* Before loop_run() of either. A host is not lent itself. */
void loop_lend_to(struct loop *loop, struct loop *host, const struct lend_rules *rules);
/* It has no thread of its own now. Any thread. */
bool loop_rests(const struct loop *loop);
/* What takes long calls this now and then, inside a turn: others may be waiting for the thread. */
void loop_breathe(struct loop *loop);
/* For who is going to block, waiting for another loop: whoever shares the thread gets his own. False: it is not ours, and
 * blocking would hold up the loop that it belongs to; from the next turn on it is another. */
bool loop_claim_thread(struct loop *loop);

/* Signals: the loop's thread gets fn(ctx, signum); several may be watched. Freed with the loop. */
enum status loop_on_signal(struct loop *loop, int signum, void (*fn)(void *ctx, int signum), void *ctx,
                           struct why *why) MUST_CHECK;

#endif
