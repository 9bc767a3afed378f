/* Published JOSE vectors, and what must be refused: the attacks of tokens.md section 7 that live at this level. */
#include "crypto/sign.h"
#include "jose/jwe.h"
#include "jose/jwe_priv.h"
#include "jose/jwk.h"
#include "jose/jwks.h"
#include "jose/jws.h"
#include "support/vectors.h"

#define ROOM 4096

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

/* base64url(header).base64url(payload).signature, with whatever header a test wants. */
static void put_compact(struct buf *out, const char *header, const char *payload, const struct key *key)
{
    uint8_t sig[SIG_MAX];

    base64url_encode(span_of_str(header), out);
    put_u8(out, '.');
    base64url_encode(span_of_str(payload), out);
    if (key != NULL)
        assert_int_equal(sig_make(key, sig_for_key(key), buf_span(out), sig), ST_OK);
    put_u8(out, '.');
    if (key != NULL)
        base64url_encode(span_of(sig, sig_len(sig_for_key(key))), out);
    assert_true(buf_ok(out));
}

static enum status verify_text(struct span text, const struct key *key, struct why *why)
{
    struct jws jws;
    enum status st = jws_parse(text, &jws, why);

    if (st == ST_OK)
        st = jws_check(&jws, key, why);
    jws_done(&jws);
    return st;
}

static void assert_header_refused(const char *header, enum status expected, const char *clause)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct why why = { 0 };

    buf_init(&text, 1 << 18);
    assert_int_equal(key_generate(KEY_SECRET, &key), ST_OK);
    put_compact(&text, header, "{}", key);
    assert_int_equal(verify_text(buf_span(&text), key, &why), expected);
    assert_string_equal(why.clause, clause);
}

static void check_jws_row(const struct js *row)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf room;
    CLEANUP(buf_done)
    struct buf payload;
    struct jwk jwk;
    struct jws jws;
    struct span text = vector_str(row, "jws");
    bool reproducible = false;

    buf_init(&room, ROOM);
    buf_init(&payload, ROOM);
    assert_int_equal(jwk_parse(js_get(row, "jwk"), JWK_ANY, &jwk, NULL), ST_OK);
    assert_int_equal(jws_parse(text, &jws, NULL), ST_OK);
    assert_int_equal(jws_check(&jws, jwk.key, NULL), ST_OK);
    assert_int_equal(jws_payload(&jws, &payload, NULL), ST_OK);
    assert_span_equal(buf_span(&payload), vector_hex(row, "payload_hex", &room));
    jws_done(&jws);

    buf_reset(&room);
    assert_int_equal(jws_sign(jwk.key, SPAN_NONE, SPAN_NONE, SPAN_NONE, buf_span(&payload), &room), ST_OK);
    assert_int_equal(verify_text(buf_span(&room), jwk.key, NULL), ST_OK);
    assert_true(js_get_bool(row, "reproducible", &reproducible));
    if (reproducible)
        assert_span_equal(buf_span(&room), text);
    if (key_kind(jwk.key) != KEY_SECRET) {
        assert_int_equal(key_public(jwk.key, &key), ST_OK);
        assert_int_equal(verify_text(text, key, NULL), ST_OK);
    }
    jwk_done(&jwk);
}

/* RFC 7515 A.1, A.3; RFC 8037 A.4, A.5. */
static void published_signatures_verify_and_ours_too(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *rows = vectors_load("jose/jws.json");

    assert_int_equal(js_size(rows), 3);
    for (size_t i = 0; i < js_size(rows); i++)
        check_jws_row(js_at(rows, i));
}

/* RFC 8037 A.1, A.2, A.3; RFC 7638 3.1, 3.2. */
static void thumbprints_are_those_published(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *rows = vectors_load("jose/thumbprint.json");

    for (size_t i = 0; i < js_size(rows); i++) {
        const struct js *row = js_at(rows, i);
        struct span expected = vector_str_or_none(row, "thumbprint");
        char text[JWK_THUMBPRINT_TEXT];
        struct jwk jwk;
        enum status st = jwk_parse(js_get(row, "jwk"), JWK_ANY, &jwk, NULL);
        assert_int_equal(st, expected.p == NULL ? ST_UNSUPPORTED : ST_OK);
        if (st == ST_OK) {
            assert_int_equal(jwk_thumbprint_text(jwk.key, text), ST_OK);
            assert_span_equal(span_of_str(text), expected);
        }
        jwk_done(&jwk);
    }
}

