/* token/claims.h - the issuing side: claims into a JWT, signed or encrypted, or into an introspection answer.
 * Everything in `struct token_claims` is borrowed. Absent: SPAN_NONE, NULL, has_x false.
 * The issuer's own duties are refused here rather than left to the verifier: a symmetric cnf only where the
 * text is encrypted (MT-14, TK-55), never a cnf that is the protecting key (TK-58), always a life time (TK-52),
 * a jti beside exi (AF-76), no private part in cnf (TK-56: only the public half is printed). */
#ifndef SYMBOLON_TOKEN_CLAIMS_H
#define SYMBOLON_TOKEN_CLAIMS_H

#include "base/buf.h"
#include "base/clock.h"
#include "codec/json.h"
#include "crypto/key.h"
#include "scope/scope.h"

#define ACE_PROFILE_MQTT_TLS      "mqtt_tls" /* RFC 9431 §7.3; CBOR 3 */
#define ACE_PROFILE_MQTT_TLS_CBOR 3
#define JWT_TYP                   "at+jwt"

struct token_claims {
    struct span iss;
    struct span sub;
    struct span client_id;
    struct span aud;
    struct span jti; /* text; for a CWT any bytes */
    bool has_exp, has_exi, has_iat, has_nbf;
    struct wall_time exp, iat, nbf;
    int64_t exi_s;
    const struct scope *scope; /* printed as base64url of its JSON (D-20) */
    const struct key *cnf;
    struct span cnf_kid;
    struct span cnf_x5t; /* instead of cnf: SHA-256 of the certificate the token is bound to (RFC 8705 3.1) */
    struct span cnonce;  /* bytes; printed base64url (AF-17, AF-19) */
    bool ace_profile;    /* print ace_profile: mqtt_tls */
};

/* A token: JWS under the AS's signing key. */
enum status token_issue_jws(const struct token_claims *claims, const struct key *signer, struct span signer_kid,
                            struct buf *out, struct why *why) MUST_CHECK;

/* A token only the RS can read: JWE (A128KW or A256KW with A256GCM; by the key's length) under the key AS and
 * RS share. `signer` may be NULL: the shared key already authenticates the AS (TK-22); else nested, signed
 * inside. */
enum status token_issue_jwe(const struct token_claims *claims, const struct key *signer, struct span signer_kid,
                            const struct key *shared, struct span shared_kid, struct buf *out,
                            struct why *why) MUST_CHECK;

/* The same claims as a CWT (RFC 8392): CBOR tag 61 around COSE_Sign1 under the AS's key, or around COSE_Encrypt0
 * (A128GCM or A256GCM; by the key's length) under the key AS and RS share, signed inside if `signer` is given. The
 * scope is a byte string that holds AIF in CBOR (AF-106), ace_profile is 3, `jti` the bytes of cti; client_id has no
 * CWT claim and is left out. `out` gets raw bytes; in JSON they travel as base64url. The IV is random, 96 bits: one key
 * must not protect more than 2^32 tokens (TK-67, SP 800-38D 8.3). */
enum status token_issue_cwt_sign1(const struct token_claims *claims, const struct key *signer,
                                  struct span signer_kid, struct buf *out, struct why *why) MUST_CHECK;
enum status token_issue_cwt_encrypt0(const struct token_claims *claims, const struct key *signer,
                                     struct span signer_kid, const struct key *shared, struct span shared_kid,
                                     struct buf *out, struct why *why) MUST_CHECK;

/* {"active":true, ...}: what the AS answers about a token (AF-45, AF-84). A symmetric cnf is printed: the
 * caller has authenticated the RS. For "inactive" print {"active":false} and nothing else (AF-83). */
enum status token_introspection_js(const struct token_claims *claims, struct js **ret_js) MUST_CHECK;

#endif
