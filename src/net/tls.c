#include "net/tls_priv.h"

#include "base/prefetch.h"
#include "base/record_blocks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdlib.h>

#define HANDSHAKE_MESSAGE_MAX 32768
#define SPKI_MAX              8192
/* More than what GnuTLS has in a block in front of a record, and the cipher adds behind it (tls_wipe_test.c). */
#define RECORD_FRAME 512

/* -- the transport GnuTLS sees: the lent span and buffer ------------------------------------------------- */

static ssize_t pull(gnutls_transport_ptr_t transport, void *room, size_t cap)
{
    struct tls_session *session = transport;
    struct span *in = session->io == NULL ? NULL : &session->io->in;
    if (in == NULL || in->len == 0) {
        gnutls_transport_set_errno(session->gnutls, EAGAIN);
        return -1;
    }
    size_t len = in->len < cap ? in->len : cap;
    memcpy(room, in->p, len);
    *in = span_cut(*in, len, in->len);
    if (record_blocks.used != 0) {
        session->record_bytes += (uint32_t)len;
        record_blocks.used += len;
    }
    return (ssize_t)len;
}

/* Needed beside an own pull function: without it every timed wait inside GnuTLS is GNUTLS_E_PULL_ERROR. */
static int pull_timeout(gnutls_transport_ptr_t transport, unsigned ms)
{
    struct tls_session *session = transport;
    (void)ms;
    return session->io != NULL && session->io->in.len > 0 ? 1 : 0;
}

/* Takes everything always: GNUTLS_E_AGAIN on sending cannot happen, nor its trap of resending old data. */
static ssize_t push(gnutls_transport_ptr_t transport, const giovec_t *iov, int iov_count)
{
    struct tls_session *session = transport;
    size_t total = 0;
    if (session->io == NULL) { /* nothing we call outside of a lent io sends */
        gnutls_transport_set_errno(session->gnutls, EIO);
        return -1;
    }
    struct buf *out = session->io->out;
    for (int i = 0; i < iov_count; i++) {
        put_bytes(out, span_of(iov[i].iov_base, iov[i].iov_len));
        total += iov[i].iov_len;
    }
    if (!buf_ok(out)) {
        gnutls_transport_set_errno(session->gnutls, ENOMEM);
        return -1;
    }
    return (ssize_t)total;
}

/* -- verification ---------------------------------------------------------------------------------------- */

static const struct tls_demand *demand_of(const struct tls_session *session)
{
    static const struct tls_demand nothing;
    return session->demand == NULL ? &nothing : session->demand;
}

static bool shows_raw_key(const struct tls_session *session)
{
    return gnutls_certificate_type_get2(session->gnutls, GNUTLS_CTYPE_PEERS) == GNUTLS_CRT_RAWPK;
}

static struct span first_of_chain(const struct tls_session *session)
{
    unsigned count = 0;
    const gnutls_datum_t *peers = gnutls_certificate_get_peers(session->gnutls, &count);
    return peers == NULL || count == 0 ? SPAN_NONE : span_of(peers[0].data, peers[0].size);
}

static bool pin_matches(struct tls_session *session)
{
    uint8_t digest[TLS_PIN_LEN];
    struct span cert = first_of_chain(session);
    if (cert.len == 0 || gnutls_hash_fast(GNUTLS_DIG_SHA256, cert.p, cert.len, digest) < 0)
        return false;
    return gnutls_memcmp(digest, demand_of(session)->pin, sizeof digest) == 0;
}

static bool chain_verifies(struct tls_session *session)
{
    const struct tls_demand *demand = demand_of(session);
    const char *purpose = session->config->server ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
    gnutls_typed_vdata_st data[2] = {
        { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose },
        { .type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)demand->host }, /* IP text matches too */
    };
    unsigned problems = 0;
    unsigned rules = demand->host != NULL && !demand->any_name ? 2 : 1;
    int rc = gnutls_certificate_verify_peers(session->gnutls, data, rules, &problems);
    return rc == 0 && problems == 0;
}

