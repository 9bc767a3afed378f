#include "net/tls_look.h"
#include "net/tls_priv.h"

#include <arpa/inet.h>
#include <gnutls/x509.h>
#include <stdio.h>

static void put_name(char *names, size_t cap, const char *name)
{
    size_t len = strlen(names);

    (void)snprintf(names + len, cap - len, "%s%s", len == 0 ? "" : ", ", name);
}

static void read_names(gnutls_x509_crt_t crt, struct tls_look_cert *out)
{
    char name[TLS_LOOK_TEXT], text[INET6_ADDRSTRLEN];

    for (unsigned i = 0;; i++) {
        size_t len = sizeof name - 1;
        int type = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &len, NULL);
        if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
            continue; /* too long to be shown */
        if (type < 0)
            return;
        name[len] = '\0';
        if (type == GNUTLS_SAN_IPADDRESS && (len == 4 || len == 16))
            put_name(out->names, sizeof out->names,
                     inet_ntop(len == 4 ? AF_INET : AF_INET6, name, text, sizeof text) == NULL ? "?" : text);
        else if (type == GNUTLS_SAN_DNSNAME)
            put_name(out->names, sizeof out->names, name);
    }
}

static void read_cert(const gnutls_datum_t *der, const char *host, struct tls_look_cert *out, bool *ret_named)
{
    gnutls_x509_crt_t crt;
    size_t len;
    unsigned bits = 0;

    if (gnutls_x509_crt_init(&crt) < 0)
        return;
    if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) == 0) {
        len = sizeof out->subject;
        (void)gnutls_x509_crt_get_dn(crt, out->subject, &len);
        len = sizeof out->issuer;
        (void)gnutls_x509_crt_get_issuer_dn(crt, out->issuer, &len);
        int algorithm = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
        (void)snprintf(out->key, sizeof out->key, "%s, %u bits",
                       gnutls_pk_get_name((gnutls_pk_algorithm_t)algorithm), bits);
        out->from_s = gnutls_x509_crt_get_activation_time(crt);
        out->until_s = gnutls_x509_crt_get_expiration_time(crt);
        read_names(crt, out);
        if (ret_named != NULL)
            *ret_named = gnutls_x509_crt_check_hostname(crt, host) != 0;
    }
    gnutls_x509_crt_deinit(crt);
}

/* The chain alone; the name is looked at by itself, so that each can be said. */
static void judge(struct tls_session *session, struct tls_look *out)
{
    gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                      .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_SERVER };
    gnutls_datum_t text = { NULL, 0 };
    unsigned status = 0;
    int rc = gnutls_certificate_verify_peers(session->gnutls, &purpose, 1, &status);

    out->trusted = rc == 0 && status == 0;
    if (out->trusted)
        return;
    if (rc < 0)
        (void)snprintf(out->problem, sizeof out->problem, "%s", gnutls_strerror(rc));
    else if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) == 0)
        (void)snprintf(out->problem, sizeof out->problem, "%s", (const char *)text.data);
    gnutls_free(text.data);
    for (size_t len = strlen(out->problem); len > 0 && out->problem[len - 1] == ' '; len--)
        out->problem[len - 1] = '\0';
}

void tls_look(struct tls_session *session, const char *host, struct tls_look *out)
{
    gnutls_session_t gnutls = session->gnutls;
    unsigned count = 0;

    *out = (struct tls_look){ 0 };
    out->version = gnutls_protocol_get_name(gnutls_protocol_get_version(gnutls));
    out->cipher = gnutls_cipher_get_name(gnutls_cipher_get(gnutls));
    out->group = gnutls_group_get_name(gnutls_group_get(gnutls));
    out->extended_master_secret = gnutls_protocol_get_version(gnutls) >= GNUTLS_TLS1_3 ||
                                  gnutls_session_ext_master_secret_status(gnutls) != 0;
    out->asked_for_certificate = gnutls_certificate_client_get_request_status(gnutls) != 0;
    out->showed_raw_key = out->asked_for_certificate &&
                          gnutls_certificate_type_get2(gnutls, GNUTLS_CTYPE_CLIENT) == GNUTLS_CRT_RAWPK;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(gnutls, &count);
    if (gnutls_certificate_type_get2(gnutls, GNUTLS_CTYPE_PEERS) != GNUTLS_CRT_X509 || chain == NULL)
        return;
    out->chain = count;
    for (unsigned i = 0; i < count && i < TLS_LOOK_CHAIN; i++)
        read_cert(&chain[i], host, &out->certs[i], i == 0 ? &out->named : NULL);
    judge(session, out);
}
