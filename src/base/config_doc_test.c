/* What a settings table says about itself, what --check-config and --print-settings answer, and the same while memory
 * is short: half a description is none, and half-read settings are none. */
#include "base/config.h"
#include "support/failing_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <cyaml/cyaml.h>

struct rule {
    char *topic;
    int64_t most;
};

struct place {
    char *address;
    char *note;
    char *token;
    int kind;
    bool open;
    struct config_records rules;
};

struct settings {
    char *host;
    char *label;
    char *empty;
    int64_t wait_s;
    int64_t budget;
    int64_t offset;
    size_t room;
    int kind, form;
    bool loud;
    struct config_strings names, keys;
    struct config_records places;
    char *tls_key, *tls_note;
    char *ops_token;
};

static const char *const kinds[] = { "plain", "sealed", NULL };

static const struct config_setting rule_rows[] = {
    { "topic", CONFIG_STRING, AT(struct rule, topic), .dflt = "a/#", .help = "Which topics." },
    { "most", CONFIG_INT, AT(struct rule, most), .help = "How many." },
    { NULL }
};
static const struct config_table rule_table = { "rule", rule_rows, sizeof(struct rule), NULL };

static const struct config_setting place_rows[] = {
    { "address", CONFIG_STRING, AT(struct place, address),
      .help = ".starts with what roff takes for a command." },
    { "note", CONFIG_STRING, AT(struct place, note), .help = "'and so does this one." },
    { "token", CONFIG_STRING, AT(struct place, token), .flags = CONFIG_SECRET, .help = "Secret." },
    { "kind", CONFIG_ENUM, AT(struct place, kind), .choices = kinds, .help = "A back\\slash and a-dash." },
    { "open", CONFIG_BOOL, AT(struct place, open), .help = "Open." },
    { "rules", CONFIG_RECORDS, AT(struct place, rules), .record = &rule_table, .help = "Rules in it." },
    { NULL }
};
static const struct config_table place_table = { "place", place_rows, sizeof(struct place), NULL };

#define LONG_WORD                                                                                             \
    "https://example.org/a/very/long/address/without/any/blank/in/it/so/that/no/line/of/the/sample/file/can/" \
    "hold/it"

static const struct config_setting rows[] = {
    { "host", CONFIG_STRING, AT(struct settings, host), .flags = CONFIG_REQUIRED, .help = "Host." },
    { "label", CONFIG_STRING, AT(struct settings, label), .example = "an example",
      .help = "A help text that is longer than one line of the sample file may be, so that it is cut into two "
              "lines, between words, and goes on." },
    { "empty", CONFIG_STRING, AT(struct settings, empty), .dflt = "", .help = LONG_WORD " and more." },
    { "wait", CONFIG_DURATION_S, AT(struct settings, wait_s), .min = 1, .max = INT64_MAX, .dflt = "90s",
      .flags = CONFIG_LIVE, .help = "Wait." },
    { "budget", CONFIG_INT, AT(struct settings, budget), .unit = "messages", .help = "Budget." },
    { "offset", CONFIG_INT, AT(struct settings, offset), .min = -5, .max = 5, .help = "Offset." },
    { "room", CONFIG_SIZE, AT(struct settings, room), .help = "Room." },
    { "kind", CONFIG_ENUM, AT(struct settings, kind), .choices = kinds, .help = "Kind." },
    { "form", CONFIG_ENUM, AT(struct settings, form), .choices = kinds, .flags = CONFIG_REQUIRED,
      .example = "sealed", .help = "Form." },
    { "loud", CONFIG_BOOL, AT(struct settings, loud), .help = "Loud." },
    { "names", CONFIG_STRINGS, AT(struct settings, names), .min = 1, .max = 3, .help = "Names." },
    { "keys", CONFIG_STRINGS, AT(struct settings, keys), .flags = CONFIG_SECRET, .help = "Secret ones." },
    { "places", CONFIG_RECORDS, AT(struct settings, places), .record = &place_table, .help = "Places." },
    { "tls.key", CONFIG_PATH, AT(struct settings, tls_key), .help = "Key file." },
    { "tls.note", CONFIG_STRING, AT(struct settings, tls_note), .help = "Note." },
    { "ops.token", CONFIG_STRING, AT(struct settings, ops_token), .flags = CONFIG_SECRET, .help = "Token." },
    { NULL }
};
static const struct config_table table = { "symbolon-doc", rows, sizeof(struct settings), NULL };

