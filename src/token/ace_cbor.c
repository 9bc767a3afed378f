#include "token/ace_cbor_priv.h"

#include "codec/base64.h"
#include "scope/scope.h"

#include <stdlib.h>

#define MEMBERS_MAX 64
#define BYTES_MAX   65536

/* ---- enumerated values: AF 5.3 ---- */

struct value_name {
    int64_t number;
    const char *name;
};

static const struct value_name errors[] = {
    { 1, "invalid_request" },
    { 2, "invalid_client" },
    { 3, "invalid_grant" },
    { 4, "unauthorized_client" },
    { 5, "unsupported_grant_type" },
    { 6, "invalid_scope" },
    { 7, "unsupported_pop_key" },
    { 8, "incompatible_ace_profiles" },
    { 0, NULL },
};
static const struct value_name grant_types[] = {
    { 0, "password" }, { 1, "authorization_code" }, { 2, "client_credentials" }, { 3, "refresh_token" },
    { 0, NULL },
};
static const struct value_name token_types[] = { { 1, "Bearer" }, { 2, "PoP" }, { 0, NULL } };
/* RFC 9202, 9203, 9431; the last two as their drafts suggest. */
static const struct value_name profiles[] = {
    { 1, "coap_dtls" },         { 2, "coap_oscore" },       { 3, "mqtt_tls" },
    { 4, "coap_edhoc_oscore" }, { 5, "coap_group_oscore" }, { 0, NULL },
};

