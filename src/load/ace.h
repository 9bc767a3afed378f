/* load/ace.h - what a client with a token says (RFC 9431), of any that measures or strains a broker: the proof at CONNECT, AUTH, and the
 * answer to a challenge. Nothing is kept; errors are of libraries, of room, and of a login without TLS. Any thread. */
#ifndef SYMBOLON_LOAD_ACE_H
#define SYMBOLON_LOAD_ACE_H

#include "crypto/key.h"
#include "load/link.h"
#include "mqtt/packet.h"

/* Token and proof of possession of its key, over this connection's exporter value, into a CONNECT of either version, whose spans lie
 * in `data` and `pop`. */
enum status ace_prove(const struct link *link, const struct key *key, struct span token,
                      struct mqtt_connect *connect, struct buf *data, struct buf *pop,
                      struct why *why) MUST_CHECK;

/* An AUTH packet, appended. */
void ace_write_auth(struct buf *out, uint8_t reason, struct span data);

/* The Authentication Data that answers the broker's challenge, with a nonce of our own, appended. */
enum status ace_answer(const struct key *key, struct span rs_nonce, struct buf *data) MUST_CHECK;

#endif
