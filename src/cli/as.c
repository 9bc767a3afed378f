/* symbolon as: a thin front of the admin socket. One table says which words make which command; everything else
 * (building the question, --help, showing the answer) follows from it. */
#include "cli/admin.h"
#include "cli/broker_folder.h"
#include "cli/command.h"
#include "cli/connect.h"
#include "cli/json_text.h"
#include "client/private_file.h"
#include "net/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGS_MAX       20
#define FILE_MAX       65536
#define CREDENTIAL_MAX 1024

enum arg_kind {
    ARG_END,
    ARG_WORD,  /* positional, required */
    ARG_MAYBE, /* positional, may be left out; the last of them */
    ARG_WORDS, /* positional, required: a,b,c becomes a list */
    ARG_ID,    /* positional, required: a number */
    ARG_TEXT,  /* --name VALUE */
    ARG_NUMBER,
    ARG_LIST,     /* may be repeated */
    ARG_YES,      /* flag: true */
    ARG_NO,       /* flag: false */
    ARG_DIR,      /* --name DIR, for us: no member of the question */
    ARG_FILE,     /* the text of a file (PEM); without a member it is for us */
    ARG_JSON,     /* the JSON in a file */
    ARG_GENERATE, /* "generate", or the JSON in a file */
    ARG_SCOPE,    /* as --scope elsewhere */
};

struct arg {
    enum arg_kind kind;
    const char *name;   /* of the option; of a positional: what stands in the usage line */
    const char *member; /* of the question */
    const char *help;
};

struct as_command {
    const char *words; /* "client add" */
    const char *cmd;   /* "client.add" */
    const char *about;
    struct arg args[ARGS_MAX];
};

#define LIMIT                                                              \
    {                                                                      \
        ARG_NUMBER, "limit", "limit", "at most so many rows (default 100)" \
    }
#define AFTER                                                                               \
    {                                                                                       \
        ARG_TEXT, "after", "after", "go on behind this one (\"next\" of the answer before)" \
    }

