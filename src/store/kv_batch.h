/* store/kv_batch.h - changes to ordered keys, gathered flat in memory until kv_apply() makes them one transaction.
 * Changes apply in the order given; the last one of a key counts. Pure: no file, no thread.
 * Failure:   ST_NO_MEMORY, also when the batch would pass its `max_bytes`; the batch is then exactly as before that
 *            call, so that what did not fit goes into the next one. kv_batch_mark() and _rewind() give the same for
 *            several changes that belong together.
 * Ownership: kv_batch_init() .. kv_batch_done(); the struct may be moved by copying it and initializing the source
 *            anew, which kv_batch_take() does. Spans that kv_batch_next() gives live until the batch changes.
 * Limits:    keys of 1 to KV_KEY_MAX bytes (the key bytes are the order), values below 4 GiB. */
#ifndef SYMBOLON_STORE_KV_BATCH_H
#define SYMBOLON_STORE_KV_BATCH_H

#include "base/buf.h"

#define KV_KEY_MAX 511u

struct kv_batch {
    struct buf ops;
    uint32_t count; /* changes in it */
    size_t open_at; /* where the change begun by kv_batch_put_begin() starts; only until kv_batch_put_end() */
};

void kv_batch_init(struct kv_batch *b, size_t max_bytes);
void kv_batch_done(struct kv_batch *b);
void kv_batch_reset(struct kv_batch *b);           /* empty, memory kept */
struct kv_batch kv_batch_take(struct kv_batch *b); /* moves it out; `b` is empty, with the same maximum */
size_t kv_batch_bytes(const struct kv_batch *b);   /* used, not allocated */
static inline bool kv_batch_empty(const struct kv_batch *b)
{
    return b->count == 0;
}

/* Sets `key` to `value`. */
enum status kv_batch_put(struct kv_batch *b, struct span key, struct span value) MUST_CHECK;
/* The same with a value that is written in pieces: put_u8(v, ...), put_bytes(v, ...) between the two. Never NULL; nothing
 * else may be done with the batch in between, and the end is not left out: it says whether all of it went in. */
struct buf *kv_batch_put_begin(struct kv_batch *b, struct span key);
enum status kv_batch_put_end(struct kv_batch *b) MUST_CHECK;
/* Removes `key`; a key that is not there is no error. */
enum status kv_batch_del(struct kv_batch *b, struct span key) MUST_CHECK;

/* A place to return to: everything added since then is dropped. */
struct kv_mark {
    size_t len;
    uint32_t count;
};
struct kv_mark kv_batch_mark(const struct kv_batch *b);
void kv_batch_rewind(struct kv_batch *b, struct kv_mark mark);

struct kv_op {
    bool del;
    struct span key, value; /* no value with del */
};
/* The change at *at, which starts at 0 and moves on; false at the end. */
bool kv_batch_next(const struct kv_batch *b, size_t *at, struct kv_op *out);

#endif
