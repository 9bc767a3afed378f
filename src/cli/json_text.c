#include "cli/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TEXT_MAX    16777216
#define COLUMNS_MAX 24

/* Appends text with control bytes as '?'. */
static void put_clean(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        put_u8(out, text.p[i] < 0x20 || text.p[i] == 0x7f ? '?' : text.p[i]);
}

void put_time(struct buf *out, int64_t s)
{
    time_t t = (time_t)s;
    char text[64];
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        put_fmt(out, "%lld", (long long)s);
    else
        put_str(out, text);
}

static bool ends_with(struct span name, const char *end)
{
    size_t len = strlen(end);

    return name.len >= len && memcmp(name.p + name.len - len, end, len) == 0;
}

static bool is_time(struct span name)
{
    return ends_with(name, "_at") || ends_with(name, "_until") || span_eq_str(name, "exp") ||
           span_eq_str(name, "iat") || span_eq_str(name, "nbf") || span_eq_str(name, "now") ||
           span_eq_str(name, "at");
}

static bool is_aif_entry(const struct js *js)
{
    return js_is(js, JS_ARRAY) && js_size(js) == 2 && js_is(js_at(js, 0), JS_STRING) &&
           js_is(js_at(js, 1), JS_ARRAY);
}

static void put_list(struct buf *out, const struct js *list, const char *between)
{
    for (size_t i = 0; i < js_size(list); i++) {
        put_str(out, i == 0 ? "" : between);
        put_value(out, SPAN_NONE, js_at(list, i));
    }
}

static void put_array(struct buf *out, const struct js *array)
{
    if (is_aif_entry(array)) {
        put_list(out, js_at(array, 1), ",");
        put_str(out, ":");
        put_value(out, SPAN_NONE, js_at(array, 0));
    } else if (js_size(array) == 0) {
        put_str(out, "-");
    } else {
        put_list(out, array, is_aif_entry(js_at(array, 0)) ? "  " : ",");
    }
}

void put_value(struct buf *out, struct span name, const struct js *value)
{
    struct span text;
    int64_t number;

    if (js_as_str(value, &text)) {
        put_clean(out, text);
    } else if (js_as_i64(value, &number)) {
        if (is_time(name))
            put_time(out, number);
        else
            put_fmt(out, "%lld", (long long)number);
    } else if (js_is(value, JS_TRUE) || js_is(value, JS_FALSE)) {
        put_str(out, js_is(value, JS_TRUE) ? "yes" : "no");
    } else if (value == NULL || js_is(value, JS_NULL)) {
        put_str(out, "-");
    } else if (js_is(value, JS_ARRAY)) {
        put_array(out, value);
    } else {
        struct buf json = { .max = TEXT_MAX };
        if (js_print(value, &json) == ST_OK)
            put_clean(out, buf_span(&json));
        buf_done(&json);
    }
}

/* ---- tables ---- */

struct column {
    struct span name;
    size_t width;
};

struct table_shape {
    struct column columns[COLUMNS_MAX];
    size_t count;
};

/* Characters, not bytes: good enough for names and topics. */
static size_t width_of(struct span text)
{
    size_t width = 0;

    for (size_t i = 0; i < text.len; i++)
        width += (text.p[i] & 0xc0) != 0x80;
    return width;
}

static bool add_column(void *ctx, struct span name, const struct js *value UNUSED)
{
    struct table_shape *shape = ctx;

    for (size_t i = 0; i < shape->count; i++)
        if (span_eq(shape->columns[i].name, name))
            return true;
    if (shape->count < COLUMNS_MAX)
        shape->columns[shape->count++] = (struct column){ name, width_of(name) };
    return true;
}

static const struct js *cell(const struct js *row, struct span name)
{
    CLEANUP(freep)
    char *text = span_dup_str(name);

    return text == NULL ? NULL : js_get(row, text);
}

static void measure(const struct js *rows, struct table_shape *shape)
{
    struct buf text = { .max = TEXT_MAX };

    for (size_t r = 0; r < js_size(rows); r++)
        js_object_each(js_at(rows, r), add_column, shape);
    for (size_t c = 0; c < shape->count; c++) {
        for (size_t r = 0; r < js_size(rows); r++) {
            buf_reset(&text);
            put_value(&text, shape->columns[c].name, cell(js_at(rows, r), shape->columns[c].name));
            if (width_of(buf_span(&text)) > shape->columns[c].width)
                shape->columns[c].width = width_of(buf_span(&text));
        }
    }
    buf_done(&text);
}

