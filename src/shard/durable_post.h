/* shard/durable_post.h - a publication that another shard gets exactly once, over a crash as well.
 *
 *   A  durable_post(): a record o of it, in the same batch as what makes A forget it (the packet id of QoS 2, a Will)
 *      that batch is stored:      MSG_DELIVER to B, with `out`
 *   B  durable_post_arrived():    o removed, in the same batch as what became of the message there
 *
 * So the message is on disk at one place at any time: with A, or in B's queues. All shards write to one store, and who has
 * the message removes its record: no numbers to compare, no confirmation, nothing for A to remember.
 * It leaves A only when its record is stored. Were it to go at once, B could be durable before A: after a crash A would not
 * know the packet id, take the client's second PUBLISH for a new one, and B would have it twice. With several shards that
 * costs such a publication one commit of latency on its way to the others; its own shard delivers at once.
 *
 * For QoS 2 of a session that outlives its connection, and for a Will of such a session with QoS 1 or 2: nobody says it
 * again, and if it is said again it is not listened to. So for MSG_DELIVER and for MSG_RETAIN_SET; and for every MSG_RETAIN_SET
 * while some wait here, so that retained messages keep their order. All else goes at once with a number (journal_number()),
 * and the client's acknowledgement waits for the answer.
 * The acknowledgement of what was posted here waits for A's own batch alone: journal_barrier_since(.., remote = false).
 *
 * docs/decisions/0024 has the reasons. Ownership: inside the shard. Threads: the shard's. */
#ifndef SYMBOLON_SHARD_DURABLE_POST_H
#define SYMBOLON_SHARD_DURABLE_POST_H

#include "shard/journal.h"
#include "shard/message.h"
#include "shard/shard_msg.h"

struct out_post;

/* Whether exactly-once needs a record here: more than one shard, and acknowledgements wait for the disk. Else post as ever. */
bool durable_post_on(const struct shard *shard);

/* MSG_DELIVER or MSG_RETAIN_SET, with its message: goes to `to` when it is on disk that it shall; only if durable_post_on(). Takes
 * `msg`. ST_NO_MEMORY: nothing has happened. */
enum status durable_post(struct shard *shard, unsigned to, struct shard_msg *msg) MUST_CHECK;
/* Something waits for the disk before it goes. */
bool durable_post_waits(const struct shard *shard);
/* Posts `msg`, but behind what waits: INTEREST_ADDED and RETAIN_QUERY. Else somebody who subscribes meanwhile would look for a retained
 * message that is not there yet, and not be one of those to whom its publication goes (subscribe.c). Takes `msg`. */
void durable_post_behind(struct shard *shard, unsigned to, struct shard_msg *msg);
/* The store fails, perhaps for hours: what is only behind others goes now, for somebody's SUBACK waits for it. */
void durable_post_pass(struct shard *shard);

/* The message that had this `out` has had its effects here; takes it. */
void durable_post_arrived(struct shard *shard, struct out_post *out);

/* A batch of this shard is durable: from shard_stored(), before the gates open, so that a client whose PUBREC leaves finds the
 * message in the inbox of all who want it (shard.h). */
void durable_post_stored(struct shard *shard);

void durable_post_free(struct out_post *out); /* of a shard_msg that was never delivered; NULL does nothing */
void durable_post_done(struct shard *shard);  /* what has not left when the shard goes */

/* DURABLE_OUT of journal_kinds[]. */
enum status durable_post_put(struct shard *shard, struct durable *d, struct kv_batch *batch) MUST_CHECK;

/* At start-up, when all sessions, subscriptions, groups, deliveries and items are back, and before the first seal: what was on its
 * way to shard record->to of before->workers. Delivered to the sessions and groups that were at home there, wherever they
 * are now; the record goes with the first batch of shards[0] .. shards[count - 1], which MUST be one transaction for all of
 * them, since what became of one message may lie in several. ST_NO_MEMORY. */
enum status durable_post_restore(struct shard *const *shards, unsigned count, const struct record_meta *before,
                                 const struct record_out *record, const struct message *m) MUST_CHECK;

#endif
