/* token/fuzz_verifier_priv.h - the verifier that this module's fuzz targets share: fixed keys, fixed names. */
#ifndef SYMBOLON_TOKEN_FUZZ_VERIFIER_PRIV_H
#define SYMBOLON_TOKEN_FUZZ_VERIFIER_PRIV_H

#include "token/verifier.h"

#define FUZZ_NOW ((struct wall_time){ 1000000 })
#define FUZZ_ISS SPAN("https://as.example")

static inline struct key *fuzz_key(void)
{
    static struct key *key;
    if (key == NULL)
        ASSERT(key_new_secret(SPAN("a secret that no input can guess"), &key, NULL) == ST_OK);
    return key;
}

/* An issuer with an HS256 key "m" that also is its shared key "s", and another whose key has the same kid but is not
 * used by any target; the audience "broker". */
static inline const struct verifier *fuzz_verifier(void)
{
    static struct verifier *verifier;
    CLEANUP(jwks_unrefp)
    struct jwks *jwks = NULL;
    CLEANUP(jwks_unrefp)
    struct jwks *others = NULL;
    CLEANUP(key_unrefp)
    struct key *other = NULL;

    if (verifier != NULL)
        return verifier;
    ASSERT(jwks_make(&(struct jwk){ fuzz_key(), SPAN("m"), SPAN_NONE, UINT32_MAX }, 1, &jwks) == ST_OK);
    ASSERT(key_generate(KEY_SECRET, &other) == ST_OK);
    ASSERT(jwks_make(&(struct jwk){ other, SPAN("m"), SPAN_NONE, UINT32_MAX }, 1, &others) == ST_OK);
    const struct verifier_issuer issuers[] = { { FUZZ_ISS, jwks }, { SPAN("https://as2.example"), others } };
    const struct verifier_shared_key shared = { FUZZ_ISS, SPAN("s"), fuzz_key() };
    const struct span audience = SPAN("broker");
    const struct verifier_config config = { .issuers = issuers,
                                            .n_issuers = 2,
                                            .audiences = &audience,
                                            .n_audiences = 1,
                                            .shared_keys = &shared,
                                            .n_shared_keys = 1,
                                            .skew_s = 10 };
    ASSERT(verifier_new(&config, &verifier, NULL) == ST_OK);
    return verifier;
}

/* What holding a token means (token/token.h). */
static inline void fuzz_check_token(const struct token *token)
{
    struct wall_time end;

    ASSERT(span_eq(token->iss, FUZZ_ISS) && span_eq(token->aud, SPAN("broker")));
    ASSERT(token->scope != NULL && (token->cnf != NULL) == (token->cnf_how == TOKEN_CNF_KEY));
    ASSERT(token->cnf_how != TOKEN_CNF_KID || token->cnf_kid.len > 0);
    ASSERT(token->cnf == NULL || !key_same(token->cnf, fuzz_key()));
    ASSERT(token->cnf == NULL || key_kind(token->cnf) == KEY_SECRET || !key_is_private(token->cnf));
    ASSERT(token_end(token, FUZZ_NOW, &end) && end.s > FUZZ_NOW.s);
}

#endif
