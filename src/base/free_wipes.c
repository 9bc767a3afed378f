/* For the daemons' executables: memory that is given back holds nothing any more. Tokens, proofs, keys and passwords pass
 * through libraries that free what they held as it is (TLS records, JSON, HTTP), and through every error path of ours;
 * what lies in freed memory is what a bug that shows memory shows. The price is a memset of what was freed.
 *
 * free() and realloc() of the program come in front of the C library's (glibc, "Replacing malloc"), for all libraries;
 * the memory itself is still the C library's. Not with sanitizers, which have their own. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* glibc's own names, exported for this. */
void __libc_free(void *p);
void *__libc_realloc(void *p, size_t size);

/* In front of the memory stands its size, whose second bit says that it is a mapping of its own: free() gives that back to
 * the kernel, which shows it to nobody. */
#define IS_MAPPED 2u

/* Of large blocks only the beginning: those are buffers that come and go with every turn of a connection, and where a login
 * lies, it lies in front. To wipe them whole made a message of QoS 1 twice as dear (3.6 instead of 1.8 us of CPU). */
#define WIPED_MAX 4096u

static void wipe(void *p)
{
    size_t len = malloc_usable_size(p);

    explicit_bzero(p, len < WIPED_MAX ? len : WIPED_MAX);
}

static int is_mapped(const void *p)
{
    return (((const size_t *)p)[-1] & IS_MAPPED) != 0;
}

void free(void *p)
{
    if (p == NULL)
        return;
    if (!is_mapped(p))
        wipe(p);
    __libc_free(p);
}

void *realloc(void *p, size_t size)
{
    size_t had = p == NULL ? 0 : malloc_usable_size(p);
    void *moved;

    if (p != NULL && size == 0) { /* as glibc does */
        free(p);
        return NULL;
    }
    if (p != NULL && size <= had && size >= had / 2)
        return p;
    if (p != NULL && is_mapped(p)) /* moved as a mapping, or copied and given back */
        return __libc_realloc(p, size);
    moved = malloc(size);
    if (moved == NULL || p == NULL)
        return moved;
    memcpy(moved, p, had < size ? had : size);
    free(p);
    return moved;
}
