/* What the broker publishes to us: delivery, acknowledgements in the order of arrival, exactly once for QoS 2 (MQTT5
 * 4.3, 4.4, 4.6), topic aliases (3.3.2.3.4).
 *
 * With settings.manual_ack a message of QoS 1 or 2 becomes a `struct incoming` until the application acknowledges it. It
 * survives the connection: when a continued session brings the same message again it is not delivered again, and an
 * acknowledgement given meanwhile is sent then. `here`: it has come on this connection, so the broker waits for an
 * answer on this connection. */
#include "client/engine_priv.h"

#include <stdlib.h>

struct incoming {
    struct list link;
    uint64_t handle;
    uint16_t packet_id;
    uint8_t qos;
    uint8_t reason;
    bool acked;
    bool here;
};

static struct incoming *incoming_of(struct list *link)
{
    return CONTAINER_OF(link, struct incoming, link);
}

static void put_ack(struct engine *e, enum mqtt_packet_type type, uint16_t packet_id, uint8_t reason)
{
    mqtt_write_ack(&e->out, e->settings.version,
                   &(struct mqtt_ack){ .type = type, .packet_id = packet_id, .reason = reason });
}

static void finished_one(struct engine *e)
{
    e->unfinished -= e->unfinished > 0 ? 1 : 0;
}

/* ---- manual acknowledgements ---- */

static void forget(struct engine *e, struct incoming *i)
{
    packet_ids_remove(&e->unacked, i->packet_id);
    list_remove(&i->link);
    free(i);
}

static struct incoming *find_unacked(struct engine *e, uint16_t packet_id)
{
    if (!packet_ids_has(&e->unacked, packet_id))
        return NULL;
    for (size_t q = 0; q < COUNT_OF(e->incoming); q++)
        LIST_EACH (link, &e->incoming[q])
            if (incoming_of(link)->packet_id == packet_id)
                return incoming_of(link);
    return NULL;
}

static void answer(struct engine *e, struct incoming *i)
{
    bool refused = i->reason >= MQTT_UNSPECIFIED_ERROR;

    if (i->qos == 2 && !refused && !engine_own_received(e, i->packet_id))
        return; /* ended */
    if (i->qos == 1 || refused)
        finished_one(e);
    put_ack(e, i->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, i->packet_id, i->reason);
    forget(e, i);
}

/* PUBACKs leave in the order in which the messages came [MQTT-4.6.0-2], and so do PUBRECs [MQTT-4.6.0-3]: one that is
 * acknowledged early waits for those in front of it. */
static void send_acks(struct engine *e)
{
    for (size_t q = 0; q < COUNT_OF(e->incoming); q++) {
        LIST_EACH_SAFE (link, &e->incoming[q]) {
            struct incoming *i = incoming_of(link);
            if (e->state != ENGINE_OPEN)
                return;
            if (!i->here)
                continue; /* of an earlier connection; it comes again, behind these */
            if (!i->acked)
                break;
            answer(e, i);
        }
    }
}

enum symbolon_status engine_ack(struct engine *e, uint64_t handle, uint8_t reason, struct now now,
                                struct symbolon_error *error)
{
    e->now = now;
    for (size_t q = 0; q < COUNT_OF(e->incoming); q++) {
        LIST_EACH (link, &e->incoming[q]) {
            struct incoming *i = incoming_of(link);
            if (i->handle != handle)
                continue;
            if (i->acked)
                return error_set(error, SYMBOLON_INVALID, "", "the message was acknowledged already");
            i->acked = true;
            i->reason = e->settings.version == MQTT_3_1_1 ? MQTT_SUCCESS : reason;
            send_acks(e);
            engine_send(e);
            return SYMBOLON_OK;
        }
    }
    return error_set(error, SYMBOLON_NOT_FOUND, "MQTT5 4.1",
                     "no such message: the session it came in is gone, or it needs no acknowledgement");
}

/* It came on an earlier connection, and comes again in the continued session. */
static void came_again(struct engine *e, struct incoming *i)
{
    i->here = true;
    list_remove(&i->link);
    list_append(&e->incoming[i->qos - 1], &i->link); /* the order that counts is this connection's */
    send_acks(e);
}

static void deliver(struct engine *e, const struct mqtt_publish *publish, uint64_t handle)
{
    e->message_handle = handle;
    e->events->message(e->ctx, publish);
    e->message_handle = 0;
}

static void deliver_unacked(struct engine *e, const struct mqtt_publish *publish)
{
    struct incoming *i = calloc(1, sizeof *i);

    if (i == NULL || !packet_ids_add(&e->unacked, publish->packet_id)) {
        free(i);
        engine_out_of_memory(e);
        return;
    }
    *i = (struct incoming){
        .handle = ++e->last_handle, .packet_id = publish->packet_id, .qos = publish->qos, .here = true
    };
    list_append(&e->incoming[i->qos - 1], &i->link);
    deliver(e, publish, i->handle);
}

