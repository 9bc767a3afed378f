/* client/engine.h - the client's side of MQTT 5 and 3.1.1, bytes in and bytes out: no socket, no clock, no TLS, no tokens.
 *
 *   IDLE --engine_connect--> AWAIT_CONNACK --CONNACK 0x00--> OPEN
 *     ^                           |  (AUTH 0x18)              |
 *     +------ engine_lost --------+------- ENDED <------------+   `ended` was called: the caller closes the transport
 *
 * What outlives a connection stays in the engine: messages not yet acknowledged, the QoS 2 packet identifiers of the
 * broker, queued messages. If the broker lost the session (Session Present 0), unacknowledged QoS 1 messages are sent
 * again as new ones; QoS 2 messages that the broker has not taken over are reported as failed, since sending them
 * again could deliver them twice.
 * Ownership: the caller embeds the struct; strings in the settings are borrowed for the engine's life.
 * Callbacks: run inside the functions below; they may call any engine_ function but engine_done().
 * Threads:   one. */
#ifndef SYMBOLON_CLIENT_ENGINE_H
#define SYMBOLON_CLIENT_ENGINE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "client/engine_store.h"
#include "client/packet_ids.h"
#include "mqtt/packet.h"
#include "symbolon/client.h"

enum engine_state { ENGINE_IDLE, ENGINE_AWAIT_CONNACK, ENGINE_OPEN, ENGINE_ENDED };

struct engine_settings {
    enum mqtt_version
        version; /* 0: MQTT_5. MQTT_3_1_1 has no properties, reasons, AUTH; the callbacks stay the same */
    const char *client_id; /* "": the broker assigns one */
    bool keep_session;
    uint32_t session_expiry_s;
    uint16_t keep_alive_s;
    uint16_t receive_maximum;
    uint32_t max_packet_size;
    uint16_t max_inflight;
    size_t max_queue;
    bool ace;              /* Authentication Method "ace" in CONNECT */
    const char *user_name; /* NULL: none */
    struct span password;
    bool has_will;
    struct mqtt_will will;
    bool relay;      /* symbolon_client_options.relay */
    bool bridge;     /* MQTT_3_1_1: mqtt_connect.bridge */
    bool manual_ack; /* QoS 1 and 2 from the broker are acknowledged by engine_ack(), not on delivery */
    bool resubscribe, resend_qos2; /* symbolon_client_options has them, and the next five, too */
    uint16_t topic_alias_maximum, topic_aliases;
    bool request_response_info, no_problem_info;
    struct span connect_properties; /* encoded user properties */
    uint16_t first_packet_id; /* 0: 1. Random where a session may be continued whose state we do not have */
    const struct engine_store *store; /* NULL: memory only */
    void *store_ctx;
};

struct engine_events {
    void (*send)(void *ctx, struct span bytes);
    /* True while the transport is behind: messages then wait in the queue until engine_drained(). */
    bool (*congested)(void *ctx);
    void (*connected)(void *ctx, const struct mqtt_connack *connack);
    /* Refusal, DISCONNECT, protocol error, keep alive: this connection is over. `connack` only if it refused us. */
    void (*ended)(void *ctx, const struct symbolon_error *why, const struct mqtt_connack *connack);
    /* AUTH 0x18: answer with engine_auth(). AUTH 0x00 in an open session: re-authenticated. */
    void (*challenge)(void *ctx, struct span auth_data);
    void (*reauthenticated)(void *ctx);
    /* With manual_ack and QoS 1 or 2, engine_handle() names it while this runs. */
    void (*message)(void *ctx, const struct mqtt_publish *publish);
    void (*published)(void *ctx, uint64_t id, const struct symbolon_error *result);
    void (*subscribed)(void *ctx, uint64_t id, struct span codes, const struct symbolon_error *result);
    void (*unsubscribed)(void *ctx, uint64_t id, struct span codes, const struct symbolon_error *result);
    void (*flushed)(void *ctx, const struct symbolon_error *result);
};

struct engine {
    struct engine_settings settings;
    const struct engine_events *events;
    void *ctx;
    enum engine_state state;
    struct now now; /* of the call we are in */
    struct buf out; /* gathered during a call, sent at its end */

    /* of this connection */
    uint16_t keep_alive_s;
    uint16_t send_quota,
        send_quota_max; /* left; of the broker's Receive Maximum, and max_inflight (MQTT5 4.9) */
    uint32_t broker_max_packet;
    uint8_t broker_max_qos;
    bool broker_retain, broker_wildcard, broker_subscription_id, broker_shared;
    struct alias_topic *alias_in, *alias_out; /* topics by alias - 1; NULL: none yet */
    size_t alias_in_bytes, alias_out_max;
    uint64_t alias_uses;
    bool reauthenticating;
    struct mono_time last_sent, ping_sent;
    size_t unfinished;  /* the broker's messages on this connection, towards our Receive Maximum */
    size_t unreleased;  /* of earlier connections */
    size_t pings_out;   /* PINGREQ without PINGRESP */
    size_t flush_after; /* PINGRESPs until `flushed`; 0: none sent for it */
    bool flush_wanted;  /* once the queue is empty */

