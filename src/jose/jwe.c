#include "jose/jwe.h"

#include "codec/base64.h"
#include "crypto/aead.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "jose/agree_priv.h"
#include "jose/header_priv.h"
#include "jose/jwe_priv.h"
#include "jose/jwk.h"

#define NONCE_MAX 16
#define PARTY_MAX 128 /* bytes of apu and of apv */

/* clang-format off */
static const struct { const char *name; size_t kek_len; bool agree; } algs[JWE_ALGS] = { /* RFC 7518 4.1 */
    [JWE_DIR]            = { "dir",            0,  false },
    [JWE_A128KW]         = { "A128KW",         16, false },
    [JWE_A256KW]         = { "A256KW",         32, false },
    [JWE_ECDH_ES]        = { "ECDH-ES",        0,  true  },
    [JWE_ECDH_ES_A128KW] = { "ECDH-ES+A128KW", 16, true  },
    [JWE_ECDH_ES_A256KW] = { "ECDH-ES+A256KW", 32, true  },
};
static const struct { const char *name; enum aead_alg aead; } encs[JWE_ENCS] = { /* RFC 7518 5.1 */
    [JWE_A128GCM]       = { "A128GCM",       AEAD_AES128_GCM       },
    [JWE_A256GCM]       = { "A256GCM",       AEAD_AES256_GCM       },
    [JWE_A128CBC_HS256] = { "A128CBC-HS256", AEAD_AES128_CBC_HS256 },
};
/* clang-format on */

/* Bytes of the key that is shared or agreed on: it wraps the content key, or is it. */
static size_t base_key_len(enum jwe_alg alg, enum jwe_enc enc)
{
    return algs[alg].kek_len == 0 ? aead_key_len(encs[enc].aead) : algs[alg].kek_len;
}

bool jwe_alg_is_agreement(enum jwe_alg alg)
{
    return algs[alg].agree;
}

bool jwe_key_fits(enum jwe_alg alg, enum jwe_enc enc, const struct key *key)
{
    if (algs[alg].agree)
        return key_kind(key) == KEY_P256;
    return key_kind(key) == KEY_SECRET && key_secret(key).len == base_key_len(alg, enc);
}

static bool find_alg(struct span name, enum jwe_alg *ret)
{
    for (enum jwe_alg a = 0; a < JWE_ALGS; a++) {
        if (span_eq_str(name, algs[a].name)) {
            *ret = a;
            return true;
        }
    }
    return false;
}

static bool find_enc(struct span name, enum jwe_enc *ret)
{
    for (enum jwe_enc e = 0; e < JWE_ENCS; e++) {
        if (span_eq_str(name, encs[e].name)) {
            *ret = e;
            return true;
        }
    }
    return false;
}

static enum status read_party(const struct js *header, const char *name, struct span *ret, struct why *why)
{
    *ret = SPAN_NONE;
    if (js_get(header, name) == NULL || (js_get_str(header, name, ret) && ret->len <= base64url_len(PARTY_MAX)))
        return ST_OK;
    return reject(why, ST_MALFORMED, "RFC 7518 4.6.1.2", "apu or apv is not text, or too long", 0);
}

/* RFC 7518 4.6.1. The point is checked to lie on the curve when the key is made (TK-61). */
static enum status read_agreement(const struct js *header, struct jwe *out, struct why *why)
{
    CLEANUP(jwk_done)
    struct jwk jwk = { 0 };
    enum status st;

    if (js_get(header, "epk") == NULL)
        return reject(why, ST_MALFORMED, "RFC 7518 4.6.1.1", "no epk in header", 0);
    st = jwk_parse(js_get(header, "epk"), JWK_PUBLIC, &jwk, why);
    if (st == ST_OK && key_kind(jwk.key) != KEY_P256)
        st = reject(why, ST_UNSUPPORTED, "RFC 7518 4.6.1.1", "epk is no P-256 key", 0);
    if (st == ST_OK)
        st = read_party(header, "apu", &out->apu, why);
    if (st == ST_OK)
        st = read_party(header, "apv", &out->apv, why);
    if (st == ST_OK)
        out->epk = TAKE(jwk.key);
    return st;
}

