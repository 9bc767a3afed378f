/* What pub, sub and rr can say about their connection beyond what every command can: client_rows. */
#include "cli/connect.h"

#include "base/host_port.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define AT(member)     offsetof(struct connect_options, member)
#define HOUR_MS        3600000
#define STORE_EXPIRY_S 604800 /* a week: messages that wait need a session that does */

/* clang-format off */
const struct option_row client_rows[] = {
    { .name = "Connection:", .kind = OPTION_HEADING },
    { 'L', "url",                OPTION_TEXT,     AT(url),                "URL",    "mqtts://[NAME[:PW]@]HOST[:PORT]/TOPIC, mqtt://... (plain TCP), wss://HOST[:PORT]/PATH, ws://...: instead of -h, -p, -u, -P, -t, --ws and --no-tls" },
    { 'I', "id-prefix",          OPTION_TEXT,     AT(id_prefix),          "PREFIX", "Client Identifier: PREFIX and the process id" },
    { 'A', "bind",               OPTION_TEXT,     AT(bind_address),       "ADDRESS", "connect from this address of ours" },
    { 0,   "unix",               OPTION_TEXT,     AT(unix_path),          "PATH",   "connect to this Unix domain socket; with --no-ace --no-tls only" },
    { 0,   "cert",               OPTION_TEXT,     AT(cert_file),          "FILE",   "certificate (PEM) to show in the TLS handshake; --key is then its key. With --no-ace only" },
    { 'M', "max-inflight",       OPTION_NUMBER,   AT(max_inflight),       "N",      "QoS 1 and 2 messages of ours under way at once (default 64)", 1, 65535 },
    { 'D', "property",           OPTION_PROPERTY, AT(properties),         "COMMAND NAME VALUE", "a property of MQTT 5 as mosquitto's commands have it: connect receive-maximum 10, will will-delay-interval 5, publish user-property NAME VALUE, ..." },
    { 0,   "nodelay",            OPTION_FLAG,     AT(nodelay),            NULL,     "send without delay: done anyway" },
    { 0,   "tls-use-os-certs",   OPTION_FLAG,     AT(os_certs),           NULL,     "trust the system's certificates: done unless --cafile or a profile names others" },
    { .name = "Staying connected:", .kind = OPTION_HEADING },
    { 0,   "reconnect",          OPTION_FLAG,     AT(reconnect),          NULL,     "connect again when the connection is lost (sub, pub -l and --store do anyway)" },
    { 0,   "reconnect-min",      OPTION_SECONDS,  AT(reconnect_min_ms),   "S",      "first pause before that, in seconds (default 0.5); it doubles, with jitter", 0, HOUR_MS },
    { 0,   "reconnect-max",      OPTION_SECONDS,  AT(reconnect_max_ms),   "S",      "longest pause (default 60)", 0, 24 * HOUR_MS },
    { 0,   "reconnect-attempts", OPTION_NUMBER,   AT(reconnect_attempts), "N",      "give up after N attempts in a row that failed (default: never)", 1, UINT32_MAX },
    { 0,   "follow",             OPTION_FLAG,     AT(follow_reference),   NULL,     "go to the server the broker names when it sends us away (0x9C, 0x9D)" },
    { 0,   "store",              OPTION_TEXT,     AT(store_dir),          "DIR",    "keep unfinished QoS 1 and 2 messages in this folder, so that they survive this command; needs -i" },
    { 0,   "store-max",          OPTION_NUMBER,   AT(store_max),          "BYTES",  "what may wait in it (default 64 MiB)", 1, INT64_MAX },
    { 0,   "store-fsync",        OPTION_FLAG,     AT(store_fsync),        NULL,     "survive a power cut, too: slower" },
    { 0,   "max-queue",          OPTION_NUMBER,   AT(max_queue),          "N",      "messages that may wait for the broker (default 1000)", 1, 10000000 },
    { .kind = OPTION_END },
};
/* clang-format on */

/* ---- -L ---- */

static const struct scheme {
    const char *name;
    bool tls, ws;
} schemes[] = {
    { "mqtt://", false, false }, { "mqtts://", true, false }, { "ws://", false, true }, { "wss://", true, true }
};

static const char *take_authority(struct connect_options *o, char *authority)
{
    char *at = strrchr(authority, '@'), *place = at == NULL ? authority : at + 1;
    struct span host;
    uint16_t port;

    if (at != NULL) {
        *at = '\0';
        char *colon = strchr(authority, ':');
        if (colon != NULL) {
            *colon = '\0';
            o->password = colon + 1;
        }
        o->user_name = authority;
    }
    if (!host_port_parse(span_of_str(place), &host, &port))
        return "-L: HOST, HOST:PORT or [ADDRESS]:PORT follows the //, with a port from 1 to 65535";
    place += *place == '[';
    place[host.len] = '\0';
    o->host = place;
    o->port = port;
    return NULL;
}

static const char *take_url(struct connect_options *o)
{
    const struct scheme *scheme = NULL;

    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (strncmp(o->url, schemes[i].name, strlen(schemes[i].name)) == 0)
            scheme = &schemes[i];
    if (scheme == NULL)
        return "-L: a URL begins with mqtts://, mqtt://, wss:// or ws://";
    if (o->host != NULL || o->port != 0 || o->user_name != NULL || o->password != NULL)
        return "-L takes the place of -h, -p, -u and -P";
    o->url_parts = strdup(o->url + strlen(scheme->name));
    if (o->url_parts == NULL)
        return "out of memory";
    char *slash = strchr(o->url_parts, '/');
    if (slash != NULL && scheme->ws)
        o->ws_path = strchr(o->url, '/') + 2 + strcspn(strchr(o->url, '/') + 2, "/");
    else if (slash != NULL && slash[1] != '\0')
        o->url_topic = slash + 1;
    if (slash != NULL)
        *slash = '\0';
    o->ws = o->ws || scheme->ws;
    o->no_tls = !scheme->tls;
    return take_authority(o, o->url_parts);
}

