#include "cli/jwt_text.h"

#include "codec/base64.h"
#include "cose/cose.h"
#include "scope/scope.h"
#include "token/ace_cbor.h"
#include "token/verifier.h"

static size_t count_parts(struct span token)
{
    size_t parts = 1;

    for (size_t at = span_find(token, '.', 0); at < token.len; at = span_find(token, '.', at + 1))
        parts++;
    return parts;
}

static enum status decode_json(struct span part, struct js **ret, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf text = { .max = JWT_TEXT_MAX };
    enum status st = base64url_decode(part, &text, why);

    if (st == ST_OK)
        st = js_parse(buf_span(&text), JWT_TEXT_MAX, ret, why);
    if (st == ST_OK && !js_is(*ret, JS_OBJECT)) {
        js_unref(TAKE(*ret));
        st = reject(why, ST_MALFORMED, "RFC 7519 7.2", "not a JSON object", 0);
    }
    return st;
}

/* base64url of AIF is nothing a person reads (D-20). A scope we do not understand stays as it is. */
static enum status open_scope(struct js *claims)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    const struct js *value = js_get(claims, "scope");

    if (value == NULL || scope_from_claim(value, &scope, NULL) != ST_OK)
        return ST_OK;
    return js_set_take(claims, "scope", scope_to_json(scope));
}

/* ---- CWT ---- */

static enum status cwt_header(const struct cose *cose, struct js **ret)
{
    CLEANUP(js_unrefp)
    struct js *header = js_new_object();
    CLEANUP(buf_done)
    struct buf kid = { .max = 4 * COSE_MAX_KID };
    const char *alg = sy_cose_jose_name(cose->alg);
    enum status st =
        alg != NULL ? js_set_str(header, "alg", span_of_str(alg)) : js_set_i64(header, "alg", cose->alg);

    if (st == ST_OK && cose->kid.p != NULL) {
        st = ace_kid_text(cose->kid, &kid);
        if (st == ST_OK)
            st = js_set_str(header, "kid", buf_span(&kid));
    }
    if (st == ST_OK)
        *ret = TAKE(header);
    return st;
}

/* A CWT's claims have the numbers of an introspection answer's (RFC 9200 8.10). */
static enum status cwt_look(struct span bytes, struct jwt_look *out, struct why *why)
{
    static const uint8_t cwt_tag[] = { 0xd8, 61 }; /* RFC 8392 6 */
    CLEANUP(sy_cose_done)
    struct cose cose = { 0 };

    if (span_starts_with(bytes, span_of(cwt_tag, sizeof cwt_tag)))
        bytes = span_cut(bytes, sizeof cwt_tag, bytes.len);
    enum status st = sy_cose_parse(bytes, JWT_TEXT_MAX, &cose, why);
    if (st != ST_OK)
        return st;
    out->shape = cose.kind == COSE_SIGN1 ? CWT_SIGNED : cose.kind == COSE_MAC0 ? CWT_MACED : CWT_ENCRYPTED;
    st = cwt_header(&cose, &out->header);
    if (st == ST_OK && cose.kind != COSE_ENCRYPT0)
        st = ace_from_cbor(ACE_INTROSPECTION_RESPONSE, cose.content, JWT_TEXT_MAX, &out->claims, why);
    if (st == ST_OK && out->claims != NULL)
        st = open_scope(out->claims);
    if (st != ST_OK)
        jwt_look_done(out);
    return st;
}

static enum status jws_or_jwe_look(struct span token, struct jwt_look *out, struct why *why)
{
    size_t parts = count_parts(token), first = span_find(token, '.', 0), second;

    if ((parts != 3 && parts != 5) || decode_json(span_cut(token, 0, first), &out->header, NULL) != ST_OK)
        return ST_OK;
    if (parts == 5) {
        out->shape = JWT_ENCRYPTED;
        return ST_OK;
    }
    second = span_find(token, '.', first + 1);
    enum status st = decode_json(span_cut(token, first + 1, second - first - 1), &out->claims, why);
    if (st == ST_OK)
        st = open_scope(out->claims);
    out->shape = JWT_SIGNED;
    if (st != ST_OK)
        jwt_look_done(out);
    return st;
}

enum status jwt_look(struct span token, struct jwt_look *out, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf bytes = { .max = JWT_TEXT_MAX };

    *out = (struct jwt_look){ .shape = JWT_OPAQUE };
    if (token.len > JWT_TEXT_MAX)
        return reject(why, ST_TOO_LARGE, "token", "larger than a token can be", 0);
    if (token_form(token) == TOKEN_FORM_COSE)
        return cwt_look(token, out, why);
    if (ace_token_bytes(token, &bytes) == ST_OK && token_form(buf_span(&bytes)) == TOKEN_FORM_COSE)
        return cwt_look(buf_span(&bytes), out, why);
    return jws_or_jwe_look(token, out, why);
}

void jwt_look_done(struct jwt_look *look)
{
    js_unref(look->header);
    js_unref(look->claims);
    *look = (struct jwt_look){ .shape = JWT_OPAQUE };
}
