/* symbolon as: a thin front of the admin socket. */
#include "cli/admin.h"
#include "cli/ask.h"
#include "cli/broker_folder.h"
#include "cli/json_text.h"

#define LIMIT                                                              \
    {                                                                      \
        ARG_NUMBER, "limit", "limit", "at most so many rows (default 100)" \
    }
#define AFTER                                                                               \
    {                                                                                       \
        ARG_TEXT, "after", "after", "go on behind this one (\"next\" of the answer before)" \
    }

/* clang-format off */
static const struct ask_command commands[] = {
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

/* clang-format off */
static const struct option_row common_rows[] = {
    { 0, "socket",     OPTION_TEXT, offsetof(struct ask_options, socket),     "PATH", "admin socket (default: $SYMBOLON_AS_SOCKET, else " ADMIN_SOCKET_DEFAULT ")" },
    { 0, "credential", OPTION_TEXT, offsetof(struct ask_options, credential), "FILE", "log in with the admin credential in this file, closed to others (default: $SYMBOLON_AS_CREDENTIAL; root and the server's user need none)" },
    { 0, "json",       OPTION_FLAG, offsetof(struct ask_options, json),       NULL,   "print the answer as JSON" },
    { .kind = OPTION_END },
};
/* clang-format on */

/* ---- rs add --broker-dir ---- */

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

static int fill_folder(const struct broker_folder *f, struct ask_options *o, struct js *question)
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

static int add_with_folder(const struct ask_command *c, struct ask_options *o, struct broker_folder *f,
                           struct js *question)
{
    const char *key = ask_text_of(c, o, "key");

    f->certificate = ask_text_of(c, o, "certificate");
    f->token_key = key == NULL || strcmp(key, "generate") == 0 ? NULL : key;
    f->ca_file = ask_text_of(c, o, "cafile");
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

static int with_folder(const struct ask_command *c, const char *name, struct ask_options *o, const char *socket,
                       struct js *question)
{
    struct broker_folder folder = { .command = name,
                                    .dir = ask_text_of(c, o, "broker-dir"),
                                    .socket = socket,
                                    .state_dir = ask_text_of(c, o, "state-dir") };

    if (folder.dir != NULL)
        return add_with_folder(c, o, &folder, question);
    if (ask_text_of(c, o, "cafile") == NULL && ask_text_of(c, o, "state-dir") == NULL)
        return GO_ON;
    complain(name, "--cafile and --state-dir go with --broker-dir");
    return EXIT_USAGE;
}

int run_as(int argc, char **argv)
{
    static const struct ask_front front = { .name = "symbolon as",
                                            .commands = commands,
                                            .count = COUNT_OF(commands),
                                            .rows = common_rows,
                                            .usage = "[--socket PATH] [--credential FILE] [--json]",
                                            .socket_env = "SYMBOLON_AS_SOCKET",
                                            .socket_default = ADMIN_SOCKET_DEFAULT,
                                            .credential_env = "SYMBOLON_AS_CREDENTIAL",
                                            .instead = with_folder };

    return ask_run(&front, argc, argv);
}
