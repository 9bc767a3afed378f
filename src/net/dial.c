#include "net/dial.h"
#include "net/stream_priv.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_MS 10000

/* DNS -> address 1 -> address 2 -> … -> stream_connected(). Given up when the stream dies or time is over.
 * `lookup` outlives a cancelled dialing until libuv hands it back. */
struct dialing {
    struct stream *stream;
    struct loop *loop;
    struct lookup *lookup;
    struct addrinfo *addresses; /* of the lookup's answer, freed at the end */
    struct addrinfo *next;
    unsigned left; /* addresses not tried yet */
    struct sockaddr_storage local;
    socklen_t local_len; /* 0: any address of ours will do */
    uv_poll_t *poll;
    int fd;
    struct timer timer;
    struct mono_time deadline;
};

struct lookup {
    uv_getaddrinfo_t req;
    struct dialing *dialing; /* NULL: nobody waits any more */
};

static void try_next(struct dialing *d, struct why why);

static void poll_gone(uv_handle_t *handle)
{
    free(handle);
}

/* Ends the attempt under way, keeping nothing of it. */
static void drop_attempt(struct dialing *d)
{
    timer_stop(loop_timers(d->loop), &d->timer);
    if (d->poll != NULL) {
        uv_poll_stop(d->poll);
        uv_close((uv_handle_t *)TAKE(d->poll), poll_gone);
    }
    if (d->fd >= 0) {
        close(d->fd);
        d->fd = -1;
    }
}

static void dialing_free(struct dialing *d)
{
    drop_attempt(d);
    if (d->lookup != NULL) {
        d->lookup->dialing = NULL;
        uv_cancel((uv_req_t *)&d->lookup->req);
    }
    uv_freeaddrinfo(d->addresses);
    free(d);
}

static void cancel(void *dialing)
{
    dialing_free(dialing);
}

static void give_up(struct dialing *d, enum status st, struct why why)
{
    stream_die(d->stream, st, why); /* comes back through cancel() */
}

static void connected(struct dialing *d)
{
    struct stream *stream = d->stream;
    int fd = d->fd;
    d->fd = -1;
    drop_attempt(d); /* its poll lets go of the descriptor before the stream's takes it */
    dialing_free(d);
    stream_connected(stream, fd);
}

static struct why why_of(int error)
{
    const char *text = "the connection failed";
    if (error == ECONNREFUSED)
        text = "connection refused";
    else if (error == ENETUNREACH || error == EHOSTUNREACH)
        text = "no route to the host";
    return (struct why){ "connect", text, 0 };
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct dialing *d = poll->data;
    loop_begin_turn(poll->loop->data);
    int error = 0;
    socklen_t len = sizeof error;
    (void)events;
    if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error == 0 && status >= 0) {
        connected(d);
    } else {
        drop_attempt(d);
        try_next(d, why_of(error));
    }
}

static void on_timer(struct timer *timer, struct now now)
{
    struct dialing *d = CONTAINER_OF(timer, struct dialing, timer);
    if (now.mono.ms >= d->deadline.ms) {
        give_up(d, ST_TIMEOUT, (struct why){ "connect_timeout", "no connection within the time allowed", 0 });
    } else {
        drop_attempt(d);
        try_next(d, (struct why){ "connect_timeout", "an address did not answer", 0 });
    }
}

/* Starts on one address; false: try another. */
static bool attempt(struct dialing *d, const struct addrinfo *address, int *ret_error)
{
    d->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fd >= 0 && d->local_len > 0 && bind(d->fd, (const struct sockaddr *)&d->local, d->local_len) != 0) {
        *ret_error = errno;
        return false;
    }
    if (d->fd < 0 || (connect(d->fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)) {
        *ret_error = errno;
        return false;
    }
    d->poll = calloc(1, sizeof *d->poll);
    if (d->poll == NULL || uv_poll_init(&d->loop->uv, d->poll, d->fd) != 0) {
        free(TAKE(d->poll));
        *ret_error = ENOMEM;
        return false;
    }
    d->poll->data = d;
    uv_poll_start(d->poll, UV_WRITABLE, on_poll);
    struct mono_time now = loop_now(d->loop).mono;
    int64_t share = (d->deadline.ms - now.ms) / (int64_t)(d->left + 1);
    timer_start(loop_timers(d->loop), &d->timer, mono_plus_ms(now, share > 0 ? share : 0));
    return true;
}

