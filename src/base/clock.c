#include "base/clock.h"

#include <time.h>

#define US_PER_S INT64_C(1000000)

struct now now_read(void)
{
    struct timespec mono, wall;
    int64_t wall_us;

    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &mono);
    /* The calendar as of the beginning of the monotonic millisecond, so that a time on the calendar, reckoned on the
     * other clock, never comes early by what both have cut off. */
    wall_us = (int64_t)wall.tv_sec * US_PER_S + wall.tv_nsec / 1000 - mono.tv_nsec % 1000000 / 1000;
    return (struct now){ .mono = { mono.tv_sec * MS_PER_S + mono.tv_nsec / 1000000 },
                         .wall = { wall_us / US_PER_S, (int32_t)(wall_us % US_PER_S / 1000) } };
}
