/* client/session_world.h - for tests: the engine against a broker that keeps its session rules exactly and checks that the
 * client keeps its own, over a connection that breaks anywhere, in a process that may die. All by one seed. */
#ifndef SYMBOLON_CLIENT_SESSION_WORLD_H
#define SYMBOLON_CLIENT_SESSION_WORLD_H

#include "client/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the first two above */
#include <cmocka.h>

#define MESSAGES_MAX 64 /* each way, in one run */
#define QUEUE_MAX    1024

struct chance {
    uint64_t state;
};

uint32_t chance(struct chance *c, uint32_t below);

/* ---- a store in memory, with what is on disk apart from what is not yet ---- */

struct row {
    bool there;
    enum outgoing_state state;
    uint64_t rank;
    uint16_t packet_id;
    uint8_t qos;
    uint32_t serial;
};

struct rows {
    struct row rows[MESSAGES_MAX + 1]; /* by id */
    bool received[MESSAGES_MAX + 1];   /* the broker numbers its messages from 1 */
    bool session;
    uint64_t last_rank;
};

struct memory_store {
    struct rows now, disk;
    bool dirty;
};

extern const struct engine_store memory_store_functions;
void memory_store_crash(struct memory_store *store); /* what was not committed is gone */
void memory_store_load(struct memory_store *store, struct engine *e, struct now now);
bool memory_store_empty(const struct memory_store *store);

/* ---- the broker ---- */

struct to_client { /* a message of the broker */
    uint32_t serial;
    uint8_t qos;
    uint16_t packet_id; /* 0: not sent yet */
    bool released;      /* PUBREC came */
    bool done;
    bool dup, here; /* here: sent on this connection */
};

struct pending_ack {
    enum mqtt_packet_type type;
    uint16_t packet_id;
};

struct broker {
    enum mqtt_version version;
    uint16_t receive_maximum, alias_maximum;
    /* session */
    bool has_session, unheard; /* unheard: the client may not know that it is a new one */
    bool holds[65536];         /* QoS 2 identifiers of the client */
    struct to_client out[MESSAGES_MAX];
    size_t out_count;
    uint16_t next_id;
    /* connection */
    bool connected;
    struct buf in;                      /* bytes of the client, not yet a packet */
    struct pending_ack acks[QUEUE_MAX]; /* to be sent, in order */
    size_t ack_count;
    uint16_t pubrecs[QUEUE_MAX]; /* sent on this connection, for the order of PUBRELs */
    size_t pubrec_count, pubrel_count;
    bool open_here[65536]; /* the client's QoS > 0 packets not answered on this connection */
    size_t open_count;
    uint32_t last_dup;                 /* serial of the last message sent again here */
    size_t sent_next;                  /* of `out`: to be sent on this connection */
    uint16_t sent_order[2][QUEUE_MAX]; /* packet identifiers sent here, by QoS: acknowledgements follow it */
    size_t sent_count[2], acked_count[2];
    uint16_t client_receive_maximum;
    size_t client_open;
    char aliases[16][8];
    /* what subscribers have seen */
    unsigned delivered[MESSAGES_MAX + 1];
    uint32_t last_first[3]; /* by QoS: the highest serial delivered */
};

/* ---- both, and the application ---- */

struct session_world {
    struct chance chance;
    struct engine *engine;
    struct engine_settings settings;
    struct memory_store store;
    struct broker broker;
    struct buf up, down; /* bytes on the way */
    struct now now;
    bool lossy; /* the broker may lose the session */
    bool manual;
    bool crashes;
    uint8_t accepted_qos[MESSAGES_MAX + 1]; /* by serial; 0xff: not */
    unsigned published[MESSAGES_MAX + 1];   /* by id */
    unsigned unknown[MESSAGES_MAX + 1];     /* reported as of unknown fate */
    uint32_t serial_of_id[MESSAGES_MAX + 1];
    uint32_t next_serial;
    unsigned taken[MESSAGES_MAX + 1]; /* of the broker's, by serial */
    uint32_t last_taken[3];
    uint64_t handles[QUEUE_MAX];
    size_t handle_count;
    int lost_sessions, resumed, crashed;
};

struct session_world *session_world_new(uint64_t seed);
void session_world_free(struct session_world *w);
void session_world_connect(struct session_world *w);
void session_world_drop(struct session_world *w);
void session_world_crash(struct session_world *w);
void session_world_publish(struct session_world *w);
void session_world_move(struct session_world *w, bool all); /* some bytes, some answers */
void broker_publish(struct session_world *w);

/* session_broker.c */
void broker_lost(struct session_world *w);
void broker_input(struct session_world *w, struct span bytes);
void broker_turn(struct session_world *w, bool all); /* sends answers and messages it owes */

#endif
