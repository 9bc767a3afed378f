#include "net/http_authority.h"

#include <arpa/inet.h>

#define V6_TEXT_MAX 45 /* "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255" */

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* unreserved / sub-delims: RFC 3986 2.2, 2.3. */
static bool is_plain(uint8_t c)
{
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

    return alnum || (c != 0 && strchr("-._~!$&'()*+,;=", c) != NULL);
}

/* An IPv4 address is one, too. */
static bool is_reg_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '%' && i + 2 < s.len && is_hex(s.p[i + 1]) && is_hex(s.p[i + 2]))
            i += 2;
        else if (!is_plain(s.p[i]))
            return false;
    }
    return true;
}

/* "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ) */
static bool is_future(struct span s)
{
    size_t dot = span_find(s, '.', 0);

    if (s.len == 0 || (s.p[0] != 'v' && s.p[0] != 'V') || dot < 2 || dot + 1 >= s.len)
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (i < dot ? !is_hex(s.p[i]) : i > dot && !is_plain(s.p[i]) && s.p[i] != ':')
            return false;
    return true;
}

static bool is_v6(struct span s)
{
    char text[V6_TEXT_MAX + 1];
    struct in6_addr address;

    if (s.len > V6_TEXT_MAX || span_find(s, 0, 0) < s.len)
        return false;
    (void)memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_port(struct span after)
{
    for (size_t i = 0; i < after.len; i++)
        if (i == 0 ? after.p[i] != ':' : after.p[i] < '0' || after.p[i] > '9')
            return false;
    return true;
}

bool http_authority_valid(struct span authority)
{
    if (authority.len > 0 && authority.p[0] == '[') {
        size_t end = span_find(authority, ']', 0);
        struct span literal = span_cut(authority, 1, end - 1);

        return end < authority.len && (is_v6(literal) || is_future(literal)) &&
               is_port(span_cut(authority, end + 1, authority.len));
    }
    size_t colon = span_find(authority, ':', 0);

    return is_reg_name(span_cut(authority, 0, colon)) && is_port(span_cut(authority, colon, authority.len));
}

bool http_authority_named(struct span authority)
{
    return authority.len > 0 && authority.p[0] != ':' && http_authority_valid(authority);
}
