/* One change: kind (1 byte), length of the key (2), of the value (4), both in the machine's order since nothing of
 * this reaches a disk or a peer, then key and value. */
#include "store/kv_batch.h"

enum kind { KIND_PUT = 1, KIND_DEL = 2 };

#define HEAD_BYTES   7u
#define KEY_LEN_AT   1u
#define VALUE_LEN_AT 3u

void kv_batch_init(struct kv_batch *b, size_t max_bytes)
{
    *b = (struct kv_batch){ 0 };
    buf_init(&b->ops, max_bytes);
}

void kv_batch_done(struct kv_batch *b)
{
    buf_wipe(&b->ops); /* payloads, and keys of clients */
    b->count = 0;
}

void kv_batch_reset(struct kv_batch *b)
{
    buf_reset(&b->ops);
    b->count = 0;
}

struct kv_batch kv_batch_take(struct kv_batch *b)
{
    struct kv_batch taken = *b;

    kv_batch_init(b, taken.ops.max);
    return taken;
}

size_t kv_batch_bytes(const struct kv_batch *b)
{
    return b->ops.len;
}

static void begin(struct kv_batch *b, enum kind kind, struct span key)
{
    uint8_t head[HEAD_BYTES] = { (uint8_t)kind };
    uint16_t key_len = (uint16_t)key.len;

    ASSERT(key.len >= 1 && key.len <= KV_KEY_MAX);
    ASSERT(buf_ok(&b->ops));
    memcpy(head + KEY_LEN_AT, &key_len, sizeof key_len);
    b->open_at = b->ops.len;
    put_bytes(&b->ops, span_of(head, sizeof head));
    put_bytes(&b->ops, key);
}

struct buf *kv_batch_put_begin(struct kv_batch *b, struct span key)
{
    begin(b, KIND_PUT, key);
    return &b->ops;
}

enum status kv_batch_put_end(struct kv_batch *b)
{
    if (!buf_ok(&b->ops)) {
        kv_batch_rewind(b, (struct kv_mark){ b->open_at, b->count });
        return ST_NO_MEMORY;
    }
    uint8_t *change = b->ops.p + b->open_at;
    uint16_t key_len;
    memcpy(&key_len, change + KEY_LEN_AT, sizeof key_len);
    size_t len = b->ops.len - b->open_at - HEAD_BYTES - key_len;
    ASSERT(len <= UINT32_MAX);
    uint32_t value_len = (uint32_t)len;
    memcpy(change + VALUE_LEN_AT, &value_len, sizeof value_len);
    b->count++;
    return ST_OK;
}

enum status kv_batch_put(struct kv_batch *b, struct span key, struct span value)
{
    put_bytes(kv_batch_put_begin(b, key), value);
    return kv_batch_put_end(b);
}

enum status kv_batch_del(struct kv_batch *b, struct span key)
{
    begin(b, KIND_DEL, key);
    return kv_batch_put_end(b);
}

struct kv_mark kv_batch_mark(const struct kv_batch *b)
{
    return (struct kv_mark){ b->ops.len, b->count };
}

void kv_batch_rewind(struct kv_batch *b, struct kv_mark mark)
{
    ASSERT(mark.count <= b->count);
    buf_truncate(&b->ops, mark.len);
    b->ops.failed = false;
    b->count = mark.count;
}

bool kv_batch_next(const struct kv_batch *b, size_t *at, struct kv_op *out)
{
    uint16_t key_len;
    uint32_t value_len;

    if (*at == b->ops.len)
        return false;
    ASSERT(b->ops.len - *at >= HEAD_BYTES);
    const uint8_t *change = b->ops.p + *at;
    memcpy(&key_len, change + KEY_LEN_AT, sizeof key_len);
    memcpy(&value_len, change + VALUE_LEN_AT, sizeof value_len);
    ASSERT(b->ops.len - *at - HEAD_BYTES - key_len >= value_len);
    out->del = change[0] == KIND_DEL;
    out->key = span_of(change + HEAD_BYTES, key_len);
    out->value = span_of(change + HEAD_BYTES + key_len, value_len);
    *at += HEAD_BYTES + key_len + value_len;
    return true;
}
