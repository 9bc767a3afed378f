/* What is looked up by topic: many subscriptions, many retained messages. */
#include "lean.h"
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>

#define FILTERS    100000
#define PER_CLIENT 1000 /* filters of each client */
#define RETAINED   20000
#define FOUND      10 /* retained messages that a filter finds */
#define PAYLOAD    64
#define PUBLISHERS 20

struct forest {
    struct lean *l;
    struct lean_conn *pub[PUBLISHERS], *reader;
    struct buf packet[PUBLISHERS]; /* for the publishers, or the reader */
    struct buf undo[PUBLISHERS];
    uint64_t expected;
};

static struct forest *forest_new(void)
{
    struct forest *f = calloc(1, sizeof *f);

    lean_must(f != NULL, "memory");
    f->l = lean_new(1, false);
    lean_begin(f->l);
    for (int i = 0; i < PUBLISHERS; i++) {
        buf_init(&f->packet[i], 65536);
        buf_init(&f->undo[i], 65536);
    }
    return f;
}

static struct lean_conn *connected(struct forest *f, const char *prefix, unsigned n)
{
    char id[32];

    snprintf(id, sizeof id, "%s-%u", prefix, n);
    return lean_client(f->l, &(struct lean_client){ .id = id, .scope = LEAN_ALL });
}

/* ---- subscriptions ---- */

static void plant(struct forest *f)
{
    struct lean_conn *c = NULL;
    char filter[64];

    for (unsigned i = 0; i < FILTERS; i++) {
        if (i % PER_CLIENT == 0)
            c = connected(f, "gardener", i);
        snprintf(filter, sizeof filter, "site%u/+/device%u/#", i / 1000, i);
        lean_subscribe(c, filter, 0);
    }
}

static void *wildcards(unsigned calls)
{
    struct forest *f = forest_new();
    char topic[32];

    (void)calls;
    plant(f);
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        snprintf(topic, sizeof topic, "bench/pair%02u", i);
        lean_subscribe(connected(f, "sub", i), topic, 0);
        f->pub[i] = connected(f, "pub", i);
        lean_publish_packet(&f->packet[i], topic, 0, 0, false, PAYLOAD);
    }
    f->expected = f->l->packets;
    return f;
}

static void publish_one(void *state, unsigned i)
{
    struct forest *f = state;

    lean_input(f->pub[i % PUBLISHERS], buf_span(&f->packet[i % PUBLISHERS]));
    lean_turn(f->l);
    lean_must(f->l->packets == ++f->expected, "a delivery for each message");
}

static void put_filter(struct forest *f, unsigned i, const char *filter)
{
    struct mqtt_subscription want = { .filter = { span_of_str(filter) } };

    mqtt_write_subscribe(&f->packet[i], MQTT_5, 1, NULL, &want, 1);
    mqtt_write_unsubscribe(&f->undo[i], MQTT_5, 2, NULL, &want.filter, 1);
    lean_must(buf_ok(&f->packet[i]) && buf_ok(&f->undo[i]), "SUBSCRIBE, UNSUBSCRIBE");
}

static void *subscribing(unsigned calls)
{
    struct forest *f = forest_new();
    char filter[64];

    (void)calls;
    plant(f);
    f->reader = connected(f, "reader", 0);
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        snprintf(filter, sizeof filter, "site%u/+/new%u/#", i * 5, i);
        put_filter(f, i, filter);
    }
    f->expected = f->l->packets;
    return f;
}

static void subscribe_and_back(struct forest *f, unsigned i, unsigned found)
{
    lean_input(f->reader, buf_span(&f->packet[i % PUBLISHERS]));
    lean_turn(f->l);
    lean_input(f->reader, buf_span(&f->undo[i % PUBLISHERS]));
    lean_turn(f->l);
    f->expected += 2 + found;
    lean_must(f->l->packets == f->expected, "SUBACK, UNSUBACK and what was found");
}

static void subscribe(void *state, unsigned i)
{
    subscribe_and_back(state, i, 0);
}

/* ---- retained messages ---- */

static struct forest *with_retained(void)
{
    struct forest *f = forest_new();
    struct lean_conn *c = connected(f, "keeper", 0);
    CLEANUP(buf_done)
    struct buf packet;
    char topic[64];

    buf_init(&packet, 65536);
    for (unsigned i = 0; i < RETAINED; i++) {
        snprintf(topic, sizeof topic, "site%u/state/device%u", i / FOUND, i);
        buf_reset(&packet);
        lean_publish_packet(&packet, topic, 0, 0, true, PAYLOAD);
        lean_input(c, buf_span(&packet));
        lean_turn(f->l);
    }
    f->pub[0] = c;
    return f;
}

static void *retaining(unsigned calls)
{
    struct forest *f = with_retained();
    char topic[64];

    (void)calls;
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        f->pub[i] = f->pub[0];
        snprintf(topic, sizeof topic, "site%u/state/device%u", i * 50, i * 50 * FOUND);
        lean_publish_packet(&f->packet[i], topic, 0, 0, true, PAYLOAD);
    }
    return f;
}

static void publish_retained(void *state, unsigned i)
{
    struct forest *f = state;

    lean_input(f->pub[i % PUBLISHERS], buf_span(&f->packet[i % PUBLISHERS]));
    lean_turn(f->l);
}

static void *finding(unsigned calls)
{
    struct forest *f = with_retained();
    char filter[64];

    (void)calls;
    f->reader = connected(f, "reader", 0);
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        snprintf(filter, sizeof filter, "site%u/+/#", i * 50);
        put_filter(f, i, filter);
    }
    f->expected = f->l->packets;
    return f;
}

static void subscribe_and_find(void *state, unsigned i)
{
    subscribe_and_back(state, i, FOUND);
}

const struct scenario tree_scenarios[] = {
    { "wildcards_100k", "message of QoS 0, beside 100,000 wildcard subscriptions", 400, 1, wildcards,
      publish_one },
    { "subscribe", "SUBSCRIBE and UNSUBSCRIBE, beside 100,000 subscriptions", 200, 1, subscribing, subscribe },
    { "retained_set", "retained message replaced, one of 20,000", 400, 1, retaining, publish_retained },
    { "retained_match", "SUBSCRIBE that finds 10 of 20,000 retained, and UNSUBSCRIBE", 100, 1, finding,
      subscribe_and_find },
    { 0 },
};
