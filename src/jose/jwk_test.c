/* JWK, JWK Set and thumbprint: published values, keys that must be refused (TK-56, TK-57, TK-60, TK-61). */
#include "codec/base64.h"
#include "jose/jwk.h"
#include "jose/jwks.h"
#include "jose/jws.h"
#include "support/vectors.h"

static struct js *parse(const char *text)
{
    struct js *js = NULL;
    assert_int_equal(js_parse(span_of_str(text), 65536, &js, NULL), ST_OK);
    return js;
}

static enum status parse_jwk(const char *text, enum jwk_want want, struct key **ret_key, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = parse(text);
    struct jwk jwk;
    enum status st = jwk_parse(js, want, &jwk, why);

    if (st == ST_OK)
        *ret_key = TAKE(jwk.key);
    jwk_done(&jwk);
    return st;
}

static void assert_jwk_refused(const char *text, enum jwk_want want, enum status expected, const char *clause)
{
    struct key *key = NULL;
    struct why why = { 0 };

    assert_int_equal(parse_jwk(text, want, &key, &why), expected);
    assert_null(key);
    assert_string_equal(why.clause, clause);
}

static bool key_is_rsa_row(const struct js *row)
{
    struct span kty;

    return js_get_str(js_get(row, "jwk"), "kty", &kty) && span_eq_str(kty, "RSA");
}

/* RFC 8037 A.1, A.2, A.3; RFC 7638 3.1, 3.2. */
static void thumbprints_are_those_published(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *rows = vectors_load("jose/thumbprint.json");

    for (size_t i = 0; i < js_size(rows); i++) {
        const struct js *row = js_at(rows, i);
        struct span expected = vector_str(row, "thumbprint");
        char text[JWK_THUMBPRINT_TEXT];
        struct jwk jwk;
        bool rsa = key_is_rsa_row(row);
        assert_int_equal(jwk_parse(js_get(row, "jwk"), rsa ? JWK_ISSUER : JWK_ANY, &jwk, NULL), ST_OK);
        assert_int_equal(jwk_thumbprint_text(jwk.key, text), ST_OK);
        assert_span_equal(span_of_str(text), expected);
        jwk_done(&jwk);
    }
}

/* RFC 7517 4.1, RFC 8037 A.1, A.2. */
static void keys_survive_printing_and_parsing(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_SECRET, KEY_ED25519, KEY_P256 };

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        CLEANUP(js_unrefp)
        struct js *whole = NULL;
        CLEANUP(js_unrefp)
        struct js *public = NULL;
        struct jwk jwk;
        assert_int_equal(key_generate(kinds[i], &key), ST_OK);
        assert_int_equal(jwk_print(key, SPAN("k1"), "EdDSA", true, &whole), ST_OK);
        assert_int_equal(jwk_parse(whole, JWK_ANY, &jwk, NULL), ST_OK);
        assert_true(key_same(jwk.key, key));
        assert_true(key_is_private(jwk.key));
        assert_span_equal(jwk.kid, SPAN("k1"));
        assert_span_equal(jwk.alg, SPAN("EdDSA"));
        jwk_done(&jwk);
        assert_int_equal(jwk_print(key, SPAN_NONE, NULL, false, &public), ST_OK);
        assert_null(js_get(public, "d"));
        assert_null(js_get(public, "kid"));
        assert_null(js_get(public, "alg"));
    }
}

#define ED_X "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define ED_D "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\""
#define EC_X                                                                                  \
    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define EC_D "\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\""

static void tk56_private_parts_are_refused_in_public_keys(void **state UNUSED)
{
    assert_jwk_refused("{" ED_X "," ED_D "}", JWK_PUBLIC, ST_BAD_POP_KEY, "TK-56");
    assert_jwk_refused("{" EC_X "," EC_D "}", JWK_PUBLIC, ST_BAD_POP_KEY, "TK-56");
    assert_jwk_refused("{" ED_X ",\"d\":null}", JWK_PUBLIC, ST_BAD_POP_KEY, "TK-56");
}

