/* A message on its way: what everybody pays most often. One packet in each read and one turn for it, unless said otherwise;
 * topics of 12 bytes, 64 bytes of payload. */
#include "lean.h"
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>

#define PAIRS   20
#define FAN_OUT 500
#define PAYLOAD 64
#define SCOPE   "[[\"bench/#\",[\"pub\",\"sub\"]],[\"other/%s/+\",[\"sub\"]]]"

struct pairs {
    struct lean *l;
    struct lean_conn *pub[PAIRS], *sub[PAIRS];
    struct buf packet[PAIRS];
    uint64_t expected; /* packets so far */
};

static struct span written(struct buf *b)
{
    lean_must(buf_ok(b), "a packet");
    return buf_span(b);
}

/* A Client Identifier that is at home on this shard, of 16 bytes. */
static void name(const struct lean *l, char id[24], const char *what, int i, unsigned home)
{
    for (int n = 0; n < 10000; n++) {
        snprintf(id, 24, "%s-%03d-%08d", what, i % 1000, n);
        if (shard_home(&l->settings, l->count, span_of_str(id)) == home)
            return;
    }
    lean_must(false, "a name that is at home there");
}

/* With two shards each message goes from one to the other, half of them this way and half the other. */
static void make_pair(struct pairs *p, int i, struct lean_client client, uint8_t qos, size_t payload, int batch)
{
    char topic[32], id[24];

    snprintf(topic, sizeof topic, "bench/pair%02d", i);
    name(p->l, id, "sub", i, (unsigned)i % p->l->count);
    client.id = id;
    client.scope = SCOPE;
    p->sub[i] = lean_client(p->l, &client);
    lean_subscribe(p->sub[i], topic, qos);
    name(p->l, id, "pub", i, (unsigned)(i + 1) % p->l->count);
    p->pub[i] = lean_client(p->l, &client);
    buf_init(&p->packet[i], (size_t)1 << 20);
    for (int n = 0; n < batch; n++)
        lean_publish_packet(&p->packet[i], topic, qos, (uint16_t)(n + 1), false, payload);
}

static struct pairs *pairs_of(struct lean *l, bool guests, uint8_t qos, size_t payload, int batch)
{
    struct pairs *p = calloc(1, sizeof *p);

    lean_must(p != NULL, "memory");
    p->l = l;
    if (guests)
        lean_public(l, LEAN_ALL);
    lean_begin(l);
    for (int i = 0; i < PAIRS; i++)
        make_pair(p, i, (struct lean_client){ .guest = guests }, qos, payload, batch);
    p->expected = l->packets;
    return p;
}

static void sent(struct pairs *p, unsigned packets)
{
    p->expected += packets;
    lean_must(p->l->packets == p->expected, "so many packets sent");
}

/* ---- QoS 0 ---- */

static void *p2p_qos0(unsigned calls)
{
    (void)calls;
    return pairs_of(lean_new(1, false), false, 0, PAYLOAD, 1);
}

static void *p2p_public(unsigned calls)
{
    (void)calls;
    return pairs_of(lean_new(1, false), true, 0, PAYLOAD, 1);
}

static void *p2p_1k(unsigned calls)
{
    (void)calls;
    return pairs_of(lean_new(1, false), false, 0, 1024, 1);
}

static void *p2p_batch(unsigned calls)
{
    (void)calls;
    return pairs_of(lean_new(1, false), false, 0, PAYLOAD, 16);
}

static void *p2p_shards(unsigned calls)
{
    (void)calls;
    return pairs_of(lean_new(2, false), false, 0, PAYLOAD, 16);
}

static void publish(void *state, unsigned i)
{
    struct pairs *p = state;

    lean_input(p->pub[i % PAIRS], buf_span(&p->packet[i % PAIRS]));
    lean_turn(p->l);
    sent(p, 1);
}