static const char *name_of(const struct value_name *names, int64_t number)
{
    for (; names->name != NULL; names++)
        if (names->number == number)
            return names->name;
    return NULL;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Without regard to case: "PoP" and "pop" are one token type (AF-37), and no two names differ in case only. */
static bool same_word(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

static bool number_of(const struct value_name *names, struct span name, int64_t *ret)
{
    for (; names->name != NULL; names++) {
        if (same_word(name, span_of_str(names->name))) {
            *ret = names->number;
            return true;
        }
    }
    return false;
}

const char *ace_profile_name(int64_t number)
{
    return name_of(profiles, number);
}

int64_t ace_profile_number(struct span name)
{
    int64_t number;

    for (const struct value_name *p = profiles; p->name != NULL; p++)
        if (span_eq_str(name, p->name) && number_of(profiles, name, &number))
            return number;
    return -1;
}

/* ---- members: AF 2, 5.1, 5.2 ---- */

enum form {
    TEXT,
    NUMBER,
    BOOL,
    OPAQUE, /* bytes that are the text */
    BASE64URL,
    CTI, /* base64url; of a foreign jti that is none, the bytes are the text */
    TOKEN,
    SCOPE,
    CNF,
    ERROR,
    GRANT_TYPE,
    TOKEN_TYPE,
    PROFILE,
    HINT,     /* token_type_hint: text, or the integer the RFC's example has */
    AUDIENCE, /* text; in a claim also an array of text */
};

struct member {
    int64_t key;
    const char *name;
    enum form form;
};

/* clang-format off */
static const struct member token_request[] = {
    {  4, "req_cnf",       CNF        }, {  5, "audience",      TEXT    }, {  9, "scope",         SCOPE     },
    { 24, "client_id",     TEXT       }, { 25, "client_secret", OPAQUE  }, { 26, "response_type", TEXT      },
    { 27, "redirect_uri",  TEXT       }, { 28, "state",         TEXT    }, { 29, "code",          OPAQUE    },
    { 33, "grant_type",    GRANT_TYPE }, { 35, "username",      TEXT    }, { 36, "password",      TEXT      },
    { 37, "refresh_token", OPAQUE     }, { 38, "ace_profile",   PROFILE }, { 39, "cnonce",        BASE64URL },
    { 0, NULL, TEXT },
};
static const struct member token_response[] = {
    {  1, "access_token",  TOKEN      }, {  2, "expires_in",        NUMBER }, {  8, "cnf",         CNF     },
    {  9, "scope",         SCOPE      }, { 28, "state",             TEXT   }, { 30, "error",       ERROR   },
    { 31, "error_description", TEXT   }, { 32, "error_uri",         TEXT   }, { 34, "token_type",  TOKEN_TYPE },
    { 37, "refresh_token", OPAQUE     }, { 38, "ace_profile",       PROFILE }, { 41, "rs_cnf",     CNF     },
    { 0, NULL, TEXT },
};
static const struct member introspection_request[] = {
    { 11, "token",         TOKEN      }, { 24, "client_id",     TEXT    }, { 25, "client_secret", OPAQUE    },
    { 33, "token_type_hint", HINT     },
    { 0, NULL, TEXT },
};
static const struct member introspection_response[] = {
    {  1, "iss",           TEXT       }, {  2, "sub",           TEXT    }, {  3, "aud",           AUDIENCE  },
    {  4, "exp",           NUMBER     }, {  5, "nbf",           NUMBER  }, {  6, "iat",           NUMBER    },
    {  7, "jti",           CTI        }, {  8, "cnf",           CNF     }, {  9, "scope",         SCOPE     },
    { 10, "active",        BOOL       }, { 24, "client_id",     TEXT    }, { 30, "error",         ERROR     },
    { 31, "error_description", TEXT   }, { 32, "error_uri",     TEXT    }, { 34, "token_type",    TOKEN_TYPE },
    { 35, "username",      TEXT       }, { 38, "ace_profile",   PROFILE }, { 39, "cnonce",        BASE64URL },
    { 40, "exi",           NUMBER     },
    { 0, NULL, TEXT },
};
static const struct member hints[] = {
    {  1, "AS",            TEXT       }, {  2, "kid",           BASE64URL }, {  5, "audience",    TEXT      },
    {  9, "scope",         SCOPE      }, { 39, "cnonce",        BASE64URL },
    { 0, NULL, TEXT },
};
static const struct member *const documents[ACE_DOCUMENTS] = {
    [ACE_TOKEN_REQUEST]          = token_request,
    [ACE_TOKEN_RESPONSE]         = token_response,
    [ACE_INTROSPECTION_REQUEST]  = introspection_request,
    [ACE_INTROSPECTION_RESPONSE] = introspection_response,
    [ACE_HINTS]                  = hints,
};
/* clang-format on */

static const struct member *member_by_name(const struct member *table, struct span name)
{
    for (; table->name != NULL; table++)
        if (span_eq_str(name, table->name))
            return table;
    return NULL;
}

static const struct member *member_by_key(const struct member *table, int64_t key)
{
    for (; table->name != NULL; table++)
        if (table->key == key)
            return table;
    return NULL;
}

/* Whatever document it belongs to: a registered name never travels as text. */
static bool is_registered(struct span name)
{
    for (size_t i = 0; i < ACE_DOCUMENTS; i++)
        if (member_by_name(documents[i], name) != NULL)
            return true;
    return false;
}

static enum status wrong_kind(struct why *why)
{
    return reject(why, ST_MALFORMED, "AF-7", "a member whose value is of another kind", 0);
}

/* ---- one value from CBOR ---- */

static enum status take_text(struct span text, struct js **ret, struct why *why)
{
    if (!ace_is_text(text))
        return reject(why, ST_MALFORMED, "AF-7", "text that is none, or holds a NUL", 0);
    *ret = js_new_str(text);
    return *ret != NULL ? ST_OK : ST_NO_MEMORY;
}

static enum status take_base64url(struct span bytes, struct js **ret)
{
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, BYTES_MAX * 2);
    base64url_encode(bytes, &text);
    *ret = buf_ok(&text) ? js_new_str(buf_span(&text)) : NULL;
    return *ret != NULL ? ST_OK : ST_NO_MEMORY;
}

static enum status take_token(struct span bytes, struct js **ret, struct why *why)
{
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, BYTES_MAX * 2);
    enum status st = ace_token_text(bytes, &text);
    if (st == ST_MALFORMED)
        return reject(why, st, "AF-7", "a token that is neither a CWT nor text", 0);
    if (st != ST_OK)
        return st;
    *ret = js_new_str(buf_span(&text));
    return *ret != NULL ? ST_OK : ST_NO_MEMORY;
}

/* AF-8: a name where an integer belongs is refused. */
static enum status take_named(const struct value_name *names, const struct cb *value, struct js **ret,
                              struct why *why)
{
    int64_t number;

    if (!cb_as_i64(value, &number))
        return reject(why, ST_MALFORMED, "AF-7", "an enumerated value that is no integer", 0);
    const char *name = name_of(names, number);
    *ret = name != NULL ? js_new_str(span_of_str(name)) : js_new_i64(number);
    return *ret != NULL ? ST_OK : ST_NO_MEMORY;
}

static enum status take_null(struct js **ret)
{
    CLEANUP(js_unrefp)
    struct js *holder = js_new_object();
    enum status st = js_set_null(holder, "null");

