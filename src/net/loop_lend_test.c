/* Loops whose threads rest while another one serves them: nothing that happens to them may be lost or late, whoever has
 * them at the moment. */
#include "net/loop.h"
#include "net/stream.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define GUESTS     3
#define PATIENCE_S 60
#define NEVER_BUSY 1000000 /* percent */

/* It rests as soon as it can, and stays. */
static const struct lend_rules at_once = {
    .look_ms = 1, .rest_percent = NEVER_BUSY, .wake_percent = NEVER_BUSY, .turn_us = 1000000000
};
/* It rests as soon as it can, and gets its thread back at each look. */
static const struct lend_rules to_and_fro = {
    .look_ms = 1, .rest_percent = NEVER_BUSY, .wake_percent = 0, .turn_us = 1
};

struct crew {
    struct loop *host;
    struct loop *guests[GUESTS];
    pthread_t threads[1 + GUESTS];
};

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void crew_new(struct crew *c, const struct lend_rules *rules)
{
    assert_int_equal(loop_new(&c->host, NULL), ST_OK);
    for (int i = 0; i < GUESTS; i++) {
        assert_int_equal(loop_new(&c->guests[i], NULL), ST_OK);
        loop_lend_to(c->guests[i], c->host, rules);
    }
}

static void crew_run(struct crew *c)
{
    assert_int_equal(pthread_create(&c->threads[GUESTS], NULL, run_loop, c->host), 0);
    for (int i = 0; i < GUESTS; i++)
        assert_int_equal(pthread_create(&c->threads[i], NULL, run_loop, c->guests[i]), 0);
}

static void crew_start(struct crew *c, const struct lend_rules *rules)
{
    crew_new(c, rules);
    crew_run(c);
}

static void crew_stop(struct crew *c)
{
    loop_stop(c->host);
    for (int i = 0; i < GUESTS; i++)
        loop_stop(c->guests[i]);
    for (int i = 0; i <= GUESTS; i++)
        pthread_join(c->threads[i], NULL);
}

static void crew_free(struct crew *c)
{
    for (int i = 0; i < GUESTS; i++)
        loop_free(c->guests[i]);
    loop_free(c->host);
}

/* True in the end, or the test fails. Whoever is to do something is woken again and again: looks are taken in turns only. */
static void wait_for(struct crew *c, bool (*seen)(const void *ctx), const void *ctx)
{
    const struct timespec moment = { .tv_nsec = 1000000 };

    for (int i = 0; !seen(ctx); i++) {
        assert_true(i < PATIENCE_S * 1000);
        loop_wake(c->host);
        for (int k = 0; k < GUESTS; k++)
            loop_wake(c->guests[k]);
        nanosleep(&moment, NULL);
    }
}

static bool all_rest(const void *ctx)
{
    const struct crew *c = ctx;
    bool all = true;

    for (int i = 0; i < GUESTS; i++)
        all &= loop_rests(c->guests[i]);
    return all;
}

static bool nobody_rests(const void *ctx)
{
    const struct crew *c = ctx;
    bool any = false;

    for (int i = 0; i < GUESTS; i++)
        any |= loop_rests(c->guests[i]);
    return !any;
}

/* A task that tells on which thread it ran. */
struct errand {
    struct loop_task task;
    pthread_t thread;
    atomic_bool done;
};

static void errand_run(struct loop_task *task)
{
    struct errand *e = CONTAINER_OF(task, struct errand, task);
    e->thread = pthread_self();
    atomic_store(&e->done, true);
}

static bool is_set(const void *ctx)
{
    const atomic_bool *flag = ctx;
    return atomic_load(flag);
}

/* Nobody wakes anybody beside the task itself. */
static pthread_t where_it_runs(struct loop *loop)
{
    struct errand e = { .task.run = errand_run };
    const struct timespec moment = { .tv_nsec = 1000000 };

    loop_post(loop, &e.task);
    for (int i = 0; !is_set(&e.done); i++) {
        assert_true(i < PATIENCE_S * 1000);
        nanosleep(&moment, NULL);
    }
    return e.thread;
}

