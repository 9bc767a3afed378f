#include "cli/broker_folder.h"

#include "base/config.h"
#include "cli/command.h"
#include "client/private_file.h"
#include "net/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CA_MAX 1048576

/* In the order they are written: with the last one the folder is complete. */
enum made_file { SECRET_FILE, TOKEN_KEY_FILE, CA_FILE, SETTINGS_FILE, MADE_FILES };
static const char *const file_names[MADE_FILES] = { "as.secret", "token.jwk", "as-ca.pem", "broker.yaml" };

static char *joined(const char *folder, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static int fail_file(const struct broker_folder *f, const char *path, enum status st, const struct why *why)
{
    complain(f->command, "%s: %s", path, why->text != NULL ? why->text : status_text(st));
    return st == ST_NO_MEMORY ? EXIT_FAILED : EXIT_FILE;
}

/* ---- before asking ---- */

/* "broker/broker.pem" -> "broker/broker.key". */
static char *key_beside(const char *certificate)
{
    const char *dot = strrchr(name_of(certificate), '.');
    size_t len = dot == NULL ? strlen(certificate) : (size_t)(dot - certificate);
    char *path = NULL;

    return asprintf(&path, "%.*s.key", (int)len, certificate) < 0 ? NULL : path;
}

/* Only the folder is resolved: a link to a certificate is there to be pointed at the next one. */
static char *settings_path(const struct broker_folder *f, const char *path)
{
    CLEANUP(freep)
    char *folder = folder_of(path);
    CLEANUP(freep)
    char *real = folder == NULL ? NULL : realpath(folder, NULL);
    CLEANUP(freep)
    char *dir = realpath(f->dir, NULL);

    if (real == NULL || dir == NULL)
        return NULL;
    return strcmp(real, dir) == 0 ? strdup(name_of(path))
                                  : joined(strcmp(real, "/") == 0 ? "" : real, name_of(path));
}

static int find_path(const struct broker_folder *f, const char *path, char **ret)
{
    struct stat about;

    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode)) {
        complain(f->command, "%s: no such file; the settings of the broker would name it", path);
        return EXIT_FILE;
    }
    *ret = settings_path(f, path);
    return *ret == NULL ? EXIT_FAILED : GO_ON;
}

static int find_paths(struct broker_folder *f)
{
    CLEANUP(freep)
    char *key = key_beside(f->certificate);
    int code = key == NULL ? EXIT_FAILED : find_path(f, f->certificate, &f->certificate_path);

    if (code == GO_ON)
        code = find_path(f, key, &f->key_path);
    if (code == GO_ON && f->token_key != NULL)
        code = find_path(f, f->token_key, &f->token_key_path);
    return code;
}

static int read_ca(struct broker_folder *f)
{
    CLEANUP(freep)
    char *folder = folder_of(f->socket);
    CLEANUP(freep)
    char *path = folder == NULL ? NULL : f->ca_file != NULL ? strdup(f->ca_file) : joined(folder, "ca.pem");
    struct why why = { 0 };

    if (path == NULL)
        return EXIT_FAILED;
    f->ca = (struct buf){ .max = CA_MAX };
    enum status st = file_read(path, &f->ca, &why);
    if (st == ST_OK)
        return GO_ON;
    if (f->ca_file == NULL)
        complain(f->command,
                 "%s is not there to be copied: name the authority of the server's certificate with --cafile",
                 path);
    return f->ca_file == NULL ? EXIT_USAGE : fail_file(f, path, st, &why);
}

static int check_room(const struct broker_folder *f)
{
    struct stat about;

    for (size_t i = 0; i < MADE_FILES; i++) {
        CLEANUP(freep)
        char *path = joined(f->dir, file_names[i]);
        if (path == NULL)
            return EXIT_FAILED;
        if (i == TOKEN_KEY_FILE && f->token_key != NULL)
            continue; /* not written; it may be the very file */
        if (lstat(path, &about) == 0) {
            complain(f->command, "%s exists already; nothing is overwritten, nothing was registered", path);
            return EXIT_FILE;
        }
    }
    if (access(f->dir, W_OK | X_OK) == 0)
        return GO_ON;
    complain(f->command, "%s: no right to write there; nothing was registered", f->dir);
    return EXIT_FILE;
}

