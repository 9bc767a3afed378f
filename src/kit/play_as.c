#include "kit/play_as_priv.h"

#include "base/buf.h"
#include "net/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 65536
#define REQUEST_MS  5000
#define HUGE_BYTES  (8u << 20)

struct play_as {
    int listener, stop; /* stop: an eventfd that ends every wait */
    struct tls_config *tls;
    pthread_t thread;
    bool running;
    atomic_uint requests;
    pthread_mutex_t lock; /* over what follows */
    enum play play;
    int status;
    struct buf body;
};

/* One connection being served. */
struct caller {
    struct play_as *as;
    int fd;
    struct tls_session *tls;
    struct buf in, out, plain;
};

/* False: the kit ends, or nothing came in time. */
static bool wait_readable(struct play_as *as, int fd, int ms)
{
    struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = as->stop, .events = POLLIN } };

    return poll(p, 2, ms) > 0 && p[1].revents == 0;
}

static void send_all(struct caller *c)
{
    for (size_t at = 0; at < c->out.len;) {
        ssize_t n = send(c->fd, c->out.p + at, c->out.len - at, MSG_NOSIGNAL);
        if (n <= 0 && errno != EINTR)
            break;
        at += n > 0 ? (size_t)n : 0;
    }
    buf_reset(&c->out);
}

static bool receive(struct caller *c)
{
    uint8_t *room = buf_room(&c->in, 16384);

    if (room == NULL || !wait_readable(c->as, c->fd, REQUEST_MS))
        return false;
    ssize_t n = recv(c->fd, room, 16384, 0);
    if (n > 0)
        buf_added(&c->in, (size_t)n);
    return n > 0;
}

static bool handshake(struct caller *c)
{
    struct why why;

    for (;;) {
        struct tls_io io = { buf_span(&c->in), &c->out };
        enum tls_result r = tls_handshake(c->tls, &io, &why);
        buf_drop_front(&c->in, c->in.len - io.in.len);
        send_all(c);
        if (r != TLS_WANT_INPUT)
            return r == TLS_OK;
        if (!receive(c))
            return false;
    }
}

/* Head and, by Content-Length, the whole body are there. */
static bool request_complete(const struct buf *b)
{
    const char *end = memmem(b->p, b->len, "\r\n\r\n", 4);
    size_t length = 0;

    if (end == NULL)
        return false;
    size_t head = (size_t)(end - (const char *)b->p) + 4;
    for (size_t at = 0; at + 16 < head; at++)
        if (strncasecmp((const char *)b->p + at, "\r\nContent-Length:", 17) == 0)
            length = strtoul((const char *)b->p + at + 17, NULL, 10);
    return b->len >= head + length;
}

static bool read_request(struct caller *c)
{
    struct why why;

    for (;;) {
        struct tls_io io = { buf_span(&c->in), &c->out };
        uint8_t *room = buf_room(&c->plain, TLS_RECORD_MAX);
        size_t got = 0;
        if (room == NULL)
            return false;
        enum tls_result r = tls_read(c->tls, &io, room, TLS_RECORD_MAX, &got, &why);
        buf_drop_front(&c->in, c->in.len - io.in.len);
        buf_added(&c->plain, got);
        if (request_complete(&c->plain))
            return true;
        if (r == TLS_WANT_INPUT ? !receive(c) : r != TLS_OK)
            return false;
    }
}

static void say(struct caller *c, struct span plain)
{
    struct tls_io io = { SPAN_NONE, &c->out };
    struct why why;

    if (tls_write(c->tls, &io, plain, &why) == ST_OK)
        send_all(c);
}

static void head(struct buf *b, int status, size_t length)
{
    put_fmt(b,
            "HTTP/1.1 %d Answer\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: "
            "%zu\r\n\r\n",
            status, length);
}

static void trickle(struct caller *c, struct span all)
{
    for (size_t i = 0; i < all.len; i++) {
        say(c, span_cut(all, i, 1));
        if (wait_readable(c->as, c->fd, 400)) /* hung up, or the kit ends */
            return;
    }
}

static void huge(struct caller *c)
{
    CLEANUP(buf_done)
    struct buf piece;

    buf_init(&piece, 65536);
    head(&piece, 200, HUGE_BYTES);
    put_str(&piece, "{\"active\":true,\"padding\":\"");
    say(c, buf_span(&piece));
    buf_reset(&piece);
    for (int i = 0; i < 8192; i++)
        put_str(&piece, "xxxxxxxx");
    for (size_t sent = 0; sent < HUGE_BYTES && !wait_readable(c->as, c->fd, 0); sent += piece.len)
        say(c, buf_span(&piece));
}

