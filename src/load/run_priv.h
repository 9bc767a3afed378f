/* load/run_priv.h - what the modes share: the clients, the clock of a run, opening and closing. */
#ifndef SYMBOLON_LOAD_RUN_PRIV_H
#define SYMBOLON_LOAD_RUN_PRIV_H

#include "load/load.h"
#include "load/peer.h"

#define NS_PER_S INT64_C(1000000000)
#define TURN_NS  (NS_PER_S / 20)

struct run;

struct client {
    struct peer peer;
    struct run *run;
    char *id, *topic;   /* owned */
    struct track track; /* of the publisher it hears: pair, fan-out */
    bool was_ready;     /* by the end of opening */
    bool wants_open;    /* churn */
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
    struct client *clients; /* first the subscribers */
    size_t count, subs, pubs;
    size_t opened, ready, failed_opening;
    enum load_phase phase;
    bool measuring, stop, closing;
    int64_t start_ns, second_ns, last_second_ns;
    struct histogram latency, connected; /* since the last second */
    uint64_t connects, lost_connections;
    uint64_t last_connects, last_sent, last_received;
};

/* One turn of the loop and, once a second, what is due then. */
void run_turn(struct run *run, int64_t wait_ns);
/* Opens all clients within the limits; false if none got ready or it was stopped. */
bool run_open_all(struct run *run);
void run_close_all(struct run *run);
/* From now on (until the next call) everything is measured, or nothing is. */
void run_measure(struct run *run, bool on);
uint64_t run_sent(const struct run *run);
uint64_t run_received(const struct run *run);
/* CPU and memory of the process to measure, and our own CPU time, now. */
void run_usage(struct run *run, struct usage *process, double *ret_own_cpu_s);
/* The name of client `number` in place of an earlier one; false without memory. */
bool run_name(struct run *run, struct client *client, size_t number);

void flow_run(struct run *run);    /* pub, sub, pair, fan-out */
void connect_run(struct run *run); /* connect */

#endif
