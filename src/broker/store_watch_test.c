/* A disk that stands still is reported, and so is the end of it. */
#include "broker/store_watch.h"
#include "net/loop.h"
#include "store/committer.h"
#include "store/kv_world_test.h"

#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

static atomic_bool sync_stands; /* every sync waits until this is false */
static atomic_bool sync_fails;  /* and then this is what it says */

int fdatasync(int fd);

int fdatasync(int fd)
{
    while (atomic_load(&sync_stands))
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    if (atomic_load(&sync_fails)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

struct world {
    struct scratch s;
    struct kv *kv;
    struct committer *c;
    struct loop *loop;
    struct store_watch *watch;
    atomic_bool stalled, failing;
    atomic_uint stored;
    char log[4096];
    char said[128];
};

static struct world *world; /* the one there is: a service manager is told without a context */

static void on_stored(void *ctx, unsigned owner UNUSED, uint64_t seq)
{
    struct world *w = ctx;

    atomic_store(&w->stored, (unsigned)seq);
}

static void on_state(void *ctx, enum status st, const struct why *why UNUSED)
{
    struct world *w = ctx;

    atomic_store(&w->failing, st != ST_OK);
}

static void on_notify(const char *state)
{
    (void)snprintf(world->said, sizeof world->said, "%s", state);
}

static void on_line(void *ctx, enum log_level level UNUSED, struct span line)
{
    struct world *w = ctx;
    size_t len = strlen(w->log);

    (void)snprintf(w->log + len, sizeof w->log - len, "%.*s\n", SPAN_FMT(line));
}

static void post(struct world *w, unsigned seq)
{
    struct kv_batch batch;

    kv_batch_init(&batch, SIZE_MAX);
    assert_int_equal(kv_batch_put(&batch, SPAN("k"), SPAN("v")), ST_OK);
    committer_post(w->c, 0, seq, batch);
}

static void turn_until(struct world *w, bool stalled)
{
    while (atomic_load(&w->stalled) != stalled)
        loop_turn_wait(w->loop);
}

static size_t lines(const struct world *w, const char *event)
{
    size_t n = 0;

    for (const char *at = w->log; (at = strstr(at, event)) != NULL; at++)
        n++;
    return n;
}

static void world_init(struct world *w)
{
    struct committer_calls calls = { on_stored, on_state, w };
    struct kv_settings settings = { .max_bytes = 1 << 20 };

    *w = (struct world){ 0 };
    world = w;
    scratch_make(&w->s);
    log_set_sink(on_line, w);
    assert_int_equal(kv_open(w->s.store, &settings, &w->kv, NULL), ST_OK);
    assert_int_equal(committer_new(w->kv, 1, &calls, &w->c), ST_OK);
    assert_int_equal(loop_new(&w->loop, NULL), ST_OK);
    assert_int_equal(store_watch_new(w->loop, w->c, 100, &w->failing, &w->stalled, on_notify, &w->watch),
                     ST_OK);
}

static void world_done(struct world *w)
{
    unsigned lost;
    bool stuck;

    store_watch_free(w->watch);
    assert_int_equal(committer_stop(w->c, 10000, &lost, &stuck), ST_OK);
    loop_free(w->loop);
    kv_close(w->kv);
    scratch_remove(&w->s);
    log_set_sink(NULL, NULL);
}

static void a_disk_that_does_not_answer_is_reported_until_it_does(void **state UNUSED)
{
    struct world w;

    world_init(&w);
    for (unsigned seq = 1; seq <= 2; seq++) {
        atomic_store(&sync_stands, true);
        post(&w, seq);
        turn_until(&w, true);
        assert_int_equal(atomic_load(&w.stored), seq - 1);
        assert_int_equal(lines(&w, " error store_stalled ms="), seq);
        assert_int_equal(lines(&w, " notice store_goes_on ms="), seq - 1);
        assert_string_equal(w.said, "STATUS=The disk does not answer: what must be durable waits");
        loop_turn_wait(w.loop); /* it is said once */
        assert_int_equal(lines(&w, "store_stalled"), seq);
        atomic_store(&sync_stands, false);
        turn_until(&w, false);
        assert_int_equal(lines(&w, " notice store_goes_on ms="), seq);
        assert_string_equal(w.said, STORE_STATE_SERVING);
        while (atomic_load(&w.stored) != seq)
            loop_turn_wait(w.loop);
    }
    world_done(&w);
}

/* Its state is the committer's to tell, who has done so already: not taken back. */
static void a_disk_that_ends_with_an_error_does_not_count_as_serving(void **state UNUSED)
{
    struct world w;

    world_init(&w);
    atomic_store(&sync_stands, true);
    atomic_store(&sync_fails, true);
    post(&w, 1);
    turn_until(&w, true);
    atomic_store(&sync_stands, false);
    while (!atomic_load(&w.failing)) /* before the watch looks again */
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    turn_until(&w, false);
    assert_string_equal(w.said, STORE_STATE_FAILING);
    atomic_store(&sync_fails, false);
    while (atomic_load(&w.stored) != 1)
        loop_turn_wait(w.loop);
    assert_false(atomic_load(&w.failing));
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_does_not_answer_is_reported_until_it_does),
        cmocka_unit_test(a_disk_that_ends_with_an_error_does_not_count_as_serving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
