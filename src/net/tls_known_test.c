/* Raw public keys (RFC 7250) and external pre-shared keys beside certificates: one server configuration for all. */
#include "crypto/key.h"
#include "net/tls_hello.h"
#include "net/tls_world.h"

#include <gnutls/x509.h>
#include <stdlib.h>

/* -- the server everybody talks to, and the keys it knows ------------------------------------------------ */

#define PSK SPAN("0123456789abcdef0123456789abcdef")

struct known {
    struct span identity, key;
    unsigned asked;
};

static bool find(void *ctx, struct span identity, struct buf *key)
{
    struct known *known = ctx;
    known->asked++;
    if (!span_eq(identity, known->identity))
        return false;
    put_bytes(key, known->key);
    return true;
}

static struct tls_variant all_at_once(const char *client_priorities)
{
    struct tls_variant v = tls_usual();
    v.client.priorities = client_priorities;
    v.server.raw_keys = true;
    v.server.psk_find = find;
    return v;
}

static const char *const versions[] = { ONLY_1_3, ONLY_1_2 };
static const enum key_kind kinds[] = { KEY_ED25519, KEY_P256 };

struct pem {
    struct buf private, spki;
};

static void pem_make(struct pem *pem, enum key_kind kind)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    assert_int_equal(key_generate(kind, &key), ST_OK);
    buf_init(&pem->private, KEY_PEM_MAX);
    buf_init(&pem->spki, 1024);
    assert_int_equal(key_write_pem(key, true, &pem->private), ST_OK);
    assert_int_equal(key_write_spki(key, &pem->spki), ST_OK);
}

static void pem_done(struct pem *pem)
{
    buf_wipe(&pem->private);
    buf_done(&pem->spki);
}

/* What the server's certificate names, as rs_cnf would. */
static void server_spki(struct buf *out)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    buf_init(out, 1024);
    assert_int_equal(x509_public_key(buf_span(&test_certs.server.cert_pem), &key, NULL), ST_OK);
    assert_int_equal(key_write_spki(key, out), ST_OK);
}

static void assert_up(const struct tls_pair *p)
{
    if (!tls_up(p))
        fail_msg("client: %s %s; server: %s %s", p->client.why.clause, p->client.why.text, p->server.why.clause,
                 p->server.why.text);
}

/* Data pass both ways, and both sides export the same value. */
static void assert_works(struct tls_pair *p)
{
    struct buf heard;
    uint8_t a[32], b[32];
    assert_up(p);
    buf_init(&heard, BUF_MAX);
    tls_say(&p->client, SPAN("ping"));
    assert_int_equal(tls_hear(&p->server, &p->client, &heard), TLS_WANT_INPUT);
    tls_say(&p->server, SPAN("pong"));
    assert_int_equal(tls_hear(&p->client, &p->server, &heard), TLS_WANT_INPUT);
    assert_true(span_eq_str(buf_span(&heard), "pingpong"));
    assert_int_equal(tls_exporter(p->client.session, ACE_LABEL, a, 32, NULL), ST_OK);
    assert_int_equal(tls_exporter(p->server.session, ACE_LABEL, b, 32, NULL), ST_OK);
    assert_memory_equal(a, b, 32);
    buf_done(&heard);
}

/* -- raw public keys ------------------------------------------------------------------------------------- */

static void raw_client(const char *version, enum key_kind kind, bool raw_server)
{
    struct tls_variant v = all_at_once(version);
    struct tls_pair p;
    struct pem own;
    struct buf spki;
    pem_make(&own, kind);
    server_spki(&spki);
    v.client.raw_keys = true;
    v.client.key_pem = buf_span(&own.private);
    if (raw_server)
        v.expect = (struct tls_expect){ .spki = buf_span(&spki) };
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_works(&p);
    assert_int_equal(tls_peer_kind(p.server.session), TLS_PEER_RAW_KEY);
    assert_true(span_eq(tls_peer_raw_key(p.server.session), buf_span(&own.spki)));
    assert_false(tls_peer_verified(p.server.session)); /* by nobody but itself */
    assert_int_equal(tls_peer_cert(p.server.session).len, 0);
    assert_int_equal(tls_peer_psk_identity(p.server.session).len, 0);
    assert_int_equal(tls_peer_kind(p.client.session), raw_server ? TLS_PEER_RAW_KEY : TLS_PEER_X509);
    assert_true(tls_peer_verified(p.client.session));
    if (raw_server)
        assert_true(span_eq(tls_peer_raw_key(p.client.session), buf_span(&spki)));
    tls_pair_done(&p);
    pem_done(&own);
    buf_done(&spki);
}

