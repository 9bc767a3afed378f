/* base/prefetch.h - asks for memory before it is used: where many objects take turns, each has left the caches since it was
 * last used, and what is asked for one after the other comes side by side. It pays where the one before it is still
 * worked on meanwhile, and for nothing else. */
#ifndef SYMBOLON_BASE_PREFETCH_H
#define SYMBOLON_BASE_PREFETCH_H

#include <stddef.h>

#define CACHE_LINE 64

/* Nothing is read, so what is there may be anything. */
static inline void prefetch(const void *p, size_t len)
{
    for (size_t at = 0; at < len; at += CACHE_LINE)
        __builtin_prefetch((const char *)p + at);
}

#endif
