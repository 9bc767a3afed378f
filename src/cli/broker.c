/* symbolon broker: a thin front of the broker's control socket, and what is done to its files while it does not run. */
#include "cli/admin.h"
#include "cli/ask.h"
#include "cli/store.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct ask_command commands[] = {
    { "stats",  "stats",  "the counters of the broker, as in the event `statistics`", { { 0 } } },
    { "clients", "clients", "list the sessions, connected or not", {
        { ARG_TEXT,   "prefix", "prefix",    "only Client Identifiers that begin so" },
        { ARG_YES,    "connected", "connected", "only those that are connected" },
        { ARG_NUMBER, "limit",  "limit",     "at most so many rows (default 100)" },
        { ARG_TEXT,   "after",  "after",     "go on behind this Client Identifier (\"next\" of the answer before)" } } },
    { "disconnect", "disconnect", "end the connection of a client; it may come back", {
        { ARG_WORD,   "CLIENT", "client_id", NULL } } },
    { "bans",   "bans",   "list the addresses that are not let in at present", {
        { ARG_NUMBER, "limit",  "limit",     "at most so many rows (default 100)" } } },
    { "unban",  "unban",  "let an address in again, and forget what it has done", {
        { ARG_MAYBE,  "ADDRESS", "address",  NULL },
        { ARG_YES,    "all",    "all",       "all of them" } } },
};

static const struct option_row common_rows[] = {
    { 0, "socket", OPTION_TEXT, offsetof(struct ask_options, socket), "PATH", "control socket (default: $SYMBOLON_BROKER_SOCKET, else " BROKER_SOCKET_DEFAULT ")" },
    { 0, "json",   OPTION_FLAG, offsetof(struct ask_options, json),   NULL,   "print the answer as JSON" },
    { .kind = OPTION_END },
};

/* These need no running broker. */
static const struct command others[] = {
    { "store", "look into the store: check, stats, export, copy", run_broker_store },
    { NULL, NULL, NULL },
};
/* clang-format on */

static void list_others(FILE *out)
{
    for (const struct command *c = others; c->name != NULL; c++)
        fprintf(out, "  %-22s %s\n", c->name, c->summary);
}

int run_broker(int argc, char **argv)
{
    static const struct ask_front front = { .name = "symbolon broker",
                                            .commands = commands,
                                            .count = COUNT_OF(commands),
                                            .rows = common_rows,
                                            .usage = "[--socket PATH] [--json]",
                                            .socket_env = "SYMBOLON_BROKER_SOCKET",
                                            .socket_default = BROKER_SOCKET_DEFAULT,
                                            .list_more = list_others };

    for (const struct command *c = others; argc >= 2 && c->name != NULL; c++)
        if (strcmp(argv[1], c->name) == 0)
            return c->run(argc - 1, argv + 1);
    return ask_run(&front, argc, argv);
}
