/* What we publish: the queue, the broker's limits, the handshakes of QoS 1 and 2, and sending again in a continued session
 * (MQTT5 4.3, 4.4, 4.6, 4.9).
 *
 *   queued --first time--> in_flight --PUBACK--> done           lost connection: in_flight --> again, same identifiers
 *                              |     `--PUBREC--> released --PUBCOMP--> done
 *   again --DUP 1--------------'                                lost session: in_flight, again --> queued
 *
 * Every list keeps the order of publishing, `released` that of the PUBRECs [MQTT-4.6.0-4]. */
#include "client/engine_priv.h"
#include "client/outgoing.h"

#include <stdlib.h>

#define OUT_CHUNK 65536 /* gathered before it is handed to the transport, so that congestion is seen */

static struct outgoing *outgoing_of(struct list *link)
{
    return CONTAINER_OF(link, struct outgoing, link);
}

static void note(struct engine *e, const struct outgoing *o, enum store_change what)
{
    if (o->stored)
        engine_note(e, what, o->id, o->packet_id);
}

static void report(struct engine *e, struct outgoing *o, const struct symbolon_error *result)
{
    uint64_t id = o->id;

    note(e, o, STORE_GONE);
    free(o);
    e->events->published(e->ctx, id, result);
}

/* Takes it out of the lists of unfinished ones, frees its packet identifier, and tells the application. */
static void finish(struct engine *e, struct outgoing *o, const struct symbolon_error *result)
{
    list_remove(&o->link);
    e->in_flight_count--;
    engine_give_packet_id(e, o->packet_id);
    report(e, o, result);
}

/* ---- the broker's Receive Maximum (MQTT5 4.9) ---- */

/* Only for a PUBLISH of this connection: a PUBREL sent again took nothing of the quota [MQTT-3.3.4-7], [MQTT-4.9.0-2]. */
static void quota_back(struct engine *e, const struct outgoing *o)
{
    if (o->here && e->send_quota < e->send_quota_max)
        e->send_quota++;
}

static void quota_take(struct engine *e, struct outgoing *o)
{
    o->here = true;
    e->send_quota--;
}

/* ---- sending ---- */

/* What the broker said in CONNACK that it does not take. */
static enum symbolon_status broker_takes(const struct engine *e, const struct outgoing *o, uint32_t life_s,
                                         struct symbolon_error *error)
{
    struct mqtt_publish_out p = outgoing_packet(o, life_s);
    size_t size = mqtt_publish_size(&p, e->settings.version);

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

    alias_shorten(e, &p);
    mqtt_write_publish(&e->out, e->settings.version, &p);
}

