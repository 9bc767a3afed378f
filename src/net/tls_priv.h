/* net/tls_priv.h - what tls_config.c and tls.c share. */
#ifndef SYMBOLON_NET_TLS_PRIV_H
#define SYMBOLON_NET_TLS_PRIV_H

#include "net/tls.h"

#include <gnutls/gnutls.h>
#include <stdatomic.h>

#define TLS_ALPN_MAX 4

struct tls_config {
    atomic_uint refs;
    bool server;
    bool tickets;
    enum tls_client_cert client_cert;
    gnutls_certificate_credentials_t cred;
    gnutls_priority_t priorities;
    gnutls_datum_t ticket_key;
    unsigned alpn_count;
    gnutls_datum_t alpn[TLS_ALPN_MAX]; /* heap copies */
};

/* gnutls_strerror() gives static strings, so they may stand in a `why`. */
enum status tls_reject(struct why *why, enum status st, int gnutls_error);

#endif
