/* broker/will.h - the message a client leaves behind for the case that it goes without saying goodbye
 * (MQTT5 3.1.2.5, MT-84, MT-112, MT-113). Kept as its parts: its expiry counts from the moment it is published.
 * Ownership: will_new()/will_free(); belongs to a session. */
#ifndef SYMBOLON_BROKER_WILL_H
#define SYMBOLON_BROKER_WILL_H

#include "broker/message.h"
#include "mqtt/packet.h"

struct will;

/* Copies everything from the CONNECT. `token_until_s`: end of the token that allowed it, bounds a retained copy. */
enum status will_new(const struct mqtt_will *from, int64_t token_until_s, struct will **ret_will) MUST_CHECK;
void will_free(struct will *will);

uint32_t will_delay_s(const struct will *will);
struct topic_name will_topic(const struct will *will);

/* The message to publish now. */
enum status will_message(const struct will *will, uint64_t publisher, struct now now,
                         struct message **ret_message) MUST_CHECK;

#endif
