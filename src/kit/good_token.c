#include "kit/as_talk_priv.h"
#include "kit/say_priv.h"

#include "jose/jwk.h"

/* The AS makes the key (AF-26); the case proves with it. */
static struct span token_of_as(struct kit *k, const struct key **ret_key)
{
    struct as_answer a = as_ask_token(k, "");
    struct span token = SPAN_NONE;
    struct jwk jwk = { 0 };
    struct why why;

    buf_reset(&k->seen);
    if (a.js == NULL || !js_get_str(a.js, "access_token", &token)) {
        if (going(k))
            trouble(k, "the authorization server gave no token: HTTP %d", a.code);
    } else if (jwk_parse(js_get(js_get(a.js, "cnf"), "jwk"), JWK_SECRET, &jwk, &why) != ST_OK) {
        trouble(k, "the authorization server gave no key with the token: %s", why.text);
    } else {
        token = arena_copy(&k->arena, token);
        ASSERT(k->as_key_count < AS_KEYS_MAX);
        *ret_key = k->as_keys[k->as_key_count++] = key_ref(jwk.key);
        jwk_done(&jwk);
    }
    as_answer_done(&a);
    return going(k) ? token : SPAN_NONE;
}

struct span good_token(struct kit *k, enum pop_kind kind, const struct key **ret_key)
{
    *ret_key = k->pop[kind];
    if (k->issuer_key == NULL)
        return token_of_as(k, ret_key);
    return token_for(k, k->pop[kind], NULL);
}
