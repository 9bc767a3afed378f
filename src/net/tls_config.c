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

/* What is put behind the string above, or behind the one a test asks for. A server that serves raw keys or PSKs still
 * prefers nothing: each client chooses. Plain psk_ke (no forward secrecy) would need +PSK and is refused. In 1.2 the
 * PSK suites go first: who has a PSK there cannot show later, with a certificate handshake, that it was meant. */
static const char *const server_extra[TLS_PRIORITIES] = {
    [TLS_USUAL] = ":+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK",
    [TLS_WITH_RAW_KEY] = "", /* not used */
    [TLS_WITH_PSK] =
        ":-KX-ALL:+ECDHE-PSK:+ECDHE-ECDSA:+ECDHE-RSA:+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK:%NO_TICKETS",
};
static const char *const client_extra[TLS_PRIORITIES] = {
    [TLS_USUAL] = ":-CTYPE-ALL:+CTYPE-SRV-X509",
    [TLS_WITH_RAW_KEY] = ":-CTYPE-ALL:+CTYPE-SRV-RAWPK:+CTYPE-SRV-X509",
    [TLS_WITH_PSK] = ":-KX-ALL:+ECDHE-PSK:-CTYPE-ALL:+CTYPE-SRV-X509",
};

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

#define CHAIN_MAX 16 /* certificates, ours first */

static int read_chain(const struct tls_settings *settings, gnutls_pcert_st *chain, unsigned *count)
{
    gnutls_datum_t pem = datum(settings->cert_pem), file = { NULL, 0 };
    int rc = settings->cert_file != NULL ? gnutls_load_file(settings->cert_file, &file) : 0;
    if (rc == 0)
        rc = gnutls_pcert_list_import_x509_raw(chain, count, settings->cert_file != NULL ? &file : &pem,
                                               GNUTLS_X509_FMT_PEM, GNUTLS_X509_CRT_LIST_SORT);
    gnutls_free(file.data);
    return rc;
}

/* The credentials take what `shown` holds, and the key, or nothing. */
static int serve_key(struct tls_config *config, const struct tls_settings *settings, gnutls_pcert_st *shown,
                     unsigned count)
{
    gnutls_privkey_t key;
    int rc = tls_key_read(settings, &key);
    if (rc == 0) {
        rc = gnutls_certificate_set_key(config->cred, NULL, 0, shown, (int)count, key);
        if (rc == 0)
            return 0;
        gnutls_privkey_deinit(key);
    }
    for (unsigned i = 0; i < count; i++)
        gnutls_pcert_deinit(&shown[i]);
    return rc;
}

static enum status load_own_cert(struct tls_config *config, const struct tls_settings *settings,
                                 struct why *why)
{
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned count = CHAIN_MAX;

