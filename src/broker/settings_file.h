/* broker/settings_file.h - the settings of symbolon-broker: the table, and what the core and the world make of
 * it. Loaded with config_load(&broker_config_table, …) into struct broker_config. */
#ifndef SYMBOLON_BROKER_SETTINGS_FILE_H
#define SYMBOLON_BROKER_SETTINGS_FILE_H

#include "base/config.h"
#include "bridge/settings.h"
#include "shard/shard.h"
#include "shard/token_store.h"
#include "token/claim_rules.h"

enum client_certificate { CLIENT_CERTIFICATE_NONE, CLIENT_CERTIFICATE_OPTIONAL, CLIENT_CERTIFICATE_REQUIRED };

enum transport { TRANSPORT_TCP, TRANSPORT_WEBSOCKET };

enum token_clock { TOKEN_CLOCK_TRUSTED, TOKEN_CLOCK_UNTRUSTED };

struct listener_config {
    char *name; /* in the log and the ports file; NULL: "mqtts" or "mqtt", "wss" or "ws" */
    char *address;
    int64_t port;
    bool tls;
    bool tickets;
    bool raw_keys, psk;
    char *certificate, *key;
    char *client_ca;
    int client_certificate; /* enum client_certificate */
    int transport;          /* enum transport */
    char *path;
    struct config_strings origins;
};

struct public_topic_config {
    char *filter;
    bool publish, subscribe;
};

struct as_config {
    char *issuer;         /* the claim `iss` */
    char *token_endpoint; /* told to clients in hints (MT-91) */
    char *ca;
    char *jwks_uri, *jwks_file;
    char *introspection_uri, *client_id, *client_secret_file;
    struct config_strings audiences; /* what it calls us; none: as all do */
    struct config_strings jwks_pins; /* RFC 7638 thumbprints; none: any key of the set */
    char *pinned_pubkey;             /* of its HTTPS server */
    char *revocation_uri;            /* RFC 9770 */
    struct claim_rules claims;
    char *token_key_file; /* JWK, kind "oct": the AS encrypts tokens under it (MT-14) */
};

struct broker_config {
    int64_t workers;
    bool workers_rest;
    int log_level;
    int64_t log_rate;
    int durability; /* enum durability */
    int64_t store_interval_ms;
    int64_t store_stall_ms;
    size_t store_max_bytes;
    char *user;
    struct config_records listeners;             /* struct listener_config */
    struct config_records public_topics;         /* struct public_topic_config */
    struct config_records authorization_servers; /* struct as_config */
    struct config_records bridges;               /* struct bridge_config */
    char *bridge_node;
    struct config_strings audiences;

    int64_t token_skew_s, token_max_lifetime_s;
    int64_t jwks_interval_s, jwks_min_interval_ms;
    int64_t as_timeout_ms, as_max_concurrent, as_max_waiting;
    char *state_dir;
    bool authz_info, stored_tokens;
    int64_t authz_max_tokens, authz_per_source, authz_unused_s, authz_rate, authz_max_visitors, authz_visit_ms;
    size_t authz_max_bytes;
    int64_t token_max_cached, token_max_receipts, token_max_revoked, cnonce_life_s;

    int token_clock; /* enum token_clock */
    int64_t introspection_cache_s;
    int64_t revocation_wait_s, revocation_poll_ms, revocation_max_stale_s;
    int64_t statistics_interval_s;

    bool mqtt_3_1_1;
    int64_t maximum_qos;
    bool retain_available, wildcard_subscriptions, subscription_identifiers, shared_subscriptions;
    char *response_topic_prefix, *server_reference;
    int64_t sys_interval_s;
    bool hints, reauth_needs_challenge, hide_topics, check_client_id_owner, v5_user_name;
    char *hint_scope;
    int lost_subscriptions; /* 0 drop, 1 disconnect */

    bool session_continuation;
    int session_lost_subscriptions; /* 0 drop, 1 new */
    int64_t session_max_expiry_s, session_v3_max_expiry_s, session_guest_max_expiry_s, session_max_inflight,
        session_max_queue_messages, session_max_subscriptions;
    size_t session_max_queue_bytes, session_max_subscription_bytes;
    int session_queue_full; /* enum queue_full */
    int64_t session_max_retained_backlog;

    char *control_socket;
    int64_t hostile_addresses, hostile_connects_per_s, hostile_connects_burst, hostile_faults_per_min,
        hostile_faults_burst, hostile_ban_ms, hostile_ban_max_ms, hostile_calm_ms;
    struct config_strings hostile_exempt;
    bool hostile_exempt_loopback;
    int64_t max_handshakes, max_address_handshakes, max_address_connections;

    int64_t max_connections, max_sessions, connect_timeout_ms, auth_timeout_ms, handshake_timeout_ms;
    int64_t keep_alive_max_s, receive_maximum, topic_alias_maximum, topic_aliases_out, max_filters,
        max_topic_levels;
    int keep_alive_v3; /* 0 own, 1 refuse */
    size_t max_packet_bytes, max_connect_bytes, max_output_bytes;
    size_t max_memory, max_unfinished_bytes, max_output_total, max_inbox_bytes;
    int64_t memory_share, memory_low, memory_high; /* percent */
    int64_t max_all_subscriptions;
    size_t max_all_subscription_bytes;
    int64_t packet_timeout_ms;

    int64_t retained_max_messages;
    size_t retained_max_bytes;
    bool retained_keep_after_token;
};

extern const struct config_table broker_config_table;

static inline const struct listener_config *listener_config_at(const struct broker_config *c, size_t i)
{
    return &((const struct listener_config *)c->listeners.items)[i];
}

static inline const struct as_config *as_config_at(const struct broker_config *c, size_t i)
{
    return &((const struct as_config *)c->authorization_servers.items)[i];
}

/* NULL: the claims of ACE, under their own names. */
const struct claim_rules *as_config_rules(const struct as_config *as);

void broker_config_token_limits(const struct broker_config *config, struct token_store_limits *out);
/* True if this issuer may issue tokens for us under this name. */
bool broker_config_believes(const struct broker_config *config, struct span iss, struct span aud);

const char *listener_config_name(const struct listener_config *listener);
/* What everybody may do; NULL if that is nothing. */
enum status broker_config_public_scope(const struct public_topic_config *topics, size_t count,
                                       struct scope **ret_scope, struct why *why) MUST_CHECK;

/* What a shard is told, for `workers` of them: limits on totals are shared out evenly. `home_key` is left to the
 * caller. Spans point into `config`, which must outlive it; *ret_public is a reference that
 * out->public_scope lends (NULL: nothing is public). */
enum status broker_config_shard_settings(const struct broker_config *config, unsigned workers,
                                         struct shard_settings *out, struct scope **ret_public,
                                         struct why *why) MUST_CHECK;

#endif
