/* broker/store_start.h - the store at the start of the broker: opened, checked, set aside if it is damaged, brought to
 * today's format, and read back.
 *
 *   no store ------------------------------> a new one
 *   ours, intact --------------------------> as it is
 *   ours, of an older format --------------> copied step by step into `store.migrating`, which then takes its place
 *   of a newer format, or in use ----------> refused, untouched
 *   damaged, half written, or not a store -> moved to `store.damaged-<time>`; every record of it that is intact is brought
 *                                            into a new one
 *
 * Whatever is refused says why in words for the administrator; nothing is ever destroyed.
 * Threads: one, before the workers run. */
#ifndef SYMBOLON_BROKER_STORE_START_H
#define SYMBOLON_BROKER_STORE_START_H

#include "broker/restore.h"

#define STORE_FOLDER "store" /* in the broker's state folder */

struct store_start {
    const char *state_dir;
    uint64_t max_bytes; /* as kv_settings */
    bool check;         /* read and verify the whole file first; the heads are always */
    const struct log *log;
    /* May be NULL. `stage`: "checking", "migrating", "salvaging", "restoring"; static. */
    void (*progress)(void *ctx, const char *stage, uint64_t done, uint64_t of);
    void *progress_ctx;
};

/* Logs `store_damaged`, `store_migrated`. ST_BAD_VERSION: written by a newer broker. ST_EXISTS: another broker has it. ST_IO,
 * ST_QUOTA: the disk, also while a damaged store is being replaced. */
enum status store_start_open(const struct store_start *start, struct now now, struct kv **ret_kv,
                             struct why *why) MUST_CHECK;

/* Everything into the shards, which have not run; the first transaction is on disk when this returns. Logs it. Tokens
 * and revocations, which have to be there before, are not its business. */
enum status store_start_restore(const struct store_start *start, struct kv *kv, struct shard *const *shards,
                                unsigned count, struct now now, struct restore_report *out,
                                struct why *why) MUST_CHECK;

#endif
