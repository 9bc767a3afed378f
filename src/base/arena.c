#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define ARENA_BLOCK_BYTES 4096u

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    alignas(max_align_t) uint8_t bytes[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){ .max = max_bytes };
}

void arena_done(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t len)
{
    const size_t align = alignof(max_align_t);
    struct arena_block *b = a->blocks;

    if (len > a->max - a->used || len > SIZE_MAX / 2)
        return NULL;
    len = (len + align - 1) / align * align;
    if (b == NULL || b->cap - b->used < len) {
        size_t cap = len > ARENA_BLOCK_BYTES ? len : ARENA_BLOCK_BYTES;
        b = calloc(1, sizeof *b + cap);
        if (b == NULL)
            return NULL;
        b->cap = cap;
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = b->bytes + b->used;
    b->used += len;
    a->used = len > a->max - a->used ? a->max : a->used + len;
    return p;
}

char *arena_str(struct arena *a, struct span s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (copy != NULL && s.len > 0)
        memcpy(copy, s.p, s.len);
    return copy;
}

struct span arena_copy(struct arena *a, struct span s)
{
    char *copy = arena_str(a, s);
    return copy == NULL ? SPAN_NONE : span_of(copy, s.len);
}

bool arena_keep(struct arena *a, struct span *const texts[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (texts[i]->len == 0) {
            *texts[i] = SPAN_NONE;
            continue;
        }
        *texts[i] = arena_copy(a, *texts[i]);
        if (texts[i]->p == NULL)
            return false;
    }
    return true;
}
