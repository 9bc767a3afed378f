#include "as/name_set.h"

bool name_number(name_fn *kind, struct span name, unsigned *ret)
{
    for (unsigned i = 0; i < NAME_SET_MAX; i++) {
        const char *known = kind(i);
        if (known != NULL && span_eq_str(name, known)) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool add(name_fn *kind, struct span name, unsigned *set)
{
    unsigned number;

    if (!name_number(kind, name, &number) || (*set & IN(number)) != 0)
        return false;
    *set |= IN(number);
    return true;
}

enum status name_set_from_words(name_fn *kind, struct span words, unsigned *ret)
{
    unsigned set = 0;

    for (size_t at = 0; at < words.len;) {
        size_t end = span_find(words, ' ', at);
        if (!add(kind, span_cut(words, at, end - at), &set))
            return ST_MALFORMED;
        at = end + 1;
    }
    *ret = set;
    return ST_OK;
}

void name_set_put_words(name_fn *kind, unsigned set, struct buf *out)
{
    const char *between = "";

    for (unsigned i = 0; i < NAME_SET_MAX; i++) {
        if ((set & IN(i)) == 0)
            continue;
        put_str(out, between);
        put_str(out, kind(i));
        between = " ";
    }
}

enum status name_set_from_js(name_fn *kind, const struct js *array, const char *clause, unsigned *ret,
                             struct why *why)
{
    struct span name;
    unsigned set = 0;

    if (!js_is(array, JS_ARRAY))
        return reject(why, ST_MALFORMED, clause, "must be an array of names", 0);
    for (size_t i = 0; i < js_size(array); i++)
        if (!js_as_str(js_at(array, i), &name) || !add(kind, name, &set))
            return reject(why, ST_MALFORMED, clause, "a name that is not known here, or twice", i);
    *ret = set;
    return ST_OK;
}

struct js *name_set_to_js(name_fn *kind, unsigned set)
{
    struct js *array = js_new_array();

    for (unsigned i = 0; i < NAME_SET_MAX; i++) {
        if ((set & IN(i)) != 0 && js_append_str(array, span_of_str(kind(i))) != ST_OK) {
            js_unref(array);
            return NULL;
        }
    }
    return array;
}
