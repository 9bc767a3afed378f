/* The lower layer of libsymbolon through its public headers only: the bytes of RFC 9431 beside any MQTT stack. */
#include "symbolon/ace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the first two above */
#include <cmocka.h>

/* mqtt-tls-profile.md section 13 */
#define HS256_OVER_E "fc92e8d72d18e727716e91c09f407eed3785c05215b7f8ec6404df192275dd9c"
#define HS256_NONCES "07215b998b9a990c5cc6a160e9180b487dc80d13a7e464ed0d1298cfbf652467"
#define ED25519_OVER_E                                                 \
    "8d045132780df42b3668531bd8daa511c9d9d5652c2b8e3c95abd81897431de6" \
    "ae616f90b96efc8cc57c195c37a3287dcce80d81d0abae580bb5917b4c979900"
#define ED25519_NONCES                                                 \
    "4ebfd6776f8815df4697203ec6a94d3c621532f75577025039a8ff0799df6b7c" \
    "489578b681d079889d4a13c71fa6013b83d717a7212e957b9293d7cbac655a0e"
/* RFC 8032 7.1 test 1 as PKCS #8 */
#define ED25519_PEM                                                    \
    "-----BEGIN PRIVATE KEY-----\n"                                    \
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g" \
    "\n-----END PRIVATE KEY-----\n"

