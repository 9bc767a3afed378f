/* Every packet that MQTT 5 forbids is refused with its reason code, the statement it breaks, and the place.
 * Rows give the first byte and the body; the Remaining Length is made here. */
#include "mqtt/any_packet_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#define C MQTT_FROM_CLIENT
#define S MQTT_FROM_SERVER

struct row {
    const char *name;
    enum mqtt_side from;
    uint8_t first;
    const char *body; /* hex; spaces are skipped */
    enum status status;
    uint8_t code;
    const char *clause; /* of MQTT 5 without "MQTT5 " */
    size_t at;
};

#define CONNECT_TO_LEVEL "0004 4d515454 05"
#define CONNECT          CONNECT_TO_LEVEL " 02 003c"
#define WITH_WILL        CONNECT_TO_LEVEL " 06 003c 00 0000"

/* clang-format off */
static const struct row rows[] = {
    /* fixed header, 2.1 */
    { "type 0 is reserved",               C, 0x00, "",                                       ST_MALFORMED, 0x81, "2.1.2", 0 },
    { "CONNACK from a client",            C, 0x20, "0000 00",                                ST_PROTOCOL,  0x82, "2.1.2", 0 },
    { "SUBACK from a client",             C, 0x90, "0001 00 00",                             ST_PROTOCOL,  0x82, "2.1.2", 0 },
    { "UNSUBACK from a client",           C, 0xb0, "0001 00 00",                             ST_PROTOCOL,  0x82, "2.1.2", 0 },
    { "PINGRESP from a client",           C, 0xd0, "",                                       ST_PROTOCOL,  0x82, "2.1.2", 0 },
    { "CONNECT from a server",            S, 0x10, CONNECT " 00 0000",                       ST_PROTOCOL,  0x82, "2.1.2", 0 },
    { "SUBSCRIBE from a server",          S, 0x82, "0001 00 0001 61 00",                     ST_PROTOCOL,  0x82, "2.1.2", 0 },
    { "UNSUBSCRIBE from a server",        S, 0xa2, "0001 00 0001 61",                        ST_PROTOCOL,  0x82, "2.1.2", 0 },
    { "PINGREQ from a server",            S, 0xc0, "",                                       ST_PROTOCOL,  0x82, "2.1.2", 0 },
    { "flags of CONNECT",                 C, 0x11, CONNECT " 00 0000",                       ST_MALFORMED, 0x81, "[MQTT-2.1.3-1]", 0 },
    { "flags of CONNACK",                 S, 0x21, "0000 00",                                ST_MALFORMED, 0x81, "[MQTT-2.1.3-1]", 0 },
    { "flags of PUBACK",                  C, 0x42, "0001",                                   ST_MALFORMED, 0x81, "[MQTT-2.1.3-1]", 0 },
    { "flags of PUBREC",                  C, 0x51, "0001",                                   ST_MALFORMED, 0x81, "[MQTT-2.1.3-1]", 0 },
    { "flags of PUBREL",                  C, 0x60, "0001",                                   ST_MALFORMED, 0x81, "[MQTT-3.6.1-1]", 0 },
    { "flags of PUBCOMP",                 C, 0x74, "0001",                                   ST_MALFORMED, 0x81, "[MQTT-2.1.3-1]", 0 },
    { "flags of SUBSCRIBE",               C, 0x80, "0001 00 0001 61 00",                     ST_MALFORMED, 0x81, "[MQTT-3.8.1-1]", 0 },
    { "flags of SUBACK",                  S, 0x92, "0001 00 00",                             ST_MALFORMED, 0x81, "[MQTT-2.1.3-1]", 0 },
    { "flags of UNSUBSCRIBE",             C, 0xa3, "0001 00 0001 61",                        ST_MALFORMED, 0x81, "[MQTT-3.10.1-1]", 0 },
    { "flags of PINGREQ",                 C, 0xc1, "",                                       ST_MALFORMED, 0x81, "[MQTT-2.1.3-1]", 0 },
    { "flags of DISCONNECT",              C, 0xe1, "",                                       ST_MALFORMED, 0x81, "[MQTT-3.14.1-1]", 0 },
    { "flags of AUTH",                    C, 0xf8, "18 00",                                  ST_MALFORMED, 0x81, "[MQTT-3.15.1-1]", 0 },

    /* CONNECT, 3.1 */
    { "protocol name",                    C, 0x10, "0004 4d515455 05 02 0000 00 0000",       ST_BAD_VERSION, 0x84, "[MQTT-3.1.2-1]", 2 },
    { "protocol name in lower case",      C, 0x10, "0004 6d717474 05 02 0000 00 0000",       ST_BAD_VERSION, 0x84, "[MQTT-3.1.2-1]", 2 },
    { "protocol level 6",                 C, 0x10, "0004 4d515454 06 02 0000 00 0000",       ST_BAD_VERSION, 0x84, "[MQTT-3.1.2-2]", 8 },
    { "MQIsdp, protocol level 3",         C, 0x10, "0006 4d5149736470 03 02 0000 0000",      ST_BAD_VERSION, 0x84, "[MQTT-3.1.2-2]", 10 },
    { "MQIsdp, protocol level 5",         C, 0x10, "0006 4d5149736470 05 02 0000 00 0000",   ST_BAD_VERSION, 0x84, "[MQTT-3.1.2-1]", 2 },
    { "empty CONNECT",                    C, 0x10, "",                                       ST_MALFORMED, 0x81, "3.1", 2 },
    { "CONNECT ends in the name",         C, 0x10, "0004 4d51",                              ST_MALFORMED, 0x81, "3.1", 4 },
    { "CONNECT ends before the flags",    C, 0x10, CONNECT_TO_LEVEL,                         ST_MALFORMED, 0x81, "2.2.2.1", 9 },
    { "reserved Connect Flag",            C, 0x10, CONNECT_TO_LEVEL "03 0000 00 0000",       ST_MALFORMED, 0x81, "[MQTT-3.1.2-3]", 9 },
    { "Will QoS without Will",            C, 0x10, CONNECT_TO_LEVEL "0a 0000 00 0000",       ST_MALFORMED, 0x81, "[MQTT-3.1.2-11]", 9 },
    { "Will Retain without Will",         C, 0x10, CONNECT_TO_LEVEL "22 0000 00 0000",       ST_MALFORMED, 0x81, "[MQTT-3.1.2-13]", 9 },
    { "Will QoS 3",                       C, 0x10, CONNECT_TO_LEVEL "1e 0000 00 0000 00 000161 0000", ST_MALFORMED, 0x81, "[MQTT-3.1.2-12]", 9 },
    { "no Client Identifier",             C, 0x10, CONNECT " 00",                            ST_MALFORMED, 0x81, "3.1", 13 },
    { "Client Identifier is not UTF-8",   C, 0x10, CONNECT " 00 0002 c328",                  ST_MALFORMED, 0x81, "[MQTT-1.5.4-1]", 13 },
    { "surrogate in Client Identifier",   C, 0x10, CONNECT " 00 0003 eda080",                ST_MALFORMED, 0x81, "[MQTT-1.5.4-1]", 13 },
    { "U+0000 in Client Identifier",      C, 0x10, CONNECT " 00 0003 610062",                ST_MALFORMED, 0x81, "[MQTT-1.5.4-2]", 13 },
    { "no Property Length",               C, 0x10, CONNECT,                                  ST_MALFORMED, 0x81, "2.2.2.1", 12 },
    { "Property Length beyond the end",   C, 0x10, CONNECT " 7f 0000",                       ST_MALFORMED, 0x81, "2.2.2.1", 12 },
    { "Property Length in a long form",   C, 0x10, CONNECT " 8000 0000",                     ST_MALFORMED, 0x81, "2.2.2.1", 12 },
    { "Receive Maximum 0",                C, 0x10, CONNECT " 03 210000 0000",                ST_PROTOCOL,  0x82, "3.1.2.11.3", 13 },
    { "Maximum Packet Size 0",            C, 0x10, CONNECT " 05 2700000000 0000",            ST_PROTOCOL,  0x82, "3.1.2.11.4", 13 },
    { "Request Problem Information 2",    C, 0x10, CONNECT " 02 1702 0000",                  ST_PROTOCOL,  0x82, "3.1.2.11.7", 13 },
    { "Request Response Information 2",   C, 0x10, CONNECT " 02 1902 0000",                  ST_PROTOCOL,  0x82, "3.1.2.11.6", 13 },
    { "Session Expiry Interval twice",    C, 0x10, CONNECT " 0a 1100000001 1100000001 0000", ST_PROTOCOL,  0x82, "3.1.2.11.2", 18 },
    { "Authentication Method twice",      C, 0x10, CONNECT " 08 15000161 15000161 0000",     ST_PROTOCOL,  0x82, "3.1.2.11.9", 17 },
    { "Authentication Data alone",        C, 0x10, CONNECT " 04 160001aa 0000",              ST_PROTOCOL,  0x82, "3.1.2.11.10", 17 },
    { "property of PUBLISH in CONNECT",   C, 0x10, CONNECT " 02 0100 0000",                  ST_MALFORMED, 0x81, "2.2.2.2", 13 },
    { "Will property in CONNECT",         C, 0x10, CONNECT " 05 1800000000 0000",            ST_MALFORMED, 0x81, "2.2.2.2", 13 },
    { "unknown property 0x7e",            C, 0x10, CONNECT " 02 7e00 0000",                  ST_MALFORMED, 0x81, "2.2.2.2", 13 },
    { "unknown property of two bytes",    C, 0x10, CONNECT " 03 810100 0000",                ST_MALFORMED, 0x81, "2.2.2.2", 13 },
    { "property identifier, long form",   C, 0x10, CONNECT " 06 918000000000 0000",          ST_MALFORMED, 0x81, "2.2.2.2", 13 },
    { "property ends too early",          C, 0x10, CONNECT " 03 110000 0000",                ST_MALFORMED, 0x81, "2.2.2.2", 13 },
    { "user property without a value",    C, 0x10, CONNECT " 04 26000161 0000",              ST_MALFORMED, 0x81, "2.2.2.2", 13 },
    { "user property name not UTF-8",     C, 0x10, CONNECT " 06 260001ff 0000 0000",         ST_MALFORMED, 0x81, "[MQTT-1.5.4-1]", 13 },
    { "U+0000 in a user property value",  C, 0x10, CONNECT " 07 26000161 000100 0000",       ST_MALFORMED, 0x81, "[MQTT-1.5.4-2]", 13 },
    { "wildcard in the Will Topic",       C, 0x10, WITH_WILL " 00 0003 612f23 0000",         ST_MALFORMED, 0x81, "[MQTT-3.3.2-2]", 20 },
    { "empty Will Topic",                 C, 0x10, WITH_WILL " 00 0000 0000",                ST_MALFORMED, 0x81, "[MQTT-4.7.3-1]", 18 },
    { "Will Topic is not UTF-8",          C, 0x10, WITH_WILL " 00 0001 80 0000",             ST_MALFORMED, 0x81, "[MQTT-1.5.4-1]", 18 },
    { "no Will Message",                  C, 0x10, WITH_WILL " 00 0001 61",                  ST_MALFORMED, 0x81, "3.1", 19 },
    { "Topic Alias in a Will",            C, 0x10, WITH_WILL " 03 230001 0001 61 0000",      ST_MALFORMED, 0x81, "2.2.2.2", 16 },
    { "Will Payload Format Indicator 2",  C, 0x10, WITH_WILL " 02 0102 0001 61 0000",        ST_PROTOCOL,  0x82, "3.3.2.3.2", 16 },
    { "Will Delay Interval twice",        C, 0x10, WITH_WILL " 0a 1800000001 1800000001 0001 61 0000", ST_PROTOCOL, 0x82, "3.1.3.2.2", 21 },
    { "no User Name",                     C, 0x10, CONNECT_TO_LEVEL "82 0000 00 0000",       ST_MALFORMED, 0x81, "3.1", 15 },
    { "User Name is not UTF-8",           C, 0x10, CONNECT_TO_LEVEL "82 0000 00 0000 0001 c0", ST_MALFORMED, 0x81, "[MQTT-1.5.4-1]", 15 },
    { "no Password",                      C, 0x10, CONNECT_TO_LEVEL "42 0000 00 0000",       ST_MALFORMED, 0x81, "3.1", 15 },
    { "bytes behind CONNECT",             C, 0x10, CONNECT " 00 0000 00",                    ST_MALFORMED, 0x81, "3.1", 15 },

    /* CONNACK, 3.2 */
    { "reserved flags of CONNACK",        S, 0x20, "02 00 00",                               ST_MALFORMED, 0x81, "[MQTT-3.2.2-1]", 2 },
    { "CONNACK with a PUBREL code",       S, 0x20, "00 92 00",                               ST_MALFORMED, 0x81, "[MQTT-3.2.2-8]", 3 },
    { "CONNACK with 0x01",                S, 0x20, "00 01 00",                               ST_MALFORMED, 0x81, "[MQTT-3.2.2-8]", 3 },
    { "session present, yet refused",     S, 0x20, "01 87 00",                               ST_PROTOCOL,  0x82, "[MQTT-3.2.2-6]", 2 },
    { "CONNACK without properties",       S, 0x20, "00 00",                                  ST_MALFORMED, 0x81, "2.2.2.1", 4 },
    { "CONNACK of one byte",              S, 0x20, "00",                                     ST_MALFORMED, 0x81, "3.2", 3 },
    { "Maximum QoS 2",                    S, 0x20, "00 00 02 2402",                          ST_PROTOCOL,  0x82, "3.2.2.3.4", 5 },
    { "Retain Available 2",               S, 0x20, "00 00 02 2502",                          ST_PROTOCOL,  0x82, "3.2.2.3.5", 5 },
    { "Wildcard Available 2",             S, 0x20, "00 00 02 2802",                          ST_PROTOCOL,  0x82, "3.2.2.3.11", 5 },
    { "Subscription Id Available 2",      S, 0x20, "00 00 02 2902",                          ST_PROTOCOL,  0x82, "3.2.2.3.12", 5 },
    { "Shared Available 255",             S, 0x20, "00 00 02 2aff",                          ST_PROTOCOL,  0x82, "3.2.2.3.13", 5 },
    { "Receive Maximum 0 by the server",  S, 0x20, "00 00 03 210000",                        ST_PROTOCOL,  0x82, "3.1.2.11.3", 5 },
    { "Server Keep Alive twice",          S, 0x20, "00 00 06 130001 130001",                 ST_PROTOCOL,  0x82, "3.2.2.3.14", 8 },
    { "Will Delay in CONNACK",            S, 0x20, "00 00 05 1800000000",                    ST_MALFORMED, 0x81, "2.2.2.2", 5 },
    { "bytes behind CONNACK",             S, 0x20, "00 00 00 00",                            ST_MALFORMED, 0x81, "3.2", 5 },

    /* PUBLISH, 3.3 */
    { "QoS 3",                            C, 0x36, "0001 61 0001 00",                        ST_MALFORMED, 0x81, "[MQTT-3.3.1-4]", 0 },
    { "DUP with QoS 0",                   C, 0x38, "0001 61 00",                             ST_MALFORMED, 0x81, "[MQTT-3.3.1-2]", 0 },
    { "empty PUBLISH",                    C, 0x30, "",                                       ST_MALFORMED, 0x81, "3.3", 2 },
    { "topic longer than the packet",     C, 0x30, "0005 61",                                ST_MALFORMED, 0x81, "3.3", 4 },
    { "+ in a topic name",                C, 0x30, "0003 612f2b 00",                         ST_MALFORMED, 0x81, "[MQTT-3.3.2-2]", 6 },
    { "# in a topic name",                C, 0x30, "0001 23 00",                             ST_MALFORMED, 0x81, "[MQTT-3.3.2-2]", 4 },
    { "U+0000 in a topic name",           C, 0x30, "0002 6100 00",                           ST_MALFORMED, 0x81, "[MQTT-4.7.3-2]", 5 },
    { "topic name is not UTF-8",          C, 0x30, "0002 c0af 00",                           ST_MALFORMED, 0x81, "[MQTT-1.5.4-1]", 4 },
    { "no topic and no alias",            C, 0x30, "0000 00 61",                             ST_PROTOCOL,  0x82, "3.3.2.1", 2 },
    { "packet identifier 0, client",      C, 0x32, "0001 61 0000 00",                        ST_PROTOCOL,  0x82, "[MQTT-2.2.1-3]", 5 },
    { "packet identifier 0, server",      S, 0x34, "0001 61 0000 00",                        ST_PROTOCOL,  0x82, "[MQTT-2.2.1-4]", 5 },
    { "PUBLISH ends in the identifier",   C, 0x32, "0001 61 00",                             ST_MALFORMED, 0x81, "2.2.2.1", 5 },
    { "Topic Alias 0",                    C, 0x30, "0000 03 230000 61",                      ST_BAD_TOPIC_ALIAS, 0x94, "[MQTT-3.3.2-8]", 5 },
    { "Topic Alias twice",                C, 0x30, "0000 06 230001 230001",                  ST_PROTOCOL,  0x82, "3.3.2.3.4", 8 },
    { "Payload Format Indicator 2",       C, 0x30, "0001 61 02 0102",                        ST_PROTOCOL,  0x82, "3.3.2.3.2", 6 },
    { "Message Expiry Interval twice",    C, 0x30, "0001 61 0a 0200000001 0200000001",       ST_PROTOCOL,  0x82, "3.3.2.3.3", 11 },
    { "Content Type is not UTF-8",        C, 0x30, "0001 61 04 030001ff",                    ST_MALFORMED, 0x81, "[MQTT-1.5.4-1]", 6 },
    { "wildcard in the Response Topic",   C, 0x30, "0001 61 06 080003612f2b",                ST_MALFORMED, 0x81, "[MQTT-3.3.2-14]", 6 },
    { "empty Response Topic",             C, 0x30, "0001 61 03 080000",                      ST_MALFORMED, 0x81, "[MQTT-4.7.3-1]", 6 },
    { "Correlation Data twice",           C, 0x30, "0001 61 06 090000 090000",               ST_PROTOCOL,  0x82, "3.3.2.3.6", 9 },
    { "Subscription Id from a client",    C, 0x30, "0001 61 02 0b01",                        ST_PROTOCOL,  0x82, "[MQTT-3.3.4-6]", 6 },
    { "Subscription Identifier 0",        S, 0x30, "0001 61 02 0b00",                        ST_PROTOCOL,  0x82, "3.8.2.1.2", 6 },
    { "Subscription Id of five bytes",    S, 0x30, "0001 61 06 0b8080808001",                ST_MALFORMED, 0x81, "2.2.2.2", 6 },
    { "Reason String in PUBLISH",         C, 0x30, "0001 61 03 1f0000",                      ST_MALFORMED, 0x81, "2.2.2.2", 6 },
    { "Session Expiry in PUBLISH",        C, 0x30, "0001 61 05 1100000000",                  ST_MALFORMED, 0x81, "2.2.2.2", 6 },

    /* PUBACK, PUBREC, PUBREL, PUBCOMP, 3.4 to 3.7 */
    { "PUBACK of packet identifier 0",    C, 0x40, "0000",                                   ST_PROTOCOL,  0x82, "2.2.1", 2 },
    { "PUBACK of one byte",               C, 0x40, "00",                                     ST_MALFORMED, 0x81, "3.4", 2 },
    { "empty PUBREL",                     C, 0x62, "",                                       ST_MALFORMED, 0x81, "3.6", 2 },
    { "PUBACK with a PUBREL code",        C, 0x40, "0001 92",                                ST_MALFORMED, 0x81, "[MQTT-3.4.2-1]", 4 },
    { "PUBREC with 0x01",                 C, 0x50, "0001 01",                                ST_MALFORMED, 0x81, "[MQTT-3.5.2-1]", 4 },
    { "PUBREL with 0x87",                 C, 0x62, "0001 87",                                ST_MALFORMED, 0x81, "[MQTT-3.6.2-1]", 4 },
    { "PUBCOMP with 0x10",                C, 0x70, "0001 10",                                ST_MALFORMED, 0x81, "[MQTT-3.7.2-1]", 4 },
    { "PUBACK, two Reason Strings",       C, 0x40, "0001 00 06 1f0000 1f0000",               ST_PROTOCOL,  0x82, "3.2.2.3.9", 9 },
    { "Content Type in PUBACK",           C, 0x40, "0001 00 03 030000",                      ST_MALFORMED, 0x81, "2.2.2.2", 6 },
    { "bytes behind PUBCOMP",             C, 0x70, "0001 00 00 00",                          ST_MALFORMED, 0x81, "3.7", 6 },

    /* SUBSCRIBE, 3.8 */
    { "SUBSCRIBE, packet identifier 0",   C, 0x82, "0000 00 0001 61 00",                     ST_PROTOCOL,  0x82, "[MQTT-2.2.1-3]", 2 },
    { "SUBSCRIBE without a filter",       C, 0x82, "0001 00",                                ST_PROTOCOL,  0x82, "[MQTT-3.8.3-2]", 5 },
    { "SUBSCRIBE without options",        C, 0x82, "0001 00 0001 61",                        ST_MALFORMED, 0x81, "3.8", 8 },
    { "filter longer than the packet",    C, 0x82, "0001 00 0002 61",                        ST_MALFORMED, 0x81, "3.8", 7 },
    { "filter is not UTF-8",              C, 0x82, "0001 00 0001 ff 00",                     ST_MALFORMED, 0x81, "[MQTT-1.5.4-1]", 7 },
    { "empty filter",                     C, 0x82, "0001 00 0000 00",                        ST_MALFORMED, 0x81, "[MQTT-4.7.3-1]", 7 },
    { "filter a#",                        C, 0x82, "0001 00 0002 6123 00",                   ST_MALFORMED, 0x81, "[MQTT-4.7.1-1]", 8 },
    { "filter #/a",                       C, 0x82, "0001 00 0003 232f61 00",                 ST_MALFORMED, 0x81, "[MQTT-4.7.1-1]", 7 },
    { "filter a+/b",                      C, 0x82, "0001 00 0004 612b2f62 00",               ST_MALFORMED, 0x81, "[MQTT-4.7.1-2]", 8 },
    { "the second filter is bad",         C, 0x82, "0001 00 0001 61 00 0002 2b2b 00",        ST_MALFORMED, 0x81, "[MQTT-4.7.1-2]", 11 },
    { "reserved option bit 6",            C, 0x82, "0001 00 0001 61 40",                     ST_MALFORMED, 0x81, "[MQTT-3.8.3-5]", 8 },
    { "reserved option bit 7",            C, 0x82, "0001 00 0001 61 80",                     ST_MALFORMED, 0x81, "[MQTT-3.8.3-5]", 8 },
    { "requested QoS 3",                  C, 0x82, "0001 00 0001 61 03",                     ST_PROTOCOL,  0x82, "3.8.3.1", 8 },
    { "Retain Handling 3",                C, 0x82, "0001 00 0001 61 30",                     ST_PROTOCOL,  0x82, "3.8.3.1", 8 },
    { "No Local on a shared one",         C, 0x82, "0001 00 000a 2473686172652f672f61 04",   ST_PROTOCOL,  0x82, "[MQTT-3.8.3-4]", 17 },
    { "empty ShareName",                  C, 0x82, "0001 00 0009 2473686172652f2f61 00",     ST_MALFORMED, 0x81, "[MQTT-4.8.2-1]", 14 },
    { "wildcard ShareName",               C, 0x82, "0001 00 000a 2473686172652f2b2f61 00",   ST_MALFORMED, 0x81, "[MQTT-4.8.2-2]", 14 },
    { "ShareName without a filter",       C, 0x82, "0001 00 0008 2473686172652f67 00",       ST_MALFORMED, 0x81, "[MQTT-4.8.2-2]", 15 },
    { "ShareName with an empty filter",   C, 0x82, "0001 00 0009 2473686172652f672f 00",     ST_MALFORMED, 0x81, "[MQTT-4.8.2-2]", 15 },
    { "SUBSCRIBE, Subscription Id 0",     C, 0x82, "0001 02 0b00 0001 61 00",                ST_PROTOCOL,  0x82, "3.8.2.1.2", 5 },
    { "SUBSCRIBE, Subscription Id twice", C, 0x82, "0001 04 0b01 0b02 0001 61 00",           ST_PROTOCOL,  0x82, "3.8.2.1.2", 7 },
    { "Reason String in SUBSCRIBE",       C, 0x82, "0001 03 1f0000 0001 61 00",              ST_MALFORMED, 0x81, "2.2.2.2", 5 },

    /* SUBACK, UNSUBSCRIBE, UNSUBACK, 3.9 to 3.11 */
    { "SUBACK without a code",            S, 0x90, "0001 00",                                ST_PROTOCOL,  0x82, "[MQTT-3.8.4-6]", 5 },
    { "SUBACK with an unknown code",      S, 0x90, "0001 00 00 03",                          ST_MALFORMED, 0x81, "[MQTT-3.9.3-2]", 6 },
    { "SUBACK of packet identifier 0",    S, 0x90, "0000 00 00",                             ST_PROTOCOL,  0x82, "2.2.1", 2 },
    { "UNSUBSCRIBE, identifier 0",        C, 0xa2, "0000 00 0001 61",                        ST_PROTOCOL,  0x82, "[MQTT-2.2.1-3]", 2 },
    { "UNSUBSCRIBE without a filter",     C, 0xa2, "0001 00",                                ST_PROTOCOL,  0x82, "[MQTT-3.10.3-2]", 5 },
    { "UNSUBSCRIBE, bad filter",          C, 0xa2, "0001 00 0002 2361",                      ST_MALFORMED, 0x81, "[MQTT-4.7.1-1]", 7 },
    { "UNSUBSCRIBE, half a filter",       C, 0xa2, "0001 00 0001 61 00",                     ST_MALFORMED, 0x81, "3.10", 8 },
    { "Subscription Id in UNSUBSCRIBE",   C, 0xa2, "0001 02 0b01 0001 61",                   ST_MALFORMED, 0x81, "2.2.2.2", 5 },
    { "UNSUBACK without a code",          S, 0xb0, "0001 00",                                ST_PROTOCOL,  0x82, "3.11.3", 5 },
    { "UNSUBACK with a granted QoS",      S, 0xb0, "0001 00 01",                             ST_MALFORMED, 0x81, "[MQTT-3.11.3-2]", 5 },

    /* PINGREQ, PINGRESP, 3.12 and 3.13 */
    { "PINGREQ with a body",              C, 0xc0, "00",                                     ST_MALFORMED, 0x81, "3.12", 2 },
    { "PINGRESP with a body",             S, 0xd0, "00",                                     ST_MALFORMED, 0x81, "3.13", 2 },

    /* DISCONNECT, 3.14 */
    { "server's code from a client",      C, 0xe0, "8b",                                     ST_MALFORMED, 0x81, "[MQTT-3.14.2-1]", 2 },
    { "client's code from a server",      S, 0xe0, "04",                                     ST_MALFORMED, 0x81, "[MQTT-3.14.2-1]", 2 },
    { "DISCONNECT with 0x85",             S, 0xe0, "85",                                     ST_MALFORMED, 0x81, "[MQTT-3.14.2-1]", 2 },
    { "Session Expiry from a server",     S, 0xe0, "00 05 1100000000",                       ST_PROTOCOL,  0x82, "[MQTT-3.14.2-2]", 4 },
    { "Authentication Method in it",      C, 0xe0, "00 04 15000161",                         ST_MALFORMED, 0x81, "2.2.2.2", 4 },
    { "bytes behind DISCONNECT",          C, 0xe0, "00 00 00",                               ST_MALFORMED, 0x81, "3.14", 4 },

    /* AUTH, 3.15 */
    { "Success from a client",            C, 0xf0, "00 04 15000161",                         ST_MALFORMED, 0x81, "[MQTT-3.15.2-1]", 2 },
    { "empty AUTH from a client",         C, 0xf0, "",                                       ST_MALFORMED, 0x81, "[MQTT-3.15.2-1]", 2 },
    { "Re-authenticate from a server",    S, 0xf0, "19 04 15000161",                         ST_MALFORMED, 0x81, "[MQTT-3.15.2-1]", 2 },
    { "AUTH with 0x87",                   S, 0xf0, "87 04 15000161",                         ST_MALFORMED, 0x81, "[MQTT-3.15.2-1]", 2 },
    { "AUTH without a method",            C, 0xf0, "18 00",                                  ST_PROTOCOL,  0x82, "3.15.2.2.2", 2 },
    { "AUTH with data and no method",     C, 0xf0, "18 04 160001aa",                         ST_PROTOCOL,  0x82, "3.1.2.11.10", 8 },
    { "AUTH without Property Length",     C, 0xf0, "18",                                     ST_MALFORMED, 0x81, "2.2.2.1", 3 },
    { "bytes behind AUTH",                S, 0xf0, "00 04 15000161 00",                      ST_MALFORMED, 0x81, "3.15", 8 },
};

