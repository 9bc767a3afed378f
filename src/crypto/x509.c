#include "crypto/x509.h"

#include "crypto/key_priv.h"
#include "crypto/random.h"
#include "crypto/secret.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define SERIAL_LEN      16
#define SUBJECT_KEY_LEN 20
#define CLOCK_DIFFERS_S 3600
#define DAY_S           86400
#define NAME_MAX_LEN    253 /* of a DNS name */

static void crt_deinitp(gnutls_x509_crt_t *crt)
{
    if (*crt != NULL)
        gnutls_x509_crt_deinit(*crt);
}

static void privkey_deinitp(gnutls_x509_privkey_t *key)
{
    if (*key != NULL)
        gnutls_x509_privkey_deinit(*key);
}

void x509_pair_done(struct x509_pair *pair)
{
    buf_done(&pair->cert_pem);
    buf_wipe(&pair->key_pem);
}

static enum status library_failed(int rc, struct why *why)
{
    return reject(why, rc == GNUTLS_E_MEMORY_ERROR ? ST_NO_MEMORY : ST_INTERNAL, "X.509", gnutls_strerror(rc),
                  0);
}

static enum status read_cert(struct span pem_or_der, gnutls_x509_crt_t *ret_crt, struct why *why)
{
    CLEANUP(crt_deinitp)
    gnutls_x509_crt_t crt = NULL;
    gnutls_datum_t in = key_datum(pem_or_der);

    if (pem_or_der.len == 0 || pem_or_der.len > X509_PEM_MAX)
        return reject(why, ST_MALFORMED, "RFC 7468 5", "not a certificate", 0);
    /* DER starts with SEQUENCE, a byte that is the digit "0" in PEM's text, where it cannot come first. */
    bool der = pem_or_der.p[0] == 0x30;
    int rc = gnutls_x509_crt_init(&crt);
    if (rc != 0)
        return library_failed(rc, why);
    if (gnutls_x509_crt_import(crt, &in, der ? GNUTLS_X509_FMT_DER : GNUTLS_X509_FMT_PEM) != 0)
        return reject(why, ST_MALFORMED, "RFC 5280 4.1", "not a certificate", 0);
    *ret_crt = TAKE(crt);
    return ST_OK;
}

/* What all three kinds of certificate have: version, serial number, subject, validity, key and its identifier. */
static int fill_common(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, struct span common_name, int days,
                       struct wall_time now)
{
    uint8_t serial[SERIAL_LEN], id[SUBJECT_KEY_LEN];
    size_t id_len = sizeof id;

    if (random_bytes(serial, sizeof serial) != ST_OK)
        return GNUTLS_E_RANDOM_FAILED;
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive and always 16 bytes (RFC 5280 4.1.2.2) */
    int rc = gnutls_x509_crt_set_version(crt, 3);
    if (rc == 0)
        rc = gnutls_x509_crt_set_serial(crt, serial, sizeof serial);
    if (rc == 0)
        rc = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, common_name.p,
                                           (unsigned)common_name.len);
    if (rc == 0)
        rc = gnutls_x509_crt_set_activation_time(crt, now.s - CLOCK_DIFFERS_S);
    if (rc == 0)
        rc = gnutls_x509_crt_set_expiration_time(crt, now.s + (int64_t)days * DAY_S);
    if (rc == 0)
        rc = gnutls_x509_crt_set_key(crt, key);
    if (rc == 0)
        rc = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, &id_len);
    if (rc == 0)
        rc = gnutls_x509_crt_set_subject_key_id(crt, id, id_len);
    return rc;
}

static int set_name(gnutls_x509_crt_t crt, struct span name)
{
    char text[NAME_MAX_LEN + 1];
    uint8_t address[16];

    if (name.len == 0 || name.len > NAME_MAX_LEN || memchr(name.p, 0, name.len) != NULL)
        return GNUTLS_E_INVALID_REQUEST;
    memcpy(text, name.p, name.len);
    text[name.len] = '\0';
    if (inet_pton(AF_INET, text, address) == 1)
        return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, address, 4, GNUTLS_FSAN_APPEND);
    if (inet_pton(AF_INET6, text, address) == 1)
        return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, address, 16, GNUTLS_FSAN_APPEND);
    return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, text, (unsigned)name.len,
                                                GNUTLS_FSAN_APPEND);
}

static enum status write_pair(gnutls_x509_crt_t crt, const struct key *key, struct x509_pair *out,
                              struct why *why)
{
    struct x509_pair pair;
    gnutls_datum_t pem = { 0 };

    int rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);
    if (rc != 0)
        return library_failed(rc, why);
    buf_init(&pair.cert_pem, X509_PEM_MAX);
    buf_init(&pair.key_pem, KEY_PEM_MAX);
    put_bytes(&pair.cert_pem, span_of(pem.data, pem.size));
    gnutls_free(pem.data);
    enum status st = buf_ok(&pair.cert_pem) ? key_write_pem(key, true, &pair.key_pem) : ST_NO_MEMORY;
    if (st != ST_OK) {
        x509_pair_done(&pair);
        return reject(why, st, "memory", "certificate could not be written", 0);
    }
    *out = pair;
    return ST_OK;
}

struct request {
    struct span common_name;
    const struct span *names;
    size_t names_count;
    const char *purpose; /* NULL: an authority */
    int days;
    struct wall_time now;
};

static int fill_purpose(gnutls_x509_crt_t crt, const struct request *req)
{
    int rc;

    if (req->purpose == NULL) {
        rc = gnutls_x509_crt_set_basic_constraints(crt, 1, 0);
        return rc != 0 ? rc
                       : gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    }
    rc = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (rc == 0)
        rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (rc == 0)
        rc = gnutls_x509_crt_set_key_purpose_oid(crt, req->purpose, 0);
    for (size_t i = 0; i < req->names_count && rc == 0; i++)
        rc = set_name(crt, req->names[i]);
    return rc;
}

