/* symbolon/client.h - upper layer: a complete MQTT client (5 and 3.1.1) over TLS that proves possession of its key.
 * It connects, gets a token from an authorization server it may trust, proves possession, renews the token
 * ahead of its end inside the running session (AUTH 0x19), reconnects with growing pauses, and keeps QoS 1 and
 * 2 messages, in memory or in a folder, until they are acknowledged: QoS 1 arrives at least once and QoS 2 exactly
 * once for as long as the broker keeps the session, over any number of connections and, with a folder, processes.
 * What the broker says it does not take (MQTT5 3.2.2.3) is not sent: the call or `published` says so.
 *
 *   symbolon_loop_new -> symbolon_client_new -> symbolon_client_start -> symbolon_loop_run -> ..._free
 *
 *              start                     CONNACK 0x00                    close, keep alive lost, DISCONNECT
 *   IDLE ---------------> CONNECTING ----------------> OPEN -------------------------+
 *     ^                    |      ^                     | symbolon_client_disconnect |
 *     |   gave up          |      +---- pause <---------|----------------------------+ (options.reconnect)
 *     +--------------------+---------------------------+
 *
 * Ownership: the options and everything they point to are copied by symbolon_client_new(). What a callback
 * receives is borrowed until it returns. Keys are reference-counted. Threads:   one loop and its clients belong
 * to one thread; there is no lock inside. symbolon_loop_post() is the one function that may be called from
 * other threads. Callbacks: run on the loop's thread, from symbolon_loop_run(). Every function may be called in
 * them except symbolon_client_free() and symbolon_loop_free() (use symbolon_loop_stop() and free afterwards).
 * Time:      milliseconds and seconds as the names say. */
#ifndef SYMBOLON_CLIENT_H
#define SYMBOLON_CLIENT_H

#include "symbolon/ace.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- loop ---- */
struct symbolon_loop;

enum symbolon_status symbolon_loop_new(struct symbolon_loop **ret_loop,
                                       struct symbolon_error *error) SYMBOLON_MUST_CHECK;
void symbolon_loop_free(struct symbolon_loop *loop); /* all clients first; NULL does nothing */

/* Runs until symbolon_loop_stop(). */
void symbolon_loop_run(struct symbolon_loop *loop);
void symbolon_loop_stop(struct symbolon_loop *loop);

/* Calls fn(arg) on the loop's thread, soon. Any thread. False when out of memory. */
bool symbolon_loop_post(struct symbolon_loop *loop, void (*fn)(void *arg), void *arg);

/* Calls fn(arg) once after `ms`. The timer is freed after it fired, or with symbolon_timer_cancel() before. */
struct symbolon_timer;
struct symbolon_timer *symbolon_loop_after(struct symbolon_loop *loop, uint32_t ms, void (*fn)(void *arg),
                                           void *arg);
void symbolon_timer_cancel(struct symbolon_timer *timer); /* NULL does nothing */

