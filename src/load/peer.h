/* load/peer.h - an MQTT client on a link: logs in (nobody, a password, or an ACE token with a proof over the TLS exporter,
 * RFC 9431 2.2.4.2 layout A, in 3.1.1 6.1), subscribes, publishes stamped messages, renews its token, and counts what comes
 * and what is answered. What fails is told to `gone` and counted in the world's troubles. */
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
    struct histogram *latency;   /* of messages, unless a peer says otherwise; NULL: not measured */
    uint32_t spread;             /* publishers i, i + spread, i + 2 * spread, ... have one subscriber */
    struct histogram *connected; /* from the first SYN to CONNACK */
};

enum peer_state { PEER_CLOSED, PEER_OPENING, PEER_CONNACK, PEER_SUBACK, PEER_READY };

struct peer {
    struct link link;
    struct peer_world *world;
    size_t number;      /* which identity it takes */
    char *client_id;    /* lent */
    const char *filter; /* lent; subscribed to before it is ready; NULL: nothing */
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
    uint64_t received; /* each message once, strange ones included */
    uint64_t strange;  /* without a stamp, or another's */
    bool unchecked;    /* its messages are counted and measured, but not checked for gaps */
    /* Publisher i is known[i / spread], and there are no others; NULL: any, in `tracks`. */
    struct track *known;
    size_t known_count;
    struct tracks tracks;
    struct histogram *latency;
    int64_t asked_ns;                /* SUBSCRIBE or AUTH that is not answered yet; 0: none */
    const struct identity *renewing; /* ... whose key answers the challenge */
    void (*ready)(struct peer *peer);
    void (*gone)(struct peer *peer, const char *reason); /* NULL: as asked. It may be opened again from here */
    /* In place of counting: every message with a stamp of this run. */
    void (*message)(struct peer *peer, const struct stamp *stamp);
    void (*subscribed)(struct peer *peer, size_t filters, int64_t took_ns); /* after peer_subscribe() */
    void (*renewed)(struct peer *peer, int64_t took_ns);                    /* after peer_renew() */
    /* The broker's DISCONNECT; NULL: a trouble that ends the connection. */
    void (*disconnected)(struct peer *peer, uint8_t code, struct span text);
};

void peer_init(struct peer *peer, struct peer_world *world, size_t number, char *client_id);
void peer_open(struct peer *peer);
void peer_publish(struct peer *peer, int64_t stamp_ns);
/* To be retained; its number in the stamp is the caller's. */
void peer_retain(struct peer *peer, const char *topic, uint64_t number);
/* One SUBSCRIBE, one at a time, once it is ready; peer->subscribed follows. */
void peer_subscribe(struct peer *peer, const struct mqtt_subscription *subscriptions, size_t count);
/* Re-authentication (RFC 9431 4) with another token, lent until peer->renewed follows; one at a time. */
void peer_renew(struct peer *peer, const struct identity *identity);
void peer_ping(struct peer *peer);
/* Keep alive and the limit for an opening one; about once a second. */
void peer_tick(struct peer *peer, int64_t now_ns, int64_t open_limit_ns);
void peer_disconnect(struct peer *peer); /* politely; peer->gone follows with no reason */
void peer_fail(struct peer *peer, const char *fmt, ...) PRINTF_LIKE(2, 3); /* counts a trouble and closes */
void peer_done(struct peer *peer);

#endif
