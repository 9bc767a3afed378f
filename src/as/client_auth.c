#include "as/client_auth.h"

#include "as/params.h"
#include "codec/base64.h"
#include "crypto/secret.h"
#include "crypto/x509.h"
#include "token/assertion.h"

#define ASSERTION_TYPE_JWT "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define CREDENTIAL_MAX     1024
#define SKEW_S             30
/* An address may be a whole site behind one router. */
#define ADDRESS_SHARE 10

const char *auth_method_name(enum auth_method method)
{
    static const char *const names[] = { "client_secret_basic", "client_secret_post", "private_key_jwt",
                                         "self_signed_tls_client_auth" };
    return names[method];
}

void auth_done(struct auth *auth)
{
    key_unref(TAKE(auth->key));
}

/* What a request brings along, before anything is believed. Spans point into params or `basic`. */
struct presented {
    struct span client_id;
    struct span secret;
    struct span assertion;
    enum auth_method method;
    struct buf basic; /* user, then password, decoded */
};

static enum status wrong(struct why *why, const char *clause, const char *text)
{
    return reject(why, ST_BAD_CREDENTIAL, clause, text, 0);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool scheme_is_basic(struct span authorization)
{
    static const char want[] = "basic ";

    for (size_t i = 0; i < sizeof want - 1; i++)
        if (i >= authorization.len || lower(authorization.p[i]) != (uint8_t)want[i])
            return false;
    return true;
}

/* RFC 7617, both halves form-encoded (RFC 6749 2.3.1). Identifiers may hold ':' and clients forget to encode it;
 * our secrets never do, so the last one divides. */
static enum status read_basic(struct span authorization, struct presented *p, struct why *why)
{
    struct buf text;
    size_t user_len = 0;

    if (!scheme_is_basic(authorization))
        return wrong(why, "RFC 6749 2.3.1", "the Authorization header is not of the Basic scheme");
    buf_init(&text, CREDENTIAL_MAX);
    enum status st = base64_decode(span_cut(authorization, 6, authorization.len), &text, NULL);
    if (st == ST_OK) {
        size_t colon = text.len;
        while (colon > 0 && text.p[colon - 1] != ':')
            colon--;
        if (colon == 0)
            st = ST_MALFORMED;
        if (st == ST_OK)
            st = form_decode(span_cut(buf_span(&text), 0, colon - 1), &p->basic, NULL);
        user_len = p->basic.len;
        if (st == ST_OK)
            st = form_decode(span_cut(buf_span(&text), colon, text.len), &p->basic, NULL);
    }
    buf_wipe(&text);
    if (st == ST_NO_MEMORY || buf_status(&p->basic) == ST_NO_MEMORY)
        return reject(why, ST_NO_MEMORY, "RFC 7617 2", "out of memory", 0);
    if (st != ST_OK)
        return wrong(why, "RFC 7617 2", "the Basic credentials cannot be read");
    p->client_id = span_cut(buf_span(&p->basic), 0, user_len);
    p->secret = span_cut(buf_span(&p->basic), user_len, p->basic.len);
    return ST_OK;
}

static enum status read_assertion(struct call *call, const struct js *params, struct presented *p)
{
    struct assertion_claimant claimant = { 0 };
    struct span type;
    enum status st = params_text(params, "client_assertion_type", &type, &call->why);

    if (st != ST_OK)
        return st;
    if (!span_eq_str(type, ASSERTION_TYPE_JWT))
        return reject(&call->why, ST_MALFORMED, "RFC 7523 2.2", "client_assertion_type is not jwt-bearer", 0);
    st = assertion_peek(p->assertion, &claimant, &call->why);
    if (st != ST_OK)
        return wrong(&call->why, "RFC 7523 3", "the client assertion is not a JWT");
    struct span sub = claimant.sub.len > 0 ? arena_copy(&call->arena, claimant.sub) : SPAN_NONE;
    assertion_claimant_done(&claimant);
    if (sub.p == NULL)
        return wrong(&call->why, "RFC 7523 3", "the client assertion has no sub");
    if (p->client_id.len > 0 && !span_eq(p->client_id, sub))
        return wrong(&call->why, "RFC 7521 4.2", "client_id and the assertion name different clients");
    p->client_id = sub;
    return ST_OK;
}

static enum status read_presented(struct call *call, const struct js *params, struct presented *p)
{
    const struct as_request *request = call->request;
    struct span client_id, secret;
    enum status st = params_text(params, "client_id", &client_id, &call->why);

