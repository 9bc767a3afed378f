/* shard/shard_priv.h - the inside of a shard, for the files of the broker core only. */
#ifndef SYMBOLON_SHARD_SHARD_PRIV_H
#define SYMBOLON_SHARD_SHARD_PRIV_H

#include "base/buf.h"
#include "base/list.h"
#include "base/timer.h"
#include "shard/conn.h"
#include "shard/journal.h"
#include "shard/late.h"
#include "shard/memory.h"
#include "shard/message.h"
#include "shard/pressure.h"
#include "shard/retained.h"
#include "shard/session.h"
#include "shard/shard.h"
#include "shard/shard_msg.h"
#include "shard/token_status.h"
#include "token/verifier.h"

struct shard {
    unsigned index;
    unsigned count; /* of all shards */
    const struct shard_settings *settings;
    struct shard_world world;
    struct verifier *verifier;
    const struct log *log;
    struct pressure *pressure;     /* of all shards: never NULL */
    struct pressure *own_pressure; /* the same, if it is ours alone */
    uint64_t accounted;            /* as told to `pressure`, without the bodies of messages */
    uint64_t accounted_messages;   /* with them, and without what does not grow with each message */
    uint64_t retained_told, retained_bytes_told;
    uint64_t published;     /* bytes of PUBLISH packets read, for the sake of conn_input() */
    struct list starved;    /* conns, see throttle_output() */
    struct list unfinished; /* conns with a part of a packet, who began first in front (throttle.c) */

    bool going;     /* shard_free() runs: nobody is told anything any more */
    bool restoring; /* restore_shards() runs: what the disk has is taken whatever the limits are by now */
    struct now now; /* of the call from the world that is running */
    int64_t wall_minus_mono_ms; /* as of the last call; a change is a jump of the calendar */
    struct timer_wheel timers;
    struct timer purge; /* of retained messages */

    struct list conns;
    struct list dead;                 /* closed during this call: conn_reap() */
    struct list yielding;             /* conns with more to do: conn_yielded() */
    uint64_t work;                    /* subscriptions visited, for the sake of conn_input() */
    struct table sessions;            /* by Client Identifier */
    struct table subscriptions;       /* by session and place in the tree */
    struct table inquiries;           /* struct inquiry by request number */
    struct table tokens, twins;       /* sessions by the names of the token they rest on: token_status.c */
    struct token_work status;         /* what is to be done to them */
    struct table interests;           /* filters the other shards are being told of */
    struct table shares;              /* struct share, by text */
    struct table share_members;       /* of the groups at home here, by number */
    struct table share_subscriptions; /* shared ones of our sessions, by number */

    struct list uploads; /* struct authz_upload waiting for the journal */
    uint32_t visitors;   /* connections for authz-info alone */

    struct journal journal; /* what is to be on disk */

    struct list operations; /* every struct subscribe_op, also those whose session has ended */

    struct topic_tree *tree;
    struct retained *retained;     /* of the clients */
    struct retained *own_retained; /* of topics that begin with $ (sys.h); NULL on every shard but the first */
    struct sys_tree *sys;          /* the same, and without sys_interval_s */
    struct timer sys_timer;
    struct list matched;           /* sessions the message being routed goes to */
    struct list matched_groups;    /* and groups: share->group.link */
    struct list share_dirty;       /* struct share_ties of sessions to look at before the call ends */
    struct list share_joins;       /* SHARE_JOINs not answered yet */
    struct list share_leaving;     /* struct share_item: for another shard when their record is stored */
    struct list share_arriving;    /* for a member here when it is removed */
    bool share_stuck;              /* some of them wait for memory */
    struct share_item *share_held; /* the last one that a delivery has taken; perhaps gone since */
    struct list outs;              /* struct out_post that wait to be stored */
    struct late late;              /* messages with a record that wait for memory */
    uint64_t next_out;
    uint64_t next_group; /* as next_member */

    uint64_t next_session; /* number = next * count + index */
    uint64_t next_member;  /* the same */
    uint64_t share_seq;    /* of messages to groups at home here */
    uint64_t next_conn;
    uint64_t next_request;
    struct shard_msg_spares spares;
    struct buf scratch; /* one packet to be sent, or one block of properties */
    struct buf text;    /* a filter spelled out of the tree */
    struct stats stats;
};

/* The store that has the messages of a topic, or those that match a filter: wildcards never match a $ in front
 * (MQTT5 [MQTT-4.7.2-1]), so no filter is about both. NULL: not here. */
static inline struct retained *shard_retained(const struct shard *shard, struct span topic_or_filter)
{
    return topic_is_reserved(topic_or_filter) ? shard->own_retained : shard->retained;
}

/* After each change of the clients' retained messages. */
static inline void shard_count_retained(struct shard *shard)
{
    atomic_store_explicit(&shard->stats.retained_messages, retained_count(shard->retained),
                          memory_order_relaxed);
    atomic_store_explicit(&shard->stats.retained_bytes, retained_bytes(shard->retained), memory_order_relaxed);
    pressure_add(shard->pressure, COUNT_RETAINED, retained_count(shard->retained) - shard->retained_told);
    pressure_add(shard->pressure, COUNT_RETAINED_BYTES,
                 retained_bytes(shard->retained) - shard->retained_bytes_told);
    shard->retained_told = retained_count(shard->retained);
    shard->retained_bytes_told = retained_bytes(shard->retained);
    atomic_store_explicit(&shard->stats.memory_retained,
                          retained_tree_bytes(shard->retained) + retained_count(shard->retained) * MALLOC_ADDS,
                          memory_order_relaxed);
}

/* What shard_messages() does with a message that need not wait (late.h): takes it. */
void shard_take(struct shard *shard, struct shard_msg *msg);

/* Every size a single scratch buffer may reach: one packet. */
#define SCRATCH_MAX ((size_t)MQTT_PACKET_SIZE_MAX)

#endif
