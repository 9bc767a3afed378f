/* Claims against what we are and what time it is (AF-63 steps 2 to 8), whether they came in a token or from
 * introspection. */
#include "codec/base64.h"
#include "jose/jwk.h"
#include "token/claim_rules.h"
#include "token/claims.h"
#include "token/cwt_priv.h"
#include "token/token_priv.h"

#define NUMERIC_DATE_MAX (INT64_C(1) << 53) /* TK-52 */
#define CNONCE_MAX       64

/* RFC 9277 4.3: a tag for each CoAP Content-Format, which says what the bytes behind it are. */
#define CONTENT_FORMAT_TAG_FIRST UINT32_C(0x63740101)
#define CONTENT_FORMAT_TAG_LAST  UINT32_C(0x6374ffff)

/* Claims as they stand in the JSON; spans are borrowed from it. */
struct claims {
    struct span sub, client_id, jti, cnonce, aud;
    bool has_exp, has_exi, has_iat, has_nbf;
    int64_t exp, exi, iat, nbf;
};

/* `where` may be another name for it (token/claim_rules.h). */
static enum status read_text(const struct js *js, const char *where, const char *name, struct span *ret,
                             struct why *why)
{
    const struct js *claim = claim_rules_find(js, where, name);

    *ret = SPAN_NONE;
    if (claim == NULL || js_as_str(claim, ret))
        return ST_OK;
    return reject(why, ST_MALFORMED, "AF-63 claims", "a claim that must be text is not", 0);
}

/* Seconds: a whole number from 0 to 2^53. "1e9", 1.5, "123" and true are not (TK-52). */
static enum status read_seconds(const struct js *js, const char *name, bool *has, int64_t *ret, struct why *why)
{
    *has = js_get(js, name) != NULL;
    if (!*has)
        return ST_OK;
    if (!js_get_i64(js, name, ret) || *ret < 0 || *ret > NUMERIC_DATE_MAX)
        return reject(why, ST_BAD_TOKEN, "TK-52", "a time claim is not a whole number in range", 0);
    return ST_OK;
}

static enum status check_texts(const struct claim_rules *rules, const struct js *js, struct claims *c,
                               struct why *why)
{
    enum status st;

    if (!js_is(js, JS_OBJECT))
        return reject(why, ST_MALFORMED, "AF-63 claims", "the claims set is not an object", 0);
    st = claim_rules_check_use(rules, js, why);
    if (st == ST_OK)
        st = read_text(js, rules == NULL ? NULL : rules->subject, "sub", &c->sub, why);
    if (st == ST_OK)
        st = read_text(js, rules == NULL ? NULL : rules->client_id, "client_id", &c->client_id, why);
    if (st == ST_OK)
        st = read_text(js, NULL, "jti", &c->jti, why);
    return st;
}

/* What a CWT has instead of jti is bytes, and stays so. */
static enum status read_cti(const struct cb *cwt, struct span *ret, struct why *why)
{
    const struct cb *cti = cb_get(cwt, CWT_CTI);

    if (cti == NULL || (cb_as_bytes(cti, ret) && ret->len > 0))
        return ST_OK;
    return reject(why, ST_MALFORMED, "RFC 8392 3.1.7", "cti is no byte string", 0);
}

static enum status check_iss(const struct js *js, struct span expected, struct why *why)
{
    struct span iss;

    if (js_get(js, "iss") == NULL)
        return ST_OK;
    if (!js_get_str(js, "iss", &iss) || !span_eq(iss, expected))
        return reject(why, ST_BAD_TOKEN, "AF-63 iss", "iss is not the AS that vouches for it", 0);
    return ST_OK;
}

/* Without a clock (AF-15 to AF-18) dates say nothing, but the distance from iat to exp is a life time. A token that
 * gives no length is one that would never end. */
