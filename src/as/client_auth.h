/* as/client_auth.h - who is asking: client authentication at the token, introspection and revocation endpoints
 * (RFC 6749 2.3, RFC 7523 2.2, RFC 8705 2.2; AF-20).
 *   client_secret_basic, client_secret_post     secrets are ours: 256 random bits, kept as SHA-256
 *   private_key_jwt                             aud: the issuer or the token endpoint; each jti once
 *   self_signed_tls_client_auth                 the certificate's x5t#S256 is registered, whoever issued it
 * Exactly one of them per request (RFC 6749 2.3). Unknown clients and wrong credentials get one answer, and too many
 * wrong ones from one address have to wait.
 * Failure: ST_BAD_CREDENTIAL (invalid_client), ST_MALFORMED (invalid_request), ST_QUOTA (429), ST_IO. */
#ifndef SYMBOLON_AS_CLIENT_AUTH_H
#define SYMBOLON_AS_CLIENT_AUTH_H

#include "as/as_priv.h"
#include "as/registry.h"

enum auth_method { AUTH_SECRET_BASIC, AUTH_SECRET_POST, AUTH_PRIVATE_KEY_JWT, AUTH_TLS };
const char *auth_method_name(enum auth_method method); /* as registered with IANA */

struct auth {
    struct principal principal; /* in the call's arena */
    enum auth_method method;
    struct key *key; /* whose possession was just proved: the assertion's or the certificate's; else NULL */
};

/* `out` is given back with auth_done(), also after a failure. */
enum status client_auth(struct call *call, const struct js *params, struct auth *out) MUST_CHECK;
void auth_done(struct auth *auth);

#endif
