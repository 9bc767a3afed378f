/* as/settings.h - what an operator can set: one table (settings.c) gives parser, defaults, --check-config and
 * documentation. */
#ifndef SYMBOLON_AS_SETTINGS_H
#define SYMBOLON_AS_SETTINGS_H

#include "base/config.h"

enum as_durability { AS_DURABILITY_NORMAL, AS_DURABILITY_COMMIT };

struct as_settings {
    char *issuer;       /* "https://as.example:8443"; may hold ${port} */
    char *state_dir;    /* as.db, keys/, pop.key */
    char *admin_socket; /* NULL: admin.sock in state_dir */
    char *admin_group;  /* NULL: nobody but us and root may connect */
    int durability;     /* enum as_durability */
    int log_level;      /* enum log_level */

    char *https_address;
    int64_t https_port;
    char *https_certificate;
    char *https_key;
    char *https_client_ca; /* NULL: no certificates asked for */
    int64_t https_max_connections;

    int64_t token_lifetime_s; /* for resource servers that do not say */
    int64_t token_max;        /* live tokens altogether */
    int64_t token_max_per_client;

    int64_t refresh_lifetime_s; /* from the first token of a family to the end of its last */
    int64_t refresh_idle_s;     /* unused for so long it is over */
    int64_t refresh_max_per_client;

    int64_t auth_failures_per_minute; /* of a client from one address; ten times that of an address */
    int64_t auth_proof_max_age_s;     /* longest life of an assertion or a proof */
    int64_t auth_replay_max;          /* remembered jti values */
};

extern const struct config_table as_config;

/* settings->issuer with ${port} replaced: a heap string, or NULL when out of memory. */
char *as_settings_issuer(const struct as_settings *settings, uint16_t port) MUST_CHECK;

#endif
