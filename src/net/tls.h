/* net/tls.h - one TLS connection over memory: ciphertext in, ciphertext out, no socket (GnuTLS behind it).
 * TLS 1.3, or 1.2 with Extended Master Secret, and nothing older (MT-5); no renegotiation. The caller lends an
 * input span and an output buffer for each call (struct tls_io), so a session holds no buffer of its own, sends
 * never block, and it may change threads between calls. Alerts for our failures are put into the output.
 * Ownership: tls_config is shared by reference; a session keeps its own reference.
 * Threads:   a tls_config may be used from any thread; a session by one thread at a time. */
#ifndef SYMBOLON_NET_TLS_H
#define SYMBOLON_NET_TLS_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/span.h"
#include "base/status.h"

#include <sys/types.h>

#define TLS_PIN_LEN          32 /* SHA-256 of the certificate's DER: x5t#S256 */
#define TLS_PSK_IDENTITY_MAX 24576
#define TLS_PSK_KEY_MAX      512

enum tls_client_cert { TLS_CLIENT_CERT_NONE, TLS_CLIENT_CERT_OPTIONAL, TLS_CLIENT_CERT_REQUIRED };

/* Server: appends the key that an external PSK identity (RFC 8446 4.2.11, RFC 4279; any bytes, up to
 * TLS_PSK_IDENTITY_MAX) stands for; false: unknown. Runs inside tls_handshake(), once per identity. */
typedef bool tls_psk_find(void *psk_ctx, struct span identity, struct buf *key);

/* PEM comes from a file or from memory; give one of the two. Unused members stay zero. */
struct tls_settings {
    const char *cert_file, *key_file; /* own certificate chain and key; a server must have them */
    struct span cert_pem, key_pem;
    const char *ca_file; /* whom to trust; a client without one and without a pin uses the system's */
    struct span ca_pem;
    enum tls_client_cert client_cert; /* server: ask for one? */
    const char *const *alpn;          /* NULL-terminated list, or NULL */
    bool no_tickets;                  /* server: no resumption */
    /* RFC 7250 beside X.509. Server: its key also as a raw public key, and clients are asked for a raw key or a
     * certificate, which is accepted as proof of the key alone: the application decides by tls_peer_raw_key().
     * Client: its own key (key_pem, no certificate) is shown raw. */
    bool raw_keys;
    tls_psk_find *psk_find; /* server: external PSKs with (EC)DHE are served, certificates stay; NULL: none */
    const char *priorities; /* GnuTLS string, for tests; NULL: ours */
};

struct tls_config;

enum status tls_config_new_server(const struct tls_settings *settings, struct tls_config **ret_config,
                                  struct why *why) MUST_CHECK;
enum status tls_config_new_client(const struct tls_settings *settings, struct tls_config **ret_config,
                                  struct why *why) MUST_CHECK;
/* Server: a new key for tickets. Those given so far are worth nothing any more, and what they protect stays secret
 * whoever gets at this process later. Any thread. */
enum status tls_config_new_ticket_key(struct tls_config *config, struct why *why) MUST_CHECK;
struct tls_config *tls_config_ref(struct tls_config *config);
void tls_config_unref(struct tls_config *config);
void tls_config_unrefp(struct tls_config **config);

/* What a client demands of the server. A PSK is its own proof: no certificate is looked at, or accepted. With
 * `spki` the server shows that key, raw or in a certificate, and nothing else about it matters. With a pin the certificate's
 * thumbprint alone decides (AF-44: rs_cnf named the key). Otherwise the chain must verify and carry the host name
 * or IP address. */
struct tls_expect {
    const char *host; /* DNS name or IP address text; also sent as SNI when it is a name */
    bool any_name;    /* a verified chain is enough, whatever name it carries: tests and --insecure */
    bool any_peer; /* whoever it is, tls_look() says: for looking at a server; no secret goes to such a peer */
    const uint8_t *pin; /* TLS_PIN_LEN bytes, or NULL */
    struct span
        spki; /* the server's SubjectPublicKeyInfo in DER, or none; with `pin` a certificate must match both */
    struct span psk_identity, psk_key; /* external PSK, or none; such a session is never resumed */
    struct span resume;                /* what tls_resumption_data() gave for an earlier session, or none */
};

/* Lent for one call. `in` advances over what was used; bytes to send are appended to `out`. */
struct tls_io {
    struct span in;
    struct buf *out;
};