static bool certificate_holds(struct span cert, struct span spki)
{
    gnutls_datum_t der = { (unsigned char *)cert.p, (unsigned)cert.len };
    gnutls_datum_t found = { NULL, 0 };
    gnutls_pcert_st pcert;
    bool same;
    if (cert.len == 0 || gnutls_pcert_import_x509_raw(&pcert, &der, GNUTLS_X509_FMT_DER, 0) < 0)
        return false;
    same = gnutls_pubkey_export2(pcert.pubkey, GNUTLS_X509_FMT_DER, &found) == 0 &&
           span_eq(span_of(found.data, found.size), spki);
    gnutls_free(found.data);
    gnutls_pcert_deinit(&pcert);
    return same;
}

static bool spki_matches(const struct tls_session *session)
{
    struct span shown = first_of_chain(session);
    struct span expected = buf_span(&session->demand->spki);
    return shows_raw_key(session) ? span_eq(shown, expected) : certificate_holds(shown, expected);
}

static bool peer_is_expected(struct tls_session *session)
{
    const struct tls_demand *demand = demand_of(session);
    if (demand->any_peer)
        return true;
    if (demand->spki.len > 0) {
        if (!spki_matches(session))
            return false;
        return shows_raw_key(session) || !demand->pinned || pin_matches(session);
    }
    if (shows_raw_key(session))
        return false; /* a bare key proves itself; nobody vouches for it */
    return demand->pinned ? pin_matches(session) : chain_verifies(session);
}

/* Runs inside the handshake, so that a refusal reaches the peer as an alert. */
static int verify_peer(gnutls_session_t gnutls)
{
    struct tls_session *session = gnutls_session_get_ptr(gnutls);
    session->peer_verified = peer_is_expected(session);
    if (session->peer_verified)
        return 0;
    if (session->config->server && session->config->client_cert != TLS_CLIENT_CERT_REQUIRED)
        return 0; /* the application sees tls_peer_verified() false */
    session->peer_refused = true;
    return GNUTLS_E_CERTIFICATE_ERROR;
}

/* -- making one ------------------------------------------------------------------------------------------ */

static bool is_address(const char *host)
{
    uint8_t bin[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bin) == 1 || inet_pton(AF_INET6, host, bin) == 1;
}

static unsigned session_flags(const struct tls_config *config)
{
    unsigned flags = GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL;
    if (!config->server) /* which types a client offers, its priorities say */
        return flags | GNUTLS_CLIENT | GNUTLS_ENABLE_RAWPK;
    if (!config->tickets)
        flags |= GNUTLS_NO_TICKETS;
    if (config->raw_keys)
        flags |= GNUTLS_ENABLE_RAWPK;
    return flags | GNUTLS_SERVER;
}

static int server_fill(struct tls_session *session)
{
    struct tls_config *config = session->config;
    int rc = gnutls_credentials_set(session->gnutls, GNUTLS_CRD_CERTIFICATE, config->cred);
    if (rc == 0)
        rc = gnutls_priority_set(session->gnutls, config->priorities[TLS_USUAL]);
    if (rc == 0 && config->tickets) {
        pthread_mutex_lock(&config->ticket_lock);
        rc = gnutls_session_ticket_enable_server(session->gnutls, &config->ticket_key); /* copies it */
        pthread_mutex_unlock(&config->ticket_lock);
    }
    if (rc == 0 && config->client_cert != TLS_CLIENT_CERT_NONE)
        gnutls_certificate_server_set_request(session->gnutls, config->client_cert == TLS_CLIENT_CERT_REQUIRED
                                                                   ? GNUTLS_CERT_REQUIRE
                                                                   : GNUTLS_CERT_REQUEST);
    if (rc == 0)
        rc = tls_known_watch(session);
    return rc;
}

