/* mqtt/any_packet_priv.h - for tests and fuzz targets: read whatever packet comes first. */
#ifndef SYMBOLON_MQTT_ANY_PACKET_PRIV_H
#define SYMBOLON_MQTT_ANY_PACKET_PRIV_H

#include "mqtt/packet.h"

struct any_packet {
    enum mqtt_version version; /* what the connection speaks; of a CONNECT it is the packet's own */
    struct mqtt_frame frame;
    union {
        struct mqtt_connect connect;
        struct mqtt_connack connack;
        struct mqtt_publish publish;
        struct mqtt_ack ack;
        struct mqtt_subscribe subscribe;
        struct mqtt_suback suback;
        struct mqtt_unsubscribe unsubscribe;
        struct mqtt_disconnect disconnect;
        struct mqtt_auth auth;
    } u;
};

static inline enum status any_packet_body(struct any_packet *p, struct why *why)
{
    const struct mqtt_frame *f = &p->frame;

    switch (f->type) {
    case MQTT_CONNECT:
        return mqtt_read_connect(f, &p->u.connect, why);
    case MQTT_CONNACK:
        return mqtt_read_connack(f, p->version, &p->u.connack, why);
    case MQTT_PUBLISH:
        return mqtt_read_publish(f, p->version, &p->u.publish, why);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        return mqtt_read_ack(f, p->version, &p->u.ack, why);
    case MQTT_SUBSCRIBE:
        return mqtt_read_subscribe(f, p->version, &p->u.subscribe, why);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return mqtt_read_suback(f, p->version, &p->u.suback, why);
    case MQTT_UNSUBSCRIBE:
        return mqtt_read_unsubscribe(f, p->version, &p->u.unsubscribe, why);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return mqtt_read_ping(f, why);
    case MQTT_DISCONNECT:
        return mqtt_read_disconnect(f, p->version, &p->u.disconnect, why);
    case MQTT_AUTH:
        if (p->version != MQTT_5) /* conn.c does the same: the type is reserved there */
            return reject(why, ST_PROTOCOL, "MQTT311 2.2.1", "packet type 15 is reserved", 0);
        return mqtt_read_auth(f, &p->u.auth, why);
    default:
        ASSERT(false);
        return ST_INTERNAL;
    }
}

/* ST_PENDING: more bytes are needed. */
static inline enum status any_packet_read_as(enum mqtt_version version, struct span in, enum mqtt_side from,
                                             uint32_t max, struct any_packet *out, struct why *why)
{
    enum status st = ST_OK;

    out->version = version;
    switch (mqtt_frame_next(in, from, max, &out->frame, &st, why)) {
    case MQTT_FRAME_NEED_MORE:
        return ST_PENDING;
    case MQTT_FRAME_BAD:
        return st;
    case MQTT_FRAME_READY:
        break;
    }
    return any_packet_body(out, why);
}

static inline enum status any_packet_read(struct span in, enum mqtt_side from, uint32_t max,
                                          struct any_packet *out, struct why *why)
{
    return any_packet_read_as(MQTT_5, in, from, max, out, why);
}

/* Writes the packet again from what was read. */
static inline void any_packet_write(struct buf *out, const struct any_packet *p)
{
    switch (p->frame.type) {
    case MQTT_CONNECT:
        mqtt_write_connect(out, &p->u.connect);
        break;
    case MQTT_CONNACK:
        mqtt_write_connack(out, p->version, &p->u.connack);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        mqtt_write_ack(out, p->version, &p->u.ack);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        mqtt_write_suback(out, p->version, &p->u.suback);
        break;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        mqtt_write_ping(out, p->frame.type);
        break;
    case MQTT_DISCONNECT:
        mqtt_write_disconnect(out, p->version, &p->u.disconnect);
        break;
    case MQTT_AUTH:
        mqtt_write_auth(out, &p->u.auth);
        break;
    default:
        break; /* PUBLISH, SUBSCRIBE, UNSUBSCRIBE are written from other structures: see the tests */
    }
}

#endif
