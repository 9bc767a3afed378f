#include "client/error_priv.h"
#include "client/key_priv.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "jose/jwk.h"
#include "scope/scope.h"
#include "symbolon/ace.h"
#include "token/ace_cbor.h"

#include <stdlib.h>
#include <strings.h>

#define RESPONSE_MAX 131072
#define LIFE_MAX_S   (INT64_C(10) * 366 * 86400) /* a longer life is an accident, and must not overflow the sum */
#define PROFILE      "mqtt_tls"

/* clang-format off */
/* RFC 6749 5.2, RFC 9200 5.8.3; the last two are of RFC 6749 4.1.2.1, which servers borrow. */
static const struct { const char *error; enum symbolon_status status; } oauth_errors[] = {
    { "invalid_request",           SYMBOLON_REFUSED        },
    { "invalid_client",            SYMBOLON_NOT_AUTHORIZED },
    { "invalid_grant",             SYMBOLON_NOT_AUTHORIZED },
    { "unauthorized_client",       SYMBOLON_NOT_AUTHORIZED },
    { "unsupported_grant_type",    SYMBOLON_UNSUPPORTED    },
    { "invalid_scope",             SYMBOLON_NOT_AUTHORIZED },
    { "unsupported_pop_key",       SYMBOLON_UNSUPPORTED    },
    { "incompatible_ace_profiles", SYMBOLON_UNSUPPORTED    },
    { "access_denied",             SYMBOLON_NOT_AUTHORIZED },
    { "temporarily_unavailable",   SYMBOLON_UNREACHABLE    },
};
/* clang-format on */

static enum symbolon_status status_of_error(struct span name, int http_status)
{
    for (size_t i = 0; i < COUNT_OF(oauth_errors); i++)
        if (span_eq_str(name, oauth_errors[i].error))
            return oauth_errors[i].status;
    return http_status >= 500 ? SYMBOLON_UNREACHABLE : SYMBOLON_REFUSED;
}

static enum symbolon_status error_answer(int http_status, struct span body, struct symbolon_error *error)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct span name = SPAN_NONE, description = SPAN_NONE;

    if (js_parse(body, RESPONSE_MAX, &js, NULL) == ST_OK) {
        js_get_str(js, "error", &name);
        js_get_str(js, "error_description", &description);
    }
    enum symbolon_status st = status_of_error(name, http_status);
    if (name.len == 0)
        return error_set(error, st, "RFC 6749 5.2", "the authorization server answered HTTP %d", http_status);
    return error_set(error, st, "RFC 6749 5.2", "the authorization server says %.*s%s%.*s", SPAN_FMT(name),
                     description.len > 0 ? ": " : "", SPAN_FMT(description));
}

static bool eq_case(struct span s, const char *word)
{
    return s.len == strlen(word) && strncasecmp((const char *)s.p, word, s.len) == 0;
}

/* A text member that is absent is fine; one of another kind is not. */
static enum status optional_text(const struct js *js, const char *name, struct span *ret, struct why *why)
{
    *ret = SPAN_NONE;
    if (js_get(js, name) == NULL || js_get_str(js, name, ret))
        return ST_OK;
    return reject(why, ST_MALFORMED, "RFC 6749 5.1", "a member that should be text is not", 0);
}

static enum status check_kind(const struct js *js, struct why *why)
{
    struct span type, profile;
    enum status st = optional_text(js, "token_type", &type, why);

    if (st == ST_OK)
        st = optional_text(js, "ace_profile", &profile, why);
    if (st != ST_OK)
        return st;
    if (type.p != NULL && !eq_case(type, "PoP"))
        return reject(why, ST_UNSUPPORTED, "RFC 9200 5.8.4.2 (AF-37)",
                      "the token is not a proof-of-possession token", 0);
    if (profile.p != NULL && !span_eq_str(profile, PROFILE))
        return reject(why, ST_BAD_PROFILE, "RFC 9431 2.1 (MT-11)", "the token is for another ACE profile", 0);
    return ST_OK;
}