static void check_jwe_row(const struct js *row)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf room;
    CLEANUP(buf_done)
    struct buf plain;
    CLEANUP(buf_done)
    struct buf again;
    struct jwe_plan plan = { 0 };
    struct jwe jwe;
    bool reproducible = false;
    struct span text = vector_str(row, "jwe"), expected;

    buf_init(&room, ROOM);
    buf_init(&plain, ROOM);
    buf_init(&again, ROOM);
    assert_non_null(buf_room(&room, ROOM));
    assert_int_equal(key_new_secret(vector_base64url(row, "k", &room), &key, NULL), ST_OK);
    expected = vector_hex(row, "plaintext_hex", &room);
    assert_int_equal(jwe_parse(text, &jwe, NULL), ST_OK);
    assert_string_equal(jwe_alg_name(jwe.alg), (const char *)vector_str(row, "alg").p);
    assert_string_equal(jwe_enc_name(jwe.enc), (const char *)vector_str(row, "enc").p);
    assert_int_equal(jwe_decrypt(&jwe, key, &plain, NULL), ST_OK);
    assert_span_equal(buf_span(&plain), expected);

    plan.alg = jwe.alg;
    plan.enc = jwe.enc;
    plan.kid = vector_str_or_none(row, "kid");
    plan.cek = vector_base64url(row, "cek", &room);
    plan.iv = vector_base64url(row, "iv", &room);
    assert_true(js_get_bool(row, "reproducible", &reproducible));
    assert_int_equal(jwe_encrypt_with(&plan, key, expected, &again), ST_OK);
    if (reproducible)
        assert_span_equal(buf_span(&again), text);
    jwe_done(&jwe);
}

/* RFC 7516 A.3, RFC 7520 5.6, and three computed elsewhere. */
static void published_encryptions_open_and_ours_are_the_same(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *rows = vectors_load("jose/jwe.json");

    assert_int_equal(js_size(rows), 5);
    for (size_t i = 0; i < js_size(rows); i++)
        check_jwe_row(js_at(rows, i));
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
    assert_jwk_refused("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", JWK_ANY, ST_UNSUPPORTED,
                       "tokens.md 4");
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

static void tk40_alg_none_is_refused_in_any_letter_case(void **state UNUSED)
{
    assert_header_refused("{\"alg\":\"none\"}", ST_UNSUPPORTED, "TK-40");
    assert_header_refused("{\"alg\":\"None\"}", ST_UNSUPPORTED, "TK-40");
    assert_header_refused("{\"alg\":\"NONE\"}", ST_UNSUPPORTED, "TK-40");
    assert_header_refused("{\"alg\":\"nOnE\"}", ST_UNSUPPORTED, "TK-40");
}

static void tk40_an_empty_signature_is_refused(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct why why;

    buf_init(&text, ROOM);
    assert_int_equal(key_generate(KEY_SECRET, &key), ST_OK);
    put_compact(&text, "{\"alg\":\"HS256\"}", "{}", NULL);
    assert_int_equal(verify_text(buf_span(&text), key, &why), ST_BAD_TOKEN);
    assert_string_equal(why.clause, "TK-63");
}

/* The classic: the verifier's public key, in every form it is published in, used as an HMAC secret. */
static void tk41_a_public_key_is_never_an_hmac_secret(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_ED25519, KEY_P256 };

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        CLEANUP(key_unrefp)
        struct key *public = NULL;
        CLEANUP(js_unrefp)
        struct js *jwk = NULL;
        struct buf forms[4];
        for (size_t f = 0; f < COUNT_OF(forms); f++)
            buf_init(&forms[f], ROOM);
        assert_int_equal(key_generate(kinds[i], &key), ST_OK);
        assert_int_equal(key_public(key, &public), ST_OK);
        assert_int_equal(key_write_pem(public, false, &forms[0]), ST_OK);
        assert_int_equal(key_write_spki(public, &forms[1]), ST_OK);
        put_bytes(&forms[2], key_x(public));
        assert_int_equal(jwk_print(public, SPAN_NONE, NULL, false, &jwk), ST_OK);
        assert_int_equal(js_print(jwk, &forms[3]), ST_OK);
        for (size_t f = 0; f < COUNT_OF(forms); f++) {
            CLEANUP(key_unrefp)
            struct key *secret = NULL;
            CLEANUP(buf_done)
            struct buf text;
            struct why why;
            buf_init(&text, ROOM);
            assert_int_equal(key_new_secret(buf_span(&forms[f]), &secret, NULL), ST_OK);
            put_compact(&text, "{\"alg\":\"HS256\"}", "{}", secret);
            assert_int_equal(verify_text(buf_span(&text), public, &why), ST_BAD_TOKEN);
            assert_string_equal(why.clause, "TK-41");
            buf_done(&forms[f]);
        }
    }
}

