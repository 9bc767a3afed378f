#include "as/req_cnf.h"

#include "as/params.h"
#include "as/pop_key.h"
#include "as/token_row.h"
#include "codec/base64.h"
#include "crypto/sign.h"
#include "crypto/x509.h"
#include "jose/jwk.h"
#include "token/assertion.h"

#define SKEW_S 30

void pop_done(struct pop *pop)
{
    key_unref(TAKE(pop->key));
}

static enum status refuse(struct call *call, const char *clause, const char *text)
{
    return reject(&call->why, ST_MALFORMED, clause, text, 0);
}

static enum status unsupported(struct call *call, const char *clause, const char *text)
{
    return reject(&call->why, ST_BAD_POP_KEY, clause, text, 0);
}

static enum status copy(struct call *call, struct span s, struct span *ret)
{
    *ret = arena_copy(&call->arena, s);
    return ret->p != NULL ? ST_OK : reject(&call->why, ST_NO_MEMORY, "as req_cnf", "out of memory", 0);
}

/* A symmetric key can only travel to a resource server that shares a key with us, or asks us (MT-14, AF-90). */
static enum status check_rs_takes_secrets(struct call *call, const struct resource_server *rs)
{
    if ((rs->pop_keys & IN(POP_SYMMETRIC)) == 0 || (rs->format != RS_REFERENCE && rs->protection == RS_SIGNED))
        return unsupported(call, "AF-52", "this resource server takes no symmetric keys: send req_cnf");
    if (rs->format == RS_REFERENCE || rs->secret_key.len > 0)
        return ST_OK;
    return unsupported(call, "MT-14",
                       "this resource server has no key for encrypted tokens: send a public key in req_cnf");
}

/* AF-52 */
static enum status check_kind(struct call *call, const struct resource_server *rs, const struct pop *pop)
{
    enum pop_kind kind = POP_SYMMETRIC;

    if (pop->key == NULL)
        kind = POP_X5T;
    else if (!pop->symmetric)
        kind = key_kind(pop->key) == KEY_ED25519 ? POP_EDDSA : POP_ES256;
    if ((rs->pop_keys & IN(kind)) != 0)
        return ST_OK;
    return unsupported(call, "AF-52", "the resource server does not take this kind of key");
}

/* What a row keeps of a public key: its JWK, and the name it can be found by. */
static enum status describe(struct call *call, struct span kid, struct pop *pop)
{
    CLEANUP(js_unrefp)
    struct js *jwk = NULL;
    char thumbprint[JWK_THUMBPRINT_TEXT];
    struct buf text;

    buf_init(&text, AS_BODY_MAX);
    enum status st = jwk_print(pop->key, SPAN_NONE, NULL, false, &jwk);
    if (st == ST_OK)
        st = js_print(jwk, &text);
    if (st == ST_OK)
        st = jwk_thumbprint_text(pop->key, thumbprint);
    if (st != ST_OK)
        st = reject(&call->why, st, "as req_cnf", "the key cannot be printed", 0);
    if (st == ST_OK)
        st = copy(call, buf_span(&text), &pop->jwk);
    if (st == ST_OK)
        st = copy(call, kid.len > 0 ? kid : span_of_str(thumbprint), &pop->jwk_kid);
    buf_done(&text);
    return st;
}

static enum status new_secret(struct call *call, struct pop *out)
{
    struct buf kid;

    buf_init(&kid, 64);
    enum status st = as_random_text(call->as, POP_KID_BYTES, &kid, &call->why);
    if (st == ST_OK)
        st = copy(call, buf_span(&kid), &out->kid);
    buf_done(&kid);
    out->symmetric = out->made_here = true;
    return st != ST_OK ? st : pop_key_derive(call->as->pop_master, out->kid, &out->key, &call->why);
}

static enum status known_secret(struct call *call, struct span kid, struct pop *out)
{
    out->symmetric = true;
    enum status st = copy(call, kid, &out->kid);
    return st == ST_OK ? pop_key_derive(call->as->pop_master, out->kid, &out->key, &call->why) : st;
}

static enum status known_public(struct call *call, struct span jwk, struct span kid, struct pop *out)
{
    enum status st = registry_key(jwk, &call->arena, &out->key, NULL, &call->why);

    if (st != ST_OK)
        return reject(&call->why, ST_INTERNAL, "as req_cnf", "a key that was kept cannot be read", 0);
    return describe(call, kid, out);
}

static bool is_registered(struct call *call, const struct auth *auth, struct span kid)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct span known;

    return auth->principal.jwk.len > 0 &&
           registry_key(auth->principal.jwk, &call->arena, &key, &known, NULL) == ST_OK && span_eq(known, kid);
}

