#include "as/params.h"

#include "as/as.h"
#include "base/utf8.h"

#include <stdlib.h>

#define NAME_MAX_BYTES 256

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* How far from `i` there is nothing to be decoded. */
static size_t plain_until(struct span text, size_t i)
{
    while (i < text.len && text.p[i] != '+' && text.p[i] != '%')
        i++;
    return i;
}

enum status form_decode(struct span text, struct buf *out, struct why *why)
{
    for (size_t i = 0; i < text.len; i++) {
        size_t end = plain_until(text, i);
        put_bytes(out, span_cut(text, i, end - i));
        i = end;
        if (i == text.len)
            break;
        uint8_t c = ' ';
        if (text.p[i] == '%') {
            int high = i + 2 < text.len ? hex_digit(text.p[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return reject(why, ST_MALFORMED, "RFC 6749 App. B", "a percent sign without two hex digits", i);
            c = (uint8_t)(high * 16 + low);
            i += 2;
        }
        put_u8(out, c);
    }
    if (!buf_ok(out))
        return reject(why, ST_TOO_LARGE, "RFC 6749 App. B", "a parameter is too long", 0);
    return ST_OK;
}

static enum status take_pair(struct js *params, struct span name, struct span value, struct why *why)
{
    CLEANUP(freep)
    char *key = NULL;

    if (!utf8_valid_mqtt(name) || !utf8_valid_mqtt(value))
        return reject(why, ST_MALFORMED, "RFC 6749 App. B", "a parameter is not UTF-8 text", 0);
    key = span_dup_str(name);
    if (key == NULL)
        return reject(why, ST_NO_MEMORY, "as params", "out of memory", 0);
    if (js_get(params, key) != NULL)
        return reject(why, ST_MALFORMED, "RFC 6749 3.2", "a parameter is there twice", 0);
    if (js_size(params) >= PARAMS_MAX)
        return reject(why, ST_TOO_LARGE, "as params", "too many parameters", 0);
    if (value.len == 0 && !span_eq_str(name, "ace_profile"))
        return ST_OK;
    enum status st;
    if (span_eq_str(name, "req_cnf")) {
        struct js *child = NULL;
        st = js_parse(value, AS_BODY_MAX, &child, why);
        if (st == ST_OK)
            st = js_set_take(params, key, child);
        return st;
    }
    st = js_set_str(params, key, value);
    return st == ST_OK ? ST_OK : reject(why, st, "as params", "a parameter cannot be kept", 0);
}

static enum status parse_pair(struct js *params, struct span pair, struct why *why)
{
    size_t equals = span_find(pair, '=', 0);
    struct buf name, value;
    enum status st;

    buf_init(&name, NAME_MAX_BYTES);
    buf_init(&value, AS_BODY_MAX);
    st = form_decode(span_cut(pair, 0, equals), &name, why);
    if (st == ST_OK)
        st = form_decode(span_cut(pair, equals + 1, pair.len), &value, why);
    if (st == ST_OK && name.len == 0)
        st = reject(why, ST_MALFORMED, "RFC 6749 App. B", "a parameter without a name", 0);
    if (st == ST_OK)
        st = take_pair(params, buf_span(&name), buf_span(&value), why);
    buf_wipe(&name);
    buf_wipe(&value); /* it may have been a client secret */
    return st;
}

enum status params_parse_form(struct span body, struct js **ret_params, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *params = js_new_object();

    if (params == NULL)
        return reject(why, ST_NO_MEMORY, "as params", "out of memory", 0);
    for (size_t at = 0; at < body.len;) {
        size_t end = span_find(body, '&', at);
        struct span pair = span_cut(body, at, end - at);
        if (pair.len > 0) {
            enum status st = parse_pair(params, pair, why);
            if (st != ST_OK)
                return st;
        }
        at = end + 1;
    }
    *ret_params = TAKE(params);
    return ST_OK;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Type and subtype without parameters such as charset (RFC 9110 8.3.1). */
static bool media_is(struct span content_type, const char *name)
{
    struct span want = span_of_str(name);
    size_t end = span_find(content_type, ';', 0);

    while (end > 0 && (content_type.p[end - 1] == ' ' || content_type.p[end - 1] == '\t'))
        end--;
    if (end != want.len)
        return false;
    for (size_t i = 0; i < end; i++)
        if (lower(content_type.p[i]) != want.p[i])
            return false;
    return true;
}

static enum status parse_json(struct span body, struct js **ret_params, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *params = NULL;
    enum status st = js_parse(body, AS_BODY_MAX, &params, why);

    if (st != ST_OK)
        return st;
    if (!js_is(params, JS_OBJECT))
        return reject(why, ST_MALFORMED, "RFC 9200 5.8.1", "the body is not a JSON object", 0);
    if (js_size(params) > PARAMS_MAX)
        return reject(why, ST_TOO_LARGE, "as params", "too many parameters", 0);
    *ret_params = TAKE(params);
    return ST_OK;
}

enum media params_media(struct span content_type)
{
    static const struct {
        const char *name;
        enum media media;
    } known[] = {
        { "application/x-www-form-urlencoded", MEDIA_FORM },
        { "application/json", MEDIA_JSON },
        { ACE_JSON_MEDIA_TYPE, MEDIA_ACE_JSON },
        { ACE_CBOR_MEDIA_TYPE, MEDIA_ACE_CBOR },
    };

    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (media_is(content_type, known[i].name))
            return known[i].media;
    return MEDIA_OTHER;
}

enum status params_parse_ace(enum media media, enum ace_document document, struct span body,
                             struct js **ret_params, struct why *why)
{
    switch (media) {
    case MEDIA_FORM:
        return params_parse_form(body, ret_params, why);
    case MEDIA_JSON:
    case MEDIA_ACE_JSON:
        return parse_json(body, ret_params, why);
    case MEDIA_ACE_CBOR:
        return ace_from_cbor(document, body, AS_BODY_MAX, ret_params, why);
    default:
        return reject(why, ST_UNSUPPORTED, "RFC 9431 2.1",
                      "send application/ace+json, application/ace+cbor, application/json or "
                      "application/x-www-form-urlencoded",
                      0);
    }
}

enum status params_parse(struct span content_type, struct span body, struct js **ret_params, struct why *why)
{
    enum media media = params_media(content_type);

    if (media != MEDIA_ACE_CBOR)
        return params_parse_ace(media, ACE_TOKEN_REQUEST, body, ret_params, why);
    return reject(why, ST_UNSUPPORTED, "RFC 9431 2.1", "CBOR is for the token and introspection endpoints", 0);
}

enum status params_text(const struct js *params, const char *name, struct span *ret, struct why *why)
{
    const struct js *value = js_get(params, name);

    *ret = SPAN_NONE;
    if (value == NULL || js_is(value, JS_NULL) || js_as_str(value, ret))
        return ST_OK;
    return reject(why, ST_MALFORMED, "RFC 6749 3.2", "a parameter that must be text is not", 0);
}
