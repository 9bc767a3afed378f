#include "usage.h"

#include "link.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void slurp(const char *path, char *text, size_t cap)
{
    FILE *f = fopen(path, "r");
    if (f == NULL)
        die("cannot read %s: has the broker ended?", path);
    size_t n = fread(text, 1, cap - 1, f);
    fclose(f);
    text[n] = '\0';
}

static long rss_kib(const char *status)
{
    const char *line = strstr(status, "VmRSS:");
    return line == NULL ? 0 : strtol(line + strlen("VmRSS:"), NULL, 10);
}

struct usage usage_of(pid_t pid)
{
    struct usage usage = { 0 };
    char path[64], text[4096];

    if (pid == 0) {
        struct rusage r;
        getrusage(RUSAGE_SELF, &r);
        usage.cpu_s = seconds(r.ru_utime) + seconds(r.ru_stime);
        pid = getpid();
    } else {
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        slurp(path, text, sizeof text);
        char *at = strrchr(text, ')'); /* behind the name, which may hold anything: field 3 follows */
        for (int field = 2; at != NULL && field < 14; field++)
            at = strchr(at + 1, ' ');
        if (at == NULL)
            die("%s has another form than expected", path);
        double user = (double)strtoul(at, &at, 10), system = (double)strtoul(at, NULL, 10);
        usage.cpu_s = (user + system) / (double)sysconf(_SC_CLK_TCK);
    }
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    slurp(path, text, sizeof text);
    usage.rss_kib = rss_kib(text);
    return usage;
}
