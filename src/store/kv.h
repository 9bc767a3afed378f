/* store/kv.h - ordered keys on disk: one LMDB environment in a folder of its own.
 * What kv_apply() answered ST_OK for survives the death of the process, of the kernel, and a power cut (of a disk that
 * keeps what it acknowledged): docs/decisions/0022 says which flags of LMDB that takes. What it answered otherwise for is
 * not there at all and may be tried again. LMDB keeps no checksums: whoever must not be given what a disk has changed puts
 * a sum into the values.
 * Errors:    ST_QUOTA    no room: the disk is full, or the store has reached `max_bytes`
 *            ST_IO       the disk or the operating system refused
 *            ST_DAMAGED  no store of ours, or a damaged one
 *            ST_EXISTS   another process has it open for writing
 *            ST_NO_MEMORY
 *            `why.clause` is the system's reason where there is one ("EIO", "ENOSPC"), else "store".
 * Ownership: kv_close(NULL) does nothing. Spans given to a visitor live during the call.
 * Threads:   one at a time applies; kv_copy(), kv_stats(), kv_scan(), kv_get() and kv_check() may run beside it on any thread
 *            and see one committed state each. kv_close() when nobody is inside.
 * Size:      the file grows with its contents and is never larger than `max_bytes` and a reserve: changes are still
 *            taken in the reserve, since removing takes room too, and kv_full() says that no more should be added. */
#ifndef SYMBOLON_STORE_KV_H
#define SYMBOLON_STORE_KV_H

#include "store/kv_batch.h"

struct kv;

#define KV_MAX_BYTES_DEFAULT (UINT64_C(16) << 30)

struct kv_settings {
    uint64_t max_bytes; /* 0: KV_MAX_BYTES_DEFAULT */
    bool
        read_only; /* beside a process that writes, too; makes nothing, so the store must be there: else ST_NOT_FOUND */
    bool
        check; /* reads the whole file first and refuses a damaged one (ST_DAMAGED); without, only its heads are read */
};

/* Opens the store in the folder `path`; makes the folder (0700; its parent must be there) and the files (0600) if needed. */
enum status kv_open(const char *path, const struct kv_settings *settings, struct kv **ret_kv,
                    struct why *why) MUST_CHECK;
void kv_close(struct kv *kv);

/* All changes of all batches, in that order, as one transaction; on ST_OK they are on disk. */
enum status kv_apply(struct kv *kv, const struct kv_batch *const *batches, size_t count,
                     struct why *why) MUST_CHECK;

/* True while the store holds more than `max_bytes`: nothing is lost and removing works, but no more should be added. */
bool kv_full(const struct kv *kv); /* any thread */

/* Asked for each key that starts with `prefix`, in order of the key bytes; anything but ST_OK ends the walk and is returned. */
typedef enum status kv_visit_fn(void *ctx, struct span key, struct span value);
enum status kv_scan(struct kv *kv, struct span prefix, kv_visit_fn *visit, void *ctx,
                    struct why *why) MUST_CHECK;

/* Appends the value to `out`. ST_NOT_FOUND. */
enum status kv_get(struct kv *kv, struct span key, struct buf *out, struct why *why) MUST_CHECK;

struct kv_stats {
    uint64_t entries;
    uint64_t file_bytes; /* of the data file */
    uint64_t free_bytes; /* of it, to be used again */
    uint64_t max_bytes;
    uint64_t commits; /* since the store was made */
};
enum status kv_stats(struct kv *kv, struct kv_stats *out, struct why *why) MUST_CHECK;

/* A compact copy of one committed state into the new folder `path`, which must not be there yet; synced. */
enum status kv_copy(struct kv *kv, const char *path, struct why *why) MUST_CHECK;

/* What a walk through every page of the file found, each reference and length checked before it is followed. */
struct kv_findings {
    uint64_t entries;     /* well-formed ones */
    uint64_t bad_entries; /* not well-formed */
    uint64_t bad_pages;   /* damaged, out of the file, or referred to twice; what hung on them is not reached */
    uint64_t pages;       /* reached */
    uint64_t missed;      /* entries that the store says it has beyond those counted */
    struct why first;     /* the first thing wrong; clause NULL: nothing was */
};
/* Of the state last committed. ST_OK also if something is wrong: see `out`. */
enum status kv_check(struct kv *kv, struct kv_findings *out, struct why *why) MUST_CHECK;

/* The same for a folder that kv_open() refused, without LMDB: gives every well-formed entry to `visit` (may be NULL). Not while a
 * process has the store open (ST_EXISTS). ST_DAMAGED: not even the heads of the file can be used. */
enum status kv_salvage(const char *path, kv_visit_fn *visit, void *ctx, struct kv_findings *out,
                       struct why *why) MUST_CHECK;

#endif