static void put_padded(struct buf *out, struct span text, size_t width, bool last)
{
    put_clean(out, text);
    for (size_t n = width_of(text); !last && n < width + 2; n++)
        put_str(out, " ");
    if (last)
        put_str(out, "\n");
}

static void put_table(struct buf *out, const struct js *rows)
{
    struct table_shape shape = { .count = 0 };
    struct buf text = { .max = TEXT_MAX };

    measure(rows, &shape);
    for (size_t c = 0; c < shape.count; c++)
        put_padded(out, shape.columns[c].name, shape.columns[c].width, c + 1 == shape.count);
    for (size_t r = 0; r < js_size(rows); r++) {
        for (size_t c = 0; c < shape.count; c++) {
            buf_reset(&text);
            put_value(&text, shape.columns[c].name, cell(js_at(rows, r), shape.columns[c].name));
            put_padded(out, buf_span(&text), shape.columns[c].width, c + 1 == shape.count);
        }
    }
    buf_done(&text);
}

/* ---- answers ---- */

struct members {
    struct buf *out;
    const char *skip;
    size_t width;
};

static bool is_rows(const struct js *value)
{
    return js_is(value, JS_ARRAY) && js_size(value) > 0 && js_is(js_at(value, 0), JS_OBJECT);
}

static bool skipped(const struct members *m, struct span name)
{
    return m->skip != NULL && span_eq_str(name, m->skip);
}

static bool measure_name(void *ctx, struct span name, const struct js *value)
{
    struct members *m = ctx;

    if (!skipped(m, name) && !is_rows(value) && width_of(name) > m->width)
        m->width = width_of(name);
    return true;
}

static bool put_member(void *ctx, struct span name, const struct js *value)
{
    struct members *m = ctx;

    if (skipped(m, name))
        return true;
    if (is_rows(value)) {
        put_table(m->out, value);
        return true;
    }
    put_padded(m->out, name, m->width, false);
    put_value(m->out, name, value);
    put_str(m->out, "\n");
    return true;
}

static void put_members(struct buf *out, const struct js *obj, const char *skip)
{
    struct members m = { out, skip, 0 };

    js_object_each(obj, measure_name, &m);
    js_object_each(obj, put_member, &m);
}

struct answer {
    struct buf *out;
    const char *skip;
    struct js *scalars; /* members printed together at the end */
    enum status st;
};

/* An object inside (the client, the key, ...) is shown member by member, like the answer itself. */
static bool put_part(void *ctx, struct span name, const struct js *value)
{
    struct answer *a = ctx;

    if (a->skip != NULL && span_eq_str(name, a->skip))
        return true;
    if (js_is(value, JS_OBJECT)) {
        put_members(a->out, value, NULL);
        return true;
    }
    if (is_rows(value)) {
        put_table(a->out, value);
        return true;
    }
    CLEANUP(freep)
    char *text = span_dup_str(name);
    a->st = text == NULL ? ST_NO_MEMORY : js_set_take(a->scalars, text, js_ref(value));
    return a->st == ST_OK;
}

enum status print_members(const struct js *obj, const char *skip)
{
    CLEANUP(js_unrefp)
    struct js *scalars = js_new_object();
    CLEANUP(buf_wipe)
    struct buf out = { .max = TEXT_MAX };
    struct answer answer = { &out, skip, scalars, ST_OK };

    js_object_each(obj, put_part, &answer);
    if (answer.st != ST_OK)
        return answer.st;
    put_members(&out, scalars, NULL);
    if (!buf_ok(&out))
        return ST_NO_MEMORY;
    fwrite(out.p, 1, out.len, stdout);
    return ST_OK;
}

enum status print_flat(const struct js *obj)
{
    CLEANUP(buf_wipe)
    struct buf out = { .max = TEXT_MAX };

    put_members(&out, obj, NULL);
    if (!buf_ok(&out))
        return ST_NO_MEMORY;
    fwrite(out.p, 1, out.len, stdout);
    return ST_OK;
}

enum status print_json(const struct js *js)
{
    CLEANUP(buf_wipe)
    struct buf out = { .max = TEXT_MAX };
    enum status st = js_print(js, &out);

    if (st != ST_OK)
        return st;
    fwrite(out.p, 1, out.len, stdout);
    putchar('\n');
    return ST_OK;
}
