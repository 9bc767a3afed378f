/* load/packets.h - what a broker sent, packet by packet. Pure but for the link, which may be closed by what it is told. */
#ifndef SYMBOLON_LOAD_PACKETS_H
#define SYMBOLON_LOAD_PACKETS_H

#include "load/link.h"
#include "mqtt/frame.h"

struct packet_events {
    void (*packet)(struct link *link, const struct mqtt_frame *frame);
    void (*not_mqtt)(struct link *link, const char *why);
};

/* For link_events.data: every whole packet of at most `packet_max` bytes, while the link is open; returns what was used. */
size_t packets_each(struct link *link, struct span in, uint32_t packet_max, const struct packet_events *events);

#endif
