/* Any bytes as a JWK or a JWK Set: refused, or a key that prints and parses to the same key. */
#include "jose/jwk.h"
#include "jose/jwks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ROOM (1 << 16)

static void check_key(const struct js *js, enum jwk_want want)
{
    CLEANUP(js_unrefp)
    struct js *printed = NULL;
    struct jwk jwk, again;
    uint8_t a[JWK_THUMBPRINT_LEN], b[JWK_THUMBPRINT_LEN];

    if (jwk_parse(js, want, &jwk, NULL) == ST_OK) {
        ASSERT(want != JWK_PUBLIC || !key_is_private(jwk.key));
        ASSERT((want == JWK_SECRET) <= (key_kind(jwk.key) == KEY_SECRET));
        ASSERT(jwk_print(jwk.key, jwk.kid, NULL, true, &printed) == ST_OK);
        ASSERT(jwk_parse(printed, want, &again, NULL) == ST_OK);
        ASSERT(key_same(jwk.key, again.key) && key_is_private(jwk.key) == key_is_private(again.key));
        ASSERT(span_eq(jwk.kid, again.kid));
        ASSERT(jwk_thumbprint(jwk.key, a) == ST_OK && jwk_thumbprint(again.key, b) == ST_OK);
        ASSERT(memcmp(a, b, sizeof(a)) == 0);
        jwk_done(&again);
    }
    jwk_done(&jwk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(jwks_unrefp)
    struct jwks *jwks = NULL;
    struct span in = span_of(data, len);

    if (js_parse(in, ROOM, &js, NULL) != ST_OK)
        return 0;
    for (enum jwk_want want = JWK_PUBLIC; want <= JWK_ANY; want++)
        check_key(js, want);
    if (jwks_parse(in, JWK_PUBLIC, &jwks, NULL) == ST_OK) {
        for (size_t i = 0; i < jwks_size(jwks); i++)
            ASSERT(!key_is_private(jwks_at(jwks, i)->key));
    }
    return 0;
}
