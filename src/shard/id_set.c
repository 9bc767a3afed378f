#include "shard/id_set.h"

#include <stdlib.h>
#include <string.h>

/* Where `id` is, or would be. */
static uint16_t place(const struct id_set *set, uint16_t id)
{
    uint16_t low = 0, high = set->count;

    while (low < high) {
        uint16_t mid = (uint16_t)((low + high) / 2);

        if (set->ids[mid] < id)
            low = (uint16_t)(mid + 1);
        else
            high = mid;
    }
    return low;
}

bool id_set_has(const struct id_set *set, uint16_t id)
{
    uint16_t at = place(set, id);

    return at < set->count && set->ids[at] == id;
}

enum status id_set_add(struct id_set *set, uint16_t id)
{
    uint16_t at = place(set, id);

    if (at < set->count && set->ids[at] == id)
        return ST_OK;
    if (set->count == set->cap) {
        size_t cap = set->cap == 0 ? 8 : (size_t)set->cap * 2;
        uint16_t *ids;

        if (cap > UINT16_MAX)
            cap = UINT16_MAX; /* ids are 1 to 65535, so there are never more */
        ids = reallocarray(set->ids, cap, sizeof *ids);
        if (ids == NULL)
            return ST_NO_MEMORY;
        set->ids = ids;
        set->cap = (uint16_t)cap;
    }
    memmove(set->ids + at + 1, set->ids + at, (size_t)(set->count - at) * sizeof *set->ids);
    set->ids[at] = id;
    set->count++;
    return ST_OK;
}

bool id_set_remove(struct id_set *set, uint16_t id)
{
    uint16_t at = place(set, id);

    if (at >= set->count || set->ids[at] != id)
        return false;
    set->count--;
    memmove(set->ids + at, set->ids + at + 1, (size_t)(set->count - at) * sizeof *set->ids);
    return true;
}

void id_set_done(struct id_set *set)
{
    free(set->ids);
    *set = (struct id_set){ 0 };
}
