/* DISCONNECT and AUTH: MQTT5 3.14 and 3.15, MQTT311 3.14. */
#include "mqtt/packet_priv.h"

enum status mqtt_read_disconnect(const struct mqtt_frame *frame, enum mqtt_version version,
                                 struct mqtt_disconnect *out, struct why *why)
{
    struct reader r = packet_reader(frame, version);

    *out = (struct mqtt_disconnect){ 0 };
    enum status st = packet_check_version(version, why);
    if (st != ST_OK)
        return st;
    if (version == MQTT_3_1_1 && frame->from == MQTT_FROM_SERVER)
        return reject(why, ST_PROTOCOL, "MQTT311 2.2.1", "only clients send DISCONNECT in 3.1.1", 0);
    if (version == MQTT_3_1_1) /* nothing but the fixed header */
        return reader_finish(&r, why);
    if (reader_left(&r) > 0) { /* 3.14.2.1: nothing means Normal disconnection */
        size_t at = reader_at(&r);
        out->reason = read_u8(&r);
        if (!mqtt_reason_allowed(MQTT_DISCONNECT, frame->from, out->reason))
            return reject(why, ST_MALFORMED, "MQTT5 [MQTT-3.14.2-1]",
                          "not a reason code for DISCONNECT from this side", at);
    }
    if (reader_left(&r) > 0) { /* 3.14.2.2.1: so may the Property Length be left out */
        st = mqtt_read_properties(&r, MQTT_DISCONNECT, frame->from, &out->properties, why);
        if (st != ST_OK)
            return st;
    }
    return reader_finish(&r, why);
}

void mqtt_write_disconnect(struct buf *out, enum mqtt_version version, const struct mqtt_disconnect *disconnect)
{
    size_t start = packet_begin(out, MQTT_DISCONNECT, 0);

    if (version >= MQTT_5 && (disconnect->reason != MQTT_SUCCESS || disconnect->properties.has != 0))
        put_u8(out, disconnect->reason);
    if (version >= MQTT_5 && disconnect->properties.has != 0)
        mqtt_put_properties(out, MQTT_DISCONNECT, &disconnect->properties);
    packet_end(out, start);
}

enum status mqtt_read_auth(const struct mqtt_frame *frame, struct mqtt_auth *out, struct why *why)
{
    struct reader r = packet_reader(frame, MQTT_5);
    size_t at = reader_at(&r);

    *out = (struct mqtt_auth){ 0 };
    if (reader_left(&r) > 0)
        out->reason = read_u8(&r);
    if (!mqtt_reason_allowed(MQTT_AUTH, frame->from, out->reason))
        return reject(why, ST_MALFORMED, "MQTT5 [MQTT-3.15.2-1]", "not a reason code for AUTH from this side",
                      at);
    if (frame->body.len == 0) /* 3.15.2.1: the short form of Success */
        return ST_OK;
    enum status st = mqtt_read_properties(&r, MQTT_AUTH, frame->from, &out->properties, why);
    if (st != ST_OK)
        return st;
    if (!mqtt_has(&out->properties, PROP_AUTH_METHOD))
        return reject(why, ST_PROTOCOL, "MQTT5 3.15.2.2.2", "AUTH without Authentication Method", at);
    return reader_finish(&r, why);
}

void mqtt_write_auth(struct buf *out, const struct mqtt_auth *auth)
{
    size_t start = packet_begin(out, MQTT_AUTH, 0);

    if (auth->reason != MQTT_SUCCESS || auth->properties.has != 0) {
        put_u8(out, auth->reason);
        mqtt_put_properties(out, MQTT_AUTH, &auth->properties);
    }
    packet_end(out, start);
}
