#include "load/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool slurp(const char *path, char *text, size_t cap)
{
    FILE *f = fopen(path, "r");

    if (f == NULL)
        return false;
    size_t n = fread(text, 1, cap - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    return n > 0;
}

/* Of all its threads, those that have ended too; in nanoseconds, where /proc/PID/stat counts hundredths of a second. */
static bool cpu_of(pid_t pid, double *ret)
{
    clockid_t clock;
    struct timespec t;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return false;
    *ret = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    return true;
}

bool usage_of(pid_t pid, struct usage *ret)
{
    char path[64], text[4096];

    *ret = (struct usage){ 0 };
    if (!cpu_of(pid, &ret->cpu_s))
        return false;
    if (pid == 0)
        pid = getpid();
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (!slurp(path, text, sizeof text))
        return false;
    const char *line = strstr(text, "VmRSS:");
    ret->rss_kib = line == NULL ? 0 : strtol(line + strlen("VmRSS:"), NULL, 10);
    return true;
}