#define LEAST "host: h\nform: plain\nnames: [a]\n"
#define WHOLE                                                                                   \
    LEAST "label: l\nwait: 2h\nbudget: 7\noffset: -5\nroom: 3k\nkind: sealed\nkeys: [k1, k2]\n" \
          "places: [{address: a, token: t, open: yes, rules: [{topic: x}, {most: 3}]}, {}]\n"   \
          "tls: {key: k.pem}\nops: {token: hush}\n"

static const char *text_of(struct buf *b)
{
    put_u8(b, '\0');
    assert_true(buf_ok(b));
    return (const char *)b->p;
}

static void assert_says(struct buf *b, const char *said)
{
    if (strstr(text_of(b), said) == NULL)
        fail_msg("expected \"%s\" in: %s", said, (const char *)b->p);
    buf_truncate(b, b->len - 1);
}

static void describe(const char *form, struct buf *out)
{
    buf_init(out, CONFIG_FILE_MAX);
    assert_int_equal(config_describe(&table, span_of_str(form), out), ST_OK);
}

/* ---- describing ---- */

static void the_reference_tells_default_range_unit_and_reload(void **state UNUSED)
{
    struct buf text;

    describe("markdown", &text);
    assert_says(&text, "## `host`\n*text; required*");
    assert_says(&text, "## `label`\n*text; default: not set*");
    assert_says(&text,
                "## `wait`\n*duration in whole seconds (such as 90s, 15m, 2h, 7d), 1s or more; default 90s; "
                "taken over on reload*");
    assert_says(&text, "## `budget`\n*integer, in messages; default 0*");
    assert_says(&text, "## `offset`\n*integer, -5 to 5; default 0*");
    assert_says(&text, "## `kind`\n*one of plain, sealed; default plain*");
    assert_says(&text, "## `form`\n*one of plain, sealed; required*");
    assert_says(&text, "## `loud`\n*true or false; default false*");
    assert_says(&text, "## `names`\n*list of text; at least 1*");
    assert_says(&text, "## `keys`\n*list of text; default: empty; secret*");
    assert_says(&text, "Each place holds:\n\n- `address` (text; default: not set): ");
    assert_says(&text,
                "- `rules` (list of records; default: empty): Rules in it.\n  - `topic` (text; default a/#)");
    buf_done(&text);
}

static void the_man_page_takes_no_text_for_a_command(void **state UNUSED)
{
    struct buf text;

    describe("roff", &text);
    assert_says(&text, "\n\\&.starts with what roff takes for a command.\n");
    assert_says(&text, "\n\\&'and so does this one.\n");
    assert_says(&text, "A back\\\\slash and a\\-dash.\n");
    assert_says(&text, ".RS\n.TP\n.B address\n");
    assert_says(&text, ".RS\n.TP\n.B topic\n"); /* records in records */
    buf_done(&text);
}

static void the_sample_breaks_lines_between_words(void **state UNUSED)
{
    struct buf text;

    describe("sample", &text);
    assert_says(
        &text, "\n# A help text that is longer than one line of the sample file may be, so that it is cut into "
               "two\n# lines, between words, and goes on.\n");
    assert_says(&text, "\n# " LONG_WORD "\n# and more.\n"); /* a word that fits nowhere stands alone */
    assert_says(&text, "\n#label: \"an example\"\n");
    assert_says(&text, "\n#host:\n"); /* required, and nobody can know it */
    assert_says(&text, "\nform: sealed\n");
    assert_says(&text, "\n#budget: 0\n");
    assert_says(&text, "\n#loud: false\n");
    assert_says(&text, "\n#kind: plain\n");
    assert_says(&text, "\n#tls:\n"); /* a section of which nothing is required */
    assert_says(&text, "\n#places:\n#  - address:");
    assert_says(&text, "\n#    rules:    # Rules in it.\n#      - topic: \"a/#\"");
    buf_done(&text);
}

/* ---- reading and printing ---- */

static void parse(const char *yaml, const char *file_name, struct settings *out)
{
    struct buf problem;

    buf_init(&problem, CONFIG_PROBLEM_MAX);
    if (config_parse(&table, span_of_str(yaml), file_name, out, &problem) != ST_OK)
        fail_msg("%s", text_of(&problem));
    buf_done(&problem);
}

static void refuses(const char *yaml, const char *said)
{
    struct settings s;
    struct buf problem;

    buf_init(&problem, CONFIG_PROBLEM_MAX);
    assert_int_equal(config_parse(&table, span_of_str(yaml), NULL, &s, &problem), ST_MALFORMED);
    assert_says(&problem, said);
    buf_done(&problem);
    assert_int_equal(config_parse(&table, span_of_str(yaml), NULL, &s, NULL),
                     ST_MALFORMED); /* nobody asks why */
}

