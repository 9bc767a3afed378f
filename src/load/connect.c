/* Connections: many that stay, or a few that come and go as fast as they can. */
#include "load/run_priv.h"

#define AFTER_FAILURE_NS (NS_PER_S / 10)

/* ---- they stay ---- */

static void stay(struct run *run)
{
    struct load_report *r = run->report;
    double own_from = 0, own_to = 0;

    run->measuring = true;
    r->process_from = r->process_start;
    run_usage(run, &r->process_from, &own_from);
    bool any = run_open_all(run);
    r->connects = run->ready;
    r->seconds = r->opening_s;
    run_usage(run, &r->process_to, &own_to);
    r->own_cpu_s = own_to - own_from;
    run->phase = LOAD_RUNNING;
    int64_t until = run->s->duration_s > 0 ? link_now() + (int64_t)(run->s->duration_s * 1e9) : 0;
    while (any && !run->stop && run->loop->open > 0 && (until == 0 || run->loop->now_ns < until))
        run_turn(run, TURN_NS);
}

/* ---- they come and go ---- */

static void again_ready(struct peer *peer)
{
    struct client *client = CONTAINER_OF(peer, struct client, peer);

    client->run->connects++;
    peer_disconnect(peer);
}

static void again_gone(struct peer *peer, const char *reason)
{
    struct client *client = CONTAINER_OF(peer, struct client, peer);
    struct run *run = client->run;

    client->wants_open = true;
    if (reason == NULL || run->closing)
        return;
    run->failed_opening++;
    client->not_before_ns = link_now() + AFTER_FAILURE_NS;
}

static void open_wanting(struct run *run)
{
    const struct load_settings *s = run->s;
    int64_t now = link_now();
    double since = (double)(now - run->start_ns) / 1e9;

    for (size_t i = 0; i < run->count; i++) {
        struct client *client = &run->clients[i];
        if (!client->wants_open || now < client->not_before_ns)
            continue;
        if (s->opening_rate > 0 && (double)run->opened >= 1 + since * s->opening_rate)
            return;
        /* Under a new name, and with the next token: nobody is taken over, no token is always the same. */
        if (!run_name(run, client, run->opened))
            return;
        run->opened++;
        client->wants_open = false;
        peer_open(&client->peer);
    }
}

static bool enough(const struct run *run)
{
    return run->s->messages > 0 && run->connects >= run->s->messages;
}

static void churn_until(struct run *run, int64_t until)
{
    while (!run->stop && !enough(run) && (until == 0 || run->loop->now_ns < until)) {
        open_wanting(run);
        run_turn(run, run->s->opening_rate > 0 ? NS_PER_S / 1000 : TURN_NS);
    }
}

static void come_and_go(struct run *run)
{
    struct load_report *r = run->report;
    double own_from = 0, own_to = 0;

    for (size_t i = 0; i < run->count; i++) {
        run->clients[i].peer.ready = again_ready;
        run->clients[i].peer.gone = again_gone;
        run->clients[i].wants_open = true;
    }
    run->phase = LOAD_WARMING_UP;
    if (run->s->warmup_s > 0)
        churn_until(run, run->start_ns + (int64_t)(run->s->warmup_s * 1e9));
    run->phase = LOAD_RUNNING;
    run_measure(run, true);
    run_usage(run, &r->process_from, &own_from);
    uint64_t before = run->connects;
    int64_t from = link_now();
    churn_until(run, run->s->duration_s > 0 ? from + (int64_t)(run->s->duration_s * 1e9) : 0);
    r->seconds = (double)(link_now() - from) / 1e9;
    run_usage(run, &r->process_to, &own_to);
    r->own_cpu_s = own_to - own_from;
    r->connects = run->connects - before;
    r->ready = run->connects < run->count ? (size_t)run->connects : run->count;
    run_measure(run, false);
}

void connect_run(struct run *run)
{
    if (run->s->again)
        come_and_go(run);
    else
        stay(run);
}
