/* client/packet_ids.h - a set of packet identifiers. Its 8 KiB exist only while it is not empty: a client that never
 * leaves QoS 0 pays nothing. An all-zero struct is an empty set. */
#ifndef SYMBOLON_CLIENT_PACKET_IDS_H
#define SYMBOLON_CLIENT_PACKET_IDS_H

#include "base/defs.h"

#include <stdlib.h>

#define PACKET_ID_BYTES (65536 / 8)

struct packet_ids {
    uint8_t *bits;
    size_t count;
};

static inline bool packet_ids_has(const struct packet_ids *s, uint16_t id)
{
    return s->bits != NULL && (s->bits[id / 8] >> (id % 8) & 1) != 0;
}

/* False: out of memory. */
static inline bool packet_ids_add(struct packet_ids *s, uint16_t id)
{
    if (packet_ids_has(s, id))
        return true;
    if (s->bits == NULL && (s->bits = calloc(1, PACKET_ID_BYTES)) == NULL)
        return false;
    s->bits[id / 8] |= (uint8_t)(1u << (id % 8));
    s->count++;
    return true;
}

/* True if it was there. */
static inline bool packet_ids_remove(struct packet_ids *s, uint16_t id)
{
    if (!packet_ids_has(s, id))
        return false;
    s->bits[id / 8] &= (uint8_t) ~(1u << (id % 8));
    s->count--;
    return true;
}

static inline void packet_ids_clear(struct packet_ids *s)
{
    free(s->bits);
    *s = (struct packet_ids){ 0 };
}

#endif
