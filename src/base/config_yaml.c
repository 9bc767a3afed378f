/* The one door to libcyaml. Our table becomes a libcyaml schema in which every scalar is optional text;
 * libcyaml then answers for the shape of the file (unknown and repeated keys, lists where lists belong), we for
 * the values. Its messages come through a log callback; the first line and the innermost place are what an
 * operator needs. */
#include "base/config_priv.h"

#include <cyaml/cyaml.h>
#include <stdio.h>
#include <stdlib.h>

#define SCHEMA_MAX   (256 * 1024)
#define MESSAGES_MAX (16 * 1024)
#define LINE_MAX_LEN 512

struct config_yaml {
    const struct config_table *table;
    struct arena arena; /* the schema: needed until the data is freed */
    cyaml_schema_value_t *top;
    cyaml_config_t config;
    struct buf messages; /* what libcyaml said, one line each */
    struct config_slot *slots;
};

size_t config_table_rows(const struct config_table *table)
{
    size_t n = 0;
    while (table->settings[n].name != NULL)
        n++;
    return n;
}

struct span config_section(const struct config_setting *s)
{
    const char *dot = strchr(s->name, '.');
    return dot == NULL ? SPAN_NONE : span_of(s->name, (size_t)(dot - s->name));
}

const char *config_key(const struct config_setting *s)
{
    const char *dot = strchr(s->name, '.');
    return dot == NULL ? s->name : dot + 1;
}

/* ---- our table as a libcyaml schema ---- */

static cyaml_schema_field_t *make_fields(struct arena *a, const struct config_table *table,
                                         struct span section);

static const cyaml_schema_value_t text_entry = {
    .type = CYAML_STRING,
    .flags = CYAML_FLAG_POINTER,
    .data_size = 1,
    .string = { .min = 0, .max = CYAML_UNLIMITED },
};

static bool make_list(struct arena *a, const struct config_setting *s, cyaml_schema_value_t *value)
{
    cyaml_schema_value_t *entry = arena_alloc(a, sizeof(*entry));

    if (entry == NULL)
        return false;
    *entry = text_entry;
    value->type = CYAML_SEQUENCE;
    value->data_size = sizeof(char *);
    if (s->type == CONFIG_RECORDS) {
        cyaml_schema_field_t *fields = make_fields(a, s->record, SPAN_NONE);
        if (fields == NULL)
            return false;
        value->data_size = (uint32_t)(config_table_rows(s->record) * sizeof(struct config_slot));
        *entry = (cyaml_schema_value_t){ .type = CYAML_MAPPING, .data_size = value->data_size };
        entry->mapping.fields = fields;
    }
    value->sequence.entry = entry;
    value->sequence.min = 0;
    value->sequence.max = s->max == 0 ? CONFIG_LIST_MAX : (uint32_t)s->max;
    return true;
}

static bool make_field(struct arena *a, const struct config_setting *s, size_t row, cyaml_schema_field_t *field)
{
    field->key = config_key(s);
    field->data_offset = (uint32_t)(row * sizeof(struct config_slot) + offsetof(struct config_slot, p));
    field->count_offset = (uint32_t)(row * sizeof(struct config_slot) + offsetof(struct config_slot, count));
    field->count_size = sizeof(uint64_t);
    field->value = text_entry;
    field->value.flags |= CYAML_FLAG_OPTIONAL;
    if (s->type == CONFIG_STRINGS || s->type == CONFIG_RECORDS)
        return make_list(a, s, &field->value);
    return true;
}

/* A section lies at offset 0 of the same row of slots, so that its settings keep the table's own numbers. */
static bool make_section(struct arena *a, const struct config_table *table, struct span section,
                         cyaml_schema_field_t *field)
{
    field->key = arena_str(a, section);
    field->value.type = CYAML_MAPPING;
    field->value.flags = CYAML_FLAG_OPTIONAL;
    field->value.mapping.fields = make_fields(a, table, section);
    return field->key != NULL && field->value.mapping.fields != NULL;
}

bool config_section_seen(const struct config_table *table, size_t row, struct span section)
{
    for (size_t i = 0; i < row; i++)
        if (span_eq(config_section(&table->settings[i]), section))
            return true;
    return false;
}

