/* Reading a CWT (RFC 8392 7.2): its layers, and its claims under the names that JWTs have for them. */
#include "codec/base64.h"
#include "token/cwt_priv.h"
#include "token/token_priv.h"

#define CWT_CONTENT_FORMAT 61

/* ---- layers ---- */

static bool has_cose_tag(struct span bytes)
{
    return bytes.len > 0 && bytes.p[0] >= (0xc0 | COSE_ENCRYPT0) && bytes.p[0] <= (0xc0 | COSE_SIGN1);
}

/* The CWT tag stands outermost only, and only in front of a COSE tag (TK-10). */
static enum status strip_cwt_tag(struct span bytes, bool outermost, struct span *ret, struct why *why)
{
    static const uint8_t tag[] = { 0xd8, CWT_TAG };

    *ret = bytes;
    if (!outermost || !span_starts_with(bytes, span_of(tag, sizeof tag)))
        return ST_OK;
    *ret = span_cut(bytes, sizeof tag, bytes.len);
    if (has_cose_tag(*ret))
        return ST_OK;
    if (ret->len > 1 && ret->p[0] == 0xd8) /* 96, 97, 98: several recipients or signers */
        return reject(why, ST_UNSUPPORTED, "RFC 9052 2", "a COSE structure that is not spoken", sizeof tag);
    return reject(why, ST_MALFORMED, "TK-10", "no COSE tag behind the CWT tag", sizeof tag);
}

/* What the issuer signs for other ends says so (RFC 9596; as `typ` in a JWT, TK-24). */
static enum status check_type(const struct cose *cose, struct why *why)
{
    struct span text;
    int64_t number;

    if (cose->typ == NULL || (cb_as_i64(cose->typ, &number) && number == CWT_CONTENT_FORMAT) ||
        (cb_as_text(cose->typ, &text) && jose_type_is(text, "cwt")))
        return ST_OK;
    return reject(why, ST_BAD_TOKEN, "TK-24", "typ is another kind of message", 0);
}

static void put_plain(const struct cose *cose, struct span kid, struct buf *out)
{
    buf_init(out, cose->protected.len + cose->content.len + cose->signature.len + kid.len + 64);
    cb_put_tag(out, CWT_TAG);
    sy_cose_put_plain(cose, kid, out);
}

/* The tag may be left away and unprotected headers be added by whoever holds a CWT, and it verifies all the same. So that
 * it is one token still, revoked once and for all, it is known by the hash of what its issuer made of it: tags 61 and its
 * own, the kid of the key, the IV. */
static enum status hash_plain(struct opened *o, const struct cose *cose, const struct verifier_choice *choice)
{
    CLEANUP(buf_done)
    struct buf plain;
    CLEANUP(buf_done)
    struct buf other;
    struct cose twin = *cose;
    uint8_t signature[SIG_ES256_LEN];
    bool lesser;

    buf_init(&other, 0);
    put_plain(cose, choice->kid, &plain);
    if (cose->alg != COSE_ES256)
        return buf_ok(&plain) ? opened_hash(o, buf_span(&plain)) : ST_NO_MEMORY;
    lesser = sig_es256_twin(cose->signature.p, signature);
    twin.signature = span_of(signature, sizeof signature);
    put_plain(&twin, choice->kid, &other);
    if (!buf_ok(&plain) || !buf_ok(&other))
        return ST_NO_MEMORY;
    return lesser ? opened_hash_twins(o, buf_span(&other), buf_span(&plain))
                  : opened_hash_twins(o, buf_span(&plain), buf_span(&other));
}

/* As with a JWT: the issuer it names may have a key of this kid that we do not know yet. */
static enum status check_signature(const struct verifier *v, const struct signed_layer *layer,
                                   const struct verifier_choice *choice, struct buf *out, struct why *why)
{
    enum status st = sy_cose_open(layer->cose, choice->key, out, why);

    if (st == ST_BAD_TOKEN && verifier_names_other_issuer(v, layer, choice->issuer))
        return reject(why, st, TOKEN_CLAUSE_KEY_UNKNOWN, "the issuer it names has no such key", 0);
    return st;
}

static enum status open_signed(const struct verifier *v, const struct cose *cose, struct opened *o,
                               struct buf *out, struct why *why)
{
    const struct signed_layer layer = { .cose = cose };
    struct verifier_choice choice;
    enum status st = verifier_signing_key(v, &layer, &choice, why);

    if (st == ST_OK)
        st = opened_by(o, choice.issuer, why);
    if (st == ST_OK)
        st = check_signature(v, &layer, &choice, out, why);
    return st == ST_OK ? hash_plain(o, cose, &choice) : st;
}

static enum status open_encrypted(const struct verifier *v, const struct cose *cose, struct opened *o,
                                  struct buf *out, struct why *why)
{
    const struct encrypted_layer layer = { .cose = cose };
    struct verifier_choice choice;
    enum status st = verifier_shared_key_for(v, &layer, o->issuer, &choice, why);

