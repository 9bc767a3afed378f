/* A settings file of symbolon-as, of any bytes: refused with a reason; or printed and read again to the same. */
#include "as/settings.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(buf_done)
    struct buf problem;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(buf_done)
    struct buf again;
    struct as_settings s, second;

    buf_init(&problem, CONFIG_PROBLEM_MAX);
    buf_init(&text, CONFIG_FILE_MAX);
    buf_init(&again, CONFIG_FILE_MAX);
    if (config_parse(&as_config, span_of(data, len), "etc/as.yaml", &s, &problem) != ST_OK) {
        ASSERT(problem.len > 0 || !buf_ok(&problem));
        return 0;
    }
    free(as_settings_issuer(&s, 8443));
    config_print(&as_config, &s, &text);
    if (buf_ok(&text)) {
        ASSERT(config_parse(&as_config, buf_span(&text), NULL, &second, NULL) == ST_OK);
        config_print(&as_config, &second, &again);
        ASSERT(span_eq(buf_span(&text), buf_span(&again)));
        config_done(&as_config, &second);
    }
    config_done(&as_config, &s);
    return 0;
}
