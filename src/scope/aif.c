/* A scope as JSON: RFC 9431 2.3, and the carriages of D-20. */
#include "codec/base64.h"
#include "codec/json.h"
#include "scope/scope_priv.h"

#define BASE64_MAX       (SCOPE_MAX_BYTES / 3 * 4 + 4)
#define CBOR_MAJOR_ARRAY 4 /* RFC 8949 3.1: first bytes 80 to 9f, with which no UTF-8 begins */

/* clang-format off */
const struct scope_permission_name scope_permission_names[SCOPE_PERMISSIONS] = { /* RFC 9431 2.3: mqtt-permission */
    { SCOPE_PUB, "pub" },
    { SCOPE_SUB, "sub" },
};
/* clang-format on */

enum status scope_add_permission(unsigned *permissions, struct span name, size_t i, struct why *why)
{
    unsigned found = 0;

    for (size_t n = 0; n < SCOPE_PERMISSIONS; n++)
        if (span_eq_str(name, scope_permission_names[n].name))
            found = scope_permission_names[n].permission;
    if (found == 0)
        return reject(why, ST_BAD_SCOPE, "MT-87", "unknown permission", i);
    if ((*permissions & found) != 0)
        return reject(why, ST_BAD_SCOPE, "MT-87", "the same permission twice", i);
    *permissions |= found;
    return ST_OK;
}

static enum status read_permissions(const struct js *array, size_t i, unsigned *ret, struct why *why)
{
    if (!js_is(array, JS_ARRAY) || js_size(array) == 0)
        return reject(why, ST_BAD_SCOPE, "MT-80", "permissions are no array or an empty one", i);
    *ret = 0;
    for (size_t k = 0; k < js_size(array); k++) {
        struct span name = SPAN_NONE;
        (void)js_as_str(js_at(array, k), &name);
        enum status st = scope_add_permission(ret, name, i, why);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status read_entry(const struct js *pair, size_t i, struct scope_entry *out, struct why *why)
{
    if (!js_is(pair, JS_ARRAY) || js_size(pair) != 2)
        return reject(why, ST_BAD_SCOPE, "MT-80", "an entry is no pair of filter and permissions", i);
    if (!js_as_str(js_at(pair, 0), &out->filter.s))
        return reject(why, ST_BAD_SCOPE, "MT-87", "the topic filter is no text", i);
    return read_permissions(js_at(pair, 1), i, &out->permissions, why);
}

enum status scope_from_json(const struct js *array, struct scope **ret_scope, struct why *why)
{
    struct scope_entry entries[SCOPE_MAX_PAIRS];

    if (!js_is(array, JS_ARRAY))
        return reject(why, ST_BAD_SCOPE, "MT-80", "a scope is an array", 0);
    size_t count = js_size(array);
    if (count > SCOPE_MAX_PAIRS)
        return reject(why, ST_TOO_LARGE, "SCOPE_MAX_PAIRS", "too many entries in a scope", SCOPE_MAX_PAIRS);
    for (size_t i = 0; i < count; i++) {
        enum status st = read_entry(js_at(array, i), i, &entries[i], why);
        if (st != ST_OK)
            return st;
    }
    return scope_build(entries, count, ret_scope, why);
}

enum status scope_not_parsed(enum status st, const char *text, struct why *why)
{
    if (st != ST_MALFORMED && st != ST_UNSUPPORTED)
        return st;
    return reject(why, ST_BAD_SCOPE, "MT-86", text, why == NULL ? 0 : why->at);
}

static enum status scope_from_json_text(struct span text, struct scope **ret_scope, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;

    enum status st = js_parse(text, SCOPE_MAX_BYTES, &js, why);
    if (st != ST_OK)
        return scope_not_parsed(st, "the text of a scope is no JSON", why);
    return scope_from_json(js, ret_scope, why);
}

enum status scope_from_text(struct span text, struct scope **ret_scope, struct why *why)
{
    CLEANUP(buf_done)
    struct buf decoded;

    buf_init(&decoded, SCOPE_MAX_BYTES);
    if (text.len > 0 && text.p[0] == '[') /* not a character of base64url */
        return scope_from_json_text(text, ret_scope, why);
    if (text.len > BASE64_MAX)
        return reject(why, ST_TOO_LARGE, "SCOPE_MAX_BYTES", "too much text in a scope", 0);
    enum status st = base64url_decode(text, &decoded, why);
    if (st != ST_OK)
        return scope_not_parsed(st, "a scope is neither base64url nor JSON", why);
    if (decoded.len > 0 && decoded.p[0] >> 5 == CBOR_MAJOR_ARRAY)
        return scope_from_cbor_bytes(buf_span(&decoded), ret_scope, why);
    return scope_from_json_text(buf_span(&decoded), ret_scope, why);
}

enum status scope_from_claim(const struct js *value, struct scope **ret_scope, struct why *why)
{
    struct span text;

    if (js_is(value, JS_ARRAY))
        return scope_from_json(value, ret_scope, why);
    if (js_as_str(value, &text))
        return scope_from_text(text, ret_scope, why);
    return reject(why, ST_BAD_SCOPE, "MT-86", "a scope is neither array nor text", 0);
}

static struct js *entry_to_json(const struct scope_entry *entry)
{
    CLEANUP(js_unrefp)
    struct js *pair = js_new_array();
    CLEANUP(js_unrefp)
    struct js *permissions = js_new_array();

    if (js_append_str(pair, entry->filter.s) != ST_OK)
        return NULL;
    for (size_t n = 0; n < SCOPE_PERMISSIONS; n++)
        if ((entry->permissions & scope_permission_names[n].permission) != 0 &&
            js_append_str(permissions, span_of_str(scope_permission_names[n].name)) != ST_OK)
            return NULL;
    if (js_append_take(pair, TAKE(permissions)) != ST_OK)
        return NULL;
    return TAKE(pair);
}

struct js *scope_to_json(const struct scope *scope)
{
    CLEANUP(js_unrefp)
    struct js *array = js_new_array();

    for (size_t i = 0; i < scope->count; i++)
        if (js_append_take(array, entry_to_json(&scope->entries[i])) != ST_OK)
            return NULL;
    return TAKE(array);
}

enum status scope_to_text(const struct scope *scope, struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *array = scope_to_json(scope);

    if (array == NULL)
        return ST_NO_MEMORY;
    return js_print(array, out);
}

enum status scope_to_claim(const struct scope *scope, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf json;

    buf_init(&json, 8u * SCOPE_MAX_BYTES); /* escapes make text longer */
    enum status st = scope_to_text(scope, &json);
    if (st != ST_OK)
        return st;
    base64url_encode(buf_span(&json), out);
    return buf_status(out);
}
