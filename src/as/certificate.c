#include "as/certificate.h"

#include "base/clock.h"
#include "crypto/x509.h"
#include "net/file.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_MAX  32
#define DAYS       825
#define PATH_BYTES 4096
#define PEM_MAX    65536

struct request {
    const char *dir; /* of the authorization server */
    const char *out; /* OUT.pem and OUT.key */
    struct span names[NAMES_MAX];
    size_t names_count;
};

static int usage(void)
{
    fputs("usage: symbolon-as certificate --name HOST [--name HOST]... DIR OUT\n"
          "  makes OUT.pem and OUT.key (and their folder): a server certificate by the authority in DIR, for a "
          "broker\n",
          stderr);
    return 2;
}

static bool read_options(struct request *r, int argc, char **argv)
{
    static const struct option options[] = { { "name", required_argument, NULL, 'n' }, { NULL, 0, NULL, 0 } };
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c != 'n' || *optarg == '\0' || r->names_count == NAMES_MAX)
            return false;
        r->names[r->names_count++] = span_of_str(optarg);
    }
    if (optind != argc - 2 || r->names_count == 0)
        return false;
    r->dir = argv[optind];
    r->out = argv[optind + 1];
    return true;
}

static enum status read_pem(const char *dir, const char *name, struct buf *out, struct why *why)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);

    if (n < 0 || n >= PATH_BYTES)
        return reject(why, ST_TOO_LARGE, "certificate", "the path is too long", 0);
    return file_read(path, out, why);
}

static enum status write_pem(const char *out, const char *ending, struct span pem, mode_t mode, struct why *why)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s.%s", out, ending);

    if (n < 0 || n >= PATH_BYTES)
        return reject(why, ST_TOO_LARGE, "certificate", "the path is too long", 0);
    return file_create(path, pem, mode, why); /* never over another */
}

/* The folder of OUT may be missing: a broker's first file is its certificate. */
static enum status make_folder(const char *out, struct why *why)
{
    char path[PATH_BYTES];
    const char *slash = strrchr(out, '/');

    if (slash == NULL || slash == out)
        return ST_OK;
    int n = snprintf(path, sizeof path, "%.*s", (int)(slash - out), out);
    if (n < 0 || n >= PATH_BYTES)
        return reject(why, ST_TOO_LARGE, "certificate", "the path is too long", 0);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return reject(why, ST_IO, "certificate", "the folder for it cannot be made", 0);
    return ST_OK;
}

static enum status issue(const struct request *r, struct why *why)
{
    CLEANUP(x509_pair_done)
    struct x509_pair server = { 0 };
    CLEANUP(buf_done)
    struct buf ca = { .max = PEM_MAX };
    CLEANUP(buf_wipe)
    struct buf ca_key = { .max = PEM_MAX };
    enum status st = read_pem(r->dir, "ca.pem", &ca, why);

    if (st == ST_OK)
        st = read_pem(r->dir, "ca.key", &ca_key, why);
    if (st == ST_OK)
        st = x509_issue_server(buf_span(&ca), buf_span(&ca_key), r->names[0], r->names, r->names_count, DAYS,
                               now_read().wall, &server, why);
    if (st == ST_OK)
        st = make_folder(r->out, why);
    if (st == ST_OK)
        st = write_pem(r->out, "key", buf_span(&server.key_pem), 0600, why);
    if (st == ST_OK)
        st = write_pem(r->out, "pem", buf_span(&server.cert_pem), 0644, why);
    return st;
}

int as_certificate(int argc, char **argv)
{
    struct request r = { 0 };
    struct why why = { 0 };

    if (!read_options(&r, argc, argv))
        return usage();
    umask(077);
    enum status st = issue(&r, &why);
    if (st != ST_OK) {
        fprintf(stderr, "symbolon-as certificate: %s (%s)\n", why.text != NULL ? why.text : status_text(st),
                why.clause != NULL ? why.clause : status_name(st));
        return 1;
    }
    printf("%s.pem and %s.key: for %.*s, %d days\n", r.out, r.out, SPAN_FMT(r.names[0]), DAYS);
    return 0;
}