    if (st == ST_OK)
        *ret = js_ref(js_get(holder, "null"));
    return st;
}

static enum status take_bool(bool v, struct js **ret)
{
    CLEANUP(js_unrefp)
    struct js *holder = js_new_object();
    enum status st = js_set_bool(holder, "bool", v);

    if (st == ST_OK)
        *ret = js_ref(js_get(holder, "bool"));
    return st;
}

static enum status take_number(const struct cb *value, struct js **ret, struct why *why)
{
    int64_t number;

    if (!cb_as_i64(value, &number))
        return wrong_kind(why);
    *ret = js_new_i64(number);
    return *ret != NULL ? ST_OK : ST_NO_MEMORY;
}

static enum status take_audience(const struct cb *value, struct js **ret, struct why *why)
{
    struct span text;

    if (cb_as_text(value, &text))
        return take_text(text, ret, why);
    if (!cb_is(value, CB_ARRAY))
        return wrong_kind(why);
    CLEANUP(js_unrefp)
    struct js *array = js_new_array();
    for (size_t i = 0; i < cb_size(value); i++) {
        if (!cb_as_text(cb_at(value, i), &text) || !ace_is_text(text))
            return wrong_kind(why);
        enum status st = js_append_str(array, text);
        if (st != ST_OK)
            return st;
    }
    *ret = TAKE(array);
    return *ret != NULL ? ST_OK : ST_NO_MEMORY;
}

static enum status value_from_cbor(enum form form, const struct cb *value, struct js **ret, struct why *why)
{
    struct span s;
    bool flag;

    switch (form) {
    case TEXT:
        return cb_as_text(value, &s) ? take_text(s, ret, why) : wrong_kind(why);
    case NUMBER:
        return take_number(value, ret, why);
    case BOOL:
        return cb_as_bool(value, &flag) ? take_bool(flag, ret) : wrong_kind(why);
    case OPAQUE:
        return cb_as_bytes(value, &s) ? take_text(s, ret, why) : wrong_kind(why);
    case BASE64URL:
    case CTI:
        return cb_as_bytes(value, &s) ? take_base64url(s, ret) : wrong_kind(why);
    case TOKEN:
        return cb_as_bytes(value, &s) ? take_token(s, ret, why) : wrong_kind(why);
    case SCOPE:
        if (cb_as_bytes(value, &s))
            return take_base64url(s, ret);
        return cb_as_text(value, &s) ? take_text(s, ret, why) : wrong_kind(why);
    case CNF:
        return ace_cnf_from_cbor(value, ret, why);
    case ERROR:
        return take_named(errors, value, ret, why);
    case GRANT_TYPE:
        return take_named(grant_types, value, ret, why);
    case TOKEN_TYPE:
        return take_named(token_types, value, ret, why);
    case PROFILE:
        return cb_is(value, CB_NULL) ? take_null(ret) : take_named(profiles, value, ret, why);
    case HINT:
        return cb_as_text(value, &s) ? take_text(s, ret, why) : take_named(token_types, value, ret, why);
    case AUDIENCE:
        return take_audience(value, ret, why);
    }
    return ST_INTERNAL;
}

/* ---- a document from CBOR ---- */

/* A name without an integer, with a simple value; anything else under such a name is skipped. */
static enum status take_unregistered(struct js *js, struct span name, const struct cb *value, struct why *why)
{
    CLEANUP(freep)
    char *key = NULL;
    struct js *child = NULL;
    struct span text;
    int64_t number;
    bool flag;
    enum status st;

    if (is_registered(name))
        return reject(why, ST_MALFORMED, "AF-7", "a registered name stands as text: send its integer", 0);
    if (name.len == 0 || !ace_is_text(name))
        return reject(why, ST_MALFORMED, "AF-7", "a member's name is empty or holds a NUL", 0);
    if (cb_as_text(value, &text))
        st = take_text(text, &child, why);
    else if (cb_as_i64(value, &number))
        st = (child = js_new_i64(number)) != NULL ? ST_OK : ST_NO_MEMORY;
    else if (cb_as_bool(value, &flag))
        st = take_bool(flag, &child);
    else
        return ST_OK;
    if (st != ST_OK)
        return st;
    key = span_dup_str(name);
    if (key == NULL) {
        js_unref(child);
        return ST_NO_MEMORY;
    }
    return js_set_take(js, key, child);
}

