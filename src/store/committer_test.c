/* Group commit over threads: every batch posted is stored, in its owner's order, whatever the disk does meanwhile. */
#include "store/committer.h"
#include "store/kv_world_test.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

/* ---- a disk that fails or stands still when told ---- */

static atomic_int sync_error;   /* an errno: every sync fails */
static atomic_bool sync_stands; /* every sync waits until this is false */
static atomic_uint syncs;

int fdatasync(int fd);

int fdatasync(int fd)
{
    atomic_fetch_add(&syncs, 1);
    while (atomic_load(&sync_stands))
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    int error = atomic_load(&sync_error);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- the other side ---- */

#define OWNERS  4
#define BATCHES 60

struct world {
    struct scratch s;
    struct kv *kv;
    struct committer *c;
    sem_t stored[OWNERS];
    uint64_t last_stored[OWNERS]; /* of the committer's thread */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum status states[16];
    unsigned state_count;
};

static void on_stored(void *ctx, unsigned owner, uint64_t seq)
{
    struct world *w = ctx;

    assert_int_equal(seq, w->last_stored[owner] + 1);
    w->last_stored[owner] = seq;
    sem_post(&w->stored[owner]);
}

static void on_state(void *ctx, enum status st, const struct why *why)
{
    struct world *w = ctx;

    assert_true(st == ST_OK || why->clause != NULL);
    pthread_mutex_lock(&w->lock);
    if (w->state_count < COUNT_OF(w->states))
        w->states[w->state_count++] = st;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void expect_state(struct world *w, unsigned number, enum status st)
{
    pthread_mutex_lock(&w->lock);
    while (w->state_count < number)
        pthread_cond_wait(&w->changed, &w->lock);
    assert_int_equal(w->states[number - 1], st);
    pthread_mutex_unlock(&w->lock);
}

static void begin_world(struct world *w, uint64_t max_bytes)
{
    struct committer_calls calls = { on_stored, on_state, w };
    struct kv_settings settings = { .max_bytes = max_bytes };

    *w = (struct world){ 0 };
    scratch_make(&w->s);
    for (unsigned i = 0; i < OWNERS; i++)
        sem_init(&w->stored[i], 0, 0);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    assert_int_equal(kv_open(w->s.store, &settings, &w->kv, NULL), ST_OK);
    assert_int_equal(committer_new(w->kv, OWNERS, &calls, &w->c), ST_OK);
}

static void end_world(struct world *w)
{
    unsigned lost;
    bool stuck;

    if (w->c != NULL)
        assert_int_equal(committer_stop(w->c, 5000, &lost, &stuck), ST_OK);
    kv_close(w->kv);
    for (unsigned i = 0; i < OWNERS; i++)
        sem_destroy(&w->stored[i]);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->changed);
    scratch_remove(&w->s);
}

static struct kv_batch batch_of(const char *key, size_t len)
{
    struct kv_batch b;

    kv_batch_init(&b, 16 << 20);
    struct buf *value = kv_batch_put_begin(&b, span_of_str(key));
    uint8_t *room = buf_room(value, len);
    assert_non_null(room);
    memset(room, 'v', len);
    buf_added(value, len);
    assert_int_equal(kv_batch_put_end(&b), ST_OK);
    return b;
}

static void wait_stored(struct world *w, unsigned owner)
{
    while (sem_wait(&w->stored[owner]) != 0)
        ;
}

struct poster {
    struct world *w;
    unsigned owner;
};

static void *post_many(void *arg)
{
    struct poster *p = arg;
    char key[32];

    for (unsigned seq = 1; seq <= BATCHES; seq++) {
        (void)snprintf(key, sizeof key, "%u/%05u", p->owner, seq);
        committer_post(p->w->c, p->owner, seq, batch_of(key, 1 + seq % 50));
        wait_stored(p->w, p->owner);
    }
    return NULL;
}

static void owners_share_commits_and_lose_nothing(void **state UNUSED)
{
    struct world w;
    struct committer_stats stats;
    struct kv_stats store;
    pthread_t threads[OWNERS];
    struct poster posters[OWNERS];

    begin_world(&w, 64 << 20);
    for (unsigned i = 0; i < OWNERS; i++) {
        posters[i] = (struct poster){ &w, i };
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    for (unsigned i = 0; i < OWNERS; i++)
        pthread_join(threads[i], NULL);
    committer_stats(w.c, &stats);
    assert_int_equal(stats.batches, OWNERS * BATCHES);
    assert_int_equal(stats.changes, OWNERS * BATCHES);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.waiting_bytes, 0);
    assert_true(stats.commits >= BATCHES && stats.commits <= OWNERS * BATCHES);
    assert_true(stats.longest_us >= stats.last_us);
    assert_int_equal(w.state_count, 0); /* all was well from the start */
    assert_int_equal(kv_stats(w.kv, &store, NULL), ST_OK);
    assert_int_equal(store.entries, OWNERS * BATCHES);
    end_world(&w);
}

/* While one commit is under way the others gather: three owners, one commit. */
static void what_waits_becomes_one_commit(void **state UNUSED)
{
    struct world w;
    struct committer_stats stats;

    begin_world(&w, 64 << 20);
    atomic_store(&syncs, 0);
    atomic_store(&sync_stands, true);
    committer_post(w.c, 0, 1, batch_of("first", 1));
    while (atomic_load(&syncs) == 0)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    for (unsigned i = 1; i < OWNERS; i++)
        committer_post(w.c, i, 1, batch_of("waits", i));
    committer_stats(w.c, &stats);
    assert_int_equal(stats.waiting, OWNERS);
    assert_true(stats.waiting_bytes > 0);
    atomic_store(&sync_stands, false);
    for (unsigned i = 0; i < OWNERS; i++)
        wait_stored(&w, i);
    committer_stats(w.c, &stats);
    assert_int_equal(stats.commits, 2);
    end_world(&w);
}

static void a_failing_disk_is_told_once_and_nothing_is_lost(void **state UNUSED)
{
    struct world w;
    struct committer_stats stats;

    begin_world(&w, 64 << 20);
    atomic_store(&sync_error, EIO);
    committer_post(w.c, 0, 1, batch_of("a", 10));
    expect_state(&w, 1, ST_IO);
    committer_post(w.c, 1, 1, batch_of("b", 10)); /* posted while it fails: goes with the next attempt */
    do {
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
        committer_stats(w.c, &stats);
    } while (stats.failures < 2);
    atomic_store(&sync_error, ENOSPC);
    expect_state(&w, 2, ST_QUOTA); /* another reason is another state */
    atomic_store(&sync_error, 0);
    wait_stored(&w, 0);
    wait_stored(&w, 1);
    expect_state(&w, 3, ST_OK);
    expect(w.kv, "a", "vvvvvvvvvv");
    expect(w.kv, "b", "vvvvvvvvvv");
    committer_post(w.c, 0, 2, batch_of("a", 1));
    wait_stored(&w, 0);
    assert_int_equal(w.state_count, 3);
    end_world(&w);
}

struct looker {
    struct kv *kv;
    atomic_bool end;
    unsigned looks;
};

static enum status first_byte(void *ctx, struct span key UNUSED, struct span value)
{
    struct buf *seen = ctx;

    put_u8(seen, value.p[0]);
    return ST_OK;
}

/* Looks in every way there is until told to end. */
static void *look(void *arg)
{
    struct looker *l = arg;
    struct kv_stats stats;
    struct kv_findings found;

    while (!atomic_load(&l->end)) {
        struct buf seen;
        buf_init(&seen, 100);
        enum status st = kv_scan(l->kv, SPAN("pair"), first_byte, &seen, NULL);
        assert_int_equal(st, ST_OK);
        assert_true(seen.len == 0 || (seen.len == 2 && seen.p[0] == seen.p[1])); /* one committed state */
        buf_done(&seen);
        assert_int_equal(kv_stats(l->kv, &stats, NULL), ST_OK);
        assert_int_equal(kv_check(l->kv, &found, NULL), ST_OK);
        assert_null(found.first.clause);
        l->looks++;
    }
    return NULL;
}

static void who_looks_meanwhile_sees_committed_states(void **state UNUSED)
{
    struct world w;
    struct looker looker = { 0 };
    pthread_t thread;

    begin_world(&w, 64 << 20);
    looker.kv = w.kv;
    assert_int_equal(pthread_create(&thread, NULL, look, &looker), 0);
    for (unsigned seq = 1; seq <= 120; seq++) {
        struct kv_batch b;
        uint8_t value = (uint8_t)seq;
        kv_batch_init(&b, 1000);
        assert_int_equal(kv_batch_put(&b, SPAN("pair/a"), span_of(&value, 1)), ST_OK);
        assert_int_equal(kv_batch_put(&b, SPAN("pair/b"), span_of(&value, 1)), ST_OK);
        if (seq % 40 == 20)
            atomic_store(&sync_error, EIO);
        committer_post(w.c, 0, seq, b);
        if (seq % 40 == 20) {
            expect_state(&w, seq / 40 * 2 + 1, ST_IO); /* the environment was opened again under the looker */
            atomic_store(&sync_error, 0);
        }
        wait_stored(&w, 0);
    }
    atomic_store(&looker.end, true);
    pthread_join(thread, NULL);
    assert_true(looker.looks > 0);
    end_world(&w);
}

/* The limit of the store is a state although commits go on; what cannot go in at all holds up nobody else. */
static void a_full_store_is_a_state(void **state UNUSED)
{
    struct world w;
    uint64_t seq = 0;
    char key[16];

    begin_world(&w, 1 << 20);
    while (w.state_count == 0) {
        (void)snprintf(key, sizeof key, "k%05u", (unsigned)++seq);
        committer_post(w.c, 0, seq, batch_of(key, 10000));
        wait_stored(&w, 0);
    }
    expect_state(&w, 1, ST_TOO_LARGE);
    atomic_store(&sync_stands, true);
    atomic_store(&syncs, 0);
    committer_post(w.c, 3, 1, batch_of("small", 1));
    while (atomic_load(&syncs) == 0)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    committer_post(w.c, 1, 1, batch_of("huge", 8 << 20)); /* beyond twice the limit */
    committer_post(w.c, 2, 1, batch_of("little", 1));
    atomic_store(&sync_stands, false);
    wait_stored(&w, 3);
    wait_stored(&w, 2);
    expect(w.kv, "little", "v");
    expect(w.kv, "huge", NULL);
    expect_state(&w, 2, ST_QUOTA); /* and that batch not even so */
    unsigned lost;
    bool stuck;
    assert_int_equal(committer_stop(w.c, 150, &lost, &stuck), ST_TIMEOUT);
    assert_int_equal(lost, 1);
    assert_false(stuck);
    w.c = NULL;
    end_world(&w);
}

static void stopping_stores_what_was_posted(void **state UNUSED)
{
    struct world w;
    unsigned lost;
    bool stuck;

    begin_world(&w, 64 << 20);
    for (unsigned i = 0; i < OWNERS; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%u", i);
        committer_post(w.c, i, 1, batch_of(key, 1));
    }
    assert_int_equal(committer_stop(w.c, 60000, &lost, &stuck), ST_OK);
    assert_int_equal(lost, 0);
    w.c = NULL;
    expect_contents(w.kv, "k", "k0=v;k1=v;k2=v;k3=v;");
    end_world(&w);
}

/* A failure just before the end is tried again at once, and until the deadline. */
static void stopping_tries_again_until_the_deadline(void **state UNUSED)
{
    struct world w;
    unsigned lost;
    bool stuck;

    begin_world(&w, 64 << 20);
    atomic_store(&sync_error, EIO);
    committer_post(w.c, 0, 1, batch_of("a", 1));
    expect_state(&w, 1, ST_IO);
    assert_int_equal(committer_stop(w.c, 120, &lost, &stuck), ST_TIMEOUT);
    assert_int_equal(lost, 1);
    assert_false(stuck);
    w.c = NULL;
    atomic_store(&sync_error, 0);
    end_world(&w);
}

/* The thread and what it holds are left behind for good, so this comes last, with a world that stays. */
static void a_disk_that_does_not_answer_does_not_hold_up_the_end(void **state UNUSED)
{
    static struct world w;
    unsigned lost;
    bool stuck;

    begin_world(&w, 64 << 20);
    atomic_store(&sync_stands, true);
    committer_post(w.c, 0, 1, batch_of("a", 1));
    assert_int_equal(committer_stop(w.c, 50, &lost, &stuck), ST_TIMEOUT);
    assert_int_equal(lost, 1);
    assert_true(stuck);
    atomic_store(&sync_stands, false); /* too late: nothing is told any more */
    assert_int_equal(sem_timedwait(&w.stored[0], &(struct timespec){ .tv_sec = 0 }), -1);
    scratch_remove(&w.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_share_commits_and_lose_nothing),
        cmocka_unit_test(what_waits_becomes_one_commit),
        cmocka_unit_test(a_failing_disk_is_told_once_and_nothing_is_lost),
        cmocka_unit_test(who_looks_meanwhile_sees_committed_states),
        cmocka_unit_test(a_full_store_is_a_state),
        cmocka_unit_test(stopping_stores_what_was_posted),
        cmocka_unit_test(stopping_tries_again_until_the_deadline),
        cmocka_unit_test(a_disk_that_does_not_answer_does_not_hold_up_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
