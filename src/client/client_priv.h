/* client/client_priv.h - the client's parts: client.c (options, public calls, when to try again), client_connect.c (one
 * connection), client_token.c (getting and renewing tokens).
 *
 *            +------------------------------- pause over ---------------------------------+
 *            v                                                                            |
 *  IDLE -> [go] -> FETCHING -> [go] -> DIALING -> CONNECTING -> OPEN -> (lost) -> PAUSED -+-> IDLE (no reconnect)
 *            |  no token, AS known       ^            | 0x87 and hints: [go] once more
 *            +---------------------------+------------+
 *  CLOSING: symbolon_client_disconnect() was called; `disconnected` follows.
 * In every state but DIALING, CONNECTING, OPEN and CLOSING `stream` is NULL. */
#ifndef SYMBOLON_CLIENT_CLIENT_PRIV_H
#define SYMBOLON_CLIENT_CLIENT_PRIV_H

#include "base/arena.h"
#include "client/engine.h"
#include "client/error_priv.h"
#include "client/loop_priv.h"
#include "net/stream.h"
#include "net/tls.h"
#include "symbolon/client.h"

enum client_state {
    CLIENT_IDLE,
    CLIENT_FETCHING,
    CLIENT_DIALING,
    CLIENT_CONNECTING,
    CLIENT_OPEN,
    CLIENT_PAUSED,
    CLIENT_CLOSING,
};

struct symbolon_client {
    struct symbolon_loop *loop;
    struct symbolon_client_options o; /* its strings live in `strings` */
    struct symbolon_events events;
    struct arena strings;
    struct buf will_properties;
    enum client_state state;
    struct engine engine;
    struct tls_config *tls;
    struct stream *stream;
    struct timer deadline;   /* of connecting */
    struct timer pause;      /* before the next attempt; 0 ms to say `disconnected` */
    struct timer keep_alive; /* engine_due() */
    struct timer renew;
    uint32_t pause_ms;

    /* authorization */
    struct symbolon_token token; /* .access_token NULL: none */
    bool token_fixed;            /* from the options: never fetched, never cached, end unknown */
    bool token_is_new;           /* fetched during this attempt: if it is refused, another one would be, too */
    bool hints_used;             /* during this attempt */
    bool fetch_only;             /* symbolon_client_fetch_token() */
    char *as_url;                /* learned from hints; these three on the heap */
    char *audience;
    char *cnonce;
    char *cache_path; /* NULL: no cache */
    char thumbprint[SYMBOLON_THUMBPRINT_TEXT];
    struct http_pending *fetch;
};

/* client.c */
void client_go(struct symbolon_client *c); /* token, or connection, or both: whatever comes next */
void client_failed(struct symbolon_client *c,
                   const struct symbolon_error *error); /* this attempt, or connection */
void client_say(struct symbolon_client *c, int level, const char *fmt, ...) PRINTF_LIKE(3, 4);
struct now client_now(const struct symbolon_client *c);
void client_enter(struct symbolon_client *c, enum client_state state);

/* client_connect.c */
void client_dial(struct symbolon_client *c);
void client_drop_stream(struct symbolon_client *c, bool in_order);
void client_rearm(struct symbolon_client *c); /* after every use of the engine */
extern const struct engine_events client_engine_events;

/* client_token.c */
bool client_token_usable(struct symbolon_client *c); /* looks into the cache too */
const struct symbolon_key *client_pop_key(const struct symbolon_client *c);
bool client_can_fetch(const struct symbolon_client *c);
void client_fetch(struct symbolon_client *c); /* for connecting, or in OPEN for re-authentication */
void client_stop_fetching(struct symbolon_client *c);
void client_drop_token(struct symbolon_client *c);
void client_schedule_renewal(struct symbolon_client *c);
void client_renewal_due(struct timer *timer, struct now now);
/* A CONNACK 0x87: true if there is something left to try, which is then under way. Else fills `error` further. */
bool client_try_hints(struct symbolon_client *c, const struct mqtt_connack *connack,
                      struct symbolon_error *error);
void client_token_init(struct symbolon_client *c);
void client_token_done(struct symbolon_client *c);

#endif
