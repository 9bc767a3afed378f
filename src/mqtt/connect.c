/* CONNECT and CONNACK: MQTT5 3.1 and 3.2, the same in 3.1.1. */
#include "mqtt/packet_priv.h"

#include "base/utf8.h"

enum connect_flag {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN_START = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USER_NAME = 0x80,
};
#define WILL_QOS_SHIFT  3

#define SESSION_PRESENT 0x01

static enum status read_protocol(struct reader *r, struct mqtt_connect *out, struct why *why)
{
    size_t at = reader_at(r);
    struct span name = read_prefixed16(r);
    uint8_t level = read_u8(r);

    if (!reader_ok(r))
        return reader_finish(r, why);
    out->version = (enum mqtt_version)level;
    if (!span_eq_str(name, "MQTT") && !(span_eq_str(name, "MQIsdp") && level == MQTT_3_1))
        return reject(why, ST_BAD_VERSION, "MQTT5 [MQTT-3.1.2-1]", "the protocol name is not MQTT", at);
    if (level != MQTT_5 && level != MQTT_3_1_1)
        return reject(why, ST_BAD_VERSION, "MQTT5 [MQTT-3.1.2-2]", "protocol version not spoken here",
                      reader_at(r) - 1);
    return ST_OK;
}

/* MQTT5 3.1.2.3 to 3.1.2.9; MQTT311 numbers them its own way. */
static enum status read_flags(struct reader *r, struct mqtt_connect *out, struct why *why)
{
    size_t at = reader_at(r);
    uint8_t flags = read_u8(r);
    enum mqtt_version v = out->version;

    out->clean_start = (flags & FLAG_CLEAN_START) != 0;
    out->has_will = (flags & FLAG_WILL) != 0;
    out->has_user_name = (flags & FLAG_USER_NAME) != 0;
    out->has_password = (flags & FLAG_PASSWORD) != 0;
    out->will.qos = (uint8_t)((flags & FLAG_WILL_QOS) >> WILL_QOS_SHIFT);
    out->will.retain = (flags & FLAG_WILL_RETAIN) != 0;
    if ((flags & FLAG_RESERVED) != 0)
        return reject(why, ST_MALFORMED, packet_clause(v, "MQTT5 [MQTT-3.1.2-3]", "MQTT311 [MQTT-3.1.2-3]"),
                      "the reserved Connect Flag is set", at);
    if (!out->has_will && out->will.qos != 0)
        return reject(why, ST_MALFORMED, packet_clause(v, "MQTT5 [MQTT-3.1.2-11]", "MQTT311 [MQTT-3.1.2-13]"),
                      "Will QoS without Will Flag", at);
    if (!out->has_will && out->will.retain)
        return reject(why, ST_MALFORMED, packet_clause(v, "MQTT5 [MQTT-3.1.2-13]", "MQTT311 [MQTT-3.1.2-15]"),
                      "Will Retain without Will Flag", at);
    if (out->will.qos == 3)
        return reject(why, ST_MALFORMED, packet_clause(v, "MQTT5 [MQTT-3.1.2-12]", "MQTT311 [MQTT-3.1.2-14]"),
                      "Will QoS 3", at);
    if (v == MQTT_3_1_1 && out->has_password && !out->has_user_name)
        return reject(why, ST_MALFORMED, "MQTT311 [MQTT-3.1.2-22]", "a password without a user name", at);
    return ST_OK;
}

static enum status read_will(struct reader *r, enum mqtt_version version, struct mqtt_will *will,
                             struct why *why)
{
    enum status st = ST_OK;

    if (version == MQTT_5)
        st = mqtt_read_properties(r, IN_WILL, MQTT_FROM_CLIENT, &will->properties, why);
    if (st != ST_OK)
        return st;
    st = packet_read_topic_name(r, &will->topic, why);
    if (st != ST_OK)
        return st;
    will->payload = read_prefixed16(r);
    return ST_OK;
}

/* A length-prefixed UTF-8 string of the payload. */
static enum status read_text(struct reader *r, enum mqtt_version version, struct span *ret, struct why *why)
{
    size_t at = reader_at(r);
    enum status st;

    *ret = read_prefixed16(r);
    st = mqtt_check_text(*ret, at, why);
    if (st != ST_OK && version == MQTT_3_1_1)
        return reject(why, st, utf8_valid(*ret) ? "MQTT311 [MQTT-1.5.3-2]" : "MQTT311 [MQTT-1.5.3-1]",
                      "not a text that MQTT allows", at);
    return st;
}

/* MQTT5 3.1.3; the order is [MQTT-3.1.3-1]. */
static enum status read_payload(struct reader *r, struct mqtt_connect *out, struct why *why)
{
    enum mqtt_version v = out->version;
    size_t at = reader_at(r);
    enum status st = read_text(r, v, &out->client_id, why);
    if (st == ST_OK && out->has_will)
        st = read_will(r, v, &out->will, why);
    if (st == ST_OK && out->has_user_name)
        st = read_text(r, v, &out->user_name, why);
    if (st != ST_OK)
        return st;
    if (out->has_password)
        out->password = read_prefixed16(r);
    st = reader_finish(r, why);
    if (st == ST_OK && v == MQTT_3_1_1 && out->client_id.len == 0 && !out->clean_start)
        return reject(why, ST_BAD_CLIENT_ID, "MQTT311 [MQTT-3.1.3-8]",
                      "no client identifier, yet a session to be kept", at);
    return st;
}

