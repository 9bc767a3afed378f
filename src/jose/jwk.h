/* jose/jwk.h - keys as JSON: JWK (RFC 7517, 7518 §6, 8037) and its thumbprint (RFC 7638).
 * Spoken: "OKP" Ed25519, "EC" P-256, "oct"; "RSA" public keys, of issuers. Anything else is ST_UNSUPPORTED, so that a
 * set can skip it.
 * Ownership: `struct jwk` holds one reference to its key, dropped by jwk_done(); `kid` and `alg` are borrowed
 *            from the JSON value it was parsed from and live as long as that.
 * Failure:   ST_MALFORMED (not a JWK), ST_UNSUPPORTED (a kind we do not speak), ST_BAD_POP_KEY (a key that its
 *            own members, or what the caller wants, rule out), ST_NO_MEMORY.
 * Threads:   none of its own; `struct js` is for one thread. */
#ifndef SYMBOLON_JOSE_JWK_H
#define SYMBOLON_JOSE_JWK_H

#include "base/span.h"
#include "base/status.h"
#include "codec/json.h"
#include "crypto/key.h"

/* Private parts where a public key is wanted are refused, not dropped (TK-56): whoever sent them has already
 * shown them to somebody. */
enum jwk_want {
    JWK_PUBLIC,  /* Ed25519 or P-256 without "d" */
    JWK_PRIVATE, /* Ed25519 or P-256 with "d" that fits x (and y) */
    JWK_SECRET,  /* "oct" */
    JWK_ANY,     /* any of the three */
    JWK_ISSUER, /* what signs tokens: as JWK_PUBLIC, or an RSA key of 2048 to 4096 bits; never a PoP key (MT-64) */
    JWK_VERIFIER, /* the same, or a secret that an issuer MACs with: from files of our own, never from a network */
};

/* What `use` and `key_ops` leave allowed (RFC 7517 §4.2, 4.3; TK-57). Absent: everything. */
enum jwk_op { JWK_SIGN, JWK_VERIFY, JWK_ENCRYPT, JWK_DECRYPT, JWK_WRAP, JWK_UNWRAP, JWK_OPS };

struct jwk {
    struct key *key;
    struct span kid; /* .p == NULL: none */
    struct span alg; /* .p == NULL: none; else the one algorithm the key may serve */
    uint32_t ops;    /* IN(JWK_SIGN) ... */
};

enum status jwk_parse(const struct js *js, enum jwk_want want, struct jwk *out, struct why *why) MUST_CHECK;
void jwk_done(struct jwk *jwk);

/* True if neither `use`/`key_ops` nor `alg` forbids this operation under this algorithm name ("EdDSA"). */
bool jwk_allows(const struct jwk *jwk, enum jwk_op op, const char *alg);

/* A JWK object. `kid` may be SPAN_NONE and `alg` NULL: then left out. `with_private` prints "d"; "k" is always
 * printed, since a secret has no public part: the caller decides whether to print one at all. */
enum status jwk_print(const struct key *key, struct span kid, const char *alg, bool with_private,
                      struct js **ret_js) MUST_CHECK;

/* SHA-256 over the required members in lexicographic order (RFC 7638 §3, RFC 8037 §2). Same key, same bytes,
 * whether it carries its private part or not. */
#define JWK_THUMBPRINT_LEN  32
#define JWK_THUMBPRINT_TEXT 44 /* 43 base64url characters and a NUL */
enum status jwk_thumbprint(const struct key *key, uint8_t out[JWK_THUMBPRINT_LEN]) MUST_CHECK;
enum status jwk_thumbprint_text(const struct key *key, char out[JWK_THUMBPRINT_TEXT]) MUST_CHECK;

#endif