static void what_is_printed_reads_back(void **state UNUSED)
{
    struct settings a, b;
    struct buf first, second;

    buf_init(&first, CONFIG_FILE_MAX);
    buf_init(&second, CONFIG_FILE_MAX);
    parse(WHOLE, "etc/x.yaml", &a);
    assert_string_equal(a.tls_key, "etc/k.pem");
    config_print(&table, &a, &first);
    assert_says(&first, "keys: (secret, set)");
    assert_says(&first, "# ops:\n  # token: (secret, set)\n"); /* nothing of it can be read back */
    assert_says(&first, "# token: (secret, set)\n");
    assert_null(strstr(text_of(&first), "hush"));
    parse(text_of(&first), NULL, &b);
    assert_int_equal(b.offset, -5);
    assert_int_equal(b.places.count, 2);
    assert_string_equal(((struct rule *)((struct place *)b.places.items)[0].rules.items)[1].topic, "a/#");
    assert_int_equal(((struct place *)b.places.items)[1].rules.count, 0);
    config_print(&table, &b, &second);
    assert_says(&second, "# keys: (secret, not set)");
    assert_says(&second, "ops:\n  # token: (secret, not set)\n");
    config_done(&table, &a);
    config_done(&table, &b);
    buf_done(&first);
    buf_done(&second);
}

static void problems_need_no_file_name(void **state UNUSED)
{
    refuses("host: h\nform: plain\nnames: []\n", "names: needs at least 1 entries");
    refuses(LEAST "hots: x\n", ": hots: unknown setting; allowed here: host, label");
    refuses(LEAST "places: [{rules: [{tpoic: x}]}]\n",
            "places.rules.tpoic: unknown setting; allowed here: topic, most\n");
    refuses(LEAST "offset: -x\n", "offset: \"-x\" does not fit; expected integer, -5 to 5\n");
    refuses(LEAST "offset: -6\n", "offset");
    refuses(LEAST "budget: 9223372036854775808\n", "budget"); /* one more than there is room for */
    refuses(LEAST "budget: 92233720368547758070\n", "budget");
    refuses("nonsense", "settings");
}

static void a_text_of_any_characters_is_printed_so_that_it_reads_back(void **state UNUSED)
{
    static const char *const texts[] = {
        "\x01\x1f\x7f", "\xc2\x9f\xc2\xa0", "\xc3\xa9",     "\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9",
        "\xe2\x81\x80", "\xe2\x84\xa2",     "\xef\xbb\xbf", "\xef\xbb\xbe",
        "\xef\xbc\x80", "\xef\xbf\xbd",     "\xef\xbf\xbe", "\xef\xbf\xbf",
        "\"\\\n\t",
    };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct settings s;
        struct buf yaml;

        buf_init(&yaml, CONFIG_FILE_MAX);
        put_str(&yaml, LEAST "label: ");
        config_string_print(texts[i], &yaml);
        put_str(&yaml, "\n");
        parse(text_of(&yaml), NULL, &s);
        assert_string_equal(s.label, texts[i]);
        config_done(&table, &s);
        buf_done(&yaml);
    }
}

static void a_file_beyond_the_limit_is_told_so(void **state UNUSED)
{
    struct settings s;
    struct buf yaml, problem;

    buf_init(&yaml, CONFIG_FILE_MAX * 2);
    buf_init(&problem, CONFIG_PROBLEM_MAX);
    while (yaml.len <= CONFIG_FILE_MAX)
        put_str(&yaml, "# a comment that fills the file\n");
    assert_int_equal(config_parse(&table, buf_span(&yaml), "x.yaml", &s, &problem), ST_TOO_LARGE);
    assert_says(&problem, "x.yaml: ");
    buf_done(&yaml);
    buf_done(&problem);
}

/* ---- the two options ---- */

struct answer {
    bool taken;
    int exit;
    char out[65536], err[4096];
};

static size_t read_back(int fd, char *into, size_t room)
{
    ssize_t got = pread(fd, into, room - 1, 0);

    assert_true(got >= 0);
    into[got] = '\0';
    close(fd);
    return (size_t)got;
}

static int instead_of(int fd, int *ret_saved)
{
    char name[] = "/tmp/config_doc_testXXXXXX";
    int file = mkstemp(name);

    assert_true(file >= 0);
    unlink(name);
    *ret_saved = dup(fd);
    assert_true(dup2(file, fd) >= 0);
    return file;
}