    if (st == ST_OK)
        st = params_text(params, "client_secret", &secret, &call->why);
    if (st == ST_OK)
        st = params_text(params, "client_assertion", &p->assertion, &call->why);
    if (st != ST_OK)
        return st;
    int ways = (request->authorization.len > 0) + (secret.len > 0) + (p->assertion.len > 0);
    if (ways > 1)
        return reject(&call->why, ST_MALFORMED, "RFC 6749 2.3", "more than one way of client authentication",
                      0);
    p->client_id = client_id;
    if (request->authorization.len > 0) {
        p->method = AUTH_SECRET_BASIC;
        st = read_basic(request->authorization, p, &call->why);
        if (st == ST_OK && client_id.len > 0 && !span_eq(client_id, p->client_id))
            return reject(&call->why, ST_MALFORMED, "RFC 6749 2.3", "client_id differs from the Basic user", 0);
        return st;
    }
    if (p->assertion.len > 0) {
        p->method = AUTH_PRIVATE_KEY_JWT;
        return read_assertion(call, params, p);
    }
    p->method = secret.len > 0 ? AUTH_SECRET_POST : AUTH_TLS;
    p->secret = secret;
    if (secret.len == 0 && request->cert_der.len == 0)
        return wrong(&call->why, "RFC 6749 3.2.1", "no client authentication in the request");
    if (client_id.len == 0)
        return wrong(&call->why, "RFC 6749 2.3.1", "client_id is missing");
    return ST_OK;
}

/* The hash is always computed and compared, so that an unknown client takes as long as a wrong secret. */
static enum status check_secret(struct span secret, const struct principal *known, struct why *why)
{
    static const uint8_t nobody[SHA256_LEN];
    uint8_t hash[SHA256_LEN];
    bool has = known != NULL && known->secret_hash.len == SHA256_LEN;
    enum status st = sha256(secret, hash);

    if (st != ST_OK)
        return reject(why, st, "as client_auth", "the secret could not be hashed", 0);
    bool same =
        secret_eq(span_of(hash, sizeof hash), has ? known->secret_hash : span_of(nobody, sizeof nobody));
    secret_wipe(hash, sizeof hash);
    if (!has || !same)
        return wrong(why, "RFC 6749 2.3.1", "client unknown or credential wrong");
    return ST_OK;
}

static enum status check_assertion(struct call *call, const struct presented *p, const struct principal *known,
                                   struct auth *out)
{
    struct as *as = call->as;
    const struct span auds[] = { span_of_str(as->issuer), span_of_str(as->token_endpoint) };
    const struct assertion_expected expected = {
        .typ = ASSERTION_TYP_CLIENT,
        .iss = p->client_id,
        .sub = p->client_id,
        .auds = auds,
        .n_auds = COUNT_OF(auds),
        .max_age_s = (uint32_t)as->settings->auth_proof_max_age_s,
        .skew_s = SKEW_S,
    };
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct assertion assertion;

