#include "codec/json.h"

#include "base/utf8.h"

#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* ---- jansson's memory ---- */

#define BUILT_DEPTH_MAX (JS_DEPTH_MAX + 32) /* what was parsed, inside of what we build */

/* What is parsed may be a key or a password: nothing of it stays in freed memory. */
static void json_release(void *p)
{
    if (p == NULL)
        return;
    explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

/* Before anybody can have made a value; a program with allocators of its own keeps them. */
__attribute__((constructor)) static void own_memory(void)
{
    json_malloc_t allocate = NULL;
    json_free_t release = NULL;

    json_get_alloc_funcs(&allocate, &release);
    if (allocate == malloc && release == free)
        json_set_alloc_funcs(malloc, json_release);
}

/* `struct js` is jansson's json_t seen from outside: never defined, only cast, so borrowing a member costs
 * nothing and no wrapper can outlive what it wraps. */
static json_t *in(const struct js *js)
{
    return (json_t *)(uintptr_t)js;
}

static struct js *out(json_t *json)
{
    return (struct js *)json;
}

struct js *js_ref(const struct js *js)
{
    return out(json_incref(in(js)));
}

void js_unref(struct js *js)
{
    json_decref(in(js));
}

void js_unrefp(struct js **js)
{
    js_unref(*js);
}

enum js_kind js_kind(const struct js *js)
{
    /* clang-format off */
    switch (json_typeof(in(js))) {
    case JSON_OBJECT:  return JS_OBJECT;
    case JSON_ARRAY:   return JS_ARRAY;
    case JSON_STRING:  return JS_STRING;
    case JSON_INTEGER: return JS_INTEGER;
    case JSON_REAL:    return JS_REAL;
    case JSON_TRUE:    return JS_TRUE;
    case JSON_FALSE:   return JS_FALSE;
    case JSON_NULL:    break;
    }
    /* clang-format on */
    return JS_NULL;
}

bool js_is(const struct js *js, enum js_kind kind)
{
    return js != NULL && js_kind(js) == kind;
}

const struct js *js_get(const struct js *obj, const char *name)
{
    return obj == NULL ? NULL : out(json_object_get(in(obj), name));
}

bool js_get_str(const struct js *obj, const char *name, struct span *ret)
{
    return js_as_str(js_get(obj, name), ret);
}

bool js_get_i64(const struct js *obj, const char *name, int64_t *ret)
{
    return js_as_i64(js_get(obj, name), ret);
}

bool js_get_bool(const struct js *obj, const char *name, bool *ret)
{
    return js_as_bool(js_get(obj, name), ret);
}

bool js_as_str(const struct js *js, struct span *ret)
{
    if (!js_is(js, JS_STRING))
        return false;
    *ret = span_of(json_string_value(in(js)), json_string_length(in(js)));
    return true;
}

bool js_as_i64(const struct js *js, int64_t *ret)
{
    if (!js_is(js, JS_INTEGER))
        return false;
    *ret = json_integer_value(in(js));
    return true;
}

bool js_as_bool(const struct js *js, bool *ret)
{
    if (!js_is(js, JS_TRUE) && !js_is(js, JS_FALSE))
        return false;
    *ret = js_is(js, JS_TRUE);
    return true;
}

size_t js_size(const struct js *js)
{
    return js_is(js, JS_ARRAY) ? json_array_size(in(js)) : js_is(js, JS_OBJECT) ? json_object_size(in(js)) : 0;
}

const struct js *js_at(const struct js *arr, size_t i)
{
    return js_is(arr, JS_ARRAY) ? out(json_array_get(in(arr), i)) : NULL;
}

bool js_object_each(const struct js *obj, bool (*fn)(void *ctx, struct span name, const struct js *value),
                    void *ctx)
{
    json_t *object = in(obj);

    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it)) {
        struct span name = span_of(json_object_iter_key(it), json_object_iter_key_len(it));
        if (!fn(ctx, name, out(json_object_iter_value(it))))
            return false;
    }
    return true;
}

struct js *js_new_object(void)
{
    return out(json_object());
}

struct js *js_new_array(void)
{
    return out(json_array());
}

/* Bad text and no memory are both NULL to jansson; this tells them apart. */
static bool text_ok(struct span text)
{
    return utf8_valid_mqtt(text);
}

static struct js *new_str(struct span checked)
{
    return out(json_stringn_nocheck(checked.len == 0 ? "" : (const char *)checked.p, checked.len));
}

struct js *js_new_str(struct span text)
{
    return text_ok(text) ? new_str(text) : NULL;
}

struct js *js_new_i64(int64_t v)
{
    return out(json_integer(v));
}

enum status js_set_take(struct js *obj, const char *name, struct js *child)
{
    if (obj == NULL || child == NULL) {
        js_unref(child);
        return ST_NO_MEMORY;
    }
    ASSERT(js_is(obj, JS_OBJECT));
    return json_object_set_new(in(obj), name, in(child)) == 0 ? ST_OK : ST_NO_MEMORY;
}