static void keys_of_another_kind_than_wanted_are_refused(void **state UNUSED)
{
    assert_jwk_refused("{\"kty\":\"oct\",\"k\":\"AAAA\"}", JWK_PUBLIC, ST_BAD_POP_KEY, "RFC 7517 4.1");
    assert_jwk_refused("{\"kty\":\"oct\",\"k\":\"AAAA\"}", JWK_PRIVATE, ST_BAD_POP_KEY, "RFC 7517 4.1");
    assert_jwk_refused("{" ED_X "}", JWK_SECRET, ST_BAD_POP_KEY, "RFC 7517 4.1");
    assert_jwk_refused("{" ED_X "}", JWK_PRIVATE, ST_BAD_POP_KEY, "RFC 7517 4");
    assert_jwk_refused("{" EC_X "}", JWK_PRIVATE, ST_BAD_POP_KEY, "RFC 7517 4");
    assert_jwk_refused("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", JWK_ANY, ST_UNSUPPORTED, "MT-64");
    assert_jwk_refused("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", JWK_PUBLIC, ST_UNSUPPORTED, "MT-64");
    assert_jwk_refused("{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}", JWK_ANY, ST_UNSUPPORTED,
                       "tokens.md 4");
    assert_jwk_refused("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}", JWK_ANY, ST_UNSUPPORTED,
                       "tokens.md 4");
}

static void broken_keys_are_refused(void **state UNUSED)
{
    static const char *const texts[] = {
        "[]",
        "\"kty\"",
        "{}",
        "{\"kty\":1}",
        "{\"kty\":\"OKP\"}",
        "{\"kty\":\"EC\"}",
        "{\"kty\":\"oct\"}",
        "{\"kty\":\"oct\",\"k\":\"\"}",
        "{\"kty\":\"oct\",\"k\":\"A===\"}",
        "{\"kty\":\"oct\",\"k\":7}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
        "{" ED_X ",\"kid\":1}",
        "{" ED_X ",\"alg\":[]}",
        "{" ED_X ",\"use\":1}",
        "{" ED_X ",\"key_ops\":\"verify\"}",
        "{" ED_X ",\"key_ops\":[1]}",
        "{" ED_X ",\"key_ops\":[\"verify\",\"verify\"]}",
        "{" ED_X ",\"d\":\"AA\"}",
        /* the d of one key with the x of another */
        "{" ED_X ",\"d\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
        "{" EC_X ",\"d\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}",
    };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct key *key = NULL;
        assert_int_equal(parse_jwk(texts[i], JWK_ANY, &key, NULL), ST_MALFORMED);
        assert_null(key);
    }
}

/* TK-61: P-256 x and y that lie on no curve; TK-60: an Ed25519 point of small order. */
static void points_that_are_no_keys_are_refused(void **state UNUSED)
{
    struct key *key = NULL;

    assert_int_not_equal(parse_jwk("{\"kty\":\"EC\",\"crv\":\"P-256\","
                                   "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                                   "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4\"}",
                                   JWK_PUBLIC, &key, NULL),
                         ST_OK);
    assert_int_not_equal(parse_jwk("{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                                   "\"x\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
                                   JWK_PUBLIC, &key, NULL),
                         ST_OK);
    assert_null(key);
}

static void tk57_use_key_ops_and_alg_restrict_the_key(void **state UNUSED)
{
    /* clang-format off */
    static const struct { const char *members; bool verify, sign, wrap; } rows[] = {
        { "",                                                       true,  true,  true  },
        { ",\"use\":\"sig\"",                                       true,  true,  false },
        { ",\"use\":\"enc\"",                                       false, false, true  },
        { ",\"use\":\"other\"",                                     false, false, false },
        { ",\"key_ops\":[\"verify\"]",                              true,  false, false },
        { ",\"key_ops\":[\"deriveKey\"]",                           false, false, false },
        { ",\"key_ops\":[]",                                        false, false, false },
        { ",\"use\":\"sig\",\"key_ops\":[\"wrapKey\"]",             false, false, false },
        { ",\"key_ops\":[\"sign\",\"verify\"],\"alg\":\"EdDSA\"",   true,  true,  false },
        { ",\"alg\":\"Ed25519\"",                                   true,  true,  true  }, /* RFC 9864 2.2 */
        { ",\"alg\":\"ES256\"",                                     false, false, false },
        { ",\"alg\":\"\"",                                          false, false, false },
    };
    /* clang-format on */

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[512];
        struct jwk jwk;
        (void)snprintf(text, sizeof(text), "{" ED_X "%s}", rows[i].members);
        CLEANUP(js_unrefp)
        struct js *js = parse(text);
        assert_int_equal(jwk_parse(js, JWK_PUBLIC, &jwk, NULL), ST_OK);
        assert_int_equal(jwk_allows(&jwk, JWK_VERIFY, "EdDSA"), rows[i].verify);
        assert_int_equal(jwk_allows(&jwk, JWK_SIGN, "EdDSA"), rows[i].sign);
        assert_int_equal(jwk_allows(&jwk, JWK_WRAP, "EdDSA"), rows[i].wrap);
        jwk_done(&jwk);
    }
}

