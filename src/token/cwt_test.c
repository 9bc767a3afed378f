/* The layers of CWTs (RFC 8392 7.2) and the attacks of tokens.md section 7 on them, in the forms that COSE gives them. The
 * claims are in cwt_claims_test.c, confirmation keys in cnf_cwt_test.c. */
#include "crypto/hash.h"
#include "crypto/test_hex.h"
#include "token/fixture_cwt_priv.h"

static void verify_layer(const struct fixture *f, struct span cwt, bool encrypted)
{
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    struct why why = { 0 };

    if (fixture_verify(f, cwt, &token, &why) != ST_OK)
        fail_msg("refused: %s, %s", why.clause, why.text);
    assert_int_equal(token->encrypted, encrypted);
    assert_int_equal(token->format, TOKEN_CWT);
}

static void each_algorithm_is_accepted(void **state)
{
    const struct fixture *f = *state;
    static const enum cose_alg macs[] = { COSE_HMAC_256_64, COSE_HMAC_256_256 };
    CLEANUP(buf_done)
    struct buf claims;
    CLEANUP(buf_done)
    struct buf cwt;

    buf_init(&claims, ROOM);
    buf_init(&cwt, ROOM);
    cwt_claims(UNCHANGED, &claims);
    assert_int_equal(sy_cose_sign1(f->as, SPAN("as-1"), buf_span(&claims), &cwt), ST_OK);
    verify_layer(f, buf_span(&cwt), false);
    buf_reset(&cwt);
    assert_int_equal(sy_cose_sign1(f->as_p256, SPAN("as-p256"), buf_span(&claims), &cwt), ST_OK);
    verify_layer(f, buf_span(&cwt), false);
    for (size_t i = 0; i < COUNT_OF(macs); i++) {
        buf_reset(&cwt);
        assert_int_equal(sy_cose_mac0(macs[i], f->mac, SPAN("mac-1"), buf_span(&claims), &cwt), ST_OK);
        verify_layer(f, buf_span(&cwt), false);
    }
    buf_reset(&cwt);
    assert_int_equal(sy_cose_encrypt0(COSE_A256GCM, f->shared, SPAN("rs-1"), buf_span(&claims), &cwt), ST_OK);
    verify_layer(f, buf_span(&cwt), true);
}

/* Keys of 16 bytes: A128GCM and both CCM. The issuer is the other one. */
static void each_cipher_of_a_short_key_is_accepted(void **state)
{
    const struct fixture *f = *state;
    static const enum cose_alg ciphers[] = { COSE_A128GCM, COSE_AES_CCM_16_64_128, COSE_AES_CCM_16_128_128 };
    CLEANUP(buf_done)
    struct buf claims;

    buf_init(&claims, ROOM);
    cwt_claims(CWT({ 1, "7368747470733a2f2f6173322e6578616d706c65" }), &claims);
    for (size_t i = 0; i < COUNT_OF(ciphers); i++) {
        CLEANUP(buf_done)
        struct buf cwt;
        buf_init(&cwt, ROOM);
        assert_int_equal(sy_cose_encrypt0(ciphers[i], f->shared_two, SPAN("rs-2"), buf_span(&claims), &cwt),
                         ST_OK);
        verify_layer(f, buf_span(&cwt), true);
    }
}

