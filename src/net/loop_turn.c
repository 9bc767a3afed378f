/* A turn of a loop; see loop_priv.h. */
#include "net/loop_priv.h"

#include "base/record_blocks.h"

#include <limits.h>

#define EVENTS 512 /* of one look; more are there at the next one */

/* -- the end of a turn ----------------------------------------------------------------------------------- */

void loop_run_inbox(struct loop *loop)
{
    struct loop_task *newest = atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acquire);
    struct loop_task *oldest = NULL;
    while (newest != NULL) {
        struct loop_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct loop_task *next = oldest->next; /* run() may post it again, or free it */
        oldest->run(oldest);
        oldest = next;
    }
}

bool loop_run_chores(struct loop *loop)
{
    bool any = !list_empty(&loop->chores);
    struct list batch;
    list_init(&batch);
    struct list *link;
    while ((link = list_shift(&loop->chores)) != NULL)
        list_append(&batch, link);
    while ((link = list_shift(&batch)) != NULL) {
        struct chore *chore = CONTAINER_OF(link, struct chore, link);
        chore->run(chore);
    }
    return any;
}

static bool run_hooks(struct loop *loop)
{
    bool again = false;
    LIST_EACH_SAFE (it, &loop->hooks) {
        struct loop_hook *hook = CONTAINER_OF(it, struct loop_hook, link);
        again |= hook->turn_end(hook, loop->now);
    }
    return again;
}

/* Milliseconds until libuv wants to be run, whatever its descriptors say; -1: never. Its own clock stands still while it
 * does not run, which matters only where it has timers. */
static int uv_wait_ms(struct loop *loop)
{
    if (!uv_loop_alive(&loop->uv))
        return -1;
    int wait_ms = uv_backend_timeout(&loop->uv);
    if (wait_ms > 0) {
        uv_update_time(&loop->uv);
        wait_ms = uv_backend_timeout(&loop->uv);
    }
    return wait_ms;
}

static void set_due(struct loop *loop)
{
    int64_t wait_ms = timer_wheel_wait_ms(&loop->wheel, loop->now.mono);

    loop->uv_wait = uv_wait_ms(loop);
    if (loop->uv_wait >= 0 && (wait_ms < 0 || loop->uv_wait < wait_ms))
        wait_ms = loop->uv_wait;
    loop->due_ms = wait_ms < 0 ? LOOP_NEVER : loop->now.mono.ms + wait_ms;
}

void loop_end_turn(struct loop *loop)
{
    loop_begin_turn(loop);
    atomic_store(&loop->kicked, false);
    loop_run_inbox(loop);
    timer_wheel_advance(&loop->wheel, loop->now);
    bool again = loop_run_chores(loop); /* who waits for what they did gets to look at it */
    again |= run_hooks(loop);
    loop_breathe(loop);
    again |= loop_run_chores(loop);
    streams_flush(loop);
    again |= loop_run_chores(loop);

    loop->in_turn = false;
    set_due(loop);
    loop->again = again || loop->uv_wait == 0 || !list_empty(&loop->chores) || !list_empty(&loop->dirty);
}

/* -- its beginning --------------------------------------------------------------------------------------- */

void loop_begin_turn(struct loop *loop)
{
    if (loop->in_turn)
        return;
    loop->in_turn = true;
    loop->now = now_read();
    LIST_EACH_SAFE (it, &loop->hooks) {
        struct loop_hook *hook = CONTAINER_OF(it, struct loop_hook, link);
        if (hook->turn_begin != NULL)
            hook->turn_begin(hook, loop->now);
    }
}

void loop_ask(struct loop *loop, int wait_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(loop->set, events, EVENTS, wait_ms); /* a signal is as good as nothing */

    if (loop->lending.host == NULL)
        lending_awake(loop);
    for (int i = 0; i < n; i++) {
        struct loop_watch *watch = events[i].data.ptr;

        watch->ready(watch, events[i].events);
        loop_breathe(loop);
    }
    if (loop->uv_ready || loop->uv_wait >= 0) {
        loop->uv_ready = false;
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    }
}

bool loop_watch_set(struct loop *loop, struct loop_watch *watch, int fd, uint32_t was, uint32_t events)
{
    struct epoll_event e = { .events = events, .data.ptr = watch };
    int what = was == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (was == events)
        return true;
    if (epoll_ctl(loop->set, what, fd, &e) != 0)
        return false;
    loop->watches += what == EPOLL_CTL_ADD;
    loop->watches -= what == EPOLL_CTL_DEL;
    return true;
}

/* -- running --------------------------------------------------------------------------------------------- */

/* Not longer than until then. */
static int wait_until(int64_t due_ms, int64_t now_ms)
{
    if (due_ms == LOOP_NEVER)
        return -1;
    if (due_ms <= now_ms)
        return 0;
    return due_ms - now_ms < INT_MAX ? (int)(due_ms - now_ms) : INT_MAX;
}

void loop_run(struct loop *loop)
{
    record_blocks_keep();
    lending_open(loop);
    for (;;) {
        int64_t now_ms = lending_turns(loop);
        if (atomic_load(&loop->stop))
            break;
        lending_look(loop, now_ms);
        loop_ask(loop, wait_until(lending_sleep(loop), now_ms));
    }
    lending_close(loop);
    record_blocks_give_back();
    atomic_store(&loop->stop, false);
}

void loop_turn(struct loop *loop)
{
    loop_end_turn(loop);
    loop_ask(loop, 0);
    loop_begin_turn(loop);
}

void loop_turn_wait(struct loop *loop)
{
    loop_end_turn(loop);
    loop_ask(loop, wait_until(lending_sleep(loop), loop->now.mono.ms));
    loop_begin_turn(loop);
}
