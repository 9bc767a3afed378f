/* shard/id_set.h - the packet identifiers of QoS 2 publications received and not yet released: a sorted array,
 * bounded by our Receive Maximum. What is in it has been passed on already and must not be again (MQTT5 4.3.3). */
#ifndef SYMBOLON_SHARD_ID_SET_H
#define SYMBOLON_SHARD_ID_SET_H

#include "base/status.h"

struct id_set {
    uint16_t *ids;
    uint16_t count;
    uint16_t cap;
};

bool id_set_has(const struct id_set *set, uint16_t id);
enum status id_set_add(struct id_set *set, uint16_t id) MUST_CHECK; /* ST_NO_MEMORY */
bool id_set_remove(struct id_set *set, uint16_t id);                /* true if it was there */
void id_set_done(struct id_set *set);

#endif
