/* net/listener_priv.h - peer addresses, for http_server.c too. */
#ifndef SYMBOLON_NET_LISTENER_PRIV_H
#define SYMBOLON_NET_LISTENER_PRIV_H

#include "net/listener.h"

#include <sys/socket.h>

/* Everything but a unix peer's credentials. */
void net_peer_of(const struct sockaddr *from, struct net_peer *out);

#endif
