/* What a settings table says about itself: the reference page, the part of the man page, and the sample file.
 */
#include "base/config_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define SAMPLE_WIDTH    100
#define DESCRIPTION_MAX (1024 * 1024)

static void put_default(const struct config_setting *s, struct buf *out)
{
    if ((s->flags & CONFIG_REQUIRED) != 0)
        put_str(out, "required");
    else if (s->type >= CONFIG_STRINGS && s->min > 0)
        put_fmt(out, "at least %d", (int)s->min);
    else if (s->type == CONFIG_RECORDS || s->dflt == NULL || s->dflt[0] == '\0')
        put_str(out, s->type == CONFIG_BOOL                            ? "default false"
                     : s->type >= CONFIG_INT && s->type <= CONFIG_SIZE ? "default 0"
                     : s->type == CONFIG_ENUM                          ? "default "
                     : s->type >= CONFIG_STRINGS                       ? "default: empty"
                                                                       : "default: not set");
    else
        put_fmt(out, "default %s", s->dflt);
    if (s->type == CONFIG_ENUM && s->dflt == NULL && (s->flags & CONFIG_REQUIRED) == 0)
        put_str(out, s->choices[0]);
}

static void put_facts(const struct config_setting *s, struct buf *out)
{
    config_value_form(s, out);
    if (s->unit != NULL)
        put_fmt(out, ", in %s", s->unit);
    put_str(out, "; ");
    put_default(s, out);
    if ((s->flags & CONFIG_SECRET) != 0)
        put_str(out, "; secret");
    if ((s->flags & CONFIG_LIVE) != 0)
        put_str(out, "; taken over on reload");
}

/* Facts written for themselves, as a string; where there was no memory for them, `out` fails as well: half a description is none. */
static const char *facts_text(struct buf *facts, struct buf *out)
{
    put_u8(facts, '\0');
    if (buf_ok(facts))
        return (const char *)facts->p;
    out->failed = true;
    return "";
}

/* ---- markdown: docs/ ---- */

/* A list in a list where records hold records. */
static void markdown_record(const struct config_table *record, int indent, struct buf *out)
{
    for (const struct config_setting *r = record->settings; r->name != NULL; r++) {
        put_fmt(out, "%*s- `%s` (", indent, "", r->name);
        put_facts(r, out);
        put_fmt(out, "): %s\n", r->help);
        if (r->type == CONFIG_RECORDS)
            markdown_record(r->record, indent + 2, out);
    }
}

static void markdown(const struct config_table *table, struct buf *out)
{
    put_fmt(
        out,
        "# Settings of %s\n\n<!-- made by `%s --print-settings markdown`; change the table in the source "
        "-->\n\n"
        "A settings file is YAML. An unknown key, a key given twice and a value that does not fit are errors;\n"
        "`%s --check-config --config FILE` says which, or prints everything in force.\n"
        "A name with a dot is a key inside a mapping. Relative paths start at the settings file's directory.\n",
        table->program, table->program, table->program);
    for (const struct config_setting *s = table->settings; s->name != NULL; s++) {
        put_fmt(out, "\n## `%s`\n*", s->name);
        put_facts(s, out);
        put_fmt(out, "*\n\n%s\n", s->help);
        if (s->type != CONFIG_RECORDS)
            continue;
        put_fmt(out, "\nEach %s holds:\n\n", s->record->program);
        markdown_record(s->record, 0, out);
    }
}

/* ---- roff: the SETTINGS section of the man page ---- */

static void roff_text(const char *text, struct buf *out)
{
    if (*text == '.' || *text == '\'')
        put_str(out, "\\&");
    for (; *text != '\0'; text++)
        if (*text == '\\' || *text == '-')
            put_fmt(out, "\\%c", *text);
        else
            put_u8(out, (uint8_t)*text);
    put_str(out, "\n");
}

