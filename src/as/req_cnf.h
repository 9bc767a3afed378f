/* as/req_cnf.h - the key a client wants its token bound to, and whether it holds it (AF-25, AF-40 to AF-42).
 * RFC 9201 leaves the proof of possession to the profiles and RFC 9431 does not define one, so these count
 * (docs/decisions): the key in `req_cnf`
 *   (a) signed the client assertion of this request, or
 *   (b) is that of the TLS client certificate of this connection, or
 *   (c) signed `req_cnf_proof`, a JWT of type req-cnf+jwt with aud, iat, exp, jti and client_id, or
 *   (d) is the client's registered key.
 * `req_cnf` by kid names the registered key, or a symmetric key the client already holds from a live token of the
 * same resource server (new rights on an old key). A symmetric key by value is refused (AF-41).
 * Failure: ST_MALFORMED (invalid_request), ST_BAD_POP_KEY (unsupported_pop_key). */
#ifndef SYMBOLON_AS_REQ_CNF_H
#define SYMBOLON_AS_REQ_CNF_H

#include "as/client_auth.h"

struct pop {
    struct key *key; /* public, or the symmetric key */
    struct span kid; /* of a symmetric one, in the arena; else SPAN_NONE */
    bool symmetric;
    bool made_here; /* the client does not know the key yet: the answer carries it (AF-43) */
};

enum status req_cnf(struct call *call, const struct js *params, const struct auth *auth,
                    const struct resource_server *rs, struct pop *out) MUST_CHECK;
void pop_done(struct pop *pop);

#endif
