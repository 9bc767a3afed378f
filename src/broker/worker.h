/* broker/worker.h - one thread, one loop, one shard: the world of shard/shard.h made real. Workers that have little to do rest:
 * worker 0's thread runs their loops (docs/decisions/0037), so "the worker's thread" below is whoever runs its loop.
 * Workers accept connections on sockets of their own (SO_REUSEPORT), hand each to its home worker once, and post
 * messages into each other's inboxes. A publication (MSG_DELIVER) is there when a chain of them is full, or
 * something else is posted, to whomever, or the turn ends; other messages of class SHARD_DATA when post() returns; SHARD_ACK when the
 * turn ends, after all data of the turn; all before output of that turn reaches a socket (docs/decisions/0031). A worker is woken at
 * most once per turn of another, and only when it sleeps.
 * Life:    worker_new() for all, worker_listen(), worker_start() for all … worker_stop() for all, worker_join() for
 *          all, worker_free() for all.
 * Threads: before worker_start() and after worker_join() from the main thread; in between only the functions that
 *          say "any thread". */
#ifndef SYMBOLON_BROKER_WORKER_H
#define SYMBOLON_BROKER_WORKER_H

#include "broker/source.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/ws.h"
#include "shard/shard.h"
#include "topic/topic_tree.h"

#define WORKER_MAX_LISTENERS 16
#define INBOX_BYTES          ((uint64_t)256 * 1024 * 1024)

struct kv_batch;
struct worker;
struct token;

/* What all workers share; filled before the first worker_new(), must outlive the last worker. */
struct worker_common {
    unsigned count;
    struct worker *workers[TOPIC_TREE_MAX_SHARDS]; /* set by worker_new() */
    const struct shard_settings *settings;
    int64_t handshake_ms;
    struct sources *sources;   /* lent; NULL: no address is remembered */
    uint32_t max_arriving;     /* connections that are not authorized yet, shared out evenly; 0: no limit */
    _Atomic uint32_t arriving; /* there are so many */
    uint64_t
        inbox_bytes; /* what may wait for one worker: publications of QoS 0 beyond are dropped; 0: INBOX_BYTES */
    struct lend_rules lend; /* when worker 0's thread serves others as well; all 0: never */
    uint32_t log_per_s;     /* lines of one event that one worker logs in a second; 0: no limit */
    /* Called on the worker's thread; answered later by worker_resolved(). NULL: nothing to ask. */
    void (*resolve)(void *ctx, unsigned worker, enum resolve_kind kind, uint64_t request, struct span token);
    void *ctx;
    /* Called on the worker's thread: what its shard wants on disk, moved out of `batch`; answered by worker_stored().
     * NULL: there is no store. */
    void (*store)(void *store_ctx, unsigned worker, uint64_t seq, struct kv_batch *batch);
    void *store_ctx;
    atomic_bool store_failing; /* for statistics */
    atomic_bool store_stalled; /* the same: store_watch.h */
    int64_t seal_ms;           /* how long changes may gather first; 0: until the turn ends */
    bool over;                 /* all threads have ended: messages between shards are dropped */
};

enum status worker_new(struct worker_common *common, unsigned index, struct verifier *verifier,
                       struct why *why) MUST_CHECK;
/* Takes the listening socket. `tls` NULL: plain; `ws`, borrowed and to outlive the worker: WebSocket. At most WORKER_MAX_LISTENERS; they are numbered in order. */
enum status worker_listen(struct worker *worker, int fd, struct tls_config *tls,
                          const struct ws_server_settings *ws, struct why *why) MUST_CHECK;
/* Sockets opened `later` let clients in from now on. Before worker_start(). */
enum status worker_open(struct worker *worker, struct why *why) MUST_CHECK;
enum status worker_start(struct worker *worker, struct why *why) MUST_CHECK;

/* For tls_settings.psk_find of the listeners: asks the shard that the connection was accepted for. */
tls_psk_find worker_psk_find;

/* -- any thread; false: out of memory -- */
bool worker_set_verifier(struct worker *worker, struct verifier *verifier);
/* New connections of that listener use this configuration (reloaded certificate). */
bool worker_set_tls(struct worker *worker, unsigned listener, struct tls_config *tls);
/* Takes the token reference. */
bool worker_resolved(struct worker *worker, uint64_t request, enum status st, struct token *token,
                     const struct why *why);
/* The journal of the token store has got further. */
bool worker_tokens_stored(struct worker *worker);
/* -- any thread, and they need no memory -- */
/* That batch is on disk. */
void worker_stored(struct worker *worker, uint64_t seq);
/* ST_OK: the store takes changes again. Else it does not, and why. */
void worker_store_state(struct worker *worker, enum status st, const struct why *why);

/* -- any thread; false: out of memory -- */
/* A connected socket of a part of this program, which may do what `token` (token_built_in()) says. Takes both. */
bool worker_adopt(struct worker *worker, int fd, struct token *token);
/* No new connections; DISCONNECT to everybody; the thread ends when they have hung up and what they leave is stored, or
 * after a few seconds. */
void worker_stop(struct worker *worker);
void worker_stats(const struct worker *worker, struct stats *out);

/* The shard, for who fills it before worker_start(). */
struct shard *worker_shard(const struct worker *worker);
/* After worker_join(): false if something the shard wanted kept has not been stored. */
bool worker_is_stored(const struct worker *worker);

void worker_join(struct worker *worker);
void worker_free(struct worker *worker);

#endif
