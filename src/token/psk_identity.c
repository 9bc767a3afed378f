#include "token/psk_identity.h"

#include "codec/cbor.h"
#include "codec/json.h"

#define CNF_MAX_BYTES 1024

/* RFC 9200 5.9.2 (cnf), RFC 8747 3.2 (COSE_Key in cnf), RFC 9052 7.1 (kty, kid), RFC 9053 6.3 (symmetric). */
enum { CBOR_CNF = 8, CBOR_CNF_COSE_KEY = 1, COSE_KTY = 1, COSE_KID = 2, COSE_KTY_SYMMETRIC = 4 };

static enum status take_kid(struct span kid, struct psk_identity *out, struct why *why)
{
    if (kid.len == 0 || kid.len > sizeof out->kid_bytes)
        return reject(why, ST_MALFORMED, "MT-27", "the kid is empty or too long", 0);
    memcpy(out->kid_bytes, kid.p, kid.len);
    out->kid = span_of(out->kid_bytes, kid.len);
    return ST_OK;
}

static enum status parse_cbor(struct span identity, struct psk_identity *out, struct why *why)
{
    CLEANUP(cb_unrefp)
    struct cb *all = NULL;
    const struct cb *cnf, *key;
    struct span kid;
    int64_t kty;
    enum status st = cb_parse(identity, CNF_MAX_BYTES, &all, why);

    if (st != ST_OK)
        return st == ST_NO_MEMORY ? st : ST_MALFORMED;
    cnf = cb_get(all, CBOR_CNF);
    key = cb_get(cnf, CBOR_CNF_COSE_KEY);
    if (cb_size(all) != 1 || cb_size(cnf) != 1 || cb_size(key) != 2 ||
        !cb_as_i64(cb_get(key, COSE_KTY), &kty) || kty != COSE_KTY_SYMMETRIC ||
        !cb_as_bytes(cb_get(key, COSE_KID), &kid))
        return reject(why, ST_MALFORMED, "MT-27", "not cnf with a symmetric COSE_Key of kid alone", 0);
    return take_kid(kid, out, why);
}

static enum status parse_json(struct span identity, struct psk_identity *out, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *all = NULL;
    const struct js *cnf, *jwk;
    struct span kty, kid;
    enum status st = js_parse(identity, CNF_MAX_BYTES, &all, why);

    if (st != ST_OK)
        return st == ST_NO_MEMORY ? st : ST_MALFORMED;
    cnf = js_get(all, "cnf");
    jwk = js_get(cnf, "jwk");
    if (js_size(all) != 1 || js_size(cnf) != 1 || js_size(jwk) != 2 || !js_get_str(jwk, "kty", &kty) ||
        !span_eq_str(kty, "oct") || !js_get_str(jwk, "kid", &kid))
        return reject(why, ST_MALFORMED, "MT-27", "not cnf with an oct JWK of kid alone", 0);
    return take_kid(kid, out, why);
}

enum status psk_identity_parse(struct span identity, struct psk_identity *out, struct why *why)
{
    out->token = out->kid = SPAN_NONE;
    if (identity.len == 0)
        return reject(why, ST_MALFORMED, "MT-28", "an empty identity", 0);
    if (identity.len >= 2 && identity.p[0] == 0xa1 && identity.p[1] == CBOR_CNF) /* D-30 */
        return parse_cbor(identity, out, why);
    if (identity.p[0] == '{')
        return parse_json(identity, out, why);
    out->token = identity;
    return ST_OK;
}

enum status psk_identity_write_cbor(struct span kid, struct buf *out)
{
    if (kid.len == 0 || kid.len > PSK_IDENTITY_KID_MAX)
        return ST_MALFORMED;
    cb_put_map(out, 1);
    cb_put_int(out, CBOR_CNF);
    cb_put_map(out, 1);
    cb_put_int(out, CBOR_CNF_COSE_KEY);
    cb_put_map(out, 2);
    cb_put_int(out, COSE_KTY);
    cb_put_int(out, COSE_KTY_SYMMETRIC);
    cb_put_int(out, COSE_KID);
    cb_put_bytes(out, kid);
    return buf_status(out);
}

enum status psk_identity_write_json(struct span kid, struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *all = js_new_object();
    struct js *cnf = js_new_object();
    struct js *jwk = js_new_object();
    enum status st, nested;

    if (kid.len > PSK_IDENTITY_KID_MAX)
        kid.len = 0;
    st = kid.len == 0 ? ST_MALFORMED : js_set_str(jwk, "kty", SPAN("oct"));
    if (st == ST_OK)
        st = js_set_str(jwk, "kid", kid);
    nested = js_set_take(cnf, "jwk", jwk);
    st = st == ST_OK ? nested : st;
    nested = js_set_take(all, "cnf", cnf);
    st = st == ST_OK ? nested : st;
    return st == ST_OK ? js_print(all, out) : st;
}