static int session_fill(struct tls_session *session)
{
    struct tls_config *config = session->config;
    int rc = gnutls_init(&session->gnutls, session_flags(config));
    if (rc < 0) {
        session->gnutls = NULL;
        return rc;
    }
    gnutls_session_set_ptr(session->gnutls, session);
    gnutls_transport_set_ptr(session->gnutls, session);
    gnutls_transport_set_pull_function(session->gnutls, pull);
    gnutls_transport_set_pull_timeout_function(session->gnutls, pull_timeout);
    gnutls_transport_set_vec_push_function(session->gnutls, push);
    gnutls_handshake_set_timeout(session->gnutls, 0); /* the stream bounds the time */
    gnutls_handshake_set_max_packet_length(session->gnutls, HANDSHAKE_MESSAGE_MAX);
    gnutls_session_set_verify_function(session->gnutls, verify_peer);
    if (config->alpn_count > 0)
        rc = gnutls_alpn_set_protocols(session->gnutls, config->alpn, config->alpn_count, 0);
    if (rc == 0 && config->server)
        rc = server_fill(session);
    return rc;
}

/* A client with a PSK has no certificate credentials: a server that does not know the key cannot make it take
 * another kind of handshake for the one it wanted. */
static int choose_credentials(struct tls_session *session, const struct tls_expect *expect)
{
    struct tls_config *config = session->config;
    bool psk = expect->psk_identity.len > 0;
    enum tls_priority which = psk ? TLS_WITH_PSK : expect->spki.len > 0 ? TLS_WITH_RAW_KEY : TLS_USUAL;
    int rc = gnutls_priority_set(session->gnutls, config->priorities[which]);
    if (rc < 0)
        return rc;
    if (psk)
        return tls_psk_expect(session, expect->psk_identity, expect->psk_key);
    return gnutls_credentials_set(session->gnutls, GNUTLS_CRD_CERTIFICATE, config->cred);
}

static int session_expect(struct tls_session *session, const struct tls_expect *expect)
{
    struct tls_demand *demand = session->demand = calloc(1, sizeof *demand);
    if (demand == NULL)
        return GNUTLS_E_MEMORY_ERROR;
    buf_init(&demand->spki, SPKI_MAX);
    int rc = choose_credentials(session, expect);
    demand->any_name = expect->any_name;
    demand->any_peer = expect->any_peer;
    put_bytes(&demand->spki, expect->spki);
    if (!buf_ok(&demand->spki))
        return GNUTLS_E_MEMORY_ERROR;
    if (expect->pin != NULL) {
        demand->pinned = true;
        memcpy(demand->pin, expect->pin, TLS_PIN_LEN);
    }
    if (expect->host != NULL) {
        demand->host = strdup(expect->host);
        if (demand->host == NULL)
            return GNUTLS_E_MEMORY_ERROR;
        if (rc == 0 && !is_address(expect->host)) /* MT-6: SNI */
            rc = gnutls_server_name_set(session->gnutls, GNUTLS_NAME_DNS, expect->host, strlen(expect->host));
    }
    if (rc == 0 && expect->resume.len > 0 && demand->psk_cred == NULL)
        /* Data that does not fit any more only means a full handshake. */
        (void)gnutls_session_set_data(session->gnutls, expect->resume.p, expect->resume.len);
    return rc;
}

static enum status session_new(struct tls_config *config, const struct tls_expect *expect,
                               struct tls_session **ret_session, struct why *why)
{
    CLEANUP(tls_session_freep)
    struct tls_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    session->config = tls_config_ref(config);
    int rc = session_fill(session);
    if (rc == 0 && expect != NULL)
        rc = session_expect(session, expect);
    if (rc < 0)
        return tls_reject(why, ST_INTERNAL, rc);
    *ret_session = TAKE(session);
    return ST_OK;
}

enum status tls_session_new_server(struct tls_config *config, struct tls_session **ret_session, struct why *why)
{
    ASSERT(config->server);
    return session_new(config, NULL, ret_session, why);
}

enum status tls_session_new_client(struct tls_config *config, const struct tls_expect *expect,
                                   struct tls_session **ret_session, struct why *why)
{
    ASSERT(!config->server);
    if (expect->host == NULL && expect->pin == NULL && expect->spki.len == 0 && expect->psk_identity.len == 0)
        return reject(why, ST_INTERNAL, "tls.expect",
                      "a client must expect a host name, a certificate or a key", 0);
    return session_new(config, expect, ret_session, why);
}