/* MQTT 3.1.1: the same, by its own statements. AUTH is no packet there (see the broker's tests). */
#define CONNECT311  "0004 4d515454 04"
#define REFUSED     ST_MALFORMED, 0x81
#define NOT_ALLOWED ST_PROTOCOL, 0x82
static const struct row rows311[] = {
    /* CONNECT, 3.1 */
    { "reserved Connect Flag",            C, 0x10, CONNECT311 " 03 003c 0001 61",            REFUSED,     "MQTT311 [MQTT-3.1.2-3]", 9 },
    { "Will QoS without Will",            C, 0x10, CONNECT311 " 0a 003c 0001 61",            REFUSED,     "MQTT311 [MQTT-3.1.2-13]", 9 },
    { "Will QoS 3",                       C, 0x10, CONNECT311 " 1e 003c 0001 61 0001 61 0000", REFUSED,   "MQTT311 [MQTT-3.1.2-14]", 9 },
    { "Will Retain without Will",         C, 0x10, CONNECT311 " 22 003c 0001 61",            REFUSED,     "MQTT311 [MQTT-3.1.2-15]", 9 },
    { "password without user name",       C, 0x10, CONNECT311 " 42 003c 0001 61 0001 62",    REFUSED,     "MQTT311 [MQTT-3.1.2-22]", 9 },
    { "no client identifier, no clean session", C, 0x10, CONNECT311 " 00 003c 0000",         ST_BAD_CLIENT_ID, 0x85, "MQTT311 [MQTT-3.1.3-8]", 12 },
    { "client identifier not UTF-8",      C, 0x10, CONNECT311 " 02 003c 0001 ff",            REFUSED,     "MQTT311 [MQTT-1.5.3-1]", 12 },
    { "U+0000 in a user name",            C, 0x10, CONNECT311 " 82 003c 0001 61 0001 00",    REFUSED,     "MQTT311 [MQTT-1.5.3-2]", 15 },
    { "client identifier missing",        C, 0x10, CONNECT311 " 02 003c",                    REFUSED,     "MQTT311 3.1", 12 },
    { "user name missing",                C, 0x10, CONNECT311 " 82 003c 0001 61",            REFUSED,     "MQTT311 3.1", 15 },
    { "password missing",                 C, 0x10, CONNECT311 " c2 003c 0001 61 0001 62",    REFUSED,     "MQTT311 3.1", 18 },
    { "Will topic missing",               C, 0x10, CONNECT311 " 06 003c 0001 61",            REFUSED,     "MQTT311 3.1", 15 },
    { "Will message missing",             C, 0x10, CONNECT311 " 06 003c 0001 61 0001 62",    REFUSED,     "MQTT311 3.1", 18 },
    { "Will topic with a wildcard",       C, 0x10, CONNECT311 " 06 003c 0001 61 0001 23 0000", REFUSED,   "MQTT5 [MQTT-3.3.2-2]", 17 },
    { "a user name nobody announced",     C, 0x10, CONNECT311 " 02 003c 0001 61 0001 62",    REFUSED,     "MQTT311 3.1", 15 },
    { "properties of MQTT 5",             C, 0x10, CONNECT311 " 02 003c 00 0001 61",         REFUSED,     "MQTT311 3.1", 14 },
    /* CONNACK, 3.2 */
    { "reserved flags of CONNACK",        S, 0x20, "02 00",                                  REFUSED,     "MQTT311 3.2.2.1", 2 },
    { "reserved return code",             S, 0x20, "00 06",                                  REFUSED,     "MQTT311 3.2.2.3", 3 },
    { "a reason code of MQTT 5",          S, 0x20, "00 87",                                  REFUSED,     "MQTT311 3.2.2.3", 3 },
    { "Session Present on a refusal",     S, 0x20, "01 05",                                  NOT_ALLOWED, "MQTT311 [MQTT-3.2.2-4]", 2 },
    { "CONNACK of MQTT 5",                S, 0x20, "00 00 00",                               REFUSED,     "MQTT311 3.2", 4 },
    /* PUBLISH, 3.3 */
    { "both QoS bits",                    C, 0x36, "0001 61 0001",                           REFUSED,     "MQTT5 [MQTT-3.3.1-4]", 0 },
    { "packet identifier 0",              C, 0x32, "0001 61 0000",                           NOT_ALLOWED, "MQTT311 [MQTT-2.3.1-1]", 5 },
    { "packet identifier missing",        C, 0x32, "0001 61",                                REFUSED,     "MQTT311 3.3", 5 },
    { "an empty topic",                   C, 0x30, "0000 61",                                REFUSED,     "MQTT311 [MQTT-4.7.3-1]", 2 },
    { "a wildcard in a topic",            C, 0x30, "0001 2b",                                REFUSED,     "MQTT5 [MQTT-3.3.2-2]", 4 },
    /* acknowledgements, 3.4 to 3.7 */
    { "PUBACK with a reason code",        C, 0x40, "0001 00",                                REFUSED,     "MQTT311 3.4", 4 },
    { "PUBREC with a reason code",        C, 0x50, "0001 00",                                REFUSED,     "MQTT311 3.5", 4 },
    { "PUBREL with a reason code",        C, 0x62, "0001 00",                                REFUSED,     "MQTT311 3.6", 4 },
    { "PUBCOMP with a reason code",       C, 0x70, "0001 00",                                REFUSED,     "MQTT311 3.7", 4 },
    { "PUBACK of nothing",                C, 0x40, "0000",                                   NOT_ALLOWED, "MQTT311 2.3.1", 2 },
    { "PUBACK without identifier",        C, 0x40, "",                                       REFUSED,     "MQTT311 3.4", 2 },
    /* SUBSCRIBE and UNSUBSCRIBE, 3.8 and 3.10 */
    { "SUBSCRIBE with identifier 0",      C, 0x82, "0000 0001 61 00",                        NOT_ALLOWED, "MQTT311 [MQTT-2.3.1-1]", 2 },
    { "SUBSCRIBE to nothing",             C, 0x82, "0001",                                   NOT_ALLOWED, "MQTT311 [MQTT-3.8.3-3]", 4 },
    { "requested QoS 3",                  C, 0x82, "0001 0001 61 03",                        REFUSED,     "MQTT311 [MQTT-3.8.3-4]", 7 },
    { "options of MQTT 5: No Local",      C, 0x82, "0001 0001 61 04",                        REFUSED,     "MQTT311 [MQTT-3.8.3-4]", 7 },
    { "options of MQTT 5: Retain",        C, 0x82, "0001 0001 61 10",                        REFUSED,     "MQTT311 [MQTT-3.8.3-4]", 7 },
    { "QoS missing",                      C, 0x82, "0001 0001 61",                           REFUSED,     "MQTT311 3.8", 7 },
    { "UNSUBSCRIBE with identifier 0",    C, 0xa2, "0000 0001 61",                           NOT_ALLOWED, "MQTT311 [MQTT-2.3.1-1]", 2 },
    { "UNSUBSCRIBE from nothing",         C, 0xa2, "0001",                                   NOT_ALLOWED, "MQTT311 [MQTT-3.10.3-2]", 4 },
    { "UNSUBSCRIBE cut short",            C, 0xa2, "0001 0002 61",                           REFUSED,     "MQTT311 3.10", 6 },
    /* SUBACK and UNSUBACK, 3.9 and 3.11 */
    { "SUBACK without codes",             S, 0x90, "0001",                                   NOT_ALLOWED, "MQTT311 [MQTT-3.8.4-5]", 4 },
    { "SUBACK with a code of MQTT 5",     S, 0x90, "0001 00 87",                             REFUSED,     "MQTT311 [MQTT-3.9.3-2]", 5 },
    { "SUBACK granting QoS 3",            S, 0x90, "0001 03",                                REFUSED,     "MQTT311 [MQTT-3.9.3-2]", 4 },
    { "UNSUBACK with codes",              S, 0xb0, "0001 00",                                REFUSED,     "MQTT311 3.11", 4 },
    /* DISCONNECT, 3.14 */
    { "DISCONNECT with a reason code",    C, 0xe0, "00",                                     REFUSED,     "MQTT311 3.14", 2 },
    { "DISCONNECT from a server",         S, 0xe0, "",                                       NOT_ALLOWED, "MQTT311 2.2.1", 0 },
};
/* clang-format on */

