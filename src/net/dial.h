/* net/dial.h - connects to a server and gives a stream: DNS, the addresses in turn, TLS.
 * Result: on_ready() of the events when the stream may be used; on_closed() alone when it failed
 * (ST_UNREACHABLE, ST_TIMEOUT, or the TLS refusal). The stream exists from the start, so that stream_abort()
 * cancels. */
#ifndef SYMBOLON_NET_DIAL_H
#define SYMBOLON_NET_DIAL_H

#include "net/stream.h"

struct dial_settings {
    const char *host; /* name or address */
    uint16_t port;
    struct tls_config *tls;        /* a client configuration (a reference is taken), or NULL for plain TCP */
    struct tls_expect expect;      /* .host NULL: the host above */
    const char *ws_path;           /* upgrade to WebSocket at this path; NULL: do not */
    const char *bind_address;      /* of our end, in digits; NULL: any */
    int64_t connect_ms;            /* for DNS and TCP, each address getting a fair part; 0: 10 s */
    struct stream_settings stream; /* .tls and .ws are ignored */
};

enum status dial(struct loop *loop, const struct dial_settings *settings, const struct stream_events *events,
                 void *ctx, struct stream **ret_stream, struct why *why) MUST_CHECK;

#endif
