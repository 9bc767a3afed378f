/* shard/conn.h - one network connection as the protocol sees it: which packets it may send now, its limits,
 * its timers.
 *
 *   AWAIT_CONNECT --CONNECT, token to be proved or looked up--> AUTHENTICATING
 *        |                                                        |
 *        `------------------- authorized: CONNACK 0x00 ----------> OPEN
 *   any of them --DISCONNECT, error, time-out, network gone--> CLOSED (freed by conn_reap() at the end of the turn)
 *
 *   AWAIT_CONNECT   no session; `timer` runs: connect_timeout_ms
 *   AUTHENTICATING  `connect` holds the CONNECT packet; `timer` runs: auth_timeout_ms; nothing else is held
 *   OPEN            session->conn is this one; `timer` runs the keep alive, and packet_timeout_ms for a packet that has
 *                   begun; `ace` may be re-authenticating
 *   CLOSED          io == NULL: the world does not know it any more
 */
#ifndef SYMBOLON_SHARD_CONN_H
#define SYMBOLON_SHARD_CONN_H

#include "base/log.h"
#include "mqtt/packet.h"
#include "shard/ace.h"
#include "shard/authz.h"
#include "shard/session.h"
#include "shard/throttle.h"

enum conn_state { CONN_AWAIT_CONNECT, CONN_AUTHENTICATING, CONN_OPEN, CONN_CLOSED, CONN_STATES };

struct conn_io;

struct conn {
    struct list link; /* in shard->conns or shard->dead */
    struct shard *shard;
    struct conn_io *io;
    enum conn_state state;
    enum mqtt_version version; /* MQTT_5 until a CONNECT of 3.1.1 comes; what send.h writes */
    uint64_t number;           /* for the log */
    struct log log;
    struct session *session;
    struct ace ace;
    struct gate *gate;           /* packets that wait for the disk; NULL: none */
    struct authz_upload *upload; /* a token on its way to authz-info; NULL: none */
    struct authz_cache *allowed; /* NULL: it has not published, or not for a while */
    struct timer timer;
    struct throttle throttle;
    int64_t last_packet_ms;
    uint32_t keep_alive_ms; /* with the grace of 1.5; 0: none */
    uint32_t pings; /* PINGREQs within a second of the next; PING_FLOOD: more than anybody needs, and said so */
    int64_t pings_since_ms;
    int64_t part_since_ms; /* when the packet of which only a part has come began; TIME_NEVER: there is none */

    /* from CONNECT */
    struct span
        claimed_id;   /* while it is looked at: the Client Identifier, for the log. Then the session has it */
    uint8_t *connect; /* the packet, while AUTHENTICATING */
    size_t connect_len;
    uint32_t max_packet_bytes; /* what the client takes */
    uint16_t receive_maximum;
    uint16_t
        received_before; /* QoS 2 publications of earlier connections, not released: ours counts without them */
    uint16_t topic_alias_maximum; /* how many the client takes and we give; 0: none */
    uint32_t asked_expiry_s; /* Session Expiry Interval of the CONNECT; without Clean Session: UINT32_MAX */
    bool problem_info;
    bool moved;
    bool gone_home;       /* moved away: what it read is read and counted again there */
    bool paused;          /* reading, by us: conn_pause() */
    struct list yielding; /* in shard->yielding: the others have their turn first */
    bool output_full;     /* waiting for shard_output_drained() */
    bool no_will;         /* set when closing: the client took its Will back */
    bool visitor;         /* neither token nor public topics: for authz-info alone, and not for long */
    bool connect_seen;    /* a CONNECT came: there is somebody to send CONNACK to */
    bool hint;            /* a refusal now is for want of a good token: say where to get one (MT-91) */
    struct span *aliases; /* from the client: settings->topic_alias_maximum entries, heap copies */
    size_t alias_bytes;   /* of all their topics */
    struct alias_out *aliases_out;
    char peer[];
};

struct conn *conn_new(struct shard *shard, struct conn_io *io, struct span peer, bool moved);

/* For its next publication; NULL: no memory. */
struct authz_cache *conn_authz_cache(struct conn *c);

/* The world's input; see shard_input(). */
size_t conn_input(struct conn *c, struct span input);

void conn_enter(struct conn *c, enum conn_state to);
/* CONNECT is accepted, all checked: state OPEN, timers. */
void conn_opened(struct conn *c);
void conn_start_timer(struct conn *c, uint32_t ms);

/* The five ways to end. All make it CLOSED at once; its session hears of it in conn_reap(). */
void conn_gone(struct conn *c, const char *reason);  /* the world said so */
void conn_moved_away(struct conn *c, unsigned home); /* to its home shard */
/* Refused, or ended by us: CONNACK or DISCONNECT with `code`, whichever fits the state (a client of 3.1.1 gets the
 * return code that says the same, or nothing), one log event, close. */
void conn_refuse(struct conn *c, uint8_t code, enum status st, const struct why *why, const char *event);
/* The same, with the code of the status and the event of the state. */
void conn_fail(struct conn *c, enum status st, const struct why *why);

/* Tells the world if this refusal is the peer's fault (fault.h); conn_refuse() does so itself. */
void conn_blame(struct conn *c, enum status st, const struct why *why, bool open);

/* What it was granted has ended: MT-100. */
void conn_grant_over(struct conn *c);

/* Frees the closed ones after telling their sessions. */
/* Nothing more is read until conn_go_on(), which does nothing if it was not paused. */
void conn_pause(struct conn *c);
void conn_go_on(struct conn *c);
/* Reading is resumed if nothing else stands against it any more. */
void conn_read_on(struct conn *c);
void conn_reap(struct shard *shard);
/* Those that had made more work than is fair in one turn go on. */
void conn_yielded(struct shard *shard);

struct authz conn_authz(const struct conn *c);

static inline bool conn_is_v3(const struct conn *c)
{
    return c != NULL && c->version != MQTT_5;
}

static inline bool conn_is_open(const struct conn *c)
{
    return c != NULL && c->state == CONN_OPEN;
}

/* ---- the packets, one function each; `frame` is of that type ---- */
void on_connect(struct conn *c, const struct mqtt_frame *frame, struct span behind); /* connect.c */
void on_publish(struct conn *c, const struct mqtt_frame *frame);                     /* publish.c */
void on_puback(struct conn *c, const struct mqtt_frame *frame);                      /* acks.c */
void on_pubrec(struct conn *c, const struct mqtt_frame *frame);
void on_pubrel(struct conn *c, const struct mqtt_frame *frame);
void on_pubcomp(struct conn *c, const struct mqtt_frame *frame);
void on_subscribe(struct conn *c, const struct mqtt_frame *frame); /* subscribe.c */
void on_unsubscribe(struct conn *c, const struct mqtt_frame *frame);
void on_pingreq(struct conn *c, const struct mqtt_frame *frame); /* conn.c */
void on_disconnect(struct conn *c, const struct mqtt_frame *frame);
void on_auth(struct conn *c, const struct mqtt_frame *frame); /* ace.c */

/* connect.c: the token of the waiting CONNECT is proved. */
void connect_proved(struct conn *c);

#endif