int broker_folder_prepare(struct broker_folder *f)
{
    struct why why = { 0 };
    struct stat about;
    int code = read_ca(f);

    if (code != GO_ON)
        return code;
    f->made = lstat(f->dir, &about) != 0 && errno == ENOENT;
    enum status st = private_folder_make(f->dir, &why);
    if (st != ST_OK)
        return fail_file(f, f->dir, st, &why);
    code = check_room(f);
    if (code == GO_ON)
        code = find_paths(f);
    if (code != GO_ON)
        broker_folder_abandon(f);
    return code;
}

char *broker_folder_settings(const struct broker_folder *f)
{
    return joined(f->dir, file_names[SETTINGS_FILE]);
}

void broker_folder_abandon(const struct broker_folder *f)
{
    if (f->made)
        (void)rmdir(f->dir); /* only if it is empty */
}

void broker_folder_done(struct broker_folder *f)
{
    free(f->certificate_path);
    free(f->key_path);
    free(f->token_key_path);
    buf_done(&f->ca);
}

/* ---- afterwards ---- */

/* One line: `before`, then `value` and `ending` in quotes. */
static enum status put_setting(struct buf *out, const char *before, struct span value, const char *ending)
{
    CLEANUP(freep)
    char *text = NULL;

    if (asprintf(&text, "%.*s%s", SPAN_FMT(value), ending) < 0) {
        text = NULL;
        return ST_NO_MEMORY;
    }
    put_str(out, before);
    config_string_print(text, out);
    put_str(out, "\n");
    return ST_OK;
}

static struct span server_base(const struct js *status)
{
    struct span issuer = SPAN_NONE;

    js_get_str(status, "issuer", &issuer);
    while (issuer.len > 0 && issuer.p[issuer.len - 1] == '/')
        issuer.len--;
    return issuer;
}

static enum status put_server(const struct broker_folder *f, const struct js *status, const struct js *answer,
                              struct buf *out)
{
    struct span issuer = SPAN_NONE, id = SPAN_NONE, base = server_base(status);
    const bool introspects = js_get(answer, "rs_secret") != NULL;
    const char *token_key = f->token_key_path != NULL ? f->token_key_path : file_names[TOKEN_KEY_FILE];

    if (!js_get_str(status, "issuer", &issuer) || !js_get_str(js_get(answer, "rs"), "rs_id", &id))
        return ST_MALFORMED;
    put_str(out, "authorization_servers:\n");
    enum status st = put_setting(out, "  - issuer: ", issuer, "");
    if (st == ST_OK)
        st = put_setting(out, "    token_endpoint: ", base, "/token");
    if (st == ST_OK)
        st = put_setting(out, "    ca: ", span_of_str(file_names[CA_FILE]), "");
    if (st == ST_OK)
        st = put_setting(out, "    jwks_uri: ", base, "/jwks.json");
    if (st == ST_OK && introspects)
        st = put_setting(out, "    introspection_uri: ", base, "/introspect");
    if (st == ST_OK && introspects)
        st = put_setting(out, "    revocation_uri: ", base, "/trl");
    if (st == ST_OK && introspects)
        st = put_setting(out, "    client_id: ", id, "");
    if (st == ST_OK && introspects)
        st = put_setting(out, "    client_secret_file: ", span_of_str(file_names[SECRET_FILE]), "");
    if (st == ST_OK)
        st = put_setting(out, "    token_key_file: ", span_of_str(token_key), "");
    return st;
}

