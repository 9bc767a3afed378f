/* shard/retained_ask.h - whether the retained message that a client published is kept, where another shard owns its topic:
 * its PUBACK or PUBREC waits in the gate (gate.h) until the owner has said so, whatever the durability is. What was not kept
 * is answered 0x97, and that answer alone: who waits for something else is told nothing.
 *
 *   publisher's shard   retained_ask_new(), MSG_RETAIN_SET with it ----> owner   stores it, or does not
 *                       gate: the answer leaves, or 0x97          <---- the same message turned round: MSG_RETAIN_KEPT
 *
 * Ownership: counted; the message holds one, the gate another, and whoever carries it from one to the other.
 * Threads:   of the shard that asks; for the other one it is a cookie. */
#ifndef SYMBOLON_SHARD_RETAINED_ASK_H
#define SYMBOLON_SHARD_RETAINED_ASK_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct shard;
struct shard_msg;

struct retained_ask {
    uint32_t refs;
    bool answered;
    bool kept;         /* once it is answered */
    struct conn *conn; /* in whose gate it is; NULL: nobody waits any more */
};

struct retained_ask *retained_ask_new(void); /* NULL: no memory */
struct retained_ask *retained_ask_ref(struct retained_ask *ask);
void retained_ask_unref(struct retained_ask *ask); /* NULL does nothing */

/* On the owner's shard: turns `msg`, which has an ask, round and sends it back. */
void retained_ask_answer(struct shard *shard, struct shard_msg *msg, bool kept);
/* MSG_RETAIN_KEPT came: takes `msg`. May close the connection. */
void retained_ask_on_kept(struct shard_msg *msg);

#endif