static enum status check_length(const struct verifier_config *settings, const struct claims *c, struct why *why)
{
    bool dated = c->has_exp && c->has_iat;
    int64_t length = c->has_exi ? c->exi : dated ? c->exp - c->iat : 0, longest = settings->max_lifetime_s;

    if (!c->has_exi && !dated)
        return reject(why, ST_BAD_TOKEN, "TK-52", "neither exi nor both exp and iat, and no clock here", 0);
    if (length <= 0 || (dated && c->exp <= c->iat))
        return reject(why, ST_TOKEN_EXPIRED, "AF-75", "exi, or exp after iat, leaves no time", 0);
    if (longest != 0 && length > longest)
        return reject(why, ST_BAD_TOKEN, "max_lifetime", "it lives longer than allowed here", 0);
    return ST_OK;
}

static enum status check_lifetime(const struct verifier_config *settings, const struct claims *c, int64_t now,
                                  struct why *why)
{
    int64_t skew = settings->skew_s, longest = settings->max_lifetime_s;

    if (settings->no_clock)
        return check_length(settings, c, why);
    if (c->has_exp && now >= c->exp + skew)
        return reject(why, ST_TOKEN_EXPIRED, "AF-63 exp", "exp lies in the past", 0);
    if (c->has_nbf && c->nbf > now + skew)
        return reject(why, ST_BAD_TOKEN, "TK-53", "nbf lies in the future", 0);
    if (c->has_iat && c->iat > now + skew)
        return reject(why, ST_BAD_TOKEN, "TK-53", "iat lies in the future", 0);
    if (c->has_exi && c->exi == 0)
        return reject(why, ST_TOKEN_EXPIRED, "AF-75", "exi leaves no time", 0);
    if (!c->has_exp && !c->has_exi && !settings->allow_no_lifetime)
        return reject(why, ST_BAD_TOKEN, "TK-52", "neither exp nor exi", 0);
    if (longest != 0 && ((c->has_exp && c->exp - now > longest) || (c->has_exi && c->exi > longest)))
        return reject(why, ST_BAD_TOKEN, "max_lifetime", "lives longer than allowed here", 0);
    return ST_OK;
}

static enum status check_times(const struct verifier_config *settings, const struct claims_source *source,
                               const struct js *js, struct wall_time now, struct claims *c, struct why *why)
{
    enum status st;

    st = read_seconds(js, "exp", &c->has_exp, &c->exp, why);
    if (st == ST_OK)
        st = read_seconds(js, "exi", &c->has_exi, &c->exi, why);
    if (st == ST_OK)
        st = read_seconds(js, "nbf", &c->has_nbf, &c->nbf, why);
    if (st == ST_OK)
        st = read_seconds(js, "iat", &c->has_iat, &c->iat, why);
    if (st == ST_OK)
        st = check_lifetime(settings, c, now.s, why);
    if (st != ST_OK)
        return st;
    /* Without a sequence number in jti nothing stops a spent exi token from starting over (AF-76, AF-77). */
    if (c->has_exi && !source->by_introspection && c->jti.p == NULL)
        return reject(why, ST_BAD_TOKEN, "AF-76", "exi without jti", 0);
    return ST_OK;
}

static enum status check_aud(const struct verifier *v, size_t issuer, const struct js *js, struct span *ret_aud,
                             struct why *why)
{
    const struct claim_rules *rules = verifier_rules(v, issuer);
    const struct js *aud = js_get(js, "aud");
    struct span one;

    if (rules != NULL && rules->audience_optional &&
        (aud == NULL || (js_is(aud, JS_ARRAY) && js_size(aud) == 0)))
        return ST_OK;
    if (js_as_str(aud, &one) && verifier_find_audience(v, issuer, one, ret_aud))
        return ST_OK;
    for (size_t i = 0; js_is(aud, JS_ARRAY) && i < js_size(aud); i++) {
        if (!js_as_str(js_at(aud, i), &one))
            return reject(why, ST_BAD_TOKEN, "AF-63 aud", "aud holds something that is not text", 0);
        if (verifier_find_audience(v, issuer, one, ret_aud))
            return ST_OK;
    }
    return reject(why, ST_BAD_TOKEN, "AF-63 aud", "aud does not name this resource server", 0);
}

