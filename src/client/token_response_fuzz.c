/* What an authorization server answers (first byte: success or error, own key or not), and the cache's files. */
#include "client/token_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct symbolon_token token;
    struct symbolon_error error;
    struct symbolon_key *key = NULL;

    if (len == 0)
        return 0;
    struct symbolon_bytes body = { data + 1, len - 1 };
    static const uint8_t secret[32];
    if ((data[0] & 2) != 0 &&
        symbolon_key_from_secret((struct symbolon_bytes){ secret, sizeof secret }, &key, &error) != SYMBOLON_OK)
        return 0;
    if (symbolon_token_response((data[0] & 1) != 0 ? 400 : 200, body, key, 1800000000, &token, &error) ==
        SYMBOLON_OK)
        symbolon_token_done(&token);
    if (token_cache_parse(span_of(body.p, body.len), 0, &token, NULL) == ST_OK)
        symbolon_token_done(&token);
    symbolon_key_unref(key);
    return 0;
}
