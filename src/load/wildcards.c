/* What many subscriptions cost: messages without them, the subscriptions, the same messages with them. None of them matches
 * what is published. */
#include "load/run_priv.h"

#include "load/template.h"

#define FILTERS_PER_PACKET 100

static void put_filter(const struct run *run, uint64_t number, struct buf *out)
{
    static const char *const ours[] = { "bench/wild/%i/+", "bench/wild/%i/+/state", "bench/+/wild/%i/#" };
    const char *pattern = run->s->filters != NULL ? run->s->filters : ours[number % COUNT_OF(ours)];

    template_expand(pattern, (size_t)number, NULL, out);
}

/* The next packet of this session: numbers next, next + sides, ... */
static void subscribe_more(struct run *run, struct client *client)
{
    struct mqtt_subscription subscriptions[FILTERS_PER_PACKET];
    size_t ends[FILTERS_PER_PACKET], count = 0;
    CLEANUP(buf_done)
    struct buf names;

    buf_init(&names, 1u << 20);
    for (; count < FILTERS_PER_PACKET && client->next < run->s->subscriptions; client->next += run->sides) {
        put_filter(run, client->next, &names);
        ends[count++] = names.len;
    }
    client->busy = count > 0;
    if (!client->busy)
        return;
    if (!buf_ok(&names)) {
        peer_fail(&client->peer, "filters that are too long");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t from = i == 0 ? 0 : ends[i - 1];
        subscriptions[i] =
            (struct mqtt_subscription){ .filter = { span_cut(buf_span(&names), from, ends[i] - from) },
                                        .qos = run->s->qos };
    }
    peer_subscribe(&client->peer, subscriptions, count);
}

static void side_subscribed(struct peer *peer, size_t filters, int64_t took_ns)
{
    struct client *client = CONTAINER_OF(peer, struct client, peer);
    struct run *run = client->run;

    if (run->part == NULL) /* interrupted */
        return;
    run->part->operations += filters;
    histogram_add(&run->part->times, took_ns);
    subscribe_more(run, client);
}

static bool any_busy(const struct run *run)
{
    for (size_t i = 0; i < run->sides; i++)
        if (run_side(run, i)->busy && client_ready(run_side(run, i)))
            return true;
    return false;
}

static void fill_the_tree(struct run *run)
{
    run_part_begin(run, "subscribe");
    for (size_t i = 0; i < run->sides; i++) {
        struct client *client = run_side(run, i);
        client->peer.subscribed = side_subscribed;
        client->next = i;
        if (client_ready(client))
            subscribe_more(run, client);
    }
    while (any_busy(run) && !run->stop)
        run_turn(run, TURN_NS);
    run_part_end(run);
    const struct load_part *part = load_last_part(run->report);
    if (part->operations < run->s->subscriptions)
        trouble_add(&run->report->troubles, "%llu subscriptions were not made",
                    (unsigned long long)(run->s->subscriptions - part->operations));
}

void wildcards_run(struct run *run)
{
    struct flow flow;

    if (flow_begin(&flow, run)) {
        flow_part(&flow, "empty", run->s->duration_s / 2);
        flow_drain(&flow);
        fill_the_tree(run);
        flow_resume(&flow);
        flow_part(&flow, "full", run->s->duration_s / 2);
        flow_drain(&flow);
    }
    flow_count(&flow);
}
