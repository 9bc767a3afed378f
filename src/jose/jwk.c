#include "jose/jwk.h"

#include "codec/base64.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "jose/jws.h"

#define ALL_OPS (IN(JWK_OPS) - 1)

/* RFC 7517 4.3. What we have no operation for (deriveKey, deriveBits) is not listed and so permits nothing. */
/* clang-format off */
static const struct { const char *name; enum jwk_op op; } key_ops[] = {
    { "sign",      JWK_SIGN    },
    { "verify",    JWK_VERIFY  },
    { "encrypt",   JWK_ENCRYPT },
    { "decrypt",   JWK_DECRYPT },
    { "wrapKey",   JWK_WRAP    },
    { "unwrapKey", JWK_UNWRAP  },
};
/* clang-format on */

static enum status malformed(struct why *why, const char *clause, const char *text)
{
    return reject(why, ST_MALFORMED, clause, text, 0);
}

static enum status read_use(const struct js *js, uint32_t *ops, struct why *why)
{
    struct span use;

    if (js_get(js, "use") == NULL)
        return ST_OK;
    if (!js_get_str(js, "use", &use))
        return malformed(why, "RFC 7517 4.2", "use is not text");
    if (span_eq_str(use, "sig"))
        *ops &= IN(JWK_SIGN) | IN(JWK_VERIFY);
    else if (span_eq_str(use, "enc"))
        *ops &= ~(IN(JWK_SIGN) | IN(JWK_VERIFY));
    else
        *ops = 0;
    return ST_OK;
}

static enum status read_key_ops(const struct js *js, uint32_t *ops, struct why *why)
{
    const struct js *list = js_get(js, "key_ops");
    uint32_t named = 0;

    if (list == NULL)
        return ST_OK;
    if (!js_is(list, JS_ARRAY))
        return malformed(why, "RFC 7517 4.3", "key_ops is not an array");
    for (size_t i = 0; i < js_size(list); i++) {
        struct span name;
        if (!js_as_str(js_at(list, i), &name))
            return malformed(why, "RFC 7517 4.3", "key_ops holds something that is not text");
        for (size_t k = 0; k < COUNT_OF(key_ops); k++) {
            if (!span_eq_str(name, key_ops[k].name))
                continue;
            if ((named & IN(key_ops[k].op)) != 0)
                return malformed(why, "RFC 7517 4.3", "key_ops names an operation twice");
            named |= IN(key_ops[k].op);
        }
    }
    *ops &= named;
    return ST_OK;
}

static enum status read_common(const struct js *js, struct jwk *out, struct why *why)
{
    enum status st;

    out->ops = ALL_OPS;
    st = read_use(js, &out->ops, why);
    if (st == ST_OK)
        st = read_key_ops(js, &out->ops, why);
    if (st != ST_OK)
        return st;
    if (js_get(js, "kid") != NULL && !js_get_str(js, "kid", &out->kid))
        return malformed(why, "RFC 7517 4.5", "kid is not text");
    if (out->kid.len > JOSE_MAX_KID)
        return malformed(why, "TK-45", "kid longer than allowed");
    if (js_get(js, "alg") != NULL && !js_get_str(js, "alg", &out->alg))
        return malformed(why, "RFC 7517 4.4", "alg is not text");
    return ST_OK;
}

/* A coordinate or private part: exactly 32 bytes for both curves (RFC 7518 6.2.1.2, RFC 8037 2). */
static enum status read_part(const struct js *js, const char *name, struct buf *out, struct why *why)
{
    struct span text;

    buf_init(out, KEY_PART_LEN);
    if (!js_get_str(js, name, &text))
        return malformed(why, "TK-3", "a required member is missing or no text");
    if (buf_room(out, KEY_PART_LEN) == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    if (base64url_decode(text, out, why) != ST_OK || out->len != KEY_PART_LEN)
        return malformed(why, "RFC 7518 6.2.1.2", "a key part is not base64url of 32 bytes");
    return ST_OK;
}

static enum status want_asymmetric(const struct js *js, enum jwk_want want, bool *ret_private, struct why *why)
{
    *ret_private = js_get(js, "d") != NULL;
    if (want == JWK_SECRET)
        return reject(why, ST_BAD_POP_KEY, "RFC 7517 4.1", "a symmetric key is wanted here", 0);
    if (want != JWK_PRIVATE && want != JWK_ANY && *ret_private)
        return reject(why, ST_BAD_POP_KEY, "TK-56", "private part in what must be a public key", 0);
    if (want == JWK_PRIVATE && !*ret_private)
        return reject(why, ST_BAD_POP_KEY, "RFC 7517 4", "a private key is wanted here", 0);
    return ST_OK;
}

/* A private key whose public members are another key's would let two parties see two keys in one object. */
static enum status same_public(const struct key *key, struct span x, struct span y, struct why *why)
{
    if (span_eq(key_x(key), x) && span_eq(key_y(key), y))
        return ST_OK;
    return malformed(why, "RFC 8037 2", "the public part does not belong to the private part");
}

/* A public or private key of one of the two curves (RFC 8037 2, RFC 7518 6.2): only P-256 has a "y". */
static enum status read_point(const struct js *js, bool p256, enum jwk_want want, struct key **ret_key,
                              struct why *why)
{
    CLEANUP(buf_done)
    struct buf x = { 0 };
    CLEANUP(buf_done)
    struct buf y = { 0 };
    CLEANUP(buf_wipe)
    struct buf d = { 0 };
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct span crv;
    bool with_private;
    enum status st;

