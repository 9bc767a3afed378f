/* Profiles, and tokens taken apart: both come from files anybody may have written. */
#include "cli/jwt_text.h"
#include "cli/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct profile profile;
    struct jwt_look look;

    if (profile_parse(span_of(data, len), &profile, NULL) == ST_OK)
        profile_done(&profile);
    if (jwt_look(span_of(data, len), &look, NULL) == ST_OK)
        jwt_look_done(&look);
    return 0;
}
