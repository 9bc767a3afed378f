#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND_NS      INT64_C(1000000000)
#define SETUP_LIMIT_NS (30 * SECOND_NS)
#define SETUP_EACH_NS  (SECOND_NS / 200)
#define DRAIN_LIMIT_NS (5 * SECOND_NS)
#define TURN_NS        (SECOND_NS / 20)
#define OPENING_MAX    32 /* handshakes at once */
#define PEERS_MAX      1000000
#define SETTLE_NS      (3 * SECOND_NS)

struct reading take_reading(const struct bench *bench)
{
    return (struct reading){ now_ns(), usage_of(bench->options->broker_pid), usage_of(0) };
}

void print_head(const char *scenario, const struct bench *bench, struct reading from, struct reading to)
{
    double seconds = (double)(to.at_ns - from.at_ns) / 1e9;
    printf("{\"scenario\":\"%s\",\"clients\":%zu,\"qos\":%u,\"size\":%zu,\"batch\":%zu,\"window\":%zu,"
           "\"seconds\":%.3f,\"broker_cpu_s\":%.2f,\"broker_cpu\":%.3f,\"generator_cpu\":%.3f,\"rss_kib\":%ld",
           scenario, bench->options->clients, bench->options->qos, bench->options->size, bench->options->batch,
           bench->options->window, seconds, to.broker.cpu_s - from.broker.cpu_s,
           (to.broker.cpu_s - from.broker.cpu_s) / seconds, (to.own.cpu_s - from.own.cpu_s) / seconds,
           to.broker.rss_kib);
}

void print_latency(const struct latency *latency)
{
    printf(",\"p50_us\":%.0f,\"p99_us\":%.0f,\"max_us\":%.0f", latency_us(latency, 0.5),
           latency_us(latency, 0.99), latency_us(latency, 0.999999));
}

void open_peers(struct bench *bench, struct peer **peers, size_t count)
{
    int64_t limit = now_ns() + SETUP_LIMIT_NS + (int64_t)count * SETUP_EACH_NS;
    size_t opened = 0, ready = 0, oldest = 0;

    while (ready < count) {
        if (now_ns() > limit)
            die("%zu of %zu clients are ready after %d seconds", ready, count,
                (int)((SETUP_LIMIT_NS + (int64_t)count * SETUP_EACH_NS) / SECOND_NS));
        while (opened < count && opened - ready < OPENING_MAX)
            peer_open(peers[opened++]);
        link_loop_turn(&bench->loop, TURN_NS);
        while (oldest < opened && peers[oldest]->state == PEER_READY)
            oldest++;
        ready = oldest; /* what lies before it has been counted once and for all */
        for (size_t i = oldest; i < opened; i++)
            ready += peers[i]->state == PEER_READY;
    }
}

static void open_all(struct bench *bench, struct peer *peers, size_t count)
{
    struct peer **each = count > PEERS_MAX ? NULL : calloc(count, sizeof(struct peer *));

    if (each == NULL)
        die("out of memory");
    for (size_t i = 0; i < count; i++)
        each[i] = &peers[i];
    open_peers(bench, each, count);
    free(each);
}

static void close_all(struct bench *bench, struct peer *peers, size_t count)
{
    int64_t limit = now_ns() + DRAIN_LIMIT_NS;
    for (size_t i = 0; i < count; i++)
        if (peers[i].state != PEER_CLOSED)
            peer_disconnect(&peers[i]);
    while (bench->loop.open > 0 && now_ns() < limit)
        link_loop_turn(&bench->loop, TURN_NS);
    for (size_t i = 0; i < count; i++)
        link_close(&peers[i].link, NULL);
}

/* ---- messages: `subs` receive what `pubs` send; pubs[i] sends to subs[i], or the only one to all ---- */

struct flow {
    struct bench *bench;
    size_t subs_count, pubs_count;
    struct peer *peers; /* first the subscribers */
    struct peer *subs, *pubs;
    char (*topics)[32];
    struct latency *latency;
};

