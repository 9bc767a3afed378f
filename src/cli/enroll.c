/* symbolon enroll: from a one-time code to a machine that may publish. Makes a key, registers it, and writes the profile
 * that later commands read. Nothing is left behind if the authorization server says no. */
#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/profile.h"
#include "client/private_file.h"
#include "client/url.h"
#include "net/file.h"
#include "net/http_client.h"
#include "symbolon/ace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COMMAND    "symbolon enroll"
#define ANSWER_MAX 65536
#define CA_MAX     1048576

struct enroll_options {
    const char *as_url, *code, *name, *host, *ca_file, *audience, *type, *profile;
    int64_t port;
    bool force, json;
};

#define AT(member) offsetof(struct enroll_options, member)

/* clang-format off */
static const struct option_row rows[] = {
    { 0,   "as",       OPTION_TEXT,   AT(as_url),   "URL",   "the authorization server" },
    { 0,   "code",     OPTION_TEXT,   AT(code),     "CODE",  "the one-time code its operator gave out (symbolon as enroll-code); \"-\": the first line of standard input" },
    { 0,   "name",     OPTION_TEXT,   AT(name),     "NAME",  "the client_id wanted (default: the code's, else the server chooses)" },
    { 0,   "cafile",   OPTION_TEXT,   AT(ca_file),  "FILE",  "PEM certificates to trust, for server and broker; copied into the profile's folder" },
    { 'h', "host",     OPTION_TEXT,   AT(host),     "HOST",  "the broker (default: the host of the authorization server)" },
    { 'p', "port",     OPTION_NUMBER, AT(port),     "PORT",  "its port (default 8883)", 1, 65535 },
    { 0,   "audience", OPTION_TEXT,   AT(audience), "NAME",  "the broker's name at the server (default: what the server has set for this client)" },
    { 0,   "type",     OPTION_TEXT,   AT(type),     "TYPE",  "type of the key: ed25519 (default) or es256" },
    { 0,   "profile",  OPTION_TEXT,   AT(profile),  "FILE",  "profile to write (default ~/.config/symbolon/config.json); key.pem and ca.pem go beside it" },
    { 0,   "force",    OPTION_FLAG,   AT(force),    NULL,    "replace an earlier enrolment: its key is lost" },
    { 0,   "json",     OPTION_FLAG,   AT(json),     NULL,    "print the result as JSON" },
    { .kind = OPTION_END },
};
/* clang-format on */

static const struct option_set sets[] = { { rows, 0 } };

static const struct option_command usage = {
    .usage = "symbolon enroll --as URL --code CODE [options]",
    .about = "Makes a key, registers it at the authorization server, and writes a profile, so that\n"
             "    symbolon pub -t TOPIC -m MESSAGE\n"
             "works afterwards without further options.",
    .sets = sets,
    .set_count = COUNT_OF(sets),
};

struct enrolment {
    const struct enroll_options *options;
    char *folder, *profile_path, *key_path, *ca_path; /* ca_path NULL: none */
    struct symbolon_key *key;
    char *client_id;
    struct buf ca;
    char *code;
};

static void enrolment_done(struct enrolment *e)
{
    symbolon_key_unref(e->key);
    symbolon_free(e->code);
    free(e->folder);
    free(e->profile_path);
    free(e->key_path);
    free(e->ca_path);
    free(e->client_id);
    buf_done(&e->ca);
}

static int fail_file(const char *path, enum status st, const struct why *why)
{
    complain(COMMAND, "%s: %s", path, why->text != NULL ? why->text : status_text(st));
    return st == ST_DENIED ? EXIT_UNTRUSTED : EXIT_FILE;
}

/* ---- before asking ---- */

static char *beside(const char *folder, const char *file)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", folder, file) < 0 ? NULL : path;
}

static int find_places(struct enrolment *e)
{
    const struct enroll_options *o = e->options;

    e->folder = profile_folder(o->profile);
    e->profile_path = profile_path(o->profile);
    if (e->folder == NULL || e->profile_path == NULL) {
        complain(COMMAND, "no place for the profile: set HOME, or use --profile");
        return EXIT_USAGE;
    }
    e->key_path = beside(e->folder, "key.pem");
    e->ca_path = o->ca_file == NULL ? NULL : beside(e->folder, "ca.pem");
    if (e->key_path == NULL || (o->ca_file != NULL && e->ca_path == NULL))
        return EXIT_FAILED;
    if (!o->force && (access(e->key_path, F_OK) == 0 || access(e->profile_path, F_OK) == 0)) {
        complain(COMMAND, "this machine is enrolled already (%s); --force replaces that", e->folder);
        return EXIT_FILE;
    }
    return EXIT_DONE;
}

