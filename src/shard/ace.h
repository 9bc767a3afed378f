/* shard/ace.h - Enhanced Authentication with method "ace" (RFC 9431 2.2.4.2, 4; MQTT5 4.12): from the
 * Authentication Data of a CONNECT, or an AUTH that re-authenticates, to a token whose key was proved.
 *
 *   IDLE --token and exporter proof--> proved             (CONNECT only, once per TLS session: MT-61, MT-103)
 *   IDLE --token alone--> CHALLENGED --answer--> proved   (CONNECT and re-authentication)
 *   RESOLVING stands in front of either while the AS or its keys are asked about the token.
 * A challenge is used once; whatever comes of the answer, it is gone (MT-62). Nothing of an unproved token has any
 * effect on the connection. Ownership: inside a conn; ace_done(). */
#ifndef SYMBOLON_SHARD_ACE_H
#define SYMBOLON_SHARD_ACE_H

#include "base/timer.h"
#include "shard/inquiry.h"
#include "token/auth_data.h"
#include "token/token.h"

struct conn;
struct shard;

enum ace_phase { ACE_IDLE, ACE_RESOLVING, ACE_CHALLENGED };

struct ace {
    enum ace_phase phase;
    bool in_use; /* the CONNECT named the method: CONNACK and AUTH repeat it, AUTH 0x19 is possible */
    bool proved_by_challenge; /* D-15 */
    uint8_t rs_nonce[ACE_NONCE_LEN];
    struct token *token; /* verified; proved or about to be */
    struct key *key;     /* to check the proof with: the token's, or that of the certificate it names */
    struct inquiry inquiry;
    uint8_t *pop; /* what came with the token, while RESOLVING */
    size_t pop_len;
    struct timer timer; /* re-authentication; a CONNECT has the connection's */
};

void ace_init(struct ace *ace);
void ace_done(struct conn *c);

/* Authentication Data of a CONNECT, or of AUTH 0x19 (`reauth`). ST_OK: ace.token is proved. ST_PENDING: it goes on
 * later, through on_auth() or when the token was looked up. Else refused, and ace.token is NULL. */
enum status ace_begin(struct conn *c, struct span data, bool reauth, struct why *why) MUST_CHECK;

/* MT-60: a CONNECT with the method but without data, for the token that the session of this Client Identifier rests
 * on. The identifier is anybody's to claim: the proof decides. */
enum status ace_begin_stored(struct conn *c, struct span client_id, struct why *why) MUST_CHECK;

/* On the wire whatever is wrong with token, data or proof is 0x87 (MT-90), unless it is our own trouble; the status
 * keeps the difference for the log. */
uint8_t ace_reason_code(enum status st);

/* A CONNECT waited too long for the client's answer, or for the AS. */
void ace_timed_out(struct conn *c);

#endif
