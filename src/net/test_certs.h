/* net/test_certs.h - a throw-away CA, server and client certificates for tests, in memory or as files. */
#ifndef SYMBOLON_NET_TEST_CERTS_H
#define SYMBOLON_NET_TEST_CERTS_H

#include "crypto/x509.h"

struct test_certs {
    struct x509_pair ca, server, client, stranger_ca, stranger;
};

/* The ones of this program, from test_certs_make() to test_certs_drop(): set-up and tear-down of a group of tests. The server's
 * certificate names "localhost", 127.0.0.1 and ::1. */
extern struct test_certs test_certs;
int test_certs_make(void **state);
int test_certs_drop(void **state);

/* Others like these, made and written as PEM files into a new folder under /tmp: their paths. */
struct test_cert_files {
    char folder[64];
    char ca[80], cert[80], key[80]; /* the server's */
    char client_cert[80], client_key[80];
    char stranger_ca[80], stranger_cert[80], stranger_key[80];
};
void test_cert_files_make(struct test_cert_files *files);
void test_cert_files_remove(struct test_cert_files *files);

#endif
