/* Any bytes as a record of the store - the first names the kind and begins the key; the sum is added here - are refused with a reason, or read into
 * what writes exactly these bytes again. */
#include "record/record.h"
#include "store/kv_batch.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define BATCH_MAX ((size_t)1 << 22)

static enum status again_received(struct kv_batch *b, const struct record_received *r)
{
    static uint16_t ids[UINT16_MAX];
    size_t count = r->ids.len / 2;

    ASSERT(count <= COUNT_OF(ids)); /* ascending, and not 0 */
    for (size_t i = 0; i < count; i++)
        ids[i] = record_received_id(r, i);
    return record_put_received(b, r->session, ids, (uint16_t)count);
}

/* clang-format off */
#define AGAIN(name, type)                                                        \
    {                                                                            \
        struct record_##type r;                                                  \
        st = record_read_##name(key, value, &r, why);                            \
        return st == ST_OK ? record_put_##name(b, &r) : st;                      \
    }
/* clang-format on */

static enum status again(struct span key, struct span value, struct kv_batch *b, struct why *why)
{
    struct record_received received;
    struct record_meta meta;
    enum status st;

    switch (key.p[0]) {
    case RECORD_SESSION:
        AGAIN(session, session)
    case RECORD_WILL:
        AGAIN(will, will)
    case RECORD_SUBSCRIPTION:
        AGAIN(subscription, subscription)
    case RECORD_DELIVERY:
        AGAIN(delivery, delivery)
    case RECORD_MESSAGE:
        AGAIN(message, message)
    case RECORD_RETAINED:
        AGAIN(retained, message)
    case RECORD_GROUP:
        AGAIN(group, group)
    case RECORD_ITEM:
        AGAIN(item, item)
    case RECORD_OUT:
        AGAIN(out, out)
    case RECORD_RECEIVED:
        st = record_read_received(key, value, &received, why);
        return st == ST_OK ? again_received(b, &received) : st;
    case RECORD_META:
        st = record_read_meta(key, value, &meta, why);
        if (st == ST_OK && meta.format != RECORD_FORMAT) /* for another version to read */
            return reject(why, ST_BAD_VERSION, "format", "another", 0);
        return st == ST_OK ? record_put_meta(b, &meta) : st;
    default:
        return reject(why, ST_MALFORMED, "kind", "unknown", 0);
    }
}

static size_t key_len(uint8_t kind)
{
    switch (kind) {
    case RECORD_META:
        return 1;
    case RECORD_SUBSCRIPTION:
        return 13;
    case RECORD_DELIVERY:
    case RECORD_ITEM:
    case RECORD_OUT:
        return 17;
    default:
        return 9;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct span all = span_of(data, len), key, value;
    struct why why = { 0 };
    struct kv_batch b;
    struct kv_op op;
    struct buf summed;
    size_t at = 0;
    enum status st;

    if (len == 0)
        return 0;
    key = span_cut(all, 0, key_len(data[0]) < len ? key_len(data[0]) : len);
    value = span_cut(all, key.len, len - key.len);
    buf_init(&summed, SIZE_MAX);
    put_bytes(&summed, value);
    put_u32(&summed, record_sum(key, value));
    value = buf_span(&summed);
    kv_batch_init(&b, BATCH_MAX);
    st = again(key, value, &b, &why);
    if (st == ST_OK) {
        ASSERT(kv_batch_next(&b, &at, &op) && !op.del);
        ASSERT(span_eq(op.key, key) && span_eq(op.value, value));
    } else {
        ASSERT(why.text != NULL && why.clause != NULL && b.count == 0);
    }
    kv_batch_done(&b);
    buf_done(&summed);
    return 0;
}
