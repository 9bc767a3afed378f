#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_TURN 256
#define PENDING_MAX     (16u << 20)
#define RECORD_MAX      16384
/* The listener string of the design without TLS 1.2: one cipher, one group, so that every broker does the same. */
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:-GROUP-ALL:+GROUP-X25519"

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("mqtt_bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void link_loop_init(struct link_loop *loop, const char *host, int port, const char *ca_file)
{
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    if (loop->epoll < 0 || inet_pton(AF_INET, host, &loop->address.sin_addr) != 1)
        die("not an IPv4 address: %s", host);
    if (gnutls_certificate_allocate_credentials(&loop->credentials) != 0 ||
        gnutls_certificate_set_x509_trust_file(loop->credentials, ca_file, GNUTLS_X509_FMT_PEM) < 1 ||
        gnutls_priority_init(&loop->priority, PRIORITY, NULL) != 0)
        die("no usable certificate authority in %s", ca_file);
    list_init(&loop->dirty);
    loop->open = 0;
    loop->records_out = loop->writes = loop->reads = 0;
    loop->now_ns = now_ns();
}

void link_loop_done(struct link_loop *loop)
{
    gnutls_priority_deinit(loop->priority);
    gnutls_certificate_free_credentials(loop->credentials);
    close(loop->epoll);
}

void link_init(struct link *link, struct link_loop *loop, const struct link_events *events, size_t batch)
{
    *link = (struct link){ .loop = loop, .events = events, .fd = -1, .batch = batch };
    list_init(&link->dirty);
    buf_init(&link->plain, PENDING_MAX);
    buf_init(&link->out, PENDING_MAX);
    buf_init(&link->rest, PENDING_MAX);
}

static void mark_dirty(struct link *link)
{
    if (!list_linked(&link->dirty))
        list_append(&link->loop->dirty, &link->dirty);
}

/* GnuTLS hands over records here and never has to wait: they go out in one write at the end of the turn. */
static ssize_t push(gnutls_transport_ptr_t ctx, const void *p, size_t len)
{
    struct link *link = ctx;
    put_bytes(&link->out, span_of(p, len));
    link->loop->records_out++;
    mark_dirty(link);
    return (ssize_t)len;
}

static ssize_t pull(gnutls_transport_ptr_t ctx, void *p, size_t len)
{
    struct link *link = ctx;
    if (link->feed.len == 0) {
        gnutls_transport_set_errno(link->tls, EAGAIN);
        return -1;
    }
    struct span part = span_cut(link->feed, 0, len);
    memcpy(p, part.p, part.len);
    link->feed = span_cut(link->feed, part.len, link->feed.len);
    return (ssize_t)part.len;
}

static int pull_timeout(gnutls_transport_ptr_t ctx, unsigned ms UNUSED)
{
    struct link *link = ctx;
    return link->feed.len > 0;
}

static void watch(struct link *link, int op, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = link };
    if (epoll_ctl(link->loop->epoll, op, link->fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
    link->epollout = (events & EPOLLOUT) != 0;
}

void link_open(struct link *link)
{
    struct link_loop *loop = link->loop;
    int one = 1;

    link->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(link->fd, (struct sockaddr *)&loop->address, sizeof loop->address) != 0 && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    if (gnutls_init(&link->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS) != 0 ||
        gnutls_priority_set(link->tls, loop->priority) != 0 ||
        gnutls_credentials_set(link->tls, GNUTLS_CRD_CERTIFICATE, loop->credentials) != 0)
        die("gnutls_init failed");
    gnutls_session_set_verify_cert(link->tls, NULL, 0); /* the chain; the name is a loopback address */
    gnutls_transport_set_ptr(link->tls, link);
    gnutls_transport_set_push_function(link->tls, push);
    gnutls_transport_set_pull_function(link->tls, pull);
    gnutls_transport_set_pull_timeout_function(link->tls, pull_timeout);
    link->state = LINK_CONNECTING;
    link->packets = 0;
    link->close_when_flushed = false;
    link->feed = SPAN_NONE;
    watch(link, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    loop->open++;
}

void link_close(struct link *link, const char *reason)
{
    if (link->state == LINK_CLOSED)
        return;
    link->state = LINK_CLOSED;
    close(link->fd);
    link->fd = -1;
    gnutls_deinit(link->tls);
    link->tls = NULL;
    list_remove(&link->dirty);
    buf_done(&link->plain);
    buf_done(&link->out);
    buf_done(&link->rest);
    link->loop->open--;
    link->events->closed(link, reason);
}

struct buf *link_plain(struct link *link)
{
    mark_dirty(link);
    return &link->plain;
}

static void seal(struct link *link)
{
    struct span left = buf_span(&link->plain);
    while (left.len > 0) {
        ssize_t n = gnutls_record_send(link->tls, left.p, left.len < RECORD_MAX ? left.len : RECORD_MAX);
        if (n <= 0)
            die("gnutls_record_send: %s", gnutls_strerror((int)n));
        left = span_cut(left, (size_t)n, left.len);
    }
    buf_reset(&link->plain);
    link->packets = 0;
}

void link_packet_done(struct link *link)
{
    if (++link->packets >= link->batch)
        seal(link);
}

static void flush(struct link *link)
{
    if (link->plain.len > 0 && link->state == LINK_OPEN)
        seal(link);
    if (!buf_ok(&link->out) || !buf_ok(&link->plain))
        die("more than %u bytes waiting on one connection", PENDING_MAX);
    while (link->out.len > 0) {
        ssize_t n = send(link->fd, link->out.p, link->out.len, MSG_NOSIGNAL);
        link->loop->writes++;
        if (n < 0 && errno != EAGAIN) {
            link_close(link, strerror(errno));
            return;
        }
        if (n <= 0)
            break;
        buf_drop_front(&link->out, (size_t)n);
    }
    if (link->out.len == 0 && link->close_when_flushed) {
        link_close(link, NULL);
        return;
    }
    if ((link->out.len > 0) != link->epollout)
        watch(link, EPOLL_CTL_MOD, EPOLLIN | (link->out.len > 0 ? EPOLLOUT : 0));
}

static bool handshake(struct link *link)
{
    int rc = gnutls_handshake(link->tls);
    if (rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED)
        return false;
    if (rc < 0) {
        link_close(link, gnutls_strerror(rc));
        return false;
    }
    link->state = LINK_OPEN;
    link->events->opened(link);
    return link->state == LINK_OPEN;
}

/* Gives plaintext to the owner; what it leaves is kept in front of the next. */
static void give(struct link *link, struct span plain)
{
    if (link->rest.len > 0) {
        put_bytes(&link->rest, plain);
        size_t used = link->events->data(link, buf_span(&link->rest));
        if (link->state == LINK_OPEN)
            buf_drop_front(&link->rest, used);
        return;
    }
    size_t used = link->events->data(link, plain);
    if (link->state == LINK_OPEN && used < plain.len)
        put_bytes(&link->rest, span_cut(plain, used, plain.len));
}

static void decrypt(struct link *link)
{
    if (link->state == LINK_HANDSHAKE && !handshake(link))
        return;
    while (link->state == LINK_OPEN) {
        ssize_t n = gnutls_record_recv(link->tls, link->loop->plain, sizeof link->loop->plain);
        if (n == GNUTLS_E_INTERRUPTED || (n == GNUTLS_E_AGAIN && link->feed.len > 0))
            continue;
        if (n == GNUTLS_E_AGAIN)
            return;
        if (n <= 0) {
            link_close(link, n == 0 ? "closed by the broker" : gnutls_strerror((int)n));
            return;
        }
        give(link, span_of(link->loop->plain, (size_t)n));
    }
}

static void readable(struct link *link)
{
    ssize_t n = recv(link->fd, link->loop->cipher, sizeof link->loop->cipher, 0);
    link->loop->reads++;
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        link_close(link, n == 0 ? "closed by the broker" : strerror(errno));
        return;
    }
    link->feed = span_of(link->loop->cipher, (size_t)n);
    decrypt(link);
}

static void handle(struct link *link, uint32_t events)
{
    if (link->state == LINK_CONNECTING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
        int error = 0;
        socklen_t len = sizeof error;
        getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0) {
            link_close(link, strerror(error));
            return;
        }
        link->state = LINK_HANDSHAKE;
        watch(link, EPOLL_CTL_MOD, EPOLLIN);
        handshake(link);
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
    struct timespec wait = { wait_ns / 1000000000, wait_ns % 1000000000 };
    int n = epoll_pwait2(loop->epoll, events, EVENTS_PER_TURN, &wait, NULL);
    if (n < 0 && errno != EINTR)
        die("epoll_pwait2: %s", strerror(errno));
    loop->now_ns = now_ns();
    for (int i = 0; i < n; i++) {
        struct link *link = events[i].data.ptr;
        if (link->state != LINK_CLOSED)
            handle(link, events[i].events);
    }
}
