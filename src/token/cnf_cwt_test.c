/* The confirmation claim of CWTs: every way to name a key (RFC 8747 3), and the attacks of tokens.md section 7 on it. */
#include "crypto/test_hex.h"
#include "token/fixture_cwt_priv.h"

#define DIGEST "5820000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* TK-1, TK-2: exactly one key that we can use; members that mean nothing to us are ignored. */
static void tk2_a_cwt_without_usable_key_is_refused(void **state)
{
    static const char *const none[] = {
        "a0",
        "a104a0",              /* osc */
        "a105" DIGEST,         /* ckt */
        "a1182282382b" DIGEST, /* a certificate hash that is not SHA-256 */
        "a118228"
        "22f43000102",   /* ... or not as long as one */
        "a11822" DIGEST, /* ... or without its algorithm */
        "a11822822f"
        "6161", /* ... or text */
        "a1182282"
        "6161" DIGEST,            /* ... or with the name of one */
        "a11822832f" DIGEST "00", /* ... or with something behind it */
        "a1636a7775"
        "6161", /* a text label */
    };
    static const char *const no_map[] = { "07", "f6", "80", "40" };

    for (size_t i = 0; i < COUNT_OF(none); i++)
        cwt_refused(*state, CWT({ 8, none[i] }), ST_BAD_TOKEN, "TK-2");
    for (size_t i = 0; i < COUNT_OF(no_map); i++)
        cwt_refused(*state, CWT({ 8, no_map[i] }), ST_BAD_TOKEN, "TK-1");
    cwt_refused(*state, CWT({ 8, NULL }), ST_BAD_TOKEN, "TK-1");
    CLEANUP(token_unrefp)
    struct token *t = cwt_accept(*state, CWT({ 8, "a301" ED_KEY "04a018631863" }), false);
    assert_int_equal(t->cnf_how, TOKEN_CNF_KEY);
}

/* TK-6 (RFC 8747 3.4): bytes that somebody else knows a key by. */
static void tk6_a_kid_alone_names_a_key_known_elsewhere(void **state)
{
    CLEANUP(token_unrefp)
    struct token *t = cwt_accept(*state, CWT({ 8, "a1034300ff00" }), false);

    assert_int_equal(t->cnf_how, TOKEN_CNF_KID);
    assert_null(t->cnf);
    assert_span_equal(t->cnf_kid, SPAN("\x00\xff\x00"));
    cwt_refused(*state, CWT({ 8, "a10340" }), ST_BAD_TOKEN, "TK-6");
    cwt_refused(*state, CWT({ 8, "a1036161" }), ST_BAD_TOKEN, "TK-6");
}

static void tk45_a_long_kid_is_refused(void **state)
{
    char cnf[2 * 513 + 16];
    int len = snprintf(cnf, sizeof cnf, "a103590201%01026d", 0);

    assert_true(len > 0 && (size_t)len < sizeof cnf);
    cwt_refused(*state, CWT({ 8, cnf }), ST_BAD_TOKEN, "TK-45");
}

static void the_kid_beside_a_key_must_be_its_own(void **state)
{
    CLEANUP(token_unrefp)
    struct token *inside = cwt_accept(*state, CWT({ 8, "a101a4010102416b2006215820" ED_X }), false);
    CLEANUP(token_unrefp)
    struct token *beside = cwt_accept(*state, CWT({ 8, "a201" ED_KEY "03416b" }), false);
    CLEANUP(token_unrefp)
    struct token *both = cwt_accept(*state, CWT({ 8, "a201a4010102416b2006215820" ED_X "03416b" }), false);

    assert_span_equal(inside->cnf_kid, SPAN("k"));
    assert_span_equal(beside->cnf_kid, SPAN("k"));
    assert_span_equal(both->cnf_kid, SPAN("k"));
    assert_int_equal(beside->cnf_how, TOKEN_CNF_KEY);
    cwt_refused(*state, CWT({ 8, "a201a4010102416b2006215820" ED_X "03416c" }), ST_BAD_TOKEN, "TK-2");
}

/* COSE_CertHash (RFC 9360 2) under its header label */
static void a_certificate_can_be_what_the_holder_proves(void **state)
{
    CLEANUP(token_unrefp)
    struct token *t = cwt_accept(*state, CWT({ 8, "a11822822f" DIGEST }), false);

    assert_int_equal(t->cnf_how, TOKEN_CNF_X5T);
    assert_null(t->cnf);
    for (size_t i = 0; i < TOKEN_HASH_LEN; i++)
        assert_int_equal(t->cnf_thumbprint[i], i);
}

/* TK-55, TK-4: a secret stands in an encrypted CWT only. */
static void tk55_a_secret_key_in_a_signed_cwt_is_refused(void **state)
{
    CLEANUP(token_unrefp)
    struct token *t = cwt_accept(*state, CWT({ 8, "a101" OCT }), true);

    assert_int_equal(key_kind(t->cnf), KEY_SECRET);
    cwt_refused(*state, CWT({ 8, "a101" OCT }), ST_BAD_TOKEN, "TK-55");
}

