/* PUBLISH in both directions and the handshakes of QoS 1 and 2 (MQTT5 4.3, 4.4). */
#include "client/engine_priv.h"
#include "client/outgoing.h"

#include <stdlib.h>

#define OUT_CHUNK 65536 /* gathered before it is handed to the transport, so that congestion is seen */

static struct outgoing *outgoing_of(struct list *link)
{
    return CONTAINER_OF(link, struct outgoing, link);
}

static void report(struct engine *e, struct outgoing *o, const struct symbolon_error *result)
{
    uint64_t id = o->id;

    free(o);
    e->events->published(e->ctx, id, result);
}

/* Takes it out of the in-flight list, frees its packet identifier, and tells the application. */
static void finish(struct engine *e, struct outgoing *o, const struct symbolon_error *result)
{
    list_remove(&o->link);
    e->in_flight_count--;
    engine_give_packet_id(e, o->packet_id);
    report(e, o, result);
}

/* ---- sending ---- */

/* What the broker said in CONNACK that it does not take. */
static enum symbolon_status broker_takes(const struct engine *e, const struct outgoing *o, uint32_t life_s,
                                         struct symbolon_error *error)
{
    struct mqtt_publish_out p = outgoing_packet(o, life_s);
    size_t size = mqtt_publish_size(&p, MQTT_5);

    if (o->qos > e->broker_max_qos)
        return error_set(error, SYMBOLON_REFUSED, "MQTT5 [MQTT-3.2.2-11]",
                         "QoS %u is more than the broker's maximum of %u", o->qos, e->broker_max_qos);
    if (o->retain && !e->broker_retain)
        return error_set(error, SYMBOLON_REFUSED, "MQTT5 [MQTT-3.2.2-14]",
                         "the broker does not keep retained messages");
    if (size == 0 || size > e->broker_max_packet)
        return error_set(error, SYMBOLON_TOO_LARGE, "MQTT5 [MQTT-3.2.2-15]",
                         "the message is larger than the %u bytes the broker accepts",
                         (unsigned)e->broker_max_packet);
    return SYMBOLON_OK;
}

static void put_publish(struct engine *e, const struct outgoing *o, uint32_t life_s)
{
    struct mqtt_publish_out p = outgoing_packet(o, life_s);

    mqtt_write_publish(&e->out, e->settings.version, &p);
}

static void send_first_time(struct engine *e, struct outgoing *o, uint32_t life_s)
{
    struct symbolon_error ok;

    if (o->qos > 0) {
        o->packet_id = engine_take_packet_id(e);
        ASSERT(o->packet_id != 0); /* in-flight messages and requests are bounded far below 65535 */
        o->state = OUT_SENT;
        list_append(&e->in_flight, &o->link);
        e->in_flight_count++;
        put_publish(e, o, life_s);
        return;
    }
    put_publish(e, o, life_s);
    engine_send(e);
    error_none(&ok);
    report(e, o, &ok);
}

/* Who wrote the message cannot be asked: better with less than not at all. */
static void lower(const struct engine *e, struct outgoing *o)
{
    if (o->qos > e->broker_max_qos)
        o->qos = e->broker_max_qos;
    o->retain = o->retain && e->broker_retain;
}

static void send_queued(struct engine *e)
{
    struct symbolon_error error;
    uint32_t life_s;

    while (e->state == ENGINE_OPEN && !list_empty(&e->queued)) {
        struct outgoing *o = outgoing_of(e->queued.next);
        /* QoS 0 waits behind QoS 1 and 2 too, so that the order of publishing is the order of sending. */
        if (o->qos > 0 && e->in_flight_count >= e->send_quota)
            return;
        if (e->out.len >= OUT_CHUNK)
            engine_send(e);
        if (e->events->congested(e->ctx))
            return;
        list_remove(&o->link);
        e->queued_count--;
        if (e->settings.relay)
            lower(e, o);
        if (!outgoing_life(o, e->now.mono, &life_s)) {
            error_set(&error, SYMBOLON_TIMEOUT, "MQTT5 3.3.2.3.3",
                      "the message expired before it could be sent");
            report(e, o, &error);
        } else if (broker_takes(e, o, life_s, &error) != SYMBOLON_OK) {
            report(e, o, &error);
        } else {
            send_first_time(e, o, life_s);
        }
    }
}

