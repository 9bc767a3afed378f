#include "token/assertion.h"

#include "codec/json.h"
#include "jose/jws.h"

#include <stdlib.h>

#define NUMERIC_DATE_MAX (INT64_C(1) << 53)

static enum status set_text(struct js *js, const char *name, struct span text)
{
    return text.p == NULL ? ST_OK : js_set_str(js, name, text);
}

static enum status print_claims(const struct assertion_claims *c, struct buf *out)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    enum status st = set_text(js, "iss", c->iss);

    if (st == ST_OK)
        st = set_text(js, "sub", c->sub);
    if (st == ST_OK)
        st = set_text(js, "client_id", c->client_id);
    if (st == ST_OK)
        st = js_set_str(js, "aud", c->aud);
    if (st == ST_OK)
        st = js_set_i64(js, "iat", c->iat.s);
    if (st == ST_OK)
        st = js_set_i64(js, "exp", c->iat.s + c->lifetime_s);
    if (st == ST_OK)
        st = js_set_str(js, "jti", c->jti);
    return st == ST_OK ? js_print(js, out) : st;
}

enum status assertion_sign(const struct assertion_claims *claims, const struct key *key, struct span kid,
                           struct buf *out)
{
    CLEANUP(buf_done)
    struct buf payload;
    enum status st;

    buf_init(&payload, ASSERTION_MAX_BYTES);
    st = print_claims(claims, &payload);
    if (st == ST_OK)
        st = jws_sign(key, kid, span_of_str(claims->typ), SPAN_NONE, buf_span(&payload), out);
    return st;
}

/* Header and claims, not yet believed. */
struct reading {
    struct jws jws;
    struct js *claims;
};

static void reading_done(struct reading *r)
{
    jws_done(&r->jws);
    js_unref(r->claims);
}

static enum status read_claims(struct reading *r, struct why *why)
{
    CLEANUP(buf_done)
    struct buf payload;
    enum status st;

    buf_init(&payload, ASSERTION_MAX_BYTES);
    st = jws_payload(&r->jws, &payload, why);
    if (st == ST_OK)
        st = js_parse(buf_span(&payload), ASSERTION_MAX_BYTES, &r->claims, why);
    if (st == ST_OK && !js_is(r->claims, JS_OBJECT))
        return reject(why, ST_MALFORMED, "RFC 7519 7.2", "the claims set is not an object", 0);
    return st;
}

/* What jose says about tokens, said about credentials. */
static enum status as_credential(enum status st)
{
    return st == ST_BAD_TOKEN || st == ST_UNSUPPORTED ? ST_BAD_CREDENTIAL : st;
}

static enum status read_jws(struct span text, struct reading *r, struct why *why)
{
    if (text.len > ASSERTION_MAX_BYTES)
        return reject(why, ST_TOO_LARGE, "ASSERTION_MAX_BYTES", "assertion larger than allowed", 0);
    return as_credential(jws_parse(text, &r->jws, why));
}

static struct span keep(uint8_t *block, size_t *used, struct span s)
{
    uint8_t *to = block + *used;

    if (s.p == NULL)
        return SPAN_NONE;
    if (s.len > 0)
        memcpy(to, s.p, s.len);
    *used += s.len;
    return span_of(to, s.len);
}

enum status assertion_peek(struct span jws, struct assertion_claimant *out, struct why *why)
{
    CLEANUP(reading_done)
    struct reading r = { 0 };
    struct span sub = SPAN_NONE, client_id = SPAN_NONE;
    size_t used = 0;
    enum status st;

    *out = (struct assertion_claimant){ 0 };
    st = read_jws(jws, &r, why);
    if (st == ST_OK)
        st = read_claims(&r, why);
    if (st != ST_OK)
        return st;
    (void)js_get_str(r.claims, "sub", &sub);
    (void)js_get_str(r.claims, "client_id", &client_id);
    out->owned = malloc(sub.len + client_id.len + r.jws.kid.len + 1);
    if (out->owned == NULL)
        return ST_NO_MEMORY;
    out->sub = keep(out->owned, &used, sub);
    out->client_id = keep(out->owned, &used, client_id);
    out->kid = keep(out->owned, &used, r.jws.kid);
    return ST_OK;
}

void assertion_claimant_done(struct assertion_claimant *claimant)
{
    free(claimant->owned);
    *claimant = (struct assertion_claimant){ 0 };
}

static enum status refuse(struct why *why, const char *clause, const char *text)
{
    return reject(why, ST_BAD_CREDENTIAL, clause, text, 0);
}