/* clang-format off */
static const struct as_command commands[] = {
    { "status", "status", "what the server is and holds", { { 0 } } },
    { "client add", "client.add", "register a client; without a key or certificate it gets a secret, shown once", {
        { ARG_WORD,   "CLIENT",           "client_id",        NULL },
        { ARG_TEXT,   "name",             "name",             "a name for people" },
        { ARG_LIST,   "group",            "groups",           "a group it belongs to; may be repeated" },
        { ARG_JSON,   "jwk",              "jwk",              "file with its public key as JWK (symbolon key show --json)" },
        { ARG_FILE,   "certificate",      "certificate",      "file with its TLS certificate (PEM)" },
        { ARG_YES,    "secret",           "secret",           "make a secret beside the key or certificate" },
        { ARG_TEXT,   "default-audience", "default_audience", "audience of its tokens when it names none" },
        { ARG_LIST,   "profile",          "profiles",         "an ACE profile it speaks; may be repeated (default: any)" },
        { ARG_YES,    "refresh",          "refresh",          "its tokens come with a refresh token" } } },
    { "client list", "client.list", "list clients", { { ARG_TEXT, "group", "group", "of this group only" }, LIMIT, AFTER } },
    { "client show", "client.show", "show a client, the policy that concerns it, and its live tokens", { { ARG_WORD, "CLIENT", "client_id", NULL } } },
    { "client set", "client.set", "change a client", {
        { ARG_WORD,   "CLIENT",           "client_id",        NULL },
        { ARG_TEXT,   "name",             "name",             "a name for people" },
        { ARG_LIST,   "group",            "groups",           "the groups it belongs to from now on" },
        { ARG_JSON,   "jwk",              "jwk",              "file with its new public key as JWK" },
        { ARG_FILE,   "certificate",      "certificate",      "file with its new TLS certificate (PEM)" },
        { ARG_TEXT,   "default-audience", "default_audience", "audience of its tokens when it names none" },
        { ARG_LIST,   "profile",          "profiles",         "the ACE profiles it speaks from now on" },
        { ARG_YES,    "refresh",          "refresh",          "its tokens come with a refresh token" },
        { ARG_NO,     "no-refresh",       "refresh",          "no refresh tokens any more" } } },
    { "client rotate-secret", "client.rotate-secret", "give a client a new secret; the old one ends at once", { { ARG_WORD, "CLIENT", "client_id", NULL } } },
    { "client remove", "client.remove", "remove a client and revoke its tokens", { { ARG_WORD, "CLIENT", "client_id", NULL } } },
    { "rs add", "rs.add", "register a resource server (a broker)", {
        { ARG_WORD,     "AUDIENCE",      "audience",     NULL },
        { ARG_TEXT,     "rs-id",         "rs_id",        "its name for introspection (default: the audience)" },
        { ARG_TEXT,     "format",        "token_format", "jwt (default), cwt or reference" },
        { ARG_TEXT,     "protection",    "protection",   "auto (default: signed, and encrypted where a secret is inside), signed, encrypted or nested" },
        { ARG_LIST,     "pop-key",       "pop_keys",     "a kind of key it takes: EdDSA, ES256, symmetric, x5t; may be repeated (default: all)" },
        { ARG_LIST,     "profile",       "profiles",     "an ACE profile it speaks; may be repeated (default: mqtt_tls)" },
        { ARG_YES,      "refresh",       "refresh",      "tokens for it come with a refresh token" },
        { ARG_NUMBER,   "lifetime",      "lifetime_s",   "life of its tokens in seconds" },
        { ARG_YES,      "exi",           "exi",          "life counted from first receipt, for servers without a clock" },
        { ARG_GENERATE, "key",           "key",          "\"generate\", or a file with the key it shares with us (oct JWK)" },
        { ARG_FILE,     "certificate",   "certificate",  "file with its TLS certificate (PEM), for clients to pin" },
        { ARG_JSON,     "rs-jwk",        "rs_jwk",       "file with its public key as JWK, for clients to pin" },
        { ARG_NO,       "no-introspect", "introspect",   "make no introspection credentials" },
        { ARG_DIR,      "broker-dir",    NULL,           "write all that symbolon-broker needs there: broker.yaml, secret, token key, authority; needs --certificate (its .key lies beside it), implies --key generate" },
        { ARG_DIR,      "state-dir",     NULL,           "with --broker-dir: where the broker keeps what must survive a restart (default: state, in that folder)" },
        { ARG_FILE,     "cafile",        NULL,           "with --broker-dir: file with the authority of our own certificate (PEM; default: ca.pem beside the admin socket)" } } },
    { "rs list", "rs.list", "list resource servers", { LIMIT, AFTER } },
    { "rs show", "rs.show", "show a resource server", { { ARG_WORD, "RS", "rs_id", NULL } } },
    { "rs set", "rs.set", "change a resource server", {
        { ARG_WORD,     "RS",            "rs_id",        NULL },
        { ARG_NUMBER,   "lifetime",      "lifetime_s",   "life of its tokens in seconds" },
        { ARG_TEXT,     "format",        "token_format", "jwt, cwt or reference" },
        { ARG_TEXT,     "protection",    "protection",   "auto (signed, and encrypted where a secret is inside), signed, encrypted or nested" },
        { ARG_LIST,     "pop-key",       "pop_keys",     "a kind of key it takes: EdDSA, ES256, symmetric, x5t; may be repeated" },
        { ARG_LIST,     "profile",       "profiles",     "an ACE profile it speaks; may be repeated" },
        { ARG_YES,      "refresh",       "refresh",      "tokens for it come with a refresh token" },
        { ARG_NO,       "no-refresh",    "refresh",      "no refresh tokens any more" },
        { ARG_YES,      "exi",           "exi",          "life counted from first receipt" },
        { ARG_NO,       "no-exi",        "exi",          "life up to a time of the calendar again" },
        { ARG_FILE,     "certificate",   "certificate",  "file with its TLS certificate (PEM)" },
        { ARG_JSON,     "rs-jwk",        "rs_jwk",       "file with its public key as JWK" } } },
    { "rs rotate-secret", "rs.rotate-secret", "give it new introspection credentials", { { ARG_WORD, "RS", "rs_id", NULL } } },
    { "rs rotate-key", "rs.rotate-key", "make a new key shared with it", { { ARG_WORD, "RS", "rs_id", NULL } } },
    { "rs remove", "rs.remove", "remove a resource server and revoke its tokens", { { ARG_WORD, "RS", "rs_id", NULL } } },
    { "policy allow", "policy.allow", "allow a subject (client:ID, group:NAME, any) topics of an audience: pub, sub, or pub,sub", {
        { ARG_WORD,  "SUBJECT",     "subject",     NULL },
        { ARG_WORD,  "AUDIENCE",    "audience",    NULL },
        { ARG_WORD,  "FILTER",      "filter",      NULL },
        { ARG_WORDS, "PERMISSIONS", "permissions", NULL } } },
    { "policy deny", "policy.deny", "take topics away again: wins over every allow it overlaps", {
        { ARG_WORD,  "SUBJECT",     "subject",     NULL },
        { ARG_WORD,  "AUDIENCE",    "audience",    NULL },
        { ARG_WORD,  "FILTER",      "filter",      NULL },
        { ARG_WORDS, "PERMISSIONS", "permissions", NULL } } },
    { "policy list", "policy.list", "list the rules", {
        { ARG_TEXT, "subject",  "subject",  "of this subject only" },
        { ARG_TEXT, "audience", "audience", "of this audience only" }, LIMIT, AFTER } },
    { "policy remove", "policy.remove", "remove a rule", { { ARG_ID, "ID", "id", NULL } } },
    { "policy test", "policy.test", "what a client would get, and why not more", {
        { ARG_WORD,  "CLIENT",   "client_id", NULL },
        { ARG_WORD,  "AUDIENCE", "audience",  NULL },
        { ARG_SCOPE, "scope",    "scope",     "as if it asked for this: pub:FILTER, sub:FILTER, pub,sub:FILTER; may be repeated (default: everything)" } } },
    { "token list", "token.list", "list tokens that are not over, and whether they are valid, changed or revoked", {
        { ARG_TEXT, "client",   "client_id", "of this client only" },
        { ARG_TEXT, "audience", "audience",  "for this audience only" }, LIMIT, AFTER } },
    { "token revoke", "token.revoke", "revoke one token, or all of a client, for a resource server, or both", {
        { ARG_MAYBE, "JTI",    "jti",       NULL },
        { ARG_TEXT,  "client", "client_id", "all tokens of this client" },
        { ARG_TEXT,  "rs",     "rs_id",     "all tokens for this resource server" } } },
    { "refresh list", "refresh.list", "list the refresh tokens (families) that can still be used", {
        { ARG_TEXT, "client",   "client_id", "of this client only" }, LIMIT, AFTER } },
    { "refresh revoke", "refresh.revoke", "end a family of refresh tokens, and revoke the access tokens that came of it", {
        { ARG_WORD, "FAMILY",   "family",    NULL } } },
    { "keys list", "keys.list", "list the keys tokens are signed with", { { 0 } } },
    { "keys rotate", "keys.rotate", "sign with a new key from now on", { { 0 } } },
    { "enroll-code", "enroll.create", "make a one-time code for symbolon enroll", {
        { ARG_TEXT,   "client-id",        "client_id",        "for this client only" },
        { ARG_LIST,   "group",            "groups",           "group the new client will belong to; may be repeated" },
        { ARG_TEXT,   "name",             "name",             "a name for people" },
        { ARG_TEXT,   "default-audience", "default_audience", "audience of its tokens when it names none" },
        { ARG_NUMBER, "ttl",              "ttl_s",            "good for so many seconds (default 3600)" } } },
    { "enroll list", "enroll.list", "list unused codes", { LIMIT, AFTER } },
    { "enroll remove", "enroll.remove", "make a code worthless", { { ARG_WORD, "ID", "id", NULL } } },
    { "audit list", "audit.list", "what was changed, by whom", { LIMIT, { ARG_NUMBER, "after", "after", "behind this sequence number" } } },
    { "audit verify", "audit.verify", "check the chain of hashes over it", { { 0 } } },
};
/* clang-format on */

