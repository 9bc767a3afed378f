/* What anybody may know: the key set (RFC 7517 5) and the metadata (RFC 8414 2). */
#include "as/as_priv.h"
#include "as/name_set.h"
#include "as/registry.h"
#include "token/claims.h"

#include <stdio.h>

enum status jwks_call(struct call *call)
{
    CLEANUP(js_unrefp)
    struct js *set = NULL;
    struct signer *signer = call->as->signer;
    enum status st = signer->ops->jwks(signer, &set, &call->why);

    if (st == ST_OK)
        st = call_reply(call, 200, set);
    if (st == ST_OK)
        call->out->content_type = "application/jwk-set+json";
    return st;
}

static enum status set_list(struct js *body, const char *name, const char *const *items, size_t count)
{
    struct js *list = js_new_array();
    enum status st = list == NULL ? ST_NO_MEMORY : ST_OK;

    for (size_t i = 0; st == ST_OK && i < count; i++)
        st = js_append_str(list, span_of_str(items[i]));
    if (st != ST_OK) {
        js_unref(list);
        return st;
    }
    return js_set_take(body, name, list);
}

static enum status set_endpoint(struct call *call, struct js *body, const char *name, const char *path)
{
    struct span token = span_of_str(call->as->token_endpoint);
    struct buf url;

    buf_init(&url, 4096);
    put_bytes(&url, span_cut(token, 0, token.len - (sizeof TOKEN_ENDPOINT - 1)));
    put_str(&url, path);
    enum status st = buf_ok(&url) ? js_set_str(body, name, buf_span(&url)) : ST_NO_MEMORY;
    buf_done(&url);
    return st;
}

/* Those some resource server speaks; before there is one, ours. */
static enum status set_profiles(struct call *call, struct js *body)
{
    unsigned profiles;
    enum status st = registry_profiles(call->as->sql, &profiles, &call->why);

    if (profiles == 0)
        profiles = IN(ACE_PROFILE_MQTT_TLS_CBOR);
    return st == ST_OK ? js_set_take(body, "ace_profiles_supported", name_set_to_js(ace_profile_name, profiles))
                       : st;
}

enum status metadata_call(struct call *call)
{
    /* The last one only where certificates are asked for. */
    static const char *const methods[] = { "client_secret_basic", "client_secret_post", "private_key_jwt",
                                           "self_signed_tls_client_auth" };
    const size_t methods_count = COUNT_OF(methods) - (call->as->settings->https_client_ca == NULL ? 1 : 0);
    static const char *const algs[] = { "EdDSA", "ES256" };
    static const char *const grants[] = { "client_credentials", "refresh_token" };
    static const struct {
        const char *name, *path;
    } endpoints[] = {
        { "token_endpoint", TOKEN_ENDPOINT },       { "introspection_endpoint", "/introspect" },
        { "revocation_endpoint", "/revoke" },       { "jwks_uri", "/jwks.json" },
        { "enrollment_endpoint", ENROLL_ENDPOINT }, { "trl_endpoint", TRL_ENDPOINT },
    };
    static const char *const authenticated[] = { "token_endpoint", "introspection_endpoint",
                                                 "revocation_endpoint" };
    CLEANUP(js_unrefp)
    struct js *body = js_new_object();
    enum status st = js_set_str(body, "issuer", span_of_str(call->as->issuer));

    for (size_t i = 0; st == ST_OK && i < COUNT_OF(endpoints); i++)
        st = set_endpoint(call, body, endpoints[i].name, endpoints[i].path);
    if (st == ST_OK)
        st = set_list(body, "grant_types_supported", grants, COUNT_OF(grants));
    if (st == ST_OK) /* REQUIRED by RFC 8414 2, and there is no authorization endpoint */
        st = set_list(body, "response_types_supported", NULL, 0);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(authenticated); i++) {
        char name[80];
        int n = snprintf(name, sizeof name, "%s_auth_methods_supported", authenticated[i]);
        ASSERT(n > 0 && (size_t)n < sizeof name);
        st = set_list(body, name, methods, methods_count);
        n = snprintf(name, sizeof name, "%s_auth_signing_alg_values_supported", authenticated[i]);
        ASSERT(n > 0 && (size_t)n < sizeof name);
        if (st == ST_OK)
            st = set_list(body, name, algs, COUNT_OF(algs));
    }
    if (st == ST_OK)
        st = set_profiles(call, body);
    if (st != ST_OK)
        return reject(&call->why, st, "as metadata", "out of memory", 0);
    return call_reply(call, 200, body);
}
