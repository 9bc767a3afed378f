/* shard/peer.h - what a peer's address as text says. Pure. */
#ifndef SYMBOLON_SHARD_PEER_H
#define SYMBOLON_SHARD_PEER_H

#include "base/span.h"

/* Whom it counts as: "192.0.2.1:49152" is 192.0.2.1; "[2001:db8:1:2::7]:49152" is 2001:db8:1:2, for a /64 is one party's to
 * number. A part of `peer`. */
struct span peer_source(struct span peer);

#endif