union arg_value {
    const char *text;
    int64_t number;
    bool flag;
    struct text_list list;
};

struct as_options {
    const char *socket, *credential;
    bool json;
    union arg_value values[ARGS_MAX];
};

/* clang-format off */
static const struct option_row common_rows[] = {
    { 0, "socket",     OPTION_TEXT, offsetof(struct as_options, socket),     "PATH", "admin socket (default: $SYMBOLON_AS_SOCKET, else " ADMIN_SOCKET_DEFAULT ")" },
    { 0, "credential", OPTION_TEXT, offsetof(struct as_options, credential), "FILE", "log in with the admin credential in this file, closed to others (default: $SYMBOLON_AS_CREDENTIAL; root and the server's user need none)" },
    { 0, "json",       OPTION_FLAG, offsetof(struct as_options, json),       NULL,   "print the answer as JSON" },
    { .kind = OPTION_END },
};
/* clang-format on */

static bool positional(const struct arg *arg)
{
    return arg->kind == ARG_WORD || arg->kind == ARG_MAYBE || arg->kind == ARG_WORDS || arg->kind == ARG_ID;
}

/* ---- the question ---- */

static enum status set_list(struct js *question, const char *member, struct text_list *list)
{
    struct js *array = js_new_array();

    for (size_t i = 0; i < list->count; i++) {
        enum status st = js_append_str(array, span_of_str(list->items[i]));
        if (st != ST_OK) {
            js_unref(array);
            return st;
        }
    }
    return js_set_take(question, member, array);
}