static uint8_t hex_digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void put_hex(struct buf *out, const char *hex)
{
    for (; *hex != '\0'; hex++) {
        if (*hex == ' ')
            continue;
        put_u8(out, (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1])));
        hex++;
    }
}

static void put_packet(struct buf *out, uint8_t first, const char *body_hex)
{
    struct buf body;

    buf_init(&body, 4096);
    put_hex(&body, body_hex);
    put_u8(out, first);
    put_varint(out, (uint32_t)body.len);
    put_bytes(out, buf_span(&body));
    buf_done(&body);
}

/* A copy of exactly that size, so that a sanitizer sees one byte too far. */
static uint8_t *exact_copy(struct span s)
{
    uint8_t *p = malloc(s.len > 0 ? s.len : 1);
    assert_non_null(p);
    if (s.len > 0)
        memcpy(p, s.p, s.len);
    return p;
}

static void check_row(const struct row *row, enum mqtt_version version, const char *prefix)
{
    size_t skip = strlen(prefix);
    struct buf packet;
    struct any_packet read;
    struct why why = { 0 };

    buf_init(&packet, 4096);
    put_packet(&packet, row->first, row->body);
    uint8_t *copy = exact_copy(buf_span(&packet));
    enum status st =
        any_packet_read_as(version, span_of(copy, packet.len), row->from, MQTT_PACKET_SIZE_MAX, &read, &why);
    if (st != row->status || status_mqtt5_code(st) != row->code || why.clause == NULL ||
        strncmp(why.clause, prefix, skip) != 0 || strcmp(why.clause + skip, row->clause) != 0 ||
        why.at != row->at)
        fail_msg("%s: %s %s at %zu (%s)", row->name, status_name(st), why.clause, why.at, why.text);
    /* without anybody asking why, it is refused all the same */
    assert_int_equal(
        any_packet_read_as(version, span_of(copy, packet.len), row->from, MQTT_PACKET_SIZE_MAX, &read, NULL),
        st);
    free(copy);
    buf_done(&packet);
}

