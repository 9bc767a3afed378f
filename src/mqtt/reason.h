/* mqtt/reason.h - MQTT 5 reason codes (MQTT5 2.4, Table 2-6): name, the packets each may appear in, and words
 * for people. The one byte means different things in different packets only for 0x00. */
#ifndef SYMBOLON_MQTT_REASON_H
#define SYMBOLON_MQTT_REASON_H

#include "mqtt/frame.h"

enum mqtt_reason {
    MQTT_SUCCESS = 0x00, /* also Normal disconnection, Granted QoS 0 */
    MQTT_GRANTED_QOS_1 = 0x01,
    MQTT_GRANTED_QOS_2 = 0x02,
    MQTT_DISCONNECT_WITH_WILL = 0x04,
    MQTT_NO_MATCHING_SUBSCRIBERS = 0x10,
    MQTT_NO_SUBSCRIPTION_EXISTED = 0x11,
    MQTT_CONTINUE_AUTHENTICATION = 0x18,
    MQTT_REAUTHENTICATE = 0x19,
    MQTT_UNSPECIFIED_ERROR = 0x80,
    MQTT_MALFORMED_PACKET = 0x81,
    MQTT_PROTOCOL_ERROR = 0x82,
    MQTT_IMPLEMENTATION_ERROR = 0x83,
    MQTT_UNSUPPORTED_VERSION = 0x84,
    MQTT_CLIENT_ID_NOT_VALID = 0x85,
    MQTT_BAD_USER_NAME_OR_PASSWORD = 0x86,
    MQTT_NOT_AUTHORIZED = 0x87,
    MQTT_SERVER_UNAVAILABLE = 0x88,
    MQTT_SERVER_BUSY = 0x89,
    MQTT_BANNED = 0x8A,
    MQTT_SERVER_SHUTTING_DOWN = 0x8B,
    MQTT_BAD_AUTHENTICATION_METHOD = 0x8C,
    MQTT_KEEP_ALIVE_TIMEOUT = 0x8D,
    MQTT_SESSION_TAKEN_OVER = 0x8E,
    MQTT_TOPIC_FILTER_INVALID = 0x8F,
    MQTT_TOPIC_NAME_INVALID = 0x90,
    MQTT_PACKET_ID_IN_USE = 0x91,
    MQTT_PACKET_ID_NOT_FOUND = 0x92,
    MQTT_RECEIVE_MAXIMUM_EXCEEDED = 0x93,
    MQTT_TOPIC_ALIAS_INVALID = 0x94,
    MQTT_PACKET_TOO_LARGE = 0x95,
    MQTT_MESSAGE_RATE_TOO_HIGH = 0x96,
    MQTT_QUOTA_EXCEEDED = 0x97,
    MQTT_ADMINISTRATIVE_ACTION = 0x98,
    MQTT_PAYLOAD_FORMAT_INVALID = 0x99,
    MQTT_RETAIN_NOT_SUPPORTED = 0x9A,
    MQTT_QOS_NOT_SUPPORTED = 0x9B,
    MQTT_USE_ANOTHER_SERVER = 0x9C,
    MQTT_SERVER_MOVED = 0x9D,
    MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E,
    MQTT_CONNECTION_RATE_EXCEEDED = 0x9F,
    MQTT_MAXIMUM_CONNECT_TIME = 0xA0,
    MQTT_SUBSCRIPTION_IDS_NOT_SUPPORTED = 0xA1,
    MQTT_WILDCARDS_NOT_SUPPORTED = 0xA2,
};

/* MQTT 3.1.1 CONNACK return codes (MQTT311 3.2.2.3). */
enum mqtt3_return_code {
    MQTT3_ACCEPTED = 0,
    MQTT3_UNACCEPTABLE_VERSION = 1,
    MQTT3_IDENTIFIER_REJECTED = 2,
    MQTT3_SERVER_UNAVAILABLE = 3,
    MQTT3_BAD_USER_NAME_OR_PASSWORD = 4,
    MQTT3_NOT_AUTHORIZED = 5,
};

/* The return code that says to a 3.1.1 client what `reason` says to a client of 5.0. *ret is written and true returned
 * unless there is none: the connection is then closed without a CONNACK (MQTT311 [MQTT-3.2.2-6]). */
bool mqtt3_code_of(uint8_t reason, enum mqtt3_return_code *ret);

/* The name as the specification writes it, "Not authorized"; "unknown reason code" for a byte not in the table.
 * `type` tells the three names of 0x00 apart. */
const char *mqtt_reason_name(enum mqtt_packet_type type, uint8_t code);

/* One sentence for a person: what happened and what to do about it. Never NULL. */
const char *mqtt_reason_words(uint8_t code);

/* True if this side may put the code into this packet (Table 2-6; for DISCONNECT Table 3-10's "Sent by"). */
bool mqtt_reason_allowed(enum mqtt_packet_type type, enum mqtt_side from, uint8_t code);

#endif
