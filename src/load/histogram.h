/* load/histogram.h - how long things took, in bounded memory: 64 steps to every power of two, so that a percentile is
 * at most 1/64 above the exact one, from 64 ns to 19 hours. Values beyond are counted in the last step; the largest is
 * kept exactly. No state but the struct. */
#ifndef SYMBOLON_LOAD_HISTOGRAM_H
#define SYMBOLON_LOAD_HISTOGRAM_H

#include "base/defs.h"

#define HISTOGRAM_STEPS  64
#define HISTOGRAM_POWERS 41

struct histogram {
    uint64_t total;
    int64_t max_ns;
    double sum_ns;
    uint64_t counts[HISTOGRAM_POWERS * HISTOGRAM_STEPS];
};

void histogram_add(struct histogram *h, int64_t ns); /* below 0 counts as 0 */
/* The value that `fraction` (0 to 1) of all values do not exceed, in ns, rounded up to its step; 0 if there is none. */
int64_t histogram_at(const struct histogram *h, double fraction);
double histogram_mean(const struct histogram *h); /* ns; exact */
void histogram_merge(struct histogram *into, const struct histogram *from);
void histogram_reset(struct histogram *h);

#endif
