/* Peers that are known by a raw public key or a pre-shared key (TLS:Known of RFC 9431), on the same port as
 * certificates.
 *
 * GnuTLS has no way back from a pre-shared key it does not know: a 1.3 client that offers one and could do without
 * is refused. So the ClientHello is read before GnuTLS reads it, and the session gets its PSK credentials only when
 * they will lead somewhere: a 1.3 identity that is known, or a 1.2 suite (where the identity comes later).
 *
 * A session with a PSK gets no ticket and is never resumed. Its identity may name a key by `kid` (MT-27), and what
 * a kid names can change: somebody who once proved the old key must not come back as the holder of the new one.
 * A raw key is its own name, so such sessions may be resumed; GnuTLS carries the key in the ticket. */
#include "net/tls_hello.h"
#include "net/tls_priv.h"

#include <stdlib.h>

static bool find_psk(struct tls_session *session, struct span identity)
{
    if (identity.len == 0 || identity.len > TLS_PSK_IDENTITY_MAX)
        return false;
    if (session->found != NULL && span_eq(identity, buf_span(&session->found->identity)))
        return true; /* the second ClientHello, or GnuTLS asking after the hook did */
    tls_psk_forget(session);
    struct tls_found *f = session->found = calloc(1, sizeof *f);
    if (f == NULL)
        return false;
    buf_init(&f->identity, TLS_PSK_IDENTITY_MAX);
    buf_init(&f->key, TLS_PSK_KEY_MAX);
    bool found = session->config->psk_find(session->psk_ctx, identity, &f->key);
    if (found)
        put_bytes(&f->identity, identity);
    if (found && f->key.len > 0 && buf_ok(&f->key) && buf_ok(&f->identity))
        return true;
    tls_psk_forget(session);
    return false;
}

void tls_psk_forget(struct tls_session *session)
{
    if (session->found == NULL)
        return;
    buf_wipe(&session->found->identity);
    buf_wipe(&session->found->key);
    free(TAKE(session->found));
}

/* GnuTLS asks for the key; it frees what it is given. 1: unknown, go on with a random one, so that nobody learns
 * from the alert which identities exist (RFC 4279 2). */
static int give_psk(gnutls_session_t gnutls, const gnutls_datum_t *identity, gnutls_datum_t *key)
{
    struct tls_session *session = gnutls_session_get_ptr(gnutls);
    if (!find_psk(session, span_of(identity->data, identity->size)))
        return 1;
    struct span found = tls_psk_key(session);
    key->data = gnutls_malloc(found.len);
    if (key->data == NULL)
        return -1;
    memcpy(key->data, found.p, found.len);
    key->size = (unsigned)found.len;
    return 0;
}

int tls_known_init(struct tls_config *config)
{
    if (config->psk_find == NULL)
        return 0;
    int rc = gnutls_psk_allocate_server_credentials(&config->psk_cred);
    if (rc == 0)
        gnutls_psk_set_server_credentials_function2(config->psk_cred, give_psk);
    return rc;
}

static bool wants_psk(struct tls_session *session, const struct tls_hello *hello)
{
    if (session->config->psk_find == NULL)
        return false;
    if (hello->offers_pre_shared)
        return find_psk(session, hello->psk_identity);
    return hello->offers_psk_suite;
}

static int on_client_hello(gnutls_session_t gnutls, unsigned type, unsigned when, unsigned incoming,
                           const gnutls_datum_t *msg)
{
    struct tls_session *session = gnutls_session_get_ptr(gnutls);
    struct tls_hello hello;
    int rc = 0;
    (void)type, (void)when, (void)incoming;

    if (tls_hello_read(span_of(msg->data, msg->size), &hello) != ST_OK)
        return 0;
    /* Whoever has no raw key to show is not asked for one: the usual handshake stays as it was. */
    if (session->config->raw_keys && hello.offers_raw_key)
        gnutls_certificate_server_set_request(gnutls, GNUTLS_CERT_REQUEST);
    if (wants_psk(session, &hello)) {
        rc = gnutls_priority_set(gnutls, session->config->priorities[TLS_WITH_PSK]);
        if (rc == 0)
            rc = gnutls_credentials_set(gnutls, GNUTLS_CRD_PSK, session->config->psk_cred);
    }
    return rc;
}

int tls_known_watch(struct tls_session *session)
{
    if (session->config->raw_keys || session->config->psk_find != NULL)
        gnutls_handshake_set_hook_function(session->gnutls, GNUTLS_HANDSHAKE_CLIENT_HELLO, GNUTLS_HOOK_PRE,
                                           on_client_hello);
    return 0;
}

int tls_psk_expect(struct tls_session *session, struct span identity, struct span key)
{
    gnutls_datum_t id = { (unsigned char *)identity.p, (unsigned)identity.len };
    gnutls_datum_t secret = { (unsigned char *)key.p, (unsigned)key.len };
    gnutls_psk_client_credentials_t *cred = &session->demand->psk_cred;
    int rc = gnutls_psk_allocate_client_credentials(cred);
    if (rc == 0)
        rc = gnutls_psk_set_client_credentials2(*cred, &id, &secret, GNUTLS_PSK_KEY_RAW);
    if (rc == 0)
        rc = gnutls_credentials_set(session->gnutls, GNUTLS_CRD_PSK, *cred);
    return rc;
}
