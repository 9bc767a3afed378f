/* bench/core/lean.h - shards of the broker and their clients in one thread, with as little around them as can be: for counting
 * what the broker itself does. No socket, no TLS, no clock that runs, no chance; the disk takes everything at once. What the
 * broker sends is counted and then overwritten; the last packet to each client can be looked at.
 *
 *   struct lean *l = lean_new(1, false);
 *   struct lean_conn *sub = lean_client(l, &(struct lean_client){ .id = "s", .scope = LEAN_ALL });
 *   lean_subscribe(sub, "a/#", 0);
 *   lean_input(pub, packet);        what a read of the socket gave
 *   lean_turn(l);                   what the loop does besides, until nothing is left to do
 *
 * Whatever goes otherwise than it should ends the program: these are measurements, not tests. */
#ifndef SYMBOLON_BENCH_LEAN_H
#define SYMBOLON_BENCH_LEAN_H

#include "base/buf.h"
#include "base/clock.h"
#include "crypto/key.h"
#include "mqtt/packet.h"
#include "shard/shard.h"
#include "store/kv_batch.h"
#include "token/auth_data.h"
#include "token/verifier.h"

#define LEAN_SHARDS_MAX 4
#define LEAN_WALL       1800000000 /* the calendar when it begins */
#define LEAN_ALL        "[[\"#\",[\"pub\",\"sub\"]]]"
#define LEAN_OUT        (1u << 17) /* longest packet */
#define LEAN_OUT_USED   (1u << 13) /* usually: an output buffer is warm, and so should this be */

struct lean {
    unsigned count;
    struct shard *shard[LEAN_SHARDS_MAX];
    struct shard_settings settings; /* before lean_begin() */
    struct now now;
    struct key *as_key;     /* Ed25519; signs */
    struct key *shared;     /* encrypts tokens that carry a secret */
    struct key *client_key; /* Ed25519; what tokens are bound to unless said otherwise */
    struct key *secret;     /* the same, symmetric: cheap to prove, where the proof is not what is measured */
    struct verifier *verifier;
    struct token_store *tokens;
    struct scope *public_scope;
    bool on_disk;
    bool constant_random; /* all bytes 0x5a: a challenge can be answered before it is made */
    uint64_t seed;

    struct shard_msg *inbox[LEAN_SHARDS_MAX], **inbox_end[LEAN_SHARDS_MAX];
    struct shard_msg *acks[LEAN_SHARDS_MAX], **acks_end[LEAN_SHARDS_MAX];
    unsigned sealing;
    uint64_t sealed[LEAN_SHARDS_MAX]; /* batch on its way; 0: none */
    uint8_t *out;                     /* LEAN_OUT bytes, of which LEAN_OUT_USED are used round and round */
    size_t out_at;
    uint64_t packets, bytes; /* sent */
};

struct lean_conn {
    struct lean *lean;
    struct conn *conn; /* NULL: the broker does not know it yet, or is done with it */
    unsigned at;
    bool closed, paused;
    struct span last; /* the last packet for it, until LEAN_OUT_USED more bytes were sent */
};

struct lean_client {
    const char *id, *scope;
    const struct key *key; /* NULL: the secret */
    uint32_t life_s;       /* of the token; 0: a day */
    uint32_t expiry_s;     /* of the session */
    bool guest;            /* no token at all: public topics */
};

/* Two steps, between which settings, public_scope and the clock may be changed. */
struct lean *lean_new(unsigned shards, bool on_disk);
void lean_begin(struct lean *l);
void lean_free(struct lean *l);
void lean_public(struct lean *l, const char *scope);

/* A token bound to the key (a secret: encrypted, else signed); `serial` makes it unlike any other. */
void lean_token(struct lean *l, const struct lean_client *client, uint64_t serial, struct buf *out);
/* CONNECT with it, and with a proof over the exporter, which is the same on every connection here. */
void lean_connect_packet(struct lean *l, const struct lean_client *client, struct span token, struct buf *out);

struct lean_conn *lean_conn_new(struct lean *l); /* TLS is up, nothing was sent */
void lean_conn_free(struct lean_conn *c);        /* closed before, by either side */
struct lean_conn *lean_client(struct lean *l, const struct lean_client *client); /* connected */
void lean_input(struct lean_conn *c, struct span bytes);
void lean_drop(struct lean_conn *c); /* the network goes */
void lean_turn(struct lean *l);
void lean_pass(struct lean *l, int64_t ms); /* both clocks, and a turn */

void lean_subscribe(struct lean_conn *c, const char *filter, uint8_t qos);
void lean_publish_packet(struct buf *out, const char *topic, uint8_t qos, uint16_t packet_id, bool retain,
                         size_t payload);

void lean_must(bool ok, const char *what);

#endif
