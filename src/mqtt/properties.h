/* mqtt/properties.h - the properties of MQTT 5 packets (MQTT5 2.2.2), read and written by one table.
 * Reading checks everything the table can say: known, allowed in this packet, not twice, type, value range.
 * Spans point into the packet. Properties that may repeat (User Property; Subscription Identifier in PUBLISH)
 * are left in `raw` and walked from there without allocating. */
#ifndef SYMBOLON_MQTT_PROPERTIES_H
#define SYMBOLON_MQTT_PROPERTIES_H

#include "base/buf.h"
#include "base/reader.h"
#include "mqtt/frame.h"

enum mqtt_property {
    PROP_PAYLOAD_FORMAT = 0x01,
    PROP_MESSAGE_EXPIRY = 0x02,
    PROP_CONTENT_TYPE = 0x03,
    PROP_RESPONSE_TOPIC = 0x08,
    PROP_CORRELATION_DATA = 0x09,
    PROP_SUBSCRIPTION_ID = 0x0B,
    PROP_SESSION_EXPIRY = 0x11,
    PROP_ASSIGNED_CLIENT_ID = 0x12,
    PROP_SERVER_KEEP_ALIVE = 0x13,
    PROP_AUTH_METHOD = 0x15,
    PROP_AUTH_DATA = 0x16,
    PROP_REQUEST_PROBLEM_INFO = 0x17,
    PROP_WILL_DELAY = 0x18,
    PROP_REQUEST_RESPONSE_INFO = 0x19,
    PROP_RESPONSE_INFO = 0x1A,
    PROP_SERVER_REFERENCE = 0x1C,
    PROP_REASON_STRING = 0x1F,
    PROP_RECEIVE_MAXIMUM = 0x21,
    PROP_TOPIC_ALIAS_MAXIMUM = 0x22,
    PROP_TOPIC_ALIAS = 0x23,
    PROP_MAXIMUM_QOS = 0x24,
    PROP_RETAIN_AVAILABLE = 0x25,
    PROP_USER = 0x26,
    PROP_MAXIMUM_PACKET_SIZE = 0x27,
    PROP_WILDCARD_AVAILABLE = 0x28,
    PROP_SUBSCRIPTION_ID_AVAILABLE = 0x29,
    PROP_SHARED_AVAILABLE = 0x2A,
    PROPERTIES
};

/* The columns of the table: a packet type, or the Will Properties inside CONNECT. */
enum mqtt_property_place { IN_WILL = 0 /* and MQTT_CONNECT .. MQTT_AUTH */ };

struct mqtt_properties {
    uint64_t has; /* one bit per identifier: ask mqtt_has() */
    struct span
        raw; /* reading: the whole block. Writing: encoded entries; the repeatable ones among them are sent */
    uint32_t message_expiry_s;
    uint32_t subscription_id; /* the first one; never 0 */
    uint32_t session_expiry_s;
    uint32_t will_delay_s;
    uint32_t maximum_packet_size; /* never 0 */
    uint16_t server_keep_alive_s;
    uint16_t receive_maximum; /* never 0 */
    uint16_t topic_alias_maximum;
    uint16_t topic_alias; /* never 0 */
    uint8_t payload_format;
    uint8_t request_problem_info;
    uint8_t request_response_info;
    uint8_t maximum_qos;
    uint8_t retain_available;
    uint8_t wildcard_available;
    uint8_t subscription_id_available;
    uint8_t shared_available;
    struct span content_type;
    struct span response_topic;
    struct span correlation_data;
    struct span assigned_client_id;
    struct span auth_method;
    struct span auth_data;
    struct span response_info;
    struct span server_reference;
    struct span reason_string;
};

static inline bool mqtt_has(const struct mqtt_properties *p, enum mqtt_property id)
{
    return (p->has >> id & 1) != 0;
}

/* Marks a property as present, for writing: p.receive_maximum = 20; mqtt_set(&p, PROP_RECEIVE_MAXIMUM); */
static inline void mqtt_set(struct mqtt_properties *p, enum mqtt_property id)
{
    p->has |= UINT64_C(1) << id;
}

/* What an absent property means (MQTT5 3.1.2.11, 3.2.2.3). */
uint16_t mqtt_receive_maximum(const struct mqtt_properties *p);     /* 65535 */
uint32_t mqtt_maximum_packet_size(const struct mqtt_properties *p); /* MQTT_PACKET_SIZE_MAX */
uint8_t mqtt_maximum_qos(const struct mqtt_properties *p);          /* 2 */
bool mqtt_request_problem_info(const struct mqtt_properties *p);    /* true */

/* `place` is IN_WILL or the packet type. Reads the Property Length and the block behind it. A missing length
 * counts as no properties only where the caller says so (PUBACK and its like). */
enum status mqtt_read_properties(struct reader *r, unsigned place, enum mqtt_side from,
                                 struct mqtt_properties *out, struct why *why) MUST_CHECK;

/* Appends Property Length and block; p may be NULL for none. A property that does not belong to `place` is our
 * own bug (ASSERT). */
void mqtt_put_properties(struct buf *out, unsigned place, const struct mqtt_properties *p);

/* One encoded entry, for building `raw`: text that is not UTF-8 or too long fails the buffer. */
void mqtt_put_user_property(struct buf *out, struct span name, struct span value);
void mqtt_put_subscription_id(struct buf *out, uint32_t id);

/* Appends, without a length, the entries that travel with a message to its receivers unaltered: payload format,
 * content type, response topic, correlation data, user properties in order (MQTT5 [MQTT-3.3.2-4], -15 to -18,
 * -20). Not expiry, alias, subscription identifiers: those belong to one sending. For PUBLISH and Will alike.
 */
void mqtt_put_message_properties(struct buf *out, const struct mqtt_properties *p);

/* Walk of one block read by mqtt_read_properties(): start with *at = 0; false at the end. */
bool mqtt_next_user_property(const struct mqtt_properties *p, size_t *at, struct span *ret_name,
                             struct span *ret_value);
bool mqtt_next_subscription_id(const struct mqtt_properties *p, size_t *at, uint32_t *ret_id);
/* The first user property of that name. */
bool mqtt_find_user_property(const struct mqtt_properties *p, struct span name, struct span *ret_value);

#endif
