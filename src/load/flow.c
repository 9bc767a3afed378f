/* Messages: subscribers receive what publishers send; publisher i sends to subscriber i (p2p), to one of a few (fan-in), to
 * all (fan-out), to somebody else (pub), or somebody else sends (sub). */
#include "load/run_priv.h"

#define DRAIN_LIMIT_NS (60 * NS_PER_S) /* all in all */
#define BACKLOG_ENOUGH (256u << 10)    /* bytes waiting on a connection: let it drain */
#define PUB_ROUND      256             /* messages of one publisher in one turn */

/* ---- how much may be sent now ---- */

/* What the subscriber of publisher `i` has had of it; a fan-out has many. */
static const struct track *track_of(const struct run *run, size_t i)
{
    return &run_sub(run, i % run->subs)->tracks[i / run->subs];
}

/* Messages under way from publisher `i` to a subscriber, on average if there are many. */
static uint64_t under_way(const struct flow *flow, size_t i)
{
    const struct run *run = flow->run;
    const struct peer *pub = &run_pub(run, i)->peer;
    uint64_t settled = 0;

    if (run->s->mode != LOAD_FANOUT)
        return pub->sent - track_of(run, i)->expected;
    size_t n = 0;
    for (size_t k = 0; k < run->subs; k++)
        if (client_ready(run_sub(run, k))) {
            settled += run_sub(run, k)->tracks[0].expected;
            n++;
        }
    return n == 0 ? 0 : (pub->sent * n - settled) / n;
}

/* False if nobody of ours would hear publisher `i`, who is there to be heard. */
static bool is_heard(const struct run *run, size_t i)
{
    return run->subs == 0 || run->s->mode == LOAD_FANOUT || client_ready(run_sub(run, i % run->subs));
}

/* What flow control and the socket leave, whatever the window. */
static size_t room_to_send(const struct flow *flow, size_t i)
{
    const struct peer *pub = &run_pub(flow->run, i)->peer;

    if (pub->state != PEER_READY || link_backlog(&pub->link) >= BACKLOG_ENOUGH)
        return 0;
    if (pub->qos == 0)
        return PUB_ROUND;
    return pub->inflight >= pub->receive_maximum ? 0 : pub->receive_maximum - pub->inflight;
}

static size_t room(const struct flow *flow, size_t i)
{
    const struct load_settings *s = flow->run->s;
    const struct peer *pub = &run_pub(flow->run, i)->peer;
    size_t window = s->window, left = room_to_send(flow, i);

    if (left == 0 || !is_heard(flow->run, i))
        return 0;
    if (pub->qos > 0) {
        if (pub->receive_maximum < window)
            window = pub->receive_maximum;
        size_t free_slots = pub->inflight >= window ? 0 : window - pub->inflight;
        left = left < free_slots ? left : free_slots;
    }
    if (flow->run->subs > 0) {
        uint64_t out = under_way(flow, i);
        size_t free_slots = out >= window ? 0 : window - (size_t)out;
        left = left < free_slots ? left : free_slots;
    }
    /* Full records only, where records hold many packets; what is under way makes room again. */
    return left - left % s->batch;
}

static bool all_sent(const struct flow *flow)
{
    uint64_t limit = flow->run->s->messages;
    return limit > 0 && (flow->run->pubs > 0 ? flow->sent : run_received(flow->run)) >= limit;
}

/* As much as fits; large payloads stop early, so that they do not pile up in memory. True if something was sent. */
static bool top_up(struct flow *flow)
{
    const struct load_settings *s = flow->run->s;
    bool any = false;

    for (size_t i = 0; i < flow->run->pubs; i++) {
        struct client *pub = run_pub(flow->run, i);
        size_t n = room(flow, i);
        for (size_t k = 0; k < n && !(s->messages > 0 && flow->sent >= s->messages); k++) {
            peer_publish(&pub->peer, flow->run->loop->now_ns);
            flow->sent++;
            any = true;
            if (link_backlog(&pub->peer.link) >= BACKLOG_ENOUGH)
                break;
        }
    }
    return any;
}