static enum status set_words(struct js *question, const char *member, const char *words)
{
    struct js *array = js_new_array();
    enum status st = ST_OK;

    for (const char *p = words; st == ST_OK; p++) {
        size_t len = strcspn(p, ",");
        st = js_append_str(array, span_of(p, len));
        p += len;
        if (*p == '\0')
            break;
    }
    if (st != ST_OK) {
        js_unref(array);
        return st;
    }
    return js_set_take(question, member, array);
}

static enum status set_json(struct js *question, const char *member, struct span text, struct why *why)
{
    struct js *js = NULL;
    enum status st = js_parse(text, FILE_MAX, &js, why);

    return st == ST_OK ? js_set_take(question, member, js) : st;
}

static enum status set_file(struct js *question, const struct arg *arg, const char *path, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf text = { .max = FILE_MAX };

    if (arg->kind == ARG_GENERATE && strcmp(path, "generate") == 0)
        return js_set_str(question, arg->member, SPAN("generate"));
    enum status st = file_read(path, &text, why);
    if (st != ST_OK)
        return st;
    return arg->kind == ARG_FILE ? js_set_str(question, arg->member, buf_span(&text))
                                 : set_json(question, arg->member, buf_span(&text), why);
}

static enum status set_scope(struct js *question, const char *member, const struct text_list *list,
                             struct why *why)
{
    CLEANUP(freep)
    char *json = NULL;
    char complaint[256];

    if (!scope_of_options(list, &json, complaint, sizeof complaint))
        return reject(why, ST_BAD_SCOPE, "--scope", "write pub:FILTER, sub:FILTER or pub,sub:FILTER", 0);
    return json == NULL ? ST_OK : set_json(question, member, span_of_str(json), why);
}

static enum status set_id(struct js *question, const char *member, const char *text, struct why *why)
{
    char *end;
    long long id = strtoll(text, &end, 10);

    if (end == text || *end != '\0')
        return reject(why, ST_MALFORMED, "as", "an ID is a number", 0);
    return js_set_i64(question, member, id);
}

static enum status set_option(struct js *question, const struct arg *arg, union arg_value *value,
                              struct why *why)
{
    if (arg->member == NULL)
        return ST_OK;
    switch (arg->kind) {
    case ARG_NUMBER:
        return value->number == 0 ? ST_OK : js_set_i64(question, arg->member, value->number);
    case ARG_LIST:
        return value->list.count == 0 ? ST_OK : set_list(question, arg->member, &value->list);
    case ARG_YES:
    case ARG_NO:
        return value->flag ? js_set_bool(question, arg->member, arg->kind == ARG_YES) : ST_OK;
    case ARG_SCOPE:
        return set_scope(question, arg->member, &value->list, why);
    case ARG_FILE:
    case ARG_JSON:
    case ARG_GENERATE:
        return value->text == NULL ? ST_OK : set_file(question, arg, value->text, why);
    default:
        return value->text == NULL ? ST_OK : js_set_str(question, arg->member, span_of_str(value->text));
    }
}

static enum status set_positional(struct js *question, const struct arg *arg, const char *word, struct why *why)
{
    if (arg->kind == ARG_WORDS)
        return set_words(question, arg->member, word);
    if (arg->kind == ARG_ID)
        return set_id(question, arg->member, word, why);
    return js_set_str(question, arg->member, span_of_str(word));
}

static enum status make_question(const struct as_command *c, struct as_options *o, const struct text_list *rest,
                                 struct js *question, struct why *why)
{
    enum status st = js_set_str(question, "cmd", span_of_str(c->cmd));
    size_t word = 0;

