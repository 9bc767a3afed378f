#include "as/client_room.h"

#include <string.h>

void client_room_init(struct client_room *room, struct hash_key key)
{
    memset(room, 0, sizeof *room);
    room->key = key;
}

void client_room_forget(struct client_room *room)
{
    memset(room->slots, 0, sizeof room->slots);
}

static struct client_room_slot *slot_of(struct client_room *room, struct span client_id)
{
    uint64_t hash = siphash(room->key, client_id), who = hash == 0 ? 1 : hash;
    struct client_room_slot *slot = &room->slots[who % CLIENT_ROOM_SLOTS];

    if (slot->who != who)
        *slot = (struct client_room_slot){ .who = who };
    return slot;
}

bool client_room_take(struct client_room *room, struct span client_id, bool kept_too)
{
    struct client_room_slot *slot = slot_of(room, client_id);

    if (slot->left == 0)
        return false;
    slot->left--; /* also where nobody asks: each token counts */
    return slot->kept_too || !kept_too;
}

void client_room_set(struct client_room *room, struct span client_id, bool kept_too, int64_t left)
{
    struct client_room_slot *slot = slot_of(room, client_id);

    slot->left = left < 0 ? 0 : left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
    slot->kept_too = kept_too;
}
