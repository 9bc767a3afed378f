/* Lending: threads that have little to do cost more than one that does it all, since each sleeps and is woken by itself. So a
 * loop may rest: its thread waits, and the thread of its host takes its turns. What the guest waits for is one descriptor
 * in the host's set; what host and guests post to each other needs no wake-up.
 *
 *   AWAKE ──(lending_look: little to do here and there)──▶ ARRIVING ──(the host's next turn)──▶ RESTS ──▶ AWAKE
 *                                                                        (the host is busy, or its turn long; stop)
 *
 * A loop changes hands only between its turns, by whoever has it, under the host's lock: so nothing in it needs any. What
 * other threads do meanwhile - post, wake, stop - leaves its mark in the atomics, and whoever gets the loop looks at them
 * first. */
#include "net/loop_priv.h"

#include <time.h>

#define WORTH     8     /* times the calm before it: so long a rest was a good one */
#define CALM_MOST 64    /* times rules.calm_ms */
#define NAP_NS    10000 /* asking the kernel takes time as well: what is shorter was no sleep */
#define ROUNDS    4 /* of what host and guests post to each other, before their sockets are looked at again */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t); /* of these clocks it cannot fail */
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct loop *guest_of(struct lodging *lodging)
{
    return CONTAINER_OF(lodging, struct loop, lending.lodging);
}

static bool has_guests(const struct lending *l)
{
    return !list_empty(&l->guests) || !list_empty(&l->served) || l->running != NULL;
}

static struct loop *thread_of(struct loop *loop)
{
    return loop->lending.host != NULL ? loop->lending.host : loop;
}

/* -- from hand to hand ----------------------------------------------------------------------------------- */

static void on_guest(struct loop_watch *watch, uint32_t events)
{
    struct lodging *lodging = CONTAINER_OF(watch, struct lodging, watch);
    (void)events;
    lodging->readable = true;
}

/* Its set becomes one descriptor of the host's, by its own thread: the kernel then looks at everything in it once (0.4 us
 * each), for which the host's clients do not have to wait. */
static bool move_in(struct loop *loop, struct loop *host)
{
    const struct lend_rules *rules = &loop->lending.rules;
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = &loop->lending.lodging.watch };

    return (rules->most_watches == 0 || loop->watches <= rules->most_watches) &&
           epoll_ctl(host->set, EPOLL_CTL_ADD, loop->set, &e) == 0;
}

static void move_out(struct loop *loop, struct loop *host)
{
    (void)epoll_ctl(host->set, EPOLL_CTL_DEL, loop->set, &(struct epoll_event){ 0 });
}

static void give_back(struct loop *host, struct lodging *lodging)
{
    struct loop *guest = guest_of(lodging);

    move_out(guest, host);
    list_remove(&lodging->link);
    guest->lending.host = NULL;
    guest->again = true; /* its thread looks at everything once, and whether it has been stopped */
    pthread_mutex_lock(&host->lending.lock);
    atomic_store(&guest->lending.rests, false);
    pthread_cond_signal(&guest->lending.back);
    pthread_mutex_unlock(&host->lending.lock);
}

static void give_all_back(struct loop *host, struct list *lodgings)
{
    while (!list_empty(lodgings))
        give_back(host, CONTAINER_OF(lodgings->next, struct lodging, link));
}