static void forbidden_packets_are_refused_by_clause_and_place(void **state UNUSED)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check_row(&rows[i], MQTT_5, "MQTT5 ");
}

static void forbidden_packets_of_3_1_1_are_refused_by_clause_and_place(void **state UNUSED)
{
    for (size_t i = 0; i < COUNT_OF(rows311); i++)
        check_row(&rows311[i], MQTT_3_1_1, "");
}

static void return_codes_of_3_1_1_say_what_the_reason_said(void **state UNUSED)
{
    static const struct { /* MQTT311 3.2.2.3; -1: MQTT311 [MQTT-3.2.2-6] */
        uint8_t reason;
        int code;
    } pairs[] = {
        { 0x00, 0 }, { 0x84, 1 }, { 0x85, 2 }, { 0x88, 3 },  { 0x8b, 3 },  { 0x97, 3 },  { 0x86, 4 },
        { 0x87, 5 }, { 0x8a, 5 }, { 0x8c, 5 }, { 0x81, -1 }, { 0x82, -1 }, { 0x95, -1 }, { 0x9a, -1 }
    };

    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        enum mqtt3_return_code code;
        bool any = mqtt3_code_of(pairs[i].reason, &code);
        assert_int_equal(any ? (int)code : -1, pairs[i].code);
    }
}

