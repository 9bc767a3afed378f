/* What an established session holds, and that what was let go is not missed. */
#include "net/tls_priv.h"
#include "net/tls_world.h"

#include <malloc.h>

#define SESSIONS 16u
/* GnuTLS 3.7.9: 7.3 KB of struct, 0.75 of one epoch, 1.3 of two AES-GCM contexts, 0.15 of odds and ends. */
#define SERVER_BYTES 9800u

static struct tls_variant with_alpn(void)
{
    static const char *const mqtt[] = { "mqtt", NULL };
    struct tls_variant v = tls_usual();

    v.server.alpn = v.client.alpn = mqtt;
    v.server.priorities = v.client.priorities =
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:-GROUP-ALL:+GROUP-X25519";
    return v;
}

static void an_established_session_of_a_server_takes_less_than_ten_thousand_bytes(void **state)
{
    struct tls_variant v = with_alpn();
    struct tls_pair p[SESSIONS];
    size_t before, held;

    (void)state;
    tls_pair_init(&p[0], &v); /* what the library makes once */
    tls_join(&p[0]);
    tls_pair_done(&p[0]);
    for (size_t i = 0; i < SESSIONS; i++) {
        tls_pair_init(&p[i], &v);
        tls_join(&p[i]);
        assert_true(tls_up(&p[i]));
    }
    before = mallinfo2().uordblks;
    for (size_t i = 0; i < SESSIONS; i++) {
        tls_session_free(p[i].server.session);
        p[i].server.session = NULL;
    }
    held = (before - mallinfo2().uordblks) / SESSIONS;
    if (before != 0) /* else another allocator's: a sanitizer's */
        assert_in_range(held, 8000, SERVER_BYTES);
    for (size_t i = 0; i < SESSIONS; i++)
        tls_pair_done(&p[i]);
}

static void talk(struct tls_pair *p)
{
    struct buf heard;

    buf_init(&heard, BUF_MAX);
    tls_say(&p->client, SPAN("there"));
    tls_say(&p->server, SPAN("back"));
    assert_int_equal(tls_hear(&p->server, &p->client, &heard), TLS_WANT_INPUT);
    assert_true(span_eq_str(buf_span(&heard), "there"));
    buf_reset(&heard);
    assert_int_equal(tls_hear(&p->client, &p->server, &heard), TLS_WANT_INPUT);
    assert_true(span_eq_str(buf_span(&heard), "back"));
    buf_done(&heard);
}

static void update_keys(struct tls_side *side)
{
    struct tls_io io = { SPAN_NONE, &side->out };

    side->session->io = &io;
    assert_int_equal(gnutls_session_key_update(side->session->gnutls, GNUTLS_KU_PEER), 0);
    side->session->io = NULL;
}

static void keys_are_updated_and_asked_about_after_the_hello_is_forgotten(void **state)
{
    struct tls_variant v = with_alpn();
    uint8_t here[32], there[32];
    struct tls_pair p;
    struct buf heard;

    (void)state;
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_true(tls_up(&p));
    talk(&p);
    update_keys(&p.client); /* RFC 8446 4.6.3; it asks the server to do the same */
    talk(&p);
    assert_true(span_eq_str(tls_alpn(p.server.session), "mqtt"));
    assert_int_equal(tls_exporter(p.server.session, ACE_LABEL, here, sizeof here, NULL), ST_OK);
    assert_int_equal(tls_exporter(p.client.session, ACE_LABEL, there, sizeof there, NULL), ST_OK);
    assert_memory_equal(here, there, sizeof here);
    buf_init(&heard, BUF_MAX);
    tls_close(p.server.session, &(struct tls_io){ SPAN_NONE, &p.server.out });
    assert_int_equal(tls_hear(&p.client, &p.server, &heard), TLS_CLOSED);
    buf_done(&heard);
    tls_pair_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_established_session_of_a_server_takes_less_than_ten_thousand_bytes),
        cmocka_unit_test(keys_are_updated_and_asked_about_after_the_hello_is_forgotten),
    };
    return cmocka_run_group_tests(tests, test_certs_make, test_certs_drop);
}
