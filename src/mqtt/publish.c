/* PUBLISH and the packets that acknowledge it: MQTT5 3.3 to 3.7, the same in 3.1.1. */
#include "mqtt/packet_priv.h"

enum publish_flag { FLAG_RETAIN = 0x01, FLAG_QOS = 0x06, FLAG_DUP = 0x08 };
#define QOS_SHIFT 1

static const char *new_id_clause(enum mqtt_side from, enum mqtt_version version)
{
    if (version == MQTT_3_1_1)
        return "MQTT311 [MQTT-2.3.1-1]";
    return from == MQTT_FROM_CLIENT ? "MQTT5 [MQTT-2.2.1-3]" : "MQTT5 [MQTT-2.2.1-4]";
}

/* The Topic Name may be empty if an alias stands for it (MQTT5 3.3.2.1): known only after the properties. */
static enum status read_topic(struct reader *r, struct topic_name *ret, struct why *why)
{
    struct reader ahead = *r;

    if (read_u16(&ahead) == 0 && reader_ok(&ahead)) {
        *r = ahead;
        return ST_OK;
    }
    return packet_read_topic_name(r, ret, why);
}

enum status mqtt_read_publish(const struct mqtt_frame *frame, enum mqtt_version version,
                              struct mqtt_publish *out, struct why *why)
{
    struct reader r = packet_reader(frame, version);

    *out = (struct mqtt_publish){ .qos = (uint8_t)((frame->flags & FLAG_QOS) >> QOS_SHIFT),
                                  .retain = (frame->flags & FLAG_RETAIN) != 0,
                                  .dup = (frame->flags & FLAG_DUP) != 0 };
    enum status st = packet_check_version(version, why);
    if (st != ST_OK)
        return st;
    st = read_topic(&r, &out->topic, why);
    if (st != ST_OK)
        return st;
    if (out->qos > 0) {
        st = packet_read_id(&r, new_id_clause(frame->from, version), &out->packet_id, why);
        if (st != ST_OK)
            return st;
    }
    st = packet_read_properties(&r, frame, version, &out->properties, why);
    if (st != ST_OK)
        return st;
    if (out->topic.s.len == 0 && !mqtt_has(&out->properties, PROP_TOPIC_ALIAS))
        return reject(why, version == MQTT_5 ? ST_PROTOCOL : ST_MALFORMED,
                      packet_clause(version, "MQTT5 3.3.2.1", "MQTT311 [MQTT-4.7.3-1]"),
                      "empty topic name and no Topic Alias", frame->head_len);
    out->payload = read_rest(&r);
    return reader_finish(&r, why);
}

/* ---- writing PUBLISH ---- */

#define EXPIRY_LEN 5u /* identifier and four bytes */
#define ALIAS_LEN  3u

static size_t properties_len(const struct mqtt_publish_out *p)
{
    return (p->has_message_expiry ? EXPIRY_LEN : 0) + (p->topic_alias != 0 ? ALIAS_LEN : 0) +
           p->subscription_ids.len + p->properties.len;
}

/* The Remaining Length, or more than MQTT_REMAINING_LENGTH_MAX. */
static size_t remaining_len(const struct mqtt_publish_out *p, enum mqtt_version version)
{
    size_t len = 2 + p->topic.len + (p->qos > 0 ? 2 : 0) + p->payload.len;
    size_t properties = properties_len(p);

    if (version < MQTT_5)
        return len;
    if (properties > MQTT_REMAINING_LENGTH_MAX)
        return SIZE_MAX;
    return len + varint_size((uint32_t)properties) + properties;
}

size_t mqtt_publish_size(const struct mqtt_publish_out *p, enum mqtt_version version)
{
    size_t len = remaining_len(p, version);

    if (p->topic.len > TOPIC_LEN_MAX || len > MQTT_REMAINING_LENGTH_MAX)
        return 0;
    return 1 + varint_size((uint32_t)len) + len;
}

/* A pen over memory whose size mqtt_publish_size() has computed. */
static uint8_t *pen_u8(uint8_t *at, uint8_t v)
{
    *at = v;
    return at + 1;
}

static uint8_t *pen_u16(uint8_t *at, uint16_t v)
{
    return pen_u8(pen_u8(at, (uint8_t)(v >> 8)), (uint8_t)v);
}

static uint8_t *pen_u32(uint8_t *at, uint32_t v)
{
    return pen_u16(pen_u16(at, (uint16_t)(v >> 16)), (uint16_t)v);
}

