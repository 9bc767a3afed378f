/* load/usage.h - what a process has used: CPU (user and system, from its clock), memory from /proc/PID/status. */
#ifndef SYMBOLON_LOAD_USAGE_H
#define SYMBOLON_LOAD_USAGE_H

#include "base/defs.h"

#include <sys/types.h>

struct usage {
    double cpu_s;
    long rss_kib;
};

bool usage_of(pid_t pid, struct usage *ret); /* 0: ourselves. False: there is no such process */

#endif
