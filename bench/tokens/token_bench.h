/* bench/token_bench.h - what is measured of tokens: how fast an authorization server gives them out and answers for them,
 * and what happens in live sessions when they end. The clients are those of `symbolon bench` (src/load). Everything fails
 * loudly: a benchmark that limps on measures nothing. What each scenario prints, one line of JSON:
 *
 *   all           scenario clients seconds broker_cpu_s (of --pid, all threads) broker_cpu generator_cpu (cores) rss_kib
 *   grants        grants per_s us_per_grant p50_us p99_us max_us
 *   introspect    introspections per_s us_per_introspection p50_us p99_us max_us
 *   expiry        cut renewed early late unexplained left busiest_second_cpu p50_us p99_us max_us (after the token's end)
 *   expiry-storm  the members of `storm`; all tokens end in the same second
 *   revoke        revoked cut left answer_p50_us answer_max_us p50_us p99_us max_us (from the command to the DISCONNECT)
 *   revoke-one    the members of `storm`; one token, which --clients sessions hold, is revoked
 *   storm         cut left unexplained first_us p50_us last_us (from the end of the token, or the command, to DISCONNECTs),
 *                 storm_cpu_s (until the last); others' messages at --traffic a second, quiet and from the end to one second
 *                 after the last cut: quiet_p50_us quiet_p99_us quiet_max_us storm_p50_us storm_p99_us storm_max_us
 *                 sent received lost twice out_of_order */
#ifndef SYMBOLON_BENCH_TOKEN_BENCH_H
#define SYMBOLON_BENCH_TOKEN_BENCH_H

#include "load/histogram.h"
#include "load/link.h"
#include "load/login.h"
#include "load/peer.h"
#include "load/usage.h"
#include "program.h"

#define SECOND_NS  INT64_C(1000000000)
#define MINT_SCOPE "[[\"bench/#\",[\"pub\",\"sub\"]]]" /* of tokens of our own */

struct options {
    const char *host, *ca_file, *tokens_file;
    int port;
    pid_t pid;      /* of the daemon measured */
    size_t clients; /* sessions, or connections to the server */
    double rate;    /* revocations a second */
    double warmup_s, seconds;
    const char *path, *body, *accounts_file, *out_file;
    const char *key_file, *issuer; /* for assertions, and for tokens of our own */
    const char *audience, *admin_socket;
    double traffic, quiet_s;  /* storms: others' messages a second, and so long before */
    int64_t lead_s, spread_s; /* expiry: the minute begins so long from now, and is so long */
};

struct bench {
    const char *prefix; /* of client identifiers */
    const struct options *options;
    struct link_loop loop;
    struct login login;
    struct troubles troubles;
    struct peer_world world;
    struct tls_config *tls;
};

void scenario_grants(struct bench *bench);       /* token requests over kept-alive HTTPS */
void scenario_introspect(struct bench *bench);   /* questions about tokens, likewise */
void scenario_expiry(struct bench *bench);       /* many tokens ending in one minute */
void scenario_revoke(struct bench *bench);       /* from the command to the cut */
void scenario_expiry_storm(struct bench *bench); /* many tokens ending in one second */
void scenario_revoke_one(struct bench *bench);   /* one token that many sessions hold */

/* The loop to the broker, and the world on it: for another process once more. */
void open_loop(struct bench *bench);

/* Opens them a few at a time until all are ready. */
void open_peers(struct bench *bench, struct peer **peers, size_t count);
/* One client of the world, named by its number. */
void init_peer(struct bench *bench, struct peer *peer, size_t number);
void done_peer(struct peer *peer);

/* Two readings and what lies between them. */
struct reading {
    int64_t at_ns;
    struct usage process, own;
};
struct reading take_reading(const struct bench *bench);
void print_head(const char *scenario, const struct bench *bench, struct reading from, struct reading to);
void print_latency(const struct histogram *latency);
double in_us(int64_t ns);

#endif
