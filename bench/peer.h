/* bench/peer.h - an MQTT 5 client on a link: logs in with a password or with an ACE token and a proof over the
 * TLS exporter (RFC 9431 2.2.4.2, layout A), subscribes to at most one filter, publishes numbered messages and
 * counts what comes: in order, lost, twice. A payload is message number, sending time in ns (both 8 bytes), fill. */
#ifndef SYMBOLON_BENCH_PEER_H
#define SYMBOLON_BENCH_PEER_H

#include "crypto/key.h"
#include "link.h"
#include "mqtt/packet.h"

#define STAMP_LEN 16

/* Who the clients are: one password, or as many tokens as there are; the n-th client takes the n-th, round. */
struct login {
    const char *user, *password;
    struct identity {
        struct span token;
        struct key *key;
    } * identities;
    size_t identities_count;
};

void login_read_tokens(struct login *login, const char *file); /* lines "token kind hex": see grants.c */
void login_done(struct login *login);

/* Power-of-two buckets with 32 steps each: 3 % resolution from 1 us to hours. */
#define LATENCY_STEPS 32
struct latency {
    uint64_t counts[40 * LATENCY_STEPS];
    uint64_t total;
};
void latency_add(struct latency *latency, int64_t ns);
double latency_us(const struct latency *latency, double fraction);

enum peer_state { PEER_CLOSED, PEER_OPENING, PEER_CONNACK, PEER_SUBACK, PEER_READY };

struct peer {
    struct link link;
    const struct login *login;
    size_t number;
    enum peer_state state;
    const char *filter; /* NULL: does not subscribe */
    const char *topic;  /* to publish to */
    uint8_t qos;
    size_t size; /* of a payload */
    uint16_t receive_maximum;
    uint16_t next_id;
    size_t inflight; /* published, QoS > 0, not finished */
    uint64_t sent;
    uint64_t acked;
    uint64_t expected; /* next number */
    uint64_t received, lost, twice;
    struct latency *latency; /* NULL: not measured */
    void (*ready)(struct peer *peer);
    void (*gone)(struct peer *peer, const char *reason); /* NULL: that is the end of the benchmark */
    /* The broker's DISCONNECT and AUTH; NULL: the same. */
    void (*disconnected)(struct peer *peer, uint8_t code, struct span text);
    void (*auth)(struct peer *peer, const struct mqtt_auth *auth);
};

void peer_init(struct peer *peer, struct link_loop *loop, const struct login *login, size_t number,
               size_t batch);
void peer_open(struct peer *peer);
void peer_publish(struct peer *peer, int64_t stamp_ns);
void peer_disconnect(struct peer *peer); /* politely; peer->gone (or nothing) follows */

#endif
