/* client/client_priv.h - the client's parts: client.c (its life, when to try again), client_options.c, client_calls.c (what
 * the application asks of it), client_connect.c (one connection), client_redirect.c (Server Reference), client_token.c
 * (tokens: cache, renewal, hints), client_fetch.c (asking the authorization server), client_upload.c (publishing a token
 * to authz-info).
 *
 *            +------------------------------- pause over ---------------------------------+
 *            v                                                                            |
 *  IDLE -> [go] -> FETCHING -> [go] -> DIALING -> CONNECTING -> OPEN -> (lost) -> PAUSED -+-> IDLE (no reconnect)
 *            |  no token, AS known       ^            | 0x87 and hints: [go] once more
 *            +---------------------------+------------+
 *  CLOSING: symbolon_client_disconnect() was called; `disconnected` follows.
 * In every state but UPLOADING, DIALING, CONNECTING, OPEN and CLOSING `stream` is NULL. */
#ifndef SYMBOLON_CLIENT_CLIENT_PRIV_H
#define SYMBOLON_CLIENT_CLIENT_PRIV_H

#include "base/arena.h"
#include "client/engine.h"
#include "client/error_priv.h"
#include "client/loop_priv.h"
#include "client/store_dir.h"
#include "net/stream.h"
#include "net/tls.h"
#include "symbolon/client.h"

enum client_state {
    CLIENT_IDLE,
    CLIENT_FETCHING,
    CLIENT_UPLOADING,
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
    char *other_host; /* of symbolon_client_set_address() */
    struct buf will_properties, connect_properties;
    struct store_dir *store; /* NULL: memory only */
    enum client_state state;
    struct engine engine;
    struct engine upload;          /* of the connection that publishes a token, and nothing else */
    struct tls_config *tls;        /* without an identity of ours */
    struct tls_config *tls_raw;    /* shows o.key as a raw public key; SYMBOLON_ACE_RPK only */
    struct buf login;              /* user name of MQTT 3.1.1, NUL at its end */
    struct buf spki, psk_identity; /* of the connection being made */
    struct stream *stream;
    struct timer deadline;   /* of connecting */
    struct timer pause;      /* before the next attempt; 0 ms to say `disconnected` */
    struct timer keep_alive; /* engine_due() */
    struct timer renew;
    uint32_t pause_ms;
    uint32_t failed_attempts; /* in a row */
    char *home_host;          /* while another server stands in (0x9C); NULL: we are at home */
    uint16_t home_port;
    unsigned redirects;       /* in a row, without a pause */
    struct mono_time arrived; /* at the last CONNACK that let us in */
    bool paused;              /* by symbolon_client_pause() */
    bool told_expiry;         /* that the broker keeps no session */

    /* authorization */
    struct symbolon_token token; /* .access_token NULL: none */
    bool token_fixed;            /* from the options: never fetched, never cached, end unknown */
    bool token_is_new;           /* fetched during this attempt: if it is refused, another one would be, too */
    bool hints_used;             /* during this attempt */
    bool fetch_only;             /* symbolon_client_fetch_token() */
    bool upload_only;            /* symbolon_client_upload_token() */
    bool token_uploaded;         /* the broker knows it from authz-info */
    bool cnonce_used;            /* during this attempt a token was made for a nonce that a refusal brought */
    bool refreshing;             /* the request under way is for a refresh */
    bool proved;                 /* in this connection's CONNECT: a challenge is not due (MT-59) */
    char *as_url;                /* learned from hints; these four on the heap */
    char *audience;
    char *scope;
    char *cnonce;
    char *token_endpoint; /* once known */
    char *cache_path;     /* NULL: no cache */
    char thumbprint[SYMBOLON_THUMBPRINT_TEXT];
    struct http_pending *fetch;
};

#define TOKEN_BYTES_MAX 65533 /* with its length in front it still is Binary Data (MT-52) */

/* True if the proof is made in CONNECT or AUTH; false if the TLS handshake makes it. */
static inline bool client_proves_in_mqtt(const struct symbolon_client *c)
{
    return c->o.ace == SYMBOLON_ACE_EXPORTER || c->o.ace == SYMBOLON_ACE_CHALLENGE;
}

