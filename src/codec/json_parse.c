/* Reading JSON into jansson's values. jansson's own reader asks for one byte after the other through three functions, and goes on
 * without the bytes for which there is no room; this one looks at the text where it lies (decision 0041). */
#include "codec/json.h"

#include "base/utf8.h"

#include <jansson.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define SYNTAX "RFC 8259 2"

struct parse {
    struct span text;
    size_t at;
    unsigned depth;
    enum status st; /* the first fault */
    struct why *why;
};

static json_t *value(struct parse *p);

static json_t *fail(struct parse *p, const char *clause, const char *text)
{
    p->st = reject(p->why, ST_MALFORMED, clause, text, p->at);
    return NULL;
}

static json_t *not_json(struct parse *p)
{
    return fail(p, SYNTAX, "not JSON");
}

/* What was made of what could be read; NULL is no memory. */
static json_t *made(struct parse *p, json_t *json)
{
    if (json == NULL)
        p->st = reject(p->why, ST_NO_MEMORY, "memory", "out of memory", p->at);
    return json;
}

/* The next byte; 0 behind the last, which no rule takes. */
static uint8_t peek(const struct parse *p)
{
    return p->at < p->text.len ? p->text.p[p->at] : 0;
}

static bool take(struct parse *p, uint8_t c)
{
    if (peek(p) != c)
        return false;
    p->at++;
    return true;
}

static uint8_t skip_space(struct parse *p)
{
    while (p->at < p->text.len) {
        uint8_t c = p->text.p[p->at];

        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            return c;
        p->at++;
    }
    return 0;
}

/* ---- text (RFC 8259 7) ---- */

