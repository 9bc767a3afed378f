/* The clients: each keeps its session through every connection and every death of the broker. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

#define SCOPE "[[\"#\",[\"pub\",\"sub\"]]]"

/* The fourth and the sixth speak MQTT 3.1.1. */
#define IS_V3(i) ((i) == 3 || (i) == 5)

static const enum client_kind kinds[CLIENTS] = { DURABLE, DURABLE, DURABLE,    DURABLE, MEMBER,
                                                 MEMBER,  SHORT,   WITH_TOKEN, GUEST,   RUDE };

static int64_t now_ms(const struct sim *s)
{
    return s->b->now.mono.ms;
}

bool client_is_model(const struct client *c)
{
    return c->kind == DURABLE || c->kind == MEMBER || c->kind == SHORT || (c->kind == GUEST && c->open);
}

static bool keeps(const struct client *c)
{
    return c->kind != GUEST && c->kind != RUDE;
}

static bool refusals(const struct sim *s, const struct client *c)
{
    return s->tick < s->failing_until || c->kind == WITH_TOKEN || c->kind == RUDE || s->poor;
}

void client_begin(struct sim *s)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &s->clients[i];

        c->number = i;
        c->kind = kinds[i];
        c->version = IS_V3(i) ? MQTT_3_1_1 : MQTT_5;
        c->must_clean = true;
        snprintf(c->id, sizeof c->id, "c%u", i);
        buf_init(&c->wire, (size_t)1 << 24);
        buf_init(&c->held, (size_t)1 << 24);
        if (c->kind == WITH_TOKEN)
            assert_int_equal(key_generate(KEY_ED25519, &c->key), ST_OK);
    }
}

void client_end(struct sim *s)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        buf_done(&s->clients[i].wire);
        buf_done(&s->clients[i].held);
        key_unref(s->clients[i].key);
    }
}

/* ---- connections ---- */

static int session_must(const struct sim *s, const struct client *c)
{
    int64_t end_early = c->left_early + SHORT_S * 1000 - 1500, end_late = c->left_late + SHORT_S * 1000 + 1500;

    if (c->kind == WITH_TOKEN || !c->known)
        return -1;
    if (c->kind != SHORT || c->left_early == 0)
        return 1;
    return now_ms(s) < end_early ? 1 : now_ms(s) > end_late ? 0 : -1;
}

static void choose_will(struct sim *s, struct client *c, struct connect_wish *wish, char payload[16])
{
    c->will = 0;
    if (c->kind != DURABLE || s->count >= MESSAGES - 1 || !sim_chance(s, 300))
        return;
    c->will = model_send(s, c, WILL, (uint8_t)(1 + pick(s->b, 2)), false, false);
    snprintf(payload, 16, "%u", c->will);
    wish->will_topic = s->names[s->messages[c->will].topic];
    wish->will_payload = payload;
    wish->will_qos = s->messages[c->will].qos;
}

void client_start(struct sim *s, struct client *c, bool clean)
{
    struct connect_wish wish = { .id = c->id, .scope = SCOPE };
    char payload[16];

    if (c->io != NULL)
        client_lost(s, c, false);
    clean = clean || c->must_clean || !keeps(c);
    c->asked_clean = clean;
    c->present_must = clean ? 0 : session_must(s, c);
    c->floor = s->tick;
    c->n_asked = 0;
    c->holds = sim_chance(s, 200);
    c->io = client_new(s->b);
    if (clean) {
        model_forget(s, c);
        c->known = false;
        c->must_clean = true;
    }
    if (c->present_must !=
        1) /* without CONNACK nobody can tell the session of now from another one next time */
        c->must_clean = true;
    sim_note(s, "connects", c->number, clean, c->present_must);
    wish.no_method = c->kind != WITH_TOKEN;
    wish.v3 = wish.no_password = c->version != MQTT_5;
    wish.key = c->key;
    wish.life_s = c->kind == WITH_TOKEN ? 2 + pick(s->b, 60) : 0;
    wish.resume = !clean;
    wish.expiry_s = c->kind == GUEST || c->ending ? 0 : c->kind == SHORT ? SHORT_S : 100000;
    wish.receive_maximum = (uint16_t)(1 + pick(s->b, 60));
    choose_will(s, c, &wish, payload);
    buf_reset(&c->wire);
    connect_packet(c->io, &wish, &c->wire);
}