static enum status by_kid(struct call *call, struct span kid, const struct auth *auth,
                          const struct resource_server *rs, struct pop *out)
{
    struct sql *sql = call->as->sql;
    struct span id = auth->principal.id, jwk = SPAN_NONE;
    bool live = false;

    if (is_registered(call, auth, kid))
        return known_public(call, auth->principal.jwk, kid, out);
    enum status st = token_row_has_pop_kid(sql, kid, id, rs->id, call->now.wall, &live, &call->why);
    if (st == ST_OK && live) {
        st = check_rs_takes_secrets(call, rs);
        return st == ST_OK ? known_secret(call, kid, out) : st;
    }
    if (st == ST_OK)
        st = token_row_cnf_of_kid(sql, kid, id, call->now.wall, &call->arena, &jwk, &call->why);
    if (st == ST_OK && jwk.len == 0) /* RFC 9202 4: as the DTLS profile, which RFC 9431 2.1 follows */
        return unsupported(call, "AF-54", "req_cnf names a kid that this client has no key for");
    return st == ST_OK ? known_public(call, jwk, kid, out) : st;
}

static enum status check_proof(struct call *call, struct span proof, const struct auth *auth,
                               const struct key *key)
{
    struct as *as = call->as;
    const struct span auds[] = { span_of_str(as->issuer), span_of_str(as->token_endpoint) };
    const struct assertion_expected expected = {
        .typ = ASSERTION_TYP_REQ_CNF,
        .client_id = auth->principal.id,
        .auds = auds,
        .n_auds = COUNT_OF(auds),
        .max_age_s = (uint32_t)as->settings->auth_proof_max_age_s,
        .skew_s = SKEW_S,
    };
    char thumbprint[JWK_THUMBPRINT_TEXT];
    struct assertion assertion;
    enum status st = assertion_check(proof, key, &expected, call->now.wall, &assertion, &call->why);

    if (st != ST_OK) /* keeps the reason; invalid_request on the wire: the client itself is authenticated */
        return st == ST_NO_MEMORY ? st : ST_MALFORMED;
    st = jwk_thumbprint_text(key, thumbprint);
    if (st != ST_OK)
        return reject(&call->why, st, "as req_cnf", "the key has no thumbprint", 0);
    st = replay_check(call, span_of_str(thumbprint), span_of_str(assertion.jti), assertion.exp);
    return st == ST_BAD_CREDENTIAL ? ST_MALFORMED : st;
}

static enum status check_possession(struct call *call, const struct js *params, const struct auth *auth,
                                    const struct key *key)
{
    struct span proof;
    enum status st = params_text(params, "req_cnf_proof", &proof, &call->why);

    if (st != ST_OK)
        return st;
    if (proof.len > 0) /* given: it has to be right, whatever else would do */
        return check_proof(call, proof, auth, key);
    if (auth->key != NULL && key_same(auth->key, key)) /* (a), (b) when it authenticates */
        return ST_OK;
    if (call->request->cert_der.len > 0) { /* (b) beside another way of authenticating */
        CLEANUP(key_unrefp)
        struct key *cert_key = NULL;
        if (x509_public_key(call->request->cert_der, &cert_key, NULL) == ST_OK && key_same(cert_key, key))
            return ST_OK;
    }
    if (auth->principal.jwk.len > 0) { /* (d) */
        CLEANUP(key_unrefp)
        struct key *registered = NULL;
        if (registry_key(auth->principal.jwk, &call->arena, &registered, NULL, NULL) == ST_OK &&
            key_same(registered, key))
            return ST_OK;
    }
    return refuse(call, "AF-42", "possession of the key in req_cnf is not proved: send req_cnf_proof");
}

static enum status by_value(struct call *call, const struct js *params, const struct js *value,
                            const struct auth *auth, struct pop *out)
{
    struct jwk jwk = { 0 };
    struct span kty;

    if (js_get_str(value, "kty", &kty) && span_eq_str(kty, "oct"))
        return refuse(call, "AF-41", "a symmetric key by value is not taken in req_cnf");
    enum status st = jwk_parse(value, JWK_PUBLIC, &jwk, &call->why);
    if (st == ST_UNSUPPORTED)
        st = ST_BAD_POP_KEY; /* AF-52, with the reason kept */
    if (st == ST_OK && !jwk_allows(&jwk, JWK_VERIFY, sig_name(sig_for_key(jwk.key))))
        st = reject(&call->why, ST_BAD_POP_KEY, "AF-46", "the key's own members forbid to verify with it", 0);
    if (st == ST_OK && call->as->signer->ops->owns(call->as->signer, jwk.key))
        st = reject(&call->why, ST_BAD_POP_KEY, "TK-58", "a token key of this server cannot be a PoP key", 0);
    if (st == ST_OK)
        st = check_possession(call, params, auth, jwk.key);
    if (st == ST_OK) {
        out->key = key_ref(jwk.key);
        st = describe(call, jwk.kid, out);
    }
    jwk_done(&jwk);
    return st;
}

/* The handshake proved it; a certificate that is not on this connection is somebody's word. */
static enum status by_certificate(struct call *call, struct span wanted, struct pop *out)
{
    uint8_t x5t[SHA256_LEN];
    struct span cert = call->request->cert_der;

