#include "base/config_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void *member_of(const struct config_setting *s, void *settings)
{
    return (char *)settings + s->offset;
}

static const void *member_in(const struct config_setting *s, const void *settings)
{
    return (const char *)settings + s->offset;
}

/* ---- loading ---- */

static enum status load_table(const struct config_table *table, const struct config_slot *slots,
                              const struct config_place *place, void *out, struct buf *problem);

static enum status add_string(struct config_strings *list, struct span text)
{
    list->items[list->count] = span_dup_str(text);
    if (list->items[list->count] == NULL)
        return ST_NO_MEMORY;
    list->count++;
    return ST_OK;
}

static enum status load_strings(const struct config_slot *slot, struct config_strings *list)
{
    char *const *items = slot->p;
    enum status st = ST_OK;

    if (slot->count == 0)
        return ST_OK;
    list->items = calloc(slot->count + 1, sizeof(*list->items));
    if (list->items == NULL)
        return ST_NO_MEMORY;
    for (size_t i = 0; i < slot->count && st == ST_OK; i++)
        st = add_string(list, span_of_str(items[i]));
    return st;
}

static enum status load_records(const struct config_setting *s, const struct config_slot *slot,
                                const struct config_place *place, struct config_records *list,
                                struct buf *problem)
{
    const struct config_slot *rows = slot->p;
    size_t width = config_table_rows(s->record);
    enum status worst = ST_OK;

    if (slot->count == 0)
        return ST_OK;
    list->items = calloc(slot->count, s->record->size);
    if (list->items == NULL)
        return ST_NO_MEMORY;
    for (size_t i = 0; i < slot->count; i++) {
        char name[256];
        struct config_place inside = { place->file_name, name };
        snprintf(name, sizeof(name), "%s[%zu]", s->name, i + 1);
        list->count++;
        enum status st = load_table(s->record, rows + i * width, &inside,
                                    (char *)list->items + i * s->record->size, problem);
        worst = st == ST_OK ? worst : st;
    }
    return worst;
}

static enum status load_setting(const struct config_setting *s, const struct config_slot *slot,
                                const struct config_place *place, void *member, struct buf *problem)
{
    const char *text = slot->p;

    if (slot->p == NULL && (s->flags & CONFIG_REQUIRED) != 0) {
        config_problem(problem, place, "must be set");
        return ST_MALFORMED;
    }
    if (s->type == CONFIG_STRINGS || s->type == CONFIG_RECORDS) {
        if (slot->count < (size_t)s->min) {
            config_problem(problem, place, "needs at least %lld entries", (long long)s->min);
            return ST_MALFORMED;
        }
        return s->type == CONFIG_STRINGS ? load_strings(slot, member)
                                         : load_records(s, slot, place, member, problem);
    }
    if (text == NULL)
        text = s->dflt;
    return text == NULL ? ST_OK : config_value_parse(s, text, place, member, problem);
}

static void put_lines(struct buf *problem, const struct config_place *place, struct span text)
{
    for (size_t at = 0; at < text.len;) {
        struct span line = span_cut(text, at, span_find(text, '\n', at) - at);
        at += line.len + 1;
        config_problem(problem, place, "%.*s", SPAN_FMT(line));
    }
}

/* Goes on after a bad value, so that the operator sees all of them at once. */
static enum status load_table(const struct config_table *table, const struct config_slot *slots,
                              const struct config_place *place, void *out, struct buf *problem)
{
    static const struct config_slot absent;
    enum status worst = ST_OK;

    for (size_t i = 0; table->settings[i].name != NULL; i++) {
        const struct config_setting *s = &table->settings[i];
        char name[320];
        struct config_place at = { place->file_name, name };
        snprintf(name, sizeof(name), "%s%s%s", place->name == NULL ? "" : place->name,
                 place->name == NULL ? "" : ".", s->name);
        enum status st = load_setting(s, slots == NULL ? &absent : &slots[i], &at, member_of(s, out), problem);
        worst = st == ST_OK ? worst : st;
    }
    if (worst != ST_OK || table->check == NULL)
        return worst;

    CLEANUP(buf_done)
    struct buf said;
    buf_init(&said, CONFIG_PROBLEM_MAX);
    worst = table->check(out, &said);
    if (worst != ST_OK)
        put_lines(problem, place, buf_span(&said));
    return worst;
}

enum status config_parse(const struct config_table *table, struct span yaml, const char *file_name, void *out,
                         struct buf *problem)
{
    struct config_place place = { file_name, NULL };
    struct config_yaml *y = NULL;
    enum status st;

    memset(out, 0, table->size);
    st = yaml.len > CONFIG_FILE_MAX ? ST_TOO_LARGE : config_yaml_read(table, yaml, file_name, &y, problem);
    if (st == ST_OK)
        st = load_table(table, config_yaml_slots(y), &place, out, problem);
    config_yaml_free(y);
    if (st == ST_TOO_LARGE || st == ST_NO_MEMORY)
        config_problem(problem, &place, "%s", status_text(st));
    if (st != ST_OK)
        config_done(table, out);
    return st;
}

static void close_file(FILE **f)
{
    if (*f != NULL)
        fclose(*f);
}

static enum status read_file(const char *path, struct buf *out, struct buf *problem)
{
    struct config_place place = { path, NULL };
    CLEANUP(close_file)
    FILE *f = fopen(path, "re");

