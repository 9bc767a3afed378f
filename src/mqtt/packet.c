#include "mqtt/packet_priv.h"

#include "base/utf8.h"

struct reader packet_reader(const struct mqtt_frame *frame, const char *section)
{
    struct reader r = reader_make(frame->body, section);
    r.base = frame->head_len;
    return r;
}

enum status packet_check_version(enum mqtt_version version, struct why *why)
{
    if (version != MQTT_5)
        return reject(why, ST_BAD_VERSION, "MQTT5 [MQTT-3.1.2-2]", "only MQTT 5 packets are spoken here", 0);
    return ST_OK;
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
    struct reader r = packet_reader(frame, frame->type == MQTT_PINGREQ ? "MQTT5 3.12" : "MQTT5 3.13");
    return reader_finish(&r, why);
}

void mqtt_write_ping(struct buf *out, enum mqtt_packet_type type)
{
    packet_end(out, packet_begin(out, type, 0));
}
