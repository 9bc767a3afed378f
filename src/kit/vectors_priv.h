/* kit/vectors_priv.h - how vectors.json is printed: arrays of objects, one a line, so that a change can be read. */
#ifndef SYMBOLON_KIT_VECTORS_PRIV_H
#define SYMBOLON_KIT_VECTORS_PRIV_H

#include "base/buf.h"

struct out {
    struct buf b;
    bool first; /* of the array */
};

/* Counts a problem, and says it, unless `ok`. */
void must(bool ok, const char *what);
struct buf unhex(const char *text);
void begin(struct out *o, const char *name);
void end(struct out *o);
void row(struct out *o, const char *name);
void row_end(struct out *o);
void hex(struct out *o, const char *name, struct span s);
void words(struct out *o, const char *name, struct span s);
void hex_row(struct out *o, const char *name, struct span s);
int vectors_problems(void);

#endif