    for (size_t i = 0; st == ST_OK && c->args[i].kind != ARG_END; i++) {
        if (!positional(&c->args[i]))
            st = set_option(question, &c->args[i], &o->values[i], why);
        else if (word < rest->count)
            st = set_positional(question, &c->args[i], rest->items[word++], why);
        else if (c->args[i].kind != ARG_MAYBE)
            return reject(why, ST_MALFORMED, "as", "something is missing: see --help", 0);
    }
    if (st == ST_OK && word < rest->count)
        return reject(why, ST_MALFORMED, "as", "more words than the command takes: see --help", 0);
    return st;
}

/* ---- the answer ---- */

static int refusal_code(const struct js *answer)
{
    struct span error;
    bool who = js_get_str(answer, "error", &error) && (span_eq_str(error, status_name(ST_DENIED)) ||
                                                       span_eq_str(error, status_name(ST_BAD_CREDENTIAL)));

    return who ? EXIT_NOT_AUTHORIZED : EXIT_REFUSED;
}

static int show_refusal(const char *name, const struct js *answer)
{
    CLEANUP(buf_done)
    struct buf text = { .max = FILE_MAX };

    put_value(&text, SPAN_NONE, js_get(answer, "message"));
    put_str(&text, " [");
    put_value(&text, SPAN_NONE, js_get(answer, "error"));
    put_str(&text, ", ");
    put_value(&text, SPAN_NONE, js_get(answer, "clause"));
    put_str(&text, "]");
    complain(name, "%.*s", SPAN_FMT(buf_span(&text)));
    return refusal_code(answer);
}

static int show_answer(const char *name, const struct as_options *o, const struct js *answer)
{
    bool ok = false;

    js_get_bool(answer, "ok", &ok);
    if (o->json) {
        if (print_json(answer) != ST_OK)
            return EXIT_FAILED;
        return ok ? EXIT_DONE : refusal_code(answer);
    }
    if (!ok)
        return show_refusal(name, answer);
    if (print_members(answer, "ok") != ST_OK)
        return EXIT_FAILED;
    if (js_get(answer, "client_secret") != NULL || js_get(answer, "rs_secret") != NULL ||
        js_is(js_get(answer, "code"), JS_STRING))
        fputs("It is shown this once only: the server keeps a hash.\n", stderr);
    return EXIT_DONE;
}

/* Its line, as the server wrote it; nothing where none is named. */
static int read_credential(const char *name, const struct as_options *o, struct buf *out)
{
    const char *path = o->credential != NULL ? o->credential : getenv("SYMBOLON_AS_CREDENTIAL");
    struct why why = { 0 };

    if (path == NULL)
        return GO_ON;
    enum status st = private_file_read(path, out, &why);
    if (st != ST_OK) {
        complain(name, "%s: %s", path, why.text);
        return st == ST_DENIED ? EXIT_UNTRUSTED : EXIT_FILE;
    }
    while (out->len > 0 && (out->p[out->len - 1] == '\n' || out->p[out->len - 1] == '\r'))
        buf_truncate(out, out->len - 1);
    if (out->len > 0)
        return GO_ON;
    complain(name, "%s: nothing in it", path);
    return EXIT_FILE;
}

static int ask_server(const char *name, const struct as_options *o, const char *socket,
                      const struct js *question, struct js **ret_answer)
{
    CLEANUP(buf_wipe)
    struct buf credential = { .max = CREDENTIAL_MAX };
    struct why why = { 0 };
    int code = read_credential(name, o, &credential);

    if (code != GO_ON)
        return code;
    enum status st = admin_ask(socket, buf_span(&credential), question, ret_answer, &why);
    if (st == ST_OK)
        return GO_ON;
    complain(name, "%s: %s", socket, why.text != NULL ? why.text : status_text(st));
    return st == ST_DENIED ? EXIT_NOT_AUTHORIZED : st == ST_MALFORMED ? EXIT_PROTOCOL : EXIT_UNREACHABLE;
}

/* ---- rs add --broker-dir ---- */

static const char *text_of(const struct as_command *c, const struct as_options *o, const char *name)
{
    for (size_t i = 0; c->args[i].kind != ARG_END; i++)
        if (!positional(&c->args[i]) && strcmp(c->args[i].name, name) == 0)
            return o->values[i].text;
    return NULL;
}

