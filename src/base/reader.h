/* base/reader.h - the one way to take hostile bytes apart.
 * Nobody adds to a pointer or subtracts lengths by hand elsewhere. After the first short read a reader stays
 * failed: it yields zeros and has nothing left, so loops end and one reader_finish() covers every read before.
 * A length inside the data makes a nested reader (read_block_*); finish it in turn. */
#ifndef SYMBOLON_BASE_READER_H
#define SYMBOLON_BASE_READER_H

#include "base/span.h"
#include "base/status.h"

struct reader {
    const uint8_t *p;
    size_t len;  /* all bytes of this reader */
    size_t at;   /* next byte */
    size_t base; /* offset of byte 0 in the outermost input, so that `why.at` means something */
    bool failed;
    const char
        *short_clause; /* the rule named when the input ends too early; NULL: "MQTT5 1.5" is not assumed */
};

struct reader reader_make(struct span input, const char *short_clause);

bool reader_ok(const struct reader *r);
size_t reader_left(const struct reader *r); /* 0 once failed */
size_t reader_at(const struct reader *r);   /* offset in the outermost input */

uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r); /* big-endian, as all of these */
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
struct span read_bytes(struct reader *r, size_t len);
struct span read_rest(struct reader *r);
struct span read_prefixed16(struct reader *r); /* 2-byte length, then the bytes */

/* Variable Byte Integer (MQTT5 1.5.5): at most four bytes and the shortest form, else the reader fails. */
uint32_t read_varint(struct reader *r);

struct reader read_block(struct reader *r, size_t len);
struct reader read_block_varint(struct reader *r);

/* ST_OK if nothing failed and nothing is left; otherwise ST_MALFORMED with the place. */
enum status reader_finish(const struct reader *r, struct why *why) MUST_CHECK;

#endif
