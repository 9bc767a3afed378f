/* broker/memory.h - how memory is accounted for, and what the system gives and takes.
 * Each cause (stats.h: memory_*) is a sum kept by the thread that owns what it counts, of blocks as the allocator
 * gives them; where a library allocates (TLS), a constant that was measured stands in. tests/scenarios/bounds_test.c
 * compares the sum with what the allocator says. */
#ifndef SYMBOLON_BROKER_MEMORY_H
#define SYMBOLON_BROKER_MEMORY_H

#include "broker/pressure.h"
#include "broker/stats.h"

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

/* ---- the system (not for the core) ---- */

/* Bytes in RAM that are this process's alone, or 0: not known. */
uint64_t memory_resident(void);
/* What this process may have: the machine's RAM, or the memory.max of a control group above it if that is less. */
uint64_t memory_machine(void);
/* Bytes from the settings: `limits.memory`, or the share `limits.memory_share` of memory_machine(). 0: no limit. */
uint64_t memory_limit(uint64_t bytes, unsigned share_percent);

struct loop;
struct memory_watch;

/* Looks at memory_resident() a few times a second and tells `pressure`; gives memory back to the system when much of
 * it is held by the allocator alone. Its timer belongs to `loop` (the control loop's thread). */
enum status memory_watch_new(struct loop *loop, struct pressure *pressure,
                             struct memory_watch **ret_watch) MUST_CHECK;
void memory_watch_free(struct memory_watch *watch);

#endif
