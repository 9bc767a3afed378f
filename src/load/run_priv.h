/* load/run_priv.h - what the scenarios share: the clients, the clock of a run, opening and closing, messages. */
#ifndef SYMBOLON_LOAD_RUN_PRIV_H
#define SYMBOLON_LOAD_RUN_PRIV_H

#include "load/load.h"
#include "load/pace.h"
#include "load/peer.h"

#define NS_PER_S         INT64_C(1000000000)
#define TURN_NS          (NS_PER_S / 20)
#define AFTER_FAILURE_NS (NS_PER_S / 10)

struct run;

struct client {
    struct peer peer;
    struct run *run;
    char *id, *topic;     /* owned */
    struct track *tracks; /* owned; of the publishers it hears: p2p, fan-in, fan-out */
    bool was_ready;       /* by the end of opening */
    bool wants_open;      /* conn --again, churn */
    bool busy;            /* wildcards, retained, renew: asked, and not yet answered */
    bool repeats;         /* conn: its token was used before */
    uint64_t lives;       /* logins so far, of those that come and go */
    uint64_t next;        /* wildcards, retained: what it subscribes to next */
    int64_t not_before_ns;
};

struct run {
    const struct load_settings *s;
    load_second_fn *second;
    void *ctx;
    struct load_report *report;
    struct link_loop *loop;
    struct peer_world world;
    char name[9];           /* the run's number in hex */
    struct client *clients; /* first the subscribers, then the publishers, then the sessions beside them */
    size_t count, subs, pubs, sides;
    size_t to_open; /* of `clients`: by run_open_all() */
    size_t opened, ready, failed_opening;
    enum load_phase phase;
    bool stop, closing;
    int64_t start_ns, second_ns, last_second_ns;
    struct histogram latency, connected; /* since the last second */
    uint64_t connects, lost_connections;
    uint64_t last_connects, last_sent, last_received;
    struct load_part *part; /* being measured; NULL: none */
    int64_t part_from_ns;
    double own_from_s;
    void *beside; /* the scenario's own */
};

/* One turn of the loop and, once a second, what is due then. */
void run_turn(struct run *run, int64_t wait_ns);
/* Opens the first `to_open` clients within the limits; false if none got ready or it was stopped. */
bool run_open_all(struct run *run);
void run_close_all(struct run *run);
/* From begin to end everything is measured. */
void run_part_begin(struct run *run, const char *name);
void run_part_end(struct run *run);
uint64_t run_sent(const struct run *run);
uint64_t run_received(const struct run *run);
/* The name of client `number` in place of an earlier one, and the identity of that number; false without memory. */
bool run_name(struct run *run, struct client *client, size_t number);

static inline struct client *run_sub(const struct run *run, size_t i)
{
    return &run->clients[i];
}

static inline struct client *run_pub(const struct run *run, size_t i)
{
    return &run->clients[run->subs + i];
}

static inline struct client *run_side(const struct run *run, size_t i)
{
    return &run->clients[run->subs + run->pubs + i];
}

static inline bool client_ready(const struct client *client)
{
    return client->peer.state == PEER_READY;
}

/* ---- messages (flow.c) ---- */

struct flow {
    struct run *run;
    struct pace pace; /* of `rate` */
    size_t next;      /* publisher */
    uint64_t sent;    /* in all */
    int64_t worst_late_ns;
    /* What else happens meanwhile, each turn; returns how long it can wait, ns. NULL: nothing. */
    int64_t (*beside)(struct flow *flow);
};

/* Opens all and warms up; false: there is nothing to measure. */
bool flow_begin(struct flow *flow, struct run *run);
/* Messages go for `seconds` (0: no limit). */
void flow_part(struct flow *flow, const char *name, double seconds);
/* After a pause: the schedule of `rate` begins anew. */
void flow_resume(struct flow *flow);
/* Until all that was sent has come and was acknowledged, or nothing moves any more. */
void flow_drain(struct flow *flow);
void flow_count(struct flow *flow);

/* ---- scenarios ---- */

void flow_run(struct run *run); /* p2p, fan-in, fan-out, pub, sub */
void conn_run(struct run *run);
void wildcards_run(struct run *run);
void retained_run(struct run *run);
void churn_run(struct run *run);
void renew_run(struct run *run);

#endif