static void the_hosts_thread_serves_those_that_rest(void **state)
{
    struct crew c;
    (void)state;
    crew_start(&c, &at_once);
    wait_for(&c, all_rest, &c);
    for (int i = 0; i < GUESTS; i++)
        assert_true(pthread_equal(where_it_runs(c.guests[i]), c.threads[GUESTS]));
    crew_stop(&c);
    crew_free(&c);
}

static void a_guest_that_is_stopped_gets_its_thread_back_and_the_others_stay(void **state)
{
    struct crew c;
    (void)state;
    crew_start(&c, &at_once);
    wait_for(&c, all_rest, &c);
    loop_stop(c.guests[0]);
    pthread_join(c.threads[0], NULL);
    assert_false(loop_rests(c.guests[0]));
    assert_true(pthread_equal(where_it_runs(c.guests[1]), c.threads[GUESTS]));
    assert_int_equal(pthread_create(&c.threads[0], NULL, run_loop, c.guests[0]), 0);
    crew_stop(&c);
    crew_free(&c);
}

static void when_the_host_stops_all_get_their_threads_back(void **state)
{
    struct crew c;
    (void)state;
    crew_start(&c, &at_once);
    wait_for(&c, all_rest, &c);
    loop_stop(c.host);
    pthread_join(c.threads[GUESTS], NULL);
    assert_true(nobody_rests(&c));
    for (int i = 0; i < GUESTS; i++)
        assert_true(pthread_equal(where_it_runs(c.guests[i]), c.threads[i]));
    assert_int_equal(pthread_create(&c.threads[GUESTS], NULL, run_loop, c.host), 0);
    crew_stop(&c);
    crew_free(&c);
}

/* -- a turn that takes long --- */

struct long_turn {
    struct loop_task task;
    struct crew *crew;
    atomic_bool guests_are_back;
};

static void be_busy(struct loop_task *task)
{
    struct long_turn *t = CONTAINER_OF(task, struct long_turn, task);
    time_t until = time(NULL) + PATIENCE_S;

    while (!nobody_rests(t->crew) && time(NULL) < until)
        loop_breathe(t->crew->host);
    atomic_store(&t->guests_are_back, nobody_rests(t->crew));
}

static void a_long_turn_of_the_host_gives_everybody_his_thread_back_before_it_ends(void **state)
{
    const struct lend_rules rules = {
        .look_ms = 1, .rest_percent = NEVER_BUSY, .wake_percent = NEVER_BUSY, .turn_us = 2000
    };
    struct crew c;
    struct long_turn t = { .task.run = be_busy, .crew = &c };
    (void)state;
    crew_start(&c, &rules);
    wait_for(&c, all_rest, &c);
    loop_post(c.host, &t.task);
    const struct timespec moment = { .tv_nsec = 1000000 };
    for (int i = 0; i < PATIENCE_S * 2000 && !atomic_load(&t.guests_are_back); i++)
        nanosleep(&moment, NULL);
    assert_true(atomic_load(&t.guests_are_back));
    crew_stop(&c);
    crew_free(&c);
}

/* -- claiming --- */

struct claim {
    struct loop_task task;
    struct loop *loop;
    atomic_int got; /* 0: not asked yet; 1: no; 2: yes */
};

static void claim_thread(struct loop_task *task)
{
    struct claim *claim = CONTAINER_OF(task, struct claim, task);
    atomic_store(&claim->got, loop_claim_thread(claim->loop) ? 2 : 1);
}

static int claim(struct loop *loop)
{
    struct claim c = { .task.run = claim_thread, .loop = loop };
    const struct timespec moment = { .tv_nsec = 1000000 };

    loop_post(loop, &c.task);
    for (int i = 0; atomic_load(&c.got) == 0; i++) {
        assert_true(i < PATIENCE_S * 1000);
        nanosleep(&moment, NULL);
    }
    return atomic_load(&c.got);
}

