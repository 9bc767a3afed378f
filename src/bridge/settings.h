/* bridge/settings.h - one entry of `bridges:` in the settings of symbolon-broker: the rows, and what no row can say.
 * Ownership: as base/config.h has it; what bridge_config_rules() and the like give is the caller's. */
#ifndef SYMBOLON_BRIDGE_SETTINGS_H
#define SYMBOLON_BRIDGE_SETTINGS_H

#include "base/config.h"
#include "bridge/rules.h"

enum bridge_version { BRIDGE_V5, BRIDGE_V3 };

struct bridge_topic_config {
    char *filter, *local_prefix, *remote_prefix;
    int direction; /* enum rule_direction */
    int64_t qos;
};

struct bridge_config {
    char *name;
    struct config_strings addresses;
    int version; /* enum bridge_version */
    char *client_id;
    struct config_records topics; /* struct bridge_topic_config */

    bool tls;
    char *ca, *certificate, *key, *server_name, *pin;
    char *user_name, *password_file;
    char *as, *as_ca, *as_client_id, *as_client_secret_file, *pop_key, *audience;

    int64_t keep_alive_s, connect_timeout_ms, reconnect_min_ms, reconnect_max_ms;
    int64_t session_expiry_s, max_inflight;
    bool bridge_bit;
    bool notifications;
    char *notification_topic, *remote_notification_topic;
};

extern const struct config_table bridge_config_table;

#define BRIDGE_CLIENT_ID "$bridge/" /* what stands in front of a bridge's name on its own broker */

static inline const struct bridge_config *bridge_config_at(const struct config_records *bridges, size_t i)
{
    return &((const struct bridge_config *)bridges->items)[i];
}

/* What is wrong with the bridges of a settings file: a line each. */
void bridge_config_check(const struct config_records *bridges, struct buf *problem);

enum status bridge_config_rules(const struct bridge_config *config, struct rules **ret_rules,
                                struct buf *problem) MUST_CHECK;

bool bridge_node_ok(const char *node); /* path.h */

/* "host", "host:port", "[address]:port"; port 0 where none is given. The host is appended to `host`, NUL behind it.
 * ST_MALFORMED. */
enum status bridge_address(const char *text, struct buf *host, uint16_t *ret_port) MUST_CHECK;

/* The topic its state is published to, appended with a NUL behind it; nothing if it shall not be. */
void bridge_state_topic(const struct bridge_config *config, struct buf *out);

/* 32 bytes from `pin`, hexadecimal with or without colons. ST_MALFORMED. */
enum status bridge_pin(const struct bridge_config *config, struct buf *out) MUST_CHECK;

#endif
