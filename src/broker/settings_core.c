/* What the settings mean for the parts of the broker. */
#include "broker/settings_file.h"

#include "scope/scope.h"

#include <stdlib.h>

const struct claim_rules *as_config_rules(const struct as_config *as)
{
    const struct claim_rules *r = &as->claims;
    bool any = r->scope != NULL || r->scope_form != CLAIM_FORM_AIF || r->client_id != NULL ||
               r->subject != NULL || r->username != NULL || r->cnf != NULL || r->types.count > 0 ||
               r->audience_optional;

    return any ? r : NULL;
}

const char *listener_config_name(const struct listener_config *l)
{
    if (l->name != NULL)
        return l->name;
    if (l->transport == TRANSPORT_WEBSOCKET)
        return l->tls ? "wss" : "ws";
    return l->tls ? "mqtts" : "mqtt";
}

enum status broker_config_public_scope(const struct public_topic_config *topics, size_t count,
                                       struct scope **ret_scope, struct why *why)
{
    *ret_scope = NULL;
    if (count == 0)
        return ST_OK;
    struct scope_entry *entries = calloc(count, sizeof *entries);
    if (entries == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct scope_entry){ { span_of_str(topics[i].filter) },
                                           (topics[i].publish ? (unsigned)SCOPE_PUB : 0u) |
                                               (topics[i].subscribe ? (unsigned)SCOPE_SUB : 0u) };
    enum status st = scope_build(entries, count, ret_scope, why);
    free(entries);
    return st;
}

static int64_t share(int64_t total, unsigned workers)
{
    return (total + workers - 1) / workers;
}

static void fill_mqtt(const struct broker_config *c, struct shard_settings *out)
{
    out->accept_v3 = c->mqtt_3_1_1;
    out->maximum_qos = (uint8_t)c->maximum_qos;
    out->retain_available = c->retain_available;
    out->wildcard_subscriptions = c->wildcard_subscriptions;
    out->subscription_identifiers = c->subscription_identifiers;
    out->shared_subscriptions = c->shared_subscriptions;
    out->response_prefix = c->response_topic_prefix != NULL ? span_of_str(c->response_topic_prefix) : SPAN_NONE;
    out->server_reference = c->server_reference != NULL ? span_of_str(c->server_reference) : SPAN_NONE;
    out->version = "symbolon-broker version " SYMBOLON_VERSION;
    out->sys_interval_s = (uint32_t)c->sys_interval_s;
}

static void fill_limits(const struct broker_config *c, struct shard_settings *out)
{
    out->max_connections = (uint32_t)c->max_connections;
    out->max_sessions = (uint32_t)c->max_sessions;
    out->max_all_subscriptions = (uint64_t)c->max_all_subscriptions;
    out->max_all_subscription_bytes = c->max_all_subscription_bytes;
    out->max_unfinished_bytes = c->max_unfinished_bytes;
    out->queue_full = (enum queue_full)c->session_queue_full;
    out->connect_timeout_ms = (uint32_t)c->connect_timeout_ms;
    out->auth_timeout_ms = (uint32_t)c->auth_timeout_ms;
    out->packet_timeout_ms = (uint32_t)c->packet_timeout_ms;
    out->max_keep_alive_s = (uint16_t)c->keep_alive_max_s;
    out->refuse_v3_keep_alive = c->keep_alive_v3 == 1;
    out->session_continuation = c->session_continuation;
    out->resume_whole = c->session_lost_subscriptions == 1;
    out->max_session_expiry_s = (uint32_t)c->session_max_expiry_s;
    out->max_v3_expiry_s = (uint32_t)c->session_v3_max_expiry_s;
    out->max_guest_expiry_s = (uint32_t)c->session_guest_max_expiry_s;
    out->max_connect_bytes = (uint32_t)c->max_connect_bytes;
    out->max_packet_bytes = (uint32_t)c->max_packet_bytes;
    out->receive_maximum = (uint16_t)c->receive_maximum;
    out->topic_alias_maximum = (uint16_t)c->topic_alias_maximum;
    out->topic_aliases_out = (uint16_t)c->topic_aliases_out;
    out->max_inflight = (uint16_t)c->session_max_inflight;
    out->max_queue_messages = (uint32_t)c->session_max_queue_messages;
    out->max_queue_bytes = c->session_max_queue_bytes;
    out->max_retained_backlog = (uint32_t)c->session_max_retained_backlog;
    out->max_subscriptions = (uint32_t)c->session_max_subscriptions;
    out->max_subscription_bytes = c->session_max_subscription_bytes;
    out->max_subscribe_filters = (uint32_t)c->max_filters;
    out->max_topic_levels = (uint32_t)c->max_topic_levels;
    out->max_output_bytes = c->max_output_bytes;
    out->max_retained_messages = (uint32_t)c->retained_max_messages;
    out->keep_retained = c->retained_keep_after_token;
    out->max_retained_bytes = c->retained_max_bytes;
}

