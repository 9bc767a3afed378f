/* shard/known.h - TLS:Known (RFC 9431 2.2.1; MT-23, MT-25, MT-129): a client whose key TLS has proved, and the token
 * that goes with that key:
 *   raw public key   the token kept under its thumbprint
 *   pre-shared key   the identity is a token, or names the key of a kept one by kid (MT-27, MT-28)
 *   certificate      the token kept under its x5t#S256
 * Asked at CONNECT, whatever the handshake found: tokens come and go. */
#ifndef SYMBOLON_SHARD_KNOWN_H
#define SYMBOLON_SHARD_KNOWN_H

#include "token/token.h"

struct conn;

/* ST_OK with *ret_token NULL: TLS says nothing of this client, or nothing that a token is kept for. Refused: a
 * pre-shared key whose token is not valid any more. */
enum status known_token(struct conn *c, struct token **ret_token, struct why *why) MUST_CHECK;

/* A part of this program (IDENTITY_BUILT_IN), and no client from outside. */
bool known_built_in(const struct conn *c);

/* ST_OK: TLS has proved possession of the certificate that `token` names by x5t#S256. `ret_key` (may be NULL): its
 * public key, a reference. */
enum status known_certificate(struct conn *c, const struct token *token, struct key **ret_key,
                              struct why *why) MUST_CHECK;

#endif