static void command(struct answer *a, int argc, char **argv)
{
    int out, err, saved_out, saved_err;

    fflush(stdout);
    out = instead_of(STDOUT_FILENO, &saved_out);
    err = instead_of(STDERR_FILENO, &saved_err);
    a->exit = -1;
    a->taken = config_command(&table, argc, argv, &a->exit);
    fflush(stdout);
    dup2(saved_out, STDOUT_FILENO);
    dup2(saved_err, STDERR_FILENO);
    close(saved_out);
    close(saved_err);
    (void)read_back(out, a->out, sizeof a->out);
    (void)read_back(err, a->err, sizeof a->err);
}

#define COMMAND(a, ...) command(a, (int)COUNT_OF(((char *[]){ __VA_ARGS__ })), (char *[]){ __VA_ARGS__ })

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void settings_are_checked_and_described_on_request(void **state UNUSED)
{
    struct answer *a = test_malloc(sizeof *a);
    char good[] = "/tmp/config_doc_goodXXXXXX", bad[] = "/tmp/config_doc_badXXXXXX", with_name[64];

    close(mkstemp(good));
    close(mkstemp(bad));
    write_file(good, LEAST);
    write_file(bad, LEAST "offset: 6\n");
    snprintf(with_name, sizeof with_name, "--config=%s", good);

    COMMAND(a, "p", "-c", good);
    assert_false(a->taken);
    COMMAND(a, "p", "--check-config", "-c", good);
    assert_true(a->taken && a->exit == EXIT_SUCCESS);
    assert_non_null(strstr(a->out, "host: \"h\"\n"));
    COMMAND(a, "p", "--check-config", "--config", good);
    assert_int_equal(a->exit, EXIT_SUCCESS);
    COMMAND(a, "p", with_name, "--check-config");
    assert_int_equal(a->exit, EXIT_SUCCESS);
    COMMAND(a, "p", "--check-config", "--configuration", good);
    assert_true(a->exit == EXIT_FAILURE && strstr(a->err, "--check-config needs --config FILE") != NULL);
    COMMAND(a, "p", "--check-config", "--config");
    assert_int_equal(a->exit, EXIT_FAILURE);
    COMMAND(a, "p", "--check-config", "-c", bad);
    assert_true(a->exit == EXIT_FAILURE && strstr(a->err, "offset: \"6\" does not fit") != NULL);
    assert_string_equal(a->out, "");
    COMMAND(a, "p", "--print-settings", "roff");
    assert_true(a->exit == EXIT_SUCCESS && strncmp(a->out, ".SH SETTINGS", 12) == 0);
    COMMAND(a, "p", "--print-settings=sample");
    assert_int_equal(a->exit, EXIT_SUCCESS);
    COMMAND(a, "p", "--print-settings");
    assert_true(a->exit == EXIT_FAILURE && strstr(a->err, "markdown, roff or sample") != NULL);
    COMMAND(a, "p", "--print-settings", "html");
    assert_int_equal(a->exit, EXIT_FAILURE);
    unlink(good);
    unlink(bad);
    test_free(a);
}

static void what_is_no_file_is_told_so(void **state UNUSED)
{
    struct settings s;
    struct buf problem;

    buf_init(&problem, CONFIG_PROBLEM_MAX);
    assert_int_equal(config_load(&table, "/tmp", &s, &problem), ST_IO); /* opens, and cannot be read */
    assert_says(&problem, "/tmp: Is a directory\n");
    assert_int_equal(config_load(&table, "/proc/self/mem/x", &s, &problem), ST_IO);
    buf_done(&problem);
}

/* ---- while memory is short ---- */

void *__real_cyaml_mem(void *ctx, void *p, size_t len);
void *__wrap_cyaml_mem(void *ctx, void *p, size_t len);

/* What libcyaml allocates for us fails as well. */
void *__wrap_cyaml_mem(void *ctx UNUSED, void *p, size_t len)
{
    if (len > 0)
        return realloc(p, len);
    free(p);
    return NULL;
}

struct story {
    const char *text;  /* settings, or the form of a description */
    const char *whole; /* what is printed when nothing fails */
    unsigned done;
};

