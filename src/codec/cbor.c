#include "codec/cbor.h"

#include "base/reader.h"
#include "base/utf8.h"

#include <cbor.h>

/* ---- checking, before libcbor sees anything ---- */

/* RFC 8949 3.1 */
enum major { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };

/* The first bytes of an item (RFC 8949 3). */
struct head {
    enum major major;
    uint8_t info;   /* the low five bits of the first byte */
    uint64_t value; /* a number, length or count, by `major` */
    size_t at;
};

struct check {
    struct reader r;
    struct span keys[CB_KEYS_MAX]; /* of the maps open now, the innermost last; each as encoded */
    size_t key_count;
    size_t low_tags[CB_LOW_TAGS_MAX]; /* where tags of 6 to 20 stand, in order */
    size_t low_tag_count;
};

/* Tags 6 to 20 had no meaning when libcbor 0.8 was made, and it takes no item that holds one. It sees each of them
 * as a tag of four bytes instead, from the end of the range "first come first served", where nobody is. */
#define LOW_TAG_FIRST  6
#define LOW_TAG_LAST   20
#define LOW_TAG_SHOWN  UINT32_C(0xfffff000) /* plus the number */
#define LOW_TAG_GROWTH 4

static enum status check_item(struct check *c, unsigned depth, struct why *why);

/* The number behind the first byte; in the shortest form, which also makes equal keys equal bytes. */
static enum status read_value(struct reader *r, struct head *head, struct why *why)
{
    uint64_t longer_from = 0; /* what a form this long is needed for */

    switch (head->info) {
    case 24:
        head->value = read_u8(r);
        longer_from = 24;
        break;
    case 25:
        head->value = read_u16(r);
        longer_from = UINT64_C(1) << 8;
        break;
    case 26:
        head->value = read_u32(r);
        longer_from = UINT64_C(1) << 16;
        break;
    case 27:
        head->value = read_u64(r);
        longer_from = UINT64_C(1) << 32;
        break;
    case 28:
    case 29:
    case 30:
        return reject(why, ST_MALFORMED, "TK-50", "reserved additional information in CBOR", head->at);
    case 31:
        return reject(why, ST_MALFORMED, "TK-50", "CBOR of indefinite length", head->at);
    default:
        head->value = head->info;
    }
    if (!reader_ok(r))
        return reject(why, ST_MALFORMED, "TK-50", "CBOR that ends too early", head->at);
    if (head->major != SIMPLE && head->value < longer_from)
        return reject(why, ST_MALFORMED, "TK-50", "a CBOR number in a longer form than needed", head->at);
    return ST_OK;
}

static enum status read_head(struct reader *r, struct head *head, struct why *why)
{
    *head = (struct head){ .at = reader_at(r) };
    uint8_t first = read_u8(r);
    if (!reader_ok(r))
        return reject(why, ST_MALFORMED, "TK-50", "CBOR that ends too early", head->at);
    head->major = first >> 5;
    head->info = first & 0x1f;
    return read_value(r, head, why);
}

/* False, true, null, undefined and floating point; nothing else has a meaning (RFC 8949 3.3). */
static enum status check_simple(const struct head *head, struct why *why)
{
    if (head->info < 20 || head->info == 24)
        return reject(why, ST_MALFORMED, "TK-50", "a CBOR simple value without a meaning", head->at);
    return ST_OK;
}

static enum status check_string(struct check *c, const struct head *head, struct why *why)
{
    if (head->value > reader_left(&c->r))
        return reject(why, ST_MALFORMED, "TK-49", "a CBOR string longer than the input", head->at);
    struct span s = read_bytes(&c->r, (size_t)head->value);
    if (head->major == TEXT && !utf8_valid(s))
        return reject(why, ST_MALFORMED, "TK-50", "CBOR text that is not UTF-8", head->at);
    return ST_OK;
}