static enum status take_pair(const struct member *table, struct js *js, const struct cb *key,
                             const struct cb *value, struct why *why)
{
    struct js *child = NULL;
    struct span name;
    int64_t number;

    if (cb_as_text(key, &name))
        return take_unregistered(js, name, value, why);
    if (!cb_as_i64(key, &number)) /* an integer of 65 bits */
        return ST_OK;
    const struct member *member = member_by_key(table, number);
    if (member == NULL)
        return ST_OK;
    enum status st = value_from_cbor(member->form, value, &child, why);
    return st == ST_OK ? js_set_take(js, member->name, child) : st;
}

enum status ace_from_cbor(enum ace_document document, struct span cbor, size_t max_bytes, struct js **ret_js,
                          struct why *why)
{
    CLEANUP(cb_unrefp)
    struct cb *cb = NULL;
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    enum status st = js == NULL ? ST_NO_MEMORY : cb_parse(cbor, max_bytes, &cb, why);

    if (st != ST_OK)
        return st;
    if (!cb_is(cb, CB_MAP))
        return reject(why, ST_MALFORMED, "AF-5", "the body is not a CBOR map", 0);
    if (cb_size(cb) > MEMBERS_MAX)
        return reject(why, ST_TOO_LARGE, "AF-5", "too many members", 0);
    for (size_t i = 0; st == ST_OK && i < cb_size(cb); i++)
        st = take_pair(documents[document], js, cb_key_at(cb, i), cb_value_at(cb, i), why);
    if (st == ST_OK)
        *ret_js = TAKE(js);
    return st;
}

/* ---- one value to CBOR ---- */

static enum status put_base64url(struct span text, struct buf *out, struct why *why)
{
    CLEANUP(buf_done)
    struct buf bytes;

    buf_init(&bytes, BYTES_MAX);
    enum status st = base64url_decode(text, &bytes, why);
    if (st == ST_OK)
        cb_put_bytes(out, buf_span(&bytes));
    return st;
}

static enum status put_token(struct span text, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf bytes;

    buf_init(&bytes, BYTES_MAX);
    enum status st = ace_token_bytes(text, &bytes);
    if (st == ST_OK)
        cb_put_bytes(out, buf_span(&bytes));
    return st;
}

static enum status put_named(const struct value_name *names, const struct js *value, struct buf *out,
                             struct why *why)
{
    struct span name;
    int64_t number;

    if (!js_as_i64(value, &number) && !(js_as_str(value, &name) && number_of(names, name, &number)))
        return reject(why, ST_MALFORMED, "AF-7", "a value without an integer of its own", 0);
    cb_put_int(out, number);
    return ST_OK;
}

static enum status put_aif(const struct scope *scope, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf bytes;

    buf_init(&bytes, SCOPE_MAX_BYTES);
    enum status st = scope_to_cbor(scope, &bytes);
    if (st == ST_OK)
        cb_put_bytes(out, buf_span(&bytes));
    return st;
}

/* AIF, as an array or as base64url, becomes a byte string (AF-106); JSON text and words stay text. */
static enum status put_scope(const struct js *value, struct buf *out, struct why *why)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    struct span text = SPAN_NONE;

    bool is_string = js_as_str(value, &text);
    if (is_string && text.len > 0 && text.p[0] == '[') {
        cb_put_text(out, text);
        return ST_OK;
    }
    enum status st = scope_from_claim(value, &scope, why);
    if (st == ST_OK)
        return put_aif(scope, out);
    if (st == ST_NO_MEMORY || !is_string)
        return st;
    cb_put_text(out, text);
    return ST_OK;
}

static enum status put_audience(const struct js *value, struct buf *out, struct why *why)
{
    struct span text;

    if (js_as_str(value, &text)) {
        cb_put_text(out, text);
        return ST_OK;
    }
    if (!js_is(value, JS_ARRAY))
        return wrong_kind(why);
    cb_put_array(out, js_size(value));
    for (size_t i = 0; i < js_size(value); i++) {
        if (!js_as_str(js_at(value, i), &text))
            return wrong_kind(why);
        cb_put_text(out, text);
    }
    return ST_OK;
}

static enum status put_simple(const struct js *value, struct buf *out, struct why *why)
{
    struct span text;
    int64_t number;
    bool flag;

    if (js_as_str(value, &text))
        cb_put_text(out, text);
    else if (js_as_i64(value, &number))
        cb_put_int(out, number);
    else if (js_as_bool(value, &flag))
        cb_put_bool(out, flag);
    else
        return wrong_kind(why);
    return ST_OK;
}

static enum status put_string(enum form form, const struct js *value, struct buf *out, struct why *why)
{
    struct span text;

