#include "cli/connect.h"

#include "base/utf8.h"
#include "client/private_file.h"
#include "codec/json.h"
#include "net/ws.h"
#include "token/ace_cbor.h"
#include "token/verifier.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TOKEN_FILE_MAX 65536
#define PACKET_MAX     268435460u /* whatever MQTT can carry: a person asked for it */
#define AT(member)     offsetof(struct connect_options, member)

/* clang-format off */
const struct option_row broker_rows[] = {
    { .name = "Broker:", .kind = OPTION_HEADING },
    { 'h', "host",           OPTION_TEXT,   AT(host),           "HOST",  "name or address of the broker (default: the profile's, else localhost)" },
    { 'p', "port",           OPTION_NUMBER, AT(port),           "PORT",  "its port (default: the profile's, else 8883; 1883 with --no-tls)", 1, 65535 },
    { 'i', "id",             OPTION_TEXT,   AT(mqtt_id),        "ID",    "MQTT Client Identifier (default: the broker assigns one)" },
    { 'k', "keepalive",      OPTION_NUMBER, AT(keep_alive),     "S",     "keep alive in seconds (default 60)", 1, 65535 },
    { 'c', "keep-session",   OPTION_FLAG,   AT(keep_session),   NULL,    "continue a session the broker still has (Clean Start 0); needs -i" },
    { 'x', "session-expiry", OPTION_NUMBER, AT(session_expiry), "S",     "how long the broker keeps the session after the connection ends (default 0, with -c for ever); -1: for ever", -1, UINT32_MAX },
    { 'V', "protocol",       OPTION_TEXT,   AT(version),        "V",     "mqttv5 (default) or mqttv311" },
    { 'u', "username",       OPTION_TEXT,   AT(user_name),      "NAME",  "user name; with --no-ace only" },
    { 'P', "pw",             OPTION_TEXT,   AT(password),       "PW",    "password; with --no-ace only. Others can see it in the list of processes" },
    { 0,   "will-topic",     OPTION_TEXT,   AT(will_topic),     "TOPIC", "topic of the Will, which the broker publishes if this client is lost" },
    { 0,   "will-payload",   OPTION_TEXT,   AT(will_payload),   "TEXT",  "its payload (default empty)" },
    { 0,   "will-qos",       OPTION_NUMBER, AT(will_qos),       "Q",     "its QoS (default 0)", 0, 2 },
    { 0,   "will-retain",    OPTION_FLAG,   AT(will_retain),    NULL,    "retain it" },
    { 0,   "cafile",         OPTION_TEXT,   AT(ca_file),        "FILE",  "PEM certificates to trust (default: the profile's, else the system's)" },
    { 0,   "insecure",       OPTION_FLAG,   AT(insecure),       NULL,    "accept a certificate with another name than HOST; for tests only" },
    { 0,   "no-tls",         OPTION_FLAG,   AT(no_tls),         NULL,    "plain TCP; with --no-ace only" },
    { 0,   "ws",             OPTION_FLAG,   AT(ws),             NULL,    "MQTT over WebSocket; the default port is then 443, or 80 with --no-tls" },
    { 0,   "ws-path",        OPTION_TEXT,   AT(ws_path),        "PATH",  "where the broker expects it (default /mqtt); means --ws" },
    { 'W', "timeout",        OPTION_NUMBER, AT(timeout_s),      "S",     "give up after S seconds in all (exit status 27)", 1, 4000000 },
    { 'd', "debug",          OPTION_FLAG,   AT(debug),          NULL,    "say on standard error what is going on; never tokens or keys" },
    { 0,   "quiet",          OPTION_FLAG,   AT(quiet),          NULL,    "no complaints; the exit status says it all" },
    { .kind = OPTION_END },
};

