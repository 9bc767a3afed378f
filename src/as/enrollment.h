/* as/enrollment.h - one-time codes: an operator makes one, a device turns it into a registration of its own key.
 * A code is 256 random bits, kept as SHA-256, used once, over at its time. */
#ifndef SYMBOLON_AS_ENROLLMENT_H
#define SYMBOLON_AS_ENROLLMENT_H

#include "as/as_priv.h"

#define ENROLL_TTL_DEFAULT_S 3600
#define ENROLL_TTL_MAX_S     2592000
#define ENROLL_CODES_MAX     100000

struct enrollment {
    struct span id; /* first 16 hex digits of the hash */
    struct span client_id;
    struct span groups; /* JSON array text */
    struct span name;
    struct span default_audience;
    int64_t created_at;
    int64_t expires_at;
};

/* Inside the caller's transaction. Appends the code to `code`; sets *ret_id in the arena. */
enum status enrollment_create(struct as *as, const struct enrollment *wanted, struct arena *arena,
                              struct buf *code, struct span *ret_id, struct why *why) MUST_CHECK;
enum status enrollment_remove(struct sql *sql, struct span id, struct why *why) MUST_CHECK;
enum status enrollment_count(struct sql *sql, struct wall_time now, int64_t *ret, struct why *why) MUST_CHECK;

typedef enum status enrollment_fn(void *ctx, const struct enrollment *code);
enum status enrollment_each(struct sql *sql, struct span after, struct wall_time now, int64_t limit,
                            enrollment_fn *fn, void *ctx, struct why *why) MUST_CHECK;

#endif