static enum status read_life(const struct js *js, int64_t now_s, struct symbolon_token *out, struct why *why)
{
    int64_t life;

    if (!js_get_i64(js, "expires_in", &life))
        return reject(why, ST_MALFORMED, "RFC 9200 5.10.4 (AF-38)",
                      "the response does not say how long the token lives, so it must not be used", 0);
    if (life <= 0)
        return reject(why, ST_TOKEN_EXPIRED, "RFC 6749 5.1", "the token has no life left", 0);
    out->obtained_at_s = now_s;
    out->expires_at_s = now_s + (life > LIFE_MAX_S ? LIFE_MAX_S : life);
    return ST_OK;
}

static enum status copy_text(const struct js *js, const char *name, char **ret)
{
    struct span text;

    if (!js_get_str(js, name, &text) || text.len == 0)
        return ST_OK;
    *ret = span_dup_str(text);
    return *ret == NULL ? ST_NO_MEMORY : ST_OK;
}

/* cnf (RFC 9201 3.2): the secret the server made, or a repetition of our public key. */
static enum status read_cnf(const struct js *js, const struct key *pop_key, struct symbolon_token *out,
                            struct why *why)
{
    const struct js *cnf = js_get(js, "cnf"), *jwk_js = js_get(cnf, "jwk");
    struct jwk jwk;
    enum status st;

    if (jwk_js == NULL) {
        if (pop_key != NULL)
            return ST_OK; /* absent, or a kid that names the key of the request */
        return reject(why, ST_PROTOCOL, "RFC 9201 3.2 (AF-43)", "the server gave no key to prove possession of",
                      0);
    }
    bool secret = pop_key == NULL || key_kind(pop_key) == KEY_SECRET; /* a refreshed token may repeat it */
    st = jwk_parse(jwk_js, secret ? JWK_SECRET : JWK_PUBLIC, &jwk, why);
    if (st != ST_OK)
        return st;
    if (pop_key != NULL && !key_same(jwk.key, pop_key))
        st = reject(why, ST_PROTOCOL, "RFC 9201 3.2", "the token is bound to another key than ours", 0);
    else if (secret)
        out->key = key_outside(key_ref(jwk.key));
    if (st == ST_OK && secret)
        st = copy_text(jwk_js, "kid", &out->kid);
    jwk_done(&jwk);
    return st;
}

static enum status read_x5t(const struct js *rs_cnf, struct symbolon_token *out, struct why *why)
{
    CLEANUP(buf_done)
    struct buf bytes = { .max = SYMBOLON_X5T_LEN };
    struct span text;

    if (!js_get_str(rs_cnf, "x5t#S256", &text))
        return ST_OK;
    if (base64url_decode(text, &bytes, why) != ST_OK || bytes.len != SYMBOLON_X5T_LEN)
        return reject(why, ST_MALFORMED, "RFC 8705 3.1", "x5t#S256 is not 32 bytes in base64url", 0);
    memcpy(out->rs_x5t, bytes.p, SYMBOLON_X5T_LEN);
    out->has_rs_x5t = true;
    return ST_OK;
}

static enum status print_text(const struct js *js, char **ret)
{
    struct buf text;
    size_t len;

    buf_init(&text, RESPONSE_MAX);
    enum status st = js_print(js, &text);
    if (st != ST_OK) {
        buf_done(&text);
        return st;
    }
    *ret = (char *)buf_take(&text, &len);
    return *ret == NULL ? ST_NO_MEMORY : ST_OK;
}

static enum status read_rs_cnf(const struct js *js, bool symmetric, struct symbolon_token *out, struct why *why)
{
    const struct js *rs_cnf = js_get(js, "rs_cnf"), *jwk_js = js_get(rs_cnf, "jwk");
    struct jwk jwk;