/* ---- at a fixed rate ---- */

/* A publisher that can take one, from `next` on; pubs if there is none. */
static size_t find_room(const struct flow *flow)
{
    const struct run *run = flow->run;

    for (size_t k = 0; k < run->pubs; k++) {
        size_t i = (flow->next + k) % run->pubs;
        if (room_to_send(flow, i) > 0 && is_heard(run, i))
            return i;
    }
    return run->pubs;
}

/* Sends what is due; returns how long until the next one is. */
static int64_t send_due(struct flow *flow)
{
    struct link_loop *loop = flow->run->loop;

    for (;;) {
        int64_t due = pace_due(&flow->pace);
        if (due > loop->now_ns)
            return due - loop->now_ns;
        size_t i = find_room(flow);
        if (i == flow->run->pubs || all_sent(flow))
            return TURN_NS;
        if (loop->now_ns - due > flow->worst_late_ns)
            flow->worst_late_ns = loop->now_ns - due;
        /* Stamped with when it should have left: a generator that falls behind cannot hide it. */
        peer_publish(&run_pub(flow->run, i)->peer, due);
        flow->pace.count++;
        flow->sent++;
        flow->next = (i + 1) % flow->run->pubs;
    }
}

/* ---- running ---- */

static bool nobody_left(const struct flow *flow)
{
    return flow->run->loop->open == 0;
}

/* What this turn has to do; returns how long the next can wait. */
static int64_t turn_work(struct flow *flow)
{
    const struct run *run = flow->run;
    int64_t wait = TURN_NS;

    if (run->pubs > 0 && run->s->rate > 0) {
        wait = send_due(flow);
    } else if (run->pubs > 0) {
        /* Without subscribers of ours and without acknowledgements nothing will come back to wake us. */
        bool sent = top_up(flow);
        if (sent && run->s->mode == LOAD_PUB && run->s->qos == 0)
            wait = 0;
    }
    if (flow->beside != NULL) {
        int64_t other = flow->beside(flow);
        wait = other < wait ? other : wait;
    }
    return wait < TURN_NS ? wait : TURN_NS;
}

/* Until then (0: no limit), or everything was sent, or it is stopped, or there is nobody left. */
static void run_until(struct flow *flow, int64_t until)
{
    struct run *run = flow->run;

    while ((until == 0 || run->loop->now_ns < until) && !run->stop && !all_sent(flow) && !nobody_left(flow)) {
        int64_t wait = turn_work(flow);
        if (until != 0 && until - run->loop->now_ns < wait)
            wait = until - run->loop->now_ns;
        run_turn(run, wait);
    }
}

/* What publisher `number` sent has all come to that track. */
static bool has_come(const struct run *run, const struct track *track)
{
    return track->lost == 0 && track->expected >= run_pub(run, track->publisher)->peer.sent;
}

static bool is_drained(const struct flow *flow)
{
    const struct run *run = flow->run;

    for (size_t i = 0; i < run->pubs; i++) {
        const struct peer *pub = &run_pub(run, i)->peer;
        if (pub->state == PEER_READY && (pub->inflight > 0 || pub->pongs < pub->pings))
            return false;
    }
    for (size_t i = 0; i < run->subs; i++) {
        const struct client *sub = run_sub(run, i);
        for (size_t k = 0; client_ready(sub) && k < sub->peer.known_count; k++)
            if (!has_come(run, &sub->tracks[k]))
                return false;
    }
    return true;
}

static uint64_t progress(const struct flow *flow)
{
    uint64_t sum = run_received(flow->run);

    for (size_t i = 0; i < flow->run->pubs; i++) {
        const struct peer *pub = &run_pub(flow->run, i)->peer;
        sum += pub->acked + pub->pongs;
    }
    return sum;
}