static int read_code(struct enrolment *e)
{
    size_t cap = 0;

    if (strcmp(e->options->code, "-") != 0) {
        e->code = strdup(e->options->code);
        return e->code == NULL ? EXIT_FAILED : EXIT_DONE;
    }
    ssize_t len = getline(&e->code, &cap, stdin);
    while (len > 0 && (e->code[len - 1] == '\n' || e->code[len - 1] == '\r'))
        e->code[--len] = '\0';
    if (len > 0)
        return EXIT_DONE;
    complain(COMMAND, "no code on standard input");
    return EXIT_USAGE;
}

static int prepare(struct enrolment *e)
{
    const struct enroll_options *o = e->options;
    enum symbolon_key_type type = SYMBOLON_KEY_ED25519;
    struct symbolon_error error;
    struct why why = { 0 };
    int code = find_places(e);

    if (code == EXIT_DONE)
        code = read_code(e);
    if (code != EXIT_DONE)
        return code;
    if (o->type != NULL && strcmp(o->type, "es256") == 0) {
        type = SYMBOLON_KEY_P256;
    } else if (o->type != NULL && strcmp(o->type, "ed25519") != 0) {
        complain(COMMAND, "--type is ed25519 or es256, not %s", o->type);
        return EXIT_USAGE;
    }
    enum status st = o->ca_file == NULL ? ST_OK : file_read(o->ca_file, &e->ca, &why);
    if (st != ST_OK)
        return fail_file(o->ca_file, st, &why);
    st = private_folder_make(e->folder, &why);
    if (st != ST_OK)
        return fail_file(e->folder, st, &why);
    if (symbolon_key_generate(type, &e->key, &error) != SYMBOLON_OK)
        return complain_error(COMMAND, &error);
    return EXIT_DONE;
}

/* ---- asking ---- */

static int refused(int http_status, struct span body)
{
    struct symbolon_token unused = { 0 };
    struct symbolon_error error;

    /* Errors of the enrolment endpoint have the form of the token endpoint's. */
    if (symbolon_token_response(http_status, (struct symbolon_bytes){ body.p, body.len }, NULL, 0, &unused,
                                &error) == SYMBOLON_OK)
        symbolon_token_done(&unused);
    return complain_error(COMMAND, &error);
}

static int read_answer(struct enrolment *e, int http_status, struct span body)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct span client_id;
    struct why why = { 0 };

    if (http_status != 200 && http_status != 201)
        return refused(http_status, body);
    if (js_parse(body, ANSWER_MAX, &js, &why) != ST_OK || !js_get_str(js, "client_id", &client_id) ||
        client_id.len == 0) {
        complain(COMMAND, "the authorization server's answer makes no sense");
        return EXIT_PROTOCOL;
    }
    e->client_id = span_dup_str(client_id);
    return e->client_id == NULL ? EXIT_FAILED : EXIT_DONE;
}

static int post(struct enrolment *e, const char *endpoint)
{
    CLEANUP(buf_wipe)
    struct buf answer = { .max = ANSWER_MAX };
    struct symbolon_error error;
    struct why why = { 0 };
    char *body = NULL;
    int http_status = 0;

    if (symbolon_enroll_request(endpoint, e->code, e->options->name, e->key, (int64_t)time(NULL), &body,
                                &error) != SYMBOLON_OK)
        return complain_error(COMMAND, &error);
    const struct http_call call = {
        .url = endpoint,
        .body = span_of_str(body),
        .content_type = "application/json",
        .accept = "application/json",
        .ca_file = e->options->ca_file,
        .max_response = ANSWER_MAX,
    };
    enum status st = http_call_sync(&call, &http_status, &answer, NULL, &why);
    symbolon_free(body);
    if (st == ST_OK)
        return read_answer(e, http_status, buf_span(&answer));
    complain(COMMAND, "%s: %s", endpoint, why.text != NULL ? why.text : status_text(st));
    return st == ST_DENIED ? EXIT_UNTRUSTED : EXIT_UNREACHABLE;
}