static void older_protocol_levels_are_told_to_the_caller(void **state UNUSED)
{
    static const struct {
        const char *body;
        int version;
    } asked[] = {
        { "0006 4d5149736470 03 02 003c 0000", MQTT_3_1 },
        { "0004 4d515454 06 02 003c 00 0000", 6 },
    };

    for (size_t i = 0; i < COUNT_OF(asked); i++) { /* MT-120: CONNACK in the client's own language needs this */
        struct buf packet;
        struct any_packet read;
        buf_init(&packet, 256);
        put_packet(&packet, 0x10, asked[i].body);
        assert_int_equal(any_packet_read(buf_span(&packet), C, 256, &read, NULL), ST_BAD_VERSION);
        assert_int_equal(read.u.connect.version, asked[i].version);
        buf_reset(&packet);
        mqtt_write_connack(&packet, MQTT_3_1_1, &(struct mqtt_connack){ .reason = MQTT3_UNACCEPTABLE_VERSION });
        assert_int_equal(packet.len, 4); /* MQTT311 3.2: 20 02 00 01 */
        assert_memory_equal(packet.p, "\x20\x02\x00\x01", 4);
        buf_done(&packet);
    }
}

static void a_server_of_an_older_version_is_recognized(void **state UNUSED)
{
    struct any_packet read;
    struct why why;

    /* MQTT311 3.2.2.3: return code 1, unacceptable protocol version; MT-120 from the other side */
    assert_int_equal(any_packet_read(SPAN("\x20\x02\x00\x01"), S, 256, &read, &why), ST_BAD_VERSION);
    assert_string_equal(why.clause, "MQTT311 3.2.2.3");
}