/* Signs with the authority given, or with itself if that is NULL. */
static enum status make(const struct request *req, gnutls_x509_crt_t ca, gnutls_x509_privkey_t ca_key,
                        struct x509_pair *out, struct why *why)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(crt_deinitp)
    gnutls_x509_crt_t crt = NULL;
    CLEANUP(privkey_deinitp)
    gnutls_x509_privkey_t own = NULL;
    uint8_t id[64];
    size_t id_len = sizeof id;

    if (req->common_name.len == 0 || req->common_name.len > 64 || req->days < 1)
        return reject(why, ST_MALFORMED, "RFC 5280 A.1", "common name of 1 to 64 bytes and at least a day", 0);
    enum status st = key_generate(KEY_P256, &key);
    if (st != ST_OK)
        return reject(why, st, "X.509", "no key could be made", 0);
    int rc = key_to_x509(key, &own);
    if (rc == 0)
        rc = gnutls_x509_crt_init(&crt);
    if (rc == 0)
        rc = fill_common(crt, own, req->common_name, req->days, req->now);
    if (rc == 0)
        rc = fill_purpose(crt, req);
    if (rc == 0 && ca != NULL && gnutls_x509_crt_get_subject_key_id(ca, id, &id_len, NULL) == 0)
        rc = gnutls_x509_crt_set_authority_key_id(crt, id, id_len);
    if (rc == 0)
        rc = gnutls_x509_crt_sign2(crt, ca != NULL ? ca : crt, ca != NULL ? ca_key : own, GNUTLS_DIG_SHA256, 0);
    return rc == 0 ? write_pair(crt, key, out, why) : library_failed(rc, why);
}

static enum status issue(const struct request *req, struct span ca_cert, struct span ca_key,
                         struct x509_pair *out, struct why *why)
{
    CLEANUP(crt_deinitp)
    gnutls_x509_crt_t ca = NULL;
    CLEANUP(privkey_deinitp)
    gnutls_x509_privkey_t key = NULL;
    gnutls_datum_t key_text = key_datum(ca_key);

    enum status st = read_cert(ca_cert, &ca, why);
    if (st != ST_OK)
        return st;
    int rc = gnutls_x509_privkey_init(&key);
    if (rc != 0)
        return library_failed(rc, why);
    if (gnutls_x509_privkey_import(key, &key_text, GNUTLS_X509_FMT_PEM) != 0)
        return reject(why, ST_MALFORMED, "RFC 7468 10", "the authority's key is not readable", 0);
    return make(req, ca, key, out, why);
}

enum status x509_make_ca(struct span common_name, int days, struct wall_time now, struct x509_pair *out,
                         struct why *why)
{
    struct request req = { .common_name = common_name, .days = days, .now = now };
    return make(&req, NULL, NULL, out, why);
}

enum status x509_issue_server(struct span ca_cert, struct span ca_key, struct span common_name,
                              const struct span *names, size_t names_count, int days, struct wall_time now,
                              struct x509_pair *out, struct why *why)
{
    struct request req = { common_name, names, names_count, GNUTLS_KP_TLS_WWW_SERVER, days, now };

    if (names_count == 0)
        return reject(why, ST_MALFORMED, "RFC 9525 6", "a server certificate needs a name", 0);
    for (size_t i = 0; i < names_count; i++)
        if (names[i].len == 0 || names[i].len > NAME_MAX_LEN || memchr(names[i].p, 0, names[i].len) != NULL)
            return reject(why, ST_MALFORMED, "RFC 9525 6", "not a host name or address", 0);
    return issue(&req, ca_cert, ca_key, out, why);
}

enum status x509_issue_client(struct span ca_cert, struct span ca_key, struct span common_name, int days,
                              struct wall_time now, struct x509_pair *out, struct why *why)
{
    struct request req = { common_name, NULL, 0, GNUTLS_KP_TLS_WWW_CLIENT, days, now };
    return issue(&req, ca_cert, ca_key, out, why);
}

enum status x509_thumbprint(struct span pem_or_der, uint8_t out[SHA256_LEN], struct why *why)
{
    CLEANUP(crt_deinitp)
    gnutls_x509_crt_t crt = NULL;
    gnutls_datum_t der = { 0 };

    enum status st = read_cert(pem_or_der, &crt, why);
    if (st != ST_OK)
        return st;
    int rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der);
    if (rc != 0)
        return library_failed(rc, why);
    st = sha256(span_of(der.data, der.size), out);
    gnutls_free(der.data);
    return st;
}

enum status x509_public_key(struct span pem_or_der, struct key **ret_key, struct why *why)
{
    CLEANUP(crt_deinitp)
    gnutls_x509_crt_t crt = NULL;
    gnutls_pubkey_t pub = NULL;
    gnutls_datum_t spki = { 0 };

    enum status st = read_cert(pem_or_der, &crt, why);
    if (st != ST_OK)
        return st;
    int rc = gnutls_pubkey_init(&pub);
    if (rc != 0)
        return library_failed(rc, why);
    rc = gnutls_pubkey_import_x509(pub, crt, 0);
    if (rc == 0)
        rc = gnutls_pubkey_export2(pub, GNUTLS_X509_FMT_DER, &spki);
    gnutls_pubkey_deinit(pub);
    if (rc != 0)
        return reject(why, ST_UNSUPPORTED, "RFC 5280 4.1.2.7", "the certificate's key is of no kind we speak",
                      0);
    st = key_read_spki(span_of(spki.data, spki.size), ret_key, why);
    gnutls_free(spki.data);
    return st;
}
