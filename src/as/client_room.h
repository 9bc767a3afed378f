/* as/client_room.h - how many more tokens a client gets before its rows are counted again. Tokens become more only where
 * they are given out, which is here, and fewer as they end: so what a count left free is there at least, and a client that
 * holds a thousand tokens is not counted for each one it asks for. Only an end that is taken back, with a turn that could
 * not be kept, makes them more again: then all is forgotten. A fixed table of recent clients; who falls out of it is
 * counted.
 * Threads: one. */
#ifndef SYMBOLON_AS_CLIENT_ROOM_H
#define SYMBOLON_AS_CLIENT_ROOM_H

#include "base/table.h"

#define CLIENT_ROOM_SLOTS 4096 /* a power of two */

struct client_room {
    struct hash_key key;
    struct client_room_slot {
        uint64_t who; /* 0: free */
        uint32_t left;
        bool kept_too; /* counted with what is revoked and still kept, not the live ones alone */
    } slots[CLIENT_ROOM_SLOTS];
};

void client_room_init(struct client_room *room, struct hash_key key);
void client_room_forget(struct client_room *room); /* everybody is counted again */

/* Before each token: takes one place, and is true if there was one. False: count, and say what there is. */
bool client_room_take(struct client_room *room, struct span client_id, bool kept_too);
/* What a count found, without the token that is being given out. */
void client_room_set(struct client_room *room, struct span client_id, bool kept_too, int64_t left);

#endif
