/* What the workers of a broker owe each other: an inbox is bounded, and emptying it does not stop everything else. The
 * workers here have no threads; the test turns their loops. */
#include "broker/worker_priv.h"
#include "shard/message.h"
#include "shard/shard_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define INBOX_BOUND ((size_t)300 * 1024 * 1024)

struct pair {
    struct worker_common common;
    struct shard_settings settings;
};

static void pair_init(struct pair *p)
{
    *p = (struct pair){ .common = { .count = 2 } };
    shard_settings_init(&p->settings);
    p->common.settings = &p->settings;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(worker_new(&p->common, i, NULL, NULL), ST_OK);
}

static void pair_free(struct pair *p)
{
    worker_free(p->common.workers[0]);
    worker_free(p->common.workers[1]);
}

static struct message *message_of(size_t payload)
{
    struct message *m = NULL;
    uint8_t *bytes = calloc(1, payload);
    struct message_parts parts = { .topic = SPAN("a/b"),
                                   .payload = span_of(bytes, payload),
                                   .expires_ms = TIME_NEVER,
                                   .token_until_s = TIME_NEVER };
    assert_non_null(bytes);
    assert_int_equal(message_new(&parts, &m), ST_OK);
    free(bytes);
    return m;
}

/* As route_publish() does it. */
static void post(struct pair *p, const struct message *m)
{
    struct worker *from = p->common.workers[0];
    struct shard_msg *msg = shard_msg_new(MSG_DELIVER, 0, SPAN_NONE);
    assert_non_null(msg);
    msg->message = message_ref(m);
    from->shard->world.post(from, 1, msg);
}

static size_t in_inbox(const struct pair *p)
{
    size_t n = 0;
    for (const struct shard_msg *msg = atomic_load(&p->common.workers[1]->inbox); msg != NULL; msg = msg->next)
        n++;
    return n;
}

static void post_other(struct pair *p, enum shard_msg_kind kind)
{
    struct worker *from = p->common.workers[0];
    struct shard_msg *msg = shard_msg_new(kind, 0, SPAN("a/b"));
    assert_non_null(msg);
    from->shard->world.post(from, 1, msg);
}

static void publications_travel_in_chains_and_nothing_overtakes_them(void **state) /* docs/decisions/0031 */
{
    struct pair p;
    struct message *m = message_of(1);
    (void)state;
    pair_init(&p);
    for (int i = 0; i < POST_CHAIN - 1; i++)
        post(&p, m);
    assert_int_equal(in_inbox(&p), 0);
    post(&p, m);
    assert_int_equal(in_inbox(&p), POST_CHAIN);
    post(&p, m);
    post(&p, m);
    post_other(&p, MSG_INTEREST_REMOVE);
    assert_int_equal(in_inbox(&p), POST_CHAIN + 3);
    const struct shard_msg *newest = atomic_load(&p.common.workers[1]->inbox);
    assert_int_equal(newest->kind, MSG_INTEREST_REMOVE);
    assert_int_equal(newest->next->kind, MSG_DELIVER);
    post(&p, m);
    loop_turn(p.common.workers[0]->loop); /* its end takes along what is left */
    assert_int_equal(in_inbox(&p), POST_CHAIN + 4);
    message_unref(m);
    pair_free(&p);
}

struct sleeper {
    struct loop *loop;
    atomic_int tid; /* 0: not there yet */
};

static void *sleep_once(void *data)
{
    struct sleeper *s = data;

    atomic_store(&s->tid, (int)gettid());
    loop_turn_wait(s->loop);
    return NULL;
}

/* Until the kernel says that the thread waits in epoll. */
static void wait_until_asleep(struct sleeper *s)
{
    char path[64], text[64];
    long call = -1;

    for (int i = 0; call != SYS_epoll_wait && call != SYS_epoll_pwait && call != SYS_epoll_pwait2; i++) {
        assert_true(i < 60000);
        usleep(1000);
        (void)snprintf(path, sizeof path, "/proc/self/task/%d/syscall", atomic_load(&s->tid));
        FILE *f = atomic_load(&s->tid) != 0 ? fopen(path, "r") : NULL;
        if (f != NULL && fgets(text, sizeof text, f) != NULL && text[0] >= '0' && text[0] <= '9')
            call = strtol(text, NULL, 10);
        if (f != NULL)
            (void)fclose(f);
    }
}

static void a_worker_is_woken_once_for_a_turn_and_only_when_it_sleeps(void **state)
{
    struct pair p;
    struct message *m = message_of(1);
    (void)state;
    pair_init(&p);
    struct loop *to = p.common.workers[1]->loop, *from = p.common.workers[0]->loop;
    uint64_t before = loop_wakes(to);
    struct sleeper sleeper = { .loop = to };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, sleep_once, &sleeper), 0);
    wait_until_asleep(&sleeper);
    for (int i = 0; i < 10 * POST_CHAIN; i++)
        post(&p, m);
    assert_int_equal(loop_wakes(to), before);
    loop_turn(from);
    assert_int_equal(loop_wakes(to), before + 1);
    pthread_join(thread, NULL);
    for (int i = 0; i < 10 * POST_CHAIN; i++)
        post(&p, m);
    loop_turn(from); /* it has been woken, and has not slept since */
    assert_int_equal(loop_wakes(to), before + 1);
    while (atomic_load(&p.common.workers[1]->inbox_bytes) > 0)
        loop_turn(to);
    message_unref(m);
    pair_free(&p);
}

