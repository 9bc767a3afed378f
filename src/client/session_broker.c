/* The broker of session_world.h: keeps MQTT5 chapter 4 to the letter, and fails the test if the client does not. */
#include "client/session_world.h"

#include <stdio.h>

static void put_ack(struct session_world *w, enum mqtt_packet_type type, uint16_t id)
{
    mqtt_write_ack(&w->down, w->broker.version, &(struct mqtt_ack){ .type = type, .packet_id = id });
}

static void owe(struct broker *b, enum mqtt_packet_type type, uint16_t id)
{
    assert_true(b->ack_count < QUEUE_MAX);
    b->acks[b->ack_count++] = (struct pending_ack){ type, id };
}

static uint32_t serial_of(struct span payload)
{
    uint32_t serial = 0;

    assert_int_equal(payload.len, 4);
    for (size_t i = 0; i < 4; i++)
        serial = serial << 8 | payload.p[i];
    return serial;
}

static void deliver(struct session_world *w, const struct mqtt_publish *p)
{
    struct broker *b = &w->broker;
    uint32_t serial = serial_of(p->payload);

    assert_true(serial <= MESSAGES_MAX);
    assert_int_equal(w->accepted_qos[serial], p->qos);
    if (b->delivered[serial]++ == 0) { /* MQTT5 4.6: the first delivery keeps the order of publishing */
        assert_true(w->lossy || serial > b->last_first[p->qos]);
        b->last_first[p->qos] = serial;
    }
}

/* ---- CONNECT ---- */

static void got_connect(struct session_world *w, const struct mqtt_frame *frame)
{
    struct broker *b = &w->broker;
    struct mqtt_connect c;
    struct mqtt_connack a = { 0 };

    assert_int_equal(mqtt_read_connect(frame, &c, NULL), ST_OK);
    /* A client that did not hear of its session's end takes the new one for the old: nothing in MQTT tells it. So the
     * broker goes on saying it until the client has said something. */
    if (w->lossy && (b->unheard || chance(&w->chance, 4) == 0))
        b->has_session = false;
    a.session_present = b->has_session && !c.clean_start;
    w->resumed += a.session_present;
    if (!a.session_present) {
        w->lost_sessions += w->next_serial > 0;
        memset(b->holds, 0, sizeof b->holds);
        for (size_t i = 0; i < b->out_count; i++)
            b->out[i].done = true;
    }
    b->has_session = true;
    b->unheard = !a.session_present;
    b->connected = true;
    b->receive_maximum = (uint16_t)(1 + chance(&w->chance, 5));
    b->alias_maximum = (uint16_t)chance(&w->chance, 4);
    b->client_receive_maximum = b->version == MQTT_5 ? mqtt_receive_maximum(&c.properties) : 65535;
    if (b->version == MQTT_5) {
        a.properties.receive_maximum = b->receive_maximum;
        a.properties.topic_alias_maximum = b->alias_maximum;
        mqtt_set(&a.properties, PROP_RECEIVE_MAXIMUM);
        mqtt_set(&a.properties, PROP_TOPIC_ALIAS_MAXIMUM);
    } else {
        b->receive_maximum = 65535;
    }
    mqtt_write_connack(&w->down, b->version, &a);
    for (size_t i = 0; i < b->out_count; i++) /* [MQTT-4.4.0-1], for servers */
        b->out[i].dup = b->out[i].packet_id != 0;
    b->sent_next = 0;
}

void broker_lost(struct session_world *w)
{
    struct broker *b = &w->broker;

    b->connected = false;
    buf_reset(&b->in);
    b->ack_count = b->pubrec_count = b->pubrel_count = b->open_count = b->client_open = 0;
    b->sent_count[0] = b->sent_count[1] = b->acked_count[0] = b->acked_count[1] = 0;
    b->last_dup = 0;
    memset(b->open_here, 0, sizeof b->open_here);
    for (size_t i = 0; i < b->out_count; i++)
        b->out[i].here = false;
    memset(b->aliases, 0, sizeof b->aliases);
}

/* ---- what the client publishes ---- */

static void resolve_alias(struct broker *b, const struct mqtt_publish *p)
{
    uint16_t alias = p->properties.topic_alias;
    char topic[8];

    snprintf(topic, sizeof topic, "%.*s", SPAN_FMT(p->topic.s));
    if (mqtt_has(&p->properties, PROP_TOPIC_ALIAS)) {
        assert_true(alias <= b->alias_maximum); /* [MQTT-3.2.2-17], [MQTT-3.2.2-18] */
        if (topic[0] != '\0')
            memcpy(b->aliases[alias], topic, sizeof topic);
        memcpy(topic, b->aliases[alias], sizeof topic);
    }
    assert_true(topic[0] == 't' && topic[1] == (char)('0' + serial_of(p->payload) % 3));
}

static void got_publish(struct session_world *w, const struct mqtt_frame *frame)
{
    struct broker *b = &w->broker;
    struct mqtt_publish p;

    assert_int_equal(mqtt_read_publish(frame, b->version, &p, NULL), ST_OK);
    resolve_alias(b, &p);
    if (p.qos > 0 && !b->open_here[p.packet_id]) {
        b->open_here[p.packet_id] = true;
        assert_true(++b->open_count <= b->receive_maximum); /* [MQTT-3.3.4-7], [MQTT-4.9.0-1] */
    }
    if (p.dup) { /* sent again in the order of the first time [MQTT-4.6.0-1] */
        assert_true(serial_of(p.payload) > b->last_dup);
        b->last_dup = serial_of(p.payload);
    }
    if (p.qos < 2 || !b->holds[p.packet_id])
        deliver(w, &p);
    if (p.qos == 2) {
        b->holds[p.packet_id] = true;
        owe(b, MQTT_PUBREC, p.packet_id);
    } else if (p.qos == 1) {
        owe(b, MQTT_PUBACK, p.packet_id);
    }
}

