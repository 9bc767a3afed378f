/* shard/restore_index.h - while a store is read back: sessions by number, and messages by body number.
 * Keys come in the order of numbers, so both are sorted arrays that only grow at the end, and what is looked up next is
 * mostly the neighbour of what was looked up last. Ownership: see each. For restore.c. */
#ifndef SYMBOLON_SHARD_RESTORE_INDEX_H
#define SYMBOLON_SHARD_RESTORE_INDEX_H

#include "base/status.h"

struct body;
struct message;
struct session;
struct shard;

struct restore_sessions {
    struct restored_session *at;
    size_t count, cap, last;
};

/* Whether `number` is above all before: it always is, unless the file is not what the store made of it. */
bool restore_sessions_takes(const struct restore_sessions *t, uint64_t number);
/* ST_NO_MEMORY. Sessions are their shards'. */
enum status restore_sessions_add(struct restore_sessions *t, uint64_t number, struct session *s) MUST_CHECK;
struct session *restore_sessions_find(struct restore_sessions *t, uint64_t number); /* NULL */
void restore_sessions_done(struct restore_sessions *t);

struct restore_bodies {
    struct restored_body *at;
    size_t count, cap, last;
    struct shard *const *shards;
    unsigned shard_count;
};

bool restore_bodies_takes(const struct restore_bodies *t, uint64_t number);
/* Takes the reference, also on failure. */
enum status restore_bodies_add(struct restore_bodies *t, uint64_t number, struct message *m) MUST_CHECK;
/* The body of that number as `shard` has it; lent. The first shard to ask gets the one on disk; another gets one of its own, with
 * a new number, to be written (*moved). ST_NOT_FOUND: there is no such message. */
enum status restore_bodies_get(struct restore_bodies *t, uint64_t number, unsigned shard,
                               struct body **ret_body, bool *moved) MUST_CHECK;
/* Those nobody has asked for, for visit() to remove; then lets go of everything. */
void restore_bodies_end(struct restore_bodies *t, void (*unused)(void *ctx, uint64_t number), void *ctx);

#endif
