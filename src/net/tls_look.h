/* net/tls_look.h - what an established client session is made of, in words: for people who look at a server. Judges the
 * certificate although the session may have been told to take any (tls_expect.any_peer). */
#ifndef SYMBOLON_NET_TLS_LOOK_H
#define SYMBOLON_NET_TLS_LOOK_H

#include "net/tls.h"

#define TLS_LOOK_CHAIN 4
#define TLS_LOOK_TEXT  256

struct tls_look_cert {
    char subject[TLS_LOOK_TEXT], issuer[TLS_LOOK_TEXT];
    char names[2 * TLS_LOOK_TEXT]; /* subjectAltName: "localhost, 127.0.0.1"; cut if it is long */
    char key[64];                  /* "EC/ECDSA, 256 bits" */
    int64_t from_s, until_s;       /* Unix time */
};

struct tls_look {
    const char *version, *cipher, *group;
    bool extended_master_secret; /* always true in TLS 1.3 */
    bool asked_for_certificate;  /* of the client */
    bool showed_raw_key;         /* ... which showed a bare key, RFC 7250 */
    unsigned chain;              /* certificates the server sent; the first TLS_LOOK_CHAIN are described */
    struct tls_look_cert certs[TLS_LOOK_CHAIN];
    bool trusted;                    /* chain and time are good, by the configuration's authorities */
    char problem[2 * TLS_LOOK_TEXT]; /* if not: why */
    bool named;                      /* the certificate is for `host` */
};

void tls_look(struct tls_session *session, const char *host, struct tls_look *out);

#endif
