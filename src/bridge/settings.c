#include "bridge/settings.h"

#include "base/host_port.h"

#define NAME_MAX_BYTES 64
#define NODE_MAX_BYTES 20
#define PIN_BYTES      32

static const char *const directions[] = { "out", "in", "both", NULL };
static const char *const versions[] = { "5", "3.1.1", NULL };

/* clang-format off */
#define T(member) AT(struct bridge_topic_config, member)
static const struct config_setting topic_rows[] = {
    { "filter", CONFIG_STRING, T(filter), .dflt = "", .example = "sensors/#",
      .help = "Topic filter, without the prefixes. Empty: the prefixes are whole topics." },
    { "direction", CONFIG_ENUM, T(direction), .dflt = "out", .choices = directions,
      .help = "`out`: from this broker to the other one; `in`: the other way; `both`." },
    { "qos", CONFIG_INT, T(qos), .dflt = "2", .max = 2, .min = 0,
      .help = "The most that messages go over with; what was published with less stays as it is." },
    { "local_prefix", CONFIG_STRING, T(local_prefix), .dflt = "",
      .help = "Stands in front of the filter on this broker, exactly as written: `site7/` with its slash." },
    { "remote_prefix", CONFIG_STRING, T(remote_prefix), .dflt = "", .example = "site7/",
      .help = "The same on the other broker." },
    { NULL },
};
static const struct config_table topic_table = { "topic", topic_rows, sizeof(struct bridge_topic_config), NULL };

#define B(member) AT(struct bridge_config, member)
static const struct config_setting bridge_rows[] = {
    { "name", CONFIG_STRING, B(name), .flags = CONFIG_REQUIRED, .example = "hub",
      .help = "How the log and the state topic call it: letters, digits, `-`, `_` and `.`." },
    { "addresses", CONFIG_STRINGS, B(addresses), .min = 1, .max = 16,
      .help = "`host:port` of the other broker, or of several that can take its place: after each failure the next one is tried. Without a port 8883, or 1883 without TLS." },
    { "version", CONFIG_ENUM, B(version), .dflt = "5", .choices = versions,
      .help = "MQTT version spoken with it. With 3.1.1 everything a message carries beside topic and payload is lost." },
    { "client_id", CONFIG_STRING, B(client_id),
      .help = "Client Identifier there, under which it keeps messages for us; by default `bridge-` and the name. Brokers that come to the same one need different ones." },
    { "topics", CONFIG_RECORDS, B(topics), .record = &topic_table, .min = 1, .max = RULES_MAX,
      .help = "What goes over. A topic goes over by the first entry that matches." },
    { "tls", CONFIG_BOOL, B(tls), .dflt = "true",
      .help = "Without TLS only brokers on this machine can be reached: the addresses must be loopback addresses." },
    { "ca", CONFIG_PATH, B(ca), .help = "PEM file with the authority of its certificate; by default the system's." },
    { "certificate", CONFIG_PATH, B(certificate), .help = "PEM file with the certificate to show to it." },
    { "key", CONFIG_PATH, B(key), .help = "PEM file with the private key of that." },
    { "server_name", CONFIG_STRING, B(server_name),
      .help = "Name its certificate must carry, where that is not the host of the address." },
    { "pin", CONFIG_STRING, B(pin),
      .help = "SHA-256 of its certificate (DER) in hexadecimal: then that certificate alone is trusted, and by itself." },
    { "user_name", CONFIG_STRING, B(user_name), .help = "User Name there." },
    { "password_file", CONFIG_PATH, B(password_file), .help = "File with the password that goes with it." },
    { "as", CONFIG_STRING, B(as), .example = "https://as.example",
      .help = "Authorization server from which to get tokens for it (RFC 9431), instead of a password. The scope asked for is made of `topics`; tokens are renewed ahead of their end." },
    { "as_ca", CONFIG_PATH, B(as_ca), .help = "PEM file with the authority of that server's certificate; by default `ca`." },
    { "as_client_id", CONFIG_STRING, B(as_client_id), .help = "Our name at the authorization server." },
    { "as_client_secret_file", CONFIG_PATH, B(as_client_secret_file),
      .help = "File with our secret there; without it `pop_key` signs for us (private_key_jwt)." },
    { "pop_key", CONFIG_PATH, B(pop_key),
      .help = "PEM file with the private key that tokens are bound to; by default the authorization server makes a secret." },
    { "audience", CONFIG_STRING, B(audience), .help = "Its name at the authorization server." },
    { "keep_alive", CONFIG_DURATION_S, B(keep_alive_s), .dflt = "60s", .min = 1, .max = 65535,
      .help = "A connection on which nothing has come for so long is tried with PINGREQ, and left 20 s later." },
    { "connect_timeout", CONFIG_DURATION_MS, B(connect_timeout_ms), .dflt = "10s", .min = 100, .max = 600000,
      .help = "Time for a connection to be made, up to CONNACK." },
    { "reconnect_min", CONFIG_DURATION_MS, B(reconnect_min_ms), .dflt = "500ms", .min = 10, .max = 3600000,
      .help = "First pause before the next attempt; it doubles each time, and up to half of it is taken off at random." },
    { "reconnect_max", CONFIG_DURATION_MS, B(reconnect_max_ms), .dflt = "60s", .min = 10, .max = 86400000,
      .help = "The longest pause." },
    { "session_expiry", CONFIG_DURATION_S, B(session_expiry_s), .dflt = "7d", .min = 1, .max = 4294967295,
      .help = "How long the other broker shall keep messages for us while we are away. It may allow less, and in 3.1.1 decides alone." },
    { "max_inflight", CONFIG_INT, B(max_inflight), .dflt = "0", .max = 10000, .unit = "messages",
      .help = "QoS 1 and 2 messages under way at a time in each direction; 0: 100, and 20 with version 3.1.1, more than which mosquitto does not bear from clients that it cannot tell. What waits beyond stays in the queue of this broker's session `$bridge/NAME` (`session.max_queue_messages`, `session.max_queue_bytes`), or in the other broker's." },
    { "bridge_bit", CONFIG_BOOL, B(bridge_bit), .dflt = "false",
      .help = "With version 3.1.1 and mosquitto: tell it that we are a bridge. It then does not send back what came from us, and keeps the retained flag. Brokers that do not know this refuse the connection." },
    { "notifications", CONFIG_BOOL, B(notifications), .dflt = "true",
      .help = "Publish `1` while connected and `0` while not, retained, on this broker." },
    { "notification_topic", CONFIG_STRING, B(notification_topic),
      .help = "Topic for that; by default `$SYS/broker/connection/NAME/state`." },
    { "remote_notification_topic", CONFIG_STRING, B(remote_notification_topic),
      .help = "Publish the same there on the other broker; its Will says `0` when we are gone. By default not." },
    { NULL },
};
/* clang-format on */
const struct config_table bridge_config_table = { "bridge", bridge_rows, sizeof(struct bridge_config), NULL };

