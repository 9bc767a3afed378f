#include "base/reader.h"

struct reader reader_make(struct span input, const char *short_clause)
{
    return (struct reader){ .p = input.p, .len = input.len, .short_clause = short_clause };
}

bool reader_ok(const struct reader *r)
{
    return !r->failed;
}

size_t reader_left(const struct reader *r)
{
    return r->failed ? 0 : r->len - r->at;
}

size_t reader_at(const struct reader *r)
{
    return r->base + r->at;
}

/* The next `len` bytes, or NULL and a failed reader. */
static const uint8_t *advance(struct reader *r, size_t len)
{
    if (r->failed || len > r->len - r->at) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *here = r->p + r->at;
    r->at += len;
    return here;
}

uint8_t read_u8(struct reader *r)
{
    const uint8_t *b = advance(r, 1);
    return b == NULL ? 0 : b[0];
}

uint16_t read_u16(struct reader *r)
{
    const uint8_t *b = advance(r, 2);
    if (b == NULL)
        return 0;
    return (uint16_t)(b[0] << 8 | b[1]);
}

uint32_t read_u32(struct reader *r)
{
    const uint8_t *b = advance(r, 4);
    return b == NULL ? 0 : (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

uint64_t read_u64(struct reader *r)
{
    uint64_t high = read_u32(r);
    uint64_t low = read_u32(r);
    return r->failed ? 0 : high << 32 | low;
}

struct span read_bytes(struct reader *r, size_t len)
{
    const uint8_t *b = advance(r, len);
    return b == NULL ? SPAN_NONE : span_of(b, len);
}

struct span read_rest(struct reader *r)
{
    return read_bytes(r, reader_left(r));
}

struct span read_prefixed16(struct reader *r)
{
    uint16_t len = read_u16(r);
    return read_bytes(r, len);
}

uint32_t read_varint(struct reader *r)
{
    uint32_t value = 0;

    for (unsigned shift = 0; shift <= 21; shift += 7) {
        uint8_t byte = read_u8(r);
        value |= (uint32_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            if (byte == 0 && shift > 0) /* a longer form than needed: MQTT5 [MQTT-1.5.5-1] */
                r->failed = true;
            return r->failed ? 0 : value;
        }
    }
    r->failed = true;
    return 0;
}

struct reader read_block(struct reader *r, size_t len)
{
    struct reader inner = { .base = r->base + r->at, .short_clause = r->short_clause };
    struct span bytes = read_bytes(r, len);

    inner.p = bytes.p;
    inner.len = bytes.len;
    inner.failed = r->failed;
    return inner;
}

struct reader read_block_varint(struct reader *r)
{
    uint32_t len = read_varint(r);
    return read_block(r, len);
}

enum status reader_finish(const struct reader *r, struct why *why)
{
    const char *clause = r->short_clause == NULL ? "framing" : r->short_clause;

    if (r->failed)
        return reject(why, ST_MALFORMED, clause, "ends too early or has a wrong length", r->base + r->at);
    if (r->at != r->len)
        return reject(why, ST_MALFORMED, clause, "bytes left over at the end", r->base + r->at);
    return ST_OK;
}
