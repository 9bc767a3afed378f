/* One client's session, packet for packet: three clients of MQTT 5 and 3.1.1 connect, are taken over, vanish, say goodbye, subscribe,
 * publish, repeat themselves, acknowledge in any order or not at all, and time passes; after each step a model of MQTT5 4.1 to
 * 4.4 says exactly what every client must have got: which messages in which order with which QoS, flags, identifiers and remaining
 * expiry, which acknowledgements, what again after a reconnect and what only as PUBREL, which Will and when.
 * model_test.c is its complement: there everything happens at the same time and only what must hold anyway is checked.
 *
 * A failure prints its seed; run `session_model_scenario SEED` to see it again, or `session_model_scenario FIRST LAST`. */
#include "base/timer.h"
#include "harness.h"
#include "mqtt/naive_topic.h"
#include "shard/message.h"

#include <stdio.h>
#include <stdlib.h>

#define CLIENTS  3
#define TOPICS   5
#define FILTERS  6
#define MESSAGES 1024
#define QUEUE    512
#define STEPS    250
#define NEVER    INT64_MAX
#define STEP_MS \
    260 /* between steps: no two ends of whole seconds, begun at different steps, then meet in one tick */
#define MAX_S 12 /* the longest such time */

/* In an ordinary run; on one, two and three shards in turn. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SEEDS 600
#endif
#endif
#ifndef SEEDS
#define SEEDS 3000
#endif

static const char *const topics[TOPICS] = { "a", "a/b", "a/b/c", "b", "b/" };
static const char *const filters[FILTERS] = { "a", "a/#", "+/b", "#", "b/+", "a/+/c" };

struct msg {
    unsigned topic;
    uint8_t qos;
    bool retain;
    bool empty;
    int64_t expires_ms;
    uint64_t session; /* of its publisher */
};

struct sub {
    bool there;
    uint8_t qos;
    bool no_local, as_published;
    uint32_t id;
};

enum state { WAITING, SENT, RELEASED };

struct out {
    unsigned msg;
    uint8_t qos;
    bool retain;
    uint32_t ids;   /* a set: bit n for identifier n */
    unsigned group; /* retained messages of one SUBSCRIBE: any of them may go first; 0: none */
    enum state state;
    uint16_t packet_id; /* 0: not sent before */
    bool dup;
    int64_t sent_ms;
};

struct client {
    struct conn_io *io; /* NULL: not connected */
    char id[8];
    uint64_t session; /* 0: none */
    int64_t expires_s, ends_ms, will_ms;
    bool has_will;
    struct msg will;
    int64_t will_delay_s, will_expiry_s;
    unsigned will_number; /* its payload */
    uint16_t window;
    struct sub subs[FILTERS];
    struct out waiting[QUEUE], in_flight[QUEUE];
    unsigned n_waiting, n_in_flight;
    bool open_ids[32]; /* QoS 2 from this client, received and not released */
    unsigned id_msg[32];
    /* what this step must bring */
    struct out due[QUEUE];
    struct {
        enum mqtt_packet_type type;
        uint16_t id;
        uint8_t reason;
    } answers[QUEUE];
    unsigned n_due, n_answers;
};

struct model {
    struct bench *b;
    struct client clients[CLIENTS];
    struct msg messages[MESSAGES];
    unsigned count;
    int kept[TOPICS]; /* retained: message, or -1 */
    uint64_t next_session;
    unsigned next_group;
};

static struct seeds seeds;

/* With one seed only, the run is told. */
static void tell(const struct client *c, const char *what, const char *detail, unsigned number)
{
    if (seeds.first == seeds.last)
        print_message("%s %s %s %u\n", c->id, what, detail, number);
}

static int64_t now_ms(const struct model *m)
{
    return m->b->now.mono.ms;
}

static bool chance(struct model *m, unsigned percent)
{
    return pick(m->b, 100) < percent;
}

static bool expired(const struct model *m, const struct msg *msg)
{
    return now_ms(m) >= msg->expires_ms;
}

/* ---- sending to a client: MQTT5 4.4, 4.6, 4.9 ---- */

static void answer(struct client *c, enum mqtt_packet_type type, uint16_t id, uint8_t reason)
{
    assert_true(c->n_answers < QUEUE);
    c->answers[c->n_answers].type = type;
    c->answers[c->n_answers].id = id;
    c->answers[c->n_answers++].reason = reason;
}

