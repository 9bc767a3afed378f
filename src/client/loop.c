#include "client/error_priv.h"
#include "client/loop_priv.h"

#include <stdlib.h>

struct symbolon_timer {
    struct timer timer;
    struct list link;
    struct symbolon_loop *loop;
    void (*fn)(void *arg);
    void *arg;
};

struct posted {
    struct loop_task task;
    void (*fn)(void *arg);
    void *arg;
};

enum symbolon_status symbolon_loop_new(struct symbolon_loop **ret_loop, struct symbolon_error *error)
{
    struct symbolon_loop *l = calloc(1, sizeof *l);
    struct why why = { 0 };

    if (l == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    list_init(&l->timers);
    enum status st = loop_new(&l->loop, &why);
    if (st == ST_OK)
        st = http_client_new(l->loop, &l->http, &why);
    if (st != ST_OK) {
        symbolon_loop_free(l);
        return error_from(error, st, &why);
    }
    *ret_loop = l;
    return SYMBOLON_OK;
}

void symbolon_loop_free(struct symbolon_loop *loop)
{
    if (loop == NULL)
        return;
    LIST_EACH_SAFE (link, &loop->timers) {
        symbolon_timer_cancel(CONTAINER_OF(link, struct symbolon_timer, link));
    }
    http_client_free(loop->http);
    if (loop->loop != NULL)
        loop_free(loop->loop);
    free(loop);
}

void symbolon_loop_run(struct symbolon_loop *loop)
{
    loop_run(loop->loop);
}

void symbolon_loop_stop(struct symbolon_loop *loop)
{
    loop_stop(loop->loop);
}

enum symbolon_status symbolon_loop_on_signal(struct symbolon_loop *loop, int signum,
                                             void (*fn)(void *arg, int signum), void *arg,
                                             struct symbolon_error *error)
{
    struct why why = { 0 };
    enum status st = loop_on_signal(loop->loop, signum, fn, arg, &why);

    return st == ST_OK ? SYMBOLON_OK : error_from(error, st, &why);
}

static void run_posted(struct loop_task *task)
{
    struct posted *p = CONTAINER_OF(task, struct posted, task);
    void (*fn)(void *arg) = p->fn;
    void *arg = p->arg;

    free(p);
    fn(arg);
}

bool symbolon_loop_post(struct symbolon_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct posted *p = calloc(1, sizeof *p);

    if (p == NULL)
        return false;
    p->task.run = run_posted;
    p->fn = fn;
    p->arg = arg;
    loop_post(loop->loop, &p->task);
    return true;
}

static void timer_fired(struct timer *timer, struct now now UNUSED)
{
    struct symbolon_timer *t = CONTAINER_OF(timer, struct symbolon_timer, timer);
    void (*fn)(void *arg) = t->fn;
    void *arg = t->arg;

    list_remove(&t->link);
    free(t);
    fn(arg);
}

struct symbolon_timer *symbolon_loop_after(struct symbolon_loop *loop, uint32_t ms, void (*fn)(void *arg),
                                           void *arg)
{
    struct symbolon_timer *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    *t = (struct symbolon_timer){ .loop = loop, .fn = fn, .arg = arg };
    timer_init(&t->timer, timer_fired);
    list_append(&loop->timers, &t->link);
    timer_start(loop_timers(loop->loop), &t->timer, mono_plus_ms(loop_now(loop->loop).mono, ms));
    return t;
}

void symbolon_timer_cancel(struct symbolon_timer *timer)
{
    if (timer == NULL)
        return;
    timer_stop(loop_timers(timer->loop->loop), &timer->timer);
    list_remove(&timer->link);
    free(timer);
}