const struct option_row ace_rows[] = {
    { .name = "Authorization (ACE, RFC 9431):", .kind = OPTION_HEADING },
    { 0, "as",                 OPTION_TEXT, AT(as_url),             "URL",   "authorization server, or its token endpoint (default: the profile's, else what the broker hints at, if trusted)" },
    { 0, "as-cafile",          OPTION_TEXT, AT(as_ca_file),         "FILE",  "PEM certificates to trust for it (default: --cafile)" },
    { 0, "trust-as",           OPTION_LIST, AT(trust_as),           "URL",   "accept hints that name this authorization server; may be repeated" },
    { 0, "audience",           OPTION_TEXT, AT(audience),           "NAME",  "audience of the token (default: the profile's, else from hints, else the server's default for this client)" },
    { 0, "scope",              OPTION_LIST, AT(scope),              "SCOPE", "ask for this only: pub:FILTER, sub:FILTER, pub,sub:FILTER (may be repeated), or an AIF array in JSON (default: all that policy allows)" },
    { 0, "key",                OPTION_TEXT, AT(key),                "FILE",  "private key (PEM) the token is bound to; without one the server makes a secret" },
    { 0, "client-id",          OPTION_TEXT, AT(client_id),          "NAME",  "who we are at the authorization server" },
    { 0, "client-secret-file", OPTION_TEXT, AT(client_secret_file), "FILE",  "authenticate with the secret in this file (default: with --key, private_key_jwt)" },
    { 0, "token",              OPTION_TEXT, AT(token_file),         "FILE",  "use the token in this file and ask no server; needs --key" },
    { 0, "pop",                OPTION_TEXT, AT(pop),                "WAY",   "proof of possession: in MQTT by exporter (default) or challenge, or in the TLS handshake by rpk (raw public key, token published to authz-info first), psk (the token names the pre-shared key) or psk-kid (published first, the key's kid names it)" },
    { 0, "as-cbor",            OPTION_FLAG, AT(as_cbor),            NULL,    "talk CBOR to the authorization server instead of JSON" },
    { 0, "no-ace",             OPTION_FLAG, AT(no_ace),             NULL,    "no token at all: for public topics and other brokers" },
    { 0, "no-cache",           OPTION_FLAG, AT(no_cache),           NULL,    "neither read nor write the token cache" },
    { 0, "profile",            OPTION_TEXT, AT(profile),            "FILE",  "profile with defaults for all of this (see symbolon(1))" },
    { .kind = OPTION_END },
};
/* clang-format on */

void connect_options_done(struct connect_options *options)
{
    text_list_done(&options->trust_as);
    text_list_done(&options->scope);
    text_list_done(&options->properties);
    properties_done(&options->property);
    free(options->url_parts);
    free(options->made_id);
}

/* ---- scope ---- */

static bool scope_entry(struct js *array, const char *text, char *complaint, size_t cap)
{
    const char *colon = strchr(text, ':');
    struct span permissions = span_of(text, colon == NULL ? 0 : (size_t)(colon - text));
    bool both = span_eq_str(permissions, "pub,sub") || span_eq_str(permissions, "sub,pub");
    bool pub = both || span_eq_str(permissions, "pub"), sub = both || span_eq_str(permissions, "sub");
    struct js *entry = js_new_array(), *perms = js_new_array();

    if (!pub && !sub) {
        snprintf(complaint, cap, "--scope %s: write pub:FILTER, sub:FILTER or pub,sub:FILTER", text);
        js_unref(entry);
        js_unref(perms);
        return false;
    }
    enum status st = js_append_str(entry, span_of_str(colon + 1));
    if (st == ST_OK && pub)
        st = js_append_str(perms, SPAN("pub"));
    if (st == ST_OK && sub)
        st = js_append_str(perms, SPAN("sub"));
    if (st == ST_OK)
        st = js_append_take(entry, perms);
    else
        js_unref(perms);
    if (st == ST_OK)
        st = js_append_take(array, entry);
    else
        js_unref(entry);
    if (st != ST_OK)
        snprintf(complaint, cap, "--scope %s: %s", text, status_text(st));
    return st == ST_OK;
}

