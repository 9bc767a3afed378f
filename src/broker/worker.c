#include "broker/worker_priv.h"

#include "broker/memory_watch.h"
#include "crypto/random.h"
#include "net/daemon.h"
#include "shard/message.h"
#include "token/token.h"
#include "token/verifier.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define STOP_LOOK_MS  20
#define STOP_DRAIN_MS 500 /* for what is on its way to disk to be acknowledged */
#define STOP_STORE_MS 10000

/* An inbox this full makes those who posted into it wait, a little at a time (not where both have one thread, which is no more
 * the case a turn later): pressure reaches the publishers as sockets that are not read. Waiting is bounded, and a waiting worker empties its own inbox, so that two who wait for
 * each other both get on. Where that is not enough publications of QoS 0 are dropped: memory is not for a flood to take.
 * What was or will be acknowledged is not: there the marks of pressure.h stop the publishers. */
#define INBOX_HIGH_PART    4 /* a quarter of worker_common.inbox_bytes */
#define INBOX_WAIT_US      200
#define INBOX_WAITS_A_TURN 500

/* Then the worker's own sockets get their turn: what was delivered leaves, and its clients are heard. */
#define INBOX_TURN_MS 10
#define ACCOUNT_BYTES ((uint64_t)32 * 1024) /* a change of less is told later */
#define INBOX_LOOK    16                    /* messages between two looks at the clock */

/* -- between shards -------------------------------------------------------------------------------------- */

static size_t weight(const struct shard_msg *msg)
{
    return sizeof *msg + msg->filter_len + (msg->message != NULL ? message_size(msg->message) : 0);
}

/* From `newest` back to `oldest`, linked already. */
static void push_chain(struct worker *to, struct shard_msg *newest, struct shard_msg *oldest, size_t bytes)
{
    atomic_fetch_add_explicit(&to->inbox_bytes, bytes, memory_order_relaxed);
    struct shard_msg *head = atomic_load_explicit(&to->inbox, memory_order_relaxed);
    do {
        oldest->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&to->inbox, &head, newest, memory_order_release,
                                                    memory_order_relaxed));
}

static void push(struct worker *to, struct shard_msg *msg)
{
    push_chain(to, msg, msg, weight(msg));
}

static void send_chain(struct worker *w, unsigned to)
{
    struct post_chain *chain = &w->chains[to];
    if (chain->count == 0)
        return;
    push_chain(w->common->workers[to], chain->newest, chain->oldest, chain->bytes);
    *chain = (struct post_chain){ 0 };
    w->chained &= ~(UINT64_C(1) << to);
}

static void send_chains(struct worker *w)
{
    for (unsigned to = 0; w->chained >> to != 0; to++)
        if ((w->chained >> to & 1) != 0)
            send_chain(w, to);
}

static void chain(struct worker *w, unsigned to, struct shard_msg *msg)
{
    struct post_chain *chain = &w->chains[to];
    msg->next = chain->newest;
    if (chain->count == 0)
        chain->oldest = msg;
    chain->newest = msg;
    chain->bytes += weight(msg);
    w->chained |= UINT64_C(1) << to;
    if (++chain->count == POST_CHAIN)
        send_chain(w, to);
}

static uint64_t inbox_limit(const struct worker *to)
{
    return to->common->inbox_bytes > 0 ? to->common->inbox_bytes : INBOX_BYTES;
}

static bool is_full(const struct worker *to)
{
    return atomic_load_explicit(&to->inbox_bytes, memory_order_relaxed) > inbox_limit(to);
}

/* What may be lost when an inbox is full. What home hands to a member of a shared subscription with QoS 1 or 2 is no
 * more than that member has room for, and would be missed. */
static bool may_drop(const struct shard_msg *msg)
{
    if (msg->durable != 0)
        return false; /* somebody has been promised that it arrives */
    return (msg->kind == MSG_DELIVER && msg->message->qos == 0) ||
           (msg->kind == MSG_SHARE_TAKE && !msg->share.counted) ||
           (msg->kind == MSG_SHARE_RETURN && msg->message->qos == 0);
}

static void world_post(void *ctx, unsigned to, struct shard_msg *msg)
{
    struct worker *w = ctx;
    if (w->common->over) {
        shard_msg_free(msg);
        return;
    }
    w->posted_to |= UINT64_C(1) << to;
    if (may_drop(msg) && is_full(w->common->workers[to])) {
        atomic_fetch_add_explicit(&w->dropped, 1, memory_order_relaxed);
        shard_msg_free(msg);
        return;
    }
    if (msg->kind == MSG_DELIVER) {
        chain(w, to, msg);
    } else if (msg->class == SHARD_DATA) {
        send_chains(w); /* all of them: what a retained message replaces must not come behind it anywhere */
        push(w->common->workers[to], msg);
    } else {
        struct ack_queue *q = &w->acks[to];
        msg->next = NULL;
        *q->end = msg;
        q->end = &msg->next;
    }
}

