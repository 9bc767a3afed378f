/* as/admin_socket.h - the unix socket of docs/as-admin-protocol.md: lines in, lines out. For root and the user we run
 * as (SO_PEERCRED), and for whoever shows the admin credential. */
#ifndef SYMBOLON_AS_ADMIN_SOCKET_H
#define SYMBOLON_AS_ADMIN_SOCKET_H

#include "as/as.h"
#include "net/loop.h"

struct admin_socket;

struct admin_socket_settings {
    const char *path;
    const char *group;           /* may connect, too: mode 0660; NULL: 0600 */
    struct span credential;      /* as its file holds it; empty: no other user is served */
    int64_t failures_per_minute; /* wrong credentials of one user */
};

/* `settings` is read here and not kept. */
enum status admin_socket_new(struct loop *loop, const struct admin_socket_settings *settings, struct as *as,
                             struct admin_socket **ret_socket, struct why *why) MUST_CHECK;
/* Open connections are cut. NULL is fine. */
void admin_socket_free(struct admin_socket *socket);

#endif
