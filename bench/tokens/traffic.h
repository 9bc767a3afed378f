/* bench/traffic.h - others' messages while something happens: pairs that publish and receive at a fixed rate, in a process of
 * their own, so that what the generator does meanwhile delays none of them. Each message is kept with when it was due and how
 * long it took, in memory both processes see. */
#ifndef SYMBOLON_BENCH_TRAFFIC_H
#define SYMBOLON_BENCH_TRAFFIC_H

#include "token_bench.h"

#define TRAFFIC_PAIRS 20

struct traffic;

struct traffic_counts {
    uint64_t sent, received, lost, twice, late;
};

/* Returns once all are connected and messages go. Its clients take the identities of the bench's login from `identity` on. */
struct traffic *traffic_start(const struct bench *bench, double per_s, size_t identity);
/* Waits until what was sent has come, or nothing moves any more. */
struct traffic_counts traffic_stop(struct traffic *traffic);
/* After the stop: how long messages took that were due in [from, to), by the monotonic clock. */
void traffic_window(const struct traffic *traffic, int64_t from_ns, int64_t to_ns, struct histogram *latency);
void traffic_free(struct traffic *traffic);

#endif
