/* shard/authz_info.h - the topic authz-info (RFC 9431 2.2.2; MT-30 to MT-40, AF-60 to AF-66): who publishes a token
 * there leaves it with the broker, for the connection that will prove its key by TLS. Nothing is routed, retained or
 * delivered. Any connection may publish there, one without a token or public topics for a short visit only.
 *
 *   PUBLISH --token good--> kept --on disk--> PUBACK/PUBREC 0x00
 *      |  \--asks the AS--/
 *      \--not a token: 0x99; not good: 0x87; too many: 0x97 - in PUBACK/PUBREC, with QoS 0 in DISCONNECT
 *
 * A connection waits for one at a time: nothing more is read from it meanwhile. */
#ifndef SYMBOLON_SHARD_AUTHZ_INFO_H
#define SYMBOLON_SHARD_AUTHZ_INFO_H

#include "base/list.h"
#include "base/timer.h"
#include "mqtt/packet.h"
#include "shard/inquiry.h"

struct conn;
struct shard;

/* A token on its way into the store; allocated while there is one. */
struct authz_upload {
    struct conn *conn;
    struct inquiry inquiry;
    struct list link; /* in shard->uploads, once kept: waits for the journal */
    struct timer timer;
    uint64_t change;
    uint8_t qos;
    uint16_t packet_id;
    struct token *token; /* kept, not answered yet */
};

/* A PUBLISH to that topic, checked as any other but for its authorization. */
void authz_info_publish(struct conn *c, const struct mqtt_publish *publish);
/* The connection goes. */
void authz_info_done(struct conn *c);
/* The journal has reached further. */
void authz_info_stored(struct shard *shard);

#endif
