#include "kit/say_priv.h"

#include "codec/base64.h"
#include "jose/jwe.h"
#include "jose/jwk.h"
#include "jose/jws.h"

static const char *json_string(struct kit *k, const char *value)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_str(span_of_str(value));
    struct buf out;

    buf_init(&out, 65536);
    if (js == NULL || js_print(js, &out) != ST_OK)
        trouble(k, "a text that is no JSON string");
    struct span s = bytes(k, &out);
    return text(k, "%.*s", SPAN_FMT(s));
}

const char *b64(struct kit *k, struct span in)
{
    CLEANUP(buf_done)
    struct buf out;

    buf_init(&out, 1u << 20);
    base64url_encode(in, &out);
    return text(k, "%.*s", SPAN_FMT(buf_span(&out)));
}

const char *public_jwk(struct kit *k, const struct key *key)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(buf_wipe)
    struct buf out;

    buf_init(&out, 4096);
    if (jwk_print(key, SPAN_NONE, NULL, false, &js) != ST_OK || js_print(js, &out) != ST_OK)
        trouble(k, "a key that has no JWK");
    return text(k, "%.*s", SPAN_FMT(buf_span(&out)));
}

struct claims claims_good(struct kit *k, const struct key *key)
{
    struct claims c = { .k = k };

    if (!going(k))
        return c;
    claims_set(&c, "iss", json_string(k, k->s->issuer));
    claims_set(&c, "aud", json_string(k, k->s->audience));
    claims_set(&c, "sub", "\"conformance-kit\"");
    claims_set(&c, "client_id", "\"conformance-kit\"");
    claims_set(&c, "iat", text(k, "%lld", (long long)wall_s()));
    claims_set(&c, "exp", text(k, "%lld", (long long)wall_s() + 3600));
    claims_set(&c, "jti", text(k, "\"%s\"", b64(k, fill_random(k, 12))));
    claims_scope(&c, text(k, "[[\"%s\",[\"pub\",\"sub\"]]]", under_root(k, "#")));
    claims_set(&c, "cnf", text(k, "{\"jwk\":%s}", public_jwk(k, key)));
    return c;
}

void claims_set(struct claims *c, const char *name, const char *json)
{
    size_t i = 0;

    while (i < c->count && strcmp(c->rows[i].name, name) != 0)
        i++;
    ASSERT(i < CLAIMS_MAX);
    c->rows[i].name = name;
    c->rows[i].json = json;
    if (i == c->count)
        c->count++;
}

void claims_drop(struct claims *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->rows[i].name, name) == 0) {
            c->rows[i] = c->rows[--c->count];
            return;
        }
}

void claims_scope(struct claims *c, const char *aif_json)
{
    claims_set(c, "scope", text(c->k, "\"%s\"", b64(c->k, span_of_str(aif_json))));
}

const char *claims_text(const struct claims *c)
{
    struct buf out;

    buf_init(&out, 1u << 20);
    for (size_t i = 0; i < c->count; i++)
        put_fmt(&out, "%s\"%s\":%s", i == 0 ? "{" : ",", c->rows[i].name, c->rows[i].json);
    put_str(&out, "}");
    put_u8(&out, 0);
    return (const char *)bytes(c->k, &out).p;
}

struct span sign_text(struct kit *k, const char *header, struct span payload, const struct key *key)
{
    struct buf out;
    uint8_t sig[SIG_MAX];

    if (!going(k))
        return SPAN_NONE;
    buf_init(&out, 1u << 20);
    base64url_encode(span_of_str(header), &out);
    put_str(&out, ".");
    base64url_encode(payload, &out);
    if (key != NULL && sig_make(key, sig_for_key(key), buf_span(&out), sig) != ST_OK)
        trouble(k, "signing failed");
    put_str(&out, ".");
    if (key != NULL)
        base64url_encode(span_of(sig, sig_len(key)), &out);
    return bytes(k, &out);
}

struct span encrypt_text(struct kit *k, struct span payload, const char *cty)
{
    struct buf out;

    if (!going(k))
        return SPAN_NONE;
    buf_init(&out, 1u << 20);
    bool wide = key_secret(k->shared_key).len == 32;
    if (jwe_encrypt(wide ? JWE_A256KW : JWE_A128KW, JWE_A256GCM, k->shared_key, k->shared_kid, SPAN("JWT"),
                    cty == NULL ? SPAN_NONE : span_of_str(cty), payload, &out) != ST_OK)
        trouble(k, "encrypting a token failed");
    return bytes(k, &out);
}

static const char *issuer_header(struct kit *k)
{
    const char *kid = k->issuer_kid.p == NULL ? "" : text(k, ",\"kid\":\"%.*s\"", SPAN_FMT(k->issuer_kid));

    return text(k, "{\"alg\":\"%s\",\"typ\":\"at+jwt\"%s}", sig_name(sig_for_key(k->issuer_key)), kid);
}

struct span sign_claims(const struct claims *c)
{
    struct kit *k = c->k;

    if (!going(k))
        return SPAN_NONE;
    return sign_text(k, issuer_header(k), span_of_str(claims_text(c)), k->issuer_key);
}

struct span token_for_life(struct kit *k, const struct key *key, const char *aif_json, int64_t seconds)
{
    struct claims c = claims_good(k, key);

    if (!going(k))
        return SPAN_NONE;
    if (aif_json != NULL)
        claims_scope(&c, aif_json);
    claims_set(&c, "exp", text(k, "%lld", (long long)(wall_s() + seconds)));
    if (key_kind(key) == KEY_SECRET) /* never in the clear (RFC 9431 2.1, MT-14) */
        return encrypt_text(k, span_of_str(claims_text(&c)), NULL);
    return sign_claims(&c);
}

struct span token_for(struct kit *k, const struct key *key, const char *aif_json)
{
    return token_for_life(k, key, aif_json, 3600);
}