void publish_pump(struct engine *e)
{
    send_queued(e);
    if (e->flush_wanted && e->state == ENGINE_OPEN && list_empty(&e->queued))
        engine_flush_now(e);
}

void engine_drained(struct engine *e, struct now now)
{
    e->now = now;
    publish_pump(e);
    engine_send(e);
}

static enum symbolon_status version_can_say(const struct engine *e, const struct symbolon_message *m,
                                            struct symbolon_error *error)
{
    if (e->settings.version == MQTT_3_1_1 &&
        (m->has_expiry || m->payload_is_utf8 || m->content_type.p != NULL || m->response_topic.p != NULL ||
         m->correlation_data.p != NULL || m->user_property_count > 0))
        return error_set(error, SYMBOLON_UNSUPPORTED, "MQTT3 3.3.2",
                         "MQTT 3.1.1 has no properties: a message is a topic and a payload");
    return SYMBOLON_OK;
}

enum symbolon_status engine_publish(struct engine *e, const struct symbolon_message *message, struct now now,
                                    uint64_t *ret_id, struct symbolon_error *error)
{
    struct outgoing *o = NULL;

    e->now = now;
    if (e->queued_count >= e->settings.max_queue)
        return error_set(error, SYMBOLON_QUEUE_FULL, "max_queue", "too many messages wait to be sent");
    enum symbolon_status st = version_can_say(e, message, error);
    if (st == SYMBOLON_OK)
        st = outgoing_new(message, now.mono, &o, error);
    if (st != SYMBOLON_OK)
        return st;
    o->id = ++e->last_id;
    if (ret_id != NULL)
        *ret_id = o->id;
    list_append(&e->queued, &o->link);
    e->queued_count++;
    publish_pump(e);
    engine_send(e);
    return SYMBOLON_OK;
}

/* ---- after a reconnect (MQTT5 4.4) ---- */

static void send_again(struct engine *e)
{
    LIST_EACH (link, &e->in_flight) {
        struct outgoing *o = outgoing_of(link);
        uint32_t life_s;
        if (o->state == OUT_RELEASED) {
            mqtt_write_ack(&e->out, e->settings.version,
                           &(struct mqtt_ack){ .type = MQTT_PUBREL, .packet_id = o->packet_id });
            continue;
        }
        o->dup = true;
        if (!outgoing_life(o, e->now.mono, &life_s))
            life_s = 1; /* its identifier is in use: it must be finished, so let the broker drop it */
        put_publish(e, o, life_s);
    }
}

/* The broker knows nothing of the former session. QoS 1 may arrive twice, so it goes again, in front of the queue. A
 * released QoS 2 message is with the broker; one that is not may have been forwarded already, so it is reported. */
static void start_over(struct engine *e)
{
    struct list again, ended;
    struct symbolon_error ok, unknown;

    list_init(&again);
    list_init(&ended);
    error_none(&ok);
    error_set(
        &unknown, SYMBOLON_CLOSED, "MQTT5 4.4",
        "the broker lost the session before it confirmed this QoS 2 message: it may or may not have taken it");
    for (struct list *link = list_shift(&e->in_flight); link != NULL; link = list_shift(&e->in_flight)) {
        struct outgoing *o = outgoing_of(link);
        e->in_flight_count--;
        engine_give_packet_id(e, o->packet_id);
        if (o->qos == 1 || (e->settings.relay && o->state == OUT_SENT)) {
            o->state = OUT_QUEUED;
            o->dup = false;
            list_append(&again, link);
            e->queued_count++;
        } else {
            list_append(&ended, link);
        }
    }
    while (!list_empty(&again)) { /* from the last to the first: each goes in front */
        struct list *link = again.prev;
        list_remove(link);
        link->next = e->queued.next;
        link->prev = &e->queued;
        e->queued.next->prev = link;
        e->queued.next = link;
    }
    for (struct list *link = list_shift(&ended); link != NULL; link = list_shift(&ended)) {
        struct outgoing *o = outgoing_of(link);
        report(e, o, o->state == OUT_RELEASED ? &ok : &unknown);
    }
    receive_forget(e);
}

void publish_resume(struct engine *e, bool session_present)
{
    if (session_present)
        send_again(e);
    else
        start_over(e);
}

static void free_all(struct list *list)
{
    for (struct list *link = list_shift(list); link != NULL; link = list_shift(list))
        free(outgoing_of(link));
}

void publish_done(struct engine *e)
{
    free_all(&e->queued);
    free_all(&e->in_flight);
}