static void roff_facts(const struct config_setting *s, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf facts;

    buf_init(&facts, CONFIG_PROBLEM_MAX);
    put_str(&facts, "(");
    put_facts(s, &facts);
    put_str(&facts, ")");
    roff_text(facts_text(&facts, out), out);
    put_str(out, ".br\n");
    roff_text(s->help, out);
}

static void roff_record(const struct config_table *record, struct buf *out)
{
    put_str(out, ".RS\n");
    for (const struct config_setting *r = record->settings; r->name != NULL; r++) {
        put_str(out, ".TP\n.B ");
        roff_text(r->name, out);
        roff_facts(r, out);
        if (r->type == CONFIG_RECORDS)
            roff_record(r->record, out);
    }
    put_str(out, ".RE\n");
}

static void roff(const struct config_table *table, struct buf *out)
{
    put_str(out, ".SH SETTINGS\n");
    for (const struct config_setting *s = table->settings; s->name != NULL; s++) {
        put_str(out, ".TP\n.B ");
        roff_text(s->name, out);
        roff_facts(s, out);
        if (s->type != CONFIG_RECORDS)
            continue;
        roff_record(s->record, out);
    }
}

/* ---- sample: a complete settings file ---- */

static void put_wrapped(const char *text, const char *margin, struct buf *out)
{
    while (*text != '\0') {
        size_t room = SAMPLE_WIDTH - strlen(margin), len = strlen(text);
        if (len > room) {
            len = room;
            while (len > 0 && text[len] != ' ')
                len--;
            if (len == 0)
                len = strcspn(text, " ");
        }
        put_fmt(out, "%s%.*s\n", margin, (int)len, text);
        text += len;
        while (*text == ' ')
            text++;
    }
}

static bool stays_comment(const struct config_setting *s)
{
    return (s->flags & CONFIG_REQUIRED) == 0 || s->example == NULL;
}

static void put_sample_value(const struct config_setting *s, struct buf *out)
{
    const char *value = s->example != NULL ? s->example : s->dflt;
    size_t before = out->len;

    put_str(out, " ");
    if (value != NULL && (s->type == CONFIG_STRING || s->type == CONFIG_PATH)) {
        config_string_print(value, out);
    } else if (value != NULL) {
        put_str(out, value);
    } else if (s->type >= CONFIG_INT && s->type <= CONFIG_SIZE) {
        put_str(out, "0");
    } else {
        put_str(out, s->type == CONFIG_BOOL ? "false" : s->type == CONFIG_ENUM ? s->choices[0] : "");
    }
    if (out->len == before + 1) /* nothing to show: no blank either */
        buf_truncate(out, before);
}

static void sample_record(const struct config_setting *s, const char *margin, bool comment, int indent,
                          struct buf *out)
{
    const char *dash = "- ";

    for (const struct config_setting *r = s->record->settings; r->name != NULL; r++) {
        put_fmt(out, "%s%s%*s%s%s:", margin, comment ? "#" : "", indent, "", dash, r->name);
        put_sample_value(r, out);
        put_fmt(out, "    # %s\n", r->help);
        dash = "  ";
        if (r->type == CONFIG_RECORDS)
            sample_record(r, margin, comment, indent + 4, out);
    }
}

static void sample_setting(const struct config_setting *s, const char *indent, struct buf *out)
{
    CLEANUP(buf_done)
    struct buf facts;
    char margin[16];
    bool comment = stays_comment(s);

    snprintf(margin, sizeof(margin), "%s# ", indent);
    buf_init(&facts, CONFIG_PROBLEM_MAX);
    put_facts(s, &facts);
    put_str(out, "\n");
    put_wrapped(s->help, margin, out);
    put_wrapped(facts_text(&facts, out), margin, out);
    put_fmt(out, "%s%s%s:", indent, comment ? "#" : "", config_key(s));
    if (s->type == CONFIG_RECORDS) {
        put_str(out, "\n");
        sample_record(s, indent, comment, 2, out);
        return;
    }
    put_sample_value(s, out);
    put_str(out, "\n");
}

