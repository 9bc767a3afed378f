#include "shard/gate.h"

#include "shard/send.h"
#include "shard/shard_priv.h"

#include <stdlib.h>

/* In front of each packet in the gate. */
struct gate_head {
    struct barrier barrier;
    uint32_t len;
    uint16_t packet_id;
    uint8_t type;
};

static struct gate_head head_at(const struct buf *packets, size_t at)
{
    struct gate_head head;

    memcpy(&head, packets->p + at, sizeof head);
    return head;
}

static bool holds_all(enum mqtt_packet_type type)
{
    return type == MQTT_CONNACK || type == MQTT_SUBACK;
}

/* Its retained message is not kept, as is known by now. */
static bool is_unkept(const struct gate_head *head)
{
    return head->barrier.ask != NULL && head->barrier.ask->answered && !head->barrier.ask->kept;
}

/* ---- what is in there ---- */

bool gate_holds(const struct conn *c, const struct slip *slip)
{
    const struct gate *g = c->gate;
    const struct journal *j = &c->shard->journal;

    if (g != NULL && slip->in_turn)
        return false;
    if (g != NULL && (slip->ordered || g->holding > 0))
        return true;
    if (g != NULL && slip->type == MQTT_PUBLISH && g->messages > 0 && !journal_is_broken(j))
        return true;
    return !journal_passed(j, slip->barrier);
}

size_t gate_bytes(const struct conn *c)
{
    return c->gate == NULL ? 0 : c->gate->packets.len - c->gate->at;
}

uint32_t gate_publishes(const struct conn *c)
{
    return c->gate == NULL ? 0 : c->gate->publishes;
}

bool gate_has_connack(const struct conn *c)
{
    return c->gate != NULL && c->gate->connack;
}

bool gate_is_full(const struct conn *c)
{
    return c->gate != NULL && c->gate->full;
}

/* ---- life ---- */

static void weigh(struct gate *g, size_t bytes)
{
    STATS_ADD(&g->conn->shard->stats, memory_output, (uint64_t)bytes - g->weighed);
    g->weighed = bytes;
}

static struct gate *gate_new(struct conn *c)
{
    struct gate *g = calloc(1, sizeof *g);

    if (g == NULL)
        return NULL;
    g->conn = c;
    buf_init(&g->packets, SIZE_MAX);
    list_append(&c->shard->journal.gates, &g->link);
    c->gate = g;
    return g;
}

/* Publications in there have not been sent, whatever the outbox thinks. */
static void unsend(struct session *s, const struct gate *g)
{
    struct list *before = outbox_head(&s->outbox);

    for (size_t at = g->at; at < g->packets.len;) {
        struct gate_head head = head_at(&g->packets, at);
        struct delivery *d = NULL;

        if (head.type == MQTT_PUBLISH && head.packet_id != 0)
            d = outbox_find(&s->outbox, head.packet_id);
        if (d != NULL && d->state == DELIVERY_AWAIT_PUBREC)
            outbox_unstart(&s->outbox, d, before);
        at += sizeof head + head.len;
    }
}

/* What answers are waited for in there: nobody does any more; and the references. */
static void detach_ask(struct retained_ask *ask)
{
    ask->conn = NULL;
}

static void each_ask(const struct buf *packets, size_t from, void (*call)(struct retained_ask *ask))
{
    for (size_t at = from; at < packets->len;) {
        struct gate_head head = head_at(packets, at);

        if (head.barrier.ask != NULL)
            call(head.barrier.ask);
        at += sizeof head + head.len;
    }
}

void gate_free(struct conn *c)
{
    struct gate *g = TAKE(c->gate);

    if (g == NULL)
        return;
    each_ask(&g->packets, g->at, detach_ask);
    each_ask(&g->packets, g->at, retained_ask_unref);
    if (c->session != NULL && g->messages > 0)
        unsend(c->session, g);
    list_remove(&g->link);
    weigh(g, 0);
    buf_done(&g->packets);
    free(g);
}

/* ---- in ---- */

static uint8_t *out_of_memory(struct conn *c)
{
    struct why why;

    conn_fail(c, reject(&why, ST_NO_MEMORY, "memory", "out of memory", 0), &why);
    return NULL;
}

uint8_t *gate_put(struct conn *c, const struct slip *slip, size_t len)
{
    struct gate_head head = { .barrier = slip->barrier,
                              .len = (uint32_t)len,
                              .packet_id = slip->packet_id,
                              .type = (uint8_t)slip->type };
    struct gate *g = c->gate != NULL ? c->gate : gate_new(c);
    uint8_t *room = g == NULL ? NULL : buf_room(&g->packets, sizeof head + len);

    if (room == NULL)
        return out_of_memory(c);
    if (slip->barrier.ask != NULL)
        retained_ask_ref(slip->barrier.ask)->conn = c;
    memcpy(room, &head, sizeof head);
    buf_added(&g->packets, sizeof head + len);
    weigh(g, sizeof *g + g->packets.cap);
    g->holding += holds_all(slip->type);
    g->publishes += slip->type == MQTT_PUBACK;
    g->messages += slip->type == MQTT_PUBLISH;
    if (slip->type == MQTT_CONNACK)
        g->connack = true;
    if (!g->full && gate_bytes(c) > c->shard->settings->max_output_bytes) {
        g->full = true;
        c->shard->world.conn_pause(c->shard->world.ctx, c->io, true);
    }
    return room + sizeof head;
}