/* What is left to say once the secrets are in their files. */
static int show_folder(const struct broker_folder *f, bool json, const struct js *answer)
{
    CLEANUP(js_unrefp)
    struct js *shown = js_new_object();
    CLEANUP(freep)
    char *path = broker_folder_settings(f);

    if (path == NULL)
        return EXIT_FAILED;
    if (!json) {
        printf("registered, and made %s with all it names\nnext: symbolon-broker --config %s\n", path, path);
        return EXIT_DONE;
    }
    enum status st = js_set_bool(shown, "ok", true);
    if (st == ST_OK)
        st = js_set_take(shown, "rs", js_ref(js_get(answer, "rs")));
    if (st == ST_OK)
        st = js_set_str(shown, "broker_config", span_of_str(path));
    return st == ST_OK && print_json(shown) == ST_OK ? EXIT_DONE : EXIT_FAILED;
}

/* GO_ON: asked, and not refused. */
static int ask_and_get(const char *name, struct as_options *o, const char *socket, const struct js *question,
                       struct js **ret_answer)
{
    bool ok = false;
    int code = ask_server(name, o, socket, question, ret_answer);

    if (code != GO_ON)
        return code;
    js_get_bool(*ret_answer, "ok", &ok);
    return ok ? GO_ON : show_answer(name, o, *ret_answer);
}

static int fill_folder(const struct broker_folder *f, struct as_options *o, struct js *question)
{
    CLEANUP(js_unrefp)
    struct js *status_question = js_new_object();
    CLEANUP(js_unrefp)
    struct js *status = NULL;
    CLEANUP(js_unrefp)
    struct js *answer = NULL;
    enum status st = js_set_str(status_question, "cmd", SPAN("status"));

    if (st == ST_OK && f->token_key == NULL)
        st = js_set_str(question, "key", SPAN("generate"));
    int code = st != ST_OK ? EXIT_FAILED : ask_and_get(f->command, o, f->socket, status_question, &status);
    if (code == GO_ON)
        code = ask_and_get(f->command, o, f->socket, question, &answer);
    if (code != GO_ON) {
        broker_folder_abandon(f);
        return code;
    }
    code = broker_folder_write(f, status, answer);
    return code == EXIT_DONE ? show_folder(f, o->json, answer) : code;
}

static int add_with_folder(const struct as_command *c, struct as_options *o, struct broker_folder *f,
                           struct js *question)
{
    const char *key = text_of(c, o, "key");

    f->certificate = text_of(c, o, "certificate");
    f->token_key = key == NULL || strcmp(key, "generate") == 0 ? NULL : key;
    f->ca_file = text_of(c, o, "cafile");
    if (f->certificate == NULL) {
        complain(f->command, "--broker-dir needs --certificate FILE: what the broker shows to its clients");
        return EXIT_USAGE;
    }
    int code = broker_folder_prepare(f);
    if (code == GO_ON)
        code = fill_folder(f, o, question);
    broker_folder_done(f);
    return code;
}

static int ask(const struct as_command *c, const char *name, struct as_options *o, const struct text_list *rest)
{
    CLEANUP(js_unrefp)
    struct js *question = js_new_object(), *answer = NULL;
    const char *of_env = getenv("SYMBOLON_AS_SOCKET");
    const char *path = o->socket != NULL ? o->socket : of_env != NULL ? of_env : ADMIN_SOCKET_DEFAULT;
    struct broker_folder folder = { .command = name,
                                    .dir = text_of(c, o, "broker-dir"),
                                    .socket = path,
                                    .state_dir = text_of(c, o, "state-dir") };
    struct why why = { 0 };
    enum status st = make_question(c, o, rest, question, &why);

    if (st != ST_OK) {
        complain(name, "%s", why.text != NULL ? why.text : status_text(st));
        return EXIT_USAGE;
    }
    if (folder.dir != NULL)
        return add_with_folder(c, o, &folder, question);
    if (text_of(c, o, "cafile") != NULL || text_of(c, o, "state-dir") != NULL) {
        complain(name, "--cafile and --state-dir go with --broker-dir");
        return EXIT_USAGE;
    }
    int code = ask_server(name, o, path, question, &answer);
    return code == GO_ON ? show_answer(name, o, answer) : code;
}

/* ---- words and options ---- */

