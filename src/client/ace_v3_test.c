/* User name and password of MQTT 3.1.1 through the public headers only: worked vectors of the MQTT-TLS profile's
 * digest, section 13 (MT-122, MT-123), and what does not fit. */
#include "symbolon/ace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the first two above */
#include <cmocka.h>

#define JWT "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"

static uint8_t out[65535];

static struct symbolon_bytes text(const char *s)
{
    return (struct symbolon_bytes){ s, strlen(s) };
}

static void assert_user_name(struct symbolon_bytes token, enum symbolon_ace_layout layout, const char *expected)
{
    size_t len = 0;

    assert_int_equal(symbolon_ace_v3_user_name(token, layout, out, sizeof out, &len, NULL), SYMBOLON_OK);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(out, expected, len);
}

static void mt122_the_user_name_is_ace_and_the_token_in_base64url(void **state)
{
    (void)state;
    assert_user_name(text(JWT), SYMBOLON_ACE_RFC9431, "aceZXlKaGJHY2lPaUpJVXpJMU5pSjkuZTMwLmMybG4");
    /* never padding, and the alphabet of URLs */
    assert_user_name(text("\xfb\xff"), SYMBOLON_ACE_RFC9431, "ace-_8");
}

static void mt122_draft_06_takes_the_token_as_it_is_if_it_is_text(void **state)
{
    (void)state;
    assert_user_name(text(JWT), SYMBOLON_ACE_DRAFT06, "ace" JWT);
    assert_user_name(text("\xc3\xbc"), SYMBOLON_ACE_DRAFT06, "ace\xc3\xbc");
    /* and else in Base64, with its padding: no UTF-8, or a NUL, which no user name may hold */
    assert_user_name(text("\xfb\xff"), SYMBOLON_ACE_DRAFT06, "ace+/8=");
    assert_user_name((struct symbolon_bytes){ "a\0b", 3 }, SYMBOLON_ACE_DRAFT06, "aceYQBi");
}

static void mt123_the_password_is_the_bare_proof_over_the_exporter_value(void **state)
{
    static const uint8_t expected[32] = {
        0xfc, 0x92, 0xe8, 0xd7, 0x2d, 0x18, 0xe7, 0x27, 0x71, 0x6e, 0x91, 0xc0, 0x9f, 0x40, 0x7e, 0xed,
        0x37, 0x85, 0xc0, 0x52, 0x15, 0xb7, 0xf8, 0xec, 0x64, 0x04, 0xdf, 0x19, 0x22, 0x75, 0xdd, 0x9c,
    };
    struct symbolon_key *key = NULL;
    struct symbolon_error error = { 0 };
    uint8_t k[32], e[32];
    size_t len = 0;

    (void)state;
    for (uint8_t i = 0; i < 32; i++) {
        k[i] = i;
        e[i] = (uint8_t)(0x40 + i);
    }
    assert_int_equal(symbolon_key_from_secret((struct symbolon_bytes){ k, 32 }, &key, NULL), SYMBOLON_OK);
    assert_int_equal(symbolon_ace_v3_password(key, e, out, SYMBOLON_ACE_PROOF_MAX, &len, NULL), SYMBOLON_OK);
    assert_int_equal(len, sizeof expected);
    assert_memory_equal(out, expected, len);
    assert_int_equal(symbolon_ace_v3_password(key, e, out, 31, &len, &error), SYMBOLON_TOO_LARGE);
    assert_string_equal(error.clause, "RFC 9431 6.1");
    symbolon_key_unref(key);
}

static void what_does_not_fit_is_refused(void **state)
{
    static char token[65536];
    const size_t most = 49149; /* 3 + 4/3 of it is 65535 */
    size_t len = 7;

    (void)state;
    memset(token, 'a', sizeof token);
    assert_int_equal(symbolon_ace_v3_user_name(text(""), SYMBOLON_ACE_RFC9431, out, sizeof out, &len, NULL),
                     SYMBOLON_NO_TOKEN);
    assert_int_equal(symbolon_ace_v3_user_name(text("abc"), SYMBOLON_ACE_RFC9431, out, 6, &len, NULL),
                     SYMBOLON_TOO_LARGE);
    for (size_t n = most + 1; n <= sizeof token; n += sizeof token - most - 1)
        assert_int_equal(symbolon_ace_v3_user_name((struct symbolon_bytes){ token, n }, SYMBOLON_ACE_RFC9431,
                                                   out, sizeof out, &len, NULL),
                         SYMBOLON_TOO_LARGE);
    assert_int_equal(len, 7); /* written on success only */
    assert_int_equal(symbolon_ace_v3_user_name((struct symbolon_bytes){ token, most }, SYMBOLON_ACE_RFC9431,
                                               out, sizeof out, &len, NULL),
                     SYMBOLON_OK);
    assert_int_equal(len, 65535);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt122_the_user_name_is_ace_and_the_token_in_base64url),
        cmocka_unit_test(mt122_draft_06_takes_the_token_as_it_is_if_it_is_text),
        cmocka_unit_test(mt123_the_password_is_the_bare_proof_over_the_exporter_value),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
