/* Signatures against RFC 8032 7.1, RFC 8037 A.4, RFC 7515 A.1 and A.3, and every way a bad one must fail. */
#include "crypto/sign.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "crypto/test_hex.h"

#define ED_D "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
#define EC_D "8e9b109e719098bf980487df1f5d77e9cb29606ebed2263b5f57c213df84f4b2"
#define EC_N "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
#define ZERO "0000000000000000000000000000000000000000000000000000000000000000"
#define ES_R "0ed1215379636c483c2f7f155807d402a3b228033af97c7e17819ac3169ea665"
#define ES_S "c50a07d38c3c70e5d8f12daf084a5480a66590c5f293509a8f3f7f8a83a354d5"

#define JWT_PAYLOAD \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
static const char hs256_input[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." JWT_PAYLOAD;    /* RFC 7515 A.1 */
static const char es256_input[] = "eyJhbGciOiJFUzI1NiJ9." JWT_PAYLOAD;                        /* RFC 7515 A.3 */
static const char eddsa_input[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"; /* RFC 8037 A.4 */

static struct key *secret_key(const char *text)
{
    struct hex h = hex(text);
    struct key *key = NULL;
    assert_int_equal(key_new_secret(hex_span(&h), &key, NULL), ST_OK);
    return key;
}

static struct key *ed_key(const char *d)
{
    struct hex h = hex(d);
    struct key *key = NULL;
    assert_int_equal(key_new_ed25519_private(hex_span(&h), &key, NULL), ST_OK);
    return key;
}

static struct key *ec_key(void)
{
    struct hex h = hex(EC_D);
    struct key *key = NULL;
    assert_int_equal(key_new_p256_private(hex_span(&h), &key, NULL), ST_OK);
    return key;
}

static enum status check_hex(const struct key *key, enum sig_alg alg, struct span data, const char *sig,
                             struct why *why)
{
    struct hex h = hex(sig);
    return sig_check(key, alg, data, hex_span(&h), why);
}

static void ed25519_signs_as_published(void **state UNUSED)
{
    static const char *const rows[][3] = {
        /* RFC 8032 7.1 tests 1, 2, 3: secret, message, signature */
        { ED_D, "",
          "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25b"
          "f5f0595b"
          "be24655141438e7a100b" },
        { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72",
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b"
          "2eaeb430"
          "2aeeb00d291612bb0c00" },
        { "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
          "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c"
          "15e9716e"
          "d28dc027beceea1ec40a" },
        { "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
          "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d"
          "4423643c"
          "e80e2a9ac94fa54ca49f",
          "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca"
          "179c138a"
          "c17ad9bef1177331a704" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CLEANUP(key_unrefp)
        struct key *key = ed_key(rows[i][0]);
        struct hex message = hex(rows[i][1]);
        uint8_t sig[SIG_MAX];

        assert_int_equal(sig_make(key, SIG_EDDSA, hex_span(&message), sig), ST_OK);
        assert_hex_equal(sig, sig_len(key), rows[i][2]);
        assert_int_equal(check_hex(key, SIG_EDDSA, hex_span(&message), rows[i][2], NULL), ST_OK);
    }
}

static void jose_examples_verify(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *secret = secret_key("0323354b2b0fa5bc837e0665777ba68f5ab328e6f054c928a90f84b2d2502ebfd3fb5a92d2"
                                    "0647ef968ab4c377623d223d2e2172052e4f08c0"
                                    "cd9af567d080a3");
    CLEANUP(key_unrefp)
    struct key *ed = ed_key(ED_D), *ec = ec_key();
    uint8_t mac[SIG_MAX];

    assert_int_equal(
        check_hex(ed, SIG_EDDSA, span_of_str(eddsa_input),
                  "860c98d2297f3060a33f42739672d61b53cf3adefed3d3c672f320dc021b411e9d59b8628dc351e248b88b29"
                  "468e0e41855b0fb7d83bb15be902bfccb8cd0a02",
                  NULL),
        ST_OK);
    assert_int_equal(check_hex(ec, SIG_ES256, span_of_str(es256_input), ES_R ES_S, NULL), ST_OK);
    assert_int_equal(sig_make(secret, SIG_HS256, span_of_str(hs256_input), mac), ST_OK);
    assert_hex_equal(mac, sig_len(secret), "7418dfb49799e0254ffa607dd8adbbba16d4254d69d6bff05b58055853848d79");
}

static void what_is_signed_verifies_and_every_change_is_refused(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_SECRET, KEY_ED25519, KEY_P256 };
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL, *other = NULL;
        uint8_t sig[SIG_MAX], data[] = "the exporter's 32 bytes, say";
        struct span input = span_of(data, sizeof data);

        assert_int_equal(key_generate(kinds[i], &key), ST_OK);
        assert_int_equal(key_generate(kinds[i], &other), ST_OK);
        enum sig_alg alg = sig_for_key(key);
        assert_int_equal(sig_make(key, alg, input, sig), ST_OK);
        assert_int_equal(sig_check(key, alg, input, span_of(sig, sig_len(key)), NULL), ST_OK);
        assert_int_equal(sig_check(other, alg, input, span_of(sig, sig_len(key)), NULL), ST_BAD_CREDENTIAL);
        for (size_t k = 0; k < sig_len(key); k++) {
            sig[k] ^= 0x10;
            assert_int_equal(sig_check(key, alg, input, span_of(sig, sig_len(key)), NULL), ST_BAD_CREDENTIAL);
            sig[k] ^= 0x10;
        }
        data[0] ^= 1;
        assert_int_equal(sig_check(key, alg, input, span_of(sig, sig_len(key)), NULL), ST_BAD_CREDENTIAL);
    }
}

static void es256_signatures_have_full_width_parts(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = ec_key();
    uint8_t sig[SIG_MAX];
    bool short_part = false;

    /* RFC 7518 3.4: a part with leading zeros comes up about once in 128 signatures */
    for (int i = 0; i < 4000 && !short_part; i++) {
        assert_int_equal(sig_make(key, SIG_ES256, SPAN("x"), sig), ST_OK);
        short_part = sig[0] == 0 || sig[32] == 0;
    }
    assert_true(short_part);
    assert_int_equal(sig_check(key, SIG_ES256, SPAN("x"), span_of(sig, 64), NULL), ST_OK);
}

/* r | n - s verifies as well as r | s. */
static void es256_signatures_have_a_twin(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = ec_key();
    struct span input = span_of_str(es256_input);
    struct hex published = hex(ES_R ES_S);
    uint8_t sig[SIG_ES256_LEN], twin[SIG_ES256_LEN], back[SIG_ES256_LEN];

    assert_false(sig_es256_twin(hex_span(&published).p, twin) == sig_es256_twin(twin, back));
    assert_memory_equal(back, hex_span(&published).p, sizeof back);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(sig_make(key, SIG_ES256, input, sig), ST_OK);
        bool lesser = sig_es256_twin(sig, twin);
        assert_int_equal(sig_check(key, SIG_ES256, input, span_of(twin, sizeof twin), NULL), ST_OK);
        assert_memory_not_equal(sig, twin, sizeof sig);
        assert_true(sig_es256_twin(twin, back) != lesser);
        assert_memory_equal(sig, back, sizeof sig);
    }
}

