/* load/peer.h - an MQTT client on a link: logs in (nobody, a password, or an ACE token with a proof over the TLS exporter,
 * RFC 9431 2.2.4.2 layout A, in 3.1.1 6.1), subscribes to at most one filter, publishes stamped messages and counts what
 * comes and what is answered. What fails is told to `gone` and counted in the world's troubles. */
#ifndef SYMBOLON_LOAD_PEER_H
#define SYMBOLON_LOAD_PEER_H

#include "load/histogram.h"
#include "load/link.h"
#include "load/login.h"
#include "load/track.h"
#include "load/trouble.h"
#include "mqtt/packet.h"

/* What all clients of a run share. */
struct peer_world {
    struct link_loop *loop;
    const struct login *login;
    struct troubles *troubles;
    enum mqtt_version version; /* MQTT_5 or MQTT_3_1_1 */
    uint32_t run;              /* stands in every stamp */
    uint16_t keep_alive_s;
    size_t batch;                /* packets per TLS record at most */
    struct buf fill;             /* payload to publish; its first STAMP_LEN bytes are written anew each time */
    struct histogram *latency;   /* of messages; NULL: not measured */
    struct histogram *connected; /* from the first SYN to CONNACK */
};

enum peer_state { PEER_CLOSED, PEER_OPENING, PEER_CONNACK, PEER_SUBACK, PEER_READY };

struct peer {
    struct link link;
    struct peer_world *world;
    size_t number;      /* which identity it takes */
    char *client_id;    /* lent */
    const char *filter; /* lent; NULL: does not subscribe */
    const char *topic;  /* lent; to publish to */
    uint32_t publisher; /* its number in stamps */
    uint8_t qos;
    enum peer_state state;
    bool leaving; /* DISCONNECT was sent by us */
    int64_t opened_ns, wrote_ns;
    uint16_t keep_alive_s; /* the broker's word counts */
    uint16_t receive_maximum;
    uint16_t next_id;
    size_t inflight; /* published, QoS > 0, not finished */
    uint64_t sent, acked;
    uint64_t refused;   /* of those: with a reason code that says so */
    uint64_t unmatched; /* ... nobody was subscribed (0x10) */
    uint64_t pings, pongs;
    uint64_t received;  /* each message once, strange ones included */
    uint64_t strange;   /* without a stamp, or another's */
    bool unchecked;     /* its messages are counted and measured, but not checked for gaps */
    struct track *only; /* the one publisher it hears; NULL: any */
    struct tracks tracks;
    void (*ready)(struct peer *peer);
    void (*gone)(struct peer *peer, const char *reason); /* NULL: as asked. It may be opened again from here */
    /* The broker's DISCONNECT and AUTH; NULL: a trouble that ends the connection. */
    void (*disconnected)(struct peer *peer, uint8_t code, struct span text);
    void (*auth)(struct peer *peer, const struct mqtt_auth *auth);
};

void peer_init(struct peer *peer, struct peer_world *world, size_t number, char *client_id);
void peer_open(struct peer *peer);
void peer_publish(struct peer *peer, int64_t stamp_ns);
void peer_ping(struct peer *peer);
/* Keep alive and the limit for an opening one; about once a second. */
void peer_tick(struct peer *peer, int64_t now_ns, int64_t open_limit_ns);
void peer_disconnect(struct peer *peer); /* politely; peer->gone follows with no reason */
void peer_fail(struct peer *peer, const char *fmt, ...) PRINTF_LIKE(2, 3); /* counts a trouble and closes */
void peer_done(struct peer *peer);

#endif