static void try_next(struct dialing *d, struct why why)
{
    while (d->next != NULL) {
        struct addrinfo *address = d->next;
        int error = 0;
        d->next = address->ai_next;
        d->left--;
        if (attempt(d, address, &error))
            return;
        why = why_of(error);
        drop_attempt(d);
    }
    give_up(d, ST_UNREACHABLE, why);
}

static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *addresses)
{
    struct lookup *lookup = CONTAINER_OF(req, struct lookup, req);
    struct dialing *d = lookup->dialing;
    loop_begin_turn(req->loop->data);
    free(lookup);
    if (d == NULL) {
        uv_freeaddrinfo(addresses);
        return;
    }
    d->lookup = NULL;
    timer_stop(loop_timers(d->loop), &d->timer);
    if (status < 0) {
        give_up(d, ST_UNREACHABLE, (struct why){ "DNS", "the host name could not be resolved", 0 });
        return;
    }
    d->addresses = d->next = addresses;
    for (struct addrinfo *a = addresses; a != NULL; a = a->ai_next)
        d->left++;
    try_next(d, (struct why){ "DNS", "the host has no address", 0 });
}

static enum status dialing_start(struct dialing *d, const struct dial_settings *settings, struct why *why)
{
    char port[8];
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    (void)snprintf(port, sizeof port, "%u", (unsigned)settings->port);
    d->lookup = calloc(1, sizeof *d->lookup);
    if (d->lookup == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    d->lookup->dialing = d;
    if (uv_getaddrinfo(&d->loop->uv, &d->lookup->req, on_lookup, settings->host, port, &hints) != 0) {
        free(TAKE(d->lookup));
        return reject(why, ST_UNREACHABLE, "DNS", "the host name cannot be looked up", 0);
    }
    timer_start(loop_timers(d->loop), &d->timer, d->deadline);
    return ST_OK;
}

/* Of one family, so only servers' addresses of that family are reached. */
static enum status take_local(struct dialing *d, const char *text, struct why *why)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_PASSIVE };
    struct addrinfo *found;

    if (text == NULL)
        return ST_OK;
    if (getaddrinfo(text, NULL, &hints, &found) != 0)
        return reject(why, ST_MALFORMED, "bind address", "our own end is named by an address, in digits", 0);
    memcpy(&d->local, found->ai_addr, found->ai_addrlen);
    d->local_len = found->ai_addrlen;
    freeaddrinfo(found);
    return ST_OK;
}

static enum status make_tls(const struct dial_settings *settings, struct tls_session **ret, struct why *why)
{
    if (settings->tls == NULL)
        return ST_OK;
    struct tls_expect expect = settings->expect;
    if (expect.host == NULL)
        expect.host = settings->host;
    return tls_session_new_client(settings->tls, &expect, ret, why);
}

static enum status make_ws(const struct dial_settings *settings, struct ws **ret, struct why *why)
{
    const struct ws_client_settings client = {
        .host = settings->host, .port = settings->port, .tls = settings->tls != NULL, .path = settings->ws_path
    };
    return settings->ws_path == NULL ? ST_OK : ws_new_client(&client, ret, why);
}

enum status dial(struct loop *loop, const struct dial_settings *settings, const struct stream_events *events,
                 void *ctx, struct stream **ret_stream, struct why *why)
{
    struct stream_settings for_stream = settings->stream;
    struct stream *stream;
    for_stream.tls = NULL;
    for_stream.ws = NULL;
    struct dialing *d = calloc(1, sizeof *d);
    if (d == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    d->loop = loop;
    d->fd = -1;
    timer_init(&d->timer, on_timer);
    d->deadline = mono_plus_ms(now_read().mono, settings->connect_ms != 0 ? settings->connect_ms : CONNECT_MS);
    enum status st = make_tls(settings, &for_stream.tls, why);
    if (st == ST_OK)
        st = make_ws(settings, &for_stream.ws, why);
    if (st == ST_OK)
        st = take_local(d, settings->bind_address, why);
    if (st == ST_OK)
        st = dialing_start(d, settings, why);
    if (st == ST_OK) {
        st = stream_new_connecting(loop, &for_stream, events, ctx, &stream, why);
    } else {
        tls_session_free(for_stream.tls);
        ws_free(for_stream.ws);
    }
    if (st != ST_OK) {
        dialing_free(d);
        return st;
    }
    d->stream = stream;
    stream->dialing = d;
    stream->cancel_dial = cancel;
    *ret_stream = stream;
    return ST_OK;
}