    if (cert.len == 0 || x509_thumbprint(cert, x5t, NULL) != ST_OK ||
        !span_eq(wanted, span_of(x5t, sizeof x5t)))
        return refuse(call, "AF-42", "x5t#S256 does not name the client certificate of this connection");
    return copy(call, wanted, &out->x5t);
}

static enum status by_x5t(struct call *call, struct span text, struct pop *out)
{
    struct buf wanted;

    buf_init(&wanted, SHA256_LEN);
    enum status st = base64url_decode(text, &wanted, NULL) == ST_OK && wanted.len == SHA256_LEN
                         ? by_certificate(call, buf_span(&wanted), out)
                         : refuse(call, "RFC 8705 3.1", "x5t#S256 is not base64url of 32 bytes");
    buf_done(&wanted);
    return st;
}

static enum status by_member(struct call *call, const struct js *params, const struct auth *auth,
                             const struct resource_server *rs, struct pop *out)
{
    const struct js *cnf = js_get(params, "req_cnf");
    const struct js *jwk = js_get(cnf, "jwk");
    struct span text;

    if (!js_is(cnf, JS_OBJECT))
        return refuse(call, "AF-48", "req_cnf is not an object");
    if (js_size(cnf) != 1)
        return refuse(call, "TK-1", "req_cnf must name one key, in one way");
    if (jwk != NULL)
        return by_value(call, params, jwk, auth, out);
    if (js_get_str(cnf, "kid", &text) && text.len > 0)
        return by_kid(call, text, auth, rs, out);
    if (js_get_str(cnf, "x5t#S256", &text))
        return by_x5t(call, text, out);
    return unsupported(call, "AF-52", "req_cnf must hold jwk, kid or x5t#S256");
}

enum status req_cnf(struct call *call, const struct js *params, const struct auth *auth,
                    const struct resource_server *rs, struct pop *out)
{
    enum status st;

    *out = (struct pop){ 0 };
    if (js_get(params, "req_cnf") == NULL) {
        st = check_rs_takes_secrets(call, rs);
        return st == ST_OK ? new_secret(call, out) : st;
    }
    st = by_member(call, params, auth, rs, out);
    return st == ST_OK ? check_kind(call, rs, out) : st;
}

static enum status of_family(struct call *call, const struct js *params, const struct auth *auth,
                             const struct resource_server *rs, const struct refresh *family, struct pop *out)
{
    enum status st;

    if (family->pop_kid.len > 0) {
        st = check_rs_takes_secrets(call, rs); /* it may have changed since */
        return st == ST_OK ? known_secret(call, family->pop_kid, out) : st;
    }
    if (family->cnf_x5t.len > 0)
        return by_certificate(call, family->cnf_x5t, out);
    st = known_public(call, family->cnf, family->cnf_kid, out);
    return st == ST_OK ? check_possession(call, params, auth, out->key) : st;
}

/* The family's key by its name. It may be asked for by that when no token for it lives any more (TK-1, AF-29). */
static bool names_family(const struct js *params, const struct refresh *family)
{
    const struct js *cnf = js_get(params, "req_cnf");
    const struct span known = family->pop_kid.len > 0 ? family->pop_kid : family->cnf_kid;
    struct span kid;

    return js_is(cnf, JS_OBJECT) && js_size(cnf) == 1 && js_get_str(cnf, "kid", &kid) && kid.len > 0 &&
           span_eq(kid, known);
}

static bool same_pop(const struct pop *a, const struct pop *b)
{
    if (a->key == NULL || b->key == NULL)
        return a->key == b->key && span_eq(a->x5t, b->x5t);
    return key_same(a->key, b->key);
}

enum status req_cnf_refresh(struct call *call, const struct js *params, const struct auth *auth,
                            const struct resource_server *rs, const struct refresh *family, struct pop *out)
{
    struct pop named = { 0 };
    enum status st;

    *out = (struct pop){ 0 };
    if (js_get(params, "req_cnf") == NULL || names_family(params, family)) {
        st = of_family(call, params, auth, rs, family, out);
        return st == ST_OK ? check_kind(call, rs, out) : st;
    }
    /* By value it was proved just now: a second look at the same proof would be a replay. */
    st = by_member(call, params, auth, rs, out);
    if (st == ST_OK && family->pop_kid.len > 0)
        st = known_secret(call, family->pop_kid, &named);
    else if (st == ST_OK && family->cnf_x5t.len == 0)
        st = known_public(call, family->cnf, family->cnf_kid, &named);
    named.x5t = family->cnf_x5t;
    if (st == ST_OK && !same_pop(out, &named))
        st = refuse(call, "AF-29", "req_cnf names another key than the refresh token is bound to");
    if (st == ST_OK && !out->symmetric && js_get(js_get(params, "req_cnf"), "kid") != NULL)
        st = check_possession(call, params, auth, out->key);
    pop_done(&named);
    return st == ST_OK ? check_kind(call, rs, out) : st;
}