enum status mqtt_read_connect(const struct mqtt_frame *frame, struct mqtt_connect *out, struct why *why)
{
    struct reader r = packet_reader(frame, MQTT_5);

    *out = (struct mqtt_connect){ 0 };
    enum status st = read_protocol(&r, out, why);
    if (st != ST_OK)
        return st;
    r.short_clause = packet_section(MQTT_CONNECT, out->version);
    st = read_flags(&r, out, why);
    if (st != ST_OK)
        return st;
    out->keep_alive_s = read_u16(&r);
    st = packet_read_properties(&r, frame, out->version, &out->properties, why);
    if (st != ST_OK)
        return st;
    return read_payload(&r, out, why);
}

static uint8_t connect_flags(const struct mqtt_connect *c)
{
    unsigned flags = 0;

    if (c->clean_start)
        flags |= FLAG_CLEAN_START;
    if (c->has_will)
        flags |= FLAG_WILL | (unsigned)c->will.qos << WILL_QOS_SHIFT | (c->will.retain ? FLAG_WILL_RETAIN : 0);
    if (c->has_user_name)
        flags |= FLAG_USER_NAME;
    if (c->has_password)
        flags |= FLAG_PASSWORD;
    return (uint8_t)flags;
}

void mqtt_write_connect(struct buf *out, const struct mqtt_connect *connect)
{
    size_t start = packet_begin(out, MQTT_CONNECT, 0);
    bool v5 = connect->version != MQTT_3_1_1;

    put_prefixed16(out, SPAN("MQTT"));
    put_u8(out, v5 ? MQTT_5 : (uint8_t)(MQTT_3_1_1 | (connect->bridge ? 0x80 : 0)));
    put_u8(out, connect_flags(connect));
    put_u16(out, connect->keep_alive_s);
    if (v5)
        mqtt_put_properties(out, MQTT_CONNECT, &connect->properties);
    put_prefixed16(out, connect->client_id);
    if (connect->has_will) {
        if (v5)
            mqtt_put_properties(out, IN_WILL, &connect->will.properties);
        put_prefixed16(out, connect->will.topic.s);
        put_prefixed16(out, connect->will.payload);
    }
    if (connect->has_user_name)
        put_prefixed16(out, connect->user_name);
    if (connect->has_password)
        put_prefixed16(out, connect->password);
    packet_end(out, start);
}

/* MQTT311 3.2.2: two bytes, the second a return code. */
static enum status check_return_code(const struct mqtt_connack *connack, size_t at, struct why *why)
{
    if (connack->reason > MQTT3_NOT_AUTHORIZED)
        return reject(why, ST_MALFORMED, "MQTT311 3.2.2.3", "a reserved return code", at + 1);
    if (connack->reason != MQTT3_ACCEPTED && connack->session_present)
        return reject(why, ST_PROTOCOL, "MQTT311 [MQTT-3.2.2-4]", "Session Present on a refused connection",
                      at);
    return ST_OK;
}

enum status mqtt_read_connack(const struct mqtt_frame *frame, enum mqtt_version version,
                              struct mqtt_connack *out, struct why *why)
{
    struct reader r = packet_reader(frame, version);

    *out = (struct mqtt_connack){ 0 };
    enum status st = packet_check_version(version, why);
    if (st != ST_OK)
        return st;
    size_t at = reader_at(&r);
    uint8_t flags = read_u8(&r);
    out->reason = read_u8(&r);
    out->session_present = (flags & SESSION_PRESENT) != 0;
    if (!reader_ok(&r))
        return reader_finish(&r, why);
    if ((flags & ~SESSION_PRESENT) != 0)
        return reject(why, ST_MALFORMED, packet_clause(version, "MQTT5 [MQTT-3.2.2-1]", "MQTT311 3.2.2.1"),
                      "reserved Connect Acknowledge Flags", at);
    if (version == MQTT_3_1_1) {
        st = check_return_code(out, at, why);
        return st != ST_OK ? st : reader_finish(&r, why);
    }
    if (frame->body.len == 2 && out->reason == MQTT3_UNACCEPTABLE_VERSION) /* too short for MQTT 5 */
        return reject(why, ST_BAD_VERSION, "MQTT311 3.2.2.3", "the server does not speak MQTT 5", at + 1);
    if (!mqtt_reason_allowed(MQTT_CONNACK, frame->from, out->reason))
        return reject(why, ST_MALFORMED, "MQTT5 [MQTT-3.2.2-8]", "not a reason code for CONNACK", at + 1);
    if (out->reason != MQTT_SUCCESS && out->session_present)
        return reject(why, ST_PROTOCOL, "MQTT5 [MQTT-3.2.2-6]", "Session Present on a refused connection", at);
    st = mqtt_read_properties(&r, MQTT_CONNACK, frame->from, &out->properties, why);
    if (st != ST_OK)
        return st;
    return reader_finish(&r, why);
}

void mqtt_write_connack(struct buf *out, enum mqtt_version version, const struct mqtt_connack *connack)
{
    size_t start = packet_begin(out, MQTT_CONNACK, 0);

    put_u8(out, connack->session_present ? SESSION_PRESENT : 0);
    put_u8(out, connack->reason);
    if (version >= MQTT_5)
        mqtt_put_properties(out, MQTT_CONNACK, &connack->properties);
    packet_end(out, start);
}
