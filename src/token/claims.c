#include "token/claims.h"

#include "codec/base64.h"
#include "jose/jwe.h"
#include "jose/jwk.h"
#include "jose/jws.h"
#include "token/token_priv.h"

#define CLAIMS_MAX  (SCOPE_MAX_BYTES * 2) /* the scope dominates; base64url adds a third */
#define CNONCE_TEXT 128

static enum status set_text(struct js *js, const char *name, struct span text)
{
    return text.p == NULL ? ST_OK : js_set_str(js, name, text);
}

static enum status set_number(struct js *js, const char *name, bool has, int64_t value)
{
    return has ? js_set_i64(js, name, value) : ST_OK;
}

static enum status set_names(struct js *js, const struct token_claims *c)
{
    enum status st = set_text(js, "iss", c->iss);

    if (st == ST_OK)
        st = set_text(js, "sub", c->sub);
    if (st == ST_OK)
        st = set_text(js, "client_id", c->client_id);
    if (st == ST_OK)
        st = set_text(js, "aud", c->aud);
    if (st == ST_OK)
        st = set_text(js, "jti", c->jti);
    return st;
}

static enum status set_times(struct js *js, const struct token_claims *c)
{
    enum status st = set_number(js, "exp", c->has_exp, c->exp.s);

    if (st == ST_OK)
        st = set_number(js, "nbf", c->has_nbf, c->nbf.s);
    if (st == ST_OK)
        st = set_number(js, "iat", c->has_iat, c->iat.s);
    if (st == ST_OK)
        st = set_number(js, "exi", c->has_exi, c->exi_s);
    return st;
}

static enum status set_cnonce(struct js *js, struct span cnonce)
{
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, CNONCE_TEXT);
    if (cnonce.len == 0)
        return ST_OK;
    base64url_encode(cnonce, &text);
    return buf_ok(&text) ? js_set_str(js, "cnonce", buf_span(&text)) : buf_status(&text);
}

static enum status set_scope(struct js *js, const struct scope *scope)
{
    CLEANUP(buf_done)
    struct buf text;
    enum status st;

    buf_init(&text, CLAIMS_MAX);
    if (scope == NULL)
        return ST_OK;
    st = scope_to_claim(scope, &text);
    return st == ST_OK ? js_set_str(js, "scope", buf_span(&text)) : st;
}

static enum status set_x5t(struct js *cnf, struct span x5t)
{
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, CNONCE_TEXT);
    base64url_encode(x5t, &text);
    return buf_ok(&text) ? js_set_str(cnf, "x5t#S256", buf_span(&text)) : buf_status(&text);
}

static enum status set_cnf(struct js *js, const struct token_claims *c)
{
    struct js *jwk = NULL;
    CLEANUP(js_unrefp)
    struct js *cnf = js_new_object();
    enum status st =
        c->cnf == NULL ? set_x5t(cnf, c->cnf_x5t) : jwk_print(c->cnf, c->cnf_kid, NULL, false, &jwk);

    if (st == ST_OK && jwk != NULL)
        st = js_set_take(cnf, "jwk", jwk);
    if (st == ST_OK)
        st = js_set_take(js, "cnf", TAKE(cnf));
    return st;
}

static enum status set_all(struct js *js, const struct token_claims *c)
{
    enum status st = set_names(js, c);

    if (st == ST_OK)
        st = set_times(js, c);
    if (st == ST_OK)
        st = set_cnonce(js, c->cnonce);
    if (st == ST_OK)
        st = set_scope(js, c->scope);
    if (st == ST_OK && c->ace_profile)
        st = js_set_str(js, "ace_profile", SPAN(ACE_PROFILE_MQTT_TLS));
    if (st == ST_OK)
        st = set_cnf(js, c);
    return st;
}