static void tk56_two_keys_or_a_private_one_are_refused(void **state)
{
    cwt_refused(*state,
                CWT({ 8, "a201" ED_KEY "02"
                         "8340a040" }),
                ST_BAD_TOKEN, "TK-56");
    cwt_refused(*state, CWT({ 8, "a201" ED_KEY "1822822f" DIGEST }), ST_BAD_TOKEN, "TK-56");
    cwt_refused(*state, CWT({ 8, "a203416b1822822f" DIGEST }), ST_BAD_TOKEN, "TK-56");
    cwt_refused(*state,
                CWT({ 8, "a101a401012006215820" ED_X
                         "2358209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60" }),
                ST_BAD_TOKEN, "TK-56");
}

/* TK-57: from the receiver's side, a key must allow checking: verify (2), or MAC verify (10). */
static void tk57_a_key_whose_members_forbid_proving_is_refused(void **state)
{
    static const char *const bad[] = { "a101a401010326"
                                       "2006215820" ED_X,
                                       "a101a401010481012006215820" ED_X, "a101a4010104810a2006215820" ED_X };
    static const char *const good[] = { "a101a401010327"
                                        "2006215820" ED_X,
                                        "a101a401010481022006215820" ED_X };

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cwt_refused(*state, CWT({ 8, bad[i] }), ST_BAD_TOKEN, "TK-57");
    for (size_t i = 0; i < COUNT_OF(good); i++)
        token_unref(cwt_accept(*state, CWT({ 8, good[i] }), false));
    token_unref(cwt_accept(*state,
                           CWT({ 8, "a101a4010403050481"
                                    "0a2050000102030405060708090a0b0c0d0e0f" }),
                           true));
}

static void broken_and_strange_keys_are_refused(void **state)
{
    cwt_refused(*state, CWT({ 8, "a101a0" }), ST_BAD_TOKEN, "RFC 9052 7");
    cwt_refused(*state, CWT({ 8, "a10107" }), ST_BAD_TOKEN, "RFC 9052 7");
    cwt_refused(*state, CWT({ 8, "a101a10103" }), ST_BAD_TOKEN, "tokens.md 4"); /* RSA */
    cwt_refused(*state,
                CWT({ 8, "a101a301012006215820"
                         "0000000000000000000000000000000000000000000000000000000000000000" }),
                ST_BAD_TOKEN, "TK-60");
}

/* TK-58: no key that protects tokens, of whichever issuer. */
static void tk58_a_key_that_protects_tokens_is_no_pop_key(void **state)
{
    const struct fixture *f = *state;
    const struct key *keys[] = { f->as, f->as_two, f->as_p256, f->mac, f->shared, f->shared_two };

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        CLEANUP(buf_done)
        struct buf cnf;
        CLEANUP(buf_done)
        struct buf text;
        CLEANUP(buf_done)
        struct buf cwt;
        buf_init(&cnf, ROOM);
        buf_init(&text, ROOM);
        buf_init(&cwt, ROOM);
        assert_int_equal(sy_cose_key_write(keys[i], SPAN_NONE, NULL, false, &cnf), ST_OK);
        put_str(&text, "a101");
        for (size_t k = 0; k < cnf.len; k++)
            put_fmt(&text, "%02x", cnf.p[k]);
        put_u8(&text, 0);
        cwt_encrypt(f, CWT({ 8, (const char *)text.p }), &cwt);
        assert_text_refused(f, buf_span(&cwt), ST_BAD_TOKEN, "TK-58");
    }
}

/* ---- encrypted keys (TK-5, RFC 8747 3.3) ---- */

static enum status verify_encrypted_key(const struct fixture *f, const struct key *shared, const char *kid,
                                        const char *cose_key, bool tagged, struct token **ret, struct why *why)
{
    struct hex plain = hex(cose_key);
    CLEANUP(buf_done)
    struct buf sealed;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(buf_done)
    struct buf cwt;

    buf_init(&sealed, ROOM);
    buf_init(&text, ROOM);
    buf_init(&cwt, ROOM);
    assert_int_equal(sy_cose_encrypt0(key_secret(shared).len == 16 ? COSE_AES_CCM_16_64_128 : COSE_A256GCM,
                                      shared, span_of_str(kid), hex_span(&plain), &sealed),
                     ST_OK);
    put_str(&text, "a102");
    for (size_t i = tagged ? 0 : 1; i < sealed.len; i++)
        put_fmt(&text, "%02x", sealed.p[i]);
    put_u8(&text, 0);
    cwt_sign(f, CWT({ 8, (const char *)text.p }), &cwt);
    return fixture_verify(f, buf_span(&cwt), ret, why);
}

static void tk5_an_encrypted_key_in_a_signed_cwt_is_taken(void **state)
{
    const struct fixture *f = *state;

    for (int tagged = 0; tagged <= 1; tagged++) {
        CLEANUP(token_unrefp)
        struct token *t = NULL;
        assert_int_equal(verify_encrypted_key(f, f->shared, "rs-1", OCT, tagged, &t, NULL), ST_OK);
        assert_int_equal(key_kind(t->cnf), KEY_SECRET);
        assert_int_equal(t->cnf_how, TOKEN_CNF_KEY);
        assert_false(t->encrypted);
    }
}