static void cut(struct out *list, unsigned *n, unsigned at)
{
    memmove(list + at, list + at + 1, (*n - at - 1) * sizeof *list);
    --*n;
}

static void due(const struct model *m, struct client *c, const struct out *o)
{
    assert_true(c->n_due < QUEUE);
    c->due[c->n_due] = *o;
    c->due[c->n_due++].sent_ms = now_ms(m);
}

static void pump(struct model *m, struct client *c)
{
    while (c->io != NULL && c->n_waiting > 0) {
        struct out *o = &c->waiting[0];

        if (expired(m, &m->messages[o->msg]) && !o->dup) { /* [MQTT-3.3.2-5] */
            cut(c->waiting, &c->n_waiting, 0);
            continue;
        }
        if (o->qos > 0 && c->n_in_flight >= c->window) /* [MQTT-3.3.4-9] */
            return;
        if (c->io->version != MQTT_5 && o->group == 0) /* MQTT311 [MQTT-3.3.1-9] */
            o->retain = false;
        due(m, c, o);
        if (o->qos > 0) {
            o->state = SENT;
            c->in_flight[c->n_in_flight++] = *o;
        }
        cut(c->waiting, &c->n_waiting, 0);
    }
}

static void enqueue(struct model *m, struct client *c, const struct out *o)
{
    bool queues = false;

    if (expired(m, &m->messages[o->msg]))
        return;
    if (o->qos == 0 && c->io == NULL && o->group == 0)
        return;
    for (unsigned i = 0; i < c->n_waiting; i++) /* QoS 0 passes what waits for acknowledgements only */
        queues = queues || c->waiting[i].qos == 0 || c->waiting[i].group != 0;
    if (o->qos == 0 && !queues && o->group == 0) {
        due(m, c, o);
        return;
    }
    assert_true(c->n_waiting < QUEUE);
    c->waiting[c->n_waiting++] = *o;
    if (o->group == 0)
        pump(m, c);
}

/* ---- publishing: MQTT5 3.3.4 ---- */

static bool matches(unsigned filter, unsigned topic)
{
    return naive_matches(filters[filter], topics[topic]);
}

static void publish(struct model *m, unsigned number)
{
    const struct msg *msg = &m->messages[number];

    if (msg->retain)
        m->kept[msg->topic] = msg->empty ? -1 : (int)number;
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &m->clients[i];
        struct out o = { .msg = number };
        bool matched = false;

        for (unsigned f = 0; c->session != 0 && f < FILTERS; f++) {
            const struct sub *s = &c->subs[f];

            if (!s->there || !matches(f, msg->topic) || (s->no_local && msg->session == c->session))
                continue;
            matched = true;
            if (s->qos > o.qos)
                o.qos = s->qos;
            o.retain =
                o.retain || (s->as_published && msg->retain && (c->io == NULL || c->io->version == MQTT_5));
            if (s->id != 0)
                o.ids |= 1u << s->id;
        }
        if (msg->qos < o.qos)
            o.qos = msg->qos;
        if (matched)
            enqueue(m, c, &o);
    }
}

static void publish_will(struct model *m, struct client *c)
{
    if (!c->has_will)
        return;
    c->has_will = false;
    c->will_ms = NEVER;
    tell(c, "leaves its will", topics[c->will.topic], c->will_number);
    m->messages[c->will_number] = c->will;
    m->messages[c->will_number].session = c->session;
    if (c->will_expiry_s > 0)
        m->messages[c->will_number].expires_ms = now_ms(m) + c->will_expiry_s * 1000;
    publish(m, c->will_number);
}

/* ---- the session: MQTT5 3.1.2.11.2, 3.1.3.2.2, 4.1 ---- */

static void end_session(struct model *m, struct client *c)
{
    tell(c, "ends", "", 0);
    c->io = NULL;
    publish_will(m, c); /* it may still be for the session itself */
    memset(c->subs, 0, sizeof c->subs);
    memset(c->open_ids, 0, sizeof c->open_ids);
    c->n_waiting = c->n_in_flight = 0;
    c->session = 0;
    c->ends_ms = NEVER;
}

