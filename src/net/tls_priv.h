/* net/tls_priv.h - what tls_config.c, tls.c and tls_psk.c share. */
#ifndef SYMBOLON_NET_TLS_PRIV_H
#define SYMBOLON_NET_TLS_PRIV_H

#include "net/tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdatomic.h>

#define TLS_ALPN_MAX 4

/* What a session may offer, by what is known when it begins (client) or once the ClientHello was read (server). */
enum tls_priority {
    TLS_USUAL,
    TLS_WITH_RAW_KEY, /* client: the server's key raw, or in a certificate */
    TLS_WITH_PSK,     /* client: that and nothing else. Server: no tickets */
    TLS_PRIORITIES
};

struct tls_config {
    atomic_uint refs;
    bool server;
    bool tickets;
    bool raw_keys;
    enum tls_client_cert client_cert;
    tls_psk_find *psk_find;
    gnutls_certificate_credentials_t cred;
    gnutls_psk_server_credentials_t psk_cred; /* server with psk_find */
    gnutls_priority_t priorities[TLS_PRIORITIES];
    pthread_mutex_t ticket_lock;
    gnutls_datum_t ticket_key; /* under the lock */
    gnutls_privkey_t raw_key;  /* client with raw_keys: its own, and the public half as it is shown */
    gnutls_pcert_st raw_pcert;
    unsigned alpn_count;
    gnutls_datum_t alpn[TLS_ALPN_MAX]; /* heap copies */
};

/* A client's struct tls_expect, kept. */
struct tls_demand {
    char *host;    /* the name to verify */
    bool any_name; /* ... unless this is set */
    bool any_peer;
    bool pinned;
    uint8_t pin[TLS_PIN_LEN];
    struct buf spki; /* the key the server must show, or empty */
    gnutls_psk_client_credentials_t psk_cred;
};

/* A PSK that psk_find knew. */
struct tls_found {
    struct buf identity; /* until the handshake is over */
    struct buf key;
};

/* A broker has one for each connection, however idle: what only some need is in blocks of their own. */
struct tls_session {
    gnutls_session_t gnutls;
    struct tls_config *config;
    struct tls_io *io;         /* lent for the current call, else NULL */
    struct buf *keylog;        /* NULL: nobody wants the secrets */
    struct tls_demand *demand; /* NULL: a server, which demands nothing */
    struct tls_found *found;   /* server: the last one; stays if it was used. NULL: none */
    void *psk_ctx;             /* server: for config->psk_find */
    struct why failure_why;
    enum status failure;   /* ST_OK while all is well; the reason stays for later calls */
    uint32_t record_bytes; /* pulled since a record was complete: base/record_blocks.h */
    uint8_t alpn;          /* 1 + which of the config's was chosen; 0: none, or not yet */
    bool established;
    bool peer_verified;
    bool peer_refused;
    bool alerted; /* by the peer */
    bool drained; /* GnuTLS holds no plaintext, nor input that would give some without more */
};

/* tls_key.c */
int tls_key_pem(const struct tls_settings *settings, gnutls_datum_t *ret_pem); /* gnutls_free() it */
int tls_key_read(const struct tls_settings *settings, gnutls_privkey_t *ret_key);

/* tls_psk.c, the server's side of raw keys and pre-shared keys, and the client's key */
int tls_known_init(struct tls_config *config);    /* credentials that a server with psk_find needs */
int tls_known_watch(struct tls_session *session); /* reads the ClientHello before GnuTLS does */
int tls_psk_expect(struct tls_session *session, struct span identity, struct span key); /* client */
void tls_psk_forget(struct tls_session *session);
static inline struct span tls_psk_key(const struct tls_session *session)
{
    return session->found == NULL ? SPAN_NONE : buf_span(&session->found->key);
}

/* gnutls_strerror() gives static strings, so they may stand in a `why`. */
enum status tls_reject(struct why *why, enum status st, int gnutls_error);

#endif
