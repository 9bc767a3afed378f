/* shard/connack.h - the answer to CONNECT (MQTT5 3.2), whatever was decided. */
#ifndef SYMBOLON_SHARD_CONNACK_H
#define SYMBOLON_SHARD_CONNACK_H

#include "mqtt/packet.h"
#include "shard/journal.h"

struct conn;

/* The connection has its session: what of MQTT is offered here, and what the client gets instead of what it asked for
 * (MQTT5 3.2.2.3). False, and nothing sent: the client's Maximum Packet Size has no room for it. */
bool connack_accept(struct conn *c, const struct mqtt_connect *connect, bool session_present,
                    struct barrier barrier);

/* A failure, and hints if conn.hint says so (MT-90, MT-91). */
void connack_refuse(struct conn *c, uint8_t code, const struct why *why);

#endif
