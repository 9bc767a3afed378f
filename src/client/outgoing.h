/* client/outgoing.h - one message on its way to the broker: a copy of the application's, encoded once. */
#ifndef SYMBOLON_CLIENT_OUTGOING_H
#define SYMBOLON_CLIENT_OUTGOING_H

#include "base/clock.h"
#include "base/list.h"
#include "mqtt/packet.h"
#include "symbolon/client.h"

enum outgoing_state {
    OUT_QUEUED,   /* not sent, no packet identifier */
    OUT_SENT,     /* PUBLISH sent: waits for PUBACK (QoS 1) or PUBREC (QoS 2) */
    OUT_RELEASED, /* PUBREL sent: waits for PUBCOMP; the broker owns the message */
};

struct outgoing {
    struct list link;
    uint64_t id;
    enum outgoing_state state;
    uint8_t qos;
    bool retain;
    bool dup;
    bool here;   /* sent on this connection: counts to the broker's Receive Maximum */
    bool stored; /* engine_store.h knows it */
    uint16_t packet_id;
    bool has_expiry;
    uint32_t expiry_s;
    struct mono_time taken_at;              /* the expiry counts from here */
    struct span topic, properties, payload; /* in `bytes` */
    uint8_t bytes[];
};

/* Checks and copies; SYMBOLON_INVALID for what no PUBLISH can carry. Freed with free(). */
enum symbolon_status outgoing_new(const struct symbolon_message *message, struct mono_time now,
                                  struct outgoing **ret_outgoing, struct symbolon_error *error);

/* The same from its encoded parts, all other members 0. NULL: out of memory. */
struct outgoing *outgoing_of_parts(struct span topic, struct span properties, struct span payload);

/* Seconds of its life left; false if it is over. *ret_s is not meaningful without an expiry. */
bool outgoing_life(const struct outgoing *o, struct mono_time now, uint32_t *ret_s);

/* For mqtt_publish_size() and mqtt_write_publish(). */
struct mqtt_publish_out outgoing_packet(const struct outgoing *o, uint32_t life_s);

/* Appends the message properties of an application's message (also of a Will): what receivers get to see. */
enum symbolon_status message_properties(const struct symbolon_message *message, struct mqtt_properties *out,
                                        struct buf *user, struct symbolon_error *error);

#define USER_PROPERTIES_BYTES 262144 /* encoded: what we take from an application at once */

/* Appends them encoded. SYMBOLON_INVALID: not UTF-8, or too long. */
enum symbolon_status user_properties_encode(const struct symbolon_user_property *properties, size_t count,
                                            struct buf *out, struct symbolon_error *error);

#endif
