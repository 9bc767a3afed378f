/* The confirmation claim: which key the holder must prove (RFC 7800 3, RFC 8747 3; tokens.md section 1).
 * Usable are jwk and jwe. A bare kid, a thumbprint or a jku names a key we would have to find elsewhere: not
 * usable, and nothing is ever fetched. */
#include "token/token_priv.h"

#include "jose/jwk.h"

#define POP_SECRET_MIN 16 /* bytes: tokens.md section 4 */
#define CNF_JWE_MAX    4096

static enum status refuse(struct why *why, const char *clause, const char *text)
{
    return reject(why, ST_BAD_TOKEN, clause, text, 0);
}

static enum status check_use(const struct verifier *v, const struct jwk *jwk, struct why *why)
{
    if (key_kind(jwk->key) == KEY_SECRET && key_secret(jwk->key).len < POP_SECRET_MIN)
        return refuse(why, "tokens.md 4", "the PoP secret is too short");
    if (!jwk_allows(jwk, JWK_VERIFY, sig_name(sig_for_key(jwk->key))))
        return refuse(why, "TK-57", "the PoP key's own members forbid proving with it");
    if (verifier_protects_with(v, jwk->key))
        return refuse(why, "TK-58", "the PoP key is one that protects tokens");
    return ST_OK;
}

static enum status read_jwk(const struct verifier *v, const struct js *js, bool secret_allowed,
                            struct key **ret_key, struct why *why)
{
    CLEANUP(jwk_done)
    struct jwk jwk = { 0 };
    struct span kty;
    bool secret = js_get_str(js, "kty", &kty) && span_eq_str(kty, "oct");
    enum status st;

    if (secret && !secret_allowed)
        return refuse(why, "TK-55", "a symmetric PoP key in a token that is only signed");
    st = jwk_parse(js, secret ? JWK_SECRET : JWK_PUBLIC, &jwk, why);
    if (st != ST_OK)
        return st == ST_NO_MEMORY ? st : ST_BAD_TOKEN; /* its own why says what is wrong */
    st = check_use(v, &jwk, why);
    if (st == ST_OK)
        *ret_key = TAKE(jwk.key);
    return st;
}

/* A JWK encrypted to us by the same issuer (RFC 7800 3.3). */
static enum status read_jwe(const struct verifier *v, size_t issuer, struct span text, struct key **ret_key,
                            struct why *why)
{
    CLEANUP(jwe_done)
    struct jwe jwe = { 0 };
    CLEANUP(buf_wipe)
    struct buf plain;
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct verifier_choice choice;
    enum status st;

    buf_init(&plain, CNF_JWE_MAX);
    st = jwe_parse(text, &jwe, why);
    if (st == ST_OK)
        st = verifier_shared_key_for(v, &jwe, issuer, &choice, why);
    if (st == ST_OK)
        st = jwe_decrypt(&jwe, choice.key, &plain, why);
    if (st == ST_OK)
        st = js_parse(buf_span(&plain), CNF_JWE_MAX, &js, why);
    if (st != ST_OK)
        return st == ST_NO_MEMORY ? st : ST_BAD_TOKEN;
    return read_jwk(v, js, true, ret_key, why);
}

enum status cnf_read(const struct verifier *v, const struct claims_source *source, const struct js *cnf,
                     struct key **ret_key, struct why *why)
{
    const struct js *jwk = js_get(cnf, "jwk"), *jwe = js_get(cnf, "jwe");
    struct span text;

    if (!js_is(cnf, JS_OBJECT))
        return refuse(why, "TK-1", "no cnf object: not a proof-of-possession token");
    if (jwk != NULL && jwe != NULL)
        return refuse(why, "TK-56", "cnf names a key twice");
    if (jwk != NULL)
        return read_jwk(v, jwk, source->encrypted || source->by_introspection, ret_key, why);
    if (js_as_str(jwe, &text))
        return read_jwe(v, source->issuer, text, ret_key, why);
    return refuse(why, "TK-2", "cnf holds no key we can use");
}