/* ---- QoS 1 and 2 ---- */

/* Lenient where the standard is not of one mind: a broker that counts as MQTT5 4.9 describes takes PUBCOMPs of the former
 * connection's messages for room on this one. A relay bears more, because it must get on with brokers as they are (mosquitto
 * 2.0 forgets to count what it had queued for a session that continues). */
static bool fits_receive_maximum(struct engine *e)
{
    struct symbolon_error error;

    if (e->settings.version == MQTT_3_1_1 || e->settings.relay ||
        e->unfinished < e->settings.receive_maximum + e->unreleased) {
        e->unfinished++;
        return true;
    }
    error_set(&error, SYMBOLON_PROTOCOL, "MQTT5 [MQTT-3.3.4-9]",
              "the broker sent more unfinished messages than our Receive Maximum");
    engine_fail(e, MQTT_RECEIVE_MAXIMUM_EXCEEDED, &error);
    return false; /* the connection has ended */
}

bool engine_own_received(struct engine *e, uint16_t packet_id)
{
    if (!packet_ids_add(&e->received, packet_id)) {
        engine_out_of_memory(e);
        return false;
    }
    engine_note(e, STORE_RECEIVED, 0, packet_id);
    return true;
}

/* A message that waits for the application has its packet identifier. True if that settles this one. */
static bool known_already(struct engine *e, const struct mqtt_publish *publish)
{
    struct incoming *i = find_unacked(e, publish->packet_id);

    if (i == NULL)
        return false;
    if (i->here && (i->qos != publish->qos || !publish->dup)) {
        engine_fail_why(e, ST_PROTOCOL,
                        &(struct why){ .clause = "MQTT5 [MQTT-2.2.1-4]",
                                       .text = "a packet identifier in use for another message" });
        return true;
    }
    if (i->here)
        return true; /* it will be acknowledged in its turn */
    if (i->qos == publish->qos && (i->qos == 2 || publish->dup)) {
        came_again(e, i);
        return true;
    }
    forget(e, i); /* the broker has dropped that one, and uses its identifier anew */
    return false;
}

static void got_acknowledged(struct engine *e, const struct mqtt_publish *publish)
{
    uint16_t id = publish->packet_id;

    if (publish->qos == 2 && packet_ids_has(&e->received, id)) { /* again: we have it (MQTT5 [MQTT-4.3.3-10]) */
        put_ack(e, MQTT_PUBREC, id, MQTT_SUCCESS);
        return;
    }
    if (!fits_receive_maximum(e) || known_already(e, publish))
        return;
    if (e->settings.manual_ack) {
        deliver_unacked(e, publish);
        return;
    }
    if (publish->qos == 2 && !engine_own_received(e, id))
        return;
    /* Gathered first, so that it precedes a DISCONNECT made by the callback; it leaves with the next sending. */
    if (publish->qos == 1)
        finished_one(e);
    put_ack(e, publish->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, id, MQTT_SUCCESS);
    deliver(e, publish, 0);
}

void publish_released(struct engine *e, const struct mqtt_ack *pubrel)
{
    bool known = packet_ids_remove(&e->received, pubrel->packet_id);

    finished_one(e);
    if (known)
        engine_note(e, STORE_RECEIVED_GONE, 0, pubrel->packet_id);
    put_ack(e, MQTT_PUBCOMP, pubrel->packet_id, known ? MQTT_SUCCESS : MQTT_PACKET_ID_NOT_FOUND);
}

void publish_received(struct engine *e, const struct mqtt_frame *frame)
{
    struct mqtt_publish publish;
    struct why why = { 0 };
    enum status st = mqtt_read_publish(frame, e->settings.version, &publish, &why);

    if (st == ST_OK)
        st = alias_resolve(e, &publish, &why);
    if (st != ST_OK) {
        engine_fail_why(e, st, &why);
        return;
    }
    if (publish.qos == 0)
        deliver(e, &publish, 0);
    else
        got_acknowledged(e, &publish);
}

/* ---- connections come and go ---- */

void receive_begin(struct engine *e)
{
    e->unfinished = 0;
    e->unreleased = e->received.count;
    for (size_t q = 0; q < COUNT_OF(e->incoming); q++)
        LIST_EACH (link, &e->incoming[q])
            incoming_of(link)->here = false;
}

enum status engine_restore_received(struct engine *e, uint16_t packet_id)
{
    return packet_ids_add(&e->received, packet_id) ? ST_OK : ST_NO_MEMORY;
}

void receive_forget(struct engine *e)
{
    for (size_t q = 0; q < COUNT_OF(e->incoming); q++)
        for (struct list *link = list_shift(&e->incoming[q]); link != NULL; link = list_shift(&e->incoming[q]))
            free(incoming_of(link));
    packet_ids_clear(&e->unacked);
    packet_ids_clear(&e->received);
}