/* `crash`: the broker has gone; else the client's connection only. */
void client_lost(struct sim *s, struct client *c, bool crash)
{
    bool by_broker = c->io != NULL && c->io->closed; /* who knows when */

    sim_note(s, "loses its connection", c->number, crash, c->open);
    if (!crash && c->io != NULL && !c->io->closed)
        client_drop(c->io);
    if (c->open) {
        c->left_early = now_ms(s);
        if (c->will != 0 && !s->poor) { /* whatever becomes of the broker */
            s->messages[c->will].sent = by_broker ? c->floor : s->tick;
            model_owe(s, c->will);
        }
    }
    if (c->io != NULL) { /* also without CONNACK: the broker may have taken it back */
        c->left_late = now_ms(s);
        c->left_tick = s->tick;
    }
    c->io = NULL;
    c->open = false;
    c->will = 0;
    c->n_asked = 0;
    buf_reset(&c->wire);
    buf_reset(&c->held);
    if (!keeps(c)) {
        c->n_going = 0;
        model_forget(s, c);
    }
}

static void say_goodbye(struct sim *s, struct client *c)
{
    struct mqtt_disconnect d = { .reason = MQTT_SUCCESS };

    bool forever = c->version == MQTT_5 && keeps(c) && pick(s->b, 4) == 0;

    sim_note(s, "says goodbye", c->number, forever, 0);
    if (forever) { /* MQTT5 3.14.2.2.2: the session ends with the connection, if the broker ever reads this */
        mqtt_set(&d.properties, PROP_SESSION_EXPIRY);
        model_forget(s, c);
        c->known = false;
        c->must_clean = true;
    }
    mqtt_write_disconnect(&c->wire, c->version, &d);
    c->will = 0;
    client_travel(s, c, true);
    client_lost(s, c, false);
}

/* ---- saying something ---- */

static bool used(const struct client *c, uint16_t id)
{
    for (unsigned i = 0; i < c->n_going; i++)
        if (c->going[i].packet_id == id)
            return true;
    for (unsigned i = 0; i < c->n_asked; i++)
        if (c->asked[i].packet_id == id)
            return true;
    return false;
}

static uint16_t new_id(struct client *c)
{
    do
        c->next_id = (uint16_t)(c->next_id % 60 + 1);
    while (used(c, c->next_id));
    return c->next_id;
}

static void put_publish(struct sim *s, struct client *c, unsigned number, uint16_t packet_id, bool dup)
{
    const struct message_sent *m = &s->messages[number];
    char payload[16] = "";
    struct mqtt_publish_out p = { .qos = m->qos,
                                  .retain = m->retain,
                                  .dup = dup,
                                  .packet_id = packet_id,
                                  .topic = span_of_str(s->names[m->topic]) };

    if (!m->empty)
        snprintf(payload, sizeof payload, "%u", number);
    p.payload = span_of_str(payload);
    mqtt_write_publish(&c->wire, c->version, &p);
}

static void put_ack(const struct client *c, struct buf *out, enum mqtt_packet_type type, uint16_t packet_id)
{
    struct mqtt_ack ack = { .type = type, .packet_id = packet_id };

    mqtt_write_ack(out, c->version, &ack);
}

static void publish(struct sim *s, struct client *c)
{
    unsigned what = pick(s->b, 100);
    bool retain = c->kind == DURABLE && what < 12;
    enum topic_kind kind = retain ? RETAINED + pick(s->b, 2) : what < 30 ? SHARED : ORDINARY + pick(s->b, 2);
    /* one QoS to a retained topic: a repeated QoS 1 may come after a QoS 2 that is known not to be new */
    uint8_t qos = (uint8_t)(retain ? 1 + (kind == RETAINED2) : pick(s->b, 8) == 0 ? 0 : 1 + pick(s->b, 2));
    unsigned topic = c->number * TOPICS_OF + kind, number;
    uint16_t packet_id = 0;

    if (c->n_going == WINDOW || s->count >= MESSAGES - 1 ||
        (retain && s->n_retained[topic] == COUNT_OF(s->retained[topic])))
        return;
    number = model_send(s, c, kind, qos, retain, retain && pick(s->b, 4) == 0);
    if (qos > 0) {
        packet_id = new_id(c);
        c->going[c->n_going++] = (struct going){ packet_id, number, false };
    }
    sim_note(s, "publishes", c->number, number, qos << 16 | packet_id);
    put_publish(s, c, number, packet_id, false);
}