    if (!js_as_str(value, &text))
        return wrong_kind(why);
    switch (form) {
    case OPAQUE:
        cb_put_bytes(out, text);
        return ST_OK;
    case CTI:
        if (put_base64url(text, out, NULL) != ST_OK)
            cb_put_bytes(out, text);
        return ST_OK;
    case BASE64URL:
        return put_base64url(text, out, why);
    case TOKEN:
        return put_token(text, out);
    default:
        cb_put_text(out, text);
        return ST_OK;
    }
}

/* The question for the profile is null here and may be an empty text there (AF-24). */
static enum status put_profile(const struct js *value, struct buf *out, struct why *why)
{
    struct span text;

    if (!js_is(value, JS_NULL) && !(js_as_str(value, &text) && text.len == 0))
        return put_named(profiles, value, out, why);
    cb_put_null(out);
    return ST_OK;
}

static enum status put_hint(const struct js *value, struct buf *out, struct why *why)
{
    return put_named(token_types, value, out, NULL) == ST_OK ? ST_OK : put_string(TEXT, value, out, why);
}

static enum status put_value(enum form form, const struct js *value, struct buf *out, struct why *why)
{
    switch (form) {
    case TEXT:
    case OPAQUE:
    case BASE64URL:
    case CTI:
    case TOKEN:
        return put_string(form, value, out, why);
    case NUMBER:
    case BOOL:
        return js_is(value, JS_STRING) ? wrong_kind(why) : put_simple(value, out, why);
    case SCOPE:
        return put_scope(value, out, why);
    case CNF:
        return ace_cnf_to_cbor(value, out, why);
    case ERROR:
        return put_named(errors, value, out, why);
    case GRANT_TYPE:
        return put_named(grant_types, value, out, why);
    case TOKEN_TYPE:
        return put_named(token_types, value, out, why);
    case PROFILE:
        return put_profile(value, out, why);
    case HINT:
        return put_hint(value, out, why);
    case AUDIENCE:
        return put_audience(value, out, why);
    }
    return ST_INTERNAL;
}

/* ---- a document to CBOR ---- */

struct entry {
    const struct member *member; /* NULL: `name` is text */
    struct span name;
    const struct js *value;
};

struct entries {
    const struct member *table;
    struct entry list[MEMBERS_MAX];
    size_t count;
};

static bool collect(void *ctx, struct span name, const struct js *value)
{
    struct entries *e = ctx;

    if (e->count == MEMBERS_MAX)
        return false;
    e->list[e->count++] = (struct entry){ member_by_name(e->table, name), name, value };
    return true;
}

/* The order of the encoded keys (RFC 8949 4.2.1): integers first, all of them not negative; then text, shorter first. */
static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->member != NULL && y->member != NULL)
        return x->member->key < y->member->key ? -1 : 1;
    if (x->member != NULL || y->member != NULL)
        return x->member != NULL ? -1 : 1;
    if (x->name.len != y->name.len)
        return x->name.len < y->name.len ? -1 : 1;
    return memcmp(x->name.p, y->name.p, x->name.len);
}

static enum status put_entry(const struct entry *e, struct buf *out, struct why *why)
{
    if (e->member != NULL) {
        cb_put_int(out, e->member->key);
        return put_value(e->member->form, e->value, out, why);
    }
    if (is_registered(e->name))
        return reject(why, ST_MALFORMED, "AF-7", "a member that does not belong into this document", 0);
    cb_put_text(out, e->name);
    return put_simple(e->value, out, why);
}

enum status ace_to_cbor(enum ace_document document, const struct js *js, struct buf *out, struct why *why)
{
    struct entries entries = { .table = documents[document] };
    size_t start = out->len;
    enum status st = ST_OK;

    if (!js_is(js, JS_OBJECT))
        return reject(why, ST_MALFORMED, "AF-5", "the document is not an object", 0);
    if (!js_object_each(js, collect, &entries))
        return reject(why, ST_TOO_LARGE, "AF-5", "too many members", 0);
    qsort(entries.list, entries.count, sizeof entries.list[0], compare);
    cb_put_map(out, entries.count);
    for (size_t i = 0; st == ST_OK && i < entries.count; i++)
        st = put_entry(&entries.list[i], out, why);
    if (st == ST_OK && !buf_ok(out))
        st = buf_refuse(out, "the document is too long", why);
    if (st != ST_OK && buf_ok(out))
        buf_truncate(out, start);
    return st;
}
