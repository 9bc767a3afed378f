#include "net/source.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define IPV4_ABOVE (UINT64_C(1) << 32)
#define ZEROES     1 /* stands for ::/64, so that 0 is nobody */

static struct net_source of_v4(const uint8_t p[4])
{
    return (struct net_source){ IPV4_ABOVE | (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 |
                                p[3] };
}

static struct net_source of_v6(const struct in6_addr *a)
{
    uint64_t bits = 0;

    if (IN6_IS_ADDR_V4MAPPED(a))
        return of_v4(a->s6_addr + 12);
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | a->s6_addr[i];
    return (struct net_source){ bits == 0 ? ZEROES : bits };
}

struct net_source net_source_of(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return of_v4((const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr);
    if (address->sa_family == AF_INET6)
        return of_v6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    return (struct net_source){ 0 };
}

bool net_source_parse(const char *text, struct net_source *out)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (inet_pton(AF_INET, text, &v4) == 1)
        *out = of_v4((const uint8_t *)&v4);
    else if (inet_pton(AF_INET6, text, &v6) == 1)
        *out = of_v6(&v6);
    else
        return false;
    return true;
}

static bool is_v4(struct net_source source)
{
    return source.bits >> 32 == 1;
}

void net_source_format(struct net_source source, char out[NET_SOURCE_TEXT])
{
    uint64_t bits = source.bits == ZEROES ? 0 : source.bits;
    struct in6_addr v6 = { 0 };
    char text[INET6_ADDRSTRLEN] = "?";

    if (source.bits == 0) {
        snprintf(out, NET_SOURCE_TEXT, "-");
        return;
    }
    if (is_v4(source)) {
        struct in_addr v4 = { htonl((uint32_t)source.bits) };
        (void)inet_ntop(AF_INET, &v4, out, NET_SOURCE_TEXT);
        return;
    }
    for (int i = 0; i < 8; i++)
        v6.s6_addr[i] = (uint8_t)(bits >> (56 - 8 * i));
    (void)inet_ntop(AF_INET6, &v6, text, sizeof text);
    snprintf(out, NET_SOURCE_TEXT, "%.40s/64", text);
}

bool net_prefix_parse(const char *text, struct net_prefix *out)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    struct net_source source;

    if (len >= sizeof address)
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    if (!net_source_parse(address, &source))
        return false;
    long most = is_v4(source) ? 32 : 64, bits = most;
    if (slash != NULL) {
        char *end = NULL;
        if (slash[1] < '0' || slash[1] > '9')
            return false;
        bits = strtol(slash + 1, &end, 10);
        if (*end != '\0' || bits > most)
            return false;
    }
    bits += 64 - most; /* of the word: what is above an IPv4 address counts, too */
    out->mask = bits == 0 ? 0 : UINT64_MAX << (64 - bits);
    out->bits = source.bits & out->mask;
    return true;
}
