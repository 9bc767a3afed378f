#include "client/error_priv.h"
#include "client/key_priv.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "crypto/random.h"
#include "jose/jwk.h"
#include "scope/scope.h"
#include "symbolon/ace.h"
#include "token/assertion.h"

#include <stdlib.h>

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" /* RFC 7523 2.2 */
#define JTI_BYTES      16
#define REQUEST_MAX    32768

/* A JWS by `key`: who we are, for whom, for two minutes. Under its thumbprint as kid, since that is what the
 * authorization server can compute from the key it has registered. */
static enum status sign_statement(const struct key *key, const char *typ, struct span client_id,
                                  bool names_issuer, struct span aud, int64_t now_s, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf jti = { .max = ASSERTION_MAX_JTI };
    uint8_t random[JTI_BYTES];
    char kid[JWK_THUMBPRINT_TEXT];

    enum status st = random_bytes(random, sizeof random);
    if (st == ST_OK)
        st = jwk_thumbprint_text(key, kid);
    if (st != ST_OK)
        return st;
    base64url_encode(span_of(random, sizeof random), &jti);
    if (!buf_ok(&jti))
        return ST_NO_MEMORY;
    const struct assertion_claims claims = {
        .typ = typ,
        .iss = names_issuer ? client_id : SPAN_NONE,
        .sub = names_issuer ? client_id : SPAN_NONE,
        .client_id = client_id,
        .aud = aud,
        .iat = { now_s },
        .lifetime_s = SYMBOLON_ASSERTION_LIFE_S,
        .jti = buf_span(&jti),
    };
    return assertion_sign(&claims, key, span_of_str(kid), out);
}

static enum status set_statement(struct js *body, const char *member, const struct key *key, const char *typ,
                                 struct span client_id, bool names_issuer, const char *aud, int64_t now_s)
{
    CLEANUP(buf_done)
    struct buf jws = { .max = ASSERTION_MAX_BYTES };

    enum status st = sign_statement(key, typ, client_id, names_issuer, span_of_str(aud), now_s, &jws);
    return st == ST_OK ? js_set_str(body, member, buf_span(&jws)) : st;
}

static enum status set_if(struct js *body, const char *member, const char *value)
{
    return value == NULL ? ST_OK : js_set_str(body, member, span_of_str(value));
}

/* RFC 9431 2.3 wants the scope as base64url of the AIF text; whatever form it came in, that is what leaves. */
static enum status set_scope(struct js *body, const char *text, struct why *why)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    CLEANUP(buf_done)
    struct buf claim = { .max = SCOPE_MAX_BYTES * 2 };

    if (text == NULL)
        return ST_OK;
    enum status st = scope_from_text(span_of_str(text), &scope, why);
    if (st == ST_OK)
        st = scope_to_claim(scope, &claim);
    return st == ST_OK ? js_set_str(body, "scope", buf_span(&claim)) : st;
}

/* That we hold the key, unless the assertion shows that already. */
static enum status set_possession(struct js *body, const struct symbolon_token_request *r)
{
    const struct key *pop = key_inside(r->pop_key);

    if (r->client_secret == NULL && r->client_key != NULL && key_same(pop, key_inside(r->client_key)))
        return ST_OK;
    return set_statement(body, "req_cnf_proof", pop, ASSERTION_TYP_REQ_CNF, span_of_str(r->client_id), false,
                         r->token_endpoint, r->now_s);
}

/* req_cnf (RFC 9201 3.1): the public key. */
static enum status set_req_cnf(struct js *body, const struct symbolon_token_request *r)
{
    struct js *jwk = NULL, *cnf = js_new_object();

    enum status st = jwk_print(key_inside(r->pop_key), SPAN_NONE, NULL, false, &jwk);
    if (st == ST_OK)
        st = js_set_take(cnf, "jwk", jwk);
    if (st != ST_OK) {
        js_unref(cnf);
        return st;
    }
    return js_set_take(body, "req_cnf", cnf);
}

static enum status set_client_authentication(struct js *body, const struct symbolon_token_request *r)
{
    enum status st = js_set_str(body, "client_id", span_of_str(r->client_id));

