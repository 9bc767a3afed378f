/* A user name from anybody: what comes out is never longer than what went in. */
#include "token/user_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct span user_name = span_of(data, len);
    struct why why = { 0 };
    struct buf out;

    if (!user_name_is_ace(user_name))
        return 0;
    buf_init(&out, 65535);
    if (user_name_token(user_name, &out, &why) == ST_OK)
        ASSERT(out.len > 0 && out.len <= len);
    else
        ASSERT(why.clause != NULL);
    buf_done(&out);
    return 0;
}
