/* shard/gate.h - packets of one connection that may not leave yet, because what they promise is not durable.
 *
 *   CONNACK, SUBACK      and everything behind them waits too: a client hears the answer first
 *   UNSUBACK             waits alone
 *   PUBACK, PUBREC, PUBREL, PUBCOMP, and PUBLISH of QoS 2 to a session on disk: leave in the order they came in
 *                        (MQTT5 [MQTT-4.6.0-2] to [MQTT-4.6.0-4]), so those that need not wait queue up behind
 *                        those that do
 *   PUBLISH of QoS 0 and 1  wait behind such a PUBLISH of QoS 2, which may be the older retained message of the topic;
 *                        not while the store fails
 *   PUBACK, PUBREC of a retained message that another shard has not kept: 0x97 instead, in its turn (retained_ask.h)
 *   PINGRESP, AUTH       pass, except behind a CONNACK or SUBACK; and AUTH that says that a token lives from now on
 *
 * Bounded by max_output_bytes, as is what the client does not read: a full gate stops deliveries and reading, until half
 * of it has gone. When the connection ends, what is in its gate was never said.
 * Ownership: made by gate_put(), gone when empty, so that who waits for nothing costs a pointer. Threads: the shard's. */
#ifndef SYMBOLON_SHARD_GATE_H
#define SYMBOLON_SHARD_GATE_H

#include "base/buf.h"
#include "mqtt/packet.h"
#include "shard/journal.h"

struct conn;

struct gate {
    struct list link; /* in journal->gates */
    struct conn *conn;
    struct buf packets; /* struct gate_head and the packet, one after the other */
    size_t at;          /* the first that is still there */
    size_t weighed;     /* of its memory: what is in memory_output */
    uint32_t holding;   /* so many that hold back all that comes behind them */
    uint32_t publishes; /* so many PUBACKs: of the client's Receive Maximum */
    uint32_t messages;  /* so many PUBLISHes */
    bool connack;       /* one of them is the CONNACK */
    bool full;          /* reading from the client has stopped */
};

/* What a packet to be sent is, for the gate. */
struct slip {
    enum mqtt_packet_type type;
    uint16_t packet_id;
    bool ordered; /* an acknowledgement, or a PUBLISH of QoS 2: not before what already waits */
    struct barrier barrier;
    bool in_turn; /* instead of one whose turn has come: it does not wait */
};

/* Whether it has to go through the gate of this connection now. */
bool gate_holds(const struct conn *c, const struct slip *slip);
/* Room in the gate for one packet of `len` bytes, to be filled before anything else. NULL: no memory; the connection is
 * closed then. */
uint8_t *gate_put(struct conn *c, const struct slip *slip, size_t len);
size_t gate_bytes(const struct conn *c);
/* QoS 1 publications of this client that are not acknowledged yet. */
uint32_t gate_publishes(const struct conn *c);
/* Its CONNACK has not left: nothing but CONNACK may be said (MQTT5 [MQTT-3.14.0-1]). */
bool gate_has_connack(const struct conn *c);
bool gate_is_full(const struct conn *c);
void gate_free(struct conn *c); /* without a word */

/* Something has become durable: every gate of the shard lets go what may go. May close connections. */
void gate_open_all(struct shard *shard);
/* What one connection's packet waited for has come. May close it. */
void gate_open(struct conn *c);
/* The store fails: acknowledgements of publications become 0x97 (of 3.1.1: the connection ends), as do connections whose
 * CONNACK or SUBACK waits. The rest goes on waiting: it is said when the store has recovered. */
void gate_fail_all(struct shard *shard);
/* Another shard had no memory for something that was posted to it: acknowledgements that wait for others become 0x97. */
void gate_refuse_remote(struct shard *shard);

#endif
