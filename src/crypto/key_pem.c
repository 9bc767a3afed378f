/* Keys as files have them. A DER SubjectPublicKeyInfo of either curve is a fixed prefix and the key, and DER
 * leaves no second spelling: so it is compared, not parsed. Private keys go through the library. */
#include "crypto/key_priv.h"
#include "crypto/secret.h"

/* clang-format off */
/* kind           bytes before the key (AlgorithmIdentifier, BIT STRING head)                        key */
static const struct spki_form {
    enum key_kind kind;
    struct span prefix;
    size_t key_len;
} spki_forms[] = {
    { KEY_ED25519, SPAN("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"), KEY_PART_LEN },           /* RFC 8410 4 */
    { KEY_P256,    SPAN("\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
                        "\x03\x42\x00\x04"), 2 * KEY_PART_LEN },                                       /* RFC 5480 2 */
};
/* clang-format on */

enum status key_read_spki(struct span der, struct key **ret_key, struct why *why)
{
    for (size_t i = 0; i < COUNT_OF(spki_forms); i++) {
        const struct spki_form *form = &spki_forms[i];
        if (der.len != form->prefix.len + form->key_len || !span_starts_with(der, form->prefix))
            continue;
        struct span key = span_cut(der, form->prefix.len, form->key_len);
        if (form->kind == KEY_ED25519)
            return key_new_ed25519_public(key, ret_key, why);
        return key_new_p256_public(span_cut(key, 0, KEY_PART_LEN), span_cut(key, KEY_PART_LEN, KEY_PART_LEN),
                                   ret_key, why);
    }
    return reject(why, ST_UNSUPPORTED, "RFC 5280 4.1.2.7", "public key neither Ed25519 nor uncompressed P-256",
                  0);
}

enum status key_write_spki(const struct key *key, struct buf *out)
{
    for (size_t i = 0; i < COUNT_OF(spki_forms); i++) {
        if (spki_forms[i].kind != key->kind)
            continue;
        put_bytes(out, spki_forms[i].prefix);
        put_bytes(out, key_x(key));
        put_bytes(out, key_y(key));
        return buf_status(out);
    }
    return ST_UNSUPPORTED;
}

static void wipe_datum(gnutls_datum_t *d)
{
    secret_wipe(d->data, d->size);
    gnutls_free(d->data);
    *d = (gnutls_datum_t){ NULL, 0 };
}

/* The number in `d` as KEY_PART_LEN bytes: the library drops leading zeros (or adds one). */
static bool left_padded(const gnutls_datum_t *d, uint8_t out[KEY_PART_LEN])
{
    const uint8_t *p = d->data;
    size_t len = d->size;

    while (len > KEY_PART_LEN && *p == 0)
        p++, len--;
    if (len > KEY_PART_LEN)
        return false;
    memset(out, 0, KEY_PART_LEN - len);
    memcpy(out + KEY_PART_LEN - len, p, len);
    return true;
}

/* Rebuilds the key from its private part and insists that the file's public part, if any, belongs to it. */
static enum status from_private_object(gnutls_x509_privkey_t object, struct key **ret_key, struct why *why)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    gnutls_ecc_curve_t curve;
    gnutls_datum_t x = { 0 }, y = { 0 }, d = { 0 };
    uint8_t part[KEY_PART_LEN];
    enum status st;

    if (gnutls_x509_privkey_export_ecc_raw(object, &curve, &x, &y, &d) != 0)
        return reject(why, ST_UNSUPPORTED, "RFC 8410", "private key neither Ed25519 nor P-256", 0);
    if (curve == GNUTLS_ECC_CURVE_ED25519)
        st = key_new_ed25519_private(span_of(d.data, d.size), &key, why);
    else if (curve == GNUTLS_ECC_CURVE_SECP256R1 && left_padded(&d, part))
        st = key_new_p256_private(span_of(part, sizeof part), &key, why);
    else
        st = reject(why, ST_UNSUPPORTED, "RFC 8410", "private key neither Ed25519 nor P-256", 0);
    if (st == ST_OK && x.size > 0) {
        bool same = curve == GNUTLS_ECC_CURVE_ED25519
                        ? span_eq(span_of(x.data, x.size), key_x(key))
                        : left_padded(&x, part) && span_eq(span_of(part, sizeof part), key_x(key)) &&
                              left_padded(&y, part) && span_eq(span_of(part, sizeof part), key_y(key));
        if (!same)
            st = reject(why, ST_MALFORMED, "RFC 5915 3", "public part of another private key", 0);
    }
    wipe_datum(&x);
    wipe_datum(&y);
    wipe_datum(&d);
    secret_wipe(part, sizeof part);
    if (st == ST_OK)
        *ret_key = TAKE(key);
    return st;
}

