/* client/error_priv.h - from our statuses to the public ones: the edge of the library.
 * Inside the library calls return `enum status` with a `struct why`; public functions translate once. */
#ifndef SYMBOLON_CLIENT_ERROR_PRIV_H
#define SYMBOLON_CLIENT_ERROR_PRIV_H

#include "base/span.h"
#include "base/status.h"
#include "symbolon/error.h"

#define NO_REASON_CODE (-1)

/* All of these fill `error` (which may be NULL) and return its status. Text is cleaned: control bytes become '?'. */
enum symbolon_status error_set(struct symbolon_error *error, enum symbolon_status status, const char *clause,
                               const char *fmt, ...) PRINTF_LIKE(4, 5);
enum symbolon_status error_from(struct symbolon_error *error, enum status st, const struct why *why);
/* The same with what it was about in front: "ca.pem: no certificate in it". */
enum symbolon_status error_about(struct symbolon_error *error, enum status st, const struct why *why,
                                 const char *about);
/* A reason code of a packet, with the broker's reason string if it gave one. */
enum symbolon_status error_from_reason(struct symbolon_error *error, const char *packet, uint8_t code,
                                       struct span reason_string);
enum symbolon_status error_none(struct symbolon_error *error);

static inline struct span span_of_bytes(struct symbolon_bytes b)
{
    return span_of(b.p, b.len);
}

static inline struct symbolon_bytes bytes_of_span(struct span s)
{
    return (struct symbolon_bytes){ s.p, s.len };
}

#endif
