#include "net/http_message.h"

#include "net/http_authority.h"

#include <stdio.h>
#include <time.h>

#define LENGTH_DIGITS_MAX 18
#define CHUNK_DIGITS_MAX  15
#define CHUNK_LINE_MAX    4096
#define OVERHEAD_MAX      HTTP_HEAD_MAX

static enum status refuse(int code, const char *clause, const char *text, int *ret_code, struct why *why)
{
    *ret_code = code;
    return reject(why, ST_MALFORMED, clause, text, 0);
}

/* ---- a request ---- */

static enum status read_version(struct span version, struct http_framing *out, int *ret_code, struct why *why)
{
    if (version.len != 8 || !span_starts_with(version, SPAN("HTTP/")) || version.p[6] != '.')
        return refuse(400, "RFC 9112 2.3", "not a version of HTTP", ret_code, why);
    if (version.p[5] != '1' || version.p[7] < '0' || version.p[7] > '9')
        return refuse(505, "RFC 9110 15.6.6", "not HTTP/1", ret_code, why);
    out->old = version.p[7] == '0';
    return ST_OK;
}

/* "/path?query", or the same behind a scheme and an authority (RFC 9112 3.2.2), or "*". */
static enum status read_target(struct span target, struct http_framing *out, int *ret_code, struct why *why)
{
    size_t colon = span_find(target, ':', 0), authority = colon + 3;
    struct span scheme = span_cut(target, 0, colon), tail = SPAN_NONE;

    if ((http_same(scheme, "http") || http_same(scheme, "https")) &&
        span_starts_with(span_cut(target, colon, target.len), SPAN("://"))) {
        size_t path = span_find(target, '/', authority), mark = span_find(target, '?', authority);
        size_t end = path < mark ? path : mark;
        if (!http_authority_named(span_cut(target, authority, end - authority)))
            return refuse(400, "RFC 9110 4.2.1", "the target names no host", ret_code, why);
        tail = mark < path ? span_cut(target, mark + 1, target.len) : SPAN_NONE;
        target = mark < path || path == target.len ? SPAN("/") : span_cut(target, path, target.len);
    }
    if (target.p[0] != '/' && !span_eq_str(target, "*"))
        return refuse(400, "RFC 9112 3.2", "not a request target", ret_code, why);
    size_t mark = span_find(target, '?', 0);
    out->path = span_cut(target, 0, mark);
    out->query = mark < target.len ? span_cut(target, mark + 1, target.len) : tail;
    return ST_OK;
}

static bool read_length(struct span text, uint64_t *ret)
{
    *ret = 0;
    if (text.len == 0 || text.len > LENGTH_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        *ret = *ret * 10 + (uint64_t)(text.p[i] - '0');
    }
    return true;
}

/* RFC 9112 6: one way of saying where the body ends, said once. */
static enum status read_body_framing(const struct http_head *head, struct http_framing *out, int *ret_code,
                                     struct why *why)
{
    struct span length = SPAN_NONE, coding = SPAN_NONE;
    size_t lengths = http_field(head, "Content-Length", &length);
    size_t codings = http_field(head, "Transfer-Encoding", &coding);

    if (lengths > 1 || codings > 1 || (lengths > 0 && codings > 0) || (codings > 0 && out->old))
        return refuse(400, "RFC 9112 6.1", "the length of the body is said twice", ret_code, why);
    if (lengths > 0 && !read_length(length, &out->length))
        return refuse(400, "RFC 9112 6.3", "Content-Length is not a number", ret_code, why);
    if (codings > 0 && !http_same(coding, "chunked"))
        return refuse(501, "RFC 9112 6.1", "a transfer coding that is not chunked", ret_code, why);
    out->chunked = codings > 0;
    return ST_OK;
}

static enum status read_expectation(const struct http_head *head, struct http_framing *out, int *ret_code,
                                    struct why *why)
{
    struct span expect;
    size_t count = http_field(head, "Expect", &expect);

    if (count > 0 && !out->old && (count > 1 || !http_same(expect, "100-continue")))
        return refuse(417, "RFC 9110 10.1.1", "an expectation that is not 100-continue", ret_code, why);
    out->expect_continue = count > 0 && !out->old && (out->chunked || out->length > 0);
    return ST_OK;
}