static void got_pubrel(struct session_world *w, uint16_t id)
{
    struct broker *b = &w->broker;
    size_t at = b->pubrel_count;

    /* Those of this connection come in the order of the PUBRECs [MQTT-4.6.0-4]; others belong to former connections. */
    if (at < b->pubrec_count && b->pubrecs[at] == id)
        b->pubrel_count++;
    else
        for (size_t i = at; i < b->pubrec_count; i++)
            assert_int_not_equal(b->pubrecs[i], id);
    b->holds[id] = false;
    owe(b, MQTT_PUBCOMP, id);
}

/* ---- what the broker publishes ---- */

static struct to_client *find_out(struct broker *b, uint16_t id)
{
    for (size_t i = 0; i < b->out_count; i++)
        if (b->out[i].packet_id == id && !b->out[i].done)
            return &b->out[i];
    return NULL;
}

/* Acknowledgements keep the order in which the messages were sent [MQTT-4.6.0-2], [MQTT-4.6.0-3]. */
static void in_order(struct broker *b, uint8_t qos, uint16_t id)
{
    size_t at = b->acked_count[qos - 1]++;

    assert_true(at < b->sent_count[qos - 1]);
    assert_int_equal(b->sent_order[qos - 1][at], id);
}

static void got_ack(struct session_world *w, const struct mqtt_frame *frame)
{
    struct broker *b = &w->broker;
    struct mqtt_ack ack;

    assert_int_equal(mqtt_read_ack(frame, b->version, &ack, NULL), ST_OK);
    if (ack.type == MQTT_PUBREL) {
        got_pubrel(w, ack.packet_id);
        return;
    }
    struct to_client *m = find_out(b, ack.packet_id);
    assert_non_null(m);
    if (ack.type == MQTT_PUBREC) {
        assert_int_equal(m->qos, 2);
        in_order(b, 2, ack.packet_id);
        m->released = true;
        put_ack(w, MQTT_PUBREL, m->packet_id);
        return;
    }
    if (ack.type == MQTT_PUBACK)
        in_order(b, 1, ack.packet_id);
    else
        assert_true(m->released);
    b->client_open -= m->here;
    m->done = true;
}

static void send_message(struct session_world *w, struct to_client *m)
{
    struct broker *b = &w->broker;
    uint8_t payload[4] = { 0, 0, 0, (uint8_t)m->serial };

    if (m->released) {
        put_ack(w, MQTT_PUBREL, m->packet_id);
        return;
    }
    if (m->qos > 0) {
        if (m->packet_id == 0)
            m->packet_id = ++b->next_id;
        b->sent_order[m->qos - 1][b->sent_count[m->qos - 1]++] = m->packet_id;
        b->client_open++;
        m->here = true;
    }
    mqtt_write_publish(&w->down, b->version,
                       &(struct mqtt_publish_out){ .qos = m->qos,
                                                   .dup = m->dup,
                                                   .packet_id = m->packet_id,
                                                   .topic = SPAN("s"),
                                                   .payload = span_of(payload, 4) });
    if (m->qos == 0)
        m->done = true;
}

void broker_turn(struct session_world *w, bool all)
{
    struct broker *b = &w->broker;
    size_t n = all ? b->ack_count : chance(&w->chance, (uint32_t)b->ack_count + 1);

    if (!b->connected)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct pending_ack *a = &b->acks[i];
        put_ack(w, a->type, a->packet_id);
        if (a->type == MQTT_PUBREC)
            b->pubrecs[b->pubrec_count++] = a->packet_id;
        else if (b->open_here[a->packet_id]) {
            b->open_here[a->packet_id] = false;
            b->open_count--;
        }
    }
    memmove(b->acks, b->acks + n, (b->ack_count - n) * sizeof *b->acks);
    b->ack_count -= n;
    while (b->sent_next < b->out_count && b->client_open < b->client_receive_maximum &&
           (all || chance(&w->chance, 2) == 0)) {
        struct to_client *m = &b->out[b->sent_next++];
        if (!m->done)
            send_message(w, m);
    }
}

void broker_publish(struct session_world *w)
{
    struct broker *b = &w->broker;

    if (!w->engine->had_session || b->out_count == MESSAGES_MAX)
        return;
    b->out[b->out_count] = (struct to_client){ .serial = (uint32_t)b->out_count + 1,
                                               .qos = (uint8_t)(b->connected ? chance(&w->chance, 3)
                                                                             : 1 + chance(&w->chance, 2)) };
    b->out_count++;
}

/* ---- input ---- */

void broker_input(struct session_world *w, struct span bytes)
{
    struct broker *b = &w->broker;
    struct mqtt_frame frame;
    enum status st = ST_OK;

    put_bytes(&b->in, bytes);
    while (mqtt_frame_next(buf_span(&b->in), MQTT_FROM_CLIENT, MQTT_PACKET_SIZE_MAX, &frame, &st, NULL) ==
           MQTT_FRAME_READY) {
        b->unheard = b->unheard && frame.type == MQTT_CONNECT;
        if (frame.type == MQTT_CONNECT)
            got_connect(w, &frame);
        else if (frame.type == MQTT_PUBLISH)
            got_publish(w, &frame);
        else
            got_ack(w, &frame);
        buf_drop_front(&b->in, frame.total_len);
    }
    assert_int_equal(st, ST_OK);
}