static void try_settings(void *ctx, long n)
{
    struct story *story = ctx;
    struct settings s;
    CLEANUP(buf_done)
    struct buf problem;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&problem, CONFIG_PROBLEM_MAX);
    buf_init(&text, CONFIG_FILE_MAX);
    failing_memory_begin(n);
    enum status st = config_parse(&table, span_of_str(story->text), "etc/x.yaml", &s, &problem);
    if (st == ST_OK) {
        config_print(&table, &s, &text);
        config_done(&table, &s);
    }
    (void)failing_memory_end();
    if (st != ST_OK && st != ST_NO_MEMORY)
        fail_msg("%ld: %s: %.*s", n, status_name(st), SPAN_FMT(buf_span(&problem)));
    if (st == ST_OK && buf_ok(&text) && story->whole != NULL)
        assert_string_equal(text_of(&text), story->whole); /* printed whole, or the buffer has failed */
    story->done += st == ST_OK;
}

static void settings_are_whole_or_memory_is_short(void **state UNUSED)
{
    struct settings s;
    struct buf whole;
    struct story story = { .text = WHOLE };

    buf_init(&whole, CONFIG_FILE_MAX);
    parse(WHOLE, "etc/x.yaml", &s);
    config_print(&table, &s, &whole);
    config_done(&table, &s);
    story.whole = text_of(&whole);
    assert_true(failing_memory_each(try_settings, &story) > 20);
    assert_true(story.done > 0);
    buf_done(&whole);
}

static void try_bad_settings(void *ctx, long n)
{
    const struct story *story = ctx;
    struct settings s;
    CLEANUP(buf_done)
    struct buf problem;

    buf_init(&problem, CONFIG_PROBLEM_MAX);
    failing_memory_begin(n);
    enum status st = config_parse(&table, span_of_str(story->text), "etc/x.yaml", &s, &problem);
    (void)failing_memory_end();
    assert_true(st == ST_MALFORMED || st == ST_NO_MEMORY); /* never taken for good */
    assert_null(s.host);
}

static void bad_settings_stay_bad_while_memory_is_short(void **state UNUSED)
{
    static const char *const bad[] = { LEAST "offset: 6\n", LEAST "hots: 1\n", LEAST "---\nhost: other\n",
                                       "host: [" };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct story story = { .text = bad[i] };

        assert_true(failing_memory_each(try_bad_settings, &story) > 3);
    }
}

static void try_description(void *ctx, long n)
{
    struct story *story = ctx;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, CONFIG_FILE_MAX);
    failing_memory_begin(n);
    enum status st = config_describe(&table, span_of_str(story->text), &text);
    (void)failing_memory_end();
    assert_true(st == ST_OK || st == ST_NO_MEMORY);
    if (st == ST_OK)
        assert_string_equal(text_of(&text), story->whole);
    story->done += st == ST_OK;
}

static void a_description_is_whole_or_there_is_none(void **state UNUSED)
{
    static const char *const forms[] = { "markdown", "roff", "sample" };

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        struct buf whole;
        struct story story = { .text = forms[i] };

        describe(forms[i], &whole);
        story.whole = text_of(&whole);
        assert_true(failing_memory_each(try_description, &story) > 1);
        assert_int_equal(story.done, 1); /* with every single failure there is none */
        buf_done(&whole);
    }
}

static void try_file(void *ctx, long n)
{
    struct story *story = ctx;
    struct settings s;

    failing_memory_begin(n);
    enum status st = config_load(&table, story->text, &s, NULL);
    (void)failing_memory_end();
    assert_true(st == ST_OK || st == ST_NO_MEMORY);
    if (st == ST_OK)
        config_done(&table, &s);
    story->done += st == ST_OK;
}

static void a_file_is_not_too_large_because_memory_is_short(void **state UNUSED)
{
    char path[] = "/tmp/config_doc_fileXXXXXX";
    struct story story = { .text = path };

    close(mkstemp(path));
    write_file(path, LEAST);
    assert_true(failing_memory_each(try_file, &story) > 3);
    assert_true(story.done > 0);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_tells_default_range_unit_and_reload),
        cmocka_unit_test(the_man_page_takes_no_text_for_a_command),
        cmocka_unit_test(the_sample_breaks_lines_between_words),
        cmocka_unit_test(what_is_printed_reads_back),
        cmocka_unit_test(problems_need_no_file_name),
        cmocka_unit_test(a_text_of_any_characters_is_printed_so_that_it_reads_back),
        cmocka_unit_test(a_file_beyond_the_limit_is_told_so),
        cmocka_unit_test(settings_are_checked_and_described_on_request),
        cmocka_unit_test(what_is_no_file_is_told_so),
        cmocka_unit_test(settings_are_whole_or_memory_is_short),
        cmocka_unit_test(bad_settings_stay_bad_while_memory_is_short),
        cmocka_unit_test(a_description_is_whole_or_there_is_none),
        cmocka_unit_test(a_file_is_not_too_large_because_memory_is_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
