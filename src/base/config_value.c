/* One setting's value: from text into the caller's member, and back. */
#include "base/config_priv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DEC 10

struct unit {
    const char *suffix;
    int64_t factor;
};

/* Largest first: printing takes the first that divides. */
static const struct unit units_s[] = { { "d", 86400 }, { "h", 3600 }, { "m", 60 }, { "s", 1 }, { "", 1 } };
static const struct unit units_ms[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 },
                                        { "s", 1000 },     { "ms", 1 },      { "", 1000 } };
static const struct unit units_size[] = { { "g", 1 << 30 }, { "m", 1 << 20 }, { "k", 1 << 10 }, { "", 1 } };
static const struct unit units_none[] = { { "", 1 } };

static const struct unit *units_of(enum config_type type, size_t *ret_count)
{
    switch (type) {
    case CONFIG_DURATION_S:
        *ret_count = COUNT_OF(units_s);
        return units_s;
    case CONFIG_DURATION_MS:
        *ret_count = COUNT_OF(units_ms);
        return units_ms;
    case CONFIG_SIZE:
        *ret_count = COUNT_OF(units_size);
        return units_size;
    default:
        *ret_count = COUNT_OF(units_none);
        return units_none;
    }
}

static void limits(const struct config_setting *s, int64_t *ret_min, int64_t *ret_max)
{
    bool free_range = s->min == 0 && s->max == 0;
    *ret_min = s->min;
    *ret_max = free_range ? INT64_MAX : s->max;
}

/* Digits with an optional sign; false when there are none or they do not fit. */
static bool read_decimal(const char **text, int64_t *ret)
{
    const char *p = *text;
    bool negative = *p == '-';
    int64_t v = 0;

    if (negative)
        p++;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(v, DEC, &v) || __builtin_add_overflow(v, *p - '0', &v))
            return false;
    *ret = negative ? -v : v;
    *text = p;
    return true;
}

static bool read_number(const struct config_setting *s, const char *text, int64_t *ret)
{
    size_t count;
    const struct unit *units = units_of(s->type, &count);

    if (!read_decimal(&text, ret))
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, units[i].suffix) == 0)
            return !__builtin_mul_overflow(*ret, units[i].factor, ret);
    return false;
}

static void print_number(const struct config_setting *s, int64_t v, struct buf *out)
{
    size_t count;
    const struct unit *units = units_of(s->type, &count);

    for (size_t i = 0; i < count; i++)
        if (v == 0 || v % units[i].factor == 0) {
            const struct unit *u = v == 0 ? &units[count - 1] : &units[i];
            put_fmt(out, "%" PRId64 "%s", v / u->factor, u->suffix);
            return;
        }
}

void config_value_form(const struct config_setting *s, struct buf *out)
{
    static const char *const words[CONFIG_TYPES] = {
        [CONFIG_BOOL] = "true or false",
        [CONFIG_INT] = "integer",
        [CONFIG_DURATION_S] = "duration in whole seconds (such as 90s, 15m, 2h, 7d)",
        [CONFIG_DURATION_MS] = "duration (such as 250ms, 90s, 15m, 2h, 7d)",
        [CONFIG_SIZE] = "size in bytes (such as 4096, 64k, 1m)",
        [CONFIG_STRING] = "text",
        [CONFIG_PATH] = "path",
        [CONFIG_ENUM] = "one of ",
        [CONFIG_STRINGS] = "list of text",
        [CONFIG_RECORDS] = "list of records",
    };
    int64_t min, max;

    put_str(out, words[s->type]);
    if (s->type == CONFIG_ENUM)
        for (size_t i = 0; s->choices[i] != NULL; i++)
            put_fmt(out, "%s%s", i == 0 ? "" : ", ", s->choices[i]);
    if (s->type < CONFIG_INT || s->type > CONFIG_SIZE)
        return;
    limits(s, &min, &max);
    if (min == 0 && max == INT64_MAX)
        return;
    put_str(out, ", ");
    print_number(s, min, out);
    put_str(out, max == INT64_MAX ? " or more" : " to ");
    if (max != INT64_MAX)
        print_number(s, max, out);
}

void config_problem(struct buf *problem, const struct config_place *place, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    if (problem == NULL)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    put_fmt(problem, "%s%s%s%s%s\n", place->file_name == NULL ? "" : place->file_name,
            place->file_name == NULL ? "" : ": ", place->name == NULL ? "" : place->name,
            place->name == NULL ? "" : ": ", text);
}

static enum status wrong_form(const struct config_setting *s, const char *text,
                              const struct config_place *place, struct buf *problem)
{
    CLEANUP(buf_done)
    struct buf form;

    buf_init(&form, CONFIG_PROBLEM_MAX);
    config_value_form(s, &form);
    if ((s->flags & CONFIG_SECRET) != 0)
        text = "(secret)";
    config_problem(problem, place, "\"%.80s\" does not fit; expected %.*s", text, SPAN_FMT(buf_span(&form)));
    return ST_MALFORMED;
}