    if (!js_get_str(js, "crv", &crv))
        return malformed(why, p256 ? "RFC 7518 6.2.1" : "RFC 8037 2", "no crv");
    if (!span_eq_str(crv, p256 ? "P-256" : "Ed25519"))
        return reject(why, ST_UNSUPPORTED, "tokens.md 4", "curve not spoken", 0);
    st = want_asymmetric(js, want, &with_private, why);
    if (st == ST_OK)
        st = read_part(js, "x", &x, why);
    if (st == ST_OK && p256)
        st = read_part(js, "y", &y, why);
    if (st != ST_OK)
        return st;
    if (!with_private)
        return p256 ? key_new_p256_public(buf_span(&x), buf_span(&y), ret_key, why)
                    : key_new_ed25519_public(buf_span(&x), ret_key, why);

    st = read_part(js, "d", &d, why);
    if (st == ST_OK)
        st = p256 ? key_new_p256_private(buf_span(&d), &key, why)
                  : key_new_ed25519_private(buf_span(&d), &key, why);
    if (st == ST_OK)
        st = same_public(key, buf_span(&x), buf_span(&y), why);
    if (st == ST_OK)
        *ret_key = TAKE(key);
    return st;
}

static enum status read_oct(const struct js *js, enum jwk_want want, struct key **ret_key, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf k;
    struct span text;

    buf_init(&k, KEY_SECRET_MAX);
    if (want == JWK_PUBLIC || want == JWK_PRIVATE || want == JWK_ISSUER)
        return reject(why, ST_BAD_POP_KEY, "RFC 7517 4.1", "an asymmetric key is wanted here", 0);
    if (!js_get_str(js, "k", &text))
        return malformed(why, "RFC 7518 6.4.1", "no k");
    if (buf_room(&k, KEY_SECRET_MAX) == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    if (base64url_decode(text, &k, why) != ST_OK || k.len == 0)
        return malformed(why, "RFC 7518 6.4.1", "k is not base64url of a key");
    return key_new_secret(buf_span(&k), ret_key, why);
}

static enum status read_number(const struct js *js, const char *name, size_t max, struct buf *out,
                               struct why *why)
{
    struct span text;

    buf_init(out, max);
    if (!js_get_str(js, name, &text))
        return malformed(why, "TK-3", "a required member is missing or no text");
    enum status st = base64url_decode(text, out, why);
    if (st == ST_OK || st == ST_NO_MEMORY)
        return st;
    return malformed(why, "RFC 7518 6.3.1", "not base64url of an RSA key's part");
}

static enum status read_rsa(const struct js *js, enum jwk_want want, struct key **ret_key, struct why *why)
{
    CLEANUP(buf_done)
    struct buf n = { 0 };
    CLEANUP(buf_done)
    struct buf e = { 0 };
    enum status st;

    if (want != JWK_ISSUER && want != JWK_VERIFIER)
        return reject(why, ST_UNSUPPORTED, "MT-64", "an RSA key is no key to prove possession of here", 0);
    if (js_get(js, "d") != NULL)
        return reject(why, ST_BAD_POP_KEY, "TK-56", "private part in what must be a public key", 0);
    st = read_number(js, "n", KEY_RSA_MAX, &n, why);
    if (st == ST_OK)
        st = read_number(js, "e", sizeof(uint32_t), &e, why);
    return st == ST_OK ? key_new_rsa_public(buf_span(&n), buf_span(&e), ret_key, why) : st;
}

enum status jwk_parse(const struct js *js, enum jwk_want want, struct jwk *out, struct why *why)
{
    struct span kty;
    enum status st;

    *out = (struct jwk){ 0 };
    if (!js_is(js, JS_OBJECT) || !js_get_str(js, "kty", &kty))
        return malformed(why, "RFC 7517 4.1", "not an object with kty");
    st = read_common(js, out, why);
    if (st != ST_OK)
        return st;
    if (span_eq_str(kty, "OKP"))
        return read_point(js, false, want, &out->key, why);
    if (span_eq_str(kty, "EC"))
        return read_point(js, true, want, &out->key, why);
    if (span_eq_str(kty, "oct"))
        return read_oct(js, want, &out->key, why);
    if (span_eq_str(kty, "RSA"))
        return read_rsa(js, want, &out->key, why);
    return reject(why, ST_UNSUPPORTED, "tokens.md 4", "key type not spoken", 0);
}

void jwk_done(struct jwk *jwk)
{
    key_unref(jwk->key);
    *jwk = (struct jwk){ 0 };
}

bool jwk_allows(const struct jwk *jwk, enum jwk_op op, const char *alg)
{
    struct span only = span_eq_str(jwk->alg, "Ed25519") ? SPAN("EdDSA") : jwk->alg; /* RFC 9864 2.2 */

    return (jwk->ops & IN(op)) != 0 && (only.p == NULL || span_eq_str(only, alg));
}

static enum status set_base64url(struct js *js, const char *name, struct span bytes)
{
    CLEANUP(buf_wipe)
    struct buf text;

    buf_init(&text, base64url_len(KEY_SECRET_MAX));
    base64url_encode(bytes, &text);
    return buf_ok(&text) ? js_set_str(js, name, buf_span(&text)) : ST_NO_MEMORY;
}

/* What a kind of key has to show (RFC 7518 6, RFC 8037 2). */
static enum status print_parts(const struct key *key, struct js *js)
{
    enum status st;

    switch (key_kind(key)) {
    case KEY_SECRET:
        st = js_set_str(js, "kty", SPAN("oct"));
        return st == ST_OK ? set_base64url(js, "k", key_secret(key)) : st;
    case KEY_ED25519:
        st = js_set_str(js, "kty", SPAN("OKP"));
        if (st == ST_OK)
            st = js_set_str(js, "crv", SPAN("Ed25519"));
        return st == ST_OK ? set_base64url(js, "x", key_x(key)) : st;
    case KEY_P256:
        st = js_set_str(js, "kty", SPAN("EC"));
        if (st == ST_OK)
            st = js_set_str(js, "crv", SPAN("P-256"));
        if (st == ST_OK)
            st = set_base64url(js, "x", key_x(key));
        return st == ST_OK ? set_base64url(js, "y", key_y(key)) : st;
    case KEY_RSA:
        st = js_set_str(js, "kty", SPAN("RSA"));
        if (st == ST_OK)
            st = set_base64url(js, "n", key_n(key));
        return st == ST_OK ? set_base64url(js, "e", key_e(key)) : st;
    }
    return ST_INTERNAL;
}

enum status jwk_print(const struct key *key, struct span kid, const char *alg, bool with_private,
                      struct js **ret_js)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    enum status st = print_parts(key, js);

    if (st == ST_OK && with_private && key_d(key).len > 0)
        st = set_base64url(js, "d", key_d(key));
    if (st == ST_OK && kid.p != NULL)
        st = js_set_str(js, "kid", kid);
    if (st == ST_OK && alg != NULL)
        st = js_set_str(js, "alg", span_of_str(alg));
    if (st == ST_OK)
        *ret_js = TAKE(js);
    return st;
}

/* The hash input is exact text, so it is written out here rather than left to a JSON printer (RFC 7638 3.2). */
static void put_thumbprint_input(const struct key *key, struct buf *b)
{
    switch (key_kind(key)) {
    case KEY_SECRET:
        put_str(b, "{\"k\":\"");
        base64url_encode(key_secret(key), b);
        put_str(b, "\",\"kty\":\"oct\"}");
        return;
    case KEY_ED25519:
        put_str(b, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"");
        base64url_encode(key_x(key), b);
        put_str(b, "\"}");
        return;
    case KEY_P256:
        put_str(b, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
        base64url_encode(key_x(key), b);
        put_str(b, "\",\"y\":\"");
        base64url_encode(key_y(key), b);
        put_str(b, "\"}");
        return;
    case KEY_RSA:
        put_str(b, "{\"e\":\"");
        base64url_encode(key_e(key), b);
        put_str(b, "\",\"kty\":\"RSA\",\"n\":\"");
        base64url_encode(key_n(key), b);
        put_str(b, "\"}");
        return;
    }
}

enum status jwk_thumbprint(const struct key *key, uint8_t out[JWK_THUMBPRINT_LEN])
{
    CLEANUP(buf_wipe)
    struct buf text;

    buf_init(&text, 1024);
    put_thumbprint_input(key, &text);
    return buf_ok(&text) ? sha256(buf_span(&text), out) : ST_NO_MEMORY;
}

enum status jwk_thumbprint_text(const struct key *key, char out[JWK_THUMBPRINT_TEXT])
{
    CLEANUP(buf_done)
    struct buf text;
    uint8_t digest[JWK_THUMBPRINT_LEN];
    enum status st = jwk_thumbprint(key, digest);

    buf_init(&text, JWK_THUMBPRINT_TEXT);
    if (st != ST_OK)
        return st;
    base64url_encode(span_of(digest, sizeof(digest)), &text);
    if (!buf_ok(&text))
        return ST_NO_MEMORY;
    ASSERT(text.len == JWK_THUMBPRINT_TEXT - 1);
    memcpy(out, text.p, text.len);
    out[text.len] = '\0';
    return ST_OK;
}
