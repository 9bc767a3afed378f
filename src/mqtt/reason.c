#include "mqtt/reason.h"

struct reason_rule {
    const char *name;
    uint32_t client, server; /* packets each side may put it into */
    const char *words;
};

/* clang-format off */
#define PUBACK_PUBREC  (IN(MQTT_PUBACK) | IN(MQTT_PUBREC))
#define ACKS           (PUBACK_PUBREC | IN(MQTT_PUBREL) | IN(MQTT_PUBCOMP))
#define SUBACKS        (IN(MQTT_SUBACK) | IN(MQTT_UNSUBACK))
#define CONNACK        IN(MQTT_CONNACK)
#define DISCONNECT     IN(MQTT_DISCONNECT)

/* MQTT5 2.4, Table 2-6; who may put a code into DISCONNECT and AUTH: Tables 3-10 and 3-11.
 * code     name                                     from client                        from server                                        words */
static const struct reason_rule reasons[] = {
    [0x00] = { "Success",                                ACKS | DISCONNECT,                 CONNACK | ACKS | SUBACKS | DISCONNECT | IN(MQTT_AUTH),
        "Done." },
    [0x01] = { "Granted QoS 1",                          0,                                 IN(MQTT_SUBACK),
        "Subscribed; messages arrive at least once." },
    [0x02] = { "Granted QoS 2",                          0,                                 IN(MQTT_SUBACK),
        "Subscribed; messages arrive exactly once." },
    [0x04] = { "Disconnect with Will Message",           DISCONNECT,                        0,
        "The client leaves and wants its Will published." },
    [0x10] = { "No matching subscribers",                0,                                 PUBACK_PUBREC,
        "The message was accepted, but nobody subscribes to its topic." },
    [0x11] = { "No subscription existed",                0,                                 IN(MQTT_UNSUBACK),
        "There was no such subscription to remove." },
    [0x18] = { "Continue authentication",                IN(MQTT_AUTH),                     IN(MQTT_AUTH),
        "One more step of the authentication exchange follows." },
    [0x19] = { "Re-authenticate",                        IN(MQTT_AUTH),                     0,
        "The client starts authentication again, with a new token." },
    [0x80] = { "Unspecified error",                      PUBACK_PUBREC | DISCONNECT,        CONNACK | PUBACK_PUBREC | SUBACKS | DISCONNECT,
        "Refused, and the other side does not say why." },
    [0x81] = { "Malformed Packet",                       DISCONNECT,                        CONNACK | DISCONNECT,
        "The other side could not read the packet: its bytes do not follow the specification." },
    [0x82] = { "Protocol Error",                         DISCONNECT,                        CONNACK | DISCONNECT,
        "The packet is readable, but not allowed here or now." },
    [0x83] = { "Implementation specific error",          PUBACK_PUBREC | DISCONNECT,        CONNACK | PUBACK_PUBREC | SUBACKS | DISCONNECT,
        "The packet is valid, but this implementation does not accept it." },
    [0x84] = { "Unsupported Protocol Version",           0,                                 CONNACK,
        "The server does not speak this version of MQTT; try another one." },
    [0x85] = { "Client Identifier not valid",            0,                                 CONNACK,
        "The server does not accept this Client Identifier; choose another one." },
    [0x86] = { "Bad User Name or Password",              0,                                 CONNACK,
        "User name or password is wrong." },
    [0x87] = { "Not authorized",                         PUBACK_PUBREC,                     CONNACK | PUBACK_PUBREC | SUBACKS | DISCONNECT,
        "Not permitted: no valid token, possession of its key not proved, it has expired, or its scope does not cover this." },
    [0x88] = { "Server unavailable",                     0,                                 CONNACK,
        "The server cannot serve now; try again later." },
    [0x89] = { "Server busy",                            0,                                 CONNACK | DISCONNECT,
        "The server has too much to do; try again later." },
    [0x8A] = { "Banned",                                 0,                                 CONNACK,
        "An administrator has shut this client out." },
    [0x8B] = { "Server shutting down",                   0,                                 DISCONNECT,
        "The server is going down; connect again later." },
    [0x8C] = { "Bad authentication method",              0,                                 CONNACK | DISCONNECT,
        "The server does not know this authentication method, or it differs from the one in CONNECT." },
    [0x8D] = { "Keep Alive timeout",                     0,                                 DISCONNECT,
        "Nothing was heard from the client for one and a half times its Keep Alive." },
    [0x8E] = { "Session taken over",                     0,                                 DISCONNECT,
        "Another connection with the same Client Identifier took the session." },
    [0x8F] = { "Topic Filter invalid",                   0,                                 SUBACKS | DISCONNECT,
        "The topic filter is well-formed, but the server does not accept it." },
    [0x90] = { "Topic Name invalid",                     PUBACK_PUBREC | DISCONNECT,        CONNACK | PUBACK_PUBREC | DISCONNECT,
        "The topic name is well-formed, but not accepted here." },
    [0x91] = { "Packet Identifier in use",               PUBACK_PUBREC,                     PUBACK_PUBREC | SUBACKS,
        "The packet identifier is still in use: the two sides disagree about the session." },
    [0x92] = { "Packet Identifier not found",            IN(MQTT_PUBREL) | IN(MQTT_PUBCOMP), IN(MQTT_PUBREL) | IN(MQTT_PUBCOMP),
        "The packet identifier is not known: normal after a reconnect, otherwise the two sides disagree." },
    [0x93] = { "Receive Maximum exceeded",               DISCONNECT,                        DISCONNECT,
        "More unacknowledged messages were sent than the Receive Maximum allows." },
    [0x94] = { "Topic Alias invalid",                    DISCONNECT,                        DISCONNECT,
        "A topic alias was 0, above the maximum, or never set." },
    [0x95] = { "Packet too large",                       DISCONNECT,                        CONNACK | DISCONNECT,
        "The packet is larger than the other side accepts." },
    [0x96] = { "Message rate too high",                  DISCONNECT,                        DISCONNECT,
        "Messages come faster than the other side accepts." },
    [0x97] = { "Quota exceeded",                         PUBACK_PUBREC | DISCONNECT,        CONNACK | PUBACK_PUBREC | IN(MQTT_SUBACK) | DISCONNECT,
        "A limit set by the other side's administrator is reached." },
    [0x98] = { "Administrative action",                  DISCONNECT,                        DISCONNECT,
        "An administrator closed the connection." },
    [0x99] = { "Payload format invalid",                 PUBACK_PUBREC | DISCONNECT,        CONNACK | PUBACK_PUBREC | DISCONNECT,
        "The payload is not what its Payload Format Indicator promises." },
    [0x9A] = { "Retain not supported",                   0,                                 CONNACK | DISCONNECT,
        "The server keeps no retained messages." },
    [0x9B] = { "QoS not supported",                      0,                                 CONNACK | DISCONNECT,
        "The server does not support this QoS." },
    [0x9C] = { "Use another server",                     0,                                 CONNACK | DISCONNECT,
        "Use another server for now; Server Reference may name it." },
    [0x9D] = { "Server moved",                           0,                                 CONNACK | DISCONNECT,
        "The server has moved for good; Server Reference may name the new place." },
    [0x9E] = { "Shared Subscriptions not supported",     0,                                 IN(MQTT_SUBACK) | DISCONNECT,
        "The server does not support shared subscriptions." },
    [0x9F] = { "Connection rate exceeded",               0,                                 CONNACK | DISCONNECT,
        "Too many connections in too short a time; wait and try again." },
    [0xA0] = { "Maximum connect time",                   0,                                 DISCONNECT,
        "The time allowed for this connection is over." },
    [0xA1] = { "Subscription Identifiers not supported", 0,                                 IN(MQTT_SUBACK) | DISCONNECT,
        "The server does not support subscription identifiers." },
    [0xA2] = { "Wildcard Subscriptions not supported",   0,                                 IN(MQTT_SUBACK) | DISCONNECT,
        "The server does not support wildcards in subscriptions." },
};
/* clang-format on */

