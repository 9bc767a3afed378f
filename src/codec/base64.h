/* codec/base64.h - base64url without padding (RFC 7515 2) and standard Base64 with it (RFC 4648 4), both
 * strict: no white space, no other alphabet, no missing or extra padding, no non-zero bits behind the last byte
 * (TK-51). So one byte string has exactly one spelling. Both append to a buffer, whose limit and stickiness
 * apply. Threads: no state. */
#ifndef SYMBOLON_CODEC_BASE64_H
#define SYMBOLON_CODEC_BASE64_H

#include "base/buf.h"

void base64url_encode(struct span data, struct buf *out);
void base64_encode(struct span data, struct buf *out);

/* ST_MALFORMED with the place; ST_TOO_LARGE when `out` may not take it. Nothing is added on failure. */
enum status base64url_decode(struct span text, struct buf *out, struct why *why) MUST_CHECK;
enum status base64_decode(struct span text, struct buf *out, struct why *why) MUST_CHECK;

/* Base64url of exactly `len` bytes, into memory of the caller: nothing can be short but the text. */
bool base64url_decode_exactly(struct span text, uint8_t *out, size_t len) MUST_CHECK;

/* Exact lengths, for callers with room of their own. */
size_t base64url_len(size_t data_len);

#endif
