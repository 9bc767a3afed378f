#include "net/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define POSTERS 4
#define TASKS   20000

/* -- tasks --- */

struct numbered {
    struct loop_task task;
    int poster;
    int number;
    struct inbox *inbox;
};

struct inbox {
    struct loop *loop;
    int last[POSTERS];
    int count;
    bool in_order;
};

static void arrive(struct loop_task *task)
{
    struct numbered *n = CONTAINER_OF(task, struct numbered, task);
    struct inbox *inbox = n->inbox;
    inbox->in_order &= inbox->last[n->poster] + 1 == n->number;
    inbox->last[n->poster] = n->number;
    if (++inbox->count == POSTERS * TASKS)
        loop_stop(inbox->loop);
}

struct poster {
    pthread_t thread;
    struct numbered *tasks;
    struct loop *loop;
};

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < TASKS; i++)
        loop_post(p->loop, &p->tasks[i].task);
    return NULL;
}

static void tasks_of_many_threads_all_arrive_and_each_threads_in_order(void **state)
{
    struct inbox inbox = { .in_order = true };
    struct poster posters[POSTERS];
    (void)state;
    assert_int_equal(loop_new(&inbox.loop, NULL), ST_OK);
    for (int i = 0; i < POSTERS; i++) {
        inbox.last[i] = -1;
        posters[i].loop = inbox.loop;
        posters[i].tasks = calloc(TASKS, sizeof *posters[i].tasks);
        assert_non_null(posters[i].tasks);
        for (int k = 0; k < TASKS; k++)
            posters[i].tasks[k] = (struct numbered){ { NULL, arrive }, i, k, &inbox };
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
    loop_run(inbox.loop);
    assert_int_equal(inbox.count, POSTERS * TASKS);
    assert_true(inbox.in_order);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
        free(posters[i].tasks);
    }
    loop_free(inbox.loop);
}

/* Two loops that throw one task to and fro: a lost wake-up would hang it. */
struct pingpong {
    struct loop_task task;
    struct loop *loops[2];
    int throws;
};

static void throw_back(struct loop_task *task)
{
    struct pingpong *p = CONTAINER_OF(task, struct pingpong, task);
    if (p->throws == 0) {
        loop_stop(p->loops[0]);
        loop_stop(p->loops[1]);
    } else {
        p->throws--;
        loop_post(p->loops[p->throws & 1], task);
    }
}

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void no_wake_up_is_lost_between_two_sleeping_loops(void **state)
{
    struct pingpong p = { .task.run = throw_back, .throws = 20000 };
    pthread_t thread;
    (void)state;
    assert_int_equal(loop_new(&p.loops[0], NULL), ST_OK);
    assert_int_equal(loop_new(&p.loops[1], NULL), ST_OK);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, p.loops[1]), 0);
    loop_post(p.loops[0], &p.task);
    loop_run(p.loops[0]);
    pthread_join(thread, NULL);
    assert_int_equal(p.throws, 0);
    loop_free(p.loops[0]);
    loop_free(p.loops[1]);
}

/* -- hooks, wake-ups --- */

struct counting_hook {
    struct loop_hook hook;
    struct loop *loop;
    atomic_int wanted; /* set by another thread, which then calls loop_wake() */
    int seen;
    int begins, ends;
};

static void begin(struct loop_hook *hook, struct now now)
{
    struct counting_hook *c = CONTAINER_OF(hook, struct counting_hook, hook);
    (void)now;
    assert_int_equal(c->begins, c->ends);
    c->begins++;
}

static bool end(struct loop_hook *hook, struct now now)
{
    struct counting_hook *c = CONTAINER_OF(hook, struct counting_hook, hook);
    (void)now;
    c->ends++;
    assert_int_equal(c->begins, c->ends);
    c->seen = atomic_load(&c->wanted);
    if (c->seen == TASKS)
        loop_stop(c->loop);
    return false;
}

static void *count_up(void *arg)
{
    struct counting_hook *c = arg;
    for (int i = 0; i < TASKS; i++) {
        atomic_fetch_add(&c->wanted, 1);
        loop_wake(c->loop);
    }
    return NULL;
}

static void a_wake_up_runs_the_hooks_after_it(void **state)
{
    struct counting_hook c = { .hook = { .turn_begin = begin, .turn_end = end } };
    pthread_t thread;
    (void)state;
    assert_int_equal(loop_new(&c.loop, NULL), ST_OK);
    loop_hook_add(c.loop, &c.hook);
    assert_int_equal(pthread_create(&thread, NULL, count_up, &c), 0);
    loop_run(c.loop); /* ends only when the last count was seen */
    pthread_join(thread, NULL);
    assert_int_equal(c.seen, TASKS);
    loop_hook_remove(&c.hook);
    loop_free(c.loop);
}

static bool thrice(struct loop_hook *hook, struct now now)
{
    struct counting_hook *c = CONTAINER_OF(hook, struct counting_hook, hook);
    (void)now;
    if (++c->ends == 3)
        loop_stop(c->loop);
    return c->ends < 3;
}

static void a_hook_may_ask_for_another_turn_at_once(void **state)
{
    struct counting_hook c = { .hook = { .turn_end = thrice } };
    (void)state;
    assert_int_equal(loop_new(&c.loop, NULL), ST_OK);
    loop_hook_add(c.loop, &c.hook);
    loop_run(c.loop);
    assert_true(c.ends >= 3);
    loop_hook_remove(&c.hook);
    loop_free(c.loop);
}

/* -- timers --- */

struct alarm_clock {
    struct timer timer;
    struct loop *loop;
    struct mono_time rang;
};

static void ring(struct timer *timer, struct now now)
{
    struct alarm_clock *a = CONTAINER_OF(timer, struct alarm_clock, timer);
    a->rang = now.mono;
    loop_stop(a->loop);
}

static void a_timer_wakes_the_loop_and_never_early(void **state)
{
    struct alarm_clock a = { 0 };
    (void)state;
    assert_int_equal(loop_new(&a.loop, NULL), ST_OK);
    timer_init(&a.timer, ring);
    struct mono_time due = mono_plus_ms(now_read().mono, 30);
    timer_start(loop_timers(a.loop), &a.timer, due);
    loop_run(a.loop);
    assert_true(a.rang.ms >= due.ms);
    assert_true(a.rang.ms < due.ms + 30000);
    loop_free(a.loop);
}

/* -- signals --- */

static void stop_on_signal(void *ctx, int signum)
{
    struct alarm_clock *a = ctx;
    a->rang.ms = signum;
    loop_stop(a->loop);
}

static void a_signal_is_heard_on_the_loop(void **state)
{
    struct alarm_clock a = { 0 };
    (void)state;
    assert_int_equal(loop_new(&a.loop, NULL), ST_OK);
    assert_int_equal(loop_on_signal(a.loop, SIGUSR1, stop_on_signal, &a, NULL), ST_OK);
    raise(SIGUSR1);
    loop_run(a.loop);
    assert_int_equal(a.rang.ms, SIGUSR1);
    loop_free(a.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_of_many_threads_all_arrive_and_each_threads_in_order),
        cmocka_unit_test(no_wake_up_is_lost_between_two_sleeping_loops),
        cmocka_unit_test(a_wake_up_runs_the_hooks_after_it),
        cmocka_unit_test(a_hook_may_ask_for_another_turn_at_once),
        cmocka_unit_test(a_timer_wakes_the_loop_and_never_early),
        cmocka_unit_test(a_signal_is_heard_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
