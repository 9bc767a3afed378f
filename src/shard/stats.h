/* shard/stats.h - what a shard counts. One writer (the shard's thread), any reader: relaxed atomics, so that
 * the daemon can sum the shards without stopping them. Gauges go down again, counters never do. */
#ifndef SYMBOLON_SHARD_STATS_H
#define SYMBOLON_SHARD_STATS_H

#include "base/status.h"

#include <stdatomic.h>

struct memory_cell;

/* clang-format off */
/*     bytes of memory by cause: shard/memory.h                                                             */
#define MEMORY_LIST(X)                                                                                       \
    X( memory_connections,       GAUGE,   "bytes of memory: connections, with a measured constant for TLS" )  \
    X( memory_reading,           GAUGE,   "bytes of memory: packets of which only a part has come"        )  \
    X( memory_output,            GAUGE,   "bytes of memory: sent, and not taken by the clients yet"       )  \
    X( memory_sessions,          GAUGE,   "bytes of memory: sessions, with their tokens and Wills"        )  \
    X( memory_subscriptions,     GAUGE,   "bytes of memory: subscriptions and the tree of their filters"  )  \
    X( memory_queued,            GAUGE,   "bytes of memory: messages for clients, each payload once"      )  \
    X( memory_retained,          GAUGE,   "bytes of memory: retained messages and what finds them"        )  \
    X( memory_inboxes,           GAUGE,   "bytes of memory: on the way between workers"                   )  \
    X( memory_store,             GAUGE,   "bytes of memory: on the way to disk"                           )  \
    X( memory_tokens,            GAUGE,   "bytes of memory: tokens kept, cached, received and revoked"    )

