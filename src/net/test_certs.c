#include "net/test_certs.h"

#include "net/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAYS 2

static void must(enum status st)
{
    ASSERT(st == ST_OK);
}

struct test_certs test_certs;

static void make(struct test_certs *certs)
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

static void done(struct test_certs *certs)
{
    x509_pair_done(&certs->ca);
    x509_pair_done(&certs->server);
    x509_pair_done(&certs->client);
    x509_pair_done(&certs->stranger_ca);
    x509_pair_done(&certs->stranger);
}

int test_certs_make(void **state UNUSED)
{
    make(&test_certs);
    return 0;
}

int test_certs_drop(void **state UNUSED)
{
    done(&test_certs);
    return 0;
}

static void write_pem(const struct test_cert_files *files, const char *name, const struct buf *pem,
                      char path[80])
{
    ASSERT(snprintf(path, sizeof files->ca, "%s/%s", files->folder, name) < (int)sizeof files->ca);
    must(file_create(path, buf_span(pem), 0600, NULL));
}

void test_cert_files_make(struct test_cert_files *files)
{
    struct test_certs certs;

    *files = (struct test_cert_files){ .folder = "/tmp/symbolon-test-certs-XXXXXX" };
    ASSERT(mkdtemp(files->folder) != NULL);
    make(&certs);
    write_pem(files, "ca.pem", &certs.ca.cert_pem, files->ca);
    write_pem(files, "cert.pem", &certs.server.cert_pem, files->cert);
    write_pem(files, "key.pem", &certs.server.key_pem, files->key);
    write_pem(files, "client.pem", &certs.client.cert_pem, files->client_cert);
    write_pem(files, "client.key", &certs.client.key_pem, files->client_key);
    write_pem(files, "stranger-ca.pem", &certs.stranger_ca.cert_pem, files->stranger_ca);
    write_pem(files, "stranger.pem", &certs.stranger.cert_pem, files->stranger_cert);
    write_pem(files, "stranger.key", &certs.stranger.key_pem, files->stranger_key);
    done(&certs);
}

void test_cert_files_remove(struct test_cert_files *files)
{
    const char *const all[] = {
        files->ca,         files->cert,        files->key,           files->client_cert,
        files->client_key, files->stranger_ca, files->stranger_cert, files->stranger_key
    };

    for (size_t i = 0; i < COUNT_OF(all); i++)
        (void)unlink(all[i]);
    (void)rmdir(files->folder);
}