static void sample_section(const struct config_table *table, struct span section, struct buf *out)
{
    bool comment = true;

    for (const struct config_setting *s = table->settings; s->name != NULL; s++)
        if (span_eq(config_section(s), section))
            comment = comment && stays_comment(s);
    if (section.len > 0)
        put_fmt(out, "\n%s%.*s:\n", comment ? "#" : "", SPAN_FMT(section));
    for (const struct config_setting *s = table->settings; s->name != NULL; s++)
        if (span_eq(config_section(s), section))
            sample_setting(s, section.len > 0 ? "  " : "", out);
}

static void sample(const struct config_table *table, struct buf *out)
{
    put_fmt(out,
            "# Settings of %s: every one of them, with its default. Made by `%s --print-settings sample`.\n"
            "# Uncomment what is to differ. A mapping such as `tls:` needs its own line uncommented too.\n",
            table->program, table->program);
    sample_section(table, SPAN_NONE, out);
    for (size_t i = 0; table->settings[i].name != NULL; i++) {
        struct span section = config_section(&table->settings[i]);
        if (section.len > 0 && !config_section_seen(table, i, section))
            sample_section(table, section, out);
    }
}

enum status config_describe(const struct config_table *table, struct span form, struct buf *out)
{
    static const struct {
        const char *name;
        void (*write)(const struct config_table *table, struct buf *out);
    } forms[] = { { "markdown", markdown }, { "roff", roff }, { "sample", sample } };

    for (size_t i = 0; i < COUNT_OF(forms); i++)
        if (span_eq_str(form, forms[i].name)) {
            forms[i].write(table, out);
            return buf_ok(out) ? ST_OK : ST_NO_MEMORY;
        }
    return ST_NOT_FOUND;
}

/* ---- the two options both daemons answer ---- */

static const char *option_value(int argc, char **argv, const char *name, const char *letter)
{
    size_t len = strlen(name);

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=')
            return argv[i] + len + 1;
        if ((strcmp(argv[i], name) == 0 || strcmp(argv[i], letter) == 0) && i + 1 < argc)
            return argv[i + 1];
    }
    return NULL;
}

static bool has_option(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return false;
}

static void write_out(FILE *to, const struct buf *b)
{
    fwrite(b->p, 1, b->len, to);
    fflush(to);
}

static int check_config(const struct config_table *table, const char *path)
{
    CLEANUP(buf_done)
    struct buf problem;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(freep)
    void *settings = calloc(1, table->size);

    buf_init(&problem, DESCRIPTION_MAX);
    buf_init(&text, DESCRIPTION_MAX);
    if (settings == NULL)
        return EXIT_FAILURE;
    if (path == NULL) {
        fprintf(stderr, "%s: --check-config needs --config FILE\n", table->program);
        return EXIT_FAILURE;
    }
    if (config_load(table, path, settings, &problem) != ST_OK) {
        write_out(stderr, &problem);
        return EXIT_FAILURE;
    }
    config_print(table, settings, &text);
    config_done(table, settings);
    write_out(stdout, &text);
    return buf_ok(&text) ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_settings(const struct config_table *table, const char *form)
{
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, DESCRIPTION_MAX);
    if (form == NULL || config_describe(table, span_of_str(form), &text) != ST_OK) {
        fprintf(stderr, "%s: --print-settings takes markdown, roff or sample\n", table->program);
        return EXIT_FAILURE;
    }
    write_out(stdout, &text);
    return EXIT_SUCCESS;
}

bool config_command(const struct config_table *table, int argc, char **argv, int *ret_exit)
{
    const char *form = option_value(argc, argv, "--print-settings", "--print-settings");

    if (has_option(argc, argv, "--check-config"))
        *ret_exit = check_config(table, option_value(argc, argv, "--config", "-c"));
    else if (form != NULL || has_option(argc, argv, "--print-settings"))
        *ret_exit = print_settings(table, form);
    else
        return false;
    return true;
}