static void tk45_kid_is_text_of_bounded_length(void **state UNUSED)
{
    CLEANUP(buf_done)
    struct buf header;

    buf_init(&header, 1 << 17);
    assert_header_refused("{\"alg\":\"HS256\",\"kid\":7}", ST_MALFORMED, "RFC 7515 4.1");
    assert_header_refused("{\"alg\":\"HS256\",\"kid\":\"a\\u0000b\"}", ST_MALFORMED, "RFC 8259 7");
    put_str(&header, "{\"alg\":\"HS256\",\"kid\":\"");
    for (size_t i = 0; i <= JOSE_MAX_KID; i++)
        put_u8(&header, 'k');
    put_bytes(&header, SPAN("\"}\0"));
    assert_header_refused((const char *)header.p, ST_MALFORMED, "TK-45");
}

static void tk45_a_kid_of_64_kib_does_not_fit_a_header(void **state UNUSED)
{
    CLEANUP(buf_done)
    struct buf header;
    CLEANUP(buf_done)
    struct buf text;
    struct jws jws;

    buf_init(&header, 1 << 17);
    buf_init(&text, 1 << 18);
    put_str(&header, "{\"alg\":\"HS256\",\"kid\":\"");
    for (size_t i = 0; i < 65536; i++)
        put_u8(&header, 'k');
    put_bytes(&header, SPAN("\"}"));
    base64url_encode(buf_span(&header), &text);
    put_str(&text, ".e30.AAAA");
    assert_int_equal(jws_parse(buf_span(&text), &jws, NULL), ST_TOO_LARGE);
    jws_done(&jws);
}

static void tk47_crit_is_refused_whatever_it_names(void **state UNUSED)
{
    assert_header_refused("{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", ST_UNSUPPORTED, "TK-47");
    assert_header_refused("{\"alg\":\"HS256\",\"crit\":[\"alg\"]}", ST_UNSUPPORTED, "TK-47");
    assert_header_refused("{\"alg\":\"HS256\",\"crit\":[\"kid\"],\"kid\":\"a\"}", ST_UNSUPPORTED, "TK-47");
    assert_header_refused("{\"alg\":\"HS256\",\"crit\":[]}", ST_UNSUPPORTED, "TK-47");
    assert_header_refused("{\"alg\":\"HS256\",\"crit\":null}", ST_UNSUPPORTED, "TK-47");
    assert_header_refused("{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", ST_UNSUPPORTED, "TK-47");
    assert_header_refused("{\"alg\":\"HS256\",\"b64\":false}", ST_UNSUPPORTED, "TK-47");
}

static void tk48_a_header_parameter_twice_is_refused(void **state UNUSED)
{
    assert_header_refused("{\"alg\":\"HS256\",\"alg\":\"HS256\"}", ST_MALFORMED, "TK-48");
    assert_header_refused("{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", ST_MALFORMED, "TK-48");
}

static void tk50_bytes_behind_the_header_are_refused(void **state UNUSED)
{
    assert_header_refused("{\"alg\":\"HS256\"}{}", ST_MALFORMED, "TK-50");
    assert_header_refused("{\"alg\":\"HS256\"},", ST_MALFORMED, "TK-50");
}

static void headers_that_are_none_are_refused(void **state UNUSED)
{
    assert_header_refused("[]", ST_MALFORMED, "RFC 7515 4");
    assert_header_refused("{}", ST_MALFORMED, "RFC 7515 4.1.1");
    assert_header_refused("{\"alg\":1}", ST_MALFORMED, "RFC 7515 4.1.1");
    assert_header_refused("{\"alg\":\"HS256\",\"typ\":1}", ST_MALFORMED, "RFC 7515 4.1");
    assert_header_refused("{\"alg\":\"HS256\",\"cty\":{}}", ST_MALFORMED, "RFC 7515 4.1");
    assert_header_refused("{\"alg\":\"hs256\"}", ST_UNSUPPORTED, "RFC 7515 4.1.1");
    assert_header_refused("{\"alg\":\"RS256\"}", ST_UNSUPPORTED, "RFC 7515 4.1.1");
}

