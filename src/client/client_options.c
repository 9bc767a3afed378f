/* What symbolon_client_new() is given: checked, copied, and made into an engine, TLS configurations and a store. */
#include "base/utf8.h"
#include "client/client_priv.h"
#include "client/key_priv.h"
#include "client/outgoing.h"
#include "crypto/random.h"
#include "net/ws.h"

#include <stdlib.h>

#define CONNECT_MS       10000
#define KEEP_ALIVE_S     60
#define RECEIVE_MAXIMUM  64
#define MAX_PACKET_SIZE  1048576
#define MAX_INFLIGHT     64
#define MAX_QUEUE        1000
#define STORE_MAX_BYTES  67108864
#define RECONNECT_MIN_MS 500
#define RECONNECT_MAX_MS 60000
#define PORT_TLS         8883
#define PORT_PLAIN       1883
#define PORT_WSS         443
#define PORT_WS          80

static bool keep(struct symbolon_client *c, const char **text)
{
    if (*text != NULL)
        *text = arena_str(&c->strings, span_of_str(*text));
    return true;
}

static bool keep_bytes(struct symbolon_client *c, struct symbolon_bytes *bytes)
{
    struct span copy;

    if (bytes->p == NULL)
        return true;
    copy = arena_copy(&c->strings, span_of_bytes(*bytes));
    bytes->p = copy.p;
    return copy.p != NULL || bytes->len == 0;
}

static bool keep_list(struct symbolon_client *c, const char *const **list)
{
    size_t n = 0;
    const char **copy;

    if (*list == NULL)
        return true;
    while ((*list)[n] != NULL)
        n++;
    copy = arena_alloc(&c->strings, (n + 1) * sizeof *copy);
    if (copy == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        copy[i] = arena_str(&c->strings, span_of_str((*list)[i]));
        if (copy[i] == NULL)
            return false;
    }
    *list = copy;
    return true;
}

static bool keep_all(struct symbolon_client *c)
{
    const char **texts[] = { &c->o.host,      &c->o.ca_file,     &c->o.client_id,        &c->o.user_name,
                             &c->o.token,     &c->o.as_url,      &c->o.as_ca_file,       &c->o.as_client_id,
                             &c->o.audience,  &c->o.scope_json,  &c->o.as_client_secret, &c->o.token_cache_dir,
                             &c->o.cert_file, &c->o.key_file,    &c->o.ws_path,          &c->o.server_name,
                             &c->o.store_dir, &c->o.bind_address };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        bool wanted = *texts[i] != NULL;
        keep(c, texts[i]);
        if (wanted && *texts[i] == NULL)
            return false;
    }
    return keep_list(c, &c->o.trusted_as) && keep_bytes(c, &c->o.password) && keep_bytes(c, &c->o.pin);
}

#define DEFAULT(member, value) \
    if (o->member == 0)        \
    o->member = (value)

uint16_t client_default_port(const struct symbolon_client_options *o)
{
    if (o->ws_path != NULL)
        return o->no_tls ? PORT_WS : PORT_WSS;
    return o->no_tls ? PORT_PLAIN : PORT_TLS;
}

static void fill_defaults(struct symbolon_client_options *o)
{
    DEFAULT(port, client_default_port(o));
    DEFAULT(connect_timeout_ms, CONNECT_MS);
    DEFAULT(keep_alive_s, KEEP_ALIVE_S);
    DEFAULT(receive_maximum, RECEIVE_MAXIMUM);
    DEFAULT(max_packet_size, MAX_PACKET_SIZE);
    DEFAULT(max_inflight, MAX_INFLIGHT);
    DEFAULT(max_queue, MAX_QUEUE);
    DEFAULT(store_max_bytes, STORE_MAX_BYTES);
    DEFAULT(reconnect_min_ms, RECONNECT_MIN_MS);
    DEFAULT(reconnect_max_ms, RECONNECT_MAX_MS);
}

enum symbolon_status client_invalid(struct symbolon_error *error, const char *clause, const char *text)
{
    return error_set(error, SYMBOLON_INVALID, clause, "%s", text);
}

static bool is_text(const char *text)
{
    struct span s = span_of_str(text);

    return s.len <= UINT16_MAX && utf8_valid_mqtt(s);
}

