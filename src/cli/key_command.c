/* symbolon key: make and look at proof-of-possession keys. */
#include "cli/command.h"
#include "symbolon/key.h"

#include <stdio.h>
#include <string.h>

struct key_options {
    const char *type;
    bool json;
};

/* clang-format off */
static const struct option_row new_rows[] = {
    { 0, "type", OPTION_TEXT, offsetof(struct key_options, type), "TYPE", "ed25519 (default) or es256 (P-256)" },
    { 0, "json", OPTION_FLAG, offsetof(struct key_options, json), NULL,   "print the result as JSON" },
    { .kind = OPTION_END },
};

static const struct option_row show_rows[] = {
    { 0, "json", OPTION_FLAG, offsetof(struct key_options, json), NULL, "print the public key as a JWK only" },
    { .kind = OPTION_END },
};
/* clang-format on */

static const struct option_set new_sets[] = { { new_rows, 0 } };
static const struct option_set show_sets[] = { { show_rows, 0 } };

static const struct option_command new_usage = {
    .usage = "symbolon key new [--type TYPE] FILE",
    .about = "Makes a private key and writes it to FILE (PEM, PKCS #8, mode 0600). An existing file is never "
             "overwritten.",
    .sets = new_sets,
    .set_count = 1,
};

static const struct option_command show_usage = {
    .usage = "symbolon key show [--json] FILE",
    .about = "Shows the public part of a private key: its type, its thumbprint (RFC 7638) and the JWK to "
             "register at an "
             "authorization server. Nothing private is printed.",
    .sets = show_sets,
    .set_count = 1,
};

static const char *type_name(enum symbolon_key_type type)
{
    return type == SYMBOLON_KEY_ED25519 ? "Ed25519" : type == SYMBOLON_KEY_P256 ? "P-256 (ES256)" : "secret";
}

static int print_key(const struct symbolon_key *key, const char *path, bool json, const char *command)
{
    struct symbolon_error error;
    char thumbprint[SYMBOLON_THUMBPRINT_TEXT];
    char *jwk = NULL;

    if (symbolon_key_thumbprint(key, thumbprint, &error) != SYMBOLON_OK ||
        symbolon_key_public_jwk(key, &jwk, &error) != SYMBOLON_OK)
        return complain_error(command, &error);
    if (json)
        printf("%s\n", jwk);
    else
        printf("file        %s\ntype        %s\nthumbprint  %s\npublic JWK  %s\n", path,
               type_name(symbolon_key_type(key)), thumbprint, jwk);
    symbolon_free(jwk);
    return EXIT_DONE;
}

static int one_file(const struct text_list *rest, const char *command)
{
    if (rest->count == 1)
        return GO_ON;
    complain(command, "name one file");
    return EXIT_USAGE;
}

static int make(const struct key_options *o, const char *path, const char *command)
{
    enum symbolon_key_type type = SYMBOLON_KEY_ED25519;
    struct symbolon_key *key = NULL;
    struct symbolon_error error;
    int code;

    if (o->type != NULL && strcmp(o->type, "es256") == 0) {
        type = SYMBOLON_KEY_P256;
    } else if (o->type != NULL && strcmp(o->type, "ed25519") != 0) {
        complain(command, "--type is ed25519 or es256, not %s", o->type);
        return EXIT_USAGE;
    }
    if (symbolon_key_generate(type, &key, &error) != SYMBOLON_OK)
        return complain_error(command, &error);
    if (symbolon_key_save(key, path, &error) != SYMBOLON_OK)
        code = complain_error(command, &error);
    else
        code = print_key(key, path, o->json, command);
    symbolon_key_unref(key);
    return code;
}

static int run_new(int argc, char **argv)
{
    static const char name[] = "symbolon key new";
    struct key_options options = { 0 };
    struct text_list rest = { 0 };
    int code = command_options(&new_usage, name, argc, argv, &options, &rest);

    if (code == GO_ON)
        code = one_file(&rest, name);
    if (code == GO_ON)
        code = make(&options, rest.items[0], name);
    text_list_done(&rest);
    return code;
}

static int show(const struct key_options *o, const char *path, const char *command)
{
    struct symbolon_key *key = NULL;
    struct symbolon_error error;

    if (symbolon_key_load(path, &key, &error) != SYMBOLON_OK)
        return complain_error(command, &error);
    int code = print_key(key, path, o->json, command);
    symbolon_key_unref(key);
    return code;
}

static int run_show(int argc, char **argv)
{
    static const char name[] = "symbolon key show";
    struct key_options options = { 0 };
    struct text_list rest = { 0 };
    int code = command_options(&show_usage, name, argc, argv, &options, &rest);

    if (code == GO_ON)
        code = one_file(&rest, name);
    if (code == GO_ON)
        code = show(&options, rest.items[0], name);
    text_list_done(&rest);
    return code;
}

int run_key(int argc, char **argv)
{
    static const struct command commands[] = {
        { "new", "make a private key", run_new },
        { "show", "show the public part of one", run_show },
    };

    return command_dispatch(commands, COUNT_OF(commands), "symbolon key", argc, argv);
}
