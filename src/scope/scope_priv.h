/* scope/scope_priv.h - the compiled form. */
#ifndef SYMBOLON_SCOPE_SCOPE_PRIV_H
#define SYMBOLON_SCOPE_SCOPE_PRIV_H

#include "scope/scope.h"

/* One block of memory: this, then `sorted`, then the text of all filters. `sorted` holds indexes into `entries`:
 * first those of plain topics, then those of filters with wildcards, each run ordered by its bytes. */
struct scope {
    _Atomic uint32_t refs;
    uint16_t count;
    uint16_t plain_count;
    uint16_t *sorted;
    struct scope_entry entries[];
};

#endif
