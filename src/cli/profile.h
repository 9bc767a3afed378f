/* cli/profile.h - what this machine usually connects to, written by `symbolon enroll`, so that later commands need only
 * a topic and a message. A JSON object; every member may be missing; a name nobody knows is refused.
 *   { "host": "broker.example", "port": 8883, "cafile": "/home/u/.config/symbolon/ca.pem", "as": "https://as.example",
 *     "as_cafile": "...", "client_id": "sensor-1", "client_secret_file": "...", "key": "/home/u/.../key.pem",
 *     "audience": "broker.example", "trusted_as": ["https://as.example"] }
 * Place: --profile, else $SYMBOLON_PROFILE, else $XDG_CONFIG_HOME/symbolon/config.json, else
 * ~/.config/symbolon/config.json. Command line options win over it. */
#ifndef SYMBOLON_CLI_PROFILE_H
#define SYMBOLON_CLI_PROFILE_H

#include "base/buf.h"
#include "base/status.h"
#include "cli/option.h"

struct profile {
    char *host;
    int64_t port; /* 0: none */
    char *ca_file;
    char *as_url;
    char *as_ca_file;
    char *client_id;
    char *client_secret_file;
    char *key;
    char *audience;
    struct text_list trusted_as; /* its texts are owned, too */
};

void profile_done(struct profile *profile);

enum status profile_parse(struct span text, struct profile *out, struct why *why) MUST_CHECK;
enum status profile_print(const struct profile *profile, struct buf *out) MUST_CHECK;

/* ST_OK with an empty profile if the file does not exist and was not named on the command line. */
enum status profile_load(const char *path_option, struct profile *out, struct why *why) MUST_CHECK;

/* Heap text; NULL when out of memory or when there is no home. */
char *profile_path(const char *path_option) MUST_CHECK;
/* The folder beside it: for the key and the certificate that enrolment stores. */
char *profile_folder(const char *path_option) MUST_CHECK;
char *token_cache_folder(void) MUST_CHECK;

#endif