/* Of these a proxy in front might have believed another one than we would (RFC 9110 5.3). */
static bool twice(const struct http_head *head)
{
    static const char *const once[] = { "Authorization", "Content-Type", "Host" };

    for (size_t i = 0; i < COUNT_OF(once); i++)
        if (http_field(head, once[i], NULL) > 1)
            return true;
    return false;
}

static enum status check_host(const struct http_head *head, const struct http_framing *out, int *ret_code,
                              struct why *why)
{
    struct span host = SPAN_NONE;

    if (http_field(head, "Host", &host) != 1 && !out->old)
        return refuse(400, "RFC 9112 3.2", "Host is missing", ret_code, why);
    if (!http_authority_valid(host))
        return refuse(400, "RFC 9112 3.2", "Host is not a host with perhaps a port", ret_code, why);
    return ST_OK;
}

enum status http_framing_of(const struct http_head *head, struct http_framing *out, int *ret_code,
                            struct why *why)
{
    *out = (struct http_framing){ .is_head = span_eq_str(head->start[0], "HEAD") };
    enum status st = read_version(head->start[2], out, ret_code, why);

    if (st == ST_OK)
        st = read_target(head->start[1], out, ret_code, why);
    if (st == ST_OK && twice(head))
        st = refuse(400, "RFC 9110 5.3", "a header field twice", ret_code, why);
    if (st == ST_OK)
        st = check_host(head, out, ret_code, why);
    if (st == ST_OK)
        st = read_body_framing(head, out, ret_code, why);
    if (st == ST_OK)
        st = read_expectation(head, out, ret_code, why);
    out->keep_alive = !http_lists(head, "Connection", "close", true) &&
                      (!out->old || http_lists(head, "Connection", "keep-alive", true));
    return st;
}

/* ---- the query ---- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Of form fields: '+' is a space. A '%' that begins nothing stays one. */
static void put_decoded(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        int high = text.p[i] == '%' && i + 2 < text.len ? hex_digit(text.p[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.p[i + 2]) : -1;
        if (low >= 0) {
            put_u8(out, (uint8_t)(high * 16 + low));
            i += 2;
        } else {
            put_u8(out, text.p[i] == '+' ? ' ' : text.p[i]);
        }
    }
}

bool http_query_value(struct span query, const char *name, struct buf *out)
{
    for (size_t at = 0; at < query.len;) {
        size_t end = span_find(query, '&', at);
        struct span field = span_cut(query, at, end - at);
        size_t equals = span_find(field, '=', 0);
        size_t start = out->len;
        put_decoded(span_cut(field, 0, equals), out);
        bool same = span_eq_str(span_cut(buf_span(out), start, out->len), name);
        buf_truncate(out, start);
        if (same) {
            put_decoded(span_cut(field, equals + 1, field.len), out);
            return true;
        }
        at = end + 1;
    }
    return false;
}

/* ---- chunks ---- */

/* One byte of a line that may end in CRLF; a CR that no LF follows, and a LF alone, are refused. True: it has ended. */
static enum status line_byte(struct http_chunks *c, uint8_t byte, bool *ret_ended)
{
    bool cr = c->seen_cr;

    *ret_ended = cr && byte == '\n';
    c->seen_cr = byte == '\r';
    if (*ret_ended) {
        c->seen_cr = false;
        return ST_OK;
    }
    if (cr || byte == '\n' || (byte < 0x20 && byte != '\t' && byte != '\r') || ++c->line > CHUNK_LINE_MAX)
        return ST_MALFORMED;
    return ST_OK;
}

/* One more digit, or the end, of a chunk's size. ST_TOO_LARGE: its bytes would find no room, and need not be waited for. */
static enum status size_byte(struct http_chunks *c, uint8_t byte, size_t room)
{
    bool ended = false;
    enum status st = line_byte(c, byte, &ended);
    int digit = hex_digit(byte);