static void a_client_shows_a_raw_key_of_either_curve_in_either_version(void **state) /* MT-23, RFC 7250 */
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++)
        for (size_t k = 0; k < COUNT_OF(kinds); k++) {
            raw_client(versions[i], kinds[k], false);
            raw_client(versions[i], kinds[k], true);
        }
}

/* A certificate over an Ed25519 key, signed by itself. */
static void self_signed(struct span key_pem, gnutls_datum_t *ret_pem)
{
    gnutls_datum_t pem = { (unsigned char *)key_pem.p, (unsigned)key_pem.len };
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_import(key, &pem, GNUTLS_X509_FMT_PEM), 0);
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, "\x01", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(crt, 0), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, 4000000000), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(crt, "CN=localhost", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_key(crt, key), 0);
    assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA512, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, ret_pem), 0);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
}

static void an_ed25519_server_shows_its_key_raw(void **state) /* MT-26 */
{
    struct pem own;
    gnutls_datum_t cert;
    (void)state;
    pem_make(&own, KEY_ED25519);
    self_signed(buf_span(&own.private), &cert);
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct tls_variant v = all_at_once(versions[i]);
        struct tls_pair p;
        v.server.cert_pem = span_of(cert.data, cert.size);
        v.server.key_pem = buf_span(&own.private);
        v.expect = (struct tls_expect){ .spki = buf_span(&own.spki) };
        tls_pair_init(&p, &v);
        tls_join(&p);
        assert_works(&p);
        assert_true(span_eq(tls_peer_raw_key(p.client.session), buf_span(&own.spki)));
        assert_int_equal(tls_peer_kind(p.server.session), TLS_PEER_NONE);
        tls_pair_done(&p);
    }
    gnutls_free(cert.data);
    pem_done(&own);
}

static void a_server_without_raw_keys_shows_the_expected_key_in_a_certificate(void **state) /* MT-26 */
{
    struct tls_variant v = tls_usual();
    struct tls_pair p;
    struct buf spki;
    (void)state;
    server_spki(&spki);
    v.client.ca_pem = buf_span(&test_certs.stranger_ca.cert_pem); /* the key decides, not the chain */
    v.expect = (struct tls_expect){ .spki = buf_span(&spki), .host = "elsewhere.example" };
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_works(&p);
    assert_int_equal(tls_peer_kind(p.client.session), TLS_PEER_X509);
    tls_pair_done(&p);
    buf_done(&spki);
}

static void a_server_with_another_key_is_refused(void **state) /* MT-26: rs_cnf */
{
    (void)state;
    for (int raw = 0; raw <= 1; raw++) {
        struct tls_variant v = all_at_once(NULL);
        struct tls_pair p;
        struct pem other;
        pem_make(&other, KEY_P256);
        v.server.raw_keys = raw;
        v.expect.spki = buf_span(&other.spki);
        tls_pair_init(&p, &v);
        tls_join(&p);
        assert_int_equal(p.client.result, TLS_FAILED);
        assert_int_equal(tls_failure(p.client.session), ST_DENIED);
        assert_string_equal(p.client.why.text, "the peer's key is not the one named");
        tls_pair_done(&p);
        pem_done(&other);
    }
}

static void a_thumbprint_beside_the_key_binds_the_certificate_too(void **state) /* MT-26 */
{
    struct buf spki;
    (void)state;
    server_spki(&spki);
    for (int raw = 0; raw <= 1; raw++)
        for (int right = 0; right <= 1; right++) {
            struct tls_variant v = all_at_once(NULL);
            struct tls_pair p;
            uint8_t pin[TLS_PIN_LEN];
            assert_int_equal(x509_thumbprint(buf_span(&test_certs.server.cert_pem), pin, NULL), ST_OK);
            pin[0] ^= right ? 0 : 1;
            v.server.raw_keys = raw;
            v.expect = (struct tls_expect){ .spki = buf_span(&spki), .pin = pin };
            tls_pair_init(&p, &v);
            tls_join(&p);
            assert_int_equal(tls_up(&p), raw || right); /* a raw key has no thumbprint to be wrong */
            tls_pair_done(&p);
        }
    buf_done(&spki);
}

