/* Our own small authority: what it issues verifies under it, carries the names asked for, and reads back. */
#include "crypto/x509.h"

#include "crypto/key_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static const struct wall_time now = { 1800000000 };

static gnutls_x509_crt_t import(const struct buf *pem)
{
    gnutls_x509_crt_t crt;
    gnutls_datum_t text = key_datum(buf_span(pem));
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_import(crt, &text, GNUTLS_X509_FMT_PEM), 0);
    return crt;
}

static void make_ca(struct x509_pair *ca)
{
    assert_int_equal(x509_make_ca(SPAN("Test CA"), 3650, now, ca, NULL), ST_OK);
}

static void server_certificate_verifies_and_names_its_hosts(void **state UNUSED)
{
    CLEANUP(x509_pair_done)
    struct x509_pair ca = { 0 }, server = { 0 };
    const struct span names[] = { SPAN("localhost"), SPAN("127.0.0.1"), SPAN("::1"), SPAN("broker.example") };
    unsigned result;

    make_ca(&ca);
    assert_int_equal(x509_issue_server(buf_span(&ca.cert_pem), buf_span(&ca.key_pem), SPAN("broker"), names,
                                       COUNT_OF(names), 90, now, &server, NULL),
                     ST_OK);
    gnutls_x509_crt_t root = import(&ca.cert_pem), crt = import(&server.cert_pem);
    assert_int_equal(
        gnutls_x509_crt_list_verify(&crt, 1, &root, 1, NULL, 0, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &result), 0);
    assert_int_equal(result, 0);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_int_not_equal(gnutls_x509_crt_check_hostname(crt, (const char *)names[i].p), 0);
    assert_int_equal(gnutls_x509_crt_check_hostname(crt, "example"), 0);
    assert_int_equal(gnutls_x509_crt_check_hostname(crt, "127.0.0.2"), 0);
    assert_int_equal(gnutls_x509_crt_get_activation_time(crt), now.s - 3600);
    assert_int_equal(gnutls_x509_crt_get_expiration_time(crt), now.s + 90 * 86400);
    assert_int_equal(gnutls_x509_crt_get_ca_status(crt, NULL), 0);
    assert_int_equal(gnutls_x509_crt_get_ca_status(root, NULL), 1);
    gnutls_x509_crt_deinit(root);
    gnutls_x509_crt_deinit(crt);
}

static void certificate_and_key_belong_together(void **state UNUSED)
{
    CLEANUP(x509_pair_done)
    struct x509_pair ca = { 0 }, client = { 0 };
    CLEANUP(key_unrefp)
    struct key *from_cert = NULL, *from_key = NULL;
    char name[100];
    size_t len = sizeof name;

    make_ca(&ca);
    assert_int_equal(x509_issue_client(buf_span(&ca.cert_pem), buf_span(&ca.key_pem), SPAN("sensor-1"), 30, now,
                                       &client, NULL),
                     ST_OK);
    assert_int_equal(x509_public_key(buf_span(&client.cert_pem), &from_cert, NULL), ST_OK);
    assert_int_equal(key_read_pem(buf_span(&client.key_pem), &from_key, NULL), ST_OK);
    assert_true(key_same(from_cert, from_key));
    assert_false(key_is_private(from_cert));
    gnutls_x509_crt_t crt = import(&client.cert_pem);
    assert_int_equal(gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &len), 0);
    assert_string_equal(name, "sensor-1");
    gnutls_x509_crt_deinit(crt);
}

static void thumbprint_is_of_the_der_form(void **state UNUSED)
{
    CLEANUP(x509_pair_done)
    struct x509_pair ca = { 0 };
    gnutls_datum_t der = { 0 };
    uint8_t expected[SHA256_LEN], from_pem[SHA256_LEN], from_der[SHA256_LEN];

    make_ca(&ca);
    gnutls_x509_crt_t crt = import(&ca.cert_pem);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der), 0);
    assert_int_equal(sha256(span_of(der.data, der.size), expected), ST_OK); /* RFC 8705 3.1 */
    assert_int_equal(x509_thumbprint(buf_span(&ca.cert_pem), from_pem, NULL), ST_OK);
    assert_int_equal(x509_thumbprint(span_of(der.data, der.size), from_der, NULL), ST_OK);
    assert_memory_equal(expected, from_pem, SHA256_LEN);
    assert_memory_equal(expected, from_der, SHA256_LEN);
    gnutls_free(der.data);
    gnutls_x509_crt_deinit(crt);
}

static void serial_numbers_and_keys_are_new_each_time(void **state UNUSED)
{
    CLEANUP(x509_pair_done)
    struct x509_pair a = { 0 }, b = { 0 };
    uint8_t print_a[SHA256_LEN], print_b[SHA256_LEN];

    make_ca(&a);
    make_ca(&b);
    assert_int_equal(x509_thumbprint(buf_span(&a.cert_pem), print_a, NULL), ST_OK);
    assert_int_equal(x509_thumbprint(buf_span(&b.cert_pem), print_b, NULL), ST_OK);
    assert_memory_not_equal(print_a, print_b, SHA256_LEN);
}

static void requests_that_make_no_sense_are_refused(void **state UNUSED)
{
    CLEANUP(x509_pair_done)
    struct x509_pair ca = { 0 }, out = { 0 };
    const struct span bad[] = { SPAN_NONE, SPAN("a\0b") };

    make_ca(&ca);
    struct span cert = buf_span(&ca.cert_pem), key = buf_span(&ca.key_pem), name = SPAN("localhost");
    assert_int_equal(x509_make_ca(SPAN_NONE, 10, now, &out, NULL), ST_MALFORMED);
    assert_int_equal(x509_make_ca(SPAN("x"), 0, now, &out, NULL), ST_MALFORMED);
    assert_int_equal(x509_issue_server(cert, key, name, NULL, 0, 1, now, &out, NULL), ST_MALFORMED);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(x509_issue_server(cert, key, name, &bad[i], 1, 1, now, &out, NULL), ST_MALFORMED);
    assert_int_equal(x509_issue_server(key, key, name, &name, 1, 1, now, &out, NULL), ST_MALFORMED);
    assert_int_equal(x509_issue_server(cert, cert, name, &name, 1, 1, now, &out, NULL), ST_MALFORMED);
    assert_null(out.cert_pem.p);
}

static void bytes_that_are_no_certificate_are_refused(void **state UNUSED)
{
    static const struct span rows[] = {
        { NULL, 0 }, SPAN("x"), SPAN("0"), SPAN("-----BEGIN CERTIFICATE-----\n")
    };
    uint8_t print[SHA256_LEN];
    struct key *key = NULL;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(x509_thumbprint(rows[i], print, NULL), ST_MALFORMED);
        assert_int_equal(x509_public_key(rows[i], &key, NULL), ST_MALFORMED);
    }
    assert_null(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_certificate_verifies_and_names_its_hosts),
        cmocka_unit_test(certificate_and_key_belong_together),
        cmocka_unit_test(thumbprint_is_of_the_der_form),
        cmocka_unit_test(serial_numbers_and_keys_are_new_each_time),
        cmocka_unit_test(requests_that_make_no_sense_are_refused),
        cmocka_unit_test(bytes_that_are_no_certificate_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
