/* token/fixture_priv.h - for this module's tests: two authorization servers, one resource server, and tokens with
 * any claim changed. Time stands at FIXTURE_NOW. */
#ifndef SYMBOLON_TOKEN_FIXTURE_PRIV_H
#define SYMBOLON_TOKEN_FIXTURE_PRIV_H

#include "jose/jws.h"
#include "support/vectors.h"
#include "token/verifier.h"

#define ROOM        (1 << 18) /* for any token here */

#define FIXTURE_NOW 1000000
#define FIXTURE_ISS "https://as.example"
#define FIXTURE_AUD "broker.example"
/* the public key of RFC 8037 A.2 */
#define FIXTURE_CNF_JWK \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define FIXTURE_OCT_JWK "{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}"
#define FIXTURE_HEADER  "{\"alg\":\"EdDSA\",\"kid\":\"as-1\",\"typ\":\"at+jwt\"}"

struct fixture {
    struct key *as, *as_two; /* Ed25519, kids "as-1" and "as-2" of issuers as.example and as2.example */
    struct key *as_p256;     /* kid "as-p256" of as.example */
    struct key *shared;      /* 32 bytes, kid "rs-1", shared with as.example */
    struct key *shared_two;  /* 16 bytes, kid "rs-2", shared with as2.example */
    struct key *mac;         /* HS256, kid "mac-1" of as.example */
    struct verifier *verifier;
};

/* A claim set to other JSON text; NULL leaves it out. Names that the default set lacks are added. */
struct change {
    const char *name;
    const char *json;
};
#define CHANGES(...) ((const struct change[]){ __VA_ARGS__, { NULL, NULL } })
#define NO_CHANGE    ((const struct change[]){ { NULL, NULL } })

/* One for a group of tests: *state is a struct fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* The configuration behind f->verifier, for tests that want another. Arrays are static inside; the jwks must be
 * dropped by fixture_config_done(). */
struct fixture_config {
    struct verifier_config config;
    struct verifier_issuer issuers[2];
    struct verifier_shared_key shared[2];
    struct span audiences[2];
};
void fixture_config(const struct fixture *f, struct fixture_config *out);
void fixture_config_done(struct fixture_config *c);

/* The claims set as text. */
void fixture_claims(const struct change *changes, struct buf *out);
/* header.payload.signature with any header. `key` NULL leaves the signature empty. */
void fixture_sign(const char *header, struct span payload, const struct key *key, struct buf *out);
/* The claims set under any header, by any signer or none. */
void fixture_sign_claims(const char *header, const struct change *changes, const struct key *key,
                         struct buf *out);
/* Default header and signer. */
void fixture_token(const struct fixture *f, const struct change *changes, struct buf *out);
/* A JWE under a shared key of 16 or 32 bytes; `cty` may be NULL. */
void fixture_encrypt(const struct key *key, const char *kid, const char *cty, struct span text,
                     struct buf *out);

enum status fixture_verify(const struct fixture *f, struct span token, struct token **ret, struct why *why);
/* Signs a token with these changes and expects this refusal. */
void assert_refused(const struct fixture *f, const struct change *changes, enum status expected,
                    const char *clause);
/* The default claims under this header, signed by `key` or by nobody. */
void assert_signed_refused(const struct fixture *f, const char *header, const struct key *key,
                           enum status expected, const char *clause);
void assert_text_refused(const struct fixture *f, struct span token, enum status expected, const char *clause);
void assert_accepted(const struct fixture *f, const struct change *changes);

#endif
