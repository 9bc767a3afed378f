/* net/source.h - whom an address counts as, where things are counted per address: one IPv4 address, or the /64 of an IPv6
 * address, which is one party's to number. IPv4 inside IPv6 (::ffff:a.b.c.d) is IPv4. Pure. */
#ifndef SYMBOLON_NET_SOURCE_H
#define SYMBOLON_NET_SOURCE_H

#include "base/span.h"

#include <sys/socket.h>

/* 0: nobody (a unix socket). IPv4: 0x00000001aabbccdd. IPv6: the first 64 bits; ::/64 is 1. No network has 0:1::/32, nor
 * 0:0:0:1::/64. */
struct net_source {
    uint64_t bits;
};

/* Sources that begin the same. */
struct net_prefix {
    uint64_t bits, mask;
};

#define NET_SOURCE_TEXT 48

struct net_source net_source_of(const struct sockaddr *address);
/* An address in digits. False: it is none. */
bool net_source_parse(const char *text, struct net_source *out) MUST_CHECK;
/* "192.0.2.1", "2001:db8:1:2::/64", "-" for nobody. */
void net_source_format(struct net_source source, char out[NET_SOURCE_TEXT]);

/* "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "2001:db8::7" (its /64). False: none of these, or longer than /64. */
bool net_prefix_parse(const char *text, struct net_prefix *out) MUST_CHECK;

static inline bool net_prefix_holds(struct net_prefix prefix, struct net_source source)
{
    return source.bits != 0 && (source.bits & prefix.mask) == prefix.bits;
}

#endif
