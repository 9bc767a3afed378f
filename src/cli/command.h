/* cli/command.h - the `symbolon` command: one file per subcommand, one table (main.c) that names them.
 * A subcommand gets its own arguments (argv[0] is its name), prints results to standard output and complaints to
 * standard error, and returns one of the exit codes below, which are part of the interface. */
#ifndef SYMBOLON_CLI_COMMAND_H
#define SYMBOLON_CLI_COMMAND_H

#include "cli/option.h"
#include "symbolon/error.h"

/* clang-format off */
/*     name            code  meaning                                                                             */
#define EXIT_LIST(X)                                                                                             \
    X( DONE,            0,   "done; every message was accepted"                                               )  \
    X( FAILED,          1,   "something else went wrong (no memory, a bug, standard output closed)"           )  \
    X( USAGE,           2,   "the command line or the profile makes no sense"                                 )  \
    X( UNREACHABLE,     3,   "no answer from the broker or the authorization server, or the connection broke" )  \
    X( NOT_AUTHORIZED,  4,   "not authorized: by the broker (reason code 0x87) or the authorization server"   )  \
    X( REFUSED,         5,   "refused by the broker for another reason"                                       )  \
    X( UNTRUSTED,       6,   "a certificate, a pinned key, a file's mode or an authorization server is not trusted" ) \
    X( NO_TOKEN,        7,   "a token is needed and there is no way to get one, or it has expired"            )  \
    X( PROTOCOL,        8,   "the other side does not follow the protocol, or speaks a variant we do not"     )  \
    X( FILE,            9,   "a file is missing, exists already, or cannot be read or written"                )  \
    X( TIMEOUT,        27,   "the time given with -W is over (as mosquitto_sub does)"                         )
/* clang-format on */

enum exit_code {
#define EXIT_ENUM(name, code, text) EXIT_##name = code,
    EXIT_LIST(EXIT_ENUM)
#undef EXIT_ENUM
};

enum exit_code exit_code_for(enum symbolon_status status);

struct command {
    const char *name;
    const char *summary; /* one line for the list */
    int (*run)(int argc, char **argv);
};

int run_key(int argc, char **argv);
int run_token(int argc, char **argv);
int run_pub(int argc, char **argv);
int run_sub(int argc, char **argv);
int run_rr(int argc, char **argv);
int run_enroll(int argc, char **argv);
int run_as(int argc, char **argv);
int run_broker(int argc, char **argv);
int run_conformance(int argc, char **argv);
int run_bench(int argc, char **argv);
int run_doctor(int argc, char **argv);

/* Runs the one `argv[1]` names; prints the list for --help or a name nobody knows. `path` is what the user typed so
 * far ("symbolon as client"). */
int command_dispatch(const struct command *commands, size_t count, const char *path, int argc, char **argv);

/* Parses the options of the command `name` ("symbolon pub"). GO_ON, or the exit code after --help or a complaint.
 * `rest` takes what is no option; NULL: there must be nothing. */
#define GO_ON (-1)
int command_options(const struct option_command *command, const char *name, int argc, char **argv, void *target,
                    struct text_list *rest);

/* "symbolon pub: <text>" to standard error, in one write. */
void complain(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for a failed library call; returns the exit code for it. */
int complain_error(const char *command, const struct symbolon_error *error);

#endif
