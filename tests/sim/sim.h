/* tests/sim/sim.h - brokers, clients, authorization server, disk, network and clock in one process, driven by one seed.
 *
 * Shards, keys, tokens, clocks and the disk are the harness's (tests/scenarios/harness.h). What is here: clients with
 * sessions of their own, a network that delays and cuts, a disk that is late, fails and forgets, a broker that dies at
 * any moment and comes back with another number of shards; and the account of what was promised (sim_model.c).
 *
 * All that happens happens in sim_step(), one thing at a time, chosen by the seed; `tick` numbers them. */
#ifndef SYMBOLON_TESTS_SIM_SIM_H
#define SYMBOLON_TESTS_SIM_SIM_H

#include "harness.h"
#include "harness_disk.h"

#define CLIENTS    10
#define TOPICS_OF  6 /* of one publisher: two ordinary, its Will's, one shared, two retained */
#define TOPICS     (CLIENTS * TOPICS_OF)
#define FILTERS    8
#define MESSAGES   6000 /* of one episode */
#define WINDOW     10
#define WAITING    8
#define GOT_IDS    300 /* 3.1.1 has no Receive Maximum */
#define GRACE      600 /* steps that a message may still be on its way after it was acknowledged */
#define SHORT_S    20  /* Session Expiry Interval of some */
#define GROUP_NAME "g"

enum client_kind {
    DURABLE,
    MEMBER,     /* the same, and one of the shared subscription's group */
    SHORT,      /* its session lasts SHORT_S */
    GUEST,      /* its session ends with its connection */
    WITH_TOKEN, /* the AS gives it tokens that end, and revokes them */
    RUDE        /* says what it likes */
};

enum topic_kind { ORDINARY, ORDINARY2, WILL, SHARED, RETAINED, RETAINED2 };

struct message_sent {
    unsigned topic, publisher;
    uint8_t qos;
    bool retain, empty;
    uint64_t sent, acked; /* ticks; acked 0: not yet */
    uint32_t owed, may;   /* sets of clients */
    uint32_t got_once;    /* the same: by their present session, at QoS 2 */
    bool group_owed;      /* somebody of the group must get it */
    bool
        twice; /* its PUBREC became 0x97 and may have been lost: the identifier is free, the message is there */
    uint8_t got[CLIENTS], group_got;
};

struct going {
    uint16_t packet_id;
    unsigned message;
    bool released; /* PUBREL was sent */
};

struct asked {
    uint16_t packet_id;
    enum { ASK_SUBSCRIBE, ASK_UNSUBSCRIBE, ASK_JOIN } what;
    unsigned filter;
    uint64_t tick;
};

struct subscription_known {
    bool maybe;       /* it may be there */
    uint64_t asked;   /* the last SUBSCRIBE */
    uint64_t dropped; /* the last UNSUBSCRIBE */
    uint64_t certain; /* there since; 0: not for sure */
    uint8_t qos;
};

struct client {
    unsigned number;
    char id[8];
    enum client_kind kind;
    enum mqtt_version version;
    struct conn_io *io; /* NULL: not connected */
    bool open;          /* CONNACK has come */
    struct buf wire;    /* sent, still under way to the broker */
    struct buf held;    /* acknowledgements it has not sent yet */
    bool holds;
    uint16_t next_id;
    struct going going[WINDOW];
    unsigned n_going;
    struct going got_ids[GOT_IDS]; /* QoS 2 received and not released */
    unsigned n_got_ids;
    struct asked asked[WAITING];
    unsigned n_asked;
    struct subscription_known subs[FILTERS];
    bool joined;
    unsigned will; /* message number; 0: none */
    bool known;    /* the broker has promised a session */
    bool must_clean, asked_clean;
    int present_must; /* -1: either */
    uint64_t floor;
    int64_t left_early, left_late; /* mono ms; 0: it has not left */
    uint64_t left_tick;
    bool ending, ended;          /* it connects only to end its session; and has done so */
    unsigned last[TOPICS][3][3]; /* last first delivery, by QoS of publication and of delivery */
    struct key *key;
};

struct event {
    uint64_t tick;
    const char *what;
    long a, b, c;
};

#define EVENTS 4096

struct sim {
    struct bench *b;
    uint64_t seed, tick;
    struct client clients[CLIENTS];
    struct message_sent messages[MESSAGES]; /* [0] is none */
    unsigned count;
    unsigned retained[TOPICS][64], n_retained[TOPICS]; /* the last acknowledged one, and what came after it */
    uint64_t group_granted;
    uint64_t failing_until; /* tick; refusals are allowed */
    uint64_t peace;         /* the last time all was answered */
    bool matches[FILTERS][TOPICS];
    char names[TOPICS][24];
    struct event events[EVENTS];
    uint64_t n_events, hash;
    struct {
        uint64_t steps, episodes, crashes, commits, published, acknowledged, delivered, again, owed, settles,
            refused, restarts_failed, without_memory;
    } sum;
    bool verbose;
    bool poor;       /* every now and then the broker gets no memory */
    long poor_after; /* so many allocations from now */
};

extern const char *const sim_filters[FILTERS];

/* ---- sim.c ---- */
void sim_note(struct sim *s, const char *what, long a, long b, long c);
void sim_fail(struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3) __attribute__((noreturn));
#define sim_check(s, condition, ...)  \
    do {                              \
        if (!(condition))             \
            sim_fail(s, __VA_ARGS__); \
    } while (0)
static inline bool sim_chance(struct sim *s, unsigned permille)
{
    return pick(s->b, 1000) < permille;
}

/* ---- sim_model.c ---- */
void model_begin(struct sim *s);
unsigned model_send(struct sim *s, struct client *c, enum topic_kind kind, uint8_t qos, bool retain,
                    bool empty);
void model_acknowledged(struct sim *s, unsigned message);
void model_owe(struct sim *s, unsigned message); /* it was promised to whoever certainly subscribed */
void model_received(struct sim *s, struct client *c, const struct mqtt_publish *p);
unsigned model_message(struct sim *s, const struct client *c, const struct mqtt_publish *p);
void model_subscribe(struct sim *s, struct client *c, unsigned filter, uint8_t qos);
void model_subscribed(struct sim *s, struct client *c, unsigned filter, bool granted);
void model_unsubscribe(struct sim *s, struct client *c, unsigned filter);
void model_unsubscribed(struct sim *s, struct client *c, unsigned filter, uint64_t asked);
void model_forget(struct sim *s, struct client *c);    /* the session is to end */
void model_forgotten(struct sim *s, struct client *c); /* and has ended */
unsigned model_missing(struct sim *s, char *text, size_t size);
void model_check_retained(struct sim *s, const int *found); /* by topic: message, or 0; -1: something else */

/* ---- sim_client.c ---- */
void client_begin(struct sim *s);
void client_end(struct sim *s);
void client_act(struct sim *s, struct client *c);
void client_travel(struct sim *s, struct client *c, bool all); /* bytes arrive at the broker */
void client_read(struct sim *s, struct client *c);             /* bytes have arrived here */
void client_lost(struct sim *s, struct client *c, bool crash);
void client_start(struct sim *s, struct client *c, bool clean);
void client_let_go(struct sim *s, struct client *c);
bool client_is_model(const struct client *c); /* it is owed things */

#endif
