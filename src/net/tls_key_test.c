/* Our own key in TLS: whatever a client asks of its signature, and keys that are not the certificate's. */
#include "crypto/sign.h"
#include "net/tls_world.h"

#include <stdlib.h>

static bool joins(const char *priorities)
{
    struct tls_variant v = tls_usual();
    struct tls_pair p;

    v.client.priorities = priorities;
    tls_pair_init(&p, &v);
    tls_join(&p);
    bool up = tls_up(&p);
    tls_pair_done(&p);
    return up;
}

/* RFC 8446 4.2.3, RFC 5246 7.4.1.4.1: 1.3 binds P-256 to SHA-256; 1.2 leaves the hash to the two. */
static void a_p256_key_signs_handshakes_with_each_hash_its_clients_may_ask_for(void **state UNUSED)
{
    assert_true(joins(ONLY_1_3 ":-SIGN-ALL:+SIGN-ECDSA-SECP256R1-SHA256"));
    assert_true(joins(ONLY_1_2 ":-SIGN-ALL:+SIGN-ECDSA-SHA256"));
    assert_true(joins(ONLY_1_2 ":-SIGN-ALL:+SIGN-ECDSA-SHA384:+SIGN-ECDSA-SHA256"));
    assert_true(joins(ONLY_1_2 ":-SIGN-ALL:+SIGN-ECDSA-SHA512:+SIGN-ECDSA-SHA256"));
    assert_false(joins(ONLY_1_3 ":-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256"));
}

static enum status serve_with(const struct key *key)
{
    CLEANUP(buf_done)
    struct buf pem;
    CLEANUP(tls_config_unrefp)
    struct tls_config *config = NULL;
    struct why why;

    buf_init(&pem, KEY_PEM_MAX);
    assert_int_equal(key_write_pem(key, true, &pem), ST_OK);
    struct tls_settings settings = { .cert_pem = buf_span(&test_certs.server.cert_pem),
                                     .key_pem = buf_span(&pem) };
    enum status st = tls_config_new_server(&settings, &config, &why);
    if (st != ST_OK)
        assert_string_equal(why.clause, "tls.cert");
    return st;
}

static void a_key_that_is_not_the_certificates_is_refused(void **state UNUSED)
{
    CLEANUP(key_unrefp)
    struct key *right = NULL, *other = NULL, *ed = NULL;

    assert_int_equal(key_read_pem(buf_span(&test_certs.server.key_pem), &right, NULL), ST_OK);
    assert_int_equal(key_generate(KEY_P256, &other), ST_OK);
    assert_int_equal(key_generate(KEY_ED25519, &ed), ST_OK);
    assert_int_equal(serve_with(right), ST_OK);
    assert_int_equal(serve_with(other), ST_MALFORMED);
    assert_int_equal(serve_with(ed), ST_MALFORMED);
}

static void what_is_no_certificate_or_key_is_refused(void **state UNUSED)
{
    static const struct span nothing = SPAN("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    struct tls_config *config = NULL;
    struct tls_settings bad_cert = { .cert_pem = nothing, .key_pem = buf_span(&test_certs.server.key_pem) };
    struct tls_settings bad_key = { .cert_pem = buf_span(&test_certs.server.cert_pem), .key_pem = nothing };
    struct tls_settings no_file = { .cert_file = "/nowhere/cert.pem", .key_file = "/nowhere/key.pem" };

    assert_int_equal(tls_config_new_server(&bad_cert, &config, NULL), ST_MALFORMED);
    assert_int_equal(tls_config_new_server(&bad_key, &config, NULL), ST_MALFORMED);
    assert_int_equal(tls_config_new_server(&no_file, &config, NULL), ST_MALFORMED);
    assert_null(config);
}

/* One file may hold both, in either order. */
static void certificate_and_key_may_be_in_one_text(void **state UNUSED)
{
    for (int first = 0; first <= 1; first++) {
        CLEANUP(buf_done)
        struct buf both;
        CLEANUP(tls_config_unrefp)
        struct tls_config *config = NULL;

        buf_init(&both, BUF_MAX);
        put_bytes(&both, buf_span(first ? &test_certs.server.key_pem : &test_certs.server.cert_pem));
        put_bytes(&both, buf_span(first ? &test_certs.server.cert_pem : &test_certs.server.key_pem));
        struct tls_settings settings = { .cert_pem = buf_span(&both), .key_pem = buf_span(&both) };
        assert_int_equal(tls_config_new_server(&settings, &config, NULL), ST_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_p256_key_signs_handshakes_with_each_hash_its_clients_may_ask_for),
        cmocka_unit_test(a_key_that_is_not_the_certificates_is_refused),
        cmocka_unit_test(what_is_no_certificate_or_key_is_refused),
        cmocka_unit_test(certificate_and_key_may_be_in_one_text),
    };
    return cmocka_run_group_tests(tests, test_certs_make, test_certs_drop);
}
