/* broker/memory_watch.h - what memory the system has and this process takes of it, for the limits (pressure.h).
 * The files of /proc and of control groups are read by the control loop's thread. */
#ifndef SYMBOLON_BROKER_MEMORY_WATCH_H
#define SYMBOLON_BROKER_MEMORY_WATCH_H

#include "shard/pressure.h"

#include "base/status.h"

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