static void take_arrivals(struct loop *host)
{
    struct lending *l = &host->lending;
    struct list batch;
    struct list *link;

    list_init(&batch);
    pthread_mutex_lock(&l->lock);
    list_splice(&batch, &l->arrivals);
    atomic_store(&l->arrived, false);
    pthread_mutex_unlock(&l->lock);
    while ((link = list_shift(&batch)) != NULL) {
        struct lodging *lodging = CONTAINER_OF(link, struct lodging, link);
        struct loop *guest = guest_of(lodging);

        lodging->readable = true; /* look at everything once */
        lodging->busy_ns = 0;
        guest->lending.host = host;
        list_append(&l->guests, &lodging->link);
    }
    l->turn_ns = l->long_ns = clock_ns(CLOCK_MONOTONIC); /* what went before was nobody's loss */
    l->long_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void begin_looks(struct loop *loop)
{
    struct lending *l = &loop->lending;

    l->looked_ms = now_read().mono.ms;
    l->looked_ns = clock_ns(CLOCK_MONOTONIC);
    l->slept_ns = 0;
}

/* It was worth it, or it will be longer until the next try: so what costs one thread as much as two does not go to and fro. */
static void learn(struct loop *loop, int64_t rested_ms)
{
    struct lending *l = &loop->lending;

    l->woken_ms = l->looked_ms;
    if (rested_ms >= WORTH * l->calm_ms)
        l->calm_ms = l->rules.calm_ms;
    else if (l->calm_ms < CALM_MOST * l->rules.calm_ms)
        l->calm_ms *= 2;
}

/* Returns when the thread has its loop again. */
static void rest(struct loop *loop, unsigned load)
{
    int64_t since_ms = loop->lending.looked_ms;
    struct loop *host = loop->lending.to;
    struct lending *h = &host->lending;

    if (!move_in(loop, host))
        return;
    pthread_mutex_lock(&h->lock);
    bool open = h->open;
    if (open) {
        atomic_store(&loop->lending.rests, true);
        list_append(&h->arrivals, &loop->lending.lodging.link);
        atomic_store(&h->arrived, true);
        atomic_fetch_add(&h->load, load); /* so that not all come at once because there is room for one */
        loop_wake(host);
    }
    while (open && atomic_load(&loop->lending.rests))
        pthread_cond_wait(&loop->lending.back, &h->lock);
    pthread_mutex_unlock(&h->lock);
    if (!open)
        move_out(loop, host);
    begin_looks(loop);
    learn(loop, loop->lending.looked_ms - since_ms);
}

void lending_open(struct loop *loop)
{
    begin_looks(loop);
    loop->lending.woken_ms = loop->lending.looked_ms;
    loop->lending.calm_ms = loop->lending.rules.calm_ms;
    pthread_mutex_lock(&loop->lending.lock);
    loop->lending.open = true;
    pthread_mutex_unlock(&loop->lending.lock);
}

void lending_close(struct loop *loop)
{
    struct lending *l = &loop->lending;

    pthread_mutex_lock(&l->lock);
    l->open = false;
    pthread_mutex_unlock(&l->lock);
    take_arrivals(loop);
    give_all_back(loop, &l->guests);
}

/* -- turns ----------------------------------------------------------------------------------------------- */

static void serve(struct loop *host, struct lodging *lodging, int64_t now_ms)
{
    struct lending *l = &host->lending;
    struct loop *guest = guest_of(lodging);
    bool ask = lodging->readable || guest->again || guest->uv_wait >= 0;

    if (!ask && !loop_wants_turn(guest, now_ms)) {
        list_append(&l->served, &lodging->link);
        return;
    }
    int64_t began_ns = clock_ns(CLOCK_MONOTONIC);
    l->running = guest;
    lodging->readable = false;
    if (ask)
        loop_ask(guest, 0);
    if (loop_wants_turn(guest, now_ms))
        loop_end_turn(guest);
    l->running = NULL;
    lodging->busy_ns += clock_ns(CLOCK_MONOTONIC) - began_ns;
    list_append(&l->served, &lodging->link);
    if (l->free_all || atomic_load(&guest->stop))
        give_back(host, lodging);
}

static void serve_all(struct loop *host, int64_t now_ms)
{
    struct lending *l = &host->lending;
    struct list *link;

    while ((link = list_shift(&l->guests)) != NULL)
        serve(host, CONTAINER_OF(link, struct lodging, link), now_ms);
    list_splice(&l->guests, &l->served);
    l->free_all = false;
}

/* By each other, or by another thread. */
static bool is_kicked(const struct loop *host)
{
    bool kicked = atomic_load(&host->kicked) || atomic_load(&host->lending.arrived);

    LIST_EACH (it, &host->lending.guests)
        kicked |= atomic_load(&guest_of(CONTAINER_OF(it, struct lodging, link))->kicked);
    return kicked;
}

int64_t lending_turns(struct loop *host)
{
    struct lending *l = &host->lending;

    if (atomic_load(&l->arrived))
        take_arrivals(host);
    if (!has_guests(l)) {
        loop_end_turn(host);
        return host->now.mono.ms;
    }
    int64_t now_ms = now_read().mono.ms;
    for (int i = 0; i == 0 || (i < ROUNDS && is_kicked(host)); i++) {
        if (loop_wants_turn(host, now_ms))
            loop_end_turn(host);
        serve_all(host, now_ms);
    }
    return now_ms;
}

static void announce(struct loop *host, bool asleep)
{
    atomic_store(&host->asleep, asleep);
    LIST_EACH (it, &host->lending.guests)
        atomic_store(&guest_of(CONTAINER_OF(it, struct lodging, link))->asleep, asleep);
}

/* Sleep is announced first, then they look once more: who kicks either sees them asleep, or they see the kick. */
int64_t lending_sleep(struct loop *host)
{
    int64_t due_ms = host->due_ms;

    if (host->again)
        return 0;
    LIST_EACH (it, &host->lending.guests) {
        const struct loop *guest = guest_of(CONTAINER_OF(it, struct lodging, link));

        if (guest->again)
            return 0;
        if (guest->due_ms < due_ms)
            due_ms = guest->due_ms;
    }
    announce(host, true);
    if (is_kicked(host)) {
        announce(host, false);
        return 0;
    }
    if (host->lending.rules.look_ms != 0)
        host->lending.sleeps_ns = clock_ns(CLOCK_MONOTONIC);
    return due_ms;
}

void lending_awake(struct loop *loop)
{
    struct lending *l = &loop->lending;

    announce(loop, false);
    if (l->sleeps_ns == 0 && !has_guests(l))
        return;
    l->turn_ns = clock_ns(CLOCK_MONOTONIC);
    if (l->sleeps_ns != 0 && l->turn_ns - l->sleeps_ns >= NAP_NS)
        l->slept_ns += l->turn_ns - l->sleeps_ns;
    l->sleeps_ns = 0;
}

/* -- who rests, and who does not -------------------------------------------------------------------------- */

static void give_busiest_back(struct loop *host)
{
    struct lodging *busiest = NULL;

    LIST_EACH (it, &host->lending.guests) {
        struct lodging *lodging = CONTAINER_OF(it, struct lodging, link);

        if (busiest == NULL || lodging->busy_ns > busiest->busy_ns)
            busiest = lodging;
    }
    give_back(host, busiest);
}

/* In percent of the time since the last look: the part that was not slept away. A thread that never sleeps has more to do than
 * it gets done, even if that is because others have its core most of the time: two threads then get more of it than one. */
static unsigned measure(struct loop *loop)
{
    struct lending *l = &loop->lending;
    int64_t ns = l->looked_ns, slept_ns = l->slept_ns;

    begin_looks(loop);
    ns = l->looked_ns - ns;
    unsigned load = ns > slept_ns ? (unsigned)((ns - slept_ns) * 100 / ns) : 0;
    atomic_store(&l->load, load);
    atomic_store(&l->load_ms, l->looked_ms);
    return load;
}

/* Of a thread that may have been silent for long: it sleeps, or has a very long turn. */
static unsigned load_of(const struct loop *host, int64_t now_ms)
{
    const struct lending *h = &host->lending;

    if (now_ms - atomic_load(&h->load_ms) <= 3 * h->rules.look_ms)
        return atomic_load(&h->load);
    return atomic_load(&host->asleep) ? 0 : 100;
}

void lending_look(struct loop *loop, int64_t now_ms)
{
    struct lending *l = &loop->lending;

    if (l->rules.look_ms == 0 || now_ms - l->looked_ms < l->rules.look_ms)
        return;
    unsigned load = measure(loop);
    if (has_guests(l) && load >= l->rules.wake_percent)
        give_busiest_back(loop);
    LIST_EACH (it, &l->guests)
        CONTAINER_OF(it, struct lodging, link)->busy_ns = 0;
    if (l->to != NULL && now_ms - l->woken_ms >= l->calm_ms &&
        load + load_of(l->to, now_ms) < l->rules.rest_percent)
        rest(loop, load);
}

/* All that are not at it get their threads back at once; who is at it, when its turn is over. */
static void free_all(struct loop *host)
{
    struct lending *l = &host->lending;

    give_all_back(host, &l->guests);
    give_all_back(host, &l->served);
    l->free_all = l->running != NULL;
}

/* The clock alone does not say whether we are busy, or others have our core. */
void loop_breathe(struct loop *loop)
{
    struct loop *host = thread_of(loop);
    struct lending *l = &host->lending;

    if (!has_guests(l) || l->free_all)
        return;
    int64_t ns = clock_ns(CLOCK_MONOTONIC), most_ns = l->rules.turn_us * 1000;
    if (ns - l->turn_ns < most_ns)
        return;
    if (l->long_ns >= l->turn_ns && ns - l->long_ns < most_ns / 2)
        return;
    int64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    bool busy = l->long_ns >= l->turn_ns && (cpu_ns - l->long_cpu_ns) * 2 >= ns - l->long_ns;
    l->long_ns = ns;
    l->long_cpu_ns = cpu_ns;
    if (busy)
        free_all(host);
}

bool loop_claim_thread(struct loop *loop)
{
    struct loop *host = thread_of(loop);

    if (has_guests(&host->lending))
        free_all(host);
    return host == loop;
}

bool loop_rests(const struct loop *loop)
{
    return atomic_load_explicit(&loop->lending.rests, memory_order_relaxed);
}

/* -- life ------------------------------------------------------------------------------------------------ */

void loop_lend_to(struct loop *loop, struct loop *host, const struct lend_rules *rules)
{
    ASSERT(loop != host && host->lending.to == NULL);
    loop->lending.to = host;
    loop->lending.rules = host->lending.rules = *rules;
}

void lending_init(struct loop *loop)
{
    struct lending *l = &loop->lending;

    pthread_mutex_init(&l->lock, NULL); /* of this kind neither can fail */
    pthread_cond_init(&l->back, NULL);
    list_init(&l->arrivals);
    list_init(&l->guests);
    list_init(&l->served);
    list_init(&l->lodging.link);
    l->lodging.watch.ready = on_guest;
}

void lending_done(struct loop *loop)
{
    pthread_cond_destroy(&loop->lending.back);
    pthread_mutex_destroy(&loop->lending.lock);
}
