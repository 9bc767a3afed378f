/* From the bytes a client sent to claims that a configured issuer vouches for (tokens.md section 6, 1 to 6). */
#include "codec/base64.h"
#include "crypto/hash.h"
#include "jose/jwe.h"
#include "jose/jws.h"
#include "token/claim_rules.h"
#include "token/token_priv.h"

/* A CWT is an array of COSE (RFC 9052 2) behind tag 61 or its own tag, or without any; none of them is a character. */
static bool starts_as_cose(struct span token)
{
    switch (token.p[0]) {
    case 0xd0: /* tag 16: COSE_Encrypt0 */
    case 0xd1: /* tag 17: COSE_Mac0 */
    case 0xd2: /* tag 18: COSE_Sign1 */
    case 0xd8: /* a tag in one more byte: 61, 96, 97, 98 */
    case 0x83: /* COSE_Encrypt0 as it is */
    case 0x84: /* COSE_Mac0, COSE_Sign1 */
        return true;
    default:
        return false;
    }
}

/* A header is a JSON object, so a JWT starts with an encoded "{", whose first character is always "e". */
enum token_form token_form(struct span token)
{
    size_t dots = 0, others = 0;

    if (token.len > 0 && starts_as_cose(token))
        return TOKEN_FORM_COSE;
    for (size_t i = 0; i < token.len; i++) { /* without a way out, so that the compiler takes many at a time */
        others += token.p[i] < 0x20 || token.p[i] > 0x7e;
        dots += token.p[i] == '.';
    }
    if (token.len == 0 || others > 0)
        return TOKEN_FORM_OTHER; /* RFC 6749 A.12: an access token is printable */
    if (token.p[0] == 'e' && dots == 2)
        return TOKEN_FORM_JWS;
    if (token.p[0] == 'e' && dots == 4)
        return TOKEN_FORM_JWE;
    return TOKEN_FORM_REFERENCE;
}

/* `issuer` may not be known yet: then it is enough that some issuer's tokens may say so. */
static bool takes_type(const struct verifier *v, size_t issuer, struct span typ)
{
    if (typ.p == NULL || jose_type_is(typ, "JWT") || jose_type_is(typ, "at+jwt"))
        return true;
    for (size_t i = 0; i < verifier_settings(v)->n_issuers; i++)
        if ((issuer == VERIFIER_ANY_ISSUER || issuer == i) && claim_rules_take_type(verifier_rules(v, i), typ))
            return true;
    return false;
}

static enum status check_types(const struct verifier *v, struct span typ, struct span cty, struct opened *o,
                               struct why *why)
{
    if (!takes_type(v, o->issuer, typ))
        return reject(why, ST_BAD_TOKEN, "TK-24", "typ is another kind of JWT", 0);
    if (cty.p != NULL && !jose_type_is(cty, "JWT"))
        return reject(why, ST_BAD_TOKEN, "RFC 7519 5.2", "cty is not JWT", 0);
    o->nested = cty.p != NULL;
    return ST_OK;
}

enum status opened_by(struct opened *o, size_t issuer, struct why *why)
{
    if (o->issuer != VERIFIER_ANY_ISSUER && o->issuer != issuer)
        return reject(why, ST_BAD_TOKEN, "AF-63 wrapper", "layers protected by different issuers", 0);
    o->issuer = issuer;
    return ST_OK;
}

enum status opened_hash(struct opened *o, struct span bytes)
{
    enum status st = o->name.known ? ST_OK : sha256(bytes, o->name.hash);

    o->name.known = o->name.known || st == ST_OK;
    return st;
}

enum status opened_hash_twins(struct opened *o, struct span lesser, struct span greater)
{
    enum status st;

    if (o->name.known)
        return ST_OK;
    st = sha256(greater, o->name.twin);
    if (st == ST_OK)
        st = opened_hash(o, lesser);
    o->name.has_twin = st == ST_OK;
    return st;
}

static enum status hash_jws(struct opened *o, const struct jws *jws, struct span text)
{
    uint8_t twin[SIG_ES256_LEN];
    CLEANUP(buf_done)
    struct buf other;
    bool lesser;

    buf_init(&other, text.len);
    if (jws->alg != SIG_ES256)
        return opened_hash(o, text);
    lesser = sig_es256_twin(jws->signature, twin);
    put_bytes(&other, jws->signing_input);
    put_u8(&other, '.');
    base64url_encode(span_of(twin, sizeof twin), &other);
    if (!buf_ok(&other))
        return ST_NO_MEMORY;
    return lesser ? opened_hash_twins(o, buf_span(&other), text) : opened_hash_twins(o, text, buf_span(&other));
}