static void es256_parts_out_of_range_are_refused(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = ec_key();
    static const char *const rows[] = {
        ZERO ES_S,
        ES_R ZERO,
        EC_N ES_S,
        ES_R EC_N,
        ZERO ZERO,
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" ES_S,
        ES_R "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct why why;
        assert_int_equal(check_hex(key, SIG_ES256, span_of_str(es256_input), rows[i], &why), ST_BAD_CREDENTIAL);
        assert_string_equal(why.clause, "TK-59");
    }
}

static void der_in_place_of_raw_parts_is_refused(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *key = ec_key();
    struct why why;

    /* TK-59: the right signature in the wrong clothes */
    assert_int_equal(check_hex(key, SIG_ES256, span_of_str(es256_input),
                               "3045"
                               "0220" ES_R "022100" ES_S,
                               &why),
                     ST_BAD_CREDENTIAL);
    assert_string_equal(why.clause, "TK-63");
}

static void ed25519_s_beyond_the_order_is_refused(void **state UNUSED)
{
    /* TK-60, RFC 8032 5.1.7: S + L satisfies the equation just as well */
    static const char order[] = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    CLEANUP(key_unrefp)
    struct key *key = ed_key(ED_D);
    struct hex l = hex(order);
    uint8_t sig[SIG_MAX];
    unsigned carry = 0;

    assert_int_equal(sig_make(key, SIG_EDDSA, SPAN("x"), sig), ST_OK);
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)sig[32 + i] + l.bytes[i];
        sig[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(carry, 0);
    assert_int_equal(sig_check(key, SIG_EDDSA, SPAN("x"), span_of(sig, 64), NULL), ST_BAD_CREDENTIAL);
    memcpy(sig + 32, l.bytes, 32);
    assert_int_equal(sig_check(key, SIG_EDDSA, SPAN("x"), span_of(sig, 64), NULL), ST_BAD_CREDENTIAL);
}

