#include "base/clock.h"

#include <time.h>

struct now now_read(void)
{
    struct timespec mono, wall;

    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &wall);
    return (struct now){ .mono = { mono.tv_sec * MS_PER_S + mono.tv_nsec / 1000000 },
                         .wall = { wall.tv_sec, (int32_t)(wall.tv_nsec / 1000000) } };
}
