/* A settings file of any bytes: refused or read, printed, and read again. */
#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct entry {
    char *word;
    int64_t ms;
};

struct settings {
    int64_t number;
    size_t size;
    bool flag;
    int choice;
    char *path;
    struct config_strings words;
    struct config_records entries;
};

static const char *const choices[] = { "a", "b", NULL };
static const struct config_setting entry_rows[] = {
    { "word", CONFIG_STRING, AT(struct entry, word), .help = "Word." },
    { "ms", CONFIG_DURATION_MS, AT(struct entry, ms), .help = "Time." },
    { NULL },
};
static const struct config_table entry_table = { "entry", entry_rows, sizeof(struct entry), NULL };
static const struct config_setting rows[] = {
    { "n", CONFIG_INT, AT(struct settings, number), .min = -5, .max = 1000, .help = "Number." },
    { "size", CONFIG_SIZE, AT(struct settings, size), .help = "Size." },
    { "flag", CONFIG_BOOL, AT(struct settings, flag), .help = "Flag." },
    { "s.choice", CONFIG_ENUM, AT(struct settings, choice), .choices = choices, .help = "Choice." },
    { "s.path", CONFIG_PATH, AT(struct settings, path), .help = "Path." },
    { "words", CONFIG_STRINGS, AT(struct settings, words), .help = "Words." },
    { "entries", CONFIG_RECORDS, AT(struct settings, entries), .record = &entry_table, .help = "Entries." },
    { NULL },
};
static const struct config_table table = { "fuzz", rows, sizeof(struct settings), NULL };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct settings s;
    struct buf problem, text, again;

    buf_init(&problem, CONFIG_PROBLEM_MAX);
    buf_init(&text, CONFIG_FILE_MAX);
    buf_init(&again, CONFIG_FILE_MAX);
    if (config_parse(&table, span_of(data, len), "etc/f.yaml", &s, &problem) == ST_OK) {
        config_print(&table, &s, &text);
        config_done(&table, &s);
        /* Invalid UTF-8 never gets this far and paths are absolute or already resolved, so it must read back.
         */
        if (buf_ok(&text) && config_parse(&table, buf_span(&text), NULL, &s, NULL) == ST_OK) {
            config_print(&table, &s, &again);
            ASSERT(span_eq(buf_span(&text), buf_span(&again)));
            config_done(&table, &s);
        } else {
            ASSERT(!buf_ok(&text));
        }
    }
    buf_done(&problem);
    buf_done(&text);
    buf_done(&again);
    return 0;
}
