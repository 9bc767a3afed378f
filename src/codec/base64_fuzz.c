/* Any bytes as Base64, both kinds: refused, or encoded again to the very same text (TK-51). */
#include "codec/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(buf_done)
    struct buf bytes, text;
    struct span in = span_of(data, len);

    buf_init(&bytes, 1 << 16);
    buf_init(&text, 1 << 17);
    if (base64url_decode(in, &bytes, NULL) == ST_OK) {
        base64url_encode(buf_span(&bytes), &text);
        ASSERT(span_eq(buf_span(&text), in));
    }
    buf_reset(&bytes);
    buf_reset(&text);
    if (base64_decode(in, &bytes, NULL) == ST_OK) {
        base64_encode(buf_span(&bytes), &text);
        ASSERT(span_eq(buf_span(&text), in));
    }
    return 0;
}
