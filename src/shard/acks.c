/* PUBACK, PUBREC, PUBREL, PUBCOMP from a client (MQTT5 3.4 to 3.7, 4.3): see the drawing in outbox.h. */
#include "shard/send.h"
#include "shard/shard_priv.h"

static bool read_ack(struct conn *c, const struct mqtt_frame *frame, struct mqtt_ack *out)
{
    struct why why = { 0 };
    enum status st = mqtt_read_ack(frame, c->version, out, &why);

    if (st != ST_OK)
        conn_fail(c, st, &why);
    return st == ST_OK;
}

static void wrong_kind(struct conn *c)
{
    struct why why;

    conn_fail(c, reject(&why, ST_PROTOCOL, "MQTT5 4.3", "an acknowledgement that does not fit the QoS", 0),
              &why);
}

/* Finished: room in the window for the next. */
static void finish(struct conn *c, struct delivery *d)
{
    outbox_drop(&c->session->outbox, d);
    session_pump(c->session);
}

/* The acknowledgement that ends a delivery, if it is the one this delivery waits for. */
static void on_last_ack(struct conn *c, const struct mqtt_frame *frame, enum delivery_state awaited)
{
    struct mqtt_ack ack;
    struct delivery *d;

    if (!read_ack(c, frame, &ack))
        return;
    d = outbox_find(&c->session->outbox, ack.packet_id);
    if (d == NULL)
        return; /* of a message this session no longer has; nothing to answer */
    if (d->state != awaited)
        wrong_kind(c);
    else
        finish(c, d);
}

void on_puback(struct conn *c, const struct mqtt_frame *frame)
{
    on_last_ack(c, frame, DELIVERY_AWAIT_PUBACK);
}

void on_pubrec(struct conn *c, const struct mqtt_frame *frame)
{
    struct mqtt_ack ack;
    struct delivery *d;

    if (!read_ack(c, frame, &ack))
        return;
    d = outbox_find(&c->session->outbox, ack.packet_id);
    if (d == NULL) {
        if (ack.reason < 0x80)
            send_ack(c, MQTT_PUBREL, ack.packet_id, MQTT_PACKET_ID_NOT_FOUND, NULL);
    } else if (d->state == DELIVERY_AWAIT_PUBACK) {
        wrong_kind(c);
    } else if (ack.reason >= 0x80) { /* the receiver will not have it: MQTT5 [MQTT-4.3.3-4] */
        finish(c, d);
    } else {
        if (d->state == DELIVERY_AWAIT_PUBREC)
            outbox_release_message(&c->session->outbox, d);
        send_ack_when(c, MQTT_PUBREL, ack.packet_id, MQTT_SUCCESS, NULL,
                      outbox_barrier(&c->session->outbox, d));
    }
}

void on_pubcomp(struct conn *c, const struct mqtt_frame *frame)
{
    on_last_ack(c, frame, DELIVERY_AWAIT_PUBCOMP);
}

void on_pubrel(struct conn *c, const struct mqtt_frame *frame)
{
    struct mqtt_ack ack;
    bool known;

    if (!read_ack(c, frame, &ack))
        return;
    known = id_set_remove(&c->session->received, ack.packet_id);
    if (known)
        session_change(c->session, SESSION_RECEIVED);
    /* Once it is said the client may use the identifier for another message: not to be taken for the old one. */
    send_ack_when(c, MQTT_PUBCOMP, ack.packet_id, known ? MQTT_SUCCESS : MQTT_PACKET_ID_NOT_FOUND, NULL,
                  session_barrier(c->session));
}
