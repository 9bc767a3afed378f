/* shard/will.h - the message a client leaves behind for the case that it goes without saying goodbye
 * (MQTT5 3.1.2.5, MT-84, MT-112, MT-113). Kept as its parts: its expiry counts from the moment it is published.
 * Ownership: will_new()/will_free(); belongs to a session. */
#ifndef SYMBOLON_SHARD_WILL_H
#define SYMBOLON_SHARD_WILL_H

#include "mqtt/packet.h"
#include "shard/message.h"

struct record_will;
struct will;

/* Copies everything from the CONNECT. */
enum status will_new(const struct mqtt_will *from, struct will **ret_will) MUST_CHECK;
void will_free(struct will *will);

/* As it goes to disk, spans pointing into the Will, and back. */
struct record_will will_record(const struct will *will, uint64_t session);
enum status will_restore(const struct record_will *record, struct will **ret_will) MUST_CHECK;

uint32_t will_delay_s(const struct will *will);
struct topic_name will_topic(const struct will *will);

/* What to publish now; spans point into the Will. A retained one still wants its bound: retained_bound(). */
struct message_parts will_parts(const struct will *will, uint64_t publisher, struct now now);

#endif