static void make_rows(const struct as_command *c, struct option_row rows[ARGS_MAX + 1])
{
    size_t n = 0;

    for (size_t i = 0; c->args[i].kind != ARG_END; i++) {
        const struct arg *arg = &c->args[i];
        bool flag = arg->kind == ARG_YES || arg->kind == ARG_NO,
             list = arg->kind == ARG_LIST || arg->kind == ARG_SCOPE;
        if (positional(arg))
            continue;
        rows[n++] = (struct option_row){
            .name = arg->name,
            .kind = flag                      ? OPTION_FLAG
                    : list                    ? OPTION_LIST
                    : arg->kind == ARG_NUMBER ? OPTION_NUMBER
                                              : OPTION_TEXT,
            .offset = offsetof(struct as_options, values) + i * sizeof(union arg_value),
            .arg = flag                             ? NULL
                   : arg->kind == ARG_NUMBER        ? "N"
                   : arg->kind == ARG_DIR           ? "DIR"
                   : arg->kind >= ARG_FILE && !list ? "FILE"
                                                    : "TEXT",
            .help = arg->help,
            .min = 1,
            .max = INT32_MAX,
        };
    }
    rows[n] = (struct option_row){ .kind = OPTION_END };
}

static void free_lists(const struct as_command *c, struct as_options *o)
{
    for (size_t i = 0; c->args[i].kind != ARG_END; i++)
        if (c->args[i].kind == ARG_LIST || c->args[i].kind == ARG_SCOPE)
            text_list_done(&o->values[i].list);
}

static int run_one(const struct as_command *c, struct as_options *o, int argc, char **argv)
{
    struct option_row rows[ARGS_MAX + 1];
    struct text_list rest = { 0 };
    char name[64], line[256];
    size_t len;

    make_rows(c, rows);
    snprintf(name, sizeof name, "symbolon as %s", c->words);
    snprintf(line, sizeof line, "%s [options]", name);
    for (size_t i = 0; c->args[i].kind != ARG_END; i++) {
        len = strlen(line);
        if (positional(&c->args[i]))
            snprintf(line + len, sizeof line - len, c->args[i].kind == ARG_MAYBE ? " [%s]" : " %s",
                     c->args[i].name);
    }
    const struct option_set sets[] = { { rows, 0 }, { common_rows, 0 } };
    const struct option_command usage = { .usage = line, .about = c->about, .sets = sets, .set_count = 2 };
    int code = command_options(&usage, name, argc, argv, o, &rest);
    if (code == GO_ON)
        code = ask(c, name, o, &rest);
    text_list_done(&rest);
    free_lists(c, o);
    return code;
}

static void list_commands(FILE *out)
{
    fputs("usage: symbolon as [--socket PATH] [--credential FILE] [--json] COMMAND [options]\n\n", out);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        fprintf(out, "  %-22s %s\n", commands[i].words, commands[i].about);
    fputs("\n\"symbolon as COMMAND --help\" says more about one of them.\n", out);
}

/* How many words of argv name this command; 0 if they do not. */
static int words_match(const struct as_command *c, int argc, char **argv)
{
    const char *space = strchr(c->words, ' ');
    size_t first = space == NULL ? strlen(c->words) : (size_t)(space - c->words);

    if (argc < 1 || strlen(argv[0]) != first || memcmp(argv[0], c->words, first) != 0)
        return 0;
    if (space == NULL)
        return 1;
    return argc >= 2 && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

int run_as(int argc, char **argv)
{
    struct as_options options = { 0 };
    int at = 1;

    /* --socket, --credential and --json are allowed in front of the command, too. */
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--json") == 0) {
            options.json = true;
        } else if (strcmp(argv[at], "--socket") == 0 && at + 1 < argc) {
            options.socket = argv[++at];
        } else if (strcmp(argv[at], "--credential") == 0 && at + 1 < argc) {
            options.credential = argv[++at];
        } else {
            bool help = strcmp(argv[at], "--help") == 0;
            list_commands(help ? stdout : stderr);
            return help ? EXIT_DONE : EXIT_USAGE;
        }
    }
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        int words = words_match(&commands[i], argc - at, argv + at);
        if (words > 0)
            return run_one(&commands[i], &options, argc - at - words + 1, argv + at + words - 1);
    }
    if (at < argc)
        complain("symbolon as", "no such command: %s%s%s", argv[at], at + 1 < argc ? " " : "",
                 at + 1 < argc ? argv[at + 1] : "");
    list_commands(stderr);
    return EXIT_USAGE;
}