static void answer(struct caller *c, enum play play, int status, struct span body)
{
    CLEANUP(buf_done)
    struct buf all;
    struct tls_io io = { SPAN_NONE, &c->out };

    buf_init(&all, 4u << 20);
    head(&all, play == PLAY_ANSWER || play == PLAY_TRICKLE || play == PLAY_CUT ? 200 : status,
         body.len + (play == PLAY_CUT ? 100 : 0));
    put_bytes(&all, body);
    switch (play) {
    case PLAY_SILENCE:
        (void)wait_readable(c->as, c->fd, 60000);
        return;
    case PLAY_TRICKLE:
        trickle(c, buf_span(&all));
        return;
    case PLAY_HUGE:
        huge(c);
        return;
    case PLAY_GARBAGE:
        say(c, SPAN("\x00\xff\x16 not HTTP at all \r\n\r\n\x80\x80"));
        break;
    default:
        say(c, buf_span(&all));
    }
    tls_close(c->tls, &io);
    send_all(c);
}

static void serve(struct play_as *as, int fd)
{
    struct caller c = { .as = as, .fd = fd };
    CLEANUP(buf_done)
    struct buf body;
    struct why why;

    buf_init(&body, 4u << 20);
    (void)pthread_mutex_lock(&as->lock);
    enum play play = as->play;
    int status = as->status;
    put_bytes(&body, buf_span(&as->body));
    (void)pthread_mutex_unlock(&as->lock);
    buf_init(&c.in, 1u << 20);
    buf_init(&c.out, 16u << 20);
    buf_init(&c.plain, REQUEST_MAX + TLS_RECORD_MAX);
    atomic_fetch_add(&as->requests, 1);
    if (play != PLAY_HANG_UP && tls_session_new_server(as->tls, &c.tls, &why) == ST_OK && handshake(&c) &&
        read_request(&c))
        answer(&c, play, status, buf_span(&body));
    tls_session_free(c.tls);
    buf_done(&c.in);
    buf_done(&c.out);
    buf_done(&c.plain);
    (void)close(fd);
}

static void *run(void *ctx)
{
    struct play_as *as = ctx;

    while (wait_readable(as, as->listener, -1)) {
        int fd = accept4(as->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            serve(as, fd);
    }
    return NULL;
}

static int listen_at(uint16_t port)
{
    struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, zero = 0;

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 16) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

enum status play_as_new(uint16_t port, const char *cert_file, const char *key_file, struct play_as **ret,
                        struct why *why)
{
    struct tls_settings tls = { .cert_file = cert_file, .key_file = key_file, .no_tickets = true };
    struct play_as *as = calloc(1, sizeof *as);

    if (as == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    (void)pthread_mutex_init(&as->lock, NULL);
    buf_init(&as->body, 4u << 20);
    as->stop = eventfd(0, EFD_CLOEXEC);
    as->listener = listen_at(port);
    enum status st = as->listener < 0 || as->stop < 0
                         ? reject(why, ST_IO, "--as-port", "the port cannot be listened on", 0)
                         : tls_config_new_server(&tls, &as->tls, why);
    play_as_reset(as);
    if (st == ST_OK) {
        as->running = pthread_create(&as->thread, NULL, run, as) == 0;
        st = as->running ? ST_OK : reject(why, ST_NO_MEMORY, "thread", "no thread to be had", 0);
    }
    if (st == ST_OK)
        *ret = as;
    else
        play_as_free(as);
    return st;
}

void play_as_free(struct play_as *as)
{
    uint64_t one = 1;

    if (as == NULL)
        return;
    if (as->running && write(as->stop, &one, sizeof one) == (ssize_t)sizeof one)
        (void)pthread_join(as->thread, NULL);
    if (as->listener >= 0)
        (void)close(as->listener);
    if (as->stop >= 0)
        (void)close(as->stop);
    tls_config_unref(as->tls);
    buf_done(&as->body);
    (void)pthread_mutex_destroy(&as->lock);
    free(as);
}

void play_as_reset(struct play_as *as)
{
    if (as == NULL)
        return;
    atomic_store(&as->requests, 0);
    play_as_set(as, PLAY_ANSWER, 200, SPAN("{\"active\":false}"));
}

void play_as_set(struct play_as *as, enum play play, int status, struct span body)
{
    if (as == NULL)
        return;
    (void)pthread_mutex_lock(&as->lock);
    as->play = play;
    as->status = status;
    buf_reset(&as->body);
    put_bytes(&as->body, body);
    (void)pthread_mutex_unlock(&as->lock);
}

unsigned play_as_requests(struct play_as *as)
{
    return as == NULL ? 0 : atomic_load(&as->requests);
}
