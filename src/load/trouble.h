/* load/trouble.h - what went wrong, counted by what it was ("CONNACK 0x87 Not authorized", "connection: reset"). Bounded:
 * what comes after TROUBLE_ROWS kinds is counted together. */
#ifndef SYMBOLON_LOAD_TROUBLE_H
#define SYMBOLON_LOAD_TROUBLE_H

#include "base/defs.h"

#define TROUBLE_ROWS 32
#define TROUBLE_TEXT 160

struct troubles {
    uint64_t total;
    size_t count;
    struct trouble {
        char text[TROUBLE_TEXT];
        uint64_t times;
    } rows[TROUBLE_ROWS];
};

void trouble_add(struct troubles *t, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