static const uint8_t rs_nonce[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static const uint8_t client_nonce[8] = { 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18 };
static uint8_t out[SYMBOLON_ACE_AUTH_DATA_MAX];

static struct symbolon_bytes text(const char *s)
{
    return (struct symbolon_bytes){ s, strlen(s) };
}

static struct symbolon_key *secret_key(void)
{
    struct symbolon_key *key = NULL;
    uint8_t k[32];

    for (uint8_t i = 0; i < 32; i++)
        k[i] = i;
    assert_int_equal(symbolon_key_from_secret((struct symbolon_bytes){ k, 32 }, &key, NULL), SYMBOLON_OK);
    return key;
}

static struct symbolon_key *ed25519_key(void)
{
    struct symbolon_key *key = NULL;

    assert_int_equal(symbolon_key_from_pem(text(ED25519_PEM), &key, NULL), SYMBOLON_OK);
    return key;
}

static void exporter_bytes(uint8_t e[32])
{
    for (uint8_t i = 0; i < 32; i++)
        e[i] = (uint8_t)(0x40 + i);
}

static void assert_hex(const uint8_t *p, size_t len, const char *hex)
{
    char got[1024] = "";

    assert_true(len * 2 < sizeof got);
    for (size_t i = 0; i < len; i++)
        snprintf(got + 2 * i, 3, "%02x", p[i]);
    assert_string_equal(got, hex);
}

static void mt56_layout_a_is_token_and_proof_over_the_exporter_value(void **state)
{
    struct symbolon_key *secret = secret_key(), *pair = ed25519_key();
    uint8_t e[32];
    size_t len = 0;

    (void)state;
    exporter_bytes(e);
    assert_int_equal(symbolon_ace_connect_exporter(text("abc"), secret, e, out, sizeof out, &len, NULL),
                     SYMBOLON_OK);
    assert_hex(out, len, "0003616263" HS256_OVER_E);
    assert_int_equal(symbolon_ace_connect_exporter(text("abc"), pair, e, out, sizeof out, &len, NULL),
                     SYMBOLON_OK);
    assert_hex(out, len, "0003616263" ED25519_OVER_E);
    symbolon_key_unref(secret);
    symbolon_key_unref(pair);
}

static void mt59_layout_b_is_the_token_and_nothing_behind_it(void **state)
{
    size_t len = 0;

    (void)state;
    assert_int_equal(symbolon_ace_connect_challenge(text("abc"), out, sizeof out, &len, NULL), SYMBOLON_OK);
    assert_hex(out, len, "0003616263");
}

static void mt57_the_answer_signs_both_nonces_in_either_layout(void **state)
{
    struct symbolon_key *secret = secret_key(), *pair = ed25519_key();
    struct symbolon_bytes challenge = { rs_nonce, 8 };
    size_t len = 0;

    (void)state;
    assert_int_equal(
        symbolon_ace_answer(challenge, secret, client_nonce, SYMBOLON_ACE_RFC9431, out, sizeof out, &len, NULL),
        SYMBOLON_OK);
    assert_hex(out, len, "1112131415161718" HS256_NONCES);
    assert_int_equal(
        symbolon_ace_answer(challenge, secret, client_nonce, SYMBOLON_ACE_DRAFT06, out, sizeof out, &len, NULL),
        SYMBOLON_OK);
    assert_hex(out, len, "00081112131415161718" HS256_NONCES);
    assert_int_equal(
        symbolon_ace_answer(challenge, pair, client_nonce, SYMBOLON_ACE_RFC9431, out, sizeof out, &len, NULL),
        SYMBOLON_OK);
    assert_hex(out, len, "1112131415161718" ED25519_NONCES);
    symbolon_key_unref(secret);
    symbolon_key_unref(pair);
}

static void d2_a_fresh_client_nonce_is_eight_bytes_and_never_the_same(void **state)
{
    struct symbolon_key *key = secret_key();
    struct symbolon_bytes challenge = { rs_nonce, 8 };
    uint8_t first[256];
    size_t len = 0;

    (void)state;
    assert_int_equal(
        symbolon_ace_answer(challenge, key, NULL, SYMBOLON_ACE_RFC9431, first, sizeof first, &len, NULL),
        SYMBOLON_OK);
    assert_int_equal(len, 40);
    assert_int_equal(
        symbolon_ace_answer(challenge, key, NULL, SYMBOLON_ACE_RFC9431, out, sizeof out, &len, NULL),
        SYMBOLON_OK);
    assert_memory_not_equal(first, out, 8);
    symbolon_key_unref(key);
}

static void mt58_a_challenge_of_another_length_is_refused(void **state)
{
    struct symbolon_key *key = secret_key();
    struct symbolon_error error;
    static const uint8_t zeros[64];
    size_t len = 0;

    (void)state;
    for (size_t n = 0; n <= sizeof zeros; n++) {
        if (n == 8)
            continue;
        struct symbolon_bytes challenge = { zeros, n };
        assert_int_equal(
            symbolon_ace_answer(challenge, key, NULL, SYMBOLON_ACE_RFC9431, out, sizeof out, &len, &error),
            SYMBOLON_PROTOCOL);
        assert_int_equal(error.status, SYMBOLON_PROTOCOL);
    }
    symbolon_key_unref(key);
}

static void no_token_and_no_room_are_said(void **state)
{
    struct symbolon_key *key = secret_key();
    uint8_t e[32];
    size_t len = 99;

    (void)state;
    exporter_bytes(e);
    assert_int_equal(symbolon_ace_connect_exporter(text(""), key, e, out, sizeof out, &len, NULL),
                     SYMBOLON_NO_TOKEN);
    assert_int_equal(symbolon_ace_connect_challenge(text(""), out, sizeof out, &len, NULL), SYMBOLON_NO_TOKEN);
    assert_int_equal(symbolon_ace_connect_exporter(text("abc"), key, e, out, 36, &len, NULL),
                     SYMBOLON_TOO_LARGE);
    assert_int_equal(len, 99);
    assert_int_equal(symbolon_ace_connect_exporter(text("abc"), key, e, out, 37, &len, NULL), SYMBOLON_OK);
    symbolon_key_unref(key);
}

static void mt52_a_token_that_fits_no_binary_data_is_refused(void **state)
{
    char *big = malloc(65536);
    size_t len = 0;

    (void)state;
    memset(big, 'a', 65536);
    assert_int_equal(
        symbolon_ace_connect_challenge((struct symbolon_bytes){ big, 65534 }, out, sizeof out, &len, NULL),
        SYMBOLON_TOO_LARGE);
    assert_int_equal(
        symbolon_ace_connect_challenge((struct symbolon_bytes){ big, 65533 }, out, sizeof out, &len, NULL),
        SYMBOLON_OK);
    free(big);
}

static void mt91_hints_are_read_and_their_binary_members_stay_text(void **state)
{
    struct symbolon_hints hints;

    (void)state;
    assert_int_equal(
        symbolon_hints_parse(text("{\"AS\":\"https://as.example/token\",\"audience\":\"b\",\"cnonce\":"
                                  "\"4KFWuz8\",\"scope\":[[\"a\",[\"pub\"]]]}"),
                             &hints, NULL),
        SYMBOLON_OK);
    assert_string_equal(hints.as_url, "https://as.example/token");
    assert_string_equal(hints.audience, "b");
    assert_string_equal(hints.cnonce, "4KFWuz8");
    assert_string_equal(hints.scope, "[[\"a\",[\"pub\"]]]");
    symbolon_hints_done(&hints);
}

static void mt91_hints_without_a_usable_server_are_refused(void **state)
{
    static const char *const bad[] = { "",
                                       "{}",
                                       "[]",
                                       "{\"AS\":1}",
                                       "{\"AS\":\"\"}",
                                       "{\"AS\":\"as.example\"}",
                                       "{\"AS\":\"ftp://as.example/\"}",
                                       "{\"AS\":\"https://\"}",
                                       "{\"AS\":\"https://good@evil.example/\"}",
                                       "{\"AS\":\"https://as.example:99999/\"}",
                                       "{\"AS\":\"https://as.example\",\"AS\":\"https://evil.example\"}",
                                       "{\"AS\":\"https://as.example\"" };
    struct symbolon_hints hints;
    struct symbolon_error error;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_not_equal(symbolon_hints_parse(text(bad[i]), &hints, &error), SYMBOLON_OK);
        assert_true(error.text[0] != '\0');
    }
}

