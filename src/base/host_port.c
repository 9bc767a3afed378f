#include "base/host_port.h"

#define PORT_DIGITS 5

static bool parse_port(struct span digits, uint16_t *ret_port)
{
    uint32_t port = 0;

    if (digits.len > PORT_DIGITS)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(digits.p[i] - '0');
    }
    *ret_port = (uint16_t)port;
    return port >= 1 && port <= UINT16_MAX;
}

bool host_port_parse(struct span text, struct span *ret_host, uint16_t *ret_port)
{
    bool v6 = text.len > 0 && text.p[0] == '[';
    size_t end = span_find(text, v6 ? ']' : ':', 0);
    struct span host = span_cut(text, v6 ? 1 : 0, v6 ? end - 1 : end);
    struct span after = span_cut(text, v6 ? end + 1 : end, text.len);

    if (host.len == 0 || (v6 && end == text.len))
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (host.p[i] <= 0x20 || host.p[i] >= 0x7f || host.p[i] == '/')
            return false;
    *ret_host = host;
    *ret_port = 0;
    return after.len == 0 || (after.p[0] == ':' && parse_port(span_cut(after, 1, after.len), ret_port));
}
