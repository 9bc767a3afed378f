#include "as/waiting.h"

#include <stdlib.h>

#define LOOK_EVERY_MS 10 /* at most so often is everybody's place looked up, however fast changes come */

struct waiting {
    struct loop *loop;
    struct as *as;
    waiting_send_fn *send;
    struct list waiters;
    size_t clients, clients_max; /* of them, who is no resource server */
    struct loop_hook hook;
    struct timer look_again;
    int64_t seen;      /* as_status_version() when all were looked at */
    int64_t looked_ms; /* and when that was */
};

struct waiter {
    struct list link;
    struct waiting *waiting;
    struct http_later *later;
    struct as_wait wait;
    struct timer patience;
};

static void waiter_free(struct waiter *w)
{
    timer_stop(loop_timers(w->waiting->loop), &w->patience);
    w->waiting->clients -= !w->wait.is_rs;
    list_remove(&w->link);
    free(w);
}

static void answer(struct waiter *w, struct now now)
{
    struct as_response response;

    as_wait_answer(w->waiting->as, &w->wait, now, &response);
    w->waiting->send(&response, http_later_reply(w->later));
    as_response_done(&response);
    http_later_send(w->later);
    waiter_free(w);
}

static void on_gone(void *ctx)
{
    waiter_free(ctx);
}

static void on_patience(struct timer *timer, struct now now)
{
    answer(CONTAINER_OF(timer, struct waiter, patience), now);
}

/* Sooner or later whoever is due is answered: at the end of the turn that changed something, or a moment after. */
static void look(struct waiting *waiting, struct now now)
{
    int64_t due_ms = waiting->looked_ms + LOOK_EVERY_MS;
    int64_t version = list_empty(&waiting->waiters) ? waiting->seen : as_status_version(waiting->as);

    if (version == waiting->seen)
        return;
    if (now.mono.ms < due_ms) {
        if (!timer_running(&waiting->look_again))
            timer_start(loop_timers(waiting->loop), &waiting->look_again, (struct mono_time){ due_ms });
        return;
    }
    waiting->seen = version;
    waiting->looked_ms = now.mono.ms;
    LIST_EACH_SAFE (link, &waiting->waiters) {
        struct waiter *w = CONTAINER_OF(link, struct waiter, link);
        if (as_wait_due(waiting->as, &w->wait))
            answer(w, now);
    }
}

static void on_look_again(struct timer *timer UNUSED, struct now now UNUSED)
{
    /* The hook behind the timers looks. */
}

static bool on_turn_end(struct loop_hook *hook, struct now now)
{
    struct waiting *waiting = CONTAINER_OF(hook, struct waiting, hook);
    bool more = as_work(waiting->as, now);

    look(waiting, now);
    return more;
}

enum status waiting_new(struct loop *loop, struct as *as, waiting_send_fn *send, size_t clients_max,
                        struct waiting **ret_waiting, struct why *why)
{
    struct waiting *waiting = calloc(1, sizeof *waiting);

    if (waiting == NULL)
        return reject(why, ST_NO_MEMORY, "as server", "out of memory", 0);
    waiting->loop = loop;
    waiting->as = as;
    waiting->send = send;
    waiting->clients_max = clients_max;
    waiting->hook.turn_end = on_turn_end;
    list_init(&waiting->waiters);
    timer_init(&waiting->look_again, on_look_again);
    loop_hook_add(loop, &waiting->hook);
    *ret_waiting = waiting;
    return ST_OK;
}

void waiting_free(struct waiting *waiting)
{
    if (waiting == NULL)
        return;
    LIST_EACH_SAFE (link, &waiting->waiters)
        answer(CONTAINER_OF(link, struct waiter, link), loop_now(waiting->loop));
    timer_stop(loop_timers(waiting->loop), &waiting->look_again);
    loop_hook_remove(&waiting->hook);
    free(waiting);
}

static bool has_room(const struct waiting *waiting, const struct as_wait *wait)
{
    size_t count = 0;

    LIST_EACH (link, &waiting->waiters)
        count += strcmp(CONTAINER_OF(link, struct waiter, link)->wait.reader, wait->reader) == 0;
    return count < WAITING_PER_READER && (wait->is_rs || waiting->clients < waiting->clients_max);
}

bool waiting_hold(struct waiting *waiting, const struct http_request *request, const struct as_wait *wait)
{
    struct waiter *w = NULL;

    if (!has_room(waiting, wait))
        return false;
    w = calloc(1, sizeof *w);
    if (w == NULL)
        return false;
    w->later = http_later_new(request, on_gone, w);
    if (w->later == NULL) {
        free(w);
        return false;
    }
    /* What was not looked at while nobody waited is in the wait's own place. */
    if (list_empty(&waiting->waiters))
        waiting->seen = as_status_version(waiting->as);
    w->waiting = waiting;
    w->wait = *wait;
    waiting->clients += !wait->is_rs;
    timer_init(&w->patience, on_patience);
    timer_start(loop_timers(waiting->loop), &w->patience,
                mono_plus_ms(loop_now(waiting->loop).mono, wait->wait_s * MS_PER_S));
    list_append(&waiting->waiters, &w->link);
    return true;
}
