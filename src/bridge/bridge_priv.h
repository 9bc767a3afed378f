/* bridge/bridge_priv.h - one bridge, for bridge.c (what it does), options.c (what its clients are told) and bridges.c (the
 * thread for all of them). */
#ifndef SYMBOLON_BRIDGE_BRIDGE_PRIV_H
#define SYMBOLON_BRIDGE_BRIDGE_PRIV_H

#include "base/log.h"
#include "bridge/bridge.h"
#include "bridge/relay.h"
#include "symbolon/client.h"

#define REASONS_MAX 16 /* kinds of refusals whose last report is remembered */

struct bridge;

/* What a client's callbacks get. */
struct bridge_end {
    struct bridge *bridge;
    enum rule_side side;
    struct symbolon_client *client;
    bool connected;
    bool subscribed;              /* granted once, to the rules as they are now */
    struct symbolon_timer *again; /* set: the client is idle until then */
};

/* Refusals of one kind are reported at once, then not more often than every minute, with how many there were. */
struct refusal_kind {
    enum rule_side from;
    enum symbolon_status status;
    int reason_code;
    int64_t reported_ms;
    uint64_t silent; /* since then */
};

struct bridge {
    const struct bridge_config *config;
    const struct bridge_world *world;
    struct log log;
    struct rules *rules;
    struct scope *scope; /* of the local client */
    struct relay relay;
    struct bridge_end end[2];
    struct symbolon_loop *loop;
    void (*stopped)(void *ctx); /* both ends have ended after bridge_stop() */
    void *stopped_ctx;
    struct buf client_id;   /* on this broker; these end in NUL */
    struct buf state_topic; /* empty: none */
    const char *state;      /* last published there: "1" or "0" */
    size_t address;         /* in use */
    bool stopping;
    struct refusal_kind refusals[REASONS_MAX];
    size_t refusal_count;
};

/* bridge.c */
enum status bridge_init(struct bridge *b, const struct bridge_config *config, const struct bridge_world *world,
                        struct symbolon_loop *loop, struct why *why) MUST_CHECK;
void bridge_done(struct bridge *b); /* also half-initialized, or zeroed */
void bridge_start(struct bridge *b);
void bridge_stop(struct bridge *b);
extern const struct symbolon_events bridge_events; /* their `arg`: struct bridge_end */

/* options.c: makes end[side].client. */
enum status bridge_make_local(struct bridge *b, struct why *why) MUST_CHECK;
enum status bridge_make_remote(struct bridge *b, struct why *why) MUST_CHECK;

#endif
