/* A-1xx: what an authorization server says about itself (RFC 8414, RFC 7517). */
#include "kit/as_talk_priv.h"

#include "jose/jwk.h"

static struct as_answer document(struct kit *k)
{
    struct as_answer a = as_metadata(k);

    if (going(k) && a.code == 404)
        not_applicable(k, "no metadata (RFC 9200 App. B: optional)");
    if (going(k) && check(k, a.code == 200, "HTTP 200 expected"))
        (void)check(k, js_is(a.js, JS_OBJECT), "the document is no JSON object");
    return a;
}

static void issuer(struct kit *k)
{
    struct as_answer a = document(k);
    struct span iss = SPAN_NONE;

    if (going(k) && check(k, js_get_str(a.js, "issuer", &iss), "no issuer"))
        (void)check(k, span_eq_str(iss, k->s->as_url), "the issuer is another URL than the one asked");
    as_answer_done(&a);
}

static void endpoints(struct kit *k)
{
    static const char *const names[] = { "token_endpoint", "introspection_endpoint", "jwks_uri",
                                         "revocation_endpoint" };
    struct as_answer a = document(k);
    struct span url;

    for (size_t i = 0; going(k) && i < COUNT_OF(names); i++)
        if (js_get_str(a.js, names[i], &url))
            (void)check(k, span_starts_with(url, SPAN("https://")), "an endpoint that is not HTTPS");
    if (going(k))
        (void)check(k, js_get_str(a.js, "token_endpoint", &url), "no token_endpoint");
    as_answer_done(&a);
}

static void keys(struct kit *k)
{
    struct as_answer a = document(k);
    struct span url = SPAN_NONE;
    size_t usable = 0;

    if (going(k) && !js_get_str(a.js, "jwks_uri", &url))
        not_applicable(k, "no jwks_uri");
    if (going(k)) {
        struct as_request request = { .url = text(k, "%.*s", SPAN_FMT(url)) };
        struct as_answer set = as_send(k, &request);
        const struct js *list = js_get(set.js, "keys");
        for (size_t i = 0; i < js_size(list); i++) {
            struct jwk jwk = { 0 };
            struct why why;
            struct span secret;
            if (js_get_str(js_at(list, i), "d", &secret) || js_get_str(js_at(list, i), "k", &secret))
                fail(k, "the key set gives a private part away");
            if (jwk_parse(js_at(list, i), JWK_ISSUER, &jwk, &why) == ST_OK)
                usable++;
            jwk_done(&jwk);
        }
        if (check(k, usable > 0, "no key in the set that signs tokens"))
            saw(k, "%zu keys", usable);
        as_answer_done(&set);
    }
    as_answer_done(&a);
}

/* clang-format off */
static const struct kit_case cases[] = {
    { "A-101", "RFC 8414 3.3; AF-1", "metadata: issuer is the URL asked", NEED_AS, POLITE, issuer },
    { "A-102", "RFC 9200 5, 6.5; AF-1 AF-6 MT-3", "metadata: every endpoint is HTTPS", NEED_AS, POLITE, endpoints },
    { "A-103", "RFC 7517 5; RFC 8414 2", "the key set holds public keys that sign, and nothing secret", NEED_AS, POLITE, keys },
};
/* clang-format on */

const struct kit_theme theme_as_metadata = { "as_metadata", KIT_AS, cases, COUNT_OF(cases) };
