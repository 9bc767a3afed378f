/* bench/scenario.h - what is measured. Each scenario opens its clients, warms up, measures between two readings of
 * the broker's CPU time, drains, and prints one JSON object on a line. */
#ifndef SYMBOLON_BENCH_SCENARIO_H
#define SYMBOLON_BENCH_SCENARIO_H

#include "peer.h"
#include "usage.h"

struct options {
    const char *host, *ca_file, *tokens_file;
    int port;
    const char *user, *password;
    pid_t broker_pid;
    size_t clients; /* pairs, subscribers, slots or idle connections */
    size_t size;    /* payload bytes */
    size_t batch;   /* packets per TLS record at most */
    size_t window;  /* messages on their way per pair (or per subscriber) at most */
    uint8_t qos;
    double rate; /* messages a second in all */
    double warmup_s, seconds;
    /* the authorization server */
    const char *path, *body, *accounts_file, *out_file;
    const char *key_file, *issuer; /* for assertions, and for tokens of our own */
    const char *audience, *admin_socket;
    int64_t lead_s, spread_s; /* expiry: the minute begins so long from now, and is so long */
};

struct bench {
    const struct options *options;
    struct link_loop loop;
    struct login login;
};

void scenario_pairs(struct bench *bench);   /* as fast as the window lets it */
void scenario_rate(struct bench *bench);    /* at a fixed rate, with latency */
void scenario_fanout(struct bench *bench);  /* one publisher, many subscribers */
void scenario_connect(struct bench *bench); /* TCP, TLS, CONNECT, CONNACK, DISCONNECT, again */
void scenario_idle(struct bench *bench);    /* memory of connections that do nothing */
void scenario_grants(struct bench *bench);  /* token requests over kept-alive HTTPS */
void scenario_expiry(struct bench *bench);  /* many tokens ending in one minute */
void scenario_revoke(struct bench *bench);  /* from the command to the cut */

/* Opens them a few at a time until all are ready. */
void open_peers(struct bench *bench, struct peer **peers, size_t count);

/* Two readings and what lies between them. */
struct reading {
    int64_t at_ns;
    struct usage broker, own;
};
struct reading take_reading(const struct bench *bench);
void print_head(const char *scenario, const struct bench *bench, struct reading from, struct reading to);
void print_latency(const struct latency *latency);

#endif
