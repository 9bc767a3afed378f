/* mqtt/packet_priv.h - steps that several packets share. */
#ifndef SYMBOLON_MQTT_PACKET_PRIV_H
#define SYMBOLON_MQTT_PACKET_PRIV_H

#include "base/reader.h"
#include "mqtt/packet.h"

/* A reader over the body whose offsets count from the first byte of the packet. What is too short breaks the packet's
 * section of the version spoken. */
struct reader packet_reader(const struct mqtt_frame *frame, enum mqtt_version version);
const char *packet_section(enum mqtt_packet_type type, enum mqtt_version version);

/* Refuses the versions that are not spoken. */
enum status packet_check_version(enum mqtt_version version, struct why *why) MUST_CHECK;

/* The statement of the version spoken. */
static inline const char *packet_clause(enum mqtt_version version, const char *mqtt5, const char *mqtt311)
{
    return version == MQTT_5 ? mqtt5 : mqtt311;
}

/* Properties, in the version that has them. */
enum status packet_read_properties(struct reader *r, const struct mqtt_frame *frame, enum mqtt_version version,
                                   struct mqtt_properties *out, struct why *why) MUST_CHECK;

/* A UTF-8 Encoded String: MQTT5 1.5.4. `clause` names the statement that asks for one here. */
enum status mqtt_check_text(struct span s, size_t at, struct why *why) MUST_CHECK;

/* Two bytes, not zero: MQTT5 2.2.1. */
enum status packet_read_id(struct reader *r, const char *clause, uint16_t *ret, struct why *why) MUST_CHECK;

/* Length-prefixed topics; `why->at` then points into the packet. */
enum status packet_read_topic_name(struct reader *r, struct topic_name *ret, struct why *why) MUST_CHECK;
enum status packet_read_topic_filter(struct reader *r, struct topic_filter *ret, struct why *why) MUST_CHECK;

/* First byte now, Remaining Length when the body is complete: start = packet_begin(); …; packet_end(). */
size_t packet_begin(struct buf *out, enum mqtt_packet_type type, uint8_t flags);
void packet_end(struct buf *out, size_t start);

/* Puts the length of everything behind `start` in front of it, as a Variable Byte Integer. */
void mqtt_insert_length(struct buf *out, size_t start);

#endif
