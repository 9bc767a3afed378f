/* Client and server joined in memory: what one puts out is the other's input. */
#include "net/tls_world.h"

#include <gnutls/gnutls.h>
#include <stdlib.h>

static struct tls_variant usual(void)
{
    return tls_usual();
}

static void check_round_trip(const char *priorities, const char *version)
{
    struct tls_variant v = usual();
    struct tls_pair p;
    struct buf heard;
    v.client.priorities = priorities;
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_true(tls_up(&p));
    assert_string_equal(tls_version(p.server.session), version);
    assert_true(tls_peer_verified(p.client.session));
    assert_false(tls_resumed(p.server.session));

    buf_init(&heard, BUF_MAX);
    tls_say(&p.client, SPAN("hello"));
    tls_say(&p.client, SPAN(" world"));
    assert_int_equal(tls_hear(&p.server, &p.client, &heard), TLS_WANT_INPUT);
    assert_true(span_eq_str(buf_span(&heard), "hello world")); /* two records, one read */
    buf_reset(&heard);
    tls_say(&p.server, SPAN("back"));
    assert_int_equal(tls_hear(&p.client, &p.server, &heard), TLS_WANT_INPUT);
    assert_true(span_eq_str(buf_span(&heard), "back"));
    buf_done(&heard);
    tls_pair_done(&p);
}

static void data_goes_both_ways_over_tls_1_3_and_1_2(void **state)
{
    (void)state;
    check_round_trip(ONLY_1_3, "TLS1.3");
    check_round_trip(ONLY_1_2, "TLS1.2");
}

static void older_versions_are_refused(void **state) /* MT-5, RFC 8996 */
{
    struct tls_variant v = usual();
    struct tls_pair p;
    (void)state;
    v.client.priorities = ONLY("TLS1.1");
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_int_equal(p.server.result, TLS_FAILED);
    tls_pair_done(&p);
}

static void the_exporter_uses_the_empty_context_on_both_sides(void **state) /* MT-56, RFC 5705 4 */
{
    static const char *const versions[] = { ONLY_1_3, ONLY_1_2 };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct tls_variant v = usual();
        struct tls_pair p;
        uint8_t a[32], b[32];
        v.client.priorities = versions[i];
        tls_pair_init(&p, &v);
        assert_int_equal(tls_exporter(p.client.session, ACE_LABEL, a, 32, NULL), ST_INTERNAL); /* too early */
        tls_join(&p);
        assert_true(tls_up(&p));
        assert_int_equal(tls_exporter(p.client.session, ACE_LABEL, a, 32, NULL), ST_OK);
        assert_int_equal(tls_exporter(p.server.session, ACE_LABEL, b, 32, NULL), ST_OK);
        assert_memory_equal(a, b, 32);
        assert_int_equal(tls_exporter(p.server.session, SPAN("EXPORTER-other"), b, 32, NULL), ST_OK);
        assert_memory_not_equal(a, b, 32);
        tls_pair_done(&p);
    }
}

static void tls_1_2_without_extended_master_secret_is_refused(void **state) /* MT-5 */
{
    struct tls_variant v = usual();
    struct tls_pair p;
    (void)state;
    v.client.priorities = ONLY_1_2 ":%NO_SESSION_HASH";
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_int_equal(p.server.result, TLS_FAILED);
    assert_string_equal(p.server.why.clause, "MT-5");
    struct buf heard;
    buf_init(&heard, BUF_MAX);
    tls_join(&p);
    if (p.client.result == TLS_OK)
        p.client.result = tls_hear(&p.client, &p.server, &heard);
    assert_int_equal(p.client.result, TLS_FAILED);
    buf_done(&heard);
    tls_pair_done(&p);
}