static uint8_t *pen_varint(uint8_t *at, uint32_t v)
{
    for (; v > 0x7f; v >>= 7)
        at = pen_u8(at, (uint8_t)(v | 0x80));
    return pen_u8(at, (uint8_t)v);
}

static uint8_t *pen_bytes(uint8_t *at, struct span s)
{
    if (s.len > 0)
        memcpy(at, s.p, s.len);
    return at + s.len;
}

size_t mqtt_publish_head(const struct mqtt_publish_out *p, enum mqtt_version version, uint8_t *head)
{
    uint8_t flags = (uint8_t)(p->qos << QOS_SHIFT | (p->retain ? FLAG_RETAIN : 0) | (p->dup ? FLAG_DUP : 0));
    uint8_t *at = pen_u8(head, (uint8_t)(MQTT_PUBLISH << 4 | flags));

    at = pen_varint(at, (uint32_t)remaining_len(p, version));
    at = pen_u16(at, (uint16_t)p->topic.len);
    at = pen_bytes(at, p->topic);
    if (p->qos > 0)
        at = pen_u16(at, p->packet_id);
    if (version < MQTT_5)
        return (size_t)(at - head);
    at = pen_varint(at, (uint32_t)properties_len(p));
    if (p->has_message_expiry)
        at = pen_u32(pen_u8(at, PROP_MESSAGE_EXPIRY), p->message_expiry_s);
    if (p->topic_alias != 0)
        at = pen_u16(pen_u8(at, PROP_TOPIC_ALIAS), p->topic_alias);
    at = pen_bytes(at, p->subscription_ids);
    return (size_t)(at - head);
}

void mqtt_write_publish(struct buf *out, enum mqtt_version version, const struct mqtt_publish_out *p)
{
    size_t size = mqtt_publish_size(p, version);
    uint8_t *room = size == 0 ? NULL : buf_room(out, size);

    if (room == NULL) {
        out->failed = true;
        return;
    }
    size_t head = mqtt_publish_head(p, version, room);
    uint8_t *at = version < MQTT_5 ? room + head : pen_bytes(room + head, p->properties);
    pen_bytes(at, p->payload);
    buf_added(out, size);
}

/* ---- PUBACK, PUBREC, PUBREL, PUBCOMP ---- */

/* clang-format off */
static const char *const ack_reasons[] = {
    [MQTT_PUBACK]  = "MQTT5 [MQTT-3.4.2-1]",
    [MQTT_PUBREC]  = "MQTT5 [MQTT-3.5.2-1]",
    [MQTT_PUBREL]  = "MQTT5 [MQTT-3.6.2-1]",
    [MQTT_PUBCOMP] = "MQTT5 [MQTT-3.7.2-1]",
};
/* clang-format on */

enum status mqtt_read_ack(const struct mqtt_frame *frame, enum mqtt_version version, struct mqtt_ack *out,
                          struct why *why)
{
    ASSERT(frame->type >= MQTT_PUBACK && frame->type <= MQTT_PUBCOMP);
    struct reader r = packet_reader(frame, version);

    *out = (struct mqtt_ack){ .type = frame->type };
    enum status st = packet_check_version(version, why);
    if (st != ST_OK)
        return st;
    st = packet_read_id(&r, packet_clause(version, "MQTT5 2.2.1", "MQTT311 2.3.1"), &out->packet_id, why);
    if (st != ST_OK)
        return st;
    if (version == MQTT_3_1_1)
        return reader_finish(&r, why);
    if (reader_left(&r) > 0) { /* both may be left out: 3.4.2.1 */
        size_t at = reader_at(&r);
        out->reason = read_u8(&r);
        if (!mqtt_reason_allowed(frame->type, frame->from, out->reason))
            return reject(why, ST_MALFORMED, ack_reasons[frame->type], "not a reason code for this packet", at);
    }
    if (reader_left(&r) > 0) {
        st = mqtt_read_properties(&r, frame->type, frame->from, &out->properties, why);
        if (st != ST_OK)
            return st;
    }
    return reader_finish(&r, why);
}

void mqtt_write_ack(struct buf *out, enum mqtt_version version, const struct mqtt_ack *ack)
{
    size_t start = packet_begin(out, ack->type, ack->type == MQTT_PUBREL ? 0x02 : 0);

    put_u16(out, ack->packet_id);
    if (version >= MQTT_5 && (ack->reason != MQTT_SUCCESS || ack->properties.has != 0))
        put_u8(out, ack->reason);
    if (version >= MQTT_5 && ack->properties.has != 0)
        mqtt_put_properties(out, ack->type, &ack->properties);
    packet_end(out, start);
}
