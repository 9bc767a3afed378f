/* as/pop_key.h - symmetric PoP keys (AF-26): derived, not stored.
 * key = HKDF-SHA256(master, info = "symbolon pop key" | kid), kid = 128 random bits per token. So introspection can
 * answer with the key (AF-45) and a client can have rights changed on a key it already holds (RFC 9200 5.8.1), while
 * the database holds no key that a copy of it would give away. Each kid belongs to one client at one resource server:
 * no key serves two (AF-30, AF-92). The master is a file of its own (0600). */
#ifndef SYMBOLON_AS_POP_KEY_H
#define SYMBOLON_AS_POP_KEY_H

#include "crypto/key.h"

#define POP_KEY_LEN   32
#define POP_KID_BYTES 16

enum status pop_key_derive(const struct key *master, struct span kid, struct key **ret_key,
                           struct why *why) MUST_CHECK;

#endif
