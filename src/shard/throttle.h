/* shard/throttle.h - what a shard does about its share of the pressure (pressure.h): what it takes is accounted for,
 * publishers are read more slowly, unfinished packets make room for each other, new work is refused.
 * In every refusal the clause is the setting that stood in the way: "limits.memory" where it is memory in all. */
#ifndef SYMBOLON_SHARD_THROTTLE_H
#define SYMBOLON_SHARD_THROTTLE_H

#include "base/list.h"
#include "base/status.h"
#include "base/timer.h"

struct conn;
struct mqtt_publish;
struct shard;

#define UNFINISHED_SMALL 4096u /* of a packet: less does not count, a rest of this size has anybody */

/* Of one connection, inside it. */
struct throttle {
    struct timer slow;        /* runs: it is not read from, for having published much */
    int64_t slow_ms;          /* since */
    int64_t second_ms;        /* begin of the second in which `published` counts */
    uint64_t published;       /* bytes */
    size_t unread;            /* offered and not consumed, when it was looked at last */
    size_t unfinished;        /* of these, what counts as a part of a packet */
    struct list starved;      /* in shard->starved: waits for the output of all to shrink */
    struct list link;         /* in shard->unfinished, while that is not 0 */
    uint16_t receive_maximum; /* announced: less than the setting under pressure */
    bool beyond;              /* more than limits.connections: let in to be told so */
};

/* So many are let in at most: some more than may stay, who get a CONNACK that says so. */
uint32_t throttle_connections_most(uint32_t max_connections);

void throttle_begin(struct conn *c, bool moved);
void throttle_end(struct conn *c); /* closed */

/* After shard_input(): so many bytes were left, so many published. `part`: they are the beginning of a packet. Needed if
 * anything is or was left, or there is pressure. */
void throttle_input(struct conn *c, size_t unread, bool part, uint64_t published);
/* Whether it is we who do not listen. */
bool throttle_is_slow(const struct conn *c);

/* Whether it is full now that limits.output_total is reached: those who have more than a little waiting wait until it is
 * not; session_pump() then comes by itself. */
bool throttle_output(struct conn *c, size_t pending);
void throttle_feed(struct shard *shard);

/* Announced in the CONNACK. */
uint16_t throttle_receive_maximum(struct conn *c);

/* ST_OK, or why there is no room: for another session; for this connection; for more subscriptions. */
enum status throttle_session(const struct shard *shard, struct why *why) MUST_CHECK;
enum status throttle_connection(const struct conn *c, struct why *why) MUST_CHECK;
enum status throttle_subscribe(const struct shard *shard, struct why *why) MUST_CHECK;
/* Above the high mark. ST_OK for what makes room. ST_QUOTA: refused, or, of QoS 0, to be dropped: it is counted. */
enum status throttle_publish(struct shard *shard, const struct mqtt_publish *p, struct why *why) MUST_CHECK;

/* Before a call from the world ends: ends those who hold up the others with what they have begun; tells `pressure`
 * what this shard takes, if that has changed. */
void throttle_unfinished(struct shard *shard);
void throttle_account(struct shard *shard);
/* The same for what grows with each message: cheap. The rest is looked at once a turn, and after what makes it grow. */
void throttle_account_messages(struct shard *shard);

#endif
