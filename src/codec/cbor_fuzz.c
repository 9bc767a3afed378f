/* Any bytes as CBOR: refused by our own checks, or a tree that libcbor writes as the same bytes again. That is what
 * the checks promise: nothing that could be written in two ways is accepted. */
#include "base/utf8.h"
#include "codec/cbor.h"

#include <cbor.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t low_tags; /* which libcbor has seen under other numbers */

/* Every look-up on every item; counts floating point, which has more than one form. */
static size_t visit(const struct cb *cb, unsigned depth)
{
    struct span s;
    int64_t i;
    bool b;
    uint64_t tag;
    double d;
    size_t floats = cb_is(cb, CB_FLOAT);

    ASSERT(depth <= CB_DEPTH_MAX);
    ASSERT(!cb_as_text(cb, &s) || utf8_valid(s));
    ASSERT(cb_as_bytes(cb, &s) == cb_is(cb, CB_BYTES));
    ASSERT(!cb_as_i64(cb, &i) || cb_is(cb, CB_INTEGER));
    ASSERT(cb_as_bool(cb, &b) == (cb_is(cb, CB_TRUE) || cb_is(cb, CB_FALSE)));
    ASSERT(cb_as_double(cb, &d) == cb_is(cb, CB_FLOAT));
    ASSERT(cb_at(cb, cb_size(cb)) == NULL && cb_value_at(cb, cb_size(cb)) == NULL);
    for (size_t n = 0; n < cb_size(cb) && cb_is(cb, CB_ARRAY); n++)
        floats += visit(cb_at(cb, n), depth + 1);
    for (size_t n = 0; n < cb_size(cb) && cb_is(cb, CB_MAP); n++) {
        if (cb_as_i64(cb_key_at(cb, n), &i)) /* the first with this key is the only one */
            ASSERT(cb_get(cb, i) == cb_value_at(cb, n));
        floats += visit(cb_value_at(cb, n), depth + 1);
    }
    if (cb_tagged(cb, &tag) != NULL) {
        low_tags += tag >= 6 && tag <= 20;
        floats += visit(cb_tagged(cb, &tag), depth + 1);
    }
    return floats;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(cb_unrefp)
    struct cb *cb = NULL;
    struct why why = { 0 };

    if (cb_parse(span_of(data, len), 1 << 16, &cb, &why) != ST_OK) {
        ASSERT(cb == NULL && why.clause != NULL && why.text != NULL && why.at <= len);
        ASSERT(!span_eq_str(span_of_str(why.clause), "libcbor")); /* it saw nothing that it refuses */
        return 0;
    }
    low_tags = 0;
    if (visit(cb, 0) == 0 && low_tags == 0) {
        uint8_t *again = NULL;
        size_t room, again_len;
        again_len = cbor_serialize_alloc((const cbor_item_t *)(const void *)cb, &again, &room);
        ASSERT(span_eq(span_of(again, again_len), span_of(data, len)));
        freep(&again);
    }
    return 0;
}
