/* net/http_authority.h - whose a request is: what a Host field and the target in absolute form name. RFC 9112 3.2 demands 400 for a
 * Host that is not uri-host [ ":" port ] (RFC 3986 3.2.2, 3.2.3), since whoever is in front may take another one out of it.
 * Pure but for the system's own parser of addresses. */
#ifndef SYMBOLON_NET_HTTP_AUTHORITY_H
#define SYMBOLON_NET_HTTP_AUTHORITY_H

#include "base/span.h"

/* uri-host [ ":" port ]: a name, perhaps empty, an IPv4 address, or an IPv6 address or one of a later version in brackets;
 * no user in front. */
bool http_authority_valid(struct span authority);
/* The same with a host that is not empty, as http and https URIs must have it (RFC 9110 4.2.1). */
bool http_authority_named(struct span authority);

#endif