    if (rs_cnf == NULL)
        return ST_OK;
    if (symmetric)
        return reject(why, ST_PROTOCOL, "RFC 9201 3.2 (AF-44)", "rs_cnf beside a symmetric key", 0);
    enum status st = read_x5t(rs_cnf, out, why);
    if (st != ST_OK)
        return st;
    if (jwk_js == NULL) {
        if (out->has_rs_x5t)
            return ST_OK;
        /* Somebody meant to pin the broker. Going on without a pin would be less than was asked for. */
        return reject(why, ST_UNSUPPORTED, "RFC 9201 3.2", "rs_cnf names the broker in a way we do not know",
                      0);
    }
    st = jwk_parse(jwk_js, JWK_PUBLIC, &jwk, why);
    if (st != ST_OK)
        return st;
    jwk_done(&jwk);
    return print_text(jwk_js, &out->rs_jwk);
}

static enum status read_scope(const struct js *js, struct symbolon_token *out, struct why *why)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    CLEANUP(js_unrefp)
    struct js *array = NULL;
    const struct js *value = js_get(js, "scope");

    if (value == NULL)
        return ST_OK;
    enum status st = scope_from_claim(value, &scope, why);
    if (st != ST_OK)
        return st;
    array = scope_to_json(scope);
    return array == NULL ? ST_NO_MEMORY : print_text(array, &out->scope);
}

static enum status read_success(const struct js *js, const struct key *pop_key, int64_t now_s,
                                struct symbolon_token *out, struct why *why)
{
    struct span token;
    enum status st;

    if (!js_get_str(js, "access_token", &token) || token.len == 0)
        return reject(why, ST_MALFORMED, "RFC 6749 5.1", "the response holds no access_token", 0);
    if (token.len > UINT16_MAX - 2)
        return reject(why, ST_TOO_LARGE, "MT-52", "the token does not fit into MQTT Authentication Data", 0);
    st = check_kind(js, why);
    if (st == ST_OK)
        st = read_life(js, now_s, out, why);
    if (st == ST_OK)
        st = read_cnf(js, pop_key, out, why);
    if (st == ST_OK)
        st = read_rs_cnf(js, out->key != NULL, out, why);
    if (st == ST_OK)
        st = read_scope(js, out, why);
    if (st == ST_OK)
        st = copy_text(js, "refresh_token", &out->refresh_token);
    if (st == ST_OK && (out->access_token = span_dup_str(token)) == NULL)
        st = ST_NO_MEMORY;
    return st;
}

enum symbolon_status symbolon_token_response(int http_status, struct symbolon_bytes body,
                                             const struct symbolon_key *pop_key, int64_t now_s,
                                             struct symbolon_token *ret_token, struct symbolon_error *error)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct symbolon_token token = { 0 };
    struct why why = { .clause = "token response" };

    if (http_status != 200 && http_status != 201)
        return error_answer(http_status, span_of_bytes(body), error);
    enum status st = js_parse(span_of_bytes(body), RESPONSE_MAX, &js, &why);
    if (st == ST_OK)
        st = read_success(js, key_inside(pop_key), now_s, &token, &why);
    if (st != ST_OK) {
        symbolon_token_done(&token);
        return error_about(error, st, &why, "token response");
    }
    *ret_token = token;
    return SYMBOLON_OK;
}

enum symbolon_status symbolon_token_bytes(const char *access_token, uint8_t *out, size_t out_cap,
                                          size_t *ret_len, struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf bytes = { .max = RESPONSE_MAX };
    enum status st = ace_token_bytes(span_of_str(access_token), &bytes);

    if (st == ST_OK && !buf_ok(&bytes))
        st = ST_NO_MEMORY;
    if (st != ST_OK)
        return error_from(error, st, &(struct why){ .clause = "RFC 9200 5.8.2" });
    if (bytes.len > out_cap)
        return error_set(error, SYMBOLON_TOO_LARGE, "MT-52", "the token does not fit");
    memcpy(out, bytes.p, bytes.len);
    *ret_len = bytes.len;
    return SYMBOLON_OK;
}

void symbolon_token_done(struct symbolon_token *token)
{
    symbolon_free(token->access_token);
    symbolon_free(token->scope);
    symbolon_free(token->rs_jwk);
    symbolon_free(token->kid);
    symbolon_free(token->refresh_token);
    symbolon_key_unref(token->key);
    *token = (struct symbolon_token){ 0 };
}