static void af13_servers_are_the_same_by_scheme_host_and_port_only(void **state)
{
    (void)state;
    assert_true(symbolon_url_same_origin("https://as.example", "https://AS.EXAMPLE:443/token"));
    assert_true(symbolon_url_same_origin("https://[::1]:8443/a", "https://[::1]:8443"));
    assert_false(symbolon_url_same_origin("https://as.example", "http://as.example"));
    assert_false(symbolon_url_same_origin("https://as.example", "https://as.example:8443"));
    assert_false(symbolon_url_same_origin("https://as.example", "https://as.example.evil.org"));
    assert_false(symbolon_url_same_origin("https://as.example", "https://as.example@evil.org"));
    assert_false(symbolon_url_same_origin("https://as.example", "https://evil.org/https://as.example"));
    assert_false(symbolon_url_same_origin("https://as.example", "https://as.example\\.evil.org"));
    assert_false(symbolon_url_same_origin("", ""));
}

static void a_key_file_is_private_and_never_overwritten(void **state)
{
    char dir[] = "/tmp/symbolon-test-XXXXXX", path[64];
    struct symbolon_key *key = NULL, *again = NULL;
    char a[SYMBOLON_THUMBPRINT_TEXT], b[SYMBOLON_THUMBPRINT_TEXT];
    struct stat st;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/key.pem", dir);
    assert_int_equal(symbolon_key_load(path, &again, NULL), SYMBOLON_NOT_FOUND);
    for (int type = SYMBOLON_KEY_ED25519; type <= SYMBOLON_KEY_P256; type++) {
        assert_int_equal(symbolon_key_generate((enum symbolon_key_type)type, &key, NULL), SYMBOLON_OK);
        assert_int_equal(symbolon_key_save(key, path, NULL), SYMBOLON_OK);
        assert_int_equal(symbolon_key_save(key, path, NULL), SYMBOLON_EXISTS);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(symbolon_key_load(path, &again, NULL), SYMBOLON_OK);
        assert_int_equal(symbolon_key_type(again), type);
        assert_int_equal(symbolon_key_thumbprint(key, a, NULL), SYMBOLON_OK);
        assert_int_equal(symbolon_key_thumbprint(again, b, NULL), SYMBOLON_OK);
        assert_string_equal(a, b);
        symbolon_key_unref(again);
        again = NULL;
        assert_int_equal(chmod(path, 0640), 0);
        assert_int_equal(symbolon_key_load(path, &again, NULL), SYMBOLON_UNTRUSTED);
        assert_null(again);
        unlink(path);
        symbolon_key_unref(key);
    }
    rmdir(dir);
}

static void a_secret_has_no_public_part_and_is_never_short(void **state)
{
    struct symbolon_key *key = secret_key(), *weak = NULL;
    char *json = NULL;

    (void)state;
    assert_int_equal(symbolon_key_public_jwk(key, &json, NULL), SYMBOLON_UNSUPPORTED);
    assert_int_equal(symbolon_key_from_secret(text("0123456789012345678901234567890"), &weak, NULL),
                     SYMBOLON_INVALID);
    assert_int_equal(symbolon_key_from_pem(text("-----BEGIN PUBLIC KEY-----\n"), &weak, NULL),
                     SYMBOLON_MALFORMED);
    assert_null(weak);
    symbolon_key_unref(key);
    symbolon_key_unref(NULL);
}

static void what_is_printed_of_a_pair_is_public_only(void **state)
{
    struct symbolon_key *key = ed25519_key();
    char *json = NULL;

    (void)state;
    assert_int_equal(symbolon_key_public_jwk(key, &json, NULL), SYMBOLON_OK);
    assert_non_null(strstr(json, "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"")); /* RFC 8037 A.2 */
    assert_null(strstr(json, "\"d\""));
    symbolon_free(json);
    symbolon_key_unref(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt56_layout_a_is_token_and_proof_over_the_exporter_value),
        cmocka_unit_test(mt59_layout_b_is_the_token_and_nothing_behind_it),
        cmocka_unit_test(mt57_the_answer_signs_both_nonces_in_either_layout),
        cmocka_unit_test(d2_a_fresh_client_nonce_is_eight_bytes_and_never_the_same),
        cmocka_unit_test(mt58_a_challenge_of_another_length_is_refused),
        cmocka_unit_test(no_token_and_no_room_are_said),
        cmocka_unit_test(mt52_a_token_that_fits_no_binary_data_is_refused),
        cmocka_unit_test(mt91_hints_are_read_and_their_binary_members_stay_text),
        cmocka_unit_test(mt91_hints_without_a_usable_server_are_refused),
        cmocka_unit_test(af13_servers_are_the_same_by_scheme_host_and_port_only),
        cmocka_unit_test(a_key_file_is_private_and_never_overwritten),
        cmocka_unit_test(a_secret_has_no_public_part_and_is_never_short),
        cmocka_unit_test(what_is_printed_of_a_pair_is_public_only),
    };
    return cmocka_run_group_tests_name("client_ace", tests, NULL, NULL);
}
