/* symbolon: the command. See cli/command.h. */
#include "cli/command.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct { int code; const char *text; } codes[] = {
#define CODE_ROW(name, number, words) { number, words },
    EXIT_LIST(CODE_ROW)
#undef CODE_ROW
};
/* clang-format on */

static int run_version(int argc UNUSED, char **argv UNUSED)
{
    printf("symbolon %s\n", symbolon_version());
    return EXIT_DONE;
}

static int run_codes(int argc UNUSED, char **argv UNUSED)
{
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        printf("%4d  %s\n", codes[i].code, codes[i].text);
    return EXIT_DONE;
}

/* clang-format off */
static const struct command commands[] = {
    { "pub",    "publish messages",                                        run_pub    },
    { "sub",    "subscribe and print what comes",                          run_sub    },
    { "rr",     "publish a request and print the response",                run_rr     },
    { "enroll", "register this machine at an authorization server",        run_enroll },
    { "key",    "make and show proof-of-possession keys",                  run_key    },
    { "token",  "get, show and take apart tokens",                         run_token  },
    { "as",     "administer an authorization server on this machine",      run_as     },
    { "broker", "look at and command a broker on this machine",            run_broker },
    { "conformance", "test a broker or an authorization server against RFC 9431 and 9200", run_conformance },
    { "doctor", "look at a broker and say in words what was found",        run_doctor },
    { "bench",  "put load on a broker and measure it",                     run_bench  },
    { "exit-codes", "what the exit statuses mean",                         run_codes  },
    { "version", "print the version",                                      run_version },
};
/* clang-format on */

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed standard output is an error to report, not a reason to vanish */
    if (argc >= 2 && strcmp(argv[1], "--version") == 0)
        return run_version(0, NULL);
    int code = command_dispatch(commands, COUNT_OF(commands), "symbolon", argc, argv);
    if (fflush(stdout) != 0 && code == EXIT_DONE) {
        complain("symbolon", "writing to standard output failed");
        code = EXIT_FAILED;
    }
    return code;
}