enum status claims_check(const struct token_claims *c, const struct key *protector, struct why *why)
{
    if ((c->cnf == NULL) == (c->cnf_x5t.len == 0))
        return reject(why, ST_BAD_POP_KEY, "TK-1", "a token without a PoP key, or with two", 0);
    if (c->cnf != NULL && protector != NULL && key_same(c->cnf, protector))
        return reject(why, ST_BAD_POP_KEY, "TK-58", "the PoP key is one that protects tokens", 0);
    if (c->iss.len == 0 || c->aud.len == 0)
        return reject(why, ST_INTERNAL, "AF-63", "a token without iss or aud", 0);
    if (!c->has_exp && !c->has_exi)
        return reject(why, ST_INTERNAL, "TK-52", "a token that never ends", 0);
    if (c->has_exi && c->jti.len == 0)
        return reject(why, ST_INTERNAL, "AF-76", "exi without jti", 0);
    return ST_OK;
}

static enum status print_claims(const struct token_claims *c, struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    enum status st = set_all(js, c);

    return st == ST_OK ? js_print(js, out) : st;
}

enum status token_issue_jws(const struct token_claims *claims, const struct key *signer, struct span signer_kid,
                            struct buf *out, struct why *why)
{
    CLEANUP(buf_done)
    struct buf payload;
    enum status st;

    buf_init(&payload, CLAIMS_MAX);
    st = claims_check(claims, signer, why);
    if (st != ST_OK)
        return st;
    if (claims->cnf != NULL && key_kind(claims->cnf) == KEY_SECRET)
        return reject(why, ST_BAD_POP_KEY, "MT-14", "a symmetric PoP key needs an encrypted token", 0);
    st = print_claims(claims, &payload);
    if (st == ST_OK)
        st = jws_sign(signer, signer_kid, SPAN(JWT_TYP), SPAN_NONE, buf_span(&payload), out);
    return st;
}

/* Key wrapping, so that every token has a content key of its own and no (key, IV) pair can come twice (TK-67). */
static enum status encrypt(const struct key *shared, struct span kid, struct span cty, struct span text,
                           struct buf *out, struct why *why)
{
    switch (key_secret(shared).len) {
    case 16:
        return jwe_encrypt(JWE_A128KW, JWE_A128GCM, shared, kid, SPAN(JWT_TYP), cty, text, out);
    case 32:
        return jwe_encrypt(JWE_A256KW, JWE_A256GCM, shared, kid, SPAN(JWT_TYP), cty, text, out);
    default:
        return reject(why, ST_BAD_POP_KEY, "RFC 7518 4.4", "the shared key must have 16 or 32 bytes", 0);
    }
}

enum status token_issue_jwe(const struct token_claims *claims, const struct key *signer, struct span signer_kid,
                            const struct key *shared, struct span shared_kid, struct buf *out, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf payload;
    CLEANUP(buf_wipe)
    struct buf inner;
    enum status st;

    buf_init(&payload, CLAIMS_MAX);
    buf_init(&inner, CLAIMS_MAX);
    st = claims_check(claims, signer, why);
    if (st == ST_OK)
        st = claims_check(claims, shared, why);
    if (st == ST_OK)
        st = print_claims(claims, &payload);
    if (st != ST_OK)
        return st;
    if (signer == NULL)
        return encrypt(shared, shared_kid, SPAN_NONE, buf_span(&payload), out, why);
    st = jws_sign(signer, signer_kid, SPAN(JWT_TYP), SPAN_NONE, buf_span(&payload), &inner);
    return st == ST_OK ? encrypt(shared, shared_kid, SPAN("JWT"), buf_span(&inner), out, why) : st;
}

enum status token_introspection_js(const struct token_claims *claims, struct js **ret_js)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    enum status st = claims_check(claims, NULL, NULL);

    if (st == ST_OK)
        st = js_set_bool(js, "active", true);
    if (st == ST_OK)
        st = js_set_str(js, "token_type", SPAN("PoP"));
    if (st == ST_OK)
        st = set_all(js, claims);
    if (st == ST_OK)
        *ret_js = TAKE(js);
    return st;
}
