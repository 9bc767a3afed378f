/* Any bytes as an ACE document of any kind (the first byte chooses): refused, or CBOR that written again from what was
 * read is read as the same, and written the same a second time. */
#include "token/ace_cbor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define INPUT_MAX  65536
#define OUTPUT_MAX (4 * INPUT_MAX)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(js_unrefp)
    struct js *again = NULL;
    CLEANUP(buf_done)
    struct buf one;
    CLEANUP(buf_done)
    struct buf two;

    buf_init(&one, OUTPUT_MAX);
    buf_init(&two, OUTPUT_MAX);
    if (len == 0)
        return 0;
    enum ace_document document = (enum ace_document)(data[0] % ACE_DOCUMENTS);
    if (ace_from_cbor(document, span_of(data + 1, len - 1), INPUT_MAX, &js, NULL) != ST_OK)
        return 0;
    /* What is read but not written: keys of a kind that is only skipped over, private ones that do not fit. */
    if (ace_to_cbor(document, js, &one, NULL) != ST_OK)
        return 0;
    ASSERT(ace_from_cbor(document, buf_span(&one), OUTPUT_MAX, &again, NULL) == ST_OK);
    ASSERT(ace_to_cbor(document, again, &two, NULL) == ST_OK);
    ASSERT(span_eq(buf_span(&one), buf_span(&two)));
    return 0;
}
