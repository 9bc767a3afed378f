/* Any bytes as a COSE_Key: refused, or a key that is written and read back as itself. */
#include "cose/cose_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(sy_cose_key_done)
    struct cose_key key = { 0 };
    CLEANUP(sy_cose_key_done)
    struct cose_key again = { 0 };
    CLEANUP(cb_unrefp)
    struct cb *cb = NULL;
    CLEANUP(cb_unrefp)
    struct cb *cb_again = NULL;
    CLEANUP(buf_wipe)
    struct buf out;
    struct why why = { 0 };

    buf_init(&out, COSE_KEY_MAX_BYTES);
    if (sy_cose_key_parse(span_of(data, len), COSE_KEY_ANY, &key, &cb, &why) != ST_OK) {
        ASSERT(cb == NULL && why.clause != NULL && why.text != NULL);
        return 0;
    }
    ASSERT(sy_cose_key_write(key.key, key.kid, NULL, true, &out) == ST_OK);
    ASSERT(sy_cose_key_parse(buf_span(&out), COSE_KEY_ANY, &again, &cb_again, NULL) == ST_OK);
    ASSERT(key_same(key.key, again.key) && key_is_private(key.key) == key_is_private(again.key));
    ASSERT(span_eq(key.kid, again.kid) && (key.kid.p == NULL) == (again.kid.p == NULL));
    return 0;
}