    if (st != ST_OK)
        return st;
    if (ended) {
        c->state = c->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
        st = c->digits > 0 ? ST_OK : ST_MALFORMED;
        c->line = c->digits = 0;
        c->in_extension = c->in_blanks = false;
        return st == ST_OK && c->left > room ? ST_TOO_LARGE : st;
    }
    if (byte == '\r')
        return ST_OK;
    if (!c->in_extension && digit >= 0 && c->digits < CHUNK_DIGITS_MAX) {
        c->left = c->left * 16 + (uint64_t)digit;
        c->digits++;
        return ST_OK;
    }
    if (!c->in_extension && (c->digits == 0 || (byte != ';' && byte != ' ' && byte != '\t')))
        return ST_MALFORMED;
    const bool blank = byte == ' ' || byte == '\t';
    if (c->in_blanks && !blank && byte != ';') /* "5 5": nothing that everybody reads alike */
        return ST_MALFORMED;
    c->in_blanks = blank && (c->in_blanks || !c->in_extension);
    c->in_extension = true; /* ignored, as RFC 9112 7.1.1 wants */
    return ++c->overhead > OVERHEAD_MAX ? ST_MALFORMED : ST_OK;
}

/* Lines of the same shape as in a head (RFC 9112 7.1.2): nothing folded, no white space in front of ':'. */
static enum status trailer_byte(struct http_chunks *c, uint8_t byte)
{
    bool ended = false;
    enum status st = line_byte(c, byte, &ended);

    if (st != ST_OK || ++c->overhead > OVERHEAD_MAX)
        return ST_MALFORMED;
    if (ended) {
        if (c->line == 1) /* its CR alone */
            c->state = CHUNKS_DONE;
        c->line = 0;
        c->in_value = false;
        return ST_OK;
    }
    if (c->in_value)
        return byte == 0x7f ? ST_MALFORMED : ST_OK;
    if (byte == '\r')
        return c->line == 1 ? ST_OK : ST_MALFORMED;
    c->in_value = byte == ':' && c->line > 1;
    return c->in_value || http_token_byte(byte) ? ST_OK : ST_MALFORMED;
}

static enum status end_byte(struct http_chunks *c, uint8_t byte)
{
    if (byte != (c->seen_cr ? '\n' : '\r'))
        return ST_MALFORMED;
    if (c->seen_cr)
        c->state = CHUNK_SIZE;
    c->seen_cr = !c->seen_cr;
    return ST_OK;
}

static enum status take_data(struct http_chunks *c, struct span *in, struct buf *body)
{
    size_t some = in->len < c->left ? in->len : (size_t)c->left;

    put_bytes(body, span_cut(*in, 0, some));
    *in = span_cut(*in, some, in->len);
    c->left -= some;
    if (c->left == 0)
        c->state = CHUNK_END;
    return buf_status(body);
}

enum status http_chunks_read(struct http_chunks *c, struct span *in, struct buf *body)
{
    enum status st = ST_OK;

    while (st == ST_OK && in->len > 0 && c->state != CHUNKS_DONE) {
        if (c->state == CHUNK_DATA) {
            st = take_data(c, in, body);
            continue;
        }
        uint8_t byte = in->p[0];
        *in = span_cut(*in, 1, in->len);
        st = c->state == CHUNK_SIZE  ? size_byte(c, byte, body->max - body->len)
             : c->state == CHUNK_END ? end_byte(c, byte)
                                     : trailer_byte(c, byte);
    }
    return st;
}

/* ---- an answer ---- */

static const char *reason(int code)
{
    /* clang-format off */
    switch (code) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default:  return ""; /* RFC 9112 4: it may be empty */
    }
    /* clang-format on */
}

void http_put_status_line(struct buf *out, int code)
{
    put_fmt(out, "HTTP/1.1 %03d %s\r\n", code, reason(code));
}

void http_date(int64_t unix_s, char out[HTTP_DATE_BYTES])
{
    static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t seconds = (time_t)unix_s;
    struct tm t = { 0 };

    gmtime_r(&seconds, &t);
    (void)snprintf(out, HTTP_DATE_BYTES, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[t.tm_wday % 7],
                   t.tm_mday % 32, months[t.tm_mon % 12], (t.tm_year + 1900) % 10000, t.tm_hour % 24,
                   t.tm_min % 60, t.tm_sec % 61);
}