static void who_must_wait_for_another_has_the_thread_to_himself(void **state)
{
    struct crew c;
    (void)state;
    crew_start(&c, &at_once);
    wait_for(&c, all_rest, &c);
    assert_int_equal(claim(c.guests[1]), 1);
    assert_int_equal(claim(c.host), 2);
    crew_stop(&c);
    crew_free(&c);
}

/* -- timers --- */

struct alarm_clock {
    struct timer timer;
    struct loop *loop;
    struct mono_time due;
    atomic_int rings;
    atomic_bool early;
};

static void ring(struct timer *timer, struct now now)
{
    struct alarm_clock *a = CONTAINER_OF(timer, struct alarm_clock, timer);
    if (now.mono.ms < a->due.ms)
        atomic_store(&a->early, true);
    atomic_fetch_add(&a->rings, 1);
    a->due = mono_plus_ms(now.mono, 10);
    timer_start(loop_timers(a->loop), timer, a->due);
}

struct set_alarm {
    struct loop_task task;
    struct alarm_clock *alarm;
};

static void set_alarm(struct loop_task *task)
{
    struct set_alarm *s = CONTAINER_OF(task, struct set_alarm, task);
    s->alarm->due = mono_plus_ms(loop_now(s->alarm->loop).mono, 10);
    timer_start(loop_timers(s->alarm->loop), &s->alarm->timer, s->alarm->due);
}

/* While nothing at all happens: only the timer can end the host's sleep. */
static void a_guests_timer_ends_the_hosts_sleep_and_never_early(void **state)
{
    struct crew c;
    struct alarm_clock a = { 0 };
    struct set_alarm s = { .task.run = set_alarm, .alarm = &a };
    const struct timespec moment = { .tv_nsec = 1000000 };
    (void)state;
    crew_start(&c, &at_once);
    wait_for(&c, all_rest, &c);
    timer_init(&a.timer, ring);
    a.loop = c.guests[GUESTS - 1];
    loop_post(a.loop, &s.task);
    for (int i = 0; atomic_load(&a.rings) < 10; i++) {
        assert_true(i < PATIENCE_S * 1000);
        nanosleep(&moment, NULL);
    }
    assert_false(atomic_load(&a.early));
    assert_true(all_rest(&c));
    crew_stop(&c);
    crew_free(&c);
}

/* -- one task from loop to loop, whoever has them --- */

struct relay {
    struct loop_task task;
    struct loop *loops[1 + GUESTS];
    unsigned throws;
    unsigned seed;
    atomic_bool done;
};

static void throw_on(struct loop_task *task)
{
    struct relay *r = CONTAINER_OF(task, struct relay, task);
    if (r->throws == 0) {
        atomic_store(&r->done, true);
        return;
    }
    r->throws--;
    r->seed = r->seed * 1103515245 + 12345;
    loop_post(r->loops[(r->seed >> 16) % (1 + GUESTS)], task);
}

static void relay(const struct lend_rules *rules, unsigned throws)
{
    struct crew c;
    struct relay r = { .task.run = throw_on, .throws = throws, .seed = 1 };
    const struct timespec moment = { .tv_nsec = 1000000 };

    crew_start(&c, rules);
    memcpy(r.loops, c.guests, sizeof c.guests);
    r.loops[GUESTS] = c.host;
    loop_post(c.host, &r.task);
    for (int i = 0; !atomic_load(&r.done); i++) { /* a lost wake-up hangs it */
        assert_true(i < PATIENCE_S * 1000);
        nanosleep(&moment, NULL);
    }
    crew_stop(&c);
    crew_free(&c);
}

static void no_wake_up_is_lost_among_those_of_one_thread(void **state)
{
    (void)state;
    relay(&at_once, 20000);
}

static void no_wake_up_is_lost_while_loops_change_hands(void **state)
{
    (void)state;
    relay(&to_and_fro, 20000);
}