    if (st == ST_OK)
        st = opened_by(o, choice.issuer, why);
    if (st == ST_OK)
        st = sy_cose_open(cose, choice.key, out, why);
    if (st == ST_OK)
        o->encrypted = true;
    return st == ST_OK ? hash_plain(o, cose, &choice) : st;
}

enum status cwt_open_layer(const struct verifier *v, struct span bytes, bool outermost, struct opened *o,
                           struct buf *out, struct why *why)
{
    CLEANUP(sy_cose_done)
    struct cose cose = { 0 };
    struct span message;
    enum status st = strip_cwt_tag(bytes, outermost, &message, why);

    if (st == ST_OK)
        st = sy_cose_parse(message, message.len, &cose, why);
    if (st == ST_OK)
        st = check_type(&cose, why);
    if (st != ST_OK)
        return st;
    st =
        cose.kind == COSE_ENCRYPT0 ? open_encrypted(v, &cose, o, out, why) : open_signed(v, &cose, o, out, why);
    o->nested = st == ST_OK && has_cose_tag(buf_span(out));
    return st;
}

/* ---- claims ---- */

enum form { FORM_TEXT, FORM_TEXTS, FORM_INTEGER, FORM_DATE, FORM_BYTES };

/* clang-format off */
/* RFC 8392 3.1, RFC 9200 8.14: those whose rules a JWT's claim shares */
static const struct claim_row {
    enum cwt_claim label; const char *name; enum form form;
} claim_rows[] = {
    { CWT_ISS,         "iss",         FORM_TEXT    },
    { CWT_SUB,         "sub",         FORM_TEXT    },
    { CWT_AUD,         "aud",         FORM_TEXTS   },
    { CWT_EXP,         "exp",         FORM_INTEGER },
    { CWT_NBF,         "nbf",         FORM_INTEGER },
    { CWT_IAT,         "iat",         FORM_DATE    },
    { CWT_ACE_PROFILE, "ace_profile", FORM_INTEGER },
    { CWT_CNONCE,      "cnonce",      FORM_BYTES   },
    { CWT_EXI,         "exi",         FORM_INTEGER },
};
/* clang-format on */

#define DATE_MAX ((double)(INT64_C(1) << 53)) /* TK-52 */

static enum status set_texts(struct js *js, const char *name, const struct cb *value)
{
    CLEANUP(js_unrefp)
    struct js *list = js_new_array();
    struct span text;
    enum status st = ST_OK;

    if (cb_as_text(value, &text))
        return js_set_str(js, name, text);
    for (size_t i = 0; st == ST_OK && i < cb_size(value) && cb_is(value, CB_ARRAY); i++)
        st = cb_as_text(cb_at(value, i), &text) ? js_append_str(list, text)
                                                : js_append_take(list, js_new_i64(0));
    return st == ST_OK ? js_set_take(js, name, TAKE(list)) : st;
}

/* When a token was made may be told in parts of a second (RFC 8392 A.7); when it ends may not (TK-52). */
static bool read_date(const struct cb *value, int64_t *ret)
{
    double seconds;

    if (cb_as_i64(value, ret))
        return true;
    if (!cb_as_double(value, &seconds) || !(seconds >= 0 && seconds <= DATE_MAX)) /* NaN is neither */
        return false;
    *ret = (int64_t)seconds;
    return true;
}

static enum status set_bytes(struct js *js, const char *name, struct span bytes)
{
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, base64url_len(bytes.len));
    base64url_encode(bytes, &text);
    return buf_ok(&text) ? js_set_str(js, name, buf_span(&text)) : ST_NO_MEMORY;
}

static enum status set_claim(struct js *js, const struct claim_row *row, const struct cb *value)
{
    struct span s;
    int64_t number;

    switch (row->form) {
    case FORM_TEXT:
        return cb_as_text(value, &s) ? js_set_str(js, row->name, s) : js_set_null(js, row->name);
    case FORM_TEXTS:
        return set_texts(js, row->name, value);
    case FORM_INTEGER:
        return cb_as_i64(value, &number) ? js_set_i64(js, row->name, number) : js_set_null(js, row->name);
    case FORM_DATE:
        return read_date(value, &number) ? js_set_i64(js, row->name, number) : js_set_null(js, row->name);
    case FORM_BYTES:
        return cb_as_bytes(value, &s) ? set_bytes(js, row->name, s) : js_set_null(js, row->name);
    }
    return ST_INTERNAL;
}

enum status cwt_claims_to_js(const struct cb *claims, struct js **ret_js, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();

    if (!cb_is(claims, CB_MAP))
        return reject(why, ST_MALFORMED, "TK-12", "the claims set is not a map", 0);
    for (size_t i = 0; i < COUNT_OF(claim_rows); i++) {
        const struct cb *value = cb_get(claims, claim_rows[i].label);
        enum status st = value == NULL ? ST_OK : set_claim(js, &claim_rows[i], value);
        if (st == ST_MALFORMED)
            return reject(why, st, "AF-63 claims", "U+0000 in a claim", 0);
        if (st != ST_OK)
            return reject(why, st, "memory", "out of memory", 0);
    }
    *ret_js = TAKE(js);
    return ST_OK;
}