static void signatures_of_any_other_length_are_refused(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *secret = secret_key(ED_D), *ed = ed_key(ED_D), *ec = ec_key();
    const struct key *const keys[] = { secret, ed, ec };

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        enum sig_alg alg = sig_for_key(keys[i]);
        uint8_t sig[SIG_MAX + 8] = { 0 };
        struct why why;

        assert_int_equal(sig_make(keys[i], alg, SPAN("x"), sig), ST_OK);
        for (size_t len = 0; len < sizeof sig; len++) { /* TK-63: 4, 7, 8 and 16 bytes among them */
            if (len == sig_len(keys[i]))
                continue;
            assert_int_equal(sig_check(keys[i], alg, SPAN("x"), span_of(sig, len), &why), ST_BAD_CREDENTIAL);
            assert_string_equal(why.clause, "TK-63");
        }
    }
}

static void the_key_decides_the_algorithm(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *secret = secret_key(ED_D), *ed = ed_key(ED_D), *ec = ec_key();
    const struct key *const keys[] = { secret, ed, ec };
    const uint8_t zeros[SIG_MAX] = { 0 };

    for (size_t k = 0; k < COUNT_OF(keys); k++) { /* TK-41 */
        for (size_t i = 0; i < SIG_ALGS; i++) {
            enum sig_alg alg = (enum sig_alg)i;
            uint8_t sig[SIG_MAX];
            assert_int_equal(sig_fits(alg, keys[k]), i == k);
            if (i == k)
                continue;
            assert_int_equal(sig_make(keys[k], alg, SPAN("x"), sig), ST_UNSUPPORTED);
            assert_int_equal(sig_check(keys[k], alg, SPAN("x"), span_of(zeros, sizeof zeros), NULL),
                             ST_UNSUPPORTED);
        }
    }
}

static void a_public_key_signs_nothing(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *ed = ed_key(ED_D), *ec = ec_key(), *ed_pub = NULL, *ec_pub = NULL;
    uint8_t sig[SIG_MAX];

    assert_int_equal(key_public(ed, &ed_pub), ST_OK);
    assert_int_equal(key_public(ec, &ec_pub), ST_OK);
    assert_int_equal(sig_make(ed_pub, SIG_EDDSA, SPAN("x"), sig), ST_UNSUPPORTED);
    assert_int_equal(sig_make(ec_pub, SIG_ES256, SPAN("x"), sig), ST_UNSUPPORTED);
}

static void names_are_exact(void **state UNUSED)
{
    static const char *const not_names[] = { "",      "none",  "None",  "NONE",  "hs256",  "HS256 ",
                                             "HS384", "ES384", "RS384", "EdDSa", "Ed25519" };
    enum sig_alg alg;

    for (size_t i = 0; i < SIG_ALGS; i++) {
        assert_true(sig_from_name(span_of_str(sig_name((enum sig_alg)i)), &alg));
        assert_int_equal(alg, i);
    }
    for (size_t i = 0; i < COUNT_OF(not_names); i++) /* TK-40 */
        assert_false(sig_from_name(span_of_str(not_names[i]), &alg));
    assert_false(sig_from_name(SPAN("HS256\0"), &alg));
}

#define THREADS 4

struct work {
    const struct key *key;
    int failures;
};

static void *sign_and_verify(void *arg)
{
    struct work *work = arg;
    enum sig_alg alg = sig_for_key(work->key);
    uint8_t sig[SIG_MAX];

    for (int i = 0; i < 200; i++) {
        struct span data = span_of(&i, sizeof i);
        if (sig_make(work->key, alg, data, sig) != ST_OK ||
            sig_check(work->key, alg, data, span_of(sig, sig_len(work->key)), NULL) != ST_OK)
            work->failures++;
        struct key *ref = key_ref(work->key);
        key_unref(ref);
    }
    return NULL;
}

static void one_key_serves_many_threads_at_once(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_SECRET, KEY_ED25519, KEY_P256 };
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        CLEANUP(key_unrefp)
        struct key *key = NULL;
        struct work work[THREADS];
        pthread_t threads[THREADS];

        assert_int_equal(key_generate(kinds[k], &key), ST_OK);
        for (size_t i = 0; i < THREADS; i++) {
            work[i] = (struct work){ .key = key };
            assert_int_equal(pthread_create(&threads[i], NULL, sign_and_verify, &work[i]), 0);
        }
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(work[i].failures, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ed25519_signs_as_published),
        cmocka_unit_test(jose_examples_verify),
        cmocka_unit_test(what_is_signed_verifies_and_every_change_is_refused),
        cmocka_unit_test(es256_signatures_have_full_width_parts),
        cmocka_unit_test(es256_signatures_have_a_twin),
        cmocka_unit_test(es256_parts_out_of_range_are_refused),
        cmocka_unit_test(der_in_place_of_raw_parts_is_refused),
        cmocka_unit_test(ed25519_s_beyond_the_order_is_refused),
        cmocka_unit_test(signatures_of_any_other_length_are_refused),
        cmocka_unit_test(the_key_decides_the_algorithm),
        cmocka_unit_test(a_public_key_signs_nothing),
        cmocka_unit_test(names_are_exact),
        cmocka_unit_test(one_key_serves_many_threads_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