/* -- streams --- */

struct echo {
    struct stream *stream;
    struct loop *loop;
    struct loop_task task;
    int fd;
    atomic_bool closed;
};

static size_t send_back(void *ctx, struct span data)
{
    struct echo *e = ctx;
    stream_send(e->stream, data);
    return data.len;
}

static void echo_closed(void *ctx, enum status st UNUSED, const struct why *why UNUSED)
{
    struct echo *e = ctx;
    atomic_store(&e->closed, true);
}

static const struct stream_events echo_events = { NULL, send_back, NULL, NULL, echo_closed };

static void echo_open(struct loop_task *task)
{
    struct echo *e = CONTAINER_OF(task, struct echo, task);
    const struct stream_settings plain = { 0 };
    assert_int_equal(stream_new(e->loop, e->fd, &plain, &echo_events, e, &e->stream, NULL), ST_OK);
}

static void echo_through(struct echo *e, int fd, int times)
{
    for (int i = 0; i < times; i++) {
        char byte = (char)i, back = 0;
        assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
        assert_int_equal(recv(fd, &back, 1, 0), 1);
        assert_int_equal(back, byte);
    }
    assert_false(atomic_load(&e->closed));
}

/* They come, are heard and go, while their loop rests or changes hands at every turn. */
static void streams(const struct lend_rules *rules)
{
    struct timeval patience = { .tv_sec = PATIENCE_S };
    struct crew c;
    struct echo echoes[GUESTS];
    int fds[GUESTS];

    crew_start(&c, rules);
    for (int i = 0; i < GUESTS; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        fds[i] = pair[0];
        echoes[i] = (struct echo){ .loop = c.guests[i], .task.run = echo_open, .fd = pair[1] };
        loop_post(c.guests[i], &echoes[i].task);
    }
    for (int n = 0; n < 20; n++)
        for (int i = 0; i < GUESTS; i++)
            echo_through(&echoes[i], fds[i], 100);
    for (int i = 0; i < GUESTS; i++)
        close(fds[i]);
    for (int i = 0; i < GUESTS; i++)
        wait_for(&c, is_set, &echoes[i].closed);
    crew_stop(&c);
    crew_free(&c);
}

static void streams_of_a_loop_that_rests_are_heard(void **state)
{
    (void)state;
    streams(&at_once);
}

static void streams_of_a_loop_that_changes_hands_are_heard(void **state)
{
    (void)state;
    streams(&to_and_fro);
}

/* -- not for long --- */

static void threads_that_are_busy_do_not_rest(void **state)
{
    const struct lend_rules rules = { .look_ms = 1, .rest_percent = 0, .wake_percent = 0, .turn_us = 1 };
    struct crew c;
    (void)state;
    crew_start(&c, &rules);
    for (int n = 0; n < 50; n++)
        for (int i = 0; i < GUESTS; i++)
            assert_true(pthread_equal(where_it_runs(c.guests[i]), c.threads[i]));
    assert_true(nobody_rests(&c));
    crew_stop(&c);
    crew_free(&c);
}

/* -- threads that others keep from working --- */

struct labour {
    struct loop_hook hook;
    struct loop *guest;
    pthread_t thread; /* of the host */
    struct mono_time until;
    bool endless;
    atomic_bool rested, done;
};

/* Never without work, so its loop never sleeps. */
static bool toil(struct loop_hook *hook, struct now now)
{
    struct labour *l = CONTAINER_OF(hook, struct labour, hook);

    if (loop_rests(l->guest))
        atomic_store(&l->rested, true);
    if (now.mono.ms >= l->until.ms)
        atomic_store(&l->done, true);
    return true;
}

static void *spin(void *stop)
{
    while (!atomic_load((atomic_bool *)stop))
        continue;
    return NULL;
}

