/* Forms (RFC 6749 App. B): what is accepted is UTF-8 text without NUL under at most PARAMS_MAX names. */
#include "as/params.h"
#include "base/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool check(void *ctx, struct span name, const struct js *value)
{
    struct span text;

    (void)ctx;
    if (name.len == 0 || !utf8_valid_mqtt(name) || (js_as_str(value, &text) && !utf8_valid_mqtt(text)))
        abort();
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct js *params = NULL;

    if (params_parse_form(span_of(data, len), &params, NULL) != ST_OK)
        return 0;
    if (js_size(params) > PARAMS_MAX || !js_object_each(params, check, NULL))
        abort();
    js_unref(params);
    return 0;
}