    if (settings->cert_file == NULL && settings->cert_pem.len == 0)
        return config->server
                   ? reject(why, ST_NOT_FOUND, "tls.cert", "a TLS server needs a certificate and its key", 0)
                   : ST_OK;
    int rc = read_chain(settings, chain, &count);
    if (rc == 0)
        rc = serve_key(config, settings, chain, count);
    return rc == 0 ? ST_OK : reject(why, ST_MALFORMED, "tls.cert", gnutls_strerror(rc), 0);
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

/* -- raw keys --------------------------------------------------------------------------------------------- */

/* The public half of a private key, as a SubjectPublicKeyInfo in DER or PEM. */
static int public_half(gnutls_privkey_t key, gnutls_x509_crt_fmt_t format, gnutls_datum_t *ret_spki)
{
    gnutls_pubkey_t public_key;
    int rc = gnutls_pubkey_init(&public_key);
    if (rc < 0)
        return rc;
    rc = gnutls_pubkey_import_privkey(public_key, key, 0, 0);
    if (rc == 0)
        rc = gnutls_pubkey_export2(public_key, format, ret_spki);
    gnutls_pubkey_deinit(public_key);
    return rc;
}

/* The server's key, which its certificate has too, once more as a bare key. */
static int serve_raw_key(struct tls_config *config, const struct tls_settings *settings, gnutls_privkey_t key)
{
    gnutls_datum_t spki = { NULL, 0 };
    gnutls_pcert_st shown;
    int rc = public_half(key, GNUTLS_X509_FMT_DER, &spki);
    if (rc == 0)
        rc = gnutls_pcert_import_rawpk_raw(&shown, &spki, GNUTLS_X509_FMT_DER, GNUTLS_KEY_DIGITAL_SIGNATURE, 0);
    gnutls_free(spki.data);
    return rc == 0 ? serve_key(config, settings, &shown, 1) : rc;
}

/* GnuTLS's own choice finds no Ed25519 key for a TLS 1.2 CertificateRequest and goes on, silently, without one. */
static int show_raw_key(gnutls_session_t gnutls, const struct gnutls_cert_retr_st *info,
                        gnutls_pcert_st **certs, unsigned *count, gnutls_ocsp_data_st **ocsp,
                        unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags)
{
    struct tls_session *session = gnutls_session_get_ptr(gnutls);
    (void)info;
    *count = 0;
    *ocsp = NULL;
    *ocsp_count = 0;
    *flags = 0; /* the configuration keeps both */
    if (gnutls_certificate_type_get2(gnutls, GNUTLS_CTYPE_CLIENT) != GNUTLS_CRT_RAWPK)
        return 0;
    *certs = &session->config->raw_pcert;
    *count = 1;
    *key = session->config->raw_key;
    return 0;
}

static int have_raw_key(struct tls_config *config, gnutls_privkey_t *key)
{
    gnutls_datum_t spki = { NULL, 0 };
    int rc = public_half(*key, GNUTLS_X509_FMT_DER, &spki);
    if (rc == 0)
        rc = gnutls_pcert_import_rawpk_raw(&config->raw_pcert, &spki, GNUTLS_X509_FMT_DER, 0, 0);
    gnutls_free(spki.data);
    if (rc < 0)
        return rc;
    config->raw_key = TAKE(*key);
    gnutls_certificate_set_retrieve_function3(config->cred, show_raw_key);
    return 0;
}

static int load_raw_key(struct tls_config *config, const struct tls_settings *settings)
{
    gnutls_datum_t pem = { NULL, 0 };
    gnutls_privkey_t key = NULL;
    int rc = tls_key_pem(settings, &pem);
    if (rc == 0)
        rc = gnutls_privkey_init(&key);
    if (rc == 0)
        rc = gnutls_privkey_import_x509_raw(key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (rc == 0)
        rc = config->server ? serve_raw_key(config, settings, key) : have_raw_key(config, &key);
    if (key != NULL)
        gnutls_privkey_deinit(key);
    if (pem.data != NULL) {
        gnutls_memset(pem.data, 0, pem.size);
        gnutls_free(pem.data);
    }
    return rc;
}

/* Required certificates mean that a CA vouches for everybody: nobody may come in beside them. */
static enum status load_known(struct tls_config *config, const struct tls_settings *settings, struct why *why)
{
    int rc;
    if (config->client_cert == TLS_CLIENT_CERT_REQUIRED && (config->raw_keys || config->psk_find != NULL))
        return reject(why, ST_MALFORMED, "tls.client_cert",
                      "required client certificates leave no room for raw keys and pre-shared keys", 0);
    rc = tls_known_init(config);
    if (rc < 0)
        return tls_reject(why, ST_NO_MEMORY, rc);
    if (!config->raw_keys)
        return ST_OK;
    rc = load_raw_key(config, settings);
    if (rc < 0)
        return reject(why, ST_MALFORMED, "tls.key", gnutls_strerror(rc), 0);
    return ST_OK;
}

/* -- all of it --------------------------------------------------------------------------------------------- */

static int make_priorities(struct tls_config *config, const char *base)
{
    int rc = 0;
    for (int i = 0; i < TLS_PRIORITIES && rc == 0; i++) {
        struct buf text;
        buf_init(&text, 4096);
        put_str(&text, base != NULL ? base : PRIORITIES);
        put_str(&text, (config->server ? server_extra : client_extra)[i]);
        if (!config->server)
            put_str(&text, config->raw_keys ? ":+CTYPE-CLI-RAWPK" : ":+CTYPE-CLI-X509");
        put_u8(&text, 0);
        rc = buf_ok(&text) ? gnutls_priority_init(&config->priorities[i], (const char *)text.p, NULL)
                           : GNUTLS_E_MEMORY_ERROR;
        buf_done(&text);
    }
    return rc;
}

static void forget_ticket_key(gnutls_datum_t *key)
{
    if (key->data != NULL) {
        gnutls_memset(key->data, 0, key->size);
        gnutls_free(key->data);
    }
    *key = (gnutls_datum_t){ NULL, 0 };
}

enum status tls_config_new_ticket_key(struct tls_config *config, struct why *why)
{
    gnutls_datum_t key = { NULL, 0 };
    int rc = gnutls_session_ticket_key_generate(&key);
    if (rc < 0)
        return tls_reject(why, ST_NO_MEMORY, rc);
    pthread_mutex_lock(&config->ticket_lock);
    gnutls_datum_t former = config->ticket_key;
    config->ticket_key = key;
    pthread_mutex_unlock(&config->ticket_lock);
    forget_ticket_key(&former);
    return ST_OK;
}

static enum status config_fill(struct tls_config *config, const struct tls_settings *settings, struct why *why)
{
    enum status st;
    int rc = gnutls_certificate_allocate_credentials(&config->cred);
    if (rc < 0)
        return tls_reject(why, ST_NO_MEMORY, rc);
    rc = make_priorities(config, settings->priorities);
    if (rc < 0)
        return tls_reject(why, ST_INTERNAL, rc);
    if (config->tickets) {
        st = tls_config_new_ticket_key(config, why);
        if (st != ST_OK)
            return st;
    }
    st = copy_alpn(config, settings->alpn);
    if (st != ST_OK)
        return reject(why, st, "memory", "out of memory", 0);
    if (config->server || !config->raw_keys)
        st = load_own_cert(config, settings, why);
    if (st == ST_OK)
        st = load_known(config, settings, why);
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
    (void)pthread_mutex_init(&config->ticket_lock, NULL); /* of the default kind: cannot fail */
    config->server = server;
    config->tickets = server && !settings->no_tickets;
    config->client_cert = settings->client_cert;
    config->raw_keys = settings->raw_keys;
    config->psk_find = server ? settings->psk_find : NULL;
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
    if (config->psk_cred != NULL)
        gnutls_psk_free_server_credentials(config->psk_cred);
    if (config->raw_key != NULL) {
        gnutls_privkey_deinit(config->raw_key);
        gnutls_pcert_deinit(&config->raw_pcert);
    }
    for (int i = 0; i < TLS_PRIORITIES; i++)
        if (config->priorities[i] != NULL)
            gnutls_priority_deinit(config->priorities[i]);
    forget_ticket_key(&config->ticket_key);
    pthread_mutex_destroy(&config->ticket_lock);
    for (unsigned i = 0; i < config->alpn_count; i++)
        free(config->alpn[i].data);
    free(config);
}

void tls_config_unrefp(struct tls_config **config)
{
    tls_config_unref(*config);
    *config = NULL;
}