/* TK-10: the CWT tag may be there, and so may no tag at all: the algorithm says what it is. */
static void tk10_tags_may_be_there_or_not(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf cwt;
    CLEANUP(buf_done)
    struct buf tagged;

    buf_init(&cwt, ROOM);
    buf_init(&tagged, ROOM);
    cwt_sign(f, UNCHANGED, &cwt);
    put_bytes(&tagged, SPAN("\xd8\x3d"));
    put_bytes(&tagged, buf_span(&cwt));
    verify_layer(f, buf_span(&tagged), false);
    verify_layer(f, span_cut(buf_span(&cwt), 1, cwt.len), false);
    /* the CWT tag, and no COSE tag behind it */
    buf_reset(&tagged);
    put_bytes(&tagged, SPAN("\xd8\x3d"));
    put_bytes(&tagged, span_cut(buf_span(&cwt), 1, cwt.len));
    assert_text_refused(f, buf_span(&tagged), ST_MALFORMED, "TK-10");
    /* the CWT tag twice */
    buf_reset(&tagged);
    put_bytes(&tagged, SPAN("\xd8\x3d\xd8\x3d"));
    put_bytes(&tagged, buf_span(&cwt));
    assert_text_refused(f, buf_span(&tagged), ST_BAD_TOKEN, "RFC 9052 2");
    /* COSE_Sign, behind the CWT tag and without it */
    buf_reset(&tagged);
    put_bytes(&tagged, SPAN("\xd8\x3d\xd8\x62"));
    put_bytes(&tagged, span_cut(buf_span(&cwt), 1, cwt.len));
    assert_text_refused(f, buf_span(&tagged), ST_BAD_TOKEN, "RFC 9052 2");
    assert_text_refused(f, span_cut(buf_span(&tagged), 2, tagged.len), ST_BAD_TOKEN, "RFC 9052 2");
}

static void nest(const struct fixture *f, struct span inside, struct buf *out)
{
    assert_int_equal(sy_cose_encrypt0(COSE_A256GCM, f->shared, SPAN("rs-1"), inside, out), ST_OK);
}

/* TK-11, TK-49: signed, then encrypted; three layers and no more; inside, every layer has its tag. */
static void tk11_layers_are_taken_off_up_to_three(void **state)
{
    const struct fixture *f = *state;
    struct buf layer[4];

    for (size_t i = 0; i < COUNT_OF(layer); i++)
        buf_init(&layer[i], ROOM);
    cwt_sign(f, UNCHANGED, &layer[0]);
    for (size_t i = 1; i < COUNT_OF(layer); i++)
        nest(f, buf_span(&layer[i - 1]), &layer[i]);
    verify_layer(f, buf_span(&layer[1]), true);
    verify_layer(f, buf_span(&layer[2]), true);
    assert_text_refused(f, buf_span(&layer[3]), ST_BAD_TOKEN, "TK-49");

    buf_reset(&layer[1]);
    nest(f, span_cut(buf_span(&layer[0]), 1, layer[0].len), &layer[1]); /* no tag inside */
    assert_text_refused(f, buf_span(&layer[1]), ST_MALFORMED, "TK-12");
    for (size_t i = 0; i < COUNT_OF(layer); i++)
        buf_done(&layer[i]);
}

/* AF-63 step 1: one issuer for all layers. */
static void layers_of_two_issuers_are_refused(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf inner;
    CLEANUP(buf_done)
    struct buf outer;

    buf_init(&inner, ROOM);
    buf_init(&outer, ROOM);
    cwt_sign(f, UNCHANGED, &inner);
    assert_int_equal(sy_cose_encrypt0(COSE_A128GCM, f->shared_two, SPAN("rs-2"), buf_span(&inner), &outer),
                     ST_OK);
    assert_text_refused(f, buf_span(&outer), ST_BAD_TOKEN, "AF-63 wrapper");
}

static void tk12_what_is_protected_must_be_a_map(void **state)
{
    const struct fixture *f = *state;
    static const struct span payloads[] = { SPAN(""), SPAN("\x80"), SPAN("{}"), SPAN("\xa1\x01"),
                                            SPAN("\xc0\xa0") };

    for (size_t i = 0; i < COUNT_OF(payloads); i++) {
        CLEANUP(buf_done)
        struct buf cwt;
        struct token *token = NULL;
        buf_init(&cwt, ROOM);
        assert_int_equal(sy_cose_sign1(f->as, SPAN("as-1"), payloads[i], &cwt), ST_OK);
        assert_int_equal(fixture_verify(f, buf_span(&cwt), &token, NULL), ST_MALFORMED);
    }
}

/* ---- keys of issuers ---- */

static void sign_with(const struct key *key, const char *kid, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf claims;

    buf_init(&claims, ROOM);
    cwt_claims(UNCHANGED, &claims);
    assert_int_equal(sy_cose_sign1(key, kid == NULL ? SPAN_NONE : span_of_str(kid), buf_span(&claims), out),
                     ST_OK);
}