/* In a CWT: the AIF array, in a byte string (AF-106), or that behind a tag that says so (RFC 9594 7), or any text that a
 * JWT may carry (D-20). */
static enum status scope_from_cwt(const struct cb *claim, struct scope **ret_scope, struct why *why)
{
    uint64_t tag;
    const struct cb *inner = cb_tagged(claim, &tag);
    struct span text;

    if (cb_as_text(claim, &text))
        return scope_from_text(text, ret_scope, why);
    if (inner == NULL)
        return scope_from_cbor(claim, ret_scope, why);
    if (!cb_is(inner, CB_BYTES) || tag < CONTENT_FORMAT_TAG_FIRST || tag > CONTENT_FORMAT_TAG_LAST)
        return reject(why, ST_BAD_SCOPE, "RFC 9594 7", "the scope has a tag that says nothing about scopes", 0);
    return scope_from_cbor(inner, ret_scope, why);
}

static enum status read_scope(const struct claim_rules *rules, const struct claims_source *source,
                              const struct js *js, struct scope **ret_scope, struct why *why)
{
    const struct cb *in_cwt = cb_get(source->cwt, CWT_SCOPE);
    enum status st;

    if (in_cwt == NULL)
        return claim_rules_scope(rules, js, ret_scope, why);
    st = scope_from_cwt(in_cwt, ret_scope, why);
    if (st == ST_OK || st == ST_NO_MEMORY)
        return st;
    return ST_BAD_SCOPE; /* its own why says what is wrong with it */
}

static enum status read_cnonce(const struct verifier_config *settings, const struct js *js, struct buf *out,
                               struct why *why)
{
    struct span text;
    enum status st;

    if (js_get(js, "cnonce") == NULL) {
        if (settings->require_cnonce)
            return reject(why, ST_BAD_TOKEN, "AF-18", "no cnonce, though this server asked for one", 0);
        return ST_OK;
    }
    if (!js_get_str(js, "cnonce", &text))
        return reject(why, ST_BAD_TOKEN, "AF-19", "cnonce is not text", 0);
    if (buf_room(out, CNONCE_MAX) == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    st = base64url_decode(text, out, NULL);
    if (st != ST_OK || out->len == 0)
        return reject(why, ST_BAD_TOKEN, "AF-19", "cnonce is not base64url of a few bytes", 0);
    return ST_OK;
}

/* RFC 9431 7.3: "mqtt_tls" in JSON; its CBOR number, also as digits, is taken for it (ace-framework.md 10). */
static enum status check_profile(const struct js *js, struct why *why)
{
    const struct js *claim = js_get(js, "ace_profile");
    struct span text;
    int64_t number;