/* Only AUTH renews a token in the session: a proof made in the handshake, and MQTT 3.1.1, take a new connection. */
static inline bool client_renews_in_session(const struct symbolon_client *c)
{
    return client_proves_in_mqtt(c) && c->o.mqtt_version == SYMBOLON_MQTT_5;
}

/* The key a token is asked for: ours, or NULL for a secret of the server's making. Where that is to be a pre-shared key, a
 * key of ours that is none only tells the server who we are. */
static inline const struct symbolon_key *client_own_key(const struct symbolon_client *c)
{
    bool psk = c->o.ace == SYMBOLON_ACE_PSK || c->o.ace == SYMBOLON_ACE_PSK_KID;

    if (c->o.key == NULL || (psk && symbolon_key_type(c->o.key) != SYMBOLON_KEY_SECRET))
        return NULL;
    return c->o.key;
}

/* client_options.c */
enum symbolon_status client_take_options(struct symbolon_client *c,
                                         const struct symbolon_client_options *options,
                                         struct symbolon_error *error);
uint16_t client_default_port(const struct symbolon_client_options *o);
enum symbolon_status client_invalid(struct symbolon_error *error, const char *clause, const char *text);

/* client_redirect.c */
/* After an end with 0x9C or 0x9D: true if another server is on its way to be tried. */
bool client_follow(struct symbolon_client *c, const struct symbolon_error *why, struct span server_reference);
void client_go_home(struct symbolon_client *c); /* the server that stood in did not work out */
void client_arrived(struct symbolon_client *c); /* connected, wherever */

/* client.c */
void client_stop_timers(struct symbolon_client *c);
void client_connect_anew(struct symbolon_client *c, const struct symbolon_error *why); /* at once */
void client_go(struct symbolon_client *c); /* token, or connection, or both: whatever comes next */
void client_failed(struct symbolon_client *c,
                   const struct symbolon_error *error); /* this attempt, or connection */
void client_say(struct symbolon_client *c, int level, const char *fmt, ...) PRINTF_LIKE(3, 4);
void client_come_again(struct symbolon_client *c); /* a new connection in place of this one, for a new token */
struct now client_now(const struct symbolon_client *c);
void client_enter(struct symbolon_client *c, enum client_state state);

/* client_connect.c */
void client_dial(struct symbolon_client *c);
void client_drop_stream(struct symbolon_client *c, bool in_order);
void client_rearm(struct symbolon_client *c); /* after every use of the engine */
extern const struct engine_events client_engine_events;

/* To the broker, with the token's pins; `known`: with our identity too. False: failed, and said so. */
bool client_open_stream(struct symbolon_client *c, bool known, const struct stream_events *events);
void client_stream_error(const struct symbolon_client *c, enum status st, const struct why *why,
                         struct symbolon_error *out); /* why a stream ended before its time */

/* client_upload.c */
void client_upload_init(struct symbolon_client *c);
void client_upload(struct symbolon_client *c);

/* client_fetch.c */
bool client_can_fetch(const struct symbolon_client *c);
void client_fetch(struct symbolon_client *c); /* for connecting, or in OPEN for a renewal */
void client_stop_fetching(struct symbolon_client *c);
void client_forget_endpoint(struct symbolon_client *c);

/* client_token.c */
bool client_token_usable(struct symbolon_client *c); /* looks into the cache too */
const struct symbolon_key *client_pop_key(const struct symbolon_client *c);
void client_new_token(struct symbolon_client *c, const struct symbolon_token *token); /* takes it */
void client_fetch_failed(struct symbolon_client *c, const struct symbolon_error *error);
enum symbolon_status client_token_bytes(const struct symbolon_client *c, struct buf *out,
                                        struct symbolon_error *error);
void client_drop_token(struct symbolon_client *c);
void client_schedule_renewal(struct symbolon_client *c);
void client_renewal_due(struct timer *timer, struct now now);
/* A CONNACK 0x87: true if there is something left to try, which is then under way. Else fills `error` further. */
bool client_try_hints(struct symbolon_client *c, const struct mqtt_connack *connack,
                      struct symbolon_error *error);
void client_token_init(struct symbolon_client *c);
void client_token_done(struct symbolon_client *c);

#endif