/* A key set fetched from a network must hold no secrets; a file of our own may (HS256, HMAC 256/256). */
static void only_files_of_our_own_may_hold_an_issuers_secret(void **state UNUSED)
{
    static const char *const keys[] = { "{" ED_X "}", "{" EC_X "}", "{\"kty\":\"oct\",\"k\":\"AAAA\"}" };

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        assert_int_equal(parse_jwk(keys[i], JWK_VERIFIER, &key, NULL), ST_OK);
    }
    assert_jwk_refused(keys[2], JWK_ISSUER, ST_BAD_POP_KEY, "RFC 7517 4.1");
    assert_jwk_refused("{" ED_X "," ED_D "}", JWK_VERIFIER, ST_BAD_POP_KEY, "TK-56");
}

/* RFC 7518 3.3: 2048 bits at least; 4096 at most, so that checking stays cheap. The exponent is odd and small. */
static void rsa_keys_of_issuers_have_a_sane_size(void **state UNUSED)
{
    static const struct {
        size_t modulus_len;
        uint8_t last;
        const char *e;
        enum status expected;
    } rows[] = {
        { 256, 0x01, "AQAB", ST_OK },           { 512, 0x01, "Aw", ST_OK },
        { 255, 0x01, "AQAB", ST_MALFORMED },    { 128, 0x01, "AQAB", ST_MALFORMED },
        { 513, 0x01, "AQAB", ST_MALFORMED },    { 256, 0x02, "AQAB", ST_MALFORMED },
        { 256, 0x01, "AQ", ST_MALFORMED },      { 256, 0x01, "", ST_MALFORMED },
        { 256, 0x01, "AAEAAQ", ST_MALFORMED },  { 256, 0x01, "AgA", ST_MALFORMED },
        { 256, 0x01, "AQAAAAE", ST_MALFORMED },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf text;
        CLEANUP(js_unrefp)
        struct js *js = NULL;
        uint8_t modulus[513];
        struct jwk jwk;

        buf_init(&text, 2048);
        memset(modulus, 0xc5, sizeof modulus);
        modulus[rows[i].modulus_len - 1] = rows[i].last;
        put_str(&text, "{\"kty\":\"RSA\",\"n\":\"");
        base64url_encode(span_of(modulus, rows[i].modulus_len), &text);
        put_fmt(&text, "\",\"e\":\"%s\"}", rows[i].e);
        assert_int_equal(js_parse(buf_span(&text), 2048, &js, NULL), ST_OK);
        assert_int_equal(jwk_parse(js, JWK_ISSUER, &jwk, NULL), rows[i].expected);
        jwk_done(&jwk);
    }
    assert_jwk_refused("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"d\":\"AA\"}", JWK_ISSUER,
                       ST_BAD_POP_KEY, "TK-56");
}

/* TK-45 */
static void a_kid_has_a_longest_length(void **state UNUSED)
{
    for (size_t len = JOSE_MAX_KID; len <= JOSE_MAX_KID + 1; len++) {
        char text[JOSE_MAX_KID + 200], kid[JOSE_MAX_KID + 2] = { 0 };
        struct key *key = NULL;

        memset(kid, 'k', len);
        (void)snprintf(text, sizeof text, "{" ED_X ",\"kid\":\"%s\"}", kid);
        if (len > JOSE_MAX_KID) {
            assert_jwk_refused(text, JWK_PUBLIC, ST_MALFORMED, "TK-45");
            continue;
        }
        assert_int_equal(parse_jwk(text, JWK_PUBLIC, &key, NULL), ST_OK);
        key_unref(key);
    }
}

