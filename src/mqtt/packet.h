/* mqtt/packet.h - the control packets of MQTT 5 and MQTT 3.1.1, both directions: bytes in, bytes out.
 * mqtt_read_x() takes a frame of that type (mqtt/frame.h), checks everything chapter 3 of that version says about
 * the packet by itself, and fills `out`; what depends on the session is the caller's. Spans in `out` point into the
 * frame. On a refusal `why->clause` is the normative statement or section and `why->at` counts from the first
 * byte of the packet; status_mqtt5_code() is what DISCONNECT (or CONNACK) shall carry. `out` is then half
 * filled: drop it. mqtt_write_x() appends a whole packet; a failed buffer (limit, memory, field too long) stays
 * failed. No state, so any thread.
 *
 * Readers and writers take the version the connection speaks, MQTT_5 or MQTT_3_1_1; readers refuse any other with
 * ST_BAD_VERSION. What 3.1.1 has no place for - properties, reason codes, subscription options but the QoS - comes
 * out empty or 0 when reading and is left out when writing. AUTH does not exist there: its callers see to that. */
#ifndef SYMBOLON_MQTT_PACKET_H
#define SYMBOLON_MQTT_PACKET_H

#include "mqtt/frame.h"
#include "mqtt/properties.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"

/* ---- CONNECT (3.1) and CONNACK (3.2) ---- */

struct mqtt_will {
    struct topic_name topic;
    struct span payload;
    struct mqtt_properties properties;
    uint8_t qos;
    bool retain;
};

struct mqtt_connect {
    enum mqtt_version version;
    bool bridge; /* writing MQTT_3_1_1 only: level 0x84, by which bridges make themselves known to mosquitto */
    bool clean_start;
    bool has_will;
    bool has_user_name;
    bool has_password;
    uint16_t keep_alive_s; /* 0: none */
    struct mqtt_properties properties;
    struct span client_id; /* may be empty: the server assigns one */
    struct mqtt_will will;
    struct span user_name;
    struct span password;
};

/* Both versions; out->version says which. Of 3.1.1, clean_start is Clean Session, and an empty client_id without it
 * is ST_BAD_CLIENT_ID (return code 2). ST_BAD_VERSION: another protocol name or level; out->version is then what the
 * client asked for (MQTT_3_1 or any other number), so that the refusal can be put in its language: see
 * mqtt_write_connack(). */
enum status mqtt_read_connect(const struct mqtt_frame *frame, struct mqtt_connect *out,
                              struct why *why) MUST_CHECK;
/* In connect->version: MQTT_3_1_1, or else MQTT_5. */
void mqtt_write_connect(struct buf *out, const struct mqtt_connect *connect);

struct mqtt_connack {
    bool session_present;
    uint8_t reason; /* of MQTT_3_1_1 an enum mqtt3_return_code, when reading and when writing */
    struct mqtt_properties properties;
};

enum status mqtt_read_connack(const struct mqtt_frame *frame, enum mqtt_version version,
                              struct mqtt_connack *out, struct why *why) MUST_CHECK;
/* See mqtt3_code_of() for the return code of a reason. MQTT_3_1 is written as MQTT_3_1_1. */
void mqtt_write_connack(struct buf *out, enum mqtt_version version, const struct mqtt_connack *connack);

/* ---- PUBLISH (3.3) ---- */

struct mqtt_publish {
    uint8_t qos;
    bool retain;
    bool dup;
    uint16_t packet_id;      /* 0 with QoS 0 */
    struct topic_name topic; /* empty only with a Topic Alias */
    struct mqtt_properties properties;
    struct span payload;
};

enum status mqtt_read_publish(const struct mqtt_frame *frame, enum mqtt_version version,
                              struct mqtt_publish *out, struct why *why) MUST_CHECK;

/* Sending: what is shared by all receivers (topic, properties, payload) is given encoded, the rest as values.
 */
struct mqtt_publish_out {
    uint8_t qos;
    bool retain;
    bool dup;
    bool has_message_expiry;
    uint32_t message_expiry_s;
    uint16_t packet_id;           /* ignored with QoS 0 */
    uint16_t topic_alias;         /* 0: none */
    struct span topic;            /* may be empty with an alias */
    struct span subscription_ids; /* entries by mqtt_put_subscription_id() */
    struct span properties;       /* entries by mqtt_put_message_properties() */
    struct span payload;
};

/* Bytes of the whole packet, for the receiver's Maximum Packet Size; 0 if no packet can be that long. */
size_t mqtt_publish_size(const struct mqtt_publish_out *p, enum mqtt_version version);
/* Writes everything before `properties` (fixed header, topic, packet identifier, property length, own
 * properties) and says how much that was; the caller then sends properties and payload from where they are.
 * `head` has room for mqtt_publish_size() - properties.len - payload.len bytes. */
