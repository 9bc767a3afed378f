#include "mqtt/packet_priv.h"

#include "base/utf8.h"

/* clang-format off */
static const char *const sections[MQTT_PACKET_TYPES][2] = {
    [MQTT_CONNECT]     = { "MQTT5 3.1",  "MQTT311 3.1" },
    [MQTT_CONNACK]     = { "MQTT5 3.2",  "MQTT311 3.2" },
    [MQTT_PUBLISH]     = { "MQTT5 3.3",  "MQTT311 3.3" },
    [MQTT_PUBACK]      = { "MQTT5 3.4",  "MQTT311 3.4" },
    [MQTT_PUBREC]      = { "MQTT5 3.5",  "MQTT311 3.5" },
    [MQTT_PUBREL]      = { "MQTT5 3.6",  "MQTT311 3.6" },
    [MQTT_PUBCOMP]     = { "MQTT5 3.7",  "MQTT311 3.7" },
    [MQTT_SUBSCRIBE]   = { "MQTT5 3.8",  "MQTT311 3.8" },
    [MQTT_SUBACK]      = { "MQTT5 3.9",  "MQTT311 3.9" },
    [MQTT_UNSUBSCRIBE] = { "MQTT5 3.10", "MQTT311 3.10" },
    [MQTT_UNSUBACK]    = { "MQTT5 3.11", "MQTT311 3.11" },
    [MQTT_PINGREQ]     = { "MQTT5 3.12", "MQTT311 3.12" },
    [MQTT_PINGRESP]    = { "MQTT5 3.13", "MQTT311 3.13" },
    [MQTT_DISCONNECT]  = { "MQTT5 3.14", "MQTT311 3.14" },
    [MQTT_AUTH]        = { "MQTT5 3.15", "MQTT311 2.2.1" },
};
/* clang-format on */

const char *packet_section(enum mqtt_packet_type type, enum mqtt_version version)
{
    return sections[type][version == MQTT_5 ? 0 : 1];
}

struct reader packet_reader(const struct mqtt_frame *frame, enum mqtt_version version)
{
    struct reader r = reader_make(frame->body, packet_section(frame->type, version));
    r.base = frame->head_len;
    return r;
}

enum status packet_check_version(enum mqtt_version version, struct why *why)
{
    if (version != MQTT_5 && version != MQTT_3_1_1)
        return reject(why, ST_BAD_VERSION, "MQTT5 [MQTT-3.1.2-2]", "only MQTT 5 and 3.1.1 are spoken here", 0);
    return ST_OK;
}

enum status packet_read_properties(struct reader *r, const struct mqtt_frame *frame, enum mqtt_version version,
                                   struct mqtt_properties *out, struct why *why)
{
    if (version != MQTT_5)
        return ST_OK;
    return mqtt_read_properties(r, frame->type, frame->from, out, why);
}

enum status mqtt_check_text(struct span s, size_t at, struct why *why)
{
    if (utf8_valid_mqtt(s))
        return ST_OK;
    if (utf8_valid(s))
        return reject(why, ST_MALFORMED, "MQTT5 [MQTT-1.5.4-2]", "U+0000 in text", at);
    return reject(why, ST_MALFORMED, "MQTT5 [MQTT-1.5.4-1]", "text is not UTF-8", at);
}

enum status packet_read_id(struct reader *r, const char *clause, uint16_t *ret, struct why *why)
{
    size_t at = reader_at(r);

    *ret = read_u16(r);
    if (reader_ok(r) && *ret == 0)
        return reject(why, ST_PROTOCOL, clause, "packet identifier 0", at);
    return ST_OK;
}

enum status packet_read_topic_name(struct reader *r, struct topic_name *ret, struct why *why)
{
    size_t at = reader_at(r) + 2;
    struct span s = read_prefixed16(r);

    if (!reader_ok(r))
        return reader_finish(r, why);
    enum status st = topic_name_parse(s, ret, why);
    if (st != ST_OK && why != NULL)
        why->at += at;
    return st;
}

enum status packet_read_topic_filter(struct reader *r, struct topic_filter *ret, struct why *why)
{
    size_t at = reader_at(r) + 2;
    struct span s = read_prefixed16(r);

    if (!reader_ok(r))
        return reader_finish(r, why);
    enum status st = topic_filter_parse(s, ret, why);
    if (st != ST_OK && why != NULL)
        why->at += at;
    return st;
}

void mqtt_insert_length(struct buf *out, size_t start)
{
    size_t len = out->len - start;

    if (len > MQTT_REMAINING_LENGTH_MAX)
        out->failed = true;
    if (buf_room(out, varint_size((uint32_t)len)) == NULL)
        return;
    memmove(out->p + start + varint_size((uint32_t)len), out->p + start, len);
    out->len = start;
    put_varint(out, (uint32_t)len);
    buf_added(out, len);
}

size_t packet_begin(struct buf *out, enum mqtt_packet_type type, uint8_t flags)
{
    put_u8(out, (uint8_t)(type << 4 | flags));
    return out->len;
}

void packet_end(struct buf *out, size_t start)
{
    mqtt_insert_length(out, start);
}

/* ---- PINGREQ, PINGRESP (MQTT5 3.12, 3.13) ---- */

enum status mqtt_read_ping(const struct mqtt_frame *frame, struct why *why)
{
    struct reader r = packet_reader(frame, MQTT_5);

    return reader_finish(&r, why);
}

void mqtt_write_ping(struct buf *out, enum mqtt_packet_type type)
{
    packet_end(out, packet_begin(out, type, 0));
}