static void publish_batch(void *state, unsigned i)
{
    struct pairs *p = state;

    lean_input(p->pub[i % PAIRS], buf_span(&p->packet[i % PAIRS]));
    lean_turn(p->l);
    sent(p, 16);
}

/* ---- topics nobody has used before ---- */

struct readings {
    struct lean *l;
    struct lean_conn *pub;
    struct buf *packets; /* one for each call */
    uint64_t expected;
};

static void *readings(unsigned calls)
{
    struct readings *r = calloc(1, sizeof *r);
    char topic[32];

    lean_must(r != NULL, "memory");
    r->packets = calloc(calls, sizeof *r->packets);
    lean_must(r->packets != NULL, "memory");
    r->l = lean_new(1, false);
    lean_begin(r->l);
    lean_subscribe(lean_client(r->l, &(struct lean_client){ .id = "sub", .scope = SCOPE }), "bench/+", 0);
    r->pub = lean_client(r->l, &(struct lean_client){ .id = "pub", .scope = SCOPE });
    for (unsigned i = 0; i < calls; i++) {
        buf_init(&r->packets[i], 1 << 16);
        for (unsigned n = 0; n < 16; n++) {
            snprintf(topic, sizeof topic, "bench/%06u", i * 16 + n);
            lean_publish_packet(&r->packets[i], topic, 0, 0, false, PAYLOAD);
        }
        (void)written(&r->packets[i]);
    }
    r->expected = r->l->packets;
    return r;
}

static void publish_readings(void *state, unsigned i)
{
    struct readings *r = state;

    lean_input(r->pub, buf_span(&r->packets[i]));
    lean_turn(r->l);
    r->expected += 16;
    lean_must(r->l->packets == r->expected, "a delivery for each message");
}

/* ---- QoS 1 and 2 ---- */

static void *p2p_qos1(unsigned calls)
{
    (void)calls;
    return pairs_of(lean_new(1, false), false, 1, PAYLOAD, 1);
}

static void *p2p_qos2(unsigned calls)
{
    (void)calls;
    return pairs_of(lean_new(1, false), false, 2, PAYLOAD, 1);
}

/* An acknowledgement in its short form. */
static void acknowledge(struct lean_conn *c, uint8_t first, const uint8_t id[2])
{
    uint8_t packet[4] = { first, 2, id[0], id[1] };

    lean_input(c, span_of(packet, sizeof packet));
}

/* Packet Identifier of the PUBLISH that came to it, which has one byte of Remaining Length. */
static const uint8_t *id_of(const struct lean_conn *c)
{
    lean_must(c->last.len > 4 && (c->last.p[0] & 0xf0) == 0x30, "a PUBLISH");
    return c->last.p + 4 + c->last.p[3];
}

static void publish_qos1(void *state, unsigned i)
{
    struct pairs *p = state;

    lean_input(p->pub[i % PAIRS], buf_span(&p->packet[i % PAIRS]));
    lean_turn(p->l);
    sent(p, 2);
    acknowledge(p->sub[i % PAIRS], 0x40, id_of(p->sub[i % PAIRS]));
    lean_turn(p->l);
}

static void publish_qos2(void *state, unsigned i)
{
    static const uint8_t own_id[2] = { 0, 1 };
    struct pairs *p = state;
    struct lean_conn *sub = p->sub[i % PAIRS];
    uint8_t id[2];

    lean_input(p->pub[i % PAIRS], buf_span(&p->packet[i % PAIRS]));
    lean_turn(p->l);
    sent(p, 2); /* PUBREC, PUBLISH */
    id[0] = id_of(sub)[0];
    id[1] = id_of(sub)[1];
    acknowledge(p->pub[i % PAIRS], 0x62, own_id);
    acknowledge(sub, 0x50, id);
    lean_turn(p->l);
    sent(p, 2); /* PUBCOMP, PUBREL */
    acknowledge(sub, 0x70, id);
    lean_turn(p->l);
}

/* ---- one to many ---- */

