/* token/token_priv.h - how a token is put together, inside this module. */
#ifndef SYMBOLON_TOKEN_TOKEN_PRIV_H
#define SYMBOLON_TOKEN_TOKEN_PRIV_H

#include "base/reader.h"
#include "codec/json.h"
#include "jose/jws.h"
#include "token/claims.h"
#include "token/token.h"
#include "token/verifier.h"

/* Room for `bytes` of text behind the token; one reference. NULL when out of memory. */
struct token *token_alloc(size_t bytes) MUST_CHECK;
/* Copies into that room; SPAN_NONE stays SPAN_NONE. */
struct span token_keep(struct token *token, struct span s);

/* A verifier's keys. `issuer` is an index into its issuers. */
struct verifier_choice {
    size_t issuer;
    const struct key *key;
};

/* The one key that may have signed: kid equal (or absent, and then only one key fits), kind and alg fitting
 * (tokens.md section 6 step 5). Issuers may use the same kid: then only the claimed `iss`, read from `payload`
 * unverified, chooses between them, and no second key is tried (TK-44). */
enum status verifier_signing_key(const struct verifier *v, const struct jws *jws, struct verifier_choice *ret,
                                 struct why *why) MUST_CHECK;
/* True if the token claims an issuer of ours other than this one (unverified). */
bool verifier_names_other_issuer(const struct verifier *v, const struct jws *jws, size_t issuer);
/* The one shared key that may open it; of issuer `only`, unless that is VERIFIER_ANY_ISSUER. */
#define VERIFIER_ANY_ISSUER SIZE_MAX
enum status verifier_shared_key_for(const struct verifier *v, const struct jwe *jwe, size_t only,
                                    struct verifier_choice *ret, struct why *why) MUST_CHECK;
struct span verifier_iss(const struct verifier *v, size_t issuer);
bool verifier_find_issuer(const struct verifier *v, struct span iss, size_t *ret_issuer);
bool verifier_find_audience(const struct verifier *v, struct span aud, struct span *ret_ours);
/* True if `key` protects tokens (TK-58). */
bool verifier_protects_with(const struct verifier *v, const struct key *key);
const struct verifier_config *verifier_settings(const struct verifier *v); /* the scalar members */

/* Where claims come from. */
struct claims_source {
    size_t issuer;     /* whose key protected them, or who was asked */
    struct span token; /* as received */
    bool encrypted;    /* some layer was: a secret may stand in the clear inside (TK-55) */
    bool by_introspection;
};
/* AF-63 from step 2 on. */
enum status claims_accept(const struct verifier *v, const struct claims_source *source, const struct js *claims,
                          struct wall_time now, struct token **ret_token, struct why *why) MUST_CHECK;

/* What an issuer must not do, whatever its caller asks. `protector` may be NULL. */
enum status claims_check(const struct token_claims *claims, const struct key *protector,
                         struct why *why) MUST_CHECK;

/* The one usable key of a cnf claim (TK-1, TK-2, TK-55 to TK-58). */
enum status cnf_read(const struct verifier *v, const struct claims_source *source, const struct js *cnf,
                     struct key **ret_key, struct why *why) MUST_CHECK;

#endif
