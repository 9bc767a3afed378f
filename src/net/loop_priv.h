/* net/loop_priv.h - the inside of a loop, for the other files of net. */
#ifndef SYMBOLON_NET_LOOP_PRIV_H
#define SYMBOLON_NET_LOOP_PRIV_H

#include "base/buf.h"
#include "net/loop.h"

#include <stdatomic.h>
#include <uv.h>

#define LOOP_READ_BYTES  (64 * 1024)
#define LOOP_PLAIN_FRONT (16 * 1024) /* room for what a stream left over, in front of fresh plaintext */
#define LOOP_PLAIN_BYTES (LOOP_PLAIN_FRONT + LOOP_READ_BYTES + 16 * 1024)
#define LOOP_SPARES      1024
#define LOOP_SPARE_MIN   4096
#define LOOP_SPARE_BYTES (4u * 1024 * 1024) /* all of them together; more is given back to the system */

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* the end of a turn: just before sleeping */
    uv_check_t check;     /* just after waking up */
    uv_async_t async;
    uv_timer_t timer; /* sleeps no longer than the wheel allows */
    uv_idle_t idle;   /* active: do not sleep */

    bool in_turn;
    struct now now; /* of this turn */
    struct timer_wheel wheel;
    int64_t timer_due; /* mono ms the uv timer is set to, or -1 */

    struct list hooks;
    struct list chores;  /* struct chore: what is to be done at the end of this turn */
    struct list dirty;   /* streams with something to flush */
    struct list streams; /* all of them */
    struct list signals;

    _Atomic(struct loop_task *) inbox; /* newest first */
    atomic_bool asleep;
    atomic_bool kicked; /* since this turn's end began: look again before sleeping */
    atomic_bool stop;
    _Atomic uint64_t wakes;

    /* One set for all streams: nothing in them outlives a callback. */
    uint8_t *read_bytes;  /* LOOP_READ_BYTES, as received */
    uint8_t *plain_bytes; /* LOOP_PLAIN_BYTES, decrypted */
    struct buf cipher;    /* encrypted, about to be written */
    struct buf framed;    /* in WebSocket frames, about to be encrypted */

    struct buf spares[LOOP_SPARES]; /* empty gather buffers */
    size_t spare_count;
    size_t spare_bytes;
    size_t output_bytes; /* of what the streams hold: stream_weigh() */
};

struct chore {
    struct list link;
    void (*run)(struct chore *chore);
};

/* What libuv calls us for calls this first: the first one after a sleep begins the turn. */
void loop_begin_turn(struct loop *loop);

/* Queues it for the end of this turn; doing so twice is once. */
void loop_chore(struct loop *loop, struct chore *chore);

/* An empty buffer, from the spares if there is one; give it back with loop_give_spare(). */
struct buf loop_take_spare(struct loop *loop, size_t max);
void loop_give_spare(struct loop *loop, struct buf *b);

/* Defined by stream.c. */
void streams_flush(struct loop *loop);
void streams_abort_all(struct loop *loop);

#endif
