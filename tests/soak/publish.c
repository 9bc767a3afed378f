/* What a session publishes and hears, and what it remembers of both until it is finished. */
#include "soak.h"

#include <stdio.h>
#include <stdlib.h>

enum { STAMP_PAIR = 1, STAMP_SHARED = 2, STAMP_WILL = 3 }; /* `run` of a stamp: which numbers these are */
#define PAYLOAD_MAX 512

static struct flight *find_flight(struct member *m, uint16_t id)
{
    for (size_t i = 0; i < WINDOW; i++)
        if (m->flights[i].id == id)
            return &m->flights[i];
    return NULL;
}

/* ---- publishing ---- */

static void topic_of(const struct member *m, char *topic, size_t cap)
{
    if (m->kind->shares)
        (void)snprintf(topic, cap, "soak/s/%u/%u", m->number / KINDS % GROUPS, m->number);
    else
        (void)snprintf(topic, cap, "soak/p/%u", m->number);
}

static void write_publish(struct member *m, uint64_t number, uint16_t id, bool dup)
{
    uint8_t payload[PAYLOAD_MAX] = { 0 };
    char topic[64];
    struct stamp stamp = { .run = m->kind->shares ? STAMP_SHARED : STAMP_PAIR,
                           .publisher = m->number,
                           .number = number,
                           .sent_ns = m->soak->loop.now_ns };
    size_t len = STAMP_LEN + (size_t)(number * 37 + m->number) % (PAYLOAD_MAX - STAMP_LEN);

    stamp_write(&stamp, payload);
    topic_of(m, topic, sizeof topic);
    struct mqtt_publish_out out = { .qos = m->kind->qos,
                                    .retain = m->kind->retains,
                                    .dup = dup,
                                    .packet_id = id,
                                    .topic = span_of_str(topic),
                                    .payload = span_of(payload, len) };
    mqtt_write_publish(link_plain(&m->link), m->kind->version, &out);
    member_sent(m);
}

static uint16_t free_id(struct member *m)
{
    do
        m->last_id = m->last_id == UINT16_MAX ? 1 : (uint16_t)(m->last_id + 1);
    while (find_flight(m, m->last_id) != NULL);
    return m->last_id;
}

void member_publish(struct member *m)
{
    uint16_t id = 0;

    if (m->kind->qos > 0) {
        struct flight *f = find_flight(m, 0);
        if (f == NULL)
            return; /* its window is full */
        id = free_id(m);
        *f = (struct flight){ .number = m->sent, .id = id };
        m->in_flight++;
    } else {
        m->unsure++;
    }
    write_publish(m, m->sent++, id, false);
    m->soak->counts.published++;
}

static void write_ack(struct member *m, enum mqtt_packet_type type, uint16_t id)
{
    struct mqtt_ack ack = { .type = type, .packet_id = id };

    mqtt_write_ack(link_plain(&m->link), m->kind->version, &ack);
    member_sent(m);
}

/* In the order in which they were sent ([MQTT-4.4.0-1], [MQTT-4.6.0-1]): numbers grow. */
void member_resend(struct member *m)
{
    uint64_t from = 0;

    for (;;) {
        const struct flight *next = NULL;
        for (size_t i = 0; i < WINDOW; i++) {
            const struct flight *f = &m->flights[i];
            if (f->id != 0 && f->number >= from && (next == NULL || f->number < next->number))
                next = f;
        }
        if (next == NULL)
            return;
        from = next->number + 1;
        if (next->received)
            write_ack(m, MQTT_PUBREL, next->id);
        else
            write_publish(m, next->number, next->id, true);
    }
}

void member_give_up(struct member *m)
{
    for (size_t i = 0; i < WINDOW; i++)
        m->unsure += m->flights[i].id != 0 && !m->flights[i].received;
    memset(m->flights, 0, sizeof m->flights);
    m->in_flight = m->held_count = 0;
}

static void landed(struct member *m, struct flight *f)
{
    *f = (struct flight){ 0 };
    m->in_flight--;
}

static void acknowledged(struct member *m, struct flight *f, uint8_t reason)
{
    if (reason >= 0x80) {
        m->soak->counts.refused++;
        m->unsure++;
        landed(m, f);
        return;
    }
    m->acked++;
    if (m->kind->retains && f->number >= m->retained_from && (!m->retained_valid || f->number > m->retained)) {
        m->retained = f->number;
        m->retained_valid = true;
    }
}