/* ---- out ---- */

/* False: the connection is ending. */
static bool send_packet(struct conn *c, const uint8_t *packet, size_t len)
{
    uint8_t *room = c->shard->world.conn_append(c->shard->world.ctx, c->io, len);

    if (room == NULL)
        return false;
    memcpy(room, packet, len);
    STATS_INC(&c->shard->stats, packets_out);
    STATS_ADD(&c->shard->stats, bytes_out, len);
    return true;
}

/* Reading goes on when half of the gate has gone. */
static void make_room(struct conn *c)
{
    struct gate *g = c->gate;
    bool was_full = gate_is_full(c);
    size_t left = gate_bytes(c);

    if (left == 0) {
        gate_free(c);
    } else if (g->at > left) {
        buf_drop_front(&g->packets, g->at);
        g->at = 0;
    }
    if (!was_full || left > c->shard->settings->max_output_bytes / 2)
        return;
    if (c->gate != NULL)
        c->gate->full = false;
    conn_read_on(c);
}

/* The identifier is free again with that answer (MQTT5 [MQTT-4.3.3-9]). In 3.1.1 no acknowledgement has room for it. */
static void send_unkept(struct conn *c, const struct gate_head *head)
{
    struct why why;
    enum status st = reject(&why, ST_QUOTA, "retained", "delivered, but not kept", 0);

    if (c->version != MQTT_5) {
        conn_refuse(c, MQTT_QUOTA_EXCEEDED, st, &why, "publish_refused");
        return;
    }
    if (head->type == MQTT_PUBREC && id_set_remove(&c->session->received, head->packet_id))
        session_change(c->session, SESSION_RECEIVED);
    send_ack_in_turn(c, head->type, head->packet_id, MQTT_QUOTA_EXCEEDED, &why);
}

static void count_out(struct gate *g, const struct gate_head *head)
{
    g->at += sizeof *head + head->len;
    g->holding -= holds_all(head->type);
    g->publishes -= head->type == MQTT_PUBACK;
    g->messages -= head->type == MQTT_PUBLISH;
    if (head->type == MQTT_CONNACK)
        g->connack = false;
}

/* As many as may go, in their order; true if any went. */
static bool let_go(struct gate *g)
{
    struct conn *c = g->conn;
    size_t before = g->at;

    while (g->at < g->packets.len) {
        struct gate_head head = head_at(&g->packets, g->at);
        const uint8_t *packet = g->packets.p + g->at + sizeof head;
        bool unkept = is_unkept(&head);

        if (!unkept && !journal_passed(&c->shard->journal, head.barrier))
            break;
        if (!unkept && !send_packet(c, packet, head.len)) {
            gate_free(c);
            return false;
        }
        count_out(g, &head);
        retained_ask_unref(head.barrier.ask);
        if (unkept)
            send_unkept(c, &head);
        if (c->gate != g)
            return false; /* of 3.1.1: it has been closed */
    }
    if (g->at == before)
        return false;
    make_room(c);
    return true;
}

/* Whoever is called may close connections, and so take gates away. */
static void each_gate(struct shard *shard, void (*look)(struct gate *g))
{
    struct list look_at, *link;

    list_init(&look_at);
    while ((link = list_shift(&shard->journal.gates)) != NULL)
        list_append(&look_at, link);
    while ((link = list_shift(&look_at)) != NULL) {
        list_append(&shard->journal.gates, link);
        look(CONTAINER_OF(link, struct gate, link));
    }
}

static void open_one(struct gate *g)
{
    struct conn *c = g->conn;

    if (let_go(g) && c->output_full && conn_is_open(c))
        session_pump(c->session); /* the gate may have been what stood in its way */
}

void gate_open(struct conn *c)
{
    if (c->gate != NULL)
        open_one(c->gate);
}

void gate_open_all(struct shard *shard)
{
    if (!list_empty(&shard->journal.gates))
        each_gate(shard, open_one);
}

/* ---- the store fails ---- */

/* No acknowledgement of 3.1.1 has room for it. And what waits for the PUBREC of a session on disk has its identifier in a batch
 * that will be tried again: told 0x97, the client would use it for another message (MQTT5 [MQTT-4.3.3-9]), which after a crash
 * would be taken for this one. So it hears nothing but the end of the connection, and says it again later. */