static void fill_ace(const struct broker_config *c, unsigned workers, struct shard_settings *out)
{
    out->send_hints = false;
    if (c->authorization_servers.count > 0 && as_config_at(c, 0)->token_endpoint != NULL) {
        out->send_hints = c->hints;
        out->hint_as = span_of_str(as_config_at(c, 0)->token_endpoint);
    }
    out->hint_audience = c->audiences.count > 0 ? span_of_str(c->audiences.items[0]) : SPAN_NONE;
    if (c->authorization_servers.count > 0 && as_config_at(c, 0)->audiences.count > 0)
        out->hint_audience =
            span_of_str(as_config_at(c, 0)->audiences.items[0]); /* as the one hinted at calls us */
    out->hint_scope = c->hint_scope != NULL ? span_of_str(c->hint_scope) : SPAN_NONE;
    out->reauth_needs_challenge = c->reauth_needs_challenge;
    out->reauth_lost_disconnects = c->lost_subscriptions == 1;
    out->hide_topics = c->hide_topics;
    out->check_client_id_owner = c->check_client_id_owner;
    out->authz_info = c->authz_info;
    out->max_visitors = (uint32_t)share(c->authz_max_visitors, workers);
    out->visit_ms = (uint32_t)c->authz_visit_ms;
    out->stored_tokens = c->stored_tokens;
    out->send_cnonce = c->token_clock == TOKEN_CLOCK_UNTRUSTED;
    out->v5_user_name = c->v5_user_name;
}

void broker_config_token_limits(const struct broker_config *c, struct token_store_limits *out)
{
    token_store_limits_init(out);
    out->max_kept = (uint32_t)c->authz_max_tokens;
    out->max_kept_bytes = c->authz_max_bytes;
    out->kept_per_source = (uint32_t)c->authz_per_source;
    out->unused_s = (uint32_t)c->authz_unused_s;
    out->rate_per_minute = (uint32_t)c->authz_rate;
    out->max_cached = (uint32_t)c->token_max_cached;
    out->introspection_s = (uint32_t)c->introspection_cache_s;
    out->max_receipts = (uint32_t)c->token_max_receipts;
    out->max_nonces = (uint32_t)c->token_max_receipts;
    out->max_revoked = (uint32_t)c->token_max_revoked;
    out->nonce_life_s = (uint32_t)c->cnonce_life_s;
    out->need_cnonce = c->token_clock == TOKEN_CLOCK_UNTRUSTED;
}

static bool has_string(const struct config_strings *strings, struct span s)
{
    for (size_t i = 0; i < strings->count; i++)
        if (span_eq_str(s, strings->items[i]))
            return true;
    return false;
}

bool broker_config_believes(const struct broker_config *c, struct span iss, struct span aud)
{
    for (size_t i = 0; i < c->authorization_servers.count; i++) {
        const struct as_config *as = as_config_at(c, i);

        if (span_eq_str(iss, as->issuer))
            return has_string(as->audiences.count > 0 ? &as->audiences : &c->audiences, aud);
    }
    return false;
}

enum status broker_config_shard_settings(const struct broker_config *c, unsigned workers,
                                         struct shard_settings *out, struct scope **ret_public, struct why *why)
{
    shard_settings_init(out);
    out->durability = (enum durability)c->durability;
    fill_mqtt(c, out);
    fill_limits(c, out);
    fill_ace(c, workers, out);
    enum status st =
        broker_config_public_scope(c->public_topics.items, c->public_topics.count, ret_public, why);
    out->public_scope = *ret_public;
    return st;
}
