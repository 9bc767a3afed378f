#include "token/verifier.h"

#include "base/arena.h"
#include "token/cwt_priv.h"
#include "token/token_priv.h"

#include <stdlib.h>

#define HS256_MIN_LEN 32 /* RFC 7518 3.2: as long as the hash */

/* One block of text holds what the spans of the arrays point to. */
struct verifier {
    unsigned refs; /* atomic */
    struct verifier_config settings;
    struct verifier_issuer issuers[VERIFIER_MAX_ISSUERS];
    struct span audiences[VERIFIER_MAX_AUDIENCES];
    struct verifier_shared_key shared_keys[VERIFIER_MAX_KEYS];
    size_t shared_key_issuer[VERIFIER_MAX_KEYS];
    struct arena text;
};

#define VERIFIER_TEXT_MAX 65536

struct span verifier_iss(const struct verifier *v, size_t issuer)
{
    ASSERT(issuer < v->settings.n_issuers);
    return v->issuers[issuer].iss;
}

const struct verifier_config *verifier_settings(const struct verifier *v)
{
    return &v->settings;
}

bool verifier_find_issuer(const struct verifier *v, struct span iss, size_t *ret_issuer)
{
    for (size_t i = 0; i < v->settings.n_issuers; i++) {
        if (span_eq(v->issuers[i].iss, iss)) {
            *ret_issuer = i;
            return true;
        }
    }
    return false;
}

const struct claim_rules *verifier_rules(const struct verifier *v, size_t issuer)
{
    return v->issuers[issuer].rules;
}

bool verifier_keeps_text(const struct verifier *v, size_t issuer)
{
    ASSERT(issuer < v->settings.n_issuers);
    return v->issuers[issuer].keep_text;
}

bool verifier_find_audience(const struct verifier *v, size_t issuer, struct span aud, struct span *ret_ours)
{
    const struct verifier_issuer *own = &v->issuers[issuer];
    const struct span *audiences = own->n_audiences > 0 ? own->audiences : v->audiences;
    size_t n = own->n_audiences > 0 ? own->n_audiences : v->settings.n_audiences;

    for (size_t i = 0; i < n; i++) {
        if (span_eq(audiences[i], aud)) {
            *ret_ours = audiences[i];
            return true;
        }
    }
    return false;
}

bool verifier_protects_with(const struct verifier *v, const struct key *key)
{
    for (size_t i = 0; i < v->settings.n_shared_keys; i++) {
        if (key_same(v->shared_keys[i].key, key))
            return true;
    }
    for (size_t i = 0; i < v->settings.n_issuers; i++) {
        const struct jwks *jwks = v->issuers[i].jwks;
        for (size_t k = 0; jwks != NULL && k < jwks_size(jwks); k++) {
            if (key_same(jwks_at(jwks, k)->key, key))
                return true;
        }
    }
    return false;
}

static bool keep_text(struct verifier *v, struct span from, struct span *to)
{
    *to = from.p == NULL ? SPAN_NONE : arena_copy(&v->text, from);
    return (to->p == NULL) == (from.p == NULL);
}

static enum status keep_audiences(struct verifier *v, const struct span *from, size_t n, struct span *to,
                                  struct why *why)
{
    if (n == 0 || n > VERIFIER_MAX_AUDIENCES)
        return reject(why, ST_QUOTA, "audiences", "none, or more than allowed", 0);
    for (size_t i = 0; i < n; i++) {
        if (from[i].len == 0)
            return reject(why, ST_MALFORMED, "audiences", "an empty audience", i);
        if (!keep_text(v, from[i], &to[i]))
            return ST_NO_MEMORY;
    }
    return ST_OK;
}

static enum status take_own_audiences(struct verifier *v, const struct verifier_issuer *from,
                                      struct verifier_issuer *to, struct why *why)
{
    struct span *own;

    if (from->n_audiences == 0)
        return ST_OK;
    own = arena_alloc(&v->text, VERIFIER_MAX_AUDIENCES * sizeof *own);
    if (own == NULL)
        return ST_NO_MEMORY;
    to->audiences = own;
    to->n_audiences = from->n_audiences;
    return keep_audiences(v, from->audiences, from->n_audiences, own, why);
}

static enum status take_issuers(struct verifier *v, const struct verifier_config *config, struct why *why)
{
    size_t other;

