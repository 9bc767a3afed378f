/* tests/scenarios/harness_disk.h - a disk in memory for the shards of a bench: it applies their batches when told, late, or
 * not at all, and is what a broker that crashed finds again.
 *
 *   bench_disk(b);                      all that is sealed is stored at once
 *   b->disk->manual = true;             only by disk_commit(), one shard's batch or all
 *   disk_fail(b, ST_QUOTA);             nothing more is stored, and the shards hear of it; disk_recover(b) ends that
 *   bench_crash(b, 1);                  what was not stored is gone; the broker starts again from the rest
 */
#ifndef SYMBOLON_TESTS_SCENARIOS_HARNESS_DISK_H
#define SYMBOLON_TESTS_SCENARIOS_HARNESS_DISK_H

#include "harness.h"

#include "record/record.h"
#include "shard/restore.h"
#include "store/kv_batch.h"

struct disk_entry {
    struct buf key, value;
};

struct disk_batch {
    bool there;
    uint64_t seq;
    struct kv_batch batch;
};

struct disk {
    struct disk_entry **entries; /* in the order of their keys */
    size_t count, cap;
    struct disk_batch waiting[BENCH_MAX_SHARDS]; /* by shard */
    bool manual;
    bool shuffled;      /* one batch at a time, of whichever shard the seed says, and in the middle of things */
    uint64_t freeze_at; /* after so many commits nothing more reaches it, and nobody hears of that; 0: never */
    enum status failing; /* ST_OK: no */
    uint64_t commits, puts, dels;
};

struct disk *disk_new(void);
void disk_free(struct disk *disk);
/* A disk, empty, for new shards: before the first connection. */
void bench_disk(struct bench *b);
/* Kill -9, and a start with so many shards from what the disk has. Every client is closed; what was in the network is lost. */
void bench_crash(struct bench *b, unsigned shards);
/* The same in two parts. */
void bench_die(struct bench *b);
enum status bench_start(struct bench *b, unsigned shards, struct restore_report *ret_report) MUST_CHECK;

/* world.store() of that shard. */
void disk_take(struct disk *disk, unsigned shard, uint64_t seq, struct kv_batch *batch);
/* The batches that wait become durable, and their shards hear of it. False: there was none, or the disk fails. */
bool disk_commit(struct bench *b);
bool disk_commit_of(struct bench *b, unsigned shard);
/* It becomes durable, and the broker dies before it hears of it: before bench_die(). */
void disk_commit_unheard(struct bench *b, unsigned shard);
bool disk_waits(const struct disk *disk, unsigned shard);
void disk_fail(struct bench *b, enum status st);
void disk_recover(struct bench *b);

/* How many records begin with this letter (record.h); 0: how many there are. */
size_t disk_records(const struct bench *b, char letter);
/* How many changes are in that shard's waiting batch: of this letter, or all with 0. */
size_t disk_waiting(const struct bench *b, unsigned shard, char letter);

/* Behind the broker's back. */
void disk_apply(struct disk *disk, const struct kv_batch *batch);
/* The value of this key; SPAN_NONE: there is none. */
struct span disk_get(const struct disk *disk, struct span key);

#endif
