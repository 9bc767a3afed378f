/* tests/support/vectors.h - reading the vector files of tests/vectors from C tests. Whatever is wrong with a file
 * fails the test that asked. VECTORS_DIR comes from the build. */
#ifndef SYMBOLON_TESTS_SUPPORT_VECTORS_H
#define SYMBOLON_TESTS_SUPPORT_VECTORS_H

#include "base/buf.h"
#include "codec/base64.h"
#include "codec/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the ones above first */
#include <cmocka.h>

#define VECTORS_MAX_BYTES (1 << 20)

static inline struct js *vectors_load(const char *name)
{
    struct buf text;
    struct js *js = NULL;
    char path[1024];
    size_t n;

    buf_init(&text, VECTORS_MAX_BYTES);
    (void)snprintf(path, sizeof(path), "%s/%s", VECTORS_DIR, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    uint8_t *room = buf_room(&text, VECTORS_MAX_BYTES);
    assert_non_null(room);
    n = fread(room, 1, VECTORS_MAX_BYTES, f);
    buf_added(&text, n);
    (void)fclose(f);
    assert_int_equal(js_parse(buf_span(&text), VECTORS_MAX_BYTES, &js, NULL), ST_OK);
    buf_done(&text);
    return js;
}

static inline struct span vector_str(const struct js *row, const char *name)
{
    struct span text;
    assert_true(js_get_str(row, name, &text));
    return text;
}

/* SPAN_NONE if the member is null. */
static inline struct span vector_str_or_none(const struct js *row, const char *name)
{
    return js_is(js_get(row, name), JS_NULL) ? SPAN_NONE : vector_str(row, name);
}

static inline int vector_nibble(uint8_t c)
{
    assert_true((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Appends the bytes of a hexadecimal member; returns only these. */
static inline struct span vector_hex(const struct js *row, const char *name, struct buf *out)
{
    struct span text = vector_str(row, name);
    size_t start = out->len;

    assert_int_equal(text.len % 2, 0);
    for (size_t i = 0; i < text.len; i += 2)
        put_u8(out, (uint8_t)(vector_nibble(text.p[i]) << 4 | vector_nibble(text.p[i + 1])));
    assert_true(buf_ok(out));
    return span_of(out->p + start, out->len - start);
}

/* The same for base64url. `out` must have room for all members read into it, so that it does not move. */
static inline struct span vector_base64url(const struct js *row, const char *name, struct buf *out)
{
    size_t start = out->len;

    assert_int_equal(base64url_decode(vector_str(row, name), out, NULL), ST_OK);
    return span_of(out->p + start, out->len - start);
}

static inline void assert_span_equal(struct span a, struct span b)
{
    assert_int_equal(a.len, b.len);
    if (a.len > 0)
        assert_memory_equal(a.p, b.p, a.len);
}

#endif