enum status js_set_str(struct js *obj, const char *name, struct span text)
{
    return text_ok(text) ? js_set_take(obj, name, new_str(text)) : ST_MALFORMED;
}

enum status js_set_i64(struct js *obj, const char *name, int64_t v)
{
    return js_set_take(obj, name, js_new_i64(v));
}

enum status js_set_bool(struct js *obj, const char *name, bool v)
{
    return js_set_take(obj, name, out(json_boolean(v)));
}

enum status js_set_null(struct js *obj, const char *name)
{
    return js_set_take(obj, name, out(json_null()));
}

enum status js_append_take(struct js *arr, struct js *child)
{
    if (arr == NULL || child == NULL) {
        js_unref(child);
        return ST_NO_MEMORY;
    }
    ASSERT(js_is(arr, JS_ARRAY));
    return json_array_append_new(in(arr), in(child)) == 0 ? ST_OK : ST_NO_MEMORY;
}

enum status js_append_str(struct js *arr, struct span text)
{
    return text_ok(text) ? js_append_take(arr, new_str(text)) : ST_MALFORMED;
}

/* ---- printing ----
 * jansson looks for loops in what it prints, with a table and a printed address for each container, and hands out each
 * quote by itself. What is built here are trees, so this is all it takes; numbers with a fraction are left to it. */

static void print_escaped(uint8_t c, struct buf *to)
{
    static const char letters[] = "btn\0fr"; /* from U+0008 on */

    put_u8(to, '\\');
    if (c == '"' || c == '\\')
        put_u8(to, c);
    else if (c >= '\b' && c <= '\r' && c != '\v')
        put_u8(to, (uint8_t)letters[c - '\b']);
    else
        put_fmt(to, "u%04X", c);
}

static void print_text(const char *text, size_t len, struct buf *to)
{
    size_t done = 0;

    put_u8(to, '"');
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        put_bytes(to, span_of(text + done, i - done));
        print_escaped(c, to);
        done = i + 1;
    }
    put_bytes(to, span_of(text + done, len - done));
    put_u8(to, '"');
}

static int print_piece(const char *piece, size_t len, void *buf)
{
    put_bytes(buf, span_of(piece, len));
    return buf_ok(buf) ? 0 : -1;
}

static void print_integer(json_int_t v, struct buf *to)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;

    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (v < 0)
        digits[--at] = '-';
    put_bytes(to, span_of(digits + at, sizeof digits - at));
}

static enum status print_value(json_t *json, unsigned depth, struct buf *to);

static enum status print_object(json_t *json, unsigned depth, struct buf *to)
{
    enum status st = ST_OK;

    put_u8(to, '{');
    for (void *it = json_object_iter(json); st == ST_OK && it != NULL;) {
        print_text(json_object_iter_key(it), json_object_iter_key_len(it), to);
        put_u8(to, ':');
        st = print_value(json_object_iter_value(it), depth, to);
        it = json_object_iter_next(json, it);
        if (it != NULL)
            put_u8(to, ',');
    }
    put_u8(to, '}');
    return st;
}

static enum status print_array(json_t *json, unsigned depth, struct buf *to)
{
    enum status st = ST_OK;

    put_u8(to, '[');
    for (size_t i = 0; st == ST_OK && i < json_array_size(json); i++) {
        if (i > 0)
            put_u8(to, ',');
        st = print_value(json_array_get(json, i), depth, to);
    }
    put_u8(to, ']');
    return st;
}

static enum status print_value(json_t *json, unsigned depth, struct buf *to)
{
    ASSERT(depth <= BUILT_DEPTH_MAX);
    if (!buf_ok(to))
        return buf_status(to);
    /* clang-format off */
    switch (json_typeof(json)) {
    case JSON_OBJECT:  return print_object(json, depth + 1, to);
    case JSON_ARRAY:   return print_array(json, depth + 1, to);
    case JSON_STRING:  print_text(json_string_value(json), json_string_length(json), to); break;
    case JSON_INTEGER: print_integer(json_integer_value(json), to); break;
    case JSON_TRUE:    put_str(to, "true"); break;
    case JSON_FALSE:   put_str(to, "false"); break;
    case JSON_NULL:    put_str(to, "null"); break;
    case JSON_REAL:
        if (json_dump_callback(json, print_piece, to, JSON_ENCODE_ANY) != 0 && buf_ok(to))
            return ST_NO_MEMORY;
        break;
    }
    /* clang-format on */
    return buf_status(to);
}

enum status js_print(const struct js *js, struct buf *to)
{
    return js == NULL ? ST_NO_MEMORY : print_value(in(js), 0, to);
}

enum status js_print_pretty(const struct js *js, struct buf *to)
{
    if (js == NULL)
        return ST_NO_MEMORY;
    if (json_dump_callback(in(js), print_piece, to, JSON_INDENT(2) | JSON_ENCODE_ANY) == 0)
        return ST_OK;
    return buf_ok(to) ? ST_NO_MEMORY : buf_status(to); /* jansson could not, or the buffer */
}

bool js_same(const struct js *a, const struct js *b)
{
    return json_equal(in(a), in(b)) == 1;
}
