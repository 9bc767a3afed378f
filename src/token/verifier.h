/* token/verifier.h - what a resource server believes, and the check of a token against it.
 * A verifier is a snapshot of settings and keys: issuers with their keys, our audiences, shared keys. It is
 * replaced whole when a JWKS or the settings change; tokens made by the former stay as they are.
 *
 * Order of checks (AF-63; tokens.md section 6), the first failure decides:
 *   size, format, header, key, signature or decryption (up to 3 layers), claims readable, iss, exp/nbf/iat/exi,
 *   aud, scope, cnonce present if required, profile (ace_profile, cnf).
 * Status: ST_OK; ST_MALFORMED not a token, or claims unreadable (MT-36: 0x99 on authz-info); ST_TOO_LARGE;
 *   ST_BAD_TOKEN; ST_TOKEN_EXPIRED; ST_BAD_SCOPE scope not understood (AF-63 step 6); ST_NO_MEMORY;
 *   ST_PENDING it is a reference and introspection is configured: ask the AS, then token_from_introspection().
 *   ST_BAD_TOKEN with verifier_key_unknown(&why): no key of ours fits; refresh the JWKS and try once more.
 * Threads: immutable after making; any thread may verify with it. The count is atomic. */
#ifndef SYMBOLON_TOKEN_VERIFIER_H
#define SYMBOLON_TOKEN_VERIFIER_H

#include "jose/jwe.h"
#include "jose/jwks.h"
#include "token/token.h"

struct claim_rules; /* token/claim_rules.h */

#define VERIFIER_MAX_ISSUERS   16
#define VERIFIER_MAX_AUDIENCES 16
#define VERIFIER_MAX_KEYS      16 /* shared keys */
#define TOKEN_MAX_BYTES        8192
#define TOKEN_MAX_LAYERS       3

/* An authorization server entitled to issue for us. */
struct verifier_issuer {
    struct span iss;                 /* compared exactly with the claim */
    struct jwks *jwks;               /* may be NULL until fetched; HS256 secrets are members of kind "oct" */
    const struct span *audiences;    /* what it calls us ... */
    size_t n_audiences;              /* ... 0: the common ones */
    const struct claim_rules *rules; /* NULL: the claims of ACE and nothing else; outlives the verifier */
    bool keep_text;                  /* tokens of his keep what was presented, so that he can be asked again */
};

/* A key under which one issuer encrypts to us: a secret it shares with us, or our private P-256 key, which proves
 * nothing about the sender, so that what is inside must be signed (MT-14, TK-22). */
struct verifier_shared_key {
    struct span iss; /* one of the issuers */
    struct span kid; /* SPAN_NONE: matches tokens without kid only */
    struct key *key;
};

struct verifier_config {
    const struct verifier_issuer *issuers;
    size_t n_issuers;
    const struct span *audiences;
    size_t n_audiences;
    const struct verifier_shared_key *shared_keys;
    size_t n_shared_keys;

    uint32_t skew_s;         /* tolerated clock difference, for exp, nbf and iat */
    uint32_t max_lifetime_s; /* 0: no limit; else a token that still lives longer is refused */
    size_t max_bytes;        /* 0: TOKEN_MAX_BYTES */
    bool introspection;      /* references are looked up: ST_PENDING instead of ST_MALFORMED */
    bool allow_no_lifetime;  /* neither exp nor exi is acceptable (TK-52): default no */
    bool require_cnonce;     /* AF-18; whether it is fresh is the caller's to know */
    /* We do not know the time (AF-15 to AF-18): exp, nbf and iat are not compared with it, a cnonce is required, and
     * token_end() counts life from first receipt: exi, or exp - iat. A token that has neither is refused. */
    bool no_clock;
};

struct verifier;

/* Copies and references everything in `config`. Refused: no issuer or audience, an issuer named twice, a shared
 * key of an unknown issuer or of a length no algorithm has. */
enum status verifier_new(const struct verifier_config *config, struct verifier **ret_verifier,
                         struct why *why) MUST_CHECK;
/* The same but for one issuer's key set: what a JWKS refresh makes. ST_NOT_FOUND if `iss` is not configured. */
enum status verifier_with_jwks(const struct verifier *verifier, struct span iss, struct jwks *jwks,
                               struct verifier **ret_verifier) MUST_CHECK;
struct verifier *verifier_ref(const struct verifier *verifier);
void verifier_unref(struct verifier *verifier);
void verifier_unrefp(struct verifier **verifier);

/* What bytes that should be a token look like (D-30), by their first bytes alone: nothing is believed yet. A CWT may
 * stand without a tag, as an array. */
enum token_form { TOKEN_FORM_JWS, TOKEN_FORM_JWE, TOKEN_FORM_COSE, TOKEN_FORM_REFERENCE, TOKEN_FORM_OTHER };
enum token_form token_form(struct span token);

enum status token_verify(struct span token, const struct verifier *verifier, struct wall_time now,
                         struct token **ret_token, struct why *why) MUST_CHECK;

/* True if a refusal of token_verify() was for want of a key. */
#define TOKEN_CLAUSE_KEY_UNKNOWN "TK-44 kid"
bool verifier_key_unknown(const struct why *why);

/* What the AS `iss` answered about `token` (RFC 7662 §2.2, AF-80..85, AF-45). The body must come over a channel
 * authenticated as that AS. ST_BAD_TOKEN for active:false (AF-83). */
#define INTROSPECTION_MAX_BYTES 65536
enum status token_from_introspection(struct span body, struct span token, struct span iss,
                                     const struct verifier *verifier, struct wall_time now,
                                     struct token **ret_token, struct why *why) MUST_CHECK;

#endif
