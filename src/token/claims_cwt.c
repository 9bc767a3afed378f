/* The issuing side of CWTs (RFC 8392): the same claims, in CBOR. */
#include "cose/cose_key.h"
#include "token/cwt_priv.h"
#include "token/token_priv.h"

#define CLAIMS_MAX (SCOPE_MAX_BYTES + 4096) /* the scope dominates */

static void put_text(struct buf *out, enum cwt_claim label, struct span text)
{
    if (text.p == NULL)
        return;
    cb_put_int(out, label);
    cb_put_text(out, text);
}

static void put_bytes_claim(struct buf *out, enum cwt_claim label, struct span bytes)
{
    if (bytes.len == 0)
        return;
    cb_put_int(out, label);
    cb_put_bytes(out, bytes);
}

static void put_number(struct buf *out, enum cwt_claim label, bool has, int64_t v)
{
    if (!has)
        return;
    cb_put_int(out, label);
    cb_put_int(out, v);
}

static enum status put_cnf(struct buf *out, const struct token_claims *c)
{
    cb_put_int(out, CWT_CNF);
    cb_put_map(out, 1);
    if (c->cnf == NULL) { /* COSE_CertHash (RFC 9360 2) */
        cb_put_int(out, CNF_X5T);
        cb_put_array(out, 2);
        cb_put_int(out, COSE_SHA256);
        cb_put_bytes(out, c->cnf_x5t);
        return ST_OK;
    }
    cb_put_int(out, CNF_COSE_KEY);
    return sy_cose_key_write(c->cnf, c->cnf_kid, NULL, false, out);
}

static enum status put_scope(struct buf *out, const struct scope *scope)
{
    CLEANUP(buf_done)
    struct buf aif;
    enum status st;

    buf_init(&aif, SCOPE_MAX_BYTES);
    if (scope == NULL)
        return ST_OK;
    st = scope_to_cbor(scope, &aif);
    put_bytes_claim(out, CWT_SCOPE, buf_span(&aif));
    return st;
}

static size_t count(const struct token_claims *c)
{
    const bool there[] = { c->iss.p != NULL, c->sub.p != NULL, c->aud.p != NULL,  c->has_exp,
                           c->has_nbf,       c->has_iat,       c->jti.len > 0,    true, /* cnf */
                           c->scope != NULL, c->ace_profile,   c->cnonce.len > 0, c->has_exi };
    size_t n = 0;

    for (size_t i = 0; i < COUNT_OF(there); i++)
        n += there[i];
    return n;
}

/* In the order of their labels, which is the deterministic one (RFC 8949 4.2.1). */
static enum status put_claims(const struct token_claims *c, struct buf *out)
{
    enum status st;

    cb_put_map(out, count(c));
    put_text(out, CWT_ISS, c->iss);
    put_text(out, CWT_SUB, c->sub);
    put_text(out, CWT_AUD, c->aud);
    put_number(out, CWT_EXP, c->has_exp, c->exp.s);
    put_number(out, CWT_NBF, c->has_nbf, c->nbf.s);
    put_number(out, CWT_IAT, c->has_iat, c->iat.s);
    put_bytes_claim(out, CWT_CTI, c->jti);
    st = put_cnf(out, c);
    if (st == ST_OK)
        st = put_scope(out, c->scope);
    if (st != ST_OK)
        return st;
    put_number(out, CWT_ACE_PROFILE, c->ace_profile, ACE_PROFILE_MQTT_TLS_CBOR);
    put_bytes_claim(out, CWT_CNONCE, c->cnonce);
    put_number(out, CWT_EXI, c->has_exi, c->exi_s);
    return buf_status(out);
}

static enum status finish(struct buf *out, size_t start, enum status st)
{
    if (st == ST_OK && !buf_ok(out))
        st = buf_status(out);
    if (st != ST_OK && out->len > start)
        buf_truncate(out, start);
    return st;
}

enum status token_issue_cwt_sign1(const struct token_claims *claims, const struct key *signer,
                                  struct span signer_kid, struct buf *out, struct why *why)
{
    CLEANUP(buf_done)
    struct buf payload;
    size_t start = out->len;
    enum status st;

    buf_init(&payload, CLAIMS_MAX);
    st = claims_check(claims, signer, why);
    if (st != ST_OK)
        return st;
    if (claims->cnf != NULL && key_kind(claims->cnf) == KEY_SECRET)
        return reject(why, ST_BAD_POP_KEY, "TK-4", "a symmetric PoP key needs an encrypted token", 0);
    st = put_claims(claims, &payload);
    if (st != ST_OK)
        return st;
    cb_put_tag(out, CWT_TAG);
    return finish(out, start, sy_cose_sign1(signer, signer_kid, buf_span(&payload), out));
}

static enum status encrypt(const struct key *shared, struct span kid, struct span text, struct buf *out,
                           struct why *why)
{
    size_t start = out->len, len = key_secret(shared).len;

    if (len != sy_cose_key_len(COSE_A128GCM) && len != sy_cose_key_len(COSE_A256GCM))
        return reject(why, ST_BAD_POP_KEY, "RFC 9053 4.1", "the shared key must have 16 or 32 bytes", 0);
    cb_put_tag(out, CWT_TAG);
    return finish(out, start,
                  sy_cose_encrypt0(len == sy_cose_key_len(COSE_A128GCM) ? COSE_A128GCM : COSE_A256GCM, shared,
                                   kid, text, out));
}

enum status token_issue_cwt_encrypt0(const struct token_claims *claims, const struct key *signer,
                                     struct span signer_kid, const struct key *shared, struct span shared_kid,
                                     struct buf *out, struct why *why)
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
        st = put_claims(claims, &payload);
    if (st != ST_OK)
        return st;
    if (signer == NULL)
        return encrypt(shared, shared_kid, buf_span(&payload), out, why);
    st = sy_cose_sign1(signer, signer_kid, buf_span(&payload), &inner); /* RFC 8392 7.1: no tag 61 inside */
    return st == ST_OK ? encrypt(shared, shared_kid, buf_span(&inner), out, why) : st;
}
