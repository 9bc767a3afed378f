/* Any bytes as a PSK identity; what is a kid is written again and read back as the same. */
#include "token/psk_identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct psk_identity id, again;
    struct why why;
    CLEANUP(buf_done)
    struct buf text;

    buf_init(&text, 2048);
    if (psk_identity_parse(span_of(data, size), &id, &why) != ST_OK)
        return 0;
    if (id.token.p != NULL) {
        ASSERT(id.token.len == size && id.kid.p == NULL);
        return 0;
    }
    ASSERT(id.kid.len > 0 && id.kid.len <= PSK_IDENTITY_KID_MAX);
    ASSERT(psk_identity_write_cbor(id.kid, &text) == ST_OK);
    ASSERT(psk_identity_parse(buf_span(&text), &again, &why) == ST_OK && span_eq(id.kid, again.kid));
    buf_reset(&text);
    if (data[0] == '{') {
        ASSERT(psk_identity_write_json(id.kid, &text) == ST_OK);
        ASSERT(psk_identity_parse(buf_span(&text), &again, &why) == ST_OK && span_eq(id.kid, again.kid));
    }
    return 0;
}
