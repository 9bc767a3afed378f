#include "base/defs.h"

#include <stdio.h>
#include <stdlib.h>

void assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "assertion failed: %s at %s:%d\n", cond, file, line);
    abort();
}

void freep(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}