static void put_subscribe(struct client *c, uint16_t packet_id, const char *filter, uint8_t qos)
{
    struct mqtt_subscription want = wish_filter(filter, qos);
    struct mqtt_properties p = { .has = 0 };

    want.retain_handling = c->version == MQTT_5 ? 2 : 0;
    mqtt_write_subscribe(&c->wire, c->version, packet_id, &p, &want, 1);
}

static void ask(struct sim *s, struct client *c, int what, unsigned filter, uint8_t qos)
{
    struct asked *a = &c->asked[c->n_asked];

    if (c->n_asked == WAITING)
        return;
    *a = (struct asked){ .packet_id = new_id(c), .filter = filter, .tick = s->tick };
    a->what = what;
    c->n_asked++;
    sim_note(s,
             what == ASK_UNSUBSCRIBE ? "unsubscribes"
             : what == ASK_JOIN      ? "joins"
                                     : "subscribes",
             c->number, filter, qos);
    if (what == ASK_SUBSCRIBE) {
        model_subscribe(s, c, filter, qos);
        put_subscribe(c, a->packet_id, sim_filters[filter], qos);
    } else if (what == ASK_JOIN) {
        put_subscribe(c, a->packet_id, "$share/" GROUP_NAME "/s/#", qos);
    } else {
        struct topic_filter f = { span_of_str(sim_filters[filter]) };

        model_unsubscribe(s, c, filter);
        mqtt_write_unsubscribe(&c->wire, c->version, a->packet_id, NULL, &f, 1);
    }
}

/* What nobody should say, or not now, or not so. */
static void be_rude(struct sim *s, struct client *c)
{
    unsigned what = pick(s->b, 8);

    sim_note(s, "is rude", c->number, what, 0);
    if (what == 0)
        for (unsigned i = pick(s->b, 20); i > 0; i--)
            put_u8(&c->wire, (uint8_t)pick(s->b, 256));
    else if (what < 4)
        put_ack(c, &c->wire, MQTT_PUBACK + pick(s->b, 4), (uint16_t)(1 + pick(s->b, 12)));
    else if (what == 4)
        put_subscribe(c, (uint16_t)pick(s->b, 5), pick(s->b, 2) ? "t/#" : "$share/" GROUP_NAME "2/s/#",
                      (uint8_t)pick(s->b, 3));
    else if (what == 5 && s->count < MESSAGES - 1)
        put_publish(s, c, model_send(s, c, ORDINARY, (uint8_t)pick(s->b, 3), false, false),
                    (uint16_t)(1 + pick(s->b, 12)), pick(s->b, 2));
    else if (what == 6)
        put_bytes(&c->wire, span_of("\xc0\x00", 2));
    else
        c->wire.len -= c->wire.len > 0 && pick(s->b, 4) == 0; /* the rest is out of step */
}

void client_let_go(struct sim *s, struct client *c)
{
    if (!c->open)
        return;
    sim_note(s, "lets go", c->number, (long)c->held.len, 0);
    put_bytes(&c->wire, buf_span(&c->held));
    buf_reset(&c->held);
    c->holds = false;
}

void client_act(struct sim *s, struct client *c)
{
    unsigned what = pick(s->b, 1000);

    if (c->io == NULL) {
        if (what < 300)
            client_start(s, c, what < 12);
        return;
    }
    if (!c->open) {
        if (what < 10)
            client_lost(s, c, false);
        return;
    }
    if (c->kind == RUDE) {
        be_rude(s, c);
        if (what < 10)
            client_lost(s, c, false);
        return;
    }
    if (what < 700)
        publish(s, c);
    else if (what < 760)
        ask(s, c, ASK_SUBSCRIBE, pick(s->b, FILTERS), (uint8_t)pick(s->b, 3));
    else if (what < 785)
        ask(s, c, ASK_UNSUBSCRIBE, pick(s->b, FILTERS), 0);
    else if (what < 800)
        client_lost(s, c, false);
    else if (what < 810)
        say_goodbye(s, c);
    else if (what < 815)
        client_start(s, c, false); /* taken over, if the broker sees it so */
    else if (what < 900)
        client_let_go(s, c);
    else if (what < 920)
        c->holds = true;
}

