#include "load/histogram.h"

#include <string.h>

#define STEP_BITS 6

static size_t index_of(uint64_t ns)
{
    if (ns < HISTOGRAM_STEPS)
        return (size_t)ns; /* one step each */
    unsigned power = 63u - (unsigned)__builtin_clzll(ns);
    unsigned shift = power - STEP_BITS;
    size_t at = (size_t)(shift + 1) * HISTOGRAM_STEPS + (size_t)((ns >> shift) - HISTOGRAM_STEPS);
    return at < HISTOGRAM_POWERS * HISTOGRAM_STEPS ? at : HISTOGRAM_POWERS * HISTOGRAM_STEPS - 1;
}

/* The largest value that falls into the step. */
static int64_t upper_end(size_t at)
{
    if (at < HISTOGRAM_STEPS)
        return (int64_t)at;
    size_t shift = at / HISTOGRAM_STEPS - 1, step = at % HISTOGRAM_STEPS;
    return (int64_t)(((HISTOGRAM_STEPS + step + 1) << shift) - 1);
}

void histogram_add(struct histogram *h, int64_t ns)
{
    if (ns < 0)
        ns = 0;
    h->counts[index_of((uint64_t)ns)]++;
    h->total++;
    h->sum_ns += (double)ns;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

int64_t histogram_at(const struct histogram *h, double fraction)
{
    double exact = (double)h->total * fraction;
    uint64_t wanted = (uint64_t)exact, seen = 0;

    if (h->total == 0)
        return 0;
    if ((double)wanted < exact)
        wanted++;
    if (wanted == 0)
        wanted = 1;
    for (size_t i = 0; i < COUNT_OF(h->counts) - 1; i++) {
        seen += h->counts[i];
        if (seen >= wanted)
            return upper_end(i) < h->max_ns ? upper_end(i) : h->max_ns;
    }
    return h->max_ns;
}

double histogram_mean(const struct histogram *h)
{
    return h->total == 0 ? 0 : h->sum_ns / (double)h->total;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; from->total > 0 && i < COUNT_OF(into->counts); i++)
        into->counts[i] += from->counts[i];
    into->total += from->total;
    into->sum_ns += from->sum_ns;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
}

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}
