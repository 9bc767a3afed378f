/* codec/json.h - the one door to jansson.
 * Parsing is strict (RFC 8259 with RFC 7515 4's demand): UTF-8 only, no member twice in one object (TK-48), at
 * most JS_DEPTH_MAX levels (TK-49), one value and nothing behind it (TK-50), no
 * U+0000 in text, integers within 64 bits. Look-ups never fail loudly: an absent member and one of another kind
 * both answer "no", and js_get() tells the two apart.
 * Ownership: a value is counted; js_get(), js_at() and iteration lend. Children live as long as their parent.
 * Threads:   one at a time per document. */
#ifndef SYMBOLON_CODEC_JSON_H
#define SYMBOLON_CODEC_JSON_H

#include "base/buf.h"

#define JS_DEPTH_MAX 16

struct js;

enum js_kind { JS_OBJECT, JS_ARRAY, JS_STRING, JS_INTEGER, JS_REAL, JS_TRUE, JS_FALSE, JS_NULL };

/* ST_TOO_LARGE beyond max_bytes, ST_MALFORMED, ST_NO_MEMORY. Any value may stand at the top. */
enum status js_parse(struct span text, size_t max_bytes, struct js **ret_js, struct why *why) MUST_CHECK;

struct js *js_ref(const struct js *js);
void js_unref(struct js *js); /* NULL does nothing */
void js_unrefp(struct js **js);

enum js_kind js_kind(const struct js *js);
bool js_is(const struct js *js, enum js_kind kind); /* false for NULL too */

/* Member of an object: borrowed, or NULL if absent or `obj` is no object (or NULL, so look-ups can be nested).
 */
const struct js *js_get(const struct js *obj, const char *name);
bool js_get_str(const struct js *obj, const char *name, struct span *ret);
bool js_get_i64(const struct js *obj, const char *name, int64_t *ret);
bool js_get_bool(const struct js *obj, const char *name, bool *ret);

bool js_as_str(const struct js *js, struct span *ret);
bool js_as_i64(const struct js *js, int64_t *ret); /* an integer as written: 1.0 and 1e3 are not (TK-52) */
bool js_as_bool(const struct js *js, bool *ret);

size_t js_size(const struct js *js);                    /* of an array or object, else 0 */
const struct js *js_at(const struct js *arr, size_t i); /* NULL beyond the end */

/* The members in order. Stops early when fn says false, and says so. */
bool js_object_each(const struct js *obj, bool (*fn)(void *ctx, struct span name, const struct js *value),
                    void *ctx);

/* Building. NULL when out of memory; passing that NULL on as `obj`, `arr` or `child` is fine and gives
 * ST_NO_MEMORY, so only the setters need a check. Text must be UTF-8 without U+0000: else ST_MALFORMED.
 * Setting a name again replaces its value. */
struct js *js_new_object(void);
struct js *js_new_array(void);
struct js *js_new_str(struct span text);
struct js *js_new_i64(int64_t v);
enum status js_set_str(struct js *obj, const char *name, struct span text) MUST_CHECK;
enum status js_set_i64(struct js *obj, const char *name, int64_t v) MUST_CHECK;
enum status js_set_bool(struct js *obj, const char *name, bool v) MUST_CHECK;
enum status js_set_null(struct js *obj, const char *name) MUST_CHECK;
enum status js_set_take(struct js *obj, const char *name, struct js *child) MUST_CHECK;
enum status js_append_str(struct js *arr, struct span text) MUST_CHECK;
enum status js_append_take(struct js *arr, struct js *child) MUST_CHECK;

/* Appends the compact text, members in the order they were set. ST_TOO_LARGE when `out` may not take it. */
enum status js_print(const struct js *js, struct buf *out) MUST_CHECK;
enum status js_print_pretty(const struct js *js,
                            struct buf *out) MUST_CHECK; /* over several lines, for people */

bool js_same(const struct js *a, const struct js *b); /* deep; order of members does not count */

#endif
