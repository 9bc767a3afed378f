/* codec/json_oracle.h - what jansson's own reader says of a text, beside what ours says (decision 0041). For tests only: jansson
 * loses a NUL that stands behind a number, which is why such texts are told apart, and it knows no limit of 16 levels. */
#ifndef SYMBOLON_CODEC_JSON_ORACLE_H
#define SYMBOLON_CODEC_JSON_ORACLE_H

#include "base/utf8.h"
#include "codec/json.h"

#include <jansson.h>
#include <string.h>

/* Never deeper than `most` outside of text; broken text may be called deep or not. */
static inline bool oracle_is_deep(struct span text, size_t most)
{
    bool in_text = false;
    size_t depth = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];

        if (c == '"')
            in_text = !in_text;
        else if (in_text && c == '\\')
            i++;
        else if (!in_text && (c == '[' || c == '{') && ++depth > most)
            return true;
        else if (!in_text && (c == ']' || c == '}') && depth > 0)
            depth--;
    }
    return false;
}

/* A NUL in UTF-8 text is no JSON wherever it stands: outside of text it is no space, inside it must be escaped. */
static inline bool oracle_has_nul(struct span text)
{
    return text.len > 0 && memchr(text.p, 0, text.len) != NULL;
}

/* NULL: refused. */
static inline json_t *oracle_read(struct span text)
{
    json_error_t error;

    if (text.len == 0 || !utf8_valid(text) || oracle_has_nul(text) || oracle_is_deep(text, JS_DEPTH_MAX))
        return NULL;
    return json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
}

/* Both take it, with the same value, or both refuse it. */
static inline bool oracle_agrees(struct span text, size_t max_bytes)
{
    CLEANUP(js_unrefp)
    struct js *ours = NULL;
    struct why why = { 0 };
    json_t *theirs = oracle_read(text);
    enum status st = js_parse(text, max_bytes, &ours, &why);
    bool same = theirs == NULL ? st == ST_MALFORMED && ours == NULL && why.clause != NULL && why.text != NULL
                               : st == ST_OK && json_equal(theirs, (json_t *)ours) == 1;

    json_decref(theirs);
    return same;
}

#endif
