#include "cli/jwt_text.h"

#include "codec/base64.h"
#include "scope/scope.h"

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

enum status jwt_look(struct span token, struct jwt_look *out, struct why *why)
{
    size_t parts = count_parts(token), first = span_find(token, '.', 0), second;

    *out = (struct jwt_look){ .shape = JWT_OPAQUE };
    if (token.len > JWT_TEXT_MAX)
        return reject(why, ST_TOO_LARGE, "token", "larger than a token can be", 0);
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

void jwt_look_done(struct jwt_look *look)
{
    js_unref(look->header);
    js_unref(look->claims);
    *look = (struct jwt_look){ .shape = JWT_OPAQUE };
}
