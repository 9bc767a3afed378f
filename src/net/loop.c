#include "net/loop_priv.h"

#include "base/record_blocks.h"

#include <stdlib.h>

struct loop_signal {
    struct list link;
    uv_signal_t uv;
    void (*fn)(void *ctx, int signum);
    void *ctx;
};

/* -- the end of a turn ----------------------------------------------------------------------------------- */

static void run_inbox(struct loop *loop)
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

/* Those there now; what they add in turn waits for the next call. */
static void run_chores(struct loop *loop)
{
    struct list batch;
    list_init(&batch);
    struct list *link;
    while ((link = list_shift(&loop->chores)) != NULL)
        list_append(&batch, link);
    while ((link = list_shift(&batch)) != NULL) {
        struct chore *chore = CONTAINER_OF(link, struct chore, link);
        chore->run(chore);
    }
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

static void on_timer(uv_timer_t *timer)
{
    struct loop *loop = timer->data;
    loop_begin_turn(loop);
    loop->timer_due = -1; /* the wheel itself is advanced at the end of the turn */
}

static void set_timer(struct loop *loop)
{
    int64_t wait = timer_wheel_wait_ms(&loop->wheel, loop->now.mono);
    int64_t due = wait < 0 ? -1 : loop->now.mono.ms + wait;
    if (due == loop->timer_due)
        return;
    loop->timer_due = due;
    if (due < 0)
        uv_timer_stop(&loop->timer);
    else
        uv_timer_start(&loop->timer, on_timer, (uint64_t)wait, 0);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being active is all that is wanted: the poll then does not wait */
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;
    loop_begin_turn(loop);
    atomic_store(&loop->kicked, false);
    run_inbox(loop);
    timer_wheel_advance(&loop->wheel, loop->now);
    run_chores(loop);
    bool again = run_hooks(loop);
    run_chores(loop);
    streams_flush(loop);
    run_chores(loop);

    loop->in_turn = false;
    /* Announce sleep first, then look once more: who kicks either sees us asleep, or we see the kick. */
    atomic_store(&loop->asleep, true);
    again |= !list_empty(&loop->chores) || !list_empty(&loop->dirty) || atomic_load(&loop->kicked);
    if (atomic_load(&loop->stop)) {
        uv_stop(&loop->uv);
        again = true;
    }
    if (again) {
        atomic_store(&loop->asleep, false);
        uv_idle_start(&loop->idle, on_idle);
    } else {
        uv_idle_stop(&loop->idle);
        set_timer(loop);
    }
}

void loop_begin_turn(struct loop *loop)
{
    if (loop->in_turn)
        return;
    loop->in_turn = true;
    atomic_store(&loop->asleep, false);
    loop->now = now_read();
    LIST_EACH_SAFE (it, &loop->hooks) {
        struct loop_hook *hook = CONTAINER_OF(it, struct loop_hook, link);
        if (hook->turn_begin != NULL)
            hook->turn_begin(hook, loop->now);
    }
}

/* A turn without any event: woken by a timer or by loop_wake(). */
static void on_check(uv_check_t *check)
{
    loop_begin_turn(check->data);
}

static void on_async(uv_async_t *async)
{
    (void)async; /* the turn that follows does the work */
}

/* -- life ------------------------------------------------------------------------------------------------ */

static enum status loop_start(struct loop *loop)
{
    if (uv_loop_init(&loop->uv) != 0)
        return ST_IO;
    loop->uv.data = loop;
    loop->prepare.data = loop->check.data = loop->async.data = loop->timer.data = loop->idle.data = loop;
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_timer_init(&loop->uv, &loop->timer);
    uv_idle_init(&loop->uv, &loop->idle);
    if (uv_async_init(&loop->uv, &loop->async, on_async) != 0) {
        uv_loop_close(&loop->uv);
        return ST_IO;
    }
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    return ST_OK;
}

static void free_memory(struct loop *loop)
{
    while (loop->spare_count > 0)
        buf_done(&loop->spares[--loop->spare_count]);
    buf_done(&loop->cipher);
    buf_done(&loop->framed);
    if (loop->plain_bytes != NULL)
        explicit_bzero(loop->plain_bytes, LOOP_PLAIN_BYTES);
    free(loop->plain_bytes);
    free(loop->read_bytes);
    free(loop);
}

enum status loop_new(struct loop **ret_loop, struct why *why)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    loop->read_bytes = malloc(LOOP_READ_BYTES);
    loop->plain_bytes = malloc(LOOP_PLAIN_BYTES);
    buf_init(&loop->cipher, SIZE_MAX / 2); /* the backlog limit of each stream bounds both */
    buf_init(&loop->framed, SIZE_MAX / 2);
    if (loop->read_bytes == NULL || loop->plain_bytes == NULL) {
        free_memory(loop);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    list_init(&loop->hooks);
    list_init(&loop->chores);
    list_init(&loop->dirty);
    list_init(&loop->streams);
    list_init(&loop->signals);
    atomic_init(&loop->inbox, NULL);
    atomic_init(&loop->asleep, false);
    atomic_init(&loop->kicked, false);
    atomic_init(&loop->stop, false);
    loop->now = now_read();
    loop->timer_due = -1;
    timer_wheel_init(&loop->wheel, loop->now.mono);
    if (loop_start(loop) != ST_OK) {
        free_memory(loop);
        return reject(why, ST_IO, "libuv", "cannot set up an event loop", 0);
    }
    *ret_loop = loop;
    return ST_OK;
}

static void signal_gone(uv_handle_t *handle)
{
    free(handle->data);
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    run_inbox(loop); /* streams may be on their way here, and tasks own memory */
    streams_abort_all(loop);
    while (!list_empty(&loop->chores))
        run_chores(loop);
    run_inbox(loop);
    struct list *link;
    while ((link = list_shift(&loop->signals)) != NULL) {
        struct loop_signal *s = CONTAINER_OF(link, struct loop_signal, link);
        uv_close((uv_handle_t *)&s->uv, signal_gone);
    }
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->async, NULL);
    uv_close((uv_handle_t *)&loop->timer, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    ASSERT(uv_loop_close(&loop->uv) == 0); /* listeners, servers and clients were freed before */
    free_memory(loop);
}

void loop_run(struct loop *loop)
{
    record_blocks_keep();
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    record_blocks_give_back();
    atomic_store(&loop->stop, false);
}

void loop_turn(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_NOWAIT);
}

