/* The confirmation claim: which key the holder must prove (RFC 7800 3, RFC 8747 3; tokens.md section 1). It holds a key
 * (jwk, jwe), or names one that the receiver knows: by kid, or by the thumbprint of a certificate. A jku names one that
 * would have to be fetched: not usable, and nothing is ever fetched (TK-46). */
#include "codec/base64.h"
#include "jose/jwk.h"
#include "token/ace_cbor.h"
#include "token/token_priv.h"

#define POP_SECRET_MIN 16 /* bytes: tokens.md section 4 */
#define CNF_JWE_MAX    4096

static enum status refuse(struct why *why, const char *clause, const char *text)
{
    return reject(why, ST_BAD_TOKEN, clause, text, 0);
}

void cnf_init(struct cnf *cnf)
{
    *cnf = (struct cnf){ 0 };
    buf_init(&cnf->kid, JOSE_MAX_KID);
}

void cnf_done(struct cnf *cnf)
{
    key_unref(cnf->key);
    buf_done(&cnf->kid);
}

enum status cnf_check_key(const struct verifier *v, const struct key *key, struct why *why)
{
    if (key_kind(key) == KEY_SECRET && key_secret(key).len < POP_SECRET_MIN)
        return refuse(why, "tokens.md 4", "the PoP secret is too short");
    if (verifier_protects_with(v, key))
        return refuse(why, "TK-58", "the PoP key is one that protects tokens");
    return ST_OK;
}

enum status cnf_settle(struct cnf *cnf, const struct buf *kid, bool has_kid, bool has_x5t, struct why *why)
{
    bool has_key = cnf->key != NULL;

    if (has_x5t && (has_key || has_kid))
        return refuse(why, "TK-56", "cnf names a key twice");
    if (has_key && has_kid && cnf->has_kid && !span_eq(buf_span(&cnf->kid), buf_span(kid)))
        return refuse(why, "TK-2", "cnf holds one key and names another");
    if (!has_key && has_kid && kid->len == 0)
        return refuse(why, "TK-6", "an empty kid names no key");
    if (!has_key && !has_kid && !has_x5t)
        return refuse(why, "TK-2", "cnf holds no key we can use");
    if (has_kid && !cnf->has_kid)
        put_bytes(&cnf->kid, buf_span(kid));
    cnf->has_kid = cnf->has_kid || has_kid;
    cnf->how = has_key ? TOKEN_CNF_KEY : has_x5t ? TOKEN_CNF_X5T : TOKEN_CNF_KID;
    return buf_ok(&cnf->kid) ? ST_OK : reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
}

/* ---- JSON ---- */

static enum status put_kid(struct span text, struct buf *out, struct why *why)
{
    if (buf_room(out, JOSE_MAX_KID) == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    if (ace_kid_bytes(text, out) == ST_OK)
        return ST_OK;
    return refuse(why, "TK-45", "kid longer than allowed");
}

static enum status read_jwk(const struct verifier *v, const struct js *js, bool secret_allowed, struct cnf *out,
                            struct why *why)
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
    if (!jwk_allows(&jwk, JWK_VERIFY, sig_name(sig_for_key(jwk.key))))
        return refuse(why, "TK-57", "the PoP key's own members forbid proving with it");
    st = cnf_check_key(v, jwk.key, why);
    out->has_kid = jwk.kid.p != NULL;
    if (st == ST_OK && out->has_kid)
        st = put_kid(jwk.kid, &out->kid, why);
    if (st == ST_OK)
        out->key = TAKE(jwk.key);
    return st;
}

/* A JWK encrypted to us by the same issuer (RFC 7800 3.3). */
static enum status read_jwe(const struct verifier *v, size_t issuer, struct span text, struct cnf *out,
                            struct why *why)
{
    CLEANUP(jwe_done)
    struct jwe jwe = { 0 };
    const struct encrypted_layer layer = { .jwe = &jwe };
    CLEANUP(buf_wipe)
    struct buf plain;
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct verifier_choice choice;
    enum status st;

    buf_init(&plain, CNF_JWE_MAX);
    st = jwe_parse(text, &jwe, why);
    if (st == ST_OK)
        st = verifier_shared_key_for(v, &layer, issuer, &choice, why);
    if (st == ST_OK)
        st = jwe_decrypt(&jwe, choice.key, &plain, why);
    if (st == ST_OK)
        st = js_parse(buf_span(&plain), CNF_JWE_MAX, &js, why);
    if (st != ST_OK)
        return st == ST_NO_MEMORY ? st : ST_BAD_TOKEN;
    return read_jwk(v, js, true, out, why);
}

static enum status read_key(const struct verifier *v, const struct claims_source *source,
                            const struct js *claim, struct cnf *out, struct why *why)
{
    const struct js *jwk = js_get(claim, "jwk"), *jwe = js_get(claim, "jwe");
    struct span text;

    if (jwk != NULL && jwe != NULL)
        return refuse(why, "TK-56", "cnf names a key twice");
    if (jwk != NULL)
        return read_jwk(v, jwk, source->encrypted || source->by_introspection, out, why);
    if (js_as_str(jwe, &text))
        return read_jwe(v, source->issuer, text, out, why);
    return ST_OK;
}

static enum status read_x5t(const struct js *claim, struct cnf *out, bool *ret_has, struct why *why)
{
    const struct js *x5t = js_get(claim, "x5t#S256");
    struct span text;

    *ret_has = x5t != NULL;
    if (x5t == NULL)
        return ST_OK;
    if (!js_as_str(x5t, &text) || !base64url_decode_exactly(text, out->x5t, sizeof out->x5t))
        return refuse(why, "RFC 8705 3.1", "x5t#S256 is not base64url of a SHA-256");
    return ST_OK;
}

enum status cnf_read(const struct verifier *v, const struct claims_source *source, const struct js *claim,
                     struct cnf *out, struct why *why)
{
    CLEANUP(buf_done)
    struct buf kid;
    const struct js *named = js_get(claim, "kid");
    struct span text;
    bool has_x5t;
    enum status st;

    buf_init(&kid, JOSE_MAX_KID);
    if (!js_is(claim, JS_OBJECT))
        return refuse(why, "TK-1", "no cnf object: not a proof-of-possession token");
    st = read_key(v, source, claim, out, why);
    if (st == ST_OK)
        st = read_x5t(claim, out, &has_x5t, why);
    if (st == ST_OK && named != NULL)
        st = js_as_str(named, &text) ? put_kid(text, &kid, why) : refuse(why, "TK-6", "kid is not text");
    return st == ST_OK ? cnf_settle(out, &kid, named != NULL, has_x5t, why) : st;
}
