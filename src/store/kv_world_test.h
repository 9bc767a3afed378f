/* store/kv_world_test.h - what the tests of kv share: a scratch folder, and short ways to change and look. */
#ifndef SYMBOLON_STORE_KV_WORLD_TEST_H
#define SYMBOLON_STORE_KV_WORLD_TEST_H

#include "store/kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

struct scratch {
    char folder[64];
    char store[80];
    char copy[80];
};

static inline void scratch_make(struct scratch *s)
{
    /* In memory where there is such a folder: no test of ours finds out whether the machine's disk syncs. */
    (void)snprintf(s->folder, sizeof s->folder, "%s/kv-test-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(s->store, sizeof s->store, "%s/store", s->folder);
    (void)snprintf(s->copy, sizeof s->copy, "%s/copy", s->folder);
}

static inline void scratch_remove(const struct scratch *s)
{
    const char *const stores[] = { s->store, s->copy };
    char path[128];

    for (size_t i = 0; i < COUNT_OF(stores); i++) {
        (void)snprintf(path, sizeof path, "%s/data.mdb", stores[i]);
        unlink(path);
        (void)snprintf(path, sizeof path, "%s/lock.mdb", stores[i]);
        unlink(path);
        rmdir(stores[i]);
    }
    assert_int_equal(rmdir(s->folder), 0);
}

static inline struct kv *open_store(const char *path)
{
    struct kv_settings settings = { .max_bytes = UINT64_C(64) << 20, .check = true };
    struct kv *kv = NULL;
    struct why why = { 0 };
    enum status st = kv_open(path, &settings, &kv, &why);

    if (st != ST_OK)
        fail_msg("%s: %s", status_name(st), why.text);
    return kv;
}

static inline enum status apply_one(struct kv *kv, const struct kv_batch *b, struct why *why)
{
    return kv_apply(kv, &b, 1, why);
}

/* "k" = "v", or gone with a NULL, as a commit of its own. */
static inline enum status set(struct kv *kv, const char *key, const char *value)
{
    struct kv_batch b;

    kv_batch_init(&b, 1 << 20);
    assert_int_equal(value == NULL ? kv_batch_del(&b, span_of_str(key))
                                   : kv_batch_put(&b, span_of_str(key), span_of_str(value)),
                     ST_OK);
    enum status st = apply_one(kv, &b, NULL);
    kv_batch_done(&b);
    return st;
}

static inline void expect(struct kv *kv, const char *key, const char *value)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(kv_get(kv, span_of_str(key), &out, NULL), value == NULL ? ST_NOT_FOUND : ST_OK);
    if (value != NULL)
        assert_true(span_eq_str(buf_span(&out), value));
    buf_done(&out);
}

/* Everything in the store, in order, as one text: "key=value;" */
static inline enum status write_down(void *ctx, struct span key, struct span value)
{
    put_bytes(ctx, key);
    put_str(ctx, "=");
    put_bytes(ctx, value);
    put_str(ctx, ";");
    return ST_OK;
}

static inline struct buf contents(struct kv *kv, const char *prefix)
{
    struct buf all;

    buf_init(&all, 1 << 28);
    assert_int_equal(kv_scan(kv, span_of_str(prefix), write_down, &all, NULL), ST_OK);
    assert_true(buf_ok(&all));
    return all;
}

static inline void expect_contents(struct kv *kv, const char *prefix, const char *text)
{
    struct buf all = contents(kv, prefix);

    assert_true(span_eq_str(buf_span(&all), text));
    buf_done(&all);
}

/* A pseudo-random number that a seed reproduces. */
static inline uint32_t dice(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

#endif
