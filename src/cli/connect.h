/* cli/connect.h - the options all commands share that talk to a broker or an authorization server, and the running of
 * a client until it is done. */
#ifndef SYMBOLON_CLI_CONNECT_H
#define SYMBOLON_CLI_CONNECT_H

#include "cli/command.h"
#include "cli/option.h"
#include "cli/profile.h"
#include "cli/properties.h"
#include "symbolon/client.h"

struct connect_options {
    /* broker */
    const char *host;
    int64_t port;
    const char *mqtt_id;
    int64_t keep_alive;
    bool keep_session;
    int64_t session_expiry;
    const char *user_name, *password;
    const char *version;
    const char *will_topic, *will_payload;
    int64_t will_qos;
    bool will_retain;
    const char *ca_file;
    bool insecure;
    bool no_tls;
    bool ws;
    const char *ws_path;
    int64_t timeout_s;
    bool debug;
    bool quiet;
    /* authorization */
    const char *as_url, *as_ca_file;
    struct text_list trust_as;
    const char *audience;
    struct text_list scope;
    const char *key;
    const char *client_id, *client_secret_file;
    const char *token_file;
    const char *pop;
    bool as_cbor;
    bool no_ace;
    bool no_cache;
    const char *profile;
    /* client_rows: of pub, sub and rr */
    const char *id_prefix, *url, *bind_address, *cert_file, *unix_path;
    const char *store_dir;
    int64_t store_max, max_queue, max_inflight;
    bool store_fsync;
    bool reconnect;
    int64_t reconnect_min_ms, reconnect_max_ms, reconnect_attempts;
    bool follow_reference;
    bool nodelay, os_certs;      /* what is done anyway */
    int64_t topic_aliases;       /* set by the command */
    struct text_list properties; /* -D */
    /* made of them by connect_options_prepare() */
    struct properties property;
    char *url_parts, *made_id;
    const char *url_topic;
};

#define CONNECT_OPTIONS_INIT                                               \
    {                                                                      \
        .keep_alive = 60, .will_qos = 0, .session_expiry = EXPIRY_NOT_SAID \
    }

#define EXPIRY_NOT_SAID (-2) /* -1 is "never", as mosquitto_sub has it */

extern const struct option_row broker_rows[];
extern const struct option_row ace_rows[];
extern const struct option_row client_rows[]; /* of pub, sub and rr */

/* Takes -D (of the packets in `places`: IN(AT_...)), -L and -I over into the other members. NULL or a complaint. */
const char *connect_options_prepare(struct connect_options *options, uint32_t places);
/* The client's options out of client_rows. */
void connect_options_fill(const struct connect_options *options, struct symbolon_client_options *out);
/* Their properties of the Will. */
void connect_options_will(const struct connect_options *options, struct symbolon_message *will,
                          struct symbolon_client_options *out);
/* -V as mosquitto_pub spells it; NULL is MQTT 5. False: no such version. */
bool connect_version(const char *name, enum symbolon_mqtt_version *ret);

/* A connected socket to a path of the file system; -1: nobody there. */
int connect_unix(const char *path);

void connect_options_done(struct connect_options *options);

/* One client on one loop, for one command. */
struct session {
    const char *command; /* "symbolon pub": in front of complaints */
    struct connect_options *options;
    struct profile profile;
    struct symbolon_loop *loop;
    struct symbolon_client *client;
    struct symbolon_timer *timeout;
    struct symbolon_key *key;
    char *token, *secret, *scope_json, *cache_dir;
    bool stopping; /* symbolon_client_disconnect() was called */
    int exit_code;
};

/* Reads profile, key and secrets, and makes the client; 0 (EXIT_DONE) or the exit code after a complaint. `arg` of the
 * events is `arg`. Call session_done() in both cases. */
int session_open(struct session *s, const char *command, struct connect_options *options, bool reconnect,
                 const struct symbolon_events *events, void *arg) MUST_CHECK;
/* Starts the client, and runs until session_finish() or session_end(). SIGINT and SIGTERM finish. Returns the exit
 * code. */
int session_run(struct session *s);
/* Says goodbye to the broker and ends; the first code other than EXIT_DONE stays. */
void session_finish(struct session *s, int exit_code);
/* From `disconnected` with retry_ms -1, or when there is nothing to say goodbye to. */
void session_end(struct session *s, int exit_code);
void session_note(struct session *s, int exit_code); /* only remembers it */
void session_done(struct session *s);

/* --debug output: the `log` event of every command. */
void session_log(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same about a new connection: under which name (MQTT 3.1.1 tells none that the broker gave) and over what. */
void session_log_connected(struct session *s, const struct symbolon_connected *connected);

/* Reads what --scope gave into AIF as JSON text: one JSON array, or any number of "pub:FILTER", "sub:FILTER",
 * "pub,sub:FILTER". Heap text in *ret_json; NULL if the list is empty. */
bool scope_of_options(const struct text_list *scope, char **ret_json, char *complaint, size_t complaint_cap);

#endif