/* Calls fn(arg, signum) on the loop's thread for each such signal, until the loop is freed. */
enum symbolon_status symbolon_loop_on_signal(struct symbolon_loop *loop, int signum,
                                             void (*fn)(void *arg, int signum), void *arg,
                                             struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* ---- messages ---- */
struct symbolon_user_property {
    struct symbolon_bytes name, value; /* UTF-8 */
};

struct symbolon_message {
    struct symbolon_bytes topic; /* UTF-8, no wildcard */
    struct symbolon_bytes payload;
    uint8_t qos; /* 0, 1, 2 */
    bool retain;
    bool dup;             /* received only */
    bool payload_is_utf8; /* Payload Format Indicator 1 */
    bool has_expiry;
    uint32_t expiry_s;                                                    /* Message Expiry Interval */
    struct symbolon_bytes content_type, response_topic, correlation_data; /* p NULL: not there */
    const struct symbolon_user_property *user_properties;                 /* may be NULL */
    size_t user_property_count;
    uint16_t packet_id; /* received, QoS 1 and 2 */
    /* received */
    uint64_t handle; /* with options.manual_ack: for symbolon_client_ack(); 0: nothing to acknowledge */
    const uint32_t *subscription_ids; /* of the subscriptions it matched */
    size_t subscription_id_count;
    uint16_t topic_alias; /* what stood in the packet; `topic` is filled in all the same */
};

struct symbolon_subscription {
    const char *filter;
    uint8_t qos; /* the most this subscription takes */
    bool no_local;
    bool retain_as_published;
    uint8_t retain_handling; /* 0 send retained, 1 only if new, 2 never (MQTT5 3.8.3.1) */
};

/* What one SUBSCRIBE or UNSUBSCRIBE says beside its filters (MQTT 5). */
struct symbolon_request {
    uint32_t subscription_id; /* 1 to 268435455; 0: none. Comes back with every message (SUBSCRIBE only) */
    const struct symbolon_user_property *user_properties;
    size_t user_property_count;
};

/* What DISCONNECT says (MQTT 5; of 3.1.1 only whether it is sent at all: for reason code 0x00). */
struct symbolon_goodbye {
    uint8_t reason_code; /* 0x00 normal, 0x04 normal but publish the Will, >= 0x80 errors of clients */
    bool has_session_expiry;
    uint32_t session_expiry_s; /* not from 0 in CONNECT to something else (MQTT5 3.14.2.2.2) */
    const struct symbolon_user_property *user_properties;
    size_t user_property_count;
};

/* ---- client ---- */
struct symbolon_client;

enum symbolon_ace_mode {
    SYMBOLON_ACE_OFF = 0,       /* plain MQTT (over TLS or not) */
    SYMBOLON_ACE_EXPORTER = 1,  /* token and proof over the TLS exporter in CONNECT; the normal way */
    SYMBOLON_ACE_CHALLENGE = 2, /* token in CONNECT, then challenge/response */
    /* The proof is made in the TLS handshake (TLS:Known of RFC 9431 2.2.1); CONNECT carries nothing. A token that ends
     * cannot be renewed in the session: the client connects again with a new one. */
    SYMBOLON_ACE_RPK = 3, /* raw public key; the token is published to `authz-info` first (MT-23) */
    SYMBOLON_ACE_PSK = 4, /* a secret that the AS makes as a pre-shared key, the token its identity (MT-28) */
    SYMBOLON_ACE_PSK_KID = 5, /* the key's `kid` is, after the token was published to `authz-info` (MT-27) */
};

enum symbolon_mqtt_version {
    SYMBOLON_MQTT_5 = 0,
    SYMBOLON_MQTT_3_1_1 =
        4 /* no properties, no reasons, no re-authentication, no hints; not SYMBOLON_ACE_CHALLENGE */
};

struct symbolon_connected {
    bool session_present;
    const char *client_id; /* ours, or the one the broker assigned */
    uint32_t session_expiry_s;
    uint16_t keep_alive_s;
    const char *tls;            /* "TLS1.3 ...", NULL without TLS */
    int64_t token_expires_at_s; /* 0 without a token */
    /* what CONNACK says of the broker (MQTT5 3.2.2.3); in 3.1.1 the values that mean no limit */
    uint16_t receive_maximum;
    uint8_t maximum_qos;
    bool retain_available, wildcard_available, subscription_id_available, shared_available;
    uint32_t maximum_packet_size;
    uint16_t topic_alias_maximum;
    struct symbolon_bytes response_information, server_reference, reason_string; /* p NULL: not there */
    const struct symbolon_user_property *user_properties;
    size_t user_property_count;
};

struct symbolon_events {
    void (*connected)(void *arg, const struct symbolon_connected *connected);
    /* The connection, or the attempt to get one, has ended. `retry_ms` >= 0: the next attempt starts after so
     * many milliseconds; -1: the client is IDLE again and stays so. SYMBOLON_OK as status: we disconnected. */
    void (*disconnected)(void *arg, const struct symbolon_error *why, int64_t retry_ms);
    void (*message)(void *arg, const struct symbolon_message *message);
    /* QoS 1 and 2: the broker answered (`result->status` OK or why not). QoS 0: the bytes went out, which says
     * nothing about acceptance; symbolon_client_flush() does. `result->reason_code` 0x10: nobody was
     * subscribed. */
    void (*published)(void *arg, uint64_t id, const struct symbolon_error *result);
    /* One code per filter, in order: 0, 1, 2 the granted QoS; >= 0x80 refused (symbolon_reason_text()). If the
     * request died with the connection `count` is 0 and result->status says why. */
    void (*subscribed)(void *arg, uint64_t id, const uint8_t *codes, size_t count,
                       const struct symbolon_error *result);
    void (*unsubscribed)(void *arg, uint64_t id, const uint8_t *codes, size_t count,
                         const struct symbolon_error *result);
    /* Everything handed over before symbolon_client_flush() has been processed by the broker, or not. */
    void (*flushed)(void *arg, const struct symbolon_error *result);
    /* A token was fetched, or the session was re-authenticated with it. */
    void (*token)(void *arg, int64_t expires_at_s, bool in_session);
    /* One line for people; level 0 error ... 4 debug. Never a token, key or payload. */
    void (*log)(void *arg, int level, const char *line);
    /* The broker has taken the token published to `authz-info`. */
    void (*uploaded)(void *arg);
};

struct symbolon_client_options {
    size_t struct_size; /* sizeof(struct symbolon_client_options): lets the struct grow at its end */

    /* where */
    const char *host;
    uint16_t port;               /* 0: 8883 with TLS, 1883 without */
    bool no_tls;                 /* plain TCP: never with a token */
    const char *ca_file;         /* PEM; NULL: the system's trust store */
    bool insecure;               /* accept any name in the certificate; a pin from the AS still counts */
    uint32_t connect_timeout_ms; /* 0: 10000; from the first SYN to CONNACK */

    /* session */
    const char *client_id; /* MQTT Client Identifier; NULL or "": the broker assigns one */
    bool keep_session;     /* Clean Start 0 */
    uint32_t session_expiry_s;
    uint16_t keep_alive_s;    /* 0: 60 */
    uint16_t receive_maximum; /* unfinished QoS 1 and 2 messages from the broker; 0: 64 */
    uint32_t max_packet_size; /* we accept; 0: 1 MiB */
    uint16_t max_inflight;    /* of ours at once, on top of the broker's Receive Maximum; 0: 64 */
    size_t max_queue;         /* messages waiting to be sent, while disconnected too; 0: 1000 */
    const char *user_name;    /* SYMBOLON_ACE_OFF only (MT-50) */
    struct symbolon_bytes password;
    const struct symbolon_message *will; /* NULL: none */
    uint32_t will_delay_s;

    /* reconnect */
    bool reconnect;
    uint32_t reconnect_min_ms, reconnect_max_ms; /* 0: 500, 60000; doubling, with jitter */

    /* authorization */
    enum symbolon_ace_mode ace;
    enum symbolon_ace_layout answer_layout;
    struct symbolon_key *key;      /* proof-of-possession key; NULL: the AS makes a secret */
    const char *token;             /* use this one, fetch none; needs `key` */
    const char *as_url;            /* AS, or its token endpoint; NULL: learn it from the broker's hints ... */
    const char *const *trusted_as; /* ... but accept only one of these (NULL-terminated); may be NULL */
    const char *as_ca_file;        /* NULL: ca_file */
    const char *as_client_id;      /* who we are at the AS */
    const char *as_client_secret;  /* or NULL: private_key_jwt with `key` */
    const char *audience;          /* NULL: from the hints, or the AS's default */
    const char *scope_json;        /* NULL: all that policy allows */
    const char *token_cache_dir;   /* 0700 folder for tokens, 0600 files; NULL: keep them in memory only */

    const struct symbolon_events *events;
    void *arg;

    /* behind what the first version of this struct had */
    enum symbolon_mqtt_version mqtt_version;
    bool as_cbor; /* ask the AS in CBOR (application/ace+cbor) instead of JSON */

    /* behind what the second version had */
    /* MQTT over WebSocket at this path ("/mqtt"); port 0 is then 443, or 80; NULL: plain MQTT */
    const char *ws_path;
    /* Folder (made with mode 0700 if missing) where unfinished QoS 1 and 2 messages survive the process: what
     * symbolon_client_publish() has accepted is sent by the next client with the same folder and client_id, if this
     * one dies, and the QoS 2 identifiers of received messages are kept. One client at a time. Needs a client_id, and
     * a session that outlives the connection (session_expiry_s, or keep_session in 3.1.1) for QoS 2 to stay exactly
     * once. A damaged file is set aside as *.damaged-N, which `log` says at level 0. NULL: memory only. */
    const char *store_dir;
    size_t store_max_bytes; /* 0: 64 MiB; a publish beyond is refused with SYMBOLON_QUEUE_FULL */
    /* false: what is accepted survives the death of the process; true: a power cut, too (an fsync each time) */
    bool store_fsync;
    /* Received QoS 1 and 2 messages are acknowledged by symbolon_client_ack(), not on delivery. */
    bool manual_ack;
    /* Subscriptions the broker granted are made again when it has lost the session (Session Present 0); `subscribed`
     * then comes with id 0. */
    bool resubscribe;
    /* A QoS 2 message whose handshake was cut off by the broker losing the session is sent again, as a new message,
     * which may make it arrive twice. false: `published` says SYMBOLON_CLOSED, and it may not have arrived. */
    bool resend_qos2;
    /* Go where the broker sends us (reason codes 0x9C for now, 0x9D for good) if it names a server, "host" or
     * "host:port"; same TLS rules. false: such a refusal is like any other. */
    bool follow_server_reference;
    uint32_t reconnect_attempts;  /* in a row without success, then give up; 0: no end */
    uint16_t topic_alias_maximum; /* aliases the broker may use towards us; 0: none */
    uint16_t topic_aliases;       /* aliases we use at most, as far as the broker lets us; 0: none */
    bool request_response_info;   /* ask for symbolon_connected.response_information (MQTT5 3.1.2.11.6) */
    bool no_problem_info;         /* ask the broker to leave out reason strings (MQTT5 3.1.2.11.7) */
    const struct symbolon_user_property *connect_properties; /* user properties of CONNECT */
    size_t connect_property_count;
    const char *bind_address;         /* of our end of the connection; NULL: any */
    const char *cert_file, *key_file; /* PEM: who we are in the TLS handshake; NULL: nobody */
    struct symbolon_bytes
        pin; /* SHA-256 of the broker's certificate (DER): it alone is trusted; p NULL: none */
    /* We pass on other people's messages: QoS and RETAIN are lowered to what the broker takes instead of failing, and
     * resend_qos2 is implied. A broker that exceeds receive_maximum is not left for that. */
    bool relay;
    /* MQTT 3.1.1: protocol level 0x84, by which mosquitto knows bridges and sends them nothing back. */
    bool bridge;
    const char *server_name; /* the name the broker's certificate must carry; NULL: host */
    /* Instead of dialling host and port: gives a connected, non-blocking stream socket, which the client takes; -1: not
     * now. Called on the loop's thread with `arg`. Without TLS only (no_tls). */
    int (*open_socket)(void *arg);
};

#define SYMBOLON_CLIENT_OPTIONS_INIT                          \
    {                                                         \
        .struct_size = sizeof(struct symbolon_client_options) \
    }

enum symbolon_status symbolon_client_new(struct symbolon_loop *loop,
                                         const struct symbolon_client_options *options,
                                         struct symbolon_client **ret_client,
                                         struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* Closes without DISCONNECT if still connected. Not from a callback. NULL does nothing. */
void symbolon_client_free(struct symbolon_client *client);

/* Starts connecting; the outcome comes by `connected` or `disconnected`. */
enum symbolon_status symbolon_client_start(struct symbolon_client *client,
                                           struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* Sends DISCONNECT with this reason code (0x00 normal, 0x04 normal but publish the Will), waits until it has
 * left, then `disconnected` with retry_ms -1. Also ends a pending reconnect. */
void symbolon_client_disconnect(struct symbolon_client *client, uint8_t reason_code);

/* The same with all that DISCONNECT can say. SYMBOLON_INVALID changes nothing. */
enum symbolon_status symbolon_client_disconnect_with(struct symbolon_client *client,
                                                     const struct symbolon_goodbye *goodbye,
                                                     struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* Takes a message (copied). While not connected it is queued. *ret_id (may be NULL) names it in `published`. */
enum symbolon_status symbolon_client_publish(struct symbolon_client *client,
                                             const struct symbolon_message *message, uint64_t *ret_id,
                                             struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* From the next attempt on, connect there: for brokers with several addresses. May be called in `disconnected`. */
enum symbolon_status symbolon_client_set_address(struct symbolon_client *client, const char *host,
                                                 uint16_t port,
                                                 struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* Only while connected (SYMBOLON_CLOSED otherwise): call it from `connected`, unless session_present says that
 * the broker still knows them. */
enum symbolon_status symbolon_client_subscribe(struct symbolon_client *client,
                                               const struct symbolon_subscription *subscriptions, size_t count,
                                               uint64_t *ret_id,
                                               struct symbolon_error *error) SYMBOLON_MUST_CHECK;
/* The same with properties; `request` may be NULL. */
enum symbolon_status symbolon_client_subscribe_with(struct symbolon_client *client,
                                                    const struct symbolon_subscription *subscriptions,
                                                    size_t count, const struct symbolon_request *request,
                                                    uint64_t *ret_id,
                                                    struct symbolon_error *error) SYMBOLON_MUST_CHECK;
enum symbolon_status symbolon_client_unsubscribe_with(struct symbolon_client *client,
                                                      const char *const *filters, size_t count,
                                                      const struct symbolon_request *request, uint64_t *ret_id,
                                                      struct symbolon_error *error) SYMBOLON_MUST_CHECK;
enum symbolon_status symbolon_client_unsubscribe(struct symbolon_client *client, const char *const *filters,
                                                 size_t count, uint64_t *ret_id,
                                                 struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* With options.manual_ack: the message with this handle is taken care of (reason 0x00), or refused (>= 0x80, MQTT 5
 * only). Any order, any time, also while disconnected: acknowledgements leave in the order in which the messages came,
 * and a message that a continued session brings again is not delivered twice. Until then it counts to receive_maximum.
 * SYMBOLON_NOT_FOUND: the session ended meanwhile, and the broker may deliver the message anew. */
enum symbolon_status symbolon_client_ack(struct symbolon_client *client, uint64_t handle, uint8_t reason_code,
                                         struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* While paused nothing is read from the broker: its messages wait there, and so do its acknowledgements. What was read
 * before still comes. Not for long: after some 20 s without a PINGRESP the connection is given up. */
void symbolon_client_pause(struct symbolon_client *client, bool paused);

/* Asks for `flushed` once the broker has processed all we sent so far: a PINGREQ behind it. This is how the
 * acceptance of QoS 0 messages is known: a refused one makes the broker DISCONNECT before PINGRESP (MT-97). */
enum symbolon_status symbolon_client_flush(struct symbolon_client *client,
                                           struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* Gets a token (cache first unless `force`) without opening a session; `token` or `disconnected` follows. If no AS
 * is configured the broker is asked for hints. */
enum symbolon_status symbolon_client_fetch_token(struct symbolon_client *client, bool force,
                                                 struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* Publishes a token (fetched first if there is none) to the broker's topic `authz-info`, so that it knows the key when
 * it comes in a TLS handshake (MT-30 to MT-37), and ends: `uploaded` or `disconnected` follows. The connection used is
 * one of its own, without authentication. In MQTT 3.1.1 the broker cannot say whether it took the token. */
enum symbolon_status symbolon_client_upload_token(struct symbolon_client *client,
                                                  struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* The token at hand, from memory or the cache; NULL if there is none that still lives. Borrowed until the next call on
 * the client. */
const struct symbolon_token *symbolon_client_token(struct symbolon_client *client);

/* Unfinished: queued, in flight, or a request without answer. */
size_t symbolon_client_pending(const struct symbolon_client *client);

#ifdef __cplusplus
}
#endif
#endif