static bool read_bool(const char *text, bool *ret)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = { { "true", true },   { "yes", true }, { "on", true },
                  { "false", false }, { "no", false }, { "off", false } };

    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strcmp(text, words[i].word) == 0) {
            *ret = words[i].value;
            return true;
        }
    return false;
}

static bool read_choice(const struct config_setting *s, const char *text, int *ret)
{
    for (int i = 0; s->choices[i] != NULL; i++)
        if (strcmp(text, s->choices[i]) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

/* A relative path starts where the settings file lies, so that a state directory can be moved as a whole. */
static char *resolve_path(const char *text, const char *file_name)
{
    CLEANUP(buf_done)
    struct buf path;
    const char *slash = file_name == NULL ? NULL : strrchr(file_name, '/');

    buf_init(&path, CONFIG_FILE_MAX);
    if (text[0] != '/' && text[0] != '\0' && slash != NULL)
        put_bytes(&path, span_of(file_name, (size_t)(slash - file_name) + 1));
    put_str(&path, text);
    return buf_ok(&path) ? span_dup_str(buf_span(&path)) : NULL;
}

static enum status parse_number(const struct config_setting *s, const char *text,
                                const struct config_place *place, void *member, struct buf *problem)
{
    int64_t v, min, max;

    limits(s, &min, &max);
    if (!read_number(s, text, &v) || v < min || v > max)
        return wrong_form(s, text, place, problem);
    if (s->type == CONFIG_SIZE)
        *(size_t *)member = (size_t)v;
    else
        *(int64_t *)member = v;
    return ST_OK;
}

enum status config_value_parse(const struct config_setting *s, const char *text,
                               const struct config_place *place, void *member, struct buf *problem)
{
    switch (s->type) {
    case CONFIG_BOOL:
        return read_bool(text, member) ? ST_OK : wrong_form(s, text, place, problem);
    case CONFIG_ENUM:
        return read_choice(s, text, member) ? ST_OK : wrong_form(s, text, place, problem);
    case CONFIG_STRING:
    case CONFIG_PATH: {
        const char *file = s->type == CONFIG_PATH ? place->file_name : NULL;
        char **ret = member;
        *ret = resolve_path(text, file);
        return *ret == NULL ? ST_NO_MEMORY : ST_OK;
    }
    default:
        return parse_number(s, text, place, member, problem);
    }
}

/* Characters that YAML would not take as they are, or would take for a line break, in UTF-8. Returns their length, 0
 * for any other. Bytes are looked at from left to right, so the NUL at the end is never passed. */
static size_t needs_escape(const unsigned char *p, unsigned *ret_code)
{
    if (*p < 0x20 || *p == 0x7f) {
        *ret_code = *p;
        return 1;
    }
    if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) { /* U+0080 to U+009F: controls, among them NEL */
        *ret_code = p[1];
        return 2;
    }
    if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9)) { /* line and paragraph separator */
        *ret_code = p[2] == 0xa8 ? 0x2028 : 0x2029;
        return 3;
    }
    if (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf) { /* byte order mark */
        *ret_code = 0xfeff;
        return 3;
    }
    if (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe) { /* U+FFFE, U+FFFF */
        *ret_code = p[2] == 0xbe ? 0xfffe : 0xffff;
        return 3;
    }
    return 0;
}

void config_string_print(const char *str, struct buf *out)
{
    put_str(out, "\"");
    for (const unsigned char *p = (const unsigned char *)str; *p != '\0';) {
        unsigned code;
        size_t len = needs_escape(p, &code);
        if (len > 0)
            put_fmt(out, "\\u%04x", code);
        else if (*p == '"' || *p == '\\')
            put_fmt(out, "\\%c", *p);
        else
            put_u8(out, *p);
        p += len > 0 ? len : 1;
    }
    put_str(out, "\"");
}

void config_value_print(const struct config_setting *s, const void *member, struct buf *out)
{
    switch (s->type) {
    case CONFIG_BOOL:
        put_str(out, *(const bool *)member ? "true" : "false");
        break;
    case CONFIG_ENUM:
        put_str(out, s->choices[*(const int *)member]);
        break;
    case CONFIG_STRING:
    case CONFIG_PATH:
        config_string_print(*(char *const *)member, out);
        break;
    case CONFIG_SIZE:
        print_number(s, (int64_t) * (const size_t *)member, out);
        break;
    default:
        print_number(s, *(const int64_t *)member, out);
        break;
    }
}

void config_string_free(char *str, bool secret)
{
    if (str != NULL && secret)
        explicit_bzero(str, strlen(str));
    free(str);
}

void config_strings_done(struct config_strings *list, bool secret)
{
    for (size_t i = 0; i < list->count; i++)
        config_string_free(list->items[i], secret);
    free(list->items);
    *list = (struct config_strings){ 0 };
}