enum status jwe_parse(struct span compact, struct jwe *out, struct why *why)
{
    struct jose_header header = { 0 };
    struct span part[5], enc;
    enum status st;

    *out = (struct jwe){ 0 };
    if (!jose_split(compact, part, COUNT_OF(part)))
        return reject(why, ST_MALFORMED, "RFC 7516 7.1", "not five parts", 0);
    st = jose_header_read(part[0], &header, why);
    if (st != ST_OK)
        return st;
    out->header = header.js;
    out->kid = header.kid;
    out->typ = header.typ;
    out->cty = header.cty;
    out->aad = part[0];
    out->encrypted_key = part[1];
    out->iv = part[2];
    out->ciphertext = part[3];
    out->tag = part[4];
    if (js_get(header.js, "zip") != NULL)
        return reject(why, ST_UNSUPPORTED, "TK-62", "compressed text is not accepted", 0);
    if (!find_alg(header.alg, &out->alg))
        return reject(why, ST_UNSUPPORTED, "TK-62", "key management algorithm not spoken", 0);
    if (!js_get_str(header.js, "enc", &enc))
        return reject(why, ST_MALFORMED, "RFC 7516 4.1.2", "no enc in header", 0);
    if (!find_enc(enc, &out->enc))
        return reject(why, ST_UNSUPPORTED, "RFC 7516 4.1.2", "content encryption not spoken", 0);
    return algs[out->alg].agree ? read_agreement(header.js, out, why) : ST_OK;
}

void jwe_done(struct jwe *jwe)
{
    key_unref(jwe->epk);
    js_unref(jwe->header);
    *jwe = (struct jwe){ 0 };
}

/* One refusal for everything that only a holder of the key could get right. */
static enum status not_opened(struct why *why)
{
    return reject(why, ST_BAD_TOKEN, "RFC 7516 5.2", "does not open under this key", 0);
}

/* The agreed key, base_key_len() bytes of it into `out`. */
static enum status agree(enum jwe_alg alg, enum jwe_enc enc, const struct key *mine, const struct key *theirs,
                         struct span apu, struct span apv, struct buf *out)
{
    uint8_t agreed[AGREED_MAX];
    struct agreement about = { .purpose = algs[alg].kek_len == 0 ? encs[enc].name : algs[alg].name,
                               .apu = apu,
                               .apv = apv,
                               .len = base_key_len(alg, enc) };
    enum status st = jose_agree(mine, theirs, &about, agreed);

    if (st == ST_OK)
        put_bytes(out, span_of(agreed, about.len));
    secret_wipe(agreed, sizeof agreed);
    return st == ST_OK && !buf_ok(out) ? ST_NO_MEMORY : st;
}

static enum status decode_party(struct span text, struct buf *out, struct why *why)
{
    buf_init(out, PARTY_MAX);
    return base64url_decode(text, out, why);
}

static enum status put_secret(struct buf *out, const struct key *key)
{
    put_bytes(out, key_secret(key));
    return buf_ok(out) ? ST_OK : ST_NO_MEMORY;
}

/* The key that is shared, or that sender and receiver agree on. */
static enum status base_key(const struct jwe *jwe, const struct key *key, struct buf *out, struct why *why)
{
    CLEANUP(buf_done)
    struct buf apu = { 0 };
    CLEANUP(buf_done)
    struct buf apv = { 0 };
    enum status st;

    buf_init(out, AGREED_MAX);
    if (!algs[jwe->alg].agree)
        return put_secret(out, key);
    st = decode_party(jwe->apu, &apu, why);
    if (st == ST_OK)
        st = decode_party(jwe->apv, &apv, why);
    if (st != ST_OK)
        return st;
    st = agree(jwe->alg, jwe->enc, key, jwe->epk, buf_span(&apu), buf_span(&apv), out);
    return st == ST_OK || st == ST_NO_MEMORY ? st : not_opened(why); /* such as a public key of ours */
}

