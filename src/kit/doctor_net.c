/* How the broker is reached, and whether it minds those who come and say nothing. */
#include "kit/doctor_priv.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES_MAX 6
#define SLOW_MS       200

static int64_t left_until(int64_t deadline)
{
    int64_t left = deadline - mono_ms();
    return left < 0 ? 0 : left;
}

/* 0 or what connect() says; the time it took in *ret_ms. */
static int try_address(const struct addrinfo *a, int64_t wait_ms, int64_t *ret_ms)
{
    int64_t start = mono_ms();
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
    socklen_t len = sizeof error;

    if (fd < 0)
        return errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        error = errno;
        if (error == EINPROGRESS && poll(&p, 1, (int)left_until(start + wait_ms)) <= 0)
            error = ETIMEDOUT;
        else if (error == EINPROGRESS && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            error = errno;
    }
    (void)close(fd);
    *ret_ms = mono_ms() - start;
    return error;
}

struct reach {
    unsigned v4, v6, open4, open6;
    int last_error;
};

static void try_all(struct doctor *d, const struct addrinfo *list, struct reach *reach)
{
    unsigned count = 0;

    for (const struct addrinfo *a = list; a != NULL && count < ADDRESSES_MAX; a = a->ai_next, count++) {
        char address[64] = "?";
        int64_t ms = 0;
        bool six = a->ai_family == AF_INET6;
        int error = try_address(a, d->k.wait_ms, &ms);

        (void)getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST);
        reach->v4 += !six;
        reach->v6 += six;
        if (error == 0) {
            reach->open4 += !six;
            reach->open6 += six;
            found(d, ms > SLOW_MS ? DOCTOR_NOTE : DOCTOR_OK, "tcp", NULL, "TCP to %s port %u opens in %s.",
                  address, d->s->port, took(d, ms));
            continue;
        }
        reach->last_error = error;
        found(d, DOCTOR_WARNING, "tcp",
              "Clients that try this address first lose time, or stay away: let the broker listen there, or "
              "take the address out of the DNS.",
              "TCP to %s port %u fails: %s.", address, d->s->port, strerror(error));
    }
}

static bool is_address(const char *host)
{
    struct addrinfo wanted = { .ai_flags = AI_NUMERICHOST }, *list = NULL;
    bool yes = getaddrinfo(host, NULL, &wanted, &list) == 0;

    if (yes)
        freeaddrinfo(list);
    return yes;
}

void doctor_network(struct doctor *d)
{
    struct addrinfo wanted = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list = NULL;
    struct reach reach = { 0 };
    char number[8];
    int64_t start = mono_ms();

    (void)snprintf(number, sizeof number, "%u", d->s->port);
    int rc = getaddrinfo(d->s->host, number, &wanted, &list);
    int64_t ms = mono_ms() - start;
    if (rc != 0) {
        found(d, DOCTOR_PROBLEM, "dns", "Check the name, and the resolver of this machine.",
              "The name %s has no address: %s.", d->s->host, gai_strerror(rc));
        d->over = true;
        return;
    }
    bool address = is_address(d->s->host);
    if (!address)
        found(d, ms > SLOW_MS ? DOCTOR_NOTE : DOCTOR_OK, "dns", NULL, "The name %s was resolved in %s.",
              d->s->host, took(d, ms));
    try_all(d, list, &reach);
    freeaddrinfo(list);
    if (reach.open4 + reach.open6 == 0) {
        found(d, DOCTOR_PROBLEM, "reach",
              reach.last_error == ECONNREFUSED
                  ? "Is the broker running, and is this its port? 8883 is the usual one with TLS, 1883 without."
                  : "Is there a firewall between, or the wrong address in the DNS?",
              "Nobody accepts connections at %s port %u.", d->s->host, d->s->port);
        if (d->s->plain_port != 0 && doctor_speaks_plain_mqtt(d, d->s->plain_port))
            found(d, DOCTOR_NOTE, "plain-too", "To look at that: mqtt://HOST.",
                  "Port %u speaks MQTT, without TLS.", d->s->plain_port);
        d->over = true;
        return;
    }
    if (reach.v6 == 0 && !address)
        found(d, DOCTOR_NOTE, "ipv6", NULL, "There is no IPv6 address.");
    struct why why;
    d->silent = doctor_peer(d, &why); /* it goes on being silent while the others talk */
    d->silent_since = mono_ms();
    if (d->silent != NULL)
        peer_keep(d->silent);
}

/* ---- patience ---- */

#define SILENCE_MS   20000 /* after which nobody need wait longer for a CONNECT */
#define KEEP_ALIVE_S 1

static void silent_connection(struct doctor *d)
{
    if (d->silent == NULL)
        return;
    /* It has been waiting all the time; a little longer, if the rest was quick. */
    int64_t left = left_until(d->silent_since + d->k.wait_ms);
    const struct received *r = peer_receive(d->silent, left > 0 ? left : 1);
    int64_t waited = mono_ms() - d->silent_since;
    if (r->got == GOT_NOTHING)
        found(d, waited >= SILENCE_MS ? DOCTOR_WARNING : DOCTOR_NOTE, "silent",
              "If it never does, connections that say nothing use up its descriptors: look for a limit in its "
              "settings.",
              "A connection that never says CONNECT was still open after %lld s.", (long long)(waited / 1000));
    else
        found(d, DOCTOR_OK, "silent", NULL, "A connection that never says CONNECT is closed (within %lld s).",
              (long long)((waited + 999) / 1000));
}

/* [MQTT-3.1.2-22]: one and a half times the keep alive. */
static void keep_alive(struct doctor *d)
{
    struct mqtt_connect c = doctor_connect(d);
    const struct received *r;

    if (!d->logged_in)
        return;
    c.keep_alive_s = KEEP_ALIVE_S;
    struct peer *p = doctor_login(d, c, &r);
    if (p == NULL)
        return;
    if (mqtt_has(&r->connack.properties, PROP_SERVER_KEEP_ALIVE) &&
        r->connack.properties.server_keep_alive_s != KEEP_ALIVE_S)
        return; /* it goes by a time of its own, which was said already */
    int64_t start = mono_ms(), limit = KEEP_ALIVE_S * 1500;
    r = peer_receive(p, limit + 3000);
    bool told = is_packet(r, MQTT_DISCONNECT) && r->reason == MQTT_KEEP_ALIVE_TIMEOUT;
    int64_t ms = mono_ms() - start;
    if (r->got == GOT_NOTHING)
        found(d, DOCTOR_WARNING, "keep-alive",
              "Clients that vanish stay connected and their Will is not published: report it to the broker's "
              "makers.",
              "A client silent for more than 1.5 times its keep alive is not cut (MQTT5 [MQTT-3.1.2-22]).");
    else
        found(d, ms < KEEP_ALIVE_S * 1000 ? DOCTOR_WARNING : DOCTOR_OK, "keep-alive", NULL,
              "A client silent beyond its keep alive of %d s is cut after %.1f s%s.", KEEP_ALIVE_S,
              (double)ms / 1e3, told ? ", and told why (0x8D)" : "");
}

void doctor_silence(struct doctor *d)
{
    keep_alive(d);
    silent_connection(d);
}
