#include "as/settings.h"

#include "base/log.h"

#include <stdio.h>

static const char *const durabilities[] = { "normal", "commit", NULL };
static const char *const levels[] = { "error", "warning", "notice", "info", "debug", NULL };

#define S(member) AT(struct as_settings, member)

static const struct config_setting rows[] = {
    { "issuer", CONFIG_STRING, S(issuer), .flags = CONFIG_REQUIRED,
      .help = "The URL that names this server in tokens; clients reach the endpoints under it. `${port}` "
              "stands for "
              "the port it really listens on." },
    { "state_dir", CONFIG_PATH, S(state_dir), .dflt = ".",
      .help = "Folder of the database and the keys; only the server's user may enter it." },
    { "admin_socket", CONFIG_PATH, S(admin_socket),
      .help = "Unix socket for `symbolon as`; by default `admin.sock` in the state folder." },
    { "admin_group", CONFIG_STRING, S(admin_group),
      .help = "Group whose members may connect to the admin socket (mode 0660 instead of 0600) and then log in "
              "with the credential `init` wrote, `admin.credential`. They cannot enter the state folder: set "
              "`admin_socket` too." },
    { "durability", CONFIG_ENUM, S(durability), .dflt = "commit", .choices = durabilities,
      .help = "`commit`: what was answered is on disk; the requests of a moment share one sync. `normal`: it "
              "survives "
              "the death of the process, but a power cut may take the last moments: tokens that are not known, "
              "revocations that did not happen." },
    { "log_level", CONFIG_ENUM, S(log_level), .dflt = "info", .choices = levels, .flags = CONFIG_LIVE,
      .help = "The least important events that are still logged." },

    { "https.address", CONFIG_STRING, S(https_address), .dflt = "127.0.0.1", .help = "Address to listen on." },
    { "https.port", CONFIG_INT, S(https_port), .dflt = "8443", .min = 0, .max = 65535,
      .help = "Port to listen on; 0 takes any free one." },
    { "https.certificate", CONFIG_PATH, S(https_certificate), .flags = CONFIG_REQUIRED | CONFIG_LIVE,
      .help = "PEM file with the server's certificate chain." },
    { "https.key", CONFIG_PATH, S(https_key), .flags = CONFIG_REQUIRED | CONFIG_LIVE,
      .help = "PEM file with its private key." },
    { "https.client_ca", CONFIG_PATH, S(https_client_ca), .flags = CONFIG_LIVE,
      .help = "PEM file of the authority named to clients when asking for a certificate; without it none is "
              "asked for. "
              "Who a certificate stands for is decided by its registered thumbprint alone." },
    { "https.max_connections", CONFIG_INT, S(https_max_connections), .dflt = "1000", .min = 1, .max = 100000,
      .help = "Connections at a time." },

    { "token.lifetime", CONFIG_DURATION_S, S(token_lifetime_s), .dflt = "1h", .min = 10, .max = 2592000,
      .help = "Life of a token where the resource server does not say." },
    { "token.max", CONFIG_INT, S(token_max), .dflt = "1000000", .min = 1, .max = 100000000,
      .help = "Live tokens altogether." },
    { "token.max_per_client", CONFIG_INT, S(token_max_per_client), .dflt = "1000", .min = 1, .max = 1000000,
      .help = "Live tokens of one client." },

    { "refresh.lifetime", CONFIG_DURATION_S, S(refresh_lifetime_s), .dflt = "30d", .min = 60, .max = 315360000,
      .help = "How long a client can go on refreshing before it has to ask anew." },
    { "refresh.idle", CONFIG_DURATION_S, S(refresh_idle_s), .dflt = "7d", .min = 60, .max = 315360000,
      .help = "A refresh token that was not used for so long is over." },
    { "refresh.max_per_client", CONFIG_INT, S(refresh_max_per_client), .dflt = "100", .min = 1, .max = 100000,
      .help = "Refresh tokens of one client; when there are more, the one unused the longest goes." },

    { "auth.failures_per_minute", CONFIG_INT, S(auth_failures_per_minute), .dflt = "10", .min = 1,
      .max = 100000,
      .help = "Failed authentications of one client from one address before it has to wait; ten times as many "
              "for an "
              "address. Also wrong credentials of one user at the admin socket." },
    { "auth.proof_max_age", CONFIG_DURATION_S, S(auth_proof_max_age_s), .dflt = "5m", .min = 10, .max = 3600,
      .help = "The longest life of a client assertion or a proof of possession." },
    { "auth.replay_max", CONFIG_INT, S(auth_replay_max), .dflt = "1000000", .min = 100, .max = 100000000,
      .help = "Identifiers of assertions remembered against replay; more than that are refused." },
    { NULL },
};

static enum status check(const void *loaded, struct buf *problem)
{
    const struct as_settings *s = loaded;
    struct span issuer = span_of_str(s->issuer);

    if (!span_starts_with(issuer, SPAN("https://")) || issuer.len <= sizeof "https://" - 1 ||
        span_find(issuer, '?', 0) != issuer.len || span_find(issuer, '#', 0) != issuer.len) {
        put_str(problem, "issuer: must be an https URL without query or fragment (RFC 8414 2)\n");
        return ST_MALFORMED;
    }
    return ST_OK;
}

const struct config_table as_config = { "symbolon-as", rows, sizeof(struct as_settings), check };

char *as_settings_issuer(const struct as_settings *settings, uint16_t port)
{
    static const char mark[] = "${port}";
    const char *at = strstr(settings->issuer, mark);
    char *text = NULL;

    if (at == NULL)
        return span_dup_str(span_of_str(settings->issuer));
    if (asprintf(&text, "%.*s%u%s", (int)(at - settings->issuer), settings->issuer, port,
                 at + sizeof mark - 1) < 0)
        return NULL;
    return text;
}