/* ---- all together ---- */

static const char *check(const struct connect_options *o)
{
    if (o->id_prefix != NULL && o->mqtt_id != NULL)
        return "-I and -i are two ways to say one thing";
    if (o->unix_path != NULL && (!o->no_ace || !o->no_tls))
        return "--unix goes with --no-ace --no-tls";
    if (o->cert_file != NULL && (!o->no_ace || o->key == NULL))
        return "--cert goes with --no-ace, and needs --key";
    if (o->store_dir != NULL && o->mqtt_id == NULL)
        return "--store needs -i: messages that wait belong to a session, which has a name";
    if (o->reconnect_min_ms > 0 && o->reconnect_max_ms > 0 && o->reconnect_min_ms > o->reconnect_max_ms)
        return "--reconnect-min is more than --reconnect-max";
    return NULL;
}

const char *connect_options_prepare(struct connect_options *o, uint32_t places)
{
    const char *complaint = properties_read(&o->properties, places, &o->property);

    if (complaint == NULL && o->url != NULL)
        complaint = take_url(o);
    if (complaint == NULL)
        complaint = check(o);
    if (complaint == NULL && o->id_prefix != NULL) {
        if (asprintf(&o->made_id, "%s%ld", o->id_prefix, (long)getpid()) < 0) {
            o->made_id = NULL;
            return "out of memory";
        }
        o->mqtt_id = o->made_id;
    }
    if (o->property.session_expiry >= 0)
        o->session_expiry = o->property.session_expiry;
    return complaint;
}

static int open_unix(void *arg)
{
    const struct session *s = arg; /* the first member of what pub, sub and rr give to session_open() */

    return connect_unix(s->options->unix_path);
}

void connect_options_fill(const struct connect_options *c, struct symbolon_client_options *o)
{
    const struct properties *p = &c->property;

    o->bind_address = c->bind_address;
    o->topic_aliases = (uint16_t)c->topic_aliases;
    o->max_inflight = (uint16_t)c->max_inflight;
    o->max_queue = (size_t)c->max_queue;
    o->reconnect = o->reconnect || c->reconnect || c->store_dir != NULL;
    o->reconnect_min_ms = (uint32_t)c->reconnect_min_ms;
    o->reconnect_max_ms = (uint32_t)c->reconnect_max_ms;
    if (o->reconnect_min_ms > 60000 && o->reconnect_max_ms == 0)
        o->reconnect_max_ms = o->reconnect_min_ms;
    o->reconnect_attempts = (uint32_t)c->reconnect_attempts;
    o->follow_server_reference = c->follow_reference;
    o->store_dir = c->store_dir;
    o->store_max_bytes = (size_t)c->store_max;
    o->store_fsync = c->store_fsync;
    o->resend_qos2 = c->store_dir != NULL; /* rather twice than not at all, where waiting was asked for */
    if (c->store_dir != NULL && o->mqtt_version == SYMBOLON_MQTT_3_1_1)
        o->keep_session = true;
    if (c->store_dir != NULL && c->session_expiry == EXPIRY_NOT_SAID && o->mqtt_version == SYMBOLON_MQTT_5)
        o->session_expiry_s = STORE_EXPIRY_S;
    if (c->cert_file != NULL) {
        o->cert_file = c->cert_file;
        o->key_file = c->key;
    }
    if (c->unix_path != NULL)
        o->open_socket = open_unix;
    if (p->maximum_packet_size > 0)
        o->max_packet_size = (uint32_t)p->maximum_packet_size;
    if (p->receive_maximum > 0)
        o->receive_maximum = (uint16_t)p->receive_maximum;
    if (p->alias_maximum > 0)
        o->topic_alias_maximum = (uint16_t)p->alias_maximum;
    o->request_response_info = p->response_info > 0;
    o->no_problem_info = c->properties.count > 0 && p->problem_info == 0;
    o->connect_properties = p->user[AT_CONNECT].items;
    o->connect_property_count = p->user[AT_CONNECT].count;
}

static struct symbolon_bytes text(const char *s)
{
    return (struct symbolon_bytes){ s, s == NULL ? 0 : strlen(s) };
}

void connect_options_will(const struct connect_options *c, struct symbolon_message *will,
                          struct symbolon_client_options *o)
{
    const struct properties *p = &c->property;

    if (c->properties.count == 0)
        return;
    will->content_type = text(p->will_content_type);
    will->correlation_data = text(p->will_correlation_data);
    will->response_topic = text(p->will_response_topic);
    will->payload_is_utf8 = p->will_utf8 > 0;
    will->has_expiry = p->will_expiry >= 0;
    will->expiry_s = p->will_expiry >= 0 ? (uint32_t)p->will_expiry : 0;
    will->user_properties = p->user[AT_WILL].items;
    will->user_property_count = p->user[AT_WILL].count;
    o->will_delay_s = p->will_delay > 0 ? (uint32_t)p->will_delay : 0;
}

int connect_unix(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address) == 0 &&
        fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    close(fd);
    return -1;
}