    /* of the session */
    char *assigned_client_id;
    bool had_session;
    struct list queued, again, in_flight, released; /* struct outgoing: see engine_publish.c */
    size_t queued_count, in_flight_count;           /* of queued; of the other three */
    struct list requests; /* struct request: SUBSCRIBE and UNSUBSCRIBE without answer */
    struct list kept;     /* struct kept: what the broker granted, for resubscribe */
    size_t request_count;
    uint16_t last_packet_id;
    uint64_t last_id;
    struct packet_ids used;     /* ours */
    struct packet_ids received; /* the broker's QoS 2 messages we have and it has not released */
    struct packet_ids unacked;  /* the broker's messages that wait for engine_ack() */
    struct list incoming[2];    /* struct incoming: unacked messages of QoS 1 and QoS 2 */
    uint64_t last_handle, message_handle;
    struct span server_reference; /* while `ended` runs: of the CONNACK or DISCONNECT (MQTT5 4.11) */
    bool store_broken;            /* what is on disk is behind: nothing may be sent any more */
};

void engine_init(struct engine *e, const struct engine_settings *settings, const struct engine_events *events,
                 void *ctx);
void engine_done(struct engine *e); /* no callbacks */

/* What a store kept, before the first engine_connect(): the session exists; messages in the order of their lists
 * (`message` is taken, also on failure); QoS 2 identifiers of the broker. */
void engine_restore_session(struct engine *e);
enum status engine_restore_message(struct engine *e, struct outgoing *message) MUST_CHECK;
enum status engine_restore_received(struct engine *e, uint16_t packet_id) MUST_CHECK;

/* How the next CONNECT authenticates: by method "ace", or by a user name and password, which are borrowed (a token and
 * its proof in 3.1.1: MT-121), or not at all. */
void engine_set_login(struct engine *e, bool ace, const char *user_name, struct span password);

/* Sends CONNECT. `auth_data` only with settings.ace; SPAN_NONE asks for hints. */
void engine_connect(struct engine *e, struct span auth_data, struct now now);

/* Returns how much was used; the rest is the beginning of a packet, to be given again with more behind it. */
size_t engine_input(struct engine *e, struct span in, struct now now);

/* The transport is gone, or was closed after `ended`. Open requests are answered with `why`. */
void engine_lost(struct engine *e, const struct symbolon_error *why, struct now now);

/* The transport has caught up. */
void engine_drained(struct engine *e, struct now now);

/* Keep alive. engine_due(): when to call it at the latest, in milliseconds of the monotonic clock; -1: never. */
void engine_tick(struct engine *e, struct now now);
int64_t engine_due(const struct engine *e);

enum symbolon_status engine_publish(struct engine *e, const struct symbolon_message *message, struct now now,
                                    uint64_t *ret_id, struct symbolon_error *error);
/* `request` may be NULL. */
enum symbolon_status engine_subscribe(struct engine *e, const struct symbolon_subscription *subscriptions,
                                      size_t count, const struct symbolon_request *request, struct now now,
                                      uint64_t *ret_id, struct symbolon_error *error);
enum symbolon_status engine_unsubscribe(struct engine *e, const char *const *filters, size_t count,
                                        const struct symbolon_request *request, struct now now,
                                        uint64_t *ret_id, struct symbolon_error *error);
enum symbolon_status engine_flush(struct engine *e, struct now now, struct symbolon_error *error);

/* Of the message being delivered, for engine_ack(); 0: it needs none. */
static inline uint64_t engine_handle(const struct engine *e)
{
    return e->message_handle;
}

/* With manual_ack: the application has taken the message, or refuses it (`reason` >= 0x80, MQTT5 only; it then counts as
 * finished for the broker, too). Any order, any time, also while disconnected or inside `message`: what goes out keeps
 * the order of arrival [MQTT-4.6.0-2, -3], and what a continued session brings again is not delivered twice.
 * SYMBOLON_NOT_FOUND: the session ended meanwhile; the broker may deliver the message to a later one. */
enum symbolon_status engine_ack(struct engine *e, uint64_t handle, uint8_t reason, struct now now,
                                struct symbolon_error *error);

/* AUTH: 0x18 answers a challenge, 0x19 starts a re-authentication (only in ENGINE_OPEN). Not in MQTT 3.1.1. */
void engine_auth(struct engine *e, uint8_t reason, struct span auth_data, struct now now);

/* Sends DISCONNECT (if a CONNECT was sent) and ends without calling `ended`. */
void engine_disconnect(struct engine *e, uint8_t reason, struct now now);
enum symbolon_status engine_disconnect_with(struct engine *e, const struct symbolon_goodbye *goodbye,
                                            struct now now, struct symbolon_error *error);

size_t engine_pending(const struct engine *e);
const char *engine_client_id(const struct engine *e);

/* The same fields of a received message as the application sees them; spans stay borrowed. `user` and `ids` (subscription
 * identifiers) have room for so many; more are left out. */
void message_of_publish(const struct mqtt_publish *publish, struct symbolon_user_property *user,
                        size_t user_cap, uint32_t *ids, size_t ids_cap, struct symbolon_message *out);

/* How many there are; as many as fit are filled in. */
size_t message_user_properties(const struct mqtt_properties *p, struct symbolon_user_property *user,
                               size_t cap);

#endif
