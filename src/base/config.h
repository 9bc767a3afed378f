/* base/config.h - settings: one table per program gives the parser, the defaults, --check-config, the reference
 * page and the sample file. YAML is read through libcyaml, and only config.c knows that library.
 *
 *   struct broker_settings {
 *       int64_t workers;
 *       char *certificate;
 *   };
 *   static const struct config_setting settings[] = {
 *       { "workers", CONFIG_INT, AT(struct broker_settings, workers), .dflt = "0", .max = 64,
 *         .help = "Worker threads; 0 takes one per core." },
 *       { "tls.certificate", CONFIG_PATH, AT(struct broker_settings, certificate), .flags = CONFIG_REQUIRED,
 *         .example = "server.pem", .help = "PEM file with the server's certificate chain." },
 *       { NULL }
 *   };
 *   static const struct config_table table = { "symbolon-broker", settings, sizeof(struct broker_settings), NULL };
 *
 * A name has at most one dot: "tls.certificate" is the key `certificate` in the mapping `tls`. An unknown key,
 * a key given twice, a value of the wrong form or outside its range is an error that names the key, the line
 * where known, and what would be allowed. Nothing is taken silently.
 * Ownership: config_load() fills the caller's struct with heap strings and lists; config_done() frees them all
 *            and may be called on a zeroed, half-filled or already freed struct. Secrets are wiped.
 * Threads:   tables are constant; a loaded struct is not written any more, so any thread may read it. */
#ifndef SYMBOLON_BASE_CONFIG_H
#define SYMBOLON_BASE_CONFIG_H

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

enum config_type {
    CONFIG_BOOL,        /* bool: true, false, yes, no, on, off                                             */
    CONFIG_INT,         /* int64_t: decimal                                                                */
    CONFIG_DURATION_S,  /* int64_t whole seconds: "90", "90s", "15m", "2h", "7d"                           */
    CONFIG_DURATION_MS, /* int64_t milliseconds: the same and "250ms"; a bare number is seconds            */
    CONFIG_SIZE,        /* size_t bytes: "4096", "64k", "1m", "2g" (powers of 1024)                        */
    CONFIG_STRING,      /* char *, heap, NULL when absent without default                                  */
    CONFIG_PATH,        /* char *, as a string; a relative one starts at the settings file's own directory */
    CONFIG_ENUM,        /* int: index into .choices                                                        */
    CONFIG_STRINGS,     /* struct config_strings                                                           */
    CONFIG_RECORDS,     /* struct config_records of .record structs: a YAML list of mappings               */
    CONFIG_TYPES
};

#define CONFIG_REQUIRED IN(0) /* must be in the file */
#define CONFIG_SECRET   IN(1) /* never printed; wiped when freed */
#define CONFIG_LIVE     IN(2) /* taken over by a reload (SIGHUP), without a restart */

struct config_strings {
    char **items;
    size_t count;
};

/* `items` is an array of `count` structs of the row's .record->size bytes; cast it once:
 * struct listener *listeners = settings.listeners.items; */
struct config_records {
    void *items;
    size_t count;
};

struct config_table;

struct config_setting {
    const char *name; /* NULL ends the table */
    enum config_type type;
    size_t offset; /* AT(struct, member) */
    /* As written in the file; NULL: zero, NULL, the first choice. A list starts empty and must have NULL here,
     * because libcyaml does not tell "[]" from an absent list. */
    const char *dflt;
    int64_t min, max; /* CONFIG_INT, _DURATION_*, _SIZE in the member's own unit; both 0: anything >= 0.
                       * CONFIG_STRINGS and _RECORDS: least entries, most entries (0: CONFIG_LIST_MAX) */
    const char *unit; /* for the reference page: "bytes", "messages"; durations and sizes know theirs */
    const char *const *choices;        /* CONFIG_ENUM: NULL-terminated, in the enum's order */
    const struct config_table *record; /* CONFIG_RECORDS: what each entry holds; its names have no dot */
    unsigned flags;
    const char *help; /* whole sentences, one line of source text; the reference page and the sample wrap it */
    const char *example; /* for the sample file where the default does not tell; optional */
};

struct config_table {
    const char *program; /* "symbolon-broker"; for a record table the singular noun, "listener" */
    const struct config_setting *settings;
    size_t size; /* of the caller's struct */
    /* What no single row can say; `problem` gets lines. May be NULL. Called after everything parsed. */
    enum status (*check)(const void *settings, struct buf *problem);
};

#define AT(type, member)   offsetof(type, member)
#define CONFIG_LIST_MAX    256
#define CONFIG_FILE_MAX    (1024 * 1024)
#define CONFIG_PROBLEM_MAX 4096

/* Reads the file into `out` (config_table.size bytes, contents ignored), defaults filled in. On failure `out`
 * is already config_done() and `problem` (may be NULL) holds lines to show the operator, each ending in '\n':
 *   broker.yaml:7: tls.cert: unknown setting; allowed here: ca, certificate, key
 * where 7 is the line at which the mapping around the key starts.
 * ST_NOT_FOUND / ST_IO: the file; ST_MALFORMED: the contents; ST_TOO_LARGE; ST_NO_MEMORY. */
enum status config_load(const struct config_table *table, const char *path, void *out,
                        struct buf *problem) MUST_CHECK;

/* The same from memory. `file_name` is what problems name and where relative paths start; NULL: none. */
enum status config_parse(const struct config_table *table, struct span yaml, const char *file_name, void *out,
                         struct buf *problem) MUST_CHECK;

void config_done(const struct config_table *table, void *settings);

/* Every setting in force, as YAML that config_parse() reads back; secrets appear as a comment only. This
 * is what --check-config prints when all is well. With too little memory `out` fails. */
void config_print(const struct config_table *table, const void *settings, struct buf *out);

/* One text for a settings file, as a YAML double-quoted string. */
void config_string_print(const char *str, struct buf *out);

/* The documentation that the table is: `form` is "markdown" (docs/), "roff" (for the man page) or "sample" (a
 * complete settings file, defaults commented out). What --print-settings FORM prints. ST_NOT_FOUND: no such
 * form. */
enum status config_describe(const struct config_table *table, struct span form, struct buf *out) MUST_CHECK;

/* What both daemons answer before doing anything: returns true when argv asked for "--check-config" (with
 * "--config FILE") or "--print-settings FORM"; the answer went to standard output or error and *ret_exit says
 * how to leave. */
bool config_command(const struct config_table *table, int argc, char **argv, int *ret_exit);

#endif
