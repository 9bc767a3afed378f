/* net/http_message.h - what is around a request and its answer in HTTP/1.1: how the body is framed, whether the connection
 * goes on, chunked bodies, the head of an answer. The lines themselves are ws_http.h's. Pure: bytes in, bytes out.
 * Strict where two readings are possible, since a proxy in front may have taken the other one. */
#ifndef SYMBOLON_NET_HTTP_MESSAGE_H
#define SYMBOLON_NET_HTTP_MESSAGE_H

#include "base/buf.h"
#include "net/ws_http.h"

#define HTTP_HEAD_MAX   (16u * 1024)
#define HTTP_DATE_BYTES 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */

struct http_framing {
    struct span path, query; /* as sent; the query without '?', `.p` NULL: none */
    uint64_t length;         /* of the body, unless chunked */
    bool chunked;
    bool is_head;         /* method HEAD: the answer has no body */
    bool keep_alive;      /* more requests may follow */
    bool old;             /* HTTP/1.0 */
    bool expect_continue; /* the client waits for leave to send the body */
};

/* What a request head says of it. On failure *ret_code is what to answer before closing: 400, 417, 501, 505. */
enum status http_framing_of(const struct http_head *head, struct http_framing *out, int *ret_code,
                            struct why *why) MUST_CHECK;

/* The value of a field in a query string, decoded into `out`; false: there is none of that name. */
bool http_query_value(struct span query, const char *name, struct buf *out);

/* A chunked body (RFC 9112 7.1), a piece at a time; zeroed at the beginning. */
struct http_chunks {
    enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER, CHUNKS_DONE } state;
    uint64_t left;   /* of this chunk */
    unsigned digits; /* of its size; then in_extension */
    size_t line;     /* bytes of the line so far */
    size_t overhead; /* bytes of extensions and trailers altogether */
    bool in_extension, in_blanks, in_value, seen_cr;
};
/* Takes bytes from the front of `in` until they end or the body does; its bytes are appended to `body`. ST_MALFORMED;
 * ST_TOO_LARGE: more than `body` may hold, as soon as a chunk says so. */
enum status http_chunks_read(struct http_chunks *chunks, struct span *in, struct buf *body) MUST_CHECK;

/* "HTTP/1.1 200 OK" and its line end. */
void http_put_status_line(struct buf *out, int code);
void http_date(int64_t unix_s, char out[HTTP_DATE_BYTES]); /* RFC 9110 5.6.7 */

#endif
