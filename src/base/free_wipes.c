/* For the daemons' executables: memory that is given back holds nothing any more. Tokens, proofs, keys and passwords pass
 * through libraries that free what they held as it is (TLS records, JSON, HTTP), and through every error path of ours;
 * what lies in freed memory is what a bug that shows memory shows. The price is a memset of what was freed.
 *
 * malloc(), free() and realloc() of the program come in front of the C library's (glibc, "Replacing malloc"), for all
 * libraries; the memory itself is still the C library's. Not with sanitizers, which have their own. */
#include "base/record_blocks.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* glibc's own names, exported for this. */
void *__libc_malloc(size_t size);
void __libc_free(void *p);
void *__libc_realloc(void *p, size_t size);

/* In front of the memory stands its size, whose second bit says that it is a mapping of its own: free() gives that back to
 * the kernel, which shows it to nobody. */
#define IS_MAPPED 2u

/* Of large blocks only the beginning: those are buffers that come and go with every turn of a connection, and where a login
 * lies, it lies in front. To wipe them whole made a message of QoS 1 twice as dear (3.6 instead of 1.8 us of CPU). */
#define WIPED_MAX 4096u

static int is_record_block(size_t len)
{
    return len >= RECORD_BLOCK_BYTES && len < RECORD_BLOCK_BYTES + 64;
}

static void wipe(void *p, size_t len)
{
    size_t most = WIPED_MAX;

    if (is_record_block(len) && record_blocks.used != 0 && record_blocks.used < most)
        most = record_blocks.used;
    explicit_bzero(p, len < most ? len : most);
}

/* True: the thread keeps it for the next record. */
static int keep(void *p, size_t len)
{
    struct record_blocks *blocks = &record_blocks;

    if (!is_record_block(len) || !blocks->keeps || blocks->count == RECORD_BLOCKS_KEPT)
        return 0;
    blocks->kept[blocks->count++] = p;
    return 1;
}

static int is_mapped(const void *p)
{
    return (((const size_t *)p)[-1] & IS_MAPPED) != 0;
}

void *malloc(size_t size)
{
    struct record_blocks *blocks = &record_blocks;

    if (size < RECORD_BLOCK_MIN || size > RECORD_BLOCK_BYTES || !blocks->keeps)
        return __libc_malloc(size);
    return blocks->count > 0 ? blocks->kept[--blocks->count] : __libc_malloc(RECORD_BLOCK_BYTES);
}

void free(void *p)
{
    size_t len;

    if (p == NULL)
        return;
    if (!is_mapped(p)) {
        len = malloc_usable_size(p);
        wipe(p, len);
        if (keep(p, len))
            return;
    }
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