static void tk51_only_one_spelling_of_base64url_is_taken(void **state UNUSED)
{
    static const char *const texts[] = {
        "eyJhbGciOiJIUzI1NiJ9=.e30.AAAA", "eyJhbGciOiJIUzI1NiJ9.e30=.AAAA",  "eyJhbGciOiJIUzI1NiJ9.e30.AA==",
        " eyJhbGciOiJIUzI1NiJ9.e30.AAAA", "eyJhbGciOiJIUzI1NiJ9.e31.AAAA",   "eyJhbGciOiJIUzI1NiJ9.e30.AB",
        "eyJhbGciOiJIUzI1NiJ9.e30.AA+/",  "eyJhbGciOiJIUzI1NiJ9\n.e30.AAAA", "eyJhbGciOiJIUzI1NiJ9.e30.A",
    };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        CLEANUP(buf_done)
        struct buf payload;
        struct jws jws;
        buf_init(&payload, ROOM);
        enum status st = jws_parse(span_of_str(texts[i]), &jws, NULL);
        if (st == ST_OK)
            st = jws_payload(&jws, &payload, NULL);
        assert_int_equal(st, ST_MALFORMED);
        jws_done(&jws);
    }
}

static void tk23_other_than_three_parts_is_no_jws(void **state UNUSED)
{
    static const char *const texts[] = { "",    ".",       "..",
                                         "a.b", "a.b.c.d", "{\"payload\":\"e30\",\"signatures\":[]}" };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct jws jws;
        assert_int_equal(jws_parse(span_of_str(texts[i]), &jws, NULL), ST_MALFORMED);
        jws_done(&jws);
    }
}

/* TK-59, TK-63: no other length, no other encoding, no other bit. */
static void tk63_signatures_cut_longer_or_changed_are_refused(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_SECRET, KEY_ED25519, KEY_P256 };

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        CLEANUP(buf_done)
        struct buf text;
        struct jws jws;
        size_t full;
        buf_init(&text, ROOM);
        assert_int_equal(key_generate(kinds[i], &key), ST_OK);
        assert_int_equal(jws_sign(key, SPAN_NONE, SPAN_NONE, SPAN_NONE, SPAN("{}"), &text), ST_OK);
        assert_int_equal(jws_parse(buf_span(&text), &jws, NULL), ST_OK);
        full = jws.signature_len;
        for (size_t len = 0; len <= SIG_MAX; len++) {
            jws.signature_len = len;
            assert_int_equal(jws_check(&jws, key, NULL), len == full ? ST_OK : ST_BAD_TOKEN);
        }
        jws.signature_len = full;
        for (size_t bit = 0; bit < full * 8; bit++) {
            jws.signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(jws_check(&jws, key, NULL), ST_BAD_TOKEN);
            jws.signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        jws_done(&jws);
        base64url_encode(SPAN("more"), &text);
        assert_int_not_equal(verify_text(buf_span(&text), key, NULL), ST_OK);
    }
}

static void tk59_a_der_signature_is_refused(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf text;
    uint8_t sig[SIG_MAX];
    struct why why;

    buf_init(&text, ROOM);
    assert_int_equal(key_generate(KEY_P256, &key), ST_OK);
    base64url_encode(SPAN("{\"alg\":\"ES256\"}"), &text);
    put_str(&text, ".e30");
    assert_int_equal(sig_make(key, SIG_ES256, buf_span(&text), sig), ST_OK);
    uint8_t der[72] = { 0x30, 0x46, 0x02, 0x21, 0x00 };
    memcpy(der + 5, sig, 32);
    memcpy(der + 37, (const uint8_t[]){ 0x02, 0x21, 0x00 }, 3);
    memcpy(der + 40, sig + 32, 32);
    put_u8(&text, '.');
    base64url_encode(span_of(der, sizeof(der)), &text);
    assert_int_equal(verify_text(buf_span(&text), key, &why), ST_BAD_TOKEN);
    assert_string_equal(why.clause, "TK-63");
}

