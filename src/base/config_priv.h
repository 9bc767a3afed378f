/* base/config_priv.h - between the four files of settings: config.c (load, check, free), config_yaml.c (the
 * door to libcyaml), config_value.c (one value from and to text), config_doc.c (the reference page and the
 * sample).
 *
 * A settings file is first read as text only: a row of `struct config_slot` per table, in the table's order.
 * What the text means is decided afterwards by config_value.c, so that every type follows one set of rules. */
#ifndef SYMBOLON_BASE_CONFIG_PRIV_H
#define SYMBOLON_BASE_CONFIG_PRIV_H

#include "base/arena.h"
#include "base/config.h"

/* p is NULL where the file does not name the setting. Scalars: char *. CONFIG_STRINGS: char *[count].
 * CONFIG_RECORDS: `count` rows of slots, one after another. */
struct config_slot {
    void *p;
    uint64_t count;
};

struct config_yaml; /* a file as text, with the libcyaml schema it was read by */

/* `*ret` holds something to free even on failure. */
enum status config_yaml_read(const struct config_table *table, struct span yaml, const char *file_name,
                             struct config_yaml **ret, struct buf *problem) MUST_CHECK;
/* NULL when the file holds no settings at all. */
struct config_slot *config_yaml_slots(struct config_yaml *y);
void config_yaml_free(struct config_yaml *y); /* wipes what the table calls secret */

size_t config_table_rows(const struct config_table *table);
/* "tls" of "tls.certificate"; empty without a dot. */
struct span config_section(const struct config_setting *s);
/* Whether a row before `row` belongs to `section` already. */
bool config_section_seen(const struct config_table *table, size_t row, struct span section);
const char *config_key(const struct config_setting *s); /* the part behind the dot */

/* Where relative paths start, and how the setting is called in problems ("listeners[2].port"). */
struct config_place {
    const char *file_name;
    const char *name;
};

/* One scalar into the caller's member. Problems are appended as one line. */
enum status config_value_parse(const struct config_setting *s, const char *text,
                               const struct config_place *place, void *member, struct buf *problem) MUST_CHECK;
void config_value_print(const struct config_setting *s, const void *member, struct buf *out);
void config_problem(struct buf *problem, const struct config_place *place, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* "integer, 0 to 64", "duration of at least 1s", "one of: a, b". */
void config_value_form(const struct config_setting *s, struct buf *out);

void config_strings_done(struct config_strings *list, bool secret);
void config_string_free(char *str, bool secret);

#endif