static void flow_init(struct flow *flow, struct bench *bench, size_t subs, size_t pubs)
{
    const struct options *o = bench->options;

    *flow = (struct flow){ .bench = bench, .subs_count = subs, .pubs_count = pubs };
    flow->peers = calloc(subs + pubs, sizeof *flow->peers);
    flow->topics = calloc(pubs, sizeof *flow->topics);
    flow->latency = calloc(1, sizeof *flow->latency);
    if (flow->peers == NULL || flow->topics == NULL || flow->latency == NULL)
        die("out of memory");
    flow->subs = flow->peers;
    flow->pubs = flow->peers + subs;
    for (size_t i = 0; i < pubs; i++)
        snprintf(flow->topics[i], sizeof flow->topics[i], "bench/line/%zu", i);
    for (size_t i = 0; i < subs + pubs; i++) {
        struct peer *peer = &flow->peers[i];
        peer_init(peer, &bench->loop, &bench->login, i, o->batch);
        peer->qos = o->qos;
        peer->size = o->size;
        if (i < subs)
            peer->filter = flow->topics[i % pubs];
        else
            peer->topic = flow->topics[i - subs];
    }
    open_all(bench, flow->subs, subs);
    open_all(bench, flow->pubs, pubs);
}

static void flow_done(struct flow *flow)
{
    close_all(flow->bench, flow->peers, flow->subs_count + flow->pubs_count);
    free(flow->peers);
    free(flow->topics);
    free(flow->latency);
}

static uint64_t flow_received(const struct flow *flow)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < flow->subs_count; i++)
        sum += flow->subs[i].received;
    return sum;
}

static bool flow_is_empty(const struct flow *flow)
{
    for (size_t i = 0; i < flow->subs_count; i++)
        if (flow->subs[i].expected < flow->pubs[i % flow->pubs_count].sent)
            return false;
    for (size_t i = 0; i < flow->pubs_count; i++)
        if (flow->pubs[i].inflight > 0)
            return false;
    return true;
}

static void flow_drain(struct flow *flow)
{
    int64_t limit = now_ns() + DRAIN_LIMIT_NS;
    while (!flow_is_empty(flow) && now_ns() < limit)
        link_loop_turn(&flow->bench->loop, TURN_NS);
}

static void flow_measure_latency(struct flow *flow, bool on)
{
    for (size_t i = 0; i < flow->subs_count; i++)
        flow->subs[i].latency = on ? flow->latency : NULL;
}

/* Everything sent and not seen by a subscriber after draining counts as lost; so does every gap. */
static void flow_print(struct flow *flow, const char *scenario, struct reading from, struct reading to,
                       uint64_t delivered, uint64_t reads)
{
    uint64_t lost = 0, twice = 0, unfinished = 0;
    double seconds = (double)(to.at_ns - from.at_ns) / 1e9;
    double cpu_s = to.broker.cpu_s - from.broker.cpu_s;

    for (size_t i = 0; i < flow->subs_count; i++) {
        const struct peer *pub = &flow->pubs[i % flow->pubs_count], *sub = &flow->subs[i];
        lost += sub->lost + (pub->sent - sub->expected);
        twice += sub->twice;
    }
    for (size_t i = 0; i < flow->pubs_count; i++)
        unfinished += flow->pubs[i].inflight;
    print_head(scenario, flow->bench, from, to);
    printf(",\"delivered\":%llu,\"per_s\":%.0f,\"us_per_delivery\":%.3f,\"lost\":%llu,\"twice\":%llu,"
           "\"unacknowledged\":%llu,\"delivered_per_read\":%.1f",
           (unsigned long long)delivered, (double)delivered / seconds,
           delivered == 0 ? 0.0 : cpu_s * 1e6 / (double)delivered, (unsigned long long)lost,
           (unsigned long long)twice, (unsigned long long)unfinished,
           reads == 0 ? 0.0 : (double)delivered / (double)reads);
    print_latency(flow->latency);
    printf("}\n");
}

/* How many more messages publisher `i` may send now. */
static size_t pair_room(const struct flow *flow, size_t i)
{
    const struct peer *pub = &flow->pubs[i], *sub = &flow->subs[i];
    size_t window = flow->bench->options->window, limit = window;
    size_t out = (size_t)(pub->sent - sub->expected);

    if (pub->qos > 0) {
        limit = pub->receive_maximum < window ? pub->receive_maximum : window;
        out = pub->inflight > out ? pub->inflight : out;
    }
    return out >= limit ? 0 : limit - out;
}

