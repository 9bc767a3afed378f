/* base/record_blocks.h - the buffers GnuTLS takes for each TLS record: three blocks of 16.7 KB to receive it and one to
 * send it, however short it is. That is too large for what malloc() keeps at hand, and free() of the daemons
 * (base/free_wipes.c) wiped 4 KiB of each: together a third of what a short message cost. So a thread that serves
 * connections keeps a few of these blocks, and says how far into them the record at hand can reach, which is then what is
 * wiped. In programs without free_wipes.c all this says nothing to anybody.
 * Threads: each has its own. */
#ifndef SYMBOLON_BASE_RECORD_BLOCKS_H
#define SYMBOLON_BASE_RECORD_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

#define RECORD_BLOCK_MIN   16385u /* a block for this many bytes up to RECORD_BLOCK_BYTES gets all of these */
#define RECORD_BLOCK_BYTES 17408u
#define RECORD_BLOCKS_KEPT 4 /* of one thread */

struct record_blocks {
    bool keeps;
    unsigned count;
    /* No block of this size that is freed now holds more than this at its beginning; 0: unknown. */
    size_t used;
    void *kept[RECORD_BLOCKS_KEPT];
};

extern _Thread_local struct record_blocks record_blocks;

/* From now on until record_blocks_give_back(), which the thread calls before it ends. */
void record_blocks_keep(void);
void record_blocks_give_back(void);

#endif