/* ---- hearing something ---- */

static void reply(struct client *c, enum mqtt_packet_type type, uint16_t packet_id)
{
    put_ack(c, c->holds ? &c->held : &c->wire, type, packet_id);
}

static void resume(struct sim *s, struct client *c)
{
    for (unsigned i = 0; i < c->n_going; i++) {
        if (c->going[i].released)
            put_ack(c, &c->wire, MQTT_PUBREL, c->going[i].packet_id);
        else
            put_publish(s, c, c->going[i].message, c->going[i].packet_id, true);
    }
    if (c->kind == MEMBER && !c->joined)
        ask(s, c, ASK_JOIN, 0, 2);
}

static bool on_connack(struct sim *s, struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_connack connack;

    assert_int_equal(mqtt_read_connack(frame, c->version, &connack, NULL), ST_OK);
    if (connack.reason != MQTT_SUCCESS) {
        s->sum.refused++;
        sim_check(s, refusals(s, c), "%s was refused: 0x%02x %.*s", c->id, connack.reason,
                  SPAN_FMT(connack.properties.reason_string));
        return false;
    }
    if (c->present_must == 1 && session_must(s, c) != 1) /* its time may have come on the way */
        c->present_must = -1;
    sim_check(s, c->present_must < 0 || connack.session_present == c->present_must,
              "%s: Session Present is %d, against what was promised", c->id, connack.session_present);
    sim_note(s, "is connected", c->number, connack.session_present, 0);
    if (!connack.session_present) {
        if (!c->asked_clean)
            model_forget(s, c);
        model_forgotten(s, c);
        c->n_going = c->n_got_ids = 0;
        c->joined = false;
    }
    c->must_clean = false;
    if (c->asked_clean && c->version != MQTT_5)
        return false; /* Clean Session is for nothing but to forget; the next one lasts */
    c->open = true;
    c->known = keeps(c) && !c->ending;
    c->left_early = 0;
    resume(s, c);
    return true;
}

static void on_publish(struct sim *s, struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_publish p;
    unsigned number;

    assert_int_equal(mqtt_read_publish(frame, c->version, &p, NULL), ST_OK);
    number = model_message(s, c, &p);
    sim_note(s, "gets", c->number, number, p.qos << 16 | p.packet_id);
    if (p.qos == 1)
        reply(c, MQTT_PUBACK, p.packet_id);
    if (p.qos == 2) {
        reply(c, MQTT_PUBREC, p.packet_id);
        for (unsigned i = 0; i < c->n_got_ids; i++)
            if (c->got_ids[i].packet_id == p.packet_id) {
                sim_check(s, c->got_ids[i].message == number || c->kind == RUDE,
                          "%s got message %u under identifier %u, which is still that of %u", c->id, number,
                          p.packet_id, c->got_ids[i].message);
                return;
            }
        if (c->kind != RUDE) {
            sim_check(s, c->n_got_ids < GOT_IDS, "%s: more than its Receive Maximum", c->id);
            c->got_ids[c->n_got_ids++] = (struct going){ p.packet_id, number, false };
        }
    }
    model_received(s, c, &p);
}

static void drop_going(struct client *c, unsigned at)
{
    memmove(c->going + at, c->going + at + 1, (c->n_going - at - 1) * sizeof *c->going);
    c->n_going--;
}

static void on_pubrel(struct client *c, uint16_t packet_id)
{
    for (unsigned i = 0; i < c->n_got_ids; i++)
        if (c->got_ids[i].packet_id == packet_id)
            c->got_ids[i] = c->got_ids[--c->n_got_ids];
    reply(c, MQTT_PUBCOMP, packet_id);
}