static enum status read_private(struct span pem, struct key **ret_key, struct why *why)
{
    gnutls_datum_t text = key_datum(pem);
    gnutls_x509_privkey_t object;

    if (gnutls_x509_privkey_init(&object) != 0)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    enum status st = gnutls_x509_privkey_import(object, &text, GNUTLS_X509_FMT_PEM) == 0
                         ? from_private_object(object, ret_key, why)
                         : reject(why, ST_MALFORMED, "RFC 7468 10", "no readable private key in this PEM", 0);
    gnutls_x509_privkey_deinit(object);
    return st;
}

enum status key_read_pem(struct span pem, struct key **ret_key, struct why *why)
{
    gnutls_datum_t text = key_datum(pem), der = { 0 };

    if (pem.len == 0 || pem.len > KEY_PEM_MAX)
        return reject(why, ST_MALFORMED, "RFC 7468 2", "not a PEM key", 0);
    if (gnutls_pem_base64_decode2("PUBLIC KEY", &text, &der) != 0)
        return read_private(pem, ret_key, why);
    enum status st = key_read_spki(span_of(der.data, der.size), ret_key, why);
    gnutls_free(der.data);
    return st;
}

int key_to_x509(const struct key *key, gnutls_x509_privkey_t *ret_object)
{
    bool p256 = key->kind == KEY_P256;
    gnutls_datum_t x = key_datum(key_x(key)), y = key_datum(key_y(key)), d = key_datum(key_d(key));
    gnutls_x509_privkey_t object;

    int rc = gnutls_x509_privkey_init(&object);
    if (rc != 0)
        return rc;
    rc = gnutls_x509_privkey_import_ecc_raw(
        object, p256 ? GNUTLS_ECC_CURVE_SECP256R1 : GNUTLS_ECC_CURVE_ED25519, &x, p256 ? &y : NULL, &d);
    if (rc == 0)
        *ret_object = object;
    else
        gnutls_x509_privkey_deinit(object);
    return rc;
}

static enum status put_datum(gnutls_datum_t *d, struct buf *out)
{
    put_bytes(out, span_of(d->data, d->size));
    wipe_datum(d);
    return buf_status(out);
}

static enum status write_public(const struct key *key, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf der;
    gnutls_datum_t pem = { 0 };

    buf_init(&der, 256);
    if (key_write_spki(key, &der) != ST_OK)
        return ST_NO_MEMORY;
    gnutls_datum_t raw = key_datum(buf_span(&der));
    if (gnutls_pem_base64_encode2("PUBLIC KEY", &raw, &pem) != 0)
        return ST_NO_MEMORY;
    return put_datum(&pem, out);
}

enum status key_write_pem(const struct key *key, bool with_private, struct buf *out)
{
    gnutls_x509_privkey_t object;
    gnutls_datum_t pem = { 0 };

    if (key->kind == KEY_SECRET || (with_private && !key->is_private))
        return ST_UNSUPPORTED;
    if (!with_private)
        return write_public(key, out);
    int rc = key_to_x509(key, &object);
    if (rc != 0)
        return ST_NO_MEMORY;
    rc = gnutls_x509_privkey_export2_pkcs8(object, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem);
    gnutls_x509_privkey_deinit(object);
    return rc == 0 ? put_datum(&pem, out) : ST_INTERNAL;
}