static enum symbolon_status check_login(const struct symbolon_client_options *o, struct symbolon_error *error)
{
    if (!is_text(o->client_id))
        return client_invalid(error, "MQTT5 [MQTT-3.1.3-4]", "the Client Identifier is not UTF-8, or too long");
    if (!is_text(o->user_name))
        return client_invalid(error, "MQTT5 [MQTT-3.1.3-12]", "the user name is not UTF-8, or too long");
    if (o->mqtt_version == SYMBOLON_MQTT_3_1_1 && o->password.p != NULL && o->user_name == NULL)
        return client_invalid(error, "MQTT311 [MQTT-3.1.2-22]",
                              "MQTT 3.1.1 has no password without a user name");
    return SYMBOLON_OK;
}

static enum symbolon_status check_options(const struct symbolon_client_options *o, struct symbolon_error *error)
{
    if (o->mqtt_version != SYMBOLON_MQTT_5 && o->mqtt_version != SYMBOLON_MQTT_3_1_1)
        return client_invalid(error, "mqtt_version", "no such version");
    if (o->mqtt_version == SYMBOLON_MQTT_3_1_1 && o->keep_session &&
        (o->client_id == NULL || o->client_id[0] == '\0'))
        return client_invalid(error, "MQTT3 [MQTT-3.1.3-7]", "a session to continue needs a Client Identifier");
    if (o->host == NULL || o->host[0] == '\0')
        return client_invalid(error, "host", "no broker named");
    if (o->store_dir != NULL && (o->client_id == NULL || o->client_id[0] == '\0'))
        return client_invalid(error, "store_dir", "a store belongs to a Client Identifier: give one");
    if (o->mqtt_version == SYMBOLON_MQTT_3_1_1 &&
        (o->topic_alias_maximum > 0 || o->connect_property_count > 0 || o->request_response_info))
        return client_invalid(error, "MQTT3 3.1", "MQTT 3.1.1 has no properties");
    if ((o->cert_file == NULL) != (o->key_file == NULL))
        return client_invalid(error, "cert_file", "a certificate needs its key, and a key its certificate");
    if (o->pin.p != NULL && o->pin.len != TLS_PIN_LEN)
        return client_invalid(error, "pin", "a pin is the 32 bytes of a SHA-256");
    if (o->ws_path != NULL && !ws_path_valid(o->ws_path))
        return client_invalid(error, "RFC 6455 3",
                              "the path of a WebSocket begins with '/' and holds no space");
    if (o->open_socket != NULL && (!o->no_tls || o->ws_path != NULL))
        return client_invalid(error, "open_socket", "a socket given is used as it is");
    enum symbolon_status st = check_login(o, error);
    if (st != SYMBOLON_OK || o->ace == SYMBOLON_ACE_OFF)
        return st;
    if (o->no_tls)
        return client_invalid(error, "RFC 9431 1 (MT-2)", "a token never goes over a connection without TLS");
    if (o->user_name != NULL || o->password.p != NULL)
        return client_invalid(error, "RFC 9431 2.2.4.1 (MT-50)",
                              "a token takes the place of user name and password");
    if (o->ace > SYMBOLON_ACE_PSK_KID)
        return client_invalid(error, "ace", "no such mode");
    if (o->mqtt_version == SYMBOLON_MQTT_3_1_1 && o->ace == SYMBOLON_ACE_CHALLENGE)
        return client_invalid(error, "RFC 9431 6.1 (MT-123)",
                              "MQTT 3.1.1 has no packet for challenge and response");
    if (o->ace == SYMBOLON_ACE_RPK && (o->key == NULL || symbolon_key_type(o->key) == SYMBOLON_KEY_SECRET))
        return client_invalid(error, "RFC 9431 2.2.3 (MT-23)",
                              "a raw public key needs the private key it belongs to");
    if (o->ace == SYMBOLON_ACE_PSK && o->token != NULL && o->key != NULL &&
        symbolon_key_type(o->key) != SYMBOLON_KEY_SECRET)
        return client_invalid(error, "RFC 9431 2.2.3 (MT-23)",
                              "a pre-shared key is a secret, and this key is none");
    if (o->ace == SYMBOLON_ACE_PSK_KID && o->token != NULL)
        return client_invalid(error, "RFC 9431 2.2.3.2 (MT-27)",
                              "the kid comes with the token from the authorization server: give no token");
    if (o->token != NULL && o->key == NULL)
        return client_invalid(error, "token", "a token given needs the key it is bound to");
    if (o->key != NULL && symbolon_key_type(o->key) == SYMBOLON_KEY_SECRET && o->token == NULL)
        return client_invalid(error, "key", "a shared secret is made by the authorization server: give no key");
    return SYMBOLON_OK;
}

