/* Others' messages at a rate, first alone, then while sessions renew their tokens by challenge and response (RFC 9431 4). */
#include "load/run_priv.h"

struct renewals {
    struct pace pace;
    size_t next;     /* whose turn it is */
    size_t identity; /* the token it takes */
    size_t asked;    /* and not yet answered */
};

static struct renewals *renewals_of(struct run *run)
{
    return run->beside;
}

static void side_renewed(struct peer *peer, int64_t took_ns)
{
    struct client *client = CONTAINER_OF(peer, struct client, peer);
    struct run *run = client->run;

    client->busy = false;
    renewals_of(run)->asked--;
    if (run->part == NULL)
        return;
    run->part->operations++;
    histogram_add(&run->part->times, took_ns);
}

static void side_gone(struct peer *peer, const char *reason UNUSED)
{
    struct client *client = CONTAINER_OF(peer, struct client, peer);
    struct run *run = client->run;

    if (run->closing)
        return;
    renewals_of(run)->asked -= client->busy;
    client->busy = false;
    if (client->was_ready)
        run->lost_connections++;
    else
        run->failed_opening++;
}

static struct client *idle_one(struct run *run, struct renewals *r)
{
    for (size_t k = 0; k < run->sides; k++) {
        struct client *client = run_side(run, r->next++ % run->sides);
        if (client_ready(client) && !client->busy)
            return client;
    }
    return NULL;
}

/* What is due: returns how long until the next is. */
static int64_t renew_due(struct flow *flow)
{
    struct run *run = flow->run;
    struct renewals *r = renewals_of(run);
    const struct login *login = run->s->login;
    bool paced = run->s->opening_rate > 0;

    for (;;) {
        int64_t wait = paced ? pace_due(&r->pace) - run->loop->now_ns : 0;
        if (wait > 0)
            return wait;
        struct client *client = paced || r->asked < run->s->opening_max ? idle_one(run, r) : NULL;
        if (client == NULL)
            return TURN_NS;
        run->report->repeated += r->identity >= login->count;
        client->busy = true;
        r->asked++;
        r->pace.count++;
        peer_renew(&client->peer, &login->identities[r->identity++ % login->count]);
    }
}

void renew_run(struct run *run)
{
    struct renewals renewals = { .identity = run->count }; /* the first ones log in */
    struct flow flow = { .run = run };

    run->beside = &renewals;
    for (size_t i = 0; i < run->sides; i++) {
        struct peer *peer = &run_side(run, i)->peer;
        peer->renewed = side_renewed;
        peer->gone = side_gone;
    }
    if (flow_begin(&flow, run)) {
        flow_part(&flow, "quiet", run->s->duration_s / 2);
        if (run->s->opening_rate > 0)
            renewals.pace = pace_from(run->loop->now_ns, run->s->opening_rate);
        flow.beside = renew_due;
        flow_part(&flow, "renew", run->s->duration_s / 2);
        flow.beside = NULL;
        int64_t until = link_now() + (int64_t)(run->s->drain_s * 1e9);
        while (renewals.asked > 0 && link_now() < until)
            run_turn(run, TURN_NS);
        if (renewals.asked > 0)
            trouble_add(&run->report->troubles, "%zu renewals were not answered", renewals.asked);
        flow_drain(&flow);
    }
    flow_count(&flow);
    run->beside = NULL;
}