/* A PINGREQ behind the last message of QoS 0: the broker that answers has read all of them. */
void flow_drain(struct flow *flow)
{
    struct run *run = flow->run;
    int64_t patience = (int64_t)(run->s->drain_s * 1e9);
    int64_t limit = link_now() + DRAIN_LIMIT_NS + patience, stalled = link_now() + patience;
    uint64_t before = progress(flow);

    run->phase = LOAD_DRAINING;
    for (size_t i = 0; i < run->pubs; i++)
        if (client_ready(run_pub(run, i)) && run->s->qos == 0)
            peer_ping(&run_pub(run, i)->peer);
    while (!is_drained(flow) && link_now() < limit && link_now() < stalled && !nobody_left(flow)) {
        run_turn(run, TURN_NS / 10);
        uint64_t now = progress(flow);
        if (now != before)
            stalled = link_now() + patience;
        before = now;
    }
}

/* ---- counting ---- */

static void count_pubs(struct flow *flow)
{
    struct load_report *r = flow->run->report;

    for (size_t i = 0; i < flow->run->pubs; i++) {
        const struct peer *pub = &run_pub(flow->run, i)->peer;
        bool answered = pub->state == PEER_READY && pub->pongs == pub->pings;
        r->sent += pub->sent;
        r->acked += pub->qos > 0 ? pub->acked : answered ? pub->sent : 0;
        r->refused += pub->refused;
        r->unmatched += pub->unmatched;
    }
}

static void add_track(struct load_report *r, const struct track *t)
{
    r->lost += t->lost;
    r->twice += t->twice;
    r->late += t->late;
}

static void count_subs(struct flow *flow)
{
    const struct run *run = flow->run;
    struct load_report *r = run->report;

    for (size_t i = 0; i < run->subs; i++) {
        const struct client *sub = run_sub(run, i);
        const struct tracks *tracks = &sub->peer.tracks;
        r->received += sub->peer.received;
        r->strange += sub->peer.strange;
        for (size_t k = 0; k < tracks->cap; k++)
            if (tracks->slots[k].used)
                add_track(r, &tracks->slots[k]);
        for (size_t k = 0; sub->was_ready && k < sub->peer.known_count; k++) {
            const struct track *track = &sub->tracks[k];
            uint64_t sent = run_pub(run, track->publisher)->peer.sent;
            add_track(r, track);
            r->expected += sent;
            r->lost += sent - track->expected; /* never came, and nothing behind it either */
        }
    }
    if (run->s->mode == LOAD_SUB && run->s->messages > 0) {
        r->expected = run->s->messages;
        if (r->received + r->lost < r->expected && !r->interrupted)
            r->lost = r->expected - r->received;
    }
}

void flow_count(struct flow *flow)
{
    count_pubs(flow);
    count_subs(flow);
}

/* ---- all of it ---- */

void flow_resume(struct flow *flow)
{
    struct run *run = flow->run;

    run->loop->now_ns = link_now();
    if (run->s->rate > 0)
        flow->pace = pace_from(run->loop->now_ns, run->s->rate);
}

bool flow_begin(struct flow *flow, struct run *run)
{
    *flow = (struct flow){ .run = run };
    if (!run_open_all(run))
        return false;
    flow_resume(flow);
    run->phase = LOAD_WARMING_UP;
    if (run->s->warmup_s > 0)
        run_until(flow, run->loop->now_ns + (int64_t)(run->s->warmup_s * 1e9));
    return true;
}

void flow_part(struct flow *flow, const char *name, double seconds)
{
    struct run *run = flow->run;

    flow->worst_late_ns = 0;
    run_part_begin(run, name);
    run_until(flow, seconds > 0 ? run->part_from_ns + (int64_t)(seconds * 1e9) : 0);
    if (all_sent(flow))
        flow_drain(flow); /* a number of messages is over when they have arrived */
    run_part_end(run);
    struct load_part *part = &run->report->parts[run->report->part_count - 1];
    if (flow->beside == NULL)
        part->operations = run->subs > 0 ? part->received : part->sent;
    double late_s = (double)flow->worst_late_ns / 1e9;
    if (late_s > run->report->late_s)
        run->report->late_s = late_s;
}

void flow_run(struct run *run)
{
    struct flow flow;

    if (flow_begin(&flow, run)) {
        flow_part(&flow, "run", run->s->duration_s);
        flow_drain(&flow);
    }
    flow_count(&flow);
}
