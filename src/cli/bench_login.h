/* cli/bench_login.h - where a measuring command (bench, doctor) goes, and as whom. */
#ifndef SYMBOLON_CLI_BENCH_LOGIN_H
#define SYMBOLON_CLI_BENCH_LOGIN_H

#include "cli/connect.h"
#include "load/login.h"
#include "mqtt/frame.h"

struct bench_target {
    struct profile profile;
    char *url_host; /* owned; NULL: not from a URL */
    const char *host;
    uint16_t port;
    bool port_given; /* and not a default */
    bool plain;
    char *ws_path; /* owned; NULL: no WebSocket */
    const char *ca_file;
    enum mqtt_version version;
    bool ace; /* there is a source of tokens, and nothing against it */
};

/* From options, at most one URL or host in `words` (which may set options->no_tls), and the profile. GO_ON, or the exit
 * code after a complaint. Call bench_target_done() in both cases. */
int bench_target(const char *command, struct connect_options *options, const struct text_list *words,
                 struct bench_target *target) MUST_CHECK;
void bench_target_done(struct bench_target *target);

/* Tokens and keys, or user name and password, into `login`; tokens come from `tokens_file` (may be NULL), --token, or
 * `fetch` times from the authorization server. GO_ON or the exit code. */
int bench_login(const char *command, struct connect_options *options, const char *tokens_file, size_t fetch,
                const struct bench_target *target, struct login *login) MUST_CHECK;

#endif