    if (config->n_issuers == 0 || config->n_issuers > VERIFIER_MAX_ISSUERS)
        return reject(why, ST_QUOTA, "issuers", "none, or more than allowed", 0);
    for (size_t i = 0; i < config->n_issuers; i++) {
        const struct verifier_issuer *from = &config->issuers[i];
        if (from->iss.len == 0)
            return reject(why, ST_MALFORMED, "issuers", "an issuer without a name", i);
        if (verifier_find_issuer(v, from->iss, &other))
            return reject(why, ST_EXISTS, "issuers", "an issuer named twice", i);
        if (!keep_text(v, from->iss, &v->issuers[i].iss))
            return ST_NO_MEMORY;
        v->issuers[i].jwks = from->jwks == NULL ? NULL : jwks_ref(from->jwks);
        v->issuers[i].rules = from->rules;
        v->issuers[i].keep_text = from->keep_text;
        v->settings.n_issuers = i + 1;
        enum status st = take_own_audiences(v, from, &v->issuers[i], why);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static bool every_issuer_has_its_own(const struct verifier_config *config)
{
    for (size_t i = 0; i < config->n_issuers; i++)
        if (config->issuers[i].n_audiences == 0)
            return false;
    return true;
}

static enum status take_audiences(struct verifier *v, const struct verifier_config *config, struct why *why)
{
    v->settings.n_audiences = config->n_audiences;
    if (config->n_audiences == 0 && every_issuer_has_its_own(config))
        return ST_OK;
    return keep_audiences(v, config->audiences, config->n_audiences, v->audiences, why);
}

static bool usable_shared_key(const struct key *key)
{
    size_t len = key_secret(key).len;

    if (key_kind(key) == KEY_SECRET)
        return len == 16 || len == 32;
    return key_kind(key) == KEY_P256 && key_is_private(key);
}

/* Two keys that no token could tell apart would mean that none of its tokens is ever accepted (TK-44). */
static bool told_apart(const struct verifier *v, const struct verifier_shared_key *key)
{
    for (size_t i = 0; i < v->settings.n_shared_keys; i++) {
        const struct verifier_shared_key *other = &v->shared_keys[i];
        if (key_secret(other->key).len == key_secret(key->key).len && span_eq(other->kid, key->kid))
            return false;
    }
    return true;
}

static enum status take_shared_keys(struct verifier *v, const struct verifier_config *config, struct why *why)
{
    if (config->n_shared_keys > VERIFIER_MAX_KEYS)
        return reject(why, ST_QUOTA, "shared_keys", "more than allowed", 0);
    for (size_t i = 0; i < config->n_shared_keys; i++) {
        const struct verifier_shared_key *from = &config->shared_keys[i];
        struct verifier_shared_key *to = &v->shared_keys[i];
        if (!verifier_find_issuer(v, from->iss, &v->shared_key_issuer[i]))
            return reject(why, ST_NOT_FOUND, "shared_keys",
                          "a key shared with an issuer that is not configured", i);
        if (!usable_shared_key(from->key))
            return reject(why, ST_BAD_POP_KEY, "shared_keys",
                          "must be a secret of 16 or 32 bytes, or a private P-256 key", i);
        if (!told_apart(v, from))
            return reject(why, ST_EXISTS, "shared_keys", "two shared keys of the same kid and length", i);
        to->iss = verifier_iss(v, v->shared_key_issuer[i]);
        if (!keep_text(v, from->kid, &to->kid))
            return ST_NO_MEMORY;
        to->key = key_ref(from->key);
        v->settings.n_shared_keys = i + 1;
    }
    return ST_OK;
}

enum status verifier_new(const struct verifier_config *config, struct verifier **ret_verifier, struct why *why)
{
    CLEANUP(verifier_unrefp)
    struct verifier *v = calloc(1, sizeof(*v));
    enum status st;

    if (v == NULL)
        return ST_NO_MEMORY;
    v->refs = 1;
    arena_init(&v->text, VERIFIER_TEXT_MAX);
    v->settings = *config;
    v->settings.issuers = v->issuers;
    v->settings.audiences = v->audiences;
    v->settings.shared_keys = v->shared_keys;
    v->settings.n_issuers = v->settings.n_audiences = v->settings.n_shared_keys = 0;
    v->settings.require_cnonce = config->require_cnonce || config->no_clock;
    if (v->settings.max_bytes == 0)
        v->settings.max_bytes = TOKEN_MAX_BYTES;

    st = take_issuers(v, config, why);
    if (st == ST_OK)
        st = take_audiences(v, config, why);
    if (st == ST_OK)
        st = take_shared_keys(v, config, why);
    if (st == ST_OK)
        *ret_verifier = TAKE(v);
    return st;
}

enum status verifier_with_jwks(const struct verifier *verifier, struct span iss, struct jwks *jwks,
                               struct verifier **ret_verifier)
{
    struct verifier_issuer issuers[VERIFIER_MAX_ISSUERS];
    struct verifier_config config = verifier->settings;
    size_t issuer;

    if (!verifier_find_issuer(verifier, iss, &issuer))
        return ST_NOT_FOUND;
    memcpy(issuers, verifier->issuers, sizeof(issuers));
    issuers[issuer].jwks = jwks;
    config.issuers = issuers;
    return verifier_new(&config, ret_verifier, NULL);
}

struct verifier *verifier_ref(const struct verifier *verifier)
{
    struct verifier *v = (struct verifier *)verifier;

    __atomic_fetch_add(&v->refs, 1, __ATOMIC_RELAXED);
    return v;
}

void verifier_unref(struct verifier *verifier)
{
    if (verifier == NULL || __atomic_sub_fetch(&verifier->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (size_t i = 0; i < VERIFIER_MAX_ISSUERS; i++)
        jwks_unref(verifier->issuers[i].jwks);
    for (size_t i = 0; i < VERIFIER_MAX_KEYS; i++)
        key_unref(verifier->shared_keys[i].key);
    arena_done(&verifier->text);
    free(verifier);
}

void verifier_unrefp(struct verifier **verifier)
{
    verifier_unref(*verifier);
    *verifier = NULL;
}

bool verifier_key_unknown(const struct why *why)
{
    return why->clause != NULL && strcmp(why->clause, TOKEN_CLAUSE_KEY_UNKNOWN) == 0;
}

/* What a search through all keys found. */
struct search {
    size_t found;
    bool kid_known; /* a key of that name is there, but of another algorithm */
    struct verifier_choice choice;
};

static struct span kid_of(const struct signed_layer *layer)
{
    return layer->jws != NULL ? layer->jws->kid : layer->cose->kid;
}

/* A JWK that is for one algorithm says so by the name JOSE has for it; what has none there it does not allow. */
static bool fits_cose(const struct jwk *jwk, const struct cose *cose)
{
    const char *name = sy_cose_jose_name(cose->alg);

    return sy_cose_alg_fits(cose->alg, jwk->key) && jwk_allows(jwk, JWK_VERIFY, name == NULL ? "" : name);
}

static bool fits_jws(const struct jwk *jwk, const struct jws *jws)
{
    if (!sig_fits(jws->alg, jwk->key) || !jwk_allows(jwk, JWK_VERIFY, sig_name(jws->alg)))
        return false;
    return key_kind(jwk->key) != KEY_SECRET || key_secret(jwk->key).len >= HS256_MIN_LEN;
}

static bool fits(const struct jwk *jwk, const struct signed_layer *layer)
{
    return layer->jws != NULL ? fits_jws(jwk, layer->jws) : fits_cose(jwk, layer->cose);
}

static void search_issuer(const struct verifier *v, size_t issuer, const struct signed_layer *layer,
                          struct search *search)
{
    const struct jwks *jwks = v->issuers[issuer].jwks;
    struct span kid = kid_of(layer);

    for (size_t i = 0; jwks != NULL && i < jwks_size(jwks); i++) {
        const struct jwk *jwk = jwks_at(jwks, i);
        if (kid.p != NULL && (jwk->kid.p == NULL || !span_eq(jwk->kid, kid)))
            continue;
        if (!fits(jwk, layer)) {
            search->kid_known = search->kid_known || kid.p != NULL;
            continue;
        }
        search->found++;
        search->choice = (struct verifier_choice){ issuer, jwk->key, jwk->kid };
    }
}

static bool claimed_in_jws(const struct verifier *v, const struct jws *jws, size_t *ret_issuer)
{
    CLEANUP(buf_wipe)
    struct buf payload;
    CLEANUP(js_unrefp)
    struct js *claims = NULL;
    struct span iss;

    buf_init(&payload, v->settings.max_bytes);
    if (jws_payload(jws, &payload, NULL) != ST_OK)
        return false;
    if (js_parse(buf_span(&payload), v->settings.max_bytes, &claims, NULL) != ST_OK)
        return false;
    return js_get_str(claims, "iss", &iss) && verifier_find_issuer(v, iss, ret_issuer);
}

static bool claimed_in_cose(const struct verifier *v, const struct cose *cose, size_t *ret_issuer)
{
    CLEANUP(cb_unrefp)
    struct cb *claims = NULL;
    struct span iss;

    if (cb_parse(cose->content, v->settings.max_bytes, &claims, NULL) != ST_OK)
        return false;
    return cb_as_text(cb_get(claims, CWT_ISS), &iss) && verifier_find_issuer(v, iss, ret_issuer);
}

/* The issuer the token claims, before anything is verified: good only to choose whom to ask for the key. */
static bool claimed_issuer(const struct verifier *v, const struct signed_layer *layer, size_t *ret_issuer)
{
    return layer->jws != NULL ? claimed_in_jws(v, layer->jws, ret_issuer)
                              : claimed_in_cose(v, layer->cose, ret_issuer);
}

enum status verifier_signing_key(const struct verifier *v, const struct signed_layer *layer,
                                 struct verifier_choice *ret, struct why *why)
{
    struct search search = { 0 };
    size_t issuer;

    for (size_t i = 0; i < v->settings.n_issuers; i++)
        search_issuer(v, i, layer, &search);
    if (search.found > 1 && claimed_issuer(v, layer, &issuer)) {
        search = (struct search){ 0 };
        search_issuer(v, issuer, layer, &search);
    }
    if (search.found > 1)
        return reject(why, ST_BAD_TOKEN, "TK-44", "more than one key could be meant", 0);
    if (search.found == 0 && search.kid_known)
        return reject(why, ST_BAD_TOKEN, "TK-41", "alg is not this key's", 0);
    if (search.found == 0)
        return reject(why, ST_BAD_TOKEN, TOKEN_CLAUSE_KEY_UNKNOWN, "no key of an issuer we trust fits", 0);
    *ret = search.choice;
    return ST_OK;
}

bool verifier_names_other_issuer(const struct verifier *v, const struct signed_layer *layer, size_t issuer)
{
    size_t claimed;
    return v->settings.n_issuers > 1 && claimed_issuer(v, layer, &claimed) && claimed != issuer;
}

static bool opens(const struct key *key, const struct encrypted_layer *layer)
{
    return layer->jwe != NULL ? jwe_key_fits(layer->jwe->alg, layer->jwe->enc, key)
                              : sy_cose_alg_fits(layer->cose->alg, key);
}

enum status verifier_shared_key_for(const struct verifier *v, const struct encrypted_layer *layer, size_t only,
                                    struct verifier_choice *ret, struct why *why)
{
    struct span kid = layer->jwe != NULL ? layer->jwe->kid : layer->cose->kid;
    struct search search = { 0 };

    for (size_t i = 0; i < v->settings.n_shared_keys; i++) {
        const struct verifier_shared_key *shared = &v->shared_keys[i];
        if (only != VERIFIER_ANY_ISSUER && only != v->shared_key_issuer[i])
            continue;
        if (kid.p != NULL && (shared->kid.p == NULL || !span_eq(shared->kid, kid)))
            continue;
        if (!opens(shared->key, layer)) {
            search.kid_known = search.kid_known || kid.p != NULL;
            continue;
        }
        search.found++;
        search.choice = (struct verifier_choice){ v->shared_key_issuer[i], shared->key, shared->kid };
    }
    if (search.found > 1)
        return reject(why, ST_BAD_TOKEN, "TK-44", "more than one key could be meant", 0);
    if (search.found == 0 && search.kid_known)
        return reject(why, ST_BAD_TOKEN, "TK-41", "alg is not this key's", 0);
    if (search.found == 0)
        return reject(why, ST_BAD_TOKEN, "TK-44 shared key", "no key shared with an issuer we trust fits", 0);
    *ret = search.choice;
    return ST_OK;
}