static void refuse_publish(struct conn *c, const struct gate_head *head, const struct why *why)
{
    struct session *s = c->session;

    if (c->version != MQTT_5 || (head->type == MQTT_PUBREC && session_is_kept(s))) {
        conn_refuse(c, MQTT_QUOTA_EXCEEDED, ST_QUOTA, why, "store_refused");
        return;
    }
    if (head->type == MQTT_PUBREC)
        (void)id_set_remove(&s->received, head->packet_id);
    send_ack(c, head->type, head->packet_id, MQTT_QUOTA_EXCEEDED, why);
}

/* While the store fails, all that wait; else those that wait for another shard, or would be refused in their turn. */
static bool is_refused(const struct conn *c, const struct gate_head *head)
{
    const struct journal *j = &c->shard->journal;

    if (is_unkept(head))
        return true;
    return (head->type == MQTT_PUBACK || head->type == MQTT_PUBREC) && !journal_passed(j, head->barrier) &&
           (journal_is_broken(j) || head->barrier.remote);
}

static bool has_refused(const struct gate *g)
{
    for (size_t at = g->at; at < g->packets.len;) {
        struct gate_head head = head_at(&g->packets, at);

        if (is_refused(g->conn, &head))
            return true;
        at += sizeof head + head.len;
    }
    return false;
}

/* An answer to a PUBLISH that needs not wait itself. */
static bool may_leave(const struct conn *c, const struct gate_head *head)
{
    return (head->type == MQTT_PUBACK || head->type == MQTT_PUBREC) &&
           journal_passed(&c->shard->journal, head->barrier);
}

/* What else is in there may wait for hours: answers to publications leave now, in their order (MQTT5 [MQTT-4.6.0-2]). */
static void answer_publishes(struct conn *c, const struct buf *packets, size_t from, const struct why *why)
{
    for (size_t at = from; at < packets->len && c->io != NULL;) {
        struct gate_head head = head_at(packets, at);

        at += sizeof head;
        if (is_refused(c, &head))
            refuse_publish(c, &head, why);
        else if (may_leave(c, &head))
            (void)send_packet(c, packets->p + at, head.len);
        at += head.len;
    }
}

static void put_again(struct conn *c, const struct gate_head *head, const uint8_t *packet)
{
    struct slip slip = {
        .type = head->type, .packet_id = head->packet_id, .ordered = true, .barrier = head->barrier
    };
    uint8_t *room;

    if (!gate_holds(c, &slip)) {
        (void)send_packet(c, packet, head->len);
        return;
    }
    room = gate_put(c, &slip, head->len);
    if (room != NULL)
        memcpy(room, packet, head->len);
}

/* Everything else keeps its place. */
static void refuse_publishes(struct conn *c, const struct buf *packets, size_t from, const struct why *why)
{
    bool broken = journal_is_broken(&c->shard->journal);

    if (broken)
        answer_publishes(c, packets, from, why);
    for (size_t at = from; at < packets->len && c->io != NULL;) {
        struct gate_head head = head_at(packets, at);

        at += sizeof head;
        if (broken && (is_refused(c, &head) || may_leave(c, &head)))
            ; /* has left */
        else if (is_refused(c, &head))
            refuse_publish(c, &head, why);
        else if (broken && head.type == MQTT_PUBLISH && head.packet_id == 0) /* of QoS 0 or 1 */
            (void)send_packet(c, packets->p + at, head.len);
        else
            put_again(c, &head, packets->p + at);
        at += head.len;
    }
}

static void refuse_all(struct gate *g, enum status st, const struct why *why)
{
    struct conn *c = g->conn;
    struct buf packets;
    size_t at = g->at;
    bool was_full;

    if (g->holding > 0) {
        conn_refuse(c, MQTT_QUOTA_EXCEEDED, st, why, "store_refused");
        return;
    }
    g->messages = 0;
    each_ask(&g->packets, at, detach_ask);
    packets = g->packets; /* the gate is empty for now, so that what is refused leaves at once */
    buf_init(&g->packets, SIZE_MAX);
    was_full = g->full;
    gate_free(c);
    if (was_full)
        conn_read_on(c);
    refuse_publishes(c, &packets, at, why);
    each_ask(&packets, at, retained_ask_unref);
    buf_done(&packets);
}

static void fail_one(struct gate *g)
{
    struct why why;
    enum status st = reject(&why, ST_QUOTA, "durability", "the store of this broker fails", 0);

    refuse_all(g, st, &why);
}

static void lose_one(struct gate *g)
{
    struct why why;
    enum status st = reject(&why, ST_NO_MEMORY, "memory", "out of memory: not everybody got it", 0);

    if (has_refused(g))
        refuse_all(g, st, &why);
}

void gate_refuse_remote(struct shard *shard)
{
    if (!list_empty(&shard->journal.gates))
        each_gate(shard, lose_one);
}

void gate_fail_all(struct shard *shard)
{
    if (!list_empty(&shard->journal.gates))
        each_gate(shard, fail_one);
}