static size_t fanout_room(const struct flow *flow)
{
    const struct peer *pub = &flow->pubs[0];
    size_t window = flow->bench->options->window, n = flow->subs_count;
    uint64_t settled = 0;

    for (size_t i = 0; i < n; i++)
        settled += flow->subs[i].expected;
    uint64_t out = pub->sent * n - settled;
    size_t room = out >= window * n ? 0 : (size_t)(window - out / n);
    if (pub->qos > 0) {
        size_t left = pub->inflight >= pub->receive_maximum ? 0 : pub->receive_maximum - pub->inflight;
        room = room < left ? room : left;
    }
    return room;
}

static void top_up(struct flow *flow, bool fanout)
{
    for (size_t i = 0; i < flow->pubs_count; i++) {
        size_t room = fanout ? fanout_room(flow) : pair_room(flow, i);
        /* Full records only, where records hold many packets; what is under way makes room again. */
        room -= room % flow->bench->options->batch;
        for (size_t k = 0; k < room; k++)
            peer_publish(&flow->pubs[i], flow->bench->loop.now_ns);
    }
}

static void saturate_until(struct flow *flow, bool fanout, int64_t until)
{
    while (flow->bench->loop.now_ns < until) {
        top_up(flow, fanout);
        link_loop_turn(&flow->bench->loop, TURN_NS);
    }
}

static void saturate(struct bench *bench, const char *scenario, size_t subs, size_t pubs, bool fanout)
{
    const struct options *o = bench->options;
    struct flow flow;

    flow_init(&flow, bench, subs, pubs);
    saturate_until(&flow, fanout, now_ns() + (int64_t)(o->warmup_s * 1e9));
    flow_measure_latency(&flow, true);
    uint64_t before = flow_received(&flow), reads = bench->loop.reads;
    struct reading from = take_reading(bench);
    saturate_until(&flow, fanout, from.at_ns + (int64_t)(o->seconds * 1e9));
    struct reading to = take_reading(bench);
    uint64_t delivered = flow_received(&flow) - before;
    reads = bench->loop.reads - reads;
    flow_measure_latency(&flow, false);
    flow_drain(&flow);
    flow_print(&flow, scenario, from, to, delivered, reads);
    flow_done(&flow);
}

void scenario_pairs(struct bench *bench)
{
    saturate(bench, "pairs", bench->options->clients, bench->options->clients, false);
}

void scenario_fanout(struct bench *bench)
{
    saturate(bench, "fanout", bench->options->clients, 1, true);
}

/* ---- fixed rate ---- */

struct schedule {
    int64_t start_ns;
    double interval_ns;
    uint64_t count; /* sent so far */
    int64_t worst_late_ns;
};

static void rate_until(struct flow *flow, struct schedule *schedule, int64_t until)
{
    struct link_loop *loop = &flow->bench->loop;
    while (loop->now_ns < until) {
        int64_t due = schedule->start_ns + (int64_t)((double)schedule->count * schedule->interval_ns);
        while (due <= loop->now_ns) {
            if (loop->now_ns - due > schedule->worst_late_ns)
                schedule->worst_late_ns = loop->now_ns - due;
            /* Stamped with when it should have left: a generator that falls behind cannot hide it. */
            peer_publish(&flow->pubs[schedule->count++ % flow->pubs_count], due);
            due = schedule->start_ns + (int64_t)((double)schedule->count * schedule->interval_ns);
        }
        int64_t wait = due - loop->now_ns;
        link_loop_turn(loop, wait < TURN_NS ? wait : TURN_NS);
    }
}

void scenario_rate(struct bench *bench)
{
    const struct options *o = bench->options;
    struct schedule schedule = { .interval_ns = 1e9 / o->rate };
    struct flow flow;

    flow_init(&flow, bench, o->clients, o->clients);
    schedule.start_ns = bench->loop.now_ns = now_ns();
    rate_until(&flow, &schedule, schedule.start_ns + (int64_t)(o->warmup_s * 1e9));
    flow_measure_latency(&flow, true);
    schedule.worst_late_ns = 0;
    uint64_t before = flow_received(&flow), reads = bench->loop.reads;
    struct reading from = take_reading(bench);
    rate_until(&flow, &schedule, from.at_ns + (int64_t)(o->seconds * 1e9));
    struct reading to = take_reading(bench);
    uint64_t delivered = flow_received(&flow) - before;
    reads = bench->loop.reads - reads;
    flow_measure_latency(&flow, false);
    flow_drain(&flow);
    flow_print(&flow, "rate", from, to, delivered, reads);
    flow_done(&flow);
}