/* ---- hearing ---- */

static bool hold(struct member *m, uint16_t id)
{
    for (size_t i = 0; i < m->held_count; i++)
        if (m->held[i] == id)
            return false;
    if (m->held_count == m->held_cap) {
        m->held_cap = m->held_cap == 0 ? 8 : 2 * m->held_cap;
        m->held = reallocarray(m->held, m->held_cap, sizeof *m->held);
        if (m->held == NULL)
            die("out of memory");
    }
    m->held[m->held_count++] = id;
    return true;
}

static void let_go(struct member *m, uint16_t id)
{
    for (size_t i = 0; i < m->held_count; i++)
        if (m->held[i] == id) {
            m->held[i] = m->held[--m->held_count];
            return;
        }
}

static void heard_retained(struct member *m, const struct stamp *stamp)
{
    m->soak->counts.retained++;
    if (m->retained_due && stamp->number >= m->retained_wanted)
        m->retained_due = false;
}

static void hear(struct member *m, const struct mqtt_publish *publish)
{
    struct soak *soak = m->soak;
    const struct member *before = member_before(m);
    struct stamp stamp;

    if (!stamp_read(publish->payload, &stamp) || stamp.publisher >= soak->count) {
        soak->counts.strange++;
        return;
    }
    struct member *from = &soak->members[stamp.publisher];
    if (stamp.run == STAMP_PAIR && from == before && publish->retain)
        heard_retained(m, &stamp);
    else if (stamp.run == STAMP_PAIR && from == before)
        soak->counts.received += track_got(&m->heard, stamp.number);
    else if (stamp.run == STAMP_SHARED && from->kind->shares && m->kind->member &&
             from->number / KINDS % GROUPS == m->number / KINDS % GROUPS)
        soak->counts.received += track_got(&from->shared, stamp.number);
    else if (stamp.run == STAMP_WILL && m->number == WATCHER)
        soak->counts.wills += track_got(&from->will_heard, stamp.number);
    else
        soak->counts.strange++;
}

void member_got_publish(struct member *m, const struct mqtt_frame *frame)
{
    struct mqtt_publish publish;
    struct why why = { "", "", 0 };

    if (mqtt_read_publish(frame, m->kind->version, &publish, &why) != ST_OK) {
        member_fail(m, "PUBLISH: %s", why.text);
        return;
    }
    if (publish.qos < 2 || hold(m, publish.packet_id))
        hear(m, &publish);
    if (publish.qos > 0)
        write_ack(m, publish.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, publish.packet_id);
}

void member_got_ack(struct member *m, const struct mqtt_frame *frame)
{
    struct mqtt_ack ack;
    struct why why = { "", "", 0 };

    if (mqtt_read_ack(frame, m->kind->version, &ack, &why) != ST_OK) {
        member_fail(m, "%s: %s", mqtt_packet_name(frame->type), why.text);
        return;
    }
    if (frame->type == MQTT_PUBREL) {
        let_go(m, ack.packet_id);
        write_ack(m, MQTT_PUBCOMP, ack.packet_id);
        return;
    }
    struct flight *f = find_flight(m, ack.packet_id);
    if (f == NULL) {
        member_fail(m, "%s for nothing that was published", mqtt_packet_name(frame->type));
        return;
    }
    if (frame->type == MQTT_PUBCOMP) {
        landed(m, f);
        return;
    }
    if (!f->received)
        acknowledged(m, f, ack.reason);
    if (f->id == 0)
        return;
    if (frame->type == MQTT_PUBACK) {
        landed(m, f);
        return;
    }
    f->received = true;
    write_ack(m, MQTT_PUBREL, ack.packet_id);
}

void member_will(const struct member *m, uint8_t payload[STAMP_LEN], char *topic, size_t cap,
                 struct mqtt_will *out)
{
    struct stamp stamp = { .run = STAMP_WILL, .publisher = m->number, .number = m->wills };

    stamp_write(&stamp, payload);
    (void)snprintf(topic, cap, "soak/w/%u", m->number);
    *out =
        (struct mqtt_will){ .topic = { span_of_str(topic) }, .payload = span_of(payload, STAMP_LEN), .qos = 2 };
}
