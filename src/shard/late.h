/* shard/late.h - what another shard handed over once and for all (durable_post.h), and for which there is no memory now.
 * The other one has forgotten it, and its publisher may have been told so. So it waits here until everybody has it whose
 * session is on disk, and meanwhile
 *   - nothing is sealed: the disk has its record, and nothing of what it became here, so that a crash begins anew;
 *   - what must not overtake it waits behind it: others of its kind, retained messages, and the questions that docs/decisions/0024
 *     queues behind such messages where they come from. A retained message that is to be confirmed is refused instead.
 * Who has had it already is told from who has not by the number of the message that a session or group missed last.
 *
 * Ownership: inside the shard; waiting needs no memory. Threads: the shard's. */
#ifndef SYMBOLON_SHARD_LATE_H
#define SYMBOLON_SHARD_LATE_H

#include "base/timer.h"

#include <stdbool.h>

struct shard;
struct shard_msg;

struct late {
    struct shard_msg *first, **end; /* linked by `next`, which is free once a message has come */
    struct timer timer;
    uint32_t number; /* of the message some have missed; never 0 then */
};

void late_init(struct shard *shard);
void late_done(struct shard *shard);
bool late_waits(const struct shard *shard);
/* True: it waits behind others, or was refused, and is no business of the caller's any more. */
bool late_holds(struct shard *shard, struct shard_msg *msg);
/* `msg`, which has `out`, is about to be handed out: *ret_again: to those alone who have missed it. Its number is late.number. */
void late_begin(struct shard *shard, const struct shard_msg *msg, bool *ret_again);
/* `msg`, which has `out`, found no memory for all it is for: again soon. Takes it. */
void late_again(struct shard *shard, struct shard_msg *msg);

#endif