static void remaining_length_is_a_shortest_form_of_four_bytes(void **state UNUSED)
{
    static const struct {
        const char *bytes;
        enum status status;
    } lengths[] = { /* MQTT5 [MQTT-1.5.5-1], 2.1.4 */
                    { "c0", ST_PENDING },
                    { "c080", ST_PENDING },
                    { "c08080", ST_PENDING },
                    { "c0808080", ST_PENDING },
                    { "c080808080", ST_MALFORMED },
                    { "c08000", ST_MALFORMED },
                    { "c0808000", ST_MALFORMED },
                    { "c0ffffffff", ST_MALFORMED },
                    { "c0ffffff7f", ST_PENDING },
                    { "c0 00", ST_OK },
                    { "", ST_PENDING }
    };

    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        struct buf b;
        struct any_packet read;
        struct why why = { 0 };
        buf_init(&b, 16);
        put_hex(&b, lengths[i].bytes);
        enum status st = any_packet_read(buf_span(&b), C, MQTT_PACKET_SIZE_MAX, &read, &why);
        assert_int_equal(st, lengths[i].status);
        if (st == ST_MALFORMED)
            assert_string_equal(why.clause, "MQTT5 [MQTT-1.5.5-1]");
        buf_done(&b);
    }
}

static void too_large_is_known_from_the_header_alone(void **state UNUSED)
{
    struct any_packet read;
    struct why why;

    /* the body of 1000 bytes never has to come: MQTT5 3.2.2.3.6, 3.1.2.11.4 */
    assert_int_equal(any_packet_read(SPAN("\x30\xe8\x07"), C, 1002, &read, &why), ST_TOO_LARGE);
    assert_string_equal(why.clause, "MQTT5 [MQTT-3.2.2-15]");
    assert_int_equal(any_packet_read(SPAN("\x30\xe8\x07"), S, 1002, &read, &why), ST_TOO_LARGE);
    assert_string_equal(why.clause, "MQTT5 [MQTT-3.1.2-24]");
    assert_int_equal(status_mqtt5_code(ST_TOO_LARGE), MQTT_PACKET_TOO_LARGE);
    assert_int_equal(any_packet_read(SPAN("\x30\xe8\x07"), C, 1003, &read, &why), ST_PENDING);
}

