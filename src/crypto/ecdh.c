#include "crypto/ecdh.h"

#include "crypto/curve_priv.h"

enum status ecdh_p256(const struct key *mine, const struct key *theirs, uint8_t out[ECDH_LEN])
{
    if (key_kind(mine) != KEY_P256 || !key_is_private(mine) || key_kind(theirs) != KEY_P256)
        return ST_UNSUPPORTED;
    return p256_multiply(key_d(mine).p, key_x(theirs).p, key_y(theirs).p, out);
}