/* TK-41, TK-42, TK-44 */
static void tk44_a_kid_leads_to_one_key_and_no_other_is_tried(void **state)
{
    const struct fixture *f = *state;
    const struct {
        const struct key *key;
        const char *kid, *clause;
    } rows[] = {
        { f->as, "nobody", TOKEN_CLAUSE_KEY_UNKNOWN },
        { f->as_two, "as-1", "RFC 7515 5.2" }, /* under the name of another */
        { f->as, "as-p256", "TK-41" },
        { f->as, "mac-1", "TK-41" },
        { f->as_two, "as-2", "AF-63 iss" }, /* rightly signed, and names another issuer */
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf cwt;
        struct token *token = NULL;
        struct why why = { 0 };
        buf_init(&cwt, ROOM);
        sign_with(rows[i].key, rows[i].kid, &cwt);
        assert_int_equal(fixture_verify(f, buf_span(&cwt), &token, &why), ST_BAD_TOKEN);
        assert_string_equal(why.clause, rows[i].clause);
    }
    CLEANUP(buf_done)
    struct buf cwt;
    buf_init(&cwt, ROOM);
    sign_with(f->as, NULL, &cwt); /* the issuer it claims has one Ed25519 key */
    verify_layer(f, buf_span(&cwt), false);
}

/* TK-41: the AS's public key, in any form, is no MAC secret. */
static void tk41_a_public_key_is_no_mac_key(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf cose_key;
    CLEANUP(buf_done)
    struct buf spki;
    struct span forms[3];

    buf_init(&cose_key, ROOM);
    buf_init(&spki, ROOM);
    assert_int_equal(sy_cose_key_write(f->as, SPAN_NONE, NULL, false, &cose_key), ST_OK);
    assert_int_equal(key_write_spki(f->as, &spki), ST_OK);
    forms[0] = key_x(f->as);
    forms[1] = buf_span(&cose_key);
    forms[2] = buf_span(&spki);
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        CLEANUP(key_unrefp)
        struct key *forged = NULL;
        CLEANUP(buf_done)
        struct buf claims;
        CLEANUP(buf_done)
        struct buf cwt;
        buf_init(&claims, ROOM);
        buf_init(&cwt, ROOM);
        cwt_claims(UNCHANGED, &claims);
        assert_int_equal(key_new_secret(forms[i], &forged, NULL), ST_OK);
        assert_int_equal(sy_cose_mac0(COSE_HMAC_256_256, forged, SPAN("as-1"), buf_span(&claims), &cwt), ST_OK);
        assert_text_refused(f, buf_span(&cwt), ST_BAD_TOKEN, "TK-41");
    }
}

/* TK-42: the bytes of one structure under the tag of another. */
static void tk42_a_retagged_cwt_is_refused(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf cwt;

    buf_init(&cwt, ROOM);
    cwt_sign(f, UNCHANGED, &cwt);
    for (uint8_t tag = 0xd0; tag <= 0xd1; tag++) {
        cwt.p[0] = tag;
        assert_text_refused(f, buf_span(&cwt), ST_BAD_TOKEN, "TK-42");
    }
}

static void tk62_an_encrypted_cwt_with_any_bit_changed_is_refused(void **state)
{
    const struct fixture *f = *state;
    CLEANUP(buf_done)
    struct buf cwt;

    buf_init(&cwt, ROOM);
    cwt_encrypt(f, UNCHANGED, &cwt);
    for (size_t i = 0; i < cwt.len; i++) {
        struct token *token = NULL;
        cwt.p[i] ^= 0x01;
        assert_int_not_equal(fixture_verify(f, buf_span(&cwt), &token, NULL), ST_OK);
        cwt.p[i] ^= 0x01;
    }
}

/* The default claims under any headers, given in hex: the protected ones, and all of the unprotected map. */
static void sign_headers(const struct fixture *f, const char *protected_hex, const char *open_hex,
                         struct buf *out)
{
    struct hex headers = hex(protected_hex), open = hex(open_hex);
    CLEANUP(buf_done)
    struct buf claims;
    CLEANUP(buf_done)
    struct buf signed_part;
    uint8_t sig[SIG_MAX];