bool scope_of_options(const struct text_list *scope, char **ret_json, char *complaint, size_t complaint_cap)
{
    CLEANUP(js_unrefp)
    struct js *array = NULL;
    CLEANUP(buf_done)
    struct buf text = { .max = 262144 };
    size_t len;

    *ret_json = NULL;
    if (scope->count == 0)
        return true;
    if (scope->count == 1 && scope->items[0][0] == '[') {
        *ret_json = strdup(scope->items[0]);
        return *ret_json != NULL;
    }
    array = js_new_array();
    for (size_t i = 0; i < scope->count; i++)
        if (!scope_entry(array, scope->items[i], complaint, complaint_cap))
            return false;
    if (js_print(array, &text) != ST_OK || (*ret_json = (char *)buf_take(&text, &len)) == NULL) {
        snprintf(complaint, complaint_cap, "--scope: out of memory");
        return false;
    }
    return true;
}

/* ---- opening ---- */

static int read_private(const struct session *s, const char *path, struct buf *out)
{
    struct why why = { 0 };
    enum status st = private_file_read(path, out, &why);

    if (st == ST_OK)
        return EXIT_DONE;
    complain(s->command, "%s: %s", path, why.text);
    return st == ST_DENIED ? EXIT_UNTRUSTED : EXIT_FILE;
}

static int take_text(const struct session *s, const char *path, const struct buf *text, char **ret)
{
    *ret = text->len == 0 || !buf_ok(text) ? NULL : span_dup_str(buf_span(text));
    if (*ret != NULL)
        return EXIT_DONE;
    complain(s->command, "%s: nothing in it", path);
    return EXIT_FILE;
}