static void a_large_transfer_arrives_whole_even_in_odd_pieces(void **state)
{
    const size_t total = 3000001;
    struct tls_variant v = usual();
    struct tls_pair p;
    struct buf heard;
    uint8_t *data = malloc(total);
    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < total; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_true(tls_up(&p));
    buf_init(&heard, BUF_MAX);
    tls_say(&p.server, span_of(data, total));

    struct span wire = buf_span(&p.server.out);
    assert_true(wire.len < total + (total / TLS_RECORD_MAX + 2) * 40 + 1000); /* full records */
    for (size_t piece = 1; wire.len > 0; piece = piece * 3 % 70001 + 1) {
        struct tls_io io = { span_cut(wire, 0, piece), &p.client.out };
        wire = span_cut(wire, piece, wire.len);
        size_t len = 0;
        while (tls_read(p.client.session, &io, buf_room(&heard, TLS_RECORD_MAX), TLS_RECORD_MAX, &len, NULL) ==
               TLS_OK)
            buf_added(&heard, len);
        assert_int_equal(io.in.len, 0);
    }
    assert_int_equal(heard.len, total);
    assert_memory_equal(heard.p, data, total);
    buf_done(&heard);
    free(data);
    tls_pair_done(&p);
}

static void many_records_are_read_by_one_call(void **state)
{
    struct tls_variant v = usual();
    struct tls_pair p;
    static uint8_t room[65536];
    size_t len = 0;
    (void)state;
    tls_pair_init(&p, &v);
    tls_join(&p);
    for (int i = 0; i < 1000; i++)
        tls_say(&p.client, SPAN("0123456789"));
    struct tls_io io = { buf_span(&p.client.out), &p.server.out };
    assert_int_equal(tls_read(p.server.session, &io, room, sizeof room, &len, NULL), TLS_OK);
    assert_int_equal(len, 10000);
    assert_int_equal(io.in.len, 0);
    tls_pair_done(&p);
}

static void a_close_is_told_after_the_data_before_it(void **state)
{
    struct tls_variant v = usual();
    struct tls_pair p;
    struct buf heard;
    (void)state;
    tls_pair_init(&p, &v);
    tls_join(&p);
    buf_init(&heard, BUF_MAX);
    tls_say(&p.client, SPAN("last words"));
    struct tls_io io = { SPAN_NONE, &p.client.out };
    tls_close(p.client.session, &io);
    assert_int_equal(tls_hear(&p.server, &p.client, &heard), TLS_CLOSED);
    assert_true(span_eq_str(buf_span(&heard), "last words"));
    buf_done(&heard);
    tls_pair_done(&p);
}

