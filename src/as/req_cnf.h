/* as/req_cnf.h - the key a client wants its token bound to, and whether it holds it (AF-25, AF-40 to AF-42).
 * RFC 9201 leaves the proof of possession to the profiles and RFC 9431 does not define one, so these count
 * (docs/decisions): the key in `req_cnf`
 *   (a) signed the client assertion of this request, or
 *   (b) is that of the TLS client certificate of this connection, or
 *   (c) signed `req_cnf_proof`, a JWT of type req-cnf+jwt with aud, iat, exp, jti and client_id, or
 *   (d) is the client's registered key.
 * `req_cnf` by kid names the registered key, the public key of a live token of this client (which was proved for that
 * one), or a symmetric key the client already holds from a live token of the same resource server (new rights on an old
 * key). `x5t#S256` is the certificate of this connection, and nothing else. A symmetric key by value is refused (AF-41).
 * Failure: ST_MALFORMED (invalid_request), ST_BAD_POP_KEY (unsupported_pop_key). */
#ifndef SYMBOLON_AS_REQ_CNF_H
#define SYMBOLON_AS_REQ_CNF_H

#include "as/client_auth.h"
#include "as/refresh.h"

struct pop {
    struct key *key;     /* public, or the symmetric key; NULL: bound to the certificate x5t */
    struct span jwk;     /* of a public key, as text in the arena */
    struct span jwk_kid; /* its kid, or else its thumbprint */
    struct span x5t;     /* SHA-256 of the certificate, in the arena */
    struct span kid;     /* of a symmetric key, in the arena; else SPAN_NONE */
    bool symmetric;
    bool made_here; /* the client does not know the key yet: the answer carries it (AF-43) */
};

enum status req_cnf(struct call *call, const struct js *params, const struct auth *auth,
                    const struct resource_server *rs, struct pop *out) MUST_CHECK;
/* The key of a refresh token's family, and that the client holds it still. `req_cnf` may be there, but has to name the
 * same one (AF-29). */
enum status req_cnf_refresh(struct call *call, const struct js *params, const struct auth *auth,
                            const struct resource_server *rs, const struct refresh *family,
                            struct pop *out) MUST_CHECK;
void pop_done(struct pop *pop);

#endif
