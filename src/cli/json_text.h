/* cli/json_text.h - JSON values for people: scopes, times, tables. Nothing from a peer reaches the terminal with control
 * bytes in it. */
#ifndef SYMBOLON_CLI_JSON_TEXT_H
#define SYMBOLON_CLI_JSON_TEXT_H

#include "base/buf.h"
#include "codec/json.h"

/* "2026-01-02 03:04:05 UTC". */
void put_time(struct buf *out, int64_t s);

/* One value on one line: text as it is, lists with commas, AIF arrays as "pub,sub:FILTER ...", members whose names end in
 * _at, _until or are exp, iat, nbf as times, other objects as JSON. */
void put_value(struct buf *out, struct span name, const struct js *value);

/* Any answer: members of `obj` line by line; a list of objects becomes a table with a heading. `skip` (may be NULL) is
 * left out. Prints to standard output. ST_NO_MEMORY or ST_OK. */
enum status print_members(const struct js *obj, const char *skip) MUST_CHECK;

/* Members line by line, objects inside as JSON on theirs. */
enum status print_flat(const struct js *obj) MUST_CHECK;

/* Compact JSON and a newline. */
enum status print_json(const struct js *js) MUST_CHECK;

#endif