size_t mqtt_publish_head(const struct mqtt_publish_out *p, enum mqtt_version version, uint8_t *head);
/* All of it in one piece. */
void mqtt_write_publish(struct buf *out, enum mqtt_version version, const struct mqtt_publish_out *p);

/* ---- PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7) ---- */

struct mqtt_ack {
    enum mqtt_packet_type type;
    uint16_t packet_id;
    uint8_t reason;
    struct mqtt_properties properties;
};

enum status mqtt_read_ack(const struct mqtt_frame *frame, enum mqtt_version version, struct mqtt_ack *out,
                          struct why *why) MUST_CHECK;
/* The short form when it fits. */
void mqtt_write_ack(struct buf *out, enum mqtt_version version, const struct mqtt_ack *ack);

/* ---- SUBSCRIBE, UNSUBSCRIBE (3.8, 3.10) and their answers (3.9, 3.11) ---- */

struct mqtt_subscription {
    struct topic_filter filter;
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    uint8_t retain_handling; /* 0 send, 1 send if new, 2 never */
};

struct mqtt_subscribe {
    uint16_t packet_id;
    size_t count;        /* at least 1 */
    struct span filters; /* walked by mqtt_next_subscription(): checked already */
    struct mqtt_properties properties;
};

enum status mqtt_read_subscribe(const struct mqtt_frame *frame, enum mqtt_version version,
                                struct mqtt_subscribe *out, struct why *why) MUST_CHECK;
/* Start with *at = 0; false at the end. Any number of walks. */
bool mqtt_next_subscription(const struct mqtt_subscribe *subscribe, size_t *at, struct mqtt_subscription *ret);
void mqtt_write_subscribe(struct buf *out, enum mqtt_version version, uint16_t packet_id,
                          const struct mqtt_properties *properties,
                          const struct mqtt_subscription *subscriptions, size_t count);

struct mqtt_unsubscribe {
    uint16_t packet_id;
    size_t count;
    struct span filters;
    struct mqtt_properties properties;
};

enum status mqtt_read_unsubscribe(const struct mqtt_frame *frame, enum mqtt_version version,
                                  struct mqtt_unsubscribe *out, struct why *why) MUST_CHECK;
bool mqtt_next_unsubscription(const struct mqtt_unsubscribe *unsubscribe, size_t *at, struct topic_filter *ret);
void mqtt_write_unsubscribe(struct buf *out, enum mqtt_version version, uint16_t packet_id,
                            const struct mqtt_properties *properties, const struct topic_filter *filters,
                            size_t count);

/* SUBACK or UNSUBACK: one reason code per filter, in the order of the request. In MQTT_3_1_1 every failure of a SUBACK
 * is written as 0x80, and an UNSUBACK has no codes: `reasons` is empty when read, not looked at when written. */
struct mqtt_suback {
    enum mqtt_packet_type type;
    uint16_t packet_id;
    struct span reasons;
    struct mqtt_properties properties;
};

enum status mqtt_read_suback(const struct mqtt_frame *frame, enum mqtt_version version, struct mqtt_suback *out,
                             struct why *why) MUST_CHECK;
void mqtt_write_suback(struct buf *out, enum mqtt_version version, const struct mqtt_suback *suback);

/* ---- PINGREQ, PINGRESP (3.12, 3.13) ---- */

enum status mqtt_read_ping(const struct mqtt_frame *frame, struct why *why) MUST_CHECK;
void mqtt_write_ping(struct buf *out, enum mqtt_packet_type type);

/* ---- DISCONNECT (3.14), AUTH (3.15) ---- */

/* In MQTT_3_1_1 a client's alone: from a server it is refused, and must not be written. */

struct mqtt_disconnect {
    uint8_t reason;
    struct mqtt_properties properties;
};

enum status mqtt_read_disconnect(const struct mqtt_frame *frame, enum mqtt_version version,
                                 struct mqtt_disconnect *out, struct why *why) MUST_CHECK;
void mqtt_write_disconnect(struct buf *out, enum mqtt_version version,
                           const struct mqtt_disconnect *disconnect);

struct mqtt_auth {
    uint8_t reason; /* MQTT_SUCCESS, MQTT_CONTINUE_AUTHENTICATION, MQTT_REAUTHENTICATE */
    struct mqtt_properties
        properties; /* the method is always there, unless reading the empty form of Success */
};

enum status mqtt_read_auth(const struct mqtt_frame *frame, struct mqtt_auth *out, struct why *why) MUST_CHECK;
void mqtt_write_auth(struct buf *out, const struct mqtt_auth *auth);

#endif