static void send_first_time(struct engine *e, struct outgoing *o, uint32_t life_s)
{
    struct symbolon_error ok;

    if (o->qos > 0) {
        o->state = OUT_SENT;
        list_append(&e->in_flight, &o->link);
        e->in_flight_count++;
        quota_take(e, o);
        note(e, o, STORE_SENT);
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

static bool may_send(struct engine *e, uint8_t qos)
{
    if (e->state != ENGINE_OPEN || (qos > 0 && e->send_quota == 0))
        return false;
    if (e->out.len >= OUT_CHUNK)
        engine_send(e);
    return e->state == ENGINE_OPEN && !e->events->congested(e->ctx);
}

/* A continued session goes on where it was, within the new connection's limits [MQTT-4.4.0-1], [MQTT-4.6.0-1]. */
static void send_again(struct engine *e)
{
    struct symbolon_error error;
    uint32_t life_s;

    while (!list_empty(&e->again)) {
        struct outgoing *o = outgoing_of(e->again.next);
        if (!may_send(e, o->qos))
            return;
        if (!outgoing_life(o, e->now.mono, &life_s))
            life_s = 1; /* its identifier is in use: it must be finished, so let the broker drop it */
        list_remove(&o->link);
        if (broker_takes(e, o, life_s, &error) !=
            SYMBOLON_OK) {        /* it did before. The identifier stays taken: the */
            e->in_flight_count--; /* broker may know it from the first sending */
            report(e, o, &error);
            continue;
        }
        o->dup = true;
        list_append(&e->in_flight, &o->link);
        quota_take(e, o);
        put_publish(e, o, life_s);
    }
}

static void send_queued(struct engine *e)
{
    struct symbolon_error error;
    uint32_t life_s;

    while (list_empty(&e->again) && !list_empty(&e->queued)) {
        struct outgoing *o = outgoing_of(e->queued.next);
        if (e->settings.relay)
            lower(e, o);
        /* QoS 0 waits behind QoS 1 and 2 too, so that the order of publishing is the order of sending. */
        if (!may_send(e, o->qos))
            return;
        if (o->qos > 0 && (o->packet_id = engine_take_packet_id(e)) == 0) {
            engine_out_of_memory(e); /* QUOTA_MAX keeps some free */
            return;
        }
        list_remove(&o->link);
        e->queued_count--;
        if (!outgoing_life(o, e->now.mono, &life_s))
            error_set(&error, SYMBOLON_TIMEOUT, "MQTT5 3.3.2.3.3",
                      "the message expired before it could be sent");
        else if (broker_takes(e, o, life_s, &error) == SYMBOLON_OK) {
            send_first_time(e, o, life_s);
            continue;
        }
        if (o->qos > 0)
            engine_give_packet_id(e, o->packet_id);
        report(e, o, &error);
    }
}

void publish_pump(struct engine *e)
{
    send_again(e);
    send_queued(e);
    if (e->flush_wanted && e->state == ENGINE_OPEN && list_empty(&e->again) && list_empty(&e->queued))
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

/* On disk before anybody is told that it is accepted. */
static enum symbolon_status keep(struct engine *e, struct outgoing *o, struct symbolon_error *error)
{
    if (e->settings.store == NULL || o->qos == 0)
        return SYMBOLON_OK;
    enum status st = e->settings.store->put(e->settings.store_ctx, o, e->now);
    if (st == ST_QUOTA)
        return error_set(error, SYMBOLON_QUEUE_FULL, "store_max_bytes",
                         "the message store has no room for it until others are acknowledged");
    if (st != ST_OK)
        e->store_broken = true;
    o->stored = true;
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
    o->id = e->last_id + 1;
    st = keep(e, o, error);
    if (st != SYMBOLON_OK) {
        free(o);
        return st;
    }
    e->last_id++;
    if (ret_id != NULL)
        *ret_id = o->id;
    list_append(&e->queued, &o->link);
    e->queued_count++;
    publish_pump(e);
    engine_send(e);
    return e->store_broken ? engine_store_error(error) : SYMBOLON_OK;
}

/* ---- after a reconnect (MQTT5 4.4) ---- */

static void move_all(struct list *from, struct list *to)
{
    for (struct list *link = list_shift(from); link != NULL; link = list_shift(from))
        list_append(to, link);
}

static void go_on(struct engine *e)
{
    struct list sent;

    list_init(&sent);
    move_all(&e->in_flight, &sent);
    move_all(&e->again, &sent); /* what was not even sent again the last time */
    move_all(&sent, &e->again);
    LIST_EACH (link, &e->again)
        outgoing_of(link)->here = false;
    LIST_EACH (link, &e->released) {
        outgoing_of(link)->here = false;
        mqtt_write_ack(&e->out, e->settings.version,
                       &(struct mqtt_ack){ .type = MQTT_PUBREL, .packet_id = outgoing_of(link)->packet_id });
    }
}

static bool sends_anew(const struct engine *e, const struct outgoing *o)
{
    return o->qos == 1 || e->settings.relay || e->settings.resend_qos2;
}

/* The broker knows nothing of the former session [MQTT-3.2.2-5]. QoS 1 may arrive twice, so it goes again, in front of the
 * queue. A released QoS 2 message is with the broker; one that is not may have been forwarded already, so it is
 * reported, unless the application would rather have it twice. */
static void start_over(struct engine *e)
{
    struct list sent, queued, ended;
    struct symbolon_error ok, unknown;

    list_init(&sent);
    list_init(&queued);
    list_init(&ended);
    error_none(&ok);
    error_set(
        &unknown, SYMBOLON_CLOSED, "MQTT5 4.4",
        "the broker lost the session before it confirmed this QoS 2 message: it may or may not have taken it");
    move_all(&e->in_flight, &sent);
    move_all(&e->again, &sent);
    for (struct list *link = list_shift(&sent); link != NULL; link = list_shift(&sent)) {
        struct outgoing *o = outgoing_of(link);
        if (!sends_anew(e, o)) {
            list_append(&ended, link);
            continue;
        }
        o->state = OUT_QUEUED;
        o->dup = o->here = false;
        o->packet_id = 0;
        note(e, o, STORE_QUEUED);
        list_append(&queued, link);
        e->queued_count++;
    }
    move_all(&e->queued, &queued); /* behind those */
    move_all(&queued, &e->queued);
    move_all(&e->released, &ended);
    e->in_flight_count = 0;
    packet_ids_clear(&e->used); /* requests have ended with the connection before */
    receive_forget(e);
    engine_note(e, STORE_SESSION_NEW, 0, 0);
    for (struct list *link = list_shift(&ended); link != NULL; link = list_shift(&ended)) {
        struct outgoing *o = outgoing_of(link);
        report(e, o, o->state == OUT_RELEASED ? &ok : &unknown);
    }
}

void publish_resume(struct engine *e, bool session_present)
{
    e->send_quota = e->send_quota_max;
    if (session_present)
        go_on(e);
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
    free_all(&e->again);
    free_all(&e->in_flight);
    free_all(&e->released);
}

/* ---- from the store, before the first connection ---- */

enum status engine_restore_message(struct engine *e, struct outgoing *o)
{
    ASSERT(e->state == ENGINE_IDLE);
    if (o->state != OUT_QUEUED && (o->packet_id == 0 || !packet_ids_add(&e->used, o->packet_id))) {
        free(o);
        return ST_NO_MEMORY;
    }
    o->stored = true;
    if (o->id > e->last_id)
        e->last_id = o->id;
    list_append(o->state == OUT_QUEUED ? &e->queued
                : o->state == OUT_SENT ? &e->again
                                       : &e->released,
                &o->link);
    if (o->state == OUT_QUEUED)
        e->queued_count++;
    else
        e->in_flight_count++;
    return ST_OK;
}

/* ---- acknowledgements of ours ---- */

static struct outgoing *find_unfinished(struct engine *e, uint16_t packet_id)
{
    struct list *lists[] = { &e->in_flight, &e->released, &e->again };

    for (size_t i = 0; i < COUNT_OF(lists); i++)
        LIST_EACH (link, lists[i])
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
    struct outgoing *o = find_unfinished(e, ack->packet_id);
    struct symbolon_error result;

    if (o == NULL)
        return; /* of a message whose session was lost: nothing depends on it any more */
    if (o->qos != 1) {
        wrong_ack(e);
        return;
    }
    quota_back(e, o);
    error_from_reason(&result, "PUBACK", ack->reason, ack->properties.reason_string);
    finish(e, o, &result);
}

static void got_pubrec(struct engine *e, const struct mqtt_ack *ack)
{
    struct outgoing *o = find_unfinished(e, ack->packet_id);
    struct symbolon_error result;

    if (o != NULL && o->qos != 2) {
        wrong_ack(e);
        return;
    }
    if (ack->reason >= MQTT_UNSPECIFIED_ERROR) { /* the handshake ends here (MQTT5 4.3.3) */
        error_from_reason(&result, "PUBREC", ack->reason, ack->properties.reason_string);
        if (o != NULL) {
            quota_back(e, o);
            finish(e, o, &result);
        }
        return;
    }
    if (o != NULL && o->state != OUT_RELEASED) {
        o->state = OUT_RELEASED;
        list_remove(&o->link);
        list_append(&e->released, &o->link);
        note(e, o, STORE_RELEASED);
    }
    mqtt_write_ack(&e->out, e->settings.version,
                   &(struct mqtt_ack){ .type = MQTT_PUBREL,
                                       .packet_id = ack->packet_id,
                                       .reason = o != NULL ? MQTT_SUCCESS : MQTT_PACKET_ID_NOT_FOUND });
}

static void got_pubcomp(struct engine *e, const struct mqtt_ack *ack)
{
    struct outgoing *o = find_unfinished(e, ack->packet_id);
    struct symbolon_error result;
    uint8_t reason = ack->reason;

    if (o == NULL)
        return;
    if (o->qos != 2 || o->state != OUT_RELEASED) {
        wrong_ack(e);
        return;
    }
    quota_back(e, o);
    if (reason == MQTT_PACKET_ID_NOT_FOUND && !o->here)
        reason = MQTT_SUCCESS; /* the PUBREL was sent again, the first PUBCOMP lost: no error (MQTT5 3.7.2.1) */
    error_from_reason(&result, "PUBCOMP", reason, ack->properties.reason_string);
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
