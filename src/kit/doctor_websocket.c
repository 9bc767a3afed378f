/* Is the web spoken? MQTT over WebSocket (RFC 6455) on the port itself, or on one of those that brokers usually use for
 * it; HTTP where MQTT was expected. */
#include "kit/doctor_priv.h"

#include <stdio.h>

#define WAIT_MS 1500

static const struct {
    uint16_t port; /* 0: the broker's */
    bool tls;
} places[] = { { 0, false },    { 0, true },    { 8080, false }, { 8083, false },
               { 9001, false }, { 8084, true }, { 443, true } };

static const char *const paths[] = { "/mqtt", "/" };

/* True if the answer is 101 with the subprotocol mqtt; *ret_http: it was HTTP at all. */
static bool upgrades(struct doctor *d, uint16_t port, bool tls, const char *path, bool *ret_http)
{
    static const char head[] = "HTTP/1.1 101";
    struct why why;
    struct peer_how how = { .port = port, .plain = !tls, .any_peer = true, .no_alpn = true };
    struct peer *p = peer_try(&d->k, &how, &why);

    *ret_http = false;
    if (p == NULL)
        return false;
    peer_send(p, span_of_str(text(&d->k,
                                  "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Sec-WebSocket-Key: c3ltYm9sb24gZG9jdG9yLg==\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Protocol: mqtt\r\n\r\n",
                                  path, d->s->host)));
    struct span answer = peer_bytes(p, WAIT_MS);
    const char *copy = text(&d->k, "%.*s", SPAN_FMT(span_cut(answer, 0, 4096)));
    *ret_http = strncmp(copy, "HTTP/", 5) == 0;
    bool yes =
        strncmp(copy, head, sizeof head - 1) == 0 && strcasestr(copy, "sec-websocket-protocol: mqtt") != NULL;
    peer_close(p);
    return yes;
}

static bool printable_line(struct span s, char *out, size_t cap)
{
    size_t n = 0;

    for (; n < s.len && n + 1 < cap && s.p[n] >= ' ' && s.p[n] < 0x7f; n++)
        out[n] = (char)s.p[n];
    out[n] = '\0';
    return n >= 4;
}

bool doctor_speaks_http(struct doctor *d, bool plain, char *line, size_t cap)
{
    struct why why;
    struct peer_how how = { .plain = plain, .any_peer = true, .no_alpn = true };
    struct peer *p = peer_try(&d->k, &how, &why);

    if (p == NULL)
        return false;
    peer_send(p,
              span_of_str(text(&d->k, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", d->s->host)));
    bool yes = printable_line(peer_bytes(p, 0), line, cap);
    peer_close(p);
    return yes;
}

void doctor_websocket(struct doctor *d)
{
    int64_t wait_ms = d->k.wait_ms;
    unsigned count = 0;

    d->k.wait_ms = WAIT_MS;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        uint16_t port = places[i].port == 0 ? d->s->port : places[i].port;
        if (places[i].port == 0 ? places[i].tls == d->s->plain : port == d->s->port)
            continue; /* the port itself is looked at once, as it is */
        for (size_t k = 0; k < COUNT_OF(paths); k++) {
            bool http = false;
            if (upgrades(d, port, places[i].tls, paths[k], &http)) {
                found(d, DOCTOR_NOTE, "websocket", NULL, "MQTT over WebSocket: %s://%s:%u%s.",
                      places[i].tls ? "wss" : "ws", d->s->host, port, paths[k]);
                count++;
                break;
            }
            if (!http)
                break; /* another path would not help */
        }
    }
    if (count == 0)
        found(
            d, DOCTOR_NOTE, "websocket", NULL,
            "No MQTT over WebSocket was found on port %u, 443, 8080, 8083, 8084 and 9001 (paths /mqtt and /).",
            d->s->port);
    d->k.wait_ms = wait_ms;
}