/* All that was posted and is not in its inbox yet. */
static void push_rest(struct worker *w)
{
    send_chains(w);
    for (unsigned to = 0; to < w->common->count; to++) {
        struct ack_queue *q = &w->acks[to];
        struct shard_msg *msg = TAKE(q->first);
        q->end = &q->first;
        while (msg != NULL) {
            struct shard_msg *next = msg->next;
            push(w->common->workers[to], msg);
            msg = next;
        }
    }
}

static void wake_others(struct worker *w)
{
    uint64_t bits = w->posted_to;
    for (unsigned to = 0; bits != 0; to++, bits >>= 1)
        if ((bits & 1) != 0)
            loop_wake(w->common->workers[to]->loop);
}

/* What is there, oldest first. */
static struct shard_msg *take_inbox(struct worker *w)
{
    struct shard_msg *newest = atomic_exchange_explicit(&w->inbox, NULL, memory_order_acquire);
    struct shard_msg *oldest = NULL;
    while (newest != NULL) {
        struct shard_msg *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

/* -- turns ----------------------------------------------------------------------------------------------- */

static void turn_begin(struct loop_hook *hook, struct now now)
{
    struct worker *w = CONTAINER_OF(hook, struct worker, hook);
    shard_advance(w->shard, now);
}

/* True: it has more to do at once. */
static bool set_shard_timer(struct worker *w, struct now now)
{
    int64_t wait_ms = shard_wait_ms(w->shard, now);
    if (wait_ms <= 0) /* a timer would wait for the next tick */
        timer_stop(loop_timers(w->loop), &w->shard_timer);
    else
        timer_start(loop_timers(w->loop), &w->shard_timer, mono_plus_ms(now.mono, wait_ms));
    return wait_ms == 0;
}

/* The next few of what is there; NULL: nothing. */
static struct shard_msg *take_some(struct worker *w, size_t *bytes)
{
    struct shard_msg *first, *last;
    if (w->taken == NULL && (w->taken = take_inbox(w)) == NULL)
        return NULL;
    first = last = w->taken;
    *bytes += weight(first);
    for (unsigned n = 1; n < INBOX_LOOK && last->next != NULL; n++) {
        last = last->next;
        *bytes += weight(last);
    }
    w->taken = last->next;
    last->next = NULL;
    return first;
}

/* As far as the time of one turn reaches; the rest keeps its place in front of what comes. */
static void handle_inbox(struct worker *w, struct now now)
{
    int64_t until_ms = 0;
    size_t bytes = 0;
    for (struct shard_msg *some; (some = take_some(w, &bytes)) != NULL;) {
        if (until_ms == 0) /* most turns find nothing, and need no look at the clock */
            until_ms = now_read().mono.ms + INBOX_TURN_MS;
        shard_messages(w->shard, some, now);
        loop_breathe(w->loop);
        if (now_read().mono.ms >= until_ms)
            break;
    }
    if (bytes > 0)
        atomic_fetch_sub_explicit(&w->inbox_bytes, bytes, memory_order_relaxed);
    push_rest(w);
    wake_others(w);
}

static bool somebody_is_behind(const struct worker *w)
{
    uint64_t bits = w->posted_to;
    for (unsigned to = 0; bits != 0; to++, bits >>= 1)
        if ((bits & 1) != 0 &&
            atomic_load_explicit(&w->common->workers[to]->inbox_bytes, memory_order_relaxed) >
                inbox_limit(w->common->workers[to]) / INBOX_HIGH_PART)
            return true;
    return false;
}

/* What is not the shard's to count. */
static void account(struct worker *w)
{
    struct pressure *pressure = w->common->settings->pressure;
    uint64_t output = loop_output_bytes(w->loop), sum;

    atomic_store_explicit(&w->output_bytes, output, memory_order_relaxed);
    if (pressure == NULL)
        return;
    sum = output + atomic_load_explicit(&w->connection_bytes, memory_order_relaxed) +
          atomic_load_explicit(&w->inbox_bytes, memory_order_relaxed);
    if (sum - w->accounted + ACCOUNT_BYTES <= 2 * ACCOUNT_BYTES)
        return;
    w->accounted = sum;
    pressure_output(pressure, w->index, output);
    pressure_report(pressure, w->index, PART_WORLD, sum, &w->log);
}

static bool turn_end(struct loop_hook *hook, struct now now)
{
    struct worker *w = CONTAINER_OF(hook, struct worker, hook);
    handle_inbox(w, now);
    account(w);
    for (int i = 0; i < INBOX_WAITS_A_TURN && somebody_is_behind(w) && loop_claim_thread(w->loop); i++) {
        static const struct timespec moment = { .tv_nsec = INBOX_WAIT_US * 1000 };
        nanosleep(&moment, NULL);
        handle_inbox(w, now);
    }
    w->posted_to = 0;
    worker_seal(w, now); /* after all that came from others, before what it lets out */
    if (w->posted_to != 0) {
        push_rest(w);
        wake_others(w);
    }
    w->posted_to = 0;
    bool again = set_shard_timer(w, now);
    if (w->limit.suppressed && !timer_running(&w->limit_timer))
        timer_start(loop_timers(w->loop), &w->limit_timer, mono_plus_ms(now.mono, MS_PER_S));
    return again || w->taken != NULL; /* what came after take_inbox() brings its own wake-up */
}

static void tell_suppressed(struct timer *timer, struct now now)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, limit_timer);
    (void)now;
    log_tell_suppressed(&w->log);
}

