/* base/span.h - borrowed bytes: valid until the buffer behind them moves; never stored.
 * Text in this project is a span too: lengths are known, NUL is an ordinary byte that the checks refuse. */
#ifndef SYMBOLON_BASE_SPAN_H
#define SYMBOLON_BASE_SPAN_H

#include "base/defs.h"

#include <string.h>

struct span {
    const uint8_t *p;
    size_t len;
};

#define SPAN(literal) ((struct span){ (const uint8_t *)(literal), sizeof(literal) - 1 })
#define SPAN_NONE     ((struct span){ NULL, 0 })
#define SPAN_FMT(s)   (int)(s).len, (s).p == NULL ? "" : (const char *)(s).p /* for "%.*s" */

static inline struct span span_of(const void *p, size_t len)
{
    return (struct span){ (const uint8_t *)p, len };
}

static inline struct span span_of_str(const char *str)
{
    return span_of(str, str == NULL ? 0 : strlen(str));
}

/* Not for secrets: see crypto/secret.h for the constant-time form. */
static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool span_eq_str(struct span a, const char *str)
{
    return span_eq(a, span_of_str(str));
}

static inline bool span_starts_with(struct span s, struct span prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

/* The part from `from` on, at most `len` bytes; cut to what is there. */
static inline struct span span_cut(struct span s, size_t from, size_t len)
{
    if (from > s.len)
        from = s.len;
    if (len > s.len - from)
        len = s.len - from;
    return (struct span){ s.p == NULL ? NULL : s.p + from, len };
}

/* Index of the first `byte` at or after `from`, or s.len. */
static inline size_t span_find(struct span s, uint8_t byte, size_t from)
{
    if (from >= s.len)
        return s.len;
    const uint8_t *hit = memchr(s.p + from, byte, s.len - from);
    return hit == NULL ? s.len : (size_t)(hit - s.p);
}

/* A NUL-terminated heap copy, to be freed by the caller; NULL when out of memory. Embedded NULs are kept. */
char *span_dup_str(struct span s) MUST_CHECK;

#endif
