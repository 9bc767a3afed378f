#include "token/claim_rules.h"

#include "jose/jws.h"
#include "token/claim_acl_priv.h"

#define POINTER_NAME_MAX 256

/* One reference token of a JSON Pointer, "~1" for "/" and "~0" for "~" (RFC 6901 4). False: too long, or a "~" that
 * escapes nothing. */
static bool unescape(struct span from, char out[POINTER_NAME_MAX])
{
    size_t len = 0;

    for (size_t i = 0; i < from.len; i++) {
        uint8_t c = from.p[i];
        if (len + 1 >= POINTER_NAME_MAX)
            return false;
        if (c == '~') {
            if (++i == from.len || (from.p[i] != '0' && from.p[i] != '1'))
                return false;
            c = from.p[i] == '0' ? '~' : '/';
        }
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return true;
}

const struct js *claim_rules_find(const struct js *claims, const char *where, const char *dflt)
{
    struct span path = span_of_str(where);
    const struct js *js = claims;
    char name[POINTER_NAME_MAX];

    if (where == NULL)
        return js_get(claims, dflt);
    if (path.len == 0 || path.p[0] != '/')
        return js_get(claims, where);
    for (size_t from = 1; js != NULL && from <= path.len;) {
        size_t end = span_find(path, '/', from);
        if (!unescape(span_cut(path, from, end - from), name))
            return NULL;
        js = js_get(js, name);
        from = end + 1;
    }
    return js;
}

bool claim_rules_take_type(const struct claim_rules *rules, struct span typ)
{
    for (size_t i = 0; rules != NULL && i < rules->types.count; i++)
        if (jose_type_is(typ, rules->types.items[i]))
            return true;
    return false;
}

enum status claim_rules_scope(const struct claim_rules *rules, const struct js *claims,
                              struct scope **ret_scope, struct why *why)
{
    const struct js *claim = claim_rules_find(claims, rules == NULL ? NULL : rules->scope, "scope");
    enum status st;

    if (claim == NULL)
        st = scope_build(NULL, 0, ret_scope, why);
    else if (rules != NULL && rules->scope_form == CLAIM_FORM_ACL)
        st = claim_acl_scope(rules, claims, claim, ret_scope, why);
    else
        st = scope_from_claim(claim, ret_scope, why);
    if (st == ST_OK || st == ST_NO_MEMORY)
        return st;
    return ST_BAD_SCOPE; /* its own why says what is wrong with it */
}

enum status claim_rules_check_use(const struct claim_rules *rules, const struct js *claims, struct why *why)
{
    /* Keycloak: "Bearer" and "DPoP" are access tokens; "ID", "Refresh", "Offline", "Logout" are not. */
    static const char *const uses[] = { "Bearer", "DPoP", "PoP" };
    struct span typ;

    if (rules == NULL || !js_get_str(claims, "typ", &typ))
        return ST_OK;
    for (size_t i = 0; i < COUNT_OF(uses); i++)
        if (jose_type_is(typ, uses[i]))
            return ST_OK;
    return reject(why, ST_BAD_TOKEN, "TK-24", "its claim typ says that it is no access token", 0);
}
