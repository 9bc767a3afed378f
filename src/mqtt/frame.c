#include "mqtt/frame.h"

#include "base/reader.h"

/* clang-format off */
static const struct {
    const char *name;
    uint8_t flags;
    bool from_client, from_server;
} packets[MQTT_PACKET_TYPES] = {
#define PACKET_ROW(name, value, flags, client, server) [value] = { #name, flags, client, server },
    MQTT_PACKET_LIST(PACKET_ROW)
#undef PACKET_ROW
};

/* The packets whose own section says it again; the others have the general statement. */
static const char *const flag_clauses[MQTT_PACKET_TYPES] = {
    [MQTT_PUBREL]      = "MQTT5 [MQTT-3.6.1-1]",
    [MQTT_SUBSCRIBE]   = "MQTT5 [MQTT-3.8.1-1]",
    [MQTT_UNSUBSCRIBE] = "MQTT5 [MQTT-3.10.1-1]",
    [MQTT_DISCONNECT]  = "MQTT5 [MQTT-3.14.1-1]",
    [MQTT_AUTH]        = "MQTT5 [MQTT-3.15.1-1]",
};
/* clang-format on */

#define REMAINING_LENGTH_BYTES 4

const char *mqtt_packet_name(enum mqtt_packet_type type)
{
    ASSERT(type > 0 && type < MQTT_PACKET_TYPES);
    return packets[type].name;
}

/* The first byte alone: MQTT5 2.1.2 and 2.1.3. */
static enum status check_first_byte(uint8_t byte, enum mqtt_side from, struct why *why)
{
    unsigned type = byte >> 4;
    uint8_t flags = byte & 0x0f;

    if (type == 0)
        return reject(why, ST_MALFORMED, "MQTT5 2.1.2", "packet type 0 is reserved", 0);
    if (!(from == MQTT_FROM_CLIENT ? packets[type].from_client : packets[type].from_server))
        return reject(why, ST_PROTOCOL, "MQTT5 2.1.2", "this side may not send such a packet", 0);
    if (type == MQTT_PUBLISH) {
        if ((flags & 0x06) == 0x06)
            return reject(why, ST_MALFORMED, "MQTT5 [MQTT-3.3.1-4]", "both QoS bits are set", 0);
        if ((flags & 0x0e) == 0x08)
            return reject(why, ST_MALFORMED, "MQTT5 [MQTT-3.3.1-2]", "DUP is set with QoS 0", 0);
        return ST_OK;
    }
    if (flags != packets[type].flags)
        return reject(why, ST_MALFORMED,
                      flag_clauses[type] == NULL ? "MQTT5 [MQTT-2.1.3-1]" : flag_clauses[type],
                      "reserved flag bits of the fixed header", 0);
    return ST_OK;
}

/* Bytes the Remaining Length takes in `s`, 0 while its end has not come; 5 if it is too long. */
static size_t length_bytes(struct span s)
{
    for (size_t i = 0; i < s.len && i < REMAINING_LENGTH_BYTES; i++)
        if ((s.p[i] & 0x80) == 0)
            return i + 1;
    return s.len >= REMAINING_LENGTH_BYTES ? REMAINING_LENGTH_BYTES + 1 : 0;
}

enum mqtt_frame_result mqtt_frame_next(struct span in, enum mqtt_side from, uint32_t max_packet_size,
                                       struct mqtt_frame *out, enum status *ret_status, struct why *why)
{
    if (in.len == 0)
        return MQTT_FRAME_NEED_MORE;
    enum status st = check_first_byte(in.p[0], from, why);
    if (st != ST_OK) {
        *ret_status = st;
        return MQTT_FRAME_BAD;
    }

    size_t len_bytes = length_bytes(span_cut(in, 1, REMAINING_LENGTH_BYTES));
    if (len_bytes == 0)
        return MQTT_FRAME_NEED_MORE;
    struct reader r = reader_make(span_cut(in, 1, len_bytes), NULL);
    size_t head_len = 1 + len_bytes;
    size_t body_len = len_bytes > REMAINING_LENGTH_BYTES ? 0 : read_varint(&r);
    if (len_bytes > REMAINING_LENGTH_BYTES || !reader_ok(&r)) {
        *ret_status =
            reject(why, ST_MALFORMED, "MQTT5 [MQTT-1.5.5-1]", "Remaining Length is not a shortest form", 1);
        return MQTT_FRAME_BAD;
    }
    if (head_len + body_len > max_packet_size) {
        *ret_status = reject(why, ST_TOO_LARGE,
                             from == MQTT_FROM_CLIENT ? "MQTT5 [MQTT-3.2.2-15]" : "MQTT5 [MQTT-3.1.2-24]",
                             "packet exceeds the Maximum Packet Size", 1);
        return MQTT_FRAME_BAD;
    }
    if (in.len < head_len + body_len)
        return MQTT_FRAME_NEED_MORE;

    *out = (struct mqtt_frame){ .type = (enum mqtt_packet_type)(in.p[0] >> 4),
                                .from = from,
                                .flags = in.p[0] & 0x0f,
                                .head_len = head_len,
                                .total_len = head_len + body_len,
                                .body = span_cut(in, head_len, body_len) };
    return MQTT_FRAME_READY;
}