/* ---- parts ---- */

enum status bridge_config_rules(const struct bridge_config *config, struct rules **ret_rules,
                                struct buf *problem)
{
    const struct bridge_topic_config *topics = config->topics.items;
    struct rule_text texts[RULES_MAX];
    size_t count = config->topics.count;

    ASSERT(count <= RULES_MAX);
    for (size_t i = 0; i < count; i++)
        texts[i] = (struct rule_text){ .filter = topics[i].filter,
                                       .local_prefix = topics[i].local_prefix,
                                       .remote_prefix = topics[i].remote_prefix,
                                       .direction = (enum rule_direction)topics[i].direction,
                                       .qos = (uint8_t)topics[i].qos };
    return rules_new(texts, count, ret_rules, problem);
}

enum status bridge_address(const char *text, struct buf *host, uint16_t *ret_port)
{
    struct span name;

    if (!host_port_parse(span_of_str(text), &name, ret_port))
        return ST_MALFORMED;
    put_bytes(host, name);
    put_u8(host, '\0');
    return buf_ok(host) ? ST_OK : ST_NO_MEMORY;
}

void bridge_state_topic(const struct bridge_config *config, struct buf *out)
{
    if (!config->notifications)
        return;
    if (config->notification_topic != NULL)
        put_str(out, config->notification_topic);
    else
        put_fmt(out, "$SYS/broker/connection/%s/state", config->name);
    put_u8(out, '\0');
}

