/* bench/program.h - what the programs share that strain a broker for a script: here and in tests/soak. They end at the first thing
 * that goes wrong, by saying so. */
#ifndef SYMBOLON_BENCH_PROGRAM_H
#define SYMBOLON_BENCH_PROGRAM_H

#include "base/defs.h"

/* TLS 1.3 with one cipher and one group, no resumption. */
#define PROGRAM_PRIORITY \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:-GROUP-ALL:+GROUP-X25519:%NO_TICKETS"

/* "PROGRAM: ..." to standard error; exit status 1. */
void die(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

/* The value of an option; dies of any other. */
double number(const char *text, double min, double max);

#endif