/* The content encryption key: the base key itself, or what it unwraps. */
static enum status content_key(const struct jwe *jwe, const struct key *key, struct buf *cek, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf base = { 0 };
    CLEANUP(buf_done)
    struct buf wrapped;
    enum status st = base_key(jwe, key, &base, why);

    buf_init(&wrapped, KEYWRAP_MAX + KEYWRAP_GROWTH);
    buf_init(cek, KEYWRAP_MAX);
    if (st != ST_OK)
        return st;
    if (algs[jwe->alg].kek_len == 0) {
        if (jwe->encrypted_key.len != 0)
            return reject(why, ST_MALFORMED, "RFC 7516 5.2", "an encrypted key where there is none to encrypt",
                          0);
        put_bytes(cek, buf_span(&base));
        return buf_ok(cek) ? ST_OK : ST_NO_MEMORY;
    }
    st = base64url_decode(jwe->encrypted_key, &wrapped, why);
    if (st != ST_OK)
        return st == ST_NO_MEMORY ? st
                                  : reject(why, ST_MALFORMED, "RFC 7516 5.2", "encrypted key unreadable", 0);
    st = keywrap_unwrap(buf_span(&base), buf_span(&wrapped), cek, NULL);
    if (st == ST_NO_MEMORY)
        return st;
    if (st != ST_OK || cek->len != aead_key_len(encs[jwe->enc].aead))
        return not_opened(why);
    return ST_OK;
}

struct sealed {
    struct buf iv, ciphertext, tag;
};

static void sealed_done(struct sealed *s)
{
    buf_done(&s->iv);
    buf_done(&s->ciphertext);
    buf_done(&s->tag);
}

static enum status decode_part(struct span text, size_t max, struct buf *out, struct why *why)
{
    enum status st;

    buf_init(out, max);
    st = base64url_decode(text, out, why);
    return st == ST_TOO_LARGE ? reject(why, ST_MALFORMED, "TK-62", "IV or tag of the wrong length", 0) : st;
}

static enum status decode_sealed(const struct jwe *jwe, struct sealed *s, struct why *why)
{
    enum status st = decode_part(jwe->iv, NONCE_MAX, &s->iv, why);

    if (st == ST_OK)
        st = decode_part(jwe->tag, AEAD_TAG_LEN, &s->tag, why);
    if (st == ST_OK)
        st = decode_part(jwe->ciphertext, jwe->ciphertext.len, &s->ciphertext, why);
    if (st != ST_OK)
        return st;
    if (s->tag.len != AEAD_TAG_LEN || s->iv.len != aead_nonce_len(encs[jwe->enc].aead))
        return reject(why, ST_MALFORMED, "TK-62", "IV or tag of the wrong length", 0);
    return ST_OK;
}

enum status jwe_decrypt(const struct jwe *jwe, const struct key *key, struct buf *out, struct why *why)
{
    CLEANUP(sealed_done)
    struct sealed s = { 0 };
    CLEANUP(buf_wipe)
    struct buf cek = { 0 };
    enum status st;

    if (!jwe_key_fits(jwe->alg, jwe->enc, key))
        return reject(why, ST_BAD_TOKEN, "TK-41", "alg is not this key's", 0);
    st = decode_sealed(jwe, &s, why);
    if (st == ST_OK)
        st = content_key(jwe, key, &cek, why);
    if (st != ST_OK)
        return st;
    st = aead_open(encs[jwe->enc].aead, buf_span(&cek), buf_span(&s.iv), jwe->aad, buf_span(&s.ciphertext),
                   buf_span(&s.tag), out, NULL);
    if (st == ST_OK || st == ST_NO_MEMORY)
        return st;
    if (st == ST_TOO_LARGE)
        return reject(why, st, "max_bytes", "plaintext larger than allowed", 0);
    return not_opened(why);
}

