#include "broker/message.h"
#include "broker/shard.h"

void shard_settings_init(struct shard_settings *s)
{
    *s = (struct shard_settings){
        .accept_v3 = true,
        .maximum_qos = 2,
        .retain_available = true,
        .wildcard_subscriptions = true,
        .subscription_identifiers = true,
        .shared_subscriptions = true,
        .sys_interval_s = 10,
        .max_connections = 100000,
        .max_sessions = 200000,
        .connect_timeout_ms = 10000,
        .auth_timeout_ms = 10000,
        .packet_timeout_ms = 120000,
        .max_keep_alive_s = 3600,
        .session_continuation = true,
        .max_session_expiry_s = 7 * 24 * 3600,
        .max_v3_expiry_s = 24 * 3600,
        .max_connect_bytes = 128 * 1024,
        .max_packet_bytes = 1024 * 1024,
        .receive_maximum = 256,
        .topic_alias_maximum = 32,
        .topic_aliases_out = 32,
        .max_inflight = 256,
        .max_queue_messages = 10000,
        .max_queue_bytes = 32 * 1024 * 1024,
        .max_retained_backlog = 100000,
        .max_subscriptions = 100000,
        .max_subscription_bytes = 16 * 1024 * 1024,
        .max_subscribe_filters = 1024,
        .max_topic_levels = 200,
        .max_output_bytes = 1024 * 1024,
        .max_retained_messages = 100000,
        .max_retained_bytes = (size_t)256 * 1024 * 1024,
        .send_hints = true,
        .check_client_id_owner = true,
        .max_visitors = 1000,
        .visit_ms = 30000,
    };
}
