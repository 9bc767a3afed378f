/* cli/option.h - command line options as one table per command: the parser and --help both come from it.
 * A row writes one member of the command's own struct, whose address is given at parse time. Texts point into argv.
 * Forms: -q 1, -q1, -qr (flags together), --qos 1, --qos=1; "--" ends the options. */
#ifndef SYMBOLON_CLI_OPTION_H
#define SYMBOLON_CLI_OPTION_H

#include "base/defs.h"

enum option_kind {
    OPTION_END,    /* behind the last row of a table */
    OPTION_FLAG,   /* bool: set to true */
    OPTION_TEXT,   /* const char * */
    OPTION_NUMBER, /* int64_t within [min, max] */
    OPTION_LIST,   /* struct text_list, may be given more than once */
    OPTION_PROPERTY, /* struct text_list: four words each time, as mosquitto's -D has them: command, name, value, and
                      * of a user-property the second value, else "" */
    OPTION_SECONDS, /* int64_t in milliseconds, written as seconds with decimals: 1, 0.25; at most max ms */
    OPTION_HEADING, /* a line in --help, no option */
};

struct text_list {
    const char **items;
    size_t count;
};

void text_list_done(struct text_list *list);
bool text_list_add(struct text_list *list, const char *item) MUST_CHECK;

struct option_row {
    char letter;      /* 0: none */
    const char *name; /* without "--"; NULL: none. OPTION_HEADING: the heading */
    enum option_kind kind;
    size_t offset;   /* of the member */
    const char *arg; /* what stands for the value in --help; NULL for flags */
    const char *help;
    int64_t min, max;
};

struct option_set {
    const struct option_row *rows; /* up to OPTION_END */
    size_t base;                   /* added to every offset: where the set's struct lies inside the command's */
};

struct option_command {
    const char *usage; /* "symbolon pub [options] -t TOPIC (-m MESSAGE | ...)" */
    const char *about; /* paragraphs under the usage line */
    const char *after; /* paragraphs at the end; may be NULL */
    const struct option_set *sets;
    size_t set_count;
};

enum option_result { OPTION_OK, OPTION_HELP_SHOWN, OPTION_BAD };

/* Fills `target`; what is no option goes to `rest` (caller frees with text_list_done()). On OPTION_BAD `complaint`
 * says why ("-q wants a number from 0 to 2"). --help is always known and prints to standard output. */
enum option_result options_parse(const struct option_command *command, int argc, char **argv, void *target,
                                 struct text_list *rest, char *complaint, size_t complaint_cap);

#endif
