#include "codec/base64.h"
#include "jose/header_priv.h"
#include "jose/jwk.h"
#include "jose/jws.h"

#include <strings.h>

bool jose_split(struct span compact, struct span *parts, size_t n)
{
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        size_t dot = span_find(compact, '.', from);
        bool last = i + 1 == n;
        if (last != (dot == compact.len))
            return false;
        parts[i] = span_cut(compact, from, dot - from);
        from = dot + 1;
    }
    return true;
}

/* An optional member that must be text. */
static enum status read_text(const struct js *js, const char *name, struct span *ret, struct why *why)
{
    *ret = SPAN_NONE;
    if (js_get(js, name) == NULL || js_get_str(js, name, ret))
        return ST_OK;
    return reject(why, ST_MALFORMED, "RFC 7515 4.1", "header parameter that must be text is not", 0);
}

static enum status read_members(const struct js *js, struct jose_header *out, struct why *why)
{
    enum status st;

    if (!js_is(js, JS_OBJECT))
        return reject(why, ST_MALFORMED, "RFC 7515 4", "header is not a JSON object", 0);
    if (js_get(js, "crit") != NULL)
        return reject(why, ST_UNSUPPORTED, "TK-47", "crit names extensions, and none is understood", 0);
    if (js_get(js, "b64") != NULL)
        return reject(why, ST_UNSUPPORTED, "TK-47", "b64 is not understood", 0);
    if (!js_get_str(js, "alg", &out->alg))
        return reject(why, ST_MALFORMED, "RFC 7515 4.1.1", "no alg in header", 0);
    st = read_text(js, "kid", &out->kid, why);
    if (st == ST_OK)
        st = read_text(js, "typ", &out->typ, why);
    if (st == ST_OK)
        st = read_text(js, "cty", &out->cty, why);
    if (st != ST_OK)
        return st;
    if (out->kid.len > JOSE_MAX_KID)
        return reject(why, ST_MALFORMED, "TK-45", "kid longer than allowed", 0);
    return ST_OK;
}

enum status jose_header_read(struct span text, struct jose_header *out, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(buf_done)
    struct buf json;
    enum status st;

    buf_init(&json, JOSE_MAX_HEADER);
    st = base64url_decode(text, &json, why);
    if (st != ST_OK)
        return st;
    st = js_parse(buf_span(&json), JOSE_MAX_HEADER, &js, why);
    if (st != ST_OK)
        return st;
    st = read_members(js, out, why);
    if (st != ST_OK)
        return st;
    out->js = TAKE(js);
    return ST_OK;
}

static enum status set_text(struct js *js, const char *name, struct span text)
{
    return text.p == NULL ? ST_OK : js_set_str(js, name, text);
}

static enum status set_epk(struct js *js, const struct key *epk)
{
    struct js *jwk = NULL;
    enum status st;

    if (epk == NULL)
        return ST_OK;
    st = jwk_print(epk, SPAN_NONE, NULL, false, &jwk);
    return st == ST_OK ? js_set_take(js, "epk", jwk) : st;
}

enum status jose_header_write(const struct jose_header_parts *parts, struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    CLEANUP(buf_done)
    struct buf json;
    enum status st;

    buf_init(&json, JOSE_MAX_HEADER);
    st = js_set_str(js, "alg", span_of_str(parts->alg));
    if (st == ST_OK)
        st = set_text(js, "enc", parts->enc == NULL ? SPAN_NONE : span_of_str(parts->enc));
    if (st == ST_OK)
        st = set_text(js, "typ", parts->typ);
    if (st == ST_OK)
        st = set_text(js, "cty", parts->cty);
    if (st == ST_OK)
        st = set_text(js, "kid", parts->kid);
    if (st == ST_OK)
        st = set_epk(js, parts->epk);
    if (st == ST_OK)
        st = js_print(js, &json);
    if (st != ST_OK)
        return st;
    base64url_encode(buf_span(&json), out);
    return buf_status(out);
}

bool jose_type_is(struct span type, const char *want)
{
    static const struct span prefix = { (const uint8_t *)"application/", 12 };

    if (type.len > prefix.len && strncasecmp((const char *)type.p, (const char *)prefix.p, prefix.len) == 0)
        type = span_cut(type, prefix.len, type.len);
    return type.len == strlen(want) && strncasecmp((const char *)type.p, want, type.len) == 0;
}
