/* token/token.h - a verified proof-of-possession token: what an authorization server said, checked.
 * Made by token_verify() or token_from_introspection() only (token/verifier.h), token_built_in() and token_of_remains(), so holding a `struct token`
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

enum token_format { TOKEN_JWT, TOKEN_CWT, TOKEN_REFERENCE };

/* How `cnf` names the key: the key itself (perhaps encrypted), or something it is found by. */
enum token_cnf { TOKEN_CNF_KEY, TOKEN_CNF_KID, TOKEN_CNF_X5T };

struct token {
    unsigned refs; /* atomic; not for users */
    enum token_format format;

    struct span iss;       /* the issuer whose key protected it, or who was asked: always set */
    struct span sub;       /* .p == NULL: absent; as all below */
    struct span client_id; /* RFC 8693 §4.3 */
    struct span aud;       /* the one of our audiences that it names */
    struct span jti;       /* text of a JWT; the raw bytes of a CWT's cti */
    struct span cnonce;    /* decoded bytes (AF-17, AF-19) */

    bool has_exp;
    bool has_exi;
    struct wall_time exp; /* first second in which it is no longer valid, by the issuer's clock */
    int64_t exi_s;        /* life from first receipt (AF-75) */
    bool has_iat;
    bool has_nbf;
    struct wall_time iat;
    struct wall_time nbf;

    struct scope *scope; /* never NULL; empty when the claim is absent or [] (MT-83) */

    enum token_cnf cnf_how;
    struct key *cnf;     /* a public key, or the shared secret; NULL unless TOKEN_CNF_KEY */
    struct span cnf_kid; /* raw bytes: the key's kid if it has one; all there is with TOKEN_CNF_KID */
    /* TOKEN_CNF_KEY: RFC 7638, the index for "one token per PoP key" (MT-33). TOKEN_CNF_X5T: SHA-256 of the
     * certificate (DER). TOKEN_CNF_KID: zeros. */
    uint8_t cnf_thumbprint[TOKEN_HASH_LEN];

    struct span
        text; /* what was presented, where the verifier keeps that (verifier_issuer.keep_text); else absent */
    /* What it is known by: SHA-256 of what its issuer made, JWT or reference text or raw CWT (MT-73). Of a CWT, tags and
     * unprotected headers do not count (token/cwt.c), nor does encryption that anybody can add to a JWT. */
    uint8_t hash[TOKEN_HASH_LEN];
    /* A signature by ES256 has a twin, which anybody can make (crypto/sign.h). Whichever was presented, `hash` is of the
     * token with the lesser s; the issuer, who may have made the other, may call it by `twin`. */
    bool has_twin;
    uint8_t twin[TOKEN_HASH_LEN];

    uint32_t skew_s; /* what the verifier tolerates */
    bool by_introspection;
    uint64_t
        news; /* which news of changed tokens the answer can know of (token_store_news()); 0 if not by_introspection */
    bool encrypted; /* some layer was encrypted */
    bool no_clock;  /* the verifier has none: exp - iat is a length, not a date */
    bool built_in;  /* token_built_in(): nobody's, never ends */
};

struct token *token_ref(const struct token *token); /* counts are not part of its value: const in, usable out */
void token_unref(struct token *token);              /* NULL does nothing */
void token_unrefp(struct token **token);

/* A token of TOKEN_CNF_KID with the key that its kid names, which the caller has found and may use: from then on as
 * if cnf had held the key itself. A new token, one reference; the key is referenced. */
enum status token_bind_key(const struct token *token, const struct key *key,
                           struct token **ret_token) MUST_CHECK;

/* What a program grants to a part of itself, without a token of anybody: iss and sub are `name`, no end, no key. For a
 * connection that comes from nowhere but that part. References the scope. */
enum status token_built_in(struct span name, struct scope *scope, struct token **ret_token) MUST_CHECK;

/* What is left of a token whose text is gone: whose it was and what it was known by, to be compared with another. It holds no
 * key and permits nothing (`nothing`, an empty scope, is referenced), whoever has it. Spans are copied. */
struct token_remains {
    struct span iss, sub, client_id; /* .p == NULL: absent */
    const uint8_t *cnf_thumbprint;   /* TOKEN_HASH_LEN bytes each */
    const uint8_t *hash;
    const uint8_t *twin; /* NULL: it has none */
};
enum status token_of_remains(const struct token_remains *remains, struct scope *nothing,
                             struct token **ret_token) MUST_CHECK;

/* When it ends for a receiver that saw it at `first_seen`: the earlier of exp and first_seen + exi; a token that comes
 * after its exp, but within skew_s, lives until exp + skew_s, as token_verify() sees it. Without a clock, first_seen +
 * (exp - iat) instead of the former. False if it has neither (only when the verifier is configured to take such tokens). */
bool token_end(const struct token *token, struct wall_time first_seen, struct wall_time *ret_end);

/* exi tokens: cti = rs_id | 8-byte big-endian sequence number, and jti = base64url of that (AF-76, AF-77). */
enum status token_exi_jti_write(struct span rs_id, uint64_t sequence, struct buf *out) MUST_CHECK;
enum status token_exi_jti_read(struct span jti, struct span rs_id, uint64_t *ret_sequence) MUST_CHECK;

#endif
