#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST_CAP 64u
#define VARINT_MAX    268435455u

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){ .max = max };
}

void buf_done(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ .max = b->max };
}

void buf_wipe(struct buf *b)
{
    if (b->p != NULL)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = b->no_memory = false;
}

bool buf_ok(const struct buf *b)
{
    return !b->failed;
}

enum status buf_status(const struct buf *b)
{
    if (!b->failed)
        return ST_OK;
    return b->no_memory ? ST_NO_MEMORY : ST_TOO_LARGE;
}

enum status buf_refuse(const struct buf *b, const char *too_large, struct why *why)
{
    if (b->no_memory)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    return reject(why, ST_TOO_LARGE, "max_bytes", too_large, b->max);
}

struct span buf_span(const struct buf *b)
{
    return span_of(b->p, b->len);
}

uint8_t *buf_room(struct buf *b, size_t len)
{
    if (b->failed || len > b->max - b->len) {
        b->failed = true;
        return NULL;
    }
    if (len > b->cap - b->len) {
        size_t cap = b->cap < BUF_FIRST_CAP ? BUF_FIRST_CAP : b->cap;
        while (cap - b->len < len)
            cap *= 2; /* cannot overflow: len <= max, and max is a setting far below SIZE_MAX / 2 */
        uint8_t *p = realloc(b->p, cap);
        if (p == NULL) {
            b->failed = b->no_memory = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p == NULL ? NULL : b->p + b->len; /* NULL only for len 0 in a buffer that is still empty */
}

void buf_added(struct buf *b, size_t len)
{
    ASSERT(len <= b->cap - b->len);
    b->len += len;
}

void buf_drop_front(struct buf *b, size_t len)
{
    ASSERT(len <= b->len);
    if (len > 0 && len < b->len)
        memmove(b->p, b->p + len, b->len - len);
    b->len -= len;
}

void buf_truncate(struct buf *b, size_t len)
{
    ASSERT(len <= b->len);
    b->len = len;
}

uint8_t *buf_take(struct buf *b, size_t *ret_len)
{
    put_u8(b, 0);
    if (b->failed)
        return NULL;
    uint8_t *p = b->p;
    *ret_len = b->len - 1;
    *b = (struct buf){ .max = b->max };
    return p;
}

void put_bytes(struct buf *b, struct span s)
{
    uint8_t *room = buf_room(b, s.len);
    if (room == NULL)
        return;
    if (s.len > 0)
        memcpy(room, s.p, s.len);
    b->len += s.len;
}

void put_str(struct buf *b, const char *str)
{
    put_bytes(b, span_of_str(str));
}

void put_fmt(struct buf *b, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    uint8_t *room = len < 0 ? NULL : buf_room(b, (size_t)len + 1);
    if (room == NULL) {
        b->failed = true;
        return;
    }
    va_start(args, fmt);
    vsnprintf((char *)room, (size_t)len + 1, fmt, args);
    va_end(args);
    b->len += (size_t)len;
}

void put_u8(struct buf *b, uint8_t v)
{
    uint8_t *room = buf_room(b, 1);
    if (room == NULL)
        return;
    room[0] = v;
    b->len += 1;
}

void put_u16(struct buf *b, uint16_t v)
{
    const uint8_t bytes[] = { (uint8_t)(v >> 8), (uint8_t)v };
    put_bytes(b, span_of(bytes, sizeof bytes));
}

void put_u32(struct buf *b, uint32_t v)
{
    const uint8_t bytes[] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
    put_bytes(b, span_of(bytes, sizeof bytes));
}

void put_u64(struct buf *b, uint64_t v)
{
    put_u32(b, (uint32_t)(v >> 32));
    put_u32(b, (uint32_t)v);
}

void put_varint(struct buf *b, uint32_t v)
{
    if (v > VARINT_MAX) {
        b->failed = true;
        return;
    }
    do {
        uint8_t low = v & 0x7f;
        v >>= 7;
        put_u8(b, v > 0 ? low | 0x80 : low);
    } while (v > 0);
}

void put_prefixed16(struct buf *b, struct span s)
{
    if (s.len > UINT16_MAX) {
        b->failed = true;
        return;
    }
    put_u16(b, (uint16_t)s.len);
    put_bytes(b, s);
}

size_t varint_size(uint32_t v)
{
    return v < 128 ? 1 : v < 16384 ? 2 : v < 2097152 ? 3 : 4;
}
