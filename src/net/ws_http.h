/* net/ws_http.h - the head of an HTTP/1.1 message, as much of RFC 9112 as an upgrade needs, and strictly: lines end in
 * CRLF, names are tokens, nothing is folded, no byte is a control. Spans point into the input. Pure. */
#ifndef SYMBOLON_NET_WS_HTTP_H
#define SYMBOLON_NET_WS_HTTP_H

#include "base/span.h"
#include "base/status.h"

#define HTTP_FIELDS_MAX 64

struct http_field {
    struct span name, value; /* value without the white space around it */
};

struct http_head {
    struct span start[3]; /* method, target, version; or version, status code, reason phrase */
    size_t count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

/* Where the head ends, just behind the empty line, or 0 if that is still to come. `seen` bytes were looked at before. */
size_t http_head_end(struct span text, size_t seen);
/* ST_TOO_LARGE: too many fields; ST_MALFORMED with the place. */
enum status http_request_parse(struct span text, struct http_head *out, struct why *why) MUST_CHECK;
enum status http_response_parse(struct span text, struct http_head *out, struct why *why) MUST_CHECK;

bool http_token_byte(uint8_t c);              /* of a name (RFC 9110 5.6.2) */
bool http_same(struct span a, const char *b); /* in any case */
/* How many fields have that name; *ret_value (may be NULL) is the first one's value. */
size_t http_field(const struct http_head *head, const char *name, struct span *ret_value);
/* True if the comma-separated list that the fields of that name make holds `item`. */
bool http_lists(const struct http_head *head, const char *name, const char *item, bool any_case);

#endif
