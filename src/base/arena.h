/* base/arena.h - memory that lives for one packet or one request and goes with it, with a limit.
 * arena_alloc() gives zeroed memory aligned for anything, or NULL beyond the limit. No single free. */
#ifndef SYMBOLON_BASE_ARENA_H
#define SYMBOLON_BASE_ARENA_H

#include "base/span.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t used;
    size_t max;
};

void arena_init(struct arena *a, size_t max_bytes);
void arena_done(struct arena *a); /* frees everything; also right for CLEANUP */
void *arena_alloc(struct arena *a, size_t len) MUST_CHECK;
char *arena_str(struct arena *a, struct span s) MUST_CHECK; /* NUL-terminated copy */
struct span arena_copy(struct arena *a, struct span s);     /* .p is NULL when refused */
/* Every one of `texts` becomes its copy, an empty one SPAN_NONE. False when one is refused. */
bool arena_keep(struct arena *a, struct span *const texts[], size_t count) MUST_CHECK;

#endif