static void on_shard_timer(struct timer *timer, struct now now)
{
    (void)timer;
    (void)now; /* the turn it began has called shard_advance() */
}

/* -- the rest of the world ------------------------------------------------------------------------------- */

static void world_resolve(void *ctx, enum resolve_kind kind, uint64_t request, struct span token)
{
    struct worker *w = ctx;
    w->common->resolve(w->common->ctx, w->index, kind, request, token);
}

static enum status world_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    return random_bytes(buf, len);
}

/* Counters are read while their threads write them, as stats.h allows. */
static void world_totals(void *ctx, struct stats *sum, uint64_t *ret_heap_bytes)
{
    const struct worker *w = ctx;

    for (unsigned i = 0; i < w->common->count; i++) {
        struct stats stats;

        worker_stats(w->common->workers[i], &stats);
        stats_sum(sum, &stats);
    }
    *ret_heap_bytes = memory_resident();
}

static struct shard_world world_of(struct worker *w)
{
    struct shard_world world = { .ctx = w, .post = world_post, .random = world_random, .totals = world_totals };
    if (w->common->resolve != NULL)
        world.resolve = world_resolve;
    if (w->common->store != NULL)
        world.store = worker_store;
    worker_fill_conn_world(&world);
    return world;
}

/* -- from other threads ---------------------------------------------------------------------------------- */

/* One piece of news for a worker, on the heap until delivered. */
struct news {
    struct loop_task task;
    struct worker *worker;
    struct verifier *verifier;
    struct tls_config *tls;
    unsigned listener;
    uint64_t request;
    enum status st;
    struct token *token;
    int fd;
    struct why why;
};

static bool tell(struct worker *w, const struct news *news, void (*run)(struct loop_task *task))
{
    struct news *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return false;
    *copy = *news;
    copy->worker = w;
    copy->task.run = run;
    loop_post(w->loop, &copy->task);
    return true;
}

static void take_verifier(struct loop_task *task)
{
    struct news *news = CONTAINER_OF(task, struct news, task);
    shard_set_verifier(news->worker->shard, news->verifier);
    verifier_unref(news->verifier);
    free(news);
}

bool worker_set_verifier(struct worker *w, struct verifier *verifier)
{
    struct news news = { .verifier = verifier_ref(verifier) };
    if (tell(w, &news, take_verifier))
        return true;
    verifier_unref(verifier);
    return false;
}

static void take_stored(struct loop_task *task)
{
    struct news *news = CONTAINER_OF(task, struct news, task);
    shard_tokens_stored(news->worker->shard, loop_now(news->worker->loop));
    free(news);
}

bool worker_tokens_stored(struct worker *w)
{
    struct news news = { 0 };
    return tell(w, &news, take_stored);
}

static void take_tls(struct loop_task *task)
{
    struct news *news = CONTAINER_OF(task, struct news, task);
    struct worker_listener *l = &news->worker->listeners[news->listener];
    tls_config_unref(l->tls);
    l->tls = news->tls;
    free(news);
}

bool worker_set_tls(struct worker *w, unsigned listener, struct tls_config *tls)
{
    struct news news = { .tls = tls_config_ref(tls), .listener = listener };
    ASSERT(listener < w->listener_count);
    if (tell(w, &news, take_tls))
        return true;
    tls_config_unref(tls);
    return false;
}

