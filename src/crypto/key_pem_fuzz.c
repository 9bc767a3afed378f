/* Any bytes as a PEM key file: refused, or a key that survives being written and read again. */
#include "crypto/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL, *back = NULL;
    CLEANUP(buf_wipe)
    struct buf pem;

    buf_init(&pem, KEY_PEM_MAX);
    if (key_read_pem(span_of(data, len), &key, NULL) != ST_OK)
        return 0;
    ASSERT(key_kind(key) != KEY_SECRET);
    ASSERT(key_write_pem(key, key_is_private(key), &pem) == ST_OK);
    ASSERT(key_read_pem(buf_span(&pem), &back, NULL) == ST_OK);
    ASSERT(key_same(key, back) && key_is_private(key) == key_is_private(back));
    return 0;
}