/* TK-46: whatever keys a header brings along, the one the verifier holds decides. */
static void tk46_keys_in_the_header_are_not_used(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *attacker = NULL;
    CLEANUP(key_unrefp)
    struct key *trusted = NULL;
    CLEANUP(js_unrefp)
    struct js *jwk = NULL;
    CLEANUP(buf_done)
    struct buf header;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&header, ROOM);
    buf_init(&text, ROOM);
    assert_int_equal(key_generate(KEY_ED25519, &attacker), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &trusted), ST_OK);
    assert_int_equal(jwk_print(attacker, SPAN_NONE, NULL, false, &jwk), ST_OK);
    put_str(&header, "{\"alg\":\"EdDSA\",\"jku\":\"https://attacker.example/jwks\",\"jwk\":");
    assert_int_equal(js_print(jwk, &header), ST_OK);
    put_bytes(&header, SPAN("}\0"));
    put_compact(&text, (const char *)header.p, "{}", attacker);
    assert_int_equal(verify_text(buf_span(&text), attacker, NULL), ST_OK);
    assert_int_equal(verify_text(buf_span(&text), trusted, NULL), ST_BAD_TOKEN);
}

static void assert_jwe_header_refused(const char *header, enum status expected, const char *clause)
{
    CLEANUP(buf_done)
    struct buf text;
    struct why why = { 0 };
    struct jwe jwe;

    buf_init(&text, ROOM);
    base64url_encode(span_of_str(header), &text);
    put_str(&text, ".AAAA.AAAA.AAAA.AAAA");
    assert_int_equal(jwe_parse(buf_span(&text), &jwe, &why), expected);
    assert_string_equal(why.clause, clause);
    jwe_done(&jwe);
}

static void tk62_dangerous_jwe_headers_are_refused(void **state UNUSED)
{
    assert_jwe_header_refused("{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"zip\":\"DEF\"}", ST_UNSUPPORTED, "TK-62");
    assert_jwe_header_refused("{\"alg\":\"PBES2-HS256+A128KW\",\"enc\":\"A128GCM\",\"p2c\":2147483647}",
                              ST_UNSUPPORTED, "TK-62");
    assert_jwe_header_refused("{\"alg\":\"RSA1_5\",\"enc\":\"A128GCM\"}", ST_UNSUPPORTED, "TK-62");
    assert_jwe_header_refused("{\"alg\":\"none\",\"enc\":\"A128GCM\"}", ST_UNSUPPORTED, "TK-62");
    assert_jwe_header_refused("{\"alg\":\"dir\",\"enc\":\"none\"}", ST_UNSUPPORTED, "RFC 7516 4.1.2");
    assert_jwe_header_refused("{\"alg\":\"dir\"}", ST_MALFORMED, "RFC 7516 4.1.2");
    assert_jwe_header_refused("{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"crit\":[\"zip\"]}", ST_UNSUPPORTED,
                              "TK-47");
}

static enum status open_text(struct span text, const struct key *key, struct buf *out, struct why *why)
{
    struct jwe jwe;
    enum status st = jwe_parse(text, &jwe, why);

    if (st == ST_OK)
        st = jwe_decrypt(&jwe, key, out, why);
    jwe_done(&jwe);
    return st;
}

/* Takes part `n` (from 0) of a compact text out and puts another in. */
static void replace_part(struct span text, size_t n, const char *with, struct buf *out)
{
    size_t from = 0;

    for (size_t i = 0; i < 5; i++) {
        size_t dot = span_find(text, '.', from);
        if (i > 0)
            put_u8(out, '.');
        put_bytes(out, i == n ? span_of_str(with) : span_cut(text, from, dot - from));
        from = dot + 1;
    }
    assert_true(buf_ok(out));
}