    if (claim == NULL)
        return ST_OK;
    if (js_as_i64(claim, &number) && number == ACE_PROFILE_MQTT_TLS_CBOR)
        return ST_OK;
    if (js_as_str(claim, &text) && (span_eq_str(text, ACE_PROFILE_MQTT_TLS) || span_eq_str(text, "3")))
        return ST_OK;
    return reject(why, ST_BAD_TOKEN, "AF-94", "ace_profile is not one enabled here", 0);
}

static enum status make_token(const struct verifier *v, const struct claims_source *source,
                              const struct claims *c, const struct cnf *cnf, struct token **ret_token)
{
    struct span iss = verifier_iss(v, source->issuer);
    struct span kid =
        cnf->has_kid ? span_of(cnf->kid.len > 0 ? cnf->kid.p : (const uint8_t *)"", cnf->kid.len) : SPAN_NONE;
    struct span text = verifier_keeps_text(v, source->issuer) ? source->token : SPAN_NONE;
    CLEANUP(token_unrefp)
    struct token *t = token_alloc(iss.len + c->sub.len + c->client_id.len + c->aud.len + c->jti.len +
                                  c->cnonce.len + kid.len + text.len);
    enum status st;

    if (t == NULL)
        return ST_NO_MEMORY;
    t->format = source->format;
    t->iss = token_keep(t, iss);
    t->sub = token_keep(t, c->sub);
    t->client_id = token_keep(t, c->client_id);
    t->aud = token_keep(t, c->aud);
    t->jti = token_keep(t, c->jti);
    t->cnonce = token_keep(t, c->cnonce);
    t->cnf_kid = token_keep(t, kid);
    t->text = token_keep(t, text);
    t->has_exp = c->has_exp;
    t->has_exi = c->has_exi;
    t->has_iat = c->has_iat;
    t->has_nbf = c->has_nbf;
    t->exp.s = c->exp;
    t->exi_s = c->exi;
    t->iat.s = c->iat;
    t->nbf.s = c->nbf;
    t->skew_s = verifier_settings(v)->skew_s;
    t->no_clock = verifier_settings(v)->no_clock;
    t->encrypted = source->encrypted;
    t->by_introspection = source->by_introspection;
    t->cnf_how = cnf->how;
    t->cnf = cnf->key == NULL ? NULL : key_ref(cnf->key);
    if (cnf->how == TOKEN_CNF_X5T)
        memcpy(t->cnf_thumbprint, cnf->x5t, sizeof t->cnf_thumbprint);
    memcpy(t->hash, source->name.hash, sizeof t->hash);
    t->has_twin = source->name.has_twin;
    memcpy(t->twin, source->name.twin, sizeof t->twin);
    st = cnf->key == NULL ? ST_OK : jwk_thumbprint(cnf->key, t->cnf_thumbprint);
    if (st == ST_OK)
        *ret_token = TAKE(t);
    return st;
}

static enum status read_cnf(const struct verifier *v, const struct claims_source *source, const struct js *js,
                            struct cnf *out, struct why *why)
{
    const struct claim_rules *rules = verifier_rules(v, source->issuer);
    const char *where = rules == NULL ? NULL : rules->cnf;

    return source->cwt != NULL ? cnf_read_cwt(v, source, out, why)
                               : cnf_read(v, source, claim_rules_find(js, where, "cnf"), out, why);
}

enum status claims_accept(const struct verifier *v, const struct claims_source *source, const struct js *js,
                          struct wall_time now, struct token **ret_token, struct why *why)
{
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    CLEANUP(cnf_done)
    struct cnf cnf;
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    CLEANUP(buf_done)
    struct buf cnonce;
    const struct verifier_config *settings = verifier_settings(v);
    const struct claim_rules *rules = verifier_rules(v, source->issuer);
    struct claims c = { 0 };
    enum status st;

    buf_init(&cnonce, CNONCE_MAX);
    cnf_init(&cnf);
    st = check_texts(rules, js, &c, why);
    if (st == ST_OK)
        st = read_cti(source->cwt, &c.jti, why);
    if (st == ST_OK)
        st = check_iss(js, verifier_iss(v, source->issuer), why);
    if (st == ST_OK)
        st = check_times(settings, source, js, now, &c, why);
    if (st == ST_OK)
        st = check_aud(v, source->issuer, js, &c.aud, why);
    if (st == ST_OK)
        st = read_scope(rules, source, js, &scope, why);
    if (st == ST_OK)
        st = read_cnonce(settings, js, &cnonce, why);
    if (st == ST_OK)
        st = check_profile(js, why);
    if (st == ST_OK)
        st = read_cnf(v, source, js, &cnf, why);
    c.cnonce = buf_span(&cnonce);
    if (st == ST_OK)
        st = make_token(v, source, &c, &cnf, &token);
    if (st != ST_OK)
        return st;
    token->scope = TAKE(scope);
    *ret_token = TAKE(token);
    return ST_OK;
}
