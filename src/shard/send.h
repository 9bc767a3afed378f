/* shard/send.h - packets to a client, in the version it speaks: to one of 3.1.1 go return codes and SUBACK 0x80, no
 * properties, and no DISCONNECT at all. Nobody else has to ask for the version, except where there is nothing to send
 * that would say it (publish.c). Each packet fits the client's Maximum Packet Size (MQTT5 [MQTT-3.1.2-25]); the
 * reason string is left out when it would not, or when the client asked for none (MQTT5 [MQTT-3.1.2-29]). */
#ifndef SYMBOLON_SHARD_SEND_H
#define SYMBOLON_SHARD_SEND_H

#include "mqtt/packet.h"
#include "shard/gate.h"
#include "shard/message.h"
#include "shard/outbox.h"

struct conn;

/* PUBACK, PUBREC, PUBREL, PUBCOMP; `why` may be NULL. Behind those that wait in the connection's gate (gate.h). */
void send_ack(struct conn *c, enum mqtt_packet_type type, uint16_t packet_id, uint8_t reason,
              const struct why *why);
/* The same, when `barrier` is passed. Without the memory for that the connection ends, so look at it afterwards. */
void send_ack_when(struct conn *c, enum mqtt_packet_type type, uint16_t packet_id, uint8_t reason,
                   const struct why *why, struct barrier barrier);
/* Instead of one that leaves the gate now: before all that is behind it. For gate.c. */
void send_ack_in_turn(struct conn *c, enum mqtt_packet_type type, uint16_t packet_id, uint8_t reason,
                      const struct why *why);
/* SUBACK, UNSUBACK. */
void send_suback(struct conn *c, enum mqtt_packet_type type, uint16_t packet_id, struct span reasons,
                 const struct why *why, struct barrier barrier);
/* Fills in the reason string; `connack` has everything else. False: it cannot be made small enough. */
bool send_connack(struct conn *c, struct mqtt_connack *connack, const struct why *why, struct barrier barrier);
void send_disconnect(struct conn *c, uint8_t reason, const struct why *why);
/* Method "ace" is added. */
void send_auth(struct conn *c, uint8_t reason, struct span data, struct barrier barrier);
void send_pingresp(struct conn *c);

enum send_result {
    SEND_DONE,
    SEND_TOO_LARGE, /* for this client: nothing was sent */
    SEND_NO_ROOM,   /* the connection is ending */
};
/* The message as this client gets it. `dup` and `packet_id` matter with QoS 1 and 2. `barrier`: of QoS 2 to a session on disk,
 * in its order; NULL: it does not wait, but behind a CONNACK or SUBACK. */
enum send_result send_publish(struct conn *c, const struct message *m, const struct delivery_options *how,
                              uint16_t packet_id, bool dup, const struct barrier *barrier);

#endif
