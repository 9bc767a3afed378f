#include "broker/issuers.h"

#include "base/log.h"
#include "codec/json.h"
#include "net/file.h"
#include "token/verifier.h"

#include <string.h>

#define KEY_FILE_MAX 65536

void issuers_bad_file(const char *path, enum status st, const struct why *why)
{
    log_event(NULL, LOG_ERROR, "file_not_usable", F_STR("file", path), F_STR("status", status_name(st)),
              F_STR("why", why != NULL ? why->text : ""));
}

static enum status read_jwks(const char *path, struct jwks **ret, struct why *why)
{
    struct buf text;
    buf_init(&text, KEY_FILE_MAX);
    enum status st = file_read(path, &text, why);
    if (st == ST_OK)
        st = jwks_parse(buf_span(&text), JWK_VERIFIER, ret, why);
    buf_wipe(&text);
    return st;
}

/* jwk->kid lives in *ret_document. */
static enum status read_token_key(const char *path, struct jwk *out, struct js **ret_document, struct why *why)
{
    struct js *js = NULL;
    struct buf text;
    buf_init(&text, KEY_FILE_MAX);
    enum status st = file_read(path, &text, why);
    if (st == ST_OK)
        st = js_parse(buf_span(&text), KEY_FILE_MAX, &js, why);
    if (st == ST_OK)
        st = jwk_parse(js, JWK_ANY, out, why);
    buf_wipe(&text);
    if (st == ST_OK)
        *ret_document = js;
    else
        js_unref(js);
    return st;
}

/* What verifier_new() borrows while it copies. */
struct parts {
    struct verifier_issuer issuers[VERIFIER_MAX_ISSUERS];
    struct verifier_shared_key keys[VERIFIER_MAX_KEYS];
    struct jwk jwks[VERIFIER_MAX_KEYS];
    struct js *documents[VERIFIER_MAX_KEYS];
    struct span audiences[VERIFIER_MAX_AUDIENCES];
    struct span own[VERIFIER_MAX_ISSUERS][VERIFIER_MAX_AUDIENCES]; /* of each issuer */
    size_t issuer_count, key_count;
    bool introspection;
};

static bool is_pinned(const struct as_config *as, const struct key *key)
{
    char thumbprint[JWK_THUMBPRINT_TEXT];
    if (jwk_thumbprint_text(key, thumbprint) != ST_OK)
        return false;
    for (size_t i = 0; i < as->jwks_pins.count; i++)
        if (strcmp(as->jwks_pins.items[i], thumbprint) == 0)
            return true;
    return false;
}

enum status issuers_take_pinned(const struct as_config *as, struct jwks *all_take, struct jwks **ret,
                                struct why *why)
{
    CLEANUP(jwks_unrefp)
    struct jwks *all = all_take;
    struct jwk keys[JWKS_MAX_KEYS];
    size_t n = 0;
    if (as->jwks_pins.count == 0) {
        *ret = TAKE(all);
        return ST_OK;
    }
    for (size_t i = 0; i < jwks_size(all); i++)
        if (is_pinned(as, jwks_at(all, i)->key))
            keys[n++] = *jwks_at(all, i);
    if (n == 0)
        return reject(why, ST_DENIED, "jwks_pins", "none of the keys is one that is pinned", 0);
    enum status st = jwks_make(keys, n, ret);
    return st == ST_OK ? ST_OK : reject(why, st, "memory", "out of memory", 0);
}

static enum status add_issuer(struct parts *parts, const struct as_config *as, struct why *why)
{
    struct verifier_issuer *issuer = &parts->issuers[parts->issuer_count++];
    enum status st = ST_OK;
    issuer->iss = span_of_str(as->issuer);
    parts->introspection |= as->introspection_uri != NULL;
    issuer->rules = as_config_rules(as);
    issuer->keep_text = as->revocation_uri != NULL && as->introspection_uri != NULL;
    for (size_t i = 0; i < as->audiences.count; i++)
        parts->own[parts->issuer_count - 1][i] = span_of_str(as->audiences.items[i]);
    issuer->audiences = parts->own[parts->issuer_count - 1];
    issuer->n_audiences = as->audiences.count;
    if (as->jwks_file != NULL) {
        struct jwks *all = NULL;
        st = read_jwks(as->jwks_file, &all, why);
        if (st == ST_OK)
            st = issuers_take_pinned(as, all, &issuer->jwks, why);
    }
    if (st != ST_OK)
        issuers_bad_file(as->jwks_file, st, why);
    if (st == ST_OK && as->token_key_file != NULL) {
        struct jwk *jwk = &parts->jwks[parts->key_count];
        st = read_token_key(as->token_key_file, jwk, &parts->documents[parts->key_count], why);
        if (st == ST_OK)
            parts->keys[parts->key_count++] =
                (struct verifier_shared_key){ .iss = issuer->iss, .kid = jwk->kid, .key = jwk->key };
        else
            issuers_bad_file(as->token_key_file, st, why);
    }
    return st;
}

static void parts_done(struct parts *parts)
{
    for (size_t i = 0; i < parts->issuer_count; i++)
        jwks_unref(parts->issuers[i].jwks);
    for (size_t i = 0; i < parts->key_count; i++)
        jwk_done(&parts->jwks[i]);
    for (size_t i = 0; i < parts->key_count; i++)
        js_unref(parts->documents[i]);
}

enum status issuers_verifier(const struct broker_config *config, struct verifier **ret_verifier,
                             struct why *why)
{
    struct parts parts = { .issuer_count = 0 };
    enum status st = ST_OK;
    *ret_verifier = NULL;
    if (config->authorization_servers.count == 0)
        return ST_OK;
    ASSERT(config->authorization_servers.count <= VERIFIER_MAX_ISSUERS &&
           config->audiences.count <= VERIFIER_MAX_AUDIENCES);
    for (size_t i = 0; i < config->audiences.count; i++)
        parts.audiences[i] = span_of_str(config->audiences.items[i]);
    for (size_t i = 0; st == ST_OK && i < config->authorization_servers.count; i++)
        st = add_issuer(&parts, as_config_at(config, i), why);
    struct verifier_config vc = { .issuers = parts.issuers,
                                  .n_issuers = parts.issuer_count,
                                  .audiences = parts.audiences,
                                  .n_audiences = config->audiences.count,
                                  .shared_keys = parts.keys,
                                  .n_shared_keys = parts.key_count,
                                  .skew_s = (uint32_t)config->token_skew_s,
                                  .max_lifetime_s = (uint32_t)config->token_max_lifetime_s,
                                  .introspection = parts.introspection,
                                  .no_clock = config->token_clock == TOKEN_CLOCK_UNTRUSTED,
                                  .require_cnonce = config->token_clock == TOKEN_CLOCK_UNTRUSTED };
    if (st == ST_OK)
        st = verifier_new(&vc, ret_verifier, why);
    parts_done(&parts);
    return st;
}
