/* curves: what a message costs the pure core (lean.h) as one thing grows. bench/plots runs it, for times by itself and for
 * instructions under callgrind, and draws.
 *
 *   curves                 the curves: name, points, what one operation is; tab between them
 *   curves NAME X [N]      one point. By itself: nanoseconds of CPU for an operation, the best of rounds, and bytes of heap for
 *                          each of the X there are. Under callgrind: two profiles, of N operations and of 2N. */
#include "lean.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <valgrind/callgrind.h>

#define ROUNDS   9
#define ROUND_NS 30000000
#define PAYLOAD  64
#define STRIDE   7919 /* prime: neighbours in time are no neighbours in memory */

struct point {
    struct lean *l;
    unsigned x;
    unsigned pairs; /* used one after the other, by STRIDE */
    struct lean_conn **pub;
    struct buf *packet;
    struct buf undo; /* where an operation has two packets */
    unsigned units;  /* operations in one call of one() */
    size_t heap;     /* bytes taken by the X */
};

struct curve {
    const char *name, *points, *per;
    void (*set_up)(struct point *p);
    void (*one)(struct point *p, unsigned i);
};

static size_t heap_used(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* ---- clients ---- */

/* Connects with the same token as all, so that a hundred thousand do not take long. */
static struct lean_conn *join(struct lean *l, const char *prefix, unsigned n, const char *scope)
{
    static struct buf token, packet;
    static const char *of;
    char id[32];
    struct lean_client client = { .id = id, .scope = scope };
    struct lean_conn *c = lean_conn_new(l);

    snprintf(id, sizeof id, "%s-%u", prefix, n);
    if (of != scope) {
        buf_init(&token, 1 << 17);
        buf_init(&packet, 1 << 18);
        lean_token(l, &client, 0, &token);
        of = scope;
    }
    buf_reset(&packet);
    lean_connect_packet(l, &client, buf_span(&token), &packet);
    lean_input(c, buf_span(&packet));
    lean_turn(l);
    lean_must(!c->closed, "connected");
    return c;
}

static void room_for(struct point *p, unsigned pairs)
{
    p->pairs = pairs;
    p->pub = calloc(pairs, sizeof(struct lean_conn *));
    p->packet = calloc(pairs, sizeof *p->packet);
    lean_must(p->pub != NULL && p->packet != NULL, "memory");
    for (unsigned i = 0; i < pairs; i++)
        buf_init(&p->packet[i], (size_t)1 << 20);
}

static void one_pair(struct point *p, unsigned i, const char *topic, const char *scope, size_t payload)
{
    lean_subscribe(join(p->l, "sub", i, scope), topic, 0);
    p->pub[i] = join(p->l, "pub", i, scope);
    lean_publish_packet(&p->packet[i], topic, 0, 0, false, payload);
}

static void twenty_pairs(struct point *p)
{
    char topic[32];

    room_for(p, 20);
    for (unsigned i = 0; i < p->pairs; i++) {
        snprintf(topic, sizeof topic, "bench/pair%02u", i);
        one_pair(p, i, topic, LEAN_ALL, PAYLOAD);
    }
}

static void publish(struct point *p, unsigned i)
{
    unsigned at = (unsigned)((uint64_t)i * STRIDE % p->pairs);

    lean_input(p->pub[at], buf_span(&p->packet[at]));
    lean_turn(p->l);
}

/* ---- the curves ---- */

static void subscriptions(struct point *p)
{
    struct lean_conn *c = NULL;
    char filter[64];
    size_t before;

    twenty_pairs(p);
    before = heap_used();
    for (unsigned i = 0; i < p->x; i++) {
        if (i % 1000 == 0)
            c = join(p->l, "gardener", i, LEAN_ALL);
        snprintf(filter, sizeof filter, "site%u/+/device%u/#", i / 1000, i);
        lean_subscribe(c, filter, 0);
    }
    p->heap = heap_used() - before;
}

/* Each session takes part: it subscribes to one topic, and publishes to its neighbour's. */
static void sessions(struct point *p)
{
    char topic[32];
    size_t before;

    room_for(p, p->x);
    before = heap_used();
    for (unsigned i = 0; i < p->x; i++) {
        p->pub[i] = join(p->l, "device", i, LEAN_ALL);
        snprintf(topic, sizeof topic, "device/%07u", i);
        lean_subscribe(p->pub[i], topic, 0);
    }
    p->heap = heap_used() - before - p->x * sizeof(struct lean_conn);
    for (unsigned i = 0; i < p->x; i++) {
        snprintf(topic, sizeof topic, "device/%07u", (i + 1) % p->x);
        lean_publish_packet(&p->packet[i], topic, 0, 0, false, PAYLOAD);
    }
}

static void keep(struct point *p)
{
    struct lean_conn *c = join(p->l, "keeper", 0, LEAN_ALL);
    CLEANUP(buf_done)
    struct buf packet;
    char topic[64];
    size_t before = heap_used();

    buf_init(&packet, 65536);
    for (unsigned i = 0; i < p->x; i++) {
        snprintf(topic, sizeof topic, "site%u/state/device%u", i / 10, i);
        buf_reset(&packet);
        lean_publish_packet(&packet, topic, 0, 0, true, PAYLOAD);
        lean_input(c, buf_span(&packet));
        lean_turn(p->l);
    }
    p->heap = heap_used() - before;
}

static void retained(struct point *p)
{
    keep(p);
    twenty_pairs(p);
}

static void retained_replaced(struct point *p)
{
    struct lean_conn *c;
    char topic[64];

    keep(p);
    c = join(p->l, "writer", 0, LEAN_ALL);
    room_for(p, p->x < 1000 ? p->x : 1000);
    for (unsigned i = 0; i < p->pairs; i++) {
        unsigned n = (unsigned)((uint64_t)i * p->x / p->pairs);

        p->pub[i] = c;
        snprintf(topic, sizeof topic, "site%u/state/device%u", n / 10, n);
        lean_publish_packet(&p->packet[i], topic, 0, 0, true, PAYLOAD);
    }
}

static void retained_found(struct point *p)
{
    struct lean_conn *c;
    char filter[64];

    keep(p);
    c = join(p->l, "reader", 0, LEAN_ALL);
    room_for(p, p->x < 1000 ? p->x / 10 : 100);
    for (unsigned i = 0; i < p->pairs; i++) {
        struct mqtt_subscription want = { .qos = 0 };

        snprintf(filter, sizeof filter, "site%u/+/#", (unsigned)((uint64_t)i * (p->x / 10) / p->pairs));
        want.filter.s = span_of_str(filter);
        p->pub[i] = c;
        mqtt_write_subscribe(&p->packet[i], MQTT_5, 1, NULL, &want, 1);
        mqtt_write_unsubscribe(&p->packet[i], MQTT_5, 2, NULL, &want.filter, 1);
        lean_must(buf_ok(&p->packet[i]), "SUBSCRIBE, UNSUBSCRIBE");
    }
}

static void depth(struct point *p)
{
    char topic[1024];

    room_for(p, 20);
    for (unsigned i = 0; i < p->pairs; i++) {
        int at = snprintf(topic, sizeof topic, "pair%02u", i);

        for (unsigned level = 1; level < p->x; level++)
            at += snprintf(topic + at, sizeof topic - (size_t)at, "/l%02u", level);
        one_pair(p, i, topic, LEAN_ALL, PAYLOAD);
    }
}

/* X entries with a wildcard each, of which the last fits. */
static void permissions(struct point *p)
{
    struct buf text;
    const char *scope;
    char topic[64];

    buf_init(&text, 65536);
    for (unsigned i = 1; i <= p->x; i++)
        put_fmt(&text, "%s[\"s%u/+/#\",[\"pub\",\"sub\"]]", i == 1 ? "[" : ",", i);
    put_bytes(&text, span_of("]", 2));
    lean_must(buf_ok(&text), "memory");
    scope = (const char *)text.p;
    room_for(p, 20);
    for (unsigned i = 0; i < p->pairs; i++) {
        snprintf(topic, sizeof topic, "s%u/dev%02u/state", p->x, i);
        one_pair(p, i, topic, scope, PAYLOAD);
    }
}

static void fan_out(struct point *p)
{
    room_for(p, 1);
    p->units = p->x;
    p->pub[0] = join(p->l, "pub", 0, LEAN_ALL);
    for (unsigned i = 0; i < p->x; i++)
        lean_subscribe(join(p->l, "sub", i, LEAN_ALL), "bench/all", 0);
    lean_publish_packet(&p->packet[0], "bench/all", 0, 0, false, PAYLOAD);
}

static void payload(struct point *p)
{
    char topic[32];

    room_for(p, 20);
    for (unsigned i = 0; i < p->pairs; i++) {
        snprintf(topic, sizeof topic, "bench/pair%02u", i);
        one_pair(p, i, topic, LEAN_ALL, p->x);
    }
}

static void batch(struct point *p)
{
    twenty_pairs(p);
    p->units = p->x;
    for (unsigned i = 0; i < p->pairs; i++) {
        CLEANUP(buf_done)
        struct buf one;

        buf_init(&one, 4096);
        put_bytes(&one, buf_span(&p->packet[i]));
        for (unsigned n = 1; n < p->x; n++)
            put_bytes(&p->packet[i], buf_span(&one));
    }
}

static const struct curve curves[] = {
    { "subscriptions", "0 10 100 1000 10000 100000 1000000", "message to one subscriber", subscriptions,
      publish },
    { "sessions", "20 100 1000 10000 100000 300000", "message to one subscriber", sessions, publish },
    { "retained", "0 10 100 1000 10000 100000 1000000", "message to one subscriber", retained, publish },
    { "retained_replaced", "10 100 1000 10000 100000 1000000", "retained message replaced", retained_replaced,
      publish },
    { "retained_found", "10 100 1000 10000 100000 1000000", "SUBSCRIBE that finds 10, and UNSUBSCRIBE",
      retained_found, publish },
    { "depth", "1 2 4 8 16 32 64 100", "message to one subscriber", depth, publish },
    { "permissions", "1 2 4 8 16 32 64 128", "message to one subscriber", permissions, publish },
    { "fan_out", "1 2 5 10 20 50 100 200 500 1000 5000", "delivery", fan_out, publish },
    { "payload", "16 64 256 1024 4096 16384 65536", "message to one subscriber", payload, publish },
    { "batch", "1 2 4 8 16 32 64", "message to one subscriber", batch, publish },
};

/* ---- measuring ---- */

static int64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static unsigned operate(const struct curve *c, struct point *p, unsigned at, unsigned calls)
{
    for (unsigned end = at + calls; at < end; at++)
        c->one(p, at);
    return at;
}

static void count(const struct curve *c, struct point *p, unsigned n)
{
    unsigned at = 0;

    CALLGRIND_START_INSTRUMENTATION;
    at = operate(c, p, at, n);
    CALLGRIND_ZERO_STATS;
    at = operate(c, p, at, n);
    CALLGRIND_DUMP_STATS_AT("short");
    operate(c, p, at, 2 * n);
    CALLGRIND_DUMP_STATS_AT("long");
}

static void measure(const struct curve *c, struct point *p)
{
    unsigned calls = 16, at = 0;
    double best = 0;
    int64_t took = 0;

    while (took < ROUND_NS) {
        calls *= 2;
        took = -cpu_ns();
        at = operate(c, p, at, calls);
        took += cpu_ns();
    }
    for (int round = 0; round < ROUNDS; round++) {
        took = -cpu_ns();
        at = operate(c, p, at, calls);
        took += cpu_ns();
        double each = (double)took / calls / p->units;
        if (round == 0 || each < best)
            best = each;
    }
    printf("{\"ns\": %.1f, \"bytes\": %.0f}\n", best, p->x == 0 ? 0 : (double)p->heap / p->x);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < COUNT_OF(curves); i++) {
        const struct curve *c = &curves[i];
        struct point p = { .units = 1 };

        if (argc < 3) {
            printf("%s\t%s\t%s\n", c->name, c->points, c->per);
            continue;
        }
        if (strcmp(c->name, argv[1]) != 0)
            continue;
        p.x = (unsigned)strtoul(argv[2], NULL, 10);
        p.l = lean_new(1, false);
        lean_begin(p.l);
        c->set_up(&p);
        if (RUNNING_ON_VALGRIND)
            count(c, &p, argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 200);
        else
            measure(c, &p);
        fflush(NULL);
        _Exit(0);
    }
    return argc < 3 ? 0 : 1;
}