/* ---- connections ---- */

struct slot {
    struct peer peer;
    struct dial *dial;
    int64_t opened_ns;
};

struct dial {
    struct bench *bench;
    size_t next_number;
    uint64_t done, failed;
    bool stopping;
    struct latency latency;
};

static void slot_open(struct slot *slot)
{
    slot->peer.number = slot->dial->next_number++;
    slot->opened_ns = now_ns();
    peer_open(&slot->peer);
}

static void slot_ready(struct peer *peer)
{
    struct slot *slot = CONTAINER_OF(peer, struct slot, peer);
    slot->dial->done++;
    latency_add(&slot->dial->latency, now_ns() - slot->opened_ns);
    peer_disconnect(peer);
}

static void slot_gone(struct peer *peer, const char *reason)
{
    struct slot *slot = CONTAINER_OF(peer, struct slot, peer);
    slot->dial->failed += reason != NULL;
    if (!slot->dial->stopping)
        slot_open(slot);
}

void scenario_connect(struct bench *bench)
{
    const struct options *o = bench->options;
    struct slot *slots = calloc(o->clients, sizeof *slots);
    struct dial *dial = calloc(1, sizeof *dial);

    if (slots == NULL || dial == NULL)
        die("out of memory");
    dial->bench = bench;
    for (size_t i = 0; i < o->clients; i++) {
        slots[i].dial = dial;
        peer_init(&slots[i].peer, &bench->loop, &bench->login, i, 1);
        slots[i].peer.ready = slot_ready;
        slots[i].peer.gone = slot_gone;
        slot_open(&slots[i]);
    }
    for (int64_t until = now_ns() + (int64_t)(o->warmup_s * 1e9); bench->loop.now_ns < until;)
        link_loop_turn(&bench->loop, TURN_NS);
    dial->latency = (struct latency){ 0 };
    uint64_t before = dial->done;
    struct reading from = take_reading(bench);
    for (int64_t until = from.at_ns + (int64_t)(o->seconds * 1e9); bench->loop.now_ns < until;)
        link_loop_turn(&bench->loop, TURN_NS);
    struct reading to = take_reading(bench);
    uint64_t done = dial->done - before;
    dial->stopping = true;
    for (int64_t until = now_ns() + DRAIN_LIMIT_NS; bench->loop.open > 0 && now_ns() < until;)
        link_loop_turn(&bench->loop, TURN_NS);
    print_head("connect", bench, from, to);
    printf(",\"connects\":%llu,\"per_s\":%.0f,\"us_per_connect\":%.1f,\"failed\":%llu",
           (unsigned long long)done, (double)done * 1e9 / (double)(to.at_ns - from.at_ns),
           done == 0 ? 0.0 : (to.broker.cpu_s - from.broker.cpu_s) * 1e6 / (double)done,
           (unsigned long long)dial->failed);
    print_latency(&dial->latency);
    printf("}\n");
    free(slots);
    free(dial);
}

void scenario_idle(struct bench *bench)
{
    const struct options *o = bench->options;
    struct peer *peers = calloc(o->clients, sizeof *peers);
    char(*filters)[32] = calloc(o->clients, sizeof *filters);

    if (peers == NULL || filters == NULL)
        die("out of memory");
    for (size_t i = 0; i < o->clients; i++) {
        snprintf(filters[i], sizeof filters[i], "bench/idle/%zu", i);
        peer_init(&peers[i], &bench->loop, &bench->login, i, 1);
        peers[i].filter = filters[i];
    }
    struct reading from = take_reading(bench);
    open_all(bench, peers, o->clients);
    for (int64_t until = now_ns() + SETTLE_NS; bench->loop.now_ns < until;)
        link_loop_turn(&bench->loop, TURN_NS);
    struct reading to = take_reading(bench);
    print_head("idle", bench, from, to);
    printf(",\"rss_before_kib\":%ld,\"kib_per_connection\":%.2f}\n", from.broker.rss_kib,
           (double)(to.broker.rss_kib - from.broker.rss_kib) / (double)o->clients);
    close_all(bench, peers, o->clients);
    free(peers);
    free(filters);
}