static void tk62_iv_and_tag_of_wrong_length_are_refused(void **state UNUSED)
{
    /* clang-format off */
    static const struct { size_t part; const char *with; enum status expected; } rows[] = {
        { 1, "AAAA",                             ST_MALFORMED }, /* dir with an encrypted key */
        { 2, "",                                 ST_MALFORMED },
        { 2, "AAAA",                             ST_MALFORMED },
        { 2, "AAAAAAAAAAAAAAAAAAAAAA",           ST_MALFORMED }, /* 16 bytes */
        { 2, "AAAAAAAAAAAAAAAAAAAAAAAAAAAA",     ST_MALFORMED },
        { 2, "AAAAAAAAAAAAAAAA",                 ST_BAD_TOKEN }, /* 12 bytes, not those used */
        { 3, "",                                 ST_BAD_TOKEN },
        { 3, "AAAA",                             ST_BAD_TOKEN },
        { 4, "",                                 ST_MALFORMED },
        { 4, "AAAA",                             ST_MALFORMED },
        { 4, "AAAAAAAAAAAAAAAAAAAAAAAAAAAA",     ST_MALFORMED },
        { 4, "AAAAAAAAAAAAAAAAAAAAAA",           ST_BAD_TOKEN },
    };
    /* clang-format on */
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(buf_done)
    struct buf plain;

    buf_init(&text, ROOM);
    buf_init(&plain, ROOM);
    assert_int_equal(key_generate(KEY_SECRET, &key), ST_OK);
    assert_int_equal(
        jwe_encrypt(JWE_DIR, JWE_A256GCM, key, SPAN_NONE, SPAN_NONE, SPAN_NONE, SPAN("hello"), &text), ST_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf changed;
        buf_init(&changed, ROOM);
        replace_part(buf_span(&text), rows[i].part, rows[i].with, &changed);
        assert_int_equal(open_text(buf_span(&changed), key, &plain, NULL), rows[i].expected);
        assert_int_equal(plain.len, 0);
    }
}

static void every_kind_of_jwe_opens_again_and_under_no_other_key(void **state UNUSED)
{
    for (enum jwe_alg alg = 0; alg < JWE_ALGS; alg++) {
        for (enum jwe_enc enc = 0; enc < JWE_ENCS; enc++) {
            CLEANUP(key_unrefp)
            struct key *key = NULL;
            CLEANUP(key_unrefp)
            struct key *other = NULL;
            CLEANUP(buf_done)
            struct buf text;
            CLEANUP(buf_done)
            struct buf plain;
            uint8_t secret[32] = { 1 };
            struct span bytes = span_of(secret, jwe_key_len(alg, enc));
            buf_init(&text, ROOM);
            buf_init(&plain, ROOM);
            assert_int_equal(key_new_secret(bytes, &key, NULL), ST_OK);
            secret[0] = 2;
            assert_int_equal(key_new_secret(bytes, &other, NULL), ST_OK);
            assert_int_equal(
                jwe_encrypt(alg, enc, key, SPAN("k"), SPAN("JWT"), SPAN("JWT"), SPAN("hello"), &text), ST_OK);
            assert_int_equal(open_text(buf_span(&text), other, &plain, NULL), ST_BAD_TOKEN);
            assert_int_equal(plain.len, 0);
            assert_int_equal(open_text(buf_span(&text), key, &plain, NULL), ST_OK);
            assert_span_equal(buf_span(&plain), SPAN("hello"));
        }
    }
}

/* The same text twice must not look the same (TK-67). */
static void tk67_no_two_encryptions_share_key_and_iv(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    struct buf text[2];

    assert_int_equal(key_generate(KEY_SECRET, &key), ST_OK);
    for (size_t i = 0; i < 2; i++) {
        buf_init(&text[i], ROOM);
        assert_int_equal(
            jwe_encrypt(JWE_A256KW, JWE_A256GCM, key, SPAN_NONE, SPAN_NONE, SPAN_NONE, SPAN("hello"), &text[i]),
            ST_OK);
    }
    struct jwe a, b;
    assert_int_equal(jwe_parse(buf_span(&text[0]), &a, NULL), ST_OK);
    assert_int_equal(jwe_parse(buf_span(&text[1]), &b, NULL), ST_OK);
    assert_false(span_eq(a.iv, b.iv));
    assert_false(span_eq(a.encrypted_key, b.encrypted_key));
    assert_false(span_eq(a.ciphertext, b.ciphertext));
    jwe_done(&a);
    jwe_done(&b);
    buf_done(&text[0]);
    buf_done(&text[1]);
}

static void a_jwe_key_of_the_wrong_kind_or_length_is_refused(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *short_key = NULL;
    CLEANUP(key_unrefp)
    struct key *pair = NULL;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, ROOM);
    assert_int_equal(key_new_secret(SPAN("0123456789abcdef"), &short_key, NULL), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &pair), ST_OK);
    assert_int_equal(
        jwe_encrypt(JWE_DIR, JWE_A256GCM, short_key, SPAN_NONE, SPAN_NONE, SPAN_NONE, SPAN("x"), &text),
        ST_BAD_POP_KEY);
    assert_int_equal(
        jwe_encrypt(JWE_A128KW, JWE_A256GCM, pair, SPAN_NONE, SPAN_NONE, SPAN_NONE, SPAN("x"), &text),
        ST_BAD_POP_KEY);
    assert_int_equal(text.len, 0);
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

