#include "as/req_cnf.h"

#include "as/params.h"
#include "as/pop_key.h"
#include "as/token_row.h"
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

/* A symmetric key can only travel to a resource server that shares a key with us, or asks us (MT-14, AF-90). */
static enum status check_rs_takes_secrets(struct call *call, const struct resource_server *rs)
{
    if (rs->format == RS_REFERENCE || rs->secret_key.len > 0)
        return ST_OK;
    return reject(&call->why, ST_BAD_POP_KEY, "MT-14",
                  "this resource server has no key for encrypted tokens: send a public key in req_cnf", 0);
}

static enum status new_secret(struct call *call, struct pop *out)
{
    struct buf kid;

    buf_init(&kid, 64);
    enum status st = as_random_text(call->as, POP_KID_BYTES, &kid, &call->why);
    out->kid = st == ST_OK ? arena_copy(&call->arena, buf_span(&kid)) : SPAN_NONE;
    buf_done(&kid);
    if (st == ST_OK && out->kid.p == NULL)
        st = reject(&call->why, ST_NO_MEMORY, "as req_cnf", "out of memory", 0);
    out->symmetric = out->made_here = true;
    return st != ST_OK ? st : pop_key_derive(call->as->pop_master, out->kid, &out->key, &call->why);
}

/* The kid of the registered key, or of a symmetric key from a live token. */
static enum status by_kid(struct call *call, struct span kid, const struct auth *auth,
                          const struct resource_server *rs, struct pop *out)
{
    enum status st;
    bool live = false;

    if (auth->principal.jwk.len > 0) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        struct span known;
        st = registry_key(auth->principal.jwk, &call->arena, &key, &known, &call->why);
        if (st != ST_OK)
            return reject(&call->why, ST_INTERNAL, "as req_cnf", "the registered key cannot be read", 0);
        if (span_eq(known, kid)) {
            out->key = TAKE(key);
            return ST_OK;
        }
    }
    st = token_row_has_pop_kid(call->as->sql, kid, auth->principal.id, rs->id, call->now.wall, &live,
                               &call->why);
    if (st != ST_OK)
        return st;
    if (!live)
        return refuse(call, "AF-40", "req_cnf names a kid that this client has no key for");
    st = check_rs_takes_secrets(call, rs);
    if (st != ST_OK)
        return st;
    out->symmetric = true;
    out->kid = arena_copy(&call->arena, kid);
    if (out->kid.p == NULL)
        return reject(&call->why, ST_NO_MEMORY, "as req_cnf", "out of memory", 0);
    return pop_key_derive(call->as->pop_master, out->kid, &out->key, &call->why);
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
    if (st == ST_OK)
        out->key = key_ref(jwk.key);
    jwk_done(&jwk);
    return st;
}

enum status req_cnf(struct call *call, const struct js *params, const struct auth *auth,
                    const struct resource_server *rs, struct pop *out)
{
    const struct js *cnf = js_get(params, "req_cnf");
    const struct js *jwk = js_get(cnf, "jwk");
    struct span kid;

    *out = (struct pop){ 0 };
    if (cnf == NULL) {
        enum status st = check_rs_takes_secrets(call, rs);
        return st == ST_OK ? new_secret(call, out) : st;
    }
    if (!js_is(cnf, JS_OBJECT))
        return refuse(call, "AF-48", "req_cnf is not an object");
    if (js_size(cnf) != 1)
        return refuse(call, "TK-1", "req_cnf must name one key, in one way");
    if (jwk != NULL)
        return by_value(call, params, jwk, auth, out);
    if (js_get_str(cnf, "kid", &kid) && kid.len > 0)
        return by_kid(call, kid, auth, rs, out);
    return reject(&call->why, ST_BAD_POP_KEY, "AF-52", "req_cnf must hold jwk or kid", 0);
}
