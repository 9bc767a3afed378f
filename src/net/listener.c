#include "net/listener.h"

#include "base/log.h"
#include "net/listener_priv.h"
#include "net/loop_priv.h"
#include "net/stream_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG         1024
#define ACCEPTS_A_TURN  64  /* then the connections already there get their turn */
#define OUT_OF_FILES_MS 100 /* pause when the process has no descriptor left */
#define SAY_AGAIN_MS    10000

struct listener {
    struct loop *loop;
    int fd;
    uint16_t port;
    char *unix_path;
    uv_poll_t *poll;
    struct timer timer;
    struct mono_time said; /* last, that descriptors ran out */
    bool out_of_files;     /* that was said, and not yet that they are back */
    listener_accept_fn *on_accept;
    void *ctx;
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
};

/* -- opening the socket ---------------------------------------------------------------------------------- */

static bool tcp_address(const char *text, uint16_t port, union address *out, socklen_t *ret_len)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        *ret_len = sizeof out->v4;
        return true;
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        *ret_len = sizeof out->v6;
        return true;
    }
    return false;
}

static enum status open_tcp(const struct listener_settings *settings, int *ret_fd, struct why *why)
{
    union address address;
    socklen_t len;
    int on = 1;
    if (settings->address == NULL || !tcp_address(settings->address, settings->port, &address, &len))
        return reject(why, ST_MALFORMED, "listener.address", "not an IPv4 or IPv6 address", 0);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return reject(why, ST_IO, "listener", "cannot open a socket", 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    stream_socket_options(fd);
    if (settings->share)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (address.any.sa_family == AF_INET6 && settings->address[0] == ':' && settings->address[1] == ':' &&
        settings->address[2] == '\0') {
        int off = 0; /* "::" means every address, IPv4 too, whatever the system's default */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (bind(fd, &address.any, len) < 0) {
        const char *text = errno == EADDRINUSE ? "address and port are in use"
                           : errno == EACCES   ? "no permission for this port"
                                               : "the address cannot be used here";
        close(fd);
        return reject(why, ST_IO, "listener", text, 0);
    }
    *ret_fd = fd;
    return ST_OK;
}

/* A socket file left by a killed process is removed; one that somebody listens on is not. */
static bool stale(const union address *address, socklen_t len)
{
    struct stat info;
    if (lstat(address->un.sun_path, &info) < 0 || !S_ISSOCK(info.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool refused = connect(fd, &address->any, len) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static enum status open_unix(const struct listener_settings *settings, int *ret_fd, struct why *why)
{
    union address address;
    socklen_t len = sizeof address.un;
    memset(&address, 0, sizeof address);
    address.un.sun_family = AF_UNIX;
    if (strlen(settings->unix_path) >= sizeof address.un.sun_path)
        return reject(why, ST_TOO_LARGE, "listener.unix_path", "longer than a socket path may be", 0);
    memcpy(address.un.sun_path, settings->unix_path, strlen(settings->unix_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return reject(why, ST_IO, "listener", "cannot open a socket", 0);
    mode_t mode = settings->unix_mode != 0 ? settings->unix_mode : 0600;
    /* Nobody may connect between bind() and chmod(): the socket inode takes its mode from the descriptor. */
    (void)fchmod(fd, mode);
    bool bound = bind(fd, &address.any, len) == 0;
    if (!bound && errno == EADDRINUSE && stale(&address, len) && unlink(settings->unix_path) == 0)
        bound = bind(fd, &address.any, len) == 0;
    if (!bound || chmod(settings->unix_path, mode) < 0) {
        const char *text = errno == EADDRINUSE ? "another process listens there" : "cannot be created there";
        close(fd);
        return reject(why, ST_IO, "listener.unix_path", text, 0);
    }
    *ret_fd = fd;
    return ST_OK;
}

static uint16_t port_of(int fd)
{
    union address address;
    socklen_t len = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(fd, &address.any, &len) < 0)
        return 0;
    if (address.any.sa_family == AF_INET)
        return ntohs(address.v4.sin_port);
    return address.any.sa_family == AF_INET6 ? ntohs(address.v6.sin6_port) : 0;
}

enum status listener_socket(const struct listener_settings *settings, int *ret_fd, uint16_t *ret_port,
                            struct why *why)
{
    int fd = -1;
    enum status st = settings->unix_path != NULL ? open_unix(settings, &fd, why) : open_tcp(settings, &fd, why);
    if (st != ST_OK)
        return st;
    if (!settings->later && listen(fd, settings->backlog != 0 ? settings->backlog : BACKLOG) < 0) {
        close(fd);
        return reject(why, ST_IO, "listener", "cannot listen on the socket", 0);
    }
    *ret_fd = fd;
    if (ret_port != NULL)
        *ret_port = port_of(fd);
    return ST_OK;
}

enum status listener_listen(struct listener *l, struct why *why)
{
    if (listen(l->fd, BACKLOG) < 0)
        return reject(why, ST_IO, "listener",
                      errno == EADDRINUSE ? "address and port are in use" : "cannot listen on the socket", 0);
    return ST_OK;
}

/* -- accepting ------------------------------------------------------------------------------------------- */

void net_peer_of(const struct sockaddr *from, struct net_peer *out)
{
    char text[INET6_ADDRSTRLEN] = "?";
    const union address *address = (const union address *)(const void *)from;
    *out = (struct net_peer){ .source = net_source_of(from), .uid = (uid_t)-1, .gid = (gid_t)-1 };
    if (from->sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &address->v4.sin_addr, text, sizeof text);
        out->is_loopback = (ntohl(address->v4.sin_addr.s_addr) >> 24) == 127;
        (void)snprintf(out->address, sizeof out->address, "%s:%u", text, ntohs(address->v4.sin_port));
    } else if (from->sa_family == AF_INET6) {
        const struct in6_addr *in6 = &address->v6.sin6_addr;
        (void)inet_ntop(AF_INET6, in6, text, sizeof text);
        out->is_loopback = IN6_IS_ADDR_LOOPBACK(in6) || (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127);
        (void)snprintf(out->address, sizeof out->address, "[%s]:%u", text, ntohs(address->v6.sin6_port));
    } else {
        (void)snprintf(out->address, sizeof out->address, "unix");
        out->is_loopback = true;
    }
}

static void add_credentials(int fd, struct net_peer *peer)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
        peer->uid = cred.uid;
        peer->gid = cred.gid;
        peer->pid = cred.pid;
    }
}

/* Those who knock wait in the backlog until descriptors come free. */
static void pause_accepting(struct listener *l)
{
    struct mono_time now = l->loop->now.mono;
    uv_poll_stop(l->poll);
    timer_start(&l->loop->wheel, &l->timer, mono_plus_ms(now, OUT_OF_FILES_MS));
    if (l->said.ms != 0 && now.ms - l->said.ms < SAY_AGAIN_MS)
        return;
    l->said = now;
    l->out_of_files = true;
    log_event(NULL, LOG_ERROR, "out_of_descriptors", F_I64("port", l->port));
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    loop_begin_turn(poll->loop->data);
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct listener *l = poll->data;
        if (l == NULL)
            return; /* freed by the callback */
        union address from;
        socklen_t len = sizeof from;
        memset(&from, 0, sizeof from);
        int fd = accept4(l->fd, &from.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            pause_accepting(l);
            return;
        }
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            return;
        if (l->out_of_files)
            log_event(NULL, LOG_NOTICE, "descriptors_back", F_I64("port", l->port));
        l->out_of_files = false;
        struct net_peer peer;
        net_peer_of(&from.any, &peer);
        if (l->unix_path != NULL || from.any.sa_family == AF_UNIX)
            add_credentials(fd, &peer);
        l->on_accept(l->ctx, fd, &peer);
    }
}

static void on_timer(struct timer *timer, struct now now)
{
    struct listener *l = CONTAINER_OF(timer, struct listener, timer);
    (void)now;
    uv_poll_start(l->poll, UV_READABLE, on_poll);
}

static void poll_gone(uv_handle_t *handle)
{
    free(handle);
}

enum status listener_from_socket(struct loop *loop, int fd, listener_accept_fn *on_accept, void *ctx,
                                 struct listener **ret_listener, struct why *why)
{
    struct listener *l = calloc(1, sizeof *l);
    uv_poll_t *poll = calloc(1, sizeof *poll);
    if (l == NULL || poll == NULL || uv_poll_init(&loop->uv, poll, fd) != 0) {
        free(l);
        free(poll);
        close(fd);
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    }
    l->loop = loop;
    l->fd = fd;
    l->port = port_of(fd);
    l->poll = poll;
    l->on_accept = on_accept;
    l->ctx = ctx;
    poll->data = l;
    timer_init(&l->timer, on_timer);
    uv_poll_start(poll, UV_READABLE, on_poll);
    *ret_listener = l;
    return ST_OK;
}

enum status listener_new(struct loop *loop, const struct listener_settings *settings,
                         listener_accept_fn *on_accept, void *ctx, struct listener **ret_listener,
                         struct why *why)
{
    int fd;
    struct listener *l;
    enum status st = listener_socket(settings, &fd, NULL, why);
    if (st == ST_OK)
        st = listener_from_socket(loop, fd, on_accept, ctx, &l, why);
    if (st != ST_OK)
        return st;
    if (settings->unix_path != NULL) {
        l->unix_path = strdup(settings->unix_path);
        if (l->unix_path == NULL) {
            listener_free(l);
            return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
        }
    }
    *ret_listener = l;
    return ST_OK;
}

void listener_free(struct listener *l)
{
    if (l == NULL)
        return;
    timer_stop(&l->loop->wheel, &l->timer);
    l->poll->data = NULL;
    uv_poll_stop(l->poll);
    uv_close((uv_handle_t *)l->poll, poll_gone);
    close(l->fd);
    if (l->unix_path != NULL)
        (void)unlink(l->unix_path);
    free(l->unix_path);
    free(l);
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}
