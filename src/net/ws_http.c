#include "net/ws_http.h"

#include <strings.h>

#define CLAUSE "RFC 9112 2.1"

size_t http_head_end(struct span text, size_t seen)
{
    size_t at = seen > 3 ? seen - 3 : 0;

    while ((at = span_find(text, '\r', at)) < text.len) {
        if (span_starts_with(span_cut(text, at, text.len), SPAN("\r\n\r\n")))
            return at + 4;
        at++;
    }
    return 0;
}

bool http_token_byte(uint8_t c)
{
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

    return alnum || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!http_token_byte(s.p[i]))
            return false;
    return s.len > 0;
}

/* VCHAR, and with `spaces` what RFC 9110 5.5 has in a field's value. */
static bool is_text(struct span s, bool spaces)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        bool fine = (c > 0x20 && c < 0x7f) || (spaces && (c == ' ' || c == '\t' || c >= 0x80));
        if (!fine)
            return false;
    }
    return true;
}

static struct span trim(struct span s)
{
    while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = span_cut(s, 1, s.len);
    while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Up to `byte`, which is skipped; the rest if there is none. */
static struct span take_until(struct span *rest, uint8_t byte)
{
    size_t end = span_find(*rest, byte, 0);
    struct span part = span_cut(*rest, 0, end);

    *rest = span_cut(*rest, end + 1, rest->len);
    return part;
}

/* One line without its CRLF; a CR or LF of any other kind fails. */
static bool take_line(struct span *rest, struct span *line)
{
    *line = take_until(rest, '\n');
    if (line->len == 0 || line->p[line->len - 1] != '\r')
        return false;
    line->len--;
    return span_find(*line, '\r', 0) == line->len;
}

static enum status take_fields(struct span text, struct span rest, struct http_head *out, struct why *why)
{
    for (;;) {
        struct span line, name;
        size_t at = (size_t)(rest.p - text.p);
        if (!take_line(&rest, &line))
            return reject(why, ST_MALFORMED, CLAUSE, "a line that does not end in CRLF", at);
        if (line.len == 0)
            return rest.len == 0 ? ST_OK
                                 : reject(why, ST_MALFORMED, CLAUSE, "something behind the empty line", at);
        if (out->count == HTTP_FIELDS_MAX)
            return reject(why, ST_TOO_LARGE, "RFC 6585 5", "too many header fields", at);
        if (span_find(line, ':', 0) == line.len)
            return reject(why, ST_MALFORMED, "RFC 9112 5", "a header field without ':'", at);
        name = take_until(&line, ':');
        if (!is_token(name)) /* no white space before ':', no folded line */
            return reject(why, ST_MALFORMED, "RFC 9112 5.1", "the name of a header field is no token", at);
        if (!is_text(line, true))
            return reject(why, ST_MALFORMED, "RFC 9110 5.5", "a control character in a header field", at);
        out->fields[out->count++] = (struct http_field){ name, trim(line) };
    }
}

enum status http_request_parse(struct span text, struct http_head *out, struct why *why)
{
    struct span rest = text, line;

    out->count = 0;
    if (!take_line(&rest, &line))
        return reject(why, ST_MALFORMED, "RFC 9112 3", "the request line does not end in CRLF", 0);
    out->start[0] = take_until(&line, ' ');
    out->start[1] = take_until(&line, ' ');
    out->start[2] = line;
    if (!is_token(out->start[0]) || out->start[1].len == 0 || !is_text(out->start[1], false) ||
        !is_text(line, false))
        return reject(why, ST_MALFORMED, "RFC 9112 3", "not a request line", 0);
    return take_fields(text, rest, out, why);
}

enum status http_response_parse(struct span text, struct http_head *out, struct why *why)
{
    struct span rest = text, line;

    out->count = 0;
    if (!take_line(&rest, &line))
        return reject(why, ST_MALFORMED, "RFC 9112 4", "the status line does not end in CRLF", 0);
    out->start[0] = take_until(&line, ' ');
    out->start[1] = take_until(&line, ' ');
    out->start[2] = line;
    if (!span_starts_with(out->start[0], SPAN("HTTP/")) || out->start[1].len != 3 || !is_token(out->start[1]) ||
        !is_text(line, true))
        return reject(why, ST_MALFORMED, "RFC 9112 4", "not a status line", 0);
    return take_fields(text, rest, out, why);
}

bool http_same(struct span a, const char *b)
{
    return a.len == strlen(b) && (a.len == 0 || strncasecmp((const char *)a.p, b, a.len) == 0);
}

size_t http_field(const struct http_head *head, const char *name, struct span *ret_value)
{
    size_t found = 0;

    for (size_t i = 0; i < head->count; i++) {
        if (!http_same(head->fields[i].name, name))
            continue;
        if (found++ == 0 && ret_value != NULL)
            *ret_value = head->fields[i].value;
    }
    return found;
}

bool http_lists(const struct http_head *head, const char *name, const char *item, bool any_case)
{
    for (size_t i = 0; i < head->count; i++) {
        struct span rest = head->fields[i].value;
        while (http_same(head->fields[i].name, name) && rest.len > 0) {
            struct span one = trim(take_until(&rest, ','));
            if (any_case ? http_same(one, item) : span_eq_str(one, item))
                return true;
        }
    }
    return false;
}
