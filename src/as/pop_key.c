#include "as/pop_key.h"

#include "crypto/hash.h"
#include "crypto/secret.h"

#define INFO_MAX 128

enum status pop_key_derive(const struct key *master, struct span kid, struct key **ret_key, struct why *why)
{
    uint8_t bytes[POP_KEY_LEN];
    struct buf info;

    buf_init(&info, INFO_MAX);
    put_str(&info, "symbolon pop key");
    put_prefixed16(&info, kid);
    enum status st = buf_ok(&info)
                         ? hkdf_sha256(key_secret(master), SPAN_NONE, buf_span(&info), bytes, sizeof bytes)
                         : buf_status(&info);
    buf_done(&info);
    if (st == ST_OK)
        st = key_new_secret(span_of(bytes, sizeof bytes), ret_key, why);
    else
        st = reject(why, st, "as pop_key", "the key could not be derived", 0);
    secret_wipe(bytes, sizeof bytes);
    return st;
}
