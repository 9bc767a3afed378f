/* shard/memory.h - how memory is accounted for.
 * Each cause (stats.h: memory_*) is a sum kept by the thread that owns what it counts, of blocks as the allocator
 * gives them; where a library allocates (TLS), a constant that was measured stands in. tests/scenarios/bounds_test.c
 * compares the sum with what the allocator says. */
#ifndef SYMBOLON_SHARD_MEMORY_H
#define SYMBOLON_SHARD_MEMORY_H

#include "shard/stats.h"

#define MALLOC_ADDS 16 /* to a block, on the average: its head, and what is rounded up */

/* What malloc(n) takes: eight bytes in front, a multiple of sixteen, at least 32 (glibc). */
static inline uint64_t memory_block(uint64_t n)
{
    return n <= 24 ? 32 : (n + 8 + 15) & ~UINT64_C(15);
}

/* All causes together, of a snapshot. */
static inline uint64_t memory_sum(const struct stats *stats)
{
    uint64_t sum = 0;

#define MEMORY_SUM(name, kind, help) sum += atomic_load_explicit(&stats->name, memory_order_relaxed);
    MEMORY_LIST(MEMORY_SUM)
#undef MEMORY_SUM
    return sum;
}

#endif
