/* net/http_client.h - HTTP requests on our loop (libcurl multi); a synchronous form for command lines.
 * TLS 1.2 and 1.3 only, certificates always verified, no redirects, no proxies from the environment, answers
 * bounded in time and size. https only unless the call says allow_http. */
#ifndef SYMBOLON_NET_HTTP_CLIENT_H
#define SYMBOLON_NET_HTTP_CLIENT_H

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"
#include "net/loop.h"

/* One request. Everything is copied by http_start(); unused members stay zero. */
struct http_call {
    const char *method; /* NULL: GET, or POST when there is a body */
    const char *url;
    struct span body;
    const char *content_type;
    const char *accept;
    const char *authorization;   /* whole value, such as "Bearer …" */
    const char *user, *password; /* HTTP Basic when user is set */
    const char *if_none_match;   /* an ETag of an earlier answer, as it was given: 304 if nothing changed */
    const char *prefer;          /* RFC 7240: "wait=30" */
    const char *ca_file;         /* whom to trust; NULL: the system's */
    const char *cert_file, *key_file; /* client certificate */
    const char *pinned_pubkey;        /* "sha256//…" of the server's public key, besides the verification */
    int64_t timeout_ms;               /* the whole call; 0: 10 s */
    size_t max_response;              /* bytes of body; 0: 256 KiB; more is ST_TOO_LARGE */
    bool allow_http;                  /* plain http:// too; for loopback and tests */
};

/* st is ST_OK whenever an HTTP answer came, whatever its code; else ST_UNREACHABLE, ST_TIMEOUT, ST_TOO_LARGE,
 * ST_DENIED (TLS refused). Spans are valid during the callback only. */
struct http_result {
    enum status st;
    struct why why;
    int code;
    struct span content_type;
    struct span body;
    struct span etag;  /* .p NULL: none, or longer than HTTP_ETAG_MAX */
    int64_t max_age_s; /* Cache-Control of the answer: 0 for no-store and no-cache; -1: it does not say */
};

#define HTTP_ETAG_MAX 256

struct http_client;
struct http_pending; /* one running call; gone once its callback was called */
typedef void http_done_fn(void *ctx, const struct http_result *result);

enum status http_client_new(struct loop *loop, struct http_client **ret_client, struct why *why) MUST_CHECK;
/* Running calls are dropped without a callback. NULL is fine. */
void http_client_free(struct http_client *client);

/* The callback never runs inside this call. *ret_pending may be NULL if nobody will cancel. */
enum status http_start(struct http_client *client, const struct http_call *call, http_done_fn *done, void *ctx,
                       struct http_pending **ret_pending, struct why *why) MUST_CHECK;
void http_cancel(struct http_pending *pending); /* no callback any more */

/* Blocks. The body goes to `body`, the code to *ret_code; content_type may be NULL. */
enum status http_call_sync(const struct http_call *call, int *ret_code, struct buf *body,
                           struct buf *content_type, struct why *why) MUST_CHECK;

#endif
