/* broker/worker_priv.h - the inside of a worker, for worker.c and worker_conn.c. */
#ifndef SYMBOLON_BROKER_WORKER_PRIV_H
#define SYMBOLON_BROKER_WORKER_PRIV_H

#include "broker/worker.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/stream.h"

#include <pthread.h>
#include <stdatomic.h>

struct worker_listener {
    struct worker *worker;
    struct listener *listener;
    struct tls_config *tls;
    const struct ws_server_settings *ws; /* NULL: plain MQTT */
};

/* Messages held back until the turn's data are all posted, oldest first. */
struct ack_queue {
    struct shard_msg *first;
    struct shard_msg **end;
};

/* Publications for one worker that are not in its inbox yet, the newest first. */
#define POST_CHAIN 32
struct post_chain {
    struct shard_msg *newest, *oldest;
    unsigned count;
    size_t bytes;
};

/* What the committer has to say, until the loop gets to it. */
struct store_news {
    bool stored;
    uint64_t seq;
    bool changed;
    enum status st;
    struct why why;
};

struct worker_store {
    struct loop_task task;
    struct timer seal_timer; /* common->seal_ms after the first change */
    pthread_mutex_t lock;    /* of the rest */
    bool posted;             /* the task is on its way */
    struct store_news news;
};

/* Connections that were turned away, by reason; for statistics. */
struct worker_refused {
    _Atomic uint64_t banned, fast, many, handshakes;
    _Atomic uint64_t bans; /* addresses that were banned for what connections of this worker did */
};

struct worker {
    struct worker_common *common;
    unsigned index;
    struct log log;
    struct log_limit limit; /* of `log` */
    struct timer limit_timer;
    struct timer ticket_timer; /* of the first worker: the TLS configurations are all workers' */
    struct loop *loop;
    struct shard *shard;
    pthread_t thread;
    bool started;
    bool stopping;
    struct loop_hook hook;
    struct loop_task stop_task;
    struct timer shard_timer; /* wakes the loop for the shard's own timers */
    struct timer stop_timer, drain_timer;
    struct list conns; /* struct conn_io */
    struct list line;  /* of them, those that are not authorized yet, the oldest first: conn_io->line */
    size_t line_count;
    struct worker_refused refused;
    size_t conn_count;
    struct mono_time stop_by; /* whatever is not stored by then is not waited for */
    struct worker_store store;
    struct ack_queue acks[TOPIC_TREE_MAX_SHARDS];
    struct post_chain chains[TOPIC_TREE_MAX_SHARDS];
    uint64_t chained;         /* bit per worker that has one */
    struct shard_msg *taken;  /* out of the inbox and not handled yet, oldest first */
    uint64_t posted_to;       /* bit per worker that got something this turn */
    _Atomic uint64_t dropped; /* publications not posted because an inbox was full */
    _Atomic uint64_t connection_bytes,
        output_bytes;   /* of memory; the first is kept up, the second as of the last turn */
    uint64_t accounted; /* of both and the inbox, as told to settings->pressure */
    unsigned listener_count;
    struct worker_listener listeners[WORKER_MAX_LISTENERS];

    /* Written by everybody; away from what only we touch. */
    _Alignas(64) _Atomic(struct shard_msg *) inbox; /* newest first: the order of all posters together */
    atomic_size_t inbox_bytes;
};

/* The world's side of a connection. */
struct conn_io {
    struct list link;      /* worker->conns; unlinked on its way to another worker */
    struct worker *worker; /* where it is, or was until it arrives */
    struct worker *move_to;
    struct stream *stream;
    struct conn *conn;        /* NULL: the shard does not know it yet, or any more */
    struct net_source source; /* it comes from */
    struct list line;         /* in worker->line */
    bool in_line;
    bool was_in_line;       /* before it was sent to another worker */
    bool arrived;           /* authorized */
    bool excused;           /* if its TLS handshake fails now */
    uint32_t bytes;         /* of memory, with all that the libraries take for it */
    struct token *built_in; /* worker_adopt(): what it may do; NULL: a client from outside */
    char address[];         /* the same with its port, as net_peer has it */
};

/* worker_conn.c */
void worker_accept(void *worker_listener, int fd, const struct net_peer *peer);
void worker_take_built_in(struct worker *worker, int fd, struct token *token); /* takes both */
/* A session ticket is good for 6 hours; a key that is stolen later opens no connection older than this. */
#define WORKER_TICKET_KEY_MS (INT64_C(12) * 3600 * 1000)
void worker_new_ticket_keys(struct timer *timer, struct now now);
void worker_fill_conn_world(struct shard_world *world);
void worker_abort_strangers(struct worker *worker); /* connections without a `conn` */

/* worker_store.c */
void worker_store_init(struct worker *worker);
void worker_store_done(struct worker *worker);
void worker_store(void *worker, uint64_t seq, struct kv_batch *batch); /* struct shard_world.store */
void worker_seal(struct worker *worker, struct now now);               /* at the end of a turn */

#endif