void loop_turn_wait(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_ONCE);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stop, true);
    loop_wake(loop);
}

struct now loop_now(const struct loop *loop)
{
    return loop->now;
}

size_t loop_output_bytes(const struct loop *loop)
{
    return loop->output_bytes + loop->spare_bytes;
}

struct timer_wheel *loop_timers(struct loop *loop)
{
    return &loop->wheel;
}

/* -- work from elsewhere --------------------------------------------------------------------------------- */

void loop_post(struct loop *loop, struct loop_task *task)
{
    struct loop_task *head = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->inbox, &head, task, memory_order_release,
                                                    memory_order_relaxed));
    loop_wake(loop);
}

void loop_wake(struct loop *loop)
{
    atomic_store(&loop->kicked, true);
    if (atomic_load(&loop->asleep) && atomic_exchange(&loop->asleep, false)) {
        atomic_fetch_add_explicit(&loop->wakes, 1, memory_order_relaxed);
        uv_async_send(&loop->async);
    }
}

uint64_t loop_wakes(const struct loop *loop)
{
    return atomic_load_explicit(&loop->wakes, memory_order_relaxed);
}

void loop_hook_add(struct loop *loop, struct loop_hook *hook)
{
    list_append(&loop->hooks, &hook->link);
}

void loop_hook_remove(struct loop_hook *hook)
{
    list_remove(&hook->link);
}

static void on_signal(uv_signal_t *uv, int signum)
{
    struct loop_signal *s = uv->data;
    loop_begin_turn(uv->loop->data);
    s->fn(s->ctx, signum);
}

enum status loop_on_signal(struct loop *loop, int signum, void (*fn)(void *ctx, int signum), void *ctx,
                           struct why *why)
{
    struct loop_signal *s = calloc(1, sizeof *s);
    if (s == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    s->fn = fn;
    s->ctx = ctx;
    uv_signal_init(&loop->uv, &s->uv);
    s->uv.data = s;
    list_append(&loop->signals, &s->link);
    if (uv_signal_start(&s->uv, on_signal, signum) != 0)
        return reject(why, ST_IO, "signal", "cannot be watched", 0); /* freed with the loop */
    return ST_OK;
}

/* -- for the other files of net -------------------------------------------------------------------------- */

void loop_chore(struct loop *loop, struct chore *chore)
{
    if (!list_linked(&chore->link))
        list_append(&loop->chores, &chore->link);
}

struct buf loop_take_spare(struct loop *loop, size_t max)
{
    struct buf b;
    if (loop->spare_count > 0) {
        b = loop->spares[--loop->spare_count];
        loop->spare_bytes -= b.cap;
    } else {
        buf_init(&b, max);
        (void)buf_room(&b, LOOP_SPARE_MIN); /* so that it is worth keeping afterwards */
    }
    b.max = max;
    return b;
}

void loop_give_spare(struct loop *loop, struct buf *b)
{
    if (b->cap < LOOP_SPARE_MIN || loop->spare_bytes + b->cap > LOOP_SPARE_BYTES ||
        loop->spare_count == LOOP_SPARES || b->failed) {
        buf_done(b);
    } else {
        buf_reset(b);
        loop->spare_bytes += b->cap;
        loop->spares[loop->spare_count++] = *b;
        buf_init(b, b->max);
    }
}
