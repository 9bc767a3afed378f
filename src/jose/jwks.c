#include "jose/jwks.h"

#include <stdlib.h>

struct jwks {
    unsigned refs; /* atomic */
    size_t n;
    size_t skipped;
    struct jwk keys[JWKS_MAX_KEYS];
    uint8_t *texts[JWKS_MAX_KEYS]; /* where kid and alg of each key live */
};

size_t jwks_size(const struct jwks *jwks)
{
    return jwks->n;
}

const struct jwk *jwks_at(const struct jwks *jwks, size_t i)
{
    ASSERT(i < jwks->n);
    return &jwks->keys[i];
}

size_t jwks_skipped(const struct jwks *jwks)
{
    return jwks->skipped;
}

/* Copies the texts, references the key. */
static enum status jwks_add(struct jwks *jwks, const struct jwk *jwk)
{
    struct jwk *own = &jwks->keys[jwks->n];
    size_t kid_len = jwk->kid.len;
    uint8_t *text;

    if (jwks->n == JWKS_MAX_KEYS)
        return ST_QUOTA;
    text = malloc(kid_len + jwk->alg.len + 1);
    if (text == NULL)
        return ST_NO_MEMORY;
    *own = (struct jwk){ .key = key_ref(jwk->key), .ops = jwk->ops };
    if (jwk->kid.p != NULL)
        own->kid = span_of(kid_len == 0 ? text : memcpy(text, jwk->kid.p, kid_len), kid_len);
    if (jwk->alg.p != NULL && jwk->alg.len == 0)
        own->alg = span_of(text + kid_len, 0);
    else if (jwk->alg.p != NULL)
        own->alg = span_of(memcpy(text + kid_len, jwk->alg.p, jwk->alg.len), jwk->alg.len);
    jwks->texts[jwks->n++] = text;
    return ST_OK;
}

static enum status jwks_add_js(struct jwks *jwks, const struct js *js, enum jwk_want want)
{
    CLEANUP(jwk_done)
    struct jwk jwk = { 0 };
    enum status st = jwk_parse(js, want, &jwk, NULL);

    if (st == ST_OK)
        return jwks_add(jwks, &jwk);
    if (st == ST_NO_MEMORY)
        return st;
    if (st != ST_UNSUPPORTED)
        jwks->skipped++;
    return ST_OK;
}

static struct jwks *jwks_new(void)
{
    struct jwks *jwks = calloc(1, sizeof(*jwks));
    if (jwks != NULL)
        jwks->refs = 1;
    return jwks;
}

enum status jwks_parse(struct span text, enum jwk_want want, struct jwks **ret_jwks, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(jwks_unrefp)
    struct jwks *jwks = jwks_new();
    const struct js *keys;
    enum status st;

    if (jwks == NULL)
        return ST_NO_MEMORY;
    st = js_parse(text, JWKS_MAX_BYTES, &js, why);
    if (st != ST_OK)
        return st;
    keys = js_get(js, "keys");
    if (!js_is(keys, JS_ARRAY))
        return reject(why, ST_MALFORMED, "RFC 7517 5.1", "no array named keys", 0);
    for (size_t i = 0; i < js_size(keys); i++) {
        st = jwks_add_js(jwks, js_at(keys, i), want);
        if (st == ST_QUOTA)
            return reject(why, st, "JWKS_MAX_KEYS", "more keys than allowed", 0);
        if (st != ST_OK)
            return st;
    }
    *ret_jwks = TAKE(jwks);
    return ST_OK;
}

enum status jwks_make(const struct jwk *keys, size_t n, struct jwks **ret_jwks)
{
    CLEANUP(jwks_unrefp)
    struct jwks *jwks = jwks_new();

    if (jwks == NULL)
        return ST_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        enum status st = jwks_add(jwks, &keys[i]);
        if (st != ST_OK)
            return st;
    }
    *ret_jwks = TAKE(jwks);
    return ST_OK;
}

struct jwks *jwks_ref(struct jwks *jwks)
{
    __atomic_fetch_add(&jwks->refs, 1, __ATOMIC_RELAXED);
    return jwks;
}

void jwks_unref(struct jwks *jwks)
{
    if (jwks == NULL || __atomic_sub_fetch(&jwks->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (size_t i = 0; i < jwks->n; i++) {
        jwk_done(&jwks->keys[i]);
        free(jwks->texts[i]);
    }
    free(jwks);
}

void jwks_unrefp(struct jwks **jwks)
{
    jwks_unref(*jwks);
    *jwks = NULL;
}