    if (st == ST_OK && r->client_secret != NULL)
        return js_set_str(body, "client_secret", span_of_str(r->client_secret));
    if (st == ST_OK && r->client_key != NULL)
        st = js_set_str(body, "client_assertion_type", SPAN(ASSERTION_TYPE));
    if (st == ST_OK && r->client_key != NULL)
        st = set_statement(body, "client_assertion", key_inside(r->client_key), ASSERTION_TYP_CLIENT,
                           span_of_str(r->client_id), true, r->token_endpoint, r->now_s);
    return st;
}

static enum symbolon_status print_out(const struct js *body, enum status st, const struct why *why,
                                      char **ret_json, struct symbolon_error *error)
{
    struct buf text;
    size_t len;

    buf_init(&text, REQUEST_MAX);
    if (st == ST_OK)
        st = js_print(body, &text);
    char *json = st == ST_OK ? (char *)buf_take(&text, &len) : NULL;
    if (st == ST_OK && json == NULL)
        st = ST_NO_MEMORY;
    if (st != ST_OK) {
        buf_wipe(&text);
        return error_from(error, st, why);
    }
    *ret_json = json;
    return SYMBOLON_OK;
}

enum symbolon_status symbolon_token_request(const struct symbolon_token_request *r, char **ret_json,
                                            struct symbolon_error *error)
{
    CLEANUP(js_unrefp)
    struct js *body = js_new_object();
    struct why why = { .clause = "token request" };

    if (r->token_endpoint == NULL || r->client_id == NULL)
        return error_set(error, SYMBOLON_INVALID, "RFC 6749 2.3",
                         "a token request needs the token endpoint and the client's name there (client_id)");
    if (r->pop_key != NULL && r->refresh_token == NULL && symbolon_key_type(r->pop_key) == SYMBOLON_KEY_SECRET)
        return error_set(error, SYMBOLON_INVALID, "RFC 9201 3.1 (AF-41)",
                         "a secret does not belong into a token request: let the server make one");
    if (r->client_secret == NULL && r->client_key == NULL)
        return error_set(error, SYMBOLON_INVALID, "RFC 9200 5.5 (AF-20)",
                         "neither a client secret nor a key to authenticate with");
    bool refresh = r->refresh_token != NULL; /* bound to key, audience and scope already: RFC 6749 6 */
    enum status st =
        js_set_str(body, "grant_type", refresh ? SPAN("refresh_token") : SPAN("client_credentials"));
    if (st == ST_OK)
        st = set_client_authentication(body, r);
    if (st == ST_OK)
        st = set_if(body, "refresh_token", r->refresh_token);
    if (st == ST_OK && !refresh)
        st = set_if(body, "audience", r->audience);
    if (st == ST_OK && !refresh)
        st = set_scope(body, r->scope_json, &why);
    if (st == ST_OK)
        st = js_set_str(body, "ace_profile", SPAN("")); /* "tell me": RFC 9200 5.8.4.3 (AF-24, D-7) */
    if (st == ST_OK)
        st = set_if(body, "cnonce", r->cnonce);
    if (st == ST_OK && r->pop_key != NULL && !refresh)
        st = set_req_cnf(body, r);
    if (st == ST_OK && r->pop_key != NULL && symbolon_key_type(r->pop_key) != SYMBOLON_KEY_SECRET)
        st = set_possession(body, r);
    return print_out(body, st, &why, ret_json, error);
}

enum symbolon_status symbolon_enroll_request(const char *enroll_endpoint, const char *code,
                                             const char *client_id, const struct symbolon_key *key,
                                             int64_t now_s, char **ret_json, struct symbolon_error *error)
{
    CLEANUP(js_unrefp)
    struct js *body = js_new_object();
    struct js *jwk = NULL;
    struct why why = { .clause = "enrolment request" };

    if (symbolon_key_type(key) == SYMBOLON_KEY_SECRET)
        return error_set(error, SYMBOLON_INVALID, "enrolment", "a secret has no public part to register");
    enum status st = js_set_str(body, "code", span_of_str(code));
    if (st == ST_OK)
        st = set_if(body, "client_id", client_id);
    if (st == ST_OK)
        st = jwk_print(key_inside(key), SPAN_NONE, NULL, false, &jwk);
    if (st == ST_OK)
        st = js_set_take(body, "jwk", jwk);
    if (st == ST_OK)
        st = set_statement(body, "proof", key_inside(key), ASSERTION_TYP_REQ_CNF, span_of_str(client_id), false,
                           enroll_endpoint, now_s);
    return print_out(body, st, &why, ret_json, error);
}