static cyaml_schema_field_t *make_fields(struct arena *a, const struct config_table *table, struct span section)
{
    size_t rows = config_table_rows(table), n = 0;
    cyaml_schema_field_t *fields = arena_alloc(a, (rows + 1) * sizeof(*fields)); /* zeroed: key NULL ends it */

    if (fields == NULL)
        return NULL;
    for (size_t i = 0; i < rows; i++) {
        const struct config_setting *s = &table->settings[i];
        struct span of = config_section(s);
        if (span_eq(of, section)) {
            if (!make_field(a, s, i, &fields[n++]))
                return NULL;
        } else if (section.len == 0 && !config_section_seen(table, i, of)) {
            if (!make_section(a, table, of, &fields[n++]))
                return NULL;
        }
    }
    return fields;
}

static bool make_schema(struct config_yaml *y)
{
    y->top = arena_alloc(&y->arena, sizeof(*y->top));
    if (y->top == NULL)
        return false;
    y->top->type = CYAML_MAPPING;
    y->top->flags = CYAML_FLAG_POINTER;
    y->top->data_size = (uint32_t)(config_table_rows(y->table) * sizeof(struct config_slot));
    y->top->mapping.fields = make_fields(&y->arena, y->table, SPAN_NONE);
    return y->top->mapping.fields != NULL;
}

/* ---- libcyaml's messages as ours ---- */

PRINTF_LIKE(3, 0)
static void take_message(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct config_yaml *y = ctx;
    char line[LINE_MAX_LEN];

    (void)level;
    vsnprintf(line, sizeof(line), fmt, args);
    line[strcspn(line, "\n")] = '\0';
    for (char *p = line; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20)
            *p = '?';
    put_fmt(&y->messages, "%s\n", line);
}

struct message_place {
    struct span steps[4]; /* keys from the inside out */
    size_t depth;
    struct span line_number;
};

static struct span after(struct span s, const char *mark)
{
    const uint8_t *hit = s.p == NULL ? NULL : memmem(s.p, s.len, mark, strlen(mark));
    return hit == NULL ? SPAN_NONE : span_cut(s, (size_t)(hit - s.p) + strlen(mark), s.len);
}

/* "  in mapping field 'tls' (line: 2, column: 4)", "  in sequence entry '1' (line: 1, column: 8)", "  in
 * mapping (…)" */
static void read_place(struct span line, struct message_place *place)
{
    struct span name = after(line, "in mapping field '");
    struct span number = after(line, "(line: ");

    if (place->line_number.len == 0)
        place->line_number = span_cut(number, 0, span_find(number, ',', 0));
    if (name.len > 0 && place->depth < COUNT_OF(place->steps))
        place->steps[place->depth++] = span_cut(name, 0, span_find(name, '\'', 0));
}

/* The keys allowed where an unknown one was found: by walking the table from the outside in. */
static void put_allowed(const struct config_table *table, const struct message_place *place, struct buf *out)
{
    struct span section = SPAN_NONE;
    const char *comma = "";

    for (size_t d = place->depth; d-- > 0;) {
        const struct config_table *deeper = NULL;
        for (const struct config_setting *s = table->settings; s->name != NULL; s++)
            if (s->type == CONFIG_RECORDS && span_eq_str(place->steps[d], config_key(s)) &&
                span_eq(config_section(s), section))
                deeper = s->record;
        section = deeper == NULL ? place->steps[d] : SPAN_NONE;
        table = deeper == NULL ? table : deeper;
    }
    for (size_t i = 0; table->settings[i].name != NULL; i++) {
        const struct config_setting *s = &table->settings[i];
        struct span of = config_section(s);
        if (span_eq(of, section))
            put_fmt(out, "%s%s", comma, config_key(s));
        else if (section.len == 0 && !config_section_seen(table, i, of))
            put_fmt(out, "%s%.*s", comma, SPAN_FMT(of));
        else
            continue;
        comma = ", ";
    }
}