static enum symbolon_status make_will(struct symbolon_client *c, const struct symbolon_message *will,
                                      struct engine_settings *s, struct symbolon_error *error)
{
    struct symbolon_message copy;
    struct mqtt_properties *p = &s->will.properties;
    struct why why = { 0 };

    if (will == NULL)
        return SYMBOLON_OK;
    copy = *will;
    if (copy.qos > 2)
        return client_invalid(error, "MQTT5 [MQTT-3.1.2-12]", "the Will's QoS is 0, 1 or 2");
    if (copy.payload.len > UINT16_MAX)
        return error_set(error, SYMBOLON_TOO_LARGE, "MQTT5 3.1.3.4", "a Will carries at most 65535 bytes");
    if (!keep_bytes(c, &copy.topic) || !keep_bytes(c, &copy.payload) || !keep_bytes(c, &copy.content_type) ||
        !keep_bytes(c, &copy.response_topic) || !keep_bytes(c, &copy.correlation_data))
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    if (topic_name_parse(span_of_bytes(copy.topic), &s->will.topic, &why) != ST_OK)
        return error_set(error, SYMBOLON_INVALID, why.clause, "Will topic: %s", why.text);
    enum symbolon_status st = message_properties(&copy, p, &c->will_properties, error);
    if (st != SYMBOLON_OK)
        return st;
    s->has_will = true;
    s->will.payload = span_of_bytes(copy.payload);
    s->will.qos = copy.qos;
    s->will.retain = copy.retain;
    if (copy.has_expiry) {
        p->message_expiry_s = copy.expiry_s;
        mqtt_set(p, PROP_MESSAGE_EXPIRY);
    }
    if (c->o.will_delay_s > 0) {
        p->will_delay_s = c->o.will_delay_s;
        mqtt_set(p, PROP_WILL_DELAY);
    }
    return SYMBOLON_OK;
}

static enum symbolon_status make_engine(struct symbolon_client *c, struct symbolon_error *error)
{
    const struct symbolon_client_options *o = &c->o;
    struct engine_settings s = {
        .version = o->mqtt_version == SYMBOLON_MQTT_3_1_1 ? MQTT_3_1_1 : MQTT_5,
        .client_id = o->client_id == NULL ? "" : o->client_id,
        .keep_session = o->keep_session,
        .session_expiry_s = o->session_expiry_s,
        .keep_alive_s = o->keep_alive_s,
        .receive_maximum = o->receive_maximum,
        .max_packet_size = o->max_packet_size,
        .max_inflight = o->max_inflight,
        .max_queue = o->max_queue,
        .manual_ack = o->manual_ack,
        .relay = o->relay,
        .bridge = o->bridge,
        .resubscribe = o->resubscribe,
        .resend_qos2 = o->resend_qos2,
        .topic_alias_maximum = o->topic_alias_maximum,
        .topic_aliases = o->topic_aliases,
        .request_response_info = o->request_response_info,
        .no_problem_info = o->no_problem_info,
    };
    enum symbolon_status st = make_will(c, o->will, &s, error);

    if (st == SYMBOLON_OK)
        st = user_properties_encode(o->connect_properties, o->connect_property_count, &c->connect_properties,
                                    error);
    s.connect_properties = buf_span(&c->connect_properties);
    c->o.connect_properties = NULL; /* like the Will */
    /* Of a session continued without a store we do not know which identifiers the broker has in its hands: one taken
     * for a QoS 2 message of long ago would make it drop ours. */
    if (o->keep_session && o->store_dir == NULL &&
        random_bytes(&s.first_packet_id, sizeof s.first_packet_id) != ST_OK)
        s.first_packet_id = 0;

    c->o.will = NULL; /* borrowed by the caller's options only */
    engine_init(&c->engine, &s, &client_engine_events, c);
    return st;
}

static enum symbolon_status make_tls(struct symbolon_client *c, struct symbolon_error *error)
{
    static const char *const mqtt[] = { "mqtt", NULL }; /* MT-6 */
    static const char *const http[] = { "http/1.1", NULL };
    struct tls_settings settings = { .ca_file = c->o.ca_file,
                                     .cert_file = c->o.cert_file,
                                     .key_file = c->o.key_file,
                                     .alpn = c->o.ws_path != NULL ? http : mqtt };
    CLEANUP(buf_wipe)
    struct buf pem = { .max = KEY_PEM_MAX };
    struct why why = { 0 };

