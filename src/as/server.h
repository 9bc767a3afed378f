/* as/server.h - the authorization server in the world: files, HTTPS, the admin socket, a timer. Everything of it runs
 * on one loop. */
#ifndef SYMBOLON_AS_SERVER_H
#define SYMBOLON_AS_SERVER_H

#include "as/settings.h"
#include "net/loop.h"

struct as_server;

/* Opens the state, makes what a first start needs, listens. `settings` and `loop` are lent. */
enum status as_server_new(struct loop *loop, const struct as_settings *settings, struct as_server **ret_server,
                          struct why *why) MUST_CHECK;
/* The certificate, its key and the authority for clients' certificates, of `settings` or the same files as they are now, for
 * connections from now on. On failure it goes on with what it has. */
enum status as_server_reload(struct as_server *server, const struct as_settings *settings,
                             struct why *why) MUST_CHECK;
void as_server_free(struct as_server *server); /* stops at once; NULL is fine */
uint16_t as_server_port(const struct as_server *server);

#endif