/* Everybody on one core, which others want too: each gets a fifth of it, and yet has more to do than it gets done. */
static void threads_that_get_little_of_a_core_do_not_rest_while_they_have_work(void **state)
{
    const struct lend_rules rules = {
        .look_ms = 50, .rest_percent = 95, .calm_ms = 50, .wake_percent = 90, .turn_us = 2000
    };
    struct crew c;
    struct labour labours[1 + GUESTS] = { 0 };
    pthread_t others[GUESTS];
    atomic_bool stop = false;
    cpu_set_t before, one;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    crew_new(&c, &rules);
    for (int i = 0; i <= GUESTS; i++) {
        struct loop *loop = i < GUESTS ? c.guests[i] : c.host;
        labours[i].hook.turn_end = toil;
        labours[i].guest = c.guests[i % GUESTS];
        labours[i].until =
            mono_plus_ms(now_read().mono, 1500); /* some looks; what is not seen is not waited for */
        loop_hook_add(loop, &labours[i].hook);
    }
    for (int i = 0; i < GUESTS; i++)
        assert_int_equal(pthread_create(&others[i], NULL, spin, &stop), 0);
    crew_run(&c);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    for (int i = 0; i <= GUESTS; i++)
        wait_for(&c, is_set, &labours[i].done);
    atomic_store(&stop, true);
    for (int i = 0; i < GUESTS; i++)
        pthread_join(others[i], NULL);
    for (int i = 0; i <= GUESTS; i++)
        assert_false(atomic_load(&labours[i].rested));
    crew_stop(&c);
    crew_free(&c);
}

/* -- many descriptors --- */

static bool all_but_the_first_rest(const void *ctx)
{
    const struct crew *c = ctx;

    return !loop_rests(c->guests[0]) && loop_rests(c->guests[1]) && loop_rests(c->guests[2]);
}

/* A host serves the one that has few, never the others: libuv's and the one that wakes it are two. */
static void a_loop_with_many_descriptors_keeps_its_thread(void **state)
{
    struct lend_rules rules = at_once;
    struct crew c;
    (void)state;
    rules.most_watches = 2;
    crew_start(&c, &rules);
    struct echo e = { .loop = c.guests[0], .task.run = echo_open };
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    e.fd = pair[1];
    wait_for(&c, all_rest, &c);
    loop_post(c.guests[0], &e.task);
    echo_through(&e, pair[0], 1); /* who rests already, stays */
    assert_true(all_rest(&c));
    assert_int_equal(claim(c.host), 2);
    wait_for(&c, all_but_the_first_rest, &c);
    for (int i = 0; i < 100; i++)
        assert_true(pthread_equal(where_it_runs(c.guests[0]), c.threads[0]));
    assert_false(loop_rests(c.guests[0]));
    close(pair[0]);
    wait_for(&c, all_rest, &c); /* few again */
    assert_true(atomic_load(&e.closed));
    crew_stop(&c);
    crew_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hosts_thread_serves_those_that_rest),
        cmocka_unit_test(a_guest_that_is_stopped_gets_its_thread_back_and_the_others_stay),
        cmocka_unit_test(when_the_host_stops_all_get_their_threads_back),
        cmocka_unit_test(a_long_turn_of_the_host_gives_everybody_his_thread_back_before_it_ends),
        cmocka_unit_test(who_must_wait_for_another_has_the_thread_to_himself),
        cmocka_unit_test(a_guests_timer_ends_the_hosts_sleep_and_never_early),
        cmocka_unit_test(no_wake_up_is_lost_among_those_of_one_thread),
        cmocka_unit_test(no_wake_up_is_lost_while_loops_change_hands),
        cmocka_unit_test(streams_of_a_loop_that_rests_are_heard),
        cmocka_unit_test(streams_of_a_loop_that_changes_hands_are_heard),
        cmocka_unit_test(threads_that_are_busy_do_not_rest),
        cmocka_unit_test(threads_that_get_little_of_a_core_do_not_rest_while_they_have_work),
        cmocka_unit_test(a_loop_with_many_descriptors_keeps_its_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
