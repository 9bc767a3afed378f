#include "cli/command.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const enum exit_code codes[] = {
    [SYMBOLON_OK]             = EXIT_DONE,
    [SYMBOLON_INVALID]        = EXIT_USAGE,
    [SYMBOLON_MALFORMED]      = EXIT_PROTOCOL,
    [SYMBOLON_PROTOCOL]       = EXIT_PROTOCOL,
    [SYMBOLON_NOT_AUTHORIZED] = EXIT_NOT_AUTHORIZED,
    [SYMBOLON_REFUSED]        = EXIT_REFUSED,
    [SYMBOLON_UNTRUSTED]      = EXIT_UNTRUSTED,
    [SYMBOLON_NO_TOKEN]       = EXIT_NO_TOKEN,
    [SYMBOLON_TOKEN_EXPIRED]  = EXIT_NO_TOKEN,
    [SYMBOLON_UNREACHABLE]    = EXIT_UNREACHABLE,
    [SYMBOLON_TIMEOUT]        = EXIT_UNREACHABLE,
    [SYMBOLON_CLOSED]         = EXIT_UNREACHABLE,
    [SYMBOLON_TOO_LARGE]      = EXIT_REFUSED,
    [SYMBOLON_QUEUE_FULL]     = EXIT_REFUSED,
    [SYMBOLON_UNSUPPORTED]    = EXIT_PROTOCOL,
    [SYMBOLON_IO]             = EXIT_FILE,
    [SYMBOLON_NO_MEMORY]      = EXIT_FAILED,
    [SYMBOLON_INTERNAL]       = EXIT_FAILED,
    [SYMBOLON_EXISTS]         = EXIT_FILE,
    [SYMBOLON_NOT_FOUND]      = EXIT_FILE,
};
/* clang-format on */

enum exit_code exit_code_for(enum symbolon_status status)
{
    return (size_t)status < COUNT_OF(codes) ? codes[status] : EXIT_FAILED;
}

void complain(const char *command, const char *fmt, ...)
{
    CLEANUP(freep)
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    if (text != NULL)
        utf8_tame(text); /* some of it comes from brokers */
    fprintf(stderr, "%s: %s\n", command, text == NULL ? "out of memory" : text);
}

int complain_error(const char *command, const struct symbolon_error *error)
{
    if (error->clause[0] != '\0')
        complain(command, "%s [%s]", error->text, error->clause);
    else
        complain(command, "%s", error->text);
    return exit_code_for(error->status);
}

static void list(FILE *out, const struct command *commands, size_t count, const char *path)
{
    fprintf(out, "usage: %s COMMAND [options]\n\n", path);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n\"%s COMMAND --help\" says more about one of them.\n", path);
}

int command_dispatch(const struct command *commands, size_t count, const char *path, int argc, char **argv)
{
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        list(stdout, commands, count, path);
        return EXIT_DONE;
    }
    for (size_t i = 0; argc >= 2 && i < count; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (argc >= 2)
        complain(path, "no such command: %s", argv[1]);
    list(stderr, commands, count, path);
    return EXIT_USAGE;
}

int command_options(const struct option_command *command, const char *name, int argc, char **argv, void *target,
                    struct text_list *rest)
{
    struct text_list own = { 0 };
    char complaint[256];
    int code = GO_ON;

    switch (
        options_parse(command, argc, argv, target, rest == NULL ? &own : rest, complaint, sizeof complaint)) {
    case OPTION_HELP_SHOWN:
        code = EXIT_DONE;
        break;
    case OPTION_BAD:
        complain(name, "%s (\"%s --help\" lists the options)", complaint, name);
        code = EXIT_USAGE;
        break;
    case OPTION_OK:
        if (own.count > 0) {
            complain(name, "what is \"%s\"? (\"%s --help\" lists the options)", own.items[0], name);
            code = EXIT_USAGE;
        }
    }
    text_list_done(&own);
    return code;
}
