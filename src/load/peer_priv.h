/* load/peer_priv.h - what the parts of a peer share. */
#ifndef SYMBOLON_LOAD_PEER_PRIV_H
#define SYMBOLON_LOAD_PEER_PRIV_H

#include "load/peer.h"

/* One packet was appended to link_plain(). */
void peer_sent(struct peer *peer);
/* What was asked is answered: how long it took, ns. */
int64_t peer_answered(struct peer *peer);

/* peer_ace.c: token and proof of possession of its key over this TLS session's exporter value, into a CONNECT, whose
 * spans lie in `data` and `pop`. */
enum status peer_prove(struct peer *peer, struct mqtt_connect *connect, struct buf *data, struct buf *pop,
                       struct why *why) MUST_CHECK;
void peer_got_auth(struct peer *peer, const struct mqtt_frame *frame);

#endif
