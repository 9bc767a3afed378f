#include "load/track.h"

#include <stdlib.h>

#define FIRST_CAP 4

static const uint8_t magic[4] = { 'S', 'y', 'B', '1' };

static void put_be(uint8_t *p, uint64_t v, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(v >> 8 * (len - 1 - i));
}

static uint64_t get_be(const uint8_t *p, size_t len)
{
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++)
        v = v << 8 | p[i];
    return v;
}

void stamp_write(const struct stamp *stamp, uint8_t out[STAMP_LEN])
{
    memcpy(out, magic, sizeof magic);
    put_be(out + 4, stamp->run, 4);
    put_be(out + 8, stamp->publisher, 4);
    put_be(out + 12, stamp->number, 8);
    put_be(out + 20, (uint64_t)stamp->sent_ns, 8);
}

bool stamp_read(struct span payload, struct stamp *out)
{
    if (payload.len < STAMP_LEN || memcmp(payload.p, magic, sizeof magic) != 0)
        return false;
    out->run = (uint32_t)get_be(payload.p + 4, 4);
    out->publisher = (uint32_t)get_be(payload.p + 8, 4);
    out->number = get_be(payload.p + 12, 8);
    out->sent_ns = (int64_t)get_be(payload.p + 20, 8);
    return true;
}

/* `by` new numbers: the window moves, what falls out is forgotten. */
static void shift(struct track *t, uint64_t by)
{
    enum { WORDS = TRACK_WINDOW / 64 };

    if (by >= TRACK_WINDOW) {
        memset(t->seen, 0, sizeof t->seen);
        return;
    }
    size_t words = (size_t)(by / 64);
    unsigned bits = (unsigned)(by % 64);
    for (size_t i = WORDS; i-- > 0;) {
        uint64_t high = i >= words ? t->seen[i - words] : 0;
        uint64_t low = i >= words + 1 ? t->seen[i - words - 1] : 0;
        t->seen[i] = bits == 0 ? high : high << bits | low >> (64 - bits);
    }
}

bool track_got(struct track *t, uint64_t number)
{
    if (number >= t->expected) {
        uint64_t gap = number - t->expected;
        t->lost += gap;
        shift(t, gap + 1);
        t->seen[0] |= 1;
        t->expected = number + 1;
        t->received++;
        return true;
    }
    uint64_t back = t->expected - 1 - number;
    uint64_t bit = UINT64_C(1) << back % 64;
    if (back >= TRACK_WINDOW || (t->seen[back / 64] & bit) != 0 || t->lost == 0) {
        t->twice++;
        return false;
    }
    t->seen[back / 64] |= bit;
    t->lost--;
    t->late++;
    t->received++;
    return true;
}

static size_t slot_of(const struct track *slots, size_t cap, uint32_t run, uint32_t publisher)
{
    uint64_t hash = ((uint64_t)run << 32 | publisher) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(hash >> 40) & (cap - 1);
    while (slots[at].used && (slots[at].run != run || slots[at].publisher != publisher))
        at = (at + 1) & (cap - 1);
    return at;
}

static bool grow(struct tracks *t)
{
    size_t cap = t->cap == 0 ? FIRST_CAP : 2 * t->cap;
    struct track *slots = calloc(cap, sizeof *slots);

    if (slots == NULL)
        return false;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i].used)
            slots[slot_of(slots, cap, t->slots[i].run, t->slots[i].publisher)] = t->slots[i];
    free(t->slots);
    t->slots = slots;
    t->cap = cap;
    return true;
}

struct track *tracks_find(struct tracks *t, const struct stamp *stamp)
{
    if (t->cap == 0 && !grow(t))
        return NULL;
    struct track *found = &t->slots[slot_of(t->slots, t->cap, stamp->run, stamp->publisher)];
    if (found->used)
        return found;
    if (t->count == TRACKS_MAX)
        return NULL;
    if (4 * (t->count + 1) > 3 * t->cap && !grow(t))
        return NULL;
    found = &t->slots[slot_of(t->slots, t->cap, stamp->run, stamp->publisher)];
    *found = (struct track){
        .run = stamp->run, .publisher = stamp->publisher, .used = true, .expected = stamp->number
    };
    t->count++;
    return found;
}

void tracks_done(struct tracks *t)
{
    free(t->slots);
    *t = (struct tracks){ 0 };
}
