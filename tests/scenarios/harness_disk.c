#include "harness_disk.h"

#include <stdlib.h>

/* ---- entries ---- */

static int compare(struct span a, struct span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.p, b.p, len);

    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* Where `key` is, or would be. */
static size_t place_of(const struct disk *disk, struct span key)
{
    size_t low = 0, high = disk->count;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (compare(buf_span(&disk->entries[mid]->key), key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_at(const struct disk *disk, size_t at, struct span key)
{
    return at < disk->count && compare(buf_span(&disk->entries[at]->key), key) == 0;
}

static void set(struct buf *b, struct span s)
{
    buf_reset(b);
    put_bytes(b, s);
    assert_true(buf_ok(b));
}

static void put(struct disk *disk, struct span key, struct span value)
{
    size_t at = place_of(disk, key);

    disk->puts++;
    if (!is_at(disk, at, key)) {
        if (disk->count == disk->cap) {
            disk->cap = disk->cap == 0 ? 64 : disk->cap * 2;
            disk->entries = reallocarray(disk->entries, disk->cap, sizeof *disk->entries);
            assert_non_null(disk->entries);
        }
        memmove(disk->entries + at + 1, disk->entries + at, (disk->count - at) * sizeof *disk->entries);
        disk->count++;
        disk->entries[at] = calloc(1, sizeof **disk->entries);
        assert_non_null(disk->entries[at]);
        buf_init(&disk->entries[at]->key, KV_KEY_MAX);
        buf_init(&disk->entries[at]->value, SIZE_MAX);
        set(&disk->entries[at]->key, key);
    }
    set(&disk->entries[at]->value, value);
}

static void del(struct disk *disk, struct span key)
{
    size_t at = place_of(disk, key);

    disk->dels++;
    if (!is_at(disk, at, key))
        return;
    buf_done(&disk->entries[at]->key);
    buf_done(&disk->entries[at]->value);
    free(disk->entries[at]);
    disk->count--;
    memmove(disk->entries + at, disk->entries + at + 1, (disk->count - at) * sizeof *disk->entries);
}

void disk_apply(struct disk *disk, const struct kv_batch *batch)
{
    struct kv_op op;
    size_t at = 0;

    while (kv_batch_next(batch, &at, &op)) {
        if (op.del)
            del(disk, op.key);
        else
            put(disk, op.key, op.value);
    }
}

/* ---- life ---- */

struct disk *disk_new(void)
{
    struct disk *disk = calloc(1, sizeof *disk);

    assert_non_null(disk);
    return disk;
}

void disk_free(struct disk *disk)
{
    if (disk == NULL)
        return;
    for (size_t i = 0; i < disk->count; i++) {
        buf_done(&disk->entries[i]->key);
        buf_done(&disk->entries[i]->value);
        free(disk->entries[i]);
    }
    for (unsigned i = 0; i < BENCH_MAX_SHARDS; i++)
        if (disk->waiting[i].there)
            kv_batch_done(&disk->waiting[i].batch);
    free(disk->entries);
    free(disk);
}

/* ---- batches ---- */

void disk_take(struct disk *disk, unsigned shard, uint64_t seq, struct kv_batch *batch)
{
    struct disk_batch *w = &disk->waiting[shard];

    assert_false(w->there); /* at most one is on its way */
    assert_false(kv_batch_empty(batch));
    w->there = true;
    w->seq = seq;
    w->batch = kv_batch_take(batch);
}

bool disk_waits(const struct disk *disk, unsigned shard)
{
    return disk->waiting[shard].there;
}

void disk_commit_unheard(struct bench *b, unsigned shard)
{
    struct disk_batch *w = &b->disk->waiting[shard];

    assert_true(w->there);
    disk_apply(b->disk, &w->batch);
    kv_batch_done(&w->batch);
    w->there = false;
    b->disk->commits++;
}

bool disk_commit_of(struct bench *b, unsigned shard)
{
    struct disk_batch *w = &b->disk->waiting[shard];

    if (!w->there || b->disk->failing != ST_OK)
        return false;
    if (b->disk->freeze_at != 0 && b->disk->commits >= b->disk->freeze_at)
        return false;
    disk_commit_unheard(b, shard);
    bench_inside(b, true);
    shard_stored(b->shard[shard], w->seq, b->now);
    bench_inside(b, false);
    bench_seal(b, shard);
    bench_flush(b);
    return true;
}

bool disk_commit(struct bench *b)
{
    unsigned first = b->disk->shuffled ? pick(b, b->count) : 0;
    bool any = false;

    for (unsigned i = 0; i < b->count; i++) {
        if (disk_commit_of(b, (first + i) % b->count))
            any = true;
        if (any && b->disk->shuffled)
            break;
    }
    return any;
}

static void tell_state(struct bench *b, enum status st)
{
    struct why why = { 0 };

    b->disk->failing = st;
    if (st != ST_OK)
        (void)reject(&why, st, "write", "no space left on device", 0);
    for (unsigned i = 0; i < b->count; i++)
        shard_store_state(b->shard[i], st, why, b->now);
    for (unsigned i = 0; i < b->count; i++)
        bench_seal(b, i);
    bench_flush(b);
}

void disk_fail(struct bench *b, enum status st)
{
    tell_state(b, st);
}

void disk_recover(struct bench *b)
{
    tell_state(b, ST_OK);
    if (!b->disk->manual)
        bench_run(b);
}

/* ---- looking at it ---- */

size_t disk_records(const struct bench *b, char letter)
{
    size_t n = 0;

    for (size_t i = 0; i < b->disk->count; i++)
        n += letter == 0 || b->disk->entries[i]->key.p[0] == (uint8_t)letter;
    return n;
}

size_t disk_waiting(const struct bench *b, unsigned shard, char letter)
{
    const struct disk_batch *w = &b->disk->waiting[shard];
    struct kv_op op;
    size_t at = 0, n = 0;

    while (w->there && kv_batch_next(&w->batch, &at, &op))
        n += letter == 0 || op.key.p[0] == (uint8_t)letter;
    return n;
}

struct span disk_get(const struct disk *disk, struct span key)
{
    size_t at = place_of(disk, key);

    return is_at(disk, at, key) ? buf_span(&disk->entries[at]->value) : SPAN_NONE;
}

/* ---- the end, and a new beginning ---- */

static enum status scan(void *ctx, struct span prefix, kv_visit_fn *visit, void *visit_ctx, struct why *why)
{
    const struct disk *disk = ((struct bench *)ctx)->disk;

    (void)why;
    for (size_t i = place_of(disk, prefix); i < disk->count; i++) {
        struct span key = buf_span(&disk->entries[i]->key);
        enum status st;

        if (!span_starts_with(key, prefix))
            break;
        st = visit(visit_ctx, key, buf_span(&disk->entries[i]->value));
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status apply_all(void *ctx, const struct kv_batch *const *batches, size_t count, struct why *why)
{
    struct bench *b = ctx;

    if (b->disk->failing != ST_OK)
        return reject(why, b->disk->failing, "write", "no space left on device", 0);
    bench_inside(b, false);
    for (size_t i = 0; i < count; i++)
        disk_apply(b->disk, batches[i]);
    bench_inside(b, true);
    return ST_OK;
}

void bench_die(struct bench *b)
{
    for (unsigned i = 0; i < BENCH_MAX_SHARDS; i++) {
        struct disk_batch *w = &b->disk->waiting[i];

        if (w->there)
            kv_batch_done(&w->batch);
        w->there = false;
    }
    bench_end(b);
}

enum status bench_start(struct bench *b, unsigned shards, struct restore_report *ret_report)
{
    struct restore_disk disk = { scan, apply_all, b, b->disk->count };
    struct restore_report report;
    struct why why = { 0 };
    enum status st;

    bench_begin(b, shards);
    bench_inside(b, true);
    st = restore_shards(b->shard, shards, &disk, b->now, NULL, NULL, ret_report != NULL ? ret_report : &report,
                        &why);
    bench_inside(b, false);
    return st;
}

void bench_crash(struct bench *b, unsigned shards)
{
    bench_die(b);
    assert_int_equal(bench_start(b, shards, NULL), ST_OK);
    if (!b->manual)
        bench_run(b);
}

void bench_disk(struct bench *b)
{
    disk_free(b->disk);
    b->disk = NULL;
    bench_end(b);
    b->disk = disk_new();
    assert_int_equal(bench_start(b, b->count, NULL), ST_OK);
}
