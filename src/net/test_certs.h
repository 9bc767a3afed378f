/* net/test_certs.h - a throw-away CA, server and client certificate for the tests of net. */
#ifndef SYMBOLON_NET_TEST_CERTS_H
#define SYMBOLON_NET_TEST_CERTS_H

#include "crypto/x509.h"

struct test_certs {
    struct x509_pair ca, server, client, stranger_ca, stranger;
};

/* The server's certificate names "localhost", 127.0.0.1 and ::1. */
void test_certs_make(struct test_certs *certs);
void test_certs_done(struct test_certs *certs);

#endif