static const struct reason_rule *rule_of(uint8_t code)
{
    if (code >= COUNT_OF(reasons) || reasons[code].name == NULL)
        return NULL;
    return &reasons[code];
}

/* MQTT311 3.2.2.3, Table 3.1. What is wrong with a packet has no code there, nor has what 3.1.1 cannot ask for. */
bool mqtt3_code_of(uint8_t reason, enum mqtt3_return_code *ret)
{
    switch (reason) {
    case MQTT_SUCCESS:
        *ret = MQTT3_ACCEPTED;
        return true;
    case MQTT_UNSUPPORTED_VERSION:
        *ret = MQTT3_UNACCEPTABLE_VERSION;
        return true;
    case MQTT_CLIENT_ID_NOT_VALID:
        *ret = MQTT3_IDENTIFIER_REJECTED;
        return true;
    case MQTT_UNSPECIFIED_ERROR:
    case MQTT_IMPLEMENTATION_ERROR:
    case MQTT_SERVER_UNAVAILABLE:
    case MQTT_SERVER_BUSY:
    case MQTT_SERVER_SHUTTING_DOWN:
    case MQTT_QUOTA_EXCEEDED:
    case MQTT_USE_ANOTHER_SERVER:
    case MQTT_SERVER_MOVED:
    case MQTT_CONNECTION_RATE_EXCEEDED:
        *ret = MQTT3_SERVER_UNAVAILABLE;
        return true;
    case MQTT_BAD_USER_NAME_OR_PASSWORD:
        *ret = MQTT3_BAD_USER_NAME_OR_PASSWORD;
        return true;
    case MQTT_NOT_AUTHORIZED:
    case MQTT_BANNED:
    case MQTT_BAD_AUTHENTICATION_METHOD:
        *ret = MQTT3_NOT_AUTHORIZED;
        return true;
    default:
        return false;
    }
}

const char *mqtt_reason_name(enum mqtt_packet_type type, uint8_t code)
{
    const struct reason_rule *rule = rule_of(code);

    if (rule == NULL)
        return "unknown reason code";
    if (code == MQTT_SUCCESS && type == MQTT_DISCONNECT)
        return "Normal disconnection";
    if (code == MQTT_SUCCESS && type == MQTT_SUBACK)
        return "Granted QoS 0";
    return rule->name;
}

const char *mqtt_reason_words(uint8_t code)
{
    const struct reason_rule *rule = rule_of(code);
    return rule == NULL ? "The other side gave a reason code that MQTT 5 does not define." : rule->words;
}

bool mqtt_reason_allowed(enum mqtt_packet_type type, enum mqtt_side from, uint8_t code)
{
    const struct reason_rule *rule = rule_of(code);

    if (rule == NULL)
        return false;
    return ((from == MQTT_FROM_CLIENT ? rule->client : rule->server) & IN(type)) != 0;
}
