/* SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 4231), HKDF-SHA-256 (RFC 5869 A), and the constant-time compare. */
#include "crypto/hash.h"
#include "crypto/random.h"
#include "crypto/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

#include "crypto/test_hex.h"

static void sha256_gives_the_published_digests(void **state UNUSED)
{
    static const struct {
        const char *text, *digest;
    } rows[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    uint8_t out[SHA256_LEN];

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(sha256(span_of_str(rows[i].text), out), ST_OK);
        assert_hex_equal(out, sizeof out, rows[i].digest);
    }
}

static void sha256_takes_a_million_bytes(void **state UNUSED)
{
    uint8_t out[SHA256_LEN], *a = malloc(1000000);

    assert_non_null(a);
    memset(a, 'a', 1000000);
    assert_int_equal(sha256(span_of(a, 1000000), out), ST_OK);
    free(a);
    assert_hex_equal(out, sizeof out, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void hmac_gives_the_rfc_4231_macs(void **state UNUSED)
{
    uint8_t aa[131], dd[50], out[SHA256_LEN];
    struct hex b = hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b");

    memset(aa, 0xaa, sizeof aa);
    memset(dd, 0xdd, sizeof dd);
    const struct {
        struct span key, data;
        const char *mac;
    } rows[] = {
        { hex_span(&b), SPAN("Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
        { SPAN("Jefe"), SPAN("what do ya want for nothing?"),
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
        { span_of(aa, 20), span_of(dd, 50),
          "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
        { span_of(aa, 131), SPAN("Test Using Larger Than Block-Size Key - Hash Key First"),
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(hmac_sha256(rows[i].key, rows[i].data, out), ST_OK);
        assert_hex_equal(out, sizeof out, rows[i].mac);
    }
}

static void hkdf_gives_the_rfc_5869_keys(void **state UNUSED)
{
    struct hex ikm = hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b");
    struct hex salt = hex("000102030405060708090a0b0c"), info = hex("f0f1f2f3f4f5f6f7f8f9");
    uint8_t out[82], long_ikm[80], long_salt[80], long_info[80];

    assert_int_equal(hkdf_sha256(hex_span(&ikm), hex_span(&salt), hex_span(&info), out, 42), ST_OK); /* A.1 */
    assert_hex_equal(out, 42,
                     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    for (size_t i = 0; i < 80; i++) {
        long_ikm[i] = (uint8_t)i;
        long_salt[i] = (uint8_t)(0x60 + i);
        long_info[i] = (uint8_t)(0xb0 + i);
    }
    assert_int_equal(
        hkdf_sha256(span_of(long_ikm, 80), span_of(long_salt, 80), span_of(long_info, 80), out, 82),
        ST_OK); /* A.2 */
    assert_hex_equal(
        out, 82,
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e59"
        "0e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
    assert_int_equal(hkdf_sha256(hex_span(&ikm), SPAN_NONE, SPAN_NONE, out, 42), ST_OK); /* A.3 */
    assert_hex_equal(out, 42,
                     "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

static void secrets_are_equal_only_byte_for_byte(void **state UNUSED)
{
    assert_true(secret_eq(SPAN("same"), SPAN("same"))); /* TK-68 */
    assert_true(secret_eq(SPAN_NONE, SPAN("")));
    assert_false(secret_eq(SPAN("same"), SPAN("samf")));
    assert_false(secret_eq(SPAN("same"), SPAN("sam")));
    assert_false(secret_eq(SPAN("same"), SPAN_NONE));
}

static void wiping_leaves_zeros(void **state UNUSED)
{
    uint8_t bytes[4] = { 1, 2, 3, 4 };
    secret_wipe(bytes, sizeof bytes);
    assert_hex_equal(bytes, sizeof bytes, "00000000");
    secret_wipe(NULL, 0);
}

static void random_bytes_do_not_repeat(void **state UNUSED)
{
    uint8_t a[32], b[32];
    assert_int_equal(random_bytes(a, sizeof a), ST_OK);
    assert_int_equal(random_for_env(NULL, b, sizeof b), ST_OK);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_published_digests),   cmocka_unit_test(sha256_takes_a_million_bytes),
        cmocka_unit_test(hmac_gives_the_rfc_4231_macs),         cmocka_unit_test(hkdf_gives_the_rfc_5869_keys),
        cmocka_unit_test(secrets_are_equal_only_byte_for_byte), cmocka_unit_test(wiping_leaves_zeros),
        cmocka_unit_test(random_bytes_do_not_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
