#include "cli/bench_login.h"

#include "base/host_port.h"
#include "client/key_inner.h"
#include "net/ws.h"
#include "symbolon/ace.h"

#include <stdlib.h>

#define PORT_TLS   8883
#define PORT_PLAIN 1883
#define PORT_WS    80
#define PORT_WSS   443
#define TOKEN_MAX  65535

/* ---- where ---- */

/* HOST, HOST:PORT, [ADDRESS], [ADDRESS]:PORT; a path only for WebSocket, a trailing "/" is none. */
static bool read_authority(const char *text, struct bench_target *t)
{
    struct span all = span_of_str(text), host;
    size_t slash = span_find(all, '/', 0);
    bool path = slash + 1 < all.len;

    if (!host_port_parse(span_cut(all, 0, slash), &host, &t->port) || (path && t->ws_path == NULL))
        return false;
    t->port_given = t->port != 0;
    t->url_host = span_dup_str(host);
    if (!path)
        return t->url_host != NULL;
    free(t->ws_path);
    t->ws_path = strdup(text + slash);
    return t->url_host != NULL && t->ws_path != NULL && ws_path_valid(t->ws_path);
}

static bool read_word(const char *word, struct connect_options *o, struct bench_target *t)
{
    const char *scheme_end = strstr(word, "://");

    if (scheme_end == NULL)
        return strchr(word, ':') != strrchr(word, ':') && word[0] != '['
                   ? (t->url_host = strdup(word)) != NULL /* an IPv6 address */
                   : read_authority(word, t);
    struct span scheme = span_of(word, (size_t)(scheme_end - word));
    bool ws = span_eq_str(scheme, "ws") || span_eq_str(scheme, "wss");
    if (span_eq_str(scheme, "mqtt") || span_eq_str(scheme, "ws"))
        o->no_tls = true;
    else if (!ws && !span_eq_str(scheme, "mqtts"))
        return false;
    if (ws && (t->ws_path = strdup(WS_PATH)) == NULL)
        return false;
    return read_authority(scheme_end + 3, t);
}

static bool read_version(const char *name, enum mqtt_version *ret)
{
    static const struct {
        const char *name;
        enum mqtt_version version;
    } names[] = {
        { "mqttv5", MQTT_5 },  { "5", MQTT_5 },     { "mqttv311", MQTT_3_1_1 },
        { "311", MQTT_3_1_1 }, { "4", MQTT_3_1_1 },
    };

    *ret = MQTT_5;
    for (size_t i = 0; name != NULL && i < COUNT_OF(names); i++)
        if (strcmp(name, names[i].name) == 0) {
            *ret = names[i].version;
            return true;
        }
    return name == NULL;
}

static void take_profile(const struct connect_options *o, struct bench_target *t)
{
    const struct profile *p = &t->profile;
    const char *named = t->url_host != NULL ? t->url_host : o->host;
    /* The profile's port belongs to the profile's host. */
    bool of_profile = named == NULL || (p->host != NULL && strcmp(named, p->host) == 0);

    t->host = named != NULL ? named : p->host != NULL ? p->host : "localhost";
    t->plain = o->no_tls;
    if (o->port != 0) {
        t->port = (uint16_t)o->port;
        t->port_given = true;
    }
    if (t->port == 0 && of_profile && !t->plain && p->port != 0) {
        t->port = (uint16_t)p->port;
        t->port_given = true;
    }
    if (t->port == 0)
        t->port = t->ws_path != NULL ? (t->plain ? PORT_WS : PORT_WSS) : t->plain ? PORT_PLAIN : PORT_TLS;
    t->ca_file = o->ca_file != NULL ? o->ca_file : p->ca_file;
    t->ace = !o->no_ace && !t->plain && o->user_name == NULL &&
             (o->token_file != NULL || o->as_url != NULL || o->trust_as.count > 0 ||
              (of_profile && p->as_url != NULL));
}

int bench_target(const char *command, struct connect_options *o, const struct text_list *words,
                 struct bench_target *t)
{
    struct why why = { "", "", 0 };

    *t = (struct bench_target){ 0 };
    if (words->count > 1 || (words->count == 1 && !read_word(words->items[0], o, t))) {
        complain(command,
                 "%s: name one broker: HOST, mqtt://HOST[:PORT], mqtts://HOST[:PORT], ws:// or "
                 "wss://HOST[:PORT][/PATH]",
                 words->items[words->count - 1]);
        return EXIT_USAGE;
    }
    if (!read_version(o->version, &t->version)) {
        complain(command, "-V %s: MQTT 5 (mqttv5) and 3.1.1 (mqttv311) are spoken", o->version);
        return EXIT_USAGE;
    }
    if (profile_load(o->profile, &t->profile, &why) != ST_OK) {
        complain(command, "profile: %s", why.text);
        return EXIT_FILE;
    }
    take_profile(o, t);
    if (t->plain && (o->token_file != NULL || o->as_url != NULL)) {
        complain(command, "a token never goes over plain TCP");
        return EXIT_USAGE;
    }
    return GO_ON;
}

