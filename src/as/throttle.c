#include "as/throttle.h"

#define PROBES 8

void throttle_init(struct throttle *t, struct hash_key key)
{
    memset(t, 0, sizeof *t);
    t->key = key;
}

static uint64_t name_of(const struct throttle *t, struct span who)
{
    uint64_t hash = siphash(t->key, who);
    return hash == 0 ? 1 : hash;
}

static bool over(const struct throttle_slot *slot, struct mono_time now)
{
    return slot->who == 0 || now.ms - slot->since_ms >= THROTTLE_WINDOW_MS;
}

int64_t throttle_wait_s(const struct throttle *t, struct span who, uint32_t limit, struct mono_time now)
{
    uint64_t name = name_of(t, who);

    for (size_t i = 0; i < PROBES; i++) {
        const struct throttle_slot *slot = &t->slots[(name + i) % THROTTLE_SLOTS];
        if (slot->who == name && !over(slot, now) && slot->failures >= limit)
            return (slot->since_ms + THROTTLE_WINDOW_MS - now.ms + MS_PER_S - 1) / MS_PER_S;
    }
    return 0;
}

void throttle_failed(struct throttle *t, struct span who, struct mono_time now)
{
    uint64_t name = name_of(t, who);
    struct throttle_slot *best = NULL;

    for (size_t i = 0; i < PROBES; i++) {
        struct throttle_slot *slot = &t->slots[(name + i) % THROTTLE_SLOTS];
        if (slot->who == name && !over(slot, now)) {
            slot->failures++;
            return;
        }
        if (best == NULL || (!over(best, now) && (over(slot, now) || slot->failures < best->failures)))
            best = slot;
    }
    *best = (struct throttle_slot){ name, now.ms, 1 };
}
