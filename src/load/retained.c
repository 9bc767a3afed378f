/* What many retained messages cost: to store them, to be asked for one by one, and for all at once by a wildcard. No
 * publishers and subscribers: only sessions that do this, and one more that asks for all. */
#include "load/run_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FILTERS_PER_PACKET 100
#define TOPIC_MAX          64
#define PER_LEVEL          1000
#define ALL                "bench/kept/#"

struct retained {
    struct run *run;
    uint64_t next;       /* to be stored */
    uint64_t count;      /* that were stored */
    uint64_t *seen;      /* a bit for each */
    uint64_t came;       /* of this part, each once */
    int64_t progress_ns; /* when something last came */
};

static void name_topic(uint64_t number, char topic[TOPIC_MAX])
{
    (void)snprintf(topic, TOPIC_MAX, "bench/kept/%" PRIu64 "/%" PRIu64, number / PER_LEVEL, number % PER_LEVEL);
}

/* ---- storing ---- */

static uint64_t acknowledged(const struct run *run)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < run->sides; i++)
        sum += run_side(run, i)->peer.acked;
    return sum;
}

static bool has_room(const struct run *run, const struct peer *peer)
{
    size_t window = run->s->window < peer->receive_maximum ? run->s->window : peer->receive_maximum;

    return peer->state == PEER_READY && peer->inflight < window;
}

static void store_some(struct retained *r)
{
    struct run *run = r->run;
    char topic[TOPIC_MAX];

    for (size_t i = 0; i + 1 < run->sides; i++) {
        struct peer *peer = &run_side(run, i)->peer;
        while (r->next < run->s->messages && has_room(run, peer)) {
            name_topic(r->next, topic);
            peer_retain(peer, topic, r->next++);
        }
    }
}

/* True while something came in the last `drain_s` seconds; `count` is what grows. */
static bool moves(struct retained *r, uint64_t count, uint64_t *before)
{
    int64_t now = r->run->loop->now_ns;

    if (count != *before)
        r->progress_ns = now;
    *before = count;
    return !r->run->stop && r->run->loop->open > 0 &&
           now - r->progress_ns <= (int64_t)(r->run->s->drain_s * 1e9);
}

static void store(struct retained *r)
{
    struct run *run = r->run;
    uint64_t before = 0;

    run_part_begin(run, "store");
    r->progress_ns = run->loop->now_ns;
    while (acknowledged(run) < run->s->messages && moves(r, acknowledged(run), &before)) {
        store_some(r);
        run_turn(run, TURN_NS);
    }
    run->part->operations = acknowledged(run);
    run_part_end(run);
    r->count = r->next;
    for (size_t i = 0; i < run->sides; i++) {
        const struct peer *peer = &run_side(run, i)->peer;
        run->report->sent += peer->sent;
        run->report->acked += peer->acked;
        run->report->refused += peer->refused;
        run->report->unmatched += peer->unmatched;
    }
}

/* ---- asking ---- */

static struct retained *retained_of(struct run *run)
{
    return run->beside;
}

static void side_message(struct peer *peer, const struct stamp *stamp)
{
    struct retained *r = retained_of(CONTAINER_OF(peer, struct client, peer)->run);
    uint64_t *word = &r->seen[stamp->number / 64], bit = UINT64_C(1) << stamp->number % 64;

    peer->received++;
    if (stamp->number >= r->count) {
        peer->strange++;
    } else if ((*word & bit) != 0) {
        r->run->report->twice++;
    } else {
        *word |= bit;
        r->came++;
    }
}

/* Single topics are spread over all there are. */
static void ask_more(struct run *run, struct client *client)
{
    struct retained *r = retained_of(run);
    uint64_t wanted = run->s->subscriptions < r->count ? run->s->subscriptions : r->count;
    struct mqtt_subscription subscriptions[FILTERS_PER_PACKET];
    char topics[FILTERS_PER_PACKET][TOPIC_MAX];
    size_t count = 0;

    for (; count < FILTERS_PER_PACKET && client->next < wanted; client->next += run->sides - 1) {
        name_topic(client->next * (r->count / wanted), topics[count]);
        subscriptions[count] =
            (struct mqtt_subscription){ .filter = { span_of_str(topics[count]) }, .qos = run->s->qos };
        count++;
    }
    if (count > 0)
        peer_subscribe(&client->peer, subscriptions, count);
}

static void side_subscribed(struct peer *peer, size_t filters UNUSED, int64_t took_ns)
{
    struct client *client = CONTAINER_OF(peer, struct client, peer);
    struct run *run = client->run;

    if (run->part != NULL)
        histogram_add(&run->part->times, took_ns);
    if (client != run_side(run, run->sides - 1))
        ask_more(run, client);
}

/* Until `wanted` messages have come, each once. */
static void collect(struct retained *r, uint64_t wanted)
{
    struct load_report *report = r->run->report;
    uint64_t before = 0;

    r->progress_ns = r->run->loop->now_ns;
    while (r->came < wanted && moves(r, r->came, &before))
        run_turn(r->run, TURN_NS);
    r->run->part->operations = r->came;
    run_part_end(r->run);
    report->expected += wanted;
    report->received += r->came;
    report->lost += wanted - r->came;
}

static void ask_for_some(struct retained *r)
{
    struct run *run = r->run;

    run_part_begin(run, "single");
    for (size_t i = 0; i + 1 < run->sides; i++) {
        struct client *client = run_side(run, i);
        client->next = i;
        if (client_ready(client))
            ask_more(run, client);
    }
    collect(r, run->s->subscriptions < r->count ? run->s->subscriptions : r->count);
}

static void ask_for_all(struct retained *r)
{
    struct run *run = r->run;
    struct client *last = run_side(run, run->sides - 1);
    struct mqtt_subscription all = { .filter = { SPAN(ALL) }, .qos = run->s->qos };

    memset(r->seen, 0, (size_t)(run->s->messages / 64 + 1) * sizeof *r->seen);
    r->came = 0;
    run_part_begin(run, "all");
    if (client_ready(last))
        peer_subscribe(&last->peer, &all, 1);
    collect(r, r->count);
}

void retained_run(struct run *run)
{
    struct retained r = { .run = run, .seen = calloc((size_t)(run->s->messages / 64 + 1), sizeof *r.seen) };

    run->beside = &r;
    if (r.seen == NULL) {
        trouble_add(&run->report->troubles, "out of memory");
        return;
    }
    for (size_t i = 0; i < run->sides; i++) {
        struct peer *peer = &run_side(run, i)->peer;
        peer->qos = 1;
        peer->message = side_message;
        peer->subscribed = side_subscribed;
    }
    if (run_open_all(run)) {
        store(&r);
        if (r.count > 0 && !run->stop)
            ask_for_some(&r);
        if (r.count > 0 && !run->stop)
            ask_for_all(&r);
    }
    for (size_t i = 0; i < run->sides; i++)
        run->report->strange += run_side(run, i)->peer.strange;
    run->beside = NULL;
    free(r.seen);
}
