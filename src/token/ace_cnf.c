/* cnf, req_cnf and rs_cnf: confirmation methods of RFC 8747 <-> RFC 7800 (AF-48). */
#include "token/ace_cbor_priv.h"

#include "codec/base64.h"
#include "cose/cose_key.h"
#include "jose/jwk.h"
#include "token/cwt_priv.h"

#define KID_TEXT_MAX 2048
#define SHA256_BYTES 32
#define COSE_KEY_OPS 4 /* label of key_ops */

/* The operations both have a name for (RFC 9052 table 5, RFC 7517 4.3); a MAC signs and verifies in JOSE. */
static const char *const op_names[] = {
    [COSE_OP_SIGN] = "sign",
    [COSE_OP_VERIFY] = "verify",
    [COSE_OP_ENCRYPT] = "encrypt",
    [COSE_OP_DECRYPT] = "decrypt",
    [COSE_OP_WRAP] = "wrapKey",
    [COSE_OP_UNWRAP] = "unwrapKey",
    [COSE_OP_DERIVE_KEY] = "deriveKey",
    [COSE_OP_DERIVE_BITS] = "deriveBits",
    [COSE_OP_MAC_CREATE] = "sign",
    [COSE_OP_MAC_VERIFY] = "verify",
};

/* The algorithms a confirmation key may be for; others, a peer's to name, are none of ours. */
static const enum cose_alg pop_algs[] = { COSE_EDDSA, COSE_ES256, COSE_HMAC_256_256 };

static const char *alg_name(int64_t number)
{
    for (size_t i = 0; i < COUNT_OF(pop_algs); i++)
        if (number == pop_algs[i])
            return sy_cose_jose_name(pop_algs[i]);
    return NULL;
}

static const enum cose_alg *alg_of(struct span name)
{
    for (size_t i = 0; i < COUNT_OF(pop_algs); i++)
        if (span_eq_str(name, sy_cose_jose_name(pop_algs[i])))
            return &pop_algs[i];
    return NULL;
}

/* ---- from CBOR ---- */

static enum status kid_text(struct span kid, struct buf *out, struct why *why)
{
    enum status st = ace_kid_text(kid, out);

    return st == ST_OK ? st : reject(why, st, "AF-48", "the kid is too long", 0);
}

static bool has_text(const struct js *array, const char *text)
{
    struct span s;

    for (size_t i = 0; i < js_size(array); i++)
        if (js_as_str(js_at(array, i), &s) && span_eq_str(s, text))
            return true;
    return false;
}

/* What the key's own members leave allowed must stay so (AF-46). */
static enum status set_ops(struct js *jwk, uint32_t ops)
{
    struct js *array = js_new_array();
    enum status st = array == NULL ? ST_NO_MEMORY : ST_OK;

    for (size_t op = COSE_OP_SIGN; st == ST_OK && op < COUNT_OF(op_names); op++)
        if ((ops & IN(op)) != 0 && !has_text(array, op_names[op]))
            st = js_append_str(array, span_of_str(op_names[op]));
    if (st != ST_OK) {
        js_unref(array);
        return st;
    }
    return js_set_take(jwk, "key_ops", array);
}

static enum status key_from_cbor(const struct cb *cb, struct js **ret_jwk, struct why *why)
{
    CLEANUP(sy_cose_key_done)
    struct cose_key key = { 0 };
    CLEANUP(buf_done)
    struct buf kid;
    CLEANUP(js_unrefp)
    struct js *jwk = NULL;
    const char *alg = NULL;
    enum status st = sy_cose_key_read(cb, COSE_KEY_ANY, &key, why);

    buf_init(&kid, KID_TEXT_MAX);
    if (st == ST_UNSUPPORTED)
        st = ST_BAD_POP_KEY; /* AF-52, with the reason kept */
    if (st == ST_OK && key.has_alg) {
        alg = alg_name(key.alg);
        if (alg == NULL)
            st = reject(why, ST_BAD_POP_KEY, "AF-46", "the key is for an algorithm we do not speak", 0);
    }
    if (st == ST_OK && key.kid.p != NULL)
        st = kid_text(key.kid, &kid, why);
    if (st == ST_OK) /* a private part is shown as it came, for the reader to refuse (TK-56) */
        st = jwk_print(key.key, key.kid.p != NULL ? buf_span(&kid) : SPAN_NONE, alg,
                       key_kind(key.key) != KEY_SECRET && key_is_private(key.key), &jwk);
    if (st == ST_OK && cb_get(cb, COSE_KEY_OPS) != NULL)
        st = set_ops(jwk, key.ops);
    if (st == ST_OK)
        *ret_jwk = TAKE(jwk);
    return st;
}

static enum status set_kid(struct js *js, const struct cb *value, struct why *why)
{
    CLEANUP(buf_done)
    struct buf text;
    struct span kid;

