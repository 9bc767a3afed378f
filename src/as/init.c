#include "as/init.h"

#include "as/as.h"
#include "as/schema.h"
#include "codec/base64.h"
#include "crypto/random.h"
#include "crypto/x509.h"
#include "net/file.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX   32
#define CA_DAYS     3650
#define SERVER_DAYS 825
#define PATH_BYTES  4096

struct init {
    const char *dir;
    const char *issuer; /* NULL: from the first name and the port */
    const char *address;
    long port;
    struct span names[NAMES_MAX];
    size_t names_count;
    struct wall_time now;
};

static const char *const files[] = { "as.yaml",    "as.db",      "ca.pem",  "ca.key",
                                     "server.pem", "server.key", "pop.key", "admin.credential" };

static enum status path_of(const struct init *in, const char *name, char out[PATH_BYTES], struct why *why)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s", in->dir, name);

    return n > 0 && n < PATH_BYTES ? ST_OK : reject(why, ST_TOO_LARGE, "init", "the path is too long", 0);
}

static enum status write_file(const struct init *in, const char *name, struct span content, mode_t mode,
                              struct why *why)
{
    char path[PATH_BYTES];
    enum status st = path_of(in, name, path, why);

    return st == ST_OK ? file_create(path, content, mode, why) : st;
}

/* Nothing is ever overwritten: a CA key that was replaced is a fleet that is locked out. */
static enum status check_empty(const struct init *in, struct why *why)
{
    char path[PATH_BYTES];
    struct stat about;

    if (mkdir(in->dir, 0700) != 0 && errno != EEXIST)
        return reject(why, ST_IO, "init", "the folder cannot be made", 0);
    if (stat(in->dir, &about) != 0 || !S_ISDIR(about.st_mode))
        return reject(why, ST_IO, "init", "not a folder", 0);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        enum status st = path_of(in, files[i], path, why);
        if (st != ST_OK)
            return st;
        bool there = lstat(path, &about) == 0;
        if (there)
            return reject(why, ST_EXISTS, "init",
                          i == 0 /* the settings are written last */
                              ? "the folder already holds an authorization server"
                              : "the folder holds what an init that did not finish has left: empty it first",
                          0);
    }
    return ST_OK;
}

static enum status make_certificates(const struct init *in, struct why *why)
{
    CLEANUP(x509_pair_done)
    struct x509_pair ca = { 0 }, server = { 0 };
    enum status st = x509_make_ca(SPAN("Symbolon CA"), CA_DAYS, in->now, &ca, why);

    if (st == ST_OK)
        st = x509_issue_server(buf_span(&ca.cert_pem), buf_span(&ca.key_pem), in->names[0], in->names,
                               in->names_count, SERVER_DAYS, in->now, &server, why);
    if (st == ST_OK)
        st = write_file(in, "ca.key", buf_span(&ca.key_pem), 0600, why);
    if (st == ST_OK)
        st = write_file(in, "ca.pem", buf_span(&ca.cert_pem), 0644, why);
    if (st == ST_OK)
        st = write_file(in, "server.key", buf_span(&server.key_pem), 0600, why);
    if (st == ST_OK)
        st = write_file(in, "server.pem", buf_span(&server.cert_pem), 0644, why);
    return st;
}

/* 32 random bytes as base64url text, and what ends it. */
static enum status make_secret(const struct init *in, const char *name, const char *end, struct why *why)
{
    uint8_t raw[32];
    struct buf text;
    enum status st = random_bytes(raw, sizeof raw);

    buf_init(&text, 64);
    base64url_encode(span_of(raw, sizeof raw), &text);
    put_str(&text, end);
    if (st == ST_OK)
        st = write_file(in, name, buf_span(&text), 0600, why);
    buf_wipe(&text);
    explicit_bzero(raw, sizeof raw);
    return st;
}

/* Tables and the first signing key, as the first start would. */
static enum status make_state(const struct init *in, struct why *why)
{
    CLEANUP(sql_closep)
    struct sql *sql = NULL;
    CLEANUP(signer_freep)
    struct signer *signer = NULL;
    char db[PATH_BYTES], keys[PATH_BYTES];
    enum status st = path_of(in, "as.db", db, why);

    if (st == ST_OK)
        st = path_of(in, "keys", keys, why);
    if (st == ST_OK)
        st = sql_open(db, SQL_DURABLE, &sql, why);
    if (st == ST_OK)
        st = as_schema(sql, why);
    if (st == ST_OK)
        st = signer_local_new(keys, sql, in->now, &signer, why);
    return st;
}

