#include "traffic.h"

#include "load/pace.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAMPLES_MAX (4u << 20)
#define DRAIN_NS    (3 * SECOND_NS)
#define READY_NS    (20 * SECOND_NS)
#define POLL_US     1000

struct sample {
    int64_t due_ns, took_ns;
};

/* Seen by both; the child writes. */
struct shared {
    atomic_bool ready, stop;
    struct traffic_counts counts;
    size_t samples;
    struct sample sample[SAMPLES_MAX];
};

struct traffic {
    pid_t child;
    struct shared *shared;
};

/* ---- the child ---- */

struct pair {
    struct peer sub, pub;
    struct track track;
    struct shared *shared;
    char topic[32];
};

static void got(struct peer *peer, const struct stamp *stamp)
{
    struct pair *pair = CONTAINER_OF(peer, struct pair, sub);
    struct shared *shared = pair->shared;

    if (stamp->publisher != pair->track.publisher || !track_got(&pair->track, stamp->number))
        return;
    shared->counts.received++;
    if (shared->samples < SAMPLES_MAX)
        shared->sample[shared->samples++] =
            (struct sample){ stamp->sent_ns, peer->world->loop->now_ns - stamp->sent_ns };
}

static void open_pairs(struct bench *bench, struct pair *pairs, struct shared *shared, size_t identity)
{
    struct peer *peers[2 * TRAFFIC_PAIRS];

    for (size_t i = 0; i < TRAFFIC_PAIRS; i++) {
        struct pair *pair = &pairs[i];
        *pair = (struct pair){ .shared = shared, .track = { .publisher = (uint32_t)i } };
        snprintf(pair->topic, sizeof pair->topic, "bench/line/%zu", i);
        init_peer(bench, &pair->sub, identity + 2 * i);
        init_peer(bench, &pair->pub, identity + 2 * i + 1);
        pair->sub.filter = pair->pub.topic = pair->topic;
        pair->sub.message = got;
        pair->pub.publisher = (uint32_t)i;
        peers[2 * i] = &pair->sub;
        peers[2 * i + 1] = &pair->pub;
    }
    open_peers(bench, peers, COUNT_OF(peers));
}

static void publish_until_told(struct bench *bench, struct pair *pairs, struct shared *shared, double per_s)
{
    struct pace pace = pace_from(link_now(), per_s);

    while (!atomic_load(&shared->stop)) {
        int64_t now = link_now(), due;
        for (due = pace_due(&pace); due <= now; due = pace_due(&pace)) {
            peer_publish(&pairs[pace.count++ % TRAFFIC_PAIRS].pub, due);
            shared->counts.sent++;
        }
        link_loop_turn(&bench->loop, due - link_now());
    }
}

static void run_child(struct bench *bench, struct shared *shared, double per_s, size_t identity)
{
    struct pair *pairs = calloc(TRAFFIC_PAIRS, sizeof *pairs);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (pairs == NULL)
        die("out of memory");
    /* The sessions are the parent's alone: what it closes would stay open here, and in its epoll. */
    (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    bench->prefix = "others";
    open_loop(bench); /* its own: an epoll is shared after a fork */
    open_pairs(bench, pairs, shared, identity);
    atomic_store(&shared->ready, true);
    publish_until_told(bench, pairs, shared, per_s);
    for (int64_t until = link_now() + DRAIN_NS;
         shared->counts.received < shared->counts.sent && link_now() < until;)
        link_loop_turn(&bench->loop, SECOND_NS / 100);
    for (size_t i = 0; i < TRAFFIC_PAIRS; i++) {
        shared->counts.lost += pairs[i].pub.sent - pairs[i].track.received;
        shared->counts.twice += pairs[i].track.twice;
        shared->counts.late += pairs[i].track.late;
    }
    free(pairs);
    _exit(0);
}

/* ---- the parent ---- */

struct traffic *traffic_start(const struct bench *bench, double per_s, size_t identity)
{
    struct traffic *t = calloc(1, sizeof *t);
    struct bench *own = malloc(sizeof *own);
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (t == NULL || own == NULL || shared == MAP_FAILED)
        die("out of memory");
    *own = *bench;
    t->shared = shared;
    (void)fflush(stdout);
    t->child = fork();
    if (t->child < 0)
        die("no second process");
    if (t->child == 0)
        run_child(own, shared, per_s, identity);
    free(own);
    int64_t until = link_now() + READY_NS;
    while (!atomic_load(&shared->ready)) {
        if (waitpid(t->child, NULL, WNOHANG) != 0 || link_now() > until)
            die("the others do not connect");
        (void)usleep(POLL_US);
    }
    return t;
}

struct traffic_counts traffic_stop(struct traffic *t)
{
    int status = 0;

    atomic_store(&t->shared->stop, true);
    if (waitpid(t->child, &status, 0) != t->child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die("the others did not end well");
    return t->shared->counts;
}

void traffic_window(const struct traffic *t, int64_t from_ns, int64_t to_ns, struct histogram *latency)
{
    for (size_t i = 0; i < t->shared->samples; i++)
        if (t->shared->sample[i].due_ns >= from_ns && t->shared->sample[i].due_ns < to_ns)
            histogram_add(latency, t->shared->sample[i].took_ns);
}

void traffic_free(struct traffic *t)
{
    (void)munmap(t->shared, sizeof *t->shared);
    free(t);
}