static void take_resolved(struct loop_task *task)
{
    struct news *news = CONTAINER_OF(task, struct news, task);
    struct worker *w = news->worker;
    shard_token_resolved(w->shard, news->request, news->st, news->token, news->why, loop_now(w->loop));
    free(news);
}

bool worker_resolved(struct worker *w, uint64_t request, enum status st, struct token *token,
                     const struct why *why)
{
    struct news news = { .request = request, .st = st, .token = token, .why = *why };
    if (tell(w, &news, take_resolved))
        return true;
    token_unref(token); /* the shard's own time-out ends the waiting connection */
    return false;
}

static void take_built_in(struct loop_task *task)
{
    struct news *news = CONTAINER_OF(task, struct news, task);
    worker_take_built_in(news->worker, news->fd, news->token);
    free(news);
}

bool worker_adopt(struct worker *w, int fd, struct token *token)
{
    struct news news = { .token = token, .fd = fd };
    if (tell(w, &news, take_built_in))
        return true;
    close(fd);
    token_unref(token);
    return false;
}

struct shard *worker_shard(const struct worker *w)
{
    return w->shard;
}

bool worker_is_stored(const struct worker *w)
{
    return w->common->store == NULL || !shard_unstored(w->shard);
}

/* -- stopping -------------------------------------------------------------------------------------------- */

static void free_listeners(struct worker *w)
{
    for (unsigned i = 0; i < w->listener_count; i++)
        listener_free(TAKE(w->listeners[i].listener));
}

static void look_whether_done(struct timer *timer, struct now now)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, stop_timer);
    if (list_empty(&w->conns) && (worker_is_stored(w) || now.mono.ms >= w->stop_by.ms))
        loop_stop(w->loop);
    else
        timer_start(loop_timers(w->loop), &w->stop_timer, mono_plus_ms(loop_now(w->loop).mono, STOP_LOOK_MS));
}

/* Who has done his part gets his acknowledgement before he is sent away, if the disk is quick. */
static void look_whether_drained(struct timer *timer, struct now now)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, drain_timer);
    if (!worker_is_stored(w) && now.mono.ms < w->stop_by.ms) {
        timer_start(loop_timers(w->loop), timer, mono_plus_ms(now.mono, STOP_LOOK_MS));
        return;
    }
    w->stop_by = mono_plus_ms(now.mono, STOP_STORE_MS);
    shard_stop(w->shard, now); /* each stream then flushes and lingers, for a bounded time */
    worker_abort_strangers(w);
    timer_start(loop_timers(w->loop), &w->stop_timer, now.mono);
}

static void begin_stop(struct loop_task *task)
{
    struct worker *w = CONTAINER_OF(task, struct worker, stop_task);
    struct now now = loop_now(w->loop);
    w->stopping = true;
    w->stop_by = mono_plus_ms(now.mono, STOP_DRAIN_MS);
    free_listeners(w);
    timer_start(loop_timers(w->loop), &w->drain_timer, now.mono);
}

void worker_stop(struct worker *w)
{
    w->stop_task.run = begin_stop;
    loop_post(w->loop, &w->stop_task);
}

/* -- life ------------------------------------------------------------------------------------------------ */

static void log_fields(const struct log *log, struct log_field own[LOG_OWN_FIELDS])
{
    own[0] = F_I64("worker", CONTAINER_OF(log, struct worker, log)->index);
}

enum status worker_new(struct worker_common *common, unsigned index, struct verifier *verifier, struct why *why)
{
    struct worker *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);
    if (w == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    memset(w, 0, sizeof *w);
    w->common = common;
    w->index = index;
    w->log.own_fields = log_fields;
    w->limit.per_s = common->log_per_s;
    w->limit.key = common->settings->home_key; /* random, and told to nobody */
    w->log.limit = &w->limit;
    list_init(&w->conns);
    list_init(&w->line);
    atomic_init(&w->inbox, NULL);
    timer_init(&w->shard_timer, on_shard_timer);
    timer_init(&w->stop_timer, look_whether_done);
    timer_init(&w->drain_timer, look_whether_drained);
    timer_init(&w->limit_timer, tell_suppressed);
    timer_init(&w->ticket_timer, worker_new_ticket_keys);
    worker_store_init(w);
    for (unsigned i = 0; i < TOPIC_TREE_MAX_SHARDS; i++)
        w->acks[i].end = &w->acks[i].first;
    w->hook = (struct loop_hook){ .turn_begin = turn_begin, .turn_end = turn_end };
    enum status st = loop_new(&w->loop, why);
    struct shard_world world = world_of(w);
    if (st == ST_OK) {
        st = shard_new(index, common->count, common->settings, &world, verifier, &w->log, loop_now(w->loop),
                       &w->shard);
        if (st != ST_OK)
            st = reject(why, st, "shard", "a worker's state could not be set up", 0);
    }
    if (st != ST_OK) {
        worker_store_done(w);
        loop_free(w->loop);
        free(w);
        return st;
    }
    loop_hook_add(w->loop, &w->hook);
    if (index > 0 && common->lend.look_ms > 0)
        loop_lend_to(w->loop, common->workers[0]->loop, &common->lend);
    if (index == 0)
        timer_start(loop_timers(w->loop), &w->ticket_timer,
                    mono_plus_ms(loop_now(w->loop).mono, WORKER_TICKET_KEY_MS));
    common->workers[index] = w;
    return ST_OK;
}