static enum status check_array(struct check *c, const struct head *head, unsigned depth, struct why *why)
{
    if (head->value > reader_left(&c->r)) /* an item takes a byte at least */
        return reject(why, ST_MALFORMED, "TK-49", "a CBOR array longer than the input", head->at);
    for (uint64_t i = 0; i < head->value; i++) {
        enum status st = check_item(c, depth, why);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* Remembers the key and refuses it if the same map, whose keys begin at `first`, has it already. */
static enum status check_key(struct check *c, size_t first, unsigned depth, struct why *why)
{
    size_t from = c->r.at, at = reader_at(&c->r);
    struct reader peek = c->r;
    uint8_t major = read_u8(&peek) >> 5;

    if (major != UNSIGNED && major != NEGATIVE && major != TEXT)
        return reject(why, ST_MALFORMED, "RFC 8949 3.1", "a CBOR key that is neither integer nor text", at);
    if (c->key_count == CB_KEYS_MAX)
        return reject(why, ST_TOO_LARGE, "CB_KEYS_MAX", "too many keys in CBOR maps", at);
    enum status st = check_item(c, depth, why);
    if (st != ST_OK)
        return st;
    struct span key = span_cut(span_of(c->r.p, c->r.len), from, c->r.at - from);
    for (size_t i = first; i < c->key_count; i++)
        if (span_eq(c->keys[i], key))
            return reject(why, ST_MALFORMED, "TK-48", "a key twice in one CBOR map", at);
    c->keys[c->key_count++] = key;
    return ST_OK;
}

static enum status check_map(struct check *c, const struct head *head, unsigned depth, struct why *why)
{
    size_t first = c->key_count;

    if (head->value > reader_left(&c->r) / 2)
        return reject(why, ST_MALFORMED, "TK-49", "a CBOR map longer than the input", head->at);
    for (uint64_t i = 0; i < head->value; i++) {
        enum status st = check_key(c, first, depth, why);
        if (st == ST_OK)
            st = check_item(c, depth, why);
        if (st != ST_OK)
            return st;
    }
    c->key_count = first;
    return ST_OK;
}

static enum status check_tag(struct check *c, const struct head *head, unsigned depth, struct why *why)
{
    if (head->value >= LOW_TAG_SHOWN + LOW_TAG_FIRST && head->value <= LOW_TAG_SHOWN + LOW_TAG_LAST)
        return reject(why, ST_UNSUPPORTED, "RFC 8949 3.4", "a CBOR tag without a meaning", head->at);
    if (head->value >= LOW_TAG_FIRST && head->value <= LOW_TAG_LAST) {
        if (c->low_tag_count == CB_LOW_TAGS_MAX)
            return reject(why, ST_TOO_LARGE, "CB_LOW_TAGS_MAX", "too many CBOR tags", head->at);
        c->low_tags[c->low_tag_count++] = head->at;
    }
    return check_item(c, depth, why);
}

/* `depth` containers are open around this item. The recursion ends at CB_DEPTH_MAX. */
static enum status check_item(struct check *c, unsigned depth, struct why *why)
{
    struct head head;

    enum status st = read_head(&c->r, &head, why);
    if (st != ST_OK)
        return st;
    if (head.major >= ARRAY && head.major <= TAG && ++depth > CB_DEPTH_MAX)
        return reject(why, ST_MALFORMED, "TK-49", "CBOR nested too deeply", head.at);
    /* clang-format off */
    switch (head.major) {
    case BYTES:
    case TEXT:   return check_string(c, &head, why);
    case ARRAY:  return check_array(c, &head, depth, why);
    case MAP:    return check_map(c, &head, depth, why);
    case TAG:    return check_tag(c, &head, depth, why);
    case SIMPLE: return check_simple(&head, why);
    case UNSIGNED:
    case NEGATIVE: break;
    }
    /* clang-format on */
    return ST_OK;
}

static enum status check_all(struct check *c, struct span bytes, struct why *why)
{
    c->r = reader_make(bytes, "TK-50");
    c->key_count = c->low_tag_count = 0;
    enum status st = check_item(c, 0, why);
    return st == ST_OK ? reader_finish(&c->r, why) : st;
}

/* ---- reading ---- */

/* `struct cb` is libcbor's cbor_item_t seen from outside: never defined, only cast, so borrowing a child costs
 * nothing and no wrapper can outlive what it wraps. */
static cbor_item_t *in(const struct cb *cb)
{
    return (cbor_item_t *)(uintptr_t)cb;
}

static struct cb *out_of(cbor_item_t *item)
{
    return (struct cb *)item;
}

/* The same bytes with the tags libcbor does not take under other numbers. */
static void show_low_tags(const struct check *c, struct span bytes, struct buf *out)
{
    size_t from = 0;

    for (size_t i = 0; i < c->low_tag_count; i++) {
        size_t at = c->low_tags[i];
        put_bytes(out, span_cut(bytes, from, at - from));
        put_u8(out, TAG << 5 | 26); /* a tag, its number in the next four bytes */
        put_u32(out, LOW_TAG_SHOWN + (bytes.p[at] & 0x1f));
        from = at + 1; /* one byte each: no longer form was let through */
    }
    put_bytes(out, span_cut(bytes, from, bytes.len - from));
}

static enum status load(struct span bytes, struct cb **ret_cb, struct why *why)
{
    struct cbor_load_result result;

    cbor_item_t *item = cbor_load(bytes.p, bytes.len, &result);
    if (item == NULL && result.error.code == CBOR_ERR_MEMERROR)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", result.error.position);
    if (item == NULL) /* the checks above should leave nothing to find; the fuzz target watches that they do */
        return reject(why, ST_MALFORMED, "libcbor", "not CBOR", result.error.position);
    *ret_cb = out_of(item);
    return ST_OK;
}

enum status cb_parse(struct span bytes, size_t max_bytes, struct cb **ret_cb, struct why *why)
{
    CLEANUP(buf_wipe) /* keys may be among them */
    struct buf shown;
    struct check c;

    buf_init(&shown, bytes.len + CB_LOW_TAGS_MAX * LOW_TAG_GROWTH);
    if (bytes.len > max_bytes)
        return reject(why, ST_TOO_LARGE, "max_bytes", "CBOR larger than allowed", max_bytes);
    enum status st = check_all(&c, bytes, why);
    if (st != ST_OK)
        return st;
    if (c.low_tag_count == 0)
        return load(bytes, ret_cb, why);
    show_low_tags(&c, bytes, &shown);
    if (!buf_ok(&shown))
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    return load(buf_span(&shown), ret_cb, why);
}

void cb_unref(struct cb *cb)
{
    cbor_item_t *item = in(cb);

    if (item != NULL)
        cbor_decref(&item);
}

void cb_unrefp(struct cb **cb)
{
    cb_unref(*cb);
}

static enum cb_kind simple_kind(const cbor_item_t *item)
{
    if (!cbor_float_ctrl_is_ctrl(item))
        return CB_FLOAT;
    /* clang-format off */
    switch (cbor_ctrl_value(item)) {
    case CBOR_CTRL_FALSE: return CB_FALSE;
    case CBOR_CTRL_TRUE:  return CB_TRUE;
    case CBOR_CTRL_NULL:  return CB_NULL;
    default:              return CB_UNDEFINED;
    }
    /* clang-format on */
}

enum cb_kind cb_kind(const struct cb *cb)
{
    /* clang-format off */
    switch (cbor_typeof(in(cb))) {
    case CBOR_TYPE_UINT:
    case CBOR_TYPE_NEGINT:     return CB_INTEGER;
    case CBOR_TYPE_BYTESTRING: return CB_BYTES;
    case CBOR_TYPE_STRING:     return CB_TEXT;
    case CBOR_TYPE_ARRAY:      return CB_ARRAY;
    case CBOR_TYPE_MAP:        return CB_MAP;
    case CBOR_TYPE_TAG:        return CB_TAG;
    case CBOR_TYPE_FLOAT_CTRL: break;
    }
    /* clang-format on */
    return simple_kind(in(cb));
}

bool cb_is(const struct cb *cb, enum cb_kind kind)
{
    return cb != NULL && cb_kind(cb) == kind;
}

bool cb_as_text(const struct cb *cb, struct span *ret)
{
    if (!cb_is(cb, CB_TEXT))
        return false;
    *ret = span_of(cbor_string_handle(in(cb)), cbor_string_length(in(cb)));
    return true;
}

bool cb_as_bytes(const struct cb *cb, struct span *ret)
{
    if (!cb_is(cb, CB_BYTES))
        return false;
    *ret = span_of(cbor_bytestring_handle(in(cb)), cbor_bytestring_length(in(cb)));
    return true;
}

bool cb_as_i64(const struct cb *cb, int64_t *ret)
{
    if (!cb_is(cb, CB_INTEGER))
        return false;
    uint64_t v = cbor_get_int(in(cb)); /* of a negative integer: -1 - v */
    if (v > INT64_MAX)
        return false;
    *ret = cbor_isa_negint(in(cb)) ? -1 - (int64_t)v : (int64_t)v;
    return true;
}

bool cb_as_bool(const struct cb *cb, bool *ret)
{
    if (!cb_is(cb, CB_TRUE) && !cb_is(cb, CB_FALSE))
        return false;
    *ret = cb_is(cb, CB_TRUE);
    return true;
}

bool cb_as_double(const struct cb *cb, double *ret)
{
    if (!cb_is(cb, CB_FLOAT))
        return false;
    *ret = cbor_float_get_float(in(cb));
    return true;
}

size_t cb_size(const struct cb *cb)
{
    return cb_is(cb, CB_ARRAY) ? cbor_array_size(in(cb)) : cb_is(cb, CB_MAP) ? cbor_map_size(in(cb)) : 0;
}

const struct cb *cb_at(const struct cb *arr, size_t i)
{
    return cb_is(arr, CB_ARRAY) && i < cb_size(arr) ? out_of(cbor_array_handle(in(arr))[i]) : NULL;
}

const struct cb *cb_get(const struct cb *map, int64_t key)
{
    int64_t found;

    if (!cb_is(map, CB_MAP))
        return NULL;
    const struct cbor_pair *pairs = cbor_map_handle(in(map));
    for (size_t i = 0; i < cb_size(map); i++)
        if (cb_as_i64(out_of(pairs[i].key), &found) && found == key)
            return out_of(pairs[i].value);
    return NULL;
}

const struct cb *cb_key_at(const struct cb *map, size_t i)
{
    return cb_is(map, CB_MAP) && i < cb_size(map) ? out_of(cbor_map_handle(in(map))[i].key) : NULL;
}

const struct cb *cb_value_at(const struct cb *map, size_t i)
{
    return cb_is(map, CB_MAP) && i < cb_size(map) ? out_of(cbor_map_handle(in(map))[i].value) : NULL;
}

const struct cb *cb_tagged(const struct cb *cb, uint64_t *ret_number)
{
    if (!cb_is(cb, CB_TAG))
        return NULL;
    uint64_t number = cbor_tag_value(in(cb));
    bool low = number >= LOW_TAG_SHOWN + LOW_TAG_FIRST && number <= LOW_TAG_SHOWN + LOW_TAG_LAST;
    *ret_number = low ? number - LOW_TAG_SHOWN : number;
    return out_of(cbor_move(cbor_tag_item(in(cb)))); /* libcbor hands over a reference; we only lend */
}

/* ---- writing ---- */

static void put_head(struct buf *out, size_t (*encode)(size_t, unsigned char *, size_t), size_t n)
{
    uint8_t head[9]; /* the longest there is */

    put_bytes(out, span_of(head, encode(n, head, sizeof head)));
}

void cb_put_array(struct buf *out, size_t count)
{
    put_head(out, cbor_encode_array_start, count);
}

void cb_put_map(struct buf *out, size_t count)
{
    put_head(out, cbor_encode_map_start, count);
}

void cb_put_tag(struct buf *out, uint64_t number)
{
    put_head(out, cbor_encode_tag, number);
}

void cb_put_int(struct buf *out, int64_t v)
{
    if (v >= 0)
        put_head(out, cbor_encode_uint, (uint64_t)v);
    else
        put_head(out, cbor_encode_negint, (uint64_t)(-1 - v));
}

void cb_put_bytes(struct buf *out, struct span bytes)
{
    put_head(out, cbor_encode_bytestring_start, bytes.len);
    put_bytes(out, bytes);
}

void cb_put_text(struct buf *out, struct span text)
{
    if (!utf8_valid(text))
        out->failed = true;
    put_head(out, cbor_encode_string_start, text.len);
    put_bytes(out, text);
}

void cb_put_bool(struct buf *out, bool v)
{
    uint8_t byte;

    put_bytes(out, span_of(&byte, cbor_encode_bool(v, &byte, sizeof byte)));
}

void cb_put_null(struct buf *out)
{
    uint8_t byte;

    put_bytes(out, span_of(&byte, cbor_encode_null(&byte, sizeof byte)));
}

void cb_put_raw(struct buf *out, struct span item)
{
    put_bytes(out, item);
}