static void bytes_that_are_no_tls_fail_with_an_alert(void **state)
{
    struct tls_variant v = usual();
    struct tls_pair p;
    (void)state;
    tls_pair_init(&p, &v);
    put_str(&p.client.out, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    tls_step(&p.server, &p.client);
    assert_int_equal(p.server.result, TLS_FAILED);
    assert_int_equal(tls_failure(p.server.session), ST_PROTOCOL);
    assert_true(p.server.out.len >= 7); /* a record with an alert in it */
    assert_int_equal(p.server.out.p[0], 21);
    tls_step(&p.server, &p.client);
    assert_int_equal(p.server.result, TLS_FAILED); /* and stays failed */
    tls_pair_done(&p);
}

static void a_damaged_record_ends_the_session(void **state)
{
    struct tls_variant v = usual();
    struct tls_pair p;
    struct buf heard;
    (void)state;
    tls_pair_init(&p, &v);
    tls_join(&p);
    buf_reset(&p.client.out);
    buf_init(&heard, BUF_MAX);
    tls_say(&p.client, SPAN("good"));
    size_t at = p.client.out.len;
    tls_say(&p.client, SPAN("bad!"));
    p.client.out.p[at + 8] ^= 1;
    assert_int_equal(tls_hear(&p.server, &p.client, &heard), TLS_FAILED);
    assert_true(span_eq_str(buf_span(&heard), "good"));
    assert_int_equal(tls_write(p.server.session, &(struct tls_io){ SPAN_NONE, &p.server.out }, SPAN("x"), NULL),
                     ST_PROTOCOL);
    buf_done(&heard);
    tls_pair_done(&p);
}

/* -- who the peer is --- */

static void expect_client_refuses(struct tls_variant *v, const char *clause)
{
    struct tls_pair p;
    tls_pair_init(&p, v);
    tls_join(&p);
    assert_int_equal(p.client.result, TLS_FAILED);
    assert_int_equal(tls_failure(p.client.session), ST_DENIED);
    assert_string_equal(p.client.why.clause, clause);
    tls_step(&p.server, &p.client); /* hears of it as an alert */
    assert_int_equal(p.server.result, TLS_FAILED);
    assert_string_equal(p.server.why.clause, "TLS alert received");
    tls_pair_done(&p);
}

static void a_server_with_another_name_is_refused(void **state)
{
    struct tls_variant v = usual();
    (void)state;
    v.expect.host = "broker.example";
    expect_client_refuses(&v, "RFC 9325 5.1");
    v.expect.host = "127.0.0.2";
    expect_client_refuses(&v, "RFC 9325 5.1");
}

static void an_address_in_the_certificate_is_accepted(void **state)
{
    static const char *const hosts[] = { "127.0.0.1", "::1" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        struct tls_variant v = usual();
        struct tls_pair p;
        v.expect.host = hosts[i];
        tls_pair_init(&p, &v);
        tls_join(&p);
        assert_true(tls_up(&p));
        tls_pair_done(&p);
    }
}

static void a_server_of_an_unknown_ca_is_refused(void **state)
{
    struct tls_variant v = usual();
    (void)state;
    v.client.ca_pem = buf_span(&test_certs.stranger_ca.cert_pem);
    expect_client_refuses(&v, "RFC 9325 5.1");
}

static void a_pin_alone_decides(void **state) /* AF-44, RFC 8705 3.1 */
{
    struct tls_variant v = usual();
    struct tls_pair p;
    uint8_t pin[TLS_PIN_LEN];
    (void)state;
    assert_int_equal(x509_thumbprint(buf_span(&test_certs.server.cert_pem), pin, NULL), ST_OK);
    v.client.ca_pem = buf_span(&test_certs.stranger_ca.cert_pem);
    v.expect.host = "broker.example";
    v.expect.pin = pin;
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_true(tls_up(&p));
    assert_true(tls_peer_verified(p.client.session));
    tls_pair_done(&p);

    v = usual(); /* right CA and name, wrong pin */
    pin[31] ^= 1;
    v.expect.pin = pin;
    expect_client_refuses(&v, "x5t#S256");
}

static void connect_with_client_cert(struct tls_pair *p, enum tls_client_cert wanted,
                                     const struct x509_pair *cert)
{
    struct tls_variant v = usual();
    v.server.client_cert = wanted;
    v.server.ca_pem = buf_span(&test_certs.ca.cert_pem);
    if (cert != NULL) {
        v.client.cert_pem = buf_span(&cert->cert_pem);
        v.client.key_pem = buf_span(&cert->key_pem);
    }
    tls_pair_init(p, &v);
    tls_join(p);
}

static void a_client_certificate_is_seen_and_verified(void **state)
{
    struct tls_pair p;
    uint8_t sent[32], seen[32];
    (void)state;
    connect_with_client_cert(&p, TLS_CLIENT_CERT_REQUIRED, &test_certs.client);
    assert_true(tls_up(&p));
    assert_true(tls_peer_verified(p.server.session));
    assert_int_equal(x509_thumbprint(buf_span(&test_certs.client.cert_pem), sent, NULL), ST_OK);
    assert_int_equal(x509_thumbprint(tls_peer_cert(p.server.session), seen, NULL), ST_OK);
    assert_memory_equal(sent, seen, 32);
    tls_pair_done(&p);

    connect_with_client_cert(&p, TLS_CLIENT_CERT_OPTIONAL, NULL);
    assert_true(tls_up(&p));
    assert_false(tls_peer_verified(p.server.session));
    assert_int_equal(tls_peer_cert(p.server.session).len, 0);
    tls_pair_done(&p);

    connect_with_client_cert(&p, TLS_CLIENT_CERT_REQUIRED, NULL);
    assert_int_equal(p.server.result, TLS_FAILED);
    tls_pair_done(&p);
}

static void a_server_certificate_is_no_client_certificate(void **state)
{
    struct tls_pair p;
    (void)state;
    connect_with_client_cert(&p, TLS_CLIENT_CERT_REQUIRED, &test_certs.server);
    assert_int_equal(p.server.result, TLS_FAILED);
    assert_int_equal(tls_failure(p.server.session), ST_DENIED);
    tls_pair_done(&p);
}

static void alpn_is_agreed_on(void **state)
{
    static const char *const mqtt[] = { "mqtt", NULL };
    static const char *const both[] = { "http/1.1", "mqtt", NULL };
    struct tls_variant v = usual();
    struct tls_pair p;
    (void)state;
    v.server.alpn = mqtt;
    v.client.alpn = both;
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_true(tls_up(&p));
    assert_true(span_eq_str(tls_alpn(p.server.session), "mqtt"));
    assert_true(span_eq_str(tls_alpn(p.client.session), "mqtt"));
    tls_pair_done(&p);
}

/* -- resumption --- */

/* What was given out with the former key opens nothing any more. */
static void a_new_ticket_key_ends_the_tickets_given_before(void **state)
{
    static const char *const versions[] = { ONLY_1_3, ONLY_1_2 };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct tls_variant v = usual();
        struct tls_pair p;
        struct buf ticket, second;
        v.client.priorities = versions[i];
        tls_pair_init(&p, &v);
        tls_join(&p);
        assert_true(tls_take_ticket(&p, &ticket));
        v.expect.resume = buf_span(&ticket);
        assert_int_equal(tls_config_new_ticket_key(p.server.config, NULL), ST_OK);
        tls_again(&p, &v.expect);
        tls_join(&p);
        assert_true(tls_up(&p));
        assert_false(tls_resumed(p.server.session));
        assert_true(tls_take_ticket(&p, &second)); /* and the new one is good */
        v.expect.resume = buf_span(&second);
        tls_again(&p, &v.expect);
        tls_join(&p);
        assert_true(tls_up(&p) && tls_resumed(p.server.session));
        buf_wipe(&ticket);
        buf_wipe(&second);
        tls_pair_done(&p);
    }
}