/* Appends ".<encrypted key>": nothing between the dots if the base key is the content key. */
static enum status put_wrapped(const struct jwe_plan *plan, struct span base, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf wrapped;
    enum status st;

    buf_init(&wrapped, KEYWRAP_MAX + KEYWRAP_GROWTH);
    put_u8(out, '.');
    if (algs[plan->alg].kek_len == 0)
        return ST_OK;
    st = keywrap_wrap(base, plan->cek, &wrapped);
    if (st == ST_OK)
        base64url_encode(buf_span(&wrapped), out);
    return st;
}

static enum status encrypt_parts(const struct jwe_plan *plan, const struct key *key, struct span plaintext,
                                 struct buf *out)
{
    const struct jose_header_parts header = { .alg = algs[plan->alg].name,
                                              .enc = encs[plan->enc].name,
                                              .kid = plan->kid,
                                              .typ = plan->typ,
                                              .cty = plan->cty,
                                              .epk = algs[plan->alg].agree ? plan->ephemeral : NULL };
    CLEANUP(buf_done)
    struct buf ciphertext;
    CLEANUP(buf_wipe)
    struct buf base;
    size_t start = out->len, aad_len;
    uint8_t tag[AEAD_TAG_LEN];
    struct span cek = plan->cek;
    enum status st;

    buf_init(&ciphertext, plaintext.len + NONCE_MAX);
    buf_init(&base, AGREED_MAX);
    st = jose_header_write(&header, out);
    if (st == ST_OK && algs[plan->alg].agree)
        st = agree(plan->alg, plan->enc, plan->ephemeral, key, SPAN_NONE, SPAN_NONE, &base);
    else if (st == ST_OK)
        st = put_secret(&base, key);
    if (st != ST_OK)
        return st;
    aad_len = out->len - start;
    st = put_wrapped(plan, buf_span(&base), out);
    if (algs[plan->alg].kek_len == 0)
        cek = buf_span(&base);
    if (st == ST_OK)
        st = aead_seal(encs[plan->enc].aead, cek, plan->iv, span_cut(buf_span(out), start, aad_len), plaintext,
                       &ciphertext, tag);
    if (st != ST_OK)
        return st;
    put_u8(out, '.');
    base64url_encode(plan->iv, out);
    put_u8(out, '.');
    base64url_encode(buf_span(&ciphertext), out);
    put_u8(out, '.');
    base64url_encode(span_of(tag, sizeof(tag)), out);
    return buf_status(out);
}

enum status jwe_encrypt_with(const struct jwe_plan *plan, const struct key *key, struct span plaintext,
                             struct buf *out)
{
    size_t start = out->len;
    enum status st;

    if (!jwe_key_fits(plan->alg, plan->enc, key))
        return ST_BAD_POP_KEY;
    st = encrypt_parts(plan, key, plaintext, out);
    if (st != ST_OK)
        buf_truncate(out, start);
    return st;
}

enum status jwe_encrypt(enum jwe_alg alg, enum jwe_enc enc, const struct key *key, struct span kid,
                        struct span typ, struct span cty, struct span plaintext, struct buf *out)
{
    uint8_t cek[AEAD_KEY_MAX], iv[NONCE_MAX];
    struct jwe_plan plan = { .alg = alg, .enc = enc, .kid = kid, .typ = typ, .cty = cty };
    CLEANUP(key_unrefp)
    struct key *ephemeral = NULL;
    enum status st;

    plan.cek = span_of(cek, aead_key_len(encs[enc].aead));
    plan.iv = span_of(iv, aead_nonce_len(encs[enc].aead));
    st = random_bytes(cek, sizeof(cek));
    if (st == ST_OK)
        st = random_bytes(iv, sizeof(iv));
    if (st == ST_OK && algs[alg].agree)
        st = key_generate(KEY_P256, &ephemeral);
    plan.ephemeral = ephemeral;
    if (st == ST_OK)
        st = jwe_encrypt_with(&plan, key, plaintext, out);
    secret_wipe(cek, sizeof(cek));
    return st;
}