static void other_versions_are_not_guessed_at(void **state UNUSED)
{
    struct mqtt_frame frame = { .type = MQTT_PUBLISH, .body = SPAN("\0\1a") };
    struct mqtt_publish publish;
    struct mqtt_ack ack;

    assert_int_equal(mqtt_read_publish(&frame, MQTT_3_1, &publish, NULL), ST_BAD_VERSION);
    frame.type = MQTT_PUBACK;
    assert_int_equal(mqtt_read_ack(&frame, (enum mqtt_version)6, &ack, NULL), ST_BAD_VERSION);
}

static void reason_codes_know_their_packets_and_their_words(void **state UNUSED)
{
    size_t defined = 0;

    for (unsigned code = 0; code <= UINT8_MAX;
         code++) { /* MQTT5 2.4, Table 2-6: 43 codes (three names for 0x00) */
        bool used = false;
        for (unsigned type = MQTT_CONNECT; type < MQTT_PACKET_TYPES; type++)
            for (unsigned side = MQTT_FROM_CLIENT; side <= MQTT_FROM_SERVER; side++)
                used |= mqtt_reason_allowed((enum mqtt_packet_type)type, (enum mqtt_side)side, (uint8_t)code);
        defined += used;
        assert_int_equal(used,
                         strcmp(mqtt_reason_name(MQTT_CONNACK, (uint8_t)code), "unknown reason code") != 0);
        assert_true(strlen(mqtt_reason_words((uint8_t)code)) > 4);
    }
    assert_int_equal(defined, 43);
    assert_string_equal(mqtt_reason_name(MQTT_DISCONNECT, 0), "Normal disconnection");
    assert_string_equal(mqtt_reason_name(MQTT_SUBACK, 0), "Granted QoS 0");
    assert_string_equal(mqtt_reason_name(MQTT_CONNACK, 0), "Success");
    assert_string_equal(mqtt_reason_name(MQTT_CONNACK, 0x87), "Not authorized");
    assert_true(mqtt_reason_allowed(MQTT_DISCONNECT, S, 0x87));
    assert_false(mqtt_reason_allowed(MQTT_DISCONNECT, C, 0x87)); /* Table 3-10: sent by the server only */
    assert_false(mqtt_reason_allowed(MQTT_PUBREL, S, 0x87));
}

static void every_status_translates_to_a_code_of_the_table(void **state UNUSED)
{
    for (unsigned st = 0; st < STATUSES; st++)
        assert_string_not_equal(mqtt_reason_name(MQTT_DISCONNECT, status_mqtt5_code((enum status)st)),
                                "unknown reason code");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forbidden_packets_are_refused_by_clause_and_place),
        cmocka_unit_test(forbidden_packets_of_3_1_1_are_refused_by_clause_and_place),
        cmocka_unit_test(return_codes_of_3_1_1_say_what_the_reason_said),
        cmocka_unit_test(older_protocol_levels_are_told_to_the_caller),
        cmocka_unit_test(a_server_of_an_older_version_is_recognized),
        cmocka_unit_test(remaining_length_is_a_shortest_form_of_four_bytes),
        cmocka_unit_test(too_large_is_known_from_the_header_alone),
        cmocka_unit_test(other_versions_are_not_guessed_at),
        cmocka_unit_test(reason_codes_know_their_packets_and_their_words),
        cmocka_unit_test(every_status_translates_to_a_code_of_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
