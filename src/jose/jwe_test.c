/* JWE: published encryptions, and what must be refused (TK-62, TK-67). */
#include "codec/base64.h"
#include "jose/agree_priv.h"
#include "jose/jwe.h"
#include "jose/jwe_priv.h"
#include "jose/jwk.h"
#include "jose/jws.h"
#include "support/vectors.h"

#define ROOM 4096

/* A shared secret, or the receiver's key. */
static struct key *row_key(const struct js *row, struct buf *room)
{
    struct jwk jwk = { 0 };

    if (js_get(row, "jwk") != NULL)
        assert_int_equal(jwk_parse(js_get(row, "jwk"), JWK_PRIVATE, &jwk, NULL), ST_OK);
    else
        assert_int_equal(key_new_secret(vector_base64url(row, "k", room), &jwk.key, NULL), ST_OK);
    return jwk.key;
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
    key = row_key(row, &room);
    expected = vector_hex(row, "plaintext_hex", &room);
    assert_int_equal(jwe_parse(text, &jwe, NULL), ST_OK);
    assert_int_equal(jwe_decrypt(&jwe, key, &plain, NULL), ST_OK);
    assert_span_equal(buf_span(&plain), expected);

    plan.alg = jwe.alg;
    plan.enc = jwe.enc;
    plan.kid = vector_str_or_none(row, "kid");
    plan.cek = vector_base64url(row, "cek", &room);
    plan.iv = vector_base64url(row, "iv", &room);
    plan.ephemeral = key; /* any will do: the result is opened again, not compared */
    assert_true(js_get_bool(row, "reproducible", &reproducible));
    assert_int_equal(jwe_encrypt_with(&plan, key, expected, &again), ST_OK);
    if (reproducible)
        assert_span_equal(buf_span(&again), text);
    jwe_done(&jwe);
}

/* RFC 7516 A.3, RFC 7520 5.5 and 5.6, and three computed elsewhere. */
static void published_encryptions_open_and_ours_are_the_same(void **state UNUSED)
{
    CLEANUP(js_unrefp)
    struct js *rows = vectors_load("jose/jwe.json");

    assert_int_equal(js_size(rows), 6);
    for (size_t i = 0; i < js_size(rows); i++)
        check_jwe_row(js_at(rows, i));
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

/* A key that fits, one of several. */
static struct key *key_for(enum jwe_alg alg, enum jwe_enc enc, uint8_t which)
{
    uint8_t secret[32] = { which };
    struct key *key = NULL;

    if (jwe_alg_is_agreement(alg))
        assert_int_equal(key_new_p256_private(span_of(secret, 32), &key, NULL), ST_OK);
    for (size_t len = 16; key == NULL || !jwe_key_fits(alg, enc, key); len += 16) {
        key_unref(TAKE(key));
        assert_int_equal(key_new_secret(span_of(secret, len), &key, NULL), ST_OK);
    }
    return key;
}

/* RFC 7518 C: Alice encrypts to Bob with A128GCM, directly. */
static void the_published_agreement_comes_out_on_both_sides(void **state UNUSED)
{
    static const char *const private_parts[] = { "0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo",
                                                 "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw" };
    struct agreement about = { .purpose = "A128GCM", .apu = SPAN("Alice"), .apv = SPAN("Bob"), .len = 16 };
    struct key *keys[2] = { NULL, NULL };
    uint8_t agreed[AGREED_MAX];

    for (size_t i = 0; i < 2; i++) {
        struct buf d;
        buf_init(&d, KEY_PART_LEN);
        assert_int_equal(base64url_decode(span_of_str(private_parts[i]), &d, NULL), ST_OK);
        assert_int_equal(key_new_p256_private(buf_span(&d), &keys[i], NULL), ST_OK);
        buf_done(&d);
    }
    for (size_t i = 0; i < 2; i++) {
        struct buf text;
        buf_init(&text, 64);
        assert_int_equal(jose_agree(keys[i], keys[1 - i], &about, agreed), ST_OK);
        base64url_encode(span_of(agreed, about.len), &text);
        assert_span_equal(buf_span(&text), SPAN("VqqN6vgjbSBcIijNcacQGg"));
        buf_done(&text);
    }
    key_unref(keys[0]);
    key_unref(keys[1]);
}

/* TK-61: points off the curve, of another curve, the neutral one, and none at all. */
static void tk61_an_epk_that_is_no_point_of_p256_is_refused(void **state UNUSED)
{
    static const char zero[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    static const char x[] = "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0";
    const struct {
        const char *crv, *x, *y;
        enum status expected;
    } rows[] = {
        { "P-256", zero, zero, ST_MALFORMED },
        { "P-256", x, x, ST_MALFORMED },
        { "P-384", x, x, ST_UNSUPPORTED },
        { "X25519", zero, zero, ST_UNSUPPORTED },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf header;
        buf_init(&header, ROOM);
        put_fmt(&header,
                "{\"alg\":\"ECDH-ES\",\"enc\":\"A128GCM\",\"epk\":{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\","
                "\"y\":\"%s\"}}%c",
                rows[i].crv, rows[i].x, rows[i].y, '\0');
        assert_jwe_header_refused((const char *)header.p, rows[i].expected,
                                  rows[i].expected == ST_MALFORMED ? "TK-61" : "tokens.md 4");
    }
    assert_jwe_header_refused("{\"alg\":\"ECDH-ES\",\"enc\":\"A128GCM\"}", ST_MALFORMED, "RFC 7518 4.6.1.1");
    assert_jwe_header_refused(
        "{\"alg\":\"ECDH-ES\",\"enc\":\"A128GCM\",\"epk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
        "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}}",
        ST_UNSUPPORTED, "RFC 7518 4.6.1.1");
    assert_jwe_header_refused(
        "{\"alg\":\"ECDH-ES\",\"enc\":\"A128GCM\",\"epk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
        "\"Ze2loSV3wrroKUN_4zhwGhCqo3Xhu1td4QjeQ5wIVR0\",\"y\":"
        "\"HlLtdXARY_f55A3fnzQbPcm6hgr34Mp8p-nuzQCE0Zw\",\"d\":"
        "\"r_kHyZ-a06rmxM3yESK84r1otSg-aQcVStkRhA-iCM8\"}}",
        ST_BAD_POP_KEY, "TK-56");
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
            buf_init(&text, ROOM);
            buf_init(&plain, ROOM);
            key = key_for(alg, enc, 1);
            other = key_for(alg, enc, 2);
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
        cmocka_unit_test(published_encryptions_open_and_ours_are_the_same),
        cmocka_unit_test(tk62_dangerous_jwe_headers_are_refused),
        cmocka_unit_test(tk62_iv_and_tag_of_wrong_length_are_refused),
        cmocka_unit_test(the_published_agreement_comes_out_on_both_sides),
        cmocka_unit_test(tk61_an_epk_that_is_no_point_of_p256_is_refused),
        cmocka_unit_test(every_kind_of_jwe_opens_again_and_under_no_other_key),
        cmocka_unit_test(tk67_no_two_encryptions_share_key_and_iv),
        cmocka_unit_test(a_jwe_key_of_the_wrong_kind_or_length_is_refused),
        cmocka_unit_test(a_full_buffer_gets_nothing_at_all),
    };
    return cmocka_run_group_tests_name("jwe", tests, NULL, NULL);
}
