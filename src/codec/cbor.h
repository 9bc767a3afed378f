/* codec/cbor.h - the one door to libcbor (RFC 8949).
 * Decoding is strict: one item and nothing behind it, definite lengths only, integers and lengths in their
 * shortest form, text that is UTF-8 (TK-50), no key twice in one map (TK-48), at most CB_DEPTH_MAX levels, and no
 * length or count beyond the bytes that are there (TK-49). All of that is found by a bounded reader before libcbor
 * sees a byte, so neither a depth bomb nor a claimed count ever makes it recurse or allocate. Keys of maps are
 * integers or text, as everywhere in ACE and COSE. Tags 6 to 20 (COSE's are among them), which libcbor 0.8 does not
 * take, are shown to it under other numbers and read back as what they are; at most CB_LOW_TAGS_MAX of them.
 * Look-ups never fail loudly: an absent entry and one of another kind both answer "no".
 * Ownership: a value is counted; cb_at(), cb_get() and cb_tagged() lend. Children live as long as their parent.
 * Threads:   one at a time per document. */
#ifndef SYMBOLON_CODEC_CBOR_H
#define SYMBOLON_CODEC_CBOR_H

#include "base/buf.h"

#define CB_DEPTH_MAX    16  /* arrays, maps and tags around the innermost value */
#define CB_KEYS_MAX     256 /* of a map and of those it lies in, together */

#define CB_LOW_TAGS_MAX 16

struct cb;

/* clang-format off */
enum cb_kind {
    CB_INTEGER, CB_BYTES, CB_TEXT, CB_ARRAY, CB_MAP, CB_TAG, CB_FLOAT, CB_TRUE, CB_FALSE, CB_NULL, CB_UNDEFINED
};
/* clang-format on */

/* ST_TOO_LARGE beyond max_bytes or CB_KEYS_MAX, ST_MALFORMED, ST_UNSUPPORTED, ST_NO_MEMORY. */
enum status cb_parse(struct span bytes, size_t max_bytes, struct cb **ret_cb, struct why *why) MUST_CHECK;

void cb_unref(struct cb *cb); /* NULL does nothing */
void cb_unrefp(struct cb **cb);

enum cb_kind cb_kind(const struct cb *cb);
bool cb_is(const struct cb *cb, enum cb_kind kind); /* false for NULL too */

bool cb_as_text(const struct cb *cb, struct span *ret);
bool cb_as_bytes(const struct cb *cb, struct span *ret);
bool cb_as_i64(const struct cb *cb, int64_t *ret); /* "no" to integers beyond 64 bits with sign */
bool cb_as_bool(const struct cb *cb, bool *ret);
bool cb_as_double(const struct cb *cb, double *ret); /* of CB_FLOAT, any width; may be NaN or infinite */

size_t cb_size(const struct cb *cb);                    /* items of an array, entries of a map, else 0 */
const struct cb *cb_at(const struct cb *arr, size_t i); /* NULL beyond the end, or if `arr` is no array */
/* The entry under an integer key; NULL if it is not there or `map` is no map. */
const struct cb *cb_get(const struct cb *map, int64_t key);
/* The i-th entry of a map, in the order of the bytes; NULL beyond the end, or if `map` is none. */
const struct cb *cb_key_at(const struct cb *map, size_t i);
const struct cb *cb_value_at(const struct cb *map, size_t i);
/* What a tag is around, and its number; NULL if this is no tag. */
const struct cb *cb_tagged(const struct cb *cb, uint64_t *ret_number);

/* Writing, in the deterministic form (RFC 8949 4.2.1), but for the order of keys, which is the caller's: heads of an
 * array, a map and a tag, to be followed by the `count` items, `count` pairs, or the one item; bytes; and text, which
 * must be UTF-8. cb_put_raw() takes an item that is encoded already. `out` fails when it is full or the text is none;
 * it stays failed (base/buf.h). */
void cb_put_array(struct buf *out, size_t count);
void cb_put_map(struct buf *out, size_t count);
void cb_put_tag(struct buf *out, uint64_t number);
void cb_put_int(struct buf *out, int64_t v);
void cb_put_bytes(struct buf *out, struct span bytes);
void cb_put_text(struct buf *out, struct span text);
void cb_put_bool(struct buf *out, bool v);
void cb_put_null(struct buf *out);
void cb_put_raw(struct buf *out, struct span item);

#endif
