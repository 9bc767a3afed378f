#include "token/hints.h"

#include "codec/base64.h"
#include "codec/json.h"

#include <stdlib.h>

static enum status set_text(struct js *js, const char *name, struct span text)
{
    return text.p == NULL ? ST_OK : js_set_str(js, name, text);
}

static enum status set_bytes(struct js *js, const char *name, struct span bytes)
{
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, HINTS_MAX_BYTES);
    if (bytes.p == NULL)
        return ST_OK;
    base64url_encode(bytes, &text);
    return buf_ok(&text) ? js_set_str(js, name, buf_span(&text)) : buf_status(&text);
}

enum status hints_write(const struct hints *hints, struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    CLEANUP(buf_done)
    struct buf text;
    enum status st;

    buf_init(&text, HINTS_MAX_BYTES);
    ASSERT(hints->as.len > 0);
    st = js_set_str(js, "AS", hints->as);
    if (st == ST_OK)
        st = set_text(js, "audience", hints->audience);
    if (st == ST_OK)
        st = set_bytes(js, "kid", hints->kid);
    if (st == ST_OK)
        st = set_bytes(js, "cnonce", hints->cnonce);
    if (st == ST_OK)
        st = set_text(js, "scope", hints->scope);
    if (st == ST_OK)
        st = js_print(js, &text);
    if (st != ST_OK)
        return st;
    put_bytes(out, buf_span(&text));
    return buf_status(out);
}

/* RFC 3986 3.1: a scheme, a colon, and no byte that a URI cannot hold. */
static bool is_absolute_uri(struct span s)
{
    size_t colon = span_find(s, ':', 0);

    if (colon == 0 || colon + 1 >= s.len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i], low = c | 0x20;
        bool alpha = low >= 'a' && low <= 'z', digit = c >= '0' && c <= '9';
        if (i < colon && !alpha && (i == 0 || !(digit || c == '+' || c == '-' || c == '.')))
            return false;
        if (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^`{|}", c) != NULL)
            return false;
    }
    return true;
}

/* Appends to the one block that the spans will point into; remembers where. */
struct piece {
    size_t at, len;
    bool there;
};

static void add_text(struct buf *b, struct span text, struct piece *p)
{
    *p = (struct piece){ b->len, text.len, true };
    put_bytes(b, text);
}

static enum status read_text(const struct js *js, const char *name, struct buf *b, struct piece *p,
                             struct why *why)
{
    struct span text;

    if (js_get(js, name) == NULL)
        return ST_OK;
    if (!js_get_str(js, name, &text))
        return reject(why, ST_MALFORMED, "MT-91", "a hint that must be text is not", 0);
    add_text(b, text, p);
    return ST_OK;
}

static enum status read_bytes_text(const struct js *js, const char *name, struct buf *b, struct piece *p,
                                   struct why *why)
{
    struct span text;
    enum status st;

    if (js_get(js, name) == NULL)
        return ST_OK;
    if (!js_get_str(js, name, &text))
        return reject(why, ST_MALFORMED, "AF-19", "a hint that must be base64url text is not", 0);
    *p = (struct piece){ b->len, 0, true };
    st = base64url_decode(text, b, why);
    p->len = b->len - p->at;
    return st;
}

static enum status read_scope(const struct js *js, struct buf *b, struct piece *p, struct why *why)
{
    const struct js *scope = js_get(js, "scope");
    enum status st;

    if (!js_is(scope, JS_ARRAY))
        return read_text(js, "scope", b, p, why);
    *p = (struct piece){ b->len, 0, true };
    st = js_print(scope, b);
    p->len = b->len - p->at;
    return st;
}

static struct span piece_span(const struct hints *h, struct piece p)
{
    return p.there ? span_of(h->owned + p.at, p.len) : SPAN_NONE;
}

enum status hints_parse(struct span json, struct hints *out, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(buf_done)
    struct buf b;
    struct piece audience = { 0 }, kid = { 0 }, cnonce = { 0 }, scope = { 0 }, as = { 0 };
    struct span uri;
    size_t len;
    enum status st;

    *out = (struct hints){ 0 };
    buf_init(&b, 2 * HINTS_MAX_BYTES); /* a scope printed again may escape more than it came with */
    st = js_parse(json, HINTS_MAX_BYTES, &js, why);
    if (st != ST_OK)
        return st;
    if (!js_get_str(js, "AS", &uri) || !is_absolute_uri(uri))
        return reject(why, ST_MALFORMED, "MT-91", "AS is missing or not an absolute URI", 0);
    add_text(&b, uri, &as);
    st = read_text(js, "audience", &b, &audience, why);
    if (st == ST_OK)
        st = read_bytes_text(js, "kid", &b, &kid, why);
    if (st == ST_OK)
        st = read_bytes_text(js, "cnonce", &b, &cnonce, why);
    if (st == ST_OK)
        st = read_scope(js, &b, &scope, why);
    if (st != ST_OK)
        return st;
    out->owned = buf_take(&b, &len);
    if (out->owned == NULL)
        return ST_NO_MEMORY;
    out->as = piece_span(out, as);
    out->audience = piece_span(out, audience);
    out->kid = piece_span(out, kid);
    out->cnonce = piece_span(out, cnonce);
    out->scope = piece_span(out, scope);
    return ST_OK;
}

void hints_done(struct hints *hints)
{
    free(hints->owned);
    *hints = (struct hints){ 0 };
}
