#include "jose/jws.h"

#include "codec/base64.h"
#include "jose/header_priv.h"

#include <strings.h>

static bool is_none(struct span alg)
{
    return alg.len == 4 && strncasecmp((const char *)alg.p, "none", 4) == 0;
}

/* "Ed25519" is the newer name of what "EdDSA" means for these keys (RFC 9864 2.2); web browsers write it. */
static bool read_alg(struct span name, enum sig_alg *ret)
{
    return sig_from_name(span_eq_str(name, "Ed25519") ? SPAN("EdDSA") : name, ret);
}

static enum status read_signature(struct span text, struct jws *out, struct why *why)
{
    CLEANUP(buf_done)
    struct buf sig;
    enum status st;

    buf_init(&sig, SIG_CHECK_MAX);
    st = base64url_decode(text, &sig, why);
    if (st == ST_TOO_LARGE)
        return reject(why, ST_BAD_TOKEN, "TK-63", "signature longer than any we know", 0);
    if (st != ST_OK)
        return st;
    if (sig.len > 0)
        memcpy(out->signature, sig.p, sig.len);
    out->signature_len = sig.len;
    return ST_OK;
}

enum status jws_parse(struct span compact, struct jws *out, struct why *why)
{
    struct jose_header header = { 0 };
    struct span part[3];
    enum status st;

    *out = (struct jws){ 0 };
    if (!jose_split(compact, part, COUNT_OF(part)))
        return reject(why, ST_MALFORMED, "RFC 7515 7.1", "not three parts", 0);
    st = jose_header_read(part[0], &header, why);
    if (st != ST_OK)
        return st;
    out->header = header.js;
    out->kid = header.kid;
    out->typ = header.typ;
    out->cty = header.cty;
    out->signing_input = span_cut(compact, 0, part[0].len + 1 + part[1].len);
    out->payload_text = part[1];
    if (is_none(header.alg))
        return reject(why, ST_UNSUPPORTED, "TK-40", "alg none: not signed at all", 0);
    if (!read_alg(header.alg, &out->alg))
        return reject(why, ST_UNSUPPORTED, "RFC 7515 4.1.1", "alg not spoken", 0);
    return read_signature(part[2], out, why);
}

void jws_done(struct jws *jws)
{
    js_unref(jws->header);
    *jws = (struct jws){ 0 };
}

enum status jws_check(const struct jws *jws, const struct key *key, struct why *why)
{
    enum status st;

    if (!sig_fits(jws->alg, key))
        return reject(why, ST_BAD_TOKEN, "TK-41", "alg is not this key's", 0);
    if (jws->signature_len != sig_len(key))
        return reject(why, ST_BAD_TOKEN, "TK-63", "signature of the wrong length", 0);
    st = sig_check(key, jws->alg, jws->signing_input, span_of(jws->signature, jws->signature_len), why);
    if (st == ST_OK || st == ST_NO_MEMORY)
        return st;
    return reject(why, ST_BAD_TOKEN, "RFC 7515 5.2", "signature does not verify", 0);
}

enum status jws_payload(const struct jws *jws, struct buf *out, struct why *why)
{
    return base64url_decode(jws->payload_text, out, why);
}

enum status jws_sign(const struct key *key, struct span kid, struct span typ, struct span cty,
                     struct span payload, struct buf *out)
{
    enum sig_alg alg = sig_for_key(key);
    struct jose_header_parts parts = { .alg = sig_name(alg), .kid = kid, .typ = typ, .cty = cty };
    size_t start = out->len;
    uint8_t signature[SIG_MAX];
    enum status st;

    st = jose_header_write(&parts, out);
    put_u8(out, '.');
    base64url_encode(payload, out);
    if (st == ST_OK)
        st = buf_status(out);
    if (st == ST_OK)
        st = sig_make(key, alg, span_cut(buf_span(out), start, out->len), signature);
    if (st == ST_OK) {
        put_u8(out, '.');
        base64url_encode(span_of(signature, sig_len(key)), out);
        st = buf_status(out);
    }
    if (st != ST_OK)
        buf_truncate(out, start);
    return st;
}