static void tk5_an_encrypted_key_of_another_issuer_or_none_is_refused(void **state)
{
    const struct fixture *f = *state;
    struct token *t = NULL;
    struct why why;

    assert_int_equal(verify_encrypted_key(f, f->shared_two, "rs-2", OCT, false, &t, &why), ST_BAD_TOKEN);
    assert_string_equal(why.clause, "TK-44 shared key");
    assert_int_equal(verify_encrypted_key(f, f->shared_two, "rs-1", OCT, false, &t, &why), ST_BAD_TOKEN);
    assert_int_equal(verify_encrypted_key(f, f->shared, "rs-1", "80", false, &t, &why), ST_BAD_TOKEN);
    assert_int_equal(verify_encrypted_key(f, f->shared, "rs-1", OCT "00", false, &t, &why), ST_BAD_TOKEN);
    assert_string_equal(why.clause, "TK-50");
    /* the secret is too short, and a private key is none to prove with */
    assert_int_equal(verify_encrypted_key(f, f->shared, "rs-1",
                                          "a2010420"
                                          "4f000102030405060708090a0b0c0d0e",
                                          false, &t, &why),
                     ST_BAD_TOKEN);
    assert_string_equal(why.clause, "tokens.md 4");
    assert_int_equal(
        verify_encrypted_key(f, f->shared, "rs-1",
                             "a401012006215820" ED_X
                             "2358209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                             false, &t, &why),
        ST_BAD_TOKEN);
    assert_string_equal(why.clause, "TK-56");
    /* a MAC, or COSE_Encrypt, is no COSE_Encrypt0 */
    cwt_refused(f, CWT({ 8, "a102d18443a10105a04040" }), ST_BAD_TOKEN, "TK-5");
    cwt_refused(f, CWT({ 8, "a102d8608443a10101a04080" }), ST_BAD_TOKEN, "RFC 9052 2");
    cwt_refused(f, CWT({ 8, "a10207" }), ST_BAD_TOKEN, "RFC 9052 2");
}

/* RFC 8747 3.3, the published claims set: only its key is looked at here, its times have passed. */
static void rfc_8747_section_3_3_is_understood(void **state)
{
    const struct fixture *f = *state;
    struct hex secret = hex("6162630405060708090a0b0c0d0e0f10");
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(fixture_config_done)
    struct fixture_config c;
    CLEANUP(verifier_unrefp)
    struct verifier *v = NULL;
    CLEANUP(buf_done)
    struct buf cwt;
    CLEANUP(token_unrefp)
    struct token *t = NULL;

    assert_int_equal(key_new_secret(hex_span(&secret), &key, NULL), ST_OK);
    fixture_config(f, &c);
    c.shared[0].key = key;
    assert_int_equal(verifier_new(&c.config, &v, NULL), ST_OK);
    buf_init(&cwt, ROOM);
    cwt_sign(f,
             CWT({ 8, "a1028343a1010aa1054d636898994ff0ec7bfcf6d3f95b58300573318a3573eb983e55a7c2f06cadd0796c9e"
                      "584f1d0e3e"
                      "a8c5b052592a8b2694be9654f0431f38d5bbc8049fa7f13f" }),
             &cwt);
    assert_int_equal(token_verify(buf_span(&cwt), v, (struct wall_time){ FIXTURE_NOW }, &t, NULL), ST_OK);
    struct span k = key_secret(t->cnf);
    assert_hex_equal(k.p, k.len, "6684523ab17337f173500e5728c628547cb37dfe68449c65f885d1b73b49eae1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tk2_a_cwt_without_usable_key_is_refused),
        cmocka_unit_test(tk6_a_kid_alone_names_a_key_known_elsewhere),
        cmocka_unit_test(tk45_a_long_kid_is_refused),
        cmocka_unit_test(the_kid_beside_a_key_must_be_its_own),
        cmocka_unit_test(a_certificate_can_be_what_the_holder_proves),
        cmocka_unit_test(tk55_a_secret_key_in_a_signed_cwt_is_refused),
        cmocka_unit_test(tk56_two_keys_or_a_private_one_are_refused),
        cmocka_unit_test(tk57_a_key_whose_members_forbid_proving_is_refused),
        cmocka_unit_test(broken_and_strange_keys_are_refused),
        cmocka_unit_test(tk58_a_key_that_protects_tokens_is_no_pop_key),
        cmocka_unit_test(tk5_an_encrypted_key_in_a_signed_cwt_is_taken),
        cmocka_unit_test(tk5_an_encrypted_key_of_another_issuer_or_none_is_refused),
        cmocka_unit_test(rfc_8747_section_3_3_is_understood),
    };
    return cmocka_run_group_tests_name("token_cnf_cwt", tests, fixture_setup, fixture_teardown);
}
