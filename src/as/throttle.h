/* as/throttle.h - how often somebody may be wrong: failed authentications per minute, counted in a fixed table so
 * that nobody can make it grow. Keys are hashed with a random key. When the table is crowded the quietest entry gives
 * way: guessing costs more than forgetting.
 * Threads: one. */
#ifndef SYMBOLON_AS_THROTTLE_H
#define SYMBOLON_AS_THROTTLE_H

#include "base/clock.h"
#include "base/table.h"

#define THROTTLE_SLOTS     4096 /* a power of two */
#define THROTTLE_WINDOW_MS 60000

struct throttle {
    struct hash_key key;
    struct throttle_slot {
        uint64_t who; /* 0: free */
        int64_t since_ms;
        uint32_t failures;
    } slots[THROTTLE_SLOTS];
};

void throttle_init(struct throttle *t, struct hash_key key);

/* Seconds to wait, 0 if not over the limit. */
int64_t throttle_wait_s(const struct throttle *t, struct span who, uint32_t limit, struct mono_time now);
void throttle_failed(struct throttle *t, struct span who, struct mono_time now);

#endif