/* A private part whose public part is another's, or half of it. */
static void a_public_part_belongs_to_its_private_part(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct span x, y, d;
    CLEANUP(js_unrefp)
    struct js *js = NULL;

    assert_int_equal(key_generate(KEY_P256, &key), ST_OK);
    assert_int_equal(jwk_print(key, SPAN_NONE, NULL, true, &js), ST_OK);
    assert_true(js_get_str(js, "x", &x) && js_get_str(js, "y", &y) && js_get_str(js, "d", &d));
    for (int wrong = 0; wrong < 3; wrong++) {
        char text[512];
        struct key *read = NULL;
        struct span one = wrong == 1 ? y : x, two = wrong == 2 ? x : y;
        (void)snprintf(text, sizeof text,
                       "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%.*s\",\"y\":\"%.*s\",\"d\":\"%.*s\"}",
                       SPAN_FMT(one), SPAN_FMT(two), SPAN_FMT(d));
        assert_int_equal(parse_jwk(text, JWK_ANY, &read, NULL), wrong == 0 ? ST_OK : ST_MALFORMED);
        key_unref(read);
    }
}

/* RFC 7517 5: unknown members and kinds are ignored; a broken key is skipped, the others stay. */
static void a_key_set_keeps_what_it_can_use(void **state UNUSED)
{
    struct jwks *jwks = NULL;

    assert_int_equal(
        jwks_parse(SPAN("{\"other\":1,\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"kid\":\"r\"},"
                        "{" ED_X ",\"kid\":\"a\",\"alg\":\"EdDSA\"},{" ED_X "," ED_D ",\"kid\":\"private\"},"
                        "{\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":\"secret\"},7,{" EC_X ",\"kid\":\"\"}]}"),
                   JWK_PUBLIC, &jwks, NULL),
        ST_OK);
    assert_int_equal(jwks_size(jwks), 2);
    assert_int_equal(jwks_skipped(jwks), 3);
    assert_span_equal(jwks_at(jwks, 0)->kid, SPAN("a"));
    assert_span_equal(jwks_at(jwks, 0)->alg, SPAN("EdDSA"));
    assert_non_null(jwks_at(jwks, 1)->kid.p);
    assert_int_equal(jwks_at(jwks, 1)->kid.len, 0);
    assert_null(jwks_at(jwks, 1)->alg.p);
    struct jwks *again = jwks_ref(jwks);
    jwks_unref(jwks);
    assert_int_equal(jwks_size(again), 2);
    jwks_unref(again);
    jwks_unref(NULL);
}

static void what_is_no_key_set_is_refused(void **state UNUSED)
{
    static const char *const texts[] = {
        "", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]", "{\"keys\":[],\"keys\":[]}"
    };
    CLEANUP(buf_done)
    struct buf many;
    struct jwks *jwks = NULL;

    for (size_t i = 0; i < COUNT_OF(texts); i++)
        assert_int_equal(jwks_parse(span_of_str(texts[i]), JWK_PUBLIC, &jwks, NULL), ST_MALFORMED);
    buf_init(&many, 1 << 20);
    put_str(&many, "{\"keys\":[");
    for (size_t i = 0; i <= JWKS_MAX_KEYS; i++)
        put_fmt(&many, "%s{" ED_X ",\"kid\":\"%zu\"}", i == 0 ? "" : ",", i);
    put_str(&many, "]}");
    assert_int_equal(jwks_parse(buf_span(&many), JWK_PUBLIC, &jwks, NULL), ST_QUOTA);
    assert_null(jwks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thumbprints_are_those_published),
        cmocka_unit_test(keys_survive_printing_and_parsing),
        cmocka_unit_test(tk56_private_parts_are_refused_in_public_keys),
        cmocka_unit_test(keys_of_another_kind_than_wanted_are_refused),
        cmocka_unit_test(broken_keys_are_refused),
        cmocka_unit_test(points_that_are_no_keys_are_refused),
        cmocka_unit_test(tk57_use_key_ops_and_alg_restrict_the_key),
        cmocka_unit_test(only_files_of_our_own_may_hold_an_issuers_secret),
        cmocka_unit_test(rsa_keys_of_issuers_have_a_sane_size),
        cmocka_unit_test(a_kid_has_a_longest_length),
        cmocka_unit_test(a_public_part_belongs_to_its_private_part),
        cmocka_unit_test(a_key_set_keeps_what_it_can_use),
        cmocka_unit_test(what_is_no_key_set_is_refused),
    };
    return cmocka_run_group_tests_name("jwk", tests, NULL, NULL);
}
