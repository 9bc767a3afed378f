#include "load/link.h"

#include "crypto/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_TURN 256
#define NS_PER_S        INT64_C(1000000000)
#define SPACE_PER_TURN  (256u << 10) /* of `out`, kept by a busy connection */

int64_t link_now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* ---- the loop ---- */

static const char *try_address(const struct addrinfo *a, int64_t wait_ms)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    socklen_t len = sizeof error;

    if (fd < 0)
        return strerror(errno);
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        error = errno;
        if (error == EINPROGRESS && poll(&p, 1, (int)wait_ms) <= 0)
            error = ETIMEDOUT;
        else if (error == EINPROGRESS && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            error = errno;
    }
    (void)close(fd);
    return error == 0 ? NULL : strerror(error);
}

static enum status find_address(struct link_loop *loop, const char *host, uint16_t port, int64_t wait_ms,
                                struct why *why)
{
    struct addrinfo wanted = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list = NULL;
    char number[8];
    const char *problem = NULL;

    (void)snprintf(number, sizeof number, "%u", port);
    int rc = getaddrinfo(host, number, &wanted, &list);
    if (rc != 0)
        return reject(why, ST_UNREACHABLE, "DNS", gai_strerror(rc), 0);
    for (struct addrinfo *a = list; a != NULL && loop->address_len == 0; a = a->ai_next) {
        problem = try_address(a, wait_ms);
        if (problem != NULL)
            continue;
        memcpy(&loop->address, a->ai_addr, a->ai_addrlen);
        loop->address_len = a->ai_addrlen;
    }
    freeaddrinfo(list);
    return loop->address_len > 0 ? ST_OK : reject(why, ST_UNREACHABLE, "TCP", problem, 0);
}

enum status link_loop_open(struct link_loop *loop, const char *host, uint16_t port, struct tls_config *tls,
                           bool any_name, int64_t wait_ms, struct why *why)
{
    memset(loop, 0, offsetof(struct link_loop, cipher));
    list_init(&loop->dirty);
    loop->now_ns = link_now();
    loop->wake_fd = -1;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0)
        return reject(why, ST_IO, "epoll", strerror(errno), 0);
    loop->tls = tls == NULL ? NULL : tls_config_ref(tls);
    loop->expect = (struct tls_expect){ .host = host, .any_name = any_name };
    return find_address(loop, host, port, wait_ms, why);
}

void link_loop_use_ws(struct link_loop *loop, const char *path, uint16_t port)
{
    loop->ws = (struct ws_client_settings){
        .host = loop->expect.host, .port = port, .tls = loop->tls != NULL, .path = path
    };
}

enum status link_loop_watch(struct link_loop *loop, int wake_fd, struct why *why)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

    if (wake_fd >= 0 && epoll_ctl(loop->epoll, EPOLL_CTL_ADD, wake_fd, &event) != 0)
        return reject(why, ST_IO, "epoll", strerror(errno), 0);
    loop->wake_fd = wake_fd;
    return ST_OK;
}

void link_loop_done(struct link_loop *loop)
{
    tls_config_unref(loop->tls);
    loop->tls = NULL;
    if (loop->epoll >= 0)
        (void)close(loop->epoll);
    loop->epoll = -1;
}

/* ---- opening and closing ---- */

void link_init(struct link *link, struct link_loop *loop, const struct link_events *events, size_t batch)
{
    *link = (struct link){ .loop = loop, .events = events, .fd = -1, .batch = batch };
    list_init(&link->dirty);
    buf_init(&link->plain, LINK_BACKLOG_MAX);
    buf_init(&link->out, LINK_BACKLOG_MAX);
    buf_init(&link->rest, LINK_BACKLOG_MAX);
}

static void mark_dirty(struct link *link)
{
    if (!list_linked(&link->dirty))
        list_append(&link->loop->dirty, &link->dirty);
}

static void watch(struct link *link, int op, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = link };

    if (epoll_ctl(link->loop->epoll, op, link->fd, &event) != 0)
        link_close(link, strerror(errno));
    else
        link->epollout = (events & EPOLLOUT) != 0;
}