    buf_init(&claims, ROOM);
    buf_init(&signed_part, ROOM);
    cwt_claims(UNCHANGED, &claims);
    cb_put_array(&signed_part, 4); /* RFC 9052 4.4 */
    cb_put_text(&signed_part, SPAN("Signature1"));
    cb_put_bytes(&signed_part, hex_span(&headers));
    cb_put_bytes(&signed_part, SPAN_NONE);
    cb_put_bytes(&signed_part, buf_span(&claims));
    assert_int_equal(sig_make(f->as, SIG_EDDSA, buf_span(&signed_part), sig), ST_OK);
    cb_put_tag(out, 18);
    cb_put_array(out, 4);
    cb_put_bytes(out, hex_span(&headers));
    cb_put_raw(out, hex_span(&open));
    cb_put_bytes(out, buf_span(&claims));
    cb_put_bytes(out, span_of(sig, 64));
}

#define KID_AS_1 "044461732d31" /* 4: "as-1" */

/* TK-24, as RFC 9596 has it for COSE: what the issuer signs for another end says so. */
static void tk24_typ_is_cwt_or_absent(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        const char *headers; /* the protected bucket */
        bool good;
    } rows[] = {
        { "a2012710183d", true },                             /* 61 */
        { "a20127106f6170706c69636174696f6e2f637774", true }, /* "application/cwt" */
        { "a201271063637774", true },
        { "a2012710183c", false },
        { "a20127106f6170706c69636174696f6e2f6a7774", false }, /* "application/jwt" */
        { "a20127104163", false },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf cwt;
        buf_init(&cwt, ROOM);
        sign_headers(f, rows[i].headers, "a1" KID_AS_1, &cwt);
        if (rows[i].good)
            verify_layer(f, buf_span(&cwt), false);
        else
            assert_text_refused(f, buf_span(&cwt), ST_BAD_TOKEN, "TK-24");
    }
}

/* TK-46: x5chain, x5bag, x5t, x5u, kccs and kcwt in either bucket change nothing about whom we believe, and nothing is
 * fetched; TK-47: crit does, wherever it stands. */
static void tk46_keys_in_headers_are_not_looked_at(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        const char *protected_hex, *open_hex;
        const char *clause; /* NULL: accepted */
    } rows[] = {
        { "a10127", "a2" KID_AS_1 "1821420001", NULL }, /* x5chain */
        { "a2012718234161", "a1" KID_AS_1, NULL },      /* x5u */
        { "a10127", "a3" KID_AS_1 "0da00ea0", NULL },   /* kcwt, kccs */
        { "a10127",
          "a2" KID_AS_1 "182282"
          "2f4161",
          NULL },                                                           /* x5t */
        { "a10127", "a21821420001044461732d39", TOKEN_CLAUSE_KEY_UNKNOWN }, /* x5chain and a kid of nobody */
        { "a2012702811863", "a1" KID_AS_1, "TK-47" },                       /* crit [99] */
        { "a201270281"
          "04",
          "a1" KID_AS_1, "TK-47" }, /* crit [kid] */
        { "a10127",
          "a2"
          "0281"
          "04" KID_AS_1,
          "TK-47" },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(buf_done)
        struct buf cwt;
        buf_init(&cwt, ROOM);
        sign_headers(f, rows[i].protected_hex, rows[i].open_hex, &cwt);
        if (rows[i].clause == NULL)
            verify_layer(f, buf_span(&cwt), false);
        else
            assert_text_refused(f, buf_span(&cwt), ST_BAD_TOKEN, rows[i].clause);
    }
}

static void replace_signature(struct buf *cwt, struct span sig)
{
    buf_truncate(cwt, cwt->len - 66); /* 58 40, and 64 bytes */
    cb_put_bytes(cwt, sig);
}