static void on_ack(struct sim *s, struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_ack ack;
    struct going *g = NULL;
    unsigned at;

    assert_int_equal(mqtt_read_ack(frame, c->version, &ack, NULL), ST_OK);
    if (ack.type == MQTT_PUBREL) {
        on_pubrel(c, ack.packet_id);
        return;
    }
    if (c->kind == RUDE)
        return;
    for (at = 0; at < c->n_going && g == NULL; at++)
        if (c->going[at].packet_id == ack.packet_id)
            g = &c->going[at];
    sim_check(s, g != NULL, "%s: %s %u for nothing", c->id, mqtt_packet_name(ack.type), ack.packet_id);
    at--;
    sim_note(s, "is told", c->number, g->message, ack.type << 8 | ack.reason);
    if (ack.reason >= 0x80 && ack.type != MQTT_PUBCOMP) { /* 0x92 there: it had been complete before */
        s->sum.refused++;
        sim_check(s, refusals(s, c), "%s: message %u refused with 0x%02x", c->id, g->message, ack.reason);
        drop_going(c, at);
        return;
    }
    if (ack.type == MQTT_PUBCOMP) {
        sim_check(s, g->released, "%s: PUBCOMP %u before PUBREL", c->id, ack.packet_id);
        drop_going(c, at);
        return;
    }
    model_acknowledged(s, g->message);
    if (ack.type == MQTT_PUBACK) {
        drop_going(c, at);
    } else {
        g->released = true;
        put_ack(c, &c->wire, MQTT_PUBREL, ack.packet_id);
    }
}

static void on_suback(struct sim *s, struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_suback suback;
    struct asked a = { 0 };
    uint8_t reason;
    bool good;

    assert_int_equal(mqtt_read_suback(frame, c->version, &suback, NULL), ST_OK);
    if (c->kind == RUDE)
        return;
    for (unsigned i = 0; i < c->n_asked; i++)
        if (c->asked[i].packet_id == suback.packet_id) {
            a = c->asked[i];
            c->asked[i] = c->asked[--c->n_asked];
            break;
        }
    sim_check(s, a.packet_id != 0, "%s: SUBACK %u for nothing", c->id, suback.packet_id);
    reason = suback.reasons.len == 0 ? 0 : suback.reasons.p[0]; /* UNSUBACK of 3.1.1 */
    good = reason < 0x80;
    sim_note(s, "is told of a subscription", c->number, a.filter, reason);
    sim_check(s, good || refusals(s, c), "%s: subscription refused with 0x%02x", c->id, reason);
    if (a.what == ASK_SUBSCRIBE) {
        model_subscribed(s, c, a.filter, good && c->subs[a.filter].asked == a.tick);
    } else if (a.what == ASK_UNSUBSCRIBE && good) {
        model_unsubscribed(s, c, a.filter, a.tick);
    } else if (a.what == ASK_JOIN && good) {
        c->joined = true;
        if (s->group_granted == 0)
            s->group_granted = s->tick;
    }
}

/* False: it is over. */
static bool on_packet(struct sim *s, struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect d;

    switch (frame->type) {
    case MQTT_CONNACK:
        return on_connack(s, c, frame);
    case MQTT_PUBLISH:
        on_publish(s, c, frame);
        return true;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        on_ack(s, c, frame);
        return true;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        on_suback(s, c, frame);
        return true;
    case MQTT_DISCONNECT:
        assert_int_equal(mqtt_read_disconnect(frame, c->version, &d, NULL), ST_OK);
        sim_note(s, "is told to go", c->number, d.reason, 0);
        sim_check(s, refusals(s, c), "%s was told to go: 0x%02x %.*s", c->id, d.reason,
                  SPAN_FMT(d.properties.reason_string));
        return false;
    default:
        return true;
    }
}

void client_read(struct sim *s, struct client *c)
{
    struct mqtt_frame frame;
    bool going_on = true;

    while (c->io != NULL && going_on && client_next(c->io, &frame))
        going_on = on_packet(s, c, &frame);
    if (c->io != NULL && (!going_on || c->io->closed)) {
        sim_check(s, refusals(s, c) || !going_on, "%s: closed by the broker without a word", c->id);
        client_lost(s, c, false);
    }
}

/* A part of what is on its way, or all of it, is there. */
void client_travel(struct sim *s, struct client *c, bool all)
{
    size_t len = c->wire.len;

    if (c->io == NULL || len == 0)
        return;
    if (!all && len > 1 && pick(s->b, 4) == 0)
        len = 1 + pick(s->b, (uint32_t)len);
    client_send(c->io, span_cut(buf_span(&c->wire), 0, len));
    buf_drop_front(&c->wire, len);
}
