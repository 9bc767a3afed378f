/* shard/pressure.h - what all shards of a broker take together, and what follows when that is much: one object
 * for all of them (a shard that is given none makes its own).
 *
 *             low mark             high mark                    limit
 *   NORMAL ------|------- LOW ---------|-------- HIGH ------------|
 *                publishers are        new work is refused:       never reached but by what is
 *                read more slowly      0x97, QoS 0 dropped        under way already
 *
 * A state is left again below its mark less a twentieth of the limit, so that it does not flicker. What counts is what the
 * parts have accounted for (stats.h: memory_*), which follows each message, and what the system said at last that this
 * process had in RAM beyond that: libraries, leaks, fragments; it is asked a few times a second.
 * The counts are exact over all shards: the limit is reached by the one that reaches it, wherever that is.
 * Threads: any, no lock. Events memory_low, memory_high, memory_normal: one for each change, from whoever saw it. */
#ifndef SYMBOLON_SHARD_PRESSURE_H
#define SYMBOLON_SHARD_PRESSURE_H

#include "base/log.h"
#include "base/status.h"

#include <stdatomic.h>

#define PRESSURE_SHARDS 64

enum pressure_level { PRESSURE_NORMAL, PRESSURE_LOW, PRESSURE_HIGH };

/* What is counted over all shards. */
enum pressure_count {
    COUNT_SOCKETS,     /* accepted, TLS or not yet */
    COUNT_CONNECTIONS, /* known to a shard */
    COUNT_SESSIONS,
    COUNT_KEPT_SESSIONS, /* those among them that are on disk */
    COUNT_SUBSCRIPTIONS,
    COUNT_FILTER_BYTES, /* of these */
    COUNT_RETAINED,
    COUNT_RETAINED_BYTES,
    COUNT_UNFINISHED_BYTES, /* of packets of which only a part has come */
    PRESSURE_COUNTS
};

/* Whose bytes a report is about. */
enum pressure_part { PART_CORE, PART_WORLD, PARTS };

/* Bytes of messages that wait somewhere, each counted once however many wait for it: message_keep(). Written by
 * whoever drops the last reference. */
struct memory_cell {
    _Alignas(64) _Atomic uint64_t bytes;
};

struct pressure_limits {
    uint64_t memory;       /* bytes; 0: no limit, always PRESSURE_NORMAL */
    unsigned low_percent;  /* of it, from 1 to high_percent - 1 */
    unsigned high_percent; /* to 100 */
    uint64_t output;       /* bytes sent and not taken by the clients, in all; 0: no limit */
};

struct pressure {
    struct pressure_limits limits;
    _Atomic uint8_t level; /* enum pressure_level */
    _Atomic uint8_t slow;  /* 0 at the low mark, 100 at the high one and beyond */
    _Atomic bool full;     /* at the limit itself */
    atomic_bool output_over;
    _Atomic uint64_t resident;     /* as the system has it */
    _Atomic uint64_t beyond;       /* of that, what was not accounted for then */
    _Atomic unsigned shards_known; /* one more than the highest that ever reported */
    _Atomic uint64_t counts[PRESSURE_COUNTS];
    struct memory_cell bodies[PRESSURE_SHARDS];   /* of messages for clients */
    struct memory_cell retained[PRESSURE_SHARDS]; /* of retained ones: the first to keep a message counts it */
    struct {
        _Alignas(64) _Atomic uint64_t bytes[PARTS];
        _Atomic uint64_t output;
    } shards[PRESSURE_SHARDS];
};

enum status pressure_new(struct pressure_limits limits, struct pressure **ret_pressure) MUST_CHECK;
void pressure_free(struct pressure *p);

/* What this part of this shard takes now; the level follows. `log` (may be NULL) gets the event, if there is one. */
void pressure_report(struct pressure *p, unsigned shard, enum pressure_part part, uint64_t bytes,
                     const struct log *log);
/* What waits in this shard's connections to be taken by their clients. */
void pressure_output(struct pressure *p, unsigned shard, uint64_t bytes);
/* Bytes of RAM that are this process's alone. */
void pressure_resident(struct pressure *p, uint64_t bytes, const struct log *log);
/* Accounted for, by all. */
uint64_t pressure_accounted(const struct pressure *p);

/* True: `n` more are counted, which makes no more than `max`. */
bool pressure_take(struct pressure *p, enum pressure_count what, uint64_t n, uint64_t max) MUST_CHECK;
/* The same whatever the limit says. */
void pressure_add(struct pressure *p, enum pressure_count what, uint64_t n);
void pressure_give(struct pressure *p, enum pressure_count what, uint64_t n);

static inline uint64_t pressure_count(const struct pressure *p, enum pressure_count what)
{
    return atomic_load_explicit(&p->counts[what], memory_order_relaxed);
}

static inline enum pressure_level pressure_level(const struct pressure *p)
{
    return (enum pressure_level)atomic_load_explicit(&p->level, memory_order_relaxed);
}

/* New work is refused. */
static inline bool pressure_is_high(const struct pressure *p)
{
    return pressure_level(p) == PRESSURE_HIGH;
}

/* Not even one more connection. */
static inline bool pressure_is_full(const struct pressure *p)
{
    return atomic_load_explicit(&p->full, memory_order_relaxed);
}

/* How much publishers are slowed down, of 100; 0: not at all. */
static inline unsigned pressure_slow(const struct pressure *p)
{
    return pressure_level(p) == PRESSURE_NORMAL ? 0 : atomic_load_explicit(&p->slow, memory_order_relaxed);
}

/* More output waits for all clients together than may. */
static inline bool pressure_output_over(const struct pressure *p)
{
    return atomic_load_explicit(&p->output_over, memory_order_relaxed);
}

#endif
