/* bench/usage.h - what a process has used: CPU from /proc/PID/stat (user and system), memory from status. */
#ifndef SYMBOLON_BENCH_USAGE_H
#define SYMBOLON_BENCH_USAGE_H

#include <sys/types.h>

struct usage {
    double cpu_s;
    long rss_kib;
};

struct usage usage_of(pid_t pid); /* 0: ourselves */

#endif