    if (f == NULL) {
        config_problem(problem, &place, "%s", strerror(errno));
        return errno == ENOENT ? ST_NOT_FOUND : ST_IO;
    }
    for (;;) {
        uint8_t *room = buf_room(out, BUFSIZ);
        if (room == NULL)
            break;
        size_t got = fread(room, 1, BUFSIZ, f);
        buf_added(out, got);
        if (got == 0)
            break;
    }
    if (ferror(f)) {
        config_problem(problem, &place, "%s", strerror(errno));
        return ST_IO;
    }
    if (!buf_ok(out))
        config_problem(problem, &place, "%s", status_text(buf_status(out)));
    return buf_status(out);
}

enum status config_load(const struct config_table *table, const char *path, void *out, struct buf *problem)
{
    struct buf text;
    enum status st;

    buf_init(&text, CONFIG_FILE_MAX);
    memset(out, 0, table->size);
    st = read_file(path, &text, problem);
    if (st == ST_OK)
        st = config_parse(table, buf_span(&text), path, out, problem);
    buf_wipe(&text);
    return st;
}

void config_done(const struct config_table *table, void *settings)
{
    for (const struct config_setting *s = table->settings; s->name != NULL; s++) {
        bool secret = (s->flags & CONFIG_SECRET) != 0;
        void *member = member_of(s, settings);
        if (s->type == CONFIG_STRING || s->type == CONFIG_PATH) {
            config_string_free(*(char **)member, secret);
        } else if (s->type == CONFIG_STRINGS) {
            config_strings_done(member, secret);
        } else if (s->type == CONFIG_RECORDS) {
            struct config_records *list = member;
            for (size_t i = 0; i < list->count; i++)
                config_done(s->record, (char *)list->items + i * s->record->size);
            free(list->items);
        }
    }
    memset(settings, 0, table->size);
}

/* ---- printing what is in force ---- */

static void print_table(const struct config_table *table, const void *settings, size_t indent,
                        bool first_dashed, struct buf *out);

static void print_setting(const struct config_setting *s, const void *member, size_t indent, struct buf *out)
{
    const struct config_strings *strings = member;
    const struct config_records *records = member;
    const char *key = config_key(s);
    int pad = (int)indent;

    if ((s->flags & CONFIG_SECRET) != 0) {
        bool set = s->type == CONFIG_STRINGS ? strings->count > 0 : *(char *const *)member != NULL;
        put_fmt(out, "%*s# %s: (secret, %s)\n", pad, "", key, set ? "set" : "not set");
    } else if (s->type == CONFIG_STRINGS) {
        put_fmt(out, "%*s%s: [", pad, "", key);
        for (size_t i = 0; i < strings->count; i++) {
            put_str(out, i == 0 ? "" : ", ");
            config_string_print(strings->items[i], out);
        }
        put_str(out, "]\n");
    } else if (s->type == CONFIG_RECORDS) {
        put_fmt(out, "%*s%s:%s\n", pad, "", key, records->count == 0 ? " []" : "");
        for (size_t i = 0; i < records->count; i++)
            print_table(s->record, (const char *)records->items + i * s->record->size, indent + 4, true, out);
    } else if ((s->type == CONFIG_STRING || s->type == CONFIG_PATH) && *(char *const *)member == NULL) {
        put_fmt(out, "%*s# %s: (not set)\n", pad, "", key);
    } else {
        put_fmt(out, "%*s%s: ", pad, "", key);
        config_value_print(s, member, out);
        put_str(out, "\n");
    }
}

static bool is_printed(const struct config_setting *s, const void *member)
{
    if ((s->flags & CONFIG_SECRET) != 0)
        return false;
    return (s->type != CONFIG_STRING && s->type != CONFIG_PATH) || *(char *const *)member != NULL;
}

/* One section (empty: the settings without one). Returns whether any line of it is more than a comment. */
static bool print_section(const struct config_table *table, struct span section, const void *settings,
                          size_t indent, struct buf *out)
{
    bool any = false;

    for (const struct config_setting *s = table->settings; s->name != NULL; s++)
        if (span_eq(config_section(s), section)) {
            any = any || is_printed(s, member_in(s, settings));
            print_setting(s, member_in(s, settings), indent, out);
        }
    return any;
}

static void print_sections(const struct config_table *table, const void *settings, struct buf *out)
{
    for (size_t i = 0; table->settings[i].name != NULL; i++) {
        struct span section = config_section(&table->settings[i]);
        if (section.len == 0 || config_section_seen(table, i, section))
            continue;
        CLEANUP(buf_done)
        struct buf lines;
        buf_init(&lines, out->max);
        bool any = print_section(table, section, settings, 2, &lines);
        put_fmt(out, "%s%.*s:\n", any ? "" : "# ", SPAN_FMT(section));
        put_bytes(out, buf_span(&lines));
        out->failed = out->failed || !buf_ok(&lines);
    }
}

/* A record is printed like a table, its first two columns of indentation replaced by "- ". */
static void print_table(const struct config_table *table, const void *settings, size_t indent,
                        bool first_dashed, struct buf *out)
{
    if (!first_dashed) {
        print_section(table, SPAN_NONE, settings, indent, out);
        print_sections(table, settings, out);
        return;
    }
    put_fmt(out, "%*s-\n", (int)indent - 2, "");
    if (!print_section(table, SPAN_NONE, settings, indent, out))
        put_fmt(out, "%*s{}\n", (int)indent, "");
}

void config_print(const struct config_table *table, const void *settings, struct buf *out)
{
    print_table(table, settings, 0, false, out);
}
