/* token/token.h - a verified proof-of-possession token: what an authorization server said, checked.
 * Made by token_verify() or token_from_introspection() only (token/verifier.h), so holding a `struct token`
 * means that every check of AF-63 was passed at that moment. Possession of `cnf` is still to be proved
 * (token/auth_data.h), `cnonce` freshness is the caller's, and the life time goes on running.
 * Ownership: reference counted; every span lives as long as the token.
 * Threads:   immutable; the count is atomic. */
#ifndef SYMBOLON_TOKEN_TOKEN_H
#define SYMBOLON_TOKEN_TOKEN_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/span.h"
#include "crypto/key.h"
#include "scope/scope.h"

#define TOKEN_HASH_LEN 32

struct token {
    unsigned refs; /* atomic; not for users */

    struct span iss;       /* the issuer whose key protected it, or who was asked: always set */
    struct span sub;       /* .p == NULL: absent; as all below */
    struct span client_id; /* RFC 8693 §4.3 */
    struct span aud;       /* the one of our audiences that it names */
    struct span jti;
    struct span cnonce; /* decoded bytes (AF-17, AF-19) */

    bool has_exp;
    bool has_exi;
    struct wall_time exp; /* first second in which it is no longer valid, by the issuer's clock */
    int64_t exi_s;        /* life from first receipt (AF-75) */
    bool has_iat;
    bool has_nbf;
    struct wall_time iat;
    struct wall_time nbf;

    struct scope *scope;                    /* never NULL; empty when the claim is absent or [] (MT-83) */
    struct key *cnf;                        /* never NULL: a public key, or the shared secret */
    uint8_t cnf_thumbprint[TOKEN_HASH_LEN]; /* RFC 7638: the index for "one token per PoP key" (MT-33) */
    uint8_t hash[TOKEN_HASH_LEN];           /* SHA-256 of the token as received: "the same token" (MT-73) */

    uint32_t skew_s; /* what the verifier tolerates */
    bool by_introspection;
    bool encrypted; /* some layer was encrypted */
};

struct token *token_ref(const struct token *token); /* counts are not part of its value: const in, usable out */
void token_unref(struct token *token);              /* NULL does nothing */
void token_unrefp(struct token **token);

/* When it ends for a receiver that first saw it at `first_seen`: the earlier of exp + skew_s, as token_verify() sees
 * it, and first_seen + exi.
 * False if it has neither (only when the verifier is configured to take such tokens). */
bool token_end(const struct token *token, struct wall_time first_seen, struct wall_time *ret_end);

/* exi tokens: jti = base64url(rs_id | 8-byte big-endian sequence number) (AF-76, AF-77). */
enum status token_exi_jti_write(struct span rs_id, uint64_t sequence, struct buf *out) MUST_CHECK;
enum status token_exi_jti_read(struct span jti, struct span rs_id, uint64_t *ret_sequence) MUST_CHECK;

#endif
