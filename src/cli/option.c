#include "cli/option.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_list_done(struct text_list *list)
{
    free(list->items);
    *list = (struct text_list){ 0 };
}

bool text_list_add(struct text_list *list, const char *item)
{
    const char **items = reallocarray(list->items, list->count + 2, sizeof *items);

    if (items == NULL)
        return false;
    items[list->count++] = item;
    items[list->count] = NULL; /* so that it can be passed on as a NULL-terminated array */
    list->items = items;
    return true;
}

/* One option found in argv: its row, where its value goes, how the user wrote it. */
struct found {
    const struct option_row *row;
    void *member;
    char written[64];
};

struct parse {
    const struct option_command *command;
    uint8_t *target;
    int argc, at;
    char **argv;
    char *complaint;
    size_t complaint_cap;
};

static bool find(const struct parse *p, char letter, const char *name, size_t name_len, struct found *out)
{
    for (size_t s = 0; s < p->command->set_count; s++) {
        const struct option_set *set = &p->command->sets[s];
        for (const struct option_row *row = set->rows; row->kind != OPTION_END; row++) {
            bool hit = letter != 0 ? row->letter == letter
                                   : row->name != NULL && strlen(row->name) == name_len &&
                                         memcmp(row->name, name, name_len) == 0;
            if (row->kind == OPTION_HEADING || !hit)
                continue;
            out->row = row;
            out->member = p->target + set->base + row->offset;
            if (letter != 0)
                snprintf(out->written, sizeof out->written, "-%c", letter);
            else
                snprintf(out->written, sizeof out->written, "--%s", row->name);
            return true;
        }
    }
    return false;
}

static bool bad(struct parse *p, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Notes the complaint; false, so that it can be returned. */
static bool bad(struct parse *p, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(p->complaint, p->complaint_cap, fmt, args);
    va_end(args);
    return false;
}

static bool set_number(struct parse *p, const struct found *f, const char *value)
{
    char *end;

    errno = 0;
    long long v = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || v < f->row->min || v > f->row->max) {
        snprintf(p->complaint, p->complaint_cap, "%s wants a number from %lld to %lld, not \"%s\"", f->written,
                 (long long)f->row->min, (long long)f->row->max, value);
        return false;
    }
    *(int64_t *)f->member = v;
    return true;
}

static bool set_seconds(struct parse *p, const struct found *f, const char *value)
{
    const char *c = value;
    int64_t ms = 0, unit = 1000;

    for (; *c >= '0' && *c <= '9' && ms <= f->row->max; c++)
        ms = ms * 10 + (*c - '0') * 1000;
    if (*c == '.' && c != value)
        for (c++; *c >= '0' && *c <= '9'; c++)
            ms += (*c - '0') * (unit /= 10);
    if (*c != '\0' || c == value || ms > f->row->max)
        return bad(p, "%s wants seconds, up to %lld, not \"%s\"", f->written, (long long)f->row->max / 1000,
                   value);
    *(int64_t *)f->member = ms;
    return true;
}

static bool set(struct parse *p, const struct found *f, const char *value)
{
    switch (f->row->kind) {
    case OPTION_FLAG:
        *(bool *)f->member = true;
        return true;
    case OPTION_TEXT:
        *(const char **)f->member = value;
        return true;
    case OPTION_NUMBER:
        return set_number(p, f, value);
    case OPTION_SECONDS:
        return set_seconds(p, f, value);
    case OPTION_LIST:
    case OPTION_PROPERTY:
        return text_list_add(f->member, value) || bad(p, "%s: out of memory", f->written);
    case OPTION_HEADING:
    case OPTION_END:
        break;
    }
    ASSERT(false); /* find() gives options only */
    return false;
}

/* Three words, one after the other; four for a user-property. */
static bool set_property(struct parse *p, const struct found *f)
{
    for (int n = 0; n < 3; n++) {
        if (p->at + 1 >= p->argc)
            return bad(p, "%s wants %s", f->written, f->row->arg);
        if (!set(p, f, p->argv[++p->at]))
            return false;
    }
    if (strcmp(p->argv[p->at - 1], "user-property") != 0)
        return set(p, f, "");
    return p->at + 1 < p->argc ? set(p, f, p->argv[++p->at])
                               : bad(p, "%s: a user-property has a name and a value", f->written);
}

/* The value in the same word, or the next one. */
static bool set_with_value(struct parse *p, const struct found *f, const char *inside)
{
    if (f->row->kind == OPTION_PROPERTY)
        return inside == NULL ? set_property(p, f) : bad(p, "%s wants separate words", f->written);
    if (inside != NULL)
        return set(p, f, inside);
    if (p->at + 1 >= p->argc)
        return bad(p, "%s wants a value", f->written);
    return set(p, f, p->argv[++p->at]);
}

