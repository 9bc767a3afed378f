/* token/token_priv.h - how a token is put together, inside this module. */
#ifndef SYMBOLON_TOKEN_TOKEN_PRIV_H
#define SYMBOLON_TOKEN_TOKEN_PRIV_H

#include "base/reader.h"
#include "codec/json.h"
#include "cose/cose.h"
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
    struct span kid; /* the key's name with us; .p == NULL: none */
};

/* A layer of a token, in JOSE or in COSE: one of the two is set. */
struct signed_layer {
    const struct jws *jws;
    const struct cose *cose; /* COSE_Sign1 or COSE_Mac0 */
};
struct encrypted_layer {
    const struct jwe *jwe;
    const struct cose *cose; /* COSE_Encrypt0 */
};

/* The one key that may have signed: kid equal (or absent, and then only one key fits), kind and alg fitting
 * (tokens.md section 6 step 5). Issuers may use the same kid: then only the claimed `iss`, read from the payload
 * unverified, chooses between them, and no second key is tried (TK-44). */
enum status verifier_signing_key(const struct verifier *v, const struct signed_layer *layer,
                                 struct verifier_choice *ret, struct why *why) MUST_CHECK;
/* True if the token claims an issuer of ours other than this one (unverified). */
bool verifier_names_other_issuer(const struct verifier *v, const struct signed_layer *layer, size_t issuer);
/* The one shared key that may open it; of issuer `only`, unless that is VERIFIER_ANY_ISSUER. */
#define VERIFIER_ANY_ISSUER SIZE_MAX
enum status verifier_shared_key_for(const struct verifier *v, const struct encrypted_layer *layer, size_t only,
                                    struct verifier_choice *ret, struct why *why) MUST_CHECK;
struct span verifier_iss(const struct verifier *v, size_t issuer);
bool verifier_find_issuer(const struct verifier *v, struct span iss, size_t *ret_issuer);
const struct claim_rules *verifier_rules(const struct verifier *v, size_t issuer); /* may be NULL */
bool verifier_keeps_text(const struct verifier *v, size_t issuer);
/* By what the issuer calls us, or what all do. */
bool verifier_find_audience(const struct verifier *v, size_t issuer, struct span aud, struct span *ret_ours);
/* True if `key` protects tokens (TK-58). */
bool verifier_protects_with(const struct verifier *v, const struct key *key);
const struct verifier_config *verifier_settings(const struct verifier *v); /* the scalar members */

/* What a token is known by: hash and twin of struct token. */
struct token_name {
    bool known;
    bool has_twin;
    uint8_t hash[TOKEN_HASH_LEN], twin[TOKEN_HASH_LEN];
};

/* What is known after some layers have been taken off. */
struct opened {
    size_t issuer; /* VERIFIER_ANY_ISSUER before the first layer */
    bool encrypted;
    bool nested;            /* what came out is a token again */
    struct token_name name; /* by the first layer that not just anybody could have put on */
};

/* Takes `bytes` for what the token is known by, unless a layer further out was. */
enum status opened_hash(struct opened *o, struct span bytes) MUST_CHECK;
/* The same for an ES256 signature: with the lesser s, and with the greater. */
enum status opened_hash_twins(struct opened *o, struct span lesser, struct span greater) MUST_CHECK;
/* The name of a token that was not read, but asked about: the one it has when it is read, if it can be. */
enum status token_name_of(const struct verifier *v, struct span token, struct token_name *ret) MUST_CHECK;

/* All layers must be one issuer's: an inner token of somebody else has not been vouched for by the outer one. */
enum status opened_by(struct opened *o, size_t issuer, struct why *why) MUST_CHECK;

/* Takes one layer of COSE off `bytes` into `out` (RFC 8392 7.2). */
enum status cwt_open_layer(const struct verifier *v, struct span bytes, bool outermost, struct opened *o,
                           struct buf *out, struct why *why) MUST_CHECK;
/* The claims of a CWT under their JWT names, for those rules that both kinds share. A value of a kind that the claim
 * does not have there becomes null, which no rule takes. cti, cnf and scope, which have forms of their own, are left
 * in `claims`. */
enum status cwt_claims_to_js(const struct cb *claims, struct js **ret_js, struct why *why) MUST_CHECK;

/* Where claims come from. */
struct claims_source {
    size_t issuer;     /* whose key protected them, or who was asked */
    struct span token; /* as received */
    struct token_name name;
    enum token_format format;
    bool encrypted; /* some layer was: a secret may stand in the clear inside (TK-55) */
    bool by_introspection;
    const struct cb *cwt; /* TOKEN_CWT: the claims as they stand there; else NULL */
};
/* AF-63 from step 2 on. */
enum status claims_accept(const struct verifier *v, const struct claims_source *source, const struct js *claims,
                          struct wall_time now, struct token **ret_token, struct why *why) MUST_CHECK;

/* What an issuer must not do, whatever its caller asks. `protector` may be NULL. */
enum status claims_check(const struct token_claims *claims, const struct key *protector,
                         struct why *why) MUST_CHECK;

/* What a cnf claim names. */
struct cnf {
    enum token_cnf how;
    struct key *key; /* TOKEN_CNF_KEY */
    struct buf kid;  /* TOKEN_CNF_KID, or the key's name; has_kid tells an empty one from none */
    bool has_kid;
    uint8_t x5t[TOKEN_HASH_LEN]; /* TOKEN_CNF_X5T */
};
void cnf_init(struct cnf *cnf);
void cnf_done(struct cnf *cnf);

/* The one usable key of a cnf claim, or the one name of a key (TK-1, TK-2, TK-55 to TK-58). */
enum status cnf_read(const struct verifier *v, const struct claims_source *source, const struct js *claim,
                     struct cnf *out, struct why *why) MUST_CHECK;
enum status cnf_read_cwt(const struct verifier *v, const struct claims_source *source, struct cnf *out,
                         struct why *why) MUST_CHECK;
/* What a claim comes to, once its key has been read (with the key's own kid) and its x5t: the kid of the claim itself is
 * given here. Refuses none and more than one. */
enum status cnf_settle(struct cnf *cnf, const struct buf *kid, bool has_kid, bool has_x5t,
                       struct why *why) MUST_CHECK;
/* What both ask of a PoP key besides its own members: strength, and that it protects no tokens. */
enum status cnf_check_key(const struct verifier *v, const struct key *key, struct why *why) MUST_CHECK;

#endif
