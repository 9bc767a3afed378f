/* as/name_set.h - small sets of names the registry keeps: formats, protections, kinds of PoP keys, ACE profiles.
 * In the database a set is its names with a space between, in JSON an array of them, in memory bits: IN(number).
 * A kind of name is a function from number to name; NULL where a number has none.
 * Failure: ST_MALFORMED for a name that is not of the kind, twice, or for none at all. Threads: no state. */
#ifndef SYMBOLON_AS_NAME_SET_H
#define SYMBOLON_AS_NAME_SET_H

#include "base/buf.h"
#include "codec/json.h"

#define NAME_SET_MAX 32 /* numbers are smaller */

typedef const char *name_fn(int64_t number);

bool name_number(name_fn *kind, struct span name, unsigned *ret);

enum status name_set_from_words(name_fn *kind, struct span words, unsigned *ret) MUST_CHECK;
void name_set_put_words(name_fn *kind, unsigned set, struct buf *out);

/* `clause` names the member in a refusal. */
enum status name_set_from_js(name_fn *kind, const struct js *array, const char *clause, unsigned *ret,
                             struct why *why) MUST_CHECK;
struct js *name_set_to_js(name_fn *kind, unsigned set); /* NULL when out of memory */

#endif
