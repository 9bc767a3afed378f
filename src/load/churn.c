/* Others' messages at a rate, first alone, then while clients come, subscribe, publish a message to themselves, get it, and
 * go. */
#include "load/run_priv.h"

#include <stdio.h>

struct churn {
    struct pace pace;
    size_t next; /* whose turn it is to come */
    bool over;
};

static struct churn *churn_of(struct run *run)
{
    return run->beside;
}

static void guest_ready(struct peer *peer)
{
    peer_publish(peer, peer->world->loop->now_ns);
}

static void guest_message(struct peer *peer, const struct stamp *stamp)
{
    struct client *client = CONTAINER_OF(peer, struct client, peer);
    struct run *run = client->run;

    peer->received++;
    if (stamp->publisher != peer->publisher || stamp->number + 1 != peer->sent) {
        peer->strange++;
        return;
    }
    if (client->busy) {
        run->report->twice++;
        return;
    }
    client->busy = true; /* it has what it came for */
    if (run->part != NULL) {
        run->part->operations++;
        histogram_add(&run->part->times, run->loop->now_ns - peer->opened_ns);
    }
    if (peer->qos == 0)
        peer_disconnect(peer); /* else once its own publication is answered */
}

static void guest_gone(struct peer *peer, const char *reason)
{
    struct client *client = CONTAINER_OF(peer, struct client, peer);

    client->wants_open = true;
    if (reason == NULL || client->run->closing)
        return;
    client->run->failed_opening++;
    client->not_before_ns = link_now() + AFTER_FAILURE_NS;
}

/* It has its message, and the answer to its own; or has waited long enough for it. */
static bool may_leave(const struct client *guest, int64_t now)
{
    const struct peer *peer = &guest->peer;
    int64_t patience = (int64_t)(guest->run->s->drain_s * 1e9);

    return client_ready(guest) && !peer->leaving &&
           ((guest->busy && peer->inflight == 0) || now - peer->opened_ns > patience);
}

/* What is due: returns how long until the next is. */
static int64_t come(struct flow *flow)
{
    struct run *run = flow->run;
    struct churn *churn = churn_of(run);
    int64_t now = run->loop->now_ns;

    for (size_t k = 0; k < run->sides; k++) {
        size_t i = (churn->next + k) % run->sides;
        struct client *guest = run_side(run, i);
        if (may_leave(guest, now))
            peer_disconnect(&guest->peer);
        if (churn->over || !guest->wants_open || now < guest->not_before_ns)
            continue;
        if (run->s->opening_rate > 0 && pace_due(&churn->pace) > now)
            continue;
        if (!run_name(run, guest, run->opened))
            continue;
        run->opened++;
        churn->pace.count++;
        churn->next = i + 1;
        guest->wants_open = guest->busy = false;
        guest->lives++;
        peer_open(&guest->peer);
    }
    if (churn->over || run->s->opening_rate <= 0)
        return NS_PER_S / 100;
    int64_t wait = pace_due(&churn->pace) - now;
    return wait < NS_PER_S / 1000 ? NS_PER_S / 1000 : wait;
}

static bool give_topics(struct run *run)
{
    for (size_t i = 0; i < run->sides; i++) {
        struct client *guest = run_side(run, i);
        if (asprintf(&guest->topic, "bench/churn/%zu", i) < 0) {
            guest->topic = NULL;
            return false;
        }
        guest->peer.publisher = (uint32_t)(run->subs + run->pubs + i);
        guest->peer.filter = guest->peer.topic = guest->topic;
        guest->peer.latency = NULL;
        guest->peer.ready = guest_ready;
        guest->peer.message = guest_message;
        guest->peer.gone = guest_gone;
        guest->wants_open = true;
    }
    return true;
}

/* The last ones finish; what they did not get is lost. */
static void see_them_off(struct flow *flow)
{
    struct run *run = flow->run;
    int64_t until = link_now() + (int64_t)(run->s->drain_s * 1e9);
    bool any = true;

    churn_of(run)->over = true;
    while (any && link_now() < until) {
        (void)come(flow);
        run_turn(run, TURN_NS / 10);
        any = false;
        for (size_t i = 0; i < run->sides; i++)
            any = any || run_side(run, i)->peer.state != PEER_CLOSED;
    }
}

static void count(struct run *run)
{
    struct load_report *r = run->report;

    for (size_t i = 0; i < run->sides; i++) {
        const struct client *guest = run_side(run, i);
        r->sent += guest->peer.sent;
        r->acked += guest->peer.qos > 0 ? guest->peer.acked : guest->peer.received;
        r->refused += guest->peer.refused;
        r->expected += guest->peer.sent;
        r->received += guest->peer.received;
        r->strange += guest->peer.strange;
        r->lost += guest->peer.sent > guest->peer.received ? guest->peer.sent - guest->peer.received : 0;
    }
}

void churn_run(struct run *run)
{
    struct churn churn = { 0 };
    struct flow flow = { .run = run };

    run->beside = &churn;
    if (!give_topics(run)) {
        trouble_add(&run->report->troubles, "out of memory");
        return;
    }
    if (flow_begin(&flow, run)) {
        flow_part(&flow, "quiet", run->s->duration_s / 2);
        if (run->s->opening_rate > 0)
            churn.pace = pace_from(run->loop->now_ns, run->s->opening_rate);
        flow.beside = come;
        flow_part(&flow, "churn", run->s->duration_s / 2);
        flow.beside = NULL;
        see_them_off(&flow);
        flow_drain(&flow);
    }
    flow_count(&flow);
    count(run);
    run->beside = NULL;
}
