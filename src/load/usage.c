#include "load/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

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

static bool cpu_of(const char *stat, double *ret)
{
    char *at = strrchr(stat, ')'); /* behind the name, which may hold anything: field 3 follows */

    for (int field = 2; at != NULL && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return false;
    double user = (double)strtoul(at, &at, 10), system_time = (double)strtoul(at, NULL, 10);
    *ret = (user + system_time) / (double)sysconf(_SC_CLK_TCK);
    return true;
}

bool usage_of(pid_t pid, struct usage *ret)
{
    char path[64], text[4096];

    *ret = (struct usage){ 0 };
    if (pid == 0) {
        struct rusage r;
        (void)getrusage(RUSAGE_SELF, &r);
        ret->cpu_s = seconds(r.ru_utime) + seconds(r.ru_stime);
        pid = getpid();
    } else {
        (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        if (!slurp(path, text, sizeof text) || !cpu_of(text, &ret->cpu_s))
            return false;
    }
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (!slurp(path, text, sizeof text))
        return false;
    const char *line = strstr(text, "VmRSS:");
    ret->rss_kib = line == NULL ? 0 : strtol(line + strlen("VmRSS:"), NULL, 10);
    return true;
}