void tls_session_set_psk_ctx(struct tls_session *session, void *psk_ctx)
{
    session->psk_ctx = psk_ctx;
}

static void demand_free(struct tls_demand *demand)
{
    if (demand == NULL)
        return;
    if (demand->psk_cred != NULL)
        gnutls_psk_free_client_credentials(demand->psk_cred);
    buf_done(&demand->spki);
    free(demand->host);
    free(demand);
}

void tls_session_free(struct tls_session *session)
{
    if (session == NULL)
        return;
    if (session->gnutls != NULL)
        gnutls_deinit(session->gnutls);
    demand_free(session->demand);
    tls_psk_forget(session);
    tls_config_unref(session->config);
    free(session);
}

void tls_session_freep(struct tls_session **session)
{
    tls_session_free(*session);
    *session = NULL;
}

/* -- using one ------------------------------------------------------------------------------------------- */

static enum tls_result fail(struct tls_session *session, enum status st, const char *clause, const char *text,
                            struct why *why)
{
    session->failure = reject(&session->failure_why, st, clause, text, 0);
    if (why != NULL)
        *why = session->failure_why;
    return TLS_FAILED;
}

static enum tls_result failed_before(struct tls_session *session, struct why *why)
{
    if (why != NULL)
        *why = session->failure_why;
    return TLS_FAILED;
}