/* RFC 7515 4.1.9, 4.1.10 */
static void media_types_compare_without_prefix_and_case(void **state UNUSED)
{
    assert_true(jose_type_is(SPAN("JWT"), "JWT"));
    assert_true(jose_type_is(SPAN("jwt"), "JWT"));
    assert_true(jose_type_is(SPAN("application/at+jwt"), "at+jwt"));
    assert_true(jose_type_is(SPAN("Application/AT+JWT"), "at+jwt"));
    assert_false(jose_type_is(SPAN("application/"), "JWT"));
    assert_false(jose_type_is(SPAN("JWTx"), "JWT"));
    assert_false(jose_type_is(SPAN_NONE, "JWT"));
}

static void a_full_buffer_gets_nothing_at_all(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;

    assert_int_equal(key_generate(KEY_SECRET, &key), ST_OK);
    for (size_t max = 0; max < 100; max++) {
        struct buf out;
        buf_init(&out, max);
        assert_int_not_equal(jws_sign(key, SPAN("k"), SPAN("JWT"), SPAN_NONE, SPAN("{\"a\":1}"), &out), ST_OK);
        assert_int_equal(out.len, 0);
        buf_done(&out);
        buf_init(&out, max);
        assert_int_not_equal(
            jwe_encrypt(JWE_DIR, JWE_A256GCM, key, SPAN("k"), SPAN_NONE, SPAN_NONE, SPAN("{\"a\":1}"), &out),
            ST_OK);
        assert_int_equal(out.len, 0);
        buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_signatures_verify_and_ours_too),
        cmocka_unit_test(thumbprints_are_those_published),
        cmocka_unit_test(published_encryptions_open_and_ours_are_the_same),
        cmocka_unit_test(keys_survive_printing_and_parsing),
        cmocka_unit_test(tk56_private_parts_are_refused_in_public_keys),
        cmocka_unit_test(keys_of_another_kind_than_wanted_are_refused),
        cmocka_unit_test(broken_keys_are_refused),
        cmocka_unit_test(points_that_are_no_keys_are_refused),
        cmocka_unit_test(tk57_use_key_ops_and_alg_restrict_the_key),
        cmocka_unit_test(tk40_alg_none_is_refused_in_any_letter_case),
        cmocka_unit_test(tk40_an_empty_signature_is_refused),
        cmocka_unit_test(tk41_a_public_key_is_never_an_hmac_secret),
        cmocka_unit_test(tk45_kid_is_text_of_bounded_length),
        cmocka_unit_test(tk45_a_kid_of_64_kib_does_not_fit_a_header),
        cmocka_unit_test(tk46_keys_in_the_header_are_not_used),
        cmocka_unit_test(tk47_crit_is_refused_whatever_it_names),
        cmocka_unit_test(tk48_a_header_parameter_twice_is_refused),
        cmocka_unit_test(tk50_bytes_behind_the_header_are_refused),
        cmocka_unit_test(headers_that_are_none_are_refused),
        cmocka_unit_test(tk51_only_one_spelling_of_base64url_is_taken),
        cmocka_unit_test(tk23_other_than_three_parts_is_no_jws),
        cmocka_unit_test(tk63_signatures_cut_longer_or_changed_are_refused),
        cmocka_unit_test(tk59_a_der_signature_is_refused),
        cmocka_unit_test(tk62_dangerous_jwe_headers_are_refused),
        cmocka_unit_test(tk62_iv_and_tag_of_wrong_length_are_refused),
        cmocka_unit_test(every_kind_of_jwe_opens_again_and_under_no_other_key),
        cmocka_unit_test(tk67_no_two_encryptions_share_key_and_iv),
        cmocka_unit_test(a_jwe_key_of_the_wrong_kind_or_length_is_refused),
        cmocka_unit_test(a_key_set_keeps_what_it_can_use),
        cmocka_unit_test(what_is_no_key_set_is_refused),
        cmocka_unit_test(media_types_compare_without_prefix_and_case),
        cmocka_unit_test(a_full_buffer_gets_nothing_at_all),
    };
    return cmocka_run_group_tests_name("jose", tests, NULL, NULL);
}