enum status worker_listen(struct worker *w, int fd, struct tls_config *tls, const struct ws_server_settings *ws,
                          struct why *why)
{
    struct worker_listener *l = &w->listeners[w->listener_count];
    if (w->listener_count == WORKER_MAX_LISTENERS) {
        close(fd);
        return reject(why, ST_QUOTA, "listeners", "too many listeners", 0);
    }
    enum status st = listener_from_socket(w->loop, fd, worker_accept, l, &l->listener, why);
    if (st != ST_OK)
        return st;
    l->worker = w;
    l->tls = tls == NULL ? NULL : tls_config_ref(tls);
    l->ws = ws;
    w->listener_count++;
    return ST_OK;
}

enum status worker_open(struct worker *w, struct why *why)
{
    enum status st = ST_OK;

    for (unsigned i = 0; st == ST_OK && i < w->listener_count; i++)
        st = listener_listen(w->listeners[i].listener, why);
    return st;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    loop_run(w->loop);
    return NULL;
}

enum status worker_start(struct worker *w, struct why *why)
{
    enum status st = daemon_thread(&w->thread, run, w, "workers", why);

    w->started = st == ST_OK;
    return st;
}

static void add_refused(const struct worker_refused *refused, struct stats *out)
{
    STATS_ADD(out, refused_banned, atomic_load_explicit(&refused->banned, memory_order_relaxed));
    STATS_ADD(out, refused_too_fast, atomic_load_explicit(&refused->fast, memory_order_relaxed));
    STATS_ADD(out, refused_per_address, atomic_load_explicit(&refused->many, memory_order_relaxed));
    STATS_ADD(out, refused_handshakes, atomic_load_explicit(&refused->handshakes, memory_order_relaxed));
    STATS_ADD(out, addresses_banned, atomic_load_explicit(&refused->bans, memory_order_relaxed));
}

void worker_stats(const struct worker *w, struct stats *out)
{
    shard_stats(w->shard, out);
    add_refused(&w->refused, out);
    if (w->index == 0 && atomic_load_explicit(&w->common->store_failing, memory_order_relaxed))
        STATS_INC(out, store_failing);
    if (w->index == 0 && atomic_load_explicit(&w->common->store_stalled, memory_order_relaxed))
        STATS_INC(out, store_stalled);
    STATS_ADD(out, dropped_queue_full, atomic_load_explicit(&w->dropped, memory_order_relaxed));
    STATS_ADD(out, memory_connections, atomic_load_explicit(&w->connection_bytes, memory_order_relaxed));
    STATS_ADD(out, memory_output, atomic_load_explicit(&w->output_bytes, memory_order_relaxed));
    STATS_ADD(out, workers_awake, !loop_rests(w->loop));
    STATS_ADD(out, memory_inboxes, atomic_load_explicit(&w->inbox_bytes, memory_order_relaxed));
}

void worker_join(struct worker *w)
{
    if (w->started)
        pthread_join(w->thread, NULL);
    w->started = false;
}

static void free_messages(struct shard_msg *msg)
{
    while (msg != NULL) {
        struct shard_msg *next = msg->next;
        shard_msg_free(msg);
        msg = next;
    }
}

void worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    w->common->over = true;
    w->stopping = true;
    free_listeners(w);
    loop_hook_remove(&w->hook);
    loop_free(w->loop); /* closes every connection, and runs tasks that are still under way */
    worker_store_done(w);
    shard_free(w->shard);
    log_tell_suppressed(&w->log);
    push_rest(w);
    free_messages(w->taken);
    free_messages(take_inbox(w));
    for (unsigned i = 0; i < w->listener_count; i++)
        tls_config_unref(w->listeners[i].tls);
    w->common->workers[w->index] = NULL;
    free(w);
}