/* GnuTLS does not send alerts on failure by itself: without this the peer would see only a closed connection. */
static enum tls_result fail_gnutls(struct tls_session *session, int rc, struct why *why)
{
    if (rc == GNUTLS_E_FATAL_ALERT_RECEIVED) {
        const char *name = gnutls_alert_get_name(gnutls_alert_get(session->gnutls));
        session->alerted = true;
        return fail(session, ST_PROTOCOL, "TLS alert received", name != NULL ? name : "unknown alert", why);
    }
    if (rc == GNUTLS_E_REHANDSHAKE) {
        (void)gnutls_alert_send(session->gnutls, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
        return fail(session, ST_PROTOCOL, "TLS", "renegotiation is not offered", why);
    }
    /* OpenSSL's clients say that they do not trust us before they protect what they send. A wrong pre-shared key ends so,
     * too, but in 1.2 only, and that is no such alert. */
    if (rc == GNUTLS_E_DECRYPTION_FAILED && session->found == NULL)
        session->alerted = true;
    (void)gnutls_alert_send_appropriate(session->gnutls, rc);
    if (session->peer_refused && demand_of(session)->spki.len > 0)
        return fail(session, ST_DENIED, "RFC 7250 6", "the peer's key is not the one named", why);
    if (session->peer_refused && demand_of(session)->pinned)
        return fail(session, ST_DENIED, "x5t#S256", "the peer's certificate is not the one named", why);
    if (session->peer_refused)
        return fail(session, ST_DENIED, "RFC 9325 5.1", "the peer's certificate did not verify", why);
    enum status st = rc == GNUTLS_E_MEMORY_ERROR ? ST_NO_MEMORY : ST_PROTOCOL;
    return fail(session, st, "TLS", gnutls_strerror(rc), why);
}

/* RFC 9431 §2.2.4.2.1 (MT-5): without the extended master secret a 1.2 exporter value can be made equal on two
 * connections, and the proof of possession would be worth nothing. */
static bool has_extended_master_secret(struct tls_session *session)
{
    return gnutls_protocol_get_version(session->gnutls) != GNUTLS_TLS1_2 ||
           gnutls_session_ext_master_secret_status(session->gnutls) != 0;
}

static void keep_alpn(struct tls_session *session)
{
    gnutls_datum_t chosen = { NULL, 0 };
    if (session->config->alpn_count == 0 || gnutls_alpn_get_selected_protocol(session->gnutls, &chosen) != 0)
        return;
    for (unsigned i = 0; i < session->config->alpn_count; i++) {
        const gnutls_datum_t *ours = &session->config->alpn[i];
        if (span_eq(span_of(ours->data, ours->size), span_of(chosen.data, chosen.size)))
            session->alpn = (uint8_t)(i + 1);
    }
}

/* What the ClientHello said is needed until the handshake is over, but GnuTLS keeps it as long as the session, with arrays
 * of the most there can be: 1,040 bytes of the 10,500 of an idle connection. TLS 1.3 only: there is no second handshake in it,
 * and a server that gives no more tickets does not look at these again. Setting data frees what was there. */
static void forget_hello(struct tls_session *session)
{
    static const unsigned extensions[] = { 13 /* signature_algorithms */, 16 /* ALPN */,
                                           0xff01 /* renegotiation_info, in 1.3 no more than said */ };
    if (!session->config->server || gnutls_protocol_get_version(session->gnutls) != GNUTLS_TLS1_3)
        return;
    for (size_t i = 0; i < COUNT_OF(extensions); i++)
        gnutls_ext_set_data(session->gnutls, extensions[i], NULL);
}

static enum tls_result handshake_step(struct tls_session *session, struct why *why)
{
    int rc;
    do {
        rc = gnutls_handshake(session->gnutls);
    } while (rc == GNUTLS_E_INTERRUPTED || rc == GNUTLS_E_WARNING_ALERT_RECEIVED ||
             (rc == GNUTLS_E_AGAIN && session->io->in.len > 0));
    if (rc == GNUTLS_E_AGAIN)
        return TLS_WANT_INPUT;
    if (rc < 0)
        return fail_gnutls(session, rc, why);
    if (!demand_of(session)->any_peer && !has_extended_master_secret(session)) {
        (void)gnutls_alert_send(session->gnutls, GNUTLS_AL_FATAL, GNUTLS_A_HANDSHAKE_FAILURE);
        return fail(session, ST_PROTOCOL, "MT-5", "TLS 1.2 without the extended master secret", why);
    }
    if (demand_of(session)->psk_cred != NULL) {
        if (gnutls_auth_server_get_type(session->gnutls) != GNUTLS_CRD_PSK)
            return fail(session, ST_DENIED, "MT-26", "the server did not use the pre-shared key", why);
        session->peer_verified = true;
    }
    /* GnuTLS asks verify_peer() only in full handshakes; a resumed session carries the certificate of its first
     * one, which is checked again: the CA, the clock or the pin may say otherwise today. */
    if (gnutls_session_is_resumed(session->gnutls) && first_of_chain(session).len > 0 &&
        verify_peer(session->gnutls) != 0)
        return fail_gnutls(session, GNUTLS_E_CERTIFICATE_ERROR, why);
    session->established = true;
    if (tls_peer_kind(session) != TLS_PEER_PSK)
        tls_psk_forget(session);
    else if (session->found != NULL)
        buf_wipe(&session->found->identity);
    keep_alpn(session);
    forget_hello(session);
    return TLS_OK;
}

enum tls_result tls_handshake(struct tls_session *session, struct tls_io *io, struct why *why)
{
    if (session->established)
        return TLS_OK;
    if (session->failure != ST_OK)
        return failed_before(session, why);
    session->io = io;
    enum tls_result result = handshake_step(session, why);
    session->io = NULL;
    return result;
}

/* Of one record, or what is left of the last. */
static ssize_t recv_record(struct tls_session *session, uint8_t *room, size_t cap)
{
    record_blocks.used = RECORD_FRAME + session->record_bytes;
    ssize_t rc = gnutls_record_recv(session->gnutls, room, cap);
    record_blocks.used = 0;
    return rc;
}

static enum tls_result read_records(struct tls_session *session, uint8_t *room, size_t cap, size_t *ret_len,
                                    struct why *why)
{
    size_t got = 0;
    while (got < cap) {
        size_t before = session->io->in.len;
        ssize_t rc = recv_record(session, room + got, cap - got);
        if (rc > 0) {
            got += (size_t)rc;
            if (gnutls_record_check_pending(session->gnutls) > 0)
                continue;
            session->record_bytes = 0;
            session->drained = session->io->in.len == 0;
            if (session->drained)
                break;
        } else if (rc == 0) {
            if (got > 0)
                break; /* hand out the data first; the close is seen again by the next call */
            return TLS_CLOSED;
        } else if (rc == GNUTLS_E_AGAIN && session->io->in.len == before) {
            session->drained = before == 0;
            break; /* nothing used: a KeyUpdate or a ticket would have been, and must not end the loop */
        } else if (gnutls_error_is_fatal((int)rc) || rc == GNUTLS_E_REHANDSHAKE) {
            enum tls_result failed = fail_gnutls(session, (int)rc, why);
            if (got > 0)
                break; /* what came before is good; the failure stays for the next call */
            return failed;
        }
    }
    *ret_len = got;
    return got > 0 ? TLS_OK : TLS_WANT_INPUT;
}

enum tls_result tls_read(struct tls_session *session, struct tls_io *io, uint8_t *room, size_t cap,
                         size_t *ret_len, struct why *why)
{
    if (session->failure != ST_OK)
        return failed_before(session, why);
    *ret_len = 0;
    /* GnuTLS would look for a header, and takes a block of the largest record's size to do so. */
    if (session->drained && io->in.len == 0)
        return TLS_WANT_INPUT;
    session->drained = false;
    session->io = io;
    enum tls_result result = read_records(session, room, cap, ret_len, why);
    session->io = NULL;
    return result;
}

enum status tls_write(struct tls_session *session, struct tls_io *io, struct span plain, struct why *why)
{
    if (session->failure != ST_OK)
        return reject(why, session->failure, "TLS", "the session has failed", 0);
    session->io = io;
    enum status st = ST_OK;
    while (plain.len > 0 && st == ST_OK) {
        size_t len = plain.len < TLS_RECORD_MAX ? plain.len : TLS_RECORD_MAX;
        record_blocks.used = RECORD_FRAME + len;
        ssize_t rc = gnutls_record_send(session->gnutls, plain.p, len);
        record_blocks.used = 0;
        if (rc > 0)
            plain = span_cut(plain, (size_t)rc, plain.len);
        else if (rc != GNUTLS_E_INTERRUPTED)
            st = session->failure = tls_reject(why, buf_ok(io->out) ? ST_PROTOCOL : ST_NO_MEMORY, (int)rc);
    }
    session->io = NULL;
    return st;
}

void tls_prefetch(const struct tls_session *session)
{
    prefetch(session, sizeof *session);
}

void tls_close(struct tls_session *session, struct tls_io *io)
{
    if (!session->established || session->failure != ST_OK)
        return;
    session->io = io;
    (void)gnutls_bye(session->gnutls, GNUTLS_SHUT_WR);
    session->io = NULL;
}

/* -- asking one ------------------------------------------------------------------------------------------ */

enum status tls_exporter_with(struct tls_session *session, struct span label, const struct span *context,
                              uint8_t *out, size_t len, struct why *why)
{
    if (!session->established)
        return reject(why, ST_INTERNAL, "RFC 8446 7.5", "exporter asked for before the handshake", 0);
    const char *bytes = context == NULL ? NULL : context->len == 0 ? "" : (const char *)context->p;
    int rc = gnutls_prf_rfc5705(session->gnutls, label.len, (const char *)label.p,
                                context == NULL ? 0 : context->len, bytes, len, (char *)out);
    return rc < 0 ? tls_reject(why, ST_INTERNAL, rc) : ST_OK;
}

enum status tls_exporter(struct tls_session *session, struct span label, uint8_t *out, size_t len,
                         struct why *why)
{
    /* Empty and not absent: in TLS 1.2 an empty context and no context give different values (RFC 5705 4). */
    static const struct span empty = { NULL, 0 };
    return tls_exporter_with(session, label, &empty, out, len, why);
}

static int keylog_line(gnutls_session_t gnutls, const char *label, const gnutls_datum_t *secret)
{
    struct tls_session *session = gnutls_session_get_ptr(gnutls);
    gnutls_datum_t client = { NULL, 0 }, server;

    gnutls_session_get_random(gnutls, &client, &server);
    put_fmt(session->keylog, "%s ", label);
    for (unsigned i = 0; i < client.size; i++)
        put_fmt(session->keylog, "%02x", client.data[i]);
    put_str(session->keylog, " ");
    for (unsigned i = 0; i < secret->size; i++)
        put_fmt(session->keylog, "%02x", secret->data[i]);
    put_str(session->keylog, "\n");
    return 0;
}

void tls_keylog(struct tls_session *session, struct buf *lines)
{
    session->keylog = lines;
    gnutls_session_set_keylog_function(session->gnutls, keylog_line);
}

enum status tls_failure(const struct tls_session *session)
{
    return session->failure;
}

bool tls_alerted(const struct tls_session *session)
{
    return session->alerted;
}

bool tls_established(const struct tls_session *session)
{
    return session->established;
}

bool tls_resumed(const struct tls_session *session)
{
    return session->established && gnutls_session_is_resumed(session->gnutls) != 0;
}

const char *tls_version(const struct tls_session *session)
{
    const char *name = gnutls_protocol_get_name(gnutls_protocol_get_version(session->gnutls));
    return name != NULL ? name : "none";
}

struct span tls_alpn(const struct tls_session *session)
{
    if (session->alpn == 0)
        return SPAN_NONE;
    const gnutls_datum_t *chosen = &session->config->alpn[session->alpn - 1];
    return span_of(chosen->data, chosen->size);
}

enum tls_peer_kind tls_peer_kind(const struct tls_session *session)
{
    gnutls_session_t gnutls = session->gnutls;
    if (!session->established)
        return TLS_PEER_NONE;
    gnutls_credentials_type_t how =
        session->config->server ? gnutls_auth_client_get_type(gnutls) : gnutls_auth_server_get_type(gnutls);
    if (how == GNUTLS_CRD_PSK)
        return gnutls_session_is_resumed(gnutls) ? TLS_PEER_NONE : TLS_PEER_PSK; /* tls_psk.c says why */
    if (first_of_chain(session).len == 0)
        return TLS_PEER_NONE;
    return shows_raw_key(session) ? TLS_PEER_RAW_KEY : TLS_PEER_X509;
}

struct span tls_peer_raw_key(const struct tls_session *session)
{
    return tls_peer_kind(session) == TLS_PEER_RAW_KEY ? first_of_chain(session) : SPAN_NONE;
}

struct span tls_peer_psk_identity(const struct tls_session *session)
{
    gnutls_datum_t identity = { NULL, 0 };
    if (!session->config->server || tls_peer_kind(session) != TLS_PEER_PSK ||
        gnutls_psk_server_get_username2(session->gnutls, &identity) < 0)
        return SPAN_NONE;
    return span_of(identity.data, identity.size);
}

struct span tls_peer_psk_key(const struct tls_session *session)
{
    return session->config->server && tls_peer_kind(session) == TLS_PEER_PSK ? tls_psk_key(session) : SPAN_NONE;
}

struct span tls_peer_cert(const struct tls_session *session)
{
    return tls_peer_kind(session) == TLS_PEER_X509 ? first_of_chain(session) : SPAN_NONE;
}

bool tls_peer_verified(const struct tls_session *session)
{
    return session->established && session->peer_verified;
}

bool tls_resumption_data(struct tls_session *session, struct buf *out)
{
    gnutls_datum_t data = { NULL, 0 };
    /* Without a ticket at hand GnuTLS would wait for one. */
    if ((gnutls_session_get_flags(session->gnutls) & GNUTLS_SFLAGS_SESSION_TICKET) == 0 ||
        gnutls_session_get_data2(session->gnutls, &data) < 0)
        return false;
    put_bytes(out, span_of(data.data, data.size));
    gnutls_memset(data.data, 0, data.size);
    gnutls_free(data.data);
    return buf_ok(out);
}