static void who_has_no_raw_key_is_not_asked(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct tls_variant v = all_at_once(versions[i]);
        struct tls_pair p;
        v.client.cert_pem = buf_span(&test_certs.client.cert_pem);
        v.client.key_pem = buf_span(&test_certs.client.key_pem);
        tls_pair_init(&p, &v);
        tls_join(&p);
        assert_works(&p);
        assert_int_equal(tls_peer_kind(p.server.session), TLS_PEER_NONE);
        tls_pair_done(&p);
    }
}

static void certificates_are_verified_beside_raw_keys(void **state)
{
    (void)state;
    for (int with_ca = 0; with_ca <= 1; with_ca++) {
        struct tls_variant v = all_at_once(NULL);
        struct tls_pair p;
        v.server.client_cert = TLS_CLIENT_CERT_OPTIONAL;
        if (with_ca)
            v.server.ca_pem = buf_span(&test_certs.ca.cert_pem);
        v.client.cert_pem = buf_span(&test_certs.client.cert_pem);
        v.client.key_pem = buf_span(&test_certs.client.key_pem);
        tls_pair_init(&p, &v);
        tls_join(&p);
        assert_works(&p);
        assert_int_equal(tls_peer_kind(p.server.session), TLS_PEER_X509);
        assert_int_equal(tls_peer_verified(p.server.session), with_ca);
        tls_pair_done(&p);
    }
}

static void nobody_comes_in_beside_required_certificates(void **state)
{
    struct tls_config *config = NULL;
    struct why why;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct tls_variant v = tls_usual();
        v.server.client_cert = TLS_CLIENT_CERT_REQUIRED;
        v.server.ca_pem = buf_span(&test_certs.ca.cert_pem);
        v.server.raw_keys = i == 0;
        v.server.psk_find = i == 1 ? find : NULL;
        assert_int_equal(tls_config_new_server(&v.server, &config, &why), ST_MALFORMED);
        assert_string_equal(why.clause, "tls.client_cert");
    }
}

static void a_server_without_raw_keys_gets_none(void **state)
{
    struct tls_variant v = tls_usual();
    struct tls_pair p;
    struct pem own;
    (void)state;
    pem_make(&own, KEY_ED25519);
    v.client.raw_keys = true;
    v.client.key_pem = buf_span(&own.private);
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_int_not_equal(tls_peer_kind(p.server.session), TLS_PEER_RAW_KEY);
    tls_pair_done(&p);
    pem_done(&own);
}

/* -- pre-shared keys ------------------------------------------------------------------------------------- */

static struct tls_variant with_psk(const char *version, struct known *known, struct span identity,
                                   struct span key)
{
    struct tls_variant v = all_at_once(version);
    v.psk_ctx = known;
    v.expect.psk_identity = identity;
    v.expect.psk_key = key;
    return v;
}

static void psk_of(size_t len, const char *version)
{
    uint8_t *identity = malloc(len);
    struct known known = { { identity, len }, PSK, 0 };
    struct tls_pair p;
    assert_non_null(identity);
    for (size_t i = 0; i < len; i++)
        identity[i] = (uint8_t)(i * 31); /* NULs among them, the first byte is one */
    struct tls_variant v = with_psk(version, &known, known.identity, PSK);
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_works(&p);
    assert_int_equal(known.asked, 1);
    assert_int_equal(tls_peer_kind(p.server.session), TLS_PEER_PSK);
    assert_int_equal(tls_peer_kind(p.client.session), TLS_PEER_PSK);
    assert_true(span_eq(tls_peer_psk_identity(p.server.session), known.identity));
    assert_true(span_eq(tls_peer_psk_key(p.server.session), known.key));
    assert_int_equal(tls_peer_cert(p.server.session).len, 0);
    assert_true(tls_peer_verified(p.client.session));
    tls_pair_done(&p);
    free(identity);
}

static void identities_of_any_bytes_and_8_kib_arrive_whole(void **state) /* MT-27, MT-28 */
{
    static const size_t lens[] = { 1, 17, 100, 1024, 4096, 8192, TLS_PSK_IDENTITY_MAX };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++)
        for (size_t k = 0; k < COUNT_OF(lens); k++)
            psk_of(lens[k], versions[i]);
}

static void an_identity_beyond_the_limit_is_unknown(void **state)
{
    static uint8_t identity[TLS_PSK_IDENTITY_MAX + 1];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct known known = { span_of(identity, sizeof identity), PSK, 0 };
        struct tls_variant v = with_psk(versions[i], &known, known.identity, PSK);
        struct tls_pair p;
        tls_pair_init(&p, &v);
        tls_join(&p);
        assert_false(tls_up(&p));
        assert_int_equal(known.asked, 0);
        tls_pair_done(&p);
    }
}

