/* load/pace.h - a schedule that waits for nobody: the n-th is due at a fixed time, whenever the ones before it were done. */
#ifndef SYMBOLON_LOAD_PACE_H
#define SYMBOLON_LOAD_PACE_H

#include "base/defs.h"

struct pace {
    int64_t start_ns;
    double interval_ns;
    uint64_t count; /* done so far */
};

static inline struct pace pace_from(int64_t start_ns, double per_s)
{
    return (struct pace){ start_ns, 1e9 / per_s, 0 };
}

static inline int64_t pace_due(const struct pace *pace)
{
    return pace->start_ns + (int64_t)((double)pace->count * pace->interval_ns);
}

#endif