/* A secret alone in a file, a newline at its end allowed. */
static int read_secret(const struct session *s, const char *path, char **ret)
{
    CLEANUP(buf_wipe)
    struct buf text = { .max = TOKEN_FILE_MAX };
    int code = read_private(s, path, &text);

    while (text.len > 0 && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
        buf_truncate(&text, text.len - 1);
    return code == EXIT_DONE ? take_text(s, path, &text, ret) : code;
}

/* A token as text; the bytes of a CWT are written as JSON would have them. */
static int read_token(const struct session *s, const char *path, char **ret)
{
    CLEANUP(buf_wipe)
    struct buf bytes = { .max = TOKEN_FILE_MAX };
    CLEANUP(buf_wipe)
    struct buf text = { .max = 2 * TOKEN_FILE_MAX };
    int code = read_private(s, path, &bytes);

    if (code != EXIT_DONE || token_form(buf_span(&bytes)) != TOKEN_FORM_COSE)
        return code == EXIT_DONE ? read_secret(s, path, ret) : code;
    if (ace_token_text(buf_span(&bytes), &text) == ST_OK)
        return take_text(s, path, &text, ret);
    complain(s->command, "%s: not a token", path);
    return EXIT_FILE;
}

#define OR_PROFILE(option, of_profile) ((option) != NULL ? (option) : (of_profile))

static int open_credentials(struct session *s, struct symbolon_client_options *o)
{
    const struct connect_options *c = s->options;
    const char *key = OR_PROFILE(c->key, s->profile.key);
    const char *secret = c->client_secret_file;
    struct symbolon_error error;
    char complaint[256];
    int code;

    if (secret == NULL && c->key == NULL)
        secret = s->profile.client_secret_file;
    if (key != NULL && symbolon_key_load(key, &s->key, &error) != SYMBOLON_OK)
        return complain_error(s->command, &error);
    if (c->token_file != NULL && (code = read_token(s, c->token_file, &s->token)) != EXIT_DONE)
        return code;
    if (secret != NULL && (code = read_secret(s, secret, &s->secret)) != EXIT_DONE)
        return code;
    if (!scope_of_options(&c->scope, &s->scope_json, complaint, sizeof complaint)) {
        complain(s->command, "%s", complaint);
        return EXIT_USAGE;
    }
    o->key = s->key;
    o->token = s->token;
    o->as_client_secret = s->secret;
    o->scope_json = s->scope_json;
    return EXIT_DONE;
}

static bool ace_mode(const char *name, enum symbolon_ace_mode *ret)
{
    static const struct {
        const char *name;
        enum symbolon_ace_mode mode;
    } modes[] = {
        { "exporter", SYMBOLON_ACE_EXPORTER }, { "challenge", SYMBOLON_ACE_CHALLENGE },
        { "rpk", SYMBOLON_ACE_RPK },           { "psk", SYMBOLON_ACE_PSK },
        { "psk-kid", SYMBOLON_ACE_PSK_KID },
    };

    *ret = SYMBOLON_ACE_EXPORTER;
    for (size_t i = 0; name != NULL && i < COUNT_OF(modes); i++) {
        if (strcmp(modes[i].name, name) != 0)
            continue;
        *ret = modes[i].mode;
        return true;
    }
    return name == NULL;
}

static int open_ace(struct session *s, struct symbolon_client_options *o)
{
    const struct connect_options *c = s->options;

    if (!ace_mode(c->pop, &o->ace)) {
        complain(s->command, "--pop is exporter, challenge, rpk, psk or psk-kid, not %s", c->pop);
        return EXIT_USAGE;
    }
    o->as_cbor = c->as_cbor;
    for (size_t i = 0; i < c->trust_as.count; i++) {
        char *copy = strdup(c->trust_as.items[i]);
        if (copy == NULL || !text_list_add(&s->profile.trusted_as, copy)) {
            free(copy);
            return EXIT_FAILED;
        }
    }
    o->as_url = OR_PROFILE(c->as_url, s->profile.as_url);
    o->as_ca_file = OR_PROFILE(c->as_ca_file, s->profile.as_ca_file);
    o->trusted_as = s->profile.trusted_as.items;
    o->audience = OR_PROFILE(c->audience, s->profile.audience);
    o->as_client_id = OR_PROFILE(c->client_id, s->profile.client_id);
    if (!c->no_cache)
        s->cache_dir = token_cache_folder();
    o->token_cache_dir = s->cache_dir;
    return open_credentials(s, o);
}

/* As mosquitto_pub spells them. */
bool connect_version(const char *name, enum symbolon_mqtt_version *ret)
{
    static const char *const five[] = { "mqttv5", "5" }, *const three[] = { "mqttv311", "311", "4" };

    *ret = SYMBOLON_MQTT_5;
    for (size_t i = 0; name != NULL && i < COUNT_OF(five); i++)
        if (strcmp(name, five[i]) == 0)
            return true;
    *ret = name == NULL ? SYMBOLON_MQTT_5 : SYMBOLON_MQTT_3_1_1;
    for (size_t i = 0; name != NULL && i < COUNT_OF(three); i++)
        if (strcmp(name, three[i]) == 0)
            return true;
    return name == NULL;
}

static int check_usage(const struct session *s)
{
    const struct connect_options *c = s->options;

    enum symbolon_mqtt_version version;

    if (!connect_version(c->version, &version)) {
        complain(s->command, "-V %s: MQTT 5 (mqttv5) and 3.1.1 (mqttv311) are spoken", c->version);
        return EXIT_USAGE;
    }
    if (version == SYMBOLON_MQTT_3_1_1 && c->session_expiry != 0 && c->session_expiry != EXPIRY_NOT_SAID) {
        complain(s->command, "-x: in MQTT 3.1.1 the broker alone decides how long it keeps a session");
        return EXIT_USAGE;
    }
    if ((c->no_tls || c->user_name != NULL || c->password != NULL) && !c->no_ace) {
        complain(s->command,
                 "--no-tls, -u and -P go with --no-ace only: a token never goes over plain TCP, and takes "
                 "the place of a password");
        return EXIT_USAGE;
    }
    if (c->keep_session && c->mqtt_id == NULL) {
        complain(s->command, "-c needs -i: a session is found by its Client Identifier");
        return EXIT_USAGE;
    }
    if (c->will_topic == NULL && (c->will_payload != NULL || c->will_retain || c->will_qos != 0)) {
        complain(s->command, "a Will needs --will-topic");
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

/* A session asked to be continued is asked to be kept, as by mosquitto_sub. */
static uint32_t session_expiry(const struct connect_options *c, enum symbolon_mqtt_version version)
{
    if (version == SYMBOLON_MQTT_3_1_1)
        return 0;
    if (c->session_expiry == EXPIRY_NOT_SAID)
        return c->keep_session ? UINT32_MAX : 0;
    return c->session_expiry < 0 ? UINT32_MAX : (uint32_t)c->session_expiry;
}

static void broker_options(const struct session *s, struct symbolon_client_options *o)
{
    const struct connect_options *c = s->options;
    /* The profile's port belongs to the profile's host. */
    bool of_profile = c->host == NULL || (s->profile.host != NULL && strcmp(c->host, s->profile.host) == 0);

    o->host = c->host != NULL ? c->host : s->profile.host != NULL ? s->profile.host : "localhost";
    if (c->ws || c->ws_path != NULL)
        o->ws_path = c->ws_path != NULL ? c->ws_path : WS_PATH;
    bool usual = !c->no_tls && o->ws_path == NULL; /* the profile's port is the one for this */
    o->port = (uint16_t)(c->port != 0 ? c->port : of_profile && usual ? s->profile.port : 0);
    o->no_tls = c->no_tls;
    o->ca_file = OR_PROFILE(c->ca_file, s->profile.ca_file);
    o->insecure = c->insecure;
    (void)connect_version(c->version, &o->mqtt_version); /* checked before */
    o->client_id = c->mqtt_id;
    o->keep_session = c->keep_session;
    o->session_expiry_s = session_expiry(c, o->mqtt_version);
    o->keep_alive_s = (uint16_t)c->keep_alive;
    o->max_packet_size = PACKET_MAX;
    o->user_name = c->user_name;
    if (c->password != NULL)
        o->password = (struct symbolon_bytes){ c->password, strlen(c->password) };
}

int session_open(struct session *s, const char *command, struct connect_options *options, bool reconnect,
                 const struct symbolon_events *events, void *arg)
{
    struct symbolon_client_options o = SYMBOLON_CLIENT_OPTIONS_INIT;
    struct symbolon_message will = { 0 };
    struct symbolon_error error;
    struct why why = { 0 };

    *s = (struct session){ .command = command, .options = options };
    int code = check_usage(s);
    if (code != EXIT_DONE)
        return code;
    if (profile_load(options->profile, &s->profile, &why) != ST_OK) {
        complain(command, "profile: %s", why.text);
        return EXIT_FILE;
    }
    broker_options(s, &o);
    if (options->will_topic != NULL) {
        will.topic = (struct symbolon_bytes){ options->will_topic, strlen(options->will_topic) };
        if (options->will_payload != NULL)
            will.payload = (struct symbolon_bytes){ options->will_payload, strlen(options->will_payload) };
        will.qos = (uint8_t)options->will_qos;
        will.retain = options->will_retain;
        connect_options_will(options, &will, &o);
        o.will = &will;
    }
    o.reconnect = reconnect;
    o.resubscribe = true;
    connect_options_fill(options, &o);
    o.events = events;
    o.arg = arg;
    if (!options->no_ace)
        code = open_ace(s, &o);
    if (code != EXIT_DONE)
        return code;
    enum symbolon_status st = symbolon_loop_new(&s->loop, &error);
    if (st == SYMBOLON_OK)
        st = symbolon_client_new(s->loop, &o, &s->client, &error);
    return st == SYMBOLON_OK ? EXIT_DONE : complain_error(command, &error);
}

void session_done(struct session *s)
{
    symbolon_timer_cancel(s->timeout);
    symbolon_client_free(s->client);
    symbolon_loop_free(s->loop);
    symbolon_key_unref(s->key);
    symbolon_free(s->token);
    symbolon_free(s->secret);
    free(s->scope_json);
    free(s->cache_dir);
    profile_done(&s->profile);
}

/* ---- running ---- */

void session_log(struct session *s, const char *fmt, ...)
{
    CLEANUP(freep)
    char *text = NULL;
    va_list args;

    if (!s->options->debug)
        return;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    if (text != NULL)
        utf8_tame(text); /* some of it comes from brokers */
    fprintf(stderr, "%s: %s\n", s->command, text == NULL ? "out of memory" : text);
}

void session_log_connected(struct session *s, const struct symbolon_connected *connected)
{
    bool named = connected->client_id[0] != '\0';

    session_log(s, "connected%s%s%s%s", named ? " as " : "", connected->client_id,
                connected->tls == NULL ? "" : " over ", connected->tls == NULL ? "" : connected->tls);
}

void session_note(struct session *s, int exit_code)
{
    if (s->exit_code == EXIT_DONE)
        s->exit_code = exit_code;
}

void session_end(struct session *s, int exit_code)
{
    session_note(s, exit_code);
    symbolon_loop_stop(s->loop);
}

/* With the properties of -D disconnect; false: there are none, or they make no sense. */
static bool say_goodbye(struct session *s)
{
    const struct connect_options *o = s->options;
    const struct properties *p = &o->property;
    struct symbolon_goodbye goodbye = { .user_properties = p->user[AT_DISCONNECT].items,
                                        .user_property_count = p->user[AT_DISCONNECT].count };
    struct symbolon_error error;

    if (o->properties.count == 0)
        return false;
    goodbye.has_session_expiry = p->goodbye_session_expiry >= 0;
    goodbye.session_expiry_s = goodbye.has_session_expiry ? (uint32_t)p->goodbye_session_expiry : 0;
    if (symbolon_client_disconnect_with(s->client, &goodbye, &error) == SYMBOLON_OK)
        return true;
    session_note(s, complain_error(s->command, &error));
    return false;
}

void session_finish(struct session *s, int exit_code)
{
    session_note(s, exit_code);
    if (s->stopping)
        return;
    s->stopping = true;
    if (!say_goodbye(s))
        symbolon_client_disconnect(s->client, 0);
}

static void timeout_over(void *arg)
{
    struct session *s = arg;

    s->timeout = NULL;
    if (!s->options->quiet)
        complain(s->command, "%lld s are over", (long long)s->options->timeout_s);
    session_finish(s, EXIT_TIMEOUT);
}

static void signalled(void *arg, int signum)
{
    struct session *s = arg;

    session_log(s, "signal %d", signum);
    session_finish(s, EXIT_DONE);
}

int session_run(struct session *s)
{
    struct symbolon_error error;
    enum symbolon_status st = symbolon_loop_on_signal(s->loop, SIGINT, signalled, s, &error);

    if (st == SYMBOLON_OK)
        st = symbolon_loop_on_signal(s->loop, SIGTERM, signalled, s, &error);
    if (st == SYMBOLON_OK && s->options->timeout_s > 0) {
        s->timeout = symbolon_loop_after(s->loop, (uint32_t)(s->options->timeout_s * 1000), timeout_over, s);
        if (s->timeout == NULL)
            return EXIT_FAILED;
    }
    if (st != SYMBOLON_OK)
        return complain_error(s->command, &error);
    symbolon_loop_run(s->loop);
    return s->exit_code;
}