static void a_wrong_key_or_an_unknown_identity_is_refused(void **state) /* MT-38 */
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++)
        for (int wrong_key = 0; wrong_key <= 1; wrong_key++) {
            struct known known = { SPAN("who I am"), PSK, 0 };
            struct tls_variant v = wrong_key
                                       ? with_psk(versions[i], &known, known.identity, SPAN("fedcba9876543210"))
                                       : with_psk(versions[i], &known, SPAN("somebody else"), PSK);
            struct tls_pair p;
            tls_pair_init(&p, &v);
            tls_join(&p);
            tls_step(&p.client, &p.server);
            assert_int_equal(p.server.result, TLS_FAILED);
            assert_int_equal(p.client.result, TLS_FAILED);
            assert_int_equal(tls_peer_kind(p.server.session), TLS_PEER_NONE);
            tls_pair_done(&p);
        }
}

static void in_1_2_the_alert_does_not_tell_unknown_identities_from_wrong_keys(void **state) /* RFC 4279 2 */
{
    const char *said[2];
    (void)state;
    for (int wrong_key = 0; wrong_key <= 1; wrong_key++) {
        struct known known = { SPAN("who I am"), PSK, 0 };
        struct tls_variant v =
            with_psk(ONLY_1_2, &known, wrong_key ? known.identity : SPAN("somebody"), SPAN("fedcba9876543210"));
        struct tls_pair p;
        tls_pair_init(&p, &v);
        tls_join(&p);
        tls_step(&p.client, &p.server);
        assert_int_equal(p.client.result, TLS_FAILED);
        said[wrong_key] = p.client.why.text; /* static: the alert's name */
        tls_pair_done(&p);
    }
    assert_string_equal(said[0], said[1]);
}

static void a_server_that_ignores_the_psk_is_refused(void **state) /* MT-26 */
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct tls_variant v = with_psk(versions[i], NULL, SPAN("me"), PSK);
        struct tls_pair p;
        v.server.psk_find = NULL;
        tls_pair_init(&p, &v);
        tls_join(&p);
        assert_int_not_equal(p.client.result, TLS_OK);
        assert_int_not_equal(p.server.result, TLS_OK);
        tls_pair_done(&p);
    }
}

static void with_psks_at_hand_certificates_and_tickets_go_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct known known = { SPAN("me"), PSK, 0 };
        struct tls_variant v = all_at_once(versions[i]);
        struct tls_pair p;
        struct buf ticket;
        v.psk_ctx = &known;
        tls_pair_init(&p, &v);
        tls_join(&p);
        assert_works(&p);
        assert_true(tls_take_ticket(&p, &ticket));
        v.expect.resume = buf_span(&ticket);
        tls_again(&p, &v.expect);
        assert_works(&p);
        assert_true(tls_resumed(p.server.session));
        assert_int_equal(tls_peer_kind(p.server.session), TLS_PEER_NONE);
        assert_int_equal(known.asked, 0); /* a ticket is no identity */
        assert_int_equal(tls_peer_psk_key(p.server.session).len, 0);
        tls_pair_done(&p);
        buf_wipe(&ticket);
    }
}

/* -- resumption (MT-61) ---------------------------------------------------------------------------------- */

static void a_session_with_a_psk_gets_no_ticket(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct known known = { SPAN("me"), PSK, 0 };
        struct tls_variant v = with_psk(versions[i], &known, known.identity, PSK);
        struct tls_pair p;
        struct buf ticket;
        tls_pair_init(&p, &v);
        tls_join(&p);
        assert_works(&p);
        assert_false(tls_take_ticket(&p, &ticket));
        tls_pair_done(&p);
        buf_wipe(&ticket);
    }
}

static void a_resumed_session_keeps_its_raw_key_and_says_that_it_was_resumed(void **state) /* MT-61 */
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++)
        for (size_t k = 0; k < COUNT_OF(kinds); k++) {
            struct tls_variant v = all_at_once(versions[i]);
            struct tls_pair p;
            struct pem own;
            struct buf ticket;
            pem_make(&own, kinds[k]);
            v.client.raw_keys = true;
            v.client.key_pem = buf_span(&own.private);
            tls_pair_init(&p, &v);
            tls_join(&p);
            assert_works(&p);
            assert_true(tls_take_ticket(&p, &ticket));
            v.expect.resume = buf_span(&ticket);
            tls_again(&p, &v.expect);
            assert_works(&p);
            assert_true(tls_resumed(p.server.session));
            assert_int_equal(tls_peer_kind(p.server.session), TLS_PEER_RAW_KEY);
            assert_true(span_eq(tls_peer_raw_key(p.server.session), buf_span(&own.spki)));
            tls_pair_done(&p);
            pem_done(&own);
            buf_wipe(&ticket);
        }
}

