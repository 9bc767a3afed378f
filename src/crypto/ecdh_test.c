/* P-256 Diffie-Hellman: the published value of RFC 7518 appendix C from both sides, and keys it does not take. */
#include "crypto/ecdh.h"
#include "crypto/test_hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct key *private_key(const char *d)
{
    struct hex h = hex(d);
    struct key *key = NULL;

    assert_int_equal(key_new_p256_private(hex_span(&h), &key, NULL), ST_OK);
    return key;
}

static void the_published_secret_comes_out_on_both_sides(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *alice = private_key("d3f3716913d4310a0026de741b3f18893afc8114f0c84682ba677e313a13988a");
    CLEANUP(key_unrefp)
    struct key *bob = private_key("5449836690d75caf29f0dd029ddb31b3ddb8aba9d2d515c5012465e817d4a9dc");
    static const char z[] = "9e56d91d817135d372834283bf84269cfb316ea3da806a48f6daa7798cfe90c4";
    uint8_t out[ECDH_LEN];

    assert_int_equal(ecdh_p256(alice, bob, out), ST_OK);
    assert_hex_equal(out, sizeof out, z);
    assert_int_equal(ecdh_p256(bob, alice, out), ST_OK);
    assert_hex_equal(out, sizeof out, z);
}

static void strangers_agree_on_something_of_their_own(void **state UNUSED)
{
    uint8_t secrets[3][ECDH_LEN], again[ECDH_LEN];
    struct key *keys[3];

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(key_generate(KEY_P256, &keys[i]), ST_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ecdh_p256(keys[i], keys[(i + 1) % 3], secrets[i]), ST_OK);
        assert_int_equal(ecdh_p256(keys[(i + 1) % 3], keys[i], again), ST_OK);
        assert_memory_equal(secrets[i], again, ECDH_LEN);
    }
    assert_memory_not_equal(secrets[0], secrets[1], ECDH_LEN);
    assert_memory_not_equal(secrets[1], secrets[2], ECDH_LEN);
    for (size_t i = 0; i < 3; i++)
        key_unref(keys[i]);
}

static void other_keys_are_refused(void **state UNUSED)
{
    struct key *pair = NULL, *public = NULL, *ed = NULL, *secret = NULL;
    uint8_t out[ECDH_LEN];

    assert_int_equal(key_generate(KEY_P256, &pair), ST_OK);
    assert_int_equal(key_public(pair, &public), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &ed), ST_OK);
    assert_int_equal(key_generate(KEY_SECRET, &secret), ST_OK);
    assert_int_equal(ecdh_p256(public, pair, out), ST_UNSUPPORTED);
    assert_int_equal(ecdh_p256(pair, ed, out), ST_UNSUPPORTED);
    assert_int_equal(ecdh_p256(ed, pair, out), ST_UNSUPPORTED);
    assert_int_equal(ecdh_p256(pair, secret, out), ST_UNSUPPORTED);
    key_unref(pair);
    key_unref(public);
    key_unref(ed);
    key_unref(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_secret_comes_out_on_both_sides),
        cmocka_unit_test(strangers_agree_on_something_of_their_own),
        cmocka_unit_test(other_keys_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