static void lose_connection(struct model *m, struct client *c, bool with_will)
{
    c->io = NULL;
    c->n_due = c->n_answers = 0;
    if (!with_will)
        c->has_will = false;
    if (c->expires_s == 0) {
        end_session(m, c);
        return;
    }
    c->ends_ms = c->expires_s == NEVER ? NEVER : now_ms(m) + c->expires_s * 1000;
    if (c->has_will && c->will_delay_s == 0)
        publish_will(m, c);
    else if (c->has_will && c->will_delay_s < c->expires_s)
        c->will_ms = now_ms(m) + c->will_delay_s * 1000;
}

/* What was sent and not acknowledged goes first, in its order, with DUP; what was received there only as PUBREL. */
static void resume(struct model *m, struct client *c)
{
    struct out again[QUEUE];
    unsigned n = 0, kept = 0;

    for (unsigned i = 0; i < c->n_in_flight; i++) {
        if (c->in_flight[i].state == RELEASED) {
            answer(c, MQTT_PUBREL, c->in_flight[i].packet_id, 0);
            c->in_flight[kept++] = c->in_flight[i];
            continue;
        }
        again[n] = c->in_flight[i];
        again[n].state = WAITING;
        again[n++].dup = true;
    }
    c->n_in_flight = kept;
    assert_true(n + c->n_waiting <= QUEUE);
    memmove(c->waiting + n, c->waiting, c->n_waiting * sizeof *c->waiting);
    memcpy(c->waiting, again, n * sizeof *again);
    c->n_waiting += n;
    pump(m, c);
}

/* ---- what a client does ---- */

static unsigned new_message(struct model *m, bool retained)
{
    struct msg *msg = &m->messages[m->count];

    assert_true(m->count < MESSAGES);
    *msg = (struct msg){ .topic = pick(m->b, TOPICS), .expires_ms = NEVER, .retain = retained };
    /* Retained ones all take room in the window, so that their order does not matter for what else is sent. */
    msg->qos = (uint8_t)(retained ? 1 + pick(m->b, 2) : pick(m->b, 3));
    return m->count++;
}

static void do_connect(struct model *m, struct client *c)
{
    bool v3 = chance(m, 25), clean = chance(m, 25), present;
    struct connect_wish wish = { .id = c->id, .no_method = true, .v3 = v3, .resume = !clean };
    char payload[16];
    struct conn_io *old = c->io;

    if (v3)
        wish.no_password = true;
    else if (chance(m, 75))
        wish.expiry_s = chance(m, 30) ? UINT32_MAX : 1 + pick(m->b, MAX_S);
    if (!v3)
        wish.receive_maximum = (uint16_t)(chance(m, 60) ? 1 + pick(m->b, 3) : 100);
    if (old != NULL) { /* taken over: [MQTT-3.1.4-3] */
        lose_connection(m, c, true);
    }
    present = c->session != 0 && !clean;
    if (c->session != 0 && clean)
        end_session(m, c);
    c->has_will = false; /* of the former connection: the client is back in time */
    c->will_ms = c->ends_ms = NEVER;
    if (chance(m, 40) && m->count < MESSAGES) {
        bool retained = chance(m, 30);

        c->will_number = new_message(m, retained);
        c->will = m->messages[c->will_number];
        c->has_will = true;
        c->will_delay_s = v3 || chance(m, 40) ? 0 : 1 + pick(m->b, MAX_S);
        c->will_expiry_s = v3 || chance(m, 70) ? 0 : 1 + pick(m->b, MAX_S);
        snprintf(payload, sizeof payload, "%u", c->will_number);
        wish.will_topic = topics[c->will.topic];
        wish.will_payload = payload;
        wish.will_qos = c->will.qos;
        wish.will_retain = retained;
        wish.will_delay_s = (uint32_t)c->will_delay_s;
        wish.will_expiry_s = (uint32_t)c->will_expiry_s;
    }
    c->expires_s = wish.expiry_s == UINT32_MAX ? NEVER : wish.expiry_s;
    if (v3)
        c->expires_s = clean ? 0 : NEVER;
    c->window = v3 ? 256 : wish.receive_maximum;
    c->io = client_new(m->b);
    tell(c, present ? "resumes" : "connects", v3 ? "3.1.1" : "5", (unsigned)c->expires_s);
    client_connect(c->io, &wish);
    assert_int_equal(expect_connack(c->io, MQTT_SUCCESS).session_present, present);
    if (!present)
        c->session = m->next_session++;
    else
        resume(m, c);
}

