/* net/loop_priv.h - the inside of a loop, for the other files of net.
 *
 * A loop is a set of descriptors (epoll): what its streams wait for, what wakes it, and libuv's own set, which has all the
 * rest (listeners, look-ups, signals, HTTP). A turn is: the set is asked (loop_turn.c: ask()), what is ready is handled,
 * and end_turn() does what that led to. A loop that is lent (loop_lend.c) is one more descriptor in its host's set. */
#ifndef SYMBOLON_NET_LOOP_PRIV_H
#define SYMBOLON_NET_LOOP_PRIV_H

#include "base/buf.h"
#include "net/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <uv.h>

#define LOOP_READ_BYTES  (64 * 1024)
#define LOOP_PLAIN_FRONT (16 * 1024) /* room for what a stream left over, in front of fresh plaintext */
#define LOOP_PLAIN_BYTES (LOOP_PLAIN_FRONT + LOOP_READ_BYTES + 16 * 1024)
#define LOOP_SPARES      1024
#define LOOP_SPARE_MIN   4096
#define LOOP_SPARE_BYTES (4u * 1024 * 1024) /* all of them together; more is given back to the system */
#define LOOP_NEVER       INT64_MAX

/* A descriptor in the loop's set, level-triggered. It may be reported once more in the turn it was taken out, so its memory
 * stays until a chore at least. */
struct loop_watch {
    void (*ready)(struct loop_watch *watch, uint32_t events); /* of epoll */
};

/* What the host keeps of a loop that it serves. Touched by the host's thread only, from arrival on; the link by whoever
 * has the host's lock until then. */
struct lodging {
    struct list link;
    struct loop_watch watch; /* of the guest's set, in the host's */
    bool readable;           /* something in it is */
    int64_t busy_ns;         /* spent on it since the last look */
};

/* How much of its core a thread takes, and what follows from it; see loop_lend.c. */
struct lending {
    struct loop *to; /* whose thread may serve this loop; NULL: nobody's */
    struct lend_rules rules;
    pthread_mutex_t lock; /* of this loop as a host: `open`, `arrivals` and every guest's `rests` */
    bool open;            /* the thread runs, and takes guests */
    struct list arrivals; /* lodgings of loops that want to be served */
    atomic_bool arrived;  /* there are some */
    struct list guests;   /* lodgings; in a pass: those that have not been served yet */
    struct list served;   /* the others */
    struct loop *running; /* the guest that is being served */
    bool free_all;        /* every guest gets its thread back as soon as that can be */
    struct loop *host;    /* as a guest: who serves us now */
    struct lodging lodging;
    pthread_cond_t back; /* as a guest: `rests` is false again */
    atomic_bool rests;
    int64_t looked_ms, looked_ns;          /* at the last look */
    int64_t slept_ns, sleeps_ns;           /* since then; since when now, 0: it does not */
    int64_t woken_ms, calm_ms;             /* awake since then, and at least for so long */
    int64_t turn_ns, long_ns, long_cpu_ns; /* began; was found to be long */
    _Atomic int64_t load_ms;
    _Atomic unsigned load; /* percent of a core, as of load_ms */
};

struct loop {
    uv_loop_t uv;
    int set;     /* epoll */
    int wake_fd; /* eventfd in it, edge-triggered: nobody has to read it */
    struct loop_watch uv_watch, wake_watch;
    unsigned watches; /* descriptors in the set */
    bool uv_ready;    /* libuv has something to do */
    int uv_wait;      /* ms until it has, whatever its descriptors say; -1: never */

    bool in_turn;
    bool again;     /* the last turn wants another at once */
    int64_t due_ms; /* mono ms when the wheel or libuv wants a turn, or LOOP_NEVER */
    struct now now; /* of this turn */
    struct timer_wheel wheel;

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

    struct lending lending;
};

struct chore {
    struct list link;
    void (*run)(struct chore *chore);
};

/* Whatever handles an event calls this first: the first one after a sleep begins the turn. */
void loop_begin_turn(struct loop *loop);

/* Queues it for the end of this turn; doing so twice is once. */
void loop_chore(struct loop *loop, struct chore *chore);

/* Puts the descriptor into the set, takes other events than before, or none and out again: `was` and `events` say what it
 * waits for until now and from now on (EPOLLIN, EPOLLOUT; 0: it is not in the set). False: the system has no room. */
bool loop_watch_set(struct loop *loop, struct loop_watch *watch, int fd, uint32_t was, uint32_t events);

/* An empty buffer, from the spares if there is one; give it back with loop_give_spare(). */
struct buf loop_take_spare(struct loop *loop, size_t max);
void loop_give_spare(struct loop *loop, struct buf *b);

/* -- loop_turn.c -- */
void loop_run_inbox(struct loop *loop);
bool loop_run_chores(
    struct loop *loop); /* those there now: were there any? What they add waits for the next call */
void loop_ask(struct loop *loop, int wait_ms); /* handles what is ready */
void loop_end_turn(struct loop *loop);
/* Something happened to it, or is due. */
static inline bool loop_wants_turn(const struct loop *loop, int64_t now_ms)
{
    return loop->in_turn || loop->again || loop->due_ms <= now_ms || atomic_load(&loop->kicked);
}

/* -- loop_lend.c -- */
void lending_init(struct loop *loop);
void lending_done(struct loop *loop);
/* loop_run() begins, and ends: then whoever is served here gets his thread back. */
void lending_open(struct loop *loop);
void lending_close(struct loop *loop);
/* Ends the turn of this loop, and takes the turns of those that its thread serves; returns the mono ms now. */
int64_t lending_turns(struct loop *host);
/* Lets all of them sleep until the time returned: 0 if one of them would rather go on. */
int64_t lending_sleep(struct loop *host);
void lending_awake(struct loop *host);
/* Between turns, now and then: should this loop rest, or a guest no longer? Returns when it has its thread again. */
void lending_look(struct loop *loop, int64_t now_ms);

/* Defined by stream.c. */
void streams_abort_all(struct loop *loop);
/* Defined by stream_write.c. */
void streams_flush(struct loop *loop);

#endif
