#include "broker/store_migrate.h"

/* One record of a format as it is in the next. */
typedef enum status step_fn(struct span key, struct span value, struct kv_batch *out, struct why *why);

/* `value`, with `before` in front and `behind` at its end, is what is under `key` now. */
static enum status put_again(struct kv_batch *out, struct span key, struct span before, struct span value,
                             struct span behind)
{
    struct buf *v = kv_batch_put_begin(out, key);
    size_t at = v->len;

    put_bytes(v, before);
    put_bytes(v, value);
    put_bytes(v, behind);
    if (buf_ok(v))
        put_u32(v, record_sum(key, span_of(v->p + at, v->len - at)));
    return kv_batch_put_end(out);
}

/* A session says which MQTT its client spoke last; that was not known: 5. The broker that wrote `v` says when it began: 1970. */
static enum status from_0(struct span key, struct span value, struct kv_batch *out, struct why *why)
{
    struct span rest = value;
    enum status st;

    if (key.len == 0 || (key.p[0] != RECORD_META && key.p[0] != RECORD_SESSION))
        return kv_batch_put(out, key, value);
    st = record_unsum(key, &rest, why);
    if (st != ST_OK)
        return st;
    if (key.p[0] == RECORD_SESSION)
        return put_again(out, key, SPAN("\5"), rest, SPAN_NONE);
    if (rest.len < 4)
        return reject(why, ST_MALFORMED, "store format 0", "it does not say its format", 0);
    return put_again(out, key, SPAN("\0\0\0\1"), span_cut(rest, 4, rest.len - 4), SPAN("\0\0\0\0\0\0\0\0"));
}

/* By the format it starts from. */
static step_fn *const steps[RECORD_FORMAT] = { from_0 };

bool store_migrate_knows(uint32_t format)
{
    return format < RECORD_FORMAT;
}

enum status store_migrate_record(uint32_t format, struct span key, struct span value, struct kv_batch *out,
                                 struct why *why)
{
    struct kv_batch now, next;
    enum status st;

    ASSERT(store_migrate_knows(format));
    if (format + 1 == RECORD_FORMAT)
        return steps[format](key, value, out, why);
    kv_batch_init(&now, SIZE_MAX);
    st = kv_batch_put(&now, key, value);
    for (uint32_t f = format; f < RECORD_FORMAT && st == ST_OK; f++) {
        struct kv_op op;

        kv_batch_init(&next, SIZE_MAX);
        for (size_t at = 0; st == ST_OK && kv_batch_next(&now, &at, &op);)
            st = steps[f](op.key, op.value, f + 1 == RECORD_FORMAT ? out : &next, why);
        kv_batch_done(&now);
        now = next;
    }
    kv_batch_done(&now);
    return st;
}