static void do_drop(struct model *m, struct client *c)
{
    tell(c, "drops", "", 0);
    client_drop(c->io);
    lose_connection(m, c, true);
}

/* DISCONNECT, with the Will or without, and perhaps another Session Expiry Interval. */
static void do_bye(struct model *m, struct client *c)
{
    struct mqtt_disconnect d = { .reason = MQTT_SUCCESS };
    CLEANUP(buf_done)
    struct buf packet;
    bool will = false;

    buf_init(&packet, 64);
    if (c->io->version == MQTT_5) {
        will = chance(m, 50);
        d.reason = will ? MQTT_DISCONNECT_WITH_WILL : MQTT_SUCCESS;
        if (c->expires_s != 0 && chance(m, 50)) {
            d.properties.session_expiry_s = pick(m->b, MAX_S);
            mqtt_set(&d.properties, PROP_SESSION_EXPIRY);
            c->expires_s = d.properties.session_expiry_s;
        }
    }
    tell(c, "says goodbye", will ? "with will" : "", (unsigned)c->expires_s);
    mqtt_write_disconnect(&packet, c->io->version, &d);
    client_send(c->io, buf_span(&packet));
    lose_connection(m, c, will);
}

static void do_subscribe(struct model *m, struct client *c)
{
    unsigned f = pick(m->b, FILTERS), group = ++m->next_group;
    struct sub *s = &c->subs[f];
    bool was_there = s->there, v5 = c->io->version == MQTT_5;
    struct mqtt_subscription want = wish_filter(filters[f], (uint8_t)pick(m->b, 3));

    if (v5) {
        want.no_local = chance(m, 25);
        want.retain_as_published = chance(m, 30);
        want.retain_handling = (uint8_t)pick(m->b, 3);
    }
    *s = (struct sub){ true, want.qos, want.no_local, want.retain_as_published,
                       v5 && chance(m, 30) ? 1 + f : 0 };
    tell(c,
         want.retain_handling == 0   ? "subscribes"
         : want.retain_handling == 1 ? "subscribes if new"
                                     : "subscribes quietly",
         filters[f], want.qos);
    client_subscribe_with(c->io, want, s->id, 9);
    answer(c, MQTT_SUBACK, 9, want.qos);
    for (unsigned t = 0; t < TOPICS && want.retain_handling != 2 && (want.retain_handling == 0 || !was_there);
         t++)
        if (matches(f, t) && m->kept[t] >= 0) {
            const struct msg *msg = &m->messages[m->kept[t]];
            struct out o = { .msg = (unsigned)m->kept[t],
                             .qos = msg->qos < want.qos ? msg->qos : want.qos,
                             .retain = true,
                             .ids = s->id == 0 ? 0 : 1u << s->id,
                             .group = group };

            enqueue(m, c, &o);
        }
    pump(m, c);
}

static void do_unsubscribe(struct model *m, struct client *c)
{
    unsigned f = pick(m->b, FILTERS);

    tell(c, "unsubscribes", filters[f], 0);
    client_unsubscribe(c->io, filters[f]);
    answer(c, MQTT_UNSUBACK, 78,
           c->io->version == MQTT_5 && !c->subs[f].there ? MQTT_NO_SUBSCRIPTION_EXISTED : 0);
    c->subs[f].there = false;
}

static void send_publish(struct client *c, const struct msg *msg, unsigned number, uint16_t id, bool dup,
                         uint32_t expiry_s)
{
    char payload[16] = "";

    if (!msg->empty)
        snprintf(payload, sizeof payload, "%u", number);
    tell(c, msg->retain ? "publishes retained" : "publishes", topics[msg->topic], number);
    client_publish_with(c->io, &(struct publish_wish){ .topic = topics[msg->topic],
                                                       .payload = payload,
                                                       .qos = msg->qos,
                                                       .packet_id = id,
                                                       .retain = msg->retain,
                                                       .dup = dup,
                                                       .expiry_s = expiry_s });
}

