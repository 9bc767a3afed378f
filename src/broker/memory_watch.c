#include "broker/memory_watch.h"

#include "base/buf.h"
#include "net/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_MS        100
#define TRIM_EVERY_MS  5000
#define TRIM_URGENT_MS 500                         /* above the low mark */
#define TRIM_WORTH     ((uint64_t)8 * 1024 * 1024) /* held by the allocator alone */

struct memory_watch {
    struct loop *loop;
    struct pressure *pressure;
    struct timer timer;
    uint64_t base; /* resident beyond what is accounted for, when it was least */
    int64_t trimmed_ms;
};

/* The beginning of a small file, as text; false if it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len;

    if (fd < 0)
        return false;
    len = read(fd, text, size - 1);
    close(fd);
    if (len <= 0)
        return false;
    text[len] = '\0';
    return true;
}

/* The kernel knows it at once; mallinfo() would go through every free block, and nobody could allocate meanwhile. */
uint64_t memory_resident(void)
{
    char text[128], *at = text;
    uint64_t resident, shared;

    if (!read_text("/proc/self/statm", text, sizeof text))
        return 0;
    (void)strtoull(at, &at, 10); /* proc(5): size, resident, shared, ... in pages */
    resident = strtoull(at, &at, 10);
    shared = strtoull(at, &at, 10);
    return resident > shared ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* UINT64_MAX: no limit there, or none that can be read ("max" is no number). */
static uint64_t limit_in(const char *path)
{
    char text[64], *end = text;
    uint64_t limit;

    if (!read_text(path, text, sizeof text))
        return UINT64_MAX;
    errno = 0;
    limit = strtoull(text, &end, 10);
    return end == text || errno != 0 ? UINT64_MAX : limit;
}

/* The least memory.max from our own control group up to the root: each of them binds us (cgroup v2). */
static uint64_t group_limit(void)
{
    char text[4096], path[4200], *group, *end;
    uint64_t least = limit_in("/sys/fs/cgroup/memory/memory.limit_in_bytes"); /* v1 */

    if (!read_text("/proc/self/cgroup", text, sizeof text) || (group = strstr(text, "0::/")) == NULL)
        return least;
    group += strlen("0::");
    group[strcspn(group, "\n")] = '\0';
    while (true) {
        uint64_t limit;

        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
        limit = limit_in(path);
        if (limit < least)
            least = limit;
        end = strrchr(group, '/');
        if (end == NULL)
            return least;
        *end = '\0';
    }
}

uint64_t memory_machine(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0, group = group_limit();

    return machine == 0 || group < machine ? (group == UINT64_MAX ? 0 : group) : machine;
}

uint64_t memory_limit(uint64_t bytes, unsigned share_percent)
{
    return bytes != 0 ? bytes : memory_machine() / 100 * share_percent;
}

/* What was freed stays with the allocator, scattered over its arenas: malloc_trim() gives back each whole page of it.
 * Needed after a flood, or what is resident would keep the pressure up for ever. */
static void trim(struct memory_watch *w, uint64_t resident, struct now now)
{
    uint64_t accounted = pressure_accounted(w->pressure);
    uint64_t beyond = resident > accounted ? resident - accounted : 0;
    bool urgent = pressure_level(w->pressure) != PRESSURE_NORMAL;

    if (w->base == 0 || beyond < w->base)
        w->base = beyond;
    if (beyond < w->base + TRIM_WORTH + accounted / 8 ||
        now.mono.ms - w->trimmed_ms < (urgent ? TRIM_URGENT_MS : TRIM_EVERY_MS))
        return;
    (void)malloc_trim(0);
    w->trimmed_ms = now.mono.ms;
    resident = memory_resident();
    accounted = pressure_accounted(w->pressure);
    w->base =
        resident > accounted ? resident - accounted : 0; /* what cannot be given back now is not asked again */
    log_event(NULL, LOG_DEBUG, "memory_trimmed", F_I64("resident", resident), F_I64("accounted", accounted));
}

static void on_look(struct timer *timer, struct now now)
{
    struct memory_watch *w = CONTAINER_OF(timer, struct memory_watch, timer);
    uint64_t resident = memory_resident();

    timer_start(loop_timers(w->loop), timer, mono_plus_ms(now.mono, LOOK_MS));
    if (resident == 0)
        return;
    trim(w, resident, now);
    pressure_resident(w->pressure, memory_resident(), NULL);
}

enum status memory_watch_new(struct loop *loop, struct pressure *pressure, struct memory_watch **ret_watch)
{
    struct memory_watch *w = calloc(1, sizeof *w);

    if (w == NULL)
        return ST_NO_MEMORY;
    w->loop = loop;
    w->pressure = pressure;
    timer_init(&w->timer, on_look);
    timer_start(loop_timers(loop), &w->timer, loop_now(loop).mono);
    *ret_watch = w;
    return ST_OK;
}

void memory_watch_free(struct memory_watch *w)
{
    if (w == NULL)
        return;
    timer_stop(loop_timers(w->loop), &w->timer);
    free(w);
}
