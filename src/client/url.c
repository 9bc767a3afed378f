#include "client/url.h"

#include "base/host_port.h"

#include <strings.h>

#define CLAUSE "RFC 3986 3"

static bool span_eq_case(struct span a, struct span b)
{
    return a.len == b.len && strncasecmp((const char *)a.p, (const char *)b.p, a.len) == 0;
}

static bool take_scheme(struct span *rest, struct span scheme)
{
    if (!span_eq_case(span_cut(*rest, 0, scheme.len), scheme))
        return false;
    *rest = span_cut(*rest, scheme.len, rest->len);
    return true;
}

static bool host_byte(uint8_t c, bool ipv6)
{
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

    return alnum || c == '.' || (ipv6 ? c == ':' : c == '-' || c == '_');
}

static enum status parse_authority(struct span authority, struct url *out, struct why *why)
{
    uint16_t port;

    if (!host_port_parse(authority, &out->host, &port))
        return reject(why, ST_MALFORMED, CLAUSE, "no host, or host and port, stands in the URL", 0);
    for (size_t i = 0; i < out->host.len; i++)
        if (!host_byte(out->host.p[i], authority.p[0] == '['))
            return reject(why, ST_MALFORMED, CLAUSE, "the URL's host holds something no host name does", 0);
    if (port != 0)
        out->port = port;
    return ST_OK;
}

enum status url_parse(struct span text, struct url *out, struct why *why)
{
    struct span rest = text;

    *out = (struct url){ .whole = text };
    if (text.len > URL_MAX)
        return reject(why, ST_TOO_LARGE, CLAUSE, "the URL is too long", 0);
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] <= 0x20 || text.p[i] >= 0x7f || text.p[i] == '#' || text.p[i] == '\\')
            return reject(why, ST_MALFORMED, CLAUSE, "a character that no URL of a server holds", i);
    if (take_scheme(&rest, SPAN("https://")))
        out->https = true;
    else if (!take_scheme(&rest, SPAN("http://")))
        return reject(why, ST_MALFORMED, CLAUSE, "not an http or https URL", 0);
    out->port = out->https ? 443 : 80;

    size_t end = 0;
    while (end < rest.len && rest.p[end] != '/' && rest.p[end] != '?')
        end++;
    out->path = span_cut(rest, end, rest.len);
    if (out->path.len > 0 && out->path.p[0] == '?')
        return reject(why, ST_MALFORMED, CLAUSE, "a query without a path", 0);
    return parse_authority(span_cut(rest, 0, end), out, why);
}

bool url_same_origin(const struct url *a, const struct url *b)
{
    return a->https == b->https && a->port == b->port && span_eq_case(a->host, b->host);
}

void url_endpoint(const struct url *as, const char *endpoint, struct buf *out)
{
    bool names_server = as->path.len == 0 || span_eq(as->path, SPAN("/"));
    size_t keep = as->whole.len;

    if (names_server) {
        keep -= as->path.len;
    } else if (strcmp(endpoint, "token") == 0) {
        put_bytes(out, as->whole);
        return;
    } else {
        size_t query = span_find(as->whole, '?', 0);
        keep = query;
        while (keep > 0 && as->whole.p[keep - 1] != '/')
            keep--;
        keep -= keep > 0 ? 1 : 0;
    }
    put_bytes(out, span_cut(as->whole, 0, keep));
    put_str(out, "/");
    put_str(out, endpoint);
}