    buf_init(&text, KID_TEXT_MAX);
    if (!cb_as_bytes(value, &kid))
        return reject(why, ST_MALFORMED, "AF-48", "a kid that is no byte string", 0);
    enum status st = kid_text(kid, &text, why);
    return st == ST_OK ? js_set_str(js, "kid", buf_span(&text)) : st;
}

/* COSE_CertHash (RFC 9360 2): another hash than SHA-256 is a method we do not know, and skipped. */
static enum status set_x5t(struct js *js, const struct cb *value, struct why *why)
{
    CLEANUP(buf_done)
    struct buf text;
    struct span hash;
    int64_t alg;

    buf_init(&text, KID_TEXT_MAX);
    if (!cb_as_i64(cb_at(value, 0), &alg) || alg != COSE_SHA256)
        return ST_OK;
    if (cb_size(value) != 2 || !cb_as_bytes(cb_at(value, 1), &hash) || hash.len != SHA256_BYTES)
        return reject(why, ST_MALFORMED, "RFC 9360 2", "a COSE_CertHash that is not [-16, 32 bytes]", 0);
    base64url_encode(hash, &text);
    return buf_ok(&text) ? js_set_str(js, "x5t#S256", buf_span(&text)) : ST_NO_MEMORY;
}

enum status ace_cnf_from_cbor(const struct cb *cnf, struct js **ret_js, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    struct js *jwk = NULL;
    const struct cb *key = cb_get(cnf, CNF_COSE_KEY), *kid = cb_get(cnf, CNF_KID), *x5t = cb_get(cnf, CNF_X5T);
    enum status st = ST_OK;

    if (!cb_is(cnf, CB_MAP))
        return reject(why, ST_MALFORMED, "AF-48", "a confirmation that is no map", 0);
    if (cb_get(cnf, CNF_ENCRYPTED_COSE_KEY) != NULL)
        return reject(why, key != NULL ? ST_MALFORMED : ST_BAD_POP_KEY, "TK-1",
                      "an encrypted key has no place outside a token", 0);
    if (key != NULL)
        st = key_from_cbor(key, &jwk, why);
    if (st == ST_OK && jwk != NULL)
        st = js_set_take(js, "jwk", jwk);
    if (st == ST_OK && kid != NULL)
        st = set_kid(js, kid, why);
    if (st == ST_OK && x5t != NULL)
        st = set_x5t(js, x5t, why);
    if (st == ST_OK)
        *ret_js = TAKE(js);
    return st;
}

/* ---- to CBOR ---- */

static enum status put_key(const struct js *js, struct buf *out, struct why *why)
{
    CLEANUP(jwk_done)
    struct jwk jwk = { 0 };
    CLEANUP(buf_done)
    struct buf kid;
    enum status st = jwk_parse(js, JWK_ANY, &jwk, why);

    buf_init(&kid, COSE_MAX_KID);
    if (st == ST_OK && jwk.kid.p != NULL)
        st = ace_kid_bytes(jwk.kid, &kid);
    if (st != ST_OK)
        return st;
    cb_put_int(out, CNF_COSE_KEY);
    return sy_cose_key_write(jwk.key, jwk.kid.p != NULL ? buf_span(&kid) : SPAN_NONE, alg_of(jwk.alg),
                             key_kind(jwk.key) != KEY_SECRET && key_is_private(jwk.key), out);
}

static enum status put_kid(struct span text, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf kid;

    buf_init(&kid, KID_TEXT_MAX);
    enum status st = ace_kid_bytes(text, &kid);
    cb_put_int(out, CNF_KID);
    cb_put_bytes(out, buf_span(&kid));
    return st;
}

static enum status put_x5t(struct span text, struct buf *out, struct why *why)
{
    uint8_t hash[SHA256_BYTES];

    if (!base64url_decode_exactly(text, hash, sizeof hash))
        return reject(why, ST_MALFORMED, "RFC 8705 3.1", "x5t#S256 is not base64url of 32 bytes", 0);
    cb_put_int(out, CNF_X5T);
    cb_put_array(out, 2);
    cb_put_int(out, COSE_SHA256);
    cb_put_bytes(out, span_of(hash, sizeof hash));
    return ST_OK;
}

enum status ace_cnf_to_cbor(const struct js *cnf, struct buf *out, struct why *why)
{
    const struct js *jwk = js_get(cnf, "jwk");
    struct span kid, x5t;
    bool has_kid = js_get_str(cnf, "kid", &kid), has_x5t = js_get_str(cnf, "x5t#S256", &x5t);
    enum status st = ST_OK;

    if (!js_is(cnf, JS_OBJECT))
        return reject(why, ST_MALFORMED, "AF-48", "a confirmation that is no object", 0);
    cb_put_map(out, (size_t)(jwk != NULL) + has_kid + has_x5t);
    if (jwk != NULL)
        st = put_key(jwk, out, why);
    if (st == ST_OK && has_kid)
        st = put_kid(kid, out);
    if (st == ST_OK && has_x5t)
        st = put_x5t(x5t, out, why);
    return st;
}