/* Names that could leave their quotes in YAML, or are no host names at all. */
static bool text_is_plain(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\')
            return false;
    return *text != '\0';
}

static void put_issuer(const struct init *in, struct buf *b)
{
    const char *name = (const char *)in->names[0].p;
    bool ipv6 = strchr(name, ':') != NULL;

    if (in->issuer != NULL)
        put_str(b, in->issuer);
    else if (in->port == 0)
        put_fmt(b, ipv6 ? "https://[%s]:${port}" : "https://%s:${port}", name);
    else
        put_fmt(b, ipv6 ? "https://[%s]:%ld" : "https://%s:%ld", name, in->port);
}

static enum status write_settings(const struct init *in, struct why *why)
{
    struct buf b;

    buf_init(&b, 65536);
    put_str(&b, "# Settings of symbolon-as; all of them: symbolon-as --print-settings sample\n");
    put_str(&b, "issuer: \"");
    put_issuer(in, &b);
    put_fmt(&b,
            "\"\nstate_dir: \".\"\nhttps:\n  address: \"%s\"\n  port: %ld\n  certificate: \"server.pem\"\n"
            "  key: \"server.key\"\n  client_ca: \"ca.pem\"\n",
            in->address, in->port);
    enum status st = buf_ok(&b) ? write_file(in, "as.yaml", buf_span(&b), 0600, why)
                                : reject(why, ST_NO_MEMORY, "init", "out of memory", 0);
    buf_done(&b);
    return st;
}

static void add_name(struct init *in, const char *name)
{
    for (size_t i = 0; i < in->names_count; i++)
        if (span_eq_str(in->names[i], name))
            return;
    if (in->names_count < NAMES_MAX)
        in->names[in->names_count++] = span_of_str(name);
}

static int usage(void)
{
    fputs("usage: symbolon-as init [--name HOST]... [--issuer URI] [--address ADDRESS] [--port PORT] DIR\n",
          stderr);
    return 2;
}

static bool read_port(const char *text, long *ret)
{
    char *end = NULL;

    errno = 0;
    *ret = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *ret >= 0 && *ret <= 65535;
}

static bool read_options(struct init *in, int argc, char **argv)
{
    static const struct option options[] = {
        { "name", required_argument, NULL, 'n' },
        { "issuer", required_argument, NULL, 'i' },
        { "address", required_argument, NULL, 'a' },
        { "port", required_argument, NULL, 'p' },
        { NULL, 0, NULL, 0 },
    };
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == '?' || !text_is_plain(optarg))
            return false;
        if (c == 'n')
            add_name(in, optarg);
        else if (c == 'i')
            in->issuer = optarg;
        else if (c == 'a')
            in->address = optarg;
        else if (!read_port(optarg, &in->port))
            return false;
    }
    if (optind != argc - 1)
        return false;
    in->dir = argv[optind];
    add_name(in, "localhost");
    add_name(in, "127.0.0.1");
    add_name(in, "::1");
    return true;
}

static void print_next_steps(const struct init *in)
{
    printf("Made an authorization server in %s:\n"
           "  as.yaml      settings          ca.pem       give this to clients and brokers\n"
           "  as.db        clients, policy   ca.key       keep it; better offline\n"
           "  keys/        token signing     server.pem   for %.*s\n"
           "  admin.credential               for operators that are neither root nor this user\n"
           "Next:\n"
           "  symbolon-as --config %s/as.yaml\n"
           "  symbolon as --socket %s/admin.sock status\n",
           in->dir, SPAN_FMT(in->names[0]), in->dir, in->dir);
}

int as_init(int argc, char **argv)
{
    struct init in = { .address = "127.0.0.1", .port = 8443, .now = now_read().wall };
    struct why why = { 0 };

    if (!read_options(&in, argc, argv))
        return usage();
    umask(077);
    enum status st = check_empty(&in, &why);
    if (st == ST_OK)
        st = make_certificates(&in, &why);
    if (st == ST_OK)
        st = make_secret(&in, "pop.key", "", &why);
    if (st == ST_OK)
        st = make_secret(&in, "admin.credential", "\n", &why);
    if (st == ST_OK)
        st = make_state(&in, &why);
    if (st == ST_OK) /* last: with it the folder is complete */
        st = write_settings(&in, &why);
    if (st != ST_OK) {
        fprintf(stderr, "symbolon-as init: %s: %s (%s)\n", in.dir,
                why.text != NULL ? why.text : status_text(st),
                why.clause != NULL ? why.clause : status_name(st));
        return 1;
    }
    print_next_steps(&in);
    return 0;
}