static void do_publish(struct model *m, struct client *c)
{
    unsigned number = new_message(m, chance(m, 20));
    struct msg *msg = &m->messages[number];
    uint16_t id = (uint16_t)(msg->qos == 0 ? 0 : 1 + pick(m->b, 31));
    uint32_t expiry_s = c->io->version == MQTT_5 && chance(m, 25) ? 1 + pick(m->b, MAX_S) : 0;

    msg->empty = msg->retain && chance(m, 20);
    msg->session = c->session;
    if (expiry_s > 0)
        msg->expires_ms = now_ms(m) + (int64_t)expiry_s * 1000;
    if (id != 0 && c->open_ids[id]) { /* the same one again: [MQTT-4.3.3-10] */
        const struct msg *same = &m->messages[c->id_msg[id]];

        send_publish(c, same, c->id_msg[id], id, true, 0);
        answer(c, MQTT_PUBREC, id, 0);
        return;
    }
    send_publish(c, msg, number, id, false, expiry_s);
    publish(m, number);
    if (msg->qos == 1)
        answer(c, MQTT_PUBACK, id, 0);
    if (msg->qos == 2) {
        c->open_ids[id] = true;
        c->id_msg[id] = number;
        answer(c, MQTT_PUBREC, id, 0);
    }
}

static void do_pubrel(struct model *m, struct client *c)
{
    uint16_t id = (uint16_t)(1 + pick(m->b, 31));

    client_ack(c->io, MQTT_PUBREL, id, 0);
    answer(c, MQTT_PUBCOMP, id, c->open_ids[id] || c->io->version != MQTT_5 ? 0 : MQTT_PACKET_ID_NOT_FOUND);
    c->open_ids[id] = false;
}

/* Any of what is in flight, not the oldest only. */
static void do_ack(struct model *m, struct client *c)
{
    unsigned at = c->n_in_flight == 0 ? 0 : pick(m->b, c->n_in_flight);
    struct out *o = &c->in_flight[at];

    if (c->n_in_flight == 0)
        return;
    if (o->state == RELEASED) {
        client_ack(c->io, MQTT_PUBCOMP, o->packet_id, 0);
        cut(c->in_flight, &c->n_in_flight, at);
    } else if (o->qos == 1) {
        client_ack(c->io, MQTT_PUBACK, o->packet_id, 0);
        cut(c->in_flight, &c->n_in_flight, at);
    } else if (c->io->version == MQTT_5 && chance(m, 10)) { /* that was it then: MQTT5 4.9 */
        client_ack(c->io, MQTT_PUBREC, o->packet_id, MQTT_QUOTA_EXCEEDED);
        cut(c->in_flight, &c->n_in_flight, at);
    } else {
        client_ack(c->io, MQTT_PUBREC, o->packet_id, 0);
        answer(c, MQTT_PUBREL, o->packet_id, 0);
        o->state = RELEASED;
        return;
    }
    pump(m, c);
}

/* ---- what time does ---- */

static bool has_come(const struct model *m, int64_t due_ms)
{
    return due_ms != NEVER && now_ms(m) / TIMER_TICK_MS >= (due_ms + TIMER_TICK_MS - 1) / TIMER_TICK_MS;
}

static void pass_time(struct model *m, int64_t ms)
{
    while (ms > 0) {
        int64_t part = ms > 250 ? 250 : ms;
        bool some = true;

        bench_advance(m->b, part);
        ms -= part;
        while (some) { /* the earliest first */
            struct client *first = NULL;
            int64_t at = NEVER;

            for (unsigned i = 0; i < CLIENTS; i++) {
                struct client *c = &m->clients[i];

                if (c->will_ms < at)
                    first = c, at = c->will_ms;
                if (c->session != 0 && c->ends_ms < at)
                    first = c, at = c->ends_ms;
            }
            some = first != NULL && has_come(m, at);
            if (some && at == first->ends_ms)
                end_session(m, first);
            else if (some)
                publish_will(m, first);
        }
    }
}

/* ---- what came ---- */

static struct out *in_flight_of(struct client *c, const struct out *o)
{
    for (unsigned i = 0; i < c->n_in_flight; i++)
        if (c->in_flight[i].msg == o->msg && c->in_flight[i].state == SENT &&
            c->in_flight[i].packet_id == o->packet_id)
            return &c->in_flight[i];
    return NULL;
}

static bool is_it(const struct model *m, const struct out *o, const struct mqtt_publish *p)
{
    const struct msg *msg = &m->messages[o->msg];
    char payload[16] = "";

    if (!msg->empty)
        snprintf(payload, sizeof payload, "%u", o->msg);
    return span_eq_str(p->topic.s, topics[msg->topic]) && span_eq_str(p->payload, payload);
}

