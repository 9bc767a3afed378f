#include "net/tls_priv.h"

#include <stdlib.h>

/* Order matters: AES-128-GCM first is the fast one; X25519 first spares the usual client a HelloRetryRequest.
 * Key exchange (1.2 only; 1.3 has none in the suite) is ephemeral or nothing. */
#define PRIORITIES                                                \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"                  \
    ":-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM"   \
    ":-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA"                            \
    ":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1" \
    ":%SERVER_PRECEDENCE"

enum status tls_reject(struct why *why, enum status st, int gnutls_error)
{
    if (gnutls_error == GNUTLS_E_MEMORY_ERROR)
        st = ST_NO_MEMORY;
    return reject(why, st, "TLS", gnutls_strerror(gnutls_error), 0);
}

static gnutls_datum_t datum(struct span s)
{
    return (gnutls_datum_t){ (unsigned char *)s.p, (unsigned)s.len };
}

static enum status load_own_cert(struct tls_config *config, const struct tls_settings *settings,
                                 struct why *why)
{
    int rc = 0;
    if (settings->cert_file != NULL) {
        rc = gnutls_certificate_set_x509_key_file2(config->cred, settings->cert_file,
                                                   settings->key_file != NULL ? settings->key_file
                                                                              : settings->cert_file,
                                                   GNUTLS_X509_FMT_PEM, NULL, 0);
    } else if (settings->cert_pem.len > 0) {
        gnutls_datum_t cert = datum(settings->cert_pem);
        gnutls_datum_t key = datum(settings->key_pem);
        rc = gnutls_certificate_set_x509_key_mem2(config->cred, &cert, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    } else if (config->server) {
        return reject(why, ST_NOT_FOUND, "tls.cert", "a TLS server needs a certificate and its key", 0);
    }
    if (rc < 0)
        return reject(why, ST_MALFORMED, "tls.cert", gnutls_strerror(rc), 0);
    return ST_OK;
}

static enum status load_trust(struct tls_config *config, const struct tls_settings *settings, struct why *why)
{
    int count = 0;
    if (settings->ca_file != NULL) {
        count = gnutls_certificate_set_x509_trust_file(config->cred, settings->ca_file, GNUTLS_X509_FMT_PEM);
    } else if (settings->ca_pem.len > 0) {
        gnutls_datum_t ca = datum(settings->ca_pem);
        count = gnutls_certificate_set_x509_trust_mem(config->cred, &ca, GNUTLS_X509_FMT_PEM);
    } else if (!config->server) {
        /* An empty system store only means that nothing but a pin will verify. */
        (void)gnutls_certificate_set_x509_system_trust(config->cred);
        return ST_OK;
    } else if (config->client_cert == TLS_CLIENT_CERT_REQUIRED) {
        return reject(why, ST_NOT_FOUND, "tls.client_ca", "client certificates need a CA to verify them", 0);
    } else {
        return ST_OK;
    }
    if (count <= 0)
        return reject(why, ST_MALFORMED, "tls.ca",
                      count < 0 ? gnutls_strerror(count) : "no certificate in the CA file", 0);
    return ST_OK;
}

static enum status copy_alpn(struct tls_config *config, const char *const *alpn)
{
    for (; alpn != NULL && *alpn != NULL && config->alpn_count < TLS_ALPN_MAX; alpn++) {
        char *copy = strdup(*alpn);
        if (copy == NULL)
            return ST_NO_MEMORY;
        config->alpn[config->alpn_count++] = (gnutls_datum_t){ (unsigned char *)copy, (unsigned)strlen(copy) };
    }
    return ST_OK;
}

static enum status config_fill(struct tls_config *config, const struct tls_settings *settings, struct why *why)
{
    enum status st;
    int rc = gnutls_certificate_allocate_credentials(&config->cred);
    if (rc < 0)
        return tls_reject(why, ST_NO_MEMORY, rc);
    rc = gnutls_priority_init(&config->priorities,
                              settings->priorities != NULL ? settings->priorities : PRIORITIES, NULL);
    if (rc < 0)
        return tls_reject(why, ST_INTERNAL, rc);
    if (config->tickets) {
        rc = gnutls_session_ticket_key_generate(&config->ticket_key);
        if (rc < 0)
            return tls_reject(why, ST_NO_MEMORY, rc);
    }
    st = copy_alpn(config, settings->alpn);
    if (st != ST_OK)
        return reject(why, st, "memory", "out of memory", 0);
    st = load_own_cert(config, settings, why);
    if (st != ST_OK)
        return st;
    return load_trust(config, settings, why);
}

static enum status config_new(bool server, const struct tls_settings *settings, struct tls_config **ret_config,
                              struct why *why)
{
    CLEANUP(tls_config_unrefp)
    struct tls_config *config = calloc(1, sizeof *config);
    if (config == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    atomic_init(&config->refs, 1);
    config->server = server;
    config->tickets = server && !settings->no_tickets;
    config->client_cert = settings->client_cert;
    enum status st = config_fill(config, settings, why);
    if (st != ST_OK)
        return st;
    *ret_config = TAKE(config);
    return ST_OK;
}

enum status tls_config_new_server(const struct tls_settings *settings, struct tls_config **ret_config,
                                  struct why *why)
{
    return config_new(true, settings, ret_config, why);
}

enum status tls_config_new_client(const struct tls_settings *settings, struct tls_config **ret_config,
                                  struct why *why)
{
    return config_new(false, settings, ret_config, why);
}

struct tls_config *tls_config_ref(struct tls_config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

void tls_config_unref(struct tls_config *config)
{
    if (config == NULL || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (config->cred != NULL)
        gnutls_certificate_free_credentials(config->cred);
    if (config->priorities != NULL)
        gnutls_priority_deinit(config->priorities);
    if (config->ticket_key.data != NULL) {
        gnutls_memset(config->ticket_key.data, 0, config->ticket_key.size);
        gnutls_free(config->ticket_key.data);
    }
    for (unsigned i = 0; i < config->alpn_count; i++)
        free(config->alpn[i].data);
    free(config);
}

void tls_config_unrefp(struct tls_config **config)
{
    tls_config_unref(*config);
    *config = NULL;
}
