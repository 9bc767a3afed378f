/* net/http_server.h - HTTPS/1.1 (RFC 9112) on our loop and streams: whole requests in, whole replies out, each of them
 * one record and one write where it fits.
 * The handler runs on the loop's thread when the body is complete, and fills the reply before it returns, or takes a
 * handle and answers later. Requests that a client sends without waiting for answers are answered in their order.
 * A request that is not over after twice `timeout_s`, however busily its bytes trickle, is cut off.
 * A body longer than max_body is answered 413, a head longer than 16 KiB 431; then the connection is closed. */
#ifndef SYMBOLON_NET_HTTP_SERVER_H
#define SYMBOLON_NET_HTTP_SERVER_H

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"
#include "net/listener.h"

struct http_server_settings {
    const char *address;
    uint16_t port;                        /* 0: any free one */
    const char *cert_file, *key_file;     /* PEM; both NULL: plain HTTP (tests, loopback metrics) */
    const char *client_ca_file;           /* given: a client certificate is asked for, not required */
    size_t max_body;                      /* 0: 64 KiB */
    unsigned timeout_s;                   /* idle connections; 0: 30 s */
    unsigned max_connections;             /* 0: 1000 */
    unsigned max_connections_per_address; /* 0: no limit */
    unsigned max_waiting;                 /* requests to be answered later; 0: half of the connections */
    unsigned max_waiting_per_address;     /* 0: no limit */
};

struct http_request {
    struct span method; /* "POST" */
    struct span path;   /* "/token", as sent, without the query */
    struct span body;
    struct net_peer peer;
    struct span cert_der; /* client's leaf certificate, or none */
    bool cert_verified;   /* it chains to client_ca_file */
    void *priv;
};

/* Case-insensitive; empty span when absent. Valid during the handler. */
struct span http_request_header(const struct http_request *request, const char *name);
/* From the query string, decoded. */
struct span http_request_query(const struct http_request *request, const char *name);

#define HTTP_REPLY_HEADERS 8
struct http_reply {
    int code;        /* 200 unless set */
    struct buf body; /* set up by the caller of the handler, at most 16 MiB */
    size_t header_count;
    struct {
        const char *name; /* static */
        char *value;      /* freed by the server; use http_reply_header() */
    } headers[HTTP_REPLY_HEADERS];
};
void http_reply_header(struct http_reply *reply, const char *static_name, const char *value);

typedef void http_handler_fn(void *ctx, const struct http_request *request, struct http_reply *reply);

/* A request that is answered later. Taken inside the handler, whose reply is then not sent. NULL: as many as may are
 * waiting; the handler answers now. The handle ends with http_later_send(), or with gone(), called when the peer hangs up
 * or the server is freed; not for both. The time limits of requests do not run meanwhile. */
struct http_later;
typedef void http_gone_fn(void *ctx);
struct http_later *http_later_new(const struct http_request *request, http_gone_fn *gone, void *ctx);
/* The same for an answer that comes at the end of this turn or the next: no limit counts it. */
struct http_later *http_soon_new(const struct http_request *request, http_gone_fn *gone, void *ctx);
struct http_reply *http_later_reply(struct http_later *later); /* to be filled in as in a handler */
void http_later_send(struct http_later *later_take);

struct http_server;
enum status http_server_new(struct loop *loop, const struct http_server_settings *settings,
                            http_handler_fn *handler, void *ctx, struct http_server **ret_server,
                            struct why *why) MUST_CHECK;
/* Stops at once; connections are closed, after a try to write what was sent with http_later_send(). The handler is not
 * called any more. NULL is fine. */
void http_server_free(struct http_server *server);
/* Another certificate and key, and whom to trust, for connections from now on; on failure it goes on with the old ones. */
enum status http_server_set_tls(struct http_server *server, const char *cert_file, const char *key_file,
                                const char *client_ca_file, struct why *why) MUST_CHECK;
size_t http_server_waiting(const struct http_server *server);
uint16_t http_server_port(const struct http_server *server);

#endif