void link_open(struct link *link)
{
    struct link_loop *loop = link->loop;
    int one = 1;

    link->state = LINK_CONNECTING;
    link->packets = 0;
    link->close_when_flushed = false;
    loop->open++;
    link->fd = socket(loop->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        link_close(link, strerror(errno));
        return;
    }
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(link->fd, (struct sockaddr *)&loop->address, loop->address_len) != 0 && errno != EINPROGRESS) {
        link_close(link, strerror(errno));
        return;
    }
    watch(link, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void let_go(struct link *link)
{
    link->state = LINK_CLOSED;
    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = -1;
    tls_session_free(TAKE(link->tls));
    ws_free(TAKE(link->ws));
    list_remove(&link->dirty);
    buf_done(&link->plain);
    buf_done(&link->out);
    buf_done(&link->rest);
    link->loop->open--;
}

void link_close(struct link *link, const char *reason)
{
    if (link->state == LINK_CLOSED)
        return;
    let_go(link);
    link->events->closed(link, reason);
}

/* ---- sending ---- */

struct buf *link_plain(struct link *link)
{
    mark_dirty(link);
    return link->tls != NULL || link->ws != NULL ? &link->plain : &link->out;
}

/* What fails here is seen when flushing: a buffer that is not ok. */
static void transmit(struct link *link, struct span bytes)
{
    struct tls_io io = { SPAN_NONE, &link->out };
    struct why why;

    if (link->tls == NULL)
        put_bytes(&link->out, bytes);
    else if (tls_write(link->tls, &io, bytes, &why) != ST_OK)
        link->out.failed = true;
}

/* One frame, with what WebSocket itself has to say, in one record. */
static void seal_frame(struct link *link)
{
    CLEANUP(buf_done)
    struct buf frame;

    buf_init(&frame, LINK_BACKLOG_MAX);
    if (ws_write(link->ws, buf_span(&link->plain), &frame) != ST_OK)
        link->out.failed = true;
    transmit(link, buf_span(&frame));
}

static void seal(struct link *link)
{
    if (link->ws != NULL)
        seal_frame(link);
    else
        transmit(link, buf_span(&link->plain));
    buf_reset(&link->plain);
    link->packets = 0;
}

void link_packet_done(struct link *link)
{
    if (++link->packets >= link->batch && (link->tls != NULL || link->ws != NULL))
        seal(link);
}

size_t link_backlog(const struct link *link)
{
    return link->out.len + link->plain.len;
}

static void flush(struct link *link)
{
    size_t at = 0;

    if (link->plain.len > 0 || (link->ws != NULL && ws_has_output(link->ws)))
        seal(link);
    if (!buf_ok(&link->out) || !buf_ok(&link->plain)) {
        link_close(link, "more bytes waiting than a connection may have");
        return;
    }
    while (at < link->out.len) {
        ssize_t n = send(link->fd, link->out.p + at, link->out.len - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            link_close(link, strerror(errno));
            return;
        }
        if (n < 0 && errno == EAGAIN)
            break;
        at += n > 0 ? (size_t)n : 0;
    }
    if (at == link->out.len && link->out.cap > SPACE_PER_TURN)
        buf_done(&link->out);
    else
        buf_drop_front(&link->out, at);
    if (link->out.len == 0 && link->close_when_flushed) {
        link_close(link, NULL);
        return;
    }
    if ((link->out.len > 0) != link->epollout && link->state != LINK_CONNECTING)
        watch(link, EPOLL_CTL_MOD, EPOLLIN | (link->out.len > 0 ? EPOLLOUT : 0));
}

/* ---- receiving ---- */

/* TCP and TLS are up: WebSocket may still have to be asked for. */
static void is_open(struct link *link)
{
    struct why why = { "", "", 0 };

    link->state = link->loop->ws.path != NULL ? LINK_UPGRADE : LINK_OPEN;
    if (link->state == LINK_OPEN)
        link->events->opened(link);
    else if (ws_new_client(&link->loop->ws, &link->ws, &why) != ST_OK)
        link_close(link, why.text);
    else
        mark_dirty(link);
}

static void remember_certificate(struct link *link)
{
    struct link_loop *loop = link->loop;
    struct span cert = tls_peer_cert(link->tls);

    if (loop->expect.pin == NULL && cert.len > 0 && sha256(cert, loop->pin) == ST_OK)
        loop->expect.pin = loop->pin;
}

/* Another certificate than the one remembered: the broker may have two. Once more, and its chain is verified. */
static bool try_again(struct link *link)
{
    struct link_loop *loop = link->loop;

    if (!link->pinned || tls_failure(link->tls) != ST_DENIED)
        return false;
    loop->expect.pin = NULL;
    let_go(link);
    link_open(link);
    return true;
}

/* True once the handshake is done. `cipher` loses what was used. */
static bool handshake(struct link *link, struct span *cipher)
{
    struct why why = { "", "", 0 };
    struct tls_io io = { *cipher, &link->out };

    enum tls_result result = tls_handshake(link->tls, &io, &why);
    *cipher = io.in;
    mark_dirty(link);
    if (result == TLS_WANT_INPUT)
        return false;
    if (result != TLS_OK) {
        if (!try_again(link))
            link_close(link, why.text);
        return false;
    }
    remember_certificate(link);
    is_open(link);
    return link->state >= LINK_UPGRADE;
}

/* Gives plaintext to the owner; what it leaves is kept in front of the next. */
static void give(struct link *link, struct span plain)
{
    if (link->rest.len > 0) {
        put_bytes(&link->rest, plain);
        if (!buf_ok(&link->rest)) {
            link_close(link, "a packet larger than a connection may have");
            return;
        }
        size_t used = link->events->data(link, buf_span(&link->rest));
        if (link->state == LINK_OPEN)
            buf_drop_front(&link->rest, used);
        return;
    }
    size_t used = link->events->data(link, plain);
    if (link->state == LINK_OPEN && used < plain.len)
        put_bytes(&link->rest, span_cut(plain, used, plain.len));
}

/* Frames out of what TLS or TCP gave; `bytes` is the loop's own memory and is written over. */
static void receive(struct link *link, struct span bytes)
{
    struct why why = { "", "", 0 };
    size_t len = 0;
    enum ws_result result = WS_OK;

    if (link->ws == NULL) {
        give(link, bytes);
        return;
    }
    if (link->state == LINK_UPGRADE) {
        result = ws_upgrade(link->ws, &bytes, &why);
        if (result == WS_WANT_INPUT)
            return;
        if (result == WS_OK) {
            link->state = LINK_OPEN;
            link->events->opened(link);
        }
    }
    if (result == WS_OK && link->state == LINK_OPEN && bytes.len > 0) {
        uint8_t *room = (uint8_t *)(uintptr_t)bytes.p;
        result = ws_read(link->ws, bytes, room, &len, &why);
        if (len > 0)
            give(link, span_of(room, len));
    }
    if (link->state == LINK_CLOSED)
        return;
    if (ws_has_output(link->ws))
        mark_dirty(link);
    if (result == WS_CLOSED || result == WS_FAILED)
        link_close(link, result == WS_CLOSED ? "closed by the broker" : why.text);
}

static void decrypt(struct link *link, struct span cipher)
{
    struct link_loop *loop = link->loop;

    if (link->state == LINK_HANDSHAKE && !handshake(link, &cipher))
        return;
    while (link->state >= LINK_UPGRADE) {
        struct why why = { "", "", 0 };
        struct tls_io io = { cipher, &link->out };
        size_t len = 0;
        enum tls_result result = tls_read(link->tls, &io, loop->plain, sizeof loop->plain, &len, &why);

        cipher = io.in;
        if (link->out.len > 0)
            mark_dirty(link);
        if (result == TLS_OK)
            receive(link, span_of(loop->plain, len));
        else if (result == TLS_WANT_INPUT)
            return;
        else
            link_close(link, result == TLS_CLOSED ? "closed by the broker" : why.text);
    }
}

static void readable(struct link *link)
{
    struct link_loop *loop = link->loop;
    ssize_t n = recv(link->fd, loop->cipher, sizeof loop->cipher, 0);

    loop->reads++;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        link_close(link, n == 0 ? "closed by the broker" : strerror(errno));
    else if (link->tls == NULL)
        receive(link, span_of(loop->cipher, (size_t)n));
    else
        decrypt(link, span_of(loop->cipher, (size_t)n));
}

static void connected(struct link *link)
{
    struct span nothing = SPAN_NONE;
    struct why why = { "", "", 0 };
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        link_close(link, strerror(error != 0 ? error : errno));
        return;
    }
    link->state = LINK_HANDSHAKE;
    watch(link, EPOLL_CTL_MOD, EPOLLIN);
    if (link->state == LINK_CLOSED)
        return;
    link->pinned = link->loop->expect.pin != NULL;
    if (link->loop->tls == NULL)
        is_open(link);
    else if (tls_session_new_client(link->loop->tls, &link->loop->expect, &link->tls, &why) != ST_OK)
        link_close(link, why.text);
    else
        (void)handshake(link, &nothing);
}

static void handle(struct link *link, uint32_t events)
{
    if (link->state == LINK_CONNECTING) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
            connected(link);
        return;
    }
    if ((events & EPOLLOUT) != 0)
        mark_dirty(link);
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
        readable(link);
}

void link_loop_turn(struct link_loop *loop, int64_t wait_ns)
{
    struct epoll_event events[EVENTS_PER_TURN];

    for (struct list *node = list_shift(&loop->dirty); node != NULL; node = list_shift(&loop->dirty))
        flush(CONTAINER_OF(node, struct link, dirty));
    if (wait_ns < 0)
        wait_ns = 0;
    struct timespec wait = { wait_ns / NS_PER_S, wait_ns % NS_PER_S };
    int n = epoll_pwait2(loop->epoll, events, EVENTS_PER_TURN, &wait, NULL);
    loop->now_ns = link_now();
    for (int i = 0; i < n; i++) {
        struct link *link = events[i].data.ptr;
        if (link == NULL) { /* once is enough */
            loop->woken = true;
            (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, loop->wake_fd, NULL);
        } else if (link->state != LINK_CLOSED) {
            handle(link, events[i].events);
        }
    }
}
