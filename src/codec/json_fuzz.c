/* Any bytes as JSON: refused, or a value that prints and parses to the same value; and jansson's own reader says the same. */
#include "codec/json.h"
#include "codec/json_oracle.h"

#define TEXT_MAX (1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool visit(void *ctx, struct span name, const struct js *value)
{
    (void)ctx;
    ASSERT(value != NULL);
    return name.len < SIZE_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL, *back = NULL;
    CLEANUP(buf_done)
    struct buf out;
    struct why why = { 0 };

    buf_init(&out, 1 << 20);
    ASSERT(len > TEXT_MAX || oracle_agrees(span_of(data, len), TEXT_MAX));
    if (js_parse(span_of(data, len), TEXT_MAX, &js, &why) != ST_OK) {
        ASSERT(js == NULL && why.clause != NULL && why.text != NULL);
        return 0;
    }
    if (js_is(js, JS_OBJECT))
        js_object_each(js, visit, NULL);
    ASSERT(js_print(js, &out) == ST_OK);
    ASSERT(js_parse(buf_span(&out), 1 << 20, &back, &why) == ST_OK);
    ASSERT(js_same(js, back));
    return 0;
}