    if (c->o.no_tls)
        return SYMBOLON_OK;
    enum status st = tls_config_new_client(&settings, &c->tls, &why);
    if (st == ST_OK && c->o.ace == SYMBOLON_ACE_RPK) {
        st = key_write_pem(key_inside(c->o.key), true, &pem);
        settings.raw_keys = true;
        settings.cert_file = settings.key_file = NULL;
        settings.key_pem = buf_span(&pem);
        if (st == ST_OK)
            st = tls_config_new_client(&settings, &c->tls_raw, &why);
    }
    if (st == ST_OK)
        return SYMBOLON_OK;
    return c->o.ca_file == NULL ? error_from(error, st, &why) : error_about(error, st, &why, c->o.ca_file);
}

static enum symbolon_status make_token(struct symbolon_client *c, struct symbolon_error *error)
{
    if (c->o.key != NULL) {
        enum symbolon_status st = symbolon_key_thumbprint(c->o.key, c->thumbprint, error);
        if (st != SYMBOLON_OK)
            return st;
    }
    if (c->o.token != NULL) {
        c->token_fixed = true;
        c->token.access_token = strdup(c->o.token);
        if (c->token.access_token == NULL)
            return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    }
    client_token_init(c);
    return SYMBOLON_OK;
}

static enum symbolon_status make_store(struct symbolon_client *c, struct symbolon_error *error)
{
    const struct store_dir_settings settings = { .dir = c->o.store_dir,
                                                 .client_id = c->o.client_id,
                                                 .max_bytes = c->o.store_max_bytes,
                                                 .fsync = c->o.store_fsync };
    struct now now = client_now(c);
    struct why why = { 0 };
    bool damaged;

    if (c->o.store_dir == NULL)
        return SYMBOLON_OK;
    enum status st = store_dir_open(&settings, now, &c->store, &damaged, &why);
    if (st == ST_OK)
        st = store_dir_load(c->store, &c->engine, now, &why);
    if (st != ST_OK)
        return error_about(error, st, &why, c->o.store_dir);
    c->engine.settings.store = &store_dir_functions;
    c->engine.settings.store_ctx = c->store;
    if (damaged)
        client_say(c, 0,
                   "the message store in %s was damaged: what it held is set aside as messages.db.damaged-*",
                   c->o.store_dir);
    return SYMBOLON_OK;
}

/* Options and events of callers that were compiled for an earlier version end where theirs did. */
static enum symbolon_status copy_options(struct symbolon_client *c,
                                         const struct symbolon_client_options *options,
                                         struct symbolon_error *error)
{
    const size_t first = offsetof(struct symbolon_client_options, mqtt_version);
    const size_t second = offsetof(struct symbolon_client_options, ws_path);
    const bool old = options->struct_size == first;

    if (!old && options->struct_size != sizeof *options && options->struct_size != second)
        return client_invalid(error, "struct_size", "made for another version of the library");
    memcpy(&c->o, options, options->struct_size);
    c->o.key = NULL;
    if (options->events != NULL)
        memcpy(&c->events, options->events,
               old ? offsetof(struct symbolon_events, uploaded) : sizeof c->events);
    return SYMBOLON_OK;
}

static enum symbolon_status fill(struct symbolon_client *c, struct symbolon_error *error)
{
    enum symbolon_status st;

    if (!keep_all(c))
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory, or options of more than a megabyte");
    st = make_engine(c, error);
    if (st == SYMBOLON_OK)
        st = make_tls(c, error);
    if (st == SYMBOLON_OK)
        st = make_token(c, error);
    return st == SYMBOLON_OK ? make_store(c, error) : st;
}

enum symbolon_status client_take_options(struct symbolon_client *c,
                                         const struct symbolon_client_options *options,
                                         struct symbolon_error *error)
{
    enum symbolon_status st = copy_options(c, options, error);

    if (st != SYMBOLON_OK)
        return st;
    c->o.key = symbolon_key_ref(options->key);
    st = check_options(&c->o, error);
    if (st != SYMBOLON_OK)
        return st;
    fill_defaults(&c->o);
    return fill(c, error);
}