/* ---- acknowledgements of ours ---- */

static struct outgoing *find_in_flight(struct engine *e, uint16_t packet_id)
{
    LIST_EACH (link, &e->in_flight)
        if (outgoing_of(link)->packet_id == packet_id)
            return outgoing_of(link);
    return NULL;
}

static void wrong_ack(struct engine *e)
{
    engine_fail_why(e, ST_PROTOCOL,
                    &(struct why){ .clause = "MQTT5 4.3", .text = "an acknowledgement of the wrong kind" });
}

static void got_puback(struct engine *e, const struct mqtt_ack *ack)
{
    struct outgoing *o = find_in_flight(e, ack->packet_id);
    struct symbolon_error result;

    if (o == NULL)
        return; /* of a message whose session was lost: nothing depends on it any more */
    if (o->qos != 1) {
        wrong_ack(e);
        return;
    }
    error_from_reason(&result, "PUBACK", ack->reason, ack->properties.reason_string);
    finish(e, o, &result);
}

static void got_pubrec(struct engine *e, const struct mqtt_ack *ack)
{
    struct outgoing *o = find_in_flight(e, ack->packet_id);
    struct symbolon_error result;

    if (o != NULL && o->qos != 2) {
        wrong_ack(e);
        return;
    }
    if (ack->reason >= MQTT_UNSPECIFIED_ERROR) { /* the handshake ends here (MQTT5 4.3.3) */
        error_from_reason(&result, "PUBREC", ack->reason, ack->properties.reason_string);
        if (o != NULL)
            finish(e, o, &result);
        return;
    }
    if (o != NULL)
        o->state = OUT_RELEASED;
    mqtt_write_ack(&e->out, e->settings.version,
                   &(struct mqtt_ack){ .type = MQTT_PUBREL,
                                       .packet_id = ack->packet_id,
                                       .reason = o != NULL ? MQTT_SUCCESS : MQTT_PACKET_ID_NOT_FOUND });
}

static void got_pubcomp(struct engine *e, const struct mqtt_ack *ack)
{
    struct outgoing *o = find_in_flight(e, ack->packet_id);
    struct symbolon_error result;

    if (o == NULL)
        return;
    if (o->qos != 2 || o->state != OUT_RELEASED) {
        wrong_ack(e);
        return;
    }
    error_from_reason(&result, "PUBCOMP", ack->reason, ack->properties.reason_string);
    finish(e, o, &result);
}

void publish_acked(struct engine *e, const struct mqtt_frame *frame)
{
    struct mqtt_ack ack;
    struct why why = { 0 };
    enum status st = mqtt_read_ack(frame, e->settings.version, &ack, &why);

    if (st != ST_OK) {
        engine_fail_why(e, st, &why);
        return;
    }
    switch (ack.type) {
    case MQTT_PUBACK:
        got_puback(e, &ack);
        break;
    case MQTT_PUBREC:
        got_pubrec(e, &ack);
        break;
    case MQTT_PUBREL:
        publish_released(e, &ack);
        break;
    default:
        got_pubcomp(e, &ack);
    }
    publish_pump(e);
}

void message_of_publish(const struct mqtt_publish *publish, struct symbolon_user_property *user,
                        size_t user_cap, struct symbolon_message *out)
{
    const struct mqtt_properties *p = &publish->properties;
    struct span name, value;
    size_t n = 0, at = 0;

    while (n < user_cap && mqtt_next_user_property(p, &at, &name, &value))
        user[n++] = (struct symbolon_user_property){ bytes_of_span(name), bytes_of_span(value) };
    *out = (struct symbolon_message){
        .topic = bytes_of_span(publish->topic.s),
        .payload = bytes_of_span(publish->payload),
        .qos = publish->qos,
        .retain = publish->retain,
        .dup = publish->dup,
        .payload_is_utf8 = mqtt_has(p, PROP_PAYLOAD_FORMAT) && p->payload_format == 1,
        .has_expiry = mqtt_has(p, PROP_MESSAGE_EXPIRY),
        .expiry_s = p->message_expiry_s,
        .content_type = bytes_of_span(p->content_type),
        .response_topic = bytes_of_span(p->response_topic),
        .correlation_data = bytes_of_span(p->correlation_data),
        .user_properties = user,
        .user_property_count = n,
        .packet_id = publish->packet_id,
    };
}
