/* base/buf.h - a growing byte buffer with a limit, and the writer over it.
 * Failure is sticky like the reader's: after the limit or an allocation failure nothing more is added and
 * buf_ok() is false; one check at the end covers every write. Owner: whoever holds the struct; buf_done(). */
#ifndef SYMBOLON_BASE_BUF_H
#define SYMBOLON_BASE_BUF_H

#include "base/span.h"
#include "base/status.h"

struct buf {
    uint8_t *p;
    size_t len;
    size_t cap;
    size_t max; /* never grows beyond; given when created */
    bool failed;
    bool no_memory; /* why it failed: not for the limit */
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);
void buf_wipe(struct buf *b);  /* buf_done() for what was secret: zeroed first */
void buf_reset(struct buf *b); /* empty and not failed, memory kept */

bool buf_ok(const struct buf *b);
enum status buf_status(const struct buf *b); /* ST_OK, ST_NO_MEMORY, or ST_TOO_LARGE: the limit */
/* That of a buffer that has failed, with its why: "out of memory", or `too_large`. */
enum status buf_refuse(const struct buf *b, const char *too_large, struct why *why);
struct span buf_span(const struct buf *b);

/* Room for `len` more bytes at the end, to be filled and then counted with buf_added(); NULL when refused. */
uint8_t *buf_room(struct buf *b, size_t len);
void buf_added(struct buf *b, size_t len);

void buf_drop_front(struct buf *b, size_t len);
void buf_truncate(struct buf *b, size_t len);

/* Gives the bytes away as a heap block with a NUL behind them (not counted); the buffer is empty afterwards.
 * NULL when the buffer had failed. */
uint8_t *buf_take(struct buf *b, size_t *ret_len);

void put_bytes(struct buf *b, struct span s);
void put_str(struct buf *b, const char *str);
void put_fmt(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void put_u8(struct buf *b, uint8_t v);
void put_u16(struct buf *b, uint16_t v); /* big-endian, as all of these */
void put_u32(struct buf *b, uint32_t v);
void put_u64(struct buf *b, uint64_t v);
void put_varint(struct buf *b, uint32_t v);        /* MQTT5 1.5.5; fails above 268435455 */
void put_prefixed16(struct buf *b, struct span s); /* fails above 65535 bytes */
size_t varint_size(uint32_t v);

#endif