/* Four hexadecimal digits, or -1. */
static int32_t hex4(struct parse *p)
{
    int32_t v = 0;

    for (int i = 0; i < 4; i++) {
        uint8_t c = peek(p);

        if (c >= '0' && c <= '9')
            v = v << 4 | (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v << 4 | ((c | 0x20) - 'a' + 10);
        else
            return -1;
        p->at++;
    }
    return v;
}

static size_t put_utf8(uint8_t *to, uint32_t c)
{
    size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t first[] = { 0, 0xc0, 0xe0, 0xf0 };

    to[0] = (uint8_t)(first[more] | c >> 6 * more);
    for (size_t i = 1; i <= more; i++)
        to[i] = (uint8_t)(0x80 | (c >> 6 * (more - i) & 0x3f));
    return more + 1;
}

/* Behind "\u". Returns how many bytes it comes to; 0: it is none. */
static size_t unescape_unicode(struct parse *p, uint8_t *to)
{
    int32_t c = hex4(p), low;

    if (c == 0)
        (void)fail(p, "RFC 8259 7", "U+0000 in JSON text");
    if (c <= 0 || (c >= 0xdc00 && c <= 0xdfff))
        return 0;
    if (c < 0xd800 || c > 0xdbff)
        return put_utf8(to, (uint32_t)c);
    if (!take(p, '\\') || !take(p, 'u') || (low = hex4(p)) < 0xdc00 || low > 0xdfff)
        return 0; /* half of a pair is no text */
    return put_utf8(to, 0x10000 + ((uint32_t)(c - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
}

/* Behind the backslash: never more bytes than it is spelled with. */
static size_t unescape(struct parse *p, uint8_t *to)
{
    static const char spelled[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    uint8_t c = peek(p);
    const char *found = c == 0 ? NULL : strchr(spelled, c);

    if (take(p, 'u'))
        return unescape_unicode(p, to);
    if (found == NULL)
        return 0;
    p->at++;
    to[0] = (uint8_t)meant[found - spelled];
    return 1;
}

/* Up to where it ends, is escaped or goes wrong. */
static struct span plain_text(struct parse *p)
{
    size_t from = p->at;

    while (p->at < p->text.len && p->text.p[p->at] >= 0x20 && p->text.p[p->at] != '"' &&
           p->text.p[p->at] != '\\')
        p->at++;
    return span_cut(p->text, from, p->at - from);
}

/* The rest of a text whose first part needs no room of its own. `*ret_copy` is the caller's to wipe and free. */
static bool escaped_text(struct parse *p, struct span first, struct span *ret, struct buf *copy)
{
    put_bytes(copy, first);
    while (!take(p, '"')) {
        uint8_t utf8[4];
        size_t len;

        if (!take(p, '\\') || (len = unescape(p, utf8)) == 0) {
            if (p->st == ST_OK)
                (void)not_json(p);
            return false;
        }
        put_bytes(copy, span_of(utf8, len));
        put_bytes(copy, plain_text(p));
    }
    *ret = buf_span(copy);
    return buf_ok(copy) || made(p, NULL) != NULL;
}

/* Behind the quote. `*ret` is borrowed from the text, or from `copy`. */
static bool text(struct parse *p, struct span *ret, struct buf *copy)
{
    struct span first = plain_text(p);

    *ret = first;
    return take(p, '"') || escaped_text(p, first, ret, copy);
}

static json_t *text_value(struct parse *p)
{
    CLEANUP(buf_wipe)
    struct buf copy;
    struct span s;

    buf_init(&copy, p->text.len);
    return text(p, &s, &copy) ? made(p, json_stringn_nocheck(s.len == 0 ? "" : (const char *)s.p, s.len))
                              : NULL;
}

/* ---- numbers (RFC 8259 6) ---- */

static bool digits(struct parse *p)
{
    size_t from = p->at;

    while (peek(p) >= '0' && peek(p) <= '9')
        p->at++;
    return p->at > from;
}

/* "." and "e", if they stand there. */
static bool fraction(struct parse *p, bool *ret_is)
{
    *ret_is = false;
    if (take(p, '.')) {
        *ret_is = true;
        if (!digits(p))
            return false;
    }
    if ((peek(p) | 0x20) == 'e') {
        *ret_is = true;
        p->at++;
        if (!take(p, '+'))
            (void)take(p, '-');
        return digits(p);
    }
    return true;
}

/* Whatever language the program speaks, the point is a point: glibc's own locale "C" is no memory. */
static json_t *real_value(struct parse *p, struct span s)
{
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char *copy = span_dup_str(s);
    double v;

    if (copy == NULL || plain == (locale_t)0) {
        free(copy);
        return made(p, NULL);
    }
    v = strtod_l(copy, NULL, plain);
    free(copy);
    freelocale(plain);
    if (!__builtin_isfinite(v))
        return fail(p, "TK-52", "a number too large");
    return made(p, json_real(v));
}

static json_t *integer_value(struct parse *p, struct span s)
{
    bool negative = s.p[0] == '-';
    uint64_t most = (uint64_t)INT64_MAX + negative, v = 0;

    for (size_t i = negative; i < s.len; i++) {
        uint64_t digit = s.p[i] - (uint64_t)'0';

        if (v > (most - digit) / 10)
            return fail(p, "TK-52", "a number too large");
        v = v * 10 + digit;
    }
    return made(p, json_integer(negative ? (json_int_t)(0 - v) : (json_int_t)v));
}

static json_t *number(struct parse *p)
{
    size_t from = p->at;
    bool is_real, zero;

    (void)take(p, '-');
    zero = peek(p) == '0';
    if (zero)
        p->at++;
    if (digits(p) == zero || !fraction(p, &is_real)) /* no digit in front of others is 0 */
        return not_json(p);
    struct span s = span_cut(p->text, from, p->at - from);
    return is_real ? real_value(p, s) : integer_value(p, s);
}

/* ---- the rest ---- */

static json_t *word(struct parse *p)
{
    size_t from = p->at;
    struct span s;

    while ((peek(p) | 0x20) >= 'a' && (peek(p) | 0x20) <= 'z')
        p->at++;
    s = span_cut(p->text, from, p->at - from);
    if (span_eq_str(s, "true"))
        return json_true();
    if (span_eq_str(s, "false"))
        return json_false();
    return span_eq_str(s, "null") ? json_null() : not_json(p);
}

static bool goes_deeper(struct parse *p)
{
    if (p->depth == JS_DEPTH_MAX)
        return fail(p, "TK-49", "JSON nested too deeply") != NULL;
    p->at++;
    p->depth++;
    return true;
}

/* Behind an element: another one follows, or this was the last. */
static bool follows(struct parse *p, uint8_t end, bool *ret_more)
{
    uint8_t c = skip_space(p);

    *ret_more = c == ',';
    if (c != ',' && c != end)
        return not_json(p) != NULL;
    p->at++;
    (void)skip_space(p);
    return true;
}

static bool element(struct parse *p, json_t *array)
{
    json_t *v = value(p);

    if (v == NULL)
        return false;
    return json_array_append_new(array, v) == 0 || made(p, NULL) != NULL;
}

static bool member(struct parse *p, json_t *object)
{
    CLEANUP(buf_wipe)
    struct buf copy;
    struct span name;
    size_t before = json_object_size(object);
    json_t *v;

    buf_init(&copy, p->text.len);
    if (!take(p, '"'))
        return not_json(p) != NULL;
    if (!text(p, &name, &copy))
        return false;
    if (skip_space(p) != ':')
        return not_json(p) != NULL;
    p->at++;
    (void)skip_space(p);
    v = value(p);
    if (v == NULL)
        return false;
    if (json_object_setn_new_nocheck(object, name.len == 0 ? "" : (const char *)name.p, name.len, v) != 0)
        return made(p, NULL) != NULL;
    return json_object_size(object) > before || fail(p, "TK-48", "a member twice in one JSON object") != NULL;
}

/* An array, or with `end` "}" an object. */
static json_t *container(struct parse *p, uint8_t end, json_t *(*make)(void),
                         bool (*read)(struct parse *p, json_t *container))
{
    json_t *json;
    bool more = true;

    if (!goes_deeper(p))
        return NULL;
    json = made(p, make());
    if (json == NULL)
        return NULL;
    if (skip_space(p) == end) {
        p->at++;
        more = false;
    }
    while (more) {
        if (!read(p, json) || !follows(p, end, &more)) {
            json_decref(json);
            return NULL;
        }
    }
    p->depth--;
    return json;
}

static json_t *value(struct parse *p)
{
    uint8_t c = peek(p);

    if (c == '"') {
        p->at++;
        return text_value(p);
    }
    if (c == '{')
        return container(p, '}', json_object, member);
    if (c == '[')
        return container(p, ']', json_array, element);
    return c == '-' || (c >= '0' && c <= '9') ? number(p) : word(p);
}

enum status js_parse(struct span text, size_t max_bytes, struct js **ret_js, struct why *why)
{
    struct parse p = { .text = text, .why = why };
    json_t *json;

    if (text.len > max_bytes)
        return reject(why, ST_TOO_LARGE, "max_bytes", "JSON larger than allowed", max_bytes);
    if (!utf8_valid(text))
        return reject(why, ST_MALFORMED, "TK-50", "JSON that is not UTF-8", 0);
    (void)skip_space(&p);
    json = value(&p);
    if (json == NULL)
        return p.st;
    (void)skip_space(&p);
    if (p.at < text.len) {
        json_decref(json);
        return reject(why, ST_MALFORMED, "TK-50", "bytes behind the JSON value", p.at);
    }
    *ret_js = (struct js *)json;
    return ST_OK;
}