static void swap(struct out *a, struct out *b)
{
    unsigned msg = a->msg;
    uint8_t qos = a->qos;

    a->msg = b->msg;
    a->qos = b->qos;
    b->msg = msg;
    b->qos = qos;
}

/* The order of retained messages is the broker's: the model follows it. */
static void follow(struct model *m, struct client *c, unsigned at, const struct mqtt_publish *p)
{
    struct out *o = &c->due[at], *sent = in_flight_of(c, o);

    if (is_it(m, o, p) || o->group == 0)
        return;
    for (unsigned i = at + 1; i < c->n_due; i++)
        if (c->due[i].group == o->group && is_it(m, &c->due[i], p)) {
            struct out *other = in_flight_of(c, &c->due[i]);

            if (sent != NULL && other != NULL)
                swap(sent, other);
            swap(o, &c->due[i]);
            return;
        }
    for (unsigned i = 0; i < c->n_waiting; i++)
        if (c->waiting[i].group == o->group && is_it(m, &c->waiting[i], p)) {
            if (sent != NULL)
                swap(sent, &c->waiting[i]);
            else
                swap(o, &c->waiting[i]);
            if (sent != NULL) {
                o->msg = sent->msg;
                o->qos = sent->qos;
            }
            return;
        }
}

/* Whole seconds, the one that has begun included; what is only left for the way through the workers is none. */
static int64_t left_s(int64_t left_ms)
{
    return left_ms <= MESSAGE_AT_ONCE_MS ? 0 : (left_ms - MESSAGE_AT_ONCE_MS + 999) / 1000;
}

static uint32_t ids_of(const struct mqtt_publish *p)
{
    struct mqtt_properties all = p->properties;
    uint32_t ids = 0, id;

    for (size_t at = 0; mqtt_next_subscription_id(&all, &at, &id);)
        ids |= 1u << id;
    return ids;
}

static void on_message(struct model *m, struct client *c, unsigned at, const struct mqtt_frame *frame)
{
    struct mqtt_publish p;
    struct out *o = &c->due[at], *sent;
    const struct msg *msg;

    assert_int_equal(mqtt_read_publish(frame, c->io->version, &p, NULL), ST_OK);
    if (at >= c->n_due)
        fail_msg("%.*s \"%.*s\" came to %s, nothing was due", SPAN_FMT(p.topic.s), SPAN_FMT(p.payload), c->id);
    follow(m, c, at, &p);
    msg = &m->messages[o->msg];
    tell(c, "  gets", topics[msg->topic], o->msg);
    if (!is_it(m, o, &p))
        fail_msg("%s \"%u\" was due, %.*s \"%.*s\" came", topics[msg->topic], o->msg, SPAN_FMT(p.topic.s),
                 SPAN_FMT(p.payload));
    assert_int_equal(p.qos, o->qos);
    assert_int_equal(p.dup, o->dup);
    assert_int_equal(p.retain, o->retain);
    if (c->io->version == MQTT_5) {
        assert_int_equal(ids_of(&p), o->ids);
        assert_int_equal(mqtt_has(&p.properties, PROP_MESSAGE_EXPIRY), msg->expires_ms != NEVER);
        if (msg->expires_ms != NEVER) /* what is left of it: [MQTT-3.3.2-6] */
            assert_int_equal(p.properties.message_expiry_s, left_s(msg->expires_ms - o->sent_ms));
    }
    if (o->qos == 0)
        return;
    sent = in_flight_of(c, o);
    assert_non_null(sent);
    if (o->packet_id != 0) { /* again: under its old number */
        assert_int_equal(p.packet_id, o->packet_id);
        return;
    }
    for (unsigned i = 0; i < c->n_in_flight; i++)
        assert_int_not_equal(c->in_flight[i].packet_id, p.packet_id);
    for (unsigned i = 0; i < c->n_waiting; i++)
        assert_int_not_equal(c->waiting[i].packet_id, p.packet_id);
    sent->packet_id = o->packet_id = p.packet_id;
}

