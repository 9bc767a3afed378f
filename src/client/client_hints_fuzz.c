/* Hints of a broker nobody has authenticated, through the public functions, and the address in them. */
#include "symbolon/ace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct symbolon_hints hints;
    struct symbolon_error error;

    if (symbolon_hints_parse((struct symbolon_bytes){ data, len }, &hints, &error) == SYMBOLON_OK) {
        (void)symbolon_url_same_origin(hints.as_url, "https://as.example");
        symbolon_hints_done(&hints);
    }
    return 0;
}
