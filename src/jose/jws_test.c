/* JWS: published signatures, and the attacks of tokens.md section 7 on header and signature. */
#include "crypto/sign.h"
#include "jose/jwk.h"
#include "jose/jws.h"
#include "support/vectors.h"

#define ROOM 4096

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
        base64url_encode(span_of(sig, sig_len(key)), out);
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

/* TK-59's like for RSA: every byte counts; and one RSA algorithm's signature is not the other's. */
static void check_rsa_row(const struct key *key, struct span text)
{
    struct jws jws;

    assert_int_equal(jws_parse(text, &jws, NULL), ST_OK);
    for (size_t i = 0; i < jws.signature_len; i += 5) {
        jws.signature[i] ^= 0x04;
        assert_int_equal(jws_check(&jws, key, NULL), ST_BAD_TOKEN);
        jws.signature[i] ^= 0x04;
    }
    assert_int_equal(jws_check(&jws, key, NULL), ST_OK);
    jws.signature_len--;
    assert_int_equal(jws_check(&jws, key, NULL), ST_BAD_TOKEN);
    jws.signature_len++;
    jws.alg = jws.alg == SIG_RS256 ? SIG_PS256 : SIG_RS256;
    assert_int_equal(jws_check(&jws, key, NULL), ST_BAD_TOKEN);
    jws.alg = SIG_HS256; /* TK-41 */
    assert_int_equal(jws_check(&jws, key, NULL), ST_BAD_TOKEN);
    jws_done(&jws);
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
    bool reproducible = false, refused = false;
    enum jwk_want want = js_get(js_get(row, "jwk"), "n") != NULL ? JWK_ISSUER : JWK_ANY;

    buf_init(&room, ROOM);
    buf_init(&payload, ROOM);
    (void)js_get_bool(row, "refused", &refused);
    assert_int_equal(jwk_parse(js_get(row, "jwk"), want, &jwk, NULL), ST_OK);
    assert_int_equal(jws_parse(text, &jws, NULL), ST_OK);
    assert_int_equal(jws_check(&jws, jwk.key, NULL), refused ? ST_BAD_TOKEN : ST_OK);
    if (refused) {
        jws_done(&jws);
        jwk_done(&jwk);
        return;
    }
    assert_int_equal(jws_payload(&jws, &payload, NULL), ST_OK);
    assert_span_equal(buf_span(&payload), vector_hex(row, "payload_hex", &room));
    jws_done(&jws);

    buf_reset(&room);
    if (key_kind(jwk.key) == KEY_RSA) { /* checked, never made */
        assert_int_equal(jws_sign(jwk.key, SPAN_NONE, SPAN_NONE, SPAN_NONE, SPAN("{}"), &room), ST_UNSUPPORTED);
        check_rsa_row(jwk.key, text);
        jwk_done(&jwk);
        return;
    }
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

/* RFC 7515 A.1 to A.3; RFC 8037 A.4, A.5; RFC 7518 3.5. */
static void published_signatures_verify_and_ours_too(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *rows = vectors_load("jose/jws.json");

    assert_int_equal(js_size(rows), 6);
    for (size_t i = 0; i < js_size(rows); i++)
        check_jws_row(js_at(rows, i));
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

/* RFC 9864 2.2: the newer name of the same algorithm, for the same keys only. */
static void ed25519_is_another_name_of_eddsa(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *pair = NULL;
    CLEANUP(key_unrefp)
    struct key *other = NULL;
    CLEANUP(buf_done)
    struct buf text;
    struct why why;

    buf_init(&text, ROOM);
    assert_int_equal(key_generate(KEY_ED25519, &pair), ST_OK);
    assert_int_equal(key_generate(KEY_P256, &other), ST_OK);
    put_compact(&text, "{\"alg\":\"Ed25519\"}", "{}", pair);
    assert_int_equal(verify_text(buf_span(&text), pair, NULL), ST_OK);
    assert_int_equal(verify_text(buf_span(&text), other, &why), ST_BAD_TOKEN);
    assert_string_equal(why.clause, "TK-41");
    assert_header_refused("{\"alg\":\"ed25519\"}", ST_UNSUPPORTED, "RFC 7515 4.1.1");
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
    assert_header_refused("{\"alg\":\"RS384\"}", ST_UNSUPPORTED, "RFC 7515 4.1.1");
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

/* TK-23 */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_signatures_verify_and_ours_too),
        cmocka_unit_test(tk40_alg_none_is_refused_in_any_letter_case),
        cmocka_unit_test(tk40_an_empty_signature_is_refused),
        cmocka_unit_test(ed25519_is_another_name_of_eddsa),
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
        cmocka_unit_test(media_types_compare_without_prefix_and_case),
    };
    return cmocka_run_group_tests_name("jws", tests, NULL, NULL);
}
