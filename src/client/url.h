/* client/url.h - as much of RFC 3986 as the address of an authorization server needs: http(s), host, port, path.
 * No user information (it would only serve to deceive), no fragment. Spans point into the input. Pure. */
#ifndef SYMBOLON_CLIENT_URL_H
#define SYMBOLON_CLIENT_URL_H

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

#define URL_MAX 2048

struct url {
    struct span whole;
    bool https;
    struct span host; /* as written; an IPv6 address without its brackets */
    uint16_t port;    /* 443 or 80 if not written */
    struct span path; /* from the first '/' on, query included; may be empty */
};

enum status url_parse(struct span text, struct url *out, struct why *why) MUST_CHECK;
bool url_same_origin(const struct url *a, const struct url *b); /* scheme, host in any case, port */

/* Appends the address of an endpoint ("token", "enroll") of an authorization server. A URL without a path names the
 * server: /<endpoint> is added. One with a path is taken for its token endpoint, as hints give it (RFC 9200 5.3); its
 * last segment is replaced for other endpoints. */
void url_endpoint(const struct url *as, const char *endpoint, struct buf *out);

#endif