static void on_answer(struct client *c, unsigned at, const struct mqtt_frame *frame)
{
    struct mqtt_suback suback;
    struct mqtt_ack ack;
    uint16_t id;
    uint8_t reason;

    if (frame->type == MQTT_SUBACK || frame->type == MQTT_UNSUBACK) {
        assert_int_equal(mqtt_read_suback(frame, c->io->version, &suback, NULL), ST_OK);
        id = suback.packet_id;
        reason = suback.reasons.len > 0 ? suback.reasons.p[0] : 0;
    } else {
        assert_int_equal(mqtt_read_ack(frame, c->io->version, &ack, NULL), ST_OK);
        id = ack.packet_id;
        reason = ack.reason;
    }
    if (at >= c->n_answers)
        fail_msg("%s came, nothing was due", mqtt_packet_name(frame->type));
    assert_string_equal(mqtt_packet_name(frame->type), mqtt_packet_name(c->answers[at].type));
    assert_int_equal(id, c->answers[at].id);
    assert_int_equal(reason, c->answers[at].reason);
}

static void check_client(struct model *m, struct client *c)
{
    unsigned messages = 0, answers = 0;
    struct mqtt_frame frame;

    while (c->io != NULL && client_next(c->io, &frame)) {
        if (frame.type == MQTT_PUBLISH)
            on_message(m, c, messages++, &frame);
        else
            on_answer(c, answers++, &frame);
    }
    if (messages < c->n_due)
        fail_msg("%s \"%u\" did not come to %s", topics[m->messages[c->due[messages].msg].topic],
                 c->due[messages].msg, c->id);
    assert_int_equal(answers, c->n_answers);
    assert_true(c->io == NULL || !c->io->closed);
    c->n_due = c->n_answers = 0;
}

/* ---- the run ---- */

static void step(struct model *m)
{
    struct client *c = &m->clients[pick(m->b, CLIENTS)];
    unsigned what = pick(m->b, 100);

    if (c->io == NULL) {
        if (what < 60)
            do_connect(m, c);
    } else if (what < 30) {
        do_publish(m, c);
    } else if (what < 45) {
        do_subscribe(m, c);
    } else if (what < 48) {
        do_unsubscribe(m, c);
    } else if (what < 55) {
        do_pubrel(m, c);
    } else if (what < 85) {
        do_ack(m, c);
    } else if (what < 90) {
        do_drop(m, c);
    } else if (what < 94) {
        do_bye(m, c);
    } else if (what < 97) {
        do_connect(m, c);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        check_client(m, &m->clients[i]);
    pass_time(m, what == 99 ? 10 * STEP_MS : STEP_MS);
    for (unsigned i = 0; i < CLIENTS; i++)
        check_client(m, &m->clients[i]);
}

static void play(unsigned shards, uint64_t seed)
{
    struct model *m = calloc(1, sizeof *m);

    assert_non_null(m);
    m->b = bench_new(shards);
    m->b->seed = seed;
    m->b->settings.max_guest_expiry_s = m->b->settings.max_session_expiry_s = m->b->settings.max_v3_expiry_s =
        UINT32_MAX;
    m->b->settings.keep_retained = true;
    m->b->settings.max_keep_alive_s = 0;
    bench_public(m->b, "[[\"#\",[\"pub\",\"sub\"]]]");
    m->next_session = 1;
    for (unsigned i = 0; i < TOPICS; i++)
        m->kept[i] = -1;
    for (unsigned i = 0; i < CLIENTS; i++) {
        snprintf(m->clients[i].id, sizeof m->clients[i].id, "c%u", i);
        m->clients[i].ends_ms = m->clients[i].will_ms = NEVER;
    }
    for (unsigned n = 0; n < STEPS; n++)
        step(m);
    bench_free(m->b);
    free(m);
}

static void a_session_does_what_the_model_says(void **state)
{ /* MQTT5 [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.1.3-9], [MQTT-3.3.1-3], [MQTT-3.3.2-5], [MQTT-3.3.2-6], [MQTT-3.3.4-9],
     [MQTT-3.8.3-3], [MQTT-3.8.4-3], [MQTT-4.3.3-10], [MQTT-4.4.0-1], [MQTT-4.6.0-6] */
    (void)state;
    for (uint64_t seed = seeds.first; seed <= seeds.last; seed++) {
        if (seeds.first == seeds.last || seed % 100 == 1)
            print_message("session model: seed %llu\n", (unsigned long long)seed);
        play(1 + (unsigned)(seed % 3), seed);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_does_what_the_model_says),
    };

    seeds = seeds_of(argc, argv, SEEDS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
