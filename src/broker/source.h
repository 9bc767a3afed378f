/* broker/source.h - what is remembered of the addresses clients come from (net/source.h): how fast they connect, how many
 * of them are here, how often they failed to show who they are, and for how long they are not let in for that.
 *
 *   Connecting   a token bucket; beyond it a connection is closed as it is accepted. That is no fault: a fleet behind one
 *                address does so after each restart. So are the limits on connections.
 *   Faults       a second bucket, of what no honest client does: a forged token, a wrong proof, bytes that are no TLS and no
 *                MQTT. A token that has ended, a line that broke, a handshake that was not finished are none. When the
 *                bucket is empty the address is banned: `ban_ms` first, doubled each time up to `ban_max_ms`; each
 *                `calm_ms` without a ban takes one doubling back. Connections that are there stay.
 *
 * Bounded: a table of fixed size, hashed with a secret key. When a bucket of it is full the least interesting address in
 * there is forgotten: never one that is banned as long as there is another. One that is forgotten has a clean slate.
 * Threads: any. Known addresses are looked up and counted without a lock; one lock to put in a new one. */
#ifndef SYMBOLON_BROKER_SOURCE_H
#define SYMBOLON_BROKER_SOURCE_H

#include "base/clock.h"
#include "base/status.h"
#include "base/table.h"
#include "net/source.h"

struct sources;

struct source_settings {
    uint32_t addresses;                      /* that are remembered, at most; 0: nothing is, all are let in */
    uint32_t connects_per_s, connects_burst; /* 0: no limit */
    uint32_t max_arriving;                   /* connections before CONNACK; 0: no limit */
    uint32_t max_connections;                /* 0: no limit */
    uint32_t faults_per_min, faults_burst;   /* 0: nobody is banned */
    int64_t ban_ms, ban_max_ms, calm_ms;
    const struct net_prefix *exempt; /* none of all this; copied */
    size_t exempt_count;
};

enum source_verdict { SOURCE_WELCOME, SOURCE_BANNED, SOURCE_TOO_FAST, SOURCE_TOO_MANY };

enum status sources_new(const struct source_settings *settings, struct hash_key key,
                        struct sources **ret_sources) MUST_CHECK;
void sources_free(struct sources *sources);
/* Nothing is counted of these: loopback, proxies. */
bool source_exempt(const struct sources *sources, struct net_source source);

/* A connection was accepted. SOURCE_WELCOME counts it as arriving: source_arrived() once it is authorized, and
 * source_left() at the end, whatever became of it. */
enum source_verdict source_connects(struct sources *sources, struct net_source source, struct mono_time now);
void source_arrived(struct sources *sources, struct net_source source);
void source_left(struct sources *sources, struct net_source source, bool arrived);

/* A fault. > 0: it is banned from now on, for so many milliseconds. */
int64_t source_fault(struct sources *sources, struct net_source source, struct mono_time now);

/* ---- for people ---- */

struct source_ban {
    struct net_source source;
    int64_t left_ms;
    uint32_t times; /* doublings so far, and 1 */
};

/* Up to `cap` of those banned at present, those that stay the longest first; returns how many. *ret_all: how many there are. */
size_t sources_bans(const struct sources *sources, struct mono_time now, struct source_ban *out, size_t cap,
                    size_t *ret_all);
/* Those whose ban has ended since the last call, each once; returns how many of `cap`. Cheap while nobody is banned. */
size_t sources_released(struct sources *sources, struct mono_time now, struct net_source *out, size_t cap);
/* Lets it in again and forgets what it did. False: it was not banned. */
bool source_unban(struct sources *sources, struct net_source source, struct mono_time now);
size_t sources_unban_all(struct sources *sources, struct mono_time now);

struct source_totals {
    uint64_t banned_now, known; /* addresses */
    uint64_t bans, unbans;      /* so far; those that ended by themselves are no unbans */
    uint64_t refused_banned, refused_fast, refused_many; /* connections */
};
void sources_totals(const struct sources *sources, struct mono_time now, struct source_totals *out);

#endif
