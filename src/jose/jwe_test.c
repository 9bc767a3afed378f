/* JWE: published encryptions, and what must be refused (TK-62, TK-67). */
#include "jose/jwe.h"
#include "jose/jwe_priv.h"
#include "jose/jws.h"
#include "support/vectors.h"

#define ROOM 4096

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
        cmocka_unit_test(every_kind_of_jwe_opens_again_and_under_no_other_key),
        cmocka_unit_test(tk67_no_two_encryptions_share_key_and_iv),
        cmocka_unit_test(a_jwe_key_of_the_wrong_kind_or_length_is_refused),
        cmocka_unit_test(a_full_buffer_gets_nothing_at_all),
    };
    return cmocka_run_group_tests_name("jwe", tests, NULL, NULL);
}
