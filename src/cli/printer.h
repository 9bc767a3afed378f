/* cli/printer.h - received messages on standard output, for `sub` and `rr`. */
#ifndef SYMBOLON_CLI_PRINTER_H
#define SYMBOLON_CLI_PRINTER_H

#include "cli/option.h"
#include "symbolon/client.h"

struct print_options {
    const char *format; /* NULL: the payload */
    bool verbose;       /* topic in front */
    bool no_newline;
    bool pretty; /* JSON */
};

extern const struct option_row print_rows[];

/* NULL, or a complaint about the format. */
const char *print_options_check(const struct print_options *options);

/* Prints and flushes; EXIT_DONE, or the exit code after a complaint as `command`. */
int print_message(const struct print_options *options, const char *command,
                  const struct symbolon_message *message);

#endif