enum tls_result {
    TLS_OK,
    TLS_WANT_INPUT, /* everything in `in` was used and more is needed */
    TLS_CLOSED,     /* the peer said close_notify */
    TLS_FAILED      /* `why` says so; send what is in `out` (an alert), then close */
};

struct tls_session;

enum status tls_session_new_server(struct tls_config *config, struct tls_session **ret_session,
                                   struct why *why) MUST_CHECK;
enum status tls_session_new_client(struct tls_config *config, const struct tls_expect *expect,
                                   struct tls_session **ret_session, struct why *why) MUST_CHECK;
/* Server: what psk_find is called with; to be set before the handshake. */
void tls_session_set_psk_ctx(struct tls_session *session, void *psk_ctx);
void tls_session_free(struct tls_session *session);
void tls_session_freep(struct tls_session **session);

/* Call with empty input to start a client; TLS_OK when established (`in` may then hold more for tls_read()). */
enum tls_result tls_handshake(struct tls_session *session, struct tls_io *io, struct why *why);
/* Decrypts as many records as fit into `room`; TLS_OK with *ret_len > 0, else TLS_WANT_INPUT and so on. Give at
 * least TLS_RECORD_MAX bytes of room to make progress cheap; any size is right. Call until not TLS_OK. */
#define TLS_RECORD_MAX 16384
enum tls_result tls_read(struct tls_session *session, struct tls_io *io, uint8_t *room, size_t cap,
                         size_t *ret_len, struct why *why);
/* Encrypts all of `plain` into io->out, in records of up to TLS_RECORD_MAX. */
enum status tls_write(struct tls_session *session, struct tls_io *io, struct span plain,
                      struct why *why) MUST_CHECK;
/* tls_write() of this session comes soon: asks for the memory it begins with (base/prefetch.h). */
void tls_prefetch(const struct tls_session *session);
/* close_notify into io->out. */
void tls_close(struct tls_session *session, struct tls_io *io);

/* RFC 8446 7.5 / RFC 5705 with the *empty* context, which is what RFC 9431 2.2.4.2.1 wants (MT-56): in TLS 1.2
 * that is not the same as no context. Only after the handshake. */
enum status tls_exporter(struct tls_session *session, struct span label, uint8_t *out, size_t len,
                         struct why *why) MUST_CHECK;
/* The same with another context, or with none (NULL), which nobody should accept: the conformance kit's. */
enum status tls_exporter_with(struct tls_session *session, struct span label, const struct span *context,
                              uint8_t *out, size_t len, struct why *why) MUST_CHECK;
/* From now on appends the session's secrets to `lines`, in the NSS key log form that Wireshark reads. `lines` outlives
 * the session. For captures the conformance kit makes of its own connections; no daemon calls it. */
void tls_keylog(struct tls_session *session, struct buf *lines);
/* After TLS_FAILED: ST_DENIED (a certificate was refused, by us), ST_PROTOCOL (anything in the protocol, a fatal
 * alert of the peer's included), ST_NO_MEMORY. */
enum status tls_failure(const struct tls_session *session);
bool tls_alerted(const struct tls_session *
                     session); /* ... it was the peer that gave up, with an alert, or with one we cannot read */
bool tls_established(const struct tls_session *session);
bool tls_resumed(const struct tls_session *session);
const char *tls_version(const struct tls_session *session); /* "TLS1.3" */
struct span tls_alpn(const struct tls_session *session);    /* chosen protocol, or none */
/* How the peer showed who it is. TLS_PEER_X509 says nothing about the chain: tls_peer_verified(). */
enum tls_peer_kind { TLS_PEER_NONE, TLS_PEER_X509, TLS_PEER_RAW_KEY, TLS_PEER_PSK };
enum tls_peer_kind tls_peer_kind(const struct tls_session *session);
/* DER SubjectPublicKeyInfo; PSK identity (server side). Valid as long as the session; none if it was not that. */
struct span tls_peer_raw_key(const struct tls_session *session);
struct span tls_peer_psk_identity(const struct tls_session *session);
/* The key psk_find gave for it, which the handshake proved. */
struct span tls_peer_psk_key(const struct tls_session *session);
/* Peer's leaf certificate in DER, valid as long as the session; none if it sent none. */
struct span tls_peer_cert(const struct tls_session *session);
bool tls_peer_verified(const struct tls_session *session); /* chain led to our CA (or matched the pin) */
/* Client: opaque data for tls_expect.resume of a later session; secret. False when there is none (yet). */
bool tls_resumption_data(struct tls_session *session, struct buf *out);

#endif