    if (known == NULL || known->jwk.len == 0)
        return wrong(&call->why, "RFC 7523 3", "client unknown or credential wrong");
    enum status st = registry_key(known->jwk, &call->arena, &key, NULL, &call->why);
    if (st != ST_OK)
        return reject(&call->why, ST_INTERNAL, "as client_auth", "the registered key cannot be read", 0);
    st = assertion_check(p->assertion, key, &expected, call->now.wall, &assertion, &call->why);
    if (st != ST_OK) /* the reason stays in `why`; on the wire it is invalid_client (RFC 7523 3.2) */
        return st == ST_NO_MEMORY ? st : ST_BAD_CREDENTIAL;
    st = replay_check(call, p->client_id, span_of_str(assertion.jti), assertion.exp);
    if (st == ST_OK)
        out->key = TAKE(key);
    return st;
}

static enum status check_certificate(struct call *call, const struct principal *known, struct auth *out)
{
    uint8_t x5t[SHA256_LEN];
    struct span cert = call->request->cert_der;

    if (known == NULL || known->x5t.len == 0 || x509_thumbprint(cert, x5t, NULL) != ST_OK ||
        !span_eq(known->x5t, span_of(x5t, sizeof x5t)))
        return wrong(&call->why, "RFC 8705 2.2", "client unknown or credential wrong");
    /* A key of a kind that cannot be a PoP key here (RSA) still authenticates. */
    enum status ignored = x509_public_key(cert, &out->key, NULL);
    (void)ignored;
    return ST_OK;
}

/* From one address: this client's limit, and a wider one for all clients together. */
static struct span throttle_name(struct call *call, struct span client_id)
{
    struct buf b;

    buf_init(&b, CREDENTIAL_MAX);
    put_bytes(&b, call->request->peer);
    put_u8(&b, 0);
    put_bytes(&b, client_id);
    struct span name = buf_ok(&b) ? arena_copy(&call->arena, buf_span(&b)) : SPAN_NONE;
    buf_done(&b);
    return name;
}

static enum status check_throttle(struct call *call, struct span pair)
{
    struct throttle *t = &call->as->throttle;
    uint32_t limit = (uint32_t)call->as->settings->auth_failures_per_minute;
    int64_t wait = throttle_wait_s(t, pair, limit, call->now.mono);
    int64_t wait_all = throttle_wait_s(t, call->request->peer, limit * ADDRESS_SHARE, call->now.mono);

    if (wait == 0 && wait_all == 0)
        return ST_OK;
    call->out->retry_after_s = wait > wait_all ? wait : wait_all;
    return reject(&call->why, ST_QUOTA, "auth.failures_per_minute", "too many failed authentications", 0);
}

static enum status check(struct call *call, const struct presented *p, struct auth *out)
{
    const struct principal *known = NULL;
    enum status st = ST_NOT_FOUND;

    if (id_valid(p->client_id))
        st = registry_principal(call->as->sql, p->client_id, &call->arena, &out->principal, &call->why);
    if (st == ST_OK)
        known = &out->principal;
    else if (st != ST_NOT_FOUND)
        return st;
    out->method = p->method;
    switch (p->method) {
    case AUTH_SECRET_BASIC:
    case AUTH_SECRET_POST:
        return check_secret(p->secret, known, &call->why);
    case AUTH_PRIVATE_KEY_JWT:
        return check_assertion(call, p, known, out);
    case AUTH_TLS:
        return check_certificate(call, known, out);
    }
    return reject(&call->why, ST_INTERNAL, "as client_auth", "no such method", 0);
}

enum status client_auth(struct call *call, const struct js *params, struct auth *out)
{
    struct presented p = { 0 };

    *out = (struct auth){ 0 };
    buf_init(&p.basic, CREDENTIAL_MAX);
    enum status st = read_presented(call, params, &p);
    if (id_valid(p.client_id))
        call->client_id = arena_copy(&call->arena, p.client_id);
    struct span pair = throttle_name(call, call->client_id);
    enum status throttled = check_throttle(call, pair);
    if (throttled != ST_OK)
        st = throttled;
    else if (st == ST_OK)
        st = check(call, &p, out);
    buf_wipe(&p.basic);
    if (st == ST_BAD_CREDENTIAL) {
        call->out->challenge = true;
        throttle_failed(&call->as->throttle, pair, call->now.mono);
        throttle_failed(&call->as->throttle, call->request->peer, call->now.mono);
    }
    return st;
}