static void a_flood_drops_messages_instead_of_filling_the_memory(void **state)
{
    enum { MESSAGES = 1000 };
    struct pair p;
    struct stats stats;
    struct message *m = message_of((size_t)1024 * 1024);
    (void)state;
    pair_init(&p);
    for (int i = 0; i < MESSAGES; i++)
        post(&p, m);
    assert_true(atomic_load(&p.common.workers[1]->inbox_bytes) < INBOX_BOUND);
    worker_stats(p.common.workers[0], &stats);
    assert_true(stats.dropped_queue_full > 0 && stats.dropped_queue_full < MESSAGES);
    for (int i = 0; i < MESSAGES && atomic_load(&p.common.workers[1]->inbox_bytes) > 0; i++)
        loop_turn(p.common.workers[1]->loop);
    assert_int_equal(atomic_load(&p.common.workers[1]->inbox_bytes), 0);
    for (int i = 0; i < POST_CHAIN; i++)
        post(&p, m); /* there is room again */
    assert_true(atomic_load(&p.common.workers[1]->inbox_bytes) > 0);
    message_unref(m);
    pair_free(&p);
}

static uint64_t dropped(struct pair *p)
{
    struct stats stats;
    worker_stats(p->common.workers[0], &stats);
    return atomic_load(&stats.dropped_queue_full);
}

static void post_take(struct pair *p, const struct message *m, bool counted)
{
    struct worker *from = p->common.workers[0];
    struct shard_msg *msg = shard_msg_new(MSG_SHARE_TAKE, 0, SPAN("$share/g/a"));
    assert_non_null(msg);
    msg->message = message_ref(m);
    msg->share.counted = counted;
    from->shard->world.post(from, 1, msg);
}

static void post_return(struct pair *p, const struct message *m)
{
    struct worker *from = p->common.workers[0];
    struct shard_msg *msg = shard_msg_new(MSG_SHARE_RETURN, 0, SPAN("$share/g/a"));
    assert_non_null(msg);
    msg->message = message_ref(m);
    from->shard->world.post(from, 1, msg);
}

/* Of a shared subscription: QoS 0 goes the way of all QoS 0, the rest is bounded by the member's window. */
static void what_a_member_has_room_for_is_not_dropped(void **state)
{
    struct pair p;
    struct message *m = message_of((size_t)1024 * 1024);
    uint64_t before;
    (void)state;
    pair_init(&p);
    while (dropped(&p) == 0)
        post(&p, m);
    before = dropped(&p);
    post_take(&p, m, true);
    assert_int_equal(dropped(&p), before);
    post_take(&p, m, false);
    assert_int_equal(dropped(&p), before + 1);
    post_return(&p, m);
    assert_int_equal(dropped(&p), before + 2);
    message_unref(m);
    pair_free(&p);
}

static void a_full_inbox_takes_many_turns_and_sockets_theirs_between_them(void **state)
{
    enum { MESSAGES = 1000000 };
    struct pair p;
    struct message *m = message_of(1);
    int turns = 0;
    (void)state;
    pair_init(&p);
    for (int i = 0; i < MESSAGES; i++)
        post(&p, m);
    while (atomic_load(&p.common.workers[1]->inbox_bytes) > 0) {
        assert_true(turns < MESSAGES);
        loop_turn(p.common.workers[1]->loop);
        turns++;
    }
    assert_true(turns > 2);
    message_unref(m);
    pair_free(&p);
}

static void what_is_left_in_an_inbox_is_freed_with_the_worker(void **state)
{
    struct pair p;
    struct message *m = message_of(1);
    (void)state;
    pair_init(&p);
    for (int i = 0; i < 100000; i++)
        post(&p, m);
    loop_turn(p.common.workers[1]->loop);
    for (int i = 0; i < 10; i++)
        post(&p, m);
    pair_free(&p);
    assert_int_equal(atomic_load(&m->refs), 1);
    message_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publications_travel_in_chains_and_nothing_overtakes_them),
        cmocka_unit_test(a_worker_is_woken_once_for_a_turn_and_only_when_it_sleeps),
        cmocka_unit_test(a_flood_drops_messages_instead_of_filling_the_memory),
        cmocka_unit_test(what_a_member_has_room_for_is_not_dropped),
        cmocka_unit_test(a_full_inbox_takes_many_turns_and_sockets_theirs_between_them),
        cmocka_unit_test(what_is_left_in_an_inbox_is_freed_with_the_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