static int nibble(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum status bridge_pin(const struct bridge_config *config, struct buf *out)
{
    struct span text = span_of_str(config->pin);
    int high = -1;

    for (size_t i = 0; i < text.len; i++) {
        int digit = nibble(text.p[i]);
        if (text.p[i] == ':' && high < 0)
            continue;
        if (digit < 0)
            return ST_MALFORMED;
        if (high >= 0)
            put_u8(out, (uint8_t)(high << 4 | digit));
        high = high < 0 ? digit : -1;
    }
    return buf_ok(out) && out->len == PIN_BYTES && high < 0 ? ST_OK : ST_MALFORMED;
}

/* ---- what no single row can say ---- */

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static bool consists_of(const char *text, const char *allowed, size_t max)
{
    size_t len = strspn(text, allowed);

    return len > 0 && text[len] == '\0' && len <= max;
}

static bool name_ok(const char *name)
{
    return consists_of(name, LETTERS_AND_DIGITS "-_.", NAME_MAX_BYTES);
}

bool bridge_node_ok(const char *node)
{
    return consists_of(node, LETTERS_AND_DIGITS "-_", NODE_MAX_BYTES);
}

/* 127.example.com is somebody else's name. */
static bool is_loopback(const char *host)
{
    bool address = span_starts_with(span_of_str(host), SPAN("127.")) && consists_of(host, "0123456789.", 15);

    return address || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

static void check_addresses(const struct bridge_config *c, struct buf *problem)
{
    for (size_t i = 0; i < c->addresses.count; i++) {
        CLEANUP(buf_done)
        struct buf host = { .max = 1024 };
        uint16_t port;
        if (bridge_address(c->addresses.items[i], &host, &port) != ST_OK)
            put_fmt(problem, "%s is not host:port\n", c->addresses.items[i]);
        else if (!c->tls && !is_loopback((const char *)host.p))
            put_fmt(problem, "without TLS only this machine can be reached, by a loopback address, not %s\n",
                    c->addresses.items[i]);
    }
}

static void check_credentials(const struct bridge_config *c, struct buf *problem)
{
    CLEANUP(buf_done)
    struct buf pin = { .max = PIN_BYTES };

    if (!c->tls && (c->ca != NULL || c->certificate != NULL || c->key != NULL || c->pin != NULL ||
                    c->server_name != NULL || c->as != NULL))
        put_str(problem, "`ca`, `certificate`, `key`, `pin`, `server_name` and `as` need TLS\n");
    if ((c->certificate == NULL) != (c->key == NULL))
        put_str(problem, "`certificate` needs `key`, and `key` needs `certificate`\n");
    if (c->pin != NULL && bridge_pin(c, &pin) != ST_OK)
        put_str(problem, "`pin` is not 32 bytes in hexadecimal\n");
    if (c->password_file != NULL && c->user_name == NULL)
        put_str(problem, "`password_file` needs `user_name`\n");
    if (c->as != NULL && c->user_name != NULL)
        put_str(problem, "`as` takes the place of `user_name` (MT-50)\n");
    if (c->as != NULL && (c->as_client_id == NULL || (c->as_client_secret_file == NULL && c->pop_key == NULL)))
        put_str(problem, "`as` needs `as_client_id`, and `as_client_secret_file` or `pop_key`\n");
    if (c->as == NULL && (c->as_client_id != NULL || c->as_client_secret_file != NULL || c->pop_key != NULL ||
                          c->as_ca != NULL || c->audience != NULL))
        put_str(problem,
                "`as_ca`, `as_client_id`, `as_client_secret_file`, `pop_key` and `audience` need `as`\n");
}

static void check_topic(const char *topic, const char *name, struct buf *problem)
{
    struct topic_name parsed;
    struct why why = { 0 };

    if (topic != NULL && topic_name_parse(span_of_str(topic), &parsed, &why) != ST_OK)
        put_fmt(problem, "`%s`: %s (%s)\n", name, why.text, why.clause);
}

static void check_one(const struct bridge_config *c, struct buf *problem)
{
    CLEANUP(rules_freep)
    struct rules *rules = NULL;

    if (!name_ok(c->name))
        put_fmt(problem, "`name` takes letters, digits, - _ and . only, and at most %d\n", NAME_MAX_BYTES);
    check_addresses(c, problem);
    check_credentials(c, problem);
    check_topic(c->notification_topic, "notification_topic", problem);
    check_topic(c->remote_notification_topic, "remote_notification_topic", problem);
    if (c->reconnect_min_ms > c->reconnect_max_ms)
        put_str(problem, "`reconnect_min` is longer than `reconnect_max`\n");
    if (c->bridge_bit && c->version != BRIDGE_V3)
        put_str(problem, "`bridge_bit` is of version 3.1.1\n");
    if (bridge_config_rules(c, &rules, problem) == ST_OK)
        rules_check(rules, c->version == BRIDGE_V3 && !c->bridge_bit, problem);
}

void bridge_config_check(const struct config_records *bridges, struct buf *problem)
{
    for (size_t i = 0; i < bridges->count; i++) {
        const struct bridge_config *c = bridge_config_at(bridges, i);
        CLEANUP(buf_done)
        struct buf lines = { .max = CONFIG_PROBLEM_MAX };
        struct span all;

        check_one(c, &lines);
        all = buf_span(&lines);
        for (size_t at = 0, end; at < all.len; at = end + 1) {
            end = span_find(all, '\n', at);
            put_fmt(problem, "bridges[%zu]: %.*s\n", i + 1, SPAN_FMT(span_cut(all, at, end - at)));
        }
        for (size_t k = 0; k < i; k++)
            if (strcmp(c->name, bridge_config_at(bridges, k)->name) == 0)
                put_fmt(problem, "bridges[%zu]: another one is called %s already\n", i + 1, c->name);
    }
}