struct fan_out {
    struct lean *l;
    struct lean_conn *pub;
    struct buf packet;
    uint64_t expected;
};

static void *fan_out(unsigned calls)
{
    struct fan_out *f = calloc(1, sizeof *f);
    char id[32];

    (void)calls;
    lean_must(f != NULL, "memory");
    f->l = lean_new(1, false);
    lean_begin(f->l);
    f->pub = lean_client(f->l, &(struct lean_client){ .id = "pub", .scope = SCOPE });
    for (int i = 0; i < FAN_OUT; i++) {
        snprintf(id, sizeof id, "sub-%03d", i);
        lean_subscribe(lean_client(f->l, &(struct lean_client){ .id = id, .scope = SCOPE }), "bench/pair00", 0);
    }
    buf_init(&f->packet, 4096);
    lean_publish_packet(&f->packet, "bench/pair00", 0, 0, false, PAYLOAD);
    (void)written(&f->packet);
    f->expected = f->l->packets;
    return f;
}

static void publish_to_many(void *state, unsigned i)
{
    struct fan_out *f = state;

    (void)i;
    lean_input(f->pub, buf_span(&f->packet));
    lean_turn(f->l);
    f->expected += FAN_OUT;
    lean_must(f->l->packets == f->expected, "a packet for everybody");
}

/* ---- onto the disk ---- */

struct offline {
    struct lean *l;
    struct lean_conn *pub;
    struct buf packet;
    uint64_t expected;
};

static void *offline(unsigned calls)
{
    struct offline *o = calloc(1, sizeof *o);
    struct lean_conn *sub;

    (void)calls;
    lean_must(o != NULL, "memory");
    o->l = lean_new(1, true);
    lean_begin(o->l);
    sub = lean_client(o->l, &(struct lean_client){ .id = "sub", .scope = SCOPE, .expiry_s = 3600 });
    lean_subscribe(sub, "bench/pair00", 1);
    lean_drop(sub);
    lean_turn(o->l);
    o->pub = lean_client(o->l, &(struct lean_client){ .id = "pub", .scope = SCOPE });
    buf_init(&o->packet, 65536);
    for (int n = 0; n < 16; n++)
        lean_publish_packet(&o->packet, "bench/pair00", 1, (uint16_t)(n + 1), false, PAYLOAD);
    o->expected = o->l->packets;
    return o;
}

static void publish_durable(void *state, unsigned i)
{
    struct offline *o = state;

    (void)i;
    lean_input(o->pub, buf_span(&o->packet));
    lean_turn(o->l);
    o->expected += 16;
    lean_must(o->l->packets == o->expected, "a PUBACK for each");
}

const struct scenario message_scenarios[] = {
    { "p2p_qos0", "message of QoS 0", 400, 1, p2p_qos0, publish },
    { "p2p_qos0_x16", "message of QoS 0, 16 in a read", 1600, 16, p2p_batch, publish_batch },
    { "p2p_qos0_1k", "message of QoS 0 of 1 KB", 400, 1, p2p_1k, publish },
    { "p2p_qos0_public", "message of QoS 0, topics public", 400, 1, p2p_public, publish },
    { "p2p_qos0_across", "message of QoS 0, 16 in a read, from one shard to another", 1920, 16, p2p_shards,
      publish_batch },
    { "topics_new", "message of QoS 0 to a topic never used before, 16 in a read", 3200, 16, readings,
      publish_readings },
    { "p2p_qos1", "message of QoS 1 and its acknowledgements", 400, 1, p2p_qos1, publish_qos1 },
    { "p2p_qos2", "message of QoS 2 and its acknowledgements", 200, 1, p2p_qos2, publish_qos2 },
    { "fan_out", "delivery of QoS 0, 1 to 500", 5000, FAN_OUT, fan_out, publish_to_many },
    { "durable_qos1", "message of QoS 1 for a client that is away, on disk, 16 in a batch", 1600, 16, offline,
      publish_durable },
    { 0 },
};