static int ask(struct enrolment *e, struct url *ret_url)
{
    CLEANUP(buf_done)
    struct buf endpoint = { .max = URL_MAX + 16 };
    struct why why = { 0 };

    if (url_parse(span_of_str(e->options->as_url), ret_url, &why) != ST_OK) {
        complain(COMMAND, "--as %s: %s", e->options->as_url, why.text);
        return EXIT_USAGE;
    }
    if (!ret_url->https) {
        complain(COMMAND, "--as %s: a code is sent over https only", e->options->as_url);
        return EXIT_USAGE;
    }
    url_endpoint(ret_url, "enroll", &endpoint);
    put_u8(&endpoint, 0);
    return buf_ok(&endpoint) ? post(e, (const char *)endpoint.p) : EXIT_FAILED;
}

/* ---- afterwards ---- */

static int keep_files(const struct enrolment *e)
{
    struct symbolon_error error;
    struct why why = { 0 };

    if (e->options->force)
        unlink(e->key_path);
    if (symbolon_key_save(e->key, e->key_path, &error) != SYMBOLON_OK)
        return complain_error(COMMAND, &error);
    if (e->ca_path == NULL)
        return EXIT_DONE;
    enum status st = private_file_replace(e->ca_path, buf_span(&e->ca), &why);
    return st == ST_OK ? EXIT_DONE : fail_file(e->ca_path, st, &why);
}

static int keep_profile(const struct enrolment *e, const struct url *as)
{
    CLEANUP(buf_done)
    struct buf text = { .max = 65536 };
    CLEANUP(freep)
    char *as_host = span_dup_str(as->host), *key = realpath(e->key_path, NULL),
         *ca = e->ca_path == NULL ? NULL : realpath(e->ca_path, NULL);
    struct why why = { 0 };
    const struct profile profile = {
        .host = (char *)(uintptr_t)(e->options->host != NULL ? e->options->host : as_host),
        .port = e->options->port,
        .ca_file = ca,
        .as_url = (char *)(uintptr_t)e->options->as_url,
        .client_id = e->client_id,
        .key = key,
        .audience = (char *)(uintptr_t)e->options->audience,
    };

    if (as_host == NULL || key == NULL)
        return EXIT_FAILED;
    enum status st = profile_print(&profile, &text);
    put_str(&text, "\n");
    if (st == ST_OK && buf_ok(&text))
        st = private_file_replace(e->profile_path, buf_span(&text), &why);
    return st == ST_OK ? EXIT_DONE : fail_file(e->profile_path, st, &why);
}

static int report(const struct enrolment *e)
{
    CLEANUP(js_unrefp)
    struct js *obj = NULL;
    char thumbprint[SYMBOLON_THUMBPRINT_TEXT];
    struct symbolon_error error;

    if (symbolon_key_thumbprint(e->key, thumbprint, &error) != SYMBOLON_OK)
        return complain_error(COMMAND, &error);
    if (!e->options->json) {
        printf("enrolled as %s\nkey         %s (%s)\nprofile     %s\n", e->client_id, e->key_path, thumbprint,
               e->profile_path);
        return EXIT_DONE;
    }
    obj = js_new_object();
    enum status st = js_set_str(obj, "client_id", span_of_str(e->client_id));
    if (st == ST_OK)
        st = js_set_str(obj, "key", span_of_str(e->key_path));
    if (st == ST_OK)
        st = js_set_str(obj, "thumbprint", span_of_str(thumbprint));
    if (st == ST_OK)
        st = js_set_str(obj, "profile", span_of_str(e->profile_path));
    return st == ST_OK && print_json(obj) == ST_OK ? EXIT_DONE : EXIT_FAILED;
}

int run_enroll(int argc, char **argv)
{
    struct enroll_options options = { 0 };
    struct enrolment e = { .options = &options, .ca = { .max = CA_MAX } };
    struct url as;
    int code = command_options(&usage, COMMAND, argc, argv, &options, NULL);

    if (code != GO_ON)
        return code;
    if (options.as_url == NULL || options.code == NULL) {
        complain(COMMAND, "--as and --code are both needed");
        return EXIT_USAGE;
    }
    code = prepare(&e);
    if (code == EXIT_DONE)
        code = ask(&e, &as);
    if (code == EXIT_DONE)
        code = keep_files(&e);
    if (code == EXIT_DONE)
        code = keep_profile(&e, &as);
    if (code == EXIT_DONE)
        code = report(&e);
    enrolment_done(&e);
    return code;
}