/* -- reading a ClientHello --------------------------------------------------------------------------------- */

static void put_extension(struct buf *b, uint16_t type, struct span body)
{
    put_u16(b, type);
    put_prefixed16(b, body);
}

static void hello_with(struct buf *b, struct span suites, const struct buf *extensions)
{
    uint8_t zeros[34] = { 3, 3 };
    buf_init(b, 65536);
    put_bytes(b, span_of(zeros, sizeof zeros));
    put_u8(b, 0);
    put_prefixed16(b, suites);
    put_bytes(b, SPAN("\x01\x00"));
    put_prefixed16(b, buf_span(extensions));
}

static void a_client_hello_is_read_for_what_it_offers(void **state) /* RFC 8446 4.2.11, RFC 7250 3 */
{
    struct buf extensions, hello;
    struct tls_hello out;
    (void)state;
    buf_init(&extensions, 4096);
    put_extension(&extensions, 0, SPAN("\x00\x00"));
    put_extension(&extensions, 19, SPAN("\x02\x00\x02"));
    put_extension(&extensions, 41,
                  SPAN("\x00\x13\x00\x03old\x00\x00\x00\x01\x00\x04\x00new\x00\x00\x00\x00"
                       "\x00\x02\x01\xff"));
    hello_with(&hello, SPAN("\x13\x01\xcc\xac"), &extensions);
    assert_int_equal(tls_hello_read(buf_span(&hello), &out), ST_OK);
    assert_true(out.offers_psk_suite && out.offers_raw_key && out.offers_pre_shared);
    assert_true(span_eq(out.psk_identity, SPAN("\0new"))); /* the first of age 0 */
    for (size_t len = 0; len < hello.len; len++) {         /* cut anywhere it is nothing */
        assert_int_equal(tls_hello_read(span_cut(buf_span(&hello), 0, len), &out), ST_MALFORMED);
        assert_false(out.offers_psk_suite || out.offers_raw_key || out.offers_pre_shared);
    }
    buf_done(&hello);
    buf_reset(&extensions);
    hello_with(&hello, SPAN("\x13\x01"), &extensions);
    assert_int_equal(tls_hello_read(buf_span(&hello), &out), ST_OK);
    assert_false(out.offers_psk_suite || out.offers_raw_key || out.offers_pre_shared);
    buf_done(&hello);
    buf_done(&extensions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_shows_a_raw_key_of_either_curve_in_either_version),
        cmocka_unit_test(an_ed25519_server_shows_its_key_raw),
        cmocka_unit_test(a_server_without_raw_keys_shows_the_expected_key_in_a_certificate),
        cmocka_unit_test(a_server_with_another_key_is_refused),
        cmocka_unit_test(a_thumbprint_beside_the_key_binds_the_certificate_too),
        cmocka_unit_test(who_has_no_raw_key_is_not_asked),
        cmocka_unit_test(certificates_are_verified_beside_raw_keys),
        cmocka_unit_test(nobody_comes_in_beside_required_certificates),
        cmocka_unit_test(a_server_without_raw_keys_gets_none),
        cmocka_unit_test(identities_of_any_bytes_and_8_kib_arrive_whole),
        cmocka_unit_test(an_identity_beyond_the_limit_is_unknown),
        cmocka_unit_test(a_wrong_key_or_an_unknown_identity_is_refused),
        cmocka_unit_test(in_1_2_the_alert_does_not_tell_unknown_identities_from_wrong_keys),
        cmocka_unit_test(a_server_that_ignores_the_psk_is_refused),
        cmocka_unit_test(with_psks_at_hand_certificates_and_tickets_go_on),
        cmocka_unit_test(a_session_with_a_psk_gets_no_ticket),
        cmocka_unit_test(a_resumed_session_keeps_its_raw_key_and_says_that_it_was_resumed),
        cmocka_unit_test(a_client_hello_is_read_for_what_it_offers),
    };
    return cmocka_run_group_tests(tests, test_certs_make, test_certs_drop);
}
