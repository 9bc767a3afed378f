#include "cli/printer.h"

#include "cli/command.h"
#include "cli/format.h"

#include <stdio.h>
#include <unistd.h>

#define AT(member)     offsetof(struct print_options, member)
#define LINE_MAX_BYTES (SIZE_MAX / 4) /* a message's size is bounded by max_packet_size already */

/* clang-format off */
const struct option_row print_rows[] = {
    { .name = "Output:", .kind = OPTION_HEADING },
    { 'F', "format",     OPTION_TEXT, AT(format),     "FORMAT", "how to print a message: %t topic, %p payload, %x payload in hex, %l length, %q QoS, %r retained, %U Unix time, %I ISO time, %j JSON, %J JSON with the payload as JSON; all of them in symbolon(1)" },
    { 'v', "verbose",    OPTION_FLAG, AT(verbose),    NULL,     "topic and payload, as -F '%t %p'" },
    { 0,   "pretty",     OPTION_FLAG, AT(pretty),     NULL,     "%j and %J over several lines" },
    { 'N', "no-newline", OPTION_FLAG, AT(no_newline), NULL,     "no newline behind a message" },
    { .kind = OPTION_END },
};
/* clang-format on */

const char *print_options_check(const struct print_options *o)
{
    size_t at;

    if (o->format == NULL || format_check(o->format, &at))
        return NULL;
    return "-F holds a % or \\ sequence nobody knows (symbolon(1) lists them)";
}

int print_message(const struct print_options *o, const char *command, const struct symbolon_message *message)
{
    CLEANUP(buf_done)
    struct buf line = { .max = LINE_MAX_BYTES };
    const char *format = o->format != NULL ? o->format : o->verbose ? "%t %p" : "%p";
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    enum status st = format_message(
        format, o->pretty, isatty(STDOUT_FILENO) == 1 ? FORMAT_TERMINAL : FORMAT_PROGRAM, message, now, &line);
    if (st == ST_MALFORMED) {
        complain(command, "a message that %%J cannot print: its payload is no JSON");
        return EXIT_DONE;
    }
    if (!o->no_newline)
        put_str(&line, "\n");
    if (st != ST_OK || !buf_ok(&line)) {
        complain(command, "out of memory");
        return EXIT_FAILED;
    }
    if (fwrite(line.p, 1, line.len, stdout) != line.len || fflush(stdout) != 0) {
        complain(command, "writing to standard output failed");
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}