static void who_gives_up_with_an_alert_is_told_from_who_talks_nonsense(void **state)
{
    struct tls_variant v = usual();
    struct tls_pair p;
    (void)state;
    v.expect.host = "other.example"; /* the client does not like the certificate */
    tls_pair_init(&p, &v);
    tls_join(&p);
    tls_join(&p);
    assert_int_equal(p.server.result, TLS_FAILED);
    assert_true(tls_alerted(p.server.session));
    tls_pair_done(&p);

    v = usual();
    tls_pair_init(&p, &v);
    struct tls_io io = { SPAN("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), &p.server.out };
    assert_int_equal(tls_handshake(p.server.session, &io, &p.server.why), TLS_FAILED);
    assert_false(tls_alerted(p.server.session));
    tls_pair_done(&p);
}

static void check_resumption(const char *priorities, bool tickets)
{
    struct tls_variant v = usual();
    struct tls_pair p;
    struct buf ticket;
    uint8_t first[32], second[32];
    v.client.priorities = priorities;
    v.server.no_tickets = !tickets;
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_true(tls_up(&p));
    assert_int_equal(tls_exporter(p.server.session, ACE_LABEL, first, 32, NULL), ST_OK);
    assert_int_equal(tls_take_ticket(&p, &ticket), tickets);
    v.expect.resume = buf_span(&ticket);
    tls_again(&p, &v.expect);
    assert_true(tls_up(&p));
    assert_int_equal(tls_resumed(p.server.session), tickets);
    assert_int_equal(tls_resumed(p.client.session), tickets);
    assert_true(tls_peer_verified(p.client.session));
    assert_int_equal(tls_exporter(p.server.session, ACE_LABEL, second, 32, NULL), ST_OK);
    assert_memory_not_equal(first, second, 32);
    buf_wipe(&ticket);
    tls_pair_done(&p);
}

static void a_resumed_session_says_so(void **state) /* MT-61 */
{
    (void)state;
    check_resumption(ONLY_1_3, true);
    check_resumption(ONLY_1_2, true);
    check_resumption(ONLY_1_3, false);
}

static void a_resumed_session_is_verified_again(void **state)
{
    struct tls_variant v = usual();
    struct tls_pair p;
    struct buf ticket;
    (void)state;
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_true(tls_take_ticket(&p, &ticket));
    v.expect.resume = buf_span(&ticket);
    v.expect.host = "broker.example"; /* the same ticket used for another name */
    tls_again(&p, &v.expect);
    assert_int_equal(p.client.result, TLS_FAILED);
    assert_int_equal(tls_failure(p.client.session), ST_DENIED);
    buf_wipe(&ticket);
    tls_pair_done(&p);
}

/* -- settings that cannot work --- */

static void bad_settings_are_refused_with_a_reason(void **state)
{
    struct tls_config *config = NULL;
    struct tls_settings none = { 0 };
    struct tls_settings missing = { .cert_file = "/nonexistent/cert.pem", .key_file = "/nonexistent/key.pem" };
    struct tls_settings mixed = { .cert_pem = buf_span(&test_certs.server.cert_pem),
                                  .key_pem = buf_span(&test_certs.client.key_pem) };
    struct tls_settings no_ca = { .cert_pem = buf_span(&test_certs.server.cert_pem),
                                  .key_pem = buf_span(&test_certs.server.key_pem),
                                  .client_cert = TLS_CLIENT_CERT_REQUIRED };
    struct tls_settings bad_ca = { .ca_pem = SPAN("no pem") };
    struct why why;
    (void)state;
    assert_int_equal(tls_config_new_server(&none, &config, &why), ST_NOT_FOUND);
    assert_int_equal(tls_config_new_server(&missing, &config, &why), ST_MALFORMED);
    assert_int_equal(tls_config_new_server(&mixed, &config, &why), ST_MALFORMED);
    assert_string_equal(why.clause, "tls.cert");
    assert_int_equal(tls_config_new_server(&no_ca, &config, &why), ST_NOT_FOUND);
    assert_int_equal(tls_config_new_client(&bad_ca, &config, &why), ST_MALFORMED);
    assert_null(config);
}

static void a_client_must_expect_somebody(void **state)
{
    struct tls_variant v = usual();
    struct tls_config *config;
    struct tls_session *session = NULL;
    struct tls_expect nobody = { 0 };
    (void)state;
    assert_int_equal(tls_config_new_client(&v.client, &config, NULL), ST_OK);
    assert_int_equal(tls_session_new_client(config, &nobody, &session, NULL), ST_INTERNAL);
    assert_null(session);
    tls_config_unref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_goes_both_ways_over_tls_1_3_and_1_2),
        cmocka_unit_test(older_versions_are_refused),
        cmocka_unit_test(the_exporter_uses_the_empty_context_on_both_sides),
        cmocka_unit_test(tls_1_2_without_extended_master_secret_is_refused),
        cmocka_unit_test(a_large_transfer_arrives_whole_even_in_odd_pieces),
        cmocka_unit_test(many_records_are_read_by_one_call),
        cmocka_unit_test(a_close_is_told_after_the_data_before_it),
        cmocka_unit_test(bytes_that_are_no_tls_fail_with_an_alert),
        cmocka_unit_test(a_damaged_record_ends_the_session),
        cmocka_unit_test(a_server_with_another_name_is_refused),
        cmocka_unit_test(an_address_in_the_certificate_is_accepted),
        cmocka_unit_test(a_server_of_an_unknown_ca_is_refused),
        cmocka_unit_test(a_pin_alone_decides),
        cmocka_unit_test(a_client_certificate_is_seen_and_verified),
        cmocka_unit_test(a_server_certificate_is_no_client_certificate),
        cmocka_unit_test(alpn_is_agreed_on),
        cmocka_unit_test(a_resumed_session_says_so),
        cmocka_unit_test(a_resumed_session_is_verified_again),
        cmocka_unit_test(a_new_ticket_key_ends_the_tickets_given_before),
        cmocka_unit_test(who_gives_up_with_an_alert_is_told_from_who_talks_nonsense),
        cmocka_unit_test(bad_settings_are_refused_with_a_reason),
        cmocka_unit_test(a_client_must_expect_somebody),
    };
    return cmocka_run_group_tests(tests, test_certs_make, test_certs_drop);
}
