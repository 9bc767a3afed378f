/* as/admin_socket.h - the unix socket of docs/as-admin-protocol.md: lines in, lines out; only for root and the user we
 * run as (SO_PEERCRED). */
#ifndef SYMBOLON_AS_ADMIN_SOCKET_H
#define SYMBOLON_AS_ADMIN_SOCKET_H

#include "as/as.h"
#include "net/loop.h"

struct admin_socket;

enum status admin_socket_new(struct loop *loop, const char *path, struct as *as,
                             struct admin_socket **ret_socket, struct why *why) MUST_CHECK;
/* Open connections are cut. NULL is fine. */
void admin_socket_free(struct admin_socket *socket);

#endif
