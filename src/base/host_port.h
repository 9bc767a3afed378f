/* base/host_port.h - where a server is, as people and URLs write it (RFC 3986 3.2.2, 3.2.3): "host", "host:port",
 * "[v6]", "[v6]:port". Pure. */
#ifndef SYMBOLON_BASE_HOST_PORT_H
#define SYMBOLON_BASE_HOST_PORT_H

#include "base/span.h"

/* False if it is none of these, or the port is not 1 to 65535. The host points into `text` and is a name or an address
 * without its brackets, of visible ASCII but '/'; *ret_port is 0 if there is no port. */
bool host_port_parse(struct span text, struct span *ret_host, uint16_t *ret_port) MUST_CHECK;

#endif
