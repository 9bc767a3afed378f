/* CONNACK (MQTT5 3.2): what was decided about a CONNECT, and what is offered here. */
#include "shard/connack.h"

#include "shard/response_info.h"
#include "shard/send.h"
#include "shard/shard_priv.h"
#include "shard/token_store.h"
#include "token/hints.h"

/* MT-91: where a token can be had. Left out quietly when it cannot be written. */
static void put_hint(const struct conn *c, struct buf *user_properties)
{
    const struct shard_settings *settings = c->shard->settings;
    CLEANUP(buf_done)
    struct buf json;
    uint8_t cnonce[TOKEN_CNONCE_LEN];
    struct hints hints = { .as = settings->hint_as,
                           .audience = settings->hint_audience.len > 0 ? settings->hint_audience : SPAN_NONE,
                           .scope = settings->hint_scope.len > 0 ? settings->hint_scope : SPAN_NONE };

    if (settings->send_cnonce && settings->tokens != NULL &&
        token_store_cnonce(settings->tokens, c->shard->now, cnonce) == ST_OK) /* AF-15 */
        hints.cnonce = span_of(cnonce, sizeof cnonce);
    buf_init(&json, HINTS_MAX_BYTES);
    if (hints_write(&hints, &json) == ST_OK)
        mqtt_put_user_property(user_properties, SPAN(ACE_AS_HINT), buf_span(&json));
}

void connack_refuse(struct conn *c, uint8_t code, const struct why *why)
{
    CLEANUP(buf_done)
    struct buf user_properties;
    struct mqtt_connack connack = { .reason = code };

    buf_init(&user_properties, UINT16_MAX);
    if (c->hint && c->version == MQTT_5 && c->shard->settings->send_hints &&
        c->shard->settings->hint_as.len > 0) {
        put_hint(c, &user_properties);
        if (buf_ok(&user_properties)) {
            connack.properties.raw = buf_span(&user_properties);
            mqtt_set(&connack.properties, PROP_USER);
        }
    }
    (void)send_connack(c, &connack, why, (struct barrier){ 0 });
}

/* MQTT5 3.2.2.3: said where it is less than all. */
static void set_offer(const struct shard_settings *settings, struct mqtt_properties *p)
{
    p->wildcard_available = settings->wildcard_subscriptions; /* MT-85, D-35 */
    mqtt_set(p, PROP_WILDCARD_AVAILABLE);
    p->shared_available = settings->shared_subscriptions;
    mqtt_set(p, PROP_SHARED_AVAILABLE);
    if (!settings->subscription_identifiers) {
        p->subscription_id_available = 0;
        mqtt_set(p, PROP_SUBSCRIPTION_ID_AVAILABLE);
    }
    if (settings->maximum_qos < 2) { /* MQTT5 [MQTT-3.2.2-9] */
        p->maximum_qos = settings->maximum_qos;
        mqtt_set(p, PROP_MAXIMUM_QOS);
    }
    if (!settings->retain_available) {
        p->retain_available = 0;
        mqtt_set(p, PROP_RETAIN_AVAILABLE);
    }
}

static void set_limits(struct conn *c, struct mqtt_properties *p)
{
    const struct shard_settings *settings = c->shard->settings;

    p->receive_maximum = throttle_receive_maximum(c);
    mqtt_set(p, PROP_RECEIVE_MAXIMUM);
    p->maximum_packet_size = settings->max_packet_bytes;
    mqtt_set(p, PROP_MAXIMUM_PACKET_SIZE);
    p->topic_alias_maximum = settings->topic_alias_maximum;
    mqtt_set(p, PROP_TOPIC_ALIAS_MAXIMUM);
}

/* MQTT5 3.2.2.3.15: told to whom it is of use, in `text`. */
static void put_response_info(const struct conn *c, const struct mqtt_connect *connect, struct buf *text,
                              struct mqtt_properties *p)
{
    struct span prefix = c->shard->settings->response_prefix;
    struct authz az = conn_authz(c);
    struct topic_filter below;
    size_t len;

    if (prefix.len == 0 || !mqtt_has(&connect->properties, PROP_REQUEST_RESPONSE_INFO) ||
        connect->properties.request_response_info == 0) /* MQTT5 [MQTT-3.1.2-28] */
        return;
    if (!response_info_put(prefix, session_client_id(c->session), text))
        return;
    len = text->len;
    put_str(text, "#");
    if (!buf_ok(text) || topic_filter_parse(buf_span(text), &below, NULL) != ST_OK ||
        authz_subscribe(&az, below, NULL) != ST_OK)
        return;
    p->response_info = span_of(text->p, len);
    mqtt_set(p, PROP_RESPONSE_INFO);
}

/* Bridges that say where they stand are told where they have come to: shard/shard.h, `node`. */
static void put_node(const struct conn *c, const struct mqtt_connect *connect, struct buf *user,
                     struct mqtt_properties *p)
{
    struct span name, value;
    size_t at = 0;

    if (c->version != MQTT_5 || c->shard->settings->node.len == 0)
        return;
    while (mqtt_next_user_property(&connect->properties, &at, &name, &value)) {
        if (!span_eq_str(name, "symbolon-bridge"))
            continue;
        mqtt_put_user_property(user, SPAN("symbolon-node"), c->shard->settings->node);
        if (buf_ok(user)) {
            p->raw = buf_span(user);
            mqtt_set(p, PROP_USER);
        }
        return;
    }
}

bool connack_accept(struct conn *c, const struct mqtt_connect *connect, bool session_present,
                    struct barrier barrier)
{
    const struct session *s = c->session;
    struct mqtt_connack connack = { .session_present = session_present, .reason = MQTT_SUCCESS };
    struct mqtt_properties *p = &connack.properties;
    uint16_t max_keep_alive_s = c->shard->settings->max_keep_alive_s;
    CLEANUP(buf_done)
    struct buf response_info;
    CLEANUP(buf_done)
    struct buf user;

    buf_init(&response_info, UINT16_MAX);
    buf_init(&user, 256);
    set_limits(c, p);
    if (!grant_is_built_in(c->session->grant))
        set_offer(c->shard->settings, p);
    put_node(c, connect, &user, p);
    put_response_info(c, connect, &response_info, p);
    if (s->expiry_s != c->asked_expiry_s) { /* MQTT5 3.2.2.3.2: what we use instead */
        p->session_expiry_s = s->expiry_s;
        mqtt_set(p, PROP_SESSION_EXPIRY);
    }
    if (connect->client_id.len == 0) {
        p->assigned_client_id = session_client_id(s);
        mqtt_set(p, PROP_ASSIGNED_CLIENT_ID);
    }
    if (max_keep_alive_s > 0 && (connect->keep_alive_s == 0 || connect->keep_alive_s > max_keep_alive_s)) {
        p->server_keep_alive_s = max_keep_alive_s;
        mqtt_set(p, PROP_SERVER_KEEP_ALIVE);
    }
    if (c->ace.in_use) { /* MQTT5 [MQTT-4.12.0-5] */
        p->auth_method = SPAN(ACE_METHOD);
        mqtt_set(p, PROP_AUTH_METHOD);
    }
    return send_connack(c, &connack, NULL, barrier);
}
