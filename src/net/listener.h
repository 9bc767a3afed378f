/* net/listener.h - a listening socket on one loop: TCP, or a unix socket.
 * The callback owns the accepted descriptor (non-blocking, close-on-exec), usually giving it to stream_new().
 * Out of descriptors: pauses for a moment instead of spinning. */
#ifndef SYMBOLON_NET_LISTENER_H
#define SYMBOLON_NET_LISTENER_H

#include "net/loop.h"
#include "net/source.h"

#include <sys/types.h>

#define NET_ADDRESS_MAX 64

struct net_peer {
    char address[NET_ADDRESS_MAX]; /* "192.0.2.1:49152", "[2001:db8::1]:49152", or "unix" */
    bool is_loopback;
    struct net_source source;
    uid_t uid; /* of a unix peer (SO_PEERCRED); else (uid_t)-1 */
    gid_t gid;
    pid_t pid;
};

struct listener_settings {
    const char *address;   /* "0.0.0.0", "::", "127.0.0.1"; NULL with unix_path */
    uint16_t port;         /* 0: any free one */
    const char *unix_path; /* an old socket there is replaced if nobody listens on it */
    mode_t unix_mode;      /* 0: 0600 */
    int backlog;           /* 0: 1024 */
    bool later;            /* the address is taken, but nobody gets in before listener_listen() */
    bool share; /* SO_REUSEPORT: several sockets of ours on one port, the kernel spreads connections */
};

struct listener;
typedef void listener_accept_fn(void *ctx, int fd, const struct net_peer *peer);

enum status listener_new(struct loop *loop, const struct listener_settings *settings,
                         listener_accept_fn *on_accept, void *ctx, struct listener **ret_listener,
                         struct why *why) MUST_CHECK;
/* Stops accepting; a unix socket's file is removed. NULL is fine. */
void listener_free(struct listener *listener);
uint16_t listener_port(const struct listener *listener);
/* For a socket that was opened `later`; before its loop runs. */
enum status listener_listen(struct listener *listener, struct why *why) MUST_CHECK;

/* The socket alone, bound and (unless `later`) listening: for whoever brings his own accept (http_server), and to open a
 * privileged port before privileges are dropped. */
enum status listener_socket(const struct listener_settings *settings, int *ret_fd, uint16_t *ret_port,
                            struct why *why) MUST_CHECK;
enum status listener_from_socket(struct loop *loop, int fd_take, listener_accept_fn *on_accept, void *ctx,
                                 struct listener **ret_listener, struct why *why) MUST_CHECK;

#endif
