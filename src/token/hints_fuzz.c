/* Any bytes as hints: refused, or hints that written and read again are the same. */
#include "token/hints.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_same(struct span a, struct span b)
{
    ASSERT((a.p == NULL) == (b.p == NULL) && span_eq(a, b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(hints_done)
    struct hints hints = { 0 };
    CLEANUP(hints_done)
    struct hints again = { 0 };
    CLEANUP(buf_done)
    struct buf json;

    buf_init(&json, HINTS_MAX_BYTES);
    if (hints_parse(span_of(data, len), &hints, NULL) != ST_OK)
        return 0;
    if (hints_write(&hints, &json) != ST_OK) /* escapes can make it longer than the limit */
        return 0;
    ASSERT(hints_parse(buf_span(&json), &again, NULL) == ST_OK);
    check_same(hints.as, again.as);
    check_same(hints.audience, again.audience);
    check_same(hints.kid, again.kid);
    check_same(hints.cnonce, again.cnonce);
    check_same(hints.scope, again.scope);
    return 0;
}
