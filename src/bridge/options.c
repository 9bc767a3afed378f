/* The settings of a bridge as options of its two clients. */
#include "bridge/bridge_priv.h"
#include "bridge/path.h"

#include "net/file.h"
#include "scope/scope.h"

#define SECRET_MAX     65536
#define LOCAL_RETRY_MS 100
#define LOCAL_SLOWEST  2000
#define LOCAL_KEEP_S   65535
#define LOCAL_WINDOW   1000

/* mosquitto throws out clients of MQTT 3.1.1, who cannot be told, that have more than 20 messages under way. */
static uint16_t window_of(const struct bridge_config *c)
{
    if (c->max_inflight > 0)
        return (uint16_t)c->max_inflight;
    return c->version == BRIDGE_V3 ? 20 : 100;
}

/* What waits here: QoS 0, the states published by the bridge itself, and whatever a broker has sent unacknowledged, however
 * much it makes that (options.relay). Nothing of it may be turned away. */
#define QUEUE_MAX (RELAY_QOS0_MAX + 16 + UINT16_MAX)

static int open_local(void *arg)
{
    struct bridge_end *end = arg;
    struct bridge *b = end->bridge;

    return b->world->connect_local(b->world->ctx, (const char *)b->client_id.p, b->scope);
}

static enum status make(struct bridge_end *end, const struct symbolon_client_options *options, const char *what,
                        struct why *why)
{
    struct symbolon_error error;

    if (symbolon_client_new(end->bridge->loop, options, &end->client, &error) == SYMBOLON_OK)
        return ST_OK;
    log_event(&end->bridge->log, LOG_ERROR, "bridge_unusable", F_STR("side", what),
              F_STR("clause", error.clause), F_STR("why", error.text));
    return reject(why, error.status == SYMBOLON_NO_MEMORY ? ST_NO_MEMORY : ST_MALFORMED, "bridges",
                  "a bridge cannot be set up; the log says why", 0);
}

enum status bridge_make_local(struct bridge *b, struct why *why)
{
    struct symbolon_client_options o = SYMBOLON_CLIENT_OPTIONS_INIT;
    uint16_t window = window_of(b->config);

    o.host = "this broker";
    o.no_tls = true;
    o.open_socket = open_local;
    o.client_id = (const char *)b->client_id.p;
    o.keep_session = true;
    o.session_expiry_s = UINT32_MAX;
    o.keep_alive_s = LOCAL_KEEP_S;
    o.receive_maximum = window;
    o.max_packet_size = b->world->max_packet_size;
    o.max_inflight = LOCAL_WINDOW;
    o.max_queue = QUEUE_MAX;
    o.reconnect = true;
    o.reconnect_min_ms = LOCAL_RETRY_MS;
    o.reconnect_max_ms = LOCAL_SLOWEST;
    o.manual_ack = o.relay = true;
    o.events = &bridge_events;
    o.arg = &b->end[SIDE_LOCAL];
    return make(&b->end[SIDE_LOCAL], &o, "local", why);
}

/* ---- the other broker ---- */

/* What options point to until symbolon_client_new() has copied it. */
struct kept {
    struct buf host, pin, password, secret, scope, client_id;
    struct symbolon_key *key;
};

static void kept_done(struct kept *k)
{
    buf_done(&k->host);
    buf_done(&k->pin);
    buf_wipe(&k->password);
    buf_wipe(&k->secret);
    buf_done(&k->scope);
    buf_done(&k->client_id);
    symbolon_key_unref(k->key);
}

static void log_file(const struct bridge *b, const char *path, enum status st, const struct why *why)
{
    log_event(&b->log, LOG_ERROR, "bridge_unusable", F_STR("file", path), F_WHY(st, *why));
}

/* One line; the end of the line is not part of it. */
static enum status read_secret(const struct bridge *b, const char *path, struct buf *out, struct why *why)
{
    enum status st = file_read(path, out, why);

    if (st != ST_OK) {
        log_file(b, path, st, why);
        return st;
    }
    while (out->len > 0 && (out->p[out->len - 1] == '\n' || out->p[out->len - 1] == '\r'))
        buf_truncate(out, out->len - 1);
    return ST_OK;
}

static enum status add_ace(struct bridge *b, struct symbolon_client_options *o, struct kept *k, struct why *why)
{
    const struct bridge_config *c = b->config;
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    struct symbolon_error error;
    enum status st = rules_scope(b->rules, SIDE_REMOTE, span_of_str(c->remote_notification_topic), &scope, why);

