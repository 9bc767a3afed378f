/* as/status_print.h - maps and arrays in JSON or in CBOR, written front to back. In CBOR a name is its integer key and bytes
 * are bytes, in JSON base64url. One check of `out` at the end covers everything. */
#ifndef SYMBOLON_AS_STATUS_PRINT_H
#define SYMBOLON_AS_STATUS_PRINT_H

#include "base/buf.h"

#define PRINT_DEPTH_MAX 8

struct printer {
    struct buf *out;
    bool cbor;
    size_t depth;
    bool is_map[PRINT_DEPTH_MAX];
};

void print_map(struct printer *p, size_t pairs);
void print_array(struct printer *p, size_t items);
void print_end(struct printer *p); /* of the map or array begun last */
void print_name(struct printer *p, const char *name, int64_t key);
void print_number(struct printer *p, int64_t v);
void print_text(struct printer *p, const char *plain); /* a text of ours, without anything to escape */
void print_bytes(struct printer *p, struct span bytes);
void print_bool(struct printer *p, bool v);
void print_null(struct printer *p);

#endif
