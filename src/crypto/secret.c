#include "crypto/secret.h"

#include <nettle/memops.h>

bool secret_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memeql_sec(a.p, b.p, a.len));
}

void secret_wipe(void *p, size_t len)
{
    if (p != NULL)
        explicit_bzero(p, len);
}