void bench_target_done(struct bench_target *t)
{
    profile_done(&t->profile);
    free(t->url_host);
    free(t->ws_path);
}

/* ---- as whom ---- */

struct fetch {
    struct session session;
    struct login *login;
    size_t wanted;
};

static int add_token(struct login *login, const char *access_token, const struct symbolon_key *key,
                     const char *command)
{
    CLEANUP(buf_wipe)
    struct buf bytes = { .max = TOKEN_MAX };
    uint8_t *room = buf_room(&bytes, TOKEN_MAX);
    struct symbolon_error error;
    size_t len = 0;

    if (room == NULL)
        return EXIT_FAILED;
    if (symbolon_token_bytes(access_token, room, TOKEN_MAX, &len, &error) != SYMBOLON_OK)
        return complain_error(command, &error);
    buf_added(&bytes, len);
    return login_add(login, buf_span(&bytes), key_inside(key)) == ST_OK ? EXIT_DONE : EXIT_FAILED;
}

static void fetch_next(void *arg)
{
    struct fetch *f = arg;
    struct symbolon_error error;

    if (symbolon_client_fetch_token(f->session.client, f->wanted > 1, &error) != SYMBOLON_OK)
        session_end(&f->session, complain_error(f->session.command, &error));
}

static void on_token(void *arg, int64_t expires_at_s UNUSED, bool in_session UNUSED)
{
    struct fetch *f = arg;
    const struct symbolon_token *token = symbolon_client_token(f->session.client);
    int code = EXIT_NO_TOKEN;

    if (token != NULL)
        code = add_token(f->login, token->access_token, token->key != NULL ? token->key : f->session.key,
                         f->session.command);
    if (code != EXIT_DONE || f->login->count >= f->wanted)
        session_end(&f->session, code);
    else if (!symbolon_loop_post(f->session.loop, fetch_next, f))
        session_end(&f->session, EXIT_FAILED);
}

static void on_disconnected(void *arg, const struct symbolon_error *why, int64_t retry_ms UNUSED)
{
    struct fetch *f = arg;

    session_end(&f->session, why->status == SYMBOLON_OK ? EXIT_DONE : complain_error(f->session.command, why));
}

static const struct symbolon_events events = { .token = on_token, .disconnected = on_disconnected };

/* The session is opened with what matters for tokens; the broker is asked only for hints. */
static int fetch_tokens(const char *command, struct connect_options *o, size_t wanted,
                        const struct bench_target *t, struct login *login)
{
    struct fetch f = { .login = login, .wanted = wanted };
    struct connect_options of_session = *o;

    of_session.host = t->host;
    of_session.port = t->port;
    of_session.mqtt_id = NULL;
    int code = session_open(&f.session, command, &of_session, false, &events, &f);
    if (code == EXIT_DONE && o->token_file != NULL) {
        if (f.session.key == NULL) {
            complain(command, "--token needs --key: the private key it is bound to");
            code = EXIT_USAGE;
        } else {
            code = add_token(login, f.session.token, f.session.key, command);
        }
    } else if (code == EXIT_DONE) {
        fetch_next(&f);
        code = session_run(&f.session);
    }
    session_done(&f.session);
    return code == EXIT_DONE && login->count == 0 ? EXIT_NO_TOKEN : code == EXIT_DONE ? GO_ON : code;
}

int bench_login(const char *command, struct connect_options *o, const char *tokens_file, size_t fetch,
                const struct bench_target *t, struct login *login)
{
    struct why why = { "", "", 0 };

    *login = (struct login){ .user = o->user_name, .password = o->password };
    bool tokens = tokens_file != NULL || t->ace;
    if (tokens && o->insecure) {
        complain(command, "--insecure: a proof of possession is never made for a server nobody knows");
        return EXIT_USAGE;
    }
    if (tokens_file == NULL)
        return t->ace ? fetch_tokens(command, o, fetch, t, login) : GO_ON;
    if (t->plain) {
        complain(command, "a token never goes over plain TCP");
        return EXIT_USAGE;
    }
    enum status st = login_read_tokens(login, tokens_file, &why);
    if (st == ST_OK)
        return GO_ON;
    complain(command, "%s: %s", tokens_file, why.text);
    return EXIT_FILE;
}
