/* broker/store_start.h - the store at the start of the broker: opened, checked, set aside if it is damaged, brought to
 * today's format, and read back.
 *
 *   no store ------------------------------> a new one
 *   ours, intact --------------------------> as it is
 *   ours, of an older format --------------> brought to today's in a copy, which takes its place; the former stays as
 *                                            `store.format-<n>-<time>`
 *   of a newer format, or in use ----------> refused, untouched
 *   damaged, half written, or not a store -> every record that can still be read goes into a new one, which takes its place;
 *                                            the damaged one stays as `store.damaged-<time>`
 *
 * The copy is made in `store.migrating` or `store.salvaging`, and the two change places in one step: whenever that is
 * interrupted, the next start begins it again or finds it done. Nothing is ever destroyed, and whatever is refused says why
 * in words for the administrator. Every page is read and checked before LMDB may follow it: a file that is shorter than
 * it says would end the process (SIGBUS).
 * Threads: one, before the workers run. */
#ifndef SYMBOLON_BROKER_STORE_START_H
#define SYMBOLON_BROKER_STORE_START_H

#include "shard/restore.h"

#define STORE_FOLDER "store" /* in the broker's state folder */

struct store_start {
    const char *state_dir;
    uint64_t max_bytes; /* as kv_settings */
    const struct log *log;
    /* May be NULL. `stage`: "migrating", "salvaging", "restoring"; static. `of` is 0 where nobody knows. */
    void (*progress)(void *ctx, const char *stage, uint64_t done, uint64_t of);
    void *progress_ctx;
};

/* Logs `store_damaged`, `store_migrated`, `store_newer`. ST_BAD_VERSION: written by a newer broker. ST_EXISTS: another broker has it. ST_IO,
 * ST_QUOTA: the disk, also while a damaged store is being replaced. */
enum status store_start_open(const struct store_start *start, struct now now, struct kv **ret_kv,
                             struct why *why) MUST_CHECK;

/* Everything into the shards, which have not run; the first transaction is on disk when this returns. Logs it. Tokens
 * and revocations, which have to be there before, are not its business. */
enum status store_start_restore(const struct store_start *start, struct kv *kv, struct shard *const *shards,
                                unsigned count, struct now now, struct restore_report *out,
                                struct why *why) MUST_CHECK;

#endif
