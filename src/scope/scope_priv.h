/* scope/scope_priv.h - the compiled form. */
#ifndef SYMBOLON_SCOPE_SCOPE_PRIV_H
#define SYMBOLON_SCOPE_SCOPE_PRIV_H

#include "scope/scope.h"

/* One block of memory: this, then `sorted`, then the text of all filters. `sorted` holds indexes into `entries`:
 * first those of plain topics, then those of filters with wildcards, each run ordered by its bytes. */
struct scope {
    _Atomic uint32_t refs;
    uint16_t count;
    uint16_t plain_count;
    uint16_t *sorted;
    struct scope_entry entries[];
};

/* mqtt-permissions (RFC 9431 2.3), the same words in JSON and CBOR. */
struct scope_permission_name {
    enum scope_permission permission;
    const char *name;
};

#define SCOPE_PERMISSIONS 2
extern const struct scope_permission_name scope_permission_names[SCOPE_PERMISSIONS];

/* Adds the permission with this name; SPAN_NONE for what was no text. `i` is the entry, for `why`. */
enum status scope_add_permission(unsigned *permissions, struct span name, size_t i, struct why *why) MUST_CHECK;

/* The encoded array itself, not wrapped again. */
enum status scope_from_cbor_bytes(struct span bytes, struct scope **ret_scope, struct why *why) MUST_CHECK;

/* A parser's refusal as a scope's: bytes that are no JSON or CBOR are a bad scope for whoever asked (MT-86). */
enum status scope_not_parsed(enum status st, const char *text, struct why *why) MUST_CHECK;

#endif
