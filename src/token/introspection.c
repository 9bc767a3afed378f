/* RFC 7662 2.2 with the members of RFC 9200 5.9.2 and RFC 9201 4. */
#include "token/token_priv.h"

#include <strings.h>

static enum status check_token_type(const struct js *js, struct why *why)
{
    struct span type;

    if (js_get(js, "token_type") == NULL)
        return ST_OK;
    if (!js_get_str(js, "token_type", &type) || type.len != 3 ||
        strncasecmp((const char *)type.p, "PoP", 3) != 0)
        return reject(why, ST_BAD_TOKEN, "AF-37", "not a PoP token", 0);
    return ST_OK;
}

enum status token_from_introspection(struct span body, struct span token, struct span iss,
                                     const struct verifier *verifier, struct wall_time now,
                                     struct token **ret_token, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct claims_source source = { .token = token, .format = TOKEN_REFERENCE, .by_introspection = true };
    bool active;
    enum status st;

    (void)reject(why, ST_NO_MEMORY, "memory", "out of memory",
                 0); /* the one failure that does not say so itself */
    if (!verifier_find_issuer(verifier, iss, &source.issuer))
        return reject(why, ST_BAD_TOKEN, "TK-65", "the AS asked is not one entitled to issue for us", 0);
    st = js_parse(body, INTROSPECTION_MAX_BYTES, &js, why);
    if (st != ST_OK)
        return st;
    if (!js_get_bool(js, "active", &active))
        return reject(why, ST_MALFORMED, "RFC 7662 2.2", "no answer: active is missing", 0);
    if (!active)
        return reject(why, ST_BAD_TOKEN, "AF-83", "the AS says the token is not active", 0);
    st = check_token_type(js, why);
    if (st == ST_OK)
        st = token_name_of(verifier, token, &source.name);
    if (st != ST_OK)
        return st;
    return claims_accept(verifier, &source, js, now, ret_token, why);
}