/* Issuers may use the same kid, and the one a token names may have a key of that kid that we do not know yet: then
 * the key set should be fetched again, not the token be called forged. */
static enum status check_signature(const struct verifier *v, const struct jws *jws,
                                   const struct verifier_choice *choice, struct why *why)
{
    const struct signed_layer layer = { .jws = jws };
    enum status st = jws_check(jws, choice->key, why);

    if (st == ST_BAD_TOKEN && verifier_names_other_issuer(v, &layer, choice->issuer))
        return reject(why, st, TOKEN_CLAUSE_KEY_UNKNOWN, "the issuer it names has no such key", 0);
    return st;
}

static enum status open_jws(const struct verifier *v, struct span text, struct opened *o, struct buf *out,
                            struct why *why)
{
    CLEANUP(jws_done)
    struct jws jws = { 0 };
    const struct signed_layer layer = { .jws = &jws };
    struct verifier_choice choice;
    enum status st;

    st = jws_parse(text, &jws, why);
    if (st == ST_OK)
        st = check_types(v, jws.typ, jws.cty, o, why);
    if (st == ST_OK)
        st = verifier_signing_key(v, &layer, &choice, why);
    if (st == ST_OK)
        st = opened_by(o, choice.issuer, why);
    if (st == ST_OK)
        st = check_types(v, jws.typ, jws.cty, o, why); /* now that it is known whose it claims to be */
    if (st == ST_OK)
        st = check_signature(v, &jws, &choice, why);
    if (st == ST_OK)
        st = jws_payload(&jws, out, why);
    if (st == ST_OK)
        st = hash_jws(o, &jws, text);
    return st;
}

static enum status open_jwe(const struct verifier *v, struct span text, struct opened *o, struct buf *out,
                            struct why *why)
{
    CLEANUP(jwe_done)
    struct jwe jwe = { 0 };
    const struct encrypted_layer layer = { .jwe = &jwe };
    struct verifier_choice choice;
    enum status st;

    st = jwe_parse(text, &jwe, why);
    if (st == ST_OK)
        st = check_types(v, jwe.typ, jwe.cty, o, why);
    if (st == ST_OK && jwe_alg_is_agreement(jwe.alg) && !o->nested)
        st = reject(why, ST_BAD_TOKEN, "TK-22", "encrypted to a public key, and not signed inside", 0);
    if (st == ST_OK)
        st = verifier_shared_key_for(v, &layer, o->issuer, &choice, why);
    if (st == ST_OK)
        st = opened_by(o, choice.issuer, why);
    if (st == ST_OK)
        st = check_types(v, jwe.typ, jwe.cty, o, why);
    if (st == ST_OK)
        st = jwe_decrypt(&jwe, choice.key, out, why);
    /* Whoever holds a signed token can encrypt it to our public key: it is the same token then. */
    if (st == ST_OK && !jwe_alg_is_agreement(jwe.alg))
        st = opened_hash(o, text);
    if (st == ST_OK)
        o->encrypted = true;
    return st;
}

/* Takes one layer off `text` into `out`. Inside JOSE stands JOSE only, inside COSE COSE. */
static enum status open_layer(const struct verifier *v, struct span text, bool outermost, bool cose,
                              struct opened *o, struct buf *out, struct why *why)
{
    enum status st;

    switch (cose ? TOKEN_FORM_COSE : token_form(text)) {
    case TOKEN_FORM_COSE:
        if (!cose)
            return reject(why, ST_MALFORMED, "RFC 7519 7.2", "cty says JWT, but there is none inside", 0);
        st = cwt_open_layer(v, text, outermost, o, out, why);
        break;
    case TOKEN_FORM_JWS:
        st = open_jws(v, text, o, out, why);
        break;
    case TOKEN_FORM_JWE:
        st = open_jwe(v, text, o, out, why);
        break;
    default:
        return reject(why, ST_MALFORMED, "RFC 7519 7.2", "cty says JWT, but there is none inside", 0);
    }
    /* An algorithm or extension we do not speak: a token, but not one to accept (MT-36 keeps the two apart). */
    return st == ST_UNSUPPORTED ? ST_BAD_TOKEN : st;
}

