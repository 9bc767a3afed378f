/* net/tls_hello.h - what a server reads in a ClientHello before GnuTLS does: only what decides which credentials the
 * handshake is offered. Bytes of strangers: the bounded reader alone. Nothing here is verified; GnuTLS parses the
 * same message again and refuses what is malformed. */
#ifndef SYMBOLON_NET_TLS_HELLO_H
#define SYMBOLON_NET_TLS_HELLO_H

#include "base/span.h"
#include "base/status.h"

struct tls_hello {
    bool offers_psk_suite;    /* one of the TLS 1.2 (EC)DHE-PSK suites that we speak */
    bool offers_raw_key;      /* client_certificate_type holds RawPublicKey (RFC 7250 3) */
    bool offers_pre_shared;   /* extension pre_shared_key (RFC 8446 4.2.11): external keys or tickets */
    struct span psk_identity; /* its first identity of age 0, which is what an external key has; or none */
};

/* The body of a ClientHello. ST_MALFORMED: leave it to GnuTLS to say so; `out` is then empty. */
enum status tls_hello_read(struct span body, struct tls_hello *out) MUST_CHECK;

#endif
