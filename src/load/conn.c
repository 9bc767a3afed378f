/* Connections: many that stay, or a few that come and go as fast as they can. */
#include "load/run_priv.h"

/* ---- they stay ---- */

static void stay(struct run *run)
{
    struct load_report *r = run->report;

    run_part_begin(run, "run");
    bool any = run_open_all(run);
    run->part->operations = r->connects = run->ready;
    run_part_end(run);
    run->phase = LOAD_RUNNING;
    int64_t until = run->s->duration_s > 0 ? link_now() + (int64_t)(run->s->duration_s * 1e9) : 0;
    while (any && !run->stop && run->loop->open > 0 && (until == 0 || run->loop->now_ns < until))
        run_turn(run, TURN_NS);
}

/* ---- they come and go ---- */

static void again_ready(struct peer *peer)
{
    struct client *client = CONTAINER_OF(peer, struct client, peer);
    struct run *run = client->run;

    run->connects++;
    if (run->part != NULL)
        run->report->repeated += client->repeats;
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
        size_t number = run->opened;
        if (!run_name(run, client, number))
            return;
        if (s->keep_token)
            client->peer.number = i;
        client->repeats = s->login->count > 0 &&
                          (client->peer.number >= s->login->count || (s->keep_token && client->lives > 0));
        client->lives++;
        run->opened++;
        client->wants_open = false;
        peer_open(&client->peer);
    }
}

static bool enough(const struct run *run)
{
    return run->s->messages > 0 && run->connects >= run->s->messages;
}

static void again_until(struct run *run, int64_t until)
{
    while (!run->stop && !enough(run) && (until == 0 || run->loop->now_ns < until)) {
        open_wanting(run);
        run_turn(run, run->s->opening_rate > 0 ? NS_PER_S / 1000 : TURN_NS);
    }
}

static void come_and_go(struct run *run)
{
    struct load_report *r = run->report;

    for (size_t i = 0; i < run->count; i++) {
        run->clients[i].peer.ready = again_ready;
        run->clients[i].peer.gone = again_gone;
        run->clients[i].wants_open = true;
    }
    run->phase = LOAD_WARMING_UP;
    if (run->s->warmup_s > 0)
        again_until(run, run->start_ns + (int64_t)(run->s->warmup_s * 1e9));
    run_part_begin(run, "run");
    uint64_t before = run->connects;
    again_until(run, run->s->duration_s > 0 ? run->part_from_ns + (int64_t)(run->s->duration_s * 1e9) : 0);
    run->part->operations = r->connects = run->connects - before;
    run_part_end(run);
    r->ready = run->connects < run->count ? (size_t)run->connects : run->count;
}

void conn_run(struct run *run)
{
    if (run->s->again)
        come_and_go(run);
    else
        stay(run);
}
