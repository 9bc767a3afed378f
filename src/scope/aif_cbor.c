/* A scope as CBOR: the same array of pairs as in JSON (RFC 9431 2.3, RFC 9237 2). */
#include "codec/cbor.h"
#include "scope/scope_priv.h"

static enum status read_permissions(const struct cb *array, size_t i, unsigned *ret, struct why *why)
{
    if (!cb_is(array, CB_ARRAY) || cb_size(array) == 0)
        return reject(why, ST_BAD_SCOPE, "MT-80", "permissions are no array or an empty one", i);
    *ret = 0;
    for (size_t k = 0; k < cb_size(array); k++) {
        struct span name = SPAN_NONE;
        (void)cb_as_text(cb_at(array, k), &name);
        enum status st = scope_add_permission(ret, name, i, why);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status read_entry(const struct cb *pair, size_t i, struct scope_entry *out, struct why *why)
{
    if (!cb_is(pair, CB_ARRAY) || cb_size(pair) != 2)
        return reject(why, ST_BAD_SCOPE, "MT-80", "an entry is no pair of filter and permissions", i);
    if (!cb_as_text(cb_at(pair, 0), &out->filter.s))
        return reject(why, ST_BAD_SCOPE, "MT-87", "the topic filter is no text", i);
    return read_permissions(cb_at(pair, 1), i, &out->permissions, why);
}

static enum status read_array(const struct cb *array, struct scope **ret_scope, struct why *why)
{
    struct scope_entry entries[SCOPE_MAX_PAIRS];

    if (!cb_is(array, CB_ARRAY))
        return reject(why, ST_BAD_SCOPE, "MT-80", "a scope is an array", 0);
    size_t count = cb_size(array);
    if (count > SCOPE_MAX_PAIRS)
        return reject(why, ST_TOO_LARGE, "SCOPE_MAX_PAIRS", "too many entries in a scope", SCOPE_MAX_PAIRS);
    for (size_t i = 0; i < count; i++) {
        enum status st = read_entry(cb_at(array, i), i, &entries[i], why);
        if (st != ST_OK)
            return st;
    }
    return scope_build(entries, count, ret_scope, why);
}

enum status scope_from_cbor_bytes(struct span bytes, struct scope **ret_scope, struct why *why)
{
    CLEANUP(cb_unrefp)
    struct cb *cb = NULL;

    enum status st = cb_parse(bytes, SCOPE_MAX_BYTES, &cb, why);
    if (st != ST_OK)
        return scope_not_parsed(st, "the bytes of a scope are no CBOR", why);
    return read_array(cb, ret_scope, why);
}

/* Wrapped, it is wrapped once: what the byte string holds must be the array. */
enum status scope_from_cbor(const struct cb *value, struct scope **ret_scope, struct why *why)
{
    struct span bytes;

    if (cb_as_bytes(value, &bytes))
        return scope_from_cbor_bytes(bytes, ret_scope, why);
    return read_array(value, ret_scope, why);
}

enum status scope_to_cbor(const struct scope *scope, struct buf *out)
{
    cb_put_array(out, scope->count);
    for (size_t i = 0; i < scope->count; i++) {
        const struct scope_entry *entry = &scope->entries[i];
        cb_put_array(out, 2);
        cb_put_text(out, entry->filter.s);
        cb_put_array(out, entry->permissions == (SCOPE_PUB | SCOPE_SUB) ? 2 : 1);
        for (size_t n = 0; n < SCOPE_PERMISSIONS; n++)
            if ((entry->permissions & scope_permission_names[n].permission) != 0)
                cb_put_text(out, span_of_str(scope_permission_names[n].name));
    }
    return buf_status(out);
}
