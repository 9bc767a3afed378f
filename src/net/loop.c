#include "net/loop_priv.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loop_signal {
    struct list link;
    uv_signal_t uv;
    void (*fn)(void *ctx, int signum);
    void *ctx;
};

/* -- life ------------------------------------------------------------------------------------------------ */

static void on_uv(struct loop_watch *watch, uint32_t events)
{
    struct loop *loop = CONTAINER_OF(watch, struct loop, uv_watch);
    (void)events;
    loop_begin_turn(loop);
    loop->uv_ready = true;
}

static void on_wake(struct loop_watch *watch, uint32_t events)
{
    (void)events;
    loop_begin_turn(CONTAINER_OF(watch, struct loop, wake_watch)); /* its end does the work */
}

static void close_set(struct loop *loop)
{
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    if (loop->set >= 0)
        close(loop->set);
}

static enum status loop_start(struct loop *loop)
{
    loop->uv_watch.ready = on_uv;
    loop->wake_watch.ready = on_wake;
    loop->set = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->set < 0 || loop->wake_fd < 0 || uv_loop_init(&loop->uv) != 0) {
        close_set(loop);
        return ST_IO;
    }
    loop->uv.data = loop;
    if (!loop_watch_set(loop, &loop->uv_watch, uv_backend_fd(&loop->uv), 0, EPOLLIN) ||
        !loop_watch_set(loop, &loop->wake_watch, loop->wake_fd, 0, EPOLLIN | EPOLLET)) {
        uv_loop_close(&loop->uv);
        close_set(loop);
        return ST_IO;
    }
    lending_init(loop);
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
    loop->again = true; /* the first turn comes without an event */
    loop->due_ms = LOOP_NEVER;
    loop->uv_wait = -1;
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
    loop_run_inbox(loop); /* streams may be on their way here, and tasks own memory */
    streams_abort_all(loop);
    while (!list_empty(&loop->chores))
        loop_run_chores(loop);
    loop_run_inbox(loop);
    struct list *link;
    while ((link = list_shift(&loop->signals)) != NULL) {
        struct loop_signal *s = CONTAINER_OF(link, struct loop_signal, link);
        uv_close((uv_handle_t *)&s->uv, signal_gone);
    }
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    ASSERT(uv_loop_close(&loop->uv) == 0); /* listeners, servers and clients were freed before */
    close_set(loop);
    lending_done(loop);
    free_memory(loop);
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
        (void)eventfd_write(loop->wake_fd, 1); /* cannot fail before 2^64 of them */
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
