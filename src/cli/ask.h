/* cli/ask.h - commands that are one question to a daemon's unix socket: `symbolon as`, `symbolon broker`. One table says
 * which words make which question; everything else (building it, --help, showing the answer) follows from it. */
#ifndef SYMBOLON_CLI_ASK_H
#define SYMBOLON_CLI_ASK_H

#include "cli/command.h"
#include "codec/json.h"

#include <stdio.h>

#define ASK_ARGS_MAX 20

enum ask_kind {
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

struct ask_arg {
    enum ask_kind kind;
    const char *name;   /* of the option; of a positional: what stands in the usage line */
    const char *member; /* of the question */
    const char *help;
};

struct ask_command {
    const char *words; /* "client add" */
    const char *cmd;   /* "client.add" */
    const char *about;
    struct ask_arg args[ASK_ARGS_MAX];
};

union ask_value {
    const char *text;
    int64_t number;
    bool flag;
    struct text_list list;
};

struct ask_options {
    const char *socket, *credential;
    bool json;
    union ask_value values[ASK_ARGS_MAX];
};

/* One daemon's commands. */
struct ask_front {
    const char *name; /* "symbolon as" */
    const struct ask_command *commands;
    size_t count;
    const struct option_row *rows; /* of all commands, into struct ask_options */
    const char *usage;             /* of the options that may stand in front of the command: "[--json]" */
    const char *socket_env, *socket_default;
    const char *credential_env; /* NULL: nobody logs in */
    /* What some commands do instead of asking; NULL: none does. GO_ON: ask. */
    int (*instead)(const struct ask_command *command, const char *name, struct ask_options *options,
                   const char *socket, struct js *question);
    void (*list_more)(FILE *out); /* other commands of that name, for --help; may be NULL */
};

int ask_run(const struct ask_front *front, int argc, char **argv);

/* For `instead`: */
const char *ask_text_of(const struct ask_command *command, const struct ask_options *options, const char *name);
/* GO_ON: asked, and not refused. */
int ask_and_get(const char *name, struct ask_options *options, const char *socket, const struct js *question,
                struct js **ret_answer);

#endif