/*     name                      kind     help                                                               */
#define STATS_LIST(X)                                                                                        \
    X( connections,              GAUGE,   "network connections"                                           )  \
    X( connections_authorized,   GAUGE,   "connections past CONNACK"                                      )  \
    X( sessions,                 GAUGE,   "sessions, connected or not"                                    )  \
    X( subscriptions,            GAUGE,   "subscriptions"                                                 )  \
    X( retained_messages,        GAUGE,   "retained messages stored"                                      )  \
    X( shared_subscriptions,     GAUGE,   "shared subscriptions, counted as subscriptions too"            )  \
    X( queued_messages,          GAUGE,   "messages waiting for or in flight to clients"                  )  \
    X( queued_bytes,             GAUGE,   "bytes of these"                                                )  \
    X( retained_bytes,           GAUGE,   "bytes of retained messages and what finds them"                )  \
    X( workers_awake,            GAUGE,   "workers with a thread of their own; the others rest, and worker 0 serves them" )  \
    X( store_failing,            GAUGE,   "1: the store cannot be written, and what must be durable is refused" )  \
    X( store_stalled,            GAUGE,   "1: the disk has not answered for store.stall"                  )  \
    X( memory_awaited,           GAUGE,   "workers whose acknowledgements wait because memory ran out"    )  \
    MEMORY_LIST(X)                                                                                           \
    X( connections_accepted,     COUNTER, "network connections accepted"                                  )  \
    X( connections_moved,        COUNTER, "connections handed to their home worker"                       )  \
    X( messages_in,              COUNTER, "application messages accepted"                                 )  \
    X( messages_out,             COUNTER, "application messages sent, resends not counted"                )  \
    X( packets_in,               COUNTER, "MQTT packets received"                                         )  \
    X( packets_out,              COUNTER, "MQTT packets sent"                                             )  \
    X( bytes_in,                 COUNTER, "bytes of MQTT packets received"                                )  \
    X( bytes_out,                COUNTER, "bytes of MQTT packets sent"                                    )  \
    X( payload_in,               COUNTER, "bytes of payload in application messages accepted"             )  \
    X( payload_out,              COUNTER, "bytes of payload in application messages sent"                 )  \
    X( connects_in,              COUNTER, "CONNECT packets received"                                      )  \
    X( dropped_output_full,      COUNTER, "QoS 0 messages dropped: the subscriber does not read"          )  \
    X( dropped_queue_full,       COUNTER, "messages dropped: max_queue_*, or a worker that is far behind"  )  \
    X( dropped_too_large,        COUNTER, "messages dropped: larger than the subscriber's packet limit"   )  \
    X( dropped_expired,          COUNTER, "messages dropped: Message Expiry Interval passed"              )  \
    X( dropped_not_authorized,   COUNTER, "messages dropped: no longer covered by the subscriber's scope" )  \
    X( dropped_retained,         COUNTER, "retained messages not stored or not sent: a limit"             )  \
    X( dropped_no_memory,        COUNTER, "messages dropped: out of memory"                               )  \
    X( dropped_pressure,         COUNTER, "QoS 0 messages dropped: memory above its high mark"            )  \
    X( dropped_oldest,           COUNTER, "messages dropped: queue full, the oldest made room"            )  \
    X( refused_queue_full,       COUNTER, "publications refused: a queue they belong to is full"          )  \
    X( refused_pressure,         COUNTER, "connections, subscriptions, publications refused: high mark"   )  \
    X( publishers_slowed,        COUNTER, "pauses of a publisher: memory above its low mark"              )  \
    X( unfinished_ended,         COUNTER, "connections ended to make room for others' unfinished packets" )  \
    X( subscriptions_lost,       COUNTER, "subscriptions ended by a narrower scope"                       )  \
    X( tokens_accepted,          COUNTER, "connections authorized by a token"                             )  \
    X( tokens_refused,           COUNTER, "tokens, or proofs of their key, refused"                       )  \
    X( tokens_kept,              COUNTER, "tokens accepted on authz-info"                                 )  \
    X( reauthentications,        COUNTER, "tokens renewed inside a connection"                            )  \
    X( tokens_expired,           COUNTER, "connections ended by the end of their token"                   )  \
    X( tokens_revoked,           COUNTER, "sessions whose token was revoked, or whose issuer was silent too long" )  \
    X( tokens_changed,           COUNTER, "sessions whose permissions the issuer changed"                 )  \
    X( sessions_taken_over,      COUNTER, "connections ended by a newer one of the same client"           )  \
    X( sessions_expired,         COUNTER, "sessions ended without their client having come back in time"  )  \
    X( aliases_told,             COUNTER, "topic aliases given to clients"                                )  \
    X( aliases_used,             COUNTER, "application messages sent with an alias in place of the topic"  )  \
    X( wills_published,          COUNTER, "Will messages published"                                       )  \
    X( refused_banned,           COUNTER, "connections closed as they came: their address is banned"      )  \
    X( refused_too_fast,         COUNTER, "connections closed as they came: hostile.connects"             )  \
    X( refused_per_address,      COUNTER, "connections closed as they came: too many from their address"  )  \
    X( refused_handshakes,       COUNTER, "connections closed before CONNACK: limits.handshakes"          )  \
    X( addresses_banned,         COUNTER, "times an address was banned"                                   )  \
    X( keep_alive_timeouts,      COUNTER, "connections ended for silence"                                 )
/* clang-format on */

struct stats {
#define STATS_FIELD(name, kind, help) _Atomic uint64_t name;
    STATS_LIST(STATS_FIELD)
#undef STATS_FIELD
    _Atomic uint64_t refusals[STATUSES]; /* by status: connections, packets and topics refused */
    struct memory_cell *retained;        /* the same, of retained ones */
    struct memory_cell *bodies; /* the shard's, of messages that wait (pressure.h); NULL: nobody counts */
};

/* Adds a snapshot to a sum that nobody else has. */
static inline void stats_sum(struct stats *sum, const struct stats *more)
{
#define STATS_SUM(name, kind, help)                                                                \
    atomic_fetch_add_explicit(&sum->name, atomic_load_explicit(&more->name, memory_order_relaxed), \
                              memory_order_relaxed);
    STATS_LIST(STATS_SUM)
#undef STATS_SUM
    for (int i = 0; i < STATUSES; i++)
        atomic_fetch_add_explicit(&sum->refusals[i],
                                  atomic_load_explicit(&more->refusals[i], memory_order_relaxed),
                                  memory_order_relaxed);
}

#define STATS_ADD(s, name, n)                                                                       \
    atomic_store_explicit(&(s)->name, atomic_load_explicit(&(s)->name, memory_order_relaxed) + (n), \
                          memory_order_relaxed)
#define STATS_INC(s, name) STATS_ADD(s, name, 1)
#define STATS_DEC(s, name) STATS_ADD(s, name, (uint64_t)-1)

#endif