static enum status make_settings(const struct broker_folder *f, const struct js *status,
                                 const struct js *answer, struct buf *out)
{
    struct span audience = SPAN_NONE;

    if (!js_get_str(js_get(answer, "rs"), "audience", &audience))
        return ST_MALFORMED;
    put_str(out, "# A broker for one authorization server, made by `symbolon as rs add --broker-dir`.\n"
                 "# Every setting: symbolon-broker --print-settings sample\n"
                 "listeners:\n"
                 "  - address: \"127.0.0.1\"\n"
                 "    port: 8883\n");
    enum status st = put_setting(out, "    certificate: ", span_of_str(f->certificate_path), "");
    if (st == ST_OK)
        st = put_setting(out, "    key: ", span_of_str(f->key_path), "");
    put_str(out, "audiences:\n");
    if (st == ST_OK)
        st = put_setting(out, "  - ", audience, "");
    if (st == ST_OK)
        st = put_setting(out, "state_dir: ", span_of_str(f->state_dir != NULL ? f->state_dir : "state"), "");
    return st == ST_OK ? put_server(f, status, answer, out) : st;
}

static enum status write_one(const struct broker_folder *f, enum made_file file, const struct buf *content,
                             struct why *why)
{
    CLEANUP(freep)
    char *path = joined(f->dir, file_names[file]);

    if (path == NULL || !buf_ok(content))
        return ST_NO_MEMORY;
    return content->len == 0 ? ST_OK : private_file_create(path, buf_span(content), why);
}

static void remove_files(const struct broker_folder *f, enum made_file end)
{
    for (enum made_file i = 0; i < end; i++) {
        CLEANUP(freep)
        char *path = joined(f->dir, file_names[i]);
        if (path != NULL)
            unlink(path);
    }
}

static enum status make_contents(const struct broker_folder *f, const struct js *status,
                                 const struct js *answer, struct buf contents[MADE_FILES])
{
    const struct js *key = js_get(answer, "key");
    struct span secret;
    enum status st = ST_OK;

    if (js_get_str(answer, "rs_secret", &secret)) {
        put_bytes(&contents[SECRET_FILE], secret);
        put_str(&contents[SECRET_FILE], "\n");
    }
    if (key == NULL && f->token_key_path == NULL)
        return ST_MALFORMED;
    if (key != NULL) {
        st = js_print(key, &contents[TOKEN_KEY_FILE]);
        put_str(&contents[TOKEN_KEY_FILE], "\n");
    }
    put_bytes(&contents[CA_FILE], buf_span(&f->ca));
    return st == ST_OK ? make_settings(f, status, answer, &contents[SETTINGS_FILE]) : st;
}

int broker_folder_write(const struct broker_folder *f, const struct js *status, const struct js *answer)
{
    struct buf contents[MADE_FILES];
    struct span id = SPAN_NONE;
    struct why why = { 0 };
    enum made_file file = 0;

    for (size_t i = 0; i < MADE_FILES; i++)
        contents[i] = (struct buf){ .max = CA_MAX };
    enum status st = make_contents(f, status, answer, contents);
    for (; st == ST_OK && file < MADE_FILES; file++)
        st = write_one(f, file, &contents[file], &why);
    for (size_t i = 0; i < MADE_FILES; i++)
        buf_wipe(&contents[i]);
    if (st == ST_OK)
        return EXIT_DONE;
    /* The one that failed is gone already, or was never ours. */
    if (file > 0)
        remove_files(f, file - 1);
    broker_folder_abandon(f);
    js_get_str(js_get(answer, "rs"), "rs_id", &id);
    complain(f->command, "%s/%s: %s", f->dir, file > 0 ? file_names[file - 1] : file_names[SETTINGS_FILE],
             why.text != NULL ? why.text : status_text(st));
    complain(f->command,
             "%.*s is registered, but its secrets are lost: symbolon as rs remove %.*s, then add it again",
             SPAN_FMT(id), SPAN_FMT(id));
    return EXIT_FILE;
}
