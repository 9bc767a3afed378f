/* store/kv_pages_priv.h - a store's file read without trusting it. LMDB follows page numbers and offsets as it finds them: in a
 * damaged file it ends the process (SIGBUS behind the end of the file, wild pointers, assertions). So every page
 * is looked at here before LMDB maps the file, by reading, with each reference checked before it is followed; the same walk
 * gets out of a damaged file what is whole. Knows data format 1 of LMDB 0.9 for 64-bit little-endian machines, no duplicates
 * and no named databases: what kv.c writes. */
#ifndef SYMBOLON_STORE_KV_PAGES_PRIV_H
#define SYMBOLON_STORE_KV_PAGES_PRIV_H

#include "store/kv.h"

#define PAGES_HEADS 2u /* LMDB's meta pages: pages 0 and 1, written in turn */

struct pages_tree {
    uint64_t root; /* PAGES_NO_ROOT: an empty tree */
    uint64_t entries;
    unsigned depth;
};

#define PAGES_NO_ROOT UINT64_MAX

struct pages_head {
    uint32_t page_size;
    uint64_t last_page; /* highest page number in use */
    uint64_t commit;    /* LMDB's transaction number */
    struct pages_tree free, main;
};

/* Reads both heads. ST_DAMAGED: not a store, or one that LMDB would not open either; ST_IO. */
enum status pages_read_heads(int fd, struct pages_head heads[PAGES_HEADS], struct why *why) MUST_CHECK;
/* The one of the last commit. */
const struct pages_head *pages_newest(const struct pages_head heads[PAGES_HEADS]);

bool pages_same_head(const struct pages_head *a, const struct pages_head *b);
/* The newest head that can be used, even if the other one cannot. */
enum status pages_find_head(int fd, struct pages_head *ret_head, struct why *why) MUST_CHECK;

/* Walks both trees of `head`: no writer may reuse its pages meanwhile. Gives each well-formed entry to `visit`, which may be
 * NULL; what `visit` answers besides ST_OK ends the walk and is returned. Damage is no failure but goes into `out`. */
enum status pages_walk(int fd, const struct pages_head *head, kv_visit_fn *visit, void *ctx,
                       struct kv_findings *out, struct why *why) MUST_CHECK;

/* Writes the heads again as they are read now, and syncs: what is seen is then what the disk has, even after a sync that
 * failed, whose pages the kernel counts as clean. Returns an errno, or 0. */
int pages_settle(int fd);

#endif
