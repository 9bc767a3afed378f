/* net/line_socket.h - a unix socket of a daemon on which each line gets an answer, one after the other: the AS's admin
 * socket and the broker's control socket. For root and the user we run as (SO_PEERCRED), and for whoever logs in.
 * What the lines say is the caller's affair; it makes refusals, too, in its own words.
 * Bounded: lines, answers that are not read, connections, the time to log in. */
#ifndef SYMBOLON_NET_LINE_SOCKET_H
#define SYMBOLON_NET_LINE_SOCKET_H

#include "base/buf.h"
#include "net/loop.h"

#include <sys/types.h>

struct line_socket;
struct line_peer; /* one connection; goes when its last answer was given and it is closed */

#define LINE_ACTOR_MAX 32

struct line_socket_settings {
    const char *clause; /* in the log and in refusals: "admin_socket" */
    const char *path;
    const char *group; /* may connect, too: mode 0660; NULL: 0600 */
    size_t line_max;
    /* One line, without its end (none at all: it was too long; the connection then ends). To be answered with
     * line_answer(), now or later; no other line of this connection comes before that. */
    void (*on_line)(void *ctx, struct line_peer *peer, struct span line);
    /* The first line of a connection: is it a login, and the right one? ST_DENIED: it is none, so that root and our own
     * user may go on. May be NULL. */
    enum status (*login)(void *ctx, struct span line, struct span actor, struct mono_time now, struct why *why);
    bool strangers; /* others may log in; if not, they are not even heard */
    void (*put_error)(struct buf *out, enum status st, const struct why *why);
    void *ctx;
};

/* `settings` is copied, without the texts: `path` and `group` are read here, `clause` is static. */
enum status line_socket_new(struct loop *loop, const struct line_socket_settings *settings,
                            struct line_socket **ret_socket, struct why *why) MUST_CHECK;
/* Open connections are cut; answers that are still owed go nowhere. NULL is fine. */
void line_socket_free(struct line_socket *socket);

struct span line_actor(const struct line_peer *peer); /* "uid:0" */
/* Exactly once for each on_line(); the text ends with its line's end. `peer` may be gone after it. */
void line_answer(struct line_peer *peer, struct span answer);

#endif