static bool parse_long(struct parse *p, const char *word, bool *ret_help)
{
    const char *equals = strchr(word, '=');
    size_t len = equals == NULL ? strlen(word) : (size_t)(equals - word);
    struct found f;

    if (len == 4 && memcmp(word, "help", 4) == 0) {
        *ret_help = true;
        return true;
    }
    if (!find(p, 0, word, len, &f))
        return bad(p, "unknown option --%s", word);
    if (f.row->kind == OPTION_FLAG)
        return equals == NULL ? set(p, &f, NULL) : bad(p, "%s takes no value", f.written);
    return set_with_value(p, &f, equals == NULL ? NULL : equals + 1);
}

static bool parse_letters(struct parse *p, const char *word)
{
    for (; *word != '\0'; word++) {
        struct found f;
        if (!find(p, *word, NULL, 0, &f))
            return bad(p, "unknown option -%.1s", word);
        if (f.row->kind != OPTION_FLAG)
            return set_with_value(p, &f, word[1] == '\0' ? NULL : word + 1);
        if (!set(p, &f, NULL))
            return false;
    }
    return true;
}

#define HELP_COLUMN 30
#define HELP_WIDTH  100

/* Breaks `text` at spaces; the first line starts where the cursor is, `column`. */
static void print_wrapped(const char *text, size_t column, size_t indent)
{
    while (*text != '\0') {
        size_t word = strcspn(text, " \n");
        if (column > indent && column + word > HELP_WIDTH) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        }
        printf("%.*s", (int)word, text);
        column += word;
        text += word;
        if (*text == '\n') {
            printf("\n%*s", (int)indent, "");
            column = indent;
            text++;
        } else if (*text == ' ') {
            if (column < HELP_WIDTH) {
                putchar(' ');
                column++;
            }
            text++;
        }
    }
    putchar('\n');
}

static void print_row(const struct option_row *row)
{
    char left[96];
    const char *arg = row->arg == NULL ? "" : row->arg;
    const char *gap = row->arg == NULL ? "" : " ";

    if (row->letter != 0 && row->name != NULL)
        snprintf(left, sizeof left, "  -%c, --%s%s%s", row->letter, row->name, gap, arg);
    else if (row->letter != 0)
        snprintf(left, sizeof left, "  -%c%s%s", row->letter, gap, arg);
    else
        snprintf(left, sizeof left, "      --%s%s%s", row->name, gap, arg);
    printf("%-*s", HELP_COLUMN - 1, left);
    if (strlen(left) >= HELP_COLUMN - 1)
        printf("\n%*s", HELP_COLUMN, "");
    else
        putchar(' ');
    print_wrapped(row->help, HELP_COLUMN, HELP_COLUMN);
}

static void options_help(const struct option_command *command)
{
    printf("usage: %s\n", command->usage);
    if (command->about != NULL) {
        putchar('\n');
        print_wrapped(command->about, 0, 0);
    }
    for (size_t s = 0; s < command->set_count; s++) {
        const struct option_set *set = &command->sets[s];
        for (const struct option_row *row = set->rows; row->kind != OPTION_END; row++) {
            if (row->kind == OPTION_HEADING)
                printf("\n%s\n", row->name);
            else
                print_row(row);
        }
    }
    if (command->after != NULL) {
        putchar('\n');
        print_wrapped(command->after, 0, 0);
    }
}

enum option_result options_parse(const struct option_command *command, int argc, char **argv, void *target,
                                 struct text_list *rest, char *complaint, size_t complaint_cap)
{
    struct parse p = { command, target, argc, 1, argv, complaint, complaint_cap };
    bool options_ended = false;

    for (; p.at < argc; p.at++) {
        const char *word = argv[p.at];
        bool help = false;
        bool ok;
        if (options_ended || word[0] != '-' || word[1] == '\0') {
            ok = text_list_add(rest, word) || bad(&p, "%s: out of memory", word);
        } else if (strcmp(word, "--") == 0) {
            options_ended = true;
            continue;
        } else if (word[1] == '-') {
            ok = parse_long(&p, word + 2, &help);
        } else {
            ok = parse_letters(&p, word + 1);
        }
        if (!ok)
            return OPTION_BAD;
        if (help) {
            options_help(command);
            return OPTION_HELP_SHOWN;
        }
    }
    return OPTION_OK;
}
