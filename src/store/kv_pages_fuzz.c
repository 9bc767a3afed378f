/* Any bytes as the file of a store: looked at, never believed. */
#include "store/kv_pages_priv.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static enum status look(void *ctx, struct span key, struct span value)
{
    uint8_t *sum = ctx;

    for (size_t i = 0; i < key.len; i++)
        *sum ^= key.p[i];
    for (size_t i = 0; i < value.len; i++)
        *sum ^= value.p[i];
    return ST_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pages_head heads[PAGES_HEADS], any;
    struct kv_findings found;
    volatile uint8_t sum = 0;
    int fd = memfd_create("store", MFD_CLOEXEC);

    ASSERT(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    if (pages_read_heads(fd, heads, NULL) == ST_OK)
        (void)(pages_walk(fd, pages_newest(heads), look, (void *)(uintptr_t)&sum, &found, NULL) == ST_OK);
    if (pages_find_head(fd, &any, NULL) == ST_OK)
        (void)(pages_walk(fd, &any, look, (void *)(uintptr_t)&sum, &found, NULL) == ST_OK);
    close(fd);
    return 0;
}