/* TK-59: r or s of 0 or n, and DER in place of r || s; TK-60: S >= L. */
static void tk59_signatures_no_signer_makes_are_refused(void **state)
{
    const struct fixture *f = *state;
    struct hex n = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    struct hex l = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"); /* little-endian */
    uint8_t sig[64] = { 0 };
    CLEANUP(buf_done)
    struct buf cwt;

    buf_init(&cwt, ROOM);
    sign_with(f->as_p256, "as-p256", &cwt);
    replace_signature(&cwt, span_of(sig, 64));
    assert_text_refused(f, buf_span(&cwt), ST_BAD_TOKEN, "TK-59");
    memcpy(sig, n.bytes, 32);
    memcpy(sig + 32, n.bytes, 32);
    replace_signature(&cwt, span_of(sig, 64));
    assert_text_refused(f, buf_span(&cwt), ST_BAD_TOKEN, "TK-59");
    buf_truncate(&cwt, cwt.len - 66);
    cb_put_bytes(&cwt, SPAN("\x30\x06\x02\x01\x01\x02\x01\x01"));
    assert_text_refused(f, buf_span(&cwt), ST_BAD_TOKEN, "TK-63");

    buf_reset(&cwt);
    cwt_sign(f, UNCHANGED, &cwt);
    memcpy(sig, cwt.p + cwt.len - 64, 32);
    memcpy(sig + 32, l.bytes, 32);
    replace_signature(&cwt, span_of(sig, 64));
    assert_text_refused(f, buf_span(&cwt), ST_BAD_TOKEN, "RFC 7515 5.2"); /* TK-60 */
}

/* As a JWT, and whatever else is done to it. */
static void mt73_a_cwt_with_the_twin_of_its_signature_is_the_same_token(void **state)
{
    const struct fixture *f = *state;

    for (int i = 0; i < 10; i++) {
        CLEANUP(buf_done)
        struct buf cwt;
        CLEANUP(token_unrefp)
        struct token *a = NULL, *b = NULL;
        uint8_t twin[SIG_ES256_LEN], hash[TOKEN_HASH_LEN];
        buf_init(&cwt, ROOM);
        put_bytes(&cwt, SPAN("\xd8\x3d"));
        sign_with(f->as_p256, "as-p256", &cwt);
        assert_int_equal(fixture_verify(f, buf_span(&cwt), &a, NULL), ST_OK);
        assert_int_equal(sha256(buf_span(&cwt), hash), ST_OK);
        bool lesser = sig_es256_twin(cwt.p + cwt.len - 64, twin);
        assert_memory_equal(lesser ? a->twin : a->hash, hash, TOKEN_HASH_LEN);
        replace_signature(&cwt, span_of(twin, sizeof twin));
        assert_int_equal(fixture_verify(f, span_cut(buf_span(&cwt), 3, cwt.len), &b, NULL), ST_OK);
        assert_true(a->has_twin && b->has_twin);
        assert_memory_equal(a->hash, b->hash, TOKEN_HASH_LEN);
        assert_memory_equal(a->twin, b->twin, TOKEN_HASH_LEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_algorithm_is_accepted),
        cmocka_unit_test(each_cipher_of_a_short_key_is_accepted),
        cmocka_unit_test(tk10_tags_may_be_there_or_not),
        cmocka_unit_test(tk11_layers_are_taken_off_up_to_three),
        cmocka_unit_test(layers_of_two_issuers_are_refused),
        cmocka_unit_test(tk12_what_is_protected_must_be_a_map),
        cmocka_unit_test(tk44_a_kid_leads_to_one_key_and_no_other_is_tried),
        cmocka_unit_test(tk41_a_public_key_is_no_mac_key),
        cmocka_unit_test(tk42_a_retagged_cwt_is_refused),
        cmocka_unit_test(tk62_an_encrypted_cwt_with_any_bit_changed_is_refused),
        cmocka_unit_test(tk24_typ_is_cwt_or_absent),
        cmocka_unit_test(tk46_keys_in_headers_are_not_looked_at),
        cmocka_unit_test(tk59_signatures_no_signer_makes_are_refused),
        cmocka_unit_test(mt73_a_cwt_with_the_twin_of_its_signature_is_the_same_token),
    };
    return cmocka_run_group_tests_name("token_cwt", tests, fixture_setup, fixture_teardown);
}
