#include "net/test_certs.h"

#define DAYS 2

static void must(enum status st)
{
    ASSERT(st == ST_OK);
}

void test_certs_make(struct test_certs *certs)
{
    struct wall_time now = now_read().wall;
    const struct span names[] = { SPAN("localhost"), SPAN("127.0.0.1"), SPAN("::1") };
    *certs = (struct test_certs){ 0 };
    must(x509_make_ca(SPAN("Test CA"), DAYS, now, &certs->ca, NULL));
    must(x509_issue_server(buf_span(&certs->ca.cert_pem), buf_span(&certs->ca.key_pem), SPAN("localhost"),
                           names, COUNT_OF(names), DAYS, now, &certs->server, NULL));
    must(x509_issue_client(buf_span(&certs->ca.cert_pem), buf_span(&certs->ca.key_pem), SPAN("sensor-1"), DAYS,
                           now, &certs->client, NULL));
    must(x509_make_ca(SPAN("Other CA"), DAYS, now, &certs->stranger_ca, NULL));
    must(x509_issue_client(buf_span(&certs->stranger_ca.cert_pem), buf_span(&certs->stranger_ca.key_pem),
                           SPAN("sensor-1"), DAYS, now, &certs->stranger, NULL));
}

void test_certs_done(struct test_certs *certs)
{
    x509_pair_done(&certs->ca);
    x509_pair_done(&certs->server);
    x509_pair_done(&certs->client);
    x509_pair_done(&certs->stranger_ca);
    x509_pair_done(&certs->stranger);
}
