/* load/load.h - one run of the load generator: opens clients, measures, drains, counts, and judges whether everything
 * arrived. What runs is one scenario, named as the public suites do:
 *   conn       clients log in, and stay (or, with `again`, leave and come back)
 *   p2p        a subscriber for every publisher, on a topic of their own
 *   fan-in     many publishers, each heard by one of a few subscribers
 *   fan-out    one publisher, everybody else subscribed to its topic
 *   pub, sub   clients publish; clients subscribe and take what comes
 *   wildcards  p2p without, then with many subscriptions in the broker's tree
 *   retained   many retained messages are stored, asked for one by one, and all at once
 *   churn      p2p at a rate, first alone, then while others come and go
 *   renew      p2p at a rate, first alone, then while others renew their tokens in the session
 * One thread, one event loop; blocks until it is over. */
#ifndef SYMBOLON_LOAD_LOAD_H
#define SYMBOLON_LOAD_LOAD_H

#include "load/histogram.h"
#include "load/login.h"
#include "load/trouble.h"
#include "load/usage.h"
#include "mqtt/frame.h"
#include "net/tls.h"

enum load_mode {
    LOAD_CONN,
    LOAD_P2P,
    LOAD_FANIN,
    LOAD_FANOUT,
    LOAD_PUB,
    LOAD_SUB,
    LOAD_WILDCARDS,
    LOAD_RETAINED,
    LOAD_CHURN,
    LOAD_RENEW
};
#define LOAD_MODES (LOAD_RENEW + 1)

const char *load_mode_name(enum load_mode mode); /* "fan-out" */

struct load_settings {
    enum load_mode mode;
    const char *host;
    uint16_t port;
    struct tls_config *tls; /* NULL: plain TCP */
    bool any_name;
    const char *ws_path; /* MQTT over WebSocket at this path; NULL: directly */
    enum mqtt_version version;
    const struct login *login;
    const char *id;         /* pattern of client identifiers; NULL: of our own making */
    const char *topic;      /* pattern; NULL: bench/... */
    size_t clients;         /* pairs, publishers, subscribers, or subscribers of a fan-out */
    size_t subscribers;     /* LOAD_FANIN */
    size_t sessions;        /* wildcards, retained, churn, renew: clients beside the pairs */
    uint64_t subscriptions; /* wildcards, and to single topics of retained */
    const char *filters;    /* wildcards: pattern with %i; NULL: three of our own in turn */
    bool again;             /* LOAD_CONN: every client leaves once it is in, and comes back */
    bool keep_token;        /* ... with the token it had */
    uint8_t qos;
    size_t size;           /* bytes of a payload, at least STAMP_LEN */
    double rate;           /* messages a second in all; 0: as fast as `window` lets it */
    size_t window;         /* messages under way per publisher at most */
    uint64_t messages;     /* to be sent (LOAD_SUB: received, LOAD_RETAINED: stored) in all; 0: no limit */
    double duration_s;     /* 0: no limit */
    double warmup_s;       /* not measured, but nothing may be lost in it */
    double drain_s;        /* without progress, after which what has not come is lost */
    size_t opening_max;    /* handshakes at once */
    double opening_rate;   /* connections (LOAD_RENEW: renewals) a second at most; 0: no limit */
    size_t batch;          /* packets per TLS record at most */
    uint16_t keep_alive_s; /* 0: none */
    pid_t pid;             /* a process to measure, on this machine; 0: none */
    int stop_fd;           /* readable: end early; -1: never */
};

enum load_phase { LOAD_OPENING, LOAD_WARMING_UP, LOAD_RUNNING, LOAD_DRAINING };

/* What the last second was. */
struct load_second {
    enum load_phase phase;
    double at_s;       /* since the start */
    double seconds;    /* how long it really was */
    size_t connected;  /* now */
    uint64_t connects; /* in it */
    uint64_t sent, received;
    const struct histogram *latency; /* of its messages; of connects in LOAD_CONN */
    uint64_t errors;                 /* since the start */
};

typedef void load_second_fn(void *ctx, const struct load_second *second);

/* What was measured in one go. */
#define LOAD_PARTS_MAX 3
struct load_part {
    const char *name;
    double seconds;
    uint64_t sent, received; /* messages of publishers and subscribers, without those of `sessions` */
    uint64_t operations;     /* what the part is about; else messages received (LOAD_PUB: sent) */
    uint64_t reads;          /* system calls it took to receive what came */
    double own_cpu_s;
    struct usage from, to; /* of the process */
    struct histogram latency;
    struct histogram times; /* of the operations, where each takes one */
};

struct load_report {
    bool interrupted; /* by stop_fd */
    size_t clients;   /* that were to be opened, of all roles */
    size_t ready;     /* ... and were, by the end of opening */
    uint64_t failed;  /* connections that did not get there, or were lost */
    double opening_s; /* until all were */
    struct load_part parts[LOAD_PARTS_MAX];
    size_t part_count;    /* at least one, if empty */
    uint64_t connects;    /* while measured: LOAD_CONN */
    uint64_t repeated;    /* ... with a token used before in this run */
    uint64_t sent, acked; /* acked: answered, QoS 0 by the PINGRESP behind it */
    uint64_t refused, unmatched;
    uint64_t expected, received; /* in all */
    uint64_t strange;            /* of those received: not from this run, or unstamped */
    uint64_t lost, twice, late;
    double late_s; /* by how much the schedule of `rate` was missed at worst */
    bool has_process;
    struct usage process_start; /* before opening */
    struct histogram connect;
    struct troubles troubles;
};

/* The last part measured, empty if there was none. */
const struct load_part *load_last_part(const struct load_report *report);

/* ST_OK whatever the broker did, once somebody listens there; else nothing was measured. `second` may be NULL. The
 * report is the caller's memory (it is large). */
enum status load_run(const struct load_settings *settings, load_second_fn *second, void *ctx,
                     struct load_report *report, struct why *why) MUST_CHECK;

#endif