    if (st == ST_OK)
        st = scope_to_text(scope, &k->scope);
    put_u8(&k->scope, '\0');
    if (st == ST_OK && c->as_client_secret_file != NULL)
        st = read_secret(b, c->as_client_secret_file, &k->secret, why);
    put_u8(&k->secret, '\0');
    if (st == ST_OK && c->pop_key != NULL && symbolon_key_load(c->pop_key, &k->key, &error) != SYMBOLON_OK) {
        st = reject(why, ST_MALFORMED, "pop_key", "the key cannot be used", 0);
        log_event(&b->log, LOG_ERROR, "bridge_unusable", F_STR("file", c->pop_key), F_STR("why", error.text));
    }
    o->ace = SYMBOLON_ACE_EXPORTER;
    o->as_url = c->as;
    o->as_ca_file = c->as_ca;
    o->as_client_id = c->as_client_id;
    o->as_client_secret = c->as_client_secret_file != NULL ? (const char *)k->secret.p : NULL;
    o->key = k->key;
    o->audience = c->audience;
    o->scope_json = (const char *)k->scope.p;
    return st;
}

static enum status add_identity(struct bridge *b, struct symbolon_client_options *o, struct kept *k,
                                struct why *why)
{
    const struct bridge_config *c = b->config;
    enum status st = ST_OK;

    o->no_tls = !c->tls;
    o->ca_file = c->ca;
    o->cert_file = c->certificate;
    o->key_file = c->key;
    o->server_name = c->server_name;
    o->user_name = c->user_name;
    if (c->pin != NULL) {
        st = bridge_pin(c, &k->pin);
        o->pin = (struct symbolon_bytes){ k->pin.p, k->pin.len };
    }
    if (st == ST_OK && c->password_file != NULL) {
        st = read_secret(b, c->password_file, &k->password, why);
        o->password = (struct symbolon_bytes){ k->password.p, k->password.len };
    }
    if (st == ST_OK && c->as != NULL)
        st = add_ace(b, o, k, why);
    return st;
}

static void add_session(const struct bridge *b, struct symbolon_client_options *o, struct kept *k)
{
    const struct bridge_config *c = b->config;
    uint16_t window = window_of(c);

    if (c->client_id != NULL)
        put_str(&k->client_id, c->client_id);
    else
        put_fmt(&k->client_id, "bridge-%s", c->name);
    put_u8(&k->client_id, '\0');
    o->client_id = (const char *)k->client_id.p;
    o->mqtt_version = c->version == BRIDGE_V3 ? SYMBOLON_MQTT_3_1_1 : SYMBOLON_MQTT_5;
    o->bridge = c->bridge_bit;
    o->keep_session = true;
    o->session_expiry_s = c->version == BRIDGE_V3 ? 0 : (uint32_t)c->session_expiry_s;
    o->keep_alive_s = (uint16_t)c->keep_alive_s;
    o->receive_maximum = o->max_inflight = window;
    o->max_packet_size = b->world->max_packet_size;
    o->max_queue = QUEUE_MAX;
    o->connect_timeout_ms = (uint32_t)c->connect_timeout_ms;
    o->reconnect = true;
    o->reconnect_min_ms = (uint32_t)c->reconnect_min_ms;
    o->reconnect_max_ms = (uint32_t)c->reconnect_max_ms;
    o->manual_ack = o->relay = true;
}

enum status bridge_make_remote(struct bridge *b, struct why *why)
{
    const struct bridge_config *c = b->config;
    const struct symbolon_user_property node = { { PATH_BRIDGE_PROPERTY, strlen(PATH_BRIDGE_PROPERTY) },
                                                 { b->world->node, strlen(b->world->node) } };
    struct symbolon_client_options o = SYMBOLON_CLIENT_OPTIONS_INIT;
    struct symbolon_message will = { .qos = 1, .retain = true, .payload = { "0", 1 } };
    CLEANUP(kept_done)
    struct kept k = { .host = { .max = 1024 },
                      .pin = { .max = 32 },
                      .password = { .max = UINT16_MAX },
                      .secret = { .max = SECRET_MAX },
                      .scope = { .max = SECRET_MAX * 2 },
                      .client_id = { .max = UINT16_MAX } };

    enum status st = bridge_address(c->addresses.items[0], &k.host, &o.port);
    o.host = (const char *)k.host.p;
    add_session(b, &o, &k);
    if (c->version == BRIDGE_V5) {
        o.connect_properties = &node;
        o.connect_property_count = 1;
    }
    if (c->remote_notification_topic != NULL) {
        will.topic =
            (struct symbolon_bytes){ c->remote_notification_topic, strlen(c->remote_notification_topic) };
        o.will = &will;
    }
    if (st == ST_OK)
        st = add_identity(b, &o, &k, why);
    if (st == ST_OK && !(buf_ok(&k.scope) && buf_ok(&k.secret) && buf_ok(&k.client_id)))
        st = reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    o.events = &bridge_events;
    o.arg = &b->end[SIDE_REMOTE];
    return st == ST_OK ? make(&b->end[SIDE_REMOTE], &o, "remote", why) : st;
}