/* Layer by layer until claims are left; `out` holds them. */
static enum status open_all(const struct verifier *v, struct span token, bool cose, struct opened *o,
                            struct buf *out, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf inner;
    struct span text = token;

    buf_init(&inner, verifier_settings(v)->max_bytes);
    for (int layer = 0; layer < TOKEN_MAX_LAYERS; layer++) {
        struct buf former;
        enum status st = open_layer(v, text, layer == 0, cose, o, &inner, why);
        if (st != ST_OK)
            return st;
        former = *out;
        *out = inner;
        inner = former;
        buf_reset(&inner);
        text = buf_span(out);
        if (!o->nested)
            return ST_OK;
    }
    return reject(why, ST_BAD_TOKEN, "TK-49", "nested more deeply than allowed", 0);
}

enum status token_name_of(const struct verifier *v, struct span token, struct token_name *ret)
{
    CLEANUP(buf_wipe)
    struct buf text;
    struct opened o = { .issuer = VERIFIER_ANY_ISSUER };
    enum token_form form = token_form(token);
    enum status st = ST_BAD_TOKEN;

    buf_init(&text, verifier_settings(v)->max_bytes);
    if (form != TOKEN_FORM_REFERENCE && form != TOKEN_FORM_OTHER &&
        token.len <= verifier_settings(v)->max_bytes)
        st = open_all(v, token, form == TOKEN_FORM_COSE, &o, &text, NULL);
    if (st == ST_NO_MEMORY)
        return st;
    if (st != ST_OK) {
        o.name = (struct token_name){ 0 };
        st = opened_hash(&o, token);
    }
    *ret = o.name;
    return st;
}

/* What the layers protected, as claims: of a JWT, or of a CWT under the same names. */
static enum status accept_jwt(const struct verifier *v, struct claims_source *source, struct span text,
                              struct wall_time now, struct token **ret_token, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *claims = NULL;
    enum status st = js_parse(text, verifier_settings(v)->max_bytes, &claims, why);

    source->format = TOKEN_JWT;
    return st == ST_OK ? claims_accept(v, source, claims, now, ret_token, why) : st;
}

static enum status accept_cwt(const struct verifier *v, struct claims_source *source, struct span bytes,
                              struct wall_time now, struct token **ret_token, struct why *why)
{
    CLEANUP(cb_unrefp)
    struct cb *cwt = NULL;
    CLEANUP(js_unrefp)
    struct js *claims = NULL;
    enum status st = cb_parse(bytes, verifier_settings(v)->max_bytes, &cwt, why);

    if (st == ST_UNSUPPORTED)
        st = ST_MALFORMED; /* a tag without a meaning: nothing to understand */
    if (st == ST_OK)
        st = cwt_claims_to_js(cwt, &claims, why);
    source->format = TOKEN_CWT;
    source->cwt = cwt;
    return st == ST_OK ? claims_accept(v, source, claims, now, ret_token, why) : st;
}

enum status token_verify(struct span token, const struct verifier *verifier, struct wall_time now,
                         struct token **ret_token, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf text;
    const struct verifier_config *settings = verifier_settings(verifier);
    struct opened o = { .issuer = VERIFIER_ANY_ISSUER };
    struct claims_source source = { .token = token };
    enum token_form form = token_form(token);
    enum status st;

    buf_init(&text, settings->max_bytes);
    (void)reject(why, ST_NO_MEMORY, "memory", "out of memory",
                 0); /* the one failure that does not say so itself */
    if (token.len > settings->max_bytes)
        return reject(why, ST_TOO_LARGE, "max_bytes", "token larger than allowed", 0);
    if (form == TOKEN_FORM_REFERENCE && settings->introspection)
        return ST_PENDING;
    if (form == TOKEN_FORM_REFERENCE)
        return reject(why, ST_MALFORMED, "MT-36", "not a self-contained token, and none is looked up", 0);
    if (form == TOKEN_FORM_OTHER)
        return reject(why, ST_MALFORMED, "MT-36", "not a token of any kind spoken here", 0);

    st = open_all(verifier, token, form == TOKEN_FORM_COSE, &o, &text, why);
    if (st != ST_OK)
        return st;
    source.issuer = o.issuer;
    source.encrypted = o.encrypted;
    source.name = o.name;
    return form == TOKEN_FORM_COSE ? accept_cwt(verifier, &source, buf_span(&text), now, ret_token, why)
                                   : accept_jwt(verifier, &source, buf_span(&text), now, ret_token, why);
}
