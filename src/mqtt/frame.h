/* mqtt/frame.h - where one control packet ends and the next begins (MQTT5 2.1, the same in 3.1.1).
 * Looks at the fixed header only: type, flags, Remaining Length, who may send it. The body stays a span into
 * the input, for the mqtt_read_…() of mqtt/packet.h. No state, so any thread. */
#ifndef SYMBOLON_MQTT_FRAME_H
#define SYMBOLON_MQTT_FRAME_H

#include "base/span.h"
#include "base/status.h"

/* Protocol Level of CONNECT. Where layouts differ the functions take one of these. */
enum mqtt_version { MQTT_3_1 = 3, MQTT_3_1_1 = 4, MQTT_5 = 5 };

/* clang-format off */
/* MQTT5 2.1.2, Table 2-1, and 2.1.3, Table 2-2.
 *     name         value  flags   from client  from server */
#define MQTT_PACKET_LIST(X)                                 \
    X( CONNECT,       1,   0x0,    true,        false )     \
    X( CONNACK,       2,   0x0,    false,       true  )     \
    X( PUBLISH,       3,   0x0,    true,        true  )     \
    X( PUBACK,        4,   0x0,    true,        true  )     \
    X( PUBREC,        5,   0x0,    true,        true  )     \
    X( PUBREL,        6,   0x2,    true,        true  )     \
    X( PUBCOMP,       7,   0x0,    true,        true  )     \
    X( SUBSCRIBE,     8,   0x2,    true,        false )     \
    X( SUBACK,        9,   0x0,    false,       true  )     \
    X( UNSUBSCRIBE,  10,   0x2,    true,        false )     \
    X( UNSUBACK,     11,   0x0,    false,       true  )     \
    X( PINGREQ,      12,   0x0,    true,        false )     \
    X( PINGRESP,     13,   0x0,    false,       true  )     \
    X( DISCONNECT,   14,   0x0,    true,        true  )     \
    X( AUTH,         15,   0x0,    true,        true  )
/* clang-format on */

enum mqtt_packet_type {
#define MQTT_PACKET_ENUM(name, value, flags, client, server) MQTT_##name = value,
    MQTT_PACKET_LIST(MQTT_PACKET_ENUM)
#undef MQTT_PACKET_ENUM
        MQTT_PACKET_TYPES = 16
};

enum mqtt_side { MQTT_FROM_CLIENT, MQTT_FROM_SERVER };

const char *mqtt_packet_name(enum mqtt_packet_type type); /* "SUBSCRIBE" */

#define MQTT_REMAINING_LENGTH_MAX 268435455u
#define MQTT_PACKET_SIZE_MAX      (MQTT_REMAINING_LENGTH_MAX + 5u)

struct mqtt_frame {
    enum mqtt_packet_type type;
    enum mqtt_side from;
    uint8_t flags;    /* low four bits of the first byte */
    size_t head_len;  /* fixed header: 2 to 5 bytes */
    size_t total_len; /* what the packet takes from the input */
    struct span body; /* behind the fixed header; borrowed */
};

/* READY fills *out. NEED_MORE: nothing is wrong so far; *out is not written. BAD: *ret_status is ST_MALFORMED
 * (0x81), ST_PROTOCOL (0x82: a type this side may not send) or ST_TOO_LARGE (0x95: more than max_packet_size,
 * found from the header alone, before the body has come). */
enum mqtt_frame_result { MQTT_FRAME_NEED_MORE, MQTT_FRAME_READY, MQTT_FRAME_BAD };

enum mqtt_frame_result mqtt_frame_next(struct span in, enum mqtt_side from, uint32_t max_packet_size,
                                       struct mqtt_frame *out, enum status *ret_status,
                                       struct why *why) MUST_CHECK;

#endif