static void explain(struct config_yaml *y, const char *file_name, const char *fallback, struct buf *problem)
{
    struct span all = buf_span(&y->messages), what = SPAN_NONE, unknown;
    struct message_place place = { 0 };

    if (problem == NULL)
        return;
    for (size_t at = 0; at < all.len;) {
        struct span line = span_cut(all, at, span_find(all, '\n', at) - at);
        at += line.len + 1;
        if (span_starts_with(line, SPAN("  in ")))
            read_place(line, &place);
        else if (what.len == 0 && after(line, "Backtrace").p == NULL)
            what = after(line, "Load: ").len > 0 ? after(line, "Load: ") : line;
    }
    unknown = after(what, "Unexpected key: ");
    put_fmt(problem, "%s%s", file_name == NULL ? "settings" : file_name, place.line_number.len > 0 ? ":" : "");
    put_bytes(problem, place.line_number);
    put_str(problem, ": ");
    for (size_t d = place.depth; d-- > 0;) {
        put_bytes(problem, place.steps[d]);
        put_str(problem, d > 0 || unknown.len > 0 ? "." : ": ");
    }
    if (unknown.len > 0) {
        put_bytes(problem, unknown);
        put_str(problem, ": unknown setting; allowed here: ");
        put_allowed(y->table, &place, problem);
    } else if (what.len > 0) {
        put_bytes(problem, what);
    } else {
        put_str(problem, fallback);
    }
    put_str(problem, "\n");
}

static enum status read_document(struct config_yaml *y, struct span yaml, const char *file_name,
                                 struct buf *problem)
{
    cyaml_err_t err;

    if (yaml.len == 0)
        return ST_OK;
    err = cyaml_load_data(yaml.p, yaml.len, &y->config, y->top, (cyaml_data_t **)&y->slots, NULL);
    if (err == CYAML_ERR_OOM || y->messages.no_memory)
        return ST_NO_MEMORY;
    /* A message without an error is a warning: documents after the first, which nobody should have ignored. */
    if (err == CYAML_OK && y->messages.len == 0)
        return ST_OK;
    explain(y, file_name,
            err == CYAML_ERR_ALIAS ? "anchors and aliases are not used here" : cyaml_strerror(err), problem);
    return ST_MALFORMED;
}

enum status config_yaml_read(const struct config_table *table, struct span yaml, const char *file_name,
                             struct config_yaml **ret, struct buf *problem)
{
    struct config_yaml *y = calloc(1, sizeof(*y));

    *ret = y;
    if (y == NULL)
        return ST_NO_MEMORY;
    y->table = table;
    arena_init(&y->arena, SCHEMA_MAX);
    buf_init(&y->messages, MESSAGES_MAX);
    y->config = (cyaml_config_t){
        .log_fn = take_message,
        .log_ctx = y,
        .log_level = CYAML_LOG_WARNING,
        .mem_fn = cyaml_mem,
        .flags = CYAML_CFG_NO_ALIAS,
    };
    if (!make_schema(y))
        return ST_NO_MEMORY;
    return read_document(y, yaml, file_name, problem);
}

struct config_slot *config_yaml_slots(struct config_yaml *y)
{
    return y->slots;
}

static void wipe_secrets(const struct config_table *table, struct config_slot *slots)
{
    for (size_t i = 0; table->settings[i].name != NULL; i++) {
        const struct config_setting *s = &table->settings[i];
        if (s->type == CONFIG_RECORDS) {
            struct config_slot *records = slots[i].p;
            for (size_t r = 0; r < slots[i].count; r++)
                wipe_secrets(s->record, records + r * config_table_rows(s->record));
        } else if ((s->flags & CONFIG_SECRET) != 0 && s->type != CONFIG_STRINGS && slots[i].p != NULL) {
            explicit_bzero(slots[i].p, strlen(slots[i].p));
        }
    }
}

void config_yaml_free(struct config_yaml *y)
{
    if (y == NULL)
        return;
    if (y->slots != NULL) {
        wipe_secrets(y->table, y->slots);
        cyaml_free(&y->config, y->top, y->slots, 0);
    }
    buf_done(&y->messages);
    arena_done(&y->arena);
    free(y);
}
