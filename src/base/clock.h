/* base/clock.h - time and randomness come in as arguments.
 * Two clocks as two types, so that mixing them does not compile: tokens expire by the calendar, keep alive and
 * retries run on a clock that never jumps. A loop reads both once a turn and passes them down as `struct now`.
 */
#ifndef SYMBOLON_BASE_CLOCK_H
#define SYMBOLON_BASE_CLOCK_H

#include "base/status.h"

struct mono_time {
    int64_t ms; /* since some start: keep alive, retry, session expiry while we run */
};

struct wall_time {
    int64_t s;  /* Unix time: exp, nbf, iat, anything written to disk */
    int32_t ms; /* of a clock just read, how far into that second it is: 0 to 999 */
};

struct now {
    struct mono_time mono;
    struct wall_time wall;
};

/* What the world gives a protocol core. main() makes the real one (env_real); tests turn the hands of theirs.
 */
struct env {
    struct now (*now)(void *ctx);
    enum status (*random)(void *ctx, void *buf, size_t len);
    void *ctx;
};

#define MS_PER_S   1000
#define TIME_NEVER INT64_MAX /* of a moment in either unit: it does not come */

static inline struct mono_time mono_plus_ms(struct mono_time t, int64_t ms)
{
    return (struct mono_time){ t.ms + ms };
}

/* From now to the beginning of the Unix second `s`; negative if that is past. */
static inline int64_t now_ms_until(struct now now, int64_t s)
{
    return (s - now.wall.s) * MS_PER_S - now.wall.ms;
}

/* The kernel's clocks: CLOCK_MONOTONIC and CLOCK_REALTIME. For main.c, loops and tools; never for a core. */
struct now now_read(void);

#endif