static enum status check_typ(struct span typ, const char *wanted, struct why *why)
{
    if (typ.p == NULL && strcmp(wanted, ASSERTION_TYP_CLIENT) == 0)
        return ST_OK;
    if (typ.p != NULL && jose_type_is(typ, wanted))
        return ST_OK;
    return refuse(why, "RFC 8725 3.11", "typ says that it was signed for something else");
}

static bool text_is(const struct js *js, const char *name, struct span wanted)
{
    struct span have;

    return wanted.p == NULL || (js_get_str(js, name, &have) && span_eq(have, wanted));
}

static bool is_expected_aud(const struct js *js, const struct assertion_expected *e)
{
    struct span one;

    if (!js_as_str(js, &one))
        return false;
    for (size_t i = 0; i < e->n_auds; i++) {
        if (span_eq(one, e->auds[i]))
            return true;
    }
    return false;
}

static enum status check_names(const struct js *js, const struct assertion_expected *e, struct why *why)
{
    const struct js *aud = js_get(js, "aud");
    bool ours = is_expected_aud(aud, e);

    if (!text_is(js, "iss", e->iss))
        return refuse(why, "RFC 7523 3", "iss is not the client");
    if (!text_is(js, "sub", e->sub))
        return refuse(why, "RFC 7523 3", "sub is not the client");
    if (!text_is(js, "client_id", e->client_id))
        return refuse(why, "AF-42", "client_id is not the client");
    for (size_t i = 0; !ours && js_is(aud, JS_ARRAY) && i < js_size(aud); i++)
        ours = is_expected_aud(js_at(aud, i), e);
    return ours ? ST_OK : refuse(why, "RFC 7523 3", "aud does not name this server");
}

static bool in_range(int64_t t)
{
    return t >= 0 && t <= NUMERIC_DATE_MAX;
}

static enum status check_times(const struct js *js, const struct assertion_expected *e, int64_t now,
                               struct wall_time *ret_exp, struct why *why)
{
    int64_t exp, other, skew = e->skew_s, oldest = e->max_age_s;

    if (!js_get_i64(js, "exp", &exp) || !in_range(exp))
        return refuse(why, "RFC 7523 3", "no exp, or not a whole number in range");
    if (now >= exp + skew)
        return refuse(why, "RFC 7523 3", "exp lies in the past");
    if (exp - now > oldest + skew)
        return refuse(why, "RFC 7523 3", "exp lies too far in the future");
    if (js_get(js, "iat") != NULL) {
        if (!js_get_i64(js, "iat", &other) || !in_range(other) || other > now + skew)
            return refuse(why, "TK-53", "iat lies in the future or is no whole number");
        if (now - other > oldest + skew)
            return refuse(why, "RFC 7523 3", "issued too long ago");
    }
    if (js_get(js, "nbf") != NULL && (!js_get_i64(js, "nbf", &other) || !in_range(other) || other > now + skew))
        return refuse(why, "TK-53", "nbf lies in the future or is no whole number");
    ret_exp->s = exp + skew;
    return ST_OK;
}

static enum status read_jti(const struct js *js, struct assertion *out, struct why *why)
{
    struct span jti;

    if (!js_get_str(js, "jti", &jti) || jti.len == 0 || jti.len > ASSERTION_MAX_JTI)
        return refuse(why, "RFC 7523 3", "no jti, or longer than allowed");
    for (size_t i = 0; i < jti.len; i++) {
        if (jti.p[i] <= 0x20 || jti.p[i] >= 0x7f)
            return refuse(why, "RFC 7523 3", "jti holds more than printable ASCII");
    }
    memcpy(out->jti, jti.p, jti.len);
    out->jti[jti.len] = '\0';
    return ST_OK;
}

enum status assertion_check(struct span jws, const struct key *key, const struct assertion_expected *expected,
                            struct wall_time now, struct assertion *out, struct why *why)
{
    CLEANUP(reading_done)
    struct reading r = { 0 };
    enum status st;

    (void)reject(why, ST_NO_MEMORY, "memory", "out of memory",
                 0); /* the one failure that does not say so itself */
    st = read_jws(jws, &r, why);
    if (st == ST_OK)
        st = check_typ(r.jws.typ, expected->typ, why);
    if (st != ST_OK)
        return st;
    st = jws_check(&r.jws, key, why);
    if (st != ST_OK)
        return as_credential(st);
    st = read_claims(&r, why);
    if (st == ST_OK)
        st = check_names(r.claims, expected, why);
    if (st == ST_OK)
        st = check_times(r.claims, expected, now.s, &out->exp, why);
    if (st == ST_OK)
        st = read_jti(r.claims, out, why);
    return st;
}
