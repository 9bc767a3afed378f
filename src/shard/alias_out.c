#include "shard/alias_out.h"

#include <stdlib.h>

struct alias_place {
    uint8_t *topic; /* NULL: empty */
    uint16_t topic_len;
    uint32_t hash;
    uint32_t rival; /* hash of the other topic that asked for this place since it was last used; 0: none */
};

struct alias_out {
    uint16_t size;
    bool asked; /* since alias_out_idle() */
    struct alias_place places[];
};

static struct alias_out *table_new(uint16_t size)
{
    struct alias_out *table = calloc(1, sizeof *table + size * sizeof table->places[0]);

    if (table != NULL)
        table->size = size;
    return table;
}

/* The top of a product with a random number is a random number below the other factor. */
static uint16_t scale(uint32_t hash, uint16_t size)
{
    return (uint16_t)((uint64_t)hash * size >> 32);
}

static bool holds(const struct alias_place *place, struct span topic, uint32_t hash)
{
    return place->hash == hash && place->topic != NULL &&
           span_eq(span_of(place->topic, place->topic_len), topic);
}

static bool put(struct alias_place *place, struct span topic, uint32_t hash)
{
    uint8_t *copy = malloc(topic.len);

    if (copy == NULL)
        return false;
    memcpy(copy, topic.p, topic.len);
    free(place->topic);
    *place = (struct alias_place){ .topic = copy, .topic_len = (uint16_t)topic.len, .hash = hash };
    return true;
}

/* A place for a topic that has none: an empty one, or one whose topic did not come since this one came last. */
static struct alias_place *free_place(struct alias_place *const both[2], uint32_t hash)
{
    for (int i = 0; i < 2; i++)
        if (both[i]->topic == NULL || both[i]->rival == hash)
            return both[i];
    both[0]->rival = hash;
    both[1]->rival = hash;
    return NULL;
}

enum alias_use alias_out_take(struct alias_out **table, uint16_t maximum, struct span topic, uint32_t hash,
                              uint16_t *ret_alias)
{
    struct alias_place *both[2], *place;

    if (topic.len < ALIAS_TOPIC_MIN || topic.len > ALIAS_TOPIC_MAX)
        return ALIAS_NONE;
    if (*table == NULL)
        *table = table_new(maximum);
    if (*table == NULL)
        return ALIAS_NONE;
    (*table)->asked = true;
    both[0] = &(*table)->places[scale(hash, maximum)];
    both[1] = &(*table)->places[scale(hash * 0x9E3779B1u, maximum)];
    for (int i = 0; i < 2; i++) {
        if (holds(both[i], topic, hash)) {
            both[i]->rival = 0;
            *ret_alias = (uint16_t)(both[i] - (*table)->places + 1);
            return ALIAS_KNOWN;
        }
    }
    place = free_place(both, hash);
    if (place == NULL || !put(place, topic, hash))
        return ALIAS_NONE;
    *ret_alias = (uint16_t)(place - (*table)->places + 1);
    return ALIAS_TELL;
}

void alias_out_forget(struct alias_out *table, uint16_t alias)
{
    struct alias_place *place = &table->places[alias - 1];

    free(place->topic);
    *place = (struct alias_place){ 0 };
}

bool alias_out_idle(struct alias_out *table)
{
    bool asked = table->asked;

    table->asked = false;
    return !asked;
}

void alias_out_free(struct alias_out *table)
{
    if (table == NULL)
        return;
    for (uint16_t i = 0; i < table->size; i++)
        free(table->places[i].topic);
    free(table);
}
